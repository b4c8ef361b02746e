"""Statement checked: photometry is the AB mean through real curves, and records look like the service's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.archive.simulate.continuum import DENSE_WAVE, Continuum, flux_of_magnitude
from campfire.archive.simulate.emission import Line
from campfire.archive.simulate.photometry import (
    CATALOGUE_BANDS,
    band_flux,
    band_fluxes,
    measure,
    photometric_redshift,
    photometry_value,
)
from campfire.archive.simulate.sources import KINDS, Source, draw_source
from campfire.archive.simulate.truth import Truth
from campfire.config import DataPaths
from campfire.formats.bandpasses import load_bandpass
from campfire.typing import FloatArray


def _flam(source: Source, wave: FloatArray) -> FloatArray:
    """Noiseless f_lambda with every line drawn as the Gaussian it is."""
    flam = np.array(source.continuum.flam(wave))
    for line in source.lines:
        centre = line.wave * (1.0 + source.redshift)
        sigma = centre * line.sigma / 299_792.458
        profile = np.exp(-0.5 * ((wave - centre) / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
        flam += line.flux * 1e-4 * profile
    return flam


@settings(max_examples=8)
@given(
    kind=st.sampled_from(sorted(set(KINDS))),
    seed=st.integers(0, 500),
    band=st.sampled_from(["f435w", "f814w", "f115w", "f277w", "f410m", "f444w", "Ks", "y"]),
)
def test_fluxes_are_those_of_a_dense_integration(kind: str, seed: int, band: str) -> None:
    source = draw_source(kind, np.random.default_rng(seed))
    curve = load_bandpass(band)
    wave = np.linspace(curve.wavelength[0], curve.wavelength[-1], 60_001)
    throughput = np.interp(wave, curve.wavelength, curve.throughput)
    fnu = _flam(source, wave) * wave**2 / 2.99792458e-19
    expected = np.trapezoid(fnu * throughput / wave, wave) / np.trapezoid(throughput / wave, wave)
    flux = band_flux(source, source.continuum.flam(DENSE_WAVE), band)
    assert flux == pytest.approx(expected, rel=2e-3, abs=1e-6)


def test_spectra_and_photometry_agree_once_the_slit_loss_is_undone(paths: DataPaths, truth: Truth) -> None:
    """The noiseless prism spectrum, integrated through a band, is the flux of the catalogue."""
    from astropy.io import fits

    ratios = []
    for record in truth.spectra:
        if record.grating != "PRISM" or record.contaminated:
            continue
        (path,) = paths.products.glob(f"*/{record.spectrum_id}_spec.fits")
        wave = np.asarray(fits.getdata(path, 1)["wave"], dtype=float)
        fnu = truth.models[record.spectrum_id] / record.loss(wave) / record.captured
        for band in ("f115w", "f277w", "f444w"):
            curve = load_bandpass(band)
            fine = np.linspace(wave[0], wave[-1], 8001)
            weight = np.interp(fine, curve.wavelength, curve.throughput, left=0.0, right=0.0) / fine
            mean = (np.interp(fine, wave, fnu) * weight).sum() / weight.sum()
            ratios.append(mean / truth.object(record.object_id).fluxes[band])
    assert len(ratios) > 40
    # Lines at the edge of a band are smeared out of it or into it; most have none there.
    assert np.median(np.abs(np.array(ratios) - 1.0)) < 0.004
    assert np.mean(np.abs(np.array(ratios) - 1.0) < 0.03) > 0.9


def test_a_flat_spectrum_has_its_own_flux_in_every_band() -> None:
    flat = Continuum(0.0, beta=-2.0).scaled_to(25.0)
    source = Source("starforming", 0.0, flat, (), 0.1, 1.0, 0.0)
    fluxes = band_fluxes(source, flat.flam(DENSE_WAVE), tuple(CATALOGUE_BANDS))
    assert len(fluxes) > 20
    for flux in fluxes.values():
        assert flux == pytest.approx(float(flux_of_magnitude(25.0)), rel=1e-4)


def test_a_line_adds_what_its_formula_says() -> None:
    dark = Continuum(0.0, amplitude=1e-30)
    source = Source("oiii", 0.0, dark, (Line("x", 2.8, 1e-17, 50.0),), 0.1, 1.0, 0.0)
    curve = load_bandpass("f277w")
    norm = np.trapezoid(curve.throughput / curve.wavelength, curve.wavelength)
    at = float(np.interp(2.8, curve.wavelength, curve.throughput))
    expected = 1e-17 * 1e-4 * 2.8 / 2.99792458e-19 * at / norm
    assert band_flux(source, dark.flam(DENSE_WAVE), "f277w") == pytest.approx(expected, rel=5e-3)


def test_measurements_scatter_by_their_errors_and_may_be_negative() -> None:
    true = dict.fromkeys(CATALOGUE_BANDS["SIM UDS v1.1"], 1e-4)
    pulls, negative = [], 0
    for seed in range(60):
        record = measure(true, "SIM UDS v1.1", np.random.default_rng(seed))
        assert record["flux_unit"] == "uJy"
        for band in record["bands"].values():
            pulls.append((band["flux"] - 1e-4) / band["flux_err"])
            negative += band["flux"] < 0
            assert band["flux_err"] == round(band["flux_err"], 6)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.1)
    assert negative > 100


def test_records_carry_the_wavelengths_their_writer_knows() -> None:
    catalogue = "SIM COSMOS ground v2"
    # A seed without a missing band.
    bands = next(
        record["bands"]
        for seed in range(50)
        if len(
            (
                record := measure(
                    dict.fromkeys(CATALOGUE_BANDS[catalogue], 1.0), catalogue, np.random.default_rng(seed)
                )
            )["bands"]
        )
        == len(CATALOGUE_BANDS[catalogue])
    )
    for name in ("J", "H", "Ks", "IB527"):
        assert set(bands[name]) == {"flux", "flux_err"}
    # The writer looks names up in lower case, and takes VISTA Y for HSC y.
    assert bands["Y"]["wav"] == bands["y"]["wav"] == pytest.approx(0.991)
    assert (bands["g"]["wav_min"], bands["g"]["wav_max"]) == (0.395, 0.56)


def test_records_without_a_source_hold_the_oddities_too() -> None:
    rng = np.random.default_rng(0)
    records = [photometry_value(0.01, rng)["bands"] for _ in range(400)]
    assert any(band["flux_err"] == 0.0 for record in records for band in record.values())
    assert any(band["flux"] < 0.0 for record in records for band in record.values())
    assert any("wav" not in record["Ks"] for record in records if "Ks" in record)


def test_photometric_redshifts_have_bounds_around_them_and_some_fail() -> None:
    rng = np.random.default_rng(4)
    rows = [photometric_redshift(3.0, rng) for _ in range(300)]
    assert all(row["photo_z_err_lo"] <= row["photo_z"] <= row["photo_z_err_hi"] for row in rows)
    failed = np.mean([abs(row["photo_z"] - 3.0) > 0.8 for row in rows])
    assert 0.01 < failed < 0.15
