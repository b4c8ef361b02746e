"""Statements checked: what a calibrated collection gives is right, however it is measured or stacked.

Errors that spectra got from the same photometry are common: they do not average down.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.analysis.calibration import calibrate_collection, calibrate_to_photometry
from campfire.analysis.collection_summary import collection_spectra
from campfire.analysis.lines import measure_lines
from campfire.analysis.photometry import band_photometry, collection_photometry
from campfire.analysis.resampling import resample_collection, resample_spectrum
from campfire.analysis.stack_collections import stack_collection
from campfire.analysis.stack_groups import stack_groups
from campfire.analysis.stacking import stack_spectra
from campfire.errors import CampfireWarning
from campfire.formats.bandpasses import load_bandpass
from campfire.models import Photometry, SpectrumData
from campfire.schema import NATIVE, PixelDQ, attrs_of
from campfire.text import text_variable

NAMES = ["f115w", "f150w", "f200w", "f277w", "f356w", "f444w"]
PIVOTS = [load_bandpass(name).pivot for name in NAMES]
GRID = np.linspace(0.8, 5.0, 70)


def make(n: int = 6, pixels: int = 90, sigma: float = 0.1, seed: int = 0, objects: int = 2) -> xr.Dataset:
    """Rows of different lengths and grids, every tenth pixel masked with nonsense under it."""
    rng = np.random.default_rng(seed)
    count = pixels - 3 * np.arange(n)
    wave, fnu, err = (np.full((n, pixels), np.nan) for _ in range(3))
    dq = np.full((n, pixels), PixelDQ.OUTSIDE, dtype=np.uint8)
    for k, m in enumerate(count):
        wave[k, :m] = np.linspace(0.6 + 0.001 * k, 5.3, m)
        err[k, :m] = sigma * rng.uniform(0.8, 1.2, m)
        fnu[k, :m] = 1 + err[k, :m] * rng.normal(size=m)
        dq[k, :m] = np.where(rng.random(m) < 0.02, PixelDQ.FLAGGED_IN_FILE, 0)
    fnu[dq == PixelDQ.FLAGGED_IN_FILE] = 1e6
    coords = {
        "spectrum_id": text_variable("spectrum", [f"s{k}" for k in range(n)]),
        "object_id": text_variable("spectrum", [f"o{k % objects}" for k in range(n)]),
        "redshift": ("spectrum", 0.1 * np.arange(n)),
        "grating": text_variable((), "PRISM"),
        "wavelength": (NATIVE, wave),
    }
    data = {name: (NATIVE, v, attrs_of(name)) for name, v in {"fnu": fnu, "fnu_err": err, "dq": dq}.items()}
    return xr.Dataset(data | {"n_pixels": ("spectrum", count)}, coords)


def photometry(rng: Any = 1, precision: float = 0.1, names: list[str] = NAMES) -> Photometry:
    rng = np.random.default_rng(rng)
    n = len(names)
    flux = 1.5 * (1 + precision * rng.normal(size=n))
    return Photometry(names, flux, np.full(n, 1.5 * precision), PIVOTS[:n], "demo v1")


MANY = make()
OF = {"o0": photometry(1), "o1": photometry(2, names=NAMES[:4])}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"method": "mean", "grid": GRID},
    {"method": "median", "grid": GRID},
    {"method": "mean", "sigma_clip": 2.0},
    {"rng": 3},
    {"redshift": "redshift"},
    {"normalize": (1.2, 2.0)},
    {"method": "median", "grid": GRID, "normalize": (1.2, 2.0)},
]


def calibrated_spectra(ds: xr.Dataset, **options: Any) -> list[SpectrumData]:
    objects = ds.object_id.values.tolist()
    return [
        calibrate_to_photometry(data, OF[name], **options).spectrum
        for data, name in zip(collection_spectra(ds), objects, strict=True)
    ]


def check_alike(one: SpectrumData, two: SpectrumData, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(one.fnu, two.fnu, rtol=rtol)
    np.testing.assert_allclose(one.fnu_err, two.fnu_err, rtol=rtol)
    assert one.covariance is not None
    assert two.covariance is not None
    a, b = one.covariance.toarray(), two.covariance.toarray()
    np.testing.assert_allclose(a, b, atol=rtol * np.abs(b).max())


@pytest.mark.parametrize("gridded", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o)) or "plain")
def test_stack_is_that_of_single_spectra(gridded: bool, options: dict[str, Any]) -> None:
    """To rounding, covariance included: two objects with photometry of their own, any way to combine."""
    ds = resample_collection(MANY, GRID) if gridded else MANY
    single = {name: value for name, value in options.items() if name not in ("grid", "method")}
    if "redshift" in single:
        single["redshift"] = ds.redshift.values
    expected = stack_spectra(
        calibrated_spectra(ds, degree=1),
        options.get("method", "weighted_mean"),
        options.get("grid"),
        **single,
    )
    for opened in (ds, ds.chunk({"spectrum": 4})):
        calibrated = calibrate_collection(opened, OF, degree=1)
        if "rng" in options:  # single spectra do not say of which object they are, and are drawn one by one
            calibrated = calibrated.drop_vars("object_id")
        stacked = stack_collection(calibrated, **options)
        assert (stacked.fnu_modes.chunks is None) == (opened is ds)
        check_alike(SpectrumData.from_xarray(stacked.compute()), expected)


def test_measurements_of_many_objects_are_kept_apart_where_shared() -> None:
    """Beyond 64 measurements those of a single row go into the rest: the covariance is the same."""
    ds = make(n=14, objects=13)
    of = {f"o{k}": photometry(k) for k in range(13)}
    stacked = stack_collection(calibrate_collection(ds, of, "flat"), grid=GRID)
    objects = ds.object_id.values.tolist()
    single = [
        calibrate_to_photometry(data, of[name], "flat").spectrum
        for data, name in zip(collection_spectra(ds), objects, strict=True)
    ]
    check_alike(SpectrumData.from_xarray(stacked), stack_spectra(single, wavelength_grid=GRID))
    assert sum(map(bool, stacked.measurement.values.tolist())) == len(NAMES)


@pytest.mark.parametrize("lazy", [False, True])
def test_rows_are_single_calibrated_spectra(lazy: bool) -> None:
    """In to_spectra, bands, lines, on a grid; calibrated before or after it."""
    ds = MANY.chunk({"spectrum": 4}) if lazy else MANY
    calibrated = calibrate_collection(ds, OF)
    expected = calibrated_spectra(MANY)
    for row, data in zip(collection_spectra(calibrated), expected, strict=True):
        check_alike(row, data)
    bands = collection_photometry(calibrated, ["f277w", "f410m"])
    for k, data in enumerate(expected):
        one = band_photometry(data, ["f277w", "f410m"])
        np.testing.assert_allclose(bands.flux_err.values[k], one.flux_err.values, rtol=1e-9)
    np.testing.assert_allclose(
        measure_lines(calibrated, ["Hα"]).continuum_err.values,
        measure_lines(expected, ["Hα"], redshift=MANY.redshift.values).continuum_err.values,
        rtol=1e-9,
    )
    after = resample_collection(calibrated, GRID)
    for row, data in zip(collection_spectra(after), expected, strict=True):
        check_alike(row, resample_spectrum(data, GRID))
    before = calibrate_collection(resample_collection(ds, GRID), OF)
    gridded = resample_collection(MANY, GRID)
    for row, data in zip(collection_spectra(before), calibrated_spectra(gridded), strict=True):
        check_alike(row, data)
    again = calibrate_collection(calibrated, OF, "flat")
    objects = MANY.object_id.values.tolist()
    for row, data, name in zip(collection_spectra(again), expected, objects, strict=True):
        check_alike(row, calibrate_to_photometry(data, OF[name], "flat").spectrum)


def test_common_errors_do_not_average_down() -> None:
    """Monte Carlo: pulls of pixels and of a band of the stack, and of a band of every row (10 %)."""
    rng = np.random.default_rng(3)
    pulls = []
    for run in range(120):
        ds = make(n=8, pixels=60, sigma=0.05, seed=run, objects=1)
        calibrated = calibrate_collection(ds, photometry(rng), "flat")
        stacked = stack_collection(calibrated, grid=GRID[:60:2])
        band = band_photometry(stacked, "f277w")
        row = collection_photometry(calibrated, "f277w").isel(spectrum=0)
        pulls.append(
            [
                float((stacked.fnu.values[15] - 1.5) / stacked.fnu_err.values[15]),
                float((band.flux.values[0] - 1.5) / band.flux_err.values[0]),
                float((row.flux.values[0] - 1.5) / row.flux_err.values[0]),
            ]
        )
    # nan: fewer than 95 % of the band; two sigma of 120 runs; 2 to 12 if averaged down
    assert np.nanstd(pulls, axis=0) == pytest.approx(1, abs=0.13)
    assert float(stacked.fnu_err.min()) > 0.9 * 0.15 / np.sqrt(6)


@settings(max_examples=8)
@given(
    junk=st.sampled_from([np.nan, np.inf, -np.inf, -1e30, 1e300, 0.0]),
    options=st.sampled_from(OPTIONS),
    rows=st.sampled_from([None, 2, 5]),
)
def test_masked_values_change_no_output(junk: float, options: dict[str, Any], rows: int | None) -> None:
    clean = stack_collection(calibrate_collection(MANY, OF, degree=1), **options)
    dirty = MANY.copy(deep=True)
    masked = dirty.dq.values != 0
    dirty.fnu.values[masked] = junk
    dirty.fnu_err.values[masked] = abs(junk)
    dirty = calibrate_collection(dirty, OF, degree=1)
    dirty.fnu_modes.values[masked] = junk
    dirty.fnu_err.values[masked] = junk
    again = stack_collection(dirty.chunk({"spectrum": rows}) if rows else dirty, **options).compute()
    check_alike(SpectrumData.from_xarray(again), SpectrumData.from_xarray(clean), 1e-12)


def test_saved_joined_and_selected_collections_keep_it(tmp_path: Path) -> None:
    """Zarr and back; rows of different numbers of bands joined; some rows; one row."""
    calibrated = resample_collection(calibrate_collection(MANY, OF, degree=1), GRID)
    calibrated.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    expected = SpectrumData.from_xarray(stack_collection(calibrated))
    with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as reopened:
        check_alike(SpectrumData.from_xarray(stack_collection(reopened).compute()), expected)
    some = stack_collection(calibrated.isel(spectrum=[1, 3]))
    single = calibrated_spectra(MANY, degree=1)
    check_alike(SpectrumData.from_xarray(some), stack_spectra([single[1], single[3]], wavelength_grid=GRID))
    check_alike(SpectrumData.from_xarray(calibrated.isel(spectrum=2)), resample_spectrum(single[2], GRID))


def test_collections_of_unequal_numbers_of_bands_can_be_joined() -> None:
    parts = [
        resample_collection(calibrate_collection(MANY.isel(spectrum=rows), OF[name], degree=degree), GRID)
        for rows, name, degree in ((slice(0, 4), "o0", 1), (slice(4, 6), "o1", 0))
    ]
    assert parts[0].sizes["mode"] > parts[1].sizes["mode"]
    joined = xr.concat(
        parts,
        dim="spectrum",
        data_vars="all",
        coords="different",
        compat="equals",
        join="outer",
        fill_value={"measurement": ""},
    )
    spectra = [data for part in parts for data in collection_spectra(part)]
    check_alike(SpectrumData.from_xarray(stack_collection(joined)), stack_spectra(spectra))
    check_alike(SpectrumData.from_xarray(joined.isel(spectrum=5)), spectra[5])


def test_history_and_header_say_what_calibrated_it() -> None:
    """Bands with filter ids, library and version; the stack's header has them too."""
    calibrated = calibrate_collection(MANY, OF)
    line = calibrated.attrs["history"].splitlines()[-1]
    assert line.startswith("calibrated to photometry, chebyshev: 6 of 6 spectra have photometry; ")
    assert "; f150w JWST/NIRCam.F150W [astro-sedpy " in line
    assert line.count("astro-sedpy") == len(NAMES)
    header = SpectrumData.from_xarray(stack_collection(calibrated, grid=GRID)).header
    assert line in header["HISTORY"]


