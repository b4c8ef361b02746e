"""Statement: with any fault of the disk, answers are right or documented errors, and no data is lost."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.client import Campfire
from campfire.disk import disk_faults
from campfire.errors import AuthenticationError, CampfireError, ValidationError
from campfire.models import Object
from campfire.transport.credentials import Credentials, CredentialStore
from tests.client.conftest import Service
from tests.disks import fill


@dataclass(frozen=True)
class Mirror:
    """A data directory in which everything is kept that can be, and what calls answer with it."""

    root: Path
    service: Service
    names: list[str]
    """Spectra; the file of the last is not here, what is kept of it is its plot data."""
    object_id: str
    files: dict[str, Path]
    """What faults come upon: path below the root."""


def _first(root: Path, pattern: str) -> Path:
    return next(root.rglob(pattern)).relative_to(root)


@pytest.fixture(scope="module")
def mirror(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    service.fault = None
    root = tmp_path_factory.mktemp("whole")
    with Campfire(service.url, root, token="any") as cf:
        cf.sync()
        names = [str(name) for name in cf.query_spectra()["spectrum_id"]]
        cf.download(spectrum_ids=names[:-1])
        cf.get_spectrum_data(names[-1])
        row = cf.get_spectrum(names[0])
        assert row is not None
        object_id = str(row["object_id"])
        cf.get_shutters_region(object_id)
        cutout = Path(cf.get_cutout(object_id)).relative_to(root)
        cf.lock(root / "a.lock", names[:-1])
    folder = Path("products") / str(row["observation"])
    meta = {name: Path("meta") / name for name in ("campfire.db", ".campfire.db.lock", "objects.csv")}
    beside = {name: Path("meta") / f"campfire.db-{name}" for name in ("wal", "shm", "journal")}
    kept = {
        "plot data": _first(root, "previews/*/*.json"),
        "image": cutout,
        "shutters": _first(root, "*_shutters.json"),
        "regions": _first(root, "*.reg"),
    }
    folders = {"meta": Path("meta"), "products": Path("products"), "observation": folder}
    folders |= {"previews": Path("previews"), "cutouts": Path("cutouts"), "images": cutout.parent}
    spectrum = {"spectrum": folder / f"{names[0]}_spec.fits", "lock file": Path("a.lock")}
    return Mirror(root, service, names, object_id, folders | meta | beside | spectrum | kept)


Call = Callable[[Campfire, Mirror], object]
CALLS: dict[str, Call] = {
    "query": lambda cf, _: sorted(cf.query_spectra()["spectrum_id"].tolist()),
    "object": lambda cf, m: [spectrum.spectrum_id for spectrum in _object(cf, m).spectra],
    "open": lambda cf, m: _hashable(cf.open_spectrum(m.names[0]).fnu),
    "collect": lambda cf, m: _hashable(cf.open_collection(m.names[:1]).leaves[0]["fnu"].values),
    "plot data": lambda cf, m: _hashable(cf.get_spectrum_data(m.names[0])["fnu"]),
    "kept plot data": lambda cf, m: _hashable(cf.get_spectrum_data(m.names[-1])["fnu"]),
    "fit": lambda cf, m: cf.get_redshift_fit_data(m.names[0])["redshift"],
    "cutout": lambda cf, m: cf.get_cutout(m.object_id).read_bytes(),
    "shutters": lambda cf, m: len(cf.get_shutters(m.object_id)["shutters"]),
    "regions": lambda cf, m: len(cf.get_shutters_region(m.object_id).read_text()),
    "verify": lambda cf, _: cf.verify()["ok"],
    "repair": lambda cf, _: cf.verify(repair=True)["ok"],
    "lock": lambda cf, m: len(cf.lock(cf.data_dir / "b.lock", m.names[:-1]).spectra),
    "check lock": lambda cf, _: cf.check_lock(cf.data_dir / "a.lock").ok,
    "reproduce": lambda cf, _: len(cf.reproduce(cf.data_dir / "a.lock").files),
    "changes": lambda cf, _: len(cf.changes()),
    "download": lambda cf, m: len(cf.download(spectrum_ids=m.names[:-1]).files),
    "sync": lambda cf, _: cf.sync()["spectra"],
    "full sync": lambda cf, _: cf.sync(full=True)["spectra"],
}
TELLING = ("verify", "check lock")
"""Calls that are there to find faults: what they answer may differ."""


def _object(cf: Campfire, mirror: Mirror) -> Object:
    found = cf.get_object(mirror.object_id)
    assert found is not None
    return found


def _hashable(values: Any) -> bytes:
    numbers: np.ndarray = np.nan_to_num(np.array(values, dtype=float))
    return numbers.round(6).tobytes()


@pytest.fixture(scope="module")
def right(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What every call answers where nothing is wrong."""
    root = tmp_path_factory.mktemp("right") / "m"
    shutil.copytree(mirror.root, root)
    with Campfire(mirror.service.url, root, token="any") as cf:
        return {name: call(cf, mirror) for name, call in CALLS.items()}


