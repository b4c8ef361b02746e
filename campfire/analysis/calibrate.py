"""Flux calibration of a spectrum against broadband photometry."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from campfire.analysis.frames import check_frames
from campfire.analysis.inputs import as_spectrum, good_covariance, with_history
from campfire.bands import find_band
from campfire.errors import CampfireWarning, ValidationError
from campfire.formats.bandpasses import resolve_band
from campfire.kernels.bandpass import MIN_COVERAGE, BandFluxes, Bandpass, band_fluxes
from campfire.kernels.continuum import MAX_DEGREE, MULTIPLIER_RANGE, CurveFit, fit_curve
from campfire.kernels.covariance import Covariance
from campfire.models import Photometry, SpectrumData

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

    from campfire.analysis.inputs import SpectrumLike
    from campfire.typing import BandpassLike, BoolArray, FloatArray

__all__ = [
    "CALIBRATED",
    "CalibrationMethod",
    "CalibrationResult",
    "calibrate_to_photometry",
]

CalibrationMethod: TypeAlias = Literal["chebyshev", "flat"]

CALIBRATED = "calibrated to photometry"
"""How the line begins that a calibration leaves in the HISTORY of a header."""

_ROUNDED_ERROR = 5e-7  # microjansky; catalogues keep six decimals, so that an error can be rounded to 0


@dataclass(eq=False, repr=False)
class CalibrationResult:
    """A calibrated spectrum, and the fit behind it; b bands, n pixels.

    Attributes
    ----------
    spectrum, original
        The spectrum after and before. Its error holds the error of the curve as well as its own, and its
        ``covariance`` how they are correlated, with what other spectra share that are calibrated on the same
        photometry (:class:`campfire.kernels.covariance.Covariance`).
    multiplier, multiplier_err
        The correction curve and its 1-sigma error, shape (n,).
    method
        ``chebyshev`` or ``flat``.
    bands_used
        Names of the bands of the fit.
    observed_flux, observed_flux_err
        Photometry of these bands, microjansky, shape (b,); the error includes the error floor.
    synthetic_flux, synthetic_flux_err
        The same of the uncalibrated spectrum.
    band_wavelengths
        Pivot wavelengths of their curves, microns.
    chi2
        Total, with b - 1 - degree degrees of freedom.
    coverage
        Of every band looked at: the fraction of its throughput on good pixels.
    degree
        Of the Chebyshev polynomial.
    coefficients, coefficient_covariance
        Of the polynomial, whose variable runs from -1 to 1 over the spectrum.
    clipped
        True for pixels whose curve was cut to the range 0.1 to 50, shape (n,).
    provenance
        Band, filter id and source of every curve.
    """

    spectrum: SpectrumData
    original: SpectrumData
    multiplier: FloatArray
    method: str
    bands_used: list[str]
    observed_flux: FloatArray
    observed_flux_err: FloatArray
    synthetic_flux: FloatArray
    synthetic_flux_err: FloatArray
    band_wavelengths: FloatArray
    multiplier_err: FloatArray
    chi2: float
    coverage: dict[str, float]
    degree: int
    coefficients: FloatArray
    coefficient_covariance: FloatArray
    clipped: BoolArray
    provenance: list[str]
    fit: CurveFit = field(repr=False)

    def plot(self, axes: Sequence[Axes] | None = None) -> tuple[Axes, Axes]:
        """Draw the spectrum before and after with the bands, and the curve below.

        Parameters
        ----------
        axes
            Two matplotlib axes; a new figure without them.

        Returns
        -------
        tuple of matplotlib.axes.Axes
            (spectrum, curve).
        """
        from campfire.plotting.diagnostics import draw_calibration
        from campfire.plotting.labels import spectrum_title

        return draw_calibration(
            self.spectrum.wavelength,
            self.original.fnu,
            self.spectrum.fnu,
            self.spectrum.fnu_err,
            self.multiplier,
            self.multiplier_err,
            mask=self.spectrum.mask,
            band_names=self.bands_used,
            band_wavelength=self.band_wavelengths,
            observed=self.observed_flux,
            observed_err=self.observed_flux_err,
            synthetic=self.synthetic_flux,
            header=self.spectrum.header,
            title=spectrum_title(self.original.spectrum_id, self.original.grating),
            axes=axes,
        )

    def __repr__(self) -> str:
        return (
            f"CalibrationResult({self.original.spectrum_id}, {self.method}, "
            f"{len(self.bands_used)} bands, degree {self.degree}, χ²={self.chi2:.1f})"
        )


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
        Of the polynomial; by default the smaller of 3 and the number of bands less one, which is also the
        most the bands can fix.
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

    Examples
    --------
    >>> wave = np.linspace(0.6, 5.3, 400)
    >>> spec = SpectrumData(wave, np.full(400, 1.0), np.full(400, 0.1), {}, "PRISM", "demo")
    >>> phot = Photometry(["f150w", "f277w", "f444w"], [2.0, 2.0, 2.0], [0.1, 0.1, 0.1], [1.5, 2.8, 4.4])
    >>> result = calibrate_to_photometry(spec, phot)
    >>> result
    CalibrationResult(demo, chebyshev, 3 bands, degree 2, χ²=0.0)
    >>> result.multiplier.round(6)[[0, 200, 399]]
    array([2., 2., 2.])
    """
    check_options(method, degree, min_snr, error_floor, photometry)
    data = as_spectrum(spectrum)
    check_frames([data], "calibration")
    fit, used, observed, observed_err, coverage = fit_photometry(
        data, photometry, method, bands, degree, min_snr, error_floor
    )
    names = list(used)
    provenance = [curve.provenance for curve in used.values()]
    labels = measurement_labels(names, observed, observed_err)
    return CalibrationResult(
        spectrum=_apply(data, fit, labels, method, names, provenance, photometry.catalog),
        original=data,
        multiplier=fit.multiplier,
        method=method,
        bands_used=names,
        observed_flux=observed,
        observed_flux_err=observed_err,
        synthetic_flux=fit.synthetic,
        synthetic_flux_err=fit.synthetic_err,
        band_wavelengths=np.array([curve.pivot for curve in used.values()]),
        multiplier_err=fit.multiplier_err,
        chi2=fit.chi2,
        coverage=coverage,
        degree=len(fit.coefficients) - 1,
        coefficients=fit.coefficients,
        coefficient_covariance=fit.covariance,
        clipped=fit.clipped,
        provenance=provenance,
        fit=fit,
    )


