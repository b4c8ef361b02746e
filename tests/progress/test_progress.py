"""Statement: long work shows a bar in a terminal and in a notebook, and nothing anywhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from campfire.errors import ValidationError
from campfire.progress import progress_bars

WORK = """
import time
from campfire import progress
progress._PATIENCE = {patience}
with progress.progress_bars({given}) as report:
    for done in range(0, 1001, 100):
        if report is not None:
            report("download", done, 1000)
        time.sleep(0.02)
"""


def _in_a_terminal(program: str) -> str:
    """Run a program whose stderr is a real terminal; return what it shows."""
    leader, follower = pty.openpty()
    run = subprocess.Popen([sys.executable, "-c", program], stderr=follower, stdout=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            block = os.read(leader, 65536)
        except OSError:  # Linux: the other side was closed
            break
        if not block:
            break
        shown += block
    os.close(leader)
    assert run.wait() == 0, shown
    return shown.decode()


@pytest.mark.parametrize(
    ("given", "patience", "expected"),
    [("None", 0, True), ("True", 0, True), ("False", 0, False), ("None", 60, False)],
)
def test_a_terminal_shows_a_bar_of_long_work(given: str, patience: int, expected: bool) -> None:
    shown = _in_a_terminal(WORK.format(given=given, patience=patience))
    assert ("download" in shown and "1000" in shown) is expected


@pytest.mark.parametrize("given", ["None", "False"])
def test_a_pipe_gets_nothing(given: str) -> None:
    program = WORK.format(given=given, patience=0)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


def test_a_notebook_shows_one_line_that_is_updated() -> None:
    from nbclient import NotebookClient
    from nbformat.notebooknode import from_dict

    cells = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": WORK.format(given=given, patience=0)}
        for given in ("None", "False")
    ]
    book: Any = from_dict({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})  # type: ignore[no-untyped-call]
    NotebookClient(book, timeout=60, kernel_name="python3").execute()
    (shown,) = book.cells[0].outputs
    assert 'value="1000" max="1000"' in shown["data"]["text/html"]
    assert "1,000 of 1,000" in shown["data"]["text/html"]
    assert book.cells[1].outputs == []


def test_functions_are_told_at_once_and_other_things_refused() -> None:
    told: list[tuple[str, int, int | None]] = []
    with progress_bars(lambda *args: told.append(args)) as report:
        assert report is not None
        report("sync", 1, None)
    assert told == [("sync", 1, None)]
    wrong: Any
    for wrong in (3, "yes", []):
        with pytest.raises(ValidationError, match="progress="), progress_bars(wrong):
            pass
