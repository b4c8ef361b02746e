"""The error of a median of values whose own errors differ.

For equal errors, and for many values, it is ``sqrt(pi / 2) sqrt(n) / sum(1 / sigma)``, which is
``sqrt(pi / 2) sigma / sqrt(n)`` (Kendall & Stuart, *The Advanced Theory of Statistics*, 14.6); for 3 to 8
equal errors that is too large by 5 to 15 %. Where errors are unequal it is far too small: the median of
values known to 0.1, 1 and 1 is uncertain by 0.43, not by 0.18, because two bad values decide in a third of
all cases. There the larger of it and of what simulation (few values) or the distribution of the number of
values below the median (many) say is returned.
"""

from __future__ import annotations

import numpy as np

from campfire.typing import FloatArray

__all__ = ["median_error"]

_FACTOR = float(np.sqrt(np.pi / 2))
_LINEAR = 0.6  # of the smallest error: up to here the formula holds, chances being linear in distance
_FEW = 8
_DRAWS = 1024  # an error of the error of 2.2 %
_COLUMNS = 64  # at a time
_NODES = 100


def median_error(error: FloatArray) -> FloatArray:
    """Return the 1-sigma error of the median of each column.

    Parameters
    ----------
    error
        1-sigma errors of independent Gaussian values with one mean, shape (n, pixel); NaN where there is
        no value.

    Returns
    -------
    numpy.ndarray
        Shape (pixel,): the error itself for one value, that of the mean for two; 0 for none.

    Examples
    --------
    >>> median_error(np.array([[0.1, 1.0], [1.0, 1.0], [1.0, 1.0]])).round(2)
    array([0.44, 0.72])
    """
    ordered = np.sort(np.asarray(error, dtype=np.float64), axis=0)  # NaN last; no order of rows enters
    count = np.isfinite(ordered).sum(axis=0)
    inverse = np.nansum(1.0 / ordered, axis=0)
    result = _FACTOR * np.sqrt(count) / np.where(inverse > 0, inverse, 1.0)
    few = count < 3
    result[few] = np.sqrt(np.nansum(np.square(ordered[:, few]), axis=0)) / np.maximum(count[few], 1)
    if few.all():
        return np.asarray(result)
    wide = ~few & (result > _LINEAR * ordered[0])
    for n in np.unique(count[wide]):
        columns = np.flatnonzero(wide & (count == n))
        estimate = _simulated if n <= _FEW else _counted
        for k in range(0, len(columns), _COLUMNS):
            some = columns[k : k + _COLUMNS]
            result[some] = np.maximum(result[some], estimate(ordered[:n, some]))
    return np.asarray(result)


def _simulated(error: FloatArray) -> FloatArray:
    """Return the scatter of medians of simulated values; the same values for every column."""
    n = len(error)
    draws = np.random.default_rng(0).standard_normal((n, _DRAWS, 1)) * error[:, None, :]
    draws.partition(((n - 1) // 2, n // 2), axis=0)
    medians = (draws[(n - 1) // 2] + draws[n // 2]) / 2
    return np.asarray(np.sqrt(np.mean(np.square(medians), axis=0)))  # their mean is 0


def _counted(error: FloatArray) -> FloatArray:
    """Return the standard deviation from the distribution of the median.

    The median is below x where more than half of the values are; their number is nearly Gaussian, with mean
    sum(p) and variance sum(p (1 - p)), p the chance of one value to be below x.
    """
    from scipy.special import ndtr

    scale = np.linspace(0.0, 1.0, _NODES)[:, None]
    low, high = 1e-3 * error.min(axis=0), 8.0 * error.max(axis=0)
    nodes = low * (high / low) ** scale
    below = ndtr(nodes[:, None, :] / error)
    mean, variance = below.sum(axis=1), (below * (1.0 - below)).sum(axis=1)
    beyond = ndtr((len(error) / 2 - mean) / np.sqrt(np.maximum(variance, 1e-300)))
    # E[x^2] = 4 * integral of x P(median > x) over x > 0
    density = 4.0 * nodes * beyond
    return np.asarray(np.sqrt(np.trapezoid(density, nodes, axis=0)))
