"""Finding products on disk and reading what a catalogue needs to know of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from campfire.config import DataPaths, safe_component
from campfire.errors import CampfireError, ValidationError
from campfire.formats.fits import ProductFacts, product_facts, read_header
from campfire.formats.names import ProductName, parse_foreign_name, parse_product_name, spectrum_name
from campfire.formats.zfit import read_zfit
from campfire.store.files import FileRecord
from campfire.store.serving.indexing import Indexed

__all__ = ["Found", "Scanned", "scan"]

_FITS = re.compile(r"\.fits(\.gz)?$", re.IGNORECASE)
_SPECTRUM = re.compile(r"[._-](spec|[xc]1d)([._-][a-z0-9]+)*\.fits(\.gz)?$", re.IGNORECASE)
_TEMPORARY = re.compile(r"_g\d+_spec\.fits$")  # of single groups: the pipeline leaves them behind
_FIT = "_zfit.fits"
_ELSEWHERE = {"meta", "imaging", "cutouts", "cache", "previews"}  # of a data root: no spectra
_NO_NAME = "a CAMPFIRE product not named OBSERVATION_GRATING_FILTER_SOURCE_spec.fits, in lowercase"


@dataclass(frozen=True, slots=True)
class SpectrumName:
    """What a spectrum is called: by the name of its file, and for others' files by their header."""

    spectrum_id: str
    observation: str
    target_id: str
    source_id: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """One spectrum file; ``facts`` is None where it is the file the catalogue knows already."""

    name: SpectrumName
    path: Path
    record: FileRecord
    facts: ProductFacts | None
    redshift_auto: float | None
    pi_name: str | None = None


