"""Statements checked: positions, names and wavelengths select what they say, in Datasets and trees alike."""

from __future__ import annotations

import pickle
import time
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import SkyCoord, angular_separation
from hypothesis import example, given
from hypothesis import strategies as st

import campfire.accessors  # noqa: F401  (registers Dataset.campfire)
from campfire import schema
from campfire.columns import Columns
from campfire.convert.wavelength_index import indexed
from campfire.errors import NotFoundError, ValidationError
from campfire.models import SpectrumData
from campfire.query import Query
from campfire.query.evaluate import matches

WAVE = np.linspace(1.0, 5.0, 41)


def collection(ra: Any, dec: Any, *, gridded: bool = False, names: Any = None, z: Any = 1.0) -> xr.Dataset:
    n = len(ra)
    dims = schema.GRIDDED if gridded else schema.NATIVE
    ones = np.ones((n, WAVE.size))
    wave = (schema.SPECTRUM, WAVE) if gridded else (dims, ones * WAVE)
    data = {"fnu": (dims, ones * np.arange(n)[:, None], {"units": "uJy"}), "fnu_err": (dims, ones)}
    data["dq"] = (dims, ones.astype(np.uint8))
    ids = [f"s{k}" for k in range(n)] if names is None else names
    coords = {
        "wavelength": (*wave, schema.attrs_of("wavelength")),
        "spectrum_id": ("spectrum", np.array(ids, dtype=str)),
        "object_id": ("spectrum", np.array([f"o{k // 2}" for k in range(n)], dtype=str)),
        "redshift": ("spectrum", np.broadcast_to(np.asarray(z, dtype=float), n).copy()),
        "ra": ("spectrum", np.asarray(ra, dtype=float)),
        "dec": ("spectrum", np.asarray(dec, dtype=float)),
        "grating": "PRISM",
    }
    ds = xr.Dataset(data, coords, {"campfire_schema": 1})
    return indexed(ds)


# --- positions ---------------------------------------------------------------------------------------------

# crowded at the poles, across RA 0 and around one field, so that circles hold some
RAS = st.one_of(st.floats(0, 360), st.floats(-1e-3, 1e-3), st.floats(359.999, 360.001), st.just(150.0))
DECS = st.one_of(
    st.floats(-90, 90), st.floats(89.999, 90), st.floats(-90, -89.999), st.floats(-1e-3, 1e-3), st.just(2.0)
)
RADII = st.one_of(st.floats(1e-3, 10.0), st.floats(10.0, 648_000.0))
POSITIONS = st.lists(st.tuples(RAS, DECS), min_size=1, max_size=12)


def separations(ra: float, dec: float, where: list[tuple[float, float]]) -> Any:
    lon, lat = np.radians(np.array(where).T)
    angle = angular_separation(np.radians(ra), np.radians(dec), lon, lat)
    return np.asarray(angle) * 648_000 / np.pi


@given(ra=RAS, dec=DECS, radius=RADII, where=POSITIONS)
@example(ra=0.0, dec=90.0, radius=4.0, where=[(12.0, 89.999), (192.0, 89.999), (0.0, -90.0)])
@example(ra=0.0, dec=0.0, radius=3.7, where=[(359.999, 0.0), (0.001, 0.0), (180.0, 0.0)])
def test_a_cone_holds_what_is_nearer_than_its_radius(
    ra: float, dec: float, radius: float, where: list[tuple[float, float]]
) -> None:
    """Against the formula of Vincenty as astropy has it; rounding decides only what is on the very rim."""
    truth = separations(ra, dec, where)
    ds = collection(*zip(*where, strict=True))
    found = ds.campfire.cone((ra, dec, radius))
    rows = [int(name[1:]) for name in found.spectrum_id.values]
    rim = np.abs(truth - radius) < 1e-6 + 1e-9 * radius + 3e-3 * (truth > 640_000)
    assert (
        set(np.flatnonzero((truth <= radius) & ~rim))
        <= set(rows)
        <= set(np.flatnonzero((truth <= radius) | rim))
    )
    assert rows == sorted(rows)
    # arcsin loses digits next to the opposite point of the sky
    np.testing.assert_allclose(found.separation, truth[rows], atol=1e-8 if radius < 600_000 else 5e-3)


