"""Lines and pixels of many spectra laid out for batches: what of each is around every line.

Both ways to measure a line share it: :mod:`campfire.kernels.line_integration` integrates over windows,
:mod:`campfire.kernels.line_fitting` fits profiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.errors import ValidationError
from campfire.installation import missing_extra
from campfire.kernels.grids import PixelBounds, good_pixels, pixel_bounds
from campfire.kernels.lsf import FWHM_PER_SIGMA, with_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["FARTHEST", "WINDOW", "LineSet", "Part", "Pixels", "as_pixels", "import_ndtr", "parts", "within"]

WINDOW = 1.5
"""Half of the window around a line, in FWHM: all but 4e-4 of a Gaussian."""
FARTHEST = 30.0
"""How far a line tied to another may be for both to be fitted together, in FWHM."""
_RESOLVED = 2.0 / FWHM_PER_SIGMA  # lines closer than this, in FWHM, make one peak: they are measured as one
_BLOCK = 1_000_000  # numbers in an array at a time


class Pixels(NamedTuple):
    """Pixels of the spectra: bounds (1 or spectrum, n), the others (spectrum, n); zero where not good."""

    bounds: PixelBounds
    values: FloatArray
    variance: FloatArray
    good: BoolArray

    def find(self, wavelength: FloatArray) -> IntArray:
        """Return the pixels under wavelengths (spectrum, any); the nearest where there is none."""
        low, high = self.bounds
        inside = np.minimum(wavelength, np.nextafter(high[:, -1:], 0.0))
        if len(low) == 1:
            found = np.searchsorted(low[0], inside, side="right")
        else:
            pairs = zip(low, inside, strict=True)
            found = np.stack([np.searchsorted(e, w, side="right") for e, w in pairs])
        return np.clip(found - 1, 0, self.values.shape[1] - 1)

    def around(self, part: Part) -> PixelBounds:
        """Return where the pixels of a part begin and end, (job, m); those beyond the last have no width."""
        row = part.row[:, None] if len(self.bounds.low) > 1 else np.zeros_like(part.row[:, None])
        beyond = part.pixel[:, :1] + np.arange(part.pixel.shape[1]) >= self.values.shape[1]
        low, high = self.bounds.at((row, part.pixel))
        return PixelBounds(np.where(beyond, self.bounds.high[row, -1], low), high)


class LineSet(NamedTuple):
    """Lines in every spectrum, shape (spectrum, line), microns; by wavelength."""

    centre: FloatArray
    sigma: FloatArray  # of the profile before the pixels
    fwhm: FloatArray  # with the pixels
    low: FloatArray
    high: FloatArray
    first: IntArray
    last: IntArray
    blended: BoolArray

    @classmethod
    def of(cls, centre: FloatArray, fwhm: FloatArray, pixels: Pixels) -> LineSet:
        """Return lines at wavelengths of a FWHM before the pixels, with their windows and their blends."""
        widths = np.broadcast_to(pixels.bounds.width, pixels.values.shape)
        seen = with_pixels(fwhm, np.take_along_axis(widths, pixels.find(centre), 1))
        number = np.arange(centre.shape[1])
        apart = np.diff(centre, axis=1)
        starts = np.pad(apart >= _RESOLVED * (seen[:, 1:] + seen[:, :-1]) / 2, ((0, 0), (1, 0)))
        first = np.maximum.accumulate(np.where(starts, number, 0), axis=1)
        ends = np.where(np.roll(starts, -1, axis=1), number, number[-1])
        ends[:, -1] = number[-1]
        last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        middle = centre[:, :-1] + apart / 2
        low, high = centre - WINDOW * seen, centre + WINDOW * seen
        low[:, 1:] = np.maximum(low[:, 1:], middle)
        high[:, :-1] = np.minimum(high[:, :-1], middle)
        blended = np.zeros(centre.shape, dtype=bool)
        blended[:, 1:] |= apart < WINDOW * seen[:, 1:] + seen[:, :-1]
        blended[:, :-1] |= apart < WINDOW * seen[:, :-1] + seen[:, 1:]
        return cls(centre, fwhm / FWHM_PER_SIGMA, seen, low, high, first, last, blended)


def as_pixels(wavelength: FloatArray, flam: FloatArray, flam_err: FloatArray, mask: Any) -> Pixels:
    """Return the pixels of spectra, of one grid or each of its own.

    Raises
    ------
    ValidationError
        For arrays that do not fit together.
    """
    flam, flam_err = np.atleast_2d(flam), np.atleast_2d(flam_err)
    good = good_pixels(flam, flam_err, None if mask is None else np.atleast_2d(mask))
    bounds = PixelBounds(*np.atleast_2d(*pixel_bounds(wavelength)))
    if bounds.low.shape[1] != flam.shape[1] or len(bounds.low) not in (1, len(flam)):
        raise ValidationError(
            f"wavelength has shape {np.shape(wavelength)}, flux {flam.shape}", hint="one shape"
        )
    values = np.where(good, flam, 0.0).astype(np.float64)
    return Pixels(bounds, values, np.square(np.where(good, flam_err, 0.0).astype(np.float64)), good)


def within(lines: LineSet, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the part of each profile between two wavelengths."""
    ndtr = import_ndtr()
    part = ndtr((high - lines.centre) / lines.sigma) - ndtr((low - lines.centre) / lines.sigma)
    return np.asarray(part)


