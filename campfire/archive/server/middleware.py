"""The access log, one line a request, without secrets; and a check of the name the server is called by."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from campfire.archive.server.answers import answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ACCESS_LOGGER", "AccessLog", "NamedHost", "hide_secrets"]

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


_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class NamedHost:
    """ASGI middleware that answers 400 to a ``Host`` that is no name: links are made with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        hosts = [value for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] == "http" and not all(_HOST.fullmatch(host) for host in hosts):
            await answer({"error": "the Host header is no name"}, status=400)(scope, receive, send)
            return
        await self._app(scope, receive, send)
