"""Statements checked: pixels that are not there count as masked ones; continuous grids have no gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.analysis.photometry import band_photometry
from campfire.analysis.resampling import resample_collection
from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.formats.spec_writer import write_spectrum
from campfire.kernels.bandpass import Bandpass, band_fluxes
from campfire.kernels.grids import pixel_bounds, pixel_edges
from campfire.kernels.line_integration import line_fluxes
from campfire.kernels.resample import resample
from campfire.models import SpectrumData
from campfire.schema import PixelDQ
from campfire.typing import BoolArray, FloatArray

N = 160
SHARED = Path(__file__).parents[3] / "shared" / "data" / "spectra"


def prism(n: int) -> FloatArray:
    """Steps as those of the prism, from 0.004 to 0.019 and back to 0.007 microns."""
    step = np.interp(np.linspace(0, 1, n), [0.0, 0.2, 0.35, 1.0], [0.004, 0.017, 0.019, 0.007])
    wave = 0.6 + np.cumsum(step) * (4.7 / step.sum())
    return np.asarray(wave)


CONTINUOUS = {
    "even": np.linspace(0.6, 5.3, 500),
    "prism": prism(435),
    "coarse prism": prism(60),
    "float32": prism(435).astype(np.float32),
    "even R": np.geomspace(0.6, 5.3, 12),
    "of one octave each": np.array([1.0, 2.0, 4.0, 8.0]),
    "few": np.array([1.0, 2.0, 20.0, 21.0]),
    "two gratings": np.concatenate([np.linspace(1.0, 1.8, 900), np.linspace(1.81, 5.3, 350)]),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_edges_of_continuous_grids_lie_midway(name: str) -> None:
    edges, bounds = pixel_edges(CONTINUOUS[name]), pixel_bounds(CONTINUOUS[name])
    np.testing.assert_array_equal(bounds.low, edges[:-1])
    np.testing.assert_array_equal(bounds.high, edges[1:])


def test_jittered_grids_have_no_gaps() -> None:
    """By up to 0.3 of a pixel, 200,000 pixels."""
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, (500, 400))
    for steps in (np.arange(400) + 10.0, 1e3 * prism(400) / np.gradient(1e3 * prism(400)).max()):
        assert not pixel_bounds(steps + jitter * np.gradient(steps)).apart.any()


@st.composite
def kept(draw: st.DrawFn) -> BoolArray:
    """Which pixels are left where one to three runs are not there, of one pixel or of many."""
    good, at = np.ones(N, dtype=bool), 10
    for _ in range(draw(st.integers(1, 3))):
        at += draw(st.integers(0, 15))
        length = draw(st.integers(1, 20))
        good[at : at + length] = False
        at += length + 9
    return good


@settings(max_examples=60)
@given(good=kept(), bend=st.floats(0, 1), seed=st.integers(0, 99), out=st.integers(20, 300))
def test_dropped_pixels_count_as_masked(good: BoolArray, bend: float, seed: int, out: int) -> None:
    """Resampling with its covariance, bands, lines: of one spectrum, and of rows of which one has all."""
    rng = np.random.default_rng(seed)
    wave = np.linspace(1.0, 2.0, N)
    if bend > 0.5:
        wave = 1.0 + np.cumsum(np.linspace(1.0, 1.0 + bend, N)) / N
    near = 1e-9 if bend <= 0.5 else 2e-2  # of half a pixel, which of a chirped grid is known so far only
    flux, error = rng.uniform(1, 1.2, N), rng.uniform(0.1, 0.2, N)
    grid = np.linspace(0.95, wave[-1] + 0.05, out)
    left = [values[good] for values in (wave, flux, error)]
    masked = resample(wave, flux, error, grid, mask=~good, covariance=True)
    dropped = resample(left[0], left[1], left[2], grid, covariance=True)
    sure = np.abs(masked.coverage - 0.5) > 3 * near * max(1, out / N)
    np.testing.assert_allclose(dropped.coverage, masked.coverage, atol=near * max(1, out / N))
    np.testing.assert_array_equal(dropped.mask[sure], masked.mask[sure])
    both = ~dropped.mask & ~masked.mask
    np.testing.assert_allclose(dropped.flux[both], masked.flux[both], rtol=near)
    np.testing.assert_allclose(dropped.error[both], masked.error[both], rtol=4 * near)

    ragged = np.full((2, 3, N), np.nan)
    ragged[:, 0], ragged[:, 1], ragged[:, 2] = wave, flux, error
    ragged[1] = np.nan
    ragged[1, :, : good.sum()] = left
    rows = resample(ragged[:, 0], ragged[:, 1], ragged[:, 2], grid)
    np.testing.assert_array_equal(rows.flux[1], dropped.flux)
    np.testing.assert_allclose(rows.flux[0], resample(wave, flux, error, grid).flux, rtol=1e-12)

    bands = [Bandpass("b", np.array([low, low + 0.2]), np.ones(2)) for low in (1.05, 1.3, 1.6)]
    one, two = (
        band_fluxes(wave, flux, error, bands, mask=~good, min_coverage=0.01),
        band_fluxes(ragged[:, 0], ragged[:, 1], ragged[:, 2], bands, min_coverage=0.01),
    )
    np.testing.assert_allclose(two.coverage[1], one.coverage, atol=near)
    np.testing.assert_allclose(two.flux[1], one.flux, rtol=near)

    centre = np.array([[1.1, 1.25, 1.5, 1.7]])
    wide = np.full((1, 4), 0.03)
    lines = line_fluxes(wave, flux[None], error[None], centre, wide, mask=~good[None])
    fewer = line_fluxes(left[0], left[1][None], left[2][None], centre, wide)
    np.testing.assert_allclose(fewer.coverage, lines.coverage, atol=3 * near)
    if bend <= 0.5:
        np.testing.assert_array_equal(fewer.reason, lines.reason)
        known = lines.reason == 0
        assert np.all(np.abs(fewer.flux - lines.flux)[known] < 0.05 * lines.flux_err[known])


def test_a_grid_with_a_gap_is_resampled_onto_itself() -> None:
    wave = np.delete(np.linspace(1.0, 2.0, N), slice(60, 90))
    flux, error = np.random.default_rng(0).uniform(1, 2, (2, N - 30))
    result = resample(wave, flux, error, wave, covariance=True)
    np.testing.assert_allclose(result.flux, flux)
    np.testing.assert_allclose(result.error, error)


def test_pixels_of_a_gap_are_outside(tmp_path: Path) -> None:
    wave = np.delete(np.linspace(1.0, 2.0, N), slice(60, 90))
    write_spectrum(
        tmp_path / "a_spec.fits",
        {
            "wavelength": wave,
            "fnu": np.ones(N - 30),
            "fnu_err": np.full(N - 30, 0.1),
            "header": {},
            "grating": "G140M",
            "spectrum_id": "a",
        },
    )
    columns = {"spectrum_id": ["a"], "grating": ["G140M"]}
    ds = open_tree([FileSource(str(tmp_path / "a_spec.fits"))], columns)["G140M"].to_dataset()
    grid = np.linspace(1.1, 1.9, 81)
    dq = resample_collection(ds, grid)["dq"].values[0]
    inside = (grid > wave[59]) & (grid < wave[60])
    assert np.all(dq[inside] & PixelDQ.OUTSIDE)
    assert np.all(dq[~inside] == 0)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the sample files")
def test_the_detector_gap_of_a_real_spectrum_is_not_covered() -> None:
    (path,) = SHARED.glob("jw02736*_x1d.fits")
    spectrum = SpectrumData.from_fits(path)
    bounds = pixel_bounds(spectrum.wavelength)
    assert bounds.width.max() < 0.0019
    assert bounds.apart.sum() == 1
    measured = band_photometry(spectrum, ["f430m", "f480m"])
    assert measured["coverage"].values.round(2).tolist() == [1.0, 0.19]
    assert np.isnan(measured["flux"].values).tolist() == [False, True]
