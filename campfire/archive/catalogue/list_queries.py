"""``/objects`` and ``/spectra/list`` in SQL: as the deployed service answers, or (fixed) as it should."""

from __future__ import annotations

from collections.abc import Iterable

from campfire.archive.catalogue.list_request import Cone, Interval, ListRequest
from campfire.archive.catalogue.reader import Conditions, Reader, Viewer
from campfire.archive.catalogue.rows import LISTED_OBJECT, LISTED_SPECTRUM, listed_objects, listed_spectra
from campfire.typing import Row

__all__ = ["list_object_names", "list_objects", "list_spectra", "readable", "visible"]

OBJECT_SORTS = {
    name: f"o.{name}"
    for name in (
        *("object_id", "ra", "dec", "redshift", "redshift_quality", "field", "n_targets", "n_spectra"),
        *("max_snr", "max_exposure_time", "photo_z"),
    )
}
SPECTRUM_SORTS = {
    **{
        name: f"s.{name}"
        for name in (
            *("spectrum_id", "target_id", "field", "observation", "program_slug", "redshift_auto"),
            *("signal_to_noise", "exposure_time", "grating"),
        )
    },
    **{"ra": "t.ra", "dec": "t.dec", "redshift": "o.redshift", "redshift_quality": "o.redshift_quality"},
}
UNIQUE = frozenset({"o.object_id", "s.spectrum_id"})
NEVER_UNKNOWN = frozenset(
    (
        *("o.ra", "o.dec", "o.redshift_quality", "o.field", "o.n_targets", "o.n_spectra"),
        *("s.target_id", "s.field", "s.observation", "s.program_slug", "s.grating"),
    )
)
OBJECTS = "objects o"
SPECTRA = (
    "spectra s LEFT JOIN targets t ON t.target_id = s.target_id LEFT JOIN objects o ON o.id = s.object_pk"
    " LEFT JOIN programs p ON p.slug = s.program_slug"
)
# Set and inspected, and the data changed afterwards, or nobody knows when.
NEEDS_REVIEW = (
    "(coalesce(o.staleness_reason, '') <> '' AND coalesce(o.last_inspected_at, '') <> ''"
    " AND (coalesce(o.last_data_change_at, '') = '' OR o.stale))"
)


def visible(reader: Reader, where: Conditions, programs: Iterable[str], key: str = "o.id") -> None:
    """Keep what belongs to an object (``key``: its integer id) of which some program is in ``programs``."""
    if reader.remembered("programs of objects", lambda: _all_programs(reader)).issubset(programs):
        return  # most often: everything can be read, and the test costs more than all the rest of a page
    # Row by row, so that a page is found by walking along the index of its order.
    named = Conditions()
    named.add(f"n.object_pk = {key} AND n.kind = 'programs'")
    named.among("n.name", programs)
    where.add(f"EXISTS (SELECT 1 FROM object_names n{named.sql})", *named.values)


def readable(reader: Reader, where: Conditions, programs: Iterable[str]) -> None:
    """Keep the spectra of ``programs``."""
    found = reader.remembered(
        "programs of spectra", lambda: reader.values("SELECT DISTINCT program_slug FROM spectra")
    )
    if not frozenset(name for (name,) in found).issubset(programs):
        where.among("s.program_slug", programs)


def _all_programs(reader: Reader) -> frozenset[str]:
    """Return the programs objects have, with an empty name if some object has none: nobody can read it."""
    found = reader.values("SELECT DISTINCT name FROM object_names WHERE kind = 'programs'")
    bare = reader.values("SELECT '' FROM objects WHERE programs = '' LIMIT 1")
    return frozenset(name for (name,) in [*found, *bare])


def list_objects(
    reader: Reader, request: ListRequest, viewer: Viewer, *, fixed: bool
) -> tuple[list[Row], int]:
    """Return a page of ``/objects`` and how many objects match."""
    where, distance, order = _objects_wanted(reader, request, viewer, fixed=fixed)
    rows, total = _page(reader, LISTED_OBJECT, "o.id", OBJECTS, where, distance, order, request, fixed=fixed)
    return listed_objects(reader, rows, viewer, fixed=fixed), total


def list_object_names(reader: Reader, request: ListRequest, viewer: Viewer, *, fixed: bool) -> list[str]:
    """Return the names of the objects that match, in order: of all pages at once."""
    where, (far, values), order = _objects_wanted(reader, request, viewer, fixed=fixed)
    sql = f"SELECT o.object_id, {far} AS distance FROM {OBJECTS}{where.sql} ORDER BY {order}"
    return [name for name, _ in reader.values(sql, [*values, *where.values])]


