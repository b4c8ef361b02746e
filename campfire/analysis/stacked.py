"""The arithmetic of a stack: from the terms of the inputs to one spectrum, its error and its covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.calibrate import MAX_DENSE_PIXELS
from campfire.analysis.inputs import dense_covariance, symmetric
from campfire.convert.covariance import from_banded
from campfire.kernels.combine import Combiner, bootstrap, sigma_clip
from campfire.kernels.overlap import resample_matrix
from campfire.kernels.resample import combined_lags, resample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_array

    from campfire.analysis.terms import Measurement, Terms
    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["OnGrid", "Stacked", "combine", "resample_terms", "weighted_covariance"]


class Stacked(NamedTuple):
    """A stack of m pixels; ``covariance`` is None where it would be dense and too large.

    ``weights`` (spectrum, m) say how much every input counts.
    """

    flux: FloatArray
    error: FloatArray
    n_used: IntArray
    rejected: IntArray
    covariance: csr_array | None
    weights: FloatArray


class OnGrid(NamedTuple):
    """Inputs on the grid, shape (spectrum, m); ``special``: the matrices of those that are not plain."""

    flux: FloatArray
    error: FloatArray
    good: BoolArray
    special: dict[int, csr_array]


def combine(
    terms: Sequence[Terms], grid: FloatArray, combiner: Combiner, clip: float | None, rng: Any
) -> Stacked:
    """Resample inputs once, and combine them.

    Parameters
    ----------
    terms
        The inputs, in the frame of the stack.
    grid
        Pixel centres in microns, shape (m,).
    combiner
        How to combine.
    clip
        Sigmas of the clipping, or None.
    rng
        Seed or generator for bootstrap errors, or None.
    """
    found = resample_terms(terms, grid)
    good = found.good if clip is None else sigma_clip(found.flux, found.error, found.good, clip)
    flux, error, n_used = combiner(found.flux, found.error, good)
    weights = combiner.weights(found.error, good)
    if rng is not None:
        error = np.fmax(error, bootstrap(found.flux, found.error, good, combiner, rng))
    common = _common(terms, found, weights)
    total = np.sqrt(np.square(error) + np.square(common).sum(axis=1))
    covariance = _covariance(terms, found, weights, grid, error, common)
    return Stacked(flux, total, n_used, (found.good & ~good).sum(axis=0), covariance, weights)


def resample_terms(terms: Sequence[Terms], grid: FloatArray) -> OnGrid:
    """Resample inputs onto a grid, with their errors."""
    plain = [k for k, entry in enumerate(terms) if entry.is_plain]
    shape = (len(terms), len(grid))
    flux, error, mask = np.empty(shape), np.empty(shape), np.empty(shape, dtype=bool)
    if plain:
        wave, values, sigma, good = _padded([terms[k] for k in plain])
        result = resample(wave, values, sigma, grid, mask=~good)
        flux[plain], error[plain], mask[plain] = result.flux, result.error, result.mask
    special = {}
    for k, entry in enumerate(terms):
        if entry.is_plain:
            continue
        matrix, mask[k], _ = resample_matrix(entry.wavelength, grid, entry.good)
        special[k] = matrix
        flux[k] = np.where(mask[k], np.nan, matrix @ entry.flux)
        if entry.covariance is None:
            variance = matrix.power(2) @ np.square(entry.error)
        else:
            variance = (matrix @ entry.covariance @ matrix.T).diagonal()
        if entry.modes.size:
            modes = matrix @ entry.modes
            variance = variance + np.einsum("ia,ab,ib->i", modes, entry.mixing, modes)
        error[k] = np.where(mask[k], np.nan, np.sqrt(np.maximum(variance, 0.0)))
    return OnGrid(flux, error, ~mask & (error > 0), special)


def _padded(terms: Sequence[Terms]) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Return the arrays of inputs as rows: one wavelength axis where all have the same, else padded."""
    first = terms[0].wavelength
    if all(np.array_equal(entry.wavelength, first) for entry in terms[1:]):
        return (
            first,
            np.stack([entry.flux for entry in terms]),
            np.stack([entry.error for entry in terms]),
            np.stack([entry.good for entry in terms]),
        )
    shape = (len(terms), max(len(entry.wavelength) for entry in terms))
    wave, flux, error = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
    good = np.zeros(shape, dtype=bool)
    for k, entry in enumerate(terms):
        n = len(entry.wavelength)
        wave[k, :n], flux[k, :n], error[k, :n] = entry.wavelength, entry.flux, entry.error
        good[k, :n] = entry.good
    return wave, flux, error, good


