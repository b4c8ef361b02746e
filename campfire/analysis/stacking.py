"""Stacking: spectra on one grid, combined pixel by pixel, with errors that know what is shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from campfire.analysis.calibration import CALIBRATED, CalibrationResult, calibrate_to_photometry
from campfire.analysis.frames import as_redshifts, check_frames, source_redshifts
from campfire.analysis.given_spectra import (
    as_grid,
    as_lines,
    as_spectra,
    as_window,
    check_stacking,
    warn_apart,
    warn_left_out,
)
from campfire.analysis.stack_arithmetic import Stacked, combine
from campfire.analysis.stack_header import StackOptions, stack_cards
from campfire.analysis.stack_inputs import Terms
from campfire.analysis.stack_resolution import Power, good_range, lowest_power, match_terms, stack_power
from campfire.errors import ValidationError
from campfire.formats.exposure import exposure_time
from campfire.kernels.combine import find_combiner
from campfire.models import SpectrumData
from campfire.text import printed
from campfire.units import FLAM_UNIT, FNU_UNIT, RELATIVE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from campfire.analysis.calibration import CalibrationMethod
    from campfire.analysis.given_spectra import SpectraLike
    from campfire.models import Photometry
    from campfire.typing import FloatArray, IntArray

__all__ = ["StackMethod", "StackResult", "calibrate_and_stack", "stack_spectra"]

StackMethod: TypeAlias = Literal["weighted_mean", "mean", "median"]

_STACK_OPTIONS = ("redshift", "normalize", "sigma_clip", "rng", "match_resolution")


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
    frame_inputs: list[Terms]
    redshifts: FloatArray

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
            inputs=[(terms.wavelength, terms.flux, ~terms.good) for terms in self.frame_inputs],
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
        Pixel centres in microns, in the frame of the stack. By default those of the input with most pixels;
        spectra of different gratings are only stacked on a grid that is given.
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
    match_resolution
        Smooth all spectra to the lowest resolving power, wavelength by wavelength in the frame of the stack,
        among those that have good pixels there, before stacking (and before any is left out by
        ``normalize``).

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
        For spectra left out, and for a grid that lies outside all spectra.

    Examples
    --------
    >>> wave = np.linspace(1.0, 2.0, 5)
    >>> a = SpectrumData(wave, np.ones(5), np.full(5, 0.1), {}, "PRISM", "a")
    >>> b = SpectrumData(wave, np.full(5, 3.0), np.full(5, 0.1), {}, "PRISM", "b")
    >>> stacked = stack_spectra([a, b])
    >>> stacked.spectrum_id, float(stacked.fnu[2]), round(float(stacked.fnu_err[2]), 4)
    ('stack:PRISM:2spectra', 2.0, 0.0707)
    """
    inputs = _inputs(spectra)
    return _stack(
        inputs, method, wavelength_grid, object_id, redshift, normalize, sigma_clip, rng, match_resolution
    )[0]


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
        ``normalize``, ``sigma_clip``, ``rng``, ``match_resolution`` of :func:`stack_spectra`.

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
        inputs = [_Input(data, Terms.of(data)) for data in originals]
    else:
        calibrations = [
            calibrate_to_photometry(data, photometry, method, **calibration_options) for data in originals
        ]
        inputs = [_Input(result.spectrum, Terms.of(result.spectrum)) for result in calibrations]
    options: dict[str, Any] = {**dict.fromkeys(_STACK_OPTIONS), "match_resolution": False} | stacking
    shifts = as_redshifts(options["redshift"], len(inputs))
    spectrum, stacked, terms = _stack(inputs, stacking_method, wavelength_grid, object_id, **options)
    return StackResult(
        spectrum,
        calibrations,
        [entry.data for entry in inputs],
        stacking_method,
        stacked.n_used,
        stacked.rejected,
        terms,
        np.zeros(len(inputs)) if shifts is None else shifts,
    )


class _Input(NamedTuple):
    """A spectrum of the stack: what is known about it, and its arrays."""

    data: SpectrumData
    terms: Terms