def _objects_wanted(
    reader: Reader, request: ListRequest, viewer: Viewer, *, fixed: bool
) -> tuple[Conditions, tuple[str, list[float]], str]:
    """Return conditions, distance and order of a list of objects, as SQL."""
    where = Conditions()
    visible(reader, where, _programs(request, viewer, fixed=fixed))
    if request.fields:
        where.among("o.field", request.fields)
    _object_gratings(where, request)
    if request.observations:
        where.among("o.id", request.observations, inside="SELECT object_pk FROM spectra WHERE observation")
    _about_object(reader, where, request, viewer, fixed=fixed)
    _between(where, "o.max_snr", request.max_snr)
    _between(where, "o.max_exposure_time", request.max_exposure_time)
    _between(where, "o.photo_z", request.photo_z)
    if request.has_photometry is not None:
        where.add("o.has_photometry = ?", request.has_photometry)
    if request.search:
        pattern = _pattern(request.search, fixed=fixed)
        inner = "SELECT object_pk FROM targets WHERE target_id LIKE ? ESCAPE '\\'"
        where.add(f"(o.object_id LIKE ? ESCAPE '\\' OR o.id IN ({inner}))", pattern, pattern)
    if fixed:
        _flags(where, "o.dq_flags", request, combine=True)
    distance = _cone(reader, where, request.cone, "o.ra", "o.dec", fixed=fixed)
    by_distance = request.sort in ("", "object_id") or request.sort not in OBJECT_SORTS
    order = _order(request, OBJECT_SORTS, "object_id", by_distance=by_distance, ties="o.object_id")
    return where, distance, order


def list_spectra(
    reader: Reader, request: ListRequest, viewer: Viewer, *, fixed: bool
) -> tuple[list[Row], int]:
    """Return a page of ``/spectra/list`` and how many spectra match."""
    where = Conditions()
    readable(reader, where, _programs(request, viewer, fixed=fixed))
    if request.fields:
        where.among("s.field", request.fields)
    if request.gratings:
        where.among("s.grating", request.gratings)
    if request.observations:
        where.among("s.observation", request.observations)
    _about_object(reader, where, request, viewer, fixed=fixed)
    _between(where, "s.signal_to_noise", request.max_snr)
    _between(where, "s.exposure_time", request.max_exposure_time)
    if request.has_photometry is not None:
        where.add("o.has_photometry = ?", request.has_photometry)
    if request.search:
        pattern = _pattern(request.search, fixed=fixed)
        where.add("(s.spectrum_id LIKE ? ESCAPE '\\' OR s.target_id LIKE ? ESCAPE '\\')", pattern, pattern)
    _flags(where, "s.dq_flags", request, combine=fixed)
    # The deployed service measures from the target, not from its object.
    ra, dec = ("o.ra", "o.dec") if fixed else ("coalesce(t.ra, o.ra)", "coalesce(t.dec, o.dec)")
    distance = _cone(reader, where, request.cone, ra, dec, fixed=fixed)
    by_distance = request.sort in ("", "spectrum_id", "target_id") or request.sort not in SPECTRUM_SORTS
    order = _order(
        request, SPECTRUM_SORTS, "spectrum_id", by_distance=by_distance, ties="s.target_id, s.grating"
    )
    rows, total = _page(
        reader, LISTED_SPECTRUM, "s.id", SPECTRA, where, distance, order, request, fixed=fixed
    )
    return listed_spectra(rows, fixed=fixed), total


def _programs(request: ListRequest, viewer: Viewer, *, fixed: bool) -> list[str]:
    """Return the programs to keep: of those asked for, the ones that can be read.

    The deployed service drops the filter where none is left.
    """
    wanted = [slug for slug in request.programs if slug in viewer.programs]
    return wanted if wanted or (fixed and request.programs) else sorted(viewer.programs)


def _object_gratings(where: Conditions, request: ListRequest) -> None:
    if not request.gratings:
        return
    named = "SELECT object_pk FROM object_names WHERE kind = 'gratings' AND name"
    if request.gratings_mode == "all":
        for grating in set(request.gratings):
            where.among("o.id", (grating,), inside=named)
    else:
        where.among("o.id", request.gratings, inside=named, negate=request.gratings_mode == "none")


