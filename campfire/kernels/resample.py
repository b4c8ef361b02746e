"""Flux-conserving resampling with masks, variances and covariances.

A spectrum is constant over each of its pixels. An output pixel is the mean of the good input under it,
weighted by overlap; it is masked where less than half of it is covered by good input. With full coverage the
integral of the flux density over wavelength is kept. (The scheme of Carnall 2017, arXiv:1705.05165, with
masks and covariances.)

The work is done on *pieces*: the parts into which the edges of the output grid cut the good input pixels.
They are found for all pixels of all spectra at once, whatever their grids, and come in output order: no loop
over spectra, no sort, and no small number as the difference of two large sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from campfire.errors import ValidationError
from campfire.kernels.grids import good_pixels, pixel_edges

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = [
    "MIN_PIXEL_COVERAGE",
    "Pieces",
    "Resampled",
    "cut",
    "overlap_matrix",
    "resample",
    "resample_matrix",
]

MIN_PIXEL_COVERAGE = 0.5
"""An output pixel of which less than this fraction is covered by good input is masked."""

_TOLERANCE = 1e-9  # of a pixel: rounding of edges must not decide on a mask


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
    spectrum = column // good.shape[1]
    at = column + spectrum  # the same pixel in the flattened edges, which have one more a row
    low, high = edges.ravel()[at], edges.ravel()[at + 1]
    first = np.maximum(place.ravel()[at], 0)
    end = place.ravel()[at + 1]
    end = end - (grid_edges[np.maximum(end, 0)] == high)  # a pixel ending on an edge has no part beyond it
    last = np.minimum(end, n_out - 1)
    count = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(column)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    target = first[owner] + step
    width = np.minimum(high[owner], grid_edges[target + 1]) - np.maximum(low[owner], grid_edges[target])
    return Pieces(spectrum[owner] * n_out + target, column[owner], np.maximum(width, 0.0), len(good) * n_out)


class Resampled(NamedTuple):
    """Spectra on the output grid; shape (m,) or (spectrum, m).

    ``flux`` and ``error`` are NaN where ``mask`` is True; ``coverage`` is the fraction of the output pixel
    under good input. ``covariance`` has one more axis, the lag: [..., i, k] belongs to pixels i and i + k.
    """

    flux: FloatArray
    error: FloatArray
    mask: BoolArray
    coverage: FloatArray
    covariance: FloatArray | None


def resample(
    wavelength: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    grid: FloatArray,
    *,
    mask: BoolArray | None = None,
    covariance: bool = False,
) -> Resampled:
    """Bring one or many spectra onto one grid.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, increasing: (n,) shared by all spectra, or (spectrum, n) with NaN after the
        last pixel of each row.
    flux, error
        Flux density and its 1-sigma error, shape (n,) or (spectrum, n). Errors of input pixels are taken as
        independent; :func:`resample_matrix` takes others.
    grid
        Output pixel centres in microns, increasing, shape (m,).
    mask
        True for pixels not to be used; pixels without a finite flux and a positive error are left out anyway.
    covariance
        Also return the covariance of output pixels that share input pixels.

    Returns
    -------
    Resampled
        Float64 arrays of shape (m,) or (spectrum, m).

    Raises
    ------
    ValidationError
        For grids that do not increase, arrays that do not fit together, or a mask that is not boolean.

    Examples
    --------
    >>> wave = np.array([1.0, 2.0, 3.0, 4.0])
    >>> out = resample(wave, np.array([1.0, 3.0, 5.0, 7.0]), np.ones(4), np.array([1.5, 3.5]))
    >>> out.flux, out.error.round(3)
    (array([2., 6.]), array([0.707, 0.707]))
    """
    flux, error = np.asarray(flux), np.asarray(error)
    wavelength = np.asarray(wavelength)
    edges, grid_edges = pixel_edges(wavelength), pixel_edges(grid)
    if wavelength.shape != flux.shape[-wavelength.ndim :] or flux.ndim not in (1, 2):
        raise ValidationError(
            f"wavelength has shape {wavelength.shape}, flux {flux.shape}",
            hint="pass (pixel,) or (spectrum, pixel); a 1-D wavelength is shared",
        )
    good = good_pixels(flux, error, mask)
    shape = (*flux.shape[:-1], len(grid_edges) - 1)
    if wavelength.ndim < flux.ndim and not covariance:
        width, total, square = _shared(edges, grid_edges, flux, error, good)
        lags = None
    else:
        pieces = cut(np.broadcast_to(edges, (*flux.shape[:-1], edges.shape[-1])), grid_edges, good)
        values = np.where(good, flux, 0.0).ravel()[pieces.column]
        variance = np.square(np.where(good, error, 0.0).ravel()[pieces.column], dtype=np.float64)
        weighted = pieces.width * values
        width, total = pieces.sum(pieces.width), pieces.sum(weighted)
        square = pieces.sum(np.square(pieces.width) * variance)
        lags = _lags(pieces, pieces.width, variance, pieces.row, pieces.n_rows) if covariance else None
    sums = (width.reshape(shape), total.reshape(shape), square.reshape(shape))
    return _finish(*sums, np.diff(grid_edges), lags)


def _finish(
    width: FloatArray, total: FloatArray, square: FloatArray, pixel: FloatArray, lags: FloatArray | None
) -> Resampled:
    """Turn sums over pieces into means."""
    coverage = np.minimum(width / pixel, 1.0)
    mask = coverage < MIN_PIXEL_COVERAGE - _TOLERANCE
    divisor = np.where(mask, np.nan, width)
    if lags is None:
        return Resampled(total / divisor, np.sqrt(square) / divisor, mask, coverage, None)
    lags = lags.reshape(*width.shape, lags.shape[-1])
    # masked pixels get no covariance with anything, so that sums over good pixels stay simple
    scale = np.where(mask, 0.0, 1.0 / np.where(mask, 1.0, width))
    return Resampled(total / divisor, np.sqrt(square) / divisor, mask, coverage, _scale_lags(lags, scale))


def _scale_lags(lags: FloatArray, scale: FloatArray) -> FloatArray:
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


def _lags(pieces: Pieces, factor: FloatArray, variance: FloatArray, row: IntArray, n_rows: int) -> FloatArray:
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


def combined_lags(
    wavelength: FloatArray, error: FloatArray, good: BoolArray, grid: FloatArray, weights: FloatArray
) -> FloatArray:
    """Return the banded covariance of a weighted sum of resampled spectra.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, shape (n,) or (spectrum, n), as for :func:`resample`.
    error
        1-sigma errors of the input, independent, shape (spectrum, n).
    good
        True for pixels to be used, shape (spectrum, n).
    grid
        Output pixel centres in microns, shape (m,).
    weights
        How much every resampled pixel counts, shape (spectrum, m).

    Returns
    -------
    numpy.ndarray
        Shape (m, lag): element [i, k] is the covariance of pixels i and i + k of the sum. It needs no memory
        for the covariances of the single spectra.
    """
    edges, grid_edges = pixel_edges(wavelength), pixel_edges(grid)
    pieces = cut(np.broadcast_to(edges, (len(good), edges.shape[-1])), grid_edges, good)
    width = pieces.sum(pieces.width)
    scale = weights.ravel() / np.where(width > 0, width, 1.0)
    variance = np.square(np.where(good, error, 0.0).ravel()[pieces.column], dtype=np.float64)
    n_out = len(grid_edges) - 1
    return _lags(pieces, pieces.width * scale[pieces.row], variance, pieces.row % n_out, n_out)


def _shared(
    edges: FloatArray, grid_edges: FloatArray, flux: FloatArray, error: FloatArray, good: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sum many spectra with one grid: one sparse matrix times all of them."""
    matrix = overlap_matrix(edges, grid_edges)
    full = bool(good.all())
    values = np.asarray(flux if full else np.where(good, flux, 0.0), dtype=np.float64)
    sigma = np.asarray(error if full else np.where(good, error, 0.0), dtype=np.float64)
    total = (matrix @ values.T).T
    square = (matrix.power(2) @ np.square(sigma).T).T
    if full:
        width: FloatArray = np.broadcast_to(np.asarray(matrix.sum(axis=1), dtype=np.float64), total.shape)
    else:
        width = (matrix @ good.astype(np.float64).T).T
    return width, total, square


