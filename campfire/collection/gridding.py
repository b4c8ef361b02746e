"""From native to gridded collections: every row resampled onto one grid, flux conserving."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.collection.blocks import check_collection, flam_of, over_rows, power_coordinate, steady
from campfire.collection.coords import gratings_of
from campfire.convert import append_history
from campfire.errors import ValidationError
from campfire.kernels.grids import check_grid, pixel_edges
from campfire.kernels.pieces import cut
from campfire.kernels.resample import resample
from campfire.schema import GRIDDED, PixelDQ, attrs_of
from campfire.units import to_micron

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.typing import FloatArray

__all__ = ["GRID_OUTPUTS", "common_grid", "flam_variables", "resample_dataset", "resample_rows"]

_FLOAT = np.dtype(np.float64)
GRID_OUTPUTS: dict[str, np.dtype[Any]] = {"fnu": _FLOAT, "fnu_err": _FLOAT, "dq": np.dtype(np.uint8)}


def common_grid(ds: xr.Dataset) -> FloatArray:
    """Return the grid that a collection takes by itself, microns.

    That of the row with most pixels (the first of several), which is also what a stack takes; the grid it is
    on already, where it is gridded.
    """
    if check_collection(ds) == GRIDDED:
        return np.asarray(ds["wavelength"].values, dtype=np.float64)
    count = ds["n_pixels"].values if "n_pixels" in ds else np.isfinite(ds["wavelength"].values).sum(axis=1)
    row = int(np.argmax(count))
    return np.asarray(ds["wavelength"].isel(spectrum=row).values[: int(count[row])], dtype=np.float64)


def resample_rows(
    wavelength: NDArray[Any], fnu: NDArray[Any], fnu_err: NDArray[Any], dq: NDArray[Any], *, grid: FloatArray
) -> dict[str, NDArray[Any]]:
    """Resample rows (numpy) onto ``grid``; pixels with any bit in ``dq`` are not used.

    A pixel without a result carries the bits of the input under it, besides ``NONFINITE_FLUX`` and
    ``BAD_ERROR``; ``OUTSIDE`` where less than half of it is covered by the row.
    """
    wavelength, fnu, fnu_err, dq = steady(wavelength, fnu, fnu_err, dq)
    masked = dq != 0
    result = resample(wavelength, fnu, fnu_err, grid, mask=masked)
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
    return {"fnu": result.flux, "fnu_err": result.error, "dq": np.where(result.mask, bits, np.uint8(0))}


def resample_dataset(ds: xr.Dataset, grid: ArrayLike) -> xr.Dataset:
    """Bring a collection onto one grid; lazy stays lazy.

    Parameters
    ----------
    ds
        A collection, native or gridded.
    grid
        Pixel centres in microns (or a Quantity), ascending, shape (m,).

    Returns
    -------
    xarray.Dataset
        Gridded: (spectrum, wavelength), float64. The integral of f_nu over wavelength is kept; see
        :func:`campfire.kernels.resample.resample`.

    Raises
    ------
    ValidationError
        For a Dataset that is no collection, or a grid that is not ascending.
    """
    check_collection(ds)
    if isinstance(grid, str):
        raise ValidationError(f"grid={grid!r}", hint="pass None, 'common', or an array of microns")
    centres = check_grid(to_micron(grid), "grid")
    fields = over_rows(ds, partial(resample_rows, grid=centres), GRID_OUTPUTS, centres.size)
    result = ds.drop_vars([name for name in ds.variables if set(ds[name].dims) & {"pixel", "wavelength"}])
    result = result.drop_vars("n_pixels", errors="ignore")
    wavelength_attrs = attrs_of("wavelength")
    power = power_coordinate(gratings_of(ds), centres, ds["fnu"].chunksizes.get("spectrum"))
    result = result.assign_coords(wavelength=("wavelength", centres, wavelength_attrs), **power)
    result = result.assign({name: (GRIDDED, fields[name], attrs_of(name)) for name in GRID_OUTPUTS})
    result = result.assign(flam_variables(result))
    step = f"resampled onto {centres.size} pixels, {centres[0]:g} to {centres[-1]:g} um, flux conserving"
    return append_history(result, step)


def flam_variables(ds: xr.Dataset) -> dict[str, Any]:
    """Return ``flam`` and ``flam_err`` of a collection: ``name -> (dims, values, attrs)``."""
    wavelength: Any = ds["wavelength"].data if ds["wavelength"].ndim == 2 else ds["wavelength"].values
    return {
        f"flam{suffix}": (
            ds["fnu"].dims,
            flam_of(ds[f"fnu{suffix}"].data, wavelength),
            attrs_of(f"flam{suffix}") | {"origin": "computed"},
        )
        for suffix in ("", "_err")
    }
