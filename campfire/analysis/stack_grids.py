"""Which rows of a stack are measurements of their own, and the grid that holds them all."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from campfire.collection.blockwise import row_arrays
from campfire.collection.covariance import frames
from campfire.errors import CampfireWarning
from campfire.kernels.grids import pixel_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from campfire.typing import FloatArray

__all__ = ["covering_grid", "distinct_rows"]

_NODES = 8192
_MOST_PIXELS = 8192  # what correlates all of them takes 0.5 GB
_SAME = 1e-6  # relative: float32 copies


def covering_grid(
    observed: FloatArray, redshift: FloatArray, low: FloatArray, high: FloatArray, *, stacklevel: int = 2
) -> FloatArray:
    """Return a grid in the rest frame from the first to the last good pixel of all rows.

    Its pixels are as wide as the narrowest there of all rows that reach to a wavelength.

    Parameters
    ----------
    observed
        Pixel centres of the row with most pixels, microns as observed.
    redshift
        Of every row; up to 64 of them are looked at for the width of pixels.
    low, high
        First and last wavelength of the good pixels of every row, microns in the rest frame.

    Warns
    -----
    CampfireWarning
        If that is more than 8192 pixels; the grid has as many then, and is coarser.

    Examples
    --------
    >>> ends = np.array([0.5, 0.25]), np.array([1.0, 0.5])
    >>> covering_grid(np.linspace(1.0, 2.0, 6), np.array([1.0, 3.0]), *ends).round(3)
    array([0.25, 0.3 , 0.35, 0.4 , 0.45, 0.5 , 0.6 , 0.7 , 0.8 , 0.9 , 1.  ])
    """
    width = pixel_bounds(observed).width
    nodes = np.geomspace(low.min(), high.max(), _NODES)
    step = np.full(_NODES, np.inf)
    for z in frames(redshift):
        own = observed / (1.0 + z)
        inside = (nodes >= own[0]) & (nodes <= own[-1])
        step[inside] = np.minimum(step[inside], np.interp(nodes[inside], own, width / (1.0 + z)))
    known = np.isfinite(step)
    density = 1.0 / np.interp(nodes, nodes[known], step[known])
    passed = np.concatenate([[0.0], np.cumsum(np.diff(nodes) * (density[1:] + density[:-1]) / 2)])
    n = int(np.ceil(passed[-1] - 1e-6)) + 1
    if n > _MOST_PIXELS:
        warnings.warn(
            f"a grid for all spectra, as fine as the finest, would have {n} pixels: it is coarser, with "
            f"{_MOST_PIXELS}; pass a grid for another range or sampling",
            CampfireWarning,
            stacklevel=stacklevel,
        )
        n = _MOST_PIXELS
    return np.asarray(np.interp(np.linspace(0.0, passed[-1], max(n, 2)), passed, nodes))


def distinct_rows(
    ds: xr.Dataset, names: Sequence[str], redshift: FloatArray | None, *, stacklevel: int = 2
) -> NDArray[np.intp]:
    """Return the rows without those that are there already: of one id, with the same wavelengths and fluxes.

    Of a lazy collection, rows whose ids repeat are read.

    Warns
    -----
    CampfireWarning
        If there are any; it names them.
    """
    rows: dict[str, list[int]] = {}
    for k, name in enumerate(names):
        if name:
            rows.setdefault(str(name), []).append(k)
    repeated = {name: found for name, found in rows.items() if len(found) > 1}
    again: dict[int, str] = {}
    for name, found in repeated.items():
        wave, fnu, *_ = row_arrays(ds[["fnu", "fnu_err", "dq"]].isel(spectrum=found).compute())
        wave = np.broadcast_to(wave, fnu.shape)
        for j in range(1, len(found)):
            for i in range(j):
                moved = redshift is None or redshift[found[i]] == redshift[found[j]]
                if found[i] not in again and moved and _same(wave[[i, j]], fnu[[i, j]]):
                    again[found[j]] = name
                    break
    if again:
        listed = list(dict.fromkeys(again.values()))
        warnings.warn(
            f"{len(again)} of {len(names)} spectra are there more than once, and counted once: "
            f"{', '.join(listed[:5])}{'...' if len(listed) > 5 else ''}",
            CampfireWarning,
            stacklevel=stacklevel,
        )
    return np.setdiff1d(np.arange(ds.sizes["spectrum"]), list(again))


def _same(wave: FloatArray, fnu: FloatArray) -> bool:
    """Tell whether two rows hold one measurement, whatever is masked in them."""
    both = np.isfinite(fnu[0]) & np.isfinite(fnu[1])
    agree = np.isclose(fnu[0], fnu[1], rtol=_SAME, atol=0.0) | ~both
    place = np.isclose(wave[0], wave[1], rtol=_SAME, atol=0.0, equal_nan=True)
    return bool(both.any() and agree.all() and place.all())
