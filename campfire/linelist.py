"""Rest wavelengths of the common emission lines, in vacuum.

Optical values are those of the NIST Atomic Spectra Database and of the line list of the Sloan Digital Sky
Survey, in vacuum; the unresolved doublets CIV, MgII and [OII] are given at the unweighted mean of their two
components.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from campfire.arguments import number, shown, text
from campfire.errors import ValidationError
from campfire.units import to_micron

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = [
    "BROAD_LINES",
    "DOUBLETS",
    "EMISSION_LINES",
    "MEDIUM",
    "EmissionLine",
    "ObservedLine",
    "find_line",
    "get_emission_lines",
]

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


DOUBLETS: tuple[tuple[str, str, float], ...] = (("[OIII]₁", "[OIII]₂", 2.98), ("[NII]₁", "[NII]", 3.05))
"""Lines from one upper level, the weaker first, with the ratio of their fluxes (Storey & Zeippen 2000, MNRAS
312, 813)."""

BROAD_LINES = ("HeII1640", "Hδ", "Hγ", "Hβ", "HeI5876", "Hα", "HeI10830", "Paγ", "Paβ", "Paα")
"""Permitted lines of hydrogen and helium, which the dense gas around an active nucleus emits, too; without
Lyα, whose shape is that of its scattering."""


_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta"}
_SERIES = {"h": "balmer", "pa": "paschen", "ly": "lyman"}


def _folded(name: str) -> str:
    """Return a name in plain small letters and digits: "[OIII]₂" and "O III 2" are "oiii2"."""
    text = "".join(_GREEK.get(c, c) for c in unicodedata.normalize("NFKC", name.strip()).lower())
    return re.sub(r"[^a-z0-9.]", "", text.replace("lambda", "").replace("angstrom", ""))


def _spellings(line: EmissionLine) -> set[str]:
    """Return what a line is called without a wavelength, folded: of Hα "halpha", "ha" and "balmeralpha"."""
    full = _folded(line["name"])
    found = {full}
    for word in _GREEK.values():
        series = full.removesuffix(word)
        if series != full:
            found |= {series + word[0], _SERIES[series] + word}
    return found


_SPELLINGS = [(line, _spellings(line)) for line in EMISSION_LINES]


def find_line(name: str) -> EmissionLine:
    """Return the line of a name, as the table has it or as it is typed.

    Brackets, blanks, hyphens and case are free, Greek letters may be written out or shortened, and an ion may
    go with the wavelength of a line in angstrom, in air or vacuum: ``Ha``, ``H-alpha``, ``Lya``,
    ``[O III] 5007``, ``OIII5007``, ``nii6583``. An ion alone will do where the table has one line of it.

    Raises
    ------
    ValidationError
        If there is no such line, or more than one; the message names them.

    Examples
    --------
    >>> find_line("H-alpha")["name"], find_line("[O III] 5007")["name"], find_line("Lya")["wave"]
    ('Hα', '[OIII]₂', 0.121567)
    """
    given = _folded(text(name, "line"))
    exact = [line for line in EMISSION_LINES if line["name"] == name.strip()]
    found = exact or [line for line, spellings in _SPELLINGS if given in spellings]
    match = re.fullmatch(r"([a-z]+?)(\d+(?:\.\d+)?)?a?", given)
    if not found and match:
        ion, angstrom = match[1], match[2]
        of_ion = [
            line for line, spellings in _SPELLINGS if ion in {re.sub(r"\d+$", "", s) for s in spellings}
        ]
        found = of_ion if angstrom is None else [line for line in of_ion if _is_at(line, float(angstrom))]
        near = [line["name"] for line in found or of_ion]
    else:
        near = [line["name"] for line in found]
    if len(found) == 1:
        return found[0]
    if not near:
        names = {spelling: line["name"] for line, spellings in _SPELLINGS for spelling in spellings}
        near = list(dict.fromkeys(names[s] for s in get_close_matches(given, names, n=3)))
    known = near or [line["name"] for line in EMISSION_LINES]
    some = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known)};"
    what = f"{shown(name)} may be any of {len(found)} lines" if found else f"no line {shown(name)}"
    raise ValidationError(what, hint=f"{some} a rest wavelength in microns will do too")


def _is_at(line: EmissionLine, angstrom: float) -> bool:
    """Tell whether a wavelength, rounded and perhaps in air, is that of a line or of a doublet."""
    wave = line["wave"] * 1e4
    return abs(wave - angstrom) < max(5.0, 4e-4 * wave)


def _edge(wave: Any, name: str) -> float:
    micron = to_micron(wave)
    if micron.ndim or np.isnan(micron):
        raise ValidationError(f"{name}={shown(wave)}", hint="pass one wavelength, in microns or a Quantity")
    return float(micron)


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
    stretch = 1.0 + number(redshift, "redshift", above=-1)
    low = -np.inf if wave_min is None else _edge(wave_min, "wave_min")
    high = np.inf if wave_max is None else _edge(wave_max, "wave_max")
    if not low <= high:
        raise ValidationError(f"wave_min={low:g} is above wave_max={high:g}", hint="swap them")
    stretched = [(line, line["wave"] * stretch) for line in EMISSION_LINES]
    return [
        {"name": line["name"], "rest_wave": line["wave"], "observed_wave": wave, "color": line["color"]}
        for line, wave in stretched
        if low <= wave <= high
    ]
