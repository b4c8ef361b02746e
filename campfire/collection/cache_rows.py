"""Rows on their way into a pixel cache, wherever that is: files read ahead, each checked by its hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict

from campfire.collection.block_reader import row_of
from campfire.collection.cache_index import Key
from campfire.collection.pixel_table import padded_width
from campfire.collection.row_sources import FileSource
from campfire.errors import CampfireError
from campfire.formats.spec_reader import file_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from campfire.typing import ProgressCallback

__all__ = ["BuildReport", "Fields", "Table", "read_ahead"]

_READ_THREADS = 4
_READ_AHEAD = 256

Fields: TypeAlias = "dict[str, NDArray[Any]]"
"""Name -> values of one row, without padding."""


class BuildReport(TypedDict):
    """Outcome of filling a cache: rows added, and why which file could not be (path -> reason)."""

    added: int
    failed: dict[str, str]


class Table(NamedTuple):
    """What rows have in common that go into one table."""

    grating: str
    dtype: str
    width: int


def read_ahead(
    items: Sequence[tuple[FileSource, str]], failed: dict[str, str], progress: ProgressCallback | None
) -> Iterator[tuple[Table, Key, Fields]]:
    """Read files, given with their gratings, and yield the row of each that is what its hash says.

    Why others are not is entered in ``failed``. ``progress`` is called after every batch with
    ``("cache", done, total)``.
    """
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        for start in range(0, len(items), _READ_AHEAD):
            window = items[start : start + _READ_AHEAD]
            for (file, grating), fields in zip(window, pool.map(_read, (f for f, _ in window)), strict=True):
                if isinstance(fields, str):
                    failed[file.path] = fields
                    continue
                table = Table(grating, fields["fnu"].dtype.name, padded_width(fields["fnu"].size))
                yield table, (file.file_hash, file.extraction), fields
            if progress is not None:
                progress("cache", min(start + _READ_AHEAD, len(items)), len(items))


def _read(file: FileSource) -> Fields | str:
    """Read a file whose hash is right; the reason as text where it cannot be."""
    try:
        fields = row_of(file)
        found = file_hash(file.path)
    except (CampfireError, OSError) as err:
        return str(err)
    # After the read: a file replaced meanwhile must not be kept under the hash of the former one.
    return fields if found == file.file_hash else f"the file is {found}, not {file.file_hash}"
