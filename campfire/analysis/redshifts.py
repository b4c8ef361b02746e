"""Redshifts of spectra: of one object from all of its gratings, or of every spectrum of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.frames import check_frames
from campfire.analysis.redshift_result import RedshiftResult
from campfire.analysis.resolving_power import Resolved, line_fwhm, resolved_blocks, resolved_spectra
from campfire.arguments import number, shown
from campfire.errors import ValidationError
from campfire.kernels.redshift_curves import chi2_curves, coarser, joined, peaks, redshift_grid
from campfire.kernels.redshift_refine import Pixels, refine, tell
from campfire.models import Object
from campfire.schema import REDSHIFTS
from campfire.text import text_variable
from campfire.units import to_micron

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from campfire.analysis.inputs import SpectraLike
    from campfire.kernels.redshift_templates import Curve
    from campfire.models import SpectrumData
    from campfire.typing import FloatArray

__all__ = ["RedshiftResult", "fit_redshift", "fit_redshifts"]

_HIGHEST = 30.0
_SHARPEST = 1200.0  # resolving power from which pixels are joined for the curve
_BATCH = 64
_ALIKE = 0.05  # of ln R: spectra of one grating whose resolving powers are taken as the same
_DISAGREES = 5.0  # sigma


def fit_redshift(
    spectra: SpectraLike | Object,
    *,
    redshift_range: tuple[float, float] = (0.0, 15.0),
    offset_scatter: float = 0.2,
    templates: Sequence[tuple[Any, Any]] | None = None,
) -> RedshiftResult:
    r"""Fit the redshift of one object to all of its spectra at once.

    At every redshift the spectra are compared with the best sum, none negative, of six sets of emission lines
    with typical ratios (H II regions of low and of high metallicity, dusty galaxies, broad lines of active
    nuclei, Lyα, lines of the ultraviolet) and of breaks at Lyα and at 3646-4000 angstrom, on a spline that
    takes what is smooth; flux below Lyα counts against redshifts at which hydrogen between the galaxies lets
    none through. Each spectrum has fluxes of its own. Then the best redshift is made exact with every line by
    itself, and with the offset of the wavelengths of every spectrum, of which only differences can be known.

    It fails where there is nothing of that: for absorption lines alone (quiescent galaxies have only their
    break), stars, two objects in one slit; and a single line may be taken for another.

    Parameters
    ----------
    spectra
        All spectra of one object, in any form; or the ``Object``. Errors are taken as they are stated, pixels
        as independent: see :func:`campfire.with_noise`.
    redshift_range
        Lowest and highest redshift.
    offset_scatter
        Standard deviation of the errors of the wavelengths of a spectrum, in pixels, as known before; 0 if
        there are none. It matters for two and more spectra.
    templates
        (rest wavelengths, f_lambda) of templates that replace ours for chi-square: wavelengths in microns or
        Quantities, vacuum, increasing. What is smooth in them counts for nothing, as of ours.

    Returns
    -------
    RedshiftResult
        Redshift, its error, p(z), the second solution with its odds, offsets, models.

    Raises
    ------
    ValidationError
        For spectra in the rest frame or without a good pixel, or a range or templates of no use.

    Examples
    --------
    >>> from campfire.models import SpectrumData
    >>> wave = np.linspace(2.9, 5.1, 1300)
    >>> lines = [(0.4862683, 1.0), (0.4960295, 2.0), (0.5008240, 6.0)]
    >>> flux = 1.0 + sum(5 * f * np.exp(-0.5 * ((wave - w * 8) / 0.0016) ** 2) for w, f in lines)
    >>> spec = SpectrumData(wave, flux, np.full(1300, 0.3), {}, "G395M", "demo")
    >>> fit_redshift(spec).redshift.__round__(3)
    7.0
    """
    low, high = _range(redshift_range)
    scatter = number(offset_scatter, "offset_scatter", least=0, unit="pixels")
    curves = _curves(templates)
    entries = resolved_spectra(spectra.spectra if isinstance(spectra, Object) else spectra)
    data = [entry.data for entry in entries]
    check_frames(data, "redshifts", None)
    _check_pixels(data)
    found, sharpest = [], 0.0
    pixels = []
    for entry in entries:
        one = _pixels([entry], _power(entry))
        power = _highest(one)
        z = redshift_grid(low, high, min(power, _SHARPEST))
        found.append((z, _chi2(one, z, curves)[0]))
        sharpest = max(sharpest, min(power, _SHARPEST))
        pixels.append(one)
    z = redshift_grid(low, high, sharpest)
    shifts = [scatter * _pixel(one) if len(pixels) > 1 else 0.0 for one in pixels]
    chi2 = joined(found, z, shifts)
    told = peaks(z, chi2[None])
    free = np.full(len(pixels), scatter if len(pixels) > 1 else 0.0)
    exact = refine([_teller(one) for one in pixels], told.redshift, free)
    redshift, error = _best(told, exact.redshift, exact.covariance[:, 0, 0])
    offsets = exact.offsets[0]
    models = [_model(one, redshift, offsets[k : k + 1]) for k, one in enumerate(pixels)]
    return RedshiftResult(
        redshift=float(redshift[0]),
        redshift_err=float(error[0]),
        redshift_grid=z,
        chi2=chi2,
        probability=told.probability[0],
        second_redshift=float(told.second[0]),
        odds=float(told.odds[0]),
        offsets=offsets,
        offsets_err=np.sqrt(np.diagonal(exact.covariance[0])[1:]),
        spectra=data,
        models=models,
    )


def fit_redshifts(
    spectra: SpectraLike,
    *,
    redshift_range: tuple[float, float] = (0.0, 15.0),
    templates: Sequence[tuple[Any, Any]] | None = None,
) -> xr.Dataset:
    """Fit the redshift of every spectrum by itself; see :func:`fit_redshift`.

    Parameters
    ----------
    spectra
        Many spectra in any form. Lazy ones are read a block at a time.
    redshift_range, templates
        As there.

    Returns
    -------
    xarray.Dataset
        Over ``spectrum``: ``redshift_fit``, ``redshift_fit_err``, ``second_redshift``, ``odds``,
        ``confidence`` (percent), ``chi2``; and ``disagrees``, where the ``redshift`` of the catalogue, which
        is a coordinate, differs by more than 5 errors and by more than 0.003 (1 + z):
        ``found.where(found.disagrees, drop=True)`` are those to look at. NaN for spectra without good pixels.

    Raises
    ------
    ValidationError
        As there.

    Examples
    --------
    >>> from campfire.models import SpectrumData
    >>> wave = np.linspace(2.9, 5.1, 1300)
    >>> flux = 1.0 + 9 * np.exp(-0.5 * ((wave - 0.6564610 * 6) / 0.0016) ** 2)
    >>> spec = SpectrumData(wave, flux, np.full(1300, 0.1), {}, "G395M", "demo", redshift=1.2)
    >>> fit_redshifts([spec], redshift_range=(4, 6)).disagrees.values
    array([ True])
    """
    import xarray as xr

    low, high = _range(redshift_range)
    curves = _curves(templates)
    ids: list[str] = []
    columns: list[FloatArray] = []
    known: list[float] = []
    for entries in resolved_blocks(spectra):
        data = [entry.data for entry in entries]
        check_frames(data, "redshifts", None)
        ids += [one.spectrum_id for one in data]
        known += [np.nan if one.redshift is None else float(one.redshift) for one in data]
        result = np.full((len(_COLUMNS), len(entries)), np.nan)
        for rows in _alike(entries):
            result[:, rows] = _rows([entries[k] for k in rows], low, high, curves)
        columns.append(result)
    values = dict(zip(_COLUMNS, np.concatenate(columns, axis=1), strict=True))
    catalogue = np.array(known)
    away = np.abs(values["redshift_fit"] - catalogue)
    least = np.maximum(_DISAGREES * values["redshift_fit_err"], 0.003 * (1.0 + catalogue))
    with np.errstate(invalid="ignore"):
        values["disagrees"] = away > least
    variables: dict[str, Any] = {}
    for name, spec in REDSHIFTS.items():
        attrs = ({"units": spec.units} if spec.units else {}) | dict(spec.attrs)
        variables[name] = ("spectrum", values[name], attrs)
    coords = {
        "spectrum_id": text_variable("spectrum", ids),
        "redshift": ("spectrum", catalogue, {"long_name": "redshift of the catalogue", "units": "1"}),
    }
    return xr.Dataset(variables, coords)


_COLUMNS = ("redshift_fit", "redshift_fit_err", "second_redshift", "odds", "confidence", "chi2")


def _rows(entries: Sequence[Resolved], low: float, high: float, curves: Sequence[Curve] | None) -> FloatArray:
    """Return the columns of spectra that are alike, each by itself, shape (column, spectrum)."""
    pixels = _pixels(entries, _power(max(entries, key=lambda entry: len(entry.data))))
    z = redshift_grid(low, high, min(_highest(pixels), _SHARPEST))
    told = peaks(z, _chi2(pixels, z, curves))
    exact, variance = np.empty(len(entries)), np.empty(len(entries))
    for first in range(0, len(entries), _BATCH):
        some = slice(first, first + _BATCH)
        found = refine([_teller(pixels.at(some))], told.redshift[some], np.zeros(1))
        exact[some], variance[some] = found.redshift, found.covariance[:, 0, 0]
    redshift, error = _best(told, exact, variance)
    result = np.stack([redshift, error, told.second, told.odds, 100.0 * told.part, told.least])
    return np.where(pixels.weight.any(axis=1), result, np.nan)


def _best(told: Any, exact: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return redshifts and errors: those of the lines, or of the curve where that knows better."""
    error = (1.0 + exact) * np.sqrt(variance)
    by_lines = error < told.width
    return np.where(by_lines, exact, told.redshift), np.where(by_lines, error, told.width)


