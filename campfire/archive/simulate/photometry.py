"""Broad-band photometry of simulated sources, and the catalogue records that hold it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.archive.simulate.continuum import DENSE_WAVE, flux_of_magnitude
from campfire.bands import BANDS
from campfire.formats.bandpasses import load_bandpass
from campfire.units import FLAM_PER_FNU

if TYPE_CHECKING:
    from numpy.random import Generator

    from campfire.archive.simulate.sources import Source
    from campfire.typing import FloatArray, Row

__all__ = [
    "CATALOGUE_BANDS",
    "IMAGE_BANDS",
    "band_flux",
    "band_fluxes",
    "measure",
    "photometric_redshift",
    "photometry_value",
]

IMAGE_BANDS = ("f115w", "f277w", "f444w")
"""Bands of the mosaics: blue, green, red of a colour picture."""

_SPACE = {
    "f435w": 28.2,
    "f606w": 28.5,
    "f814w": 28.2,
    "f090w": 28.7,
    "f115w": 28.8,
    "f150w": 29.0,
    "f200w": 29.1,
    "f277w": 29.4,
    "f356w": 29.4,
    "f410m": 28.8,
    "f444w": 29.1,
}
_DEPTH: dict[str, dict[str, float]] = {
    # Five-sigma AB depths, band by band.
    "SIM UDS v1.1": _SPACE,
    "SIM COSMOS v0.9": {band: depth - 0.4 for band, depth in _SPACE.items() if band != "f435w"},
    "SIM GOODS-N v0.9": _SPACE | {"f182m": 28.6, "f210m": 28.5, "f335m": 28.8},
    "SIM PISCES v0.2": {band: _SPACE[band] for band in ("f115w", "f150w", "f277w", "f444w")},
    "SIM COSMOS ground v2": {
        "g": 27.2,
        "r": 26.9,
        "i": 26.7,
        "z": 26.2,
        "y": 25.5,
        "Y": 25.6,
        "J": 25.4,
        "H": 25.1,
        "Ks": 25.0,
        "IB527": 25.7,
    },
}
CATALOGUE_BANDS = {name: tuple(depths) for name, depths in _DEPTH.items()}

_OWN_CURVES = {"IB527": (0.5140, 0.5382)}
"""Bands that only their catalogue knows: lower and upper edge of a top-hat, micron."""


@lru_cache(maxsize=128)
def _curve(name: str) -> tuple[FloatArray, FloatArray]:
    """Wavelength (micron) and throughput of a band."""
    if name in _OWN_CURVES:
        low, high = _OWN_CURVES[name]
        return np.array([low - 1e-6, low, high, high + 1e-6]), np.array([0.0, 1.0, 1.0, 0.0])
    band = load_bandpass(name)
    return np.asarray(band.wavelength, dtype=float), np.asarray(band.throughput, dtype=float)


@lru_cache(maxsize=128)
def _dense_weights(name: str) -> FloatArray:
    """Throughput in the cells of ``DENSE_WAVE``; their steps in ln(wavelength) are equal."""
    return np.asarray(np.interp(DENSE_WAVE, *_curve(name), left=0.0, right=0.0))


def band_flux(source: Source, dense_flam: FloatArray, band: str) -> float:
    """Return the true AB flux of a source in a band, microjansky.

    Parameters
    ----------
    source
        Gives the lines.
    dense_flam
        Its continuum at ``DENSE_WAVE`` (erg s-1 cm-2 angstrom-1).
    band
        Name; its curve has to lie within ``DENSE_WAVE``.

    Notes
    -----
    The mean of f_nu over ln(wavelength), weighted by the photon-counting throughput. A line is narrow beside
    any band, so that it adds F λ T(λ) / c over the same norm.
    """
    weights = _dense_weights(band)
    step = float(np.log(DENSE_WAVE[1] / DENSE_WAVE[0]))
    norm = float(weights.sum()) * step
    fnu = dense_flam * DENSE_WAVE**2 / FLAM_PER_FNU
    total = float((fnu * weights).sum()) * step
    curve = _curve(band)
    for line in source.lines:
        at = line.wave * (1.0 + source.redshift)
        # A line flux is per angstrom integrated over angstroms; wavelengths here are microns.
        total += line.flux * 1e-4 * at / FLAM_PER_FNU * float(np.interp(at, *curve, left=0.0, right=0.0))
    return total / norm


def band_fluxes(source: Source, dense_flam: FloatArray, catalogues: tuple[str, ...]) -> dict[str, float]:
    """Return the true fluxes in every band of some catalogues and of the mosaics, microjansky."""
    names = dict.fromkeys((*IMAGE_BANDS, *(band for name in catalogues for band in CATALOGUE_BANDS[name])))
    return {band: band_flux(source, dense_flam, band) for band in names}


def _wavelengths(band: str) -> dict[str, float]:
    """What a catalogue writer says of a band's wavelengths.

    Names are looked up in lower case: ``J``, ``H`` and ``Ks`` get none, VISTA ``Y`` those of HSC ``y``.
    """
    info = BANDS.get(band.lower())
    return {} if info is None else {"wav": info.pivot, "wav_min": info.blue, "wav_max": info.red}


def measure(true: dict[str, float], catalogue: str, rng: Generator) -> dict[str, Any]:
    """Return the ``photometry`` value of a catalogue record: noisy fluxes, some of them negative.

    Parameters
    ----------
    true
        Band -> flux in microjansky.
    catalogue
        Its name: sets bands and depths. Errors hold the depth and 2 % of the flux.
    rng
        Where the noise comes from. One band in 40 is missing, as at the edge of an image.
    """
    bands: dict[str, dict[str, float]] = {}
    for band, depth in _DEPTH[catalogue].items():
        error = float(np.hypot(float(flux_of_magnitude(depth)) / 5.0, 0.02 * true[band]))
        flux = true[band] + error * float(rng.standard_normal())
        if rng.random() < 0.025:
            continue
        bands[band] = {"flux": flux, "flux_err": round(error, 6), **_wavelengths(band)}
    return {"flux_unit": "uJy", "bands": bands}


def photometry_value(level: float, rng: Generator) -> dict[str, Any]:
    """Return the ``photometry`` value of a record without a source behind it.

    Parameters
    ----------
    level
        Flux of a flat f_nu, microjansky.
    rng
        Where noise comes from. Bands go missing, errors round to 0, an unknown band and one without
        wavelengths appear, as they do in real records.
    """
    names = (*_SPACE, "Ks", "IB527")
    noise = rng.standard_normal(len(names)).tolist()
    chance = rng.random(len(names)).tolist()
    bands: dict[str, dict[str, float]] = {}
    for name, deviation, luck in zip(names, noise, chance, strict=True):
        if luck < 0.1:
            continue
        error = 0.01 + 0.02 * level
        rounded = 0.0 if luck > 0.999 else round(error, 6)
        bands[name] = {"flux": level + error * deviation, "flux_err": rounded, **_wavelengths(name)}
    return {"flux_unit": "uJy", "bands": bands}


def photometric_redshift(redshift: float, rng: Generator) -> Row:
    """Return ``photo_z`` with its lower and upper 68 % bounds; one in twelve is an outlier."""
    outlier = rng.random() < 1.0 / 12.0
    centre = float(rng.uniform(0.2, 9.0)) if outlier else redshift + 0.04 * (1 + redshift) * rng.normal()
    best = max(0.01, float(centre))
    low, high = (float(width) * (1.0 + best) for width in rng.uniform(0.02, 0.08, 2))
    return {
        "photo_z": round(best, 4),
        "photo_z_err_lo": round(max(0.0, best - low), 4),
        "photo_z_err_hi": round(best + high, 4),
    }
