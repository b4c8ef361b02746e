"""Covariances of pixels: how many bands resampled ones need, and those of every row of a collection.

``fnu_cov`` of a collection has dimensions (spectrum, wavelength or pixel, lag): element [s, i, k] is the
covariance of pixels i and i + k of spectrum s, as (wavelength, lag) holds it for one spectrum.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.collection.blockwise import dask_array
from campfire.convert.covariance import banded, from_banded
from campfire.errors import CampfireWarning
from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import pixel_bounds
from campfire.text import text_array

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from campfire.typing import BoolArray, FloatArray

__all__ = [
    "CORRELATED",
    "band_width",
    "correlations",
    "fit_bands",
    "frames",
    "longest_row",
    "pixel_reach",
    "row_correlations",
    "row_covariance",
    "row_matrices",
    "row_wavelength",
    "weighted_variance",
]

CORRELATED = ("spectrum", "wavelength", "lag")
"""Dimensions of ``fnu_cov`` in a gridded collection."""

_FRAMES = 64
_NEGLIGIBLE = 1e-3  # of the largest variance: less than that beyond the band is not worth a warning


def longest_row(ds: xr.Dataset, rows: NDArray[Any] | None = None) -> int:
    """Return the first row, of all or of some, with most pixels."""
    if "n_pixels" in ds:
        count = ds["n_pixels"].values
    elif ds["wavelength"].ndim == 1:
        count = np.ones(ds.sizes["spectrum"])
    else:
        count = np.isfinite(ds["wavelength"].values).sum(axis=1)
    chosen = np.arange(len(count)) if rows is None else rows
    return int(chosen[np.argmax(count[chosen])])


def row_wavelength(ds: xr.Dataset, row: int) -> FloatArray:
    """Return the wavelengths of one row without its padding; of a lazy collection only this row is used."""
    wave = ds["wavelength"]
    values = np.asarray((wave if wave.ndim == 1 else wave.isel(spectrum=row)).values, dtype=np.float64)
    return values[np.isfinite(values)]


def pixel_reach(wavelength: FloatArray, lags: int = 1) -> FloatArray:
    """Return how far, in microns, pixels of rows like this one may reach from their centres.

    Other rows may have pixels twice as wide; those resampled before (``lags`` above 1) act together as far as
    they are correlated.
    """
    if len(wavelength) < 2:
        return np.zeros(len(wavelength))
    return np.asarray(pixel_bounds(wavelength).width * (1 + lags) / 2)


def band_width(
    pixels: Iterable[tuple[FloatArray, FloatArray]], grid: FloatArray, redshift: FloatArray | None = None
) -> int:
    """Return how many bands a covariance on a grid needs: the most pixels that one input pixel touches.

    Parameters
    ----------
    pixels
        Wavelengths of some rows, and how far from its centre each pixel reaches, microns.
    grid
        Pixel centres of the output.
    redshift
        Redshifts of the rows, where the grid is in the rest frame.

    Examples
    --------
    >>> grid = np.linspace(1.0, 2.0, 11)
    >>> band_width([(grid, np.full(11, 0.05))], grid), band_width([(grid, np.full(11, 0.1))], grid)
    (1, 3)
    """
    edges = pixel_bounds(grid).low
    stretch = 1.0 / (1.0 + frames(redshift)[:, None])
    widest = 1
    for wave, reach in pixels:
        # a hair less, so that the rounding of edges that fall together does not decide
        low = np.searchsorted(edges, (wave - reach * (1 - 1e-9)) * stretch, side="right")
        high = np.searchsorted(edges, (wave + reach * (1 - 1e-9)) * stretch, side="left")
        touched = np.clip(high, 1, len(grid)) - np.clip(low, 1, len(grid)) + 1
        widest = max(widest, int(touched.max(initial=1)))
    return widest


def frames(redshift: FloatArray | None) -> FloatArray:
    """Return the redshifts to be tried for what varies slowly with them: those that occur, or 64 of them."""
    found = np.zeros(1) if redshift is None else np.unique(redshift)
    return np.asarray(found[np.unique(np.linspace(0, len(found) - 1, _FRAMES).astype(np.intp))])


def fit_bands(bands: FloatArray, width: int) -> FloatArray:
    """Return covariance bands (..., pixel, lag) cut or padded to a width; warns if that loses something."""
    have = bands.shape[-1]
    if have == width:
        return bands
    if have < width:
        return np.pad(bands, [(0, 0)] * (bands.ndim - 1) + [(0, width - have)])
    lost = float(np.abs(bands[..., width:]).max(initial=0.0))
    if lost > _NEGLIGIBLE * float(bands[..., 0].max(initial=0.0)):
        warnings.warn(
            f"some spectra have pixels so wide that more than {width} pixels of the grid are correlated: "
            "errors of sums over pixels come out too small; load() the collection before stacking it",
            CampfireWarning,
            stacklevel=2,
        )
    return bands[..., :width]


def correlations(ds: xr.Dataset) -> list[Any]:
    """Return what is known of the covariance of every row: what :func:`row_covariance` takes beside pixels.

    Nothing where pixels are independent; ``fnu_cov`` and ``fnu_modes`` side by side for every pixel, with
    these on one axis; and where there are modes, ``mode_sign`` and ``measurement``.
    """
    bands = ds["fnu_cov"].transpose(*ds["fnu"].dims, "lag") if "fnu_cov" in ds else None
    if "fnu_modes" not in ds:
        return [] if bands is None else [_flat(bands.data)]
    usable = ds["dq"] == 0
    modes = ds["fnu_modes"].transpose("spectrum", ds["fnu"].dims[1], "mode").where(usable, 0.0)
    modes = modes.fillna(0.0).data  # joining collections of different numbers of modes pads with NaN
    signs = np.nan_to_num(np.asarray(ds["mode_sign"].values, dtype=np.float64))
    if bands is None:  # what is left of the errors is noise of single pixels
        errors = ds["fnu_err"].where(usable, 0.0).data
        near = (errors**2 - (modes**2 * signs[:, None, :]).sum(axis=2)).clip(min=0.0)[:, :, None]
    else:
        near = bands.data
    if isinstance(near, np.ndarray) and isinstance(modes, np.ndarray):
        both: Any = np.concatenate([near, modes], axis=2)
    else:
        da = dask_array()
        both = da.concatenate([da.asarray(near), da.asarray(modes)], axis=2)
    labels = text_array(ds["measurement"].values).astype(object)
    return [_flat(both), signs, labels]


def _flat(values: Any) -> Any:
    if not isinstance(values, np.ndarray):
        values = values.rechunk({1: -1, 2: -1})
    return values.reshape((values.shape[0], values.shape[1] * values.shape[2]))


def row_correlations(covariance: Covariance) -> list[Any]:
    """Return the covariance of one spectrum as that of one row of :func:`correlations`."""
    values = np.concatenate([banded(covariance.near), covariance.modes], axis=1)
    labels = np.array([covariance.labels], dtype=object)
    return [_flat(values[None]), *([covariance.signs[None], labels] if covariance.labels else [])]


def row_matrices(
    flat: NDArray[Any],
    signs: FloatArray | None = None,
    labels: NDArray[Any] | None = None,
    *,
    good: BoolArray,
) -> list[Covariance]:
    """Return the covariances of rows (numpy) of :func:`correlations`, 0 for pixels not good."""
    bands, modes = row_covariance(flat, signs, good=good)
    rows = []
    for k, near in enumerate(bands):
        base = Covariance.of(from_banded(near))
        if signs is not None and labels is not None:
            used = np.flatnonzero(signs[k] * np.any(modes[k] != 0, axis=0))
            names = [str(labels[k, j]) for j in used]
            own = [j for j, name in zip(used, names, strict=True) if not name]
            base = replace(base, modes=modes[k][:, own], signs=signs[k][own], labels=("",) * len(own))
            for j, name in zip(used, names, strict=True):
                if name:
                    base = base.with_shared([name], modes[k][:, [j]])
        rows.append(base)
    return rows


def row_covariance(
    flat: NDArray[Any], signs: FloatArray | None = None, *_: Any, good: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return rows (numpy) of :func:`correlations` as bands (row, pixel, lag) and modes (row, pixel, mode).

    Both are 0 for pixels not good.
    """
    n = good.shape[1]
    count = 0 if signs is None else signs.shape[1]
    values = np.asarray(flat, dtype=np.float64).reshape(len(flat), n, flat.shape[1] // n)
    values = np.where(good[:, :, None], values, 0.0)
    bands, modes = values[..., : values.shape[2] - count], values[..., values.shape[2] - count :]
    for k in range(1, min(bands.shape[2], n)):
        bands[:, : n - k, k][~good[:, k:]] = 0.0
    # joining collections of different widths pads with NaN
    return np.nan_to_num(bands), np.nan_to_num(modes)


def weighted_variance(bands: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the variances of weighted sums over pixels.

    Parameters
    ----------
    bands
        Covariances, shape (row, pixel, lag).
    weights
        Shape (row, pixel).

    Examples
    --------
    >>> weighted_variance(np.array([[[4.0, 1.0], [9.0, 0.0]]]), np.array([[1.0, 2.0]]))
    array([44.])
    """
    n = weights.shape[1]
    total = np.einsum("rp,rp,rp->r", weights, weights, bands[..., 0])
    for k in range(1, min(bands.shape[2], n)):
        left, right = weights[:, : n - k], weights[:, k:]
        total += 2 * np.einsum("rp,rp,rp->r", left, right, bands[:, : n - k, k])
    return np.asarray(total)
