"""Lock files held against this disk and the archive, and reproduced."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from campfire.config import origin
from campfire.errors import DownloadError
from campfire.mirror.downloads import run_download
from campfire.mirror.lock_report import LockReport, SpectrumCheck, file_version
from campfire.mirror.lockfile import FileVersion, Lock, LockedSpectrum, package_versions
from campfire.mirror.planning import in_threads, record_for
from campfire.mirror.report import DownloadReport, FileEntry, FileState
from campfire.query import Query
from campfire.store.file_records import put_records
from campfire.store.file_state import expected_path, hash_file

if TYPE_CHECKING:
    from campfire.access.context import Context
    from campfire.typing import PathInput, ProgressCallback, Row

__all__ = ["compare", "contents_of", "reproduce", "rows_now", "version_in"]

_FEW = 200  # spectra that are looked up one by one


def rows_now(context: Context, names: Iterable[str]) -> dict[str, Row]:
    """Return the rows of the local catalogue; unknown spectra are not in the answer."""
    catalog, wanted = context.catalog(), set(names)
    if catalog is None or not wanted:
        return {}
    if len(wanted) <= _FEW:
        return {name: row for name in wanted if (row := catalog.spectrum_row(name)) is not None}
    rows = catalog.iter_rows(Query.of("spectra"))
    return {str(row["spectrum_id"]): row for row in rows if row["spectrum_id"] in wanted}


def compare(context: Context, path: PathInput, lock: Lock) -> LockReport:
    """Compare the lines of a lock file with the files on this disk and the local catalogue."""
    rows = rows_now(context, (entry.spectrum_id for entry in lock.spectra))
    places = {
        entry.spectrum_id: _place(context, entry, rows.get(entry.spectrum_id)) for entry in lock.spectra
    }
    here = {name: str(place) for name, place in places.items() if place.is_file()}
    hashes = contents_of(here)
    catalogued = context.catalog() is not None
    checks = []
    for entry in lock.spectra:
        name = entry.spectrum_id
        checks.append(_checked(entry, places[name], hashes.get(name), rows.get(name), catalogued))
    now = package_versions()
    versions = {
        name: (lock.versions.get(name), now.get(name))
        for name in dict.fromkeys([*lock.versions, *now])
        if lock.versions.get(name) != now.get(name)
    }
    return LockReport(str(path), lock, tuple(checks), versions, origin(context.base_url))


def reproduce(
    context: Context,
    path: PathInput,
    *,
    workers: int,
    dry_run: bool,
    keep_old: bool,
    progress: ProgressCallback | None,
) -> DownloadReport:
    """Bring exactly the files of a lock file to this disk; see :meth:`campfire.Campfire.reproduce`."""
    lock = Lock.read(path)
    context.needed_catalog("reproducing a lock file")
    before = compare(context, path, lock)
    if not dry_run and _put_back(context, before):
        before = compare(context, path, lock)
    differing = [found for found in before.spectra if found.disk != "same"]
    wanted = [
        found.locked.spectrum_id
        for found in differing
        if found.archive in ("same", "unknown") and not (dry_run and _can_be_put_back(found))
    ]
    rows = rows_now(context, wanted)
    try:
        fetched = run_download(
            context,
            [rows[name] for name in wanted],
            workers=workers,
            dry_run=dry_run,
            keep_old=keep_old,
            replace_local=False,
            progress=progress,
        )
    except DownloadError as err:
        if not isinstance(err.report, DownloadReport):
            raise
        fetched = err.report
    files = [*fetched.files, *(_entry(found, "skipped") for found in before.spectra if found.disk == "same")]
    if dry_run:
        told = {entry["spectrum_id"] for entry in files}
        rest = [found for found in differing if found.locked.spectrum_id not in told]
        files += [_entry(found, "planned" if _can_be_put_back(found) else "failed") for found in rest]
    else:
        _demand(compare(context, path, lock), fetched)
    return DownloadReport(files)


def _entry(found: SpectrumCheck, state: FileState) -> FileEntry:
    error = str(found) if state == "failed" else None
    return FileEntry(spectrum_id=found.locked.spectrum_id, path=found.path, state=state, bytes=0, error=error)


def _can_be_put_back(found: SpectrumCheck) -> bool:
    """Say whether the locked version was set aside, and the file in its place is none but the archive's."""
    return found.kept is not None and (found.disk != "changed" or found.on_disk == found.in_archive)


