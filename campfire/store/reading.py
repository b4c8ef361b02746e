"""Rows out of the database: columns for tables, dictionaries for iterators."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from campfire.columns import COLUMNS, DISTANCE, Columns, TableName
from campfire.config import DataPaths
from campfire.query import Query, distance_arcsec
from campfire.store.file_state import local_paths
from campfire.store.packed_columns import PackedTable, load
from campfire.store.rows import split
from campfire.store.sql import CHORD, SELECTED, compile_query, key_of
from campfire.typing import Row

__all__ = ["Reading"]

Execute = Callable[[str, Sequence[Any]], sqlite3.Cursor]

_LARGE = 1000
"""Rows from which on an answer is taken from packed columns."""


class Reading:
    """Reads answers of queries; safe to use from several threads.

    Parameters
    ----------
    execute
        Runs a statement on the connection of the calling thread.
    open_
        Opens another connection.
    paths
        The data directory, for ``local_path``.
    """

    def __init__(self, execute: Execute, open_: Callable[[], sqlite3.Connection], paths: DataPaths) -> None:
        self._execute = execute
        self._open = open_
        self._paths = paths
        self._packed: dict[TableName, tuple[str, PackedTable]] = {}

    def select(self, query: Query) -> Columns:
        """Return the rows of a query, column by column."""
        cone = query.get("cone_search")
        if cone is None and (query.limit is None or query.limit >= _LARGE):
            columns = self._select_large(query)
            if columns is not None:
                return columns
        found = self._execute(*compile_query(query)).fetchall()
        names = [*SELECTED[query.table], *([CHORD] if cone else [])]
        values: dict[str, Sequence[Any]] = dict.fromkeys(names, ())
        if found:
            values = dict(zip(names, zip(*found, strict=True), strict=True))
        for spec in COLUMNS[query.table]:
            if spec.kind == "list":
                values[spec.name] = [split(text) for text in values[spec.name]]
        if CHORD in values:
            values[DISTANCE.name] = distance_arcsec(values.pop(CHORD)).tolist()
        if query.table == "spectra":
            values["local_path"] = local_paths(self._paths, values["observation"], values["fits_path"])
        return Columns.from_values(query.table, values)

    def _select_large(self, query: Query) -> Columns | None:
        """Return the answer from packed columns; None where it has few rows."""
        started = self._begin()
        try:
            sql, parameters = compile_query(query, key_of(query.table))
            ids = [key for (key,) in self._execute(sql, parameters)]
            if len(ids) < _LARGE:
                return None
            packed = self._table(query.table)
        finally:
            if started:
                self._execute("COMMIT", ())
        arrays = packed.take(np.array(ids, dtype=np.int64))
        if query.table == "spectra":
            there = local_paths(self._paths, arrays["observation"].tolist(), arrays["fits_path"].tolist())
            spec = next(spec for spec in COLUMNS["spectra"] if spec.name == "local_path")
            arrays["local_path"] = spec.array(there)
        return Columns(query.table, {spec.name: arrays[spec.name] for spec in COLUMNS[query.table]})

    def _begin(self) -> bool:
        """Open a transaction, so that all that follows is read from one state; not within another one."""
        if self._execute("SELECT 1", ()).connection.in_transaction:
            return False
        self._execute("BEGIN", ())
        return True

    def _table(self, table: TableName) -> PackedTable:
        known = dict(self._execute("SELECT key, value FROM meta WHERE key IN ('revision', 'packed')", ()))
        revision = known.get("revision", "0")
        held = self._packed.get(table)
        if held is None or held[0] != revision:
            held = revision, load(self._execute, table, stored=known.get("packed") == revision)
            self._packed[table] = held
        return held[1]

    def stream(self, query: Query, chunk: int) -> Iterator[Row]:
        """Yield the rows of a query as dictionaries, reading ``chunk`` of them at a time."""
        if self._execute("PRAGMA journal_mode", ()).fetchone()[0] != "wal":
            yield from self._stream_by_key(query, chunk)
            return
        # A statement that is open holds its connection to the state it began with. This one may stay open for
        # long, or for ever: on a connection of its own it holds nobody else.
        connection = self._open()
        try:
            cursor = connection.execute(*compile_query(query))
            while found := cursor.fetchmany(chunk):
                yield from self.rows(query, found)
        finally:
            connection.close()

    def _stream_by_key(self, query: Query, chunk: int) -> Iterator[Row]:
        """Stream without keeping a statement open: with a rollback journal it would lock out every writer."""
        sql, parameters = compile_query(query, key_of(query.table))
        keys = [key for (key,) in self._execute(sql, parameters)]
        place = SELECTED[query.table].index("id")
        among = f"{key_of(query.table)} IN (SELECT value FROM json_each(?))"
        whole = query.replace(limit=None, offset=0)
        for start in range(0, len(keys), chunk):
            part = keys[start : start + chunk]
            sql, parameters = compile_query(whole, where=among, parameters=(json.dumps(part),))
            found = {values[place]: values for values in self._execute(sql, parameters)}
            yield from self.rows(query, [found[key] for key in part if key in found])

    def rows(self, query: Query, found: Sequence[tuple[Any, ...]]) -> list[Row]:
        """Turn what a compiled query selected into rows with the columns of results, in their order."""
        specs = COLUMNS[query.table]
        names = SELECTED[query.table]
        rows = [dict(zip(names, values, strict=False)) for values in found]
        if query.table == "spectra":
            folders, files = [row["observation"] for row in rows], [row["fits_path"] for row in rows]
            for row, path in zip(rows, local_paths(self._paths, folders, files), strict=True):
                row["local_path"] = path
        lists = [spec.name for spec in specs if spec.kind == "list"]
        truths = [spec.name for spec in specs if spec.kind == "bool"]
        made = []
        for row in rows:
            ordered = {spec.name: row[spec.name] for spec in specs}
            ordered |= {name: split(row[name]) for name in lists}
            ordered |= {name: bool(row[name]) for name in truths}
            made.append(ordered)
        if query.get("cone_search"):
            distances = distance_arcsec([values[-1] for values in found]).tolist()
            for ordered, distance in zip(made, distances, strict=True):
                ordered[DISTANCE.name] = distance
        return made
