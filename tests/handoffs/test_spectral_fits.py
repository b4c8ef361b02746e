"""Statements: the real tools recover what is true of a simulated galaxy; of a wrong hand-off they do not.

A test is skipped where its tool is not installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire import SpectrumData, handoffs
from campfire.archive.simulate.sources import Source
from campfire.handoffs import Inputs, attach_fit
from campfire.typing import FloatArray
from campfire.units import flam_to_fnu
from tests.handoffs.simulated import KM_S, emission_galaxy, star_galaxy, starlight

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, not ours

Z, DISPERSION, VELOCITY = 6.5, 180.0, 60.0
TRUE = np.hypot(DISPERSION, 21.0)  # with the cells in which the simulation holds its light


def _ppxf(inputs: Inputs) -> Any:
    """Fit the starlight, smoothed as the hand-off says, with pPXF."""
    ppxf, util = pytest.importorskip("ppxf.ppxf"), pytest.importorskip("ppxf.ppxf_util")
    wave = np.geomspace(3200, 7900, 22_000)
    lsf = inputs.beside["fwhm_gal"]
    template = util.varsmooth(wave, starlight(wave), np.interp(wave, lsf["lam"], lsf["fwhm"]) / 2.3548)
    template, ln_wave, _ = util.log_rebin(wave, template, velscale=inputs["velscale"])
    options = {"start": [0.0, 200.0], "lam_temp": np.exp(ln_wave), "degree": 2, "quiet": True}
    return ppxf.ppxf(template / np.median(template), **options, **inputs)


@pytest.mark.parametrize("covariance", [True, False])
def test_ppxf_recovers_velocity_and_dispersion(covariance: bool) -> None:
    spectrum = star_galaxy(Z, DISPERSION, velocity=VELOCITY)
    inputs = handoffs.to_ppxf(spectrum, covariance=covariance)
    fit = _ppxf(inputs)
    assert abs(fit.sol[0] - VELOCITY) < 4 * fit.error[0] < 10
    assert abs(fit.sol[1] - TRUE) < 4 * fit.error[1] < 10
    assert 0.9 < fit.chi2 < 1.2
    model = fit.bestfit * inputs.beside["flux_scale"]
    back = attach_fit(
        spectrum.to_xarray(),
        flam_to_fnu(model, inputs.beside["wavelength"]),
        inputs.beside["wavelength"],
        parameters={"velocity": (fit.sol[0], fit.error[0]), "dispersion": (fit.sol[1], fit.error[1])},
        inputs=inputs,
    )
    good = ~spectrum.mask
    on_pixels = np.interp(spectrum.wavelength, back.model_wavelength, back.fine_model)
    pulls = ((spectrum.fnu - on_pixels) / spectrum.fnu_err)[good][20:-20]
    assert abs(np.median(pulls)) < 0.2


def test_ppxf_does_not_where_the_hand_off_is_wrong() -> None:
    spectrum = star_galaxy(Z, DISPERSION, velocity=VELOCITY)
    right = handoffs.to_ppxf(spectrum, covariance=False)

    air = _ppxf(handoffs.to_ppxf(spectrum, covariance=False, medium="air"))
    assert abs(air.sol[0] - VELOCITY) > 70  # the refraction of air: 83 km/s
    sigma_as_fwhm = {**right.beside["fwhm_gal"], "fwhm": right.beside["fwhm_gal"]["fwhm"] / 2.3548}
    narrow = _ppxf(Inputs("ppxf", dict(right), right.origin, {**right.beside, "fwhm_gal": sigma_as_fwhm}))
    assert narrow.sol[1] - TRUE > 20
    variance = _ppxf(Inputs("ppxf", {**right, "noise": right["noise"] ** 2}, right.origin, right.beside))
    assert not 0.9 < variance.chi2 < 1.2
    with pytest.raises(AssertionError):  # pPXF itself sees what is not finite
        _ppxf(Inputs("ppxf", {**right, "galaxy": np.full_like(right["galaxy"], np.nan)}, {}, right.beside))


def test_ppxf_ignores_masked_pixels_though_they_are_in_the_covariance() -> None:
    spectrum = star_galaxy(Z, DISPERSION)
    inputs = handoffs.to_ppxf(spectrum)
    spoilt = np.where(inputs["mask"], inputs["galaxy"], 1e4)
    first = _ppxf(inputs)
    second = _ppxf(Inputs("ppxf", {**inputs, "galaxy": spoilt}, {}, inputs.beside))
    assert not inputs["mask"].all()
    assert np.allclose(first.sol, second.sol, rtol=1e-6)


def _lime(inputs: Inputs, **bands: Any) -> Any:
    lime = pytest.importorskip("lime")
    spectrum = lime.Spectrum(**inputs)
    frame = spectrum.retrieve.lines_frame(line_list=["O3_5007A"], **bands)
    spectrum.fit.bands("O3_5007A", frame)
    return spectrum.frame.loc["O3_5007A"]


def test_lime_recovers_flux_width_and_redshift() -> None:
    pytest.importorskip("lime")
    spectrum, truth = emission_galaxy()
    inputs = handoffs.to_lime(spectrum)
    line = _lime(inputs, **inputs.beside["lines_frame"])
    true = truth.line_flux("[OIII]5008")
    assert abs(line["profile_flux"] - true) < 5 * line["profile_flux_err"] < 0.01 * true
    assert abs(line["z_line"] - truth.redshift) < 1e-5 * (1 + truth.redshift)
    width = np.sqrt(line["sigma"] ** 2 - line["sigma_instr"] ** 2) / line["center"] * KM_S
    assert abs(width - truth.lines[0].sigma) < 3  # of lines of 103 km/s, at a resolution of 136 km/s

    assert abs(_lime(inputs, vacuum_waves=False)["v_r"]) > 70
    sigma = {**inputs, "res_power": inputs["res_power"] * 2.3548}
    line = _lime(Inputs("lime", sigma, {}), **inputs.beside["lines_frame"])
    assert abs(np.sqrt(line["sigma"] ** 2 - line["sigma_instr"] ** 2) / line["center"] * KM_S - 103) > 20


def _emission_model(inputs: Inputs, redshift: float) -> tuple[FloatArray, FloatArray]:
    pipes = pytest.importorskip("bagpipes")
    galaxy = pipes.galaxy(**inputs)
    burst = {"age_max": 0.01, "age_min": 0.0, "massformed": 9.0, "metallicity": 0.2}
    components = {"redshift": redshift, "t_bc": 0.01, "constant": burst, "nebular": {"logU": -2.0}}
    model = pipes.model_galaxy(components | inputs.beside, spec_wavs=galaxy.spec_wavs)
    return galaxy.spectrum, model.spectrum[:, 1]


def _best_redshift(inputs: Inputs, truth: Source) -> float:
    """The redshift, near the true one, at which [OIII] and Hbeta of bagpipes' models fit best."""
    offsets = np.linspace(-0.0006, 0.0006, 5) * (1 + truth.redshift)
    chi2 = []
    for offset in offsets:
        data, model = _emission_model(inputs, truth.redshift + offset)
        rest = data[:, 0] / (1 + truth.redshift)
        near = (np.abs(rest - 5006.8) < 60) & (data[:, 2] < 1e90)
        flux, weight, shape = data[near, 1], data[near, 2] ** -2, model[near] - np.median(model[near])
        flux = flux - np.median(flux)
        scale = (weight * flux * shape).sum() / (weight * shape**2).sum()
        chi2.append((weight * (flux - scale * shape) ** 2).sum())
    best = int(np.argmin(chi2))
    a, b, c = chi2[best - 1 : best + 2]
    return float(truth.redshift + offsets[best] + 0.5 * (offsets[1] - offsets[0]) * (a - c) / (a - 2 * b + c))


