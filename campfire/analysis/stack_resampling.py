"""Rows on their way into a stack: into its frame, onto its grid, and the covariance of their sum.

All functions take numpy arrays of some rows: all that there are, or a block of those of a lazy collection.
Rows of independent pixels are done all at once; others have a
:class:`campfire.kernels.covariance.Covariance` each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.stack_resolution import Lowest, Power, matching_sigma, row_powers
from campfire.collection.blockwise import steady
from campfire.collection.covariance import fit_bands, row_covariance, row_matrices
from campfire.kernels.combine import find_combiner
from campfire.kernels.covariance import Covariance
from campfire.kernels.grid_pieces import scale_lags
from campfire.kernels.grids import good_pixels, pixel_bounds
from campfire.kernels.lsf import smoothing_matrix
from campfire.kernels.overlap import resample_matrix
from campfire.kernels.resample import combined_lags, resample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = [
    "Frame",
    "OnGrid",
    "Parts",
    "Recipe",
    "Rows",
    "block_levels",
    "block_ranges",
    "block_rows",
    "block_sum",
    "good_ranges",
    "in_frame",
    "mean_levels",
    "on_grid",
    "weighted_covariance",
]


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


class Recipe(NamedTuple):
    """What is done to every row.

    ``dispersers`` are names, or resolving powers, by the ``code`` of rows; ``match`` is the one that all are
    smoothed to, ``window`` the range in microns by whose mean each is divided. Rows that ``stay`` are on the
    grid of the stack already and are not changed.
    """

    dispersers: tuple[str | Power, ...] = ()
    match: Lowest | None = None
    window: tuple[float, float] | None = None
    stay: bool = False


class Rows(NamedTuple):
    """Some rows: what a collection has, and what goes beside.

    ``code`` is the number of the disperser; ``known`` the covariance of pixels, as
    :func:`campfire.collection.covariance.correlations` gives it with ``signs`` and ``labels``, or an array
    of one :class:`Covariance` a row, None for independent pixels.
    """

    wavelength: NDArray[Any]
    fnu: NDArray[Any]
    fnu_err: NDArray[Any]
    dq: NDArray[Any]
    redshift: FloatArray
    code: IntArray
    known: NDArray[Any] | None = None
    signs: FloatArray | None = None
    labels: NDArray[Any] | None = None


class Frame(NamedTuple):
    """Rows in the frame of the stack; flux and error are 0 where not ``good``.

    ``known`` is the covariance of rows whose pixels are not independent, of their pixels without the padding;
    ``bands`` that of all rows, where they stay as they are.
    """

    wave: FloatArray
    flux: FloatArray
    error: FloatArray
    good: BoolArray
    known: dict[int, Covariance]
    bands: FloatArray | None = None

    def pixels(self, row: int) -> FloatArray:
        """Return the wavelengths of a row without its padding."""
        wave = self.wave if self.wave.ndim == 1 else self.wave[row]
        return wave[np.isfinite(wave)]

    def spectra(self) -> list[tuple[FloatArray, FloatArray, BoolArray]]:
        """Return wavelength, flux and mask of every row, without its padding."""
        waves = [self.pixels(k) for k in range(len(self.flux))]
        return [(wave, self.flux[k, : len(wave)], ~self.good[k, : len(wave)]) for k, wave in enumerate(waves)]

    def take(self, rows: NDArray[np.intp]) -> Frame:
        """Return some of the rows."""
        known = {new: self.known[old] for new, old in enumerate(rows.tolist()) if old in self.known}
        wave = self.wave if self.wave.ndim == 1 else self.wave[rows]
        return Frame(wave, self.flux[rows], self.error[rows], self.good[rows], known)


class OnGrid(NamedTuple):
    """Rows on the grid, shape (spectrum, m); ``error`` is without what they share with others.

    ``known`` is the covariance of those of correlated pixels. The error of a level adds
    ``-(slope lean' + lean slope')`` to the covariance of a normalised row.
    """

    frame: Frame
    flux: FloatArray
    error: FloatArray
    good: BoolArray
    known: dict[int, Covariance]
    slope: FloatArray | None
    lean: FloatArray | None

    def rows(self) -> dict[str, NDArray[Any]]:
        """Return what combining takes."""
        return {"flux": self.flux, "error": self.error, "good": self.good}


def in_frame(*arrays: Any, recipe: Recipe) -> Frame:
    """Bring rows, the arrays of :class:`Rows`, into the frame of the stack and smooth them.

    Wavelength and f_nu are divided by 1 + z, which keeps the integral of f_nu over frequency.
    """
    rows = Rows(*arrays)
    wavelength, fnu, fnu_err, dq = steady(rows.wavelength, rows.fnu, rows.fnu_err, rows.dq)
    good = good_pixels(fnu, fnu_err, dq != 0)
    flux = np.where(good, fnu, 0.0).astype(np.float64)
    error = np.where(good, fnu_err, 0.0).astype(np.float64)
    wave = np.asarray(wavelength, dtype=np.float64)
    frame = Frame(wave, flux, error, good, {})
    if rows.known is not None and recipe.stay:
        return frame._replace(bands=row_covariance(rows.known, good=good)[0])
    known = _known(rows, frame)
    if rows.redshift.any():
        factor = 1.0 / (1.0 + rows.redshift)
        column = factor[:, None]
        wave, flux, error = np.atleast_2d(wave) * column, flux * column, error * column
        known = {k: matrix.scaled(factor[k]) for k, matrix in known.items()}
    frame = Frame(wave, flux, error, good, known)
    if recipe.match is None:
        return frame
    for k, power in enumerate(row_powers(recipe.dispersers, rows.code, rows.redshift)):
        own = frame.pixels(k)
        sigma = matching_sigma(own, power, recipe.match)
        if sigma.any():
            n = len(own)
            matrix = smoothing_matrix(own, sigma, good[k, :n])
            before = known[k] if k in known else Covariance.of(np.square(error[k, :n]))
            known[k] = before.transformed(matrix)
            flux[k, :n] = matrix @ flux[k, :n]
            error[k, :n] = np.sqrt(np.maximum(known[k].diagonal(), 0.0))
    return frame


def _known(rows: Rows, frame: Frame) -> dict[int, Covariance]:
    """Return the covariance of every row whose pixels are not independent, without that of bad pixels."""
    if rows.known is None:
        return {}
    if rows.signs is None and rows.known.dtype == object:
        given = {k: matrix for k, matrix in enumerate(rows.known) if matrix is not None}
        return {k: matrix.good(frame.good[k, : len(matrix.modes)]) for k, matrix in given.items()}
    found = row_matrices(rows.known, rows.signs, rows.labels, good=frame.good)
    return {k: matrix.at(np.arange(len(frame.pixels(k)))) for k, matrix in enumerate(found)}


def good_ranges(frame: Frame) -> tuple[FloatArray, FloatArray]:
    """Return the first and last wavelength of the good pixels of every row; (inf, -inf) without any."""
    low = np.where(frame.good, frame.wave, np.inf).min(axis=1)
    return low, np.where(frame.good, frame.wave, -np.inf).max(axis=1)


def mean_levels(frame: Frame, window: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Return the mean flux of each row in a range, NaN if less than half is covered; and its weights."""
    low, high = window
    bounds = pixel_bounds(frame.wave)
    widths = np.clip(bounds.high, low, high) - np.clip(bounds.low, low, high)
    weights = np.where(frame.good, widths, 0.0)
    covered = weights.sum(axis=1, keepdims=True)
    enough = covered >= 0.5 * (high - low)
    weights = np.where(enough, weights / np.where(covered > 0, covered, 1.0), 0.0)
    return np.where(enough[:, 0], (weights * frame.flux).sum(axis=1), np.nan), weights


