"""Whole tables, page by page (contract: sync endpoints)."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from campfire.archive.server.answers import answer, answer_embedding, refusal
from campfire.archive.server.archive import CallerDep, ServedDep
from campfire.archive.server.params import SyncParams, SyncQuery
from campfire.archive.server.routes.catalogue import NO_ROWS, paged
from campfire.archive.server.schemas import (
    DataError,
    PhotometrySync,
    SyncLists,
    SyncObjects,
    SyncSpectra,
    errors,
)

__all__ = ["router"]

router = APIRouter(tags=["sync"])
REFUSALS = errors(DataError, 400, 401)


def _since(params: SyncParams) -> datetime | None:
    """Return ``updated_since`` as a time in UTC, or refuse with 400."""
    text = params.updated_since.strip()
    if not text:
        return None
    try:
        # A `+` that was not percent-encoded arrives as a blank.
        moment = datetime.fromisoformat(text[:11] + text[11:].replace(" ", "+"))
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as err:
        raise refusal(400, f"updated_since {text!r} is not an ISO-8601 time") from err


@router.get("/sync/objects", response_model=SyncObjects, responses=REFUSALS)
def sync_objects(params: SyncQuery, caller: CallerDep, archive: ServedDep) -> Response:
    """Give every object, with its members and spectra."""
    since, page, counts = _since(params), params.page(), params.include_counts != "false"
    if not caller.programs:
        return answer(NO_ROWS)
    rows, total, accessible = caller.catalogue.sync_objects(
        caller.viewer, since=since, page=page, counts=counts
    )
    return answer(paged(rows, total, page) | {"total_accessible_count": accessible})


@router.get("/sync/spectra", response_model=SyncSpectra, responses=REFUSALS)
def sync_spectra(params: SyncQuery, caller: CallerDep, archive: ServedDep) -> Response:
    """Give every spectrum."""
    since, page, counts = _since(params), params.page(), params.include_counts != "false"
    if not caller.programs:
        return answer(NO_ROWS)
    rows, total, accessible = caller.catalogue.sync_spectra(
        caller.viewer, since=since, page=page, counts=counts
    )
    return answer(paged(rows, total, page) | {"total_accessible_count": accessible})


@router.get("/sync/photometry", response_model=PhotometrySync, responses=REFUSALS)
def sync_photometry(params: SyncQuery, caller: CallerDep, archive: ServedDep) -> Response:
    """Give every photometry record."""
    since, page = _since(params), params.page()
    if not caller.programs:
        return answer(NO_ROWS)
    rows, total = caller.catalogue.sync_photometry(caller.viewer, since=since, page=page)
    return answer_embedding(paged(rows, total, page), "photometry")


@router.get("/sync/lists", response_model=SyncLists, responses=errors(DataError, 401))
def sync_lists(caller: CallerDep, archive: ServedDep) -> Response:
    """Give every tag the caller can see."""
    return answer({"data": caller.catalogue.tags(caller.viewer) if caller.programs else []})
