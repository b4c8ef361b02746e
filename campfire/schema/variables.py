"""What a campfire Dataset holds: dimensions, variables, units and the bits of the pixel mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.units import FLAM_UNIT, FNU_UNIT, WAVE_UNIT

if TYPE_CHECKING:
    from campfire.typing import BoolArray, FloatArray

__all__ = [
    "BROAD",
    "FIT",
    "GRIDDED",
    "LINES",
    "NATIVE",
    "PHOTOMETRY",
    "REDSHIFTS",
    "SCHEMA_VERSION",
    "SPECTRUM",
    "VARIABLES",
    "PixelDQ",
    "VariableSpec",
    "attrs_of",
    "in_rest_frame",
    "normalise_mask",
    "pixel_dq",
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
    """One variable of a Dataset.

    Parameters
    ----------
    name
        Its name.
    dims
        Its dimensions, of which ``"..."`` stands for those of the main variable (``fnu``, ``flux``).
    dtype
        ``"float"``, ``"integer"``, ``"mask"`` (uint8), ``"bool"`` or ``"text"``.
    units
        Unit, or None where there is none to have.
    attrs
        Other CF attributes.
    doc
        What it means, for the documentation.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str | None
    attrs: Mapping[str, Any]
    doc: str


def _table(*specs: VariableSpec) -> dict[str, VariableSpec]:
    return {spec.name: spec for spec in specs}


_PIXEL = ("...",)
_FLAG_MASKS = np.array([bit.value for bit in PixelDQ], dtype=np.uint8)
_FLAG_MEANINGS = " ".join(str(bit.name) for bit in PixelDQ)

VARIABLES: dict[str, VariableSpec] = _table(
    VariableSpec(
        "wavelength",
        _PIXEL,
        "float",
        WAVE_UNIT,
        {"long_name": "wavelength in vacuum", "standard_name": "radiation_wavelength", "medium": "vacuum"},
        "pixel centres; the index of one spectrum, two-dimensional in a native collection",
    ),
    VariableSpec(
        "fnu",
        _PIXEL,
        "float",
        FNU_UNIT,
        {"long_name": "flux density f_nu", "ancillary_variables": "fnu_err dq"},
        "flux density per frequency; NaN where there is no measurement",
    ),
    VariableSpec(
        "fnu_err",
        _PIXEL,
        "float",
        FNU_UNIT,
        {"long_name": "1-sigma error of f_nu"},
        "standard deviation of fnu, never a variance",
    ),
    VariableSpec(
        "flam",
        _PIXEL,
        "float",
        FLAM_UNIT,
        {"long_name": "flux density f_lambda", "ancillary_variables": "flam_err dq"},
        "flux density per wavelength; attribute `origin` is `file` or `computed`",
    ),
    VariableSpec(
        "flam_err",
        _PIXEL,
        "float",
        FLAM_UNIT,
        {"long_name": "1-sigma error of f_lambda"},
        "standard deviation of flam",
    ),
    VariableSpec(
        "dq",
        _PIXEL,
        "mask",
        None,
        {"long_name": "pixel mask, 0 is good", "flag_masks": _FLAG_MASKS, "flag_meanings": _FLAG_MEANINGS},
        "uint8 bitmask of the pixel",
    ),
    VariableSpec(
        "resolving_power",
        _PIXEL,
        "float",
        "1",
        {"long_name": "resolving power of the disperser, wavelength / FWHM"},
        "for a uniformly lit shutter; of known dispersers, and of stacks also in the rest frame",
    ),
    VariableSpec(
        "fnu_cov",
        ("...", "lag"),
        "float",
        f"{FNU_UNIT}2",
        {"long_name": "covariance of fnu of pixels i and i + lag"},
        "covariance of pixels i and i + lag; of resampled, calibrated, stacked spectra, of measured noise",
    ),
    VariableSpec(
        "fnu_modes",
        ("...", "mode"),
        "float",
        FNU_UNIT,
        {"long_name": "errors that correlate all pixels: each adds mode_sign times its product with itself"},
        "errors common to all pixels, such as that of a calibration curve",
    ),
)
"""Variables over the pixels of one spectrum or of a collection."""


def _quantity(name: str, units: str | None, doc: str, dtype: str = "float") -> VariableSpec:
    return VariableSpec(name, _PIXEL, dtype, units, {"long_name": doc}, doc)


def _of_spectrum(name: str, units: str | None, doc: str, dtype: str = "float") -> VariableSpec:
    return VariableSpec(name, ("spectrum",), dtype, units, {"long_name": doc}, doc)


PHOTOMETRY: dict[str, VariableSpec] = _table(
    _quantity("flux", FNU_UNIT, "synthetic flux density f_nu"),
    _quantity("flux_err", FNU_UNIT, "1-sigma error of flux"),
    _quantity("coverage", None, "fraction of the throughput on good pixels"),
)
"""Variables of synthetic photometry, over ``band`` (and ``spectrum``)."""

