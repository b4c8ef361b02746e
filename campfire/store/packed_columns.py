"""The result columns of a whole table as packed arrays, so that large answers need no Python code per row.

A synchronisation leaves them in the database, in blocks of rows, within the transaction that made the rows:
they are never of another state than the catalogue. Where they are missing (after other writes) they are made
when a large answer first needs them, and kept in memory.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.columns import COLUMNS, Column, TableName
from campfire.store.sql import MEASURED, all_rows
from campfire.typing import IntArray

__all__ = ["PackedTable", "load", "save"]

Execute = Callable[[str, Sequence[Any]], sqlite3.Cursor]

_BLOCK = 1024
_UNKNOWN_TEXT = b"\xff"  # no text in UTF-8 begins so
_UNKNOWN_INT = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class PackedTable:
    """All rows of a table, by integer id; text as UTF-8, lists as they are stored."""

    table: TableName
    arrays: dict[str, NDArray[Any]]

    def take(self, ids: IntArray) -> dict[str, NDArray[Any]]:
        """Return the typed columns of some rows, in the order of ``ids``; what is measured is left out."""
        rows = np.searchsorted(self.arrays["id"], ids)
        specs = [spec for spec in COLUMNS[self.table] if spec.name not in MEASURED]
        return {spec.name: _unpack(spec, self.arrays[spec.name][rows]) for spec in specs}


def _pack(spec: Column, values: Sequence[Any]) -> NDArray[Any]:
    if spec.kind in ("text", "list"):
        return np.array([_UNKNOWN_TEXT if value is None else value.encode() for value in values])
    if spec.kind == "float":
        return np.array(values, dtype=np.float64)  # None becomes NaN
    if spec.kind == "bool":
        return np.array(values, dtype=bool)
    return np.array([_UNKNOWN_INT if value is None else value for value in values], dtype=np.int64)


def _unpack(spec: Column, packed: NDArray[Any]) -> NDArray[Any]:
    if spec.kind == "list":
        lists = (text.decode().split(";") if text else [] for text in packed.tolist())
        return np.fromiter(lists, dtype=object, count=len(packed))
    mask: NDArray[Any] = np.zeros(len(packed), dtype=bool)
    array = packed
    if spec.kind == "text":
        if spec.masked:
            mask = packed == _UNKNOWN_TEXT
            packed = np.where(mask, b"", packed)
        array = _widen(packed, spec.width)
    elif spec.kind == "float":
        mask = np.isnan(packed)
    elif spec.masked:
        mask = packed == _UNKNOWN_INT
        array = np.where(mask, 0, packed)
    return np.ma.MaskedArray(array, mask=mask) if spec.masked else array


def _widen(packed: NDArray[Any], width: int) -> NDArray[Any]:
    """Turn UTF-8 into numpy unicode of at least ``width`` characters."""
    size = packed.dtype.itemsize
    letters = np.ascontiguousarray(packed).view(np.uint8).reshape(len(packed), size)
    if letters.size and letters.max() > 127:
        texts = [text.decode() for text in packed.tolist()]
        return np.array(texts, dtype=f"U{max(width, len(max(texts, key=len)))}")
    if size > width:  # only as wide as these rows need, as elsewhere
        used = np.flatnonzero(letters.any(axis=0))
        width = max(width, int(used[-1]) + 1 if used.size else 0)
    wide = np.zeros((len(packed), width), dtype=np.uint32)
    wide[:, : min(size, width)] = letters[:, :width]
    return wide.view(f"U{width}").reshape(len(packed))


def _blocks(execute: Execute, table: TableName) -> Iterator[NDArray[Any]]:
    """Yield the rows in blocks of structured arrays, by id."""
    specs = [spec for spec in COLUMNS[table] if spec.name not in MEASURED]
    cursor = execute(all_rows(table), ())
    while found := cursor.fetchmany(_BLOCK):
        columns = [_pack(spec, values) for spec, values in zip(specs, zip(*found, strict=True), strict=True)]
        dtype = [(spec.name, column.dtype) for spec, column in zip(specs, columns, strict=True)]
        block = np.empty(len(found), dtype=dtype)
        for spec, column in zip(specs, columns, strict=True):
            block[spec.name] = column
        yield block


def save(execute: Execute) -> None:
    """Write the packed arrays of all tables into the database, a block at a time."""
    execute("DELETE FROM packed", ())
    for table in COLUMNS:
        for number, block in enumerate(_blocks(execute, table)):
            layout = json.dumps([[name, block.dtype[name].str] for name in block.dtype.names or ()])
            execute("INSERT INTO packed VALUES (?,?,?,?)", (table, number, layout, block.tobytes()))


def load(execute: Execute, table: TableName, *, stored: bool) -> PackedTable:
    """Read the packed arrays of a table (``stored``: they are in the database and current), or make them."""
    blocks: list[NDArray[Any]] = []
    if stored:
        sql = "SELECT layout, data FROM packed WHERE table_name = ? ORDER BY block"
        for layout, data in execute(sql, (table,)):
            dtype = np.dtype([(name, kind) for name, kind in json.loads(layout)])
            blocks.append(np.frombuffer(data, dtype=dtype))
    else:
        blocks.extend(_blocks(execute, table))
    names = [spec.name for spec in COLUMNS[table] if spec.name not in MEASURED]
    # Blocks differ in the width of their text; joining makes it that of the widest.
    return PackedTable(table, {name: np.concatenate([block[name] for block in blocks]) for name in names})
