"""Statement checked: what docs/architecture.md and CONTRIBUTING.md say is where they say it is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.layers.test_floors import FLOORS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "campfire"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def table_under(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    lines = ARCHITECTURE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_floors_of_the_page_are_those_that_are_checked() -> None:
    page = {int(row[0]): {name.rstrip("/") for name in code(row[1])} for row in table_under("Floors")}
    assert page == {n: set(floor) - {"__main__"} for n, floor in enumerate(FLOORS)}


def test_the_page_lists_every_module_of_analysis() -> None:
    listed = [name for row in table_under("Analysis") for name in code(row[0])]
    there = {path.stem for path in (PACKAGE / "analysis").glob("*.py")} - {"__init__"}
    assert len(listed) == len(set(listed))
    assert set(listed) == there


def test_the_functions_of_rows_exist() -> None:
    names = [name for row in table_under("Analysis") for name in code(row[2])]
    assert names
    for name in names:
        module, _, function = name.rpartition(".")
        where = module if module.startswith("collection") else f"analysis.{module}"
        assert hasattr(importlib.import_module(f"campfire.{where}"), function), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_files_that_a_page_names_exist(page: Path) -> None:
    for name in code(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"[a-z_0-9]+(/[a-z_0-9]+)+(\.py)?/?", name) and name.split("/")[0] in {
            *("campfire", "tests", "examples", "benchmarks", "docs"),
            *(path.name for path in PACKAGE.iterdir() if path.is_dir()),
        }:
            assert (ROOT / name).exists() or (PACKAGE / name).exists(), f"{page.name} names {name}"
