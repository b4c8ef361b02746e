"""Pieces: the parts into which the edges of one grid cut the pixels of many others.

They are found for all pixels of all spectra at once, whatever their grids, and come in output order: no loop
over spectra, no sort, and no small number as the difference of two large sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

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


def cut(edges: FloatArray, grid_edges: FloatArray, good: BoolArray) -> Pieces:
    """Cut the good input pixels at the edges of the output grid.

    Parameters
    ----------
    edges
        Edges of input pixels in microns, shape (n + 1,) or (spectrum, n + 1).
    grid_edges
        Edges of output pixels, shape (m + 1,), increasing.
    good
        True for pixels to be used, shape (n,) or (spectrum, n).

    Returns
    -------
    Pieces
        Input pixels, or parts of them, outside the output grid are left out.
    """
    n_out = len(grid_edges) - 1
    good = np.atleast_2d(good)
    edges = np.atleast_2d(edges)
    # the index of the output pixel an edge is in: -1 before the grid, n_out after it
    place = np.searchsorted(grid_edges, edges, side="right") - 1
    column = np.flatnonzero(good)
    low, high = edges[:, :-1][good], edges[:, 1:][good]
    first, last = np.maximum(place[:, :-1][good], 0), place[:, 1:][good]
    last -= grid_edges[np.maximum(last, 0)] == high  # a pixel that ends on an edge has no part beyond it
    count = np.minimum(last, n_out - 1) - first + 1
    if count.size and count.min() <= 0:
        inside = count > 0
        column, first, count = column[inside], first[inside], count[inside]
        low, high = low[inside], high[inside]
    # pieces begin and end at edges of the grid, except where their pixel does
    end = np.cumsum(count)
    start = end - count
    target = np.arange(int(count.sum())) + np.repeat(first - start, count)
    left, right = grid_edges[target], grid_edges[target + 1]
    left[start] = np.maximum(left[start], low)
    right[end - 1] = np.minimum(right[end - 1], high)
    column = np.repeat(column, count)
    row = target if len(good) == 1 else target + column // good.shape[1] * n_out
    return Pieces(row, column, right - left, len(good) * n_out)


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
