"""Whole rows out of the shards of a table, read as the Zarr 3 format lays them down.

Tables are written by zarr and any Zarr reader opens them. This reader knows what it reads (chunks of whole
rows, Blosc, a checksum a chunk), opens a shard once, and reads no more chunks than it has to: rows scattered
over a table come several times faster than through the general machinery, and a shard that is replaced
meanwhile cannot mix with its successor.

Format: zarr-specs.readthedocs.io, "Sharding codec" version 1.0. The index at the end of the file holds offset
and length of every chunk as little-endian uint64, and its own CRC-32C; every chunk is followed by that of it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import BinaryIO

    from numpy.typing import NDArray

__all__ = ["ShardError", "decompress", "read_chunk", "read_shard_rows"]

_CRC_BYTES = 4
_BLOSC_SIZES = struct.Struct("<4xI4xI")  # bytes without and with compression, in the header of 16 bytes


class ShardError(ValueError):
    """A shard or chunk is not what it has to be; its checksum is wrong, or it is cut short."""


def _checked(data: bytes | memoryview, what: object) -> memoryview:
    """Return data without the checksum at its end, once that is found right."""
    import google_crc32c

    body, stored = memoryview(data)[:-_CRC_BYTES], bytes(data[-_CRC_BYTES:])
    checksum: int = google_crc32c.value(bytes(body))
    if len(stored) < _CRC_BYTES or checksum != int.from_bytes(stored, "little"):
        raise ShardError(f"wrong checksum in {what}")
    return body


def read_chunk(path: Path, dtype: str, count: int) -> NDArray[Any]:
    """Return a chunk of ``count`` values that is a file of its own, not compressed, with a checksum.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ShardError
        If it is damaged.
    """
    kind = np.dtype(dtype)
    with open_plain(path) as file:
        if os.fstat(file.fileno()).st_size != count * kind.itemsize + _CRC_BYTES:
            raise ShardError(f"{path} does not hold {count} values")
        return np.frombuffer(_checked(file.read(), path), dtype=kind)


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or device in its place would never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ShardError(f"{path} is no plain file")
    return path.open("rb")


def _index(file: BinaryIO, chunks: int, path: Path) -> NDArray[np.uint64]:
    """Return (offset, length) of every chunk."""
    size = 16 * chunks + _CRC_BYTES
    end = file.seek(0, 2)
    if end < size:
        raise ShardError(f"{path} is cut short")
    file.seek(end - size)
    return np.frombuffer(_checked(file.read(size), path), dtype="<u8").reshape(chunks, 2)


def decompress(body: bytes | memoryview, out: NDArray[Any], what: object) -> None:
    """Unpack a chunk into contiguous rows.

    Raises
    ------
    ShardError
        If it is not as long as these.
    """
    from numcodecs import blosc

    # Blosc believes its header: what that promises has to be what is there, and what is wanted.
    promised = _BLOSC_SIZES.unpack_from(body) if len(body) >= _BLOSC_SIZES.size else None
    if promised != (out.nbytes, len(body)):
        raise ShardError(f"{what} has the wrong size")
    blosc.decompress(body, out)


def read_shard_rows(
    path: Path, rows: NDArray[np.int64], out: NDArray[Any], *, chunk_rows: int, shard_rows: int
) -> None:
    """Read rows of one shard.

    Parameters
    ----------
    path
        The file of the shard.
    rows
        Numbers of the rows within the shard, in any order.
    out
        Takes them, shape (rows, width), little-endian and contiguous.
    chunk_rows, shard_rows
        Rows a chunk and a shard.

    Raises
    ------
    FileNotFoundError
        If the shard is not there.
    ShardError
        If it, or a chunk, is damaged or was never written.
    """
    width = out.shape[1]
    owner = rows // chunk_rows
    with open_plain(path) as file:
        end = file.seek(0, 2)
        index = _index(file, shard_rows // chunk_rows, path)
        for number in np.unique(owner).tolist():
            offset, length = index[number].tolist()
            if offset == 2**64 - 1:
                raise ShardError(f"chunk {number} of {path} was never written")
            if offset + length > end:
                raise ShardError(f"chunk {number} of {path} lies behind its end")
            file.seek(offset)
            body = _checked(file.read(length), path)
            what = f"chunk {number} of {path}"
            at = np.flatnonzero(owner == number)
            together = at[-1] - at[0] + 1 == at.size == chunk_rows
            if together and np.all(np.diff(rows[at]) == 1):  # the whole chunk, straight to its place
                decompress(body, out[at[0] : at[0] + chunk_rows], what)
                continue
            values = np.empty((chunk_rows, width), dtype=out.dtype)
            decompress(body, values, what)
            out[at] = values[rows[at] - number * chunk_rows]
