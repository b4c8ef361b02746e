"""Errors of a stack from the spread of its objects: bootstrap and jackknife, which draw objects, not spectra.

Spectra of one object are alike in what makes objects differ, so that drawing them one by one would take the
spread of the sample for smaller than it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from campfire.kernels.combine import Combiner
    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["BOOTSTRAP_DRAWS", "Sampling", "sampling_error"]

BOOTSTRAP_DRAWS = 200


class Sampling(NamedTuple):
    """How the spread is found: the object of every row, shape (spectrum,), and the seed or generator.

    Without one (None), objects are left out one after the other: the jackknife.
    """

    objects: IntArray
    rng: Any = None

    def at(self, rows: Any) -> Sampling:
        """Return that of some of the rows."""
        return Sampling(self.objects[rows], self.rng)


def sampling_error(
    flux: FloatArray,
    error: FloatArray,
    good: BoolArray,
    combiner: Combiner,
    sampling: Sampling,
    draws: int = BOOTSTRAP_DRAWS,
) -> FloatArray:
    """Return errors from stacks of objects drawn with replacement, or from stacks without one of them.

    The standard deviation over draws is multiplied by sqrt(n / (n - 1)), as the scatter of n values falls
    short of that of their parent; that over n stacks without one object by n - 1 over sqrt(n) (Efron 1982).
    Where fewer than three objects contribute there is nothing to draw from: NaN. A few values may agree by
    chance: stacks take the propagated error where it is larger.

    Parameters
    ----------
    flux, error, good
        Shape (spectrum, pixel).
    combiner
        How to combine; a median has no jackknife.
    sampling
        Of what.
    draws
        Number of stacks of a bootstrap.

    Returns
    -------
    numpy.ndarray
        Shape (pixel,).

    Examples
    --------
    >>> from campfire.kernels.combine import find_combiner
    >>> flux = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> each = Sampling(np.arange(4))
    >>> sampling_error(flux, np.ones((4, 1)), np.ones((4, 1), bool), find_combiner("mean"), each).round(3)
    array([0.645])
    """
    codes, order = np.unique(sampling.objects, return_inverse=True)
    present = np.zeros((len(codes), flux.shape[1]), dtype=bool)
    np.logical_or.at(present, order, good)
    n = present.sum(axis=0)
    if sampling.rng is None:
        spread = _without_each(flux, error, good, combiner, order, present)
    else:
        spread = _drawn(flux, error, good, combiner, order, sampling.rng, draws)
        spread = spread * np.sqrt(n / np.maximum(n - 1, 1))
    return np.where(n > 2, spread, np.nan)


def _drawn(
    flux: FloatArray,
    error: FloatArray,
    good: BoolArray,
    combiner: Combiner,
    order: IntArray,
    rng: Any,
    draws: int,
) -> FloatArray:
    generator = np.random.default_rng(rng)
    rows = np.argsort(order, kind="stable")
    count = np.bincount(order)
    first = np.cumsum(count) - count
    stacks = np.empty((draws, flux.shape[1]))
    for k in range(draws):
        objects = generator.integers(0, len(count), len(count))
        several = count[objects]
        start = np.repeat(first[objects] - (np.cumsum(several) - several), several)
        chosen = rows[start + np.arange(int(several.sum()))]
        stacks[k] = combiner.flux(flux[chosen], error[chosen], good[chosen])
    known = np.isfinite(stacks)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, stacks, 0.0).sum(axis=0) / number
    return np.asarray(np.sqrt(np.where(known, np.square(stacks - mean), 0.0).sum(axis=0) / number))


def _without_each(
    flux: FloatArray,
    error: FloatArray,
    good: BoolArray,
    combiner: Combiner,
    order: IntArray,
    present: BoolArray,
) -> FloatArray:
    """Return errors of a mean from the means without one object after the other."""
    counts = combiner.counts(error, good)
    weight, total = np.zeros(present.shape), np.zeros(present.shape)
    np.add.at(weight, order, counts)
    np.add.at(total, order, counts * np.where(good, flux, 0.0))
    left = weight.sum(axis=0) - weight
    means = (total.sum(axis=0) - total) / np.where(left > 0, left, 1.0)
    used = present & (left > 0)
    n = np.maximum(used.sum(axis=0), 1)
    mean = np.where(used, means, 0.0).sum(axis=0) / n
    return np.asarray(np.sqrt((n - 1) / n * np.where(used, np.square(means - mean), 0.0).sum(axis=0)))
