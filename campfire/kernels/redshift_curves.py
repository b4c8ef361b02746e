"""Chi-square against redshift: the best sum of templates, none negative, on a continuum.

The continuum is a spline, fitted beforehand to the pixels that no line stands out of; templates are fitted to
what is left, all redshifts and all spectra of one grid in a few matrix products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from campfire.kernels.grids import PixelBounds, pixel_bounds
from campfire.kernels.redshift_templates import (
    LYMAN_ALPHA,
    Curve,
    break_templates,
    curve_templates,
    line_templates,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from campfire.typing import FloatArray

__all__ = [
    "Continuum",
    "Peaks",
    "chi2_curves",
    "coarser",
    "fit_continuum",
    "joined",
    "peaks",
    "redshift_grid",
    "spline_basis",
]

_STEP = 0.4  # of the FWHM of the sharpest pixels, between two redshifts
_KNOTS = 12
_CONTINUUM_ERROR, _LINE_ERROR = 0.03, 0.1  # of the templates: parts of the continuum and of what is above it
_OUT, _BELOW = 3.0, 4.0  # sigma above and below the continuum, from which a pixel is none of it
_ROUNDS, _SWEEPS = 4, 12
_REDSHIFTS, _ROWS = 128, 64  # at a time
_SEEN = 1e-3  # part of the square of a template on good pixels, of the best of errors
_APART = 0.01  # in ln(1 + z), of two solutions
_RED = (0.1240, 0.1450)  # rest frame, microns: the continuum beyond Lyα


class Continuum(NamedTuple):
    """The continuum of spectra: values (spectrum, n), and inverse variances with the error of templates."""

    values: FloatArray
    weight: FloatArray


def redshift_grid(low: float, high: float, power: float) -> FloatArray:
    """Return redshifts in even steps of ln(1 + z), fine enough for a resolving power.

    Examples
    --------
    >>> redshift_grid(0.0, 1.0, 1000.0).size
    1734
    """
    count = int(np.ceil(np.log((1 + high) / (1 + low)) * power / _STEP)) + 1
    return np.asarray(np.expm1(np.linspace(np.log1p(low), np.log1p(high), max(count, 2))))


def spline_basis(wavelength: FloatArray) -> FloatArray:
    """Return cubic splines over ln(wavelength), shape (n, p), for pixels (n,)."""
    from scipy.interpolate import BSpline

    at = np.log(wavelength)
    at = np.clip((at - at[0]) / (at[-1] - at[0]), 0.0, 1.0)
    inner = np.linspace(0.0, 1.0, min(_KNOTS, max(2, len(at) // 12)))
    knots = np.concatenate([[0.0] * 3, inner, [1.0] * 3])
    return np.asarray(BSpline.design_matrix(at, knots, 3).toarray())


def fit_continuum(
    values: FloatArray, weight: FloatArray, basis: FloatArray, *, line_error: float
) -> Continuum:
    """Fit splines to spectra of one grid, without what stands out of them.

    Parameters
    ----------
    values, weight
        Flux density and inverse variance, 0 for bad pixels, shape (spectrum, n).
    basis
        As of :func:`spline_basis`, or one for every spectrum, (spectrum, n, p).
    line_error
        Of templates of lines, part of what is above the continuum.
    """
    used = weight > 0
    level = np.zeros_like(values)
    small = weight
    for _ in range(_ROUNDS):
        kept = np.where(used, small, 0.0)
        normal = basis.swapaxes(-1, -2) @ (kept[:, :, None] * basis)
        size = np.einsum("spp->sp", normal)
        size += 1e-6 * size.max(axis=1, keepdims=True) + (size.max(axis=1, keepdims=True) <= 0)
        right = (kept * values)[:, None] @ basis
        level = (basis @ np.linalg.solve(normal, right.swapaxes(-1, -2)))[..., 0]
        small = _softened(weight, _CONTINUUM_ERROR * level)
        away = (values - level) * np.sqrt(small)
        out = away > _OUT
        out[:, 1:] |= out[:, :-1]
        out[:, :-1] |= out[:, 1:]
        used = (weight > 0) & ~out & (away > -_BELOW)
    above = np.maximum(values - level, 0.0)
    return Continuum(level, _softened(small, line_error * above))


def _softened(weight: FloatArray, error: FloatArray) -> FloatArray:
    """Return inverse variances after an error more, in quadrature."""
    return np.asarray(weight / (1.0 + weight * np.square(error)))


def chi2_curves(
    wavelength: FloatArray,
    values: FloatArray,
    weight: FloatArray,
    power: Callable[[FloatArray], FloatArray],
    redshifts: FloatArray,
    curves: Sequence[Curve] | None = None,
) -> FloatArray:
    """Return chi-square of spectra of one grid at every redshift, shape (spectrum, z).

    Parameters
    ----------
    wavelength
        Pixel centres in microns, shape (n,).
    values, weight
        f_nu and inverse variance, 0 for bad pixels, shape (spectrum, n).
    power
        Resolving power as a function of wavelength.
    redshifts
        Shape (z,), ascending.
    curves
        Templates of a user instead of ours.
    """
    bounds = pixel_bounds(wavelength)
    basis = spline_basis(wavelength)
    continuum = fit_continuum(values, weight, basis, line_error=_LINE_ERROR)
    left = continuum.weight * (values - continuum.values)
    result = np.empty((len(values), len(redshifts)))
    result[:] = np.sum(left * (values - continuum.values), axis=1)[:, None]
    smooth = np.linalg.qr(basis)[0]
    for first in range(0, len(redshifts), _REDSHIFTS):
        some = slice(first, first + _REDSHIFTS)
        templates = _templates(bounds, power, redshifts[some], curves, smooth)
        for start in range(0, len(values), _ROWS):
            rows = slice(start, start + _ROWS)
            result[rows, some] -= _gain(templates, left[rows], continuum.weight[rows])
    if curves is None:
        result += _below_lyman(wavelength, values, continuum, redshifts)
    return result


def _templates(
    bounds: PixelBounds,
    power: Callable[[FloatArray], FloatArray],
    redshifts: FloatArray,
    curves: Sequence[Curve] | None,
    smooth: FloatArray,
) -> FloatArray:
    """Return all templates (template, z, n), of a length of 1, wide ones without what a spline takes."""
    if curves is None:
        wide = break_templates(bounds, power, redshifts)
        sets = [line_templates(bounds, power, redshifts)]
    else:
        wide, sets = curve_templates(curves, bounds, redshifts), []
    wide -= (wide @ smooth) @ smooth.T
    templates = np.concatenate([*sets, wide])
    length = np.linalg.norm(templates, axis=2, keepdims=True)
    return np.asarray(templates / np.where(length > 1e-9, length, 1.0))


def _gain(templates: FloatArray, left: FloatArray, weight: FloatArray) -> FloatArray:
    """Return by how much templates (template, z, n) lower chi-square, shape (spectrum, z).

    Least squares without negative terms, by descent along one template after the other.
    """
    count, redshifts, n = templates.shape
    flat = templates.reshape(-1, n)
    slope = (left @ flat.T).reshape(len(left), count, redshifts)
    normal = np.empty((count, count, len(left), redshifts))
    for j in range(count):
        for k in range(j, count):
            normal[j, k] = normal[k, j] = weight @ (templates[j] * templates[k]).T
    unknowns = np.zeros((count, len(left), redshifts))
    seen = _SEEN * weight.max(axis=1, initial=0.0)[:, None]  # templates on bad pixels say nothing
    size = [np.where(normal[k, k] > seen, normal[k, k], np.inf) for k in range(count)]
    for _ in range(_SWEEPS):
        for k in range(count):
            gradient = slope[:, k] - np.einsum("jsz,jsz->sz", normal[k], unknowns)
            unknowns[k] = np.maximum(unknowns[k] + gradient / size[k], 0.0)
    through = np.einsum("jksz,ksz->jsz", normal, unknowns)
    return np.asarray(np.einsum("ksz,ksz->sz", unknowns, 2 * slope.transpose(1, 0, 2) - through))


def _below_lyman(
    wavelength: FloatArray, values: FloatArray, continuum: Continuum, redshifts: FloatArray
) -> FloatArray:
    """Return what flux below Lyα adds to chi-square where hydrogen between the galaxies lets none through."""
    weight = continuum.weight
    total = np.pad(np.cumsum(weight, axis=1), [(0, 0), (1, 0)])
    flux = np.pad(np.cumsum(weight * values, axis=1), [(0, 0), (1, 0)])
    edge = np.searchsorted(wavelength, LYMAN_ALPHA * 0.97 * (1 + redshifts))
    red = [np.searchsorted(wavelength, end * (1 + redshifts)) for end in _RED]
    blue_weight = total[:, edge]
    red_weight = total[:, red[1]] - total[:, red[0]]
    known = (blue_weight > 0) & (red_weight > 0)
    blue = flux[:, edge] / np.where(known, blue_weight, 1.0)
    level = (flux[:, red[1]] - flux[:, red[0]]) / np.where(known, red_weight, 1.0)
    # mean transmissions of Inoue et al. 2014, between the Lyman limit and Lyα, with room for their scatter
    through = np.clip(1.5 - 0.25 * redshifts, 0.05, 1.0)
    excess = np.maximum(blue - through * np.maximum(level, 0.0), 0.0)
    variance = 1 / np.where(known, blue_weight, 1.0) + np.square(through) / np.where(known, red_weight, 1.0)
    return np.asarray(np.where(known, np.square(excess) / variance, 0.0))


def coarser(
    wavelength: FloatArray, values: FloatArray, weight: FloatArray, several: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return wavelengths (n,), values and weights (spectrum, n) with some pixels at a time joined to one.

    Examples
    --------
    >>> at, flux, weight = coarser(np.array([1.0, 2.0]), np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]), 2)
    >>> at, flux, weight
    (array([1.5]), array([[3.]]), array([[3.]]))
    """
    n = len(wavelength) // several * several
    shape = (len(values), n // several, several)
    total = weight[:, :n].reshape(shape).sum(axis=2)
    flux = (weight * values)[:, :n].reshape(shape).sum(axis=2)
    return (
        wavelength[:n].reshape(shape[1:]).mean(axis=1),
        flux / np.where(total > 0, total, 1.0),
        total,
    )


def joined(
    curves: Sequence[tuple[FloatArray, FloatArray]], z: FloatArray, shifts: Sequence[float]
) -> FloatArray:
    """Return chi-square of spectra of one object together, shape (z,).

    Parameters
    ----------
    curves
        Redshifts and chi-square of every spectrum.
    z
        Redshifts in even steps of ln(1 + z).
    shifts
        Standard deviation of the offset of each spectrum in ln(1 + z): its chi-square is the least of those
        at all offsets, with what the offset adds.
    """
    step = np.log1p(z[1]) - np.log1p(z[0])
    total: FloatArray = np.zeros(len(z))
    for (own, chi2), shift in zip(curves, shifts, strict=True):
        curve = np.interp(z, own, chi2)
        least = curve.copy()
        reach = min(int(3 * shift / step), len(z) - 1)
        for k in range(1, reach + 1):
            more = np.square(k * step / shift)
            least[k:] = np.minimum(least[k:], curve[:-k] + more)
            least[:-k] = np.minimum(least[:-k], curve[k:] + more)
        total += least
    return total


class Peaks(NamedTuple):
    """Solutions of curves, shape (spectrum,); ``probability`` (spectrum, z) for a flat prior in z.

    ``width`` is the standard deviation of the first, ``part`` its probability.
    """

    redshift: FloatArray
    width: FloatArray
    second: FloatArray
    odds: FloatArray
    part: FloatArray
    least: FloatArray
    probability: FloatArray


def peaks(z: FloatArray, chi2: FloatArray) -> Peaks:
    """Return the best and the second solution of curves (spectrum, z).

    Examples
    --------
    >>> z = np.linspace(0, 5, 501)
    >>> found = peaks(z, np.minimum(((z - 2) / 0.01) ** 2, 4 + ((z - 4) / 0.01) ** 2)[None])
    >>> found.redshift.round(2), found.second.round(2), found.odds.round(1)
    (array([2.]), array([4.]), array([7.4]))
    """
    row = np.arange(len(chi2))
    best = chi2.argmin(axis=1)
    probability = np.exp(-0.5 * (chi2 - chi2[row, best][:, None])) * np.gradient(z)
    probability /= probability.sum(axis=1, keepdims=True)
    away = np.abs(np.log1p(z) - np.log1p(z[best])[:, None])
    first = np.where(away < _APART, probability, 0.0)
    part = first.sum(axis=1)
    mean = (first @ z) / part
    width = np.sqrt(np.maximum(first @ np.square(z) / part - np.square(mean), 0.0))
    width = np.hypot(width, np.gradient(z)[best] / np.sqrt(12.0))
    rest = np.where(away < _APART, np.inf, chi2)
    other = rest.argmin(axis=1)
    near = np.abs(np.log1p(z) - np.log1p(z[other])[:, None]) < _APART
    second = np.where(near & (away >= _APART), probability, 0.0).sum(axis=1)
    odds = part / np.maximum(second, np.finfo(float).tiny)
    return Peaks(z[best], width, z[other], odds, part, chi2[row, best], probability / np.gradient(z))
