"""Writing a lock file, and saying what changed since the files of this disk were fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from campfire.config import origin
from campfire.errors import ValidationError
from campfire.mirror.lock_report import Change, changes_table, file_version
from campfire.mirror.lockfile import FileVersion, Lock, LockedSpectrum
from campfire.mirror.reproducing import contents_of, rows_now, version_in
from campfire.store.file_records import records_of
from campfire.store.file_state import check

if TYPE_CHECKING:
    from astropy.table import Table

    from campfire.access.context import Context
    from campfire.mirror.file_identity import Identity
    from campfire.typing import Row

__all__ = ["changes", "lock_of"]


def lock_of(context: Context, identity: Identity, found: Iterable[Row]) -> Lock:
    """Return the lock of rows of spectra.

    Raises
    ------
    ValidationError
        If there are none, a hash is not known, or the file of a spectrum is that of another one.
    """
    rows = {str(row["spectrum_id"]): row for row in found}
    if not rows:
        raise ValidationError("there are no spectra to lock", hint="download some, or name some")
    hashes = contents_of({name: row["local_path"] for name, row in rows.items() if row["local_path"]})
    unknown = [name for name, row in rows.items() if name not in hashes and not row["file_hash"]]
    if unknown:
        raise ValidationError(
            f"{len(unknown)} spectra have no file here and no hash in the catalogue, the first: {unknown[0]}",
            hint="download them first",
        )
    entries = [_locked(row, hashes.get(name)) for name, row in rows.items()]
    identity.refuse_others([rows[name] for name in hashes], [rows[name]["local_path"] for name in hashes])
    return Lock.of(entries, origin(context.base_url), context.last_synced())


def changes(context: Context) -> Table:
    """Return the files here of which the archive has another version."""
    catalog = context.catalog()
    if catalog is None:
        return changes_table([])
    stale = {str(row["spectrum_id"]): row for row in catalog.stale_files()}
    records = records_of(catalog, list(stale))
    rows = rows_now(context, stale)
    found = []
    for name, old in stale.items():
        path = Path(old["path"])
        whole = check(path, records[name], context.hashes.of) == "same"
        then = file_version(path, old["local_hash"]) if whole else FileVersion(old["local_hash"])
        found.append(
            Change(name, old["grating"], old["observation"], old["path"], then, version_in(rows[name]))
        )
    return changes_table(found)


def _locked(row: Row, digest: str | None) -> LockedSpectrum:
    """Return the line of a spectrum; ``digest``: of its file on this disk, if there is one."""
    known = digest in (None, row["file_hash"])
    version = version_in(row)
    if digest is not None and not (known and version.reduction_version):
        version = file_version(Path(row["local_path"]), digest)
    return LockedSpectrum(
        spectrum_id=str(row["spectrum_id"]),
        object_id=row["object_id"],
        grating=str(row["grating"]),
        observation=str(row["observation"]),
        fits_path=str(row["fits_path"]),
        **asdict(version),
        hash_of="archive" if digest is None else "disk",
    )
