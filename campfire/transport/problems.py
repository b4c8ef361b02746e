"""What a failed answer says, as one of the documented exceptions."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from campfire.errors import APIError, AuthenticationError, CampfireError, NotFoundError

if TYPE_CHECKING:
    import requests

__all__ = [
    "OAuthError",
    "bare_url",
    "failure",
    "holds_secret",
    "json_object",
    "keep_secret",
    "oauth_code",
    "printable",
]

_LONGEST = 300
_SHORTEST_SECRET = 8  # what is shorter is part of many a word
_secrets: set[str] = set()
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class OAuthError(APIError):
    """An error of an authentication endpoint; ``code`` is its machine-readable word."""

    def __init__(
        self, code: str, message: str, *, status: int, url: str, interval: float | None = None
    ) -> None:
        super().__init__(message, status=status, url=url)
        self.code = code
        self.interval = interval


def keep_secret(*texts: object) -> None:
    """Remember tokens that are sent: a server may send them back in what it says."""
    _secrets.update(t for t in texts if isinstance(t, str) and len(t) >= _SHORTEST_SECRET)


def holds_secret(text: str) -> bool:
    """Tell whether text holds a token that was sent in this process."""
    return any(secret in text for secret in tuple(_secrets))


def _hidden(text: str) -> str:
    for secret in tuple(_secrets):
        text = text.replace(secret, "***")
    return text


def printable(text: str, longest: int = _LONGEST) -> str:
    """Return text from a server on one line without control characters or tokens: it may reach a terminal.

    Examples
    --------
    >>> printable(f"bad{chr(27)}[31m  news")
    'bad [31m news'
    """
    shown = "".join(c if c.isprintable() else " " for c in _hidden(text))
    return " ".join(shown.split())[:longest]


def bare_url(url: str) -> str:
    """Return a URL without query and fragment: signatures live there.

    Examples
    --------
    >>> bare_url("https://store.example.org/a.fits?X-Signature=secret")
    'https://store.example.org/a.fits'
    """
    parts = urlsplit(url)
    return _hidden(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))


def json_object(response: requests.Response, method: str, path: str) -> dict[str, Any]:
    """Return the JSON object of a successful answer.

    Raises
    ------
    APIError
        If it is none: a captive portal or a gateway may speak for the service.
    """
    body = _body(response)
    if not isinstance(body, dict):
        kind = printable(response.headers.get("Content-Type", "nothing"))
        raise APIError(
            f"{method} {path} answered {kind}, not a JSON object",
            hint="is base_url a CAMPFIRE service, with its /api/v1?",
            status=response.status_code,
            url=bare_url(response.url or path),
        )
    return body


def _body(response: requests.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _text(body: Any, response: requests.Response) -> str:
    if isinstance(body, dict):
        # RFC 9457 problem documents, then the service's two own shapes.
        said = [body.get(k) for k in ("title", "detail", "error_description", "error", "message", "details")]
        parts = list(dict.fromkeys(printable(s) for s in said if isinstance(s, str) and s.strip()))
        if parts:
            return ": ".join(parts[:3])
    raw = _hidden(response.content.decode("utf-8", errors="replace"))[: 8 * _LONGEST]
    return printable(html.unescape(_TAGS.sub(" ", raw))) or printable(response.reason or "no explanation")


def _hint(status: int) -> str | None:
    if status == 401:
        return "log in with `campfire login`, or set CAMPFIRE_API_KEY"
    if status == 403:
        return "this account has no access to it; `campfire whoami` shows which account is used"
    if status == 429:
        return "too many requests; wait a minute"
    if 300 <= status < 400:
        return "check base_url or CAMPFIRE_API_URL"
    return "the service is in trouble; try again later" if status >= 500 else None


def failure(response: requests.Response, method: str, path: str, url: str) -> CampfireError:
    """Return the exception for an answer that is not a success (its body has been read).

    401 and 403 give :class:`AuthenticationError`, 404 :class:`NotFoundError`, all others
    :class:`APIError`. Any body will do: JSON of the service, RFC 9457 problems, HTML of a gateway, nothing.
    """
    status = response.status_code
    body = _body(response)
    message = f"{method} {path} answered {status}: {_text(body, response)}"
    kinds: dict[int, type[CampfireError]] = {
        401: AuthenticationError,
        403: AuthenticationError,
        404: NotFoundError,
    }
    error = kinds.get(status, APIError)(message, hint=_hint(status), status=status, url=bare_url(url))
    if isinstance(body, dict) and "application/problem+json" in response.headers.get("Content-Type", ""):
        for key in ("type", "instance"):
            if isinstance(body.get(key), str):
                error.add_note(f"{key}: {printable(body[key])}")
    return error


def oauth_code(response: requests.Response, path: str, url: str) -> OAuthError | None:
    """Return the error of an authentication endpoint if the body is one, else None."""
    body = _body(response)
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return None
    code = printable(body["error"])
    said = body.get("error_description")
    message = f"{path} answered {code}" + (f": {printable(said)}" if isinstance(said, str) and said else "")
    interval = body.get("interval")
    seconds = float(interval) if isinstance(interval, int | float) and 0 < interval < 3600 else None
    return OAuthError(code, message, status=response.status_code, url=bare_url(url), interval=seconds)
