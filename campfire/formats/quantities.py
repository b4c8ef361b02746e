"""Unit texts of FITS columns to factors, and the one rule for pixels without data."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from campfire.errors import ValidationError
from campfire.typing import BoolArray, FloatArray
from campfire.units import FLAM_UNIT, FNU_UNIT, WAVE_UNIT

__all__ = ["UNITS", "apply_missing", "unit_factor"]

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
        return float(u.Unit(unit).to(u.Unit(UNITS[kind])))
    except u.UnitConversionError as err:
        raise ValidationError(f"{unit!r} is not a unit of {_NAMES[kind]}", hint=hint) from err
    except (ValueError, TypeError) as err:
        raise ValidationError(f"{unit!r} is not a unit", hint=hint) from err


def apply_missing(fnu: FloatArray, fnu_err: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Set pixels without data to NaN in place, in flux and in error, however the file says it.

    A pixel has no data where its flux is not finite, or exactly zero with an unusable error (NaN, infinite,
    or not above zero: the 0 with error 0 of boxcar columns, the 0 with error NaN of the JWST pipeline). Where
    only the error is unusable, the flux stays and the error becomes NaN.

    Returns
    -------
    no_data, bad_error : numpy.ndarray of bool
        The two kinds of pixel; a pixel is to be masked where either is set.

    Examples
    --------
    >>> flux, error = np.array([1.0, 0.0, 2.0]), np.array([0.1, 0.0, np.inf])
    >>> no_data, bad_error = apply_missing(flux, error)
    >>> flux, error
    (array([ 1., nan,  2.]), array([0.1, nan, nan]))
    """
    bad_error = ~((fnu_err > 0) & (fnu_err < np.inf))
    no_data = ~np.isfinite(fnu) | ((fnu == 0) & bad_error)
    bad_error |= no_data
    fnu[no_data] = np.nan
    fnu_err[bad_error] = np.nan
    return no_data, bad_error
