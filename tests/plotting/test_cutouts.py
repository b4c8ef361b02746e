"""Cutouts: geometry on the sky, which shutter is whose, styles, regions."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import astropy.units as u
import matplotlib.image
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import assume, given
from hypothesis import strategies as st

from campfire.errors import NotFoundError, ValidationError
from campfire.imaging import plot_cutout
from campfire.plotting.cutouts import draw_cutout, offsets_arcsec, shutters_to_ds9_region


def _row(**changes: Any) -> dict[str, Any]:
    row = {
        "object_id": "obs_1",
        "source_id": 1,
        "center_ra": 150.0,
        "center_dec": 2.0,
        "position_angle": 30.0,
        "shutter_idx": 0,
        "dither_id": 0,
        "shutter_state": "source",
        "observation": "obs",
    }
    return row | changes


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cutout.png"
    matplotlib.image.imsave(path, np.random.default_rng(0).random((40, 40, 3)))
    return path


@given(st.floats(0, 360), st.floats(-89, 89), st.floats(-20, 20), st.floats(-20, 20))
def test_offsets_agree_with_astropy_everywhere(ra: float, dec: float, east: float, north: float) -> None:
    """Also across RA 0 and near the poles."""
    center = SkyCoord(ra, dec, unit="deg")
    point = center.directional_offset_by(np.arctan2(east, north) * u.rad, np.hypot(east, north) * u.arcsec)
    assume(np.hypot(east, north) > 1e-3)
    got = offsets_arcsec(point.ra.deg, point.dec.deg, ra, dec)
    assert got == pytest.approx((east, north), abs=2e-4)


def _strokes(ax: Any) -> list[np.ndarray]:
    return [line.get_xydata() for line in ax.lines if line.get_color() != "white"]


def test_a_shutter_east_of_the_centre_is_drawn_to_the_left_at_its_angle(image: Path) -> None:
    row = _row(center_ra=150.0 + 1 / 3600 / np.cos(np.radians(2.0)), position_angle=90.0)
    ax = draw_cutout(image, fov=4, shutters=[row], members={"obs_1"}, center=(150.0, 2.0))
    (box,) = _strokes(ax)
    assert box.mean(axis=0)[0] < -0.9
    width, height = np.ptp(box, axis=0)
    assert (width, height) == pytest.approx((0.46, 0.22), abs=1e-3)


def test_the_target_is_told_by_its_target_id_not_by_the_object_id(image: Path) -> None:
    rows = [_row(), _row(object_id="obs_2"), _row(shutter_state="stuck_closed")]
    shutters = {
        "shutters": rows,
        "meta": {"center_ra": 150.0, "center_dec": 2.0, "member_target_ids": ["obs_1"]},
    }
    ax = plot_cutout(image, shutters=shutters, object_id="J1000+02", fov=4)
    colors = [line.get_color() for line in ax.lines if line.get_color() != "white"]
    assert colors == ["#00ff00", "#cccccc", "#ef4444"]


@pytest.mark.parametrize(("which", "count"), [(True, 2), ("all", 2), ("target", 1), (False, 0)])
def test_which_shutters_are_drawn(image: Path, which: Any, count: int) -> None:
    rows = [_row(), _row(object_id="obs_2")]
    ax = draw_cutout(image, fov=4, shutters=rows, members={"obs_1"}, center=(150.0, 2.0), which=which)
    assert len(_strokes(ax)) == count


def test_partial_styles_are_merged_and_corners_are_four_strokes(image: Path) -> None:
    ax = draw_cutout(
        image,
        fov=4,
        shutters=[_row()],
        members={"obs_1"},
        center=(150.0, 2.0),
        shutter_style={"target": {"marker": "corners", "edgecolor": "cyan"}},
    )
    lines = [line for line in ax.lines if line.get_color() == "cyan"]
    assert len(lines) == 4
    assert all(np.asarray(line.get_xydata()).shape == (3, 2) for line in lines)
    assert ax.patches  # the face colour of the default is kept


@pytest.mark.parametrize("fov", [0.5, 31, float("nan"), "4", True])
def test_a_field_of_view_the_service_would_change_is_refused(image: Path, fov: Any) -> None:
    with pytest.raises(ValidationError, match="1 to 30"):
        draw_cutout(image, fov=fov)


def test_bad_words_and_styles_are_refused(image: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="'target'"):
        draw_cutout(image, fov=4, which="some")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="stuck_closed"):
        draw_cutout(image, fov=4, shutter_style={"mine": {}})
    with pytest.raises(ValidationError, match="edgecolor"):
        draw_cutout(image, fov=4, shutter_style={"target": {"colour": "red"}})
    with pytest.raises(ValidationError, match="centre"):
        plot_cutout(image, shutters=[_row()], fov=4)
    with pytest.raises(NotFoundError):
        draw_cutout(tmp_path / "none.png", fov=4)


def test_regions_name_members_first_and_keep_seven_decimals() -> None:
    text = shutters_to_ds9_region([_row(object_id="obs_0", source_id=0), _row()], {"obs_1"})
    boxes = [line for line in text.splitlines() if line.startswith("box")]
    assert text.startswith("# Region file format: DS9 version 4.1")
    assert "color=green" in boxes[0]
    assert "color=white" in boxes[1]
    assert boxes[0].startswith('box(150.0000000,2.0000000,0.22",0.46",30.0000)')
    assert "dash=1" in shutters_to_ds9_region([_row(shutter_state="stuck_closed")])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_HEADER = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
DAMAGED = {
    "nothing": b"",
    "no image": b"hello",
    "signature only": b"\x89PNG\r\n\x1a\n",
    "no pixels": b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", _HEADER) + _chunk(b"IEND", b""),
    "pixels that are none": b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", _HEADER) + _chunk(b"IDAT", b"x" * 9),
    "100,000 pixels a side": b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"")),
    "a text of 20 MB": b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", _HEADER)
    + _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000), 1))
    + _chunk(b"IDAT", zlib.compress(bytes(4 * 13))),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_images_that_are_damaged_or_too_large_unpacked(name: str, tmp_path: Path) -> None:
    """Statement: a kept image that is no image is a documented error."""
    path = tmp_path / "x.png"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ValidationError, match="cannot be read as an image"):
        draw_cutout(path, fov=5.0)
