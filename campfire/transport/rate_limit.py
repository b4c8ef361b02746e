"""Good manners: the documented request rate, back-off with jitter, and what ``Retry-After`` says."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["RateLimit", "RetryPolicy", "retry_after"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again.

    Parameters
    ----------
    attempts
        Tries in all.
    base
        First back-off, seconds; it doubles each time.
    longest
        Upper limit of one back-off, seconds.
    deadline
        No new try starts later than this, seconds after the first.
    """

    attempts: int = 4
    base: float = 0.4
    longest: float = 20.0
    deadline: float = 240.0

    def pause(self, attempt: int, asked: float | None = None) -> float:
        """Return the seconds to wait after try number ``attempt`` (from 0).

        Full jitter (uniform from 0 to the back-off) keeps many clients from returning in step; what the
        service asked for is a lower limit.
        """
        jittered = random.uniform(0.0, min(self.longest, self.base * 2.0**attempt))
        return jittered if asked is None else asked + min(jittered, self.base)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Read a ``Retry-After`` header, in seconds or as a date, into seconds from now.

    Returns None where there is no header or it cannot be read.

    Examples
    --------
    >>> retry_after("7")
    7.0
    >>> retry_after("Sun, 06 Nov 1994 08:49:37 GMT")
    0.0
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


class RateLimit:
    """At most ``requests`` starts in any ``period`` and at most ``concurrent`` calls at once.

    A burst up to the whole allowance goes out undelayed, so that short work never waits.

    Parameters
    ----------
    requests, period
        Allowance and the seconds it counts for; the service documents 100 a minute.
    concurrent
        Calls under way at once; the service documents 10.
    clock, sleep
        Where time comes from.
    """

    def __init__(
        self,
        requests: int = 100,
        period: float = 60.0,
        concurrent: int = 10,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._starts: deque[float] = deque(maxlen=requests)
        self._requests, self._period = requests, period
        self._slots = threading.BoundedSemaphore(concurrent)
        self._lock = threading.Lock()
        self._clock, self._sleep = clock, sleep

    def _wait(self) -> None:
        while True:
            with self._lock:
                now = self._clock()
                if len(self._starts) < self._requests or now - self._starts[0] >= self._period:
                    self._starts.append(now)  # the oldest start falls out by itself
                    return
                pause = self._period - (now - self._starts[0])
            self._sleep(pause)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for permission to call, and hold one of the concurrent places meanwhile."""
        with self._slots:
            self._wait()
            yield
