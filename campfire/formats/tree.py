"""Everything in one spectrum file as groups of arrays, each read from the file only when asked for.

=============== ============================================================ =========================
group           arrays                                                       dimensions
=============== ============================================================ =========================
``/``           wavelength, fnu, fnu_err, flam, flam_err, dq                 wavelength
``extractions`` extraction, fnu, fnu_err, flam, flam_err, dq; n_combined     extraction, wavelength
``spectrum_2d`` flux, flux_err, weight, wavelength_2d                        spatial, wavelength
``profile``     extraction, ypos, profile; measured                          extraction, spatial
``exposures``   one array a column of the file's table                       exposure
=============== ============================================================ =========================

A group is there where the file has its HDUs. Fluxes are in microjansky, f_lambda in erg s-1 cm-2 angstrom-1,
wavelengths in microns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.formats.hdu_reader import RawFits
from campfire.formats.layouts import Table1D, find_table, read_columns, read_wavelength
from campfire.formats.spectrum_2d import image_unit, read_image_group
from campfire.schema import attrs_of, pixel_dq
from campfire.text import text_array
from campfire.units import fnu_to_flam

if TYPE_CHECKING:
    from campfire.formats.layouts import Pixels
    from campfire.typing import PathInput

__all__ = ["FileArray", "Group", "read_tree"]

_SPECTRAL = ("fnu", "fnu_err", "flam", "flam_err", "dq")
_EXTRACTION = {"long_name": "how the one-dimensional spectrum was taken from the two-dimensional one"}
_EXPOSURE_UNITS = {
    "exptime": "s",
    "exposure_time": "s",
    "source_ra": "degrees",
    "source_dec": "degrees",
    "v3pa": "degrees",
}


@dataclass(frozen=True, slots=True)
class FileArray:
    """One array in a file: what it is, and how to get it. Holds no handle and no data; can be pickled."""

    path: str
    group: str
    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    extraction: str = "optimal"

    def read(self) -> np.ndarray[Any, Any]:
        """Read the array.

        Raises
        ------
        NotFoundError, ValidationError
            If the file is gone, damaged, or another than the one that was opened.
        """
        with RawFits(self.path) as fits:
            values = _READERS[self.group](fits, self)
        if values.shape != self.shape or values.dtype != self.dtype:
            raise ValidationError(
                f"{self.path} has changed: {self.group} {self.name} was {self.dtype} of shape {self.shape}, "
                f"is {values.dtype} of shape {values.shape}",
                hint="open the file again",
                path=self.path,
            )
        return values


class Group(Mapping[str, np.ndarray[Any, Any]]):
    """The arrays of one group by name; indexing reads them, ``arrays`` describes them unread.

    ``coords`` are the names of those that label the others; ``attrs`` what is known of the whole group.
    """

    def __init__(
        self, arrays: Mapping[str, FileArray], coords: tuple[str, ...], attrs: Mapping[str, Any]
    ) -> None:
        self.arrays = dict(arrays)
        self.coords = coords
        self.attrs = dict(attrs)

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return self.arrays[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        listed = ", ".join(f"{name} {array.shape}" for name, array in self.arrays.items())
        return f"Group({listed})"


def read_tree(path: PathInput, *, extraction: str = "optimal") -> dict[str, Group]:
    """Return every group of a spectrum file; arrays are read when they are taken out of their group.

    Parameters
    ----------
    path
        A file of one of the layouts :func:`campfire.formats.spec_reader.read_spectrum` reads.
    extraction
        The one of the group ``/``.

    Raises
    ------
    NotFoundError, ValidationError
        As :func:`campfire.formats.spec_reader.read_spectrum`; also where parts of the file do not fit
        each other.
    """
    place = os.path.abspath(path)
    with RawFits(place) as fits:
        table = find_table(fits)
        groups: dict[str, Group] = {}
        for name, describe in _DESCRIBERS.items():
            group = describe(fits, table, place, extraction)
            if group is not None:
                groups[name] = group
    return groups


# --- one-dimensional spectra ---


def complete(pixels: Pixels) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of one extraction: f_lambda computed where the file has none, the mask as bits."""
    arrays: dict[str, np.ndarray[Any, Any]] = {"fnu": pixels.fnu, "fnu_err": pixels.fnu_err}
    for name, source in (("flam", pixels.fnu), ("flam_err", pixels.fnu_err)):
        given = pixels.more.get(name)
        arrays[name] = fnu_to_flam(source, pixels.wavelength) if given is None else given
    arrays["dq"] = pixel_dq(pixels.fnu, pixels.fnu_err, pixels.mask)
    return arrays


