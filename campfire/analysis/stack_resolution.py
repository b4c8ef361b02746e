"""Resolving powers of the inputs of a stack, in its frame: the lowest, smoothing to it, that of the stack.

Everything is evaluated on the same nodes of wavelength, so that an input which is the lowest itself is not
smoothed at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.collection.blockwise import sum_rows
from campfire.kernels.combine import find_combiner
from campfire.kernels.lsf import GRATINGS, resolving_power, sigma_of_match

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from campfire.models import SpectrumData
    from campfire.typing import FloatArray, IntArray

__all__ = ["Lowest", "Power", "lowest_power", "matching_sigma", "row_powers", "stack_power"]

_NODES = 4096  # R = 1800 from one to the next over a factor of ten in wavelength


@dataclass(frozen=True, slots=True)
class Power:
    """The resolving power of one input, at wavelengths of the frame of the stack.

    Parameters
    ----------
    grating
        Name of the disperser.
    redshift
        What observed wavelengths are divided by, less 1.
    table
        Wavelengths in the frame of the stack and what a spectrum itself says there; or None.
    """

    grating: str
    redshift: float = 0.0
    table: tuple[FloatArray, FloatArray] | None = None

    @classmethod
    def of(cls, data: SpectrumData, redshift: float, source: float) -> Power:
        """Return the resolving power of a spectrum: its own, or that of its disperser.

        Parameters
        ----------
        data
            The spectrum.
        redshift
            By which it is moved to the frame of the stack.
        source
            What observed wavelengths are divided by, less 1, in that frame; NaN where it is not known.
        """
        own = data.resolving_power
        if own is None or not np.isfinite(own).any():
            return cls(data.grating if np.isfinite(source) else "", source)
        known = np.isfinite(own)
        return cls(data.grating, redshift, (data.wavelength[known] / (1.0 + redshift), own[known]))

    @property
    def is_known(self) -> bool:
        """False for an unknown disperser."""
        return self.table is not None or self.grating.upper() in GRATINGS

    def at(self, wavelength: FloatArray) -> FloatArray:
        """Return R at wavelengths in the frame of the stack.

        Raises
        ------
        ValidationError
            For a disperser without a table of resolving powers.
        """
        if self.table is not None:
            return np.interp(wavelength, *self.table)
        return resolving_power(self.grating, wavelength * (1.0 + self.redshift))


class Lowest(NamedTuple):
    """The lowest resolving power among the inputs that have data at a wavelength; NaN where none has."""

    nodes: FloatArray
    power: FloatArray

    def at(self, wavelength: FloatArray) -> FloatArray:
        """Return it at wavelengths in the frame of the stack."""
        return np.interp(wavelength, *self, left=np.nan, right=np.nan)


def row_powers(dispersers: Sequence[str | Power], code: IntArray, redshift: FloatArray) -> list[Power]:
    """Return the resolving power of every row: that given, or that of a disperser at its redshift."""
    given = [dispersers[k] for k in code]
    pairs = zip(given, redshift.tolist(), strict=True)
    return [one if isinstance(one, Power) else Power(one, z) for one, z in pairs]


def lowest_power(powers: Iterable[Power], ranges: Iterable[tuple[float, float]]) -> Lowest:
    """Return the lowest resolving power, wavelength by wavelength.

    Parameters
    ----------
    powers
        Those of the inputs.
    ranges
        Of the good pixels of each, in the frame of the stack: nobody counts where it has no data.

    Raises
    ------
    ValidationError
        For a disperser without a table of resolving powers.

    Examples
    --------
    >>> found = lowest_power([Power("PRISM", 1.0), Power("PRISM", 5.0)], [(0.3, 2.65), (0.1, 0.88)])
    >>> found.at(np.array([0.8, 1.0])).round(1)
    array([39.6, 54. ])
    """
    spans = [(power, low, high) for power, (low, high) in zip(powers, ranges, strict=True) if low <= high]
    if not spans:
        return Lowest(np.array([1.0, 2.0]), np.full(2, np.nan))
    nodes = np.geomspace(min(low for _, low, _ in spans), max(high for _, _, high in spans), _NODES)
    found = np.full(_NODES, np.inf)
    for power, low, high in spans:
        first = max(int(np.searchsorted(nodes, low, side="right")) - 1, 0)
        near = slice(first, int(np.searchsorted(nodes, high)) + 1)  # so that both nodes of its pixels count
        found[near] = np.minimum(found[near], power.at(nodes)[near])
    return Lowest(nodes, np.where(np.isfinite(found), found, np.nan))


def matching_sigma(wavelength: FloatArray, power: Power, lowest: Lowest) -> FloatArray:
    """Return by how much (standard deviation, microns) an input is smoothed to match the lowest.

    Parameters
    ----------
    wavelength
        In the frame of the stack.
    power, lowest
        Of the input, and of all.
    """
    own = np.interp(wavelength, lowest.nodes, power.at(lowest.nodes))
    target = lowest.at(wavelength)
    return sigma_of_match(wavelength, own, np.where(np.isnan(target), own, target))


def stack_power(
    ds: xr.Dataset,
    dispersers: Sequence[str | Power],
    lowest: Lowest | None,
    grid: FloatArray,
    method: str,
    row_values: Sequence[Any],
) -> Any:
    """Return the resolving power of a stack, lazy if the rows are; None where that of one is not known.

    Parameters
    ----------
    ds
        The rows that are stacked.
    dispersers
        Names, or resolving powers, by ``code``.
    lowest
        What rows were smoothed to, or None.
    grid
        Pixel centres of the stack.
    method
        How rows are combined. The square of the width of a line is the weighted mean of those of the inputs;
        NaN where nothing counts.
    row_values
        Redshift and code of every row, its errors on the grid, and which pixels there are in the stack.
    """
    redshift, code, *_ = row_values
    pairs = np.array(list(dict.fromkeys(zip(code.tolist(), redshift.tolist(), strict=True))))
    powers = row_powers(dispersers, pairs[:, 0].astype(np.intp), pairs[:, 1])
    if not all(power.is_known for power in powers):
        return None
    if all(power.table is None and power == powers[0] for power in powers):
        return powers[0].at(grid)
    if lowest is not None:
        return lowest.at(grid)
    function = partial(_power_sums, dispersers=tuple(dispersers), grid=grid, method=method)
    sums = sum_rows(ds, function, (grid.size, 2), *row_values)
    if isinstance(sums, np.ndarray):
        return _root_of_ratio(sums)
    return sums.rechunk(-1).map_blocks(_root_of_ratio, drop_axis=1, dtype=np.float64, meta=np.empty(0))


def _power_sums(
    *arrays: Any, dispersers: Sequence[str | Power], grid: FloatArray, method: str
) -> NDArray[Any]:
    redshift, code, error, kept = arrays[4:]
    counts, width = find_combiner(method).counts(error, kept), np.zeros(grid.size)
    for power, count in zip(row_powers(dispersers, code, redshift), counts, strict=True):
        width += count / np.square(power.at(grid))
    return np.stack([counts.sum(axis=0), width], axis=1)


def _root_of_ratio(sums: FloatArray) -> FloatArray:
    """Return R of the sum of weights and of weights over R squared; NaN where nothing counts."""
    total, width = sums.T
    return np.asarray(np.sqrt(np.divide(total, width, out=np.full(len(total), np.nan), where=total > 0)))
