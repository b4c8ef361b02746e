"""Files under way: named by what they will hold, locked between processes, published whole or not at all."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from campfire.errors import DownloadError

__all__ = ["Wanted", "hash_file", "key_of", "leftovers", "lock_for", "part_path", "publish", "sweep"]

_BLOCK = 1 << 20
_LONGEST_TAG = 96  # bytes of an entity tag that still fit into a file name
_PART = re.compile(r"\.([0-9a-f]{32})\.[^.]+\.part")


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
        Whether the file at ``target`` may be replaced: only if this client wrote it.
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
    aside: Path | None = None


def key_of(wanted: Wanted) -> str:
    """Return the name under which a file is under way: its content's, else its path's."""
    if wanted.file_hash:
        return wanted.file_hash.removeprefix("sha256:")[:32]
    return hashlib.sha256(wanted.fits_path.encode()).hexdigest()[:32]


def hash_file(path: Path) -> str:
    """Return ``sha256:<hex>`` of a file."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def lock_for(key: str, locks: Path) -> FileLock:
    """Return the lock that keeps other threads and processes off the same content.

    The locks are a few hundred files that stay, each for a share of all contents: a file a content would
    have to be removed again, which is a race between those who wait for it, and slow on some file systems.
    """
    return FileLock(locks / f"{key[:2]}.lock", is_singleton=False)


def part_path(wanted: Wanted, etag: str | None) -> Path:
    """Return where the bytes go meanwhile; the entity tag is in the name, so that any process can resume."""
    strong = etag is not None and etag.startswith('"') and len(etag.encode()) <= _LONGEST_TAG
    tag = base64.urlsafe_b64encode((etag or "").encode()).decode().rstrip("=") if strong else "-"
    return wanted.target.with_name(f".{key_of(wanted)}.{tag}.part")


def tag_of(part: Path) -> str | None:
    """Return the entity tag of the answer that a partial file came from, or None."""
    tag = part.name.split(".")[2]
    if tag == "-":
        return None
    try:
        return base64.urlsafe_b64decode(tag + "=" * (-len(tag) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def leftovers(folder: Path) -> dict[str, list[Path]]:
    """Return the partial files in a folder by key; nothing of anybody else's is in it."""
    found: dict[str, list[Path]] = {}
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        if match := _PART.fullmatch(name):
            found.setdefault(match[1], []).append(folder / name)
    return found


def sweep(folder: Path, locks: Path, keep: Iterable[str] = ()) -> int:
    """Remove what crashed runs left in a folder, except for some keys; returns how many files went.

    What another process is working on is locked, and stays.
    """
    kept, removed = set(keep), 0
    for key, paths in leftovers(folder).items():
        if key in kept:
            continue
        with suppress(Timeout, OSError), lock_for(key, locks).acquire(timeout=0):
            for path in paths:
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def publish(part: Path, wanted: Wanted) -> None:
    """Give a complete, checked file its name in one step.

    Raises
    ------
    DownloadError
        If a file is there that this client did not write.
    """
    target = wanted.target
    if wanted.aside is not None and target.exists():
        _copy_link(target, wanted.aside)
    if wanted.overwrite or wanted.aside is not None:
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


def _taken(target: Path) -> DownloadError:
    return DownloadError(
        f"{target} appeared meanwhile and is not replaced", hint="move it away to download again", path=target
    )


def _copy_link(source: Path, copy: Path) -> None:
    """Give a file a second name, so that there is no moment without the first."""
    copy.unlink(missing_ok=True)
    try:
        os.link(source, copy)
    except OSError:
        import shutil

        shutil.copy2(source, copy)
