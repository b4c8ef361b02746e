"""Statements checked: grouping on the sky against brute force, across RA 0 and at the poles; names."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.archive.indexing.grouping import group_positions, mean_position, nearest, place_field
from campfire.formats.names import object_name

RADIUS = 0.3
CENTRES = [(0.0, 0.0), (150.1, 2.2), (189.2, 62.2), (359.99999, -5.0), (10.0, 89.9999)]
OFFSETS = st.floats(-0.6, 0.6)


def separation(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance in arcsec by the haversine formula."""
    ra1, dec1, ra2, dec2 = map(math.radians, (*a, *b))
    h = math.sin((dec2 - dec1) / 2) ** 2 + math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(h))) * 3600


@st.composite
def clusters(draw: st.DrawFn) -> list[tuple[float, float]]:
    ra, dec = draw(st.sampled_from(CENTRES))
    offsets = draw(st.lists(st.tuples(OFFSETS, OFFSETS), max_size=12))
    cos = math.cos(math.radians(dec))
    return [((ra + x / 3600 / cos) % 360, max(min(dec + y / 3600, 90.0), -90.0)) for x, y in offsets]


@given(clusters())
def test_groups_are_the_connected_components(points: list[tuple[float, float]]) -> None:
    ra, dec = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    labels = group_positions(ra, dec, RADIUS).tolist()
    expected: list[int] = list(range(len(points)))
    for _ in points:  # as often as a chain can be long
        for i, a in enumerate(points):
            for j, b in enumerate(points):
                if separation(a, b) <= RADIUS:
                    expected[i] = expected[j] = min(expected[i], expected[j])
    order: dict[int, int] = {}
    assert labels == [order.setdefault(label, len(order)) for label in expected]


@given(clusters(), clusters())
def test_nearest_is_the_nearest(points: list[tuple[float, float]], others: list[tuple[float, float]]) -> None:
    a, b, c, d = (np.array([p[k] for p in group]) for group in (points, others) for k in (0, 1))
    index, distance = nearest(a, b, c, d, RADIUS)
    for point, i, far in zip(points, index, distance, strict=True):
        away = [separation(point, other) for other in others]
        if i < 0:
            assert math.isnan(far)
            assert min(away, default=math.inf) > RADIUS * (1 - 1e-6)
        else:
            assert away[i] == pytest.approx(min(away), abs=1e-6)
            assert far == pytest.approx(away[i], abs=1e-6)


@given(st.floats(0, 359.999999), st.floats(-90, 90))
def test_a_name_says_where_the_object_is(ra: float, dec: float) -> None:
    name = object_name(ra, dec)
    assert len(name) == len("J100001.23+021500.4")
    hours, minutes, seconds = int(name[1:3]), int(name[3:5]), float(name[5:10])
    degrees, arcmin, arcsec = int(name[11:13]), int(name[13:15]), float(name[15:])
    assert hours < 24
    assert minutes < 60
    assert seconds < 60
    assert arcmin < 60
    assert arcsec < 60
    again = (hours + minutes / 60 + seconds / 3600) * 15
    assert abs((again - ra + 180) % 360 - 180) * 240 <= 0.0051
    sign = -1 if name[10] == "-" else 1
    assert abs(sign * (degrees + arcmin / 60 + arcsec / 3600) - dec) * 3600 <= 0.0501


def test_names_do_not_collide() -> None:
    taken: set[str] = set()
    for _ in range(3):
        taken.add(object_name(214.8922, 52.8774, taken))
    assert taken == {"J141934.13+525238.6", "J141934.13+525238.6_1", "J141934.13+525238.6_2"}


def test_mean_position_across_zero() -> None:
    ra, dec = mean_position(np.array([359.9999, 0.0001]), np.array([10.0, 10.0]))
    assert min(ra, 360 - ra) == pytest.approx(0.0, abs=1e-9)
    assert dec == pytest.approx(10.0, abs=1e-6)


def test_fields() -> None:
    assert place_field(34.3, -5.2) == "uds"
    assert place_field(3.6, -30.4) == "a2744"
    assert place_field(250.0, 10.0) is None
