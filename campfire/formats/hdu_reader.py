"""The HDUs of one FITS file, read without astropy: only the bytes asked for, no handle kept afterwards.

A file is walked once from end to end by its mandatory header cards, so that one that was cut short anywhere
is refused, whatever is read from it. What numpy alone cannot read (scaled or variable-length columns,
compressed or scaled images) goes through astropy.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from campfire.config import as_path
from campfire.errors import NotFoundError, ValidationError
from campfire.formats.binary_table import TableLayout, decode_column, table_layout
from campfire.formats.cards import BLOCK, CARD, first, header_end, parse_header

if TYPE_CHECKING:
    from types import TracebackType

    from campfire.typing import PathInput

__all__ = ["Hdu", "RawFits"]

_FIRST_READ = 96 * 1024  # the headers and the whole 1-D table of a PRISM file
_MAX_HEADER = 4 * 1024 * 1024
_MOST_UNPACKED = 256 * 1024 * 1024  # spectra with their images have a tenth of that
_IMAGE_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Hdu:
    """Where one HDU is in its file, and its shape (numpy order, slowest first)."""

    index: int
    name: str
    kind: str
    cards: bytes
    start: int
    size: int
    bitpix: int
    shape: tuple[int, ...]


class RawFits:
    """One FITS file (plain or gzipped) open for reading; use it as a context manager.

    Parameters
    ----------
    path
        The file. It is walked through when entered: every HDU is then known to be complete.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ValidationError
        If it cannot be read, is no FITS file, or is cut short; the message says what was found.

    Notes
    -----
    Names of HDUs and columns are matched without regard to case.
    """

    def __init__(self, path: PathInput) -> None:
        self.path = as_path(path)
        self.hdus: tuple[Hdu, ...] = ()
        self._file: BinaryIO | None = None
        self._first = b""
        self._size = 0
        self._blocks: dict[int, bytes | memoryview] = {}

    def __enter__(self) -> RawFits:
        try:
            self._open()
            self.hdus = tuple(self._walk())
        except FileNotFoundError as err:
            self.close()
            raise NotFoundError(
                f"no such file: {self.path}", path=self.path, hint="check the path, or download the spectrum"
            ) from err
        except (EOFError, zlib.error, gzip.BadGzipFile) as err:
            self.close()
            raise self.error(f"cannot be read: {err}", _FETCH_AGAIN) from err
        except OSError as err:
            self.close()
            raise self.error(f"cannot be read: {err}") from err
        except (ValueError, OverflowError) as err:  # a path with a null byte; an absurd size
            self.close()
            if isinstance(err, ValidationError):
                raise
            raise self.error(f"cannot be read: {err}") from err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was read stays usable."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def error(self, message: str, hint: str | None = None) -> ValidationError:
        """Return a ValidationError about this file."""
        return ValidationError(f"{self.path}: {message}", hint=hint, path=self.path)

    def names(self) -> str:
        """Return the names of the HDUs as text, for messages."""
        return ", ".join(hdu.name or f"#{hdu.index}" for hdu in self.hdus)

    # --- bytes -------------------------------------------------------------------------------------------

    def _open(self) -> None:
        handle = open(self.path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._file = handle
        first = handle.read(_FIRST_READ) or b""
        if first.startswith(_GZIP_MAGIC):
            state = os.fstat(handle.fileno())
            key = (os.path.abspath(self.path), state.st_ino, state.st_mtime_ns, state.st_size)
            first = _unzipped(handle, key)
            self._size = len(first)
        else:
            self._size = os.fstat(handle.fileno()).st_size
        self._first = first

    def _read(self, start: int, size: int) -> bytes | memoryview:
        """Bytes of the file; fewer than asked for only at its end."""
        if start + size <= len(self._first) or len(self._first) == self._size:
            return memoryview(self._first)[start : start + size]
        if self._file is None:
            raise ValueError("the file is closed")
        chunks: list[bytes] = []
        try:
            self._file.seek(start)
            while size > 0 and (chunk := self._file.read(size)):
                chunks.append(chunk)
                size -= len(chunk)
        except OSError as err:
            raise self.error(f"cannot be read: {err}") from err
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _data(self, hdu: Hdu) -> bytes | memoryview:
        """All data of an HDU."""
        data = self._read(hdu.start, hdu.size)
        if len(data) < hdu.size:
            raise self.error(f"became shorter while it was read (HDU {hdu.name})", _FETCH_AGAIN)
        return data

    def _header(self, start: int) -> bytes:
        """Cards of the header beginning at ``start``, from which its blocks are read until END is found."""
        size = 2 * BLOCK
        while True:
            buffer = bytes(self._read(start, size))
            if start == 0 and not buffer.startswith(b"SIMPLE  ="):
                raise self.error(f"not a FITS file (it begins with {buffer[:16]!r})", "expected a .fits file")
            if start > 0 and not buffer.startswith(b"XTENSION="):
                raise self.error(f"damaged: {buffer[:16]!r} where an HDU should begin (byte {start})")
            end = header_end(buffer)
            if end >= 0:
                return buffer[:end]
            if len(buffer) < size:
                raise self.error(f"cut short: a header has no end ({self._size} bytes)", _FETCH_AGAIN)
            if size > _MAX_HEADER:
                raise self.error(f"a header of more than {_MAX_HEADER} bytes", "not a spectrum")
            size *= 4

    def _walk(self) -> list[Hdu]:
        """Find every HDU by its mandatory cards, and check that the file is long enough for all."""
        if self._size == 0:
            raise self.error("empty file (0 bytes)", _FETCH_AGAIN)
        hdus: list[Hdu] = []
        start = 0
        while start < self._size:
            cards = self._header(start)
            try:
                kind, name, bitpix, shape, extra = _structure(cards)
            except ValueError as err:
                raise self.error(f"damaged header of HDU {len(hdus)}: {err}") from err
            data = start + _padded(len(cards) + CARD)
            size = abs(bitpix) // 8 * (extra + (math.prod(shape) if shape else 0))
            start = data + _padded(size)
            if start > self._size:
                label = name or f"#{len(hdus)}"
                raise self.error(
                    f"cut short in HDU {label}: {self._size} bytes, at least {start} expected", _FETCH_AGAIN
                )
            hdus.append(Hdu(len(hdus), name, kind, cards, data, size, bitpix, shape))
        return hdus

    # --- HDUs --------------------------------------------------------------------------------------------

    def find(self, name: str, kind: str = "") -> Hdu | None:
        """Return the first HDU of that name (and kind: ``IMAGE`` or ``BINTABLE``), or None."""
        return next(iter(self.find_all(name, kind)), None)

    def find_all(self, name: str, kind: str = "") -> list[Hdu]:
        """Return every HDU of that name (and kind)."""
        return [h for h in self.hdus if h.name == name.upper() and (not kind or h.kind == kind)]

    def header(self, hdu: Hdu | int = 0) -> dict[str, Any]:
        """Return the header of an HDU as :func:`campfire.formats.cards.parse_header` gives it."""
        found = self.hdus[hdu] if isinstance(hdu, int) else hdu
        return parse_header(found.cards)

    def layout(self, hdu: Hdu) -> TableLayout:
        """Return rows and columns of a binary table."""
        if hdu.kind != "BINTABLE":
            raise self.error(f"HDU {hdu.name} is no binary table but {hdu.kind}")
        try:
            return table_layout(hdu.cards, hdu.shape)
        except ValueError as err:
            raise self.error(f"damaged table {hdu.name}: {err}") from err

    def column(self, hdu: Hdu, name: str) -> np.ndarray[Any, Any]:
        """Read one column of a binary table by its name, in native byte order.

        Raises
        ------
        ValidationError
            If there is no such column; the message names those there are.
        """
        layout = self.layout(hdu)
        column = layout.get(name)
        if column is None:
            raise self.error(f"no column {name!r} in {hdu.name} (columns: {', '.join(layout.names)})")
        if column.dtype is None:
            return self._by_astropy(hdu, column.name)
        data = self._blocks.get(hdu.index)
        if data is None:
            data = self._blocks[hdu.index] = self._data(hdu)
        return decode_column(data, layout, column)

    def numbers(self, hdu: Hdu, name: str) -> np.ndarray[Any, Any]:
        """Read one column that has to hold one real number a row; see :meth:`column`."""
        values = self.column(hdu, name)
        if values.ndim != 1 or values.dtype.kind not in "fiu":
            what = f"column {name} of {hdu.name} is {values.dtype} of shape {values.shape}"
            raise self.error(what, "expected one number a row")
        return values

    def image(self, hdu: Hdu) -> np.ndarray[Any, Any]:
        """Read an image in native byte order (the file's dtype, unless scaled in the header)."""
        if hdu.kind != "IMAGE" or any(hdu.cards.find(key) >= 0 for key in (b"BSCALE  =", b"BZERO   =")):
            return self._by_astropy(hdu)
        dtype = np.dtype(_IMAGE_DTYPES[hdu.bitpix])
        if not hdu.shape:
            raise self.error(f"HDU {hdu.name} holds no image")
        array: np.ndarray[Any, Any] = np.ndarray(hdu.shape, dtype)
        if array.size:
            array = np.ndarray(hdu.shape, dtype, buffer=self._data(hdu))
        return array.astype(dtype.newbyteorder("="))

    def _by_astropy(self, hdu: Hdu, column: str | None = None) -> np.ndarray[Any, Any]:
        """Let astropy read what needs more than a cast."""
        from astropy.io import fits

        header = self.header(hdu)
        if column is None and hdu.kind == "BINTABLE":  # a compressed image is as large as it says
            axes = [first(header.get(f"ZNAXIS{axis}", 0)) for axis in (1, 2, 3)]
            if math.prod(n for n in axes if type(n) is int and n > 0) * 8 > _MOST_UNPACKED:
                raise self.error(
                    f"{hdu.name} unpacks to more than {_MOST_UNPACKED >> 20} MiB", "not a spectrum"
                )
        try:
            # from memory: on damaged files astropy would leave its handle open
            with fits.open(BytesIO(self._read(0, self._size))) as opened:
                data = opened[hdu.index].data
                array = np.array(data if column is None else data[column])
        except Exception as err:  # whatever a damaged file makes astropy raise is one thing here
            what = hdu.name if column is None else f"column {column} of {hdu.name}"
            raise self.error(f"{what} cannot be read: {err}") from err
        return array.astype(array.dtype.newbyteorder("="))


class _Unzipped:
    """The content of the gzipped file used last: arrays of one file are often read one after the other."""

    def __init__(self) -> None:
        self._held: tuple[object, bytes] = (None, b"")

    def __call__(self, file: BinaryIO, key: object) -> bytes:
        held, content = self._held  # one assignment sets both: threads see a pair that belongs together
        if held != key:
            # Sizes are known only at the end, and the checksum is there: the whole file is needed.
            file.seek(0)
            with gzip.GzipFile(fileobj=file) as unzipped:
                content = unzipped.read(_MOST_UNPACKED + 1)
            if len(content) > _MOST_UNPACKED:
                raise ValueError(f"it unpacks to more than {_MOST_UNPACKED >> 20} MiB")
            self._held = (key, content)
        return content


_unzipped = _Unzipped()
_FETCH_AGAIN = "the file is incomplete: download or copy it again"


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _count(header: dict[str, Any], key: str, default: int | None = None) -> int:
    """A card that has to hold a whole number of at least 0."""
    value = first(header.get(key, default))
    if type(value) is not int or value < 0:
        raise ValueError(f"{key} = {value!r}")
    return value


@lru_cache(maxsize=512)
def _mandatory(cards: bytes) -> tuple[str, int, tuple[int, ...], int]:
    """Kind, BITPIX, shape and PCOUNT from the cards that the standard puts first, in this order."""
    header = parse_header(cards)
    kind, bitpix = first(header.get("XTENSION", "IMAGE")), first(header.get("BITPIX"))
    if bitpix not in _IMAGE_DTYPES or not isinstance(kind, str):
        raise ValueError(f"BITPIX = {bitpix!r}, XTENSION = {kind!r}")
    shape = tuple(_count(header, f"NAXIS{axis}") for axis in range(_count(header, "NAXIS"), 0, -1))
    if _count(header, "GCOUNT", 1) != 1:
        raise ValueError(f"GCOUNT = {header['GCOUNT']!r}")
    return kind, int(bitpix), shape, _count(header, "PCOUNT", 0)


def _structure(cards: bytes) -> tuple[str, str, int, tuple[int, ...], int]:
    """Kind, name, BITPIX, shape and PCOUNT of an HDU."""
    # XTENSION, BITPIX, NAXIS, up to 3 axes, PCOUNT, GCOUNT: alike in most files, hence worth a cache.
    try:
        kind, bitpix, shape, pcount = _mandatory(cards[: 8 * CARD])
    except ValueError:
        kind, bitpix, shape, pcount = _mandatory(cards)
    at = cards.find(b"EXTNAME = ")
    while at >= 0 and at % CARD:
        at = cards.find(b"EXTNAME = ", at + 1)
    name = "" if at < 0 else parse_header(cards[at : at + CARD])["EXTNAME"]
    if not name and cards.startswith(b"SIMPLE"):
        name = "PRIMARY"
    return kind, str(name or "").strip().upper(), bitpix, shape, pcount
