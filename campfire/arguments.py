"""What users pass for an argument, as the plain value it stands for; or an error that says what was passed.

One function a kind of argument, each of which takes the value and the name of the argument. Paths, texts and
addresses are in :mod:`campfire.config`, numbers with units in :mod:`campfire.units`.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, TypeVar

from campfire.errors import ValidationError
from campfire.text import one_line

__all__ = [
    "choice",
    "did_you_mean",
    "function",
    "integer",
    "known_number",
    "mapping",
    "number",
    "path_text",
    "shown",
    "text",
    "truth",
]

F = TypeVar("F", bound=Callable[..., Any])

_short = reprlib.Repr()
_short.maxother = _short.maxstring = _short.maxlong = 80
_short.maxlevel = 3


def shown(value: object) -> str:
    """Return what was passed in one short line, for a message: of a table or an array, only what it is.

    Examples
    --------
    >>> shown("5%"), shown(list(range(1000)))
    ("'5%'", '[0, 1, 2, 3, 4, 5, ...]')
    """
    kind = type(value)
    shape = getattr(value, "shape", None)
    if shape == () and kind.__module__ == "numpy":  # np.str_('x') is 'x'
        value = value.item()  # type: ignore[attr-defined]
    if isinstance(shape, tuple) and shape and math.prod(map(_size, shape)) > 8:
        return f"{kind.__name__} of shape {shape}"
    if hasattr(value, "colnames") or hasattr(value, "data_vars"):
        return f"a {kind.__name__}"
    try:
        text = _short.repr(value)
    except Exception:  # whatever a foreign __repr__ does, the message is about something else
        return f"a {kind.__name__}"
    return one_line(text, 120)


def _size(length: Any) -> int:
    return length if isinstance(length, int) else 0


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the names near to ``name``, or with all of them where none is near.

    Examples
    --------
    >>> did_you_mean("PRSM", ["PRISM", "G395M"])
    "did you mean 'PRISM'?"
    """
    folded = {item.casefold(): item for item in known}
    near = [folded[item] for item in get_close_matches(name.casefold(), folded, n=3)]
    if near:
        return "did you mean " + " or ".join(map(repr, near)) + "?"
    if not folded:
        return "there are none here"
    some = ", ".join(map(repr, list(folded.values())[:20]))
    return f"known: {some}" + (", ..." if len(folded) > 20 else "")


def truth(value: object, name: str) -> bool:
    """Return a bool, of Python or numpy; nothing else is one, least of all ``"no"``.

    Raises
    ------
    ValidationError
        For anything else.

    Examples
    --------
    >>> truth(True, "full")
    True
    """
    kind = type(value)
    if kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")):
        return bool(value)
    raise ValidationError(f"{name}={shown(value)} is not a truth value", hint="pass True or False")


def _plain(value: Any, unit: str) -> Any:
    """Return a Quantity or an array of one value as a number; anything else as it is."""
    if getattr(value, "unit", None) is not None and hasattr(value, "to_value"):
        value = value.to_value(unit)
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def number(
    value: object,
    name: str,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    unit: str = "",
) -> float:
    """Return a finite number, within bounds where there are any.

    Parameters
    ----------
    value
        A number of Python or numpy, or a Quantity.
    name
        Of the argument, for the message.
    above, least, most
        Bounds; only ``above`` is itself excluded.
    unit
        In which plain numbers are, and Quantities are wanted.

    Raises
    ------
    ValidationError
        For anything else, such as text and truth values.

    Examples
    --------
    >>> number(3, "min_snr", least=0)
    3.0
    """
    try:
        plain = _plain(value, unit)
    except (TypeError, ValueError):  # UnitConversionError is either
        plain = None
    if not isinstance(plain, bool) and isinstance(plain, Real) and math.isfinite(plain):
        found = float(plain)
        if (
            (above is None or found > above)
            and (least is None or found >= least)
            and (most is None or found <= most)
        ):
            return found
    raise ValidationError(f"{name}={shown(value)}", hint=f"pass a {_wanted('number', above, least, most)}")


