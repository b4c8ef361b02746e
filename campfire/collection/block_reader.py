"""One reader for blocks of rows, whatever mixture of files and cache rows they come from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.collection.pixel_table import (
    FIELDS,
    FILL,
    empty_block,
    field_dtypes,
    read_keys,
    read_rows,
    store_dtype,
)
from campfire.collection.row_sources import CacheRow, FileSource, Source, row_key
from campfire.collection.segments import is_segment, read_segment
from campfire.errors import CampfireError, NotFoundError, ValidationError
from campfire.formats.hdu_reader import RawFits
from campfire.formats.layouts import find_table
from campfire.formats.spec_reader import read_pixels
from campfire.schema import pixel_dq

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["block_dtype", "layouts_of", "read_block", "read_records", "read_variable", "row_of"]

_log = logging.getLogger("campfire")
_PEEK_THREADS = 8


def row_of(source: FileSource) -> dict[str, NDArray[Any]]:
    """Read one file into the four fields, 1-D, wavelength in float64, flux and error of one dtype."""
    pixels = read_pixels(source.path, extraction=source.extraction)
    fnu, fnu_err = np.asarray(pixels["fnu"]), np.asarray(pixels["fnu_err"])
    dtype = np.result_type(fnu, fnu_err, np.float32)
    return {
        "wavelength": np.asarray(pixels["wavelength"], dtype=np.float64),
        "fnu": fnu.astype(dtype, copy=False),
        "fnu_err": fnu_err.astype(dtype, copy=False),
        "dq": pixel_dq(fnu, fnu_err, pixels["mask"]),
    }


def _peek(source: FileSource) -> tuple[int, np.dtype[Any]]:
    """Return length and dtype of the row a file holds."""
    with RawFits(source.path) as fits:  # the headers say it, in most files
        table = find_table(fits)
        layout = fits.layout(table.hdu)
        roles = table.extractions.get(source.extraction, {})
        kinds = [layout.columns[name].dtype for role, name in roles.items() if role in ("fnu", "fnu_err")]
    if kinds and all(kind is not None and kind.kind == "f" for kind in kinds):
        return layout.rows, np.result_type(*(k.newbyteorder("=") for k in kinds if k), np.float32)
    row = row_of(source)
    return row["fnu"].size, row["fnu"].dtype


def layouts_of(sources: Sequence[Source]) -> tuple[NDArray[np.int32], np.dtype[Any]]:
    """Return the length of every row, and the dtype that holds them all; looks at each file once."""
    files = list({s for s in sources if isinstance(s, FileSource)})
    with ThreadPoolExecutor(_PEEK_THREADS) as pool:
        peeked = dict(zip(files, pool.map(_peek, files), strict=True)) if files else {}
    lengths = [s.n_pixels if isinstance(s, CacheRow) else peeked[s][0] for s in sources]
    kinds = {store_dtype(store) for store in {s.store for s in sources if isinstance(s, CacheRow)}}
    kinds.update(kind for _, kind in peeked.values())
    return np.array(lengths, dtype=np.int32), np.result_type(*kinds)


def _cached(
    store: str, sources: Sequence[CacheRow], names: Sequence[str], width: int
) -> dict[str, NDArray[Any]] | None:
    """Read rows of one store, or None where the cache does not hold them (any more)."""
    problem: Exception = LookupError("the rows belong to other files now")
    try:
        fields = (
            read_segment(store, sources, names) if is_segment(store) else _local_rows(store, sources, names)
        )
        if fields is not None:
            if all(_ends(name, values, width) for name, values in fields.items()):
                return fields
            problem = ValueError("rows are longer than its index says")
    except (OSError, ValueError, RuntimeError, CampfireError) as err:  # RuntimeError is what Blosc gives
        problem = err
    _tell(store, type(problem).__name__, str(problem))
    return None


def _local_rows(
    store: str, sources: Sequence[CacheRow], names: Sequence[str]
) -> dict[str, NDArray[Any]] | None:
    rows = np.array([s.row for s in sources], dtype=np.int64)
    keys = np.array([row_key(s.file.file_hash, s.file.extraction) for s in sources], dtype=np.uint64)
    fields = read_rows(Path(store), rows, names)
    # The keys after the pixels: a table that was made anew meanwhile has other keys.
    return fields if np.array_equal(read_keys(Path(store), rows), keys) else None


def _ends(name: str, values: NDArray[Any], width: int) -> bool:
    """Tell whether nothing but padding is cut off behind ``width``, by the first column that is."""
    if values.shape[1] <= width:
        return True
    behind = values[:, width]
    return bool((behind == FILL[name]).all() if name == "dq" else np.isnan(behind).all())


@lru_cache(maxsize=64)
def _tell(store: str, kind: str, problem: str) -> None:
    """Say it once, not for every block of every variable."""
    _log.warning("pixel cache %s cannot be used (%s: %s): reading the files", store, kind, problem)


def read_block(
    sources: Sequence[Source], width: int, dtype: np.dtype[Any], names: Sequence[str] = FIELDS
) -> dict[str, NDArray[Any]]:
    """Read rows into padded arrays.

    Parameters
    ----------
    sources
        One source a row; one may repeat.
    width
        Pixels of the result; no row may be longer.
    dtype
        Float dtype of flux and error.
    names
        Which of ``wavelength``, ``fnu``, ``fnu_err``, ``dq`` are wanted.

    Returns
    -------
    dict
        Name -> array (rows, width), NaN and ``OUTSIDE`` in the padding.

    Raises
    ------
    NotFoundError
        If a file that has to be read is not there.
    ValidationError
        If it is not a spectrum, or is longer than it was when the collection was opened.
    """
    by_store: dict[str, list[int]] = {}
    by_file: dict[FileSource, list[int]] = {}
    lost: dict[FileSource, str] = {}
    for position, source in enumerate(sources):
        if isinstance(source, CacheRow):
            by_store.setdefault(source.store, []).append(position)
        else:
            by_file.setdefault(source, []).append(position)
    block: dict[str, NDArray[Any]] = {}
    for store, positions in by_store.items():
        cached: list[CacheRow] = [s for p in positions if isinstance(s := sources[p], CacheRow)]
        fields = _cached(store, cached, names, width)
        if fields is None:
            for position, row in zip(positions, cached, strict=True):
                by_file.setdefault(row.file, []).append(position)
                lost[row.file] = store
            continue
        if len(positions) == len(sources) and all(values.shape[1] >= width for values in fields.values()):
            kinds = field_dtypes(dtype)
            return {name: v[:, :width].astype(kinds[name], copy=False) for name, v in fields.items()}
        block = block or empty_block(len(sources), width, dtype, names)
        for name, values in fields.items():
            n = min(width, values.shape[1])
            block[name][positions, :n] = values[:, :n]
    block = block or empty_block(len(sources), width, dtype, names)
    for file, positions in by_file.items():
        try:
            row_fields = row_of(file)
        except NotFoundError as err:
            if file not in lost:
                raise
            raise NotFoundError(
                f"the pixel cache {lost[file]} cannot be used, and its file is not here: {err.message}",
                hint="the log says what is wrong with the cache",
                path=file.path,
            ) from err
        n_pixels = row_fields["fnu"].size
        if n_pixels > width:
            raise ValidationError(
                f"{file.path} has {n_pixels} pixels, more than when the collection was opened",
                hint="open it again; if that says the same, `campfire cache compact` mends its cache",
                path=file.path,
            )
        for name in names:
            block[name][positions, :n_pixels] = row_fields[name]
    return block


def block_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the record dtype that holds the four fields of one pixel."""
    return np.dtype([(name, kind) for name, kind in field_dtypes(dtype).items()])


def read_records(blocks: NDArray[np.object_], *, width: int, float_dtype: str) -> NDArray[Any]:
    """Read a block once for all its fields: records (rows, width) that variables are sliced from."""
    sources: Sequence[Source] = blocks.item()
    dtype = np.dtype(float_dtype)
    fields = read_block(sources, width, dtype)
    records = np.empty((len(sources), width), dtype=block_dtype(dtype))
    for name, values in fields.items():
        records[name] = values
    return records


def read_variable(blocks: NDArray[np.object_], *, field: str, width: int, float_dtype: str) -> NDArray[Any]:
    """Read one field of a block, for sources that can be read field by field (the cache)."""
    sources: Sequence[Source] = blocks.item()
    return read_block(sources, width, np.dtype(float_dtype), (field,))[field]
