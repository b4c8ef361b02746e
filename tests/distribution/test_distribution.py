"""Statements checked: wheel and sdist hold what they should, and the wheel works away from the checkout."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from campfire.installation import DISTRIBUTION, VERSION

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STEM = f"{DISTRIBUTION.replace('-', '_')}-{VERSION}"


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run a command that must succeed, and return what it prints."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=kept | env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel made of the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    with tarfile.open(folder / f"{STEM}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=folder / STEM)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and all else from the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    wheel = built / f"{STEM}-py3-none-any.whl"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps")
    run(*pip, wheel, cwd=folder)
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    shared = {sysconfig.get_path("purelib"), *site.getsitepackages()}
    (Path(purelib) / "shared.pth").write_text("\n".join(sorted(shared)), encoding="utf-8")
    return folder / "bin"


def test_wheel_holds_the_package_alone(built: Path) -> None:
    with zipfile.ZipFile(built / f"{STEM}-py3-none-any.whl") as wheel:
        names = wheel.namelist()
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "campfire").rglob("*") if path.is_file()}
    ours = {name for name in ours if "__pycache__" not in name}
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert f"{STEM}.dist-info/licenses/LICENSE" in names


def test_sdist_holds_what_tests_and_docs_need(built: Path) -> None:
    for name in (
        "tests/conftest.py",
        "docs/start.md",
        "README.md",
        "CHANGELOG.md",
        "Makefile",
        "pyproject.toml",
    ):
        assert (built / STEM / name).is_file(), name


def test_the_wheel_works_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    """The whole of ``campfire demo``: it simulates an archive, serves it, and does the main job with it."""
    where = run(installed / "python", "-c", "import campfire; print(campfire.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert run(installed / "campfire", "--version", cwd=tmp_path) == f"campfire {VERSION}\n"
    home = {"HOME": str(tmp_path), "MPLBACKEND": "agg"}
    run(installed / "campfire", "demo", "--root", "demo", cwd=tmp_path, **home)
    assert [path.name for path in (tmp_path / "demo").rglob("*.png")]


def test_extras_that_are_named_exist() -> None:
    """In pyproject.toml, the README, the examples and the code, under the name of the distribution."""
    extras = set(PYPROJECT["optional-dependencies"])
    assert PYPROJECT["name"] == DISTRIBUTION
    pages = [ROOT / "README.md", ROOT / "pyproject.toml"]
    for folder in ("docs", "examples", "campfire"):
        pages += [p for p in (ROOT / folder).rglob("*") if p.suffix in {".md", ".py"}]
    found: list[tuple[str, str]] = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found += re.findall(r"(\bcampfire[-\w]*)\[([a-z]+(?:,[a-z]+)*)\]", text)
        found += [(DISTRIBUTION, extra) for extra in re.findall(r'missing_extra\(\s*"[^"]+", "(\w+)"', text)]
        found += [(DISTRIBUTION, extra) for extra in re.findall(r'install_line\("(\w+)"\)', text)]
    assert len(found) > 15
    assert {name for name, _ in found} == {DISTRIBUTION}
    assert {extra for _, listed in found for extra in listed.split(",")} <= extras


def test_the_citation_has_the_version() -> None:
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
