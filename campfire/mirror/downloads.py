"""Running a download: plan, check for space, fetch, record, report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from campfire.access.user_warnings import tell
from campfire.errors import DownloadError, NotFoundError, ValidationError
from campfire.mirror.partial import leftovers, size_of, sweep
from campfire.mirror.planning import Planned, plan_files, record_for
from campfire.mirror.report import DownloadReport, FileEntry, FileState
from campfire.query import Query, QueryOptions
from campfire.store.file_records import put_records, records_of
from campfire.store.file_state import FileRecord

if TYPE_CHECKING:
    from campfire.access.context import Context
    from campfire.mirror.partial import Wanted
    from campfire.mirror.transfer import Outcome
    from campfire.typing import ProgressCallback, Row

__all__ = ["run_download", "wanted_rows"]

_BATCH = 200
_SECONDS = 0.25
_STATES: dict[str, FileState] = {
    "fetch": "planned",
    "update": "planned",
    "replace": "planned",
    "keep": "skipped",
    "local": "local",
    "refuse": "failed",
}


class _Recorder:
    """Notes published files in batches: a transaction a file would cost more than fetching it."""

    def __init__(self, context: Context) -> None:
        self._paths = context.paths
        self._hashes = context.hashes
        self._book = context.record_book()
        self._waiting: list[FileRecord] = []
        self._since = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        wanted, ours = outcome.wanted, outcome.state != "local"
        digest = outcome.file_hash if ours else self._hashes.of(wanted.target)
        if ours:
            self._hashes.note(wanted.target, digest)
        self.note(record_for(self._paths, wanted.spectrum_id, wanted.target, digest, ours=ours))

    def note(self, record: FileRecord) -> None:
        self._waiting.append(record)
        if len(self._waiting) >= _BATCH or time.monotonic() - self._since > _SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._book is not None and self._waiting:
            put_records(self._book, self._waiting)
        self._hashes.remember(self._book)
        self._waiting, self._since = [], time.monotonic()


def wanted_rows(
    context: Context,
    filters: QueryOptions,
    *,
    spectrum_ids: Iterable[str] | None = None,
    stale_only: bool = False,
) -> list[Row]:
    """Return the rows of the local catalogue that a download is about.

    Raises
    ------
    ValidationError
        Without a local catalogue, for an unknown name, or an empty list of ids.
    NotFoundError
        For an unknown spectrum id.
    """
    query = Query.of("spectra", **filters)
    catalog = context.needed_catalog("download()")
    rows = list(catalog.iter_rows(query.resolved(catalog.vocabulary())))
    if spectrum_ids is not None:
        wanted = dict.fromkeys(spectrum_ids)
        if not wanted:
            raise ValidationError("spectrum_ids is an empty list", hint="leave it out, or pass ids")
        unknown = [name for name in wanted if catalog.spectrum_row(name) is None]
        if unknown:
            raise NotFoundError(
                f"{len(unknown)} spectra are not in the local catalogue, the first: {unknown[0]!r}",
                hint="check the ids, or call sync() if they are new",
            )
        rows = [row for row in rows if row["spectrum_id"] in wanted]
    if stale_only:
        stale = {row["spectrum_id"] for row in catalog.stale_files()}
        rows = [row for row in rows if row["spectrum_id"] in stale]
    return rows


def run_download(
    context: Context,
    rows: Sequence[Row],
    *,
    workers: int = 4,
    dry_run: bool = False,
    keep_old: bool = False,
    replace_local: bool = False,
    progress: ProgressCallback | None = None,
) -> DownloadReport:
    """Bring the files of rows of spectra up to date.

    Raises
    ------
    DownloadError
        If there is no space, or all files failed (with ``report``).
    """
    book = context.known_files()
    records = {} if book is None else records_of(book, [str(row["spectrum_id"]) for row in rows])
    products = context.paths.products
    context.hashes.recall([str(products / record.path) for record in records.values()], book)
    plan = plan_files(context.paths, rows, records, context.hashes, replace_local=replace_local)
    entries = {str(item.row["spectrum_id"]): _entry(item) for item in plan}
    todo = [item for item in plan if _STATES[item.action] == "planned"]
    if not dry_run:
        recorder = _Recorder(context)
        try:
            for item in plan:
                if item.found is not None:
                    recorder.note(item.found)
            _tidy(plan, todo)
            if todo:
                files = [item.wanted(keep_old=keep_old) for item in todo]
                _check_space(context.paths.products, files)
                _fetch(context, files, entries, recorder, workers, progress)
        finally:
            recorder.flush()
    report = DownloadReport(list(entries.values()))
    if not dry_run:
        _judge(report)
    return report


def _tidy(plan: list[Planned], todo: list[Planned]) -> None:
    """Remove what crashed runs left in folders in which nothing is going to be fetched."""
    busy = {item.path.parent for item in todo if item.path is not None}
    for folder in {item.path.parent for item in plan if item.path is not None} - busy:
        sweep(folder)


def _fetch(
    context: Context,
    files: list[Wanted],
    entries: dict[str, FileEntry],
    recorder: _Recorder,
    workers: int,
    progress: ProgressCallback | None,
) -> None:
    from campfire.mirror.signed_urls import SignedAddresses
    from campfire.mirror.transfer import Downloader

    addresses = SignedAddresses(context.api(), [(w.observation, w.fits_path) for w in files])
    context.auth().bearer()  # without credentials nothing is tried, and the error is that one
    done = 0
    if progress is not None:
        progress("download", 0, len(files))

    def finished(outcome: Outcome) -> None:
        nonlocal done
        entry = entries[outcome.wanted.spectrum_id]
        entry["bytes"], entry["error"] = outcome.bytes, outcome.error
        entry["state"] = "skipped" if outcome.state == "present" else outcome.state
        if outcome.state != "failed":
            recorder.add(outcome)
        done += 1
        if progress is not None:
            progress("download", done, len(files))

    Downloader(context.http(), addresses, workers=workers).fetch_all(files, finished)


def _entry(item: Planned) -> FileEntry:
    state = _STATES[item.action]
    return FileEntry(
        spectrum_id=str(item.row["spectrum_id"]),
        path="" if item.path is None else str(item.path),
        state=state,
        bytes=int(item.row.get("file_size") or 0) if state == "planned" else 0,
        error=item.reason if state == "failed" else None,
    )


def _check_space(folder: Path, files: list[Wanted]) -> None:
    needed = sum(wanted.file_size or 0 for wanted in files)
    for place in {wanted.target.parent for wanted in files}:  # less what broken transfers left
        needed -= sum(size_of(path) for paths in leftovers(place).values() for path in paths)
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DownloadError(
            f"{needed / 1e6:,.0f} MB are to be downloaded, and {free / 1e6:,.0f} MB are free at {there}",
            hint="free some, download less, or set data_dir to another disk",
            path=there,
        )


def _judge(report: DownloadReport) -> None:
    failures = report.failures
    if not failures:
        return
    name, error = failures[0]["spectrum_id"], str(failures[0]["error"])
    first = error if error.startswith(f"{name}:") else f"{name}: {error}"
    if len(failures) == len(report.files):
        raise DownloadError(
            f"{len(failures)} of {len(report.files)} files failed, the first: {first}", report=report
        )
    tell(
        f"{len(failures)} of {len(report.files)} files failed, the first: {first}. "
        "The others are here; download again to try these again"
    )
