"""The demo: every step is done, said and pictured; a folder of the user's own is left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib.image
import pytest

from campfire.demo import _prepare, run_demo
from campfire.errors import ValidationError

STEPS = (
    "simulate",
    "login",
    "sync",
    "query",
    "download",
    "open",
    "calibrate",
    "stack",
    "collection",
    "cutout",
    "sheet",
)


def test_the_demo_does_the_main_job_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = run_demo(tmp_path / "demo", objects=3, seed=0)
    printed = capsys.readouterr().out
    for step in STEPS:
        assert any(line.startswith(step) and " s " in line for line in printed.splitlines()), step
    drawn = {"spectrum", "calibration", "stack", "collection", "cutout", "sheet"}
    assert {path.stem for path in pictures} == drawn
    for path in pictures:
        image = matplotlib.image.imread(path)
        assert image[..., :3].std() > 0.02, f"{path.name} shows nothing"
        assert str(path) in printed
    # A second run replaces the first, and nothing else.
    (tmp_path / "demo" / "thesis.tex").write_text("mine")
    with pytest.raises(ValidationError, match=r"thesis\.tex"):
        run_demo(tmp_path / "demo", objects=1)
    assert (tmp_path / "demo" / "thesis.tex").read_text() == "mine"
    (tmp_path / "demo" / "thesis.tex").unlink()
    added = tmp_path / "demo" / "archive" / "products" / "our_own" / "our_own_prism_clear_1_spec.fits"
    added.parent.mkdir()
    added.write_text("months of work")
    with pytest.raises(ValidationError, match=r"our_own_prism_clear_1_spec\.fits"):
        run_demo(tmp_path / "demo", objects=1)
    assert added.read_text() == "months of work"
    added.unlink()
    assert run_demo(tmp_path / "demo", objects=1)


def _snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(
    "names", [["archive"], ["mirror"], ["archive", "mirror", "pictures"], ["api_key"], ["x"]]
)
def test_an_archive_that_looks_like_a_demo_is_left_alone(names: list[str], tmp_path: Path) -> None:
    root = tmp_path / "team"
    for name in names:
        (root / name / "products").mkdir(parents=True)
        (root / name / "products" / "a_spec.fits").write_text("months of work")
    before = _snapshot(root)
    with pytest.raises(ValidationError, match="was not made by this demo"):
        run_demo(root, objects=1)
    assert _snapshot(root) == before


def test_a_marker_that_is_a_link_or_says_something_else_is_none(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ".campfire").write_text('{"campfire": "demo"}')
    for content in ("", "{}", "[1]", '{"campfire": "pixel table"}', "[" * 100_000, None):
        root = tmp_path / "root"
        root.mkdir()
        (root / "archive").mkdir()
        if content is None:
            (root / ".campfire").symlink_to(other / ".campfire")
        else:
            (root / ".campfire").write_text(content)
        with pytest.raises(ValidationError, match="was not made by this demo"):
            run_demo(root, objects=1)
        root.rename(tmp_path / f"tried-{len(list(tmp_path.iterdir()))}")


@pytest.mark.parametrize("name", ["archive", "mirror", "pictures"])
@pytest.mark.parametrize("how", ["folder", "link", "file"])
def test_what_took_the_place_of_a_part_of_the_demo_is_left_alone(name: str, how: str, tmp_path: Path) -> None:
    root, work = tmp_path / "demo", tmp_path / "work"
    _prepare(root)
    (work / "products").mkdir(parents=True)
    (work / "products" / "a_spec.fits").write_text("months of work")
    shutil.rmtree(root / name)
    if how == "folder":
        work.rename(root / name)
    elif how == "link":
        (root / name).symlink_to(work)
    else:
        (root / name).write_text("months of work")
    before = _snapshot(tmp_path)
    with pytest.raises(ValidationError, match=f"did not make \\({name}"):
        run_demo(root, objects=1)
    assert _snapshot(tmp_path) == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"spectra": 7}', '{"spectra": [7]}', "[" * 100_000])
def test_an_archive_with_another_truth_is_left_alone(content: str, tmp_path: Path) -> None:
    root = tmp_path / "demo"
    _prepare(root)
    (root / "archive" / "products").mkdir()
    (root / "archive" / "truth.json").write_text(content)
    with pytest.raises(ValidationError, match=r"archive.truth\.json"):
        run_demo(root, objects=1)
    assert (root / "archive" / "truth.json").read_text() == content


def test_a_demo_that_was_interrupted_is_begun_anew(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    _prepare(root)
    (root / "archive" / "products").mkdir()
    (root / "archive" / "products" / "half_spec.fits").write_text("half")
    _prepare(root)
    assert sorted(p.name for p in root.rglob("*") if p.is_file()) == [".campfire"] * 4


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(ValidationError, match="is not a folder"):
        run_demo(tmp_path / "demo", objects=1)
    assert (tmp_path / "demo").read_text() == "mine"
