"""The catalogue of a served archive: every question the REST interface asks of it."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path

from campfire.archive.catalogue import list_queries
from campfire.archive.catalogue.list_request import ListRequest, Page
from campfire.archive.catalogue.reader import Conditions, Reader, Viewer, Watch
from campfire.archive.catalogue.remove_programs import named_programs
from campfire.archive.catalogue.rows import (
    SYNCED_OBJECT,
    SYNCED_PHOTOMETRY,
    SYNCED_SPECTRUM,
    synced_objects,
    synced_photometry,
    synced_spectra,
)
from campfire.store.rows import split
from campfire.typing import Row

__all__ = ["ServedCatalogue"]

_DETAILS = (
    *("pointings", "reduction_version", "crds_context", "cfpipe_version", "jwst_version", "reduced_at"),
    *("deployed_at", "last_patch_at", "deployed_by_username", "deployed_by_full_name"),
)


class ServedCatalogue:
    """Reads ``meta/campfire.db`` for a server; other processes may write it meanwhile.

    Parameters
    ----------
    path
        The catalogue.
    fixed
        Answer correctly where the deployed service does not.
    """

    def __init__(self, path: Path, *, fixed: bool = False) -> None:
        self.fixed = fixed
        self._reader = Reader(path)
        self._watch = Watch(path)

    def close(self) -> None:
        """Close every connection."""
        self._reader.close()
        self._watch.close()

    def state(self) -> int:
        """Return a number that is another one when any process has written to the catalogue."""
        return self._watch.state()

    def named_programs(self) -> frozenset[str]:
        """Return the slugs of all programs that anything here belongs to, also those of no row of theirs."""
        return named_programs(self._reader)

    def program_slugs(self, *, public_only: bool) -> frozenset[str]:
        """Return the slugs of all programs, or of the public ones."""
        condition = " WHERE is_public" if public_only else ""
        found = self._reader.remembered(
            f"slugs{public_only}", lambda: self._reader.values(f"SELECT slug FROM programs{condition}")
        )
        return frozenset(slug for (slug,) in found)

    # --- lists ------------------------------------------------------------------------------------------

    def objects(self, request: ListRequest, viewer: Viewer) -> tuple[list[Row], int]:
        """Return a page of ``/objects`` and how many objects match."""
        with self._reader.snapshot():
            return list_queries.list_objects(self._reader, request, viewer, fixed=self.fixed)

    def spectra(self, request: ListRequest, viewer: Viewer) -> tuple[list[Row], int]:
        """Return a page of ``/spectra/list`` and how many spectra match."""
        with self._reader.snapshot():
            return list_queries.list_spectra(self._reader, request, viewer, fixed=self.fixed)

    def object_names(self, request: ListRequest, viewer: Viewer) -> list[str]:
        """Return the names of all objects that match, in order, whichever page was asked for."""
        with self._reader.snapshot():
            return list_queries.list_object_names(self._reader, request, viewer, fixed=self.fixed)

    def object_with_spectra(self, object_id: str, viewer: Viewer) -> tuple[Row, list[Row]] | None:
        """Return an object as in ``/sync/objects`` and its spectra as in ``/sync/spectra``, or None."""
        where = Conditions()
        where.add("o.object_id = ?", object_id)
        with self._reader.snapshot():
            list_queries.visible(self._reader, where, viewer.programs)
            found = self._reader.rows(f"SELECT {SYNCED_OBJECT} FROM objects o{where.sql}", where.values)
            if not found:
                return None
            mine = Conditions()
            mine.add("s.object_pk = ?", found[0]["id"])
            list_queries.readable(self._reader, mine, viewer.programs)
            source = "spectra s LEFT JOIN objects o ON o.id = s.object_pk"
            sql = f"SELECT {SYNCED_SPECTRUM} FROM {source}{mine.sql} ORDER BY s.spectrum_id"
            spectra = self._reader.rows(sql, mine.values)
            return synced_objects(self._reader, found, viewer, fixed=self.fixed)[0], synced_spectra(spectra)

    # --- vocabulary -------------------------------------------------------------------------------------

    def metadata(self, viewer: Viewer) -> Row:
        """Return programs of the viewer, and fields, gratings, observations of everybody (unless fixed)."""
        where = Conditions()
        where.among("slug", viewer.programs)
        rows = self._reader.rows(
            "SELECT slug, coalesce(program_name, slug) AS program_name, pi_name, is_public FROM programs"
            f"{where.sql} ORDER BY slug",
            where.values,
        )
        for row in rows:
            row["is_public"] = None if row["is_public"] is None else bool(row["is_public"])
        found: Row = {"programs": rows}
        for name, column in (("fields", "field"), ("gratings", "grating"), ("observations", "observation")):
            found[name] = self._distinct(column, viewer)
        return found

    def _distinct(self, column: str, viewer: Viewer) -> list[str]:
        where = Conditions()
        if self.fixed:
            where.among("program_slug", viewer.programs)
        sql = f"SELECT DISTINCT {column} FROM spectra{where.sql} ORDER BY {column} COLLATE BINARY"
        key = f"{column} {sorted(viewer.programs) if self.fixed else ''}"
        found = self._reader.remembered(key, lambda: self._reader.values(sql, where.values))
        return [name for (name,) in found]

    def observations(self, viewer: Viewer) -> list[Row]:
        """Return the rows of ``/observations``; callers must not change them."""
        key = f"observations {sorted(viewer.programs)}"
        return self._reader.remembered(key, lambda: self._observations(viewer))

    def _observations(self, viewer: Viewer) -> list[Row]:
        where = Conditions()
        where.among("s.program_slug", viewer.programs)
        rows = self._reader.rows(
            "SELECT s.observation, s.program_slug, coalesce(p.program_name, s.program_slug) AS program_name,"
            " s.field, count(DISTINCT s.target_id) AS target_count, count(*) AS spectrum_count,"
            " coalesce(sum(s.file_size), 0) AS total_size_bytes, b.details FROM spectra s"
            " LEFT JOIN programs p ON p.slug = s.program_slug LEFT JOIN observations b ON"
            " b.observation = s.observation AND b.program_slug = s.program_slug AND b.field = s.field"
            f"{where.sql} GROUP BY 1, 2, 4 ORDER BY 1, 2, 4",
            where.values,
        )
        for row in rows:
            details = json.loads(row.pop("details") or "{}")
            row |= {name: details.get(name) for name in _DETAILS}
            row["n_patches_since_full"] = details.get("n_patches_since_full") or 0
        return rows

    def tags(self, viewer: Viewer) -> list[Row]:
        """Return the rows of ``/sync/lists``: public tags and the viewer's own."""
        rows = self._reader.rows(
            "SELECT t.id, t.slug, coalesce(t.name, t.slug) AS name, t.description, t.visibility, t.is_system,"
            " t.created_by, t.created_at, t.updated_at,"
            " (SELECT count(*) FROM memberships m WHERE m.tag_id = t.id) AS member_count FROM tags t"
            " WHERE t.visibility <> 'private' OR t.created_by = ? ORDER BY t.is_system DESC, name",
            (viewer.account,),
        )
        for row in rows:
            row["is_system"] = bool(row["is_system"])
        return rows

    # --- whole tables -----------------------------------------------------------------------------------

    def _since(self, where: Conditions, column: str, since: datetime | None) -> None:
        """Keep rows changed after a time (or then, if fixed); both are texts in UTC, of any precision."""
        if since is not None:
            text = since.isoformat().removesuffix("+00:00")
            text = text.rstrip("0") if "." in text else text
            where.add(f"{column} {'>=' if self.fixed else '>'} ?", f"{text}+00:00")

    def _table(
        self,
        columns: str,
        source: str,
        key: str,
        order: str,
        where: Conditions,
        page: Page,
        *,
        counts: bool = True,
    ) -> tuple[list[Row], int]:
        """Return a page and how many rows match; ``where`` speaks of the first table of ``source``."""
        table = source.partition(" LEFT JOIN ")[0]
        total = self._count(table, where) if counts else 0
        # Keys first: what is skipped then costs no more than a step along an index.
        keys = f"SELECT {key} FROM {table}{where.sql} ORDER BY {order} LIMIT ? OFFSET ?"
        sql = f"SELECT {columns} FROM {source} WHERE {key} IN ({keys}) ORDER BY {order}"
        return self._reader.rows(sql, [*where.values, page.limit, page.offset]), total

    def _count(self, table: str, where: Conditions) -> int:
        return int(self._reader.scalar(f"SELECT count(*) FROM {table}{where.sql}", where.values))

    def sync_objects(
        self, viewer: Viewer, *, since: datetime | None, page: Page, counts: bool
    ) -> tuple[list[Row], int, int]:
        """Return a page of ``/sync/objects``, how many match, and how many there are for the viewer."""
        where = Conditions()
        with self._reader.snapshot():
            list_queries.visible(self._reader, where, viewer.programs)
            accessible = self._count("objects o", where) if counts else 0
            self._since(where, "o.updated_at", since)
            rows, total = self._table(
                SYNCED_OBJECT, "objects o", "o.id", "o.object_id", where, page, counts=counts
            )
            return synced_objects(self._reader, rows, viewer, fixed=self.fixed), total, accessible

    def sync_spectra(
        self, viewer: Viewer, *, since: datetime | None, page: Page, counts: bool
    ) -> tuple[list[Row], int, int]:
        """Return a page of ``/sync/spectra``, how many match, and how many there are for the viewer."""
        where = Conditions()
        source = "spectra s LEFT JOIN objects o ON o.id = s.object_pk"
        with self._reader.snapshot():
            list_queries.readable(self._reader, where, viewer.programs)
            accessible = self._count("spectra s", where) if counts else 0
            self._since(where, "s.updated_at", since)
            rows, total = self._table(
                SYNCED_SPECTRUM, source, "s.id", "s.spectrum_id", where, page, counts=counts
            )
        return synced_spectra(rows), total, accessible

    def sync_photometry(self, viewer: Viewer, *, since: datetime | None, page: Page) -> tuple[list[Row], int]:
        """Return a page of ``/sync/photometry`` and how many records match."""
        where = Conditions()
        where.add("f.object_pk IS NOT NULL")
        source = "photometry f LEFT JOIN objects o ON o.id = f.object_pk"
        with self._reader.snapshot():
            list_queries.visible(self._reader, where, viewer.programs, "f.object_pk")
            self._since(where, "f.updated_at", since)
            rows, total = self._table(SYNCED_PHOTOMETRY, source, "f.id", "f.id", where, page)
        return synced_photometry(rows), total

    # --- single things ----------------------------------------------------------------------------------

    def manifest(self, observation: str, viewer: Viewer) -> Row | None:
        """Return the manifest of an observation without links; None if nothing of it can be read."""
        where = Conditions()
        where.among("s.observation", (observation,))
        where.among("s.program_slug", viewer.programs)
        rows = self._reader.rows(
            "SELECT s.id AS spectra_id, s.spectrum_id, s.target_id, s.grating, s.fits_path, s.file_hash,"
            " s.file_size, s.signal_to_noise, s.reduction_version, s.program_slug, p.program_name, s.field"
            f" FROM spectra s LEFT JOIN programs p ON p.slug = s.program_slug{where.sql}"
            " ORDER BY s.spectrum_id",
            where.values,
        )
        if not rows:
            return None
        named = [{name: row.pop(name) for name in ("program_slug", "program_name", "field")} for row in rows]
        return {
            "observation": observation,
            **named[0],
            "target_count": len({row["target_id"] for row in rows}),
            "spectrum_count": len(rows),
            "total_size_bytes": sum(row["file_size"] or 0 for row in rows),
            "spectra": rows,
        }

    def spectrum(
        self,
        *,
        spectrum_id: str | None = None,
        fits_path: str | None = None,
        target_id: str | None = None,
        grating: str | None = None,
    ) -> Row | None:
        """Return where the file of a spectrum is and whose it is; what is given must match exactly."""
        where = Conditions()
        given = {
            "spectrum_id": spectrum_id,
            "fits_path": fits_path,
            "target_id": target_id,
            "grating": grating,
        }
        for name, value in given.items():
            if value is not None:
                where.add(f"{name} = ?", value)
        sql = f"SELECT spectrum_id, fits_path, observation, program_slug FROM spectra{where.sql}"
        return self._reader.row(sql, where.values)

    def has_file(self, observation: str, name: str) -> bool:
        """Tell whether a file of that name is the one of a spectrum of this observation."""
        where = Conditions()
        where.add("observation COLLATE NOCASE = ? AND observation = ?", observation, observation)
        where.add("substr('/' || fits_path, -length(?)) = ?", f"/{name}", f"/{name}")
        return self._reader.row(f"SELECT id FROM spectra{where.sql}", where.values) is not None

    def object_place(self, object_id: str) -> Row | None:
        """Return position, field and programs of an object."""
        row = self._reader.row(
            "SELECT ra, dec, field, programs FROM objects WHERE object_id = ?", (object_id,)
        )
        return None if row is None else row | {"programs": split(row["programs"])}

    def shutters(self, field: str, ra: float, dec: float, half: float) -> list[Row]:
        """Return the shutters of a field in a box of half-width ``half`` arcsec around a position."""
        reach = half / 3600.0
        rows = self._reader.rows(
            "SELECT target_id AS object_id, source_id, center_ra, center_dec, position_angle, shutter_idx,"
            " dither_id, shutter_state, observation FROM shutters"
            " WHERE field = ? AND center_dec BETWEEN ? AND ?"
            " ORDER BY observation, source_id, dither_id, shutter_idx",
            (field, dec - reach, dec + reach),
        )
        shrink = math.cos(math.radians(dec))
        return [row for row in rows if abs((row["center_ra"] - ra + 180.0) % 360.0 - 180.0) * shrink <= reach]
