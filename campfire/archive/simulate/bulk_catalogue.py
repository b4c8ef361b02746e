"""Catalogues of any size without files behind them, for tests of scale."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.archive.simulate.catalogue_rows import (
    Tables,
    object_summary,
    observation_row,
    program_rows,
    tag_rows,
    write_tables,
)
from campfire.archive.simulate.inspections import inspection, unique_names
from campfire.archive.simulate.instrument import GRATINGS
from campfire.archive.simulate.photometry import photometry_value
from campfire.archive.simulate.quality_flags import UNNAMED_BIT
from campfire.archive.simulate.survey import (
    FIELDS,
    PROGRAMS,
    TAGS,
    Field,
    Observation,
    Program,
    product_stem,
    timestamp,
)
from campfire.config import DataPaths
from campfire.errors import ValidationError
from campfire.flags import DQFlags
from campfire.formats.names import object_name

if TYPE_CHECKING:
    from numpy.random import Generator

    from campfire.typing import FloatArray, PathInput, Row

__all__ = ["make_catalogue"]

N_OBSERVATIONS = 150

# The last field lies around the pole, where right ascension means little.
_FIELDS = (
    *FIELDS,
    Field("egs", 214.900, 52.880, ("SIM EGS v0.9",)),
    Field("goods-s", 53.150, -27.800, ("SIM GOODS-S v0.9",)),
    Field("a2744", 3.586, -30.400, ("SIM A2744 v1.0",)),
    Field("macs1149", 177.401, 22.398, ("SIM M1149 v1.0",)),
    Field("bullet", 104.630, -55.950, ("SIM BULLET v1.0",)),
    Field("polaris", 40.0, 89.960, ("SIM POLARIS v1.0",)),
)
_SHARE = np.array([6.0, 8.0, 4.0, 2.0, 5.0, 5.0, 1.5, 1.0, 1.0, 0.5])
_HALF_SIZE = 0.12
"""Half the side of a field, degrees."""

# Pairs of slugs that differ only by - and _, which careless pattern matching takes for each other.
_PROGRAMS = (
    *PROGRAMS,
    *(
        Program(slug, slug.upper(), f"{chr(69 + number)}. Person", 7000 + 13 * number, number % 5 != 3)
        for number, slug in enumerate(
            (
                "deep_wide",
                "deep-wide",
                "lens_a",
                "lens-a",
                "lensxa",
                "first_light",
                "rubies",
                "capella",
                "egs_ddt",
                "south_gto",
                "cluster_1",
                "cluster_10",
            )
        )
    ),
)
_GRATING_SHARE = {
    "PRISM": 0.62,
    "G395M": 0.16,
    "G235M": 0.08,
    "G140M": 0.05,
    "G395H": 0.05,
    "G235H": 0.03,
    "G140H": 0.01,
}


def _plans() -> list[Observation]:
    """Return the observations, every field served by several programs."""
    plans = []
    for number in range(N_OBSERVATIONS):
        field = _FIELDS[number % len(_FIELDS)]
        program = _PROGRAMS[(number * 5 + number // len(_FIELDS)) % len(_PROGRAMS)]
        name = f"{program.slug}_{field.name.replace('-', '')}_p{number // len(_FIELDS) + 1}"
        date = str(np.datetime64("2022-09-01") + 9 * number)
        version = ("v0.2", "v0.3", "v0.5.0", "v0.5.1")[min(3, number // 40)]
        plans.append(
            Observation(
                name, program.slug, field.name, tuple(GRATINGS), 7.3 * number % 360.0, date, version, 0.0
            )
        )
    return plans


def _positions(fields: np.ndarray[Any, Any], rng: Generator) -> tuple[FloatArray, FloatArray]:
    """Scatter objects over their fields; right ascension in [0, 360)."""
    centre_ra = np.array([field.ra for field in _FIELDS])[fields]
    centre_dec = np.array([field.dec for field in _FIELDS])[fields]
    east, north = rng.uniform(-_HALF_SIZE, _HALF_SIZE, (2, fields.size))
    dec = centre_dec + north
    # Beyond the pole a circle of declination comes back on the other side.
    over = dec > 90.0
    ra = centre_ra + east / np.cos(np.radians(np.minimum(dec, 89.99)))
    return np.where(over, ra + 180.0, ra) % 360.0, np.where(over, 180.0 - dec, dec)


def _flags(number: int, rng: Generator) -> list[int]:
    """Draw data-quality masks: most are 0, some bits come together, a few have no name."""
    rates = dict.fromkeys(DQFlags, 0.015) | {
        DQFlags.CHIP_GAP: 0.05,
        DQFlags.CONTAMINATION: 0.06,
        DQFlags.LOW_SNR: 0.12,
    }
    masks = np.zeros(number, dtype=np.int64)
    for flag, rate in rates.items():
        masks |= np.where(rng.random(number) < rate, int(flag), 0)
    masks |= np.where(rng.random(number) < 0.003, UNNAMED_BIT, 0)
    values: list[int] = masks.tolist()
    return values


def _nullable(values: FloatArray, rate: float, rng: Generator) -> list[float | None]:
    """Return plain numbers, some of them unknown."""
    unknown = rng.random(values.size) < rate
    return [None if gone else value for value, gone in zip(values.tolist(), unknown.tolist(), strict=True)]


def _members(
    fields: np.ndarray[Any, Any], redshifts: FloatArray, plans: list[Observation], rng: Generator
) -> list[tuple[int, Observation, int, str]]:
    """Return (object, observation, source id, grating) of every spectrum, object after object."""
    of_field = [[plan for plan in plans if plan.field == field.name] for field in _FIELDS]
    number = fields.size
    n_targets = rng.choice([1, 2, 3], number, p=[0.82, 0.15, 0.03]).tolist()
    starts = rng.integers(0, 1000, number).tolist()
    names = list(_GRATING_SHARE)
    first = rng.choice(len(names), (number, 3), p=list(_GRATING_SHARE.values())).tolist()
    more = (rng.random((number, 3)) < 0.18).tolist()
    members = []
    for index, (field, targets, start) in enumerate(zip(fields.tolist(), n_targets, starts, strict=True)):
        choices = of_field[field]
        for visit in range(min(targets, len(choices))):
            plan = choices[(start + visit) % len(choices)]
            grating = first[index][visit]
            members.append((index, plan, 1000 + index, names[grating]))
            if more[index][visit]:
                members.append((index, plan, 1000 + index, names[(grating + 1) % len(names)]))
    return members


def _spectra(
    members: list[tuple[int, Observation, int, str]],
    redshifts: FloatArray,
    object_ids: list[str],
    rng: Generator,
) -> list[Row]:
    """Return the rows of all spectra."""
    number = len(members)
    truth = redshifts[[index for index, *_ in members]]
    fitted = truth + 1e-3 * (1.0 + truth) * rng.standard_normal(number)
    outlier = rng.random(number) < 0.06
    fitted = np.abs(np.where(outlier, rng.uniform(0.0, 12.0, number), fitted))
    automatic = _nullable(fitted, 0.05, rng)
    snr = _nullable(10.0 ** rng.normal(0.9, 0.45, number), 0.01, rng)
    times = (875.333 * rng.integers(1, 40, number)).round(3).tolist()
    sizes = rng.integers(120_000, 2_400_000, number).tolist()
    hashless = (rng.random(number) < 0.01).tolist()
    masks = _flags(number, rng)
    made = (100.0 * rng.random(number)).tolist()
    rows = []
    for k, (index, plan, source_id, grating) in enumerate(members):
        stem = product_stem(plan.name, grating, source_id)
        digest = hashlib.sha256(f"{stem}:{sizes[k]}".encode()).hexdigest()
        rows.append(
            {
                "id": k + 31,
                "spectrum_id": stem,
                "target_id": f"{plan.name}_{source_id}",
                "object_id": object_ids[index],
                "grating": grating,
                "fits_path": f"spectra/{plan.name}/{stem}_spec.fits",
                "file_hash": None if hashless[k] else f"sha256:{digest}",
                "file_size": sizes[k],
                "signal_to_noise": snr[k],
                "exposure_time": times[k],
                "reduction_version": plan.version,
                "redshift_auto": automatic[k],
                "dq_flags": masks[k],
                "program_slug": plan.program,
                "observation": plan.name,
                "field": plan.field,
                "created_at": timestamp(made[k], zone=False, digits=k % 7),
                "updated_at": timestamp(made[k] + 200.0, digits=k % 7),
            }
        )
    return rows


def _photometry(
    tables: Tables, fields: np.ndarray[Any, Any], redshifts: FloatArray, rng: Generator
) -> list[Row]:
    """Return photometric records: none for a quarter of the objects, two for some."""
    rows: list[Row] = []
    number = len(tables.objects)
    copies = rng.choice([0, 1, 2], number, p=[0.25, 0.65, 0.10]).tolist()
    level = 10.0 ** rng.normal(-0.9, 0.6, number)
    scatter = 0.05 * (1.0 + redshifts) * rng.standard_normal(number)
    best = np.maximum(0.01, redshifts + scatter)
    widths = rng.uniform(0.02, 0.08, (2, number)) * (1.0 + best)
    for index, (row, field) in enumerate(zip(tables.objects, fields.tolist(), strict=True)):
        catalogues = (*_FIELDS[field].catalogues, "SIM EXTRA v0.1")
        for copy in range(copies[index]):
            rows.append(
                {
                    "id": len(rows) + 90,
                    "object_id": row["object_id"],
                    "field": row["field"],
                    "catalog_name": catalogues[copy],
                    "catalog_id": str(index),
                    "match_distance_arcsec": round(0.02 + 0.05 * copy, 4),
                    "photometry": photometry_value(float(level[index]), rng),
                    "photo_z": round(float(best[index]), 4),
                    "photo_z_err_lo": round(max(0.0, float(best[index] - widths[0, index])), 4),
                    "photo_z_err_hi": round(float(best[index] + widths[1, index]), 4),
                    "has_pz": copy == 0,
                    "created_at": timestamp(10.0, digits=0),
                    "updated_at": timestamp(30.0 + index / 3600.0, digits=4),
                }
            )
    return rows


def make_catalogue(root: PathInput, *, objects: int = 33_000, seed: int = 0) -> Tables:
    """Make a catalogue of thousands of rows; no FITS file is written.

    Vocabulary and traps are those of ``make_archive``; beyond them there are
    a field around the pole, slugs that differ by ``-`` and ``_`` only, unknown values in most columns that
    may be unknown, and data-quality bits without a name.

    Parameters
    ----------
    root
        Data root: ``meta/campfire.db`` is made below it.
    objects
        How many; spectra are about 1.4 times as many.
    seed
        The same seed gives the same rows.

    Returns
    -------
    Tables
        The rows that were written, to compare with.

    Raises
    ------
    ValidationError
        If ``objects`` is not positive, or ``root`` holds a catalogue already.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     tables = make_catalogue(root, objects=40)
    >>> len(tables.objects)
    40
    """
    if objects < 1 or seed < 0:
        raise ValidationError(f"objects={objects!r}, seed={seed!r}", hint="at least 1 object, seed from 0 on")
    paths = DataPaths.resolve(root)
    if paths.database.exists():
        raise ValidationError(
            f"{paths.root} holds a catalogue already", hint="name another folder", path=paths.database
        )
    rng = np.random.default_rng([seed, 7])
    plans = _plans()
    fields = rng.choice(len(_FIELDS), objects, p=_SHARE / _SHARE.sum())
    ra, dec = _positions(fields, rng)
    redshifts = rng.gamma(2.4, 1.5, objects).clip(0.0, 13.5)
    object_ids = unique_names([object_name(*at) for at in zip(ra.tolist(), dec.tolist(), strict=True)])
    tables = Tables(programs=program_rows(_PROGRAMS))
    members = _members(fields, redshifts, plans, rng)
    tables.spectra = _spectra(members, redshifts, object_ids, rng)

    grouped: list[list[Row]] = [[] for _ in range(objects)]
    for (index, *_), row in zip(members, tables.spectra, strict=True):
        grouped[index].append(row)
    qualities = rng.choice(5, objects, p=[0.35, 0.05, 0.10, 0.15, 0.35]).tolist()
    system = [tag.slug for tag in TAGS]
    tagged = rng.random((objects, len(system))) < 0.02
    for index, rows in enumerate(grouped):
        summary = object_summary(rows)
        tags = [system[k] for k in np.flatnonzero(tagged[index])]
        seen = inspection(index, qualities[index], float(redshifts[index]), summary["redshift_auto"], rng)
        tables.objects.append(
            {
                "id": index + 7,
                "object_id": object_ids[index],
                "field": _FIELDS[fields[index]].name,
                "ra": float(ra[index]),
                "dec": float(dec[index]),
                **summary,
                **seen,
                "is_active": True,
                "created_at": timestamp(1.0, digits=0),
                "lists": tags,
            }
        )
        tables.memberships += [(object_ids[index], slug) for slug in tags]
        known: set[str] = set()
        for row in rows:
            if row["target_id"] in known:
                continue
            known.add(row["target_id"])
            tables.targets.append(
                {
                    "target_id": row["target_id"],
                    "object_id": object_ids[index],
                    "ra": float(ra[index]),
                    "dec": float(dec[index]),
                    "program_slug": row["program_slug"],
                    "observation": row["observation"],
                    "field": row["field"],
                    "source_id": 1000 + index,
                    "redshift_auto": row["redshift_auto"],
                    "created_at": row["created_at"],
                    "updated_at": row["created_at"],
                }
            )
    tables.photometry = _photometry(tables, fields, redshifts, rng)
    tables.tags = tag_rows(tables.memberships)
    by_observation: dict[str, list[Row]] = {}
    for row in tables.spectra:
        by_observation.setdefault(row["observation"], []).append(row)
    for plan in plans:
        rows = by_observation.get(plan.name, [])
        if rows:
            count = len({row["target_id"] for row in rows})
            tables.observations.append(observation_row(plan, rows, count, _PROGRAMS))
    write_tables(paths, tables)
    return tables
