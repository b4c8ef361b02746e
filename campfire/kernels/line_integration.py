r"""Fluxes and equivalent widths of lines by integration, with neighbours told apart by their profiles.

Every line has a window of 1.5 FWHM to both sides, cut midway to its neighbours. The integral over window j is
linear in the fluxes :math:`F_k` of the lines and in the local continuum :math:`a + b x`,

.. math:: \int_j f = \sum_k S_{jk} F_k + \int_j (a + b x),

where :math:`S_{jk}` is the part of profile k (a Gaussian integrated over the pixels) on the good pixels of
window j. Together with the weighted straight line through the continuum pixels, from which the wings of the
lines are taken off in the same way, that is one small linear system. A line by itself is a direct integral
divided by the part of its profile that was seen, so that the width of the profile hardly matters. Fluxes and
continuum are linear functions of the pixels: their errors follow exactly, with or without covariance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.errors import ValidationError
from campfire.kernels.grids import PixelBounds
from campfire.kernels.line_batches import LineSet, Part, Pixels, as_pixels, import_ndtr, parts, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["ALIKE", "MIN_LINE_COVERAGE", "REASONS", "LineFluxes", "line_fluxes"]

MIN_LINE_COVERAGE = 0.7
"""Least part of the line's profile on good pixels; the flux is corrected for what is missing."""

REASONS = ("", "outside", "masked", "neighbour masked", "no continuum")
"""Why a line is NaN; ``LineFluxes.reason`` is a position in this tuple."""
_OUTSIDE, _MASKED, _NEIGHBOUR, _NO_CONTINUUM = 1, 2, 3, 4

_LEAST_SEEN = 0.3  # part of what a line has in its window on good pixels; below, its flux is not known
_LEAST_REACH = 0.01  # part of a neighbour's profile in the window that matters
_LEAST_SIDE = 3  # pixels of the continuum on a side
ALIKE = 0.003  # how much the lines of one blend are drawn to equal fluxes; their total is not
_ANGSTROM = 1e4  # per micron
_LEVEL = 1e-9  # keeps the slope defined where one pixel has all the weight


class _Choice(NamedTuple):
    """Where the continuum is taken: distances in FWHM from the line, and from other lines in theirs."""

    inner: float
    outer: float
    clear: float
    both_sides: bool


# Tried in this order: closer to other lines, whose wings are taken off, then further out, then one side.
_CHOICES = {
    6.0: (_Choice(2.0, 6.0, 1.5, True), _Choice(2.0, 6.0, 1.0, True), _Choice(1.5, 6.0, 0.75, True)),
    9.0: (_Choice(2.0, 9.0, 1.0, True), _Choice(2.0, 6.0, 1.0, False), _Choice(1.5, 9.0, 0.75, False)),
}


class LineFluxes(NamedTuple):
    """Lines in every spectrum, shape (spectrum, line); NaN where ``reason`` is not 0.

    ``flux`` is in the unit of the flux density times angstrom, positive in emission; ``continuum`` is the
    flux density under the line; ``width`` is the equivalent width in angstrom as observed, positive in
    emission. ``coverage`` is the part of the line's profile on good pixels. Lines that are not resolved are
    measured as one: the result is the total of lines ``first`` to ``last`` of the input, both included.
    ``blended`` tells that a neighbour has more than 1 % of its flux in the window.
    """

    flux: FloatArray
    flux_err: FloatArray
    continuum: FloatArray
    continuum_err: FloatArray
    width: FloatArray
    width_err: FloatArray
    coverage: FloatArray
    reason: IntArray
    first: IntArray
    last: IntArray
    blended: BoolArray


