"""Synthetic photometry of spectra."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from campfire.analysis.frames import check_frames
from campfire.analysis.inputs import as_spectrum, good_covariance
from campfire.errors import CampfireWarning, ValidationError
from campfire.formats.bandpasses import resolve_band
from campfire.kernels.bandpass import MIN_COVERAGE, band_fluxes
from campfire.kernels.grids import check_grid, rising
from campfire.text import text_variable
from campfire.units import FNU_UNIT, RELATIVE, WAVE_UNIT, to_microjansky, to_micron

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike
    from campfire.kernels.bandpass import Bandpass
    from campfire.typing import BandpassLike, FloatArray

__all__ = ["band_photometry", "synthetic_photometry"]


def synthetic_photometry(
    wavelength: ArrayLike,
    fnu: ArrayLike,
    fnu_err: ArrayLike | None,
    band: str | BandpassLike,
    *,
    min_coverage: float = MIN_COVERAGE,
) -> tuple[float, float]:
    """Measure the AB flux density of a spectrum in one band.

    It is the mean of f_nu weighted by T / lambda, T the photon-counting throughput, over the good pixels of
    the band: those with a finite flux and a finite positive error.

    Parameters
    ----------
    wavelength
        Pixel centres, increasing or decreasing, shape (n,): microns, or a Quantity.
    fnu, fnu_err
        Flux density and its 1-sigma error, shape (n,): microjansky, or a Quantity. Errors that are None or
        all zero say that the spectrum is a model without noise.
    band
        Name of a band (``"f444w"``), or an object with ``name``, ``wavelength`` (um) and ``throughput``.
    min_coverage
        Least fraction of the band's throughput that has to lie on good pixels.

    Returns
    -------
    flux, err : float
        Microjansky; (nan, nan), with a ``CampfireWarning``, where the coverage is less. Errors of pixels are
        taken as independent; :func:`band_photometry` uses the covariance of a spectrum.

    Raises
    ------
    ValidationError
        For a band without a curve, arrays that do not fit together, or wavelengths in no order.

    Examples
    --------
    >>> wave = np.linspace(0.6, 5.3, 400)
    >>> flux, err = synthetic_photometry(wave, np.full(400, 2.0), np.full(400, 0.1), "f444w")
    >>> round(flux, 6), round(err, 4)
    (2.0, 0.0102)
    """
    curve = resolve_band(band)
    wave = to_micron(wavelength)
    order = rising(wave)
    wave = check_grid(wave[order])
    flux = to_microjansky(fnu, wavelength)
    noiseless = fnu_err is None or not np.any(np.asarray(fnu_err))
    error = np.ones_like(flux) if fnu_err is None or noiseless else to_microjansky(fnu_err, wavelength)
    if np.shape(flux) != wave.shape or np.shape(error) != wave.shape:
        raise ValidationError(
            f"wavelength has shape {wave.shape}, fnu {np.shape(flux)}, fnu_err {np.shape(error)}",
            hint="pass three arrays of one length",
        )
    result = band_fluxes(wave, flux[order], error[order], [curve], min_coverage=min_coverage)
    if np.isnan(result.flux[0]):
        warnings.warn(
            f"only {result.coverage[0]:.1%} of band {curve.name!r} on good pixels; {min_coverage:.0%} needed",
            CampfireWarning,
            stacklevel=2,
        )
    elif noiseless:
        return float(result.flux[0]), 0.0
    return float(result.flux[0]), float(result.error[0])


def band_photometry(
    spectrum: SpectrumLike,
    bands: str | BandpassLike | Sequence[str | BandpassLike],
    *,
    min_coverage: float = MIN_COVERAGE,
) -> xr.Dataset:
    """Measure a spectrum in several bands, with its mask and covariance.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum.
    bands
        Names of bands, or objects with ``name``, ``wavelength`` (um) and ``throughput``.
    min_coverage
        Least fraction of a band's throughput that has to lie on good pixels.

    Returns
    -------
    xarray.Dataset
        ``flux``, ``flux_err`` (microjansky, of relative spectra ``1``; NaN where the coverage is short) and
        ``coverage`` over ``band``, with ``pivot`` (um), ``filter_id`` and ``source`` of every curve.

    Raises
    ------
    ValidationError
        For a band without a curve, or none at all, and for a spectrum in the rest frame.

    Examples
    --------
    >>> from campfire.models import SpectrumData
    >>> wave = np.linspace(0.6, 5.3, 400)
    >>> spec = SpectrumData(wave, np.full(400, 2.0), np.full(400, 0.1), {}, "PRISM", "demo")
    >>> band_photometry(spec, ["f200w", "f444w"]).flux.values.round(6)
    array([2., 2.])
    """
    import xarray as xr

    curves = resolve_bands(bands)
    data = as_spectrum(spectrum)
    (frame,) = check_frames([data], "synthetic photometry")
    result = band_fluxes(
        data.wavelength,
        data.fnu,
        data.fnu_err,
        curves,
        mask=data.mask,
        covariance=good_covariance(data),
        min_coverage=min_coverage,
    )

    unit = RELATIVE if frame.relative else FNU_UNIT

    def variable(values: FloatArray, units: str | None, text: str) -> Any:
        return ("band", values, ({"units": units} if units else {}) | {"long_name": text})

    return xr.Dataset(
        {
            "flux": variable(result.flux, unit, "synthetic flux density f_nu"),
            "flux_err": variable(result.error, unit, "1-sigma error of flux"),
            "coverage": variable(result.coverage, None, "fraction of the throughput on good pixels"),
        },
        coords={
            "band": text_variable("band", [c.name for c in curves]),
            "pivot": variable(np.array([c.pivot for c in curves]), WAVE_UNIT, "pivot wavelength"),
            "filter_id": text_variable("band", [c.filter_id for c in curves]),
            "source": text_variable("band", [c.source for c in curves]),
        },
    )


def resolve_bands(bands: str | BandpassLike | Sequence[str | BandpassLike]) -> list[Bandpass]:
    """Return the curves of one or several bands.

    Raises
    ------
    ValidationError
        If there is none, or one has no curve.
    """
    single = isinstance(bands, str) or hasattr(bands, "throughput")
    many = [bands] if single else list(cast("Sequence[str | BandpassLike]", bands))
    if not many:
        raise ValidationError("no bands", hint="pass at least one band name or curve")
    return [resolve_band(cast("str | BandpassLike", band)) for band in many]
