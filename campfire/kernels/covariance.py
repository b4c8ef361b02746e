"""Covariances of all pixels with all in little memory: a banded matrix, and a few modes.

What noise and resampling do correlates neighbours: ``near`` is sparse. What a calibration or a normalisation
does correlates all pixels, but in few ways: each is a column m of ``modes``, and adds ``sign * m m^T``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from campfire.kernels.overlap import import_sparse

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from campfire.typing import BoolArray, FloatArray

__all__ = ["Covariance", "compact", "decompose", "same_covariance", "scaled_matrix", "symmetric"]

_NOTHING = 1e-15  # of the largest eigenvalue: rounding
_MORE = 10  # random vectors beyond the number of modes


@dataclass(frozen=True, eq=False)
class Covariance:
    """The covariance of n pixels, ``near + sum_k signs[k] * modes[:, k] modes[:, k]^T``.

    It multiplies vectors and matrices as a matrix does; ``diagonal()``, ``toarray()`` and ``tocsr()`` are
    those of scipy's sparse arrays, but for the last two taking (n, n) values.

    Parameters
    ----------
    near
        Sparse, symmetric, shape (n, n).
    modes
        Shape (n, r).
    signs
        1 or -1, shape (r,): noise that entered twice and cancels takes away.
    labels
        Of every mode: empty where it belongs to this spectrum alone; else a text that identifies the one
        photometric measurement whose 1-sigma change the mode is. Spectra with the same label share its error,
        which their mean keeps.

    Examples
    --------
    >>> from scipy.sparse import eye_array
    >>> c = Covariance(eye_array(2).tocsr(), np.array([[1.0], [2.0]]), np.ones(1), ("",))
    >>> c.toarray()
    array([[2., 2.],
           [2., 5.]])
    >>> c @ np.array([1.0, 0.0]), c.diagonal()
    (array([2., 2.]), array([2., 5.]))
    """

    near: csr_array
    modes: FloatArray
    signs: FloatArray
    labels: tuple[str, ...]

    __array_ufunc__: ClassVar[None] = None  # numpy leaves products to __rmatmul__

    @classmethod
    def of(cls, matrix: Any) -> Covariance:
        """Return any covariance, or independent variances of shape (n,), as one of this kind."""
        if isinstance(matrix, Covariance):
            return matrix
        if isinstance(matrix, np.ndarray) and matrix.ndim == 1:
            matrix = import_sparse().diags_array(matrix).tocsr()
        return cls(matrix, np.empty((matrix.shape[0], 0)), np.empty(0), ())

    @property
    def plain(self) -> Covariance | csr_array:
        """The sparse matrix alone where there are no modes."""
        return self if self.labels else self.near

    @property
    def has_neighbours(self) -> bool:
        """True where ``near`` correlates pixels with others, as resampling does."""
        return bool(self.near.nnz > np.count_nonzero(self.near.diagonal()))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (len(self.modes), len(self.modes))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values."""
        return np.result_type(self.near.dtype, self.modes.dtype)

    def __matmul__(self, other: Any) -> FloatArray:
        values = other.toarray() if hasattr(other, "toarray") else np.asarray(other)
        weighted = self.signs.reshape(-1, *(1,) * (values.ndim - 1)) * (self.modes.T @ values)
        return np.asarray(self.near @ values + self.modes @ weighted)

    def __rmatmul__(self, other: Any) -> FloatArray:
        return np.asarray((self @ other.T).T)

    def diagonal(self) -> FloatArray:
        """Return the variances, shape (n,)."""
        return np.asarray(self.near.diagonal() + np.square(self.modes) @ self.signs)

    def toarray(self) -> FloatArray:
        """Return all values, shape (n, n)."""
        total = self.near.toarray() + (self.modes * self.signs) @ self.modes.T
        return np.asarray((total + total.T) / 2)

    def tocsr(self) -> csr_array:
        """Return all values as a scipy sparse array."""
        matrix: csr_array = import_sparse().csr_array(self.toarray())
        return matrix

    def own(self) -> tuple[FloatArray, FloatArray]:
        """Return modes and signs of what belongs to this spectrum alone."""
        chosen = [k for k, label in enumerate(self.labels) if not label]
        return self.modes[:, chosen], self.signs[chosen]

    def shared(self) -> dict[str, FloatArray]:
        """Return what a 1-sigma change of every measurement does: label -> (n,)."""
        return {label: mode for label, mode in zip(self.labels, self.modes.T, strict=True) if label}

    def at(self, pixels: Any) -> Covariance:
        """Return the covariance of some pixels, or of all in another order."""
        return replace(self, near=self.near[pixels][:, pixels], modes=self.modes[pixels])

    def in_slots(self, signs: FloatArray, labels: Sequence[str]) -> FloatArray:
        """Return the modes in places for given signs and labels, 0 where there is none; shape (n, place)."""
        result = np.zeros((len(self.modes), len(labels)))
        own = {sign: [k for k, t in enumerate(labels) if not t and signs[k] == sign] for sign in (1.0, -1.0)}
        for mode, sign, label in zip(self.modes.T, self.signs, self.labels, strict=True):
            place = labels.index(label) if label else own[float(sign)].pop(0)
            result[:, place] = mode
        return result

    def good(self, good: BoolArray) -> Covariance:
        """Return it without what belongs to pixels that are not good, whatever that is."""
        matrix = self.near.tocoo()
        row, column = matrix.coords
        keep = good[row] & good[column]
        near = type(matrix)((matrix.data[keep], (row[keep], column[keep])), shape=matrix.shape).tocsr()
        return replace(self, near=near, modes=np.where(good[:, None], self.modes, 0.0))

    def scaled(self, factor: FloatArray | float) -> Covariance:
        """Return the covariance of pixels times a factor, one a pixel or one for all."""
        factor = np.broadcast_to(np.asarray(factor, dtype=np.float64), len(self.modes))
        return replace(self, near=scaled_matrix(self.near, factor), modes=self.modes * factor[:, None])

    def transformed(self, matrix: Any) -> Covariance:
        """Return the covariance of ``matrix @ pixels``, a sparse matrix of shape (m, n)."""
        return replace(self, near=symmetric(matrix @ self.near @ matrix.T), modes=matrix @ self.modes)

    def propagated(self, scale: FloatArray | float, slope: FloatArray, fold: FloatArray) -> Covariance:
        """Return the covariance of ``scale * pixels - slope @ (fold @ pixels)``.

        That is what happens to pixels that are multiplied by something measured from them.

        Parameters
        ----------
        scale
            One factor, or one a pixel.
        slope
            Shape (n, k).
        fold
            Shape (k, n).
        """
        scale = np.broadcast_to(np.asarray(scale, dtype=np.float64), len(self.modes))
        base = self.scaled(scale)
        spread = (self.near @ fold.T).reshape(len(self.modes), -1)
        k = slope.shape[1]
        mixing = np.block([[fold @ spread, -np.eye(k)], [-np.eye(k), np.zeros((k, k))]])
        added, signs = compact(np.hstack([slope, scale[:, None] * spread]), mixing)
        kept = base.modes - slope @ (fold @ self.modes)
        return replace(
            base,
            modes=np.hstack([kept, added]),
            signs=np.concatenate([self.signs, signs]),
            labels=self.labels + ("",) * len(signs),
        )

    def with_own(self, modes: FloatArray) -> Covariance:
        """Return it with errors of this spectrum alone besides, shape (n, each)."""
        count = modes.shape[1]
        return replace(
            self,
            modes=np.hstack([self.modes, modes]),
            signs=np.concatenate([self.signs, np.ones(count)]),
            labels=self.labels + ("",) * count,
        )

    def with_shared(self, labels: Sequence[str], modes: FloatArray) -> Covariance:
        """Return it with the error of measurements besides; to one that is in it already, it is added."""
        total = self.modes.copy()
        known = {label: k for k, label in enumerate(self.labels) if label}
        new = [k for k, label in enumerate(labels) if label not in known]
        for k, label in enumerate(labels):
            if label in known:
                total[:, known[label]] += modes[:, k]
        return replace(
            self,
            modes=np.hstack([total, modes[:, new]]),
            signs=np.concatenate([self.signs, np.ones(len(new))]),
            labels=(*self.labels, *(labels[k] for k in new)),
        )


