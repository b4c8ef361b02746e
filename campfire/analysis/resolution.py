"""Spectra with the resolving power that belongs to each: a coordinate, that of the disperser, or a guess."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.frames import frame_of
from campfire.analysis.given_spectra import as_spectra
from campfire.errors import CampfireWarning
from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import rising
from campfire.kernels.lsf import GRATINGS, resolving_power, with_pixels
from campfire.models import Spectrum

if TYPE_CHECKING:
    import xarray as xr

    from campfire.analysis.given_spectra import SpectraLike
    from campfire.models import SpectrumData
    from campfire.typing import FloatArray

__all__ = ["Resolved", "instrumental_fwhm", "line_fwhm", "resolved_spectra"]

_PIXELS_PER_FWHM = 2.2  # sampling of the NIRSpec dispersers


class Resolved(NamedTuple):
    """A spectrum and its resolving power on its pixels, where it brings one along."""

    data: SpectrumData
    power: FloatArray | None


def resolved_spectra(spectra: SpectraLike) -> list[Resolved]:
    """Return all spectra, as ``as_spectra`` does, with ``resolving_power``.

    It is that of the coordinate of a Dataset, or of the spectrum itself.

    Raises
    ------
    ValidationError
        If there is none, or something is not a spectrum.
    """
    return list(_each(spectra)) or [Resolved(data, None) for data in as_spectra(spectra)]


def _each(spectra: Any) -> Iterator[Resolved]:
    kind = type(spectra).__name__ if type(spectra).__module__.startswith("xarray.") else ""
    if kind == "DataTree":
        for node in spectra.subtree:
            if "fnu" in node.data_vars:
                yield from _rows(node.to_dataset())
    elif kind == "Dataset":
        yield from _rows(spectra)
    elif isinstance(spectra, Iterable) and not isinstance(
        spectra, Spectrum | str | bytes | Mapping | np.ndarray
    ):
        for item in spectra:
            yield from _each(item)
    else:
        for data in as_spectra(spectra):
            yield Resolved(data, data.resolving_power)


def _rows(ds: xr.Dataset) -> Iterator[Resolved]:
    ds = ds.compute()
    entries = as_spectra(ds)
    if "resolving_power" not in ds.coords:
        yield from (Resolved(data, None) for data in entries)
        return
    wave, power = (np.atleast_2d(ds[name].values) for name in ("wavelength", "resolving_power"))
    shape = (len(entries), wave.shape[1])
    rows = zip(np.broadcast_to(wave, shape), np.broadcast_to(power, shape), strict=True)
    for data, (at, values) in zip(entries, rows, strict=True):
        kept = np.isfinite(at)  # without the padding, and in the order of the spectrum
        yield Resolved(data, values[kept][rising(at[kept])])


def instrumental_fwhm(spectra: Sequence[Resolved], wavelength: FloatArray) -> FloatArray:
    """Return the FWHM of unresolved lines in microns.

    Parameters
    ----------
    spectra
        With their resolving powers; without one, that of the disperser is taken.
    wavelength
        Microns, in the frame of each spectrum, shape (spectrum, line).

    Warns
    -----
    CampfireWarning
        Where neither is known: for a stack of several dispersers the lowest of theirs is taken, else 2.2
        pixels.
    """
    result = np.empty(wavelength.shape)
    assumed: dict[str, list[str]] = {}
    for k, entry in enumerate(spectra):
        result[k], guess = line_fwhm(entry, wavelength[k])
        if guess:
            assumed.setdefault(guess, []).append(entry.data.spectrum_id)
    for guess, names in assumed.items():
        warnings.warn(
            f"the resolving power of {len(names)} spectra is not known, {guess} is assumed: "
            f"{', '.join(names[:5])}{'...' if len(names) > 5 else ''}",
            CampfireWarning,
            stacklevel=3,
        )
    return result


def line_fwhm(spectrum: Resolved, wavelength: FloatArray) -> tuple[FloatArray, str]:
    """Return the FWHM of unresolved lines of one spectrum in microns, and what had to be assumed for it.

    Parameters
    ----------
    spectrum
        With its resolving power; without one, that of the disperser is taken.
    wavelength
        Microns, in the frame of the spectrum, shape (line,).
    """
    fwhm, guess = _fwhm(spectrum, wavelength)
    covariance = spectrum.data.pixel_covariance
    # resampled: its lines went through two kinds of pixels
    if covariance is not None and Covariance.of(covariance).has_neighbours:
        fwhm = with_pixels(fwhm, fwhm / _PIXELS_PER_FWHM)
    return fwhm, guess


def _fwhm(spectrum: Resolved, wavelength: FloatArray) -> tuple[FloatArray, str]:
    """Return the FWHM before any resampling, and what had to be assumed for it."""
    data, power = spectrum
    at = np.asarray(data.wavelength, dtype=np.float64)
    if power is not None and np.isfinite(power).any():
        known = np.isfinite(power)
        return wavelength / np.interp(wavelength, at[known], power[known]), ""
    names = data.grating.upper().split("+")  # as in the name of a stack
    source = frame_of(data).source
    if source is not None and all(name in GRATINGS for name in names):
        lowest = np.min([resolving_power(name, wavelength * (1.0 + source)) for name in names], axis=0)
        return wavelength / lowest, "" if len(names) == 1 else "the lowest of its gratings"
    return _PIXELS_PER_FWHM * np.interp(wavelength, at, np.gradient(at)), "a FWHM of 2.2 pixels"
