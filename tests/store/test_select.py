"""Statement checked: a query gives exactly the rows, order and columns that its documentation says.

The reference is written from the documentation, row by row in plain Python, without code of the package.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.columns import COLUMNS, Columns, TableName, to_table
from campfire.flags import DQFlags, FlagQuery
from campfire.query import SORTS, Query, finish
from campfire.store import reading
from campfire.store.catalog import Catalog
from campfire.typing import Row

Rows = dict[str, list[Row]]


# --- the reference ------------------------------------------------------------------------------------------


def separation(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Vincenty's formula, arcseconds: another one than the package uses."""
    a1, d1, a2, d2 = map(math.radians, (ra1, dec1, ra2, dec2))
    x = math.cos(d2) * math.sin(a2 - a1)
    y = math.cos(d1) * math.sin(d2) - math.sin(d1) * math.cos(d2) * math.cos(a2 - a1)
    z = math.sin(d1) * math.sin(d2) + math.cos(d1) * math.cos(d2) * math.cos(a2 - a1)
    return math.degrees(math.atan2(math.hypot(x, y), z)) * 3600


def when(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def full_objects(rows: Rows) -> list[Row]:
    made = []
    for row in rows["objects"]:
        mine = [s for s in rows["spectra"] if s["target_id"] in row["member_target_ids"]]
        records = [p for p in rows["photometry"] if p["object_id"] == row["object_id"]]
        records.sort(key=lambda p: p["match_distance_arcsec"])
        photo_z = next((p for p in records if p["photo_z"] is not None), {})
        flags = 0
        for spectrum in mine:
            flags |= spectrum["dq_flags"]
        changed, inspected = row["last_data_change_at"], row["last_inspected_at"]
        made.append(
            row
            | {
                "observations": sorted({s["observation"] for s in mine}),
                "tags": sorted(row["lists"]),
                "member_target_ids": sorted(row["member_target_ids"]),
                "has_photometry": bool(records),
                "photo_z": photo_z.get("photo_z"),
                "photo_z_err_lo": photo_z.get("photo_z_err_lo"),
                "photo_z_err_hi": photo_z.get("photo_z_err_hi"),
                "dq_flags": flags,
                "stale": bool(changed and (not inspected or when(changed) > when(inspected))),
            }
        )
    return made


def full_spectra(rows: Rows) -> list[Row]:
    parents = full_objects(rows)
    made = []
    for row in rows["spectra"]:
        parent = next((p for p in parents if row["target_id"] in p["member_target_ids"]), None)
        of_parent = ("object_id", "redshift", "redshift_quality", "ra", "dec")
        made.append(row | {key: parent[key] if parent else None for key in of_parent} | {"parent": parent})
    return made


def holds(table: TableName, row: Row, name: str, value: Any) -> bool:
    parent = row if table == "objects" else row["parent"]
    if name == "dq_flags":
        return bool(value.matches(row["dq_flags"]))
    if name == "search":
        names = (
            [row["object_id"], *row["member_target_ids"]]
            if table == "objects"
            else [row["spectrum_id"], row["target_id"]]
        )
        return any(value.lower() in text.lower() for text in names)
    if name == "max_snr_range":
        return between(row["max_snr" if table == "objects" else "signal_to_noise"], value)
    if name in ("fields", "programs", "gratings", "observations"):
        if table == "objects":
            held = [row["field"]] if name == "fields" else row[name]
        else:
            held = [row[{"programs": "program_slug"}.get(name, name.removesuffix("s"))]]
        return bool({item.lower() for item in held} & {item.lower() for item in value})
    if parent is None:
        return False
    if name == "tags":
        return bool(set(parent["tags"]) & set(value))
    if name == "redshift_range":
        return between(parent["redshift"], value)
    if name == "redshift_quality":
        return bool(parent["redshift_quality"] in value)
    if name == "inspected_only":
        return bool(parent["redshift_quality"] > 0) is value
    if name in ("staleness", "has_photometry"):
        return bool(parent["stale" if name == "staleness" else name] is value)
    ra, dec, radius = value
    return bool(separation(ra, dec, parent["ra"], parent["dec"]) <= radius)


def between(number: float | None, bounds: tuple[float | None, float | None]) -> bool:
    low, high = bounds
    return number is not None and (low is None or number >= low) and (high is None or number <= high)


def brute_force(rows: Rows, table: TableName, options: dict[str, Any]) -> list[Row]:
    filters = {
        k: v for k, v in options.items() if k not in ("sort", "sort_dir", "limit", "offset") and v is not None
    }
    everything = full_objects(rows) if table == "objects" else full_spectra(rows)
    found = [row for row in everything if all(holds(table, row, *item) for item in filters.items())]
    cone: Any = filters.get("cone_search")
    sort = options.get("sort") or (
        "distance" if cone else "object_id" if table == "objects" else "spectrum_id"
    )
    ties = ("object_id",) if table == "objects" else ("target_id", "grating")
    found.sort(key=lambda row: [row[tie] for tie in ties])

    def key(row: Row) -> Any:
        if sort == "distance":
            # ties among spectra of one object are exact, whatever the formula's rounding
            return round(separation(cone[0], cone[1], row["ra"], row["dec"]), 7)
        return row[sort]

    known = [row for row in found if key(row) is not None]
    known.sort(key=key, reverse=options.get("sort_dir") == "desc")  # stable both ways
    if options.get("sort_dir") == "desc":  # but reverse keeps the order of ties
        known.sort(key=key, reverse=True)
    found = known + [row for row in found if key(row) is None]
    start, limit = options.get("offset", 0), options.get("limit")
    return found[start : None if limit is None else start + limit]


# --- the property -------------------------------------------------------------------------------------------

FLAGS = st.recursive(
    st.sampled_from(list(DQFlags)[:6]).map(lambda flag: flag | flag),
    lambda inner: st.one_of(
        inner.map(lambda q: ~q),
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=4,
)


def ranges(low: int, high: int) -> st.SearchStrategy[tuple[float | None, float | None]]:
    bound = st.one_of(st.none(), st.integers(low, high).map(float))

    def ordered(pair: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
        first, second = pair
        return (second, first) if first is not None and second is not None and first > second else pair

    return st.tuples(bound, bound).filter(lambda pair: pair != (None, None)).map(ordered)


def some(items: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(items), min_size=1, max_size=3)


CONES = st.one_of(
    st.tuples(
        st.sampled_from([359.9995, 0.0, 0.0004, 359.99999]), st.just(-1.0), st.sampled_from([0.5, 3.0, 9.0])
    ),
    st.tuples(st.just(40.0), st.just(62.0), st.sampled_from([1.0, 3.0, 5.0])),
    st.tuples(
        st.sampled_from([0.0, 123.0]),
        st.sampled_from([90.0, 89.9999, 89.99]),
        st.sampled_from([2.0, 10.0, 90.0]),
    ),
    st.tuples(st.floats(0, 360), st.floats(-90, 90), st.floats(1, 648_000)),
)

FILTERS = {
    "fields": some(["cosmos", "WRAP", "north", "pole"]),
    "programs": some(["ember-uds", "a_b", "axb", "GTO_WIDE"]),
    "gratings": some(["PRISM", "g140m", "G395M"]),
    "observations": some(["a_b_p1", "axb_p1", "Ember_UDS_p2"]),
    "redshift_range": ranges(0, 8),
    "redshift_quality": some([0, 1, 2, 3, 4]),
    "max_snr_range": ranges(0, 12),
    "dq_flags": FLAGS,
    "tags": some(["lrd", "blagn", "star"]),
    "inspected_only": st.booleans(),
    "staleness": st.booleans(),
    "has_photometry": st.booleans(),
    "search": st.sampled_from(["j00", "a_b", "%", "_1", "x", "PRISM", "50", "é"]),
    "cone_search": CONES,
}


@st.composite
def queries(draw: st.DrawFn) -> tuple[TableName, dict[str, Any]]:
    table: TableName = draw(st.sampled_from(["objects", "spectra"]))
    names = draw(st.lists(st.sampled_from(list(FILTERS)), unique=True, max_size=4))
    options: dict[str, Any] = {name: draw(FILTERS[name]) for name in names}
    sorts = [name for name in SORTS[table] if name != "distance" or "cone_search" in options]
    options["sort"] = draw(st.one_of(st.none(), st.sampled_from(sorts)))
    options["sort_dir"] = draw(st.sampled_from(["asc", "desc"]))
    options["limit"] = draw(st.one_of(st.none(), st.integers(0, 20)))
    options["offset"] = draw(st.sampled_from([0, 0, 1, 7]))
    return table, options


def superset(rows: Rows, table: TableName) -> Columns:
    """All rows as a remote back end would hand them to ``finish``."""
    if table == "objects":
        return Columns.from_rows("objects", full_objects(rows), extra=["dq_flags"])
    extra = ("tags", "has_photometry", "last_data_change_at", "last_inspected_at")
    blank = {"tags": [], "has_photometry": False}
    made = [row | {key: (row["parent"] or blank).get(key) for key in extra} for row in full_spectra(rows)]
    return Columns.from_rows("spectra", made, extra=extra)


def same(first: Columns, second: Columns, but: tuple[str, ...] = ()) -> None:
    assert first.names == second.names
    for name in first.names:
        if name in but:
            continue
        a, b = first[name], second[name]
        assert a.dtype == b.dtype, name
        assert type(a) is type(b), name
        assert a.tolist() == b.tolist(), name


@settings(deadline=None)
@given(drawn=queries())
def test_select_equals_brute_force(
    catalog: Catalog, rows: Rows, drawn: tuple[TableName, dict[str, Any]]
) -> None:
    table, options = drawn
    query = Query.of(table, **options)
    got = catalog.select(query)
    wanted = brute_force(rows, table, options)
    key = "object_id" if table == "objects" else "spectrum_id"
    assert got[key].tolist() == [row[key] for row in wanted]
    for spec in COLUMNS[table]:
        if spec.name != "local_path":
            assert got[spec.name].tolist() == [row.get(spec.name) for row in wanted], spec.name
    if "cone_search" in options:
        ra, dec, _ = options["cone_search"]
        expected = [separation(ra, dec, row["ra"], row["dec"]) for row in wanted]
        np.testing.assert_allclose(got["distance_arcsec"], np.array(expected, dtype=float), atol=1e-6)

    # the same cut made in numpy, as answers of the service are
    same(finish(query, superset(rows, table)), got, but=("local_path",))
    # the same as dictionaries, streamed; and counted
    assert list(catalog.iter_rows(query, chunk=7)) == list(got.rows())
    unlimited = query.replace(limit=None, offset=0)
    assert catalog.count(query) == len(catalog.select(unlimited))


@settings(deadline=None, max_examples=30)
@given(drawn=queries())
def test_large_answers_are_the_same_as_small_ones(
    catalog: Catalog, drawn: tuple[TableName, dict[str, Any]]
) -> None:
    """Packed columns and plain rows give one answer, masks and dtypes included."""
    query = Query.of(drawn[0], **drawn[1])
    plain = catalog.select(query)
    before = reading._LARGE
    reading._LARGE = 1
    try:
        same(catalog.select(query), plain)
    finally:
        reading._LARGE = before


@pytest.mark.parametrize("table", ["objects", "spectra"])
def test_empty_results_have_the_same_columns(catalog: Catalog, table: TableName) -> None:
    """The same columns, dtypes, units, descriptions and classes, also when empty."""
    full = to_table(catalog.select(Query.of(table)))
    empty = to_table(catalog.select(Query.of(table, search="no such name")))
    assert len(full) > 0
    assert len(empty) == 0
    assert full.colnames == empty.colnames == [spec.name for spec in COLUMNS[table]]
    for name in full.colnames:
        assert full[name].dtype == empty[name].dtype, name
        assert full[name].unit == empty[name].unit
        assert type(full[name]) is type(empty[name])
        assert full[name].description
    assert str(full["ra"].unit) == "deg"


def test_documented_columns_of_spectra(catalog: Catalog) -> None:
    """Client page: the returned columns of query_spectra."""
    documented = (
        "spectrum_id target_id object_id grating fits_path signal_to_noise exposure_time reduction_version"
        " redshift_auto dq_flags local_path"
    )
    assert set(documented.split()) <= set(catalog.select(Query.of("spectra")).names)


def test_local_path_is_what_is_on_disk_now(catalog: Catalog, rows: Rows) -> None:
    """``local_path`` is an absolute path where the file is there, else masked."""
    columns = catalog.select(Query.of("spectra", sort="target_id"))
    there = {row["spectrum_id"] for row in rows["spectra"][::3]}
    for name, path in zip(columns["spectrum_id"].tolist(), columns["local_path"].tolist(), strict=True):
        assert (path is not None) == (name in there)
        assert path is None or (Path(path).is_absolute() and Path(path).is_file())
    one = catalog.spectrum_row(rows["spectra"][0]["spectrum_id"])
    assert one is not None
    assert Path(one["local_path"]).is_file()


def test_one_object_with_all_that_belongs_to_it(catalog: Catalog, rows: Rows) -> None:
    """A target id finds its object; all photometric catalogues are kept, the closest first."""
    wanted = next(
        row
        for row in full_objects(rows)
        if len(row["member_target_ids"]) == 2 and row["n_spectra"] and row["has_photometry"]
    )
    for name in (wanted["object_id"], *wanted["member_target_ids"]):
        row = catalog.object_row(name)
        assert row is not None
        assert row["object_id"] == wanted["object_id"]
        assert len(catalog.spectra_of(name)) == wanted["n_spectra"]
    records = catalog.photometry_of(wanted["object_id"])
    distances = [record["match_distance_arcsec"] for record in records]
    assert distances == sorted(distances)
    assert records[0]["photometry"]["bands"]["f444w"]["flux"] == 1.5
    assert catalog.tags_of(wanted["object_id"]) == wanted["tags"]
    assert catalog.object_row("nothing") is None
    assert catalog.spectrum_row("nothing") is None


def test_an_iterator_can_be_left_early(catalog: Catalog) -> None:
    """Leaving an iterator early neither loads everything nor keeps the catalogue busy."""
    iterator = catalog.iter_rows(Query.of("spectra"), chunk=2)
    first = next(iterator)
    assert first["spectrum_id"]
    assert not catalog.execute("SELECT 1").connection.in_transaction
    iterator.close()  # type: ignore[attr-defined]


def test_vocabulary(catalog: Catalog) -> None:
    """Names in any case; program numbers; what is unknown is an error that names what is near."""
    vocabulary = catalog.vocabulary()
    query = Query.of("objects", programs=["EMBER-UDS", 1001], fields=["COSMOS"]).resolved(vocabulary)
    assert query.get("programs") == ("a_b", "ember-uds")
    with pytest.raises(ValueError, match="did you mean 'ember-uds'"):
        Query.of("objects", programs=["ember-ud"]).resolved(vocabulary)
    for name, value in {"fields": "cosmo", "gratings": "PRISMA", "observations": "q", "tags": "lrds"}.items():
        with pytest.raises(ValueError, match="unknown"):
            Query.of("spectra", **{name: [value]}).resolved(vocabulary)  # type: ignore[arg-type]


def test_flag_query_type() -> None:
    """The strategy above draws flag queries, not integers."""
    assert isinstance(DQFlags.LOW_SNR | DQFlags.LOW_SNR, FlagQuery)


def test_long_and_foreign_names_are_never_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text wider than usual widens its column, packed or not, to what the rows of the answer need."""
    names = ["J1", "J2_" + "x" * 60, "J3_é日", "J4"]
    with Catalog(tmp_path / "meta" / "campfire.db") as catalog:
        with catalog.write(pack=True) as writer:
            writer.put_objects(
                {
                    "object_id": name,
                    "field": "uds",
                    "ra": 1.0 + n,
                    "dec": 2.0,
                    "programs": ["ä"],
                    "version": n,
                }
                for n, name in enumerate(names)
            )
        for text in (None, "J4", "J2", "é", "J3"):
            query = Query.of("objects", search=text)
            monkeypatch.setattr(reading, "_LARGE", 1000)
            plain = catalog.select(query)
            monkeypatch.setattr(reading, "_LARGE", 1)
            same(catalog.select(query), plain)
            assert set(plain["object_id"].tolist()) <= set(names)
            assert plain["programs"].tolist()[0] == ["ä"]
        assert catalog.select(Query.of("objects"))["object_id"].dtype == "U63"
        assert catalog.select(Query.of("objects", search="J4"))["object_id"].dtype == "U32"
