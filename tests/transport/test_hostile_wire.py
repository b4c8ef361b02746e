"""Statement: whatever comes over the wire, a call ends in time, takes bounded memory, and tells no secret.

A server on a real socket sends bytes as no web server would: each script below is one way not to end, to say
what is not true, or to make others show what it likes.
"""

from __future__ import annotations

import gc
import gzip
import json
import logging
import socket
import threading
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from campfire.errors import APIError, CampfireError, DownloadError
from campfire.mirror import transfer
from campfire.mirror.partial import Wanted, part_path
from campfire.mirror.transfer import Downloader
from campfire.transport import body, http
from campfire.transport.api import API
from campfire.transport.auth import Authenticator, post_oauth
from campfire.transport.auth_session import Session
from campfire.transport.device import request_code
from campfire.transport.http import Http, check_file_url
from campfire.transport.rate_limit import RetryPolicy, retry_after
from tests.transport.wire_stub import Reply, Stub, stub_server

TOKEN = "sk_live_0123456789abcdef"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Script = Callable[[bytes], Iterator[bytes]]


@contextmanager
def wire(script: Script) -> Iterator[str]:
    """Answer every connection with the bytes of a script, which gets the request."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            for piece in script(connection.recv(65536)):
                connection.sendall(piece)
                if ended.is_set():
                    return

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.close()


def _slowly(piece: bytes) -> Iterator[bytes]:
    while True:
        time.sleep(0.01)
        yield piece


def _fast(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


_used: list[Http] = []


@pytest.fixture(autouse=True)
def connections() -> Iterator[None]:
    """Connections do not outlast a test."""
    yield
    while _used:
        _used.pop().close()


def _session(url: str) -> Session:
    sender = Http(f"{url}/api/v1", retry=RetryPolicy(attempts=2, base=0.001, longest=0.001))
    _used.append(sender)
    return Session(sender, Authenticator(sender, token=TOKEN))


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


# What comes before the endless part, and the endless part.
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "headers": (OK, b"X-A: b\r\n"),
    "one header": (OK + b"X-A: ", b"b"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of an interim answer": (b"HTTP/1.1 100 Continue\r\n", b"X-A: b\r\n"),
    "body": (OK + b"\r\n", b" "),
    "body of a length": (OK + b"Content-Length: 99999999999\r\n\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "length of a chunk": (CHUNKED, b"0"),
    "extension of a chunk": (CHUNKED + b"2;a=", b"a"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-A: b\r\n"),
    "one trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: ", b"b"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_drips_for_ever_is_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_SECONDS", 0.3)
    start, more = ENDLESS[name]

    def script(_: bytes) -> Iterator[bytes]:
        yield start
        yield from _slowly(more)

    with wire(script) as url:
        began = time.monotonic()
        with pytest.raises(APIError, match=r"does not end|no connection|broke off"):
            _session(url).get_json("/metadata")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("name", ENDLESS)
def test_what_pours_for_ever_is_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of bytes ends it, long before that of time, and whatever the libraries would collect."""
    monkeypatch.setattr(body, "MOST_BYTES", 200_000)
    monkeypatch.setattr(http, "MOST_BYTES", 200_000)
    monkeypatch.setattr(http, "MOST_HEADERS", 100_000)
    start, more = ENDLESS[name]

    def script(_: bytes) -> Iterator[bytes]:
        yield start
        yield from _fast(more * 10_000 if len(more) == 1 else more * 1000)

    with wire(script) as url:
        began = time.monotonic()
        with pytest.raises(APIError, match=r"does not end|is longer than|no connection|broke off"):
            _session(url).get_json("/metadata")
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "400 Bad", "503 Busy"])
def test_an_error_that_drips_is_said_all_the_same(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MOST_ERROR_SECONDS", 0.2)

    def script(_: bytes) -> Iterator[bytes]:
        yield f"HTTP/1.1 {status}\r\n\r\nit is broken".encode()
        yield from _slowly(b" ")

    with wire(script) as url:
        began = time.monotonic()
        with pytest.raises(CampfireError, match=status[:3]):
            _session(url).get_json("/metadata")
        assert time.monotonic() - began < 5


def test_all_tries_together_have_one_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries that each stall just below the timeout of a silence do not add up."""
    monkeypatch.setattr(http, "MOST_SECONDS", 1.0)

    def script(_: bytes) -> Iterator[bytes]:
        time.sleep(0.6)
        yield b""

    with wire(script) as url:
        sender = Http(f"{url}/api/v1", retry=RetryPolicy(50, 0.001, 0.001), timeout=(1.0, 10.0))
        began = time.monotonic()
        with pytest.raises(APIError):
            sender.send("GET", "/metadata")
        assert time.monotonic() - began < 1.5


def test_redirects_that_drip_have_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_SECONDS", 0.4)
    monkeypatch.setattr(http, "FILE_SECONDS", 0.4)

    def script(asked: bytes) -> Iterator[bytes]:
        time.sleep(0.15)
        yield b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /api/v1/%d\r\n\r\n" % time.monotonic_ns()

    with wire(script) as url:
        for call in (
            lambda: _session(url).get_json("/metadata"),
            lambda: _session(url).http.file(f"{url}/f").__enter__(),
        ):
            began = time.monotonic()
            with pytest.raises(CampfireError):
                call()
            assert time.monotonic() - began < 1.0


def _bomb(coding: str) -> bytes:
    plain = b'{"a": "' + b" " * 3_000_000 + b'"}'
    if coding.startswith("gzip, gzip"):
        return gzip.compress(gzip.compress(plain, 9), 9)
    return gzip.compress(plain, 9) if "gzip" in coding.lower() else zlib.compress(plain, 9)


@pytest.mark.parametrize(
    "coding", ["gzip", "x-gzip", "GZIP", "gzip, gzip", "deflate", "br", "zstd", "a\x1bb"]
)
def test_packed_answers_are_unpacked_in_bounds_or_not_at_all(
    coding: str, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "MOST_BYTES", 100_000)
    stub.on("*", Reply(200, _bomb(coding), {"Content-Encoding": coding}))
    with pytest.raises(APIError, match=r"is longer than|not asked for") as caught:
        _session(stub.url).get_json("/metadata")
    assert "\x1b" not in str(caught.value)
    assert all(asked.headers["Accept-Encoding"] == "gzip" for asked in stub.asked)
    stub.on("*", Reply(200, gzip.compress(b'{"a": 1}'), {"Content-Encoding": "gzip"}))
    assert _session(stub.url).get_json("/metadata") == {"a": 1}
    stub.on("*", Reply(200, gzip.compress(b'{"a": 1}')[:-9], {"Content-Encoding": "gzip"}))
    with pytest.raises(APIError, match="broke off"):
        _session(stub.url).get_json("/metadata")


LIES = {
    "shorter than its length": OK + b"Content-Length: 50\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "two lengths in one": OK + b"Content-Length: 2, 3\r\n\r\n{}",
    "length below zero": OK + b"Content-Length: -5\r\n\r\n",
    "length that is none": OK + b"Content-Length: two\r\n\r\n[]",
    "chunk of negative length": CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n",
    "chunk of no length": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "no content with content": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n{}",
    "other protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "early hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5,
    "no http": b"220 mail.example.org ESMTP\r\n",
    "status of another kind": b"HTTP/1.1 99999 No\r\n\r\n",
    "negative status": b"HTTP/1.1 -200 No\r\n\r\n",
    "200 headers": OK + b"X-A: b\r\n" * 200 + b"\r\n{}",
    "header without name": OK + b": x\r\nno colon \x1b[31m\r\nContent-Length: 0\r\n\r\n",
    "bytes": bytes(range(256)) * 8,
    "nothing": b"",
    "old protocol, cut": b"HTTP/1.0 200 OK\r\n\r\n{",
}


@pytest.mark.parametrize("name", LIES)
def test_what_is_not_true_of_an_answer(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with wire(lambda _: iter([LIES[name]])) as url, caplog.at_level(logging.DEBUG):
        began = time.monotonic()
        with pytest.raises(APIError) as caught:
            _session(url).get_json("/metadata")
        assert time.monotonic() - began < 5
    assert "\x1b" not in "".join(traceback.format_exception(caught.value)) + caplog.text
    with warnings.catch_warnings():  # urllib3 forgets some of these connections until they are collected
        warnings.simplefilter("ignore", ResourceWarning)
        del caught
        gc.collect(1)


LOCATIONS = [
    "http://[",
    "http://a:b:c/",
    "http://127.0.0.1:99999999/x",
    "//evil.example/api/v1",
    "https://evil.example\\@127.0.0.1/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x",
    "javascript:alert(1)",
    "data:text/plain,x",
    "\x1b[31m",
    "",
    "?" + "a" * 5000,
    "http://" + "a" * 80 + ".example/x",
    "http://..example/x",
    "https://169.254.169.254/latest/meta-data",
]


@pytest.mark.parametrize("place", LOCATIONS)
def test_where_a_redirect_leads(place: str, stub: Stub) -> None:
    """Nothing but the very origin is asked, and every other place is an error that says so."""
    stub.on("*", Reply(302, b"", {"Location": place}))
    with pytest.raises(CampfireError) as caught:
        _session(stub.url).get_json("/metadata")
    assert "\x1b" not in str(caught.value)
    with suppress(CampfireError), _session(stub.url).http.file(f"{stub.url}/file") as got:
        assert got.status_code == 302


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "127.000.000.001", "2130706433", "0x7f.1", "0", "0.0.0.0", "[::1]", "[::]", "localhost."),
        *("LOCALHOST", "a.localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1."),
        *("169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "2852039166", "224.0.0.1"),
    ],
)
def test_this_machine_by_any_name(host: str) -> None:
    with pytest.raises(DownloadError, match="this machine"):
        check_file_url(f"https://{host}/a?sig=secret", "https://archive.example.org/api/v1")


@pytest.mark.parametrize(
    "url", ["https://a.example/\x1b[31m", "https://a.example/a b", "https://a.example\\@b/", "https://a\n.b/"]
)
def test_addresses_that_readers_read_differently(url: str) -> None:
    with pytest.raises(DownloadError) as caught:
        check_file_url(url, "https://archive.example.org/api/v1")
    assert str(caught.value).isprintable()


def test_a_host_name_that_none_can_be() -> None:
    for host in ("a" * 80 + ".example", "a..example"):
        with pytest.raises(APIError), _session("https://a.example").http.file(f"https://{host}/f"):
            pass


@pytest.mark.parametrize(
    "value",
    [
        *("1000000000", "-5", "-0", "1e9", "NaN", "inf", "", " ", "soon", "٣", "1.5", "0x10", "9" * 5000),
        *(
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Mon, 01 Jan 0001 00:00:00 GMT",
            "Mon, 01 Jan 2024 00:00:00 +2400",
        ),
        *("Mon, 01 Jan 2024 00:00:00 +" + "9" * 30, "Mon, 99 Jan 2024 99:99:99 GMT", "\x00", "1, 2"),
    ],
)
def test_any_retry_after(value: str, stub: Stub) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0
    stub.on(
        "*",
        Reply(503, {"error": "later"}, {"Retry-After": value.encode("latin-1", "replace").decode("latin-1")}),
    )
    began = time.monotonic()
    with pytest.raises(APIError, match="503"):
        _session(stub.url).get_json("/metadata")
    assert time.monotonic() - began < 5


ECHOES: dict[str, Script] = {
    "error of the service": lambda t: _answer("500 No", b'{"error": "you are %s"}' % t),
    "error description": lambda t: _answer("401 No", b'{"error": "x", "error_description": "%s"}' % t),
    "problem": lambda t: _answer(
        "400 No", b'{"title": "%s", "type": "%s"}' % (t, t), b"Content-Type: application/problem+json\r\n"
    ),
    "escaped": lambda t: _answer(
        "500 No", json.dumps({"error": t.decode()}).replace("_", "\\u005f").encode()
    ),
    "html": lambda t: _answer("502 No", b"<html><h1>" + t.replace(b"_", b"&#95;") + b"</h1>"),
    "html, at the edge": lambda t: _answer("502 No", b" " * 2390 + t),
    "reason": lambda t: _answer("500 " + t.decode(), b""),
    "content type": lambda t: _answer("200 OK", b"x", b"Content-Type: " + t + b"\r\n"),
    "row": lambda t: _answer("200 OK", json.dumps({"programs": [], "fields": t.decode() * 30}).encode()),
    "status line": lambda t: iter([t + b"\r\n\r\n"]),
    "header that is none": lambda t: _answer("200 OK", b"no json", b": x\r\n" + t + b"\r\n"),
    "location": lambda t: _answer("302 Found", b"", b"Location: https://x.example/" + t + b"\r\n"),
    "coding": lambda t: _answer("200 OK", b"{}", b"Content-Encoding: " + t + b"\r\n"),
}


def _answer(status: str, content: bytes, headers: bytes = b"") -> Iterator[bytes]:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n".encode()
    yield head + headers + b"\r\n" + content


@pytest.mark.parametrize("name", ECHOES)
def test_a_token_that_comes_back_is_not_shown(
    name: str, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Neither in messages, nor their causes, nor in logs, nor any half of it."""

    def script(asked: bytes) -> Iterator[bytes]:
        return ECHOES[name](asked.partition(b"Bearer ")[2].partition(b"\r\n")[0])

    with wire(script) as url, caplog.at_level(logging.DEBUG):
        with pytest.raises(CampfireError) as caught:
            API(_session(url)).metadata()
        shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
    assert TOKEN[:14] not in shown.replace('"' + TOKEN, "")


def test_refresh_tokens_and_device_codes_that_come_back(stub: Stub) -> None:
    for key in ("refresh_token", "device_code", "token"):
        secret = f"{key}-0123456789"
        stub.on("*", Reply(400, {"error": "invalid_grant", "error_description": f"no {secret}"}))
        with pytest.raises(APIError) as caught:
            post_oauth(_session(stub.url).http, "/auth/refresh", {key: secret})
        assert secret not in str(caught.value)


def test_file_addresses_that_hold_the_token(stub: Stub) -> None:
    session = _session(stub.url)
    stub.on("*", Reply(200, {}))
    session.get_json("/metadata")
    with pytest.raises(DownloadError) as caught:
        check_file_url(f"ftp://x.example/{TOKEN}", session.http.base_url)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32-be"),
    ],
)
def test_json_of_other_encodings(content: bytes, stub: Stub) -> None:
    stub.on("*", Reply(200, content))
    assert _session(stub.url).get_json("/metadata") == {"a": 1}


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' * 200_000,
        '{"a": "é"}'.encode("latin-1"),
        b'{"a": 1}{"a": 2}',
        b'{"a": 1',
        b"{'a': 1}",
        b'{"a": "\x00"}',
    ],
)
def test_json_that_is_none(content: bytes, stub: Stub) -> None:
    stub.on("*", Reply(200, content, {"Content-Type": "application/json; charset=latin-1"}))
    with pytest.raises(APIError, match="not a JSON object"):
        _session(stub.url).get_json("/metadata")


