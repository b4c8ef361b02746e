r"""Synthetic photometry: the AB mean of f_nu through a photon-counting throughput T,

.. math:: \langle f_\nu \rangle = \int f_\nu T\,d\lambda/\lambda \Big/ \int T\,d\lambda/\lambda

(Bessell & Murphy 2012, PASP 124, 140, eq. A12). A spectrum is constant over each pixel and T is linear
between its nodes, so the integral is a weighted sum of pixels, and its weights are exact: they are
differences of the antiderivative of T/lambda at the pixel edges, which is the same as integrating on the
union of the edges of filter and pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from campfire.arguments import shown
from campfire.errors import ValidationError
from campfire.kernels.grids import PixelBounds, good_pixels, pixel_bounds, rising, shared_grid
from campfire.units import to_micron

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.typing import BandpassLike, BoolArray, FloatArray, IntArray

__all__ = ["MIN_COVERAGE", "BandFluxes", "Bandpass", "band_fluxes", "band_weights"]

_BLOCK = 65536  # pixels worked on at a time: what stays in the cache of a processor

_MOST_BINS = 65536

MIN_COVERAGE = 0.95
"""Default of the part of a band's throughput that has to lie on good pixels."""


@dataclass(frozen=True, eq=False)
class Bandpass:
    """A filter curve, with where it comes from.

    Parameters
    ----------
    name
        Name of the band; case matters (``y`` and ``Y`` differ).
    wavelength
        Nodes of the curve in microns (vacuum), shape (n,), positive and strictly increasing (or decreasing:
        the curve is turned round).
    throughput
        Photon-counting throughput (electrons per photon, any normalisation) at the nodes, shape (n,), not
        negative. Linear between the nodes, zero outside.
    filter_id
        Id of the filter in the SVO Filter Profile Service, where there is one.
    source
        Library, version and file the curve was read from.

    Raises
    ------
    ValidationError
        If the curve is not of that kind.

    Examples
    --------
    >>> band = Bandpass("box", np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    >>> round(band.pivot, 6)  # sqrt(integral of lambda / integral of 1 / lambda)
    1.471069
    """

    name: str
    wavelength: FloatArray
    throughput: FloatArray
    filter_id: str = ""
    source: str = "user"
    # of every piece between nodes, and of what is before and after them: the coefficients of 1, x and log x
    # in the integral of T / x, as a fraction of the whole
    _table: FloatArray = field(init=False, repr=False)
    _total: float = field(init=False, repr=False)
    _bins: IntArray | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        wave = np.array(to_micron(self.wavelength), dtype=np.float64)
        curve = np.array(self.throughput, dtype=np.float64)
        if wave.shape == curve.shape:
            order = rising(wave)
            wave, curve = wave[order], curve[order]
        problem = _problem(wave, curve)
        if problem:
            raise ValidationError(
                f"the curve of band {self.name!r} {problem}",
                hint="pass increasing wavelengths in microns and throughputs that are not negative",
            )
        for name, values in (("wavelength", wave), ("throughput", curve)):
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        slope = np.diff(curve) / np.diff(wave)
        total = np.cumsum(_piece(wave[:-1], curve[:-1], slope, np.diff(wave)))
        if not total[-1] > 0:
            raise ValidationError(
                f"the curve of band {self.name!r} has no throughput", hint="pass a curve above zero"
            )
        before = np.concatenate([[0.0], total[:-1]])
        table = np.zeros((3, len(wave) + 1))
        level = curve[:-1] - slope * wave[:-1]
        table[:, 1:-1] = before - slope * wave[:-1] - level * np.log(wave[:-1]), slope, level
        table /= total[-1]
        table[0, -1] = 1.0
        object.__setattr__(self, "_table", table)
        object.__setattr__(self, "_total", float(total[-1]))
        n_bins = int(min((wave[-1] - wave[0]) / np.diff(wave).min(), _MOST_BINS)) + 1
        low = wave[0] + (wave[-1] - wave[0]) / n_bins * np.arange(n_bins + 1)
        bins = np.searchsorted(wave, low, side="right").astype(np.intp)
        bins[0] = 0
        object.__setattr__(self, "_bins", bins if n_bins < _MOST_BINS else None)

    @classmethod
    def of(cls, band: BandpassLike) -> Bandpass:
        """Return any object with ``name``, ``wavelength`` and ``throughput`` as a checked Bandpass."""
        if isinstance(band, cls):
            return band
        try:
            parts = (str(band.name), band.wavelength, band.throughput)
        except AttributeError as err:
            raise ValidationError(
                f"{shown(band)} is not a band",
                hint="pass a band name, or an object with name, wavelength (um) and throughput",
            ) from err
        return cls(*parts, filter_id=str(getattr(band, "filter_id", "")))

    @property
    def pivot(self) -> float:
        r"""Pivot wavelength in microns, :math:`\sqrt{\int T\lambda\,d\lambda / \int T\,d\lambda/\lambda}`."""
        wave, curve = self.wavelength, self.throughput
        # the integrand is quadratic between nodes: Simpson's rule is exact
        middle = (wave[1:] + wave[:-1]) / 2 * (curve[1:] + curve[:-1]) / 2
        ends = wave * curve
        upper = float(np.sum(np.diff(wave) * (ends[1:] + 4 * middle + ends[:-1])) / 6)
        return float(np.sqrt(upper / self._total))

    @property
    def provenance(self) -> str:
        """One line for headers and histories: band, filter id and source."""
        return " ".join(part for part in (self.name, self.filter_id, f"[{self.source}]") if part)

    def integral(self, wavelength: FloatArray) -> FloatArray:
        """Return the integral of T / lambda from the blue end of the curve, as a fraction of the whole.

        Parameters
        ----------
        wavelength
            Microns, any shape; NaN gives NaN.

        Returns
        -------
        numpy.ndarray
            0 at and below the blue end, 1 at and above the red end, same shape.
        """
        at = np.asarray(wavelength, dtype=np.float64)
        with np.errstate(invalid="ignore"):  # NaN in any piece is NaN
            index = self._find(at)
        # before the first node and after the last the pieces are constant: exactly 0, and exactly 1
        constant, slope, level = (np.take(row, index, mode="clip") for row in self._table)
        level *= np.log(np.maximum(at, self.wavelength[0]))  # the first edge of a coarse grid can be below 0
        slope *= at
        level += slope
        level += constant
        return level

    def _find(self, at: FloatArray) -> IntArray:
        """Return the number of nodes at or below each wavelength; as ``searchsorted``, but by a table.

        Curves are sampled almost evenly, so that no bin of the table holds more than one node; where they are
        not, the table would be too large.
        """
        nodes = self.wavelength
        if self._bins is None:
            return np.searchsorted(nodes, at, side="right")
        scale = (len(self._bins) - 1) / (nodes[-1] - nodes[0])
        index = np.take(self._bins, ((at - nodes[0]) * scale).astype(np.intp), mode="clip")
        index += at >= np.take(nodes, index, mode="clip")
        return cast("IntArray", index)


