"""Statement checked: header cards give astropy's values; None for undefined, lists for repeated ones."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
from astropy.io import fits
from hypothesis import example, given
from hypothesis import strategies as st

from campfire.formats.cards import COMMENTARY, header_end, parse_header

KEYWORDS = st.from_regex(r"[A-Z][A-Z0-9_-]{0,7}", fullmatch=True).filter(
    lambda k: k not in {"CONTINUE", "HISTORY", "COMMENT", "HIERARCH", "END", "SIMPLE", "XTENSION"}
)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=150)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.complex_numbers(allow_nan=False, allow_infinity=False, max_magnitude=1e6)
    | TEXT
)


def by_astropy(header: fits.Header) -> dict[str, Any]:
    """``dict(header)`` with every repeated card kept, as lists, and commentary as lists of text."""
    result: dict[str, Any] = {}
    for keyword in header:
        count = header.count(keyword)
        if keyword in COMMENTARY:
            texts = [str(text) for text in header[keyword]]
            texts = texts if keyword else [text for text in texts if text]
            if texts:
                result[keyword] = texts
        elif count > 1:
            result[keyword] = [header[keyword, i] for i in range(count)]
        else:
            result[keyword] = header[keyword]
    return result


def cards_of(header: fits.Header) -> bytes:
    data: bytes = header.tostring().encode("ascii")
    end = header_end(data)
    assert end % 80 == 0
    return data[:end]


def same(one: Any, other: Any) -> bool:
    return repr(_without_signed_zeros(one)) == repr(_without_signed_zeros(other))


def _without_signed_zeros(value: Any) -> Any:
    """astropy loses the sign of a zero in a complex number."""
    if isinstance(value, dict):
        return {key: _without_signed_zeros(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_signed_zeros(item) for item in value]
    return value + 0 if isinstance(value, complex) else value


# astropy itself misreads text in which two quotes are followed by a blank or a slash
def _astropy_can(value: Any) -> bool:
    return not isinstance(value, str) or "'" not in value


@given(st.lists(st.tuples(KEYWORDS, VALUES.filter(_astropy_can)), max_size=12), st.lists(TEXT, max_size=3))
def test_values_equal_those_of_astropy(cards: list[tuple[str, Any]], history: list[str]) -> None:
    header = fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # long comments are cut, as they may be
        for keyword, value in cards:
            header.append((keyword, value, "comment"), end=True)
        for line in history:
            header.add_history(line or "-")
            header.add_comment(line or "-")
    written = fits.Header.fromstring(header.tostring())
    parsed = parse_header(cards_of(written))
    expected = by_astropy(written)
    assert same(parsed, expected)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
@example("it's")
@example("''")
@example("ends in a quote'")
def test_quotes_in_text_are_undone(text: str) -> None:
    """FITS standard 4.2.1: a quote is doubled; trailing blanks are not significant."""
    quoted = text.replace("'", "''")
    card = f"KEY     = '{quoted}'".ljust(80)[:80].encode()
    assert parse_header(card) == {"KEY": text.rstrip(" ")}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("KEY     =                    T / logical", True),
        ("KEY     = F", False),
        ("KEY     =                  007", 7),
        ("KEY     =              1.5D-03", 1.5e-3),
        ("KEY     = -2.5e3", -2500.0),
        ("KEY     = .5", 0.5),
        ("KEY     = 5.", 5.0),
        ("KEY     = + 3", 3),
        ("KEY     = (1.0, -2)", complex(1, -2)),
        ("KEY     =                      / nothing", None),
        ("KEY     =", None),
        ("KEY     = '  kept  '", "  kept"),
        ("KEY     = 'a / b' / comment", "a / b"),
        ("KEY     = ''", ""),
        ("KEY     = nan / not FITS", "nan"),
        ("HIERARCH ESO DET ID = 'x1' / name", "x1"),
    ],
)
def test_every_form_of_value(card: str, expected: object) -> None:
    """FITS standard 4.2 (fixed and free format); what is no FITS value stays text."""
    (value,) = parse_header(card.ljust(80).encode()).values()
    assert same(value, expected)


def test_hierarch_repeats_commentary_and_continue() -> None:
    """Repeated keywords are lists in order; long strings are joined; text without a keyword is kept."""
    cards = [
        "HIERARCH ESO DET ID = 5",
        "A       = 1",
        "A       = 'two'",
        "A       = 3",
        "COMMENT one",
        "COMMENT   two",
        "        / a title",
        "",
        "LONG    = 'part one &'",
        "CONTINUE  'it''s &' / c",
        "CONTINUE  ''",
        "CONTINUE  'continues nothing'",
        "HISTORY = 'is text'",
    ]
    parsed = parse_header("".join(card.ljust(80) for card in cards).encode())
    assert parsed == {
        "ESO DET ID": 5,
        "A": [1, "two", 3],
        "COMMENT": ["one", "  two"],
        "": ["/ a title"],
        "LONG": "part one it's",
        "HISTORY": ["= 'is text'"],
    }


def test_bytes_beyond_ascii_become_question_marks() -> None:
    assert parse_header(b"KEY     = 'caf\xc3\xa9'".ljust(80)) == {"KEY": "caf??"}


@given(st.binary(min_size=80, max_size=80))
def test_any_bytes_are_a_card(card: bytes) -> None:
    """Parsing cards never fails; only structure is checked, elsewhere."""
    assert len(parse_header(card)) <= 1


def test_end_is_found_only_on_a_card_border() -> None:
    """Text that looks like END inside a card does not end the header."""
    inside = b"COMMENT ".ljust(77) + b"END"
    cards = inside + b" " * 80 + b"A       =                    1".ljust(80) + b"END".ljust(80)
    assert header_end(cards) == 240
    assert header_end(cards[:-1]) == -1


def test_floats_written_by_astropy_come_back() -> None:
    for value in (0.1, 1e300, -1.5e-5, math.pi, 5e-324):
        header = fits.Header([("X", value)])
        assert parse_header(cards_of(header))["X"] == header["X"]
