"""Pixel covariances: symmetric sparse matrices, and the banded array that goes into a Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.arguments import shown
from campfire.errors import ValidationError
from campfire.installation import missing_extra
from campfire.kernels.covariance import Covariance
from campfire.schema import attrs_of
from campfire.text import text_variable

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from campfire.typing import FloatArray

__all__ = [
    "COVARIANCE_ATTRS",
    "MODE_ATTRS",
    "as_covariance",
    "as_sparse",
    "banded",
    "from_banded",
    "mode_variables",
]

_HELD = "campfire_covariance"

COVARIANCE_ATTRS = attrs_of("fnu_cov")
"""Attributes of ``fnu_cov`` in a Dataset."""

MODE_ATTRS = {
    "fnu_modes": attrs_of("fnu_modes"),
    "mode_sign": {"long_name": "1: adds to the covariance; -1: takes away"},
    "measurement": {
        "long_name": "photometric measurement the error comes from; empty: of this spectrum alone"
    },
}
"""Attributes of ``fnu_modes`` and its coordinates."""


def _sparse() -> Any:
    try:
        from scipy import sparse
    except ImportError as err:
        raise missing_extra("covariances need scipy", "deploy") from err
    return sparse


def as_covariance(matrix: Any, n: int) -> csr_array | Covariance:
    """Return a covariance as a ``scipy.sparse.csr_array`` without stored zeros, or with modes as it is.

    Parameters
    ----------
    matrix
        Any scipy sparse matrix or array-like of shape (n, n), or a ``Covariance``; microjansky squared.
    n
        Number of pixels.

    Raises
    ------
    ValidationError
        If it has another shape or is not symmetric.
    """
    matrix = vars(matrix).get(_HELD, matrix) if hasattr(matrix, "__dict__") else matrix
    if isinstance(matrix, Covariance):
        used = np.flatnonzero(matrix.modes.any(axis=0))
        return Covariance(
            _as_matrix(matrix.near, n),
            np.array(matrix.modes[:, used], dtype=np.float64),
            np.array(matrix.signs[used], dtype=np.float64),
            tuple(matrix.labels[k] for k in used),
        ).plain
    return _as_matrix(matrix, n)


def as_sparse(covariance: csr_array | Covariance) -> csr_array:
    """Return all values of a covariance as a scipy sparse array that remembers the modes it was made of.

    Its values are read-only: what is changed or computed from it is another matrix, without that memory.
    """
    if not isinstance(covariance, Covariance):
        return covariance
    matrix = covariance.tocsr()
    matrix.data.setflags(write=False)
    vars(matrix)[_HELD] = covariance
    return matrix


def _as_matrix(matrix: Any, n: int) -> csr_array:
    try:
        result: csr_array = _sparse().csr_array(matrix)
        if result.dtype.kind != "f":
            result = result.astype(np.float64)
    except (TypeError, ValueError, AttributeError) as err:
        raise ValidationError(
            f"covariance={shown(matrix)} is no matrix",
            hint=f"pass numbers of shape {(n, n)}, sparse or dense",
        ) from err
    if result.shape != (n, n):
        raise ValidationError(f"covariance has shape {result.shape}", hint=f"expected {(n, n)}")
    result = result.astype(result.dtype.newbyteorder("="), copy=result is matrix)
    result.sum_duplicates()
    result.eliminate_zeros()
    if np.any((result - result.T).data != 0) and not _same_triangles(result):
        raise ValidationError("covariance is not symmetric", hint="pass (C + C.T) / 2")
    return result


def _same_triangles(matrix: Any) -> bool:
    # Only reached for matrices that hold NaN or infinities, whose difference is not 0.
    a, b = matrix.toarray(), matrix.T.toarray()
    return bool(np.array_equal(a, b, equal_nan=True))


def banded(matrix: Any) -> FloatArray:
    """Return the upper triangle of a symmetric covariance as bands.

    Parameters
    ----------
    matrix
        Sparse or dense, shape (n, n), microjansky squared.

    Returns
    -------
    numpy.ndarray
        Shape (n, lags): element [i, k] is the covariance of pixels i and i + k, 0 where there is no such
        pixel; lags is one more than the largest distance of two correlated pixels.

    Examples
    --------
    >>> banded([[4.0, 1.0], [1.0, 9.0]])
    array([[4., 1.],
           [9., 0.]])
    """
    shape = np.shape(matrix)
    upper = _as_matrix(matrix, shape[0] if shape else 0).tocoo()
    row, column = upper.coords
    keep = column >= row
    lag = (column - row)[keep]
    bands = np.zeros((upper.shape[0], int(lag.max(initial=0)) + 1), dtype=upper.dtype)
    bands[row[keep], lag] = upper.data[keep]
    return bands


def mode_variables(covariance: Covariance, attrs: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """Return ``fnu_modes`` of one spectrum, with attributes, and its coordinates: dims, values, attrs."""
    coords = {
        "mode_sign": ("mode", covariance.signs, dict(MODE_ATTRS["mode_sign"])),
        "measurement": text_variable("mode", list(covariance.labels), MODE_ATTRS["measurement"]),
    }
    return (("wavelength", "mode"), covariance.modes, MODE_ATTRS["fnu_modes"] | attrs), coords


def from_banded(bands: Any) -> csr_array:
    """Return the symmetric sparse matrix of the bands that :func:`banded` gives.

    Bands that reach beyond the last pixel, as those of a spectrum that was cut there do, end with it.

    Examples
    --------
    >>> from_banded([[4.0, 1.0], [9.0, 0.0]]).toarray()
    array([[4., 1.],
           [1., 9.]])
    """
    values = np.asarray(bands)
    if values.ndim != 2:
        raise ValidationError(f"covariance bands have shape {values.shape}", hint="expected (pixel, lag)")
    n = values.shape[0]
    row, lag = np.nonzero(values)
    inside = row + lag < n
    row, lag = row[inside], lag[inside]
    column = row + lag
    data = values[row, lag]
    off = lag > 0
    matrix = _sparse().csr_array(
        (
            np.concatenate([data, data[off]]),
            (np.concatenate([row, column[off]]), np.concatenate([column, row[off]])),
        ),
        shape=(n, n),
    )
    return _as_matrix(matrix, n)
