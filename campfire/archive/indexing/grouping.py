"""Which spectra are one object on the sky, and what the object is called. Arrays in, arrays out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from campfire.typing import FloatArray

__all__ = ["FIELD_CENTRES", "group_positions", "mean_position", "nearest", "place_field"]

FIELD_CENTRES = {
    "cosmos": (150.12, 2.27),
    "uds": (34.40, -5.18),
    "egs": (214.90, 52.87),
    "goods-s": (53.12, -27.80),
    "goods-n": (189.21, 62.23),
    "a2744": (3.58, -30.39),
    "a370": (39.97, -1.58),
    "macs0417": (64.39, -11.91),
    "macs0647": (101.96, 70.25),
    "macs1149": (177.40, 22.40),
    "bullet": (104.63, -55.95),
}
"""Approximate centres (degrees) of well-known survey fields and clusters, by slug."""
FIELD_RADIUS = 1.2
"""Degrees around a centre that belong to the field; the widest, COSMOS, is 2 degrees across its diagonal."""


def _vectors(ra: FloatArray, dec: FloatArray) -> NDArray[np.float64]:
    """Return unit vectors, (n, 3): no seam at RA 0, no pole."""
    lon, lat = np.radians(np.asarray(ra, dtype=np.float64)), np.radians(np.asarray(dec, dtype=np.float64))
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def _chord(arcsec: float) -> float:
    return 2.0 * math.sin(math.radians(arcsec / 3600.0) / 2.0)


def group_positions(ra: FloatArray, dec: FloatArray, radius: float) -> NDArray[np.int64]:
    """Group positions: those within ``radius`` of each other are one group, also through others.

    Parameters
    ----------
    ra, dec
        1-D arrays, degrees.
    radius
        arcsec.

    Returns
    -------
    numpy.ndarray
        Group of each position; groups count from 0 in the order of their first member.

    Examples
    --------
    >>> group_positions(np.array([359.99999, 10.0, 0.00001]), np.array([0.0, 5.0, 0.0]), 0.3).tolist()
    [0, 1, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    count = len(ra)
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    pairs = cKDTree(_vectors(ra, dec)).query_pairs(_chord(radius), output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = connected_components(links, directed=False)[1]
    order: dict[int, int] = {}
    return np.array([order.setdefault(int(label), len(order)) for label in labels], dtype=np.int64)


def mean_position(ra: FloatArray, dec: FloatArray) -> tuple[float, float]:
    """Return the mean direction of positions in degrees; right also across RA 0.

    Examples
    --------
    >>> ra, dec = mean_position(np.array([359.0, 1.0]), np.array([0.0, 0.0]))
    >>> round(ra, 9) % 360, round(dec, 9)
    (0.0, 0.0)
    """
    if len(ra) == 1:
        return float(ra[0]), float(dec[0])
    x, y, z = _vectors(ra, dec).mean(axis=0)
    # Twice: a tiny negative angle becomes 360 the first time.
    return math.degrees(math.atan2(y, x)) % 360.0 % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def nearest(
    ra: FloatArray, dec: FloatArray, other_ra: FloatArray, other_dec: FloatArray, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each position the nearest of the others within ``radius`` (arcsec), and how far it is.

    Returns
    -------
    index, distance : numpy.ndarray
        -1 and NaN where there is none; distance in arcsec.
    """
    from scipy.spatial import cKDTree

    if len(ra) == 0 or len(other_ra) == 0:
        return np.full(len(ra), -1, dtype=np.int64), np.full(len(ra), np.nan)
    chord, index = cKDTree(_vectors(other_ra, other_dec)).query(
        _vectors(ra, dec), distance_upper_bound=_chord(radius) * (1 + 1e-12)
    )
    found = np.isfinite(chord)
    distance = np.where(
        found, np.degrees(2.0 * np.arcsin(np.where(found, chord, 0.0) / 2.0)) * 3600.0, np.nan
    )
    return np.where(found, index, -1).astype(np.int64), distance


def place_field(ra: float, dec: float) -> str | None:
    """Return the slug of the well-known field a position lies in, or None.

    Examples
    --------
    >>> place_field(150.1, 2.2), place_field(10.0, 80.0)
    ('cosmos', None)
    """
    names = list(FIELD_CENTRES)
    centres = np.array([FIELD_CENTRES[name] for name in names])
    index, _ = nearest(np.array([ra]), np.array([dec]), centres[:, 0], centres[:, 1], FIELD_RADIUS * 3600.0)
    return names[index[0]] if index[0] >= 0 else None
