"""Statement: payloads written by hand from the wire contract go through the client.

Every endpoint, every nullable value null, unknown extra fields, and the shapes that no account ever sees
twice: none of it from our own server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.client import Campfire
from campfire.columns import OBJECT_COLUMNS, SPECTRUM_COLUMNS
from campfire.errors import APIError, AuthenticationError, NotFoundError
from campfire.transport.api import API
from campfire.transport.auth import Authenticator
from campfire.transport.auth_session import Session
from campfire.transport.http import Http
from campfire.transport.rate_limit import RetryPolicy
from tests.transport.wire_stub import Asked, Reply, Stub, stub_server

EXTRA = {"unheard_of": {"nested": [1, None]}, "x": None}
OBJECT: dict[str, Any] = {
    "id": 7,
    "object_id": "J100001.23+021500.4",
    "field": "cosmos",
    "ra": 150.00512,
    "dec": 2.25011,
    "n_targets": 1,
    "n_spectra": 2,
    "programs": ["demo-survey"],
    "gratings": ["G395M", "PRISM"],
    "max_snr": 12.5,
    "max_exposure_time": 3501.5,
    "redshift": 4.25,
    "redshift_quality": 4,
    "redshift_inspected": 4.25,
    "redshift_auto": 4.2498,
    "inspected_used_auto": False,
    "last_inspected_at": "2026-02-01T10:00:00+00:00",
    "last_inspected_by": "0b6f0000-0000-0000-0000-000000000001",
    "last_data_change_at": None,
    "staleness_reason": None,
    "version": 2,
    "is_active": True,
    "photo_z": 4.1,
    "has_photometry": True,
    "created_at": "2026-01-01T00:00:00+00:00",
    "distance": None,
    "member_targets": [
        {
            "target_id": "demo_p1_11",
            "program_slug": "demo-survey",
            "observation": "demo_p1",
            "redshift_auto": 4.2498,
        }
    ],
    "lists": [
        {"id": 1, "name": "Little Red Dots", "slug": "lrd", "icon": "🔴", "color": "#ffcccb"},
        {"id": 99, "name": "Somebody's private list", "slug": "private", "icon": None, "color": None},
    ],
} | EXTRA
OBJECT_NULLS = OBJECT | dict.fromkeys(
    [
        *(
            "max_snr",
            "max_exposure_time",
            "redshift",
            "redshift_inspected",
            "redshift_auto",
            "last_inspected_at",
        ),
        *(
            "last_inspected_by",
            "last_data_change_at",
            "staleness_reason",
            "photo_z",
            "created_at",
            "distance",
        ),
        *("programs", "gratings", "member_targets", "lists"),
    ]
)
SPECTRUM: dict[str, Any] = {
    "id": 31,
    "target_id": "demo_p1_11",
    "parent_object_id": "J100001.23+021500.4",
    "program_slug": "demo-survey",
    "program_name": "Demo Survey",
    "field": "cosmos",
    "observation": "demo_p1",
    "ra": 150.00511,
    "dec": 2.25012,
    "redshift": 4.25,
    "redshift_inspected": 4.25,
    "redshift_quality": 4,
    "last_inspected_at": None,
    "last_inspected_by": None,
    "max_snr": 12.5,
    "max_exposure_time": 3501.5,
    "created_at": "2026-01-01T00:00:00",
    "updated_at": "2026-01-02T00:00:00",
    "distance": None,
    "spectrum_id": "demo_p1_prism_clear_11",
    "grating": "PRISM",
    "fits_path": "spectra/demo_p1/demo_p1_prism_clear_11_spec.fits",
    "signal_to_noise": 12.5,
    "exposure_time": 3501.5,
    "redshift_auto": 4.2498,
    "dq_flags": 0,
    "file_hash": "sha256:" + "ab" * 32,
    "file_size": 812160,
    "thumbnail_svg_fnu": None,
    "thumbnail_svg_flambda": None,
} | EXTRA
SPECTRUM_NULLS = SPECTRUM | dict.fromkeys(
    [
        *(
            "parent_object_id",
            "program_name",
            "redshift",
            "redshift_inspected",
            "redshift_quality",
            "max_snr",
        ),
        *(
            "max_exposure_time",
            "created_at",
            "updated_at",
            "signal_to_noise",
            "exposure_time",
            "redshift_auto",
        ),
        *("file_hash", "file_size"),
    ]
)
METADATA = {
    "programs": [
        {"slug": "demo-survey", "program_name": "Demo Survey", "pi_name": "A. Person", "is_public": True},
        {"slug": "secret_1", "program_name": "Secret", "pi_name": None, "is_public": None, "program_id": 3},
    ],
    "fields": ["cosmos", "uds"],
    "gratings": ["G395M", "PRISM"],
    "observations": ["demo_p1"],
} | EXTRA
OBSERVATION: dict[str, Any] = {
    "observation": "demo_p1",
    "program_slug": "demo-survey",
    "program_name": "Demo Survey",
    "field": "cosmos",
    "target_count": 1,
    "spectrum_count": 2,
    "total_size_bytes": 1624320,
    **dict.fromkeys(
        [
            *(
                "pointings",
                "reduction_version",
                "crds_context",
                "cfpipe_version",
                "jwst_version",
                "reduced_at",
            ),
            *("deployed_at", "last_patch_at", "deployed_by_username", "deployed_by_full_name"),
        ]
    ),
    "n_patches_since_full": 0,
} | EXTRA
SYNC_OBJECT = {k: v for k, v in OBJECT.items() if k not in ("distance", "member_targets")} | {
    "photo_z_err_lo": 3.9,
    "photo_z_err_hi": 4.3,
    "updated_at": "2026-02-01T10:00:00.5+00:00",
    "member_target_ids": ["demo_p1_11"],
    "spectra": [
        {"id": 31, "target_id": "demo_p1_11", "grating": "PRISM", "signal_to_noise": None, "dq_flags": 0}
    ],
    "lists": ["lrd"],
}
SYNC_OBJECT_NULLS = SYNC_OBJECT | {
    "id": 8,
    "object_id": "J100002.00-021500.0",
    "member_target_ids": ["demo_p1_12"],
    "spectra": [],
    "lists": None,
    **dict.fromkeys(
        [
            *("max_snr", "max_exposure_time", "redshift", "redshift_inspected", "redshift_auto", "photo_z"),
            *("last_inspected_at", "last_inspected_by", "photo_z_err_lo", "photo_z_err_hi", "created_at"),
        ]
    ),
    "redshift_quality": 1,
    "has_photometry": False,
}
SYNC_SPECTRUM: dict[str, Any] = {
    "id": 31,
    "spectrum_id": "demo_p1_prism_clear_11",
    "target_id": "demo_p1_11",
    "object_id": "J100001.23+021500.4",
    "grating": "PRISM",
    "fits_path": "spectra/demo_p1/demo_p1_prism_clear_11_spec.fits",
    "file_hash": "sha256:" + "ab" * 32,
    "file_size": 812160,
    "signal_to_noise": 12.5,
    "exposure_time": 3501.5,
    "reduction_version": "v0.3",
    "redshift_auto": 4.2498,
    "dq_flags": 1 << 40,
    "program_slug": "demo-survey",
    "observation": "demo_p1",
    "field": "cosmos",
    "created_at": "2026-01-01T00:00:00.1",
    "updated_at": "2026-01-05T00:00:00+00:00",
} | EXTRA
SYNC_SPECTRUM_NULLS = SYNC_SPECTRUM | {
    "id": 32,
    "spectrum_id": "demo_p1_g395m_f290lp_13",
    "target_id": "demo_p1_13",
    "grating": "G395M",
    "fits_path": "spectra/demo_p1/demo_p1_g395m_f290lp_13_spec.fits",
    "dq_flags": 0,
    **dict.fromkeys(
        [
            *("object_id", "file_hash", "file_size", "signal_to_noise", "exposure_time", "reduction_version"),
            *("redshift_auto", "created_at"),
        ]
    ),
}
PHOTOMETRY: dict[str, Any] = {
    "id": 90,
    "object_id": "J100001.23+021500.4",
    "field": "cosmos",
    "catalog_name": "Demo v1",
    "catalog_id": "55",
    "match_distance_arcsec": 0.0421,
    "photometry": {
        "flux_unit": "uJy",
        "bands": {
            "f444w": {
                "flux": 0.42,
                "flux_err": 0.03,
                "wav": 4.415974,
                "wav_min": 3.80237,
                "wav_max": 5.09955,
            },
            "Ks": {"flux": -0.1, "flux_err": 0.0},
            "unheard": {"flux": None, "flux_err": None},
        },
    },
    "photo_z": 4.1,
    "photo_z_err_lo": 3.9,
    "photo_z_err_hi": 4.3,
    "has_pz": True,
    "created_at": "2026-01-01T00:00:00+00:00",
    "updated_at": "2026-01-01T00:00:00+00:00",
} | EXTRA
PHOTOMETRY_NULLS = PHOTOMETRY | {
    "id": 91,
    "catalog_name": "Demo v2",
    **dict.fromkeys(["catalog_id", "match_distance_arcsec", "photo_z", "photo_z_err_lo", "photo_z_err_hi"]),
}
LIST: dict[str, Any] = {
    "id": 1,
    "slug": "lrd",
    "name": "Little Red Dots",
    "description": None,
    "visibility": "public_edit",
    "is_system": True,
    "created_by": None,
    "created_at": "2026-01-01T00:00:00+00:00",
    "updated_at": "2026-01-01T00:00:00+00:00",
    "member_count": 3,
} | EXTRA
MANIFEST: dict[str, Any] = {
    "observation": "demo_p1",
    "target_count": 1,
    "spectrum_count": 1,
    "total_size_bytes": 812160,
    "url_expires_at": "2026-03-01T18:00:00.000Z",
    **dict.fromkeys(["program_slug", "program_name", "field"]),
    "spectra": [
        {
            "spectra_id": 31,
            "spectrum_id": "demo_p1_prism_clear_11",
            "target_id": "demo_p1_11",
            "grating": "PRISM",
            "fits_path": "spectra/demo_p1/demo_p1_prism_clear_11_spec.fits",
            "download_url": "#download-placeholder-demo",
            **dict.fromkeys(["file_hash", "file_size", "signal_to_noise", "reduction_version"]),
        }
    ],
} | EXTRA
SHUTTERS = {
    "shutters": [
        {
            "object_id": "demo_p1_11",
            "source_id": 11,
            "center_ra": 150.0051,
            "center_dec": 2.2501,
            "position_angle": 87.5,
            "shutter_idx": 0,
            "dither_id": 0,
            "shutter_state": "source",
            "observation": "demo_p1",
        }
        | EXTRA
    ],
    "meta": {
        "shutter_width_arcsec": 0.22,
        "shutter_height_arcsec": 0.46,
        "center_ra": 150.00512,
        "center_dec": 2.25011,
        "radius_arcsec": 5,
        "field": "cosmos",
    },
}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\0\x10" * 2 + b"\0" * 20  # of 16 x 16 pixels
WHO = {
    "user_id": "0b6f0000-0000-0000-0000-000000000001",
    "email": None,
    "full_name": None,
    "is_admin": False,
    "created_at": "2026-01-01T00:00:00+00:00",
} | EXTRA


def page(*rows: Any, **more: Any) -> Reply:
    return Reply(
        200,
        {"data": list(rows), "pagination": {"total": len(rows), "limit": 1000, "offset": 0}} | more | EXTRA,
    )


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        for path, answer in {
            "/metadata": Reply(200, METADATA),
            "/observations": Reply(200, {"observations": [OBSERVATION]} | EXTRA),
            "/objects": page(OBJECT),
            "/spectra/list": page(SPECTRUM),
            "/sync/objects": page(SYNC_OBJECT, SYNC_OBJECT_NULLS, total_accessible_count=2),
            "/sync/spectra": page(SYNC_SPECTRUM, SYNC_SPECTRUM_NULLS, total_accessible_count=2),
            "/sync/photometry": page(PHOTOMETRY, PHOTOMETRY_NULLS),
            "/sync/lists": Reply(200, {"data": [LIST]} | EXTRA),
            "/observations/demo_p1/manifest": Reply(200, MANIFEST),
            "/shutters": Reply(200, SHUTTERS),
            "/cutout": Reply(200, PNG, {"Content-Type": "image/png"}),
            "/auth/whoami": Reply(200, WHO),
            "/version": Reply(200, {"latest": "0.4.0", "minimum": "0.4.0"}),
        }.items():
            stub.on(f"/api/v1{path}", answer)
        yield stub


@pytest.fixture
def cf(stub: Stub, tmp_path: Path) -> Iterator[Campfire]:
    with Campfire(f"{stub.url}/api/v1", tmp_path / "mirror", token="any") as cf:
        yield cf


@pytest.fixture
def api(stub: Stub) -> API:
    http = Http(f"{stub.url}/api/v1", retry=RetryPolicy(attempts=2, base=0.001, longest=0.001))
    return API(Session(http, Authenticator(http, token="any")))


def test_remote_objects(cf: Campfire) -> None:
    table = cf.query_objects(remote=True)
    assert table.colnames == [c.name for c in OBJECT_COLUMNS]
    row = table[0]
    assert (row["object_id"], row["observations"], row["member_target_ids"]) == (
        "J100001.23+021500.4",
        ["demo_p1"],
        ["demo_p1_11"],
    )
    assert row["tags"] == ["lrd"]  # the service names private lists, too
    assert row["redshift"] == 4.25
    for name in ("photo_z_err_lo", "photo_z_err_hi", "updated_at", "staleness_reason", "last_data_change_at"):
        assert table[name].mask[0], name


def test_remote_objects_with_every_null(cf: Campfire, stub: Stub) -> None:
    stub.on("/api/v1/objects", page(OBJECT_NULLS))
    table = cf.query_objects(remote=True)
    full = {c.name: c.dtype for c in OBJECT_COLUMNS}
    assert {name: table[name].dtype for name in table.colnames} == full
    for name in ("redshift", "max_snr", "photo_z", "created_at"):
        assert table[name].mask[0], name
    assert table["programs"][0] == []
    assert table["tags"][0] == []


def test_remote_spectra(cf: Campfire) -> None:
    table = cf.query_spectra(remote=True)
    assert table.colnames == [c.name for c in SPECTRUM_COLUMNS]
    row = table[0]
    assert row["object_id"] == "J100001.23+021500.4"
    assert (row["ra"], row["dec"]) == (150.00512, 2.25011)  # of the object, not of the target
    assert row["id"] == 31
    for name in ("reduction_version", "local_path", "updated_at"):
        assert table[name].mask[0], name


def test_remote_spectra_with_every_null(cf: Campfire, stub: Stub) -> None:
    stub.on("/api/v1/spectra/list", page(SPECTRUM_NULLS))
    table = cf.query_spectra(remote=True)
    for name in (
        "object_id",
        "signal_to_noise",
        "redshift",
        "redshift_quality",
        "ra",
        "file_hash",
        "file_size",
    ):
        assert table[name].mask[0], name
    assert {name: table[name].dtype for name in table.colnames} == {c.name: c.dtype for c in SPECTRUM_COLUMNS}


def test_empty_answers_of_an_account_without_programs(cf: Campfire, stub: Stub) -> None:
    nothing = Reply(200, {"data": [], "pagination": {"total": 0, "limit": 0, "offset": 0}})
    for path in ("objects", "spectra/list", "sync/objects", "sync/spectra", "sync/photometry"):
        stub.on(f"/api/v1/{path}", nothing)
    stub.on("/api/v1/observations", Reply(200, {"observations": []}))
    assert cf.query_objects(remote=True).colnames == [c.name for c in OBJECT_COLUMNS]
    assert len(cf.query_spectra(remote=True)) == 0
    assert list(cf.iter_objects(remote=True)) == []
    assert cf.get_object("x", remote=True) is None


def test_remote_object_with_all_its_parts(cf: Campfire) -> None:
    for name in ("J100001.23+021500.4", "demo_p1_11"):
        obj = cf.get_object(name, remote=True)
        assert obj is not None
        assert (obj.object_id, obj.tags) == ("J100001.23+021500.4", ["lrd"])
        assert obj.spectra.spectrum_id.tolist() == ["demo_p1_prism_clear_11"]
        assert sorted(p.catalog for p in obj.photometries) == ["Demo v1", "Demo v2"]
    assert cf.get_object("J100001.23", remote=True) is None  # a part of a name is no name


def test_sync_and_the_local_answers(cf: Campfire) -> None:
    result = cf.sync()
    assert (result["objects"], result["spectra"], result["photometry"], result["tags"]) == (2, 2, 2, 1)
    objects = cf.query_objects()
    assert objects["observations"].tolist() == [["demo_p1"], []]
    assert objects["tags"].tolist() == [["lrd"], []]
    assert objects["photo_z_err_lo"][0] == 3.9
    assert cf.query_spectra()["dq_flags"].tolist() == [0, 1 << 40]
    obj = cf.get_object("demo_p1_11")
    assert obj is not None
    assert obj.photometry is not None
    assert np.isnan(obj.photometry["unheard"].flux)
    assert obj.photometry["Ks"].flux == -0.1
    assert cf.get_spectrum("demo_p1_g395m_f290lp_13") is not None


def test_metadata(cf: Campfire) -> None:
    assert cf.get_metadata(remote=True)["programs"][1] == {
        "slug": "secret_1",
        "program_name": "Secret",
        "pi_name": None,
        "is_public": None,
    }
    assert (cf.get_fields(), cf.get_gratings(), cf.get_observations()) == (
        ["cosmos", "uds"],
        ["G395M", "PRISM"],
        ["demo_p1"],
    )
    assert cf.get_tags()["slug"].tolist() == ["lrd"]
    programs = cf.get_programs()
    assert programs.colnames == ["slug", "program_name", "pi_name", "is_public"]
    assert programs["pi_name"].mask.tolist() == [False, True]
    assert cf.whoami()["email"] is None


def test_lists_that_are_null_or_missing(api: API, stub: Stub) -> None:
    stub.on("/api/v1/metadata", Reply(200, {"programs": None, "fields": None}))
    assert api.metadata() == {"programs": [], "fields": [], "gratings": [], "observations": []}
    assert api.version()["latest"] == "0.4.0"
    assert "Authorization" not in stub.to("/api/v1/version")[0].headers


@pytest.mark.parametrize(
    "body", [{"data": 7}, {"data": {"a": 1}}, {"data": [1]}, {"data": ["x"]}, {"data": [None]}]
)
def test_rows_that_are_none(api: API, stub: Stub, body: Any) -> None:
    stub.on("/api/v1/sync/lists", Reply(200, body))
    with pytest.raises(APIError, match="not a list of rows"):
        api.sync_lists()


def test_manifest_and_placeholders(api: API, cf: Campfire, stub: Stub) -> None:
    """Statement: ``#download-placeholder`` addresses are refused, whatever gives them."""
    manifest = api.manifest("demo_p1")
    assert manifest["spectra"][0]["file_hash"] is None
    stub.on("/api/v1/spectra", Reply(200, {"url": "#download-placeholder-demo"}))
    with pytest.raises(Exception, match="no address for the file"):
        cf.open_spectrum("demo_p1_prism_clear_11")
    assert not list((cf.data_dir / "products").rglob("*.fits"))
    stub.on("/api/v1/observations/no%2Fwhere/manifest", Reply(404, {"error": "Observation not found"}))
    with pytest.raises(NotFoundError, match="Observation not found"):
        api.manifest("no/where")


