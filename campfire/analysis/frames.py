"""In which frame and unit spectra are, and which of them each operation takes.

A spectrum is as observed, or in the rest frame of its source; its fluxes are absolute, or relative to a
level. Header, attributes and units say which; this module alone reads them, and :data:`OPERATIONS` alone says
what takes what.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from campfire.convert import load_header
from campfire.convert.dataset import REST_WAVELENGTH
from campfire.errors import CampfireWarning, ValidationError
from campfire.models import SpectrumData
from campfire.schema import attr_text, in_rest_frame
from campfire.units import FNU_UNIT, RELATIVE, filled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

    from campfire.typing import FloatArray

    Spectra: TypeAlias = SpectrumData | xr.Dataset

__all__ = [
    "OPERATIONS",
    "Frame",
    "Takes",
    "as_redshifts",
    "check_frames",
    "frame_cards",
    "frame_of",
    "source_redshifts",
]


class Frame(NamedTuple):
    """Frame and unit of a spectrum, or of all spectra of a collection.

    ``source`` is the redshift that observed wavelengths were divided by, less 1: 0 as observed, None where it
    is not known or not one.
    """

    rest: bool
    relative: bool
    source: float | None


class Takes(NamedTuple):
    """What an operation takes beside observed spectra in absolute units; hints say what would work."""

    rest: bool = True
    relative: bool = True
    hint: str = ""


OPERATIONS = {
    "calibration": Takes(
        rest=False,
        relative=False,
        hint="calibrate the spectra as observed, before to_restframe(), redshift= and normalize=",
    ),
    "synthetic photometry": Takes(
        rest=False,
        hint="measure bands before to_restframe() or redshift=; "
        "campfire.synthetic_photometry(wavelength, fnu, fnu_err, band) takes arrays in any frame",
    ),
    "to_restframe": Takes(hint="it was moved there before; begin with the spectrum as observed"),
    "lines": Takes(hint="leave redshift= out, or pass 0: it is applied already"),
    "stacking": Takes(hint="leave redshift= out, or pass 0 for those: it is applied already"),
    "noise": Takes(
        rest=False, hint="measure and apply it before to_restframe(), redshift= and anything that resamples"
    ),
    "redshifts": Takes(rest=False, hint="fit them before to_restframe() and redshift="),
    "this hand-off": Takes(
        rest=False,
        relative=False,
        hint="hand over the spectrum as observed, before to_restframe(), redshift= and normalize=",
    ),
}
"""Operation -> what it takes; resampling, and whatever else is not here, takes all."""


def frame_of(spectra: Spectra) -> Frame:
    """Return in which frame and unit a spectrum is, or the Dataset of one or of many.

    Examples
    --------
    >>> spec = SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.1], {"SPECSYS": "SOURCE", "ZSOURCE": 2.0}, "", "")
    >>> frame_of(spec)
    Frame(rest=True, relative=False, source=2.0)
    """
    if isinstance(spectra, SpectrumData):
        header: Mapping[str, Any] = spectra.header
        rest, units = in_rest_frame(header), spectra.fnu_units
    else:
        header = load_header(spectra.attrs.get("fits_header", "{}"))
        rest = in_rest_frame(header) or attr_text(spectra["wavelength"].attrs, "long_name") == REST_WAVELENGTH
        units = attr_text(spectra["fnu"].attrs, "units")
        if not units and "spectrum" in spectra["fnu"].dims:  # of one spectrum its reader says so
            warnings.warn(
                f"fnu has no unit; it is taken to be in {FNU_UNIT}. Say so with ds.fnu.attrs['units'] = ...",
                CampfireWarning,
                stacklevel=4,
            )
    return Frame(rest, units == RELATIVE, _source(header) if rest else 0.0)


def _source(header: Mapping[str, Any]) -> float | None:
    names = ("STACKZLO", "STACKZHI") if header.get("STACKFRM") == "rest" else ("ZSOURCE", "ZSOURCE")
    values = [header.get(name) for name in names]
    known = [float(v) for v in values if isinstance(v, int | float) and np.isfinite(v)]
    return known[0] if len(known) == 2 and known[0] == known[1] else None


def frame_cards(frame: Frame) -> dict[str, Any]:
    """Return the header cards that say a frame; none as observed."""
    if not frame.rest:
        return {}
    return {"SPECSYS": "SOURCE"} | ({} if frame.source is None else {"ZSOURCE": frame.source})


def check_frames(
    spectra: Sequence[Spectra], operation: str, shifts: FloatArray | float | None = None
) -> list[Frame]:
    """Return the frame of every spectrum (or collection), after a check that an operation takes them.

    Parameters
    ----------
    spectra
        Those that go into one result.
    operation
        One of :data:`OPERATIONS`.
    shifts
        Redshifts by which the operation moves them, or at which it looks for lines: one for all, or one a
        spectrum; of a collection one a row.

    Raises
    ------
    ValidationError
        For a frame or unit that the operation does not take, for spectra of both kinds that would become one
        result, and for a redshift of a spectrum from which it was taken out already.
    """
    takes, frames = OPERATIONS[operation], [frame_of(entry) for entry in spectra]
    rest = np.array([frame.rest for frame in frames], dtype=bool)
    relative = np.array([frame.relative for frame in frames], dtype=bool)
    if rest.any() and not takes.rest:
        raise ValidationError(
            f"{operation} needs wavelengths as observed, {_which(spectra, rest)} in the rest frame",
            hint=takes.hint,
        )
    if relative.any() and not takes.relative:
        raise ValidationError(
            f"{operation} needs absolute fluxes, {_which(spectra, relative)} relative (normalised)",
            hint=takes.hint,
        )
    if relative.any() and not relative.all():
        raise ValidationError(
            f"some of the spectra are normalised, others are not: {_which(spectra, relative)} relative",
            hint="pass spectra of one unit",
        )
    if shifts is not None and np.any(rest & (np.asarray(shifts) != 0)):
        raise ValidationError(
            f"a redshift other than 0 is given, but {_which(spectra, rest)} in the rest frame",
            hint=takes.hint,
        )
    if shifts is None and operation == "stacking" and rest.any() and not rest.all():
        raise ValidationError(
            f"some of the spectra are in the rest frame, others as observed: {_which(spectra, rest)} there",
            hint="pass redshift=, one value a spectrum and 0 for those in the rest frame",
        )
    return frames


def _which(spectra: Sequence[Spectra], those: Any) -> str:
    found = [entry for entry, hit in zip(spectra, those, strict=True) if hit]
    names = [_name(entry) for entry in found]
    listed = ", ".join(names[:3]) + ("..." if len(names) > 3 else "")
    return f"{listed} {'is' if len(names) == 1 else 'are'}"


def _name(spectra: Spectra) -> str:
    if isinstance(spectra, SpectrumData):
        return spectra.spectrum_id or "the spectrum"
    if "spectrum" in spectra.sizes:
        return "the collection"
    return str(spectra["spectrum_id"].item() if "spectrum_id" in spectra.coords else "") or "the spectrum"


def redshift_numbers(redshift: Any, name: str = "redshift") -> FloatArray:
    """Return redshifts as plain numbers, NaN where they are masked, None or missing; shape () or (n,).

    Raises
    ------
    ValidationError
        For text, truth values, or anything else that is no number.

    Examples
    --------
    >>> redshift_numbers([1, None, np.ma.masked]), redshift_numbers(np.ma.masked)
    (array([ 1., nan, nan]), array(nan))
    """
    try:
        given = filled(redshift)
        if getattr(given, "unit", None) is not None:  # a UnitConversionError is a TypeError
            given = given.to_value("")
        values = np.empty(0, dtype=object) if given is None else np.asarray(_unmasked(given), dtype=object)
        if any(isinstance(item, str | bytes | bool | np.bool_) for item in values.ravel().tolist()):
            raise TypeError("text or a truth value")
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValidationError(f"{name}={redshift!r}"[:200], hint="pass one number a spectrum") from err


def _unmasked(given: Any) -> Any:
    if not isinstance(given, list | tuple):
        return given
    missing = (item is None or item is np.ma.masked or type(item).__name__ == "NAType" for item in given)
    return [np.nan if gone else item for gone, item in zip(missing, given, strict=True)]


def as_redshifts(redshift: Any, n: int) -> FloatArray | None:
    """Return one redshift a spectrum, shape (n,), of one for all or one each; None of None.

    Raises
    ------
    ValidationError
        If they are not numbers above -1, or of another number than the spectra.

    Examples
    --------
    >>> as_redshifts(2.0, 3)
    array([2., 2., 2.])
    """
    if redshift is None:
        return None
    values = redshift_numbers(redshift)
    values = np.full(n, float(values)) if values.ndim == 0 else values
    if values.shape != (n,):
        raise ValidationError(f"{values.size} redshifts for {n} spectra", hint="pass one redshift a spectrum")
    unknown = ~(np.isfinite(values) & (values > -1))
    if unknown.any():
        raise ValidationError(
            f"{int(unknown.sum())} of {n} spectra have no redshift, or one that is not above -1",
            hint="pass one redshift a spectrum; .campfire.select(redshift_range=(0, None)) leaves out others",
        )
    return values


def source_redshifts(frames: Sequence[Frame], shifts: FloatArray | None) -> FloatArray | None:
    """Return what the wavelengths of a result were divided by, one value a spectrum, less 1.

    None where the result is as observed; NaN for one that was in the rest frame of an unknown redshift.
    """
    if shifts is None and not any(frame.rest for frame in frames):
        return None
    moved = np.zeros(len(frames)) if shifts is None else shifts
    known = [np.nan if frame.source is None else frame.source for frame in frames]
    return np.where([frame.rest for frame in frames], known, moved)
