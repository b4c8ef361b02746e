"""Make a simulated archive: catalogue, FITS products, redshift fits, mosaics, and the truth behind them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from campfire.archive.simulate.catalogue_rows import write_tables
from campfire.archive.simulate.continuum import DENSE_WAVE
from campfire.archive.simulate.imaging import Blob, write_mosaics
from campfire.archive.simulate.inspections import ObjectRecord, catalogue_tables, unique_names
from campfire.archive.simulate.instrument import GRATINGS, Grating, SlitLoss, observed_flam, pixel_edges
from campfire.archive.simulate.noise import DJA, NoiseModel
from campfire.archive.simulate.observe import Extraction, Setup, combine_groups, observe
from campfire.archive.simulate.photometry import band_fluxes
from campfire.archive.simulate.products import spec_product
from campfire.archive.simulate.quality_flags import Mishaps, draw_mishaps, measured_flags, stray_light
from campfire.archive.simulate.shutters import Slitlet, draw_slitlet
from campfire.archive.simulate.sources import Source, draw_kind, draw_source, earned_tags
from campfire.archive.simulate.survey import (
    FIELDS,
    OBSERVATIONS,
    PROGRAMS,
    Field,
    Observation,
    day,
    place_objects,
    product_stem,
    timestamp,
    visits_of,
)
from campfire.archive.simulate.truth import TRUTH_FILES, ObjectTruth, SpectrumTruth, Truth
from campfire.archive.simulate.zfit import chi_square_curve, shifted_model
from campfire.config import DataPaths
from campfire.errors import ValidationError
from campfire.formats.names import object_name
from campfire.formats.spec_reader import product_facts
from campfire.formats.spec_writer import write_product
from campfire.formats.zfit import write_zfit
from campfire.units import flam_to_fnu

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

    from campfire.typing import FloatArray, PathInput, ProgressCallback, Row

__all__ = ["make_archive"]

# Streams of random numbers: each part has its own, so that one more draw here changes nothing there.
_SOURCES, _PLACES, _VISITS, _IMAGES = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class _Visit:
    """One object in one observation."""

    plan: Observation
    source_id: int
    slitlet: Slitlet
    loss: SlitLoss

    @property
    def target_id(self) -> str:
        return f"{self.plan.name}_{self.source_id}"


class _Maker:
    """Writes the products of an archive and collects the truth about them."""

    def __init__(self, root: Path, seed: int, noise: NoiseModel) -> None:
        self.noise = noise
        self.paths = DataPaths(root)
        self.seed = seed
        self.spectra: list[SpectrumTruth] = []
        self.models: dict[str, FloatArray] = {}

    def source_id(self, index: int, plan: Observation) -> int:
        """Number of an object in the catalogue of a program: the same in all its observations."""
        number = next(n for n, program in enumerate(PROGRAMS) if program.slug == plan.program)
        # Steps that share no factor with the range never repeat; the first object of EMBER-UDS is 123456.
        return 100_000 + (23_456 + (number - 1) * 211_111 + index * 7_919) % 899_981

    def visit(self, record: ObjectRecord, plan: Observation, gratings: tuple[str, ...]) -> None:
        """Observe one object in one observation and write everything that comes of it."""
        number = next(n for n, other in enumerate(_plans_of(record.field)) if other is plan)
        rng = np.random.default_rng([self.seed, _VISITS, record.index, number])
        mishaps = draw_mishaps(record.index, number, rng)
        ra = (record.ra + rng.normal(0.0, 0.012) / 3600.0 / np.cos(np.radians(record.dec))) % 360.0
        dec = record.dec + rng.normal(0.0, 0.012) / 3600.0
        slitlet = draw_slitlet(float(ra), float(dec), plan.v3pa, stuck=mishaps.stuck, rng=rng)
        visit = _Visit(plan, self.source_id(record.index, plan), slitlet, _draw_loss(mishaps, rng))
        shutters = slitlet.shutters(visit.target_id, visit.source_id, plan.name)
        record.shutters += [row | {"field": record.field.name} for row in shutters]
        rows = [self.spectrum(record, visit, GRATINGS[name], mishaps, rng) for name in gratings]
        record.spectra += rows
        fitted = [row["redshift_auto"] for row in rows if row["redshift_auto"] is not None]
        made = timestamp(day("2026-01-08") + record.index / 30.0, zone=False, digits=3)
        record.targets.append(
            {
                "target_id": visit.target_id,
                "ra": slitlet.ra,
                "dec": slitlet.dec,
                "program_slug": plan.program,
                "observation": plan.name,
                "field": record.field.name,
                "source_id": visit.source_id,
                "redshift_auto": fitted[0] if fitted else None,
                "created_at": made,
                "updated_at": made,
            }
        )

    def spectrum(
        self, record: ObjectRecord, visit: _Visit, grating: Grating, mishaps: Mishaps, rng: Generator
    ) -> Row:
        """Take, extract and write one spectrum with its fit; return its catalogue row."""
        source, plan = record.source, visit.plan
        edges = pixel_edges(grating, plan.phase)
        wave = 0.5 * (edges[1:] + edges[:-1])
        flam = observed_flam(source, source.continuum.flam(DENSE_WAVE), grating, plan.phase)
        model = flam_to_fnu(flam, wave) * visit.loss(wave)
        model = model * self.noise.step(wave, float(np.mean(grating.gap or grating.wave_range)))
        stray = stray_light(mishaps, grating, wave, model)
        setup = Setup(
            grating=grating.name,
            exposure_time=round(
                float(rng.uniform(4.0, 14.0 if grating.kind == "prism" else 22.0)) * 875.333, 3
            ),
            radius=source.radius,
            neighbour=0.6 if mishaps.neighbour else 0.0,
            corrupted=mishaps.corrupted == grating.name,
            groups=mishaps.groups if grating.kind != "high" else 1,
            detected=_detected(model, wave, grating),
            noise=self.noise,
        )
        extraction = _expose(model + stray, wave, setup, rng)
        wave = wave + self.noise.shift(grating.name) * np.diff(edges)
        spectrum_id = product_stem(plan.name, grating.name, visit.source_id)
        path = self.paths.product(plan.name, f"{spectrum_id}_spec.fits")
        path.parent.mkdir(parents=True, exist_ok=True)
        product = spec_product(path.name, setup, plan, visit.slitlet, visit.source_id, wave, extraction)
        write_product(path, product)
        facts = product_facts(path)

        redshift: float | None = None
        if mishaps.fitted:
            noise = extraction.columns["fnu_err"]
            curve = chi_square_curve(source, wave, model, noise, grating, rng)
            redshift = curve.best
            write_zfit(
                path.with_name(f"{spectrum_id}_zfit.fits"),
                {
                    "redshift": curve.best,
                    "zqual": 0,
                    "confidence": curve.confidence,
                    "chi2_min": float(curve.chi2.min()),
                    "z": curve.z,
                    "chi2": curve.chi2,
                    "model_wave": wave,
                    "model_fnu": shifted_model(wave, model, source.redshift, curve.best),
                },
            )
        self.models[spectrum_id] = (model + stray) * extraction.captured
        self.spectra.append(
            SpectrumTruth(
                spectrum_id=spectrum_id,
                target_id=visit.target_id,
                object_id="",
                grating=grating.name,
                slit_loss=visit.loss.coefficients,
                captured=extraction.captured,
                contaminated=bool(stray.any()),
            )
        )
        deployed = day("2026-01-10") + len(self.spectra) / 20.0
        snr = facts["signal_to_noise"]
        return {
            "spectrum_id": spectrum_id,
            "target_id": visit.target_id,
            "grating": grating.name,
            "fits_path": f"spectra/{plan.name}/{path.name}",
            "file_hash": facts["file_hash"],
            "file_size": facts["file_size"],
            "signal_to_noise": snr,
            "exposure_time": facts["exposure_time"],
            "reduction_version": facts["reduction_version"],
            "redshift_auto": redshift,
            "dq_flags": mishaps.flags(grating) | measured_flags(snr, grating),
            "program_slug": plan.program,
            "observation": plan.name,
            "field": plan.field,
            "created_at": timestamp(deployed, zone=False, digits=4),
            "updated_at": timestamp(deployed + 2.5, digits=6),
        }


def _plans_of(field: Field) -> list[Observation]:
    """Return the observations of a field."""
    return [plan for plan in OBSERVATIONS if plan.field == field.name]


def _draw_loss(mishaps: Mishaps, rng: Generator) -> SlitLoss:
    """Draw the light that a visit records: a level of its own, falling to the red as the image grows."""
    level = float(rng.uniform(0.66, 0.94)) * (0.6 if mishaps.stuck else 1.0)
    tilt, bend, twist = (float(value) for value in rng.normal((-0.07, 0.01, 0.0), (0.05, 0.02, 0.008)))
    return SlitLoss(tuple(round(value, 6) for value in (level, level * tilt, level * bend, level * twist)))


def _detected(model: FloatArray, wave: FloatArray, grating: Grating) -> bool:
    """Tell whether a spatial profile can be measured: in the mean, or in a line."""
    ratio = model / grating.noise(wave, 7000.0)
    return bool(np.median(ratio) > 0.3 or ratio.max() > 4.0)


def _expose(fnu: FloatArray, wave: FloatArray, setup: Setup, rng: Generator) -> Extraction:
    """Observe in one group, or in several that are then combined."""
    if setup.groups == 1:
        return observe(fnu, wave, setup, rng)
    times = setup.exposure_time * rng.dirichlet(np.full(setup.groups, 12.0))
    return combine_groups(
        [observe(fnu, wave, replace(setup, exposure_time=float(t)), rng) for t in times], times
    )


def _object_truth(record: ObjectRecord) -> ObjectTruth:
    source = record.source
    shape = source.continuum
    star = source.kind == "star"
    return ObjectTruth(
        object_id=record.object_id,
        field=record.field.name,
        ra=record.ra,
        dec=record.dec,
        kind=source.kind,
        redshift=source.redshift,
        beta=shape.slope(0.15, 0.30) if not star else shape.slope(1.0, 2.0),
        a_v=shape.a_v,
        balmer_break=1.0 if star else shape.balmer_break(),
        radius=source.radius,
        axis_ratio=source.axis_ratio,
        angle=source.angle,
        broad_fwhm=source.broad_fwhm(),
        lines={line.name: line.flux for line in source.lines},
        line_waves={line.name: line.wave for line in source.lines},
        fluxes=record.fluxes,
        earned_tags=earned_tags(source),
        target_ids=[row["target_id"] for row in record.targets],
        spectrum_ids=[row["spectrum_id"] for row in record.spectra],
    )


def _draw_records(objects: int, seed: int) -> list[ObjectRecord]:
    """Draw the objects, field after field in turn, with their positions."""
    records: list[ObjectRecord] = []
    for index in range(objects):
        rng = np.random.default_rng([seed, _SOURCES, index])
        source: Source = draw_source(draw_kind(index, rng), rng)
        field = FIELDS[index % len(FIELDS)]
        fluxes = band_fluxes(source, source.continuum.flam(DENSE_WAVE), field.catalogues)
        records.append(ObjectRecord(index, field, source, fluxes))
    for number, field in enumerate(FIELDS):
        members = [record for record in records if record.field is field]
        if members:
            rng = np.random.default_rng([seed, _PLACES, number])
            for record, ra, dec in zip(members, *place_objects(field, len(members), rng), strict=True):
                record.ra, record.dec = float(ra), float(dec)
    return records


def _name_objects(records: list[ObjectRecord]) -> None:
    """Move each object to the mean of its targets and name it after that position."""
    for record in records:
        # Differences from the first target, so that the mean holds across RA 0.
        first = record.targets[0]["ra"]
        shifts = [(row["ra"] - first + 180.0) % 360.0 - 180.0 for row in record.targets]
        record.ra = float((first + np.mean(shifts)) % 360.0)
        record.dec = float(np.mean([row["dec"] for row in record.targets]))
    names = unique_names([object_name(record.ra, record.dec) for record in records])
    for record, name in zip(records, names, strict=True):
        record.object_id = name


def _write_images(paths: DataPaths, records: list[ObjectRecord], seed: int) -> None:
    for number, field in enumerate(FIELDS):
        members = [record for record in records if record.field is field]
        if not members:
            continue
        blobs = [
            Blob(
                ((record.ra - field.ra + 180.0) % 360.0 - 180.0) * 3600.0 * np.cos(np.radians(field.dec)),
                (record.dec - field.dec) * 3600.0,
                record.source.radius,
                record.source.axis_ratio,
                record.source.angle,
                record.fluxes,
            )
            for record in members
        ]
        write_mosaics(paths.imaging, field, blobs, np.random.default_rng([seed, _IMAGES, number]))


def make_archive(
    root: PathInput,
    *,
    objects: int = 60,
    seed: int = 0,
    noise: NoiseModel = DJA,
    progress: ProgressCallback | None = None,
) -> Truth:
    """Make a simulated archive: catalogue, FITS products, redshift fits, mosaics, and its truth.

    Parameters
    ----------
    root
        Data root: ``meta/campfire.db``, ``products/``, ``imaging/`` and ``truth.json`` are made below it.
    objects
        Exactly how many objects. From 20 on there is some of everything: four fields (one straddling RA 0,
        one at declination 62), four programs (one not public), nine observations, five gratings and more,
        every redshift quality, tags, data-quality flags, repeated visits, objects without photometry.
    seed
        The same seed gives the same files, byte for byte.
    noise
        How noise, level and wavelengths differ from what files say: by default as in files of the DAWN JWST
        Archive. ``WHITE`` of :mod:`campfire.archive.simulate.noise` is as stated, ``PIPELINE`` like x1d files
        of the JWST pipeline; ``NoiseModel`` has outliers, a step between detectors, shifted wavelengths.
    progress
        Called as ``progress("objects", done, total)``.

    Returns
    -------
    Truth
        What is true of every object and spectrum.

    Raises
    ------
    ValidationError
        If ``objects`` is not positive, or ``root`` holds anything already that would be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     truth = make_archive(root, objects=1)
    >>> truth.objects[0].target_ids[0]
    'ember_uds_p4_123456'
    """
    if objects < 1 or seed < 0:
        raise ValidationError(f"objects={objects!r}, seed={seed!r}", hint="at least 1 object, seed from 0 on")
    paths = DataPaths.resolve(root)
    database = [
        paths.database.with_name(paths.database.name + end) for end in ("", "-wal", "-shm", "-journal")
    ]
    truths = [paths.root / name for name in TRUTH_FILES]
    for taken in (*database, paths.products, paths.imaging, *truths):
        if os.path.lexists(taken):  # a link that leads nowhere too: it would be written through
            raise ValidationError(
                f"{paths.root} holds {taken.relative_to(paths.root)} already",
                hint="name a new folder",
                path=taken,
            )
    paths.meta.mkdir(parents=True, exist_ok=True)
    records = _draw_records(objects, seed)
    maker = _Maker(paths.root, seed, noise)
    for done, record in enumerate(records):
        if progress is not None:
            progress("objects", done, objects)
        for plan, gratings in visits_of(record.index // len(FIELDS), record.field.name):
            maker.visit(record, plan, gratings)
    _name_objects(records)
    _write_images(paths, records, seed)
    owners = {row["spectrum_id"]: record.object_id for record in records for row in record.spectra}
    truth = Truth(
        seed=seed,
        noise=noise,
        objects=[_object_truth(record) for record in records],
        spectra=[replace(item, object_id=owners[item.spectrum_id]) for item in maker.spectra],
        models=maker.models,
    )
    truth.write(paths.root)
    # The catalogue comes last: a folder that has one is complete.
    write_tables(paths, catalogue_tables(records, seed))
    if progress is not None:
        progress("objects", objects, objects)
    return truth
