"""Wavelength grids: their check, the edges of their pixels, and which pixels can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.errors import ValidationError
from campfire.schema import normalise_mask

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import EllipsisType

    from numpy.typing import NDArray

    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = [
    "PixelBounds",
    "check_grid",
    "good_pixels",
    "pixel_bounds",
    "pixel_edges",
    "rising",
    "shared_grid",
]

_NEAR = 5  # steps on either side that a step is compared with
_FAR_LARGER = 2.5  # than their median: pixels are missing there
_LARGER = 1.7  # than all of them but one; a single pixel is missing from a regular grid
_FEW, _MANY = 4, 8  # neighbours without which the one, and the other, tell nothing
_BLOCK = 16384  # pixels looked at at a time: what stays in the cache of a processor
_SMOOTH = 1.1  # ratio of steps in a row; five of less than that are not yet _LARGER


def check_grid(wavelength: Any, name: str = "wavelength") -> FloatArray:
    """Return a 1-D grid as float64 after checking that it has at least two pixels and increases.

    Parameters
    ----------
    wavelength
        Pixel centres in microns.
    name
        What it is called in the error message.

    Raises
    ------
    ValidationError
        If it has another shape, is too short, not finite or positive, unsorted, or repeats a value.

    Examples
    --------
    >>> check_grid([1, 2, 4])
    array([1., 2., 4.])
    """
    try:
        grid = np.asarray(wavelength, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValidationError(f"{name} is not numeric: {wavelength!r}", hint="pass microns") from err
    if grid.ndim != 1 or len(grid) < 2:
        raise ValidationError(
            f"{name} has shape {grid.shape}", hint="pass a 1-D array of at least two pixels"
        )
    rising = grid[1:] > grid[:-1]  # False for NaN
    if not rising.all() or grid[0] <= 0 or grid[-1] == np.inf:
        if not (np.all(np.isfinite(grid)) and grid.min() > 0):
            raise ValidationError(f"{name} is not finite and positive everywhere", hint="pass microns")
        where = int(np.argmin(rising))
        raise ValidationError(
            f"{name} does not increase: pixel {where + 1} is at {grid[where + 1]:g} after {grid[where]:g}",
            hint="sort the pixels by wavelength, and keep each wavelength once",
        )
    return grid


def rising(wavelength: Any) -> slice | EllipsisType:
    """Return the index that turns round a 1-D grid that decreases throughout, and leaves any other as it is.

    Examples
    --------
    >>> grid = np.array([3.0, 2.0, 1.0])
    >>> grid[rising(grid)]
    array([1., 2., 3.])
    """
    grid = np.asarray(wavelength)
    # the ends tell most grids apart
    falling = grid.ndim == 1 and len(grid) > 1 and grid[0] > grid[-1] and bool(np.all(grid[1:] < grid[:-1]))
    return slice(None, None, -1) if falling else ...


def pixel_edges(wavelength: FloatArray) -> FloatArray:
    """Return the edges of pixels: midway between centres; the outer pixels are symmetric about theirs.

    Parameters
    ----------
    wavelength
        Centres, shape (n,), or (spectrum, n) with NaN after the last pixel of each row.

    Returns
    -------
    numpy.ndarray
        Shape (n + 1,) or (spectrum, n + 1), float64. In a padded row the edges after the last pixel repeat
        the last one, so that pixels of the padding have no width.

    Raises
    ------
    ValidationError
        If a row has fewer than two pixels, does not increase, or has NaN elsewhere than at its end.

    Examples
    --------
    >>> pixel_edges(np.array([1.0, 2.0, 4.0]))
    array([0.5, 1.5, 3. , 5. ])
    """
    if np.ndim(wavelength) == 1:
        grid = check_grid(wavelength)
        result = np.empty(len(grid) + 1)
        result[1:-1] = (grid[1:] + grid[:-1]) / 2
        result[0] = grid[0] - (grid[1] - grid[0]) / 2
        result[-1] = grid[-1] + (grid[-1] - grid[-2]) / 2
        return result
    grid = np.asarray(wavelength, dtype=np.float64)
    if grid.ndim != 2:
        raise ValidationError(f"wavelength has shape {grid.shape}", hint="pass (pixel,) or (spectrum, pixel)")
    edges = np.empty((grid.shape[0], grid.shape[1] + 1))
    if grid.shape[1] > 1:
        np.add(grid[:, 1:], grid[:, :-1], out=edges[:, 1:-1])
        edges[:, 1:-1] *= 0.5
        edges[:, 0] = grid[:, 0] - (grid[:, 1] - grid[:, 0]) / 2
        edges[:, -1] = grid[:, -1] + (grid[:, -1] - grid[:, -2]) / 2
        if np.all(grid[:, 1:] > grid[:, :-1]) and np.all(np.isfinite(edges[:, [0, -1]])):
            return edges
    valid = np.isfinite(grid)
    count = valid.sum(axis=1)
    inside = np.arange(1, grid.shape[1])[None, :] < count[:, None]
    bad = (count < 2) | np.any(valid[:, 1:] & ~valid[:, :-1], axis=1)
    bad |= np.any(inside & ~(grid[:, 1:] > grid[:, :-1]), axis=1)
    if bad.any():
        raise ValidationError(
            f"wavelength does not increase in row {int(np.argmax(bad))}",
            hint="every row needs at least two increasing pixels, and NaN only after the last one",
        )
    rows = np.arange(len(grid))
    end = grid[rows, count - 1] + (grid[rows, count - 1] - grid[rows, count - 2]) / 2
    return np.where(np.arange(edges.shape[1])[None, :] >= count[:, None], end[:, None], edges)


class PixelBounds(NamedTuple):
    """Where pixels begin and end, microns; arrays of one shape, (n,) or (spectrum, n)."""

    low: FloatArray
    high: FloatArray

    @property
    def width(self) -> FloatArray:
        """Of every pixel; 0 in the padding."""
        return self.high - self.low

    @property
    def apart(self) -> BoolArray:
        """True for pixels that do not end where the next begins; shape (..., n - 1)."""
        return np.asarray(self.high[..., :-1] != self.low[..., 1:])

    def at(self, index: Any) -> PixelBounds:
        """Return the bounds of some of the rows, or of some of the pixels."""
        return PixelBounds(self.low[index], self.high[index])

    def each(self, function: Callable[[FloatArray], NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a function of ``low`` and of ``high``, called once for edges that pixels share.

        It may add axes at the end. The results may overlap in memory.
        """
        if self.apart.any():
            return function(self.low), function(self.high)
        values = function(np.concatenate([self.low, self.high[..., -1:]], axis=-1))
        first = (slice(None),) * (self.low.ndim - 1)
        return values[(*first, slice(None, -1))], values[(*first, slice(1, None))]


