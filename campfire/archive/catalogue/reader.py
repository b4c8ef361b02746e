"""Reading a served catalogue: a connection a thread, a snapshot a request, values kept until a write."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, local
from typing import Any, TypeVar

from campfire.store.connection import Connection, Connections, on_network
from campfire.typing import Row

__all__ = ["Conditions", "Reader", "Viewer", "Watch", "separation", "zoneless"]

MAPPED_BYTES = 2**30
"""Of the catalogue, read by all threads from the system's page cache instead of from a copy of each."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is asking: the slugs of the programs they can read, and their account."""

    programs: frozenset[str]
    account: str


class Conditions:
    """A WHERE clause put together part by part, with its bound values."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._texts: list[str] = []

    def add(self, text: str, *values: Any) -> None:
        """Add a part; ``values`` fill its question marks."""
        self._texts.append(text)
        self.values += values

    def among(self, expression: str, names: Iterable[Any], *, inside: str = "", negate: bool = False) -> None:
        """Add ``expression IN names``, with regard to case.

        With ``inside``, the beginning of a subquery up to the column that the names are compared with, it is
        ``expression IN (inside IN names)``.
        """
        # One bound value however many names there are: SQLite limits the number of values.
        listed = "(SELECT value FROM json_each(?))"
        test = f"({inside} COLLATE BINARY IN {listed})" if inside else listed
        collate = "" if inside else " COLLATE BINARY"
        self.add(f"{expression}{collate} {'NOT ' if negate else ''}IN {test}", json.dumps(list(names)))

    @property
    def sql(self) -> str:
        """The clause, starting with WHERE; nothing without parts."""
        return f" WHERE {' AND '.join(self._texts)}" if self._texts else ""


def zoneless(text: str | None) -> str | None:
    """Return a time as the service's zone-less columns have it.

    Examples
    --------
    >>> zoneless("2026-01-01T00:00:00.1+00:00")
    '2026-01-01T00:00:00.1'
    """
    return None if text is None else text.removesuffix("Z").removesuffix("+00:00")


def separation(ra: float | None, dec: float | None, ra0: float, dec0: float) -> float | None:
    """Return the great-circle distance of two positions, all in degrees (haversine formula)."""
    if ra is None or dec is None:
        return None
    up = math.sin(math.radians(dec - dec0) / 2.0) ** 2
    across = math.sin(math.radians(ra - ra0) / 2.0) ** 2
    h = up + math.cos(math.radians(dec)) * math.cos(math.radians(dec0)) * across
    return math.degrees(2.0 * math.asin(math.sqrt(min(max(h, 0.0), 1.0))))


class Reader:
    """Reads one catalogue from any number of threads.

    Parameters
    ----------
    path
        The catalogue; it may be written by other processes meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._connections = Connections(path, read_only=True)
        self._memory = local()
        self._network = on_network(path)

    def _connection(self) -> Connection:
        connection = self._connections.get()
        if getattr(self._memory, "connection", None) is not connection:
            if not self._network:
                connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
            self._memory.connection = connection
        return connection

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything inside be read from one state of the catalogue."""
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            yield
        finally:
            connection.execute("COMMIT")

    def values(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement as tuples."""
        found: list[tuple[Any, ...]] = self._connection().execute(sql, tuple(values)).fetchall()
        return found

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[Row]:
        """Return the rows of a statement as dictionaries."""
        cursor = self._connection().execute(sql, tuple(values))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, sql: str, values: Iterable[Any] = ()) -> Row | None:
        """Return the first row of a statement, or None."""
        return next(iter(self.rows(sql, values)), None)

    def scalar(self, sql: str, values: Iterable[Any] = ()) -> Any:
        """Return the first value of a statement's first row."""
        return self.values(sql, values)[0][0]

    def measure_separations(self) -> None:
        """Make :func:`separation` known to SQL on this thread's connection."""
        self._connection().create_function("separation", 4, separation, deterministic=True)

    def remembered(self, name: str, compute: Callable[[], T]) -> T:
        """Return what ``compute`` gave this thread for ``name`` since the catalogue last changed."""
        # The number is this connection's own: it moves when any other connection has written.
        connection = self._connection()
        state = (connection, connection.execute("PRAGMA data_version").fetchone()[0])
        if getattr(self._memory, "state", None) != state:
            self._memory.state, self._memory.values = state, {}
        known: dict[str, Any] = self._memory.values
        if name not in known:
            known[name] = compute()
        value: T = known[name]
        return value


class Watch:
    """Notices that a catalogue was written to.

    Parameters
    ----------
    path
        The catalogue.
    """

    def __init__(self, path: Path) -> None:
        self._connections = Connections(path, read_only=True)
        self._held: Connection | None = None
        self._lock = Lock()

    def state(self) -> int:
        """Return a number that is another one when any process has written to the catalogue."""
        # The number is only good for comparing within one connection: all threads use the same.
        with self._lock:
            if self._held is None:
                self._held = self._connections.open()
            return int(self._held.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._held is not None:
                self._held.close()
                self._held = None
