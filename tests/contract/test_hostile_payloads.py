"""Statement: whatever a service sends in whatever field, only documented errors come, or a row is set aside.

Every field of every payload that the contract names is replaced by every hostile value, on a real socket.
What was in the catalogue stays there, right; what is shown holds no control characters, nor markup that acts.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.client import Campfire
from campfire.config import origin
from campfire.errors import APIError, CampfireError, CampfireWarning
from campfire.transport import routes
from campfire.transport.credentials import CredentialStore
from campfire.transport.device import login_with_browser
from campfire.transport.http import Http
from campfire.transport.rate_limit import RetryPolicy
from campfire.transport.response_schema import SHAPES
from tests.contract.test_wire_payloads import (
    LIST,
    MANIFEST,
    METADATA,
    OBJECT,
    OBSERVATION,
    PHOTOMETRY,
    PNG,
    SHUTTERS,
    SPECTRUM,
    SYNC_OBJECT,
    SYNC_SPECTRUM,
    WHO,
)
from tests.transport.wire_stub import Reply, Stub, stub_server

# Raw JSON, since much of it is nothing that a Python value could be written as.
HOSTILE: list[str] = [
    *("null", "true", "false", "0", "-0.0", "-1", "1", "1.5", "-1.5", "1e308", "-1e308", "1e400"),
    *("NaN", "Infinity", "-Infinity", "9223372036854775807", "9223372036854775808", "1" + "0" * 40),
    *(
        "[]",
        "{}",
        "[[]]",
        "[null]",
        '{"a": null}',
        '[{"a": 1}]',
        "[" + "1," * 5000 + "1]",
        "[" * 90 + "]" * 90,
    ),
    *('""', '"text"', '" "', '"\\u0000"', '"a\\nb"', '"\\ud800"', '"\\u202egnp.exe"', '"\\u001b[31mred"'),
    *('"../../../x"', '"/absolute"', '"C:\\\\\\\\x"', '"%2e%2e%2fx"', '"<script>alert(1)</script>"', '"😀"'),
    *(
        '"2026-13-45T99:99:99"',
        '"0001-01-01T00:00:00"',
        '"sha256:' + "z" * 64 + '"',
        '"\'; DROP TABLE spectra;--"',
    ),
    *('"' + "x" * 300 + '"', '"' + "x" * 200_000 + '"'),
]
MARK = "@@hostile@@"


def _json(value: Any, *tokens: str) -> bytes:
    """Write JSON in which the marks, in their order, are replaced by raw tokens."""
    text = json.dumps(value)
    for token in tokens:
        text = text.replace(json.dumps(MARK), token, 1)
    return text.encode()


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a payload: objects, lists and values."""
    if path:
        yield path
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, item in items:
        if key not in ("unheard_of", "x"):
            yield from _leaves(item, (*path, key))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return value


GOOD_OBJECT = SYNC_OBJECT
GOOD_SPECTRUM = SYNC_SPECTRUM


def _page(rows: list[Any]) -> dict[str, Any]:
    return {
        "data": rows,
        "pagination": {"total": len(rows), "limit": 1000, "offset": 0},
        "total_accessible_count": len(rows),
    }


ROWS: dict[str, dict[str, Any]] = {
    "/sync/objects": SYNC_OBJECT,
    "/sync/spectra": SYNC_SPECTRUM,
    "/sync/photometry": PHOTOMETRY,
    "/sync/lists": LIST,
    "/objects": OBJECT,
    "/spectra/list": SPECTRUM,
    "/observations": OBSERVATION,
}
NAMES = {"object_id": "J0_{}", "spectrum_id": "h_prism_clear_{}", "target_id": "h_{}", "slug": "tag-{}"}


