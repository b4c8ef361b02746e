"""Counting wrong guesses, so that guessing is slow: passwords, codes, keys."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import Request

__all__ = ["CODES", "KEYS", "PASSWORDS", "WINDOW_SECONDS", "Failures", "TooManyGuesses", "address_of"]

WINDOW_SECONDS = 600.0
PASSWORDS, CODES, KEYS = 10, 20, 100
"""Wrong guesses within the window, of one password, of user codes, and of one key (or of device codes)."""
MAX_NAMES = 10_000


class TooManyGuesses(Exception):
    """Nothing more is checked for ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many wrong guesses: try again in {seconds} s")
        self.seconds = seconds


class Failures:
    """Times of recent wrong guesses by name, in memory.

    A guess counts from before it is checked, so that many at the same time are no more than one by one.

    Examples
    --------
    >>> failures = Failures(clock=lambda: 100.0)
    >>> with failures.guess("ada@example.org", 1) as right:
    ...     pass
    >>> with failures.guess("ada@example.org", 1) as right:
    ...     pass
    Traceback (most recent call last):
        ...
    campfire.archive.server.login_throttle.TooManyGuesses: too many wrong guesses: try again in 600 s
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[bytes, list[float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def guess(self, name: str, limit: int) -> Iterator[Callable[[], None]]:
        """Count a guess at ``name``; call what is given if it was right (or none at all).

        Raises
        ------
        TooManyGuesses
            If ``name`` was guessed wrong ``limit`` times within the window.
        """
        key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()  # names may be long
        started = self._begin(key, limit)
        counts = True

        def right() -> None:
            nonlocal counts
            counts = False

        try:
            yield right
        finally:
            if not counts:
                self._take_back(key, started)

    def _begin(self, key: bytes, limit: int) -> float:
        with self._lock:
            now = self._clock()
            recent = [at for at in self._times.get(key, ()) if at > now - WINDOW_SECONDS]
            if len(recent) >= limit:
                raise TooManyGuesses(max(math.ceil(recent[-limit] + WINDOW_SECONDS - now), 1))
            if key not in self._times and len(self._times) >= MAX_NAMES:
                self._make_room(now)
            self._times[key] = [*recent, now]
            return now

    def _make_room(self, now: float) -> None:
        # Made-up names must not fill the memory, nor push out the name that is being guessed at.
        for key in [key for key, times in self._times.items() if times[-1] <= now - WINDOW_SECONDS]:
            del self._times[key]
        if len(self._times) >= MAX_NAMES:
            del self._times[min(self._times, key=lambda key: (len(self._times[key]), self._times[key][-1]))]

    def _take_back(self, key: bytes, started: float) -> None:
        with self._lock:
            times = self._times.pop(key, [])
            if started in times:
                del times[times.index(started)]
            if times:
                self._times[key] = times


def address_of(request: Request) -> str:
    """Return whom guesses are counted for: an address, or the 64 bits of IPv6 that one customer is given."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4 or address.ipv4_mapped:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False))
