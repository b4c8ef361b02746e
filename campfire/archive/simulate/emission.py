"""Emission lines of simulated galaxies: vacuum wavelengths, ratios set by atomic physics or abundance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from campfire.archive.simulate.continuum import LYMAN_ALPHA, Continuum, attenuation

__all__ = ["Line", "NebularRatios", "nebular_lines"]

# Recombination, case B at 10^4 K and 100 cm-3, over Hβ (Osterbrock & Ferland 2006, tables 4.2 and 4.4).
_BALMER = (
    ("Hα", 0.6564610, 2.86),
    ("Hβ", 0.4862683, 1.000),
    ("Hγ", 0.4341684, 0.468),
    ("Hδ", 0.4102892, 0.259),
    ("Hε", 0.3971195, 0.159),
    ("Hζ", 0.3890151, 0.105),
    ("Paα", 1.8756130, 0.339),
    ("Paβ", 1.2821590, 0.163),
    ("Paγ", 1.0941090, 0.0904),
    ("Paδ", 1.0052128, 0.0555),
    ("Brβ", 2.6258670, 0.0447),
    ("Brγ", 2.1661230, 0.0278),
)
# Doublets from one upper level: the weaker line is fixed by transition probabilities (Storey & Zeippen 2000
# and the NIST database).
OIII_RATIO = 2.98
NII_RATIO = 3.05
SIII_RATIO = 2.47
OI_RATIO = 3.0
NEIII_RATIO = 3.32


@dataclass(frozen=True, slots=True)
class Line:
    """One line: rest wavelength (micron, vacuum), observed flux (erg s-1 cm-2), dispersion (km/s)."""

    name: str
    wave: float
    flux: float
    sigma: float


@dataclass(frozen=True, slots=True)
class NebularRatios:
    """Fluxes over Hβ, before dust, of an H II region of oxygen abundance 12 + log(O/H).

    The strong-line relations are parabolas of our own through the loci of local and JWST samples; they serve
    plausibility, not calibration.
    """

    abundance: float

    def relative(self) -> list[tuple[str, float, float]]:
        """Return (name, vacuum wavelength in micron, flux over Hβ)."""
        x = self.abundance
        oiii = 10.0 ** (0.82 - 0.75 * (x - 8.0) ** 2)
        oii = 10.0 ** (0.45 - 0.80 * (x - 8.6) ** 2)
        nii = 2.86 * 10.0 ** float(np.clip(-1.3 + 1.4 * (x - 8.2), -2.5, -0.35))
        sii = 2.86 * float(np.clip(0.10 + 0.13 * (x - 7.8), 0.03, 0.30))
        neiii = 0.075 * oiii
        hard = 10.0 ** (-1.2 * (x - 7.6))
        siii = 0.30 + 0.35 * (x - 7.6)
        return [
            *_BALMER,
            ("[OII]3727", 0.3727092, oii / 2.3),
            ("[OII]3730", 0.3729875, oii * 1.3 / 2.3),
            ("[NeIII]3870", 0.3869860, neiii),
            ("[NeIII]3969", 0.3968590, neiii / NEIII_RATIO),
            ("[OIII]4364", 0.4364436, 0.02 * oiii * hard),
            ("[OIII]4960", 0.4960295, oiii / OIII_RATIO),
            ("[OIII]5008", 0.5008240, oiii),
            ("HeI5877", 0.5877249, 0.12),
            ("[OI]6302", 0.6302046, 0.08 * sii + 0.02),
            ("[OI]6366", 0.6365536, (0.08 * sii + 0.02) / OI_RATIO),
            ("[NII]6550", 0.6549860, nii / NII_RATIO),
            ("[NII]6585", 0.6585270, nii),
            ("[SII]6718", 0.6718290, sii * 1.3 / 2.3),
            ("[SII]6733", 0.6732670, sii / 2.3),
            ("[ArIII]7138", 0.7137770, 0.08),
            ("[SIII]9071", 0.9071100, siii / SIII_RATIO),
            ("[SIII]9533", 0.9533200, siii),
            ("HeI10833", 1.0833306, 0.45),
            ("CIV", 0.1549480, 0.20 * hard),
            ("HeII1640", 0.1640420, 0.06 * hard),
            ("OIII]1663", 0.1663000, 0.18 * hard),
            ("CIII]1909", 0.1908734, 0.55 * hard),
            ("MgII2796", 0.2796352, 0.066),
            ("MgII2804", 0.2803531, 0.034),
        ]


def nebular_lines(
    continuum: Continuum,
    *,
    ew_halpha: float,
    abundance: float,
    sigma: float,
    ew_lya: float = 0.0,
    broad_halpha: float = 0.0,
    broad_sigma: float = 0.0,
) -> tuple[Line, ...]:
    """Return the lines of a galaxy, attenuated by the same dust as its continuum.

    Parameters
    ----------
    continuum
        Sets the scale: equivalent widths are relative to it.
    ew_halpha, ew_lya
        Rest equivalent widths, angstrom; that of Lyα is what leaves the intergalactic medium.
    abundance
        12 + log(O/H).
    sigma
        Velocity dispersion of narrow lines, km/s.
    broad_halpha
        Broad over narrow Hα flux; 0 for none.
    broad_sigma
        Velocity dispersion of the broad components, km/s.
    """
    stretch = 1.0 + continuum.redshift
    at_halpha = float(continuum.flam(np.array([0.6564610 * stretch]))[0])
    halpha = ew_halpha * stretch * at_halpha
    dust_halpha = float(attenuation(0.6564610, continuum.a_v))
    hbeta = halpha / dust_halpha / 2.86
    lines = [
        Line(name, wave, hbeta * ratio * float(attenuation(wave, continuum.a_v)), sigma)
        for name, wave, ratio in NebularRatios(abundance).relative()
    ]
    if ew_lya:
        red_side = float(continuum.flam(np.array([0.1240 * stretch]))[0])
        lines.append(Line("Lyα", LYMAN_ALPHA, ew_lya * stretch * red_side, 1.8 * sigma))
    if broad_halpha:
        # Collisions and dust steepen the broad decrement; 5 is typical of type 1 AGN seen by JWST.
        broad = broad_halpha * halpha
        for name, wave, ratio in (
            ("Hα", 0.6564610, 1.0),
            ("Hβ", 0.4862683, 1.0 / 5.0),
            ("Hγ", 0.4341684, 0.08),
            ("Paβ", 1.2821590, 0.09),
            ("HeI10833", 1.0833306, 0.20),
        ):
            lines.append(Line(f"{name} broad", wave, broad * ratio, broad_sigma))
    return tuple(lines)