def _model(pixels: Pixels, redshift: FloatArray, offset: FloatArray) -> FloatArray:
    """Return f_nu of the model of one spectrum, NaN beyond its first and last good pixel."""
    model = tell(pixels, redshift, offset).model[0]
    good = np.flatnonzero(pixels.weight[0])
    index = np.arange(len(model))
    return np.where((index >= good[0]) & (index <= good[-1]), model, np.nan)


def _chi2(pixels: Pixels, z: FloatArray, curves: Sequence[Curve] | None) -> FloatArray:
    """Return the curves of spectra, all on the wavelengths of one of them, with pixels joined where sharp."""
    wave, values, weight = pixels.on_one_grid()
    several = max(1, round(_highest(pixels) / _SHARPEST))
    wave, values, weight = coarser(wave, values, weight, several)
    return chi2_curves(wave, values, weight, pixels.power, z, curves)


def _teller(pixels: Pixels) -> Callable[[FloatArray, FloatArray], Any]:
    return lambda redshift, offset: tell(pixels, redshift, offset)


def _pixels(entries: Sequence[Resolved], power: Callable[[FloatArray], FloatArray]) -> Pixels:
    """Return spectra as rows, padded to the longest."""
    longest = max(len(entry.data) for entry in entries)
    wave = np.full((len(entries), longest), np.nan)
    values, weight = np.zeros_like(wave), np.zeros_like(wave)
    for row, entry in enumerate(entries):
        data, n = entry.data, len(entry.data)
        good = ~data.mask
        wave[row, :n] = data.wavelength
        values[row, :n] = np.where(good, data.fnu, 0.0)
        weight[row, :n] = np.where(good, 1.0 / np.square(np.where(good, data.fnu_err, 1.0)), 0.0)
    return Pixels.of(wave, values, weight, power)


