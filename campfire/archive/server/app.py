"""The application: routes of the REST contract on one data root."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from campfire.archive.catalogue.account_store import DatabaseError
from campfire.archive.server.answers import Refusal, answer, on_refusal
from campfire.archive.server.archive import API, Archive
from campfire.archive.server.login_throttle import TooManyGuesses
from campfire.archive.server.middleware import AccessLog, NamedHost
from campfire.archive.server.pools import Busy
from campfire.archive.server.routes import auth, catalogue, files, imaging, signin, sync, viewer
from campfire.typing import PathInput

__all__ = ["create_app"]


def create_app(
    root: PathInput, *, open_access: bool = False, fixed: bool = False, base_url: str | None = None
) -> FastAPI:
    """Return the application that serves a data root at ``/api/v1``.

    Parameters
    ----------
    root
        Data root: ``meta/campfire.db``, ``products/``, ``imaging/``.
    open_access
        Any bearer token reads everything.
    fixed
        Answer correctly where the deployed service does not: exact offsets, unknown names match nothing,
        every DQ mask counts, cones are circles, search is literal, and so on (``docs/hosting.md``).
    base_url
        Public address, where a proxy does not pass one on.

    Returns
    -------
    fastapi.FastAPI
        An ASGI application; ``app.state.archive.close()`` closes its files.

    Raises
    ------
    NotFoundError
        If there is no catalogue below ``root``.
    """
    archive = Archive(
        Path(root).expanduser().absolute(), open_access=open_access, fixed=fixed, base_url=base_url
    )
    app = FastAPI(
        title="CAMPFIRE", version="1", docs_url=None, redoc_url=None, openapi_url=f"{API}/openapi.json"
    )
    app.state.archive = archive
    for routes in (catalogue, sync, files, imaging, auth):
        app.include_router(routes.router, prefix=API)
    app.include_router(files.links)
    app.include_router(signin.router)
    app.include_router(viewer.router)
    app.add_middleware(NamedHost)
    app.add_middleware(AccessLog)
    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(TooManyGuesses, _on_later)
    app.add_exception_handler(Busy, _on_later)
    app.add_exception_handler(DatabaseError, _on_fault)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_crash)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _on_http_exception(request: Request, error: Exception) -> Response:
    """Answer unknown addresses and methods in the shape of every other error."""
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers) if error.headers else None
    return answer({"error": f"{error.detail}: {request.url.path}"}, status=error.status_code, headers=headers)


def _on_later(request: Request, error: Exception) -> Response:
    """Answer 429 or 503 with the time after which to come again, in the shape of the endpoint's errors."""
    if not isinstance(error, TooManyGuesses | Busy):
        raise error
    status, code = (429, "slow_down") if isinstance(error, TooManyGuesses) else (503, "server_error")
    auth = request.url.path.startswith(f"{API}/auth/")
    body = {"error": code, "error_description": str(error)} if auth else {"error": str(error)}
    return answer(body, status=status, headers={"Retry-After": str(error.seconds)})


def _on_fault(request: Request, error: Exception) -> Response:
    """Answer 503: the accounts or the catalogue are locked or damaged, which is not the caller's fault."""
    logging.getLogger(__name__).error("%s %s", request.url.path, error)
    return answer({"error": "the archive cannot be read now"}, status=503, headers={"Retry-After": "10"})


def _on_invalid(request: Request, error: Exception) -> Response:
    """Answer 400: the contract knows no 422."""
    del request
    return answer({"error": f"invalid parameter: {error}"}, status=400)


def _on_crash(request: Request, error: Exception) -> Response:
    """Answer 500 without details; uvicorn logs the traceback."""
    del request, error
    return answer({"error": "internal server error"}, status=500)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description, without the 422 that FastAPI adds to every route with parameters."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description="REST interface of a CAMPFIRE archive of JWST/NIRSpec spectra.",
            routes=app.routes,
        )
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schema.get("components", {}).get("schemas", {}).pop(name, None)
        app.openapi_schema = schema
    return app.openapi_schema
