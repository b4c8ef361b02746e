"""The layouts of 1-D spectra that are understood, told apart by the HDUs and columns of the file.

======== ===================================== ========================================================
layout   table and columns                     where its facts are
======== ===================================== ========================================================
campfire SPEC1D: wave, fnu, fnu_err, flam, ... primary header
msaexp   SPEC1D: wave, flux, err               header of SPEC1D (the primary header is empty)
x1d      EXTRACT1D (c1d: COMBINE1D, JADES also primary header, and the table's for the source
         EXTRACT5PIX1D): WAVELENGTH, FLUX,
         FLUX_ERROR, DQ
======== ===================================== ========================================================

Columns are found by name only. Units are those of TUNIT: the BUNIT of msaexp 0.6 (mJy) contradicts it and is
wrong. A CAMPFIRE or msaexp table without TUNIT (older writers) is in um, uJy and erg s-1 cm-2 angstrom-1, as
its layout defines; a JWST table must say, and so must an msaexp flux beside wavelengths that have a unit. An
error without a unit is in that of its flux. A flux per
wavelength (JADES) is converted. For an extended source the JWST pipeline also gives the surface brightness;
the flux column is the one read, whatever SRCTYPE says.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import CampfireWarning, ValidationError
from campfire.formats.column_units import UNITS, apply_missing, is_flam, unit_factor, unusable_pixels
from campfire.formats.names import spectrum_name
from campfire.typing import EXTRACTIONS
from campfire.units import flam_to_fnu

if TYPE_CHECKING:
    from collections.abc import Iterable

    from campfire.formats.hdu_reader import Hdu, RawFits
    from campfire.typing import BoolArray, FloatArray

__all__ = [
    "Pixels",
    "Table1D",
    "find_table",
    "identify_header",
    "merged_header",
    "read_columns",
    "read_wavelength",
]


# Aliases of each column, in order of preference, lower case.
_WAVE = ("wave", "wavelength")
_FLUX = ("fnu", "flux")
_ERROR = ("fnu_err", "flux_err", "err", "flux_error", "error")
_PIPELINE = ("EXTRACT1D", "COMBINE1D", "EXTRACT5PIX1D")  # the last: JADES, beside EXTRACT3PIX1D
_DO_NOT_USE = 1  # bit 0 of the JWST DQ array (jwst-pipeline.readthedocs.io, "Data quality flags")
# What describes the table itself and not the observation. BUNIT is among them: it is wrong in msaexp 0.6.
_STRUCTURE = re.compile(
    r"XTENSION|SIMPLE|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|EXTEND|EXTNAME|EXTVER|BUNIT|"
    r"T(TYPE|FORM|UNIT|DISP|DIM|NULL|SCAL|ZERO)\d+"
)


@dataclass(frozen=True, slots=True)
class Table1D:
    """The 1-D table of one file and its layout."""

    hdu: Hdu
    layout: str
    wave: str
    extractions: dict[str, dict[str, str]]
    """Extraction -> role (fnu, fnu_err, flam, flam_err) -> column."""


@dataclass(slots=True)
class Pixels:
    """The arrays of one extraction, in the units of the package, missing pixels as NaN."""

    wavelength: FloatArray
    fnu: FloatArray
    fnu_err: FloatArray
    mask: BoolArray
    more: dict[str, FloatArray] = field(default_factory=dict)
    """``flam`` and ``flam_err``, where the file has them."""


def _first(columns: Iterable[str], names: tuple[str, ...]) -> str | None:
    present = set(columns)
    return next((name for name in names if name in present), None)


def _unnamed(fits: RawFits) -> list[Hdu]:
    """Tables without a name whose columns are those of CAMPFIRE (written from a plain astropy Table)."""
    needed = {"wave", "fnu", "fnu_err"}
    return [hdu for hdu in fits.find_all("", "BINTABLE") if needed <= set(fits.layout(hdu).columns)]


def find_table(fits: RawFits) -> Table1D:
    """Find the 1-D table of a file by the names of its HDUs and columns.

    Raises
    ------
    ValidationError
        If there is none, or more than one; what there is instead is named.
    """
    named = (fits.find_all(name, "BINTABLE") for name in ("SPEC1D", *_PIPELINE))
    tables = next(filter(None, named), None) or _unnamed(fits)
    if not tables:
        raise fits.error(
            f"no table SPEC1D, EXTRACT1D or COMBINE1D in it (HDUs: {fits.names()})",
            "expected a CAMPFIRE _spec.fits, an msaexp .spec.fits or a JWST _x1d.fits",
        )
    if len(tables) > 1:
        raise fits.error(
            f"{len(tables)} tables {tables[0].name}: a file of several spectra",
            "open files that hold one spectrum each",
        )
    hdu = tables[0]
    columns = fits.layout(hdu).columns
    wave, flux, error = _first(columns, _WAVE), _first(columns, _FLUX), _first(columns, _ERROR)
    lacking = [what for what, name in (("wave", wave), ("fnu", flux), ("fnu_err", error)) if name is None]
    if wave is None or flux is None or error is None:
        found = ", ".join(fits.layout(hdu).names) or "none"
        raise fits.error(
            f"no column {' or '.join(lacking)} in {hdu.name} (columns: {found})", "columns are read by name"
        )
    optimal = {"fnu": flux, "fnu_err": error}
    optimal |= {name: name for name in ("flam", "flam_err") if name in columns}
    extractions = {"optimal": optimal}
    for width in EXTRACTIONS[1:]:
        roles = {"fnu": f"fnu_{width}", "fnu_err": f"fnu_{width}_err"}
        if all(name in columns for name in roles.values()):
            more = {"flam": f"flam_{width}", "flam_err": f"flam_{width}_err"}
            extractions[width] = roles | {k: v for k, v in more.items() if v in columns}
    layout = "x1d" if hdu.name in _PIPELINE else "campfire" if flux == "fnu" else "msaexp"
    return Table1D(hdu, layout, wave, extractions)


def _quantity(
    fits: RawFits, table: Table1D, name: str, kind: str, rows: int | None = None, unit: str | None = None
) -> FloatArray:
    """One column as floats of its own dtype, converted by its TUNIT, else from ``unit``."""
    column = fits.layout(table.hdu).columns[name]
    unit = column.unit or unit
    if unit is None and (table.layout == "x1d" or _half_said(fits, table, kind)):
        raise fits.error(f"column {column.name} has no unit (TUNIT)", "the file has to say it")
    values = fits.numbers(table.hdu, name)[:rows]
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    try:
        factor = unit_factor(kind, unit or UNITS[kind])
    except ValidationError as err:
        raise fits.error(f"column {column.name}: {err.message}", err.hint) from err
    # python floats do not widen float32
    return values if factor == 1.0 else values * factor


def _half_said(fits: RawFits, table: Table1D, kind: str) -> bool:
    """Tell whether a table gives its wavelengths a unit, but its flux none: it may be counts, or a ratio."""
    units = fits.layout(table.hdu).columns
    return table.layout == "msaexp" and kind != "wavelength" and units[table.wave].unit is not None


def _flux(
    fits: RawFits, table: Table1D, name: str, wave: FloatArray, rows: int | None, unit: str | None = None
) -> FloatArray:
    """A column of flux or error in microjansky, also where the file has it per wavelength."""
    unit = fits.layout(table.hdu).columns[name].unit or unit
    if table.layout != "campfire" and unit is not None and is_flam(unit):  # a column fnu is what it says
        return flam_to_fnu(_quantity(fits, table, name, "flam", rows, unit), wave)
    return _quantity(fits, table, name, "fnu", rows, unit)


def read_wavelength(fits: RawFits, table: Table1D) -> FloatArray:
    """Wavelengths in microns, checked to be finite and strictly ascending.

    Raises
    ------
    ValidationError
        Naming the first row where they are not.
    """
    wave = _quantity(fits, table, table.wave, "wavelength")
    # False for NaN too; a lone NaN has no neighbour to be compared with
    ascending = wave[1:] > wave[:-1]
    if not ascending.all():
        row = int(np.argmin(ascending))
        raise fits.error(
            f"wavelengths do not ascend strictly: {wave[row]} um, then {wave[row + 1]} um (row {row + 2})",
            "nothing is sorted or dropped on reading: write the file with ascending, unique wavelengths",
        )
    if len(wave) and not (np.isfinite(wave[0]) and np.isfinite(wave[-1])):
        raise fits.error("wavelengths are not finite", "every row needs a wavelength")
    return wave


def read_columns(
    fits: RawFits, table: Table1D, extraction: str, *, flam: bool = True, rows: int | None = None
) -> Pixels:
    """Read one extraction; see :func:`campfire.formats.column_units.apply_missing` for missing pixels.

    Parameters
    ----------
    fits, table
        The file and its 1-D table.
    extraction
        The extraction.
    flam
        Read f_lambda too, where the file has it.
    rows
        Only the first rows; 0 tells the dtypes.

    Raises
    ------
    ValidationError
        If the file does not hold this extraction (it names those there), for a wrong unit, or wavelengths
        that are not strictly ascending.
    """
    roles = table.extractions.get(extraction) if isinstance(extraction, str) else None
    if roles is None:
        there = ", ".join(table.extractions)
        known = extraction in EXTRACTIONS
        message = (
            f"no extraction {extraction!r} in the file" if known else f"unknown extraction {extraction!r}"
        )
        raise fits.error(message, f"it holds {there}")
    wave = read_wavelength(fits, table)[:rows]
    fnu = _flux(fits, table, roles["fnu"], wave, rows)
    flux_unit = fits.layout(table.hdu).columns[roles["fnu"]].unit
    fnu_err = _flux(fits, table, roles["fnu_err"], wave, rows, flux_unit)
    header = fits.layout(table.hdu).header
    exact = header.get("CMPFRRAW") is True
    unusable = unusable_pixels(fnu, fnu_err) if exact else apply_missing(fnu, fnu_err)
    more: dict[str, FloatArray] = {}
    # written by campfire for other readers, computed from fnu: not a measurement of its own
    if flam and header.get("FLAMORIG") != "computed":
        for role in ("flam", "flam_err"):
            if role in roles:
                more[role] = _quantity(fits, table, roles[role], "flam", rows)
                if not exact:
                    more[role][unusable] = np.nan
    if table.layout == "x1d" and rows is None and unusable.all():
        _tell_of_brightness(fits, table)
    flagged = _flagged(fits, table, rows)
    if flagged is None:
        return Pixels(wave, fnu, fnu_err, unusable, more)
    if flagged.shape != unusable.shape:
        raise fits.error(f"flags of shape {flagged.shape} for {unusable.shape} pixels")
    return Pixels(wave, fnu, fnu_err, unusable | flagged, more)


def _tell_of_brightness(fits: RawFits, table: Table1D) -> None:
    """Say where a table without a flux has a surface brightness, which is not read."""
    if "surf_bright" not in fits.layout(table.hdu).columns:
        return
    if np.isfinite(fits.numbers(table.hdu, "SURF_BRIGHT")).any():
        warnings.warn(
            f"{fits.path}: no pixel has a flux, though SURF_BRIGHT (of an extended source) is there: "
            "every pixel is masked",
            CampfireWarning,
            stacklevel=2,
        )


def _flagged(fits: RawFits, table: Table1D, rows: int | None) -> BoolArray | None:
    """Pixels the file itself rejects: the logical column ``mask`` (campfire), DO_NOT_USE of DQ (x1d)."""
    columns = fits.layout(table.hdu).columns
    if table.layout == "campfire" and "mask" in columns:
        flags = fits.column(table.hdu, "mask")[:rows]
        if flags.dtype != np.bool_:
            raise fits.error(f"column mask is {flags.dtype}", "expected logicals")
        return flags
    if table.layout == "x1d" and "dq" in columns:
        bits = fits.column(table.hdu, "dq")[:rows]
        if bits.dtype.kind not in "iu":
            raise fits.error(f"column DQ is {bits.dtype}", "expected integers")
        return np.asarray((bits & bits.dtype.type(_DO_NOT_USE)) != 0)
    return None


def merged_header(fits: RawFits, table: Table1D) -> dict[str, Any]:
    """Header of the spectrum: the primary one, and in the other layouts the facts in the table's header.

    A keyword in both keeps the primary header's value; cards that describe the table itself are left out, and
    so is BUNIT.
    """
    header = fits.header(0)
    if table.layout == "campfire":
        return header
    for key, value in fits.header(table.hdu).items():
        if key not in header and not _STRUCTURE.fullmatch(key):
            header[key] = value
    return header


def identify_header(header: dict[str, Any], filename: str) -> tuple[str, str]:
    """Spectrum id and grating by a header and the name of its file.

    The id is FILENAME without its ending if that names a spectrum file (msaexp keeps the name of its raw
    input there), else the name of the file without its ending. The grating is GRATING, else ``unknown``.
    """
    said = header.get("FILENAME")
    named = isinstance(said, str) and re.search(r"[._](spec|x1d)\.fits(\.gz)?$", said, re.IGNORECASE)
    grating = header.get("GRATING")
    return (
        spectrum_name(str(said) if named else filename),
        grating.strip().upper() if isinstance(grating, str) and grating.strip() else "unknown",
    )