def _gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _garbage(path: Path) -> None:
    _gone(path)
    path.write_bytes(b"not what it was " * 1000)


def _truncated(path: Path) -> None:
    if path.is_file():
        os.truncate(path, path.stat().st_size // 2)


def _folder(path: Path) -> None:
    _gone(path)
    path.mkdir()
    (path / "mine").write_text("precious")


def _empty(path: Path) -> None:
    _gone(path)
    path.touch()


def _dangling(path: Path) -> None:
    _gone(path)
    path.symlink_to("on a disk that is not mounted")


def _loop(path: Path) -> None:
    _gone(path)
    path.symlink_to(path.name)


def _pipe(path: Path) -> None:
    _gone(path)
    os.mkfifo(path)


FAULTS: dict[str, Callable[[Path], None]] = {
    "missing": _gone,
    "empty": _empty,
    "garbage": _garbage,
    "truncated": _truncated,
    "folder": _folder,
    "dangling link": _dangling,
    "looping link": _loop,
    "pipe": _pipe,
}
FILES = (
    *("meta", "campfire.db", "wal", "shm", "journal", ".campfire.db.lock", "objects.csv"),
    *("products", "observation", "spectrum", "lock file"),
    *("previews", "plot data", "cutouts", "images", "image", "shutters", "regions"),
)


def _make(call: str, root: Path, mirror: Mirror) -> tuple[object, str, list[str]]:
    """Make a call; returns its answer, what its error says, and warnings. Other errors are failures."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with Campfire(mirror.service.url, root, token="any") as cf:
                return CALLS[call](cf, mirror), "", [str(w.message) for w in told]
        except CampfireError as err:
            return None, str(err), [str(w.message) for w in told]


def _litter(root: Path) -> set[str]:
    """Return files that nobody asked for: what is under way has a name with a dot before it."""
    found = {path.name for path in root.rglob(".*") if path.name != ".campfire.db.lock"}
    return {name for name in found if not name.startswith(".campfire")}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("file", FILES)
def test_answers_are_right_or_documented_errors(
    file: str, fault: str, mirror: Mirror, right: dict[str, object], tmp_path: Path
) -> None:
    for call in CALLS:
        root = tmp_path / call
        shutil.copytree(mirror.root, root)
        place = root / mirror.files[file]
        FAULTS[fault](place)
        before = place.read_bytes() if place.is_file() else None
        answer, error, told = _make(call, root, mirror)
        where = (file, fault, call, error, told)
        if error:
            assert "/" in error or "are not on this disk" in error, where  # it says with which file
            assert not any(word in error for word in ("delete", "remove", "rm ")), where
        elif call in TELLING:
            assert type(answer) is type(right[call]), where
        elif answer != right[call]:
            # Fewer files could be had or are in order, and that is said.
            assert (call, file) in (("repair", "meta"), ("repair", "campfire.db")), where
        if fault == "folder":
            assert (place / "mine").read_text() == "precious", where
        if before and file in ("campfire.db", "spectrum", "lock file") and fault in ("garbage", "truncated"):
            there = [path.read_bytes() for path in place.parent.iterdir() if path.is_file()]
            assert before in there or (fault == "truncated" and file == "spectrum"), where
        assert not _litter(root), where
        shutil.rmtree(root)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "looping link"])
def test_checks_find_a_spectrum_that_is_not_what_it_was(fault: str, mirror: Mirror, tmp_path: Path) -> None:
    root = tmp_path / "m"
    shutil.copytree(mirror.root, root)
    FAULTS[fault](root / mirror.files["spectrum"])
    with Campfire(mirror.service.url, root, token="any") as cf:
        assert cf.verify()["ok"] == len(mirror.names) - 2
        assert not cf.check_lock(root / "a.lock").ok


@pytest.mark.parametrize("fault", ["missing", "empty", "garbage", "truncated"])
def test_repair_brings_back_what_was_damaged_and_keeps_what_was_there(
    fault: str, mirror: Mirror, tmp_path: Path
) -> None:
    root = tmp_path / "m"
    shutil.copytree(mirror.root, root)
    place = root / mirror.files["spectrum"]
    whole = place.read_bytes()
    FAULTS[fault](place)
    before = place.read_bytes() if place.exists() else None
    with Campfire(mirror.service.url, root, token="any") as cf:
        assert cf.verify(repair=True)["ok"] == len(mirror.names) - 1
    assert place.read_bytes() == whole
    if fault == "garbage":
        assert before in [path.read_bytes() for path in place.parent.glob("*.old")]


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n half of it", b"[]", b"{}", b"null", b'{"fnu": ']
)
@pytest.mark.parametrize("file", ["plot data", "image", "shutters"])
def test_a_damaged_kept_answer_is_asked_for_again(
    file: str, content: bytes, mirror: Mirror, right: dict[str, object], tmp_path: Path
) -> None:
    root = tmp_path / "m"
    shutil.copytree(mirror.root, root)
    (root / mirror.files[file]).write_bytes(content)
    call = {"plot data": "kept plot data", "image": "cutout", "shutters": "shutters"}[file]
    assert _make(call, root, mirror) == (right[call], "", [])
    assert (root / mirror.files[file]).read_bytes() != content, "and kept again"


# --- whole file systems -------------------------------------------------------------------------------------

READING = ("query", "object", "open", "collect", "plot data", "kept plot data", "fit", "cutout", "shutters")
"""Calls that need nothing to be written."""


@pytest.mark.parametrize("call", CALLS)
def test_a_read_only_mirror_answers_and_says_what_it_cannot_do(
    call: str, mirror: Mirror, right: dict[str, object], mount: Callable[..., Path]
) -> None:
    place = mount("size=64m")
    shutil.copytree(mirror.root, place / "m")
    mount("ro")
    answer, error, told = _make(call, place / "m", mirror)
    assert answer == right[call] or ("read-only" in error and call not in READING), (answer, error)
    assert not told


@pytest.mark.parametrize("room", [0, 20_000])
@pytest.mark.parametrize("call", CALLS)
def test_a_full_disk_costs_nothing_that_was_there(
    call: str, room: int, mirror: Mirror, right: dict[str, object], mount: Callable[..., Path]
) -> None:
    place = mount("size=24m")
    shutil.copytree(mirror.root, place / "m")
    missing = place / "m" / mirror.files["spectrum"] if call in ("download", "reproduce") else None
    if missing is not None:
        missing.unlink()
    fill(place, room)
    answer, error, _ = _make(call, place / "m", mirror)
    assert answer == right[call] or re.search("disk is full|no space|MB are free", error), error
    if call in READING:
        assert answer == right[call], error
    (place / "ballast").unlink()
    assert not _litter(place / "m")
    for later in ("query", "open", "verify", "download", "sync"):
        if missing is not None and later in ("verify", "open"):
            continue
        assert _make(later, place / "m", mirror)[0] == right[later], "with room again, all is as ever"


def test_changes_that_a_killed_program_left_are_not_passed_over_on_a_full_disk(
    mirror: Mirror, mount: Callable[..., Path]
) -> None:
    place = mount("size=24m")
    shutil.copytree(mirror.root, place / "m")
    (place / "m" / mirror.files["wal"]).write_bytes(b"changes" * 1000)
    fill(place, 0)
    assert "disk is full" in _make("query", place / "m", mirror)[1]


@contextmanager
def _bound_by_permissions() -> Iterator[None]:
    """Let this thread and those it starts be bound by permissions, also where the tests run as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held, without = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    if sys.platform != "linux" or libc.capget(header, held):
        pytest.skip("no capabilities to be given up here")
    ctypes.memmove(without, held, ctypes.sizeof(held))
    without[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert not libc.capset(header, without)
    try:
        yield
    finally:
        assert not libc.capset(header, held)


@pytest.mark.parametrize("file", FILES)
def test_what_may_not_be_read_is_said_and_costs_only_what_needs_it(
    file: str, mirror: Mirror, right: dict[str, object], tmp_path: Path
) -> None:
    outcomes = {}
    for call in CALLS:
        root = tmp_path / call
        shutil.copytree(mirror.root, root)
        place = root / mirror.files[file]
        if not place.exists():
            return  # SQLite has no such file just now
        mode = place.stat().st_mode
        with _bound_by_permissions():
            place.chmod(0)
            try:
                answer, error, told = _make(call, root, mirror)
            finally:
                place.chmod(mode)
        where = (file, call, error, told)
        assert answer == right[call] or error or told or call in TELLING, where
        outcomes[call] = error
        if error:
            assert "/" in error or "are not on this disk" in error, where
            assert "delete" not in error, where
        assert not _litter(root), where
    if file not in ("meta", "campfire.db"):
        assert not outcomes["query"]
        assert not outcomes["kept plot data"] or file == "products"


WITHOUT_LOCKS = """
import sys
import threading
import time
from pathlib import Path
from campfire.client import Campfire
from campfire.errors import CampfireError
url, root, call, name = sys.argv[1:]
with Campfire(url, root, token="any") as cf:
    try:
        if call == "query":
            print(len(cf.query_spectra()))
        elif call == "open":
            print(len(cf.open_spectrum(name)))
        else:
            getattr(cf, call)(**({"spectrum_ids": [name]} if call == "download" else {}))
        print("right")
    except CampfireError as err:
        print("error:", err)
"""


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("call", ["query", "open", "sync", "download", "verify"])
def test_a_file_system_without_locks_is_said_to_be_one(
    call: str, code: int, mirror: Mirror, right: dict[str, object], no_locks: Path, tmp_path: Path
) -> None:
    root = tmp_path / "m"
    shutil.copytree(mirror.root, root)
    if call == "download":
        (root / mirror.files["spectrum"]).unlink()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LOCKS, mirror.service.url, str(root), call, mirror.names[0]],
        env=os.environ | {"LD_PRELOAD": str(no_locks), "NO_LOCKS": str(code)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last == "right" or ("no locks" in last or "cannot do that" in last), last
    assert call in ("query", "open", "verify") or last != "right"
    assert not {name for name in _litter(root) if not name.endswith(".lock")}  # it is removed while held
    assert _make("query", root, mirror)[0] == right["query"]


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_everything_on_the_disk_follows_the_umask(umask: int, mirror: Mirror, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with Campfire(mirror.service.url, tmp_path / "m", token="any") as cf:
            cf.sync()
            cf.open_collection(mirror.names[:1], download=True)
            cf.get_shutters_region(mirror.object_id)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "m").rglob("*") if path.is_file()}
    assert {"campfire.db", "index.db"} <= modes.keys()
    private = ".campfire.db.lock"  # made by the library of the locks
    assert {name for name, mode in modes.items() if mode != 0o666 & ~umask} <= {private}


# --- credentials --------------------------------------------------------------------------------------------

ORIGIN = "https://archive.example.org:443"
STORE: dict[str, Callable[[CredentialStore], object]] = {
    "load": lambda store: store.load(ORIGIN),
    "save": lambda store: store.save(ORIGIN, Credentials("api_key", api_key="new")),
    "delete": lambda store: store.delete(ORIGIN),
    "origins": lambda store: store.origins(),
    "lock": lambda store: _locked(store),
}


def _locked(store: CredentialStore) -> None:
    with store.lock(timeout=1):
        pass


@pytest.mark.parametrize("call", STORE)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("file", ["", "credentials", "credentials.d", "credentials.lock", "other"])
def test_credentials_are_right_or_documented_errors(file: str, fault: str, call: str, tmp_path: Path) -> None:
    store = CredentialStore(tmp_path / "config" / "credentials")
    store.save("https://campfire.hollisakins.com:443", Credentials("api_key", api_key="first"))
    own = store.save(ORIGIN, Credentials("api_key", api_key="second"))
    place = own if file == "other" else tmp_path / "config" / file
    FAULTS[fault](place)
    error = ""
    try:
        STORE[call](store)
    except AuthenticationError as err:
        error = str(err)
    assert not error or str(tmp_path) in error
    assert not re.search("first|second", error)
    if fault == "folder":
        assert (place / "mine").read_text() == "precious"
    if file != "" and call == "save" and not error:
        found = store.load(ORIGIN)
        assert found is not None
        assert found.api_key == "new"
    assert not [path for path in tmp_path.rglob(".credentials*")]


def test_a_fault_names_the_file_that_the_system_names(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").mkdir()
    with pytest.raises(CampfireError, match="b: a folder") as caught, disk_faults("cannot write", tmp_path):
        os.replace(tmp_path / "a", tmp_path / "b")
    assert caught.value.path == str(tmp_path / "b")


@pytest.mark.parametrize(
    "place", ["x" * 300, "a/" * 2500, "file/data", "file/deep/er/data", "dangling/data", "circle/data"]
)
def test_a_data_dir_that_cannot_be_is_said(place: str, service: Service, tmp_path: Path) -> None:
    """Statement: the service is not asked in the stead of a catalogue in a place that nothing can have."""
    (tmp_path / "file").write_text("of the user")
    (tmp_path / "dangling").symlink_to("not mounted")
    (tmp_path / "circle").symlink_to("circle")
    with Campfire(service.url, tmp_path / place, token="any") as cf:
        for call in (cf.query_objects, lambda: cf.open_spectrum("x"), cf.sync):
            with pytest.raises(CampfireError):
                call()


def test_an_empty_catalogue_is_said_and_made_anew(service: Service, tmp_path: Path) -> None:
    """Statement: a file of no bytes is a sync that did not begin, or a loss; never a service that answers."""
    place = tmp_path / "meta" / "campfire.db"
    place.parent.mkdir()
    place.touch()
    with Campfire(service.url, tmp_path, token="any") as cf:
        for call in (cf.query_objects, lambda: cf.open_spectrum("x"), lambda: cf.open_collection(["x"])):
            with pytest.raises(CampfireError, match=r"is empty: .*campfire sync"):
                call()
        assert not cf.is_local
        assert len(cf.query_objects(remote=True)) == 2
        cf.sync()
        assert len(cf.query_objects()) == 2


@pytest.mark.parametrize("kind", ["link", "link to nothing", "folder", "pipe"])
def test_a_lock_that_is_no_plain_file(kind: str, service: Service, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("of somebody")
    lock = tmp_path / "meta" / ".campfire.db.lock"
    lock.parent.mkdir()
    if kind == "folder":
        lock.mkdir()
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.symlink_to(victim if kind == "link" else tmp_path / "nowhere")
    with (
        Campfire(service.url, tmp_path, token="any") as cf,
        pytest.raises(ValidationError, match="no plain file"),
    ):
        cf.sync()
    assert victim.read_text() == "of somebody"
    assert not (tmp_path / "nowhere").exists()


def test_an_interrupt_is_heard_while_another_process_writes(service: Service, tmp_path: Path) -> None:
    """Statement: Ctrl-C ends the wait for a lock of SQLite at once, and not after its 30 s."""
    with Campfire(service.url, tmp_path, token="any") as cf:
        cf.sync()
        with closing(sqlite3.connect(tmp_path / "meta" / "campfire.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
            timer.start()
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                cf.sync(full=True)
            assert time.monotonic() - began < 5
        assert len(cf.query_objects()) == 2
