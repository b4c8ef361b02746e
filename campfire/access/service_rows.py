"""Rows of the service in the form of the local catalogue's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from campfire.columns import OBJECT_COLUMNS, SPECTRUM_COLUMNS
from campfire.typing import Row

__all__ = ["PARENT_COLUMNS", "object_row", "spectrum_row"]

PARENT_COLUMNS = ("tags", "has_photometry", "last_data_change_at", "last_inspected_at")
"""What conditions on spectra look at in the object, beyond the result columns."""

_OBJECT = tuple(c.name for c in OBJECT_COLUMNS if c.name not in ("updated_at", "observations", "tags"))
# The service's created_at and updated_at of a spectrum are those of its target.
_SPECTRUM = tuple(c.name for c in SPECTRUM_COLUMNS if c.name not in ("updated_at", "ra", "dec", "local_path"))


def object_row(wire: Mapping[str, Any], visible: Collection[str]) -> Row:
    """Return a row of ``/objects`` as the local catalogue has it; what is not sent is None.

    Parameters
    ----------
    wire
        The row.
    visible
        Slugs of the tags that the account may see: the service sends others, too.
    """
    members = [m for m in wire.get("member_targets") or [] if isinstance(m, Mapping)]
    lists = [item for item in wire.get("lists") or [] if isinstance(item, Mapping)]
    row = {name: wire.get(name) for name in _OBJECT}
    row["ra"] = None if row["ra"] is None else float(row["ra"]) % 360.0
    row["observations"] = sorted({str(m["observation"]) for m in members if m.get("observation")})
    row["member_target_ids"] = sorted({str(m["target_id"]) for m in members if m.get("target_id")})
    row["tags"] = sorted({str(item.get("slug")) for item in lists} & set(visible))
    row["redshift_quality"] = wire.get("redshift_quality") or 0
    row["updated_at"] = None
    return row


def spectrum_row(wire: Mapping[str, Any], parent: Mapping[str, Any] | None) -> Row:
    """Return a row of ``/spectra/list`` as the local catalogue has it, with what its object tells.

    Parameters
    ----------
    wire
        The row.
    parent
        The object's row, as :func:`object_row` returns it; None where there is none.
    """
    row = {name: wire.get(name) for name in _SPECTRUM}
    row["object_id"] = wire.get("parent_object_id", wire.get("object_id"))
    row["dq_flags"] = wire.get("dq_flags") or 0
    row |= {"updated_at": None, "local_path": None}
    told = parent or {}
    row |= {"ra": told.get("ra"), "dec": told.get("dec")}
    row |= {name: told.get(name) for name in PARENT_COLUMNS}
    row["tags"] = told.get("tags") or []
    row["has_photometry"] = bool(told.get("has_photometry"))
    if parent is not None:
        row |= {name: parent.get(name) for name in ("redshift", "redshift_quality")}
    return row
