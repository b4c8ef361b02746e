"""What xarray makes of our Datasets, brought back to their form: dims in another order, masks as floats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.schema.variables import GRIDDED, NATIVE, SPECTRUM, PixelDQ

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["as_rows", "mended"]

_PIXEL = ("pixel",)


def mended(ds: xr.Dataset) -> xr.Dataset:
    """Return a Dataset with its dims in our order and its ``dq`` in integers; anything else as it is.

    ``isel(spectrum=0)`` leaves the pixels of one row with their padding, ``transpose`` changes the order,
    ``where``, ``reindex`` and ``pad`` make numbers with gaps out of integers. A pixel whose ``dq`` is a gap
    was left out by the user, and is flagged as such. Lazy stays lazy.

    Raises
    ------
    ValidationError
        For bits that were averaged or interpolated, as soon as they are looked at.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"fnu": ("wavelength", [1.0, 2.0]), "dq": ("wavelength", [0.0, np.nan])})
    >>> mended(ds).dq.values
    array([0, 4], dtype=uint8)
    """
    if "fnu" not in getattr(ds, "data_vars", ()):
        return ds
    dims = tuple(map(str, ds["fnu"].dims))
    if dims == _PIXEL and "wavelength" in ds.variables and ds["wavelength"].dims == _PIXEL:
        # one row of a native collection, isel(spectrum=0): without the padding it is a spectrum
        inside = np.isfinite(np.asarray(ds["wavelength"].values))
        ds = ds.isel(pixel=inside).swap_dims(pixel="wavelength").drop_vars("pixel", errors="ignore")
    for order in (NATIVE, GRIDDED):
        if dims != order and set(dims) == set(order):
            ds = ds.transpose(*order, ...)
    dq = ds.variables.get("dq")
    if dq is None or dq.dtype.kind != "f":
        return ds
    import xarray as xr

    whole = xr.apply_ufunc(_bits, ds["dq"], dask="parallelized", output_dtypes=[np.uint8], keep_attrs=True)
    return ds.assign(dq=whole)


def _bits(dq: Any) -> Any:
    gone = np.isnan(dq)
    kept = np.where(gone, 0, dq)
    if np.any((kept != np.floor(kept)) | (kept < 0) | (kept > 255)):
        raise ValidationError(
            "the bits of 'dq' were averaged or interpolated",
            hint="use .campfire.resample(grid), which keeps flux, errors and bits together",
        )
    return np.where(gone, np.uint8(PixelDQ.FLAGGED_IN_FILE), kept.astype(np.uint8))


def as_rows(ds: xr.Dataset) -> xr.Dataset:
    """Return a collection; of one spectrum a collection of that row.

    Examples
    --------
    >>> import xarray as xr
    >>> as_rows(xr.Dataset({"fnu": ("wavelength", [1.0, 2.0])})).fnu.dims
    ('spectrum', 'wavelength')
    """
    if tuple(map(str, ds["fnu"].dims)) != SPECTRUM:
        return ds
    shared = {"grating", "wavelength", "resolving_power"}
    labels = [name for name in ds.coords if name not in shared and name not in ds.indexes]
    return ds.reset_coords(labels).expand_dims("spectrum").set_coords(labels)
