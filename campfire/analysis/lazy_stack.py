"""Stacks of collections: small sums of blocks joined in a tree; whole columns where a method needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.inputs import as_window, warn_left_out
from campfire.collection.blocks import check_collection, dask_array, flam_of, is_lazy, over_rows, steady
from campfire.collection.gridding import common_grid
from campfire.convert import append_history, dump_header
from campfire.convert.dataset import lsf_coordinate, text_scalar
from campfire.errors import ValidationError
from campfire.kernels.combine import Combiner, bootstrap, find_combiner
from campfire.kernels.combine import sigma_clip as clip_columns
from campfire.kernels.grids import check_grid, good_pixels, pixel_edges
from campfire.kernels.resample import resample
from campfire.schema import SCHEMA_VERSION, SPECTRUM, PixelDQ, attrs_of
from campfire.units import to_micron

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.typing import FloatArray

__all__ = ["stack_collection"]

_FLOAT = np.dtype(np.float64)
_ROWS: dict[str, np.dtype[Any]] = {"flux": _FLOAT, "error": _FLOAT, "good": np.dtype(np.bool_)}
_RESULT = np.dtype([("fnu", "f8"), ("fnu_err", "f8"), ("n_used", "i8"), ("rejected", "i8")])
_SPLIT_EVERY = 8
_COLUMN_VALUES = 4_000_000  # pixels in a block of whole columns: 32 MB a variable


class _Way(NamedTuple):
    """How to combine, as far as a block has to know."""

    method: str
    clip: float | None
    rng: Any


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
        most pixels.
    redshift
        Brings every spectrum to its rest frame (wavelength and f_nu divided by 1 + z): ``"redshift"``, or the
        name of another coordinate; one value a row; one for all; or spectrum id -> value.
    normalize
        (low, high) in microns, in the frame of the stack: every spectrum is divided by its mean f_nu there,
        and the error of that mean goes into the stack. Rows that do not cover half of the range, or have no
        positive mean there, do not count, with a warning when values are computed.
    sigma_clip
        Reject values further than this many sigmas from the median of their pixel.
    object_id
        Used in the name of the stack.
    rng
        Seed or generator: errors are then the scatter of 200 stacks of spectra drawn with replacement.

    Returns
    -------
    xarray.Dataset
        One spectrum, ``stack:<grating>:<n>spectra`` of n rows, with the numbers of spectra behind
        (``n_used``) and taken out of (``rejected``) every pixel; its header lists the inputs. Errors are
        right pixel by pixel, but resampling correlates neighbours, and their covariance is not attached (nor
        is ``fnu_cov``): sums over pixels have larger errors than the pixels' errors in quadrature. For those
        use :func:`campfire.stack_spectra`, which keeps the covariance; the history says so too.

    Raises
    ------
    ValidationError
        For no spectra, unknown redshifts, or options out of range.
    """
    check_collection(ds)
    n_rows = ds.sizes["spectrum"]
    if not n_rows:
        raise ValidationError("a stack of nothing", hint="the collection holds no spectra")
    combiner = find_combiner(method)
    if sigma_clip is not None and not sigma_clip > 0:
        raise ValidationError(f"sigma_clip={sigma_clip!r}", hint="pass a positive number, or None")
    shifts = _redshifts(ds, redshift)
    window = None if normalize is None else as_window(normalize)
    centres = _grid(ds, grid, shifts)
    names = ds["spectrum_id"].values.tolist() if "spectrum_id" in ds.coords else list(map(str, range(n_rows)))
    rows = over_rows(
        ds,
        partial(_stack_rows, grid=centres, window=window, names=names),
        _ROWS,
        centres.size,
        np.arange(n_rows),
        np.zeros(n_rows) if shifts is None else shifts,
    )
    way = _Way(method, sigma_clip, _frozen(rng))
    whole = combiner.whole_columns or sigma_clip is not None or rng is not None
    if not is_lazy(ds):
        result = _columns(rows["flux"], rows["error"], rows["good"], way=way)
    elif whole:
        result = _by_columns(rows, way)
    else:
        result = _by_sums(rows, combiner)
    cards: dict[str, Any] = {"NSTACK": n_rows, "STACKMTH": method}
    cards["STACKFRM"] = "observed" if shifts is None else "rest"
    if window is not None:
        cards["STACKNRM"] = f"{window[0]:g}-{window[1]:g} um"
    if sigma_clip is not None:
        cards["STACKCLP"] = float(sigma_clip)
    cards["HISTORY"] = [f"stack of {n_rows} spectra, {method}, resampled once, conserving flux"]
    cards["HISTORY"] += [f"input: {name}" for name in names]
    return _dataset(ds, centres, result, cards, object_id)


