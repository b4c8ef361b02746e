"""Run the application on a real socket: in the foreground, or in a thread."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campfire.archive.server.accounts import Accounts
from campfire.archive.server.middleware import ACCESS_LOGGER
from campfire.config import is_loopback
from campfire.errors import ValidationError
from campfire.typing import PathInput

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

__all__ = ["running", "serve"]

DRAIN_SECONDS = 8
"""After a signal, for which what is under way may go on; then it is cancelled."""
STOP_SECONDS = 10
"""After a signal, at which the process has ended, whatever cannot be cancelled."""


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: from here on, clients that connect are served or wait."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; else every answer waits 40 ms for an ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(1024)
    except (OSError, OverflowError) as err:
        sock.close()
        raise ValidationError(
            f"cannot listen on {host}:{port}: {err}", hint="is another server there? port 0 picks a free one"
        ) from err
    return sock


def _url(sock: socket.socket, host: str) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{sock.getsockname()[1]}/api/v1"


def _server(app: ASGIApp) -> uvicorn.Server:
    import uvicorn

    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,  # it would hold signatures; campfire.archive.server.middleware writes ours
        proxy_headers=True,  # believed from 127.0.0.1 only, or from $FORWARDED_ALLOW_IPS
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=1024,
    )
    return uvicorn.Server(config)


def _check_address(root: Path, host: str, open_access: bool) -> None:
    if is_loopback(host):
        return
    if open_access:
        raise ValidationError(
            f"open access is refused on {host}: anyone who reaches it could read everything",
            hint="make accounts with `campfire user add EMAIL`, or serve on 127.0.0.1 behind a proxy",
        )
    with Accounts(root) as accounts:
        if not accounts.users():
            raise ValidationError(
                f"nobody could sign in on {host}: there are no accounts",
                hint="make one with `campfire user add EMAIL`, or serve on 127.0.0.1",
            )


def serve(
    root: PathInput,
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    open_access: bool = False,
    fixed: bool = False,
    base_url: str | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a data root until SIGINT or SIGTERM.

    What is under way then may go on for 8 s and is cancelled; 10 s after the signal the process has ended in
    any case (with exit code 1 if it had to leave work behind). A second signal ends it at once.

    Parameters
    ----------
    root
        Data root: ``meta/campfire.db``, ``products/``, ``imaging/``.
    host, port
        Where to listen; port 0 picks a free one.
    open_access
        Any bearer token reads everything (on loopback only).
    fixed
        Answer correctly where the deployed service does not.
    base_url
        Public address behind a proxy that does not pass one on.
    ready
        Called with the API's base URL once clients can connect.

    Raises
    ------
    NotFoundError
        If there is no catalogue.
    ValidationError
        If the address is public and there are no accounts, or is taken.
    """
    from campfire.archive.server.app import create_app

    path = Path(root).expanduser().absolute()
    app = create_app(path, open_access=open_access, fixed=fixed, base_url=base_url)
    try:
        _check_address(path, host, open_access)
        server = _server(app)
        with _listen(host, port) as sock, _stoppable(server, app.state.archive.discard), _logging():
            if ready is not None:
                ready(_url(sock, host))
            server.run(sockets=[sock])
    finally:
        app.state.archive.close()


@contextmanager
def _logging() -> Iterator[None]:
    """Write the access log to stderr, unless whoever called has set up logging."""
    log = logging.getLogger(ACCESS_LOGGER)
    if log.hasHandlers():
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


@contextmanager
def _stoppable(server: uvicorn.Server, discard: Callable[[], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM mean a graceful stop that ends in time, and a second one an end at once.

    From before the server listens to them; its own handler knows no limit for work in threads.
    """
    asked, ended = threading.Event(), threading.Event()

    def leave(code: int) -> None:
        discard()
        # What is under way in threads cannot be stopped, only left. It writes aside, so nothing is torn.
        os._exit(code)

    def stopped(number: int, frame: Any) -> None:
        if server.should_exit:
            leave(128 + number)
        server.should_exit = True
        asked.set()
        logging.getLogger(__name__).info("stopped by signal %d", number)

    def watch() -> None:
        asked.wait()
        if not ended.wait(STOP_SECONDS):
            logging.getLogger(__name__).error("left what was not finished after %s s", STOP_SECONDS)
            leave(1)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    setattr(server, "handle_exit", stopped)  # noqa: B010 - mypy lets no method be replaced
    before = {number: signal.signal(number, stopped) for number in (signal.SIGINT, signal.SIGTERM)}
    # Started now: a signal handler must not start threads.
    watching = threading.Thread(target=watch, name="campfire-stop", daemon=True)
    watching.start()
    running_before = set(threading.enumerate())
    try:
        yield
        # Python would wait for these before it ends, however long they take.
        for thread in set(threading.enumerate()) - running_before:
            thread.join()
    finally:
        ended.set()
        asked.set()
        watching.join()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve an application from a thread while the block runs; yield the API's base URL."""
    server = _server(app)
    with _listen(host, port) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="campfire-server")
        thread.start()
        try:
            yield _url(sock, host)
        finally:
            server.should_exit = True
            thread.join()
