"""Statements: the cache changes no value; it may be killed, shared, damaged, deleted, read-only, stale."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire.collection import cache_maintenance, pixel_table
from campfire.collection.build import open_tree
from campfire.collection.cache_index import CacheIndex
from campfire.collection.pixel_cache import PixelCache
from campfire.collection.row_sources import CacheRow, FileSource
from campfire.formats.spec_reader import file_hash


def same(archive: Any, folder: Path | None, rows: list[int] | None = None) -> xr.DataTree:
    """Open with the cache, compare with the files themselves, return the lazy tree."""
    sources, columns = archive.pick(list(range(len(archive.sources))) if rows is None else rows)
    tree = open_tree(sources, columns, cache_dir=folder)
    xr.testing.assert_identical(tree.compute()["PRISM"].to_dataset(), truth(sources, columns))
    return tree


def truth(sources: list[FileSource], columns: dict[str, Any]) -> xr.Dataset:
    ds: xr.Dataset = open_tree(sources, columns, chunks=None)["PRISM"].to_dataset()
    return ds


def cached(archive: Any, folder: Path) -> int:
    found = PixelCache(folder).resolve(archive.sources, archive.columns["grating"])
    return sum(isinstance(source, CacheRow) for source in found)


def test_layout_on_disk(archive: Any, tmp_path: Path) -> None:
    """One group a grating, dtype and width; chunks of 64 rows, shards of 1024, Zarr 3; no strings."""
    import zarr

    same(archive, tmp_path)
    info = cache_maintenance.info(tmp_path)
    assert info["spectra"] == len(archive.sources)
    assert info["orphans"] == []
    assert {s["name"] for s in info["stores"]} <= {
        f"{grating}-{kind}-w512.zarr" for grating in ("PRISM", "G395M", "G140M") for kind in ("f4", "f8")
    }
    store = tmp_path / "pixels" / "v1" / info["stores"][0]["name"]
    group = zarr.open_group(store, mode="r")
    fnu: Any = group["fnu"]
    assert fnu.metadata.zarr_format == 3
    assert (fnu.chunks, fnu.shards) == ((64, 512), (1024, 512))
    assert sorted(name for name, _ in group.arrays()) == ["dq", "fnu", "fnu_err", "key", "wavelength"]
    assert all(array.dtype.kind in "fu" for _, array in group.arrays())


def test_second_opening_reads_no_file(archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from campfire.collection import block_reader

    same(archive, tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(block_reader, "read_pixels", refuse)
    monkeypatch.setattr(block_reader, "RawFits", refuse)
    tree = open_tree(archive.sources, archive.columns, cache_dir=tmp_path)
    assert np.isfinite(tree["PRISM"].fnu.compute()).any()


def test_appended_in_uneven_batches_over_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: Any
) -> None:
    """Rows beyond a shard, in batches of any size, come back as they were."""
    monkeypatch.setattr("campfire.collection.pixel_table.SHARD_ROWS", 128)
    monkeypatch.setattr("campfire.collection.pixel_cache.SHARD_ROWS", 128)
    archive = maker(tmp_path / "one", ["PRISM"])
    original = Path(archive.sources[0].path).read_bytes()
    sources = []
    for i in range(300):  # distinct files: the name of the source is in the header
        path = tmp_path / f"copy_{i}_spec.fits"
        path.write_bytes(original.replace(b"'PRISM   '", f"'PRI{i:05d}'".encode(), 1))
        sources.append(FileSource(str(path), file_hash(path)))
    assert len({s.file_hash for s in sources}) == 300
    folder = tmp_path / "cache"
    stop = 0
    for size in (1, 63, 130, 2, 104):
        start, stop = stop, stop + size
        assert cache_maintenance.build(folder, sources[start:stop], ["PRISM"] * size)["added"] == size
    order = np.random.default_rng(1).permutation(300)
    columns = {"spectrum_id": [str(i) for i in order], "grating": ["PRISM"] * 300}
    ds = open_tree([sources[i] for i in order], columns, cache_dir=folder, chunks=50)["PRISM"]
    assert (ds.fnu.compute() == ds.fnu[0].compute()).sum() == 300 * np.isfinite(ds.fnu[0].values).sum()
    assert cache_maintenance.info(folder)["stores"][0]["rows"] == 300


def test_a_reprocessed_file_is_a_new_row(maker: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    old = maker(tmp_path / "products", ["PRISM"] * 3, seed=1)
    same(old, folder)
    for source in old.sources:
        Path(source.path).unlink()
    new = maker(tmp_path / "products", ["PRISM"] * 3, seed=2)
    assert {s.path for s in new.sources} == {s.path for s in old.sources}
    same(new, folder)
    assert cache_maintenance.info(folder)["spectra"] == 6
    before = cache_maintenance.info(folder)["bytes"]
    freed = cache_maintenance.compact(folder, {s.file_hash for s in new.sources})
    info = cache_maintenance.info(folder)
    assert info["spectra"] == sum(s["rows"] for s in info["stores"]) == 3
    assert freed == before - info["bytes"]
    assert cached(new, folder) == 3
    same(new, folder)


def test_a_file_that_is_not_what_its_hash_says_is_not_cached(archive: Any, tmp_path: Path) -> None:
    sources, columns = archive.pick([0, 2])
    sources[1] = FileSource(sources[1].path, "sha256:" + "0" * 64)
    tree = open_tree(sources, columns, cache_dir=tmp_path)
    xr.testing.assert_identical(tree["PRISM"].to_dataset().compute(), truth(sources, columns))
    assert cache_maintenance.info(tmp_path)["spectra"] == 1
    report = cache_maintenance.build(tmp_path, sources, columns["grating"])
    assert report["added"] == 0
    assert list(report["failed"]) == [sources[1].path]


def test_files_without_a_hash_stay_files(archive: Any, tmp_path: Path) -> None:
    sources, columns = archive.pick([0, 2])
    sources = [FileSource(s.path) for s in sources]
    open_tree(sources, columns, cache_dir=tmp_path).load()
    assert cache_maintenance.info(tmp_path)["spectra"] == 0


@pytest.mark.parametrize("victim", ["everything", "index", "tables", "one shard", "keys"])
def test_deleted_while_a_collection_is_open(archive: Any, tmp_path: Path, victim: str) -> None:
    """A lazy collection goes on with the files, and the next opening makes good what is gone."""
    tree = same(archive, tmp_path)
    tables = tmp_path / "pixels" / "v1"
    if victim == "everything":
        shutil.rmtree(tmp_path)
    elif victim == "index":
        (tmp_path / "index.db").unlink()
    elif victim == "tables":
        shutil.rmtree(tables)
    elif victim == "one shard":
        shutil.rmtree(next(tables.glob("PRISM*")) / "fnu_err" / "c" / "0")
    else:
        shutil.rmtree(next(tables.glob("PRISM*")) / "key" / "c")
    sources, columns = archive.pick(list(range(len(archive.sources))))
    xr.testing.assert_identical(tree["PRISM"].to_dataset().compute(), truth(sources, columns))
    same(archive, tmp_path)
    assert cached(archive, tmp_path) == len(archive.sources)


def test_a_table_made_anew_in_another_order_is_noticed(archive: Any, tmp_path: Path) -> None:
    """The numbers of an open collection are never those of another spectrum."""
    tree = same(archive, tmp_path)
    shutil.rmtree(tmp_path)
    backwards = archive.pick(list(range(len(archive.sources)))[::-1])
    open_tree(*backwards, cache_dir=tmp_path)
    sources, columns = archive.pick(list(range(len(archive.sources))))
    xr.testing.assert_identical(tree["PRISM"].to_dataset().compute(), truth(sources, columns))


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_damaged_pixels_are_noticed(archive: Any, tmp_path: Path, damage: str) -> None:
    """A checksum fails: the files are read; compact drops the rows, and they are read in again."""
    same(archive, tmp_path)
    for shard in (tmp_path / "pixels" / "v1").glob("PRISM*/fnu/c/0/0"):
        data = bytearray(shard.read_bytes())
        if damage == "flip":
            data[10] ^= 0xFF
        kept = {"flip": len(data), "truncate": len(data) // 2, "empty": 0}[damage]
        shard.write_bytes(bytes(data[:kept]))
    same(archive, tmp_path)
    cache_maintenance.compact(tmp_path)
    assert cached(archive, tmp_path) == len(archive.sources)
    tree = same(archive, tmp_path)
    assert isinstance(tree, xr.DataTree)


def test_a_damaged_table_that_has_to_grow_is_replaced(archive: Any, tmp_path: Path) -> None:
    open_tree(*archive.pick(list(range(15))), cache_dir=tmp_path)
    for shard in (tmp_path / "pixels" / "v1").glob("*/fnu/c/0/0"):
        shard.write_bytes(shard.read_bytes()[:100])
    same(archive, tmp_path)
    same(archive, tmp_path)
    assert cached(archive, tmp_path) == len(archive.sources)


@pytest.mark.parametrize("content", [b"", b"this is not a database" * 100])
def test_a_damaged_index_starts_anew(archive: Any, tmp_path: Path, content: bytes) -> None:
    same(archive, tmp_path)
    (tmp_path / "index.db").write_bytes(content)
    same(archive, tmp_path)
    assert cached(archive, tmp_path) == len(archive.sources)
    assert len(cache_maintenance.info(tmp_path)["orphans"]) > 0
    assert cache_maintenance.prune(tmp_path) > 0
    assert cache_maintenance.info(tmp_path)["orphans"] == []
    same(archive, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder(archive: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    open_tree(*archive.pick([0, 2]), cache_dir=folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        same(archive, folder)
        assert cached(archive, folder) == 2
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_folder_that_cannot_be_made(archive: Any, tmp_path: Path) -> None:
    """Works without a cache (here a file is in the way, which stops root too)."""
    (tmp_path / "cache").write_text("")
    same(archive, tmp_path / "cache")
    same(archive, tmp_path / "cache" / "below")


def test_other_layouts_and_orphans_are_pruned(archive: Any, tmp_path: Path) -> None:
    same(archive, tmp_path)
    (tmp_path / "pixels" / "v0" / "PRISM.zarr").mkdir(parents=True)
    (tmp_path / "pixels" / "v1" / "unknown.zarr").mkdir()
    cache_maintenance.prune(tmp_path)
    assert [p.name for p in (tmp_path / "pixels").iterdir()] == ["v1"]
    assert cached(archive, tmp_path) == len(archive.sources)


def test_upkeep_of_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert (
        cache_maintenance.info(missing)["spectra"]
        == cache_maintenance.prune(missing)
        == cache_maintenance.compact(missing)
        == 0
    )
    assert not missing.exists()


WRITER = """
import sys, time
from campfire.collection import pixel_table, pixel_cache
from campfire.collection.row_sources import FileSource
pixel_cache._READ_AHEAD = 8
folder, delay, *files = sys.argv[1:]
original = pixel_table.append_rows
def slow(store, start, block, keys):
    print("appending", flush=True)
    time.sleep(float(delay))
    original(store, start, block, keys)
    time.sleep(float(delay))
