"""Fluxes and equivalent widths of lines by direct integration over a local linear continuum.

The flux is a linear function of the pixels, line window and continuum fit together, so its error follows from
theirs exactly, with or without covariance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.errors import ValidationError
from campfire.kernels.grids import good_pixels, pixel_edges

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.typing import BoolArray, FloatArray

__all__ = ["MIN_LINE_COVERAGE", "LineFluxes", "line_fluxes"]

MIN_LINE_COVERAGE = 0.9
"""Least part of the line window on good pixels; the line may lie in what is missing."""

_ANGSTROM = 1e4  # per micron


class LineFluxes(NamedTuple):
    """One line in every spectrum, shape (spectrum,); NaN where it cannot be measured.

    ``flux`` is in the unit of the flux density times angstrom, positive in emission; ``continuum`` is the
    flux density under the line; ``width`` is the equivalent width in angstrom as observed, positive in
    emission. ``coverage`` is the part of the line window on good pixels.
    """

    flux: FloatArray
    flux_err: FloatArray
    continuum: FloatArray
    continuum_err: FloatArray
    width: FloatArray
    width_err: FloatArray
    coverage: FloatArray


def line_fluxes(
    wavelength: FloatArray,
    flam: FloatArray,
    flam_err: FloatArray,
    centre: ArrayLike,
    half_width: ArrayLike,
    side: tuple[ArrayLike, ArrayLike],
    *,
    mask: BoolArray | None = None,
    avoid: BoolArray | None = None,
    covariance: Any = None,
) -> LineFluxes:
    """Measure one line in one or many spectra.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, increasing: (n,), or (spectrum, n) with NaN after the last pixel of each
        row.
    flam, flam_err
        Flux density per angstrom and its 1-sigma error, shape (spectrum, n).
    centre
        Observed wavelength of the line in microns, one or one a spectrum.
    half_width
        Half of the window that is integrated, microns.
    side
        Distances from the centre, in microns, between which the continuum is fitted on both sides.
    mask
        True for pixels not to be used.
    avoid
        True for pixels not to be used for the continuum, such as those of other lines.
    covariance
        Scipy sparse covariance (n, n) of the flux density; for a single spectrum.

    Returns
    -------
    LineFluxes
        Arrays of shape (spectrum,). NaN where less than 90 % of the window is on good pixels, or fewer than
        two pixels are left for the continuum on either side.

    Raises
    ------
    ValidationError
        For arrays that do not fit together.

    Examples
    --------
    >>> wave = np.linspace(1.0, 2.0, 1001)
    >>> line = 3.0 * np.exp(-0.5 * ((wave - 1.5) / 0.004) ** 2)
    >>> found = line_fluxes(wave, (2 + line)[None], np.full((1, 1001), 0.1), 1.5, 0.03, (0.04, 0.1))
    >>> found.flux.round(3), found.continuum.round(6)  # 3 * 40 angstrom * sqrt(2 pi)
    (array([300.795]), array([2.]))
    """
    flam, flam_err = np.atleast_2d(flam), np.atleast_2d(flam_err)
    good = good_pixels(flam, flam_err, None if mask is None else np.atleast_2d(mask))
    edges = np.atleast_2d(pixel_edges(wavelength))
    wave = np.atleast_2d(np.asarray(wavelength, dtype=np.float64))
    if wave.shape[-1] != flam.shape[-1] or len(wave) not in (1, len(flam)):
        raise ValidationError(f"wavelength has shape {wave.shape}, flux {flam.shape}", hint="one shape")
    if covariance is not None and len(flam) != 1:
        raise ValidationError("a covariance belongs to one spectrum", hint="measure spectra one by one")
    at, half, inner, outer = (
        np.reshape(np.asarray(v, dtype=np.float64), (-1, 1)) for v in (centre, half_width, *side)
    )
    values = np.where(good, flam, 0.0).astype(np.float64)
    variance = np.square(np.where(good, flam_err, 0.0).astype(np.float64))
    x = np.where(np.isfinite(wave), wave - at, np.inf)
    # the part of each pixel inside the window, and where its middle is
    low = np.clip(edges[:, :-1] - at, -half, half)
    high = np.clip(edges[:, 1:] - at, -half, half)
    inside = np.where(good, high - low, 0.0)
    coverage = inside.sum(axis=1) / (2 * half[:, 0])
    side_pixels = good & (np.abs(x) >= inner) & (np.abs(x) <= outer)
    if avoid is not None:
        side_pixels &= ~np.atleast_2d(avoid)
    enough = (np.sum(side_pixels & (x < 0), axis=1) > 1) & (np.sum(side_pixels & (x > 0), axis=1) > 1)
    measurable = enough & (coverage >= MIN_LINE_COVERAGE)
    # weighted straight line through the side pixels, in units that keep the sums of order one
    scaled = np.where(side_pixels, x, 0.0) / outer
    weight = np.where(side_pixels, 1.0 / np.where(side_pixels, variance, 1.0), 0.0)
    s0, s1, s2 = (np.sum(weight * scaled**k, axis=1, keepdims=True) for k in range(3))
    determinant = s0 * s2 - s1**2
    safe = np.where(measurable[:, None] & (determinant > 0), determinant, np.nan)
    level = weight * (s2 - s1 * scaled) / safe  # continuum at the centre = level . pixels
    slope = weight * (s0 * scaled - s1) / safe
    reach = inside.sum(axis=1, keepdims=True)
    lever = (inside * (low + high) / (2 * outer)).sum(axis=1, keepdims=True)
    line = (inside - level * reach - slope * lever) * _ANGSTROM
    flux, continuum = np.sum(line * values, axis=1), np.sum(level * values, axis=1)

    def product(left: FloatArray, right: FloatArray) -> FloatArray:
        if covariance is None:
            return np.asarray(np.sum(left * right * variance, axis=1))
        return np.asarray(np.sum(left * (covariance @ right.T).T, axis=1))

    flux_variance, level_variance = product(line, line), product(level, level)
    both = product(line, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        width = flux / continuum
        spread = flux_variance - 2 * width * both + np.square(width) * level_variance
        width_err = np.sqrt(np.maximum(spread, 0.0)) / np.abs(continuum)
    return LineFluxes(
        flux, np.sqrt(flux_variance), continuum, np.sqrt(level_variance), width, width_err, coverage
    )
