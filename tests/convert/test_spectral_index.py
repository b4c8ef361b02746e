"""Statement checked: wavelengths can be selected by Quantities, and nothing else about their index is new."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from astropy.table import Column
from hypothesis import given
from hypothesis import strategies as st

import campfire.accessors  # noqa: F401  (registers Dataset.campfire)
from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.convert.wavelength_index import SpectralIndex, spectral_coordinates
from campfire.errors import ValidationError
from campfire.formats.spec_writer import write_spectrum
from campfire.models import SpectrumData

WAVE = np.linspace(0.9, 5.2, 44)


def dataset(wave: Any = WAVE) -> xr.Dataset:
    wave = np.asarray(wave)
    spec = SpectrumData(wave, np.arange(wave.size) + 1.0, np.ones(wave.size), {}, "PRISM", "a", redshift=1.0)
    return spec.to_xarray()


def plain(ds: xr.Dataset) -> xr.Dataset:
    """The same with xarray's own index."""
    return ds.drop_indexes("wavelength").set_xindex("wavelength")


# --- Quantities --------------------------------------------------------------------------------------------

UNITS = [u.um, u.AA, u.nm, u.m, u.THz, u.Hz, u.eV, u.J, u.cm**-1]


@given(
    first=st.integers(0, WAVE.size - 1),
    last=st.integers(0, WAVE.size - 1),
    units=st.tuples(st.sampled_from(UNITS), st.sampled_from(UNITS)),
    open_end=st.sampled_from(["none", "start", "stop"]),
    falling=st.booleans(),
)
def test_slices_of_any_unit_are_those_of_microns(
    first: int, last: int, units: tuple[Any, Any], open_end: str, falling: bool
) -> None:
    """Both ends are held, though a unit's conversion rounds; and whichever way wavelengths and unit run."""
    low, high = sorted((first, last))
    ds = dataset(WAVE[::-1] if falling else WAVE)
    ends = [(WAVE[k] * u.um).to(unit, u.spectral()) for k, unit in zip((low, high), units, strict=True)]
    lengths = all(unit.physical_type == "length" for unit in units)
    if lengths and falling:
        ends.reverse()  # as xarray has it
    if open_end == "none":
        found = ds.sel(wavelength=slice(*(ends if lengths else ends[::-1])))
        expected = WAVE[low : high + 1]
    else:
        rising_unit = units[0].physical_type == "length"
        end = (WAVE[low] * u.um).to(units[0], u.spectral())
        upwards = (open_end == "stop") == rising_unit  # towards longer wavelengths
        if rising_unit and falling:
            upwards = not upwards
        found = ds.sel(wavelength=slice(end, None) if open_end == "stop" else slice(None, end))
        expected = WAVE[low:] if upwards else WAVE[: low + 1]
    assert sorted(found.wavelength.values.tolist()) == expected.tolist()


@given(st.floats(0.5, 6.0), st.sampled_from(UNITS))
def test_nearest_of_any_unit_is_that_of_microns(micron: float, unit: Any) -> None:
    ds = dataset()
    label = (micron * u.um).to(unit, u.spectral())
    here = np.abs(WAVE - micron)
    found = ds.sel(wavelength=label, method="nearest")
    assert abs(found.wavelength.item() - micron) <= here.min() * (1 + 1e-9)
    several = u.Quantity([label, label])
    for labels in (several, [label, label], (label, label)):
        assert ds.sel(wavelength=labels, method="nearest").wavelength.values.tolist() == (
            [found.wavelength.item()] * 2
        )


@pytest.mark.parametrize("unit", UNITS)
def test_exact_labels_and_tolerances_of_any_unit(unit: Any) -> None:
    ds = dataset()
    labels = (WAVE * u.um).to(unit, u.spectral())
    assert ds.sel(wavelength=labels).identical(ds)
    assert ds.sel(wavelength=labels[7]).wavelength.item() == WAVE[7]
    near = ds.sel(wavelength=labels[7] * 1.0001, method="nearest", tolerance=10 * u.nm)
    assert near.wavelength.item() == WAVE[7]
    with pytest.raises(KeyError):
        ds.sel(wavelength=labels[7] * 1.0001)
    with pytest.raises(KeyError):
        ds.sel(wavelength=1.23 * u.um, method="nearest", tolerance=1 * u.AA)


def test_a_frequency_of_zero_is_an_open_end() -> None:
    assert dataset().sel(wavelength=slice(0 * u.THz, None)).identical(dataset())
    assert dataset().sel(wavelength=slice(0 * u.THz, 100 * u.THz)).wavelength.values.min() > 2.99


