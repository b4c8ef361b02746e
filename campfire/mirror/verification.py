"""Whether the files on this disk still are what they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from campfire.mirror.downloads import run_download
from campfire.mirror.planning import in_threads
from campfire.store.catalog import Catalog
from campfire.store.file_state import FileRecord, State, check

if TYPE_CHECKING:
    from campfire.access.context import Context

__all__ = ["Verification", "verify"]


class Verification(TypedDict):
    """What :meth:`campfire.Campfire.verify` returns; lists hold absolute paths below ``products/``."""

    ok: int
    missing: list[str]
    changed: list[str]
    truncated: list[str]
    untracked: list[str]


def verify(context: Context, *, repair: bool) -> Verification:
    """Check the downloaded files; with ``repair``, fetch what is broken and check once more.

    Raises
    ------
    DownloadError
        If nothing of what was to be repaired could be fetched.
    """
    book = context.known_files()
    verification, states = verify_files(context, book)
    broken = [name for name, state in states.items() if state in ("missing", "truncated", "changed")]
    if not (repair and broken and book is not None):
        return verification
    catalog = context.needed_catalog("verify(repair=True)")
    rows = {name: catalog.spectrum_row(name) for name in broken}
    for name in (name for name, row in rows.items() if row is None):
        book.forget_file(name)  # the archive no longer has it
    run_download(context, [row for row in rows.values() if row is not None], replace_local=True)
    return verify_files(context, book)[0]


def verify_files(context: Context, book: Catalog | None) -> tuple[Verification, dict[str, State]]:
    """Check every recorded file by its content, and find those without a record.

    Returns
    -------
    verification
        Counts and paths.
    states
        State by spectrum, of the recorded ones.
    """
    paths, hashes = context.paths, context.hashes
    known = {} if book is None else book.local_files()
    # What was here before is somebody else's, who may change it.
    records = {name: record for name, record in known.items() if record.origin == "download"}
    places = {name: paths.products / record.path for name, record in records.items()}

    hashes.recall([str(place) for place in places.values()], book)

    def state(record: FileRecord) -> State:
        place = places[record.spectrum_id]
        found = check(place, record, hashes.of)
        if found == "changed" and book is not None:
            # A download that was killed may have published a newer version without noting it down.
            row = book.spectrum_row(record.spectrum_id)
            if row is not None and row["file_hash"] and hashes.of(place) == row["file_hash"]:
                return "same"
        return found

    states = dict(zip(records, in_threads(state, list(records.values())), strict=True))
    hashes.remember(book)
    by_state: dict[str, list[str]] = {"missing": [], "changed": [], "truncated": []}
    for name, found in states.items():
        if found in by_state:
            by_state[found].append(str(places[name]))
    ours = set(places.values())
    untracked = [str(path) for path in _products(paths.products) if path not in ours]
    verification = Verification(
        ok=sum(found == "same" for found in states.values()),
        missing=sorted(by_state["missing"]),
        changed=sorted(by_state["changed"]),
        truncated=sorted(by_state["truncated"]),
        untracked=untracked,
    )
    return verification, states


def _products(folder: Path) -> list[Path]:
    """Spectra one level down: a pipeline keeps much more below ``products/`` that is none of our business."""
    return sorted(folder.glob("*/*_spec.fits")) if folder.is_dir() else []
