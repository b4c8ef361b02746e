"""Size and correlation of noise are found as they are, with errors that hold, whatever the continuum is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.kernels.noise import HALF, Residuals, SmoothNoise, contrasts, fit_noise, noise_bands, residuals
from campfire.typing import FloatArray

LAGS = 3


def correlated(rng: np.random.Generator, n: int, correlation: list[float]) -> FloatArray:
    """Return unit noise of some correlation from lag 1 on: white noise times the root of its power."""
    angle = 2.0 * np.pi * np.fft.rfftfreq(n)
    power = 1.0 + 2.0 * sum(rho * np.cos((k + 1) * angle) for k, rho in enumerate(correlation))
    return np.asarray(np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * np.sqrt(power), n))


def scale_at(x: FloatArray, slope: float) -> FloatArray:
    return np.asarray(1.2 * np.exp(slope * x))


def one(
    seed: int, n: int, correlation: list[float], slope: float, lines: float = 0.0
) -> tuple[Residuals, FloatArray, FloatArray]:
    """Return residuals of a simulated spectrum, its noise in units of the stated errors, and those errors."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1.0, 1.0, n)
    stated = (1.0 + 0.5 * x**2) * np.where(rng.random(n) < 0.05, 1.3, 1.0)
    noise = correlated(rng, n, correlation) * scale_at(x, slope)
    flux = 5.0 * (1.0 + 0.3 * x + 0.2 * np.sin(4.0 * x)) + noise * stated
    for place in rng.uniform(0, n, 8):
        flux += lines * rng.random() * np.exp(-0.5 * ((np.arange(n) - place) / 1.2) ** 2)
    good = rng.random(n) > 0.01
    return residuals(np.linspace(1.0, 5.0, n), flux, stated, good, LAGS), noise, stated


def found(rows: list[Residuals]) -> SmoothNoise:
    result = fit_noise(rows, LAGS, 9)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("n", "correlation", "slope"), [(430, [0.1], 0.05), (1300, [0.32, 0.06], 0.1), (430, [], 0.0)]
)
def test_scale_and_correlation_are_unbiased_and_their_errors_hold(
    n: int, correlation: list[float], slope: float
) -> None:
    truth = np.zeros(LAGS)
    truth[: len(correlation)] = correlation
    scales, lags = [], []
    for seed in range(40):
        noise = found([one(seed, n, correlation, slope)[0]])
        at = np.interp(noise.wavelength, np.linspace(1.0, 5.0, n), scale_at(np.linspace(-1, 1, n), slope))
        scales.append((noise.scale - at) / noise.scale_err)
        lags.append((noise.correlation[1:] - truth) / noise.correlation_err[1:])
    for pulls in (np.array(scales)[:, [1, 4, 7]], np.array(lags)):
        assert np.abs(pulls.mean(axis=0)).max() < 0.5  # an error of 0.16
        assert 0.8 < np.sqrt(np.square(pulls).mean()) < 1.2


def test_pixels_and_sums_of_pixels_have_unit_pulls_after_it() -> None:
    """With the errors and the covariance it gives; before, sums of 8 have 1.5 times their errors."""
    n, correlation, slope = 800, [0.3, 0.05], 0.1
    pixels, sums, before = [], [], []
    for seed in range(40):
        row, noise, stated = one(seed, n, correlation, slope)
        fit = found([row])
        wave = np.linspace(1.0, 5.0, n)
        error = stated * np.interp(wave, fit.wavelength, fit.scale)
        bands = noise_bands(wave, error, np.ones(n, dtype=bool), fit.correlation)
        pixels.append(noise * stated / error)
        blocks = bands.reshape(-1, 8, LAGS + 1)
        inside = [blocks[:, : 8 - k, k].sum(axis=1) * (2.0 if k else 1.0) for k in range(LAGS + 1)]
        total = (noise * stated).reshape(-1, 8).sum(axis=1)
        sums.append(total / np.sqrt(np.sum(inside, axis=0)))
        before.append(total / np.sqrt(np.square(stated).reshape(-1, 8).sum(axis=1)))
    assert np.std(pixels) == pytest.approx(1.0, abs=0.05)
    assert np.std(sums) == pytest.approx(1.0, abs=0.05)
    assert np.std(before) > 1.4


def test_correlation_is_that_of_the_autocovariance_by_fft() -> None:
    """Of noise that is known, on the same pixels: an implementation without a filter to be corrected for."""
    n = 8_000
    rng = np.random.default_rng(3)
    noise = correlated(rng, n, [0.35, 0.1, 0.02])
    power = np.abs(np.fft.rfft(noise, 2 * n)) ** 2
    autocovariance = np.fft.irfft(power)[: LAGS + 1] / n
    fit = found([residuals(np.linspace(1.0, 5.0, n), 3.0 + noise, np.ones(n), np.ones(n, dtype=bool), LAGS)])
    np.testing.assert_allclose(fit.correlation, autocovariance / autocovariance[0], atol=0.03)
    assert fit.scale.mean() == pytest.approx(np.sqrt(autocovariance[0]), rel=0.03)


