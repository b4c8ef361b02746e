"""Statement checked: with ``--fixed``, every answer is that of an archive that never had what is hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campfire.archive.indexing.index import index_root
from campfire.archive.server.app import create_app
from campfire.archive.server.runner import running
from campfire.store.catalog import Catalog

HIDDEN = {"nobody": {"gleam", "gto_wide"}, "one": {"gleam"}}
"""What each account cannot read."""
NOW = 1_800_000_000.0
API = "/api/v1"
Answer = tuple[int, bytes, dict[str, str]]


@dataclass
class Pair:
    """For each account the whole archive and the one without what is hidden, served, and who asks them."""

    clients: dict[str, tuple[httpx.Client, httpx.Client]] = field(default_factory=dict)
    apps: dict[str, FastAPI] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)

    def same(self, who: str, method: str, path: str, **given: Any) -> Answer:
        """Check that both give the same answer (but for the time it was given at), and return it."""
        whole, without = (self._ask(client, method, path, **given) for client in self.clients[who])
        assert whole == without
        return whole

    @staticmethod
    def _ask(client: httpx.Client, method: str, path: str, **given: Any) -> Answer:
        answer = client.request(method, path, **given)
        headers = {name: value for name, value in answer.headers.items() if name != "date"}
        return answer.status_code, answer.content, headers


def _words(root: Path) -> dict[str, list[str]]:
    """Return every value of the whole archive that a question can hold, hidden ones too."""
    columns = {
        "programs": "SELECT slug FROM programs",
        "fields": "SELECT DISTINCT field FROM spectra",
        "gratings": "SELECT DISTINCT grating FROM spectra",
        "observations": "SELECT DISTINCT observation FROM spectra",
        "lists": "SELECT slug FROM tags",
        "object_id": "SELECT object_id FROM objects",
        "target_id": "SELECT target_id FROM targets",
        "spectrum_id": "SELECT spectrum_id FROM spectra",
        "path": "SELECT fits_path FROM spectra",
        "updated_since": "SELECT updated_at FROM objects UNION SELECT updated_at FROM spectra"
        " UNION SELECT updated_at FROM photometry",
        "place": "SELECT ra || ' ' || dec FROM objects UNION SELECT ra || ' ' || dec FROM targets",
    }
    with Catalog(root / "meta" / "campfire.db") as catalog:
        return {
            name: sorted(str(value) for (value,) in catalog.execute(sql) if value is not None)
            for name, sql in columns.items()
        }


@pytest.fixture(scope="module")
def pair(whole: Path, without: dict[str, Path]) -> Iterator[Pair]:
    """All of them, with the same keys and secrets, at the same time, under the same name."""
    found = Pair(words=_words(whole))
    with ExitStack() as stack:

        def serve(root: Path) -> tuple[FastAPI, str]:
            app = create_app(root, fixed=True)
            stack.callback(app.state.archive.close)
            app.state.archive.accounts.clock = lambda: NOW  # links tell when they end
            return app, stack.enter_context(running(app)).removesuffix(API)

        app, url = serve(whole)
        for name, root in without.items():
            other_app, other = serve(root)
            clients = []
            for one, base in ((app, url), (other_app, other)):
                pair = one.state.archive.accounts.sign_in(
                    one.state.archive.accounts.user(f"{name}@example.org").id
                )
                headers = {"Authorization": f"Bearer {pair.access_token}", "Host": "archive.example.org"}
                clients.append(stack.enter_context(httpx.Client(base_url=base, headers=headers, timeout=60)))
            found.clients[name], found.apps[name] = (clients[0], clients[1]), app
        yield found


# --- questions, by route --------------------------------------------------------------------------------

Drawn = st.SearchStrategy[dict[str, str]]
NUMBERS = st.sampled_from(["0", "1", "2", "3.5", "9", "50", "1e4", "nan", "-1", "x"])
SORTS = [
    *("object_id", "ra", "dec", "redshift", "redshift_quality", "field", "n_targets", "n_spectra", "max_snr"),
    *("max_exposure_time", "photo_z", "distance", "spectrum_id", "target_id", "observation", "program_slug"),
    *("redshift_auto", "signal_to_noise", "exposure_time", "grating"),
]
RANGES: list[dict[str, str]] = [
    *({}, {"Range": "bytes=0-99"}, {"Range": "bytes=99999999-"}, {"If-None-Match": "*"}),
    {"If-Range": '"x"', "Range": "bytes=1-2"},
    *({"Accept-Encoding": "gzip"}, {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"}),
]


def _some(values: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*values, "unknown"]), min_size=1, max_size=3).map(",".join)


def _listing(words: dict[str, list[str]], page: dict[str, st.SearchStrategy[str]]) -> Drawn:
    """Return questions to the two lists: some filters together, often around a position."""
    lists = ("programs", "fields", "gratings", "observations", "lists")
    some: dict[str, st.SearchStrategy[str]] = {name: _some(words[name]) for name in lists}
    for name in ("redshift", "max_snr", "max_exposure_time", "photo_z"):
        some |= {f"{name}_min": NUMBERS, f"{name}_max": NUMBERS}
    for name in ("inspected_only", "needs_review", "has_photometry"):
        some[name] = st.sampled_from(["true", "false"])
    for name in ("dq_flags", "dq_flags_include_all", "dq_flags_exclude", "dq_flags_include_any"):
        some[name] = st.integers(0, 127).map(str)
    names = words["object_id"] + words["target_id"] + words["spectrum_id"]
    pieces = st.tuples(st.sampled_from(names), st.integers(0, 30), st.integers(1, 30))
    some |= {
        "gratings_mode": st.sampled_from(["any", "all", "none"]),
        "redshift_quality": _some(["0", "1", "2", "3", "4"]),
        "search": pieces.map(lambda cut: cut[0][cut[1] : cut[1] + cut[2]]),
        "sort": st.sampled_from(SORTS),
        "sort_dir": st.sampled_from(["asc", "desc"]),
        **page,
    }
    cone = st.tuples(st.sampled_from(words["place"]), st.sampled_from(["0.1", "1", "60", "9000"])).map(
        lambda drawn: dict(zip(("ra", "dec", "radius"), [*drawn[0].split(), drawn[1]], strict=True))
    )
    filters = st.lists(st.sampled_from(sorted(some)), max_size=5, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: some[name] for name in chosen})
    )
    return st.tuples(filters, st.one_of(st.just({}), cone)).map(lambda parts: parts[0] | parts[1])


def questions(path: str, words: dict[str, list[str]]) -> Drawn:
    """Return questions to a route, about what is hidden as often as about what is not.

    The parameters; and, where the path itself asks, what to put into it (``{...}``).
    """

    def some(**strategies: st.SearchStrategy[str]) -> Drawn:
        return st.fixed_dictionaries({}, optional=strategies)

    known = {name: st.sampled_from([*values, "unknown", ""]) for name, values in words.items()}
    page = {"limit": st.integers(0, 12).map(str), "offset": st.integers(0, 12).map(str)}
    since = st.sampled_from([*words["updated_since"], "2020-01-01", "2026-01-15T00:00:00Z", "then"])
    sync = some(updated_since=since, include_counts=st.sampled_from(["true", "false"]), **page)
    listing, nothing = _listing(words, page), some()
    file = {"path": known["path"], "spectrum_id": known["spectrum_id"]}
    around = {"object_id": known["object_id"], "fov": st.sampled_from(["1", "5", "30", "99"])}
    signed = st.fixed_dictionaries({"{path}": st.sampled_from(words["path"])})
    asked: dict[str, Drawn] = {
        f"{API}/objects": listing,
        f"{API}/spectra/list": listing,
        f"{API}/metadata": nothing,
        f"{API}/observations": nothing,
        f"{API}/observations/{{name}}/manifest": st.fixed_dictionaries({"{name}": known["observations"]}),
        f"{API}/version": nothing,
        f"{API}/openapi.json": nothing,
        f"{API}/sync/objects": sync,
        f"{API}/sync/spectra": sync,
        f"{API}/sync/photometry": sync,
        f"{API}/sync/lists": nothing,
        f"{API}/spectra": some(path=known["path"], redirect=st.sampled_from(["true", "false"])),
        f"{API}/spectrum": some(**file),
        f"{API}/redshift-fit": some(target_id=known["target_id"], grating=known["gratings"], **file),
        f"{API}/cutout": some(size=st.sampled_from(["16", "40"]), **around),
        f"{API}/shutters": some(**around),
        f"{API}/auth/whoami": nothing,
        "/cli-auth": some(code=st.just("BCDF-GHJK")),
        "/view": listing,
        "/view/{name:path}": st.fixed_dictionaries({"{name:path}": known["object_id"]}),
        "/viewer/objects": listing,
        "/viewer/names": listing,
        "/viewer/words": nothing,
        "/viewer/object": some(object_id=known["object_id"]),
        "/viewer/cutout": some(object_id=known["object_id"]),
        "/files/{observation}/{name}": signed,
    }
    return asked[path]  # KeyError: a new route. Think of what it could tell, and ask it.


DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
POSTS: dict[str, dict[str, str]] = {
    f"{API}/auth/device/token": {"grant_type": DEVICE_GRANT, "device_code": "x"},
    f"{API}/auth/refresh": {"grant_type": "refresh_token", "refresh_token": "rt_x"},
    f"{API}/auth/revoke": {"token": "rt_x"},
    f"{API}/auth/device/validate": {"user_code": "BCDF-GHJK"},
    f"{API}/auth/device/authorize": {"user_code": "BCDF-GHJK", "action": "authorize"},
    "/cli-auth": {},
    "/view": {},
    "/view/{name:path}": {},
}
DRAWN_AT_RANDOM = {f"{API}/auth/device"}
"""What these answer depends on nothing; tokens are the same kind of thing."""


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Return method and path of every route there is."""
    found: set[tuple[str, str]] = set()
    waiting: list[tuple[str, Any]] = [("", route) for route in app.routes]
    while waiting:
        prefix, route = waiting.pop()
        path = getattr(route, "path", None)
        if path is None:
            below = prefix + route.include_context.prefix
            waiting += [(below, inner) for inner in route.original_router.routes]
        else:
            found |= {(method, prefix + path) for method in route.methods}
    return found


