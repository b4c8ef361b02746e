"""Statements checked: who can read what: tokens, programs, open access."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from campfire.archive.server.accounts import Accounts
from campfire.store.catalog import Catalog
from campfire.testing import served

Get = Callable[..., Any]
SECRET = "spectra/demo_p2/demo_p2_prism_clear_14_spec.fits"
DATA = [
    *("/objects", "/spectra/list", "/metadata", "/observations", "/sync/objects", "/sync/spectra"),
    *(
        "/sync/photometry",
        "/sync/lists",
        "/observations/demo_p1/manifest",
        "/spectra?path=x",
        "/spectrum?path=x",
    ),
    *("/redshift-fit?path=x", "/cutout?object_id=x", "/shutters?object_id=x"),
]


@pytest.mark.parametrize("path", DATA)
@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "bearer {key}", "BEARER {key}", "Bearer  {key}", "Token {key}", "{key}",
     "Bearer sk_live_wrong", "Bearer a.b.c", "Bearer {key}x"],
)  # fmt: skip
def test_data_need_a_token(
    urls: dict[str, str], keys: dict[str, str], http: httpx.Client, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.format(key=keys["granted"])}
    answer = http.get(urls["traps"] + path, headers=headers)
    assert answer.status_code == 401
    assert list(answer.json()) == ["error"]
    assert answer.headers["www-authenticate"] == "Bearer"


def test_whoami_refuses_in_the_auth_shape(urls: dict[str, str], http: httpx.Client) -> None:
    answer = http.get(urls["traps"] + "/auth/whoami")
    assert answer.status_code == 401
    assert list(answer.json()) == ["error", "error_description"]


def test_lists_hold_only_programs_of_the_account(ask: Get) -> None:
    def ids(path: str, who: str) -> set[int]:
        return {row["id"] for row in ask(path, who=who).json()["data"]}

    assert ids("/objects", "plain") == ids("/sync/objects", "plain") == {7, 8, 9, 11, 12, 13}
    assert ids("/objects", "granted") == ids("/sync/objects", "granted") == set(range(7, 14))
    assert ids("/spectra/list", "plain") == ids("/sync/spectra", "plain") == set(range(31, 41)) - {33, 36}
    assert ids("/spectra/list", "granted") == set(range(31, 41))
    assert ids("/sync/photometry", "plain") == {90}
    assert {row["program_slug"] for row in ask("/observations", who="plain").json()["observations"]} == {
        "demo-survey"
    }
    assert ask("/objects", who="plain", programs="secret_gto").json()["pagination"]["total"] == 6
    assert ask("/objects", "fixed", "plain", programs="secret_gto").json()["pagination"]["total"] == 0


def test_an_object_shows_its_readable_members_and_all_its_programs(ask: Get) -> None:
    listed = next(row for row in ask("/objects", who="plain").json()["data"] if row["id"] == 7)
    synced = next(row for row in ask("/sync/objects", who="plain").json()["data"] if row["id"] == 7)
    assert listed["programs"] == synced["programs"] == ["demo-survey", "secret_gto"]
    assert (listed["n_targets"], listed["n_spectra"]) == (2, 3)
    assert [member["target_id"] for member in listed["member_targets"]] == ["demo_p1_11"]
    assert synced["member_target_ids"] == ["demo_p1_11"]
    assert [spectrum["id"] for spectrum in synced["spectra"]] == [32, 31]


@pytest.mark.parametrize(
    ("path", "params", "plain", "granted"),
    [
        ("/observations/demo_p2/manifest", {}, 404, 200),
        ("/spectra", {"path": SECRET}, 403, 200),
        ("/spectrum", {"path": SECRET}, 403, 200),
        ("/spectrum", {"spectrum_id": "demo_p2_prism_clear_14"}, 403, 200),
        ("/redshift-fit", {"path": SECRET}, 403, 404),
        ("/cutout", {"object_id": "J100020.00+021500.0"}, 403, 404),
        ("/shutters", {"object_id": "J100020.00+021500.0"}, 403, 200),
        ("/shutters", {"object_id": "J100001.23+021500.4"}, 200, 200),
    ],
)
def test_single_things(ask: Get, path: str, params: dict[str, str], plain: int, granted: int) -> None:
    assert ask(path, who="plain", **params).status_code == plain
    assert ask(path, who="granted", **params).status_code == granted


@pytest.fixture
def nobody(fresh_root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A server on which an account can read no program."""
    with Catalog(fresh_root / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        writer.put_programs(row | {"is_public": False} for row in catalog.programs())
    with Accounts(fresh_root) as accounts:
        accounts.add_user("nobody@example.org")
        headers = {"Authorization": f"Bearer {accounts.add_key('nobody@example.org')}"}
    with served(fresh_root, open_access=False) as url:
        yield url, headers


def test_without_programs(nobody: tuple[str, dict[str, str]], http: httpx.Client) -> None:
    url, headers = nobody
    empty = {"data": [], "pagination": {"total": 0, "limit": 0, "offset": 0}}
    for path in ("objects", "spectra/list", "sync/objects", "sync/spectra", "sync/photometry"):
        assert http.get(f"{url}/{path}?limit=5", headers=headers).json() == empty
    bodies: dict[str, dict[str, list[str]]] = {
        "metadata": {"programs": [], "fields": [], "gratings": [], "observations": []},
        "observations": {"observations": []},
        "sync/lists": {"data": []},
    }
    for path, body in bodies.items():
        assert http.get(f"{url}/{path}", headers=headers).json() == body
    assert http.get(f"{url}/observations/demo_p1/manifest", headers=headers).status_code == 404
    for path in (
        "spectra?path=x",
        "spectrum?path=x",
        "redshift-fit?path=x",
        "cutout?object_id=x",
        "shutters?object_id=x",
    ):
        assert http.get(f"{url}/{path}", headers=headers).status_code == 403
    assert http.get(f"{url}/auth/whoami", headers=headers).status_code == 200


def test_open_access_reads_everything_with_any_token(fresh_root: Path, http: httpx.Client) -> None:
    with served(fresh_root) as url:
        headers = {"Authorization": "Bearer anything"}
        assert http.get(f"{url}/objects", headers=headers).json()["pagination"]["total"] == 7
        assert http.get(f"{url}/spectra", params={"path": SECRET}, headers=headers).status_code == 200
        who = http.get(f"{url}/auth/whoami", headers=headers).json()
        assert (who["email"], who["full_name"], who["is_admin"]) == (None, "Guest", False)
        assert http.get(f"{url}/objects").status_code == 401


def test_a_guests_sign_in_is_worth_nothing_where_access_is_not_open(
    fresh_root: Path, http: httpx.Client
) -> None:
    """Statement: per-program access; also when an open and a closed server share one root, in any order."""
    with served(fresh_root) as open_url, Accounts(fresh_root, guests=True) as accounts:
        guest = accounts.guest()
        assert guest is not None
        assert guest not in accounts.users()
        pair = accounts.sign_in(guest.id)
        headers = {"Authorization": f"Bearer {pair.access_token}"}
        renewal = {"grant_type": "refresh_token", "refresh_token": pair.refresh_token}
        with served(fresh_root, open_access=False) as url:
            assert http.get(f"{url}/objects", headers=headers).status_code == 401
            refused = http.post(f"{url}/auth/refresh", json=renewal)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
            assert http.get(f"{open_url}/objects", headers=headers).status_code == 200
            assert http.get(f"{open_url}/objects", headers={"Authorization": "Bearer x"}).status_code == 200
        assert http.post(f"{open_url}/auth/refresh", json=renewal).status_code == 200


def test_a_grant_and_a_new_row_are_seen_at_once(fresh_root: Path, http: httpx.Client) -> None:
    with Accounts(fresh_root) as accounts, served(fresh_root, open_access=False) as url:
        accounts.add_user("late@example.org")
        headers = {"Authorization": f"Bearer {accounts.add_key('late@example.org')}"}

        def total() -> int:
            return int(http.get(f"{url}/sync/objects", headers=headers).json()["total_accessible_count"])

        assert total() == 6
        accounts.grant("late@example.org", "secret_gto")
        assert total() == 7
        with Catalog(fresh_root / "meta" / "campfire.db") as catalog, catalog.write() as writer:
            writer.delete_objects(["J123640.00+620000.0"])
        assert total() == 6
