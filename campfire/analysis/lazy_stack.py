"""Stacks of collections: the spectra of one grating, or of several on one grid, as one; lazy if they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from campfire.analysis.calibrate import MAX_DENSE_PIXELS
from campfire.analysis.inputs import as_grid, as_window, warn_left_out
from campfire.analysis.lazy_combine import ROWS, clipped, combine_rows, to_errors
from campfire.analysis.lazy_rows import PlainRows, TermRows
from campfire.analysis.matching import matching_sigma
from campfire.collection.blocks import check_collection, flam_of, over_rows, sum_rows
from campfire.collection.coords import gratings_of
from campfire.collection.correlation import (
    band_width,
    flat_covariance,
    longest_row,
    pixel_reach,
    row_wavelength,
)
from campfire.convert import append_history, dump_header
from campfire.convert.covariance import COVARIANCE_ATTRS
from campfire.convert.dataset import lsf_coordinate, text_scalar
from campfire.errors import ValidationError
from campfire.kernels.combine import find_combiner
from campfire.kernels.grids import check_grid
from campfire.schema import GRIDDED, SCHEMA_VERSION, SPECTRUM, PixelDQ, attrs_of

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.typing import FloatArray

__all__ = ["stack_collection"]

_FLOAT = np.dtype(np.float64)
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

    The numbers are those of :func:`campfire.analysis.stack.stack_spectra` on the same spectra, to rounding.
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
        and the error of that mean goes into the stack. Rows that do not cover half of the range, or have no
        positive mean there, are left out with a warning; to know them, the levels of all rows are computed at
        once, also of a lazy collection.
    sigma_clip
        Reject values further than this many sigmas from the median of their pixel.
    object_id
        Used in the name of the stack.
    rng
        Seed or generator: errors are then the scatter of 200 stacks of spectra drawn with replacement.
    match_resolution
        Smooth all rows to the lowest resolving power of the gratings among them, wavelength by wavelength,
        before stacking.

    Returns
    -------
    xarray.Dataset
        One spectrum, ``stack:<grating>:<n>spectra`` of n rows, with the numbers of spectra behind
        (``n_used``) and taken out of (``rejected``) every pixel, and ``fnu_cov`` (wavelength, lag), the
        covariance of its pixels. The header lists the inputs; NSTACK is their number. Rows on a grid bring
        the covariance they have (``fnu_cov``); without it their pixels count as independent, which the
        history says. A normalised stack of more than 2048 pixels, all correlated, has no ``fnu_cov``.

    Raises
    ------
    ValidationError
        For no spectra, mixed gratings without a grid, unknown redshifts, or options out of range.

    Warns
    -----
    CampfireWarning
        When ``fnu_cov`` is computed, if rows have pixels more than twice as wide as those of the row with
        most pixels, and correlate more pixels of the stack than it holds.
    """
    state = check_collection(ds)
    total = ds.sizes["spectrum"]
    if not total:
        raise ValidationError("a stack of nothing", hint="the collection holds no spectra")
    find_combiner(method)
    if sigma_clip is not None and not sigma_clip > 0:
        raise ValidationError(f"sigma_clip={sigma_clip!r}", hint="pass a positive number, or None")
    gratings = tuple(sorted(set(gratings_of(ds))))
    if len(gratings) > 1 and (grid is None or isinstance(grid, str)):
        raise ValidationError(
            f"spectra of different gratings: {', '.join(gratings)}",
            hint="stack each grating by itself, or pass grid=",
        )
    if match_resolution:
        matching_sigma(np.ones(1), gratings[0], gratings)  # all have to be known, even where one is no change
    match = match_resolution and len(gratings) > 1
    shifts = _redshifts(ds, redshift)
    window = None if normalize is None else as_window(normalize)
    if window is not None:
        levels = TermRows(None, gratings, match) if match else PlainRows(None)
        kept = _with_level(ds, window, levels, _beside(ds, gratings, shifts))
        ds, shifts = ds.isel(spectrum=kept), None if shifts is None else shifts[kept]
    longest = _longest_rows(ds)
    centres = _grid(ds, grid, shifts, next(iter(longest.values())))
    stays = state == GRIDDED and shifts is None and np.array_equal(centres, ds["wavelength"].values)
    correlated = flat_covariance(ds)
    source: _Source = PlainRows(window)
    if match or not (correlated is None or (stays and window is None)):
        source = TermRows(window, gratings, match)
    beside = _beside(ds, gratings, shifts)
    if correlated is not None:
        beside.append(correlated)
    rows = over_rows(ds, partial(source.rows, grid=centres), ROWS, centres.size, *beside)
    kept_pixels = rows["good"] if sigma_clip is None else clipped(rows, sigma_clip)
    result = combine_rows(rows, kept_pixels, method, rng)
    if window is None or centres.size <= MAX_DENSE_PIXELS:
        if window is not None:
            width = centres.size  # the level correlates all pixels
        elif correlated is not None and stays:
            width = ds.sizes["lag"]
        else:
            width = _width(ds, source, longest, centres, shifts)
        function = partial(source.covariance, grid=centres, method=method, width=width)
        raw = sum_rows(ds, function, (centres.size, width), *beside, rows["error"], kept_pixels)
        result = {**result, "fnu_cov": to_errors(raw, result["fnu_err"])}
    cards = _cards(ds, method, "observed" if shifts is None else "rest", window, sigma_clip)
    grating = "+".join(gratings)
    name = f"stack:{object_id}:{grating}" if object_id else f"stack:{grating}:{total}spectra"
    return _dataset(ds, centres, result, cards, name, grating)


