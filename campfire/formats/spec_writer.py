"""Write CAMPFIRE ``_spec.fits`` files: whole pipeline products, and 1-D spectra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from campfire.disk import new_file
from campfire.errors import ValidationError
from campfire.formats.cards import header_end, parse_header
from campfire.formats.column_units import UNITS, apply_missing, unit_factor
from campfire.formats.extra_hdus import covariance_hdus, extras_hdu, header_extras, power_hdu
from campfire.formats.hdu_writer import fits_header, plain_value, table_hdu, write_hdus
from campfire.formats.layouts import identify_header
from campfire.kernels.covariance import Covariance
from campfire.units import RELATIVE, fnu_to_flam

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.typing import FloatArray, PathInput, SpectrumFields

__all__ = ["SpecProduct", "write_product", "write_spectrum"]

_TUNIT = {"wavelength": "um", "fnu": "uJy", "flam": "erg / (s cm2 Angstrom)"}
_SUFFIXES = ("", "_3px", "_4px", "_5px")
_IMAGES = (("SCI", "sci"), ("ERR", "err"), ("WAVELENGTH", "wavelength"), ("WHT", "wht"))
_PROFILE = ("ypos", "opt", "3px", "4px", "5px")
# Name and type of every column of EXPOSURES, in its order.
_EXPOSURES: tuple[tuple[str, type], ...] = (
    ("filename", str),
    ("dither_type", str),
    ("nod_type", str),
    ("nod_number", int),
    ("dither_number", int),
    ("exptime", float),
    ("stuck_shutter_list", str),
    ("shutter_state", str),
    ("source_ra", float),
    ("source_dec", float),
    ("source_xpos", float),
    ("source_ypos", float),
    ("v3pa", float),
)


class SpecProduct(TypedDict):
    """Everything in one ``_spec.fits``.

    ``header`` is that of PRIMARY (CMPFRTIM and CMPFRVER are needed; FILENAME is set, CMPFROPT is ``optimal``
    unless given). ``table`` has the columns of SPEC1D by their names: ``wave`` (microns), ``fnu``,
    ``fnu_err`` (microjansky), for boxcars ``fnu_3px``, ``fnu_3px_err`` and so on, ``n_combined`` for a
    combined file; f_lambda columns that are not given are computed. Missing pixels are NaN (or whatever is
    not finite). The images are (n_spatial, n_wave): ``sci`` and ``err`` in MJy, ``wavelength`` in microns,
    ``wht``. ``sci_header`` goes to all four; ``profile`` has ``ypos``, ``opt``, ``3px``, ``4px``, ``5px``;
    ``exposures`` one mapping an exposure.
    """

    header: dict[str, Any]
    table: Mapping[str, np.ndarray[Any, Any]]
    sci: FloatArray
    err: FloatArray
    wavelength: FloatArray
    wht: FloatArray
    sci_header: dict[str, Any]
    profile: Mapping[str, np.ndarray[Any, Any]]
    exposures: Sequence[Mapping[str, Any]]


def _native(values: Any, *, keep_single: bool) -> np.ndarray[Any, Any]:
    """Writable floats of the file: float64, or float32 where that is allowed."""
    array = np.array(values)
    single = keep_single and array.dtype.kind == "f" and array.dtype.itemsize == 4
    return array.astype(np.float32 if single else np.float64)


def _fluxes(
    table: Mapping[str, Any], wave: FloatArray, suffix: str, combined: bool
) -> list[np.ndarray[Any, Any]]:
    """The four columns of one extraction, with the pipeline's way to say that a pixel has no data."""
    optimal = suffix == ""
    names = [f"fnu{suffix}", f"fnu{suffix}_err", f"flam{suffix}", f"flam{suffix}_err"]
    columns = [_native(table[name], keep_single=optimal) for name in names[:2]]
    _same_length({"wave": wave} | dict(zip(names, columns, strict=False)))
    for name, fnu in zip(names[2:], columns, strict=False):
        given = table.get(name)
        # computed in float64 from what is written: an f_lambda of 1e-22 is fine even for float32 fluxes
        columns.append(
            fnu_to_flam(fnu.astype(np.float64), wave) if given is None else _native(given, keep_single=False)
        )
    _same_length({"wave": wave} | dict(zip(names, columns, strict=True)))
    lost = ~np.isfinite(columns[0])
    absent = (np.nan, np.nan) if combined else (np.nan, np.inf) if optimal else (0.0, 0.0)
    for column, value in zip(columns, absent * 2, strict=True):
        column[lost] = value
    return columns


