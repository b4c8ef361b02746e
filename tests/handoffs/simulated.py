"""Spectra of known truth: a galaxy with emission lines, and starlight of known dispersion."""

from __future__ import annotations

import numpy as np

from campfire import SpectrumData
from campfire.archive.simulate.continuum import DENSE_WAVE
from campfire.archive.simulate.instrument import GRATINGS, observed_flam, pixel_edges
from campfire.archive.simulate.sources import Source, draw_source
from campfire.typing import FloatArray
from campfire.units import flam_to_fnu

KM_S = 299_792.458
BAD = (40, 41, 300)


def emission_galaxy(snr: float = 40.0, grating: str = "G395M") -> tuple[SpectrumData, Source]:
    """A star-forming galaxy, and what is true of it."""
    source = draw_source("oiii", np.random.default_rng(1))
    flam = observed_flam(source, source.continuum.flam(DENSE_WAVE), GRATINGS[grating], 0.3)
    return noisy(flam, grating, source.redshift, snr), source


def starlight(rest: FloatArray) -> FloatArray:
    """f_lambda of a star-like source with many narrow absorption lines, at rest wavelengths in angstrom."""
    rng = np.random.default_rng(11)
    total = np.zeros_like(rest)
    for centre, depth in zip(rng.uniform(3500, 6500, 260), rng.uniform(0.05, 0.5, 260), strict=True):
        total += depth * np.exp(-0.5 * ((rest - centre) / 2.5) ** 2)
    return np.asarray(np.exp(-total) * (rest / 5000.0) ** 0.3)


def star_galaxy(
    redshift: float, dispersion: float, snr: float = 60.0, grating: str = "G395M", velocity: float = 0.0
) -> SpectrumData:
    """That starlight at a redshift, with a Gaussian velocity distribution (km/s), as NIRSpec sees it."""
    fine = np.geomspace(3000, 8000, 30_000)
    step = np.log(fine[1] / fine[0]) * KM_S
    x = np.arange(-200, 201) * step
    kernel = np.exp(-0.5 * ((x - velocity) / dispersion) ** 2)
    moved = np.convolve(starlight(fine), kernel / kernel.sum(), mode="same")
    dense = 1e-19 * np.interp(DENSE_WAVE, fine * (1 + redshift) / 1e4, moved, left=0.0, right=0.0)
    source = Source(
        "quiescent", redshift, draw_source("quiescent", np.random.default_rng(0)).continuum, (), 0.1, 1, 0
    )
    flam = observed_flam(source, dense, GRATINGS[grating], 0.3)
    return noisy(flam, grating, redshift, snr)


def noisy(flam: FloatArray, grating: str, redshift: float, snr: float, seed: int = 5) -> SpectrumData:
    """Give noiseless f_lambda pixels errors, and the kinds of bad pixel that files have."""
    edges = pixel_edges(GRATINGS[grating], 0.3)
    wave = 0.5 * (edges[1:] + edges[:-1])
    fnu = flam_to_fnu(flam, wave)
    error = np.full(wave.size, float(np.median(np.abs(fnu[fnu != 0]))) / snr)
    fnu = fnu + error * np.random.default_rng(seed).standard_normal(wave.size)
    fnu[BAD[0]], error[BAD[0]] = np.nan, np.inf
    fnu[BAD[1]], error[BAD[1]] = 1e6, 0.0
    mask = np.zeros(wave.size, dtype=bool)
    fnu[BAD[2]], mask[BAD[2]] = -1e6, True
    return SpectrumData(wave, fnu, error, {}, grating, "sim_1", mask=mask, redshift=redshift)
