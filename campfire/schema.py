"""The one table of what a campfire Dataset holds: dimensions, variables, units, mask bits; and its check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.units import FLAM_UNIT, FNU_UNIT, RELATIVE, WAVE_UNIT

if TYPE_CHECKING:
    import xarray as xr

    from campfire.typing import BoolArray, FloatArray

__all__ = [
    "GRIDDED",
    "NATIVE",
    "SCHEMA_VERSION",
    "SPECTRUM",
    "VARIABLES",
    "PixelDQ",
    "VariableSpec",
    "attrs_of",
    "in_rest_frame",
    "normalise_mask",
    "pixel_dq",
    "state_of",
    "validate",
]

SCHEMA_VERSION = 1

SPECTRUM = ("wavelength",)
"""Dimensions of one spectrum."""
NATIVE = ("spectrum", "pixel")
"""Dimensions of a collection as observed: wavelength is two-dimensional."""
GRIDDED = ("spectrum", "wavelength")
"""Dimensions of a collection on one grid: wavelength is an index."""


class PixelDQ(IntFlag):
    """Bits of the per-pixel variable ``dq``; 0 is good. Unrelated to the per-spectrum ``dq_flags``."""

    NONFINITE_FLUX = 1
    BAD_ERROR = 2
    FLAGGED_IN_FILE = 4
    OUTSIDE = 8
    CLIPPED = 16


@dataclass(frozen=True, slots=True)
class VariableSpec:
    """One variable: its kind (``coord`` or ``data``), unit, and CF attributes."""

    name: str
    kind: str
    units: str | None
    attrs: Mapping[str, Any]
    doc: str


VARIABLES: dict[str, VariableSpec] = {
    spec.name: spec
    for spec in (
        VariableSpec(
            "wavelength",
            "coord",
            WAVE_UNIT,
            {
                "long_name": "wavelength in vacuum",
                "standard_name": "radiation_wavelength",
                "medium": "vacuum",
            },
            "pixel centres; the index of one spectrum, two-dimensional in a native collection",
        ),
        VariableSpec(
            "fnu",
            "data",
            FNU_UNIT,
            {"long_name": "flux density f_nu", "ancillary_variables": "fnu_err dq"},
            "flux density per frequency; NaN where there is no measurement",
        ),
        VariableSpec(
            "fnu_err",
            "data",
            FNU_UNIT,
            {"long_name": "1-sigma error of f_nu"},
            "standard deviation of fnu, never a variance",
        ),
        VariableSpec(
            "flam",
            "data",
            FLAM_UNIT,
            {"long_name": "flux density f_lambda", "ancillary_variables": "flam_err dq"},
            "flux density per wavelength; attribute `origin` is `file` or `computed`",
        ),
        VariableSpec(
            "flam_err",
            "data",
            FLAM_UNIT,
            {"long_name": "1-sigma error of f_lambda"},
            "standard deviation of flam",
        ),
        VariableSpec(
            "dq",
            "data",
            None,
            {
                "long_name": "pixel mask, 0 is good",
                "flag_masks": np.array([bit.value for bit in PixelDQ], dtype=np.uint8),
                "flag_meanings": " ".join(str(bit.name) for bit in PixelDQ),
            },
            "uint8 bitmask of the pixel",
        ),
        VariableSpec(
            "resolving_power",
            "coord",
            "1",
            {"long_name": "resolving power of the disperser, wavelength / FWHM"},
            "for a uniformly lit shutter; of known dispersers, and of stacks also in the rest frame",
        ),
    )
}


def attrs_of(name: str) -> dict[str, Any]:
    """Return a fresh attribute dictionary (CF names) for one variable of :data:`VARIABLES`."""
    spec = VARIABLES[name]
    return ({"units": spec.units} if spec.units else {}) | dict(spec.attrs)


def in_rest_frame(header: Mapping[str, Any] | None) -> bool:
    """Tell whether wavelengths are those of the rest frame, by the header of a spectrum.

    A stack says so by ``STACKFRM``, a spectrum moved there by ``SPECSYS`` (Greisen et al. 2006).

    Examples
    --------
    >>> in_rest_frame({"SPECSYS": "SOURCE", "ZSOURCE": 2.0}), in_rest_frame({"SPECSYS": "BARYCENT"})
    (True, False)
    """
    cards = header or {}
    return cards.get("STACKFRM") == "rest" or cards.get("SPECSYS") == "SOURCE"


def pixel_dq(fnu: FloatArray, fnu_err: FloatArray, mask: BoolArray | None = None) -> np.ndarray[Any, Any]:
    """Build the uint8 bitmask of pixels from flux, error and an optional mask (True: do not use).

    A pixel that only ``mask`` rejects gets ``FLAGGED_IN_FILE``.
    """
    dq = np.zeros(np.shape(fnu), dtype=np.uint8)
    dq[~np.isfinite(fnu)] |= PixelDQ.NONFINITE_FLUX.value
    dq[~(np.isfinite(fnu_err) & (np.asarray(fnu_err) > 0))] |= PixelDQ.BAD_ERROR.value
    if mask is not None:
        dq[np.asarray(mask, dtype=bool) & (dq == 0)] |= PixelDQ.FLAGGED_IN_FILE.value
    return dq


def normalise_mask(fnu: FloatArray, fnu_err: FloatArray, mask: Any = None) -> BoolArray:
    """Return the mask of one spectrum: what is passed, and every pixel without a usable value or error.

    Raises
    ------
    ValidationError
        If ``mask`` has another length than the arrays, or is not boolean.
    """
    bad: BoolArray = ~(np.isfinite(fnu) & np.isfinite(fnu_err) & (np.asarray(fnu_err) > 0))
    if mask is None:
        return bad
    given = np.asarray(mask)
    if given.shape != bad.shape or given.dtype != np.bool_:
        raise ValidationError(
            f"mask is {given.dtype} of shape {given.shape}",
            hint=f"pass booleans of shape {bad.shape}, True for pixels not to be used",
        )
    result: BoolArray = bad | given
    return result


def state_of(ds: xr.Dataset) -> tuple[str, ...]:
    """Return which of :data:`SPECTRUM`, :data:`NATIVE`, :data:`GRIDDED` a Dataset is.

    Raises
    ------
    ValidationError
        If it is none of them; the message names what is missing.
    """
    missing = [name for name in ("fnu", "fnu_err") if name not in ds.data_vars]
    if "wavelength" not in ds.variables:
        missing.append("wavelength")
    if missing:
        found = ", ".join(map(str, ds.variables)) or "nothing"
        raise ValidationError(
            f"not a campfire Dataset: {' and '.join(repr(m) for m in missing)} missing (it has {found})",
            hint="make one with to_xarray(), xr.open_dataset(engine='campfire') or open_collection()",
        )
    dims = tuple(map(str, ds["fnu"].dims))
    for state in (SPECTRUM, NATIVE, GRIDDED):
        if dims == state:
            return state
    raise ValidationError(
        f"'fnu' has dimensions {dims}",
        hint=f"expected {SPECTRUM} (one spectrum), {NATIVE} or {GRIDDED} (a collection)",
    )


def validate(ds: xr.Dataset) -> tuple[str, ...]:
    """Check a Dataset against :data:`VARIABLES` and return its state; see :func:`state_of`.

    Only labels are looked at, never values: a lazy Dataset stays lazy.

    Raises
    ------
    ValidationError
        Naming the variable that is missing, has other dimensions, the wrong kind of number or unit.
    """
    state = state_of(ds)
    for name, spec in VARIABLES.items():
        if name not in ds.variables:
            continue
        variable = ds[name]
        fits = variable.dims == ds["fnu"].dims or (
            spec.kind == "coord" and variable.dims == ds["wavelength"].dims
        )
        if not fits:
            raise ValidationError(
                f"{name!r} has dimensions {tuple(variable.dims)}", hint=f"expected {state}, as 'fnu' has"
            )
        kinds = "ui" if name == "dq" else "f"  # netCDF-3 has no unsigned bytes: its bits come back signed
        if variable.dtype.kind not in kinds:
            wanted = "uint8; mask the fluxes alone, ds.fnu.where(...)" if name == "dq" else "float"
            raise ValidationError(f"{name!r} is {variable.dtype}", hint=f"expected {wanted}")
        units = variable.attrs.get("units")
        if spec.units and units is not None and not _same_unit(units, spec.units):
            if units == RELATIVE and name.startswith(("fnu", "flam")):
                continue
            raise ValidationError(f"{name!r} is in {units!r}", hint=f"convert it to {spec.units!r}")
    return state


def _same_unit(text: str, expected: str) -> bool:
    if text == expected:
        return True
    import astropy.units as u  # only for unusual spellings

    try:
        # f_lambda needs the Angstrom of astropy, which "angstrom" parses to
        return bool(u.Unit(text) == u.Unit(expected))
    except ValueError:
        return False
