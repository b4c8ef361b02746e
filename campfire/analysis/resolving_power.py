"""Spectra with the resolving power that belongs to each: a coordinate, that of the disperser, or a guess."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.frames import frame_of
from campfire.analysis.inputs import as_lines, as_spectra
from campfire.errors import CampfireWarning
from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import rising
from campfire.kernels.lsf import GRATINGS, resolving_power, with_pixels
from campfire.models import Spectrum
from campfire.schema import GRIDDED

if TYPE_CHECKING:
    import xarray as xr

    from campfire.analysis.inputs import SpectraLike
    from campfire.models import SpectrumData
    from campfire.typing import FloatArray

__all__ = [
    "Resolved",
    "instrumental_fwhm",
    "line_fwhm",
    "resolved_blocks",
    "resolved_spectra",
    "warn_assumed",
]

_RESAMPLED = "resampled"  # as histories say it
_BLOCK = 512  # spectra at a time
_PIXELS_PER_FWHM = 2.2  # sampling of the NIRSpec dispersers


class Resolved(NamedTuple):
    """A spectrum and its resolving power on its pixels, where it brings one along.

    ``resampled`` tells that its light went through two kinds of pixels. Neighbours that are correlated do not
    tell it: those of a detector are, too.
    """

    data: SpectrumData
    power: FloatArray | None
    resampled: bool


def resolved_spectra(spectra: SpectraLike) -> list[Resolved]:
    """Return all spectra of :func:`resolved_blocks` at once."""
    return [entry for block in resolved_blocks(spectra) for entry in block]


def resolved_blocks(spectra: SpectraLike) -> Iterator[list[Resolved]]:
    """Yield all spectra, in the order of ``as_spectra``, some at a time, and read only then.

    ``power`` is that of the coordinate of a Dataset, or of the spectrum itself.

    Raises
    ------
    ValidationError
        If there is none, or something is not a spectrum.
    """
    single: list[Resolved] = []
    empty = True
    for block in _each(spectra):
        empty = False
        if len(block) == 1:
            single += block
        if single and (len(block) > 1 or len(single) == _BLOCK):
            yield single
            single = []
        if len(block) > 1:
            yield block
    if single or empty:
        yield single or [Resolved(data, None, False) for data in as_spectra(spectra)]


def _each(spectra: Any) -> Iterator[list[Resolved]]:
    kind = type(spectra).__name__ if type(spectra).__module__.startswith("xarray.") else ""
    if kind == "DataTree":
        for node in spectra.subtree:
            if "fnu" in node.data_vars:
                yield from _blocks(node.to_dataset())
    elif kind == "Dataset":
        yield from _blocks(spectra)
    elif isinstance(spectra, Iterable) and not isinstance(
        spectra, Spectrum | str | bytes | Mapping | np.ndarray
    ):
        for item in spectra:
            yield from _each(item)
    else:
        yield [Resolved(data, data.resolving_power, _was_resampled(data)) for data in as_spectra(spectra)]


def _blocks(ds: xr.Dataset) -> Iterator[list[Resolved]]:
    """Yield the rows of a Dataset as they are chunked, or some at a time."""
    if "spectrum" not in ds["fnu"].dims:
        yield list(_rows(ds))
        return
    lengths = ds["fnu"].variable.chunksizes.get("spectrum", (ds.sizes["spectrum"],))
    edges = np.cumsum([0, *lengths])
    for start, stop in pairwise(edges):
        for first in range(start, stop, _BLOCK):
            yield list(_rows(ds.isel(spectrum=slice(first, min(first + _BLOCK, stop)))))


def _rows(ds: xr.Dataset) -> Iterator[Resolved]:
    ds = ds.compute()
    entries = as_spectra(ds)
    resampled = ds["fnu"].dims == GRIDDED or _RESAMPLED in str(ds.attrs.get("history", ""))
    if "resolving_power" not in ds.coords:
        yield from (Resolved(data, None, resampled or _was_resampled(data)) for data in entries)
        return
    wave, power = (np.atleast_2d(ds[name].values) for name in ("wavelength", "resolving_power"))
    shape = (len(entries), wave.shape[1])
    rows = zip(np.broadcast_to(wave, shape), np.broadcast_to(power, shape), strict=True)
    for data, (at, values) in zip(entries, rows, strict=True):
        kept = np.isfinite(at)  # without the padding, and in the order of the spectrum
        yield Resolved(data, values[kept][rising(at[kept])], resampled or _was_resampled(data))


def _was_resampled(data: SpectrumData) -> bool:
    return any(_RESAMPLED in line for line in as_lines(data.header.get("HISTORY")))


def instrumental_fwhm(spectra: Sequence[Resolved], wavelength: FloatArray) -> tuple[FloatArray, list[str]]:
    """Return the FWHM of unresolved lines in microns, and what had to be assumed for each spectrum.

    Parameters
    ----------
    spectra
        With their resolving powers; without one, that of the disperser is taken. Where neither is known: for
        a stack of several dispersers the lowest of theirs, else a FWHM of 2.2 pixels.
    wavelength
        Microns, in the frame of each spectrum, shape (spectrum, line).
    """
    result = np.empty(wavelength.shape)
    assumed = []
    for k, entry in enumerate(spectra):
        result[k], guess = line_fwhm(entry, wavelength[k])
        assumed.append(guess)
    return result, assumed


def warn_assumed(assumed: Sequence[str], names: Sequence[str], *, stacklevel: int) -> None:
    """Warn of what :func:`instrumental_fwhm` had to assume, once for all spectra of one kind."""
    for guess in dict.fromkeys(assumed):
        those = [name for name, other in zip(names, assumed, strict=True) if other == guess]
        if guess:
            warnings.warn(
                f"the resolving power of {len(those)} spectra is not known, {guess} is assumed: "
                f"{', '.join(those[:5])}{'...' if len(those) > 5 else ''}",
                CampfireWarning,
                stacklevel=stacklevel,
            )


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
    if spectrum.resampled and covariance is not None and Covariance.of(covariance).has_neighbours:
        fwhm = with_pixels(fwhm, fwhm / _PIXELS_PER_FWHM)
    return fwhm, guess


def _fwhm(spectrum: Resolved, wavelength: FloatArray) -> tuple[FloatArray, str]:
    """Return the FWHM before any resampling, and what had to be assumed for it."""
    data, power = spectrum.data, spectrum.power
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
