"""The survey behind a simulated archive: programs, fields, observations, names, dates, who inspected what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from campfire.archive.simulate.instrument import GRATINGS

if TYPE_CHECKING:
    from campfire.typing import FloatArray

__all__ = [
    "FIELDS",
    "OBSERVATIONS",
    "PROGRAMS",
    "TAGS",
    "Field",
    "Observation",
    "Program",
    "Tag",
    "day",
    "place_objects",
    "product_stem",
    "timestamp",
    "visits_of",
]

INSPECTORS = ("0b6f0000-0000-0000-0000-000000000001", "0b6f0000-0000-0000-0000-000000000002")
"""Accounts that inspected objects; the second one owns the private list."""


@dataclass(frozen=True, slots=True)
class Program:
    """One observing program; ``number`` is the JWST program number."""

    slug: str
    name: str
    pi: str
    number: int
    public: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its slug, centre (degrees) and the photometric catalogues made of it."""

    name: str
    ra: float
    dec: float
    catalogues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation: what it belongs to, and how it was taken and reduced."""

    name: str
    program: str
    field: str
    gratings: tuple[str, ...]
    v3pa: float
    date: str
    version: str
    phase: float


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag (list): system tags are seeded for everyone, others belong to an account."""

    slug: str
    name: str
    description: str
    visibility: str = "public_edit"
    system: bool = True
    owner: str | None = None
    icon: str | None = None
    color: str | None = None


PROGRAMS = (
    Program("cosmos_ddt", "COSMOS-DDT", "B. Person", 9202, True),
    Program("ember-uds", "EMBER-UDS", "A. Person", 9101, True),
    Program("gleam", "GLEAM", "D. Person", 9404, True),
    Program("gto_wide", "GTO-WIDE", "C. Person", 9303, False),
)
# One field straddles RA 0 and one is at declination 62: both are where naive sky arithmetic fails.
FIELDS = (
    Field("uds", 34.3520, -5.1680, ("SIM UDS v1.1",)),
    Field("cosmos", 150.0832, 2.3511, ("SIM COSMOS v0.9", "SIM COSMOS ground v2")),
    Field("goods-n", 189.2280, 62.2380, ("SIM GOODS-N v0.9",)),
    Field("pisces", 0.0, 0.8140, ("SIM PISCES v0.2",)),
)
OBSERVATIONS = (
    Observation("ember_uds_p4", "ember-uds", "uds", ("PRISM", "G395M"), 12.4, "2025-08-04", "v0.5.1", 0.00),
    Observation("ember_uds_p5", "ember-uds", "uds", ("PRISM", "G235M"), 12.9, "2025-08-11", "v0.5.1", 0.37),
    Observation("gto_wide_uds_p1", "gto_wide", "uds", ("PRISM",), 197.1, "2024-01-20", "v0.3", 0.61),
    Observation(
        "cosmos_ddt_p1", "cosmos_ddt", "cosmos", ("PRISM", "G395M"), 281.6, "2025-04-30", "v0.5.0", 0.12
    ),
    Observation(
        "cosmos_ddt_p2", "cosmos_ddt", "cosmos", ("PRISM", "G140M"), 104.2, "2025-12-02", "v0.5.1", 0.55
    ),
    Observation("gleam_gn_p1", "gleam", "goods-n", ("PRISM", "G395M"), 228.8, "2025-02-07", "v0.5.0", 0.24),
    Observation("gto_wide_gn", "gto_wide", "goods-n", ("PRISM", "G395H"), 149.5, "2024-05-11", "v0.3", 0.83),
    Observation("gleam_psc_p1", "gleam", "pisces", ("PRISM", "G395M"), 66.0, "2025-06-29", "v0.5.1", 0.46),
    Observation(
        "gleam_psc_p2", "gleam", "pisces", ("PRISM", "G235H", "G395H"), 71.3, "2025-07-03", "v0.5.1", 0.70
    ),
)
TAGS = (
    Tag("lrd", "Little Red Dots", "Compact, red, V-shaped", icon="🔴", color="#ffcccb"),
    Tag("blagn", "Broad Line AGN", "Broad permitted lines", icon="🌀", color="#d6c5f0"),
    Tag("lae", "Lyα Emitters", "Lyα in emission", icon="✨", color="#c5e1f7"),
    Tag("bbg", "Balmer Break Galaxies", "Strong Balmer break"),
    Tag("o3e", "[OIII] Emitters", "Strong [OIII]", color="#c8f0c5"),
    Tag("hae", "Hα Emitters", "Strong Hα", color="#f7c5c5"),
    Tag("qg", "Quiescent Galaxies", "Little star formation"),
    Tag("dusty", "Dusty Galaxies", "Strongly attenuated"),
    Tag("star", "Stars", "Galactic stars", icon="⭐"),
    Tag(
        "follow-up",
        "Follow-up",
        "Worth a grating",
        visibility="public_read",
        system=False,
        owner=INSPECTORS[0],
    ),
    Tag(
        "my-secret-sample",
        "My secret sample",
        "Of another account",
        visibility="private",
        system=False,
        owner=INSPECTORS[1],
    ),
)

