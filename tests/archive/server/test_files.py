"""Statements checked: signed links open files without a token, for their time, in parts, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx
import pytest

from campfire.archive.server.file_links import FileShelf
from campfire.archive.server.signing import Signer
from campfire.config import DataPaths
from campfire.formats.spec_reader import file_hash
from campfire.testing import served

Get = Callable[..., Any]
NAME = "demo_p1_prism_clear_11_spec.fits"
PATH = f"spectra/demo_p1/{NAME}"


@pytest.fixture
def link(ask: Get) -> str:
    url = ask("/spectra", path=PATH).json()["url"]
    assert isinstance(url, str)
    return url


def changed(url: str, **parts: str) -> str:
    """Return a link with its path or single query parameters replaced."""
    split = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(split.query).items()}
    query |= {name: value for name, value in parts.items() if name != "path"}
    return urlunsplit(split._replace(path=parts.get("path", split.path), query=str(httpx.QueryParams(query))))


def test_a_link_needs_no_token_and_gives_the_file(http: httpx.Client, link: str, template: Path) -> None:
    answer = http.get(link)
    file = template / "products" / "demo_p1" / NAME
    assert answer.status_code == 200
    assert answer.content == file.read_bytes()
    assert answer.headers["etag"] == f'"{file_hash(file)}"'
    assert answer.headers["content-type"] == "application/fits"


def test_parts_and_conditions(http: httpx.Client, link: str) -> None:
    whole = http.get(link)
    etag = whole.headers["etag"]
    part = http.get(link, headers={"Range": "bytes=100-199", "If-Range": etag})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert http.get(link, headers={"Range": "bytes=100-199", "If-Range": '"other"'}).content == whole.content
    assert http.get(link, headers={"If-None-Match": etag}).status_code == 304
    assert http.get(link, headers={"Range": "bytes=99999999-"}).status_code == 416
    head = http.head(link)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


def test_every_link_of_a_manifest_gives_its_file(ask: Get, http: httpx.Client) -> None:
    for row in ask("/observations/demo_p1/manifest").json()["spectra"]:
        content = http.get(row["download_url"])
        assert content.status_code == 200
        if row["file_hash"]:
            assert content.headers["etag"] == f'"{row["file_hash"]}"'
            assert len(content.content) == row["file_size"]


def test_redirect(ask: Get) -> None:
    answer = ask("/spectra", path=PATH, redirect="true")
    assert answer.status_code == 307
    assert "/files/demo_p1/" in answer.headers["location"]
    assert "url" in ask("/spectra", path=PATH, redirect="yes").json()


@pytest.mark.parametrize(
    "parts",
    [
        {"expires": "9999999999"},
        {"expires": "1"},
        {"expires": "-5"},
        {"expires": "soon"},
        {"expires": "²"},
        {"signature": "0" * 64},
        {"signature": ""},
        {"signature": "é"},
        {"path": "/files/demo_p2/" + NAME},
        {"path": "/files/demo_p1/demo_p1_prism_clear_12_spec.fits"},
        {"path": "/files/demo_p1/..%2F..%2Fmeta%2Fcampfire.db"},
    ],
)
def test_a_changed_link_opens_nothing(http: httpx.Client, link: str, parts: dict[str, str]) -> None:
    answer = http.get(changed(link, **parts))
    assert answer.status_code in (403, 404)
    assert list(answer.json()) == ["error"]


def test_lifetimes(ask: Get, link: str) -> None:
    import time

    def left(url: str) -> float:
        return int(parse_qs(urlsplit(url).query)["expires"][0]) - time.time()

    assert 3500 < left(link) <= 3600
    manifest = ask("/observations/demo_p1/manifest").json()["spectra"][0]["download_url"]
    assert 6 * 3600 - 100 < left(manifest) <= 6 * 3600


TRAVERSALS = [
    "..",
    ".",
    "../meta",
    "..\\meta",
    "/etc",
    "demo_p1/../../meta",
    "\0",
    "demo_p1\0",
    "",
    "~",
    "%2e%2e",
]


@pytest.mark.parametrize("folder", TRAVERSALS)
def test_no_name_leads_out_of_products(template: Path, folder: str) -> None:
    shelf = FileShelf(DataPaths(template), Signer(b"k" * 32))
    assert shelf.resolve("demo_p1", NAME) is not None
    for name in (NAME, "campfire.db", "passwd", "../campfire.db", "../../meta/campfire.db"):
        assert shelf.resolve(folder, name) is None
        assert shelf.resolve("demo_p1", f"{folder}/{name}") is None


def test_links_on_disk_are_followed_only_inside(fresh_root: Path) -> None:
    shelf = FileShelf(DataPaths(fresh_root), Signer(b"k" * 32))
    folder = fresh_root / "products" / "demo_p1"
    (folder / "out_spec.fits").symlink_to(fresh_root / "meta" / "campfire.db")
    (folder / "in_spec.fits").symlink_to(folder / NAME)
    assert shelf.resolve("demo_p1", "out_spec.fits") is None
    assert shelf.resolve("demo_p1", "in_spec.fits") is not None


def test_the_hash_follows_the_file(fresh_root: Path) -> None:
    shelf = FileShelf(DataPaths(fresh_root), Signer(b"k" * 32))
    path = shelf.resolve("demo_p1", NAME)
    assert path is not None
    first = shelf.facts(path)
    assert first == shelf.facts(path)
    shutil.copy(path.with_name("demo_p1_prism_clear_12_spec.fits"), path)
    assert shelf.facts(path).etag == f'"{file_hash(path)}"' != first.etag


def test_a_missing_file_is_said_so(fresh_root: Path, http: httpx.Client) -> None:
    headers = {"Authorization": "Bearer x"}
    with served(fresh_root) as url:
        link = http.get(f"{url}/spectra", params={"path": PATH}, headers=headers).json()["url"]
        (fresh_root / "products" / "demo_p1" / NAME).unlink()
        assert http.get(link).status_code == 404
        preview = http.get(f"{url}/spectrum", params={"path": PATH}, headers=headers)
        assert (preview.status_code, list(preview.json())) == (502, ["error"])


def test_a_broken_file_is_said_so(fresh_root: Path, http: httpx.Client) -> None:
    path = fresh_root / "products" / "demo_p1" / NAME
    path.write_bytes(path.read_bytes()[:3000])
    path.with_name(NAME.replace("_spec", "_zfit")).write_bytes(b"no FITS")
    with served(fresh_root) as url:
        for route in ("spectrum", "redshift-fit"):
            answer = http.get(f"{url}/{route}", params={"path": PATH}, headers={"Authorization": "Bearer x"})
            assert (answer.status_code, list(answer.json())) == (502, ["error"])