def _power(entry: Resolved) -> Callable[[FloatArray], FloatArray]:
    def power(wavelength: FloatArray) -> FloatArray:
        flat = np.ravel(wavelength)
        return np.asarray(flat / line_fwhm(entry, flat)[0]).reshape(np.shape(wavelength))

    return power


def _highest(pixels: Pixels) -> float:
    """Return the resolving power of the sharpest pixels, as far as they sample it."""
    wave = pixels.wavelength[0]
    wave = wave[np.isfinite(wave)]
    return float(np.max(pixels.power(wave)))


def _pixel(pixels: Pixels) -> float:
    """Return the width of a typical pixel in ln(wavelength)."""
    wave = pixels.wavelength[0]
    return float(np.median(np.diff(np.log(wave[np.isfinite(wave)]))))


def _alike(entries: Sequence[Resolved]) -> list[list[int]]:
    """Return the numbers of spectra that can be fitted together."""
    found: dict[Any, list[int]] = {}
    for k, entry in enumerate(entries):
        wave = np.asarray(entry.data.wavelength, dtype=np.float64)
        middle = np.array([0.5 * (wave[0] + wave[-1])])
        power = float(np.log(middle[0] / line_fwhm(entry, middle)[0][0]))
        found.setdefault((entry.data.grating, round(power / _ALIKE)), []).append(k)
    return list(found.values())


def _check_pixels(data: Sequence[SpectrumData]) -> None:
    for one in data:
        if one.mask.all():
            raise ValidationError(
                f"{one.spectrum_id or 'a spectrum'} has no good pixel", hint="leave it out, or look at its dq"
            )


def _range(given: Any) -> tuple[float, float]:
    hint = f"pass (lowest, highest), from 0 to {_HIGHEST:g}"
    if isinstance(given, str | bytes) or np.shape(given) != (2,):
        raise ValidationError(f"redshift_range={shown(given)}", hint=hint)
    low, high = (number(end, "redshift_range", least=0, most=_HIGHEST) for end in given)
    if not low < high:
        raise ValidationError(f"redshift_range={shown(given)}", hint=hint)
    return low, high


def _curves(templates: Any) -> list[Curve] | None:
    """Return the templates of a user as plain arrays."""
    if templates is None:
        return None
    hint = "pass a list of (rest wavelengths in microns, f_lambda), both of one length, increasing"
    try:
        found: list[Curve] = [
            (np.asarray(to_micron(wave)), np.asarray(flux, dtype=np.float64)) for wave, flux in templates
        ]
    except (TypeError, ValueError) as err:
        raise ValidationError(f"templates={shown(templates)}", hint=hint) from err
    for wave, flux in found:
        usable = wave.ndim == 1 and wave.shape == flux.shape and len(wave) > 1
        if not (usable and np.all(np.diff(wave) > 0) and wave[0] > 0 and np.all(np.isfinite(flux))):
            raise ValidationError(f"a template of shapes {wave.shape} and {flux.shape}", hint=hint)
    if not found:
        raise ValidationError("no templates", hint=hint)
    return found
