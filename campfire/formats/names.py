"""File names of spectrum products, and what they tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import PurePath

__all__ = ["GRATINGS", "ProductName", "parse_product_name", "spectrum_name"]

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


def spectrum_name(filename: str) -> str:
    """Return a file name without folder and without the endings of the known layouts.

    Examples
    --------
    >>> spectrum_name("borg-v4_prism-clear_1747_732.spec.fits.gz")
    'borg-v4_prism-clear_1747_732'
    """
    name = PurePath(filename).name
    return _SUFFIX.sub("", name) or name
