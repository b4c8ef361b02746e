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


def _found(site: Path, words: str) -> list[str]:
    """Return the pages that the site's own search finds: those that have all words, as it stems them."""
    import json

    from snowballstemmer import stemmer

    index = json.loads((site / "searchindex.js").read_text(encoding="utf-8")[len("Search.setIndex(") : -1])
    pages: list[set[int]] = []
    titles: set[int] = set()
    for word in stemmer("english").stemWords(words.lower().split()):
        here: set[int] = set()
        for kind in ("terms", "titleterms"):
            number = index[kind].get(word, [])
            numbers = {number} if isinstance(number, int) else set(number)
            here |= numbers
            titles |= numbers if kind == "titleterms" else set()
        pages.append(here)
    both = set.intersection(*pages)
    # titles and headings count most, as in the search itself
    return [index["docnames"][k] for k in sorted(both, key=lambda k: (k not in titles, k))]


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("query tag", "questions"),
        ("dq mean", "questions"),
        ("band NaN", "questions"),
        ("SLURM", "questions"),
        ("SLURM", "clusters"),
        ("cite", "questions"),
        ("cite", "reproducibility"),
        ("redshift offset", "numerics"),
        ("lock paper", "reproducibility"),
        ("benchmarks", "benchmarks"),
    ],
)
def test_a_stranger_finds_it_by_search_among_the_first_five(site: Path, words: str, page: str) -> None:
    assert page in _found(site, words)[:5], _found(site, words)