def import_sparse() -> Any:
    """Return scipy.sparse, or say how to get it."""
    try:
        from scipy import sparse
    except ImportError as err:
        raise ImportError('resampling needs scipy: pip install "campfire[deploy]"') from err
    return sparse


def overlap_matrix(edges: FloatArray, grid_edges: FloatArray) -> csr_array:
    """Return the overlap in microns of every output pixel with every input pixel.

    Parameters
    ----------
    edges, grid_edges
        Edges of input and output pixels in microns, shapes (n + 1,) and (m + 1,).

    Returns
    -------
    scipy.sparse.csr_array
        Shape (m, n).

    Examples
    --------
    >>> overlap_matrix(np.array([0.0, 1.0, 2.0]), np.array([0.5, 2.0])).toarray()
    array([[0.5, 1. ]])
    """
    n_in, n_out = len(edges) - 1, len(grid_edges) - 1
    pieces = cut(edges, grid_edges, np.ones(n_in, dtype=bool))
    starts = np.searchsorted(pieces.row, np.arange(n_out + 1))
    matrix: csr_array = import_sparse().csr_array((pieces.width, pieces.column, starts), shape=(n_out, n_in))
    return matrix


def resample_matrix(
    wavelength: FloatArray, grid: FloatArray, good: BoolArray
) -> tuple[csr_array, BoolArray, FloatArray]:
    """Return the resampling of one spectrum as a matrix.

    Parameters
    ----------
    wavelength
        Input pixel centres in microns, increasing, shape (n,).
    grid
        Output pixel centres, shape (m,).
    good
        True for input pixels to be used, shape (n,).

    Returns
    -------
    matrix : scipy.sparse.csr_array
        Shape (m, n): resampled flux = matrix @ flux, its covariance = matrix @ C @ matrix.T. Columns of bad
        input pixels and rows of masked output pixels are zero.
    mask : numpy.ndarray
        True for masked output pixels, shape (m,).
    coverage : numpy.ndarray
        Fraction of each output pixel under good input, shape (m,).
    """
    sparse = import_sparse()
    grid_edges = pixel_edges(grid)
    overlap = overlap_matrix(pixel_edges(wavelength), grid_edges)
    width = overlap @ good.astype(np.float64)
    coverage = np.minimum(width / np.diff(grid_edges), 1.0)
    mask = coverage < MIN_PIXEL_COVERAGE - _TOLERANCE
    scale = np.zeros(len(width))
    scale[~mask] = 1.0 / width[~mask]
    matrix = sparse.diags_array(scale) @ overlap @ sparse.diags_array(good.astype(np.float64))
    return cast("Any", matrix).tocsr(), mask, coverage
