"""Removing things from this disk, and saying what is wrong with it; both in this one place.

A folder is removed only if a marker of this package stands in it, if it lies below the folder that the caller
names, and if neither it nor any folder on the way to it is a link. Names that come out of a file, an index or
a service never decide alone what is removed.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from campfire.config import as_path
from campfire.errors import CampfireError, ValidationError

__all__ = [
    "MARKER",
    "check_database",
    "check_tree",
    "create_file",
    "demand_locks",
    "disk_error",
    "disk_faults",
    "mark_tree",
    "marked",
    "named",
    "new_file",
    "process_lock",
    "remove_file",
    "remove_tree",
    "set_aside",
]

MARKER = ".campfire"
"""Name of the file that says of a folder what it is: ``{"campfire": kind}``."""

_LONGEST_MARKER = 1_000_000


def _says(folder: Path, name: str, key: Callable[[dict[str, object]], object]) -> object:
    """Return what the JSON file ``name`` in a folder says, or None; a link in its place says nothing."""
    path = folder / name
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST_MARKER:
            return None
        content = json.loads(path.read_bytes())
        return key(content) if isinstance(content, dict) else None
    except (OSError, ValueError, RecursionError):
        return None


def mark_tree(folder: Path, kind: str) -> None:
    """Mark a folder as made by this package, before anything is written into it.

    Raises
    ------
    FileExistsError
        If it holds a file of the marker's name.
    """
    with open(folder / MARKER, "x", encoding="utf-8") as file:
        json.dump({"campfire": kind}, file)


def marked(folder: Path, kind: str) -> bool:
    """Tell whether a folder bears the marker of its kind: that of :func:`mark_tree`, or of a pixel table.

    Tables of the pixel cache are Zarr groups and say so in their attributes.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> marked(folder, "demo"), mark_tree(folder, "demo"), marked(folder, "demo"), marked(folder, "other")
    (False, None, True, False)
    """
    if kind == "pixel table":

        def attribute(content: dict[str, object]) -> object:
            attributes = content.get("attributes")
            return attributes.get("campfire_cache") if isinstance(attributes, dict) else None

        return _says(folder, "zarr.json", attribute) == 1
    return _says(folder, MARKER, lambda content: content.get("campfire")) == kind


def _contained(path: Path, root: Path) -> Path:
    """Return ``path``, spelled from the real root; refuse it unless it lies below, reached without links."""
    home = Path(os.path.realpath(root))
    relative = Path(os.path.relpath(os.path.abspath(path), os.path.abspath(root)))
    parts = relative.parts
    if relative.is_absolute() or not parts or ".." in parts or parts == (".",):
        raise ValidationError(f"{path} is not below {root}", hint="nothing was removed", path=path)
    current = home
    for part in parts[:-1]:
        current = current / part
        if not stat.S_ISDIR(current.lstat().st_mode):
            raise ValidationError(f"{current} is a link or no folder", hint="nothing was removed", path=path)
    return current / parts[-1]


def remove_tree(folder: Path, *, root: Path, kind: str) -> None:
    """Remove a folder with all that is in it; the only function that does.

    Parameters
    ----------
    folder
        What to remove.
    root
        Folder below which it has to lie.
    kind
        The marker it has to bear: see :func:`marked`. Links inside are removed, not followed.

    Raises
    ------
    ValidationError
        If it is not below ``root``, is a link, is reached through one, or bears no such marker; nothing is
        removed then.
    OSError
        If something cannot be removed.
    """
    path = _contained(folder, root)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise ValidationError(f"{folder} is a link or no folder", hint="nothing was removed", path=folder)
    if not marked(path, kind):
        raise ValidationError(
            f"{folder} bears no mark that campfire made it ({kind})",
            hint="nothing was removed; look at it, and remove it yourself if it may go",
            path=folder,
        )
    with os.scandir(path) as entries:
        # The marker comes last: what is left of an interrupted removal is still known as ours.
        ordered = sorted(entries, key=lambda entry: entry.name in (MARKER, "zarr.json"))
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    path.rmdir()


def remove_file(path: Path, *, root: Path) -> None:
    """Remove one file with a computed name, if it is there: a plain file or a link, reached without links.

    Raises
    ------
    ValidationError
        If it is not below ``root``, or is a folder; nothing is removed then.
    OSError
        If it cannot be removed.
    """
    try:
        found = _contained(path, root)
        mode = found.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise ValidationError(f"{path} is a folder", hint="nothing was removed", path=path)
    found.unlink(missing_ok=True)


def set_aside(path: Path, *, root: Path) -> Path:
    """Give a file another name in its folder, one that nothing has, and return it.

    Raises
    ------
    ValidationError
        If it is not below ``root``, or is reached through a link; nothing is renamed then.
    OSError
        If it cannot be renamed.
    """
    found = _contained(path, root)
    number = 1
    while os.path.lexists(aside := found.with_name(f"{found.name}.damaged-{number}")):
        number += 1
    found.rename(aside)
    return aside


def check_tree(folder: Path) -> None:
    """Refuse a tree that holds anything but folders and plain files: writing into it could reach outside.

    Raises
    ------
    ValidationError
        If it holds a link, a pipe or a device.
    OSError
        If it cannot be listed.
    """

    def fail(err: OSError) -> None:
        raise err

    for where, folders, files in os.walk(folder, onerror=fail):
        for name in (*folders, *files):
            path = Path(where, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise ValidationError(f"{path} is a link or no plain file", path=path)


_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")


def check_database(path: Path, *, write: bool) -> None:
    """Refuse an SQLite file in a folder of others whose mere opening could change another file.

    SQLite writes through links beside the file it opens, and after a crash removes the file that a journal
    names as its super-journal. Nothing of this package writes super-journals.

    Parameters
    ----------
    path
        The database; it need not exist.
    write
        Whether it is going to be written: it must not have a second name (hard link) then.

    Raises
    ------
    ValidationError
        If it, or a file beside it that SQLite would use, is not a plain file of its own, or if its journal
        names another file.
    """
    hint = "nothing was opened; look at the folder, and at who can write into it"
    for suffix in ("", "-journal", "-wal", "-shm"):
        file = f"{path}{suffix}"
        try:
            status = os.lstat(file)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode):
            raise ValidationError(f"{file} is a link or no plain file", hint=hint, path=file)
        if status.st_nlink > 1 and (suffix or write):
            raise ValidationError(f"{file} has a second name (a hard link)", hint=hint, path=file)
        if suffix == "-journal" and status.st_size >= len(_SUPER_JOURNAL):
            with open(file, "rb") as journal:
                journal.seek(-len(_SUPER_JOURNAL), os.SEEK_END)
                if journal.read() == _SUPER_JOURNAL:
                    raise ValidationError(f"{file} names another file to remove", hint=hint, path=file)


def create_file(path: Path) -> None:
    """Create an empty file with the permissions of the user's umask, if it is not there.

    SQLite makes a database that a group cannot write, whatever the umask; files that it makes beside one take
    over the permissions of the database.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def demand_locks(descriptor: int, folder: Path) -> None:
    """Refuse a file system that has no locks, asked on an open file of ``folder`` that nobody else locks.

    Raises
    ------
    OSError
        With ``errno`` ENOLCK, if it has none.
    """
    try:
        import fcntl
    except ImportError:  # on Windows every file system has them
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as err:
        if err.errno in (errno.EACCES, errno.EAGAIN):
            return  # somebody else holds one
        if err.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise OSError(errno.ENOLCK, "the file system has no locks", str(folder)) from err
        raise


