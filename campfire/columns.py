"""The one table of result columns, for objects and for spectra: names, dtypes, units, descriptions.

Answers of the local catalogue and of the service are built from it alike, so they have the same columns and
dtypes, also when they are empty. A column that may be unknown is always a masked array; beneath the mask lies
NaN, 0 or an empty text. List columns are object arrays of Python lists of text, sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Table

    from campfire.typing import BoolArray, IntArray, Row

__all__ = [
    "COLUMNS",
    "DISTANCE",
    "OBJECT_COLUMNS",
    "SPECTRUM_COLUMNS",
    "Column",
    "Columns",
    "TableName",
    "rows_table",
    "to_table",
]

TableName = Literal["objects", "spectra"]
Kind = Literal["text", "int", "float", "bool", "list"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result.

    Parameters
    ----------
    name
        Name in tables and rows.
    kind
        Kind of value; text is fixed-width unicode of at least ``width`` characters.
    description
        One line for the user.
    unit
        Unit as astropy reads it, or None.
    masked
        Whether a value may be unknown.
    width
        Least width of a text column: fixed, so that an empty result has the dtype of a full one. Longer
        values widen the column; nothing is ever cut off.
    """

    name: str
    kind: Kind
    description: str
    unit: str | None = None
    masked: bool = False
    width: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of a result column (of the least width)."""
        kinds = {"int": "int64", "float": "float64", "bool": "bool", "list": "object"}
        return np.dtype(f"U{self.width}" if self.kind == "text" else kinds[self.kind])

    def array(self, values: Sequence[Any]) -> NDArray[Any]:
        """Turn plain values (None: unknown) into the typed array of this column."""
        if self.kind == "list":
            return np.fromiter(values, dtype=object, count=len(values))
        unknown = None in values
        if self.kind == "float":
            array = np.array(values, dtype=np.float64)  # None becomes NaN
            return np.ma.MaskedArray(array, mask=np.isnan(array)) if self.masked else array
        filled: Sequence[Any] = values
        if unknown:
            blank: Any = "" if self.kind == "text" else 0
            filled = [blank if value is None else value for value in values]
        if self.kind == "text":
            width = max(self.width, len(max(filled, key=len, default="")))
            array = np.array(filled, dtype=f"U{width}")
        else:
            array = np.array(filled, dtype=self.dtype)
        if not self.masked:
            return array
        mask = [value is None for value in values] if unknown else np.zeros(len(values), dtype=bool)
        return np.ma.MaskedArray(array, mask=mask)


def _text(name: str, width: int, description: str, *, masked: bool = False) -> Column:
    return Column(name, "text", description, width=width, masked=masked)


def _float(name: str, description: str, unit: str | None = None, *, masked: bool = True) -> Column:
    return Column(name, "float", description, unit=unit, masked=masked)


OBJECT_COLUMNS: tuple[Column, ...] = (
    _text("object_id", 32, "name of the object"),
    _text("field", 16, "field on the sky"),
    _float("ra", "right ascension (ICRS)", "deg", masked=False),
    _float("dec", "declination (ICRS)", "deg", masked=False),
    _float("redshift", "best redshift: inspected, else automated; unknown where impossible"),
    Column("redshift_quality", "int", "0 not inspected, 1 impossible, 2 tentative, 3 probable, 4 secure"),
    _float("redshift_auto", "automated redshift"),
    _float("redshift_inspected", "redshift set by an inspector"),
    Column("programs", "list", "slugs of the programs that observed the object"),
    Column("tags", "list", "slugs of the tags of the object"),
    Column("gratings", "list", "gratings of its spectra"),
    Column("observations", "list", "observations of its spectra"),
    Column("member_target_ids", "list", "targets that are this object"),
    Column("n_targets", "int", "number of targets"),
    Column("n_spectra", "int", "number of spectra"),
    _float("max_snr", "largest signal-to-noise ratio of its spectra"),
    _float("max_exposure_time", "longest exposure time of its spectra", "s"),
    Column("has_photometry", "bool", "whether broadband photometry is known"),
    _float("photo_z", "photometric redshift"),
    _float("photo_z_err_lo", "lower 68 % bound of the photometric redshift (a redshift, not a width)"),
    _float("photo_z_err_hi", "upper 68 % bound of the photometric redshift (a redshift, not a width)"),
    _text("staleness_reason", 24, "why the last inspection may be out of date", masked=True),
    _text("last_inspected_at", 32, "time of the last inspection", masked=True),
    _text("last_inspected_by", 36, "account of the last inspector", masked=True),
    _text("last_data_change_at", 32, "time its data last changed", masked=True),
    _text("created_at", 32, "time the object was made", masked=True),
    _text("updated_at", 32, "time the object last changed", masked=True),
    Column("version", "int", "number of the object's revision"),
    Column("id", "int", "integer id in the archive"),
)

SPECTRUM_COLUMNS: tuple[Column, ...] = (
    _text("spectrum_id", 48, "name of the spectrum"),
    _text("target_id", 40, "name of the target"),
    _text("object_id", 32, "object the target belongs to", masked=True),
    _text("grating", 8, "grating"),
    _text("fits_path", 96, "name of the file in the archive"),
    _float("signal_to_noise", "signal-to-noise ratio of the spectrum"),
    _float("exposure_time", "exposure time", "s"),
    _text("reduction_version", 16, "version of the reduction", masked=True),
    _float("redshift_auto", "automated redshift of this spectrum"),
    Column("dq_flags", "int", "data-quality bitmask (DQFlags)"),
    _text("local_path", 200, "the file on this disk, where it is", masked=True),
    _text("program_slug", 32, "program"),
    _text("observation", 32, "observation"),
    _text("field", 16, "field on the sky"),
    _float("redshift", "best redshift of the object"),
    Column("redshift_quality", "int", "redshift quality of the object, 0 to 4", masked=True),
    _float("ra", "right ascension of the object (ICRS)", "deg"),
    _float("dec", "declination of the object (ICRS)", "deg"),
    _text("file_hash", 71, "SHA-256 of the file in the archive", masked=True),
    Column("file_size", "int", "size of the file in the archive", unit="byte", masked=True),
    _text("updated_at", 32, "time the spectrum last changed", masked=True),
    Column("id", "int", "integer id in the archive"),
)

DISTANCE = _float("distance_arcsec", "distance from the centre of the cone", "arcsec", masked=False)
"""Column that is added where a cone was asked for."""

COLUMNS: dict[TableName, tuple[Column, ...]] = {"objects": OBJECT_COLUMNS, "spectra": SPECTRUM_COLUMNS}


@dataclass(frozen=True, slots=True)
class Columns:
    """A result, column by column.

    Parameters
    ----------
    table
        What its rows are.
    arrays
        Column name -> 1-D array, all of one length, in the order of :data:`COLUMNS`. Extra arrays (see
        :meth:`from_values`) come last and belong to no table.
    """

    table: TableName
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def from_values(cls, table: TableName, values: Mapping[str, Sequence[Any]]) -> Columns:
        """Build the typed columns of a table from plain values, None where unknown.

        Parameters
        ----------
        table
            What the rows are.
        values
            Column name -> values. A missing column is unknown throughout. ``distance_arcsec`` is taken as a
            column; any other extra name is kept as numpy makes it.

        Examples
        --------
        >>> columns = Columns.from_values("spectra", {"spectrum_id": ["a"], "dq_flags": [3]})
        >>> len(columns), columns["dq_flags"][0].item(), bool(columns["redshift"].mask[0])
        (1, 3, True)
        """
        length = max(map(len, values.values()), default=0)
        specs = {spec.name: spec for spec in (*COLUMNS[table], DISTANCE)}
        arrays: dict[str, NDArray[Any]] = {}
        for spec in specs.values():
            if spec.name in values:
                arrays[spec.name] = spec.array(values[spec.name])
            elif spec is not DISTANCE:
                arrays[spec.name] = _blank(spec, length)
        for name, extra in values.items():
            if name not in specs:
                arrays[name] = _as_array(extra)
        return cls(table, arrays)

    @classmethod
    def from_rows(cls, table: TableName, rows: Iterable[Row], extra: Iterable[str] = ()) -> Columns:
        """Build the typed columns of a table from row dictionaries; list values are sorted.

        ``extra`` names further keys of the rows to keep as columns.
        """
        rows = list(rows)
        names = [spec.name for spec in COLUMNS[table]]
        if rows and DISTANCE.name in rows[0]:
            names.append(DISTANCE.name)
        values: dict[str, Sequence[Any]] = {name: [row.get(name) for row in rows] for name in names}
        for spec in COLUMNS[table]:
            if spec.kind == "list":
                values[spec.name] = [sorted(item or ()) for item in values[spec.name]]
        values |= {name: [row[name] for row in rows] for name in extra}
        return cls.from_values(table, values)

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.arrays)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values()), ()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def take(self, index: IntArray | BoolArray | slice) -> Columns:
        """Return the rows that ``index`` selects, in its order."""
        return Columns(self.table, {name: array[index] for name, array in self.arrays.items()})

    def replace(self, **arrays: NDArray[Any]) -> Columns:
        """Return the same columns with some arrays exchanged or added."""
        return Columns(self.table, self.arrays | arrays)

    def only_documented(self) -> Columns:
        """Return only the result columns, in their order, and the distance where there is one."""
        names = [spec.name for spec in (*COLUMNS[self.table], DISTANCE) if spec.name in self]
        return Columns(self.table, {name: self.arrays[name] for name in names})

    def rows(self) -> Iterator[Row]:
        """Iterate over rows as dictionaries of plain Python values, None where unknown."""
        names = list(self.arrays)
        for values in zip(*(array.tolist() for array in self.arrays.values()), strict=True):
            yield dict(zip(names, values, strict=True))


def _as_array(values: Sequence[Any]) -> NDArray[Any]:
    if values and isinstance(values[0], list):
        return np.fromiter(values, dtype=object, count=len(values))
    return np.asarray(values, dtype=object if None in values else None)


def _blank(spec: Column, length: int) -> NDArray[Any]:
    """Return a column of which nothing is known."""
    if spec.kind == "list":
        return np.fromiter(([] for _ in range(length)), dtype=object, count=length)
    fill = np.nan if spec.kind == "float" else 0
    array = np.full(length, fill) if spec.kind == "float" else np.zeros(length, dtype=spec.dtype)
    return np.ma.MaskedArray(array, mask=np.ones(length, dtype=bool)) if spec.masked else array


def rows_table(specs: Iterable[Column], rows: Iterable[Row]) -> Table:
    """Return rows as an astropy table of such columns: the same ones when there are no rows.

    Examples
    --------
    >>> rows_table([Column("slug", "text", "name of the tag", width=32)], [{"slug": "lrd"}]).colnames
    ['slug']
    """
    rows = list(rows)
    return _table((spec, spec.array([row.get(spec.name) for row in rows])) for spec in specs)


def to_table(columns: Columns) -> Table:
    """Turn columns into an astropy table with units and descriptions, which can be written in every format.

    Arrays are not copied. Columns that may be unknown are ``MaskedColumn``, all others ``Column``, whatever
    the rows; the same when there are none.

    Examples
    --------
    >>> table = to_table(Columns.from_values("objects", {}))
    >>> len(table), table["ra"].unit.to_string(), table["object_id"].dtype.kind
    (0, 'deg', 'U')
    """
    specs = (*COLUMNS[columns.table], DISTANCE)
    return _table((spec, columns[spec.name]) for spec in specs if spec.name in columns)


def _table(columns: Iterable[tuple[Column, NDArray[Any]]]) -> Table:
    from astropy.table import Column as TableColumn
    from astropy.table import MaskedColumn

    from campfire.archive_table import ArchiveTable

    made = []
    for spec, array in columns:
        kind = MaskedColumn if spec.masked else TableColumn
        made.append(kind(array, name=spec.name, unit=spec.unit, description=spec.description, copy=False))
    return ArchiveTable(made, copy=False)
