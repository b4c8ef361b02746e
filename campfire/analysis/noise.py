"""How large the noise of spectra really is, and how pixels correlate: measured, and put into spectra."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from campfire.analysis.frames import check_frames
from campfire.analysis.inputs import as_spectra, as_spectrum, with_history
from campfire.arguments import integer, shown, truth
from campfire.collection.blockwise import attrs_like, flam_of, over_rows
from campfire.collection.coords import gratings_of
from campfire.convert import append_history, from_banded
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.grids import good_pixels
from campfire.kernels.lsf import GRATINGS, resolving_power
from campfire.kernels.noise import HALF, MIN_PIXELS, contrasts, fit_noise, noise_bands, residuals
from campfire.linelist import EMISSION_LINES
from campfire.models import Spectrum, SpectrumData
from campfire.schema import GRIDDED, SPECTRUM, validate
from campfire.text import printed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from campfire.analysis.inputs import SpectraLike
    from campfire.typing import BoolArray, FloatArray

    AnySpectrum = TypeVar("AnySpectrum", SpectrumData, xr.Dataset)

__all__ = ["Noise", "measure_noise", "with_noise"]

_KNOTS = 17
_MOST = 64  # spectra of a collection that are looked at: more would change the scale by less than 1 %
_BRIGHT = 30.0
_LINE = 1.5  # FWHM to both sides of a known line that are left out
_SAME = 1e-3  # pixels
_VERSION = 1


@dataclass(frozen=True, eq=False, repr=False)
class Noise:
    """The noise of spectra of one grating in units of the stated errors, as :func:`measure_noise` finds it.

    Attributes
    ----------
    grating
        Name of the disperser.
    wavelength
        Microns, shape (w,); linear in between, constant beyond.
    scale, scale_err
        True over stated error at these wavelengths, and its 1-sigma error, shape (w,).
    correlation, correlation_err
        Of pixels i and i + lag, from lag 0 (which is 1) on, and its 1-sigma error, shape (lag,).
    pixels, spectra
        How many it comes from.
    source
        ``"residuals"`` from a smooth continuum, or ``"repeats"``: differences of spectra of one object.
    """

    grating: str
    wavelength: FloatArray
    scale: FloatArray
    scale_err: FloatArray
    correlation: FloatArray
    correlation_err: FloatArray
    pixels: int
    spectra: int
    source: Literal["residuals", "repeats"]

    def at(self, wavelength: ArrayLike) -> FloatArray:
        """Return true over stated error at wavelengths in microns."""
        return np.asarray(np.interp(np.asarray(wavelength), self.wavelength, self.scale))

    def plot(self, axes: Iterable[Axes] | None = None) -> tuple[Axes, Axes]:
        """Draw the scale over wavelength and the correlation over lag.

        Parameters
        ----------
        axes
            Two matplotlib axes; a new figure without them.

        Returns
        -------
        tuple of matplotlib.axes.Axes
            (scale, correlation).
        """
        from campfire.plotting.diagnostics import draw_noise

        return draw_noise(
            self.wavelength,
            self.scale,
            self.scale_err,
            self.correlation,
            self.correlation_err,
            title=self.grating,
            axes=axes,
        )

    def to_xarray(self) -> xr.Dataset:
        """Return the Dataset of it: over ``wavelength`` and ``lag``, and the rest as attributes."""
        import xarray as xr

        return xr.Dataset(
            {
                "scale": ("wavelength", self.scale.copy(), {"long_name": "true over stated error"}),
                "scale_err": ("wavelength", self.scale_err.copy(), {"long_name": "1-sigma error of scale"}),
                "correlation": ("lag", self.correlation.copy(), {"long_name": "correlation of pixels"}),
                "correlation_err": (
                    "lag",
                    self.correlation_err.copy(),
                    {"long_name": "1-sigma error of correlation"},
                ),
            },
            {
                "wavelength": ("wavelength", self.wavelength.copy(), {"units": "um"}),
                "lag": ("lag", np.arange(len(self.correlation)), {"long_name": "distance of two pixels"}),
            },
            {
                "campfire_noise": _VERSION,
                "grating": self.grating,
                "pixels": self.pixels,
                "spectra": self.spectra,
                "source": self.source,
            },
        )

    @classmethod
    def from_xarray(cls, ds: xr.Dataset) -> Noise:
        """Return what :meth:`to_xarray` made a Dataset of.

        Raises
        ------
        ValidationError
            If it is not such a Dataset.
        """
        names = ("wavelength", "scale", "scale_err", "correlation", "correlation_err")
        attrs = ("grating", "pixels", "spectra", "source")
        missing = [n for n in names if n not in ds.variables] + [n for n in attrs if n not in ds.attrs]
        if missing or ds.attrs.get("campfire_noise") != _VERSION:
            raise ValidationError(
                f"not the Dataset of a Noise: {', '.join(missing) or 'campfire_noise'} missing",
                hint="pass what Noise.to_xarray() returned",
            )
        return cls(
            **{name: np.asarray(ds[name].values, dtype=np.float64) for name in names},
            grating=str(ds.attrs["grating"]),
            pixels=int(ds.attrs["pixels"]),
            spectra=int(ds.attrs["spectra"]),
            source="repeats" if ds.attrs["source"] == "repeats" else "residuals",
        )

    def _summary(self) -> str:
        low, high = self.scale.min(), self.scale.max()
        size = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
        lags = ", ".join(f"{value:.2f}" for value in self.correlation[1:])
        return f"errors {size} times those stated" + (f", neighbours correlated by {lags}" if lags else "")

    def __repr__(self) -> str:
        number = "1 spectrum" if self.spectra == 1 else f"{self.spectra} spectra"
        errors = (self.scale_err, self.correlation_err[1:])
        accuracy = ", ".join(f"+-{np.median(values):.2f}" for values in errors if len(values))
        return printed(
            f"Noise({self.grating}, {self.pixels} pixels of {number}: {self._summary()} ({accuracy}))"
        )


def measure_noise(spectra: SpectraLike, *, repeats: bool = False, lags: int = 3) -> Noise:
    """Measure how large the noise of spectra is in units of the stated errors, and how it correlates pixels.

    A local parabola over 21 pixels is taken off every spectrum, lines are left out, and what the filter does
    to size and correlation of the noise is corrected for (``campfire.kernels.noise`` has the formulae and
    their sources). Nothing is changed: :func:`with_noise` puts the result into spectra.

    Parameters
    ----------
    spectra
        One spectrum, or several of one grating, as observed: a list, a collection, a Dataset. They share one
        result. Of more than 64, 64 evenly spaced ones are looked at; of a lazy collection no others are
        read.
    repeats
        Whether the spectra are of one object and on the same pixels: their differences are used then, so
        that neither lines nor any other structure of the source counts. Their errors must be those of
        independent exposures.
    lags
        Up to how many pixels apart noise is correlated, 0 to 5.

    Returns
    -------
    Noise
        With ``.plot()`` and ``.to_xarray()``.

    Raises
    ------
    ValidationError
        For spectra of several gratings, in the rest frame, with fewer than 60 usable pixels, or repeats on
        different pixels.

    Warns
    -----
    CampfireWarning
        For single spectra of S/N above 30, where structure of the source counts as noise.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wave = np.linspace(2.9, 5.2, 1300)
    >>> stated = np.full(1300, 0.1)
    >>> spec = SpectrumData(wave, 1.0 + rng.normal(0, 0.2, 1300), stated, {}, "G395M", "demo")
    >>> noise = measure_noise(spec)
    >>> bool(abs(noise.at(4.0) - 2.0) < 0.15)
    True
    """
    integer(lags, "lags", least=0, most=HALF // 2)
    truth(repeats, "repeats")
    data = _chosen(spectra, repeats)
    check_frames(data, "noise")
    gratings = sorted({entry.grating for entry in data})
    if len(gratings) > 1:
        raise ValidationError(
            f"spectra of several gratings: {', '.join(gratings)}",
            hint="measure each by itself; tree.campfire.measure_noise() does so",
        )
    prepared = [_Row.of(entry, without_lines=not repeats) for entry in data]
    rows = _differences(prepared) if repeats else prepared
    left = [residuals(row.wavelength, row.flux, row.error, row.good, lags) for row in rows]
    found = fit_noise(left, lags, _KNOTS)
    if found is None:
        total = sum(int(row.used.sum()) for row in left)
        raise ValidationError(
            f"{total} pixels are left without lines and masked pixels",
            hint=f"at least {MIN_PIXELS} are needed; pass several spectra of the grating together",
        )
    ratio = np.concatenate([np.abs(row.flux[row.good]) / row.error[row.good] for row in rows])
    if not repeats and np.median(ratio) > _BRIGHT:
        warnings.warn(
            f"the S/N is {np.median(ratio):.0f} a pixel: structure of the source counts as noise here; "
            "use faint spectra of the same kind, or repeats=True",
            CampfireWarning,
            stacklevel=2,
        )
    return Noise(
        grating=gratings[0],
        wavelength=found.wavelength,
        scale=found.scale,
        scale_err=found.scale_err,
        correlation=found.correlation,
        correlation_err=found.correlation_err,
        pixels=found.pixels,
        spectra=len(data),
        source="repeats" if repeats else "residuals",
    )


def _chosen(spectra: SpectraLike, repeats: bool) -> list[SpectrumData]:
    """Return the spectra that are looked at; of a lazy collection no others are read."""
    many: Any = spectra
    if hasattr(many, "dims") and hasattr(many, "isel") and "spectrum" in many.dims:
        many = many.isel(spectrum=_evenly(many.sizes["spectrum"]))
    elif isinstance(many, Iterable) and not hasattr(many, "dims") and not isinstance(many, Spectrum):
        listed = list(many)
        many = [listed[k] for k in _evenly(len(listed))]
    data = as_spectra(many)
    if repeats and len(data) < 2:
        raise ValidationError("repeats=True, but one spectrum", hint="pass all spectra of the object")
    return data


def _evenly(n: int) -> list[int]:
    return np.unique(np.linspace(0, n - 1, min(n, _MOST)).round().astype(int)).tolist() if n else []


@dataclass(frozen=True, slots=True)
class _Row:
    wavelength: FloatArray
    flux: FloatArray
    error: FloatArray
    good: BoolArray

    @classmethod
    def of(cls, data: SpectrumData, *, without_lines: bool) -> _Row:
        wave = np.asarray(data.wavelength, dtype=np.float64)
        good = good_pixels(data.fnu, data.fnu_err, data.mask)
        error = np.where(good, data.fnu_err, 1.0).astype(np.float64)
        used = good & ~_lines(data, wave) if without_lines else good
        return cls(wave, np.where(good, data.fnu, 0.0).astype(np.float64), error, used)


def _lines(data: SpectrumData, wave: FloatArray) -> BoolArray:
    """Return the pixels of known lines, where redshift and resolving power are known."""
    result = np.zeros(len(wave), dtype=bool)
    if data.redshift is None or data.grating.upper() not in GRATINGS:
        return result
    for line in EMISSION_LINES:
        centre = line["wave"] * (1.0 + data.redshift)
        reach = _LINE * centre / float(resolving_power(data.grating, np.array(centre)))
        result |= np.abs(wave - centre) < reach
    return result


def _differences(rows: list[_Row]) -> list[_Row]:
    """Return what repeats differ by, one row less."""
    wave = rows[0].wavelength
    step = np.gradient(wave)
    for number, row in enumerate(rows):
        if row.wavelength.shape != wave.shape or np.any(np.abs(row.wavelength - wave) > _SAME * step):
            raise ValidationError(
                f"spectrum {number} is not on the pixels of the first",
                hint="repeats=True takes spectra on the same pixels; leave it out for others",
            )
    flux, error, good = (np.stack([getattr(row, name) for row in rows]) for name in ("flux", "error", "good"))
    found = zip(*contrasts(flux, error, good), strict=True)
    return [_Row(wave, *values) for values in found]


def with_noise(spectrum: AnySpectrum, noise: Noise) -> AnySpectrum:
    """Return a spectrum, or a collection, with its errors as :func:`measure_noise` found them.

    ``fnu_err`` (and ``flam_err``) are multiplied by the scale, and the covariance of neighbouring pixels is
    filled in, which synthetic photometry, calibration, lines, resampling and stacks use from then on.

    Parameters
    ----------
    spectrum
        A ``SpectrumData``, or the Dataset of one spectrum or of a collection, native and as observed: lazy
        stays lazy.
    noise
        Of the same grating.

    Returns
    -------
    SpectrumData or xarray.Dataset
        As it came, with ``covariance`` or ``fnu_cov``; the history says so.

    Raises
    ------
    ValidationError
        For a spectrum that has a covariance already, or was resampled, is in the rest frame, or of another
        grating.

    Examples
    --------
    >>> wave = np.linspace(2.9, 5.2, 1300)
    >>> values = np.random.default_rng(0).normal(0, 0.2, 1300)
    >>> spec = SpectrumData(wave, values, np.full(1300, 0.1), {}, "G395M", "demo")
    >>> better = with_noise(spec, measure_noise(spec))
    >>> bool(0.18 < np.median(better.fnu_err) < 0.22), better.covariance.shape
    (True, (1300, 1300))
    """
    if not isinstance(noise, Noise):
        raise ValidationError(f"noise is {shown(noise)}", hint="pass what measure_noise() returned")
    if isinstance(spectrum, SpectrumData | Spectrum):
        return _spectrum(as_spectrum(spectrum), noise)
    if not hasattr(spectrum, "data_vars"):
        raise ValidationError(f"not spectra: {shown(spectrum)}", hint="pass a SpectrumData or a Dataset")
    return _dataset(spectrum, noise)


def _line(noise: Noise) -> str:
    return f"errors as measured from {noise.source}: {noise._summary()}"


def _check(spectra: SpectrumData | xr.Dataset, gratings: set[str], correlated: bool, noise: Noise) -> None:
    check_frames([spectra], "noise")
    if correlated:
        raise ValidationError(
            "the covariance of the pixels is known already",
            hint="apply the noise once, to the spectra as observed, before anything else",
        )
    if gratings - {noise.grating}:
        raise ValidationError(
            f"noise of {noise.grating or 'no grating'}, spectra of {', '.join(sorted(gratings))}",
            hint="measure the noise of each grating by itself",
        )


def _spectrum(data: SpectrumData, noise: Noise) -> SpectrumData:
    _check(data, {data.grating}, data.pixel_covariance is not None, noise)
    wave = np.asarray(data.wavelength)
    bits = data.mask.astype(np.uint8)
    rows = _rows(wave[None], data.fnu[None], data.fnu_err[None], bits[None], noise=noise)
    fields = data.to_fields()
    fields["fnu_err"] = rows["fnu_err"][0].astype(data.fnu_err.dtype)
    if fields.get("flam_err") is not None:
        fields["flam_err"] = (data.flam_err * noise.at(wave)).astype(data.flam_err.dtype)
    fields["covariance"] = from_banded(rows["fnu_cov"][0])
    fields["header"] = with_history(data.header, _line(noise))
    return SpectrumData(**fields)


def _dataset(ds: xr.Dataset, noise: Noise) -> xr.Dataset:
    state = validate(ds)
    if state == GRIDDED:
        raise ValidationError(
            "the collection was resampled", hint="apply the noise to the native one, and resample that"
        )
    gratings = {as_spectrum(ds).grating} if state == SPECTRUM else set(gratings_of(ds))
    _check(ds, gratings, "fnu_cov" in ds.variables, noise)
    kinds = {
        "fnu_err": ds["fnu_err"].dtype,
        "fnu_cov": np.dtype((np.float64, (len(noise.correlation),))),
    }
    dims = ds["fnu"].dims
    if state == SPECTRUM:
        data = as_spectrum(ds)
        bits = ds["dq"].values if "dq" in ds.variables else data.mask.astype(np.uint8)
        one = _rows(data.wavelength[None], data.fnu[None], data.fnu_err[None], bits[None], noise=noise)
        fields = {name: one[name][0].astype(kind.base) for name, kind in kinds.items()}
        flam_err: Any = ds["flam_err"] * noise.at(ds["wavelength"]) if "flam_err" in ds else None
    else:
        fields = over_rows(ds, partial(_rows, noise=noise), kinds, ds.sizes["pixel"])
        wave = ds["wavelength"].data
        flam_err = ds["flam_err"].copy(data=flam_of(fields["fnu_err"], wave)) if "flam_err" in ds else None
    result = ds.assign(
        fnu_err=(dims, fields["fnu_err"], ds["fnu_err"].attrs),
        fnu_cov=((*dims, "lag"), fields["fnu_cov"], attrs_like(ds, "fnu_cov")),
    )
    if flam_err is not None:
        result["flam_err"] = flam_err.astype(ds["flam_err"].dtype).assign_attrs(ds["flam_err"].attrs)
    lags = ("lag", np.arange(len(noise.correlation)), {"long_name": "distance of two pixels"})
    return append_history(result.assign_coords(lag=lags), _line(noise))


def _rows(
    wavelength: NDArray[Any],
    fnu: NDArray[Any],
    fnu_err: NDArray[Any],
    dq: NDArray[Any],
    *,
    noise: Noise,
) -> dict[str, NDArray[Any]]:
    """Return errors and covariance of rows (numpy) of a native collection."""
    good = good_pixels(fnu, fnu_err, dq != 0)
    scaled = fnu_err * noise.at(wavelength)
    bands = np.zeros((*fnu.shape, len(noise.correlation)))
    for k, wave in enumerate(wavelength):
        inside = np.flatnonzero(np.isfinite(wave))
        if inside.size > 1:
            at = np.asarray(wave[inside], dtype=np.float64)
            bands[k, inside] = noise_bands(at, scaled[k, inside], good[k, inside], noise.correlation)
    return {"fnu_err": scaled, "fnu_cov": bands}
