"""The SHA-256 of files on this disk, computed once and remembered until the file changes.

With each goes, where it was asked for, what the file says of itself, which is as true for as long.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from campfire.errors import CampfireError
from campfire.store.file_state import hash_file, is_hash

if TYPE_CHECKING:
    from campfire.store.catalog import Catalog

__all__ = ["Content", "FileHashes", "Stamp", "stamp_of"]

_log = logging.getLogger("campfire")
_THREADS = 8
_FEW = 500  # files asked for one by one; more are looked up in one scan
_WRITE_FROM = 64  # fresh hashes that are worth a transaction
_SETTLED_NS = (
    50_000_000  # the clock of a file system is coarse: a file younger than this may yet change unseen
)
_TABLE = """CREATE TABLE file_contents (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER,
    hash TEXT, says TEXT
) WITHOUT ROWID"""

Stamp = tuple[int, int, int, int]
"""Size, times of modification and of change (ns), inode: one of them differs once a file is another one."""


def stamp_of(path: str | os.PathLike[str]) -> Stamp:
    """Return what changes with a file.

    Raises
    ------
    OSError
        If it cannot be looked at.
    """
    status = os.stat(path)
    # The time of change cannot be set by a program, that of modification can.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


class Content(NamedTuple):
    """The content of a file: its hash, and what it says of itself (None where that was not asked)."""

    hash: str
    says: str | None = None


class FileHashes:
    """Hashes of the files of one data directory; safe to use from several threads.

    Parameters
    ----------
    products
        Folder of the files; what lies elsewhere is remembered in this process only.
    says
        Reads what a file says of itself, as text.
    """

    def __init__(self, products: Path, says: Callable[[str], str]) -> None:
        self._products = f"{products}{os.sep}"
        self._says = says
        self._known: dict[str, tuple[Stamp, Content]] = {}
        self._fresh: dict[str, tuple[Stamp, Content]] = {}
        self._young: dict[str, tuple[Stamp, Content]] = {}
        self._lock = threading.Lock()

    def recall(self, paths: Sequence[str], book: Catalog | None) -> None:
        """Take up what a catalogue remembers of files that are going to be asked for."""
        wanted = [path for path in paths if path not in self._known]
        if book is not None and wanted:
            self._known.update(_noted(book, self._products, wanted))

    def of(self, path: str | Path) -> str:
        """Return the hash of a file as it is now, read only if it changed; see :meth:`of_all`."""
        name = os.fspath(path)
        stamp = stamp_of(name)
        known = self._known.get(name)
        if known is None or known[0] != stamp:
            known = (stamp, Content(hash_file(name)))
            self._keep({name: known})
        return known[1].hash

    def of_all(self, paths: Sequence[str], book: Catalog | None = None) -> dict[str, Content]:
        """Return hash and claims of files as they are now.

        Parameters
        ----------
        paths
            Absolute paths.
        book
            Catalogue in which they are remembered beyond this process, if it can be written.

        Raises
        ------
        OSError
            If a file cannot be read.
        """
        self.recall(paths, book)
        stamps = {path: stamp_of(path) for path in paths}
        found = {p: k[1] for p, stamp in stamps.items() if (k := self._known.get(p)) and k[0] == stamp}
        missing = [path for path in stamps if path not in found or found[path].says is None]

        def read(path: str) -> Content:
            return Content(found[path].hash if path in found else hash_file(path), self._says(path))

        if len(missing) < 2:
            made = {path: read(path) for path in missing}
        else:
            with ThreadPoolExecutor(_THREADS) as pool:  # hashing releases the interpreter lock
                made = dict(zip(missing, pool.map(read, missing), strict=True))
        self._keep({path: (stamps[path], content) for path, content in made.items()})
        self.remember(book)
        return found | made

    def note(self, path: str | Path, digest: str) -> None:
        """Take the hash of a file that was computed while it was written, just now."""
        with self._lock:
            self._young[os.fspath(path)] = (stamp_of(path), Content(digest))

    def remember(self, book: Catalog | None) -> None:
        """Write what was found out into a catalogue, once it is enough to be worth a transaction."""
        with self._lock:
            young, self._young = self._young, {}
        self._keep({path: entry for path, entry in young.items() if _is(path, entry[0])})
        if book is None or book.read_only:
            return
        with self._lock:
            if len(self._fresh) < _WRITE_FROM:
                return
            writing, self._fresh = self._fresh, {}
        try:
            with book.write() as writer:
                writer.execute("DROP TABLE IF EXISTS file_hashes")  # of the first versions
                if not _made(book):
                    writer.execute("DROP TABLE IF EXISTS file_contents")
                    writer.execute(_TABLE)
                for path, (stamp, content) in writing.items():
                    values = (path.removeprefix(self._products), *stamp, *content)
                    writer.execute("INSERT OR REPLACE INTO file_contents VALUES (?,?,?,?,?,?,?)", values)
        except (
            CampfireError,
            sqlite3.Error,
        ) as err:  # the disk is full, another process writes: it is only a memory
            _log.info("hashes of %d files are not remembered: %s", len(writing), err)

    def _keep(self, made: dict[str, tuple[Stamp, Content]]) -> None:
        settled = time.time_ns() - _SETTLED_NS
        made = {path: entry for path, entry in made.items() if entry[0][2] < settled}
        with self._lock:
            self._known.update(made)
            self._fresh.update((p, e) for p, e in made.items() if p.startswith(self._products))


def _is(path: str, stamp: Stamp) -> bool:
    try:
        return stamp_of(path) == stamp
    except OSError:
        return False


def _made(book: Catalog) -> bool:
    """Tell whether the memory is there, and just as it was made: what lies in a folder can be anything."""
    select = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'file_contents'"
    return bool(book.execute(select).fetchone() == (_TABLE,))


def _noted(book: Catalog, products: str, paths: Iterable[str]) -> dict[str, tuple[Stamp, Content]]:
    """Return what the catalogue remembers of some files."""
    names = {path.removeprefix(products) for path in paths if path.startswith(products)}
    if not (names and _made(book)):
        return {}
    select = "SELECT path, size, mtime_ns, ctime_ns, inode, hash, says FROM file_contents"
    if len(names) > _FEW:
        rows = [row for row in book.execute(select) if row[0] in names]
    else:
        rows = list(book.execute(f"{select} WHERE path IN ({','.join('?' * len(names))})", list(names)))
    return {
        products + name: ((size, mtime, ctime, inode), Content(digest, says))
        for name, size, mtime, ctime, inode, digest, says in rows
        if is_hash(digest) and (says is None or isinstance(says, str))
    }
