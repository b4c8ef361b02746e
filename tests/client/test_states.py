"""Statement: whatever the archive, two clients and the user do in any order, the mirror holds what it says.

A model of what every file should be goes along: the archive's, as some catalogue knew it, or the user's own.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from campfire import Campfire, CampfireWarning, DownloadError, SpectrumData
from campfire.store.file_state import hash_file
from tests.client.conftest import Service, serving

NAMES = st.integers(0, 2)
CLIENTS = st.integers(0, 1)


class Mirror(RuleBasedStateMachine):
    """Two clients of one data directory, an archive that reprocesses, and a user with files of his own."""

    archive: Path

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copytree(self.archive, self.folder / "served")
        self.service: Service = self.stack.enter_context(serving(self.folder / "served"))
        self.stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", CampfireWarning)
        self.clients = [
            self.stack.enter_context(Campfire(self.service.url, self.folder / "mirror", token="any"))
            for _ in range(2)
        ]
        self.users: dict[Path, bytes] = {}
        self.kept: set[bytes] = set()

    def teardown(self) -> None:
        self.stack.close()

    @initialize()
    def begin(self) -> None:
        cf = self.clients[0]
        cf.sync()
        rows = cf.query_spectra(gratings=["PRISM"], limit=4)
        self.names = [str(name) for name in rows["spectrum_id"]]
        self.donor = self.names.pop()
        folders = dict(zip(rows["spectrum_id"].tolist(), rows["observation"].tolist(), strict=True))
        products = self.folder / "mirror" / "products"
        self.paths = {name: products / folders[name] / f"{name}_spec.fits" for name in self.names}
        self.versions = {name: {self.now(name)} for name in self.names}
        self.first = {name: self.service.path_of(cf.get_spectrum(name)).read_bytes() for name in self.names}

    def now(self, name: str) -> str:
        """Return the hash of the archive's file."""
        return hash_file(self.service.path_of(self.clients[0].get_spectrum(name)))

    @rule(number=NAMES)
    def the_archive_reprocesses(self, number: int) -> None:
        name = self.names[number]
        self.service.reprocess(name, self.donor)
        self.versions[name].add(self.now(name))

    @rule(who=CLIENTS)
    def sync(self, who: int) -> None:
        cf = self.clients[who]
        cf.sync()
        for name in self.names:
            row = cf.get_spectrum(name)
            assert row is not None
            assert row["file_hash"] == self.now(name)

    @rule(who=CLIENTS, number=NAMES)
    def download_one(self, who: int, number: int) -> None:
        name = self.names[number]
        report = self.fetched(lambda: self.clients[who].download(spectrum_ids=[name]), who)
        if report is None:
            return
        (entry,) = report.files
        assert (entry["state"] == "local") == (self.paths[name] in self.users)
        if entry["state"] != "local":
            assert entry["state"] in ("downloaded", "skipped")
            assert hash_file(self.paths[name]) in self.versions[name]

    def fetched(self, action: Callable[[], Any], who: int) -> Any:
        """Return what an action does; None if it says that the catalogue is behind, which it has to be."""
        try:
            return action()
        except DownloadError as err:
            said = str(err)
        rows = [self.clients[who].get_spectrum(name) for name in self.names]
        hashes = [row["file_hash"] for row in rows if row is not None]
        assert hashes != [self.now(name) for name in self.names]
        assert "run sync" in said
        return None

    @rule(who=CLIENTS)
    def update(self, who: int) -> None:
        cf = self.clients[who]
        cf.sync()
        cf.download(stale_only=True)
        assert len(cf.stale_files()) == 0
        for name, path in self.paths.items():
            if path.exists() and path not in self.users:
                assert hash_file(path) == self.now(name)

    @rule(number=NAMES)
    def the_user_writes_a_reduction_of_his_own(self, number: int) -> None:
        name = self.names[number]
        path = self.paths[name]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.first[name])
        own = SpectrumData.from_fits(path)
        own.fnu = own.fnu * 1.25
        own.write(path, overwrite=True)
        self.users[path] = path.read_bytes()

    @rule(number=NAMES)
    def the_user_deletes_a_file(self, number: int) -> None:
        path = self.paths[self.names[number]]
        path.unlink(missing_ok=True)
        self.users.pop(path, None)

    @rule(who=CLIENTS)
    def verify(self, who: int) -> None:
        report = self.clients[who].verify()
        noticed = {*report["untracked"], *report["changed"], *report["truncated"]}
        assert {str(path) for path in self.users} <= noticed

    @rule(who=CLIENTS)
    def repair(self, who: int) -> None:
        """What replaced a download is set aside, what was never one stays."""
        if self.fetched(lambda: self.clients[who].verify(repair=True), who) is None:
            return
        for path, content in list(self.users.items()):
            if path.read_bytes() != content:
                assert content in {old.read_bytes() for old in path.parent.glob(f"{path.name}.*.old")}
                self.kept.add(content)
                del self.users[path]

    @rule(who=CLIENTS, number=NAMES)
    def open(self, who: int, number: int) -> None:
        name = self.names[number]
        if not self.paths[name].exists():
            return
        opened = self.clients[who].open_spectrum(name)
        there: Any = SpectrumData.from_fits(self.paths[name])
        np.testing.assert_array_equal(opened.fnu, there.fnu)

    @invariant()
    def files_of_the_user_are_untouched(self) -> None:
        for path, content in self.users.items():
            assert path.read_bytes() == content, f"{path.name} was the user's"

    @invariant()
    def every_other_file_is_one_of_the_archives(self) -> None:
        for name, path in getattr(self, "paths", {}).items():
            if path.exists() and path not in self.users:
                assert hash_file(path) in self.versions[name]

    @invariant()
    def nothing_is_left_over(self) -> None:
        products = self.folder / "mirror" / "products"
        known = {*getattr(self, "paths", {}).values()}
        for path in products.rglob("*"):
            if path.is_file() and path not in known:
                assert path.suffix == ".old"
                assert path.read_bytes() in self.kept


@pytest.mark.slow
def test_any_order_of_events_leaves_the_mirror_right(archive: Path) -> None:
    machine = type("OfThisArchive", (Mirror,), {"archive": archive})
    options = settings(
        max_examples=8,
        stateful_step_count=20,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=options)