def _service(stub: Stub) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/metadata": METADATA,
        "/observations": {"observations": [OBSERVATION]},
        "/objects": _page([OBJECT]),
        "/spectra/list": _page([SPECTRUM]),
        "/sync/objects": _page([SYNC_OBJECT]),
        "/sync/spectra": _page([SYNC_SPECTRUM]),
        "/sync/photometry": _page([PHOTOMETRY]),
        "/sync/lists": {"data": [LIST]},
        "/observations/demo_p1/manifest": MANIFEST,
        "/spectra": {"url": f"{stub.url}/nothing.fits"},
        "/spectrum": SPECTRUM_PAYLOAD,
        "/redshift-fit": FIT_PAYLOAD,
        "/shutters": SHUTTERS,
        "/auth/whoami": WHO,
        "/version": {"latest": "0.4.0", "minimum": "0.4.0"},
    }
    for path, body in bodies.items():
        stub.on(f"/api/v1{path}", Reply(200, body))
    stub.on("/api/v1/cutout", Reply(200, PNG, {"Content-Type": "image/png"}))


SPECTRUM_PAYLOAD: dict[str, Any] = {
    "wave": [0.6, 0.61],
    "fnu": [0.012, None],
    "fnu_err": [0.004, None],
    "snr_2d": [[0.1, 0.0], [3.2, 2.9]],
    "n_spatial": 2,
    "n_wave": 2,
    "profile": [0.05, 1.0],
    "profile_fit": [0.0, 1.0],
    "profile_pix": [-1.0, 0.0],
}
FIT_PAYLOAD: dict[str, Any] = {
    "redshift": 4.2498,
    "chi2_min": 812.4,
    "confidence": 99.8,
    "z_grid": [0.0, 0.0017],
    "chi2_grid": [2100.1, 2098.7],
    "model_wave": [0.6, 0.61],
    "model_fnu": [0.011, 0.012],
}


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


@pytest.fixture
def cf(stub: Stub, tmp_path: Path) -> Iterator[Campfire]:
    _service(stub)
    with Campfire(f"{stub.url}/api/v1", tmp_path / "mirror", token="any") as cf:
        cf.sync()
        yield cf


