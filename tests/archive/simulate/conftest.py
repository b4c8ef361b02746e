"""The archive that all tests share, and the truth behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from campfire.archive.simulate.truth import Truth
from campfire.config import DataPaths


@pytest.fixture(scope="session")
def paths(archive: Path) -> DataPaths:
    return DataPaths(archive)


@pytest.fixture(scope="session")
def truth(archive: Path) -> Truth:
    return Truth.read(archive)