def test_transfer_is_that_of_weighted_fits_written_out() -> None:
    """By least squares of numpy around every pixel, and a dense product with a correlation matrix."""
    rng = np.random.default_rng(5)
    n = 70
    stated, good = rng.uniform(0.5, 2.0, n), rng.random(n) > 0.1
    flux = rng.uniform(-1.0, 1.0, n) * stated  # nothing stands out
    row = residuals(np.linspace(1.0, 2.0, n), flux, stated, good, LAGS)
    matrix = np.zeros((n, n))
    for i in np.flatnonzero(good).tolist():
        at = np.array([j for j in range(max(i - HALF, 0), min(i + HALF + 1, n)) if good[j]])
        design = np.vander(at - float(i), 3) / stated[at, None]
        matrix[i, at] = -np.linalg.pinv(design)[-1] / stated[i]
        matrix[i, i] += 1.0
        # pinv takes values over their errors, as G does
    used = row.used  # at the ends some have too few neighbours
    assert used.sum() > 50
    np.testing.assert_allclose(row.value[used], (matrix @ (flux / stated))[used], atol=1e-10)
    correlation = np.array([1.0, 0.4, -0.1, 0.2])
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    true = np.where(distance <= LAGS, correlation[np.minimum(distance, LAGS)], 0.0)
    covariance = matrix @ true @ matrix.T
    for k in range(2 * HALF + 1):
        pair = used[: n - k] & used[k:]
        expected = (row.transfer[: n - k, k] @ correlation)[pair]
        np.testing.assert_allclose(expected, np.diagonal(covariance, k)[pair], atol=1e-5)


def test_lines_and_outliers_hardly_matter() -> None:
    truth, moved = [], []
    for seed in range(15):
        truth.append(found([one(seed, 800, [0.1], 0.0)[0]]))
        moved.append(found([one(seed, 800, [0.1], 0.0, lines=60.0)[0]]))
    ratio = np.mean([b.scale.mean() / a.scale.mean() for a, b in zip(truth, moved, strict=True)])
    assert ratio == pytest.approx(1.0, abs=0.03)
    shift = np.mean([b.correlation - a.correlation for a, b in zip(truth, moved, strict=True)], axis=0)
    assert np.abs(shift).max() < 0.04


def test_pixels_on_both_sides_of_a_gap_have_nothing_to_do_with_each_other() -> None:
    wave = np.concatenate([np.linspace(1.0, 2.0, 200), np.linspace(2.5, 3.5, 200)])
    flux = np.where(wave < 2.2, 0.0, 1e3) + np.random.default_rng(0).normal(0, 1, 400)
    fit = found([residuals(wave, flux, np.ones(400), np.ones(400, dtype=bool), LAGS)])
    assert fit.scale.mean() == pytest.approx(1.0, abs=0.15)
    bands = noise_bands(wave, np.ones(400), np.ones(400, dtype=bool), np.array([1.0, 0.5, 0.2]))
    assert bands[199].tolist() == [1.0, 0.0, 0.0]
    assert bands[198].tolist() == [1.0, 0.5, 0.0]


def test_differences_of_repeats_are_independent_with_the_errors_given() -> None:
    """For every spectrum less the weighted mean of those before it: by the algebra of the weights."""
    rng = np.random.default_rng(1)
    error = rng.uniform(0.5, 2.0, (5, 3))
    good = rng.random((5, 3)) > 0.2
    unit = np.eye(5)[:, :, None] * np.ones(3)
    matrices = np.stack([contrasts(unit[:, k], error, good)[0] for k in range(5)], axis=1)  # (4, 5, 3)
    _, sigma, usable = contrasts(unit[:, 0], error, good)
    for pixel in range(3):
        rows = usable[:, pixel]
        matrix = matrices[rows, :, pixel]
        covariance = (matrix * np.square(error[:, pixel])) @ matrix.T
        np.testing.assert_allclose(covariance, np.diag(np.square(sigma[rows, pixel])), atol=1e-12)


@given(st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_covariance_is_one_that_noise_can_have(correlation: list[float], seed: int) -> None:
    """Correlations found in few pixels may be impossible ones: they are shrunk."""
    from campfire.kernels.noise import _positive

    rng = np.random.default_rng(seed)
    n = 40
    possible = _positive(np.array([1.0, *correlation]))
    bands = noise_bands(np.linspace(1, 2, n), rng.uniform(0.1, 9.0, n), rng.random(n) > 0.2, possible)
    matrix = np.zeros((n, n))
    for k in range(bands.shape[1]):
        rows = np.arange(n - k)
        matrix[rows, rows + k] = matrix[rows + k, rows] = bands[: n - k, k]
    assert np.linalg.eigvalsh(matrix).min() > -1e-9
    assert possible[0] == 1.0


@pytest.mark.parametrize("usable", [0, 30])
def test_few_pixels_tell_nothing(usable: int) -> None:
    good = np.arange(100) < usable
    row = residuals(np.linspace(1, 2, 100), np.random.default_rng(0).normal(size=100), np.ones(100), good, 3)
    assert fit_noise([row], 3, 9) is None
