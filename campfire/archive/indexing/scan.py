"""Finding products on disk and reading what a catalogue needs to know of them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campfire.archive.catalogue.indexed_files import Indexed
from campfire.archive.indexing.grouping import nearest
from campfire.config import DataPaths, safe_component
from campfire.errors import CampfireError, ValidationError
from campfire.formats.names import (
    GRATINGS,
    ProductName,
    parse_foreign_name,
    parse_product_name,
    spectrum_name,
)
from campfire.formats.spec_reader import ProductFacts, product_facts, read_header
from campfire.formats.zfit import belongs_to, read_zfit
from campfire.store.file_state import FileRecord
from campfire.typing import Row

__all__ = ["Found", "Scanned", "scan"]

_FITS = re.compile(r"\.fits(\.gz)?$", re.IGNORECASE)
_OTHER_FITS = re.compile(r"\.(fits?|fts)(\.(gz|bz2|xz|zip|z|fz))?$", re.IGNORECASE)
_SPECTRUM = re.compile(r"[._-](spec|[xc]1d)([._-][a-z0-9]+)*\.fits(\.gz)?$", re.IGNORECASE)
_TEMPORARY = re.compile(r"_g\d+_spec\.fits$")  # of single groups: the pipeline leaves them behind
_FIT = "_zfit.fits"
_ELSEWHERE = {"meta", "imaging", "cutouts", "cache", "previews"}  # of a data root: no spectra
_SAME_PLACE = 1.0  # arcsec: spectra of one target that lie farther apart are of several
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
    """Spectra by id; what could not be read: path below the root -> why; and what is left out, likewise.

    ``links``: second names, made by indexing -> first ones, both below the root.
    """

    found: dict[str, Found]
    broken: dict[str, str]
    ignored: dict[str, str]
    links: dict[str, str]


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
    broken: dict[str, str] = {}
    # what the catalogue has keeps its place before a copy of it that came later
    candidates = sorted(
        _candidates(paths, ignored, broken),
        key=lambda item: (item.spectrum_id not in known.spectra, item.spectrum_id, item.path),
    )
    accepted = _Accepted(paths, known)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        results = pool.map(lambda item: _read(paths, item, known, since), candidates)
        for count, (item, (spectrum, problems)) in enumerate(zip(candidates, results, strict=True), 1):
            for path, why in problems:
                likely = item.product is not None or _SPECTRUM.search(path.name)
                (broken if likely and why != _NO_NAME else ignored)[_relative(paths, path)] = why
            if spectrum is not None:
                try:
                    accepted.add(spectrum, foreign=item.product is None)
                except CampfireError as err:
                    broken[_relative(paths, item.path)] = _why(err)
            if note is not None:
                note(count, len(candidates))
    return Scanned(accepted.found, broken, ignored, accepted.links)


class _Accepted:
    """The spectra accepted so far: each name, each content and each target stands for one thing only."""

    def __init__(self, paths: DataPaths, known: Indexed) -> None:
        self._paths, self._known = paths, known
        self.found: dict[str, Found] = {}
        self.links: dict[str, str] = {}
        self._contents: dict[str, Found] = {}
        self._places: dict[str, tuple[float, float, Path]] = {}

    def add(self, item: Found, *, foreign: bool) -> None:
        """Accept a spectrum, and put it where it is served from.

        Raises
        ------
        ValidationError
            If its name or, of a foreign one, its content is there already, its target lies elsewhere, or it
            cannot be put into its place.
        """
        spectrum_id = item.name.spectrum_id
        former = self.found.get(spectrum_id)
        if former is not None:
            if os.path.samefile(former.path, item.path):
                for path in (former.path, item.path):
                    self._link(path, item.record)
                return
            where = _relative(self._paths, former.path)
            raise ValidationError(
                f"{spectrum_id} is there twice, in {where}", hint="remove the one that you do not want"
            )
        if foreign:
            self._compare(item)
        _place(self._paths, item.path, item.record)
        self._link(item.path, item.record)
        self.found[spectrum_id] = item
        self._contents.setdefault(item.record.hash, item)

    def _link(self, path: Path, record: FileRecord) -> None:
        place = self._paths.products / record.path
        if path != place:
            self.links[place.relative_to(self._paths.root).as_posix()] = path.relative_to(
                self._paths.root
            ).as_posix()

    def _compare(self, item: Found) -> None:
        twin = self._contents.get(item.record.hash)
        if twin is not None:
            raise ValidationError(f"the same content as {_relative(self._paths, twin.path)}")
        target: Row = self._known.targets.get(item.name.target_id, {})
        ra, dec = target.get("ra"), target.get("dec")
        if item.facts is not None and item.facts["ra"] is not None:
            ra, dec = item.facts["ra"], item.facts["dec"]
        if ra is None or dec is None:
            return
        first_ra, first_dec, first = self._places.setdefault(item.name.target_id, (ra, dec, item.path))
        own, other = (np.array([ra]), np.array([dec])), (np.array([first_ra]), np.array([first_dec]))
        if nearest(own[0], own[1], other[0], other[1], _SAME_PLACE)[0][0] < 0:
            raise ValidationError(
                f"named as of target {item.name.target_id}, and lies elsewhere than {first.name}",
                hint="rename one of them",
            )


def _relative(paths: DataPaths, path: Path) -> str:
    base = paths.products if path.is_relative_to(paths.products) else paths.root
    return path.relative_to(base).as_posix()


def _folders(
    paths: DataPaths, ignored: dict[str, str], broken: dict[str, str]
) -> Iterator[tuple[Path, list[str]]]:
    """Yield every folder to be searched and the names in it.

    Links to folders are followed directly below ``products/`` only, and only out of the root; the others are
    noted, and so are folders that cannot be read.
    """

    def failed(error: OSError) -> None:
        broken[_relative(paths, Path(error.filename))] = error.strerror or str(error)

    starts = [paths.root]
    while starts:
        for where, names, files in os.walk(starts.pop(), onerror=failed):
            folder, kept = Path(where), []
            for name in sorted(names):
                path = folder / name
                if name.startswith(".") or (folder == paths.root and name in _ELSEWHERE):
                    continue
                if not path.is_symlink():
                    kept.append(name)
                elif _overlap(path, paths.root):
                    ignored[_relative(paths, path)] = "a link to a folder that is searched anyway"
                elif folder == paths.products:
                    starts.append(path)
                else:
                    ignored[_relative(paths, path)] = "a link to a folder outside: move its files here"
            names[:] = kept
            yield folder, sorted(files)


def _overlap(link: Path, root: Path) -> bool:
    """Tell whether a link leads into the root, or to a folder the root is in."""
    target, own = Path(os.path.realpath(link)), Path(os.path.realpath(root))
    return target.is_relative_to(own) or own.is_relative_to(target)


def _candidates(paths: DataPaths, ignored: dict[str, str], broken: dict[str, str]) -> Iterator[_Candidate]:
    """Yield the files that may be spectra; note why others are not."""
    for folder, names in _folders(paths, ignored, broken):
        for name in names:
            path = folder / name
            if name.startswith(".") or _TEMPORARY.search(name):
                continue
            if not _FITS.search(name):
                if _OTHER_FITS.search(name):
                    ignored[_relative(paths, path)] = "its name does not end in .fits or .fits.gz"
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
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValidationError("not a regular file")
    facts: ProductFacts | None = None
    pi_name: str | None = None
    record, row = known.files.get(spectrum_id), known.spectra.get(spectrum_id)
    target = known.targets.get(row["target_id"], {}) if row else {}
    placed = target.get("ra") is not None
    unchanged = (
        record is not None
        and (record.size, record.mtime) == (state.st_size, state.st_mtime)
        and Path(record.path).name == path.name
        and (not _in_place(paths, path) or record.path == _relative(paths, path))
    )
    if record is not None and row is not None and placed and unchanged and row["file_hash"] == record.hash:
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
        facts["grating"] = _grating(path, item.product, facts["grating"])
        given = header.get("PI_NAME")
        pi_name = given if isinstance(given, str) else None
        record = FileRecord(
            spectrum_id,
            f"{name.observation}/{path.name}",
            facts["file_hash"],
            state.st_size,
            state.st_mtime,
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
    in_place = _in_place(paths, path)
    observation = path.parent.name if in_place else said.observation or path.parent.name
    if not in_place and path.parent in (paths.root, paths.products):
        observation = said.observation or "files"
    safe_component(observation, "observation")
    spectrum_id = safe_component(spectrum_name(path.name), "name of a spectrum")
    number = facts["source_id"]
    if said.source is None:  # numbers of sources mean nothing without their program
        return SpectrumName(spectrum_id, observation, spectrum_id, number)
    if number is None and (digits := said.source.rpartition("_")[2]).isdecimal() and len(digits) < 19:
        number = int(digits)
    parts = (observation, said.observation if said.observation != observation else None, said.source)
    return SpectrumName(spectrum_id, observation, "_".join(filter(None, parts)), number)


def _in_place(paths: DataPaths, path: Path) -> bool:
    """Tell whether a file lies where files are served from, in a folder of ``products/``."""
    return path.parent.parent == paths.products


def _grating(path: Path, product: ProductName | None, said: str) -> str:
    """Return the disperser of NIRSpec that the header says, else the name."""
    if said in GRATINGS:
        return said
    named = product.grating.upper() if product is not None else parse_foreign_name(path.name).grating
    if named is None:
        what = "does not say its disperser" if said == "unknown" else f"says GRATING {said!r}"
        raise ValidationError(f"{path.name} {what}", hint=f"one of {', '.join(GRATINGS)}")
    return named


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
        redshift = read_zfit(fit)["redshift"]
        if not belongs_to(fit, path):
            return known, [(fit, f"not a fit of {path.name}: its model has other wavelengths")]
        return redshift, []
    except (FileNotFoundError, LookupError):
        return None, []
    except (CampfireError, OSError) as err:
        return known, [(fit, _why(err))]


def _why(error: Exception) -> str:
    return error.message if isinstance(error, CampfireError) else str(error)
