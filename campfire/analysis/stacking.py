"""Stacking: spectra on one grid, combined pixel by pixel, with errors that know what is shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from campfire.analysis.calibration import CALIBRATED, CalibrationResult, calibrate_to_photometry
from campfire.analysis.frames import as_redshifts, check_frames, source_redshifts
from campfire.analysis.inputs import (
    as_grid,
    as_lines,
    as_spectra,
    as_window,
    check_stacking,
)
from campfire.analysis.stack_header import StackOptions, stack_cards
from campfire.analysis.stack_resolution import Power
from campfire.analysis.stack_steps import Inputs, Stack, make_stack
from campfire.convert.covariance import from_banded
from campfire.errors import ValidationError
from campfire.formats.exposure_time import exposure_time
from campfire.kernels.combine import find_combiner
from campfire.kernels.covariance import Covariance
from campfire.models import SpectrumData
from campfire.schema import NATIVE, PixelDQ
from campfire.text import printed
from campfire.units import FLAM_UNIT, FNU_UNIT, RELATIVE

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from campfire.analysis.calibration import CalibrationMethod
    from campfire.analysis.inputs import SpectraLike
    from campfire.models import Photometry
    from campfire.typing import BoolArray, FloatArray, IntArray

__all__ = ["StackMethod", "StackResult", "calibrate_and_stack", "stack_spectra"]

StackMethod: TypeAlias = Literal["weighted_mean", "mean", "median"]

_STACK_OPTIONS = ("redshift", "normalize", "sigma_clip", "rng", "match_resolution", "jackknife")


@dataclass(eq=False, repr=False)
class StackResult:
    """A stack and what went into it; m pixels.

    Attributes
    ----------
    spectrum
        The stack.
    calibrations
        One :class:`CalibrationResult` an input; empty without photometry.
    input_spectra
        The inputs before resampling, calibrated where photometry was given.
    stacking_method
        ``weighted_mean``, ``mean`` or ``median``.
    n_used
        Number of inputs behind every pixel, shape (m,).
    rejected
        Number of inputs that sigma clipping took out of every pixel, shape (m,).
    redshifts
        Redshift of the frame of the stack, one an input: 0 where it is the observed frame.
    """

    spectrum: SpectrumData
    calibrations: list[CalibrationResult]
    input_spectra: list[SpectrumData]
    stacking_method: str
    n_used: IntArray
    rejected: IntArray
    redshifts: FloatArray
    frame_inputs: list[tuple[FloatArray, FloatArray, BoolArray]]

    def plot(self, axes: Sequence[Axes] | None = None) -> tuple[Axes, ...]:
        """Draw the stack, its inputs, and the calibration curves: three panels, or two without calibration.

        Parameters
        ----------
        axes
            As many matplotlib axes as panels; a new figure without them.

        Returns
        -------
        tuple of matplotlib.axes.Axes
            From top to bottom.
        """
        from campfire.plotting.diagnostics import draw_stack

        return draw_stack(
            self.spectrum.wavelength,
            self.spectrum.fnu,
            self.spectrum.fnu_err,
            mask=self.spectrum.mask,
            n_used=self.n_used.astype(np.float64),
            inputs=self.frame_inputs,
            curves=[
                (c.original.wavelength / (1.0 + z), c.multiplier, c.multiplier_err)
                for c, z in zip(self.calibrations, self.redshifts, strict=False)
            ],
            header=self.spectrum.header,
            fnu_units=self.spectrum.fnu_units,
            title=f"{self.spectrum.spectrum_id}  {self.stacking_method.replace('_', ' ')}",
            axes=axes,
        )

    def __repr__(self) -> str:
        calibrated = "calibrated, " if self.calibrations else ""
        return printed(
            f"StackResult({self.spectrum.spectrum_id}, {len(self.input_spectra)} spectra, "
            f"{calibrated}{self.stacking_method})"
        )


def stack_spectra(
    spectra: SpectraLike | Iterable[CalibrationResult],
    method: StackMethod = "weighted_mean",
    wavelength_grid: ArrayLike | None = None,
    object_id: str | None = None,
    *,
    redshift: float | Sequence[float] | None = None,
    normalize: tuple[float, float] | None = None,
    sigma_clip: float | None = None,
    rng: int | np.random.Generator | None = None,
    match_resolution: bool = False,
    jackknife: bool = False,
) -> SpectrumData:
    """Resample spectra onto a common grid, conserving flux, and combine them.

    Masked pixels are not used. Errors follow from those of the inputs; the covariance of pixels is attached
    to the result. What spectra calibrated on the same photometry have in common is not averaged down: their
    covariance knows it.

    Parameters
    ----------
    spectra
        A ``SpectrumCollection``, a list of ``Spectrum``, ``SpectrumData``, Datasets or ``CalibrationResult``,
        a Dataset or a DataTree.
    method
        ``"weighted_mean"`` (by inverse variance), ``"mean"`` or ``"median"``.
    wavelength_grid
        Pixel centres in microns, in the frame of the stack; ``("log", low, high, R)`` is a grid with even
        steps in ln(wavelength), 1 / R each. By default those of the input with most pixels; of several
        redshifts, from the first to the last good pixel of all, as fine as the finest input there,
        with at most 8192 pixels. Spectra of different gratings are only stacked on a grid that is given.
    object_id
        Used in the name of the stack.
    redshift
        One value a spectrum (or one for all). Wavelengths and f_nu are then divided by 1 + z before stacking
        (f_lambda is multiplied by it), so that the integrated flux stays, and the stack is in the rest frame.
    normalize
        (low, high) in microns, in the frame of the stack: every spectrum is divided by its mean f_nu there,
        and the error of that mean goes into the stack. Fluxes are then relative, ``fnu_units`` and
        ``flam_units`` are ``"1"`` (f_lambda is that of a level of one microjansky). Spectra that do not cover
        half of the range, or have no positive mean there, are left out with a warning.
    sigma_clip
        Reject values further than this many sigmas from the median of their pixel; see
        ``campfire.kernels.combine.sigma_clip``, also for what clipping below 3 does to errors.
    rng
        Seed or generator. The errors are then the scatter of 200 stacks of spectra drawn with replacement,
        which includes the spread of the sources; where the propagated error is larger, or fewer than three
        inputs contribute, it is that. The scatter of a few sources is itself uncertain: by a third for five.
        Collections draw objects, with all spectra of each.
    match_resolution
        Smooth all spectra to the lowest resolving power, wavelength by wavelength in the frame of the stack,
        among those that have good pixels there, before stacking (and before any is left out by
        ``normalize``).
    jackknife
        Instead of ``rng``: errors from stacks without one spectrum after the other, the same at every run.
        Not for medians.

    Returns
    -------
    SpectrumData
        Named ``stack:<object_id>:<grating>``, or ``stack:<grating>:<n>spectra`` of n used; what went in, and
        how, is in the header. ``resolving_power`` is that of the weighted sum of the inputs.

    Raises
    ------
    ValidationError
        For no spectra, mixed gratings without a grid, redshifts that do not match, options out of range, and
        spectra of which some are in the rest frame (those take no other redshift than 0) or normalised.

    Warns
    -----
    CampfireWarning
        For spectra left out, for those that are there more than once (of one id, with the same fluxes: they
        are counted once), and for a grid that lies outside all spectra.

    Examples
    --------
    >>> wave = np.linspace(1.0, 2.0, 5)
    >>> a = SpectrumData(wave, np.ones(5), np.full(5, 0.1), {}, "PRISM", "a")
    >>> b = SpectrumData(wave, np.full(5, 3.0), np.full(5, 0.1), {}, "PRISM", "b")
    >>> stacked = stack_spectra([a, b])
    >>> stacked.spectrum_id, float(stacked.fnu[2]), round(float(stacked.fnu_err[2]), 4)
    ('stack:PRISM:2spectra', 2.0, 0.0707)
    """
    check_stacking(method, object_id, sigma_clip, rng, match_resolution, jackknife)
    options = StackOptions(method, as_window(normalize), sigma_clip, rng, match_resolution, jackknife)
    job = _Job.of(_calibrated(spectra), redshift, wavelength_grid)
    stack = make_stack(job.inputs, options, job.grid, rest=False, whole=True)
    return job.spectrum(stack, options, object_id)


def calibrate_and_stack(
    spectra: SpectraLike,
    photometry: Photometry | None = None,
    method: CalibrationMethod = "chebyshev",
    stacking_method: StackMethod = "weighted_mean",
    wavelength_grid: ArrayLike | None = None,
    object_id: str | None = None,
    **calibration_options: Any,
) -> StackResult:
    """Calibrate every spectrum to the photometry, whatever its type, then stack.

    All are calibrated on the same photometry, so the error they get from it is common to all and stays as it
    is in the stack, however many there are.

    Parameters
    ----------
    spectra
        A ``SpectrumCollection``, a list of ``Spectrum`` or ``SpectrumData``, a Dataset or a DataTree.
    photometry
        Observed fluxes; without them the spectra are stacked as they are.
    method
        Of the calibration: ``"chebyshev"`` or ``"flat"``.
    stacking_method, wavelength_grid, object_id
        As for :func:`stack_spectra`.
    **calibration_options
        ``bands``, ``degree``, ``min_snr``, ``error_floor`` of :func:`calibrate_to_photometry`; ``redshift``,
        ``normalize``, ``sigma_clip``, ``rng``, ``match_resolution``, ``jackknife`` of :func:`stack_spectra`.

    Returns
    -------
    StackResult
        The stack, the calibrations and the calibrated inputs.

    Raises
    ------
    ValidationError
        As both functions do; a spectrum that cannot be calibrated is named.

    Examples
    --------
    >>> from campfire.models import Photometry
    >>> wave = np.linspace(0.6, 5.3, 400)
    >>> a = SpectrumData(wave, np.ones(400), np.full(400, 0.1), {}, "PRISM", "a")
    >>> b = SpectrumData(wave, np.full(400, 2.0), np.full(400, 0.1), {}, "PRISM", "b")
    >>> phot = Photometry(["f150w", "f444w"], [4.0, 4.0], [0.2, 0.2], [1.5, 4.4])
    >>> result = calibrate_and_stack([a, b], phot, object_id="demo")
    >>> result, float(result.spectrum.fnu[200].round(6))
    (StackResult(stack:demo:PRISM, 2 spectra, calibrated, weighted_mean), 4.0)
    """
    find_combiner(stacking_method)
    stacking = {name: calibration_options.pop(name) for name in _STACK_OPTIONS if name in calibration_options}
    originals = as_spectra(spectra)
    if photometry is None:
        if calibration_options:
            raise ValidationError(
                f"{', '.join(calibration_options)} given without photometry", hint="pass photometry="
            )
        calibrations: list[CalibrationResult] = []
        inputs = originals
    else:
        calibrations = [
            calibrate_to_photometry(data, photometry, method, **calibration_options) for data in originals
        ]
        inputs = [result.spectrum for result in calibrations]
    switches = {"match_resolution": False, "jackknife": False}
    given: dict[str, Any] = dict.fromkeys(_STACK_OPTIONS) | switches | stacking
    redshift, normalize, clip, rng, match, jackknife = (given[name] for name in _STACK_OPTIONS)
    check_stacking(stacking_method, object_id, clip, rng, match, jackknife)
    options = StackOptions(stacking_method, as_window(normalize), clip, rng, match, jackknife)
    job = _Job.of(inputs, redshift, wavelength_grid)
    stack = make_stack(job.inputs, options, job.grid, rest=False, whole=True)
    return StackResult(
        job.spectrum(stack, options, object_id),
        calibrations,
        inputs,
        stacking_method,
        stack.n_used,
        stack.rejected,
        job.inputs.beside[0],
        [] if stack.frame is None else stack.frame.spectra(),
    )


def _calibrated(spectra: Any) -> list[SpectrumData]:
    """Return all spectra, of results of calibrations those calibrated."""
    if isinstance(spectra, CalibrationResult):
        return [spectra.spectrum]
    if isinstance(spectra, list | tuple):
        spectra = [item.spectrum if isinstance(item, CalibrationResult) else item for item in spectra]
    return as_spectra(spectra)


@dataclass(frozen=True, slots=True)
class _Job:
    """Single spectra as the rows of a native collection, and what to make of their stack."""

    data: list[SpectrumData]
    inputs: Inputs
    grid: FloatArray | None
    sources: FloatArray | None
    relative: bool

    @classmethod
    def of(cls, data: list[SpectrumData], redshift: Any, wavelength_grid: ArrayLike | None) -> _Job:
        gratings = sorted({entry.grating for entry in data})
        if len(gratings) > 1 and wavelength_grid is None:
            raise ValidationError(
                f"spectra of different gratings: {', '.join(gratings)}",
                hint="stack each by itself, as spectra[spectra.grating == 'PRISM'], or pass wavelength_grid=",
            )
        shifts = as_redshifts(redshift, len(data))
        frames = check_frames(data, "stacking", shifts)
        sources = source_redshifts(frames, shifts)
        moved = np.zeros(len(data)) if shifts is None else shifts
        origins = zip(data, moved.tolist(), moved if sources is None else sources, strict=True)
        powers = tuple(Power.of(entry, z, float(source)) for entry, z, source in origins)
        known = np.empty(len(data), dtype=object)
        for k, entry in enumerate(data):
            if entry.pixel_covariance is not None:
                known[k] = Covariance.of(entry.pixel_covariance)
        inputs = Inputs(
            _rows(data),
            [entry.spectrum_id for entry in data],
            shifts,
            powers,
            np.arange(len(data)),
            [known] if any(matrix is not None for matrix in known) else [],
            np.arange(len(data)),
        )
        grid = None if wavelength_grid is None else as_grid(wavelength_grid, "wavelength_grid")
        return cls(data, inputs, grid, sources, frames[0].relative)

    def spectrum(self, stack: Stack, options: StackOptions, object_id: str | None) -> SpectrumData:
        """Return the stack with its header."""
        data = [self.data[k] for k in stack.rows]
        sources = None if self.sources is None else self.sources[stack.rows]
        grating = "+".join(sorted({entry.grating for entry in self.data}))
        name = f"stack:{object_id}:{grating}" if object_id else f"stack:{grating}:{len(data)}spectra"
        relative = options.window is not None or self.relative
        errors, covariance = stack.errors, Covariance.of(from_banded(stack.errors.bands))
        if errors.modes is not None:
            covariance = Covariance(covariance.near, errors.modes, errors.signs, tuple(stack.measurements))
        return SpectrumData(
            stack.grid,
            stack.fnu,
            errors.error,
            _header(data, options, sources),
            grating,
            name,
            fnu_units=RELATIVE if relative else FNU_UNIT,
            flam_units=RELATIVE if relative else FLAM_UNIT,
            mask=stack.n_used == 0,
            redshift=0.0 if sources is not None else _agreed([entry.redshift for entry in data]),
            covariance=covariance,
            resolving_power=stack.power,
        )


def _rows(data: Sequence[SpectrumData]) -> xr.Dataset:
    """Return single spectra as a native collection, without its labels."""
    import xarray as xr

    shape = (len(data), max(len(entry.wavelength) for entry in data))
    wave, fnu, error = np.full((3, *shape), np.nan)
    dq = np.full(shape, PixelDQ.OUTSIDE, dtype=np.uint8)
    for k, entry in enumerate(data):
        n = len(entry.wavelength)
        wave[k, :n], fnu[k, :n], error[k, :n] = entry.wavelength, entry.fnu, entry.fnu_err
        dq[k, :n] = np.where(entry.mask, np.uint8(PixelDQ.FLAGGED_IN_FILE), np.uint8(0))
    values = {"fnu": fnu, "fnu_err": error, "dq": dq}
    return xr.Dataset(
        {name: (NATIVE, array) for name, array in values.items()}, {"wavelength": (NATIVE, wave)}
    )


def _agreed(values: Sequence[Any]) -> Any:
    """Return the value all share, or None."""
    first = values[0]
    return first if all(type(v) is type(first) and v == first for v in values) else None


# Exposures of one input: not those of the stack, even where all inputs agree.
_OF_ONE = ("EFFEXPTM", "EXPTIME", "TEXPTIME", "NCOMBINE")


def _header(
    data: Sequence[SpectrumData], options: StackOptions, sources: FloatArray | None
) -> dict[str, Any]:
    """Return the cards on which all inputs agree, their total exposure time, and what was done to them."""
    first = data[0].header
    shared = {
        key: value
        for key, value in first.items()
        if key != "HISTORY" and all(entry.header.get(key) == value for entry in data[1:])
    }
    for key in _OF_ONE:
        shared.pop(key, None)
    known = [seconds for entry in data if (seconds := exposure_time(entry.header)) is not None]
    if len(known) == len(data):
        shared["EFFEXPTM"] = sum(known)
    of_each = [
        [line for line in as_lines(entry.header.get("HISTORY")) if line.startswith(CALIBRATED)]
        for entry in data
    ]
    if any(of_each):
        shared["NCALIB"] = sum(map(bool, of_each))
    names = [entry.spectrum_id for entry in data]
    calibrated = [line for lines in of_each for line in lines]
    return {**shared, **stack_cards(len(data), names, options, sources, calibrated)}
