"""Catalogue queries (contract: catalogue queries)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from campfire.archive.catalogue.list_request import Page
from campfire.archive.server.answers import answer
from campfire.archive.server.archive import Archive, CallerDep, ServedDep
from campfire.archive.server.params import ListQuery
from campfire.archive.server.schemas import (
    DataError,
    Metadata,
    ObjectPage,
    Observations,
    SpectrumPage,
    errors,
)
from campfire.archive.server.schemas_files import Version
from campfire.typing import Row

__all__ = ["NO_ROWS", "cache_header", "paged", "router"]

router = APIRouter(tags=["catalogue"])
REFUSALS = errors(DataError, 400, 401)

NO_ROWS: Row = {"data": [], "pagination": {"total": 0, "limit": 0, "offset": 0}}
"""What an account that can read no program at all is given."""


def paged(rows: list[Row], total: int, page: Page) -> dict[str, Any]:
    """Return the envelope of a page; it repeats the offset that was asked for."""
    return {"data": rows, "pagination": {"total": total, "limit": page.limit, "offset": page.offset}}


def cache_header(archive: Archive, seconds: int) -> dict[str, str]:
    """Return a Cache-Control header; ``public``, though what it covers is not, unless the server is fixed."""
    return {"Cache-Control": "private, no-cache" if archive.fixed else f"public, max-age={seconds}"}


@router.get("/objects", response_model=ObjectPage, responses=REFUSALS)
def list_objects(params: ListQuery, caller: CallerDep, archive: ServedDep) -> Response:
    """List objects."""
    if not caller.programs:
        return answer(NO_ROWS)
    request = params.request()
    rows, total = caller.catalogue.objects(request, caller.viewer)
    return answer(paged(rows, total, request.page))


@router.get("/spectra/list", response_model=SpectrumPage, responses=REFUSALS)
def list_spectra(params: ListQuery, caller: CallerDep, archive: ServedDep) -> Response:
    """List spectra."""
    if not caller.programs:
        return answer(NO_ROWS)
    request = params.request()
    rows, total = caller.catalogue.spectra(request, caller.viewer)
    return answer(paged(rows, total, request.page))


@router.get("/metadata", response_model=Metadata, responses=errors(DataError, 401))
def metadata(caller: CallerDep, archive: ServedDep) -> Response:
    """List programs, fields, gratings and observations."""
    if not caller.programs:
        return answer({"programs": [], "fields": [], "gratings": [], "observations": []})
    return answer(caller.catalogue.metadata(caller.viewer), headers=cache_header(archive, 300))


@router.get("/observations", response_model=Observations, responses=errors(DataError, 401))
def observations(caller: CallerDep, archive: ServedDep) -> Response:
    """List observations with their sizes."""
    rows = caller.catalogue.observations(caller.viewer) if caller.programs else []
    return answer({"observations": rows})


@router.get("/version", response_model=Version)
async def version() -> Response:
    """Tell the versions of the official client; without a thread, so also where all of them are taken."""
    return answer({"latest": "0.4.0", "minimum": "0.4.0"}, headers={"Cache-Control": "public, max-age=3600"})
