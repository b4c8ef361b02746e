"""Statement: whatever an index or a folder of the cache says, values stay right and nothing else is touched.

Everything lives below the temporary folder of each test: ``cache`` and, beside it, ``precious``.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire.collection import cache_maintenance
from campfire.collection.build import open_tree
from campfire.errors import CampfireError

Faulty = Callable[[Path], object]


def _precious(tmp_path: Path) -> Path:
    """A folder that looks as much as possible like a table of a cache, and is somebody's."""
    folder = tmp_path / "precious"
    (folder / "sub").mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    (folder / "zeros").write_bytes(bytes(2000))
    with closing(sqlite3.connect(folder / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE log (line TEXT)")
    (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    (folder / "sub" / "zarr.json").write_text('{"attributes": {"campfire_cache": 1}}')
    return folder


def _snapshot(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes() if p.is_file() else None, p.lstat().st_mode)
        for p in sorted(folder.rglob("*"))
    }


def _sql(*statements: str) -> Faulty:
    def run(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "index.db")) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return run


def _names(name: str) -> Faulty:
    return _sql(f"UPDATE store SET name = {name} WHERE id = 1")


def _link(*parts: str) -> Faulty:
    """Move a part of the cache beside it and put a link in its place; ``*`` is the first table."""

    def run(folder: Path) -> None:
        path = folder
        for part in parts:
            path = sorted((path).glob(part))[0]
        target = folder.parent / "precious" / "moved"
        shutil.move(path, target)
        path.symlink_to(target)

    return run


def _replace(relative: str, make: Callable[[Path], object]) -> Faulty:
    def run(folder: Path) -> None:
        path = sorted(folder.glob(relative))[0]
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        make(path)

    return run


def _write(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


def _to(target: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.symlink_to(target)

    return make


def _hard_link(name: str, target: str) -> Faulty:
    """Give a file of the neighbour's a second name in the cache."""

    def run(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.link(folder.parent / target, folder / name)

    return run


def _wal(folder: Path) -> None:
    """Put the index into write-ahead mode, and a link where its log goes."""
    _sql("PRAGMA journal_mode=wal")(folder)
    (folder / "index.db-wal").symlink_to("../precious/thesis.tex")


def _names_super_journal(folder: Path) -> None:
    """Leave what a writer killed in a transaction leaves, whose journal names a file that goes with it."""
    index, journal = folder / "index.db", folder / "index.db-journal"
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO pixels VALUES (?, 'x', 1, 1, 1)", [("y" * 3000 + str(n),) for n in range(99)]
        )
        content, database = journal.read_bytes(), index.read_bytes()
        connection.execute("ROLLBACK")
    index.write_bytes(database)
    name = str(folder.parent / "precious" / "thesis.tex").encode()
    (page,) = struct.unpack(">I", content[24:28])
    tail = struct.pack(">II", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
    journal.write_bytes(content + struct.pack(">I", 2**30 // page + 1) + name + tail)


def _crc(data: bytes) -> bytes:
    import google_crc32c

    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def _keys_are(*keys: int) -> Faulty:
    return _replace("pixels/v1/*/key/c/0", _write(_crc(np.array(keys, dtype="<u8").tobytes())))


def _chunk_at(offset: int, length: int) -> Faulty:
    """Let the index of a shard lead to somewhere else, with a right checksum."""

    def run(folder: Path) -> None:
        for path in folder.glob("pixels/v1/*/fnu/c/0/0"):
            data = path.read_bytes()
            entries = np.frombuffer(data[-260:-4], dtype="<u8").copy()
            entries[:2] = offset, length
            path.write_bytes(data[:-260] + _crc(entries.tobytes()))

    return run


def _blosc_says(at: int, number: int) -> Faulty:
    """Let the header of compressed chunks promise another size, with a right checksum."""

    def run(folder: Path) -> None:
        for path in folder.glob("pixels/v1/*/fnu/c/0/0"):
            data = path.read_bytes()
            offset, length = np.frombuffer(data[-260:-244], dtype="<u8").tolist()
            chunk = bytearray(data[offset : offset + length - 4])
            chunk[at : at + 4] = struct.pack("<I", number)
            path.write_bytes(data[:offset] + _crc(bytes(chunk)) + data[offset + length :])

    return run


EMPTY_TABLE = "UPDATE store SET rows = 0"
HALF = "DELETE FROM pixels WHERE row >= 1"  # so that rows are to be appended
FAULTS: dict[str, Faulty] = {
    # names of folders
    "name leads up": _names("'../../../precious'"),
    "name leads up, table counts as empty": _sql(
        "UPDATE store SET name = '../../../precious', rows = 0 WHERE id = 1"
    ),
    "name is absolute": lambda folder: _names(f"'{folder.parent / 'precious'}'")(folder),
    "name leads below": _names("'../../../precious/sub'"),
    "name is empty": _names("''"),
    "name is a dot": _names("'.'"),
    "name is two dots": _names("'..'"),
    "name holds a null byte": _names("'PRISM' || char(0) || '.zarr'"),
    "name in another case": _names("lower(name)"),
    "name is a blob": _names("x'2e2e'"),
    "name is a number": _names("7"),
    "name is very long": _names("printf('%.*c', 5000, 'a')"),
    "grating leads up": _sql("UPDATE store SET grating = '../x'"),
    "all names lead up and are empty": _sql(
        "UPDATE store SET name = '../../../precious/' || id, grating = '../../../precious', rows = 0"
    ),
    # numbers
    "dtype is none": _sql("UPDATE store SET dtype = 'object'"),
    "dtype is huge": _sql("UPDATE store SET dtype = 'V99999999'"),
    "width is huge": _sql("UPDATE store SET width = 1099511627776"),
    "width is negative": _sql("UPDATE store SET width = -512"),
    "width is text": _sql("UPDATE store SET width = 'wide'"),
    "rows are many": _sql("UPDATE store SET rows = 1000000"),
    "rows are negative": _sql("UPDATE store SET rows = -1"),
    "rows are text": _sql("UPDATE store SET rows = 'all'"),
    "rows are zero": _sql(EMPTY_TABLE),
    "generation is huge": _sql("UPDATE store SET generation = 9223372036854775807"),
    "row is huge": _sql("UPDATE pixels SET row = 9223372036854775807"),
    "row is negative": _sql("UPDATE pixels SET row = -1"),
    "row is text": _sql("UPDATE pixels SET row = 'first'"),
    "row is a real": _sql("UPDATE pixels SET row = row + 0.5"),
    "all rows are one": _sql("UPDATE pixels SET row = 0"),
    "rows are exchanged": _sql("UPDATE pixels SET row = (SELECT max(row) FROM pixels) - row"),
    "tables are exchanged": _sql("UPDATE pixels SET store = 3 - store WHERE store < 3"),
    "table is unknown": _sql("UPDATE pixels SET store = 99"),
    "table is null": _sql("PRAGMA writable_schema=ON", "UPDATE pixels SET store = 'x'"),
    "length is huge": _sql("UPDATE pixels SET n_pixels = 9223372036854775807"),
    "length is negative": _sql("UPDATE pixels SET n_pixels = -5"),
    "length is short": _sql("UPDATE pixels SET n_pixels = 7"),
    "length is zero": _sql("UPDATE pixels SET n_pixels = 0"),
    "length is long": _sql("UPDATE pixels SET n_pixels = 500"),
    # the index itself
    "tables are missing": _sql("DROP TABLE pixels", "DROP TABLE store"),
    "tables are views": _sql(
        "DROP TABLE pixels", "CREATE VIEW pixels AS SELECT 1 AS file_hash, 2 AS extraction"
    ),
    "tables have triggers": _sql(
        "CREATE TRIGGER t AFTER INSERT ON pixels BEGIN UPDATE store SET name = '../../../precious'; END"
    ),
    "index is empty": _replace("index.db", _write(b"")),
    "index is garbage": _replace("index.db", _write(b"garbage" * 1000)),
    "index is cut short": lambda folder: os.truncate(folder / "index.db", 5000),
    "index is a folder": _replace("index.db", lambda path: path.mkdir()),
    "index leads nowhere": _replace("index.db", _to("nowhere")),
    "index leads to itself": _replace("index.db", _to("index.db")),
    "index leads to a file of others": _replace("index.db", _to("../precious/thesis.tex")),
    "index leads to a cache of others": _link("index.db"),
    # folders
    "pixels is a link": _link("pixels"),
    "layout is a link": _link("pixels", "v1"),
    "table is a link": _link("pixels", "v1", "*"),
    "table is a file": _replace("pixels/v1/*", _write(b"x")),
    "table leads nowhere": _replace("pixels/v1/*", _to("nowhere")),
    "table leads to itself": _replace("pixels/v1/*", lambda path: path.symlink_to(path.name)),
    "table leads to others, counts as empty": lambda folder: (
        _replace("pixels/v1/*", _to("../../../precious"))(folder),
        _sql(EMPTY_TABLE)(folder),
    )[0],
    "table is somebody's folder, counts as empty": lambda folder: (
        _replace("pixels/v1/*", lambda path: _precious(path.parent).rename(path))(folder),
        _sql(EMPTY_TABLE)(folder),
    )[0],
    "other layout is a link": lambda folder: (folder / "pixels" / "v0").symlink_to("../../precious"),
    "other layout holds others' files": lambda folder: (
        _precious(folder / "pixels").rename(folder / "pixels" / "v0"),
        None,
    )[1],
    "metadata is garbage": _replace("pixels/v1/*/zarr.json", _write(b"{")),
    "metadata is deep": _replace("pixels/v1/*/zarr.json", _write(b"[" * 100_000)),
    "metadata is a folder": _replace("pixels/v1/*/zarr.json", lambda path: path.mkdir()),
    "array metadata is garbage": _replace("pixels/v1/*/fnu/zarr.json", _write(b"{")),
    "keys are missing": _replace("pixels/v1/*/key/c/0", lambda path: None),
    "keys are empty": _replace("pixels/v1/*/key/c/0", _write(b"")),
    "keys are a folder": _replace("pixels/v1/*/key/c/0", lambda path: path.mkdir()),
    "pixels are garbage": _replace("pixels/v1/*/fnu/c/0/0", _write(b"\xff" * 4000)),
    "pixels are a folder": _replace("pixels/v1/*/fnu/c/0/0", lambda path: path.mkdir()),
    # names that SQLite follows
    "index is another's by hard link": _hard_link("index.db", "precious/other.db"),
    "journal is a link": lambda folder: (folder / "index.db-journal").symlink_to("../precious/zeros"),
    "journal leads to a text": lambda folder: (folder / "index.db-journal").symlink_to(
        "../precious/thesis.tex"
    ),
    "journal is another's by hard link": _hard_link("index.db-journal", "precious/zeros"),
    "log is a link": _wal,
    "journal names a file to remove": _names_super_journal,
    # what would never end
    "index is a pipe": _replace("index.db", os.mkfifo),
    "journal is a pipe": lambda folder: os.mkfifo(folder / "index.db-journal"),
    "keys are a pipe": _replace("pixels/v1/*/key/c/0", os.mkfifo),
    "pixels are a pipe": _replace("pixels/v1/*/fnu/c/0/0", os.mkfifo),
    "pixels are a device": _replace("pixels/v1/*/fnu/c/0/0", _to("/dev/zero")),
    "keys are a device": _replace("pixels/v1/*/key/c/0", _to("/dev/zero")),
    "metadata is a pipe": _replace("pixels/v1/*/zarr.json", os.mkfifo),
    "array metadata is a pipe": _replace("pixels/v1/*/fnu/zarr.json", os.mkfifo),
    # pixels with right checksums
    "arrays are links": lambda folder: [_link("pixels", "v1", "*", "fnu")(folder), _sql(HALF)(folder)][0],
    "keys are few": _keys_are(),
    "keys are three": _keys_are(1, 2, 3),
    "chunk is far away": _chunk_at(2**63 + 5, 2**10),
    "chunk is very long": _chunk_at(0, 2**62),
    "chunk is nothing": _chunk_at(0, 0),
    "chunk unpacks to little": _blosc_says(4, 64),
    "chunk unpacks to much": _blosc_says(4, 2**31 - 100),
    "chunk says it is long": _blosc_says(12, 2**31 - 100),
    "chunk has large blocks": _blosc_says(8, 2**31 - 100),
    "pixels lead to themselves": _replace("pixels/v1/*/fnu/c/0/0", _to("0")),
}


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
    "compact to nothing": lambda folder, archive: cache_maintenance.compact(folder, []),
}
ORDERS = (
    ["info", "open", "build"],
    ["prune", "open", "compact"],
    ["compact", "open"],
    ["compact to nothing"],
)


@pytest.fixture(scope="module")
def few(maker: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A handful of files, in two tables."""
    return maker(tmp_path_factory.mktemp("few"), ["PRISM"] * 6)


@pytest.fixture(scope="module")
def pristine(few: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine") / "cache"
    open_tree(few.sources, few.columns, cache_dir=folder)
    assert len(cache_maintenance.info(folder)["stores"]) == 2
    return folder


@pytest.fixture(scope="module")
def truth(few: Any) -> xr.Dataset:
    ds: xr.Dataset = open_tree(few.sources, few.columns, chunks=None)["PRISM"].to_dataset()
    return ds


def _right(ds: xr.Dataset, truth: xr.Dataset) -> None:
    """Values and labels are those of the files; whatever a wrong length adds is padding."""
    width = truth.sizes["pixel"]
    for name in ("wavelength", "fnu", "fnu_err", "flam", "flam_err", "dq"):
        np.testing.assert_allclose(ds[name].values[:, :width], truth[name].values, rtol=1e-6, err_msg=name)
    assert np.isnan(ds["fnu"].values[:, width:]).all()
    assert ds["spectrum_id"].values.tolist() == truth["spectrum_id"].values.tolist()


def _theirs(home: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in home.rglob("thesis.tex") if not path.is_symlink()}


@pytest.mark.filterwarnings("ignore:Object at .* is not recognized:UserWarning")  # zarr, of others' files
@pytest.mark.parametrize("fault", FAULTS)
def test_values_stay_right_and_nothing_else_is_touched(
    fault: str, few: Any, pristine: Path, truth: xr.Dataset, tmp_path: Path
) -> None:
    for number, calls in enumerate(ORDERS):
        home = tmp_path / str(number)
        folder = home / "cache"
        shutil.copytree(pristine, folder)
        precious = _precious(home)
        FAULTS[fault](folder)
        before, theirs = _snapshot(precious), _theirs(home)
        for call in [*calls, "open"]:
            try:
                result = CALLS[call](folder, few)
            except CampfireError as err:
                result, told = None, str(err)
                assert told, (fault, call)
                assert call != "open" or "open it again" in told, (fault, call)
            if isinstance(result, xr.DataTree):
                _right(result["PRISM"].to_dataset(), truth)
            assert _snapshot(precious) == before, (fault, call)
            assert _theirs(home) == theirs, (fault, call)


def test_what_others_put_there_is_left_and_told(
    pristine: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(pristine, folder)
    theirs = folder / "pixels" / "v1" / "notes.zarr"
    _precious(tmp_path).rename(theirs)
    cache_maintenance.prune(folder)
    assert (theirs / "thesis.tex").read_text() == "years of work"
    assert "notes.zarr in the pixel cache is left alone" in caplog.text
    assert str(theirs) in cache_maintenance.info(folder)["orphans"]


@pytest.mark.parametrize("content", ["a database", b"no database at all", b""])
@pytest.mark.parametrize("call", CALLS)
def test_an_index_that_was_there_before_the_cache_is_left_alone(
    call: str, content: str | bytes, few: Any, truth: xr.Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    index = folder / "index.db"
    if isinstance(content, bytes):
        index.write_bytes(content)
    else:
        shutil.copy(_precious(tmp_path) / "other.db", index)
    before = _snapshot(folder)
    for _ in range(2):
        try:
            result = CALLS[call](folder, few)
        except CampfireError as err:
            result, told = None, str(err)
            assert "was there before the pixel cache" in told
        if isinstance(result, xr.DataTree):
            _right(result["PRISM"].to_dataset(), truth)
        if content:
            assert _snapshot(folder) == before


def test_a_damaged_index_is_kept_under_another_name(few: Any, pristine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(pristine, folder)
    for number in (1, 2):
        (folder / "index.db").write_bytes(b"garbage" * number)
        cache_maintenance.build(folder, few.sources, few.columns["grating"])
        assert (folder / f"index.db.damaged-{number}").read_bytes() == b"garbage" * number
    assert cache_maintenance.info(folder)["spectra"] == len(few.sources)
