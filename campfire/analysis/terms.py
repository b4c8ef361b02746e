"""A spectrum on its way into a stack, with the parts its error is made of.

Errors are kept apart by what they do in a mean: noise of single pixels and what correlates the pixels of one
spectrum average down with the number of spectra; what all spectra got from the same photometry does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from campfire.analysis.inputs import good_covariance
from campfire.kernels.grids import good_pixels, pixel_edges

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from campfire.analysis.calibrate import CalibrationResult
    from campfire.models import SpectrumData
    from campfire.typing import BoolArray, FloatArray

__all__ = ["Measurement", "Terms"]

Measurement: TypeAlias = tuple[Any, ...]
"""Identifies one photometric measurement, so that what two spectra got from it is known to be the same."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Arrays of one input, n pixels; ``flux`` is 0 where not ``good``.

    ``error`` holds the independent noise of pixels; ``covariance``, where not None, takes its place.
    ``modes`` (n, r) and ``mixing`` (r, r) add ``modes @ mixing @ modes.T`` to the covariance of this
    spectrum. ``common`` maps a photometric measurement to what a 1-sigma change of it does to this spectrum
    (n,).
    """

    wavelength: FloatArray
    flux: FloatArray
    error: FloatArray
    good: BoolArray
    covariance: csr_array | None = None
    modes: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    mixing: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    common: Mapping[Measurement, FloatArray] = field(default_factory=dict)

    @classmethod
    def of(cls, data: SpectrumData) -> Terms:
        """Return the terms of a spectrum as it is."""
        good = good_pixels(data.fnu, data.fnu_err, data.mask)
        return cls(
            np.asarray(data.wavelength, dtype=np.float64),
            np.where(good, data.fnu, 0.0).astype(np.float64),
            np.where(good, data.fnu_err, 0.0).astype(np.float64),
            good,
            good_covariance(data),
        )

    @classmethod
    def of_calibrated(cls, result: CalibrationResult) -> Terms:
        """Return the terms of a calibrated spectrum, with the error of its curve taken apart."""
        base = cls.of(result.original)
        curve = np.where(base.good, result.multiplier, 0.0)
        covariance = None if base.covariance is None else _scaled(base.covariance, curve)
        measurements = [
            (name, float(flux), float(error))
            for name, flux, error in zip(
                result.bands_used, result.observed_flux, result.observed_flux_err, strict=True
            )
        ]
        return cls(
            base.wavelength,
            base.flux * curve,
            base.error * curve,
            base.good,
            covariance,
            result.fit.modes,
            result.fit.mixing,
            dict(zip(measurements, result.fit.common.T, strict=True)),
        )

    @property
    def is_plain(self) -> bool:
        """True where pixels are independent and nothing is shared."""
        return self.covariance is None and not self.modes.size and not self.common

    def rest_frame(self, redshift: float) -> Terms:
        """Return wavelength / (1 + z) and f_nu / (1 + z): the integral of f_nu over frequency is kept."""
        factor = 1.0 / (1.0 + redshift)
        return replace(self.scaled(factor), wavelength=self.wavelength * factor)

    def scaled(self, factor: float) -> Terms:
        """Return flux and errors multiplied by a number."""
        return replace(
            self,
            flux=self.flux * factor,
            error=self.error * abs(factor),
            covariance=None if self.covariance is None else self.covariance * factor**2,
            modes=self.modes * factor,
            common={key: values * factor for key, values in self.common.items()},
        )

    def mean(self, low: float, high: float) -> tuple[float, FloatArray]:
        """Return the mean flux over the good pixels in a range, and the weights of the pixels in it.

        NaN where less than half of the range is covered.
        """
        edges = np.clip(pixel_edges(self.wavelength), low, high)
        weights = np.where(self.good, np.diff(edges), 0.0)
        covered = float(weights.sum())
        if covered < 0.5 * (high - low):
            return float("nan"), weights
        weights = weights / covered
        return float(weights @ self.flux), weights

    def normalised(self, level: float, weights: FloatArray) -> Terms:
        """Return the spectrum over its own mean flux, with the error of that mean.

        With ``f = s / N`` and ``N = w . s``: ``df = ds / N - (s / N^2) (w . ds)``.
        """
        own = self.covariance
        spread = np.square(self.error) * weights if own is None else own @ weights
        if self.modes.size:
            spread = spread + self.modes @ (self.mixing @ (self.modes.T @ weights))
        slope = self.flux / level**2
        added = np.stack([slope, spread / level], axis=1)
        block = np.array([[float(weights @ spread), -1.0], [-1.0, 0.0]])
        base = self.scaled(1.0 / level)
        r = self.modes.shape[1] if self.modes.size else 0
        mixing = np.zeros((r + 2, r + 2))
        mixing[:r, :r], mixing[r:, r:] = self.mixing, block
        return replace(
            base,
            modes=np.hstack([base.modes, added]) if r else added,
            mixing=mixing,
            # what is common to all pixels of the level goes out with the level
            common={k: v - slope * level * float(weights @ v) for k, v in base.common.items()},
        )


def _scaled(matrix: csr_array, factor: FloatArray) -> csr_array:
    """Return the covariance of pixels multiplied by a factor each."""
    entries = matrix.tocoo()
    row, column = entries.coords
    result: csr_array = type(entries)(
        (entries.data * factor[row] * factor[column], (row, column)), shape=matrix.shape
    ).tocsr()
    return result
