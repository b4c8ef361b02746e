"""To Prospector (Johnson et al. 2021): the dictionary ``obs`` that its models and likelihoods take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.formats.bandpasses import load_bandpass
from campfire.handoffs.photometry import measured
from campfire.handoffs.prepared import ANGSTROM, KM_S, Inputs, prepare
from campfire.installation import missing_extra
from campfire.kernels.lsf import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike
    from campfire.models import Photometry

__all__ = ["MICROJANSKY_PER_MAGGIE", "to_prospector"]

MICROJANSKY_PER_MAGGIE = 3.631e9
"""One maggie is 3631 Jy."""


def to_prospector(
    spectrum: SpectrumLike,
    photometry: Photometry | None = None,
    bands: Iterable[str] | None = None,
    *,
    redshift: float | None = None,
    resolving_power: ArrayLike | None = None,
) -> Inputs:
    """Return the dictionary ``obs`` of Prospector 1.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum, as observed.
    photometry
        Broadband fluxes to be fitted besides; astro-sedpy, as Prospector uses it, has to be installed.
    bands
        Which of its bands; those that are not measured are left out in any case.
    redshift
        That of the spectrum where it is not given; it goes into the model, and is not needed here.
    resolving_power
        Wavelength over FWHM, one number or one a pixel, where it is not that of the disperser.

    Returns
    -------
    Inputs
        ``wavelength`` (angstrom, vacuum, observed), ``spectrum`` and ``unc`` (maggies, 1 sigma), ``mask``
        (True for pixels to be fitted); ``filters`` (of sedpy), ``maggies``, ``maggies_unc`` and
        ``phot_mask``, None without photometry. Shape (n,), all pixels. ``beside`` has what smooths the
        models: ``sigma_km_s`` (standard deviation of an unresolved line, km/s: the ``resolution`` of a
        ``Spectrum`` of Prospector 2, whose other arguments have the same values by other names; that version
        is not on PyPI, and this is not tested with it) and ``lsf_angstrom`` (the same in observed angstrom).
        Both contain the width of the pixels, at whose centres Prospector takes its models.

    Raises
    ------
    ValidationError
        If the resolving power is not known, the spectrum is in the rest frame or relative, or a band has no
        curve.
    ImportError
        If there is photometry, but no astro-sedpy.

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> spec = SpectrumData([2.0, 2.1, 2.2], [3.631, np.nan, 4.0], [0.1, 0.1, 0.1], {}, "PRISM", "a")
    >>> inputs = to_prospector(spec)
    >>> inputs["mask"], inputs["spectrum"].round(12)
    (array([ True, False,  True]), array([1.000e-09, 0.000e+00, 1.102e-09]))
    """
    one = prepare(spectrum)
    power = one.resolution(resolving_power, pixels=1)
    wave = one.wavelength * ANGSTROM
    arguments: dict[str, Any] = {
        "wavelength": wave,
        "spectrum": one.fnu / MICROJANSKY_PER_MAGGIE,
        "unc": one.fnu_err / MICROJANSKY_PER_MAGGIE,
        "mask": one.good.copy(),
        "filters": None,
        "maggies": None,
        "maggies_unc": None,
        "phot_mask": None,
    }
    if photometry is not None:
        names, flux, error = measured(photometry, bands)
        arguments |= {
            "filters": [_sedpy_filter(name) for name in names],
            "maggies": flux / MICROJANSKY_PER_MAGGIE,
            "maggies_unc": error / MICROJANSKY_PER_MAGGIE,
            "phot_mask": np.ones(len(names), dtype=bool),
        }
    known = one.data.redshift if redshift is None else one.redshift(redshift, "")
    return one.inputs(
        "prospector",
        arguments,
        known,
        sigma_km_s=KM_S / power / FWHM_PER_SIGMA,
        lsf_angstrom=wave / power / FWHM_PER_SIGMA,
    )


def _sedpy_filter(name: str) -> Any:
    """Return the curve of a band as a filter of sedpy; ours are photon-counting, as its own."""
    try:
        from sedpy.observate import Filter
    except ImportError as err:
        raise missing_extra("filters of Prospector need astro-sedpy", "deploy") from err
    curve = load_bandpass(name)
    return Filter(kname=name, data=(curve.wavelength * ANGSTROM, curve.throughput))
