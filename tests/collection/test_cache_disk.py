"""Statement: on a full, read-only or lock-free disk the cache changes no value, and says what is wrong."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire.collection import cache_maintenance
from campfire.collection.build import open_tree
from campfire.errors import CampfireError
from tests.disks import fill

FIELDS = ("wavelength", "fnu", "fnu_err", "flam", "flam_err", "dq")


@pytest.fixture(scope="module")
def few(maker: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return maker(tmp_path_factory.mktemp("few"), ["PRISM"] * 6 + ["G395M"] * 2)


def _open(folder: Path, archive: Any) -> xr.DataTree:
    return open_tree(archive.sources, archive.columns, cache_dir=folder).compute()


CALLS: dict[str, Callable[[Path, Any], object]] = {
    "open": _open,
    "info": lambda folder, archive: cache_maintenance.info(folder),
    "build": lambda folder, archive: cache_maintenance.build(
        folder, archive.sources, archive.columns["grating"]
    ),
    "prune": lambda folder, archive: cache_maintenance.prune(folder),
    "compact": lambda folder, archive: cache_maintenance.compact(folder),
}
STATES = {"nothing": [], "some": [0, 6], "all": list(range(8))}


def _check(call: str, folder: Path, archive: Any, reason: str) -> bool:
    """Make a call; values are right, and a fault is said in the documented way. Returns whether one was."""
    try:
        result = CALLS[call](folder, archive)
    except CampfireError as err:
        said = str(err)
    else:
        said = ""
    if said:
        assert call not in ("open", "info")
        assert reason in said
        assert "delete" not in said
        return True
    if isinstance(result, xr.DataTree):
        truth = open_tree(archive.sources, archive.columns, chunks=None)
        for grating in truth.children:
            got, right = result[grating].to_dataset(), truth[grating].to_dataset()
            for name in FIELDS:
                np.testing.assert_allclose(got[name].values, right[name].values, rtol=1e-6)
    return False


@pytest.mark.parametrize("room", [0, 40_000, 120_000])
@pytest.mark.parametrize("held", STATES)
@pytest.mark.parametrize("call", CALLS)
def test_a_full_disk(
    call: str, held: str, room: int, few: Any, mount: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    place = mount("size=4m")
    folder = place / "cache"
    if STATES[held]:
        open_tree(*few.pick(STATES[held]), cache_dir=folder)
    before = cache_maintenance.info(folder)["spectra"]
    fill(place, room)
    told = _check(call, folder, few, "the disk is full")
    if call == "open" and held != "all" and not room:
        assert "is not filled" in caplog.text
    needs_room = (call == "build" and held != "all") or (call == "compact" and held != "nothing")
    assert told == needs_room or (room and not told)
    (place / "ballast").unlink()
    assert cache_maintenance.info(folder)["spectra"] >= before
    _check("open", folder, few, "")
    cache_maintenance.build(folder, few.sources, few.columns["grating"])
    assert cache_maintenance.info(folder)["spectra"] == 8, "with room again, all is as ever"


@pytest.mark.parametrize("held", STATES)
@pytest.mark.parametrize("call", CALLS)
def test_a_read_only_file_system(call: str, held: str, few: Any, mount: Callable[..., Path]) -> None:
    place = mount("size=4m")
    folder = place / "cache"
    if STATES[held]:
        open_tree(*few.pick(STATES[held]), cache_dir=folder)
    before = cache_maintenance.info(folder)
    mount("ro")
    told = _check(call, folder, few, "read-only")
    nothing_to_do = (call == "build" and held == "all") or (held == "nothing" and call != "build")
    assert told == (call in ("build", "prune", "compact") and not nothing_to_do)
    assert cache_maintenance.info(folder) == before


WITHOUT_LOCKS = """
import pickle, sys
from pathlib import Path
import logging
import numpy as np
from campfire.collection import cache_maintenance
from campfire.collection.build import open_tree
from campfire.errors import CampfireError
logging.basicConfig(stream=sys.stdout)
call, folder = sys.argv[1], Path(sys.argv[2])
sources, columns = pickle.loads(Path(sys.argv[3]).read_bytes())
try:
    if call == "open":
        got, true = (open_tree(sources, columns, cache_dir=f).compute() for f in (folder, None))
        for name in ("PRISM", "G395M"):
            np.testing.assert_allclose(got[name]["fnu"].values, true[name]["fnu"].values, rtol=1e-6)
    elif call == "build":
        cache_maintenance.build(folder, sources, columns["grating"])
    else:
        getattr(cache_maintenance, call)(folder)
    print("right")
except CampfireError as err:
    print("error:", err)
"""


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("call", CALLS)
def test_a_file_system_without_locks(call: str, code: int, few: Any, no_locks: Path, tmp_path: Path) -> None:
    folder, given = tmp_path / "cache", tmp_path / "given"
    open_tree(*few.pick(STATES["some"]), cache_dir=folder)
    given.write_bytes(pickle.dumps((few.sources, few.columns)))
    environment = os.environ | {"LD_PRELOAD": str(no_locks), "NO_LOCKS": str(code)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_LOCKS), call, str(folder), str(given)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,  # SQLite alone waits two minutes for each
    )
    assert done.returncode == 0, done.stderr
    assert "the file system has no locks" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("right" if call in ("open", "info") else "error:")
    assert cache_maintenance.info(folder)["spectra"] == 2, "nothing was written"
