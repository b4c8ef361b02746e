"""Statements checked: a signal ends the server in time, whatever is under way; a second one, at once."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from campfire.archive.server.accounts import Accounts
from campfire.archive.server.file_links import FileShelf
from campfire.config import DataPaths

DRAIN, STOP = 1.0, 2.0
# Its limits are shorter here. One route hangs, as on a disk that has gone: no thread can be stopped.
SCRIPT = f"""
import sys, time
from campfire.archive.server import runner
from campfire.archive.catalogue.served_catalogue import ServedCatalogue
runner.DRAIN_SECONDS, runner.STOP_SECONDS = {DRAIN}, {STOP}
ServedCatalogue.tags = lambda self, viewer: time.sleep(600)
runner.serve(sys.argv[1], port=0, open_access=True, fixed=True, ready=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""
Start = Callable[[], tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def start(fresh_root: Path) -> Iterator[Start]:
    """Function that starts a server on ``fresh_root``; what still runs at the end is killed."""
    with ExitStack() as stack:

        def started() -> tuple[subprocess.Popen[str], str]:
            command = [sys.executable, "-c", SCRIPT, str(fresh_root)]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            return process, process.stdout.readline().strip()

        yield started


def _connect(url: str, text: str) -> socket.socket:
    """Return a connection on which some bytes were sent."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    sock = socket.create_connection((parts.hostname, parts.port))
    sock.sendall(text.replace("\n", "\r\n").encode())
    return sock


def _download(root: Path) -> str:
    """Return a request for a file that is larger than what sockets hold."""
    path = root / "products" / "demo_p1" / "demo_p1_prism_clear_11_spec.fits"
    with path.open("ab") as stream:
        stream.truncate(80_000_000)
    with Accounts(root, guests=True) as accounts:
        guest = accounts.guest()
        assert guest
        shelf = FileShelf(DataPaths(root), accounts.signer)
        link = shelf.link("", "demo_p1", path.name, int(time.time()) + 600, guest.id)
    return f"GET {link} HTTP/1.1\nHost: x\n\n"


HEAD = "Host: x\nAuthorization: Bearer x\n"
UNDER_WAY = {
    "nothing": [],
    "idle connections": [""],
    "half a request": ["GET /api/v1/version HTT"],
    "half a body": ["POST /api/v1/auth/refresh HTTP/1.1\nHost: x\nContent-Length: 60000\n\n{"],
    "a client that does not read its download": ["download"],
    "a thread that hangs": [f"GET /api/v1/sync/lists HTTP/1.1\n{HEAD}\n"],
    "a queue before threads that hang": [f"GET /api/v1/sync/lists HTTP/1.1\n{HEAD}\n"] * 90,
}
HANGS = {"a thread that hangs", "a queue before threads that hang"}


@pytest.mark.parametrize("what", UNDER_WAY)
def test_a_signal_ends_it_in_time(start: Start, fresh_root: Path, what: str) -> None:
    download = _download(fresh_root)
    process, url = start()
    with ExitStack() as stack:
        for text in UNDER_WAY[what]:
            sock = stack.enter_context(_connect(url, download if text == "download" else text))
            if text == "download":
                assert sock.recv(12) == b"HTTP/1.1 200"
        assert httpx.get(f"{url}/version").status_code == 200  # so all of them have come in
        time.sleep(0.3)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, log = process.communicate(timeout=60)
        taken = time.monotonic() - begin
    assert taken < STOP + 2.0  # two seconds for Python to end on a loaded machine
    assert process.returncode == (1 if what in HANGS else 0), log
    assert ("stopped" in output) == (what not in HANGS)
    assert not list((fresh_root / "meta" / "server" / "views").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(start: Start, fresh_root: Path, number: signal.Signals) -> None:
    process, url = start()
    with _connect(url, f"GET /api/v1/sync/lists HTTP/1.1\n{HEAD}\n"):
        assert httpx.get(f"{url}/version").status_code == 200
        time.sleep(0.3)
        process.send_signal(number)
        time.sleep(0.2)
        begin = time.monotonic()
        process.send_signal(number)
        process.communicate(timeout=60)
        assert time.monotonic() - begin < DRAIN
    assert process.returncode == 128 + number
    assert not list((fresh_root / "meta" / "server" / "views").iterdir())
