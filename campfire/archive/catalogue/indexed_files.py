"""What indexing asks of the catalogue and writes to it, beyond the catalogue's own API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from campfire.store.catalog import Catalog
from campfire.store.file_state import FileRecord
from campfire.store.rows import STORED, split
from campfire.store.writer import Writer
from campfire.typing import Row

__all__ = ["Indexed", "read_indexed", "read_photometry", "record_files"]

_PLACEMENT = frozenset({"zone", "ux", "uy", "uz", "stale"})


@dataclass(frozen=True, slots=True)
class Indexed:
    """Everything in a catalogue that indexing compares with, by name (objects: by integer id)."""

    objects: dict[int, Row]
    targets: dict[str, Row]
    spectra: dict[str, Row]
    observations: dict[tuple[str, str, str], Row]
    programs: dict[str, Row]
    files: dict[str, FileRecord]


def read_indexed(catalog: Catalog) -> Indexed:
    """Read a catalogue whole; ``tags`` of objects are slugs, ``object_pk`` says whose a target is."""
    objects = _table(catalog, "objects")
    tags: dict[int, list[str]] = {}
    sql = "SELECT m.object_pk, t.slug FROM memberships m JOIN tags t ON t.id = m.tag_id"
    for pk, slug in catalog.execute(sql):
        tags.setdefault(pk, []).append(slug)
    for row in objects:
        for name in _PLACEMENT:
            del row[name]
        row |= {"programs": split(row["programs"]), "gratings": split(row["gratings"])}
        row["tags"] = sorted(tags.get(row["id"], []))
    return Indexed(
        objects={row["id"]: row for row in objects},
        targets={row["target_id"]: row for row in _table(catalog, "targets")},
        spectra={row["spectrum_id"]: row for row in _table(catalog, "spectra")},
        observations={
            (row["observation"], row["program_slug"], row["field"]): row for row in catalog.observations()
        },
        programs={row["slug"]: row for row in catalog.programs()},
        files=catalog.local_files(),
    )


def _table(catalog: Catalog, table: str) -> list[Row]:
    names = STORED[table]
    found = catalog.execute(f"SELECT {', '.join(names)} FROM {table}")
    return [dict(zip(names, values, strict=True)) for values in found]


def record_files(writer: Writer, found: Iterable[FileRecord], gone: Iterable[str]) -> None:
    """Note files found below ``products/``, and forget those of spectra that are gone."""
    now = datetime.now(UTC).isoformat()
    for name in gone:
        writer.execute("DELETE FROM local_files WHERE spectrum_id = ?", (name,))
    for record in found:
        # A file that was downloaded once stays one that may be replaced, as long as it is the same.
        values: tuple[Any, ...] = (
            record.spectrum_id,
            record.path,
            record.hash,
            record.size,
            record.mtime,
            now,
        )
        writer.execute(
            "INSERT INTO local_files (spectrum_id, path, hash, size, mtime, origin, recorded_at)"
            " VALUES (?,?,?,?,?,'found',?) ON CONFLICT (spectrum_id) DO UPDATE SET path = excluded.path,"
            " origin = CASE WHEN hash = excluded.hash THEN origin ELSE 'found' END,"
            " hash = excluded.hash, size = excluded.size, mtime = excluded.mtime,"
            " recorded_at = excluded.recorded_at",
            values,
        )


def read_photometry(catalog: Catalog, catalog_name: str) -> list[Row]:
    """Return the records of one photometric catalogue; ``photometry`` is JSON text."""
    return [row for row in _table(catalog, "photometry") if row["catalog_name"] == catalog_name]
