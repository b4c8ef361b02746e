"""The documented tree of errors, and what each carries."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from campfire import errors
from campfire.errors import (
    APIError,
    AuthenticationError,
    CampfireError,
    CampfireWarning,
    DownloadError,
    NotFoundError,
    ValidationError,
)

ERRORS = [APIError, AuthenticationError, CampfireError, DownloadError, NotFoundError, ValidationError]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_a_campfire_error_and_carries_what_it_knows(kind: type[CampfireError]) -> None:
    error = kind("failed", hint="try again", status=503, url="https://example.org/x", path=Path("a.fits"))
    assert isinstance(error, CampfireError)
    assert str(error) == "failed (try again)"
    assert (error.status, error.url, error.path) == (503, "https://example.org/x", Path("a.fits"))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.status, again.url, again.path, again.hint) == (503, error.url, error.path, "try again")


def test_errors_are_also_what_python_programmers_would_catch() -> None:
    assert issubclass(NotFoundError, LookupError)
    assert issubclass(ValidationError, ValueError)
    assert issubclass(CampfireWarning, UserWarning)


def test_a_message_alone_is_enough() -> None:
    assert str(CampfireError("only this")) == "only this"
    assert CampfireError("x").status is None


def test_a_download_error_holds_the_report() -> None:
    error = DownloadError("2 files failed", report={"failed": 2})
    assert error.report == {"failed": 2}
    assert pickle.loads(pickle.dumps(error)).report == {"failed": 2}


def test_nothing_else_lives_in_the_module() -> None:
    assert {kind.__name__ for kind in ERRORS} | {"CampfireWarning"} == set(errors.__all__)