def _frozen(rng: Any) -> Any:
    """Return a seed or generator that every block can begin from alike; the one given moves on."""
    if not isinstance(rng, np.random.Generator):
        return rng
    copy = deepcopy(rng)
    rng.integers(2)
    return copy


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


def _grid(ds: xr.Dataset, grid: ArrayLike | str | None, shifts: FloatArray | None) -> FloatArray:
    if grid is not None and not (isinstance(grid, str) and grid == "common"):
        if isinstance(grid, str):
            raise ValidationError(f"grid={grid!r}", hint="pass None, 'common', or an array of microns")
        return check_grid(to_micron(grid), "grid")
    observed = check_grid(common_grid(ds), "wavelength")
    if shifts is None:
        return observed
    row = int(np.argmax(ds["n_pixels"].values)) if "n_pixels" in ds else 0
    return np.asarray(observed * (1.0 / (1.0 + shifts[row])))


def _stack_rows(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    row: NDArray[Any],
    redshift: FloatArray,
    *,
    grid: FloatArray,
    window: tuple[float, float] | None,
    names: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """Bring rows (numpy) into the frame and onto the grid of the stack."""
    wavelength, fnu, fnu_err, dq = steady(wavelength, fnu, fnu_err, dq)
    good = good_pixels(fnu, fnu_err, dq != 0)
    flux = np.where(good, fnu, 0.0).astype(np.float64)
    error = np.where(good, fnu_err, 0.0).astype(np.float64)
    wave = np.asarray(wavelength, dtype=np.float64)
    if redshift.any():
        factor = (1.0 / (1.0 + redshift))[:, None]
        wave, flux, error = np.atleast_2d(wave) * factor, flux * factor, error * factor
    if window is None:
        out = resample(wave, flux, error, grid, mask=~good)
        return {"flux": out.flux, "error": out.error, "good": ~out.mask & (out.error > 0)}
    level, weights = _levels(wave, flux, good, *window)
    usable = level > 0
    if not usable.all():
        warn_left_out([names[k] for k in row[~usable]], len(row), window)
    level = np.where(usable, level, 1.0)[:, None]
    out = resample(wave, flux / level, error / level, grid, mask=~good)
    # f = s / N with N = w . s: df = ds / N - (s / N^2) (w . ds), as for single spectra
    spread = np.square(error) * weights
    cross = resample(wave, spread / level, np.where(good, 1.0, 0.0), grid, mask=~good).flux
    slope = out.flux / level
    own = (weights * spread).sum(axis=1)[:, None]
    variance = np.square(out.error) + own * np.square(slope) - 2 * slope * cross
    total = np.sqrt(np.maximum(variance, 0.0))
    return {"flux": out.flux, "error": total, "good": ~out.mask & (total > 0) & usable[:, None]}


def _levels(
    wave: FloatArray, flux: FloatArray, good: NDArray[np.bool_], low: float, high: float
) -> tuple[FloatArray, FloatArray]:
    """Return the mean flux of each row in a range, NaN if less than half is covered; and its weights."""
    widths = np.diff(np.clip(pixel_edges(wave), low, high))
    weights = np.where(good, widths, 0.0)
    covered = weights.sum(axis=1, keepdims=True)
    enough = covered >= 0.5 * (high - low)
    weights = np.where(enough, weights / np.where(covered > 0, covered, 1.0), 0.0)
    return np.where(enough[:, 0], (weights * flux).sum(axis=1), np.nan), weights


def _columns(
    flux: NDArray[Any], error: NDArray[Any], good: NDArray[Any], *, way: _Way
) -> dict[str, NDArray[Any]]:
    """Combine whole columns (numpy)."""
    combiner = find_combiner(way.method)
    kept = good if way.clip is None else clip_columns(flux, error, good, way.clip)
    result = combiner(flux, error, kept)
    sigma = result.error
    if way.rng is not None:
        scatter = bootstrap(flux, error, kept, combiner, deepcopy(way.rng))
        sigma = np.where(np.isfinite(scatter), scatter, sigma)
    rejected = (good & ~kept).sum(axis=0)
    return {"fnu": result.flux, "fnu_err": sigma, "n_used": result.n_used, "rejected": rejected}


def _column_block(flux: NDArray[Any], error: NDArray[Any], good: NDArray[Any], *, way: _Way) -> NDArray[Any]:
    return _as_records(_columns(flux, error, good, way=way))


def _as_records(result: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    records = np.empty(len(result["fnu"]), dtype=_RESULT)
    for name in _RESULT.names or ():
        records[name] = result[name]
    return records


def _by_columns(rows: Mapping[str, Any], way: _Way) -> dict[str, Any]:
    da = dask_array()
    n_rows, n_columns = rows["flux"].shape
    size = max(1, min(n_columns, _COLUMN_VALUES // n_rows))
    arrays = [rows[name].rechunk({0: -1, 1: size}) for name in _ROWS]
    records = da.map_blocks(
        _column_block, *arrays, way=way, dtype=_RESULT, drop_axis=0, meta=np.empty(0, dtype=_RESULT)
    )
    return {name: records[name] for name in _RESULT.names or ()}


def _sum_block(flux: NDArray[Any], error: NDArray[Any], good: NDArray[Any], *, method: str) -> NDArray[Any]:
    return np.stack(find_combiner(method).block(flux, error, good))[None]


def _merge(parts: NDArray[Any], axis: Any = None, keepdims: bool = True, *, method: str) -> NDArray[Any]:
    """Join partial results along the first axis; in the form in which dask calls a reduction."""
    total: tuple[FloatArray, ...] = reduce(find_combiner(method).merge, map(tuple, parts))
    return np.stack(total)[None]


def _finish_block(parts: NDArray[Any], *, method: str) -> NDArray[Any]:
    flux, error, n_used = find_combiner(method).finish(tuple(parts[0]))
    none = np.zeros_like(n_used)
    return _as_records({"fnu": flux, "fnu_err": error, "n_used": n_used, "rejected": none})


def _by_sums(rows: Mapping[str, Any], combiner: Combiner) -> dict[str, Any]:
    da = dask_array()
    blocks = rows["flux"].numblocks[0]
    columns = rows["flux"].shape[1]
    empty = np.empty((0, 1))
    n_parts = len(combiner.block(empty, empty, empty.astype(bool)))
    merge = partial(_merge, method=combiner.name)
    parts = da.map_blocks(
        partial(_sum_block, method=combiner.name),
        *(rows[name] for name in _ROWS),
        dtype=np.float64,
        meta=np.empty((0, 0, 0)),
        chunks=((1,) * blocks, (n_parts,), (columns,)),
        new_axis=1,
    )
    total = da.reduction(
        parts,
        chunk=merge,
        combine=merge,
        aggregate=merge,
        axis=0,
        keepdims=True,
        dtype=np.float64,
        split_every=_SPLIT_EVERY,
        concatenate=True,
        meta=np.empty((0, 0, 0)),
    )
    records = da.map_blocks(
        partial(_finish_block, method=combiner.name),
        total,
        dtype=_RESULT,
        meta=np.empty(0, dtype=_RESULT),
        chunks=((columns,),),
        drop_axis=[0, 1],
    )
    return {name: records[name] for name in _RESULT.names or ()}


def _dataset(
    ds: xr.Dataset, grid: FloatArray, result: Mapping[str, Any], cards: dict[str, Any], object_id: str | None
) -> xr.Dataset:
    import xarray as xr

    grating = str(ds["grating"].item()) if "grating" in ds.coords else ""
    n_rows = cards["NSTACK"]
    name = f"stack:{object_id}:{grating}" if object_id else f"stack:{grating}:{n_rows}spectra"
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
    attrs: dict[str, Any] = {"campfire_schema": SCHEMA_VERSION, "fits_header": dump_header(cards)}
    if cards["STACKFRM"] == "rest":
        attrs["redshift"] = 0.0
    stacked = xr.Dataset(
        data,
        {
            "wavelength": (SPECTRUM, grid, attrs_of("wavelength")),
            **lsf_coordinate(grating, grid, attrs.get("redshift")),
            "spectrum_id": ((), text_scalar(name)),
            "grating": ((), text_scalar(grating)),
        },
        attrs,
    )
    if "history" in ds.attrs:
        stacked.attrs["history"] = ds.attrs["history"]
    step = f"stacked {n_rows} spectra, {cards['STACKMTH']}, {cards['STACKFRM']} frame, resampled once"
    correlated = "neighbouring pixels are correlated, their covariance is not kept"
    return append_history(stacked, f"{step}; {correlated}")
