"""Statements checked: with ``--fixed``, links end with grants, and changes of the catalogue show at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from campfire.archive.server.accounts import Accounts
from campfire.archive.server.app import create_app
from campfire.archive.server.archive import Archive
from campfire.archive.server.runner import running
from campfire.store.catalog import Catalog


@dataclass
class Open:
    """A served copy of the archive, and one account's client."""

    root: Path
    archive: Archive
    url: str
    client: httpx.Client
    accounts: Accounts
    catalog: Catalog


@pytest.fixture
def one(whole: Path, tmp_path: Path) -> Iterator[Open]:
    """What the account ``one`` sees, which may read one of the two programs that are not public."""
    root = Path(shutil.copytree(whole, tmp_path / "root"))
    with ExitStack() as stack:
        accounts = stack.enter_context(Accounts(root))
        key = accounts.add_key("one@example.org")
        app = create_app(root, fixed=True)
        stack.callback(app.state.archive.close)
        url = stack.enter_context(running(app))
        client = stack.enter_context(httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30))
        catalog = stack.enter_context(Catalog(root / "meta" / "campfire.db"))
        yield Open(root, app.state.archive, url, client, accounts, catalog)


def test_a_link_ends_with_the_grant_of_whom_it_was_made_for(one: Open) -> None:
    path, observation = one.catalog.execute(
        "SELECT fits_path, observation FROM spectra WHERE observation NOT IN"
        " (SELECT observation FROM spectra WHERE program_slug <> 'gto_wide') LIMIT 1"
    ).fetchone()
    link = one.client.get(f"{one.url}/spectra", params={"path": path}).json()["url"]
    rows = one.client.get(f"{one.url}/observations/{observation}/manifest").json()["spectra"]
    links = [link, *(row["download_url"] for row in rows)]
    with httpx.Client() as anyone:
        assert {anyone.get(address).status_code for address in links} == {200}
        ids = [one.accounts.user(f"{name}@example.org").id for name in ("one", "nobody")]
        assert ids[0] in link
        assert anyone.get(link.replace(*ids)).status_code == 403
        unnamed = one.archive.files.link(one.url.removesuffix("/api/v1"), observation, path, 2_000_000_000)
        assert anyone.get(unnamed).status_code == 403
        one.accounts.withdraw("one@example.org", "gto_wide")
        assert {anyone.get(address).status_code for address in links} == {403}
        assert one.client.get(f"{one.url}/spectra", params={"path": path}).status_code == 404
        one.accounts.grant("one@example.org", "gto_wide")
        assert anyone.get(link).status_code == 200
        one.accounts.remove_user("one@example.org")
        assert anyone.get(link).status_code == 403


def test_what_is_made_public_or_private_or_deleted_shows_at_once(one: Open) -> None:
    def programs() -> set[str]:
        rows = one.client.get(f"{one.url}/sync/spectra").json()["data"]
        return {row["program_slug"] for row in rows}

    every = {row["slug"] for row in one.catalog.programs()}
    for hidden in ({"cosmos_ddt"}, {"gleam"}, {"ember-uds", "gleam"}, set[str]()):
        with one.catalog.write() as writer:
            rows = one.catalog.programs()
            writer.put_programs(row | {"is_public": row["slug"] not in hidden} for row in rows)
        assert programs() == every - hidden
    with one.catalog.write() as writer:
        rows = one.catalog.programs()
        writer.put_programs(row | {"is_public": row["slug"] != "gleam"} for row in rows)
    first = one.client.get(f"{one.url}/sync/objects").json()["data"]
    with one.catalog.write() as writer:
        writer.delete_objects([first[0]["object_id"]])
    body = one.client.get(f"{one.url}/sync/objects").json()
    assert body["total_accessible_count"] == len(first) - 1


def test_nothing_hidden_is_ever_read_while_the_catalogue_changes(one: Open) -> None:
    ended = Event()

    def write() -> None:
        with Catalog(one.root / "meta" / "campfire.db") as catalog:
            count = 0
            while not ended.is_set():
                count += 1
                with catalog.write() as writer:
                    writer.set_meta("count", str(count))

    thread = Thread(target=write)
    thread.start()
    try:
        bodies = {one.client.get(f"{one.url}/sync/spectra?limit=1000").content for _ in range(20)}
    finally:
        ended.set()
        thread.join()
    assert len(bodies) == 1
    assert b"gleam" not in next(iter(bodies))


def test_copies_are_gone_when_the_server_has_stopped(whole: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(whole, tmp_path / "root"))
    archive = create_app(root, fixed=True).state.archive
    assert archive.catalogue_for(frozenset({"ember-uds"})) is not archive.catalogue
    folder = root / "meta" / "server" / "views"
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o700]
    archive.close()
    assert not list(folder.iterdir())