def _problem(wave: FloatArray, curve: FloatArray) -> str:
    """Say what is wrong with a curve, or nothing."""
    if wave.ndim != 1 or wave.shape != curve.shape or len(wave) < 2:
        return f"has shapes {wave.shape} and {curve.shape}"
    if not (np.all(np.isfinite(wave)) and np.all(np.isfinite(curve))):
        return "is not finite"
    if wave[0] <= 0 or np.any(np.diff(wave) <= 0):
        return "has wavelengths that do not increase"
    return "is negative somewhere" if np.any(curve < 0) else ""


def _piece(start: FloatArray, value: FloatArray, slope: FloatArray, length: FloatArray) -> FloatArray:
    """Integrate (value + slope (x - start)) / x from start over a length."""
    log = np.log1p(length / start)
    return cast("FloatArray", value * log + slope * (length - start * log))


def band_weights(wavelength: FloatArray, bands: Sequence[Bandpass]) -> FloatArray:
    """Return the fraction of each band's throughput that falls on each pixel.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, increasing, shape (n,).
    bands
        The bands.

    Returns
    -------
    numpy.ndarray
        Shape (band, n). The sum over pixels is 1 for a band inside the spectrum.

    Examples
    --------
    >>> band = Bandpass("box", np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    >>> weights = band_weights(np.arange(0.55, 3.0, 0.1), [band])
    >>> weights.shape, round(float(weights.sum()), 12)
    ((1, 25), 1.0)
    """
    pixels = pixel_bounds(wavelength)
    return np.stack([np.subtract(*pixels.each(band.integral)[::-1]) for band in bands])


class BandFluxes(NamedTuple):
    """Synthetic photometry, shape (..., band): f_nu, its 1-sigma error (NaN if not measured), coverage."""

    flux: FloatArray
    error: FloatArray
    coverage: FloatArray


