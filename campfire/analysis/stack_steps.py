"""One stack of many rows, whoever asks for it: which rows, on which grid, combined how, with which errors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.inputs import warn_apart, warn_left_out
from campfire.analysis.stack_combining import (
    ROWS,
    StackErrors,
    clipped,
    combine_columns,
    combine_rows,
    to_errors,
)
from campfire.analysis.stack_grids import covering_grid, distinct_rows
from campfire.analysis.stack_resampling import (
    Frame,
    Parts,
    Recipe,
    block_levels,
    block_ranges,
    block_rows,
    block_sum,
    good_ranges,
    in_frame,
    mean_levels,
    on_grid,
    weighted_covariance,
)
from campfire.analysis.stack_resolution import (
    Lowest,
    Power,
    lowest_power,
    matching_sigma,
    row_powers,
    stack_power,
)
from campfire.collection.blockwise import dask_array, is_lazy, over_rows, row_arrays, sum_rows
from campfire.collection.covariance import band_width, frames, longest_row, pixel_reach, row_wavelength
from campfire.errors import ValidationError
from campfire.kernels.grids import check_grid
from campfire.schema import GRIDDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from campfire.analysis.stack_header import StackOptions
    from campfire.typing import FloatArray, IntArray

__all__ = ["Inputs", "Stack", "make_stack"]

_FLOAT = np.dtype(np.float64)
_MOST_LABELS = 64  # measurements kept apart even if only one row knows them
_TAILS = 6.0  # standard deviations to which smoothing correlates


class Inputs(NamedTuple):
    """Rows of a stack, native or gridded, and what is known of each.

    ``names`` are their ids; ``redshift`` moves them to the frame of the stack, None for that as observed;
    ``dispersers`` are names or resolving powers by ``code``; ``known`` is the covariance of their pixels, as
    :class:`campfire.analysis.stack_resampling.Rows` takes it; ``objects`` tells which rows are of one object.
    """

    ds: xr.Dataset
    names: Sequence[str]
    redshift: FloatArray | None
    dispersers: tuple[str | Power, ...]
    code: IntArray
    known: list[Any]
    objects: IntArray

    @property
    def beside(self) -> list[Any]:
        """What goes with the pixels of every row."""
        return [np.zeros(len(self.code)) if self.redshift is None else self.redshift, self.code]

    def take(self, rows: NDArray[np.intp]) -> Inputs:
        """Return some of the rows."""
        if len(rows) == len(self.code):
            return self
        return Inputs(
            self.ds.isel(spectrum=rows),
            [self.names[k] for k in rows] if len(self.names) else self.names,
            None if self.redshift is None else self.redshift[rows],
            self.dispersers,
            self.code[rows],
            [values[rows] for values in self.known],
            self.objects[rows],
        )


class Stack(NamedTuple):
    """A stack of m pixels, lazy if its rows are.

    ``measurements`` are those that modes of ``errors`` come from, empty for modes of the stack alone;
    ``rows`` are those that went in, and ``frame`` is what they are before resampling, None for lazy ones.
    """

    grid: FloatArray
    fnu: Any
    errors: StackErrors
    n_used: Any
    rejected: Any
    measurements: list[str]
    power: Any
    rows: NDArray[np.intp]
    frame: Frame | None


def make_stack(
    inputs: Inputs, options: StackOptions, grid: FloatArray | None, *, rest: bool, whole: bool
) -> Stack:
    """Stack rows.

    Parameters
    ----------
    inputs
        The rows.
    options
        How they are stacked.
    grid
        Pixel centres in microns, in the frame of the stack; by default those of the row with most pixels, and
        for rows of several redshifts :func:`campfire.analysis.stack_grids.covering_grid`.
    rest
        Whether rows are in the rest frame already, so that resolving powers of dispersers tell nothing.
    whole
        Whether all bands and measurements of the covariance are kept, however many: those of single spectra.

    Raises
    ------
    ValidationError
        If no row has a level to be divided by, or the resolving power of a disperser is not known.

    Warns
    -----
    CampfireWarning
        For rows left out, there twice, or coarser than they were, and for a grid outside all rows.
    """
    used = distinct_rows(inputs.ds, inputs.names, inputs.redshift, stacklevel=4)
    inputs = inputs.take(used)
    lazy, window = is_lazy(inputs.ds), options.window
    match = _lowest(inputs) if options.match else None
    gridded = inputs.ds["fnu"].dims == GRIDDED and (
        grid is None or np.array_equal(grid, inputs.ds["wavelength"].values)
    )
    still = gridded and inputs.redshift is None and match is None
    recipe = Recipe(inputs.dispersers, match, window, still and window is None and len(inputs.known) == 1)
    frame = None
    if not lazy:
        frame = in_frame(*row_arrays(inputs.ds), *inputs.beside, *inputs.known, recipe=recipe)
    if window is not None:
        if frame is None:
            function = partial(block_levels, recipe=recipe)
            level = np.asarray(over_rows(inputs.ds, function, {"level": _FLOAT}, 1, *inputs.beside)["level"])
        else:
            level = mean_levels(frame, window)[0]
        levelled = _with_level(level.ravel(), inputs.names, window)
        inputs, used = inputs.take(levelled), used[levelled]
        frame = frame if frame is None else frame.take(levelled)
    longest = {} if whole else _longest_rows(inputs)
    centres = _default_grid(inputs, longest, frame) if grid is None else grid
    _warn_apart(inputs, centres, longest, frame)
    parts = _parts(inputs, window, centres.size, whole)
    width = 1 if whole else _width(inputs, match, longest, centres)
    if inputs.known and still and "lag" in inputs.ds.sizes:
        width = inputs.ds.sizes["lag"]
    beside = [*inputs.beside, *inputs.known]
    if frame is None:
        function = partial(block_rows, recipe=recipe, grid=centres)
        rows = over_rows(inputs.ds, function, ROWS, centres.size, *beside)
    else:
        found = on_grid(frame, centres, window)
        frame, rows = found.frame, found.rows()
    sampling = options.sampling(inputs.objects)
    kept = rows["good"] if options.clip is None else clipped(rows, options.clip)
    if frame is None:
        result = combine_rows(rows, kept, options.method, sampling)
        total = partial(
            block_sum, recipe=recipe, grid=centres, method=options.method, width=width, parts=parts
        )
        shape = (centres.size, width + parts.columns(centres.size))
        raw = sum_rows(inputs.ds, total, shape, *beside, kept)
    else:
        result = combine_columns(found.flux, found.error, found.good, kept, options.method, sampling)
        raw = weighted_covariance(found, centres, kept, options.method, width, parts)
    errors = to_errors(raw, result["fnu_err"], parts)
    power = None
    if not rest:
        row_values = (*inputs.beside, rows["error"], kept)
        power = stack_power(inputs.ds, inputs.dispersers, match, centres, options.method, row_values)
    measurements = [""] * parts.most + list(parts.labels)
    return Stack(
        centres, result["fnu"], errors, result["n_used"], result["rejected"], measurements, power, used, frame
    )


def _lowest(inputs: Inputs) -> Lowest | None:
    """Return the resolving power that rows are smoothed to; None where all have the same."""
    powers = row_powers(inputs.dispersers, *inputs.beside[::-1])
    for power in dict.fromkeys(power.grating for power in powers if power.table is None):
        Power(power).at(np.ones(1))  # all have to be known, even where one is no change
    if all(power.table is None and power == powers[0] for power in powers):
        return None
    return lowest_power(powers, zip(*(ends.tolist() for ends in _ranges(inputs)), strict=True))


def _with_level(level: FloatArray, names: Sequence[str], window: tuple[float, float]) -> NDArray[np.intp]:
    """Return which rows have a level to be divided by."""
    usable = level > 0
    if not usable.any():
        raise ValidationError(
            f"no spectrum has a positive mean flux at {window[0]:g}-{window[1]:g} um",
            hint="choose a range, in the frame of the stack, that the spectra cover",
        )
    if not usable.all():
        left = np.flatnonzero(~usable).tolist()
        warn_left_out(
            [str(names[k]) if len(names) else str(k) for k in left], len(level), window, stacklevel=5
        )
    return np.flatnonzero(usable)


def _longest_rows(inputs: Inputs) -> dict[int, FloatArray]:
    """Return the wavelengths of the row of each disperser with most pixels: all that is read beforehand."""
    ds, code = inputs.ds, inputs.code
    return {
        k: row_wavelength(ds, longest_row(ds, np.flatnonzero(code == k))) for k in np.unique(code).tolist()
    }


def _default_grid(inputs: Inputs, longest: Mapping[int, FloatArray], frame: Frame | None) -> FloatArray:
    """Return the pixels of the row with most of them, or in the rest frame those that hold all rows."""
    ds, row = inputs.ds, longest_row(inputs.ds)
    read = longest.get(int(inputs.code[row]))
    observed = check_grid(row_wavelength(ds, row) if read is None else read, "wavelength")
    if inputs.redshift is None:
        return observed
    if len(set(inputs.redshift.tolist())) > 1:
        low, high = _ranges(inputs) if frame is None else good_ranges(frame)
        with_data = low <= high
        if with_data.any():
            found = (values[with_data] for values in (inputs.redshift, low, high))
            return covering_grid(observed, *found, stacklevel=5)
    return np.asarray(observed * (1.0 / (1.0 + inputs.redshift[row])))


def _ranges(inputs: Inputs) -> tuple[FloatArray, FloatArray]:
    """Return the first and last wavelength of the good pixels of every row, also of lazy ones."""
    found = over_rows(inputs.ds, block_ranges, {"low": _FLOAT, "high": _FLOAT}, 1, *inputs.beside)
    if is_lazy(inputs.ds):
        found = dict(zip(found, dask_array().compute(*found.values()), strict=True))
    return found["low"][:, 0], found["high"][:, 0]


def _warn_apart(
    inputs: Inputs, grid: FloatArray, longest: Mapping[int, FloatArray], frame: Frame | None
) -> None:
    """Warn of a grid outside all good pixels; where these are not read yet, only far outside."""
    if frame is not None:
        wave = np.broadcast_to(frame.wave, frame.good.shape)[frame.good]
        low, high = float(wave.min(initial=np.inf)), float(wave.max(initial=-np.inf))
    else:
        stretch = 1.0 / (1.0 + frames(inputs.redshift))
        margin = 1.0 if inputs.ds["wavelength"].ndim == 1 else 2.0
        low = min(float(wave[0]) for wave in longest.values()) * float(stretch.min()) / margin
        high = max(float(wave[-1]) for wave in longest.values()) * float(stretch.max()) * margin
    warn_apart(grid, low, high, stacklevel=5)


def _parts(inputs: Inputs, window: tuple[float, float] | None, m: int, whole: bool) -> Parts:
    """Return what is known of the covariance of rows beyond neighbouring pixels."""
    own, labels = 0, np.zeros(0, dtype=object)
    if len(inputs.known) > 1:
        signs, labels = inputs.known[1:]
        own = int(np.count_nonzero((signs != 0) & (labels == "")))
        labels = labels[labels != ""]
    elif whole and inputs.known:
        of_rows = [label for matrix in inputs.known[0] if matrix is not None for label in matrix.labels]
        own, labels = of_rows.count(""), np.array([label for label in of_rows if label], dtype=object)
    names, rows = np.unique(labels.astype(str), return_counts=True)
    kept = names if whole or len(names) <= _MOST_LABELS else names[rows > 1]
    loose = len(names) - len(kept)
    rank = own + loose + 2 * len(inputs.code) * (window is not None)
    return Parts(
        far=window is not None or own > 0 or loose > 0,
        loose=loose > 0,
        measured=len(names) > 0,
        labels=tuple(kept.tolist()),
        most=min(m, rank),
    )


def _width(inputs: Inputs, match: Lowest | None, longest: Mapping[int, FloatArray], grid: FloatArray) -> int:
    """Return the number of bands that hold the covariance of the stack."""
    lags = inputs.ds.sizes.get("lag", 1)
    rows = [(inputs.dispersers[k], wave, pixel_reach(wave, lags)) for k, wave in longest.items()]
    if match is None:
        return band_width([(wave, reach) for _, wave, reach in rows], grid, inputs.redshift)
    pixels = []
    for z in frames(inputs.redshift):
        for name, wave, reach in rows:
            own = wave / (1.0 + z)
            power = name if isinstance(name, Power) else Power(name, z)
            wider = reach / (1.0 + z) + _TAILS * matching_sigma(own, power, match)
            pixels.append((own, wider))
    return band_width(pixels, grid)
