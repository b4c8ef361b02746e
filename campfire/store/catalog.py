"""The catalogue: a SQLite file that is read from any thread and written in whole transactions.

======================================================  ======================================================
``Catalog(path, *, read_only=False)``                    context manager, thread-safe, picklable
``Catalog.is_valid(path) -> bool``                       whether there is a filled catalogue
``.select(query) -> Columns``                            rows of a query, column by column
``.iter_rows(query, chunk=1000) -> Iterator[Row]``       the same as dictionaries, streamed
``.count(query) -> int``                                 how many match, whatever limit and offset
``.object_row(name)``, ``.spectrum_row(name)``           one row or None; a target id finds its object
``.spectra_of(object_id)``, ``.photometry_of``, ``.tags_of``  what belongs to an object
``.programs() .observations() .tags() .targets(...)``    rows; ``.fields() .gratings()``: names
``.vocabulary() -> Vocabulary``                          the names queries are checked against
``.last_synced``, ``.get_meta(key)``, ``.revision``      what is known of the catalogue itself
``.write() -> Writer``                                   context manager: one transaction
``.record_file(...) .forget_file(...) .local_files()``   files on this disk; ``.stale_files()``
======================================================  ======================================================

``select`` and ``iter_rows`` take names as they are; ``query.resolved(catalog.vocabulary())`` checks them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from campfire.columns import Columns
from campfire.config import DataPaths
from campfire.disk import disk_error
from campfire.errors import CampfireError
from campfire.query import Query, Vocabulary
from campfire.store import migrate
from campfire.store.connection import Connections, connect
from campfire.store.derive import PHOTOMETRY_ORDER
from campfire.store.file_state import FileRecord, is_below
from campfire.store.reading import Reading
from campfire.store.rows import STORED, observation_rows, split
from campfire.store.sql import compile_count, compile_query
from campfire.store.writer import Writer
from campfire.typing import PathInput, Row

__all__ = ["Catalog"]


class Catalog:
    """One catalogue file.

    Parameters
    ----------
    path
        The database, ``<data_dir>/meta/campfire.db``.
    read_only
        Never write; the file must be there. A folder that cannot be written to has the same effect.

    Raises
    ------
    CampfireError
        If the file is newer than this program, not a catalogue, or not there and not to be made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Catalog(f"{folder}/meta/campfire.db") as catalog:
    ...     with catalog.write() as writer:
    ...         _ = writer.put_objects([{"object_id": "J1", "field": "uds", "ra": 34.2, "dec": -5.1}])
    ...     len(catalog.select(Query.of("objects", cone_search=(34.2, -5.1, 1.0))))
    1
    """

    def __init__(self, path: PathInput, *, read_only: bool = False) -> None:
        self.path = Path(path).expanduser().absolute()
        self.paths = DataPaths(self.path.parent.parent)
        there = self.path.exists()
        writable = (
            all(os.access(place, os.W_OK) for place in (self.path, self.path.parent)) if there else True
        )
        self._fault: CampfireError | None = None
        self._writing = threading.Lock()
        self._writer_thread: int | None = None
        self._vocabulary: tuple[str, Vocabulary] | None = None
        self._open(read_only=read_only or not writable)

    def _open(self, *, read_only: bool) -> None:
        """Open the file; where the disk does not let it be written (full, without locks), for reading."""
        try:
            self._prepare(read_only=read_only)
            self._fault = None
        except (OSError, sqlite3.Error) as err:
            fault = disk_error(err, "cannot use the catalogue", self.path)
            log = self.path.with_name(f"{self.path.name}-wal")
            if read_only or (log.exists() and log.stat().st_size):
                raise fault from err  # without its log, what is in the file need not be whole
            try:
                self._prepare(read_only=True)
            except (OSError, sqlite3.Error, CampfireError):
                raise fault from err
            self._fault = fault

    def demand_writable(self) -> None:
        """Make sure that the catalogue can be written; where the disk did not let it, it is tried again.

        Raises
        ------
        CampfireError
            If it cannot.
        """
        if self._fault is not None:
            self._connections.close()
            self._open(read_only=False)
        if self._fault is not None:
            raise self._fault
        if self.read_only:
            raise CampfireError(
                f"{self.path} is read-only", hint="use a data directory of your own", path=self.path
            )

    def _prepare(self, *, read_only: bool) -> None:
        self.read_only = read_only
        self._connections = Connections(self.path, read_only=read_only)
        self._reading = Reading(self.execute, self._connections.open, self.paths)
        if self.read_only:
            kind = migrate.kind_of(self._connections.get())
            if kind != "current":
                raise CampfireError(
                    f"{self.path} is not a catalogue of this version ({kind}) and cannot be changed",
                    hint="open it once where its folder can be written to",
                    path=self.path,
                )
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        migrate.bring_forward(self.path, self.lock_path)

    @property
    def lock_path(self) -> Path:
        """Lock file of what must not run twice at once: a sync, a migration."""
        return self.path.with_name(f".{self.path.name}.lock")

    @staticmethod
    def is_valid(path: PathInput) -> bool:
        """Tell whether a catalogue is there that was synchronised or filled; the official client's counts."""
        try:
            return migrate.is_filled(Path(path).expanduser().absolute())
        except CampfireError:
            return False

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; using the catalogue again opens new ones."""
        self._connections.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.path), self.read_only)

    # --- queries --------------------------------------------------------------------------------------------

    def select(self, query: Query) -> Columns:
        """Return the rows of a query, column by column.

        Returns
        -------
        Columns
            All columns of :data:`~campfire.columns.COLUMNS`, and ``distance_arcsec`` where there is a cone.
        """
        return self._reading.select(query)

    def iter_rows(self, query: Query, chunk: int = 1000) -> Iterator[Row]:
        """Stream the rows of a query as dictionaries, with the keys of :meth:`select`; None where unknown."""
        return self._reading.stream(query, chunk)

    def count(self, query: Query) -> int:
        """Count what a query matches, whatever its limit and offset."""
        return int(self.execute(*compile_count(query)).fetchone()[0])

    def object_row(self, name: str) -> Row | None:
        """Return the object of this name, or the one a target of this name belongs to, or None."""
        query, by_target = Query.of("objects"), "o.id = (SELECT object_pk FROM targets WHERE target_id = ?)"
        return self._one(query, "o.object_id = ?", name) or self._one(query, by_target, name)

    def spectrum_row(self, spectrum_id: str) -> Row | None:
        """Return the spectrum of this name, or None."""
        return self._one(Query.of("spectra"), "s.spectrum_id = ?", spectrum_id)

    def _one(self, query: Query, condition: str, value: str) -> Row | None:
        return next(iter(self._rows(query, condition, value)), None)

    def _rows(self, query: Query, condition: str, *values: Any) -> list[Row]:
        sql, parameters = compile_query(query, where=condition, parameters=values)
        return self._reading.rows(query, self.execute(sql, parameters).fetchall())

    def spectra_of(self, object_id: str) -> list[Row]:
        """Return the spectra of an object (or of a target's object), by target and grating."""
        row = self.object_row(object_id)
        if row is None:
            return []
        return self._rows(Query.of("spectra", sort="target_id"), "s.object_pk = ?", row["id"])

    def photometry_of(self, object_id: str) -> list[Row]:
        """Return the photometric records of an object; the closest match, which stands for it, first."""
        row = self.object_row(object_id)
        if row is None:
            return []
        rows = self._table("photometry", f"WHERE object_pk = ? ORDER BY {PHOTOMETRY_ORDER}", row["id"])
        for found in rows:
            found["object_id"] = row["object_id"]
            found["photometry"] = json.loads(found["photometry"])
            found["has_pz"] = bool(found["has_pz"])
            del found["object_pk"]
        return rows

    def tags_of(self, object_id: str) -> list[str]:
        """Return the tags of an object."""
        row = self.object_row(object_id)
        return [] if row is None else list(row["tags"])

    # --- the catalogue at large -----------------------------------------------------------------------------

    def programs(self) -> list[Row]:
        """Return the programs: ``slug``, ``program_name``, ``pi_name``, ``is_public``, ``jwst_program``."""
        rows = self._table("programs", "ORDER BY slug")
        for row in rows:
            row["is_public"] = None if row["is_public"] is None else bool(row["is_public"])
        return rows

    def observations(self) -> list[Row]:
        """Return the observations as the service describes them, by name."""
        return observation_rows(
            self.execute("SELECT * FROM observations ORDER BY observation, program_slug, field")
        )

    def tags(self) -> list[Row]:
        """Return the tags, system tags first, with ``member_count``."""
        names = [name for name in STORED["tags"] if name != "member_count"]
        selected = ", ".join(f"t.{name}" for name in names)
        counted = "coalesce(t.member_count, (SELECT count(*) FROM memberships m WHERE m.tag_id = t.id))"
        found = self.execute(
            f"SELECT {selected}, {counted} FROM tags t ORDER BY t.is_system DESC, t.name, t.slug"
        )
        rows = [dict(zip([*names, "member_count"], values, strict=True)) for values in found]
        for row in rows:
            row["is_system"] = bool(row["is_system"])
        return rows

    def targets(self, object_id: str) -> list[Row]:
        """Return the targets of an object, by name."""
        row = self.object_row(object_id)
        if row is None:
            return []
        rows = self._table("targets", "WHERE object_pk = ? ORDER BY target_id", row["id"])
        for target in rows:
            target["object_id"] = row["object_id"]
            del target["object_pk"]
        return rows

    def fields(self) -> list[str]:
        """Return the names of the fields."""
        return self._names("SELECT DISTINCT field FROM objects UNION SELECT DISTINCT field FROM spectra")

    def gratings(self) -> list[str]:
        """Return the gratings there are spectra of."""
        return self._names("SELECT DISTINCT grating FROM spectra")

    def observation_names(self) -> list[str]:
        """Return the names of the observations."""
        return self._names(
            "SELECT DISTINCT observation FROM spectra UNION SELECT observation FROM observations"
        )

    def vocabulary(self) -> Vocabulary:
        """Return all names that queries may use; kept until the catalogue changes."""
        state = f"{self.revision} {self.last_synced}"
        held = self._vocabulary
        if held is None or held[0] != state:
            numbers: dict[str, tuple[str, ...]] = {}
            for row in self.programs():
                for number in split(row["jwst_program"]):
                    numbers[number] = (*numbers.get(number, ()), row["slug"])
            programs = self._names("SELECT slug FROM programs UNION SELECT program_slug FROM spectra")
            # Names the service knows and this account has no rows of: right, though they match nothing.
            known = json.loads(self.get_meta("known_names") or "{}")
            vocabulary = Vocabulary(
                fields=_union(self.fields(), known.get("fields")),
                programs=tuple(programs),
                gratings=_union(self.gratings(), known.get("gratings")),
                observations=_union(self.observation_names(), known.get("observations")),
                tags=tuple(self._names("SELECT slug FROM tags")),
                jwst_programs=numbers,
            )
            held = state, vocabulary
            self._vocabulary = held
        return held[1]

    @property
    def revision(self) -> str:
        """Number that changes whenever rows of the catalogue do."""
        return self.get_meta("revision") or "0"

    @property
    def last_synced(self) -> str | None:
        """When a synchronisation last completed (ISO 8601, UTC), also if nothing had changed; else None."""
        return self.get_meta("last_synced")

    def get_meta(self, key: str) -> str | None:
        """Return a named value of the catalogue, or None."""
        found = self.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
        return None if found is None else str(found[0])

    def totals(self) -> dict[str, int]:
        """Count the rows of every table."""
        return {name: int(self.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for name in STORED}

    # --- writing --------------------------------------------------------------------------------------------

    @contextmanager
    def write(self, *, pack: bool = False) -> Iterator[Writer]:
        """Open a transaction; it is committed at the end, or rolled back as a whole on any exception.

        Only one is open at a time, among all threads and processes; readers go on reading what was.

        Parameters
        ----------
        pack
            Whether to leave packed columns for fast large queries (takes a second or two).

        Raises
        ------
        CampfireError
            If the catalogue is read-only, another process keeps it locked, or this thread writes already.
        """
        self.demand_writable()
        if self._writer_thread == threading.get_ident():
            raise CampfireError("this thread is writing to the catalogue already", hint="use the open writer")
        with self._writing:
            self._writer_thread = threading.get_ident()
            connection = connect(self.path, read_only=False)
            try:
                writer = Writer(connection)
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield writer
                    writer.finish(pack=pack)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # on a full disk SQLite has rolled back already
                        connection.execute("ROLLBACK")
                    raise
            except (OSError, sqlite3.Error) as err:
                raise disk_error(err, "cannot write the catalogue", self.path) from err
            finally:
                self._writer_thread = None
                connection.close()

    def record_file(
        self,
        spectrum_id: str,
        path: Path,
        hash: str,
        size: int,
        mtime: float,
        *,
        origin: Literal["download", "found"] = "download",
    ) -> None:
        """Note a file below ``products/``.

        Parameters
        ----------
        spectrum_id
            Whose file it is.
        path
            Where it is, absolute.
        hash, size, mtime
            What it was when it was written or found; hash as ``sha256:...``, size in bytes, time in seconds.
        origin
            ``download`` if this program wrote it (and may replace it), ``found`` if it was there.
        """
        relative = Path(path).absolute().relative_to(self.paths.products).as_posix()
        now = datetime.now(UTC).isoformat()
        with self.write() as writer:
            writer.execute(
                "INSERT OR REPLACE INTO local_files VALUES (?,?,?,?,?,?,?)",
                (spectrum_id, relative, hash, size, mtime, origin, now),
            )

    def forget_file(self, spectrum_id: str) -> None:
        """Forget a file; what is on the disk stays."""
        with self.write() as writer:
            writer.execute("DELETE FROM local_files WHERE spectrum_id = ?", (spectrum_id,))

    def local_files(self, spectrum_ids: Iterable[str] | None = None) -> dict[str, FileRecord]:
        """Return what is known of files on this disk, by spectrum."""
        wanted = None if spectrum_ids is None else set(spectrum_ids)
        return {
            row[0]: FileRecord(*row)
            for row in self.execute("SELECT * FROM local_files ORDER BY spectrum_id")
            if (wanted is None or row[0] in wanted) and is_below(row[1])
        }

    def stale_files(self) -> list[Row]:
        """Return downloaded files of which the archive has another version, by hash."""
        names = ("spectrum_id", "path", "local_hash", "server_hash", "observation", "grating")
        found = self.execute(
            "SELECT f.spectrum_id, f.path, f.hash, s.file_hash, s.observation, s.grating FROM local_files f"
            " JOIN spectra s ON s.spectrum_id = f.spectrum_id"
            " WHERE f.origin = 'download' AND s.file_hash IS NOT NULL AND s.file_hash <> f.hash"
            " ORDER BY f.spectrum_id"
        )
        rows = [dict(zip(names, values, strict=True)) for values in found]
        for row in rows:
            row["path"] = str(self.paths.products / row["path"])
        return rows

    # --- inside ---------------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a reading statement on this thread's connection; for the other modules of the store."""
        try:
            return self._connections.get().execute(sql, parameters)
        except sqlite3.Error as err:
            raise disk_error(err, "cannot read the catalogue", self.path) from err

    def _names(self, sql: str) -> list[str]:
        return sorted(name for (name,) in self.execute(sql) if name)

    def _table(self, table: str, tail: str, *values: Any) -> list[Row]:
        names = STORED[table]
        found = self.execute(f"SELECT {', '.join(names)} FROM {table} p {tail}", values)
        return [dict(zip(names, row, strict=True)) for row in found]


def _union(names: list[str], more: list[str] | None) -> tuple[str, ...]:
    return tuple(sorted({*names, *(more or ())}))


def _reopen(path: str, read_only: bool) -> Catalog:
    return Catalog(path, read_only=read_only)