def _spec1d(table: Mapping[str, Any]) -> Any:
    known = {"wave", "n_combined"} | {
        f"{kind}{suffix}{end}" for kind in ("fnu", "flam") for suffix in _SUFFIXES for end in ("", "_err")
    }
    if unknown := sorted(set(table) - known):
        raise ValidationError(f"no such columns in SPEC1D: {', '.join(unknown)}", hint=f"use {sorted(known)}")
    if missing := [name for name in ("wave", "fnu", "fnu_err") if name not in table]:
        raise ValidationError(f"columns missing: {', '.join(missing)}")
    wave = _native(table["wave"], keep_single=False)
    _check_wavelength(wave)
    combined = "n_combined" in table
    columns: list[tuple[str, np.ndarray[Any, Any], str | None]] = [("wave", wave, _TUNIT["wavelength"])]
    for suffix in _SUFFIXES:
        if f"fnu{suffix}" in table:
            fluxes = _fluxes(table, wave, suffix, combined)
            names = [f"fnu{suffix}", f"fnu{suffix}_err", f"flam{suffix}", f"flam{suffix}_err"]
            units = [_TUNIT["fnu"]] * 2 + [_TUNIT["flam"]] * 2
            columns += list(zip(names, fluxes, units, strict=True))
    if combined:
        counts = np.array(table["n_combined"], dtype=np.int64)
        counts[~np.isfinite(columns[1][1])] = 0
        columns.append(("n_combined", counts, None))
    return table_hdu("SPEC1D", columns)


def _check_wavelength(wave: FloatArray) -> None:
    if wave.ndim != 1 or not np.isfinite(wave).all() or not (np.diff(wave) > 0).all():
        raise ValidationError(
            "wavelengths are not finite and strictly ascending", hint="sort them and drop repeated ones first"
        )


def _same_length(columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
    if len({values.shape for values in columns.values()}) != 1:
        shapes = {name: values.shape for name, values in columns.items()}
        raise ValidationError(f"arrays of different lengths: {shapes}")


def _exposures(rows: Sequence[Mapping[str, Any]]) -> Any:
    columns: list[tuple[str, np.ndarray[Any, Any], str | None]] = []
    for name, kind in _EXPOSURES:
        try:
            values = [kind(row[name]) for row in rows]
        except KeyError as err:
            raise ValidationError(f"an exposure has no {name!r}") from err
        dtype = {str: "U1" if not rows else None, int: np.int64, float: np.float64}[kind]
        columns.append((name, np.array(values, dtype=dtype), None))
    return table_hdu("EXPOSURES", columns)


def write_product(path: PathInput, product: SpecProduct, *, overwrite: bool = False) -> None:
    """Write a complete ``_spec.fits`` as the pipeline does: the same HDUs, columns, units and conventions.

    A pixel whose flux is not finite is written in the pipeline's way: NaN with error +inf in the optimal
    columns and 0 with error 0 in the boxcars of a single group, NaN with error NaN (and ``n_combined`` 0) in
    a combined file. The same product gives the same bytes; the file appears at once, complete.

    Parameters
    ----------
    path
        The file; its name becomes FILENAME.
    product
        See :class:`SpecProduct`.
    overwrite
        Replace a file that is there.

    Raises
    ------
    ValidationError
        If the file exists, or parts of the product are missing or do not fit each other.
    """
    from astropy.io import fits

    target = Path(path)
    new_file(target, overwrite=overwrite)
    given = {key: plain_value(key, value) for key, value in product["header"].items()}
    if missing := [key for key in ("CMPFRTIM", "CMPFRVER") if key not in given]:
        raise ValidationError(f"{' and '.join(missing)} missing in the header of {target.name}")
    header = {"FILENAME": target.name, "CMPFROPT": "optimal"} | given | {"FILENAME": target.name}
    hdus = [fits.PrimaryHDU(header=fits_header(header)), _spec1d(product["table"])]
    sci_header = {key: plain_value(key, value) for key, value in product["sci_header"].items()}
    n_wave = hdus[1].data.shape[0]
    for name, key in _IMAGES:
        image = np.asarray(product[key], dtype=np.float32)  # type: ignore[literal-required]
        if image.ndim != 2 or image.shape != (np.shape(product["sci"])[0], n_wave):
            raise ValidationError(
                f"image {name} has shape {image.shape}", hint=f"expected (n_spatial, {n_wave})"
            )
        hdus.append(fits.ImageHDU(image, header=fits_header(sci_header), name=name))
    profile = product["profile"]
    rows = np.shape(product["sci"])[0]
    weights: list[tuple[str, np.ndarray[Any, Any], str | None]] = []
    for name in _PROFILE:
        if name not in profile or np.shape(profile[name]) != (rows,):
            raise ValidationError(f"profile needs {rows} values of {name!r}")
        weights.append((name, _native(profile[name], keep_single=False), None))
    hdus += [table_hdu("PROF1D", weights), _exposures(product["exposures"])]
    write_hdus(target, hdus, overwrite=overwrite)


def _same(one: Any, other: Any) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)


def _check_units(fields: SpectrumFields) -> dict[str, str]:
    """Unit texts other than the usual ones, which have to mean the same."""
    other: dict[str, str] = {}
    for key, kind in (("wave_units", "wavelength"), ("fnu_units", "fnu"), ("flam_units", "flam")):
        text = fields.get(key, UNITS[kind])
        if text == UNITS[kind]:
            continue
        relative = text == RELATIVE and kind != "wavelength"
        if not relative and unit_factor(kind, str(text)) != 1.0:
            raise ValidationError(f"{key} is {text!r}", hint=f"convert to {UNITS[kind]!r} first")
        other[key] = str(text)
    return other


