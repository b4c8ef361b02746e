"""Statements on accounts, against a served archive that asks for them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from campfire.archive.server.accounts import Accounts
from campfire.archive.simulate.bulk_catalogue import make_catalogue
from campfire.client import Campfire
from campfire.errors import AuthenticationError, ValidationError
from campfire.testing import served
from campfire.transport.auth import login_with_key, logout
from campfire.transport.credentials import CredentialStore
from campfire.transport.device import DeviceCode, login_with_browser
from campfire.transport.http import Http

EMAIL, PASSWORD = "me@example.org", "correct horse battery"


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    make_catalogue(tmp_path / "served", objects=60, seed=2)
    with Accounts(tmp_path / "served") as accounts:
        accounts.add_user(EMAIL, PASSWORD)
        yield accounts


@pytest.fixture
def url(accounts: Accounts, tmp_path: Path) -> Iterator[str]:
    with served(tmp_path / "served", open_access=False) as url:
        yield url


def confirm(code: DeviceCode) -> None:
    """Do what a person does in the browser: fill in the forms that are shown."""
    with requests.Session() as browser:
        page = browser.get(code.verification_uri_complete)
        for answers in (
            {"email": EMAIL, "password": PASSWORD, "code": code.user_code},
            {"code": code.user_code, "action": "authorize"},
        ):
            action = re.search(r'<form[^>]* action="([^"]*)"', page.text)
            address = urljoin(page.url, action[1]) if action else page.url
            hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
            page = browser.post(address, data=hidden | answers)
            assert page.ok


def test_browser_login_to_logout(url: str, tmp_path: Path) -> None:
    http = Http(url)
    with pytest.raises(AuthenticationError, match="not logged in"):
        Campfire(url, tmp_path / "m").sync()
    who = login_with_browser(http, confirm, open_browser=False, sleep=lambda _: None)
    assert who["email"] == EMAIL
    with Campfire(url, tmp_path / "m") as cf:
        assert cf.whoami()["email"] == EMAIL
        assert cf.sync()["objects"] > 0
        # The login is renewed as it runs out, by any number of threads at once.
        store = CredentialStore()
        (where,) = store.origins()
        login = store.load(where)
        assert login is not None
        failures: list[Exception] = []

        def ask() -> None:
            try:
                cf.get_metadata(remote=True)
            except Exception as err:
                failures.append(err)

        for _ in range(2):
            renewed = cf._context.auth().renew(cf._context.auth().bearer())
            assert renewed
            threads = [threading.Thread(target=ask) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not failures
    assert logout(http)
    with pytest.raises(AuthenticationError, match="not logged in"):
        Campfire(url, tmp_path / "m").whoami()
    assert Campfire(url, tmp_path / "m").is_local  # what is synced stays


def test_programs_granted_and_revoked(url: str, accounts: Accounts, tmp_path: Path) -> None:
    """Statement: the next sync finds newly granted programs, and lets go of revoked ones."""
    login_with_key(Http(url), accounts.add_key(EMAIL))
    with Campfire(url, tmp_path / "m") as cf:
        cf.sync()
        public = set(cf.get_programs()["slug"])
        before = len(cf.query_spectra())
        secret = "gto_wide"
        assert secret not in public
        with pytest.raises(ValidationError):
            cf.query_spectra(programs=[secret], remote=True)
        accounts.grant(EMAIL, secret)
        cf.sync()
        granted = len(cf.query_spectra(programs=[secret]))
        assert granted > 0
        assert len(cf.query_spectra()) == before + granted
        accounts.withdraw(EMAIL, secret)
        cf.sync()
        assert len(cf.query_spectra()) == before


def test_the_environment_is_enough_for_a_batch_job(
    url: str, accounts: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMPFIRE_API_KEY", accounts.add_key(EMAIL))
    monkeypatch.setenv("CAMPFIRE_API_URL", url)
    monkeypatch.setenv("CAMPFIRE_ROOT", str(tmp_path / "job"))
    with Campfire() as cf:
        assert cf.sync()["objects"] > 0
        assert cf.data_dir == tmp_path / "job"
    assert not CredentialStore().path.exists()
