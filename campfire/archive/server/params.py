"""Query parameters: documented as text, read leniently, as the deployed service reads them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from campfire.archive.catalogue.list_request import Cone, Interval, ListRequest, Page

__all__ = ["ListParams", "PageParams", "SyncParams", "boolean", "number", "words"]

DEFAULT_LIMIT = 1000
_LARGEST = 2**63 - 1

Text = Annotated[str, Field(max_length=100_000)]


def words(text: str) -> tuple[str, ...]:
    """Split comma-separated text; blanks are dropped.

    Examples
    --------
    >>> words("cosmos, uds,,")
    ('cosmos', 'uds')
    """
    return tuple(item for item in (part.strip() for part in text.split(",")) if item)


def boolean(text: str) -> bool | None:
    """Read true (any case) as True, no text as None, any other text as False."""
    return None if text == "" else text.lower() == "true"


def number(text: str) -> float | None:
    """Read a finite number, else None.

    Examples
    --------
    >>> number("4.5"), number("four"), number("nan")
    (4.5, None, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def integer(text: str, default: int) -> int:
    """Read an integer of 0 or more that SQL can hold, else ``default``."""
    try:
        value = int(text)
    except ValueError:
        return default
    return value if 0 <= value <= _LARGEST else default


def integers(text: str) -> tuple[int, ...]:
    """Read comma-separated integers, dropping what is none."""
    return tuple(value for item in words(text) if (value := integer(item, -1)) >= 0)


class PageParams(BaseModel):
    """Which rows."""

    model_config = ConfigDict(extra="ignore")

    limit: Text = Field("", description="Rows a page (1000)")
    offset: Text = Field("", description="First row; a multiple of limit")

    def page(self) -> Page:
        """Return what was asked for."""
        return Page(integer(self.limit, DEFAULT_LIMIT), integer(self.offset, 0))


class SyncParams(PageParams):
    """Parameters of the sync endpoints."""

    updated_since: Text = Field("", description="ISO-8601 time; only rows changed after it")
    include_counts: Text = Field("", description="`false` skips counting")


class ListParams(PageParams):
    """Parameters of ``/objects`` and ``/spectra/list``: comma-separated lists, numbers, true or false."""

    programs: Text = ""
    fields_: Text = Field("", alias="fields")
    gratings: Text = ""
    gratings_mode: Text = Field("", description="`any`, `all` or `none` (objects)")
    observations: Text = ""
    redshift_min: Text = ""
    redshift_max: Text = ""
    redshift_quality: Text = ""
    max_snr_min: Text = ""
    max_snr_max: Text = ""
    max_exposure_time_min: Text = ""
    max_exposure_time_max: Text = ""
    photo_z_min: Text = ""
    photo_z_max: Text = ""
    lists: Text = Field("", description="Tag slugs")
    inspected_only: Text = ""
    needs_review: Text = ""
    has_photometry: Text = ""
    search: Annotated[str, Field(max_length=1000)] = ""
    ra: Text = ""
    dec: Text = ""
    radius: Text = Field("", description="arcsec; with ra and dec in degrees")
    dq_flags: Text = ""
    dq_flags_include_all: Text = ""
    dq_flags_exclude: Text = ""
    dq_flags_include_any: Text = ""
    sort: Text = ""
    sort_dir: Text = Field("", description="`asc` or `desc`")

    def _interval(self, name: str) -> Interval:
        return number(getattr(self, f"{name}_min")), number(getattr(self, f"{name}_max"))

    def request(self) -> ListRequest:
        """Return what was asked for."""
        ra, dec, radius = number(self.ra), number(self.dec), number(self.radius)
        modes: dict[str, Literal["any", "all", "none"]] = {"all": "all", "none": "none"}
        return ListRequest(
            programs=words(self.programs),
            fields=words(self.fields_),
            gratings=words(self.gratings),
            gratings_mode=modes.get(self.gratings_mode, "any"),
            observations=words(self.observations),
            lists=words(self.lists),
            redshift=self._interval("redshift"),
            redshift_quality=integers(self.redshift_quality),
            max_snr=self._interval("max_snr"),
            max_exposure_time=self._interval("max_exposure_time"),
            photo_z=self._interval("photo_z"),
            inspected_only=boolean(self.inspected_only),
            needs_review=boolean(self.needs_review),
            has_photometry=boolean(self.has_photometry),
            search=self.search,
            cone=None if ra is None or dec is None or radius is None else Cone(ra, dec, radius),
            include_all=integer(self.dq_flags_include_all, 0),
            exclude=integer(self.dq_flags_exclude, 0),
            include_any=integer(self.dq_flags_include_any, 0),
            legacy_flags=integer(self.dq_flags, 0),
            sort=self.sort,
            descending=self.sort_dir == "desc",
            page=self.page(),
        )


ListQuery = Annotated[ListParams, Query()]
SyncQuery = Annotated[SyncParams, Query()]
PageQuery = Annotated[PageParams, Query()]
