"""What users pass for a filter, turned into the value that a condition holds; or a clear error.

Every function takes the name of the keyword, for the message, and what was passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from campfire import arguments
from campfire.arguments import shown
from campfire.config import plain_text
from campfire.errors import ValidationError
from campfire.flags import FlagQuery, parse_flags, parse_quality
from campfire.query.flag_masks import canonical

__all__ = ["cone", "flags", "interval", "names", "qualities", "text", "truth"]


def _items(name: str, value: Any) -> list[Any]:
    items = [value] if isinstance(value, str | int | np.integer) else value
    if isinstance(items, Mapping) or not isinstance(items, Iterable):
        raise ValidationError(f"{name}={shown(value)} is not a list", hint=f"e.g. {name}=[...]")
    items = list(items)
    if not items:
        raise ValidationError(f"{name} is an empty list", hint=f"leave {name} out to ask for all")
    return items


def names(case: Callable[[str], str]) -> Callable[[str, Any], tuple[str, ...]]:
    """Return a function for lists of names, brought to one case; integers are program numbers."""

    def coerce(name: str, value: Any) -> tuple[str, ...]:
        made = set()
        for item in _items(name, value):
            if name == "programs" and isinstance(item, int | np.integer) and not isinstance(item, bool):
                made.add(str(int(item)))
            elif isinstance(item, str) and item.strip():
                made.add(case(str(item).strip()))
            else:
                raise ValidationError(f"{name} holds {item!r}", hint="pass names as text")
        return tuple(sorted(made))

    return coerce


def qualities(name: str, value: Any) -> tuple[int, ...]:
    """Return redshift qualities as codes."""
    return tuple(sorted({int(parse_quality(item)) for item in _items(name, value)}))


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise ValidationError(f"{name} holds {value!r}", hint="pass numbers")
    if math.isnan(value):
        raise ValidationError(f"{name} holds NaN", hint="pass finite numbers")
    return float(value)


def interval(name: str, value: Any) -> tuple[float | None, float | None]:
    """Return (min, max), None for an open end."""
    if isinstance(value, str) or not isinstance(value, Iterable) or len(pair := list(value)) != 2:
        raise ValidationError(
            f"{name}={value!r} is not a range", hint="pass (min, max); None leaves one end open"
        )
    bounds = [None if item is None else _number(name, item) for item in pair]
    low = None if bounds[0] == -math.inf else bounds[0]
    high = None if bounds[1] == math.inf else bounds[1]
    if low is None and high is None:
        raise ValidationError(f"{name}={value!r} is open at both ends", hint=f"leave {name} out")
    if low is not None and high is not None and low > high:
        raise ValidationError(f"{name}=({low:g}, {high:g}) is reversed", hint=f"write ({high:g}, {low:g})")
    return low, high


def truth(name: str, value: Any) -> bool:
    """Return a bool."""
    return arguments.truth(value, name)


def text(name: str, value: Any) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValidationError(f"{name}={value!r} is not a text", hint=f"leave {name} out to ask for all")
    return plain_text(value, name)


def flags(_name: str, value: Any) -> FlagQuery:
    """Return a flag expression in its simplest form."""
    query = parse_flags(value)
    if query.bits >= 1 << 63:
        raise ValidationError("dq_flags uses bits above 62", hint="masks are 63-bit integers")
    return canonical(query)


def _plain_angle(name: str, value: Any, unit: str) -> Any:
    """Return an angle in a unit, without it; a number as it is."""
    if getattr(value, "unit", None) is None:
        return value
    try:
        return float(value.to_value(unit))
    except (TypeError, ValueError) as err:  # UnitConversionError is a ValueError too
        raise ValidationError(f"{name} holds {value!r}", hint=f"pass an angle, or {unit}") from err


def cone(name: str, value: Any) -> tuple[float, float, float]:
    """Return (ra, dec, radius): degrees with 0 <= ra < 360, degrees, arcseconds.

    Also of (SkyCoord, radius), and of angles with units.
    """
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = list(value)
        if len(value) == 2 and hasattr(value[0], "icrs") and np.ndim(value[0].icrs.ra) == 0:
            value = [value[0].icrs.ra, value[0].icrs.dec, value[1]]
        units = ("deg", "deg", "arcsec")
        if len(value) == 3:
            value = [_plain_angle(name, part, unit) for part, unit in zip(value, units, strict=True)]
    if isinstance(value, str) or not isinstance(value, Iterable) or len(parts := list(value)) != 3:
        raise ValidationError(
            f"{name}={value!r} is not a cone", hint="pass (ra, dec, radius_arcsec), or (SkyCoord, radius)"
        )
    if any(isinstance(part, str) for part in parts):
        raise ValidationError(
            f"{name}={value!r} holds text", hint="pass degrees and arcsec as numbers, or (SkyCoord, radius)"
        )
    ra, dec, radius = (_number(name, part) for part in parts)
    if not (math.isfinite(ra) and -90 <= dec <= 90):
        raise ValidationError(
            f"{name} is centred on ra={ra:g}, dec={dec:g}", hint="degrees: ra finite, dec -90 to 90"
        )
    if not 0 < radius <= 648_000:
        raise ValidationError(
            f"{name} has radius {radius:g} arcsec", hint="pass more than 0 and up to 648000 (180 degrees)"
        )
    return ra % 360.0, dec, radius
