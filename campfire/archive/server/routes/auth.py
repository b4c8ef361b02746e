"""Sign-in: device codes, tokens, who am I (contract: auth endpoints)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from campfire.archive.server.accounts import ACCESS_SECONDS, TokenPair
from campfire.archive.server.answers import answer, auth_refusal
from campfire.archive.server.archive import PersonDep, ServedDep, origin_of
from campfire.archive.server.body import json_body, json_object, json_or_none, text_of
from campfire.archive.server.devices import PollError, UserCodeError
from campfire.archive.server.login_throttle import CODES, KEYS, address_of
from campfire.archive.server.schemas import AuthError, errors
from campfire.archive.server.schemas_files import Device, Done, Revoked, Tokens, Valid, WhoAmI
from campfire.errors import AuthenticationError

__all__ = ["router"]

router = APIRouter(tags=["auth"])
Body = Annotated[dict[str, Any], Depends(json_body)]

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SESSION_COOKIE = "campfire_session"


def _tokens(pair: TokenPair) -> Response:
    # The last three give deployment tools direct database access; there is none here, but the keys are sent.
    body = {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": ACCESS_SECONDS,
        "refresh_token": pair.refresh_token,
        "supabase_token": None,
        "supabase_url": None,
        "supabase_anon_key": None,
    }
    return answer(body, headers={"Cache-Control": "no-store"})


def _need_grant(body: dict[str, Any], grant: str) -> None:
    if text_of(body, "grant_type") != grant:
        raise auth_refusal(400, "unsupported_grant_type", f"grant_type must be {grant}")


@router.post("/auth/device", response_model=Device)
def start_device(request: Request, archive: ServedDep) -> Response:
    """Give a device the code it polls with and the code a person types."""
    # Each is kept for a day: nobody gets so many that they fill the disk.
    with archive.failures.guess(f"device {address_of(request)}", KEYS):
        code = archive.devices.start()
    page = f"{origin_of(request, archive)}/cli-auth"
    body = {
        "device_code": code.device_code,
        "user_code": code.user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?code={code.user_code}",
        "expires_in": code.expires_in,
        "interval": code.interval,
    }
    return answer(body, headers={"Cache-Control": "no-store"})


@router.post(
    "/auth/device/token",
    response_model=Tokens,
    responses=errors(AuthError, 400, 500),
    openapi_extra=json_object(("grant_type", "device_code"), ("device_name",)),
)
def poll_device(request: Request, body: Body, archive: ServedDep) -> Response:
    """Give the device its tokens once a person approved."""
    _need_grant(body, DEVICE_GRANT)
    name = body.get("device_name")
    shown = name[:200].encode("utf-8", "replace").decode() if isinstance(name, str) else None
    code = text_of(body, "device_code")
    try:
        with archive.failures.guess(f"poll {address_of(request)}", KEYS) as right:
            try:
                pair = archive.devices.poll(code, shown)
            except PollError as err:
                if err.code != "invalid_grant":
                    right()
                raise
            right()
    except PollError as err:
        raise auth_refusal(err.status or 400, err.code, err.message, interval=err.interval) from err
    except AuthenticationError as err:
        raise auth_refusal(400, "invalid_grant", err.message) from err
    return _tokens(pair)


@router.post(
    "/auth/refresh",
    response_model=Tokens,
    responses=errors(AuthError, 400),
    openapi_extra=json_object(("grant_type", "refresh_token")),
)
def refresh(body: Body, archive: ServedDep) -> Response:
    """Exchange a refresh token, which is dead from then on, for a new pair."""
    _need_grant(body, "refresh_token")
    try:
        return _tokens(archive.accounts.refresh(text_of(body, "refresh_token")))
    except AuthenticationError as err:
        raise auth_refusal(400, "invalid_grant", err.message) from err


@router.post(
    "/auth/revoke",
    response_model=Revoked,
    openapi_extra=json_object(("token",)),
)
def revoke(body: Annotated[Any, Depends(json_or_none)], archive: ServedDep) -> Response:
    """End a sign-in; always 200."""
    token = body.get("token") if isinstance(body, dict) else None
    if isinstance(token, str):
        archive.accounts.revoke(token)
    return answer({"revoked": True})


@router.get("/auth/whoami", response_model=WhoAmI, responses=errors(AuthError, 401))
def whoami(user: PersonDep) -> Response:
    """Tell whose token it is."""
    return answer(user.as_row())


@router.post(
    "/auth/device/validate",
    response_model=Valid,
    responses=errors(AuthError, 400, 404),
    openapi_extra=json_object(("user_code",)),
)
def validate(request: Request, body: Body, archive: ServedDep) -> Response:
    """Tell whether a device waits with a user code."""
    code = text_of(body, "user_code")
    try:
        with archive.failures.guess(f"code {address_of(request)}", CODES) as right:
            archive.devices.check(code)
            right()
    except UserCodeError as err:
        raise auth_refusal(404 if err.code == "not_found" else 400, err.code, err.message) from err
    return answer({"valid": True})


@router.post(
    "/auth/device/authorize",
    response_model=Done,
    responses=errors(AuthError, 400, 401),
    openapi_extra=json_object(("user_code", "action")),
)
def authorize(request: Request, body: Body, archive: ServedDep) -> Response:
    """Approve or deny a device, with the session cookie of the sign-in page.

    The cookie is ``SameSite=Strict`` and the body must be sent as JSON, so no other site can cause this.
    """
    user = archive.accounts.user_of_session(request.cookies.get(SESSION_COOKIE, ""))
    if user is None or not request.headers.get("content-type", "").startswith("application/json"):
        raise auth_refusal(401, "unauthorized", "sign in on /cli-auth first")
    action = text_of(body, "action")
    if action not in ("authorize", "deny"):
        raise auth_refusal(400, "invalid_request", "action must be authorize or deny")
    code = text_of(body, "user_code")
    try:
        with archive.failures.guess(f"code {user.id}", CODES) as right:
            archive.devices.decide(code, user.id, approve=action == "authorize")
            right()
    except UserCodeError as err:
        raise auth_refusal(400, "failed", err.message) from err
    return answer({"success": True})
