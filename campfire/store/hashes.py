"""The SHA-256 of files on this disk, computed once and remembered until the file changes."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from campfire.errors import CampfireError
from campfire.store.files import hash_file

if TYPE_CHECKING:
    from campfire.store.catalog import Catalog

__all__ = ["FileHashes"]

_log = logging.getLogger("campfire")
_THREADS = 8
_FEW = 500  # files asked for one by one; more are looked up in one scan
_WRITE_FROM = 64  # fresh hashes that are worth a transaction
_SETTLED_NS = (
    50_000_000  # the clock of a file system is coarse: a file younger than this may yet change unseen
)
_TABLE = """CREATE TABLE IF NOT EXISTS file_hashes (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, hash TEXT
) WITHOUT ROWID"""

Stamp = tuple[int, int, int, int]
"""Size, times of modification and of change (ns), inode: one of them differs once a file is another one."""


def _stamp(path: str) -> Stamp:
    status = os.stat(path)
    # The time of change cannot be set by a program, that of modification can.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


class FileHashes:
    """Hashes of the files of one data directory.

    Parameters
    ----------
    products
        Folder of the files; what lies elsewhere is remembered in this process only.
    """

    def __init__(self, products: Path) -> None:
        self._products = f"{products}{os.sep}"
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._fresh: dict[str, tuple[Stamp, str]] = {}
        self._lock = threading.Lock()

    def of(self, path: str | Path, book: Catalog | None = None) -> str:
        """Return the hash of a file as it is now; see :meth:`of_all`."""
        name = os.fspath(path)
        known = self._known.get(name)
        if known is not None and known[0] == _stamp(name):
            return known[1]
        return self.of_all([name], book)[name]

    def of_all(self, paths: Sequence[str], book: Catalog | None = None) -> dict[str, str]:
        """Return path -> ``sha256:...`` of files as they are now.

        Parameters
        ----------
        paths
            Absolute paths.
        book
            Catalogue in which hashes are remembered beyond this process, if it can be written.

        Raises
        ------
        OSError
            If a file cannot be read.
        """
        stamps = {path: _stamp(path) for path in paths}
        found = self._remembered(stamps, self._known)
        if book is not None and len(found) < len(stamps):
            noted = _noted(book, self._products, [path for path in stamps if path not in found])
            self._known.update(noted)
            found |= self._remembered(stamps, noted)
        missing = [path for path in stamps if path not in found]
        if missing:
            with ThreadPoolExecutor(_THREADS) as pool:  # hashing releases the interpreter lock
                made = dict(zip(missing, pool.map(hash_file, missing), strict=True))
            found |= made
            self._note({path: (stamps[path], digest) for path, digest in made.items()}, book)
        return found

    @staticmethod
    def _remembered(stamps: dict[str, Stamp], known: dict[str, tuple[Stamp, str]]) -> dict[str, str]:
        return {p: k[1] for p, stamp in stamps.items() if (k := known.get(p)) is not None and k[0] == stamp}

    def _note(self, made: dict[str, tuple[Stamp, str]], book: Catalog | None) -> None:
        settled = time.time_ns() - _SETTLED_NS
        made = {path: entry for path, entry in made.items() if entry[0][2] < settled}
        with self._lock:
            self._known.update(made)
            if book is None or book.read_only:
                return
            self._fresh.update((p, e) for p, e in made.items() if p.startswith(self._products))
            if len(self._fresh) < _WRITE_FROM:
                return
            writing, self._fresh = self._fresh, {}
        try:
            with book.write() as writer:
                writer.execute(_TABLE)
                for path, (stamp, digest) in writing.items():
                    name = path.removeprefix(self._products)
                    values = (name, *stamp, digest)
                    writer.execute("INSERT OR REPLACE INTO file_hashes VALUES (?,?,?,?,?,?)", values)
        except CampfireError as err:  # the disk is full, another process writes: it is only a memory
            _log.info("hashes of %d files are not remembered: %s", len(writing), err)


def _noted(book: Catalog, products: str, paths: Iterable[str]) -> dict[str, tuple[Stamp, str]]:
    """Return what the catalogue remembers of some files."""
    names = {path.removeprefix(products) for path in paths if path.startswith(products)}
    there = book.execute("SELECT count(*) FROM sqlite_master WHERE name = 'file_hashes'").fetchone()[0]
    if not (there and names):
        return {}
    select = "SELECT path, size, mtime_ns, ctime_ns, inode, hash FROM file_hashes"
    if len(names) > _FEW:
        rows = [row for row in book.execute(select) if row[0] in names]
    else:
        rows = list(book.execute(f"{select} WHERE path IN ({','.join('?' * len(names))})", list(names)))
    return {
        products + name: ((size, mtime, ctime, inode), digest)
        for name, size, mtime, ctime, inode, digest in rows
    }
