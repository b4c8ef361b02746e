"""From native to gridded collections: every row resampled onto one grid, flux conserving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.arguments import number, shown
from campfire.collection.blockwise import (
    attrs_like,
    check_collection,
    flam_of,
    is_lazy,
    over_rows,
    power_coordinate,
    steady,
)
from campfire.collection.coords import gratings_of
from campfire.collection.covariance import (
    CORRELATED,
    band_width,
    correlations,
    fit_bands,
    longest_row,
    pixel_reach,
    row_matrices,
    row_wavelength,
)
from campfire.convert import append_history, banded
from campfire.convert.dataset import REST_WAVELENGTH
from campfire.errors import ValidationError
from campfire.kernels.grid_pieces import cut
from campfire.kernels.grids import PixelBounds, check_grid, good_pixels, pixel_bounds, rising, shared_grid
from campfire.kernels.overlap import resample_matrix
from campfire.kernels.resample import resample
from campfire.schema import GRIDDED, SPECTRUM, PixelDQ
from campfire.units import to_micron

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.kernels.covariance import Covariance
    from campfire.typing import FloatArray

__all__ = [
    "GRID_HINT",
    "GRID_OUTPUTS",
    "common_grid",
    "flam_variables",
    "log_grid",
    "resample_dataset",
    "resample_rows",
]

GRID_HINT = "pass an array of microns, or ('log', low, high, R)"
_MOST_PIXELS = 100_000
_FLOAT = np.dtype(np.float64)
GRID_OUTPUTS: dict[str, np.dtype[Any]] = {"fnu": _FLOAT, "fnu_err": _FLOAT, "dq": np.dtype(np.uint8)}


def log_grid(grid: Any, name: str) -> Any:
    """Return even steps in ln(wavelength) for ``("log", low, high, R)``, 1 / R each; anything else as it is.

    Raises
    ------
    ValidationError
        For a tuple that is not of that form, or far too many pixels.

    Examples
    --------
    >>> log_grid(("log", 0.3, 0.6, 2000.0), "grid").size
    1387
    """
    if not isinstance(grid, tuple | list) or not any(isinstance(item, str) for item in grid):
        return grid
    if len(grid) != 4 or grid[0] != "log":
        raise ValidationError(f"{name} is {shown(grid)}", hint=GRID_HINT)
    low, high = (number(to_micron(end), name, above=0) for end in grid[1:3])
    power = number(grid[3], f"R of {name}", above=1)
    count = int(np.floor(np.log(high / low) * power * (1 + 1e-12))) + 1
    if not 2 <= count <= _MOST_PIXELS:
        raise ValidationError(f"{name} is {shown(grid)}: {count} pixels", hint=f"2 to {_MOST_PIXELS} pixels")
    return np.asarray(low * np.exp(np.arange(count) / power))


def common_grid(ds: xr.Dataset) -> FloatArray:
    """Return the grid that a collection takes by itself, microns.

    That of the row with most pixels (the first of several), which is also what a stack takes; the grid it is
    on already, where it is gridded.
    """
    check_collection(ds)
    return row_wavelength(ds, longest_row(ds))


class RowsOnGrid(NamedTuple):
    """Rows after resampling, shape (spectrum, m).

    ``lags`` (spectrum, m, lag) is the covariance of rows of independent pixels, where asked for;
    ``correlated`` that of the others.
    """

    fnu: FloatArray
    fnu_err: FloatArray
    dq: NDArray[np.uint8]
    lags: FloatArray | None
    correlated: list[Covariance] | None


def resample_rows(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    grid: FloatArray,
    former: Sequence[Covariance] | None = None,
    *,
    covariance: bool = False,
    least_lags: int = 1,
) -> RowsOnGrid:
    """Resample rows (numpy) onto ``grid``; pixels with any bit in ``dq`` are not used.

    A pixel without a result carries the bits of the input under it, besides ``NONFINITE_FLUX`` and
    ``BAD_ERROR``; ``OUTSIDE`` where less than half of it is covered by the row.

    Parameters
    ----------
    wavelength
        Microns, increasing: shape (n,), or (spectrum, n) with NaN after the last pixel of each row.
    fnu, fnu_err, dq
        Shape (spectrum, n).
    grid
        Pixel centres of the output in microns, shape (m,).
    former
        Covariance of the pixels of each row, where they are not independent; 0 for those not good.
    covariance
        Whether that of rows of independent pixels is to be known.
    least_lags
        For how many lags at least.
    """
    if wavelength.shape[-1] > 1:
        wavelength = shared_grid(wavelength)
    wavelength, fnu, fnu_err, dq = steady(wavelength, fnu, fnu_err, dq)
    masked = dq != 0
    wanted = covariance and former is None
    result = resample(wavelength, fnu, fnu_err, grid, mask=masked, covariance=wanted, least_lags=least_lags)
    error, correlated = result.error, None
    if former is not None:
        good = good_pixels(fnu, fnu_err, masked)
        correlated = list(_again(wavelength, good, former, grid))
        spread = [matrix.diagonal() for matrix in correlated]
        error = np.where(result.mask, np.nan, np.sqrt(np.maximum(spread, 0.0)))
    bits = np.zeros(result.mask.shape, dtype=np.uint8)
    if result.mask.any():
        bits = np.where(result.mask, _bits_under(wavelength, dq, grid), bits)
    return RowsOnGrid(result.flux, error, bits, result.covariance, correlated)


def _bits_under(wavelength: NDArray[Any], dq: NDArray[np.uint8], grid: FloatArray) -> NDArray[np.uint8]:
    """Return the bits that pixels of the grid get where they have no result."""
    pixels, bounds = PixelBounds(*np.atleast_2d(*pixel_bounds(wavelength))), pixel_bounds(grid)
    low, high = np.maximum(bounds.low, pixels.low[:, :1]), np.minimum(bounds.high, pixels.high[:, -1:])
    covered = high - low
    if pixels.apart.any():  # gaps are looked for as if they were pixels
        gaps = PixelBounds(pixels.high[:, :-1], pixels.low[:, 1:])
        pieces = cut(gaps, bounds, pixels.apart)
        covered = covered - pieces.sum(pieces.width).reshape(len(gaps.low), -1)
    outside = covered < 0.5 * bounds.width
    outside = outside | np.all(dq & PixelDQ.OUTSIDE, axis=1, keepdims=True)
    bits = np.where(outside, np.uint8(PixelDQ.OUTSIDE), np.uint8(0))
    bad = (dq != 0) & (dq != PixelDQ.OUTSIDE)
    if bad.any():
        pieces = cut(PixelBounds(*np.broadcast_arrays(*pixels, dq)[:2]), bounds, bad)
        np.bitwise_or.at(bits.reshape(-1), pieces.row, dq.ravel()[pieces.column])
    return bits | np.uint8(PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR)


def _again(
    wavelength: NDArray[Any], good: NDArray[np.bool_], former: Sequence[Covariance], grid: FloatArray
) -> Iterator[Covariance]:
    """Yield the covariance (m, m) of every row after resampling."""
    for k, covariance in enumerate(former):
        wave = wavelength if wavelength.ndim == 1 else wavelength[k]
        inside = np.flatnonzero(np.isfinite(wave))
        matrix, _, _ = resample_matrix(wave[inside], grid, good[k, inside])
        yield covariance.at(inside).transformed(matrix)


def _resample_block(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    *known: NDArray[Any],
    grid: FloatArray,
    width: int = 0,
    n_modes: int = 0,
) -> dict[str, NDArray[Any]]:
    """Return what :func:`resample_rows` does as arrays, covariances as ``width`` bands and as modes.

    ``known`` is the covariance of pixels that are not independent, as :func:`correlations` has it.
    """
    shape = (len(fnu), grid.size)
    former = row_matrices(*known, good=good_pixels(fnu, fnu_err, dq != 0)) if known else None
    found = resample_rows(
        wavelength, fnu, fnu_err, dq, grid, former, covariance=width > 0, least_lags=max(width, 1)
    )
    fields: dict[str, NDArray[Any]] = {"fnu": found.fnu, "fnu_err": found.fnu_err, "dq": found.dq}
    if width:
        fields["fnu_cov"] = np.zeros((*shape, width)) if found.lags is None else fit_bands(found.lags, width)
        for k, matrix in enumerate(found.correlated or ()):
            fields["fnu_cov"][k] = fit_bands(banded(matrix.near), width)
    if n_modes:
        fields["fnu_modes"] = np.zeros((*shape, n_modes))
        _, signs, labels = known
        for k, matrix in enumerate(found.correlated or ()):
            fields["fnu_modes"][k] = matrix.in_slots(signs[k], labels[k].tolist())
    return fields


def resample_dataset(
    ds: xr.Dataset, grid: ArrayLike, reference: FloatArray | None = None, *, covariance: bool = True
) -> xr.Dataset:
    """Bring a collection onto one grid; lazy stays lazy.

    Parameters
    ----------
    ds
        A collection, native or gridded.
    grid
        Pixel centres in microns (or a Quantity), shape (m,), which may decrease (the result increases); or
        ``("log", low, high, R)``.
    reference
        The wavelengths of the row with most pixels, where they are known already.
    covariance
        Whether the result has ``fnu_cov``. Modes of calibrated collections are kept in any case.

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
    from campfire.convert.wavelength_index import spectral_coordinates

    check_collection(ds)
    if isinstance(grid, str):
        raise ValidationError(f"grid={grid!r}", hint=f"None, 'common'; or {GRID_HINT}")
    centres = to_micron(log_grid(grid, "grid"))
    centres = check_grid(centres[rising(centres)], "grid")
    known = correlations(ds)
    width = _width(ds, centres, reference) if covariance else 0
    n_modes = ds.sizes["mode"] if "fnu_modes" in ds else 0
    kinds: dict[str, np.dtype[Any]] = {}
    if covariance:
        kinds["fnu_cov"] = np.dtype((np.float64, (width,)))
    if n_modes:
        kinds["fnu_modes"] = np.dtype((np.float64, (n_modes,)))
    groups = [GRID_OUTPUTS | kinds]
    if is_lazy(ds):  # covariances are not made unless they are asked for
        groups = [GRID_OUTPUTS, *({name: kind} for name, kind in kinds.items())]
    fields: dict[str, Any] = {}
    for group in groups:
        function = partial(
            _resample_block,
            grid=centres,
            width=width if "fnu_cov" in group else 0,
            n_modes=n_modes if "fnu_modes" in group else 0,
        )
        fields |= over_rows(ds, function, group, centres.size, *known)
    gone = {"pixel", "wavelength", "lag"}
    result = ds.drop_vars(
        [
            name
            for name, values in ds.variables.items()
            if name == "n_pixels" or gone.intersection(values.dims)
        ]
    )
    wave_attrs = attrs_like(ds, "wavelength")
    power: dict[str, Any] = {}
    if wave_attrs["long_name"] != REST_WAVELENGTH:  # where wavelengths are not those of the disperser
        power = power_coordinate(gratings_of(ds), centres, ds.variables["fnu"].chunksizes.get("spectrum"))
    coords: dict[str, Any] = {"wavelength": (SPECTRUM, centres, wave_attrs), **power}
    variables: dict[str, Any] = {name: (GRIDDED, fields[name], attrs_like(ds, name)) for name in GRID_OUTPUTS}
    if covariance:
        variables["fnu_cov"] = (CORRELATED, fields["fnu_cov"], attrs_like(ds, "fnu_cov"))
        # an index, so that collections of different widths can be joined
        coords["lag"] = ("lag", np.arange(width), {"long_name": "distance of two pixels"})
    if n_modes:
        variables["fnu_modes"] = ((*GRIDDED, "mode"), fields["fnu_modes"], attrs_like(ds, "fnu_modes"))
    result = result.assign_coords(spectral_coordinates(coords)).assign(variables)
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