def pixel_bounds(wavelength: FloatArray) -> PixelBounds:
    """Return where pixels begin and end: midway between neighbours, but not across a gap.

    Where pixels are missing, because a detector has a gap or somebody dropped them, a step is far larger than
    those around it: 2.5 times their median, or 1.7 times all of ten but one. The pixels at a gap are
    symmetric about their centres, as the outermost are.

    Parameters
    ----------
    wavelength
        As for :func:`pixel_edges`.

    Raises
    ------
    ValidationError
        As there.

    Examples
    --------
    >>> bounds = pixel_bounds(np.array([1.0, 2.0, 3.0, 10.0, 11.0, 12.0]))
    >>> bounds.low, bounds.high
    (array([ 0.5,  1.5,  2.5,  9.5, 10.5, 11.5]), array([ 1.5,  2.5,  3.5, 10.5, 11.5, 12.5]))
    """
    edges = pixel_edges(wavelength)
    grid = np.atleast_2d(np.asarray(wavelength, dtype=np.float64))
    row, left, usual = _gaps(grid)
    if not len(row):
        return PixelBounds(edges[..., :-1], edges[..., 1:])
    ends = np.atleast_2d(edges)
    low, high = ends[:, :-1].copy(), ends[:, 1:].copy()
    last = np.isfinite(grid).sum(axis=1)[row] - 1
    alone = np.zeros(ends.shape, dtype=bool)  # edges that are no longer midway
    alone[:, 0], alone[row, last + 1], alone[row, left + 1] = True, True, True
    right = left + 1
    before = np.where(alone[row, left], usual / 2, grid[row, left] - low[row, left])
    after = np.where(alone[row, right + 1], usual / 2, high[row, right] - grid[row, right])
    high[row, left], low[row, right] = grid[row, left] + before, grid[row, right] - after
    first = left == 0
    low[row[first], 0] = grid[row[first], 0] - before[first]
    for k in np.flatnonzero(right == last):
        high[row[k], last[k] :] = low[row[k], last[k] + 1 :] = grid[row[k], last[k]] + after[k]
    return PixelBounds(low.reshape(np.shape(wavelength)), high.reshape(np.shape(wavelength)))


