"""The pixel cache in an object store against a folder: speed, a store that goes away, killed builders.

Run: ``PYTHONPATH=. python benchmarks/shared_cache.py [--spectra 3000] [--kills 50] [--away 10]``. The store
is a server process on loopback (moto): the seconds of a real one differ, the sameness of values does not.
"""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import random
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from collection import show, write_files

from campfire.collection import object_store, segments
from campfire.collection.build import open_tree
from campfire.collection.cache_maintenance import build
from campfire.collection.row_sources import FileSource
from campfire.collection.shared_cache import SharedCache
from campfire.formats.spec_reader import file_hash
from tests.object_store import ObjectServer, build_program

SEGMENT_ROWS = (
    16  # of the builders that are killed: small, so that they stop after many different numbers of rows
)
FIELDS = ("wavelength", "fnu", "fnu_err", "flam", "flam_err", "dq")


def forget() -> None:
    """Do as a new process would."""
    object_store._opened.cache_clear()
    segments._segment.cache_clear()


def same(found: Any, truth: Any) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(found["PRISM"][name].values, truth["PRISM"][name].values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=3000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--away", type=float, default=10.0)
    arguments = parser.parse_args()
    logging.disable()
    server = ObjectServer()
    os.environ.update(server.environment)
    try:
        with tempfile.TemporaryDirectory() as name:
            run(server, Path(name), arguments)
    finally:
        server.close()


def run(server: ObjectServer, folder: Path, arguments: argparse.Namespace) -> None:
    count = arguments.spectra
    paths = write_files(folder, count)
    sources = [FileSource(str(path), file_hash(path)) for path in paths]
    columns = {
        "spectrum_id": np.array([path.name.removesuffix("_spec.fits") for path in paths]),
        "grating": np.full(count, "PRISM"),
    }
    gratings = ["PRISM"] * count
    truth = open_tree(sources, columns, chunks=None)

    local, remote = folder / "cache", server.url("speed")
    start = perf_counter()
    build(local, sources, gratings)
    into_folder = perf_counter() - start
    start = perf_counter()
    build(remote, sources, gratings)
    into_store = perf_counter() - start
    show("build at the URL; ratio to a folder", into_store, ratio=into_store / into_folder)
    for where, label in ((local, "folder"), (remote, "URL")):
        seconds = []
        for _ in range(5):
            forget()
            start = perf_counter()
            tree = open_tree(sources, columns, cache_dir=where)
            opened = perf_counter() - start
            tree.load()
            seconds.append((perf_counter() - start, opened))
        same(tree, truth)
        show(f"{label}: open", float(np.median([o for _, o in seconds])))
        show(f"{label}: open and load", float(np.median([s for s, _ in seconds])))

    forget()
    tree = open_tree(sources, columns, cache_dir=remote, chunks=64)
    timers = [threading.Timer(0.3, server.away), threading.Timer(0.3 + arguments.away, server.back)]
    for timer in timers:
        timer.start()
    start = perf_counter()
    tree.load()
    show(f"load, while the store is away for {arguments.away:g} s", perf_counter() - start)
    for timer in timers:
        timer.join()
    same(tree, truth)

    listing = folder / "listing.pickle"
    listing.write_bytes(pickle.dumps((sources, gratings)))
    rng = random.Random(7)
    command = build_program(server.url("whole"), listing, SEGMENT_ROWS)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        start = perf_counter()
        process.wait()
    whole = perf_counter() - start
    place, killed, wrong = 0, 0, 0
    held: list[int] = []
    while killed < arguments.kills:
        url = server.url(f"killed-{place}")  # one after the other goes on there, until one gets ready
        with subprocess.Popen(build_program(url, listing, SEGMENT_ROWS), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, whole))
            if process.poll() is None:
                process.kill()
                killed += 1
            else:
                place += 1
        forget()
        found = SharedCache(url).resolve(sources, gratings)
        rows = [n for n, source in enumerate(found) if not isinstance(source, FileSource)]
        held.append(len(rows))
        if rows:
            part = open_tree([found[n] for n in rows], {k: v[rows] for k, v in columns.items()}, chunks=None)
            width = part["PRISM"].sizes["pixel"]
            for field in FIELDS:
                expected = truth["PRISM"][field].values[rows, :width]
                wrong += not np.array_equal(part["PRISM"][field].values, expected, equal_nan=True)
    print(f"{killed} builders killed at random moments of {whole:.1f} s: ", end="")
    print(f"{len(set(held))} different numbers of rows there of {count}, wrong values in {wrong} cases")
    for number in range(place + 1):
        build(server.url(f"killed-{number}"), sources, gratings)
        forget()
        found = SharedCache(server.url(f"killed-{number}")).resolve(sources, gratings)
        assert not any(isinstance(source, FileSource) for source in found)
    print("each was completed by the next builder")


if __name__ == "__main__":
    main()