WRONG: dict[str, Any] = {
    "a flux": 3 * u.uJy,
    "a bare number": 3 * u.dimensionless_unscaled,
    "a slice that ends with a flux": slice(1 * u.um, 3 * u.uJy),
    "a speed": 3 * u.km / u.s,
    "a negative frequency": -3 * u.THz,
    "a time among lengths": [1 * u.um, 1 * u.s],
    "not a number": np.nan * u.um,
}


@pytest.mark.parametrize("label", WRONG.values(), ids=WRONG)
def test_other_quantities_are_refused_with_what_would_work(label: Any) -> None:
    with pytest.raises(ValidationError, match=r"pass microns, a length or a frequency|pass positive numbers"):
        dataset().sel(wavelength=label, method=None if isinstance(label, slice) else "nearest")


def test_a_tolerance_has_to_be_a_length() -> None:
    with pytest.raises(ValidationError, match="pass a length, or microns"):
        dataset().sel(wavelength=1.0, method="nearest", tolerance=1 * u.THz)


def test_coordinates_in_another_unit_get_no_such_index() -> None:
    ds = xr.Dataset(coords={"wavelength": ("wavelength", [9.0, 10.0], {"units": "nm"})})
    with pytest.raises(ValidationError, match="nm"):
        ds.drop_indexes("wavelength").set_xindex("wavelength", SpectralIndex)
    with pytest.raises(ValidationError, match="nm"):
        ds.campfire.indexed()
    assert xr.Dataset({"flux": ("band", [1.0])}).campfire.indexed().sizes == {"band": 1}


def test_a_column_without_a_unit_is_plain_numbers() -> None:
    assert dataset().sel(wavelength=Column(WAVE[:2])).wavelength.values.tolist() == WAVE[:2].tolist()


# --- as with xarray's own index ----------------------------------------------------------------------------

