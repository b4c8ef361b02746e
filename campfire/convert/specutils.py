"""``SpectrumFields`` to ``specutils.Spectrum`` and back; foreign spectra are converted on the way in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.convert.header_json import plain_header
from campfire.errors import ValidationError
from campfire.formats.hdu_writer import fits_header
from campfire.installation import missing_extra
from campfire.schema import normalise_mask
from campfire.units import FLAM_UNIT, FNU_UNIT, RELATIVE, WAVE_UNIT, to_flam, to_microjansky, to_micron

if TYPE_CHECKING:
    from specutils import Spectrum

    from campfire.typing import FloatArray, SpectrumFields

__all__ = ["from_specutils", "to_specutils"]

# What specutils has no place for travels in meta under this key.
_META = "campfire"
_EXTRA = ("flam", "flam_err", "covariance", "resolving_power", "fnu_units", "flam_units", "wave_units")


def _fingerprint(wavelength: FloatArray, fnu: FloatArray, fnu_err: FloatArray) -> str:
    """Identify the pixels, so that stored f_lambda and covariance are not used for changed ones."""
    digest = hashlib.sha256()
    for array in (wavelength, fnu, fnu_err):
        digest.update(str(array.dtype).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def to_specutils(fields: SpectrumFields) -> Spectrum:
    """Make a ``specutils.Spectrum``.

    Parameters
    ----------
    fields
        The fields of a ``SpectrumData``.

    Returns
    -------
    specutils.Spectrum
        Spectral axis in microns, flux in microjansky (dimensionless if relative), ``StdDevUncertainty``,
        mask; ``meta`` has ``header`` (an ``astropy.io.fits.Header``), ``spectrum_id``, ``grating``,
        ``redshift``, ``fits_path`` and, under ``campfire``, what else is needed for the exact way back.

    Raises
    ------
    ImportError
        If specutils is not installed.
    ValidationError
        If the wavelengths neither only rise nor only fall, which specutils does not take.
    """
    try:
        from specutils import Spectrum
    except ImportError as err:
        raise missing_extra("this needs specutils", "specutils") from err
    import astropy.units as u
    from astropy.nddata import StdDevUncertainty

    wavelength, fnu, fnu_err = fields["wavelength"], fields["fnu"], fields["fnu_err"]
    steps = np.diff(wavelength)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValidationError(
            "the wavelengths are not monotonic, which specutils refuses", hint="sort the pixels first"
        )
    extra: dict[str, Any] = {name: fields.get(name) for name in _EXTRA} | {"header": dict(fields["header"])}
    extra["fingerprint"] = _fingerprint(wavelength, fnu, fnu_err)
    unit = u.dimensionless_unscaled if fields.get("fnu_units") == RELATIVE else u.uJy
    return Spectrum(
        spectral_axis=u.Quantity(wavelength, u.um),
        flux=u.Quantity(fnu, unit),
        uncertainty=StdDevUncertainty(fnu_err, unit=unit),
        mask=normalise_mask(fnu, fnu_err, fields.get("mask")),
        meta={
            "header": fits_header(fields["header"]),
            "spectrum_id": fields["spectrum_id"],
            "grating": fields["grating"],
            "redshift": fields.get("redshift"),
            "fits_path": fields.get("fits_path"),
            _META: extra,
        },
    )


def from_specutils(spectrum: Any) -> SpectrumFields:
    """Return the fields of a ``specutils.Spectrum``, whoever made it.

    Parameters
    ----------
    spectrum
        One-dimensional, spectral axis in any unit of length, frequency or energy, flux density in any f_nu
        or f_lambda unit, with an uncertainty of any kind that has a standard deviation. A falling axis
        is turned round. Wavelengths are taken to be in vacuum.

    Raises
    ------
    ValidationError
        For several dimensions, an axis that is not monotonic, another kind of flux, or no uncertainty.
    """
    absent = [name for name in ("flux", "spectral_axis", "uncertainty") if not hasattr(spectrum, name)]
    if absent:
        raise ValidationError(
            f"a {type(spectrum).__name__} is no specutils.Spectrum (it has no {absent[0]})",
            hint="pass a specutils.Spectrum",
        )
    flux = spectrum.flux
    if np.ndim(flux) != 1:
        raise ValidationError(
            f"spectrum has shape {np.shape(flux)}", hint="convert the rows one by one, spectrum[i]"
        )
    wavelength = _own(to_micron(spectrum.spectral_axis))
    steps = np.diff(wavelength)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValidationError("the spectral axis is not monotonic", hint="sort the pixels first")
    error = _standard_deviation(spectrum)
    meta = spectrum.meta if isinstance(spectrum.meta, Mapping) else {}
    known = isinstance(meta.get(_META), Mapping)
    extra: Mapping[str, Any] = meta[_META] if known else {}
    if extra.get("fnu_units") == RELATIVE:
        flux, error = flux.value, error.value
    fnu, fnu_err = _own(to_microjansky(flux, wavelength)), _own(to_microjansky(error, wavelength))
    same = extra.get("fingerprint") == _fingerprint(wavelength, fnu, fnu_err)
    header = meta.get("header")
    fields: SpectrumFields = {
        "wavelength": wavelength,
        "fnu": fnu,
        "fnu_err": fnu_err,
        "header": _known_header(extra.get("header"), header) if known else _foreign_header(meta),
        "grating": str(meta.get("grating") or ""),
        "spectrum_id": str(meta.get("spectrum_id") or ""),
        "flam": extra.get("flam") if same else None,
        "flam_err": extra.get("flam_err") if same else None,
        "fits_path": meta.get("fits_path"),
        "fnu_units": extra.get("fnu_units") or FNU_UNIT,
        "flam_units": extra.get("flam_units") or FLAM_UNIT,
        "wave_units": extra.get("wave_units") or WAVE_UNIT,
        "mask": normalise_mask(fnu, fnu_err, _mask(spectrum)),
        "redshift": meta.get("redshift"),
        "covariance": extra.get("covariance") if same else None,
        "resolving_power": extra.get("resolving_power") if same else None,
    }
    if known:
        return fields
    if flux.unit.is_equivalent(FLAM_UNIT):  # keep what was measured, not only what follows from it
        fields["flam"], fields["flam_err"] = _own(to_flam(flux)), _own(to_flam(error))
    return _ascending(fields)


def _own(values: Any) -> Any:
    # A copy: arrays of specutils are often views, or read-only.
    array = np.array(values, copy=True)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _mask(spectrum: Any) -> Any:
    mask = spectrum.mask
    if mask is None:
        return None
    # Some loaders keep the integer bitmask of the file: any bit means do not use.
    return np.broadcast_to(np.asarray(mask) != 0, np.shape(spectrum.flux))


def _standard_deviation(spectrum: Any) -> Any:
    import astropy.units as u
    from astropy.nddata import StdDevUncertainty

    uncertainty = spectrum.uncertainty
    if uncertainty is None:
        raise ValidationError(
            "the spectrum has no uncertainty", hint="set spectrum.uncertainty = StdDevUncertainty(...)"
        )
    if isinstance(uncertainty, StdDevUncertainty):
        deviation = uncertainty
    else:
        with np.errstate(divide="ignore", invalid="ignore"):  # no weight: an infinite error, masked below
            try:
                deviation = uncertainty.represent_as(StdDevUncertainty)
            except (TypeError, ValueError, AttributeError) as err:
                raise ValidationError(
                    f"{type(uncertainty).__name__} has no standard deviation",
                    hint="use StdDevUncertainty, VarianceUncertainty or InverseVariance",
                ) from err
    return u.Quantity(deviation.array, deviation.unit or spectrum.flux.unit)


def _known_header(stored: Any, header: Any) -> dict[str, Any]:
    """Return the header as it was, with all that FITS cannot say, unless somebody changed it since."""
    if stored is not None and hasattr(header, "cards") and fits_header(stored) == header:
        return plain_header(stored)
    return plain_header(header)


def _foreign_header(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the cards and entries that a header can hold; anything else (WCS, images) stays behind."""
    header: dict[str, Any] = {}
    nested = meta.get("header")
    sources: list[Mapping[Any, Any]] = [{key: value for key, value in meta.items() if key != "header"}]
    if hasattr(nested, "cards"):
        sources.insert(0, plain_header(nested))
    elif isinstance(nested, Mapping):
        sources.insert(0, nested)
    for source in sources:
        for key, value in source.items():
            try:
                header |= plain_header({key: value})
            except ValidationError:
                continue
    return header


def _ascending(fields: SpectrumFields) -> SpectrumFields:
    wavelength = fields["wavelength"]
    if wavelength.size < 2 or wavelength[0] < wavelength[-1]:
        return fields
    arrays: dict[str, Any] = {
        name: np.ascontiguousarray(values[::-1])
        for name, values in fields.items()
        if isinstance(values, np.ndarray)
    }
    fields.update(arrays)  # type: ignore[typeddict-item]
    return fields
