"""The pixel cache in an object store: many readers, one builder at a time, nothing that can be half-written.

::

    <url>/manifest.json                          the segments there are; replaced last, if nobody else did
    <url>/segments/<sha256>-f8-w512.json         up to 1024 rows: whose they are, and the place of every chunk
    <url>/pixels/<sha256>                        their pixels: chunks of 64 rows, compressed with Blosc

Every object but the manifest is named by the SHA-256 of its content and never changed, and a segment holds
that of each chunk: what does not match is not believed, whatever part of it was read. A builder puts pixels,
then their segment, then the manifest; one that is killed leaves objects that nothing refers to, and the next
one goes on with what is missing. Two that write at once both succeed: who comes second adds to what the first
has put.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from campfire.collection.cache_index import Key
from campfire.collection.cache_rows import BuildReport, Fields, Table, read_ahead
from campfire.collection.object_store import ObjectFolder
from campfire.collection.pixel_cache import PixelCache
from campfire.collection.pixel_table import SHARD_ROWS, empty_block
from campfire.collection.row_sources import CacheRow, FileSource, Source
from campfire.collection.segments import (
    MANIFEST,
    MOST_MANIFEST,
    SegmentRef,
    is_segment,
    manifest_of,
    pack_segment,
    read_manifest,
    segment_keys,
)
from campfire.collection.shard_reader import ShardError
from campfire.config import store_url
from campfire.errors import APIError, CampfireError

if TYPE_CHECKING:
    from campfire.typing import ProgressCallback

__all__ = ["SharedCache", "cache_at"]

_log = logging.getLogger("campfire")
_TRIES = 50
_THREADS = 16


@dataclass(frozen=True)
class SharedCache:
    """The cache at one URL; holds nothing open.

    Parameters
    ----------
    url
        ``s3://bucket/prefix``.
    """

    url: str

    def __init__(self, url: str) -> None:
        object.__setattr__(self, "url", store_url(url))

    @property
    def folder(self) -> ObjectFolder:
        """Its objects."""
        return ObjectFolder(self.url)

    def segments(self) -> list[SegmentRef]:
        """Return what the manifest lists; nothing where there is none.

        Raises
        ------
        CampfireError
            If it cannot be read, or is none.
        """
        found = self.folder.get(MANIFEST, MOST_MANIFEST)
        return [] if found is None else read_manifest(found[0], self.url)

    def find(self, keys: Collection[Key]) -> dict[Key, tuple[str, int, int]]:
        """Return segment, row and length of those keys that the cache holds.

        A segment that is damaged or gone is passed over, with a warning.

        Raises
        ------
        CampfireError
            If the store cannot be read.
        """
        refs = self.segments()
        found: dict[Key, tuple[str, int, int]] = {}

        def rows(ref: SegmentRef) -> tuple[tuple[str, str, int], ...]:
            try:
                return segment_keys(self.url, ref)
            except ShardError as err:
                _log.warning("pixel cache %s: %s: its rows are passed over", self.url, err)
                return ()

        with ThreadPoolExecutor(_THREADS) as pool:
            for ref, held in zip(refs, pool.map(rows, refs), strict=True):
                for number, (file_hash, extraction, n_pixels) in enumerate(held):
                    if (file_hash, extraction) in keys:
                        place = (f"{self.url}/segments/{ref.name}", number, n_pixels)
                        found.setdefault((file_hash, extraction), place)
        return found

    def resolve(self, sources: Sequence[Source], gratings: Sequence[str]) -> list[Source]:
        """Replace files by rows of the cache where it has them; never writes."""
        wanted = {(s.file_hash, s.extraction) for s in sources if isinstance(s, FileSource) and s.file_hash}
        try:
            places = self.find(wanted)
        except CampfireError as err:
            _log.warning("pixel cache %s cannot be used (%s): files are read as needed", self.url, err)
            return list(sources)
        result: list[Source] = []
        for source in sources:
            if isinstance(source, FileSource):
                place = places.get((source.file_hash, source.extraction))
                if place is not None:
                    result.append(CacheRow(*place, source))
                    continue
            result.append(source)
        return result

    def add(
        self, items: Iterable[tuple[FileSource, str]], *, progress: ProgressCallback | None = None
    ) -> BuildReport:
        """Read files and put their pixels; each segment is there for readers as soon as it is whole.

        Parameters
        ----------
        items
            Files with the grating of each; those without a hash are passed over.
        progress
            Called after every batch with ``("cache", done, total)``.

        Raises
        ------
        CampfireError
            If the store cannot be read or written.
        """
        todo = [item for item in items if item[0].file_hash]
        report: BuildReport = {"added": 0, "failed": {}}
        self.segments()  # a store that cannot be used is said before any file is read
        pending: dict[Table, list[tuple[Key, Fields]]] = {}
        for table, key, fields in read_ahead(todo, report["failed"], progress):
            rows = pending.setdefault(table, [])
            rows.append((key, fields))
            if len(rows) == SHARD_ROWS:
                report["added"] += self._put(table, rows)
                rows.clear()
        for table, rows in pending.items():
            if rows:
                report["added"] += self._put(table, rows)
        return report

    def _put(self, table: Table, rows: Sequence[tuple[Key, Fields]]) -> int:
        block = empty_block(len(rows), table.width, np.dtype(table.dtype))
        for n, (_, fields) in enumerate(rows):
            for name, values in fields.items():
                block[name][n, : values.size] = values
        keys = [(*key, fields["fnu"].size) for key, fields in rows]
        digest, pixels, name, segment = pack_segment(keys, block)
        self.folder.put(f"pixels/{digest}", pixels)
        self.folder.put(f"segments/{name}", segment)
        self._commit(SegmentRef(name, table.grating, len(rows), len(pixels) + len(segment)))
        return len(rows)

    def _commit(self, ref: SegmentRef) -> None:
        """Add a segment to the manifest, whoever else does so at the same time."""
        faults = 0
        for attempt in range(_TRIES):
            found = self.folder.get(MANIFEST, MOST_MANIFEST)
            refs = [] if found is None else read_manifest(found[0], self.url)
            if ref in refs:  # also by a put whose answer did not come
                return
            tag = None if found is None else found[1]
            try:
                if self.folder.put_if(MANIFEST, manifest_of([*refs, ref]), tag):
                    return
            except APIError:
                faults += 1
                if faults > 2:
                    raise
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 10)))
        raise APIError(f"{self.url}/{MANIFEST} is changed by others all the time", hint="build one by one")


def cache_at(where: str | os.PathLike[str]) -> PixelCache | SharedCache:
    """Return the pixel cache in a folder, or at a URL.

    Examples
    --------
    >>> cache_at("s3://team/cache")
    SharedCache(url='s3://team/cache')
    """
    text = os.fspath(where)
    return SharedCache(text) if is_segment(text) else PixelCache(text)
