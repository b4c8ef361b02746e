"""Resampling as a sparse matrix: the overlap of every output pixel with every input pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from campfire.installation import missing_extra
from campfire.kernels.grid_pieces import cut
from campfire.kernels.grids import PixelBounds, pixel_bounds

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from campfire.typing import BoolArray, FloatArray

__all__ = [
    "MIN_PIXEL_COVERAGE",
    "covered_pixels",
    "import_sparse",
    "lag_products",
    "overlap_matrix",
    "resample_matrix",
]

MIN_PIXEL_COVERAGE = 0.5
"""An output pixel of which less than this fraction is covered by good input is masked."""

_TOLERANCE = 1e-9  # of a pixel: rounding of edges must not decide on a mask


def covered_pixels(width: FloatArray, pixel: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return which fraction of each output pixel is covered, and which pixels are masked for too little."""
    coverage = np.minimum(width / pixel, 1.0)
    return coverage, coverage < MIN_PIXEL_COVERAGE - _TOLERANCE


def import_sparse() -> Any:
    """Return scipy.sparse, or say how to get it."""
    try:
        from scipy import sparse
    except ImportError as err:
        raise missing_extra("resampling needs scipy", "deploy") from err
    return sparse


def overlap_matrix(pixels: PixelBounds, grid: PixelBounds) -> csr_array:
    """Return the overlap in microns of every output pixel with every input pixel.

    Parameters
    ----------
    pixels, grid
        Bounds of input and output pixels, shapes (n,) and (m,).

    Returns
    -------
    scipy.sparse.csr_array
        Shape (m, n).

    Examples
    --------
    >>> pixels = PixelBounds(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    >>> overlap_matrix(pixels, PixelBounds(np.array([0.5]), np.array([2.0]))).toarray()
    array([[0.5, 1. ]])
    """
    n_in, n_out = len(pixels.low), len(grid.low)
    pieces = cut(pixels, grid, np.ones(n_in, dtype=bool))
    starts = np.searchsorted(pieces.row, np.arange(n_out + 1))
    matrix: csr_array = import_sparse().csr_array((pieces.width, pieces.column, starts), shape=(n_out, n_in))
    return matrix


def scaled_rows(matrix: csr_array, mask: BoolArray) -> csr_array:
    """Return overlaps (m, n) as weights that add up to 1 in every row; 0 in those of masked pixels."""
    width = np.asarray(matrix.sum(axis=1))
    scale = np.zeros(len(width))
    scale[~mask] = 1.0 / width[~mask]
    result: csr_array = (import_sparse().diags_array(scale) @ matrix).tocsr()
    return result


def lag_products(matrix: csr_array) -> tuple[csr_array, int]:
    """Return what makes covariances of resampled pixels of variances of input pixels.

    Parameters
    ----------
    matrix
        Overlaps as of :func:`overlap_matrix`, shape (m, n).

    Returns
    -------
    products : scipy.sparse.csr_array
        Shape (lags * m, n): row k * m + i times the variances is the covariance of pixels i and i + k, 0
        where there is none.
    lags : int
        How many: one more than the largest distance of two pixels that share input.

    Examples
    --------
    >>> pixels = PixelBounds(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    >>> grid = PixelBounds(np.array([0.0, 0.5]), np.array([0.5, 2.0]))
    >>> products, lags = lag_products(overlap_matrix(pixels, grid))
    >>> lags, products @ np.array([1.0, 2.0])
    (2, array([0.25, 2.25, 0.25, 0.  ]))
    """
    sparse: Any = import_sparse()
    m, n = matrix.shape
    blocks = []
    for k in range(m):
        product = matrix[: m - k].multiply(matrix[k:])
        if k and not product.nnz:
            break
        blocks.append(sparse.vstack([product, sparse.csr_array((k, n))]) if k else product)
    return cast("Any", sparse.vstack(blocks, format="csr")), len(blocks)


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
    bounds = pixel_bounds(grid)
    overlap = overlap_matrix(pixel_bounds(wavelength), bounds)
    used = (overlap @ sparse.diags_array(good.astype(np.float64))).tocsr()
    coverage, mask = covered_pixels(np.asarray(used.sum(axis=1)), bounds.width)
    return scaled_rows(used, mask), mask, coverage