def line_fluxes(
    wavelength: FloatArray,
    flam: FloatArray,
    flam_err: FloatArray,
    centre: FloatArray,
    fwhm: FloatArray,
    wanted: IntArray | None = None,
    *,
    mask: BoolArray | None = None,
    covariance: Sequence[Any] | None = None,
) -> LineFluxes:
    """Measure lines in many spectra.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, increasing: (n,), or (spectrum, n) with NaN after the last pixel of each
        row.
    flam, flam_err
        Flux density per angstrom and its 1-sigma error, shape (spectrum, n).
    centre
        Observed wavelengths in microns of all lines that may be there, shape (spectrum, line), increasing in
        every row.
    fwhm
        Their FWHM in microns, of instrument and line; the pixels are taken account of here.
    wanted
        Positions of the lines to be measured; all by default.
    mask
        True for pixels not to be used.
    covariance
        Scipy sparse covariance of the flux density, or None, of every spectrum.

    Returns
    -------
    LineFluxes
        Arrays of shape (spectrum, wanted). The continuum is fitted from 2 to 6 FWHM to both sides, without
        1.5 FWHM around other lines; where less than three pixels are left on a side, closer to other lines,
        up to 9 FWHM, or on one side only.

    Raises
    ------
    ValidationError
        For arrays that do not fit together, or lines that are not in order.

    Examples
    --------
    >>> wave = np.linspace(1.0, 2.0, 1001)
    >>> line = 3.0 * np.exp(-0.5 * ((wave - 1.5) / 0.004) ** 2)
    >>> at, fwhm = np.array([[1.5]]), np.array([[0.004 * 2.3548]])
    >>> found = line_fluxes(wave, (2 + line)[None], np.full((1, 1001), 0.1), at, fwhm)
    >>> found.flux.round(1), found.continuum.round(3)  # 3 * 40 angstrom * sqrt(2 pi)
    (array([[300.8]]), array([[2.]]))
    """
    pixels = as_pixels(wavelength, flam, flam_err, mask)
    centre, fwhm = np.asarray(centre, dtype=np.float64), np.asarray(fwhm, dtype=np.float64)
    if centre.ndim != 2 or centre.shape != fwhm.shape or len(centre) != len(pixels.good):
        raise ValidationError(
            f"centre has shape {centre.shape}, fwhm {fwhm.shape}, for {len(pixels.good)} spectra",
            hint="pass (spectrum, line)",
        )
    if np.any(np.diff(centre, axis=1) < 0):
        raise ValidationError("lines are not in order of wavelength", hint="sort them")
    lines = LineSet.of(centre, fwhm, pixels)
    number = np.arange(centre.shape[1]) if wanted is None else np.asarray(wanted, dtype=np.intp)
    results = np.full((8, len(centre), len(number)), np.nan)
    inside = within(lines, pixels.bounds.low[:, :1], pixels.bounds.high[:, -1:])[:, number]
    results[6], results[7] = 0.0, np.where(inside > _LEAST_REACH, _NO_CONTINUUM, _OUTSIDE)
    for reach, choices in _CHOICES.items():
        row, column = np.nonzero(results[7] == _NO_CONTINUUM)
        for part in parts(lines, pixels, row, number[column], reach):
            at = row[part.jobs], column[part.jobs]
            results[:, at[0], at[1]] = _measure(part, lines, pixels, choices, covariance)
    flux, flux_err, level, level_err, width, width_err, coverage, reason = results
    reason[(reason != 0) & (inside < MIN_LINE_COVERAGE)] = _OUTSIDE
    return LineFluxes(
        flux,
        flux_err,
        level,
        level_err,
        width,
        width_err,
        coverage,
        reason.astype(np.intp),
        lines.first[:, number],
        lines.last[:, number],
        lines.blended[:, number],
    )


