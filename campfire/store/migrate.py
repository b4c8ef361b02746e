"""The version of the database: creating it, bringing it forward, refusing what is newer, importing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Literal

from campfire.disk import disk_faults, process_lock
from campfire.errors import CampfireError, ValidationError
from campfire.publishing import settle, sync_folder
from campfire.store.connection import connect, use_safe_journal
from campfire.store.rows import split
from campfire.store.writer import Writer
from campfire.typing import Row

__all__ = [
    "APPLICATION_ID",
    "MIGRATIONS",
    "VERSION",
    "bring_forward",
    "create",
    "import_official",
    "is_filled",
    "kind_of",
    "upgrade",
]

APPLICATION_ID = 0x43464952
MIGRATIONS: tuple[str, ...] = ("schema.sql",)
"""Scripts of this package; number n brings a database from version n to n + 1."""
VERSION = len(MIGRATIONS)
OFFICIAL_VERSION = "4"

Kind = Literal["empty", "current", "older", "newer", "official", "foreign"]


def kind_of(connection: sqlite3.Connection) -> Kind:
    """Tell what a database is, without changing it.

    Raises
    ------
    sqlite3.DatabaseError
        If the file is no database.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application == APPLICATION_ID:
        return "current" if version == VERSION else "older" if version < VERSION else "newer"
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return "empty"
    if {"_meta", "objects", "spectra"} <= tables:
        found = connection.execute("SELECT value FROM _meta WHERE key = 'schema_version'").fetchone()
        if found and str(found[0]) == OFFICIAL_VERSION:
            return "official"
    return "foreign"


