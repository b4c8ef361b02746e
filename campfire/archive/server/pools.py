"""Threads of their own for heavy work, so that it never takes those that answer everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

__all__ = ["Busy", "Pool"]

T = TypeVar("T")


class Busy(Exception):
    """So much waits already that more would only wait in vain."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the server is busy: try again in {seconds} s")
        self.seconds = seconds


class Pool:
    """Does one kind of work, a few at a time, and lets a bounded number wait.

    Parameters
    ----------
    threads
        How many at a time.
    waiting
        How many may wait beyond those.
    retry
        Seconds after which whoever is turned away should come again.
    """

    def __init__(self, threads: int, waiting: int, *, retry: int) -> None:
        self._limiter = CapacityLimiter(threads)
        self._room = threads + waiting
        self._held = 0  # changed in the event loop only
        self._retry = retry

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, run in one of the threads.

        Raises
        ------
        Busy
            If as many wait as may.
        """
        if self._held >= self._room:
            raise Busy(self._retry)
        self._held += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._held -= 1
