"""Statement checked: redshift fits lie on the documented grids and follow the documented formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.archive.simulate.continuum import DENSE_WAVE
from campfire.archive.simulate.instrument import GRATINGS, observed_flam, pixel_edges
from campfire.archive.simulate.sources import draw_source
from campfire.archive.simulate.zfit import (
    RedshiftCurve,
    chi_square_curve,
    confidence,
    redshift_grid,
    shifted_model,
)
from campfire.units import flam_to_fnu

# Highest redshift, coarse and fine step (km/s), approximate number of points.
TABLE = {"PRISM": (20, 500, 30, 2000), "G395M": (15, 100, 10, 8900), "G395H": (15, 30, 5, 28_700)}


@given(name=st.sampled_from(sorted(TABLE)), centre=st.floats(0.1, 14.0))
def test_grids_are_coarse_with_a_fine_window(name: str, centre: float) -> None:
    highest, coarse, fine, number = TABLE[name]
    z = redshift_grid(GRATINGS[name], centre)
    assert z.size == pytest.approx(number, rel=0.02)
    assert z[0] == 0.0
    assert highest * 0.99 < z[-1] <= highest + 1e-9
    step = np.diff(z) / (1.0 + z[:-1]) * 299_792.458
    assert (step > 0).all()
    middle = 0.5 * (z[1:] + z[:-1])
    near = np.abs(middle - centre) < 0.9 * (1.0 + centre) * 3000.0 / 299_792.458
    np.testing.assert_allclose(step[near], fine, rtol=1e-3)
    far = np.abs(middle - centre) > 1.2 * (1.0 + centre) * 3000.0 / 299_792.458 + 2e-2
    np.testing.assert_allclose(step[far], coarse, rtol=1e-3)


def _fit(name: str, seed: int, fainter: float) -> tuple[float, RedshiftCurve]:
    """Truth and fit of a strong emitter, made fainter by so many magnitudes."""
    rng = np.random.default_rng(seed)
    source = draw_source("oiii", rng)
    dimming = 10.0 ** (-0.4 * fainter)
    source = replace(
        source,
        continuum=replace(source.continuum, amplitude=source.continuum.amplitude * dimming),
        lines=tuple(replace(line, flux=line.flux * dimming) for line in source.lines),
    )
    grating = GRATINGS[name]
    edges = pixel_edges(grating, 0.0)
    wave = 0.5 * (edges[1:] + edges[:-1])
    model = flam_to_fnu(observed_flam(source, source.continuum.flam(DENSE_WAVE), grating, 0.0), wave)
    curve = chi_square_curve(source, wave, model, grating.noise(wave, 8000.0), grating, rng)
    return source.redshift, curve


@settings(max_examples=15)
@given(name=st.sampled_from(["PRISM", "G395M"]), seed=st.integers(0, 300))
def test_a_bright_spectrum_gives_its_redshift(name: str, seed: int) -> None:
    truth, curve = _fit(name, seed, 0.0)
    assert curve.best == pytest.approx(truth, abs=2e-3 * (1.0 + truth))
    assert curve.best == curve.z[np.argmin(curve.chi2)]
    assert curve.confidence > 90.0
    assert (curve.chi2 > 0).all()
    assert curve.z.size == curve.chi2.size


def test_a_hopeless_spectrum_is_a_catastrophic_outlier_now_and_then() -> None:
    fits = [_fit("PRISM", seed, 6.0) for seed in range(25)]
    wrong = [abs(curve.best - truth) > 0.05 * (1.0 + truth) for truth, curve in fits]
    assert np.mean(wrong) > 0.5
    assert min(curve.confidence for _, curve in fits) < 90.0


def test_confidence_is_an_unweighted_sum_without_a_half() -> None:
    z = np.array([0.0, 1.0, 1.01, 1.02, 1.5, 3.0])
    chi2 = np.array([9.0, 4.0, 3.0, 3.5, 5.0, 4.0])
    p = np.exp(-(chi2 - 3.0))
    assert confidence(z, chi2) == pytest.approx(100.0 * p[1:4].sum() / p.sum())


def test_a_model_at_another_redshift_has_its_lines_there() -> None:
    wave = np.linspace(1.0, 5.0, 4001)
    model = np.exp(-0.5 * ((wave - 2.0) / 0.01) ** 2)
    moved = shifted_model(wave, model, 1.0, 2.0)
    assert wave[np.argmax(moved)] == pytest.approx(3.0, abs=1e-3)
    np.testing.assert_allclose(shifted_model(wave, model, 1.0, 1.0), model)
