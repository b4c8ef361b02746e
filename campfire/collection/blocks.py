"""Functions of rows applied to a collection: at once on numpy arrays, block by block on dask arrays.

One function makes all its outputs in one call; lazily they travel as records, so that variables computed
together read and work once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from campfire import schema
from campfire.errors import ValidationError
from campfire.kernels.lsf import GRATINGS, resolving_power
from campfire.schema import PixelDQ
from campfire.units import fnu_to_flam

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from campfire.typing import FloatArray

__all__ = [
    "RowFunction",
    "check_collection",
    "dask_array",
    "flam_of",
    "is_lazy",
    "over_rows",
    "power_coordinate",
    "row_arrays",
    "steady",
]

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
    return any(ds[name].chunks is not None for name in ("fnu", "fnu_err", "dq", "wavelength"))


def row_arrays(ds: xr.Dataset) -> tuple[Any, ...]:
    """Return wavelength, fnu, fnu_err, dq as numpy or as dask arrays of equal blocks of whole rows.

    Wavelength is 1-D numpy in a gridded collection.
    """
    names = ("fnu", "fnu_err", "dq")
    wavelength: Any = ds["wavelength"].data if ds["wavelength"].ndim == 2 else ds["wavelength"].values
    arrays = [ds[name].data for name in names]
    if not is_lazy(ds):
        return wavelength, *arrays
    da = dask_array()

    rows = next(ds[name].chunksizes["spectrum"] for name in (*names, "wavelength") if ds[name].chunks)
    chunks = (rows, (ds["fnu"].shape[1],))

    def whole_rows(array: Any) -> Any:
        lazy = da.from_array(array, chunks=chunks) if isinstance(array, np.ndarray) else array
        return lazy.rechunk(chunks)

    arrays = [whole_rows(array) for array in arrays]
    return (whole_rows(wavelength) if wavelength.ndim == 2 else wavelength), *arrays


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
    *row_values: NDArray[Any],
) -> dict[str, Any]:
    """Apply a function of rows to a collection.

    Parameters
    ----------
    ds
        The collection.
    function
        ``function(wavelength, fnu, fnu_err, dq, *row_values)`` on numpy arrays of some rows; picklable.
    outputs
        Names and dtypes of what it returns.
    columns
        Length of the second axis of its results.
    row_values
        More arrays with one value a row.

    Returns
    -------
    dict
        Name -> array (spectrum, columns): numpy for a collection in memory, else dask in blocks of rows.
    """
    wavelength, *arrays = row_arrays(ds)
    if not is_lazy(ds):
        result = function(wavelength, *arrays, *row_values)
        return {name: np.asarray(result[name], dtype=kind) for name, kind in outputs.items()}
    da = dask_array()

    dtype = np.dtype(list(outputs.items()))
    rows = arrays[0].chunks[0]
    # One value a row, as a column: blocks of it then go with the blocks of rows.
    beside = [da.from_array(np.asarray(v)[:, None], chunks=(rows, (1,))) for v in row_values]
    shared = wavelength if wavelength.ndim == 1 else None
    leading = [] if wavelength.ndim == 1 else [wavelength]
    records = da.map_blocks(
        _record_block,
        *leading,
        *arrays,
        *beside,
        function=function,
        shared=shared,
        columns=columns,
        record_dtype=dtype,
        dtype=dtype,
        meta=np.empty((0, 0), dtype=dtype),
        chunks=(rows, (columns,)),
    )
    return {name: records[name] for name in outputs}


def _record_block(
    *arrays: NDArray[Any],
    function: RowFunction,
    shared: NDArray[Any] | None,
    columns: int,
    record_dtype: np.dtype[Any],
) -> NDArray[Any]:
    leading = arrays if shared is None else (shared, *arrays)
    result = function(*leading[:4], *(values[:, 0] for values in leading[4:]))
    records = np.empty((len(arrays[0]), columns), dtype=record_dtype)
    for name in record_dtype.names or ():
        records[name] = result[name]
    return records
