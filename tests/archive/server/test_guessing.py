"""Statements checked: wrong passwords, codes and keys are limited, also when many come at the same moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.archive.server.accounts import Accounts
from campfire.archive.server.app import create_app
from campfire.archive.server.archive import Archive
from campfire.archive.server.login_throttle import (
    CODES,
    KEYS,
    MAX_NAMES,
    PASSWORDS,
    WINDOW_SECONDS,
    Failures,
    TooManyGuesses,
    address_of,
)
from campfire.archive.server.runner import running

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
AT_ONCE = 200
HTTP = httpx.Client(
    timeout=120, verify=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
)


@dataclass
class Clock:
    """Time that tests move."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Served:
    """A server, what it checks, and the time its limits go by."""

    url: str
    archive: Archive
    key: str
    clock: Clock
    checked: Counter[str]

    def page(self, **form: str) -> httpx.Response:
        """Send the form of the sign-in page."""
        return HTTP.post(self.url.removesuffix("/api/v1") + "/cli-auth", data=form)


@pytest.fixture
def there(fresh_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server with one account; it counts what reaches the accounts."""
    with Accounts(fresh_root) as accounts:
        accounts.add_user(EMAIL, PASSWORD)
        key = accounts.add_key(EMAIL)
    app = create_app(fresh_root)
    archive: Archive = app.state.archive
    clock, checked = Clock(), Counter[str]()
    archive.failures = Failures(clock=clock)

    def counting(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            checked[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(owner, name, counted)

    counting(archive.accounts, "check_password")
    counting(archive.accounts, "user_of")
    counting(archive.devices, "check")
    counting(archive.devices, "decide")
    counting(archive.devices, "poll")
    with ExitStack() as stack:
        stack.callback(archive.close)
        yield Served(stack.enter_context(running(app)), archive, key, clock, checked)


def _at_once(ask: Callable[[int], httpx.Response]) -> Counter[int]:
    """Ask from 200 threads at the same moment; return how often which status came."""
    start = threading.Barrier(AT_ONCE)

    def one(number: int) -> int:
        start.wait()
        answer = ask(number)
        if answer.status_code in (429, 503):
            assert int(answer.headers["retry-after"]) > 0
        return answer.status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(one, range(AT_ONCE)))


def test_parallel_passwords(there: Served) -> None:
    statuses = _at_once(lambda number: there.page(email=EMAIL, password=f"guess {number}"))
    assert there.checked["check_password"] <= PASSWORDS
    assert set(statuses) <= {403, 429, 503}
    assert statuses[403] == there.checked["check_password"]
    for number in range(PASSWORDS):
        there.page(email=EMAIL.upper(), password=f"guess {number}")
    assert there.checked["check_password"] == PASSWORDS
    assert there.page(email=EMAIL, password=PASSWORD).status_code == 429
    with httpx.Client(headers={"X-Forwarded-For": "192.0.2.7"}) as elsewhere:
        page = there.url.removesuffix("/api/v1") + "/cli-auth"
        assert elsewhere.post(page, data={"email": EMAIL, "password": PASSWORD}).status_code == 303
    there.clock.now += WINDOW_SECONDS + 1
    assert there.page(email=EMAIL, password=PASSWORD).status_code == 303


def test_right_passwords_are_never_counted(there: Served) -> None:
    for _ in range(2 * PASSWORDS):
        assert there.page(email=EMAIL, password=PASSWORD).status_code == 303


def test_parallel_keys(there: Served) -> None:
    def ask(number: int) -> httpx.Response:
        headers = {"Authorization": f"Bearer sk_live_0000{number:060}"}
        return HTTP.get(f"{there.url}/auth/whoami", headers=headers)

    statuses = _at_once(ask)
    assert statuses == {401: KEYS, 429: AT_ONCE - KEYS}
    assert there.checked["user_of"] == KEYS
    right = {"Authorization": f"Bearer {there.key}"}
    assert HTTP.get(f"{there.url}/auth/whoami", headers=right).status_code == 200
    there.clock.now += WINDOW_SECONDS + 1
    assert ask(0).status_code == 401


def test_many_right_keys_at_once_all_work(there: Served) -> None:
    right = {"Authorization": f"Bearer {there.key}"}
    statuses = _at_once(lambda _: HTTP.get(f"{there.url}/auth/whoami", headers=right))
    assert statuses == {200: AT_ONCE}


def test_parallel_user_codes(there: Served) -> None:
    def ask(number: int) -> httpx.Response:
        code = "BCDFGHJK"[: number % 8] + "ZZZZZZZZ"
        return HTTP.post(f"{there.url}/auth/device/validate", json={"user_code": code[:8]})

    statuses = _at_once(ask)
    assert statuses == {404: CODES, 429: AT_ONCE - CODES}
    assert there.checked["check"] == CODES
    code = HTTP.post(f"{there.url}/auth/device").json()["user_code"]
    there.clock.now += WINDOW_SECONDS + 1
    right = HTTP.post(f"{there.url}/auth/device/validate", json={"user_code": code})
    assert right.json() == {"valid": True}


def test_parallel_decisions_of_one_account(there: Served) -> None:
    cookie = there.archive.accounts.session(there.archive.accounts.user(EMAIL))
    cookies = {"Cookie": f"campfire_session={cookie}"}

    def ask(number: int) -> httpx.Response:
        body = {"user_code": f"BCDF-GHJ{'BCDFGHJK'[number % 8]}", "action": "authorize"}
        address = f"{there.url}/auth/device/authorize"
        return HTTP.post(address, json=body, headers=cookies)

    assert _at_once(ask) == {400: CODES, 429: AT_ONCE - CODES}
    assert there.checked["decide"] == CODES
    page = there.url.removesuffix("/api/v1") + "/cli-auth?code=BCDF-GHJK"
    assert HTTP.get(page, headers=cookies).status_code == 429


def test_parallel_device_codes(there: Served) -> None:
    grant = "urn:ietf:params:oauth:grant-type:device_code"

    def ask(number: int) -> httpx.Response:
        body = {"grant_type": grant, "device_code": f"{number:064}"}
        return HTTP.post(f"{there.url}/auth/device/token", json=body)

    assert _at_once(ask) == {400: KEYS, 429: AT_ONCE - KEYS}
    assert there.checked["poll"] == KEYS


def test_devices_cannot_be_started_without_end(there: Served) -> None:
    assert _at_once(lambda _: HTTP.post(f"{there.url}/auth/device")) == {
        200: KEYS,
        429: AT_ONCE - KEYS,
    }


Step = tuple[str, int, bool]
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300), st.booleans()), max_size=60)


@given(STEPS, st.integers(1, 4))
def test_no_more_than_the_limit_is_wrong_within_the_window(steps: list[Step], limit: int) -> None:
    clock = Clock()
    failures = Failures(clock=clock)
    wrong: dict[str, list[float]] = {}
    for name, pause, is_right in steps:
        clock.now += pause
        recent = [at for at in wrong.get(name, []) if at > clock.now - WINDOW_SECONDS]
        wait = 0
        try:
            with failures.guess(name, limit) as right:
                if is_right:
                    right()
                else:
                    wrong.setdefault(name, []).append(clock.now)
        except TooManyGuesses as err:
            wait = err.seconds
        assert (wait > 0) == (len(recent) == limit)
        if wait:
            assert wait <= WINDOW_SECONDS
            assert recent[0] + WINDOW_SECONDS <= clock.now + wait


def test_made_up_names_do_not_push_out_the_one_that_is_guessed_at() -> None:
    failures = Failures(clock=Clock())
    for _ in range(PASSWORDS):
        with failures.guess(EMAIL, PASSWORDS):
            pass
    for number in range(MAX_NAMES + 50):
        with failures.guess(f"nobody-{number}@example.org", PASSWORDS):
            pass
    with pytest.raises(TooManyGuesses), failures.guess(EMAIL, PASSWORDS):
        pass


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_a_customer_of_ipv6_is_one_guesser(host: str, counted: str) -> None:
    request: Any = SimpleNamespace(client=SimpleNamespace(host=host))
    assert address_of(request) == counted
