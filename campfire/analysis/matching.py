"""Spectra smoothed to a common resolving power."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from campfire.analysis.inputs import symmetric
from campfire.kernels.lsf import resolving_power, sigma_of_match, smoothing_matrix
from campfire.kernels.overlap import import_sparse

if TYPE_CHECKING:
    from campfire.analysis.terms import Terms
    from campfire.typing import FloatArray

__all__ = ["match_terms", "matching_sigma"]


def matching_sigma(wavelength: FloatArray, grating: str, among: Iterable[str]) -> FloatArray:
    """Return by how much (standard deviation, microns) a grating is smoothed to match the lowest of several.

    Raises
    ------
    ValidationError
        For a grating without a table of resolving powers.
    """
    target = np.min([resolving_power(name, wavelength) for name in among], axis=0)
    return sigma_of_match(wavelength, resolving_power(grating, wavelength), target)


def match_terms(terms: Sequence[Terms], gratings: Sequence[str], among: Iterable[str]) -> list[Terms]:
    """Smooth every input to the lowest resolving power of several gratings, at each observed wavelength.

    Parameters
    ----------
    terms
        The inputs, in the observed frame.
    gratings
        Their gratings.
    among
        All gratings of the stack.

    Raises
    ------
    ValidationError
        For a grating without a table of resolving powers.
    """
    every = sorted(set(among))
    matched = []
    for entry, grating in zip(terms, gratings, strict=True):
        sigma = matching_sigma(entry.wavelength, grating, every)
        if not sigma.any():
            matched.append(entry)
            continue
        matrix = smoothing_matrix(entry.wavelength, sigma, entry.good)
        if entry.covariance is None:
            spread = symmetric(matrix @ import_sparse().diags_array(np.square(entry.error)) @ matrix.T)
        else:
            spread = symmetric(matrix @ entry.covariance @ matrix.T)
        matched.append(
            replace(
                entry,
                flux=matrix @ entry.flux,
                error=np.sqrt(np.maximum(spread.diagonal(), 0.0)),
                covariance=spread,
                modes=matrix @ entry.modes if entry.modes.size else entry.modes,
                common={key: matrix @ values for key, values in entry.common.items()},
            )
        )
    return matched
