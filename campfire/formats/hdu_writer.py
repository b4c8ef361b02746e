"""Header cards and tables for writing FITS, and files that appear complete or not at all."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.disk import disk_error, new_file
from campfire.errors import ValidationError
from campfire.formats.cards import COMMENTARY
from campfire.publishing import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.typing import PathInput

__all__ = ["fits_header", "plain_value", "table_hdu", "write_hdus"]

_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")
_HIERARCH = re.compile(r"[A-Za-z0-9_-]+(?: [A-Za-z0-9_-]+)*")
_PRINTABLE = re.compile(r"[ -~]*")
# Cards that describe the HDU they stand in, and would be wrong in another.
_OWN = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|END|EXTNAME|EXTVER|BSCALE|BZERO|BLANK|"
    r"CHECKSUM|DATASUM|TFIELDS|THEAP|T(TYPE|FORM|UNIT|DISP|DIM|NULL|SCAL|ZERO)\d+"
)
_RESERVED = frozenset({"CONTINUE", "HIERARCH"})


def plain_value(keyword: str, value: Any) -> Any:
    """Return a header value without numpy types.

    Raises
    ------
    ValidationError
        For a value a header cannot hold (it is text, a number, bool, None, or a list or mapping of these).
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float | complex):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_value(keyword, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(keyword, item) for item in value]
    raise ValidationError(
        f"header value {keyword} is a {type(value).__name__}",
        hint="use text, numbers, bool, None or lists",
    )


def _value_text(value: Any) -> str | None:
    """Value of a card in FITS notation that reads back exactly; None where there is none, '' if undefined."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"{'T' if value else 'F':>20}"
    if isinstance(value, int):
        text = str(value)
        return f"{text:>20}" if len(text) <= 70 else None
    if isinstance(value, float):
        return f"{repr(value).upper():>20}" if math.isfinite(value) else None
    if isinstance(value, complex) and math.isfinite(value.real) and math.isfinite(value.imag):
        return f"({value.real!r}, {value.imag!r})".upper()
    return None


def _long_text(prefix: str, text: str) -> list[str]:
    """Cards of one string, with CONTINUE cards where it does not fit on one (FITS standard 4.2.1.2)."""
    quoted = text.replace("'", "''")
    if len(prefix) + len(quoted) + 2 <= 80:
        return [f"{prefix}'{quoted:<8}'"]
    cards: list[str] = []
    while quoted or not cards:
        room = 80 - len(prefix) - 3
        cut = min(room, len(quoted))
        # a doubled quote may not be parted, and a trailing blank would be lost
        while 0 < cut < len(quoted) and (
            (len(quoted[:cut]) - len(quoted[:cut].rstrip("'"))) % 2 or quoted[cut - 1] == " "
        ):
            cut -= 1
        piece, quoted = quoted[: cut or room], quoted[cut or room :]
        cards.append(f"{prefix}'{piece}{'&' if quoted else ''}'")
        prefix = "CONTINUE  "
    return cards


def _cards(keyword: str, value: Any) -> list[str]:
    """Cards of one keyword and one value; none where FITS has no way to say it."""
    if keyword in COMMENTARY:
        fits = isinstance(value, str) and len(value) <= 72 and _PRINTABLE.fullmatch(value)
        return [f"{keyword:<8}{value}"] if fits else []
    if _KEYWORD.fullmatch(keyword) and keyword not in _RESERVED:
        prefix = f"{keyword:<8}= "
    elif _HIERARCH.fullmatch(keyword) and len(keyword) <= 40 and (len(keyword) > 8 or " " in keyword):
        prefix = f"HIERARCH {keyword} = "
    else:
        return []
    if isinstance(value, str):
        # FITS text is ASCII and has no trailing blanks; one ending in & would be taken for a long one
        if not _PRINTABLE.fullmatch(value) or value != value.rstrip(" ") or value.endswith("&"):
            return []
        cards = _long_text(prefix, value)
        return cards if len(cards) == 1 or not prefix.startswith("HIERARCH") else []
    text = _value_text(value)
    return [] if text is None or len(prefix) + len(text) > 80 else [f"{prefix}{text}"]


def fits_header(values: Mapping[str, Any]) -> Any:
    """Return an ``astropy.io.fits.Header`` of a dictionary, without the cards that describe the HDU itself.

    Lists become repeated cards, None an undefined card. What FITS cannot say (text beyond ASCII, lower-case
    keywords, numbers that are not finite) is left out: the caller checks what reads back.
    """
    from astropy.io import fits

    images: list[str] = []
    for keyword, value in values.items():
        if _OWN.fullmatch(keyword):
            continue
        for item in value if isinstance(value, list) else [value]:
            images.extend(f"{card:<80}" for card in _cards(keyword, item))
    header: Any = fits.Header.fromstring("".join(images))
    return header


def table_hdu(
    name: str, columns: Sequence[tuple[str, np.ndarray[Any, Any], str | None]], header: Any = None
) -> Any:
    """Return a ``BinTableHDU`` of named one-dimensional arrays with their units."""
    from astropy.io import fits

    codes = {"f4": "E", "f8": "D", "i2": "I", "i4": "J", "i8": "K", "b1": "L"}
    made = []
    for label, values, unit in columns:
        if values.dtype.kind == "U":
            width = max(1, values.dtype.itemsize // 4)
            made.append(fits.Column(name=label, format=f"{width}A", array=values, unit=unit))
            continue
        code = codes.get(f"{values.dtype.kind}{values.dtype.itemsize}")
        if code is None or values.ndim != 1:
            raise ValidationError(
                f"column {label} is {values.dtype} of shape {values.shape}",
                hint="one-dimensional float32, float64, integers, booleans or text",
            )
        made.append(fits.Column(name=label, format=code, array=values, unit=unit))
    return fits.BinTableHDU.from_columns(made, header=header, name=name)


def write_hdus(path: PathInput, hdus: Sequence[Any], *, overwrite: bool) -> None:
    """Write HDUs to a file that appears at once, complete; the same HDUs give the same bytes.

    A name that ends in ``.gz`` gives a gzipped file.

    Raises
    ------
    ValidationError
        If the file exists and ``overwrite`` is not set, or it cannot be written.
    """
    from astropy.io import fits

    target = new_file(path, overwrite=overwrite)
    buffer = BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    content = buffer.getvalue()
    if target.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    try:
        with replacing(target) as partial:
            partial.write_bytes(content)
    except OSError as err:
        fault = disk_error(err, "cannot write", target)
        raise ValidationError(fault.message, hint=fault.hint, path=target) from err
