"""Whatever holds spectra, as a list of ``SpectrumData``; and headers that say what was done."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from campfire.analysis.frames import frame_cards, frame_of
from campfire.arguments import number, shown, text, truth
from campfire.collection.covariance import correlations, row_matrices
from campfire.collection.gridding import GRID_HINT, log_grid
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.combine import Combiner, check_rng, find_combiner
from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import check_grid, rising
from campfire.models import Spectrum, SpectrumCollection, SpectrumData
from campfire.schema import SPECTRUM, attr_text, mended, state_of
from campfire.units import RELATIVE, to_micron

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike

    from campfire.typing import FloatArray

    SpectrumLike: TypeAlias = Spectrum | SpectrumData | xr.Dataset
    SpectraLike: TypeAlias = (
        SpectrumLike | SpectrumCollection | xr.DataTree | Iterable[SpectrumLike | SpectrumCollection]
    )

__all__ = [
    "SpectraLike",
    "SpectrumLike",
    "as_grid",
    "as_lines",
    "as_spectra",
    "as_spectrum",
    "as_window",
    "check_stacking",
    "good_covariance",
    "warn_apart",
    "warn_left_out",
    "with_history",
]

_ACCEPTED = "pass a Spectrum, a SpectrumData, or the Dataset of one spectrum"
_ACCEPTED_MANY = "pass a SpectrumCollection, a Dataset or DataTree, or a list of spectra"


def as_spectrum(spectrum: SpectrumLike) -> SpectrumData:
    """Return one spectrum with its arrays, opened where that is still to be done.

    One whose wavelengths decrease throughout is turned round.

    Raises
    ------
    ValidationError
        If it is something else, holds more than one spectrum, or its wavelengths are in no order.
    """
    if isinstance(spectrum, Spectrum):
        spectrum = spectrum.open()
    elif _is_xarray(spectrum, "Dataset"):
        spectrum = SpectrumData.from_xarray(cast("xr.Dataset", spectrum))
    if not isinstance(spectrum, SpectrumData):
        raise ValidationError(f"not a spectrum: {type(spectrum).__name__}", hint=_ACCEPTED)
    if rising(spectrum.wavelength) is not ...:
        spectrum = _turned(spectrum)
    check_grid(spectrum.wavelength, f"wavelength of {spectrum.spectrum_id or 'the spectrum'}")
    return spectrum


def _turned(spectrum: SpectrumData) -> SpectrumData:
    fields: dict[str, Any] = {**spectrum.to_fields()}
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            fields[name] = value[::-1]
    if spectrum.pixel_covariance is not None:
        fields["covariance"] = Covariance.of(spectrum.pixel_covariance).at(slice(None, None, -1))
    return SpectrumData(**fields)


def as_spectra(spectra: SpectraLike) -> list[SpectrumData]:
    """Return all spectra of a collection, tree, Dataset, list, or a single one, in order.

    Raises
    ------
    ValidationError
        If there is none, or something is not a spectrum.
    """
    found = list(_each(spectra))
    if not found:
        raise ValidationError("no spectra", hint=_ACCEPTED_MANY)
    return found


def _each(spectra: Any) -> Iterator[SpectrumData]:
    if isinstance(spectra, Spectrum | SpectrumData):
        yield as_spectrum(spectra)
    elif _is_xarray(spectra, "DataTree"):
        for node in spectra.subtree:
            if "fnu" in node.data_vars:
                yield from _rows(node.to_dataset())
    elif _is_xarray(spectra, "Dataset"):
        yield from _rows(spectra)
    elif isinstance(spectra, Iterable) and not isinstance(spectra, str | bytes | Mapping | np.ndarray):
        for item in spectra:
            yield from _each(item)
    else:
        raise ValidationError(f"not spectra: {type(spectra).__name__}", hint=_ACCEPTED_MANY)


def _rows(ds: xr.Dataset) -> Iterator[SpectrumData]:
    """Yield the spectra of a Dataset of one or many; padding is cut off."""
    ds = mended(ds)
    if state_of(ds) == SPECTRUM:
        yield as_spectrum(ds)
        return
    ds = ds.compute()
    shared = ds["wavelength"].ndim == 1
    correlated = correlations(ds)
    frame = frame_of(ds)
    units = {"fnu_units": RELATIVE, "flam_units": RELATIVE} if frame.relative else {}
    for k in range(ds.sizes["spectrum"]):
        row = ds.isel(spectrum=k)
        wave = np.asarray(ds["wavelength"].values if shared else row["wavelength"].values)
        keep = np.isfinite(wave)
        redshift = 0.0 if frame.rest else _scalar(row, "redshift")
        data = SpectrumData(
            wave[keep],
            row["fnu"].values[keep],
            row["fnu_err"].values[keep],
            frame_cards(frame),
            str(_scalar(row, "grating") or attr_text(ds.attrs, "grating")),
            str(_scalar(row, "spectrum_id") or ""),
            mask=row["dq"].values[keep] != 0 if "dq" in row else None,
            redshift=None if redshift is None else float(redshift),
            **units,
        )
        if correlated:
            good = np.zeros((1, len(wave)), dtype=bool)
            good[0, keep] = ~data.mask
            matrix = row_matrices(*(values[k : k + 1] for values in correlated), good=good)[0]
            data.covariance = matrix.at(keep).plain
        yield as_spectrum(data)


def _scalar(row: xr.Dataset, name: str) -> Any:
    return row[name].item() if name in row.variables and row[name].ndim == 0 else None


def _is_xarray(value: object, kind: str) -> bool:
    """Tell whether a value is of a class of xarray, without importing it for those who do not use it."""
    return any(c.__name__ == kind and c.__module__.startswith("xarray.") for c in type(value).__mro__)


def as_grid(grid: ArrayLike, name: str) -> FloatArray:
    """Return pixel centres (numbers in microns, or a Quantity) as a checked float64 array, increasing.

    ``("log", low, high, R)`` are even steps in ln(wavelength), 1 / R each, from one wavelength to the other.

    Raises
    ------
    ValidationError
        If they are not numbers, or in no order.

    Examples
    --------
    >>> as_grid(("log", 0.3, 0.6, 2000.0), "grid").size
    1387
    """
    if isinstance(grid, str):
        raise ValidationError(f"{name} is {grid!r}", hint=GRID_HINT)
    centres = to_micron(log_grid(grid, name))
    return check_grid(centres[rising(centres)], name)


def check_stacking(
    method: str,
    object_id: object,
    sigma_clip: object,
    rng: object,
    match_resolution: object,
    jackknife: object,
) -> Combiner:
    """Return the combiner of a stack, after a check of the options that go with it.

    Raises
    ------
    ValidationError
        For an option that no stack takes.
    """
    if object_id is not None:
        text(object_id, "object_id")
    if sigma_clip is not None:
        number(sigma_clip, "sigma_clip", above=0)
    truth(match_resolution, "match_resolution")
    check_rng(rng)
    combiner = find_combiner(method)
    if truth(jackknife, "jackknife"):
        if rng is not None:
            raise ValidationError("jackknife=True and rng=", hint="one of both: rng= is for the bootstrap")
        if combiner.whole_columns:
            raise ValidationError("a median has no jackknife", hint="pass rng=, a seed, for the bootstrap")
    return combiner


def good_covariance(spectrum: SpectrumData) -> Covariance | None:
    """Return the covariance of a spectrum without what belongs to masked pixels; None where there is none."""
    return (
        None
        if spectrum.pixel_covariance is None
        else Covariance.of(spectrum.pixel_covariance).good(~spectrum.mask)
    )


def with_history(header: Mapping[str, Any], line: str, **cards: Any) -> dict[str, Any]:
    """Return a copy of a header with cards set and one line added to its HISTORY."""
    return {**header, **cards, "HISTORY": [*as_lines(header.get("HISTORY")), line]}


def as_lines(card: Any) -> list[str]:
    """Return a card that may be absent, one, or repeated, as a list of text."""
    return [] if card is None else [str(line) for line in card] if isinstance(card, list) else [str(card)]


def as_window(normalize: Any) -> tuple[float, float] | None:
    """Return a range of wavelengths, (low, high) in microns or Quantities, as two numbers of microns.

    None of None.

    Raises
    ------
    ValidationError
        If it is not two wavelengths, low first.
    """
    if normalize is None:
        return None
    try:
        low, high = (float(to_micron(edge)) for edge in normalize)
    except (TypeError, ValueError) as err:
        raise ValidationError(f"normalize={shown(normalize)}", hint="pass (low, high) in microns") from err
    if not 0 < low < high:
        raise ValidationError(f"normalize={shown(normalize)}", hint="pass (low, high) in microns, low first")
    return low, high


def warn_left_out(
    names: Sequence[str], total: int, window: tuple[float, float], *, stacklevel: int = 2
) -> None:
    """Warn that spectra without a level to normalise by are not in a stack."""
    low, high = window
    warnings.warn(
        f"{len(names)} of {total} spectra are left out, without a positive mean flux at "
        f"{low:g}-{high:g} um: {', '.join(names[:5])}{'...' if len(names) > 5 else ''}",
        CampfireWarning,
        stacklevel=stacklevel,
    )


def warn_apart(grid: FloatArray, low: float, high: float, *, stacklevel: int = 2) -> None:
    """Warn of a grid that lies outside what spectra cover, if it does."""
    if (grid[0] <= high and grid[-1] >= low) or low > high:
        return
    warnings.warn(
        f"the grid covers {grid[0]:g}-{grid[-1]:g} um, the spectra {low:g}-{high:g} um: no pixel is left. "
        "Grids are in microns and in the frame of the result; pass a Quantity for other units",
        CampfireWarning,
        stacklevel=stacklevel,
    )
