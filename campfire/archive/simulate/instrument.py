"""NIRSpec as simulated: gratings, wavelength grids, resolving power, sensitivity, line spread on pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from campfire.archive.simulate.continuum import DENSE_EDGES, DENSE_WAVE
from campfire.archive.simulate.sources import FWHM_PER_SIGMA
from campfire.installation import missing_extra
from campfire.kernels.lsf import resolving_power

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_array

    from campfire.archive.simulate.emission import Line
    from campfire.archive.simulate.sources import Source
    from campfire.typing import FloatArray

__all__ = ["GRATINGS", "Grating", "SlitLoss", "line_profiles", "normal_cdf", "observed_flam", "pixel_edges"]

LIGHT_KM_S = 299_792.458
RESOLUTION_REACH = 5.0
"""Half-width, in standard deviations, to which the line-spread function is followed."""


@dataclass(frozen=True, slots=True)
class Grating:
    """One disperser with its usual filter.

    Parameters
    ----------
    name, filter
        Upper case, as in headers.
    kind
        ``prism``, ``medium`` or ``high``; sets the redshift grid of its fits.
    wave_range
        Wavelengths of the products, micron.
    step
        Pixel width in micron: one number, or knots (wavelength, width) for the prism.
    depth
        One-sigma f_nu noise a pixel, microjansky, in the middle of the range after 10 000 s.
    noise_shape
        Knots (wavelength, noise over that in the middle).
    gap
        Wavelengths between the two detectors, micron; None where the spectrum fits on one.
    """

    name: str
    filter: str
    kind: Literal["prism", "medium", "high"]
    wave_range: tuple[float, float]
    step: tuple[tuple[float, float], ...]
    depth: float
    noise_shape: tuple[tuple[float, float], ...]
    gap: tuple[float, float] | None = None

    def resolving_power(self, wave: FloatArray) -> FloatArray:
        """Return R = wavelength / FWHM at wavelengths in micron."""
        return resolving_power(self.name, wave)

    def noise(self, wave: FloatArray, exposure_time: float) -> FloatArray:
        """Return the one-sigma f_nu error a pixel of a faint source, microjansky."""
        shape = np.interp(wave, *np.transpose(self.noise_shape))
        return np.asarray(self.depth * shape * np.sqrt(1e4 / exposure_time))


def _wings(low: float, high: float) -> tuple[tuple[float, float], ...]:
    """Noise of a grating over its range: best in the middle, rising to the ends of the blaze."""
    return tuple(
        (low + x * (high - low), rise)
        for x, rise in ((0.0, 2.4), (0.12, 1.35), (0.3, 1.0), (0.6, 1.0), (0.85, 1.5), (1.0, 2.6))
    )


def _grating(
    name: str,
    filter_name: str,
    kind: Literal["medium", "high"],
    wave_range: tuple[float, float],
    step: float,
    depth: float,
    gap: tuple[float, float] | None = None,
) -> Grating:
    low, high = wave_range
    return Grating(
        name=name,
        filter=filter_name,
        kind=kind,
        wave_range=wave_range,
        step=((low, step), (high, step)),
        depth=depth,
        noise_shape=_wings(low, high),
        gap=gap,
    )


GRATINGS: dict[str, Grating] = {
    grating.name: grating
    for grating in (
        Grating(
            name="PRISM",
            filter="CLEAR",
            kind="prism",
            wave_range=(0.55, 5.37),
            step=(
                (0.50, 0.0027),
                (0.60, 0.0043),
                (0.70, 0.0065),
                (0.85, 0.0101),
                (1.00, 0.0140),
                (1.20, 0.0175),
                (1.50, 0.0195),
                (1.90, 0.0185),
                (2.50, 0.0152),
                (3.10, 0.0125),
                (4.00, 0.0098),
                (5.00, 0.0077),
                (5.60, 0.0069),
            ),
            depth=0.0115,
            noise_shape=(
                (0.55, 7.0),
                (0.60, 3.6),
                (0.70, 2.1),
                (0.85, 1.45),
                (1.00, 1.15),
                (1.50, 1.00),
                (2.00, 1.05),
                (3.00, 1.45),
                (3.50, 1.90),
                (4.00, 2.50),
                (4.50, 3.50),
                (5.00, 5.40),
                (5.40, 11.0),
            ),
        ),
        _grating("G140M", "F100LP", "medium", (0.97, 1.89), 0.00063, 0.085),
        _grating("G235M", "F170LP", "medium", (1.66, 3.17), 0.00106, 0.080),
        _grating("G395M", "F290LP", "medium", (2.87, 5.27), 0.00179, 0.100),
        _grating("G140H", "F100LP", "high", (0.97, 1.82), 0.000238, 0.16, (1.408, 1.461)),
        _grating("G235H", "F170LP", "high", (1.66, 3.05), 0.000396, 0.15, (2.360, 2.446)),
        _grating("G395H", "F290LP", "high", (2.87, 5.14), 0.000666, 0.19, (3.980, 4.120)),
    )
}


@dataclass(frozen=True, slots=True)
class SlitLoss:
    """Fraction of the light that one visit records: a smooth curve of wavelength.

    Parameters
    ----------
    coefficients
        Of Chebyshev polynomials of ``x``, which runs from -1 to 1 over 0.5 to 5.5 micron.
    """

    coefficients: tuple[float, ...]

    def __call__(self, wave: FloatArray) -> FloatArray:
        """Return the fraction at wavelengths in micron."""
        return np.asarray(np.polynomial.chebyshev.chebval((wave - 3.0) / 2.5, self.coefficients))


def pixel_edges(grating: Grating, phase: float) -> FloatArray:
    """Return the pixel edges of a product, microns.

    Parameters
    ----------
    grating
        Which one.
    phase
        Fraction of a pixel by which the grid starts later; up to six pixels are cut from its end with it, so
        that products of different visits differ in length too.
    """
    low, high = grating.wave_range
    fine = np.linspace(low, high, 20_001)
    width = np.interp(fine, *np.transpose(grating.step))
    # Pixel number as a function of wavelength, inverted at whole numbers.
    number = np.concatenate([[0.0], np.cumsum(0.5 * (1 / width[1:] + 1 / width[:-1]) * np.diff(fine))])
    return np.asarray(np.interp(np.arange(phase, number[-1] - 6.0 * phase), number, fine))


def normal_cdf(x: FloatArray) -> FloatArray:
    """Return the integral of the unit Gaussian up to ``x``."""
    try:
        from scipy.special import ndtr
    except ImportError as err:
        raise missing_extra("simulating needs scipy", "deploy") from err
    return np.asarray(ndtr(x))


def _ramp(x: FloatArray) -> FloatArray:
    """Second integral of the unit Gaussian."""
    return np.asarray(x * normal_cdf(x) + np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi))


@lru_cache(maxsize=64)
def _spread_matrix(name: str, phase: float) -> csr_array:
    """Matrix from f_lambda in the dense cells to f_lambda averaged over pixels, line spread included.

    Both the cell and the pixel are integrated exactly, so that light is conserved whatever their sizes.
    """
    from scipy.sparse import csr_array

    grating = GRATINGS[name]
    edges = pixel_edges(grating, phase)
    sigma = DENSE_WAVE / grating.resolving_power(DENSE_WAVE) / FWHM_PER_SIGMA
    centre = 0.5 * (edges[1:] + edges[:-1])
    reach = RESOLUTION_REACH * np.interp(centre, DENSE_WAVE, sigma)
    first = np.searchsorted(DENSE_EDGES, edges[:-1] - reach) - 1
    last = np.searchsorted(DENSE_EDGES, edges[1:] + reach)
    span = int((last - first).max())
    cell = first[:, None] + np.arange(span)
    inside = (cell >= 0) & (cell < DENSE_WAVE.size)
    cell = np.clip(cell, 0, DENSE_WAVE.size - 1)
    width = sigma[cell]
    near, far = DENSE_EDGES[cell], DENSE_EDGES[cell + 1]
    low, high = edges[:-1, None], edges[1:, None]
    weight = (
        _ramp((high - near) / width)
        - _ramp((high - far) / width)
        - _ramp((low - near) / width)
        + _ramp((low - far) / width)
    )
    weight *= np.where(inside, width / (high - low), 0.0)
    indptr = np.arange(0, cell.size + 1, span)
    return csr_array((weight.ravel(), cell.ravel(), indptr), shape=(centre.size, DENSE_WAVE.size))


def line_profiles(edges: FloatArray, grating: Grating, lines: Sequence[Line], redshift: float) -> FloatArray:
    """Return f_lambda of emission lines averaged over pixels (erg s-1 cm-2 angstrom-1).

    Each line is a Gaussian of its own width and the line spread added in quadrature, integrated exactly:
    the sum of f_lambda times pixel width is the line flux.
    """
    total = np.zeros(edges.size - 1)
    for line in lines:
        at = line.wave * (1.0 + redshift)
        instrumental = at / float(grating.resolving_power(np.array(at))) / FWHM_PER_SIGMA
        sigma = float(np.hypot(instrumental, at * line.sigma / LIGHT_KM_S))
        low, high = np.searchsorted(edges, [at - 6.0 * sigma, at + 6.0 * sigma])
        low, high = max(int(low) - 1, 0), min(int(high) + 1, edges.size)
        if high - low < 2:
            continue
        near = edges[low:high]
        share = np.diff(normal_cdf((near - at) / sigma))
        total[low : high - 1] += line.flux * share / (np.diff(near) * 1e4)
    return total


def observed_flam(source: Source, dense_flam: FloatArray, grating: Grating, phase: float) -> FloatArray:
    """Return f_lambda of a source on the pixels of one grating, without slit loss or noise.

    Parameters
    ----------
    source
        Gives the lines.
    dense_flam
        Its continuum at ``DENSE_WAVE`` (erg s-1 cm-2 angstrom-1).
    grating, phase
        As for :func:`pixel_edges`.
    """
    edges = pixel_edges(grating, phase)
    continuum = _spread_matrix(grating.name, phase) @ dense_flam
    return np.asarray(continuum + line_profiles(edges, grating, source.lines, source.redshift))
