r"""Units and the one conversion between f_nu and f_lambda.

Everything inside campfire is in microns (vacuum), microjansky and erg s-1 cm-2 angstrom-1. With
f_lambda = f_nu c / lambda^2, 1 uJy = 1e-29 erg s-1 cm-2 Hz-1, 1 um = 1e4 angstrom and the exact speed of
light (SI definition, 299 792 458 m/s), the factor is ``2.99792458e-19 / wavelength**2``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from campfire.arguments import choice, shown
from campfire.errors import ValidationError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.typing import BoolArray, FloatArray

__all__ = [
    "FLAM_PER_FNU",
    "FLAM_UNIT",
    "FNU_UNIT",
    "RELATIVE",
    "SPEED_OF_LIGHT",
    "WAVE_UNIT",
    "check_unit",
    "convert_flux_units",
    "filled",
    "flam_to_fnu",
    "fnu_to_flam",
    "to_flam",
    "to_micron",
    "to_microjansky",
    "unmasked",
]

SPEED_OF_LIGHT = 299_792_458.0
"""Speed of light in m/s (exact)."""

FLAM_PER_FNU = 2.99792458e-19
"""f_lambda [erg s-1 cm-2 angstrom-1] of 1 uJy at 1 um."""

WAVE_UNIT = "um"
FNU_UNIT = "uJy"
FLAM_UNIT = "erg s-1 cm-2 angstrom-1"
# "erg/s/cm2/A" would be parsed as "per ampere"; this text parses alike in astropy and UDUNITS.
RELATIVE = "1"
"""Unit, as text, of flux densities that are relative, as those of a normalised stack."""


@lru_cache(maxsize=64)
def check_unit(name: str, text: str, unit: str) -> None:
    """Raise ValidationError for a text that is no spelling of a unit; flux densities may be relative."""
    if text == unit or (text == RELATIVE and unit != WAVE_UNIT):
        return
    import astropy.units as u  # only for unusual spellings

    try:
        if u.Unit(text) == u.Unit(unit):
            return
    except ValueError:
        pass  # unreadable is as wrong as another unit: both are reported below
    raise ValidationError(
        f"{name} is {text!r}", hint=f"numbers are taken to be in {unit!r}; pass a Quantity for other units"
    )


def _float_dtype(values: Any) -> np.dtype[Any]:
    """Dtype of the result: that of float input in native byte order, float64 for everything else."""
    try:
        dtype = np.asarray(values).dtype
    except (TypeError, ValueError):  # ragged, or Quantities in a list: refused by the conversion that follows
        return np.dtype(np.float64)
    return dtype.newbyteorder("=") if dtype.kind == "f" else np.dtype(np.float64)


def _floats(values: Any) -> FloatArray:
    try:
        kind = np.asarray(values).dtype.kind
        if values is None or kind in "bcSUMmV" or (kind == "O" and _holds_words(values)):
            raise TypeError("None, text, dates and truth values are no numbers")
        return np.asarray(values, dtype=_float_dtype(values))
    except (TypeError, ValueError) as err:
        raise ValidationError(
            f"not numbers: {shown(values)}", hint="pass an array of numbers, or one Quantity"
        ) from err


def _holds_words(values: Any) -> bool:
    return any(isinstance(v, str | bytes | bool | np.bool_) for v in np.asarray(values, dtype=object).flat)


def fnu_to_flam(fnu: ArrayLike, wavelength: ArrayLike) -> FloatArray:
    """Convert f_nu in microjansky to f_lambda in erg s-1 cm-2 angstrom-1.

    Parameters
    ----------
    fnu
        Flux density (or its error), microjansky, any shape.
    wavelength
        Wavelength in microns, broadcast against ``fnu``.

    Returns
    -------
    numpy.ndarray
        Same shape; the float dtype of ``fnu`` (float64 for integers). The arithmetic is in float64.

    Examples
    --------
    >>> float(fnu_to_flam(1.0, 1.0))
    2.99792458e-19
    """
    wave = np.asarray(wavelength, dtype=np.float64)
    result = np.asarray(fnu, dtype=np.float64) * (FLAM_PER_FNU / (wave * wave))
    return np.asarray(result, dtype=_float_dtype(fnu))


def flam_to_fnu(flam: ArrayLike, wavelength: ArrayLike) -> FloatArray:
    """Convert f_lambda in erg s-1 cm-2 angstrom-1 to f_nu in microjansky.

    The inverse of :func:`fnu_to_flam`; same shapes and dtypes.

    Examples
    --------
    >>> float(flam_to_fnu(2.99792458e-19, 1.0))
    1.0
    """
    wave = np.asarray(wavelength, dtype=np.float64)
    result = np.asarray(flam, dtype=np.float64) * (wave * wave / FLAM_PER_FNU)
    return np.asarray(result, dtype=_float_dtype(flam))


def convert_flux_units(
    fnu: Any, wavelength: Any, to_unit: Literal["flambda", "flam", "fnu"] = "flambda"
) -> FloatArray:
    """Convert a flux density to the unit asked for.

    Parameters
    ----------
    fnu
        Flux density, microjansky or a Quantity in any f_nu or f_lambda unit.
    wavelength
        Wavelength, microns or a Quantity of length, frequency or energy.
    to_unit
        ``"flambda"`` (or ``"flam"``) for erg s-1 cm-2 angstrom-1, ``"fnu"`` for microjansky.

    Raises
    ------
    ValidationError
        For another unit name, and for Quantities of other units.

    Examples
    --------
    >>> float(convert_flux_units(2.0, 1.0, to_unit="fnu"))
    2.0
    """
    wanted = choice(to_unit, "to_unit", ("flambda", "flam", "fnu"))
    flux, wave = to_microjansky(fnu, wavelength), to_micron(wavelength)
    if flux.ndim and wave.ndim and flux.shape != wave.shape:
        raise ValidationError(
            f"fnu has shape {flux.shape}, wavelength {wave.shape}", hint="one wavelength a value"
        )
    return flux if wanted == "fnu" else fnu_to_flam(flux, wave)


def _is_quantity(value: object) -> bool:
    return hasattr(value, "unit") and hasattr(value, "to_value")


def _opened(value: Any) -> Any:
    """Return the Quantity of an astropy table column that has a unit; anything else as it is, unmasked."""
    value = filled(value)
    has_unit = hasattr(value, "quantity") and getattr(value, "unit", None) is not None
    return value.quantity if has_unit else value


def filled(values: Any) -> Any:
    """Turn masked values into NaN; anything else is as it was.

    What is below a mask is not known, whatever stands there.

    Examples
    --------
    >>> filled(np.ma.MaskedArray([1.0, 99.0], mask=[False, True])), filled([1.0, 2.0])
    (array([ 1., nan]), [1.0, 2.0])
    """
    if isinstance(values, np.ma.MaskedArray):
        values = values if values.dtype.kind == "f" else values.astype(np.float64)
        return values.filled(np.nan)
    # Masked of astropy, which a Column is not, though it can be filled
    masked = hasattr(values, "filled") and (hasattr(values, "unit") or hasattr(values, "unmasked"))
    return values.filled(np.nan) if masked else values


def unmasked(values: Any) -> tuple[Any, BoolArray | None]:
    """Return values without their mask, and the mask, or None where there is none.

    For what is known though it is masked: the wavelength of a pixel that is not to be used.

    Examples
    --------
    >>> unmasked(np.ma.MaskedArray([1.0, 2.0], mask=[False, True]))
    (array([1., 2.]), array([False,  True]))
    """
    if hasattr(values, "unmasked") and hasattr(values, "mask"):  # Masked of astropy
        return values.unmasked, np.array(values.mask)
    if not isinstance(values, np.ma.MaskedArray):
        return values, None
    plain, unit = np.ma.getdata(values), getattr(values, "unit", None)
    return (np.asarray(plain) if unit is None else np.asarray(plain) * unit), np.ma.getmaskarray(values)


def to_micron(value: Any) -> FloatArray:
    """Return wavelengths as a plain float array in microns.

    Parameters
    ----------
    value
        Numbers (taken to be microns) or a Quantity of any length, frequency, energy or wavenumber.

    Raises
    ------
    ValidationError
        If the unit is not one of a spectral coordinate.

    Examples
    --------
    >>> import astropy.units as u
    >>> float(to_micron(5000 * u.AA).round(9))
    0.5
    """
    value = _opened(value)
    if not _is_quantity(value):
        return _floats(value)
    import astropy.units as u

    try:
        return np.asarray(value.to_value(u.um, equivalencies=u.spectral()))
    except u.UnitConversionError as err:
        raise ValidationError(
            f"{value.unit} is not a unit of wavelength", hint="pass microns, a length or a frequency"
        ) from err


def _convert_density(value: Any, wavelength: Any, unit: str, what: str) -> FloatArray:
    import astropy.units as u

    equivalencies = [] if wavelength is None else u.spectral_density(to_micron(wavelength) * u.um)
    try:
        return np.asarray(value.to_value(u.Unit(unit), equivalencies=equivalencies))
    except u.UnitConversionError as err:
        raise ValidationError(
            f"{value.unit} cannot be converted to {unit} ({what})",
            hint="pass a flux density in an f_nu or f_lambda unit, with its wavelengths",
        ) from err


def to_microjansky(value: Any, wavelength: Any = None) -> FloatArray:
    """Return flux densities as a plain float array in microjansky.

    Parameters
    ----------
    value
        Numbers (taken to be microjansky) or a Quantity in any f_nu or f_lambda unit.
    wavelength
        Needed to convert from f_lambda: microns or a Quantity, broadcast against ``value``.

    Raises
    ------
    ValidationError
        If the unit is not one of a flux density.

    Examples
    --------
    >>> import astropy.units as u
    >>> float(to_microjansky(3 * u.nJy).round(6))
    0.003
    """
    value = _opened(value)
    if not _is_quantity(value):
        return _floats(value)
    return _convert_density(value, wavelength, FNU_UNIT, "f_nu")


def to_flam(value: Any, wavelength: Any = None) -> FloatArray:
    """Return flux densities as a plain float array in erg s-1 cm-2 angstrom-1.

    As :func:`to_microjansky`; plain numbers are taken to be in erg s-1 cm-2 angstrom-1 already.

    Examples
    --------
    >>> import astropy.units as u
    >>> bool(abs(to_flam(1 * u.uJy, 1.0) / FLAM_PER_FNU - 1) < 1e-12)
    True
    """
    value = _opened(value)
    if not _is_quantity(value):
        return _floats(value)
    return _convert_density(value, wavelength, FLAM_UNIT, "f_lambda")
