"""Statements checked: resampling conserves flux, honours masks, agrees with others, and knows its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.errors import ValidationError
from campfire.kernels.grids import PixelBounds, pixel_bounds, pixel_edges
from campfire.kernels.overlap import overlap_matrix, resample_matrix
from campfire.kernels.resample import combined_lags, resample
from campfire.typing import BoolArray, FloatArray


def grids(low: float = 1.0, high: float = 2.0, most: int = 40) -> st.SearchStrategy[FloatArray]:
    """Irregular grids over a range."""

    def build(steps: list[float]) -> FloatArray:
        positions = np.cumsum([0.0, *steps])
        return np.asarray(low + (high - low) * positions / positions[-1])

    return st.lists(st.floats(0.05, 1.0), min_size=3, max_size=most).map(build)


def brute_force(
    wave: FloatArray, flux: FloatArray, error: FloatArray, grid: FloatArray, good: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The definition, pixel by pixel."""
    pixels, out = pixel_bounds(wave), pixel_bounds(grid)
    flux_out, err_out, coverage = np.full((3, len(grid)), np.nan)
    for j in range(len(grid)):
        weights = np.array(
            [
                max(0.0, min(pixels.high[i], out.high[j]) - max(pixels.low[i], out.low[j]))
                if good[i]
                else 0.0
                for i in range(len(wave))
            ]
        )
        coverage[j] = weights.sum() / out.width[j]
        if coverage[j] >= 0.5:
            flux_out[j] = weights[good] @ flux[good] / weights.sum()
            err_out[j] = np.sqrt(np.square(weights[good]) @ np.square(error[good])) / weights.sum()
    return flux_out, err_out, coverage