def _inputs(spectra: Any) -> list[_Input]:
    if isinstance(spectra, CalibrationResult):
        spectra = [spectra]
    if isinstance(spectra, list | tuple):
        spectra = [item.spectrum if isinstance(item, CalibrationResult) else item for item in spectra]
    return [_Input(data, Terms.of(data)) for data in as_spectra(spectra)]


def _stack(
    inputs: list[_Input],
    method: str,
    wavelength_grid: ArrayLike | None,
    object_id: str | None,
    redshift: Any,
    normalize: tuple[float, float] | None,
    sigma_clip: float | None,
    rng: Any,
    match_resolution: bool,
) -> tuple[SpectrumData, Stacked, list[Terms]]:
    combiner = check_stacking(method, object_id, sigma_clip, rng, match_resolution)
    gratings = sorted({entry.data.grating for entry in inputs})
    if len(gratings) > 1 and wavelength_grid is None:
        raise ValidationError(
            f"spectra of different gratings: {', '.join(gratings)}",
            hint="stack each grating by itself, or pass wavelength_grid=",
        )
    terms, data = [entry.terms for entry in inputs], [entry.data for entry in inputs]
    shifts = as_redshifts(redshift, len(inputs))
    frames = check_frames(data, "stacking", shifts)
    sources = source_redshifts(frames, shifts)
    moved = np.zeros(len(inputs)) if shifts is None else shifts
    if shifts is not None:
        terms = [entry.rest_frame(z) for entry, z in zip(terms, shifts, strict=True)]
    origins = zip(data, moved.tolist(), moved if sources is None else sources, strict=True)
    powers = [Power.of(entry, z, float(source)) for entry, z, source in origins]
    lowest = None
    if match_resolution:
        lowest = lowest_power(powers, [good_range(entry) for entry in terms])
        terms = match_terms(terms, powers, lowest)
    window = None if normalize is None else as_window(normalize)
    if window is not None:
        kept = _normalise(terms, data, window)
        rows = [k for k, _ in kept]
        terms, data, powers = [entry for _, entry in kept], [data[k] for k in rows], [powers[k] for k in rows]
        sources = None if sources is None else sources[rows]
    if wavelength_grid is None:
        grid = max(terms, key=lambda entry: len(entry.wavelength)).wavelength
    else:
        grid = as_grid(wavelength_grid, "wavelength_grid")
    stacked = combine(terms, grid, combiner, sigma_clip, rng)
    if not stacked.n_used.any():
        low, high = np.array([good_range(entry) for entry in terms]).T
        warn_apart(grid, float(low.min()), float(high.max()), stacklevel=4)
    options = StackOptions(method, window, sigma_clip, rng, match_resolution)
    grating = "+".join(gratings)
    name = f"stack:{object_id}:{grating}" if object_id else f"stack:{grating}:{len(data)}spectra"
    relative = window is not None or frames[0].relative
    spectrum = SpectrumData(
        grid,
        stacked.flux,
        stacked.error,
        _header(data, options, sources),
        grating,
        name,
        fnu_units=RELATIVE if relative else FNU_UNIT,
        flam_units=RELATIVE if relative else FLAM_UNIT,
        mask=stacked.n_used == 0,
        redshift=0.0 if sources is not None else _agreed([entry.redshift for entry in data]),
        covariance=stacked.covariance,
        resolving_power=stack_power(powers, lowest, grid, stacked.weights),
    )
    return spectrum, stacked, terms


def _normalise(
    terms: list[Terms], data: list[SpectrumData], window: tuple[float, float]
) -> list[tuple[int, Terms]]:
    low, high = window
    kept = []
    for k, entry in enumerate(terms):
        level, weights = entry.mean(low, high)
        if level > 0:
            kept.append((k, entry.normalised(level, weights)))
    if not kept:
        raise ValidationError(
            f"no spectrum has a positive mean flux at {low:g}-{high:g} um",
            hint="choose a range, in the frame of the stack, that the spectra cover",
        )
    if len(kept) < len(terms):
        left = {k for k, _ in kept}
        names = [data[k].spectrum_id for k in range(len(terms)) if k not in left]
        warn_left_out(names, len(terms), window, stacklevel=5)
    return kept


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
