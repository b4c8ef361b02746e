"""FITS headers as plain dictionaries, and as JSON text that survives Zarr, netCDF and ECSV alike."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

import numpy as np

from campfire.errors import ValidationError

__all__ = ["dump_header", "load_header", "plain_header"]

# JSON has no word for these; each is an object with exactly one key.
_FLOAT, _COMPLEX, _BYTES = "__float__", "__complex__", "__bytes__"
_PLAIN = frozenset({str, bool, int, float, complex, type(None)})


def plain_header(header: Any) -> dict[str, Any]:
    """Return a header as a new dictionary of plain Python values.

    Parameters
    ----------
    header
        A mapping, or an ``astropy.io.fits.Header`` (repeated cards become lists, undefined ones None).
        None is an empty header.

    Returns
    -------
    dict
        Text, numbers, booleans, None, bytes that are not text, and lists and dictionaries of these: numpy
        scalars and arrays are made plain, bytes of text decoded.

    Raises
    ------
    ValidationError
        Naming the card whose value is of another type.

    Examples
    --------
    >>> import numpy as np
    >>> plain_header({"EFFEXPTM": np.float32(0.5), "GRATING": b"PRISM"})
    {'EFFEXPTM': 0.5, 'GRATING': 'PRISM'}
    """
    if header is None:
        return {}
    cards = getattr(header, "cards", None)
    if cards is not None:
        return _from_cards(cards)
    if not isinstance(header, Mapping):
        raise ValidationError(f"header is a {type(header).__name__}", hint="pass a dictionary")
    # Hundreds of cards, nearly all of them plain: the common case makes no call.
    return {
        str(key): value if type(value) in _PLAIN else _plain(value, str(key)) for key, value in header.items()
    }


def _from_cards(cards: Any) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for card in cards:
        if card.keyword:
            found.setdefault(card.keyword, []).append(_plain(card.value, card.keyword))
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _plain(value: Any, key: str) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic):
        # item() of a long double is itself
        value = float(value) if isinstance(value, np.longdouble) else value.item()
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{key}.{k}") for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), key)
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, date | PurePath):
        return str(value)
    if type(value).__name__ == "Undefined":  # astropy's word for a card without a value
        return None
    raise ValidationError(
        f"header card {key!r} holds a {type(value).__name__}",
        hint="use text, numbers, booleans, None or lists of these",
    )


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(value)}
    if isinstance(value, complex):
        return {_COMPLEX: [_encode(value.real), _encode(value.imag)]}
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    return value


def _decode(value: dict[str, Any]) -> Any:
    if len(value) == 1:
        ((key, item),) = value.items()
        if key == _FLOAT:
            return float(item)
        if key == _COMPLEX:
            return complex(*item)
        if key == _BYTES:
            return base64.b64decode(item)
    return value


def dump_header(header: Any) -> str:
    """Write a header (see :func:`plain_header`) as strict JSON text in ASCII.

    Numbers come back exactly; values JSON has no word for (NaN, infinities, complex numbers, bytes) are
    objects of one key, such as ``{"__float__": "nan"}``.

    Examples
    --------
    >>> dump_header({"HISTORY": ["one", "two"], "ZBEST": None})
    '{"HISTORY": ["one", "two"], "ZBEST": null}'
    """
    plain = plain_header(header)
    try:
        return json.dumps(plain, allow_nan=False, default=_encode)
    except ValueError:  # NaN or an infinity somewhere, which json does not hand to ``default``
        return json.dumps(_encode(plain), allow_nan=False)


def load_header(text: str) -> dict[str, Any]:
    """Read what :func:`dump_header` wrote.

    Raises
    ------
    ValidationError
        If the text is not the JSON of a dictionary.

    Examples
    --------
    >>> load_header('{"EFFEXPTM": 0.1}')
    {'EFFEXPTM': 0.1}
    """
    try:
        header = json.loads(text, object_hook=_decode)
    except (ValueError, TypeError, OverflowError, RecursionError) as err:
        raise ValidationError(f"fits_header is not JSON: {str(text)[:60]!r}") from err
    if not isinstance(header, dict):
        raise ValidationError(f"fits_header holds a {type(header).__name__}", hint="expected a dictionary")
    return header