@settings(max_examples=60, deadline=None)
@given(wave=grids(), grid=grids(0.8, 2.3), seed=st.integers(0, 2**16), masked=st.booleans())
def test_equals_the_definition(wave: FloatArray, grid: FloatArray, seed: int, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    flux, error = rng.normal(0, 1, len(wave)), rng.uniform(0.1, 1, len(wave))
    good = rng.random(len(wave)) > (0.3 if masked else -1)
    expected, sigma, coverage = brute_force(wave, flux, error, grid, good)
    result = resample(wave, flux, error, grid, mask=~good)
    sure = np.abs(coverage - 0.5) > 1e-6  # at exactly one half, rounding may decide
    np.testing.assert_allclose(result.coverage[sure], np.minimum(coverage, 1)[sure], atol=1e-9)
    np.testing.assert_array_equal(result.mask[sure], np.isnan(expected)[sure])
    np.testing.assert_allclose(result.flux[sure], expected[sure], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(result.error[sure], sigma[sure], rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(wave=grids(), grid=grids(0.5, 3.0), scale=st.floats(-15, 15), seed=st.integers(0, 2**16))
def test_the_integral_is_kept(wave: FloatArray, grid: FloatArray, scale: float, seed: int) -> None:
    """Flux conserved to 1e-10 where the output covers the input fully, pixel by pixel."""
    flux = 10.0**scale * np.random.default_rng(seed).uniform(0.1, 1, len(wave))
    edges = pixel_edges(wave)
    inner = grid[(grid > edges[0]) & (grid < edges[-1])]
    cells = np.unique(np.concatenate([edges[[0, -1]], inner]))
    cells = cells[np.append(True, np.diff(cells) > 1e-6)]
    matrix = overlap_matrix(PixelBounds(edges[:-1], edges[1:]), PixelBounds(cells[:-1], cells[1:]))
    total = (flux * np.diff(edges)).sum()
    end = edges[-1] - cells[-1]  # a last sliver that the deduplication may have cut
    assert (matrix @ flux).sum() + end * flux[-1] == pytest.approx(total, rel=1e-10)


def test_integral_of_a_resampled_spectrum_is_that_of_the_original() -> None:
    """The output's own pixels, widths times values, hold the flux of the input to 1e-10."""
    rng = np.random.default_rng(3)
    wave = np.linspace(0.6, 5.3, 451)
    flux = rng.uniform(1, 2, 451)
    grid = ((wave[1:] + wave[:-1]) / 2)[10:-10:7]
    result = resample(wave, flux, np.full(451, 0.1), grid)
    out = pixel_edges(grid)
    inside = overlap_matrix(pixel_bounds(wave), PixelBounds(out[:1], out[-1:])) @ flux
    assert (result.flux * np.diff(out)).sum() == pytest.approx(inside[0], rel=1e-10)


@pytest.mark.parametrize("covariance", [False, True])
def test_agrees_with_spectres(covariance: bool) -> None:
    """Equal to spectres on interior pixels, flux and error, to 1e-10."""
    from spectres import spectres

    rng = np.random.default_rng(1)
    wave = np.cumsum(rng.uniform(0.004, 0.012, 600)) + 0.6
    grid = np.linspace(wave[5], wave[-6], 333)
    flux, error = rng.normal(1, 0.3, 600), rng.uniform(0.05, 0.2, 600)
    expected, sigma = spectres(grid, wave, flux, error)
    result = resample(wave, flux, error, grid, covariance=covariance)
    np.testing.assert_allclose(result.flux, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(result.error, sigma, rtol=1e-10)


def test_agrees_with_specutils() -> None:
    """Equal to specutils' flux-conserving resampler on interior pixels to 1e-10."""
    import astropy.units as u
    from astropy.nddata import StdDevUncertainty
    from specutils import Spectrum
    from specutils.manipulation import FluxConservingResampler

    rng = np.random.default_rng(2)
    wave = np.linspace(1.0, 2.0, 300)
    grid = np.linspace(1.02, 1.98, 177)
    flux, error = rng.normal(1, 0.3, 300), rng.uniform(0.05, 0.2, 300)
    spectrum = Spectrum(
        spectral_axis=wave * u.um, flux=flux * u.uJy, uncertainty=StdDevUncertainty(error * u.uJy)
    )
    theirs = FluxConservingResampler()(spectrum, grid * u.um)
    result = resample(wave, flux, error, grid)
    np.testing.assert_allclose(result.flux[1:-1], theirs.flux.value[1:-1], rtol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    poison=st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0]),
    rows=st.sampled_from(["one", "shared", "ragged"]),
    covariance=st.booleans(),
)
def test_masked_values_never_change_an_output(seed: int, poison: float, rows: str, covariance: bool) -> None:
    """Whatever stands in a masked pixel, flux or error, every output is bit for bit the same."""
    rng = np.random.default_rng(seed)
    wave = np.sort(rng.uniform(1, 2, (3, 30)), axis=1) if rows == "ragged" else np.linspace(1, 2, 30)
    shape = (30,) if rows == "one" else (3, 30)
    flux, error = rng.normal(0, 1, shape), rng.uniform(0.1, 1, shape)
    mask = rng.random(shape) < 0.3
    grid = np.linspace(0.95, 2.02, 21)
    before = resample(wave, flux, error, grid, mask=mask, covariance=covariance)
    flux[mask] = poison
    error[mask] = abs(poison)
    after = resample(wave, flux, error, grid, mask=mask, covariance=covariance)
    for left, right in zip(before, after, strict=True):
        np.testing.assert_array_equal(left, right)


def test_many_grids_at_once_equal_one_by_one() -> None:
    """Padded rows of any length, each with its own grid, give what each gives alone."""
    rng = np.random.default_rng(4)
    lengths = [30, 2, 45, 17]
    padded = np.full((4, 45), np.nan)
    flux, error = np.zeros((4, 45)), np.zeros((4, 45))
    for row, n in enumerate(lengths):
        padded[row, :n] = np.sort(rng.uniform(1, 2, n))
        flux[row, :n], error[row, :n] = rng.normal(0, 1, n), rng.uniform(0.1, 1, n)
    grid = np.linspace(1.1, 1.9, 25)
    together = resample(padded, flux, error, grid, covariance=True)
    assert together.covariance is not None
    for row, n in enumerate(lengths):
        alone = resample(padded[row, :n], flux[row, :n], error[row, :n], grid, covariance=True)
        np.testing.assert_allclose(together.flux[row], alone.flux, rtol=1e-13)
        np.testing.assert_allclose(together.error[row], alone.error, rtol=1e-13)
        assert alone.covariance is not None
        lags = alone.covariance.shape[-1]
        np.testing.assert_allclose(together.covariance[row][:, :lags], alone.covariance, atol=1e-14)
        assert not together.covariance[row][:, lags:].any()


def test_rows_of_one_grid_are_found_out() -> None:
    """Statement: the same grid in every row is that grid, except where it is padded or one row differs."""
    rng = np.random.default_rng(5)
    wave, grid = np.sort(rng.uniform(1, 2, 40)), np.linspace(1.1, 1.9, 15)
    flux, error = rng.normal(size=(3, 40)), rng.uniform(0.1, 1, (3, 40))
    tiled = np.tile(wave, (3, 1))
    expected = resample(wave, flux, error, grid)
    np.testing.assert_array_equal(resample(tiled, flux, error, grid).flux, expected.flux)
    tiled[2, -1] += 1e-3
    changed = resample(tiled, flux, error, grid)
    np.testing.assert_allclose(changed.flux[:2], expected.flux[:2], rtol=1e-12)
    tiled = np.tile(np.append(wave, np.nan), (3, 1))
    flux, error = (np.pad(values, ((0, 0), (0, 1)), constant_values=np.nan) for values in (flux, error))
    np.testing.assert_allclose(resample(tiled, flux, error, grid).flux, expected.flux, rtol=1e-12)


def test_shared_grid_equals_one_by_one() -> None:
    rng = np.random.default_rng(5)
    wave, grid = np.sort(rng.uniform(1, 2, 50)), np.linspace(1.05, 1.9, 33)
    flux, error = rng.normal(0, 1, (6, 50)), rng.uniform(0.1, 1, (6, 50))
    for mask in (np.zeros((6, 50), dtype=bool), rng.random((6, 50)) < 0.2):
        together = resample(wave, flux, error, grid, mask=mask)
        for row in range(6):
            alone = resample(wave, flux[row], error[row], grid, mask=mask[row])
            np.testing.assert_allclose(together.flux[row], alone.flux, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(together.error[row], alone.error, rtol=1e-12)
            np.testing.assert_array_equal(together.mask[row], alone.mask)


def test_dynamic_range_does_not_spread() -> None:
    """A line 1e12 times the continuum leaves the continuum beyond it right to 1e-12: no cumulative sums."""
    wave = np.linspace(1, 2, 1000)
    flux = np.ones(1000)
    flux[100] = 1e12
    result = resample(wave, flux, np.ones(1000), np.linspace(1.3, 1.9, 500))
    np.testing.assert_allclose(result.flux, 1.0, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(wave=grids(), grid=grids(0.9, 2.1), seed=st.integers(0, 2**16))
def test_covariance_is_that_of_the_matrix(wave: FloatArray, grid: FloatArray, seed: int) -> None:
    """Banded covariance = A diag(v) A^T, with its diagonal the squared error."""
    rng = np.random.default_rng(seed)
    flux, error = rng.normal(0, 1, len(wave)), rng.uniform(0.1, 1, len(wave))
    good = rng.random(len(wave)) > 0.2
    result = resample(wave, flux, error, grid, mask=~good, covariance=True)
    matrix, mask, coverage = resample_matrix(wave, grid, good)
    np.testing.assert_array_equal(mask, result.mask)
    np.testing.assert_allclose(coverage, result.coverage, atol=1e-12)
    dense = matrix.toarray()
    full = dense @ np.diag(error**2) @ dense.T
    assert result.covariance is not None
    n, lags = result.covariance.shape
    for k in range(n):
        padded = np.zeros(lags)
        row = full[k, k : k + lags]
        padded[: len(row)] = row
        np.testing.assert_allclose(result.covariance[k], padded, atol=1e-12)
        assert not full[k, k + lags :].any()
    used = ~result.mask
    np.testing.assert_allclose(result.covariance[used, 0], result.error[used] ** 2, rtol=1e-9)


def test_combined_lags_are_those_of_the_sum() -> None:
    """The covariance of a weighted sum of spectra is the sum of theirs, weights squared."""
    rng = np.random.default_rng(6)
    wave = np.sort(rng.uniform(1, 2, (3, 40)), axis=1)
    error, good = rng.uniform(0.1, 1, (3, 40)), rng.random((3, 40)) > 0.1
    grid, weights = np.linspace(1.2, 1.8, 20), rng.random((3, 20))
    lags = combined_lags(wave, error, good, grid, weights)
    single = resample(wave, np.ones((3, 40)), error, grid, mask=~good, covariance=True)
    weights = np.where(single.mask, 0.0, weights)
    lags = combined_lags(wave, error, good, grid, weights)
    assert single.covariance is not None
    for k in range(lags.shape[1]):
        pairs = weights[:, : 20 - k] * weights[:, k:] * single.covariance[:, : 20 - k, k]
        np.testing.assert_allclose(lags[: 20 - k, k], pairs.sum(axis=0), atol=1e-12)


def test_sums_of_resampled_pixels_have_unit_pulls() -> None:
    """Monte Carlo: single pixels, and sums over many with the covariance, have pulls of unit width (5 %)."""
    rng = np.random.default_rng(7)
    wave, grid = np.linspace(1, 2, 200), np.linspace(1.1, 1.9, 307)
    error = rng.uniform(0.5, 1.5, 200)
    noise = rng.normal(0, 1, (3000, 200)) * error
    result = resample(wave, noise, np.broadcast_to(error, noise.shape), grid)
    single = resample(wave, noise[0], error, grid, covariance=True)
    assert single.covariance is not None
    assert np.std(result.flux / result.error) == pytest.approx(1, abs=0.02)
    n, lags = single.covariance.shape
    full = np.zeros((n, n))
    for k in range(lags):
        full += np.diag(single.covariance[: n - k, k], k) + (
            np.diag(single.covariance[: n - k, k], -k) if k else 0
        )
    weights = rng.random(n)
    pulls = result.flux @ weights / np.sqrt(weights @ full @ weights)
    assert np.std(pulls) == pytest.approx(1, abs=0.05)
    naive = np.sqrt(np.square(weights) @ np.square(single.error))
    assert np.std(result.flux @ weights / naive) > 1.2  # what leaving the covariance out would cost


def test_own_grid_is_the_identity() -> None:
    rng = np.random.default_rng(8)
    wave = np.sort(rng.uniform(1, 2, 60))
    flux, error = rng.normal(0, 1, 60), rng.uniform(0.1, 1, 60)
    result = resample(wave, flux, error, wave, covariance=True)
    np.testing.assert_allclose(result.flux, flux, rtol=1e-12)
    np.testing.assert_allclose(result.error, error, rtol=1e-12)
    assert result.covariance is not None
    assert result.covariance.shape == (60, 1)


def test_half_covered_pixels_stay_and_less_are_masked() -> None:
    wave = np.array([1.0, 2.0, 3.0, 4.0])
    mask = np.array([False, True, False, False])
    result = resample(wave, np.arange(4.0), np.ones(4), np.array([1.5, 3.5]), mask=mask)
    assert result.mask.tolist() == [False, False]  # exactly one half of the first
    assert result.coverage.tolist() == [0.5, 1.0]
    assert result.flux[0] == 0.0
    more = resample(wave, np.arange(4.0), np.ones(4), np.array([1.7, 3.5]), mask=mask)
    assert more.mask.tolist() == [True, False]
    assert np.isnan(more.flux[0])
    assert np.isnan(more.error[0])


@pytest.mark.parametrize(
    "wave",
    [
        [1.0, 3.0, 2.0, 4.0],
        [4.0, 3.0, 2.0, 1.0],
        [1.0, 2.0, 2.0, 3.0],
        [1.0, 2.0, np.nan, 3.0],
        [1.0],
        [-1.0, 1.0, 2.0, 3.0],
    ],
)
def test_bad_axes_are_refused(wave: list[float]) -> None:
    """A shuffled, reversed, repeated, short or non-finite axis is a ValidationError, for input and output."""
    n = len(wave)
    with pytest.raises(ValidationError):
        resample(np.array(wave), np.ones(n), np.ones(n), np.array([1.0, 2.0]))
    with pytest.raises(ValidationError):
        resample(np.array([1.0, 2.0]), np.ones(2), np.ones(2), np.array(wave))


@pytest.mark.parametrize(
    "row", [[1.0, np.nan, 2.0, 3.0], [2.0, 1.0, 3.0, np.nan], [1.0, np.nan, np.nan, np.nan], [np.nan] * 4]
)
def test_bad_rows_are_refused(row: list[float]) -> None:
    wave = np.array([[1.0, 2.0, 3.0, 4.0], row])
    with pytest.raises(ValidationError, match="row 1"):
        resample(wave, np.ones((2, 4)), np.ones((2, 4)), np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("flux", "error", "mask"),
    [
        (np.ones(3), np.ones(4), None),
        (np.ones(5), np.ones(5), None),
        (np.ones(4), np.ones(4), np.zeros(3, dtype=bool)),
        (np.ones(4), np.ones(4), np.zeros(4)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(flux: FloatArray, error: FloatArray, mask: Any) -> None:
    with pytest.raises(ValidationError):
        resample(np.arange(1.0, 5.0), flux, error, np.array([1.0, 2.0]), mask=mask)


@given(seed=st.integers(0, 2**32 - 1), masked=st.booleans(), m=st.integers(2, 60))
def test_rows_of_one_grid_have_the_covariance_that_each_has_by_itself(
    seed: int, masked: bool, m: int
) -> None:
    """Both with the same good pixels in all rows, and with others in each."""
    rng = np.random.default_rng(seed)
    wave, grid = np.sort(rng.uniform(1, 2, 40)), np.sort(rng.uniform(0.9, 2.1, m))
    flux, error = rng.normal(1, 1, (7, 40)), rng.uniform(0.5, 1, (7, 40))
    mask = rng.random((7, 40)) < 0.3 * masked
    together = resample(wave, flux, error, grid, mask=mask, covariance=True)
    assert together.covariance is not None
    for k in range(7):
        alone = resample(wave, flux[k], error[k], grid, mask=mask[k], covariance=True)
        assert alone.covariance is not None
        np.testing.assert_array_equal(together.mask[k], alone.mask)
        lags = min(together.covariance.shape[2], alone.covariance.shape[1])
        for one, other in (
            (together.flux[k], alone.flux),
            (together.error[k], alone.error),
            (together.coverage[k], alone.coverage),
            (together.covariance[k, :, :lags], alone.covariance[:, :lags]),
        ):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
        assert not together.covariance[k, :, lags:].any()
        assert not alone.covariance[:, lags:].any()
