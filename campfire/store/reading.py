"""Rows out of the database: columns for tables, dictionaries for iterators."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from campfire.columns import COLUMNS, DISTANCE, Columns
from campfire.config import DataPaths
from campfire.query import Query, distance_arcsec
from campfire.store.files import local_paths
from campfire.store.rows import split
from campfire.store.sql import CHORD, SELECTED, compile_query
from campfire.typing import Row

__all__ = ["dictionaries", "select", "stream"]

Execute = Callable[[str, Sequence[Any]], sqlite3.Cursor]


def select(execute: Execute, paths: DataPaths, query: Query) -> Columns:
    """Return the rows of a query, column by column."""
    found = execute(*compile_query(query)).fetchall()
    names = [*SELECTED[query.table], *([CHORD] if query.get("cone_search") else [])]
    # Turned round in one go: no dictionary, and no Python code, for a single row.
    values: dict[str, Sequence[Any]] = dict.fromkeys(names, ())
    if found:
        values = dict(zip(names, zip(*found, strict=True), strict=True))
    for spec in COLUMNS[query.table]:
        if spec.kind == "list":
            values[spec.name] = [split(text) for text in values[spec.name]]
    if CHORD in values:
        values[DISTANCE.name] = distance_arcsec(values.pop(CHORD)).tolist()
    if query.table == "spectra":
        values["local_path"] = local_paths(paths, values["observation"], values["fits_path"])
    return Columns.from_values(query.table, values)


def stream(execute: Execute, paths: DataPaths, query: Query, chunk: int) -> Iterator[Row]:
    """Yield the rows of a query as dictionaries, reading ``chunk`` of them at a time."""
    cursor = execute(*compile_query(query))
    try:
        while found := cursor.fetchmany(chunk):
            yield from dictionaries(query, found, paths)
    finally:
        cursor.close()


def dictionaries(query: Query, found: Sequence[tuple[Any, ...]], paths: DataPaths) -> list[Row]:
    """Turn what a compiled query selected into rows with the columns of results, in their order."""
    specs = COLUMNS[query.table]
    names = SELECTED[query.table]
    rows = [dict(zip(names, values, strict=False)) for values in found]
    if query.table == "spectra":
        there = local_paths(paths, [row["observation"] for row in rows], [row["fits_path"] for row in rows])
        for row, path in zip(rows, there, strict=True):
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
