r"""Lines by generalised least squares of profiles integrated over the pixels.

Around every line, and its partner in a doublet, pixels within 6 FWHM are a sum of profiles and a straight
continuum,

.. math:: f_i = \sum_k F_k P_{ik}(\sigma_k) + a + b x_i, \qquad
          \mathrm{FWHM}_k^2 = s\,I_k^2 + t\,V_k^2,

with I the FWHM of the instrument and V that of an intrinsic width. For known widths that is one small linear
system a line, weighted with the banded covariance of its pixels; lines of a fixed ratio are one unknown.
Errors common to all pixels (modes) enter the errors only: those of a calibration are proportional to the
noisy fluxes themselves, and weighting with them would draw everything low (Peelle's pertinent puzzle). The
factors s and t are known, or fitted by Gauss-Newton steps, for all lines of a spectrum together or for every
blend of its own. Normal priors hold what the data do not know: s = 1 +- 0.6 (the tables are those of a
uniformly lit shutter, a compact source has a higher R), t = 1 +- 3. Errors include those of s and t.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from campfire.errors import ValidationError
from campfire.kernels.line_batches import FARTHEST, LineSet, as_pixels, parts, within
from campfire.kernels.line_integration import MIN_LINE_COVERAGE, LineFluxes
from campfire.kernels.profile_system import LEAST_SEEN, REACH, Bands, Fitted, Setting, Widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.typing import BoolArray, FloatArray, IntArray

    Ties: TypeAlias = "Sequence[tuple[int, int, float]]"

__all__ = ["ProfileFluxes", "WidthFit", "profile_fluxes"]

WidthFit: TypeAlias = Literal["given", "tied", "free"]

_OUTSIDE = 1  # position in REASONS
_STEPS = 12
_DONE = 1e-3  # of the error of a factor
_LONGEST = ((-0.5, 0.5), (-0.5, 4.0))  # steps of s and t
_RANGE = ((0.2, 3.0), (0.0, 100.0))
_PRIOR_ERR = np.array([0.6, 3.0])  # of s and t


class ProfileFluxes(NamedTuple):
    """Lines in every spectrum; arrays (spectrum, wanted), but for ``fwhm``.

    ``lines`` has what integration gives, with ``reason`` at 0, "outside", "masked" or "no continuum".
    ``least_err`` is the error of the flux without that of the width. ``line_fwhm`` is the FWHM before the
    pixels and ``intrinsic`` that without the instrument, each with its error, microns. ``fwhm`` has all lines
    that may be there, shape (spectrum, line).
    """

    lines: LineFluxes
    least_err: FloatArray
    line_fwhm: FloatArray
    line_fwhm_err: FloatArray
    intrinsic: FloatArray
    intrinsic_err: FloatArray
    fwhm: FloatArray


def profile_fluxes(
    wavelength: FloatArray,
    flam: FloatArray,
    flam_err: FloatArray,
    centre: FloatArray,
    instrument: FloatArray,
    intrinsic: FloatArray,
    wanted: IntArray | None = None,
    *,
    ties: Ties = (),
    fit: WidthFit = "given",
    mask: BoolArray | None = None,
    covariance: Sequence[Any] | None = None,
) -> ProfileFluxes:
    """Fit lines in many spectra.

    Parameters
    ----------
    wavelength, flam, flam_err, mask
        As for :func:`campfire.kernels.line_integration.line_fluxes`.
    centre
        Observed wavelengths in microns of all lines that may be there, shape (spectrum, line), increasing in
        every row.
    instrument, intrinsic
        FWHM of the instrument, and of the lines themselves, microns, shape (spectrum, line).
    wanted
        Positions of the lines to be measured; all by default.
    ties
        (line, to line, ratio): the first has ``ratio`` times the flux of the second.
    fit
        ``"given"``: widths are as they are passed. Else they are where the fit begins: ``"tied"`` scales
        those of a spectrum together, ``"free"`` each blend by itself.
    covariance
        :class:`~campfire.kernels.covariance.Covariance` of the flux density, or None, of every spectrum.

    Raises
    ------
    ValidationError
        For arrays that do not fit together, or lines that are not in order.

    Examples
    --------
    >>> wave = np.linspace(1.0, 2.0, 1001)
    >>> line = 3.0 * np.exp(-0.5 * ((wave - 1.5) / 0.004) ** 2)
    >>> at, fwhm = np.array([[1.5]]), np.array([[0.004 * 2.3548]])
    >>> found = profile_fluxes(wave, (2 + line)[None], np.full((1, 1001), 0.1), at, fwhm, 0 * fwhm).lines
    >>> found.flux.round(0), found.continuum.round(2)  # 3 * 40 angstrom * sqrt(2 pi)
    (array([[301.]]), array([[2.]]))
    """
    pixels = as_pixels(wavelength, flam, flam_err, mask)
    centre, instrument, intrinsic = (np.asarray(a, dtype=np.float64) for a in (centre, instrument, intrinsic))
    if centre.ndim != 2 or not centre.shape == instrument.shape == intrinsic.shape:
        raise ValidationError(
            f"centre has shape {centre.shape}, widths {instrument.shape} and {intrinsic.shape}",
            hint="pass (spectrum, line)",
        )
    if len(centre) != len(pixels.good):
        raise ValidationError(f"{len(centre)} rows of lines for {len(pixels.good)} spectra", hint="one a row")
    if np.any(np.diff(centre, axis=1) < 0):
        raise ValidationError("lines are not in order of wavelength", hint="sort them")
    number = np.arange(centre.shape[1]) if wanted is None else np.asarray(wanted, dtype=np.intp)
    leader, partner, ratio = np.arange(centre.shape[1]), np.arange(centre.shape[1]), np.ones(centre.shape[1])
    for line, to, factor in ties:
        leader[line], ratio[line], partner[line], partner[to] = to, factor, to, line
    noise = None if covariance is None else Bands.of(covariance, pixels)
    setting = Setting(pixels, leader, ratio, partner, noise, fit == "tied")
    widths = Widths(instrument, intrinsic)
    # which lines are one blend does not depend on what is fitted
    lines = LineSet.of(centre, widths.fwhm, pixels)
    if fit != "given":
        _fit_widths(setting, lines, widths)
    return _result(setting, lines, number, widths)


def _inside(lines: LineSet, setting: Setting) -> FloatArray:
    """Return the part of each profile that the spectrum covers."""
    return within(lines, setting.pixels.bounds.low[:, :1], setting.pixels.bounds.high[:, -1:])


def _fit_widths(setting: Setting, lines: LineSet, widths: Widths) -> None:
    """Change the factors of widths to those that fit best all lines that may be there, asked for or not."""
    rows, count = lines.first.shape
    blend = np.arange(rows)[:, None] * count + lines.first
    group = np.repeat(np.arange(rows)[:, None] * count, count, axis=1) if setting.together else blend
    row, line = np.divmod(np.unique(blend[_inside(lines, setting) > MIN_LINE_COVERAGE]), count)
    factors = np.ones((rows * count, 2))
    prior = np.diag(1.0 / np.square(_PRIOR_ERR))
    inverse = np.tile(np.linalg.inv(prior), (rows * count, 1, 1))
    todo = np.arange(len(row))
    for _ in range(_STEPS):
        if not len(todo):
            break
        score, info = np.zeros((rows * count, 2)), np.zeros((rows * count, 2, 2))
        clear = np.zeros(len(row), dtype=bool)
        for part in parts(lines, setting.pixels, row[todo], line[todo], REACH, setting.partner):
            slope, curvature, weight = Fitted.of(setting, part, lines, widths, part.line).of_widths()
            at = group[part.row, part.line]
            np.add.at(score, at, slope * weight[:, None])
            np.add.at(info, at, curvature * weight[:, None, None])
            clear[todo[part.jobs]] = weight > 0
        at = np.unique(group[row[todo], line[todo]])
        total = info[at] + prior
        moved = _moved(factors[at], score[at] - (factors[at] - 1.0) @ prior, total)
        inverse[at] = np.linalg.inv(total)
        done = np.abs(moved - factors[at]) < _DONE * np.sqrt(np.einsum("gpp->gp", inverse[at]))
        factors[at] = moved
        widths.factors[...] = factors[group]
        going = np.isin(group[row[todo], line[todo]], at[~done.all(axis=1)])
        todo = todo[going & clear[todo]]
    widths.covariance[...] = inverse[group]


def _moved(factors: FloatArray, slope: FloatArray, curvature: FloatArray) -> FloatArray:
    """Return (s, t) after a Newton step; where t ends at its bound, s is the best for that."""
    step = np.linalg.solve(curvature, slope[..., None])[..., 1, 0]
    second = np.clip(factors[:, 1] + np.clip(step, *_LONGEST[1]), *_RANGE[1])
    step = (slope[:, 0] - curvature[:, 0, 1] * (second - factors[:, 1])) / curvature[:, 0, 0]
    first = np.clip(factors[:, 0] + np.clip(step, *_LONGEST[0]), *_RANGE[0])
    return np.stack([first, second], axis=1)


def _around(setting: Setting, lines: LineSet) -> IntArray:
    """Return around which line each is measured: all of a blend, and both of a doublet, around the same."""
    strong = setting.leader
    alone = lines.first == lines.last
    covered = _inside(lines, setting) > MIN_LINE_COVERAGE
    near = np.abs(lines.centre[:, strong] - lines.centre) < FARTHEST * lines.fwhm[:, strong]
    return np.where(alone & alone[:, strong] & covered[:, strong] & near, strong, lines.first)


def _result(setting: Setting, lines: LineSet, wanted: IntArray, widths: Widths) -> ProfileFluxes:
    """Measure with the widths as they are."""
    inside = _inside(lines, setting)[:, wanted]
    found = np.full((9, *inside.shape), np.nan)
    found[7], found[8] = 0.0, _OUTSIDE
    row, column = np.nonzero(inside > LEAST_SEEN)
    line = wanted[column]
    around = _around(setting, lines)[row, line]
    apart = lines.centre[row, line] - lines.centre[row, around]
    for part in parts(lines, setting.pixels, row, around, REACH, setting.partner):
        at = row[part.jobs], column[part.jobs]
        fitted = Fitted.of(setting, part, lines, widths, line[part.jobs])
        found[:, at[0], at[1]] = fitted.measured(widths.covariance[at[0], line[part.jobs]], apart[part.jobs])
    flux, flux_err, level, level_err, width, width_err, least, coverage, reason = found
    reason[(reason != 0) & (inside < MIN_LINE_COVERAGE)] = _OUTSIDE
    own = widths.covariance[:, wanted]
    squares, factors, fwhm = widths.squares[:, wanted], widths.factors[:, wanted], widths.fwhm
    of_square = np.einsum("slp,slpq,slq->sl", squares, own, squares)
    intrinsic = np.sqrt(factors[..., 1] * squares[..., 1])
    with np.errstate(invalid="ignore", divide="ignore"):
        intrinsic_err = np.sqrt(own[..., 1, 1]) * squares[..., 1] / (2 * intrinsic)
    return ProfileFluxes(
        LineFluxes(
            flux,
            flux_err,
            level,
            level_err,
            width,
            width_err,
            coverage,
            reason.astype(np.intp),
            lines.first[:, wanted],
            lines.last[:, wanted],
            lines.blended[:, wanted],
        ),
        least,
        fwhm[:, wanted],
        np.sqrt(of_square) / (2 * fwhm[:, wanted]),
        intrinsic,
        np.nan_to_num(intrinsic_err, posinf=np.inf),
        fwhm,
    )
