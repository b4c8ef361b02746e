"""Statements checked: line fluxes, equivalent widths, their errors; smoothing to a lower resolving power."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from campfire.errors import ValidationError
from campfire.kernels.grids import pixel_edges
from campfire.kernels.line_integration import REASONS, LineFluxes, line_fluxes
from campfire.kernels.lsf import (
    FWHM_PER_SIGMA,
    GRATINGS,
    resolving_power,
    sigma_of_match,
    smoothing_matrix,
    with_pixels,
)
from campfire.typing import BoolArray, FloatArray

WAVE = np.linspace(1.0, 2.0, 1001)
FWHM = 0.01


def gaussian(centre: float, sigma: float) -> FloatArray:
    return np.asarray(np.exp(-0.5 * ((WAVE - centre) / sigma) ** 2))


def spectrum(
    lines: dict[float, float], level: float = 2.0, slope: float = 0.3, wave: FloatArray = WAVE
) -> FloatArray:
    """Return pixel averages of lines (centre -> flux, in units times angstrom) on a sloping continuum."""
    edges = pixel_edges(wave)
    flam = level + slope * (wave - 1.5)
    for centre, flux in lines.items():
        share = np.diff(ndtr((edges - centre) / (FWHM / FWHM_PER_SIGMA)))
        flam = flam + flux * share / (np.diff(edges) * 1e4)
    return np.asarray(flam)


def measure(
    flam: FloatArray, centres: Any, error: float | FloatArray = 0.1, wave: FloatArray = WAVE, **options: Any
) -> LineFluxes:
    flam = np.atleast_2d(flam)
    at = np.tile(np.asarray(centres, dtype=np.float64), (len(flam), 1))
    errors = np.broadcast_to(np.asarray(error, dtype=np.float64), flam.shape)
    return line_fluxes(wave, flam, errors, at, np.full(at.shape, FWHM), **options)


def check_pulls(found: LineFluxes, fluxes: Any, level: Any, bias: float = 0.1) -> None:
    flux, level = np.asarray(fluxes), np.asarray(level)
    for value, expected, error in (
        (found.flux, flux, found.flux_err),
        (found.continuum, level, found.continuum_err),
        (found.width, flux / level, found.width_err),
    ):
        pulls = (value - expected) / error
        np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.06)
        np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=bias)


@given(
    peak=st.floats(-3.0, 50.0),
    level=st.floats(0.5, 9.0),
    slope=st.floats(-3.0, 3.0),
    centre=st.floats(1.3, 1.7),
)
def test_injected_line_is_recovered(peak: float, level: float, slope: float, centre: float) -> None:
    """Emission or absorption on a sloping continuum: flux and equivalent width, whatever the width."""
    for sigma in (0.0042, 0.003):
        flam = level + slope * (WAVE - centre) + peak * gaussian(centre, sigma)
        found = measure(flam, [centre])
        expected = peak * sigma * 1e4 * np.sqrt(2 * np.pi)
        assert found.flux[0, 0] == pytest.approx(expected, rel=1e-3, abs=1e-9)
        assert found.continuum[0, 0] == pytest.approx(level, abs=1e-3)
        assert found.width[0, 0] == pytest.approx(expected / level, rel=2e-3, abs=1e-9)


def test_errors_have_unit_pulls() -> None:
    """Monte Carlo over 3000 spectra: flux, continuum and equivalent width, to 6 %."""
    rng = np.random.default_rng(0)
    error = np.linspace(0.3, 0.6, 1001)
    truth = spectrum({1.5: 2000.0}, level=5.0)
    found = measure(truth + rng.normal(0, 1, (3000, 1001)) * error, [1.5], error)
    check_pulls(found, [2000.0], [5.0])


@pytest.mark.parametrize("apart", [0.9, 1.3, 2.2])
def test_blended_lines_are_told_apart_with_unit_pulls(apart: float) -> None:
    """Three lines of unlike fluxes, each with masked pixels in some spectra: no bias, right errors."""
    rng = np.random.default_rng(1)
    centres = 1.5 + FWHM * apart * np.array([-1, 0, 1])
    fluxes = [300.0, 2000.0, 600.0]
    truth = spectrum(dict(zip(centres, fluxes, strict=True)))
    mask = rng.random((3000, 1001)) < 0.01
    found = measure(truth + rng.normal(0, 0.2, mask.shape), centres, 0.2, mask=mask)
    whole = (found.reason == 0).all(axis=1)
    assert whole.mean() > 0.9
    found = LineFluxes._make(column[whole] for column in found)
    check_pulls(found, fluxes, 2 + 0.3 * (centres - 1.5))
    assert found.blended.all()
    np.testing.assert_array_equal(found.first, found.last)


def test_lines_that_are_not_resolved_are_measured_as_one() -> None:
    """The total is right whatever the single fluxes (0.2 sigma at S/N of 70); beside another line too."""
    rng = np.random.default_rng(2)
    centres = 1.5 + FWHM * np.array([-1.2, 0.0, 0.6, 0.6])
    truth = spectrum(dict(zip(centres[:3], [1000.0, 1500.0, 500.0], strict=True)))
    found = measure(truth + rng.normal(0, 0.2, (2000, 1001)), centres, 0.2)
    np.testing.assert_array_equal(found.first[0], [0, 1, 1, 1])
    np.testing.assert_array_equal(found.last[0], [0, 3, 3, 3])
    check_pulls(found, [1000.0, 2000, 2000, 2000], 2 + 0.3 * (centres - 1.5), bias=0.2)


def test_masked_pixels_in_the_line_are_corrected_for() -> None:
    """Monte Carlo: the flux stays right, its error grows; below the least coverage it is NaN."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.2, (2000, 1001))
    errors = []
    for half in (-1.0, 0.6, 1.6):
        mask = np.abs(WAVE - 1.5) < half * 1e-3
        found = measure(spectrum({1.5: 2000.0}) + noise, [1.5], 0.2, mask=np.tile(mask, (2000, 1)))
        check_pulls(found, [2000.0], [2.0])
        errors.append(found.flux_err[0, 0])
    assert errors[0] < errors[1] < errors[2]
    assert found.coverage[0, 0] == pytest.approx(
        1 - np.ptp(ndtr(np.array([-1.5e-3, 1.5e-3]) * 235.48)), rel=1e-5
    )
    found = measure(spectrum({1.5: 2000.0}), [1.5], mask=np.abs(WAVE - 1.5) < 2.6e-3)
    assert REASONS[found.reason[0, 0]] == "masked"
    assert np.isnan(found.flux[0, 0])
    assert 0 < found.coverage[0, 0] < 0.7


