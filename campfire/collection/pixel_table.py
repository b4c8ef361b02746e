"""The pixel table: one Zarr group of append-only rows, and blocks of rows in memory.

A group holds ``wavelength``, ``fnu``, ``fnu_err``, ``dq`` with dimensions (row, pixel) and ``key`` (row). The
read unit is a chunk of 64 rows, the write unit a shard of 1024 rows: a hundred thousand spectra are a
hundred files a variable. ``key`` tells whose pixels a row holds, and every chunk carries a checksum, so that
a row that was lost, damaged or replaced is noticed and never taken for data.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from campfire.collection.shard_reader import read_chunk, read_shard_rows
from campfire.publishing import settle, sync_folder
from campfire.schema import PixelDQ

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CHUNK_ROWS",
    "FIELDS",
    "FILL",
    "SHARD_ROWS",
    "append_rows",
    "create_store",
    "empty_block",
    "field_dtypes",
    "padded_width",
    "read_keys",
    "read_rows",
    "row_lengths",
    "store_dtype",
    "store_name",
    "valid_width",
]

FIELDS = ("wavelength", "fnu", "fnu_err", "dq")
FILL: dict[str, Any] = {"wavelength": np.nan, "fnu": np.nan, "fnu_err": np.nan, "dq": int(PixelDQ.OUTSIDE)}
CHUNK_ROWS = 64
SHARD_ROWS = 1024
_WIDTH_STEP = 512
_MOST_WIDTH = 2**20  # pixels: no spectrum of this instrument has a hundredth of it


def field_dtypes(dtype: np.dtype[Any]) -> dict[str, np.dtype[Any]]:
    """Return the dtype of every field where flux and error have ``dtype``; wavelength is always float64."""
    return {
        "wavelength": np.dtype(np.float64),
        "fnu": dtype,
        "fnu_err": dtype,
        "dq": np.dtype(np.uint8),
    }


def empty_block(
    n_rows: int, width: int, dtype: np.dtype[Any], names: Sequence[str] = FIELDS
) -> dict[str, NDArray[Any]]:
    """Return arrays (n_rows, width) that hold nothing but padding: NaN, and ``OUTSIDE`` in dq."""
    dtypes = field_dtypes(dtype)
    return {name: np.full((n_rows, width), FILL[name], dtype=dtypes[name]) for name in names}


def padded_width(n_pixels: int) -> int:
    """Round a row length up to the width of the table that takes it.

    Examples
    --------
    >>> padded_width(435), padded_width(512), padded_width(513)
    (512, 512, 1024)
    """
    return max(_WIDTH_STEP, -(-n_pixels // _WIDTH_STEP) * _WIDTH_STEP)


def valid_width(width: int) -> bool:
    """Tell whether a table can have this width; the answer bounds what one row may take of the memory."""
    return 0 < width <= _MOST_WIDTH and width % _WIDTH_STEP == 0


def row_lengths(wavelength: NDArray[Any]) -> NDArray[np.int64]:
    """Return the true length of rows that are padded with NaN at the end.

    Examples
    --------
    >>> row_lengths(np.array([[1.0, 2.0, np.nan], [np.nan, np.nan, np.nan]])).tolist()
    [2, 0]
    """
    there = np.isfinite(wavelength)
    lengths = wavelength.shape[1] - np.argmax(there[:, ::-1], axis=1)
    return np.where(there.any(axis=1), lengths, 0)


def store_name(grating: str, dtype: np.dtype[Any], width: int, generation: int = 0) -> str:
    """Name the table of one grating, float dtype and width; each rewriting gets a new generation.

    Examples
    --------
    >>> store_name("PRISM", np.dtype("f8"), 512), store_name("PRISM", np.dtype("f4"), 512, 2)
    ('PRISM-f8-w512.zarr', 'PRISM-f4-w512-g2.zarr')
    """
    suffix = f"-g{generation}" if generation else ""
    return f"{grating}-f{dtype.itemsize}-w{width}{suffix}.zarr"


@lru_cache(maxsize=256)
def store_dtype(store: str) -> np.dtype[Any]:
    """Return the float dtype that :func:`store_name` wrote into the name of a table.

    Examples
    --------
    >>> store_dtype("/data/cache/pixels/v1/PRISM-f4-w512.zarr")
    dtype('float32')
    """
    width_at = Path(store).name.rindex("-w")
    return np.dtype(Path(store).name[:width_at].rsplit("-", 1)[1])


def create_store(store: Path, width: int, dtype: np.dtype[Any]) -> None:
    """Make an empty table of ``width`` pixels a row, where nothing is yet."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    group = zarr.open_group(store, mode="w-", zarr_format=3, attributes={"campfire_cache": 1})
    for name, kind in field_dtypes(dtype).items():
        shuffle: Literal["shuffle", "noshuffle"] = "shuffle" if kind.itemsize > 1 else "noshuffle"
        group.create_array(
            name,
            shape=(0, width),
            chunks=(CHUNK_ROWS, width),
            shards=(SHARD_ROWS, width),
            dtype=kind,
            fill_value=FILL[name],
            compressors=[BloscCodec(cname="zstd", clevel=1, shuffle=shuffle), Crc32cCodec()],
            dimension_names=("row", "pixel"),
        )
    group.create_array(
        "key",
        shape=(0,),
        chunks=(SHARD_ROWS,),
        dtype=np.uint64,
        fill_value=0,
        compressors=[Crc32cCodec()],
        dimension_names=("row",),
    )
    for folder, _, files in os.walk(store, topdown=False):
        for file in files:
            settle(Path(folder, file))
        sync_folder(Path(folder))
    sync_folder(store.parent)


