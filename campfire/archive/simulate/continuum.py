"""Continua of simulated sources: stellar populations, dust, intergalactic absorption, cool stars.

Everything is a closed formula of wavelength, so that the same truth can be put on any grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from campfire.units import FLAM_PER_FNU

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.typing import FloatArray

__all__ = [
    "DENSE_EDGES",
    "DENSE_WAVE",
    "LYMAN_ALPHA",
    "Continuum",
    "attenuation",
    "flux_of_magnitude",
    "igm_transmission",
]

LYMAN_ALPHA = 0.1215670
LYMAN_LIMIT = 0.0911753

DENSE_EDGES = np.geomspace(0.28, 5.75, 12_001)
"""Edges of the cells on which truth is sampled: equal steps in ln(wavelength), resolving power 4000."""
DENSE_WAVE = np.sqrt(DENSE_EDGES[1:] * DENSE_EDGES[:-1])

# Stellar absorption features: vacuum wavelength, width (micron), relative depth in an old population.
_ABSORPTION = (
    (0.38360, 0.0012, 0.30),
    (0.39348, 0.0014, 0.45),
    (0.39696, 0.0014, 0.45),
    (0.41029, 0.0013, 0.25),
    (0.43060, 0.0018, 0.22),
    (0.43417, 0.0012, 0.20),
    (0.48627, 0.0012, 0.20),
    (0.51770, 0.0022, 0.20),
    (0.58960, 0.0012, 0.18),
)
# Water and methane bands of cool stars: centre, width (micron), optical depth at full strength.
_MOLECULES = (
    (0.94, 0.03, 0.5),
    (1.14, 0.04, 1.2),
    (1.40, 0.06, 2.2),
    (1.88, 0.09, 2.4),
    (2.75, 0.22, 2.2),
    (3.32, 0.12, 1.2),
)


def flux_of_magnitude(magnitude: ArrayLike) -> FloatArray:
    """Return f_nu in microjansky of an AB magnitude.

    Examples
    --------
    >>> float(flux_of_magnitude(23.9))
    1.0
    """
    return np.asarray(10.0 ** (-0.4 * (np.asarray(magnitude, dtype=float) - 23.9)))


def attenuation(rest_wave: ArrayLike, a_v: float) -> FloatArray:
    """Return the transmitted fraction through dust of ``a_v`` magnitudes.

    Parameters
    ----------
    rest_wave
        Microns, rest frame.
    a_v
        Attenuation at 5500 angstrom, magnitudes.

    Notes
    -----
    The starburst curve of Calzetti et al. 2000 (ApJ 533, 682, eq. 4), held at zero where it would turn
    negative, and continued blueward of 0.12 micron.
    """
    wave = np.asarray(rest_wave, dtype=float)
    inverse = 1.0 / np.maximum(wave, 0.08)
    blue = -2.156 + inverse * (1.509 + inverse * (-0.198 + 0.011 * inverse))
    red = -1.857 + 1.040 * inverse
    curve = np.maximum(2.659 * np.where(wave < 0.63, blue, red) + 4.05, 0.0)
    return np.asarray(10.0 ** (-0.4 * a_v / 4.05 * curve))


def igm_transmission(wave: ArrayLike, redshift: float) -> FloatArray:
    """Return the mean transmission of the intergalactic medium towards a source.

    Parameters
    ----------
    wave
        Observed wavelength, microns.
    redshift
        Of the source.

    Notes
    -----
    Madau 1995 (ApJ 441, 18): line blanketing of the first four Lyman lines (eq. 15) and photoelectric
    absorption (the approximation of footnote 3). No photon below the Lyman limit leaves the source itself.
    """
    wave = np.asarray(wave, dtype=float)
    depth = np.zeros_like(wave)
    source = 1.0 + redshift
    for line, strength in (
        (0.1215670, 3.6e-3),
        (0.1025722, 1.7e-3),
        (0.0972537, 1.2e-3),
        (0.0949743, 9.3e-4),
    ):
        depth += np.where(wave < line * source, strength * (wave / line) ** 3.46, 0.0)
    x = np.clip(wave / LYMAN_LIMIT, 1.0, source)
    ionising = (
        0.25 * x**3 * (source**0.46 - x**0.46)
        + 9.4 * x**1.5 * (source**0.18 - x**0.18)
        - 0.7 * x**3 * (x**-1.32 - source**-1.32)
        - 0.023 * (source**1.68 - x**1.68)
    )
    depth += np.where(wave < LYMAN_LIMIT * source, np.maximum(ionising, 0.0), 0.0)
    return np.where(wave < LYMAN_LIMIT * source, 0.0, np.exp(-depth))


def _blackbody(wave: FloatArray, temperature: float) -> FloatArray:
    """Planck's f_lambda over its value at 0.55 micron (second radiation constant 14387.77 um K)."""
    x = np.minimum(14387.77 / (wave * temperature), 600.0)
    reference = np.expm1(14387.77 / (0.55 * temperature)) * 0.55**5
    return np.asarray(reference / (np.expm1(x) * wave**5))


