"""Functions of rows applied to a collection: at once on numpy arrays, block by block on dask arrays.

One function makes all its outputs in one call; lazily they travel as records, so that variables computed
together read and work once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from campfire import schema
from campfire.errors import ValidationError
from campfire.kernels.lsf import GRATINGS, resolving_power
from campfire.schema import PixelDQ
from campfire.units import RELATIVE, fnu_to_flam

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from campfire.typing import FloatArray

__all__ = [
    "SPLIT_EVERY",
    "RowFunction",
    "attrs_like",
    "check_collection",
    "dask_array",
    "flam_of",
    "is_lazy",
    "over_rows",
    "power_coordinate",
    "row_arrays",
    "steady",
    "sum_rows",
]

SPLIT_EVERY = 8
"""Partial sums that are joined at a time."""

RowFunction: TypeAlias = "Callable[..., Mapping[str, NDArray[Any]]]"
"""``function(wavelength, fnu, fnu_err, dq, *row_values)`` -> name -> array (rows, columns)."""


def check_collection(ds: xr.Dataset) -> tuple[str, ...]:
    """Return the state of a collection, ``NATIVE`` or ``GRIDDED``.

    Raises
    ------
    ValidationError
        If it is not the Dataset of a collection with ``dq``.
    """
    state = schema.validate(ds)
    if state == schema.SPECTRUM:
        raise ValidationError("the Dataset of one spectrum", hint="this needs a collection")
    if "dq" not in ds.data_vars:
        raise ValidationError("'dq' is missing", hint="the pixel mask goes with 'fnu' and 'fnu_err'")
    return state


def dask_array() -> Any:
    """Return ``dask.array``, imported when it is needed; its functions carry no types."""
    import dask.array

    return dask.array


def is_lazy(ds: xr.Dataset) -> bool:
    """Tell whether any of the pixel variables is a dask array."""
    return any(ds.variables[name].chunks is not None for name in ("fnu", "fnu_err", "dq", "wavelength"))


def row_arrays(ds: xr.Dataset) -> tuple[Any, ...]:
    """Return wavelength, fnu, fnu_err, dq as numpy or as dask arrays of equal blocks of whole rows.

    Wavelength is 1-D numpy in a gridded collection.
    """
    names = ("fnu", "fnu_err", "dq")
    wave = ds.variables["wavelength"]
    wavelength: Any = wave.data if wave.ndim == 2 else wave.values
    arrays = [ds.variables[name].data for name in names]
    if not is_lazy(ds):
        return wavelength, *arrays
    da = dask_array()

    rows = next(
        ds.variables[name].chunksizes["spectrum"]
        for name in (*names, "wavelength")
        if ds.variables[name].chunks
    )
    chunks = (rows, (ds.variables["fnu"].shape[1],))

    def whole_rows(array: Any) -> Any:
        lazy = da.from_array(array, chunks=chunks) if isinstance(array, np.ndarray) else array
        return lazy.rechunk(chunks)

    arrays = [whole_rows(array) for array in arrays]
    return (whole_rows(wavelength) if wavelength.ndim == 2 else wavelength), *arrays


def attrs_like(ds: xr.Dataset, name: str) -> dict[str, str]:
    """Return the attributes of a variable as the schema has them, in the frame and unit of a collection."""
    attrs = schema.attrs_of(name)
    if name == "wavelength":
        here = ds.variables[name].attrs
        return attrs | {key: here[key] for key in ("long_name",) if key in here}
    relative = schema.attr_text(ds.variables["fnu"].attrs, "units") == RELATIVE and "units" in attrs
    return attrs | ({"units": RELATIVE} if relative else {})


def flam_of(density: Any, wavelength: Any) -> Any:
    """Return f_lambda of f_nu (or of its error), lazy if either is; wavelength of either state."""
    if isinstance(density, np.ndarray) and isinstance(wavelength, np.ndarray):
        return fnu_to_flam(density, wavelength)
    da = dask_array()
    density, wavelength = da.asarray(density), da.asarray(wavelength)
    along = "ij"  # blockwise brings differing chunks together; map_blocks would not
    return da.blockwise(
        fnu_to_flam,
        along[-density.ndim :],
        density,
        along[-density.ndim :],
        wavelength,
        along[-wavelength.ndim :],
        dtype=density.dtype,
        meta=np.empty((0,) * density.ndim, dtype=density.dtype),
    )


def power_coordinate(gratings: Sequence[str], wavelength: Any, rows: Any = None) -> dict[str, Any]:
    """Return the coordinate ``resolving_power`` of a collection: name -> (dims, values, attrs).

    Parameters
    ----------
    gratings
        One a row; all the same where the wavelengths are two-dimensional.
    wavelength
        Observed, microns: (spectrum, pixel), numpy or dask, or (wavelength,) numpy.
    rows
        Blocks of rows, where the values of rows of several gratings on one grid are to be lazy.

    Returns
    -------
    dict
        Empty where no disperser has a table. Values have the shape of ``wavelength`` and are lazy if it is,
        NaN in the padding; for several gratings (spectrum, wavelength), NaN in rows without a table.

    Examples
    --------
    >>> power_coordinate(["PRISM"], np.array([[1.2, np.nan]]))["resolving_power"][:2]
    (('spectrum', 'pixel'), array([[31., nan]]))
    """
    names = list(dict.fromkeys(gratings))
    known = [name.upper() in GRATINGS for name in names]
    if not any(known):
        return {}
    attrs = schema.attrs_of("resolving_power")
    if len(names) == 1:
        dims = schema.SPECTRUM if wavelength.ndim == 1 else schema.NATIVE
        power = partial(resolving_power, names[0])
        if isinstance(wavelength, np.ndarray):
            return {"resolving_power": (dims, power(wavelength), attrs)}
        lazy = wavelength.map_blocks(power, dtype=np.float64, meta=np.empty((0, 0)))
        return {"resolving_power": (dims, lazy, attrs)}
    table = np.full((len(names), wavelength.size), np.nan)
    for number in np.flatnonzero(known):
        table[number] = resolving_power(names[number], wavelength)
    code = np.array([names.index(name) for name in gratings])
    values: Any = table[code] if rows is None else _taken(code, table, rows)
    return {"resolving_power": (schema.GRIDDED, values, attrs)}


def _taken(code: NDArray[Any], table: FloatArray, rows: Any) -> Any:
    """Return ``table[code]`` in blocks of rows."""
    lazy = dask_array().from_array(code, chunks=(rows,))
    take = partial(np.take, table, axis=0)
    return lazy.map_blocks(
        take, new_axis=1, chunks=(rows, (table.shape[1],)), dtype=table.dtype, meta=np.empty((0, 0))
    )


def steady(
    wavelength: NDArray[Any], fnu: NDArray[Any], fnu_err: NDArray[Any], dq: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return rows (numpy) that kernels can take: one of fewer than two pixels is all OUTSIDE.

    Its wavelengths are replaced by two that stand for nothing.
    """
    if wavelength.ndim == 1:
        return wavelength, fnu, fnu_err, dq
    short = np.isfinite(wavelength).sum(axis=1) < 2
    if not short.any():
        return wavelength, fnu, fnu_err, dq
    missing = max(0, 2 - wavelength.shape[1])
    wavelength, fnu, fnu_err = (
        np.pad(a, ((0, 0), (0, missing)), constant_values=np.nan) for a in (wavelength, fnu, fnu_err)
    )
    dq = np.pad(dq, ((0, 0), (0, missing)), constant_values=PixelDQ.OUTSIDE)
    wavelength[short] = np.nan
    wavelength[short, :2] = 1.0, 2.0
    dq[short] = PixelDQ.OUTSIDE
    return wavelength, fnu, fnu_err, dq


