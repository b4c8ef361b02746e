"""Statements checked: every answer has exactly the envelope, fields, types and order of the wire contract.

The field lists are written by hand from the contract, not taken from the server's own models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

Get = Callable[..., Any]

STR, INT, FLOAT, BOOL, LIST, NONE = str, int, float, bool, list, type(None)
OBJECT = {
    **dict.fromkeys(("id", "n_targets", "n_spectra", "redshift_quality", "version"), (INT,)),
    **dict.fromkeys(("object_id", "field"), (STR,)),
    **dict.fromkeys(("ra", "dec"), (FLOAT,)),
    **dict.fromkeys(("programs", "gratings"), (LIST,)),
    **dict.fromkeys(("max_snr", "max_exposure_time", "redshift", "photo_z"), (FLOAT, NONE)),
    **dict.fromkeys(("redshift_inspected", "redshift_auto"), (FLOAT, NONE)),
    **dict.fromkeys(("inspected_used_auto", "is_active", "has_photometry"), (BOOL,)),
    **dict.fromkeys(("last_inspected_at", "last_inspected_by", "last_data_change_at"), (STR, NONE)),
    **dict.fromkeys(("staleness_reason", "created_at"), (STR, NONE)),
}
LISTED_OBJECT = OBJECT | {"distance": (FLOAT, NONE), "member_targets": (LIST,), "lists": (LIST,)}
SYNCED_OBJECT = OBJECT | {
    **dict.fromkeys(("photo_z_err_lo", "photo_z_err_hi"), (FLOAT, NONE)),
    "updated_at": (STR,),
    **dict.fromkeys(("member_target_ids", "lists", "spectra"), (LIST,)),
}
LISTED_SPECTRUM = {
    **dict.fromkeys(("id", "dq_flags"), (INT,)),
    **dict.fromkeys(("spectrum_id", "grating", "fits_path", "target_id"), (STR,)),
    **dict.fromkeys(("program_slug", "field", "observation"), (STR,)),
    **dict.fromkeys(("parent_object_id", "program_name", "file_hash"), (STR, NONE)),
    **dict.fromkeys(("ra", "dec"), (FLOAT,)),
    **dict.fromkeys(("redshift", "redshift_inspected", "max_snr", "max_exposure_time"), (FLOAT, NONE)),
    "redshift_quality": (INT, NONE),
    "file_size": (INT, NONE),
    **dict.fromkeys(("last_inspected_at", "last_inspected_by", "created_at", "updated_at"), (STR, NONE)),
    **dict.fromkeys(("distance", "signal_to_noise", "exposure_time", "redshift_auto"), (FLOAT, NONE)),
    **dict.fromkeys(("thumbnail_svg_fnu", "thumbnail_svg_flambda"), (NONE,)),
}
SYNCED_SPECTRUM = {
    **dict.fromkeys(("id", "dq_flags"), (INT,)),
    **dict.fromkeys(("spectrum_id", "target_id", "grating", "fits_path", "updated_at"), (STR,)),
    **dict.fromkeys(("program_slug", "observation", "field"), (STR,)),
    **dict.fromkeys(("object_id", "file_hash", "reduction_version", "created_at"), (STR, NONE)),
    "file_size": (INT, NONE),
    **dict.fromkeys(("signal_to_noise", "exposure_time", "redshift_auto"), (FLOAT, NONE)),
}
PHOTOMETRY = {
    "id": (INT,),
    **dict.fromkeys(("object_id", "field", "catalog_name", "created_at", "updated_at"), (STR,)),
    "catalog_id": (STR, NONE),
    **dict.fromkeys(("match_distance_arcsec", "photo_z", "photo_z_err_lo", "photo_z_err_hi"), (FLOAT, NONE)),
    "photometry": (dict,),
    "has_pz": (BOOL,),
}
TAG = {
    **dict.fromkeys(("id", "member_count"), (INT,)),
    **dict.fromkeys(("slug", "name", "visibility", "created_at", "updated_at"), (STR,)),
    **dict.fromkeys(("description", "created_by"), (STR, NONE)),
    "is_system": (BOOL,),
}
OBSERVATION = {
    **dict.fromkeys(("observation", "program_slug", "program_name", "field"), (STR,)),
    **dict.fromkeys(("target_count", "spectrum_count", "total_size_bytes", "n_patches_since_full"), (INT,)),
    "pointings": (LIST, NONE),
    **dict.fromkeys(("reduction_version", "crds_context", "cfpipe_version", "jwst_version"), (STR, NONE)),
    **dict.fromkeys(("reduced_at", "deployed_at", "last_patch_at"), (STR, NONE)),
    **dict.fromkeys(("deployed_by_username", "deployed_by_full_name"), (STR, NONE)),
}
MANIFEST_FILE = {
    "spectra_id": (INT,),
    **dict.fromkeys(("spectrum_id", "target_id", "grating", "fits_path", "download_url"), (STR,)),
    **dict.fromkeys(("file_hash", "reduction_version"), (STR, NONE)),
    "file_size": (INT, NONE),
    "signal_to_noise": (FLOAT, NONE),
}
SHUTTER = {
    **dict.fromkeys(("object_id", "shutter_state", "observation"), (STR,)),
    **dict.fromkeys(("source_id", "shutter_idx", "dither_id"), (INT,)),
    **dict.fromkeys(("center_ra", "center_dec", "position_angle"), (FLOAT,)),
}
MODES = ("traps", "fixed")


def conforms(row: dict[str, Any], fields: Mapping[str, tuple[type, ...]]) -> None:
    """Check names exactly, and types (an integer is no bool, a float may be written as an integer)."""
    assert set(row) == set(fields)
    for name, kinds in fields.items():
        value = row[name]
        number = FLOAT in kinds and type(value) is int
        assert type(value) in kinds or number, f"{name} is {value!r}"


@pytest.mark.parametrize(
    ("path", "fields", "key"),
    [
        ("/objects", LISTED_OBJECT, "object_id"),
        ("/spectra/list", LISTED_SPECTRUM, "spectrum_id"),
        ("/sync/objects", SYNCED_OBJECT, "object_id"),
        ("/sync/spectra", SYNCED_SPECTRUM, "spectrum_id"),
        ("/sync/photometry", PHOTOMETRY, "id"),
    ],
)
def test_paged_rows(ask: Get, path: str, fields: dict[str, tuple[type, ...]], key: str) -> None:
    answer = ask(path)
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    for row in body["data"]:
        conforms(row, fields)
    names = [row[key] for row in body["data"]]
    assert names == sorted(names)
    assert body["pagination"] == {"total": len(names), "limit": 1000, "offset": 0}
    counted = path in ("/sync/objects", "/sync/spectra")
    assert set(body) == {"data", "pagination"} | ({"total_accessible_count"} if counted else set())
    if counted:
        assert body["total_accessible_count"] == len(names)


def test_every_nullable_field_is_null_somewhere(ask: Get) -> None:
    objects = {row["object_id"]: row for row in ask("/sync/objects").json()["data"]}
    bare = objects["J100001.24+021500.4_1"]
    for name in ("redshift", "redshift_auto", "redshift_inspected", "photo_z", "staleness_reason"):
        assert bare[name] is None
    spectra = {row["id"]: row for row in ask("/sync/spectra").json()["data"]}
    for name in ("file_hash", "file_size", "signal_to_noise", "exposure_time", "reduction_version"):
        assert spectra[35][name] is None


def test_object_row(ask: Get) -> None:
    row = next(r for r in ask("/objects").json()["data"] if r["id"] == 7)
    assert row["programs"] == ["demo-survey", "secret_gto"]
    assert row["gratings"] == ["G395M", "PRISM"]
    assert (row["n_targets"], row["n_spectra"], row["redshift"], row["photo_z"]) == (2, 3, 4.25, 4.1)
    assert row["member_targets"] == [
        {"target_id": t, "program_slug": p, "observation": o, "redshift_auto": 4.2498}
        for t, p, o in (("demo_p1_11", "demo-survey", "demo_p1"), ("demo_p2_11", "secret_gto", "demo_p2"))
    ]
    assert row["lists"][1] == {
        "id": 1,
        "name": "Little Red Dots",
        "slug": "lrd",
        "icon": "🔴",
        "color": "#ffcccb",
    }


def test_synced_object_row(ask: Get) -> None:
    row = next(r for r in ask("/sync/objects").json()["data"] if r["id"] == 7)
    assert row["member_target_ids"] == ["demo_p1_11", "demo_p2_11"]
    assert row["lists"] == ["lrd"]
    assert [s["id"] for s in row["spectra"]] == [32, 31, 33]
    assert row["spectra"][0] == {
        "id": 32,
        "target_id": "demo_p1_11",
        "grating": "G395M",
        "signal_to_noise": 3.0,
        "exposure_time": 2000.0,
        "redshift_auto": 4.2498,
        "dq_flags": 1,
    }


def test_spectrum_rows(ask: Get) -> None:
    listed = next(r for r in ask("/spectra/list").json()["data"] if r["id"] == 31)
    synced = next(r for r in ask("/sync/spectra").json()["data"] if r["id"] == 31)
    assert listed["parent_object_id"] == synced["object_id"] == "J100001.23+021500.4"
    assert listed["fits_path"] == "spectra/demo_p1/demo_p1_prism_clear_11_spec.fits"
    assert (listed["max_snr"], listed["max_exposure_time"]) == (3.0, 2000.0)
    assert (listed["signal_to_noise"], listed["program_name"]) == (2.0, "Demo Survey")
    assert (listed["created_at"], listed["updated_at"]) == ("2026-01-01T00:00:00", "2026-01-02T00:00:00")
    assert synced["created_at"] == "2026-01-01T00:00:00.1"
    assert synced["updated_at"] == "2026-02-01T10:00:00.5+00:00"
    assert re.fullmatch("sha256:[0-9a-f]{64}", synced["file_hash"])


def test_photometry_row(ask: Get) -> None:
    row = ask("/sync/photometry").json()["data"][0]
    assert row["photometry"]["flux_unit"] == "uJy"
    assert row["photometry"]["bands"]["J"] == {"flux": -0.1, "flux_err": 0.0}
    assert (row["catalog_id"], row["photo_z_err_lo"], row["has_pz"]) == ("55", 3.9, True)


def test_tags(ask: Get) -> None:
    body = ask("/sync/lists").json()
    assert set(body) == {"data"}
    for row in body["data"]:
        conforms(row, TAG)
    assert [row["slug"] for row in body["data"]] == ["lrd", "everyone"]
    assert body["data"][0]["member_count"] == 2


def test_metadata(ask: Get) -> None:
    answer = ask("/metadata")
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.json() == {
        "programs": [
            {"slug": "demo-survey", "program_name": "Demo Survey", "pi_name": "A. Person", "is_public": True},
            {"slug": "secret_gto", "program_name": "Secret GTO", "pi_name": None, "is_public": False},
        ],
        "fields": ["cosmos", "goods-n", "stripe"],
        "gratings": ["G140H", "G235M", "G395M", "PRISM"],
        "observations": ["demo_p1", "demo_p2", "north_p1", "stripe_p1"],
    }


def test_observations(ask: Get) -> None:
    body = ask("/observations").json()
    assert set(body) == {"observations"}
    for row in body["observations"]:
        conforms(row, OBSERVATION)
    first = body["observations"][0]
    assert (first["observation"], first["target_count"], first["spectrum_count"]) == ("demo_p1", 3, 4)
    assert first["pointings"][0]["gratings"] == ["PRISM"]
    assert first["n_patches_since_full"] == 2
    assert body["observations"][1]["pointings"] is None


def test_manifest(ask: Get) -> None:
    body = ask("/observations/demo_p1/manifest").json()
    assert set(body) == {
        *("observation", "program_slug", "program_name", "field", "target_count", "spectrum_count"),
        *("total_size_bytes", "url_expires_at", "spectra"),
    }
    for row in body["spectra"]:
        conforms(row, MANIFEST_FILE)
    names = [row["spectrum_id"] for row in body["spectra"]]
    assert names == sorted(names)
    assert (body["observation"], body["program_slug"], body["field"]) == ("demo_p1", "demo-survey", "cosmos")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["url_expires_at"])
    assert body["total_size_bytes"] == sum(row["file_size"] or 0 for row in body["spectra"])


def test_spectrum_preview(ask: Get) -> None:
    answer = ask("/spectrum", spectrum_id="demo_p1_prism_clear_11")
    body = answer.json()
    assert set(body) == {
        *("wave", "fnu", "fnu_err", "snr_2d", "n_spatial", "n_wave", "profile", "profile_fit", "profile_pix"),
    }
    assert answer.headers["cache-control"] == "public, max-age=86400"
    assert (body["n_spatial"], body["n_wave"]) == (9, 60) == (len(body["snr_2d"]), len(body["wave"]))
    assert body["fnu"][0] is None
    assert body["fnu_err"][0] is None
    path = "spectra/demo_p1/demo_p1_prism_clear_11_spec.fits"
    assert ask("/spectrum", path=path, spectrum_id="no_such").json() == body


def test_redshift_fit(ask: Get) -> None:
    answer = ask("/redshift-fit", path="spectra/demo_p1/demo_p1_prism_clear_11_spec.fits")
    body = answer.json()
    assert set(body) == {
        *("redshift", "chi2_min", "confidence", "z_grid", "chi2_grid", "model_wave", "model_fnu"),
    }
    assert (body["redshift"], body["chi2_min"], body["confidence"]) == (4.3, 812.4, 99.8)
    assert "cache-control" not in answer.headers
    assert ask("/redshift-fit", target_id="demo_p1_11", grating="PRISM").json() == body


def test_shutters(ask: Get) -> None:
    body = ask("/shutters", object_id="J100001.23+021500.4").json()
    for row in body["shutters"]:
        conforms(row, SHUTTER)
    assert {row["object_id"] for row in body["shutters"]} == {"demo_p1_11", "demo_p1_12"}
    assert body["meta"] == {
        "shutter_width_arcsec": 0.22,
        "shutter_height_arcsec": 0.46,
        "center_ra": 150.00512,
        "center_dec": 2.25011,
        "radius_arcsec": 5.0,
        "field": "cosmos",
    }


def test_version_needs_no_token(http: Any, urls: dict[str, str]) -> None:
    assert http.get(f"{urls['traps']}/version").json() == {"latest": "0.4.0", "minimum": "0.4.0"}


def test_whoami(ask: Get) -> None:
    body = ask("/auth/whoami").json()
    assert set(body) == {"user_id", "email", "full_name", "is_admin", "created_at"}
    assert (body["email"], body["full_name"], body["is_admin"]) == ("granted@example.org", None, False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/sync/objects", {"updated_since": "yesterday"}, 400),
        ("/spectra", {}, 400),
        ("/spectra", {"path": "spectra/demo_p1/nothing_spec.fits"}, 404),
        ("/spectra", {"path": "SPECTRA/demo_p1/demo_p1_prism_clear_11_spec.fits"}, 404),
        ("/spectrum", {}, 400),
        ("/spectrum", {"spectrum_id": "nothing"}, 404),
        ("/redshift-fit", {}, 400),
        ("/redshift-fit", {"target_id": "demo_p1_11"}, 400),
        ("/redshift-fit", {"target_id": "demo_p1_11", "grating": "prism"}, 404),
        ("/redshift-fit", {"target_id": "demo_p1_12", "grating": "PRISM"}, 404),
        ("/cutout", {}, 400),
        ("/cutout", {"object_id": "J1", "fov": "wide"}, 400),
        ("/cutout", {"object_id": "J1", "size": "nan"}, 400),
        ("/cutout", {"object_id": "J1"}, 404),
        ("/cutout", {"object_id": "J100001.23+021500.4"}, 404),
        ("/shutters", {}, 400),
        ("/shutters", {"object_id": "J1"}, 404),
        ("/shutters", {"object_id": "demo_p1_11"}, 404),
        ("/observations/nothing/manifest", {}, 404),
        ("/observations/DEMO_P1/manifest", {}, 404),
        ("/nothing", {}, 404),
    ],
)
def test_refusals_have_the_error_body(
    ask: Get, mode: str, path: str, params: dict[str, str], status: int
) -> None:
    answer = ask(path, mode, **params)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert isinstance(answer.json()["error"], str)


def test_wrong_method(http: Any, urls: dict[str, str]) -> None:
    answer = http.post(f"{urls['traps']}/objects")
    assert (answer.status_code, list(answer.json())) == (405, ["error"])
