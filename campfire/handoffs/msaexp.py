"""To msaexp (Brammer 2023): ``msaexp.spectrum.SpectrumSampler(**to_msaexp(spectrum))``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campfire.errors import ValidationError
from campfire.handoffs.prepared import Inputs, prepare

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike

__all__ = ["to_msaexp"]

# The filter that belongs to a disperser, for spectra whose header does not say it.
_FILTERS = {
    "PRISM": "CLEAR",
    "G140M": "F100LP",
    "G140H": "F100LP",
    "G235M": "F170LP",
    "G235H": "F170LP",
    "G395M": "F290LP",
    "G395H": "F290LP",
}


def to_msaexp(
    spectrum: SpectrumLike,
    *,
    redshift: float | None = None,
    resolving_power: ArrayLike | None = None,
) -> Inputs:
    """Return the argument of ``msaexp.spectrum.SpectrumSampler``, a table.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum, as observed.
    redshift
        That of the spectrum where it is not given; msaexp fits it, and it is only kept in ``origin``.
    resolving_power
        Wavelength over FWHM, one number or one a pixel, where it is not that of the disperser.

    Returns
    -------
    Inputs
        ``spec_input``: an ``astropy.table.Table`` with columns ``wave`` (um, vacuum, observed), ``flux`` and
        ``err`` (uJy, 1 sigma) and ``R`` (FWHM), whose ``meta`` has ``GRATING``, ``FILTER`` and ``SRCNAME``.
        msaexp knows pixels without data by a flux of exactly 0: pixels that are not good have that. It adds
        2 % of the flux to the errors (``sys_err``), and leaves out pixels with unusually small ones
        (``err_mask``, ``err_median_filter``), which are keywords of ``SpectrumSampler``.

    Raises
    ------
    ValidationError
        If the resolving power is not known, the spectrum is not of one NIRSpec disperser, or it is in the
        rest frame or relative.

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> spec = SpectrumData([2.0, 2.1, 2.2], [3.0, np.nan, 4.0], [0.1, 0.1, 0.1], {}, "PRISM", "a")
    >>> table = to_msaexp(spec)["spec_input"]
    >>> table.colnames, table["flux"].value.tolist(), table.meta["FILTER"]
    (['wave', 'flux', 'err', 'R'], [3.0, 0.0, 4.0], 'CLEAR')
    """
    from astropy.table import Column, Table

    one = prepare(spectrum)
    grating = one.data.grating.upper()
    if grating not in _FILTERS:
        raise ValidationError(
            f"the grating of {one.name} is {one.data.grating!r}",
            hint=f"msaexp needs one of {', '.join(_FILTERS)}",
        )
    # a good pixel may be exactly 0 too
    flux = np.where(one.good & (one.fnu == 0), np.finfo(np.float64).tiny, one.fnu)
    columns = [
        Column(one.wavelength, name="wave", unit="um"),
        Column(flux, name="flux", unit="uJy"),
        Column(one.fnu_err, name="err", unit="uJy"),
        Column(one.resolution(resolving_power), name="R", description="wavelength over FWHM"),
    ]
    filter_name = str(one.data.header.get("FILTER") or _FILTERS[grating]).upper()
    meta = {"GRATING": grating, "FILTER": filter_name, "SRCNAME": one.data.spectrum_id}
    known = one.data.redshift if redshift is None else one.redshift(redshift, "")
    return one.inputs("msaexp", {"spec_input": Table(columns, meta=meta)}, known)