def _about_object(
    reader: Reader, where: Conditions, request: ListRequest, viewer: Viewer, *, fixed: bool
) -> None:
    """Add the filters that both lists evaluate on the object."""
    _between(where, "o.redshift", request.redshift)
    if request.redshift_quality:
        where.among("o.redshift_quality", request.redshift_quality)
    if request.inspected_only is not None:
        where.add("o.redshift_quality > 0" if request.inspected_only else "o.redshift_quality = 0")
    if request.needs_review is not None:
        where.add(NEEDS_REVIEW if request.needs_review else f"(o.id IS NOT NULL AND NOT {NEEDS_REVIEW})")
    if request.lists:
        tags = Conditions()
        tags.among("slug", request.lists)
        if fixed:
            tags.add("(visibility <> 'private' OR created_by = ?)", viewer.account)
        ids = [pk for (pk,) in reader.values(f"SELECT id FROM tags{tags.sql}", tags.values)]
        if ids or fixed:  # the deployed service drops the filter where no tag is known
            where.among("o.id", ids, inside="SELECT object_pk FROM memberships WHERE tag_id")


def _between(where: Conditions, expression: str, interval: Interval) -> None:
    low, high = interval
    if low is not None:
        where.add(f"{expression} >= ?", low)
    if high is not None:
        where.add(f"{expression} <= ?", high)


def _pattern(search: str, *, fixed: bool) -> str:
    """Return the LIKE pattern of a substring; its own ``%`` and ``_`` stay wildcards unless fixed."""
    if fixed:
        for character in ("\\", "%", "_"):
            search = search.replace(character, f"\\{character}")
    elif (len(search) - len(search.rstrip("\\"))) % 2:
        search += "\\"  # a lone escape character at the end would escape the wildcard after it
    return f"%{search}%"


def _flags(where: Conditions, column: str, request: ListRequest, *, combine: bool) -> None:
    """Add the DQ masks: all of them, or like the deployed service the first of them."""
    terms = [
        (request.include_all, f"({column} & ?) = ?", 2),
        (request.exclude, f"({column} & ?) = 0", 1),
        (request.include_any, f"({column} & ?) <> 0", 1),
        (request.legacy_flags, f"({column} & ?) <> 0", 1),
    ]
    given = [(text, [mask] * count) for mask, text, count in terms if mask]
    for text, masks in given if combine else given[:1]:
        where.add(text, *masks)


def _cone(
    reader: Reader, where: Conditions, cone: Cone | None, ra: str, dec: str, *, fixed: bool
) -> tuple[str, list[float]]:
    """Add a cone; return the distance (degrees) as SQL with its values, NULL without a cone.

    The deployed service first cuts a box as wide in RA as in Dec, without 1/cos(dec) and without the seam at
    RA 0: what lies outside is lost.
    """
    if cone is None:
        return "NULL", []
    reader.measure_separations()
    radius = cone.radius / 3600.0
    where.add(f"abs({dec} - ?) <= ?", cone.dec, radius * (1 + 1e-12) if fixed else radius)
    if not fixed:
        where.add(f"abs({ra} - ?) <= ?", cone.ra, radius)
    where.add(f"separation({ra}, {dec}, ?, ?) <= ?", cone.ra, cone.dec, radius)
    return f"separation({ra}, {dec}, ?, ?)", [cone.ra, cone.dec]


def _order(request: ListRequest, sorts: dict[str, str], default: str, *, by_distance: bool, ties: str) -> str:
    direction = "DESC" if request.descending else "ASC"
    if request.cone is not None and (request.sort == "distance" or (by_distance and not request.descending)):
        return f"distance {direction}, {ties}"
    column = sorts.get(request.sort, sorts[default])
    if column in UNIQUE:
        return f"{column} {direction}"
    unknown = "" if column in NEVER_UNKNOWN else f"{column} IS NULL, "
    return f"{unknown}{column} {direction}, {ties}"


def _page(
    reader: Reader,
    columns: str,
    key: str,
    source: str,
    where: Conditions,
    distance: tuple[str, list[float]],
    order: str,
    request: ListRequest,
    *,
    fixed: bool,
) -> tuple[list[Row], int]:
    page = request.page if fixed else request.page.aligned()
    total = reader.scalar(f"SELECT count(*) FROM {source}{where.sql}", where.values)
    far, values = distance
    # Keys first: what is skipped then costs no more than a step along an index, or a narrow sort.
    keys = (
        f"SELECT {key} AS key, {far} AS distance FROM {source}{where.sql} ORDER BY {order} LIMIT ? OFFSET ?"
    )
    found = reader.values(keys, [*values, *where.values, page.limit, page.offset])
    chosen = Conditions()
    chosen.among(key, [pk for pk, _ in found])
    rows = {
        row["id"]: row for row in reader.rows(f"SELECT {columns} FROM {source}{chosen.sql}", chosen.values)
    }
    return [rows[pk] | {"distance": away} for pk, away in found], total