def test_every_route_is_asked(pair: Pair) -> None:
    routes = routes_of(pair.apps["nobody"])
    assert {path for method, path in routes if method == "POST"} == set(POSTS) | DRAWN_AT_RANDOM
    assert {method for method, _ in routes} == {"GET", "HEAD", "POST"}
    assert len(routes) > 25
    for method, path in routes:
        if method != "POST":
            assert questions(path, pair.words) is not None


@pytest.mark.parametrize("who", HIDDEN)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_hidden_changes_no_answer(pair: Pair, who: str, data: st.DataObject) -> None:
    routes = sorted(route for route in routes_of(pair.apps[who]) if route[0] != "POST")
    listing = (f"{API}/objects", f"{API}/spectra/list", "/viewer/objects", "/viewer/names")
    lists = [route for route in routes if route[1] in listing]
    method, path = data.draw(st.sampled_from(routes + 5 * lists))
    params, headers = data.draw(questions(path, pair.words)), data.draw(st.sampled_from(RANGES))
    if "{path}" in params:  # a link, signed by the whole archive
        archive = pair.apps[who].state.archive
        owner = archive.accounts.user(f"{who}@example.org").id
        _, observation, name = params.pop("{path}").split("/")
        parts = urlsplit(archive.files.link("", observation, name, int(NOW) + 60, owner))
        path = parts.path
        params = dict(part.split("=") for part in parts.query.split("&"))
    for place in ("{name}", "{name:path}"):
        if place in params:
            path = path.replace(place, params.pop(place))
    pair.same(who, method, path, params=params, headers=headers)


