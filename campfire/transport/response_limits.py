"""How much time, and how many bytes, the other side may take: counted where bytes come off the socket.

A timeout of a socket is for one silence; it starts anew with every byte. Status lines, headers, interim
answers, lengths of chunks and trailers are all read inside the standard library and urllib3 until they end,
so an answer that drips, or never ends, is only seen from below them.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import requests

__all__ = ["Allowance", "bounded_session"]

_here = threading.local()


class Allowance:
    """What may still be taken off the network for one purpose.

    Parameters
    ----------
    seconds, most
        Time from now on, and bytes on the wire, headers included.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self.ends = time.monotonic() + seconds
        self.bytes = most
        self.over: str | None = None
        """Which of them was used up, in words, once it was."""

    @property
    def seconds(self) -> float:
        """Seconds that are left; negative where it is too late."""
        return self.ends - time.monotonic()

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Take what this thread reads meanwhile from this allowance, and raise ``TimeoutError`` beyond it."""
        former = getattr(_here, "allowance", None)
        _here.allowance = self
        try:
            yield
        finally:
            _here.allowance = former


class _Reader(io.RawIOBase):
    """The bytes of one connection, as far as the allowance of the thread goes that reads them."""

    def __init__(self, raw: io.RawIOBase, sock: Any) -> None:
        self._raw = raw
        self._socket = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        allowance: Allowance | None = getattr(_here, "allowance", None)
        if allowance is None:
            return cast("int | None", self._raw.readinto(buffer))
        left, usual = allowance.seconds, self._socket.gettimeout()
        if left <= 0:
            allowance.over = "does not end in time"
            raise TimeoutError(allowance.over)
        shorter = usual is None or left < usual
        if shorter:
            self._socket.settimeout(left)
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError:
            if shorter:
                allowance.over = "does not end in time"
            raise
        finally:
            if shorter:
                self._socket.settimeout(usual)
        allowance.bytes -= count or 0
        if allowance.bytes < 0:
            allowance.over = "does not end"
            raise TimeoutError(allowance.over)
        return cast("int | None", count)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_Reader(self.fp.detach(), sock))


@lru_cache
def _bounded(pool: type) -> type:
    """Return a class of connection pools whose answers are read through :class:`_Reader`."""
    connection = type("Connection", (pool.ConnectionCls,), {"response_class": _Response})  # type: ignore[attr-defined]
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


def _bound(manager: Any) -> Any:
    manager.pool_classes_by_scheme = {k: _bounded(v) for k, v in manager.pool_classes_by_scheme.items()}
    return manager


def bounded_session() -> requests.Session:
    """Return a session whose reads can be counted by an :class:`Allowance`."""
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            _bound(self.poolmanager)

        def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
            known = proxy in self.proxy_manager
            manager = super().proxy_manager_for(proxy, **kwargs)
            return manager if known else _bound(manager)

    session = requests.Session()
    adapter = Adapter(pool_connections=8, pool_maxsize=32, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