def append_rows(store: Path, start: int, block: Mapping[str, NDArray[Any]], keys: NDArray[np.uint64]) -> None:
    """Write rows ``start``, ``start + 1``, … of a table, replacing what a killed writer left there.

    The keys come last: a row without its key does not exist for a reader. On return they are on the disk,
    so that no index can outlive them in a power cut.
    """
    import zarr

    # Zarr takes a shard that was lost for an empty one, and would give its rows right checksums.
    read_rows(store, np.arange(start - start % SHARD_ROWS, start))
    stop = start + len(keys)
    for name, values in [*((name, block[name]) for name in FIELDS), ("key", keys)]:
        # Rows of nothing but NaN are written too: a missing file has to mean a lost one. (Zarr 3.1 does not
        # heed the argument `config` of open_array.)
        with zarr.config.set({"array.write_empty_chunks": True}):
            array = zarr.open_array(store / name, mode="r+")
            if array.shape[0] < stop:
                array.resize((stop, *array.shape[1:]))
            array[start:stop] = values
        _settle_shards(store / name, start, stop)


def _settle_shards(array: Path, start: int, stop: int) -> None:
    """Wait until the files of some rows of an array are on the disk, with their names."""
    chunks = array / "c"
    for number in range(start // SHARD_ROWS, (stop - 1) // SHARD_ROWS + 1):
        place = chunks / str(number)
        if place.is_dir():
            settle(place / "0")
            sync_folder(place)
        else:
            settle(place)
    settle(array / "zarr.json")
    sync_folder(chunks)
    sync_folder(array)


@lru_cache(maxsize=1024)
def _key_chunk(path: Path, mtime_ns: int, inode: int) -> NDArray[np.uint64]:
    return read_chunk(path, "<u8", SHARD_ROWS)


def read_keys(store: Path, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the keys of ``rows``; 0 where a row was never written.

    Raises
    ------
    OSError, ValueError
        If they cannot be read.
    """
    keys = np.zeros(rows.size, dtype=np.uint64)
    owner = rows // SHARD_ROWS
    for number in np.unique(owner).tolist():
        # Read once until the file is replaced: the four fields of a block ask for the same.
        path = store / "key" / "c" / str(number)
        stat = path.stat()
        inside = owner == number
        keys[inside] = _key_chunk(path, stat.st_mtime_ns, stat.st_ino)[rows[inside] - number * SHARD_ROWS]
    return keys


def read_rows(store: Path, rows: NDArray[np.int64], names: Sequence[str] = FIELDS) -> dict[str, NDArray[Any]]:
    """Return the fields ``names`` of ``rows`` in any order, shape (rows, width of the table).

    Raises
    ------
    OSError, ValueError, RuntimeError
        If anything is missing or damaged.
    """
    kinds = field_dtypes(store_dtype(store.name))
    width = int(store.name.rpartition("-w")[2].split("-")[0].removesuffix(".zarr"))
    owner = rows // SHARD_ROWS
    fields = {}
    for name in names:
        out = np.empty((rows.size, width), dtype=kinds[name].newbyteorder("<"))
        for number in np.unique(owner).tolist():
            inside = np.flatnonzero(owner == number)
            path = store / name / "c" / str(number) / "0"
            whole = inside[-1] - inside[0] + 1 == inside.size
            part = out[inside[0] : inside[-1] + 1] if whole else np.empty((inside.size, width), out.dtype)
            read_shard_rows(
                path,
                rows[inside] - number * SHARD_ROWS,
                part,
                chunk_rows=CHUNK_ROWS,
                shard_rows=SHARD_ROWS,
            )
            if not whole:
                out[inside] = part
        fields[name] = out.astype(kinds[name], copy=False)
    return fields
