"""Statements checked: serving in earnest: the address, stopping, public addresses, the log, proxies."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from campfire.archive.server.accounts import Accounts
from campfire.archive.server.app import create_app
from campfire.archive.server.middleware import ACCESS_LOGGER
from campfire.archive.server.runner import serve
from campfire.errors import NotFoundError, ValidationError
from campfire.testing import served

# A connection for each request, and no certificates to load: everything is on loopback.
PLAIN = httpx.Client(verify=False, limits=httpx.Limits(max_keepalive_connections=0))
SCRIPT = """
import sys
from campfire.archive.server.runner import serve
serve(sys.argv[1], port=0, open_access=True, ready=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""


def test_a_signal_stops_it_gracefully(fresh_root: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(fresh_root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    with httpx.Client(verify=False) as client:
        assert client.get(f"{url}/version").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline().strip() == "stopped"
        log = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert re.search(r"127.0.0.1 GET '/api/v1/version' 200 \d+ \d+ms", log)
    assert len(log.splitlines()) == 1


def test_port_zero_picks_one_each_time(template: Path) -> None:
    with served(template) as one, served(template) as other:
        assert one != other


def test_a_taken_port_is_said_so(template: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ValidationError, match="listen"):
        serve(template, port=taken.getsockname()[1], open_access=True)


def test_public_addresses_need_accounts(fresh_root: Path) -> None:
    with Accounts(fresh_root) as accounts:
        for user in accounts.users():
            accounts.store.delete("users", id=user.id)
    with pytest.raises(ValidationError, match="no accounts"):
        serve(fresh_root, "0.0.0.0", 0)
    with pytest.raises(ValidationError, match="open access"):
        serve(fresh_root, "0.0.0.0", 0, open_access=True)


def test_no_catalogue_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no catalogue") as caught:
        create_app(tmp_path)
    assert "campfire index" in str(caught.value.hint)
    with pytest.raises(NotFoundError), served(tmp_path):
        pass


def test_nothing_is_left_running(template: Path) -> None:
    before = set(threading.enumerate())
    with served(template) as url:
        PLAIN.get(f"{url}/version")
    with pytest.raises(httpx.ConnectError):
        PLAIN.get(f"{url}/version")
    left = [thread for thread in set(threading.enumerate()) - before if "campfire" in thread.name]
    assert left == []


def test_requests_under_way_are_finished(template: Path) -> None:
    started = threading.Event()

    def slow(app: Any) -> Any:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            started.set()
            await asyncio.sleep(0.15)
            await app(scope, receive, send)

        return wrapped

    answers: list[int] = []
    with served(template, wrap=slow) as url:
        thread = threading.Thread(target=lambda: answers.append(PLAIN.get(f"{url}/version").status_code))
        thread.start()
        assert started.wait(10)
    thread.join()
    assert answers == [200]


def test_the_log_has_requests_but_no_secrets(template: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS_LOGGER)
    with served(template) as url:
        headers = {"Authorization": "Bearer sesame"}
        path = "spectra/demo_p1/demo_p1_prism_clear_11_spec.fits"
        link = PLAIN.get(f"{url}/spectra", params={"path": path}, headers=headers).json()["url"]
        PLAIN.get(link)
        PLAIN.get(url.removesuffix("/api/v1") + "/cli-auth?code=BCDF-GHJK")
        PLAIN.get(f"{url}/a%0Ab")
    text = "\n".join(record.getMessage() for record in caplog.records if record.name == ACCESS_LOGGER)
    assert "GET '/api/v1/spectra?path=" in text
    assert "/files/demo_p1/demo_p1_prism_clear_11_spec.fits?expires=" in text
    assert "signature=***" in text
    assert "code=***" in text
    assert "\\n" in text
    for secret in ("sesame", link.rpartition("=")[2], "BCDF"):
        assert secret not in text
    assert len(text.splitlines()) == 4


def test_links_behind_a_proxy(template: Path) -> None:
    forwarded = {"Host": "spectra.example.org", "X-Forwarded-Proto": "https", "Authorization": "Bearer x"}
    with served(template) as url:
        device = PLAIN.post(f"{url}/auth/device", headers=forwarded).json()
        assert device["verification_uri"] == "https://spectra.example.org/cli-auth"
        spectra = PLAIN.get(f"{url}/observations/demo_p1/manifest", headers=forwarded).json()["spectra"]
        assert spectra[0]["download_url"].startswith("https://spectra.example.org/files/demo_p1/")


def test_the_public_address_can_be_given(template: Path) -> None:
    for given in ("https://x.org/campfire", "https://x.org/campfire/", "https://x.org/campfire/api/v1"):
        app = create_app(template, open_access=True, base_url=given)
        transport = httpx.ASGITransport(app)

        async def ask(transport: httpx.ASGITransport = transport) -> Any:
            async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
                return (await client.post("/api/v1/auth/device")).json()

        assert asyncio.run(ask())["verification_uri"] == "https://x.org/campfire/cli-auth"
        app.state.archive.close()


def test_a_second_server_shares_the_secret(fresh_root: Path) -> None:
    with served(fresh_root) as one, served(fresh_root) as other, httpx.Client(verify=False) as client:
        headers = {"Authorization": "Bearer x"}
        path = "spectra/demo_p1/demo_p1_prism_clear_11_spec.fits"
        link = client.get(f"{one}/spectra", params={"path": path}, headers=headers).json()["url"]
        moved = link.replace(one.removesuffix("/api/v1"), other.removesuffix("/api/v1"))
        assert moved != link
        assert client.get(moved).status_code == 200


def test_a_signal_before_it_has_started_stops_it_too(template: Path) -> None:
    """Statement: graceful stop; also of whoever read the address and sends the signal at once."""

    def stop_at_once(url: str) -> None:
        del url
        signal.raise_signal(signal.SIGTERM)

    serve(template, port=0, open_access=True, ready=stop_at_once)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "0", "0x0", "::", "[::]", "::ffff:0.0.0.0", "192.0.2.1", "example.org"]
)
def test_open_access_is_refused_wherever_others_can_listen(template: Path, host: str) -> None:
    """Statement: an address of all of a machine's addresses is public, however it is written."""
    with pytest.raises(ValidationError, match="open access"):
        serve(template, host, 0, open_access=True)
