r"""How large the noise of spectra is in units of the stated errors, and how neighbouring pixels correlate.

The model is :math:`y_i = f_i + s(\lambda_i) \sigma_i n_i` with a smooth :math:`f`, stated errors
:math:`\sigma`, and unit noise :math:`n` whose correlation :math:`\rho_m` depends on the distance m of two
pixels alone, and is 0 beyond a few pixels.

A local parabola, fitted by weighted least squares to the 21 pixels around each, is taken off (Savitzky &
Golay 1964, Anal. Chem. 36, 1627; with masked pixels the weights differ from pixel to pixel). What is left is
:math:`r = G n` in units of the stated errors, for a known banded matrix G; so

.. math:: E[r_i r_{i+k}] = s^2 \sum_m A_{km}(i) \rho_m, \quad A_{km}(i) = \sum_{|j - l| = m} G_{ij} G_{i+k,l}.

These are solved for the scale and the correlation (method of moments). Both are found from residuals cut to
2 sigma, for what is left of faint lines, with the factors that make that unbiased for Gaussian noise (Huber
1981, *Robust Statistics*, ch. 5). Their errors are those of Bartlett (1946, J. R. Stat. Soc. Suppl. 8, 27)
for the correlation that the residuals have by this model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from campfire.errors import ValidationError
from campfire.kernels.grids import pixel_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["MIN_PIXELS", "Residuals", "SmoothNoise", "contrasts", "fit_noise", "noise_bands", "residuals"]

HALF = 10
"""Pixels to each side in the fit of the continuum."""
_DEGREE = 2
_NEEDED = 12  # good pixels for a local parabola
_SINGULAR = 1e-10  # least determinant of its normal matrix over its trace cubed: one pixel decides all
MIN_PIXELS = 60
"""Fewer residuals tell too little: the scale would have an error above 10 %."""

_CUT = 2.0
_FOUND, _GROW, _SWEEPS = 4.0, 2, 6  # sigma of a line, pixels around it, rounds of looking for lines
_MAX_DEGREE, _PER_DEGREE = 3, 100  # of ln s^2; pixels that each degree needs
_ROUNDS, _STEPS, _CONVERGED = 8, 50, 1e-8
_FLOOR = 0.02  # of the power spectrum of the correlation

_INSIDE = math.erf(_CUT / math.sqrt(2.0))
_EDGE = math.exp(-0.5 * _CUT**2) / math.sqrt(2.0 * math.pi)
_SECOND = _INSIDE - 2.0 * _CUT * _EDGE  # E[z^2; |z| < cut]
_POWER = _SECOND + _CUT**2 * (1.0 - _INSIDE)  # E[min(z^2, cut^2)]
_FOURTH = 3.0 * _INSIDE - 2.0 * _EDGE * (_CUT**3 + 3.0 * _CUT) + _CUT**4 * (1.0 - _INSIDE)
_SLOPE = _SECOND / _POWER
_SPREAD = (_FOURTH - _POWER**2) / _POWER**2


class Residuals(NamedTuple):
    """What is left of one row without its continuum, in units of the stated errors.

    ``wavelength`` and ``value`` have shape (n,), ``transfer`` (n, lag, m): A of the module at every pixel, 0
    for pairs with a pixel that is not used; ``used`` (n,).
    """

    wavelength: FloatArray
    value: FloatArray
    transfer: FloatArray
    used: BoolArray


@dataclass(frozen=True, slots=True)
class SmoothNoise:
    """Scale and correlation of the noise.

    ``wavelength``, ``scale``, ``scale_err`` have shape (w,), ``correlation`` and its error (lag,), from lag
    0 on; ``pixels`` is the number of residuals.
    """

    wavelength: FloatArray
    scale: FloatArray
    scale_err: FloatArray
    correlation: FloatArray
    correlation_err: FloatArray
    pixels: int


def residuals(
    wavelength: FloatArray, flux: FloatArray, error: FloatArray, good: BoolArray, lags: int
) -> Residuals:
    """Take the continuum off one row, leaving out lines.

    Parameters
    ----------
    wavelength
        Microns, increasing, shape (n,), at least two.
    flux, error
        In one unit, shape (n,).
    good
        Pixels to be used.
    lags
        How many pixels apart two correlated pixels may be.
    """
    place = _places(wavelength)
    n = int(place[-1]) + 1
    values, sigma, use = np.zeros(n), np.ones(n), np.zeros(n, dtype=bool)
    values[place[good]], sigma[place[good]], use[place[good]] = flux[good], error[good], True
    wave = np.full(n, np.nan)
    wave[place] = wavelength
    for sweep in range(_SWEEPS + 1):
        matrix = _filter(sigma, use)
        kept = matrix[:, HALF] > 0
        left = np.where(kept, (_windows(values / sigma) * matrix).sum(axis=1), 0.0)
        found = _outstanding(left, np.sqrt(np.square(matrix).sum(axis=1)), kept)
        if sweep == _SWEEPS or not found.any():
            break
        use &= ~found
    return Residuals(wave, left, _transfer(matrix, lags), kept)


def _places(wavelength: FloatArray) -> IntArray:
    """Return where pixels are put so that those on the two sides of a gap have no window in common."""
    jump = np.where(pixel_bounds(wavelength).apart, 2 * HALF + 1, 1)
    return np.concatenate([[0], np.cumsum(jump)])


def _windows(values: FloatArray) -> FloatArray:
    """Return the pixels around each, shape (n, 2 HALF + 1), 0 beyond the ends."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, HALF), 2 * HALF + 1)


