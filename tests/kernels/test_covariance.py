"""Statements checked: a matrix and a few modes do all that the dense covariance would, in little memory."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, diags_array

from campfire.kernels.covariance import Covariance, compact, decompose

N = 12


def make(seed: int, labels: tuple[str, ...] = ("", "a", "")) -> Covariance:
    rng = np.random.default_rng(seed)
    near = np.diag(rng.uniform(1, 2, N)) + np.diag(rng.uniform(-0.2, 0.2, N - 1), 1)
    signs = np.where([bool(label) for label in labels], 1.0, rng.choice([-1.0, 1.0], len(labels)))
    return Covariance(csr_array(near + near.T), rng.normal(size=(N, len(labels))), signs, labels)


@given(st.integers(0, 2**16))
def test_products_are_those_of_the_dense_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cov = make(seed)
    dense = cov.toarray()
    vector, matrix = rng.normal(size=N), rng.normal(size=(N, 4))
    sparse: Any = csr_array(np.where(rng.random((4, N)) < 0.3, rng.normal(size=(4, N)), 0.0))
    for got, expected in (
        (cov @ vector, dense @ vector),
        (vector @ cov, vector @ dense),
        (matrix.T @ cov @ matrix, matrix.T @ dense @ matrix),
        (sparse @ cov @ sparse.T, sparse @ dense @ sparse.T),
        (cov.diagonal(), np.diag(dense)),
        (cov.tocsr().toarray(), dense),
        (cov.transformed(sparse).toarray(), sparse @ dense @ sparse.T),
        (cov.scaled(vector).toarray(), vector[:, None] * dense * vector),
        (cov.scaled(-2.0).toarray(), 4 * dense),
        (cov.at(slice(None, None, -1)).toarray(), dense[::-1, ::-1]),
        (cov.at(np.array([3, 1])).toarray(), dense[[3, 1]][:, [3, 1]]),
        (pickle.loads(pickle.dumps(cov)).toarray(), dense),
    ):
        np.testing.assert_allclose(got, expected, atol=1e-12)
    assert cov.shape == dense.shape
    assert cov.dtype == dense.dtype


@given(st.integers(0, 2**16), st.integers(1, 3))
def test_propagation_is_that_of_the_linear_map(seed: int, k: int) -> None:
    """What multiplies pixels by something measured from them: L C L^T, so that nothing gets negative."""
    rng = np.random.default_rng(seed)
    scale, slope, fold = rng.normal(size=N), rng.normal(size=(N, k)), rng.normal(size=(k, N))
    cov = make(seed, ("", "a"))
    linear = np.diag(scale) - slope @ fold
    result = cov.propagated(scale, slope, fold)
    np.testing.assert_allclose(result.toarray(), linear @ cov.toarray() @ linear.T, atol=1e-10)
    np.testing.assert_allclose(result.shared()["a"], linear @ cov.shared()["a"], atol=1e-10)


@given(st.integers(0, 2**16), st.sampled_from([np.nan, np.inf, -1e300, 0.0]))
def test_masked_pixels_never_matter(seed: int, poison: float) -> None:
    good = np.random.default_rng(seed).random(N) < 0.7
    cov = make(seed)
    before = cov.good(good)
    bad = np.flatnonzero(~good)
    dense, modes = cov.near.toarray(), cov.modes.copy()
    dense[bad], dense[:, bad], modes[bad] = poison, poison, poison
    after = Covariance(csr_array(dense), modes, cov.signs, cov.labels).good(good)
    np.testing.assert_array_equal(before.toarray(), after.toarray())
    assert not np.any(before.toarray()[bad])


def test_a_measurement_known_already_is_added_to() -> None:
    cov = Covariance.of(np.ones(N)).with_shared(["a"], np.ones((N, 1)))
    both = cov.with_shared(["b", "a"], np.full((N, 2), 2.0))
    assert both.labels == ("a", "b")
    np.testing.assert_array_equal(both.modes[0], [3.0, 2.0])
    assert Covariance.of(np.ones(N)).plain is not cov
    assert cov.plain is cov


@given(st.integers(0, 2**16), st.integers(1, 5))
def test_compact_keeps_the_product_in_fewest_columns(seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    modes = rng.normal(size=(N, rank)) @ rng.normal(size=(rank, 8))
    mixing = rng.normal(size=(8, 8))
    mixing = mixing + mixing.T
    few, signs = compact(modes, mixing)
    assert few.shape[1] == len(signs) <= rank
    np.testing.assert_allclose((few * signs) @ few.T, modes @ mixing @ modes.T, atol=1e-9)


@pytest.mark.parametrize("n", [5000])
def test_memory_goes_with_the_pixels_not_their_square(n: int) -> None:
    rng = np.random.default_rng(0)
    slope, fold = rng.normal(size=(n, 4)), rng.normal(size=(4, n))
    tracemalloc.start()
    cov = Covariance.of(np.ones(n)).propagated(1.0, slope, fold)
    cov = cov.transformed(diags_array(np.ones(n)).tocsr()).scaled(2.0).good(np.ones(n, dtype=bool))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cov.diagonal().shape == (n,)
    assert peak < 50 * n * 8 * 4  # dense would be 5000 n 8


@pytest.mark.parametrize("n", [20, 300])
def test_modes_of_a_matrix_give_it_back(n: int) -> None:
    """Statement: few modes of any sign and size are found, in small matrices and in large ones."""
    rng = np.random.default_rng(1)
    modes = rng.normal(size=(n, 4)) * np.array([1.0, 0.3, 1e-2, 1e-3])
    modes[5] = 0.0
    matrix = (modes * np.array([1.0, -1.0, 1.0, -1.0])) @ modes.T
    for most in (4, 7):
        found, signs = decompose(matrix, most)
        assert found.shape == (n, most)
        np.testing.assert_allclose((found * signs) @ found.T, matrix, atol=1e-13 * n)
        assert np.all(found[5] == 0)
        assert sorted(signs[:4]) == [-1, -1, 1, 1]
