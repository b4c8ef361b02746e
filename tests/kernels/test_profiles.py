"""Statements checked: fitted profiles have the least possible error, which they report, in every mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import cholesky
from scipy.optimize import curve_fit
from scipy.sparse import csr_array, diags_array
from scipy.special import erf

from campfire.errors import ValidationError
from campfire.kernels.covariance import Covariance
from campfire.kernels.line_fitting import ProfileFluxes, profile_fluxes
from campfire.typing import FloatArray

STEP = 0.0018
WAVE = 3.9 + STEP * np.arange(120)
EDGES = 3.9 + STEP * (np.arange(121) - 0.5)
INSTRUMENT, OWN = 0.0039, 0.0040
NOISE = 0.3


def model(wave: Any, *parameters: float) -> FloatArray:
    """Return pixel averages of a level, a slope, and lines: (centre, FWHM, flux) of each."""
    level, slope, *lines = parameters
    total = level + slope * (WAVE - 4.0)
    for centre, fwhm, flux in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        below = 0.5 * (1 + erf((EDGES - centre) / fwhm * 2 * np.sqrt(np.log(2))))
        total = total + flux * np.diff(below) / (STEP * 1e4)
    return np.asarray(total)


def spectra(
    lines: list[tuple[float, float, float]], n: int = 1, seed: int = 0, noise: Any = NOISE
) -> FloatArray:
    flat = [value for line in lines for value in line]
    rng = np.random.default_rng(seed)
    return np.asarray(model(WAVE, 2.0, 1.5, *flat) + rng.normal(0, 1, (n, 120)) * (noise if n > 1 else 0.0))


def fit(flam: FloatArray, centres: list[float], noise: Any = NOISE, **options: Any) -> ProfileFluxes:
    at = np.tile(np.array(centres), (len(flam), 1))
    errors = np.broadcast_to(np.asarray(noise, dtype=np.float64), flam.shape)
    ones = np.ones_like(at)
    return profile_fluxes(WAVE, flam, errors, at, INSTRUMENT * ones, OWN * ones, **options)


FWHM = float(np.hypot(INSTRUMENT, OWN))


def bound(centres: list[float], line: int, reach: float = 6.0) -> float:
    """Return the Cramer-Rao bound of a flux where all fluxes, level and slope are unknown."""
    unknowns = [model(WAVE, 1.0, 0.0), model(WAVE, 0.0, 1.0)]
    unknowns += [model(WAVE, 0.0, 0.0, centre, FWHM, 1.0) for centre in centres]
    near = np.abs(WAVE - centres[line]) < reach * FWHM
    fisher = np.array([[np.sum((a * b)[near]) for a in unknowns] for b in unknowns]) / NOISE**2
    return float(np.sqrt(np.linalg.inv(fisher)[2 + line, 2 + line]))


@pytest.mark.parametrize("snr", [3, 10, 50])
def test_isolated_lines_scatter_by_the_least_there_is(snr: float) -> None:
    """Within 5 % of the bound, which is also the error reported; no bias beyond 1 %."""
    least = bound([4.0], 0)
    found = fit(spectra([(4.0, FWHM, snr * least)], 6000), [4.0]).lines
    flux = found.flux[:, 0]
    assert np.std(flux) == pytest.approx(least, rel=0.05)
    assert found.flux_err[0, 0] == pytest.approx(least, rel=0.05)
    assert abs(np.mean(flux) / (snr * least) - 1) < 0.01 + 3 / snr / np.sqrt(6000)


@pytest.mark.parametrize("apart", [0.95, 1.3, 2.5])
def test_blends_scatter_by_the_least_there_is(apart: float) -> None:
    """Within 10 % of the bound of lines fitted together, of unlike fluxes."""
    centres = [4.0 - apart * FWHM, 4.0, 4.0 + 1.2 * apart * FWHM]
    fluxes = [30.0, 100.0, 60.0]
    found = fit(spectra([(c, FWHM, f) for c, f in zip(centres, fluxes, strict=True)], 3000), centres).lines
    for k, flux in enumerate(fluxes):
        least = bound(centres, k)
        assert np.std(found.flux[:, k]) == pytest.approx(least, rel=0.1)
        assert found.flux_err[0, k] == pytest.approx(least, rel=0.1)
        assert np.mean(found.flux[:, k]) == pytest.approx(flux, abs=4 * least / np.sqrt(3000))


def correlated(noise: FloatArray) -> Covariance:
    """Return noise that neighbours share, and an error of all pixels together."""
    near = diags_array([0.35, 0.6, 1.0, 0.6, 0.35], offsets=[-2, -1, 0, 1, 2], shape=(120, 120)).tocsr()
    scaled = csr_array(diags_array(noise) @ near @ diags_array(noise))
    return Covariance(scaled, 0.2 * np.linspace(0.5, 1, 120)[:, None], np.ones(1), ("",))


@pytest.mark.parametrize("with_covariance", [False, True])
def test_one_line_is_what_curve_fit_finds(with_covariance: bool) -> None:
    """Flux and error, with errors that vary, bad pixels, and correlated neighbours, to 1e-6."""
    rng = np.random.default_rng(4)
    noise = rng.uniform(0.2, 0.5, 120)
    flam = spectra([(4.0, FWHM, 40.0)], 2, noise=noise)[:1]
    mask = np.zeros((1, 120), dtype=bool)
    mask[0, [50, 57, 70]] = True
    covariance = Covariance.of(correlated(noise).near)
    full = covariance.toarray() if with_covariance else np.diag(noise**2)
    options: dict[str, Any] = {"covariance": [covariance.good(~mask[0])]} if with_covariance else {}
    found = fit(flam, [4.0], np.sqrt(np.diag(full)), mask=mask, **options).lines
    below, above = np.searchsorted(EDGES, [4.0 - 6 * SEEN, 4.0 + 6 * SEEN]) - 1
    used = np.zeros(120, dtype=bool)
    used[below : above + 1] = True
    used &= ~mask[0]

    def line(wave: Any, level: float, slope: float, flux: float) -> FloatArray:
        return model(wave, level, slope, 4.0, FWHM, flux)[used]

    best, spread = curve_fit(
        line, WAVE[used], flam[0, used], (2.0, 1.0, 30.0), full[np.ix_(used, used)], absolute_sigma=True
    )
    assert found.flux[0, 0] == pytest.approx(best[2], rel=1e-6)
    assert found.flux_err[0, 0] == pytest.approx(np.sqrt(spread[2, 2]), rel=1e-6)
    assert found.continuum[0, 0] == pytest.approx(best[0], rel=1e-6)


SEEN = float(np.hypot(FWHM, STEP * 2.3548200450309493 / np.sqrt(12)))


def test_correlated_noise_gives_unit_pulls_only_with_its_covariance() -> None:
    covariance = correlated(np.full(120, NOISE))
    root = cholesky(covariance.toarray(), lower=True)
    noise = np.random.default_rng(5).normal(0, 1, (2000, 120)) @ root.T
    flam = spectra([(4.0, FWHM, 60.0)]) + noise
    error = np.sqrt(covariance.diagonal())
    with_it = fit(flam, [4.0], error, covariance=[covariance] * 2000).lines
    without = fit(flam, [4.0], error).lines
    assert np.std((with_it.flux - 60) / with_it.flux_err) == pytest.approx(1, abs=0.05)
    assert np.std((without.flux - 60) / without.flux_err) > 1.3
    assert np.std(with_it.flux) < np.std(without.flux)


@pytest.mark.parametrize(("instrument", "own"), [(1.0, 1.0), (0.6, 0.5), (1.0, 2.0)])
@pytest.mark.parametrize("mode", ["tied", "free"])
def test_widths_are_found(instrument: float, own: float, mode: Any) -> None:
    """Of compact sources and of broad lines: fluxes, widths and their errors, with errors that hold."""
    fwhm = float(np.hypot(instrument * INSTRUMENT, own * OWN))
    found = fit(spectra([(3.96, fwhm, 200.0), (4.06, fwhm, 200.0)], 500), [3.96, 4.06], fit=mode)
    pulls = (found.lines.flux - 200) / found.lines.flux_err
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 0.35)
    assert np.all((np.std(pulls, axis=0) > 0.8) & (np.std(pulls, axis=0) < 1.1))
    of_width = (found.line_fwhm - fwhm) / found.line_fwhm_err
    assert np.all(np.abs(np.mean(of_width, axis=0)) < 0.5)
    assert np.all((np.std(of_width, axis=0) > 0.75) & (np.std(of_width, axis=0) < 1.1))
    if mode == "tied":
        np.testing.assert_array_equal(found.line_fwhm[:, 0], found.line_fwhm[:, 1])


def test_free_widths_are_those_of_curve_fit() -> None:
    """Where the line is strong, so that the prior says nothing: within a tenth of the error."""
    flam = spectra([(4.0, 0.008, 400.0)], 2)[:1]
    found = fit(flam, [4.0], fit="free")
    near = np.abs(WAVE - 4.0) < 6.3 * FWHM

    def line(wave: Any, level: float, slope: float, fwhm: float, flux: float) -> FloatArray:
        return np.asarray(model(wave, level, slope, 4.0, fwhm, flux)[near])

    errors = np.full(near.sum(), NOISE)
    best, spread = curve_fit(
        line, WAVE[near], flam[0, near], (2.0, 1.0, 0.006, 300.0), errors, absolute_sigma=True
    )
    assert found.line_fwhm[0, 0] == pytest.approx(best[2], abs=0.1 * np.sqrt(spread[2, 2]))
    assert found.lines.flux[0, 0] == pytest.approx(best[3], abs=0.2 * np.sqrt(spread[3, 3]))
    assert found.lines.flux_err[0, 0] == pytest.approx(np.sqrt(spread[3, 3]), rel=0.1)


def test_tied_lines_are_one_unknown() -> None:
    """A third of the flux of another: together they are known better, or from one if the other is masked."""
    flam = spectra([(3.97, FWHM, 20.0), (4.03, FWHM, 60.0)], 400)
    free, tied = (fit(flam, [3.97, 4.03], ties=t).lines for t in ([], [(0, 1, 1 / 3)]))
    assert tied.flux_err[0, 1] < free.flux_err[0, 1]
    assert tied.flux_err[0, 0] < 0.6 * free.flux_err[0, 0]
    for k, flux in enumerate((20.0, 60.0)):
        assert np.std((tied.flux[:, k] - flux) / tied.flux_err[:, k]) == pytest.approx(1, abs=0.12)
    mask = np.tile(WAVE > 4.0, (400, 1))
    left = fit(flam, [3.97, 4.03], ties=[(0, 1, 1 / 3)], mask=mask).lines
    assert left.reason[0].tolist() == [0, 2]
    assert np.std((left.flux[:, 0] - 20) / left.flux_err[:, 0]) == pytest.approx(1, abs=0.12)


def test_lines_without_what_they_need_are_nan() -> None:
    flam = spectra([(4.0, FWHM, 60.0)]).reshape(1, -1)
    around = np.abs(WAVE - 4.0) > 0.008
    found = fit(flam, [3.0, 3.898, 4.0], mask=around[None]).lines
    assert found.reason[0].tolist() == [1, 1, 4]
    assert np.isnan(found.flux).all()


@pytest.mark.parametrize(
    ("centre", "width", "match"),
    [
        (np.ones((1, 2)), np.ones((1, 1)), "widths"),
        (np.ones((2, 1)), np.ones((2, 1)), "for 1 spectra"),
        (np.array([[4.0, 3.95]]), np.ones((1, 2)), "order"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(centre: FloatArray, width: FloatArray, match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        profile_fluxes(WAVE, np.ones((1, 120)), np.ones((1, 120)), centre, width, width)