class PhotometryFit(NamedTuple):
    """A fitted curve and what it was fitted to; ``used`` maps names to the curves of the b bands."""

    fit: CurveFit
    used: dict[str, Bandpass]
    observed: FloatArray
    observed_err: FloatArray
    coverage: dict[str, float]


def fit_photometry(
    data: SpectrumData,
    photometry: Photometry,
    method: CalibrationMethod,
    bands: Sequence[str | BandpassLike] | None,
    degree: int | None,
    min_snr: float,
    error_floor: float,
) -> PhotometryFit:
    """Fit the curve of :func:`calibrate_to_photometry` without making the calibrated spectrum.

    Raises
    ------
    ValidationError
        If no band is left.
    """
    curves, measured, chosen = _select(data, photometry, bands, min_snr)
    coverage = {label: float(c) for label, c in zip(curves, measured.coverage, strict=True)}
    used = {label: curves[label] for label, keep in zip(curves, chosen, strict=True) if keep}
    if not used:
        raise ValidationError(
            f"no band of the photometry can calibrate {data.spectrum_id or 'the spectrum'}",
            hint="coverage of the bands by good pixels: "
            + (", ".join(f"{name} {value:.0%}" for name, value in coverage.items()) or "none overlaps"),
        )
    observed, observed_err = measurements(photometry, used, error_floor)
    fit = fit_curve(
        data.wavelength,
        data.fnu,
        data.fnu_err,
        list(used.values()),
        observed,
        observed_err,
        degree=_degree(method, degree, len(used)),
        mask=data.mask,
        covariance=good_covariance(data),
    )
    if fit.clipped.any():
        warnings.warn(
            f"the calibration curve of {data.spectrum_id or 'the spectrum'} was cut to the range "
            f"{MULTIPLIER_RANGE[0]:g} to {MULTIPLIER_RANGE[1]:g} in {int(fit.clipped.sum())} pixels",
            CampfireWarning,
            stacklevel=3,
        )
    return PhotometryFit(fit, used, observed, observed_err, coverage)


