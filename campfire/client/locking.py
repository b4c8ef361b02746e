"""Reproducibility: lock files made, checked and reproduced, and what a reprocessing changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from campfire.client.collections import CollectionMethods
from campfire.client.lockfile import FileVersion, Lock, LockedSpectrum, package_versions
from campfire.client.lockinputs import spectrum_names
from campfire.client.lockreport import Change, LockReport, SpectrumCheck, changes_table, file_version
from campfire.client.planning import in_threads, record_for
from campfire.client.report import DownloadReport, FileEntry
from campfire.config import origin
from campfire.errors import DownloadError, ValidationError
from campfire.query import Query
from campfire.store.files import check, expected_path, hash_file
from campfire.store.records import put_records, records_of

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import Table

    from campfire.analysis.calibrate import CalibrationResult
    from campfire.analysis.stack import StackResult
    from campfire.models import Spectrum, SpectrumCollection, SpectrumData
    from campfire.typing import PathInput, ProgressCallback, Row

__all__ = ["LockMethods"]

_FEW = 200  # spectra that are looked up one by one


class LockMethods(CollectionMethods):
    """The methods of :class:`campfire.Campfire` that make results reproducible."""

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
            If there is nothing to lock, a stack does not name its inputs, a hash is not known, or the file is
            there already.
        NotFoundError
            For unknown spectra.
        """
        columns = self._locked_columns(spectra, filters)
        rows = {str(row["spectrum_id"]): row for row in columns}
        if not rows:
            raise ValidationError("there are no spectra to lock", hint="download some, or name some")
        hashes = _contents({name: row["local_path"] for name, row in rows.items() if row["local_path"]})
        unknown = [name for name, row in rows.items() if name not in hashes and not row["file_hash"]]
        if unknown:
            raise ValidationError(
                f"{len(unknown)} spectra have no file here and no hash in the catalogue, "
                f"the first: {unknown[0]}",
                hint="download them first",
            )
        entries = [_locked(row, hashes.get(name)) for name, row in rows.items()]
        lock = Lock.of(entries, origin(self.base_url), self.last_synced)
        lock.write(path, overwrite=overwrite)
        return lock

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
        return self._compare(path, Lock.read(path))

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
        lock = Lock.read(path)
        self._context.needed_catalog("reproduce()")
        before = self._compare(path, lock)
        if self._put_back(before):
            before = self._compare(path, lock)
        wanted = [
            check.locked.spectrum_id
            for check in before.spectra
            if check.disk != "same" and check.archive in ("same", "unknown")
        ]
        fetched = DownloadReport([])
        if wanted:
            try:
                fetched = self.download(spectrum_ids=wanted, progress=progress)
            except DownloadError as err:
                if not isinstance(err.report, DownloadReport):
                    raise
                fetched = err.report
        after = self._compare(path, lock)
        _demand(after, fetched)
        here = [
            FileEntry(
                spectrum_id=entry.locked.spectrum_id, path=entry.path, state="skipped", bytes=0, error=None
            )
            for entry in before.spectra
            if entry.disk == "same"
        ]
        return DownloadReport([*fetched.files, *here])

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
        rows = self._rows_now(stale)
        found = []
        for name, old in stale.items():
            path = Path(old["path"])
            whole = check(path, records[name]) in ("same", "touched")
            then = file_version(path, old["local_hash"]) if whole else FileVersion(old["local_hash"])
            found.append(
                Change(name, old["grating"], old["observation"], old["path"], then, _version_of(rows[name]))
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

    def _rows_now(self, names: Iterable[str]) -> dict[str, Row]:
        """Return the rows of the local catalogue; unknown spectra are not in the answer."""
        catalog, wanted = self._context.catalog(), set(names)
        if catalog is None or not wanted:
            return {}
        if len(wanted) <= _FEW:
            return {name: row for name in wanted if (row := catalog.spectrum_row(name)) is not None}
        rows = catalog.iter_rows(Query.of("spectra"))
        return {str(row["spectrum_id"]): row for row in rows if row["spectrum_id"] in wanted}

    def _compare(self, path: PathInput, lock: Lock) -> LockReport:
        rows = self._rows_now(entry.spectrum_id for entry in lock.spectra)
        places = {
            entry.spectrum_id: self._place(entry, rows.get(entry.spectrum_id)) for entry in lock.spectra
        }
        here = {name: str(place) for name, place in places.items() if place.is_file()}
        hashes = _contents(here)
        catalogued = self.is_local
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
        return LockReport(str(path), lock, tuple(checks), versions, origin(self.base_url))

    def _put_back(self, report: LockReport) -> bool:
        """Put locked versions that were set aside into their places; returns whether there were any.

        What is in such a place is set aside in turn; where it is not the archive's file, it stays.
        """
        records = []
        for found in report.spectra:
            if found.kept is None or (found.disk == "changed" and found.on_disk != found.in_archive):
                continue
            _exchange(found)
            name, target = found.locked.spectrum_id, Path(found.path)
            records.append(record_for(self._context.paths, name, target, found.locked.file_hash, ours=True))
        book = self._context.record_book()
        if book is not None:
            put_records(book, records)
        return bool(records)

    def _place(self, entry: LockedSpectrum, row: Row | None) -> Path:
        """Return where the file is, or belongs: by the catalogue, else by the lock file."""
        names = {"observation": entry.observation, "fits_path": entry.fits_path}
        former = expected_path(self._context.paths, names)
        if row is None or all(row[key] == value for key, value in names.items()):
            return former
        place = expected_path(self._context.paths, row)
        return former if former.is_file() and not place.is_file() else place


def _contents(paths: Mapping[str, str]) -> dict[str, str]:
    """Return the hash of every file, read now."""
    return dict(zip(paths, in_threads(hash_file, list(paths.values())), strict=True))


def _version_of(row: Mapping[str, Any]) -> FileVersion:
    """Return the archive's version of a file, as a row of the catalogue knows it."""
    return FileVersion(
        str(row["file_hash"]), row["file_size"], row["reduction_version"], row["signal_to_noise"]
    )


def _locked(row: Row, digest: str | None) -> LockedSpectrum:
    """Return the line of a spectrum; ``digest``: of its file on this disk, if there is one."""
    known = digest in (None, row["file_hash"])
    version = _version_of(row)
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
    in_archive = _version_of(row) if row is not None and archive == "changed" else None
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
    from campfire.transport.partial import Wanted, lock_for, part_path, publish

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
    part, guard = part_path(wanted, None), lock_for(wanted)
    try:
        with guard:
            try:
                shutil.copyfile(str(found.kept), part)
                publish(part, wanted)
            finally:
                part.unlink(missing_ok=True)
                Path(guard.lock_file).unlink(missing_ok=True)
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
