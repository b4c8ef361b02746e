"""What a file on this disk is: its content says so, never its name.

=====================================================  =================================================
content                                                 what happens
=====================================================  =================================================
the archive's file of this spectrum, by its hash        opened; announced if its header has another name
the same, and its header names another known spectrum   refused: the catalogue was changed
what this client downloaded of it before                opened; the archive's newer version is announced
the archive's file of another spectrum                  refused
says in its header that it is another spectrum          refused
anything else: your own reduction, or a changed file    opened, and announced to be that
=====================================================  =================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campfire.access.user_warnings import tell
from campfire.disk import disk_faults
from campfire.errors import ValidationError
from campfire.formats.identification import Claims
from campfire.store.file_hashes import Content
from campfire.store.file_records import records_of
from campfire.store.file_state import FileRecord

if TYPE_CHECKING:
    from campfire.access.context import Context

__all__ = ["Identity"]

_Item = tuple[Mapping[str, Any], str, Content]
"""Row, path and content of one file."""
_CHUNK = 500
_SAME_REDSHIFT = 2e-4  # some headers and catalogues round to four decimals


class Identity:
    """Tells what files are.

    Parameters
    ----------
    context
        Of the client.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told: set[tuple[str, str]] = set()

    def settle(self, path: Path, row: Mapping[str, Any], record: FileRecord | None) -> str:
        """Make sure that a file may be opened as the spectrum of a row; return its hash.

        Raises
        ------
        ValidationError
            If it is another spectrum.
        CampfireError
            If it cannot be read.

        Warns
        -----
        CampfireWarning
            If it is not the archive's file, once for each content.
        """
        content = self._contents([str(path)], path)[str(path)]
        records = {} if record is None else {str(row["spectrum_id"]): record}
        self._announce(self._problems([(row, str(path), content)], records))
        return content.hash

    def settle_all(self, rows: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> dict[str, str]:
        """Make sure of many files at once; return spectrum id -> hash. One warning tells of all others'.

        Raises
        ------
        ValidationError
            If one is another spectrum.
        CampfireError
            If one cannot be read.
        """
        items = self._items(rows, paths)
        others = [
            str(row["spectrum_id"]) for row, _, content in items if content.hash != row.get("file_hash")
        ]
        book = self._context.known_files()
        records = {} if book is None else records_of(book, list(dict.fromkeys(others)))
        self._announce(self._problems(items, records))
        return {str(row["spectrum_id"]): content.hash for row, _, content in items}

    def settle_fit(self, fit: Path, path: Path, spectrum_id: str) -> None:
        """Make sure that a redshift fit may be opened as that of a spectrum.

        Raises
        ------
        ValidationError
            If it was made of another spectrum.
        CampfireError
            If it cannot be read.

        Warns
        -----
        CampfireWarning
            If the catalogue has another redshift of the automated fit.
        """
        from campfire.formats.zfit import belongs_to, read_zfit

        if not belongs_to(fit, path):
            raise ValidationError(
                f"{fit} is not a fit of {path.name}: its model has other wavelengths",
                hint="move it away; the service is then asked for the fit",
                path=fit,
            )
        catalog = self._context.catalog()
        row = None if catalog is None else catalog.spectrum_row(spectrum_id)
        known = None if row is None else row.get("redshift_auto")
        found = read_zfit(fit)["redshift"]
        if known is not None and abs(found - known) > _SAME_REDSHIFT * (1 + abs(known)):
            content = (spectrum_id, f"{fit} {found}")
            if content not in self._told:
                self._told.add(content)
                tell(
                    f"{spectrum_id}: {fit} has the redshift {found:.4f}, the catalogue {known:.4f}; "
                    "it is opened as it is"
                )

    def refuse_others(self, rows: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> None:
        """Refuse files that are those of other spectra, and say nothing of one's own.

        Raises
        ------
        ValidationError
            If one is another spectrum.
        CampfireError
            If one cannot be read.
        """
        self._problems(self._items(rows, paths), {})

    def _items(self, rows: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> list[_Item]:
        contents = self._contents(list(dict.fromkeys(paths)), self._context.paths.products)
        return [(row, path, contents[path]) for row, path in zip(rows, paths, strict=True)]

    def _contents(self, paths: Sequence[str], where: Path) -> dict[str, Content]:
        with disk_faults("cannot read", where):
            return self._context.hashes.of_all(paths, self._context.known_files())

    def _announce(self, told: list[str]) -> None:
        if told:
            more = f" (and {len(told) - 1} more like this)" if len(told) > 1 else ""
            tell(f"{told[0]}{more}")

    def _problems(self, items: list[_Item], records: Mapping[str, FileRecord]) -> list[str]:
        """Return what is to be said of files that are not the archive's, each content once."""
        claims = {content: Claims.from_text(content.says or "") for _, _, content in items}
        names = {str(row["spectrum_id"]).lower() for row, _, _ in items}
        known = names | self._catalogued({c.spectrum_id for c in claims.values() if c.spectrum_id} - names)
        told = []
        for row, path, content in items:
            name = str(row["spectrum_id"])
            problem = self._problem(row, path, content.hash, claims[content], known, records.get(name))
            if problem is not None and (name, content.hash) not in self._told:
                self._told.add((name, content.hash))
                told.append(f"{name}: {problem}")
        return told

    def _problem(
        self,
        row: Mapping[str, Any],
        path: str,
        digest: str,
        claims: Claims,
        known: set[str],
        record: FileRecord | None,
    ) -> str | None:
        own, grating = str(row["spectrum_id"]), row.get("grating")
        archives = digest == row.get("file_hash")
        other = None if archives else self._owner(digest, own)
        if other is None and grating and claims.grating not in (None, str(grating).upper()):
            other = f"a {claims.grating} spectrum, as its header says"
        renamed = claims.spectrum_id not in (None, own.lower())
        if other is None and renamed and (not archives or claims.spectrum_id in known):
            other = f"that of {claims.spectrum_id}, as its header says"
        if other is not None:
            raise ValidationError(
                f"{path} is not the file of {own}: its content is {other}",
                hint="call sync(): the catalogue does not go with its files"
                if archives
                else "move it away; opening the spectrum again then fetches its own file",
                path=path,
            )
        if archives:
            # Ids change in the archive, and its files are not made anew for that.
            return f"its file says that it is {claims.spectrum_id}; has it been renamed?" if renamed else None
        if record is not None and record.origin == "download":
            if digest == record.hash:
                return None  # an older version, which is announced where it is opened
            return f"{path} was changed since it was downloaded; it is opened as it is"
        if row.get("file_hash"):
            return f"{path} is not the archive's file, but one of your own; it is opened as it is"
        return f"{path} is opened by its name: nothing here says what the archive's file is"

    def _catalogued(self, names: set[str]) -> set[str]:
        """Return which of some names are those of spectra of the catalogue."""
        book = self._context.known_files()
        found: set[str] = set()
        wanted = sorted(names) if book is not None else []
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            select = f"SELECT spectrum_id FROM spectra WHERE spectrum_id IN ({','.join('?' * len(part))})"
            found |= {row[0] for row in book.execute(select, part)} if book is not None else set()
        return found

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
