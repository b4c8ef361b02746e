"""Statements checked: injected calibration curves are recovered without bias, with right errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.errors import ValidationError
from campfire.formats.bandpasses import load_bandpass
from campfire.kernels.bandpass import band_fluxes
from campfire.kernels.calibration_curve import CurveFit, fit_curve
from campfire.typing import FloatArray

WAVE = np.linspace(0.6, 5.3, 300)
BANDS = [load_bandpass(n) for n in ("f814w", "f115w", "f150w", "f200w", "f277w", "f356w", "f410m", "f444w")]
SOURCE = 1 + 0.3 * np.sin(3 * WAVE)
PHOTOMETRY = band_fluxes(WAVE, SOURCE, np.ones(300), BANDS).flux


def curve(coefficients: list[float]) -> FloatArray:
    """A Chebyshev curve frozen outside the outermost pivots."""
    held = np.clip(WAVE, BANDS[0].pivot, BANDS[-1].pivot)
    x = 2 * (held - WAVE[0]) / (WAVE[-1] - WAVE[0]) - 1
    return np.asarray(np.polynomial.chebyshev.chebval(x, coefficients))


def observe(
    rng: np.random.Generator, multiplier: FloatArray, snr: float, precision: float, degree: int
) -> tuple[CurveFit, FloatArray]:
    spectrum = SOURCE / multiplier
    error = np.full(300, np.median(spectrum) / snr)
    seen = spectrum + rng.normal(0, 1, 300) * error
    sigma = precision * PHOTOMETRY
    photometry = PHOTOMETRY + rng.normal(0, 1, len(BANDS)) * sigma
    fit = fit_curve(WAVE, seen, error, BANDS, photometry, sigma, degree=degree)
    return fit, (fit.multiplier * seen - SOURCE) / fit.error(error)


@given(coefficients=st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=3), level=st.floats(0.6, 20.0))
def test_injected_curve_is_recovered_exactly_without_noise(coefficients: list[float], level: float) -> None:
    true = level * curve([1.0, *coefficients])
    fit = fit_curve(
        WAVE,
        SOURCE / true,
        np.full(300, 1e-3),
        BANDS,
        PHOTOMETRY,
        0.01 * PHOTOMETRY,
        degree=len(coefficients),
    )
    np.testing.assert_allclose(fit.multiplier, true, rtol=1e-6)
    assert fit.chi2 < 1e-6


@pytest.mark.parametrize("degree", [0, 3])
@pytest.mark.parametrize("snr", [20.0, 2.0])
def test_curve_is_unbiased_with_unit_pulls(snr: float, degree: int) -> None:
    """Monte Carlo: pulls of curve and calibrated pixels have unit width (10 %), no mean, also at low S/N."""
    true = curve([1.6, 0.2, -0.1, 0.1][: degree + 1])
    rng = np.random.default_rng(int(snr) + degree)
    runs = [observe(rng, true, snr, 0.05, degree) for _ in range(250)]
    pulls = np.array([(fit.multiplier - true) / fit.multiplier_err for fit, _ in runs])[:, ::40]
    assert np.std(pulls) == pytest.approx(1, abs=0.1)
    assert np.abs(pulls.mean(axis=0)).max() < 0.25
    assert np.std([pixels for _, pixels in runs]) == pytest.approx(1, abs=0.1)
    chi2 = np.mean([fit.chi2 for fit, _ in runs])
    assert chi2 == pytest.approx(len(BANDS) - 1 - degree, rel=0.2)


def test_negative_fluxes_and_upper_limits_are_used() -> None:
    """Bands of no flux, some of them negative, pull the curve down instead of being ignored."""
    sigma = np.full(len(BANDS), 0.05)
    photometry = np.where(np.arange(len(BANDS)) < 4, -0.01, PHOTOMETRY)
    fit = fit_curve(WAVE, SOURCE, np.full(300, 0.01), BANDS, photometry, sigma, degree=3)
    assert fit.multiplier[50] < 0.2
    assert fit.clipped.any()  # a curve cannot go below its range, and says so


def test_frozen_outside_the_outermost_pivots() -> None:
    fit, _ = observe(np.random.default_rng(1), curve([1.5, 0.3, 0.1]), 50.0, 0.01, 2)
    blue, red = BANDS[0].pivot > WAVE, BANDS[-1].pivot < WAVE
    assert np.ptp(fit.multiplier[blue]) == 0
    assert np.ptp(fit.multiplier[red]) == 0
    assert np.ptp(fit.multiplier_err[red]) == 0


def test_clipping_is_reported() -> None:
    fit = fit_curve(WAVE, SOURCE / 200, np.full(300, 1e-5), BANDS, PHOTOMETRY, 0.01 * PHOTOMETRY, degree=0)
    assert fit.clipped.all()
    assert fit.multiplier.max() == 50.0
    assert fit.coefficients[0] == pytest.approx(200, rel=1e-3)


@given(seed=st.integers(0, 2**16), poison=st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.0]))
def test_masked_values_never_change_the_fit(seed: int, poison: float) -> None:
    rng = np.random.default_rng(seed)
    flux, error = SOURCE + rng.normal(0, 0.1, 300), np.full(300, 0.1)
    mask = rng.random(300) < 0.1

    def fit() -> CurveFit:
        return fit_curve(WAVE, flux, error, BANDS, PHOTOMETRY, 0.05 * PHOTOMETRY, degree=3, mask=mask)

    before = fit()
    flux[mask], error[mask] = poison, abs(poison)
    after = fit()
    for name in (
        "multiplier",
        "multiplier_err",
        "covariance",
        "synthetic",
        "synthetic_err",
        "slope",
        "fold",
        "common",
    ):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert before.chi2 == after.chi2


def test_correlated_pixels_widen_the_synthetic_errors() -> None:
    from scipy.sparse import diags_array

    band = diags_array([0.01 / 2, 0.01, 0.01 / 2], offsets=[-1, 0, 1], shape=(300, 300)).tocsr()
    plain = fit_curve(WAVE, SOURCE, np.full(300, 0.1), BANDS, PHOTOMETRY, 0.01 * PHOTOMETRY, degree=0)
    fit = fit_curve(
        WAVE,
        SOURCE,
        np.full(300, 0.1),
        BANDS,
        PHOTOMETRY,
        0.01 * PHOTOMETRY,
        degree=0,
        covariance=band,
    )
    np.testing.assert_allclose(fit.synthetic_err / plain.synthetic_err, np.sqrt(2), rtol=0.05)


def test_no_signal_is_refused() -> None:
    with pytest.raises(ValidationError, match="no signal"):
        fit_curve(WAVE, np.zeros(300), np.full(300, 0.1), BANDS[:2], np.ones(2), np.ones(2), degree=1)