def check_options(
    method: str, degree: int | None, min_snr: float, error_floor: float, photometry: object
) -> None:
    if method not in ("chebyshev", "flat"):
        raise ValidationError(f"unknown method {method!r}", hint="use 'chebyshev' or 'flat'")
    if degree is not None and (int(degree) != degree or degree < 0):
        raise ValidationError(f"degree={degree!r}", hint="pass 0, 1, 2..., or None")
    if not (np.isfinite(min_snr) and min_snr >= 0):
        raise ValidationError(f"min_snr={min_snr!r}", hint="pass a number that is not negative")
    if not (np.isfinite(error_floor) and error_floor >= 0):
        raise ValidationError(f"error_floor={error_floor!r}", hint="pass a fraction, such as 0.03")
    if not isinstance(photometry, Photometry):
        raise ValidationError(
            f"photometry is {type(photometry).__name__}", hint="pass a Photometry, such as obj.photometry"
        )


def _degree(method: str, degree: int | None, n_bands: int) -> int:
    if method == "flat":
        return 0
    wanted = MAX_DEGREE if degree is None else int(degree)
    if degree is not None and degree > n_bands - 1:
        warnings.warn(
            f"degree {degree} needs {degree + 1} bands; with {n_bands} it is {n_bands - 1}",
            CampfireWarning,
            stacklevel=3,
        )
    return min(wanted, n_bands - 1)


def _select(
    data: SpectrumData, photometry: Photometry, bands: Sequence[str | BandpassLike] | None, min_snr: float
) -> tuple[dict[str, Bandpass], BandFluxes, BoolArray]:
    """Return the curves looked at, what the spectrum measures in them, and which are to be used."""
    if bands is None:
        curves = _curves(data, photometry)
    else:
        if isinstance(bands, str) or not len(bands):
            raise ValidationError(f"bands={bands!r}", hint="pass a list of band names, or None for all")
        curves = {curve.name: curve for curve in map(resolve_band, bands)}
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
    usable = np.isfinite(flux) & np.isfinite(error) & (error >= 0)
    covered = np.isfinite(measured.flux)
    chosen = usable & covered
    if bands is None:
        chosen[chosen] = _telling(
            measured.flux[chosen], measured.error[chosen], flux[chosen], error[chosen], min_snr
        )
        return curves, measured, chosen
    for k, label in enumerate(curves):
        if not chosen[k]:
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
    error = np.maximum(error, _ROUNDED_ERROR)
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
    flux = np.array([row.flux for row in rows])
    error = np.maximum([row.flux_err for row in rows], _ROUNDED_ERROR)
    return flux, np.hypot(error, error_floor * flux)


def _apply(
    data: SpectrumData,
    fit: CurveFit,
    labels: list[str],
    method: str,
    names: list[str],
    provenance: list[str],
    catalog: str,
) -> SpectrumData:
    """Return the calibrated spectrum with its errors, covariance and header."""
    covariance = fit.calibrated(own_covariance(data), labels)
    fields = data.to_fields()
    fields["fnu"] = data.fnu * fit.multiplier
    fields["fnu_err"] = np.where(data.mask, np.nan, np.sqrt(np.maximum(covariance.diagonal(), 0.0)))
    fields["covariance"] = covariance
    if fields.get("flam") is not None:
        fields["flam"] = data.flam * fit.multiplier
    fields["flam_err"] = None
    cards: dict[str, Any] = {
        "CALMETH": method,
        "CALDEG": len(fit.coefficients) - 1,
        "CALBANDS": ",".join(names),
        "CALCHI2": round(fit.chi2, 4),
        "CALPHOT": catalog,
    }
    line = f"{CALIBRATED}, {method}: {'; '.join(provenance)}"
    fields["header"] = with_history(data.header, line, **cards)
    return SpectrumData(**fields)


def own_covariance(data: SpectrumData) -> Covariance:
    """Return the covariance of a spectrum, of its errors where it has none; 0 for masked pixels."""
    known = good_covariance(data)
    error = np.where(data.mask, 0.0, data.fnu_err.astype(np.float64))
    return Covariance.of(np.square(error)) if known is None else known


def measurement_labels(names: Iterable[str], flux: FloatArray, error: FloatArray) -> list[str]:
    """Return texts that identify measurements: what two spectra got from the same one is the same."""
    rows = zip(names, flux.tolist(), error.tolist(), strict=True)
    return [f"{name} {value!r} +- {sigma!r} uJy" for name, value, sigma in rows]
