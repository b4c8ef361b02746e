"""Redshift-fit files ``_zfit.fits``: model spectrum and chi-square curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np

from campfire.disk import new_file
from campfire.errors import ValidationError
from campfire.formats.hdu_reader import RawFits
from campfire.formats.hdu_writer import fits_header, table_hdu, write_hdus

if TYPE_CHECKING:
    from campfire.typing import FloatArray, PathInput

__all__ = ["ZFit", "belongs_to", "read_zfit", "write_zfit"]


class ZFit(TypedDict):
    """A redshift fit: the redshift of least chi-square, the curve, and the best model.

    ``confidence`` is in percent. ``z`` ascends in steps that are not uniform. ``model_wave`` is in microns,
    ``model_fnu`` in microjansky. ``zqual`` is 0 as long as nobody inspected.
    """

    redshift: float
    zqual: int
    confidence: float
    chi2_min: float
    z: FloatArray
    chi2: FloatArray
    model_wave: FloatArray
    model_fnu: FloatArray


def read_zfit(path: PathInput) -> ZFit:
    """Read a ``_zfit.fits``.

    ``redshift`` and ``chi2_min`` are those of the curve's minimum, not the rounded ones of the header; arrays
    are float64.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ValidationError
        If it is not a redshift-fit file, is cut short, or its curve is empty or has no finite value.
    """
    with RawFits(path) as fits:
        columns: dict[str, FloatArray] = {}
        for name, column in (("CHI2", "z"), ("CHI2", "chi2"), ("MODEL", "wav"), ("MODEL", "fnu")):
            hdu = fits.find(name, "BINTABLE")
            if hdu is None:
                raise fits.error(f"no table {name} in it (HDUs: {fits.names()})", "expected a _zfit.fits")
            columns[f"{name}.{column}"] = fits.numbers(hdu, column).astype(np.float64)
        header = fits.header(0)
        chi2 = columns["CHI2.chi2"]
        if not np.isfinite(chi2).any():
            raise fits.error(f"no finite value in the chi-square curve ({chi2.size} points)")
        best = int(np.nanargmin(np.where(np.isfinite(chi2), chi2, np.nan)))
        confidence, zqual = header.get("ZCONF"), header.get("ZQUAL")
        return {
            "redshift": float(columns["CHI2.z"][best]),
            "zqual": zqual if isinstance(zqual, int) else 0,
            "confidence": float(confidence) if isinstance(confidence, int | float) else float("nan"),
            "chi2_min": float(chi2[best]),
            "z": columns["CHI2.z"],
            "chi2": chi2,
            "model_wave": columns["MODEL.wav"],
            "model_fnu": columns["MODEL.fnu"],
        }


def belongs_to(fit: PathInput, spectrum: PathInput) -> bool:
    """Tell whether a fit is one of a spectrum: its model is on the very wavelengths of the spectrum.

    Files of fits hold no name, neither of their spectrum nor of themselves.

    Raises
    ------
    NotFoundError, ValidationError
        As :func:`read_zfit`, of either file.
    """
    from campfire.formats.spec_reader import peek_spectrum

    model = read_zfit(fit)["model_wave"]
    _, wavelength = peek_spectrum(spectrum)
    return model.shape == wavelength.shape and bool(np.allclose(model, wavelength, rtol=1e-5, atol=0.0))


def write_zfit(path: PathInput, zfit: ZFit, *, overwrite: bool = False) -> None:
    """Write a ``_zfit.fits`` as the CAMPFIRE pipeline does; the file appears at once, complete.

    Raises
    ------
    ValidationError
        If the file exists and ``overwrite`` is not set, or arrays do not fit each other.
    """
    from astropy.io import fits

    new_file(path, overwrite=overwrite)
    arrays = {
        key: np.asarray(cast("dict[str, Any]", zfit)[key], dtype=np.float64)
        for key in ("z", "chi2", "model_wave", "model_fnu")
    }
    if arrays["z"].shape != arrays["chi2"].shape or arrays["model_wave"].shape != arrays["model_fnu"].shape:
        shapes = {key: array.shape for key, array in arrays.items()}
        raise ValidationError(f"arrays of different lengths: {shapes}")
    cards = {
        "ZBEST": round(float(zfit["redshift"]), 4),
        "ZQUAL": int(zfit["zqual"]),
        "ZCONF": float(zfit["confidence"]),
        "CHI2MIN": float(zfit["chi2_min"]),
    }
    hdus = [
        fits.PrimaryHDU(header=fits_header(cards)),
        table_hdu("MODEL", [("wav", arrays["model_wave"], None), ("fnu", arrays["model_fnu"], None)]),
        table_hdu("CHI2", [("z", arrays["z"], None), ("chi2", arrays["chi2"], None)]),
    ]
    write_hdus(path, hdus, overwrite=overwrite)