def test_spectrum_payload(cf: Campfire, stub: Stub) -> None:
    """Statement: null and bare NaN both come out as None."""
    body = (
        b'{"wave":[0.6,0.61],"fnu":[0.012,null],"fnu_err":[NaN,Infinity],"snr_2d":[[0.1,0.0],[3.2,2.9]],'
        b'"n_spatial":2,"n_wave":2,"profile":[0.05,1.0],"profile_fit":[0.0,1.0],"profile_pix":[-1.0,0.0],"x":1}'
    )
    stub.on("/api/v1/spectrum", Reply(200, body))
    data = cf.get_spectrum_data("demo_p1_prism_clear_11")
    assert (data["fnu"], data["fnu_err"]) == ([0.012, None], [None, None])
    assert list(data) == [
        *("wave", "fnu", "fnu_err", "snr_2d", "n_spatial", "n_wave", "profile", "profile_fit", "profile_pix")
    ]


def test_redshift_fit_is_asked_for_by_path(cf: Campfire, stub: Stub) -> None:
    """Statement: the service wants ``path``; a spectrum id alone would be a 400."""

    def answer(asked: Asked) -> Reply:
        if "path" not in asked.query:
            return Reply(400, {"error": "target_id and grating are required"})
        return Reply(
            200,
            {
                "redshift": 4.2498,
                "chi2_min": 812.4,
                "confidence": 99.8,
                "z_grid": [0.0, 0.0017],
                "chi2_grid": [2100.1, 2098.7],
                "model_wave": [0.6, 0.61],
                "model_fnu": [0.011, 0.012],
            },
        )

    stub.on("/api/v1/redshift-fit", answer)
    fit = cf.get_redshift_fit_data("demo_p1_prism_clear_11")
    assert fit["redshift"] == 4.2498
    assert stub.to("/api/v1/redshift-fit")[0].query["path"] == SPECTRUM["fits_path"]
    stub.on("/api/v1/redshift-fit", Reply(404, {"error": "No redshift fit found"}))
    with pytest.raises(NotFoundError):
        cf.get_redshift_fit_data("demo_p1_prism_clear_11")
    stub.on("/api/v1/redshift-fit", Reply(200, {"redshift": None}))
    with pytest.raises(APIError):
        cf.get_redshift_fit_data("demo_p1_prism_clear_11")