def compact(modes: FloatArray, mixing: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the fewest modes, and their signs, that make up ``modes @ mixing @ modes.T``.

    Parameters
    ----------
    modes
        Shape (n, r).
    mixing
        Symmetric, shape (r, r).

    Returns
    -------
    modes : numpy.ndarray
        Orthogonal, shape (n, at most r), those of positive sign first.
    signs : numpy.ndarray
        1 or -1, one a mode.

    Examples
    --------
    >>> modes, signs = compact(np.array([[1.0, 2.0], [1.0, 2.0]]), np.eye(2))
    >>> (modes * signs @ modes.T).round(12), signs
    (array([[5., 5.],
           [5., 5.]]), array([1.]))
    """
    directions, triangle = np.linalg.qr(modes)
    inner = triangle @ mixing @ triangle.T
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    size = np.abs(values)
    order = np.argsort(-values)
    chosen = order[size[order] > _NOTHING * size.max(initial=0.0)]
    result = directions @ (vectors[:, chosen] * np.sqrt(size[chosen]))
    # rounding must not correlate pixels that have no part in it
    part = np.any(modes != 0, axis=1, keepdims=True)
    return np.where(part, result, 0.0), np.sign(values[chosen])


def decompose(matrix: FloatArray, most: int) -> tuple[FloatArray, FloatArray]:
    """Return the largest modes of a symmetric matrix (n, n), and their signs; 0 where it has not so many.

    They come by size, and each is positive where it first reaches half of its largest value, so that matrices
    which differ by rounding have the same modes.

    Matrices of few modes need not be taken apart whole, which takes time as n cubed: products with random
    vectors, somewhat more than there are modes, span the same space (Halko et al. 2011, SIAM Rev. 53, 217).
    """
    matrix = (matrix + matrix.T) / 2
    n, count = len(matrix), most + _MORE
    if count < n // 4:
        basis = np.random.default_rng(0).standard_normal((n, count))
        for _ in range(2):
            basis = np.linalg.qr(matrix @ basis)[0]
        values, small = np.linalg.eigh(basis.T @ matrix @ basis)
        vectors = basis @ small
    else:
        values, vectors = np.linalg.eigh(matrix)
    size = np.abs(values)
    chosen = np.argsort(-size)[:most]
    chosen = chosen[size[chosen] > _NOTHING * size.max(initial=0.0)]
    modes, signs = np.zeros((len(matrix), most)), np.zeros(most)
    vectors = vectors[:, chosen]
    if len(chosen):
        first = np.argmax(np.abs(vectors) >= 0.5 * np.abs(vectors).max(axis=0), axis=0)
        vectors = vectors * np.where(vectors[first, np.arange(len(chosen))] < 0, -1.0, 1.0)
    modes[:, : len(chosen)] = vectors * np.sqrt(size[chosen])
    signs[: len(chosen)] = np.sign(values[chosen])
    modes[~np.any(matrix != 0, axis=1)] = 0.0  # rounding must not correlate pixels that have no part in it
    return modes, signs


def same_covariance(one: Any, other: Any) -> bool:
    """Tell whether two covariances, of any kind or None, hold the same numbers of the same types."""
    if one is None or other is None:
        return one is other
    a, b = Covariance.of(one), Covariance.of(other)
    near, same = a.near.sorted_indices(), b.near.sorted_indices()
    pairs = [(near.indptr, same.indptr), (near.indices, same.indices), (near.data, same.data)]
    return (
        a.shape == b.shape
        and a.labels == b.labels
        and near.dtype == same.dtype
        and all(np.array_equal(x, y) for x, y in pairs[:2])
        and all(
            np.array_equal(x, y, equal_nan=True)
            for x, y in (pairs[2], (a.modes, b.modes), (a.signs, b.signs))
        )
    )


def scaled_matrix(matrix: csr_array, factor: FloatArray) -> csr_array:
    """Return the sparse covariance of pixels multiplied by a factor each."""
    entries = matrix.tocoo()
    row, column = entries.coords
    result: csr_array = type(entries)(
        (entries.data * (factor[row] * factor[column]), (row, column)), shape=matrix.shape
    ).tocsr()
    return result


def symmetric(matrix: csr_array) -> csr_array:
    """Return a covariance with rounding differences between its two halves taken out."""
    result: csr_array = ((matrix + matrix.T) * 0.5).tocsr()
    return result
