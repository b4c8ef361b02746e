"""Statements checked: what is sent to the service never loses a row, and reads back as the same query."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.columns import TableName
from campfire.flags import DQFlags, FlagQuery
from campfire.query import Query, implied_masks
from campfire.query.url_params import WIRE_SORTS

LEAVES = st.one_of(
    st.sampled_from(list(DQFlags)).map(lambda flag: flag | flag),
    st.integers(1, 511).map(lambda mask: FlagQuery("any", mask)),
    st.integers(1, 511).map(lambda mask: FlagQuery("all", mask)),
)
FLAGS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda q: ~q),
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=5,
)
ALL_MASKS = np.arange(512)


@given(query=FLAGS)
def test_implied_masks_are_implied(query: FlagQuery) -> None:
    """Whatever satisfies an expression satisfies every mask said to follow from it; a leaf is the same."""
    good = query.matches(ALL_MASKS)
    masks = implied_masks(query)
    if masks.include_all:
        assert (good <= ((ALL_MASKS & masks.include_all) == masks.include_all)).all()
    if masks.include_any:
        assert (good <= ((ALL_MASKS & masks.include_any) != 0)).all()
    if masks.exclude:
        assert (good <= ((ALL_MASKS & masks.exclude) == 0)).all()
    if masks.leaf is not None:
        assert (masks.leaf.matches(ALL_MASKS) == good).all()


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        (~DQFlags.CONTAMINATION & ~DQFlags.LOW_SNR, {"dq_flags_exclude": "34"}),
        (~(DQFlags.CONTAMINATION | DQFlags.LOW_SNR), {"dq_flags_exclude": "34"}),
        (DQFlags.CHIP_GAP & DQFlags.LOW_SNR, {"dq_flags_include_all": "33"}),
        (DQFlags.CHIP_GAP | DQFlags.LOW_SNR, {"dq_flags_include_any": "33"}),
        (DQFlags.CHIP_GAP & ~DQFlags.LOW_SNR, {"dq_flags_include_all": "1"}),
        ((DQFlags.CHIP_GAP | DQFlags.LOW_SNR) & ~DQFlags.CONTAMINATION, {"dq_flags_include_any": "33"}),
        (~DQFlags.CHIP_GAP | DQFlags.LOW_SNR, {}),
        (3, {"dq_flags_include_any": "3"}),
        ("low_snr", {"dq_flags_include_all": "32"}),
    ],
)
def test_the_most_selective_single_mask_is_sent(query: Any, sent: dict[str, str]) -> None:
    """The service applies one mask only, and none on objects."""
    (params,) = Query.of("spectra", dq_flags=query).to_params()
    assert {key: value for key, value in params.items() if key.startswith("dq_flags")} == sent
    (params,) = Query.of("objects", dq_flags=query).to_params()
    assert not [key for key in params if key.startswith("dq_flags")]


NAMES = st.lists(st.sampled_from(["cosmos", "ember-uds", "a_b", "x"]), min_size=1, max_size=3)
NUMBERS = st.floats(-1e6, 1e6)
RANGES = st.one_of(
    st.tuples(NUMBERS, st.none()),
    st.tuples(st.none(), NUMBERS),
    st.tuples(NUMBERS, NUMBERS).map(sorted).map(tuple),
)


@st.composite
def expressible(draw: st.DrawFn) -> Query:
    """Queries that the wire can express in full."""
    table: TableName = draw(st.sampled_from(["objects", "spectra"]))
    strategies: dict[str, st.SearchStrategy[Any]] = {
        "fields": NAMES,
        "programs": NAMES,
        "gratings": NAMES,
        "observations": NAMES,
        "tags": NAMES,
        "redshift_range": RANGES,
        "max_snr_range": RANGES,
        "redshift_quality": st.lists(st.integers(0, 4), min_size=1),
        "inspected_only": st.booleans(),
        "has_photometry": st.booleans(),
        "search": st.text("aJ+-.1 ,&=é", min_size=1).filter(lambda text: text == text.strip()),
    }
    if table == "spectra":
        strategies["dq_flags"] = LEAVES
    names = draw(st.lists(st.sampled_from(list(strategies)), unique=True))
    options: dict[str, Any] = {name: draw(strategies[name]) for name in names}
    options["sort"] = draw(st.sampled_from([name for name in WIRE_SORTS[table] if name != "distance"]))
    options["sort_dir"] = draw(st.sampled_from(["asc", "desc"]))
    options["limit"] = draw(st.one_of(st.none(), st.integers(0, 5000)))
    options["offset"] = draw(st.integers(0, 5000))
    return Query.of(table, **options)


@given(query=expressible())
def test_parameters_read_back_as_the_query(query: Query) -> None:
    """from_params(to_params(q)) == q for queries the wire can express."""
    (params,) = query.to_params()
    assert not query.inexact
    assert Query.from_params(query.table, params) == query


@pytest.mark.parametrize("search", ["a_b", "50%", "back\\slash", " x"])
def test_wildcards_are_not_sent(search: str) -> None:
    """The service takes % and _ for wildcards; without the parameter it answers with a superset."""
    query = Query.of("objects", search=search, limit=3)
    assert query.inexact == {"search"}
    assert query.to_params() == [{"sort": "object_id", "sort_dir": "asc"}]


def _separation(ra1: float, dec1: float, ra2: Any, dec2: Any) -> Any:
    a1, d1, a2, d2 = map(np.radians, (ra1, dec1, ra2, dec2))
    h = np.sin((d2 - d1) / 2) ** 2 + np.cos(d1) * np.cos(d2) * np.sin((a2 - a1) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(h, 0, 1))))


@settings(deadline=None)
@given(
    ra=st.one_of(st.floats(0, 360), st.sampled_from([0.0, 1e-5, 359.99999, 180.0])),
    dec=st.one_of(st.floats(-90, 90), st.sampled_from([62.0, 89.99, -90.0, 0.0])),
    radius=st.one_of(st.floats(0.1, 648_000), st.sampled_from([1.0, 30.0, 3600.0])),
    seed=st.integers(0, 9),
)
def test_padded_cones_hold_the_cone(ra: float, dec: float, radius: float, seed: int) -> None:
    """The service clips at |delta RA| <= radius, without 1/cos(dec) or wrap: what is asked for holds all."""
    rng = np.random.default_rng(seed)
    # positions in and around the cone, dense towards its rim
    angle = np.radians(radius / 3600 * np.sqrt(rng.uniform(0.0, 1.0, 300)))
    turn = rng.uniform(0, 2 * np.pi, 300)
    d0 = math.radians(dec)
    lat = np.arcsin(np.clip(np.sin(d0) * np.cos(angle) + np.cos(d0) * np.sin(angle) * np.cos(turn), -1, 1))
    lon = math.radians(ra) + np.arctan2(
        np.sin(turn) * np.sin(angle) * np.cos(d0), np.cos(angle) - np.sin(d0) * np.sin(lat)
    )
    ras, decs = np.degrees(lon) % 360, np.degrees(lat)
    inside = _separation(ra, dec, ras, decs) * 3600 <= radius
    query = Query.of("objects", cone_search=(ra, dec, radius))
    answered = np.zeros(len(ras), dtype=bool)
    requests = query.to_params()
    assert 1 <= len(requests) <= 2
    for params in requests:
        if "ra" not in params:
            answered[:] = True
            continue
        ra0, dec0, extent = (float(params[key]) for key in ("ra", "dec", "radius"))
        assert 0 <= ra0 <= 360
        box = np.abs(ras - ra0) <= extent / 3600
        answered |= box & (_separation(ra0, dec0, ras, decs) <= extent / 3600)
    assert not (inside & ~answered).any()
    assert "cone_search" in query.inexact


def test_reading_is_as_lenient_as_the_service() -> None:
    """What does not parse is no filter; one mask is applied; a cone alone is ordered by distance."""
    params = {
        "redshift_min": "four",
        "redshift_quality": "3,secure,4",
        "gratings": " PRISM ,",
        "fields": ",",
        "inspected_only": "yes",
        "dq_flags_include_all": "2",
        "dq_flags_exclude": "32",
        "ra": "10",
        "dec": "20",
        "sort": "nonsense",
        "sort_dir": "DESC",
    }
    query = Query.from_params("spectra", params)
    assert {c.name: c.value for c in query.where} == {
        "redshift_quality": (3, 4),
        "gratings": ("PRISM",),
        "inspected_only": False,
        "dq_flags": FlagQuery("all", 2),
    }
    assert (query.sort, query.sort_dir) == ("spectrum_id", "asc")
    cone = params | {"radius": "5"}
    assert Query.from_params("spectra", cone).sort == "distance"
    assert Query.from_params("objects", {"dq_flags": "2"}).where == ()
    both = Query.from_params("spectra", params, fixed=True).get("dq_flags")
    assert [mask for mask in range(64) if both.matches(mask)] == [
        m for m in range(64) if m & 2 and not m & 32
    ]


def test_grating_modes_of_the_wire() -> None:
    """``gratings_mode`` acts on objects only."""
    params = {"gratings": "PRISM,G395M", "gratings_mode": "all"}
    assert Query.from_params("objects", params).get("gratings_all") == ("G395M", "PRISM")
    assert Query.from_params("spectra", params).get("gratings") == ("G395M", "PRISM")
    params["gratings_mode"] = "none"
    assert Query.from_params("objects", params).get("gratings_none") == ("G395M", "PRISM")
