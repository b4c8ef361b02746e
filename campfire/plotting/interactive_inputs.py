"""What interactive plots are given, checked: payloads of the service, spectra, colours, ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from campfire.arguments import choice, integer, mapping, number, shown, text
from campfire.errors import ValidationError
from campfire.units import fnu_to_flam

if TYPE_CHECKING:
    import xarray as xr

    from campfire.typing import FloatArray, SpectrumFields

__all__ = [
    "PAYLOAD_HINT",
    "Drawable",
    "array",
    "fluxes",
    "hex_color",
    "layout_of",
    "one_number",
    "payload",
    "snr_limits",
    "spread",
]


class WithFields(Protocol):
    """A ``SpectrumData``."""

    def to_fields(self) -> SpectrumFields: ...


Drawable: TypeAlias = "Mapping[str, Any] | WithFields | xr.Dataset"
"""Of what the one-dimensional spectrum can be drawn: a payload, a spectrum, or the Dataset of one."""

PAYLOAD_HINT = "pass what get_spectrum_data() or get_redshift_fit_data() returned"
TEMPLATES = ("plotly_white", "plotly_dark")


def absent(data: Mapping[str, Any], key: str) -> ValidationError:
    return ValidationError(
        f"the data have no {key!r} (they have {', '.join(map(str, data))})", hint=PAYLOAD_HINT
    )


def array(data: Mapping[str, Any], key: str, length: int | None = None) -> FloatArray:
    """Return one list of a payload as floats, null as NaN."""
    if key not in data:
        raise absent(data, key)
    try:
        values = np.array([np.nan if v is None else v for v in data[key]], dtype=float)
        if values.ndim != 1:
            raise TypeError("one value a pixel")
    except (TypeError, ValueError) as err:
        raise ValidationError(f"{key!r} is {shown(data[key])}", hint="expected a list of numbers") from err
    if length is not None and values.shape != (length,):
        raise ValidationError(f"{key!r} has {values.size} values", hint=f"expected {length}, as its grid has")
    return values


def one_number(data: Mapping[str, Any], key: str) -> float:
    """Return one number of a payload."""
    if key not in data:
        raise absent(data, key)
    return number(data[key], key)


def fluxes(data: Mapping[str, Any], kind: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return wavelength, flux and error in a unit, NaN where either is bad."""
    wave = array(data, "wave")
    flux, error = array(data, "fnu", wave.size), array(data, "fnu_err", wave.size)
    bad = ~(np.isfinite(flux) & np.isfinite(error) & (error > 0))
    flux, error = np.where(bad, np.nan, flux), np.where(bad, np.nan, error)
    return (
        (wave, fnu_to_flam(flux, wave), fnu_to_flam(error, wave)) if kind == "flam" else (wave, flux, error)
    )


def payload(data: Any, name: str) -> Mapping[str, Any]:
    """Return a payload as it is, and what is drawn of a spectrum of ours or of its Dataset as one."""
    if hasattr(data, "to_fields"):
        fields = data.to_fields()
        shown_flux = np.where(fields["mask"], np.nan, fields["fnu"])
        return {"wave": fields["wavelength"], "fnu": shown_flux, "fnu_err": fields["fnu_err"]}
    if hasattr(data, "data_vars") and {"fnu", "fnu_err", "wavelength"} <= set(data.variables):
        if data["fnu"].ndim != 1:
            raise ValidationError(
                f"{name} has {data.sizes.get('spectrum', 'many')} spectra", hint="pass one: isel(spectrum=0)"
            )
        flux = data["fnu"].values
        flux = np.where(data["dq"].values != 0, np.nan, flux) if "dq" in data.variables else flux
        return {"wave": data["wavelength"].values, "fnu": flux, "fnu_err": data["fnu_err"].values}
    return mapping(data, name, PAYLOAD_HINT)


def hex_color(color: Any) -> str:
    """Return a colour, checked to be of the form that all our figures can shade."""
    if not (isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color)):
        raise ValidationError(f"accent_color={shown(color)}", hint="write it as '#rrggbb'")
    return color


def layout_of(title: Any, width: Any, height: Any, template: Any) -> dict[str, Any]:
    """Return what all figures are laid out with, checked: plotly would say it in twenty lines."""
    return {
        "template": choice(template, "template", TEMPLATES),
        "title": None if title is None else text(title, "title"),
        "width": integer(width, "width", least=10),
        "height": integer(height, "height", least=10),
    }


def spread(places: Sequence[float], least: float) -> list[float]:
    """Return places, ascending, moved as little as it takes to be at least so far from each other.

    Examples
    --------
    >>> spread([1.0, 1.1, 5.0], 0.5)
    [0.8, 1.3, 5.0]
    """
    groups: list[list[float]] = []  # sum of (place - own shift), number
    for place in places:
        groups.append([place, 1.0])
        while len(groups) > 1:
            (left, n), (right, m) = groups[-2], groups[-1]
            if right / m - left / n >= least * (n + m) / 2:
                break
            groups[-2:] = [[left + right, n + m]]
    return [round(total / n + (k - (n - 1) / 2) * least, 9) for total, n in groups for k in range(int(n))]


def snr_limits(given: Any) -> tuple[float, float]:
    """Return the ends of the colour scale."""
    try:
        low, high = given
    except (TypeError, ValueError) as err:
        raise ValidationError(f"snr_range={shown(given)}", hint="pass (lowest, highest)") from err
    return number(low, "the lowest of snr_range"), number(high, "the highest of snr_range")
