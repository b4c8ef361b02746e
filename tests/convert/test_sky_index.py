"""Statement checked: plain ``Dataset.sel`` finds rows by their position, whatever was done before."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import SkyCoord, angular_separation
from hypothesis import example, given
from hypothesis import strategies as st

from campfire import SkyIndex
from campfire.errors import ValidationError

RAS = st.one_of(st.floats(0, 360), st.floats(-1e-3, 1e-3), st.floats(359.999, 360.001))
DECS = st.one_of(st.floats(-90, 90), st.floats(89.999, 90), st.floats(-90, -89.999), st.just(2.0))
POSITIONS = st.lists(st.tuples(RAS, DECS), min_size=1, max_size=12)


def dataset(ra: Any, dec: Any) -> xr.Dataset:
    coords = {
        "ra": ("spectrum", np.asarray(ra, dtype=float), {"units": "deg"}),
        "dec": ("spectrum", np.asarray(dec, dtype=float), {"units": "deg"}),
        "spectrum_id": ("spectrum", [f"s{k}" for k in range(len(ra))]),
    }
    ds = xr.Dataset({"row": ("spectrum", np.arange(len(ra)))}, coords).set_xindex("spectrum_id")
    return ds.set_xindex(["ra", "dec"], SkyIndex)


@given(ra=RAS, dec=DECS, tolerance=st.none() | st.floats(1e-3, 600_000.0), where=POSITIONS)
@example(ra=0.0, dec=90.0, tolerance=4.0, where=[(12.0, 89.9991), (192.0, 89.999), (0.0, -90.0)])
@example(ra=0.0, dec=0.0, tolerance=3.7, where=[(359.999, 0.0), (0.0011, 0.0), (180.0, 0.0)])
def test_the_nearest_position_is_found_all_over_the_sky(
    ra: float, dec: float, tolerance: float | None, where: list[tuple[float, float]]
) -> None:
    """Against the formula of Vincenty as astropy has it."""
    lon, lat = np.radians(np.array(where).T)
    truth = np.asarray(angular_separation(np.radians(ra), np.radians(dec), lon, lat)) * 648_000 / np.pi
    near, limit = truth.min(), tolerance or 648_000.0
    if abs(near - limit) < 1e-6 + 1e-9 * limit:
        return
    labels: dict[str, Any] = {"ra": ra * u.deg, "dec": dec, "method": "nearest"}
    if tolerance is not None:
        labels["tolerance"] = tolerance * u.arcsec
    ds = dataset(*zip(*where, strict=True))
    if near > limit:
        with pytest.raises(KeyError, match="nothing within"):
            ds.sel(**labels)
        return
    found = ds.sel(**labels)
    assert truth[found.row.item()] <= near + (1e-8 if near < 600_000 else 5e-3)


KEPT: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "isel of a list": lambda ds: ds.isel(spectrum=[2, 0, 3]),
    "isel of a slice": lambda ds: ds.isel(spectrum=slice(None, None, -1)),
    "isel of a mask": lambda ds: ds.isel(spectrum=(ds.row > 1).values),
    "isel of a DataArray": lambda ds: ds.isel(spectrum=xr.DataArray([3, 2], dims="near")),
    "sel of names": lambda ds: ds.sel(spectrum_id=["s2", "s3"]),
    "where": lambda ds: ds.where(ds.row > 1),
    "where and drop": lambda ds: ds.where(ds.row > 1, drop=True),
    "sortby": lambda ds: ds.sortby("dec"),
    "sortby names": lambda ds: ds.sortby("spectrum_id", ascending=False),
    "concat": lambda ds: xr.concat([ds.isel(spectrum=[3]), ds.isel(spectrum=[2, 0])], "spectrum"),
    "chunk": lambda ds: ds.chunk(spectrum=2),
    "chunk and compute": lambda ds: ds.chunk(spectrum=2).compute(),
    "copy": lambda ds: ds.copy(deep=True),
    "deepcopy": copy.deepcopy,
    "pickle": lambda ds: pickle.loads(pickle.dumps(ds)),
    "roll": lambda ds: ds.roll(spectrum=1, roll_coords=True),
    "assign": lambda ds: ds.assign(twice=ds.row * 2),
    "arithmetic": lambda ds: (ds + ds) / 2,
    "rename of the dimension": lambda ds: ds.rename(spectrum="source"),
    "groupby and map": lambda ds: ds.groupby(ds.row % 2).map(lambda part: part),
    "thin": lambda ds: ds.thin(spectrum=2),
    "drop_vars": lambda ds: ds.drop_vars("spectrum_id"),
    "align with itself": lambda ds: xr.align(ds, ds.copy(), join="outer")[0],
    "merge with a part of itself": lambda ds: xr.merge([ds, (ds.row * 2).rename("twice")]),
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
def test_the_index_is_kept_and_in_step(change: Callable[[xr.Dataset], xr.Dataset]) -> None:
    changed = change(dataset([10.0, 20.0, 30.0, 40.0], [4.0, 3.0, 2.0, 1.0]))
    assert isinstance(changed.xindexes["ra"], SkyIndex)
    assert changed.xindexes["ra"] is changed.xindexes["dec"]
    assert changed.ra.attrs == {"units": "deg"}
    found = changed.sel(ra=30.0001, dec=2.0, method="nearest", tolerance=1 * u.arcsec)
    assert [float(found[name].values) for name in ("row", "ra", "dec")] == [2, 30, 2]


def test_a_change_of_names_is_followed() -> None:
    ds = dataset([10.0, 20.0], [4.0, 3.0]).rename(ra="lon", dec="lat")
    assert ds.sel(lon=20, lat=3, method="nearest").row.item() == 1
    swapped = ds.drop_indexes(["lon", "lat"]).rename(lon="ra", lat="dec").set_xindex(["dec", "ra"], SkyIndex)
    assert swapped.sel(ra=20, dec=3, method="nearest").row.item() == 1


def test_several_labels_are_matched_one_by_one() -> None:
    ds = dataset([10.0, 20.0, 30.0, 20.0], [0.0] * 4)
    sky = SkyCoord([30.0001, 20], [0, 0], unit="deg")
    found = ds.sel(ra=sky.ra, dec=sky.dec, method="nearest", tolerance=1)
    assert found.row.values.tolist() == [2, 1]
    assert isinstance(found.xindexes["ra"], SkyIndex)
    at = xr.Dataset({"ra": ("target", [20.0, 10.0, 10.0]), "dec": ("target", [0.0] * 3)})
    assert ds.sel(ra=at.ra, dec=at.dec, method="nearest").row.dims == ("target",)
    grid = xr.DataArray([[10.0, 30.0]], dims=("y", "x"))
    found = ds.sel(ra=grid, dec=grid * 0, method="nearest")
    assert found.row.dims == ("y", "x")
    assert found.row.values.tolist() == [[0, 2]]
    with pytest.raises(KeyError, match="ra=31"):
        ds.sel(ra=[10, 31], dec=[0, 0], method="nearest", tolerance=1)


def test_one_row_has_positions_and_no_index() -> None:
    one = dataset([10.0, 20.0], [4.0, 3.0]).isel(spectrum=1)
    assert "ra" not in one.xindexes
    assert (one.ra.item(), one.dec.item()) == (20.0, 3.0)


def test_positions_that_are_not_known_are_nowhere() -> None:
    ds = dataset([np.nan, 10.0, 10.0], [0.0, np.nan, 1.0])
    assert ds.sel(ra=10, dec=0, method="nearest").row.item() == 2
    with pytest.raises(KeyError):
        ds.isel(spectrum=[0, 1]).sel(ra=10, dec=0, method="nearest")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no method": ({"ra": 1.0, "dec": 2.0}, "nearest"),
    "another method": ({"ra": 1.0, "dec": 2.0, "method": "pad"}, "nearest"),
    "half a position": ({"ra": 1.0, "method": "nearest"}, "ra= and dec="),
    "a range": ({"ra": slice(1, 2), "dec": slice(1, 2), "method": "nearest"}, "cone"),
    "two lengths": ({"ra": [1.0], "dec": [2.0, 3.0], "method": "nearest"}, "one length"),
    "beyond the pole": ({"ra": 1.0, "dec": 92.0, "method": "nearest"}, "dec -90 to 90"),
    "text": ({"ra": "1h", "dec": 2.0, "method": "nearest"}, "text"),
    "a length": ({"ra": 1.0, "dec": 2.0, "method": "nearest", "tolerance": 1 * u.um}, "angle"),
}


@pytest.mark.parametrize(("labels", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_position_is_refused(labels: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        dataset([1.0, 2.0], [2.0, 2.0]).sel(**labels)


def test_what_are_no_positions_has_no_index() -> None:
    ds = dataset([1.0], [2.0]).drop_indexes(["ra", "dec"])
    for wrong in (
        ds.assign_coords(ra=("other", [1.0, 2.0])),
        ds.assign_coords(ra=("spectrum", ["1h"])),
        ds.assign_coords(ra=("spectrum", [0.1], {"units": "rad"})),
    ):
        with pytest.raises(ValidationError, match=r"set_xindex|degrees"):
            wrong.set_xindex(["ra", "dec"], SkyIndex)


def test_rows_are_not_joined_by_position() -> None:
    """What two spectra share names neither; xarray would have to guess."""
    ds = dataset([10.0, 20.0], [4.0, 3.0])
    for join in ("inner", "outer", "left", "right"):
        with pytest.raises(ValidationError, match="drop_indexes"):
            xr.align(ds, ds.isel(spectrum=[1]), join=join)
    plain = ds.drop_indexes(["ra", "dec"])
    assert xr.align(plain, plain.isel(spectrum=[1]), join="inner")[0].row.values.tolist() == [1]


def test_why_no_collection_has_it_when_it_is_opened() -> None:
    """xarray reorders rows for the index of spectrum_id and leaves positions, which have another, in place.

    When this fails, xarray has mended it: then the index can be attached on opening.
    """
    ds = dataset([10.0, 20.0], [4.0, 3.0])
    table = xr.Dataset({"mine": ("spectrum", [1, 0])}, {"spectrum_id": ("spectrum", ["s1", "s0"])})
    table = table.set_xindex("spectrum_id")
    plain, _ = xr.align(ds.drop_indexes(["ra", "dec"]), table, join="right")
    assert (plain.spectrum_id.values.tolist(), plain.ra.values.tolist()) == (["s1", "s0"], [20.0, 10.0])
    try:
        joined, _ = xr.align(ds, table, join="right")
    except (ValueError, xr.AlignmentError):
        return
    assert joined.ra.values.tolist() != plain.ra.values.tolist()


def test_what_is_searched_cannot_be_changed_behind_the_index() -> None:
    ds = dataset([10.0, 20.0], [4.0, 3.0])
    with pytest.raises(ValueError, match="read-only"):
        ds.ra.values[0] = 50.0
    with pytest.raises(ValueError, match="corrupt"):
        ds.drop_vars("ra")


def test_47_000_rows_take_a_millisecond() -> None:
    rng = np.random.default_rng(0)
    n = 47_000
    ds = dataset(rng.uniform(0, 360, n), rng.uniform(-90, 90, n))
    times = []
    for k in range(30):
        begin = time.perf_counter()
        found = ds.sel(ra=ds.ra.values[k], dec=ds.dec.values[k], method="nearest", tolerance=1 * u.arcsec)
        times.append(time.perf_counter() - begin)
        assert found.row.item() == k
    assert np.median(times) < 5e-3  # under 1 ms on a machine that has nothing else to do