def _gaps(grid: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Return row and pixel before every gap of grids (row, n), and the step that is usual around it."""
    size = max(1, _BLOCK // grid.shape[1])
    uneven = np.empty(len(grid), dtype=bool)
    for first in range(0, len(grid), size):
        uneven[first : first + size] = _uneven(grid[first : first + size])
    rows = np.flatnonzero(uneven)
    if not len(rows):
        return rows, rows, grid[:0, 0]
    step = np.diff(grid[rows])
    padded = np.pad(step, [(0, 0), (_NEAR, _NEAR)], constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEAR + 1, axis=1)
    row, left = np.nonzero(step > _LARGER * np.fmin.reduce(windows, axis=2, initial=np.inf))
    found = windows[row, left]
    own = found[:, _NEAR].copy()
    found[:, _NEAR] = np.nan
    found.sort(axis=1)
    count, k = np.isfinite(found).sum(axis=1), np.arange(len(found))
    median = (found[k, np.maximum(count - 1, 0) // 2] + found[k, count // 2]) / 2
    larger = np.where(count >= _MANY, _LARGER * found[k, np.maximum(count - 2, 0)], np.inf)
    gap = (count >= _FEW) & (own > np.minimum(_FAR_LARGER * median, larger))
    return rows[row[gap]], left[gap], median[gap]


def _uneven(grid: FloatArray) -> BoolArray:
    """Return which rows have steps so different from the next that pixels may be missing."""
    step = grid[:, 1:] - grid[:, :-1]
    left, right = step[:, :-1], step[:, 1:]  # NaN in the padding, which compares as False
    return np.asarray(((right > _SMOOTH * left) | (left > _SMOOTH * right)).any(axis=1))


def shared_grid(wavelength: FloatArray) -> FloatArray:
    """Return the one grid of spectra that all have the same, shape (n,); grids of their own as they are.

    Examples
    --------
    >>> shared_grid(np.array([[1.0, 2.0], [1.0, 2.0]]))
    array([1., 2.])
    """
    if wavelength.ndim != 2 or len(wavelength) < 2 or not np.all(wavelength[:, 0] == wavelength[0, 0]):
        return wavelength  # the first pixels tell most apart
    same = np.all(np.isfinite(wavelength[0])) and np.all(wavelength == wavelength[0])
    return wavelength[0] if same else wavelength


def good_pixels(flux: FloatArray, error: FloatArray, mask: BoolArray | None = None) -> BoolArray:
    """Return True for pixels with a finite flux, a finite positive error, and no mask.

    Raises
    ------
    ValidationError
        If the shapes differ, or the mask is not boolean.
    """
    if np.shape(flux) != np.shape(error):
        raise ValidationError(
            f"flux has shape {np.shape(flux)}, its error {np.shape(error)}", hint="pass arrays of one shape"
        )
    return ~normalise_mask(np.asarray(flux), np.asarray(error), mask)
