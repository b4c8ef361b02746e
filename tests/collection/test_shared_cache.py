"""Statement: a pixel cache in an object store gives the numbers of the files, or none; never wrong ones.

Seen with a real S3 server, a process on loopback.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire.collection import block_reader, object_store, segments
from campfire.collection.build import open_tree
from campfire.collection.cache_maintenance import build, compact, info, prune
from campfire.collection.row_sources import CacheRow
from campfire.collection.shared_cache import SharedCache
from campfire.config import DataPaths, store_url
from campfire.errors import APIError, AuthenticationError, CampfireError, NotFoundError, ValidationError
from tests.collection.conftest import Archive
from tests.object_store import SECRET, ObjectServer, build_program

pytest.importorskip("obstore")
pytest.importorskip("moto")


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    server = ObjectServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _environment(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    _forget()
    yield
    _forget()


def _forget() -> None:
    """Do as a new process would."""
    object_store._opened.cache_clear()
    segments._segment.cache_clear()
    block_reader._tell.cache_clear()


@pytest.fixture
def url(server: ObjectServer, request: pytest.FixtureRequest) -> str:
    return server.url(f"{abs(hash(request.node.name))}/cache")


def prefix_of(url: str) -> str:
    return url.split("/", 3)[3]


@pytest.fixture(scope="module")
def truth(archive: Archive) -> xr.DataTree:
    return open_tree(archive.sources, archive.columns, chunks=None)


def assert_same(found: xr.DataTree, truth: xr.DataTree) -> None:
    assert found.groups == truth.groups
    for path in truth.groups[1:]:
        xr.testing.assert_equal(found[path].to_dataset().compute(), truth[path].to_dataset())


def rows_of(url: str, archive: Archive) -> int:
    """Return how many sources the cache at a URL serves."""
    sources = SharedCache(url).resolve(archive.sources, archive.columns["grating"])
    return sum(isinstance(source, CacheRow) for source in sources)


def test_what_is_built_there_gives_the_numbers_of_the_files(
    url: str, archive: Archive, truth: xr.DataTree
) -> None:
    assert build(url, archive.sources, archive.columns["grating"])["added"] == len(archive.sources)
    assert rows_of(url, archive) == len(archive.sources)
    assert_same(open_tree(archive.sources, archive.columns, chunks=3, cache_dir=url), truth)
    order = np.random.default_rng(1).permutation(len(archive.sources)).tolist()
    some = archive.pick([*order, order[0]])
    assert_same(open_tree(*some, chunks=4, cache_dir=url), open_tree(*some, chunks=None))
    assert info(url)["spectra"] == len(archive.sources)
    assert build(url, archive.sources, archive.columns["grating"])["added"] == 0


def test_readers_need_no_files_and_workers_the_url_alone(
    url: str, archive: Archive, truth: xr.DataTree, tmp_path: Path
) -> None:
    build(url, archive.sources, archive.columns["grating"])
    elsewhere = [replace(s, path=str(tmp_path / "not-here.fits")) for s in archive.sources]
    tree = open_tree(elsewhere, archive.columns, chunks=3, cache_dir=url)
    pickled = pickle.dumps(tree)
    assert SECRET.encode() not in pickled
    assert SECRET not in repr(tree) + repr(SharedCache(url))
    (tmp_path / "tree.pickle").write_bytes(pickled)
    code = (
        "import pickle, sys; tree = pickle.loads(open(sys.argv[1], 'rb').read()); "
        "open(sys.argv[1], 'wb').write(pickle.dumps(tree.load()))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "tree.pickle")], check=True)
    assert_same(pickle.loads((tmp_path / "tree.pickle").read_bytes()), truth)


def test_opening_never_writes(url: str, server: ObjectServer, archive: Archive, truth: xr.DataTree) -> None:
    assert_same(open_tree(archive.sources, archive.columns, cache_dir=url), truth)
    assert server.keys(prefix_of(url)) == []


@pytest.mark.slow
def test_a_store_that_is_away_for_a_while_is_waited_for(
    url: str, server: ObjectServer, archive: Archive, truth: xr.DataTree
) -> None:
    build(url, archive.sources, archive.columns["grating"])
    tree = open_tree(archive.sources, archive.columns, chunks=3, cache_dir=url)
    _forget()
    server.away()
    timer = threading.Timer(2.0, server.back)
    timer.start()
    start = time.perf_counter()
    loaded = {path: tree[path].to_dataset().compute() for path in tree.groups[1:]}
    assert time.perf_counter() - start > 1.5
    timer.join()
    for path, ds in loaded.items():
        xr.testing.assert_equal(ds, truth[path].to_dataset())


def test_a_store_that_stays_away_is_said_and_the_files_are_read(
    url: str,
    server: ObjectServer,
    archive: Archive,
    truth: xr.DataTree,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build(url, archive.sources, archive.columns["grating"])
    tree = open_tree(archive.sources, archive.columns, cache_dir=url)
    monkeypatch.setattr(object_store, "RETRY_SECONDS", 0.2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    _forget()
    with caplog.at_level(logging.WARNING, "campfire"):
        assert_same(tree, truth)
        assert_same(open_tree(archive.sources, archive.columns, cache_dir=url), truth)
    assert "cannot be used" in caplog.text
    assert SECRET not in caplog.text
    with pytest.raises(APIError, match="AWS_ENDPOINT_URL"):
        build(url, archive.sources, archive.columns["grating"])
    (lost, columns) = archive.pick([0])
    del columns["tags"]
    gone = CacheRow(f"{url}/segments/{'0' * 64}-f8-w512.json", 0, 3, replace(lost[0], path="/not/here.fits"))
    with pytest.raises(NotFoundError, match="cannot be used, and its file is not here"):
        open_tree([gone], columns, chunks=None)


def test_a_builder_that_is_killed_leaves_nothing_wrong(
    url: str, server: ObjectServer, archive: Archive, truth: xr.DataTree, tmp_path: Path
) -> None:
    listing = tmp_path / "listing.pickle"
    listing.write_bytes(pickle.dumps((archive.sources, archive.columns["grating"])))
    rng = random.Random(3)
    for _ in range(3):
        with subprocess.Popen(build_program(url, listing), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.15))
            process.kill()
        _forget()
        assert_same(open_tree(archive.sources, archive.columns, cache_dir=url), truth)
    build(url, archive.sources, archive.columns["grating"])
    assert rows_of(url, archive) == len(archive.sources)


def test_two_builders_at_once_both_succeed(url: str, archive: Archive, truth: xr.DataTree) -> None:
    half = len(archive.sources) // 2
    parts = [archive.pick(list(range(half))), archive.pick(list(range(half, len(archive.sources))))]
    threads = [
        threading.Thread(target=build, args=(url, sources, columns["grating"])) for sources, columns in parts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same(open_tree(archive.sources, archive.columns, cache_dir=url), truth)
    assert rows_of(url, archive) >= half  # all of them, where the store puts conditionally
    build(url, archive.sources, archive.columns["grating"])
    assert rows_of(url, archive) == len(archive.sources)


@pytest.mark.parametrize("kind", ["manifest", "segments", "pixels"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone", "pickle", "huge"])
def test_what_does_not_match_is_never_believed(
    url: str, server: ObjectServer, archive: Archive, truth: xr.DataTree, kind: str, damage: str
) -> None:
    build(url, archive.sources, archive.columns["grating"])
    for key in [key for key in server.keys(prefix_of(url)) if f"/{kind}" in key]:
        data = server.request("GET", key)
        if damage == "gone":
            server.request("DELETE", key)
            continue
        middle = len(data) // 2
        harmful = {
            "cut": data[:middle],
            "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "empty": b"",
            "pickle": pickle.dumps(print),
            "huge": data + b" " * (70 * 2**20 if kind == "manifest" else 2**21),
        }
        if damage == "huge" and kind == "pixels":
            harmful["huge"] = bytes(len(data))
        server.request("PUT", key, harmful[damage])
    _forget()
    assert_same(open_tree(archive.sources, archive.columns, chunks=4, cache_dir=url), truth)


@pytest.mark.parametrize(
    "change",
    [
        {"segments": [["../../etc/passwd", "PRISM", 1, 1]]},
        {"segments": [["0" * 64 + "-f8-w512.json", "../PRISM", 1, 1]]},
        {"segments": [["0" * 64 + "-f8-w512.json", "PRISM", -1, 1]]},
        {"segments": [["0" * 64 + "-O8-w512.json", "PRISM", 1, 1]]},
        {"segments": 3},
        {"campfire_cache": 99},
    ],
)
def test_a_hostile_manifest_is_no_manifest(
    url: str, server: ObjectServer, archive: Archive, change: dict[str, Any]
) -> None:
    told = {"campfire_cache": 1, "segments": []} | change
    server.request("PUT", f"{prefix_of(url)}/manifest.json", json.dumps(told).encode())
    with pytest.raises(ValidationError, match="is not the manifest of a pixel cache"):
        build(url, archive.sources, archive.columns["grating"])


@pytest.mark.parametrize("field", ["offset", "length", "negative", "rows", "width", "pixels", "swapped"])
def test_a_segment_with_a_right_name_and_wrong_content_is_read_from_files(
    url: str, server: ObjectServer, archive: Archive, truth: xr.DataTree, field: str
) -> None:
    """Whoever can write the store can name things rightly; sizes, places and owners are still checked."""
    build(url, archive.sources, archive.columns["grating"])
    base = prefix_of(url)
    manifest = json.loads(server.request("GET", f"{base}/manifest.json"))
    for ref in manifest["segments"]:
        told = json.loads(server.request("GET", f"{base}/segments/{ref[0]}"))
        place = told["chunks"]["fnu"][0]
        if field in ("offset", "length"):
            place[field == "length"] = 10**9
        elif field == "negative":
            place[0] = -5
        elif field == "rows":
            told["rows"] = [[h, e, 2**40] for h, e, _ in told["rows"]]
        elif field == "pixels":
            told["pixels"] = "../../secrets"
        elif field == "swapped":  # another chunk that is whole, in its place
            told["chunks"]["fnu"] = told["chunks"]["dq"]
        data = json.dumps(told).encode()
        wide = "-w99999999" if field == "width" else ref[0][67:].removesuffix(".json")
        ref[0] = f"{sha256(data).hexdigest()}{ref[0][64:67]}{wide}.json"
        server.request("PUT", f"{base}/segments/{ref[0]}", data)
    server.request("PUT", f"{base}/manifest.json", json.dumps(manifest).encode())
    _forget()
    assert_same(open_tree(archive.sources, archive.columns, chunks=4, cache_dir=url), truth)


@pytest.mark.parametrize(
    "bad",
    [
        "s3://key:secret@bucket/cache",
        "s3://bucket/cache?X-Amz-Signature=secret",
        "s3://bucket/../cache",
        "s3://bucket//cache",
        "s3://",
        "ftp://bucket/cache",
        "https://bucket/cache",
    ],
)
def test_a_url_with_more_than_names_is_refused_and_not_repeated(
    bad: str, archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError) as caught:
        open_tree(archive.sources, archive.columns, cache_dir=bad)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("CAMPFIRE_CACHE_DIR", bad)
    with pytest.raises(ValidationError):
        _ = DataPaths(tmp_path).cache


def test_the_environment_moves_the_cache_to_a_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAMPFIRE_CACHE_DIR", "s3://team-bucket/cache/")
    assert DataPaths(tmp_path).cache == store_url("s3://team-bucket/cache") == "s3://team-bucket/cache"


@pytest.mark.parametrize("verb", [prune, compact])
def test_upkeep_of_a_folder_is_refused_for_a_url(verb: Any, url: str) -> None:
    with pytest.raises(ValidationError, match="at a URL"):
        verb(url)


def test_a_bucket_that_is_not_there_is_said(archive: Archive) -> None:
    with pytest.raises(NotFoundError, match="no bucket"):
        build("s3://another-bucket/cache", archive.sources, archive.columns["grating"])


def test_a_fault_never_shows_what_a_server_sent() -> None:
    from obstore.exceptions import PermissionDeniedError

    err = PermissionDeniedError(
        "GET x: 403 Forbidden: <Error><AWSAccessKeyId>name-of-the-key</AWSAccessKeyId>"
    )
    fault: CampfireError = object_store._fault(err, "s3://team-bucket/cache")
    assert isinstance(fault, AuthenticationError)
    assert "name-of-the-key" not in str(fault)
    assert "AWS_REGION" in str(fault)
    assert os.environ["AWS_ACCESS_KEY_ID"] == "name-of-the-key"