Operation = Callable[[xr.Dataset, xr.Dataset], Any]
OPERATIONS: dict[str, Operation] = {
    "sel a number": lambda ds, _: ds.sel(wavelength=WAVE[3]),
    "sel nearest": lambda ds, _: ds.sel(wavelength=1.0001, method="nearest", tolerance=0.1),
    "sel several": lambda ds, _: ds.sel(wavelength=[WAVE[3], WAVE[1]]),
    "sel a slice": lambda ds, _: ds.sel(wavelength=slice(1.0, 2.0)),
    "sel a slice with a step": lambda ds, _: ds.sel(wavelength=slice(1.0, 2.0, 2)),
    "sel an array": lambda ds, _: ds.sel(wavelength=xr.DataArray(WAVE[[4, 2]], dims="line")),
    "sel a mask": lambda ds, _: ds.sel(wavelength=ds.wavelength > 2),
    "sel what is not there": lambda ds, _: ds.sel(wavelength=1.00001),
    "sel text": lambda ds, _: ds.sel(wavelength="a"),
    "loc": lambda ds, _: ds.fnu.loc[1.0:2.0],
    "isel": lambda ds, _: ds.isel(wavelength=[3, 1]),
    "isel a number": lambda ds, _: ds.isel(wavelength=3),
    "isel nothing": lambda ds, _: ds.isel(wavelength=[]),
    "where": lambda ds, other: ds.where(other.fnu > 3, drop=True),
    "sortby": lambda ds, _: ds.sortby("wavelength", ascending=False),
    "concat along": lambda ds, other: xr.concat([ds, other.isel(wavelength=[3, 2])], "wavelength"),
    "concat": lambda ds, other: xr.concat([ds, other], "spectrum", join="outer"),
    "merge": lambda ds, other: xr.merge([ds[["fnu"]], other[["dq"]]], join="outer", compat="override"),
    "combine": lambda ds, other: xr.combine_by_coords(
        [ds.isel(wavelength=slice(3)), other.isel(wavelength=slice(5, None))], combine_attrs="override"
    ),
    "align inner": lambda ds, other: xr.align(ds, other, join="inner"),
    "align outer": lambda ds, other: xr.align(ds, other, join="outer"),
    "align left": lambda ds, other: xr.align(ds, other, join="left"),
    "align right": lambda ds, other: xr.align(ds, other, join="right"),
    "align exact": lambda ds, other: xr.align(ds, other, join="exact"),
    "align override": lambda ds, other: xr.align(ds, other.isel(wavelength=slice(None)), join="override"),
    "arithmetic": lambda ds, other: ds.fnu + other.fnu,
    "arithmetic of Datasets": lambda ds, other: ds[["fnu"]] - other[["fnu"]],
    "arithmetic in place": lambda ds, other: ds.fnu.copy().__iadd__(other.fnu),
    "assign": lambda ds, other: ds.assign(model=other.fnu * 2),
    "assign_coords": lambda ds, _: ds.assign_coords(wavelength=ds.wavelength * 2),
    "broadcast": lambda ds, other: xr.broadcast(ds, other.sel(wavelength=WAVE[30])),
    "broadcast_like": lambda ds, other: ds.fnu.broadcast_like(other.fnu),
    "combine_first": lambda ds, other: ds.fnu.combine_first(other.fnu),
    "xr.where": lambda ds, other: xr.where(ds.fnu > 2, ds.fnu, other.fnu),  # type: ignore[no-untyped-call]
    "apply_ufunc": lambda ds, other: xr.apply_ufunc(np.add, ds.fnu, other.fnu, join="inner"),
    "dot": lambda ds, other: ds.fnu.dot(other.fnu),
    "reindex": lambda ds, _: ds.reindex(wavelength=[1.0, *WAVE[3:5]]),
    "reindex nearest": lambda ds, _: ds.reindex(wavelength=[1.0, 2.0], method="nearest"),
    "reindex_like": lambda ds, other: ds.reindex_like(other),
    "interp": lambda ds, _: ds[["fnu"]].interp(wavelength=[1.05, 2.0]),
    "interp_like": lambda ds, other: ds[["fnu"]].interp_like(other),
    "groupby_bins": lambda ds, _: ds[["fnu"]].groupby_bins("wavelength", [0, 2, 6]).mean(),
    "groupby": lambda ds, _: ds[["fnu"]].groupby("wavelength").sum(),
    "rolling": lambda ds, _: ds.fnu.rolling(wavelength=3, center=True).mean(),
    "coarsen": lambda ds, _: ds[["fnu"]].coarsen(wavelength=4).mean(),
    "roll": lambda ds, _: ds.roll(wavelength=3, roll_coords=True),
    "shift": lambda ds, _: ds[["fnu"]].shift(wavelength=3),
    "diff": lambda ds, _: ds.fnu.diff("wavelength"),
    "integrate": lambda ds, _: ds.fnu.integrate("wavelength"),
    "differentiate": lambda ds, _: ds.fnu.differentiate("wavelength"),
    "pad": lambda ds, _: ds.fnu.pad(wavelength=1),
    "idxmax": lambda ds, _: ds.fnu.idxmax(),
    "stack": lambda ds, _: ds[["fnu"]].expand_dims(row=[0, 1]).stack(all=["row", "wavelength"]),
    "unstack": lambda ds, _: (
        ds[["fnu"]].expand_dims(row=[0, 1]).stack(all=["row", "wavelength"]).unstack("all")
    ),
    "to_stacked_array": lambda ds, _: ds[["fnu", "fnu_err"]].to_stacked_array("all", ["wavelength"]),
    "rename": lambda ds, _: ds.rename(wavelength="lam").sel(lam=slice(1.0, 2.0)),
    "rename_vars": lambda ds, _: ds.rename_vars(wavelength="lam"),
    "swap_dims": lambda ds, _: ds.assign_coords(v=ds.wavelength * 2).swap_dims(wavelength="v"),
    "set_index": lambda ds, _: ds.assign_coords(v=ds.wavelength * 2).set_index(wavelength="v"),
    "reset_index": lambda ds, _: ds.reset_index("wavelength"),
    "reset_coords": lambda ds, _: ds.reset_coords("grating"),
    "drop_vars": lambda ds, _: ds.drop_vars("wavelength"),
    "drop_indexes": lambda ds, _: ds.drop_indexes("wavelength"),
    "drop_sel": lambda ds, _: ds.drop_sel(wavelength=WAVE[3:5]),
    "transpose": lambda ds, _: ds.expand_dims("row").transpose("wavelength", "row"),
    "expand_dims": lambda ds, _: ds.isel(wavelength=2).expand_dims("wavelength"),
    "chunk and compute": lambda ds, _: ds.chunk(wavelength=10).compute(),
    "persist": lambda ds, _: ds.chunk(wavelength=10).persist(),
    "map_blocks": lambda ds, _: ds[["fnu"]].chunk(wavelength=10).map_blocks(lambda block: block * 2),
    "map_blocks of two": lambda ds, other: (
        ds[["fnu"]].chunk(wavelength=44).map_blocks(lambda a, b: a + b.sum(), [other[["fnu"]]])
    ),
    "copy": lambda ds, _: ds.copy(deep=True),
    "deepcopy": lambda ds, _: copy.deepcopy(ds),
    "pickle": lambda ds, _: pickle.loads(pickle.dumps(ds)),
    "to_dataframe": lambda ds, _: xr.Dataset.from_dataframe(ds.to_dataframe()),
    "to_series": lambda ds, _: xr.DataArray.from_series(ds.fnu.to_series()),
    "to_dict": lambda ds, _: xr.Dataset.from_dict(ds.to_dict()),
    "indexes": lambda ds, _: ds.indexes["wavelength"].to_numpy().tolist(),
    "get_index": lambda ds, _: ds.get_index("wavelength").to_numpy().tolist(),
    "equals": lambda ds, other: ds.equals(other),
    "broadcast_equals": lambda ds, other: ds.broadcast_equals(other),
    "tree": lambda ds, other: xr.DataTree.from_dict({"/": ds, "/more": other}).to_dict(),
    "cumulative_integrate": lambda ds, _: ds.fnu.cumulative_integrate("wavelength"),
    "polyfit": lambda ds, _: ds.fnu.polyfit("wavelength", 1),
}


