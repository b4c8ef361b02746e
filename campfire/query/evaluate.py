"""Queries evaluated in numpy, exactly as the local catalogue evaluates them in SQL.

This is what makes an answer of the service equal to the local one: ask for a superset, finish here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.columns import Columns
from campfire.query.filters import Filter, staleness
from campfire.query.model import Condition, Query
from campfire.typing import BoolArray, FloatArray

__all__ = [
    "ARCSEC_PER_RADIAN",
    "chord_squared",
    "distance_arcsec",
    "finish",
    "matches",
    "squared_chords",
    "unit_vectors",
]

ARCSEC_PER_RADIAN = 648_000.0 / np.pi
TIES = {"objects": ("object_id",), "spectra": ("target_id", "grating", "spectrum_id")}


def unit_vectors(ra: Any, dec: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the Cartesian unit vectors of positions in degrees, same shape."""
    lon, lat = np.radians(np.asarray(ra, dtype=np.float64)), np.radians(np.asarray(dec, dtype=np.float64))
    return np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)


def chord_squared(cone: tuple[float, float, float]) -> tuple[tuple[float, float, float], float]:
    """Return the unit vector of a cone's centre and the square of the chord of its radius.

    The chord of an angle r is 2 sin(r/2); unlike a cosine it keeps its precision at small angles.
    """
    x, y, z = (float(part) for part in unit_vectors(cone[0], cone[1]))
    return (x, y, z), float((2.0 * np.sin(cone[2] / ARCSEC_PER_RADIAN / 2.0)) ** 2)


def distance_arcsec(chord2: Any) -> FloatArray:
    """Return the angle of squared chords, arcseconds."""
    half = np.minimum(1.0, np.sqrt(np.asarray(chord2, dtype=np.float64)) / 2.0)
    return np.asarray(2.0 * np.arcsin(half) * ARCSEC_PER_RADIAN)


def squared_chords(
    cone: tuple[float, float, float], vectors: tuple[FloatArray, FloatArray, FloatArray]
) -> FloatArray:
    """Return the squares of the chords from unit vectors to the centre of a cone; NaN for NaN."""
    (x, y, z), _ = chord_squared(cone)
    ux, uy, uz = vectors
    return np.asarray((ux - x) * (ux - x) + (uy - y) * (uy - y) + (uz - z) * (uz - z))


def _chords(cone: tuple[float, float, float], columns: Columns) -> FloatArray:
    return squared_chords(cone, unit_vectors(_plain(columns["ra"]), _plain(columns["dec"])))


def _plain(array: NDArray[Any]) -> FloatArray:
    """Return floats with NaN where unknown."""
    return np.asarray(np.ma.filled(np.ma.asarray(array).astype(np.float64), np.nan))


def _texts(array: NDArray[Any]) -> list[str | None]:
    return [None if item is None else str(item) for item in array.tolist()]


def _instants(columns: Columns) -> BoolArray:
    changed, inspected = _texts(columns["last_data_change_at"]), _texts(columns["last_inspected_at"])
    pairs = zip(changed, inspected, strict=True)
    return np.array([staleness(*pair) for pair in pairs], dtype=bool)


# One function a kind ----------------------------------------------------------------------------------------


def _any_of(spec: Filter, value: tuple[Any, ...], columns: Columns) -> BoolArray:
    array = columns[spec.column(columns.table)]
    if spec.name == "redshift_quality":
        return np.isin(_plain(array), value)
    wanted = {item.lower() for item in value}
    held = [{str(i).lower() for i in (item if isinstance(item, list) else [item])} for item in array.tolist()]
    if spec.mode == "all":
        return np.array([wanted <= names for names in held], dtype=bool)
    hit = np.array([not wanted.isdisjoint(names) for names in held], dtype=bool)
    return ~hit if spec.mode == "none" else hit


def _between(spec: Filter, value: tuple[float | None, float | None], columns: Columns) -> BoolArray:
    array = _plain(columns[spec.column(columns.table)])
    good: BoolArray = np.isfinite(array)
    low, high = value
    if low is not None:
        good &= array >= low
    if high is not None:
        good &= array <= high
    return good


