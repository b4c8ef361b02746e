"""Make or update the catalogue of a data root from the FITS products found in it."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from campfire.archive.catalogue.indexed_files import Indexed, read_indexed, record_files
from campfire.archive.indexing.grouping import place_field
from campfire.archive.indexing.objects import Objects, arrange, best_redshift
from campfire.archive.indexing.photometry import attach, read_table
from campfire.archive.indexing.scan import Found, Scanned, scan
from campfire.archive.server.visible_catalogue import MATCH_RADIUS
from campfire.config import DataPaths
from campfire.errors import CampfireWarning, NotFoundError, ValidationError
from campfire.store.catalog import Catalog
from campfire.store.writer import Writer
from campfire.typing import PathInput, ProgressCallback, Row

__all__ = ["IndexReport", "index_root"]

UNKNOWN_FIELD = "unknown"
UNKNOWN_PROGRAM = "unknown"
_RETIRED = "retired_objects"
_INDEXED = "indexed_at"
_LINKS = "indexed_links"


class IndexReport(TypedDict):
    """What indexing did: spectra by id, files that could not be read with the reason, totals afterwards."""

    added: list[str]
    updated: list[str]
    removed: list[str]
    broken: list[str]
    ignored: list[str]
    unchanged: int
    spectra: int
    objects: int
    photometry: int


def index_root(
    root: PathInput,
    *,
    photometry: PathInput | None = None,
    field: str | None = None,
    match_radius: float = 0.3,
    progress: ProgressCallback | None = None,
) -> IndexReport:
    """Make or update ``<root>/meta/campfire.db`` from the 1-D spectra below ``root``.

    Products of CAMPFIRE lie in ``products/<observation>/``; files of DJA, msaexp, CEERS, JADES and the JWST
    pipeline are taken as they are, from anywhere below the root (see :mod:`.scan`). Spectra
    within the radius of each other are one object. A file that has not changed is not read again. Integer
    ids, names, tags, inspections and flags stay; a file that cannot be read is named, its former row stays,
    and the rest is indexed.

    Parameters
    ----------
    root
        Data root.
    photometry
        Table (ECSV, FITS, CSV) attached by position; see :func:`.matching.read_table`.
    field
        Field of all products here; by default the one known before, else the well-known field at that
        position, else ``unknown``.
    match_radius
        arcsec, for spectra and for the photometry.
    progress
        Called as ``progress("index", done, total)``.

    Returns
    -------
    IndexReport
        What was added, updated, removed, is broken, and is left out, each with the reason.

    Raises
    ------
    NotFoundError
        If ``root`` or the photometry table does not exist.
    ValidationError
        If the radius is none, the photometry table lacks what is needed, or the catalogue is a mirror of a
        service.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     report = index_root(root)
    >>> report["spectra"], report["broken"]
    (0, [])
    """
    paths = DataPaths(Path(root).expanduser().absolute())
    if not paths.root.is_dir():
        raise NotFoundError(
            f"no folder {paths.root}", hint="products belong into ROOT/products/<observation>"
        )
    if not (math.isfinite(match_radius) and match_radius > 0):
        raise ValidationError(
            f"match radius {match_radius!r} is not a positive number", hint="arcsec, e.g. 0.3"
        )
    table = None if photometry is None else read_table(photometry)
    started = datetime.now(UTC)
    with Catalog(paths.database) as catalog:
        if catalog.last_synced is not None:
            raise ValidationError(
                f"the catalogue in {paths.root} is a copy of a service", hint="index a folder of your own"
            )
        known = read_indexed(catalog)
        former_links: dict[str, str] = json.loads(catalog.get_meta(_LINKS) or "{}")
        note = None if progress is None else lambda done, total: progress("index", done, total)
        scanned = scan(paths, known, float(catalog.get_meta(_INDEXED) or 0.0), note)
        plan = _Plan(
            known, scanned, field, json.loads(catalog.get_meta(_RETIRED) or "[]"), started.isoformat()
        )
        plan.objects = plan.arrange(match_radius)
        with catalog.write() as writer:
            plan.write(writer)
            writer.set_meta(_INDEXED, repr(started.timestamp()))
            writer.set_meta(MATCH_RADIUS, repr(match_radius))
            writer.set_meta(_LINKS, json.dumps(_left_links(paths.root, former_links, scanned.links)))
        attached = 0 if table is None else attach(catalog, table, match_radius, started.isoformat())
        totals = catalog.totals()
    changed = plan.added | plan.updated
    return {
        "added": sorted(plan.added),
        "updated": sorted(plan.updated),
        "removed": sorted(plan.removed),
        "broken": [f"{path}: {why}" for path, why in sorted(plan.broken.items())],
        "ignored": [f"{path}: {why}" for path, why in sorted(scanned.ignored.items())],
        "unchanged": len(plan.spectra) - len(changed),
        "spectra": totals["spectra"],
        "objects": totals["objects"],
        "photometry": attached,
    }


def _left_links(root: Path, former: dict[str, str], links: dict[str, str]) -> dict[str, str]:
    """Return second names with the first ones; say which outlived theirs, as it may be the only copy left."""
    left = {
        place: first
        for place, first in former.items()
        if place not in links and (root / place).is_file() and not os.path.lexists(root / first)
    }
    for place, first in left.items():
        warnings.warn(
            f"{first} is gone, and still served as {place}, its second name: remove that too, or leave it",
            CampfireWarning,
            stacklevel=3,
        )
    return left | links


class _Plan:
    """Everything that indexing will write, worked out before anything is written."""

    def __init__(
        self, known: Indexed, scanned: Scanned, field: str | None, retired: list[Row], now: str
    ) -> None:
        self.known, self.now, self.field = known, now, None if field is None else field.strip().lower()
        self.retired = {row["id"]: row for row in retired if row["id"] not in known.objects}
        self.broken = dict(scanned.broken)
        self.files = scanned.found
        self.programs: dict[str, Row] = {}
        self.spectra: dict[str, Row] = {}
        self.added: set[str] = set()
        self.updated: set[str] = set()
        for name, found in scanned.found.items():
            self._spectrum(name, found)
        unreadable = {Path(path).name for path in scanned.broken}
        for name, row in known.spectra.items():
            placed = known.targets.get(row["target_id"], {}).get("ra") is not None
            hidden = not {".", row["observation"]}.isdisjoint(scanned.broken)  # its folder cannot be read
            hidden = hidden or row["fits_path"].rpartition("/")[2] in unreadable
            if name not in self.spectra and placed and hidden:
                self.spectra[name] = row
        self._one_per_grating()
        self.removed = set(known.spectra) - set(self.spectra)
        self.targets = self._targets()
        self.objects = Objects()

    def _spectrum(self, name: str, found: Found) -> None:
        former = self.known.spectra.get(name)
        row = dict(former or {"id": None, "spectrum_id": name, "dq_flags": 0, "created_at": self.now})
        row["redshift_auto"] = found.redshift_auto
        if found.facts is not None:
            row |= {
                "target_id": found.name.target_id,
                "grating": found.facts["grating"],
                "fits_path": self._fits_path(found, former),
                "file_hash": found.facts["file_hash"],
                "file_size": found.facts["file_size"],
                "signal_to_noise": found.facts["signal_to_noise"],
                "exposure_time": found.facts["exposure_time"],
                "reduction_version": found.facts["reduction_version"],
                "program_slug": row.get("program_slug") or self._program(found),
                "observation": found.name.observation,
            }
        row["field"] = self._place(found, row.get("field"))
        if row != former:
            (self.added if former is None else self.updated).add(name)
            row["updated_at"] = self.now
        self.spectra[name] = row

    def _fits_path(self, found: Found, former: Row | None) -> str:
        """Return the name in the archive: the one it had, as long as the file is called that."""
        observation, name = found.name.observation, found.path.name
        if former is not None and former["observation"] == observation:
            path = str(former["fits_path"] or "")
            if path.rpartition("/")[2] == name:
                return path
        return f"spectra/{observation}/{name}"

    def _program(self, found: Found) -> str:
        """Return the slug of a file's program: the one with its JWST number, which is made where unknown."""
        text = found.facts["program"] if found.facts else None
        number = str(text).strip().lstrip("0") if text else ""
        if not number:
            return UNKNOWN_PROGRAM
        for slug, row in (self.known.programs | self.programs).items():
            if number in str(row["jwst_program"] or "").split(";"):
                return slug
        slug = f"jwst-{number}".lower()
        self.programs[slug] = {
            "slug": slug,
            "program_name": f"JWST {number}",
            "pi_name": found.pi_name,
            "is_public": True,
            "jwst_program": number,
        }
        return slug

    def _place(self, found: Found, former: str | None) -> str:
        if self.field:
            return self.field
        if former and former != UNKNOWN_FIELD:
            return former
        ra, dec = (found.facts["ra"], found.facts["dec"]) if found.facts else (None, None)
        return (place_field(ra, dec) if ra is not None and dec is not None else None) or UNKNOWN_FIELD

    def _one_per_grating(self) -> None:
        """Keep the spectrum with the longest exposure where a target has several of one grating."""
        groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.spectra.values():
            groups[row["target_id"], row["grating"]].append(row)
        for rows in groups.values():
            rows.sort(key=lambda row: (-(row["exposure_time"] or 0.0), row["spectrum_id"]))
            for row in rows[1:]:
                name, kept = row["spectrum_id"], rows[0]["spectrum_id"]
                path = self.files[name].record.path if name in self.files else name
                self.broken[path] = f"same target and grating as {kept}, which has the longer exposure"
                del self.spectra[name]
                self.added.discard(name)
                self.updated.discard(name)

    def _targets(self) -> dict[str, Row]:
        """Return the targets: where they are is what the first of their spectra says."""
        targets: dict[str, Row] = {}
        for name in sorted(self.spectra):
            row = self.spectra[name]
            target_id = row["target_id"]
            if target_id in targets:
                continue
            found: Found | None = self.files.get(name)
            former: Row = self.known.targets.get(target_id, {})
            facts = found.facts if found is not None else None
            ra, dec = (facts["ra"], facts["dec"]) if facts is not None else (None, None)
            targets[target_id] = {
                "target_id": target_id,
                "ra": former.get("ra") if ra is None else ra,
                "dec": former.get("dec") if dec is None else dec,
                "program_slug": row["program_slug"],
                "observation": row["observation"],
                "field": row["field"],
                "source_id": found.name.source_id if found is not None else former.get("source_id"),
                "created_at": former.get("created_at") or self.now,
                "updated_at": former.get("updated_at"),
            }
        for target_id, spectra in self._by_target().items():
            targets[target_id]["redshift_auto"] = best_redshift(spectra)
        return targets

    def _by_target(self) -> dict[str, list[Row]]:
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in self.spectra.values():
            groups[row["target_id"]].append(row)
        return groups

    def arrange(self, radius: float) -> Objects:
        """Group the targets into objects."""
        owners = {
            name: row["object_pk"]
            for name, row in self.known.targets.items()
            if row["object_pk"] in self.known.objects
        }
        for pk, row in self.retired.items():
            owners = dict.fromkeys(row["targets"], pk) | owners
        touched = self.added | self.updated | self.removed
        altered = {
            row["target_id"]
            for name in touched
            for row in (self.spectra.get(name), self.known.spectra.get(name))
            if row is not None
        }
        everything = {**self.retired, **self.known.objects}
        return arrange(
            self.targets, self._by_target(), everything, owners, altered, radius=radius, now=self.now
        )

    def write(self, writer: Writer) -> None:
        """Write what has changed, and nothing if nothing has."""
        gone = {pk: row for pk, row in self.objects.gone.items() if pk in self.known.objects}
        targets = list(self._changed_targets())
        if self.added or self.updated or self.removed or gone or targets or self.objects.changed:
            writer.delete_spectra(self.removed)
            writer.delete_targets(set(self.known.targets) - set(self.targets))
            writer.delete_objects(row["object_id"] for row in gone.values())
            writer.put_programs(self._new_programs())
            writer.put_objects(self.objects.changed)
            writer.put_targets(targets)
            writer.put_spectra(self.spectra[name] for name in sorted(self.added | self.updated))
            writer.clear("observations")
            writer.put_observations(self._observations())
            writer.aggregate()
            writer.set_meta(_RETIRED, json.dumps(self._retire(gone)))
        record_files(
            writer,
            (item.record for name, item in self.files.items() if item.record != self.known.files.get(name)),
            self.removed,
        )

    def _new_programs(self) -> list[Row]:
        used = {row["program_slug"] for row in self.spectra.values()} - set(self.known.programs)
        plain: Row = {"pi_name": None, "is_public": True, "jwst_program": None}
        return [
            self.programs.get(slug, plain | {"slug": slug, "program_name": slug}) for slug in sorted(used)
        ]

    def _changed_targets(self) -> Iterable[Row]:
        for name, row in self.targets.items():
            former: Row = self.known.targets.get(name, {})
            owner = self.known.objects.get(former.get("object_pk", 0), {}).get("object_id")
            same = all(former.get(key) == value for key, value in row.items())
            if not same or owner != self.objects.owner[name]:
                yield row | {"object_id": self.objects.owner[name], "updated_at": self.now}

    def _retire(self, gone: Mapping[int, Row]) -> list[Row]:
        """Return the objects to remember though nothing is left of them: their files may come back."""
        left = [row for pk, row in self.retired.items() if pk in self.objects.gone]
        members: dict[int, list[str]] = defaultdict(list)
        for name, row in self.known.targets.items():
            members[row["object_pk"]].append(name)
        return left + [row | {"targets": sorted(members[pk])} for pk, row in sorted(gone.items())]

    def _observations(self) -> list[Row]:
        groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for row in self.spectra.values():
            groups[row["observation"], row["program_slug"], row["field"]].append(row)
        programs = self.known.programs | self.programs
        rows = []
        for key, spectra in sorted(groups.items()):
            former: Row = self.known.observations.get(key, {})
            versions = sorted(row["reduction_version"] for row in spectra if row["reduction_version"])
            counts: Row = {
                "observation": key[0],
                "program_slug": key[1],
                "field": key[2],
                "program_name": programs.get(key[1], {}).get("program_name") or key[1],
                "target_count": len({row["target_id"] for row in spectra}),
                "spectrum_count": len(spectra),
                "total_size_bytes": sum(row["file_size"] or 0 for row in spectra),
                "reduction_version": versions[-1] if versions else None,
            }
            rows.append(
                {"pointings": None, "n_patches_since_full": 0, "deployed_at": self.now, **former, **counts}
            )
        return rows
