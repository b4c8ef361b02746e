"""The table of filters: which keywords a query takes, what users may pass, and what each acts on.

Everything else is derived from :data:`FILTERS`: keyword checking, SQL, wire parameters, the numpy evaluation,
options of the command line, documentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, TypedDict

import numpy as np

from campfire.columns import TableName
from campfire.errors import ValidationError
from campfire.flags import FlagQuery, parse_flags, parse_quality
from campfire.query.masks import canonical

__all__ = ["FILTERS", "SORTS", "Filter", "Filters", "QueryOptions", "Vocabulary", "did_you_mean", "staleness"]

Kind = Literal["any_of", "between", "flags", "is_true", "text", "cone"]


class Filters(TypedDict, total=False):
    """Keywords of ``query_objects``, ``query_spectra`` and their iterators; None means not given."""

    fields: Sequence[str] | str | None
    programs: Sequence[str | int] | str | int | None
    gratings: Sequence[str] | str | None
    observations: Sequence[str] | str | None
    redshift_range: tuple[float | None, float | None] | None
    redshift_quality: Sequence[int | str] | int | str | None
    max_snr_range: tuple[float | None, float | None] | None
    dq_flags: FlagQuery | int | str | Sequence[str | int] | None
    tags: Sequence[str] | str | None
    inspected_only: bool | None
    staleness: bool | None
    has_photometry: bool | None
    search: str | None
    cone_search: tuple[float, float, float] | None


class QueryOptions(Filters, total=False):
    """The filters, and which rows of the answer to give in which order."""

    limit: int | None
    offset: int
    sort: str | None
    sort_dir: Literal["asc", "desc"]


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
    shown = ", ".join(list(folded.values())[:20])
    return f"known: {shown}" + (", ..." if len(folded) > 20 else "")


# --- what users pass -> the value a condition holds ---------------------------------------------------------


def _items(name: str, value: Any) -> list[Any]:
    items = [value] if isinstance(value, str | int | np.integer) else value
    if isinstance(items, Mapping) or not isinstance(items, Iterable):
        raise ValidationError(f"{name}={value!r} is not a list", hint=f"e.g. {name}=[...]")
    items = list(items)
    if not items:
        raise ValidationError(f"{name} is an empty list", hint=f"leave {name} out to ask for all")
    return items


def _names(case: Callable[[str], str]) -> Callable[[str, Any], tuple[str, ...]]:
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


def _qualities(name: str, value: Any) -> tuple[int, ...]:
    return tuple(sorted({int(parse_quality(item)) for item in _items(name, value)}))


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise ValidationError(f"{name} holds {value!r}", hint="pass numbers")
    if math.isnan(value):
        raise ValidationError(f"{name} holds NaN", hint="pass finite numbers")
    return float(value)


def _range(name: str, value: Any) -> tuple[float | None, float | None]:
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


def _bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValidationError(f"{name}={value!r} is not a truth value", hint="pass True or False")
    return bool(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValidationError(f"{name}={value!r} is not a text", hint=f"leave {name} out to ask for all")
    return value


def _flags(_name: str, value: Any) -> FlagQuery:
    query = parse_flags(value)
    if query.bits >= 1 << 63:
        raise ValidationError("dq_flags uses bits above 62", hint="masks are 63-bit integers")
    return canonical(query)


def _cone(name: str, value: Any) -> tuple[float, float, float]:
    if isinstance(value, str) or not isinstance(value, Iterable) or len(parts := list(value)) != 3:
        raise ValidationError(f"{name}={value!r} is not a cone", hint="pass (ra, dec, radius_arcsec)")
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


# --- the tables ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """One keyword.

    Parameters
    ----------
    name
        The keyword.
    kind
        How it is evaluated; one small function a kind in every back end.
    on_objects, on_spectra
        What it looks at in a row of each table.
    parent
        Whether a query of spectra looks at the object the spectrum belongs to.
    wire
        Names of its parameters on the wire; empty where the service cannot be asked.
    coerce
        Turns what users pass into the value of a condition, or raises ``ValidationError``.
    doc
        One line for the user.
    public
        False for what only the wire offers.
    mode
        For ``any_of``: whether any, all or none of the names must be there.
    """

    name: str
    kind: Kind
    on_objects: str
    on_spectra: str
    wire: tuple[str, ...]
    coerce: Callable[[str, Any], Any]
    doc: str
    parent: bool = False
    public: bool = True
    mode: Literal["any", "all", "none"] = "any"

    def column(self, table: TableName) -> str:
        """Return the column it looks at in rows of ``table``."""
        return self.on_objects if table == "objects" else self.on_spectra


_lower, _upper = _names(str.lower), _names(str.upper)

FILTERS: dict[str, Filter] = {
    spec.name: spec
    for spec in (
        Filter("fields", "any_of", "field", "field", ("fields",), _lower, "names of fields"),
        Filter(
            "programs",
            "any_of",
            "programs",
            "program_slug",
            ("programs",),
            _lower,
            "program slugs, or JWST program numbers",
        ),
        Filter("gratings", "any_of", "gratings", "grating", ("gratings",), _upper, "gratings, e.g. PRISM"),
        Filter(
            "observations",
            "any_of",
            "observations",
            "observation",
            ("observations",),
            _lower,
            "names of observations",
        ),
        Filter(
            "redshift_range",
            "between",
            "redshift",
            "redshift",
            ("redshift_min", "redshift_max"),
            _range,
            "(min, max) of the object's best redshift, ends included; None leaves one open",
            parent=True,
        ),
        Filter(
            "redshift_quality",
            "any_of",
            "redshift_quality",
            "redshift_quality",
            ("redshift_quality",),
            _qualities,
            "codes 0 to 4 or names, e.g. ['probable', 'secure']",
            parent=True,
        ),
        Filter(
            "max_snr_range",
            "between",
            "max_snr",
            "signal_to_noise",
            ("max_snr_min", "max_snr_max"),
            _range,
            "(min, max) of the best signal-to-noise ratio; on spectra, of the spectrum's own",
        ),
        Filter(
            "dq_flags",
            "flags",
            "dq_flags",
            "dq_flags",
            ("dq_flags_include_all", "dq_flags_exclude", "dq_flags_include_any"),
            _flags,
            "a DQFlags expression; on objects, of the flags of all their spectra together",
        ),
        Filter("tags", "any_of", "tags", "tags", ("lists",), _lower, "tag slugs, any of them", parent=True),
        Filter(
            "inspected_only",
            "is_true",
            "inspected",
            "inspected",
            ("inspected_only",),
            _bool,
            "only inspected objects; False: only those not inspected",
            parent=True,
        ),
        Filter(
            "staleness",
            "is_true",
            "stale",
            "stale",
            (),
            _bool,
            "only objects whose data changed after their last inspection; False: the rest",
            parent=True,
        ),
        Filter(
            "has_photometry",
            "is_true",
            "has_photometry",
            "has_photometry",
            ("has_photometry",),
            _bool,
            "only objects with photometry; False: only those without",
            parent=True,
        ),
        Filter(
            "search",
            "text",
            "object_id",
            "spectrum_id",
            ("search",),
            _text,
            "text in the name of the object or of its targets (on spectra: of the spectrum or its target)",
        ),
        Filter(
            "cone_search",
            "cone",
            "position",
            "position",
            ("ra", "dec", "radius"),
            _cone,
            "(ra, dec, radius): degrees, degrees, arcsec, around the object's position",
            parent=True,
        ),
        # What only the wire offers; the server evaluates it with the same functions.
        Filter(
            "exposure_time_range",
            "between",
            "max_exposure_time",
            "exposure_time",
            ("max_exposure_time_min", "max_exposure_time_max"),
            _range,
            "(min, max) of the longest exposure time, seconds",
            public=False,
        ),
        Filter(
            "photo_z_range",
            "between",
            "photo_z",
            "photo_z",
            ("photo_z_min", "photo_z_max"),
            _range,
            "(min, max) of the photometric redshift",
            parent=True,
            public=False,
        ),
        Filter(
            "gratings_all",
            "any_of",
            "gratings",
            "grating",
            (),
            _upper,
            "gratings, all of them",
            public=False,
            mode="all",
        ),
        Filter(
            "gratings_none",
            "any_of",
            "gratings",
            "grating",
            (),
            _upper,
            "gratings, none of them",
            public=False,
            mode="none",
        ),
        Filter(
            "needs_review",
            "is_true",
            "needs_review",
            "needs_review",
            ("needs_review",),
            _bool,
            "inspected objects with a staleness reason and later (or undated) data",
            parent=True,
            public=False,
        ),
    )
}

SORTS: dict[TableName, tuple[str, ...]] = {
    "objects": (
        "object_id",
        "field",
        "ra",
        "dec",
        "redshift",
        "redshift_quality",
        "n_targets",
        "n_spectra",
        "max_snr",
        "max_exposure_time",
        "photo_z",
        "updated_at",
        "distance",
    ),
    "spectra": (
        "spectrum_id",
        "target_id",
        "object_id",
        "grating",
        "field",
        "observation",
        "program_slug",
        "signal_to_noise",
        "exposure_time",
        "redshift_auto",
        "redshift",
        "redshift_quality",
        "ra",
        "dec",
        "distance",
    ),
}
"""Columns that rows can be sorted by (``distance`` only with a cone); the first is the default."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names a catalogue, or a service, knows; queries are checked against it.

    ``jwst_programs`` maps JWST program numbers (as text) to program slugs.
    """

    fields: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    gratings: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    jwst_programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def resolve(self, name: str, values: Iterable[str]) -> tuple[str, ...]:
        """Return the names as the catalogue spells them.

        Parameters
        ----------
        name
            Which keyword: ``fields``, ``programs``, ``gratings``, ``observations`` or ``tags``.
        values
            Names in any case; program numbers as text.

        Raises
        ------
        ValidationError
            For a name that is not known, with the near matches.

        Examples
        --------
        >>> Vocabulary(gratings=("PRISM", "G395M")).resolve("gratings", ["prism"])
        ('PRISM',)
        """
        known: tuple[str, ...] = getattr(self, name)
        spelled: dict[str, list[str]] = {}
        for item in known:
            spelled.setdefault(item.casefold(), []).append(item)
        found: set[str] = set()
        for value in values:
            if name == "programs" and value in self.jwst_programs:
                found.update(self.jwst_programs[value])
            elif value.casefold() in spelled:
                found.update(spelled[value.casefold()])
            else:
                what = name.removesuffix("s")
                raise ValidationError(f"unknown {what} {value!r}", hint=did_you_mean(value, known))
        return tuple(sorted(found))


def staleness(changed: str | None, inspected: str | None) -> bool:
    """Tell whether data changed after the last inspection, or changed and were never inspected.

    Parameters
    ----------
    changed, inspected
        ISO 8601 times or None; without an offset they are UTC.

    Examples
    --------
    >>> staleness("2026-03-01T00:00:00.5+00:00", "2026-03-01T00:00:00Z")
    True
    >>> staleness(None, None)
    False
    """
    if not changed:
        return False
    return not inspected or _instant(changed) > _instant(inspected)


def _instant(text: str) -> float:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise ValidationError(
            f"{text!r} is not a time", hint="ISO 8601, e.g. 2026-03-04T05:06:07+00:00"
        ) from err
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
