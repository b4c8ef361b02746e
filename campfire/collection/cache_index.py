"""The index of the pixel cache: which row of which table holds a file; and the lock of those who write.

One SQLite file with a rollback journal (no WAL: caches live on network file systems). Readers only read; a
writer holds ``BEGIN IMMEDIATE`` from before the first pixel is appended until the rows are committed here, so
rows that are not committed do not exist, and the next writer overwrites them.

Whoever can write the folder can write the index, so that what it says is looked at before it is believed: a
table whose name is not the one its columns make, or a row outside its table, is passed over.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from campfire.collection.pixel_table import store_name, valid_width
from campfire.config import safe_component
from campfire.disk import check_database, create_file, demand_locks
from campfire.errors import ValidationError

__all__ = ["CacheIndex", "IndexWriter", "Key", "Place", "StoreRow"]

Key: TypeAlias = tuple[str, str]
"""File hash and extraction: what a row of pixels is made of, whole and only."""

_BUSY_SECONDS = 120.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS store (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, grating TEXT NOT NULL, dtype TEXT NOT NULL,
    width INTEGER NOT NULL, generation INTEGER NOT NULL, rows INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS pixels (
    file_hash TEXT NOT NULL, extraction TEXT NOT NULL, store INTEGER NOT NULL, row INTEGER NOT NULL,
    n_pixels INTEGER NOT NULL, PRIMARY KEY (file_hash, extraction)
) WITHOUT ROWID;
"""


Place: TypeAlias = tuple[str, int, int]
"""Where a row is: table, row, length. A plain tuple: making them is much of the time of an opening."""


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One table of the cache; ``rows`` of it are committed."""

    name: str
    grating: str
    dtype: str
    width: int
    generation: int
    rows: int


_OURS = {" ".join(statement.split()).replace(" IF NOT EXISTS", "") for statement in _SCHEMA.split(";")} - {""}


def _demand_ours(connection: sqlite3.Connection) -> bool:
    """Return whether the tables are there, exactly as made here; False in an empty database.

    Raises
    ------
    sqlite3.DatabaseError
        If there is anything else: views and triggers run when they are used, and a file of this name may be
        another program's.
    """
    named = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    found = {" ".join(str(sql).split()) for name, sql in named if not str(name).startswith("sqlite_stat")}
    if found and found != _OURS:
        raise sqlite3.DatabaseError("it is not the index of a pixel cache")
    return bool(found)


_MOST = 2**40  # rows and generations: further than any cache goes, and exact in every kind of number
_DTYPES = ("float32", "float64")


def _store_of(row: tuple[Any, ...]) -> StoreRow | None:
    """Return a row of the table ``store`` if it can be one of ours, else None."""
    name, grating, dtype, width, generation, rows = row
    numbers = all(type(value) is int and 0 <= value < _MOST for value in (width, generation, rows))
    if not numbers or dtype not in _DTYPES or not valid_width(width):
        return None
    try:
        safe_component(grating, "grating")
    except ValidationError:
        return None
    if name != store_name(grating, np.dtype(dtype), width, generation):
        return None
    return StoreRow(*row)


def _numbered(connection: sqlite3.Connection) -> dict[int, StoreRow]:
    _demand_ours(connection)
    rows = connection.execute("SELECT id, name, grating, dtype, width, generation, rows FROM store")
    stores = ((number, _store_of(tuple(row))) for number, *row in rows)
    return {number: store for number, store in stores if store is not None}


def _place(store: StoreRow | None, row: Any, n_pixels: Any) -> Place | None:
    """Return where a row is, or None if it can be nowhere."""
    if store is None or type(row) is not int or type(n_pixels) is not int:
        return None
    return (store.name, row, n_pixels) if 0 <= row < store.rows and 0 <= n_pixels <= store.width else None


def _find(connection: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, Place]:
    by_extraction: dict[str, set[str]] = {}
    for file_hash, extraction in keys:
        by_extraction.setdefault(extraction, set()).add(file_hash)
    stores = _numbered(connection)
    (total,) = connection.execute("SELECT count(*) FROM pixels").fetchone()
    columns = "SELECT file_hash, store, row, n_pixels FROM"
    found: dict[Key, Place] = {}
    for extraction, hashes in by_extraction.items():
        if total < 4 * len(hashes):  # most of it is wanted: one scan is quicker than many look-ups
            rows = connection.execute(f"{columns} pixels WHERE extraction = ?", (extraction,))
        else:
            rows = connection.execute(
                f"{columns} json_each(?) JOIN pixels ON file_hash = value AND extraction = ?",
                (json.dumps(list(hashes)), extraction),
            )
        for file_hash, number, row, n_pixels in rows.fetchall():
            place = _place(stores.get(number), row, n_pixels) if file_hash in hashes else None
            if place is not None:
                found[file_hash, extraction] = place
    return found


def _stores(connection: sqlite3.Connection) -> list[StoreRow]:
    return sorted(_numbered(connection).values(), key=lambda store: store.name)


class IndexWriter:
    """What may be done while the lock is held."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, keys: Iterable[Key]) -> dict[Key, Place]:
        """Return the places of those keys that are committed."""
        return _find(self._connection, keys)

    def stores(self) -> list[StoreRow]:
        """Return every table, by name."""
        return _stores(self._connection)

    def places_in(self, store: str) -> dict[Key, Place]:
        """Return every row of one table."""
        of_store = {known.name: known for known in self.stores()}.get(store)
        rows = self._connection.execute(
            "SELECT file_hash, extraction, row, n_pixels FROM pixels "
            "WHERE store = (SELECT id FROM store WHERE name = ?) ORDER BY row",
            (store,),
        )
        found = (((hash_, extraction), _place(of_store, row, n)) for hash_, extraction, row, n in rows)
        return {key: place for key, place in found if place is not None}

    def put_store(self, store: StoreRow) -> None:
        """Add a table or set its committed length."""
        self._connection.execute(
            "INSERT INTO store (name, grating, dtype, width, generation, rows) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET rows = excluded.rows",
            (store.name, store.grating, store.dtype, store.width, store.generation, store.rows),
        )

    def put(self, places: Mapping[Key, Place]) -> None:
        """Add rows, or move them; their tables have to be there."""
        ids = {store.name: number for number, store in _numbered(self._connection).items()}
        self._connection.executemany(
            "INSERT OR REPLACE INTO pixels VALUES (?, ?, ?, ?, ?)",
            [(*key, ids[store], row, n_pixels) for key, (store, row, n_pixels) in places.items()],
        )

    def drop_store(self, name: str) -> None:
        """Forget a table and its rows."""
        self._connection.execute(
            "DELETE FROM pixels WHERE store = (SELECT id FROM store WHERE name = ?)", (name,)
        )
        self._connection.execute("DELETE FROM store WHERE name = ?", (name,))


