"""How large the graph of a stack is, which a dask client sends to its scheduler: tasks and bytes.

Run: ``PYTHONPATH=. python benchmarks/graphs.py``. Graphs are made of places. Only the first block of the
cache is there, which holds the longest spectrum, whose wavelengths are read; the other places are made up.
The graph is that of all variables of the stack.
"""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import dask
import numpy as np
from collection import PIXELS, write_files

from campfire.collection.build import open_tree
from campfire.collection.cache_maintenance import build
from campfire.collection.pixel_cache import PixelCache
from campfire.collection.row_sources import CacheRow, FileSource, Source
from campfire.formats.spec_reader import file_hash

BLOCK = 512


def first_block(folder: Path) -> list[Source]:
    """Return rows that are in a cache."""
    files: list[Source] = [FileSource(str(path), file_hash(path)) for path in write_files(folder, BLOCK)]
    gratings = ["PRISM"] * BLOCK
    build(folder / "cache", files, gratings)
    return PixelCache(folder / "cache").resolve(files, gratings)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        real = first_block(Path(folder))
        print(f"{'rows':>10}{'tasks':>9}{'MB pickled':>12}{'s to make':>11}")
        for count in (1_000, 10_000, 47_000, 1_000_000):
            show(count, real)


def show(count: int, real: list[Source]) -> None:
    assert isinstance(real[0], CacheRow)
    place = real[0].store
    made_up = [
        CacheRow(place, n, PIXELS - 1, FileSource(f"/data/spectra/{n}_prism_clear_spec.fits", f"{n:064x}"))
        for n in range(len(real), count)
    ]
    columns: dict[str, Any] = {
        "spectrum_id": np.array([f"object_{n}_prism_clear" for n in range(count)]),
        "grating": np.full(count, "PRISM"),
        "redshift": np.linspace(0.5, 9.0, count),
    }
    start = perf_counter()
    prism = open_tree([*real, *made_up], columns)["PRISM"].to_dataset()
    stack = prism.campfire.stack(grid=("log", 0.25, 0.7, 300), redshift="redshift")
    seconds = perf_counter() - start
    (optimized,) = dask.optimize(stack)
    graph = dict(optimized.__dask_graph__())
    size = len(pickle.dumps(graph)) / 1e6
    print(f"{count:>10,}{len(graph):>9,}{size:>12.1f}{seconds:>11.1f}", flush=True)


if __name__ == "__main__":
    main()