def _filter(sigma: FloatArray, use: BoolArray) -> FloatArray:
    """Return G: rows of weights for values over sigma, all 0 where there is no residual."""
    offset = np.arange(-HALF, HALF + 1) / HALF
    powers = np.vander(offset, _DEGREE + 1, increasing=True)
    inverse = np.where(use, 1.0 / sigma, 0.0)
    # relative to the middle: errors of any size
    around = _windows(inverse) * sigma[:, None]
    weight = np.square(around)
    normal = np.einsum("nw,wp,wq->npq", weight, powers, powers, optimize=True)
    enough = use & ((around > 0).sum(axis=1) >= _NEEDED)
    size = np.trace(normal, axis1=1, axis2=2)
    enough &= np.linalg.det(normal) > _SINGULAR * size ** (_DEGREE + 1)
    normal[~enough] = np.eye(_DEGREE + 1)
    at_middle = np.linalg.inv(normal)[:, 0]
    matrix = -(at_middle @ powers.T) * around
    matrix[:, HALF] += 1.0
    return np.where(enough[:, None] & (around > 0), matrix, 0.0)


def _outstanding(left: FloatArray, expected: FloatArray, kept: BoolArray) -> BoolArray:
    """Return the pixels of lines and outliers: sums of 1 to 4 residuals far out, and pixels around them."""
    unit = np.where(kept, left / np.where(kept, expected, 1.0), 0.0)
    if not kept.any():
        return kept
    found = np.zeros(len(left), dtype=bool)
    for width in (1, 2, 3, 4):
        kernel = np.ones(width)
        total, count = np.convolve(unit, kernel, "valid"), np.convolve(kept, kernel, "valid")
        full = count == width
        if not full.any():
            continue
        limit = _FOUND * 1.4826 * np.median(np.abs(total[full]))
        far = np.flatnonzero(full & (np.abs(total) > limit))
        for k in range(-_GROW, width + _GROW):
            found[np.clip(far + k, 0, len(left) - 1)] = True
    return found & kept


def _transfer(matrix: FloatArray, lags: int) -> FloatArray:
    """Return A of the module, shape (n, 2 HALF + 1, lags + 1)."""
    n, width = matrix.shape
    result = np.zeros((n, width, lags + 1), dtype=np.float32)  # many spectra are kept
    wide = np.pad(matrix, [(0, width), (lags + width, lags + width)])
    for k in range(width):
        other = wide[k : k + n]
        pair = (matrix[:, HALF] > 0) & (wide[k : k + n, lags + width + HALF] > 0)
        for m in range(lags + 1):
            for shift in {m, -m}:
                # column a of row i is pixel i + a - HALF, which row i + k has in column a - k
                first = lags + width - k + shift
                product = np.einsum("na,na->n", matrix, other[:, first : first + width])
                result[:, k, m] += np.where(pair, product, 0.0)
    return result


