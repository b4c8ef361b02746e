"""One spectrum on another grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campfire.analysis.inputs import as_grid, as_spectrum, good_covariance, warn_apart, with_history
from campfire.convert.covariance import from_banded
from campfire.kernels.overlap import resample_matrix
from campfire.kernels.resample import resample
from campfire.models import SpectrumData

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array

    from campfire.analysis.inputs import SpectrumLike
    from campfire.kernels.covariance import Covariance

__all__ = ["resample_spectrum"]


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
        the spectrum; the result increases.
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
    data = as_spectrum(spectrum)
    centres = as_grid(grid, "grid")
    matrix: csr_array | Covariance | None = None
    former = good_covariance(data)
    if former is None:
        result = resample(
            data.wavelength, data.fnu, data.fnu_err, centres, mask=data.mask, covariance=covariance
        )
        flux, error, mask = result.flux, result.error, result.mask
        if result.covariance is not None:
            matrix = from_banded(result.covariance)
    else:
        transform, mask, _ = resample_matrix(data.wavelength, centres, ~data.mask)
        matrix = former.transformed(transform)
        flux = np.where(mask, np.nan, transform @ np.where(data.mask, 0.0, data.fnu))
        error = np.where(mask, np.nan, np.sqrt(np.maximum(matrix.diagonal(), 0.0)))
    if mask.all() and not data.mask.all():
        covered = data.wavelength[~data.mask]
        warn_apart(centres, float(covered[0]), float(covered[-1]), stacklevel=3)
    power = data.resolving_power
    line = f"resampled from {len(data)} to {len(centres)} pixels, conserving flux"
    return SpectrumData(
        centres,
        flux,
        error,
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
