"""Statement: what xarray makes of our Datasets and trees is taken, or refused with what to do instead.

And whatever stands in their attributes, there is never an error that is not ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire import CampfireError, CampfireWarning, Photometry, SpectrumData, ValidationError, schema

WAVE = np.linspace(0.6, 5.3, 120)
PHOTOMETRY = Photometry(
    ["f150w", "f277w", "f444w"], [1.2, 1.3, 1.4], [0.1, 0.1, 0.1], [1.5, 2.8, 4.4], "demo"
)


def one() -> xr.Dataset:
    return SpectrumData(
        WAVE, 1 + 0.1 * WAVE, np.full(120, 0.05), {}, "PRISM", "demo", redshift=2.0
    ).to_xarray()


def collection(n: int = 3) -> xr.Dataset:
    ds = xr.concat([one().drop_vars(["flam", "flam_err"])] * n, "spectrum")
    names = ("spectrum", [f"demo_{k}" for k in range(n)])
    return ds.assign_coords(spectrum_id=names, object_id=names, redshift=("spectrum", np.arange(n) + 1.0))


def native(n: int = 3) -> xr.Dataset:
    ds = collection(n).reset_index("wavelength").rename_dims(wavelength="pixel")
    wave = np.array([np.where(np.arange(120) < 100 + 10 * k, WAVE, np.nan) for k in range(n)])
    return ds.drop_vars("resolving_power").assign_coords(
        wavelength=(("spectrum", "pixel"), wave, {"units": "um"})
    )


METHODS: dict[str, dict[str, Any]] = {
    "to_spectra": {},
    "good": {},
    "synthetic_photometry": {"bands": "f150w"},
    "calibrate": {"photometry": PHOTOMETRY},
    "resample": {"grid": [1.0, 1.5, 2.0]},
    "plot": {},
}
TAKEN: dict[str, Callable[[], xr.Dataset]] = {
    "where": lambda: (ds := one()).where(ds.fnu > 1.2),
    "where, drop": lambda: (ds := one()).where(ds.wavelength > 1.0, drop=True),
    "rows where": lambda: (ds := collection()).where(ds.redshift > 1, drop=True),
    "transposed": lambda: collection().transpose(),
    "transposed, native": lambda: native().transpose(),
    "row": lambda: collection().isel(spectrum=0),
    "row of a native one": lambda: native().isel(spectrum=0),
    "lazy rows where": lambda: (ds := collection()).chunk(spectrum=1).where(ds.redshift > 1, drop=True),
    "turned round": lambda: one().isel(wavelength=slice(None, None, -1)),
    "reindexed": lambda: one().reindex(wavelength=np.append(WAVE, 6.0)),
    "scaled": lambda: one().assign(fnu=lambda ds: ds.fnu.copy(data=2 * ds.fnu)),
}


@pytest.mark.filterwarnings("ignore::campfire.CampfireWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TAKEN)
def test_what_xarray_makes_of_a_dataset_is_taken(name: str, method: str) -> None:
    getattr(TAKEN[name]().campfire, method)(**METHODS[method])


def test_pixels_left_out_by_where_are_masked() -> None:
    ds = one()
    spec = ds.where(ds.wavelength > 2.0).campfire.to_spectrum()
    assert spec.mask.tolist() == (WAVE <= 2.0).tolist()
    kept = ds.where(ds.wavelength > 2.0, drop=True).campfire.to_spectrum()
    np.testing.assert_array_equal(kept.wavelength, WAVE[WAVE > 2.0])
    assert kept.fnu.tolist() == ds.fnu.values[WAVE > 2.0].tolist()


def test_transposing_changes_no_number() -> None:
    ds = native()
    for before, after in zip(ds.campfire.to_spectra(), ds.transpose().campfire.to_spectra(), strict=True):
        assert before == after


def test_a_row_of_a_native_collection_is_its_spectrum_without_padding() -> None:
    ds = native()
    for k, spec in enumerate(ds.campfire.to_spectra()):
        row = ds.isel(spectrum=k).campfire.to_spectrum()
        assert len(row) == 100 + 10 * k
        np.testing.assert_array_equal(row.fnu, spec.fnu)
        np.testing.assert_array_equal(row.wavelength, spec.wavelength)


@pytest.mark.parametrize("lazy", [False, True])
def test_averaged_bits_are_refused_with_what_to_do(lazy: bool) -> None:
    ds = collection().assign(dq=lambda ds: ds.dq.copy(data=(np.indices(ds.dq.shape)[1] % 2).astype(np.uint8)))
    ds = ds.chunk(spectrum=1) if lazy else ds
    with pytest.raises(ValidationError, match=r"averaged or interpolated \(use .campfire.resample"):
        ds.coarsen(wavelength=2).mean().campfire.to_spectra()


TREE = {"to_spectra": {}, "summary": {}, "stack": {}, "select": {}, "calibrate": {"photometry": PHOTOMETRY}}


@pytest.mark.filterwarnings("ignore::campfire.CampfireWarning")
@pytest.mark.parametrize("make", [collection, native])
@pytest.mark.parametrize("method", [*TREE, "resample", "synthetic_photometry", "plot"])
def test_a_row_of_every_grating_is_a_tree_of_spectra(method: str, make: Callable[[], xr.Dataset]) -> None:
    tree = xr.DataTree.from_dict({"/PRISM": make(), "/G395M": make()}).isel(spectrum=0)
    options = {"bands": "f150w"} if method == "synthetic_photometry" else TREE.get(method, {})
    result = getattr(tree.campfire, method)(**options)
    if method == "synthetic_photometry":
        assert result["PRISM"].flux.dims == ("band",)


ODD: list[Any] = [np.array([1, 2]), [1, 2], {"a": 1}, None, 3.5, b"x", np.array(["um", "nm"])]
PLACES = [
    *[
        ("", name)
        for name in ("fits_header", "redshift", "campfire_schema", "fits_path", "grating", "history")
    ],
    *[
        (var, name)
        for var in ("fnu", "wavelength", "flam", "dq")
        for name in ("units", "long_name", "origin")
    ],
]


@pytest.mark.filterwarnings("ignore::campfire.CampfireWarning")
@pytest.mark.parametrize(("variable", "name"), PLACES)
def test_no_attribute_gives_an_error_that_is_not_ours(variable: str, name: str) -> None:
    for odd in ODD:
        ds = one().drop_vars(["grating"] if name == "grating" else [])
        (ds[variable] if variable else ds).attrs[name] = odd
        assert isinstance(schema.check(ds), list)
        for method, options in {**METHODS, "to_restframe": {"z": 1.0}}.items():
            with contextlib.suppress(CampfireError):
                getattr(ds.campfire, method)(**options)


@pytest.mark.parametrize("name", ["fnu", "fnu_err", "wavelength"])
def test_a_unit_that_is_not_given_is_said_to_be_taken_for_granted(name: str) -> None:
    ds = one()
    del ds[name].attrs["units"]
    with pytest.warns(CampfireWarning, match=f"no unit is given; taken to be {name} in u"):
        ds.campfire.to_spectrum()


def test_a_collection_of_one_is_a_spectrum() -> None:
    ds = xr.concat([one()], "spectrum")
    assert ds.campfire.to_spectrum().spectrum_id == one().spectrum_id.item()
    with pytest.raises(ValidationError, match="2 spectra"):
        xr.concat([ds, ds], "spectrum").campfire.to_spectrum()
