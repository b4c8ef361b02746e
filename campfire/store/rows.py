"""Rows as the wire has them <-> tuples of the database."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from campfire.errors import ValidationError
from campfire.query import staleness, unit_vectors
from campfire.store.sql import zone_of
from campfire.typing import Row

__all__ = ["STORED", "join", "object_tuples", "observation_rows", "plain_tuple", "split"]

STORED: dict[str, tuple[str, ...]] = {
    "programs": ("slug", "program_name", "pi_name", "is_public", "jwst_program"),
    "observations": ("observation", "program_slug", "field", "details"),
    "objects": (
        *("id", "object_id", "field", "ra", "dec", "zone", "ux", "uy", "uz", "n_targets", "n_spectra"),
        *("programs", "gratings", "max_snr", "max_exposure_time", "redshift", "redshift_quality"),
        *("redshift_inspected", "redshift_auto", "inspected_used_auto", "last_inspected_at"),
        *("last_inspected_by", "last_data_change_at", "staleness_reason", "stale", "version"),
        *("created_at", "updated_at"),
    ),
    "targets": (
        *("target_id", "object_pk", "ra", "dec", "program_slug", "observation", "field", "source_id"),
        *("redshift_auto", "created_at", "updated_at"),
    ),
    "spectra": (
        *("id", "spectrum_id", "target_id", "object_pk", "grating", "fits_path", "file_hash", "file_size"),
        *("signal_to_noise", "exposure_time", "reduction_version", "redshift_auto", "dq_flags"),
        *("program_slug", "observation", "field", "created_at", "updated_at"),
    ),
    "photometry": (
        *("id", "object_pk", "object_id", "field", "catalog_name", "catalog_id", "match_distance_arcsec"),
        *("photometry", "photo_z", "photo_z_err_lo", "photo_z_err_hi", "has_pz", "created_at", "updated_at"),
    ),
    "tags": (
        *("id", "slug", "name", "description", "visibility", "is_system", "created_by", "color", "icon"),
        *("member_count", "created_at", "updated_at"),
    ),
    "shutters": (
        *("target_id", "source_id", "center_ra", "center_dec", "position_angle", "shutter_idx", "dither_id"),
        *("shutter_state", "observation", "field"),
    ),
}
"""Columns that are written, by table; the derived ones are not among them."""

_REQUIRED = {
    "programs": ("slug",),
    "objects": ("object_id", "field", "ra", "dec"),
    "targets": ("target_id",),
    "spectra": ("spectrum_id", "target_id", "grating", "fits_path"),
    "photometry": ("object_id",),
    "tags": ("slug",),
    "shutters": (
        "target_id",
        "source_id",
        "center_ra",
        "center_dec",
        "position_angle",
        "observation",
        "field",
    ),
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "objects": {
        "n_targets": 0,
        "n_spectra": 0,
        "redshift_quality": 0,
        "inspected_used_auto": 0,
        "version": 1,
    },
    "spectra": {"dq_flags": 0, "program_slug": "", "observation": "", "field": ""},
    "photometry": {"has_pz": 0},
    "tags": {"visibility": "public_read", "is_system": 0},
    "shutters": {"shutter_idx": 0, "dither_id": 0, "shutter_state": "open"},
}


def join(names: Iterable[str] | None) -> str:
    """Write a list of names as one text, sorted, each once.

    Examples
    --------
    >>> join(["b", "a", "b"])
    'a;b'
    """
    return ";".join(sorted({str(name) for name in names or ()}))


def split(text: str | None) -> list[str]:
    """Read a list of names; the empty text is the empty list."""
    return text.split(";") if text else []


def _check(table: str, row: Row) -> None:
    for name in _REQUIRED[table]:
        if row.get(name) in (None, ""):
            raise ValidationError(
                f"a row for {table} has no {name}: {_short(row)}", hint=f"{name} must be there and not empty"
            )


def _short(row: Row) -> str:
    text = str({key: value for key, value in row.items() if not isinstance(value, list | dict)})
    return text if len(text) <= 200 else text[:200] + "..."


def plain_tuple(table: str, row: Row) -> tuple[Any, ...]:
    """Return the values of one row in the order of :data:`STORED` (for objects see :func:`object_tuples`).

    Raises
    ------
    ValidationError
        If a required value is missing.
    """
    _check(table, row)
    if table == "photometry":
        bands = row.get("photometry")
        row = row | {"photometry": bands if isinstance(bands, str) else json.dumps(bands or {})}
    elif table == "programs" and isinstance(row.get("jwst_program"), list | tuple | int):
        numbers = row["jwst_program"]
        row = row | {"jwst_program": join(map(str, [numbers] if isinstance(numbers, int) else numbers))}
    defaults = _DEFAULTS.get(table, {})
    values = []
    for name in STORED[table]:
        value = row.get(name)
        values.append(defaults.get(name) if value is None else value)
    return tuple(values)


def object_tuples(rows: list[Row]) -> list[tuple[Any, ...]]:
    """Return the values of objects in the order of :data:`STORED`; ``id`` must be there.

    Raises
    ------
    ValidationError
        If a required value is missing or a position is none.
    """
    for row in rows:
        _check("objects", row)
        if not (math.isfinite(row["ra"]) and -90 <= row["dec"] <= 90):
            raise ValidationError(
                f"object {row['object_id']!r} is at ra={row['ra']}, dec={row['dec']}",
                hint="degrees are expected",
            )
    ux, uy, uz = (part.tolist() for part in unit_vectors([r["ra"] for r in rows], [r["dec"] for r in rows]))
    made = []
    for row, x, y, z in zip(rows, ux, uy, uz, strict=True):
        computed = {
            "ra": float(row["ra"]) % 360.0,
            "zone": zone_of(row["dec"]),
            "ux": x,
            "uy": y,
            "uz": z,
            "programs": join(row.get("programs")),
            "gratings": join(row.get("gratings")),
            "stale": staleness(row.get("last_data_change_at"), row.get("last_inspected_at")),
        }
        made.append(plain_tuple("objects", row | computed))
    return made


def observation_rows(found: Iterable[tuple[Any, ...]]) -> list[Row]:
    """Return stored observations as the wire has them."""
    return [
        {"observation": name, "program_slug": slug, "field": field, **json.loads(details)}
        for name, slug, field, details in found
    ]