def is_filled(file: Path) -> bool:
    """Tell whether a file is a catalogue that was synchronised or filled; the official client's counts.

    Raises
    ------
    CampfireError
        If what is in its place is damaged, something else, or not to be opened.
    """
    with disk_faults("cannot read the catalogue", file):
        # A link to a disk that is not mounted, or a file on the way, is not a folder without a catalogue.
        nearest = next(folder for folder in file.parents if _there(folder))
        if not stat.S_ISDIR(nearest.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
        for place in (file, *(Path(f"{file}-{suffix}") for suffix in ("wal", "shm", "journal"))):
            if place.exists() and not place.is_file():  # SQLite would wait for what comes through a pipe
                raise ValidationError(
                    f"{place} is no plain file", hint="look at what is there, and move it away", path=place
                )
        if not os.path.lexists(file):
            return False
        if file.stat().st_size == 0:
            if os.path.lexists(f"{file}-journal"):
                return False  # it is being made
            raise CampfireError(
                f"{file} is empty: a sync was stopped before it began, or the file was lost",
                hint="run `campfire sync` to fetch the catalogue again",
                path=file,
            )
        with closing(connect(file, read_only=True)) as connection:
            kind = kind_of(connection)
            if kind == "official":
                return os.access(file.parent, os.W_OK)
            if kind != "current":
                return kind == "older"
            synced = "EXISTS (SELECT 1 FROM meta WHERE key = 'last_synced')"
            sql = f"SELECT {synced} OR EXISTS (SELECT 1 FROM objects)"
            return bool(connection.execute(sql).fetchone()[0])


def _there(path: Path) -> bool:
    """Tell whether something has this path; a path that nothing can have is an error.

    Raises
    ------
    OSError
        If it is too long, or may not be looked at.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Create or bring forward the schema, in one transaction; several processes may try at once.

    Raises
    ------
    CampfireError
        If the database is newer than this program, or not a catalogue.
    """
    kind = kind_of(connection)
    if kind == "newer":
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        raise CampfireError(
            f"{path} has schema {version}, this campfire knows up to {VERSION}",
            hint="upgrade campfire, or use another data directory",
            path=path,
        )
    if kind == "foreign":
        raise CampfireError(
            f"{path} is not a campfire catalogue", hint="move it aside, then run `campfire sync`", path=path
        )
    if kind == "current":
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for script in MIGRATIONS[version:]:
            text = files("campfire.store").joinpath(script).read_text(encoding="utf-8")
            for statement in _statements(text):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise


def bring_forward(path: Path, lock: Path) -> None:
    """Make a catalogue one of this version and of a safe journal mode; the official client's is imported.

    Raises
    ------
    CampfireError
        If the database is newer than this program, or not a catalogue.
    OSError, sqlite3.Error
        If it cannot be written.
    """
    connection = connect(path, read_only=False)
    try:
        if kind_of(connection) == "official":
            connection.close()
            with process_lock(lock):
                connection = connect(path, read_only=False)
                if kind_of(connection) == "official":
                    connection.close()
                    import_official(path)
                    connection = connect(path, read_only=False)
        upgrade(connection, path)
        use_safe_journal(connection, path)
    finally:
        connection.close()


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def create(path: Path) -> None:
    """Create an empty catalogue."""
    connection = connect(path, read_only=False)
    try:
        upgrade(connection, path)
    finally:
        connection.close()


# --- the official client's file -----------------------------------------------------------------------------


def import_official(path: Path) -> Path:
    """Turn the official client's catalogue (schema 4) into ours, keeping its download records.

    The new file is built beside the old one and put in its place at the end; until then, and after a crash,
    the old one is what it was. To be called under a lock between processes.

    Returns
    -------
    pathlib.Path
        Where the copy of the official file is kept.

    Raises
    ------
    CampfireError
        If another program has the file open.
    """
    building = path.with_name(f".{path.name}.{os.getpid()}.migrating")
    copy = building.with_suffix(".copy")
    source = connect(path, read_only=False)
    try:
        _settle(source, path)
        shutil.copy2(path, copy)
        create(building)
        target = connect(building, read_only=False)
        try:
            _copy(source, target)
        finally:
            target.close()
        kept = _free_name(path)
        for done in (copy, building):
            settle(done)
        os.replace(copy, kept)
        sync_folder(path.parent)  # before the old one goes
        source.close()
        os.replace(building, path)
        sync_folder(path.parent)
    finally:
        source.close()
        for left in (building, copy):
            left.unlink(missing_ok=True)
    return kept


def _settle(source: sqlite3.Connection, path: Path) -> None:
    """Bring what is in the write-ahead log into the file, so that the file is all there is."""
    mode = ""
    try:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (mode,) = source.execute("PRAGMA journal_mode=delete").fetchone()
    except sqlite3.OperationalError as err:
        if "lock" not in str(err):
            raise
    if mode != "delete":
        raise CampfireError(
            f"{path} belongs to another program that is running",
            hint="end it, then try again: the catalogue will be migrated",
            path=path,
        )


def _free_name(path: Path) -> Path:
    name = path.with_name(f"{path.stem}.official-4{path.suffix}")
    number = 1
    while name.exists():
        number += 1
        name = path.with_name(f"{path.stem}.official-4.{number}{path.suffix}")
    return name


def _rows(source: sqlite3.Connection, sql: str) -> Iterator[Row]:
    cursor = source.execute(sql)
    names = [item[0] for item in cursor.description]
    for values in cursor:
        yield dict(zip(names, values, strict=True))


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    writer = Writer(target)
    target.execute("BEGIN IMMEDIATE")
    writer.put_tags(_rows(source, "SELECT * FROM object_lists"))
    memberships: dict[str, list[str]] = {}
    for name, slug in source.execute("SELECT object_id, list_slug FROM object_list_memberships"):
        memberships.setdefault(name, []).append(slug)
    lists = ("programs", "gratings", "member_target_ids")
    writer.put_objects(
        row | {name: split(row[name]) for name in lists} | {"lists": memberships.get(row["object_id"], [])}
        for row in _rows(source, "SELECT * FROM objects WHERE is_active IS NULL OR is_active <> 0")
    )
    writer.put_spectra(_rows(source, "SELECT * FROM spectra"))
    writer.put_photometry(
        row | {"photometry": row["photometry"] or "{}"}
        for row in _rows(source, "SELECT * FROM object_photometry")
    )
    writer.put_programs(
        {"slug": slug, "program_name": slug}
        for (slug,) in source.execute("SELECT DISTINCT program_slug FROM spectra WHERE program_slug <> ''")
    )
    now = datetime.now(UTC).isoformat()
    target.executemany(
        "INSERT OR REPLACE INTO local_files VALUES (?,?,?,?,?,'download',?)",
        [
            (
                row["spectrum_id"],
                row["local_path"],
                row["local_file_hash"],
                row["local_file_size"] or 0,
                row["local_file_mtime"] or 0.0,
                row["synced_at"] or now,
            )
            for row in _rows(
                source, "SELECT * FROM spectra WHERE local_path IS NOT NULL AND local_file_hash IS NOT NULL"
            )
        ],
    )
    synced = source.execute("SELECT max(_synced_at) FROM objects").fetchone()[0]
    if synced:
        writer.set_meta("last_synced", synced)
    writer.set_meta("imported", json.dumps({"schema": "official 4", "at": now}))
    writer.finish()
    target.execute("COMMIT")