def _rows(first: int, count: int) -> list[dict[str, Any]]:
    row = {"object_id": "J0", "field": "UDS", "ra": 1.0, "dec": 1.0}
    return [{"id": first + n, **row} for n in range(count)]


CIRCLES: dict[str, Callable[[int], dict[str, Any]]] = {
    "the same page": lambda n: {"data": _rows(0, 10), "pagination": {"total": 10**9}},
    "two pages in turn": lambda n: {"data": _rows(n % 2 * 10, 10), "pagination": {"total": 10**9}},
    "nine pages in turn": lambda n: {"data": _rows(n % 9 * 10, 10), "pagination": {"total": 10**9}},
    "shuffled": lambda n: {"data": _rows(0, 10)[n % 10 :] + _rows(0, 10)[: n % 10]},
    "a total that runs away": lambda n: {"data": _rows(n % 9 * 10, 10), "pagination": {"total": 20 + 10 * n}},
    "longer and longer": lambda n: {"data": _rows(0, 10 + n), "pagination": {"total": 10**9}},
}


@pytest.mark.parametrize("name", CIRCLES)
@pytest.mark.parametrize("route", ["objects", "sync_objects"])
def test_pages_that_do_not_end(name: str, route: str, stub: Stub) -> None:
    stub.on("*", lambda asked: Reply(200, CIRCLES[name](int(asked.query["offset"]) // 10)))
    api = API(_session(stub.url), page=10)
    pages = api.objects(page=10) if route == "objects" else api.sync_objects()
    with suppress(APIError):  # or an end, where the first total is the one that counts
        for _ in range(1000):
            next(pages, None)
    assert len(stub.asked) < 100


@pytest.mark.parametrize("value", [0, -1, 1e9, 1e-9, "5", None, True, float("nan"), [], 10**400])
def test_pauses_of_a_sign_in_are_those_of_a_person(value: Any, stub: Stub) -> None:
    answer = {
        "user_code": "ABCD-EFGH",
        "device_code": "x",
        "verification_uri": f"{stub.url}/device",
        "interval": value,
        "expires_in": value,
    }
    stub.on("*", Reply(200, answer))
    code = request_code(_session(stub.url).http)
    assert 1 <= code.interval <= 60
    assert 10 <= code.expires_in <= 3600


@pytest.mark.parametrize(
    "page",
    [
        *(
            "javascript:alert(1)",
            "http://evil.example/",
            "file:///etc/passwd",
            "data:text/html,x",
            "//evil.example/",
        ),
        *("https://me:you@evil.example/", "https://evil.example/\x1b[2J", "https://evil.example/\u202egro"),
        *(
            "https://c\u0430mpfire.example/",
            "https://evil.example\\@good.example/",
            "",
            "https://",
            "--version",
        ),
    ],
)
@pytest.mark.parametrize("key", ["verification_uri", "verification_uri_complete"])
def test_pages_of_a_sign_in(page: str, key: str, stub: Stub) -> None:
    answer = {
        "user_code": "ABCD-EFGH",
        "device_code": "x",
        "verification_uri": f"{stub.url}/device",
        key: page,
    }
    stub.on("*", Reply(200, answer))
    if not page and key != "verification_uri":
        assert request_code(_session(stub.url).http).verification_uri_complete == f"{stub.url}/device"
        return
    with pytest.raises(APIError) as caught:
        request_code(_session(stub.url).http)
    assert str(caught.value).isprintable()


# --- files --------------------------------------------------------------------------------------------------


class _At:
    """Gives one address for every file."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, observation: str, fits_path: str, *, renew: bool = False) -> str:
        return self.url

    def hash_now(self, observation: str, fits_path: str) -> str | None:
        return None


def _wanted(folder: Path, **options: Any) -> Wanted:
    return Wanted("s", "o", "o/s_spec.fits", folder / "o" / "s_spec.fits", **options)


def _downloader(url: str) -> Downloader:
    http = _session(url).http
    return Downloader(http, _At(f"{url}/f"), workers=1, retry=RetryPolicy(2, 0.001, 0.001))


@pytest.mark.parametrize("name", ENDLESS)
def test_files_that_do_not_end(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the size and hash of a catalogue, or without either: nothing fills the disk, and nothing hangs."""
    monkeypatch.setattr(transfer, "_PATIENCE", 0.05)
    monkeypatch.setattr(transfer, "_BELIEVED", 300_000)
    monkeypatch.setattr(http, "FILE_SECONDS", 0.1)
    start, more = ENDLESS[name]
    known = {"file_size": 10_000, "file_hash": "sha256:" + "0" * 64}
    for pieces in (_slowly, _fast):

        def script(_: bytes, pieces: Any = pieces) -> Iterator[bytes]:
            yield start
            yield from pieces(more if pieces is _slowly else more * 50_000)

        with wire(script) as url:
            for options in ({}, known):
                began = time.monotonic()
                with pytest.raises(DownloadError):
                    _downloader(url).fetch(_wanted(tmp_path, **options))
                assert time.monotonic() - began < 10
                assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1_000_000


def test_an_answer_that_starts_again_and_again_is_no_progress(tmp_path: Path) -> None:
    """Parts of 5 kB and 10 kB in turn, never resumed, would else be fetched for ever."""
    count = 0

    def script(_: bytes) -> Iterator[bytes]:
        nonlocal count
        count += 1
        size = 5_000 if count % 2 else 10_000
        yield b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 90000\r\n\r\n' + b"a" * size

    wanted = _wanted(tmp_path, file_size=90_000, file_hash="sha256:" + "0" * 64)
    with wire(script) as url, pytest.raises(DownloadError):
        _downloader(url).fetch(wanted)
    assert count < 20


@pytest.mark.parametrize(
    "lie",
    [
        b"Content-Range: bytes 0-9/10\r\n",
        b"Content-Range: bytes 4-999999999999/1\r\n",
        b"Content-Range: bytes 4-9/99999999999999999999\r\n",
        b"Content-Range: lines 4-9/10\r\n",
        b"Content-Range: bytes 4-9/10\r\nContent-Encoding: gzip\r\n",
        b"",
    ],
)
def test_ranges_that_are_not_what_was_asked_for(lie: bytes, tmp_path: Path) -> None:
    """A resumed file is right in the end, or there is none."""
    import hashlib

    content = b"0123456789"
    wanted = _wanted(tmp_path, file_size=10, file_hash=f"sha256:{hashlib.sha256(content).hexdigest()}")
    wanted.target.parent.mkdir()
    part_path(wanted, '"x"').write_bytes(content[:4])
    asked = 0

    def script(request: bytes) -> Iterator[bytes]:
        nonlocal asked
        asked += 1
        if b"Range:" in request and asked < 3:
            yield b"HTTP/1.1 206 Partial Content\r\nConnection: close\r\n" + lie + b"\r\n456789 and more"
        else:
            yield b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 10\r\n\r\n' + content

    with wire(script) as url, suppress(DownloadError):
        _downloader(url).fetch(wanted)
    assert not wanted.target.exists() or wanted.target.read_bytes() == content


@pytest.mark.parametrize("tag", ["x\r\nX-Evil: 1", "\u20ac", "\x00", "", "no quotes"])
def test_names_of_partial_files_are_no_headers(tag: str, stub: Stub, tmp_path: Path) -> None:
    import base64
    import hashlib

    content = b"0123456789"
    wanted = _wanted(tmp_path, file_size=10, file_hash=f"sha256:{hashlib.sha256(content).hexdigest()}")
    wanted.target.parent.mkdir()
    word = (
        base64.urlsafe_b64encode(f'"{tag}"'.encode() if tag != "no quotes" else tag.encode())
        .decode()
        .rstrip("=")
    )
    key = wanted.file_hash.removeprefix("sha256:")[:32] if wanted.file_hash else ""
    (wanted.target.parent / f".{key}.{word}.part").write_bytes(b"xx")
    stub.on("*", Reply(200, content))
    _downloader(stub.url).fetch(wanted)
    assert wanted.target.read_bytes() == content
    assert "X-Evil" not in stub.asked[0].headers


def test_nothing_of_the_environment_goes_to_the_service(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A netrc never replaces the token, a proxy never sees what goes to this machine, no cookie is kept."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password netrcsecret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    stub.on("*", Reply(200, {}, {"Set-Cookie": "a=b; Domain=127.0.0.1; Path=/"}))
    session = _session(stub.url)
    session.get_json("/metadata")
    session.get_json("/metadata", anonymous=True)
    with session.http.file(f"{stub.url}/f"):
        pass
    assert [asked.headers.get("Authorization") for asked in stub.asked] == [f"Bearer {TOKEN}", None, None]
    assert all("Cookie" not in asked.headers for asked in stub.asked)


def test_a_session_of_the_users_is_left_as_it_is(stub: Stub) -> None:
    mine = requests.Session()
    adapters = dict(mine.adapters)
    stub.on("*", Reply(200, gzip.compress(b'{"a": 1}'), {"Content-Encoding": "gzip"}))
    sender = Http(f"{stub.url}/api/v1", session=mine)
    assert Session(sender, Authenticator(sender, token=TOKEN)).get_json("/x") == {"a": 1}
    assert dict(mine.adapters) == adapters
