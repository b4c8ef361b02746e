"""Statements on cutouts and shutters, against a served archive."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest

from campfire.client import Campfire
from campfire.client.response_cache import server_folder
from campfire.errors import AuthenticationError, NotFoundError, ValidationError
from tests.client.conftest import Service


@pytest.fixture
def name(cf: Campfire) -> str:
    return str(cf.query_objects()["object_id"][0])


def test_cutouts_are_kept(cf: Campfire, service: Service, name: str) -> None:
    """Statement: kept by server, field of view and size; asked about after a week; outlive faults."""
    path = cf.get_cutout(name, fov=3.2)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.is_relative_to(cf.data_dir / "cutouts")
    assert path.name == f"{name}_fov3.2.png"
    assert cf.get_cutout(name, fov=3.2, size=64).name == f"{name}_fov3.2_s64.png"
    asked = service.asked["/api/v1/cutout"]
    assert cf.get_cutout(name, 3.2) == path
    assert service.asked["/api/v1/cutout"] == asked
    old = time.time() - 8 * 86400
    os.utime(path, (old, old))
    cf.get_cutout(name, 3.2)
    assert service.asked["/api/v1/cutout"] == asked + 1
    os.utime(path, (old, old))
    service.fault = lambda _: (400, b"down")
    assert cf.get_cutout(name, 3.2) == path
    other = server_folder(cf.data_dir / "cutouts", "http://127.0.0.1:9/api/v1")
    assert other != server_folder(cf.data_dir / "cutouts", cf.base_url) == path.parent


def test_targets_name_their_object(cf: Campfire, name: str) -> None:
    row = cf._context.object_row(name)
    assert row is not None
    assert cf.get_cutout(row["member_target_ids"][0]) == cf.get_cutout(name)


def test_shutters_and_regions(cf: Campfire, service: Service, name: str, tmp_path: Path) -> None:
    found = cf.get_shutters(name, fov=4.0)
    members = set(found["meta"]["member_target_ids"])
    assert members
    assert {s["object_id"] for s in found["shutters"]} & members
    asked = service.asked["/api/v1/shutters"]
    region = cf.get_shutters_region(name, fov=4.0)
    assert service.asked["/api/v1/shutters"] == asked
    text = region.read_text()
    assert text.startswith("# Region file format: DS9")
    assert text.count("box(") == len(found["shutters"])
    assert "color=green" in text
    # Regions are written anew, not taken for kept ones; a file of the user's own is not touched.
    output = tmp_path / "mine.reg"
    for _ in range(2):
        assert cf.get_shutters_region(name, fov=4.0, output=output) == output
        assert output.read_text() == text
        output.write_text(text[:-5])
    output.write_text("something else")
    with pytest.raises(ValidationError, match="exists already"):
        cf.get_shutters_region(name, fov=4.0, output=output)
    assert output.read_text() == "something else"
    with pytest.raises(ValidationError, match="no folder"):
        cf.get_shutters_region(name, fov=4.0, output=tmp_path / "nowhere" / "a.reg")


def test_plot_cutout(cf: Campfire, name: str) -> None:
    import matplotlib.pyplot as plt

    def shapes(**options: Any) -> int:
        _, ax = plt.subplots()
        drawn = cf.plot_cutout(name, fov=3.2, ax=ax, **options)
        assert drawn is ax
        return len(ax.patches) + len(ax.lines) + len(ax.collections)

    everything, target, none = shapes(), shapes(shutters="target"), shapes(shutters=False)
    assert everything >= target > none
    assert cf.plot_cutout(name) is plt.gca()


@pytest.mark.parametrize(
    "options",
    [
        {"fov": 0.5},
        {"fov": 31},
        {"fov": float("nan")},
        {"size": 3},
        {"size": 5000},
        {"size": 64.5},
        {"shutters": "some"},
        {"shutter_style": {"targt": {}}},
        {"shutter_style": {"target": {"colour": "red"}}},
    ],
)
def test_what_cannot_be_drawn(cf: Campfire, name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        cf.plot_cutout(name, **options)


@pytest.mark.parametrize("bad", ["nobody", "../../x", "a/b", "x" * 300])
def test_unknown_objects(cf: Campfire, bad: str) -> None:
    for call in (cf.get_cutout, cf.get_shutters, cf.get_shutters_region, cf.plot_cutout):
        with pytest.raises(NotFoundError):
            call(bad)
    with pytest.raises(ValidationError):
        cf.get_cutout("")


def test_images_without_an_account(service: Service, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="not logged in"):
        Campfire(service.url, tmp_path).get_cutout("J1")


@pytest.mark.parametrize(
    "fov", [3, 3.0, np.float32(3), np.int64(3), np.array(3.0), 3 * u.arcsec, 0.05 * u.arcmin]
)
def test_a_field_of_view_is_any_number_or_angle(fov: Any, cf: Campfire, name: str) -> None:
    assert cf.get_cutout(name, fov=fov).name == f"{name}_fov3.png"


@pytest.mark.parametrize("fov", [True, "3", None, [3], np.nan, np.inf, 0.5, 31, 3 * u.s, 3j])
def test_what_is_no_field_of_view_is_refused(fov: Any, cf: Campfire, name: str) -> None:
    with pytest.raises(ValidationError, match="fov="):
        cf.get_cutout(name, fov=fov)