def import_ndtr() -> Any:
    """Return the cumulative normal distribution of scipy, or say how to get it."""
    try:
        from scipy.special import ndtr
    except ImportError as err:
        raise missing_extra("measuring lines needs scipy", "deploy") from err
    return ndtr


class Part(NamedTuple):
    """Some of the lines to be measured: which, and the pixels and lines around each."""

    jobs: IntArray
    row: IntArray
    line: IntArray
    pixel: IntArray  # (job, m), and whether each is one
    is_pixel: BoolArray
    near: IntArray  # (job, k), and whether each is one
    is_near: BoolArray


def parts(
    lines: LineSet,
    pixels: Pixels,
    row: IntArray,
    line: IntArray,
    reach: float,
    partner: IntArray | None = None,
) -> Iterator[Part]:
    """Yield lines with what lies within ``reach`` FWHM, few enough at a time for the memory.

    That is, of a line's blend, and of its partner (one for each line, itself where it has none) where that is
    within 30 FWHM.
    """
    if not len(row):
        return
    around = reach * lines.fwhm
    low = np.take_along_axis(lines.centre, lines.first, 1)
    high = np.take_along_axis(lines.centre, lines.last, 1)
    if partner is not None:
        other = lines.centre[:, partner]
        other = np.where(np.abs(other - lines.centre) < FARTHEST * lines.fwhm, other, lines.centre)
        low, high = np.minimum(low, other), np.maximum(high, other)
    low, high = low - around, high + around
    start, stop = pixels.find(low)[row, line], pixels.find(high)[row, line]
    lowest, highest = (low - around / 3)[row, line, None], (high + around / 3)[row, line, None]
    first = np.sum(lines.centre[row] < lowest, axis=1)
    last = np.sum(lines.centre[row] <= highest, axis=1) - 1
    m, k = int((stop - start).max()) + 1, int((last - first).max()) + 1
    size = max(1, _BLOCK // (m * k))
    for begin in range(0, len(row), size):
        jobs = np.arange(begin, min(begin + size, len(row)))
        pixel = start[jobs, None] + np.arange(m)
        near = first[jobs, None] + np.arange(k)
        is_pixel, is_near = pixel <= stop[jobs, None], near <= last[jobs, None]
        pixel = np.minimum(pixel, pixels.values.shape[1] - 1)
        near = np.minimum(near, lines.centre.shape[1] - 1)
        yield Part(jobs, row[jobs], line[jobs], pixel, is_pixel, near, is_near)