@given(ra=RAS, dec=DECS, radius=RADII, where=POSITIONS)
def test_a_cone_of_a_collection_is_that_of_a_query(
    ra: float, dec: float, radius: float, where: list[tuple[float, float]]
) -> None:
    columns = Columns.from_values("spectra", {"ra": [w[0] for w in where], "dec": [w[1] for w in where]})
    expected = matches(Query.of("spectra", cone_search=(ra, dec, radius)).where, columns)
    found = collection(*zip(*where, strict=True)).campfire.cone((ra, dec, radius))
    assert found.spectrum_id.values.tolist() == [f"s{k}" for k in np.flatnonzero(expected)]


@given(ra=RAS, dec=DECS, tolerance=st.none() | RADII, where=POSITIONS)
def test_nearest_is_nearest(
    ra: float, dec: float, tolerance: float | None, where: list[tuple[float, float]]
) -> None:
    truth = separations(ra, dec, where)
    ds = collection(*zip(*where, strict=True))
    near = truth.min()
    limit = 648_000.0 if tolerance is None else tolerance
    labels: dict[str, Any] = {"ra": ra * u.deg, "dec": dec, "method": "nearest"}
    if tolerance is not None:
        labels["tolerance"] = tolerance * u.arcsec
    if abs(near - limit) < 1e-6 + 1e-9 * limit:
        return
    if near > limit:
        with pytest.raises(NotFoundError, match="wider tolerance"):
            ds.campfire.sel(**labels)
        return
    found = ds.campfire.sel(**labels)
    rows = [int(name[1:]) for name in found.spectrum_id.values]
    slack = 1e-8 if near < 600_000 else 5e-3
    assert (truth[rows] <= near + slack).all()
    first = where[rows[0]]
    assert {k for k, other in enumerate(where) if other == first} <= set(rows)
    np.testing.assert_allclose(found.separation, near, atol=slack)


CENTRES: dict[str, dict[str, Any]] = {
    "three numbers": {"centre": (150.0, 2.0, 1.5)},
    "a list": {"centre": [150.0, 2.0, 1.5]},
    "keywords": {"ra": 150.0, "dec": 2.0, "radius": 1.5},
    "Quantities": {"ra": 10 * u.hourangle, "dec": 120 * u.arcmin, "radius": 1.5 / 3600 * u.deg},
    "SkyCoord": {"centre": SkyCoord(150, 2, unit="deg"), "radius": 1.5 * u.arcsec},
    "SkyCoord of another frame": {"centre": SkyCoord(150, 2, unit="deg").galactic, "radius": 1.5},
    "SkyCoord and radius": {"centre": (SkyCoord(150, 2, unit="deg"), 1.5)},
}


