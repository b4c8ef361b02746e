"""The index of the pixel cache: which row of which table holds a file; and the lock of those who write.

One SQLite file with a rollback journal (no WAL: caches live on network file systems). Readers only read; a
writer holds ``BEGIN IMMEDIATE`` from before the first pixel is appended until the rows are committed here, so
rows that are not committed do not exist, and the next writer overwrites them.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

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


def _names(connection: sqlite3.Connection) -> dict[int, str]:
    return dict(connection.execute("SELECT id, name FROM store"))


def _find(connection: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, Place]:
    by_extraction: dict[str, set[str]] = {}
    for file_hash, extraction in keys:
        by_extraction.setdefault(extraction, set()).add(file_hash)
    (total,) = connection.execute("SELECT count(*) FROM pixels").fetchone()
    names = _names(connection)
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
            if file_hash in hashes:
                found[file_hash, extraction] = (names[number], row, n_pixels)
    return found


def _stores(connection: sqlite3.Connection) -> list[StoreRow]:
    rows = connection.execute("SELECT name, grating, dtype, width, generation, rows FROM store ORDER BY name")
    return [StoreRow(*row) for row in rows]


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
        rows = self._connection.execute(
            "SELECT file_hash, extraction, row, n_pixels FROM pixels "
            "WHERE store = (SELECT id FROM store WHERE name = ?) ORDER BY row",
            (store,),
        )
        return {(file_hash, extraction): (store, row, n) for file_hash, extraction, row, n in rows}

    def put_store(self, store: StoreRow) -> None:
        """Add a table or set its committed length."""
        self._connection.execute(
            "INSERT INTO store (name, grating, dtype, width, generation, rows) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET rows = excluded.rows",
            (store.name, store.grating, store.dtype, store.width, store.generation, store.rows),
        )

    def put(self, places: Mapping[Key, Place]) -> None:
        """Add rows, or move them; their tables have to be there."""
        ids = {name: number for number, name in _names(self._connection).items()}
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
        if write:
            return sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        # Neither mode makes a file; rw where possible, since only that can clear up after a killed writer.
        mode = "rw" if os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK) else "ro"
        return sqlite3.connect(f"{self.path.as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS)

    def find(self, keys: Iterable[Key]) -> dict[Key, Place]:
        """Return the places of those keys that are committed; sqlite3.Error where there is no index."""
        with closing(self._connect(write=False)) as connection:
            return _find(connection, keys)

    def stores(self) -> list[StoreRow]:
        """Return every table, by name; sqlite3.Error where there is no index."""
        with closing(self._connect(write=False)) as connection:
            return _stores(connection)

    def counts(self) -> dict[str, int]:
        """Return how many rows of each table are in use; sqlite3.Error where there is no index."""
        with closing(self._connect(write=False)) as connection:
            return dict(
                connection.execute("SELECT name, count(*) FROM pixels JOIN store ON id = store GROUP BY name")
            )

    @contextmanager
    def write(self) -> Iterator[IndexWriter]:
        """Hold the lock; commit at the end, or nothing at all.

        Raises
        ------
        sqlite3.Error
            If the file cannot be written, or the lock is not free within two minutes.
        """
        with closing(self._connect(write=True)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                yield IndexWriter(connection)
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
