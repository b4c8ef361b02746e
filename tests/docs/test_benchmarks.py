"""Statement checked: the page of benchmarks is what was measured, and every comparison has a floor."""

from __future__ import annotations

import json
from importlib import import_module

BENCHMARKS = import_module("benchmarks.__main__")
RESULTS = json.loads(BENCHMARKS.RESULTS.read_text(encoding="utf-8"))
COMPARISONS = import_module("benchmarks.comparisons").COMPARISONS


def test_the_page_is_made_of_the_results() -> None:
    assert BENCHMARKS.PAGE.read_text(encoding="utf-8") == BENCHMARKS.page(RESULTS)


def test_every_comparison_was_measured_at_all_its_sizes() -> None:
    found = [(row["key"], row["size"]) for row in RESULTS["comparisons"]]
    assert found == [(c.key, size) for c in COMPARISONS for size in c.sizes]


def test_every_comparison_has_a_floor_that_it_reaches() -> None:
    floors = BENCHMARKS.read_floors()
    assert set(floors) == {c.key for c in COMPARISONS}
    first = {c.key: c.sizes[0] for c in COMPARISONS}
    for row in RESULTS["comparisons"]:
        if row["size"] == first[row["key"]]:
            assert row["ratio"] >= floors[row["key"]], row["name"]
