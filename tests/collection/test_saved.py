"""Statement: a collection written whole is the same when it is opened, and cannot be opened before."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import campfire
from campfire.collection import object_store, zarr_stores
from campfire.collection.build import open_tree
from campfire.errors import NotFoundError, ValidationError
from tests.collection.conftest import Archive
from tests.object_store import SECRET, ObjectServer


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    server = ObjectServer()
    yield server
    server.close()


@pytest.fixture(params=["folder", "url"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "sample.zarr")
        return
    server = request.getfixturevalue("server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    object_store._opened.cache_clear()
    yield server.url(f"{tmp_path.name}/sample.zarr")
    object_store._opened.cache_clear()


def assert_same(found: xr.DataTree, truth: xr.DataTree) -> None:
    assert found.groups == truth.groups
    assert found.attrs == truth.attrs
    for path in truth.groups[1:]:
        ds = found[path].to_dataset().compute()
        xr.testing.assert_identical(ds, truth[path].to_dataset().compute())
        assert set(ds.xindexes) == set(truth[path].to_dataset().xindexes)


@pytest.mark.parametrize("chunks", [3, None])
def test_what_is_written_comes_back(where: str, archive: Archive, chunks: int | None) -> None:
    tree = open_tree(archive.sources, archive.columns, chunks=chunks)
    tree.campfire.to_zarr(where)
    assert_same(campfire.from_zarr(where), tree)
    pickled = pickle.dumps(campfire.from_zarr(where))
    assert SECRET.encode() not in pickled
    back = pickle.loads(pickled)
    assert back["PRISM"].fnu.chunks is not None
    assert_same(back, tree)
    with pytest.raises(ValidationError, match="already"):
        tree.campfire.to_zarr(where)
    assert_same(campfire.from_zarr(where), tree)


def test_uneven_chunks_covariances_and_subtrees_too(tmp_path: Path, archive: Archive) -> None:
    tree = open_tree(archive.sources, archive.columns, chunks=3)
    prism = tree["PRISM"].to_dataset()
    uneven = xr.concat([prism.isel(spectrum=[0]), prism.isel(spectrum=slice(1, None))], dim="spectrum")
    gridded = prism.campfire.resample(np.linspace(1.2, 4.8, 30))
    both = xr.DataTree.from_dict({"/a/uneven": uneven, "/a/gridded": gridded})
    both["a"].campfire.to_zarr(tmp_path / "both.zarr")
    back = campfire.from_zarr(tmp_path / "both.zarr")
    assert back.groups == ("/", "/uneven", "/gridded")
    xr.testing.assert_equal(back["uneven"].to_dataset().compute(), uneven.compute())
    xr.testing.assert_identical(back["gridded"].to_dataset().compute(), gridded.compute())
    again = xr.DataTree.from_dict({"/PRISM": back["gridded"].to_dataset().chunk({"spectrum": 1})})
    again.campfire.to_zarr(tmp_path / "again.zarr")  # what was read with other chunks
    xr.testing.assert_equal(
        campfire.from_zarr(tmp_path / "again.zarr")["PRISM"].to_dataset().compute(), gridded.compute()
    )


def test_nothing_half_written_is_opened(
    where: str, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a writer stops, before the last put there is no collection."""
    tree = open_tree(archive.sources, archive.columns, chunks=None)
    count = 0
    inner: Any = zarr_stores.UrlStore if "://" in where else zarr_stores.FolderStore
    true_set = inner.set

    async def counted(self: Any, key: str, value: Any) -> None:
        nonlocal count
        count += 1
        if count == stop:
            raise RuntimeError("stopped here")
        await true_set(self, key, value)

    monkeypatch.setattr(inner, "set", counted)
    stop = 0
    tree.campfire.to_zarr(f"{where}-all")
    total = count
    assert total > 40
    for stop in (1, total // 2, total - 1, total):
        count = 0
        place = f"{where}-{stop}"
        with pytest.raises(RuntimeError, match="stopped here"):
            tree.campfire.to_zarr(place)
        with pytest.raises(NotFoundError, match="no whole collection"):
            campfire.from_zarr(place)
        with pytest.raises(ValidationError):
            tree.campfire.to_zarr(place)


@pytest.mark.slow
def test_workers_write_and_read_it_and_one_of_them_may_die(tmp_path: Path, archive: Archive) -> None:
    distributed = pytest.importorskip("distributed")
    tree = open_tree(archive.sources, archive.columns, chunks=2)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    )
    with cluster, distributed.Client(cluster) as client:
        tree.campfire.to_zarr(tmp_path / "sample.zarr")
        lazy = campfire.from_zarr(tmp_path / "sample.zarr")
        stack = lazy["PRISM"].to_dataset().campfire.stack(grid="common")
        pids = client.run(os.getpid)
        held = client.persist(lazy["PRISM"].to_dataset())
        distributed.wait(held)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        xr.testing.assert_equal(held.compute(), tree["PRISM"].to_dataset().compute(scheduler="sync"))
        found = stack.compute()
    xr.testing.assert_allclose(found, stack.compute(), rtol=1e-12)


@pytest.mark.slow
def test_a_store_that_is_away_for_ten_seconds_is_waited_for(
    server: ObjectServer, tmp_path: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a reader, and a writer, that have no files to go back to."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    object_store._opened.cache_clear()
    url = server.url(f"{tmp_path.name}/away.zarr")
    tree = open_tree(archive.sources, archive.columns, chunks=None)
    tree.campfire.to_zarr(url)
    lazy = campfire.from_zarr(url)
    server.away()
    timer = threading.Timer(10.0, server.back)
    timer.start()
    start = time.perf_counter()
    loaded = lazy.load()
    assert time.perf_counter() - start > 9
    timer.join()
    assert_same(loaded, tree)
    object_store._opened.cache_clear()


def test_what_is_lost_later_is_bad_never_good(archive: Archive, tmp_path: Path) -> None:
    tree = open_tree(archive.sources, archive.columns, chunks=3)
    where = tmp_path / "sample.zarr"
    tree.campfire.to_zarr(where)
    (group, *_) = tree.children
    shutil.rmtree(where / group / "dq" / "c" / "0")
    (where / group / "fnu" / "c" / "1" / "0").unlink(missing_ok=True)
    found = campfire.from_zarr(where)[group].to_dataset()
    assert not found.campfire.good().values[:3].any()
    kept = ~np.isnan(found.fnu.values)
    np.testing.assert_array_equal(found.fnu.values[kept], tree[group].fnu.values[kept])
    assert found.dq.dtype == np.uint8
