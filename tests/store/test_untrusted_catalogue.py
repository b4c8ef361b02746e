"""Statement: opening a catalogue for writing never changes or removes a file beside it that is another's."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from campfire.errors import ValidationError
from campfire.store.catalog import Catalog
from campfire.store.connection import connect


def _journal(database: Path, victim: Path) -> None:
    """Leave what a killed writer leaves, with a journal that names a file to be removed with it."""
    journal = Path(f"{database}-journal")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=delete")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE more (x)")
        connection.executemany("INSERT INTO more VALUES (?)", [("y" * 3000,)] * 99)
        content, half = journal.read_bytes(), database.read_bytes()
        connection.execute("ROLLBACK")
    database.write_bytes(half)
    name = str(victim).encode()
    (page,) = struct.unpack(">I", content[24:28])
    tail = struct.pack(">II", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
    journal.write_bytes(content + struct.pack(">I", 2**30 // page + 1) + name + tail)


FAULTS: dict[str, Callable[[Path, Path], object]] = {
    "journal names a file": _journal,
    "journal is a link": lambda database, victim: Path(f"{database}-journal").symlink_to(victim),
    "log is a link": lambda database, victim: Path(f"{database}-wal").symlink_to(victim),
    "log is a hard link": lambda database, victim: os.link(victim, f"{database}-wal"),
    "log is a pipe": lambda database, victim: os.mkfifo(f"{database}-wal"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_beside_a_catalogue_is_followed(fault: str, tmp_path: Path) -> None:
    database, victim = tmp_path / "campfire.db", tmp_path / "precious" / "thesis.tex"
    victim.parent.mkdir()
    victim.write_text("years of work")
    Catalog(database).close()
    FAULTS[fault](database, victim)
    with pytest.raises(ValidationError, match=r"link|plain file|names another file"):
        Catalog(database)
    assert victim.read_text() == "years of work"


def test_a_catalogue_behind_a_link_and_one_with_a_backup_by_hard_link_open(tmp_path: Path) -> None:
    database, link = tmp_path / "campfire.db", tmp_path / "link.db"
    Catalog(database).close()
    os.link(database, tmp_path / "backup.db")
    link.symlink_to(database)
    for path in (database, link):
        with closing(connect(path, read_only=False)) as connection:
            assert connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = 'nothing'"
            ).fetchone() == (0,)
