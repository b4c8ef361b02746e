"""Statement: an answer is read within limits of bytes (unpacked) and of time; an error as far as needed."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from campfire.errors import APIError, CampfireError
from campfire.transport import body, http
from campfire.transport.auth import Authenticator
from campfire.transport.auth_session import Session
from campfire.transport.http import Http
from campfire.transport.rate_limit import RetryPolicy
from tests.transport.wire_stub import Reply, Stub, stub_server

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


def _session(url: str) -> Session:
    sender = Http(f"{url}/api/v1", retry=RetryPolicy(attempts=2, base=0.001, longest=0.001))
    return Session(sender, Authenticator(sender, token="any"))


def test_an_answer_that_is_too_long_is_not_read_to_its_end(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "MOST_BYTES", 10_000)
    stub.on("/api/v1/metadata", Reply(200, b" " * 9_990 + b"{}", JSON))
    assert _session(stub.url).get_json("/metadata") == {}
    stub.on("/api/v1/metadata", Reply(200, b" " * 20_000_000 + b"{}", JSON))
    with pytest.raises(APIError, match="is longer than 10000 bytes"):
        _session(stub.url).get_json("/metadata")


def test_what_counts_is_the_length_after_unpacking(stub: Stub) -> None:
    bomb = gzip.compress(b" " * (body.MOST_BYTES + 1_000_000), 9)
    assert len(bomb) < 100_000
    stub.on("/api/v1/metadata", Reply(200, bomb, JSON | {"Content-Encoding": "gzip"}))
    with pytest.raises(APIError, match="is longer than"):
        _session(stub.url).get_json("/metadata")


def test_an_error_is_read_as_far_as_it_is_needed(stub: Stub) -> None:
    stub.on("/api/v1/metadata", Reply(500, b'{"error": "broken"}' + b" " * 30_000_000, JSON))
    with pytest.raises(APIError, match="answered 500") as caught:
        _session(stub.url).get_json("/metadata")
    assert len(str(caught.value)) < 1000


def test_the_connection_serves_again_after_an_answer_that_was_too_long(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = _session(stub.url)
    monkeypatch.setattr(body, "MOST_BYTES", 1_000)
    stub.on("/api/v1/metadata", Reply(200, b" " * 5_000, JSON), Reply(200, b"{}", JSON))
    with pytest.raises(APIError, match="is longer than"):
        session.get_json("/metadata")
    assert session.get_json("/metadata") == {}


@pytest.fixture
def dripping() -> Iterator[str]:
    """A service that sends a byte every few milliseconds, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while not ended.wait(0.005):
            try:
                connection.sendall(b" ")
            except OSError:
                break
        connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    ended.set()
    thread.join(5)
    listener.close()


def test_an_answer_that_drips_is_given_up(dripping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(APIError, match="does not end in time"):
        _session(dripping).get_json("/metadata")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("asked", ["86400000", "Fri, 31 Dec 9999 23:59:59 GMT", "9" * 400])
def test_a_pause_of_days_is_not_waited_for(asked: str, stub: Stub) -> None:
    stub.on("/api/v1/metadata", Reply(429, {"error": "later"}, {"Retry-After": asked}))
    started = time.monotonic()
    with pytest.raises(CampfireError, match="429"):
        _session(stub.url).get_json("/metadata")
    assert time.monotonic() - started < 20