def known_number(value: object, name: str) -> float | None:
    """Return a finite number, or None for what is unknown: None, masked (numpy, pandas), not finite.

    Raises
    ------
    ValidationError
        For anything else.

    Examples
    --------
    >>> known_number(2.5, "redshift"), known_number(float("nan"), "redshift")
    (2.5, None)
    """
    unknown = value is None or type(value).__name__ in ("MaskedConstant", "NAType")
    if unknown or (isinstance(value, Real) and not math.isfinite(value)):
        return None
    return number(value, name)


def integer(value: object, name: str, *, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number, within bounds where there are any.

    Raises
    ------
    ValidationError
        For anything else; 4.0 is no whole number.

    Examples
    --------
    >>> integer(4, "max_workers", least=1, most=32)
    4
    """
    plain = _plain(value, "") if hasattr(value, "shape") else value
    if not isinstance(plain, bool) and isinstance(plain, Integral):
        found = int(plain)
        if (least is None or found >= least) and (most is None or found <= most):
            return found
    raise ValidationError(
        f"{name}={shown(value)}", hint=f"pass a {_wanted('whole number', None, least, most)}"
    )


def _wanted(kind: str, above: float | None, least: float | None, most: float | None) -> str:
    if above is not None:
        return f"{kind} above {above:g}" + ("" if most is None else f", at most {most:g}")
    if least is not None:
        return f"{kind} of at least {least:g}" if most is None else f"{kind} from {least:g} to {most:g}"
    return kind if most is None else f"{kind} of at most {most:g}"


def choice(value: object, name: str, options: Iterable[str]) -> str:
    """Return a word if it is one of those there are.

    Raises
    ------
    ValidationError
        For another word, with those near to it, and for what is none.

    Examples
    --------
    >>> choice("median", "method", ("mean", "median"))
    'median'
    """
    known = tuple(options)
    if isinstance(value, str) and value in known:
        return str(value)
    if isinstance(value, str):
        raise ValidationError(f"unknown {name} {shown(value)}", hint=did_you_mean(value, known))
    raise ValidationError(f"{name}={shown(value)}", hint=f"one of {', '.join(map(repr, known))}")


def text(value: object, name: str) -> str:
    """Return text, which may be empty.

    Raises
    ------
    ValidationError
        For anything else, such as None and numbers.

    Examples
    --------
    >>> text("ember_uds_p4", "object_id")
    'ember_uds_p4'
    """
    if isinstance(value, str):
        return str(value)
    raise ValidationError(f"{name}={shown(value)} is not a text", hint="pass text, in quotes")


def path_text(value: object, name: str) -> str:
    """Return a path as it is written: where a file came from need not be a place on this machine.

    Raises
    ------
    ValidationError
        For what is no path.

    Examples
    --------
    >>> path_text("~somebody/x.fits", "fits_path")
    '~somebody/x.fits'
    """
    written = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if isinstance(written, str) and "\0" not in written:
        return written
    raise ValidationError(f"{name}={shown(value)} is not a path", hint="pass the path as text")


def mapping(value: object, name: str, hint: str) -> Mapping[Any, Any]:
    """Return a dictionary, or anything like one.

    Raises
    ------
    ValidationError
        For anything else; ``hint`` says what would be right.

    Examples
    --------
    >>> mapping({"PRISM": 1}, "axes", hint="grating -> axes")
    {'PRISM': 1}
    """
    if isinstance(value, Mapping):
        return value
    raise ValidationError(f"{name}={shown(value)} is not a dictionary", hint=hint)


def function(value: F, name: str) -> F:
    """Return what can be called.

    Raises
    ------
    ValidationError
        For anything else.

    Examples
    --------
    >>> function(print, "progress") is print
    True
    """
    if callable(value):
        return value
    raise ValidationError(f"{name}={shown(value)} cannot be called", hint="pass a function, or None")
