"""The fit of one spectrum to its photometry: which bands, which curve, and what it does to the pixels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from campfire.analysis.inputs import good_covariance
from campfire.analysis.photometry import resolve_bands
from campfire.arguments import choice, integer, number
from campfire.bands import find_band
from campfire.errors import CampfireWarning, ValidationError
from campfire.formats.bandpasses import resolve_band
from campfire.kernels.bandpass import MIN_COVERAGE, BandFluxes, Bandpass, band_fluxes
from campfire.kernels.calibration_curve import MAX_DEGREE, MULTIPLIER_RANGE, CurveFit, best_curve, fit_curve
from campfire.kernels.covariance import Covariance
from campfire.models import Photometry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

    from campfire.models import SpectrumData
    from campfire.typing import BandpassLike, BoolArray, FloatArray

__all__ = [
    "CalibrationMethod",
    "PhotometryFit",
    "check_options",
    "fit_photometry",
    "is_measured",
    "measurement_labels",
    "measurements",
]

CalibrationMethod: TypeAlias = Literal["chebyshev", "flat"]


class PhotometryFit(NamedTuple):
    """A fitted curve, what it was fitted to, and the pixels of the calibrated spectrum.

    ``used`` maps names to the curves of the b bands, ``labels`` identify their measurements. ``fnu``,
    ``fnu_err`` and ``covariance`` are those of the n calibrated pixels.
    """

    fit: CurveFit
    used: dict[str, Bandpass]
    observed: FloatArray
    observed_err: FloatArray
    coverage: dict[str, float]
    labels: list[str]
    fnu: FloatArray
    fnu_err: FloatArray
    covariance: Covariance


def fit_photometry(
    data: SpectrumData,
    photometry: Photometry,
    method: CalibrationMethod,
    bands: Sequence[str | BandpassLike] | None,
    degree: int | None,
    min_snr: float,
    error_floor: float,
) -> PhotometryFit:
    """Fit the curve that brings a spectrum onto photometry, and multiply its pixels by it.

    Parameters are those of :func:`campfire.calibrate_to_photometry`.

    Raises
    ------
    ValidationError
        If no band is left.
    """
    curves, measured, chosen = _select(data, photometry, bands, min_snr, error_floor)
    coverage = {label: float(c) for label, c in zip(curves, measured.coverage, strict=True)}
    used = {label: curves[label] for label, keep in zip(curves, chosen, strict=True) if keep}
    if not used:
        raise ValidationError(
            f"no band of the photometry can calibrate {data.spectrum_id or 'the spectrum'}",
            hint="coverage of the bands by good pixels: "
            + (", ".join(f"{name} {value:.0%}" for name, value in coverage.items()) or "none overlaps"),
        )
    observed, observed_err = measurements(photometry, used, error_floor)
    fit = _curve(data, list(used.values()), observed, observed_err, _degrees(method, degree, len(used)))
    if fit.clipped.any():
        warnings.warn(
            f"the calibration curve of {data.spectrum_id or 'the spectrum'} was cut to the range "
            f"{MULTIPLIER_RANGE[0]:g} to {MULTIPLIER_RANGE[1]:g} in {int(fit.clipped.sum())} pixels",
            CampfireWarning,
            stacklevel=3,
        )
    labels = measurement_labels(used, observed, observed_err)
    covariance = fit.calibrated(_own_covariance(data), labels)
    error = np.where(data.mask, np.nan, np.sqrt(np.maximum(covariance.diagonal(), 0.0)))
    return PhotometryFit(
        fit, used, observed, observed_err, coverage, labels, data.fnu * fit.multiplier, error, covariance
    )


def check_options(
    method: str, degree: int | None, min_snr: float, error_floor: float, photometry: object
) -> None:
    """Raise ValidationError for options that no calibration takes."""
    choice(method, "calibration method", ("chebyshev", "flat"))
    if degree is not None:
        integer(degree, "degree", least=0)
    number(min_snr, "min_snr", least=0)
    number(error_floor, "error_floor, a fraction such as 0.03,", least=0)
    if not isinstance(photometry, Photometry):
        raise ValidationError(
            f"photometry is {type(photometry).__name__}", hint="pass a Photometry, such as obj.photometry"
        )


def _degrees(method: str, degree: int | None, n_bands: int) -> list[int]:
    """Return the degrees to choose from; one where it is given."""
    if method == "flat":
        return [0]
    if degree is None:
        return list(range(min(MAX_DEGREE, n_bands - 1) + 1))
    if degree > n_bands - 1:
        warnings.warn(
            f"degree {degree} needs {degree + 1} bands; with {n_bands} it is {n_bands - 1}",
            CampfireWarning,
            stacklevel=3,
        )
    return [min(int(degree), n_bands - 1)]


def _curve(
    data: SpectrumData,
    curves: Sequence[Bandpass],
    observed: FloatArray,
    observed_err: FloatArray,
    degrees: Sequence[int],
) -> CurveFit:
    """Return the fit of the degree that there is evidence for, among some."""
    fits: list[CurveFit] = []
    for degree in degrees:
        try:
            fit = fit_curve(
                data.wavelength,
                data.fnu,
                data.fnu_err,
                curves,
                observed,
                observed_err,
                degree=degree,
                mask=data.mask,
                covariance=good_covariance(data),
            )
        except ValidationError:
            if not fits:
                raise
            break  # the spectrum has no signal for more than the degrees before
        fits.append(fit)
    return best_curve(fits)


def _select(
    data: SpectrumData,
    photometry: Photometry,
    bands: Sequence[str | BandpassLike] | None,
    min_snr: float,
    error_floor: float,
) -> tuple[dict[str, Bandpass], BandFluxes, BoolArray]:
    """Return the curves looked at, what the spectrum measures in them, and which are to be used."""
    if bands is None:
        curves = _curves(data, photometry)
    else:
        curves = {curve.name: curve for curve in resolve_bands(bands)}
    if not curves:
        return {}, BandFluxes(np.empty(0), np.empty(0), np.empty(0)), np.empty(0, dtype=bool)
    measured = band_fluxes(
        data.wavelength,
        data.fnu,
        data.fnu_err,
        list(curves.values()),
        mask=data.mask,
        covariance=good_covariance(data),
    )
    rows = [photometry[label] for label in curves]
    flux, error = np.array([row.flux for row in rows]), np.array([row.flux_err for row in rows])
    usable = is_measured(flux, error, error_floor)
    covered = np.isfinite(measured.flux)
    chosen = usable & covered
    exact = [label for k, label in enumerate(curves) if covered[k] and not usable[k] and error[k] == 0]
    if exact:
        warnings.warn(
            f"left out, as their error is 0: {', '.join(exact)}; error_floor= would give them one",
            CampfireWarning,
            stacklevel=3,
        )
    if bands is None:
        chosen[chosen] = _telling(
            measured.flux[chosen], measured.error[chosen], flux[chosen], error[chosen], min_snr
        )
        return curves, measured, chosen
    for k, label in enumerate(curves):
        if not chosen[k] and label not in exact:
            reason = (
                "it has no finite flux and error"
                if not usable[k]
                else f"{measured.coverage[k]:.0%} of it is on good pixels, {MIN_COVERAGE:.0%} needed"
            )
            warnings.warn(f"band {label!r} is left out: {reason}", CampfireWarning, stacklevel=3)
    return curves, measured, chosen


def _telling(
    synthetic: FloatArray, own: FloatArray, flux: FloatArray, error: FloatArray, min_snr: float
) -> BoolArray:
    """Return which bands can measure the curve, at some S/N.

    The spectrum is brought to the level of the photometry by the median ratio of the bands, so that its own
    calibration does not matter. A band counts by what the spectrum sees in it, and also by the mean of both
    measurements, weighted by their variances: the noise of that mean has nothing to do with their difference,
    from which the curve follows. Chosen by what the spectrum sees alone, noisy bands would be those in which
    noise goes upwards, and the curve be low.
    """
    level = np.maximum(np.abs(synthetic), np.finfo(np.float64).tiny)
    scale = np.median(np.maximum(np.abs(flux), error) / level) if flux.size else 1.0
    seen, square = scale * synthetic, np.square(scale * own)
    mean = (seen * np.square(error) + flux * square) / (np.square(error) + square)
    signal = np.maximum(np.abs(seen), np.abs(mean))
    return np.asarray(signal >= min_snr * np.sqrt(square + np.square(error)))


def _curves(data: SpectrumData, photometry: Photometry) -> dict[str, Bandpass]:
    """Return the curves of the bands whose pivot is in the range of the spectrum."""
    low, high = data.wavelength[0], data.wavelength[-1]
    curves = {}
    for name, wave in zip(photometry.bands, photometry.wavelength, strict=True):
        info = find_band(name)
        pivot = wave if np.isfinite(wave) else info.pivot if info else np.nan
        if not low < pivot < high:
            continue
        try:
            curves[name] = resolve_band(name)
        except ValidationError as err:
            warnings.warn(f"band {name!r} is left out: {err}", CampfireWarning, stacklevel=4)
    return curves


def measurements(
    photometry: Photometry, labels: Iterable[str], error_floor: float
) -> tuple[FloatArray, FloatArray]:
    """Return fluxes and errors of some bands as they go into a fit."""
    rows = [photometry[label] for label in labels]
    flux, error = np.array([row.flux for row in rows]), np.array([row.flux_err for row in rows])
    return flux, np.hypot(error, error_floor * flux)


def is_measured(flux: ArrayLike, error: ArrayLike, error_floor: float) -> BoolArray:
    """Return which fluxes can be fitted to: finite, with an error above 0 once the floor is in it.

    No measurement is exact: an error of 0 is one that a catalogue does not know, or has rounded away.
    """
    with np.errstate(invalid="ignore"):
        total = np.hypot(error, error_floor * np.asarray(flux))
        return np.asarray(np.isfinite(flux) & np.isfinite(total) & (np.asarray(error) >= 0) & (total > 0))


def _own_covariance(data: SpectrumData) -> Covariance:
    """Return the covariance of a spectrum, of its errors where it has none; 0 for masked pixels."""
    known = good_covariance(data)
    error = np.where(data.mask, 0.0, data.fnu_err.astype(np.float64))
    return Covariance.of(np.square(error)) if known is None else known


def measurement_labels(names: Iterable[str], flux: FloatArray, error: FloatArray) -> list[str]:
    """Return texts that identify measurements: what two spectra got from the same one is the same."""
    rows = zip(names, flux.tolist(), error.tolist(), strict=True)
    return [f"{name} {value!r} +- {sigma!r} uJy" for name, value, sigma in rows]
