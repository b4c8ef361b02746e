"""Statements checked: the auth endpoints and the pages of the device sign-in, over real HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from campfire.archive.server.accounts import Accounts
from campfire.testing import served

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
# No certificates to load: everything is on loopback.
PLAIN = httpx.Client(verify=False, limits=httpx.Limits(max_keepalive_connections=0))
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def url(fresh_root: Path) -> Iterator[str]:
    with Accounts(fresh_root) as accounts:
        accounts.add_user(EMAIL, PASSWORD, full_name="Ada <b>L</b>")
    with served(fresh_root, open_access=False) as made:
        yield made


@pytest.fixture
def browser(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url.removesuffix("/api/v1"), timeout=20, follow_redirects=True) as made:
        yield made


def post(url: str, body: Any) -> tuple[int, dict[str, Any]]:
    answer = PLAIN.post(url, content=json.dumps(body), timeout=20)
    return answer.status_code, answer.json()


class Page(HTMLParser):
    """Fields, labels and headings of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.labelled: set[str | None] = set()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if tag == "label":
            self.labelled.add(found.get("for"))
        if tag == "input":
            self.fields[found["name"] or ""] = found.get("value") or ""


def test_device_flow_from_code_to_tokens(url: str, browser: httpx.Client) -> None:
    status, device = post(f"{url}/auth/device", None)
    assert status == 200
    assert set(device) == {
        *(
            "device_code",
            "user_code",
            "verification_uri",
            "verification_uri_complete",
            "expires_in",
            "interval",
        ),
    }
    assert device["verification_uri"] == f"{url.removesuffix('/api/v1')}/cli-auth"
    assert device["verification_uri_complete"].endswith(f"?code={device['user_code']}")
    poll = {"grant_type": GRANT, "device_code": device["device_code"], "device_name": "laptop"}
    assert post(f"{url}/auth/device/token", poll)[1]["error"] == "authorization_pending"
    status, slow = post(f"{url}/auth/device/token", poll)
    assert (status, slow["error"], slow["interval"]) == (400, "slow_down", 10)
    assert set(slow) == {"error", "error_description", "interval"}
    assert post(f"{url}/auth/device/validate", {"user_code": device["user_code"].lower()}) == (
        200,
        {"valid": True},
    )

    shown = browser.get(device["verification_uri_complete"])
    assert shown.status_code == 200
    form = {**Page(shown.text).fields, "email": EMAIL, "password": PASSWORD}
    confirm = browser.post("/cli-auth", data=form)
    assert "Ada &lt;b&gt;L&lt;/b&gt;" in confirm.text
    fields = Page(confirm.text).fields
    assert fields["code"] == device["user_code"]
    done = browser.post("/cli-auth", data={**fields, "action": "authorize"})
    assert "Device connected" in done.text
    assert (
        post(f"{url}/auth/device/validate", {"user_code": device["user_code"]})[1]["error"] == "already_used"
    )


def test_tokens_after_approval(url: str, fresh_root: Path) -> None:
    from campfire.archive.server.devices import Devices

    device = post(f"{url}/auth/device", None)[1]
    with Accounts(fresh_root) as accounts:
        Devices(accounts).decide(device["user_code"], accounts.user(EMAIL).id, approve=True)
    poll = {"grant_type": GRANT, "device_code": device["device_code"]}
    status, tokens = post(f"{url}/auth/device/token", poll)
    assert status == 200
    assert set(tokens) == {
        *("access_token", "token_type", "expires_in", "refresh_token"),
        *("supabase_token", "supabase_url", "supabase_anon_key"),
    }
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert PLAIN.get(f"{url}/auth/whoami", headers=headers).json()["email"] == EMAIL

    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    status, again = post(f"{url}/auth/refresh", refresh)
    assert (status, set(again)) == (200, set(tokens))
    assert post(f"{url}/auth/refresh", refresh)[1]["error"] == "invalid_grant"
    assert post(f"{url}/auth/revoke", {"token": again["refresh_token"]}) == (200, {"revoked": True})
    assert post(f"{url}/auth/refresh", refresh | {"refresh_token": again["refresh_token"]})[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("device/token", {"grant_type": GRANT, "device_code": "0" * 64}, 400, "invalid_grant"),
        ("device/token", {"grant_type": GRANT, "device_code": "\ud800"}, 400, "invalid_grant"),
        ("device/token", {"grant_type": GRANT}, 400, "invalid_request"),
        ("device/token", {"grant_type": GRANT, "device_code": 7}, 400, "invalid_request"),
        ("device/token", {"grant_type": "password", "device_code": "x"}, 400, "unsupported_grant_type"),
        ("device/token", [], 400, "invalid_request"),
        ("refresh", {"grant_type": "refresh_token"}, 400, "invalid_request"),
        ("refresh", {"grant_type": "refresh_token", "refresh_token": "rt_x"}, 400, "invalid_grant"),
        ("refresh", {"grant_type": "x", "refresh_token": "rt_x"}, 400, "unsupported_grant_type"),
        ("device/validate", {"user_code": "BCDF-GHJK"}, 404, "not_found"),
        ("device/validate", {"user_code": "\ud800"}, 404, "not_found"),
        ("device/validate", {}, 400, "invalid_request"),
        ("device/authorize", {"user_code": "BCDF-GHJK", "action": "authorize"}, 401, "unauthorized"),
    ],
)
def test_refusals(url: str, path: str, body: Any, status: int, code: str) -> None:
    found, answer = post(f"{url}/auth/{path}", body)
    assert (found, answer["error"]) == (status, code)
    assert set(answer) == {"error", "error_description"}


