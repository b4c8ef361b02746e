"""Rows of the wire from rows of the catalogue."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

from campfire.archive.catalogue.reader import Conditions, Reader, Viewer, zoneless
from campfire.store.rows import split
from campfire.typing import Row

__all__ = [
    "LISTED_OBJECT",
    "LISTED_SPECTRUM",
    "SYNCED_OBJECT",
    "SYNCED_PHOTOMETRY",
    "SYNCED_SPECTRUM",
    "listed_objects",
    "listed_spectra",
    "synced_objects",
    "synced_photometry",
    "synced_spectra",
]


def _columns(alias: str, *names: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


_OBJECT = _columns(
    "o",
    *("id", "object_id", "field", "ra", "dec", "n_targets", "n_spectra", "programs", "gratings", "max_snr"),
    *("max_exposure_time", "redshift", "redshift_quality", "redshift_inspected", "redshift_auto"),
    *("inspected_used_auto", "last_inspected_at", "last_inspected_by", "last_data_change_at"),
    *("staleness_reason", "version", "has_photometry", "photo_z", "created_at"),
)
LISTED_OBJECT = _OBJECT
SYNCED_OBJECT = f"{_OBJECT}, {_columns('o', 'photo_z_err_lo', 'photo_z_err_hi', 'updated_at')}"
LISTED_SPECTRUM = (
    f"{_columns('s', 'id', 'target_id')}, o.object_id AS parent_object_id, s.program_slug, p.program_name,"
    " s.field, s.observation, coalesce(t.ra, o.ra) AS ra, coalesce(t.dec, o.dec) AS dec,"
    " o.redshift, o.redshift_inspected, o.redshift_quality, o.last_inspected_at, o.last_inspected_by,"
    " (SELECT max(x.signal_to_noise) FROM spectra x WHERE x.target_id = s.target_id) AS max_snr,"
    " (SELECT max(x.exposure_time) FROM spectra x WHERE x.target_id = s.target_id) AS max_exposure_time,"
    " t.created_at, t.updated_at, s.spectrum_id, s.grating, s.fits_path, s.signal_to_noise, s.exposure_time,"
    " s.redshift_auto, s.dq_flags, s.file_hash, s.file_size"
)
SYNCED_SPECTRUM = f"{_columns('s', 'id', 'spectrum_id', 'target_id')}, o.object_id, " + _columns(
    "s",
    *("grating", "fits_path", "file_hash", "file_size", "signal_to_noise", "exposure_time"),
    *("reduction_version", "redshift_auto", "dq_flags", "program_slug", "observation", "field"),
    *("created_at", "updated_at"),
)
SYNCED_PHOTOMETRY = (
    "f.id, coalesce(o.object_id, f.object_id) AS object_id, coalesce(f.field, o.field, '') AS field,"
    " coalesce(f.catalog_name, '') AS catalog_name, "
    + _columns("f", "catalog_id", "match_distance_arcsec", "photometry", "photo_z", "photo_z_err_lo")
    + ", "
    + _columns("f", "photo_z_err_hi", "has_pz", "created_at", "updated_at")
)
_MEMBER = ("target_id", "program_slug", "observation", "redshift_auto")
_LABEL = ("id", "name", "slug", "icon", "color")
EPOCH = "1970-01-01T00:00:00+00:00"
"""Time of a row that was written without one; every ``updated_since`` is later."""


def _object(row: Row) -> Row:
    """Turn the columns of an object into the types of the wire, in place."""
    row["programs"] = split(row["programs"])
    row["gratings"] = split(row["gratings"])
    row["inspected_used_auto"] = bool(row["inspected_used_auto"])
    row["has_photometry"] = bool(row["has_photometry"])
    row["is_active"] = True
    return row


def _by_object(reader: Reader, sql: str, where: Conditions) -> dict[int, list[tuple[Any, ...]]]:
    """Run a statement whose first column is the integer object id; return the rest of its rows by object."""
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for pk, *values in reader.values(sql.format(where=where.sql), where.values):
        found[pk].append(tuple(values))
    return found


def _of_page(expression: str, rows: list[Row]) -> Conditions:
    where = Conditions()
    where.among(expression, [row["id"] for row in rows])
    return where


def _labels(
    reader: Reader, rows: list[Row], viewer: Viewer, *, all_tags: bool
) -> dict[int, list[tuple[Any, ...]]]:
    where = _of_page("m.object_pk", rows)
    if not all_tags:
        where.add("(t.visibility <> 'private' OR t.created_by = ?)", viewer.account)
    sql = (
        f"SELECT m.object_pk, {_columns('t', *_LABEL)} FROM memberships m JOIN tags t"
        " ON t.id = m.tag_id{where} ORDER BY t.slug COLLATE BINARY"
    )
    return _by_object(reader, sql, where)


def listed_objects(reader: Reader, rows: list[Row], viewer: Viewer, *, fixed: bool) -> list[Row]:
    """Complete rows of ``/objects``; private tags of others are among its ``lists`` unless fixed."""
    where = _of_page("t.object_pk", rows)
    where.among("coalesce(t.program_slug, '')", viewer.programs)
    sql = f"SELECT t.object_pk, {_columns('t', *_MEMBER)} FROM targets t{{where}} ORDER BY t.target_id"
    members = _by_object(reader, sql, where)
    labels = _labels(reader, rows, viewer, all_tags=not fixed)
    for row in rows:
        _object(row)
        row["member_targets"] = [dict(zip(_MEMBER, v, strict=True)) for v in members.get(row["id"], ())]
        row["lists"] = [dict(zip(_LABEL, v, strict=True)) for v in labels.get(row["id"], ())]
    return rows


def synced_objects(reader: Reader, rows: list[Row], viewer: Viewer, *, fixed: bool) -> list[Row]:
    """Complete rows of ``/sync/objects``: members and spectra the viewer can read, slugs of visible tags."""
    where = _of_page("s.object_pk", rows)
    where.among("s.program_slug", viewer.programs)
    names = ("id", "target_id", "grating", "signal_to_noise", "exposure_time", "redshift_auto", "dq_flags")
    sql = (
        f"SELECT s.object_pk, {_columns('s', *names)}, s.observation FROM spectra s{{where}}"
        " ORDER BY s.target_id, s.grating"
    )
    spectra = _by_object(reader, sql, where)
    where = _of_page("t.object_pk", rows)
    where.among("coalesce(t.program_slug, '')", viewer.programs)
    members = _by_object(
        reader, "SELECT t.object_pk, t.target_id FROM targets t{where} ORDER BY t.target_id", where
    )
    labels = _labels(reader, rows, viewer, all_tags=False)
    for row in rows:
        pk = row["id"]
        _object(row)
        row["updated_at"] = row["updated_at"] or EPOCH
        row["member_target_ids"] = [values[0] for values in members.get(pk, ())]
        row["spectra"] = [dict(zip(names, values, strict=False)) for values in spectra.get(pk, ())]
        row["lists"] = [values[2] for values in labels.get(pk, ())]
        if fixed:
            row["observations"] = sorted({values[-1] for values in spectra.get(pk, ())})
    return rows


def listed_spectra(rows: list[Row], *, fixed: bool) -> list[Row]:
    """Complete rows of ``/spectra/list``; they say ``object_id`` too if fixed."""
    for row in rows:
        row["created_at"], row["updated_at"] = zoneless(row["created_at"]), zoneless(row["updated_at"])
        row["thumbnail_svg_fnu"] = row["thumbnail_svg_flambda"] = None
        if fixed:
            row["object_id"] = row["parent_object_id"]
    return rows


def synced_spectra(rows: list[Row]) -> list[Row]:
    """Complete rows of ``/sync/spectra``."""
    for row in rows:
        row["created_at"] = zoneless(row["created_at"])
        row["updated_at"] = row["updated_at"] or EPOCH
    return rows


def synced_photometry(rows: list[Row]) -> list[Row]:
    """Complete rows of ``/sync/photometry``; ``photometry`` stays JSON text, which is most of the answer."""
    for row in rows:
        if "NaN" in row["photometry"] or "Infinity" in row["photometry"]:
            row["photometry"] = _finite(row["photometry"])
        row["has_pz"] = bool(row["has_pz"])
        row["updated_at"] = row["updated_at"] or EPOCH
    return rows


def _finite(text: str) -> str:
    """Return a photometry record without the bands that hold a number JSON does not know."""
    record = json.loads(text)
    bands = {
        name: band
        for name, band in record.get("bands", {}).items()
        if all(not isinstance(value, float) or math.isfinite(value) for value in band.values())
    }
    return json.dumps(record | {"bands": bands})
