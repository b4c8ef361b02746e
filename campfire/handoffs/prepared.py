"""What every hand-off begins with: one checked spectrum, its redshift, resolution and origin."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.frames import Frame, check_frames, frame_of, redshift_numbers
from campfire.analysis.inputs import as_lines
from campfire.analysis.resolving_power import Resolved, line_fwhm, resolved_spectra
from campfire.errors import ValidationError
from campfire.installation import VERSION
from campfire.kernels.grids import pixel_bounds
from campfire.kernels.lsf import with_pixels
from campfire.store.file_state import hash_file
from campfire.units import SPEED_OF_LIGHT, fnu_to_flam

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike
    from campfire.models import SpectrumData
    from campfire.typing import BoolArray, FloatArray

__all__ = ["ANGSTROM", "HUGE_ERROR", "KM_S", "Inputs", "Prepared", "pixels_hash", "prepare", "to_air"]

ANGSTROM = 1e4
"""Angstrom in a micron."""
KM_S = SPEED_OF_LIGHT / 1e3
"""Speed of light in km/s."""
HUGE_ERROR = 9.9e99
"""Error that takes a pixel out of a fit whose tool has no mask; finite, and so is its square."""


class Inputs(dict[str, Any]):
    """What a tool takes, by the names of its arguments: ``tool(**inputs)``.

    Parameters
    ----------
    tool
        Name of the tool.
    arguments
        Its keyword arguments.
    origin
        What ties a result back to the data: ``spectrum_id``, ``grating``, ``fits_file`` and ``file_hash``
        (SHA-256; both empty without a file), ``pixels_hash`` (of wavelengths, fluxes, errors and mask),
        ``redshift``, ``history`` and ``campfire_version``, all text.
    beside
        What the tool wants elsewhere than among these arguments, such as the resolution of its templates.

    Examples
    --------
    >>> inputs = Inputs("mytool", {"flux": np.ones(3), "unit": "uJy"}, {"spectrum_id": "demo_1"})
    >>> inputs
    Inputs for mytool of demo_1: flux (3,), unit 'uJy'
    >>> dict(**inputs)["unit"]
    'uJy'
    """

    def __init__(
        self,
        tool: str,
        arguments: dict[str, Any],
        origin: dict[str, str],
        beside: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(arguments)
        self.tool = tool
        self.origin = origin
        self.beside = beside or {}

    def __repr__(self) -> str:
        listed = ", ".join(f"{name} {_short(value)}" for name, value in self.items())
        beside = ", ".join(f"{name} {_short(value)}" for name, value in self.beside.items())
        of = self.origin.get("spectrum_id", "")
        return f"Inputs for {self.tool} of {of}: {listed}" + (f"; beside: {beside}" if beside else "")


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape:
        return str(tuple(map(int, shape)))
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    text = repr(value)
    return text if len(text) <= 24 else type(value).__name__


@dataclass(frozen=True, slots=True)
class Prepared:
    """One spectrum, checked, in float64: what the hand-offs share.

    Parameters
    ----------
    entry
        The spectrum, with the resolving power that it brings along.
    frame
        Its frame and unit.
    origin
        As in :class:`Inputs`.
    wavelength, fnu, fnu_err
        Microns, microjansky, increasing, shape (n,). Pixels that are not good have flux 0 and error
        ``HUGE_ERROR``, never anything that is not finite.
    good
        True for pixels to be used, shape (n,); at least one is.
    """

    entry: Resolved
    frame: Frame
    origin: dict[str, str]
    wavelength: FloatArray
    fnu: FloatArray
    fnu_err: FloatArray
    good: BoolArray

    @property
    def data(self) -> SpectrumData:
        """The spectrum."""
        return self.entry.data

    @property
    def trimmed(self) -> slice:
        """Pixels from the first to the last good one."""
        used = np.flatnonzero(self.good)
        return slice(int(used[0]), int(used[-1]) + 1)

    @property
    def flam_per_fnu(self) -> FloatArray:
        """What makes f_lambda in erg s-1 cm-2 angstrom-1 of microjansky, shape (n,)."""
        return fnu_to_flam(np.ones_like(self.wavelength), self.wavelength)

    def flam(self) -> tuple[FloatArray, FloatArray]:
        """Return f_lambda and its error, erg s-1 cm-2 angstrom-1; pixels that are not good as in f_nu."""
        factor = self.flam_per_fnu
        return self.fnu * factor, np.where(self.good, self.fnu_err * factor, HUGE_ERROR)

    def redshift(self, given: float | None, why: str) -> float:
        """Return the redshift to be used: that given, else that of the spectrum; 0 in the rest frame.

        Raises
        ------
        ValidationError
            If none is known (``why`` says what it is for), or it is not above -1.
        """
        if self.frame.rest:
            check_frames([self.data], "lines", 0.0 if given is None else given)
            return 0.0
        known = self.data.redshift if given is None else float(redshift_numbers(given))
        if known is None:
            raise ValidationError(f"{self.name} has no redshift: {why}", hint="pass redshift=")
        if not (np.isfinite(known) and known > -1):
            raise ValidationError(f"redshift={known!r}", hint="pass one number above -1")
        return float(known)

    def resolution(self, given: ArrayLike | None = None, *, pixels: int = 0) -> FloatArray:
        """Return the resolving power, wavelength over FWHM, of every pixel, shape (n,).

        Parameters
        ----------
        given
            That of the instrument, one number or one a pixel; else that of the spectrum or its disperser.
        pixels
            How many times the tool's models do not go through the pixels of the spectrum, which its lines
            went through: 0 where it averages models over pixels, 1 where it takes their values at the
            centres.

        Raises
        ------
        ValidationError
            If it is not known, or what is given is not positive or of another length.
        """
        if given is None:
            fwhm, guess = line_fwhm(self.entry, self.wavelength)
            if guess:
                raise ValidationError(
                    f"the resolving power of {self.name} ({self.data.grating or 'no grating'}) is not known",
                    hint="pass resolving_power=, wavelength over FWHM: one number, or one a pixel",
                )
            return self._with_pixels(fwhm, pixels)
        power = np.asarray(given, dtype=np.float64)
        if power.shape not in ((), self.wavelength.shape) or not np.all(np.isfinite(power) & (power > 0)):
            raise ValidationError(
                f"resolving_power of shape {power.shape}",
                hint=f"pass wavelength over FWHM: one positive number, or {self.wavelength.size} of them",
            )
        return self._with_pixels(self.wavelength / power, pixels)

    def _with_pixels(self, fwhm: FloatArray, times: int) -> FloatArray:
        widths = pixel_bounds(self.wavelength).width
        for _ in range(times):
            fwhm = with_pixels(fwhm, widths)
        return self.wavelength / fwhm

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.data.spectrum_id or "the spectrum"

    def inputs(
        self, tool: str, arguments: dict[str, Any], redshift: float | None = None, **beside: Any
    ) -> Inputs:
        """Return what a tool takes, tied to this spectrum."""
        known = {} if redshift is None else {"redshift": repr(redshift)}
        return Inputs(tool, arguments, self.origin | known, beside)


def prepare(spectrum: SpectrumLike, *, any_frame: bool = False) -> Prepared:
    """Check one spectrum for a hand-off.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum.
    any_frame
        Whether the tool also takes rest-frame wavelengths and relative fluxes.

    Raises
    ------
    ValidationError
        If it is not one spectrum, has no good pixel, or is in a frame or unit that the tool does not take.
    """
    entries = resolved_spectra(spectrum)
    if len(entries) != 1:
        raise ValidationError(
            f"{len(entries)} spectra", hint="hand over one at a time: for s in ds.campfire.to_spectra()"
        )
    data = entries[0].data
    (frame,) = [frame_of(data)] if any_frame else check_frames([data], "this hand-off")
    good = ~data.mask
    if not good.any():
        raise ValidationError(f"{data.spectrum_id or 'the spectrum'} has no good pixel")
    fnu, error = np.asarray(data.fnu, dtype=np.float64), np.asarray(data.fnu_err, dtype=np.float64)
    return Prepared(
        entry=entries[0],
        frame=frame,
        origin=_origin(spectrum, data),
        wavelength=np.array(data.wavelength, dtype=np.float64),  # its own: tools may change it
        fnu=np.where(good, fnu, 0.0),
        fnu_err=np.where(good, error, HUGE_ERROR),
        good=good,
    )


def _origin(spectrum: Any, data: SpectrumData) -> dict[str, str]:
    path = data.fits_path
    history = getattr(spectrum, "attrs", {}).get("history") or "\n".join(as_lines(data.header.get("HISTORY")))
    return {
        "spectrum_id": data.spectrum_id,
        "grating": data.grating,
        "fits_file": os.path.basename(path) if path else "",
        "file_hash": hash_file(path) if path and os.path.isfile(path) else "",
        "pixels_hash": pixels_hash(data),
        "history": str(history),
        "campfire_version": VERSION,
    }


def pixels_hash(data: SpectrumData) -> str:
    """Return the SHA-256 of wavelengths, and of fluxes and errors of the pixels that are not masked.

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> one = SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.1], {}, "PRISM", "a")
    >>> pixels_hash(one) == pixels_hash(SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.1], {}, "", "b"))
    True
    """
    digest = hashlib.sha256()
    for values in (data.wavelength, np.where(data.mask, 0, data.fnu), np.where(data.mask, 0, data.fnu_err)):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return f"sha256:{digest.hexdigest()}"


def to_air(wavelength: FloatArray) -> FloatArray:
    """Return wavelengths in air, of those in vacuum, both in angstrom; below 2000 angstrom they stay.

    By the dispersion formula of Ciddor (1996, Applied Optics 35, 1566) for standard air, as pPXF and most
    libraries of spectra use it; it sets in between 2000 and 2020 angstrom, so that the order is kept.

    Examples
    --------
    >>> to_air(np.array([1215.67, 6564.614])).round(2)
    array([1215.67, 6562.8 ])
    """
    wave = np.asarray(wavelength, dtype=np.float64)
    square = np.square(1e4 / np.maximum(wave, 2000.0))
    index = 1.0 + 5.792105e-2 / (238.0185 - square) + 1.67917e-3 / (57.362 - square)
    share = np.clip((wave - 2000.0) / 20.0, 0.0, 1.0)
    return np.asarray(wave / (1.0 + share * (index - 1.0)))