def on_grid(frame: Frame, grid: FloatArray, window: tuple[float, float] | None) -> OnGrid:
    """Divide rows by their level, which has to be positive, if there is a window, and resample them once.

    With ``f = s / N`` and ``N = w . s``: ``df = ds / N - (s / N^2) (w . ds)``. What is common to all pixels
    of the level goes out with the level.
    """
    slope = lean = None
    if window is not None:
        mean, weights = mean_levels(frame, window)
        level = mean[:, None]
        spread = np.square(frame.error) * weights
        known = {}
        for k, matrix in frame.known.items():
            weight = weights[k, : len(matrix.modes)]
            spread[k, : len(weight)] = matrix.near @ weight
            tilt = frame.flux[k, : len(weight)] / mean[k] ** 2
            scaled = matrix.scaled(1.0 / mean[k])
            modes = scaled.modes - tilt[:, None] * (weight @ matrix.modes)
            known[k] = Covariance(scaled.near, modes, matrix.signs, matrix.labels)
        frame = frame._replace(flux=frame.flux / level, error=frame.error / level, known=known)
    out = resample(frame.wave, frame.flux, frame.error, grid, mask=~frame.good)
    error, known = out.error, {}
    for k, matrix in frame.known.items():
        own = frame.pixels(k)
        known[k] = matrix.transformed(resample_matrix(own, grid, frame.good[k, : len(own)])[0])
        modes, signs = known[k].own()
        variance = known[k].near.diagonal() + np.square(modes) @ signs
        error[k] = np.where(out.mask[k], np.nan, np.sqrt(np.maximum(variance, 0.0)))
    if window is not None:
        ones = np.where(frame.good, 1.0, 0.0)
        cross = resample(frame.wave, spread / level, ones, grid, mask=~frame.good).flux
        slope = out.flux / level
        lean = cross - 0.5 * (weights * spread).sum(axis=1)[:, None] * slope
        error = np.sqrt(np.maximum(np.square(error) - 2 * slope * lean, 0.0))
    return OnGrid(frame, out.flux, error, ~out.mask & (error > 0), known, slope, lean)


