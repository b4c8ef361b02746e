"""Statements checked: the error of a median, of values with equal and unequal errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.kernels.median_error import median_error

ERRORS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


def test_one_two_many() -> None:
    """Statement: n = 1 has its own error, n = 2 that of the mean; equal errors the large-sample formula."""
    assert median_error(np.array([[0.3]])) == pytest.approx([0.3])
    assert median_error(np.array([[0.3], [0.4]])) == pytest.approx([0.25])
    for n in (3, 8, 9, 100):
        assert median_error(np.full((n, 1), 0.2)) == pytest.approx([0.2 * np.sqrt(np.pi / 2 / n)])
    assert median_error(np.full((3, 2), np.nan)).tolist() == [0.0, 0.0]
    assert median_error(np.empty((0, 2))).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "errors",
    [
        [0.1, 1, 1],
        [0.1, 0.1, 1, 1],
        [1, 2, 4, 8],
        [0.1, 0.1, 0.3, 0.3, 1, 1],
        [0.01, 0.01, 1, 1, 1, 1],
        [0.05] + [1] * 10,
        [0.1] + [1] * 19,
        [0.1] * 3 + [1] * 30,
    ],
    ids=str,
)
def test_pulls_have_unit_width(errors: list[float]) -> None:
    """Statement: the scatter of simulated medians is the error that is reported, within 7 %."""
    sigma = np.array(errors, dtype=np.float64)
    draws = np.random.default_rng(7).standard_normal((40_000, len(sigma))) * sigma
    scatter = float(np.median(draws, axis=1).std())
    assert scatter / median_error(sigma[:, None])[0] == pytest.approx(1.0, abs=0.07)


@given(ERRORS, st.floats(1e-3, 1e3), st.integers(0, 2**31), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_scale_order_and_absent_values(errors: list[float], factor: float, seed: int, absent: int) -> None:
    """Statement: errors scale, their order does not enter, and values that are not there change nothing."""
    rng = np.random.default_rng(seed)
    expected = median_error(np.array(errors)[:, None])[0]
    padded = rng.permutation(np.array(errors + [np.nan] * absent))
    assert median_error(factor * padded[:, None])[0] == pytest.approx(factor * expected, rel=1e-9)
    assert 0.99 * min(errors) / len(errors) <= expected <= 1.3 * max(errors)
