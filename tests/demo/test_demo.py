"""The demo: every step is done, said and pictured; a folder of the user's own is left alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import pytest

from campfire.demo import run_demo
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
)


def test_the_demo_does_the_main_job_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = run_demo(tmp_path / "demo", objects=3, seed=0)
    printed = capsys.readouterr().out
    for step in STEPS:
        assert any(line.startswith(step) and " s " in line for line in printed.splitlines()), step
    assert {path.stem for path in pictures} == {"spectrum", "calibration", "stack", "collection", "cutout"}
    for path in pictures:
        image = matplotlib.image.imread(path)
        assert image[..., :3].std() > 0.02, f"{path.name} shows nothing"
        assert str(path) in printed
    # A second run replaces the first, and nothing else.
    (tmp_path / "demo" / "thesis.tex").write_text("mine")
    with pytest.raises(ValidationError, match=r"thesis\.tex"):
        run_demo(tmp_path / "demo", objects=1)
    assert (tmp_path / "demo" / "thesis.tex").read_text() == "mine"