def test_rows_that_cannot_be_calibrated_have_no_part() -> None:
    with pytest.warns(CampfireWarning, match="3 of 6 spectra have no photometry"):
        calibrated = calibrate_collection(MANY, {"o0": OF["o0"]}, degree=1)
    kept = MANY.isel(spectrum=[0, 2, 4])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stacked = stack_collection(calibrated, grid=GRID)
    expected = stack_spectra(calibrated_spectra(kept, degree=1), wavelength_grid=GRID)
    check_alike(SpectrumData.from_xarray(stacked), expected)


def test_joined_collections_of_different_numbers_of_modes() -> None:
    """Statement: joined as documented, rows keep all of their errors whatever the others were fitted with."""
    parts = [
        calibrate_collection(MANY.isel(spectrum=slice(0, 3)), OF, degree=1),
        calibrate_collection(MANY.isel(spectrum=slice(3, 6)), OF, method="flat"),
    ]
    joined = xr.concat(parts, "spectrum", join="outer", fill_value={"measurement": ""})
    single = [data for part in parts for data in collection_spectra(part)]
    for one, two in zip(collection_spectra(joined), single, strict=True):
        check_alike(one, two)
    stacked = stack_collection(joined, "mean", GRID)
    check_alike(SpectrumData.from_xarray(stacked), stack_spectra(single, "mean", GRID))


