"""Emission lines: direct fluxes, equivalent widths and upper limits, for one spectrum or many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from campfire.analysis.frames import check_frames, frame_of, redshift_numbers
from campfire.analysis.line_arrays import LineMethod, LineRows, LineTask, line_rows
from campfire.analysis.resolving_power import resolved_blocks, warn_assumed
from campfire.arguments import choice, number, shown, truth
from campfire.errors import ValidationError
from campfire.kernels.line_integration import REASONS, LineFluxes
from campfire.linelist import EMISSION_LINES, find_line, get_emission_lines
from campfire.schema import BROAD, LINES
from campfire.text import text_variable
from campfire.units import FLAM_UNIT, RELATIVE, to_micron

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from campfire.analysis.inputs import SpectraLike
    from campfire.kernels.line_fitting import WidthFit
    from campfire.models import SpectrumData
    from campfire.typing import FloatArray, IntArray

__all__ = ["EMISSION_LINES", "get_emission_lines", "measure_lines"]

_LIMIT = 3.0
_ABSOLUTE = ("erg s-1 cm-2", FLAM_UNIT)
_TYPICAL = 300.0  # km/s
_WIDEST = 30_000.0
_SAME = 1e-6  # wavelengths closer than this part of themselves are one line
_STRONGEST = ("Hα", "[OIII]₂", "Lyα", "[OII]", "Hβ", "Paα", "Paβ", "HeI10830", "[SIII]₂", "Hγ")


def measure_lines(
    spectra: SpectraLike,
    lines: Sequence[str | float] | None = None,
    redshift: float | Sequence[float] | None = None,
    *,
    width: float | str = "tied",
    method: LineMethod | None = None,
    broad: bool = False,
) -> xr.Dataset:
    """Measure emission lines, by a fit of their profiles or by integration.

    ``"profile"`` fits Gaussians integrated over the pixels and a straight continuum to all pixels within 6
    FWHM, with their covariance where there is one (``fnu_cov``): the least possible error. Lines are as wide
    as the resolving power and ``width`` make them, neighbours are fitted together, the doublets of [O III]
    and [N II] have their fixed ratios (``campfire.linelist.DOUBLETS``). ``"window"`` integrates 1.5 FWHM
    to both sides above a straight continuum at 2 to 6 FWHM: an error of some 1.5 times that, and little
    dependence on the width. Both are made; where they differ by more than 3 sigma, ``disagrees`` says so: a
    width, a shape or a neighbour is not as assumed. Unless ``broad`` is True, the wings of a broad line, as
    active nuclei have them, count as flux of the line and of its neighbours, in both.

    In both, lines closer than 0.85 FWHM are measured as one, which ``blend`` names; FWHM is that of the
    instrument, of the line and of the pixels in quadrature.

    Parameters
    ----------
    spectra
        One spectrum, a collection, a list, a Dataset or a DataTree. What they bring along as
        ``resolving_power`` is used, else that of the grating. Lazy ones are read a block at a time.
    lines
        Names from :data:`~campfire.EMISSION_LINES` or as they are typed (``Ha``, ``OIII5007``; see
        :func:`campfire.linelist.find_line`), or rest wavelengths in microns or Quantities (vacuum). By
        default all that fall into one of the spectra.
    redshift
        One value a spectrum, or one for all; by default the redshift of each spectrum, which is 0 in the
        rest frame.
    width
        FWHM of the lines themselves in km/s (or a Quantity); or ``"tied"``, one for all lines of a spectrum,
        or ``"free"``, one for each blend, both found by the fit. These also scale the width of the
        instrument, as compact sources need it, and are held by priors where lines are faint: up to 600 km/s,
        the instrument within some 30 %. Integration alone takes 300 km/s for either.
    method
        ``"profile"`` or ``"window"``; by default the first where there is one known resolving power: not for
        stacks of several gratings or redshifts that were not matched, nor for medians, whose covariance is
        only approximate.
    broad
        Whether permitted lines of hydrogen and helium (``campfire.linelist.BROAD_LINES``) have a broad
        component beside the narrow one, where a spectrum whose profiles are fitted has evidence for it: all
        of one width between 800 and 8000 km/s, for lines of an S/N above 5, if the Bayesian information
        criterion is lower by 10 with them. They are taken off, and all else is of the narrow lines.

    Returns
    -------
    xarray.Dataset
        Over ``spectrum`` and ``line``: ``flux``, ``flux_err`` and ``upper_limit`` (3 sigma above the flux, or
        above 0 where that is negative: 99.87 % of true fluxes are below) in erg s-1 cm-2;
        ``continuum``, ``continuum_err`` in erg s-1 cm-2 angstrom-1; ``equivalent_width``,
        ``equivalent_width_err`` in angstrom in the rest frame, positive in emission; ``coverage``, the part
        of the line's profile on good pixels; ``blended``, where more than 1 % of another known line is in
        the window; ``blend``, the names of the lines of which this is the total (empty for a line by
        itself), given once, for the strongest of those asked for; ``reason``, why a line is NaN:
        ``outside``, ``masked`` (coverage below 0.7), ``neighbour masked``, ``no continuum``, or
        ``measured with`` another line; ``window_flux``, ``window_flux_err`` and ``disagrees``; ``fwhm``,
        ``fwhm_err`` of the line before the pixels and ``line_width``, ``line_width_err`` of the line itself,
        in km/s; NaN for the errors of widths that are given. With ``broad=True`` also ``broad_flux`` and
        ``broad_flux_err``, NaN for lines without a broad component, and over ``spectrum`` their FWHM
        ``broad_width``, ``broad_width_err`` and ``broad_evidence``, how much lower the criterion is with
        them.
        Fluxes and continua of normalised spectra are relative and have the unit ``1``. Coordinates
        ``rest_wave`` (um), ``redshift``, and ``method`` over ``spectrum``, which of both ``flux`` is.

    Raises
    ------
    ValidationError
        For a line, method or width that is not known, spectra without a redshift, a redshift of spectra in
        the rest frame, or spectra of which some are normalised.

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
    table = _table(lines)
    names, rest = _all_lines(table)
    fit: WidthFit = "given"
    own = _TYPICAL
    if isinstance(width, str):
        fit = cast("WidthFit", choice(width, "width", ("tied", "free")))
    else:
        own = number(width, "width", least=0, most=_WIDEST, unit="km/s")
    if method is not None:
        choice(method, "method", ("profile", "window"))
    wanted = np.array([np.argmin(np.abs(rest - wave)) for wave in table.values()], dtype=np.intp)
    task = LineTask(names, rest, wanted, method, own, fit, truth(broad, "broad"))
    shifts, collected = _Redshifts(redshift), _Collected()
    for entries in resolved_blocks(spectra):
        data = [entry.data for entry in entries]
        z = shifts.of(data)
        relative = check_frames(data, "lines", z)[0].relative
        collected.add(data, z, line_rows(entries, 1.0 + z[:, None], task), relative=relative)
    shifts.end()
    warn_assumed([guess for rows in collected.rows for guess in rows.assumed], collected.ids, stacklevel=3)
    result = _dataset(collected, table, names, wanted)
    if lines is None:
        inside = (collected.low < result["rest_wave"]) & (result["rest_wave"] < collected.high)
        result = result.isel(line=np.flatnonzero(inside.values))
    return result


