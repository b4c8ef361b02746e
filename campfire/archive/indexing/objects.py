"""Which targets are which object of the catalogue: new ones, ones that stay, ones that are gone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from campfire.archive.indexing.grouping import group_positions, mean_position
from campfire.formats.names import object_name
from campfire.typing import Row

__all__ = ["Objects", "arrange", "best_redshift", "uninspected"]

_RESOLUTION = {"PRISM": 0, "M": 1, "H": 2}
_INSPECTION = (
    *("redshift_quality", "redshift_inspected", "inspected_used_auto", "last_inspected_at"),
    "last_inspected_by",
)
_ROUNDING = 1e-9
"""Degrees."""
_NEW: Row = {
    "redshift_quality": 0,
    "redshift_inspected": None,
    "inspected_used_auto": 0,
    "last_inspected_at": None,
    "last_inspected_by": None,
    "last_data_change_at": None,
    "staleness_reason": None,
    "version": 0,
    "created_at": None,
    "updated_at": None,
    "programs": [],
    "gratings": [],
    "tags": [],
}


@dataclass(slots=True)
class Objects:
    """What to do with objects.

    Parameters
    ----------
    owner
        Target -> name of its object, for all targets.
    changed
        Rows to put.
    gone
        Objects of which no target is left, by integer id.
    """

    owner: dict[str, str] = field(default_factory=dict)
    changed: list[Row] = field(default_factory=list)
    gone: dict[int, Row] = field(default_factory=dict)


def uninspected() -> Row:
    """Return the columns of an inspection as they are where nobody has inspected an object."""
    return {name: _NEW[name] for name in _INSPECTION}


def best_redshift(spectra: Sequence[Row]) -> float | None:
    """Return the automated redshift of PRISM, else medium, else high resolution; of the longest exposure."""
    known = [row for row in spectra if row["redshift_auto"] is not None]

    def rank(row: Row) -> tuple[Any, ...]:
        grating = row["grating"]
        resolution = _RESOLUTION.get(grating, _RESOLUTION.get(grating[-1:], 3))
        number = row.get("id")
        return resolution, -(row["exposure_time"] or 0.0), number is None, number or 0, row["spectrum_id"]

    return min(known, key=rank)["redshift_auto"] if known else None


def arrange(
    targets: Mapping[str, Row],
    spectra: Mapping[str, list[Row]],
    known: Mapping[int, Row],
    owners: Mapping[str, int],
    altered: set[str],
    *,
    radius: float,
    now: str,
) -> Objects:
    """Group targets into objects and give every group the object it was before.

    An object keeps its integer id, name, inspection and tags as long as one of its targets is left. Where
    several become one, the one with most targets stays, with the tags of all and the first inspection.

    Parameters
    ----------
    targets
        Target -> row with ``ra``, ``dec``, ``field``.
    spectra
        Target -> rows of its spectra.
    known
        Integer id -> row of an object with ``tags``, also of objects that were gone before.
    owners
        Target -> integer id of the object it was before.
    altered
        Targets of which a spectrum is new, changed or gone.
    radius
        arcsec within which targets are one object.
    now
        The time that changed rows get.
    """
    names = sorted(targets)
    ra, dec = (np.array([targets[name][key] for name in names], dtype=np.float64) for key in ("ra", "dec"))
    groups: dict[int, list[str]] = defaultdict(list)
    for name, label in zip(names, group_positions(ra, dec, radius), strict=True):
        groups[int(label)].append(name)
    former = _inherit(groups, owners)
    result = Objects()
    number = max(known, default=0)
    taken = {row["object_id"] for row in known.values()}
    kept = {pks[0] for pks in former.values() if pks}
    for label, members in groups.items():
        base = [known[pk] for pk in former[label]]
        centre = mean_position(*(np.array([targets[name][key] for name in members]) for key in ("ra", "dec")))
        row = _row(base, centre, targets[members[0]]["field"], [s for m in members for s in spectra[m]])
        if not base:
            # Numbered here: an object that is gone for now keeps its number.
            number += 1
            row["id"], row["object_id"] = number, object_name(*centre, taken)
            taken.add(row["object_id"])
        result.owner |= dict.fromkeys(members, str(row["object_id"]))
        before = {name for name, pk in owners.items() if base and pk == base[0]["id"]}
        if _stamp(row, base, before, set(members), altered, now):
            result.changed.append(row)
    result.gone = {pk: row for pk, row in known.items() if pk not in kept}
    return result


def _inherit(groups: Mapping[int, list[str]], owners: Mapping[str, int]) -> dict[int, list[int]]:
    """Return for each group the objects its targets were; first the one it stays."""
    shared = Counter(
        (owners[name], label) for label, names in groups.items() for name in names if name in owners
    )
    ranked = sorted(shared, key=lambda pair: (-shared[pair], *pair))
    claimed: dict[int, int] = {}
    for pk, label in ranked:
        if pk not in claimed and label not in claimed.values():
            claimed[pk] = label
    former: dict[int, list[int]] = {label: [] for label in groups}
    for pk, label in claimed.items():
        former[label].append(pk)
    for pk, label in ranked:
        # An object that went into this group as a whole brings its tags; one that was split keeps them.
        if former[label] and pk not in claimed:
            former[label].append(pk)
            claimed[pk] = label
    return former


def _row(base: Sequence[Row], centre: tuple[float, float], field: str, spectra: Sequence[Row]) -> Row:
    row: Row = {**_NEW, **(base[0] if base else {})}
    if not base or not _same_place(row, centre):
        row["ra"], row["dec"] = centre
    row["field"], row["redshift_auto"] = field, best_redshift(spectra)
    row["tags"] = sorted({tag for former in base for tag in former["tags"]})
    inspected = next((former for former in base if former["redshift_quality"]), None)
    if inspected is not None:
        row |= {name: inspected[name] for name in _INSPECTION}
    told = row["redshift_inspected"]
    row["redshift"] = row["redshift_auto"] if told is None else told
    if row["redshift_quality"] == 1:
        row["redshift"] = None
    return row


def _same_place(row: Row, centre: tuple[float, float]) -> bool:
    """Tell whether a position is the same but for rounding: sums in another order move no object."""
    across = (row["ra"] - centre[0] + 180.0) % 360.0 - 180.0
    return bool(abs(across) < _ROUNDING and abs(row["dec"] - centre[1]) < _ROUNDING)


def _stamp(
    row: Row, base: Sequence[Row], before: set[str], members: set[str], altered: set[str], now: str
) -> bool:
    """Note in ``row`` why and when it changed; tell whether it did."""
    if not base:
        row |= {"version": 1, "created_at": now, "updated_at": now}
        return True
    reason = None
    if members - before:
        reason = "new_target"
    elif before - members:
        reason = "membership_changed"
    elif members & altered:
        reason = "reprocessed"
    if reason is not None:
        row |= {"staleness_reason": reason, "last_data_change_at": now, "version": row["version"] + 1}
    if row != base[0]:
        row["updated_at"] = now
        return True
    return False
