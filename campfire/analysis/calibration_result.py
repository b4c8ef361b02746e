"""What a calibration of one spectrum gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campfire.kernels.calibration_curve import CurveFit
from campfire.models import SpectrumData
from campfire.text import printed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from campfire.typing import BoolArray, FloatArray

__all__ = ["CalibrationResult"]


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
        Total.
    dof
        Degrees of freedom: b - 1 - degree. 0 for a curve that goes through all bands, of which nothing tells
        whether it is right.
    coverage
        Of every band looked at: the fraction of its throughput on good pixels.
    degree
        Of the Chebyshev polynomial: the one given, or that for which there is evidence.
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

    @property
    def dof(self) -> int:
        """Degrees of freedom; 0 for a curve that goes through all bands."""
        return len(self.bands_used) - 1 - self.degree

    def __repr__(self) -> str:
        fit = f"χ²={self.chi2:.1f} for dof {self.dof}" if self.dof else "through all of them (dof 0)"
        number = "1 band" if len(self.bands_used) == 1 else f"{len(self.bands_used)} bands"
        return printed(
            f"CalibrationResult({self.original.spectrum_id}, {self.method}, "
            f"{number}, degree {self.degree}, {fit})"
        )