@pytest.mark.parametrize("given_as", CENTRES.values(), ids=CENTRES)
def test_a_circle_is_given_in_many_ways(given_as: dict[str, Any]) -> None:
    ds = collection([150.0, 150.0, 150.0], [2.0, 2.0 + 1 / 3600, 2.0 + 2 / 3600])
    found = ds.chunk(spectrum=1).campfire.cone(**given_as)
    assert found.fnu.chunks == ((1, 1), (41,))  # still lazy
    assert found.spectrum_id.values.tolist() == ["s0", "s1"]
    np.testing.assert_allclose(found.separation, [0, 1], atol=1e-8)
    assert found.separation.attrs["units"] == "arcsec"
    assert "2 of 3 spectra within 1.5 arcsec of ra 150.000000, dec 2.000000" in found.history


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "no radius": ("cone", {"ra": 1.0, "dec": 2.0}, "cone"),
    "nothing": ("cone", {}, "cone"),
    "two centres": ("cone", {"centre": (1.0, 2.0, 3.0), "ra": 1.0}, "one centre"),
    "a negative radius": ("cone", {"centre": (1.0, 2.0, -3.0)}, "radius"),
    "a flux for a radius": ("cone", {"ra": 1.0, "dec": 2.0, "radius": 3 * u.uJy}, "angle"),
    "beyond the pole": ("cone", {"centre": (1.0, 92.0, 3.0)}, "dec -90 to 90"),
    "no method": ("sel", {"ra": 1.0, "dec": 2.0}, "nearest"),
    "another method": ("sel", {"ra": 1.0, "dec": 2.0, "method": "pad"}, "nearest"),
    "half a position": ("sel", {"ra": 1.0, "method": "nearest"}, "pass both"),
    "lists of two lengths": ("sel", {"ra": [1.0], "dec": [2.0, 3.0], "method": "nearest"}, "same length"),
    "no positions": ("sel", {"ra": [], "dec": [], "method": "nearest"}, "same length"),
    "a length for an angle": (
        "sel",
        {"ra": 1.0, "dec": 2.0, "method": "nearest", "tolerance": 1 * u.um},
        "angle",
    ),
    "text": ("sel", {"ra": "1h", "dec": 2.0, "method": "nearest"}, "as numbers"),
    "nothing to select": ("sel", {}, "nothing"),
    "rows twice": ("sel", {"spectrum_id": "s0", "object_id": "o0"}, "pass one of"),
    "two wavelengths": ("sel", {"wavelength": 1.0, "rest_wavelength": 1.0}, "two ranges"),
    "a name that is a number": ("sel", {"spectrum_id": 3}, "pass a name"),
    "a tolerance alone": ("sel", {"wavelength": 1.0, "tolerance": 1 * u.AA}, "nearest"),
    "a name that is near": ("sel", {"spectrum_id": "s0", "method": "nearest"}, "leave them out"),
    "text for a wavelength": ("sel", {"wavelength": "a"}, "pass microns"),
    "the nearest of a slice": ("sel", {"wavelength": slice(1, 2), "method": "nearest"}, "not for slices"),
    "an unknown method": ("sel", {"wavelength": 1.01, "method": "closest"}, "pass microns"),
    "a flux for a wavelength": ("sel", {"rest_wavelength": 3 * u.uJy}, "pass microns"),
    "no names": ("sel", {"spectrum_id": []}, "pass a name"),
}


