"""Plotly figures of the service's plotting payloads (extra ``plotting``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.arguments import choice, number, truth
from campfire.errors import ValidationError
from campfire.installation import missing_extra
from campfire.linelist import get_emission_lines
from campfire.plotting.interactive_inputs import (
    PAYLOAD_HINT,
    array,
    fluxes,
    hex_color,
    layout_of,
    one_number,
    payload,
    snr_limits,
    spread,
)
from campfire.plotting.labels import flux_kind
from campfire.plotting.static import flux_limits
from campfire.units import fnu_to_flam

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from campfire.plotting.interactive_inputs import Drawable
    from campfire.typing import FloatArray

__all__ = ["COLORMAPS", "plot_redshift_fit", "plot_spectrum", "plot_spectrum_simple"]

COLORMAPS = ("viridis", "plasma", "inferno", "magma", "cividis", "greys")
ACCENT = "#ec4899"
_NAME_WIDTH = 0.02  # of the width of the axis, of an upright name
WAVE_TITLE = "Observed wavelength [μm]"
FLUX_TITLES = {"fnu": "f<sub>ν</sub> [μJy]", "flam": "f<sub>λ</sub> [erg s⁻¹ cm⁻² Å⁻¹]"}


def _plotly() -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError as err:
        raise missing_extra("interactive plots need plotly", "plotting") from err
    return go


def _rgba(color: str, alpha: float) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


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
    first, last = float(wave.min()), float(wave.max())
    lines = get_emission_lines(redshift, first, last)
    places = spread([line["observed_wave"] for line in lines], _NAME_WIDTH * (last - first))
    axis = figure.get_subplot(place.get("row", 1), place.get("col", 1)) if place else figure.layout
    for line, at in zip(lines, places, strict=True):
        figure.add_annotation(
            x=at,
            xref=axis.yaxis.anchor or "x",
            y=1.0,
            yref=f"{axis.xaxis.anchor or 'y'} domain",
            text=line["name"],
            textangle=-90,
            font={"size": 10, "color": line["color"]},
            showarrow=False,
            yanchor="bottom",
        )
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
    template: str = "plotly_white",
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
    template
        ``"plotly_white"`` or ``"plotly_dark"``.

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
    kind, layout = flux_kind(flux_unit), layout_of(title, width, height, template)
    spectrum_data, accent_color = payload(spectrum_data, "spectrum_data"), hex_color(accent_color)
    wave, flux, error = fluxes(spectrum_data, kind)
    shift = number(redshift, "redshift", above=-1)
    show_errors = truth(show_errors, "show_errors")
    show_emission_lines = truth(show_emission_lines, "show_emission_lines")
    limits = snr_limits(snr_range)
    figure = make_subplots(
        rows=2,
        cols=2,
        column_widths=[0.8, 0.2],
        row_heights=[0.35, 0.65],
        specs=[[{}, {}], [{}, None]],
        shared_yaxes=True,
        horizontal_spacing=0.02,
        vertical_spacing=0.11 if show_emission_lines else 0.05,
    )
    # pixels of the image stand above those of the spectrum, and both are zoomed together
    figure.update_xaxes(matches="x3", showticklabels=False, row=1, col=1)
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
        raise ValidationError("'snr_2d' is not an image of numbers", hint=PAYLOAD_HINT) from err
    pixel = array(data, "profile_pix")
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
    profile = go.Scatter(x=array(data, "profile", pixel.size), y=pixel, mode="lines", name="Profile")
    weight = go.Scatter(
        x=array(data, "profile_fit", pixel.size),
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
    spectrum_data: Drawable | None = None,
    flux_unit: str = "fnu",
    show_emission_lines: bool = True,
    accent_color: str = ACCENT,
    title: str | None = None,
    width: int = 900,
    height: int = 600,
    template: str = "plotly_white",
) -> Figure:
    """Plot a redshift fit: the model over the spectrum, and chi-square against redshift.

    Parameters
    ----------
    fit_data
        What ``Campfire.get_redshift_fit_data`` returns.
    spectrum_data
        What ``Campfire.get_spectrum_data`` returns, a ``SpectrumData``, or the Dataset of one spectrum;
        without it only the model is drawn.
    flux_unit, show_emission_lines, accent_color, title, width, height, template
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
    fit_data, accent_color = payload(fit_data, "fit_data"), hex_color(accent_color)
    redshift, chi2_min, confidence = (
        one_number(fit_data, key) for key in ("redshift", "chi2_min", "confidence")
    )
    automatic = f"z = {redshift:.4f} | χ² = {chi2_min:.1f} | {confidence:.1f}% confidence"
    layout = layout_of(automatic if title is None or title == "" else title, width, height, template)
    show_emission_lines = truth(show_emission_lines, "show_emission_lines")
    figure = make_subplots(rows=2, cols=1, row_heights=[0.65, 0.35], vertical_spacing=0.14)
    if spectrum_data is not None:
        wave, flux, error = fluxes(payload(spectrum_data, "spectrum_data"), kind)
        _add_spectrum(figure, wave, flux, error, "#6b7280", name="Observed", row=1, col=1)
        figure.update_yaxes(range=flux_limits(flux, error), row=1, col=1)
    model_wave = array(fit_data, "model_wave")
    model = array(fit_data, "model_fnu", model_wave.size)
    model = fnu_to_flam(model, model_wave) if kind == "flam" else model
    curve = go.Scatter(
        x=model_wave, y=model, mode="lines", name="Model", line={"color": accent_color, "width": 1.5}
    )
    figure.add_trace(curve, row=1, col=1)
    if spectrum_data is not None and show_emission_lines:
        _add_lines(figure, redshift, wave, flux, error, row=1, col=1)
    z_grid = array(fit_data, "z_grid")
    chi2 = array(fit_data, "chi2_grid", z_grid.size)
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
    spectrum_data: Drawable,
    redshift: float = 0.0,
    flux_unit: str = "fnu",
    show_errors: bool = True,
    show_emission_lines: bool = False,
    accent_color: str = ACCENT,
    title: str | None = None,
    width: int = 800,
    height: int = 400,
    template: str = "plotly_white",
) -> Figure:
    """Plot only the one-dimensional spectrum; parameters as for :func:`plot_spectrum`.

    ``spectrum_data`` may also be a ``SpectrumData``, a stack, or the Dataset of one spectrum.

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
    kind, layout = flux_kind(flux_unit), layout_of(title, width, height, template)
    wave, flux, error = fluxes(payload(spectrum_data, "spectrum_data"), kind)
    shift = number(redshift, "redshift", above=-1)
    figure = _plotly().Figure()
    shown_error = error if truth(show_errors, "show_errors") else None
    _add_spectrum(figure, wave, flux, shown_error, hex_color(accent_color))
    if truth(show_emission_lines, "show_emission_lines"):
        _add_lines(figure, shift, wave, flux, error)
    figure.update_layout(
        **layout,
        showlegend=False,
        xaxis_title=WAVE_TITLE,
        yaxis={"title": FLUX_TITLES[kind], "range": flux_limits(flux, error)},
    )
    return figure
