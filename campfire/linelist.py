"""Rest wavelengths of the common emission lines, in vacuum.

Optical values are those of the NIST Atomic Spectra Database and of the line list of the Sloan Digital Sky
Survey, in vacuum; the unresolved doublets CIV, MgII and [OII] are given at the unweighted mean of their two
components.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

from campfire.errors import ValidationError
from campfire.units import to_micron

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = ["EMISSION_LINES", "MEDIUM", "EmissionLine", "ObservedLine", "get_emission_lines"]

MEDIUM = "vacuum"
"""Medium of every wavelength of this module."""


class EmissionLine(TypedDict):
    """One line: ``wave`` is the rest wavelength in microns (vacuum)."""

    name: str
    wave: float
    color: str


class ObservedLine(TypedDict):
    """One line at a redshift; wavelengths in microns (vacuum)."""

    name: str
    rest_wave: float
    observed_wave: float
    color: str


_HYDROGEN, _OXYGEN, _OTHER, _HELIUM, _UV = "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#1f77b4"

EMISSION_LINES: list[EmissionLine] = [
    {"name": name, "wave": wave, "color": color}
    for name, wave, color in (
        ("Lyα", 0.1215670, _HYDROGEN),
        ("CIV", 0.1549480, _UV),
        ("HeII1640", 0.1640420, _HELIUM),
        ("CIII]", 0.1908734, _UV),
        ("MgII", 0.2799942, _UV),
        ("[OII]", 0.3728483, _OXYGEN),
        ("[NeIII]", 0.3869860, _OTHER),
        ("Hδ", 0.4102892, _HYDROGEN),
        ("Hγ", 0.4341684, _HYDROGEN),
        ("[OIII]4363", 0.4364436, _OXYGEN),
        ("Hβ", 0.4862683, _HYDROGEN),
        ("[OIII]₁", 0.4960295, _OXYGEN),
        ("[OIII]₂", 0.5008240, _OXYGEN),
        ("HeI5876", 0.5877249, _HELIUM),
        ("[OI]", 0.6302046, _OXYGEN),
        ("[NII]₁", 0.6549860, _OTHER),
        ("Hα", 0.6564610, _HYDROGEN),
        ("[NII]", 0.6585270, _OTHER),
        ("[SII]₁", 0.6718290, _OTHER),
        ("[SII]₂", 0.6732670, _OTHER),
        ("[SIII]₁", 0.9071100, _OTHER),
        ("[SIII]₂", 0.9533200, _OTHER),
        ("HeI10830", 1.0833306, _HELIUM),
        ("Paγ", 1.0941090, _HYDROGEN),
        ("Paβ", 1.2821590, _HYDROGEN),
        ("Paα", 1.8756130, _HYDROGEN),
    )
]
"""Dicts with ``name``, ``wave`` (rest, vacuum, micron) and ``color``, by wavelength."""


def get_emission_lines(
    redshift: float, wave_min: float | Quantity | None = None, wave_max: float | Quantity | None = None
) -> list[ObservedLine]:
    """List the emission lines as they are observed at a redshift.

    Parameters
    ----------
    redshift
        Greater than -1.
    wave_min, wave_max
        Observed range in microns, or Quantities; None leaves that side open.

    Returns
    -------
    list of dict
        ``name``, ``rest_wave``, ``observed_wave`` (vacuum, micron) and ``color``, by wavelength.

    Raises
    ------
    ValidationError
        If the redshift is not finite or not above -1, or the range is reversed.

    Examples
    --------
    >>> [line["name"] for line in get_emission_lines(redshift=2.5, wave_min=2.2, wave_max=2.4)]
    ['[OI]', '[NII]₁', 'Hα', '[NII]', '[SII]₁', '[SII]₂']
    """
    if not (np.isfinite(redshift) and redshift > -1):
        raise ValidationError(f"redshift={redshift!r}", hint="pass a finite number above -1")
    low = -np.inf if wave_min is None else float(to_micron(wave_min))
    high = np.inf if wave_max is None else float(to_micron(wave_max))
    if not low <= high:
        raise ValidationError(f"wave_min={wave_min!r} is above wave_max={wave_max!r}", hint="swap them")
    stretched = [(line, line["wave"] * (1.0 + float(redshift))) for line in EMISSION_LINES]
    return [
        {"name": line["name"], "rest_wave": line["wave"], "observed_wave": wave, "color": line["color"]}
        for line, wave in stretched
        if low <= wave <= high
    ]
