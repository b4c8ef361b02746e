"""The arithmetic of a stack: from the terms of the inputs to one spectrum, its error and its covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.stack_combining import clipped, combine_rows
from campfire.convert.covariance import from_banded
from campfire.kernels.combine import Combiner
from campfire.kernels.covariance import Covariance, compact, scaled_matrix, symmetric
from campfire.kernels.overlap import resample_matrix
from campfire.kernels.resample import combined_lags, resample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.analysis.stack_inputs import Terms
    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["OnGrid", "Stacked", "combine", "resample_terms", "weighted_covariance"]

_MANY_MODES = 64  # joined into as few as there have to be


class Stacked(NamedTuple):
    """A stack of m pixels; ``weights`` (spectrum, m) say how much every input counts."""

    flux: FloatArray
    error: FloatArray
    n_used: IntArray
    rejected: IntArray
    covariance: Covariance
    weights: FloatArray


class OnGrid(NamedTuple):
    """Inputs on the grid, shape (spectrum, m); ``error`` is without what they share.

    ``special`` are the covariances of those whose pixels are not independent to begin with.
    """

    flux: FloatArray
    error: FloatArray
    good: BoolArray
    special: dict[int, Covariance]


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
    rows = {"flux": found.flux, "error": found.error, "good": found.good}
    good = found.good if clip is None else clipped(rows, clip)
    result = combine_rows(rows, good, combiner.name, rng)
    error, weights = result["fnu_err"], combiner.weights(found.error, good)
    own, shared = weighted_covariance(terms, found, weights, grid)
    # For means the weights are exact. For the median, or bootstrap errors, the correlations of the weighted
    # sum are put on the errors found.
    spread = np.sqrt(np.maximum(own.diagonal(), 0.0))
    factor = np.where(spread > 0, np.nan_to_num(error) / np.where(spread > 0, spread, 1.0), 0.0)
    columns = np.stack(list(shared.values()), axis=1) if shared else np.zeros((len(grid), 0))
    covariance = own.scaled(factor).with_shared(list(shared), columns)
    total = np.sqrt(np.square(error) + np.square(columns).sum(axis=1))
    return Stacked(result["fnu"], total, result["n_used"], result["rejected"], covariance, weights)


def resample_terms(terms: Sequence[Terms], grid: FloatArray) -> OnGrid:
    """Resample inputs onto a grid, with their errors."""
    plain = [k for k, entry in enumerate(terms) if entry.covariance is None]
    shape = (len(terms), len(grid))
    flux, error, mask = np.empty(shape), np.empty(shape), np.empty(shape, dtype=bool)
    if plain:
        wave, values, sigma, good = _padded([terms[k] for k in plain])
        result = resample(wave, values, sigma, grid, mask=~good)
        flux[plain], error[plain], mask[plain] = result.flux, result.error, result.mask
    special = {}
    for k, entry in enumerate(terms):
        if entry.covariance is None:
            continue
        matrix, mask[k], _ = resample_matrix(entry.wavelength, grid, entry.good)
        flux[k] = np.where(mask[k], np.nan, matrix @ entry.flux)
        special[k] = entry.covariance.transformed(matrix)
        modes, signs = special[k].own()
        variance = special[k].near.diagonal() + np.square(modes) @ signs
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


def weighted_covariance(
    terms: Sequence[Terms], found: OnGrid, weights: FloatArray, grid: FloatArray
) -> tuple[Covariance, dict[str, FloatArray]]:
    """Return the covariance of a weighted sum of inputs.

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
    own : Covariance
        Without what the inputs share; (m, m).
    shared : dict
        What a 1-sigma change of every measurement does to the sum: label -> (m,).
    """
    m = len(grid)
    plain = [k for k, entry in enumerate(terms) if entry.covariance is None]
    lags: FloatArray = np.zeros((m, 1))
    if plain:
        wave, _, sigma, good = _padded([terms[k] for k in plain])
        lags = combined_lags(wave, sigma, good, grid, weights[plain])
    near: Any = from_banded(lags)
    shared: dict[str, FloatArray] = {}
    modes: list[FloatArray] = [np.zeros((m, 0))]
    signs: list[FloatArray] = [np.zeros(0)]
    most = _MANY_MODES
    for k, covariance in found.special.items():
        scale = weights[k]
        near = near + scaled_matrix(covariance.near, scale)
        for label, mode in covariance.shared().items():
            shared[label] = shared.get(label, 0.0) + scale * mode
        more, more_signs = covariance.own()
        modes.append(scale[:, None] * more)
        signs.append(more_signs)
        if sum(map(len, signs)) > most:
            fewer, own_signs = compact(np.hstack(modes), np.diag(np.concatenate(signs)))
            modes, signs = [fewer], [own_signs]
            most = max(_MANY_MODES, 2 * len(own_signs))  # joining takes longer than adding
    own_modes, own_signs = compact(np.hstack(modes), np.diag(np.concatenate(signs)))
    return Covariance(symmetric(near), own_modes, own_signs, ("",) * len(own_signs)), shared
