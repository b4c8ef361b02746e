"""Calibration of collections: every row against the photometry of its object."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.calibrate import CalibrationMethod, check_options, fit_photometry
from campfire.analysis.photometry import resolve_bands
from campfire.collection.blocks import check_collection, over_rows
from campfire.collection.correlation import flat_covariance, row_covariance
from campfire.collection.gridding import flam_variables
from campfire.convert import append_history, from_banded
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.grids import good_pixels
from campfire.kernels.pieces import scale_lags
from campfire.models import Photometry, SpectrumData
from campfire.schema import PixelDQ, attrs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from campfire.typing import BandpassLike

__all__ = ["calibrate_collection"]

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
        The collection with calibrated fluxes, whose errors hold those of the curves (what a curve does to
        all pixels alike is not kept apart; ``fnu_cov`` of a gridded collection is scaled with the errors).
        With ``multiplier``, ``multiplier_err`` a pixel, ``calibration_chi2`` and ``n_bands`` a spectrum. A
        spectrum that cannot be calibrated (no photometry of its object, no band that it covers) has
        ``n_bands`` 0 and is masked throughout: it must not pass for a calibrated one.

    Raises
    ------
    ValidationError
        If there is photometry for none of the spectra, or for options out of range.
    """
    check_collection(ds)
    of_row = _photometry_of(ds, photometry)
    for entry in {id(p): p for p in of_row if p is not None}.values():
        check_options(method, degree, min_snr, error_floor, entry)
    if bands is not None:
        bands = resolve_bands(bands)
    function = partial(
        _calibrate_rows, method=method, bands=bands, degree=degree, min_snr=min_snr, error_floor=error_floor
    )
    dims = ds["fnu"].dims
    former = flat_covariance(ds)
    correlated = [] if former is None else [former]
    outputs = dict(_OUTPUTS)
    if correlated:
        outputs["fnu_cov"] = np.dtype((np.float64, (ds.sizes["lag"],)))
    fields = over_rows(ds, function, outputs, ds["fnu"].shape[1], of_row, *correlated)
    result = ds.assign({name: (dims, fields[name], attrs_of(name)) for name in ("fnu", "fnu_err", "dq")})
    result = result.assign(flam_variables(result))
    if correlated:
        result["fnu_cov"] = ds["fnu_cov"].copy(data=fields["fnu_cov"])
    result = result.assign({name: (dims, fields[name], attrs) for name, attrs in _A_PIXEL.items()})
    result = result.assign({name: ("spectrum", fields[name][:, 0], attrs) for name, attrs in _A_ROW.items()})
    with_it = sum(p is not None for p in of_row)
    if with_it < len(of_row):
        warnings.warn(
            f"{len(of_row) - with_it} of {len(of_row)} spectra have no photometry and come out masked",
            CampfireWarning,
            stacklevel=2,
        )
    step = f"calibrated to photometry, {method}: {with_it} of {len(of_row)} spectra have photometry"
    return append_history(result, step)


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
    correlated: NDArray[Any] | None = None,
    **options: Any,
) -> dict[str, NDArray[Any]]:
    shape = fnu.shape
    result = {name: np.full(shape, np.nan) for name in ("fnu", "fnu_err", "multiplier", "multiplier_err")}
    # One value a row, repeated along it: all that a block gives has one shape.
    result["calibration_chi2"] = np.full(shape, np.nan)
    result["n_bands"] = np.zeros(shape, dtype=np.int16)
    bad = np.uint8(PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR)
    result["dq"] = np.where(dq & PixelDQ.OUTSIDE, dq, dq | bad)
    bands = None if correlated is None else row_covariance(correlated, good_pixels(fnu, fnu_err, dq != 0))
    for row, entry in enumerate(photometry):
        wave = wavelength if wavelength.ndim == 1 else wavelength[row]
        inside = np.isfinite(wave)
        if entry is None or inside.sum() < 2:
            continue
        data = SpectrumData(
            wave[inside], fnu[row, inside], fnu_err[row, inside], {}, "", "", mask=dq[row, inside] != 0
        )
        if bands is not None:
            data.covariance = from_banded(bands[row])
        try:
            found = fit_photometry(data, entry, **options)
        except ValidationError:
            continue  # n_bands says so
        fit = found.fit
        result["fnu"][row, inside] = data.fnu * fit.multiplier
        result["fnu_err"][row, inside] = np.where(data.mask, np.nan, fit.error(data.fnu_err))
        result["dq"][row] = dq[row]
        result["multiplier"][row, inside] = fit.multiplier
        result["multiplier_err"][row, inside] = fit.multiplier_err
        result["calibration_chi2"][row] = fit.chi2
        result["n_bands"][row] = len(found.used)
    if bands is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.nan_to_num(result["fnu_err"] / fnu_err, posinf=0.0)
        result["fnu_cov"] = scale_lags(bands, scale)
    return result