def _cards(
    ds: xr.Dataset, method: str, frame: str, window: tuple[float, float] | None, clip: float | None
) -> dict[str, Any]:
    """Return the header of the stack of all rows."""
    cards: dict[str, Any] = {"NSTACK": ds.sizes["spectrum"], "STACKMTH": method, "STACKFRM": frame}
    if window is not None:
        cards["STACKNRM"] = f"{window[0]:g}-{window[1]:g} um"
    if clip is not None:
        cards["STACKCLP"] = float(clip)
    names = ds["spectrum_id"].values.tolist() if "spectrum_id" in ds.coords else []
    cards["HISTORY"] = [f"stack of {cards['NSTACK']} spectra, {method}, resampled once, conserving flux"]
    cards["HISTORY"] += [f"input: {name}" for name in names]
    return cards


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
    source: _Source,
    longest: Mapping[str, FloatArray],
    grid: FloatArray,
    shifts: FloatArray | None,
) -> int:
    """Return the number of bands that hold the covariance of the stack."""
    pixels = []
    for name, wave in longest.items():
        reach = pixel_reach(wave, ds.sizes.get("lag", 1))
        if isinstance(source, TermRows) and source.match:
            reach = reach + _TAILS * matching_sigma(wave, name, source.gratings)
        pixels.append((wave, reach))
    return band_width(pixels, grid, shifts)


def _redshifts(ds: xr.Dataset, redshift: Any) -> FloatArray | None:
    """Return one redshift a row, or None."""
    if redshift is None:
        return None
    n_rows = ds.sizes["spectrum"]
    if isinstance(redshift, str):
        if redshift not in ds.coords or ds[redshift].dims != ("spectrum",):
            raise ValidationError(
                f"no coordinate {redshift!r} a spectrum", hint="pass one redshift a spectrum"
            )
        redshift = ds[redshift].values
    elif isinstance(redshift, Mapping):
        redshift = [redshift.get(name, np.nan) for name in ds["spectrum_id"].values.tolist()]
    try:
        values = np.asarray(redshift, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValidationError(f"redshift={redshift!r}", hint="pass one number a spectrum") from err
    values = np.full(n_rows, float(values)) if values.ndim == 0 else values
    if values.shape != (n_rows,):
        raise ValidationError(
            f"{values.size} redshifts for {n_rows} spectra", hint="pass one redshift a spectrum"
        )
    unknown = ~(np.isfinite(values) & (values > -1))
    if unknown.any():
        raise ValidationError(
            f"{int(unknown.sum())} of {n_rows} spectra have no redshift above -1",
            hint="leave them out first: .campfire.select(redshift_range=(0, None))",
        )
    return values


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

    bad = np.uint8(PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR)
    values = {
        "fnu": result["fnu"],
        "fnu_err": result["fnu_err"],
        "flam": flam_of(result["fnu"], grid),
        "flam_err": flam_of(result["fnu_err"], grid),
        "dq": (result["n_used"] == 0).astype(np.uint8) * bad,
    }
    data: dict[str, Any] = {
        key: (SPECTRUM, array, attrs_of(key) | ({"origin": "computed"} if key.startswith("flam") else {}))
        for key, array in values.items()
    }
    data["n_used"] = (SPECTRUM, result["n_used"], {"long_name": "number of spectra behind the pixel"})
    data["rejected"] = (SPECTRUM, result["rejected"], {"long_name": "number of spectra clipped"})
    if "fnu_cov" in result:
        data["fnu_cov"] = (("wavelength", "lag"), result["fnu_cov"], dict(COVARIANCE_ATTRS))
    attrs: dict[str, Any] = {"campfire_schema": SCHEMA_VERSION, "fits_header": dump_header(cards)}
    redshift = 0.0 if cards["STACKFRM"] == "rest" else _agreed(ds)
    if redshift is not None:
        attrs["redshift"] = redshift
    stacked = xr.Dataset(
        data,
        {
            "wavelength": (SPECTRUM, grid, attrs_of("wavelength")),
            **lsf_coordinate(grating, grid, redshift),
            "spectrum_id": ((), text_scalar(name)),
            "grating": ((), text_scalar(grating)),
        },
        attrs,
    )
    if "history" in ds.attrs:
        stacked.attrs["history"] = ds.attrs["history"]
    step = (
        f"stacked {cards['NSTACK']} spectra, {cards['STACKMTH']}, {cards['STACKFRM']} frame, resampled once"
    )
    if ds["fnu"].dims == GRIDDED and "fnu_cov" not in ds:
        step += "; pixels of the inputs, on a grid already, taken as independent"
    if "fnu_cov" not in result:
        step += "; covariance not kept, of more pixels than fit"
    return append_history(stacked, step)


def _agreed(ds: xr.Dataset) -> float | None:
    """Return the redshift that all rows share, or None."""
    if "redshift" not in ds.coords:
        return None
    values = np.unique(np.asarray(ds["redshift"].values, dtype=np.float64))
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) else None
