"""Statements checked: every faulty behaviour of the deployed service is there, and gone when fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Get = Callable[..., Any]
FLAGS = {31: 0, 32: 1, 33: 3, 34: 32, 35: 2, 36: 35, 37: 0, 38: 64, 39: 0, 40: 0}
EVERY_OBJECT = list(range(7, 14))
MAIN, NORTH = "J100001.23+021500.4", "J123640.00+620000.0"


@pytest.fixture
def ids(ask: Get) -> Callable[..., list[int]]:
    """Integer ids of the rows an answer holds, in its order."""

    def get(path: str, mode: str, /, **params: Any) -> list[int]:
        answer = ask(path, mode, **params)
        assert answer.status_code == 200
        return [row["id"] for row in answer.json()["data"]]

    return get


Ids = Callable[..., list[int]]


@pytest.mark.parametrize("path", ["/objects", "/spectra/list"])
def test_offsets_are_aligned_to_pages(ids: Ids, path: str) -> None:
    everything = ids(path, "traps")
    for offset in range(len(everything) + 2):
        page = offset // 3 * 3
        assert ids(path, "traps", limit=3, offset=offset) == everything[page : page + 3]
        assert ids(path, "fixed", limit=3, offset=offset) == everything[offset : offset + 3]


def test_pagination_repeats_the_request(ask: Get) -> None:
    body = ask("/objects", limit=3, offset=4).json()
    assert body["pagination"] == {"total": 7, "limit": 3, "offset": 4}
    assert ask("/objects", limit=0, offset=5).json()["data"] == []
    odd = ask("/objects", limit="many", offset="-1").json()["pagination"]
    assert odd == {"total": 7, "limit": 1000, "offset": 0}


@pytest.mark.parametrize("path", ["/sync/objects", "/sync/spectra", "/sync/photometry"])
@pytest.mark.parametrize("mode", ["traps", "fixed"])
def test_sync_offsets_are_true(ids: Ids, path: str, mode: str) -> None:
    everything = ids(path, mode)
    for offset in range(len(everything) + 1):
        assert ids(path, mode, limit=2, offset=offset) == everything[offset : offset + 2]


@pytest.mark.parametrize("path", ["/objects", "/spectra/list"])
@pytest.mark.parametrize("name", ["programs", "lists"])
def test_unknown_slugs_drop_the_filter(ids: Ids, path: str, name: str) -> None:
    everything = ids(path, "traps")
    assert ids(path, "traps", **{name: "nothing,DEMO-SURVEY,LRD"}) == everything
    assert ids(path, "fixed", **{name: "nothing,DEMO-SURVEY,LRD"}) == []


@pytest.mark.parametrize("mode", ["traps", "fixed"])
def test_known_slugs_beside_unknown_ones_filter(ids: Ids, mode: str) -> None:
    assert sorted(ids("/objects", mode, programs="secret_gto, nothing,")) == [7, 10]
    assert sorted(ids("/objects", mode, lists="lrd,nothing")) == [7, 10]
    assert sorted(ids("/spectra/list", mode, lists="everyone")) == [37]
    assert sorted(ids("/objects", mode, programs=" , ")) == EVERY_OBJECT


def test_private_tags_of_others_are_seen_and_filter(ask: Get, ids: Ids) -> None:
    shown = {
        mode: [tag["slug"] for row in ask("/objects", mode).json()["data"] for tag in row["lists"]]
        for mode in ("traps", "fixed")
    }
    assert "a-mine" in shown["traps"]
    assert "a-mine" not in shown["fixed"]
    assert ids("/objects", "traps", lists="a-mine") == [7]
    assert ids("/objects", "fixed", lists="a-mine") == []
    for mode in ("traps", "fixed"):
        assert "a-mine" not in [row["slug"] for row in ask("/sync/lists", mode).json()["data"]]


def _expected(include_all: int, exclude: int, include_any: int, legacy: int, *, combine: bool) -> list[int]:
    tests: list[tuple[int, Callable[[int], bool]]] = [
        (include_all, lambda f: f & include_all == include_all),
        (exclude, lambda f: f & exclude == 0),
        (include_any, lambda f: f & include_any != 0),
        (legacy, lambda f: f & legacy != 0),
    ]
    given = [test for mask, test in tests if mask]
    used: Iterable[Callable[[int], bool]] = given if combine else given[:1]
    return sorted(pk for pk, flags in FLAGS.items() if all(test(flags) for test in used))


@pytest.mark.parametrize(
    "masks", [(3, 0, 0, 0), (1, 2, 0, 0), (0, 32, 3, 0), (0, 0, 2, 1), (0, 0, 0, 64), (1, 0, 32, 2)]
)
def test_one_dq_mask_wins(ids: Ids, masks: tuple[int, int, int, int]) -> None:
    names = ("dq_flags_include_all", "dq_flags_exclude", "dq_flags_include_any", "dq_flags")
    params = {name: mask for name, mask in zip(names, masks, strict=True) if mask}
    for mode in ("traps", "fixed"):
        found = sorted(ids("/spectra/list", mode, **params))
        assert found == _expected(*masks, combine=mode == "fixed")


def test_dq_is_ignored_on_objects(ids: Ids) -> None:
    assert sorted(ids("/objects", "traps", dq_flags_include_any=1)) == EVERY_OBJECT
    assert sorted(ids("/objects", "fixed", dq_flags_include_any=1)) == [7, 10]
    assert sorted(ids("/objects", "fixed", dq_flags_exclude=1)) == [8, 9, 11, 12, 13]


def test_parent_object_id(ask: Get) -> None:
    trap = ask("/spectra/list", limit=1).json()["data"][0]
    fixed = ask("/spectra/list", "fixed", limit=1).json()["data"][0]
    assert "object_id" not in trap
    assert fixed["object_id"] == fixed["parent_object_id"] == trap["parent_object_id"]


def test_sync_rows_have_no_observations(ask: Get) -> None:
    assert all("observations" not in row for row in ask("/sync/objects").json()["data"])
    fixed = {row["id"]: row["observations"] for row in ask("/sync/objects", "fixed").json()["data"]}
    assert fixed[7] == ["demo_p1", "demo_p2"]


def test_cone_does_not_cross_zero(ids: Ids) -> None:
    cone = {"ra": 0.0, "dec": 0.0, "radius": 1.0}
    assert ids("/objects", "traps", **cone) == [12]
    assert sorted(ids("/objects", "fixed", **cone)) == [11, 12]
    assert ids("/spectra/list", "traps", **cone) == [38]
    assert sorted(ids("/spectra/list", "fixed", **cone)) == [37, 38]


def test_cone_is_clipped_in_ra_at_high_declination(ids: Ids) -> None:
    # 4.2 arcsec away on the sky, but 9 arcsec of RA.
    cone = {"ra": 189.16667 + 9.0 / 3600, "dec": 62.0, "radius": 5.0}
    assert ids("/objects", "traps", **cone) == []
    assert ids("/objects", "fixed", **cone) == [13]
    assert ids("/objects", "traps", **cone | {"radius": 9.5}) == [13]


@pytest.mark.parametrize("mode", ["traps", "fixed"])
def test_cone_distance_and_order(ask: Get, mode: str) -> None:
    params = {"ra": 150.00512, "dec": 2.25011, "radius": 300}
    rows = ask("/objects", mode, **params).json()["data"]
    distances = [row["distance"] for row in rows]
    assert rows[0]["object_id"] == MAIN
    assert distances == sorted(distances)
    assert all(distance <= 300 / 3600 for distance in distances)
    assert distances[1] == pytest.approx(math.hypot(1e-5, 0.00019), rel=1e-3)
    backwards = ask("/objects", mode, **params, sort="distance", sort_dir="desc").json()["data"]
    assert [row["id"] for row in backwards] == [row["id"] for row in rows][::-1]
    by_z = ask("/objects", mode, **params, sort="redshift", sort_dir="desc").json()["data"]
    assert [row["redshift"] for row in by_z] == [8.0, 4.25, 0.5, None]


@pytest.mark.parametrize("missing", ["ra", "dec", "radius"])
def test_a_cone_needs_all_three_numbers(ids: Ids, missing: str) -> None:
    cone = {"ra": "10", "dec": "10", "radius": "1"}
    assert ids("/objects", "traps", **cone) == []
    assert sorted(ids("/objects", "traps", **{k: v for k, v in cone.items() if k != missing})) == EVERY_OBJECT
    assert sorted(ids("/objects", "traps", **cone | {missing: "nan"})) == EVERY_OBJECT


@pytest.mark.parametrize(
    ("text", "traps", "fixed"),
    [
        ("demo_p1", [7, 8, 9], [7, 8, 9]),
        ("demo-p1", [], []),
        ("d_mo_p_", [7, 8, 9, 10], []),
        ("p%1", [7, 8, 9, 10, 11, 12, 13], []),
        ("%", EVERY_OBJECT, []),
        ("j100001", [7, 8], [7, 8]),
        ("\\", [], []),  # escapes the wildcard after it, and no name has a %
        ("+0215", [7, 8, 9, 10], [7, 8, 9, 10]),
    ],
)
def test_search_has_wildcards(ids: Ids, text: str, traps: list[int], fixed: list[int]) -> None:
    assert sorted(ids("/objects", "traps", search=text)) == traps
    assert sorted(ids("/objects", "fixed", search=text)) == fixed


def test_search_of_spectra_looks_at_spectrum_and_target(ids: Ids) -> None:
    assert sorted(ids("/spectra/list", "traps", search="G395M")) == [32]
    assert sorted(ids("/spectra/list", "traps", search="demo_p2_1")) == [33, 36]
    assert ids("/spectra/list", "fixed", search="J100001") == []


def test_redshift_fit_does_not_know_spectrum_ids(ask: Get) -> None:
    assert ask("/redshift-fit", spectrum_id="demo_p1_prism_clear_11").status_code == 400
    assert ask("/redshift-fit", "fixed", spectrum_id="demo_p1_prism_clear_11").json()["redshift"] == 4.3


def test_metadata_lists_are_everybodys(ask: Get) -> None:
    plain = ask("/metadata", who="plain").json()
    assert [row["slug"] for row in plain["programs"]] == ["demo-survey"]
    assert "demo_p2" in plain["observations"]
    fixed = ask("/metadata", "fixed", "plain")
    assert "demo_p2" not in fixed.json()["observations"]
    assert fixed.headers["cache-control"].startswith("private")


@pytest.mark.parametrize("path", ["/sync/objects", "/sync/spectra", "/sync/photometry"])
def test_updated_since_is_strict(ask: Get, path: str) -> None:
    stamps = [row["updated_at"] for row in ask(path).json()["data"]]
    latest = "2026-02-01T10:00:00.5+00:00"
    assert latest in stamps
    for text in (
        latest,
        "2026-02-01T10:00:00.500000Z",
        "2026-02-01T10:00:00.5",
        "2026-02-01T12:00:00.50+02:00",
    ):
        assert ask(path, updated_since=text).json()["data"] == []
        assert len(ask(path, "fixed", updated_since=text).json()["data"]) == stamps.count(latest)
    body = ask(path, updated_since="2026-01-01T00:00:00+00:00").json()
    assert body["pagination"]["total"] == len(body["data"]) == stamps.count(latest)
    if path != "/sync/photometry":
        assert body["total_accessible_count"] == len(stamps)


@pytest.mark.parametrize("path", ["/sync/objects", "/sync/spectra"])
def test_counting_is_skipped_for_exactly_false(ask: Get, path: str) -> None:
    body = ask(path, include_counts="false").json()
    assert (body["pagination"]["total"], body["total_accessible_count"]) == (0, 0)
    assert ask(path, include_counts="False").json()["total_accessible_count"] == len(body["data"])


@pytest.mark.parametrize("mode", ["traps", "fixed"])
@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"fields": "cosmos"}, [7, 8, 9, 10]),
        ({"fields": "COSMOS"}, []),
        ({"gratings": "prism"}, []),
        ({"gratings": "G395M,G140H"}, [7, 9]),
        ({"gratings": "G395M,PRISM", "gratings_mode": "all"}, [7]),
        ({"gratings": "PRISM", "gratings_mode": "none"}, [9]),
        ({"observations": "demo_p2"}, [7, 10]),
        ({"observations": "Demo_p2"}, []),
        ({"redshift_min": "1", "redshift_max": "4.25"}, [7, 11, 12, 13]),
        ({"redshift_min": "four"}, EVERY_OBJECT),
        ({"redshift_quality": "4, 1,x"}, [7, 8]),
        ({"redshift_quality": "x"}, EVERY_OBJECT),
        ({"inspected_only": "TRUE"}, [7, 8, 9, 11, 12]),
        ({"inspected_only": "false"}, [10, 13]),
        ({"inspected_only": "maybe"}, [10, 13]),
        ({"needs_review": "true"}, [9, 11]),
        ({"needs_review": "false"}, [7, 8, 10, 12, 13]),
        ({"has_photometry": "true"}, [7, 10]),
        ({"has_photometry": "no"}, [8, 9, 11, 12, 13]),
        ({"max_snr_min": "5", "max_snr_max": "7"}, [8, 10]),
        ({"max_exposure_time_max": "4000"}, [7, 8]),
        ({"photo_z_min": "4"}, [7]),
    ],
)
def test_filters_of_objects(ids: Ids, mode: str, params: dict[str, str], found: list[int]) -> None:

    assert sorted(ids("/objects", mode, **params)) == sorted(found)


def test_ranges_of_spectra_are_their_own(ids: Ids) -> None:
    assert ids("/spectra/list", "traps", max_snr_max="2.5") == [31]
    assert sorted(ids("/spectra/list", "traps", max_exposure_time_min="9000")) == [39, 40]
    assert sorted(ids("/spectra/list", "traps", gratings="PRISM", gratings_mode="none")) == sorted(
        ids("/spectra/list", "traps", gratings="PRISM")
    )


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        *(
            (name, name)
            for name in ("ra", "dec", "redshift", "redshift_quality", "field", "n_targets", "n_spectra")
        ),
        *((name, name) for name in ("max_snr", "max_exposure_time", "photo_z", "object_id")),
        ("nonsense", "object_id"),
        ("distance", "object_id"),
        ("updated_at", "object_id"),
    ],
)
@pytest.mark.parametrize("direction", ["asc", "desc", "DESC"])
def test_sorting_of_objects(ask: Get, sort: str, key: str, direction: str) -> None:
    rows = ask("/objects", sort=sort, sort_dir=direction).json()["data"]
    known = [row for row in rows if row[key] is not None]
    assert rows == known + [row for row in rows if row[key] is None]
    expected = sorted(known, key=lambda row: row["object_id"])
    expected.sort(key=lambda row: row[key], reverse=direction == "desc")
    assert [row["id"] for row in known] == [row["id"] for row in expected]


@pytest.mark.parametrize(
    "sort",
    [
        *("spectrum_id", "target_id", "field", "observation", "program_slug", "ra", "dec", "redshift"),
        *("redshift_quality", "redshift_auto", "signal_to_noise", "exposure_time", "grating"),
    ],
)
def test_sorting_of_spectra(ask: Get, sort: str) -> None:
    for descending in (False, True):
        rows = ask("/spectra/list", sort=sort, sort_dir="desc" if descending else "asc").json()["data"]
        known = [row for row in rows if row[sort] is not None]
        assert rows[len(known) :] == [row for row in rows if row[sort] is None]
        expected = sorted(known, key=lambda row: (row["target_id"], row["grating"]))
        expected.sort(key=lambda row: row[sort], reverse=descending)
        assert [row["id"] for row in known] == [row["id"] for row in expected]


def test_shutters_are_in_a_box_of_half_width_fov(ask: Get) -> None:
    def targets(**params: Any) -> set[str]:
        return {row["object_id"] for row in ask("/shutters", **params).json()["shutters"]}

    assert targets(object_id=MAIN, fov="1") == {"demo_p1_11", "demo_p1_12"}
    assert targets(object_id="J235959.99+000000.0", fov="1") == {"stripe_p1_1", "stripe_p1_2"}
    assert targets(object_id=NORTH) == set()


def test_fov_is_clamped(ask: Get) -> None:
    for text, used in (("0.1", 1.0), ("400", 30.0), ("7", 7.0), ("", 5.0)):
        assert ask("/shutters", object_id=MAIN, fov=text).json()["meta"]["radius_arcsec"] == used
    assert ask("/shutters", "fixed", object_id=MAIN, fov="400").status_code == 400
    assert ask("/shutters", "fixed", object_id=MAIN, fov="30").status_code == 200
