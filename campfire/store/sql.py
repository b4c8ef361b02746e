"""Queries compiled to SQL: bound parameters only, one small function a kind of filter."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from campfire.columns import COLUMNS, TableName
from campfire.query import Condition, Query, chord_squared
from campfire.query.evaluate import ascii_lower

__all__ = ["CHORD", "MEASURED", "SELECTED", "all_rows", "compile_count", "compile_query", "key_of", "zone_of"]

ZONES_PER_DEGREE = 60
"""Declination strips of one arcminute: an index on (strip, ra) finds a cone's neighbourhood at once."""

_MAX_STRIPS = 64
CHORD = "chord2"

MEASURED = frozenset({"local_path"})
"""Result columns that are not in the database."""

SELECTED: dict[TableName, tuple[str, ...]] = {
    table: tuple(spec.name for spec in specs if spec.name not in MEASURED) for table, specs in COLUMNS.items()
}
"""Result columns in the order a compiled query selects them."""

_OF_OBJECT = frozenset({"object_id", "redshift", "redshift_quality", "ra", "dec"})
_FROM: dict[TableName, str] = {
    "objects": "objects o",
    "spectra": "spectra s LEFT JOIN objects o ON o.id = s.object_pk",
}
_TIES: dict[TableName, str] = {"objects": "o.object_id", "spectra": "s.target_id, s.grating, s.spectrum_id"}
_NEVER_UNKNOWN = {
    *("object_id", "field", "ra", "dec", "redshift_quality", "n_targets", "n_spectra"),
    *("spectrum_id", "target_id", "grating"),
}

Sql = tuple[str, list[Any]]


def zone_of(dec: float) -> int:
    """Return the strip of a declination in degrees."""
    return math.floor((dec + 90.0) * ZONES_PER_DEGREE)


def _expression(table: TableName, column: str) -> str:
    return f"o.{column}" if table == "objects" or column in _OF_OBJECT else f"s.{column}"


# One bound value however many there are: SQLite limits the number of bound values.
_AMONG = "IN (SELECT value FROM json_each(?))"


def _any_of(table: TableName, condition: Condition) -> Sql:
    spec, names = condition.spec, json.dumps(condition.value)
    if spec.name == "redshift_quality":
        return f"o.redshift_quality {_AMONG}", [names]
    if spec.name == "tags":
        inner = "SELECT m.object_pk FROM memberships m JOIN tags t ON t.id = m.tag_id"
        return f"o.id IN ({inner} WHERE t.slug {_AMONG})", [names]
    if table == "spectra" or spec.name == "fields":
        if spec.mode == "all" and len(condition.value) > 1:
            return "0", []  # a spectrum has one
        column = _expression(table, spec.column(table))
        return f"{column} COLLATE NOCASE {'NOT ' if spec.mode == 'none' else ''}{_AMONG}", [names]
    if spec.name == "observations":
        return f"o.id IN (SELECT object_pk FROM spectra WHERE observation COLLATE NOCASE {_AMONG})", [names]
    inner = f"SELECT object_pk FROM object_names WHERE kind = '{spec.on_objects}' AND name {_AMONG}"
    if spec.mode == "all":
        return f"o.id IN ({inner} GROUP BY object_pk HAVING count(*) = ?)", [names, len(condition.value)]
    return f"o.id {'NOT ' if spec.mode == 'none' else ''}IN ({inner})", [names]


def _between(table: TableName, condition: Condition) -> Sql:
    spec = condition.spec
    column = f"o.{spec.on_objects}" if spec.parent else _expression(table, spec.column(table))
    low, high = condition.value
    parts = [text for bound, text in ((low, f"{column} >= ?"), (high, f"{column} <= ?")) if bound is not None]
    return " AND ".join(parts), [bound for bound in (low, high) if bound is not None]


def _flags(table: TableName, condition: Condition) -> Sql:
    column = _expression(table, "dq_flags")

    def build(query: Any) -> Sql:
        if query.op == "any":
            return f"({column} & ?) <> 0", [query.mask]
        if query.op == "all":
            return f"({column} & ?) = ?", [query.mask, query.mask]
        parts = [build(part) for part in query.args]
        if query.op == "not":
            return f"NOT ({parts[0][0]})", parts[0][1]
        joint = " AND " if query.op == "and" else " OR "
        return "(" + joint.join(text for text, _ in parts) + ")", [p for _, more in parts for p in more]

    return build(condition.value)


_TRUTHS = {
    "inspected": "o.redshift_quality > 0",
    "stale": "o.stale",
    "has_photometry": "o.has_photometry",
    "needs_review": (
        "(coalesce(o.staleness_reason, '') <> '' AND coalesce(o.last_inspected_at, '') <> ''"
        " AND (coalesce(o.last_data_change_at, '') = '' OR o.stale))"
    ),
}


def _is_true(_table: TableName, condition: Condition) -> Sql:
    truth = _TRUTHS[condition.spec.on_objects]
    # A spectrum without object satisfies neither the one nor the other.
    return (truth if condition.value else f"(NOT {truth} AND o.id IS NOT NULL)"), []


def _text(table: TableName, condition: Condition) -> Sql:
    needle = ascii_lower(condition.value)
    if table == "spectra":
        return "(instr(lower(s.spectrum_id), ?) OR instr(lower(s.target_id), ?))", [needle, needle]
    members = "SELECT object_pk FROM targets WHERE instr(lower(target_id), ?)"
    return f"(instr(lower(o.object_id), ?) OR o.id IN ({members}))", [needle, needle]