@pytest.mark.parametrize("who", HIDDEN)
@pytest.mark.parametrize("path", POSTS)
def test_sign_in_knows_nothing_of_programs(pair: Pair, who: str, path: str) -> None:
    assert pair.same(who, "POST", path, json=POSTS[path])[0] < 500


@pytest.mark.parametrize("who", HIDDEN)
def test_every_single_thing_there_is_gives_the_same_answer(pair: Pair, who: str) -> None:
    statuses = set()
    for name, route in [
        *(("path", "spectra"), ("path", "spectrum"), ("path", "redshift-fit")),
        *(("spectrum_id", "spectrum"), ("object_id", "cutout"), ("object_id", "shutters")),
        *(("object_id", "viewer/object"), ("object_id", "viewer/cutout")),
    ]:
        prefix = "/" if route.startswith("viewer/") else f"{API}/"
        for value in pair.words[name]:
            extra = {"size": "16"} if route == "cutout" else {}
            statuses.add(pair.same(who, "GET", f"{prefix}{route}", params={name: value, **extra})[0])
    for value in pair.words["observations"]:
        statuses.add(pair.same(who, "GET", f"{API}/observations/{value}/manifest")[0])
    assert statuses == {200, 404}  # hidden is unknown, not forbidden


SPELLED = ["{} ", "/{}", "./{}", "{}/", "{}%00", "{}?x", "../{}"]


@pytest.mark.parametrize("who", HIDDEN)
@pytest.mark.parametrize("spelled", [*SPELLED, "upper"])
def test_what_is_hidden_is_by_no_other_spelling(pair: Pair, who: str, spelled: str) -> None:
    """A path or name that is nearly a hidden one is as unknown as any other, with every method."""

    def write(value: str) -> str:
        return value.upper() if spelled == "upper" else spelled.format(value)

    for name, route in (("path", "spectra"), ("spectrum_id", "spectrum"), ("object_id", "shutters")):
        for value in pair.words[name][::8]:
            pair.same(who, "GET", f"{API}/{route}", params={name: write(value)})
    for value in pair.words["observations"]:
        for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            pair.same(who, method, f"{API}/observations/{write(value)}/manifest")
            pair.same(who, method, f"/files/{write(value)}/x_spec.fits")


@pytest.mark.parametrize("who", HIDDEN)
def test_whole_tables_give_the_same_answer(pair: Pair, who: str) -> None:
    for table in ("objects", "spectra/list", "sync/objects", "sync/spectra", "sync/photometry", "sync/lists"):
        status, body, _ = pair.same(who, "GET", f"{API}/{table}")
        assert status == 200
        assert json.loads(body)["data"], f"nothing at all in {table}: nothing was compared"
        for program in HIDDEN[who]:
            assert program.encode() not in body


def test_removing_leaves_an_archive_that_indexing_finds_in_order(without: dict[str, Path]) -> None:
    for root in without.values():
        report = index_root(root)
        changes = report["added"], report["updated"], report["removed"], report["broken"]
        assert changes == ([], [], [], [])
