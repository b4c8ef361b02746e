"""The access log: one line a request, without secrets."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ACCESS_LOGGER", "AccessLog", "hide_secrets"]

ACCESS_LOGGER = "campfire.server.access"
_SECRET = re.compile(r"\b(signature|code|token)=[^&]*")


def hide_secrets(query: str) -> str:
    """Return a query string whose signatures and codes are starred out.

    Examples
    --------
    >>> hide_secrets("expires=12&signature=ab34")
    'expires=12&signature=***'
    """
    return _SECRET.sub(r"\1=***", query)


class AccessLog:
    """ASGI middleware that logs client, request line, status, bytes and time; never headers or bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = logging.getLogger(ACCESS_LOGGER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not self._log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        start, status, size = time.perf_counter(), 0, 0

        async def noting(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            query = hide_secrets(scope["query_string"].decode("latin-1"))
            target = scope["path"] + (f"?{query}" if query else "")
            client = (scope.get("client") or ("-",))[0]
            taken = 1000 * (time.perf_counter() - start)
            # repr keeps control characters of the path out of the log.
            self._log.info("%s %s %r %d %d %.0fms", client, scope["method"], target, status, size, taken)
