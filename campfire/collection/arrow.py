"""A collection as a table of Arrow, one row a spectrum with its pixels as lists, and back without loss.

What is not of one spectrum (attributes, units, the wavelengths of a grid, which coordinate is which) is JSON
in the metadata of the schema, under :data:`KEY`. Parquet files and streams of Arrow keep it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.config import as_path
from campfire.convert.wavelength_index import indexed
from campfire.errors import NotFoundError, ValidationError
from campfire.installation import missing_extra
from campfire.publishing import replacing

if TYPE_CHECKING:
    import pyarrow as pa
    import xarray as xr

__all__ = ["KEY", "from_arrow", "from_parquet", "to_arrow", "to_parquet"]

KEY = b"campfire"
"""Name of what the schema's metadata hold."""

_GROUP = "campfire_group"


def to_arrow(tree: xr.DataTree) -> pa.Table:
    """Return a table of all spectra of a tree; computes what is lazy, all in memory.

    Parameters
    ----------
    tree
        Of collections: every group that holds anything has the dimension ``spectrum``.

    Returns
    -------
    pyarrow.Table
        ``campfire_group``, the group of a row, and one column a variable or coordinate of spectra: numbers
        and text, or lists of numbers, as long as the spectrum is (``n_pixels``) where they are of pixels as
        observed, else all values in C order. Null where the group has no such variable. Units are in the
        metadata of the schema.

    Raises
    ------
    ValidationError
        For a group without spectra, or values other than numbers, truth values and text.
    ImportError
        If pyarrow is not installed.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"fnu": (("spectrum", "pixel"), [[1.0, 2.0], [3.0, float("nan")]]),
    ...                  "n_pixels": ("spectrum", [2, 1])})
    >>> table = to_arrow(xr.DataTree.from_dict({"/PRISM": ds}))
    >>> table["fnu"].to_pylist()
    [[1.0, 2.0], [3.0]]
    >>> from_arrow(table)["PRISM"].to_dataset().equals(ds)
    True
    """
    pa = _pyarrow()
    groups: list[dict[str, Any]] = []
    columns: list[dict[str, tuple[Any, Any]]] = []  # name -> values, which of them are held or None
    for node in tree.subtree:
        path = "/" + node.path.removeprefix(tree.path).strip("/")
        ds = node.to_dataset(inherit=False).compute()
        if ds.variables and "spectrum" not in ds.dims:
            raise ValidationError(f"the group {path} has no spectra", hint="pass a tree of open_collection()")
        group, held = _described(ds)
        groups.append(group | {"path": path})
        columns.append(held)
    kinds: dict[str, Any] = {}
    for held in columns:
        for name, (values, _) in held.items():
            kinds[name] = np.result_type(kinds.get(name, values.dtype), values.dtype)
    tables = []
    for group, held in zip(groups, columns, strict=True):
        if held:
            arrays = {name: _column(pa, *given, kinds[name]) for name, given in held.items()}
            n_rows = len(next(iter(arrays.values())))
            tables.append(pa.table({_GROUP: pa.array([group["path"]] * n_rows, pa.string()), **arrays}))
    table = pa.concat_tables(tables, promote_options="default") if tables else pa.table({_GROUP: []})
    return table.replace_schema_metadata({KEY: json.dumps({"groups": groups})})


def _described(ds: xr.Dataset) -> tuple[dict[str, Any], dict[str, tuple[Any, Any]]]:
    """Return what is said of a group in the metadata, and its columns."""
    variables: dict[str, Any] = {}
    held: dict[str, tuple[Any, Any]] = {}
    for key, variable in ds.variables.items():
        name = str(key)
        own: dict[str, Any] = {
            "dims": list(variable.dims),
            "dtype": variable.dtype.str if variable.dtype.kind in "biuf" else "text",
            "attrs": {k: _plain(v) for k, v in variable.attrs.items()},
            "coordinate": name in ds.coords,
        }
        values = (
            variable.transpose("spectrum", ...).values if "spectrum" in variable.dims else variable.values
        )
        if values.dtype.kind not in "biufUT" and not all(isinstance(v, str) for v in values.flat):
            raise ValidationError(
                f"{name} holds {values.dtype}", hint="keep numbers, truth values and text; drop_vars() others"
            )
        if "spectrum" in variable.dims:
            own["shape"] = list(values.shape[1:])
            inside = _inside(ds, variable.dims, values)
            if inside is not None:
                outside = values[~inside]
                own["padding"] = outside[0].item() if outside.size else 0
            held[name] = (values, inside)
        else:
            own["values"] = values.tolist()
        variables[name] = own
    return {"attrs": {k: _plain(v) for k, v in ds.attrs.items()}, "variables": variables}, held


def _inside(ds: xr.Dataset, dims: tuple[Any, ...], values: Any) -> Any:
    """Return which pixels are not padding; None where all have to be kept."""
    if dims != ("spectrum", "pixel") or "n_pixels" not in ds or values.dtype.kind not in "biuf":
        return None
    inside = np.arange(values.shape[1]) < ds["n_pixels"].values[:, None]
    outside = values[~inside]
    alike = np.array_equal(outside, np.broadcast_to(outside[:1], outside.shape), equal_nan=True)
    return inside if not outside.size or alike else None


