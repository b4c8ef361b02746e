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
from campfire.formats.names import ProductName, parse_product_name
from campfire.formats.zfit import read_zfit
from campfire.store.files import FileRecord
from campfire.store.serving.indexing import Indexed

__all__ = ["Found", "Scanned", "scan"]

_TEMPORARY = re.compile(r"_g\d+_spec\.fits$")  # of single groups: the pipeline leaves them behind


@dataclass(frozen=True, slots=True)
class Found:
    """One product file; ``facts`` is None where it is the file the catalogue knows already."""

    name: ProductName
    path: Path
    record: FileRecord
    facts: ProductFacts | None
    redshift_auto: float | None
    pi_name: str | None = None


@dataclass(frozen=True, slots=True)
class Scanned:
    """Products by spectrum id; what could not be read: path below ``products/`` -> why; and paths whose names
    are not those of products.
    """

    found: dict[str, Found]
    broken: dict[str, str]
    ignored: list[str]


def scan(
    paths: DataPaths, known: Indexed, since: float, note: Callable[[int, int], None] | None = None
) -> Scanned:
    """Read every product below ``products/`` that is new or has changed.

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
    ignored: list[str] = []
    candidates = sorted(_candidates(paths.products, ignored), key=lambda item: item[1].spectrum_id)
    found: dict[str, Found] = {}
    broken: dict[str, str] = {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        results = pool.map(lambda item: _read(paths, item[0], item[1], known, since), candidates)
        for count, ((path, name), (item, problems)) in enumerate(zip(candidates, results, strict=True), 1):
            broken |= {str(bad.relative_to(paths.products)): why for bad, why in problems}
            if item is not None and name.spectrum_id not in found:
                found[name.spectrum_id] = item
            elif item is not None:
                broken[str(path.relative_to(paths.products))] = f"{name.spectrum_id} is there twice"
            if note is not None:
                note(count, len(candidates))
    return Scanned(found, broken, ignored)


def _candidates(products: Path, ignored: list[str]) -> Iterator[tuple[Path, ProductName]]:
    """Yield files that have exactly the name of a product of the folder's observation; note the others."""
    if not products.is_dir():
        return
    for folder in sorted(products.iterdir()):
        if not folder.is_dir():
            continue
        for path in sorted(folder.glob("*_spec.fits")):
            name = parse_product_name(path)
            if name is not None and name.kind == "spec" and name.observation == folder.name:
                yield path, name
            elif not (path.name.startswith(".") or _TEMPORARY.search(path.name)):
                ignored.append(f"{folder.name}/{path.name}")


Problems = list[tuple[Path, str]]


def _read(
    paths: DataPaths, path: Path, name: ProductName, known: Indexed, since: float
) -> tuple[Found | None, Problems]:
    try:
        safe_component(name.observation, "observation")
        stat = path.stat()
        facts: ProductFacts | None = None
        pi_name: str | None = None
        record, row = known.files.get(name.spectrum_id), known.spectra.get(name.spectrum_id)
        placed = known.targets.get(name.target_id, {}).get("ra") is not None
        same = placed and record is not None and (record.size, record.mtime) == (stat.st_size, stat.st_mtime)
        if record is None or row is None or not same or row["file_hash"] != record.hash:
            facts = product_facts(path)
            if facts["ra"] is None and not placed:
                raise ValidationError(f"{path.name} does not say where its source is", hint="SRCRA, SRCDEC")
            given = read_header(path).get("PI_NAME")
            pi_name = given if isinstance(given, str) else None
            record = FileRecord(
                name.spectrum_id,
                path.relative_to(paths.products).as_posix(),
                facts["file_hash"],
                stat.st_size,
                stat.st_mtime,
                "found",
            )
    except (CampfireError, OSError) as err:
        return None, [(path, _why(err))]
    redshift, problems = _redshift(path, row["redshift_auto"] if row and facts is None else None, since)
    return Found(name, path, record, facts, redshift, pi_name), problems


def _redshift(path: Path, known: float | None, since: float) -> tuple[float | None, Problems]:
    """Return the redshift of least chi-square of the fit beside a spectrum; None where there is no fit."""
    fit = path.with_name(path.name.removesuffix("_spec.fits") + "_zfit.fits")
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