def contrasts(
    flux: FloatArray, error: FloatArray, good: BoolArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return what repeats of one spectrum differ by: independent values without the source.

    From every row the mean of those before it is taken off, weighted by inverse variances: differences with
    errors known, independent of each other (recursive residuals: Brown, Durbin & Evans 1975, J. R. Stat.
    Soc. B 37, 149).

    Parameters
    ----------
    flux, error
        On one grid, shape (r, n).
    good
        Pixels to be used, shape (r, n).

    Returns
    -------
    flux, error, good
        Shape (r - 1, n).
    """
    weight = np.where(good, 1.0 / np.square(np.where(good, error, 1.0)), 0.0)
    total = np.cumsum(weight, axis=0)[:-1]
    usable = good[1:] & (total > 0)
    total = np.where(total > 0, total, 1.0)
    mean = np.cumsum(weight * np.where(good, flux, 0.0), axis=0)[:-1] / total
    value = np.where(usable, flux[1:] - mean, 0.0)
    return value, np.where(usable, np.sqrt(np.square(error[1:]) + 1.0 / total), 1.0), usable


def fit_noise(rows: Sequence[Residuals], lags: int, knots: int) -> SmoothNoise | None:
    """Find one scale and one correlation for rows of residuals; None where there are too few.

    Parameters
    ----------
    rows
        Of one disperser.
    lags
        As they were made with.
    knots
        Number of wavelengths for the scale.

    Raises
    ------
    ValidationError
        For fluxes without noise.
    """
    used = np.concatenate([row.used for row in rows])
    if int(used.sum()) < MIN_PIXELS:
        return None
    wave = np.concatenate([row.wavelength for row in rows])[used]
    value = np.concatenate([row.value for row in rows])[used]
    if not np.median(np.abs(value)) > 0:
        raise ValidationError("the fluxes have no noise: a parabola fits them exactly")
    ends = float(wave.min()), float(wave.max())
    degree = min(_MAX_DEGREE, len(wave) // _PER_DEGREE)
    basis = _basis(wave, ends, degree)
    transfer = np.concatenate([row.transfer[:, 0] for row in rows])[used]
    correlation = np.eye(1, lags + 1)[0]
    for _ in range(_ROUNDS):
        coefficients = _scale(value / np.sqrt(transfer @ correlation), basis)
        sums = _sums(rows, coefficients, ends, correlation)
        inverse = np.linalg.inv(sums.matrix[1 : lags + 1, 1:])
        solved = inverse @ (sums.found - sums.matrix[:, 0])[1 : lags + 1]
        correlation = _positive(np.concatenate([[1.0], solved]))
    # how mean products follow from ln s^2 (at every lag by what they are) and from the correlation
    along = sums.matrix @ correlation
    jacobian = np.column_stack([along[: lags + 1], sums.matrix[: lags + 1, 1:]])
    noise = _bartlett(along, lags) / np.sqrt(np.outer(sums.number, sums.number))[: lags + 1, : lags + 1]
    noise[0] *= np.sqrt(_SPREAD / 2.0) / _SLOPE
    noise[:, 0] *= np.sqrt(_SPREAD / 2.0) / _SLOPE
    inverse = np.linalg.inv(jacobian)
    covariance = inverse @ noise @ inverse.T
    grid = np.linspace(*ends, knots)
    at = _basis(grid, ends, degree)
    scale = np.exp(0.5 * at @ coefficients)
    leverage = np.einsum("ij,jk,ik->i", at, np.linalg.inv(basis.T @ basis) * len(wave), at)
    return SmoothNoise(
        wavelength=grid,
        scale=scale,
        scale_err=0.5 * scale * np.sqrt(covariance[0, 0] * leverage),
        correlation=correlation,
        correlation_err=np.concatenate([[0.0], np.sqrt(np.diag(covariance)[1:])]),
        pixels=len(wave),
    )


def _basis(wavelength: FloatArray, ends: tuple[float, float], degree: int) -> FloatArray:
    low, high = ends
    return np.polynomial.legendre.legvander(2.0 * (wavelength - low) / (high - low) - 1.0, degree)


def _scale(unit: FloatArray, basis: FloatArray) -> FloatArray:
    """Return c that solves ``sum of basis * (min(z^2, cut^2) / its mean - 1) = 0``, ln s^2 = basis @ c.

    z is ``unit / s``; by Newton's method.
    """
    inverse = np.linalg.inv(basis.T @ basis)
    coefficients = np.zeros(basis.shape[1])
    coefficients[0] = 2.0 * np.log(1.4826 * np.median(np.abs(unit)))
    for _ in range(_STEPS):
        square = np.minimum(np.square(unit) * np.exp(-(basis @ coefficients)), _CUT**2)
        step = inverse @ (basis.T @ (square / _POWER - 1.0)) / _SLOPE
        coefficients = coefficients + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < _CONVERGED:
            break
    return coefficients


class _Sums(NamedTuple):
    """Mean products of residuals ``found`` (lag,), their number, and what a correlation makes of them."""

    found: FloatArray
    number: FloatArray
    matrix: FloatArray


def _sums(
    rows: Sequence[Residuals], coefficients: FloatArray, ends: tuple[float, float], correlation: FloatArray
) -> _Sums:
    width = rows[0].transfer.shape[1]
    found, count, matrix = np.zeros(width), np.zeros(width), np.zeros((width, len(correlation)))
    for row in rows:
        at = np.where(row.used, row.wavelength, ends[0])
        expected = np.where(row.used, row.transfer[:, 0] @ correlation, 1.0)
        norm = np.sqrt(expected)
        unit = np.clip(
            row.value / norm * np.exp(-0.5 * _basis(at, ends, len(coefficients) - 1) @ coefficients),
            -_CUT,
            _CUT,
        )
        n = len(unit)
        for k in range(min(width, n)):
            pair = row.used[: n - k] & row.used[k:]
            found[k] += unit[: n - k][pair] @ unit[k:][pair]
            count[k] += pair.sum()
            scale = (norm[: n - k] * norm[k:])[pair]
            matrix[k] += (row.transfer[: n - k, k][pair] / scale[:, None]).sum(axis=0)
    count = np.maximum(count, 1.0)
    return _Sums(found / count / _POWER, count, matrix / count[:, None])


def _bartlett(along: FloatArray, lags: int) -> FloatArray:
    """Return n times the covariance of mean products at lags 0 to ``lags``, of a series so correlated."""
    n, reach = len(along) - 1, 2 * lags
    padded = np.pad(np.concatenate([along[:0:-1], along]), 2 * reach)

    def shifted(k: int) -> FloatArray:
        return padded[reach + k : reach + k + 2 * (n + reach) + 1]

    # sum over m of c(m) c(m + j - k) + c(m + j) c(m - k)
    number = range(lags + 1)
    return np.array(
        [[shifted(0) @ shifted(j - k) + shifted(j) @ shifted(-k) for k in number] for j in number]
    )


def _positive(correlation: FloatArray) -> FloatArray:
    """Return a correlation that noise can have: its lags shrunk by one factor until no power is negative."""
    lags = np.arange(1, len(correlation))
    power = 2.0 * np.cos(np.outer(np.linspace(0.0, np.pi, 257), lags)) @ correlation[1:]
    lowest = float(power.min(initial=0.0))
    shrink = 1.0 if lowest >= _FLOOR - 1.0 else (_FLOOR - 1.0) / lowest
    return np.concatenate([[1.0], shrink * correlation[1:]])


def noise_bands(
    wavelength: FloatArray, error: FloatArray, good: BoolArray, correlation: FloatArray
) -> FloatArray:
    """Return the covariance of pixels as bands (n, lag): 0 for pixels not good, and across gaps.

    Parameters
    ----------
    wavelength
        Microns, shape (n,).
    error
        1-sigma errors, scaled already.
    good
        Pixels to be used.
    correlation
        From lag 0 on.
    """
    place = _places(wavelength)
    sigma = np.where(good, error, 0.0)
    result = np.zeros((len(wavelength), len(correlation)))
    for k, value in enumerate(correlation[: len(wavelength)]):
        n = len(wavelength) - k
        near = place[k:] - place[:n] == k
        result[:n, k] = np.where(near, value * sigma[:n] * sigma[k:], 0.0)
    return result
