"""The exceptions and the warning category of campfire; nothing else lives here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campfire.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "APIError",
    "AuthenticationError",
    "CampfireError",
    "CampfireWarning",
    "DownloadError",
    "NotFoundError",
    "ValidationError",
]


class CampfireError(Exception):
    """Base class of every error campfire raises on purpose.

    Parameters
    ----------
    message
        What happened, and what was passed. It becomes one line of printable text, and is shortened in the
        middle where something long was passed.
    hint
        What would have worked, or what to type next.
    status
        HTTP status code, where a server answered.
    url
        Address that was asked (never with credentials or a signature in it).
    path
        File concerned.

    Examples
    --------
    >>> error = CampfireError("no such grating: 'PRSM'", hint="did you mean 'PRISM'?")
    >>> str(error)
    "no such grating: 'PRSM' (did you mean 'PRISM'?)"
    """

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        status: int | None = None,
        url: str | None = None,
        path: str | Path | None = None,
    ) -> None:
        self.message = one_line(str(message))
        super().__init__(self.message)
        self.hint = None if hint is None else one_line(str(hint))
        self.status = status
        self.url = url
        self.path = path

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class AuthenticationError(CampfireError):
    """Credentials are missing, wrong or expired, or do not give access (401, 403)."""


class NotFoundError(CampfireError, LookupError):
    """The object, spectrum or file does not exist, or is not visible to this account."""


class ValidationError(CampfireError, ValueError):
    """A parameter, a file or a payload is not what it has to be."""


class APIError(CampfireError):
    """The service answered with an unexpected error, or did not answer."""


class DownloadError(CampfireError):
    """Files could not be downloaded; ``report`` holds the outcome file by file, where there is one."""

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        status: int | None = None,
        url: str | None = None,
        path: str | Path | None = None,
        report: object = None,
    ) -> None:
        super().__init__(message, hint=hint, status=status, url=url, path=path)
        self.report = report


class CampfireWarning(UserWarning):
    """Category of every warning campfire gives, so that it can be filtered as one."""
