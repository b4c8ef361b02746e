"""To LiMe (Fernández et al. 2024): ``lime.Spectrum(**to_lime(spectrum))``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campfire.handoffs.prepared import ANGSTROM, Inputs, prepare

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike

__all__ = ["to_lime"]


def to_lime(
    spectrum: SpectrumLike, *, redshift: float | None = None, resolving_power: ArrayLike | None = None
) -> Inputs:
    """Return the arguments of ``lime.Spectrum``.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum, as observed.
    redshift
        That of the spectrum where it is not given. Without one LiMe would take 0.
    resolving_power
        Wavelength over FWHM, one number or one a pixel, where it is not that of the disperser.

    Returns
    -------
    Inputs
        ``input_wave`` (angstrom, vacuum, observed), ``input_flux`` and ``input_err`` (f_lambda and its
        1-sigma error, erg s-1 cm-2 angstrom-1), ``pixel_mask`` (True for pixels to be left out),
        ``redshift``, ``norm_flux`` (a power of ten, for LiMe's fits of fluxes of 1e-20 do not converge),
        ``res_power`` (of lines as they are in pixels, at whose centres LiMe fits the profile) and the units,
        shape (n,). ``beside["lines_frame"]`` has what ``spectrum.retrieve.lines_frame`` needs: LiMe's lines
        are in air unless they are asked for in vacuum.

    Raises
    ------
    ValidationError
        If the redshift or the resolving power is not known, or the spectrum is in the rest frame or relative.

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> flux, error = [3.0, np.nan, 4.0], [0.1, 0.1, 0.1]
    >>> spec = SpectrumData([2.0, 2.1, 2.2], flux, error, {}, "PRISM", "a", redshift=2.0)
    >>> inputs = to_lime(spec)
    >>> inputs["pixel_mask"], inputs["norm_flux"]
    (array([False,  True, False]), 1e-19)
    """
    one = prepare(spectrum)
    z = one.redshift(redshift, "LiMe would take it to be 0")
    flux, error = one.flam()
    typical = float(np.median(np.maximum(np.abs(flux), error)[one.good]))
    arguments = {
        "input_wave": one.wavelength * ANGSTROM,
        "input_flux": flux,
        "input_err": error,
        "redshift": z,
        "norm_flux": float(f"1e{int(np.floor(np.log10(typical)))}"),
        "res_power": one.resolution(resolving_power, pixels=1),
        "units_wave": "AA",
        "units_flux": "FLAM",
        "pixel_mask": ~one.good,
        "id_label": one.data.spectrum_id or None,
    }
    return one.inputs("lime", arguments, z, lines_frame={"vacuum_waves": True})
