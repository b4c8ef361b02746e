"""How fast a pool of downloads may go: one 429 slows every worker, successes speed up again."""

from __future__ import annotations

import threading
import time

from campfire.errors import DownloadError

__all__ = ["Pacing", "Stopped"]

_RECOVERY = 20
"""Files in a row without trouble after which one more may run at once."""
_HOPELESS = 12
"""Files in a row that could not be had, after which the others are not tried."""


class Stopped(Exception):
    """Not an error: the batch is being given up, and what is on disk stays for the next run."""


class Pacing:
    """Places for transfers under way, fewer after the service asked for patience.

    Parameters
    ----------
    workers
        Places at the start, and at most.
    """

    def __init__(self, workers: int) -> None:
        self._most = self._allowed = workers
        self._busy = 0
        self._not_before = 0.0
        self._calm = 0
        self._stop = False
        self._ended = threading.Event()  # by stop() or close(): no pause outlasts it
        self._given_up = 0
        self._closed: str | None = None
        self._changed = threading.Condition()

    def stop(self) -> None:
        """Make every worker give up at its next step."""
        self._stop = True
        self._ended.set()
        with self._changed:
            self._changed.notify_all()

    def check(self) -> None:
        """Raise :class:`Stopped` once :meth:`stop` was called."""
        if self._stop:
            raise Stopped

    def close(self, why: str) -> None:
        """Start nothing more: whoever asks for a place gets a :class:`DownloadError` that says why."""
        with self._changed:
            self._closed = self._closed or why
            self._ended.set()
            self._changed.notify_all()

    def given_up(self, why: str) -> None:
        """Count one file given up because the service failed; thousands of them would take hours."""
        self._given_up += 1
        if self._given_up >= _HOPELESS:
            self.close(why)

    def __enter__(self) -> None:
        with self._changed:
            while True:
                self._check_open()
                wait = self._not_before - time.monotonic()
                if self._busy < self._allowed and wait <= 0:
                    break
                self._changed.wait(wait if wait > 0 else None)
            self._busy += 1

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify()

    def slower(self, seconds: float) -> None:
        """Start nothing for some seconds, and from then on half as much at once."""
        with self._changed:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
            self._allowed = max(1, self._allowed // 2)
            self._calm = 0
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Wait; that ends early, with an exception, when the batch does."""
        self._ended.wait(seconds)
        self._check_open()

    def _check_open(self) -> None:
        self.check()
        if self._closed is not None:
            raise DownloadError(
                f"not tried: {self._closed}", hint="what is here already is kept; try again later"
            )

    def fine(self) -> None:
        """Count one success."""
        with self._changed:
            self._given_up = 0
            self._calm += 1
            if self._calm >= _RECOVERY and self._allowed < self._most:
                self._allowed += 1
                self._calm = 0
                self._changed.notify()

    @property
    def allowed(self) -> int:
        """Transfers that may run at once now."""
        return self._allowed
