"""Rows of a collection on their way into a stack: a block at a time, each by itself.

There are two ways. Rows of independent pixels are done all at once. Rows whose pixels are correlated already,
or that are smoothed to another resolving power, are taken one by one as
:class:`campfire.analysis.stack_inputs.Terms`, which is how single spectra are stacked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.stack_arithmetic import resample_terms, weighted_covariance
from campfire.analysis.stack_inputs import Terms
from campfire.analysis.stack_resolution import Lowest, Power, match_terms
from campfire.collection.blocks import steady
from campfire.collection.correlation import fit_bands, row_covariance, row_matrices
from campfire.convert.covariance import banded
from campfire.kernels.combine import find_combiner
from campfire.kernels.grids import good_pixels, pixel_bounds
from campfire.kernels.pieces import scale_lags
from campfire.kernels.resample import combined_lags, resample
from campfire.models import SpectrumData

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["Parts", "PlainRows", "Rows", "TermRows", "row_ranges"]


class Parts(NamedTuple):
    """Which parts the covariance of a sum of rows has beside its bands (m, width), in this order.

    ``far`` (m, m): what correlates all pixels of a row. ``loose`` (m, m): what single rows got from
    measurements that no other has. Where ``measured``, the sum of the weights (m, 1), and what a 1-sigma
    change of each of the measurements ``labels`` does (m, each). ``most`` is the largest rank of the first
    two.
    """

    far: bool = False
    loose: bool = False
    measured: bool = False
    labels: tuple[str, ...] = ()
    most: int = 0

    def columns(self, m: int) -> int:
        """Return how many columns these are."""
        return m * (self.far + self.loose) + (1 + len(self.labels)) * self.measured


class Rows(NamedTuple):
    """Some rows of a collection as numpy arrays.

    ``code`` is the number of the grating; ``correlated``, ``signs`` and ``labels`` the covariance of pixels,
    as :func:`campfire.collection.correlation.correlations` gives it.
    """

    wavelength: NDArray[Any]
    fnu: NDArray[Any]
    fnu_err: NDArray[Any]
    dq: NDArray[Any]
    redshift: FloatArray
    code: IntArray
    correlated: NDArray[Any] | None = None
    signs: FloatArray | None = None
    labels: NDArray[Any] | None = None


class _Frame(NamedTuple):
    """Rows in the frame of the stack; flux and error are 0 where not ``good``."""

    wave: FloatArray
    flux: FloatArray
    error: FloatArray
    good: BoolArray


class _Normalised(NamedTuple):
    """Rows over their own level, on the grid.

    The error of the level adds ``-(slope lean' + lean slope')`` to the covariance of a row.
    """

    frame: _Frame
    flux: FloatArray
    error: FloatArray
    mask: BoolArray
    slope: FloatArray
    lean: FloatArray


@dataclass(frozen=True, slots=True)
class PlainRows:
    """Rows of independent pixels; or of correlated ones that stay as they are, on the grid of the stack.

    All methods take the arrays of :class:`Rows`.

    Parameters
    ----------
    window
        Range, in microns, by whose mean every row is divided; or None.
    """

    window: tuple[float, float] | None

    def levels(self, *arrays: Any, window: tuple[float, float]) -> dict[str, NDArray[Any]]:
        """Return the mean of every row in a range, NaN if less than half is covered."""
        return {"level": _levels(_in_frame(Rows(*arrays)), window)[0][:, None]}

    def rows(self, *arrays: Any, grid: FloatArray) -> dict[str, NDArray[Any]]:
        """Return flux, error and which pixels are good of every row on the grid."""
        frame = _in_frame(Rows(*arrays))
        if self.window is None:
            out = resample(frame.wave, frame.flux, frame.error, grid, mask=~frame.good)
            return {"flux": out.flux, "error": out.error, "good": ~out.mask & (out.error > 0)}
        found = _normalised(frame, grid, self.window)
        return {"flux": found.flux, "error": found.error, "good": ~found.mask & (found.error > 0)}

    def covariance(self, *arrays: Any, grid: FloatArray, method: str, width: int) -> FloatArray:
        """Return the covariance of the sum of all rows, each pixel counting as it does in the stack.

        Parameters
        ----------
        *arrays
            The rows; their errors on the grid; and which of their pixels there are in the stack.
        grid
            Pixel centres in microns, shape (m,).
        method
            How the stack is made.
        width
            Number of bands.

        Returns
        -------
        numpy.ndarray
            Shape (m, width); where rows are normalised (m, width + m): what correlates all pixels besides.
        """
        *given, error, kept = arrays
        rows, counts = Rows(*given), find_combiner(method).counts(error, kept)
        if rows.correlated is not None:
            bands, _ = row_covariance(rows.correlated, good=kept)
            return fit_bands(scale_lags(bands, counts).sum(axis=0), width)
        frame = _in_frame(rows)
        if self.window is None:
            return fit_bands(combined_lags(frame.wave, frame.error, frame.good, grid, counts), width)
        found = _normalised(frame, grid, self.window)
        frame = found.frame
        near = fit_bands(combined_lags(frame.wave, frame.error, frame.good, grid, counts), width)
        slope, lean = (np.where(kept, values, 0.0) * counts for values in (found.slope, found.lean))
        product = slope.T @ lean
        return np.hstack([near, -(product + product.T)])


@dataclass(frozen=True, slots=True)
class TermRows:
    """Rows as single spectra; the methods are those of :class:`PlainRows`.

    Parameters
    ----------
    window
        Range, in microns, by whose mean every row is divided; or None.
    gratings
        Names by the ``code`` of rows.
    match
        The resolving power that all are smoothed to, or None.
    parts
        What is known of the covariance of rows beyond neighbouring pixels.
    """

    window: tuple[float, float] | None
    gratings: tuple[str, ...] = field(default=())
    match: Lowest | None = None
    parts: Parts = field(default=Parts())

    def _terms(self, rows: Rows) -> list[Terms]:
        """Return rows in the frame of the stack, not yet normalised."""
        wavelength, fnu, fnu_err, dq = steady(rows.wavelength, rows.fnu, rows.fnu_err, rows.dq)
        good = good_pixels(fnu, fnu_err, dq != 0)
        known = None
        if rows.correlated is not None:
            known = row_matrices(rows.correlated, rows.signs, rows.labels, good=good)
        terms = []
        for k in range(len(fnu)):
            wave = wavelength if wavelength.ndim == 1 else wavelength[k]
            inside = np.isfinite(wave)
            data = SpectrumData(
                wave[inside], fnu[k, inside], fnu_err[k, inside], {}, "", "", mask=dq[k, inside] != 0
            )
            if known is not None:
                data.covariance = known[k].at(np.flatnonzero(inside)).plain
            terms.append(Terms.of(data))
        terms = [entry.rest_frame(z) if z else entry for entry, z in zip(terms, rows.redshift, strict=True)]
        if self.match is None:
            return terms
        powers = [Power(self.gratings[k], z) for k, z in zip(rows.code, rows.redshift.tolist(), strict=True)]
        return match_terms(terms, powers, self.match)

    def _normalised(self, rows: Rows) -> list[Terms]:
        terms = self._terms(rows)
        if self.window is None:
            return terms
        return [entry.normalised(*entry.mean(*self.window)) for entry in terms]

    def levels(self, *arrays: Any, window: tuple[float, float]) -> dict[str, NDArray[Any]]:
        """Return the mean of every row in a range."""
        return {"level": np.array([[entry.mean(*window)[0]] for entry in self._terms(Rows(*arrays))])}

    def rows(self, *arrays: Any, grid: FloatArray) -> dict[str, NDArray[Any]]:
        """Return flux, error and which pixels are good of every row on the grid."""
        found = resample_terms(self._normalised(Rows(*arrays)), grid)
        return {"flux": found.flux, "error": found.error, "good": found.good}

    def covariance(self, *arrays: Any, grid: FloatArray, method: str, width: int) -> FloatArray:
        """Return the covariance of the sum of all rows, its parts side by side as ``parts`` says."""
        *given, error, kept = arrays
        terms, counts = self._normalised(Rows(*given)), find_combiner(method).counts(error, kept)
        own, measured = weighted_covariance(terms, resample_terms(terms, grid), counts, grid)
        found = [fit_bands(banded(own.near), width)]
        if self.parts.far:
            found.append((own.modes * own.signs) @ own.modes.T)
        if self.parts.loose:
            rest = [values for label, values in measured.items() if label not in self.parts.labels]
            columns = np.array(rest).reshape(-1, len(grid))
            found.append(columns.T @ columns)
        if self.parts.measured:
            none = np.zeros(len(grid))
            found += [np.stack([counts.sum(axis=0), *(measured.get(t, none) for t in self.parts.labels)], 1)]
        return np.hstack(found)


def row_ranges(*arrays: Any) -> dict[str, NDArray[Any]]:
    """Return the first and last wavelength of the good pixels of every row; (inf, -inf) without any."""
    frame = _in_frame(Rows(*arrays))
    low = np.where(frame.good, frame.wave, np.inf).min(axis=1, keepdims=True)
    return {"low": low, "high": np.where(frame.good, frame.wave, -np.inf).max(axis=1, keepdims=True)}


def _in_frame(rows: Rows) -> _Frame:
    wavelength, fnu, fnu_err, dq = steady(rows.wavelength, rows.fnu, rows.fnu_err, rows.dq)
    good = good_pixels(fnu, fnu_err, dq != 0)
    flux = np.where(good, fnu, 0.0).astype(np.float64)
    error = np.where(good, fnu_err, 0.0).astype(np.float64)
    wave = np.asarray(wavelength, dtype=np.float64)
    if rows.redshift.any():
        factor = (1.0 / (1.0 + rows.redshift))[:, None]
        wave, flux, error = np.atleast_2d(wave) * factor, flux * factor, error * factor
    return _Frame(wave, flux, error, good)


def _levels(frame: _Frame, window: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Return the mean flux of each row in a range, NaN if less than half is covered; and its weights."""
    low, high = window
    bounds = pixel_bounds(frame.wave)
    widths = np.clip(bounds.high, low, high) - np.clip(bounds.low, low, high)
    weights = np.where(frame.good, widths, 0.0)
    covered = weights.sum(axis=1, keepdims=True)
    enough = covered >= 0.5 * (high - low)
    weights = np.where(enough, weights / np.where(covered > 0, covered, 1.0), 0.0)
    return np.where(enough[:, 0], (weights * frame.flux).sum(axis=1), np.nan), weights


def _normalised(frame: _Frame, grid: FloatArray, window: tuple[float, float]) -> _Normalised:
    """Divide rows by their level, which has to be positive, and resample them."""
    mean, weights = _levels(frame, window)
    level = mean[:, None]
    scaled = _Frame(frame.wave, frame.flux / level, frame.error / level, frame.good)
    out = resample(scaled.wave, scaled.flux, scaled.error, grid, mask=~frame.good)
    # f = s / N with N = w . s: df = ds / N - (s / N^2) (w . ds), as for single spectra
    spread = np.square(frame.error) * weights
    ones = np.where(frame.good, 1.0, 0.0)
    cross = resample(frame.wave, spread / level, ones, grid, mask=~frame.good).flux
    slope = out.flux / level
    lean = cross - 0.5 * (weights * spread).sum(axis=1)[:, None] * slope
    error = np.sqrt(np.maximum(np.square(out.error) - 2 * slope * lean, 0.0))
    return _Normalised(scaled, out.flux, error, out.mask, slope, lean)