def _table_of(fields: SpectrumFields) -> Any:
    """SPEC1D of a spectrum: columns that read back exactly."""
    wave, fnu, fnu_err = (_column(fields, key) for key in ("wavelength", "fnu", "fnu_err"))
    _check_wavelength(wave)
    _same_length({"wavelength": wave, "fnu": fnu, "fnu_err": fnu_err})
    flam = fields.get("flam")
    computed = flam is None
    flam = fnu_to_flam(fnu, wave) if flam is None else _column(fields, "flam")
    flam_err = fnu_to_flam(fnu_err, wave) if fields.get("flam_err") is None else _column(fields, "flam_err")
    columns = {"wave": wave, "fnu": fnu, "fnu_err": fnu_err, "flam": flam, "flam_err": flam_err}
    _same_length(columns)
    usual = {name: values.copy() for name, values in columns.items()}
    unusable = apply_missing(usual["fnu"], usual["fnu_err"])
    usual["flam"][unusable] = np.nan
    usual["flam_err"][unusable] = np.nan
    exact = all(_same(columns[name], usual[name]) for name in columns)
    cards: dict[str, Any] = {}
    if not exact:
        cards["CMPFRRAW"] = True
    if computed and fields.get("flam_err") is None:
        cards["FLAMORIG"] = "computed"
    units = ["wavelength", "fnu", "fnu", "flam", "flam"]
    rows: list[tuple[str, np.ndarray[Any, Any], str | None]] = [
        (name, values, None if fields.get(f"{kind}_units") == RELATIVE else _TUNIT[kind])
        for (name, values), kind in zip(columns.items(), units, strict=True)
    ]
    mask = fields.get("mask")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != wave.shape:
            raise ValidationError(
                f"mask is {mask.dtype} of shape {mask.shape}", hint=f"booleans of {wave.shape}"
            )
        if (mask & ~unusable).any():
            rows.append(("mask", mask, None))
    return table_hdu("SPEC1D", rows, header=fits_header(cards))


def _column(fields: SpectrumFields, key: str) -> np.ndarray[Any, Any]:
    array = np.asarray(fields[key])  # type: ignore[literal-required]
    if array.ndim != 1 or array.dtype.kind != "f":
        raise ValidationError(f"{key} is {array.dtype} of shape {array.shape}", hint="one-dimensional floats")
    return _native(array, keep_single=True)


def write_spectrum(path: PathInput, fields: SpectrumFields, *, overwrite: bool = False) -> None:
    """Write a 1-D spectrum as a CAMPFIRE ``_spec.fits`` that reads back exactly.

    The file has PRIMARY and SPEC1D (``wave fnu fnu_err flam flam_err``), as every reader of CAMPFIRE products
    expects. What goes beyond: a logical column ``mask`` where good values are masked; a card ``CMPFRRAW = T``
    in SPEC1D where values that are not finite or zero are meant as they stand; ``FLAMORIG = 'computed'``
    where f_lambda was computed from f_nu; and the HDUs of :mod:`campfire.formats.extra_hdus`. FILENAME is the
    spectrum id and ``_spec.fits``, whatever the file is called. float32 and float64 stay; other floats become
    float64.

    Parameters
    ----------
    path
        The file.
    fields
        The spectrum; see :class:`campfire.typing.SpectrumFields`.
    overwrite
        Replace a file that is there.

    Raises
    ------
    ValidationError
        If the file exists, wavelengths are not finite and strictly ascending, units are not those of the
        package, or the header holds values JSON has no form for.
    """
    from astropy.io import fits

    new_file(path, overwrite=overwrite)
    spectrum_id, grating = fields["spectrum_id"], fields["grating"]
    given = {str(key): plain_value(str(key), value) for key, value in fields["header"].items()}
    header = dict(given)
    header["FILENAME"] = f"{spectrum_id}_spec.fits"
    header["GRATING"] = grating
    primary = fits.PrimaryHDU(header=fits_header(header))
    hdus = [primary, _table_of(fields)]
    primary.header.set("EXTEND", True, after="NAXIS")  # where the list of HDUs would put it
    image = primary.header.tostring().encode("ascii")
    read_back = parse_header(image[: header_end(image)])
    extras: dict[str, Any] = dict(_check_units(fields))
    extras |= header_extras(given, read_back)
    # without the name of the file, which may be changed later
    own_id, own_grating = identify_header(read_back, "")
    if own_id != spectrum_id:
        extras["spectrum_id"] = spectrum_id
    if own_grating != grating:
        extras["grating"] = grating
    if (redshift := fields.get("redshift")) is not None:
        extras["redshift"] = float(redshift)
    covariance = fields.get("covariance")
    if isinstance(covariance, Covariance):
        extras |= {"mode_sign": covariance.signs.astype(int).tolist(), "measurement": list(covariance.labels)}
    if extras:
        hdus.append(extras_hdu(extras))
    if covariance is not None:
        hdus += covariance_hdus(covariance)
    if (power := fields.get("resolving_power")) is not None:
        hdus.append(power_hdu(power))
    write_hdus(path, hdus, overwrite=overwrite)