def over_rows(
    ds: xr.Dataset,
    function: RowFunction,
    outputs: Mapping[str, np.dtype[Any]],
    columns: int,
    *row_values: Any,
) -> dict[str, Any]:
    """Apply a function of rows to a collection.

    Parameters
    ----------
    ds
        The collection.
    function
        ``function(wavelength, fnu, fnu_err, dq, *row_values)`` on numpy arrays of some rows; picklable.
    outputs
        Names and dtypes of what it returns; a dtype of a shape gives one axis more.
    columns
        Length of the second axis of its results.
    row_values
        More arrays with one value a row, or (lazy ones too) with a row of values each.

    Returns
    -------
    dict
        Name -> array (spectrum, columns): numpy for a collection in memory, else dask in blocks of rows.
    """
    if not is_lazy(ds):
        result = function(*row_arrays(ds), *row_values)
        return {name: np.asarray(result[name], dtype=kind.base) for name, kind in outputs.items()}
    blocks = _RowBlocks.of(ds, row_values)
    dtype = np.dtype(list(outputs.items()))
    records = dask_array().map_blocks(
        _record_block,
        *blocks.arrays,
        call=blocks.call(function),
        columns=columns,
        record_dtype=dtype,
        dtype=dtype,
        meta=np.empty((0, 0), dtype=dtype),
        chunks=(blocks.rows, (columns,)),
    )
    return {name: records[name] for name in outputs}


