"""Calibration of collections: every row against the photometry of its object."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.calibrate import (
    CALIBRATED,
    CalibrationMethod,
    check_options,
    fit_photometry,
    measurement_labels,
    measurements,
    own_covariance,
)
from campfire.analysis.frames import check_frames
from campfire.analysis.photometry import resolve_bands
from campfire.collection.blocks import check_collection, is_lazy, over_rows
from campfire.collection.correlation import correlations, fit_bands, row_matrices
from campfire.collection.gridding import flam_variables
from campfire.convert import append_history, banded
from campfire.convert.covariance import COVARIANCE_ATTRS, MODE_ATTRS
from campfire.errors import CampfireWarning, ValidationError
from campfire.formats.bandpasses import resolve_band
from campfire.kernels.continuum import MAX_DEGREE
from campfire.kernels.grids import good_pixels
from campfire.models import Photometry, SpectrumData
from campfire.schema import GRIDDED, PixelDQ, attrs_of
from campfire.text import text_variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from campfire.kernels.bandpass import Bandpass
    from campfire.typing import BandpassLike, FloatArray

__all__ = ["calibrate_collection"]

_RANGE = (0.5, 5.6)  # microns: pivots of bands that NIRSpec covers
_FLOAT = np.dtype(np.float64)
_OUTPUTS: dict[str, np.dtype[Any]] = {
    "fnu": _FLOAT,
    "fnu_err": _FLOAT,
    "dq": np.dtype(np.uint8),
    "multiplier": _FLOAT,
    "multiplier_err": _FLOAT,
    "calibration_chi2": _FLOAT,
    "n_bands": np.dtype(np.int16),
}
_A_ROW = {
    "calibration_chi2": {"long_name": "chi2 of the calibration"},
    "n_bands": {"long_name": "bands of the calibration; 0: the spectrum could not be calibrated"},
}
_A_PIXEL = {
    "multiplier": {"long_name": "calibration curve"},
    "multiplier_err": {"long_name": "1-sigma error of the calibration curve"},
}


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
        As for :func:`campfire.analysis.calibrate.calibrate_to_photometry`, whose fit is used.

    Returns
    -------
    xarray.Dataset
        The collection with calibrated fluxes, whose errors hold those of the curves. What a curve does to all
        pixels of its spectrum is in ``fnu_modes`` (spectrum, pixel, mode), whose coordinates ``mode_sign``
        and ``measurement`` say what each is; what spectra share does not average down in a stack. With
        ``multiplier``, ``multiplier_err`` a pixel, ``calibration_chi2`` and ``n_bands`` a spectrum. A
        spectrum that cannot be calibrated (no photometry of its object, no band that it covers) has
        ``n_bands`` 0 and is masked throughout: it must not pass for a calibrated one.

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
    found = {id(p): _measured(p, curves, error_floor) for p in of_row if p is not None}
    slots = _slots(ds, [found.get(id(p)) for p in of_row], method, degree)
    function = partial(
        _calibrate_rows, method=method, bands=curves, degree=degree, min_snr=min_snr, error_floor=error_floor
    )
    correlated = correlations(ds)
    kinds: dict[str, np.dtype[Any]] = {"fnu_modes": np.dtype((np.float64, (slots.signs.shape[1],)))}
    if dims == GRIDDED and "fnu_cov" in ds:
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


class _Slots(NamedTuple):
    """Signs and labels of the modes of every row, shape (row, mode), known before anything is computed."""

    signs: FloatArray
    labels: NDArray[np.object_]


def _slots(
    ds: xr.Dataset,
    measured: Sequence[Mapping[str, str] | None],
    method: str,
    degree: int | None,
) -> _Slots:
    """Return which modes a row may get, after those it has: some of the fit, and one a measurement."""
    known = _known_slots(ds)
    most = max((len(labels) for labels in measured if labels is not None), default=0)
    k = 1 if method == "flat" else min((MAX_DEGREE if degree is None else int(degree)) + 1, max(most, 1))
    labels = np.full((len(measured), 2 * k + most), "", dtype=object)
    signs = np.zeros(labels.shape)
    for row, own in enumerate(measured):
        if own is not None:
            signs[row, :k], signs[row, k : 2 * k] = 1.0, -1.0
            new = [label for label in own if label not in known.labels[row].tolist()]
            labels[row, 2 * k : 2 * k + len(new)], signs[row, 2 * k : 2 * k + len(new)] = new, 1.0
    return _Slots(np.hstack([known.signs, signs]), np.hstack([known.labels, labels]))


def _known_slots(ds: xr.Dataset) -> _Slots:
    """Return signs and labels of the modes that rows have already."""
    known = correlations(ds)
    if len(known) > 1:
        return _Slots(known[1], known[2])
    return _Slots(np.zeros((ds.sizes["spectrum"], 0)), np.zeros((ds.sizes["spectrum"], 0), dtype=object))


def _measured(photometry: Photometry, bands: Sequence[Bandpass] | None, error_floor: float) -> dict[str, str]:
    """Return the measurements that may calibrate a spectrum: label -> provenance of the curve."""
    curves = {} if bands is None else {band.name: band for band in bands}
    for name in photometry.bands if bands is None else ():
        with suppress(ValidationError):  # is said where rows are calibrated
            curves[name] = resolve_band(name)
            if not _RANGE[0] < curves[name].pivot < _RANGE[1]:
                del curves[name]
    names = []
    for name in curves:
        with suppress(ValidationError):
            flux, error, _ = photometry[name]
            if np.isfinite(flux) and np.isfinite(error) and error >= 0:
                names.append(name)
    labels = measurement_labels(names, *measurements(photometry, names, error_floor))
    return dict(zip(labels, (curves[name].provenance for name in names), strict=True))


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
        fit = found.fit
        names = measurement_labels(found.used, found.observed, found.observed_err)
        total = fit.calibrated(own_covariance(data), names)
        error = np.sqrt(np.maximum(total.diagonal(), 0.0))
        result["fnu"][row, inside] = data.fnu * fit.multiplier
        result["fnu_err"][row, inside] = np.where(data.mask, np.nan, error)
        result["dq"][row] = dq[row]
        result["multiplier"][row, inside] = fit.multiplier
        result["multiplier_err"][row, inside] = fit.multiplier_err
        result["calibration_chi2"][row] = fit.chi2
        result["n_bands"][row] = len(found.used)
        if modes:
            result["fnu_modes"][row, inside] = total.in_slots(signs[row], labels[row].tolist())
            result["fnu_cov"][row, inside] = fit_bands(banded(total.near), lags)
    return result


def _count(correlated: Sequence[NDArray[Any]]) -> int:
    return correlated[1].shape[1] if len(correlated) > 1 else 0
