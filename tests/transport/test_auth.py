"""Statements: which token is sent, how logins are kept, renewed and revoked; by threads and by processes."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import stat
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from campfire.config import DEFAULT_BASE_URL, credentials_path, origin
from campfire.errors import APIError, AuthenticationError, CampfireWarning
from campfire.transport import device
from campfire.transport.auth import Authenticator, login_with_key, logout
from campfire.transport.auth_session import Session
from campfire.transport.credentials import Credentials, CredentialStore
from campfire.transport.device import DeviceCode, login_with_browser, poll, request_code
from campfire.transport.http import Http
from campfire.transport.rate_limit import RetryPolicy
from tests.transport.wire_stub import Asked, Reply, Stub, stub_server

QUICK = RetryPolicy(attempts=3, base=0.01, longest=0.02, deadline=2.0)
PRODUCTION = origin(DEFAULT_BASE_URL)
OFFICIAL = {
    "type": "oauth",
    "access_token": "official-access",
    "refresh_token": "rt_official",
    "expires_at": "2099-01-01T00:00:00.123456Z",
    "user_email": "me@example.org",
    "supabase_token": "official-supabase",
    "supabase_url": "https://db.example.org",
    "supabase_anon_key": "official-anon",
    "api_key": None,
}


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


def http_of(stub: Stub) -> Http:
    return Http(f"{stub.url}/api/v1", retry=QUICK)


def login(access: str = "at0", refresh: str = "rt_0", seconds: float = 3600) -> Credentials:
    return Credentials("oauth", access, refresh, datetime.now(UTC) + timedelta(seconds=seconds), "me@x.org")


def tokens(number: int) -> dict[str, Any]:
    return {
        "access_token": f"at{number}",
        "token_type": "Bearer",
        "expires_in": 3600,
        "refresh_token": f"rt_{number}",
        "supabase_token": "database-secret",
        "supabase_url": "https://db.example.org",
        "supabase_anon_key": "database-anon",
    }


class Issuer:
    """A service whose refresh tokens are single use, as the real one's."""

    def __init__(self, stub: Stub) -> None:
        self.number, self.lock, self.refused = 0, threading.Lock(), 0
        stub.on("/api/v1/auth/refresh", self.refresh)
        stub.on("/api/v1/x", self.data)

    def refresh(self, asked: Asked) -> Reply:
        with self.lock:
            if asked.json["refresh_token"] != f"rt_{self.number}":
                self.refused += 1
                return Reply(400, {"error": "invalid_grant", "error_description": "used"})
            self.number += 1
            return Reply(200, tokens(self.number))

    def data(self, asked: Asked) -> Reply:
        with self.lock:
            good = asked.headers.get("Authorization") == f"Bearer at{self.number}" and self.number > 0
        return Reply(200, {"ok": True}) if good else Reply(401, {"error": "invalid_token"})


# --- which token -------------------------------------------------------------------------------------------


