"""Statement checked: ``schema.check`` finds nothing in what the package makes, and all that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from campfire import Photometry, SpectrumData, calibrate_to_photometry, measure_lines, stack_spectra
from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.formats.spec_writer import write_spectrum
from campfire.schema import LINES, PHOTOMETRY, VARIABLES, check

WAVE = np.linspace(0.6, 5.3, 300)
FLUX = np.full(300, 2.0)
PHOT = Photometry(["f200w", "f277w", "f444w"], [2.0, 2.0, 2.0], [0.1, 0.1, 0.1], [1.99, 2.77, 4.4])


def _spectrum(name: str = "a") -> SpectrumData:
    rng = np.random.default_rng(1)
    return SpectrumData(
        WAVE, FLUX + 0.1 * rng.normal(size=300), np.full(300, 0.1), {}, "PRISM", name, redshift=1.5
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    folder: Path = tmp_path_factory.mktemp("spectra")
    for name in "abc":
        write_spectrum(folder / f"{name}_spec.fits", _spectrum(name).to_fields())
    sources = [FileSource(str(folder / f"{name}_spec.fits")) for name in "abc"]
    return open_tree(
        sources, {"spectrum_id": list("abc"), "grating": ["PRISM"] * 3, "redshift": [1.0, 2.0, 3.0]}
    )


def _engine(folder: Path) -> xr.DataTree:
    path = folder / "x_spec.fits"
    write_spectrum(path, _spectrum().to_fields())
    return xr.open_datatree(path, engine="campfire")


SINGLE: dict[str, Callable[[], xr.Dataset | xr.DataTree]] = {
    "spectrum": lambda: _spectrum().to_xarray(),
    "rest frame": lambda: _spectrum().to_xarray().campfire.to_restframe(1.5),
    "resampled": lambda: _spectrum().to_xarray().campfire.resample(WAVE[10:-10:2], covariance=True),
    "photometry": lambda: _spectrum().to_xarray().campfire.synthetic_photometry(["f200w", "f277w"]),
    "calibrated": lambda: _spectrum().to_xarray().campfire.calibrate(PHOT),
    "calibrated, as a function": lambda: calibrate_to_photometry(_spectrum(), PHOT).spectrum.to_xarray(),
    "stack": lambda: stack_spectra([_spectrum("a"), _spectrum("b")]).to_xarray(),
    "normalised stack": lambda: stack_spectra(
        [_spectrum("a"), _spectrum("b")], redshift=[1.0, 1.0], normalize=(0.5, 0.6)
    ).to_xarray(),
    "lines": lambda: measure_lines(_spectrum(), redshift=1.5),
}


@pytest.mark.parametrize("made", SINGLE)
def test_nothing_is_wrong_with_what_is_made_of_one_spectrum(made: str) -> None:
    assert check(SINGLE[made]()) == []


def test_nothing_is_wrong_with_the_tree_of_a_file(tmp_path: Path) -> None:
    assert check(_engine(tmp_path)) == []


COLLECTION: dict[str, Callable[[xr.DataTree], xr.Dataset | xr.DataTree]] = {
    "as observed": lambda tree: tree,
    "loaded": lambda tree: tree.compute(),
    "selected": lambda tree: tree.campfire.select(redshift_range=(1.5, None)),
    "nothing selected": lambda tree: tree.campfire.select(redshift_range=(8, None)),
    "on a grid": lambda tree: tree.campfire.resample("common"),
    "photometry": lambda tree: tree.campfire.synthetic_photometry(["f200w"]),
    "calibrated": lambda tree: tree.campfire.calibrate(PHOT),
    "stack": lambda tree: tree.campfire.stack(),
    "rest-frame median": lambda tree: tree.campfire.stack("median", redshift="redshift"),
    "a row": lambda tree: tree["PRISM"].to_dataset().isel(spectrum=0).swap_dims(pixel="wavelength"),
}


@pytest.mark.parametrize("made", COLLECTION)
def test_nothing_is_wrong_with_what_is_made_of_a_collection(made: str, tree: xr.DataTree) -> None:
    assert check(COLLECTION[made](tree)) == []


def test_a_lazy_collection_stays_lazy(tree: xr.DataTree) -> None:
    def explode(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    ds = tree["PRISM"].to_dataset()
    ds = ds.assign(fnu=ds.fnu.copy(data=ds.fnu.data.map_blocks(explode, dtype=float)))
    assert check(xr.DataTree.from_dict({"/PRISM": ds})) == []


def _issue(ds: xr.Dataset) -> list[str]:
    return [issue.path for issue in check(ds)]


FAULTS: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], str]] = {
    "no error": (lambda ds: ds.drop_vars("fnu_err"), "fnu_err"),
    "no mask": (lambda ds: ds.drop_vars("dq"), "dq"),
    "wrong unit": (lambda ds: ds.assign(fnu=ds.fnu.assign_attrs(units="Jy")), "fnu"),
    "unit that is none": (lambda ds: ds.assign(fnu=ds.fnu.assign_attrs(units="furlong")), "fnu"),
    "unit that is no text": (lambda ds: ds.assign(fnu=ds.fnu.assign_attrs(units=[1, 2])), "fnu"),
    "no unit": (lambda ds: ds.assign(flam=ds.flam.drop_attrs()), "flam@units"),
    "mask of floats": (lambda ds: ds.assign(dq=ds.dq.astype(float)), "dq"),
    "bits unnamed": (lambda ds: ds.assign(dq=ds.dq.assign_attrs(flag_meanings="A B")), "dq@flag_meanings"),
    "integers": (lambda ds: ds.assign(fnu=ds.fnu.fillna(0).astype(int)), "fnu"),
    "other dimension": (lambda ds: ds.rename(wavelength="lambda").assign(wavelength=1.0), "fnu"),
    "out of order": (lambda ds: ds.isel(wavelength=slice(None, None, -1)), "wavelength"),
    "no name": (lambda ds: ds.drop_vars("spectrum_id"), "spectrum_id"),
    "name that is no text": (lambda ds: ds.assign_coords(spectrum_id=5), "spectrum_id"),
    "version of the future": (lambda ds: ds.assign_attrs(campfire_schema=99), "@campfire_schema"),
    "version that is no number": (lambda ds: ds.assign_attrs(campfire_schema="new"), "@campfire_schema"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_found_where_it_is(fault: str) -> None:
    change, path = FAULTS[fault]
    ds = _spectrum().to_xarray()
    assert _issue(ds) == []
    assert path in _issue(change(ds))


@pytest.mark.parametrize(("made", "table"), [("photometry", PHOTOMETRY), ("lines", LINES)])
def test_a_missing_variable_of_a_measurement_is_found(made: str, table: dict[str, object]) -> None:
    ds = SINGLE[made]()
    assert isinstance(ds, xr.Dataset)
    for name in set(table) - {"flux"}:
        assert _issue(ds.drop_vars(name)) == [name]


def test_paths_name_the_group(tree: xr.DataTree) -> None:
    wrong = tree.map_over_datasets(lambda ds: ds.drop_vars("dq", errors="ignore"))
    (issue,) = check(wrong)
    assert (issue.path, issue.message) == ("/PRISM/dq", "is missing")
    assert str(issue).startswith("/PRISM/dq: is missing (found")


def test_every_variable_says_its_units_and_meaning() -> None:
    for name, spec in (VARIABLES | PHOTOMETRY | LINES).items():
        assert spec.name == name
        assert spec.doc
