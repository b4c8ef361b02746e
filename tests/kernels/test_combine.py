"""Statements checked: stacks equal their definitions in any chunking, and report errors of the right size."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.errors import ValidationError
from campfire.kernels.combine import COMBINERS, Combined, find_combiner, sigma_clip
from campfire.kernels.sampling_error import Sampling, sampling_error
from campfire.typing import BoolArray, FloatArray

METHODS = sorted(COMBINERS)


def sample(seed: int, n: int = 7, m: int = 11) -> tuple[FloatArray, FloatArray, BoolArray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (n, m)), rng.uniform(0.1, 1, (n, m)), rng.random((n, m)) > 0.3


@given(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(1, 6), max_size=4, unique=True))
@pytest.mark.parametrize("method", METHODS)
def test_any_chunking_gives_the_same(method: str, seed: int, cuts: list[int]) -> None:
    flux, error, good = sample(seed)
    combiner = find_combiner(method)
    whole = combiner(flux, error, good)
    edges = [0, *sorted(cuts), 7]
    parts = [combiner.block(flux[a:b], error[a:b], good[a:b]) for a, b in pairwise(edges)]
    pieces = combiner.finish(reduce(combiner.merge, parts))
    np.testing.assert_allclose(pieces.flux, whole.flux, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(pieces.error, whole.error, rtol=1e-12)
    np.testing.assert_array_equal(pieces.n_used, whole.n_used)


@given(seed=st.integers(0, 2**16))
def test_definitions(seed: int) -> None:
    flux, error, good = sample(seed)
    results = {name: combiner(flux, error, good) for name, combiner in COMBINERS.items()}
    for k in range(flux.shape[1]):
        values, sigma = flux[good[:, k], k], error[good[:, k], k]
        for result in results.values():
            assert result.n_used[k] == len(values)
            assert np.isfinite(result.flux[k]) == np.isfinite(result.error[k]) == bool(len(values))
        if not len(values):
            continue
        weights = 1 / sigma**2
        assert results["weighted_mean"].flux[k] == pytest.approx(weights @ values / weights.sum())
        assert results["weighted_mean"].error[k] == pytest.approx(weights.sum() ** -0.5)
        assert results["mean"].flux[k] == pytest.approx(values.mean())
        assert results["mean"].error[k] == pytest.approx(np.sqrt((sigma**2).sum()) / len(values))
        assert results["median"].flux[k] == pytest.approx(np.median(values))


@pytest.mark.parametrize("method", METHODS)
def test_one_input_keeps_its_error(method: str) -> None:
    """n = 1 gives the input error, also for the median; n = 2 that of the mean."""
    good = np.ones((1, 1), dtype=bool)
    one = find_combiner(method)(np.array([[2.0]]), np.array([[0.3]]), good)
    assert (one.flux[0], one.error[0]) == (2.0, pytest.approx(0.3))
    two = find_combiner(method)(np.array([[1.0], [3.0]]), np.full((2, 1), 0.3), np.ones((2, 1), dtype=bool))
    assert (two.flux[0], two.error[0]) == (2.0, pytest.approx(0.3 / np.sqrt(2)))


def test_median_error_is_the_large_sample_one() -> None:
    """sqrt(pi / 2) sigma / sqrt(n) for equal errors."""
    flux, error = np.random.default_rng(0).normal(0, 1, (25, 3)), np.full((25, 3), 0.4)
    result = find_combiner("median")(flux, error, np.ones((25, 3), dtype=bool))
    np.testing.assert_allclose(result.error, np.sqrt(np.pi / 2) * 0.4 / 5)


@pytest.mark.parametrize(
    ("method", "n"), [(m, n) for m in METHODS for n in (1, 2, 5, 12, 40)] + [("median", 3)]
)
def test_errors_have_unit_pulls(method: str, n: int) -> None:
    """Monte Carlo over 4000 pixels with errors that differ by a factor of three: unit width to 10 %."""
    rng = np.random.default_rng(n)
    error = rng.uniform(0.5, 1.5, (n, 4000))
    flux = rng.normal(0, 1, (n, 4000)) * error
    result = find_combiner(method)(flux, error, np.ones((n, 4000), dtype=bool))
    assert np.std(result.flux / result.error) == pytest.approx(1, abs=0.1 if method == "median" else 0.05)


@given(seed=st.integers(0, 2**16), poison=st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.0]))
@pytest.mark.parametrize("method", METHODS)
def test_masked_values_never_change_an_output(method: str, seed: int, poison: float) -> None:
    flux, error, good = sample(seed)
    combiner = find_combiner(method)

    def outputs() -> list[Any]:
        kept = sigma_clip(flux, error, good, 2.0)
        result: Combined = combiner(flux, error, good)
        spread = sampling_error(flux, error, good, combiner, Sampling(np.arange(len(flux)), 3), draws=5)
        return [*result, combiner.weights(error, good), kept, spread]

    before = outputs()
    flux[~good], error[~good] = poison, abs(poison)
    for left, right in zip(before, outputs(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("method", ["mean", "weighted_mean"])
def test_weights_are_those_of_the_sum(method: str) -> None:
    flux, error, good = sample(1)
    combiner = find_combiner(method)
    weights = combiner.weights(error, good)
    result = combiner(flux, error, good)
    used = result.n_used > 0
    np.testing.assert_allclose((weights * np.where(good, flux, 0)).sum(axis=0)[used], result.flux[used])
    np.testing.assert_allclose(np.sqrt((weights**2 * error**2).sum(axis=0))[used], result.error[used])


def test_clipping_rejects_outliers_only() -> None:
    rng = np.random.default_rng(2)
    flux, error = rng.normal(0, 1, (30, 500)), np.ones((30, 500))
    flux[4, ::5] = 40.0
    kept = sigma_clip(flux, error, np.ones((30, 500), dtype=bool), 5.0)
    assert not kept[4, ::5].any()
    assert (~kept).sum() == 100
    few = sigma_clip(np.array([[0.0], [1e6]]), np.ones((2, 1)), np.ones((2, 1), dtype=bool), 3.0)
    assert few.all()  # of two values neither is the outlier


def test_a_real_spread_is_not_clipped_away() -> None:
    """Sources that differ by far more than their errors are not reduced to those nearest the median."""
    flux = np.random.default_rng(3).normal(0, 10, (50, 200))
    kept = sigma_clip(flux, np.full((50, 200), 0.01), np.ones((50, 200), dtype=bool), 4.0)
    assert kept.mean() > 0.98


@pytest.mark.parametrize("n_sigma", [0.0, -3.0, np.nan])
def test_clipping_needs_a_positive_number(n_sigma: float) -> None:
    flux, error, good = sample(0)
    with pytest.raises(ValidationError, match="sigma_clip"):
        sigma_clip(flux, error, good, n_sigma)


def test_bootstrap_errors_include_the_spread_of_the_sources() -> None:
    """The scatter of stacks drawn with replacement is that of the mean of the parent, to 10 %."""
    rng = np.random.default_rng(4)
    flux = rng.normal(0, 2, (20, 400))
    error, good = np.full((20, 400), 0.1), np.ones((20, 400), dtype=bool)
    combiner = find_combiner("mean")
    spread = sampling_error(flux, error, good, combiner, Sampling(np.arange(len(flux)), 5))
    assert np.sqrt(np.mean(spread**2)) == pytest.approx(2 / np.sqrt(20), rel=0.1)
    np.testing.assert_array_equal(
        spread, sampling_error(flux, error, good, combiner, Sampling(np.arange(len(flux)), 5))
    )
    good[2:, 0] = False
    assert np.isnan(sampling_error(flux, error, good, combiner, Sampling(np.arange(len(flux)), 5))[0])


def test_unknown_method_is_refused() -> None:
    with pytest.raises(ValidationError, match="known: 'weighted_mean', 'mean', 'median'"):
        find_combiner("mode")


@pytest.mark.parametrize(("n_sigma", "excess"), [(3.0, 1.013), (2.5, 1.046), (2.0, 1.114)])
def test_clipped_means_scatter_as_much_more_as_documented(n_sigma: float, excess: float) -> None:
    """Limits that follow the median: a linear response to it, times its error, is added to the mean's."""
    rng = np.random.default_rng(6)
    flux = rng.normal(size=(40, 6000))
    good = np.ones(flux.shape, dtype=bool)
    kept = sigma_clip(flux, np.ones(flux.shape), good, n_sigma)
    found = find_combiner("mean")(flux, np.ones(flux.shape), kept)
    assert np.std(found.flux / found.error) == pytest.approx(excess, abs=0.03)