def test_first_found_wins(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement: token=, then CAMPFIRE_API_KEY, then the credentials file for that server's origin."""
    http = http_of(stub)
    with pytest.raises(AuthenticationError, match="not logged in") as caught:
        Authenticator(http).bearer()
    assert "campfire login" in str(caught.value.hint)
    CredentialStore().save(origin(stub.url), login("from-file"))
    assert Authenticator(http).bearer() == "from-file"
    monkeypatch.setenv("CAMPFIRE_API_KEY", "sk_from_env")
    assert Authenticator(http).bearer() == "sk_from_env"
    assert Authenticator(http, token=" sk_given\n").bearer() == "sk_given"


def test_a_second_origin_receives_nothing(stub: Stub) -> None:
    """Statement: credentials are bound to the origin that issued them (asserted on the wire)."""
    store = CredentialStore()
    store.save(PRODUCTION, login("production"))
    with stub_server() as other:
        store.save(origin(other.url), login("others"))
        http = http_of(stub)
        with pytest.raises(AuthenticationError):
            Session(http, Authenticator(http)).get_json("/x")
    assert not stub.asked


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ключ"])
def test_a_damaged_token_is_not_shown(stub: Stub, token: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        Authenticator(http_of(stub), token=token).bearer()
    assert token not in str(caught.value)


# --- files -------------------------------------------------------------------------------------------------


def test_files_are_private_from_the_start(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement: 0600 in 0700, created with the mode (whatever the umask), in one step."""
    folder = credentials_path().parent / "new"
    monkeypatch.setenv("CAMPFIRE_CONFIG_DIR", str(folder))
    modes: list[int] = []
    real = os.open

    def watched(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        opened = real(path, flags, mode, **more)
        if "credentials" in str(path):
            modes.append(stat.S_IMODE(os.fstat(opened).st_mode))
        return opened

    monkeypatch.setattr(os, "open", watched)
    former = os.umask(0)
    try:
        store = CredentialStore()
        with store.lock():
            path = store.save(origin(stub.url), login())
    finally:
        os.umask(former)
    assert path == folder / "credentials"
    assert modes
    assert set(modes) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not [p for p in folder.iterdir() if p.name not in ("credentials", "credentials.lock")]


def test_an_official_file_is_read_and_not_broken(stub: Stub) -> None:
    store = CredentialStore()
    store.path.write_text(json.dumps(OFFICIAL))
    store.path.chmod(0o644)
    found = store.load(PRODUCTION)
    assert found is not None
    assert (found.bearer, found.user_email) == ("official-access", "me@example.org")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert store.load(origin(stub.url)) is None
    # An account of another server goes elsewhere, and leaves it byte for byte.
    before = store.path.read_bytes()
    other = store.save(origin(stub.url), login("mine"))
    assert other != store.path
    assert store.path.read_bytes() == before
    assert store.origins() == [PRODUCTION, origin(stub.url)]
    # Renewal keeps exactly the official keys; the database tokens stay what the other program put there.
    store.save(PRODUCTION, Credentials.from_tokens(tokens(5), "me@example.org"))
    after = json.loads(store.path.read_text())
    assert list(after) == list(OFFICIAL)
    assert after["access_token"] == "at5"
    assert after["expires_at"].endswith("Z")
    assert {k: v for k, v in after.items() if "supabase" in k} == {
        k: v for k, v in OFFICIAL.items() if "supabase" in k
    }
    assert store.delete(origin(stub.url))
    assert not store.delete(origin(stub.url))
    assert store.load(PRODUCTION) is not None


def test_a_login_elsewhere_makes_room_for_production(stub: Stub) -> None:
    store = CredentialStore()
    here = origin(stub.url)
    assert store.save(here, login("mine")) == store.path
    assert store.save(here, login("mine2")) == store.path
    assert store.save(PRODUCTION, login("production")) == store.path
    assert "origin" not in json.loads(store.path.read_text())
    found = {where: store.load(where) for where in (here, PRODUCTION)}
    assert {k: v.bearer for k, v in found.items() if v} == {here: "mine2", PRODUCTION: "production"}


def test_database_tokens_are_never_stored(stub: Stub) -> None:
    store = CredentialStore()
    store.save(origin(stub.url), Credentials.from_tokens(tokens(1)))
    assert "database" not in store.path.read_text()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"type": "oauth"}', '{"type": 3}', '{"access_token": 5}']
)
def test_a_damaged_file_is_an_error_that_names_it(stub: Stub, text: str) -> None:
    store = CredentialStore()
    store.path.write_text(text)
    with pytest.raises(AuthenticationError) as caught:
        store.load(PRODUCTION)
    assert str(store.path) in str(caught.value)
    with store.lock():
        store.save(origin(stub.url), login())  # logging in repairs it, if nothing can be read from it
    loaded = store.load(origin(stub.url))
    assert loaded is not None


def test_a_damaged_file_does_not_leak(stub: Stub) -> None:
    store = CredentialStore()
    store.path.write_text('{"access_token": "very' + 'secret", oops')
    with pytest.raises(AuthenticationError) as caught:
        store.load(PRODUCTION)
    assert "very" + "secret" not in "".join(traceback.format_exception(caught.value))


def test_secrets_are_in_no_repr_and_no_pickle(stub: Stub) -> None:
    code = DeviceCode("ABCD-EFGH", "https://x/", "https://x/", 900, 5, "device-secret")
    auth = Authenticator(http_of(stub), token="sk_secret")
    auth.bearer()
    shown = repr(
        [
            login("at-secret", "rt_secret"),
            Credentials("api_key", api_key="sk_secret"),
            code,
            auth,
            auth.source,
        ]
    )
    assert "secret" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(auth)  # it holds a lock; what is pickled is a client, without its token


# --- renewal -----------------------------------------------------------------------------------------------


def test_401_renews_once_and_tries_once_more(stub: Stub) -> None:
    issuer = Issuer(stub)
    store = CredentialStore()
    store.save(origin(stub.url), login())
    http = http_of(stub)
    session = Session(http, Authenticator(http))
    assert session.get_json("/x") == {"ok": True}
    assert [a.path.rpartition("/")[2] for a in stub.asked] == ["x", "refresh", "x"]
    kept = store.load(origin(stub.url))
    assert kept is not None
    assert (kept.access_token, kept.refresh_token, kept.user_email) == ("at1", "rt_1", "me@x.org")
    stub.on("/api/v1/x", Reply(401, {"error": "invalid_token"}))
    with pytest.raises(AuthenticationError):
        session.get_json("/x")
    assert [a.path.rpartition("/")[2] for a in stub.asked[3:]] == ["x", "refresh", "x"]
    assert issuer.refused == 0


def test_an_expiring_login_is_renewed_before_use(stub: Stub) -> None:
    Issuer(stub)
    CredentialStore().save(origin(stub.url), login(seconds=299))
    http = http_of(stub)
    assert Session(http, Authenticator(http)).get_json("/x") == {"ok": True}
    assert [a.path.rpartition("/")[2] for a in stub.asked] == ["refresh", "x"]


def test_no_renewal_without_auto_refresh_or_for_keys(stub: Stub) -> None:
    Issuer(stub)
    CredentialStore().save(origin(stub.url), login(seconds=10))
    http = http_of(stub)
    for auth in (Authenticator(http, auto_refresh=False), Authenticator(http, token="sk_x")):
        with pytest.raises(AuthenticationError):
            Session(http, auth).get_json("/x")
    assert [a.path.rpartition("/")[2] for a in stub.asked] == ["x", "x"]


def test_a_dead_login_says_what_to_do(stub: Stub) -> None:
    stub.on("/api/v1/auth/refresh", Reply(400, {"error": "invalid_grant"}))
    CredentialStore().save(origin(stub.url), login(seconds=-10))
    with pytest.raises(AuthenticationError, match="has expired") as caught:
        Authenticator(http_of(stub)).bearer()
    assert "campfire login" in str(caught.value.hint)
    assert "rt_0" not in "".join(traceback.format_exception(caught.value))


def test_another_program_that_was_faster_is_followed(stub: Stub) -> None:
    """Statement: the official client rotates without our lock; its result is taken."""
    store = CredentialStore()
    where = origin(stub.url)
    store.save(where, login(seconds=-10))

    def rotated(_: Asked) -> Reply:
        threading.Timer(0.1, lambda: store.save(where, login("theirs", "rt_theirs"))).start()
        return Reply(400, {"error": "invalid_grant"})

    stub.on("/api/v1/auth/refresh", rotated)
    assert Authenticator(http_of(stub)).bearer() == "theirs"


def test_the_new_token_is_on_disk_before_it_is_used(stub: Stub) -> None:
    store, seen = CredentialStore(), []
    store.save(origin(stub.url), login(seconds=-10))
    issuer = Issuer(stub)

    def data(asked: Asked) -> Reply:
        seen.append((asked.headers["Authorization"], json.loads(store.path.read_text())["access_token"]))
        return issuer.data(asked)

    stub.on("/api/v1/x", data)
    http = http_of(stub)
    Session(http, Authenticator(http)).get_json("/x")
    assert seen == [("Bearer at1", "at1")]


def test_threads_share_one_renewal(stub: Stub) -> None:
    issuer = Issuer(stub)
    CredentialStore().save(origin(stub.url), login())
    http = http_of(stub)
    session = Session(http, Authenticator(http))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            session.get_json("/x")
        except BaseException as err:
            failures.append(err)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert (issuer.number, issuer.refused) == (1, 0)


def _process(url: str, barrier: Any, results: Any) -> None:
    http = Http(f"{url}/api/v1", retry=QUICK)
    session = Session(http, Authenticator(http))
    barrier.wait()
    try:
        results.put(session.get_json("/x"))
    except Exception as err:
        results.put(repr(err))


def test_processes_share_one_renewal(stub: Stub) -> None:
    """Statement: 4 processes refreshing one login at the same moment stay logged in."""
    issuer = Issuer(stub)
    CredentialStore().save(origin(stub.url), login(seconds=-1))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_process, args=(stub.url, barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert answers == [{"ok": True}] * 4
    assert (issuer.number, issuer.refused) == (1, 0)


# --- logging in and out ------------------------------------------------------------------------------------

WHO = {"user_id": "u", "email": "me@x.org", "full_name": None, "is_admin": False, "created_at": "2026-01-01"}


def test_a_key_is_checked_with_the_service_before_it_is_kept(stub: Stub) -> None:
    stub.on("/api/v1/auth/whoami", Reply(401, {"error": "invalid"}), Reply(200, "<html>"), Reply(200, WHO))
    for bad in ("pk_x", "", "sk_", "sk_with space"):
        with pytest.raises(AuthenticationError):
            login_with_key(http_of(stub), bad)
    with pytest.raises(AuthenticationError):
        login_with_key(http_of(stub), "sk_live_x")
    with pytest.raises(APIError, match="not a JSON object"):
        login_with_key(http_of(stub), "sk_live_x")
    assert CredentialStore().load(origin(stub.url)) is None
    assert login_with_key(http_of(stub), " sk_live_x\n")["email"] == "me@x.org"
    kept = CredentialStore().load(origin(stub.url))
    assert kept is not None
    assert (kept.type, kept.bearer, kept.user_email) == ("api_key", "sk_live_x", "me@x.org")


def test_logout_revokes_and_forgets(stub: Stub) -> None:
    stub.on("/api/v1/auth/revoke", Reply(200, {"revoked": True}))
    CredentialStore().save(origin(stub.url), login())
    assert logout(http_of(stub))
    assert stub.asked[0].json == {"token": "rt_0"}
    assert not logout(http_of(stub))
    CredentialStore().save(origin(stub.url), login())
    stub.on("/api/v1/auth/revoke", Reply(500, "down"))
    with pytest.warns(CampfireWarning, match="could not be told"):
        assert logout(http_of(stub))
    assert CredentialStore().load(origin(stub.url)) is None


CODE = {
    "device_code": "d" * 64,
    "user_code": "BCDF-GHJK",
    "verification_uri": "http://127.0.0.1/cli-auth",
    "verification_uri_complete": "http://127.0.0.1/cli-auth?code=BCDF-GHJK",
    "expires_in": 900,
    "interval": 5,
}


def error(code: str, **more: Any) -> Reply:
    return Reply(400, {"error": code, "error_description": code} | more)


def test_device_flow(stub: Stub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Statement: pending, slow_down (RFC 8628), then the login; shown to the person, no browser over ssh."""
    stub.on("/api/v1/auth/device", Reply(200, CODE))
    stub.on(
        "/api/v1/auth/device/token",
        error("authorization_pending"),
        Reply(502, "<html>gateway</html>"),
        error("slow_down", interval=40),
        error("authorization_pending"),
        Reply(200, tokens(1)),
    )
    stub.on("/api/v1/auth/whoami", Reply(200, WHO))
    monkeypatch.setattr("webbrowser.open", lambda *_: pytest.fail("there is no browser over ssh"))
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")
    shown: list[DeviceCode] = []
    pauses: list[float] = []
    with caplog.at_level(logging.DEBUG):
        who = login_with_browser(http_of(stub), shown.append, sleep=pauses.append)
    assert who == WHO
    assert shown[0].user_code == "BCDF-GHJK"
    assert [round(p, 1) for p in pauses] == [5.2, 5.2, 10.2, 40.2, 40.2]
    kept = CredentialStore().load(origin(stub.url))
    assert kept is not None
    assert (kept.access_token, kept.user_email) == ("at1", "me@x.org")
    body = stub.to("/api/v1/auth/device/token")[0].json
    assert body["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"
    assert body["device_name"]
    assert "d" * 64 not in caplog.text


@pytest.mark.parametrize(
    ("last", "words"),
    [("access_denied", "refused"), ("expired_token", "expired"), ("invalid_grant", "failed")],
)
def test_device_flow_ends(stub: Stub, last: str, words: str) -> None:
    stub.on("/api/v1/auth/device", Reply(200, CODE))
    stub.on("/api/v1/auth/device/token", error("authorization_pending"), error(last))
    with pytest.raises(AuthenticationError, match=words):
        login_with_browser(http_of(stub), lambda _: None, open_browser=False, sleep=lambda _: None)
    assert CredentialStore().load(origin(stub.url)) is None


def test_device_flow_expires_by_the_clock(stub: Stub) -> None:
    stub.on("/api/v1/auth/device/token", error("authorization_pending"))
    code = DeviceCode("BCDF-GHJK", "https://x/", "https://x/", 60, 5, "d")
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    with pytest.raises(AuthenticationError, match="expired"):
        poll(http_of(stub), code, sleep=sleep, clock=lambda: now)
    assert 55 <= now <= 60


@pytest.mark.parametrize(
    "change",
    [
        {"verification_uri": "http://evil.example/x"},
        {"verification_uri_complete": "javascript:alert(1)"},
        {"user_code": "\x1b[2Jpwned"},
        {"user_code": None},
        {"device_code": 7},
    ],
)
def test_device_answers_that_are_refused(stub: Stub, change: dict[str, Any]) -> None:
    stub.on("/api/v1/auth/device", Reply(200, CODE | change))
    with pytest.raises(APIError) as caught:
        request_code(http_of(stub))
    assert "\x1b" not in str(caught.value)


def test_a_browser_opens_only_where_there_is_one_and_on_the_services_host(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(device, "browser_there", lambda: True)
    stub.on("/api/v1/auth/device/token", Reply(200, tokens(1)))
    stub.on("/api/v1/auth/whoami", Reply(200, WHO))
    elsewhere = "https://phish.example.org/cli-auth"
    for page in (CODE, CODE | {"verification_uri": elsewhere, "verification_uri_complete": elsewhere}):
        stub.on("/api/v1/auth/device", Reply(200, page))
        login_with_browser(http_of(stub), lambda _: None, sleep=lambda _: None)
    assert opened == [CODE["verification_uri_complete"]]


def test_no_browser_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSH_CONNECTION", "SSH_TTY", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert not device.browser_there()


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    store = CredentialStore(blocker / "credentials")
    with pytest.raises(AuthenticationError, match="cannot write") as caught, store.lock():
        pass
    assert "CAMPFIRE_API_KEY" in str(caught.value.hint)