@pytest.mark.parametrize(("method", "labels", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_refused(method: str, labels: dict[str, Any], words: str) -> None:
    ds = collection([1.0, 2.0], [2.0, 2.0], gridded=True)
    for accessor in (ds.campfire, xr.DataTree.from_dict({"/PRISM": ds}).campfire):
        with pytest.raises(ValidationError, match=words):
            getattr(accessor, method)(**labels)


def test_positions_that_are_not_known_are_nowhere() -> None:
    ds = collection([np.nan, 10.0, 10.0], [0.0, np.nan, 0.0])
    assert ds.campfire.cone((10.0, 0.0, 648_000)).spectrum_id.values.tolist() == ["s2"]
    assert ds.campfire.sel(ra=10, dec=0, method="nearest").spectrum_id.values.tolist() == ["s2"]
    with pytest.raises(NotFoundError):
        ds.isel(spectrum=[0, 1]).campfire.sel(ra=10, dec=0, method="nearest")
    assert ds.isel(spectrum=[0, 1]).campfire.cone((10.0, 0.0, 60.0)).sizes["spectrum"] == 0


def test_several_positions_are_matched_in_their_order() -> None:
    ds = collection([10.0, 20.0, 30.0, 20.0], [0.0] * 4)
    found = ds.campfire.sel(ra=[30.0001, 20.0], dec=[0.0, 0.0001], method="nearest", tolerance=1)
    assert found.spectrum_id.values.tolist() == ["s2", "s1", "s3"]
    np.testing.assert_allclose(found.separation, 0.36, rtol=1e-6)
    sky = SkyCoord([30, 20], [0, 0], unit="deg")
    assert ds.campfire.sel(ra=sky.ra, dec=sky.dec, method="nearest").sizes["spectrum"] == 3
    with pytest.raises(NotFoundError, match=r"within 1 arcsec of ra=31, dec=0, and 1 more"):
        ds.campfire.sel(ra=[30, 31, 32], dec=[0, 0, 0], method="nearest", tolerance=1)


def test_positions_are_those_of_the_moment() -> None:
    """There is nothing built beforehand that could be out of step: not after any change in place either."""
    ds = collection([10.0, 20.0, 30.0], [0.0] * 3).load()
    ds.campfire.cone((10.0, 0.0, 1.0))
    ds["ra"] = ds.ra + 1
    assert ds.campfire.cone((11.0, 0.0, 1.0)).spectrum_id.values.tolist() == ["s0"]
    ds.ra.values[0] = 50.0
    assert ds.campfire.cone((50.0, 0.0, 1.0)).spectrum_id.values.tolist() == ["s0"]
    for changed in (
        ds.isel(spectrum=[2, 0]),
        ds.where(ds.ra != 21, drop=True),
        ds.sortby("ra"),
        ds.chunk(spectrum=1),
        xr.concat([ds, ds.isel(spectrum=[1])], "spectrum"),
        pickle.loads(pickle.dumps(ds)),
        ds.rename(fnu_err="other").rename(other="fnu_err"),
    ):
        assert changed.campfire.cone((31.0, 0.0, 1.0)).spectrum_id.values.tolist() == ["s2"]


def test_without_positions_it_is_said_what_there_is() -> None:
    ds = collection([1.0], [2.0]).drop_vars(["ra", "dec"])
    with pytest.raises(ValidationError, match="no 'ra' a spectrum"):
        ds.campfire.cone((1.0, 2.0, 3.0))
    with pytest.raises(ValidationError, match="no 'ra' a spectrum"):
        ds.campfire.sel(ra=1, dec=2, method="nearest")
    one = SpectrumData(WAVE, WAVE, WAVE, {}, "PRISM", "a").to_xarray()
    with pytest.raises(ValidationError, match="one spectrum"):
        one.campfire.cone((1.0, 2.0, 3.0))
    with pytest.raises(ValidationError, match="one spectrum"):
        one.campfire.sel(spectrum_id="a")


def test_47_000_rows_take_a_millisecond() -> None:
    rng = np.random.default_rng(0)
    n = 47_000
    ra, dec = 150 + rng.uniform(-0.7, 0.7, n), 2 + rng.uniform(-0.7, 0.7, n)
    ds = xr.Dataset(coords={"ra": ("spectrum", ra), "dec": ("spectrum", dec)})
    times = []
    for k in range(30):
        begin = time.perf_counter()
        found = ds.campfire.sel(ra=ra[k], dec=dec[k], method="nearest", tolerance=1 * u.arcsec)
        times.append(time.perf_counter() - begin)
        assert found.ra.item() == ra[k]
    assert np.median(times) < 5e-3  # under 1 ms on a machine that has nothing else to do


# --- names -------------------------------------------------------------------------------------------------


def test_names_select_rows_in_their_order() -> None:
    ds = collection(np.arange(6.0), np.zeros(6), names=["a", "b", "a", "c", "d", "e"])
    assert ds.campfire.sel(spectrum_id="a").fnu[:, 0].values.tolist() == [0, 2]
    assert ds.campfire.sel(spectrum_id=["c", "a"]).fnu[:, 0].values.tolist() == [3, 0, 2]
    assert ds.campfire.sel(spectrum_id=ds.spectrum_id[3:5]).fnu[:, 0].values.tolist() == [3, 4]
    assert ds.campfire.sel(object_id="o1").fnu[:, 0].values.tolist() == [2, 3]
    with pytest.raises(NotFoundError, match="no spectrum_id='f' here"):
        ds.campfire.sel(spectrum_id=["a", "f"])
    assert ds.drop_vars("spectrum_id").campfire.sel(object_id="o1").sizes["spectrum"] == 2


# --- wavelengths -------------------------------------------------------------------------------------------

CUTS: list[Any] = [
    slice(1.5, 2.5),
    slice(15_000 * u.AA, 2.5 * u.um),
    slice(150 * u.THz, None),
    [1.5, 2.0] * u.um,
    2.0,
]


@pytest.mark.parametrize("label", CUTS, ids=str)
def test_wavelengths_are_selected_without_an_index_too(label: Any) -> None:
    spectrum = SpectrumData(WAVE, WAVE, WAVE, {}, "PRISM", "a", redshift=1.0).to_xarray()
    for ds in (spectrum, collection([1.0, 2.0], [0.0, 0.0], gridded=True)):
        plain = ds.drop_indexes("wavelength").set_xindex("wavelength")
        expected = ds.sel(wavelength=label)
        for given_ in (ds, plain):
            assert given_.campfire.sel(wavelength=label).equals(expected)


def in_rest_frame(label: Any, z: float) -> Any:
    if isinstance(label, slice):
        return slice(in_rest_frame(label.start, z), in_rest_frame(label.stop, z))
    if label is None:
        return None
    unit = getattr(label, "unit", None)
    return label * (1 + z) if unit is not None and unit.physical_type == "frequency" else label / (1 + z)


@pytest.mark.parametrize("label", CUTS, ids=str)
def test_rest_frame_wavelengths_select_what_they_are_in_the_rest_frame(label: Any) -> None:
    spectrum = SpectrumData(WAVE, WAVE, WAVE, {}, "PRISM", "a", redshift=1.0).to_xarray()
    for ds in (spectrum, collection([1.0, 2.0], [0.0, 0.0], gridded=True)):
        found = ds.campfire.sel(rest_wavelength=in_rest_frame(label, 1.0))
        assert found.identical(ds.sel(wavelength=label))
    rest = spectrum.campfire.to_restframe(1.0)
    same = rest.campfire.sel(rest_wavelength=in_rest_frame(label, 1.0))
    assert same.identical(rest.sel(wavelength=in_rest_frame(label, 1.0)))


def test_nearest_in_the_rest_frame() -> None:
    ds = SpectrumData(WAVE, WAVE, WAVE, {}, "PRISM", "a", redshift=3.0).to_xarray()
    found = ds.campfire.sel(rest_wavelength=5007 * u.AA, method="nearest", tolerance=300 * u.AA)
    assert found.wavelength.item() == 2.0
    with pytest.raises(NotFoundError, match="wider tolerance"):
        ds.campfire.sel(rest_wavelength=5007 * u.AA, method="nearest", tolerance=1 * u.AA)


def test_rest_frame_wavelengths_of_every_kind_of_dataset() -> None:
    z = np.array([1.0, 3.0, np.nan])
    truth = WAVE / (1 + z[:, None])
    native = collection(z, z, z=z)
    gridded = collection(z, z, z=z, gridded=True)
    for ds in (native, gridded):
        rest = ds.campfire.rest_wavelength()
        assert rest.dims == ds.fnu.dims
        np.testing.assert_allclose(rest, truth, rtol=1e-15)
        assert rest.attrs["units"] == "um"
        assert rest.name == "rest_wavelength"
        np.testing.assert_allclose(ds.campfire.rest_wavelength(z + 1), WAVE / (2 + z[:, None]), rtol=1e-15)
        np.testing.assert_array_equal(ds.campfire.rest_wavelength(0), ds.wavelength)
        with pytest.raises(ValidationError, match="of its own"):
            ds.campfire.sel(rest_wavelength=0.5)
    assert native.chunk(spectrum=1).campfire.rest_wavelength().chunks == ((1, 1, 1), (41,))
    with pytest.raises(ValidationError, match="of its own"):
        native.campfire.sel(wavelength=slice(1, 2))
    one = gridded.campfire.sel(spectrum_id="s1")
    np.testing.assert_allclose(one.campfire.sel(rest_wavelength=slice(0.5, 1)).wavelength, WAVE[10:31])
    for wrong in ([1.0, 2.0], np.nan):
        with pytest.raises(ValidationError, match="redshift"):
            native.campfire.rest_wavelength(wrong)
    with pytest.raises(ValidationError, match="no redshift is known"):
        SpectrumData(WAVE, WAVE, WAVE, {}, "PRISM", "a").to_xarray().campfire.rest_wavelength()
    spectrum = SpectrumData(WAVE, WAVE, WAVE, {}, "PRISM", "a", redshift=1.0).to_xarray()
    with pytest.raises(ValidationError, match="rest frame"):
        spectrum.campfire.to_restframe(1.0).campfire.rest_wavelength(1.0)


def test_rest_frame_wavelengths_are_in_step_with_what_is_there() -> None:
    ds = SpectrumData(WAVE, WAVE, WAVE, {}, "PRISM", "a", redshift=1.0).to_xarray()
    for changed in (
        ds.isel(wavelength=slice(3, 9)),
        ds.sel(wavelength=slice(2, 3)),
        ds.campfire.resample(WAVE[1:-1:2]),
        ds.assign_coords(wavelength=ds.wavelength * 1.1),
    ):
        np.testing.assert_array_equal(changed.campfire.rest_wavelength(), changed.wavelength / 2)
    kept = ds.assign_coords(rest_wavelength=ds.campfire.rest_wavelength())
    np.testing.assert_allclose(kept.isel(wavelength=slice(3, 9)).rest_wavelength, WAVE[3:9] / 2)


# --- trees -------------------------------------------------------------------------------------------------


def tree() -> xr.DataTree:
    prism = collection([10.0, 20.0, 20.0], [0.0] * 3, gridded=True, names=["p0", "p1", "p2"])
    g395m = collection([20.0, 30.0], [0.0] * 2, gridded=True, names=["g0", "g1"])
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"query": "q"}), "/PRISM": prism, "/G395M": g395m})