@dataclass(frozen=True, slots=True)
class Scanned:
    """Spectra by id; what could not be read: path below the root -> why; and what is left out, likewise."""

    found: dict[str, Found]
    broken: dict[str, str]
    ignored: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file that may be a spectrum, and what it is then called."""

    path: Path
    spectrum_id: str
    product: ProductName | None


def scan(
    paths: DataPaths, known: Indexed, since: float, note: Callable[[int, int], None] | None = None
) -> Scanned:
    """Read every spectrum below the root that is new or has changed.

    Products of CAMPFIRE lie in ``products/<observation>/``. Other files are taken from anywhere; what lies
    elsewhere than in a folder of ``products/`` gets a second name (a hard link) there, under which it is
    served. Files themselves are neither moved nor changed.

    Parameters
    ----------
    paths
        The data root.
    known
        The catalogue.
    since
        When it was last indexed (seconds, Unix): redshift fits older than that are not read again.
    note
        Called with how many of how many files were looked at.
    """
    ignored: dict[str, str] = {}
    candidates = sorted(_candidates(paths, ignored), key=lambda item: (item.spectrum_id, item.path))
    found: dict[str, Found] = {}
    broken: dict[str, str] = {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        results = pool.map(lambda item: _read(paths, item, known, since), candidates)
        for count, (item, (spectrum, problems)) in enumerate(zip(candidates, results, strict=True), 1):
            for path, why in problems:
                likely = item.product is not None or _SPECTRUM.search(path.name)
                (broken if likely and why != _NO_NAME else ignored)[_relative(paths, path)] = why
            if spectrum is not None:
                former = found.get(item.spectrum_id)
                if former is None:
                    try:
                        _place(paths, item.path, spectrum.record)
                        found[item.spectrum_id] = spectrum
                    except CampfireError as err:
                        broken[_relative(paths, item.path)] = _why(err)
                elif not os.path.samefile(former.path, item.path):
                    where = _relative(paths, former.path)
                    broken[_relative(paths, item.path)] = f"{item.spectrum_id} is there twice, in {where}"
            if note is not None:
                note(count, len(candidates))
    return Scanned(found, broken, ignored)


def _relative(paths: DataPaths, path: Path) -> str:
    base = paths.products if path.is_relative_to(paths.products) else paths.root
    return path.relative_to(base).as_posix()


def _candidates(paths: DataPaths, ignored: dict[str, str]) -> Iterator[_Candidate]:
    """Yield the files that may be spectra; note why others are not."""
    for where, folders, names in os.walk(paths.root):  # links to folders are not followed
        folder = Path(where)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not (folder == paths.root and name in _ELSEWHERE)
        )
        for name in sorted(names):
            path = folder / name
            if name.startswith(".") or not _FITS.search(name) or _TEMPORARY.search(name):
                continue
            if name.endswith(_FIT) and path.with_name(name.removesuffix(_FIT) + "_spec.fits").exists():
                continue
            product = parse_product_name(name)
            if product is not None and product.kind == "spec":
                if folder == paths.products / product.observation:
                    yield _Candidate(path, product.spectrum_id, product)
                else:
                    ignored[_relative(paths, path)] = (
                        f"named for the observation {product.observation}, and not in its folder "
                        f"products/{product.observation}"
                    )
            elif path.is_symlink() and not _leads_inside(path, paths.root):
                ignored[_relative(paths, path)] = "a link that leads out of the root"
            else:
                yield _Candidate(path, spectrum_name(name), None)


def _leads_inside(link: Path, root: Path) -> bool:
    return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(root))


Problems = list[tuple[Path, str]]


def _read(paths: DataPaths, item: _Candidate, known: Indexed, since: float) -> tuple[Found | None, Problems]:
    try:
        return _look(paths, item, known, since)
    except (CampfireError, OSError) as err:
        return None, [(item.path, _why(err))]


def _look(paths: DataPaths, item: _Candidate, known: Indexed, since: float) -> tuple[Found | None, Problems]:
    path, spectrum_id = item.path, item.spectrum_id
    stat = path.stat()
    facts: ProductFacts | None = None
    pi_name: str | None = None
    record, row = known.files.get(spectrum_id), known.spectra.get(spectrum_id)
    target = known.targets.get(row["target_id"], {}) if row else {}
    placed = target.get("ra") is not None
    same = placed and record is not None and (record.size, record.mtime) == (stat.st_size, stat.st_mtime)
    if record is not None and row is not None and same and row["file_hash"] == record.hash:
        name = SpectrumName(spectrum_id, row["observation"], row["target_id"], target.get("source_id"))
    else:
        facts = product_facts(path)
        header = read_header(path)
        if item.product is None and "CMPFRVER" in header:
            raise ValidationError(_NO_NAME)
        name = _product(item.product) if item.product else _foreign(paths, path, facts)
        placed = known.targets.get(name.target_id, {}).get("ra") is not None
        if facts["ra"] is None and not placed:
            raise ValidationError(f"{path.name} does not say where its source is", hint="SRCRA, SRCDEC")
        if facts["grating"] == "unknown":
            grating = parse_foreign_name(path.name).grating
            if grating is None:
                raise ValidationError(f"{path.name} does not say its disperser", hint="GRATING")
            facts = {**facts, "grating": grating}
        given = header.get("PI_NAME")
        pi_name = given if isinstance(given, str) else None
        record = FileRecord(
            spectrum_id,
            f"{name.observation}/{path.name}",
            facts["file_hash"],
            stat.st_size,
            stat.st_mtime,
            "found",
        )
    redshift, problems = _redshift(path, row["redshift_auto"] if row and facts is None else None, since)
    return Found(name, path, record, facts, redshift, pi_name), problems


def _product(name: ProductName) -> SpectrumName:
    safe_component(name.observation, "observation")
    return SpectrumName(name.spectrum_id, name.observation, name.target_id, name.source_id)


def _foreign(paths: DataPaths, path: Path, facts: ProductFacts) -> SpectrumName:
    """Name a spectrum that CAMPFIRE did not make: by its folder below products/, else by its own name."""
    said = parse_foreign_name(path.name)
    in_place = path.parent.parent == paths.products
    observation = path.parent.name if in_place else said.observation or path.parent.name
    if not in_place and path.parent in (paths.root, paths.products):
        observation = said.observation or "files"
    safe_component(observation, "observation")
    spectrum_id = safe_component(spectrum_name(path.name), "name of a spectrum")
    source = facts["source_id"] if facts["source_id"] is not None else said.source
    target = spectrum_id if source is None else f"{observation}_{source}"
    number = int(source) if source is not None and str(source).isdecimal() else None
    return SpectrumName(spectrum_id, observation, target, number)


def _place(paths: DataPaths, path: Path, record: FileRecord) -> None:
    """Give a file that lies elsewhere a second name where it is served from."""
    place = paths.products / record.path
    if place == path:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(os.path.realpath(path), place)
    except FileExistsError:
        if not os.path.samefile(path, place):
            raise ValidationError(
                f"another file of this name is in products/{place.parent.name}", hint="rename one of them"
            ) from None
    except OSError as err:
        raise ValidationError(
            f"it cannot be linked into products/{place.parent.name} ({err.strerror})", hint="move it there"
        ) from err


def _redshift(path: Path, known: float | None, since: float) -> tuple[float | None, Problems]:
    """Return the redshift of least chi-square of the fit beside a spectrum; None where there is no fit."""
    fit = path.with_name(path.name.removesuffix("_spec.fits") + _FIT)
    try:
        if known is not None and fit.stat().st_mtime < since:
            return known, []
        return read_zfit(fit)["redshift"], []
    except (FileNotFoundError, LookupError):
        return None, []
    except (CampfireError, OSError) as err:
        return known, [(fit, _why(err))]


def _why(error: Exception) -> str:
    return error.message if isinstance(error, CampfireError) else str(error)
