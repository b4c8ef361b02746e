"""Pieces: the parts into which the edges of one grid cut the pixels of many others.

They are found for all pixels of all spectra at once, whatever their grids, and come in output order: no loop
over spectra, no sort, and no small number as the difference of two large sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from campfire.kernels.grids import PixelBounds

if TYPE_CHECKING:
    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["Pieces", "cut", "piece_lags", "scale_lags"]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Parts of input pixels, one output pixel each, ascending in ``row``.

    ``row`` is the output pixel (spectrum * n_out + pixel), ``column`` the input pixel in the flattened input,
    ``width`` the overlap in microns.
    """

    row: IntArray
    column: IntArray
    width: FloatArray
    n_rows: int

    def sum(self, values: FloatArray) -> FloatArray:
        """Sum values, one a piece, over output pixels; shape (n_rows,)."""
        return cast("FloatArray", np.bincount(self.row, weights=values, minlength=self.n_rows))


def cut(pixels: PixelBounds, grid: PixelBounds, good: BoolArray) -> Pieces:
    """Cut the good input pixels at the bounds of the output pixels.

    Parameters
    ----------
    pixels
        Input pixels, shape (n,) or (spectrum, n).
    grid
        Output pixels, shape (m,), increasing.
    good
        True for pixels to be used, shape (n,) or (spectrum, n).

    Returns
    -------
    Pieces
        Input pixels, or parts of them, outside all output pixels are left out.
    """
    n_out = len(grid.low)
    edges, number = np.append(grid.low, grid.high[-1]), None
    gaps = np.flatnonzero(grid.apart)
    if len(gaps):  # which count as pixels until the pieces are known
        edges = np.insert(edges, gaps + 1, grid.high[gaps])
        number = np.insert(np.arange(n_out), gaps + 1, -1)
    good = np.atleast_2d(good)
    pixels = PixelBounds(*np.atleast_2d(*pixels))
    # the index of the output pixel an edge is in: -1 before the grid, its length after it
    begins, ends = pixels.each(lambda at: np.searchsorted(edges, at, side="right") - 1)
    column = np.flatnonzero(good)
    low, high = pixels.low[good], pixels.high[good]
    first, last = np.maximum(begins[good], 0), ends[good]
    last -= edges[np.maximum(last, 0)] == high  # a pixel that ends on an edge has no part beyond it
    count = np.minimum(last, len(edges) - 2) - first + 1
    if count.size and count.min() <= 0:
        inside = count > 0
        column, first, count = column[inside], first[inside], count[inside]
        low, high = low[inside], high[inside]
    # pieces begin and end at edges of the grid, except where their pixel does
    end = np.cumsum(count)
    start = end - count
    target = np.arange(int(count.sum())) + np.repeat(first - start, count)
    left, right = edges[target], edges[target + 1]
    left[start] = np.maximum(left[start], low)
    right[end - 1] = np.minimum(right[end - 1], high)
    column, width = np.repeat(column, count), right - left
    if number is not None:
        target = number[target]
        seen = target >= 0
        target, column, width = target[seen], column[seen], width[seen]
    row = target if len(good) == 1 else target + column // good.shape[1] * n_out
    return Pieces(row, column, width, len(good) * n_out)


def piece_lags(
    pieces: Pieces, factor: FloatArray, variance: FloatArray, row: IntArray, n_rows: int
) -> FloatArray:
    """Return sums over shared input pixels of factor * factor' * variance, shape (n_rows, lag).

    Pieces of one input pixel follow each other, so the partner at lag k of a piece is k further on.
    """
    last = np.flatnonzero(np.append(pieces.column[1:] != pieces.column[:-1], True))
    longest = int(np.diff(last, prepend=-1).max(initial=1)) if len(row) else 1
    result = np.zeros((n_rows, longest))
    for k in range(longest):
        here = np.flatnonzero(pieces.column[k:] == pieces.column[: len(row) - k])
        product = factor[here] * factor[here + k] * variance[here]
        result[:, k] = np.bincount(row[here], weights=product, minlength=n_rows)
    return result


def scale_lags(lags: FloatArray, scale: FloatArray) -> FloatArray:
    """Return the banded covariance of pixels multiplied by ``scale``.

    Parameters
    ----------
    lags
        Shape (..., pixel, lag).
    scale
        Shape (..., pixel).
    """
    result = np.zeros(np.broadcast_shapes(lags.shape, (*scale.shape, lags.shape[-1])))
    n = scale.shape[-1]
    for k in range(min(lags.shape[-1], n)):
        result[..., : n - k, k] = lags[..., : n - k, k] * scale[..., : n - k] * scale[..., k:]
    return result
