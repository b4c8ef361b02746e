"""Segments of a pixel cache in an object store: their form, and rows read out of them.

:mod:`campfire.collection.shared_cache` describes the layout. What comes from the store is data of others: a
name is only used once it has the form of one, and nothing is unpacked before its SHA-256 is right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.collection.object_store import ObjectFolder
from campfire.collection.pixel_table import CHUNK_ROWS, FIELDS, SHARD_ROWS, field_dtypes, valid_width
from campfire.collection.row_sources import CacheRow
from campfire.collection.shard_reader import ShardError, decompress
from campfire.config import safe_component, store_url
from campfire.errors import ValidationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MANIFEST",
    "MOST_MANIFEST",
    "SegmentRef",
    "is_segment",
    "manifest_of",
    "pack_segment",
    "read_manifest",
    "read_segment",
    "segment_keys",
]

MANIFEST = "manifest.json"
MOST_MANIFEST = 64 * 2**20
_LAYOUT = 1
_NAME = re.compile(r"[0-9a-f]{64}-f([48])-w([1-9][0-9]{0,6})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_SEGMENT = 2**20


class SegmentRef(NamedTuple):
    """One segment as the manifest lists it."""

    name: str
    grating: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class _Segment:
    """Whose rows these are, and where each chunk of each field lies in the object of the pixels."""

    keys: tuple[tuple[str, str, int], ...]
    pixels: str
    chunks: Mapping[str, tuple[tuple[int, int, str], ...]]
    dtype: np.dtype[Any]
    width: int


def is_segment(store: str) -> bool:
    """Tell whether the table of a row is a segment of a cache at a URL.

    Examples
    --------
    >>> is_segment("/data/cache/pixels/v1/PRISM-f8-w512.zarr")
    False
    """
    return "://" in store


def _number(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{value!r} is no number up to {most}")
    return value


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{str(value)[:80]!r} is not a name of this cache")
    return value


def read_manifest(data: bytes, url: str) -> list[SegmentRef]:
    """Return the segments that a manifest lists; it is data of others."""
    try:
        listed = json.loads(data)
        if listed["campfire_cache"] != _LAYOUT:
            raise ValueError(f"layout {listed['campfire_cache']!r} is not known here")
        refs = [
            SegmentRef(
                _text(name, _NAME),
                safe_component(grating, "grating"),
                _number(rows, SHARD_ROWS),
                _number(size, 2**50),
            )
            for name, grating, rows, size in listed["segments"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise ValidationError(
            f"{url}/{MANIFEST} is not the manifest of a pixel cache: {err}",
            hint="build the cache anew below another URL",
            url=url,
        ) from err
    return refs


def manifest_of(refs: Iterable[SegmentRef]) -> bytes:
    """Return the manifest that lists segments."""
    return json.dumps({"campfire_cache": _LAYOUT, "segments": list(refs)}, indent=0).encode()


def _read_segment(data: bytes, name: str) -> _Segment:
    matched = _NAME.fullmatch(name)
    if matched is None or sha256(data).hexdigest() != name[:64]:
        raise ShardError(f"segment {name} is not what its name says")
    dtype, width = np.dtype(f"f{matched[1]}"), int(matched[2])
    if not valid_width(width):
        raise ShardError(f"segment {name} has rows of {width} pixels")
    kinds = field_dtypes(dtype)
    try:
        told = json.loads(data)
        keys = tuple((str(h), str(e), _number(n, width)) for h, e, n in told["rows"])
        count = _number(len(keys), SHARD_ROWS)
        most = 2 * CHUNK_ROWS * width * 8 + 1024  # Blosc never makes a chunk much longer than it was
        chunks = {
            field: tuple(
                (_number(offset, 2**50), _number(length, most), _text(digest, _SHA256))
                for offset, length, digest in told["chunks"][field]
            )
            for field in kinds
        }
        if any(len(places) != -(-count // CHUNK_ROWS) for places in chunks.values()):
            raise ValueError("chunks and rows do not agree")
        return _Segment(keys, _text(told["pixels"], _SHA256), chunks, dtype, width)
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise ShardError(f"segment {name} cannot be read: {err}") from err


@lru_cache(maxsize=2048)  # a segment never changes
def _segment(url: str, name: str) -> _Segment:
    found = ObjectFolder(url).get(f"segments/{name}", _MOST_SEGMENT)
    if found is None:
        raise ShardError(f"segment {name} of {url} is gone")
    return _read_segment(found[0], name)


def read_segment(
    store: str, sources: Sequence[CacheRow], names: Sequence[str]
) -> dict[str, NDArray[Any]] | None:
    """Read rows of one segment; None if they are of other files than the segment says.

    Parameters
    ----------
    store
        URL of the segment.
    sources
        Its rows, in any order.
    names
        Fields that are wanted.

    Returns
    -------
    dict
        Name -> array (rows, width of the segment).

    Raises
    ------
    CampfireError
        If the store cannot be read.
    ShardError
        If what it holds is not what the segment says.
    """
    url, _, name = store.rpartition("/segments/")
    segment = _segment(store_url(url), name)
    for source in sources:
        key = (source.file.file_hash, source.file.extraction, source.n_pixels)
        if segment.keys[source.row : source.row + 1] != (key,):
            return None
    rows = np.array([s.row for s in sources], dtype=np.int64)
    owner = rows // CHUNK_ROWS
    numbers = np.unique(owner).tolist()
    wanted = [(field, number) for field in names for number in numbers]
    places = [segment.chunks[field][number] for field, number in wanted]
    parts = ObjectFolder(url).get_ranges(f"pixels/{segment.pixels}", [place[:2] for place in places])
    kinds = field_dtypes(segment.dtype)
    fields = {field: np.empty((rows.size, segment.width), dtype=kinds[field]) for field in names}
    for (field, number), part, (_, _, digest) in zip(wanted, parts, places, strict=True):
        if sha256(part).hexdigest() != digest:
            raise ShardError(f"chunk {number} of {field} in {url}/pixels/{segment.pixels} is damaged")
        height = min(CHUNK_ROWS, len(segment.keys) - number * CHUNK_ROWS)
        at = np.flatnonzero(owner == number)
        values = np.empty((height, segment.width), dtype=kinds[field].newbyteorder("<"))
        decompress(part, values, f"chunk {number} of {field} in {url}/pixels/{segment.pixels}")
        fields[field][at] = values[rows[at] - number * CHUNK_ROWS]
    return fields


def segment_keys(url: str, ref: SegmentRef) -> tuple[tuple[str, str, int], ...]:
    """Return file hash, extraction and length of every row of a segment; raises as :func:`read_segment`."""
    return _segment(url, ref.name).keys


def pack_segment(
    keys: Sequence[tuple[str, str, int]], block: Mapping[str, NDArray[Any]]
) -> tuple[str, bytes, str, bytes]:
    """Return the objects of a segment: name and content of the pixels, then of the segment.

    Parameters
    ----------
    keys
        File hash, extraction and length of every row.
    block
        Fields, shape (rows, width).
    """
    from numcodecs import blosc

    parts: list[bytes] = []
    chunks: dict[str, list[tuple[int, int, str]]] = {}
    offset = 0
    for field in FIELDS:
        values = block[field].astype(block[field].dtype.newbyteorder("<"), copy=False)
        shuffle = blosc.SHUFFLE if values.itemsize > 1 else blosc.NOSHUFFLE
        chunks[field] = []
        for start in range(0, len(keys), CHUNK_ROWS):
            part = bytes(blosc.compress(values[start : start + CHUNK_ROWS], b"zstd", 1, shuffle))
            chunks[field].append((offset, len(part), sha256(part).hexdigest()))
            parts.append(part)
            offset += len(part)
    pixels = b"".join(parts)
    digest = sha256(pixels).hexdigest()
    told = {"rows": list(keys), "pixels": digest, "chunks": chunks}
    segment = json.dumps(told, separators=(",", ":")).encode()
    width = block["fnu"].shape[1]
    name = f"{sha256(segment).hexdigest()}-f{block['fnu'].itemsize}-w{width}.json"
    return digest, pixels, name, segment
