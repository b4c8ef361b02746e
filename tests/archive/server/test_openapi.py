"""Statement checked: no request makes the server fail, or answer in a way that is not documented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from campfire.archive.server.app import create_app

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

PATHS = {
    *("objects", "spectra/list", "metadata", "observations", "version"),
    *("sync/objects", "sync/spectra", "sync/photometry", "sync/lists"),
    *("observations/{name}/manifest", "spectra", "spectrum", "redshift-fit", "cutout", "shutters"),
    *("auth/device", "auth/device/token", "auth/refresh", "auth/revoke", "auth/whoami"),
    *("auth/device/validate", "auth/device/authorize"),
}


@pytest.fixture(scope="module", params=[False, True], ids=["traps", "fixed"])
def schema(request: pytest.FixtureRequest, template: Path) -> Iterator[Any]:
    app = create_app(template, open_access=True, fixed=request.param)
    yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    app.state.archive.close()


def test_every_route_of_the_contract_is_documented(schema: Any) -> None:
    documented = {f"/api/v1/{path}" for path in PATHS} | {"/files/{observation}/{name}"}
    assert set(schema.raw_schema["paths"]) == documented
    for operations in schema.raw_schema["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            assert operation["summary"]


def hammer(operation: Any) -> None:
    """Send generated requests to one operation."""
    names = ("not_a_server_error", "status_code_conformance", "content_type_conformance")
    checks = [getattr(schemathesis.checks, name) for name in (*names, "response_schema_conformance")]

    @settings(max_examples=8, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": "Bearer any"}, checks=checks)

    run()


def test_every_operation(schema: Any) -> None:
    for found in schema.get_all_operations():
        hammer(found.ok())
