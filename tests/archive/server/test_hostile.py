"""Statements checked: whatever is sent, the answer is no 5xx, and no file outside the root is ever sent."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campfire.archive.server.accounts import Accounts
from campfire.archive.server.app import create_app
from campfire.archive.server.archive import Archive
from campfire.archive.server.runner import running
from campfire.store.catalog import Catalog

SECRET = b"not for anybody"
LISTS = ("objects", "spectra/list", "sync/objects", "sync/spectra", "sync/photometry", "sync/lists")
SINGLE = ("spectra", "spectrum", "redshift-fit", "cutout", "shutters", "metadata", "observations", "version")
NAMES = (
    *("limit", "offset", "ra", "dec", "radius", "search", "programs", "fields", "gratings", "lists", "sort"),
    *("redshift_min", "max_snr_max", "redshift_quality", "dq_flags", "dq_flags_include_all", "updated_since"),
    *("include_counts", "observations", "path", "spectrum_id", "target_id", "grating", "object_id", "fov"),
    *("size", "redirect", "inspected_only", "sort_dir", "photo_z_min", "needs_review", "gratings_mode"),
)
VALUES = [
    *("", "0", "-1", "nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "9" * 19, "9" * 400, "1e999", "٣"),
    *("120", "200000", "91", "-91", "360", "\0", "a\0b", "%", "_" * 300, "%" * 200, "\\", "'", '";--', "[]"),
    *("../../etc/passwd", "/etc/passwd", "..", ".", "//", "a/../b", "C:\\x", "\ud800", "💥", "\r\nX: y", ","),
    *("," * 500, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-13-01", "true", "A" * 1200),
    *("x" * 1500, "J100001.23+021500.4", "demo_p1_prism_clear_11", "1,2,x", "0x10", "1_0", " 5 ", "+5"),
]


@dataclass
class Served:
    """A server, a client with a key, and the files around it."""

    url: str
    root: Path
    archive: Archive
    client: httpx.Client

    @property
    def base(self) -> str:
        """Address without the path."""
        return self.url.removesuffix("/api/v1")

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are, and return all that comes back."""
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as sock:
            sock.sendall(request)
            received = b""
            while piece := sock.recv(65536):
                received += piece
        return received


