"""Statements checked: what accounts promise (passwords, keys, tokens, rotation), on a real SQLite file."""

from __future__ import annotations

import base64
import json
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.archive.server.accounts import Accounts, server_folder
from campfire.archive.server.signing import Signer
from campfire.errors import AuthenticationError, NotFoundError, ValidationError

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"


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
        yield made


def test_password_is_checked_and_never_stored(accounts: Accounts) -> None:
    user = accounts.add_user(EMAIL, PASSWORD)
    assert accounts.check_password(EMAIL.upper(), PASSWORD) == user
    assert accounts.check_password(EMAIL, PASSWORD + " ") is None
    assert accounts.check_password("nobody@example.org", PASSWORD) is None
    assert PASSWORD.encode() not in accounts.store.path.read_bytes()
    assert accounts.store.find("users", email=EMAIL)["password_hash"].startswith("$argon2id$")  # type: ignore[index]


def test_account_without_password_cannot_sign_in(accounts: Accounts) -> None:
    accounts.add_user(EMAIL)
    assert accounts.check_password(EMAIL, "") is None
    accounts.set_password(EMAIL, PASSWORD)
    assert accounts.check_password(EMAIL, PASSWORD) is not None


def test_a_new_password_ends_sign_ins(accounts: Accounts) -> None:
    pair = accounts.sign_in(accounts.add_user(EMAIL, PASSWORD).id)
    accounts.set_password(EMAIL, "another long one")
    with pytest.raises(AuthenticationError):
        accounts.refresh(pair.refresh_token)


@pytest.mark.parametrize(("email", "password"), [("ada", PASSWORD), (EMAIL, "short"), ("a b@c", PASSWORD)])
def test_bad_accounts_are_refused(accounts: Accounts, email: str, password: str) -> None:
    with pytest.raises(ValidationError):
        accounts.add_user(email, password)


def test_addresses_are_unique_whatever_their_case(accounts: Accounts) -> None:
    accounts.add_user(EMAIL)
    with pytest.raises(ValidationError, match="already"):
        accounts.add_user(EMAIL.upper())


def test_secret_files_are_private(accounts: Accounts, tmp_path: Path) -> None:
    accounts.add_user(EMAIL, PASSWORD)
    folder = server_folder(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (folder / "secret", folder / "accounts.db"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_api_key(accounts: Accounts, clock: Clock) -> None:
    user = accounts.add_user(EMAIL)
    key, short = accounts.add_key(EMAIL, name="laptop"), accounts.add_key(EMAIL, days=1)
    assert key.startswith("sk_live_")
    assert len(key) == len("sk_live_") + 64
    assert accounts.user_of(key) == user == accounts.user_of(short)
    assert key.encode() not in accounts.store.path.read_bytes()
    assert accounts.keys_of(EMAIL)[0]["name"] == "laptop"
    clock.now += 86400
    assert accounts.user_of(short) is None
    accounts.remove_key(EMAIL, key[:12])
    assert accounts.user_of(key) is None
    with pytest.raises(NotFoundError):
        accounts.remove_key(EMAIL, key[:12])


def test_access_token_has_the_documented_claims_and_ends(accounts: Accounts, clock: Clock) -> None:
    user = accounts.add_user(EMAIL)
    token = accounts.sign_in(user.id).access_token
    header, body, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    now = int(clock.now)
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(body) == {
        "sub": user.id,
        "email": EMAIL,
        "type": "access",
        "iss": "campfire",
        "aud": "campfire-api",
        "iat": now,
        "exp": now + 3600,
    }
    assert accounts.user_of(token) == user
    clock.now += 3600
    assert accounts.user_of(token) is None


def test_session_and_access_tokens_are_not_interchangeable(accounts: Accounts) -> None:
    user = accounts.add_user(EMAIL)
    assert accounts.user_of(accounts.session(user)) is None
    assert accounts.user_of_session(accounts.sign_in(user.id).access_token) is None


def test_refresh_token_is_single_use(accounts: Accounts, clock: Clock) -> None:
    first = accounts.sign_in(accounts.add_user(EMAIL).id)
    second = accounts.refresh(first.refresh_token)
    assert second.refresh_token.startswith("rt_")
    assert len(second.refresh_token) == 3 + 64
    with pytest.raises(AuthenticationError):
        accounts.refresh(first.refresh_token)
    accounts.revoke(second.refresh_token)
    with pytest.raises(AuthenticationError):
        accounts.refresh(second.refresh_token)
    third = accounts.sign_in(accounts.user(EMAIL).id)
    clock.now += 90 * 86400
    with pytest.raises(AuthenticationError):
        accounts.refresh(third.refresh_token)


def test_one_of_many_simultaneous_refreshes_wins(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    token = accounts.sign_in(accounts.add_user(EMAIL).id).refresh_token
    barrier = threading.Barrier(8)

    def attempt(_: int) -> bool:
        with Accounts(tmp_path, clock=clock) as own:
            barrier.wait()
            try:
                own.refresh(token)
            except AuthenticationError:
                return False
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_grants(accounts: Accounts) -> None:
    user = accounts.add_user(EMAIL)
    accounts.grant(EMAIL, "ember-uds")
    accounts.grant(EMAIL, "ember-uds")
    assert accounts.grants_of(user.id) == {"ember-uds"}
    accounts.withdraw(EMAIL, "ember-uds")
    assert accounts.grants_of(user.id) == frozenset()
    with pytest.raises(NotFoundError):
        accounts.withdraw(EMAIL, "ember-uds")
    with pytest.raises(NotFoundError):
        accounts.grant("nobody@example.org", "ember-uds")


def test_a_removed_account_leaves_nothing(accounts: Accounts) -> None:
    user = accounts.add_user(EMAIL)
    key, pair = accounts.add_key(EMAIL), accounts.sign_in(user.id)
    accounts.remove_user(EMAIL)
    assert accounts.user_of(key) is None
    assert accounts.user_of(pair.access_token) is None
    with pytest.raises(AuthenticationError):
        accounts.refresh(pair.refresh_token)
    assert accounts.users() == []


@given(st.text(), st.integers(0, 2**40), st.text())
def test_only_the_signed_text_and_end_verify(text: str, expires: int, other: str) -> None:
    signer = Signer(b"k" * 32)
    signature = signer.sign("file", text, expires)
    assert signer.verify("file", text, expires, signature)
    assert not signer.verify("form", text, expires, signature)
    assert not signer.verify("file", text, expires + 1, signature)
    assert signer.verify("file", other, expires, signature) == (other == text)
    assert not Signer(b"x" * 32).verify("file", text, expires, signature)


@given(st.one_of(st.text(), st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*")))
def test_no_made_up_token_has_claims(token: str) -> None:
    assert Signer(b"k" * 32).claims(token) is None


def test_token_with_another_algorithm_or_body_is_refused() -> None:
    signer = Signer(b"k" * 32)
    head, body, signature = signer.token({"sub": "a"}).split(".")
    assert signer.claims(f"{head}.{body}.{signature}") == {"sub": "a"}
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    forged = base64.urlsafe_b64encode(b'{"sub":"b"}').rstrip(b"=").decode()
    assert signer.claims(f"{none}.{body}.") is None
    assert signer.claims(f"{none}.{body}.{signature}") is None
    assert signer.claims(f"{head}.{forged}.{signature}") is None


def test_where_accounts_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Accounts(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "meta").write_text("a file, no folder")
    with pytest.raises(ValidationError, match="cannot be kept"):
        Accounts(tmp_path)