def new_file(path: object, *, overwrite: bool, ours: bytes = b"") -> Path:
    """Return where a file that a user named is to be written: absolute, in a folder that is there.

    Parameters
    ----------
    path
        What the user passed.
    overwrite
        Whether a file that is there may be replaced.
    ours
        How a file begins that was written here before and may be replaced unasked.

    Raises
    ------
    ValidationError
        If it is no path, a folder, in no folder, or a file that may not be replaced.
    CampfireError
        If the disk refuses it.
    """
    target = as_path(path).absolute()
    with disk_faults("cannot write", target):
        if stat.S_ISDIR(_mode(target)):
            raise ValidationError(f"{target} is a folder", hint="name a file", path=target)
        if _mode(target) and not overwrite and not (ours and target.read_bytes()[: len(ours)] == ours):
            raise ValidationError(
                f"{target} exists already",
                hint="pass overwrite=True (--overwrite) to replace it, or choose another name",
                path=target,
            )
        if not stat.S_ISDIR(_mode(target.parent)):
            raise ValidationError(f"no folder {target.parent}", hint="make it first", path=target)
    return target


def _mode(path: Path) -> int:
    """Return the mode of what is there, links followed; 0 where nothing is."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


# What is wrong, and what to do about it; nothing here may make a bad situation worse.
_ERRNO = {
    errno.ENOSPC: ("the disk is full", "free some space and try again"),
    errno.EDQUOT: ("your quota is used up", "free some space and try again"),
    errno.EROFS: ("the file system is read-only", "choose a data_dir that can be written"),
    errno.EACCES: ("access is denied", "look at the permissions of the file and its folders"),
    errno.EPERM: ("the operation is not permitted", "look at the permissions of the file and its folders"),
    errno.ENOENT: ("there is no such file or folder", "check the path, and whether its disk is mounted"),
    errno.ENOTDIR: ("a file is in the place of a folder", "look at what is there, and move it away"),
    errno.EISDIR: ("a folder is in the place of a file", "look at what is there, and move it away"),
    errno.ELOOP: ("links lead in a circle", "look at the links on the way to it"),
    errno.ENAMETOOLONG: ("the path is too long", "choose a data_dir with a shorter path"),
    errno.EMFILE: ("too many files are open", "raise the limit: `ulimit -n`"),
    errno.ENFILE: ("too many files are open on this machine", "try again later"),
    errno.ENOLCK: ("the file system has no locks", "choose a data_dir on a local disk"),
    errno.EOPNOTSUPP: ("the file system cannot do that", "choose a data_dir on a local disk"),
    errno.EIO: ("the disk reports an input/output error", "check the disk before you go on"),
    errno.ESTALE: ("the network file system lost the file", "try again"),
    errno.EEXIST: ("something of that name is there already", "look at what is there, and move it away"),
    errno.ENOTEMPTY: ("the folder is not empty", "look at what is there"),
}
_ASIDE = "move it aside and keep it; `campfire sync` makes a catalogue anew, a pixel cache fills itself"
_SQLITE = {
    sqlite3.SQLITE_BUSY: ("it is in use by another process", "try again when that is done"),
    sqlite3.SQLITE_LOCKED: ("it is in use by another process", "try again when that is done"),
    sqlite3.SQLITE_PROTOCOL: ("its locks do not work", "choose a data_dir on a local disk"),
    sqlite3.SQLITE_NOLFS: ("the file system cannot hold it", "choose a data_dir on a local disk"),
    sqlite3.SQLITE_READONLY: ("it cannot be written", "choose a data_dir that can be written"),
    sqlite3.SQLITE_PERM: ("access is denied", "look at its permissions"),
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space and try again"),
    sqlite3.SQLITE_IOERR: ("it cannot be read or written", "check the disk, or choose one without a network"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "look at the file, its folder and their permissions"),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", _ASIDE),
    sqlite3.SQLITE_NOTADB: ("it is not a database", _ASIDE),
}
_NO_LOCKS = {  # extended codes of SQLITE_IOERR
    sqlite3.SQLITE_IOERR_LOCK,
    sqlite3.SQLITE_IOERR_RDLOCK,
    sqlite3.SQLITE_IOERR_UNLOCK,
    sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
    sqlite3.SQLITE_IOERR_SHMLOCK,
}


def disk_error(err: Exception, what: str, path: str | os.PathLike[str]) -> CampfireError:
    """Return the documented error for a fault of the disk or of a database on it.

    Parameters
    ----------
    err
        An ``OSError`` or ``sqlite3.Error``.
    what
        What could not be done: ``"cannot read the catalogue"``.
    path
        The file or folder.

    Examples
    --------
    >>> print(disk_error(OSError(errno.ENOSPC, "x"), "cannot write", "/data/a"))
    cannot write /data/a: the disk is full (free some space and try again)
    """
    reason, hint = str(err) or type(err).__name__, None
    if isinstance(err, sqlite3.Error):
        code = getattr(err, "sqlite_errorcode", None)  # extended codes have the plain one in their last byte
        reason, hint = _SQLITE.get((code or 0) & 0xFF, (reason, None))
        if code in _NO_LOCKS:
            reason, hint = _ERRNO[errno.ENOLCK]
        elif code == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for the index of its log
            reason, hint = _ERRNO[errno.ENOSPC]
    elif isinstance(err, OSError):
        reason, hint = _ERRNO.get(err.errno or 0, (err.strerror or reason, None))
    where = os.fspath(path)
    return CampfireError(f"{what} {where}: {reason}", hint=hint, path=where)


def named(err: Exception) -> str | None:
    """Return the file that the system names with a fault; of two, the one that was to be made."""
    found = getattr(err, "filename2", None) or getattr(err, "filename", None)
    return found if isinstance(found, str) else None


@contextmanager
def process_lock(path: Path) -> Iterator[None]:
    """Hold a lock file that keeps other processes out; they are waited for.

    Raises
    ------
    ValidationError
        If what lies there is no plain file: nothing is written through links.
    OSError
        If it cannot be made.
    """
    from filelock import FileLock

    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ValidationError(
                f"{path} is a link or no plain file",
                hint="look at what is there, and move it away",
                path=path,
            )
    with FileLock(path):
        yield


@contextmanager
def disk_faults(what: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn ``OSError`` and ``sqlite3.Error`` into the documented error; see :func:`disk_error`."""
    try:
        yield
    except (OSError, sqlite3.Error) as err:
        raise disk_error(err, what, named(err) or path) from err
