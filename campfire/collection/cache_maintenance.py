"""Upkeep of the pixel cache, as the command line has it: info, build, prune, compact."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from campfire.collection.cache_index import StoreRow
from campfire.collection.cache_rows import BuildReport
from campfire.collection.pixel_cache import PixelCache
from campfire.collection.row_sources import FileSource
from campfire.collection.shared_cache import SharedCache, cache_at
from campfire.disk import disk_faults, remove_file
from campfire.errors import CampfireError, ValidationError

if TYPE_CHECKING:
    from campfire.typing import ProgressCallback

__all__ = ["CacheInfo", "StoreInfo", "build", "compact", "info", "prune"]

_log = logging.getLogger("campfire")
_WRITING = "cannot write the pixel cache"


class StoreInfo(TypedDict):
    """One table: rows written, rows still in use, and bytes on disk."""

    name: str
    grating: str
    rows: int
    used: int
    bytes: int


class CacheInfo(TypedDict):
    """What a cache holds; ``orphans`` are folders that nothing refers to."""

    folder: str
    spectra: int
    bytes: int
    stores: list[StoreInfo]
    orphans: list[str]


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):  # links are not followed
        for name in names:
            with suppress(FileNotFoundError):  # removed meanwhile
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def info(folder: str | os.PathLike[str]) -> CacheInfo:
    """Tell what a cache holds; all zero where there is none.

    Examples
    --------
    >>> info("/nonexistent")["spectra"]
    0

    Raises
    ------
    CampfireError
        If the folder cannot be read; it says why.
    """
    cache = cache_at(folder)
    if isinstance(cache, SharedCache):
        return _shared_info(cache)
    with disk_faults("cannot look at the pixel cache", cache.folder):
        return _info(cache)


def _shared_info(cache: SharedCache) -> CacheInfo:
    refs = cache.segments()
    rows: list[StoreInfo] = [
        {"name": r.name, "grating": r.grating, "rows": r.rows, "used": r.rows, "bytes": r.bytes} for r in refs
    ]
    return {
        "folder": cache.url,
        "spectra": sum(ref.rows for ref in refs),
        "bytes": sum(ref.bytes for ref in refs),
        "stores": rows,
        "orphans": [],
    }


def _local(folder: str | os.PathLike[str], verb: str) -> PixelCache:
    cache = cache_at(folder)
    if isinstance(cache, SharedCache):
        raise ValidationError(
            f"a pixel cache at a URL cannot be {verb}",
            hint="build it anew below another URL, and remove the old one with the store's own tools",
        )
    return cache


def _info(cache: PixelCache) -> CacheInfo:
    stores: list[StoreRow] = []
    used: dict[str, int] = {}
    if cache.index.path.exists():
        try:
            stores, used = cache.index.stores(), cache.index.counts()
        except (OSError, sqlite3.Error, CampfireError) as err:
            _log.warning("index of the pixel cache %s cannot be read (%s)", cache.folder, err)
    rows: list[StoreInfo] = [
        {
            "name": store.name,
            "grating": store.grating,
            "rows": store.rows,
            "used": used.get(store.name, 0),
            "bytes": _size(cache.pixels / store.name),
        }
        for store in stores
    ]
    return {
        "folder": str(cache.folder),
        "spectra": sum(row["used"] for row in rows),
        "bytes": _size(cache.folder),
        "stores": rows,
        "orphans": [str(path) for path in _orphans(cache, {store.name for store in stores})],
    }


def _orphans(cache: PixelCache, known: Collection[str]) -> list[Path]:
    """Return the folders of tables that the index does not know, and of all tables of other layouts."""
    layouts = cache.pixels.parent
    if not layouts.is_dir() or layouts.is_symlink():
        return []
    found = []
    for layout in layouts.iterdir():
        if layout == cache.pixels:
            found += [path for path in layout.iterdir() if path.name not in known]
        elif layout.is_dir() and not layout.is_symlink():
            found += [*layout.iterdir(), layout]  # the layout after its tables, once it is empty
        else:
            found.append(layout)
    return sorted(found, reverse=True)


def build(
    folder: str | os.PathLike[str],
    sources: Sequence[FileSource],
    gratings: Sequence[str],
    *,
    progress: ProgressCallback | None = None,
) -> BuildReport:
    """Read into the cache whatever of ``sources`` it does not hold yet.

    Parameters
    ----------
    folder
        The cache.
    sources, gratings
        Files with their hashes, and the grating of each.
    progress
        Called with ``("cache", done, total)``.

    Raises
    ------
    CampfireError
        If the folder cannot be written; it says why.
    """
    cache = cache_at(folder)
    wanted = {(s.file_hash, s.extraction): (s, g) for s, g in zip(sources, gratings, strict=True)}
    if isinstance(cache, SharedCache):
        known = cache.find(wanted)
        return cache.add([item for key, item in wanted.items() if key not in known], progress=progress)
    with disk_faults(_WRITING, cache.folder):
        held = cache.find(wanted)
        return cache.add([item for key, item in wanted.items() if key not in held], progress=progress)


def prune(folder: str | os.PathLike[str]) -> int:
    """Remove what nothing refers to: other layouts, orphaned tables, half-written files.

    Returns
    -------
    int
        Bytes freed. What this package did not make is left where it is, and logged.

    Raises
    ------
    CampfireError
        If the folder cannot be written; it says why.
    """
    cache = _local(folder, "pruned")
    with disk_faults(_WRITING, cache.folder):
        if not cache.folder.is_dir():
            return 0
        cache.prepare()
        before = _size(cache.folder)
        with cache.index.write() as writer:
            for store in writer.stores():
                if store.rows and not cache.has_table(store.name):
                    writer.drop_store(store.name)
            # no one else writes now: what is half-written belongs to killed writers
            known = {store.name for store in writer.stores()}
            for path in _orphans(cache, known):
                cache.remove_table(path)
            for name in filter(cache.has_table, known):
                for where, _, files in os.walk(cache.pixels / name):
                    for file in files:
                        if file.endswith(".partial"):
                            remove_file(Path(where, file), root=cache.folder)
        return max(0, before - _size(cache.folder))


def compact(folder: str | os.PathLike[str], live: Collection[str] | None = None) -> int:
    """Rewrite the tables without garbage; collections opened before go on with the files themselves.

    Parameters
    ----------
    folder
        The cache.
    live
        Hashes of the files that are still wanted; None: of all that the index knows. Damaged rows go in
        either case, and are read anew when next asked for.

    Returns
    -------
    int
        Bytes freed.

    Raises
    ------
    CampfireError
        If the folder cannot be written; it says why.
    """
    cache = _local(folder, "compacted")
    with disk_faults(_WRITING, cache.folder):
        if not cache.folder.is_dir():
            return 0
        cache.prepare()
        before = _size(cache.folder)
        wanted = None if live is None else set(live)
        with cache.index.write() as writer:
            stores = writer.stores()
            for store in stores:
                places = cache.present(writer.places_in(store.name))
                kept = {key: p for key, p in places.items() if wanted is None or key[0] in wanted}
                cache.rewrite(writer, store, kept)
        for store in stores:
            cache.remove_table(cache.pixels / store.name)
        return max(0, before - _size(cache.folder))
