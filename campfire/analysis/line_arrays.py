"""Lines of some spectra: both measurements on plain arrays, and where they disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from campfire.analysis.frames import frame_of
from campfire.analysis.inputs import good_covariance
from campfire.analysis.resolving_power import instrumental_fwhm
from campfire.kernels.broad_lines import BroadLines, fit_broad_lines
from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import good_pixels
from campfire.kernels.line_fitting import ProfileFluxes, WidthFit, profile_fluxes
from campfire.kernels.line_integration import LineFluxes, line_fluxes
from campfire.linelist import BROAD_LINES, DOUBLETS
from campfire.units import SPEED_OF_LIGHT, fnu_to_flam

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.analysis.resolving_power import Resolved
    from campfire.models import SpectrumData
    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["DISAGREE", "LineMethod", "LineRows", "LineTask", "line_rows"]

LineMethod: TypeAlias = Literal["profile", "window"]

DISAGREE = 3.0
"""Difference of both measurements, in sigma, from which the result says so."""

_KM = 1e3
_LEAST_DIFFERENCE = 0.1  # variance of the difference of two measurements, in that of the window


class LineTask(NamedTuple):
    """What is to be measured: names and rest wavelengths (um) of all lines that may be there, and which.

    ``method`` is None where it depends on the spectrum, ``width`` in km/s. ``broad`` tells whether permitted
    lines may have broad components.
    """

    names: Sequence[str]
    rest: FloatArray
    wanted: IntArray
    method: LineMethod | None
    width: float
    fit: WidthFit
    broad: bool


class LineRows(NamedTuple):
    """Lines of some spectra: ``profile`` and ``assumed`` (spectrum,), all else (spectrum, line).

    ``more`` has variables of the result by name: the flux of the window, and FWHM in km/s of the line as it
    is seen, and of the line itself. ``broad`` has one variable a spectrum: empty where it is not asked for.
    """

    found: LineFluxes
    profile: BoolArray
    assumed: list[str]
    disagrees: BoolArray
    more: dict[str, FloatArray]
    broad: dict[str, FloatArray]


def line_rows(spectra: Sequence[Resolved], stretch: FloatArray, task: LineTask) -> LineRows:
    """Measure lines of spectra at ``1 + z``, shape (spectrum, 1)."""
    data = [entry.data for entry in spectra]
    centre = task.rest * stretch
    to_km = SPEED_OF_LIGHT / _KM / centre[:, task.wanted]
    own = centre * (task.width * _KM / SPEED_OF_LIGHT)
    instrument, assumed = instrumental_fwhm(spectra, centre)
    fits = [not guess and not _is_mixture(entry) for guess, entry in zip(assumed, data, strict=True)]
    profile = np.array(fits) if task.method is None else np.full(len(data), task.method == "profile")
    fwhm = np.hypot(instrument, own)
    unknown = np.full((len(data), len(task.wanted)), np.nan)
    widths = [fwhm[:, task.wanted], unknown, own[:, task.wanted], unknown]
    pixels = _Arrays.of(data)
    wide: list[BroadLines] = []
    if task.broad:
        pixels, wide = _without_broad(pixels, data, profile, centre, instrument, own, task)
    fitted = None
    if profile.any():
        fitted = _fit(pixels, centre, instrument, own, task)
        values = [fitted.line_fwhm, fitted.line_fwhm_err, fitted.intrinsic, fitted.intrinsic_err]
        if task.fit == "given":
            values[1] = values[3] = unknown
        widths = [np.where(profile[:, None], v, w) for v, w in zip(values, widths, strict=True)]
    window = _integrate(pixels, centre, fwhm, task.wanted)
    found, disagrees = window, np.zeros(unknown.shape, dtype=bool)
    if fitted is not None:
        chosen = profile[:, None]
        found = LineFluxes(*(np.where(chosen, a, b) for a, b in zip(fitted.lines, window, strict=True)))
        disagrees = chosen & _disagree(fitted, window)
    more = {"window_flux": window.flux, "window_flux_err": window.flux_err}
    for name, width in zip(("fwhm", "fwhm_err", "line_width", "line_width_err"), widths, strict=True):
        more[name] = width * to_km
    broad = {}
    if wide:
        more["broad_flux"] = np.stack([entry.flux[task.wanted] for entry in wide])
        more["broad_flux_err"] = np.stack([entry.flux_err[task.wanted] for entry in wide])
        broad["broad_width"] = np.array([entry.width for entry in wide])
        broad["broad_width_err"] = np.array([entry.width_err for entry in wide])
        broad["broad_evidence"] = np.array([entry.evidence for entry in wide])
    return LineRows(found, profile, assumed, disagrees, more, broad)


def _is_mixture(spectrum: SpectrumData) -> bool:
    """Tell a stack that least squares is not right for.

    The line of several resolving powers is no Gaussian; the covariance of a median is not exact enough.
    """
    if spectrum.header.get("STACKMTH") == "median":
        return True
    frame = frame_of(spectrum)
    several = "+" in spectrum.grating or (frame.rest and frame.source is None)
    return several and not spectrum.header.get("STACKRES")


def _disagree(fitted: ProfileFluxes, window: LineFluxes) -> BoolArray:
    """Tell where the fluxes differ by more than they should.

    Both come from the same pixels, and of all unbiased sums of them that of least squares has the least
    error: with the same width, the variance of their difference is the difference of their variances.
    """
    fit = fitted.lines
    of_width = np.square(fit.flux_err) - np.square(fitted.least_err)
    apart = np.square(window.flux_err) - np.square(fitted.least_err)
    variance = np.maximum(apart, _LEAST_DIFFERENCE * np.square(window.flux_err)) + of_width
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(fit.flux - window.flux) > DISAGREE * np.sqrt(variance))


class _Arrays(NamedTuple):
    """Spectra side by side, as the kernels take them."""

    wave: FloatArray
    flam: FloatArray
    flam_err: FloatArray
    mask: BoolArray
    covariance: list[Any] | None

    @classmethod
    def of(cls, data: Sequence[SpectrumData]) -> _Arrays:
        first = data[0].wavelength
        if all(entry.wavelength is first or np.array_equal(entry.wavelength, first) for entry in data):
            wave = np.asarray(first, dtype=np.float64)
        else:
            wave = np.full((len(data), max(len(entry) for entry in data)), np.nan)
        shape = (len(data), wave.shape[-1])
        flam, flam_err, mask = np.full(shape, np.nan), np.full(shape, np.nan), np.ones(shape, dtype=bool)
        covariance = []
        for k, entry in enumerate(data):
            n = len(entry)
            # fnu is what everything is computed from: f_lambda of a file does not follow a correction of it
            wavelength = np.asarray(entry.wavelength, dtype=np.float64)
            flam[k, :n] = fnu_to_flam(np.asarray(entry.fnu, dtype=np.float64), wavelength)
            flam_err[k, :n] = fnu_to_flam(np.asarray(entry.fnu_err, dtype=np.float64), wavelength)
            mask[k, :n] = entry.mask
            if wave.ndim == 2:
                wave[k, :n] = entry.wavelength
            matrix = good_covariance(entry)
            if matrix is not None:
                matrix = matrix.scaled(fnu_to_flam(np.ones(n), wavelength))
            covariance.append(matrix)
        correlated = covariance if any(matrix is not None for matrix in covariance) else None
        return cls(wave, flam, flam_err, mask, correlated)


def _ties(task: LineTask) -> list[tuple[int, int, float]]:
    names = list(task.names)
    return [(names.index(weak), names.index(strong), 1.0 / ratio) for weak, strong, ratio in DOUBLETS]


def _without_broad(
    pixels: _Arrays,
    data: Sequence[SpectrumData],
    profile: BoolArray,
    centre: FloatArray,
    instrument: FloatArray,
    own: FloatArray,
    task: LineTask,
) -> tuple[_Arrays, list[BroadLines]]:
    """Return the pixels without broad lines, with the error that these leave, and the broad lines.

    Only spectra whose profiles are fitted have any: windows do not know of them.
    """
    permitted = np.isin(np.array(task.names, dtype=object), BROAD_LINES)
    flam, covariance = pixels.flam.copy(), pixels.covariance
    matrices: list[Any] = [None] * len(data) if covariance is None else list(covariance)
    found = []
    for k, entry in enumerate(data):
        n = len(entry)
        one = fit_broad_lines(
            np.asarray(entry.wavelength, dtype=np.float64),
            pixels.flam[k, :n],
            pixels.flam_err[k, :n],
            centre[k],
            instrument[k],
            own[k],
            permitted if profile[k] else np.zeros_like(permitted),
            ties=_ties(task),
            given=task.fit == "given",
            mask=pixels.mask[k, :n],
            covariance=matrices[k],
        )
        found.append(one)
        if one.model is None:
            continue
        flam[k, :n] -= one.model
        if matrices[k] is None:
            good = good_pixels(pixels.flam[k, :n], pixels.flam_err[k, :n], pixels.mask[k, :n])
            matrices[k] = Covariance.of(np.square(np.where(good, pixels.flam_err[k, :n], 0.0)))
        matrices[k] = matrices[k].propagated(1.0, one.slope, one.fold)
    correlated = matrices if any(matrix is not None for matrix in matrices) else None
    return pixels._replace(flam=flam, covariance=correlated), found


def _integrate(pixels: _Arrays, centre: FloatArray, fwhm: FloatArray, wanted: IntArray) -> LineFluxes:
    mask, covariance = pixels.mask, pixels.covariance
    return line_fluxes(*pixels[:3], centre, fwhm, wanted, mask=mask, covariance=covariance)


def _fit(
    pixels: _Arrays, centre: FloatArray, instrument: FloatArray, own: FloatArray, task: LineTask
) -> ProfileFluxes:
    return profile_fluxes(
        *pixels[:3],
        centre,
        instrument,
        own,
        task.wanted,
        ties=_ties(task),
        fit=task.fit,
        mask=pixels.mask,
        covariance=pixels.covariance,
    )