def _column(pa: Any, values: Any, inside: Any, kind: Any) -> Any:
    if values.dtype.kind not in "biuf":
        flat = pa.array(values.ravel().astype(object), pa.string())
    else:
        flat = pa.array((values.ravel() if inside is None else values[inside]).astype(kind, copy=False))
    if values.ndim == 1:
        return flat
    each = values[0].size if len(values) else 0
    lengths = np.full(len(values), each) if inside is None else inside.sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    if ends[-1] < 2**31:
        return pa.ListArray.from_arrays(ends.astype(np.int32), flat)
    raise ValidationError(
        f"{ends[-1]} pixels are more than one table holds", hint="select fewer spectra, or use to_zarr()"
    )


def from_arrow(table: Any) -> xr.DataTree:
    """Return the tree of which ``to_arrow`` made a table.

    Parameters
    ----------
    table
        A ``pyarrow.Table``, or a reader of a stream of them (``pyarrow.ipc.open_stream``). Rows may have been
        selected or sorted, and columns left out.

    Returns
    -------
    xarray.DataTree
        Of numpy arrays, with the indexes of its coordinates.

    Raises
    ------
    ValidationError
        If it is no table, or none of campfire's.
    """
    import xarray as xr

    table = table.read_all() if hasattr(table, "read_all") else table
    held = getattr(getattr(table, "schema", None), "metadata", None) or {}
    if KEY not in held or _GROUP not in table.column_names:
        raise ValidationError(
            f"a {type(table).__name__} that campfire did not write",
            hint="pass what tree.campfire.to_arrow() or to_parquet() gave, with its schema's metadata",
        )
    paths = np.array(table[_GROUP].to_pylist(), dtype=object)
    groups = {}
    for group in json.loads(held[KEY])["groups"]:
        rows = np.flatnonzero(paths == group["path"])
        variables = {
            name: (own["dims"], _values(own, table, name, rows), _attrs(own["attrs"]))
            for name, own in group["variables"].items()
            if "values" in own or name in table.column_names
        }
        coords = {name: variables.pop(name) for name in list(variables) if _is_coordinate(group, name)}
        groups[group["path"]] = indexed(xr.Dataset(variables, coords, _attrs(group["attrs"])))
    return xr.DataTree.from_dict(groups)


def _is_coordinate(group: dict[str, Any], name: str) -> bool:
    return bool(group["variables"][name]["coordinate"])


def _values(own: dict[str, Any], table: Any, name: str, rows: Any) -> Any:
    text = own["dtype"] == "text"
    kind = np.dtype(str if text else own["dtype"])
    if "values" in own:
        return np.array(own["values"], dtype=kind)
    column = table[name].take(rows).combine_chunks()
    if not own["shape"]:
        found: Any = np.array(column.to_pylist(), dtype=kind)
        return found
    flat = column.flatten().to_pylist() if text else column.flatten().to_numpy(zero_copy_only=False)
    if "padding" not in own:
        found = np.array(flat, dtype=kind).reshape(len(rows), *own["shape"])
    else:
        found = np.full((len(rows), *own["shape"]), own["padding"], dtype=kind)
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        found[np.arange(found.shape[1]) < lengths[:, None]] = flat
    order = ["spectrum", *(dim for dim in own["dims"] if dim != "spectrum")]
    return found.transpose([order.index(dim) for dim in own["dims"]])


def _plain(value: Any) -> Any:
    """Return an attribute as JSON has it; arrays keep their type."""
    if isinstance(value, np.ndarray | np.generic):
        return {"numpy": value.dtype.str, "values": value.tolist()}
    return value


def _attrs(stored: dict[str, Any]) -> dict[str, Any]:
    def back(value: Any) -> Any:
        if not isinstance(value, dict) or set(value) != {"numpy", "values"}:
            return value
        array = np.array(value["values"], dtype=value["numpy"])
        return array if array.ndim else array[()]

    return {name: back(value) for name, value in stored.items()}


def to_parquet(tree: xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Write the table of ``to_arrow`` as one Parquet file, which appears whole; one there is replaced.

    Parameters
    ----------
    tree
        Of collections.
    path
        The file; its folder must be there.

    Raises
    ------
    ValidationError
        As ``to_arrow``.
    OSError
        If the disk refuses it.
    ImportError
        If pyarrow is not installed.
    """
    target = as_path(path, "path").absolute()
    table = to_arrow(tree)
    from pyarrow import parquet

    with replacing(target) as partial:
        parquet.write_table(table, partial, compression="zstd")


def from_parquet(path: str | os.PathLike[str]) -> xr.DataTree:
    """Return the tree that ``tree.campfire.to_parquet()`` wrote, as ``from_arrow`` does.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ValidationError
        If it is no Parquet file, or none of campfire's.
    ImportError
        If pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import xarray as xr
    >>> tree = xr.DataTree.from_dict({"/PRISM": xr.Dataset({"n_pixels": ("spectrum", [2, 1])})})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tree.campfire.to_parquet(f"{folder}/sample.parquet")
    ...     from_parquet(f"{folder}/sample.parquet")["PRISM"].n_pixels.values
    array([2, 1])
    """
    source = as_path(path, "path")
    if not source.is_file():
        raise NotFoundError(f"there is no file {source}", hint="tree.campfire.to_parquet() writes one")
    pa = _pyarrow()
    from pyarrow import parquet

    try:
        # As it is: a folder called grating=PRISM would add a column.
        table = parquet.ParquetFile(source).read()
    except pa.ArrowInvalid as err:
        raise ValidationError(f"{source} is no Parquet file", hint="pass one of to_parquet()") from err
    return from_arrow(table)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as err:
        raise missing_extra("tables of Arrow and Parquet need pyarrow", "parquet") from err
    return pyarrow
