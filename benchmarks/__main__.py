"""Compare with what users would use instead: a table, ``results.json``, and the page of the documentation.

    python -m benchmarks              all comparisons at all sizes; writes results.json and docs/benchmarks.md
    python -m benchmarks --check      a short run, which fails below 0.8 of a floor of floors.toml

Ours and theirs are timed in turns, in one process, and the ratio is the median over turns, so that what else
the machine does falls on both. Seconds are of this machine, and no promise.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.comparisons import COMPARISONS, Comparison

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
FLOORS = HERE / "floors.toml"
PAGE = HERE.parent / "docs" / "benchmarks.md"
TURNS, LEAST = 5, 0.8
LONG = 4.0  # seconds of one of theirs, after which turns are fewer


def clock(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(comparison: Comparison, size: int) -> dict[str, Any]:
    """Return medians over turns of ours, theirs and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = comparison.make(size, Path(folder))
        ours()
        first = clock(theirs)
        turns = TURNS if first < LONG else 3
        pairs = []
        for _ in range(turns):
            # several of ours at a time, where they are too short to be timed one by one
            mine = min(clock(ours) for _ in range(3))
            pairs.append((mine, clock(theirs)))
    ratio = statistics.median(b / a for a, b in pairs)
    seconds = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return {
        "key": comparison.key,
        "name": comparison.name,
        "peer": comparison.peer,
        "size": size,
        "ours_s": float(f"{seconds[0]:.3g}"),
        "theirs_s": float(f"{seconds[1]:.3g}"),
        "ratio": float(f"{ratio:.3g}"),
    }


def machine() -> dict[str, Any]:
    names = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "processor": names[0].split(":", 1)[1].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[0].split()[1]) / 1e6) if memory else None,
        "python": platform.python_version(),
        "system": platform.system(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def line(row: dict[str, Any]) -> str:
    what = f"{row['name']} ({row['size']:,})"
    return (
        f"{what:<58}{row['ours_s']:>10.3g} s {row['theirs_s']:>10.3g} s {row['ratio']:>8.3g} x  {row['peer']}"
    )


def page(results: dict[str, Any]) -> str:
    """Return the page of the documentation."""
    floors = read_floors()
    host = results["machine"]
    rows = [
        f"| {row['name']} | {row['size']:,} | {row['ours_s']:.3g} s | {row['theirs_s']:.3g} s, {row['peer']} "
        f"| {row['ratio']:.3g} | {_floor(row, floors)} |"
        for row in results["comparisons"]
    ]
    return f"""# Benchmarks

What campfire does, against what one would do instead: the same inputs, checked to give the same numbers
where both give the same, timed in turns in one process; ratios are medians. `make bench` writes this page;
`python -m benchmarks --check` fails where a ratio is below {LEAST:g} of its floor, which is for the smallest
number. Other benchmarks, of errors and limits, are in [Numerics](numerics.md), and run by
`python benchmarks/NAME.py`.

Measured on {host["date"]}: {host["processor"]}, {host["cores"]} cores, {host["memory_gb"]} GB,
{host["system"]}, Python {host["python"]}. The seconds are those of this machine.

| | number | campfire | instead | times faster | floor |
|---|---|---|---|---|---|
{chr(10).join(rows)}
"""


def _floor(row: dict[str, Any], floors: dict[str, float]) -> str:
    first = next(c.sizes[0] for c in COMPARISONS if c.key == row["key"])
    return f"{floors[row['key']]:g}" if row["size"] == first else ""


def read_floors() -> dict[str, float]:
    return {key: float(value) for key, value in tomllib.loads(FLOORS.read_text(encoding="utf-8")).items()}


def check() -> int:
    """Return 1 if a ratio is below its floor, twice."""
    floors = read_floors()
    low = []
    for comparison in COMPARISONS:
        wanted = LEAST * floors[comparison.key]
        for _ in range(3):  # what else the machine does comes and goes
            row = measure(comparison, comparison.sizes[0])
            if row["ratio"] >= wanted:
                break
        print(line(row) + f"   floor {floors[comparison.key]:g}", flush=True)
        if row["ratio"] < wanted:
            low.append(f"{comparison.name}: {row['ratio']:.3g} is below {wanted:.3g}")
    print("\n".join(low))
    return 1 if low else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="a short run against the floors")
    parser.add_argument("--page", action="store_true", help="write the page from results.json again")
    options = parser.parse_args()
    logging.disable()
    warnings.simplefilter("ignore")
    if options.check:
        return check()
    if not options.page:
        rows = []
        for comparison in COMPARISONS:
            for size in comparison.sizes:
                rows.append(measure(comparison, size))
                print(line(rows[-1]), flush=True)
        RESULTS.write_text(
            json.dumps({"machine": machine(), "comparisons": rows}, indent=1) + "\n", encoding="utf-8"
        )
    PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"written: {RESULTS}, {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
