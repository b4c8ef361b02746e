"""Hypothesis profiles, and an environment no test can leave: own home, no credentials, loopback only."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "agg")

pytest_plugins = ["tests.disks"]

_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=60, derandomize=True, print_blob=True, **_COMMON)
settings.register_profile("local", max_examples=30, **_COMMON)
settings.register_profile("thorough", max_examples=1000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "local"))

SPECTRA = Path(__file__).parents[2] / "shared" / "data" / "spectra"


@pytest.fixture(autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test a home of its own and none of the user's settings."""
    for name in [key for key in os.environ if key.startswith("CAMPFIRE_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CAMPFIRE_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test reach beyond this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(host).startswith(
            ("127.", "::1", "localhost")
        ):
            raise AssertionError(f"a test tried to connect to {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Close what a test plotted; hundreds of open figures would slow the suite and warn."""
    yield
    import sys

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a simulated archive of 24 objects, made once and not to be changed by any test."""
    from filelock import FileLock

    from campfire.archive.simulate.archive import make_archive

    # Workers of pytest-xdist have folders of their own below one that they share.
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    root, done = shared / "simulated", shared / "simulated.done"
    with FileLock(shared / "simulated.lock"):
        if not done.exists():
            make_archive(root, objects=24, seed=1)
            done.touch()
    return root


@pytest.fixture(scope="session")
def archive_url(archive: Path) -> Iterator[str]:
    """Serve the simulated archive over a real socket; any token reads everything."""
    from campfire.testing import served

    with served(archive, open_access=True) as url:
        yield url


@pytest.fixture(scope="session")
def real_spectra() -> Path:
    """Folder of real files written by others; tests that use it skip where it is absent."""
    if not SPECTRA.is_dir():
        pytest.skip("the folder of real spectra is not here")
    return SPECTRA
