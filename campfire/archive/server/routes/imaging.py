"""Cutouts and shutters around an object (contract: cutout, shutters)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from campfire.archive.server.answers import answer, refusal
from campfire.archive.server.archive import Archive, Caller, CallerDep, ServedDep
from campfire.archive.server.cutouts import FOV_LIMITS, SIZE_LIMITS, clamp
from campfire.archive.server.params import number
from campfire.archive.server.routes.catalogue import cache_header
from campfire.archive.server.schemas import DataError, errors
from campfire.archive.server.schemas_files import ShutterField
from campfire.errors import NotFoundError

__all__ = ["SHUTTER_HEIGHT_ARCSEC", "SHUTTER_WIDTH_ARCSEC", "picture", "router"]

router = APIRouter(tags=["imaging"])
REFUSALS = errors(DataError, 400, 401, 403, 404)

DEFAULT_FOV = 5.0
SHUTTER_WIDTH_ARCSEC = 0.22
SHUTTER_HEIGHT_ARCSEC = 0.46


def _within(text: str, name: str, limits: tuple[float, float], archive: Archive) -> float | None:
    """Read a number and clamp it (or refuse it, where the server is fixed); None for no text."""
    if not text:
        return None
    value = number(text)
    if value is None:
        raise refusal(400, f"{name} {text!r} is not a finite number")
    if archive.fixed and not limits[0] <= value <= limits[1]:
        raise refusal(400, f"{name} {text} is not between {limits[0]:g} and {limits[1]:g}")
    return clamp(value, limits)


def _object(object_id: str, caller: Caller, archive: Archive) -> dict[str, Any]:
    """Return name, position, field and programs of an object the caller can read, else refuse."""
    if not object_id:
        raise refusal(400, "object_id is missing")
    if not caller.programs:
        raise refusal(403, "this account can read no program")
    found = caller.catalogue.object_place(object_id)
    if found is None:
        raise refusal(404, f"no object {object_id!r}")
    if caller.programs.isdisjoint(found["programs"]):
        raise refusal(403, f"this account can read no program of {object_id!r}")
    return found


@router.get(
    "/cutout",
    response_class=Response,
    responses=REFUSALS
    | errors(DataError, 503)
    | {200: {"description": "A picture", "content": {"image/png": {}}}},
)
async def cutout(
    caller: CallerDep, archive: ServedDep, object_id: str = "", fov: str = "", size: str = ""
) -> Response:
    """Give a colour picture around an object: north up, east left, ``fov`` arcsec wide."""
    return await picture(caller, archive, object_id, fov, size)


async def picture(caller: Caller, archive: Archive, object_id: str, fov: str, size: str) -> Response:
    """Return the picture, or refuse."""
    width = _within(fov, "fov", FOV_LIMITS, archive) or DEFAULT_FOV
    pixels = _within(size, "size", SIZE_LIMITS, archive)
    place = await run_in_threadpool(_object, object_id, caller, archive)

    def draw() -> bytes:
        where = place["field"], place["ra"], place["dec"]
        return archive.cutouts.png(*where, width, None if pixels is None else round(pixels))

    try:
        content = await archive.drawing.run(draw)
    except NotFoundError as err:
        raise refusal(404, err.message) from err
    return Response(content, media_type="image/png", headers=cache_header(archive, 7 * 86400))


@router.get("/shutters", response_model=ShutterField, responses=REFUSALS)
def shutters(caller: CallerDep, archive: ServedDep, object_id: str = "", fov: str = "") -> Response:
    """Give the shutters in a box of half-width ``fov`` arcsec around an object, of every program."""
    half = _within(fov, "fov", FOV_LIMITS, archive) or DEFAULT_FOV
    place = _object(object_id, caller, archive)
    meta = {
        "shutter_width_arcsec": SHUTTER_WIDTH_ARCSEC,
        "shutter_height_arcsec": SHUTTER_HEIGHT_ARCSEC,
        "center_ra": place["ra"],
        "center_dec": place["dec"],
        "radius_arcsec": half,
        "field": place["field"],
    }
    rows = caller.catalogue.shutters(place["field"], place["ra"], place["dec"], half)
    return answer({"shutters": rows, "meta": meta})
