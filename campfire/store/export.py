"""The catalogue as CSV files, with the official client's columns, or as Parquet with units."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from campfire.bands import find_band
from campfire.columns import COLUMNS, TableName
from campfire.config import DataPaths
from campfire.errors import ValidationError
from campfire.publishing import replacing
from campfire.query import Query
from campfire.store.catalog import Catalog
from campfire.store.file_state import expected_path
from campfire.typing import PathInput, Row

__all__ = ["OBJECT_EXPORT", "SPECTRUM_EXPORT", "export_csv", "export_parquet"]

OBJECT_EXPORT = (
    *("object_id", "field", "ra", "dec", "redshift", "redshift_auto", "redshift_inspected"),
    *("redshift_quality", "n_targets", "n_spectra", "programs", "gratings", "observations"),
    *("member_target_ids", "max_snr", "max_exposure_time", "has_photometry", "photo_z", "photo_z_err_lo"),
    *("photo_z_err_hi", "last_inspected_at", "last_inspected_by", "last_data_change_at", "staleness_reason"),
)
SPECTRUM_EXPORT = (
    *("spectrum_id", "target_id", "object_id", "grating", "fits_path", "file_hash", "file_size"),
    *("signal_to_noise", "exposure_time", "reduction_version", "redshift_auto", "dq_flags"),
    *("program_slug", "observation", "field", "local_path"),
)
_PHOTOMETRY = (
    *("object_id", "field", "catalog_name", "catalog_id", "match_distance_arcsec"),
    *("photo_z", "photo_z_err_lo", "photo_z_err_hi"),
)

_LEFT = re.compile(r"\.[0-9a-f]{12}\.csv")  # as campfire.publishing names them
_ABANDONED = 3600.0
"""Seconds after which nobody is still writing a temporary file."""


def _forget_abandoned(path: Path) -> None:
    """Remove what killed processes left of a file of ours, once so old that nobody is writing it."""
    for left in path.parent.glob(f".{path.name}.*"):
        if (
            _LEFT.fullmatch(left.name.removeprefix(f".{path.name}"))
            and time.time() - _changed(left) > _ABANDONED
        ):
            left.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # its writer was done in this moment
        return time.time()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ";".join(map(str, value))
    return "" if value is None else value


def _write(path: Path, names: Sequence[str], rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        _dump(stream, names, rows)


def _dump(stream: IO[str], names: Sequence[str], rows: Iterable[Row]) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)


def export_csv(catalog: Catalog, folder: PathInput | None = None) -> list[Path]:
    """Write ``objects.csv``, ``spectra.csv`` and ``photometry.csv``, each replaced as a whole.

    Lists are joined with ``;``, what is unknown is empty. ``local_path`` is where a file belongs below
    ``products/``, whether it is there or not. Fluxes of photometry are in microjansky: ``f_<band>`` and
    ``e_<band>`` for every band of the catalogue, by wavelength.

    Parameters
    ----------
    catalog
        The catalogue.
    folder
        Where to write; by default beside the catalogue.

    Returns
    -------
    list of pathlib.Path
        The three files.
    """
    where = catalog.path.parent if folder is None else Path(folder).expanduser().absolute()
    paths = [where / f"{name}.csv" for name in ("objects", "spectra", "photometry")]
    if folder is None:  # beside the catalogue, where everything is ours
        for path in paths:
            _forget_abandoned(path)
    _write(paths[0], OBJECT_EXPORT, catalog.iter_rows(Query.of("objects")))
    spectra = catalog.iter_rows(Query.of("spectra"))
    _write(
        paths[1], SPECTRUM_EXPORT, (row | {"local_path": _expected(catalog.paths, row)} for row in spectra)
    )
    bands = _bands(catalog)
    names = [*_PHOTOMETRY, *(f"{kind}_{band}" for band in bands for kind in "fe")]
    _write(paths[2], names, _photometry(catalog))
    return paths


def _expected(paths: DataPaths, row: Row) -> str | None:
    try:
        return expected_path(paths, row).relative_to(paths.products).as_posix()
    except ValidationError:
        return None  # a name that is no file name has no place here


def _records(catalog: Catalog) -> Iterator[Row]:
    names = (*_PHOTOMETRY, "photometry")
    columns = ", ".join(f"p.{name}" for name in _PHOTOMETRY[1:])
    found = catalog.execute(
        f"SELECT coalesce(o.object_id, p.object_id) AS name, {columns}, p.photometry FROM photometry p"
        " LEFT JOIN objects o ON o.id = p.object_pk ORDER BY name, p.catalog_name, p.id"
    )
    for values in found:
        row = dict(zip(names, values, strict=True))
        yield row | {"photometry": json.loads(row["photometry"]).get("bands") or {}}


def _bands(catalog: Catalog) -> list[str]:
    pivots: dict[str, float] = {}
    for row in _records(catalog):
        for name, band in row["photometry"].items():
            known = find_band(name)
            sent = band.get("wav")
            pivots[name] = known.pivot if known else float(sent) if sent else float("inf")
    return sorted(pivots, key=lambda name: (pivots[name], name))


def _photometry(catalog: Catalog) -> Iterator[Row]:
    for row in _records(catalog):
        bands = row.pop("photometry")
        for name, band in bands.items():
            row[f"f_{name}"], row[f"e_{name}"] = band.get("flux"), band.get("flux_err")
        yield row


def export_parquet(catalog: Catalog, folder: PathInput | None = None) -> list[Path]:
    """Write ``objects.parquet`` and ``spectra.parquet``: typed, nulls where unknown, units as field metadata.

    Parameters
    ----------
    catalog
        The catalogue.
    folder
        Where to write; by default beside the catalogue.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    """
    where = catalog.path.parent if folder is None else Path(folder).expanduser().absolute()
    tables: tuple[TableName, ...] = ("objects", "spectra")
    written = []
    for table in tables:
        path = where / f"{table}.parquet"
        with replacing(path) as temporary:
            _write_parquet(catalog, table, temporary)
        written.append(path)
    return written


def _write_parquet(catalog: Catalog, table: TableName, path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as err:
        raise ImportError("Parquet needs pyarrow: pip install pyarrow") from err
    kinds: dict[Literal["text", "int", "float", "bool", "list"], Callable[[], Any]] = {
        "text": pa.string,
        "int": pa.int64,
        "float": pa.float64,
        "bool": pa.bool_,
        "list": lambda: pa.list_(pa.string()),
    }
    columns = catalog.select(Query.of(table))
    fields, arrays = [], []
    for spec in COLUMNS[table]:
        about = {"description": spec.description} | ({"unit": spec.unit} if spec.unit else {})
        fields.append(pa.field(spec.name, kinds[spec.kind](), nullable=spec.masked, metadata=about))
        arrays.append(pa.array(columns[spec.name].tolist(), type=kinds[spec.kind]()))
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path)