_EPOCH = datetime(2026, 1, 5, 6)


def timestamp(hours: float, *, zone: bool = True, digits: int = 6) -> str:
    """Return an ISO-8601 time ``hours`` after the archive's epoch (2026-01-05 06:00 UTC).

    Parameters
    ----------
    hours
        May be fractional.
    zone
        Whether to write the offset; some columns have none.
    digits
        Fractional digits, 0 to 6: services drop trailing zeros.

    Examples
    --------
    >>> timestamp(1.5, digits=0)
    '2026-01-05T07:30:00+00:00'
    """
    moment = _EPOCH + timedelta(hours=hours)
    fraction = f".{moment.microsecond:06d}"[: digits + 1] if digits else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}{'+00:00' if zone else ''}"


def day(date: str) -> float:
    """Return hours from the archive's epoch to midnight of a date.

    Examples
    --------
    >>> day("2026-01-06")
    18.0
    """
    return (datetime.fromisoformat(date) - _EPOCH) / timedelta(hours=1)


def product_stem(observation: str, grating: str, source_id: int) -> str:
    """Return the name of a product without its ending; this is the spectrum id.

    Examples
    --------
    >>> product_stem("ember_uds_p4", "PRISM", 123456)
    'ember_uds_p4_prism_clear_123456'
    """
    return f"{observation}_{grating}_{GRATINGS[grating].filter}_{source_id}".lower()


def place_objects(field: Field, number: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Scatter objects over a field, never closer to each other than about two arcsec.

    Parameters
    ----------
    field
        Its centre; objects lie on both sides of it.
    number
        How many.
    rng
        Moves them off a regular grid.

    Returns
    -------
    tuple of numpy.ndarray
        Right ascension and declination, degrees, in random order.
    """
    columns = max(2, int(np.ceil(np.sqrt(number))))
    cells = rng.permutation(columns * columns)[:number]
    if number > 1:
        # The first two lie left and right of the centre: a field at RA 0 has objects on both sides.
        order = np.argsort(cells % columns, kind="stable")
        cells = cells[np.concatenate([order[[0, -1]], np.sort(order[1:-1])])]
    spacing = float(np.clip(48.0 / columns, 6.0, 12.0))
    jitter = rng.uniform(-0.33, 0.33, (2, number))
    x = ((cells % columns) - (columns - 1) / 2.0 + jitter[0]) * spacing
    y = ((cells // columns) - (columns - 1) / 2.0 + jitter[1]) * spacing
    dec = field.dec + y / 3600.0
    ra = (field.ra + x / 3600.0 / np.cos(np.radians(field.dec))) % 360.0
    return ra, dec


def visits_of(index: int, field: str) -> list[tuple[Observation, tuple[str, ...]]]:
    """Return the observations of an object and the gratings used in each.

    Parameters
    ----------
    index
        Number of the object within its field: the pattern repeats every five.
    field
        Slug.
    """
    plans = [plan for plan in OBSERVATIONS if plan.field == field]
    first, second = plans[0], plans[1]
    patterns: tuple[list[tuple[Observation, tuple[str, ...]]], ...] = (
        # Seen by every observation of the field: several PRISM spectra to stack.
        [(first, first.gratings), *((plan, ("PRISM",)) for plan in plans[1:])],
        [(second, second.gratings)],
        [(first, ("PRISM",)), (second, second.gratings)],
        [(first, ("PRISM",))],
        [(first, first.gratings[1:]), (second, ("PRISM",))],
    )
    return patterns[index % len(patterns)]