def test_images(cf: Campfire, stub: Stub) -> None:
    assert cf.get_cutout("demo_p1_11", fov=3.2).read_bytes() == PNG
    assert stub.to("/api/v1/cutout")[0].query == {"object_id": "J100001.23+021500.4", "fov": "3.2"}
    assert "object_id=J100001.23%2B021500.4" in stub.to("/api/v1/cutout")[0].raw
    found = cf.get_shutters("demo_p1_11")
    assert found["meta"]["member_target_ids"] == ["demo_p1_11"]
    assert found["shutters"][0]["object_id"] == "demo_p1_11"
    stub.on("/api/v1/cutout", Reply(200, b"<html>"))
    with pytest.raises(APIError, match="not a PNG"):
        cf.get_cutout("demo_p1_11", fov=7.0)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [("cutout", 404, NotFoundError), ("cutout", 403, AuthenticationError), ("shutters", 400, APIError)],
)
def test_image_errors(
    cf: Campfire, stub: Stub, path: str, status: int, kind: type[Exception], tmp_path: Path
) -> None:
    stub.on(f"/api/v1/{path}", Reply(status, {"error": "no"}))
    with pytest.raises(kind):
        cf.get_cutout("demo_p1_11") if path == "cutout" else cf.get_shutters("demo_p1_11")
    assert not [p for p in (cf.data_dir / "cutouts").rglob("*") if p.is_file()]


