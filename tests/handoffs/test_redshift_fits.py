"""Statements: msaexp, jwspecfit, redrock and jdaviz recover what is true; of a wrong hand-off they do not.

A test is skipped where its tool is not installed.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from campfire import SpectrumData, handoffs
from campfire.archive.simulate.sources import Source
from campfire.handoffs import Inputs
from campfire.typing import FloatArray
from tests.handoffs.simulated import BAD, KM_S, emission_galaxy, star_galaxy, starlight

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, not ours

LINE = 0.500824  # [OIII], micron, vacuum


def _msaexp(inputs: Inputs, truth: Source) -> tuple[float, float]:
    """Return the flux of [OIII] with msaexp's own line profile, and the reduced chi2."""
    msaexp = pytest.importorskip("msaexp.spectrum")
    sampler = msaexp.SpectrumSampler(**inputs, sys_err=0.0)
    at = LINE * (1 + truth.redshift)
    profile = sampler.fast_emission_line(at, line_flux=1.0, velocity_sigma=truth.lines[0].sigma)
    near = sampler.valid & (np.abs(sampler.spec_wobs - at) < 0.02)
    flux, error = (np.asarray(sampler[name], dtype=float)[near] for name in ("flux", "full_err"))
    models = np.array([profile[near], np.ones(near.sum())])
    (scale, level), *_ = np.linalg.lstsq((models / error).T, flux / error, rcond=None)
    chi2 = np.sum(((flux - scale * models[0] - level) / error) ** 2) / (near.sum() - 2)
    return float(scale) * 2.99792458e-15 / at**2, float(chi2)  # microjansky times micron


def test_msaexp_recovers_the_flux_of_a_line() -> None:
    spectrum, truth = emission_galaxy(snr=2.0)
    inputs = handoffs.to_msaexp(spectrum)
    flux, chi2 = _msaexp(inputs, truth)
    assert abs(flux / truth.line_flux("[OIII]5008") - 1) < 0.01
    assert chi2 < 2.0
    wrong = handoffs.to_msaexp(spectrum, resolving_power=2.3548 * inputs["spec_input"]["R"])
    assert _msaexp(wrong, truth)[1] > 100


def test_msaexp_takes_all_good_pixels_and_no_others() -> None:
    msaexp = pytest.importorskip("msaexp.spectrum")
    spectrum = emission_galaxy(snr=2.0)[0]
    sampler = msaexp.SpectrumSampler(**handoffs.to_msaexp(spectrum))
    assert np.array_equal(sampler.valid, ~spectrum.mask)


def test_jwspecfit_recovers_flux_width_and_redshift() -> None:
    jwspecfit = pytest.importorskip("jwspecfit")
    spectrum, truth = emission_galaxy(snr=2.0)
    given = jwspecfit.Spectrum(**handoffs.to_jwspecfit(spectrum))
    assert np.array_equal(given.mask_valid(), ~spectrum.mask)
    lines = ["HBETA", "OIII_4959", "OIII_5007"]
    window = (35_500.0, 39_500.0)
    fit = jwspecfit.fit_lines(given, z=given.z, lines=lines, wave_range_A=window, n_boot=20, n_jobs=1)
    line = fit.lines["OIII_5007"]
    assert abs(line.flux - truth.line_flux("[OIII]5008")) < 5 * line.flux_err < 0.05 * line.flux
    assert abs(line.centroid_A / 5008.24 / (1 + truth.redshift) - 1) < 1e-5
    instrumental = line.centroid_A / given.R(line.centroid_A / 1e4) / 2.3548
    width = np.sqrt(line.sigma_A**2 - instrumental**2) / line.centroid_A * KM_S
    assert abs(width - truth.lines[0].sigma) < 4


def _redrock(inputs: Inputs) -> Any:
    """Return redrock's best fit of the starlight among redshifts around the true one."""
    pytest.importorskip("fitsio")
    targets, templates = pytest.importorskip("redrock.targets"), pytest.importorskip("redrock.templates")
    zfind = pytest.importorskip("redrock.zfind")
    wave = np.geomspace(3000, 8000, 16_000)
    basis = np.array([starlight(wave), np.ones_like(wave)]) * 10
    redshifts = np.linspace(6.4, 6.6, 41)
    options = {"spectype": "GALAXY", "subtype": "", "igm_model": "None", "redshifts": redshifts}
    template = templates.Template(wave=wave, flux=basis, **options)
    target = targets.Target(1, [targets.Spectrum(**inputs)])
    grids = {one.wavehash: one.wave for one in target.spectra}
    found = targets.DistTargetsCopy([target])
    return zfind.zfind(found, [templates.DistTemplate(template, grids)])[1][0]


def test_redrock_recovers_the_redshift() -> None:
    spectrum = star_galaxy(6.5, 12.0)
    inputs = handoffs.to_redrock(spectrum)
    n_good = int((~spectrum.mask).sum())
    fit = _redrock(inputs)
    assert abs(fit["z"] - 6.5) < max(5 * fit["zerr"], 3e-4)
    assert 0.85 < fit["chi2"] / n_good < 1.3
    air = Inputs("redrock", {**inputs, "wave": inputs["wave"] / 1.00028}, {})
    assert _redrock(air)["z"] < 6.499
    for name, value in (
        ("ivar", np.sqrt(inputs["ivar"])),
        ("R", handoffs.to_redrock(spectrum, resolving_power=2400.0)["R"]),
    ):
        wrong = _redrock(Inputs("redrock", {**handoffs.to_redrock(spectrum), name: value}, {}))
        assert not 0.85 < wrong["chi2"] / n_good < 1.3


def _constant(spectrum: Any) -> float:
    jdaviz = pytest.importorskip("jdaviz")
    app = jdaviz.App()
    app.load(spectrum, format="1D Spectrum", data_label="x")
    fitting = app.plugins["Model Fitting"]
    fitting.dataset = "x"
    fitting.create_model_component("Const1D", "C")
    model, _ = fitting.calculate_fit(add_data=False)
    return float(model.amplitude.value)


def test_jdaviz_fits_no_masked_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jdaviz")
    # pytest keeps messages of all levels, and those of its parts cannot be shown while it starts
    monkeypatch.setattr(logging.Logger, "isEnabledFor", lambda *_: False)
    rng = np.random.default_rng(0)
    flux: FloatArray = 2 + 0.1 * rng.standard_normal(400)
    flux[BAD[2]] = 1e5
    error = np.full(400, 0.1)
    mask = np.arange(400) == BAD[2]
    spectrum = SpectrumData(np.linspace(1, 1.8, 400), flux, error, {}, "G140M", "a", mask=mask)
    assert abs(_constant(handoffs.to_jdaviz(spectrum)["inp"]) - 2) < 0.02
    assert _constant(spectrum.to_specutils()) > 100  # what jdaviz does with a mask