def test_bagpipes_recovers_the_redshift_of_lines_in_vacuum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bagpipes")
    monkeypatch.chdir(tmp_path)
    spectrum, truth = emission_galaxy()
    inputs = handoffs.to_bagpipes(spectrum)
    right = _best_redshift(inputs, truth)
    assert abs(right - truth.redshift) < 4e-5 * (1 + truth.redshift)

    table = inputs["load_data"]("")
    table[:, 0] = spectrum.wavelength[: len(table)] * 1e4  # left in vacuum
    swapped = Inputs("bagpipes", {**inputs, "load_data": lambda _: table.copy()}, {}, inputs.beside)
    assert _best_redshift(swapped, truth) - truth.redshift > 2e-4 * (1 + truth.redshift)


def test_bagpipes_recovers_the_mass_of_its_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bagpipes")
    monkeypatch.chdir(tmp_path)
    blank = emission_galaxy()[0]
    _, model = _emission_model(handoffs.to_bagpipes(blank, redshift=2.0), 2.0)
    fnu = flam_to_fnu(model, blank.wavelength)
    error = np.full_like(fnu, np.median(fnu) / 20)
    fnu += error * np.random.default_rng(0).standard_normal(fnu.size)
    mock = SpectrumData(blank.wavelength, fnu, error, {}, "G395M", "mock", mask=blank.mask, redshift=2.0)
    for covariance in (False, True):
        mock.covariance = np.diag(error**2)
        inputs = handoffs.to_bagpipes(mock, covariance=covariance)
        data, unit = _emission_model(inputs, 2.0)
        weight = data[:, 2] ** -2.0
        mass = (weight * data[:, 1] * unit).sum() / (weight * unit**2).sum()
        assert abs(mass - 1) < 4 / np.sqrt((weight * unit**2).sum()) < 0.02