pixel_cache.append_rows = slow
sources = [FileSource(*f.split("|")) for f in files]
cache = pixel_cache.PixelCache(folder)
for i in range(0, len(sources), 5):
    cache.add([(s, "PRISM") for s in sources[i : i + 5]])
print("done", flush=True)
"""


def writer(folder: Path, sources: list[FileSource], delay: float) -> subprocess.Popen[str]:
    files = [f"{s.path}|{s.file_hash}" for s in sources]
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(folder), str(delay), *files]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_killed_writer(maker: Any, tmp_path: Path) -> None:
    """kill -9 in the middle of an append, before and after the pixels: what was committed stays right."""
    archive = maker(tmp_path / "products", ["PRISM"] * 20)
    folder = tmp_path / "cache"
    for k, wait in enumerate((0.0, 0.06, 0.14)):
        process = writer(folder, archive.sources[: 8 + 4 * k], 0.08)
        assert process.stdout is not None
        assert process.stdout.readline() == "appending\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        stores = CacheIndex(folder / "index.db").stores()
        assert all(s.rows >= 0 for s in stores)
    same(archive, folder)
    assert cached(archive, folder) == 20
    info = cache_maintenance.info(folder)
    assert info["spectra"] == sum(s["rows"] for s in info["stores"]) == 20
    assert info["orphans"] == []


def test_two_writers(maker: Any, tmp_path: Path) -> None:
    """Two processes filling one cache with overlapping files: every file once, every row right."""
    archive = maker(tmp_path / "products", ["PRISM"] * 24)
    folder = tmp_path / "cache"
    both = [writer(folder, archive.sources[:16], 0.0), writer(folder, archive.sources[8:][::-1], 0.0)]
    for process in both:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert output.endswith("done\n")
    info = cache_maintenance.info(folder)
    assert info["spectra"] == sum(s["rows"] for s in info["stores"]) == 24
    same(archive, folder)


def test_a_held_lock_lets_readers_read(archive: Any, tmp_path: Path) -> None:
    same(archive, tmp_path)
    connection = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        same(archive, tmp_path)
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_progress_is_reported(archive: Any, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    cache_maintenance.build(
        tmp_path, archive.sources, archive.columns["grating"], progress=lambda *a: seen.append(a)
    )
    assert seen[-1] == ("cache", 20, 20)
    again = cache_maintenance.build(tmp_path, archive.sources, archive.columns["grating"])
    assert again == {"added": 0, "failed": {}}


def test_shard_constants_are_the_documented_ones() -> None:
    assert (pixel_table.CHUNK_ROWS, pixel_table.SHARD_ROWS) == (64, 1024)


def test_threads_open_at_once(archive: Any, tmp_path: Path) -> None:
    """Four threads of one process fill the same cache."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: same(archive, tmp_path), range(4)))
    info = cache_maintenance.info(tmp_path)
    assert info["spectra"] == sum(s["rows"] for s in info["stores"]) == len(archive.sources)
