"""Catalogue rows of a simulated archive, with the names the service uses, and how they get into the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from campfire.archive.simulate.products import CAL_VERSION, CRDS_CONTEXT
from campfire.archive.simulate.survey import PROGRAMS, TAGS, Observation, Program, day, timestamp
from campfire.store.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campfire.config import DataPaths
    from campfire.typing import Row

__all__ = [
    "GRATING_RANK",
    "Tables",
    "object_summary",
    "observation_row",
    "program_rows",
    "tag_rows",
    "write_tables",
]

GRATING_RANK = {"PRISM": 0, "G140M": 1, "G235M": 1, "G395M": 1, "G140H": 2, "G235H": 2, "G395H": 2}
"""Whose automated redshift an object takes: prism, medium, high resolution."""


@dataclass(slots=True)
class Tables:
    """The rows of a catalogue.

    Parameters
    ----------
    programs, observations, targets, objects, spectra, photometry, tags, shutters
        One dictionary a row.
    memberships
        (object id, tag slug).
    """

    programs: list[Row] = field(default_factory=list)
    observations: list[Row] = field(default_factory=list)
    targets: list[Row] = field(default_factory=list)
    objects: list[Row] = field(default_factory=list)
    spectra: list[Row] = field(default_factory=list)
    photometry: list[Row] = field(default_factory=list)
    tags: list[Row] = field(default_factory=list)
    memberships: list[tuple[str, str]] = field(default_factory=list)
    shutters: list[Row] = field(default_factory=list)


def program_rows(programs: Iterable[Program] = PROGRAMS) -> list[Row]:
    """Return the rows of the programs."""
    return [
        {
            "slug": program.slug,
            "program_name": program.name,
            "pi_name": program.pi,
            "is_public": program.public,
            "jwst_program": program.number,
        }
        for program in programs
    ]


def observation_row(
    plan: Observation, spectra: list[Row], targets: int, programs: Iterable[Program] = PROGRAMS
) -> Row:
    """Return the row of an observation from those of its spectra."""
    program = next(item for item in programs if item.slug == plan.program)
    start = day(plan.date)
    pointing: dict[str, Any] = {
        "gratings": list(plan.gratings),
        "jwst_program": program.number,
        "jwst_obs_ids": [f"{plan.phase * 100:03.0f}"],
        "n_dithers": 1,
        "date_obs_start": plan.date,
        "date_obs_end": plan.date,
    }
    return {
        "observation": plan.name,
        "program_slug": plan.program,
        "program_name": program.name,
        "field": plan.field,
        "target_count": targets,
        "spectrum_count": len(spectra),
        "total_size_bytes": sum(row["file_size"] for row in spectra),
        "pointings": [pointing],
        "reduction_version": plan.version,
        "crds_context": CRDS_CONTEXT,
        "cfpipe_version": plan.version.removeprefix("v"),
        "jwst_version": CAL_VERSION,
        "reduced_at": timestamp(start + 12.0, digits=0),
        "deployed_at": timestamp(start + 60.0, digits=3),
        "deployed_by_username": "pipeline",
        "deployed_by_full_name": None,
        "n_patches_since_full": 0,
        "last_patch_at": None,
    }


def tag_rows(memberships: Iterable[tuple[str, str]]) -> list[Row]:
    """Return the rows of all tags, those without members too."""
    counts: dict[str, int] = {}
    for _, slug in memberships:
        counts[slug] = counts.get(slug, 0) + 1
    return [
        {
            "id": number,
            "slug": tag.slug,
            "name": tag.name,
            "description": tag.description,
            "visibility": tag.visibility,
            "is_system": tag.system,
            "created_by": tag.owner,
            "created_at": timestamp(0.0, digits=0),
            "updated_at": timestamp(24.0 + number, digits=2),
            "member_count": counts.get(tag.slug, 0),
            "icon": tag.icon,
            "color": tag.color,
        }
        for number, tag in enumerate(TAGS, start=1)
    ]


def object_summary(spectra: list[Row]) -> Row:
    """Return what an object's row says of its spectra.

    The automated redshift is that of the best member: prism before medium before high resolution, then the
    longest exposure, then the lowest id; members without a fit do not count.
    """
    fitted = [row for row in spectra if row["redshift_auto"] is not None]
    best = min(
        fitted,
        key=lambda row: (GRATING_RANK[row["grating"]], -row["exposure_time"], row["id"]),
        default=None,
    )
    targets = list(dict.fromkeys(row["target_id"] for row in spectra))
    return {
        "n_targets": len(targets),
        "n_spectra": len(spectra),
        "programs": sorted({row["program_slug"] for row in spectra}),
        "gratings": sorted({row["grating"] for row in spectra}),
        "observations": sorted({row["observation"] for row in spectra}),
        "member_target_ids": targets,
        "max_snr": max((row["signal_to_noise"] for row in spectra if row["signal_to_noise"]), default=None),
        "max_exposure_time": max(row["exposure_time"] for row in spectra),
        "redshift_auto": None if best is None else best["redshift_auto"],
    }


def write_tables(paths: DataPaths, tables: Tables) -> None:
    """Write a catalogue in one transaction."""
    paths.meta.mkdir(parents=True, exist_ok=True)
    with Catalog(paths.database) as catalog, catalog.write() as writer:
        writer.put_programs(tables.programs)
        writer.put_observations(tables.observations)
        # Tags before objects: an object's row names its tags.
        writer.put_tags(tables.tags)
        writer.put_objects(tables.objects)
        writer.put_targets(tables.targets)
        writer.put_spectra(tables.spectra)
        writer.put_photometry(tables.photometry)
        writer.put_shutters(tables.shutters)
