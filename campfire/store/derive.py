"""What the database derives from itself, and how it notices which objects that concerns."""

from __future__ import annotations

import sqlite3

__all__ = ["PHOTOMETRY_ORDER", "derive", "relink", "watch"]

PHOTOMETRY_ORDER = "p.match_distance_arcsec IS NULL, p.match_distance_arcsec, p.catalog_name, p.id"
"""Which photometric record stands for an object: the closest match, then the first catalogue by name."""

_WATCHED = (
    ("objects", "id"),
    *((t, "object_pk") for t in ("spectra", "targets", "photometry", "memberships")),
)

_LINKS = (
    "UPDATE targets SET object_pk = NULL"
    " WHERE object_pk IS NOT NULL AND object_pk NOT IN (SELECT id FROM objects)",
    # A record whose object has another integer id now is found by its name.
    "UPDATE photometry SET object_pk = (SELECT o.id FROM objects o WHERE o.object_id = photometry.object_id)"
    " WHERE object_pk IS NULL OR object_pk NOT IN (SELECT id FROM objects)",
    # It keeps the present name, so that it is found again should only the integer id change next.
    "UPDATE photometry SET object_id = (SELECT o.object_id FROM objects o WHERE o.id = photometry.object_pk)"
    " WHERE object_pk IS NOT NULL"
    " AND object_id IS NOT (SELECT o.object_id FROM objects o WHERE o.id = photometry.object_pk)",
    "DELETE FROM memberships"
    " WHERE object_pk NOT IN (SELECT id FROM objects) OR tag_id NOT IN (SELECT id FROM tags)",
    "DELETE FROM object_names WHERE object_pk NOT IN (SELECT id FROM objects)",
    "UPDATE spectra SET object_pk = (SELECT t.object_pk FROM targets t WHERE t.target_id = spectra.target_id)"
    " WHERE object_pk IS NOT (SELECT t.object_pk FROM targets t WHERE t.target_id = spectra.target_id)",
)

_DERIVE = f"""
UPDATE objects SET
  observations = coalesce((SELECT group_concat(x, ';') FROM (
      SELECT DISTINCT s.observation AS x FROM spectra s WHERE s.object_pk = objects.id ORDER BY 1)), ''),
  member_target_ids = coalesce((SELECT group_concat(x, ';') FROM (
      SELECT t.target_id AS x FROM targets t WHERE t.object_pk = objects.id ORDER BY 1)), ''),
  tags = coalesce((SELECT group_concat(x, ';') FROM (
      SELECT t.slug AS x FROM memberships m JOIN tags t ON t.id = m.tag_id
      WHERE m.object_pk = objects.id ORDER BY t.slug COLLATE BINARY)), ''),
  dq_flags = coalesce((SELECT bit_or(s.dq_flags) FROM spectra s
      WHERE s.object_pk = objects.id AND s.dq_flags <> 0), 0),
  has_photometry = EXISTS (SELECT 1 FROM photometry p WHERE p.object_pk = objects.id),
  (photo_z, photo_z_err_lo, photo_z_err_hi) = (
      SELECT p.photo_z, p.photo_z_err_lo, p.photo_z_err_hi FROM photometry p
      WHERE p.object_pk = objects.id AND p.photo_z IS NOT NULL ORDER BY {PHOTOMETRY_ORDER} LIMIT 1)
WHERE id IN (SELECT object_pk FROM touched)
"""


class _BitOr:
    """SQL aggregate: the OR of integers."""

    def __init__(self) -> None:
        self.value = 0

    def step(self, value: int) -> None:
        self.value |= value

    def finalize(self) -> int:
        return self.value


def watch(connection: sqlite3.Connection) -> None:
    """Note in the temporary table ``touched`` every object that a change concerns.

    The database does so by itself (triggers), so that no way of writing can forget to.
    """
    connection.create_aggregate("bit_or", 1, _BitOr)
    connection.execute("CREATE TEMP TABLE touched (object_pk INTEGER PRIMARY KEY)")
    for table, key in _WATCHED:
        events = [("INSERT", "new"), ("DELETE", "old")]
        if table in ("spectra", "targets", "photometry"):
            events += [(f"UPDATE OF {key}", "old"), (f"UPDATE OF {key}", "new")]
        for number, (event, row) in enumerate(events):
            # Not INSERT OR IGNORE: the conflict rule of the statement that fires a trigger overrides it.
            connection.execute(
                f"CREATE TEMP TRIGGER touch_{table}_{number} AFTER {event} ON main.{table}"
                f" WHEN {row}.{key} IS NOT NULL"
                f" AND NOT EXISTS (SELECT 1 FROM touched WHERE object_pk = {row}.{key})"
                f" BEGIN INSERT INTO touched VALUES ({row}.{key}); END"
            )


def relink(connection: sqlite3.Connection) -> None:
    """Make all links between rows right: targets rule which object a spectrum belongs to."""
    for statement in _LINKS:
        connection.execute(statement)


def derive(connection: sqlite3.Connection) -> None:
    """Recompute the derived columns of the objects that were touched."""
    connection.execute(_DERIVE)
