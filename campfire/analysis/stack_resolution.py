"""Resolving powers of the inputs of a stack, in its frame: the lowest, smoothing to it, that of the stack.

Everything is evaluated on the same nodes of wavelength, so that an input which is the lowest itself is not
smoothed at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from campfire.kernels.lsf import GRATINGS, resolving_power, sigma_of_match, smoothing_matrix

if TYPE_CHECKING:
    from campfire.analysis.stack_inputs import Terms
    from campfire.models import SpectrumData
    from campfire.typing import FloatArray

__all__ = [
    "Lowest",
    "Power",
    "good_range",
    "lowest_power",
    "match_terms",
    "matching_sigma",
    "root_of_ratio",
    "stack_power",
]

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


def good_range(terms: Terms) -> tuple[float, float]:
    """Return the first and last wavelength of good pixels; (inf, -inf) without any."""
    good = terms.wavelength[terms.good]
    return (float(good[0]), float(good[-1])) if good.size else (np.inf, -np.inf)


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


def match_terms(terms: Sequence[Terms], powers: Sequence[Power], lowest: Lowest) -> list[Terms]:
    """Smooth every input to the lowest resolving power, at each wavelength of the frame of the stack.

    Parameters
    ----------
    terms
        The inputs, in the frame of the stack.
    powers, lowest
        Their resolving powers, and the lowest of all inputs.
    """
    matched = []
    for entry, power in zip(terms, powers, strict=True):
        sigma = matching_sigma(entry.wavelength, power, lowest)
        if not sigma.any():
            matched.append(entry)
            continue
        matrix = smoothing_matrix(entry.wavelength, sigma, entry.good)
        matched.append(entry.smoothed(matrix))
    return matched


def stack_power(
    powers: Sequence[Power], lowest: Lowest | None, grid: FloatArray, weights: FloatArray
) -> FloatArray | None:
    """Return the resolving power of a stack; None where that of an input is not known.

    Parameters
    ----------
    powers
        Those of the inputs.
    lowest
        What they were smoothed to, or None.
    grid
        Pixel centres of the stack.
    weights
        How much every input counts, shape (spectrum, m). The square of the width of a line is the weighted
        mean of those of the inputs; NaN where nothing counts.
    """
    if not all(power.is_known for power in powers):
        return None
    if all(power.table is None and power == powers[0] for power in powers):
        return powers[0].at(grid)
    if lowest is not None:
        return lowest.at(grid)
    total = weights.sum(axis=0)
    width = np.zeros(len(grid))
    for row, power in zip(weights, powers, strict=True):
        width += row / np.square(power.at(grid))
    return root_of_ratio(total, width)


def root_of_ratio(total: FloatArray, width: FloatArray) -> FloatArray:
    """Return R of the sum of weights and of weights over R squared; NaN where nothing counts."""
    return np.asarray(np.sqrt(np.divide(total, width, out=np.full(len(total), np.nan), where=total > 0)))
