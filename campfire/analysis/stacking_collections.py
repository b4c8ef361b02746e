"""Stacks of collections: the spectra of one grating, or of several on one grid, as one; lazy if they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from campfire.analysis.calibration import CALIBRATED
from campfire.analysis.frames import as_redshifts, check_frames, frame_of, source_redshifts
from campfire.analysis.given_spectra import as_grid, as_window, check_stacking, warn_apart, warn_left_out
from campfire.analysis.stack_combining import ROWS, clipped, combine_rows, to_errors
from campfire.analysis.stack_header import StackOptions, stack_cards
from campfire.analysis.stack_power import power_of_stack
from campfire.analysis.stack_resolution import Lowest, Power, lowest_power, matching_sigma
from campfire.analysis.stack_rows import Parts, PlainRows, TermRows, row_ranges
from campfire.collection.blocks import check_collection, dask_array, flam_of, is_lazy, over_rows, sum_rows
from campfire.collection.coords import gratings_of
from campfire.collection.correlation import (
    band_width,
    correlations,
    frames,
    longest_row,
    pixel_reach,
    row_wavelength,
)
from campfire.convert import append_history, dump_header
from campfire.convert.covariance import COVARIANCE_ATTRS, MODE_ATTRS
from campfire.convert.dataset import REST_WAVELENGTH
from campfire.errors import ValidationError
from campfire.kernels.grids import check_grid
from campfire.kernels.lsf import resolving_power
from campfire.schema import GRIDDED, SCHEMA_VERSION, SPECTRUM, PixelDQ, attrs_of, in_rest_frame
from campfire.text import text_variable
from campfire.units import RELATIVE

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.typing import FloatArray

__all__ = ["stack_collection"]

_FLOAT = np.dtype(np.float64)
_MOST_LABELS = 64  # measurements kept apart even if only one row knows them
_TAILS = 6.0  # standard deviations to which smoothing correlates

_Source: TypeAlias = PlainRows | TermRows


def stack_collection(
    ds: xr.Dataset,
    method: str = "weighted_mean",
    grid: ArrayLike | str | None = None,
    redshift: Any = None,
    normalize: tuple[float, float] | None = None,
    sigma_clip: float | None = None,
    *,
    object_id: str | None = None,
    rng: int | np.random.Generator | None = None,
    match_resolution: bool = False,
) -> xr.Dataset:
    """Stack the spectra of a collection into one; lazy if the collection is.

    The numbers are those of :func:`campfire.stack_spectra` on the same spectra, to rounding.
    Means are made of small sums, so that a collection larger than memory can be stacked; the median, clipping
    and bootstrap errors bring whole columns together.

    Parameters
    ----------
    ds
        A collection, better native: spectra are resampled once, here.
    method
        ``"weighted_mean"`` (by inverse variance), ``"mean"`` or ``"median"``.
    grid
        Pixel centres in microns, in the frame of the stack; None or ``"common"`` takes those of the row with
        most pixels. Rows of different gratings are only stacked on a grid that is given.
    redshift
        Brings every spectrum to its rest frame (wavelength and f_nu divided by 1 + z): ``"redshift"``, or the
        name of another coordinate; one value a row; one for all; or spectrum id -> value.
    normalize
        (low, high) in microns, in the frame of the stack: every spectrum is divided by its mean f_nu there,
        and the error of that mean goes into the stack, whose fluxes are relative (unit 1). Rows that do not
        cover half of the range, or have no positive mean there, are left out with a warning; to know them,
        the levels of all rows are computed at once, also of a lazy collection.
    sigma_clip
        Reject values further than this many sigmas from the median of their pixel.
    object_id
        Used in the name of the stack.
    rng
        Seed or generator: errors are then the scatter of 200 stacks of spectra drawn with replacement, or
        the propagated ones where those are larger.
    match_resolution
        Smooth all rows to the lowest resolving power, wavelength by wavelength in the frame of the stack,
        among those that have good pixels there, before stacking. For several gratings or redshifts, where all
        rows have good pixels is found out at once, also of a lazy collection.

    Returns
    -------
    xarray.Dataset
        One spectrum, ``stack:<grating>:<n>spectra`` of the n rows used, with the numbers of spectra behind
        (``n_used``) and taken out of (``rejected``) every pixel, ``fnu_cov`` (wavelength, lag), the
        covariance of its pixels, and the coordinate ``resolving_power``, that of the weighted sum. The header
        says how it was made and lists the inputs; NSTACK is their number. Rows on a grid bring
        the covariance they have (``fnu_cov``); without it their pixels count as independent, which the
        history says. What normalisation or calibration does to all pixels of a spectrum is in ``fnu_modes``
        (wavelength, mode); errors that rows got from the same photometric measurement do not average down.

    Raises
    ------
    ValidationError
        For no spectra, mixed gratings without a grid, unknown redshifts, options out of range, or a redshift
        other than 0 for spectra in the rest frame.

    Warns
    -----
    CampfireWarning
        When ``fnu_cov`` is computed, if rows have pixels more than twice as wide as those of the row with
        most pixels, and correlate more pixels of the stack than it holds. For rows left out, and for a grid
        that lies outside all rows (of lazy ones: far outside the rows with most pixels).
    """
    state = check_collection(ds)
    total = ds.sizes["spectrum"]
    if not total:
        raise ValidationError("a stack of nothing", hint="the collection holds no spectra")
    check_stacking(method, object_id, sigma_clip, rng, match_resolution)
    gratings = tuple(sorted(set(gratings_of(ds))))
    if len(gratings) > 1 and (grid is None or isinstance(grid, str)):
        raise ValidationError(
            f"spectra of different gratings: {', '.join(gratings)}",
            hint="stack each grating by itself, or pass grid=",
        )
    shifts = _redshifts(ds, redshift)
    (frame,) = check_frames([ds], "stacking", shifts)
    if frame.rest:
        shifts = None
        if match_resolution:
            raise ValidationError(
                "resolving powers of a collection in the rest frame are not known",
                hint="stack the spectra as observed, with redshift=",
            )
    match = _lowest(ds, gratings, shifts) if match_resolution else None
    window = None if normalize is None else as_window(normalize)
    options = StackOptions(method, window, sigma_clip, rng, match_resolution)
    if window is not None:
        levels = PlainRows(None) if match is None else TermRows(None, gratings, match)
        kept = _with_level(ds, window, levels, _beside(ds, gratings, shifts))
        ds, shifts = ds.isel(spectrum=kept), None if shifts is None else shifts[kept]
    longest = _longest_rows(ds)
    centres = _grid(ds, grid, shifts, next(iter(longest.values())))
    _warn_apart(ds, centres, longest, shifts)
    stays = state == GRIDDED and shifts is None and np.array_equal(centres, ds["wavelength"].values)
    correlated = correlations(ds)
    parts = _parts(correlated, window, centres.size, ds.sizes["spectrum"])
    source: _Source = PlainRows(window)
    if match is not None or len(correlated) > 1 or (correlated and not (stays and window is None)):
        source = TermRows(window, gratings, match, parts)
    beside = [*_beside(ds, gratings, shifts), *correlated]
    rows = over_rows(ds, partial(source.rows, grid=centres), ROWS, centres.size, *beside)
    kept_pixels = rows["good"] if sigma_clip is None else clipped(rows, sigma_clip)
    result = combine_rows(rows, kept_pixels, method, rng)
    if correlated and stays and "lag" in ds.sizes:
        width = ds.sizes["lag"]
    else:
        width = _width(ds, match, longest, centres, shifts)
    function = partial(source.covariance, grid=centres, method=method, width=width)
    shape = (centres.size, width + parts.columns(centres.size))
    raw = sum_rows(ds, function, shape, *beside, rows["error"], kept_pixels)
    errors = to_errors(raw, result["fnu_err"], width, parts)
    result = {**result, "fnu_err": errors.error, "fnu_cov": errors.bands}
    if errors.modes is not None:
        result |= {"fnu_modes": errors.modes, "mode_sign": errors.signs}
        result["measurement"] = [""] * parts.most + list(parts.labels)
    if not frame.rest:
        power = power_of_stack(ds, gratings, match, centres, method, *beside, rows["error"], kept_pixels)
        result |= {} if power is None else {"resolving_power": power}
    cards = _cards(ds, options, source_redshifts([frame] * ds.sizes["spectrum"], shifts))
    grating = "+".join(gratings)
    name = f"stack:{object_id}:{grating}" if object_id else f"stack:{grating}:{cards['NSTACK']}spectra"
    return _dataset(ds, centres, result, cards, name, grating)


def _lowest(ds: xr.Dataset, gratings: Sequence[str], shifts: FloatArray | None) -> Lowest | None:
    """Return the resolving power that rows are smoothed to; None where all have the same."""
    for name in gratings:
        resolving_power(name, np.ones(1))  # all have to be known, even where one is no change
    beside = _beside(ds, gratings, shifts)
    redshift, code = beside
    if len(gratings) == 1 and len(set(redshift.tolist())) == 1:
        return None
    found = over_rows(ds, row_ranges, {"low": _FLOAT, "high": _FLOAT}, 1, *beside)
    if is_lazy(ds):
        found = dict(zip(found, dask_array().compute(*found.values()), strict=True))
    powers = [Power(gratings[k], z) for k, z in zip(code, redshift.tolist(), strict=True)]
    return lowest_power(powers, np.hstack([found["low"], found["high"]]).tolist())


def _warn_apart(
    ds: xr.Dataset, grid: FloatArray, longest: Mapping[str, FloatArray], shifts: FloatArray | None
) -> None:
    """Warn of a grid outside all rows; where their wavelengths are not read yet, only far outside."""
    known = ds["wavelength"].chunks is None
    waves = [ds["wavelength"].values] if known else list(longest.values())
    stretch = np.ones(1) if shifts is None else 1.0 / (1.0 + shifts)
    margin = 1.0 if known else 2.0
    low = min(float(np.nanmin(wave, initial=np.inf)) for wave in waves) * float(stretch.min()) / margin
    high = max(float(np.nanmax(wave, initial=0.0)) for wave in waves) * float(stretch.max()) * margin
    warn_apart(grid, low, high, stacklevel=4)


def _cards(ds: xr.Dataset, options: StackOptions, sources: FloatArray | None) -> dict[str, Any]:
    """Return the header of the stack of all rows."""
    names = ds["spectrum_id"].values.tolist() if "spectrum_id" in ds.coords else []
    steps = str(ds.attrs.get("history", "")).splitlines()
    calibrated = [line for line in steps if line.startswith(CALIBRATED)]
    return stack_cards(ds.sizes["spectrum"], names, options, sources, calibrated)


def _with_level(
    ds: xr.Dataset, window: tuple[float, float], source: _Source, beside: list[Any]
) -> NDArray[np.intp]:
    """Return which rows have a level to be divided by."""
    function = partial(source.levels, window=window)
    level = np.asarray(over_rows(ds, function, {"level": _FLOAT}, 1, *beside)["level"])
    usable = level[:, 0] > 0
    if not usable.any():
        raise ValidationError(
            f"no spectrum has a positive mean flux at {window[0]:g}-{window[1]:g} um",
            hint="choose a range, in the frame of the stack, that the spectra cover",
        )
    if not usable.all():
        known = "spectrum_id" in ds.coords
        names = ds["spectrum_id"].values if known else np.arange(len(usable)).astype(str)
        warn_left_out(names[~usable].tolist(), len(usable), window, stacklevel=4)
    return np.flatnonzero(usable)


def _parts(correlated: Sequence[Any], window: tuple[float, float] | None, m: int, n_rows: int) -> Parts:
    """Return what is known of the covariance of rows beyond neighbouring pixels."""
    none = np.zeros((0, 0)), np.zeros((0, 0), dtype=object)
    signs, labels = correlated[1:] if len(correlated) > 1 else none
    names, rows = np.unique(labels[labels != ""].astype(str), return_counts=True)
    kept = names if len(names) <= _MOST_LABELS else names[rows > 1]
    loose = len(names) - len(kept)
    own = int(np.count_nonzero((signs != 0) & (labels == "")))
    rank = own + loose + 2 * n_rows * (window is not None)
    return Parts(
        far=window is not None or own > 0 or loose > 0,
        loose=loose > 0,
        measured=len(names) > 0,
        labels=tuple(kept.tolist()),
        most=min(m, rank),
    )


def _beside(ds: xr.Dataset, gratings: Sequence[str], shifts: FloatArray | None) -> list[Any]:
    """Return what goes with the pixels of every row: its redshift, and the number of its grating."""
    code = np.array([gratings.index(name) for name in gratings_of(ds)])
    return [np.zeros(len(code)) if shifts is None else shifts, code]


def _longest_rows(ds: xr.Dataset) -> dict[str, FloatArray]:
    """Return the wavelengths of the row of each grating with most pixels: all that is read beforehand."""
    gratings = np.array(gratings_of(ds))
    return {
        name: row_wavelength(ds, longest_row(ds, np.flatnonzero(gratings == name)))
        for name in sorted(set(gratings.tolist()))
    }


def _width(
    ds: xr.Dataset,
    match: Lowest | None,
    longest: Mapping[str, FloatArray],
    grid: FloatArray,
    shifts: FloatArray | None,
) -> int:
    """Return the number of bands that hold the covariance of the stack."""
    rows = [(name, wave, pixel_reach(wave, ds.sizes.get("lag", 1))) for name, wave in longest.items()]
    if match is None:
        return band_width([(wave, reach) for _, wave, reach in rows], grid, shifts)
    pixels = []
    for z in frames(shifts):
        for name, wave, reach in rows:
            own = wave / (1.0 + z)
            wider = reach / (1.0 + z) + _TAILS * matching_sigma(own, Power(name, z), match)
            pixels.append((own, wider))
    return band_width(pixels, grid)


def _redshifts(ds: xr.Dataset, redshift: Any) -> FloatArray | None:
    """Return one redshift a row, or None."""
    if redshift is None:
        return None
    if isinstance(redshift, str):
        if redshift not in ds.coords or ds[redshift].dims != ("spectrum",):
            raise ValidationError(
                f"no coordinate {redshift!r} a spectrum", hint="pass one redshift a spectrum"
            )
        redshift = ds[redshift].values
    elif isinstance(redshift, Mapping):
        redshift = [redshift.get(name, np.nan) for name in ds["spectrum_id"].values.tolist()]
    return as_redshifts(redshift, ds.sizes["spectrum"])


def _grid(
    ds: xr.Dataset, grid: ArrayLike | str | None, shifts: FloatArray | None, longest: FloatArray
) -> FloatArray:
    if grid is not None and not (isinstance(grid, str) and grid == "common"):
        if isinstance(grid, str):
            raise ValidationError(f"grid={grid!r}", hint="pass None, 'common', or an array of microns")
        return as_grid(grid, "grid")
    observed = check_grid(longest, "wavelength")
    return observed if shifts is None else np.asarray(observed * (1.0 / (1.0 + shifts[longest_row(ds)])))


def _dataset(
    ds: xr.Dataset,
    grid: FloatArray,
    result: Mapping[str, Any],
    cards: dict[str, Any],
    name: str,
    grating: str,
) -> xr.Dataset:
    import xarray as xr

    from campfire.convert.spectral_index import spectral_coordinates

    relative = {"units": RELATIVE} if "STACKNRM" in cards or frame_of(ds).relative else {}
    bad = np.uint8(PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR)
    values = {
        "fnu": result["fnu"],
        "fnu_err": result["fnu_err"],
        "flam": flam_of(result["fnu"], grid),
        "flam_err": flam_of(result["fnu_err"], grid),
        "dq": (result["n_used"] == 0).astype(np.uint8) * bad,
    }
    data: dict[str, Any] = {}
    for key, array in values.items():
        own = relative if key != "dq" else {}
        own = own | ({"origin": "computed"} if key.startswith("flam") else {})
        data[key] = (SPECTRUM, array, attrs_of(key) | own)
    data["n_used"] = (SPECTRUM, result["n_used"], {"long_name": "number of spectra behind the pixel"})
    data["rejected"] = (SPECTRUM, result["rejected"], {"long_name": "number of spectra clipped"})
    data["fnu_cov"] = (("wavelength", "lag"), result["fnu_cov"], COVARIANCE_ATTRS | relative)
    frame = {"long_name": REST_WAVELENGTH} if in_rest_frame(cards) else {}
    modes: dict[str, Any] = {}
    if "fnu_modes" in result:
        data["fnu_modes"] = (("wavelength", "mode"), result["fnu_modes"], MODE_ATTRS["fnu_modes"] | relative)
        modes["mode_sign"] = ("mode", result["mode_sign"], dict(MODE_ATTRS["mode_sign"]))
        modes["measurement"] = text_variable("mode", result["measurement"], MODE_ATTRS["measurement"])
    attrs: dict[str, Any] = {"campfire_schema": SCHEMA_VERSION, "fits_header": dump_header(cards)}
    redshift = 0.0 if cards["STACKFRM"] == "rest" else _agreed(ds)
    if redshift is not None:
        attrs["redshift"] = redshift
    power = {}
    if "resolving_power" in result:
        given = attrs_of("resolving_power") | {"origin": "given"}
        power["resolving_power"] = (SPECTRUM, result["resolving_power"], given)
    stacked = xr.Dataset(
        data,
        spectral_coordinates(
            {
                "wavelength": (SPECTRUM, grid, attrs_of("wavelength") | frame),
                **power,
                "spectrum_id": text_variable((), name),
                "grating": text_variable((), grating),
                **modes,
            }
        ),
        attrs,
    )
    if "history" in ds.attrs:
        stacked.attrs["history"] = ds.attrs["history"]
    step = (
        f"stacked {cards['NSTACK']} spectra, {cards['STACKMTH']}, {cards['STACKFRM']} frame, resampled once"
    )
    if ds["fnu"].dims == GRIDDED and "fnu_cov" not in ds:
        step += "; pixels of the inputs, on a grid already, taken as independent"
    return append_history(stacked, step)


def _agreed(ds: xr.Dataset) -> float | None:
    """Return the redshift that all rows share, or None."""
    if "redshift" not in ds.coords:
        return None
    values = np.unique(np.asarray(ds["redshift"].values, dtype=np.float64))
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) else None