def _read_root(fits: RawFits, wanted: FileArray) -> np.ndarray[Any, Any]:
    table = find_table(fits)
    if wanted.name == "wavelength":
        return read_wavelength(fits, table)
    return complete(read_columns(fits, table, wanted.extraction))[wanted.name]


def _describe_root(fits: RawFits, table: Table1D, path: str, extraction: str) -> Group:
    wave = read_wavelength(fits, table)
    dims = ("wavelength",)
    arrays = {
        "wavelength": FileArray(path, "/", "wavelength", dims, wave.shape, wave.dtype, attrs_of("wavelength"))
    }
    for name, values in complete(read_columns(fits, table, extraction, rows=0)).items():
        arrays[name] = FileArray(
            path, "/", name, dims, wave.shape, values.dtype, attrs_of(name), extraction=extraction
        )
    return Group(arrays, ("wavelength",), {})


def _stacked(fits: RawFits, table: Table1D, name: str, rows: int | None = None) -> np.ndarray[Any, Any]:
    """One quantity of all extractions, on a first axis."""
    every = [complete(read_columns(fits, table, key, rows=rows))[name] for key in table.extractions]
    return np.stack(every)


def _read_extractions(fits: RawFits, wanted: FileArray) -> np.ndarray[Any, Any]:
    table = find_table(fits)
    if wanted.name == "extraction":
        return text_array(list(table.extractions))
    if wanted.name == "n_combined":
        return fits.numbers(table.hdu, "n_combined")
    return _stacked(fits, table, wanted.name)


def _describe_extractions(fits: RawFits, table: Table1D, path: str, _extraction: str) -> Group:
    layout = fits.layout(table.hdu)
    names = text_array(list(table.extractions))
    arrays = {
        "extraction": FileArray(path, "extractions", "extraction", ("extraction",), names.shape, names.dtype)
    }
    for name in _SPECTRAL:
        dtype = _stacked(fits, table, name, rows=0).dtype
        shape = (len(names), layout.rows)
        dims = ("extraction", "wavelength")
        arrays[name] = FileArray(path, "extractions", name, dims, shape, dtype, attrs_of(name))
    if table.layout == "campfire" and layout.get("n_combined") is not None:
        counts = fits.numbers(table.hdu, "n_combined")
        attrs = {"long_name": "spectra combined in the pixel"}
        arrays["n_combined"] = FileArray(
            path, "extractions", "n_combined", ("wavelength",), counts.shape, counts.dtype, attrs
        )
    return Group(arrays, ("extraction",), {})


# --- the other groups ---


def _describe_images(fits: RawFits, table: Table1D, path: str, _extraction: str) -> Group | None:
    sci = fits.find("SCI", "IMAGE")
    if sci is None or table.layout == "x1d":
        return None
    rows = fits.layout(table.hdu).rows
    if len(sci.shape) != 2 or sci.shape[1] != rows:
        raise fits.error(
            f"image SCI of shape {sci.shape} beside {rows} wavelengths", "expected (n_spatial, n)"
        )
    attrs = image_unit(fits, table)
    flux = {"units": "uJy", "long_name": "rectified flux per pixel", "ancillary_variables": "flux_err weight"}
    described = {
        "flux": flux | attrs,
        "flux_err": {"units": "uJy", "long_name": "1-sigma error of flux"} | attrs,
        "weight": {"long_name": "weight, 0 where there is no data"},
        "wavelength_2d": {"units": "um", "long_name": "wavelength of every pixel in vacuum"},
    }
    arrays: dict[str, FileArray] = {}
    for name, extra in described.items():
        dtype = _image_dtype(fits, table, name)
        if dtype is not None:
            arrays[name] = FileArray(
                path, "spectrum_2d", name, ("spatial", "wavelength"), (sci.shape[0], rows), dtype, extra
            )
    return Group(arrays, ("wavelength_2d",) if "wavelength_2d" in arrays else (), {})


def _image_dtype(fits: RawFits, table: Table1D, name: str) -> np.dtype[Any] | None:
    """Dtype of a two-dimensional array as it will be read; None if the file lacks its images."""
    values = read_image_group(fits, table, name, probe=True)
    return None if values is None else values.dtype


