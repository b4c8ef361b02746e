"""Statements: timeouts, retries, redirects and error mapping of one exchange."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.errors import APIError, AuthenticationError, CampfireError, NotFoundError, ValidationError
from campfire.transport.auth import Authenticator
from campfire.transport.http import Http
from campfire.transport.limits import RateLimit, RetryPolicy, retry_after
from campfire.transport.session import Session
from tests.transport.wire_stub import Reply, Stub, stub_server

QUICK = RetryPolicy(attempts=4, base=0.01, longest=0.02, deadline=2.0)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


def session_of(stub: Stub, token: str = "secret-token", **options: object) -> Session:
    http = Http(f"{stub.url}/api/v1", retry=QUICK, **options)  # type: ignore[arg-type]
    return Session(http, Authenticator(http, token=token))


def test_stub(stub: Stub) -> None:
    stub.on("/api/v1/x", Reply(body={"a": 1}))
    assert session_of(stub).get_json("/x") == {"a": 1}
