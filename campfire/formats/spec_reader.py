"""Spectra and their facts out of FITS files of every layout that is understood; the entrance to reading.

The layouts, and how they are told apart, are described in :mod:`campfire.formats.layouts`.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from campfire.errors import NotFoundError, ValidationError
from campfire.formats.exposure_time import exposure_time, finite_number
from campfire.formats.extra_hdus import restore_fields
from campfire.formats.hdu_reader import RawFits
from campfire.formats.layouts import (
    find_table,
    identify_header,
    merged_header,
    read_columns,
    read_wavelength,
)
from campfire.formats.names import parse_product_name

if TYPE_CHECKING:
    from pathlib import Path

    from campfire.typing import BoolArray, FloatArray, PathInput, SpectrumFields

__all__ = [
    "PixelArrays",
    "ProductFacts",
    "file_hash",
    "peek_spectrum",
    "product_facts",
    "read_header",
    "read_pixels",
    "read_position",
    "read_spectrum",
]

_HASH_CHUNK = 1024 * 1024
_PROGRAM = re.compile(r"(\d{1,6})(?:\.0)?")


class PixelArrays(TypedDict):
    """The pixels of one spectrum, microns and microjansky; ``mask`` True means: do not use."""

    wavelength: FloatArray
    fnu: FloatArray
    fnu_err: FloatArray
    mask: BoolArray


class ProductFacts(TypedDict):
    """What a catalogue needs to know of one spectrum file; None where the file does not say."""

    spectrum_id: str
    target_id: str
    observation: str
    source_id: int | None
    grating: str
    filter: str | None
    ra: float | None
    dec: float | None
    signal_to_noise: float | None
    exposure_time: float | None
    reduction_version: str | None
    program: str | None
    file_hash: str
    file_size: int


def read_spectrum(
    path: PathInput, *, extraction: str = "optimal", spectrum_id: str = "", grating: str = ""
) -> SpectrumFields:
    """Read one spectrum from a CAMPFIRE, msaexp or JWST x1d file (plain or gzipped).

    Parameters
    ----------
    path
        The file.
    extraction
        ``optimal`` (the one of the file), or a boxcar of a CAMPFIRE file: ``3px``, ``4px``, ``5px``.
    spectrum_id, grating
        Used instead of what the file says, where given.

    Returns
    -------
    SpectrumFields
        Wavelengths in microns, ``fnu`` in microjansky, ``flam`` (only if the file has it) in
        erg s-1 cm-2 angstrom-1; the dtypes of the file in native byte order. Pixels without data are NaN in
        flux and error, and masked. ``header`` is the primary header; for msaexp and x1d the facts in the
        header of the table are added.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ValidationError
        If it is not a FITS file of a known layout, is cut short, has a wrong unit, wavelengths that are not
        strictly ascending, or not this extraction.

    Examples
    --------
    >>> import numpy as np, tempfile, pathlib
    >>> from campfire.formats.spec_writer import write_spectrum
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a_prism_clear_1_spec.fits"
    >>> write_spectrum(path, {"wavelength": np.array([1.0, 2.0]), "fnu": np.array([3.0, np.nan]),
    ...     "fnu_err": np.array([0.1, np.nan]), "header": {}, "grating": "PRISM",
    ...     "spectrum_id": "a_prism_clear_1"})
    >>> fields = read_spectrum(path)
    >>> fields["spectrum_id"], fields["fnu"], fields["mask"]
    ('a_prism_clear_1', array([ 3., nan]), array([False,  True]))
    """
    fields, _ = _fields(path, extraction, None)
    if spectrum_id:
        fields["spectrum_id"] = spectrum_id
    if grating:
        fields["grating"] = grating
    return fields


def peek_spectrum(path: PathInput, *, extraction: str = "optimal") -> tuple[SpectrumFields, FloatArray]:
    """Return what :func:`read_spectrum` does, with arrays of no pixels (for their dtypes); and wavelengths.

    The file is checked as when it is read.
    """
    return _fields(path, extraction, 0)


def _fields(path: PathInput, extraction: str, rows: int | None) -> tuple[SpectrumFields, FloatArray]:
    with RawFits(path) as fits:
        table = find_table(fits)
        pixels = read_columns(fits, table, extraction, rows=rows)
        header = merged_header(fits, table)
        own_id, own_grating = identify_header(header, fits.path.name)
        fields: SpectrumFields = {
            "wavelength": pixels.wavelength,
            "fnu": pixels.fnu,
            "fnu_err": pixels.fnu_err,
            "header": header,
            "grating": own_grating,
            "spectrum_id": own_id,
            "flam": pixels.more.get("flam"),
            "flam_err": pixels.more.get("flam_err"),
            "fits_path": os.fspath(path),
            "mask": pixels.mask,
        }
        if table.layout == "campfire":
            restore_fields(fits, fields, fits.layout(table.hdu).rows)
        wavelength = pixels.wavelength if rows is None else read_wavelength(fits, table)
    return fields, wavelength


def read_pixels(path: PathInput, *, extraction: str = "optimal") -> PixelArrays:
    """Read only wavelength, flux, error and mask of one spectrum: the shortest way, for many files.

    Values and errors raised are those of :func:`read_spectrum`.
    """
    with RawFits(path) as fits:
        pixels = read_columns(fits, find_table(fits), extraction, flam=False)
    return {
        "wavelength": pixels.wavelength,
        "fnu": pixels.fnu,
        "fnu_err": pixels.fnu_err,
        "mask": pixels.mask,
    }


def read_header(path: PathInput) -> dict[str, Any]:
    """Return the primary header of a FITS file: keyword -> value, repeated cards as lists, undefined as None.

    Raises
    ------
    NotFoundError, ValidationError
        As :func:`read_spectrum` (any FITS file will do).
    """
    with RawFits(path) as fits:
        return fits.header(0)


def _position(fits: RawFits) -> tuple[float, float] | None:
    hdus = [fits.find(name) for name in ("SCI", "SPEC1D", "EXTRACT1D", "COMBINE1D", "EXTRACT5PIX1D")]
    headers = [fits.header(hdu) for hdu in hdus if hdu is not None] + [fits.header(0)]
    keys = [("SRCRA", "SRCDEC"), ("RA", "DEC"), ("RA_TARG", "DEC_TARG")]
    if fits.header(0).get("EXP_TYPE") == "NRS_FIXEDSLIT":  # in the micro-shutters TARG_RA is the pointing
        keys.append(("TARG_RA", "TARG_DEC"))
    for of_ra, of_dec in keys:
        for header in headers:
            ra, dec = finite_number(header.get(of_ra)), finite_number(header.get(of_dec))
            if ra is None or dec is None or (ra, dec) == (0.0, 0.0):  # the pipeline's "unknown"
                continue
            if -180 <= ra <= 360 and abs(dec) <= 90:
                return ra % 360.0, dec
    return None


def read_position(path: PathInput) -> tuple[float, float] | None:
    """Return right ascension and declination of the source, degrees; None where the file does not say.

    They are SRCRA and SRCDEC of the SCI header in a CAMPFIRE file (of the table in the other layouts), else
    RA and DEC or RA_TARG and DEC_TARG; of a fixed slit also TARG_RA and TARG_DEC. A pair that is no position
    (-999, text) or exactly 0, 0, which stands for unknown, says nothing.

    Raises
    ------
    NotFoundError, ValidationError
        As :func:`read_spectrum` (any FITS file will do).
    """
    with RawFits(path) as fits:
        return _position(fits)


def file_hash(path: PathInput) -> str:
    """Return ``sha256:`` and the hexadecimal SHA-256 digest of a whole file.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ValidationError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_HASH_CHUNK):
                digest.update(chunk)
    except FileNotFoundError as err:
        raise NotFoundError(f"no such file: {path}", path=str(path)) from err
    except OSError as err:
        raise ValidationError(f"{path}: cannot be read: {err}", path=str(path)) from err
    return f"sha256:{digest.hexdigest()}"


