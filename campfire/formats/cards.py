"""FITS header cards to a plain dictionary, and the few cards that describe an HDU's structure.

Written from the FITS standard 4.0 (sections 4.1 and 4.2) and the CONTINUE and HIERARCH conventions. Cards are
cached by their 80 bytes: most cards of most files of an archive are the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

__all__ = ["BLOCK", "CARD", "COMMENTARY", "add_card", "first", "header_end", "parse_header"]

BLOCK = 2880
CARD = 80
COMMENTARY = frozenset({"COMMENT", "HISTORY", ""})
"""Keywords whose cards are text without a value; they are always lists."""

_END = b"END" + b" " * 77
_NUMBER = r"[+-]? *(?:\.\d+|\d+(?:\.\d*)?) *(?:[deDE] *[+-]? *\d+)?"
_VALUE = re.compile(
    rf" *(?:'(?P<text>(?:[^']|'')*)'|(?P<logical>[TF])|(?P<number>{_NUMBER})"
    rf"|(?P<complex>\( *(?P<real>{_NUMBER}) *, *(?P<imag>{_NUMBER}) *\)))?"
    r" *(?:/.*)?$"
)


def header_end(buffer: bytes, start: int = 0) -> int:
    """Return the offset of the END card of the header beginning at ``start``, -1 if it is not there."""
    found = buffer.find(_END, start)
    while found >= 0 and (found - start) % CARD:
        found = buffer.find(_END, found + 1)
    return found


def _parse_value(text: str) -> Any:
    """Value of a card from the text after its value indicator; None where it is undefined.

    A text that is no FITS value (other software writes such cards) is returned as it is.
    """
    match = _VALUE.match(text)
    if match is None:
        return text.partition("/")[0].strip()
    if (string := match["text"]) is not None:
        return string.replace("''", "'").rstrip(" ")
    if (number := match["number"]) is not None:
        return _parse_number(number)
    if (logical := match["logical"]) is not None:
        return logical == "T"
    if match["complex"] is not None:
        return complex(_parse_number(match["real"]), _parse_number(match["imag"]))
    return None


def _parse_number(text: str) -> int | float:
    digits = text.replace(" ", "")
    try:
        return int(digits)
    except ValueError:
        return float(digits.replace("D", "E").replace("d", "e"))


@lru_cache(maxsize=16384)
def _parse_card(image: bytes) -> tuple[str, Any]:
    """Keyword and value of one card of 80 bytes."""
    card = image.decode("ascii", "replace").replace("\ufffd", "?")
    keyword = card[:8].rstrip()
    if card[8:10] == "= " and keyword not in COMMENTARY:
        return keyword.upper(), _parse_value(card[10:])
    if keyword == "HIERARCH" and "=" in card:
        name, _, value = card[9:].partition("=")
        return name.strip(), _parse_value(value)
    if keyword == "CONTINUE":
        return keyword, _parse_value(card[8:])
    return keyword, card[8:].rstrip()


def add_card(header: dict[str, Any], keyword: str, value: Any) -> None:
    """Add one card to a header dictionary: a keyword that is there already gets a list of values."""
    if keyword in COMMENTARY:
        header.setdefault(keyword, []).append(value)
    elif keyword not in header:
        header[keyword] = value
    elif isinstance(header[keyword], list):
        header[keyword].append(value)
    else:
        header[keyword] = [header[keyword], value]


def parse_header(cards: bytes) -> dict[str, Any]:
    """Parse the cards of one header (without END) into keyword -> value.

    Parameters
    ----------
    cards
        A multiple of 80 bytes.

    Returns
    -------
    dict
        In the order of the file. Strings without trailing blanks (joined over CONTINUE cards), bool, int,
        float; None for an undefined card; a list for a repeated keyword, and always for COMMENT, HISTORY and
        text on cards without a keyword (those without text are left out).

    Examples
    --------
    >>> parse_header(b"EFFEXPTM=  1598.508 / seconds".ljust(80) + b"COMMENT made up".ljust(80))
    {'EFFEXPTM': 1598.508, 'COMMENT': ['made up']}
    """
    header: dict[str, Any] = {}
    last = ""
    for start in range(0, len(cards), CARD):
        keyword, value = _parse_card(cards[start : start + CARD])
        if keyword == "CONTINUE":
            _continue(header, last, value)
            continue
        last = keyword
        if keyword not in header and keyword not in COMMENTARY:
            header[keyword] = value
        elif keyword or value:
            add_card(header, keyword, value)
    return header


def _continue(header: dict[str, Any], keyword: str, more: Any) -> None:
    """Join a CONTINUE card to the string before it; one that continues nothing is ignored."""
    held = header.get(keyword)
    before = held[-1] if isinstance(held, list) and held else held
    if not (isinstance(before, str) and before.endswith("&") and isinstance(more, str)):
        return
    joined = before[:-1] + more
    if not joined.endswith("&"):
        joined = joined.rstrip(" ")
    if isinstance(held, list):
        held[-1] = joined
    else:
        header[keyword] = joined


def first(value: Any) -> Any:
    """Return the value of a card that may not be repeated: the first, should it be so all the same."""
    return value[0] if isinstance(value, list) and value else value
