"""Statements checked: where files belong, what is done about one, what exports hold."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from campfire.config import DataPaths
from campfire.errors import ValidationError
from campfire.store.catalog import Catalog
from campfire.store.export import OBJECT_EXPORT, SPECTRUM_EXPORT, export_csv, export_parquet
from campfire.store.file_state import FileRecord, check, decide, expected_path, hash_file, local_paths


def test_expected_path(tmp_path: Path) -> None:
    """``products/<observation>/<basename of fits_path>``, and never outside."""
    paths = DataPaths(tmp_path)
    row = {"observation": "ember_uds_p4", "fits_path": "spectra/ember_uds_p4/x_spec.fits"}
    assert expected_path(paths, row) == tmp_path / "products" / "ember_uds_p4" / "x_spec.fits"
    for bad in (
        {"observation": "../.."},
        {"observation": ""},
        {"observation": "/etc"},
        {"fits_path": "a/.."},
        {"fits_path": "a/.hidden"},
        {"fits_path": ""},
        {"observation": None},
    ):
        with pytest.raises(ValidationError):
            expected_path(paths, row | bad)


def test_check_looks_at_the_content(tmp_path: Path) -> None:
    path = tmp_path / "x.fits"
    path.write_bytes(b"FITS" * 10)
    os.utime(path, (1000, 1000))
    record = FileRecord("x", "o/x.fits", hash_file(path), 40, 1000.0)
    assert record.hash.startswith("sha256:")
    assert len(record.hash) == 71
    assert check(path, record) == "same"
    os.utime(path, (2000, 2000))
    assert check(path, record) == "same"
    path.write_bytes(b"TIFS" * 10)
    assert check(path, record) == "changed"
    path.write_bytes(b"FITS")
    assert check(path, record) == "truncated"
    path.write_bytes(b"FITS" * 11)
    assert check(path, record) == "changed"
    path.unlink()
    assert check(path, record) == "missing"


@pytest.mark.parametrize(
    ("state", "record", "origin", "server", "action"),
    [
        ("missing", None, "", "1", "fetch"),
        ("missing", "1", "download", "1", "fetch"),
        ("untracked", None, "", "1", "local"),
        ("same", "1", "download", "1", "keep"),
        ("same", "1", "found", "1", "keep"),
        ("same", "1", "download", None, "keep"),
        ("same", "1", "found", "2", "local"),
        ("changed", "1", "download", "2", "local"),
        ("changed", "1", "found", "2", "local"),
        ("truncated", "1", "download", "1", "update"),
        ("truncated", "1", "found", "1", "local"),
    ],
)
def test_a_file_that_is_not_ours_is_never_replaced(
    state: Any, record: str | None, origin: str, server: str | None, action: str
) -> None:
    decision = decide(state, record, origin, server)
    assert decision.action == action
    assert decision.reason


def test_local_paths_of_few_and_of_many(tmp_path: Path) -> None:
    """One look a file, or one a folder: the same answer; names that are no file names are not there."""
    paths = DataPaths(tmp_path)
    (paths.products / "a").mkdir(parents=True)
    (paths.products / "a" / "1_spec.fits").write_bytes(b"")
    (paths.products / "a" / "2_spec.fits").mkdir()
    (paths.products / "b").write_bytes(b"")
    folders = ["a", "a", "b", "../a", "c"]
    names = ["s/a/1_spec.fits", "s/a/2_spec.fits", "s/b/1_spec.fits", "s/a/1_spec.fits", ""]
    few = local_paths(paths, folders, names)
    assert few == [str(paths.products / "a" / "1_spec.fits"), None, None, None, None]
    assert local_paths(paths, folders * 30, names * 30) == few * 30
    assert local_paths(DataPaths(tmp_path / "no"), folders * 30, names * 30) == [None] * 150


def test_csv_exports(catalog: Catalog, tmp_path: Path) -> None:
    """The columns and forms of the official files: lists with ``;``, True/False, empty for unknown."""
    written = export_csv(catalog, tmp_path / "out")
    assert [path.name for path in written] == ["objects.csv", "spectra.csv", "photometry.csv"]
    assert sorted(os.listdir(tmp_path / "out")) == ["objects.csv", "photometry.csv", "spectra.csv"]
    tables = []
    for path in written:
        with open(path, encoding="utf-8", newline="") as stream:
            tables.append(list(csv.DictReader(stream)))
    objects, spectra, photometry = tables
    assert tuple(objects[0]) == OBJECT_EXPORT
    assert tuple(spectra[0]) == SPECTRUM_EXPORT
    assert [row["object_id"] for row in objects] == sorted(row["object_id"] for row in objects)
    assert {row["has_photometry"] for row in objects} == {"True", "False"}
    assert any(";" in row["gratings"] for row in objects)
    assert any(row["redshift"] == "" for row in objects)
    first = next(row for row in spectra if row["observation"] == "a_b_p1")
    assert first["local_path"] == f"a_b_p1/{first['spectrum_id']}_spec.fits"
    assert list(photometry[0])[-2:] == ["f_f444w", "e_f444w"]
    assert photometry[0]["f_f444w"] == "1.5"
    assert len(photometry) == catalog.totals()["photometry"]


def test_what_a_killed_export_left_is_removed_by_the_next(catalog: Catalog) -> None:
    """Only what has the name of a temporary file of ours, and is so old that nobody is writing it."""
    folder = catalog.path.parent
    names = [
        *(".spectra.csv.0123456789ab.csv", ".spectra.csv.0123456789cd.csv"),
        *(".spectra.csv.mine", "spectra.csv.0123456789ab.csv"),
    ]
    for name in names:
        (folder / name).touch()
        if name != names[1]:
            os.utime(folder / name, (0, 0))
    export_csv(catalog)
    assert {path.name for path in folder.iterdir()} & set(names) == set(names[1:])


def test_a_failing_export_leaves_the_former_file(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are exchanged as a whole."""
    export_csv(catalog, tmp_path)
    before = (tmp_path / "objects.csv").read_bytes()

    def broken(*_args: object) -> Any:
        yield {"object_id": "x"}
        raise OSError("disk full")

    monkeypatch.setattr(Catalog, "iter_rows", broken)
    with pytest.raises(OSError, match="disk full"):
        export_csv(catalog, tmp_path)
    assert (tmp_path / "objects.csv").read_bytes() == before
    assert len(os.listdir(tmp_path)) == 3


def test_parquet_keeps_units_and_nulls(catalog: Catalog, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    objects, spectra = export_parquet(catalog, tmp_path)
    table = pq.read_table(objects)
    assert table.schema.field("ra").metadata[b"unit"] == b"deg"
    assert table.num_rows == catalog.totals()["objects"]
    assert table["redshift"].null_count > 0
    assert isinstance(table["gratings"][0].as_py(), list)
    assert pq.read_table(spectra).num_rows == catalog.totals()["spectra"]
