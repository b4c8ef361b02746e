"""Verified downloads against a plain loop of requests, over loopback, in the same run.

The plain loop: four threads, one ``requests.Session`` each, ``get(url).content`` written to a file; no hash,
no fsync, no resume, addresses known beforehand. Ours: ``Campfire.download`` from planning to the records. Run
it with

    python benchmarks/downloads.py [--files 2000] [--size 400000]

It prints seconds and the ratio, and exits 1 if ours reaches less than 0.8 of the plain loop's speed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from campfire.client import Campfire
from campfire.store.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 4
OBSERVATIONS = 10


def make_root(root: Path, files: int, size: int) -> None:
    """Write an archive whose files hold noise: only moving them is measured."""
    spectra = []
    for number in range(files):
        observation, name = (
            f"bench_p{number % OBSERVATIONS}",
            f"bench_p{number % OBSERVATIONS}_prism_clear_{number}",
        )
        path = root / "products" / observation / f"{name}_spec.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = random.Random(number).randbytes(size)
        path.write_bytes(data)
        spectra.append(
            {
                "id": number + 1,
                "spectrum_id": name,
                "target_id": f"{observation}_{number}",
                "object_id": f"J{number}",
                "grating": "PRISM",
                "fits_path": f"spectra/{observation}/{path.name}",
                "file_hash": "sha256:" + hashlib.sha256(data).hexdigest(),
                "file_size": size,
                "program_slug": "bench",
                "observation": observation,
                "field": "cosmos",
                "dq_flags": 0,
                "updated_at": "2026-01-01T00:00:00+00:00",
            }
        )
    with Catalog(root / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        writer.put_programs([{"slug": "bench", "program_name": "Bench", "is_public": True}])
        writer.put_objects(
            {
                "object_id": row["object_id"],
                "field": "cosmos",
                "ra": 150.0 + 1e-4 * number,
                "dec": 2.0,
                "programs": ["bench"],
                "gratings": ["PRISM"],
                "n_targets": 1,
                "n_spectra": 1,
                "member_target_ids": [row["target_id"]],
                "updated_at": "2026-01-01T00:00:00+00:00",
            }
            for number, row in enumerate(spectra)
        )
        writer.put_targets(row | {"ra": 150.0, "dec": 2.0, "source_id": row["id"]} for row in spectra)
        writer.put_spectra(spectra)
        writer.put_observations(
            {"observation": f"bench_p{n}", "program_slug": "bench", "field": "cosmos"}
            for n in range(OBSERVATIONS)
        )


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """Serve a root from a process of its own."""
    command = [sys.executable, "-m", "campfire", "serve", str(root), "--port", "0", "--open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def plain(urls: list[str], folder: Path) -> float:
    """Fetch without any check; returns seconds."""
    import requests

    local = threading.local()

    def one(item: tuple[int, str]) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        answer = local.session.get(item[1])
        (folder / f"{item[0]}.fits").write_bytes(answer.content)

    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, enumerate(urls)))
    return time.perf_counter() - started


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--size", type=int, default=400_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_root(folder / "served", options.files, options.size)
        with serving(folder / "served") as url:
            for turn in range(options.repeat):
                mirror, loose = folder / f"mirror{turn}", folder / f"loose{turn}"
                loose.mkdir()
                with Campfire(url, mirror, token="any") as cf:
                    cf.sync()
                    api = cf._context.api()
                    urls = [
                        row["download_url"]
                        for n in range(OBSERVATIONS)
                        for row in api.manifest(f"bench_p{n}")["spectra"]
                    ]
                    os.sync()
                    reference = plain(urls, loose)
                    os.sync()
                    started = time.perf_counter()
                    report = cf.download(everything=True, max_workers=WORKERS)
                    ours = time.perf_counter() - started
                    assert report["downloaded"] == options.files, report
                ratios.append(reference / ours)
                rate = f"{options.files * options.size / ours / 1e6:.0f} MB/s"
                print(f"plain {reference:6.2f} s   ours {ours:6.2f} s ({rate})   ratio {ratios[-1]:.2f}")
    ratio = statistics.median(ratios)
    print(f"{options.files} files of {options.size / 1000:.0f} KB: {ratio:.2f} of a plain loop (asked: 0.80)")
    return 0 if ratio >= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
