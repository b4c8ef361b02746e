"""Records of files on this disk, many at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from campfire.store.file_state import FileRecord, is_below

if TYPE_CHECKING:
    from campfire.store.catalog import Catalog

__all__ = ["put_records", "records_of"]

_CHUNK = 500


def put_records(catalog: Catalog, records: Iterable[FileRecord]) -> None:
    """Note files below ``products/`` in one transaction; records are replaced as a whole."""
    now = datetime.now(UTC).isoformat()
    values = [
        (r.spectrum_id, r.path, r.hash, r.size, r.mtime, r.origin, r.recorded_at or now) for r in records
    ]
    if not values:
        return
    with catalog.write() as writer:
        for value in values:
            writer.execute("INSERT OR REPLACE INTO local_files VALUES (?,?,?,?,?,?,?)", value)


def records_of(catalog: Catalog, spectrum_ids: Sequence[str]) -> dict[str, FileRecord]:
    """Return the records of some spectra; those without one are not in the answer."""
    found: dict[str, FileRecord] = {}
    for start in range(0, len(spectrum_ids), _CHUNK):
        names = list(spectrum_ids[start : start + _CHUNK])
        marks = ",".join("?" * len(names))
        rows = catalog.execute(f"SELECT * FROM local_files WHERE spectrum_id IN ({marks})", names)
        found |= {row[0]: FileRecord(*row) for row in rows if is_below(row[1])}
    return found
