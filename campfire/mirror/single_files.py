"""Single files: found on this disk and known for what they are, or fetched into place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from campfire.access.user_warnings import tell
from campfire.arguments import choice
from campfire.config import plain_text
from campfire.errors import ValidationError
from campfire.mirror.file_identity import Identity
from campfire.mirror.planning import record_for
from campfire.store.file_records import put_records, records_of
from campfire.store.file_state import FileRecord, expected_hash, expected_path, hash_file
from campfire.typing import EXTRACTIONS

if TYPE_CHECKING:
    from campfire.access.context import Context
    from campfire.typing import Extraction, Row, SpectrumFields

__all__ = ["FileKeeper"]

_log = logging.getLogger("campfire")
_HINT_AFTER = 5


class FileKeeper:
    """Gives the file of a spectrum.

    Parameters
    ----------
    context
        Of the client.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.identity = Identity(context)
        self._lock = threading.Lock()
        self._busy: dict[str, tuple[threading.Lock, int]] = {}
        self._warned: set[tuple[str, str]] = set()
        self._fetched = 0

    @contextmanager
    def _alone(self, spectrum_id: str) -> Iterator[None]:
        """Let one thread at a time deal with a spectrum."""
        with self._lock:
            lock, users = self._busy.get(spectrum_id, (threading.Lock(), 0))
            self._busy[spectrum_id] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._busy[spectrum_id]
                if users == 1:
                    del self._busy[spectrum_id]
                else:
                    self._busy[spectrum_id] = (lock, users - 1)

    def path_of(self, spectrum_id: str) -> tuple[Path, Row]:
        """Return the file of a spectrum, fetched if it is not here, and what is known of the spectrum.

        Raises
        ------
        NotFoundError
            If there is no such spectrum, or the archive has no file of it.
        DownloadError
            If the file cannot be had.
        ValidationError
            If the file in its place is another spectrum.
        """
        with self._alone(spectrum_id):
            path, row, record = self._look(spectrum_id)
            if path is None or row is None or self._must_fetch(path, record):
                if row is None or "fits_path" not in row:
                    row = self._row(spectrum_id)
                path, record = self._fetch(row, overwrite=path is not None)
                self.identity.settle(path, row, record)  # it may have been there, with the catalogue's hash
            else:
                digest = self.identity.settle(path, row, record)
                if record is not None and digest == record.hash:
                    self._warn_if_stale(record, row)
            return path, row

    def read(self, spectrum_id: str, extraction: Extraction = "optimal") -> SpectrumFields:
        """Read a spectrum, fetched if it is not here; see :meth:`path_of`.

        Raises
        ------
        ValidationError
            If the file is not a spectrum, or there is no such extraction.
        """
        from campfire.formats.spec_reader import read_spectrum

        plain_text(spectrum_id, "spectrum id")
        choice(extraction, "extraction", EXTRACTIONS)
        path, row = self.path_of(spectrum_id)
        fields = read_spectrum(
            path, extraction=extraction, spectrum_id=spectrum_id, grating=str(row.get("grating") or "")
        )
        redshift = row.get("redshift")
        return {**fields, "redshift": None if redshift is None else float(redshift)}

    def local_path(self, spectrum_id: str) -> Path | None:
        """Return where a spectrum is on this disk, or None; neither the service nor its content is asked."""
        path, _, record = self._look(spectrum_id)
        return None if path is None or self._must_fetch(path, record) else path

    def settled_path(self, spectrum_id: str) -> Path | None:
        """Return the file of a spectrum if it is on this disk, known for what it is; see :mod:`identity`.

        Raises
        ------
        ValidationError
            If the file in its place is another spectrum.
        """
        path, row, record = self._look(spectrum_id)
        if path is None or row is None or self._must_fetch(path, record):
            return None
        self.identity.settle(path, row, record)
        return path

    def _look(self, spectrum_id: str) -> tuple[Path | None, Row | None, FileRecord | None]:
        """What this disk knows: the file, the row, the record."""
        catalog, products = self._context.catalog(), self._context.paths.products
        row: Row | None = None
        if catalog is not None:
            row = catalog.spectrum_row(spectrum_id)
            if row is None:
                raise self._context.unknown_spectrum(spectrum_id)
        book = self._context.known_files()
        record = None if book is None else records_of(book, [spectrum_id]).get(spectrum_id)
        if row is not None:
            path = expected_path(self._context.paths, row)
            return (path if path.is_file() else None), row, record
        if record is not None and (products / record.path).is_file():
            return products / record.path, {"spectrum_id": spectrum_id}, record
        name = f"{spectrum_id}_spec.fits"
        if "/" not in name and products.is_dir() and not any(c in name for c in "*?["):
            own = sorted(products.glob(f"*/{name}"))
            if len(own) > 1:
                raise ValidationError(
                    f"{spectrum_id!r} is in {len(own)} folders: {own[0].parent}, {own[1].parent}",
                    hint="call sync(): the catalogue says which one it is",
                )
            if own:
                return own[0], {"spectrum_id": spectrum_id}, None
        return None, None, record

    @staticmethod
    def _must_fetch(path: Path, record: FileRecord | None) -> bool:
        return record is not None and record.origin == "download" and path.stat().st_size < record.size

    def _row(self, spectrum_id: str) -> Row:
        row = self._context.spectrum_row(spectrum_id)
        if row is None:
            raise self._context.unknown_spectrum(spectrum_id)
        return row

    def _fetch(self, row: Row, *, overwrite: bool) -> tuple[Path, FileRecord]:
        from campfire.mirror.partial import Taken, Wanted
        from campfire.mirror.signed_urls import SignedAddresses
        from campfire.mirror.transfer import Downloader

        context, spectrum_id = self._context, str(row["spectrum_id"])
        target = expected_path(context.paths, row)
        wanted = Wanted(
            spectrum_id,
            str(row["observation"]),
            str(row["fits_path"]),
            target,
            expected_hash(row),
            row.get("file_size"),
            overwrite=overwrite,
        )
        downloader = Downloader(context.http(), SignedAddresses(context.api()), workers=1)
        try:
            record = record_for(
                context.paths, spectrum_id, target, downloader.fetch(wanted).file_hash, ours=True
            )
        except Taken:  # somebody's own file, shorter than the one that was fetched before
            if not target.is_file():  # a link that leads nowhere
                raise
            record = record_for(context.paths, spectrum_id, target, hash_file(target), ours=False)
        book = context.record_book()
        if book is not None:
            put_records(book, [record])
            context.hashes.note(target, record.hash)
        with self._lock:
            self._fetched += 1
            if self._fetched == _HINT_AFTER:
                _log.warning(
                    "%d spectra were downloaded one by one; download(spectrum_ids=[...]) or "
                    "download(observations=[...]) fetches many at once, in parallel",
                    _HINT_AFTER,
                )
        return target, record

    def _warn_if_stale(self, record: FileRecord, row: Row) -> None:
        server = row.get("file_hash")
        if record.origin != "download" or not server or record.hash == server:
            return
        if (record.spectrum_id, server) in self._warned:
            return
        self._warned.add((record.spectrum_id, server))
        tell(
            f"{record.spectrum_id}: the archive has a newer version of the file on this disk; "
            "download(stale_only=True) fetches it"
        )
