"""Flux calibration against broadband photometry: of a spectrum, and of every row of a collection."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.calibration_covariance import measured_bands, mode_slots
from campfire.analysis.calibration_result import CalibrationResult
from campfire.analysis.frames import check_frames
from campfire.analysis.inputs import as_spectrum, with_history
from campfire.analysis.photometry import resolve_bands
from campfire.analysis.photometry_fit import CalibrationMethod, PhotometryFit, check_options, fit_photometry
from campfire.collection.blockwise import check_collection, is_lazy, over_rows
from campfire.collection.covariance import correlations, fit_bands, row_matrices
from campfire.collection.gridding import flam_variables
from campfire.convert import append_history, banded
from campfire.convert.covariance import COVARIANCE_ATTRS, MODE_ATTRS
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.grids import good_pixels
from campfire.models import Photometry, SpectrumData
from campfire.schema import PixelDQ, attrs_of
from campfire.text import text_variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from campfire.analysis.inputs import SpectrumLike
    from campfire.typing import BandpassLike, FloatArray

__all__ = [
    "CALIBRATED",
    "CalibrationMethod",
    "CalibrationResult",
    "calibrate_collection",
    "calibrate_to_photometry",
]

CALIBRATED = "calibrated to photometry"
"""How the line begins that a calibration leaves in the HISTORY of a header."""

_FLOAT = np.dtype(np.float64)
_OUTPUTS: dict[str, np.dtype[Any]] = {
    "fnu": _FLOAT,
    "fnu_err": _FLOAT,
    "dq": np.dtype(np.uint8),
    "multiplier": _FLOAT,
    "multiplier_err": _FLOAT,
    "calibration_chi2": _FLOAT,
    "calibration_degree": np.dtype(np.int16),
    "n_bands": np.dtype(np.int16),
}
_A_ROW = {
    "calibration_chi2": {"long_name": "chi2 of the calibration"},
    "calibration_degree": {"long_name": "degree of the calibration curve; n_bands - 1: through all bands"},
    "n_bands": {"long_name": "bands of the calibration; 0: the spectrum could not be calibrated"},
}
_A_PIXEL = {
    "multiplier": {"long_name": "calibration curve"},
    "multiplier_err": {"long_name": "1-sigma error of the calibration curve"},
}


def calibrate_to_photometry(
    spectrum: SpectrumLike,
    photometry: Photometry,
    method: CalibrationMethod = "chebyshev",
    bands: Sequence[str | BandpassLike] | None = None,
    degree: int | None = None,
    min_snr: float = 0.5,
    *,
    error_floor: float = 0.0,
) -> CalibrationResult:
    """Fit a smooth curve that brings the spectrum's synthetic photometry onto the observed one.

    The fit is done in flux, with the errors of photometry and spectrum, so bands of any sign and S/N are
    used. The curve is a Chebyshev polynomial, constant outside the outermost pivots, and cut to the
    range 0.1 to 50 with a warning.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum.
    photometry
        Observed fluxes.
    method
        ``"chebyshev"``, or ``"flat"`` for one factor.
    bands
        Names of bands of ``photometry``, or curves with such a name. By default all bands that have a curve,
        a measurement, at least 95 % of their throughput on good pixels, and ``min_snr``.
    degree
        Of the polynomial, at most the number of bands less one. By default the one from 0 to 3 for which the
        bands have evidence: that of the least chi2 + 2 (degree + 1) (Akaike 1974). What other degrees differ
        by, as likely as they are, is part of the error of the curve then.
    min_snr
        Bands chosen by default must be able to measure the curve at this S/N: the flux that the spectrum, or
        spectrum and photometry together, see in the band, over both errors, with the spectrum brought to
        the level of the photometry by one ratio, the median of all bands, so that its flux scale does not
        matter. Upper limits and negative fluxes count, and the choice does not prefer noise of one sign.
    error_floor
        Fraction of the photometric flux added to its error in quadrature.

    Returns
    -------
    CalibrationResult
        With the calibrated ``spectrum``, the ``multiplier`` and its error, and what the fit used.

    Raises
    ------
    ValidationError
        For a band that is not in the photometry or has no curve, if no band is left, for options out of
        range, and for a spectrum that is in the rest frame or normalised.

    Warns
    -----
    CampfireWarning
        Where a degree that was not given is such that the curve goes through all bands.

    Examples
    --------
    >>> wave = np.linspace(0.6, 5.3, 400)
    >>> spec = SpectrumData(wave, np.full(400, 1.0), np.full(400, 0.1), {}, "PRISM", "demo")
    >>> phot = Photometry(["f150w", "f277w", "f444w"], [2.0, 2.0, 2.0], [0.1, 0.1, 0.1], [1.5, 2.8, 4.4])
    >>> result = calibrate_to_photometry(spec, phot)
    >>> result
    CalibrationResult(demo, chebyshev, 3 bands, degree 0, χ²=0.0 for dof 2)
    >>> result.multiplier.round(6)[[0, 200, 399]]
    array([2., 2., 2.])
    """
    check_options(method, degree, min_snr, error_floor, photometry)
    data = as_spectrum(spectrum)
    check_frames([data], "calibration")
    found = fit_photometry(data, photometry, method, bands, degree, min_snr, error_floor)
    fit, curves = found.fit, found.used.values()
    result = CalibrationResult(
        spectrum=_spectrum(data, found, method, photometry.catalog),
        original=data,
        multiplier=fit.multiplier,
        method=method,
        bands_used=list(found.used),
        observed_flux=found.observed,
        observed_flux_err=found.observed_err,
        synthetic_flux=fit.synthetic,
        synthetic_flux_err=fit.synthetic_err,
        band_wavelengths=np.array([curve.pivot for curve in curves]),
        multiplier_err=fit.multiplier_err,
        chi2=fit.chi2,
        coverage=found.coverage,
        degree=len(fit.coefficients) - 1,
        coefficients=fit.coefficients,
        coefficient_covariance=fit.covariance,
        clipped=fit.clipped,
        provenance=[curve.provenance for curve in curves],
        fit=fit,
    )
    if result.dof == 0 and result.degree and degree is None:
        bands_used = ", ".join(result.bands_used)
        warnings.warn(
            f"the calibration curve of {data.spectrum_id or 'the spectrum'} goes through all its bands "
            f"({bands_used}): nothing tells whether it is right",
            CampfireWarning,
            stacklevel=2,
        )
    return result


def _spectrum(data: SpectrumData, found: PhotometryFit, method: str, catalog: str) -> SpectrumData:
    """Return the calibrated spectrum with its header."""
    fields = data.to_fields()
    fields["fnu"], fields["fnu_err"], fields["covariance"] = found.fnu, found.fnu_err, found.covariance
    if fields.get("flam") is not None:
        fields["flam"] = data.flam * found.fit.multiplier
    fields["flam_err"] = None
    cards: dict[str, Any] = {
        "CALMETH": method,
        "CALDEG": len(found.fit.coefficients) - 1,
        "CALDOF": len(found.used) - len(found.fit.coefficients),
        "CALBANDS": ",".join(found.used),
        "CALCHI2": round(found.fit.chi2, 4),
        "CALPHOT": catalog,
    }
    provenance = "; ".join(curve.provenance for curve in found.used.values())
    line = f"{CALIBRATED}, {method} of degree {cards['CALDEG']}, dof {cards['CALDOF']}: {provenance}"
    fields["header"] = with_history(data.header, line, **cards)
    return SpectrumData(**fields)


def calibrate_collection(
    ds: xr.Dataset,
    photometry: Photometry | Mapping[str, Photometry | None],
    method: CalibrationMethod = "chebyshev",
    bands: Sequence[str | BandpassLike] | None = None,
    degree: int | None = None,
    min_snr: float = 0.5,
    *,
    error_floor: float = 0.0,
) -> xr.Dataset:
    """Calibrate every spectrum of a collection to photometry; lazy stays lazy.

    Parameters
    ----------
    ds
        A collection with the coordinate ``object_id``.
    photometry
        Object id -> photometry; or one for all spectra.
    method, bands, degree, min_snr, error_floor
        As for :func:`~campfire.calibrate_to_photometry`, whose fit is used.

    Returns
    -------
    xarray.Dataset
        The collection with calibrated fluxes, whose errors hold those of the curves. What a curve does to all
        pixels of its spectrum is in ``fnu_modes`` (spectrum, pixel, mode), whose coordinates ``mode_sign``
        and ``measurement`` say what each is; what spectra share does not average down in a stack. With
        ``multiplier``, ``multiplier_err`` a pixel, ``calibration_chi2``, ``calibration_degree`` and
        ``n_bands`` a spectrum. A spectrum that cannot be calibrated (no photometry of its object, no band
        that it covers) has ``n_bands`` 0 and is masked throughout: it must not pass for a calibrated one.

    Raises
    ------
    ValidationError
        If there is photometry for none of the spectra, for options out of range, and for spectra that are in
        the rest frame or normalised.
    """
    check_collection(ds)
    check_frames([ds], "calibration")
    of_row = _photometry_of(ds, photometry)
    for entry in {id(p): p for p in of_row if p is not None}.values():
        check_options(method, degree, min_snr, error_floor, entry)
    curves = None if bands is None else resolve_bands(bands)
    dims = ds["fnu"].dims
    found = {id(p): measured_bands(p, curves, error_floor) for p in of_row if p is not None}
    slots = mode_slots(ds, [found.get(id(p)) for p in of_row], method, degree)
    function = partial(
        _calibrate_rows, method=method, bands=curves, degree=degree, min_snr=min_snr, error_floor=error_floor
    )
    correlated = correlations(ds)
    kinds: dict[str, np.dtype[Any]] = {"fnu_modes": np.dtype((np.float64, (slots.signs.shape[1],)))}
    if "fnu_cov" in ds:
        kinds["fnu_cov"] = np.dtype((np.float64, (ds.sizes["lag"],)))
    beside = [of_row, slots.signs, slots.labels, *correlated]
    groups = [_OUTPUTS, kinds] if is_lazy(ds) else [_OUTPUTS | kinds]  # modes are not made unless asked for
    fields: dict[str, Any] = {}
    for group in groups:
        call = partial(function, modes="fnu_modes" in group)
        fields |= over_rows(ds, call, group, ds["fnu"].shape[1], *beside)
    result = ds.drop_vars([str(name) for name in ds.variables if "mode" in ds[name].dims])
    result = result.assign({name: (dims, fields[name], attrs_of(name)) for name in ("fnu", "fnu_err", "dq")})
    result = result.assign(flam_variables(result))
    if "fnu_cov" in fields:
        result["fnu_cov"] = ((*dims, "lag"), fields["fnu_cov"], dict(COVARIANCE_ATTRS))
    result["fnu_modes"] = ((*dims, "mode"), fields["fnu_modes"], dict(MODE_ATTRS["fnu_modes"]))
    result = result.assign_coords(
        # an index, so that collections of different numbers can be joined
        mode=("mode", np.arange(slots.signs.shape[1]), {"long_name": "number of the error"}),
        mode_sign=(("spectrum", "mode"), slots.signs, dict(MODE_ATTRS["mode_sign"])),
        measurement=text_variable(("spectrum", "mode"), slots.labels, MODE_ATTRS["measurement"]),
    )
    result = result.assign({name: (dims, fields[name], attrs) for name, attrs in _A_PIXEL.items()})
    result = result.assign({name: ("spectrum", fields[name][:, 0], attrs) for name, attrs in _A_ROW.items()})
    with_it = sum(p is not None for p in of_row)
    if with_it < len(of_row):
        warnings.warn(
            f"{len(of_row) - with_it} of {len(of_row)} spectra have no photometry and come out masked",
            CampfireWarning,
            stacklevel=2,
        )
    bands_of = dict.fromkeys(line for lines in found.values() for line in lines.values())
    step = f"{CALIBRATED}, {method}: {with_it} of {len(of_row)} spectra have photometry; "
    return append_history(result, step + "; ".join(bands_of))


def _photometry_of(ds: xr.Dataset, photometry: object) -> NDArray[np.object_]:
    """Return the photometry of every row, None where there is none."""
    of_row = np.empty(ds.sizes["spectrum"], dtype=object)
    if isinstance(photometry, Photometry):
        of_row.fill(photometry)
        return of_row
    if not isinstance(photometry, Mapping):
        raise ValidationError(
            f"photometry is {type(photometry).__name__}",
            hint="pass object id -> Photometry, or one Photometry",
        )
    if "object_id" not in ds.coords:
        raise ValidationError("the collection has no 'object_id'", hint="pass one Photometry for all spectra")
    names = ds["object_id"].values.tolist()
    for row, name in enumerate(names):
        entry = photometry.get(name)
        if entry is not None and not isinstance(entry, Photometry):
            raise ValidationError(
                f"photometry of {name!r} is {type(entry).__name__}", hint="pass a Photometry"
            )
        of_row[row] = entry
    if names and all(entry is None for entry in of_row):
        raise ValidationError(
            f"photometry of {len(photometry)} objects, of none of the {len(set(names))} in the collection",
            hint=f"its keys are object ids, such as {names[0]!r}",
        )
    return of_row


def _calibrate_rows(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    photometry: NDArray[np.object_],
    signs: FloatArray,
    labels: NDArray[np.object_],
    *correlated: NDArray[Any],
    modes: bool,
    **options: Any,
) -> dict[str, NDArray[Any]]:
    shape = fnu.shape
    result = {name: np.full(shape, np.nan) for name in ("fnu", "fnu_err", "multiplier", "multiplier_err")}
    # One value a row, repeated along it: all that a block gives has one shape.
    result["calibration_chi2"] = np.full(shape, np.nan)
    result["n_bands"] = np.zeros(shape, dtype=np.int16)
    result["calibration_degree"] = np.zeros(shape, dtype=np.int16)
    bad = np.uint8(PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR)
    result["dq"] = np.where(dq & PixelDQ.OUTSIDE, dq, dq | bad)
    result["fnu_modes"] = np.zeros((*shape, signs.shape[1]))
    lags = (correlated[0].shape[1] // shape[1] - _count(correlated)) if correlated else 1
    result["fnu_cov"] = np.zeros((*shape, lags))
    former = row_matrices(*correlated, good=good_pixels(fnu, fnu_err, dq != 0)) if correlated else None
    for row, entry in enumerate(photometry):
        wave = wavelength if wavelength.ndim == 1 else wavelength[row]
        inside = np.flatnonzero(np.isfinite(wave))
        if entry is None or inside.size < 2:
            continue
        data = SpectrumData(
            wave[inside], fnu[row, inside], fnu_err[row, inside], {}, "", "", mask=dq[row, inside] != 0
        )
        if former is not None:
            data.covariance = former[row].at(inside).plain
        try:
            found = fit_photometry(data, entry, **options)
        except ValidationError:
            continue  # n_bands says so
        fit, total = found.fit, found.covariance
        result["fnu"][row, inside] = found.fnu
        result["fnu_err"][row, inside] = found.fnu_err
        result["dq"][row] = dq[row]
        result["multiplier"][row, inside] = fit.multiplier
        result["multiplier_err"][row, inside] = fit.multiplier_err
        result["calibration_chi2"][row] = fit.chi2
        result["n_bands"][row] = len(found.used)
        result["calibration_degree"][row] = len(fit.coefficients) - 1
        if modes:
            result["fnu_modes"][row, inside] = total.in_slots(signs[row], labels[row].tolist())
            result["fnu_cov"][row, inside] = fit_bands(banded(total.near), lags)
    return result


def _count(correlated: Sequence[NDArray[Any]]) -> int:
    return correlated[1].shape[1] if len(correlated) > 1 else 0
