"""Counting wrong passwords, so that guessing them is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Failures"]

MAX_NAMES = 10_000


class Failures:
    """Times of recent failures by name, in memory.

    Examples
    --------
    >>> failures = Failures(clock=lambda: 100.0)
    >>> failures.add("ada@example.org")
    >>> failures.many("ada@example.org", 1, 60), failures.many("ada@example.org", 2, 60)
    (True, False)
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        """Note a failure."""
        with self._lock:
            if len(self._times) >= MAX_NAMES:
                self._times.clear()  # made-up names must not fill the memory
            self._times.setdefault(name, []).append(self._clock())

    def many(self, name: str, limit: int, seconds: float) -> bool:
        """Tell whether ``name`` failed ``limit`` times or more in the last ``seconds``."""
        since = self._clock() - seconds
        with self._lock:
            recent = [at for at in self._times.get(name, ()) if at > since]
            if recent:
                self._times[name] = recent
            else:
                self._times.pop(name, None)
        return len(recent) >= limit