def outcome(operation: Operation, ds: xr.Dataset, other: xr.Dataset) -> Any:
    try:
        return operation(ds, other)
    except Exception as error:
        return type(error)


def same(one: Any, other: Any) -> None:
    if isinstance(one, xr.Dataset | xr.DataArray):
        xr.testing.assert_equal(one, other)
        assert one.attrs == other.attrs
        assert list(one.coords) == list(other.coords)
        assert list(one.xindexes) == list(other.xindexes)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, tuple | list):
        for left, right in zip(one, other, strict=True):
            same(left, right)
    else:
        assert one == other


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_do_what_they_do_with_the_index_of_xarray(name: str) -> None:
    """Also together with Datasets that have xarray's own index, of the same wavelengths or of others."""
    ds = dataset()
    for other in (ds, ds.isel(wavelength=slice(2, 20)), dataset(WAVE + 0.001)):
        expected = outcome(OPERATIONS[name], plain(ds), plain(other))
        same(outcome(OPERATIONS[name], ds, other), expected)
        same(outcome(OPERATIONS[name], ds, plain(other)), expected)
        same(outcome(OPERATIONS[name], plain(ds), other), expected)


KEPT = [
    *("isel", "sel a slice", "where", "sortby", "concat along", "concat", "merge", "align inner"),
    *("align outer", "align left", "arithmetic", "assign", "reindex_like", "rename", "chunk and compute"),
    *("persist", "copy", "deepcopy", "pickle", "roll", "map_blocks", "drop_sel"),
]


@pytest.mark.parametrize("name", KEPT)
def test_quantities_can_be_selected_after(name: str) -> None:
    ds = dataset()
    result = OPERATIONS[name](ds, ds.isel(wavelength=slice(2, 40)))
    for part in result if isinstance(result, tuple) else (result,):
        (name,) = {"wavelength", "lam"} & set(part.dims)
        first = part[name].values[0]
        found = part.sel({name: (first * u.um).to(u.THz, u.spectral())})
        assert np.unique(found[name].values).tolist() == [first]


@pytest.mark.parametrize("made", ["spectrum", "file", "restframe", "resampled", "tree"])
def test_the_index_is_there_on_what_campfire_makes(made: str, tmp_path: Path) -> None:
    ds = dataset()
    write_spectrum(tmp_path / "a_spec.fits", SpectrumData.from_xarray(ds).to_fields())
    if made == "file":
        ds = xr.open_dataset(tmp_path / "a_spec.fits", engine="campfire")
    elif made == "tree":
        tree = xr.open_datatree(tmp_path / "a_spec.fits", engine="campfire")
        ds = tree.to_dataset()
        assert all(isinstance(node.xindexes["wavelength"], SpectralIndex) for node in tree.leaves)
    elif made == "restframe":
        ds = ds.campfire.to_restframe(0.5)
    elif made != "spectrum":
        ds = ds.campfire.resample(WAVE[2:-2])
    found = ds.sel(wavelength=slice(10_000 * u.AA, 1.5 * u.um)).wavelength.values
    assert found.size
    assert ((found >= 1.0) & (found <= 1.5)).all()