def _measure(
    part: Part,
    lines: LineSet,
    pixels: Pixels,
    choices: Sequence[_Choice],
    covariance: Sequence[Any] | None,
) -> FloatArray:
    """Return flux, its error, continuum, its error, width, its error, coverage and reason: (8, job)."""
    around = _Around.of(part, lines, pixels)
    side, enough = _continuum_pixels(around, choices)
    variance = pixels.variance[part.row[:, None], part.pixel]
    weight = np.where(side, 1.0 / np.where(side, variance, 1.0), 0.0)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    # rows of the system: integrals over the windows, then the straight line through the continuum
    size, tilt, k = around.size, around.x / choices[-1].outer, part.near.shape[1]
    straight = np.stack([weight / size, weight * tilt / size], axis=2)
    rows = np.concatenate([around.window, straight], axis=2)
    columns = np.concatenate([around.profile, np.stack([size, size * tilt], axis=2)], axis=2)
    matrix = rows.transpose(0, 2, 1) @ columns
    group = np.where(around.modelled, lines.first[part.row[:, None], part.near], -1 - np.arange(k))
    alike = group[:, :, None] == group[:, None, :]
    matrix[:, :k, :k] -= ALIKE * alike / alike.sum(axis=2, keepdims=True)
    diagonal = np.einsum("jkk->jk", matrix)  # a view
    diagonal[:, :k] += np.where(around.modelled, ALIKE, 1.0)
    diagonal[:, k:] += np.where(enough, 0.0, 1.0)[:, None]
    diagonal[:, k + 1] += _LEVEL
    asked = np.zeros((len(part.row), k + 2, 2))
    asked[:, :k, 0], asked[:, k, 1] = around.member, 1.0
    weights = (rows @ np.linalg.solve(matrix.transpose(0, 2, 1), asked)) * size[..., None]
    weights[..., 0] *= around.unit * _ANGSTROM
    flux, level = np.einsum("jmq,jm->qj", weights, pixels.values[part.row[:, None], part.pixel])
    spread = _spread(weights, variance, part, covariance)
    with np.errstate(invalid="ignore", divide="ignore"):
        width = flux / level
        of_width = spread[:, 0, 0] - 2 * width * spread[:, 0, 1] + np.square(width) * spread[:, 1, 1]
        width_err = np.sqrt(np.maximum(of_width, 0.0)) / np.abs(level)
    error, level_err = np.sqrt(np.maximum(np.einsum("jqq->qj", spread), 0.0))
    found = np.stack([flux, error, level, level_err, width, width_err])
    reason = np.where((around.reason == 0) & ~enough, _NO_CONTINUUM, around.reason)
    return np.vstack([np.where(reason == 0, found, np.nan), around.coverage, reason])


