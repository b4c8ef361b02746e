"""To bagpipes (Carnall et al. 2018): ``bagpipes.galaxy(**to_bagpipes(spectrum))``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.handoffs.photometry import measured
from campfire.handoffs.prepared import ANGSTROM, HUGE_ERROR, Inputs, prepare, to_air
from campfire.kernels.covariance import Covariance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike
    from campfire.models import Photometry
    from campfire.typing import PathInput

__all__ = ["to_bagpipes"]


def to_bagpipes(
    spectrum: SpectrumLike,
    photometry: Photometry | None = None,
    filters: Mapping[str, PathInput] | None = None,
    *,
    redshift: float | None = None,
    resolving_power: ArrayLike | None = None,
    covariance: bool = False,
) -> Inputs:
    """Return the arguments of ``bagpipes.galaxy``.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum, as observed.
    photometry
        Broadband fluxes to be fitted besides.
    filters
        Band -> file of its curve, as :func:`write_filters` returns; bands that are not here, or not
        measured, are left out.
    redshift
        That of the spectrum where it is not given. Only the correction to air depends on it, and weakly.
    resolving_power
        Wavelength over FWHM, one number or one a pixel, where it is not that of the disperser; a compact
        source has a higher one.
    covariance
        Hand over the covariance of the pixels (resampled, calibrated and stacked spectra have one) instead of
        the errors alone.

    Returns
    -------
    Inputs
        ``ID``, ``load_data``, ``spec_units``, ``phot_units``, ``spectrum_exists``, ``photometry_exists``,
        ``filt_list`` and ``input_spec_cov_matrix``. The spectrum is an array of wavelength in angstrom,
        f_lambda in erg s-1 cm-2 angstrom-1 and 1-sigma error, shape (n, 3), from the first to the last good
        pixel; pixels between them that are not good have bagpipes' error of 9.9e99. ``beside["R_curve"]``,
        shape (n, 2), belongs into ``model_components`` (``fit_instructions``).

    Raises
    ------
    ValidationError
        If the redshift or the resolving power is not known, the spectrum is in the rest frame or relative,
        or it has no covariance that is asked for; for photometry without ``filters``.

    Notes
    -----
    The models of bagpipes (BC03 with MILES, Cloudy) are in air above 2000 angstrom. Wavelengths are therefore
    handed over such that a source at redshift z has its lines at (1 + z) times their wavelengths in air: in
    vacuum, a fitted redshift would be too high by 0.00028 (1 + z).

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> flux, error = [3.0, np.nan, 4.0], [0.1, 0.1, 0.1]
    >>> spec = SpectrumData([2.0, 2.1, 2.2], flux, error, {}, "PRISM", "a", redshift=2.0)
    >>> inputs = to_bagpipes(spec)
    >>> inputs["load_data"]("a")[:, 2]
    array([7.49481145e-21, 9.90000000e+99, 6.19405905e-21])
    """
    one = prepare(spectrum)
    z = one.redshift(redshift, "the models of bagpipes are in air, which observed wavelengths follow by it")
    kept = one.trimmed
    wave = to_air(one.wavelength * ANGSTROM / (1 + z)) * (1 + z)
    flux, error = one.flam()
    table: Any = np.column_stack([wave, flux, error])[kept]
    power = one.resolution(resolving_power)
    if covariance:
        if one.data.pixel_covariance is None:
            raise ValidationError(f"{one.name} has no covariance", hint="leave covariance=True out")
        matrix = Covariance.of(one.data.pixel_covariance).good(one.good).scaled(one.flam_per_fnu).toarray()
        np.fill_diagonal(matrix, np.where(one.good, matrix.diagonal(), HUGE_ERROR**2))
        table = [table[:, :2], matrix[kept, kept]]
    bands: list[str] = []
    data: Any = table
    if photometry is not None:
        if not filters:
            raise ValidationError(
                "bagpipes reads the curves of the bands from files, and none are given",
                hint="pass filters=handoffs.write_filters(list(photometry), 'filters')",
            )
        bands, fluxes, errors = measured(photometry, filters or {})
        data = (table, np.column_stack([fluxes, errors]))
    arguments = {
        "ID": one.data.spectrum_id or "spectrum",
        "load_data": partial(_load, data),
        "spec_units": "ergscma",
        "phot_units": "mujy",
        "spectrum_exists": True,
        "photometry_exists": photometry is not None,
        "filt_list": [str((filters or {})[name]) for name in bands] or None,
        "input_spec_cov_matrix": covariance,
    }
    return one.inputs("bagpipes", arguments, z, R_curve=np.column_stack([wave, power])[kept])


def _load(data: Any, ID: str) -> Any:
    """Return copies, for bagpipes changes what it is given; a function of a module, so that it pickles."""
    if isinstance(data, tuple):
        return tuple(_load(part, ID) for part in data)
    return [part.copy() for part in data] if isinstance(data, list) else data.copy()
