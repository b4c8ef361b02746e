"""What a file on this disk is: its content says so, never its name.

=====================================================  =================================================
content                                                 what happens
=====================================================  =================================================
the archive's file of this spectrum, by its hash        opened
what this client downloaded of it before                opened; the archive's newer version is announced
the archive's file of another spectrum                  refused
says in its header that it is another spectrum          refused
anything else: your own reduction, or a changed file    opened, and announced to be that
=====================================================  =================================================
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campfire.access.telling import tell
from campfire.disk import disk_faults
from campfire.errors import CampfireError, ValidationError
from campfire.store.files import FileRecord
from campfire.store.hashes import FileHashes
from campfire.store.records import records_of

if TYPE_CHECKING:
    from campfire.access.context import Context

__all__ = ["Identity"]

_ENDING = "_spec.fits"


class Identity:
    """Tells what files are.

    Parameters
    ----------
    context
        Of the client.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._hashes = FileHashes(context.paths.products)
        self._told: set[tuple[str, str]] = set()

    def digest(self, path: Path) -> str:
        """Return the hash of a file as it is now.

        Raises
        ------
        CampfireError
            If it cannot be read.
        """
        with disk_faults("cannot read", path):
            return self._hashes.of(path, self._context.known_files())

    def settle(self, path: Path, row: Mapping[str, Any], record: FileRecord | None) -> str:
        """Make sure that a file may be opened as the spectrum of a row; return its hash.

        Raises
        ------
        ValidationError
            If it is another spectrum.

        Warns
        -----
        CampfireWarning
            If it is not the archive's file, once for each content.
        """
        digest = self.digest(path)
        if digest != row.get("file_hash"):
            problem = self._foreign(path, digest, row, record)
            if problem is not None and self._news(row, digest):
                tell(f"{row['spectrum_id']}: {problem}")
        return digest

    def settle_all(self, rows: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> dict[str, str]:
        """Make sure of many files at once; return spectrum id -> hash. One warning tells of all others'.

        Raises
        ------
        ValidationError
            If one is another spectrum.
        CampfireError
            If one cannot be read.
        """
        book = self._context.known_files()
        with disk_faults("cannot read one of the files below", self._context.paths.products):
            digests = self._hashes.of_all(list(dict.fromkeys(paths)), book)
        pairs = zip(rows, paths, strict=True)
        others = [(row, path) for row, path in pairs if digests[path] != row["file_hash"]]
        names = list(dict.fromkeys(str(row["spectrum_id"]) for row, _ in others))
        records = {} if book is None else records_of(book, names)
        told: list[str] = []
        for row, path in others:
            digest = digests[path]
            problem = self._foreign(Path(path), digest, row, records.get(str(row["spectrum_id"])))
            if problem is not None and self._news(row, digest):
                told.append(f"{row['spectrum_id']}: {problem}")
        if told:
            more = f" (and {len(told) - 1} more like this)" if len(told) > 1 else ""
            tell(f"{told[0]}{more}")
        return {str(row["spectrum_id"]): digests[path] for row, path in zip(rows, paths, strict=True)}

    def _news(self, row: Mapping[str, Any], digest: str) -> bool:
        key = (str(row["spectrum_id"]), digest)
        if key in self._told:
            return False
        self._told.add(key)
        return True

    def _foreign(
        self, path: Path, digest: str, row: Mapping[str, Any], record: FileRecord | None
    ) -> str | None:
        """Return what is to be said of a file that is not the archive's present one, or None."""
        self.refuse_another(path, digest, row)
        if record is not None and record.origin == "download":
            if digest == record.hash:
                return None  # an older version, which is announced where it is opened
            return f"{path} was changed since it was downloaded; it is opened as it is"
        if row.get("file_hash"):
            return f"{path} is not the archive's file, but one of your own; it is opened as it is"
        return f"{path} is opened by its name: nothing here says what the archive's file is"

    def refuse_another(self, path: Path, digest: str, row: Mapping[str, Any]) -> None:
        """Refuse a file that is not the archive's present one of a spectrum, if it is that of another.

        Raises
        ------
        ValidationError
            If it is.
        """
        spectrum_id = str(row["spectrum_id"])
        other = self._owner(digest, spectrum_id) or _header_says(path, row)
        if other is not None:
            raise ValidationError(
                f"{path} is not the file of {spectrum_id}: its content is {other}",
                hint="move it away; opening the spectrum again then fetches its own file",
                path=path,
            )

    def _owner(self, digest: str, spectrum_id: str) -> str | None:
        """Return whose file this content is, if the archive or a download has it for another spectrum."""
        book = self._context.known_files()
        if book is None:
            return None
        found = book.execute(
            "SELECT spectrum_id FROM spectra WHERE file_hash = ?1 AND spectrum_id <> ?2 UNION ALL "
            "SELECT spectrum_id FROM local_files WHERE hash = ?1 AND spectrum_id <> ?2 "
            "AND origin = 'download' LIMIT 1",
            (digest, spectrum_id),
        ).fetchone()
        return None if found is None else f"that of {found[0]}"


def _header_says(path: Path, row: Mapping[str, Any]) -> str | None:
    """Return what the header of a file says it is, if that is another spectrum than the row's."""
    from campfire.formats.fits import peek_spectrum

    try:
        fields, _ = peek_spectrum(os.fspath(path))
    except CampfireError:
        return None  # whoever reads it will say what is wrong with it
    name = fields["header"].get("FILENAME")
    own = str(row["spectrum_id"])
    if isinstance(name, str) and name.endswith(_ENDING) and name.removesuffix(_ENDING) != own:
        return f"that of {name.removesuffix(_ENDING)}, as its header says"
    grating = row.get("grating")
    found = fields["grating"]
    if grating and found and found.upper() not in ("UNKNOWN", str(grating).upper()):
        return f"a {found} spectrum, as its header says"
    return None