class _Around(NamedTuple):
    """What is around each line, in units of its FWHM from it: m pixels, k lines."""

    good: BoolArray  # (job, m)
    x: FloatArray
    size: FloatArray
    clear: FloatArray  # distance of pixels to the nearest line that is not of the blend, in FWHM of that
    ends: tuple[FloatArray, FloatArray]  # (job, 1): the first and last line of the blend
    unit: FloatArray
    profile: FloatArray  # (job, m, k): part of each profile on each pixel; zero for what is not modelled
    window: FloatArray  # part of each pixel in each window; zero for bad pixels
    member: BoolArray  # (job, k): lines of the blend, and those that can be told apart
    modelled: BoolArray
    coverage: FloatArray  # (job,)
    reason: IntArray

    @classmethod
    def of(cls, part: Part, lines: LineSet, pixels: Pixels) -> _Around:
        row, line = part.row[:, None], part.line[:, None]
        unit = lines.fwhm[row, line]

        def scaled(wavelength: FloatArray) -> FloatArray:
            return np.asarray((wavelength - lines.centre[row, line]) / unit)

        good = pixels.good[row, part.pixel] & part.is_pixel
        bounds = PixelBounds(*map(scaled, pixels.around(part)))
        size = bounds.width
        size[size <= 0] = 1.0  # of the padding
        first, last = lines.first[row, line], lines.last[row, line]
        member = part.is_near & (part.near >= first) & (part.near <= last)
        at, sigma = scaled(lines.centre[row, part.near]), lines.sigma[row, part.near] / unit
        ndtr = import_ndtr()
        left, right = (scaled(edge[row, part.near])[:, None] for edge in (lines.low, lines.high))

        def below(edge: FloatArray) -> FloatArray:
            return np.asarray(ndtr((edge - at[:, None]) / sigma[:, None]))

        def clipped(edge: FloatArray) -> FloatArray:
            return np.clip(edge[..., None], left, right)

        start, end = bounds.each(lambda edge: below(edge[..., None]))
        profile = end - start
        start, end = bounds.each(clipped)
        window = (end - start) / size[..., None]
        whole = np.einsum("jmk,jmk->jk", profile, window)
        if bounds.apart.any():  # what falls into a gap is part of the line, too
            whole += np.sum(below(clipped(bounds.low[:, 1:])) - below(clipped(bounds.high[:, :-1])), axis=1)
        window *= good[..., None]
        modelled = part.is_near & (bounds.low[:, :1] < at) & (at < bounds.high[:, -1:])
        modelled &= np.einsum("jmk,jmk->jk", profile, window) >= _LEAST_SEEN * whole
        seen = np.einsum("jmk,jm->jk", profile, good)
        coverage = np.minimum(np.min(np.where(member, seen, np.inf), axis=1), 1.0)
        masked = (coverage < MIN_LINE_COVERAGE) | np.any(member & ~modelled, axis=1)
        reached = np.einsum("jmk,jm->jk", profile, np.sum(window * member[:, None], axis=2))
        hidden = np.any(part.is_near & ~modelled & (reached > _LEAST_REACH), axis=1)
        window *= modelled[:, None]
        profile *= modelled[:, None]
        x = (bounds.low + bounds.high) / 2
        apart = np.abs(x[..., None] - at[:, None]) / (lines.fwhm[row, part.near] / unit)[:, None]
        other = (part.is_near & ~member)[:, None]
        return cls(
            good,
            x,
            size,
            np.min(np.where(other, apart, np.inf), axis=2, initial=np.inf),
            (scaled(lines.centre[row, first]), scaled(lines.centre[row, last])),
            unit,
            profile,
            window,
            member,
            modelled,
            coverage,
            np.select([masked, hidden], [_MASKED, _NEIGHBOUR], default=0),
        )


def _continuum_pixels(around: _Around, choices: Sequence[_Choice]) -> tuple[BoolArray, BoolArray]:
    """Return the pixels (job, m) of the first choice that leaves enough of them, and whether one does."""
    first, last = around.ends
    x, away = around.x, np.maximum(first - around.x, around.x - last)
    side, enough = np.zeros_like(around.good), np.zeros(len(x), dtype=bool)
    for inner, outer, clear, both_sides in choices:
        found = around.good & (away >= inner) & (away <= outer) & (around.clear >= clear)
        counts = np.sum(found & (x < first), axis=1), np.sum(found & (x > last), axis=1)
        least = np.minimum(*counts) if both_sides else np.maximum(*counts)
        accepted = ~enough & (least >= _LEAST_SIDE)
        side[accepted] = found[accepted]
        enough |= accepted
    return side, enough


def _spread(
    weights: FloatArray, variance: FloatArray, part: Part, covariance: Sequence[Any] | None
) -> FloatArray:
    """Return the covariance of the weighted sums over pixels, shape (job, 2, 2)."""
    spread = np.einsum("jmp,jmq,jm->jpq", weights, weights, variance)
    if covariance is None:
        return np.asarray(spread)
    for number in np.unique(part.row):
        matrix = covariance[number]
        if matrix is None:
            continue
        jobs = np.flatnonzero(part.row == number)
        dense = np.zeros((len(jobs), matrix.shape[0], 2))
        job, place = np.nonzero(part.is_pixel[jobs] & (part.pixel[jobs] < matrix.shape[0]))
        dense[job, part.pixel[jobs][job, place]] = weights[jobs][job, place]
        columns = dense.transpose(1, 0, 2).reshape(matrix.shape[0], -1)
        through = (matrix @ columns).reshape(matrix.shape[0], len(jobs), 2)
        spread[jobs] = np.einsum("jnp,njq->jpq", dense, through)
    return np.asarray(spread)
