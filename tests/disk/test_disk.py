"""Statement checked: only what this package made, below the folder named, is ever removed."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from campfire.disk import (
    MARKER,
    check_database,
    check_tree,
    demand_locks,
    disk_error,
    disk_faults,
    mark_tree,
    marked,
    remove_file,
    remove_tree,
    set_aside,
)
from campfire.errors import CampfireError, ValidationError

KIND = "demo"


def _tree(folder: Path, *, mark: bool = True) -> Path:
    (folder / "inside").mkdir(parents=True)
    (folder / "inside" / "file").write_text("x")
    if mark:
        mark_tree(folder, KIND)
    return folder


def _snapshot(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def test_a_marked_folder_below_the_root_goes_and_nothing_else(tmp_path: Path) -> None:
    precious = _tree(tmp_path / "precious")
    ours = _tree(tmp_path / "root" / "ours")
    _tree(tmp_path / "root" / "neighbour")
    (ours / "inside" / "link").symlink_to(precious)
    (ours / "link").symlink_to(precious / "inside" / "file")
    remove_tree(ours, root=tmp_path / "root", kind=KIND)
    assert not ours.exists()
    assert _snapshot(tmp_path / "root") == {
        "neighbour",
        "neighbour/inside",
        "neighbour/inside/file",
        "neighbour/.campfire",
    }
    assert (precious / "inside" / "file").read_text() == "x"


# name -> (folder to remove, as seen from the root "root"); each stands beside a marked, precious folder
REFUSED: dict[str, Callable[[Path], Path]] = {
    "the root itself": lambda root: root,
    "its parent": lambda root: root / "..",
    "a sibling": lambda root: root.parent / "precious",
    "up and down again": lambda root: root / ".." / "precious",
    "a link to a marked folder": lambda root: root / "link",
    "through a link": lambda root: root / "link" / "sub",
    "through a link and back": lambda root: root / "ours" / "up" / "precious",
    "not marked": lambda root: root / "plain",
    "marked otherwise": lambda root: root / "otherwise",
    "marked by a link": lambda root: root / "linked_mark",
    "marked by a folder": lambda root: root / "folder_mark",
    "a file": lambda root: root / "file",
}


def _landscape(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    precious = _tree(tmp_path / "precious")
    _tree(precious / "sub")
    ours = _tree(root / "ours")
    (ours / "up").symlink_to(tmp_path)
    (root / "link").symlink_to(precious)
    _tree(root / "plain", mark=False)
    mark_tree(_tree(root / "otherwise", mark=False), "pixel table")
    (_tree(root / "linked_mark", mark=False) / ".campfire").symlink_to(precious / ".campfire")
    (_tree(root / "folder_mark", mark=False) / ".campfire").mkdir()
    (root / "file").write_text("x")
    mark_tree(root, KIND)
    return root


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_refused_and_left_whole(case: str, tmp_path: Path) -> None:
    root = _landscape(tmp_path)
    target = REFUSED[case](root)
    before = _snapshot(tmp_path)
    with pytest.raises(ValidationError, match="nothing was removed"):
        remove_tree(target, root=root, kind=KIND)
    assert _snapshot(tmp_path) == before


def test_the_root_may_be_named_through_a_link(tmp_path: Path) -> None:
    ours = _tree(tmp_path / "root" / "ours")
    (tmp_path / "alias").symlink_to(tmp_path / "root")
    remove_tree(tmp_path / "alias" / "ours", root=tmp_path / "alias", kind=KIND)
    assert not ours.exists()


def test_a_folder_is_marked_once(tmp_path: Path) -> None:
    mark_tree(tmp_path, KIND)
    assert marked(tmp_path, KIND)
    assert not marked(tmp_path, "pixel table")
    with pytest.raises(FileExistsError):
        mark_tree(tmp_path, "other")
    assert marked(tmp_path, KIND)


def test_one_file_goes_and_neither_folders_nor_files_elsewhere(tmp_path: Path) -> None:
    root = _landscape(tmp_path)
    before = _snapshot(tmp_path)
    for name in ("ours", "../precious/inside/file", "ours/up/precious/inside/file", "link/inside/file"):
        with pytest.raises(ValidationError, match="nothing was removed"):
            remove_file(root / name, root=root)
    assert _snapshot(tmp_path) == before
    remove_file(root / "missing", root=root)
    remove_file(root / "missing" / "missing", root=root)
    remove_file(root / "file", root=root)
    remove_file(root / "link", root=root)  # the link, not what it leads to
    assert before - _snapshot(tmp_path) == {"root/file", "root/link"}
    assert (tmp_path / "precious" / "inside" / "file").read_text() == "x"


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_fault_of_the_system_is_said_in_words(number: int) -> None:
    error = disk_error(OSError(number, os.strerror(number)), "cannot read", "/data/file")
    text = str(error)
    assert text.startswith("cannot read /data/file: ")
    assert "Errno" not in text
    assert not any(word in text.lower() for word in ("delete", "remove it", "rm "))


def test_faults_of_a_database_are_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("garbage, and long enough to be looked at as a header" * 10)
    match = r"a\.db: it is not a database \(move it aside"
    with (
        pytest.raises(CampfireError, match=match) as caught,
        disk_faults("cannot read the catalogue", path),
        sqlite3.connect(path) as connection,
    ):
        connection.execute("SELECT * FROM sqlite_master")
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    assert caught.value.path == str(path)


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), disk_faults("cannot read", tmp_path):
        _ = 1 / 0


def test_the_marker_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of an interrupted removal is known as ours, and goes the next time."""
    folder = _tree(tmp_path / "ours")
    for name in ("a", "z", ".a"):
        (folder / name).write_text("x")

    unlink = os.unlink

    def interrupted(path: str, **how: int) -> None:
        if path.endswith(MARKER):
            raise KeyboardInterrupt
        unlink(path, **how)

    with monkeypatch.context() as patch:
        patch.setattr("os.unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            remove_tree(folder, root=tmp_path, kind=KIND)
    assert _snapshot(folder) == {MARKER}
    remove_tree(folder, root=tmp_path, kind=KIND)
    assert not folder.exists()


@pytest.mark.parametrize("code", ["IOERR_LOCK", "IOERR_RDLOCK", "IOERR_SHMLOCK"])
def test_a_database_that_cannot_be_locked_says_so(code: str) -> None:
    err = sqlite3.OperationalError("disk I/O error")
    err.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    assert "has no locks" in str(disk_error(err, "cannot read", "/data/a.db"))


def test_a_file_set_aside_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    (tmp_path / "index.db.damaged-2").symlink_to("nowhere")
    for number in (1, 3, 4):
        path.write_text(str(number))
        assert set_aside(path, root=tmp_path) == tmp_path / f"index.db.damaged-{number}"
        assert (tmp_path / f"index.db.damaged-{number}").read_text() == str(number)
    with pytest.raises(ValidationError, match="not below"):
        set_aside(tmp_path / ".." / "x", root=tmp_path)


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
@pytest.mark.parametrize("make", ["link", "dangling", "hard link", "folder", "pipe"])
def test_a_database_beside_which_sqlite_would_follow_names_is_refused(
    suffix: str, make: str, tmp_path: Path
) -> None:
    database, other = tmp_path / "a.db", tmp_path / "other"
    database.write_bytes(b"")
    other.write_bytes(b"x")
    check_database(database, write=True)
    path = tmp_path / f"a.db{suffix}"
    path.unlink(missing_ok=True)
    makers: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(other),
        "dangling": lambda: path.symlink_to("nowhere"),
        "hard link": lambda: os.link(other, path),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }
    makers[make]()
    with pytest.raises(ValidationError, match=r"plain file|second name"):
        check_database(database, write=True)
    if suffix or make != "hard link":
        with pytest.raises(ValidationError):
            check_database(database, write=False)
    else:
        check_database(database, write=False)


def test_a_tree_with_anything_but_folders_and_files_is_refused(tmp_path: Path) -> None:
    folder = _tree(tmp_path / "ours")
    check_tree(folder)
    with pytest.raises(FileNotFoundError):
        check_tree(tmp_path / "none")
    for make in (lambda path: path.symlink_to("."), os.mkfifo):
        make(folder / "inside" / "odd")
        with pytest.raises(ValidationError, match="odd is a link or no plain file"):
            check_tree(folder)
        (folder / "inside" / "odd").unlink()


def test_locks_are_asked_for(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        demand_locks(file.fileno(), tmp_path)
        number = file.fileno()
    with pytest.raises(OSError, match="Bad file descriptor"):
        demand_locks(number, tmp_path)
