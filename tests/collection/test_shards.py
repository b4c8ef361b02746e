"""Statement: our reader of shards gives what zarr gives, for any rows in any order, and notices damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.collection.pixel_table import (
    FIELDS,
    append_rows,
    create_store,
    field_dtypes,
    read_keys,
    read_rows,
    store_name,
)
from campfire.collection.shard_reader import ShardError

ROWS = 1500


@pytest.fixture(scope="module", params=["f4", "f8"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 1500 rows, written in uneven batches over two shards."""
    dtype = np.dtype(request.param)
    path = tmp_path_factory.mktemp("tables") / store_name("PRISM", dtype, 512)
    create_store(path, 512, dtype)
    rng = np.random.default_rng(0)
    start = 0
    for count in (1, 700, 30, 769):
        block: dict[str, Any] = {
            name: rng.integers(0, 200, (count, 512)).astype(kind)
            for name, kind in field_dtypes(dtype).items()
        }
        block["fnu"][::3] = np.nan
        append_rows(path, start, block, np.arange(start + 1, start + count + 1, dtype=np.uint64))
        start += count
    return path


@settings(max_examples=15)
@given(data=st.data())
def test_any_rows_are_those_of_zarr(store: Path, data: st.DataObject) -> None:
    import zarr

    start, stop = sorted(data.draw(st.tuples(st.integers(0, ROWS - 1), st.integers(0, ROWS))))
    rows = data.draw(
        st.one_of(
            st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=60).map(np.array),
            st.just(np.arange(start, max(stop, start + 1))),
            st.permutations(range(960, 1100)).map(np.array),
        )
    ).astype(np.int64)
    found = read_rows(store, rows)
    for name in FIELDS:
        whole: Any = zarr.open_array(store / name, mode="r")[:]
        assert found[name].dtype == whole.dtype
        np.testing.assert_array_equal(found[name], whole[rows])
    np.testing.assert_array_equal(read_keys(store, rows), rows + 1)


def test_rows_never_written(store: Path) -> None:
    assert read_keys(store, np.array([ROWS + 5]))[0] == 0
    with pytest.raises(ShardError, match="never written"):
        read_rows(store, np.array([2047]))
    with pytest.raises(FileNotFoundError):
        read_rows(store, np.array([5000]))


@pytest.mark.parametrize("place", ["chunk", "index"])
def test_any_flipped_byte_is_noticed(store: Path, place: str) -> None:
    path = store / "fnu" / "c" / "0" / "0"
    good = path.read_bytes()
    bad = bytearray(good)
    bad[100 if place == "chunk" else -30] ^= 1
    path.write_bytes(bytes(bad))
    try:
        with pytest.raises(ShardError, match="checksum"):
            read_rows(store, np.arange(1024), ["fnu"])
    finally:
        path.write_bytes(good)