def test_bodies_that_are_not_json(url: str) -> None:
    for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":"' + b"x" * 70_000 + b'"}'):
        for path in ("device/token", "refresh", "device/validate", "device/authorize"):
            answer = PLAIN.post(f"{url}/auth/{path}", content=content)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert PLAIN.post(f"{url}/auth/revoke", content=b"{").json() == {"revoked": True}
    assert PLAIN.post(f"{url}/auth/revoke", json={"token": 5}).json() == {"revoked": True}


def test_authorize_with_the_session_of_a_browser(url: str, browser: httpx.Client) -> None:
    code = post(f"{url}/auth/device", None)[1]["user_code"]
    browser.post("/cli-auth", data={"email": EMAIL, "password": PASSWORD, "code": ""})
    for body, status, error in (
        ({"user_code": code, "action": "maybe"}, 400, "invalid_request"),
        ({"user_code": "BCDF-GHJK", "action": "deny"}, 400, "failed"),
    ):
        answer = browser.post("/api/v1/auth/device/authorize", json=body)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    answer = browser.post("/api/v1/auth/device/authorize", json={"user_code": code, "action": "deny"})
    assert answer.json() == {"success": True}


def test_pages_are_safe_and_usable(browser: httpx.Client) -> None:
    shown = browser.get("/cli-auth", params={"code": '"><script>'})
    page = Page(shown.text)
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in page.tags
    assert page.tags.count("h1") == 1
    assert page.tags.count("main") == 1
    assert {"email", "password"} <= page.labelled
    assert '<html lang="en">' in shown.text
    assert not re.search(r"""(src|href)=["']""", shown.text)
    assert page.fields["code"] == '"><script>'


def test_session_cookie(browser: httpx.Client) -> None:
    form = {"email": EMAIL, "password": PASSWORD, "code": ""}
    answer = browser.post("/cli-auth", data=form, follow_redirects=False)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_wrong_passwords_are_refused_and_then_slowed(browser: httpx.Client) -> None:
    form = {"email": "eve@example.org", "password": "wrong", "code": ""}
    statuses = [browser.post("/cli-auth", data=form).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]
    right = browser.post("/cli-auth", data={**form, "email": EMAIL, "password": PASSWORD})
    assert right.status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_forms_of_other_sites_are_refused(url: str, browser: httpx.Client, origin: str) -> None:
    code = post(f"{url}/auth/device", None)[1]["user_code"]
    form = {"email": EMAIL, "password": PASSWORD, "code": code}
    assert browser.post("/cli-auth", data=form, headers={"Origin": origin}).status_code == 403
    fields = Page(browser.post("/cli-auth", data=form).text).fields | {"action": "authorize"}
    assert browser.post("/cli-auth", data=fields, headers={"Origin": origin}).status_code == 403
    assert browser.post("/cli-auth", data=fields | {"form_token": "0" * 64}).status_code == 403
    assert (
        browser.post("/cli-auth", data=fields, headers={"Origin": str(browser.base_url)}).status_code == 200
    )


def test_deciding_needs_a_session(browser: httpx.Client) -> None:
    answer = browser.post("/cli-auth", data={"code": "BCDF-GHJK", "action": "authorize"})
    assert answer.status_code == 403
    assert "Sign in" in answer.text


def test_an_unknown_code_is_said_so(browser: httpx.Client) -> None:
    form = {"email": EMAIL, "password": PASSWORD, "code": "BCDF-GHJK"}
    fields = Page(browser.post("/cli-auth", data=form).text).fields
    answer = browser.post("/cli-auth", data={**fields, "action": "authorize"})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    # Before anybody presses a button, too.
    assert 'role="alert"' in browser.get("/cli-auth", params={"code": "BCDF-GHJK"}).text
    assert 'role="alert"' not in browser.get("/cli-auth").text


def test_open_access_asks_for_no_password(fresh_root: Path) -> None:
    with served(fresh_root) as url, httpx.Client(base_url=url.removesuffix("/api/v1")) as client:
        device = post(f"{url}/auth/device", None)[1]
        fields = Page(client.get(device["verification_uri_complete"]).text).fields
        assert "Device connected" in client.post("/cli-auth", data={**fields, "action": "authorize"}).text
        poll = {"grant_type": GRANT, "device_code": device["device_code"]}
        assert post(f"{url}/auth/device/token", poll)[0] == 200
