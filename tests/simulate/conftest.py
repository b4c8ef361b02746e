"""One archive for the tests of the simulation: 20 objects hold some of everything."""

from __future__ import annotations

import pytest

from campfire.config import DataPaths
from campfire.simulate.archive import make_archive
from campfire.simulate.truth import Truth


@pytest.fixture(scope="session")
def made_archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataPaths, Truth]:
    root = tmp_path_factory.mktemp("simulated")
    return DataPaths(root), make_archive(root, objects=20, seed=11)


@pytest.fixture(scope="session")
def paths(made_archive: tuple[DataPaths, Truth]) -> DataPaths:
    return made_archive[0]


@pytest.fixture(scope="session")
def truth(made_archive: tuple[DataPaths, Truth]) -> Truth:
    return made_archive[1]