def _common(terms: Sequence[Terms], found: OnGrid, weights: FloatArray) -> FloatArray:
    """Return what a 1-sigma change of every shared measurement does to the stack, shape (m, measurement)."""
    place: dict[Measurement, int] = {}
    for entry in terms:
        for key in entry.common:
            place.setdefault(key, len(place))
    result = np.zeros((weights.shape[1], len(place)))
    for k, entry in enumerate(terms):
        for key, response in entry.common.items():
            result[:, place[key]] += weights[k] * (found.special[k] @ response)
    return result


def _covariance(
    terms: Sequence[Terms],
    found: OnGrid,
    weights: FloatArray,
    grid: FloatArray,
    error: FloatArray,
    common: FloatArray,
) -> csr_array | None:
    """Return the covariance of the stack, with ``error`` and the common part on its diagonal.

    For means the weights are exact. For the median, or bootstrap errors, the correlations of the weighted sum
    are put on the errors found.
    """
    m = len(grid)
    dense = common.shape[1] > 0 or any(entry.modes.size for entry in terms)
    if dense and m > MAX_DENSE_PIXELS:
        return None
    total, full = weighted_covariance(terms, found, weights, grid)
    if dense:
        total = total.toarray() if full is None else total.toarray() + full
    spread = np.sqrt(np.maximum(total.diagonal(), 0.0))
    factor = np.where(spread > 0, np.nan_to_num(error) / np.where(spread > 0, spread, 1.0), 0.0)
    if dense:
        return dense_covariance(factor[:, None] * total * factor + common @ common.T)
    entries = total.tocoo()
    row, column = entries.coords
    entries.data *= factor[row] * factor[column]
    return symmetric(entries.tocsr())


def weighted_covariance(
    terms: Sequence[Terms], found: OnGrid, weights: FloatArray, grid: FloatArray
) -> tuple[Any, FloatArray | None]:
    """Return the covariance of a weighted sum of inputs, without what they share.

    Parameters
    ----------
    terms, found
        The inputs, and what :func:`resample_terms` makes of them.
    weights
        How much every resampled pixel counts, shape (spectrum, m).
    grid
        Pixel centres in microns, shape (m,).

    Returns
    -------
    near : scipy.sparse.csr_array
        From pixels that act together after resampling, shape (m, m).
    far : numpy.ndarray or None
        From what correlates all pixels of a spectrum, shape (m, m).
    """
    m = len(grid)
    simple = [k for k, entry in enumerate(terms) if entry.covariance is None]
    lags: FloatArray = np.zeros((m, 1))
    if simple:
        wave, _, sigma, good = _padded([terms[k] for k in simple])
        lags = combined_lags(wave, sigma, good, grid, weights[simple])
    total: Any = from_banded(lags)
    full = np.zeros((m, m)) if any(entry.modes.size for entry in terms) else None
    for k, matrix in found.special.items():
        entry, scale = terms[k], weights[k]
        if entry.covariance is not None:
            part = (matrix @ entry.covariance @ matrix.T).tocoo()
            row, column = part.coords
            part.data *= scale[row] * scale[column]
            total = total + part.tocsr()
        if full is not None and entry.modes.size:
            modes = scale[:, None] * (matrix @ entry.modes)
            full += modes @ entry.mixing @ modes.T
    return total, full
