"""Spectra on another grid: one, or all of a collection, by the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campfire.analysis.inputs import as_grid, as_spectrum, good_covariance, warn_apart, with_history
from campfire.arguments import truth
from campfire.collection.gridding import common_grid, resample_dataset, resample_rows
from campfire.convert.covariance import from_banded
from campfire.models import SpectrumData
from campfire.schema import PixelDQ

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csr_array

    from campfire.analysis.inputs import SpectrumLike
    from campfire.kernels.covariance import Covariance

__all__ = ["resample_collection", "resample_one", "resample_spectrum"]


def resample_spectrum(spectrum: SpectrumLike, grid: ArrayLike, *, covariance: bool = False) -> SpectrumData:
    """Bring a spectrum onto another wavelength grid, conserving the integral of f_nu over wavelength.

    Pixel edges lie midway between centres. An output pixel is the mean of the good input under it, weighted
    by overlap, and is masked where less than half of it is covered by good input. Resample once, from the
    original: every step smooths, and correlates neighbours (the header's HISTORY keeps count).

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum.
    grid
        Pixel centres of the output, shape (m,): microns, or a Quantity. They may decrease, as may those of
        the spectrum; the result increases. Or ``("log", low, high, R)``: even steps in ln(wavelength), 1 / R
        each.
    covariance
        Attach the covariance of output pixels (microjansky squared). A spectrum that has one already keeps
        it, resampled, in any case.

    Returns
    -------
    SpectrumData
        On the grid, float64; f_lambda follows from the resampled f_nu.

    Raises
    ------
    ValidationError
        For a grid in no order, or something that is not one spectrum.

    Warns
    -----
    CampfireWarning
        For a grid that lies outside the spectrum.

    Examples
    --------
    >>> spec = SpectrumData([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 5.0, 7.0], np.ones(4), {}, "PRISM", "demo")
    >>> resample_spectrum(spec, [1.5, 3.5]).fnu
    array([2., 6.])
    """
    covariance = truth(covariance, "covariance")
    data = as_spectrum(spectrum)
    bits = data.mask * np.uint8(PixelDQ.FLAGGED_IN_FILE)
    return resample_one(data, bits, grid, covariance=covariance)[0]


def resample_one(
    data: SpectrumData, dq: NDArray[np.uint8], grid: ArrayLike, *, covariance: bool
) -> tuple[SpectrumData, NDArray[np.uint8]]:
    """Resample a spectrum as the one row of a collection; see :func:`resample_spectrum`.

    Parameters
    ----------
    data
        As :func:`campfire.analysis.inputs.as_spectrum` returns it.
    dq
        Bits of its pixels, shape (n,).
    grid, covariance
        As there.

    Returns
    -------
    SpectrumData
        The result.
    numpy.ndarray
        Bits of its pixels.
    """
    centres = as_grid(grid, "grid")
    former = good_covariance(data)
    rows = resample_rows(
        np.asarray(data.wavelength),
        data.fnu[None],
        data.fnu_err[None],
        np.asarray(dq)[None],
        centres,
        None if former is None else [former],
        covariance=covariance,
    )
    matrix: csr_array | Covariance | None = None
    if rows.correlated is not None:
        matrix = rows.correlated[0].plain
    elif rows.lags is not None:
        matrix = from_banded(rows.lags[0])
    mask = rows.dq[0] != 0
    if mask.all() and not data.mask.all():
        covered = data.wavelength[~data.mask]
        warn_apart(centres, float(covered[0]), float(covered[-1]), stacklevel=4)
    power = data.resolving_power
    line = f"resampled from {len(data)} to {len(centres)} pixels, conserving flux"
    result = SpectrumData(
        centres,
        rows.fnu[0],
        rows.fnu_err[0],
        with_history(data.header, line),
        data.grating,
        data.spectrum_id,
        fnu_units=data.fnu_units,
        flam_units=data.flam_units,
        mask=mask,
        redshift=data.redshift,
        covariance=matrix,
        resolving_power=None if power is None else np.interp(centres, data.wavelength, power),
    )
    return result, rows.dq[0]


def resample_collection(
    ds: xr.Dataset, grid: ArrayLike | str = "common", *, covariance: bool = True
) -> xr.Dataset:
    """Bring a collection onto one grid, conserving the integral of f_nu over wavelength.

    Parameters
    ----------
    ds
        A collection; one resampled before is smoothed and correlated again, so go back to the native one.
    grid
        Pixel centres in microns (or a Quantity), shape (m,), which may decrease (the result increases);
        ``"common"`` takes the wavelengths of the row with most pixels, ``("log", low, high, R)`` even steps
        in ln(wavelength), 1 / R each.
    covariance
        Whether the result has ``fnu_cov``, without which pixels count as independent later on; of a lazy
        collection it costs nothing until it is used.

    Returns
    -------
    xarray.Dataset
        Dimensions (spectrum, wavelength), float64; lazy if ``ds`` is. ``fnu_cov`` (spectrum, wavelength, lag)
        is the covariance of pixels i and i + lag, microjansky squared.

    Raises
    ------
    ValidationError
        For a grid in no order, or a Dataset that is no collection.
    """
    covariance = truth(covariance, "covariance")
    centres = common_grid(ds) if isinstance(grid, str) and grid == "common" else grid
    return resample_dataset(ds, centres, covariance=covariance)
