"""Files and what is derived from them (contract: file access)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from campfire.archive.server.answers import answer, refusal
from campfire.archive.server.archive import Archive, Caller, CallerDep, ServedDep, origin_of
from campfire.archive.server.file_links import LINK, MANIFEST_SECONDS, SINGLE_SECONDS
from campfire.archive.server.params import boolean
from campfire.archive.server.ranges import file_answer
from campfire.archive.server.routes.catalogue import cache_header
from campfire.archive.server.schemas import DataError, errors
from campfire.archive.server.schemas_files import FileLink, Manifest, SpectrumPreview, ZFit
from campfire.errors import CampfireError
from campfire.formats.plot_payloads import redshift_fit_payload, spectrum_payload
from campfire.typing import Row

__all__ = ["links", "router"]

router = APIRouter(tags=["files"])
links = APIRouter(tags=["files"])
FITS: dict[str, Any] = {"content": {"application/fits": {}}}


@router.get("/observations/{name}/manifest", response_model=Manifest, responses=errors(DataError, 401, 404))
def manifest(name: str, request: Request, caller: CallerDep, archive: ServedDep) -> Response:
    """List the files of an observation, each with a link that needs no token."""
    found = caller.catalogue.manifest(name, caller.viewer) if caller.programs else None
    if found is None:
        raise refusal(404, f"no observation {name!r} here")
    expires = int(archive.accounts.clock()) + MANIFEST_SECONDS
    origin = origin_of(request, archive)
    for row in found["spectra"]:
        row["download_url"] = archive.files.link(
            origin, name, row["fits_path"], expires, _holder(archive, caller)
        )
    ends = datetime.fromtimestamp(expires, UTC).isoformat(timespec="milliseconds")
    found["url_expires_at"] = ends.replace("+00:00", "Z")
    return answer(found)


@router.get(
    "/spectra",
    response_model=FileLink,
    responses=errors(DataError, 400, 401, 403, 404) | {307: {"description": "The link itself"}},
)
def file_link(
    request: Request, caller: CallerDep, archive: ServedDep, path: str = "", redirect: str = ""
) -> Response:
    """Give a link to one file; with ``redirect=true``, go there."""
    if not path:
        raise refusal(400, "path is missing")
    row = _readable(caller.catalogue.spectrum(fits_path=path), caller, f"no file {path!r}")
    expires = int(archive.accounts.clock()) + SINGLE_SECONDS
    url = archive.files.link(
        origin_of(request, archive), row["observation"], row["fits_path"], expires, _holder(archive, caller)
    )
    if boolean(redirect):
        return Response(status_code=307, headers={"Location": url})
    return answer({"url": url})


@router.get("/spectrum", response_model=SpectrumPreview, responses=errors(DataError, 400, 401, 403, 404, 502))
def spectrum_preview(
    caller: CallerDep, archive: ServedDep, spectrum_id: str = "", path: str = ""
) -> Response:
    """Give the arrays to plot a spectrum from."""
    if not spectrum_id and not path:
        raise refusal(400, "give spectrum_id or path")
    wanted = {"fits_path": path} if path else {"spectrum_id": spectrum_id}
    row = _readable(caller.catalogue.spectrum(**wanted), caller, f"no spectrum {path or spectrum_id!r}")
    file = archive.files.find(row["observation"], row["fits_path"])
    if file is None:
        raise refusal(502, "the file of this spectrum is not here")
    try:
        payload = spectrum_payload(file)
    except CampfireError as err:
        raise refusal(502, f"the file of this spectrum cannot be read: {err.message}") from err
    return answer(payload, headers=cache_header(archive, 86400))


@router.get("/redshift-fit", response_model=ZFit, responses=errors(DataError, 400, 401, 403, 404, 502))
def redshift_fit(
    caller: CallerDep,
    archive: ServedDep,
    path: str = "",
    target_id: str = "",
    grating: str = "",
    spectrum_id: str = "",
) -> Response:
    """Give a redshift fit by ``path``, or by ``target_id`` and ``grating``; not by ``spectrum_id``."""
    if path:
        wanted = {"fits_path": path}
    elif target_id and grating:
        wanted = {"target_id": target_id, "grating": grating}
    elif spectrum_id and archive.fixed:
        wanted = {"spectrum_id": spectrum_id}
    else:
        raise refusal(400, "give target_id and grating, or path")
    row = _readable(caller.catalogue.spectrum(**wanted), caller, "no such spectrum")
    file = archive.files.find(row["observation"], row["fits_path"], "zfit")
    if file is None:
        raise refusal(404, "this spectrum has no redshift fit")
    try:
        return answer(redshift_fit_payload(file))
    except CampfireError as err:
        raise refusal(502, f"the redshift fit cannot be read: {err.message}") from err


@links.head(LINK + "/{observation}/{name}", include_in_schema=False)
@links.get(
    LINK + "/{observation}/{name}",
    response_class=Response,
    responses=errors(DataError, 403, 404)
    | {
        200: {"description": "The file", **FITS},
        206: {"description": "A part of the file", **FITS},
        304: {"description": "The file has not changed"},
        416: {"description": "No such part"},
    },
)
def signed_file(
    observation: str,
    name: str,
    request: Request,
    archive: ServedDep,
    expires: str = "",
    signature: str = "",
    account: str = "",
) -> Response:
    """Send a file, or a part of it, to whoever holds a link that was signed here and has not ended."""
    ends = int(expires) if expires.isascii() and expires.isdigit() and len(expires) < 16 else 0
    ours = archive.files.opens(observation, name, ends, signature, archive.accounts.clock(), account)
    if not ours or not archive.lets_read(account, observation, name):
        raise refusal(403, "the link is not valid, or has ended")
    path = archive.files.resolve(observation, name)
    if path is None:
        raise refusal(404, "the file is not here")
    return file_answer(archive.files.facts(path), request.headers, body=request.method == "GET")


def _holder(archive: Archive, caller: Caller) -> str:
    """Return whom a link names: the deployed service's outlive a grant, a fixed server's do not."""
    return caller.user.id if archive.fixed else ""


def _readable(row: Row | None, caller: Caller, missing: str) -> dict[str, Any]:
    """Return a spectrum's row if the caller can read it, else refuse: 403 or 404."""
    if not caller.programs:
        raise refusal(403, "this account can read no program")
    if row is None:
        raise refusal(404, missing)
    if row["program_slug"] not in caller.programs:
        raise refusal(403, f"this account cannot read program {row['program_slug']!r}")
    return row