def _chord(cone: tuple[float, float, float]) -> str:
    # Numbers, not text of a user: checked floats, printed exactly.
    x, y, z = (repr(part) for part in chord_squared(cone)[0])
    return f"((o.ux-({x}))*(o.ux-({x}))+(o.uy-({y}))*(o.uy-({y}))+(o.uz-({z}))*(o.uz-({z})))"


def _cone(_table: TableName, condition: Condition) -> Sql:
    """Cut on the sphere among the objects in the strips and right ascensions around the cone."""
    ra, dec, radius = condition.value
    limit = chord_squared(condition.value)[1]
    # A little more than the cone, so that rounding cannot lose what the exact cut would keep.
    reach = radius / 3600.0 * (1 + 1e-9) + 1e-9
    low, high = zone_of(max(-90.0, dec - reach)), zone_of(min(90.0, dec + reach))
    few = high - low < _MAX_STRIPS  # then the index on (strip, ra) is used to the full
    strips = f"o.zone {_AMONG}" if few else "o.zone BETWEEN ? AND ?"
    around: list[Any] = [json.dumps(list(range(low, high + 1)))] if few else [low, high]
    chord = _chord(condition.value)
    boxes = _boxes(ra, dec, reach)
    if boxes is None:
        return f"o.id IN (SELECT o.id FROM objects o WHERE {strips} AND {chord} <= ?)", [*around, limit]
    part = f"SELECT o.id FROM objects o WHERE {strips} AND o.ra BETWEEN ? AND ? AND {chord} <= ?"
    values = [value for box in boxes for value in (*around, *box, limit)]
    return f"o.id IN ({' UNION '.join([part] * len(boxes))})", values


def _boxes(ra: float, dec: float, reach: float) -> list[tuple[float, float]] | None:
    """Return the intervals of right ascension of a cone; None where it holds a pole and so has all."""
    if abs(dec) + reach >= 90.0:
        return None
    half = math.degrees(math.asin(math.sin(math.radians(reach)) / math.cos(math.radians(dec))))
    half = half * (1 + 1e-9) + 1e-9
    boxes = [(ra - half, ra + half)]
    if ra - half < 0:
        boxes.append((ra - half + 360.0, 360.0))
    if ra + half >= 360:
        boxes.append((0.0, ra + half - 360.0))
    return boxes


_KINDS: dict[str, Callable[[TableName, Condition], Sql]] = {
    "any_of": _any_of,
    "between": _between,
    "flags": _flags,
    "is_true": _is_true,
    "text": _text,
    "cone": _cone,
}


def _where(query: Query, extra: str, parameters: tuple[Any, ...]) -> Sql:
    parts = [_KINDS[c.spec.kind](query.table, c) for c in query.where]
    texts = [text for text, _ in parts] + ([extra] if extra else [])
    values = [value for _, more in parts for value in more] + list(parameters)
    return (" WHERE " + " AND ".join(texts) if texts else ""), values


def compile_query(
    query: Query, columns: str | None = None, *, where: str = "", parameters: tuple[Any, ...] = ()
) -> Sql:
    """Compile a query.

    Parameters
    ----------
    query
        The query.
    columns
        What to select, as SQL on ``o`` (objects) and ``s`` (spectra); by default the columns of
        :data:`SELECTED`, and :data:`CHORD` last where there is a cone.
    where, parameters
        A further condition as SQL with its parameters.

    Returns
    -------
    sql, parameters
        The statement and its bound values.

    Examples
    --------
    >>> sql, values = compile_query(Query.of("objects", redshift_range=(4, None), limit=2), "o.id")
    >>> sql
    'SELECT o.id FROM objects o WHERE o.redshift >= ? ORDER BY o.object_id ASC LIMIT ? OFFSET ?'
    >>> values
    [4.0, 2, 0]
    """
    condition, values = _where(query, where, parameters)
    cone = query.get("cone_search")
    if columns is None:
        columns = _result_columns(query.table)
        if cone is not None:
            columns += f", {_chord(cone)} AS {CHORD}"
    key = _chord(cone) if query.sort == "distance" else _expression(query.table, query.sort)
    order = f"{key} {query.sort_dir.upper()}"
    ties = _TIES[query.table]
    if query.sort not in _NEVER_UNKNOWN or (query.table == "spectra" and query.sort in _OF_OBJECT):
        order = f"{key} IS NULL, {order}"
    if key != ties:
        order += f", {ties}"
    sql = f"SELECT {columns} FROM {_FROM[query.table]}{condition} ORDER BY {order}"
    if query.limit is not None or query.offset:
        sql += " LIMIT ? OFFSET ?"
        values += [-1 if query.limit is None else query.limit, query.offset]
    return sql, values


def _result_columns(table: TableName) -> str:
    return ", ".join(_expression(table, name) for name in SELECTED[table])


def key_of(table: TableName) -> str:
    """Return the integer key of a table's rows, as SQL within a compiled query."""
    return "o.id" if table == "objects" else "s.id"


def all_rows(table: TableName) -> str:
    """Return the statement for the result columns of all rows, by integer key."""
    return f"SELECT {_result_columns(table)} FROM {_FROM[table]} ORDER BY {key_of(table)}"


def compile_count(query: Query, *, where: str = "", parameters: tuple[Any, ...] = ()) -> Sql:
    """Compile the count of what a query matches, whatever its limit and offset."""
    condition, values = _where(query, where, parameters)
    return f"SELECT count(*) FROM {_FROM[query.table]}{condition}", values
