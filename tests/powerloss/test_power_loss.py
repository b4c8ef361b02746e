"""Statement: after a power cut at any moment no wrong value is read and no file of the user is lost.

``kill -9`` cannot show this: what a process wrote stays in memory and reaches the disk later. Here the system
calls of each way of publishing are recorded, and every state is made that a disk may legally be in
afterwards, see :mod:`tests.powerloss.disk_model`. Leaving out a single sync must be found, or the test proves
nothing.
"""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from campfire import Campfire
from campfire.collection.build import open_tree
from campfire.errors import CampfireError
from campfire.store.catalog import Catalog
from tests.client.conftest import serving
from tests.collection.conftest import make_files
from tests.powerloss.disk_model import Journal, State, crash_states, settled_states, write_state
from tests.powerloss.recording import can_record, record

pytestmark = pytest.mark.skipif(not can_record(), reason="strace is not here, or may not be used")

MOST = int(os.environ.get("CAMPFIRE_CRASH_STATES", "24"))
"""States looked at for one way of publishing, spread evenly over all that there are."""


def chosen(every: list[State]) -> list[State]:
    return [every[int(n)] for n in np.unique(np.linspace(0, len(every) - 1, MOST).astype(int))]


@dataclass
class Folder:
    """Where a state is made real, again and again."""

    path: Path

    def holding(self, state: State) -> Path:
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        write_state(state, self.path)
        return self.path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "after")


# --- one file that is replaced ------------------------------------------------------------

Replaced: TypeAlias = tuple[Journal, bytes, bytes]
HEADER = """
import sys
from pathlib import Path
root = Path(sys.argv[1])
"""
ONE_FILE = {
    "a lock file": """
from campfire.mirror.lockfile import Lock
Lock.of([], "https://archive.example.org", None).write(root / "file", overwrite=True)
""",
    "a table": """
from campfire.archive_table import ArchiveTable
ArchiveTable({"object_id": ["J0"] * 2000}).write(root / "file", format="ascii.csv", overwrite=True)
""",
    "a spectrum": """
import numpy as np
from campfire.formats.spec_writer import write_spectrum
one = np.linspace(1.0, 2.0, 300)
fields = {"wavelength": one, "fnu": one, "fnu_err": one, "header": {}}
fields |= {"grating": "PRISM", "spectrum_id": "a_b"}
write_spectrum(root / "file", fields, overwrite=True)
""",
    "an answer that is kept": """
from campfire.client.response_cache import write_whole
write_whole(root / "file", b"new" * 1000)
""",
    "credentials": """
from campfire.transport.credentials import Credentials, CredentialStore
store = CredentialStore(root / "file")
with store.lock():
    store._write(root / "file", {"origin": "https://archive.example.org", "token": "x" * 1000})
""",
}


@pytest.fixture(scope="module", params=ONE_FILE)
def replaced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Journal, bytes, bytes]:
    """A recording of one way to replace a file, with what was in it before and after."""
    root = tmp_path_factory.mktemp("replaced") / "root"
    root.mkdir()
    (root / "file").write_bytes(b"{}")
    journal = record(HEADER + ONE_FILE[request.param], root)
    return journal, b"{}", (root / "file").read_bytes()


def test_a_file_that_is_replaced_is_the_former_or_the_new_one(replaced: Replaced) -> None:
    journal, old, new = replaced
    assert {state[0].get("file") for state in crash_states(journal)} == {old, new}
    assert {state[0].get("file") for state in settled_states(journal)} == {new}


def test_a_sync_left_out_of_replacing_a_file_is_found(replaced: Replaced) -> None:
    journal, old, new = replaced
    for number, sync in enumerate(journal.syncs()):
        without = journal.without_sync(number)
        bad = any(state[0].get("file") not in (old, new) for state in crash_states(without))
        assert bad or any(state[0].get("file") != new for state in settled_states(without)), sync.label


# --- the secret of a server ------------------------------------------------------------


