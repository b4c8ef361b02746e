"""Rows on one grid made into one: small sums joined in a tree; whole columns where a method needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.collection.blockwise import SPLIT_EVERY, dask_array
from campfire.kernels.combine import Combiner, find_combiner, sigma_clip
from campfire.kernels.covariance import decompose
from campfire.kernels.grid_pieces import scale_lags
from campfire.kernels.sampling_error import Sampling, sampling_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from campfire.analysis.stack_resampling import Parts
    from campfire.typing import FloatArray

__all__ = ["ROWS", "StackErrors", "clipped", "combine_columns", "combine_rows", "to_errors"]

_FLOAT = np.dtype(np.float64)
ROWS: dict[str, np.dtype[Any]] = {"flux": _FLOAT, "error": _FLOAT, "good": np.dtype(np.bool_)}
"""What is known of every row on the grid."""

_RESULT = np.dtype([("fnu", "f8"), ("fnu_err", "f8"), ("n_used", "i8"), ("rejected", "i8")])
_COLUMN_VALUES = 4_000_000  # pixels in a block of whole columns: 32 MB a variable


def combine_columns(
    flux: NDArray[Any],
    error: NDArray[Any],
    good: NDArray[Any],
    kept: NDArray[Any],
    method: str,
    sampling: Sampling | None = None,
) -> dict[str, NDArray[Any]]:
    """Combine rows (numpy) pixel by pixel, all at hand.

    Parameters
    ----------
    flux, error, good
        The arrays of :data:`ROWS`, shape (row, pixel).
    kept
        Which good pixels are left after clipping.
    method
        How to combine.
    sampling
        How errors come from the spread of the objects; None for propagated ones.

    Returns
    -------
    dict
        ``fnu``, ``fnu_err``, ``n_used``, ``rejected``, shape (pixel,).
    """
    combiner = find_combiner(method)
    result = combiner(flux, error, kept)
    sigma = result.error
    if sampling is not None:
        sigma = np.fmax(sigma, sampling_error(flux, error, kept, combiner, sampling))
    rejected = (good & ~kept).sum(axis=0)
    return {"fnu": result.flux, "fnu_err": sigma, "n_used": result.n_used, "rejected": rejected}


def combine_rows(
    rows: Mapping[str, Any], kept: Any, method: str, sampling: Sampling | None
) -> dict[str, Any]:
    """Combine lazy rows as :func:`combine_columns` does: means by sums of blocks, else by whole columns."""
    combiner = find_combiner(method)
    if combiner.whole_columns or kept is not rows["good"] or sampling is not None:
        if sampling is not None:
            sampling = sampling._replace(rng=_frozen(sampling.rng))
        return _by_columns(rows, kept, method, sampling)
    return _by_sums(rows, combiner)


def _frozen(rng: Any) -> Any:
    """Return a seed or generator that every block can begin from alike; the one given moves on."""
    if not isinstance(rng, np.random.Generator):
        return rng
    copy = deepcopy(rng)
    rng.integers(2)
    return copy


def clipped(rows: Mapping[str, Any], n_sigma: float) -> Any:
    """Return which pixels are left after clipping; whole columns at a time."""
    flux, error, good = (rows[name] for name in ROWS)
    if isinstance(flux, np.ndarray):
        return sigma_clip(flux, error, good, n_sigma)
    return dask_array().map_blocks(
        sigma_clip, *_as_columns([flux, error, good]), n_sigma, dtype=bool, meta=np.empty((0, 0), dtype=bool)
    )


def _as_columns(arrays: Sequence[Any]) -> list[Any]:
    n_rows, n_columns = arrays[0].shape
    size = max(1, min(n_columns, _COLUMN_VALUES // n_rows))
    return [array.rechunk({0: -1, 1: size}) for array in arrays]


def _column_block(
    flux: NDArray[Any],
    error: NDArray[Any],
    good: NDArray[Any],
    kept: NDArray[Any],
    *,
    method: str,
    sampling: Sampling | None,
) -> NDArray[Any]:
    return _as_records(combine_columns(flux, error, good, kept, method, deepcopy(sampling)))


def _as_records(result: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    records = np.empty(len(result["fnu"]), dtype=_RESULT)
    for name in _RESULT.names or ():
        records[name] = result[name]
    return records


def _by_columns(rows: Mapping[str, Any], kept: Any, method: str, sampling: Sampling | None) -> dict[str, Any]:
    records = dask_array().map_blocks(
        _column_block,
        *_as_columns([*(rows[name] for name in ROWS), kept]),
        method=method,
        sampling=sampling,
        dtype=_RESULT,
        drop_axis=0,
        meta=np.empty(0, dtype=_RESULT),
    )
    return {name: records[name] for name in _RESULT.names or ()}


def _sum_block(flux: NDArray[Any], error: NDArray[Any], good: NDArray[Any], *, method: str) -> NDArray[Any]:
    return np.stack(find_combiner(method).block(flux, error, good))[None]


def _merge(parts: NDArray[Any], axis: Any = None, keepdims: bool = True, *, method: str) -> NDArray[Any]:
    """Join partial results along the first axis; in the form in which dask calls a reduction."""
    total: tuple[FloatArray, ...] = reduce(find_combiner(method).merge, map(tuple, parts))
    return np.stack(total)[None]


def _finish_block(parts: NDArray[Any], *, method: str) -> NDArray[Any]:
    flux, error, n_used = find_combiner(method).finish(tuple(parts[0]))
    none = np.zeros_like(n_used)
    return _as_records({"fnu": flux, "fnu_err": error, "n_used": n_used, "rejected": none})


def _by_sums(rows: Mapping[str, Any], combiner: Combiner) -> dict[str, Any]:
    da = dask_array()
    blocks = rows["flux"].numblocks[0]
    columns = rows["flux"].shape[1]
    empty = np.empty((0, 1))
    n_parts = len(combiner.block(empty, empty, empty.astype(bool)))
    merge = partial(_merge, method=combiner.name)
    parts = da.map_blocks(
        partial(_sum_block, method=combiner.name),
        *(rows[name] for name in ROWS),
        dtype=np.float64,
        meta=np.empty((0, 0, 0)),
        chunks=((1,) * blocks, (n_parts,), (columns,)),
        new_axis=1,
    )
    total = da.reduction(
        parts,
        chunk=merge,
        combine=merge,
        aggregate=merge,
        axis=0,
        keepdims=True,
        dtype=np.float64,
        split_every=SPLIT_EVERY,
        concatenate=True,
        meta=np.empty((0, 0, 0)),
    )
    records = da.map_blocks(
        partial(_finish_block, method=combiner.name),
        total,
        dtype=_RESULT,
        meta=np.empty(0, dtype=_RESULT),
        chunks=((columns,),),
        drop_axis=[0, 1],
    )
    return {name: records[name] for name in _RESULT.names or ()}


class StackErrors(NamedTuple):
    """Errors of a stack of m pixels: ``fnu_err``, and what a Dataset holds of its covariance.

    ``modes`` (m, mode) and ``signs`` are None where nothing correlates all pixels.
    """

    error: Any
    bands: Any
    modes: Any
    signs: Any


def to_errors(raw: Any, error: Any, parts: Parts) -> StackErrors:
    """Return the covariance of a stack, scaled so that it has the stack's errors on its diagonal.

    Parameters
    ----------
    raw
        Sum over rows, as :class:`Parts` says; numpy or dask.
    error
        Errors of the stack by what rows have of their own, shape (m,).
    parts
        What ``raw`` holds beside its bands.
    """
    width = raw.shape[1] - parts.columns(len(error))
    if not (parts.far or parts.measured):
        return StackErrors(error, _blockwise(_scaled, raw, error, raw.shape), None, None)
    count = parts.most + len(parts.labels)
    whole = _blockwise(
        partial(_separated, width=width, parts=parts), raw, error, (len(error) + 1, 1 + width + count)
    )
    modes = whole[:, 1 + width :]
    return StackErrors(whole[1:, 0], whole[1:, 1 : 1 + width], modes[1:], modes[0])


def _blockwise(function: Any, raw: Any, error: Any, shape: tuple[int, int]) -> Any:
    if isinstance(raw, np.ndarray):
        return function(raw, error[:, None])
    arrays = raw.rechunk(-1), error.rechunk(-1)[:, None]
    return dask_array().map_blocks(
        function, *arrays, dtype=np.float64, meta=np.empty((0, 0)), chunks=tuple((n,) for n in shape)
    )


def _scaled(raw: FloatArray, error: FloatArray) -> FloatArray:
    spread = np.sqrt(np.maximum(raw[:, 0], 0.0))
    factor = np.nan_to_num(error[:, 0]) / np.where(spread > 0, spread, 1.0)
    return scale_lags(raw, np.where(spread > 0, factor, 0.0))


def _separated(raw: FloatArray, error: FloatArray, *, width: int, parts: Parts) -> FloatArray:
    """Return errors, bands and modes side by side, with the signs of the modes in a row above."""
    m, n_labels = len(raw), len(parts.labels)
    bands, at = raw[:, :width], width
    far: FloatArray = np.zeros((m, m))
    if parts.far:
        far, at = raw[:, at : at + m], at + m
    spread = np.sqrt(np.maximum(bands[:, 0] + far.diagonal(), 0.0))
    factor = np.where(spread > 0, np.nan_to_num(error[:, 0]) / np.where(spread > 0, spread, 1.0), 0.0)
    far = factor[:, None] * far * factor
    square = np.square(error[:, 0])
    shared: FloatArray = np.zeros((m, 0))
    if parts.measured:
        columns = raw[:, at + m * parts.loose :]
        weight = np.where(columns[:, 0] > 0, 1.0 / np.where(columns[:, 0] > 0, columns[:, 0], 1.0), 0.0)
        shared = weight[:, None] * columns[:, 1:]
        square = square + np.square(shared).sum(axis=1)
        if parts.loose:
            loose = weight[:, None] * raw[:, at : at + m] * weight
            far, square = far + loose, square + loose.diagonal()
    result = np.zeros((m + 1, 1 + width + parts.most + n_labels))
    result[1:, 0] = np.sqrt(square)
    result[1:, 1 : 1 + width] = scale_lags(bands, factor)
    modes, signs = decompose(far, parts.most)
    result[0, 1 + width :] = [*signs, *np.ones(n_labels)]
    result[1:, 1 + width :] = np.hstack([modes, shared])
    return result