@pytest.fixture(scope="module", params=[False, True], ids=["traps", "fixed"])
def there(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server whose products hold links that lead out of the root."""
    import shutil

    folder = tmp_path_factory.mktemp("hostile")
    root = Path(shutil.copytree(template, folder / "root", ignore=shutil.ignore_patterns("views-*")))
    (folder / "outside").mkdir()
    (folder / "outside" / "secret_spec.fits").write_bytes(SECRET)
    products = root / "products"
    (products / "demo_p1" / "out_spec.fits").symlink_to(folder / "outside" / "secret_spec.fits")
    (products / "demo_p1" / "loop_spec.fits").symlink_to("loop_spec.fits")
    (products / "demo_p1" / "passwd_spec.fits").symlink_to("/etc/passwd")
    (products / "elsewhere").symlink_to(folder / "outside")
    (products / "demo_p1" / "folder_spec.fits").mkdir()
    (products / "demo_p1" / "broken_spec.fits").write_bytes(b"SIMPLE  = no")
    with Catalog(root / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        row = {"target_id": "demo_p1_11", "program_slug": "demo-survey", "field": "cosmos", "dq_flags": 0}
        paths = [
            *("demo_p1/out", "demo_p1/loop", "demo_p1/passwd", "elsewhere/secret", "demo_p1/folder"),
            *("demo_p1/broken", "demo_p1/gone", f"demo_p1/{'n' * 300}", "../outside/secret", "demo_p1/../x"),
        ]
        for number, path in enumerate(paths):
            observation, _, name = path.rpartition("/")
            spectrum = {"spectrum_id": name, "grating": f"G{number}", "observation": observation}
            writer.put_spectra([row | spectrum | {"fits_path": f"spectra/{path}_spec.fits"}])
        writer.aggregate()
    with Accounts(root) as accounts:
        accounts.add_user("eve@example.org", "correct horse battery")
        key = accounts.add_key("eve@example.org")
    app = create_app(root, fixed=request.param)
    with ExitStack() as stack:
        stack.callback(app.state.archive.close)
        url = stack.enter_context(running(app))
        headers = {"Authorization": f"Bearer {key}"}
        client = stack.enter_context(httpx.Client(headers=headers, timeout=60))
        yield Served(url, root, app.state.archive, client)


def _fine(answer: httpx.Response) -> httpx.Response:
    assert answer.status_code < 500, answer.text[:300]
    assert SECRET not in answer.content
    assert b"root:" not in answer.content
    return answer


def _query(params: dict[str, str]) -> str:
    return urlencode({name: value.encode("utf-8", "surrogatepass") for name, value in params.items()})


PARAMETERS = st.dictionaries(
    st.sampled_from(NAMES), st.integers(0, len(VALUES) - 1).map(VALUES.__getitem__), max_size=3
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(LISTS + SINGLE), PARAMETERS)
def test_any_parameters_of_any_route(there: Served, route: str, params: dict[str, str]) -> None:
    answer = there.client.get(f"{there.url}/{route}?{_query(params)}")
    if answer.status_code != 502:  # the contract's, for a file that cannot be read
        _fine(answer)


@pytest.mark.parametrize(
    "path",
    [
        *("/files/../../etc/passwd", "/files/%2e%2e/%2e%2e%2fetc%2fpasswd", "/files/demo_p1/..%2f..%2fx"),
        *("/files//etc/passwd", "/files/demo_p1/%00", "/files/%ff%fe/%c0%ae", "/files/demo_p1/a%0d%0ab"),
        *("/api/v1/observations/..%2f..%2fetc/manifest", "/api/v1/observations/%00/manifest"),
        *("/api/v1/observations/%ff/manifest", "/api/v1/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/..;/x"),
    ],
)
def test_paths_that_climb(there: Served, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"Authorization: {there.client.headers['authorization']}\r\n\r\n"
    received = there.raw(head.encode())
    assert received.startswith(b"HTTP/1.1 4"), received[:200]
    assert b"root:" not in received


def test_no_file_behind_a_link_that_leaves_the_root(there: Served) -> None:
    """Also with a link that is signed, and through everything that is made from files."""
    with Catalog(there.root / "meta" / "campfire.db", read_only=True) as catalog:
        found = catalog.execute(
            "SELECT observation, fits_path, spectrum_id FROM spectra WHERE id > 40"
        ).fetchall()
    assert len(found) == 9
    owner = there.archive.accounts.user("eve@example.org").id if there.archive.fixed else ""
    for observation, path, name in found:
        link = there.archive.files.link(there.base, observation, path, 9_999_999_999, owner)
        if "broken" in path:
            assert there.client.get(link).status_code == 200
        else:
            assert _fine(there.client.get(link)).status_code in (403, 404)
        for route, params in (("spectrum", {"spectrum_id": name}), ("redshift-fit", {"path": path})):
            answer = there.client.get(f"{there.url}/{route}", params=params)
            assert answer.status_code in (404, 502)
            assert SECRET not in answer.content


@pytest.mark.parametrize(
    "wanted",
    [
        *("bytes=0-0,2-2", "bytes=" + ",".join(f"{n}-{n}" for n in range(2000)), "bytes=0-" + "9" * 18),
        *(
            "bytes=-0",
            "bytes=-99999999999999999",
            "bytes=5-1",
            "bytes=--1",
            "bytes=a-b",
            "lines=0-1",
            "bytes=",
        ),
        *("bytes=0-99999999999999999999999999", "bytes=٣-٤", "bytes=1-1;x", "bytes=9999999999-"),
    ],
)
def test_ranges(there: Served, wanted: str) -> None:
    path = "spectra/demo_p1/demo_p1_prism_clear_11_spec.fits"
    link = there.client.get(f"{there.url}/spectra", params={"path": path}).json()["url"]
    size = (there.root / "products" / path.removeprefix("spectra/")).stat().st_size
    answer = _fine(there.client.get(link, headers={b"Range": wanted.encode()}))
    assert answer.status_code in (200, 206, 416)
    assert len(answer.content) <= size  # many ranges are not answered with more than the file


@pytest.mark.parametrize(
    "host", ["[", "]", "[::1", "a b", "x:y", "", "x" * 5000, "evil.example/..", "a@b", "é", "x#y", "x?y"]
)
def test_host_headers(there: Served, host: str) -> None:
    token = there.client.headers["authorization"]
    for path in ("/api/v1/observations/demo_p1/manifest", "/cli-auth"):
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
        received = there.raw(head.encode("utf-8"))
        assert received.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4")), received[:200]
    head = (
        f"POST /api/v1/auth/device HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    assert there.raw(head.encode("utf-8")).startswith((b"HTTP/1.1 2", b"HTTP/1.1 4"))


BODIES = [
    *(b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * 60000, b"{}" + b" " * 70000, b"\0"),
    json.dumps({"grant_type": ["x"], "device_code": 5, "user_code": {}, "token": None}).encode(),
    *(json.dumps({"grant_type": g, "device_code": "\ud800", "refresh_token": "\ud800", "user_code": "\ud800",
                  "token": "\ud800", "action": "authorize"}).encode()
      for g in ("refresh_token", "urn:ietf:params:oauth:grant-type:device_code")),
    *(b"email=" + b"a" * 60000, b"&" * 30000, b"email=%ff&password=%00&code=%0d%0a", b"password=x"),
    b"code=BCDF-GHJK&action=authorize&form_token=%ed%a0%80",
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_bodies(there: Served, body: bytes) -> None:
    for path in ("device", "device/token", "refresh", "revoke", "device/validate", "device/authorize"):
        for kind in ("application/json", "text/plain"):
            _fine(there.client.post(f"{there.url}/auth/{path}", content=body, headers={"Content-Type": kind}))
    _fine(there.client.post(f"{there.base}/cli-auth", content=body))


@pytest.mark.parametrize(
    "value",
    [
        *(
            b"Bearer \xff\xfe",
            b"Bearer a.b.c",
            b"Bearer ..",
            b"Bearer sk_" + b"x" * 30000,
            b"Bearer a.\xe9.c",
        ),
        *(b"Bearer eyJ9.eyJ9.eyJ9", b"Bearer sk_\xff", b"Basic x"),
    ],
)
def test_tokens_and_cookies(there: Served, value: bytes) -> None:
    address = f"{there.url}/auth/whoami"
    assert httpx.get(address, headers={b"Authorization": value}).status_code == 401
    cookie = b"campfire_session=" + value.partition(b" ")[2]
    answer = httpx.get(f"{there.base}/cli-auth", headers={b"Cookie": cookie})
    assert answer.status_code == 200
    assert "Sign in" in answer.text


def test_a_broken_mosaic_is_no_error_of_the_server(there: Served) -> None:
    folder = there.root / "imaging" / "cosmos"
    folder.mkdir(parents=True)
    contents = {
        "f444w.fits": b"no FITS at all",
        "f277w.fits": b"SIMPLE  =                    T" + b" " * 2850,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        answer = there.client.get(f"{there.url}/cutout", params={"object_id": "J100001.23+021500.4"})
        assert answer.status_code == 404
        (folder / name).unlink()
    os.symlink("nowhere.fits", folder / "f150w.fits")
    answer = there.client.get(f"{there.url}/cutout", params={"object_id": "J100001.23+021500.4"})
    assert answer.status_code == 404


def test_a_field_is_no_path(there: Served) -> None:
    outside = there.root.parent / "outside"
    for field in ("../../outside", str(outside), "..", "."):
        with pytest.raises(LookupError):
            there.archive.cutouts.png(field, 150.0, 2.0, 5.0, 32)


def test_accounts_that_cannot_be_read_are_said_so(fresh_root: Path) -> None:
    with Accounts(fresh_root) as accounts:
        accounts.add_user("ada@example.org", "correct horse battery")
        key = accounts.add_key("ada@example.org")
    app = create_app(fresh_root)
    with ExitStack() as stack:
        stack.callback(app.state.archive.close)
        url = stack.enter_context(running(app))
        headers = {"Authorization": f"Bearer {key}"}
        other = sqlite3.connect(fresh_root / "meta" / "server" / "accounts.db", isolation_level=None)
        stack.callback(other.close)
        assert httpx.get(f"{url}/objects", headers=headers).status_code == 200
        other.execute("DROP TABLE api_keys")
        answer = httpx.get(f"{url}/objects", headers=headers)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "error" in answer.json()
        assert httpx.get(f"{url}/version").status_code == 200


def test_quoting_is_undone_once(there: Served) -> None:
    name = quote("demo_p1", safe="")
    assert there.client.get(f"{there.url}/observations/{name}/manifest").status_code == 200
    assert there.client.get(f"{there.url}/observations/{quote(quote('é'))}/manifest").status_code == 404


@pytest.mark.parametrize("route", ["objects", "spectra/list"])
def test_a_search_longer_than_the_database_takes(there: Served, route: str) -> None:
    answer = there.client.get(f"{there.url}/{route}", params={"search": "x" * 55_000})
    assert answer.status_code == 400