@pytest.mark.parametrize("second", [0, 3])
def test_a_query_is_never_cut_short_silently(api: API, stub: Stub, second: int) -> None:
    whole = Paged(2500, by_page=True)

    def answer(asked: Asked) -> Reply:
        reply = whole(asked)
        if asked.query["offset"] == "1000":
            assert isinstance(reply.body, dict)
            reply.body = {**reply.body, "data": reply.body["data"][:second]}
        return reply

    stub.on("/api/v1/objects", answer)
    with pytest.raises(APIError, match="of 2500 rows"):
        list(api.objects())


# --- paging ------------------------------------------------------------------------------------------------


class Paged:
    """A table behind a paged route, as the service pages: by page number, or by true offset."""

    def __init__(self, rows: int, *, by_page: bool, most: int = 10**6) -> None:
        self.rows, self.by_page, self.most = rows, by_page, most

    def __call__(self, asked: Asked) -> Reply:
        limit, offset = min(int(asked.query["limit"]), self.most), int(asked.query["offset"])
        if self.by_page:
            assert offset % int(asked.query["limit"]) == 0, "an offset that the service would misread"
        counted = asked.query.get("include_counts", "true") != "false"
        like = OBJECT | SPECTRUM | SYNC_OBJECT | SYNC_SPECTRUM | PHOTOMETRY
        rows = [like | {"id": n, "lists": []} for n in range(self.rows)][offset : offset + limit]
        total = self.rows if counted else 0
        pagination = {"total": total, "limit": limit, "offset": offset}
        return Reply(200, {"data": rows, "pagination": pagination, "total_accessible_count": total})


