"""To jwspecfit (Rai 2026): ``jwspecfit.Spectrum(**to_jwspecfit(spectrum))``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.handoffs.prepared import Inputs, prepare

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike
    from campfire.typing import FloatArray

__all__ = ["to_jwspecfit"]


def to_jwspecfit(
    spectrum: SpectrumLike,
    *,
    redshift: float | None = None,
    resolving_power: ArrayLike | None = None,
) -> Inputs:
    """Return the arguments of ``jwspecfit.Spectrum``.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum, as observed.
    redshift
        That of the spectrum where it is not given; ``jwspecfit.fit_lines`` needs it.
    resolving_power
        Wavelength over FWHM, one number or one a pixel, where it is not that of the disperser.

    Returns
    -------
    Inputs
        ``wave_um`` (vacuum, observed), ``flux_ujy`` and ``err_ujy`` (1 sigma), ``grating``, ``z``, ``R`` (a
        function of wavelength in microns, of which jwspecfit alone would take 1000 for medium gratings) and
        ``meta``, the origin; shape (n,). jwspecfit has no mask and leaves out what is not finite: the flux of
        pixels that are not good is NaN.

    Raises
    ------
    ValidationError
        If the redshift or the resolving power is not known, or the spectrum is in the rest frame or relative.

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> flux, error = [3.0, 9.0, 4.0], [0.1, 0.0, 0.1]
    >>> spec = SpectrumData([2.0, 2.1, 2.2], flux, error, {}, "G235M", "a", redshift=2.0)
    >>> inputs = to_jwspecfit(spec)
    >>> inputs["flux_ujy"], inputs["R"](2.1).item()
    (array([ 3., nan,  4.]), 903.0)
    """
    one = prepare(spectrum)
    z = one.redshift(redshift, "jwspecfit fits lines at a redshift")
    arguments = {
        "wave_um": one.wavelength,
        "flux_ujy": np.where(one.good, one.fnu, np.nan),
        "err_ujy": one.fnu_err,
        "grating": one.data.grating or None,
        "z": z,
        "R": partial(_interpolated, one.wavelength, one.resolution(resolving_power)),
        "meta": dict(one.origin),
    }
    return one.inputs("jwspecfit", arguments, z)


def _interpolated(wavelength: FloatArray, power: FloatArray, at: Any) -> FloatArray:
    return np.asarray(np.interp(at, wavelength, power))