def _is_true(spec: Filter, value: bool, columns: Columns) -> BoolArray:
    if spec.name == "inspected_only":
        quality = _plain(columns["redshift_quality"])
        return np.asarray(quality > 0 if value else quality == 0)
    if spec.name == "staleness":
        state = _instants(columns)
    elif spec.name == "needs_review":
        reason = np.array([bool(text) for text in _texts(columns["staleness_reason"])], dtype=bool)
        inspected = np.array([bool(text) for text in _texts(columns["last_inspected_at"])], dtype=bool)
        undated = np.array([not text for text in _texts(columns["last_data_change_at"])], dtype=bool)
        state = reason & inspected & (undated | _instants(columns))
    else:
        state = np.asarray(columns[spec.column(columns.table)], dtype=bool)
    known = ~np.isnan(_plain(columns["redshift_quality"]))  # unknown where a spectrum has no object
    return np.asarray((state == value) & known)


def _text(spec: Filter, value: str, columns: Columns) -> BoolArray:
    needle = ascii_lower(value)
    other = "member_target_ids" if columns.table == "objects" else "target_id"
    rows = zip(columns[spec.column(columns.table)].tolist(), columns[other].tolist(), strict=True)
    found = [
        any(needle in ascii_lower(text) for text in (name, *(more if isinstance(more, list) else [more])))
        for name, more in rows
    ]
    return np.array(found, dtype=bool)


def _flags(spec: Filter, value: Any, columns: Columns) -> BoolArray:
    return np.asarray(value.matches(np.asarray(columns[spec.column(columns.table)], dtype=np.int64)))


def _cone(_spec: Filter, value: tuple[float, float, float], columns: Columns) -> BoolArray:
    return np.asarray(_chords(value, columns) <= chord_squared(value)[1])


def ascii_lower(text: str) -> str:
    """Lower only A to Z, as SQLite does."""
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)


_KINDS: dict[str, Callable[[Filter, Any, Columns], BoolArray]] = {
    "any_of": _any_of,
    "between": _between,
    "flags": _flags,
    "is_true": _is_true,
    "text": _text,
    "cone": _cone,
}


def matches(where: Sequence[Condition], columns: Columns) -> BoolArray:
    """Tell which rows satisfy all conditions.

    Parameters
    ----------
    where
        Conditions of a query of the same table.
    columns
        Rows with every column a condition looks at. Beyond the result columns these are: for objects
        ``dq_flags`` (the OR of their spectra's); for spectra, of their object: ``tags`` (lists),
        ``has_photometry``, ``last_data_change_at`` and ``last_inspected_at``.

    Returns
    -------
    numpy.ndarray
        Booleans, one a row.

    Raises
    ------
    KeyError
        If a column that is looked at is not there.
    """
    parts = [np.asarray(_KINDS[c.spec.kind](c.spec, c.value, columns)) for c in where]
    return reduce(np.logical_and, parts, np.ones(len(columns), dtype=bool))


def finish(query: Query, columns: Columns) -> Columns:
    """Filter, sort and cut rows exactly as the local catalogue does.

    Parameters
    ----------
    query
        The query; names are compared without regard to case.
    columns
        A superset of the rows; see :func:`matches` for the columns needed. A row must be there once.

    Returns
    -------
    Columns
        The answer, with only the result columns, and ``distance_arcsec`` where there is a cone.

    Examples
    --------
    >>> rows = Columns.from_values("spectra", {"spectrum_id": ["b", "a"], "signal_to_noise": [3.0, None]})
    >>> finish(Query.of("spectra", sort="signal_to_noise", sort_dir="desc"), rows)["spectrum_id"].tolist()
    ['b', 'a']
    """
    columns = columns.take(matches(query.where, columns))
    cone = query.get("cone_search")
    if cone is not None:
        chords = _chords(cone, columns)
        columns = columns.replace(distance_arcsec=distance_arcsec(chords))
        key: NDArray[Any] = chords
    if query.sort != "distance":
        key = columns[query.sort]
    stop = None if query.limit is None else query.offset + query.limit
    order = _order(key, [columns[name] for name in TIES[query.table]], query.sort_dir == "desc")
    return columns.take(order[query.offset : stop]).only_documented()


def _order(key: NDArray[Any], ties: list[NDArray[Any]], descending: bool) -> NDArray[np.intp]:
    unknown = np.ma.getmaskarray(key)
    values = np.ma.getdata(key)
    if values.dtype.kind == "f":
        unknown = unknown | np.isnan(values)
    # Ranks, so that text can be turned round as numbers can.
    ranks = np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
    ranks = np.where(unknown, 0, -ranks if descending else ranks)
    return np.lexsort([*(np.ma.getdata(tie) for tie in reversed(ties)), ranks, unknown])