@dataclass(frozen=True, slots=True)
class Continuum:
    """Parameters of one continuum.

    Parameters
    ----------
    redshift
        Of the source.
    beta
        Slope of the young component, f_lambda ~ wavelength**beta, before dust.
    old
        Old (or red) component over the young one in f_lambda at rest 0.55 micron; infinite: no young one.
    temperature
        Colour temperature of the old component, kelvin.
    break_strength, break_wave, break_width
        Factor by which the old component falls blueward of its Balmer / 4000 angstrom break; microns.
    a_v
        Dust attenuation, magnitudes.
    absorption
        Strength of stellar absorption lines in the old component, 0 to 1.
    molecules
        Strength of water and methane bands (cool stars), 0 to 1.
    amplitude
        f_lambda (erg s-1 cm-2 angstrom-1) that the unit of the formula stands for.
    """

    redshift: float
    beta: float = -2.3
    old: float = 0.0
    temperature: float = 5000.0
    break_strength: float = 1.0
    break_wave: float = 0.3646
    break_width: float = 0.004
    a_v: float = 0.0
    absorption: float = 0.0
    molecules: float = 0.0
    amplitude: float = 1.0

    def _old(self, rest: FloatArray) -> FloatArray:
        step = 0.5 * (1.0 - np.tanh((rest - self.break_wave) / self.break_width))
        shape = _blackbody(rest, self.temperature) / (1.0 + (self.break_strength - 1.0) * step)
        # The minimum of the H- opacity: the 1.6 micron bump of every old population.
        shape = shape * (1.0 + 0.35 * np.exp(-0.5 * ((rest - 1.6) / 0.35) ** 2))
        if self.absorption:
            for centre, width, depth in _ABSORPTION:
                shape *= 1.0 - self.absorption * depth * np.exp(-0.5 * ((rest - centre) / width) ** 2)
        if self.molecules:
            bands = sum(tau * np.exp(-0.5 * ((rest - at) / width) ** 2) for at, width, tau in _MOLECULES)
            shape *= np.exp(-self.molecules * bands)
        return np.asarray(shape)

    def flam(self, wave: ArrayLike) -> FloatArray:
        """Return f_lambda (erg s-1 cm-2 angstrom-1) at observed wavelengths (microns)."""
        wave = np.asarray(wave, dtype=float)
        rest = wave / (1.0 + self.redshift)
        if np.isinf(self.old):
            shape = self._old(rest)
        else:
            shape = (rest / 0.55) ** self.beta
            if self.old:
                shape = shape + self.old * self._old(rest)
        if self.a_v:
            shape = shape * attenuation(rest, self.a_v)
        if self.redshift:
            shape = shape * igm_transmission(wave, self.redshift)
        return np.asarray(self.amplitude * shape)

    def fnu(self, wave: ArrayLike) -> FloatArray:
        """Return f_nu (microjansky) at observed wavelengths (microns)."""
        wave = np.asarray(wave, dtype=float)
        return np.asarray(self.flam(wave) * wave**2 / FLAM_PER_FNU)

    def scaled_to(self, magnitude: float) -> Continuum:
        """Return the same shape with this mean AB magnitude between 2 and 4 micron."""
        mean = float(self.fnu(np.linspace(2.0, 4.0, 41)).mean())
        return replace(self, amplitude=self.amplitude * float(flux_of_magnitude(magnitude)) / mean)

    def slope(self, blue: float, red: float) -> float:
        """Return d ln f_lambda / d ln wavelength between two rest wavelengths, without absorption lines."""
        smooth = replace(self, absorption=0.0)
        low, high = smooth.flam(np.array([blue, red]) * (1.0 + self.redshift))
        return float(np.log(high / low) / np.log(red / blue))

    def balmer_break(self) -> float:
        """Return f_nu at rest 0.42 micron over that at 0.35 micron, before dust."""
        low, high = replace(self, absorption=0.0, a_v=0.0).fnu(np.array([0.35, 0.42]) * (1.0 + self.redshift))
        return float(high / low)
