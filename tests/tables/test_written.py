"""Statement: every table of the client can be written in every format and read again, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from campfire import Campfire
from campfire.archive_table import ArchiveTable
from campfire.columns import COLUMNS
from campfire.errors import ValidationError

FORMATS = {
    "fits": None,
    "ecsv": None,
    "csv": None,
    "vot": "votable",
    "html": "ascii.html",
    "tex": "ascii.latex",
    "hdf5": "hdf5",
    "parquet": "parquet",
}
TABLES: dict[str, Callable[[Campfire], Table]] = {
    "objects": lambda cf: cf.query_objects(),
    "spectra": lambda cf: cf.query_spectra(),
    "a cone": lambda cf: cf.query_objects(cone_search=(0.0, 0.8, 3600.0)),
    "no objects": lambda cf: cf.query_objects(search="no such name"),
    "a part": lambda cf: cf.query_objects()[2:5]["object_id", "tags", "redshift"],
    "programs": lambda cf: cf.get_programs(),
    "tags": lambda cf: cf.get_tags(),
    "changes": lambda cf: cf.changes(),
    "spectra of an object": lambda cf: _object(cf).spectra.to_table(),
    "photometry": lambda cf: _object(cf).photometry.to_table(),
}


def _object(cf: Campfire) -> Any:
    return cf.get_object(str(cf.query_objects(has_photometry=True, limit=1)["object_id"][0]))


@pytest.fixture(scope="module")
def cf(archive_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campfire]:
    with Campfire(archive_url, tmp_path_factory.mktemp("data"), token="any") as client:
        client.sync(progress=False)
        yield client


@pytest.mark.filterwarnings("ignore:table path was not set")
@pytest.mark.filterwarnings("ignore:The unit")
@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_written_in_every_format(name: str, ending: str, cf: Campfire, tmp_path: Path) -> None:
    if ending in ("hdf5", "parquet"):
        pytest.importorskip({"hdf5": "h5py", "parquet": "pyarrow"}[ending])
    table, path = TABLES[name](cf), tmp_path / f"table.{ending}"
    form = FORMATS[ending]
    table.write(path, **({"format": form} if form else {}))
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    if ending in ("tex", "html") or (ending == "csv" and not len(table)):
        return
    again = Table.read(path, **({"format": form} if form else {}))
    assert again.colnames == table.colnames
    assert len(again) == len(table)


def test_text_and_lists_come_back_from_fits(cf: Campfire, tmp_path: Path) -> None:
    table = cf.query_objects()
    table.write(tmp_path / "objects.fits")
    again = Table.read(tmp_path / "objects.fits")
    assert again["object_id"].tolist() == table["object_id"].tolist()
    for spec in COLUMNS["objects"]:
        if spec.kind == "list":
            written = [
                text.split(",") if text else [] for text in np.ma.filled(again[spec.name], "").tolist()
            ]
            assert written == [list(names) for names in table[spec.name]]
    assert again["redshift"].mask.tolist() == table["redshift"].mask.tolist()
    assert again["ra"].unit == table["ra"].unit


def test_lists_are_kept_where_the_format_has_them(cf: Campfire, tmp_path: Path) -> None:
    table = cf.query_objects()
    table.write(tmp_path / "objects.ecsv")
    assert [list(names) for names in Table.read(tmp_path / "objects.ecsv")["tags"]] == table["tags"].tolist()
    assert all(isinstance(names, list) for names in table["tags"])  # the table itself is as documented


def test_pandas_takes_every_table(cf: Campfire) -> None:
    for make in TABLES.values():
        table = make(cf)
        assert list(table.to_pandas().columns) == table.colnames


def test_a_file_that_is_there_is_replaced_only_if_asked(cf: Campfire, tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    path.write_text("mine")
    with pytest.raises(ValidationError, match="exists already"):
        cf.query_objects().write(path)
    assert path.read_text() == "mine"
    cf.query_objects().write(path, overwrite=True)
    assert path.read_text().startswith("object_id,")


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    table = ArchiveTable({"a": np.ones((2, 2))})
    with pytest.raises(ValueError, match="CSV"):
        table.write(tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []
