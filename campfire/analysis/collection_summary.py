"""What a collection holds: spectra chosen by their labels or taken out, a summary, a picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.frames import frame_cards, frame_of
from campfire.analysis.inputs import as_spectra
from campfire.analysis.resampling import resample_collection
from campfire.arguments import number, text
from campfire.collection.blockwise import check_collection
from campfire.convert import append_history
from campfire.errors import ValidationError
from campfire.flags import parse_flags
from campfire.query.coerce import interval, qualities

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from campfire.models import SpectrumData

__all__ = [
    "collection_spectra",
    "plot_collection",
    "row_values",
    "select_spectra",
    "summarise",
]


def select_spectra(
    ds: xr.Dataset,
    *,
    dq_flags: object = None,
    min_snr: float | None = None,
    redshift_range: tuple[float | None, float | None] | None = None,
    redshift_quality: int | str | Iterable[int | str] | None = None,
) -> xr.Dataset:
    """Keep the spectra that meet every condition given; pixels are not looked at.

    Parameters
    ----------
    ds
        A collection.
    dq_flags
        Condition on the flags of the spectra: ``~DQFlags.CONTAMINATION``, a name, or a mask (any bit).
    min_snr
        Least ``signal_to_noise``.
    redshift_range
        (lowest, highest), both included; None leaves an end open.
    redshift_quality
        One or several codes (0 to 4) or names (``"secure"``).

    Returns
    -------
    xarray.Dataset
        The same collection with fewer rows, perhaps none. Unknown values meet no condition.

    Raises
    ------
    ValidationError
        For a condition on a coordinate that the collection does not have, an unknown flag or quality, a
        reversed range.
    """
    check_collection(ds)
    keep = np.ones(ds.sizes["spectrum"], dtype=bool)
    steps = []
    if dq_flags is not None:
        query = parse_flags(dq_flags)
        flags = row_values(ds, "dq_flags")
        known = np.isfinite(flags)
        keep &= known & query.matches(np.where(known, flags, 0).astype(np.int64))
        steps.append(f"dq_flags {query!r}")
    if min_snr is not None:
        min_snr = number(min_snr, "min_snr")
        keep &= row_values(ds, "signal_to_noise") >= min_snr
        steps.append(f"S/N >= {min_snr:g}")
    if redshift_range is not None:
        low, high = _range(redshift_range)
        redshift = row_values(ds, "redshift")
        keep &= (redshift >= low) & (redshift <= high)
        steps.append(f"redshift {low:g} to {high:g}")
    if redshift_quality is not None:
        codes = qualities("redshift_quality", redshift_quality)
        keep &= np.isin(row_values(ds, "redshift_quality"), codes)
        steps.append(f"redshift quality {', '.join(map(str, codes))}")
    if not steps:
        return ds
    chosen = ds.isel(spectrum=np.flatnonzero(keep))
    return append_history(chosen, f"selected {int(keep.sum())} of {keep.size} spectra: {'; '.join(steps)}")


def row_values(ds: xr.Dataset, name: str) -> NDArray[Any]:
    """Return a coordinate that has one value a row of a collection.

    Raises
    ------
    ValidationError
        If there is none of that name; the hint says which there are.
    """
    if "spectrum" not in ds.sizes:
        raise ValidationError("the Dataset of one spectrum", hint="this needs a collection")
    if name not in ds.coords or ds[name].dims != ("spectrum",):
        found = ", ".join(str(c) for c in ds.coords if ds[c].dims == ("spectrum",))
        raise ValidationError(f"the collection has no {name!r} a spectrum", hint=f"it has {found or 'none'}")
    return np.asarray(ds[name].values)


def _range(given: tuple[float | None, float | None]) -> tuple[float, float]:
    if given == (None, None):  # any, if it is known
        return -np.inf, np.inf
    low, high = interval("redshift_range", given)
    return -np.inf if low is None else low, np.inf if high is None else high


def collection_spectra(ds: xr.Dataset) -> list[SpectrumData]:
    """Return every spectrum of a collection as ``SpectrumData``, in order; computes what is lazy.

    The header is empty and f_lambda is computed from f_nu: pixels, ids and redshifts are what a collection
    holds.

    Raises
    ------
    ValidationError
        If it is no collection.
    """
    check_collection(ds)
    return as_spectra(ds) if ds.sizes["spectrum"] else []


def summarise(ds: xr.Dataset) -> dict[str, Any]:
    """Return what a collection holds, from its labels alone.

    Returns
    -------
    dict
        ``grating``, ``spectra``, ``objects``, ``pixels`` (of the longest row), ``state`` (``native`` or
        ``gridded``), ``lazy``, ``bytes`` (of the pixels, in memory), and ``redshift`` as (lowest, highest)
        where there is one.

    Raises
    ------
    ValidationError
        If it is no collection.
    """
    state = check_collection(ds)
    pixel = ds["fnu"]
    result: dict[str, Any] = {
        "grating": str(ds["grating"].item()) if "grating" in ds.coords else "",
        "spectra": ds.sizes["spectrum"],
        "objects": len(set(ds["object_id"].values.tolist())) if "object_id" in ds.coords else None,
        "pixels": pixel.shape[1],
        "state": "gridded" if state[1] == "wavelength" else "native",
        "lazy": pixel.chunks is not None,
        "bytes": int(sum(v.nbytes for v in ds.variables.values() if len(v.dims) > 1)),
    }
    if "redshift" in ds.coords:
        redshift = np.asarray(ds["redshift"].values, dtype=np.float64)
        known = redshift[np.isfinite(redshift)]
        result["redshift"] = (float(known.min()), float(known.max())) if known.size else None
    return result


def plot_collection(ds: xr.Dataset, *, ax: Axes | None = None, sort: str | None = "redshift") -> Axes:
    """Draw a collection as an image, one row a spectrum; a native one is resampled onto its common grid.

    Parameters
    ----------
    ds
        A collection; computed where it is lazy.
    ax
        Matplotlib axes; a new figure without them.
    sort
        Coordinate by which rows are sorted; None, or one that is not there, keeps their order.

    Raises
    ------
    ValidationError
        If it is no collection, or holds no spectra.
    """
    from campfire.plotting.static import draw_collection

    check_collection(ds)
    sort = None if sort is None else text(sort, "sort")
    if not ds.sizes["spectrum"]:
        raise ValidationError("a collection of no spectra", hint="there is nothing to draw")
    gridded = resample_collection(ds) if "pixel" in ds["fnu"].dims else ds
    good = gridded[["fnu", "dq"]].compute()
    sortable = sort is not None and sort in ds.coords and ds[sort].dims == ("spectrum",)
    order = np.asarray(ds[sort].values) if sortable else None
    name = str(ds["grating"].item()) if "grating" in ds.coords else ""
    return draw_collection(
        np.asarray(gridded["wavelength"].values),
        np.asarray(good["fnu"].where(good["dq"] == 0).values),
        order=order,
        order_label=sort or "",
        header=frame_cards(frame_of(ds)),
        title=" ".join([str(n := ds.sizes["spectrum"]), *name.split(), "spectrum" if n == 1 else "spectra"]),
        ax=ax,
    )