@pytest.mark.parametrize("rows", [0, 1, 999, 1000, 1001, 2500])
def test_pages_end_where_the_rows_do(api: API, stub: Stub, rows: int) -> None:
    for path, by_page, pages in (
        ("objects", True, api.objects),
        ("spectra/list", True, api.spectra),
        ("sync/objects", False, api.sync_objects),
        ("sync/spectra", False, api.sync_spectra),
        ("sync/photometry", False, api.sync_photometry),
    ):
        stub.on(f"/api/v1/{path}", Paged(rows, by_page=by_page))
        found = list(pages())
        assert [r["id"] for p in found for r in p["rows"]] == list(range(rows)), path
        assert {p["total"] for p in found} == {rows}
        assert len(found) == max(1, -(-rows // 1000))


def test_pages_cut_short_by_the_service_leave_no_hole(api: API, stub: Stub) -> None:
    stub.on("/api/v1/sync/spectra", Paged(2500, by_page=False, most=400))
    found = list(api.sync_spectra("2026-01-01T00:00:00+00:00"))
    assert [r["id"] for p in found for r in p["rows"]] == list(range(2500))
    assert {p["accessible"] for p in found} == {2500}
    assert stub.asked[0].query["updated_since"] == "2026-01-01T00:00:00+00:00"
    assert ["include_counts" in a.query for a in stub.asked] == [False] + [True] * 6


def test_an_empty_page_in_the_middle_is_reported_not_trusted(api: API, stub: Stub) -> None:
    """Statement: totals come with every page, so that whoever stores them can see what is missing."""
    stub.on("/api/v1/sync/objects", Paged(2500, by_page=False), page(total_accessible_count=2500))
    found = list(api.sync_objects())
    assert sum(len(p["rows"]) for p in found) == 1000
    assert {p["total"] for p in found} == {2500}
