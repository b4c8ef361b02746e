"""From native to gridded collections: every row resampled onto one grid, flux conserving."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from campfire.collection.blocks import (
    attrs_like,
    check_collection,
    flam_of,
    over_rows,
    power_coordinate,
    steady,
)
from campfire.collection.coords import gratings_of
from campfire.collection.correlation import (
    CORRELATED,
    band_width,
    correlations,
    fit_bands,
    longest_row,
    pixel_reach,
    row_covariance,
    row_matrices,
    row_wavelength,
)
from campfire.convert import append_history, banded
from campfire.convert.dataset import REST_WAVELENGTH
from campfire.errors import ValidationError
from campfire.kernels.grids import check_grid, good_pixels, pixel_edges, rising
from campfire.kernels.overlap import resample_matrix
from campfire.kernels.pieces import cut
from campfire.kernels.resample import resample
from campfire.schema import GRIDDED, PixelDQ
from campfire.units import to_micron

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.kernels.covariance import Covariance
    from campfire.typing import FloatArray

__all__ = ["GRID_OUTPUTS", "common_grid", "flam_variables", "resample_dataset", "resample_rows"]

_FLOAT = np.dtype(np.float64)
GRID_OUTPUTS: dict[str, np.dtype[Any]] = {"fnu": _FLOAT, "fnu_err": _FLOAT, "dq": np.dtype(np.uint8)}


def common_grid(ds: xr.Dataset) -> FloatArray:
    """Return the grid that a collection takes by itself, microns.

    That of the row with most pixels (the first of several), which is also what a stack takes; the grid it is
    on already, where it is gridded.
    """
    check_collection(ds)
    return row_wavelength(ds, longest_row(ds))


def resample_rows(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    *correlated: NDArray[Any],
    grid: FloatArray,
) -> dict[str, NDArray[Any]]:
    """Resample rows (numpy) onto ``grid``; pixels with any bit in ``dq`` are not used.

    ``correlated`` is the covariance of pixels that are not independent, as :func:`correlations` has it.
    A pixel without a result carries the bits of the input under it, besides ``NONFINITE_FLUX`` and
    ``BAD_ERROR``; ``OUTSIDE`` where less than half of it is covered by the row.
    """
    wavelength, fnu, fnu_err, dq = steady(wavelength, fnu, fnu_err, dq)
    masked = dq != 0
    result = resample(wavelength, fnu, fnu_err, grid, mask=masked)
    error = result.error
    if correlated:
        good = good_pixels(fnu, fnu_err, masked)
        spread = [c.diagonal() for c in _again(wavelength, good, correlated, grid)]
        error = np.where(result.mask, np.nan, np.sqrt(np.maximum(spread, 0.0)))
    edges, grid_edges = np.atleast_2d(pixel_edges(wavelength)), pixel_edges(grid)
    low = np.maximum(grid_edges[None, :-1], edges[:, :1])
    high = np.minimum(grid_edges[None, 1:], edges[:, -1:])
    empty = ((dq & PixelDQ.OUTSIDE) != 0).all(axis=1)[:, None]
    outside = empty | (high - low < 0.5 * np.diff(grid_edges))
    bits = np.zeros(result.mask.shape, dtype=np.uint8)
    bad = masked & (dq != PixelDQ.OUTSIDE)
    if bad.any():
        pieces = cut(np.broadcast_to(edges, (len(fnu), edges.shape[1])), grid_edges, bad)
        np.bitwise_or.at(bits.reshape(-1), pieces.row, dq.ravel()[pieces.column])
    bits |= np.where(outside, np.uint8(PixelDQ.OUTSIDE), np.uint8(0))
    bits |= np.uint8(PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR)
    return {"fnu": result.flux, "fnu_err": error, "dq": np.where(result.mask, bits, np.uint8(0))}


def _again(
    wavelength: NDArray[Any],
    good: NDArray[np.bool_],
    correlated: tuple[NDArray[Any], ...],
    grid: FloatArray,
) -> Iterator[Covariance]:
    """Yield the covariance (m, m) of every row after resampling."""
    for k, covariance in enumerate(row_matrices(*correlated, good=good)):
        wave = wavelength if wavelength.ndim == 1 else wavelength[k]
        inside = np.flatnonzero(np.isfinite(wave))
        matrix, _, _ = resample_matrix(wave[inside], grid, good[k, inside])
        yield covariance.at(inside).transformed(matrix)


def _covariance_rows(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    *correlated: NDArray[Any],
    grid: FloatArray,
    width: int,
) -> dict[str, NDArray[Any]]:
    """Return the covariance of resampled rows (numpy), as bands."""
    if not len(fnu):
        return {"fnu_cov": np.zeros((0, grid.size, width))}
    wavelength, fnu, fnu_err, dq = steady(wavelength, fnu, fnu_err, dq)
    if correlated:
        good = good_pixels(fnu, fnu_err, dq != 0)
        rows = [fit_bands(banded(c.near), width) for c in _again(wavelength, good, correlated, grid)]
        return {"fnu_cov": np.stack(rows)}
    result = resample(wavelength, fnu, fnu_err, grid, mask=dq != 0, covariance=True)
    return {"fnu_cov": fit_bands(cast("FloatArray", result.covariance), width)}


def _mode_rows(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    *correlated: NDArray[Any],
    grid: FloatArray,
) -> dict[str, NDArray[Any]]:
    """Return the modes of resampled rows (numpy)."""
    wavelength, fnu, fnu_err, dq = steady(wavelength, fnu, fnu_err, dq)
    good = good_pixels(fnu, fnu_err, dq != 0)
    _, modes = row_covariance(*correlated, good=good)
    result = np.zeros((len(fnu), grid.size, modes.shape[2]))
    for k, used in enumerate(good):
        wave = wavelength if wavelength.ndim == 1 else wavelength[k]
        inside = np.flatnonzero(np.isfinite(wave))
        matrix, _, _ = resample_matrix(wave[inside], grid, used[inside])
        result[k] = matrix @ modes[k, inside]
    return {"fnu_modes": result}


def resample_dataset(ds: xr.Dataset, grid: ArrayLike, reference: FloatArray | None = None) -> xr.Dataset:
    """Bring a collection onto one grid; lazy stays lazy.

    Parameters
    ----------
    ds
        A collection, native or gridded.
    grid
        Pixel centres in microns (or a Quantity), shape (m,). They may decrease; the result increases.
    reference
        The wavelengths of the row with most pixels, where they are known already.

    Returns
    -------
    xarray.Dataset
        Gridded: (spectrum, wavelength), float64. The integral of f_nu over wavelength is kept; see
        :func:`campfire.kernels.resample.resample`. ``fnu_cov`` (spectrum, wavelength, lag) is the covariance
        of neighbouring pixels, lazy by itself: what does not ask for it does not pay for it.

    Raises
    ------
    ValidationError
        For a Dataset that is no collection, or a grid in no order.

    Warns
    -----
    CampfireWarning
        When ``fnu_cov`` is computed, if rows have pixels more than twice as wide as those of the row with
        most pixels, and correlate more pixels of the grid than it holds.
    """
    check_collection(ds)
    if isinstance(grid, str):
        raise ValidationError(f"grid={grid!r}", hint="pass None, 'common', or an array of microns")
    centres = to_micron(grid)
    centres = check_grid(centres[rising(centres)], "grid")
    correlated = correlations(ds)
    fields = over_rows(ds, partial(resample_rows, grid=centres), GRID_OUTPUTS, centres.size, *correlated)
    width = _width(ds, centres, reference)
    outputs = {"fnu_cov": np.dtype((np.float64, (width,)))}
    function = partial(_covariance_rows, grid=centres, width=width)
    covariance = over_rows(ds, function, outputs, centres.size, *correlated)["fnu_cov"]
    gone = {"pixel", "wavelength", "lag"}
    result = ds.drop_vars([name for name in ds.variables if set(ds[name].dims) & gone])
    result = result.drop_vars("n_pixels", errors="ignore")
    wave_attrs = attrs_like(ds, "wavelength")
    power: dict[str, Any] = {}
    if wave_attrs["long_name"] != REST_WAVELENGTH:  # where wavelengths are not those of the disperser
        power = power_coordinate(gratings_of(ds), centres, ds["fnu"].variable.chunksizes.get("spectrum"))
    result = result.assign_coords(
        wavelength=("wavelength", centres, wave_attrs),
        # an index, so that collections of different widths can be joined
        lag=("lag", np.arange(width), {"long_name": "distance of two pixels"}),
        **power,
    )
    variables: dict[str, Any] = {name: (GRIDDED, fields[name], attrs_like(ds, name)) for name in GRID_OUTPUTS}
    variables["fnu_cov"] = (CORRELATED, covariance, attrs_like(ds, "fnu_cov"))
    if "fnu_modes" in ds:
        outputs = {"fnu_modes": np.dtype((np.float64, (ds.sizes["mode"],)))}
        modes = over_rows(ds, partial(_mode_rows, grid=centres), outputs, centres.size, *correlated)
        variables["fnu_modes"] = ((*GRIDDED, "mode"), modes["fnu_modes"], attrs_like(ds, "fnu_modes"))
    result = result.assign(variables)
    result = result.assign(flam_variables(result))
    step = f"resampled onto {centres.size} pixels, {centres[0]:g} to {centres[-1]:g} um, flux conserving"
    return append_history(result, step)


def _width(ds: xr.Dataset, grid: FloatArray, reference: FloatArray | None) -> int:
    """Return the number of bands for rows with pixels up to twice as wide as those of the longest."""
    if not ds.sizes["spectrum"]:
        return 1
    wave = row_wavelength(ds, longest_row(ds)) if reference is None else reference
    return band_width([(wave, pixel_reach(wave, ds.sizes.get("lag", 1)))], grid)


def flam_variables(ds: xr.Dataset) -> dict[str, Any]:
    """Return ``flam`` and ``flam_err`` of a collection: ``name -> (dims, values, attrs)``."""
    wavelength: Any = ds["wavelength"].data if ds["wavelength"].ndim == 2 else ds["wavelength"].values
    return {
        f"flam{suffix}": (
            ds["fnu"].dims,
            flam_of(ds[f"fnu{suffix}"].data, wavelength),
            attrs_like(ds, f"flam{suffix}") | {"origin": "computed"},
        )
        for suffix in ("", "_err")
    }
