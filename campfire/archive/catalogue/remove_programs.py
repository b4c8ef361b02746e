"""Removing programs from a catalogue, with every trace of them; and copies of a catalogue to do that in."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from campfire.archive.catalogue.reader import Reader
from campfire.store.connection import connect
from campfire.store.rows import STORED, split
from campfire.store.writer import Writer
from campfire.typing import Row

__all__ = ["Partly", "copy_catalogue", "named_programs", "remove_programs"]

_PLACEMENT = frozenset({"zone", "ux", "uy", "uz", "stale"})
_NAMED = (
    "SELECT slug FROM programs UNION SELECT program_slug FROM spectra UNION SELECT program_slug FROM targets"
    " WHERE program_slug IS NOT NULL UNION SELECT program_slug FROM observations"
    " UNION SELECT name FROM object_names WHERE kind = 'programs'"
)
# A target is seen through its spectra; one that has none (yet), by its own program.
_MARK = (
    "CREATE TEMP TABLE shown (slug TEXT PRIMARY KEY) WITHOUT ROWID",
    "INSERT INTO shown SELECT DISTINCT value FROM json_each(?)",
    "CREATE TEMP TABLE gone_spectra AS SELECT id, spectrum_id, target_id FROM spectra"
    " WHERE program_slug COLLATE BINARY NOT IN (SELECT slug FROM shown)",
    "CREATE TEMP TABLE gone_targets AS SELECT t.target_id, t.object_pk FROM targets t WHERE NOT EXISTS"
    " (SELECT 1 FROM spectra s, shown p WHERE s.target_id = t.target_id AND p.slug = s.program_slug) AND"
    " (coalesce(t.program_slug, '') COLLATE BINARY NOT IN (SELECT slug FROM shown)"
    " OR EXISTS (SELECT 1 FROM spectra s WHERE s.target_id = t.target_id))",
    "CREATE TEMP TABLE cut_targets AS SELECT target_id FROM targets WHERE"
    " target_id NOT IN (SELECT target_id FROM gone_targets) AND (target_id IN (SELECT target_id FROM"
    " gone_spectra) OR coalesce(program_slug, '') COLLATE BINARY NOT IN (SELECT slug FROM shown))",
    "CREATE TEMP TABLE less (id INTEGER PRIMARY KEY)",
    "INSERT INTO less SELECT DISTINCT object_pk FROM gone_targets WHERE object_pk IS NOT NULL"
    " UNION SELECT object_pk FROM targets WHERE object_pk IS NOT NULL AND target_id IN"
    " (SELECT target_id FROM cut_targets) UNION SELECT object_pk FROM object_names"
    " WHERE kind = 'programs' AND name COLLATE BINARY NOT IN (SELECT slug FROM shown)",
    "CREATE TEMP TABLE gone_objects AS SELECT id, object_id FROM objects WHERE id IN (SELECT id FROM less)"
    " AND NOT EXISTS (SELECT 1 FROM targets t WHERE t.object_pk = objects.id"
    " AND t.target_id NOT IN (SELECT target_id FROM gone_targets))",
    "DELETE FROM less WHERE id IN (SELECT id FROM gone_objects) OR id NOT IN (SELECT id FROM objects)",
    # A list of which nothing can be seen is one of theirs; one that never had members is not.
    "CREATE TEMP TABLE gone_tags AS SELECT tag_id AS id FROM memberships GROUP BY tag_id"
    " HAVING min(object_pk IN (SELECT id FROM gone_objects))",
    "CREATE TEMP TABLE cut_tags AS SELECT DISTINCT tag_id AS id FROM memberships"
    " WHERE object_pk IN (SELECT id FROM gone_objects)",
)
_REMOVE = (
    "DELETE FROM shutters WHERE target_id IN (SELECT target_id FROM gone_targets) OR (target_id NOT IN"
    # Whose a slitlet without a target was, only the observation tells.
    " (SELECT target_id FROM targets) AND (observation NOT IN (SELECT observation FROM spectra) OR"
    " observation IN (SELECT observation FROM spectra WHERE id IN (SELECT id FROM gone_spectra))))",
    "DELETE FROM photometry WHERE object_pk IN (SELECT id FROM gone_objects)"
    " OR (object_pk IS NULL AND object_id IN (SELECT object_id FROM gone_objects))",
    # How far the match lay from a centre that they had a part in.
    "UPDATE photometry SET match_distance_arcsec = NULL WHERE object_pk IN (SELECT id FROM less)",
    "DELETE FROM memberships WHERE object_pk IN (SELECT id FROM gone_objects)",
    "DELETE FROM tags WHERE id IN (SELECT id FROM gone_tags)",
    "UPDATE tags SET updated_at = created_at WHERE id IN (SELECT id FROM cut_tags)",
    "DELETE FROM objects WHERE id IN (SELECT id FROM gone_objects)",
    "DELETE FROM spectra WHERE id IN (SELECT id FROM gone_spectra)",
    "DELETE FROM targets WHERE target_id IN (SELECT target_id FROM gone_targets)",
    "DELETE FROM observations WHERE program_slug COLLATE BINARY NOT IN (SELECT slug FROM shown)",
    "DELETE FROM programs WHERE slug COLLATE BINARY NOT IN (SELECT slug FROM shown)",
    "DELETE FROM local_files WHERE spectrum_id NOT IN (SELECT spectrum_id FROM spectra)",
    "DELETE FROM sync_log",
)


@dataclass(frozen=True, slots=True)
class Partly:
    """Objects of which only a part is left, and what is left of them.

    Parameters
    ----------
    objects
        Rows by integer id; ``tags`` are slugs.
    targets, spectra
        Their remaining targets by name, and the spectra of each; ``object_pk`` of a target says whose it is.
    cut
        Names of the targets among them that lost spectra, or were another program's before.
    names
        Names of all objects there were, by integer id.
    """

    objects: dict[int, Row]
    targets: dict[str, Row]
    spectra: dict[str, list[Row]]
    cut: frozenset[str]
    names: dict[int, str]


def named_programs(reader: Reader) -> frozenset[str]:
    """Return every program that anything in a catalogue says it belongs to."""
    return reader.remembered("named", lambda: frozenset(slug for (slug,) in reader.values(_NAMED)))


def copy_catalogue(source: Path, target: Path) -> None:
    """Copy a catalogue as it is at one moment; readers of ``target`` see the old state or the new one."""
    with closing(connect(source, read_only=True)) as old, closing(connect(target, read_only=False)) as new:
        old.backup(new)


def remove_programs(writer: Writer, shown: Iterable[str]) -> Partly:
    """Delete all that does not belong to the programs ``shown``; return the objects that lost a part.

    Their own columns (position, redshift, times) are for the caller to put right, and ``aggregate()`` for the
    rest of them.
    """
    values = json.dumps(sorted(shown))
    for statement in _MARK:
        writer.execute(statement, (values,) if "?" in statement else ())
    names: dict[int, str] = dict(writer.execute("SELECT id, object_id FROM objects").fetchall())
    for statement in _REMOVE:
        writer.execute(statement)
    targets = {
        row["target_id"]: row for row in _rows(writer, "targets", "object_pk IN (SELECT id FROM less)")
    }
    spectra: dict[str, list[Row]] = defaultdict(list)
    inside = "target_id IN (SELECT target_id FROM targets WHERE object_pk IN (SELECT id FROM less))"
    for row in _rows(writer, "spectra", inside):
        spectra[row["target_id"]].append(row)
    objects = {}
    sql = "SELECT t.slug FROM memberships m JOIN tags t ON t.id = m.tag_id WHERE m.object_pk = ?"
    for row in _rows(writer, "objects", "id IN (SELECT id FROM less)"):
        tags = sorted(slug for (slug,) in writer.execute(sql, (row["id"],)))
        objects[row["id"]] = {
            **{name: value for name, value in row.items() if name not in _PLACEMENT},
            **{"programs": split(row["programs"]), "gratings": split(row["gratings"]), "tags": tags},
        }
    cut = frozenset(name for (name,) in writer.execute("SELECT target_id FROM cut_targets"))
    return Partly(objects, targets, spectra, cut, names)


def _rows(writer: Writer, table: str, condition: str) -> list[Row]:
    names = STORED[table]
    found = writer.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {condition} ORDER BY 1")
    return [dict(zip(names, values, strict=True)) for values in found]
