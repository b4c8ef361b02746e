"""Statement checked: a module imports only from floors below its own (docs/architecture.md, "Floors")."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "campfire"

# Floor -> modules, left to right. On floors 0, 1, 7 and 10 a module may also use those to its left, or below;
# elsewhere siblings do not import each other, except inside one folder.
FLOORS: list[list[str]] = [
    [
        *("installation", "text", "errors", "arguments", "typing", "units", "flags", "config", "disk"),
        *("bands", "import_hooks", "progress", "publishing"),
    ],
    ["schema", "archive_table", "columns", "linelist", "query"],
    ["kernels"],
    ["store", "formats", "transport", "plotting"],
    ["convert", "access"],
    ["collection"],
    ["models"],
    ["analysis", "handoffs"],
    ["accessors", "plugins", "mirror"],
    ["client", "archive"],
    ["imaging", "calibration", "testing", "demo", "cli", "__init__", "__main__"],
]
LEFT_ALLOWED = {0, 1, 7, 10}
EXTRA_ALLOWED: set[tuple[str, str]] = set()
# Further walls: who may import what is not ours.
OWNERS = {
    "requests": {"transport", "mirror"},
    "urllib3": {"transport", "mirror"},
    "sqlite3": {"store", "archive", "collection", "disk"},
    "dask": {"collection", "analysis"},
    "zarr": {"collection"},
    "obstore": {"collection"},
    "fastapi": {"archive"},
    "uvicorn": {"archive"},
    "starlette": {"archive"},
    "click": {"cli"},
    "rich": {"cli", "progress"},
}
FORBIDDEN = {
    "archive": {
        "client",
        "access",
        "mirror",
        "models",
        "collection",
        "accessors",
        "analysis",
        "transport",
        "convert",
    },
    "client": {"archive"},
}


def _place(module: str) -> tuple[int, int]:
    for floor, names in enumerate(FLOORS):
        if module in names:
            return floor, names.index(module)
    raise AssertionError(f"campfire.{module} has no floor: add it to FLOORS and docs/architecture.md")


def _top(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py").removesuffix(".pyi")


def _imports(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "campfire":
                yield from (f"campfire.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_stay_below(path: Path) -> None:
    own = _top(path)
    floor, position = _place(own)
    for name in _imports(path):
        head, _, rest = name.partition(".")
        if head != "campfire":
            owners = OWNERS.get(head)
            assert owners is None or own in owners, f"{own} imports {name}; only {owners} may"
            continue
        other = rest.partition(".")[0]
        if not other or other == own:
            continue
        assert other not in FORBIDDEN.get(own, ()), f"{own} must never import {other}"
        other_floor, other_position = _place(other)
        below = other_floor < floor
        left = other_floor == floor and floor in LEFT_ALLOWED and other_position < position
        assert below or left or (own, other) in EXTRA_ALLOWED, f"{own} (floor {floor}) imports {name}"


LONG = {"client/campfire.py"}  # the documented interface: signatures and docstrings, hardly a line of code


def test_every_module_stays_within_a_few_screens() -> None:
    long = {str(p.relative_to(PACKAGE)): n for p in FILES if (n := len(p.read_text().splitlines())) > 450}
    assert set(long) <= LONG, f"modules above 450 lines: {long}"


def test_every_folder_is_a_package() -> None:
    assert not {str(p.parent.relative_to(PACKAGE)) for p in FILES if not (p.parent / "__init__.py").exists()}
