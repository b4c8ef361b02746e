"""Emission lines: direct fluxes, equivalent widths and upper limits, for one spectrum or many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.frames import check_frames, frame_of, redshift_numbers
from campfire.analysis.given_spectra import good_covariance
from campfire.analysis.resolution import instrumental_fwhm, resolved_spectra
from campfire.arguments import number, shown
from campfire.errors import ValidationError
from campfire.kernels.lines import REASONS, LineFluxes, line_fluxes
from campfire.linelist import EMISSION_LINES, find_line, get_emission_lines
from campfire.text import text_variable
from campfire.units import FLAM_UNIT, RELATIVE, SPEED_OF_LIGHT, fnu_to_flam, to_micron

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from campfire.analysis.given_spectra import SpectraLike
    from campfire.models import SpectrumData
    from campfire.typing import FloatArray, IntArray

__all__ = ["EMISSION_LINES", "get_emission_lines", "measure_lines"]

_LIMIT = 3.0
_KM = 1e3
_SAME = 1e-6  # wavelengths closer than this part of themselves are one line
_STRONGEST = ("Hα", "[OIII]₂", "Lyα", "[OII]", "Hβ", "Paα", "Paβ", "HeI10830", "[SIII]₂", "Hγ")


def measure_lines(
    spectra: SpectraLike,
    lines: Sequence[str | float] | None = None,
    redshift: float | Sequence[float] | None = None,
    *,
    width: float = 300.0,
) -> xr.Dataset:
    """Measure emission lines by integration over a local linear continuum.

    The window reaches 1.5 FWHM to both sides of the line, the continuum is fitted from 2 to 6 FWHM, leaving
    out the windows of other known lines; FWHM is that of the instrument, of the line and of the pixels in
    quadrature. What is missing on masked pixels is corrected for by the profile of the line. Neighbours are
    told apart by their profiles; lines closer than one FWHM are measured as one, which ``blend`` names.

    Parameters
    ----------
    spectra
        One spectrum, a collection, a list, a Dataset or a DataTree. What they bring along as
        ``resolving_power`` is used, else that of the grating.
    lines
        Names from :data:`~campfire.EMISSION_LINES` or as they are typed (``Ha``, ``OIII5007``; see
        :func:`campfire.linelist.find_line`), or rest wavelengths in microns or Quantities (vacuum). By
        default all that fall into one of the spectra.
    redshift
        One value a spectrum, or one for all; by default the redshift of each spectrum, which is 0 in the
        rest frame.
    width
        FWHM of the lines themselves, km/s.

    Returns
    -------
    xarray.Dataset
        Over ``spectrum`` and ``line``: ``flux``, ``flux_err`` and ``upper_limit`` (3 sigma) in erg s-1 cm-2;
        ``continuum``, ``continuum_err`` in erg s-1 cm-2 angstrom-1; ``equivalent_width``,
        ``equivalent_width_err`` in angstrom in the rest frame, positive in emission; ``coverage``, the part
        of the line's profile on good pixels; ``blended``, where more than 1 % of another known line is in
        the window; ``blend``, the names of the lines of which this is the total (empty for a line by
        itself), given once, for the strongest of those asked for; ``reason``, why a line is NaN:
        ``outside``, ``masked`` (coverage below 0.7), ``neighbour masked``, ``no continuum``, or
        ``measured with`` another line. Fluxes and continua of normalised spectra are relative and have the
        unit ``1``. Coordinates ``rest_wave`` (um) and ``redshift``.

    Raises
    ------
    ValidationError
        For a line that is not known, spectra without a redshift, a redshift of spectra in the rest frame, or
        spectra of which some are normalised.

    Warns
    -----
    CampfireWarning
        For spectra whose resolving power is not known; it says what is assumed.

    Examples
    --------
    >>> from campfire.models import SpectrumData
    >>> wave = np.linspace(2.9, 5.1, 1300)
    >>> flam = 1e-20 + 1e-18 * np.exp(-0.5 * ((wave - 0.4862683 * 7) / 0.002) ** 2)
    >>> fnu = flam * wave**2 / 2.99792458e-19
    >>> spec = SpectrumData(wave, fnu, np.full(1300, 0.01), {}, "G395M", "demo", redshift=6.0)
    >>> found = measure_lines(spec, ["Hβ"])
    >>> f"{found.flux.values[0, 0]:.1e}"  # 1e-18 * 20 angstrom * sqrt(2 pi)
    '5.0e-17'
    """
    import xarray as xr

    width = number(width, "width", least=0)
    entries = resolved_spectra(spectra)
    data = [entry.data for entry in entries]
    shifts = _redshifts(redshift, data)
    relative = check_frames(data, "lines", shifts)[0].relative
    table = _table(lines, data, shifts)
    names, rest = _all_lines(table)
    stretch = 1.0 + shifts[:, None]
    centre = rest * stretch
    fwhm = np.hypot(instrumental_fwhm(entries, centre), centre * (width * _KM / SPEED_OF_LIGHT))
    wanted = np.array([np.argmin(np.abs(rest - wave)) for wave in table.values()])
    found = _measure(data, centre, fwhm, wanted)
    blend, reason = _blends(found, names, wanted)
    measured = reason == ""
    line_unit, flam_unit = (RELATIVE, RELATIVE) if relative else ("erg s-1 cm-2", FLAM_UNIT)
    level = ", in erg s-1 cm-2 for a level of 1 uJy" if relative else ""

    over = ("spectrum", "line")

    def variable(values: Any, units: str | None, text: str) -> Any:
        return (over, values, ({"units": units} if units else {}) | {"long_name": text})

    def value(values: FloatArray, units: str, text: str) -> Any:
        return variable(np.where(measured, values, np.nan), units, text)

    return xr.Dataset(
        {
            "flux": value(found.flux, line_unit, f"line flux{level}"),
            "flux_err": value(found.flux_err, line_unit, "1-sigma error of flux"),
            "upper_limit": value(
                _LIMIT * found.flux_err, line_unit, "3-sigma upper limit of a line not seen"
            ),
            "continuum": value(found.continuum, flam_unit, "continuum under the line"),
            "continuum_err": value(found.continuum_err, flam_unit, "1-sigma error of continuum"),
            "equivalent_width": value(
                found.width / stretch, "angstrom", "rest-frame equivalent width, emission > 0"
            ),
            "equivalent_width_err": value(
                found.width_err / stretch, "angstrom", "1-sigma error of equivalent_width"
            ),
            "coverage": variable(found.coverage, None, "part of the line's profile on good pixels"),
            "blended": variable(found.blended, None, "more than 1 % of another known line is in the window"),
            "blend": text_variable(
                over, blend, {"long_name": "lines of which this is the total; empty for one by itself"}
            ),
            "reason": text_variable(
                over, reason, {"long_name": "why the line is NaN; empty where it is measured"}
            ),
        },
        coords={
            "spectrum_id": text_variable("spectrum", [entry.spectrum_id for entry in data]),
            "redshift": ("spectrum", shifts),
            "line": text_variable("line", list(table)),
            "rest_wave": ("line", np.array(list(table.values())), {"units": "um", "medium": "vacuum"}),
        },
    )


def _redshifts(redshift: Any, data: Sequence[SpectrumData]) -> FloatArray:
    own = [0.0 if frame_of(entry).rest else entry.redshift for entry in data]
    values = own if redshift is None else redshift
    shifts = np.atleast_1d(redshift_numbers(values))
    if shifts.ndim > 1:
        raise ValidationError(f"redshifts of shape {shifts.shape}", hint="pass one value a spectrum")
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
    given: Any = lines
    single = isinstance(given, str | bytes) or not isinstance(given, Iterable)
    if isinstance(given, Mapping):
        raise ValidationError(f"lines={shown(lines)}", hint="pass names or rest wavelengths")
    for line in [given] if single or np.ndim(given) == 0 else given:
        if isinstance(line, str):
            found = find_line(line)
            table[found["name"]] = found["wave"]
        else:
            wave = float(to_micron(line))
            if not 0 < wave < np.inf:
                raise ValidationError(f"no line at {line!r}", hint="pass a rest wavelength in microns")
            table[f"{wave:g}"] = wave
    if not table:
        raise ValidationError("no lines", hint="pass names or rest wavelengths, or None for all")
    return table


def _all_lines(table: dict[str, float]) -> tuple[list[str], FloatArray]:
    """Return names and rest wavelengths of the lines that may be there, asked for or not, by wavelength."""
    found: dict[str, float] = {}
    for name, wave in {**{line["name"]: line["wave"] for line in EMISSION_LINES}, **table}.items():
        if all(abs(wave - other) > _SAME * wave for other in found.values()):
            found[name] = wave
    names = sorted(found, key=found.__getitem__)
    return names, np.array([found[name] for name in names])


def _measure(
    data: Sequence[SpectrumData], centre: FloatArray, fwhm: FloatArray, wanted: IntArray
) -> LineFluxes:
    """Measure the lines of all spectra together, padded to one length."""
    first = data[0].wavelength
    if all(entry.wavelength is first or np.array_equal(entry.wavelength, first) for entry in data):
        wave = np.asarray(first, dtype=np.float64)
    else:
        wave = np.full((len(data), max(len(entry) for entry in data)), np.nan)
    shape = (len(data), wave.shape[-1])
    flam, flam_err, mask = np.full(shape, np.nan), np.full(shape, np.nan), np.ones(shape, dtype=bool)
    covariance = []
    for k, entry in enumerate(data):
        n = len(entry)
        # fnu is what everything is computed from: f_lambda of a file does not follow a correction of it
        wavelength = np.asarray(entry.wavelength, dtype=np.float64)
        flam[k, :n] = fnu_to_flam(np.asarray(entry.fnu, dtype=np.float64), wavelength)
        flam_err[k, :n] = fnu_to_flam(np.asarray(entry.fnu_err, dtype=np.float64), wavelength)
        mask[k, :n] = entry.mask
        if wave.ndim == 2:
            wave[k, :n] = entry.wavelength
        matrix = good_covariance(entry)
        if matrix is not None:
            matrix = matrix.scaled(fnu_to_flam(np.ones(n), wavelength))
        covariance.append(matrix)
    correlated = covariance if any(matrix is not None for matrix in covariance) else None
    return line_fluxes(wave, flam, flam_err, centre, fwhm, wanted, mask=mask, covariance=correlated)


def _blends(found: LineFluxes, names: Sequence[str], wanted: IntArray) -> tuple[Any, Any]:
    """Return the names of each blend, and why a line is NaN: a blend is given to the strongest only."""
    order = [*_STRONGEST, *(name for name in names if name not in _STRONGEST)]
    rank = np.array([order.index(names[k]) for k in wanted])
    together = found.first[:, :, None] == found.first[:, None, :]
    best = np.min(np.where(together, rank, len(order)), axis=2, initial=len(order))
    reason = np.array(REASONS, dtype=object)[found.reason]
    led = (best < rank) & (found.reason == 0)
    reason[led] = [f"measured with {order[k]}" for k in best[led]]
    blend = np.full(reason.shape, "", dtype=object)
    several = found.last > found.first
    pairs = zip(found.first[several], found.last[several], strict=True)
    blend[several] = ["+".join(names[a : b + 1]) for a, b in pairs]
    return blend, reason
