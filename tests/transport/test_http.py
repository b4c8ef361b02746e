"""Statements: timeouts, retries, redirects, rates and error mapping of one exchange, on a real socket."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from campfire.errors import (
    APIError,
    AuthenticationError,
    CampfireError,
    DownloadError,
    NotFoundError,
    ValidationError,
)
from campfire.transport.auth import Authenticator
from campfire.transport.auth_session import Session
from campfire.transport.http import Http, check_file_url
from campfire.transport.problems import bare_url, printable
from campfire.transport.rate_limit import RateLimit, RetryPolicy, retry_after
from tests.transport.wire_stub import Asked, Reply, Stub, stub_server

QUICK = RetryPolicy(attempts=4, base=0.01, longest=0.02, deadline=2.0)
TOKEN = "sk_live_verysecret"


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


def session_of(stub: Stub, **options: Any) -> Session:
    http = Http(f"{stub.url}/api/v1", retry=options.pop("retry", QUICK), **options)
    return Session(http, Authenticator(http, token=TOKEN))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, APIError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, NotFoundError),
        (418, APIError),
        (500, APIError),
        (502, APIError),
        (503, APIError),
    ],
)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "Programme not accessible", "details": "row 5"}, "Programme not accessible: row 5"),
        ({"error": "invalid_token", "error_description": "The token is bad"}, "The token is bad"),
        (
            {"title": "Out of cheese", "detail": "none left", "type": "about:x", "status": 1},
            "Out of cheese: none left",
        ),
        ("<html><style>p{}</style><h1>Bad&nbsp;gateway</h1>\x1b[31m</html>", "Bad gateway"),
        (b"", ""),
        (b"\xff\xfe{", ""),
        ([1, 2], ""),
    ],
)
def test_failures_are_the_documented_exceptions(
    stub: Stub, status: int, kind: type[CampfireError], body: Any, words: str
) -> None:
    stub.on("/api/v1/objects", Reply(status, body))
    with pytest.raises(kind) as caught:
        session_of(stub).get_json("/objects", {"search": "x"})
    error = caught.value
    assert type(error) is kind
    assert error.status == status
    assert error.url == f"{stub.url}/api/v1/objects"
    assert words in str(error)
    assert "\x1b" not in str(error)
    assert TOKEN not in "".join(traceback.format_exception(error))


def test_problem_documents_keep_type_and_instance(stub: Stub) -> None:
    body = {"title": "T", "type": "https://x/problem", "instance": "/7"}
    stub.on("/api/v1/x", Reply(400, body, {"Content-Type": "application/problem+json"}))
    with pytest.raises(APIError) as caught:
        session_of(stub).get_json("/x")
    assert caught.value.__notes__ == ["type: https://x/problem", "instance: /7"]


@pytest.mark.parametrize("fault", [Reply(500, "no"), Reply(429, {}), Reply(503), Reply(200, {"a": 1}, cut=3)])
def test_idempotent_calls_are_tried_again(stub: Stub, fault: Reply) -> None:
    stub.on("/api/v1/x", fault, fault, Reply(body={"a": 1}))
    assert session_of(stub).get_json("/x") == {"a": 1}
    assert len(stub.asked) == 3


def test_a_call_gives_up_after_its_attempts(stub: Stub) -> None:
    stub.on("/api/v1/x", Reply(503, "down"))
    with pytest.raises(APIError, match="503: down"):
        session_of(stub).get_json("/x")
    assert len(stub.asked) == QUICK.attempts


def test_posts_are_not_repeated_but_after_429(stub: Stub) -> None:
    http = session_of(stub).http
    stub.on("/api/v1/p", Reply(500), Reply(200))
    assert http.send("POST", "/p", json={}).status_code == 500
    stub.on("/api/v1/q", Reply(429), Reply(200))
    assert http.send("POST", "/q", json={}).status_code == 200
    stub.on("/api/v1/r", Reply(200, b"abcdef", cut=1), Reply(200))
    with pytest.raises(APIError, match="broke off"):
        http.send("POST", "/r", json={})
    assert [len(stub.to(f"/api/v1/{p}")) for p in "pqr"] == [1, 2, 1]


def test_retry_after_is_kept_to(stub: Stub) -> None:
    stub.on("/api/v1/x", Reply(429, {}, {"Retry-After": "1"}), Reply(body={}))
    started = time.monotonic()
    session_of(stub).get_json("/x")
    assert time.monotonic() - started >= 1.0


def test_a_retry_after_beyond_the_deadline_fails_at_once(stub: Stub) -> None:
    stub.on("/api/v1/x", Reply(429, {}, {"Retry-After": "3600"}))
    with pytest.raises(APIError, match="429"):
        session_of(stub).get_json("/x")
    assert len(stub.asked) == 1


@given(st.integers(0, 10**6))
def test_retry_after_reads_both_forms(seconds: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after(str(seconds)) == seconds
    assert retry_after(format_datetime(now + timedelta(seconds=seconds), usegmt=True), now) == seconds
    assert retry_after(format_datetime(now - timedelta(seconds=seconds + 1), usegmt=True), now) == 0


@given(st.text(max_size=30))
def test_retry_after_survives_anything(text: str) -> None:
    value = retry_after(text)
    assert value is None or value >= 0


@given(st.integers(0, 30), st.one_of(st.none(), st.floats(0, 100)))
def test_pauses_have_full_jitter_above_what_was_asked(attempt: int, asked: float | None) -> None:
    pause = RetryPolicy().pause(attempt, asked)
    assert (asked or 0) <= pause <= (asked or 0) + 20


def test_silence_times_out(stub: Stub) -> None:
    stub.on("/api/v1/x", Reply(stall=0.15))
    session = session_of(stub, timeout=(1.0, 0.03), retry=RetryPolicy(2, 0.001, 0.001))
    with pytest.raises(APIError, match="no answer in time"):
        session.get_json("/x")
    assert len(stub.asked) == 2


def test_nobody_there_is_an_api_error() -> None:
    with stub_server() as gone:
        pass
    http = Http(f"{gone.url}/api/v1", retry=QUICK)
    with pytest.raises(APIError, match="no connection") as caught:
        Session(http, Authenticator(http, token=TOKEN)).get_json("/x")
    assert "network" in str(caught.value.hint)
    cause = caught.value.__cause__
    assert isinstance(cause, requests.RequestException)
    assert cause.request is None  # it would hold the token


@pytest.mark.parametrize(
    "body", ["<html>log in to the hotel wifi</html>", b"", b"\xff", [1], b"nul", b"[" * 100_000]
)
def test_a_success_that_is_no_json_object(stub: Stub, body: Any) -> None:
    stub.on("/api/v1/x", Reply(200, body))
    with pytest.raises(APIError, match="not a JSON object"):
        session_of(stub).get_json("/x")


@pytest.mark.parametrize(
    "path", ["https://evil.example/x", "//evil.example/x", "x", "", "/a://b", "\\\\evil\\x"]
)
def test_only_paths_are_asked_for(stub: Stub, path: str) -> None:
    with pytest.raises(ValidationError, match="not a path"):
        session_of(stub).get_json(path)
    assert not stub.asked


def test_no_redirect_to_another_host(stub: Stub) -> None:
    """Statement: no token to another host, not over redirects (asserted on the wire)."""
    with stub_server() as other:
        other.on("*", Reply(body={"got": "you"}))
        for status in (301, 302, 307, 308):
            stub.on("/api/v1/x", Reply(status, b"", {"Location": f"{other.url}/api/v1/x"}))
            with pytest.raises(APIError) as caught:
                session_of(stub).get_json("/x")
            assert caught.value.status == status
        assert not other.asked


def test_redirects_within_the_origin_are_followed(stub: Stub) -> None:
    stub.on("/api/v1/x", Reply(308, b"", {"Location": "/api/v1/y"}))
    stub.on("/api/v1/y", Reply(body={"here": True}))
    assert session_of(stub).get_json("/x", {"a": 1}) == {"here": True}
    stub.on("/api/v1/loop", Reply(302, b"", {"Location": "/api/v1/loop2"}))
    stub.on("/api/v1/loop2", Reply(302, b"", {"Location": "/api/v1/loop"}))
    with pytest.raises(APIError, match="302"):
        session_of(stub).get_json("/loop")


def test_files_get_no_token_whatever_the_session_holds(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Statement: signed addresses see no credentials: not ours, nor the session's, nor those of ~/.netrc."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password netrcsecret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    mine = requests.Session()
    mine.headers["Authorization"] = "Bearer of-the-user"
    stub.on("/file", Reply(307, b"", {"Location": "/moved"}))
    stub.on("/moved", Reply(200, b"data"))
    stub.on("/api/v1/x", Reply(body={}))
    session = session_of(stub, session=mine)
    session.get_json("/x")
    with session.http.file(f"{stub.url}/file?X-Signature=s") as response:
        assert response.raw.read() == b"data"
    assert stub.to("/api/v1/x")[0].headers["Authorization"] == f"Bearer {TOKEN}"
    for asked in stub.to("/file") + stub.to("/moved"):
        assert "Authorization" not in asked.headers
        assert "Cookie" not in asked.headers


@pytest.mark.parametrize(
    "url",
    [
        "#download-placeholder-a/b.fits",
        "http://store.example.org/a",
        "ftp://x/y",
        "file:///etc/passwd",
        "",
        None,
        7,
        "https://me:pw@store.example.org/a",
        "https://store.example.org:99999999/a",
    ],
)
def test_file_addresses_that_are_refused(url: Any) -> None:
    with pytest.raises(DownloadError) as caught:
        check_file_url(url, "http://127.0.0.1:1/api/v1")
    assert "pw" not in str(caught.value)


def test_a_remote_service_cannot_send_us_to_this_machine() -> None:
    assert check_file_url("http://127.0.0.1:9/a", "http://localhost:1/api/v1")
    with pytest.raises(DownloadError, match="this machine"):
        check_file_url("http://127.0.0.1:9/a?s=secret", "https://archive.example.org/api/v1")


def test_file_redirects_are_checked_too(stub: Stub) -> None:
    stub.on("/file", Reply(302, b"", {"Location": "http://store.example.org/a?sig=verysecret"}))
    with (
        pytest.raises(DownloadError, match="refused") as caught,
        session_of(stub).http.file(f"{stub.url}/file"),
    ):
        pass
    assert "verysecret" not in "".join(traceback.format_exception(caught.value))


def test_signatures_stay_out_of_errors() -> None:
    with stub_server() as gone:
        pass
    http = Http(f"{gone.url}/api/v1")
    secret = "very" + "secret"  # a traceback shows this line
    with pytest.raises(APIError) as caught, http.file(f"{gone.url}/f?X-Signature={secret}"):
        pass
    assert "verysecret" not in "".join(traceback.format_exception(caught.value))
    assert bare_url("https://a:b@c.org/d?e#f") == "https://c.org/d"


def test_nothing_secret_is_logged(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    stub.on("*", Reply(body={}))
    session = session_of(stub)
    with caplog.at_level(logging.DEBUG):
        session.get_json("/x")
        with session.http.file(f"{stub.url}/file?X-Signature=verysecret"):
            pass
    assert TOKEN not in caplog.text
    assert "verysecret" not in caplog.text


def test_plus_is_encoded(stub: Stub) -> None:
    stub.on("*", Reply(body={}))
    session_of(stub).get_json("/objects", {"search": "J1+2 3&x=%"})
    assert "search=J1%2B2+3%26x%3D%25" in stub.asked[0].raw
    assert stub.asked[0].query["search"] == "J1+2 3&x=%"


def test_cookies_are_not_kept(stub: Stub) -> None:
    stub.on("*", Reply(body={}, headers={"Set-Cookie": "a=b"}))
    session = session_of(stub)
    session.get_json("/x")
    session.get_json("/x")
    assert all("Cookie" not in asked.headers for asked in stub.asked)


# --- rates -------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 5), max_size=120), st.integers(1, 20))
def test_no_window_sees_more_than_the_allowance(gaps: list[float], allowed: int) -> None:
    """Statement: in no 10 s are there more starts than allowed, and a burst up to it is not delayed."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += max(seconds, 1e-9)

    limit = RateLimit(allowed, 10.0, 5, clock=lambda: now, sleep=sleep)
    starts = []
    for gap in gaps:
        now += gap
        with limit.slot():
            starts.append(now)
    for index in range(len(starts) - allowed):
        assert starts[index + allowed] - starts[index] >= 10.0 - 1e-6
    slept: list[float] = []
    fresh = RateLimit(allowed, 10.0, 5, clock=lambda: 0.0, sleep=slept.append)
    for _ in range(allowed):
        with fresh.slot():
            pass
    assert not slept


def test_at_most_ten_calls_at_once(stub: Stub) -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def count(_: Asked) -> Reply:
        return Reply(body={})

    def counted(limit: RateLimit) -> None:
        nonlocal busy, most
        with limit.slot():
            with lock:
                busy += 1
                most = max(most, busy)
            full.wait(timeout=30)  # only ten in their slots together get on
            with lock:
                busy -= 1

    limit, full = RateLimit(1000, 60.0, 10), threading.Barrier(10)
    threads = [threading.Thread(target=counted, args=(limit,)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 10
    stub.on("*", count)
    assert session_of(stub).http._limit is None  # loopback services are not limited
    assert Http("https://archive.example.org/api/v1")._limit is not None


@given(st.text())
def test_printable_is_one_short_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= 300
