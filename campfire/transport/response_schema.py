"""What the service may answer: one table of the fields of each route, and of the values they may have.

A row of a list that does not fit is set aside: told once, never stored, and the others are taken. An answer
that does not fit as a whole is an error that says route and field. What is not named here is not looked at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from campfire.errors import APIError
from campfire.transport import routes
from campfire.transport.problems import printable
from campfire.typing import Row

__all__ = ["MOST_ROWS", "SHAPES", "Shape", "fitting", "malformed", "require", "set_aside"]

MOST_ROWS = 5_000_000
"""Rows of one table, a hundred times what the archive has: a service that goes on longer never ends."""
_LONGEST_NAME = 200
_LONGEST_TEXT = 10_000
_MOST_NAMES = 10_000
_INTEGERS = 2**63  # what SQLite can hold

# C0, DEL, C1 but for tab and line feeds; and surrogates, which no file can hold
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")

Test = Callable[[Any], bool]
"""Tells whether a value may be there."""


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _INTEGERS


def _number(low: float = -math.inf, high: float = math.inf) -> Test:
    def test(value: Any) -> bool:
        # bool is no number here; a huge integer has no float
        return (type(value) is float or (type(value) is int and abs(value) < _INTEGERS)) and (
            low <= value <= high and value - value == 0
        )

    return test


def _flag(value: Any) -> bool:
    return value is True or value is False


def _name(value: Any) -> bool:
    # isprintable: no controls, no surrogates, nothing that reorders or hides what is read
    return (
        type(value) is str
        and 0 < len(value) <= _LONGEST_NAME
        and value.isprintable()
        and value == value.strip()
    )


def _text(value: Any) -> bool:
    return type(value) is str and len(value) <= _LONGEST_TEXT and not _CONTROL.search(value)


def _time(value: Any) -> bool:
    if type(value) is not str or len(value) > 64:
        return False
    try:
        return 1900 < datetime.fromisoformat(value).year < 2200
    except ValueError:
        return False


def _hash(value: Any) -> bool:
    return type(value) is str and _HASH.fullmatch(value) is not None


def _names(value: Any) -> bool:
    return type(value) is list and len(value) <= _MOST_NAMES and all(map(_name, value))


def _records(*names: str) -> Test:
    def test(value: Any) -> bool:
        return (
            type(value) is list
            and len(value) <= _MOST_NAMES
            and all(type(item) is dict and all(_name(item.get(name)) for name in names) for item in value)
        )

    return test


def _photometry(value: Any) -> bool:
    """Bands of numbers; everything else of the record is carried along."""
    if type(value) is not dict or not isinstance(value.get("bands", {}), dict):
        return False
    bands = value.get("bands", {})
    return len(bands) <= _MOST_NAMES and all(
        _name(band) and type(item) is dict and all(_measured(item.get(name)) for name in _MEASURED)
        for band, item in bands.items()
    )


def _measured(value: Any) -> bool:
    return value is None or _FINITE(value) or (type(value) is float and math.isnan(value))


def _pagination(value: Any) -> bool:
    return type(value) is dict and (value.get("total") is None or _count(value["total"]))


_MEASURED = ("flux", "flux_err", "wav", "wav_min", "wav_max")
_FINITE = _number()
_POSITIVE = _number(0)
_RA, _DEC = _number(0, 360), _number(-90, 90)
_REDSHIFT = _number(-1e4, 1e4)  # some write -1 or -99 for none
_QUALITY: Test = lambda value: type(value) is int and 0 <= value <= 4  # noqa: E731


@dataclass(frozen=True, slots=True)
class Shape:
    """The answer of one route.

    Parameters
    ----------
    rows
        Key of the list of rows, or None where the answer is one object.
    required
        Fields of a row (or of the object) that have to be there: name -> what the value may be.
    optional
        Fields that may be missing or null.
    top
        Fields beside the rows; optional, too.
    """

    rows: str | None = None
    required: Mapping[str, Test] = field(default_factory=dict)
    optional: Mapping[str, Test] = field(default_factory=dict)
    top: Mapping[str, Test] = field(default_factory=dict)


_TIMES = {"created_at": _time, "updated_at": _time}
_INSPECTION = {
    "redshift": _REDSHIFT,
    "redshift_inspected": _REDSHIFT,
    "redshift_auto": _REDSHIFT,
    "redshift_quality": _QUALITY,
    "last_inspected_at": _time,
    "last_inspected_by": _name,
    "max_snr": _FINITE,
    "max_exposure_time": _POSITIVE,
}
_PHOTO_Z = {"photo_z": _REDSHIFT, "photo_z_err_lo": _REDSHIFT, "photo_z_err_hi": _REDSHIFT}
_OBJECT = {"id": _count, "object_id": _name, "field": _name, "ra": _RA, "dec": _DEC}
_OF_OBJECT = {
    "n_targets": _count,
    "n_spectra": _count,
    "programs": _names,
    "gratings": _names,
    "observations": _names,
    "inspected_used_auto": _flag,
    "last_data_change_at": _time,
    "staleness_reason": _name,
    "version": _count,
    "is_active": _flag,
    "has_photometry": _flag,
    **_INSPECTION,
    **_PHOTO_Z,
    **_TIMES,
}
_SPECTRUM = {
    "id": _count,
    "spectrum_id": _name,
    "target_id": _name,
    "grating": _name,
    "fits_path": _name,
    "program_slug": _name,
    "observation": _name,
    "field": _name,
}
_OF_SPECTRUM = {
    "object_id": _name,
    "file_hash": _hash,
    "file_size": _count,
    "signal_to_noise": _FINITE,
    "exposure_time": _POSITIVE,
    "reduction_version": _name,
    "redshift_auto": _REDSHIFT,
    "dq_flags": _count,
    **_TIMES,
}
_PAGE = {"pagination": _pagination, "total_accessible_count": _count}

SHAPES: dict[str, Shape] = {
    routes.METADATA: Shape(
        "programs",
        {"slug": _name},
        {"program_name": _text, "pi_name": _text, "is_public": _flag},
        {"fields": _names, "gratings": _names, "observations": _names},
    ),
    routes.OBSERVATIONS: Shape(
        "observations",
        {"observation": _name, "program_slug": _name, "field": _name},
        {
            "program_name": _text,
            "target_count": _count,
            "spectrum_count": _count,
            "total_size_bytes": _count,
            "reduction_version": _name,
            "reduced_at": _time,
            "deployed_at": _time,
            "last_patch_at": _time,
            "n_patches_since_full": _count,
        },
    ),
    routes.OBJECTS: Shape(
        "data",
        _OBJECT,
        _OF_OBJECT
        | {"distance": _POSITIVE, "member_targets": _records("target_id"), "lists": _records("slug")},
        _PAGE,
    ),
    routes.SPECTRA: Shape(
        "data",
        _SPECTRUM,
        {
            **_OF_SPECTRUM,
            **_INSPECTION,
            "parent_object_id": _name,
            "program_name": _text,
            "ra": _RA,
            "dec": _DEC,
            "distance": _POSITIVE,
        },
        _PAGE,
    ),
    routes.SYNC_OBJECTS: Shape(
        "data",
        _OBJECT,
        _OF_OBJECT | {"member_target_ids": _names, "lists": _names},
        _PAGE,
    ),
    routes.SYNC_SPECTRA: Shape("data", _SPECTRUM, _OF_SPECTRUM, _PAGE),
    routes.SYNC_PHOTOMETRY: Shape(
        "data",
        {"id": _count, "object_id": _name, "photometry": _photometry},
        {
            "field": _name,
            "catalog_name": _name,
            "catalog_id": _name,
            "match_distance_arcsec": _FINITE,
            "has_pz": _flag,
            **_PHOTO_Z,
            **_TIMES,
        },
        _PAGE,
    ),
    routes.SYNC_LISTS: Shape(
        "data",
        {"id": _count, "slug": _name},
        {
            "name": _text,
            "description": _text,
            "visibility": _name,
            "is_system": _flag,
            "created_by": _name,
            "member_count": _count,
            **_TIMES,
        },
    ),
    "manifest": Shape(
        "spectra",
        {"spectrum_id": _name, "fits_path": _name, "download_url": _text},
        {"spectra_id": _count, "target_id": _name, "grating": _name, "file_hash": _hash, "file_size": _count},
        {"url_expires_at": _time},
    ),
    routes.SHUTTERS: Shape(
        "shutters",
        {
            "object_id": _name,
            "center_ra": _RA,
            "center_dec": _DEC,
            "position_angle": _number(-360, 360),
        },
        {
            "source_id": _FINITE,
            "shutter_idx": _FINITE,
            "dither_id": _FINITE,
            "shutter_state": _name,
            "observation": _name,
        },
    ),
    "shutters meta": Shape(
        None,
        {},
        {
            "shutter_width_arcsec": _POSITIVE,
            "shutter_height_arcsec": _POSITIVE,
            "center_ra": _RA,
            "center_dec": _DEC,
            "radius_arcsec": _POSITIVE,
            "field": _name,
        },
    ),
    routes.FILE: Shape(None, {"url": _text}),
    routes.SPECTRUM: Shape(None, {"n_spatial": _count, "n_wave": _count}),
    routes.REDSHIFT_FIT: Shape(None, {"redshift": _REDSHIFT, "chi2_min": _FINITE, "confidence": _FINITE}),
    routes.WHOAMI: Shape(
        None,
        {},
        {"user_id": _name, "email": _name, "full_name": _text, "is_admin": _flag, "created_at": _time},
    ),
    routes.VERSION: Shape(None, {}, {"latest": _name, "minimum": _name}),
}
"""Route -> shape of its answer."""


def _misfit(shape: Shape, row: Mapping[str, Any]) -> str | None:
    """Return the first field that does not fit, or None."""
    for name, test in shape.required.items():
        if not test(row.get(name)):
            return name
    for name, test in shape.optional.items():
        value = row.get(name)
        if value is not None and not test(value):
            return name
    return None


def require(route: str, body: Mapping[str, Any]) -> None:
    """Check what an answer holds beside its rows.

    Raises
    ------
    APIError
        Naming the field that does not fit.
    """
    shape = SHAPES[route]
    name = next((n for n, t in shape.top.items() if body.get(n) is not None and not t(body[n])), None)
    if name is None and shape.rows is None:
        name = _misfit(shape, body)
    if name is not None:
        raise malformed(route, f"{name!r} is {_shown(body.get(name))}")


def malformed(route: str, what: str) -> APIError:
    """Return the error for an answer that this client does not know."""
    return APIError(f"GET {route}: {what}", hint="the service answered in a form this client does not know")


def fitting(route: str, rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Part rows into those that fit their shape, and those that are set aside."""
    shape = SHAPES[route]
    good: list[Row] = []
    bad: list[Row] = []
    for row in rows:
        (good if _misfit(shape, row) is None else bad).append(row)
    return good, bad


def set_aside(route: str, rows: list[Row]) -> str:
    """Say which rows were set aside: how many, and what is wrong with the first."""
    first = rows[0]
    name = _misfit(SHAPES[route], first)
    whose = next((first[k] for k in ("spectrum_id", "object_id", "slug", "id") if k in first), "?")
    shown = printable(str(whose), 80)
    value = _shown(first.get(name or ""))
    return f"{len(rows)} rows of {route} are set aside: the first, {shown}, has {name}={value}"


def _shown(value: Any) -> str:
    """Show a value of the service, short and on one line."""
    kind = type(value).__name__
    if isinstance(value, list | dict):
        return f"a {kind} of {len(value)}"
    text = repr(value) if type(value) is not int or abs(value) < _INTEGERS else "a huge number"
    return printable(text, 80)
