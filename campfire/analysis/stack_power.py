"""The resolving power of a stack of a collection, lazy if the collection is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.stack_resolution import root_of_ratio
from campfire.analysis.stack_rows import Rows
from campfire.collection.blocks import sum_rows
from campfire.kernels.combine import find_combiner
from campfire.kernels.lsf import GRATINGS, resolving_power

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from campfire.analysis.stack_resolution import Lowest
    from campfire.typing import FloatArray, IntArray

__all__ = ["power_of_stack"]


def power_of_stack(
    ds: xr.Dataset,
    gratings: Sequence[str],
    lowest: Lowest | None,
    grid: FloatArray,
    method: str,
    redshift: FloatArray,
    code: IntArray,
    *more: Any,
) -> Any:
    """Return what :func:`campfire.analysis.stack_resolution.stack_power` does, for the rows of a collection.

    Parameters
    ----------
    ds
        The rows that are stacked.
    gratings
        Names by ``code``.
    lowest
        What rows were smoothed to, or None.
    grid
        Pixel centres of the stack.
    method
        How rows are combined.
    redshift, code
        Of every row.
    *more
        What else goes with the pixels of rows, the last of it their errors on the grid, and which pixels
        there are in the stack.
    """
    used = [gratings[k] for k in np.unique(code)]
    if not all(name.upper() in GRATINGS for name in used):
        return None
    if len(used) == 1 and len(set(redshift.tolist())) == 1:
        return resolving_power(used[0], grid * (1.0 + float(redshift[0])))
    if lowest is not None:
        return lowest.at(grid)
    function = partial(_sums, gratings=tuple(gratings), grid=grid, method=method)
    sums = sum_rows(ds, function, (grid.size, 2), redshift, code, *more)
    if isinstance(sums, np.ndarray):
        return _power(sums)
    return sums.rechunk(-1).map_blocks(_power, drop_axis=1, dtype=np.float64, meta=np.empty(0))


def _sums(*arrays: Any, gratings: Sequence[str], grid: FloatArray, method: str) -> NDArray[Any]:
    *given, error, kept = arrays
    rows, counts = Rows(*given), find_combiner(method).counts(error, kept)
    width = np.zeros(grid.size)
    for k, z, count in zip(rows.code, rows.redshift, counts, strict=True):
        width += count / np.square(resolving_power(gratings[k], grid * (1.0 + z)))
    return np.stack([counts.sum(axis=0), width], axis=1)


def _power(sums: FloatArray) -> FloatArray:
    return root_of_ratio(*sums.T)
