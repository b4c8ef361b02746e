"""Progress bars: in a terminal and in a notebook, nowhere else, and not for what takes no time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from campfire.errors import ValidationError

if TYPE_CHECKING:
    from campfire.typing import ProgressCallback

__all__ = ["progress_bars"]

_PATIENCE = 0.5
"""Seconds of work before a bar appears."""
_PAUSE = 0.1
"""Seconds between two pictures of a bar in a notebook: each is a message to the browser."""


@contextmanager
def progress_bars(progress: ProgressCallback | bool | None = None) -> Iterator[ProgressCallback | None]:
    """Give what a long call reports its progress to, or None.

    Parameters
    ----------
    progress
        None: bars where somebody looks, a terminal or a notebook. True: bars in any case. False: nothing. A
        function is called as ``progress(stage, done, total)``.

    Raises
    ------
    ValidationError
        If it is something else.

    Examples
    --------
    >>> with progress_bars(False) as report:
    ...     report is None
    True
    """
    if callable(progress):
        yield progress
        return
    if progress is not None and not isinstance(progress, bool):
        raise ValidationError(
            f"progress={progress!r}", hint="True, False, or a function of (stage, done, total)"
        )
    notebook = _in_notebook()
    if progress is False or not (progress or notebook or sys.stderr.isatty()):
        yield None
        return
    bars = _NotebookBars() if notebook else _TerminalBars()
    try:
        yield _patient(bars.draw)
    finally:
        bars.close()


def _patient(draw: Callable[[str, int, int | None], None]) -> ProgressCallback:
    start = time.monotonic()

    def report(stage: str, done: int, total: int | None) -> None:
        if time.monotonic() - start >= _PATIENCE:
            draw(stage, done, total)

    return report


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _TerminalBars:
    """Bars on stderr, which vanish when all is done."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def draw(self, stage: str, done: int, total: int | None) -> None:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description:<12}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()


class _NotebookBars:
    """One line a stage below the cell; it stays, as other output does."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[Any, float]] = {}
        self._last: dict[str, str] = {}

    def draw(self, stage: str, done: int, total: int | None) -> None:
        line, drawn = self._lines.get(stage, (None, 0.0))
        html = self._last[stage] = _html(stage, done, total)
        now = time.monotonic()
        if line is None:
            line = _show(html)
        elif now - drawn < _PAUSE and done != total:
            return
        else:
            line.update(_rich(html))
        self._lines[stage] = (line, now)

    def close(self) -> None:
        for stage, (line, _) in self._lines.items():
            line.update(_rich(self._last[stage]))


def _rich(html: str) -> Any:
    from IPython.display import HTML

    return HTML(html)  # type: ignore[no-untyped-call]


def _show(html: str) -> Any:
    from IPython.display import display

    return display(_rich(html), display_id=True)  # type: ignore[no-untyped-call]


def _html(stage: str, done: int, total: int | None) -> str:
    from html import escape

    value = f' value="{done}" max="{total}"' if total else ""
    count = f"{done:,}" + (f" of {total:,}" if total else "")
    return f'<div>{escape(stage)} <progress{value} style="width: 20em"></progress> {count}</div>'