@pytest.mark.filterwarnings("ignore:.*have no photometry")
@pytest.mark.parametrize("chunks", [None, {"spectrum": 2}], ids=str)
@pytest.mark.parametrize("second", [OF["o1"], None], ids=["fewer bands", "none"])
def test_groups_may_share_errors_of_different_numbers(chunks: Any, second: Photometry | None) -> None:
    """Calibrated on more, fewer or no bands: the modes of every group are those of the stack of its rows."""
    ds = calibrate_collection(MANY if chunks is None else MANY.chunk(chunks), {"o0": OF["o0"], "o1": second})
    groups = stack_groups(ds, "object_id", grid=GRID)
    counts = []
    for k, name in enumerate(groups["object_id"].values):
        single = stack_collection(ds.isel(spectrum=np.flatnonzero(ds["object_id"].values == name)), grid=GRID)
        count = single.sizes.get("mode", 0)
        row = groups.isel(spectrum=k)
        for variable in ("fnu", "fnu_err"):
            np.testing.assert_allclose(row[variable].values, single[variable].values, rtol=1e-12)
        if count:
            np.testing.assert_allclose(
                row["fnu_modes"].values[:, :count], single["fnu_modes"].values, rtol=1e-12
            )
            assert row["measurement"].values[:count].tolist() == single["measurement"].values.tolist()
        assert not row["fnu_modes"].values[:, count:].any()
        assert not row["mode_sign"].values[count:].any()
        assert set(row["measurement"].values[count:].tolist()) <= {""}
        counts.append(count)
    assert counts[0] > counts[1]
