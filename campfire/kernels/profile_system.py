"""The linear systems of profiles: pixels around every line as a sum of profiles and a continuum, solved.

A floor of :mod:`campfire.kernels.line_fitting`, which says what is fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import PixelBounds
from campfire.kernels.line_batches import WINDOW, LineSet, Part, Pixels, import_ndtr
from campfire.kernels.line_integration import ALIKE, MIN_LINE_COVERAGE
from campfire.kernels.lsf import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["LEAST_SEEN", "REACH", "Bands", "Fitted", "Setting", "Widths"]

REACH = 6.0
"""How far the continuum reaches from a line, in FWHM."""

LEAST_SEEN = 1e-3
"""Part of a profile on good pixels that makes a line one of the unknowns."""

_MASKED, _NO_CONTINUUM = 2, 4  # positions in REASONS
_LEAST_CONTINUUM = 3  # pixels outside the lines
_ANGSTROM = 1e4  # per micron
_CLEAR = 3.0  # S/N below which a line says nothing of widths


class Setting(NamedTuple):
    """What is common to all lines of a measurement.

    ``leader`` and ``ratio`` tell to which line each is tied (itself by default), and its flux in that of it;
    ``partner`` is the other one of either.
    ``together`` tells that all lines of a spectrum have the same factors of their widths.
    """

    pixels: Pixels
    leader: IntArray
    ratio: FloatArray
    partner: IntArray
    noise: Bands | None
    together: bool


class Bands(NamedTuple):
    """Covariances of all spectra: (spectrum, n, lag), and modes (spectrum, n, mode) with signs."""

    bands: FloatArray
    modes: FloatArray
    signs: FloatArray

    @classmethod
    def of(cls, covariance: Sequence[Any], pixels: Pixels) -> Bands:
        """Return those of all spectra; None stands for independent pixels."""
        count, n = pixels.good.shape
        found = [None if entry is None else Covariance.of(entry) for entry in covariance]
        near = [None if entry is None else entry.near.tocoo() for entry in found]
        lags = [0 if a is None else int(np.max(a.coords[1] - a.coords[0], initial=0)) for a in near]
        most = max((0 if entry is None else entry.modes.shape[1] for entry in found), default=0)
        bands, modes = np.zeros((count, n, 1 + max(lags, default=0))), np.zeros((count, n, most))
        signs = np.zeros((count, most))
        bands[:, :, 0] = pixels.variance
        for k, (entry, matrix) in enumerate(zip(found, near, strict=True)):
            if entry is None or matrix is None:
                continue
            row, column = matrix.coords
            upper = column >= row
            bands[k] = 0.0
            bands[k, row[upper], (column - row)[upper]] = matrix.data[upper]
            size, r = entry.modes.shape
            modes[k, :size, :r], signs[k, :r] = entry.modes, entry.signs
        return cls(bands, modes, signs)

    def around(self, part: Part, good: BoolArray) -> FloatArray:
        """Return the bands of the pixels of a part as matrices (job, m, m), 0 for bad pixels."""
        row, m = part.row[:, None], part.pixel.shape[1]
        matrix = np.zeros((len(part.row), m, m))
        own = self.bands[row, part.pixel]
        index = np.arange(m)
        for lag in range(min(self.bands.shape[2], m)):
            matrix[:, index[: m - lag], index[lag:]] = own[:, : m - lag, lag]
            matrix[:, index[lag:], index[: m - lag]] = own[:, : m - lag, lag]
        matrix *= good[:, :, None] & good[:, None, :]
        return matrix


class Widths:
    """Factors (s, t) of every line, shape (spectrum, line, 2), with their covariance."""

    def __init__(self, instrument: FloatArray, intrinsic: FloatArray) -> None:
        self.squares = np.stack([np.square(instrument), np.square(intrinsic)], axis=-1)
        self.factors = np.ones(self.squares.shape)
        self.covariance = np.zeros((*self.squares.shape, 2))

    @property
    def fwhm(self) -> FloatArray:
        """FWHM of every line before the pixels, microns."""
        return np.asarray(np.sqrt(np.sum(self.factors * self.squares, axis=-1)))


class Fitted(NamedTuple):
    """The linear system of every job, solved; fluxes in units of ``scale`` times ``unit`` microns."""

    unit: FloatArray  # (job,)
    scale: FloatArray
    member: BoolArray  # (job, k): lines of the blend
    moving: BoolArray  # those whose widths go with that of the blend
    lines_of: FloatArray  # (job, k, k): flux of a line by unknown
    values: FloatArray  # (job, m)
    design: FloatArray  # (job, m, k + 2)
    weighted: FloatArray  # design and values times the inverse covariance, (job, m, k + 3)
    normal: FloatArray  # (job, k + 2, k + 2)
    unknowns: FloatArray  # (job, k + 2)
    shared: FloatArray  # (job, k + 2, k + 2): what modes add to the covariance of the unknowns
    slopes: FloatArray  # (job, m, 2, k): of profile k by both factors, for a flux of 1
    weights: Any  # of the pixels: (job, m), or the matrices whose inverse they are
    coverage: FloatArray
    reason: IntArray

    @classmethod
    def of(cls, setting: Setting, part: Part, lines: LineSet, widths: Widths, asked: IntArray) -> Fitted:
        """Solve the systems of a part, each for the blend of one line that is asked for."""
        row, line, pixels = part.row[:, None], part.line[:, None], setting.pixels
        unit = lines.fwhm[row, line]
        good = pixels.good[row, part.pixel] & part.is_pixel
        bounds = pixels.around(part)
        bounds = PixelBounds(*((edge - lines.centre[row, line]) / unit for edge in bounds))
        size = bounds.width
        size[size <= 0] = 1.0  # of the padding
        x = (bounds.low + bounds.high) / 2
        at = (lines.centre[row, part.near] - lines.centre[row, line]) / unit
        squares = widths.squares[row, part.near] / np.square(unit * FWHM_PER_SIGMA)[..., None]
        variance = np.sum(widths.factors[row, part.near] * squares, axis=2)
        sigma, ndtr = np.sqrt(variance)[:, None], import_ndtr()

        def away(edge: FloatArray) -> FloatArray:
            return np.asarray((edge[..., None] - at[:, None]) / sigma)

        def slope(edge: FloatArray) -> FloatArray:
            far = away(edge)
            return np.asarray(far * np.exp(-0.5 * np.square(far)))

        start, end = bounds.each(lambda edge: np.asarray(ndtr(away(edge))))
        profile = end - start
        start, end = bounds.each(slope)
        by_variance = (start - end) / (2.0 * np.sqrt(2 * np.pi) * variance[:, None])
        seen = np.einsum("jmk,jm->jk", profile, good)
        used = part.is_near & (seen > LEAST_SEEN)
        profile, by_variance = (a * (used[:, None] / size[..., None]) for a in (profile, by_variance))
        first, last = lines.first[row, asked[:, None]], lines.last[row, asked[:, None]]
        member = part.is_near & (part.near >= first) & (part.near <= last)
        lines_of = _unknowns(setting, part, used)
        tilt = np.stack([np.ones_like(x), x / REACH], axis=2)
        design = np.concatenate([profile @ lines_of, tilt], axis=2) * good[..., None]
        scale = np.sqrt(np.sum(pixels.variance[row, part.pixel] * good, axis=1) / np.maximum(good.sum(1), 1))
        scale[scale <= 0] = 1.0
        values = np.where(good, pixels.values[row, part.pixel] / scale[:, None], 0.0)
        both = np.concatenate([design, values[..., None]], axis=2)
        weights = _weights(setting, part, good, scale)
        weighted = weights[..., None] * both if weights.ndim == 2 else np.linalg.solve(weights, both)
        full = design.transpose(0, 2, 1) @ weighted
        normal = full[..., :-1] + _held(full[..., :-1], lines_of, part, lines)
        unknowns = np.linalg.solve(normal, full[..., -1:])[..., 0]
        shared = np.zeros_like(normal)
        if setting.noise is not None and setting.noise.modes.shape[2]:
            modes = setting.noise.modes[row, part.pixel] * (good / scale[:, None])[..., None]
            moves = np.linalg.solve(normal, weighted[..., :-1].transpose(0, 2, 1) @ modes)
            shared = (moves * setting.noise.signs[part.row][:, None]) @ moves.transpose(0, 2, 1)
        coverage = np.minimum(np.min(np.where(member, seen, np.inf), axis=1), 1.0)
        low = np.min(np.where(member, at, np.inf), axis=1, keepdims=True)
        high = np.max(np.where(member, at, -np.inf), axis=1, keepdims=True)
        continuum = np.sum(good & (np.maximum(low - x, x - high) > WINDOW), axis=1)
        reason = np.select(
            [coverage < MIN_LINE_COVERAGE, continuum < _LEAST_CONTINUUM], [_MASKED, _NO_CONTINUUM], default=0
        )
        slopes = by_variance[:, :, None] * (squares.transpose(0, 2, 1) * used[:, None])[:, None]
        slopes *= good[..., None, None]
        return cls(
            unit[:, 0],
            scale,
            member,
            part.is_near if setting.together else member,
            lines_of,
            values,
            design,
            weighted,
            normal,
            unknowns,
            shared,
            slopes,
            weights,
            coverage,
            reason,
        )

    def _asked(self, apart: FloatArray) -> FloatArray:
        """Return flux of the blend, and continuum in a distance, by unknowns, shape (job, k + 2, 2)."""
        asked = np.zeros((*self.unknowns.shape, 2))
        asked[:, :-2, 0] = np.einsum("jk,jkp->jp", self.member, self.lines_of)
        asked[:, -2, 1] = 1.0
        asked[:, -1, 1] = apart / self.unit / REACH
        return asked

    def _by_widths(self, which: BoolArray) -> FloatArray:
        """Return the change of the pixels by both factors of some lines, shape (job, m, 2)."""
        fluxes = np.einsum("jkp,jp->jk", self.lines_of, self.unknowns[:, :-2])
        return np.asarray(np.einsum("jmpk,jk->jmp", self.slopes, np.where(which, fluxes, 0.0)))

    def _inverse(self, change: FloatArray) -> FloatArray:
        """Return the inverse covariance times (job, m, any)."""
        if self.weights.ndim == 2:
            return np.asarray(self.weights[..., None] * change)
        return np.asarray(np.linalg.solve(self.weights, change))

    def of_widths(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what each blend says of both factors: slope and curvature of -chi2 / 2, and a weight.

        The weight is 0 for lines too faint to say anything.
        """
        change = self._by_widths(self.member)
        through = self._inverse(change)
        left = self.values - np.einsum("jmp,jp->jm", self.design, self.unknowns)
        slope = np.einsum("jmp,jm->jp", through, left)
        cross = self.design.transpose(0, 2, 1) @ through
        curvature = change.transpose(0, 2, 1) @ through
        curvature = curvature - cross.transpose(0, 2, 1) @ np.linalg.solve(self.normal, cross)
        asked = self._asked(np.zeros_like(self.unit))[..., :1]
        flux = np.einsum("jp,jp->j", asked[..., 0], self.unknowns)
        spread = np.linalg.solve(self.normal, asked) + self.shared @ asked
        error = np.sqrt(np.maximum(np.einsum("jpq,jpq->j", asked, spread), np.finfo(float).tiny))
        snr = np.maximum(flux, 0.0) / error
        weight = np.maximum(0.0, 1.0 - np.square(_CLEAR / np.maximum(snr, 1e-9)))
        return slope, curvature, np.where(self.reason == 0, weight, 0.0)

    def measured(self, of_widths: FloatArray, apart: FloatArray) -> FloatArray:
        """Return flux, continuum, width, each with its error, error of known widths, coverage, reason.

        The continuum is that at a distance (um) from the line.
        """
        asked = self._asked(apart)
        solved = np.linalg.solve(self.normal, asked)
        spread = asked.transpose(0, 2, 1) @ (solved + self.shared @ asked)
        flux, level = np.einsum("jpq,jp->qj", asked, self.unknowns)
        least = np.sqrt(np.maximum(spread[:, 0, 0], 0.0))
        if of_widths.any():
            change = self._inverse(self._by_widths(self.moving))
            moves = -solved.transpose(0, 2, 1) @ (self.design.transpose(0, 2, 1) @ change)
            spread = spread + moves @ of_widths @ moves.transpose(0, 2, 1)
        to_flux, to_level = self.scale * self.unit * _ANGSTROM, self.scale
        flux, level, least = flux * to_flux, level * to_level, least * to_flux
        spread = spread * np.stack([to_flux, to_level], 1)[:, :, None]
        spread = spread * np.stack([to_flux, to_level], 1)[:, None]
        error, level_err = np.sqrt(np.maximum(np.einsum("jqq->qj", spread), 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            width = flux / level
            of_width = spread[:, 0, 0] - 2 * width * spread[:, 0, 1] + np.square(width) * spread[:, 1, 1]
            width_err = np.sqrt(np.maximum(of_width, 0.0)) / np.abs(level)
        found = np.stack([flux, error, level, level_err, width, width_err, least])
        return np.vstack([np.where(self.reason == 0, found, np.nan), self.coverage, self.reason])


def _unknowns(setting: Setting, part: Part, used: BoolArray) -> FloatArray:
    """Return the flux of every line by unknown, (job, k, k): tied ones go with another if that is seen."""
    jobs, k = part.near.shape
    place = setting.leader[part.near] - part.near[:, :1]
    inside = (place >= 0) & (place < k)
    place = np.where(inside, place, 0)
    follows = inside & used & np.take_along_axis(used, place, 1)
    own = np.broadcast_to(np.arange(k), (jobs, k))
    result = np.zeros((jobs, k, k))
    job, line = np.indices((jobs, k))
    result[job, line, np.where(follows, place, own)] = np.where(follows, setting.ratio[part.near], 1.0)
    return result


def _weights(setting: Setting, part: Part, good: BoolArray, scale: FloatArray) -> FloatArray:
    """Return inverse variances (job, m), or covariances (job, m, m) where pixels are correlated."""
    if setting.noise is None:
        variance = setting.pixels.variance[part.row[:, None], part.pixel] / np.square(scale)[:, None]
        return np.asarray(np.where(good, 1.0 / np.where(good, variance, 1.0), 0.0))
    matrix = setting.noise.around(part, good) / np.square(scale)[:, None, None]
    job, pixel = np.nonzero(~good)
    matrix[job, pixel, pixel] = 1.0
    return matrix


def _held(normal: FloatArray, lines_of: FloatArray, part: Part, lines: LineSet) -> FloatArray:
    """Return what is added to the normal equations, so that every unknown has a value.

    Lines of one blend are drawn a little to equal fluxes, which leaves their total; an unknown without any
    pixel is 0.
    """
    k = lines_of.shape[1]
    size = np.einsum("jpp->jp", normal)[:, :k]
    real = size > 0
    group = np.where(real, lines.first[part.row[:, None], part.near], -1 - np.arange(k))
    alike = group[:, :, None] == group[:, None, :]
    count = alike.sum(axis=2)
    level = ALIKE * (alike @ size[..., None])[..., 0] / count
    held = np.zeros_like(normal)
    held[:, :k, :k] -= alike * (level / count)[..., None]
    diagonal = np.einsum("jpp->jp", held)  # a view
    diagonal[:, :k] += np.where(real, level, 1.0)
    diagonal += 1e-12 * np.einsum("jpp->jp", normal)
    diagonal[:, k:] += np.einsum("jpp->jp", normal)[:, k:] <= 0
    return held