@pytest.fixture(scope="module")
def gridded(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    """Two gratings of two spectra each, lazy, on one grid."""
    folder = tmp_path_factory.mktemp("gridded")
    for name in "abcd":
        write_spectrum(folder / f"{name}.fits", SpectrumData.from_xarray(dataset()).to_fields())
    columns: dict[str, Any] = {
        "spectrum_id": list("abcd"),
        "grating": ["PRISM", "PRISM", "G395M", "G395M"],
        "redshift": np.ones(4),
    }
    sources = [FileSource(str(folder / f"{name}.fits")) for name in "abcd"]
    return open_tree(sources, columns, grid=WAVE[1:-1])


GRIDDED: dict[str, Callable[[xr.Dataset], Any]] = {
    "as opened": lambda ds: ds,
    "resampled": lambda ds: ds.campfire.resample(WAVE[3:-3]),
    "selected": lambda ds: ds.campfire.select(redshift_range=(0, 3)),
    "stacked": lambda ds: ds.campfire.stack(),
    "good": lambda ds: ds.campfire.good(),
    "a spectrum taken out": lambda ds: ds.campfire.to_spectra()[0].to_xarray(),
    "a row": lambda ds: ds.sel(spectrum_id="a"),
    "averaged": lambda ds: ds.fnu.mean("spectrum"),
    "grouped": lambda ds: ds.fnu.groupby("redshift").mean(),
    "rows joined": lambda ds: xr.concat([ds.fnu, ds.fnu.isel(spectrum=[0])], "spectrum"),
    "rows aligned": lambda ds: xr.align(ds.fnu.isel(spectrum=[0]), ds.fnu, join="outer")[0],
    "differences of subsets": lambda ds: ds.fnu - ds.fnu.isel(spectrum=[1]),
    "chunked the other way": lambda ds: ds.chunk(wavelength=5),
    "persisted": lambda ds: ds[["fnu"]].persist(),
}


@pytest.mark.parametrize("name", GRIDDED)
def test_quantities_can_be_selected_in_gridded_collections(gridded: xr.DataTree, name: str) -> None:
    made = GRIDDED[name](gridded["PRISM"].to_dataset())
    found = made.sel(wavelength=slice(20_000 * u.AA, 3 * u.um)).wavelength
    assert found.values.tolist() == WAVE[(WAVE >= 2.0) & (WAVE <= 3.0)].tolist()


def test_a_tree_of_gridded_collections_is_cut_and_stored(gridded: xr.DataTree, tmp_path: Path) -> None:
    """Its file is read without campfire; its indexes are given back."""
    cut = gridded.sel(wavelength=slice(20_000 * u.AA, 3 * u.um))
    assert {node.sizes["wavelength"] for node in cut.children.values()} == {
        int(((WAVE >= 2.0) & (WAVE <= 3.0)).sum())
    }
    gridded.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    back = xr.open_datatree(tmp_path / "a.zarr", engine="zarr", consolidated=False)
    assert not isinstance(back["PRISM"].to_dataset().xindexes["wavelength"], SpectralIndex)
    again = back.campfire.indexed()
    for name, node in gridded.children.items():
        assert again[name].to_dataset().load().identical(node.to_dataset().load())


def test_files_hold_plain_coordinates(tmp_path: Path) -> None:
    ds = dataset()
    ds.to_netcdf(tmp_path / "a.nc")
    ds.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    for back in (xr.load_dataset(tmp_path / "a.nc"), xr.open_zarr(tmp_path / "a.zarr", consolidated=False)):
        assert not isinstance(back.xindexes["wavelength"], SpectralIndex)
        assert back.equals(ds)
        xr.testing.assert_equal(back.fnu - ds.fnu, ds.fnu - ds.fnu)
        again = back.campfire.indexed()
        assert again.sel(wavelength=slice(1 * u.um, 20_000 * u.AA)).equals(ds.sel(wavelength=slice(1, 2)))
        assert again.wavelength.attrs == ds.wavelength.attrs
        assert again.load().identical(ds)


def test_other_dimensions_keep_the_index_that_xarray_gives_them() -> None:
    coords = spectral_coordinates({"wavelength": ("wavelength", [1.0]), "lag": ("lag", [0, 1])})
    assert {name: type(index).__name__ for name, index in coords.xindexes.items()} == {
        "wavelength": "SpectralIndex",
        "lag": "PandasIndex",
    }
