"""Statements checked: the device flow of RFC 8628 as the wire contract words it, with a clock of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from campfire.archive.server.accounts import Accounts
from campfire.archive.server.devices import Devices, PollError, UserCodeError

EMAIL = "ada@example.org"


class Clock:
    """Time that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    with Accounts(tmp_path, clock=clock) as made:
        made.add_user(EMAIL)
        yield made


@pytest.fixture
def devices(accounts: Accounts) -> Devices:
    return Devices(accounts)


def poll_error(devices: Devices, code: str) -> PollError:
    with pytest.raises(PollError) as caught:
        devices.poll(code)
    return caught.value


def test_codes_have_the_documented_shape(devices: Devices) -> None:
    code = devices.start()
    assert re.fullmatch(r"[0-9a-f]{64}", code.device_code)
    assert re.fullmatch(r"[BCDFGHJKMNPQRSTVWXYZ]{4}-[BCDFGHJKMNPQRSTVWXYZ]{4}", code.user_code)
    assert (code.expires_in, code.interval) == (900, 5)


def test_pending_then_approved_then_used_up(devices: Devices, accounts: Accounts, clock: Clock) -> None:
    code = devices.start()
    assert poll_error(devices, code.device_code).code == "authorization_pending"
    assert devices.check(code.user_code.replace("-", "").lower()) == code.user_code
    devices.decide(code.user_code, accounts.user(EMAIL).id, approve=True)
    clock.now += 5
    pair = devices.poll(code.device_code, "laptop (Linux)")
    assert accounts.user_of(pair.access_token) == accounts.user(EMAIL)
    assert accounts.store.select("refresh_tokens")[0]["device_name"] == "laptop (Linux)"
    clock.now += 5
    again = poll_error(devices, code.device_code)
    assert (again.code, again.status) == ("server_error", 500)


def test_polling_too_fast_slows_down_up_to_30_seconds(devices: Devices, clock: Clock) -> None:
    code = devices.start().device_code
    assert poll_error(devices, code).code == "authorization_pending"
    seen = []
    for _ in range(6):
        clock.now += 1
        error = poll_error(devices, code)
        assert error.code == "slow_down"
        seen.append(error.interval)
    assert seen == [10, 15, 20, 25, 30, 30]
    clock.now += 5
    assert poll_error(devices, code).code == "authorization_pending"


def test_a_fast_poll_gives_no_token_even_when_approved(
    devices: Devices, accounts: Accounts, clock: Clock
) -> None:
    code = devices.start()
    poll_error(devices, code.device_code)
    devices.decide(code.user_code, accounts.user(EMAIL).id, approve=True)
    clock.now += 1
    assert poll_error(devices, code.device_code).code == "slow_down"
    clock.now += 30
    assert devices.poll(code.device_code).refresh_token.startswith("rt_")


def test_denied(devices: Devices, accounts: Accounts) -> None:
    code = devices.start()
    devices.decide(code.user_code, accounts.user(EMAIL).id, approve=False)
    assert poll_error(devices, code.device_code).code == "access_denied"


def test_expired(devices: Devices, accounts: Accounts, clock: Clock) -> None:
    code = devices.start()
    clock.now += 900
    assert poll_error(devices, code.device_code).code == "expired_token"
    with pytest.raises(UserCodeError) as caught:
        devices.decide(code.user_code, accounts.user(EMAIL).id, approve=True)
    assert caught.value.code == "expired"


def test_approved_too_late_gives_no_token(devices: Devices, accounts: Accounts, clock: Clock) -> None:
    code = devices.start()
    devices.decide(code.user_code, accounts.user(EMAIL).id, approve=True)
    clock.now += 901
    assert poll_error(devices, code.device_code).code == "expired_token"


def test_unknown_codes(devices: Devices) -> None:
    assert poll_error(devices, "0" * 64).code == "invalid_grant"
    with pytest.raises(UserCodeError) as caught:
        devices.check("BCDF-GHJK")
    assert caught.value.code == "not_found"


def test_a_code_is_decided_on_once(devices: Devices, accounts: Accounts) -> None:
    code, user = devices.start(), accounts.user(EMAIL).id
    devices.decide(code.user_code, user, approve=False)
    with pytest.raises(UserCodeError) as caught:
        devices.decide(code.user_code, user, approve=True)
    assert caught.value.code == "already_used"


def test_old_codes_are_forgotten(devices: Devices, accounts: Accounts, clock: Clock) -> None:
    devices.start()
    clock.now += 900 + 86401
    devices.start()
    assert len(accounts.store.select("device_codes")) == 1
