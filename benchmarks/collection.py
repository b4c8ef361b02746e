"""Opening and loading a collection: a plain loop against ``open_tree``, without and with cache.

Run: ``python benchmarks/collection.py [--spectra 1000]``. Its files go to a temporary folder. The loop is
what one writes by hand: open every file with astropy, take the columns, pad, stack.
"""

from __future__ import annotations

import argparse
import logging
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from campfire.collection.build import open_tree
from campfire.collection.cache_maintenance import info
from campfire.collection.row_sources import FileSource
from campfire.formats.spec_reader import file_hash
from campfire.formats.spec_writer import write_spectrum

PIXELS = 435


def write_files(folder: Path, n: int) -> list[Path]:
    """Write n distinct files; made from a few, of which one header card is patched, to save time."""
    rng = np.random.default_rng(0)
    templates = []
    for k in range(20):
        size = PIXELS - k
        path = folder / f"template_{k}.fits"
        write_spectrum(
            path,
            {
                "wavelength": np.linspace(0.6, 5.3, size),
                "fnu": rng.normal(1.0, 0.1, size),
                "fnu_err": np.full(size, 0.1),
                "header": {f"KEY{i}": i for i in range(100)},
                "grating": "PRISM",
                "spectrum_id": f"t_prism_clear_{k}",
            },
        )
        templates.append(path.read_bytes())
        path.unlink()
    paths = []
    for i in range(n):
        path = folder / f"o_prism_clear_{i}_spec.fits"
        card = f"KEY0    = {i:>20}".encode()
        path.write_bytes(templates[i % len(templates)].replace(f"KEY0    = {0:>20}".encode(), card, 1))
        paths.append(path)
    return paths


def plain_loop(paths: list[Path]) -> dict[str, np.ndarray[Any, Any]]:
    """Read, pad and stack by hand."""
    from astropy.io import fits

    rows: dict[str, list[Any]] = {name: [] for name in ("wave", "fnu", "fnu_err", "flam", "flam_err")}
    for path in paths:
        with fits.open(path) as hdus:
            table = hdus["SPEC1D"].data
            for name, values in rows.items():
                values.append(np.asarray(table[name], dtype=np.float64))
    width = max(map(len, rows["wave"]))
    return {
        name: np.stack([np.pad(v, (0, width - len(v)), constant_values=np.nan) for v in values])
        for name, values in rows.items()
    }


def show(label: str, value: float, unit: str = "s", ratio: float | None = None) -> None:
    """Print one line."""
    print(f"{label:<44}{value:>9.3f} {unit}" + ("" if ratio is None else f"{ratio:>9.1f} x"))


def timed(label: str, function: Callable[[], Any], loop: float | None = None) -> tuple[Any, float]:
    """Run, print, and return the result and the seconds."""
    start = perf_counter()
    result = function()
    seconds = perf_counter() - start
    show(label, seconds, ratio=None if loop is None else loop / seconds)
    return result, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=1000)
    count = parser.parse_args().spectra
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_files(folder, count)
        sources = [FileSource(str(path), file_hash(path)) for path in paths]
        columns = {
            "spectrum_id": np.array([path.name.removesuffix("_spec.fits") for path in paths]),
            "grating": np.full(count, "PRISM"),
            "object_id": np.array([f"object_{i // 2}" for i in range(count)]),
            "redshift": np.linspace(0, 10, count),
            "dq_flags": np.zeros(count, dtype=np.int64),
        }
        cache = folder / "cache"

        def opened(cached: bool) -> Any:
            return open_tree(sources, columns, cache_dir=cache if cached else None)

        open_tree(sources[:2], {k: v[:2] for k, v in columns.items()}).load()  # imports
        print(f"{count} PRISM spectra of about {PIXELS} pixels; ratios are to the plain loop")
        by_hand, loop = timed("plain loop (astropy, pad, stack)", lambda: plain_loop(paths))
        tree, first = timed("without cache: open", lambda: opened(False), loop)
        _, second = timed("without cache: load all", tree.load, loop)
        np.testing.assert_array_equal(tree["PRISM"].fnu.values, by_hand["fnu"])
        show("without cache: open and load", first + second, ratio=loop / (first + second))
        timed("cold cache: open (fills it)", lambda: opened(True), loop)
        for _ in range(2):
            tree, first = timed("warm cache: open", lambda: opened(True), loop)
        show("warm cache: size of the pickled tree", len(pickle.dumps(tree)) / 1e6, "MB")
        timed("warm cache: load one variable", tree["PRISM"].fnu.compute, loop)
        _, second = timed("warm cache: load all", tree.load, loop)
        show("warm cache: open and load", first + second, ratio=loop / (first + second))
        np.testing.assert_array_equal(tree["PRISM"].fnu.values, by_hand["fnu"])
        np.testing.assert_allclose(tree["PRISM"].flam.values, by_hand["flam"], rtol=1e-12)
        timed("stack of the loaded tree", tree.campfire.stack)
        timed("lazy stack from the warm cache", lambda: opened(True).campfire.stack().load())
        show("cache on disk", info(cache)["bytes"] / 1e6, "MB")


if __name__ == "__main__":
    main()
