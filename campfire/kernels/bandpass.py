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

from campfire.errors import ValidationError
from campfire.kernels.grids import good_pixels, pixel_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.typing import BandpassLike, BoolArray, FloatArray

__all__ = ["MIN_COVERAGE", "BandFluxes", "Bandpass", "band_fluxes", "band_weights"]

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
        Nodes of the curve in microns (vacuum), shape (n,), strictly increasing and positive.
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
    _integral: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        wave = np.array(self.wavelength, dtype=np.float64)
        curve = np.array(self.throughput, dtype=np.float64)
        problem = _problem(wave, curve)
        if problem:
            raise ValidationError(
                f"the curve of band {self.name!r} {problem}",
                hint="pass increasing wavelengths in microns and throughputs that are not negative",
            )
        for name, values in (("wavelength", wave), ("throughput", curve)):
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        pieces = _piece(wave[:-1], curve[:-1], np.diff(curve) / np.diff(wave), np.diff(wave))
        total = np.concatenate([[0.0], np.cumsum(pieces)])
        if not total[-1] > 0:
            raise ValidationError(
                f"the curve of band {self.name!r} has no throughput", hint="pass a curve above zero"
            )
        object.__setattr__(self, "_integral", total)

    @classmethod
    def of(cls, band: BandpassLike) -> Bandpass:
        """Return any object with ``name``, ``wavelength`` and ``throughput`` as a checked Bandpass."""
        if isinstance(band, cls):
            return band
        try:
            parts = (str(band.name), band.wavelength, band.throughput)
        except AttributeError as err:
            raise ValidationError(
                f"{band!r} is not a band",
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
        return float(np.sqrt(upper / float(self._integral[-1])))

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
        nodes = self.wavelength
        at = np.clip(wavelength, nodes[0], nodes[-1])
        index = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, len(nodes) - 2)
        slope = (np.diff(self.throughput) / np.diff(nodes))[index]
        step = _piece(nodes[index], self.throughput[index], slope, at - nodes[index])
        return cast("FloatArray", (self._integral[index] + step) / self._integral[-1])


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
    edges = pixel_edges(wavelength)
    return np.stack([np.diff(band.integral(edges)) for band in bands])


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
    good = good_pixels(flux, error, mask)
    values = np.where(good, flux, 0.0)
    variance = np.square(np.where(good, error, 0.0))
    if np.ndim(wavelength) == 1:
        weights = band_weights(wavelength, bands).T
        total, square = values @ weights, variance @ np.square(weights)
        # mostly nothing is masked: then the coverage is a property of the grid
        full = bool(good.all())
        coverage = np.broadcast_to(weights.sum(axis=0), total.shape) if full else good @ weights
        if covariance is not None:
            used = weights * good[:, None]
            square = np.einsum("pb,pb->b", used, covariance @ used)
    else:
        total, square, coverage = _ragged(np.asarray(wavelength), values, variance, good, bands)
    with np.errstate(invalid="ignore", divide="ignore"):
        enough = (coverage > 0) & (coverage >= min_coverage - 1e-12)
        mean = np.where(enough, total / coverage, np.nan)
        sigma = np.where(enough, np.sqrt(np.maximum(square, 0.0)) / coverage, np.nan)
    return BandFluxes(mean, sigma, np.asarray(coverage, dtype=np.float64))


def _ragged(
    wavelength: FloatArray,
    values: FloatArray,
    variance: FloatArray,
    good: BoolArray,
    bands: Sequence[Bandpass],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sum spectra with grids of their own; only the columns a band touches are looked at."""
    edges = pixel_edges(wavelength)
    low, high = edges[:, :-1], edges[:, 1:]
    shape = (len(values), len(bands))
    total, square, coverage = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for k, band in enumerate(bands):
        touched = np.any((high > band.wavelength[0]) & (low < band.wavelength[-1]), axis=0)
        columns = np.flatnonzero(touched)
        if not len(columns):
            continue
        part = slice(columns[0], columns[-1] + 1)
        cumulative = band.integral(edges[:, columns[0] : columns[-1] + 2])
        weights = np.where(good[:, part], np.diff(cumulative, axis=1), 0.0)
        total[:, k] = np.einsum("sp,sp->s", weights, values[:, part])
        coverage[:, k] = weights.sum(axis=1)
        square[:, k] = np.einsum("sp,sp,sp->s", weights, weights, variance[:, part])
    return total, square, coverage