def weighted_covariance(
    found: OnGrid, grid: FloatArray, kept: BoolArray, method: str, width: int, parts: Parts
) -> FloatArray:
    """Return the covariance of the sum of rows, each pixel counting as it does in the stack.

    Parameters
    ----------
    found
        The rows.
    grid
        Pixel centres in microns, shape (m,).
    kept
        Which of their pixels there are in the stack, shape (spectrum, m).
    method
        How the stack is made.
    width
        Least number of bands.
    parts
        What is known beyond neighbouring pixels.

    Returns
    -------
    numpy.ndarray
        Shape (m, as many bands as there are, and what ``parts`` says).
    """
    m, frame, counts = len(grid), found.frame, find_combiner(method).counts(found.error, kept)
    if frame.bands is not None:
        near = scale_lags(frame.bands, counts).sum(axis=0)
    else:
        near = np.zeros((m, 1))
        plain: Any = slice(None)
        if found.known:
            plain = np.setdiff1d(np.arange(len(counts)), list(found.known))
        if len(counts[plain]):
            wave = frame.wave if frame.wave.ndim == 1 else frame.wave[plain]
            near = combined_lags(wave, frame.error[plain], frame.good[plain], grid, counts[plain])
        near = _with_known(near, found.known, counts)
    columns = [near if near.shape[1] >= width else fit_bands(near, width)]
    if parts.far:
        columns.append(_far(found, kept, counts))
    if parts.measured or parts.loose:
        shared: dict[str, FloatArray] = {}
        for k, matrix in found.known.items():
            for label, mode in matrix.shared().items():
                shared[label] = shared.get(label, 0.0) + counts[k] * mode
        if parts.loose:
            rest = [values for label, values in shared.items() if label not in parts.labels]
            alone = np.array(rest).reshape(-1, m)
            columns.append(alone.T @ alone)
        none = np.zeros(m)
        of_each = (shared.get(label, none) for label in parts.labels)
        columns.append(np.stack([counts.sum(axis=0), *of_each], axis=1))
    return np.hstack(columns)


def _with_known(near: FloatArray, known: Mapping[int, Covariance], counts: FloatArray) -> FloatArray:
    """Add the bands of rows with covariances of their own, each pixel counting as it does."""
    entries = []
    for k, matrix in known.items():
        upper = matrix.near.tocoo()
        row, column = upper.coords
        above = column >= row
        row, column = row[above], column[above]
        entries.append((row, column - row, upper.data[above] * counts[k][row] * counts[k][column]))
    if not entries:
        return near
    row, lag, data = (np.concatenate(part) for part in zip(*entries, strict=True))
    width = max(near.shape[1], int(lag.max(initial=0)) + 1)
    total = np.bincount(row * width + lag, weights=data, minlength=len(near) * width)
    return fit_bands(near, width) + total.reshape(len(near), width)


def _far(found: OnGrid, kept: BoolArray, counts: FloatArray) -> FloatArray:
    """Return what correlates all pixels of rows by themselves, shape (m, m)."""
    m = counts.shape[1]
    own = [(counts[k][:, None] * modes, signs) for k, c in found.known.items() for modes, signs in [c.own()]]
    modes = np.hstack([np.zeros((m, 0)), *(mode for mode, _ in own)])
    far = (modes * np.concatenate([np.zeros(0), *(signs for _, signs in own)])) @ modes.T
    if found.slope is not None and found.lean is not None:
        slope, lean = (np.where(kept, values, 0.0) * counts for values in (found.slope, found.lean))
        product = slope.T @ lean
        far = far - (product + product.T)
    return np.asarray(far)


def block_levels(*arrays: Any, recipe: Recipe) -> dict[str, NDArray[Any]]:
    """Return the mean of every row of a block in the window."""
    assert recipe.window is not None
    return {"level": mean_levels(in_frame(*arrays, recipe=recipe), recipe.window)[0][:, None]}


def block_rows(*arrays: Any, recipe: Recipe, grid: FloatArray) -> dict[str, NDArray[Any]]:
    """Return flux, error and which pixels are good of every row of a block on the grid."""
    return on_grid(in_frame(*arrays, recipe=recipe), grid, recipe.window).rows()


def block_sum(
    *arrays: Any, recipe: Recipe, grid: FloatArray, method: str, width: int, parts: Parts
) -> FloatArray:
    """Return the covariance of the sum of a block of rows, after which comes what is kept of them."""
    *given, kept = arrays
    found = on_grid(in_frame(*given, recipe=recipe), grid, recipe.window)
    total = weighted_covariance(found, grid, kept, method, width, parts)
    more = parts.columns(len(grid))
    bands = total.shape[1] - more
    return np.hstack([fit_bands(total[:, :bands], width), total[:, bands:]])


def block_ranges(*arrays: Any) -> dict[str, NDArray[Any]]:
    """Return the first and last wavelength of the good pixels of every row of a block."""
    low, high = good_ranges(in_frame(*arrays, recipe=Recipe()))
    return {"low": low[:, None], "high": high[:, None]}
