"""What a list request asks for, after the wire's lenient parsing and before SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Cone", "Interval", "ListRequest", "Page"]

Interval = tuple[float | None, float | None]
"""Inclusive bounds; None is open."""


@dataclass(frozen=True, slots=True)
class Cone:
    """Centre in degrees, radius in arcsec."""

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True, slots=True)
class Page:
    """Rows ``offset`` to ``offset + limit``."""

    limit: int = 1000
    offset: int = 0

    def aligned(self) -> Page:
        """Return the page a page-numbering server gives: the one of ``limit`` rows that holds ``offset``.

        Examples
        --------
        >>> Page(limit=10, offset=25).aligned()
        Page(limit=10, offset=20)
        """
        return Page(self.limit, self.offset - self.offset % self.limit) if self.limit else self


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """The vocabulary of ``/objects`` and ``/spectra/list``; an empty tuple or None is no filter."""

    programs: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    gratings: tuple[str, ...] = ()
    gratings_mode: Literal["any", "all", "none"] = "any"
    observations: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    redshift: Interval = (None, None)
    redshift_quality: tuple[int, ...] = ()
    max_snr: Interval = (None, None)
    max_exposure_time: Interval = (None, None)
    photo_z: Interval = (None, None)
    inspected_only: bool | None = None
    needs_review: bool | None = None
    has_photometry: bool | None = None
    search: str = ""
    cone: Cone | None = None
    include_all: int = 0
    exclude: int = 0
    include_any: int = 0
    legacy_flags: int = 0
    sort: str = ""
    descending: bool = False
    page: Page = field(default_factory=Page)
