"""Statements: stacks of collections carry the covariance that stacks of the same single spectra have, for any
chunks, masks and options, native or gridded; what is measured on them has unit pulls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.analysis.calibration import calibrate_collection
from campfire.analysis.collection_summary import collection_spectra
from campfire.analysis.lines import measure_lines
from campfire.analysis.photometry import band_photometry, collection_photometry
from campfire.analysis.resampling import resample_collection, resample_spectrum
from campfire.analysis.stack_collections import stack_collection
from campfire.analysis.stacking import calibrate_and_stack, stack_spectra
from campfire.collection.blockwise import flam_of
from campfire.convert import from_banded
from campfire.convert.header_json import load_header
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.bandpass import Bandpass
from campfire.models import Photometry, SpectrumData
from campfire.schema import GRIDDED, NATIVE, PixelDQ, attrs_of, validate
from campfire.text import text_variable
from campfire.typing import FloatArray

GRID = np.linspace(1.0, 4.0, 47)
BOX = Bandpass("box", np.array([1.2, 1.4, 2.0, 2.2]), np.array([0.0, 1.0, 1.0, 0.0]))
RED = Bandpass("red", np.array([2.6, 3.8]), np.array([1.0, 1.0]))


def truth(wave: FloatArray) -> FloatArray:
    lines = sum(4 * np.exp(-0.5 * ((wave - at) / 0.03) ** 2) for at in (1.8, 2.6, 3.4))
    return np.asarray(2 + 0.2 * np.sin(2 * wave) + lines)


def make(
    n: int = 7,
    seed: int = 0,
    *,
    width: int = 60,
    gaps: float = 0.08,
    noise: float | None = 0.1,
    gratings: tuple[str, ...] = ("PRISM",),
) -> xr.Dataset:
    """A native collection in memory: ragged rows of unequal noise, masked pixels with garbage beneath."""
    rng = np.random.default_rng(seed)
    wave, fnu, err = (np.full((n, width), np.nan) for _ in range(3))
    dq = np.full((n, width), PixelDQ.OUTSIDE, dtype=np.uint8)
    count = np.array([width - (5 * k) % 13 for k in range(n)], dtype=np.int32)
    for k, m in enumerate(count):
        wave[k, :m] = np.linspace(0.7, 4.6, m) * (1 + 0.01 * np.sin(k))
        err[k, :m] = 0.1 + 0.05 * (k % 3) + 0.02 * np.cos(3 * wave[k, :m])
        fnu[k, :m] = truth(wave[k, :m]) + (0 if noise is None else rng.normal(size=m) * err[k, :m])
        dq[k, :m] = np.where(rng.random(m) < gaps, PixelDQ.FLAGGED_IN_FILE, 0)
    fnu[dq == PixelDQ.FLAGGED_IN_FILE] = 1e6
    several = [gratings[k % len(gratings)] for k in range(n)] if len(gratings) > 1 else gratings[0]
    coords = {
        "spectrum_id": text_variable("spectrum", [f"s{k}" for k in range(n)]),
        "redshift": ("spectrum", 0.05 * np.arange(n)),
        "grating": text_variable(("spectrum",) if len(gratings) > 1 else (), several),
        "wavelength": (NATIVE, wave, attrs_of("wavelength")),
    }
    values = {
        "fnu": fnu,
        "fnu_err": err,
        "flam": flam_of(fnu, wave),
        "flam_err": flam_of(err, wave),
        "dq": dq,
    }
    data = {name: (NATIVE, v, attrs_of(name)) for name, v in values.items()}
    return xr.Dataset(data | {"n_pixels": ("spectrum", count)}, coords).set_xindex("spectrum_id")


COLLECTIONS = {
    "native": make(),
    "gridded": resample_collection(make(), GRID),
    "mixed": make(gratings=("G395M", "PRISM")),
    "mixed on a grid": resample_collection(make(gratings=("G395M", "PRISM")), GRID),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"method": "mean"},
    {"method": "median"},
    {"method": "mean", "sigma_clip": 2.0},
    {"rng": 3},
    {"redshift": "redshift"},
    {"grid": np.linspace(1.3, 3.5, 80)},
    {"normalize": (1.2, 2.0)},
    {"method": "median", "normalize": (1.2, 2.0), "redshift": 0.3, "sigma_clip": 3.0},
    {"grid": np.linspace(1.3, 3.5, 30), "match_resolution": True},
    {"grid": GRID[3:-3], "match_resolution": True, "redshift": 0.02, "normalize": (1.3, 2.0)},
    {"grid": np.linspace(0.9, 3.4, 50), "redshift": "redshift", "method": "mean"},
    {"grid": np.linspace(0.9, 3.4, 50), "redshift": "redshift", "match_resolution": True},
]
CASES = [
    (kind, options)
    for kind in COLLECTIONS
    for options in OPTIONS
    if "grid" in options or not kind.startswith("mixed")
]


def named(case: Any) -> str:
    return "-".join(case) or "plain" if isinstance(case, dict) else str(case)


def check_covariance(bands: Any, other: Any, rtol: float) -> None:
    """Compare the covariances of neighbours."""
    check_matrices(from_banded(bands).toarray(), from_banded(other).toarray(), rtol)


def check_total(ds: xr.Dataset, other: xr.Dataset, rtol: float) -> None:
    """Compare the covariances of all pixels with all."""
    one, two = (SpectrumData.from_xarray(each).covariance for each in (ds, other))
    assert one is not None
    assert two is not None
    check_matrices(one.toarray(), two.toarray(), rtol)


def check_matrices(one: Any, two: Any, rtol: float) -> None:
    """Compare element by element, on the scale of the variances: what is far from the diagonal may cancel."""
    sigma = np.sqrt(np.where(np.diag(two) > 0, np.diag(two), 1.0))
    np.testing.assert_allclose(one / sigma / sigma[:, None], two / sigma / sigma[:, None], atol=rtol, rtol=0)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=named)
def test_stack_is_that_of_single_spectra(kind: str, options: dict[str, Any]) -> None:
    """Flux, errors, covariance to 1e-10; R; counts, names of inputs and NSTACK, which is the rows used."""
    ds = COLLECTIONS[kind]
    stacking = {name: value for name, value in options.items() if name not in ("grid", "method")}
    if stacking.get("redshift") == "redshift":
        stacking["redshift"] = ds.redshift.values
    method = options.get("method", "weighted_mean")
    single = calibrate_and_stack(
        collection_spectra(ds), None, stacking_method=method, wavelength_grid=options.get("grid"), **stacking
    )
    expected = single.spectrum.to_xarray()
    for opened in (ds, ds.chunk({"spectrum": 3})):
        many = stack_collection(opened, **options).compute()
        for name in ("fnu", "fnu_err", "flam", "flam_err", "dq"):
            np.testing.assert_allclose(many[name].values, expected[name].values, rtol=1e-10, err_msg=name)
        assert many.fnu_cov.dims == expected.fnu_cov.dims == ("wavelength", "lag")
        assert many.fnu_cov.attrs == expected.fnu_cov.attrs
        check_total(many, expected, 1e-10)
        xr.testing.assert_allclose(many.resolving_power, expected.resolving_power, rtol=1e-12)
        assert many.resolving_power.attrs == expected.resolving_power.attrs
        assert many.fnu.attrs == expected.fnu.attrs
        np.testing.assert_array_equal(many.n_used.values, single.n_used)
        np.testing.assert_array_equal(many.rejected.values, single.rejected)
        ours, theirs = load_header(many.attrs["fits_header"]), single.spectrum.header
        assert all(ours[card] == theirs[card] for card in ours)
        assert many.spectrum_id.item() == single.spectrum.spectrum_id
        assert many.attrs.get("redshift") == single.spectrum.redshift
    total = single.spectrum.covariance
    assert total is not None
    assert (total.toarray() > 0).sum() > many.sizes["wavelength"]


@settings(max_examples=40)
@given(
    case=st.sampled_from(CASES),
    rows=st.sampled_from([(7,), (1,) * 7, (4, 3), (2, 1, 4), (6, 1)]),
    pixels=st.sampled_from([-1, 7, 31]),
)
def test_any_chunks_give_the_numpy_answer(case: Any, rows: Any, pixels: int) -> None:
    ds, options = COLLECTIONS[case[0]], case[1]
    lazy = stack_collection(ds.chunk({"spectrum": rows, ds.fnu.dims[1]: pixels}), **options)
    eager = stack_collection(ds, **options)
    assert all(lazy[name].chunks is not None for name in ("fnu", "fnu_err", "fnu_cov", "n_used"))
    assert lazy.fnu_cov.shape == eager.fnu_cov.shape
    assert lazy.attrs == eager.attrs
    assert validate(lazy) == ("wavelength",)
    lazy = lazy.compute()
    check_covariance(lazy.fnu_cov.values, eager.fnu_cov.values, 1e-12)
    for name in ("fnu", "fnu_err", "flam", "flam_err", "dq", "n_used", "rejected"):
        np.testing.assert_allclose(lazy[name].values, eager[name].values, rtol=1e-12, atol=0)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 50),
    case=st.sampled_from(CASES),
    junk=st.sampled_from([np.nan, np.inf, -np.inf, -1e30, 1e30, 0.0]),
    rows=st.sampled_from([None, 2, 5]),
)
def test_masked_values_change_no_output(seed: int, case: Any, junk: float, rows: int | None) -> None:
    """Whatever lies under a mask, flux, error or covariance, no output of a lazy stack sees it."""
    kind, options = case
    gratings = ("G395M", "PRISM") if kind.startswith("mixed") else ("PRISM",)
    clean = make(5, seed, gratings=gratings)
    if kind.endswith(("gridded", "grid")):
        clean = resample_collection(clean, GRID)
        clean.dq.values[:, 20:22] = PixelDQ.FLAGGED_IN_FILE  # masked after resampling, too
    dirty = clean.copy(deep=True)
    masked = dirty.dq.values != 0
    dirty.fnu.values[masked] = junk
    dirty.fnu_err.values[masked] = junk
    if "fnu_cov" in dirty:
        dirty.fnu_cov.values[masked] = junk
        dirty.fnu_cov.values[:, :-1, 1][masked[:, 1:]] = junk
    one, other = (
        stack_collection(ds if rows is None else ds.chunk({"spectrum": rows}), **options).compute()
        for ds in (clean, dirty)
    )
    assert one.attrs == other.attrs
    for name in one.variables:
        np.testing.assert_array_equal(one[name].values, other[name].values)


def test_gridded_rows_keep_the_covariance_of_resampling() -> None:
    """fnu_cov of every row is what resampling that spectrum gives; once more, and in bands, it is used."""
    native = make()
    gridded = resample_collection(native, GRID)
    assert validate(gridded) == GRIDDED
    assert gridded.fnu_cov.dims == ("spectrum", "wavelength", "lag")
    lazy = resample_collection(native.chunk({"spectrum": 2}), GRID)
    assert lazy.fnu_cov.chunks is not None
    np.testing.assert_array_equal(lazy.fnu_cov.values, gridded.fnu_cov.values)
    again = resample_collection(lazy, GRID[2:-2:2])
    photometry = collection_photometry(lazy, [BOX, RED], min_coverage=0.5)
    for k, spectrum in enumerate(collection_spectra(native)):
        single = resample_spectrum(spectrum, GRID, covariance=True)
        expected = single.to_xarray()
        check_covariance(gridded.fnu_cov.values[k], expected.fnu_cov.values, 1e-12)
        row = gridded.isel(spectrum=k).campfire.to_spectrum()
        check_covariance(row.to_xarray().fnu_cov.values, expected.fnu_cov.values, 1e-12)
        twice = resample_spectrum(single, GRID[2:-2:2])
        np.testing.assert_allclose(again.fnu_err.values[k], twice.fnu_err, rtol=1e-12)
        check_covariance(again.fnu_cov.values[k], twice.to_xarray().fnu_cov.values, 1e-12)
        bands = band_photometry(single, [BOX, RED], min_coverage=0.5)
        np.testing.assert_allclose(photometry.flux_err.values[k], bands.flux_err.values, rtol=1e-12)


def test_calibration_scales_the_covariance_of_gridded_rows() -> None:
    gridded = resample_collection(make(gaps=0.0), GRID).chunk({"spectrum": 3})
    phot = Photometry(["f200w", "f277w"], [4.0, 4.0], [0.1, 0.1], [2.0, 2.8])
    calibrated = calibrate_collection(gridded, phot, degree=0).compute()
    assert (calibrated.n_bands.values == 2).all()
    added = (calibrated.mode_sign * calibrated.fnu_modes**2).sum("mode")
    np.testing.assert_allclose(calibrated.fnu_cov[..., 0] + added, calibrated.fnu_err.values**2, rtol=1e-9)
    kept = calibrated.fnu_cov / calibrated.fnu_cov.isel(lag=0)
    assert float(kept.isel(lag=1).max()) > 0.1


def test_collections_of_unequal_widths_can_be_joined() -> None:
    """lag is an index: what one collection does not hold of the other is no covariance."""
    fine, coarse = make(4, width=120), make(3, width=40, seed=1)
    parts = [resample_collection(ds, GRID) for ds in (fine, coarse)]
    assert parts[0].sizes["lag"] < parts[1].sizes["lag"]
    joined = xr.concat(
        parts, dim="spectrum", data_vars="all", coords="different", compat="equals", join="outer"
    )
    stacked = stack_collection(joined)
    single = calibrate_and_stack([s for part in parts for s in collection_spectra(part)]).spectrum.to_xarray()
    check_covariance(stacked.fnu_cov.values, single.fnu_cov.values, 1e-10)
    row = joined.isel(spectrum=0).campfire.to_spectrum().to_xarray()
    check_covariance(row.fnu_cov.values, parts[0].fnu_cov.values[0], 1e-12)


def test_grids_without_their_covariance_say_so() -> None:
    """Without fnu_cov (dropped, or saved by others) pixels count as independent, and the history says it."""
    bare = COLLECTIONS["gridded"].drop_vars("fnu_cov")
    stacked = stack_collection(bare)
    assert "taken as independent" in stacked.attrs["history"]
    assert (from_banded(stacked.fnu_cov.values).toarray() > 0).sum() == stacked.sizes["wavelength"]
    assert "independent" not in stack_collection(COLLECTIONS["gridded"]).attrs["history"]


def test_normalised_stacks_of_many_pixels_keep_their_covariance() -> None:
    """No more memory than the pixels times a few modes once it is made."""
    grid = np.linspace(1, 4, 2100)
    stacked = stack_collection(make(3), grid=grid, normalize=(1.2, 2.0))
    single = calibrate_and_stack(collection_spectra(make(3)), wavelength_grid=grid, normalize=(1.2, 2.0))
    assert stacked.sizes["mode"] == 6
    check_total(stacked, single.spectrum.to_xarray(), 1e-10)


def test_rows_much_coarser_than_the_longest_are_told() -> None:
    """Bands of lazy ones are made for pixels up to twice as wide as those of the longest row."""
    ds = make(3, gaps=0.0)
    for name in ("wavelength", "fnu", "fnu_err", "dq"):
        values = ds[name].values
        values[1, :12] = values[1, :60:5]
        values[1, 12:] = PixelDQ.OUTSIDE if name == "dq" else np.nan
    whole = stack_collection(ds, "mean")  # in memory all rows are known
    single = stack_spectra(collection_spectra(ds), "mean")
    check_total(whole, single.to_xarray(), 1e-12)
    with pytest.warns(CampfireWarning, match="more than 3 pixels of the grid are correlated"):
        assert stack_collection(ds.chunk(), "mean").fnu_cov.values.shape[1] < whole.sizes["lag"]
    with pytest.warns(CampfireWarning, match="are correlated"):
        resample_collection(ds)


def test_grids_may_decrease() -> None:
    native = make(3)
    for function in (resample_collection, lambda ds, grid: stack_collection(ds, grid=grid)):
        xr.testing.assert_identical(function(native, GRID[::-1]), function(native, GRID))


def test_lost_rows_are_not_counted() -> None:
    """NSTACK, the inputs listed and bootstrap draws are of rows that have a level, as for single spectra."""
    ds = make(6, gaps=0.0)
    ds.fnu.values[2] *= -1
    for opened in (ds, ds.chunk({"spectrum": 2})):
        with pytest.warns(CampfireWarning, match="1 of 6 spectra are left out.*: s2$") as caught:
            many = stack_collection(opened, normalize=(1.2, 2.0), rng=1)
        assert len(caught) == 1
        with pytest.warns(CampfireWarning, match="left out"):
            single = calibrate_and_stack(collection_spectra(ds), normalize=(1.2, 2.0), rng=1)
        header = load_header(many.attrs["fits_header"])
        assert header["NSTACK"] == single.spectrum.header["NSTACK"] == 5
        assert header["HISTORY"] == single.spectrum.header["HISTORY"]
        np.testing.assert_allclose(many.fnu_err.values, single.spectrum.fnu_err, rtol=1e-10)
        np.testing.assert_array_equal(many.n_used.values, single.n_used)
    ds.fnu.values[:] = -1.0
    with pytest.raises(ValidationError, match="no spectrum has a positive mean"):
        stack_collection(ds, normalize=(1.2, 2.0))


def test_a_grating_of_which_nothing_is_left_still_counts_for_the_resolution() -> None:
    """Rows are smoothed to the lowest of all gratings that were given, as single spectra are."""
    ds = make(6, gaps=0.0, gratings=("PRISM", "G395M"))
    ds.fnu.values[::2] *= -1
    options: dict[str, Any] = {"normalize": (1.2, 2.0), "match_resolution": True}
    with pytest.warns(CampfireWarning, match="3 of 6"):
        many = stack_collection(ds.chunk({"spectrum": 4}), grid=GRID, **options)
    with pytest.warns(CampfireWarning, match="3 of 6"):
        single = calibrate_and_stack(collection_spectra(ds), wavelength_grid=GRID, **options)
    np.testing.assert_allclose(many.fnu.values, single.spectrum.fnu, rtol=1e-10)
    np.testing.assert_allclose(many.fnu_err.values, single.spectrum.fnu_err, rtol=1e-10)
    assert many.grating.item() == single.spectrum.grating == "G395M+PRISM"


def test_covariance_survives_zarr_selection_and_cuts(tmp_path: Path) -> None:
    """A collection that was saved, or a gridded one cut to a range, gives the stack of what is left of it."""
    native = make().chunk({"spectrum": 3})
    gridded = resample_collection(native, GRID)
    for name, ds in (("native", native), ("gridded", gridded)):
        ds.to_zarr(tmp_path / name, zarr_format=3, consolidated=False)
        with xr.open_zarr(tmp_path / name, zarr_format=3, consolidated=False) as again:
            xr.testing.assert_allclose(stack_collection(again).compute(), stack_collection(ds).compute())
    part = gridded.isel(spectrum=[4, 0, 5]).sel(wavelength=slice(1.5, 2.5))
    whole = stack_collection(gridded.isel(spectrum=[4, 0, 5])).sel(wavelength=slice(1.5, 2.5))
    cut = stack_collection(part)
    check_covariance(cut.fnu_cov.values, whole.fnu_cov.values, 1e-12)
    bands = [band_photometry(ds, Bandpass("in", np.array([1.6, 2.3]), np.ones(2))) for ds in (cut, whole)]
    np.testing.assert_allclose(bands[0].flux_err, bands[1].flux_err, rtol=1e-12)


def test_mixed_gratings_need_a_grid_and_known_gratings() -> None:
    with pytest.raises(ValidationError, match="different gratings: G395M, PRISM"):
        stack_collection(COLLECTIONS["mixed"])
    with pytest.raises(ValidationError, match="NEW"):
        stack_collection(make(gratings=("NEW",)), match_resolution=True)
    one = stack_collection(COLLECTIONS["native"], match_resolution=True)
    xr.testing.assert_equal(one, stack_collection(COLLECTIONS["native"]))


def test_opening_a_stack_reads_no_more_than_one_block() -> None:
    """Nothing but the wavelengths of the longest row is computed before it is asked for."""
    reads = []

    def read(block: Any, block_info: Any = None) -> Any:
        reads.append(block.shape)
        return block

    ds = make(6).chunk({"spectrum": 2})
    counted = ds.assign(
        {
            n: ds[n].copy(data=ds[n].data.map_blocks(read, dtype=ds[n].dtype, meta=ds[n].data._meta))
            for n in ds.data_vars
            if ds[n].ndim == 2
        }
    )
    stack_collection(counted, sigma_clip=3.0, grid=GRID)
    stack_collection(resample_collection(counted, GRID))
    assert reads == []


def pulls(prepare: Callable[[xr.Dataset], xr.Dataset], method: str, n: int) -> dict[str, float]:
    """Widths of the pulls of what is measured on stacks of new noise; 2 to 4 % uncertain."""

    def stacked(seed: int, noise: float | None = 0.1) -> SpectrumData:
        ds = make(6, seed, width=90, gaps=0.0, noise=noise)
        return SpectrumData.from_xarray(stack_collection(prepare(ds), method))

    perfect = stacked(0, None)
    size = len(perfect)
    inside = np.flatnonzero(~perfect.mask)[3:-3]
    pairs, tens = (
        np.stack([np.isin(np.arange(size), np.arange(i, i + k)) * 1.0 for i in inside[:-k:3]])
        for k in (2, 10)
    )

    def lines(spectrum: SpectrumData) -> Any:
        return measure_lines(spectrum, [1.8, 2.6, 3.4], redshift=0.0, width=300)

    model_lines, model_bands = lines(perfect), band_photometry(perfect, [BOX, RED])
    found: dict[str, list[Any]] = {
        name: [] for name in ("pixels", "pairs", "tens", "alone", "lines", "bands")
    }
    for seed in range(n):
        one = stacked(seed + 1)
        assert one.covariance is not None
        difference = np.where(one.mask, 0.0, one.fnu - perfect.fnu)
        found["pixels"].append((difference / one.fnu_err)[inside])
        for name, weights in (("pairs", pairs), ("tens", tens)):
            variance = np.einsum("wi,wi->w", weights, (one.covariance @ weights.T).T)
            found[name].append(weights @ difference / np.sqrt(variance))
        alone = np.sqrt(tens @ np.nan_to_num(one.fnu_err) ** 2)
        found["alone"].append(tens @ difference / alone)
        measured = lines(one)
        found["lines"].append(((measured.flux - model_lines.flux) / measured.flux_err).values.ravel())
        bands = band_photometry(one, [BOX, RED])
        found["bands"].append(((bands.flux - model_bands.flux) / bands.flux_err).values)
    return {name: float(np.std(np.concatenate(values))) for name, values in found.items()}


FINE = np.linspace(0.9, 4.2, 150)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "method"),
    [
        ("native", "weighted_mean"),
        ("native", "mean"),
        ("native", "median"),
        ("gridded", "weighted_mean"),
        ("gridded, finer", "mean"),
        ("gridded twice", "weighted_mean"),
    ],
)
def test_what_is_measured_on_stacks_has_unit_pulls(state: str, method: str) -> None:
    """Pixels, sums of neighbours, lines and bands: 0.9 to 1.1; more with the errors of pixels alone."""
    prepare: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
        "native": lambda ds: ds,
        "gridded": resample_collection,
        "gridded, finer": lambda ds: resample_collection(ds, FINE),
        "gridded twice": lambda ds: resample_collection(resample_collection(ds, FINE), FINE[1:-1:2]),
    }
    found = pulls(prepare[state], method, 200)
    assert found.pop("alone") > 1.05
    # a median has the correlations of the weighted sum it is closest to
    slack = 0.2 if method == "median" else 0.1
    assert all(abs(width - 1) < slack for width in found.values()), found
