"""Names of spectrum products and what they tell, and names of objects."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import PurePath

__all__ = [
    "GRATINGS",
    "ForeignName",
    "ProductName",
    "object_name",
    "parse_foreign_name",
    "parse_product_name",
    "spectrum_name",
]

GRATINGS = ("PRISM", "G140M", "G235M", "G395M", "G140H", "G235H", "G395H")
"""Dispersers of NIRSpec, in order of resolution and wavelength."""

_KNOWN = frozenset(grating.lower() for grating in GRATINGS)
_PRODUCT = re.compile(r"(?P<stem>[a-z0-9][a-z0-9_.+-]*)_(?P<kind>spec|zfit)\.fits")
_SUFFIX = re.compile(r"[._-](?:spec|x1d|zfit)\.fits(?:\.gz)?$|\.fits(?:\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProductName:
    """What the name of a product says; ``kind`` is ``spec`` or ``zfit``."""

    observation: str
    grating: str
    filter: str
    source_id: int
    kind: str

    @property
    def spectrum_id(self) -> str:
        """The name without its ending."""
        return f"{self.target_stem}_{self.source_id}"

    @property
    def target_stem(self) -> str:
        """Observation, grating and filter as in the name."""
        return f"{self.observation}_{self.grating}_{self.filter}"

    @property
    def target_id(self) -> str:
        """The name of the target: observation and source."""
        return f"{self.observation}_{self.source_id}"


def parse_product_name(name: str | PathLike[str]) -> ProductName | None:
    """Take the name of a product file apart; None for every other file.

    Parameters
    ----------
    name
        A file name, or a path of which the last component is used. It is
        ``{observation}_{grating}_{filter}_{source_id}_spec.fits`` (or ``_zfit.fits``), all lowercase; the
        observation may itself contain ``_`` and digits. The temporary files of single groups
        (``..._g1_spec.fits``) are not products.

    Examples
    --------
    >>> parse_product_name("ember_uds_p4_prism_clear_123456_spec.fits").target_id
    'ember_uds_p4_123456'
    >>> parse_product_name("ember_uds_p4_prism_clear_123456_g1_spec.fits") is None
    True
    """
    match = _PRODUCT.fullmatch(PurePath(name).name)
    if match is None:
        return None
    parts = match["stem"].split("_")
    # grating, filter and source are always the last three: an observation may contain the name of a grating
    observation, (grating, filter_name, source) = "_".join(parts[:-3]), [*parts[-3:], "", "", ""][:3]
    canonical = re.fullmatch(r"0|-?[1-9]\d*", source) is not None
    if not (observation and grating in _KNOWN and filter_name and canonical):
        return None
    return ProductName(observation, grating, filter_name, int(source), match["kind"])


# How others name the files of 1-D spectra; what is not said by the name is None.
_DISPERSER = "|".join(grating.lower() for grating in GRATINGS)
_FOREIGN = (
    # DJA and msaexp: borg-v4_prism-clear_1747_732
    re.compile(rf"(?P<observation>.+)_(?P<grating>{_DISPERSER})-[a-z0-9]+_(?P<source>.+)", re.I),
    # JWST pipeline: jw02736-o007_s06355_nirspec_f290lp-g395m, jw01433-o100_b000000123_nirspec_clear-prism
    re.compile(
        rf"(?P<observation>jw\d{{5}}-[a-z0-9]+)_(?P<source>[a-z]*\d+)_nirspec_(?:[a-z0-9]+-)*?"
        rf"(?P<grating>{_DISPERSER})(?:[-_].*)?",
        re.I,
    ),
    # High-level products (CEERS, JADES): hlsp_jades_jwst_nirspec_goods-s-deephst-00002332_clear-prism_v1.0
    re.compile(
        r"hlsp_(?P<team>[a-z0-9-]+)_jwst_nirspec_(?P<observation>.+)-(?P<source>\d+)_(?:comb-)?"
        rf"(?:[a-z0-9]+-)?(?P<grating>{_DISPERSER}|[a-z0-9]+)_v.*",
        re.I,
    ),
)


# s06355 and 001027 are sources 6355 and 1027; another letter is another kind (background, virtual, target)
_NUMBERED = re.compile(r"s?(?P<kind>[a-z]*)0*(?P<number>\d+)", re.I)


@dataclass(frozen=True, slots=True)
class ForeignName:
    """What the name of a 1-D spectrum says that is not a product of CAMPFIRE; None is unknown.

    ``source`` is all that the name says of it, for numbers are unique within a program and a kind only:
    ``1747_732`` of program 1747, ``b7`` a background slit of the pipeline, ``t2`` a fixed-slit target.
    """

    observation: str | None = None
    grating: str | None = None
    source: str | None = None


def parse_foreign_name(name: str) -> ForeignName:
    """Take the name of a file of DJA, msaexp, CEERS, JADES or the JWST pipeline apart, as far as it goes.

    Examples
    --------
    >>> parse_foreign_name("borg-v4_prism-clear_1747_732.spec.fits")
    ForeignName(observation='borg-v4', grating='PRISM', source='1747_732')
    >>> parse_foreign_name("hlsp_ceers_jwst_nirspec_nirspec10-001027_prism_v0.7_x1d.fits")
    ForeignName(observation='ceers_nirspec10', grating='PRISM', source='1027')
    >>> parse_foreign_name("star.fits")
    ForeignName(observation=None, grating=None, source=None)
    """
    stem = spectrum_name(name)
    for pattern in _FOREIGN:
        match = pattern.fullmatch(stem)
        if match is not None:
            found = match.groupdict()
            observation = "_".join(filter(None, (found.get("team"), found["observation"]))).lower()
            grating = found["grating"].upper()
            numbered = _NUMBERED.fullmatch(found["source"])
            source = numbered["kind"].lower() + numbered["number"] if numbered else found["source"]
            return ForeignName(observation, grating if grating in GRATINGS else None, source)
    return ForeignName()


def spectrum_name(filename: str) -> str:
    """Return a file name without folder and without the endings of the known layouts.

    Examples
    --------
    >>> spectrum_name("borg-v4_prism-clear_1747_732.spec.fits.gz")
    'borg-v4_prism-clear_1747_732'
    """
    name = PurePath(filename).name
    return _SUFFIX.sub("", name) or name


def object_name(ra: float, dec: float, taken: Collection[str] = ()) -> str:
    """Return the name of an object at a position: ``JHHMMSS.ss+DDMMSS.s``, rounded.

    Parameters
    ----------
    ra, dec
        degrees.
    taken
        Names that others have: ``_1``, ``_2`` ... is added.

    Examples
    --------
    >>> object_name(150.00512, 2.25011)
    'J100001.23+021500.4'
    >>> object_name(359.9999999, -0.0000001, {"J000000.00-000000.0"})
    'J000000.00-000000.0_1'
    """
    centiseconds = round(ra % 360.0 * 24000.0) % 8640000
    tenths = round(abs(dec) * 36000.0)
    hours, left = divmod(centiseconds, 360000)
    minutes, left = divmod(left, 6000)
    degrees, dec_left = divmod(tenths, 36000)
    arcmin, dec_left = divmod(dec_left, 600)
    sign = "-" if dec < 0 else "+"
    name = f"J{hours:02d}{minutes:02d}{left / 100:05.2f}{sign}{degrees:02d}{arcmin:02d}{dec_left / 10:04.1f}"
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
