"""Photometry tables: read, and attached to the objects they lie on."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from campfire.archive.catalogue.indexed_files import read_photometry
from campfire.archive.indexing.grouping import nearest
from campfire.bands import find_band
from campfire.errors import NotFoundError, ValidationError
from campfire.store.catalog import Catalog
from campfire.typing import PathInput, Row

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["PhotometryTable", "attach", "read_table"]

FloatColumn = NDArray[np.float64]
_RA = ("ra", "RA", "alpha_j2000", "ALPHA_J2000", "ra_deg")
_DEC = ("dec", "DEC", "Dec", "delta_j2000", "DELTA_J2000", "dec_deg")
_ID = ("catalog_id", "id", "ID", "number", "NUMBER")
_PHOTO_Z = ("photo_z", "z_phot", "zphot", "z_best")
# Flux column -> error column, for the band both name.
_PAIRS = (
    (re.compile(r"f_(\w+)"), "e_{0}"),
    (re.compile(r"flux_(?!err)(\w+)"), "flux_err_{0}"),
    (re.compile(r"flux_(?!err)(\w+)"), "fluxerr_{0}"),
    (re.compile(r"flux_(?!err)(\w+)"), "err_{0}"),
    (re.compile(r"(\w+)_flux"), "{0}_flux_err"),
    (re.compile(r"(\w+)_flux"), "{0}_err"),
    (re.compile(r"(\w+)"), "{0}_err"),
)


@dataclass(frozen=True, slots=True)
class PhotometryTable:
    """A photometric catalogue: arrays of one length; degrees, microjansky, NaN where unknown."""

    name: str
    ids: list[str]
    ra: FloatColumn
    dec: FloatColumn
    bands: dict[str, tuple[FloatColumn, FloatColumn]]
    photo_z: FloatColumn
    photo_z_lo: FloatColumn
    photo_z_hi: FloatColumn


def read_table(path: PathInput) -> PhotometryTable:
    """Read a photometry table.

    Parameters
    ----------
    path
        ECSV, FITS or CSV. Columns: ``ra`` and ``dec`` in degrees; fluxes with errors as ``f_<band>`` and
        ``e_<band>``, ``flux_<band>`` and ``flux_err_<band>``, or ``<band>`` and ``<band>_err`` (microjansky,
        unless the column has a unit); optionally ``id``, ``photo_z``, ``photo_z_err_lo`` and
        ``photo_z_err_hi`` (bounds). The catalogue's name is ``name`` of the table's metadata, else the
        file's name.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ValidationError
        If it cannot be read, or has no positions or no fluxes.
    """
    from astropy.table import Table

    file = Path(path).expanduser()
    if not file.is_file():
        raise NotFoundError(f"no photometry table {file}", path=file)
    formats = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".fit": "fits"}
    if file.suffix.lower() not in formats:
        raise ValidationError(
            f"{file.name}: unknown kind of table", hint="use .ecsv, .fits or .csv", path=file
        )
    try:
        table = Table.read(file, format=formats[file.suffix.lower()])
    except Exception as err:  # readers of three formats raise what they like
        raise ValidationError(f"{file.name} cannot be read as a table: {err}", path=file) from err
    ra, dec = _named(table, _RA), _named(table, _DEC)
    bands = _bands(table)
    if ra is None or dec is None or not bands:
        raise ValidationError(
            f"{file.name} has the columns {', '.join(table.colnames)}",
            hint="needed are ra, dec (degrees) and fluxes such as f_f444w with e_f444w (microjansky)",
            path=file,
        )
    ids = next((name for name in _ID if name in table.colnames), None)
    unknown = np.full(len(table), np.nan)
    photo_z = _named(table, _PHOTO_Z)
    return PhotometryTable(
        name=str(table.meta.get("name") or table.meta.get("NAME") or file.stem),
        ids=[str(item) for item in (table[ids] if ids else range(1, len(table) + 1))],
        ra=ra % 360.0,
        dec=dec,
        bands=bands,
        photo_z=unknown if photo_z is None else photo_z,
        photo_z_lo=_floats(table, "photo_z_err_lo", unknown),
        photo_z_hi=_floats(table, "photo_z_err_hi", unknown),
    )


def _named(table: Table, names: Sequence[str]) -> FloatColumn | None:
    name = next((name for name in names if name in table.colnames), None)
    return None if name is None else _floats(table, name, np.zeros(0))


def _floats(table: Table, name: str, missing: FloatColumn) -> FloatColumn:
    if name not in table.colnames:
        return missing
    try:
        return np.ma.filled(np.ma.asarray(table[name]).astype(np.float64), np.nan)
    except (TypeError, ValueError) as err:
        raise ValidationError(f"column {name} does not hold numbers") from err


def _bands(table: Table) -> dict[str, tuple[FloatColumn, FloatColumn]]:
    bands: dict[str, tuple[FloatColumn, FloatColumn]] = {}
    none = np.zeros(0)
    for name in table.colnames:
        for pattern, error in _PAIRS:
            match = pattern.fullmatch(name)
            partner = error.format(match[1]) if match else ""
            # Without a prefix only bands that are known: any column may have an error beside it.
            named = match is not None and (match[1] != name or find_band(name) is not None)
            if match and named and partner in table.colnames and match[1] not in bands:
                flux, flux_err = _floats(table, name, none), _floats(table, partner, none)
                bands[match[1]] = (flux * _to_ujy(table, name), flux_err * _to_ujy(table, partner))
                break
    return bands


def _to_ujy(table: Table, name: str) -> float:
    from astropy import units as u

    unit = table[name].unit
    if unit is None:
        return 1.0
    try:
        return float(u.Unit(unit).to(u.uJy))
    except u.UnitConversionError as err:
        raise ValidationError(f"column {name} is in {unit}", hint="fluxes must be flux densities") from err


def attach(catalog: Catalog, table: PhotometryTable, radius: float, now: str) -> int:
    """Attach each source of a table to the nearest object within ``radius`` (arcsec); return how many were.

    Records of the same catalogue that fit no more are removed; others stay as they are.
    """
    found = catalog.execute("SELECT id, object_id, field, ra, dec FROM objects ORDER BY id").fetchall()
    ra, dec = (np.array([row[k] for row in found], dtype=np.float64) for k in (3, 4))
    usable = np.flatnonzero(np.isfinite(table.ra) & np.isfinite(table.dec))
    index, distance = nearest(ra, dec, table.ra[usable], table.dec[usable], radius)
    former = {row["object_pk"]: row for row in read_photometry(catalog, table.name)}
    records: list[Row] = []
    kept: set[int] = set()
    used: set[int] = set()
    for k in np.argsort(distance, kind="stable"):  # the closest first: a source belongs to one object
        if index[k] < 0 or index[k] in used:
            continue
        used.add(int(index[k]))
        pk, object_id, field = found[k][:3]
        record = _record(table, int(usable[index[k]])) | {
            "object_id": object_id,
            "field": field,
            "match_distance_arcsec": round(float(distance[k]), 4),
        }
        before = former.get(pk)
        if before is not None:
            kept.add(before["id"])
            if all(before[name] == value for name, value in record.items()):
                continue
        stamps = {"id": before["id"] if before else None, "updated_at": now}
        records.append(record | stamps | {"created_at": before["created_at"] if before else now})
    gone = [row["id"] for row in former.values() if row["id"] not in kept]
    if records or gone:
        with catalog.write() as writer:
            writer.delete_photometry(gone)
            writer.put_photometry(
                sorted(records, key=lambda row: (row["id"] is None, row["id"], row["object_id"]))
            )
    return len(used)


def _record(table: PhotometryTable, k: int) -> Row:
    bands: dict[str, dict[str, float]] = {}
    for name, (flux, flux_err) in table.bands.items():
        if not (math.isfinite(flux[k]) and math.isfinite(flux_err[k])):
            continue
        bands[name] = {"flux": float(flux[k]), "flux_err": float(flux_err[k])}
        known = find_band(name)
        if known is not None:
            bands[name] |= {"wav": known.pivot, "wav_min": known.blue, "wav_max": known.red}
    z = {
        "photo_z": table.photo_z[k],
        "photo_z_err_lo": table.photo_z_lo[k],
        "photo_z_err_hi": table.photo_z_hi[k],
    }
    record: dict[str, Any] = {
        name: float(value) if math.isfinite(value) else None for name, value in z.items()
    }
    return record | {
        "catalog_name": table.name,
        "catalog_id": table.ids[k],
        "photometry": json.dumps({"flux_unit": "uJy", "bands": bands}),
        "has_pz": 0,
    }