def test_a_server_never_signs_with_half_a_secret(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    journal = record(
        HEADER + "from campfire.archive.server.signing import load_secret\nload_secret(root / 'key')", root
    )
    whole = (root / "key").read_bytes()
    assert {state[0].get("key") for state in crash_states(journal)} == {None, whole}
    assert {state[0].get("key") for state in settled_states(journal)} == {whole}
    for number, sync in enumerate(journal.syncs()):
        without = journal.without_sync(number)
        states = [*crash_states(without), *settled_states(without)]
        assert any(s[0].get("key") not in (None, whole) for s in states) or any(
            s[0].get("key") != whole for s in settled_states(without)
        ), sync.label


# --- downloads ------------------------------------------------------------

DOWNLOAD = (
    HEADER
    + """
from campfire import Campfire
with Campfire(sys.argv[2], root, token="any") as cf:
    cf.download(everything=True)
"""
)


def test_downloads(tmp_path: Path, archive: Path, folder: Folder) -> None:
    """A name of the mirror has its whole file or none, files of the user stay, and the catalogue opens."""
    root = tmp_path / "root"
    with serving(archive) as service:
        with Campfire(service.url, root, token="any") as cf:
            cf.sync()
        mine = next(iter(service.root.glob("products/*/*_spec.fits")))
        name = f"products/{mine.parent.name}/{mine.name}"
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"a file of the user")
        journal = record(DOWNLOAD, root, service.url)
    right = {p.name: p.read_bytes() for p in archive.glob("products/*/*_spec.fits")}

    def files_of(state: State) -> dict[str, bytes]:
        return {n: c for n, c in state[0].items() if n.endswith("_spec.fits") and "/." not in n}

    def is_right(state: State) -> bool:
        files = files_of(state)
        mine = files.pop(name, None)
        return mine == b"a file of the user" and all(
            c == right[n.rpartition("/")[2]] for n, c in files.items()
        )

    for n, state in enumerate(crash_states(journal)):
        assert is_right(state)
        if n % 97 == 0:
            with Catalog(folder.holding(state) / "meta" / "campfire.db") as catalog:
                assert catalog.totals()["spectra"] == len(right)
    assert all(len(files_of(state)) == len(right) for state in settled_states(journal))
    alike: set[tuple[int, bool]] = set()
    for number, sync in enumerate(journal.syncs()):
        kind = (sync.label.count("/"), isinstance(sync.target, str))
        if not sync.label.startswith("products") or kind in alike:
            continue  # of SQLite, of a folder that was there, or as one before
        alike.add(kind)
        without = journal.without_sync(number)
        fewer = any(len(files_of(state)) < len(right) for state in settled_states(without))
        assert fewer or not all(map(is_right, crash_states(without))), sync.label
    assert len(alike) == 3


# --- the pixel cache ------------------------------------------------------------

APPEND = (
    HEADER
    + """
import pickle
from campfire.collection import cache_maintenance
sources, gratings = pickle.loads(Path(sys.argv[2]).read_bytes())
cache_maintenance.build(root, sources, gratings)
"""
)


def test_appending_to_the_pixel_cache(tmp_path: Path, folder: Folder) -> None:
    """A collection has the values of its files, whatever a power cut left of the cache."""
    from campfire.collection import cache_maintenance

    archive = make_files(tmp_path / "files", ["PRISM"] * 4)
    root = tmp_path / "root"
    root.mkdir()
    first, columns = archive.pick([0, 1])
    cache_maintenance.build(root, first, columns["grating"])
    (tmp_path / "rows").write_bytes(pickle.dumps((archive.sources, archive.columns["grating"])))
    journal = record(APPEND, root, str(tmp_path / "rows"))
    truth = open_tree(archive.sources, archive.columns, cache_dir=None).compute()

    def is_right(state: State) -> bool:
        place = folder.holding(state)
        try:
            got = open_tree(archive.sources, archive.columns, cache_dir=place).compute()
        except CampfireError:
            return False
        return all(
            np.array_equal(got["PRISM"][v], truth["PRISM"][v], equal_nan=True)
            for v in ("fnu", "fnu_err", "wavelength")
        )

    states = chosen(list(crash_states(journal)))
    wrong = sum(not is_right(state) for state in states)
    assert wrong == 0, f"{wrong} of {len(states)}"
