"""Loading rows of the pixel cache against zarr-python, which reads the same numbers from one store.

Run: ``PYTHONPATH=. python benchmarks/cached_rows.py [--spectra 47000]``. Both give the same four arrays, in
turns; the ratio is the median over turns.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import zarr
from collection import write_files

from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.formats.spec_reader import file_hash

FIELDS = ("wavelength", "fnu", "fnu_err", "dq")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=10_000)
    most = parser.parse_args().spectra
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_files(folder, most)
        sources = [FileSource(str(path), file_hash(path)) for path in paths]
        columns = {
            "spectrum_id": np.array([path.name.removesuffix("_spec.fits") for path in paths]),
            "grating": np.full(most, "PRISM"),
        }
        cache = folder / "cache"
        open_tree(sources, columns, cache_dir=cache)
        (store,) = (cache / "pixels" / "v1").glob("*.zarr")
        print(f"{'rows':>8}{'campfire, s':>13}{'zarr-python, s':>16}{'ratio':>8}{'open, s':>9}")
        for count in sorted({min(1_000, most), min(10_000, most), most}):
            compare(sources[:count], {k: v[:count] for k, v in columns.items()}, cache, store)


def compare(sources: list[FileSource], columns: dict[str, Any], cache: Path, store: Path) -> None:
    count = len(sources)
    turns = []
    for _ in range(5):
        start = perf_counter()
        ds = open_tree(sources, columns, cache_dir=cache)["PRISM"].to_dataset()[["fnu", "fnu_err", "dq"]]
        ds = ds.drop_vars("resolving_power", errors="ignore")  # computed, not read
        opened = perf_counter() - start
        start = perf_counter()
        ds = ds.load()
        ours = perf_counter() - start
        start = perf_counter()
        group = zarr.open_group(store, mode="r")
        theirs = {field: group[field][:count] for field in FIELDS}
        turns.append((ours, perf_counter() - start, opened))
    width = ds.sizes["pixel"]
    for field in FIELDS:  # rows lie there in the order in which they were read
        np.testing.assert_array_equal(np.sort(ds[field].values, 0), np.sort(theirs[field][:, :width], 0))
    ours, other, opened = (statistics.median(column) for column in zip(*turns, strict=True))
    ratio = statistics.median(a / b for a, b, _ in turns)
    print(f"{count:>8,}{ours:>13.3f}{other:>16.3f}{ratio:>8.2f}{opened:>9.3f}", flush=True)


if __name__ == "__main__":
    main()
