"""Time to read the 1-D spectra of 300 ``_spec.fits``: campfire against plain ``astropy.io.fits``.

Both read the five columns (wave, fnu, fnu_err, flam, flam_err) and the whole primary header of the same files
in the same run, in turns. ``python benchmarks/read_spec.py [ROOT]`` takes files under ROOT, or simulates
some. The goal is at most an eighth of the time; values have to be identical. campfire also checks that each
file is complete, its units, and that wavelengths ascend.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from campfire.archive.simulate.archive import make_archive
from campfire.formats.spec_reader import read_spectrum

FILES = 300
ROUNDS = 5
GOAL = 8.0
COLUMNS = ("wave", "fnu", "fnu_err", "flam", "flam_err")


def by_astropy(path: Path) -> tuple[list[np.ndarray[Any, Any]], dict[str, Any]]:
    with fits.open(path) as opened:
        header = dict(opened[0].header)
        table = opened["SPEC1D"].data
        return [np.array(table[name]) for name in COLUMNS], header


def by_campfire(path: Path) -> tuple[list[np.ndarray[Any, Any]], dict[str, Any]]:
    fields: Any = read_spectrum(path)
    return [fields["wavelength"], *(fields[name] for name in COLUMNS[1:])], fields["header"]


def find_files(root: Path) -> list[Path]:
    files = sorted(root.glob("**/*_spec.fits"))
    return (files * (FILES // max(len(files), 1) + 1))[:FILES]


def check(path: Path) -> None:
    """Values are identical; a pixel without data (NaN with +inf there) is NaN in both here."""
    columns, header = by_campfire(path)
    others, other_header = by_astropy(path)
    assert header == other_header, path
    good = np.isfinite(others[1]) & np.isfinite(others[2]) & (others[2] > 0)
    for name, ours, theirs in zip(COLUMNS, columns, others, strict=True):
        assert ours.dtype == theirs.dtype.newbyteorder("="), (path, name)
        where = np.ones_like(good) if name == "wave" else good
        assert np.array_equal(ours[where], theirs[where]), (path, name)
        assert np.isnan(ours[~where & ~np.isfinite(others[1])]).all(), (path, name)


def seconds(read: Callable[[Path], object], files: list[Path]) -> float:
    start = time.perf_counter()
    for path in files:
        read(path)
    return time.perf_counter() - start


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder)
        if len(sys.argv) <= 1:
            make_archive(root, objects=135, seed=1)
        files = find_files(root)
        if not files:
            print(f"no *_spec.fits under {root}")
            return 1
        distinct = sorted(set(files))
        for path in distinct:
            check(path)
        print(f"{len(distinct)} distinct files, {FILES} reads a round: values and headers identical")
        rounds = [(seconds(by_campfire, files), seconds(by_astropy, files)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(times) / FILES for times in zip(*rounds, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in rounds)
    print(f"campfire {1e6 * ours:8.1f} us a file (median of {ROUNDS} rounds)")
    print(f"astropy  {1e6 * theirs:8.1f} us a file")
    print(f"ratio    {ratio:8.1f} (goal: at least {GOAL:g})")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