class _Redshifts:
    """Redshifts of spectra that come some at a time."""

    def __init__(self, given: Any) -> None:
        self._given = None if given is None else np.atleast_1d(redshift_numbers(given))
        if self._given is not None and self._given.ndim > 1:
            raise ValidationError(f"redshifts of shape {self._given.shape}", hint="pass one value a spectrum")
        self._used = 0

    def of(self, data: Sequence[SpectrumData]) -> FloatArray:
        """Return those of the next spectra."""
        count, first = len(data), self._used
        self._used += count
        if self._given is None:
            values = redshift_numbers([0.0 if frame_of(one).rest else one.redshift for one in data])
        elif len(self._given) == 1:
            values = np.repeat(self._given, count)
        else:
            values = self._given[first : self._used]
        bad = ~(np.isfinite(values) & (values > -1))
        if len(values) != count or bad.any():
            total = self._used if self._given is None else len(self._given)
            raise ValidationError(
                f"{int(bad.sum())} of {total} redshifts missing or not above -1; {self._used} spectra",
                hint="pass redshift=, one value a spectrum",
            )
        return values

    def end(self) -> None:
        """Raise for redshifts that are left over."""
        if self._given is not None and len(self._given) not in (1, self._used):
            raise ValidationError(
                f"{len(self._given)} redshifts for {self._used} spectra",
                hint="pass redshift=, one value a spectrum",
            )


