"""Templates for redshifts: sets of emission lines with typical ratios, and breaks, on pixels.

Emission lines of one set keep their ratios, so that a redshift needs more than one chance peak: spectra are
sums of sets, none negative. Ratios over Hβ are round numbers between those of H II regions of low and high
metallicity (Osterbrock & Ferland 2006; the composites of JWST samples are alike), of dusty galaxies, and of
active nuclei, whose permitted lines are broad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from campfire.kernels.lsf import FWHM_PER_SIGMA
from campfire.linelist import EMISSION_LINES
from campfire.units import SPEED_OF_LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from campfire.kernels.grids import PixelBounds
    from campfire.typing import FloatArray

__all__ = [
    "BREAKS",
    "LINE_SETS",
    "LYMAN_ALPHA",
    "Components",
    "Curve",
    "break_templates",
    "curve_templates",
    "line_components",
    "line_templates",
    "line_width",
]

_KM = 1e3
_REACH = 4.5  # standard deviations to both sides on which a line is
_NARROW, _BROAD = 200.0, 2500.0  # FWHM, km/s

LYMAN_ALPHA = 0.1215670
BREAKS = ((LYMAN_ALPHA, LYMAN_ALPHA), (0.3646, 0.4000))
"""Where the flux rises, from and to (microns): at Lyα, and from the Balmer limit to 4000 angstrom."""

_NEBULAR = {
    "HeI5876": 0.12,
    "[SIII]₁": 0.16,
    "[SIII]₂": 0.40,
    "HeI10830": 0.45,
    "Paγ": 0.09,
    "Paβ": 0.16,
    "Paα": 0.34,
    "Paδ": 0.055,
    "[ArIII]7138": 0.08,
    "HeI20587": 0.03,
    "Brα": 0.078,
    "Brβ": 0.045,
    "Brγ": 0.028,
    "Pfβ": 0.016,
    "Pfγ": 0.010,
    "Pfδ": 0.007,
    "Hδ": 0.26,
    "Hγ": 0.47,
    "Hβ": 1.0,
}
LINE_SETS: tuple[tuple[float, dict[str, float]], ...] = (
    (
        _NARROW,
        _NEBULAR
        | {"Hα": 2.9, "[OIII]₁": 2.0, "[OIII]₂": 6.0, "[OII]": 0.5, "[NeIII]": 0.5, "[OIII]4363": 0.12}
        | {"[NII]": 0.06, "[NII]₁": 0.02, "[SII]₁": 0.08, "[SII]₂": 0.06, "CIII]": 0.4},
    ),
    (
        _NARROW,
        _NEBULAR
        | {"Hα": 3.4, "[OIII]₁": 0.6, "[OIII]₂": 1.8, "[OII]": 2.8, "[NeIII]": 0.25, "[OI]": 0.1}
        | {"[NII]": 0.9, "[NII]₁": 0.3, "[SII]₁": 0.5, "[SII]₂": 0.4},
    ),
    (
        _NARROW,
        {"Hβ": 1.0, "Hα": 8.0, "[NII]": 3.0, "[NII]₁": 1.0, "[SII]₁": 1.1, "[SII]₂": 0.9, "[OIII]₂": 0.6}
        | {"[OIII]₁": 0.2, "[OII]": 0.7, "[SIII]₁": 0.9, "[SIII]₂": 2.2, "HeI10830": 1.8, "Paγ": 0.5}
        | {"Paβ": 1.0, "Paα": 2.2, "[FeII]16440": 0.4, "Brγ": 0.25, "Brβ": 0.45, "Brα": 0.9, "HeI20587": 0.25}
        | {"Pfβ": 0.2, "Pfγ": 0.13, "Pfδ": 0.08},
    ),
    (
        _BROAD,
        {"Hα": 5.0, "Hβ": 1.0, "Hγ": 0.4, "Hδ": 0.2, "HeI5876": 0.25, "HeI10830": 1.2, "Paγ": 0.3}
        | {"Paβ": 0.5, "Paα": 0.8},
    ),
    (_NARROW, {"Lyα": 1.0}),
    (_NARROW, {"CIV": 1.0, "HeII1640": 0.4, "CIII]": 1.5, "MgII": 0.4}),
)
"""FWHM in km/s, and the flux of every line of a set."""

_MORE = {
    "[ArIII]7138": 0.7137770,
    "Paδ": 1.0052128,
    "[FeII]16440": 1.6440020,
    "HeI20587": 2.0586920,
    "Brγ": 2.1661230,
    "Brβ": 2.6258670,
    "Pfδ": 3.2969920,
    "Pfγ": 3.7405560,
    "Brα": 4.0522620,
    "Pfβ": 4.6537780,
}
"""Lines that :data:`campfire.linelist.EMISSION_LINES` has not: rest wavelengths in vacuum, microns (NIST)."""

_PARTS = {
    "[OII]": ((0.3727092, 0.44), (0.3729875, 0.56)),
    "MgII": ((0.2796352, 0.66), (0.2803531, 0.34)),
    "CIII]": ((0.1906683, 0.6), (0.1908734, 0.4)),
}
"""Lines of two components: their wavelengths (NIST), and typical parts of the flux."""

Curve: TypeAlias = "tuple[FloatArray, FloatArray]"
"""A template of a user: rest wavelengths in microns, ascending, and f_lambda."""


class Components(NamedTuple):
    """Lines of a width: rest wavelength (microns) and FWHM (km/s), and the flux of each in every set."""

    rest: FloatArray
    fwhm: FloatArray
    ratio: FloatArray  # (line, set)


def line_components() -> Components:
    """Return the lines of all sets, each once for every width that it has in one."""
    waves = {line["name"]: line["wave"] for line in EMISSION_LINES} | _MORE
    parts = {name: _PARTS.get(name, ((wave, 1.0),)) for name, wave in waves.items()}
    kinds = list(dict.fromkeys((name, fwhm) for fwhm, fluxes in LINE_SETS for name in fluxes))
    lines = [(name, fwhm, wave, part) for name, fwhm in kinds for wave, part in parts[name]]
    ratio = np.array(
        [
            [part * fluxes.get(name, 0.0) * (own == fwhm) for fwhm, fluxes in LINE_SETS]
            for name, own, _, part in lines
        ]
    )
    return Components(
        np.array([wave for _, _, wave, _ in lines]), np.array([fwhm for _, fwhm, _, _ in lines]), ratio
    )


def line_width(
    centre: FloatArray, power: Callable[[FloatArray], FloatArray], fwhm: FloatArray | float
) -> FloatArray:
    """Return the standard deviation in microns of lines at ``centre``, of a FWHM of their own in km/s."""
    own = fwhm * _KM / SPEED_OF_LIGHT
    return np.asarray(centre * np.hypot(1.0 / power(centre), own) / FWHM_PER_SIGMA)


def line_templates(
    bounds: PixelBounds, power: Callable[[FloatArray], FloatArray], redshifts: FloatArray
) -> FloatArray:
    """Return the sets of lines on the pixels of a spectrum, shape (set, z, n), f_nu in some unit.

    Parameters
    ----------
    bounds
        Of the pixels, microns, shape (n,).
    power
        Resolving power as a function of wavelength.
    redshifts
        Shape (z,).
    """
    from scipy.special import ndtr

    n, count = len(bounds.low), len(redshifts)
    edges = bounds.low
    width = bounds.width
    to_fnu = np.square((bounds.low + bounds.high) / 2)
    result = np.zeros((len(LINE_SETS), count, n))
    lines = line_components()
    for k, ratio in enumerate(lines.ratio.T):
        own = ratio > 0
        centre = ((1.0 + redshifts[:, None]) * lines.rest[own]).ravel()
        flux = np.tile(ratio[own], count)
        row = np.repeat(np.arange(count), int(own.sum()))
        sigma = line_width(centre, power, np.tile(lines.fwhm[own], count))
        first = np.searchsorted(edges, centre - _REACH * sigma)
        last = np.searchsorted(edges, centre + _REACH * sigma)
        seen = last > first
        centre, flux, row, sigma, first, last = (a[seen] for a in (centre, flux, row, sigma, first, last))
        if not len(row):
            continue
        pixel = first[:, None] + np.arange(int(np.max(last - first)))
        inside = pixel < last[:, None]
        pixel = np.minimum(pixel, n - 1)
        part = ndtr((bounds.high[pixel] - centre[:, None]) / sigma[:, None])
        part -= ndtr((bounds.low[pixel] - centre[:, None]) / sigma[:, None])
        density = np.where(inside, part / width[pixel] * flux[:, None] * to_fnu[pixel], 0.0)
        place = row[:, None] * n + pixel
        result[k] = np.bincount(place.ravel(), weights=density.ravel(), minlength=count * n).reshape(count, n)
    return result


def break_templates(
    bounds: PixelBounds, power: Callable[[FloatArray], FloatArray], redshifts: FloatArray
) -> FloatArray:
    """Return the breaks on the pixels of a spectrum, shape (break, z, n): f_nu from 0 to 1."""
    from scipy.special import ndtr

    wave = (bounds.low + bounds.high) / 2
    result = np.empty((len(BREAKS), len(redshifts), len(wave)))
    for k, (start, end) in enumerate(BREAKS):
        middle = (1.0 + redshifts[:, None]) * (start + end) / 2
        spread = np.hypot(line_width(middle, power, 0.0), (1.0 + redshifts[:, None]) * (end - start) / 4)
        result[k] = ndtr((wave - middle) / spread)
    return result


def curve_templates(curves: Sequence[Curve], bounds: PixelBounds, redshifts: FloatArray) -> FloatArray:
    """Return templates of a user on the pixels of a spectrum, shape (curve, z, n), f_nu in some unit.

    They are averaged over the pixels, and 0 where they have no values; they are taken to be as sharp as the
    spectrum.
    """
    to_fnu = np.square((bounds.low + bounds.high) / 2)
    stretch = 1.0 / (1.0 + redshifts[:, None])
    result = np.empty((len(curves), len(redshifts), len(to_fnu)))
    for k, (wave, flam) in enumerate(curves):
        steps = np.diff(wave) * (flam[1:] + flam[:-1]) / 2
        total = np.concatenate([[0.0], np.cumsum(steps)])
        high, low = (np.interp(edge * stretch, wave, total) for edge in (bounds.high, bounds.low))
        result[k] = (high - low) / (bounds.width * stretch) * to_fnu
    return result