@pytest.mark.parametrize(
    ("centres", "good"),
    [
        (1.5 + FWHM * 2.6 * np.arange(-4, 5), (1.0, 2.0)),  # lines everywhere
        ([1.49, 1.5], (1.4, 1.52)),  # the end of the spectrum
        ([1.5], (1.485, 1.6)),
    ],
)
def test_continuum_in_difficult_places(centres: Any, good: tuple[float, float]) -> None:
    rng = np.random.default_rng(4)
    fluxes = {float(centre): 500.0 * (k % 3 + 1) for k, centre in enumerate(centres)}
    flam = spectrum(fluxes) + rng.normal(0, 0.2, (1500, 1001))
    mask = ~((good[0] <= WAVE) & (good[1] >= WAVE))
    found = measure(flam, centres, 0.2, mask=np.tile(mask, (1500, 1)))
    check_pulls(found, list(fluxes.values()), 2 + 0.3 * (np.asarray(centres) - 1.5))


def test_reasons_for_nan() -> None:
    def reason(mask: BoolArray, *centres: float) -> str:
        found = measure(spectrum({}), centres, mask=mask)
        assert np.isnan([found.flux[0, 0], found.flux_err[0, 0], found.continuum[0, 0]]).all()
        return REASONS[found.reason[0, 0]]

    away = np.abs(WAVE - 1.5)
    assert reason(away > 0.016, 1.5) == "no continuum"
    assert reason(away < 0.004, 1.5) == "masked"
    assert reason(away < 0, 0.5) == "outside"
    assert reason(np.abs(WAVE - 1.51) < 0.0045, 1.5, 1.51) == "neighbour masked"


def test_covariance_enters_the_error() -> None:
    from scipy.sparse import csr_array, diags_array

    rng = np.random.default_rng(1)
    smooth = diags_array([0.25, 0.5, 0.25], offsets=[-1, 0, 1], shape=(1001, 1001)).tocsr()
    noise: FloatArray = rng.normal(0, 1, (1500, 1001)) @ np.asarray(smooth.toarray().T, dtype=np.float64)
    covariance = csr_array(smooth @ smooth.T)
    error = np.sqrt(covariance.diagonal())
    known = measure(2 + noise, [1.5, 1.512], error, covariance=[covariance] * 1500)
    assert np.std(known.flux / known.flux_err, axis=0) == pytest.approx(1, abs=0.06)
    np.testing.assert_allclose(np.std((known.continuum - 2) / known.continuum_err, axis=0), 1, atol=0.06)
    some = measure(2 + noise[:2], [1.5, 1.512], error, covariance=[covariance, None])
    np.testing.assert_array_equal(some.flux_err[0], known.flux_err[0])
    np.testing.assert_array_equal(some.flux_err[1], measure(noise[:1], [1.5, 1.512], error).flux_err[0])


