r"""Resolving powers of the NIRSpec dispersers, and Gaussian smoothing to a lower one.

The tables are approximate: the gratings have a nearly constant dispersion, so R is proportional to
wavelength; the prism's R has its minimum near 1.2 um. They describe a uniformly lit shutter (Jakobsen et al.
2022, A&A 661, A80); a compact source has a higher R.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campfire.errors import ValidationError
from campfire.kernels.grids import check_grid, pixel_bounds
from campfire.kernels.overlap import import_sparse

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from campfire.typing import BoolArray, FloatArray

__all__ = [
    "FWHM_PER_SIGMA",
    "GRATINGS",
    "resolving_power",
    "sigma_of_match",
    "smoothing_matrix",
    "with_pixels",
]

FWHM_PER_SIGMA = float(2 * np.sqrt(2 * np.log(2)))

_PRISM_WAVE = (0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.6)
_PRISM_R = (92.0, 70.0, 53.0, 40.0, 34.0, 31.0, 36.0, 54.0, 78.0, 109.0, 146.0, 188.0, 236.0, 290.0, 365.0)
_LINEAR = {  # R at 1 um of a constant dispersion
    "G140M": 720.0,
    "G235M": 430.0,
    "G395M": 259.0,
    "G140H": 1955.0,
    "G235H": 1152.0,
    "G395H": 692.0,
}

GRATINGS = ("PRISM", *_LINEAR)


def resolving_power(grating: str, wavelength: FloatArray) -> FloatArray:
    """Return R = wavelength / FWHM of a disperser.

    Parameters
    ----------
    grating
        Name of the disperser, in any case.
    wavelength
        Observed wavelength in microns, any shape.

    Raises
    ------
    ValidationError
        For a disperser that is not of NIRSpec.

    Examples
    --------
    >>> resolving_power("PRISM", np.array([1.2, 4.0]))
    array([ 31., 188.])
    """
    name = grating.upper()
    wave = np.asarray(wavelength, dtype=np.float64)
    if name == "PRISM":
        return np.interp(wave, _PRISM_WAVE, _PRISM_R)
    if name not in _LINEAR:
        raise ValidationError(
            f"no resolving power for grating {grating!r}", hint=f"known: {', '.join(GRATINGS)}"
        )
    return _LINEAR[name] * wave


def sigma_of_match(wavelength: FloatArray, own: FloatArray, target: FloatArray) -> FloatArray:
    """Return the standard deviation in microns of the Gaussian from resolving power ``own`` to ``target``.

    Zero where ``own`` is the lower one already.

    Examples
    --------
    >>> float(sigma_of_match(np.array([2.0]), np.array([1000.0]), np.array([100.0]))[0].round(6))
    0.008451
    """
    excess = np.maximum(1.0 / np.square(target) - 1.0 / np.square(own), 0.0)
    result: FloatArray = wavelength * np.sqrt(excess) / FWHM_PER_SIGMA
    return result


def with_pixels(fwhm: FloatArray, pixel: FloatArray) -> FloatArray:
    """Return the FWHM of the Gaussian as wide (in standard deviation) as one averaged over pixels.

    Parameters
    ----------
    fwhm
        Before the pixels, microns.
    pixel
        Widths of the pixels, microns.

    Examples
    --------
    >>> float(with_pixels(np.array(0.0), np.array(1.0)).round(3))  # a box has a standard deviation of 0.289
    0.68
    """
    return np.asarray(np.hypot(fwhm, pixel * FWHM_PER_SIGMA / np.sqrt(12.0)))


def smoothing_matrix(wavelength: FloatArray, sigma: FloatArray, good: BoolArray) -> csr_array:
    """Return the matrix that smooths a spectrum with a Gaussian of varying width.

    Row i averages the good pixels, each by the part of the Gaussian around pixel i that falls on it. Rows sum
    to 1, so a flat spectrum stays flat.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, increasing, shape (n,).
    sigma
        Standard deviation of the Gaussian at every pixel, microns, shape (n,); 0 leaves the pixel as it is.
    good
        True for pixels to be used, shape (n,). Rows and columns of the others are zero.

    Returns
    -------
    scipy.sparse.csr_array
        Shape (n, n).

    Raises
    ------
    ImportError
        If scipy is not installed.
    """
    sparse = import_sparse()
    from scipy.special import ndtr

    grid = check_grid(wavelength)
    pixels = pixel_bounds(grid)
    n = len(grid)
    reach = 5.0 * sigma
    first = np.minimum(np.searchsorted(pixels.high, grid - reach, side="right"), n - 1)
    last = np.maximum(np.searchsorted(pixels.low, grid + reach, side="left") - 1, 0)
    count = last - first + 1
    row = np.repeat(np.arange(n), count)
    column = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    width = np.where(sigma > 0, sigma, 1.0)[row]
    low, high = pixels.at(column)
    part = ndtr((high - grid[row]) / width) - ndtr((low - grid[row]) / width)
    weight = np.where(sigma[row] > 0, part, (row == column).astype(np.float64))
    weight = np.where(good[row] & good[column], weight, 0.0)
    total = np.bincount(row, weights=weight, minlength=n)
    weight = weight / np.where(total > 0, total, 1.0)[row]
    matrix: csr_array = sparse.csr_array((weight, (row, column)), shape=(n, n))
    matrix.eliminate_zeros()
    return matrix
