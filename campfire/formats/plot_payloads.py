"""The JSON payloads of ``get_spectrum_data`` and ``get_redshift_fit_data``, made from FITS files.

Derivations and roundings are those of the CAMPFIRE pipeline, so that a payload made here equals the one the
service sends; but what is not finite is always None (or 0 where the pipeline writes 0), never a bare NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.formats.hdu_reader import RawFits
from campfire.formats.layouts import Pixels, find_table, read_columns
from campfire.formats.zfit import read_zfit

if TYPE_CHECKING:
    from campfire.typing import PathInput, RedshiftFit, SpectrumPayload

__all__ = ["redshift_fit_payload", "spectrum_payload"]


def _rounded(values: np.ndarray[Any, Any], decimals: int, missing: float | None) -> list[Any]:
    """Nested lists of rounded Python floats, with ``missing`` for what is not finite."""
    wide = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(wide)
    # numbers so large that they have no decimals would overflow while they are rounded
    small = finite & (np.abs(wide) < 1e15)
    rounded = np.where(finite & ~small, wide, np.round(np.where(small, wide, 0.0), decimals)) + 0.0
    if missing is None and not finite.all():
        holes = rounded.astype(object)
        holes[~finite] = None
        return list(holes.tolist())
    return list(rounded.tolist())


def spectrum_payload(path: PathInput) -> SpectrumPayload:
    """Return what ``get_spectrum_data`` gives; of a file that is not CAMPFIRE's, the 1-D spectrum alone.

    ``snr_2d`` is SCI/ERR row by row; ``profile`` the median of SCI along the dispersion, scaled to a peak of
    1 over the rows the optimal extraction uses; ``profile_pix`` the rows' distance from the centre of the
    optimal profile, in pixels.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ValidationError
        If it is not a spectrum, or an incomplete product of CAMPFIRE.
    """
    with RawFits(path) as fits:
        table = find_table(fits)
        if table.layout != "campfire":
            return _plain_payload(read_columns(fits, table, "optimal", flam=False))
        hdus = {}
        for name in ("SPEC1D", "SCI", "ERR", "PROF1D"):
            hdu = fits.find(name, "BINTABLE" if name.endswith("1D") else "IMAGE")
            if hdu is None:
                raise fits.error(
                    f"no HDU {name} in it (HDUs: {fits.names()})", "expected a CAMPFIRE _spec.fits"
                )
            hdus[name] = hdu
        wave, fnu, fnu_err = (fits.numbers(hdus["SPEC1D"], name) for name in ("wave", "fnu", "fnu_err"))
        sci, err = fits.image(hdus["SCI"]), fits.image(hdus["ERR"])
        weights, ypos = fits.numbers(hdus["PROF1D"], "opt"), fits.numbers(hdus["PROF1D"], "ypos")
        if sci.ndim != 2 or sci.shape != err.shape or weights.shape != sci.shape[:1] or ypos.ndim != 1:
            raise fits.error(f"SCI {sci.shape}, ERR {err.shape} and PROF1D {weights.shape} do not fit")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        snr = sci / err
    return {
        "wave": _rounded(wave, 6, None),
        "fnu": _rounded(fnu, 6, None),
        "fnu_err": _rounded(fnu_err, 6, None),
        "snr_2d": _rounded(snr, 2, 0.0),
        "n_spatial": int(sci.shape[0]),
        "n_wave": int(sci.shape[1]),
        "profile": _rounded(_scaled(_row_medians(sci), weights > 0), 3, 0.0),
        "profile_fit": _rounded(_scaled(weights, np.ones(weights.shape, dtype=bool)), 3, 0.0),
        "profile_pix": _rounded(ypos - _centre(ypos, weights), 2, 0.0),
    }


def _plain_payload(pixels: Pixels) -> SpectrumPayload:
    return {
        "wave": _rounded(pixels.wavelength, 6, None),
        "fnu": _rounded(pixels.fnu, 6, None),
        "fnu_err": _rounded(pixels.fnu_err, 6, None),
        "snr_2d": [],
        "n_spatial": 0,
        "n_wave": len(pixels.wavelength),
        "profile": [],
        "profile_fit": [],
        "profile_pix": [],
    }


def _row_medians(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Median along the dispersion of what is not NaN; NaN for rows without data."""
    medians = np.full(image.shape[0], np.nan)
    for row, values in enumerate(image):
        kept = values[~np.isnan(values)]
        if kept.size:
            medians[row] = np.median(kept)
    return medians


def _scaled(values: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Values over their largest magnitude in the rows given; unscaled where that is 0 or there is none."""
    used = np.abs(values[rows & np.isfinite(values)])
    peak = float(used.max()) if used.size else 0.0
    return values / peak if peak > 0 else values


def _centre(ypos: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]) -> float:
    """Mean position weighted with the optimal profile; the middle of the rows if there is none."""
    used = (weights > 0) & np.isfinite(weights)
    if used.any():
        return float(np.average(ypos[used], weights=weights[used]))
    return float(np.median(ypos)) if ypos.size else 0.0


def redshift_fit_payload(path: PathInput) -> RedshiftFit:
    """Return what ``get_redshift_fit_data`` gives, from a ``_zfit.fits``.

    Because redshifts are rounded to 4 decimals, ``z_grid`` can hold equal neighbours.

    Raises
    ------
    NotFoundError, ValidationError
        As :func:`campfire.formats.zfit.read_zfit`.
    """
    fit = read_zfit(path)
    confidence = fit["confidence"]
    return {
        "redshift": round(fit["redshift"], 4),
        "chi2_min": round(fit["chi2_min"], 2),
        "confidence": round(confidence, 1) if np.isfinite(confidence) else 0.0,
        "z_grid": _rounded(fit["z"], 4, None),
        "chi2_grid": _rounded(fit["chi2"], 2, None),
        "model_wave": _rounded(fit["model_wave"], 6, None),
        "model_fnu": _rounded(fit["model_fnu"], 6, None),
    }