def sum_rows(
    ds: xr.Dataset, function: Callable[..., FloatArray], shape: tuple[int, int], *row_values: Any
) -> Any:
    """Sum over the rows of a collection what ``function``, called as in :func:`over_rows`, sums over some.

    Partial sums are joined in a tree: no more than a few arrays of ``shape`` are in memory at a time.
    """
    if not is_lazy(ds):
        return function(*row_arrays(ds), *row_values)
    blocks = _RowBlocks.of(ds, row_values)
    parts = dask_array().map_blocks(
        _sum_block,
        *blocks.arrays,
        call=blocks.call(function),
        dtype=np.float64,
        meta=np.empty((0, 0, 0)),
        chunks=((1,) * len(blocks.rows), *((n,) for n in shape)),
        new_axis=2,
    )
    return parts.sum(axis=0, split_every=SPLIT_EVERY)


class _RowBlocks(NamedTuple):
    """What a function of rows takes, as dask arrays of equal blocks of rows; and how to call it with them."""

    arrays: list[Any]
    rows: tuple[int, ...]
    shared: NDArray[Any] | None
    wide: tuple[bool, ...]

    @classmethod
    def of(cls, ds: xr.Dataset, row_values: Sequence[Any]) -> _RowBlocks:
        da = dask_array()
        wavelength, *arrays = row_arrays(ds)
        rows = arrays[0].chunks[0]
        shared = wavelength if wavelength.ndim == 1 else None
        if shared is None:
            arrays.insert(0, wavelength)
        wide = tuple(values.ndim > 1 for values in row_values)
        for values, is_wide in zip(row_values, wide, strict=True):
            # One value a row, as a column: blocks of it then go with the blocks of rows.
            column = values if is_wide else values[:, None]
            chunks = (rows, (column.shape[1],))
            numpy = isinstance(column, np.ndarray)
            arrays.append(da.from_array(column, chunks=chunks) if numpy else column.rechunk(chunks))
        return cls(arrays, rows, shared, wide)

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return partial(_call, function, self.shared, self.wide)


def _call(
    function: Callable[..., Any],
    shared: NDArray[Any] | None,
    wide: tuple[bool, ...],
    *arrays: NDArray[Any],
) -> Any:
    leading = arrays if shared is None else (shared, *arrays)
    beside = (v if is_wide else v[:, 0] for v, is_wide in zip(leading[4:], wide, strict=True))
    return function(*leading[:4], *beside)


def _record_block(
    *arrays: NDArray[Any], call: Callable[..., Any], columns: int, record_dtype: np.dtype[Any]
) -> NDArray[Any]:
    result = call(*arrays)
    records = np.empty((len(arrays[0]), columns), dtype=record_dtype)
    for name in record_dtype.names or ():
        records[name] = result[name]
    return records


def _sum_block(*arrays: NDArray[Any], call: Callable[..., Any]) -> NDArray[Any]:
    return np.asarray(call(*arrays))[None]
