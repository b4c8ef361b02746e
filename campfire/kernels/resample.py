"""Flux-conserving resampling with masks, variances and covariances.

A spectrum is constant over each of its pixels. An output pixel is the mean of the good input under it,
weighted by overlap; it is masked where less than half of it is covered by good input. With full coverage the
integral of the flux density over wavelength is kept. (The scheme of Carnall 2017, arXiv:1705.05165, with
masks and covariances.)

Many spectra with grids of their own are done at once: see :mod:`campfire.kernels.grid_pieces`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from campfire.errors import ValidationError
from campfire.kernels.grid_pieces import cut, piece_lags, scale_lags
from campfire.kernels.grids import PixelBounds, good_pixels, pixel_bounds, shared_grid
from campfire.kernels.overlap import covered_pixels, lag_products, overlap_matrix, scaled_rows

if TYPE_CHECKING:
    from campfire.typing import BoolArray, FloatArray

__all__ = ["Resampled", "combined_lags", "resample"]

_BLOCK = 16384  # pixels worked on at a time: what stays in the cache of a processor


class Resampled(NamedTuple):
    """Spectra on the output grid; shape (m,) or (spectrum, m).

    ``flux`` and ``error`` are NaN where ``mask`` is True; ``coverage`` is the fraction of the output pixel
    under good input. ``covariance`` has one more axis, the lag: [..., i, k] belongs to pixels i and i + k.
    """

    flux: FloatArray
    error: FloatArray
    mask: BoolArray
    coverage: FloatArray
    covariance: FloatArray | None


def resample(
    wavelength: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    grid: FloatArray,
    *,
    mask: BoolArray | None = None,
    covariance: bool = False,
    least_lags: int = 1,
) -> Resampled:
    """Bring one or many spectra onto one grid.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, increasing: (n,) shared by all spectra, or (spectrum, n) with NaN after the
        last pixel of each row.
    flux, error
        Flux density and its 1-sigma error, shape (n,) or (spectrum, n). Errors of input pixels are taken as
        independent; :func:`resample_matrix` takes others.
    grid
        Output pixel centres in microns, increasing, shape (m,).
    mask
        True for pixels not to be used; pixels without a finite flux and a positive error are left out anyway.
    covariance
        Also return the covariance of output pixels that share input pixels.
    least_lags
        For how many lags at least, 0 beyond the last: so that it need not be copied to be widened.

    Returns
    -------
    Resampled
        Float64 arrays of shape (m,) or (spectrum, m).

    Raises
    ------
    ValidationError
        For grids that do not increase, arrays that do not fit together, or a mask that is not boolean.

    Examples
    --------
    >>> wave = np.array([1.0, 2.0, 3.0, 4.0])
    >>> out = resample(wave, np.array([1.0, 3.0, 5.0, 7.0]), np.ones(4), np.array([1.5, 3.5]))
    >>> out.flux, out.error.round(3)
    (array([2., 6.]), array([0.707, 0.707]))
    """
    flux, error = np.asarray(flux), np.asarray(error)
    wavelength = np.asarray(wavelength)
    bounds = pixel_bounds(grid)
    if wavelength.shape != flux.shape[-wavelength.ndim :] or flux.ndim not in (1, 2):
        raise ValidationError(
            f"wavelength has shape {wavelength.shape}, flux {flux.shape}",
            hint="pass (pixel,) or (spectrum, pixel); a 1-D wavelength is shared",
        )
    good = good_pixels(flux, error, mask)
    wavelength = shared_grid(wavelength)
    pixels = pixel_bounds(wavelength)
    if wavelength.ndim < flux.ndim and len(flux) > 1:
        return _shared(pixels, bounds, flux, error, good, least_lags if covariance else 0)
    shape = (*flux.shape[:-1], len(bounds.low))
    flux, error, good = np.atleast_2d(flux), np.atleast_2d(error), np.atleast_2d(good)
    pixels = PixelBounds(*np.broadcast_arrays(*pixels, good)[:2])
    size = max(1, _BLOCK // flux.shape[-1])
    blocks = []
    for k in range(0, max(len(flux), 1), size):
        rows = slice(k, k + size)
        blocks.append(_block(pixels.at(rows), bounds, flux[rows], error[rows], good[rows], covariance))
    return _joined(blocks, shape, least_lags)


def _block(
    pixels: PixelBounds,
    bounds: PixelBounds,
    flux: FloatArray,
    error: FloatArray,
    good: BoolArray,
    covariance: bool,
) -> Resampled:
    """Resample some spectra, each with its own pixels."""
    shape = (len(flux), len(bounds.low))
    pieces = cut(pixels, bounds, good)
    values = flux.ravel()[pieces.column]
    variance = np.square(error.ravel()[pieces.column], dtype=np.float64)
    width = pieces.sum(pieces.width).reshape(shape)
    total = pieces.sum(pieces.width * values).reshape(shape)
    square = pieces.sum(np.square(pieces.width) * variance).reshape(shape)
    coverage, mask = covered_pixels(width, bounds.width)
    divisor = np.where(mask, np.nan, width)
    lags = None
    if covariance:
        lags = piece_lags(pieces, pieces.width, variance, pieces.row, pieces.n_rows)
        lags = lags.reshape(*shape, lags.shape[1])
        # masked pixels get no covariance with anything, so that sums over good pixels stay simple
        lags = scale_lags(lags, np.where(mask, 0.0, 1.0 / np.where(mask, 1.0, width)))
    return Resampled(total / divisor, np.sqrt(square) / divisor, mask, coverage, lags)


def _joined(blocks: list[Resampled], shape: tuple[int, ...], least_lags: int) -> Resampled:
    """Join blocks of rows; bands of covariance are as many as the widest block has."""
    lags = [block.covariance for block in blocks if block.covariance is not None]
    if len(blocks) > 1:
        joined = Resampled(
            np.concatenate([block.flux for block in blocks]),
            np.concatenate([block.error for block in blocks]),
            np.concatenate([block.mask for block in blocks]),
            np.concatenate([block.coverage for block in blocks]),
            _joined_lags(lags, least_lags) if lags else None,
        )
    else:
        joined = blocks[0]
    return Resampled(
        joined.flux.reshape(shape),
        joined.error.reshape(shape),
        joined.mask.reshape(shape),
        joined.coverage.reshape(shape),
        None if joined.covariance is None else joined.covariance.reshape(*shape, joined.covariance.shape[-1]),
    )


def _joined_lags(lags: list[FloatArray], least: int) -> FloatArray:
    most = max(least, *(part.shape[2] for part in lags))
    joined = np.zeros((sum(map(len, lags)), lags[0].shape[1], most))
    at = 0
    for part in lags:
        joined[at : at + len(part), :, : part.shape[2]] = part
        at += len(part)
    return joined


def combined_lags(
    wavelength: FloatArray, error: FloatArray, good: BoolArray, grid: FloatArray, weights: FloatArray
) -> FloatArray:
    """Return the banded covariance of a weighted sum of resampled spectra.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, shape (n,) or (spectrum, n), as for :func:`resample`.
    error
        1-sigma errors of the input, independent, shape (spectrum, n).
    good
        True for pixels to be used, shape (spectrum, n).
    grid
        Output pixel centres in microns, shape (m,).
    weights
        How much every resampled pixel counts, shape (spectrum, m).

    Returns
    -------
    numpy.ndarray
        Shape (m, lag): element [i, k] is the covariance of pixels i and i + k of the sum. It needs no memory
        for the covariances of the single spectra.
    """
    pixels, bounds = pixel_bounds(wavelength), pixel_bounds(grid)
    pixels = PixelBounds(*np.broadcast_arrays(*pixels, good)[:2])
    n_out = len(bounds.low)
    total: FloatArray = np.zeros((n_out, 1))
    size = max(1, _BLOCK // good.shape[1])
    for k in range(0, len(good), size):
        rows = slice(k, k + size)
        pieces = cut(pixels.at(rows), bounds, good[rows])
        width = pieces.sum(pieces.width)
        scale = weights[rows].ravel() / np.where(width > 0, width, 1.0)
        variance = np.square(error[rows].ravel()[pieces.column], dtype=np.float64)
        lags = piece_lags(pieces, pieces.width * scale[pieces.row], variance, pieces.row % n_out, n_out)
        if lags.shape[1] > total.shape[1]:
            total, lags = lags, total
        total[:, : lags.shape[1]] += lags
    return total


def _shared(
    pixels: PixelBounds,
    bounds: PixelBounds,
    flux: FloatArray,
    error: FloatArray,
    good: BoolArray,
    least_lags: int,
) -> Resampled:
    """Resample many spectra with one grid: sparse matrices times all of them; 0 lags are no covariance."""
    matrix = overlap_matrix(pixels, bounds)
    n_out, pixel = len(bounds.low), bounds.width[:, None]
    out, outside = np.empty((2, len(flux), n_out)), np.empty((len(flux), n_out), dtype=bool)
    coverages = []
    full = bool(good.all())
    if full:  # all spectra have the same weights
        coverage, mask = covered_pixels(matrix @ np.ones((flux.shape[1], 1)), pixel)
        matrix = scaled_rows(matrix, mask[:, 0])
        outside[:] = mask.T
    products, n_lags = lag_products(matrix) if least_lags else (matrix.power(2), 1)
    lags = np.zeros((len(flux), n_out, max(n_lags, least_lags))) if least_lags else None
    size = max(1, _BLOCK // flux.shape[1])
    for k in range(0, len(flux), size):
        rows = slice(k, k + size)
        # the spectra are columns here, so that every element of the matrix meets contiguous memory
        values, sigma = _columns(flux[rows]), _columns(error[rows])
        if not full:
            used = _columns(good[rows])
            values, sigma = np.where(used, values, 0.0), np.where(used, sigma, 0.0)
            width = matrix @ used
            coverage, mask = covered_pixels(width, pixel)
            outside[rows] = mask.T
            coverages.append(coverage.T)
            scale = np.where(mask, 0.0, 1.0 / np.where(mask, 1.0, width))
        total = matrix @ values
        square = (products @ np.square(sigma)).reshape(n_lags, n_out, -1)
        if not full:
            total *= scale
            for lag in range(n_lags):
                square[lag, : n_out - lag] *= scale[: n_out - lag] * scale[lag:]
        out[0, rows] = total.T
        np.sqrt(square[0].T, out=out[1, rows])
        if lags is not None:
            for lag in range(n_lags):
                lags[rows, :, lag] = square[lag].T
    if outside.any():
        out[:, outside] = np.nan
    of_each = np.broadcast_to(coverage.T, outside.shape) if full else np.concatenate(coverages)
    return Resampled(out[0], out[1], outside, of_each, lags)


def _columns(rows: FloatArray | BoolArray) -> FloatArray:
    """Return rows as contiguous columns of float64."""
    return np.ascontiguousarray(rows.T, dtype=np.float64)