def band_fluxes(
    wavelength: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    bands: Sequence[Bandpass],
    *,
    mask: BoolArray | None = None,
    covariance: Any = None,
    min_coverage: float = MIN_COVERAGE,
) -> BandFluxes:
    """Measure one or many spectra through bands.

    Parameters
    ----------
    wavelength
        Pixel centres in microns: (n,) shared by all spectra, or (spectrum, n) with NaN after the last pixel.
    flux, error
        f_nu and its 1-sigma error, shape (n,) or (spectrum, n), one unit.
    bands
        The bands.
    mask
        True for pixels not to be used; pixels without a finite flux and a positive error are left out anyway.
    covariance
        Scipy sparse (n, n) covariance of one spectrum, used for the error instead of ``error``.
    min_coverage
        Least fraction of the throughput that has to lie on good pixels.

    Returns
    -------
    BandFluxes
        ``flux``, ``error``, ``coverage``, shape (band,) or (spectrum, band). The mean is over the covered
        part.

    Raises
    ------
    ValidationError
        For arrays that do not fit together, wavelengths that do not increase, a coverage outside [0, 1].
    """
    if not 0 <= min_coverage <= 1:
        raise ValidationError(f"min_coverage={min_coverage!r}", hint="pass a fraction between 0 and 1")
    wavelength, flux, error = np.asarray(wavelength), np.asarray(flux), np.asarray(error)
    if wavelength.shape != flux.shape[-wavelength.ndim :] or flux.shape != error.shape:
        raise ValidationError(
            f"wavelength has shape {wavelength.shape}, flux {flux.shape}, its error {error.shape}",
            hint="pass (pixel,) or (spectrum, pixel); a 1-D wavelength is shared",
        )
    wavelength = shared_grid(wavelength)
    if covariance is not None:
        sums = _correlated(
            band_weights(wavelength, bands).T, flux, good_pixels(flux, error, mask), covariance
        )
    else:
        sums = np.empty((3, *flux.shape[:-1], len(bands)))
        weights = band_weights(wavelength, bands).T if wavelength.ndim == 1 else None
        pixels = pixel_bounds(wavelength) if wavelength.ndim == 2 else None
        size = max(1, _BLOCK // flux.shape[-1])
        for k in range(0, len(flux) if flux.ndim == 2 else 1, size):
            rows = slice(k, k + size) if flux.ndim == 2 else ...
            hidden = None if mask is None else np.asarray(mask)[rows]
            if weights is not None:
                sums[:, rows] = _shared(weights, flux[rows], error[rows], hidden)
            elif pixels is not None:
                sums[:, rows] = _ragged(pixels.at(rows), flux[rows], error[rows], hidden, bands)
    total, square, coverage = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        enough = (coverage > 0) & (coverage >= min_coverage - 1e-12)
        mean = np.where(enough, total / coverage, np.nan)
        sigma = np.where(enough, np.sqrt(np.maximum(square, 0.0)) / coverage, np.nan)
    return BandFluxes(mean, sigma, coverage)


def _correlated(weights: FloatArray, flux: FloatArray, good: BoolArray, covariance: Any) -> FloatArray:
    """Sum one spectrum with correlated pixels; ``weights`` is (pixel, band)."""
    used = weights * good[:, None]
    square = np.einsum("pb,pb->b", used, covariance @ used)
    return np.stack([np.where(good, flux, 0.0) @ weights, square, used.sum(axis=0)])


def _shared(weights: FloatArray, flux: FloatArray, error: FloatArray, mask: BoolArray | None) -> FloatArray:
    """Sum spectra that share a grid; ``weights`` is (pixel, band)."""
    good = good_pixels(flux, error, mask)
    sums = np.empty((3, *flux.shape[:-1], weights.shape[1]))
    if good.all():
        # mostly nothing is masked: then the coverage is a property of the grid
        sums[0], sums[2] = flux @ weights, weights.sum(axis=0)
        sums[1] = np.square(error, dtype=np.float64) @ np.square(weights)
    else:
        sums[0], sums[2] = np.where(good, flux, 0.0) @ weights, good @ weights
        sums[1] = np.square(np.where(good, error, 0.0), dtype=np.float64) @ np.square(weights)
    return sums


def _ragged(
    pixels: PixelBounds,
    flux: FloatArray,
    error: FloatArray,
    mask: BoolArray | None,
    bands: Sequence[Bandpass],
) -> FloatArray:
    """Sum spectra with grids of their own; only the columns a band touches are looked at."""
    good = good_pixels(flux, error, mask)
    low, high = pixels.low.min(axis=0), pixels.high.max(axis=0)
    values = np.where(good, flux, 0.0)
    variance = np.square(np.where(good, error, 0.0), dtype=np.float64)
    total = np.zeros((3, len(flux), len(bands)))
    for k, band in enumerate(bands):
        columns = np.flatnonzero((high > band.wavelength[0]) & (low < band.wavelength[-1]))
        if not len(columns):
            continue
        part = slice(columns[0], columns[-1] + 1)
        begin, end = pixels.at((slice(None), part)).each(band.integral)
        weights = end - begin
        total[0, :, k] = np.einsum("sp,sp->s", weights, values[:, part])
        used = good[:, part]
        total[2, :, k] = (weights if used.all() else np.where(used, weights, 0.0)).sum(axis=1)
        weights *= weights
        total[1, :, k] = np.einsum("sp,sp->s", weights, variance[:, part])
    return total
