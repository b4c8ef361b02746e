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
from typing import NamedTuple, TypeAlias

__all__ = ["CacheIndex", "IndexWriter", "Key", "Place", "StoreRow"]

Key: TypeAlias = tuple[str, str]
"""File hash and extraction: what a row of pixels is made of, whole and only."""

_BUSY_SECONDS = 120.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS store (
    name TEXT PRIMARY KEY, grating TEXT NOT NULL, dtype TEXT NOT NULL, width INTEGER NOT NULL,
    generation INTEGER NOT NULL, rows INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pixels (
    file_hash TEXT NOT NULL, extraction TEXT NOT NULL, store TEXT NOT NULL, row INTEGER NOT NULL,
    n_pixels INTEGER NOT NULL, PRIMARY KEY (file_hash, extraction)
) WITHOUT ROWID;
"""


class Place(NamedTuple):
    """Where a row is."""

    store: str
    row: int
    n_pixels: int


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One table of the cache; ``rows`` of it are committed."""

    name: str
    grating: str
    dtype: str
    width: int
    generation: int
    rows: int


def _find(connection: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, Place]:
    by_extraction: dict[str, set[str]] = {}
    for file_hash, extraction in keys:
        by_extraction.setdefault(extraction, set()).add(file_hash)
    found: dict[Key, Place] = {}
    for extraction, hashes in by_extraction.items():
        rows = connection.execute(
            "SELECT file_hash, store, row, n_pixels FROM json_each(?) "
            "JOIN pixels ON file_hash = value AND extraction = ?",
            (json.dumps(list(hashes)), extraction),
        )
        found.update(((file_hash, extraction), Place(*place)) for file_hash, *place in rows)
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
            "SELECT file_hash, extraction, store, row, n_pixels FROM pixels WHERE store = ? ORDER BY row",
            (store,),
        )
        return {(file_hash, extraction): Place(*place) for file_hash, extraction, *place in rows}

    def put_store(self, store: StoreRow) -> None:
        """Add a table or set its committed length."""
        self._connection.execute(
            "INSERT OR REPLACE INTO store VALUES (?, ?, ?, ?, ?, ?)",
            (store.name, store.grating, store.dtype, store.width, store.generation, store.rows),
        )

    def put(self, places: Mapping[Key, Place]) -> None:
        """Add rows, or move them."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO pixels VALUES (?, ?, ?, ?, ?)",
            [(*key, *place) for key, place in places.items()],
        )

    def drop_store(self, name: str) -> int:
        """Forget a table and its rows; returns how many rows."""
        self._connection.execute("DELETE FROM store WHERE name = ?", (name,))
        return self._connection.execute("DELETE FROM pixels WHERE store = ?", (name,)).rowcount


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
            return dict(connection.execute("SELECT store, count(*) FROM pixels GROUP BY store"))

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
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
