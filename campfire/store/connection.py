"""SQLite connections: one a thread, in the journal mode that the file system bears; read-only mirrors too."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from campfire.disk import check_database, create_file, demand_locks, disk_error
from campfire.errors import CampfireError

__all__ = ["BUSY_SECONDS", "Connections", "connect", "on_network", "use_safe_journal"]

BUSY_SECONDS = 30.0
"""How long a connection waits for another one's lock."""
_SLICE_SECONDS = 0.5
"""The same inside of SQLite, where nothing interrupts it."""

# WAL needs shared memory between all processes that have the file open, which these do not give across hosts.
_NETWORK = {
    *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "afpfs", "webdav"),
    *("davfs", "9p", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "orangefs", "pvfs2", "panfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.davfs"),
}


_WRITE_CACHE = 32_768
"""Page cache while writing, KiB: indices of a large catalogue stay in memory, and memory stays bounded."""


class Connection(sqlite3.Connection):
    """A connection that can be kept in a WeakSet, closes itself with its thread, and waits so that it hears.

    SQLite waits for the locks of others inside of itself, where Ctrl-C is not heard. So each of its waits is
    short, and the statement, which has done nothing then, is tried again.
    """

    stamp: tuple[int, int, int] | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement, and wait for locks of others up to :data:`BUSY_SECONDS`."""
        ends = time.monotonic() + BUSY_SECONDS
        while True:
            began = time.monotonic()
            try:
                return super().execute(sql, parameters)
            except sqlite3.OperationalError as err:
                now = time.monotonic()
                # Where waiting would not help, SQLite says so without having waited.
                waited = (
                    err.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY and now - began > _SLICE_SECONDS / 2
                )
                if not waited or now > ends:
                    raise

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it was never opened
            self.close()


def on_network(path: Path, mounts: str | None = None) -> bool:
    r"""Tell whether a path lies on a network file system, as far as the mount table says.

    Parameters
    ----------
    path
        Any path.
    mounts
        Text of the mount table (``/proc/mounts`` where None; there is none on other systems than Linux).

    Examples
    --------
    >>> on_network(Path("/data/x"), "/dev/sda1 / ext4 rw 0 0\nhost:/e /data nfs4 rw 0 0")
    True
    """
    if mounts is None:
        table = Path("/proc/mounts")
        if not table.exists():
            return str(path).startswith("\\\\")
        mounts = table.read_text(encoding="utf-8", errors="replace")
    best, kind = -1, ""
    for line in mounts.splitlines():
        parts = line.split()
        if len(parts) < 3:
            continue
        point = parts[1].replace("\\040", " ")
        if len(point) >= best and path.absolute().is_relative_to(point):
            best, kind = len(point), parts[2]
    return kind in _NETWORK


def connect(path: Path, *, read_only: bool) -> Connection:
    """Open one connection in autocommit mode, without looking at what is in the file.

    Raises
    ------
    ValidationError
        If it is to be written, and SQLite would follow what lies beside it to another file.
    """
    lockless = _lockless(os.fspath(path.absolute().parent))
    if not read_only:
        if lockless:  # SQLite would wait for long, and then speak of another process
            raise OSError(errno.ENOLCK, "the file system has no locks", str(path))
        check_database(
            Path(os.path.realpath(path)), write=False
        )  # a second name of a catalogue is a backup's
        create_file(path)
    if lockless:
        return _unchanging(path)
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_SLICE_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    try:
        if not read_only:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA cache_size=-{_WRITE_CACHE}")
            return connection
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as err:
        connection.close()  # else the file is kept open for as long as the error is looked at
        if not read_only or not isinstance(err, sqlite3.OperationalError):
            raise
        # A catalogue in WAL mode in a folder where its index cannot be made: nobody writes here, so the file
        # may be taken as it is. Should it be exchanged, Connections opens it anew.
        return _unchanging(path)
    return connection


def _unchanging(path: Path) -> Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    connection.stamp = _stamp(path)
    return connection


@lru_cache(maxsize=256)
def _lockless(folder: str) -> bool:
    """Tell whether a folder is known to lie on a file system without locks; asked once."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            demand_locks(file.fileno(), Path(folder))
    except OSError as err:
        return err.errno == errno.ENOLCK
    return False


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def use_safe_journal(connection: sqlite3.Connection, path: Path, *, network: bool | None = None) -> str:
    """Put the database into WAL mode where that is safe, else into rollback-journal mode; return the mode."""
    unsafe = on_network(path) if network is None else network
    wanted = "delete" if unsafe else "wal"
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode == wanted:
        return wanted  # without asking for a lock, which another process may hold for long
    try:
        (mode,) = connection.execute(f"PRAGMA journal_mode={wanted}").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as err:
        if "lock" in str(err):
            return str(mode)  # another process is at it; both modes are right for everybody who uses the file
        if wanted == "delete":
            raise
        (mode,) = connection.execute("PRAGMA journal_mode=delete").fetchone()
    return str(mode)


class Connections:
    """Connections for reading one database, one a thread."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._local = threading.local()
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._generation = 0

    def get(self) -> Connection:
        """Return the connection of this thread, opened at first use; errors as :meth:`open`."""
        held: Connection | None = getattr(self._local, "connection", None)
        key = (os.getpid(), self._generation)  # a connection must not be carried across a fork
        if held is not None and self._local.key == key and self._fresh(held):
            return held
        made = self.open()
        self._local.connection, self._local.key = made, key
        with self._lock:
            self._all.add(made)
        return made

    def open(self) -> Connection:
        """Open a connection for the caller alone, who closes it.

        Raises
        ------
        CampfireError
            If the database is gone or cannot be opened.
        """
        if not self.path.exists():
            raise CampfireError(f"no catalogue at {self.path}", hint="run `campfire sync`", path=self.path)
        try:
            return connect(self.path, read_only=self.read_only)
        except (OSError, sqlite3.Error) as err:
            raise disk_error(err, "cannot open the catalogue", self.path) from err

    def _fresh(self, connection: Connection) -> bool:
        return connection.stamp is None or connection.stamp == _stamp(self.path)

    def close(self) -> None:
        """Close every connection; the next :meth:`get` opens a new one."""
        with self._lock:
            self._generation += 1
            for connection in list(self._all):
                connection.close()
            self._all.clear()
