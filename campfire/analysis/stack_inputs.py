"""A spectrum on its way into a stack, with the parts its error is made of.

Errors are kept apart by what they do in a mean: noise of single pixels and what correlates the pixels of one
spectrum average down with the number of spectra; what all spectra got from the same photometry does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.given_spectra import good_covariance
from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import good_pixels, pixel_bounds

if TYPE_CHECKING:
    from campfire.models import SpectrumData
    from campfire.typing import BoolArray, FloatArray

__all__ = ["Terms"]


@dataclass(frozen=True, slots=True)
class Terms:
    """Arrays of one input, n pixels; ``flux`` is 0 where not ``good``.

    ``error`` holds the independent noise of pixels; ``covariance``, where not None, takes its place.
    """

    wavelength: FloatArray
    flux: FloatArray
    error: FloatArray
    good: BoolArray
    covariance: Covariance | None = None

    @classmethod
    def of(cls, data: SpectrumData) -> Terms:
        """Return the terms of a spectrum."""
        good = good_pixels(data.fnu, data.fnu_err, data.mask)
        return cls(
            np.asarray(data.wavelength, dtype=np.float64),
            np.where(good, data.fnu, 0.0).astype(np.float64),
            np.where(good, data.fnu_err, 0.0).astype(np.float64),
            good,
            good_covariance(data),
        )

    def known_covariance(self) -> Covariance:
        """Return the covariance, of independent pixels where that is all."""
        return Covariance.of(np.square(self.error)) if self.covariance is None else self.covariance

    def rest_frame(self, redshift: float) -> Terms:
        """Return wavelength / (1 + z) and f_nu / (1 + z): the integral of f_nu over frequency is kept."""
        factor = 1.0 / (1.0 + redshift)
        return replace(
            self,
            wavelength=self.wavelength * factor,
            flux=self.flux * factor,
            error=self.error * factor,
            covariance=None if self.covariance is None else self.covariance.scaled(factor),
        )

    def smoothed(self, matrix: Any) -> Terms:
        """Return the spectrum with pixels multiplied by a sparse matrix of shape (n, n)."""
        covariance = self.known_covariance().transformed(matrix)
        error = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
        return replace(self, flux=matrix @ self.flux, error=error, covariance=covariance)

    def mean(self, low: float, high: float) -> tuple[float, FloatArray]:
        """Return the mean flux over the good pixels in a range, and the weights of the pixels in it.

        NaN where less than half of the range is covered.
        """
        bounds = pixel_bounds(self.wavelength)
        widths = np.clip(bounds.high, low, high) - np.clip(bounds.low, low, high)
        weights = np.where(self.good, widths, 0.0)
        covered = float(weights.sum())
        if covered < 0.5 * (high - low):
            return float("nan"), weights
        weights = weights / covered
        return float(weights @ self.flux), weights

    def normalised(self, level: float, weights: FloatArray) -> Terms:
        """Return the spectrum over its own mean flux, with the error of that mean.

        With ``f = s / N`` and ``N = w . s``: ``df = ds / N - (s / N^2) (w . ds)``. What is common to all
        pixels of the level goes out with the level.
        """
        slope = (self.flux / level**2)[:, None]
        covariance = self.known_covariance().propagated(1.0 / level, slope, weights[None])
        error = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
        return replace(self, flux=self.flux / level, error=error, covariance=covariance)
