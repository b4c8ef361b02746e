"""How long "next" takes in the viewer: the answer that one object is drawn from, among 10,000 objects.

    python benchmarks/viewer.py [--objects 10000] [--looks 300]

Prints the median and the 95th percentile over objects in the order of the table, asked for one after the
other without any fetching ahead, and of the list of names; exits with 1 if 95 in 100 take longer than 100 ms.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

import requests

from campfire.archive.simulate.archive import make_archive
from campfire.archive.simulate.bulk_catalogue import make_catalogue
from campfire.config import DataPaths
from campfire.store.catalog import Catalog
from campfire.testing import served

LIMIT_MS = 100.0


def make_root(folder: Path, objects: int) -> Path:
    """Make a catalogue of many objects whose files are second names of a few simulated ones."""
    make_archive(folder / "few", objects=12, seed=1)
    root = folder / "many"
    make_catalogue(root, objects=objects, seed=1)
    files = sorted((folder / "few" / "products").rglob("*_spec.fits"))
    by_grating: dict[str, itertools.cycle[Path]] = {}
    paths = DataPaths(root)
    with Catalog(paths.database) as catalog:
        rows = catalog.execute("SELECT observation, fits_path, grating FROM spectra").fetchall()
    for observation, fits_path, grating in rows:
        same = [path for path in files if f"_{grating.lower()}_" in path.name] or files
        source = next(by_grating.setdefault(grating, itertools.cycle(same)))
        name = fits_path.rpartition("/")[2]
        for kind in ("spec", "zfit"):
            file = source.with_name(source.name.replace("_spec.fits", f"_{kind}.fits"))
            target = paths.product(observation, name.replace("_spec.fits", f"_{kind}.fits"))
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.is_file() and not target.exists():
                os.link(file, target)
    return root


def told(what: str, seconds: list[float]) -> float:
    """Print the median and the 95th percentile; return the latter in milliseconds."""
    ordered = sorted(1000 * value for value in seconds)
    late = ordered[int(0.95 * (len(ordered) - 1))]
    print(f"{what}: median {ordered[len(ordered) // 2]:.1f} ms, 95 in 100 within {late:.1f} ms")
    return late


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--looks", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = make_root(Path(folder), given.objects)
        with served(root) as url, requests.Session() as session:
            base = url.removesuffix("/api/v1")
            names: list[str] = []
            listing, next_ones = [], []
            for _ in range(5):
                start = time.perf_counter()
                names = session.get(f"{base}/viewer/names", timeout=60).json()["data"]
                listing.append(time.perf_counter() - start)
            size = 0
            for name in names[:: max(1, len(names) // given.looks)]:
                start = time.perf_counter()
                answer = session.get(f"{base}/viewer/object", params={"object_id": name}, timeout=60)
                answer.json()
                next_ones.append(time.perf_counter() - start)
                answer.raise_for_status()
                size += len(answer.content)
            told(f"names of {len(names)} objects", listing)
            late = told(f"next, {size / len(next_ones) / 1000:.0f} kB on average", next_ones)
    return int(late > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
