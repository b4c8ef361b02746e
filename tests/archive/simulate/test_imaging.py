"""Statement checked: mosaics have a right WCS and the objects at their places; shutters lie as described."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.archive.simulate.imaging import NOISE, PIXEL, Blob, render
from campfire.archive.simulate.shutters import Slitlet, draw_slitlet


def test_a_blob_keeps_its_flux_and_lies_east_to_the_left() -> None:
    blob = Blob(3.0, 1.2, 0.2, 0.6, 30.0, {"f277w": 500.0})
    image = render([blob], "f277w", 301, np.random.default_rng(0)).astype(float)
    assert image.sum() == pytest.approx(500.0, rel=0.02)
    rows, columns = np.indices(image.shape)
    assert (image * columns).sum() / image.sum() == pytest.approx(150 - 3.0 / PIXEL, abs=1.0)
    assert (image * rows).sum() / image.sum() == pytest.approx(150 + 1.2 / PIXEL, abs=1.0)


def test_the_long_axis_points_east_of_north() -> None:
    blob = Blob(0.0, 0.0, 0.4, 0.3, 45.0, {"f277w": 500.0})
    image = render([blob], "f277w", 201, np.random.default_rng(0)).astype(float)
    rows, columns = np.indices(image.shape) - 100.0
    # North-east is up and left: rows and columns are anticorrelated.
    assert (image * rows * columns).sum() < 0.0


def test_an_empty_image_is_noise() -> None:
    image = render([], "f115w", 400, np.random.default_rng(1))
    assert image.dtype == np.float32
    assert image.std() == pytest.approx(NOISE["f115w"], rel=0.02)


@given(
    ra=st.sampled_from([0.0, 0.00001, 150.1, 359.99999]),
    dec=st.floats(-62.0, 62.0),
    v3pa=st.floats(0.0, 359.9),
    seed=st.integers(0, 1000),
    stuck=st.booleans(),
)
def test_shutters_follow_from_the_roll_and_the_pitch(
    ra: float, dec: float, v3pa: float, seed: int, stuck: bool
) -> None:
    slitlet = draw_slitlet(ra, dec, v3pa, stuck=stuck, rng=np.random.default_rng(seed))
    rows = slitlet.shutters("obs_1_77", 77, "obs_1")
    assert len(rows) == 9 * slitlet.dithers
    assert {row["shutter_state"] for row in rows} == {"source", "open"} | (
        {"stuck_closed"} if stuck else set()
    )
    angle = (v3pa + 138.5) % 360.0
    along = np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    seen: dict[int, list[int]] = {}
    for row in rows:
        assert row["object_id"] == "obs_1_77"
        assert 0.0 <= row["center_ra"] < 360.0
        assert row["position_angle"] == pytest.approx(angle, abs=1e-4)
        assert (row["shutter_state"] == "source") == (row["shutter_idx"] == 0)
        east = ((row["center_ra"] - ra + 180.0) % 360.0 - 180.0) * 3600.0 * np.cos(np.radians(dec))
        offset = np.array([east, (row["center_dec"] - dec) * 3600.0])
        # Along the slitlet by whole pitches, but for the place of the source in its shutter.
        steps = offset @ along / 0.53 + slitlet.offset[1]
        assert steps == pytest.approx(row["shutter_idx"], abs=1e-4)
        assert abs(offset @ np.array([along[1], -along[0]])) < 0.5 * 0.27
        seen.setdefault(row["shutter_idx"], []).append(row["dither_id"])
    assert all(ids == list(range(len(ids))) for ids in seen.values())
    assert len(seen[0]) == 3 * slitlet.dithers


def test_exposures_say_which_shutters_were_open() -> None:
    slitlet = Slitlet(10.0, 2.0, 100.0, (0.1, -0.2), stuck=1)
    rows = slitlet.exposures("jw01", 3000.0)
    # From +PA to -PA; the shutter on the +PA side is stuck, in the third nod the slitlet does not reach it.
    assert [row["shutter_state"] for row in rows] == ["0x1", "10x", "x11"]
    assert sum(row["exptime"] for row in rows) == pytest.approx(3000.0)
    assert {row["nod_type"] for row in rows} == {"3-SHUTTER-SLITLET"}
    assert rows[0]["source_xpos"] == pytest.approx(0.6)
    assert rows[0]["source_ypos"] == pytest.approx(0.3)