def ids(found: xr.DataTree) -> dict[str, list[str]]:
    assert found.attrs == {"query": "q"}
    return {name: node.spectrum_id.values.tolist() for name, node in found.children.items()}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda t: t.cone((20.0, 0.0, 1.0)), {"PRISM": ["p1", "p2"], "G395M": ["g0"]}),
        (lambda t: t.cone((10.0, 0.0, 1.0)), {"PRISM": ["p0"]}),
        (lambda t: t.cone((77.0, 0.0, 1.0)), {}),
        (lambda t: t.sel(ra=30, dec=0, method="nearest", tolerance=1), {"G395M": ["g1"]}),
        (lambda t: t.sel(ra=30, dec=0, method="nearest"), {"PRISM": ["p1", "p2"], "G395M": ["g1"]}),
        (lambda t: t.sel(spectrum_id="p2"), {"PRISM": ["p2"]}),
        (lambda t: t.sel(spectrum_id=["g1", "p2"]), {"PRISM": ["p2"], "G395M": ["g1"]}),
        (lambda t: t.sel(wavelength=slice(1, 2)), {"PRISM": ["p0", "p1", "p2"], "G395M": ["g0", "g1"]}),
        (lambda t: t.sel(object_id="o1", rest_wavelength=1.0), {"PRISM": ["p2"]}),
    ],
)
def test_trees_keep_the_gratings_that_have_something(call: Any, expected: dict[str, list[str]]) -> None:
    assert ids(call(tree().campfire)) == expected


def test_what_no_grating_has_is_said() -> None:
    with pytest.raises(NotFoundError, match="no spectrum_id='x' here"):
        tree().campfire.sel(spectrum_id=["p2", "x"])
    with pytest.raises(NotFoundError, match="within 1 arcsec of ra=77"):
        tree().campfire.sel(ra=77, dec=0, method="nearest", tolerance=1)
    with pytest.raises(NotFoundError, match='method="nearest"'):
        tree().campfire.sel(wavelength=1.00001)


def test_everything_goes_on_from_what_was_selected() -> None:
    found = tree().campfire.cone((20.0, 0.0, 1.0)).campfire.sel(wavelength=slice(15_000 * u.AA, 3 * u.um))
    assert [node.fnu.shape for node in found.children.values()] == [(2, 16), (1, 16)]
    assert found.campfire.select(redshift_range=(0, 2))["PRISM"].separation.shape == (2,)
    assert len(found.campfire.to_spectra()) == 3