def _text(value: object) -> str | None:
    text = "" if value is None or isinstance(value, list) else str(value).strip()
    return text or None


def product_facts(path: PathInput) -> ProductFacts:
    """Return what a catalogue row needs to know of one spectrum file.

    ``signal_to_noise`` is the maximum of flux over error in the good pixels, ``exposure_time`` that of
    :func:`~campfire.formats.exposure_time.exposure_time`, ``reduction_version`` CMPFRVER (VERSION of msaexp,
    CAL_VER of the JWST pipeline), ``program`` a number (PROGRAM, else PROPOSID), the position in degrees.
    Observation and source come from the name of the spectrum where it is that of a CAMPFIRE product; else
    from the folder of the file and from SOURCEID.

    Raises
    ------
    NotFoundError, ValidationError
        As :func:`read_spectrum`.
    """
    with RawFits(path) as fits:
        table = find_table(fits)
        pixels = read_columns(fits, table, "optimal", flam=False)
        header = merged_header(fits, table)
        spectrum_id, grating = identify_header(header, fits.path.name)
        position = _position(fits)
        place = fits.path
    good = ~pixels.mask
    with np.errstate(over="ignore"):  # of an error of next to nothing
        ratio = pixels.fnu[good].astype(np.float64) / pixels.fnu_err[good]
    ratio = ratio[np.isfinite(ratio)]
    name = parse_product_name(f"{spectrum_id}_spec.fits")
    observation, source_id = _origin(place, header)
    if name is not None:
        observation, source_id = name.observation, name.source_id
    version = header.get("CMPFRVER") or header.get("VERSION") or header.get("CAL_VER")
    return {
        "spectrum_id": spectrum_id,
        "target_id": spectrum_id if source_id is None else f"{observation}_{source_id}",
        "observation": observation,
        "source_id": source_id,
        "grating": grating,
        "filter": _text(header.get("FILTER")),
        "ra": None if position is None else position[0],
        "dec": None if position is None else position[1],
        "signal_to_noise": float(ratio.max()) if ratio.size else None,
        "exposure_time": exposure_time(header, table.layout),
        "reduction_version": _text(version),
        "program": _program(header),
        "file_hash": file_hash(place),
        "file_size": place.stat().st_size,
    }


def _origin(path: Path, header: dict[str, Any]) -> tuple[str, int | None]:
    """Observation and source of a file whose name is not that of a product."""
    source = header.get("SOURCEID")
    storable = type(source) is int and abs(source) < 2**63
    return path.absolute().parent.name, source if storable else None


def _program(header: dict[str, Any]) -> str | None:
    """Number of the JWST program: PROGRAM, else PROPOSID; None where neither is a number."""
    for key in ("PROGRAM", "PROPOSID"):
        match = _PROGRAM.fullmatch(_text(header.get(key)) or "")
        if match is not None and match[1].strip("0"):
            return match[1]
    return None