class _Collected:
    """Results of blocks of spectra, joined."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.rows: list[LineRows] = []
        self.shifts: list[FloatArray] = []
        self.low, self.high = np.inf, 0.0
        self.relative: bool | None = None

    def add(
        self, data: Sequence[SpectrumData], shifts: FloatArray, rows: LineRows, *, relative: bool
    ) -> None:
        if self.relative not in (None, relative):
            raise ValidationError(
                "some of the spectra are normalised, others are not", hint="pass spectra of one unit"
            )
        self.relative = relative
        self.ids += [entry.spectrum_id for entry in data]
        self.rows.append(rows)
        self.shifts.append(shifts)
        for entry, z in zip(data, shifts, strict=True):
            self.low = min(self.low, float(entry.wavelength[0]) / (1 + z))
            self.high = max(self.high, float(entry.wavelength[-1]) / (1 + z))

    def columns(self, names: Sequence[str], wanted: IntArray) -> tuple[dict[str, Any], FloatArray]:
        """Return the variables over (spectrum, line) as plain arrays, and the redshifts."""
        shifts = np.concatenate(self.shifts)
        found = LineFluxes(*map(np.concatenate, zip(*(rows.found for rows in self.rows), strict=True)))
        blend, reason = _blends(found, names, wanted)
        stretch = 1.0 + shifts[:, None]
        values = {
            "flux": found.flux,
            "flux_err": found.flux_err,
            "upper_limit": np.maximum(found.flux, 0.0) + _LIMIT * found.flux_err,
            "continuum": found.continuum,
            "continuum_err": found.continuum_err,
            "equivalent_width": found.width / stretch,
            "equivalent_width_err": found.width_err / stretch,
        }
        for name in self.rows[0].more:
            values[name] = np.concatenate([rows.more[name] for rows in self.rows])
        values = {name: np.where(reason == "", array, np.nan) for name, array in values.items()}
        values["disagrees"] = np.concatenate([rows.disagrees for rows in self.rows]) & (reason == "")
        for name in self.rows[0].broad:
            values[name] = np.concatenate([rows.broad[name] for rows in self.rows])
        values |= {"coverage": found.coverage, "blended": found.blended, "blend": blend, "reason": reason}
        return values, shifts


def _dataset(
    collected: _Collected, table: dict[str, float], names: Sequence[str], wanted: IntArray
) -> xr.Dataset:
    import xarray as xr

    values, shifts = collected.columns(names, wanted)
    profile = np.concatenate([rows.profile for rows in collected.rows])
    over = ("spectrum", "line")
    variables: dict[str, Any] = {}
    specs = dict(LINES) | {name: spec for name, spec in BROAD.items() if name in values}
    for name, spec in specs.items():
        attrs = ({"units": spec.units} if spec.units else {}) | dict(spec.attrs)
        if collected.relative and spec.units in _ABSOLUTE:
            attrs["units"] = RELATIVE
            if spec.units != FLAM_UNIT and not name.endswith("err"):
                attrs["long_name"] += ", in erg s-1 cm-2 for a level of 1 uJy"
        text = spec.dtype == "text"
        dims = over[: values[name].ndim]
        variables[name] = text_variable(dims, values[name], attrs) if text else (dims, values[name], attrs)
    return xr.Dataset(
        variables,
        coords={
            "spectrum_id": text_variable("spectrum", collected.ids),
            "redshift": ("spectrum", shifts),
            "method": text_variable(
                "spectrum",
                np.where(profile, "profile", "window").astype(object),
                {"long_name": "how lines were measured"},
            ),
            "line": text_variable("line", list(table)),
            "rest_wave": ("line", np.array(list(table.values())), {"units": "um", "medium": "vacuum"}),
        },
    )


def _table(lines: Sequence[str | float] | None) -> dict[str, float]:
    """Return name and rest wavelength of the lines asked for."""
    if lines is None:
        return {line["name"]: line["wave"] for line in EMISSION_LINES}
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
