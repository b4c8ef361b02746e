"""Covariances of neighbouring pixels: banded arrays (pixel, lag) and the sparse matrices they stand for.

Element [i, k] of a banded array is the covariance of pixels i and i + k. Only the upper half is kept; lags
that reach beyond the last pixel are zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from campfire.typing import FloatArray

__all__ = ["check_covariance", "lags_to_matrix", "matrix_to_lags", "scale_lags"]


def lags_to_matrix(lags: FloatArray) -> csr_array:
    """Return the symmetric sparse matrix of a banded covariance of shape (pixel, lag).

    Examples
    --------
    >>> lags_to_matrix(np.array([[2.0, 1.0], [3.0, 0.0]])).toarray()
    array([[2., 1.],
           [1., 3.]])
    """
    from scipy.sparse import dia_array

    n, n_lag = lags.shape
    used = min(n, n_lag)
    data = np.zeros((2 * used - 1, n))
    offsets = np.concatenate([np.arange(used), -np.arange(1, used)])
    for k in range(used):
        data[k, k:] = lags[: n - k, k]
        if k:
            data[used - 1 + k, : n - k] = lags[: n - k, k]
    matrix = dia_array((data, offsets), shape=(n, n)).tocsr()
    matrix.eliminate_zeros()
    return matrix


def matrix_to_lags(matrix: Any) -> FloatArray:
    """Return the banded array of a symmetric sparse matrix; as wide as its furthest element.

    Examples
    --------
    >>> matrix_to_lags(lags_to_matrix(np.array([[2.0, 1.0], [3.0, 0.0]])))
    array([[2., 1.],
           [3., 0.]])
    """
    entries = matrix.tocoo()
    lag = entries.col - entries.row
    upper = lag >= 0
    result = np.zeros((matrix.shape[0], int(lag.max(initial=0)) + 1))
    result[entries.row[upper], lag[upper]] = entries.data[upper]
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


def check_covariance(covariance: Any, n: int) -> csr_array | None:
    """Return a covariance as a sparse matrix after checking its shape; None stays None.

    Raises
    ------
    ValidationError
        If it is not of shape (n, n).
    """
    if covariance is None:
        return None
    from scipy.sparse import csr_array

    matrix = csr_array(covariance)
    if matrix.shape != (n, n):
        raise ValidationError(f"the covariance has shape {matrix.shape}", hint=f"expected {(n, n)}")
    return matrix
