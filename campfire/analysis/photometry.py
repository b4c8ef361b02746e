"""Synthetic photometry: of arrays, of one spectrum, of a collection, by the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.frames import check_frames
from campfire.analysis.inputs import as_spectrum, good_covariance
from campfire.arguments import number, shown
from campfire.collection.blockwise import check_collection, over_rows, steady
from campfire.collection.covariance import correlations, row_correlations, row_covariance, weighted_variance
from campfire.convert import append_history
from campfire.errors import CampfireWarning, ValidationError
from campfire.formats.bandpasses import resolve_band
from campfire.kernels.bandpass import MIN_COVERAGE, Bandpass, band_fluxes, band_weights
from campfire.kernels.grids import check_grid, good_pixels, rising
from campfire.schema import pixel_dq
from campfire.text import text_variable
from campfire.units import FNU_UNIT, RELATIVE, WAVE_UNIT, filled, to_microjansky, to_micron

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.analysis.frames import Frame
    from campfire.analysis.inputs import SpectrumLike
    from campfire.typing import BandpassLike

__all__ = [
    "band_photometry",
    "collection_photometry",
    "photometry_rows",
    "resolve_bands",
    "synthetic_photometry",
]


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
        taken as independent; ``ds.campfire.synthetic_photometry`` uses the covariance of a spectrum.

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
    min_coverage = number(min_coverage, "min_coverage", least=0, most=1)
    wave = to_micron(wavelength)
    order = rising(wave)
    wave = check_grid(wave[order])
    flux = to_microjansky(fnu, wavelength)
    noiseless = fnu_err is None or not np.any(np.asarray(filled(fnu_err)))
    error = np.ones_like(flux) if fnu_err is None or noiseless else to_microjansky(fnu_err, wavelength)
    if np.shape(flux) != wave.shape or np.shape(error) != wave.shape:
        raise ValidationError(
            f"wavelength has shape {wave.shape}, fnu {np.shape(flux)}, fnu_err {np.shape(error)}",
            hint="pass three arrays of one length",
        )
    rows = (values[order][None] for values in (flux, error))
    unmasked = np.zeros((1, len(wave)), dtype=np.uint8)
    found = photometry_rows(wave, *rows, unmasked, bands=[curve], min_coverage=min_coverage)
    mean, sigma, coverage = (float(found[name][0, 0]) for name in ("flux", "flux_err", "coverage"))
    if np.isnan(mean):
        warnings.warn(
            f"only {coverage:.1%} of band {curve.name!r} on good pixels; {min_coverage:.0%} needed",
            CampfireWarning,
            stacklevel=2,
        )
    elif noiseless:
        return mean, 0.0
    return mean, sigma


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
    min_coverage = number(min_coverage, "min_coverage", least=0, most=1)
    data = as_spectrum(spectrum)
    (frame,) = check_frames([data], "synthetic photometry")
    covariance = good_covariance(data)
    found = photometry_rows(
        np.asarray(data.wavelength),
        data.fnu[None],
        data.fnu_err[None],
        pixel_dq(data.fnu, data.fnu_err, data.mask)[None],
        *([] if covariance is None else row_correlations(covariance)),
        bands=curves,
        min_coverage=min_coverage,
    )
    return _labelled(
        xr.Dataset(), {name: values[0] for name, values in found.items()}, curves, frame, ("band",)
    )


def photometry_rows(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    *correlated: NDArray[Any],
    bands: Sequence[Bandpass],
    min_coverage: float,
) -> dict[str, NDArray[Any]]:
    """Measure rows (numpy), of one spectrum or of many, in several bands.

    Parameters
    ----------
    wavelength
        Microns, shape (n,), or (spectrum, n) with NaN after the last pixel of each row.
    fnu, fnu_err, dq
        Shape (spectrum, n); pixels with any bit are not used.
    *correlated
        Covariance of the pixels, as :func:`campfire.collection.covariance.correlations` has it.
    bands, min_coverage
        As for :func:`band_photometry`.

    Returns
    -------
    dict
        ``flux``, ``flux_err``, ``coverage``, shape (spectrum, band).
    """
    wavelength, fnu, fnu_err, dq = steady(wavelength, fnu, fnu_err, dq)
    result = band_fluxes(wavelength, fnu, fnu_err, bands, mask=dq != 0, min_coverage=min_coverage)
    error = result.error
    if correlated:
        good = good_pixels(fnu, fnu_err, dq != 0)
        covariance, modes = row_covariance(*correlated, good=good)
        squares = []
        for of_band in band_weights(wavelength, bands):
            weights = np.where(good, of_band, 0.0)
            squares.append(weighted_variance(covariance, weights))
            if len(correlated) > 1:
                through = np.einsum("rp,rpm->rm", weights, modes)
                squares[-1] = squares[-1] + (np.square(through) * correlated[1]).sum(axis=1)
        variance = np.stack(squares, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.where(np.isnan(error), np.nan, np.sqrt(np.maximum(variance, 0.0)) / result.coverage)
    return {"flux": result.flux, "flux_err": error, "coverage": result.coverage}


def collection_photometry(
    ds: xr.Dataset,
    bands: str | BandpassLike | Sequence[str | BandpassLike],
    *,
    min_coverage: float = MIN_COVERAGE,
) -> xr.Dataset:
    """Measure every spectrum of a collection in several bands.

    Parameters
    ----------
    ds
        A collection, with the covariance of its pixels (``fnu_cov``, ``fnu_modes``) where it has one.
    bands
        Names of bands, or objects with ``name``, ``wavelength`` (um) and ``throughput``.
    min_coverage
        Least fraction of a band's throughput that has to lie on good pixels.

    Returns
    -------
    xarray.Dataset
        ``flux``, ``flux_err`` (microjansky, of relative spectra ``1``; NaN where the coverage is short) and
        ``coverage`` over (spectrum, band), with the coordinates of the spectra, and ``pivot``, ``filter_id``,
        ``source`` of every curve.

    Raises
    ------
    ValidationError
        For a band without a curve, or none at all, and for spectra in the rest frame.
    """
    check_collection(ds)
    (frame,) = check_frames([ds], "synthetic photometry")
    curves = resolve_bands(bands)
    min_coverage = number(min_coverage, "min_coverage", least=0, most=1)
    function = partial(photometry_rows, bands=curves, min_coverage=min_coverage)
    kinds = {name: np.dtype(np.float64) for name in ("flux", "flux_err", "coverage")}
    values = over_rows(ds, function, kinds, len(curves), *correlations(ds))
    result = _labelled(_without_pixels(ds), values, curves, frame, ("spectrum", "band"))
    return append_history(result, f"synthetic photometry in {', '.join(c.name for c in curves)}")


def _labelled(
    ds: xr.Dataset,
    values: Mapping[str, Any],
    curves: Sequence[Bandpass],
    frame: Frame,
    dims: tuple[str, ...],
) -> xr.Dataset:
    """Return a Dataset with the measurements of :func:`photometry_rows` and what is known of the curves."""
    unit = {"units": RELATIVE if frame.relative else FNU_UNIT}
    attrs: dict[str, dict[str, str]] = {
        "flux": {**unit, "long_name": "synthetic flux density f_nu"},
        "flux_err": {**unit, "long_name": "1-sigma error of flux"},
        "coverage": {"long_name": "fraction of the throughput on good pixels"},
    }
    pivot = {"units": WAVE_UNIT, "long_name": "pivot wavelength"}
    return ds.assign_coords(
        band=text_variable("band", [c.name for c in curves]),
        pivot=("band", np.array([c.pivot for c in curves]), pivot),
        filter_id=text_variable("band", [c.filter_id for c in curves]),
        source=text_variable("band", [c.source for c in curves]),
    ).assign({name: (dims, values[name], own) for name, own in attrs.items()})


def _without_pixels(ds: xr.Dataset) -> xr.Dataset:
    """Return the coordinates of the spectra alone."""
    gone = {"pixel", "wavelength", "lag", "mode"}
    pixels = [name for name, v in ds.variables.items() if set(v.dims) & gone]
    return ds.drop_vars([*pixels, *(name for name in ("n_pixels",) if name in ds)])


def resolve_bands(bands: str | BandpassLike | Sequence[str | BandpassLike]) -> list[Bandpass]:
    """Return the curves of one or several bands.

    Raises
    ------
    ValidationError
        If there is none, one has no curve, or one is given twice.
    """
    single = isinstance(bands, str) or hasattr(bands, "throughput")
    given: Any = [bands] if single else bands
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise ValidationError(f"bands={shown(bands)}", hint="pass names of bands, or curves")
    many = [resolve_band(band) for band in given]
    if not many:
        raise ValidationError("no bands", hint="pass at least one band name or curve")
    names = [curve.name for curve in many]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValidationError(f"bands given twice: {', '.join(twice)}", hint="name each band once")
    return many