def _many(row: dict[str, Any], path: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return one row a hostile value, each with names and an id of its own but for the field under test."""
    rows = []
    for number in range(len(HOSTILE)):
        own: dict[str, Any] = {key: form.format(number) for key, form in NAMES.items() if key in row}
        own |= {"id": 1000 + number} if "id" in row else {}
        if "fits_path" in row:
            own["fits_path"] = f"spectra/demo_p1/h_prism_clear_{number}_spec.fits"
        if "member_target_ids" in row:
            own["member_target_ids"] = [f"h_{number}"]
        rows.append(_with(row | own, path, MARK))
    return rows


def _shown(value: object) -> None:
    page = getattr(value, "_repr_html_", str)()
    for text in (str(value), repr(value), page):
        assert "\x1b" not in text
        assert "\x00" not in text
    if page != str(value):
        assert "<script>" not in page


def _use(cf: Campfire) -> None:
    """Everything a user does with a catalogue works, and shows nothing that acts."""
    for table in (cf.query_objects(), cf.query_spectra()):
        assert np.isfinite(np.ma.compressed(table["ra"])).all()
        _shown(table)
    for name in [str(name) for name in cf.query_objects()["object_id"]]:
        obj = cf.get_object(name)
        assert obj is not None
        _shown(obj)
        _shown(obj.spectra)
        if obj.photometry is not None:
            _shown(obj.photometry)
    _shown(cf.get_tags())
    cf.get_metadata()
    list(cf.iter_spectra())
    cf.download(everything=True, dry_run=True)


ROW_FIELDS = [
    (route, path)
    for route in ("/sync/objects", "/sync/spectra", "/sync/photometry", "/sync/lists", "/observations")
    for path in _leaves(ROWS[route])
]


@pytest.mark.parametrize(
    ("route", "path"), ROW_FIELDS, ids=lambda v: "/".join(map(str, v)) if isinstance(v, tuple) else v
)
def test_a_row_that_does_not_fit_is_set_aside_and_the_catalogue_stays_right(
    route: str, path: tuple[Any, ...], cf: Campfire, stub: Stub
) -> None:
    before = {name: [dict(zip(t.colnames, r, strict=True)) for r in t] for name, t in _tables(cf).items()}
    rows = [ROWS[route], *_many(ROWS[route], path)]
    whole = (
        {"observations": rows}
        if route == "/observations"
        else {"data": rows}
        if route == "/sync/lists"
        else _page(rows)
    )
    stub.on(f"/api/v1{route}", Reply(200, _json(whole, *HOSTILE), {"Content-Type": "application/json"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", CampfireWarning)
        try:
            cf.sync(full=True)
        except CampfireError:
            after = {
                name: [dict(zip(t.colnames, r, strict=True)) for r in t] for name, t in _tables(cf).items()
            }
            assert repr(after) == repr(before)
        _use(cf)
    good = {"/sync/objects": ("objects", "object_id"), "/sync/spectra": ("spectra", "spectrum_id")}
    for name, key in good.values():
        kept = [row for row in _tables(cf)[name] if row[key] == before[name][0][key]]
        assert len(kept) == 1


def _tables(cf: Campfire) -> dict[str, Any]:
    return {"objects": cf.query_objects(), "spectra": cf.query_spectra()}


REMOTE_FIELDS = [(route, path) for route in ("/objects", "/spectra/list") for path in _leaves(ROWS[route])]


@pytest.mark.parametrize(
    ("route", "path"), REMOTE_FIELDS, ids=lambda v: "/".join(map(str, v)) if isinstance(v, tuple) else v
)
def test_a_remote_answer_is_right_without_the_rows_that_do_not_fit(
    route: str, path: tuple[Any, ...], cf: Campfire, stub: Stub
) -> None:
    rows = [ROWS[route], *_many(ROWS[route], path)]
    stub.on(f"/api/v1{route}", Reply(200, _json(_page(rows), *HOSTILE), {"Content-Type": "application/json"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", CampfireWarning)
        for table in (cf.query_objects(remote=True), cf.query_spectra(remote=True)):
            _shown(table)
        assert "J100001.23+021500.4" in cf.query_objects(remote=True)["object_id"]
        assert "demo_p1_prism_clear_11" in cf.query_spectra(remote=True)["spectrum_id"]
        cf.get_object("J100001.23+021500.4", remote=True)
        cf.get_spectrum("demo_p1_prism_clear_11", remote=True)


SINGLE: dict[str, tuple[dict[str, Any], list[Callable[[Campfire], Any]]]] = {
    "/metadata": (METADATA, [lambda cf: cf.sync(full=True), lambda cf: cf.get_metadata(remote=True)]),
    "/sync/objects": (_page([SYNC_OBJECT]), [lambda cf: cf.sync(full=True)]),
    "/sync/spectra": (_page([SYNC_SPECTRUM]), [lambda cf: cf.sync()]),
    "/objects": (_page([OBJECT]), [lambda cf: cf.query_objects(remote=True)]),
    "/observations/demo_p1/manifest": (MANIFEST, [lambda cf: cf.download(everything=True)]),
    "/spectra": ({"url": "x"}, [lambda cf: cf.open_spectrum("demo_p1_prism_clear_11")]),
    "/spectrum": (SPECTRUM_PAYLOAD, [lambda cf: cf.get_spectrum_data("demo_p1_prism_clear_11")]),
    "/redshift-fit": (FIT_PAYLOAD, [lambda cf: cf.get_redshift_fit_data("demo_p1_prism_clear_11")]),
    "/shutters": (SHUTTERS, [lambda cf: cf.get_shutters("J100001.23+021500.4", fov=3.3)]),
    "/auth/whoami": (WHO, [lambda cf: cf.whoami()]),
}
SINGLE_FIELDS = [
    (route, path)
    for route, (body, _) in SINGLE.items()
    for path in _leaves(body)
    if not (path[0] == "data" and len(path) > 1)
]


@pytest.mark.parametrize(
    ("route", "path"), SINGLE_FIELDS, ids=lambda v: "/".join(map(str, v)) if isinstance(v, tuple) else v
)
def test_an_answer_that_does_not_fit_is_a_documented_error(
    route: str, path: tuple[Any, ...], cf: Campfire, stub: Stub
) -> None:
    body, calls = SINGLE[route]
    for token in HOSTILE:
        reply = Reply(200, _json(_with(body, path, MARK), token), {"Content-Type": "application/json"})
        stub.on(f"/api/v1{route}", reply)
        for kept in (*cf.data_dir.glob("previews/*/*"), *cf.data_dir.glob("cutouts/*/*")):
            kept.unlink()
        for call in calls:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", CampfireWarning)
                try:
                    call(cf)
                except CampfireError as err:
                    _shown(err)
    assert len(cf.query_objects()) == 1
    assert len(cf.query_spectra()) == 1
    _use(cf)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"true",
        b'"text"',
        b"{",
        b"<html>gateway</html>",
        b"\xff\xfe\x00",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"data": {}}',
        b'{"data": [1, 2]}',
        b'{"data": [[]]}',
        b'{"data": [{}]}',
    ],
    ids=lambda body: body[:20],
)
@pytest.mark.parametrize(
    "route", ["/metadata", "/observations", "/sync/objects", "/sync/spectra", "/sync/lists"]
)
def test_answers_of_another_form_leave_the_catalogue_as_it_was(
    route: str, body: bytes, cf: Campfire, stub: Stub
) -> None:
    stub.on(f"/api/v1{route}", Reply(200, body, {"Content-Type": "application/json"}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CampfireWarning)
        try:
            cf.sync(full=True)
        except CampfireError as err:
            _shown(err)
    _use(cf)
    assert [str(name) for name in cf.query_spectra()["spectrum_id"]] == ["demo_p1_prism_clear_11"]


def test_a_row_that_is_set_aside_is_told_once_and_its_former_self_is_kept(cf: Campfire, stub: Stub) -> None:
    bad = SYNC_SPECTRUM | {"signal_to_noise": "high"}
    other = SYNC_SPECTRUM | {"id": 77, "spectrum_id": "demo_p1_g395m_f290lp_11", "grating": "G395M"}
    stub.on("/api/v1/sync/spectra", Reply(200, _page([bad, other])))
    with pytest.warns(
        CampfireWarning, match="1 rows of /sync/spectra are set aside.*signal_to_noise='high'"
    ) as told:
        cf.sync(full=True)
    assert len(told) == 1
    table = cf.query_spectra(sort="spectrum_id")
    assert list(table["spectrum_id"]) == ["demo_p1_g395m_f290lp_11", "demo_p1_prism_clear_11"]
    assert table["signal_to_noise"][1] == SYNC_SPECTRUM["signal_to_noise"]
    # without an id it cannot be said which row came: nothing is deleted then
    stub.on("/api/v1/sync/spectra", Reply(200, _page([bad | {"id": "x"}])))
    with pytest.warns(CampfireWarning, match="set aside"), pytest.raises(APIError, match="sent no spectra"):
        cf.sync(full=True)
    assert len(cf.query_spectra()) == 2


def test_pages_that_never_end_or_repeat_are_an_error(
    cf: Campfire, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [SYNC_OBJECT | {"id": n, "object_id": f"J{n}"} for n in range(1000)]
    body = _page(rows) | {"pagination": {"total": 2**60}, "total_accessible_count": 2**60}
    stub.on("/api/v1/sync/objects", Reply(200, body))
    with pytest.raises(APIError, match="is the one before it"):
        cf.sync(full=True)
    stub.on("/api/v1/sync/objects", Reply(200, _page([*rows, *rows])))
    with pytest.raises(APIError, match="2000 rows came where 1000 were asked for"):
        cf.sync(full=True)
    monkeypatch.setattr("campfire.transport.api.MOST_ROWS", 3000)

    def fresh(asked: Any) -> Reply:
        start = int(asked.query["offset"])
        some = [SYNC_OBJECT | {"id": start + n, "object_id": f"J{start + n}"} for n in range(1000)]
        return Reply(200, _page(some) | {"pagination": {"total": 2**60}})

    stub.on("/api/v1/sync/objects", fresh)
    with pytest.raises(APIError, match="its rows do not end"):
        cf.sync(full=True)
    assert len(cf.query_objects()) == 1


# Copied by hand from the contract: what a row always has.
CONTRACT = {
    routes.OBJECTS: {"id", "object_id", "field", "ra", "dec"},
    routes.SPECTRA: {
        "id",
        "spectrum_id",
        "grating",
        "fits_path",
        "target_id",
        "program_slug",
        "field",
        "observation",
    },
    routes.SYNC_OBJECTS: {"id", "object_id", "field", "ra", "dec"},
    routes.SYNC_SPECTRA: {
        "id",
        "spectrum_id",
        "target_id",
        "grating",
        "fits_path",
        "program_slug",
        "observation",
        "field",
    },
    routes.SYNC_PHOTOMETRY: {"id", "object_id", "photometry"},
    routes.SYNC_LISTS: {"id", "slug"},
    routes.METADATA: {"slug"},
    routes.OBSERVATIONS: {"observation", "program_slug", "field"},
    routes.REDSHIFT_FIT: {"redshift", "chi2_min", "confidence"},
    routes.SPECTRUM: {"n_spatial", "n_wave"},
    routes.FILE: {"url"},
    routes.SHUTTERS: {"object_id", "center_ra", "center_dec", "position_angle"},
    "manifest": {"spectrum_id", "fits_path", "download_url"},
}


def test_the_shapes_are_those_of_the_contract() -> None:
    for route, fields in CONTRACT.items():
        assert set(SHAPES[route].required) == fields, route
    payloads = {
        routes.OBJECTS: OBJECT,
        routes.SPECTRA: SPECTRUM,
        routes.SYNC_OBJECTS: SYNC_OBJECT,
        routes.SYNC_SPECTRA: SYNC_SPECTRUM,
        routes.SYNC_PHOTOMETRY: PHOTOMETRY,
        routes.SYNC_LISTS: LIST,
    }
    free = {"unheard_of", "x", "spectra", "thumbnail_svg_fnu", "thumbnail_svg_flambda"}
    for route, row in payloads.items():
        shape = SHAPES[route]
        assert set(row) - free <= set(shape.required) | set(shape.optional), route


DEVICE: dict[str, Any] = {
    "device_code": "ab" * 32,
    "user_code": "BCDF-GHJK",
    "verification_uri": "https://127.0.0.1/cli-auth",
    "verification_uri_complete": "https://127.0.0.1/cli-auth?code=BCDF-GHJK",
    "expires_in": 900,
    "interval": 5,
}
TOKENS: dict[str, Any] = {
    "access_token": "eyJhbGciOi.J9.x",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "rt_" + "0" * 64,
    "supabase_token": None,
}
SIGN_IN = [
    (route, path)
    for route, body in (("/auth/device", DEVICE), ("/auth/device/token", TOKENS), ("/auth/whoami", WHO))
    for path in _leaves(body)
]


def _keeps_secrets(err: CampfireError) -> None:
    assert TOKENS["refresh_token"] not in str(err)
    assert TOKENS["access_token"] not in str(err)


@pytest.mark.parametrize(
    ("route", "path"), SIGN_IN, ids=lambda v: "/".join(map(str, v)) if isinstance(v, tuple) else v
)
def test_a_sign_in_answered_with_anything_is_a_login_or_a_documented_error(
    route: str, path: tuple[Any, ...], stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAMPFIRE_API_KEY", raising=False)
    http = Http(f"{stub.url}/api/v1", retry=RetryPolicy(attempts=1))
    for number, token in enumerate(HOSTILE):
        _service(stub)
        stub.on("/api/v1/auth/device", Reply(200, DEVICE))
        stub.on("/api/v1/auth/device/token", Reply(200, TOKENS))
        body = {"/auth/device": DEVICE, "/auth/device/token": TOKENS, "/auth/whoami": WHO}[route]
        reply = Reply(200, _json(_with(body, path, MARK), token), {"Content-Type": "application/json"})
        stub.on(f"/api/v1{route}", reply)
        store = CredentialStore(tmp_path / str(number) / "credentials")
        shown: list[object] = []
        try:
            who = login_with_browser(
                http, shown.append, open_browser=False, store=store, sleep=lambda _: None
            )
        except CampfireError as err:
            _shown(err)
            _keeps_secrets(err)
        else:
            assert isinstance(who, dict)
            login = store.load(origin(http.base_url))
            assert login is not None
            assert isinstance(login.bearer, str)
        for code in shown:
            _shown(code)
