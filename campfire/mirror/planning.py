"""What to do about each file of a download, decided from the disk and the records; nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from campfire.config import DataPaths
from campfire.errors import ValidationError
from campfire.mirror.partial import Wanted
from campfire.store.file_hashes import FileHashes, Stamp, stamp_of
from campfire.store.file_state import FileRecord, check, decide, expected_hash, expected_path, hash_file
from campfire.typing import Row

__all__ = ["Planned", "in_threads", "plan_files", "record_for"]

T = TypeVar("T")
R = TypeVar("R")
_THREADS, _CHUNK = 8, 64


@dataclass(frozen=True, slots=True)
class Planned:
    """One file: ``action`` is ``fetch``, ``update``, ``replace``, ``keep``, ``local`` or ``refuse``.

    ``found`` is what an unrecorded file turned out to be, to be recorded; ``known`` is the stamp of the file
    of ours that is to be replaced.
    """

    row: Row
    path: Path | None
    action: str
    reason: str
    found: FileRecord | None = None
    known: Stamp | None = None

    def wanted(self, *, keep_old: bool) -> Wanted:
        """Return what to fetch."""
        assert self.path is not None
        update = self.action in ("update", "replace")
        kept = self.action == "replace" or (update and keep_old)
        return Wanted(
            spectrum_id=str(self.row["spectrum_id"]),
            observation=str(self.row["observation"]),
            fits_path=str(self.row["fits_path"]),
            target=self.path,
            file_hash=self.row.get("file_hash"),
            file_size=self.row.get("file_size"),
            overwrite=update,
            known=self.known,
            aside=self.path.with_name(f"{self.path.name}.{_tag(self.path)}.old") if kept else None,
        )


def _tag(path: Path) -> str:
    return hash_file(path).removeprefix("sha256:")[:12] if path.is_file() else "gone"


def record_for(paths: DataPaths, spectrum_id: str, path: Path, digest: str, *, ours: bool) -> FileRecord:
    """Return the record of a file as it is on the disk now."""
    status = path.stat()
    relative = path.as_posix().removeprefix(f"{paths.products.as_posix()}/")
    origin = "download" if ours else "found"
    return FileRecord(spectrum_id, relative, digest, status.st_size, status.st_mtime, origin)  # type: ignore[arg-type]


def plan_files(
    paths: DataPaths,
    rows: Sequence[Row],
    records: Mapping[str, FileRecord],
    hashes: FileHashes,
    *,
    replace_local: bool = False,
) -> list[Planned]:
    """Decide about every file.

    Parameters
    ----------
    paths
        The data directory.
    rows
        Rows of spectra.
    records
        What is known of files on this disk, by spectrum.
    hashes
        What is known of their contents.
    replace_local
        Replace also what this client did not write; it is set aside then.
    """

    def one(row: Row) -> Planned:
        try:
            return readable(row)
        except OSError as err:  # somebody's file that may not be read, a folder in its place
            path = expected_path(paths, row)
            return Planned(row, path, "refuse", f"cannot read {path}: {err.strerror or err}")

    def readable(row: Row) -> Planned:
        spectrum_id = str(row["spectrum_id"])
        try:
            path, server_hash = expected_path(paths, row), expected_hash(row)
        except ValidationError as err:
            return Planned(row, None, "refuse", str(err))
        record, found, before = records.get(spectrum_id), None, None
        if record is not None:
            before = stamp_of(path) if path.exists() else None
            state = check(path, record, hashes.of)
            if state == "changed" and server_hash is not None and hashes.of(path) == server_hash:
                # A run that was killed published it, and had no time to note it down.
                found = record_for(paths, spectrum_id, path, server_hash, ours=True)
                return Planned(row, path, "keep", "up to date", found)
        elif path.is_file():
            # A file with the archive's very content is the archive's, whoever put it there; the size spares
            # hashing most of the others.
            same_size = row.get("file_size") in (None, path.stat().st_size)
            digest = hashes.of(path) if server_hash and same_size else None
            if digest is not None:
                found = record_for(paths, spectrum_id, path, digest, ours=digest == server_hash)
            if digest is not None and digest == server_hash:
                return Planned(row, path, "keep", "up to date", found)
            decision = decide("untracked", None, "", server_hash)
            return _final(row, path, decision.action, decision.reason, found)
        else:
            state = "missing"
        decision = decide(
            state, record.hash if record else None, record.origin if record else "", server_hash
        )
        if decision.action != "update" or state == "truncated":
            return _final(row, path, decision.action, decision.reason, None)
        return Planned(row, path, "update", decision.reason, known=before)

    def _final(row: Row, path: Path, action: str, reason: str, found: FileRecord | None) -> Planned:
        ours = action == "fetch" or action == "keep"
        return Planned(row, path, "replace" if replace_local and not ours else action, reason, found)

    return in_threads(one, rows)


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Apply a function to items in a few threads, in chunks: most take microseconds, a hash milliseconds."""

    def some(start: int) -> list[R]:
        return [function(item) for item in items[start : start + _CHUNK]]

    with ThreadPoolExecutor(_THREADS) as pool:  # hashing releases the interpreter lock
        return list(chain.from_iterable(pool.map(some, range(0, len(items), _CHUNK))))
