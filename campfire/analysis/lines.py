"""Emission lines: direct fluxes, equivalent widths and upper limits, for one spectrum or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.inputs import as_spectra, good_covariance
from campfire.errors import ValidationError
from campfire.kernels.lines import LineFluxes, line_fluxes
from campfire.kernels.lsf import GRATINGS, resolving_power
from campfire.kernels.overlap import import_sparse
from campfire.linelist import EMISSION_LINES, get_emission_lines
from campfire.units import FLAM_UNIT, SPEED_OF_LIGHT, fnu_to_flam, to_micron

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from campfire.analysis.inputs import SpectraLike
    from campfire.models import SpectrumData
    from campfire.typing import BoolArray, FloatArray

__all__ = ["EMISSION_LINES", "get_emission_lines", "measure_lines"]

_HALF_WIDTH = 1.5  # of the window that is integrated, in FWHM: all but 4e-4 of a Gaussian
_SIDES = (2.0, 6.0)  # where the continuum is fitted, in FWHM
_PIXELS_PER_FWHM = 2.2  # sampling of the NIRSpec dispersers, for gratings without a table
_LIMIT = 3.0
_KM = 1e3


def measure_lines(
    spectra: SpectraLike,
    lines: Sequence[str | float] | None = None,
    redshift: float | Sequence[float] | None = None,
    *,
    width: float = 300.0,
) -> xr.Dataset:
    """Measure emission lines by integration over a local linear continuum.

    The window reaches 1.5 FWHM to both sides of the line, the continuum is fitted from 2 to 6 FWHM, leaving
    out the windows of other known lines; FWHM is that of the instrument and of the line in quadrature. Where
    another known line would leave more than 1 % of its flux in the window, ``blended`` is True.

    Parameters
    ----------
    spectra
        One spectrum, a collection, a list, a Dataset or a DataTree.
    lines
        Names from :data:`EMISSION_LINES`, or rest wavelengths in microns or Quantities (vacuum). By default
        all that fall into one of the spectra.
    redshift
        One value a spectrum, or one for all; by default the redshift of each spectrum.
    width
        FWHM of the lines themselves, km/s.

    Returns
    -------
    xarray.Dataset
        Over ``spectrum`` and ``line``: ``flux``, ``flux_err`` and ``upper_limit`` (3 sigma) in erg s-1 cm-2;
        ``continuum``, ``continuum_err`` in erg s-1 cm-2 angstrom-1; ``equivalent_width``,
        ``equivalent_width_err`` in angstrom in the rest frame, positive in emission; ``coverage``,
        ``blended``. NaN where a line is not covered. Coordinates ``rest_wave`` (um) and ``redshift``.

    Raises
    ------
    ValidationError
        For a line that is not known, or spectra without a redshift.

    Examples
    --------
    >>> from campfire.models import SpectrumData
    >>> wave = np.linspace(2.9, 5.1, 1300)
    >>> flam = 1e-20 + 1e-18 * np.exp(-0.5 * ((wave - 0.656461 * 6) / 0.002) ** 2)
    >>> fnu = flam * wave**2 / 2.99792458e-19
    >>> spec = SpectrumData(wave, fnu, np.full(1300, 0.01), {}, "G395M", "demo", redshift=5.0)
    >>> found = measure_lines(spec, ["Hα"])
    >>> f"{found.flux.values[0, 0]:.2e}"  # 1e-18 * 20 angstrom * sqrt(2 pi)
    '5.01e-17'
    """
    import xarray as xr

    data = as_spectra(spectra)
    shifts = _redshifts(redshift, data)
    table = _table(lines, data, shifts)
    results = [_measure(entry, z, table, width) for entry, z in zip(data, shifts, strict=True)]
    columns = [np.stack([getattr(r, name) for r, _ in results]) for name in LineFluxes._fields]
    flux, flux_err, level, level_err, ew, ew_err, coverage = columns
    stretch = 1.0 + shifts[:, None]
    angstrom = "angstrom"
    line_unit = "erg s-1 cm-2"

    def variable(values: Any, units: str | None, text: str) -> Any:
        return (("spectrum", "line"), values, ({"units": units} if units else {}) | {"long_name": text})

    text_dtype = np.dtypes.StringDType()
    return xr.Dataset(
        {
            "flux": variable(flux, line_unit, "line flux"),
            "flux_err": variable(flux_err, line_unit, "1-sigma error of flux"),
            "upper_limit": variable(_LIMIT * flux_err, line_unit, "3-sigma upper limit of a line not seen"),
            "continuum": variable(level, FLAM_UNIT, "continuum under the line"),
            "continuum_err": variable(level_err, FLAM_UNIT, "1-sigma error of continuum"),
            "equivalent_width": variable(ew / stretch, angstrom, "rest-frame equivalent width, emission > 0"),
            "equivalent_width_err": variable(ew_err / stretch, angstrom, "1-sigma error of equivalent_width"),
            "coverage": variable(coverage, None, "part of the line window on good pixels"),
            "blended": variable(
                np.stack([b for _, b in results]),
                None,
                "more than 1 % of another known line is in the window",
            ),
        },
        coords={
            "spectrum_id": ("spectrum", np.array([entry.spectrum_id for entry in data], dtype=text_dtype)),
            "redshift": ("spectrum", shifts),
            "line": np.array(list(table), dtype=text_dtype),
            "rest_wave": ("line", np.array(list(table.values())), {"units": "um", "medium": "vacuum"}),
        },
    )


def _redshifts(redshift: Any, data: Sequence[SpectrumData]) -> FloatArray:
    values = [entry.redshift for entry in data] if redshift is None else redshift
    shifts = np.array([np.nan if z is None else z for z in np.atleast_1d(np.asarray(values, dtype=object))])
    shifts = shifts.astype(np.float64)
    if len(shifts) == 1:
        shifts = np.repeat(shifts, len(data))
    bad = ~(np.isfinite(shifts) & (shifts > -1))
    if len(shifts) != len(data) or bad.any():
        raise ValidationError(
            f"{int(bad.sum())} of {len(shifts)} redshifts missing or not above -1; {len(data)} spectra",
            hint="pass redshift=, one value a spectrum",
        )
    return shifts


def _table(
    lines: Sequence[str | float] | None, data: Sequence[SpectrumData], shifts: FloatArray
) -> dict[str, float]:
    """Return name and rest wavelength of the lines asked for."""
    known = {line["name"]: line["wave"] for line in EMISSION_LINES}
    if lines is None:
        low = min(entry.wavelength[0] / (1 + z) for entry, z in zip(data, shifts, strict=True))
        high = max(entry.wavelength[-1] / (1 + z) for entry, z in zip(data, shifts, strict=True))
        return {name: wave for name, wave in known.items() if low < wave < high}
    table = {}
    for line in [lines] if np.ndim(lines) == 0 else lines:
        if isinstance(line, str):
            if line not in known:
                raise ValidationError(f"no line {line!r}", hint=f"known: {', '.join(known)}; or pass microns")
            table[line] = known[line]
        else:
            wave = float(to_micron(line))
            if not 0 < wave < np.inf:
                raise ValidationError(f"no line at {line!r}", hint="pass a rest wavelength in microns")
            table[f"{wave:g}"] = wave
    if not table:
        raise ValidationError("no lines", hint="pass names or rest wavelengths, or None for all")
    return table


def _measure(
    data: SpectrumData, redshift: float, table: dict[str, float], width: float
) -> tuple[LineFluxes, BoolArray]:
    """Measure the lines of one spectrum; arrays of shape (line,)."""
    wave = np.asarray(data.wavelength, dtype=np.float64)
    covariance = good_covariance(data)
    if covariance is not None:
        to_flam = import_sparse().diags_array(fnu_to_flam(np.ones(len(wave)), wave))
        covariance = to_flam @ covariance @ to_flam
    others = np.array([line["wave"] for line in EMISSION_LINES]) * (1 + redshift)
    rows, blended = [], []
    fwhm_of_others = _fwhm(data, others, width)
    for rest in table.values():
        centre = rest * (1 + redshift)
        fwhm = float(_fwhm(data, np.array([centre]), width)[0])
        apart = np.abs(others - centre)
        other = apart > 1e-6 * centre
        avoid = np.any(np.abs(wave[:, None] - others[other]) < _HALF_WIDTH * fwhm_of_others[other], axis=1)
        blended.append(bool(np.any(other & (apart < _HALF_WIDTH * fwhm + fwhm_of_others))))
        rows.append(
            line_fluxes(
                wave,
                data.flam,
                data.flam_err,
                centre,
                _HALF_WIDTH * fwhm,
                (_SIDES[0] * fwhm, _SIDES[1] * fwhm),
                mask=data.mask,
                avoid=avoid,
                covariance=covariance,
            )
        )
    return LineFluxes(*(np.concatenate(parts) for parts in zip(*rows, strict=True))), np.array(blended)


def _fwhm(data: SpectrumData, wavelength: FloatArray, width: float) -> FloatArray:
    """Return the observed FWHM of lines in microns: instrument and line in quadrature."""
    if data.grating.upper() in GRATINGS:
        instrument = wavelength / resolving_power(data.grating, wavelength)
    else:
        instrument = _PIXELS_PER_FWHM * np.interp(
            wavelength, data.wavelength, np.gradient(np.asarray(data.wavelength, dtype=np.float64))
        )
    own = wavelength * (width * _KM / SPEED_OF_LIGHT)
    return np.asarray(np.hypot(instrument, own))
