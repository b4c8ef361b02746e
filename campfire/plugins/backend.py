"""The xarray engine ``campfire``: ``xr.open_dataset(path, engine="campfire")`` and ``xr.open_datatree``.

Arrays are lazy: each is read from the file when it is used and the file is closed again, so that any number
of open Datasets holds no file handle. They can be pickled and read from several threads.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from campfire.convert import to_dataset
from campfire.convert.dataset import lsf_coordinate
from campfire.convert.wavelength_index import spectral_coordinates
from campfire.errors import ValidationError
from campfire.formats.cards import CARD
from campfire.formats.hdu_reader import RawFits
from campfire.formats.layouts import find_table
from campfire.formats.spec_reader import peek_spectrum, read_spectrum
from campfire.formats.tree import FileArray, read_tree
from campfire.schema import SPECTRUM
from campfire.text import text_encoding

if TYPE_CHECKING:
    from campfire.formats.tree import Group

__all__ = ["CampfireBackendEntrypoint"]

_NAME = re.compile(r"\.fits(\.gz)?$", re.IGNORECASE)
_SNIFFED = 64 * 1024  # further than the headers of the 1-D table in every layout
_TABLES = (b"EXTNAME = 'SPEC1D", b"EXTNAME = 'EXTRACT1D")


class _LazyArray(BackendArray):
    """An array of a file as xarray wants it: only its description, the file is opened to read and closed."""

    __slots__ = ("dtype", "shape", "source")

    def __init__(self, source: FileArray) -> None:
        self.source = source
        self.shape = source.shape
        self.dtype = source.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        # A table or an image is read as a whole: slicing afterwards costs nothing in comparison.
        support = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        return np.asarray(self.source.read()[key])


def _lazy(array: FileArray) -> xr.Variable:
    return _variable(array, indexing.LazilyIndexedArray(_LazyArray(array)))


def _variable(array: FileArray, values: Any) -> xr.Variable:
    encoding = text_encoding() if array.dtype.kind == "U" else None
    return xr.Variable(array.dims, values, dict(array.attrs), encoding)


def _local_path(filename_or_obj: Any) -> str:
    if isinstance(filename_or_obj, str | os.PathLike):
        return os.fspath(filename_or_obj)
    raise ValidationError(
        f"the engine 'campfire' opens files, not a {type(filename_or_obj).__name__}", hint="pass a path"
    )


def _without(ds: xr.Dataset, drop_variables: str | Iterable[str] | None) -> xr.Dataset:
    names = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
    return ds.drop_vars(names, errors="ignore")


def _spectrum(path: str, extraction: str) -> xr.Dataset:
    """The Dataset of :func:`campfire.convert.to_dataset`, its pixels unread but for the wavelengths."""
    fields, wavelength = peek_spectrum(path, extraction=extraction)
    if fields.get("covariance") is not None or fields.get("resolving_power") is not None:
        # the number of bands is only known from the values
        return to_dataset(read_spectrum(path, extraction=extraction))
    empty = to_dataset(fields)
    place = os.path.abspath(path)  # what is read later may be read from another folder
    variables = {
        name: _lazy(
            FileArray(place, "/", name, SPECTRUM, wavelength.shape, array.dtype, array.attrs, extraction)
        )
        for name, array in ((str(key), array) for key, array in empty.data_vars.items())
    }
    coords = {str(name): variable.variable for name, variable in empty.coords.items()}
    coords["wavelength"] = xr.Variable(SPECTRUM, wavelength, empty["wavelength"].attrs)
    lsf = lsf_coordinate(fields["grating"], wavelength, fields.get("redshift"))
    coords |= {name: xr.Variable(*variable) for name, variable in lsf.items()}
    return xr.Dataset(variables, spectral_coordinates(coords), empty.attrs)


def _plain(group: Group) -> xr.Dataset:
    """The Dataset of any other group; coordinates of one dimension are read, for they are indexes."""
    variables: dict[str, xr.Variable] = {}
    for name, array in group.arrays.items():
        if name in group.coords and len(array.dims) == 1:
            variables[name] = _variable(array, group[name])
        else:
            variables[name] = _lazy(array)
    coords = {name: variables.pop(name) for name in group.coords}
    return xr.Dataset(variables, spectral_coordinates(coords), group.attrs)


class CampfireBackendEntrypoint(BackendEntrypoint):
    """Open CAMPFIRE ``_spec.fits``, msaexp ``.spec.fits`` and JWST ``_x1d.fits`` files as xarray objects.

    ``xr.open_dataset`` gives the Dataset of ``SpectrumData.from_fits(path).to_xarray()``, unread;
    ``xr.open_datatree`` the whole file: ``/`` (that Dataset), ``/extractions``, ``/spectrum_2d``,
    ``/profile``, ``/exposures``, as far as the file has them (see :mod:`campfire.formats.tree`).

    Both take ``extraction=`` (``optimal``, ``3px``, ``4px``, ``5px``) for the former.
    """

    description: ClassVar[str] = "NIRSpec spectra in FITS: CAMPFIRE, msaexp (DJA), JWST x1d"
    url: ClassVar[str] = "https://campfire.hollisakins.com/docs"
    open_dataset_parameters: ClassVar[tuple[str, ...] | None] = (
        "filename_or_obj",
        "drop_variables",
        "extraction",
    )
    supports_groups: ClassVar[bool] = True

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        extraction: str = "optimal",
    ) -> xr.Dataset:
        """Open the one-dimensional spectrum of a file; called by ``xr.open_dataset``.

        Raises
        ------
        NotFoundError, ValidationError
            As :func:`campfire.formats.spec_reader.read_spectrum`.
        """
        path = _local_path(filename_or_obj)
        return _without(_spectrum(path, extraction), drop_variables)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        extraction: str = "optimal",
    ) -> dict[str, xr.Dataset]:
        """Open every group of a file; called by ``xr.open_groups``."""
        path = _local_path(filename_or_obj)
        datasets = {"/": _spectrum(path, extraction)}
        for name, group in read_tree(path).items():
            if name != "/":
                datasets[f"/{name}"] = _plain(group)
        return {name: _without(ds, drop_variables) for name, ds in datasets.items()}

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        extraction: str = "optimal",
    ) -> xr.DataTree:
        """Open a whole file as a tree; called by ``xr.open_datatree``."""
        groups = self.open_groups_as_dict(
            filename_or_obj, drop_variables=drop_variables, extraction=extraction
        )
        return xr.DataTree.from_dict(groups)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether this is one of our files, by its HDUs and columns, whatever it is called.

        A damaged file that begins as ours is claimed too: opening it says what is wrong with it.
        """
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        path = os.fspath(filename_or_obj)
        if not isinstance(path, str) or not _NAME.search(path) or not _begins_as_ours(path):
            return False
        try:
            with RawFits(path) as file:
                return _is_ours(file)
        except ValidationError:
            return True


def _begins_as_ours(path: str) -> bool:
    """Look for the header of the 1-D table, which spares unzipping or walking through foreign files."""
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if zipped else file as content:
                begin = content.read(_SNIFFED)
    except (OSError, EOFError, ValueError, zlib.error):
        return False
    return begin.startswith(b"SIMPLE  =") and any(
        begin[at : at + len(card)] == card for at in range(0, len(begin), CARD) for card in _TABLES
    )


def _is_ours(file: RawFits) -> bool:
    try:
        find_table(file)
    except ValidationError:
        return False
    return True
