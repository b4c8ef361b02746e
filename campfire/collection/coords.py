"""Catalogue columns as coordinates along ``spectrum``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.columns import OBJECT_COLUMNS, SPECTRUM_COLUMNS
from campfire.text import text_array, text_encoding

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

__all__ = ["gratings_of", "row_coordinates"]


def gratings_of(ds: xr.Dataset) -> list[str]:
    """Return the grating of every row: mostly one for all, one each where collections were joined."""
    given = ds["grating"].values.tolist() if "grating" in ds.coords else ""
    return given if isinstance(given, list) else [str(given)] * ds.sizes["spectrum"]


def _joined(value: Any) -> str:
    """Write one entry of a column of lists (tags, programs) as text."""
    if value is None or value is np.ma.masked:
        return ""
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value))
    return str(value)


def coordinate(values: Any, kind: str | None = None) -> NDArray[Any]:
    """Return one catalogue column as a plain array that Zarr and netCDF can hold.

    Parameters
    ----------
    values
        Numbers, booleans, text, or lists of text; plain, masked, an astropy column, or with None for what
        is missing.
    kind
        Kind of the catalogue column, where it is one; decides where every value is missing.

    Returns
    -------
    numpy.ndarray
        Numbers keep their dtype, but missing ones make it float64 with NaN. Text is fixed-width; a missing
        one is "". Lists are joined with commas.

    Examples
    --------
    >>> coordinate([1, None, 3])
    array([ 1., nan,  3.])
    """
    if isinstance(values, list | tuple):
        kinds = {type(v) for v in values if v is not None}
        if not kinds and kind in ("float", "int", "bool"):
            return np.full(len(values), np.nan)
        if not kinds or not all(issubclass(k, int | float | np.number | np.bool_) for k in kinds):
            return text_array([_joined(value) for value in values])
        if None in values:
            return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        return np.asarray(values)
    masked: Any = np.ma.asarray(values)
    mask = np.ma.getmaskarray(masked)
    data = np.asarray(masked.data)
    if data.dtype.kind in "iufb":
        data = data.astype(data.dtype.newbyteorder("="), copy=False)
        return np.where(mask, np.nan, data).astype(np.float64) if mask.any() else data
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8")
    if data.dtype.kind == "O":
        return coordinate([None if gone else v for v, gone in zip(data.tolist(), mask, strict=True)], kind)
    if not mask.any():
        return text_array(data)
    return text_array(["" if gone else v for v, gone in zip(data.tolist(), mask, strict=True)])


def row_coordinates(columns: Mapping[str, ArrayLike]) -> dict[str, tuple[Any, ...]]:
    """Return ``name -> ("spectrum", values, attrs, encoding)`` of every column but the grating.

    Units and descriptions are those of :mod:`campfire.columns`, for columns that are there.
    """
    specs = {spec.name: spec for spec in (*OBJECT_COLUMNS, *SPECTRUM_COLUMNS)}
    coords = {}
    for name, column in columns.items():
        if name == "grating":
            continue
        spec = specs.get(name)
        attrs = {"long_name": spec.description} if spec else {}
        if spec and (spec.unit or spec.kind == "float"):
            attrs["units"] = spec.unit or "1"
        values = coordinate(column, spec.kind if spec else None)
        encoding = text_encoding() if values.dtype.kind == "U" else {}
        coords[name] = ("spectrum", values, attrs, encoding)
    return coords
