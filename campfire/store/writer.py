"""Writing to the catalogue: one transaction, at the end of which everything derived is right again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from campfire.errors import ValidationError
from campfire.store import packed_columns
from campfire.store.derive import derive, relink, watch
from campfire.store.rows import STORED, join, object_tuples, plain_tuple, split
from campfire.typing import Row

__all__ = ["Writer"]

_CHUNK = 500
_KEYS = {"objects": "object_id", "spectra": "spectrum_id", "tags": "slug"}


class Writer:
    """Puts rows into the catalogue within one transaction; got from :meth:`Catalog.write`.

    Rows are dictionaries with the names of the wire (``/sync/...``, ``/observations``, ``/shutters``); any
    iterable will do and is consumed as it comes. ``put_...`` replaces whole rows that have the same integer
    id or the same name. Of an object's columns these are derived when the transaction ends and need not be
    given: ``observations`` and ``dq_flags`` (from spectra), ``has_photometry`` and ``photo_z...`` (from
    photometry), ``stale``, positions. Put objects before targets, spectra, photometry and memberships.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._dirty = False
        watch(connection)

    # --- putting --------------------------------------------------------------------------------------------

    def put_programs(self, rows: Iterable[Row]) -> int:
        """Put programs: ``slug``, ``program_name``, ``pi_name``, ``is_public``, ``jwst_program``.

        A ``jwst_program`` (a number or several) that is not given is kept; the wire does not send it.
        """
        made = [plain_tuple("programs", row) for row in rows]
        self._db.executemany(
            "INSERT INTO programs VALUES (?,?,?,?,?) ON CONFLICT (slug) DO UPDATE SET"
            " program_name=excluded.program_name, pi_name=excluded.pi_name, is_public=excluded.is_public,"
            " jwst_program=coalesce(excluded.jwst_program, jwst_program)",
            made,
        )
        return len(made)

    def put_observations(self, rows: Iterable[Row]) -> int:
        """Put observations; beside ``observation``, ``program_slug`` and ``field`` every key is kept."""
        made = []
        for row in rows:
            details = dict(row)
            name, slug, field = (details.pop(key, None) or "" for key in STORED["observations"][:3])
            made.append((name, slug, field, json.dumps(details)))
        self._db.executemany("INSERT OR REPLACE INTO observations VALUES (?,?,?,?)", made)
        return len(made)

    def put_objects(self, rows: Iterable[Row]) -> int:
        """Put objects.

        ``id`` is optional: the object's former one, or a new one. ``member_target_ids``, where given, says
        which targets are this object and no other; ``lists`` or ``tags`` (slugs) replaces its tags, of which
        unknown ones are left out.
        """
        count = 0
        for given in _chunks(rows):
            count += len(given)
            chunk = self._changed_objects(self._numbered("objects", given))
            keys = [(row["id"], row["object_id"]) for row in chunk]
            self._db.executemany("DELETE FROM objects WHERE id = ? OR object_id = ?", keys)
            self._insert("objects", object_tuples(chunk))
            ids = [(row["id"],) for row in chunk]
            self._db.executemany("DELETE FROM object_names WHERE object_pk = ?", ids)
            names = [
                (kind, name, row["id"])
                for row in chunk
                for kind in ("programs", "gratings")
                for name in row.get(kind) or ()
            ]
            self._db.executemany("INSERT OR IGNORE INTO object_names VALUES (?,?,?)", names)
            self._link_members(chunk)
            self._link_tags(chunk)
        return count

    def _changed_objects(self, chunk: list[Row]) -> list[Row]:
        same = self._unchanged("objects", object_tuples(chunk))
        if not same:
            return chunk
        slugs = {slug for (slug,) in self._db.execute("SELECT slug FROM tags")}
        marks = ",".join("?" * len(same))
        # Not the tags as they were derived: a tag may have got another name, or number, just now.
        sql = (
            "SELECT id, member_target_ids, (SELECT group_concat(t.slug, ';') FROM memberships m"
            " JOIN tags t ON t.id = m.tag_id WHERE m.object_pk = objects.id)"
            f" FROM objects WHERE id IN ({marks})"
        )
        links = {pk: (members, join(split(tags))) for pk, members, tags in self._db.execute(sql, list(same))}
        changed = []
        for row in chunk:
            held = links.get(row["id"])
            members, tags = row.get("member_target_ids"), row.get("lists", row.get("tags"))
            same_links = held is not None and (
                (members is None or join(members) == held[0])
                and (tags is None or join(slugs.intersection(tags)) == held[1])
            )
            if not same_links:
                changed.append(row)
        return changed

    def _link_members(self, chunk: list[Row]) -> None:
        members = [row for row in chunk if row.get("member_target_ids") is not None]
        self._db.executemany(
            "UPDATE targets SET object_pk = NULL WHERE object_pk = ?", [(row["id"],) for row in members]
        )
        self._db.executemany(
            "INSERT INTO targets (target_id, object_pk) VALUES (?,?)"
            " ON CONFLICT (target_id) DO UPDATE SET object_pk = excluded.object_pk",
            [(target, row["id"]) for row in members for target in row["member_target_ids"]],
        )

    def _link_tags(self, chunk: list[Row]) -> None:
        tagged = [
            (row["id"], slugs) for row in chunk if (slugs := row.get("lists", row.get("tags"))) is not None
        ]
        self._db.executemany("DELETE FROM memberships WHERE object_pk = ?", [(pk,) for pk, _ in tagged])
        self._db.executemany(
            "INSERT OR IGNORE INTO memberships SELECT id, ? FROM tags WHERE slug = ?",
            [(pk, slug) for pk, slugs in tagged for slug in slugs],
        )

    def put_targets(self, rows: Iterable[Row]) -> int:
        """Put targets: ``target_id``, ``object_id`` and what else :data:`STORED` names.

        Raises
        ------
        ValidationError
            If the object is not there.
        """
        count = 0
        for chunk in _chunks(rows):
            pks = self._pks({row["object_id"] for row in chunk if row.get("object_id")})
            made = []
            for row in chunk:
                name = row.get("object_id")
                if name and name not in pks:
                    raise ValidationError(
                        f"no object {name!r} for target {row.get('target_id')!r}", hint="put the object first"
                    )
                made.append(plain_tuple("targets", row | {"object_pk": pks.get(name) if name else None}))
            self._db.executemany("DELETE FROM targets WHERE target_id = ?", [(values[0],) for values in made])
            self._insert("targets", made)
            count += len(made)
        return count

    def put_spectra(self, rows: Iterable[Row]) -> int:
        """Put spectra. A spectrum belongs to the object its target does.

        Only for a target that is not known yet is ``object_id`` looked at, and the target made from the row.
        ``id`` is optional, as for objects.
        """
        count = 0
        for chunk in _chunks(rows):
            chunk = self._numbered("spectra", chunk)
            made = [plain_tuple("spectra", row | {"object_pk": None}) for row in chunk]
            same = self._unchanged("spectra", made)
            pks = self._pks({row["object_id"] for row in chunk if row.get("object_id")})
            self._db.executemany(
                "INSERT INTO targets (target_id, object_pk, program_slug, observation, field)"
                " VALUES (?,?,?,?,?) ON CONFLICT (target_id) DO UPDATE SET"
                " program_slug = coalesce(excluded.program_slug, program_slug),"
                " observation = coalesce(excluded.observation, observation),"
                " field = coalesce(excluded.field, field)",
                [
                    (
                        *(row["target_id"], pks.get(row.get("object_id") or "")),
                        *(row.get("program_slug"), row.get("observation"), row.get("field")),
                    )
                    for row in chunk
                    if row["id"] not in same
                ],
            )
            made = [values for values in made if values[0] not in same]
            self._db.executemany(
                "DELETE FROM spectra WHERE id = ? OR spectrum_id = ?", [values[:2] for values in made]
            )
            self._insert("spectra", made)
            count += len(chunk)
        return count

    def put_photometry(self, rows: Iterable[Row]) -> int:
        """Put photometric records; ``photometry`` is a dictionary or JSON text. Several an object are kept.

        A record under a name that no object has stays with the object it had.
        """
        count = 0
        for chunk in _chunks(rows):
            chunk = self._numbered("photometry", chunk)
            pks = self._pks({row["object_id"] for row in chunk if row.get("object_id")})
            made = [
                plain_tuple("photometry", row | {"object_pk": pks.get(row.get("object_id") or "")})
                for row in chunk
            ]
            same = self._unchanged("photometry", made)
            made = [values for values in made if values[0] not in same]
            marks = ",".join("?" * len(made))
            sql = f"SELECT id, object_pk FROM photometry WHERE id IN ({marks})"
            owners = dict(self._db.execute(sql, [values[0] for values in made]).fetchall())
            made = [(v[0], owners.get(v[0]) if v[1] is None else v[1], *v[2:]) for v in made]
            self._db.executemany("DELETE FROM photometry WHERE id = ?", [(values[0],) for values in made])
            self._insert("photometry", made)
            count += len(chunk)
        return count

    def put_tags(self, rows: Iterable[Row]) -> int:
        """Put tags: ``slug``, ``name``, ``visibility``, ``is_system``, ``created_by``, ``color``, ..."""
        given = [plain_tuple("tags", row) for row in self._numbered("tags", list(rows))]
        same = self._unchanged("tags", given)
        made = [values for values in given if values[0] not in same]
        self._db.executemany("DELETE FROM tags WHERE id = ? OR slug = ?", [values[:2] for values in made])
        self._insert("tags", made)
        # A tag may have got another name: its members show it.
        self._db.executemany(
            "INSERT OR IGNORE INTO touched SELECT object_pk FROM memberships WHERE tag_id = ?",
            [values[:1] for values in made],
        )
        return len(given)

    def put_memberships(self, pairs: Iterable[tuple[str, str]]) -> int:
        """Add objects to tags: pairs of object id and slug.

        Raises
        ------
        ValidationError
            If a tag or an object is not there.
        """
        count = 0
        for name, slug in pairs:
            found = self._db.execute(
                "SELECT t.id, o.id FROM tags t, objects o WHERE t.slug = ? AND o.object_id = ?", (slug, name)
            ).fetchone()
            if found is None:
                raise ValidationError(f"no tag {slug!r} or no object {name!r}", hint="put them first")
            self._db.execute("INSERT OR IGNORE INTO memberships VALUES (?,?)", found)
            count += 1
        self._dirty = True
        return count

    def put_shutters(self, rows: Iterable[Row]) -> int:
        """Replace the shutters of every target named by ``target_id`` (on the wire: ``object_id``)."""
        count, seen = 0, set[str]()
        for chunk in _chunks(rows):
            made = [plain_tuple("shutters", {"target_id": row.get("object_id"), **row}) for row in chunk]
            new = {values[0] for values in made} - seen
            self._db.executemany("DELETE FROM shutters WHERE target_id = ?", [(name,) for name in new])
            seen |= new
            self._insert("shutters", made)
            count += len(made)
        return count

    # --- deleting -------------------------------------------------------------------------------------------

    def delete_objects(self, object_ids: Iterable[str]) -> int:
        """Delete objects by name; their spectra stay, without an object."""
        return self._delete("objects", "object_id", object_ids)

    def delete_spectra(self, spectrum_ids: Iterable[str]) -> int:
        """Delete spectra by name; records of local files stay."""
        return self._delete("spectra", "spectrum_id", spectrum_ids)

    def delete_targets(self, target_ids: Iterable[str]) -> int:
        """Delete targets by name."""
        return self._delete("targets", "target_id", target_ids)

    def delete_photometry(self, ids: Iterable[int]) -> int:
        """Delete photometric records by integer id."""
        return self._delete("photometry", "id", ids)

    def delete_tags(self, slugs: Iterable[str]) -> int:
        """Delete tags with their memberships."""
        return self._delete("tags", "slug", slugs)

    def keep_only(self, table: str, ids: Iterable[Any]) -> int:
        """Delete every row of a table whose key is not among ``ids``; return how many.

        Keys are integer ids, and slugs for programs. ``ids`` may be long; it is not held in memory.
        """
        key = "slug" if table == "programs" else "id"
        if table not in ("objects", "spectra", "photometry", "tags", "programs"):
            raise ValidationError(
                f"cannot sweep {table!r}", hint="objects, spectra, photometry, tags or programs"
            )
        self._db.execute("CREATE TEMP TABLE kept (key PRIMARY KEY) WITHOUT ROWID")
        try:
            self._db.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((item,) for item in ids))
            return self._sweep(table, f"{key} NOT IN (SELECT key FROM kept)", ())
        finally:
            self._db.execute("DROP TABLE kept")

    def clear(self, table: str) -> int:
        """Delete all rows of ``observations``, ``shutters`` or ``memberships``."""
        if table not in ("observations", "shutters", "memberships"):
            raise ValidationError(f"cannot clear {table!r}", hint="observations, shutters or memberships")
        return self._db.execute(f"DELETE FROM {table}").rowcount

    def aggregate(self) -> None:
        """Recompute what a service aggregates over an object's spectra, for archives of one's own.

        ``n_targets``, ``n_spectra``, ``programs``, ``gratings``, ``max_snr`` and ``max_exposure_time``.
        """
        relink(self._db)
        self._db.execute(
            "UPDATE objects SET"
            " n_targets = (SELECT count(*) FROM targets t WHERE t.object_pk = objects.id),"
            " (n_spectra, max_snr, max_exposure_time) = (SELECT count(*), max(signal_to_noise),"
            "   max(exposure_time) FROM spectra s WHERE s.object_pk = objects.id)"
        )
        self._db.execute("DELETE FROM object_names")
        for kind, column in (("programs", "program_slug"), ("gratings", "grating")):
            self._db.execute(
                f"INSERT OR IGNORE INTO object_names SELECT DISTINCT '{kind}', {column}, object_pk"
                " FROM spectra WHERE object_pk IS NOT NULL"
            )
            self._db.execute(
                f"UPDATE objects SET {kind} = coalesce((SELECT group_concat(x, ';') FROM (SELECT DISTINCT"
                f" {column} AS x FROM spectra WHERE object_pk = objects.id ORDER BY 1)), '')"
            )
        self._dirty = True

    def set_meta(self, key: str, value: str | None) -> None:
        """Set, or with None remove, a named value."""
        if value is None:
            self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))

    def count(self, table: str) -> int:
        """Count the rows of a table as they are within this transaction."""
        if table not in STORED:
            raise ValidationError(f"unknown table {table!r}", hint=", ".join(STORED))
        return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    # --- inside ---------------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement within the transaction; for the other modules of the store."""
        return self._db.execute(sql, parameters)

    def finish(self, *, pack: bool = False) -> None:
        """Bring everything derived up to date; called when the transaction ends.

        With ``pack`` the packed columns are written too, so that the first large query finds them.
        """
        touched = self._db.execute("SELECT EXISTS (SELECT 1 FROM touched)").fetchone()[0]
        if not (self._dirty or touched):
            return
        relink(self._db)
        derive(self._db)
        revision = int(
            (self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone() or "0")[0]
        )
        self.set_meta("revision", str(revision + 1))
        if pack:
            packed_columns.save(self._db.execute)
            self.set_meta("packed", str(revision + 1))
        else:
            self._db.execute("DELETE FROM packed")

    def _unchanged(self, table: str, made: list[tuple[Any, ...]]) -> set[int]:
        """Return the ids of rows that are in the table as they are, but for their links.

        An incremental run gets many of them again; leaving them alone leaves everything derived alone.
        """
        names = [name for name in STORED[table] if name != "object_pk"]
        places = [STORED[table].index(name) for name in names]
        marks = ",".join("?" * len(made))
        sql = f"SELECT {', '.join(names)} FROM {table} WHERE id IN ({marks})"
        held = {row[0]: row for row in self._db.execute(sql, [values[0] for values in made])}
        return {
            values[0] for values in made if held.get(values[0]) == tuple(values[place] for place in places)
        }

    def _insert(self, table: str, values: list[tuple[Any, ...]]) -> None:
        if not values:
            return
        names = STORED[table]
        marks = ",".join("?" * len(names))
        self._db.executemany(f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})", values)
        self._dirty = True

    def _sweep(self, table: str, condition: str, parameters: Sequence[Any]) -> int:
        if table == "tags":
            self._db.execute(
                "INSERT OR IGNORE INTO touched SELECT object_pk FROM memberships WHERE tag_id IN"
                f" (SELECT id FROM tags WHERE {condition})",
                parameters,
            )
        gone = self._db.execute(f"DELETE FROM {table} WHERE {condition}", parameters).rowcount
        self._dirty = self._dirty or gone > 0
        return gone

    def _delete(self, table: str, key: str, values: Iterable[Any]) -> int:
        return sum(self._sweep(table, f"{key} = ?", (value,)) for value in values)

    def _pks(self, names: set[str]) -> dict[str, int]:
        marks = ",".join("?" * len(names))
        found = self._db.execute(
            f"SELECT object_id, id FROM objects WHERE object_id IN ({marks})", list(names)
        )
        return dict(found.fetchall())

    def _numbered(self, table: str, chunk: list[Row]) -> list[Row]:
        """Give rows without an integer id their former one, or a new one."""
        if all(row.get("id") is not None for row in chunk):
            return chunk
        key = _KEYS.get(table)
        known: dict[str, int] = {}
        if key:
            marks = ",".join("?" * len(chunk))
            names = [row.get(key) for row in chunk]
            known = dict(
                self._db.execute(f"SELECT {key}, id FROM {table} WHERE {key} IN ({marks})", names).fetchall()
            )
        last = self._db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
        last = max([last, *(row["id"] for row in chunk if row.get("id") is not None)])
        made = []
        for row in chunk:
            number = row.get("id")
            if number is None:
                number = known.get(row[key]) if key and row.get(key) else None
            if number is None:
                number = last = last + 1
            made.append(row | {"id": number})
        return made


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
