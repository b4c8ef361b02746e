"""Queries as URL parameters of the service, and back.

The service ignores, drops or clips some conditions. What is sent here never excludes a row that matches:
the answer is a superset, to be cut by :func:`campfire.query.finish`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from campfire.columns import TableName
from campfire.errors import ValidationError
from campfire.flags import FlagQuery
from campfire.query.filters import FILTERS, SORTS
from campfire.query.flag_masks import canonical, implied_masks

__all__ = ["WIRE_SORTS", "conditions_to_params", "params_to_conditions"]

WIRE_SORTS: dict[TableName, tuple[str, ...]] = {
    "objects": tuple(name for name in SORTS["objects"] if name != "updated_at"),
    # ra and dec are those of the target there, of the object here
    "spectra": tuple(name for name in SORTS["spectra"] if name not in ("object_id", "ra", "dec")),
}
"""Sort columns the service orders by as we do."""

_WILDCARDS = frozenset("%_\\")


def conditions_to_params(
    table: TableName, where: Mapping[str, Any]
) -> tuple[list[dict[str, str]], frozenset[str]]:
    """Express conditions as parameters.

    Returns
    -------
    requests
        One dictionary of parameters, or two where a cone crosses RA 0.
    inexact
        Names of the conditions of which the service applies less than we do.
    """
    params: dict[str, str] = {}
    cones: list[dict[str, str]] = [{}]
    inexact: set[str] = set()
    for name, value in where.items():
        spec = FILTERS[name]
        exact = True
        if spec.kind == "any_of":
            exact = _put_names(params, table, name, value)
        elif spec.kind == "between":
            params |= {
                key: repr(bound) for key, bound in zip(spec.wire, value, strict=True) if bound is not None
            }
        elif spec.kind == "is_true" and spec.wire:
            params[spec.wire[0]] = "true" if value else "false"
        elif spec.kind == "text" and not _WILDCARDS & set(value) and value == value.strip():
            params["search"] = value
        elif spec.kind == "flags":
            exact = _put_flags(params, table, value)
        elif spec.kind == "cone":
            # On spectra the service measures from the target, here the object's position counts.
            cones = _cones(*value) if table == "objects" else cones
            exact = False
        else:
            exact = False
        if not exact:
            inexact.add(name)
    return [params | cone for cone in cones], frozenset(inexact)


def _put_names(params: dict[str, str], table: TableName, name: str, value: tuple[Any, ...]) -> bool:
    spec = FILTERS[name]
    texts = [str(item) for item in value]
    if any("," in text or text != text.strip() for text in texts):
        return False  # cannot be written in a comma-separated list
    if spec.mode == "any":
        params[spec.wire[0]] = ",".join(texts)
        return True
    if table == "objects" and "gratings" not in params:
        params |= {"gratings": ",".join(texts), "gratings_mode": spec.mode}
        return True
    return False


def _put_flags(params: dict[str, str], table: TableName, value: FlagQuery) -> bool:
    """Send the most selective single mask that follows; the service applies only one, and none on objects."""
    if table == "objects":
        return False
    masks = implied_masks(value)
    # Flags are rare: all of some bits is met by fewest spectra, none of them by most.
    for word in ("include_all", "include_any", "exclude"):
        mask = int(getattr(masks, word))
        if mask:
            params[f"dq_flags_{word}"] = str(mask)
            break
    return masks.leaf is not None


def _cones(ra: float, dec: float, radius: float) -> list[dict[str, str]]:
    """Return cones whose boxes, |delta RA| <= radius without 1/cos(dec) or wrap, hold the whole cone."""
    angle = math.radians(radius / 3600.0)
    if abs(math.radians(dec)) + angle >= math.pi / 2 - 1e-9:
        return [{}]  # all right ascensions: a box cannot say it
    half = math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(math.radians(dec)))))
    half = max(half, radius / 3600.0) * (1 + 1e-9) + 1e-9
    centres = [(ra, half)]
    if ra - half < 0 or ra + half > 360:
        # The far side of RA 0: a circle there that holds the part of the cone beyond it.
        centres.append((360.0 if ra - half < 0 else 0.0, half + radius / 3600.0))
    return [
        {"ra": repr(centre), "dec": repr(dec), "radius": repr(extent * 3600.0)} for centre, extent in centres
    ]


def params_to_conditions(
    table: TableName, params: Mapping[str, str], *, fixed: bool = False
) -> tuple[dict[str, Any], str, str]:
    """Read parameters as the service does: what does not parse is no filter.

    Parameters
    ----------
    table
        What is asked for.
    params
        URL parameters, decoded.
    fixed
        Whether to honour what the deployed service does not: several masks at once, and masks on objects.

    Returns
    -------
    where
        Filter name -> value.
    sort, sort_dir
        The order, ``distance`` where the service chooses it for a cone.
    """
    where: dict[str, Any] = {}
    for name, spec in FILTERS.items():
        if not spec.wire or (name == "photo_z_range" and table == "spectra"):
            continue
        raw: Any = None
        if spec.kind == "any_of":
            items = [item.strip() for item in params.get(spec.wire[0], "").split(",")]
            raw = [item for item in items if item]
            if name == "redshift_quality":
                raw = [int(item) for item in raw if item.isdecimal() and int(item) <= 4]
            if name == "gratings" and table == "objects" and params.get("gratings_mode") in ("all", "none"):
                name = f"gratings_{params['gratings_mode']}"
        elif spec.kind == "between":
            raw = tuple(_number(params.get(key)) for key in spec.wire)
            raw = None if raw == (None, None) else raw
        elif spec.kind == "is_true":
            text = params.get(spec.wire[0], "").strip()
            raw = text.lower() == "true" if text else None
        elif spec.kind == "text":
            raw = params.get("search") or None
        elif spec.kind == "cone":
            raw = tuple(_number(params.get(key)) for key in spec.wire)
            raw = None if None in raw else raw
        elif table == "spectra" or fixed:
            raw = _flags(params, fixed=fixed)
        if raw is None or raw == []:
            continue
        try:
            where[name] = FILTERS[name].coerce(name, raw)
        except ValidationError:
            if spec.kind == "between":  # reversed: nothing lies between, and the service says so
                where[name] = raw
    sort = params.get("sort", "")
    if sort not in WIRE_SORTS[table] or (sort == "distance" and "cone_search" not in where):
        sort = SORTS[table][0]
    sort_dir = "desc" if params.get("sort_dir") == "desc" else "asc"
    by_default = ("object_id",) if table == "objects" else ("spectrum_id", "target_id")
    if "cone_search" in where and sort in by_default and sort_dir == "asc":
        sort = "distance"
    return where, sort, sort_dir


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _flags(params: Mapping[str, str], *, fixed: bool) -> FlagQuery | None:
    parts: list[FlagQuery] = []
    for key, op in (
        ("dq_flags_include_all", "all"),
        ("dq_flags_exclude", "none"),
        ("dq_flags_include_any", "any"),
        ("dq_flags", "any"),
    ):
        text = params.get(key, "").strip()
        mask = int(text) if text.isdecimal() else 0
        if not 0 < mask <= np.iinfo(np.int64).max:
            continue
        leaf = FlagQuery("all" if op == "all" else "any", mask)
        parts.append(~leaf if op == "none" else leaf)
        if not fixed:
            break  # only the first of them is applied
    if not parts:
        return None
    return canonical(parts[0] if len(parts) == 1 else FlagQuery("and", args=tuple(parts)))
