"""Where the pixels of one row come from: plain, frozen records; nothing that is open ever enters a graph."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from zlib import crc32

if TYPE_CHECKING:
    from campfire.typing import Extraction

__all__ = ["CacheRow", "FileSource", "Source", "SourceBlock", "row_key"]


@dataclass(frozen=True, slots=True)
class FileSource:
    """A spectrum file on disk.

    Parameters
    ----------
    path
        Absolute path, as every worker sees it.
    file_hash
        ``sha256:<hex>`` of the file; empty where it is not known, which keeps the file out of the cache.
    extraction
        Which extraction of the file: ``optimal``, ``3px``, ``4px`` or ``5px``.

    Examples
    --------
    >>> FileSource("/data/products/o/o_prism_clear_1_spec.fits", "sha256:00", "3px").extraction
    '3px'
    """

    path: str
    file_hash: str = ""
    extraction: Extraction = "optimal"


class CacheRow(NamedTuple):
    """One committed row of a pixel table, and the file it came from.

    The file is read instead wherever the row is not there any more or is not the one expected.
    (A tuple and not a dataclass: ten thousand are made in a few milliseconds.)

    Parameters
    ----------
    store
        Absolute path of the Zarr group.
    row
        Row number in it.
    n_pixels
        True length of the row.
    file
        The source the row was made from.
    """

    store: str
    row: int
    n_pixels: int
    file: FileSource


Source: TypeAlias = FileSource | CacheRow


def row_key(file_hash: str, extraction: str) -> int:
    """Return the 64-bit number kept beside a cached row to tell whose pixels these are.

    The beginning of the file's own hash, mixed with the extraction.

    Examples
    --------
    >>> row_key("sha256:0123456789abcdef", "optimal") == row_key("sha256:0123456789abcdef", "3px")
    False
    """
    try:
        start = int(file_hash[7:23], 16)
    except ValueError:  # a hash of another kind
        start = int.from_bytes(blake2b(file_hash.encode(), digest_size=8).digest(), "little")
    return (start ^ crc32(extraction.encode())) or 1  # 0 is what an unwritten row holds


class SourceBlock(Sequence[Source]):
    """The sources of one block of rows, as one task of a graph carries them.

    Pickled compressed: the paths of a block are nearly alike, and a graph of 50 000 rows goes through a
    scheduler.
    """

    __slots__ = ("_sources",)

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = tuple(sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._sources)

    def __getitem__(self, index: Any) -> Any:
        return self._sources[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceBlock) and self._sources == other._sources

    def __hash__(self) -> int:
        return hash(self._sources)

    def __repr__(self) -> str:
        return f"SourceBlock({len(self)} rows)"

    @property
    def token(self) -> str:
        """Name of the content: equal blocks have equal tokens, in any process."""
        # Where a row is cached does not matter: its hash says what it holds.
        parts = [
            s.file.file_hash + s.file.extraction
            if isinstance(s, CacheRow)
            else f"{s.path}\t{s.file_hash}\t{s.extraction}"
            for s in self._sources
        ]
        return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.token

    def __reduce__(self) -> tuple[Any, ...]:
        rows = [
            (s.file.path, s.file.file_hash, s.file.extraction, s.store, s.row, s.n_pixels)
            if isinstance(s, CacheRow)
            else (s.path, s.file_hash, s.extraction)
            for s in self._sources
        ]
        return _unpack, (zlib.compress(pickle.dumps(rows, protocol=pickle.HIGHEST_PROTOCOL)),)


def _unpack(packed: bytes) -> SourceBlock:
    rows = pickle.loads(zlib.decompress(packed))
    return SourceBlock(
        CacheRow(row[3], row[4], row[5], FileSource(*row[:3])) if len(row) > 3 else FileSource(*row)
        for row in rows
    )
