"""Statement: the site builds without warnings or network, and its reference has every public name."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import campfire
from campfire.accessors.dataset import DatasetAccessor
from campfire.accessors.datatree import DataTreeAccessor

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    run = subprocess.run(
        [*command, "-d", str(folder / "trees"), str(ROOT / "docs"), str(folder / "html")],
        capture_output=True,
        text=True,
        env={**os.environ, "DOCS_ONLINE": "", "PYTHONWARNINGS": "default"},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return folder / "html"


def _methods(kind: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(kind) if not name.startswith("_")]


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    known = {name for kind in inventory.data.values() for name in kind}
    wanted = {f"campfire.{name}" for name in campfire.__all__ if name != "__version__"}
    wanted |= {f"campfire.Campfire.{name}" for name in _methods(campfire.Campfire)} - {
        "campfire.Campfire.DEFAULT_BASE_URL"
    }
    for accessor in (DatasetAccessor, DataTreeAccessor):
        wanted |= {f"{accessor.__module__}.{accessor.__name__}.{name}" for name in _methods(accessor)}
    assert wanted <= known, f"not in docs/reference: {sorted(wanted - known)}"


def test_pictures_have_words_for_those_who_cannot_see_them(site: Path) -> None:
    import re

    for page in site.rglob("*.html"):
        for tag in re.findall(r"<img[^>]*>", page.read_text(encoding="utf-8")):
            assert re.search(r'alt="[^"]{15,}"', tag), f"{page.name}: {tag}"


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    import re

    for page in site.rglob("*.html"):
        found = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text("utf-8"))
        assert not found, f"{page.name} loads {found[0]}"
