"""The viewer: a page that shows objects in a browser, and what it asks for.

Whatever is answered here is answered as if the programs that the account cannot read did not exist, also
where the REST interface answers as the deployed service does.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from campfire.archive.catalogue.reader import Viewer
from campfire.archive.server.accounts import User
from campfire.archive.server.answers import answer, refusal
from campfire.archive.server.archive import Archive, Caller, ServedDep, bearer_user
from campfire.archive.server.body import form_body
from campfire.archive.server.html_pages import message_page, sign_in_page
from campfire.archive.server.params import ListQuery
from campfire.archive.server.routes.auth import SESSION_COOKIE
from campfire.archive.server.routes.catalogue import NO_ROWS, paged
from campfire.archive.server.routes.imaging import (
    SHUTTER_HEIGHT_ARCSEC,
    SHUTTER_WIDTH_ARCSEC,
    picture,
)
from campfire.archive.server.routes.signin import from_elsewhere, keep_signed_in, sign_in
from campfire.archive.server.spectrum_panels import spectrum_panel
from campfire.plotting.panels.page import page_html, page_policy

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(form_body)]

PURPOSE = "Sign in to look at the spectra of this archive."
CUTOUT_FOV = 6.0
_PAGE_HEADERS = {
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_DATA_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}


def person_looking(request: Request, archive: Archive) -> User | None:
    """Return whose session cookie or token the request bears; the guest, where access is open."""
    if "authorization" in request.headers:
        return bearer_user(request, archive)
    return archive.accounts.user_of_session(request.cookies.get(SESSION_COOKIE, "")) or archive.guest()


def looking(request: Request, archive: ServedDep) -> Caller:
    """Return who is looking, or refuse with 401 (a dependency)."""
    user = person_looking(request, archive)
    if user is None:
        raise refusal(401, "you are signed out")
    programs = archive.programs_of(user)
    return Caller(user, Viewer(programs, user.id), archive.exact_catalogue_for(programs))


LookingDep = Annotated[Caller, Depends(looking)]


@router.get("/view")
@router.get("/view/{name:path}")
def page(request: Request, archive: ServedDep, name: str = "") -> Response:
    """Show the page; which object is in its address is for its script."""
    user = person_looking(request, archive)
    if user is None:
        return sign_in_page(purpose=PURPOSE)
    settings = {
        "server": True,
        "who": user.full_name or user.email or "Guest",
        "shutter": [SHUTTER_WIDTH_ARCSEC, SHUTTER_HEIGHT_ARCSEC],
        "fov": CUTOUT_FOV,
    }
    policy = {"Content-Security-Policy": f"{page_policy()}; frame-ancestors 'none'"}
    shown = Response(
        page_html(settings), headers=_PAGE_HEADERS | policy, media_type="text/html; charset=utf-8"
    )
    _renew(request, shown, archive, user)
    return shown


@router.post("/view")
@router.post("/view/{name:path}")
async def enter(request: Request, form: Form, archive: ServedDep, name: str = "") -> Response:
    """Take the sign-in, and go back to where it was asked for."""
    if from_elsewhere(request, archive):
        return message_page("Not from here", "This form was sent by another site.", status=403)
    if "password" not in form:
        return sign_in_page(purpose=PURPOSE, status=400)
    return await sign_in(request, form, archive, location=f"?{request.url.query}", purpose=PURPOSE)


@router.get("/viewer/objects")
def objects(params: ListQuery, caller: LookingDep) -> Response:
    """List objects, with the parameters of ``/objects``."""
    if not caller.programs:
        return answer(NO_ROWS, headers=_DATA_HEADERS)
    request = params.request()
    rows, total = caller.catalogue.objects(request, caller.viewer)
    return answer(paged(rows, total, request.page), headers=_DATA_HEADERS)


@router.get("/viewer/names")
def names(params: ListQuery, caller: LookingDep) -> Response:
    """List the names of all objects that match, in order: what next and previous go through."""
    found = caller.catalogue.object_names(params.request(), caller.viewer) if caller.programs else []
    return answer({"data": found}, headers=_DATA_HEADERS)


@router.get("/viewer/words")
def words(caller: LookingDep) -> Response:
    """Give what can be chosen from: programs, fields, gratings, tags."""
    if not caller.programs:
        return answer({"programs": [], "fields": [], "gratings": [], "tags": []}, headers=_DATA_HEADERS)
    found = caller.catalogue.metadata(caller.viewer)
    chosen = {name: found[name] for name in ("fields", "gratings")}
    chosen["programs"] = [row["slug"] for row in found["programs"]]
    chosen["tags"] = [
        {name: row[name] for name in ("slug", "name")} for row in caller.catalogue.tags(caller.viewer)
    ]
    return answer(chosen, headers=_DATA_HEADERS)


@router.get("/viewer/object")
def one_object(request: Request, caller: LookingDep, archive: ServedDep, object_id: str = "") -> Response:
    """Give everything that is shown of an object but its picture."""
    found = caller.catalogue.object_with_spectra(object_id, caller.viewer) if caller.programs else None
    if found is None:
        raise refusal(404, f"no object {object_id!r}")
    row, spectra = found
    body = {
        "object": row,
        "spectra": [spectrum_panel(archive.files, one) for one in spectra],
        "shutters": caller.catalogue.shutters(row["field"], row["ra"], row["dec"], CUTOUT_FOV / 2),
    }
    shown = answer(body, headers=_DATA_HEADERS)
    _renew(request, shown, archive, caller.user)
    return shown


@router.get("/viewer/cutout")
async def cutout(caller: LookingDep, archive: ServedDep, object_id: str = "") -> Response:
    """Give the picture around an object."""
    shown = await picture(caller, archive, object_id, str(CUTOUT_FOV), "300")
    shown.headers.update({"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=600"})
    return shown


def _renew(request: Request, shown: Response, archive: Archive, user: User) -> None:
    """Start the time of a session anew: people look for longer than it takes to sign in a device."""
    if archive.accounts.user_of_session(request.cookies.get(SESSION_COOKIE, "")) == user:
        keep_signed_in(request, shown, archive, user)
