"""Wavelength grids: their check, the edges of their pixels, and which pixels can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.schema import normalise_mask

if TYPE_CHECKING:
    from types import EllipsisType

    from campfire.typing import BoolArray, FloatArray

__all__ = ["check_grid", "good_pixels", "pixel_edges", "rising", "shared_grid"]


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
