"""The rectified two-dimensional spectrum: its unit, and the pixels without data.

A CAMPFIRE file does not say the unit of SCI and ERR. They hold the values of the JWST pipeline, MJy in each
pixel; descriptions of the format say microjansky. MJy is assumed, unless the one-dimensional flux shows that
the image must be in microjansky already (the two differ by a factor of 1e12, so any spectrum decides it).
msaexp keeps microjansky, and inverse variances as weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.formats.column_units import unit_factor
from campfire.formats.layouts import read_columns

if TYPE_CHECKING:
    from campfire.formats.hdu_reader import Hdu, RawFits
    from campfire.formats.layouts import Table1D

__all__ = ["image_unit", "read_image_group"]

_LIMIT = 1e6  # half way, in the logarithm, between MJy and uJy


def _column_sums(fits: RawFits, sci: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rough one-dimensional spectrum of an image, with the optimal profile where the file has it."""
    hdu = fits.find("PROF1D", "BINTABLE")
    weights = np.ones(sci.shape[0])
    if hdu is not None and fits.layout(hdu).get("opt") is not None:
        profile = fits.column(hdu, "opt")
        if profile.shape == weights.shape and np.isfinite(profile).all() and profile.any():
            weights = profile / np.sum(profile**2)
    return np.asarray(weights @ np.nan_to_num(sci.astype(np.float64), posinf=0.0, neginf=0.0))


def _brightness(values: np.ndarray[Any, Any]) -> float:
    used = np.abs(values[np.isfinite(values) & (values != 0)])
    return float(np.median(used)) if used.size else 0.0


def image_unit(fits: RawFits, table: Table1D) -> dict[str, Any]:
    """Return the unit of SCI and ERR in the file, and how it is known, as attributes.

    Keys are ``unit_in_file`` and ``unit_origin``.

    Raises
    ------
    ValidationError
        If the file says a unit that is none of flux density.
    """
    sci = fits.find("SCI", "IMAGE")
    if sci is None:
        raise fits.error(f"no image SCI in it (HDUs: {fits.names()})")
    if table.layout == "msaexp":
        return {"unit_in_file": "uJy", "unit_origin": "layout of msaexp (BUNIT is not trusted)"}
    said = fits.header(sci).get("BUNIT")
    if isinstance(said, str) and said.strip():
        try:
            unit_factor("fnu", said.strip())
        except ValidationError as err:
            raise fits.error(f"BUNIT of SCI: {err.message}", err.hint) from err
        return {"unit_in_file": said.strip(), "unit_origin": "BUNIT"}
    in_mjy = _brightness(_column_sums(fits, fits.image(sci))) * unit_factor("fnu", "MJy")
    flux = _brightness(read_columns(fits, table, "optimal", flam=False).fnu)
    if not (in_mjy > 0 and flux > 0):
        return {"unit_in_file": "MJy", "unit_origin": "assumed, not checked: no flux to compare with"}
    if in_mjy / flux > _LIMIT:
        return {"unit_in_file": "uJy", "unit_origin": "assumed: as MJy it would not fit the 1-D flux"}
    return {"unit_in_file": "MJy", "unit_origin": "assumed: fits the 1-D flux"}


def _values(fits: RawFits, hdu: Hdu, probe: bool) -> np.ndarray[Any, Any]:
    values = fits.image(hdu)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    return values[:0] if probe else values


def read_image_group(
    fits: RawFits, table: Table1D, name: str, *, probe: bool = False
) -> np.ndarray[Any, Any] | None:
    """Read one two-dimensional array: ``flux``, ``flux_err``, ``weight`` or ``wavelength_2d``.

    Flux and error are in microjansky and NaN where there is no data (the weight is not above zero, or the
    flux is not finite); an error that is unusable is NaN. None if the file does not hold what it takes.

    Parameters
    ----------
    fits, table
        The file and its 1-D table.
    name
        The array.
    probe
        Only the dtype is wanted: the result has no rows.

    Raises
    ------
    ValidationError
        If the images have different shapes.
    """
    sci, weight = fits.find("SCI", "IMAGE"), fits.find("WHT", "IMAGE")
    inverse_variance = table.layout == "msaexp"
    source = {
        "flux": sci,
        "flux_err": weight if inverse_variance else fits.find("ERR", "IMAGE"),
        "weight": weight,
        "wavelength_2d": fits.find("WAVELENGTH", "IMAGE"),
    }[name]
    if source is None or sci is None:
        return None
    if any(hdu is not None and hdu.shape != sci.shape for hdu in (source, weight)):
        raise fits.error(f"image {source.name} has shape {source.shape}, SCI {sci.shape}")
    values = _values(fits, source, probe)
    if name == "wavelength_2d":
        return values
    weights = None if weight is None else _values(fits, weight, probe)
    if name == "weight":
        return np.where(values > 0, values, 0).astype(values.dtype)
    if name == "flux_err":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = 1 / np.sqrt(values) if inverse_variance else values
        values = np.where((values > 0) & np.isfinite(values), values, np.nan).astype(values.dtype)
    flux = _values(fits, sci, probe)
    lost = ~np.isfinite(flux)
    if weights is not None:
        lost |= ~(weights > 0)
    factor = unit_factor("fnu", image_unit(fits, table)["unit_in_file"])
    with np.errstate(over="ignore"):
        values = values * factor
    values[lost] = np.nan
    return values