def test_bagpipes_reads_the_filter_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipes = pytest.importorskip("bagpipes")
    monkeypatch.chdir(tmp_path)
    from campfire import Photometry

    phot = Photometry(["f200w", "f277w", "f444w"], [1.0, np.nan, 3.0], [0.1, 0.1, 0.2], [1.99, 2.77, 4.4])
    files = handoffs.write_filters(phot, tmp_path / "filters")
    galaxy = pipes.galaxy(**handoffs.to_bagpipes(emission_galaxy()[0], phot, files))
    assert np.allclose(galaxy.photometry[:, 0], [19_880, 44_040], rtol=0.01)
    conversion = 1e-29 * 2.99792458e18 / galaxy.photometry[:, 0] ** 2
    assert np.allclose(galaxy.photometry[:, 1] / conversion, [1.0, 3.0], rtol=1e-4)


def _prospector_chi(inputs: Inputs, redshift: float) -> FloatArray:
    """Prospector's residuals of the starlight, smoothed and sampled by Prospector itself."""
    obsutils = pytest.importorskip("prospect.utils.obsutils")
    smoothing = pytest.importorskip("prospect.utils.smoothing")
    likelihood = pytest.importorskip("prospect.likelihood.likelihood")
    obs = obsutils.fix_obs(dict(inputs))
    wave = np.arange(26_000.0, 53_000.0, 3.0)
    true = starlight(wave / (1 + redshift)) * 1e-19
    maggies = true * wave**2 / 2.99792458e18 / 3.631e-20
    lsf = np.interp(wave, obs["wavelength"], inputs.beside["lsf_angstrom"])
    lsf = np.hypot(lsf, wave * TRUE / KM_S)
    model = smoothing.smoothspec(
        wave, maggies, resolution=lsf, outwave=obs["wavelength"], smoothtype="lsf", fftsmooth=False
    )
    found: FloatArray = likelihood.chi_spec(model, obs)
    return found


def test_prospector_recovers_the_redshift_and_its_residuals_are_noise() -> None:
    pytest.importorskip("prospect.utils.obsutils")
    spectrum = star_galaxy(Z, DISPERSION)
    inputs = handoffs.to_prospector(spectrum)
    inner = slice(30, -30)
    chi2 = {dz: (_prospector_chi(inputs, Z + dz)[inner] ** 2).mean() for dz in (-0.002, 0.0, 0.002)}
    assert 0.85 < chi2[0.0] < 1.2
    assert min(chi2[-0.002], chi2[0.002]) > chi2[0.0] + 0.1
    for name, factor in (("spectrum", 1.05), ("unc", 2.3548), ("wavelength", 1 / 1.00028)):
        wrong = Inputs("prospector", {**inputs, name: inputs[name] * factor}, {}, inputs.beside)
        assert not 0.85 < (_prospector_chi(wrong, Z)[inner] ** 2).mean() < 1.2
    narrow = {"lsf_angstrom": inputs.beside["lsf_angstrom"] / 2.3548}
    assert (
        not 0.85
        < (_prospector_chi(Inputs("prospector", dict(inputs), {}, narrow), Z)[inner] ** 2).mean()
        < 1.2
    )


def test_prospector_takes_photometry() -> None:
    obsutils = pytest.importorskip("prospect.utils.obsutils")
    from campfire import Photometry

    phot = Photometry(["f200w", "f444w"], [3.631, 3.0], [0.1, -1.0], [1.99, 4.4])
    obs = obsutils.fix_obs(dict(handoffs.to_prospector(emission_galaxy()[0], phot)))
    assert obs["filternames"] == ["f200w"]
    assert np.allclose(obs["maggies"], 1e-9)
    assert abs(obs["filters"][0].wave_pivot - 19_880) < 50
