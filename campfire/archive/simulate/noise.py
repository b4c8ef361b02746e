"""What the noise of simulated spectra is like beside what their errors say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from campfire.errors import ValidationError

if TYPE_CHECKING:
    from numpy.random import Generator

    from campfire.typing import FloatArray

__all__ = ["DJA", "PIPELINE", "WHITE", "NoiseModel"]


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """How noise differs from independent Gaussian values of the size that is stated.

    Parameters
    ----------
    scale
        Knots (place, true over stated error): places run from 0 to 1 over the range of the grating.
    correlation
        Of detector pixels 1, 2, ... apart along the dispersion.
    outliers
        Fraction of detector pixels whose noise is 8 times as large, unknown to their errors.
    seam
        Change of the flux, as a fraction, from the first detector to the second: in the middle of the gap
        between them, or of the range of a grating that has none.
    zero_point
        Pixels by which the wavelengths of files are too large: (grating, shift) for those that have one.
    """

    scale: tuple[tuple[float, float], ...] = ((0.0, 1.0), (1.0, 1.0))
    correlation: tuple[float, ...] = ()
    outliers: float = 0.0
    seam: float = 0.0
    zero_point: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self._power(np.linspace(0.0, np.pi, 257)).min() < 0:
            raise ValidationError(
                f"no noise has the correlation {self.correlation}",
                hint="one plus twice the sum of correlation times cosine must not be negative anywhere",
            )

    def _power(self, angle: FloatArray) -> FloatArray:
        lags = np.arange(1, len(self.correlation) + 1)
        return np.asarray(1.0 + 2.0 * np.cos(np.multiply.outer(angle, lags)) @ np.array(self.correlation))

    def scale_at(self, wave: FloatArray, wave_range: tuple[float, float]) -> FloatArray:
        """Return true over stated error at wavelengths in micron, for a grating of some range."""
        low, high = wave_range
        return np.asarray(np.interp((wave - low) / (high - low), *np.transpose(self.scale)))

    def shaped(self, white: FloatArray, rng: Generator) -> FloatArray:
        """Return noise like this, but for its scale, made of independent unit values.

        Parameters
        ----------
        white
            Shape (row, pixel).
        rng
            Where outliers come from.
        """
        n = white.shape[1]
        noise = white
        if self.correlation:
            root = np.sqrt(self._power(2.0 * np.pi * np.fft.rfftfreq(n)))
            noise = np.fft.irfft(np.fft.rfft(white, axis=1) * root, n, axis=1)
        if self.outliers:
            noise = np.where(rng.random(white.shape) < self.outliers, 8.0 * noise, noise)
        return noise

    def step(self, wave: FloatArray, middle: float) -> FloatArray:
        """Return the factor that the detectors put on the flux."""
        return np.where(wave > middle, 1.0 + self.seam, 1.0)

    def shift(self, grating: str) -> float:
        """Return by how many pixels wavelengths are too large."""
        return dict(self.zero_point).get(grating, 0.0)


WHITE = NoiseModel()
"""Independent values of the size that is stated."""
DJA = NoiseModel(scale=((0.0, 1.04), (0.5, 0.92), (1.0, 0.98)), correlation=(0.10,))
"""As in files of the DAWN JWST Archive (faint sources, as ``measure_noise`` finds them: 0.9 to 1.05, 0.00 to
0.10): what simulated archives have unless they are asked for another."""
PIPELINE = NoiseModel(scale=((0.0, 1.8), (1.0, 1.9)), correlation=(0.32, 0.06))
"""As in x1d files of the JWST pipeline."""