@given(seed=st.integers(0, 2**16), poison=st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.0]))
def test_masked_values_never_change_an_output(seed: int, poison: float) -> None:
    rng = np.random.default_rng(seed)
    flam, error = rng.normal(1, 0.2, (2, 1001)), rng.uniform(0.1, 0.3, (2, 1001))
    mask = rng.random((2, 1001)) < 0.02

    def outputs() -> LineFluxes:
        return measure(flam, [1.4, 1.5, 1.513], error, mask=mask)

    before = outputs()
    flam[mask], error[mask] = poison, abs(poison)
    for left, right in zip(before, outputs(), strict=True):
        np.testing.assert_array_equal(left, right)


@given(seed=st.integers(0, 2**16), factor=st.floats(1e-20, 1e20))
def test_scaling_and_order_of_spectra(seed: int, factor: float) -> None:
    """Fluxes in another unit give results in it; spectra in another order give results in it."""
    rng = np.random.default_rng(seed)
    flam, error = rng.normal(1, 0.2, (3, 1001)), rng.uniform(0.1, 0.3, (3, 1001))
    mask = rng.random((3, 1001)) < 0.02
    order = rng.permutation(3)
    before = measure(flam, [1.4, 1.5, 1.513], error, mask=mask)
    after = measure(factor * flam[order], [1.4, 1.5, 1.513], factor * error[order], mask=mask[order])
    scales = [factor] * 4 + [1.0] * 7
    for name, scale in zip(LineFluxes._fields, scales, strict=True):
        left, right = getattr(before, name), getattr(after, name)
        np.testing.assert_allclose(right, left[order] * scale, rtol=1e-6, atol=1e-9 * scale)


def test_wanted_lines_are_measured_as_among_all() -> None:
    flam = spectrum({1.4: 100.0, 1.5: 2000.0, 1.512: 300.0})
    every = measure(flam, [1.4, 1.5, 1.512])
    some = measure(flam, [1.4, 1.5, 1.512], wanted=np.array([2, 0]))
    for name in LineFluxes._fields:
        np.testing.assert_allclose(getattr(some, name)[0], getattr(every, name)[0, [2, 0]], rtol=1e-12)


@pytest.mark.parametrize("centre", [0.5, 1.0, 2.5])
def test_line_outside_or_at_the_end_is_nan(centre: float) -> None:
    found = measure(np.ones(1001), [centre])
    assert REASONS[found.reason[0, 0]] == "outside"
    assert np.isnan([found.flux[0, 0], found.flux_err[0, 0]]).all()
    assert found.coverage[0, 0] == pytest.approx(0.5 if centre == 1 else 0.0, abs=0.05)


def test_errors_of_any_ratio_give_a_result() -> None:
    error = np.full(1001, 0.1)
    error[530] = 1e-12
    found = measure(spectrum({1.5: 2000.0}), [1.5], error)
    assert found.flux[0, 0] == pytest.approx(2000, rel=0.01)


@pytest.mark.parametrize("pixel", [0.004, 0.008, 0.016, 0.03])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5])
def test_pixels_wider_than_the_line(pixel: float, shift: float) -> None:
    """The window grows with the pixels; no flux is lost."""
    wave = np.arange(1.0, 2.0, pixel) + shift * pixel
    found = measure(spectrum({1.5: 2000.0}, wave=wave), [1.5], wave=wave)
    assert found.flux[0, 0] == pytest.approx(2000, rel=1e-6)


def test_padded_rows_equal_single_spectra() -> None:
    rng = np.random.default_rng(2)
    wave = np.full((2, 1001), np.nan)
    wave[0], wave[1, :801] = WAVE, WAVE[:801] * 1.01
    flam, error = rng.normal(1, 0.2, (2, 1001)), np.full((2, 1001), 0.2)
    centres = [1.2, 1.5, 1.513, 1.8]
    together = measure(flam, centres, error, wave)
    alone = measure(flam[1:, :801], centres, error[1:, :801], wave[1, :801])
    for name in LineFluxes._fields:
        np.testing.assert_allclose(getattr(together, name)[1], getattr(alone, name)[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("centre", "fwhm", "match"),
    [
        (np.ones((1, 2)), np.ones((1, 3)), "shape"),
        (np.ones((2, 1)), np.ones((2, 1)), "shape"),
        (np.array([[1.5, 1.4]]), np.full((1, 2), FWHM), "order"),
    ],
)
def test_bad_input(centre: FloatArray, fwhm: FloatArray, match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        line_fluxes(WAVE, np.ones((1, 1001)), np.ones((1, 1001)), centre, fwhm)
    with pytest.raises(ValidationError, match="one shape"):
        measure(np.ones(1000), [1.5])


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


def test_width_with_pixels_is_that_of_the_average_over_them() -> None:
    """Standard deviation of a Gaussian averaged over a box, by its samples."""
    rng = np.random.default_rng(5)
    samples = rng.normal(0, 2 / FWHM_PER_SIGMA, 400_000) + rng.uniform(-1.5, 1.5, 400_000)
    expected = FWHM_PER_SIGMA * samples.std()
    assert with_pixels(np.array(2.0), np.array(3.0)) == pytest.approx(expected, rel=0.01)
