"""Base URL, data directory, and names that come from a server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.config import (
    DEFAULT_BASE_URL,
    DataPaths,
    is_loopback,
    origin,
    resolve_base_url,
    safe_component,
)
from campfire.errors import ValidationError


def test_argument_wins_over_environment_over_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert resolve_base_url() == DEFAULT_BASE_URL
    monkeypatch.setenv("CAMPFIRE_API_URL", "https://example.org/api/v1/")
    assert resolve_base_url() == "https://example.org/api/v1"
    assert resolve_base_url("https://other.org") == "https://other.org"
    assert DataPaths.resolve().root == Path.home() / "campfire"
    monkeypatch.setenv("CAMPFIRE_ROOT", str(tmp_path / "not-made-yet"))
    assert DataPaths.resolve().root == tmp_path / "not-made-yet"
    assert DataPaths.resolve(tmp_path).root == tmp_path


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "ftp://example.org",
        "example.org/api",
        "https://",
        "https://user:pw@example.org",
        "http://127.0.0.1.example.org",
        "https://example.org:99999",
        "file:///etc/passwd",
    ],
)
def test_only_https_or_loopback_without_credentials(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        resolve_base_url(url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


def test_http_is_accepted_on_loopback() -> None:
    assert resolve_base_url("http://127.0.0.1:8765/api/v1/") == "http://127.0.0.1:8765/api/v1"
    assert resolve_base_url("http://[::1]:8765/api/v1") == "http://[::1]:8765/api/v1"


def test_origin_has_one_form() -> None:
    assert origin("https://Example.org/api") == origin("HTTPS://example.org:443/other")
    assert origin("https://example.org") != origin("https://example.org:444")


@given(st.text(max_size=40))
def test_a_safe_component_never_leaves_its_folder(text: str) -> None:
    try:
        name = safe_component(text, "name")
    except ValidationError:
        return
    joined = os.path.normpath(os.path.join("/data/products", name))
    assert os.path.dirname(joined) == "/data/products"
    assert "\x00" not in name


@pytest.mark.parametrize(
    "text", ["..", ".", "", "a/b", "a\\b", "../x", "/etc", ".hidden", "a\n", "a\x00", "x" * 300, "con."]
)
def test_names_that_could_lead_elsewhere_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        DataPaths(Path("/data")).product(text, "file.fits")


@pytest.mark.parametrize("text", ["ember_uds_p4", "J141934.14+525238.7_1", "castellano3073_p5", "a-b.c"])
def test_real_names_pass(text: str) -> None:
    assert safe_component(text, "name") == text
