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

_BLOCK = 16384  # pixels worked on at a time: what stays in the cache of a processor
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
    if wavelength.ndim < flux.ndim and not covariance:
        return _shared(edges, grid_edges, flux, error, good)
    shape = (*flux.shape[:-1], len(grid_edges) - 1)
    flux, error, good = np.atleast_2d(flux), np.atleast_2d(error), np.atleast_2d(good)
    edges = np.broadcast_to(edges, (len(flux), edges.shape[-1]))
    size = max(1, _BLOCK // flux.shape[-1])
    blocks = []
    for k in range(0, max(len(flux), 1), size):
        rows = slice(k, k + size)
        blocks.append(_block(edges[rows], grid_edges, flux[rows], error[rows], good[rows], covariance))
    return _joined(blocks, shape)


def _block(
    edges: FloatArray,
    grid_edges: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    good: BoolArray,
    covariance: bool,
) -> Resampled:
    """Resample some spectra, each with its own edges."""
    shape = (len(flux), len(grid_edges) - 1)
    pieces = cut(edges, grid_edges, good)
    values = flux.ravel()[pieces.column]
    variance = np.square(error.ravel()[pieces.column], dtype=np.float64)
    width = pieces.sum(pieces.width).reshape(shape)
    total = pieces.sum(pieces.width * values).reshape(shape)
    square = pieces.sum(np.square(pieces.width) * variance).reshape(shape)
    coverage = np.minimum(width / np.diff(grid_edges), 1.0)
    mask = coverage < MIN_PIXEL_COVERAGE - _TOLERANCE
    divisor = np.where(mask, np.nan, width)
    lags = None
    if covariance:
        lags = _lags(pieces, pieces.width, variance, pieces.row, pieces.n_rows).reshape(*shape, -1)
        # masked pixels get no covariance with anything, so that sums over good pixels stay simple
        lags = _scale_lags(lags, np.where(mask, 0.0, 1.0 / np.where(mask, 1.0, width)))
    return Resampled(total / divisor, np.sqrt(square) / divisor, mask, coverage, lags)


def _joined(blocks: list[Resampled], shape: tuple[int, ...]) -> Resampled:
    """Join blocks of rows; bands of covariance are as many as the widest block has."""
    lags = [block.covariance for block in blocks if block.covariance is not None]
    if len(blocks) > 1:
        joined = Resampled(
            np.concatenate([block.flux for block in blocks]),
            np.concatenate([block.error for block in blocks]),
            np.concatenate([block.mask for block in blocks]),
            np.concatenate([block.coverage for block in blocks]),
            _joined_lags(lags) if lags else None,
        )
    else:
        joined = blocks[0]
    return Resampled(
        joined.flux.reshape(shape),
        joined.error.reshape(shape),
        joined.mask.reshape(shape),
        joined.coverage.reshape(shape),
        None if joined.covariance is None else joined.covariance.reshape(*shape, -1),
    )


def _joined_lags(lags: list[FloatArray]) -> FloatArray:
    joined = np.zeros((sum(map(len, lags)), lags[0].shape[1], max(part.shape[2] for part in lags)))
    at = 0
    for part in lags:
        joined[at : at + len(part), :, : part.shape[2]] = part
        at += len(part)
    return joined


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
    edges = np.broadcast_to(edges, (len(good), edges.shape[-1]))
    n_out = len(grid_edges) - 1
    total: FloatArray = np.zeros((n_out, 1))
    size = max(1, _BLOCK // good.shape[1])
    for k in range(0, len(good), size):
        rows = slice(k, k + size)
        pieces = cut(edges[rows], grid_edges, good[rows])
        width = pieces.sum(pieces.width)
        scale = weights[rows].ravel() / np.where(width > 0, width, 1.0)
        variance = np.square(error[rows].ravel()[pieces.column], dtype=np.float64)
        lags = _lags(pieces, pieces.width * scale[pieces.row], variance, pieces.row % n_out, n_out)
        if lags.shape[1] > total.shape[1]:
            total, lags = lags, total
        total[:, : lags.shape[1]] += lags
    return total


def _shared(
    edges: FloatArray, grid_edges: FloatArray, flux: FloatArray, error: FloatArray, good: BoolArray
) -> Resampled:
    """Resample many spectra with one grid: one sparse matrix times all of them."""
    matrix = overlap_matrix(edges, grid_edges)
    squared = matrix.power(2)
    pixel = np.diff(grid_edges)[:, None]
    full = bool(good.all())
    width = matrix @ np.ones((flux.shape[1], 1)) if full else np.empty((0, 0))
    out = np.empty((2, len(flux), len(pixel)))
    masks, coverages = [], []
    size = max(1, _BLOCK // flux.shape[1])
    for k in range(0, len(flux), size):
        rows = slice(k, k + size)
        # the spectra are columns here, so that every element of the matrix meets contiguous memory
        values, sigma = _columns(flux[rows]), _columns(error[rows])
        if not full:
            used = _columns(good[rows])
            values, sigma = np.where(used, values, 0.0), np.where(used, sigma, 0.0)
            width = matrix @ used
        if k == 0 or not full:
            coverage = np.minimum(width / pixel, 1.0)
            mask = coverage < MIN_PIXEL_COVERAGE - _TOLERANCE
            scale = 1.0 / np.where(mask, np.nan, width)
            masks.append(mask.T)
            coverages.append(coverage.T)
        np.multiply((matrix @ values).T, scale.T, out=out[0, rows])
        np.multiply(np.sqrt(squared @ np.square(sigma)).T, scale.T, out=out[1, rows])
    shape = out.shape[1:]
    if full:
        return Resampled(
            out[0],
            out[1],
            np.array(np.broadcast_to(masks[0], shape)),
            np.broadcast_to(coverages[0], shape),
            None,
        )
    return Resampled(out[0], out[1], np.concatenate(masks), np.concatenate(coverages), None)


def _columns(rows: FloatArray | BoolArray) -> FloatArray:
    """Return rows as contiguous columns of float64."""
    return np.ascontiguousarray(rows.T, dtype=np.float64)


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