LINES: dict[str, VariableSpec] = _table(
    _quantity("flux", "erg s-1 cm-2", "line flux"),
    _quantity("flux_err", "erg s-1 cm-2", "1-sigma error of flux"),
    _quantity("upper_limit", "erg s-1 cm-2", "flux, or 0, and 3 sigma"),
    _quantity("continuum", FLAM_UNIT, "continuum under the line"),
    _quantity("continuum_err", FLAM_UNIT, "1-sigma error of continuum"),
    _quantity("equivalent_width", "angstrom", "rest-frame equivalent width, emission > 0"),
    _quantity("equivalent_width_err", "angstrom", "1-sigma error of equivalent_width"),
    _quantity("coverage", None, "part of the line's profile on good pixels"),
    _quantity("blended", None, "more than 1 % of another known line is in the window", "bool"),
    _quantity("blend", None, "lines of which this is the total; empty for one by itself", "text"),
    _quantity("reason", None, "why the line is NaN; empty where it is measured", "text"),
    _quantity("window_flux", "erg s-1 cm-2", "line flux by integration"),
    _quantity("window_flux_err", "erg s-1 cm-2", "1-sigma error of window_flux"),
    _quantity("disagrees", None, "flux differs from window_flux by more than 3 sigma", "bool"),
    _quantity("fwhm", "km s-1", "FWHM of the line before the pixels"),
    _quantity("fwhm_err", "km s-1", "1-sigma error of fwhm"),
    _quantity("line_width", "km s-1", "FWHM of the line itself"),
    _quantity("line_width_err", "km s-1", "1-sigma error of line_width"),
)
"""Variables of line measurements, over ``line`` and ``spectrum``."""

BROAD: dict[str, VariableSpec] = _table(
    _quantity("broad_flux", "erg s-1 cm-2", "flux of the broad component, not part of flux"),
    _quantity("broad_flux_err", "erg s-1 cm-2", "1-sigma error of broad_flux"),
    _of_spectrum("broad_width", "km s-1", "FWHM of all broad components"),
    _of_spectrum("broad_width_err", "km s-1", "1-sigma error of broad_width"),
    _of_spectrum("broad_evidence", None, "how much lower the BIC is with broad components"),
)
"""What ``measure_lines(broad=True)`` adds to these."""

REDSHIFTS: dict[str, VariableSpec] = _table(
    _of_spectrum("redshift_fit", "1", "most probable redshift"),
    _of_spectrum("redshift_fit_err", "1", "1-sigma error of redshift_fit"),
    _of_spectrum("second_redshift", "1", "most probable redshift but the first"),
    _of_spectrum("odds", "1", "how many times as probable the first is as the second"),
    _of_spectrum("confidence", "percent", "probability of the first"),
    _of_spectrum("chi2", "1", "least chi-square"),
    _of_spectrum("disagrees", None, "differs from the redshift of the catalogue", "bool"),
)
"""Variables of fitted redshifts, over ``spectrum``."""


FIT: dict[str, VariableSpec] = _table(
    VariableSpec(
        "model",
        _PIXEL,
        "float",
        FNU_UNIT,
        {"long_name": "model of f_nu fitted to the spectrum"},
        "fitted model on the pixels; attributes `tool`, `tool_version` and the origin of the fit",
    ),
    VariableSpec(
        "fine_model",
        ("model_wavelength",),
        "float",
        FNU_UNIT,
        {"long_name": "model of f_nu fitted to the spectrum"},
        "the same on wavelengths of its own",
    ),
    VariableSpec(
        "model_wavelength",
        ("model_wavelength",),
        "float",
        WAVE_UNIT,
        {"long_name": "wavelength in vacuum of the model", "medium": "vacuum"},
        "of `fine_model`",
    ),
    VariableSpec(
        "parameter_value", ("parameter",), "float", None, {"long_name": "fitted value"}, "of each `parameter`"
    ),
    VariableSpec(
        "parameter_err_lo",
        ("parameter",),
        "float",
        None,
        {"long_name": "1-sigma error to lower values"},
        "positive; NaN where there is none",
    ),
    VariableSpec(
        "parameter_err_hi",
        ("parameter",),
        "float",
        None,
        {"long_name": "1-sigma error to higher values"},
        "positive; NaN where there is none",
    ),
    VariableSpec(
        "parameter_unit",
        ("parameter",),
        "text",
        None,
        {"long_name": "unit of value and errors"},
        "empty where there is none",
    ),
)
"""Variables of a model that was fitted to one spectrum."""


def attrs_of(name: str) -> dict[str, Any]:
    """Return a fresh attribute dictionary (CF names) for one variable of :data:`VARIABLES` or :data:`FIT`."""
    spec = VARIABLES[name] if name in VARIABLES else FIT[name]
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


def attr_text(attrs: Mapping[Any, Any], name: str, default: str = "") -> str:
    """Return an attribute as text: what a file or a program has put there may be of any type.

    Examples
    --------
    >>> attr_text({"units": "uJy"}, "units"), attr_text({"units": np.array([1, 2])}, "units")
    ('uJy', '[1 2]')
    """
    value = attrs.get(name)
    return default if value is None else str(value)


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
    try:
        given = np.asarray(mask)
    except ValueError:  # ragged
        given = np.asarray(None)
    if given.shape != bad.shape or given.dtype != np.bool_:
        raise ValidationError(
            f"mask is {given.dtype} of shape {given.shape}",
            hint=f"pass booleans of shape {bad.shape}, True for pixels not to be used",
        )
    result: BoolArray = bad | given
    return result
