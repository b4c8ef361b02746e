"""Statements checked: line fluxes, equivalent widths, their errors; smoothing to a lower resolving power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.errors import ValidationError
from campfire.kernels.lines import line_fluxes
from campfire.kernels.lsf import GRATINGS, resolving_power, sigma_of_match, smoothing_matrix
from campfire.typing import FloatArray

WAVE = np.linspace(1.0, 2.0, 1001)


def gaussian(centre: float, sigma: float) -> FloatArray:
    return np.asarray(np.exp(-0.5 * ((WAVE - centre) / sigma) ** 2))


@given(
    peak=st.floats(-3.0, 50.0),
    level=st.floats(0.5, 9.0),
    slope=st.floats(-3.0, 3.0),
    centre=st.floats(1.3, 1.7),
)
def test_injected_line_is_recovered(peak: float, level: float, slope: float, centre: float) -> None:
    """Emission or absorption on a sloping continuum: flux and equivalent width to 0.1 %."""
    sigma = 0.004
    flam = level + slope * (WAVE - centre) + peak * gaussian(centre, sigma)
    found = line_fluxes(WAVE, flam[None], np.full((1, 1001), 0.1), centre, 4 * sigma, (0.025, 0.1))
    expected = peak * sigma * 1e4 * np.sqrt(2 * np.pi)
    assert found.flux[0] == pytest.approx(expected, rel=1e-3, abs=1e-9)
    assert found.continuum[0] == pytest.approx(level, abs=1e-3)
    assert found.width[0] == pytest.approx(expected / level, rel=2e-3, abs=1e-9)


def test_errors_have_unit_pulls() -> None:
    """Monte Carlo over 3000 spectra: flux, continuum and equivalent width, to 5 %."""
    rng = np.random.default_rng(0)
    error = np.linspace(0.3, 0.6, 1001)
    truth = 5.0 + 20 * gaussian(1.5, 0.004)
    flam = truth + rng.normal(0, 1, (3000, 1001)) * error
    sigma = np.broadcast_to(error, flam.shape)
    found = line_fluxes(WAVE, flam, sigma, 1.5, 0.016, (0.025, 0.1))
    flux = 20 * 40 * np.sqrt(2 * np.pi)
    for value, expected, reported in (
        (found.flux, flux, found.flux_err),
        (found.continuum, 5.0, found.continuum_err),
        (found.width, flux / 5, found.width_err),
    ):
        pulls = (value - expected) / reported
        assert np.std(pulls) == pytest.approx(1, abs=0.05)
        assert abs(np.mean(pulls)) < 0.1


def test_covariance_enters_the_error() -> None:
    from scipy.sparse import csr_array, diags_array

    rng = np.random.default_rng(1)
    smooth = diags_array([0.25, 0.5, 0.25], offsets=[-1, 0, 1], shape=(1001, 1001)).tocsr()
    noise = rng.normal(0, 1, (2000, 1001)) @ smooth.toarray().T
    covariance = csr_array(smooth @ smooth.T)
    error = np.sqrt(covariance.diagonal())
    fluxes = [
        line_fluxes(WAVE, row[None], error[None], 1.5, 0.016, (0.025, 0.1), covariance=covariance)
        for row in noise[:1500]
    ]
    pulls = [found.flux[0] / found.flux_err[0] for found in fluxes]
    assert np.std(pulls) == pytest.approx(1, abs=0.06)


@given(seed=st.integers(0, 2**16), poison=st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.0]))
def test_masked_values_never_change_an_output(seed: int, poison: float) -> None:
    rng = np.random.default_rng(seed)
    flam, error = rng.normal(1, 0.2, (2, 1001)), rng.uniform(0.1, 0.3, (2, 1001))
    mask = rng.random((2, 1001)) < 0.02

    def outputs() -> tuple[FloatArray, ...]:
        return line_fluxes(WAVE, flam, error, [1.4, 1.5], 0.02, (0.025, 0.1), mask=mask)

    before = outputs()
    flam[mask], error[mask] = poison, abs(poison)
    for left, right in zip(before, outputs(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("centre", [0.5, 1.0, 1.01, 2.5])
def test_line_outside_or_at_the_end_is_nan(centre: float) -> None:
    found = line_fluxes(WAVE, np.ones((1, 1001)), np.ones((1, 1001)), centre, 0.02, (0.025, 0.1))
    assert np.isnan(found.flux[0])
    assert np.isnan(found.flux_err[0])


def test_padded_rows_equal_single_spectra() -> None:
    rng = np.random.default_rng(2)
    wave = np.full((2, 1001), np.nan)
    wave[0], wave[1, :801] = WAVE, WAVE[:801] * 1.01
    flam, error = rng.normal(1, 0.2, (2, 1001)), np.full((2, 1001), 0.2)
    together = line_fluxes(wave, flam, error, 1.5, 0.02, (0.025, 0.1))
    alone = line_fluxes(wave[1, :801], flam[1:, :801], error[1:, :801], 1.5, 0.02, (0.025, 0.1))
    for left, right in zip(together, alone, strict=True):
        assert left[1] == pytest.approx(right[0], rel=1e-10)


def test_a_covariance_belongs_to_one_spectrum() -> None:
    with pytest.raises(ValidationError, match="one spectrum"):
        line_fluxes(
            WAVE, np.ones((2, 1001)), np.ones((2, 1001)), 1.5, 0.02, (0.03, 0.1), covariance=np.eye(1001)
        )


@pytest.mark.parametrize("grating", GRATINGS)
def test_resolving_powers_are_in_the_range_of_the_disperser(grating: str) -> None:
    """30-420 for the prism, 360-1530 for M, 940-4360 for H gratings, over what they cover."""
    span = {"P": (0.6, 5.3), "1": (0.97, 1.84), "2": (1.66, 3.07), "3": (2.87, 5.1)}[
        "P" if grating == "PRISM" else grating[1]
    ]
    low, high = {"PRISM": (30, 420), "M": (360, 1530), "H": (940, 4360)}[
        grating if grating == "PRISM" else grating[-1]
    ]
    power = resolving_power(grating, np.linspace(*span, 50))
    assert low <= power.min() < power.max() <= high


def test_smoothing_matches_resolving_powers() -> None:
    """A line of R = 1000 becomes one of R = 200, keeping its flux; a flat spectrum stays flat."""
    own, target = np.full(1001, 1000.0), np.full(1001, 200.0)
    sigma = sigma_of_match(WAVE, own, target)
    matrix = smoothing_matrix(WAVE, sigma, np.ones(1001, dtype=bool))
    np.testing.assert_allclose(matrix @ np.ones(1001), 1.0, rtol=1e-12)
    before = gaussian(1.5, 1.5 / 1000 / 2.3548)
    after = matrix @ before
    assert after.sum() == pytest.approx(before.sum(), rel=0.01)
    spread = np.sqrt(after @ (WAVE - 1.5) ** 2 / after.sum())
    assert 1.5 / (2.3548 * spread) == pytest.approx(200, rel=0.03)


def test_smoothing_leaves_what_is_coarse_already_and_skips_bad_pixels() -> None:
    sigma = sigma_of_match(WAVE, np.full(1001, 100.0), np.full(1001, 200.0))
    assert not sigma.any()
    good = np.ones(1001, dtype=bool)
    good[500] = False
    identity = smoothing_matrix(WAVE, sigma, good).toarray()
    np.testing.assert_array_equal(identity, np.diag(good.astype(float)))
    wide = smoothing_matrix(WAVE, np.full(1001, 0.01), good)
    assert not wide.toarray()[:, 500].any()
    assert not wide.toarray()[500].any()
    np.testing.assert_allclose((wide @ np.ones(1001))[good], 1.0, rtol=1e-12)


def test_unknown_grating_is_refused() -> None:
    with pytest.raises(ValidationError, match="G999M"):
        resolving_power("G999M", WAVE)