@dataclass(frozen=True, slots=True)
class CacheIndex:
    """The index file; a connection lives no longer than one call."""

    path: Path

    def _connect(self, *, write: bool) -> sqlite3.Connection:
        check_database(self.path, write=write)
        self._demand_locks(write=write)
        if write:
            create_file(self.path)
            return sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        # Neither mode makes a file; rw where possible, since only that can clear up after a killed writer.
        writable = os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
        mode = "rw" if writable and self.path.stat().st_nlink == 1 else "ro"
        return sqlite3.connect(f"{self.path.as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS)

    def _demand_locks(self, *, write: bool) -> None:
        """Refuse a file system without locks at once, where SQLite would wait for one until it gives up.

        Never asks on the index itself: closing it would let go of locks that SQLite holds in this process.
        """
        folder = self.path.parent
        if write:
            with tempfile.TemporaryFile(dir=folder) as file:
                demand_locks(file.fileno(), folder)
        elif (probe := next(folder.glob("pixels/*/*/zarr.json"), None)) is not None and probe.is_file():
            with probe.open("rb") as file:
                demand_locks(file.fileno(), folder)

    def find(self, keys: Iterable[Key]) -> dict[Key, Place]:
        """Return the places of those keys that are committed; raises as :meth:`write`, or without one."""
        with closing(self._connect(write=False)) as connection:
            return _find(connection, keys)

    def stores(self) -> list[StoreRow]:
        """Return every table, by name; raises as :meth:`write`, or if there is none."""
        with closing(self._connect(write=False)) as connection:
            return _stores(connection)

    def counts(self) -> dict[str, int]:
        """Return how many rows of each table are in use; raises as :meth:`write`, or if there is none."""
        with closing(self._connect(write=False)) as connection:
            stores = _numbered(connection)
            counted = connection.execute("SELECT store, count(*) FROM pixels GROUP BY store").fetchall()
            return {stores[number].name: count for number, count in counted if number in stores}

    @contextmanager
    def write(self) -> Iterator[IndexWriter]:
        """Hold the lock; commit at the end, or nothing at all.

        Raises
        ------
        OSError, sqlite3.Error
            If the file cannot be written, the file system has no locks, or the lock is not free within two
            minutes.
        ValidationError
            If it, or what lies beside it, is not a plain file: see :func:`campfire.disk.check_database`.
        """
        with closing(self._connect(write=True)) as connection:
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("BEGIN IMMEDIATE")
            try:
                if not _demand_ours(connection):
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                yield IndexWriter(connection)
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
