"""Statements checked: heavy work has threads and a queue of its own; the rest is answered meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from campfire.archive.server.app import create_app
from campfire.archive.server.archive import Archive
from campfire.archive.server.runner import running

OBJECT = "J100001.23+021500.4"
HEADERS = {"Authorization": "Bearer x"}
CUTOUTS, SIGN_INS, ROOM = 45, 200, 102
"""The last: how many checks of a password are under way or wait, at most."""


@dataclass
class Held:
    """A server whose heavy work waits until it is let go."""

    url: str
    client: httpx.Client
    go: threading.Event
    most: dict[str, int]

    def cutout(self, number: int) -> httpx.Response:
        """Ask for a picture."""
        params = {"object_id": OBJECT, "size": str(100 + number)}
        return self.client.get(f"{self.url}/cutout", params=params)

    def sign_in(self, number: int) -> httpx.Response:
        """Send a wrong password, of another person each time."""
        form = {"email": f"{number}@example.org", "password": "wrong"}
        return self.client.post(self.url.removesuffix("/api/v1") + "/cli-auth", data=form)


@pytest.fixture
def held(fresh_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """The server; how many of each kind it does at the same time is noted."""
    app = create_app(fresh_root, open_access=True)
    archive: Archive = app.state.archive
    go, lock = threading.Event(), threading.Lock()
    now, most = Counter[str](), dict[str, int]()

    def holding(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def waits(*given: Any) -> Any:
            with lock:
                now[name] += 1
                most[name] = max(most.get(name, 0), now[name])
            go.wait(60)
            with lock:
                now[name] -= 1
            return real(*given)

        monkeypatch.setattr(owner, name, waits)

    holding(archive.accounts, "check_password")
    holding(archive.cutouts, "png")
    with ExitStack() as stack:
        stack.callback(archive.close)
        url = stack.enter_context(running(app))
        stack.callback(go.set)
        limits = httpx.Limits(max_connections=None)
        client = httpx.Client(headers=HEADERS, timeout=60, limits=limits, verify=False)
        yield Held(url, stack.enter_context(client), go, most)


def test_sign_ins_and_cutouts_do_not_keep_the_rest_waiting(held: Held) -> None:
    with ThreadPoolExecutor(CUTOUTS + SIGN_INS) as pool:
        pictures = [pool.submit(held.cutout, number) for number in range(CUTOUTS)]
        people = [pool.submit(held.sign_in, number) for number in range(SIGN_INS)]
        try:
            # Whoever does not get in is told at once, while all others wait.
            _wait(people, SIGN_INS - ROOM)
            for path in ("version", "metadata", "objects", "sync/lists", "auth/whoami"):
                begin = time.perf_counter()
                assert held.client.get(f"{held.url}/{path}").status_code == 200
                assert time.perf_counter() - begin < 5.0  # nothing of it is heavy; they would wait for ever
        finally:
            held.go.set()
        statuses = Counter(future.result().status_code for future in people)
        assert statuses == {403: ROOM, 503: SIGN_INS - ROOM}
        turned_away = [future.result() for future in people if future.result().status_code == 503]
        assert {answer.headers["retry-after"] for answer in turned_away} == {"5"}
        assert {future.result().status_code for future in pictures} == {404}  # there is no mosaic here
    assert held.most == {"check_password": 2, "png": 2}
    # Having been turned away is not a wrong guess, and there is room again.
    assert held.sign_in(SIGN_INS - 1).status_code == 403


def _wait(futures: list[Future[httpx.Response]], count: int) -> None:
    deadline = time.monotonic() + 60
    while sum(future.done() for future in futures) < count:
        assert time.monotonic() < deadline, "nobody was turned away"
        time.sleep(0.01)


def test_too_many_cutouts_are_turned_away_in_the_shape_of_data_errors(held: Held) -> None:
    with ThreadPoolExecutor(ROOM + 20) as pool:
        pictures = [pool.submit(held.cutout, number) for number in range(ROOM + 20)]
        try:
            _wait(pictures, 20)
        finally:
            held.go.set()
        turned_away = [a for a in (future.result() for future in pictures) if a.status_code == 503]
    assert len(turned_away) == 20
    assert {answer.headers["retry-after"] for answer in turned_away} == {"10"}
    assert {tuple(answer.json()) for answer in turned_away} == {("error",)}