def _read_images(fits: RawFits, wanted: FileArray) -> np.ndarray[Any, Any]:
    values = read_image_group(fits, find_table(fits), wanted.name)
    if values is None:
        raise fits.error(f"no image for {wanted.name} any more", "open the file again")
    return values


_PROFILE_COLUMNS = {
    # layout -> (position, extraction -> column, measured profile)
    "campfire": ("ypos", {"optimal": "opt", "3px": "3px", "4px": "4px", "5px": "5px"}, None),
    "msaexp": ("pix", {"optimal": "pfit"}, "profile"),
}


def _describe_profile(fits: RawFits, table: Table1D, path: str, _extraction: str) -> Group | None:
    hdu = fits.find("PROF1D", "BINTABLE")
    if hdu is None or table.layout not in _PROFILE_COLUMNS:
        return None
    position, columns, measured = _PROFILE_COLUMNS[table.layout]
    layout = fits.layout(hdu)
    there = [key for key, name in columns.items() if layout.get(name) is not None]
    names = text_array(there)

    def array(name: str, dims: tuple[str, ...], values: np.ndarray[Any, Any], long_name: str) -> FileArray:
        return FileArray(path, "profile", name, dims, values.shape, values.dtype, {"long_name": long_name})

    arrays = {"extraction": array("extraction", ("extraction",), names, "extraction")}
    if layout.get(position) is not None:
        values = fits.numbers(hdu, position)
        arrays["ypos"] = array("ypos", ("spatial",), values, "position across the dispersion, pixels")
    if there:
        weights = np.stack([fits.numbers(hdu, columns[key]) for key in there])
        arrays["profile"] = array("profile", ("extraction", "spatial"), weights, "weight of the extraction")
    if measured is not None and layout.get(measured) is not None:
        values = fits.numbers(hdu, measured)
        arrays["measured"] = array("measured", ("spatial",), values, "measured profile")
    return Group(arrays, ("extraction", "ypos") if "ypos" in arrays else ("extraction",), {})


def _read_profile(fits: RawFits, wanted: FileArray) -> np.ndarray[Any, Any]:
    table, hdu = find_table(fits), fits.find("PROF1D", "BINTABLE")
    if hdu is None:
        raise fits.error("no table PROF1D any more", "open the file again")
    position, columns, measured = _PROFILE_COLUMNS[table.layout]
    there = [key for key, name in columns.items() if fits.layout(hdu).get(name) is not None]
    if wanted.name == "extraction":
        return text_array(there)
    if wanted.name == "profile":
        return np.stack([fits.numbers(hdu, columns[key]) for key in there])
    return fits.numbers(hdu, position if wanted.name == "ypos" else str(measured))


def _describe_exposures(fits: RawFits, table: Table1D, path: str, _extraction: str) -> Group | None:
    hdu = fits.find("EXPOSURES", "BINTABLE") or fits.find("SLITS", "BINTABLE")
    if hdu is None:
        return None
    arrays: dict[str, FileArray] = {}
    for name in fits.layout(hdu).names:
        values = _exposure_column(fits, name)
        unit = _EXPOSURE_UNITS.get(name)
        dims = ("exposure", *(f"{name}_{axis}" for axis in range(1, values.ndim)))
        attrs = {} if unit is None else {"units": unit}
        arrays[name] = FileArray(path, "exposures", name, dims, values.shape, values.dtype, attrs)
    return Group(arrays, (), {})


def _exposure_column(fits: RawFits, name: str) -> np.ndarray[Any, Any]:
    hdu = fits.find("EXPOSURES", "BINTABLE") or fits.find("SLITS", "BINTABLE")
    if hdu is None:
        raise fits.error("no table EXPOSURES any more", "open the file again")
    values = fits.column(hdu, name)
    return text_array(values) if values.dtype.kind == "U" else values


def _read_exposures(fits: RawFits, wanted: FileArray) -> np.ndarray[Any, Any]:
    return _exposure_column(fits, wanted.name)


_READERS = {
    "/": _read_root,
    "extractions": _read_extractions,
    "spectrum_2d": _read_images,
    "profile": _read_profile,
    "exposures": _read_exposures,
}
_DESCRIBERS: dict[str, Callable[[RawFits, Table1D, str, str], Group | None]] = {
    "/": _describe_root,
    "extractions": _describe_extractions,
    "spectrum_2d": _describe_images,
    "profile": _describe_profile,
    "exposures": _describe_exposures,
}
