"""The tables that queries return: tables of astropy that can be written in every format.

Imported only where a table is made: it imports astropy.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from astropy.io.registry import UnifiedReadWriteMethod
from astropy.table import Column, MaskedColumn, Table
from astropy.table.connect import TableWrite

from campfire.disk import new_file
from campfire.publishing import replacing

__all__ = ["ArchiveTable"]

_FITS = (".fits", ".fits.gz", ".fit", ".fit.gz", ".fts")


class _Write(TableWrite):  # type: ignore[misc]  # astropy has no types
    """Write the table to a file, which appears when it is whole.

    As ``write`` of any table of astropy; formats that have no lists are given them as text, joined by
    commas, and FITS, which has only ASCII, other letters as Python escapes them. ``overwrite=True`` replaces
    a file.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        target = args[0] if args and isinstance(args[0], str | os.PathLike) else None
        name, form = str(target or "").lower(), str(kwargs.get("format") or "").lower()
        fits = form.startswith("fits") or (not form and name.endswith(_FITS))
        ecsv = "ecsv" in form or (not form and name.endswith(".ecsv"))
        table = self._instance if ecsv else _flat(self._instance, ascii_only=fits)
        if form == "hdf5" or (not form and name.endswith((".h5", ".hdf5"))):
            kwargs = {"path": "table", "serialize_meta": True, **kwargs}
        if target is None or kwargs.get("append"):
            TableWrite(table, Table)(*args, **kwargs)
            return
        path = new_file(target, overwrite=bool(kwargs.pop("overwrite", False)))
        with replacing(path) as partial:  # whose name ends as that of the file: the end says the format
            TableWrite(table, Table)(partial, *args[1:], **kwargs)


class ArchiveTable(Table):  # type: ignore[misc]
    """An ``astropy.table.Table`` whose ``write`` takes every format; see :class:`_Write`.

    Examples
    --------
    >>> import tempfile
    >>> table = ArchiveTable({"object_id": ["J0"], "tags": np.array([["lrd", "blagn"], None], object)[:1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.write(f"{folder}/objects.fits")
    ...     Table.read(f"{folder}/objects.fits")["tags"].tolist()
    ['lrd,blagn']
    """

    write = UnifiedReadWriteMethod(_Write)


def _flat(table: Table, *, ascii_only: bool) -> Table:
    """Return a table without lists, and for FITS without letters beyond ASCII, sharing all other columns."""
    plain = Table(table, copy=False)
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == "O":
            values = np.array([_joined(item) for item in column.tolist()], dtype=np.str_)
        elif ascii_only and column.dtype.kind == "U":
            values = np.ma.getdata(column).astype(np.str_)
        else:
            continue
        if ascii_only and not "".join(values.tolist()).isascii():
            escaped = [text.encode("ascii", "backslashreplace").decode("ascii") for text in values.tolist()]
            values = np.array(escaped, dtype=np.str_)
        mask = getattr(column, "mask", None)
        kind = Column if mask is None else MaskedColumn
        masked = {} if mask is None else {"mask": np.array(mask)}
        plain[name] = kind(values, description=column.description, unit=column.unit, **masked)
    return plain


def _joined(item: Any) -> str:
    if item is None or item is np.ma.masked:
        return ""
    return ",".join(map(str, item)) if isinstance(item, list | tuple) else str(item)
