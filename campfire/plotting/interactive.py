"""Plotly figures of the service's plotting payloads (extra ``plotting``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.arguments import choice, integer, mapping, number, shown, text, truth
from campfire.errors import ValidationError
from campfire.installation import missing_extra
from campfire.linelist import get_emission_lines
from campfire.plotting.labels import flux_kind
from campfire.plotting.static import flux_limits
from campfire.units import fnu_to_flam

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from campfire.typing import FloatArray

__all__ = ["COLORMAPS", "plot_redshift_fit", "plot_spectrum", "plot_spectrum_simple"]

COLORMAPS = ("viridis", "plasma", "inferno", "magma", "cividis", "greys")
ACCENT = "#ec4899"
_PAYLOAD = "pass what get_spectrum_data() or get_redshift_fit_data() returned"
WAVE_TITLE = "Observed wavelength [μm]"
FLUX_TITLES = {"fnu": "f<sub>ν</sub> [μJy]", "flam": "f<sub>λ</sub> [erg s⁻¹ cm⁻² Å⁻¹]"}


def _plotly() -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError as err:
        raise missing_extra("interactive plots need plotly", "plotting") from err
    return go


def _absent(data: Mapping[str, Any], key: str) -> ValidationError:
    return ValidationError(f"the data have no {key!r} (they have {', '.join(map(str, data))})", hint=_PAYLOAD)


def _array(data: Mapping[str, Any], key: str, length: int | None = None) -> FloatArray:
    """Return one list of a payload as floats, null as NaN."""
    if key not in data:
        raise _absent(data, key)
    try:
        values = np.array([np.nan if v is None else v for v in data[key]], dtype=float)
        if values.ndim != 1:
            raise TypeError("one value a pixel")
    except (TypeError, ValueError) as err:
        raise ValidationError(f"{key!r} is {shown(data[key])}", hint="expected a list of numbers") from err
    if length is not None and values.shape != (length,):
        raise ValidationError(f"{key!r} has {values.size} values", hint=f"expected {length}, as its grid has")
    return values


def _one(data: Mapping[str, Any], key: str) -> float:
    """Return one number of a payload."""
    if key not in data:
        raise _absent(data, key)
    return number(data[key], key)


def _fluxes(data: Mapping[str, Any], kind: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    wave = _array(data, "wave")
    flux, error = _array(data, "fnu", wave.size), _array(data, "fnu_err", wave.size)
    bad = ~(np.isfinite(flux) & np.isfinite(error) & (error > 0))
    flux, error = np.where(bad, np.nan, flux), np.where(bad, np.nan, error)
    return (
        (wave, fnu_to_flam(flux, wave), fnu_to_flam(error, wave)) if kind == "flam" else (wave, flux, error)
    )


def _payload(data: Any, name: str) -> Mapping[str, Any]:
    if hasattr(data, "to_fields"):
        raise ValidationError(
            f"{name} is a {type(data).__name__}", hint=f"{_PAYLOAD}; the spectrum itself has .plot()"
        )
    return mapping(data, name, _PAYLOAD)


def _color(color: Any) -> str:
    """Return a colour, checked to be of the form that all our figures can shade."""
    if not (isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color)):
        raise ValidationError(f"accent_color={shown(color)}", hint="write it as '#rrggbb'")
    return color


def _rgba(color: str, alpha: float) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _layout(title: Any, width: Any, height: Any) -> dict[str, Any]:
    """Return what all figures are laid out with, checked: plotly would say it in twenty lines."""
    return {
        "template": "plotly_white",
        "title": None if title is None else text(title, "title"),
        "width": integer(width, "width", least=10),
        "height": integer(height, "height", least=10),
    }


def _snr_range(given: Any) -> tuple[float, float]:
    try:
        low, high = given
    except (TypeError, ValueError) as err:
        raise ValidationError(f"snr_range={shown(given)}", hint="pass (lowest, highest)") from err
    return number(low, "the lowest of snr_range"), number(high, "the highest of snr_range")


def _add_spectrum(
    figure: Figure,
    wave: FloatArray,
    flux: FloatArray,
    error: FloatArray | None,
    color: str,
    name: str = "Spectrum",
    **place: int,
) -> None:
    go = _plotly()
    if error is not None:
        good = np.isfinite(flux) & np.isfinite(error)
        x, y, e = wave[good], flux[good], error[good]
        polygon = go.Scatter(
            x=np.concatenate([x, x[::-1]]),
            y=np.concatenate([y + e, (y - e)[::-1]]),
            fill="toself",
            fillcolor=_rgba(color, 0.2),
            line={"width": 0},
            name="1σ error",
            hoverinfo="skip",
        )
        figure.add_trace(polygon, **place)
    line = go.Scatter(
        x=wave,
        y=flux,
        mode="lines",
        name=name,
        line={"color": color, "width": 1, "shape": "hvh"},
        connectgaps=False,
    )
    figure.add_trace(line, **place)


def _add_lines(
    figure: Figure, redshift: float, wave: FloatArray, flux: FloatArray, error: FloatArray, **place: int
) -> None:
    """Add the emission lines as dashed traces over the height of the axis; none where nothing is finite."""
    limits = flux_limits(flux, error)
    if limits is None or not wave.size:
        return
    go = _plotly()
    for line in get_emission_lines(redshift, float(wave.min()), float(wave.max())):
        figure.add_trace(
            go.Scatter(
                x=[line["observed_wave"]] * 2,
                y=list(limits),
                mode="lines",
                name=line["name"],
                line={"color": line["color"], "width": 1, "dash": "dash"},
                hovertemplate=f"{line['name']}<br>%{{x:.4f}} μm<extra></extra>",
                showlegend=False,
            ),
            **place,
        )


def plot_spectrum(
    spectrum_data: Mapping[str, Any],
    redshift: float = 0.0,
    flux_unit: str = "fnu",
    show_errors: bool = True,
    show_emission_lines: bool = False,
    colormap: str = "viridis",
    snr_range: tuple[float, float] = (-5, 10),
    accent_color: str = ACCENT,
    title: str | None = None,
    width: int = 1000,
    height: int = 700,
) -> Figure:
    """Plot the two-dimensional S/N image, its spatial profile and the spectrum.

    Parameters
    ----------
    spectrum_data
        What ``Campfire.get_spectrum_data`` returns.
    redshift
        Redshift at which emission lines are drawn.
    flux_unit
        ``"fnu"`` (microjansky) or ``"flambda"`` (erg s-1 cm-2 angstrom-1).
    show_errors
        Draw the 1-sigma band.
    show_emission_lines
        Draw emission lines (vacuum), at redshift 0 too.
    colormap
        One of ``COLORMAPS``.
    snr_range
        S/N at the two ends of the colour scale.
    accent_color
        Colour of the spectrum, ``"#rrggbb"``.
    title
        Title of the figure.
    width, height
        Pixels.

    Returns
    -------
    plotly.graph_objects.Figure
        With the heat map, profile, weights, error band, spectrum and lines as traces.

    Raises
    ------
    ValidationError
        For incomplete data, an unknown unit or colour map.
    ImportError
        If plotly is not installed.

    Examples
    --------
    >>> data = dict(wave=[1.0, 2.0], fnu=[0.1, None], fnu_err=[0.01, None], snr_2d=[[1.0, 2.0]],
    ...             n_spatial=1, n_wave=2, profile=[1.0], profile_fit=[1.0], profile_pix=[0.0])
    >>> [trace.name for trace in plot_spectrum(data).data]
    ['S/N', 'Profile', 'Weight', '1σ error', 'Spectrum']
    """
    _plotly()
    from plotly.subplots import make_subplots

    colormap = choice(colormap.lower() if isinstance(colormap, str) else colormap, "colormap", COLORMAPS)
    kind, layout = flux_kind(flux_unit), _layout(title, width, height)
    spectrum_data, accent_color = _payload(spectrum_data, "spectrum_data"), _color(accent_color)
    wave, flux, error = _fluxes(spectrum_data, kind)
    shift = number(redshift, "redshift", above=-1)
    show_errors = truth(show_errors, "show_errors")
    show_emission_lines = truth(show_emission_lines, "show_emission_lines")
    limits = _snr_range(snr_range)
    figure = make_subplots(
        rows=2,
        cols=2,
        column_widths=[0.8, 0.2],
        row_heights=[0.35, 0.65],
        specs=[[{}, {}], [{"colspan": 2}, None]],
        shared_yaxes=True,
        horizontal_spacing=0.02,
        vertical_spacing=0.12,
    )
    _add_image(figure, spectrum_data, wave, colormap, limits)
    _add_spectrum(figure, wave, flux, error if show_errors else None, accent_color, row=2, col=1)
    if show_emission_lines:
        _add_lines(figure, shift, wave, flux, error, row=2, col=1)
    figure.update_xaxes(title_text=WAVE_TITLE, row=2, col=1)
    figure.update_yaxes(title_text=FLUX_TITLES[kind], range=flux_limits(flux, error), row=2, col=1)
    figure.update_yaxes(title_text="Spatial pixel", row=1, col=1)
    figure.update_layout(**layout, showlegend=False)
    return figure


def _add_image(
    figure: Figure, data: Mapping[str, Any], wave: FloatArray, colormap: str, snr_range: tuple[float, float]
) -> None:
    go = _plotly()
    try:
        image = np.asarray(data.get("snr_2d", ()), dtype=float)
    except (TypeError, ValueError) as err:
        raise ValidationError("'snr_2d' is not an image of numbers", hint=_PAYLOAD) from err
    pixel = _array(data, "profile_pix")
    if image.shape != (pixel.size, wave.size):
        raise ValidationError(
            f"'snr_2d' has shape {image.shape}",
            hint=f"expected (n_spatial, n_wave) = {(pixel.size, wave.size)}",
        )
    heat = go.Heatmap(
        x=wave,
        y=pixel,
        z=image,
        colorscale=colormap,
        zmin=snr_range[0],
        zmax=snr_range[1],
        name="S/N",
        showscale=False,
    )
    profile = go.Scatter(x=_array(data, "profile", pixel.size), y=pixel, mode="lines", name="Profile")
    weight = go.Scatter(
        x=_array(data, "profile_fit", pixel.size),
        y=pixel,
        mode="lines",
        fill="tozerox",
        line={"width": 0},
        opacity=0.4,
        name="Weight",
    )
    figure.add_trace(heat, row=1, col=1)
    figure.add_trace(profile, row=1, col=2)
    figure.add_trace(weight, row=1, col=2)


def plot_redshift_fit(
    fit_data: Mapping[str, Any],
    spectrum_data: Mapping[str, Any] | None = None,
    flux_unit: str = "fnu",
    show_emission_lines: bool = True,
    accent_color: str = ACCENT,
    title: str | None = None,
    width: int = 900,
    height: int = 600,
) -> Figure:
    """Plot a redshift fit: the model over the spectrum, and chi-square against redshift.

    Parameters
    ----------
    fit_data
        What ``Campfire.get_redshift_fit_data`` returns.
    spectrum_data
        What ``Campfire.get_spectrum_data`` returns; without it only the model is drawn.
    flux_unit, show_emission_lines, accent_color, title, width, height
        As for :func:`plot_spectrum`; without ``title`` redshift, chi-square and confidence are shown.

    Returns
    -------
    plotly.graph_objects.Figure
        With the spectrum, model, lines, chi-square curve and best redshift as traces.

    Raises
    ------
    ValidationError
        For incomplete data or an unknown unit.
    ImportError
        If plotly is not installed.

    Examples
    --------
    >>> fit = dict(redshift=1.0, chi2_min=5.0, confidence=99.0, z_grid=[0.0, 1.0], chi2_grid=[9.0, 5.0],
    ...            model_wave=[1.0, 2.0], model_fnu=[0.1, 0.2])
    >>> plot_redshift_fit(fit).layout.title.text
    'z = 1.0000 | χ² = 5.0 | 99.0% confidence'
    """
    go = _plotly()
    from plotly.subplots import make_subplots

    kind = flux_kind(flux_unit)
    fit_data, accent_color = _payload(fit_data, "fit_data"), _color(accent_color)
    redshift, chi2_min, confidence = (_one(fit_data, key) for key in ("redshift", "chi2_min", "confidence"))
    automatic = f"z = {redshift:.4f} | χ² = {chi2_min:.1f} | {confidence:.1f}% confidence"
    layout = _layout(automatic if title is None or title == "" else title, width, height)
    show_emission_lines = truth(show_emission_lines, "show_emission_lines")
    figure = make_subplots(rows=2, cols=1, row_heights=[0.65, 0.35], vertical_spacing=0.14)
    if spectrum_data is not None:
        wave, flux, error = _fluxes(_payload(spectrum_data, "spectrum_data"), kind)
        _add_spectrum(figure, wave, flux, error, "#6b7280", name="Observed", row=1, col=1)
        figure.update_yaxes(range=flux_limits(flux, error), row=1, col=1)
    model_wave = _array(fit_data, "model_wave")
    model = _array(fit_data, "model_fnu", model_wave.size)
    model = fnu_to_flam(model, model_wave) if kind == "flam" else model
    curve = go.Scatter(
        x=model_wave, y=model, mode="lines", name="Model", line={"color": accent_color, "width": 1.5}
    )
    figure.add_trace(curve, row=1, col=1)
    if spectrum_data is not None and show_emission_lines:
        _add_lines(figure, redshift, wave, flux, error, row=1, col=1)
    z_grid = _array(fit_data, "z_grid")
    chi2 = _array(fit_data, "chi2_grid", z_grid.size)
    figure.add_trace(
        go.Scatter(x=z_grid, y=chi2, mode="lines", name="χ²", line={"color": "#374151"}), row=2, col=1
    )
    finite = chi2[np.isfinite(chi2)]
    if finite.size:
        best = go.Scatter(
            x=[redshift] * 2,
            y=[finite.min(), finite.max()],
            mode="lines",
            name=f"z = {redshift:.4f}",
            line={"color": accent_color, "dash": "dash"},
        )
        figure.add_trace(best, row=2, col=1)
    figure.update_xaxes(title_text=WAVE_TITLE, row=1, col=1)
    figure.update_xaxes(title_text="Redshift", row=2, col=1)
    figure.update_yaxes(title_text=FLUX_TITLES[kind], row=1, col=1)
    figure.update_yaxes(title_text="χ²", type="log", row=2, col=1)
    figure.update_layout(**layout)
    return figure


def plot_spectrum_simple(
    spectrum_data: Mapping[str, Any],
    redshift: float = 0.0,
    flux_unit: str = "fnu",
    show_errors: bool = True,
    show_emission_lines: bool = False,
    accent_color: str = ACCENT,
    title: str | None = None,
    width: int = 800,
    height: int = 400,
) -> Figure:
    """Plot only the one-dimensional spectrum; parameters as for :func:`plot_spectrum`.

    Raises
    ------
    ValidationError
        For incomplete data or an unknown unit.
    ImportError
        If plotly is not installed.

    Examples
    --------
    >>> data = dict(wave=[1.0, 2.0], fnu=[0.1, 0.2], fnu_err=[0.01, 0.02])
    >>> [trace.name for trace in plot_spectrum_simple(data).data]
    ['1σ error', 'Spectrum']
    """
    kind, layout = flux_kind(flux_unit), _layout(title, width, height)
    wave, flux, error = _fluxes(_payload(spectrum_data, "spectrum_data"), kind)
    shift = number(redshift, "redshift", above=-1)
    figure = _plotly().Figure()
    shown_error = error if truth(show_errors, "show_errors") else None
    _add_spectrum(figure, wave, flux, shown_error, _color(accent_color))
    if truth(show_emission_lines, "show_emission_lines"):
        _add_lines(figure, shift, wave, flux, error)
    figure.update_layout(
        **layout,
        showlegend=False,
        xaxis_title=WAVE_TITLE,
        yaxis={"title": FLUX_TITLES[kind], "range": flux_limits(flux, error)},
    )
    return figure
