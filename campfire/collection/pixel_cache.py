"""The pixel cache: an append-only table of pixels in Zarr, whose key is the hash of a file.

::

    <folder>/index.db                               hash and extraction -> table, row, length
    <folder>/pixels/v1/PRISM-f8-w512.zarr           one table a grating, float dtype and width

A file that was reprocessed has another hash, hence another row: nothing is ever invalidated, and the old row
is garbage until :func:`campfire.collection.cache_maintenance.compact`. Pixels are appended first and
committed to the index afterwards, under the index's lock, so a writer may be killed at any moment and two may
write at once.
Deleting the folder is always safe: whoever still holds a collection made from it reads the files instead.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from campfire.collection.cache_index import CacheIndex, IndexWriter, Key, Place, StoreRow
from campfire.collection.cache_rows import BuildReport, Fields, Table, read_ahead
from campfire.collection.pixel_table import (
    SHARD_ROWS,
    append_rows,
    create_store,
    empty_block,
    read_keys,
    read_rows,
    row_lengths,
    store_name,
)
from campfire.collection.row_sources import CacheRow, FileSource, Source, row_key
from campfire.config import safe_component
from campfire.disk import check_tree, marked, remove_tree, set_aside
from campfire.errors import CampfireError, ValidationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from campfire.typing import ProgressCallback

__all__ = ["PixelCache"]

_log = logging.getLogger("campfire")
_LAYOUT = "v1"

_Row: TypeAlias = "tuple[Key, Fields]"


@dataclass(frozen=True)
class PixelCache:
    """The cache in one folder; holds nothing open.

    Parameters
    ----------
    folder
        Its folder, made at the first write.
    """

    folder: Path

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "folder", Path(folder).expanduser().absolute())

    @property
    def index(self) -> CacheIndex:
        """The index file."""
        return CacheIndex(self.folder / "index.db")

    @property
    def pixels(self) -> Path:
        """Folder of the tables of this layout."""
        return self.folder / "pixels" / _LAYOUT

    def resolve(self, sources: Sequence[Source], gratings: Sequence[str]) -> list[Source]:
        """Replace files by cache rows, reading into the cache what it does not hold.

        Sources without a hash, and whatever cannot be cached (read-only folder, full disk, a file that is not
        the one its hash says), stay as they are.
        """
        wanted = {
            (s.file_hash, s.extraction): (s, grating)
            for s, grating in zip(sources, gratings, strict=True)
            if isinstance(s, FileSource) and s.file_hash
        }
        places: dict[Key, Place] = {}
        try:
            places = self.find(wanted)
            missing = [item for key, item in wanted.items() if key not in places]
            if missing:
                self.add(missing)
                places = self.find(wanted)
        except (OSError, sqlite3.Error, CampfireError) as err:
            # a shared mirror is read-only by intention
            level = logging.INFO if isinstance(err, PermissionError) else logging.WARNING
            _log.log(level, "pixel cache %s is not filled (%s): files are read as needed", self.folder, err)
        folders = {name: str(self.pixels / name) for name in {store for store, _, _ in places.values()}}
        result: list[Source] = []
        for source in sources:
            if isinstance(source, FileSource):
                place = places.get((source.file_hash, source.extraction))
                if place is not None:
                    result.append(CacheRow(folders[place[0]], place[1], place[2], source))
                    continue
            result.append(source)
        return result

    def add(
        self, items: Iterable[tuple[FileSource, str]], *, progress: ProgressCallback | None = None
    ) -> BuildReport:
        """Read files and append their pixels.

        Parameters
        ----------
        items
            Files with the grating of each; those without a hash are passed over.
        progress
            Called after every batch with ``("cache", done, total)``.

        Raises
        ------
        OSError, sqlite3.Error
            If the folder cannot be written.
        """
        todo = [item for item in items if item[0].file_hash]
        report: BuildReport = {"added": 0, "failed": {}}
        if not todo:
            return report
        self.prepare()
        pending: dict[Table, list[_Row]] = {}
        for table, key, fields in read_ahead(todo, report["failed"], progress):
            rows = pending.setdefault(table, [])
            rows.append((key, fields))
            if len(rows) >= SHARD_ROWS:
                report["added"] += self._flush(table, rows, whole_shards=True)
        for table, rows in pending.items():
            report["added"] += self._flush(table, rows)
        return report

    def prepare(self) -> None:
        """Make sure that the cache can be written, before any file is read.

        A broken index is renamed and starts anew; but one in a folder that is no cache is left alone: another
        program may have made it.
        """
        foreign = not os.path.lexists(self.pixels.parent) and os.path.lexists(self.index.path)
        if foreign and self.index.path.lstat().st_size:
            raise ValidationError(
                f"{self.index.path} was there before the pixel cache",
                hint="give the cache a folder of its own: CAMPFIRE_CACHE_DIR",
                path=self.index.path,
            )
        for folder in (self.pixels.parent, self.pixels):
            if folder.is_symlink():  # of some other place, where nothing is ours to write
                raise OSError(errno.ELOOP, "is a link", str(folder))
        self.pixels.mkdir(parents=True, exist_ok=True)
        for path in (self.folder, self.pixels, self.index.path):
            # SQLite opens a file it cannot write without a word
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(f"{path} is read-only")
        try:
            with self.index.write():
                pass
        except sqlite3.OperationalError:  # locked, read-only: nothing is wrong with the index
            raise
        except sqlite3.DatabaseError as err:
            aside = set_aside(self.index.path, root=self.folder)
            _log.warning(
                "index of the pixel cache %s is damaged (%s): starting anew, %s is kept",
                self.folder,
                err,
                aside.name,
            )
            with self.index.write():
                pass

    def find(self, keys: Collection[Key]) -> dict[Key, Place]:
        """Return where those rows are that the cache holds; nothing if it cannot be read."""
        if not keys or not self.index.path.exists():
            return {}
        try:
            return self.present(self.index.find(keys))
        except (OSError, sqlite3.Error, CampfireError) as err:
            _log.warning("index of the pixel cache %s cannot be read (%s)", self.folder, err)
            return {}

    def present(self, places: Mapping[Key, Place]) -> dict[Key, Place]:
        """Leave out the rows of tables that were deleted, or are none of ours."""
        stores = {store for store, _, _ in places.values()}
        gone = {store for store in stores if not self.has_table(store)}
        return {key: p for key, p in places.items() if p[0] not in gone} if gone else dict(places)

    def has_table(self, name: str) -> bool:
        """Tell whether a table is there, in a folder of this cache and not behind a link."""
        path = self.pixels / name
        linked = any(folder.is_symlink() for folder in (self.pixels.parent, self.pixels, path))
        return not linked and marked(path, "pixel table")

    def remove_table(self, path: Path) -> bool:
        """Remove a table of this cache, or an empty folder; False if it is neither, and is left alone."""
        try:
            if marked(path, "pixel table"):
                remove_tree(path, root=self.folder, kind="pixel table")
            elif os.path.lexists(path):
                path.rmdir()  # what a writer left that was killed at its first step
        except (CampfireError, OSError) as err:
            _log.warning("%s in the pixel cache is left alone: %s", path, err)
            return False
        return True

    def _store_for(self, writer: IndexWriter, table: Table) -> StoreRow | None:
        """Return the newest store of a table, its rows forgotten where its folder was deleted."""
        stores = [s for s in writer.stores() if (s.grating, s.dtype, s.width) == table]
        if not stores:
            return None
        store = max(stores, key=lambda s: s.generation)
        if store.rows and not self.has_table(store.name):
            writer.drop_store(store.name)
            store = replace(store, rows=0)
            writer.put_store(store)
        if not store.rows and not self.remove_table(self.pixels / store.name):
            writer.drop_store(store.name)
            return None  # something else has its place
        return store

    def _new_store(self, writer: IndexWriter, table: Table) -> StoreRow:
        """Enter a store with a name that no folder has: an unknown one may be another index's."""
        safe_component(table.grating, "grating")  # it comes from a service
        generation = 0
        known = {store.name for store in writer.stores()}
        while True:
            name = store_name(table.grating, np.dtype(table.dtype), table.width, generation)
            if name not in known and not os.path.lexists(self.pixels / name):
                break
            generation += 1
        store = StoreRow(name, *table, generation, 0)
        writer.put_store(store)
        return store

    def _flush(self, table: Table, rows: list[_Row], *, whole_shards: bool = False) -> int:
        """Append rows and take them out of the list; ``whole_shards`` leaves what would begin a shard."""
        with self.index.write() as writer:
            # Committed before its folder exists: what a killed writer leaves is then known, and used again.
            if self._store_for(writer, table) is None:
                self._new_store(writer, table)
        with self.index.write() as writer:
            store = self._store_for(writer, table)
            if store is None:
                raise OSError(f"the index of {self.folder} was replaced while it was written")
            if not store.rows:
                create_store(self.pixels / store.name, store.width, np.dtype(store.dtype))
            known = self.present(writer.find([key for key, _ in rows]))
            fresh = {key: fields for key, fields in rows if key not in known}
            count = len(fresh)
            if whole_shards:
                count = min(count, SHARD_ROWS - store.rows % SHARD_ROWS)
            chosen = dict(list(fresh.items())[:count])
            if chosen:
                self._append_somewhere(writer, store, chosen)
        rows[:] = [(key, fields) for key, fields in fresh.items() if key not in chosen]
        return len(chosen)

    def _append_somewhere(self, writer: IndexWriter, store: StoreRow, rows: Mapping[Key, Fields]) -> None:
        """Append rows; to a new table if this one is damaged, whose rows will be read anew."""
        try:
            self._append(writer, store, rows)
        except Exception as err:  # Zarr and its codecs have no common error for damage
            if isinstance(err, OSError) and not isinstance(err, FileNotFoundError):
                raise  # full, read-only, ...: nothing is wrong with the table
            _log.warning("table %s of the pixel cache is damaged (%s): starting anew", store.name, err)
            new = self._new_store(writer, Table(store.grating, store.dtype, store.width))
            create_store(self.pixels / new.name, new.width, np.dtype(new.dtype))
            writer.drop_store(store.name)
            self._append(writer, new, rows)

    def _append(self, writer: IndexWriter, store: StoreRow, rows: Mapping[Key, Fields]) -> None:
        block = empty_block(len(rows), store.width, np.dtype(store.dtype))
        places: dict[Key, Place] = {}
        for n, (key, fields) in enumerate(rows.items()):
            n_pixels = fields["fnu"].size
            places[key] = (store.name, store.rows + n, n_pixels)
            for name, values in fields.items():
                block[name][n, :n_pixels] = values
        check_tree(self.pixels / store.name)
        append_rows(self.pixels / store.name, store.rows, block, _keys(rows))
        writer.put(places)
        writer.put_store(replace(store, rows=store.rows + len(rows)))

    def rewrite(self, writer: IndexWriter, store: StoreRow, places: Mapping[Key, Place]) -> int:
        """Copy the rows ``places`` of a store into a new one and forget the old; returns the rows copied."""
        new = self._new_store(writer, Table(store.grating, store.dtype, store.width))
        create_store(self.pixels / new.name, new.width, np.dtype(new.dtype))
        writer.drop_store(store.name)
        copied = 0
        items = list(places.items())
        for start in range(0, len(items), SHARD_ROWS):
            part = dict(items[start : start + SHARD_ROWS])
            numbers = np.array([row for _, row, _ in part.values()], dtype=np.int64)
            try:
                block = read_rows(self.pixels / store.name, numbers)
                good = read_keys(self.pixels / store.name, numbers) == _keys(part)
            except (OSError, ValueError, RuntimeError) as err:  # these are read anew when next asked for
                _log.warning("%d rows of %s are damaged (%s) and dropped", len(part), store.name, err)
                continue
            lengths = row_lengths(
                block["wavelength"]
            )  # the pixels themselves say it, whatever the index does
            rows: dict[Key, Fields] = {
                key: {name: values[n, : lengths[n]] for name, values in block.items()}
                for n, key in enumerate(part)
                if good[n]
            }
            self._append(writer, replace(new, rows=copied), rows)
            copied += len(rows)
        return copied


def _keys(keys: Iterable[Key]) -> NDArray[np.uint64]:
    return np.array([row_key(*key) for key in keys], dtype=np.uint64)