def _put_back(context: Context, report: LockReport) -> bool:
    """Put locked versions that were set aside into their places; returns whether there were any.

    What is in such a place is set aside in turn; where it is not the archive's file, it stays.
    """
    records = []
    for found in report.spectra:
        if not _can_be_put_back(found):
            continue
        _exchange(found)
        name, target = found.locked.spectrum_id, Path(found.path)
        records.append(record_for(context.paths, name, target, found.locked.file_hash, ours=True))
    book = context.record_book()
    if book is not None:
        put_records(book, records)
    return bool(records)


def _place(context: Context, entry: LockedSpectrum, row: Row | None) -> Path:
    """Return where the file is, or belongs: by the catalogue, else by the lock file."""
    names = {"observation": entry.observation, "fits_path": entry.fits_path}
    former = expected_path(context.paths, names)
    if row is None or all(row[key] == value for key, value in names.items()):
        return former
    place = expected_path(context.paths, row)
    return former if former.is_file() and not place.is_file() else place


def contents_of(paths: Mapping[str, str]) -> dict[str, str]:
    """Return the hash of every file, read now."""
    return dict(zip(paths, in_threads(hash_file, list(paths.values())), strict=True))


def version_in(row: Mapping[str, Any]) -> FileVersion:
    """Return the archive's version of a file, as a row of the catalogue knows it."""
    return FileVersion(
        str(row["file_hash"]), row["file_size"], row["reduction_version"], row["signal_to_noise"]
    )


def _checked(
    entry: LockedSpectrum, place: Path, digest: str | None, row: Row | None, catalogued: bool
) -> SpectrumCheck:
    """Compare a line with the file at ``place`` (``digest``; None: there is none) and the catalogue's row."""
    disk: Literal["same", "changed", "missing"]
    archive: Literal["same", "changed", "gone", "unknown"]
    disk = "missing" if digest is None else "same" if digest == entry.file_hash else "changed"
    there = None if row is None else row["file_hash"]
    if row is None:
        archive = "gone" if catalogued else "unknown"
    elif there is None:
        archive = "unknown"
    else:
        archive = "same" if there == entry.file_hash else "changed"
    in_archive = version_in(row) if row is not None and archive == "changed" else None
    on_disk = None
    if digest is not None and disk == "changed":
        on_disk = in_archive if digest == there else file_version(place, digest)
    kept = None if disk == "same" else _kept(place, entry.file_hash)
    return SpectrumCheck(entry, str(place), disk, archive, on_disk, in_archive, kept)


def _kept(place: Path, digest: str) -> str | None:
    """Return the file set aside by a download that replaced the locked version, if it is still that."""
    aside = _aside(place, digest)
    return str(aside) if aside.is_file() and hash_file(aside) == digest else None


def _exchange(found: SpectrumCheck) -> None:
    """Copy the version kept aside into the place of the file, which is set aside."""
    from campfire.mirror.partial import Wanted, key_of, lock_for, part_path, publish, remove_locks
    from campfire.publishing import settle

    entry, target = found.locked, Path(found.path)
    wanted = Wanted(
        entry.spectrum_id,
        entry.observation,
        entry.fits_path,
        target,
        entry.file_hash,
        overwrite=found.on_disk is not None,
        aside=None if found.on_disk is None else _aside(target, found.on_disk.file_hash),
    )
    part = part_path(wanted, None)
    try:
        with lock_for(wanted):
            try:
                shutil.copyfile(str(found.kept), part)
                settle(part)
                publish(part, wanted)
            finally:
                part.unlink(missing_ok=True)
        remove_locks(target.parent, {key_of(wanted)})
    except OSError as err:
        raise DownloadError(f"cannot put {found.kept} back: {err}", path=target) from err


def _aside(place: Path, digest: str) -> Path:
    """Return where a download keeps the version of a file that it replaces."""
    return place.with_name(f"{place.name}.{digest.partition(':')[2][:12]}.old")


def _demand(report: LockReport, fetched: DownloadReport) -> None:
    """Raise if files are not as they were locked."""
    wrong = [check for check in report.spectra if check.disk != "same"]
    if not wrong:
        return
    errors = {entry["spectrum_id"]: entry["error"] for entry in fetched.failures}
    first = wrong[0].locked.spectrum_id
    why = f"{wrong[0]}; {errors[first]}" if errors.get(first) else str(wrong[0])
    raise DownloadError(
        f"{len(wrong)} of {len(report.spectra)} files cannot be had as locked, the first: {first}: {why}",
        hint="check_lock(path) lists all of them",
        report=report,
    )
