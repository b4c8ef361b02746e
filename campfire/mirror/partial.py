"""Files under way: named by what they will hold, locked between processes, published whole or not at all.

Locks are files beside what they protect, so that all who write into a folder see them, whatever way leads
there. They are removed when a batch is done: a file system that is made to free an entry with every file
gets slow.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import os
import re
from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from campfire.disk import disk_error
from campfire.errors import DownloadError
from campfire.store.file_hashes import Stamp, stamp_of

__all__ = [
    "DiskErrors",
    "Taken",
    "Wanted",
    "key_of",
    "leftovers",
    "lock_for",
    "part_path",
    "publish",
    "remove_locks",
    "size_of",
    "sweep",
    "tag_of",
]

_BLOCK = 1 << 20
_LONGEST_TAG = 96  # bytes of an entity tag that still fit into a file name
_OURS = re.compile(r"\.([0-9a-f]{32})(?:\.[^.]+\.part|\.lock)")


class Taken(DownloadError):
    """There is a file at the place that this client did not write; it stays."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to fetch.

    Parameters
    ----------
    spectrum_id, observation, fits_path
        What it is, and the path by which the service knows it.
    target
        Where it goes.
    file_hash, file_size
        What it has to be (``sha256:...``, bytes); None where the service does not say.
    overwrite
        Whether the file at ``target`` may be replaced: only if this client wrote it, which is if it is as
        ``known``, or the beginning of what is fetched.
    known
        Stamp of the file that may be replaced: what :func:`campfire.store.file_hashes.stamp_of` gives.
    aside
        Where the file at ``target`` is kept, if it is to be kept.
    """

    spectrum_id: str
    observation: str
    fits_path: str
    target: Path
    file_hash: str | None = None
    file_size: int | None = None
    overwrite: bool = False
    known: Stamp | None = None
    aside: Path | None = None


def key_of(wanted: Wanted) -> str:
    """Return the name under which a file is under way: its content's, else its path's."""
    if wanted.file_hash:
        return wanted.file_hash.removeprefix("sha256:")[:32]
    return hashlib.sha256(wanted.fits_path.encode()).hexdigest()[:32]


def lock_for(wanted: Wanted) -> FileLock:
    """Return the lock that keeps other threads and processes off the same content."""
    return FileLock(wanted.target.with_name(f".{key_of(wanted)}.lock"), is_singleton=False)


def remove_locks(folder: Path, keys: Container[str]) -> None:
    """Remove the files of locks that nobody holds."""
    for key, paths in leftovers(folder).items():
        for path in paths if key in keys else ():
            if path.suffix == ".lock":
                # Unlinked while held; whoever waited for it looks at the place of the file again.
                with suppress(Timeout, OSError), FileLock(path, is_singleton=False).acquire(timeout=0):
                    path.unlink(missing_ok=True)


def part_path(wanted: Wanted, etag: str | None) -> Path:
    """Return where the bytes go meanwhile; the entity tag is in the name, so that any process can resume."""
    strong = etag is not None and etag.startswith('"') and len(etag.encode()) <= _LONGEST_TAG
    tag = base64.urlsafe_b64encode((etag or "").encode()).decode().rstrip("=") if strong else "-"
    return wanted.target.with_name(f".{key_of(wanted)}.{tag}.part")


def tag_of(part: Path) -> str | None:
    """Return the entity tag of the answer that a partial file came from, or None where the name has none."""
    tag = part.name.split(".")[2]
    if tag == "-":
        return None
    try:
        text = base64.urlsafe_b64decode(tag + "=" * (-len(tag) % 4)).decode()
        text.encode("latin-1")  # as it goes into a header
    except (binascii.Error, UnicodeError):
        return None
    return text if text.startswith('"') and text.isprintable() else None


def leftovers(folder: Path) -> dict[str, list[Path]]:
    """Return the partial files and locks in a folder by key; nothing of anybody else's is in it."""
    found: dict[str, list[Path]] = {}
    try:
        names = os.listdir(folder)
    except OSError:  # none in what cannot be listed: whoever writes there is told what is wrong with it
        return found
    for name in names:
        if match := _OURS.fullmatch(name):
            found.setdefault(match[1], []).append(folder / name)
    return found


def sweep(folder: Path, keep: Iterable[str] = ()) -> int:
    """Remove what crashed runs left in a folder, except for some keys; returns how many files went.

    What another process is working on is locked, and stays.
    """
    kept, removed = set(keep), 0
    for key, paths in leftovers(folder).items():
        if key in kept:
            continue
        guard = FileLock(folder / f".{key}.lock", is_singleton=False)
        with suppress(Timeout, OSError), guard.acquire(timeout=0):
            for path in {*paths, Path(guard.lock_file)}:
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def publish(part: Path, wanted: Wanted) -> None:
    """Give a complete, checked file its name in one step.

    Raises
    ------
    Taken
        If a file is there that this client did not write.
    """
    target = wanted.target
    if (wanted.overwrite or wanted.aside is not None) and target.exists():
        if not target.is_file():
            raise _taken(target)
        if wanted.aside is not None:
            _copy_link(target, wanted.aside)
        elif not (_is_known(target, wanted.known) or _begins_with(part, target)):
            raise _taken(target)
        part.replace(target)
        return
    try:
        os.link(part, target)  # unlike a rename, it never replaces anything
    except FileExistsError:
        raise _taken(target) from None
    except OSError:
        # File systems without hard links: the gap between test and rename is as small as can be.
        if target.exists():
            raise _taken(target) from None
        part.replace(target)
    else:
        part.unlink()


def _is_known(path: Path, known: Stamp | None) -> bool:
    """Tell whether a file is still that of a record: planning may be hours ago."""
    return known is not None and stamp_of(path) == known


def _begins_with(whole: Path, path: Path) -> bool:
    """Tell whether a file is the beginning of another: what a broken copy leaves, and nothing of its own."""
    with whole.open("rb") as ours, path.open("rb") as theirs:
        while block := theirs.read(_BLOCK):
            if ours.read(len(block)) != block:
                return False
    return True


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _taken(target: Path) -> Taken:
    return Taken(
        f"{target} appeared meanwhile and is not replaced", hint="move it away to download again", path=target
    )


class DiskErrors:
    """Turn what the operating system says into a :class:`DownloadError` that names the file."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if not isinstance(err, OSError):
            return
        target = self._wanted.target
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            for path in leftovers(target.parent).get(key_of(self._wanted), []):
                if path.suffix == ".part":
                    path.unlink(missing_ok=True)  # a full disk needs every byte back
        told = disk_error(err, "cannot write", target)
        raise DownloadError(told.message, hint=told.hint, path=target) from err


def _copy_link(source: Path, copy: Path) -> None:
    """Give a file a second name, so that there is no moment without the first."""
    copy.unlink(missing_ok=True)
    try:
        os.link(source, copy)
    except OSError:
        import shutil

        shutil.copy2(source, copy)
