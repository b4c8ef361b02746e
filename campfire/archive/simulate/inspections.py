"""From observed objects to catalogue rows: inspections, tags, photometry, and what is out of date."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.archive.simulate.catalogue_rows import (
    Tables,
    object_summary,
    observation_row,
    program_rows,
    tag_rows,
)
from campfire.archive.simulate.photometry import measure, photometric_redshift
from campfire.archive.simulate.sources import Source, earned_tags
from campfire.archive.simulate.survey import INSPECTORS, OBSERVATIONS, Field, timestamp

if TYPE_CHECKING:
    from numpy.random import Generator

    from campfire.typing import Row

__all__ = ["ObjectRecord", "catalogue_tables", "inspection", "unique_names"]

# Redshift quality of the first objects, so that small archives hold every one; later ones follow their S/N.
_FIRST_QUALITIES = (4, 4, 4, 4, 3, 4, 1, 3, 4, 3, 4, 0, 4, 2, 4, 4, 0, 1, 4, 3)


@dataclass(slots=True)
class ObjectRecord:
    """One object on its way into the catalogue.

    Parameters
    ----------
    index
        Number in the archive, from 0.
    field, source
        Where it is and what it is.
    fluxes
        True band fluxes, microjansky.
    targets, spectra, shutters
        Rows of its members, without ``object_id``.
    object_id, ra, dec
        Its name and centroid (degrees), set once its targets are known.
    """

    index: int
    field: Field
    source: Source
    fluxes: dict[str, float]
    targets: list[Row] = dataclasses.field(default_factory=list)
    spectra: list[Row] = dataclasses.field(default_factory=list)
    shutters: list[Row] = dataclasses.field(default_factory=list)
    object_id: str = ""
    ra: float = 0.0
    dec: float = 0.0


def unique_names(names: list[str]) -> list[str]:
    """Return the names with ``_1``, ``_2`` and so on behind those that come again.

    Examples
    --------
    >>> unique_names(["a", "b", "a"])
    ['a', 'b', 'a_1']
    """
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        again = seen.get(name, 0)
        unique.append(f"{name}_{again}" if again else name)
        seen[name] = again + 1
    return unique


def _quality(record: ObjectRecord, snr: float, rng: Generator) -> int:
    if record.index < len(_FIRST_QUALITIES):
        return _FIRST_QUALITIES[record.index]
    if rng.random() < 0.2:
        return 0
    if snr > 12.0:
        return 4
    return int(rng.choice([3, 2]) if snr > 6.0 else rng.choice([2, 1, 0]))


def inspection(
    index: int, quality: int, truth: float, automatic: float | None, rng: Generator
) -> dict[str, Any]:
    """Return what inspectors made of an object, and whether its data changed since.

    Parameters
    ----------
    index
        Number of the object; every tenth is reprocessed after it was inspected, and so on.
    quality
        Code 0 to 4.
    truth, automatic
        Redshifts. A tentative one is not checked against the truth.
    rng
        Where chance comes from.
    """
    inspected_at = 200.0 + float(rng.uniform(0.0, 1500.0))
    changed_at: float | None = None
    reason: str | None = None
    if quality and index % 10 == 5:
        changed_at, reason = inspected_at + 100.0, "reprocessed"
    elif quality and index % 10 == 8:
        changed_at, reason = inspected_at + 30.0, "membership_changed"
    elif quality and index % 10 == 2:
        changed_at = inspected_at - 100.0
    elif not quality and index % 2:
        changed_at, reason = 150.0, "new_target"
    uses_automatic = (
        quality > 1
        and automatic is not None
        and (quality == 2 or (rng.random() < 0.3 and automatic_is_right(automatic, truth)))
    )
    inspected = None
    if quality > 1 and not uses_automatic:
        inspected = round(truth + 2e-4 * (1.0 + truth) * float(rng.standard_normal()), 6)
    best = automatic if inspected is None else inspected
    return {
        "redshift": None if quality == 1 else best,
        "redshift_quality": quality,
        "redshift_inspected": inspected,
        "inspected_used_auto": uses_automatic,
        "last_inspected_at": timestamp(inspected_at, digits=5) if quality else None,
        "last_inspected_by": INSPECTORS[0] if quality else None,
        "last_data_change_at": None if changed_at is None else timestamp(changed_at, digits=3),
        "staleness_reason": reason,
        "version": 1 + int(quality > 0) + int(reason is not None),
        "updated_at": timestamp(max(inspected_at * (quality > 0), changed_at or 0.0, 24.0), digits=index % 7),
    }


def automatic_is_right(automatic: float, truth: float) -> bool:
    """Tell whether a fitted redshift is no catastrophic outlier."""
    return abs(automatic - truth) < 0.01 * (1.0 + truth)


def _photometry_rows(record: ObjectRecord, seed: int) -> list[Row]:
    """Records of an object: none for every seventh, two where a second catalogue covers it."""
    if record.index % 7 == 4:
        return []
    rows = []
    for number, catalogue in enumerate(record.field.catalogues):
        if number and (record.index // 4) % 2:
            continue
        rng = np.random.default_rng([seed, 5, record.index, number])
        rows.append(
            {
                "object_id": record.object_id,
                "field": record.field.name,
                "catalog_name": catalogue,
                "catalog_id": str(10_000 + 7 * record.index + number),
                "match_distance_arcsec": round(float(rng.rayleigh(0.04)), 4),
                "photometry": measure(record.fluxes, catalogue, rng),
                **photometric_redshift(record.source.redshift, rng),
                "has_pz": number == 0,
                "created_at": timestamp(10.0, digits=0),
                "updated_at": timestamp(30.0 + record.index / 60.0, digits=4),
            }
        )
    return rows


def _memberships(record: ObjectRecord, quality: int) -> list[str]:
    """Tags that people gave: what its physics earns once it has a redshift, and two personal lists."""
    tags = earned_tags(record.source) if quality > 1 else []
    if record.index % 9 == 0:
        tags.append("follow-up")
    if record.index % 7 == 3:
        tags.append("my-secret-sample")
    return tags


def catalogue_tables(records: list[ObjectRecord], seed: int) -> Tables:
    """Return the rows of a catalogue.

    Parameters
    ----------
    records
        All objects, named; integer ids are given in their order.
    seed
        Of the archive.
    """
    tables = Tables(programs=program_rows())
    for record in records:
        for row in record.spectra:
            row["id"] = len(tables.spectra) + 31
            row["object_id"] = record.object_id
            tables.spectra.append(row)
        for row in record.targets:
            row["object_id"] = record.object_id
            tables.targets.append(row)
        tables.shutters += record.shutters
    for number, record in enumerate(records):
        rng = np.random.default_rng([seed, 6, record.index])
        summary = object_summary(record.spectra)
        quality = _quality(record, summary["max_snr"] or 0.0, rng)
        photometry = _photometry_rows(record, seed)
        tags = _memberships(record, quality)
        tables.memberships += [(record.object_id, slug) for slug in tags]
        first = photometry[0] if photometry else None
        tables.objects.append(
            {
                "id": number + 7,
                "object_id": record.object_id,
                "field": record.field.name,
                "ra": record.ra,
                "dec": record.dec,
                **summary,
                **inspection(record.index, quality, record.source.redshift, summary["redshift_auto"], rng),
                "is_active": True,
                "has_photometry": bool(photometry),
                "photo_z": first and first["photo_z"],
                "photo_z_err_lo": first and first["photo_z_err_lo"],
                "photo_z_err_hi": first and first["photo_z_err_hi"],
                "created_at": timestamp(1.0, digits=0),
                "lists": sorted(tags),
            }
        )
        tables.photometry += photometry
    for number, row in enumerate(tables.photometry):
        row["id"] = number + 90
    tables.tags = tag_rows(tables.memberships)
    for plan in OBSERVATIONS:
        rows = [row for row in tables.spectra if row["observation"] == plan.name]
        if rows:
            tables.observations.append(observation_row(plan, rows, len({row["target_id"] for row in rows})))
    return tables
