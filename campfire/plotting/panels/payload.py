"""What the page draws of one spectrum: arrays as base64, so that a spectrum is some 30 kB of JSON."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.typing import FloatArray, Row

__all__ = ["SNR_STEP", "encode_fit", "encode_image", "encode_pixels"]

SNR_STEP = 0.1
"""Resolution of the signal-to-noise ratios of an image, which run from -12.7 to 12.7."""
_MASKED = -128


def _float32(values: ArrayLike) -> str:
    with np.errstate(over="ignore"):
        return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def encode_pixels(
    wavelength: ArrayLike, fnu: ArrayLike, fnu_err: ArrayLike, mask: ArrayLike | None = None
) -> Row:
    """Return the 1-D spectrum as the page reads it: float32 in little-endian order, unusable pixels NaN.

    Parameters
    ----------
    wavelength, fnu, fnu_err
        One dimension; microns and microjansky.
    mask
        True: do not use.

    Examples
    --------
    >>> sorted(encode_pixels([1.0, 1.1], [3.0, 4.0], [0.1, 0.1], [False, True]))
    ['err', 'fnu', 'wave']
    """
    flux, error = (np.array(values, dtype=np.float64) for values in (fnu, fnu_err))
    lost = ~np.isfinite(flux) | ~np.isfinite(error) | ~(error > 0)
    if mask is not None:
        lost |= np.asarray(mask, dtype=bool)
    flux[lost] = error[lost] = np.nan
    return {"wave": _float32(wavelength), "fnu": _float32(flux), "err": _float32(error)}


def encode_image(flux: np.ndarray[Any, Any], flux_err: np.ndarray[Any, Any]) -> Row:
    """Return the 2-D spectrum as the page reads it: its signal-to-noise ratio in steps of a tenth, in int8.

    Parameters
    ----------
    flux, flux_err
        (rows, pixels), in the same unit; what is not finite is masked.

    Examples
    --------
    >>> image = encode_image(np.ones((2, 3)), np.full((2, 3), 0.5))
    >>> image["rows"], image["columns"]
    (2, 3)
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        snr: FloatArray = np.asarray(flux, dtype=np.float64) / np.asarray(flux_err, dtype=np.float64)
    rows, columns = snr.shape
    shown = np.isfinite(snr)
    steps = np.full(snr.shape, _MASKED, dtype=np.int8)
    steps[shown] = np.rint(np.clip(snr[shown] / SNR_STEP, -127, 127)).astype(np.int8)
    text = base64.b64encode(steps.tobytes()).decode()
    return {"rows": rows, "columns": columns, "snr": text}


def encode_fit(
    redshift: float,
    confidence: float,
    z: ArrayLike,
    chi2: ArrayLike,
    model_wave: ArrayLike,
    model_fnu: ArrayLike,
) -> Row:
    """Return a redshift fit as the page reads it.

    Parameters
    ----------
    redshift, confidence
        Of the best fit; percent.
    z, chi2
        The curve.
    model_wave, model_fnu
        The best model; microns and microjansky.

    Examples
    --------
    >>> encode_fit(4.2, float("nan"), [4.1, 4.2], [9.0, 1.0], [1.0], [2.0])["confidence"] is None
    True
    """
    curve = np.asarray(chi2, dtype=np.float64)
    lowest = float(np.nanmin(curve)) if np.isfinite(curve).any() else 0.0
    return {
        "redshift": redshift,
        "confidence": confidence if np.isfinite(confidence) else None,
        "z": _float32(z),
        # Above its minimum: single precision would round chi-squares of a million to a tenth.
        "dchi2": _float32(curve - lowest),
        "model_wave": _float32(model_wave),
        "model": _float32(model_fnu),
    }
