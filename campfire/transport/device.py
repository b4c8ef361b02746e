"""Signing in through a browser: the device flow of RFC 8628."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from campfire.config import check_url
from campfire.errors import APIError, AuthenticationError, ValidationError
from campfire.transport import routes
from campfire.transport.auth import post_oauth, save_login
from campfire.transport.credentials import Credentials, CredentialStore
from campfire.transport.problems import OAuthError

if TYPE_CHECKING:
    from campfire.transport.http import Http

__all__ = ["DeviceCode", "browser_there", "device_name", "login_with_browser", "poll", "request_code"]

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_MARGIN = 0.2  # seconds above the interval: the service counts from the previous poll it saw
_MOST_BROKEN_POLLS = 5


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a person needs to confirm a login: shown to them, but for the ``device_code``."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: float
    interval: float
    device_code: str = field(repr=False)


def browser_there() -> bool:
    """Tell whether opening a browser would show something to the person at the keyboard."""
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return False
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    import webbrowser

    try:
        name = getattr(webbrowser.get(), "name", "")
    except webbrowser.Error:
        return False
    return str(name) not in {"www-browser", "links", "elinks", "lynx", "w3m"}


def device_name() -> str:
    """Return how this machine is called in the account's list of sessions."""
    return f"{platform.node() or 'unknown'} ({platform.system() or 'unknown'})"[:100]


def _seconds(payload: dict[str, Any], key: str, default: float, least: float, most: float) -> float:
    value = payload.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return default
    return float(min(max(value, least), most))


def request_code(http: Http) -> DeviceCode:
    """Ask for a code.

    Raises
    ------
    APIError
        If the answer is not one, or names an address that is neither https nor loopback.
    """
    payload = post_oauth(http, routes.DEVICE, {})
    code, device = payload.get("user_code"), payload.get("device_code")
    page = payload.get("verification_uri")
    complete = payload.get("verification_uri_complete") or page
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z0-9-]{4,32}", code):
        raise APIError("the service sent no usable login code", url=http.base_url + routes.DEVICE)
    if not (isinstance(device, str) and isinstance(page, str) and isinstance(complete, str)):
        raise APIError("the service's login answer is incomplete", url=http.base_url + routes.DEVICE)
    try:
        for url in (page, complete):
            check_url(url, "login page")
            if not url.isascii():  # letters of other scripts look like those of the name expected
                raise ValidationError(f"login page {url[:80]!r} is not a plain address")
    except ValidationError as err:
        raise APIError(err.message, hint="do not log in there", url=http.base_url + routes.DEVICE) from err
    # A service must not make us hammer it, or wait for a day (RFC 8628 section 3.2 has no limits).
    life = _seconds(payload, "expires_in", 900.0, 10.0, 3600.0)
    interval = _seconds(payload, "interval", 5.0, 1.0, 60.0)
    return DeviceCode(code, page, complete, life, interval, device)


def poll(
    http: Http,
    code: DeviceCode,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Credentials:
    """Wait until the code is confirmed, and return the login.

    Raises
    ------
    AuthenticationError
        If the person says no, or the code expires.
    APIError
        If the service fails again and again.
    """
    body = {"grant_type": DEVICE_GRANT, "device_code": code.device_code, "device_name": device_name()}
    interval, broken = code.interval, 0
    end = clock() + code.expires_in
    while clock() + interval < end:
        sleep(interval + _MARGIN)
        try:
            return Credentials.from_tokens(post_oauth(http, routes.DEVICE_TOKEN, body))
        except OAuthError as err:
            if err.code == "authorization_pending":
                broken = 0
            elif err.code == "slow_down":
                interval = max(interval + 5.0, err.interval or 0.0)  # RFC 8628 section 3.5
            elif err.code == "access_denied":
                raise AuthenticationError("the login was refused in the browser", status=err.status) from err
            elif err.code == "expired_token":
                break
            else:
                raise AuthenticationError(
                    f"the login failed: {err.message}", hint="start again", status=err.status, url=err.url
                ) from err
        except APIError:
            broken += 1  # a lost connection or a gateway's page: RFC 8628 asks to back off and go on
            if broken >= _MOST_BROKEN_POLLS:
                raise
            interval = min(2 * interval, 60.0)
    raise AuthenticationError("the login code has expired", hint="run `campfire login` again")


def login_with_browser(
    http: Http,
    show: Callable[[DeviceCode], None],
    *,
    open_browser: bool = True,
    store: CredentialStore | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Log in through a browser and keep the login; returns the answer of ``whoami``.

    Parameters
    ----------
    http
        The service.
    show
        Called with the code and the address to confirm it at; always, also where a browser opens.
    open_browser
        Whether a browser may be opened: only where there is one, and only on the service's own host.

    Raises
    ------
    AuthenticationError
        If the login is refused or expires.
    """
    code = request_code(http)
    show(code)
    same_host = urlsplit(code.verification_uri_complete).hostname == urlsplit(http.base_url).hostname
    if open_browser and same_host and browser_there():
        import webbrowser

        webbrowser.open(code.verification_uri_complete)
    return save_login(http, poll(http, code, sleep=sleep), store)
