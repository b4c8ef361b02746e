r"""A broad component of permitted lines, where one spectrum has evidence for it.

Around the permitted lines of one spectrum, pixels within 10,000 km/s are a sum of narrow profiles of all
lines, broad ones of the permitted lines, and a parabola for the continuum of every stretch of pixels,

.. math:: f_i = \sum_k F_k P_{ik}(s I_k^2 + t V_k^2) + \sum_b B_b P_{ib}(s I_b^2 + W_b^2) + c(x_i),

with I and V the FWHM of the instrument and of narrow lines as in :mod:`campfire.kernels.line_fitting`, and
one width W in km/s for all broad ones. Fluxes and continuum are linear: s, t and ln W are found by variable
projection (Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413; the Jacobian is that of Kaufman 1975),
weighted with the banded covariance of the pixels. The fit without broad lines is made to the same pixels. Of
both the one is taken that has the lower Bayesian information criterion, chi2 + k ln n (Schwarz 1978, Ann.
Stat. 6, 461), broad lines only by a difference of 10 or more, "very strong" evidence (Kass & Raftery 1995,
JASA 90, 773).

What the broad lines are is taken off the pixels, and narrow ones measured in what is left: the error of the
broad model comes from the same noise, and goes along as ``slope`` and ``fold``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import PixelBounds, good_pixels, pixel_bounds
from campfire.kernels.line_batches import import_ndtr
from campfire.kernels.lsf import FWHM_PER_SIGMA
from campfire.units import SPEED_OF_LIGHT

if TYPE_CHECKING:
    from campfire.kernels.line_fitting import Ties
    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["EVIDENCE", "BroadLines", "fit_broad_lines"]

EVIDENCE = 10.0
"""Least difference of both information criteria."""

_REACH = 1e7 / SPEED_OF_LIGHT  # of the pixels around a permitted line, 10,000 km/s
_LEAST_REACH = 6.0  # in FWHM
_CLEAR = 5.0  # S/N of a permitted line, as a narrow one, to have a broad component
_SEEN = 0.7  # part of a profile on good pixels
_STARTS = (1000.0, 1800.0, 3200.0, 5500.0)  # km/s
_RANGE = np.array([[0.2, 3.0], [0.0, 100.0], np.log([800.0, 8000.0])])  # of s, t, ln W
_LONGEST = np.array([0.5, 4.0, 0.5])  # steps of these
_PRIOR = 1.0 / np.square([0.6, 3.0, np.inf])
_WIDER = 1.5  # than narrow lines
_SURE = 3.0  # sigma of the broad flux of at least one line
_STEPS, _HALVINGS, _DONE = 25, 6, 1e-3
_HELD = 1e-9  # keeps lines of one place apart
_ANGSTROM = 1e4  # per micron


class BroadLines(NamedTuple):
    """Broad components of one spectrum of n pixels.

    ``flux`` and ``flux_err`` have one value a line, NaN for those without a broad component; ``width`` is
    their FWHM in km/s. ``evidence`` is how much lower the information criterion is with them; where it is too
    low, ``model`` is None and the others are NaN. ``model`` (n,) changes with a change d of the pixels by
    ``slope @ (fold @ d)``, shapes (n, k) and (k, n).
    """

    flux: FloatArray
    flux_err: FloatArray
    width: float
    width_err: float
    evidence: float
    model: FloatArray | None
    slope: FloatArray
    fold: FloatArray


def fit_broad_lines(
    wavelength: FloatArray,
    flam: FloatArray,
    flam_err: FloatArray,
    centre: FloatArray,
    instrument: FloatArray,
    intrinsic: FloatArray,
    permitted: BoolArray,
    *,
    ties: Ties = (),
    given: bool = False,
    mask: BoolArray | None = None,
    covariance: Any = None,
) -> BroadLines:
    """Fit one spectrum with and without broad lines.

    Parameters
    ----------
    wavelength, flam, flam_err, mask
        Microns, flux density per angstrom, its 1-sigma error, and pixels not to be used, shape (n,).
    centre, instrument, intrinsic
        Observed wavelengths of all lines that may be there, and FWHM of instrument and narrow lines, microns,
        shape (line,).
    permitted
        Which of them may have a broad component, shape (line,).
    ties
        (line, to line, ratio): the first has ``ratio`` times the flux of the second.
    given
        Whether the widths of narrow lines are as they are passed; else they are fitted.
    covariance
        :class:`~campfire.kernels.covariance.Covariance` of the pixels, used instead of ``flam_err``.

    Returns
    -------
    BroadLines
        Of the permitted lines that have an S/N of 5 as narrow ones.

    Examples
    --------
    >>> from campfire.kernels.lsf import FWHM_PER_SIGMA
    >>> wave = np.arange(3.8, 4.2, 0.0018)
    >>> def line(fwhm):
    ...     return 1e-3 * np.exp(-0.5 * ((wave - 4.0) / (fwhm / FWHM_PER_SIGMA)) ** 2)
    >>> at, width = np.array([4.0]), np.array([0.004])
    >>> flam = line(0.006) + line(0.03)
    >>> found = fit_broad_lines(wave, flam, 1e-5 + 0 * wave, at, width, width, np.array([True]))
    >>> bool(abs(found.width - 2240) < 30), bool(found.evidence > 100)  # 0.03 without the instrument
    (True, True)
    """
    good = good_pixels(flam, flam_err, mask)
    bounds = pixel_bounds(wavelength)
    base = Covariance.of(np.square(np.where(good, flam_err, 0.0))) if covariance is None else covariance
    nothing = BroadLines(
        np.full(len(centre), np.nan),
        np.full(len(centre), np.nan),
        np.nan,
        np.nan,
        np.nan,
        None,
        np.empty((len(wavelength), 0)),
        np.empty((0, len(wavelength))),
    )
    lines = _Lines(centre, instrument, intrinsic, dict((a, (b, ratio)) for a, b, ratio in ties))
    near = np.hypot(instrument, intrinsic)
    covered = (lines.profiles(np.arange(len(centre)), np.square(near), bounds)[0].T * bounds.width) @ good
    chosen = np.flatnonzero(permitted & (covered * _ANGSTROM > _SEEN))
    if not len(chosen):
        return nothing
    narrow = _System.of(lines, chosen, bounds, flam, good, base, free=[] if given else [0, 1])
    start = narrow.at(np.array([1.0, 1.0, np.nan]), broad=False)
    chosen = chosen[start.signal(narrow.columns_of(chosen)) > _CLEAR]
    if not len(chosen):
        return nothing
    system = _System.of(lines, chosen, bounds, flam, good, base, free=[] if given else [0, 1])
    without = system.best(system.at(np.array([1.0, 1.0, np.nan]), broad=False))
    tries = [
        system.at(np.array([*factors, np.log(width)]), broad=True)
        for width in _STARTS
        for factors in {(1.0, 1.0), tuple(without.at[:2].tolist())}
    ]
    system = system._replace(free=[*system.free, 2])
    found = system.best(min(tries, key=lambda entry: entry.chi2))
    evidence = without.chi2 - found.chi2 - (len(chosen) + 1) * np.log(len(system.values))
    width = float(np.exp(found.at[2]))
    inverse, fold, slope, model = system.errors(found)
    total = inverse + (fold @ base.modes) * base.signs @ (fold @ base.modes).T
    error = np.sqrt(np.maximum(np.diag(total), 0.0))
    flux = found.unknowns[system.broad_from : system.broad_from + len(chosen)]
    own = np.sqrt(found.at[1]) * (intrinsic / centre)[chosen] * SPEED_OF_LIGHT / 1e3
    convincing = bool(np.any(flux > _SURE * error[: len(chosen)])) and width > _WIDER * own.max()
    if not (evidence > EVIDENCE and convincing):
        return nothing._replace(evidence=float(evidence))
    values, errors = nothing.flux.copy(), nothing.flux_err.copy()
    values[chosen], errors[chosen] = flux, error[: len(chosen)]
    return BroadLines(values, errors, width, float(width * error[-1]), float(evidence), model, slope, fold)


class _Lines(NamedTuple):
    """Lines of one spectrum, shape (line,)."""

    centre: FloatArray
    instrument: FloatArray
    intrinsic: FloatArray
    ties: dict[int, tuple[int, float]]

    def profiles(
        self, which: IntArray, square: FloatArray, bounds: PixelBounds
    ) -> tuple[FloatArray, FloatArray]:
        """Return profiles of unit flux of some squares of FWHM, and how they change with these: (n, line)."""
        ndtr = import_ndtr()
        sigma = np.sqrt(square) / FWHM_PER_SIGMA
        at = self.centre[which]
        size = np.where(bounds.width > 0, bounds.width, 1.0)[:, None] * _ANGSTROM
        low, high = ((edge[:, None] - at) / sigma for edge in bounds)
        slope = [z * np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi) for z in (low, high)]
        return (ndtr(high) - ndtr(low)) / size, (slope[0] - slope[1]) / (2 * square) / size


class _Point(NamedTuple):
    """The system solved for some (s, t, ln W): whitened columns, their unknowns, chi2 with the priors."""

    at: FloatArray
    columns: FloatArray  # (m, k)
    slopes: list[FloatArray]  # of each of s, t, ln W: (m, k)
    normal: FloatArray
    unknowns: FloatArray
    left: FloatArray
    chi2: float

    def signal(self, which: IntArray) -> FloatArray:
        """Return unknowns over their errors."""
        spread = np.diag(np.linalg.inv(self.normal))[which]
        return np.asarray(self.unknowns[which] / np.sqrt(np.maximum(spread, np.finfo(float).tiny)))

    def steps(self, free: list[int]) -> tuple[FloatArray, FloatArray]:
        """Return what the whitened pixels do with the free ones of (s, t, ln W), and without the others."""
        change = np.stack([self.slopes[k] @ self.unknowns for k in free], axis=1)
        through = np.linalg.solve(self.normal, self.columns.T @ change)
        return change, change - self.columns @ through


class _System(NamedTuple):
    """Pixels around some permitted lines, and what they are sums of."""

    lines: _Lines
    chosen: IntArray
    narrow: IntArray
    mixing: FloatArray  # (narrow, unknown): fluxes of lines by unknowns
    bounds: PixelBounds
    pixels: IntArray
    values: FloatArray  # whitened
    continuum: FloatArray  # whitened
    root: FloatArray  # lower triangle of the covariance, or its diagonal (m,)
    whole: PixelBounds
    free: list[int]

    @classmethod
    def of(
        cls,
        lines: _Lines,
        chosen: IntArray,
        bounds: PixelBounds,
        flam: FloatArray,
        good: BoolArray,
        base: Covariance,
        free: list[int],
    ) -> _System:
        middle = (bounds.low + bounds.high) / 2
        fwhm = np.hypot(lines.instrument, lines.intrinsic)
        reach = np.maximum(_REACH * lines.centre, _LEAST_REACH * fwhm)[chosen]
        around = np.abs(middle[:, None] - lines.centre[chosen]) < reach
        inside = around.any(axis=1)
        pixels = np.flatnonzero(good & inside)
        stretch = np.cumsum(np.diff(inside.astype(int), prepend=0) == 1)[pixels]
        low, high = middle[pixels].min(), middle[pixels].max()
        reached = (lines.centre > low - fwhm) & (lines.centre < high + fwhm)
        near = np.abs(middle[pixels][:, None] - lines.centre).min(axis=0) < fwhm
        narrow = np.flatnonzero(reached & near)
        mixing = np.eye(len(narrow))
        for k, line in enumerate(narrow.tolist()):
            to, ratio = lines.ties.get(line, (-1, 0.0))
            if to in narrow:
                mixing[k] = 0.0
                mixing[k, np.flatnonzero(narrow == to)] = ratio
        tilt = []
        for number in np.unique(stretch):
            x = middle[pixels][stretch == number]
            x = (2 * x - x.min() - x.max()) / max(float(np.ptp(x)), np.finfo(float).tiny)
            columns = np.zeros((len(pixels), 3))
            columns[stretch == number] = np.vander(x, 3, increasing=True)
            tilt.append(columns)
        if base.has_neighbours:
            root = np.linalg.cholesky(base.near[pixels][:, pixels].toarray())
        else:
            root = np.sqrt(base.near.diagonal()[pixels])
        part = bounds.at(pixels)
        system = cls(
            lines, chosen, narrow, mixing, part, pixels, flam[pixels], np.hstack(tilt), root, bounds, free
        )
        return system._replace(
            values=system.whitened(system.values), continuum=system.whitened(system.continuum)
        )

    @property
    def broad_from(self) -> int:
        """Position of the first broad flux among the unknowns."""
        return len(self.narrow)

    def columns_of(self, which: IntArray) -> IntArray:
        """Return the positions of narrow lines among the unknowns."""
        return np.searchsorted(self.narrow, which)

    def whitened(self, values: FloatArray) -> FloatArray:
        """Return values (m,) or (m, k) in units of independent errors."""
        if self.root.ndim == 1:
            return np.asarray(values / (self.root if values.ndim == 1 else self.root[:, None]))
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self.root, values, lower=True))

    def _broad(self, at: FloatArray, bounds: PixelBounds) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return broad profiles, and how they change with s and with ln W."""
        instrument = np.square(self.lines.instrument[self.chosen])
        own = np.square(self.lines.centre[self.chosen] * np.exp(at[2]) * 1e3 / SPEED_OF_LIGHT)
        profile, change = self.lines.profiles(self.chosen, at[0] * instrument + own, bounds)
        return profile, change * instrument, change * (2 * own)

    def at(self, at: FloatArray, *, broad: bool) -> _Point:
        """Solve the system for some (s, t, ln W)."""
        of_instrument = np.square(self.lines.instrument[self.narrow])
        of_lines = np.square(self.lines.intrinsic[self.narrow])
        squares = np.maximum(at[0] * of_instrument + at[1] * of_lines, np.finfo(float).tiny)
        profile, change = self.lines.profiles(self.narrow, squares, self.bounds)
        parts = [profile, change * of_instrument, change * of_lines]
        blocks = [[self.whitened(a @ self.mixing)] for a in (*parts, np.zeros_like(profile))]
        if broad:
            wide, by_s, by_width = self._broad(at, self.bounds)
            for block, more in zip(blocks, (wide, by_s, np.zeros_like(wide), by_width), strict=True):
                block.append(self.whitened(more))
        columns, *slopes = (np.hstack([*b, 0 * self.continuum]) for b in blocks)
        columns[:, -self.continuum.shape[1] :] = self.continuum
        size = np.linalg.norm(columns, axis=0)
        size[size == 0] = 1.0
        normal = (columns / size).T @ (columns / size)
        normal[np.diag_indices_from(normal)] += _HELD
        # lines of the doublets that go with another have no column of their own
        empty = ~columns.any(axis=0)
        normal[empty, empty] = 1.0
        unknowns = np.linalg.solve(normal, (columns / size).T @ self.values) / size
        left = self.values - columns @ unknowns
        chi2 = float(left @ left + _PRIOR[:2] @ np.square(at[:2] - 1.0))
        return _Point(at, columns, slopes, normal * np.outer(size, size), unknowns, left, chi2)

    def best(self, point: _Point) -> _Point:
        """Return the minimum of chi2 that is downhill."""
        free = self.free
        broad = bool(np.isfinite(point.at[2]))
        for _ in range(_STEPS if free else 0):
            change = point.steps(free)[1]
            prior = _PRIOR[free]
            curvature = change.T @ change + np.diag(prior)
            slope = change.T @ point.left - prior * np.nan_to_num(point.at[free] - 1.0)
            held = ((point.at[free] <= _RANGE[free, 0]) & (slope < 0)) | (
                (point.at[free] >= _RANGE[free, 1]) & (slope > 0)
            )
            slope = np.where(held, 0.0, slope)
            curvature[held] = curvature[:, held] = 0.0
            curvature[held, held] = 1.0
            curvature[np.diag_indices_from(curvature)] += np.finfo(float).tiny
            step = np.clip(np.linalg.solve(curvature, slope), -_LONGEST[free], _LONGEST[free])
            for _ in range(_HALVINGS):
                trial = point.at.copy()
                trial[free] = np.clip(trial[free] + step, _RANGE[free, 0], _RANGE[free, 1])
                new = self.at(trial, broad=broad)
                if new.chi2 <= point.chi2:
                    break
                step = step / 2
            else:
                return point
            gained, point = point.chi2 - new.chi2, new
            if gained < _DONE:
                break
        return point

    def errors(self, point: _Point) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return what is known of broad fluxes, s (where it is fitted) and ln W, for all pixels.

        Their covariance, how they follow from the pixels (fold), the pixels of the broad model from them
        (slope), and that model.
        """
        change = point.steps(self.free)[0]
        design = np.hstack([point.columns, change])
        size = np.linalg.norm(design, axis=0)
        size[size == 0] = 1.0
        k = point.columns.shape[1]
        prior = np.zeros(design.shape[1])
        prior[k:] = _PRIOR[self.free]
        normal = (design / size).T @ (design / size) + np.diag(prior / np.square(size) + _HELD)
        inverse = np.linalg.inv(normal) / np.outer(size, size)
        first = self.broad_from
        moving = [n for n, name in enumerate(self.free) if name != 1]
        asked = np.array([*range(first, first + len(self.chosen)), *(k + n for n in moving)])
        through = inverse[asked] @ design.T
        if self.root.ndim == 1:
            through = through / self.root
        else:
            from scipy.linalg import solve_triangular

            through = solve_triangular(self.root, through.T, lower=True, trans="T").T
        fold = np.zeros((len(asked), len(self.whole.low)))
        fold[:, self.pixels] = through
        wide, by_s, by_width = self._broad(point.at, self.whole)
        flux = point.unknowns[first : first + len(self.chosen)]
        slopes = {0: by_s @ flux, 2: by_width @ flux}
        slope = np.column_stack([wide, *(slopes[self.free[n]] for n in moving)])
        return inverse[np.ix_(asked, asked)], fold, slope, wide @ flux
