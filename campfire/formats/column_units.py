"""Unit texts of FITS columns to factors, and the one rule for pixels without data."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from campfire.errors import ValidationError
from campfire.typing import BoolArray, FloatArray
from campfire.units import FLAM_UNIT, FNU_UNIT, WAVE_UNIT

__all__ = ["UNITS", "apply_missing", "is_flam", "unit_factor", "unusable_pixels"]

UNITS = {"wavelength": WAVE_UNIT, "fnu": FNU_UNIT, "flam": FLAM_UNIT}
"""The unit every quantity has once read."""

# Spellings that need no unit parser (astropy.units takes longer to import than a thousand files to read).
_SAME = {
    "wavelength": frozenset({"um", "micron"}),
    "fnu": frozenset({"uJy", "microJansky", "ujy"}),
    "flam": frozenset(
        {
            FLAM_UNIT,
            "erg / (s cm2 Angstrom)",
            "erg / (Angstrom s cm2)",
            "erg / (Angstrom cm2 s)",
            "erg Angstrom-1 s-1 cm-2",
            "erg Angstrom-1 cm-2 s-1",
            "erg s-1 cm-2 Angstrom-1",
        }
    ),
}
_NAMES = {"wavelength": "a wavelength", "fnu": "a flux density per frequency", "flam": "f_lambda"}


# What people write, as whole words, for what astropy reads otherwise or not at all: "A" is an ampere there.
# "MJY" is not among them: it may be mJy or MJy, a factor of a billion.
_WORDS = {
    "A": "Angstrom",
    "AA": "Angstrom",
    "Ang": "Angstrom",
    "ANGSTROM": "Angstrom",
    "angstroms": "Angstrom",
    "Angstroms": "Angstrom",
    "microns": "micron",
    "Microns": "micron",
    "Micron": "micron",
    "MICRON": "micron",
    "micrometer": "um",
    "micrometers": "um",
    "ergs": "erg",
    "UJY": "uJy",
    "JY": "Jy",
}
_WORD = re.compile(r"[A-Za-z]+")


def _spelled(unit: str) -> str:
    top, *under = _WORD.sub(lambda word: _WORDS.get(word[0], word[0]), unit).split("/")
    # a/b/c is a/(b c): said so, as astropy warns of what it calls ambiguous
    return f"{top} / ({' '.join(under)})" if len(under) > 1 and "(" not in unit else "/".join([top, *under])


@lru_cache(maxsize=256)
def is_flam(unit: str) -> bool:
    """Tell whether a unit is that of a flux density per wavelength.

    Examples
    --------
    >>> is_flam("erg/s/cm2/A"), is_flam("W m-3"), is_flam("uJy"), is_flam("nonsense")
    (True, True, False, False)
    """
    if unit in _SAME["fnu"]:
        return False
    try:
        unit_factor("flam", unit)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def unit_factor(kind: str, unit: str) -> float:
    """Return the factor from ``unit`` to the unit ``kind`` is kept in; 1.0 exactly where they are the same.

    Parameters
    ----------
    kind
        ``wavelength``, ``fnu`` or ``flam``.
    unit
        Text of a TUNIT card.

    Raises
    ------
    ValidationError
        If the text is no unit, or one of something else; it is named.

    Examples
    --------
    >>> unit_factor("fnu", "Jy"), unit_factor("wavelength", "um")
    (1000000.0, 1.0)
    """
    if unit in _SAME[kind]:
        return 1.0
    import astropy.units as u

    hint = f"expected {UNITS[kind]!r} or another unit of {_NAMES[kind]}"
    try:
        return float(u.Unit(_spelled(unit)).to(u.Unit(UNITS[kind])))
    except u.UnitConversionError as err:
        raise ValidationError(f"{unit!r} is not a unit of {_NAMES[kind]}", hint=hint) from err
    except (ValueError, TypeError) as err:
        raise ValidationError(f"{unit!r} is not a unit", hint=hint) from err


def unusable_pixels(fnu: FloatArray, fnu_err: FloatArray) -> BoolArray:
    """Return where the flux is not finite, or the error is not a finite number above zero."""
    unusable: BoolArray = ~(np.isfinite(fnu) & (fnu_err > 0) & (fnu_err < np.inf))
    return unusable


def apply_missing(fnu: FloatArray, fnu_err: FloatArray) -> BoolArray:
    """Set pixels without data to NaN in place, in flux and in error, however the file says it.

    A pixel has no data where its flux or its error is NaN or infinite, or the error is not above zero (the
    0 with error 0 of boxcar columns, the 0 with error NaN of the JWST pipeline). A value whose error is
    unusable is no measurement either: nothing can be weighted by it.

    Returns
    -------
    numpy.ndarray of bool
        The pixels without data, to be masked.

    Examples
    --------
    >>> flux, error = np.array([1.0, 0.0, 2.0]), np.array([0.1, 0.0, np.inf])
    >>> apply_missing(flux, error)
    array([False,  True,  True])
    >>> flux, error
    (array([ 1., nan, nan]), array([0.1, nan, nan]))
    """
    missing = unusable_pixels(fnu, fnu_err)
    fnu[missing] = np.nan
    fnu_err[missing] = np.nan
    return missing
