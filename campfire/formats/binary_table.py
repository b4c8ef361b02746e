"""Layout and columns of a FITS binary table (FITS standard 4.0, section 7.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from campfire.formats.cards import first, parse_header

__all__ = ["Column", "TableLayout", "decode_column", "table_layout"]

_TFORM = re.compile(r"\s*(\d*)([LXBIJKAEDCMPQ])")
_WIDTHS = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
_DTYPES = {
    "L": "S1",
    "B": "u1",
    "I": ">i2",
    "J": ">i4",
    "K": ">i8",
    "E": ">f4",
    "D": ">f8",
    "C": ">c8",
    "M": ">c16",
}
# The standard's way to store unsigned integers (and signed bytes): an offset of half the range.
_OFFSETS = {"B": -(1 << 7), "I": 1 << 15, "J": 1 << 31, "K": 1 << 63}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: where it is in a row and what it holds.

    ``dtype`` is None where numpy alone cannot read it (bits, variable length, scaled, multidimensional).
    """

    name: str
    offset: int
    code: str
    repeat: int
    dtype: np.dtype[Any] | None
    unit: str | None
    unsigned: bool


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Rows and columns of one binary table, and its header."""

    rows: int
    row_size: int
    columns: dict[str, Column]
    header: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Names of the columns as the file spells them."""
        return [column.name for column in self.columns.values()]

    def get(self, name: str) -> Column | None:
        """Return a column by its name, without regard to case; None if it is not there."""
        return self.columns.get(name.lower())


def _column(header: dict[str, Any], number: int, offset: int) -> tuple[Column, int]:
    """Column ``number`` (from 1) and its width in bytes."""
    form = first(header.get(f"TFORM{number}"))
    match = _TFORM.match(form) if isinstance(form, str) else None
    if match is None:
        raise ValueError(f"TFORM{number} = {form!r}")
    repeat, code = int(match[1] or 1), match[2]
    width = -(-repeat // 8) if code == "X" else repeat * _WIDTHS[code]
    scale, zero = first(header.get(f"TSCAL{number}", 1)), first(header.get(f"TZERO{number}", 0))
    unsigned = scale == 1 and code in _OFFSETS and zero == _OFFSETS[code]
    plain = (scale == 1 and zero == 0) or unsigned
    dtype: np.dtype[Any] | None = None
    if code == "A":
        dtype = np.dtype(f"S{repeat}") if repeat else None
    elif code in _DTYPES and plain and f"TDIM{number}" not in header:
        dtype = np.dtype(_DTYPES[code])
    unit = first(header.get(f"TUNIT{number}"))
    name = first(header.get(f"TTYPE{number}"))
    text = name.strip() if isinstance(name, str) else f"col{number}"
    unit = unit.strip() or None if isinstance(unit, str) else None
    return Column(text, offset, code, repeat, dtype, unit, unsigned), width


@lru_cache(maxsize=256)
def table_layout(cards: bytes, shape: tuple[int, ...]) -> TableLayout:
    """Return the layout of the binary table whose header has these cards and which has this shape.

    Raises
    ------
    ValueError
        If the cards contradict each other.
    """
    header = parse_header(cards)
    fields = first(header.get("TFIELDS"))
    if type(fields) is not int or not 0 <= fields <= 999:
        raise ValueError(f"TFIELDS = {fields!r}")
    if len(shape) != 2:
        raise ValueError(f"{len(shape)} axes")
    columns: dict[str, Column] = {}
    offset = 0
    for number in range(1, fields + 1):
        column, width = _column(header, number, offset)
        if column.name.lower() in columns:
            raise ValueError(f"two columns are called {column.name!r}")
        columns[column.name.lower()] = column
        offset += width
    rows, row_size = shape
    if offset != row_size:
        raise ValueError(f"rows of {row_size} bytes, columns of {offset}")
    return TableLayout(rows, row_size, columns, header)


def decode_column(data: bytes | memoryview, layout: TableLayout, column: Column) -> np.ndarray[Any, Any]:
    """Return one column of the rows in ``data`` as an array of its own in native byte order.

    Text loses trailing blanks, logicals become booleans, a repeat count above 1 gives a second axis.
    """
    dtype = column.dtype
    assert dtype is not None, "decided by the caller"
    shape: tuple[int, ...] = (layout.rows,)
    strides: tuple[int, ...] = (layout.row_size,)
    if column.code != "A" and column.repeat != 1:
        shape += (column.repeat,)
        strides += (dtype.itemsize,)
    if 0 in shape:
        view = np.zeros(shape, dtype)
    else:
        view = np.ndarray(shape, dtype, buffer=data, offset=column.offset, strides=strides)
    if column.code == "A":
        return np.char.rstrip(np.char.decode(view, "ascii", "replace"))
    if column.code == "L":
        return np.asarray(view == b"T")
    native = view.astype(dtype.newbyteorder("="))
    if column.unsigned:
        bits = dtype.itemsize * 8
        if column.code == "B":
            return np.asarray((native ^ np.uint8(0x80)).view(np.int8))
        return np.asarray(native.view(f"u{dtype.itemsize}") ^ np.array(1 << (bits - 1), f"u{dtype.itemsize}"))
    return native
