"""Statement: the service and the local catalogue answer alike: same rows, order, columns and dtypes.

The archive has every trap on: RA 0, dec 62 and the pole, nulls, slugs alike but for a wildcard, private tags.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campfire.access.remote import RemoteCatalogue
from campfire.archive.simulate.bulk_catalogue import make_catalogue
from campfire.client import Campfire
from campfire.errors import CampfireWarning, NotFoundError, ValidationError
from campfire.flags import DQFlags, FlagQuery
from campfire.query import SORTS
from campfire.testing import served

NOT_SENT = {"reduction_version", "photo_z_err_lo", "photo_z_err_hi", "updated_at"}
PAGE = 37


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campfire]:
    root = tmp_path_factory.mktemp("archive")
    make_catalogue(root, objects=120, seed=11)
    with served(root) as url, Campfire(url, tmp_path_factory.mktemp("mirror"), token="any") as cf:
        cf.sync()
        context = cf._context
        context._remote = RemoteCatalogue(context.api(), context._locate, page=PAGE)
        yield cf


def assert_same(local: Any, remote: Any) -> None:
    assert local.colnames == remote.colnames
    assert len(local) == len(remote)
    for name in local.colnames:
        mine, other = local[name], remote[name]
        assert type(mine) is type(other), name
        assert mine.unit == other.unit, name
        if name in NOT_SENT:
            assert bool(np.all(other.mask)), name
            continue
        assert mine.dtype == other.dtype, name
        assert np.array_equal(np.ma.getmaskarray(mine), np.ma.getmaskarray(other)), name
        kept = ~np.ma.getmaskarray(mine)
        assert np.ma.getdata(mine)[kept].tolist() == np.ma.getdata(other)[kept].tolist(), name


@st.composite
def flags(draw: st.DrawFn) -> FlagQuery:
    leaf = st.sampled_from(list(DQFlags)).map(lambda f: f | f)
    tree = st.recursive(
        leaf,
        lambda inner: st.one_of(
            inner.map(lambda q: ~q),
            st.tuples(inner, inner).map(lambda p: p[0] & p[1]),
            st.tuples(inner, inner).map(lambda p: p[0] | p[1]),
        ),
        max_leaves=4,
    )
    query: FlagQuery = draw(tree)
    return query


def ranges(low: float, high: float) -> st.SearchStrategy[tuple[float | None, float | None]]:
    bound = st.one_of(st.none(), st.floats(low, high))
    pair = st.tuples(bound, bound).filter(lambda p: p != (None, None))
    return pair.map(lambda p: (p[1], p[0]) if None not in p and p[0] > p[1] else p)  # type: ignore[operator]


def filters(data: st.DataObject, cf: Campfire, positions: list[tuple[float, float]]) -> dict[str, Any]:
    words = cf._context.needed_catalog("test").vocabulary()

    def some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
        return st.lists(st.sampled_from(names), min_size=1, max_size=3)

    cone = st.tuples(
        st.sampled_from(positions),
        st.sampled_from([1.0, 60.0, 600.0, 3000.0, 40000.0]),
        st.floats(-0.02, 0.02),
    ).map(lambda c: ((c[0][0] + c[2]) % 360, c[0][1], c[1]))
    search = st.sampled_from(["J", "1_", "%", "_prism", "EMBER", "+", "0", "zz"])
    choices: dict[str, st.SearchStrategy[Any]] = {
        "fields": some(words.fields).map(lambda names: [n.upper() for n in names]),
        "programs": some(words.programs),
        "gratings": some(words.gratings).map(lambda names: [n.lower() for n in names]),
        "observations": some(words.observations),
        "tags": some(words.tags),
        "redshift_range": ranges(0, 10),
        "max_snr_range": ranges(0, 60),
        "redshift_quality": st.lists(st.integers(0, 4), min_size=1, max_size=3),
        "inspected_only": st.booleans(),
        "staleness": st.booleans(),
        "has_photometry": st.booleans(),
        "search": search,
        "cone_search": cone,
        "dq_flags": flags(),
    }
    names = data.draw(st.lists(st.sampled_from(sorted(choices)), max_size=3, unique=True), label="filters")
    return {name: data.draw(choices[name], label=name) for name in names}


def order(data: st.DataObject, table: str, options: dict[str, Any]) -> dict[str, Any]:
    sorts = [name for name in SORTS[table] if name != "distance" or "cone_search" in options]  # type: ignore[index]
    more: dict[str, Any] = {}
    if data.draw(st.booleans(), label="ordered"):
        more["sort"] = data.draw(st.sampled_from(sorts), label="sort")
        more["sort_dir"] = data.draw(st.sampled_from(["asc", "desc"]), label="sort_dir")
    if data.draw(st.booleans(), label="cut"):
        more["limit"] = data.draw(st.integers(0, 90), label="limit")
        more["offset"] = data.draw(st.integers(0, 90), label="offset")
    return more


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@pytest.mark.parametrize("table", ["objects", "spectra"])
@given(data=st.data())
def test_remote_equals_local(client: Campfire, table: str, data: st.DataObject) -> None:
    rows = client.query_objects()
    positions = [(float(r["ra"]), float(r["dec"])) for r in rows[:: max(1, len(rows) // 25)]]
    options = filters(data, client, positions)
    options |= order(data, table, options)
    query = client.query_objects if table == "objects" else client.query_spectra
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CampfireWarning)
        local, remote = query(**options), query(remote=True, **options)
    assert_same(local, remote)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=15)
@pytest.mark.parametrize("table", ["objects", "spectra"])
@given(data=st.data())
def test_iterators_equal_queries(client: Campfire, table: str, data: st.DataObject) -> None:
    options = filters(data, client, [(0.001, 0.8), (34.4, -5.2)])
    options |= order(data, table, options)
    query = client.query_objects if table == "objects" else client.query_spectra
    iterate = client.iter_objects if table == "objects" else client.iter_spectra
    name = "object_id" if table == "objects" else "spectrum_id"
    expected = [str(n) for n in query(**options)[name]]
    local, remote = list(iterate(**options)), list(iterate(remote=True, **options))
    assert [row[name] for row in local] == expected
    assert [row[name] for row in remote] == expected
    for mine, other in zip(local, remote, strict=True):
        assert list(mine) == list(other)
        assert {k: v for k, v in mine.items() if k not in NOT_SENT} == {
            k: v for k, v in other.items() if k not in NOT_SENT
        }


def test_every_object_and_spectrum_alike(client: Campfire) -> None:
    """Statement: get_object and get_spectrum answer alike, by object id and by target id."""
    for row in list(client.iter_objects(limit=120))[::12]:
        mine, other = client.get_object(row["object_id"]), client.get_object(row["object_id"], remote=True)
        assert mine is not None
        assert other is not None
        assert repr(mine) == repr(other)
        by_target = client.get_object(row["member_target_ids"][0], remote=True)
        assert by_target is not None
        assert by_target.object_id == mine.object_id
        assert [p.catalog for p in mine.photometries] == [p.catalog for p in other.photometries]
        for spectrum in mine.spectra[:1]:
            local = client.get_spectrum(spectrum.spectrum_id)
            remote = client.get_spectrum(spectrum.spectrum_id, remote=True)
            assert local is not None
            assert remote is not None
            assert {k: v for k, v in local.items() if k not in NOT_SENT} == {
                k: v for k, v in remote.items() if k not in NOT_SENT
            }
    for remote_too in (False, True):
        assert client.get_object("nobody", remote=remote_too) is None
        assert client.get_spectrum("nobody", remote=remote_too) is None


@pytest.mark.parametrize("synced", [True, False])
def test_an_id_of_the_other_kind_is_said_to_be_one(client: Campfire, synced: bool, tmp_path: Path) -> None:
    """The id of an object where a spectrum is wanted, and the reverse: the message has the id that works."""
    row = next(row for row in client.iter_spectra(limit=1))
    spectrum_id, object_id = str(row["spectrum_id"]), str(row["object_id"])
    obj = client.get_object(object_id)
    assert obj is not None
    ids = [spectrum.spectrum_id for spectrum in obj.spectra]
    with nullcontext(client) if synced else Campfire(client.base_url, tmp_path, token="any") as cf:
        with pytest.raises(
            ValidationError, match="is a spectrum, not an object .*" + re.escape(repr(object_id))
        ):
            cf.get_object(spectrum_id)
        for name in (object_id, str(row["target_id"])):
            for ask in (cf.open_spectrum, cf.get_spectrum_data, cf.get_redshift_fit_data):
                with pytest.raises(
                    NotFoundError, match=re.escape(f"{name!r} is an object, not a spectrum")
                ) as error:
                    ask(name)
                assert all(repr(known) in str(error.value) for known in ids[:3])
        with pytest.raises(NotFoundError, match="no spectrum 'nobody'"):
            cf.open_spectrum("nobody")


def test_metadata_alike(client: Campfire) -> None:
    assert client.get_metadata() == client.get_metadata(remote=True)
    for name in ("get_tags", "get_programs"):
        local, remote = getattr(client, name)(), getattr(client, name)(remote=True)
        assert local.colnames == remote.colnames
        assert [tuple(row) for row in local] == [tuple(row) for row in remote]
        assert [column.dtype for column in local.columns.values()] == [
            column.dtype for column in remote.columns.values()
        ]


def test_truncation_warns(client: Campfire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement: a remote query without limit= that leaves rows out says so; with limit= it does not."""
    monkeypatch.setattr("campfire.access.queries.REMOTE_LIMIT", 20)
    with pytest.warns(CampfireWarning, match="100 more match"):
        assert len(client.query_objects(remote=True)) == 20
    assert len(client.query_objects(remote=True, limit=20)) == 20
    assert len(list(client.iter_objects(remote=True))) == 120


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"fields": ["cosmoss"]}, "cosmos"),
        ({"gratings": ["PRSM"]}, "PRISM"),
        ({"programs": ["ember_udz"]}, "ember"),
        ({"tags": ["lrdd"]}, "lrd"),
        ({"observations": ["nope"]}, "known"),
        ({"grating": ["PRISM"]}, "gratings"),
        ({"sort": "redshif"}, "redshift"),
        ({"fields": []}, "leave fields out"),
        ({"redshift_range": (4, 1)}, "write"),
        ({"cone_search": (float("nan"), 0, 1)}, "finite"),
    ],
)
def test_unknown_names_have_near_matches(
    client: Campfire, options: dict[str, Any], hint: str, remote: bool
) -> None:
    with pytest.raises(ValidationError) as caught:
        client.iter_objects(remote=remote, **options)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("remote", [False, True])
def test_program_numbers(client: Campfire, remote: bool) -> None:
    """Statement: an integer program is the JWST program number, where it is known."""
    catalog = client._context.needed_catalog("test")
    number, slugs = next(iter(catalog.vocabulary().jwst_programs.items()))
    by_number = client.query_spectra(programs=[int(number)], remote=remote)
    assert len(by_number)
    assert set(by_number["program_slug"]) == set(slugs)
