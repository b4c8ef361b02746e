"""To redrock (Bailey et al.; Anand et al. 2024): ``redrock.targets.Spectrum(**to_redrock(spectrum))``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campfire.handoffs.prepared import ANGSTROM, Inputs, prepare
from campfire.kernels.lsf import FWHM_PER_SIGMA, smoothing_matrix

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike

__all__ = ["FLUX_UNIT", "to_redrock"]

FLUX_UNIT = 1e-17
"""Unit of f_lambda in DESI, and so in redrock: erg s-1 cm-2 angstrom-1."""


def to_redrock(
    spectrum: SpectrumLike,
    *,
    redshift: float | None = None,
    resolving_power: ArrayLike | None = None,
) -> Inputs:
    """Return the arguments of ``redrock.targets.Spectrum``.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum, as observed.
    redshift
        That of the spectrum where it is not given; redrock finds it, and it is only kept in ``origin``.
    resolving_power
        Wavelength over FWHM, one number or one a pixel, where it is not that of the disperser.

    Returns
    -------
    Inputs
        ``wave`` (angstrom, vacuum, observed), ``flux`` and ``ivar`` (f_lambda in 1e-17 erg s-1 cm-2
        angstrom-1, and its inverse variance, 0 for pixels that are not good), ``R`` (the resolution matrix
        that redrock multiplies models averaged over pixels with, ``scipy.sparse.dia_matrix``, rows adding up
        to 1) and ``band`` (the grating).

    Raises
    ------
    ValidationError
        If the resolving power is not known, or the spectrum is in the rest frame or relative.

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> spec = SpectrumData([2.0, 2.1, 2.2], [3.0, np.nan, 4.0], [0.1, 0.1, 0.1], {}, "PRISM", "a")
    >>> inputs = to_redrock(spec)
    >>> inputs["ivar"].round(), inputs["R"].toarray().sum(axis=1)
    (array([1780240.,       0., 2606450.]), array([1., 1., 1.]))
    """
    from scipy.sparse import dia_matrix

    one = prepare(spectrum)
    sigma = one.wavelength / one.resolution(resolving_power) / FWHM_PER_SIGMA
    everywhere = np.ones_like(one.good)  # models are known in pixels that are not good, too
    flux, error = one.flam()
    arguments = {
        "wave": one.wavelength * ANGSTROM,
        "flux": flux / FLUX_UNIT,
        "ivar": np.where(one.good, (FLUX_UNIT / error) ** 2, 0.0),
        "R": dia_matrix(smoothing_matrix(one.wavelength, sigma, everywhere)),
        "band": one.data.grating.lower() or None,
    }
    known = one.data.redshift if redshift is None else one.redshift(redshift, "")
    return one.inputs("redrock", arguments, known)
