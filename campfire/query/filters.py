"""The table of filters: which keywords a query takes, what users may pass, and what each acts on.

Everything else is derived from :data:`FILTERS`: keyword checking, SQL, wire parameters, the numpy evaluation,
options of the command line, documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

from campfire.columns import TableName
from campfire.errors import ValidationError
from campfire.flags import FlagQuery
from campfire.query import coerce

__all__ = ["FILTERS", "SORTS", "Filter", "Filters", "QueryOptions", "staleness"]

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


_lower, _upper = coerce.names(str.lower), coerce.names(str.upper)

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
            coerce.interval,
            "(min, max) of the object's best redshift, ends included; None leaves one open",
            parent=True,
        ),
        Filter(
            "redshift_quality",
            "any_of",
            "redshift_quality",
            "redshift_quality",
            ("redshift_quality",),
            coerce.qualities,
            "codes 0 to 4 or names, e.g. ['probable', 'secure']",
            parent=True,
        ),
        Filter(
            "max_snr_range",
            "between",
            "max_snr",
            "signal_to_noise",
            ("max_snr_min", "max_snr_max"),
            coerce.interval,
            "(min, max) of the best signal-to-noise ratio; on spectra, of the spectrum's own",
        ),
        Filter(
            "dq_flags",
            "flags",
            "dq_flags",
            "dq_flags",
            ("dq_flags_include_all", "dq_flags_exclude", "dq_flags_include_any"),
            coerce.flags,
            "a DQFlags expression; on objects, of the flags of all their spectra together",
        ),
        Filter("tags", "any_of", "tags", "tags", ("lists",), _lower, "tag slugs, any of them", parent=True),
        Filter(
            "inspected_only",
            "is_true",
            "inspected",
            "inspected",
            ("inspected_only",),
            coerce.truth,
            "only inspected objects; False: only those not inspected",
            parent=True,
        ),
        Filter(
            "staleness",
            "is_true",
            "stale",
            "stale",
            (),
            coerce.truth,
            "only objects whose data changed after their last inspection; False: the rest",
            parent=True,
        ),
        Filter(
            "has_photometry",
            "is_true",
            "has_photometry",
            "has_photometry",
            ("has_photometry",),
            coerce.truth,
            "only objects with photometry; False: only those without",
            parent=True,
        ),
        Filter(
            "search",
            "text",
            "object_id",
            "spectrum_id",
            ("search",),
            coerce.text,
            "text in the name of the object or of its targets (on spectra: of the spectrum or its target)",
        ),
        Filter(
            "cone_search",
            "cone",
            "position",
            "position",
            ("ra", "dec", "radius"),
            coerce.cone,
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
            coerce.interval,
            "(min, max) of the longest exposure time, seconds",
            public=False,
        ),
        Filter(
            "photo_z_range",
            "between",
            "photo_z",
            "photo_z",
            ("photo_z_min", "photo_z_max"),
            coerce.interval,
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
            coerce.truth,
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
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise ValidationError(
            f"{text!r} is not a time", hint="ISO 8601, e.g. 2026-03-04T05:06:07+00:00"
        ) from err
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
