"""Files of spectra on this disk: where they belong, what to do about one, whether it still is what it was.

=========================================================  ==============================================
``expected_path(paths, row) -> Path``                       where a spectrum's file belongs
``expected_hash(row) -> str | None``                         the hash it has to have
``decide(...) -> Decision``                                 fetch, update, keep or leave a file (pure)
``check(path, record, hash_of) -> State``                   what became of a recorded file, by its hash
``local_paths(paths, observations, fits_paths) -> list``    which of many files are there
``hash_file(path) -> "sha256:..."``                         hash of a file
=========================================================  ==============================================
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from campfire.config import DataPaths
from campfire.errors import ValidationError

__all__ = [
    "Decision",
    "FileRecord",
    "check",
    "decide",
    "expected_hash",
    "expected_path",
    "hash_file",
    "is_below",
    "is_hash",
    "local_paths",
]

_FEW = 64
_HASH = re.compile(r"sha256:[0-9a-f]{64}")

State = Literal["same", "changed", "truncated", "missing"]
Action = Literal["fetch", "update", "keep", "local"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What is known of a file on this disk.

    ``path`` is relative to the products folder, with ``/``; ``origin`` is ``download`` for a file written by
    this program, ``found`` for one that was there before.
    """

    spectrum_id: str
    path: str
    hash: str
    size: int
    mtime: float
    origin: Literal["download", "found"] = "download"
    recorded_at: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a file, and why."""

    action: Action
    reason: str


def expected_path(paths: DataPaths, row: Mapping[str, Any]) -> Path:
    """Return where the file of a spectrum belongs: ``products/<observation>/<name of fits_path>``.

    Raises
    ------
    ValidationError
        If the names of the row are not plain names (they come from a server).
    """
    name = str(row.get("fits_path") or "").rpartition("/")[2]
    return paths.product(str(row.get("observation") or ""), name)


def is_below(path: object) -> bool:
    """Tell whether a recorded path is plain text that stays below the folder it is relative to.

    Examples
    --------
    >>> is_below("ember_uds_p4/a_spec.fits"), is_below("../a"), is_below("/etc/passwd"), is_below(None)
    (True, False, False, False)
    """
    if not isinstance(path, str) or not path or "\0" in path or "\\" in path:
        return False
    return not path.startswith("/") and ".." not in path.split("/")


def expected_hash(row: Mapping[str, Any]) -> str | None:
    """Return the hash that the file of a spectrum has to have, or None where the service does not say.

    Raises
    ------
    ValidationError
        If it is none: it comes from a server, names files that are under way, and nothing could match it.
    """
    found = row.get("file_hash")
    if found is None or is_hash(found):
        return None if found is None else str(found)
    raise ValidationError(
        f"the catalogue's hash {str(found)[:80]!r} of {row.get('spectrum_id')} is not sha256:<64 hex digits>",
        hint="nothing can be checked against it; tell the archive's operators",
    )


def is_hash(value: object) -> bool:
    """Tell whether a value is the text of a hash, as :func:`hash_file` gives it."""
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def hash_file(path: str | os.PathLike[str]) -> str:
    """Return ``sha256:`` and 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def check(path: Path, record: FileRecord, hash_of: Callable[[Path], str] = hash_file) -> State:
    """Compare a file with its record, by its content: sizes and times can be set.

    Parameters
    ----------
    path, record
        The file, and what is known of it.
    hash_of
        Gives the hash of a file; :meth:`campfire.store.file_hashes.FileHashes.of` remembers it.

    Returns
    -------
    str
        ``same``; ``changed``; ``truncated`` (shorter than recorded); ``missing``.
    """
    try:
        size = path.stat().st_size
        if size < record.size:
            return "truncated"
        return "same" if size == record.size and hash_of(path) == record.hash else "changed"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"


def decide(
    state: State | Literal["untracked"], record_hash: str | None, origin: str, server_hash: str | None
) -> Decision:
    """Decide about one file; nothing is touched.

    A file that this program did not write, or that somebody changed since, is never replaced.

    Parameters
    ----------
    state
        What :func:`check` said; ``untracked`` for a file without record; ``missing`` where there is none.
    record_hash, origin
        Of its record (ignored without one).
    server_hash
        Hash of the file in the archive, if known.

    Examples
    --------
    >>> decide("missing", None, "", "sha256:1").action
    'fetch'
    >>> decide("same", "sha256:0", "download", "sha256:1").action
    'update'
    >>> decide("changed", "sha256:0", "download", "sha256:1").action
    'local'
    """
    if state == "missing":
        return Decision("fetch", "not on this disk")
    if state == "untracked":
        return Decision("local", "there already, and not written by campfire")
    if state == "changed":
        return Decision("local", "changed on this disk since it was downloaded")
    if state == "truncated":
        return Decision("update" if origin == "download" else "local", "shorter than it was")
    if server_hash is None or server_hash == record_hash:
        return Decision("keep", "up to date")
    if origin != "download":
        return Decision("local", "differs from the archive, and was not written by campfire")
    return Decision("update", "the archive has a newer version")


def local_paths(paths: DataPaths, observations: Sequence[str], fits_paths: Sequence[str]) -> list[str | None]:
    """Return the absolute path of every file that is on this disk now, None for the others.

    Parameters
    ----------
    paths
        The data directory.
    observations, fits_paths
        Columns of the same length, as of a query of spectra.
    """
    pairs = zip(observations, fits_paths, strict=True)
    if len(fits_paths) <= _FEW:
        return [_if_there(paths, folder, fits.rpartition("/")[2]) for folder, fits in pairs]
    found = {folder: _listing(paths, folder) for folder in set(observations)}
    if not any(found.values()):
        return [None] * len(fits_paths)
    return [
        files.get(fits.rpartition("/")[2]) if (files := found[folder]) else None for folder, fits in pairs
    ]


def _if_there(paths: DataPaths, observation: str, name: str) -> str | None:
    try:
        path = paths.product(observation, name)
    except ValidationError:
        return None  # a name that no file here can have
    try:
        return str(path) if path.is_file() else None
    except OSError:  # what cannot be looked at is not here; whoever wants it is told why
        return None


def _listing(paths: DataPaths, observation: str) -> dict[str, str]:
    try:
        folder = paths.product(observation, "x").parent
        with os.scandir(folder) as entries:
            return {entry.name: entry.path for entry in entries if entry.is_file()}
    except (ValidationError, OSError):  # as above
        return {}
