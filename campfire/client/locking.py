"""Reproducibility: lock files made, checked and reproduced, and what a reprocessing changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campfire.client.base import on_disk
from campfire.client.collections import CollectionMethods
from campfire.config import as_path, origin
from campfire.disk import new_file
from campfire.errors import ValidationError
from campfire.mirror.lock_inputs import spectrum_names
from campfire.mirror.lock_report import Change, LockReport, changes_table, file_version
from campfire.mirror.lockfile import FileVersion, Lock, LockedSpectrum
from campfire.mirror.reproducing import compare, contents_of, rows_now, version_in
from campfire.query import Query
from campfire.store.files import check
from campfire.store.records import records_of

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import Table

    from campfire.analysis.calibration import CalibrationResult
    from campfire.analysis.stacking import StackResult
    from campfire.mirror.report import DownloadReport
    from campfire.models import Spectrum, SpectrumCollection, SpectrumData
    from campfire.typing import PathInput, ProgressCallback, Row

__all__ = ["LockMethods"]


class LockMethods(CollectionMethods):
    """The methods of :class:`campfire.Campfire` that make results reproducible."""

    @on_disk("cannot lock")
    def lock(
        self,
        path: PathInput,
        spectra: Table
        | SpectrumCollection
        | Spectrum
        | SpectrumData
        | StackResult
        | CalibrationResult
        | xr.DataTree
        | xr.Dataset
        | Iterable[str]
        | None = None,
        *,
        overwrite: bool = False,
        **filters: Any,
    ) -> Lock:
        """Write down which spectra a result used: the hash of every file, its version, and the packages.

        Parameters
        ----------
        path
            The lock file (JSON, a line a spectrum).
        spectra
            Spectrum ids, a table from :meth:`query_spectra`, a ``SpectrumCollection``, a collection, or a
            result that names its inputs: a ``StackResult`` or its spectrum, a ``CalibrationResult``. Else
            give keywords of :meth:`query_spectra`; without either: every spectrum on this disk.
        overwrite
            Replace the file at ``path``.
        **filters
            Keywords of :meth:`query_spectra`.

        Returns
        -------
        Lock
            What was written. ``hash_of`` of a spectrum says whose hash it is: that of the file on this disk,
            or, where there is none, that of the archive.

        Raises
        ------
        ValidationError
            If there is nothing to lock, a stack does not name its inputs, a hash is not known, the file is
            there already, or the file of a spectrum is that of another one.
        NotFoundError
            For unknown spectra.
        """
        new_file(path, overwrite=overwrite)  # said before anything is hashed
        columns = self._locked_columns(spectra, filters)
        rows = {str(row["spectrum_id"]): row for row in columns}
        if not rows:
            raise ValidationError("there are no spectra to lock", hint="download some, or name some")
        hashes = contents_of({name: row["local_path"] for name, row in rows.items() if row["local_path"]})
        unknown = [name for name, row in rows.items() if name not in hashes and not row["file_hash"]]
        if unknown:
            raise ValidationError(
                f"{len(unknown)} spectra have no file here and no hash in the catalogue, "
                f"the first: {unknown[0]}",
                hint="download them first",
            )
        entries = [_locked(row, hashes.get(name)) for name, row in rows.items()]
        for name, digest in hashes.items():
            if digest != rows[name]["file_hash"]:
                self._keeper.identity.refuse_another(Path(rows[name]["local_path"]), digest, rows[name])
        lock = Lock.of(entries, origin(self.base_url), self.last_synced)
        lock.write(path, overwrite=overwrite)
        return lock

    @on_disk("cannot check")
    def check_lock(self, path: PathInput) -> LockReport:
        """Compare a lock file with the files on this disk, the catalogue and the packages; works offline.

        Every file is read: neither its record nor the time of its last change is believed. The archive is
        compared as the last :meth:`sync` knew it.

        Returns
        -------
        LockReport
            ``.ok``, ``.counts``, ``.differences``; printing it says what differs.

        Raises
        ------
        NotFoundError
            If there is no such file.
        ValidationError
            If it is not a lock file.
        """
        return compare(self._context, path, Lock.read(path))

    @on_disk("cannot reproduce:")
    def reproduce(self, path: PathInput, *, progress: ProgressCallback | None = None) -> DownloadReport:
        """Bring exactly the files of a lock file to this disk.

        A file here that is as it was locked is never replaced by a newer one. A locked version that
        ``download(keep_old=True)`` set aside is put back, and the file in its place set aside instead. Of the
        others only those are fetched that the archive still has as they were locked.

        Parameters
        ----------
        path
            The lock file.
        progress
            Called as ``progress("download", files done, files in all)``.

        Returns
        -------
        DownloadReport
            Counts, and ``.files``: every locked spectrum, ``downloaded``, or ``skipped``: here already.

        Raises
        ------
        DownloadError
            If some files cannot be had as they were locked: those that can are here, and ``report`` is the
            :class:`LockReport` that says what differs.
        NotFoundError, ValidationError
            As :meth:`check_lock`; or without a local catalogue.
        """
        return self.download(lock=as_path(path), progress=progress)

    @on_disk("cannot compare")
    def changes(self) -> Table:
        """Say what a reprocessing changed: the files here of which the archive has another version.

        The archive's side is that of the last :meth:`sync`; this disk's is read from the files themselves. To
        be called before ``download(stale_only=True)``, which replaces them.

        Returns
        -------
        astropy.table.Table
            One row a spectrum: ``version_then`` and ``version_now`` of the reduction, ``snr_then`` and
            ``snr_now``, ``hash_then`` and ``hash_now``; masked where not known.
        """
        catalog = self._context.catalog()
        if catalog is None:
            return changes_table([])
        stale = {str(row["spectrum_id"]): row for row in catalog.stale_files()}
        records = records_of(catalog, list(stale))
        rows = rows_now(self._context, stale)
        found = []
        for name, old in stale.items():
            path = Path(old["path"])
            whole = check(path, records[name]) in ("same", "touched")
            then = file_version(path, old["local_hash"]) if whole else FileVersion(old["local_hash"])
            found.append(
                Change(name, old["grating"], old["observation"], old["path"], then, version_in(rows[name]))
            )
        return changes_table(found)

    # --- inside ------------------------------------------------------------------------------------------

    def _locked_columns(self, spectra: Any, filters: dict[str, Any]) -> Iterable[Row]:
        if spectra is None and not filters:
            catalog = self._context.needed_catalog("lock() of all files on this disk")
            return (row for row in catalog.iter_rows(Query.of("spectra")) if row["local_path"])
        names = None if spectra is None else list(dict.fromkeys(spectrum_names(spectra)))
        if names == []:
            raise ValidationError("a lock of no spectra", hint="pass at least one")
        return self._chosen(names, filters).rows()


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
