"""One page about one object: image, spectra of every grating, photometry, redshift fit, facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.plotting.cutouts import draw_cutout
from campfire.plotting.static import BLUE, GREY, INK, MARK, ORANGE, _edges, draw_spectrum, pyplot
from campfire.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from campfire.typing import BoolArray, FloatArray, PathInput, Row

__all__ = ["MOST_SPECTRA", "ImagePanel", "Sheet", "SpectrumPanel", "draw_sheet"]

MOST_SPECTRA = 4
"""Spectra drawn on a sheet; further ones are named among the facts."""
SIZE = (11.69, 8.27)  # A4, landscape, inches
COLORS = (INK, BLUE, ORANGE, "#009e73", "#cc79a7")
SNR_RANGE = (-3.0, 8.0)


@dataclass(frozen=True, slots=True)
class SpectrumPanel:
    """One spectrum; n pixels, m rows along the slit.

    Parameters
    ----------
    title
        Name, grating, S/N.
    grating
        For the legend of the spectral energy distribution.
    wavelength, fnu, fnu_err
        Microns and microjansky, shape (n,).
    mask
        True for pixels not to be drawn, shape (n,).
    image, image_wavelength
        Two-dimensional S/N, shape (m, k), and its wavelengths in microns, shape (k,); None without.
    """

    title: str
    grating: str
    wavelength: FloatArray
    fnu: FloatArray
    fnu_err: FloatArray
    mask: BoolArray
    image: FloatArray | None = None
    image_wavelength: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class ImagePanel:
    """A cutout with shutters; see :func:`campfire.plotting.cutouts.draw_cutout`."""

    path: PathInput
    fov: float
    shutters: Sequence[Row] = ()
    members: Collection[str] = ()
    center: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is on a sheet.

    Parameters
    ----------
    title
        Name of the object.
    facts
        Lines of (name, value).
    redshift
        Marks emission lines; None marks none.
    spectra
        The first :data:`MOST_SPECTRA` are drawn.
    band_wavelength, band_flux, band_err
        Photometry: pivots in microns, microjansky.
    image
        None draws an empty frame that says so.
    fit
        What ``Campfire.get_redshift_fit_data`` returns, or None.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    redshift: float | None
    spectra: Sequence[SpectrumPanel]
    band_wavelength: FloatArray = field(default_factory=lambda: np.empty(0))
    band_flux: FloatArray = field(default_factory=lambda: np.empty(0))
    band_err: FloatArray = field(default_factory=lambda: np.empty(0))
    image: ImagePanel | None = None
    fit: Mapping[str, Any] | None = None


def draw_sheet(sheet: Sheet, figure: Figure | None = None) -> Figure:
    """Draw a sheet, A4 landscape.

    Parameters
    ----------
    sheet
        What to draw.
    figure
        Figure to draw on; without it a new one, known to pyplot.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    figure = figure or pyplot().figure(figsize=SIZE)
    left = figure.add_gridspec(
        3, 1, left=0.045, right=0.275, top=0.92, bottom=0.07, hspace=0.12, height_ratios=(5, 3.2, 3.6)
    )
    figure.text(
        0.045, 0.955, printable(sheet.title), fontsize=14, fontweight="bold", va="center", parse_math=False
    )
    _draw_image(figure.add_subplot(left[0]), sheet.image)
    _write_facts(figure.add_subplot(left[1]), sheet.facts)
    _draw_fit(figure.add_subplot(left[2]), sheet.fit)
    shown = sheet.spectra[:MOST_SPECTRA]
    right = figure.add_gridspec(
        len(shown) + 1,
        1,
        left=0.345,
        right=0.985,
        top=0.93,
        bottom=0.07,
        hspace=0.36,
        height_ratios=[*[1.0] * len(shown), 1.15],
    )
    for place, spectrum in enumerate(shown):
        rows = right[place].subgridspec(2, 1, height_ratios=(1, 3.2), hspace=0.0)
        upper = figure.add_subplot(rows[0])
        lower = figure.add_subplot(rows[1], sharex=upper)
        _draw_pair(upper, lower, spectrum, sheet.redshift, COLORS[place], last=place == len(shown) - 1)
    _draw_energy(figure.add_subplot(right[-1]), sheet)
    return figure


def _draw_image(ax: Axes, image: ImagePanel | None) -> None:
    if image is None:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.text(0.5, 0.5, "no image", ha="center", va="center", color=MARK, transform=ax.transAxes)
        ax.set_box_aspect(1)
        return
    draw_cutout(
        image.path,
        fov=image.fov,
        shutters=image.shutters,
        members=image.members,
        center=image.center,
        ax=ax,
    )


def _write_facts(ax: Axes, facts: Sequence[tuple[str, str]]) -> None:
    import textwrap

    ax.set_axis_off()
    lines: list[tuple[str, str]] = []
    for name, value in facts:
        parts = textwrap.wrap(printable(value), 34) or ["–"]
        lines += [(name if k == 0 else "", part) for k, part in enumerate(parts)]
    step = 1 / max(len(lines), 10)
    for place, (name, value) in enumerate(lines):
        height = 1 - (place + 0.5) * step
        ax.text(0.0, height, name, fontsize=7.5, color=MARK, va="center", parse_math=False)
        ax.text(0.3, height, value, fontsize=7.5, va="center", parse_math=False)


def _draw_fit(ax: Axes, fit: Mapping[str, Any] | None) -> None:
    ax.set_xlabel("redshift", fontsize=8)
    ax.tick_params(labelsize=7)
    if fit is None:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.text(0.5, 0.5, "no redshift fit", ha="center", va="center", color=MARK, transform=ax.transAxes)
        return
    grid = np.asarray(fit["z_grid"], dtype=float)
    chi2 = np.asarray(fit["chi2_grid"], dtype=float)
    excess = chi2 - (np.nanmin(chi2) if np.isfinite(chi2).any() else 0.0)
    ax.plot(grid, excess, color=INK, linewidth=0.7)
    ax.axvline(float(fit["redshift"]), color=ORANGE, linewidth=1.0, zorder=0)
    if np.nanmax(excess, initial=0.0) > 100:
        ax.set_yscale("symlog", linthresh=10)
    ax.set_ylim(bottom=0)
    ax.margins(x=0)
    ax.set_title(f"Δχ², fit at z = {float(fit['redshift']):.4f}", fontsize=8)


def _draw_pair(
    upper: Axes, lower: Axes, spectrum: SpectrumPanel, redshift: float | None, color: str, *, last: bool
) -> None:
    draw_spectrum(
        spectrum.wavelength,
        spectrum.fnu,
        spectrum.fnu_err,
        mask=spectrum.mask,
        redshift=redshift,
        ax=lower,
        color=color,
        linewidth=0.7,
    )
    lower.tick_params(labelsize=7)
    lower.set_xlabel(lower.get_xlabel() if last else "", fontsize=8)
    lower.set_ylabel(lower.get_ylabel(), fontsize=8)
    upper.tick_params(labelbottom=False, bottom=False, left=False, labelleft=False)
    upper.set_title(spectrum.title, fontsize=8, loc="left", pad=3, parse_math=False)
    if spectrum.image is None or spectrum.image_wavelength is None or not spectrum.image.size:
        upper.set_facecolor("#f0f0f0")
        return
    image = np.asarray(spectrum.image, dtype=float)
    upper.set_facecolor("#b5b5b5")
    # An image of uneven columns: far quicker than as many polygons as it has pixels.
    mesh = upper.pcolorfast(
        _edges(np.asarray(spectrum.image_wavelength, dtype=float)),
        np.arange(image.shape[0] + 1.0),
        np.ma.masked_invalid(image),
        cmap="viridis",
        vmin=SNR_RANGE[0],
        vmax=SNR_RANGE[1],
    )
    mesh.set_rasterized(True)
    upper.set_xlim(lower.get_xlim())
    upper.set_ylim(0, image.shape[0])


def _draw_energy(ax: Axes, sheet: Sheet) -> None:
    """Draw all spectra and the photometry together."""
    wave = np.asarray(sheet.band_wavelength, dtype=float)
    flux, error = np.asarray(sheet.band_flux, dtype=float), np.asarray(sheet.band_err, dtype=float)
    for spectrum, color in zip(sheet.spectra[:MOST_SPECTRA], COLORS, strict=False):
        style: dict[str, Any] = {"color": color, "linewidth": 0.8, "alpha": 0.7, "label": spectrum.grating}
        ax.plot(*_binned(spectrum), drawstyle="steps-mid", **style)
    known = np.isfinite(wave) & np.isfinite(flux) & np.isfinite(error)
    if known.any():
        ax.errorbar(
            wave[known],
            flux[known],
            error[known],
            fmt="o",
            markersize=4,
            color=ORANGE,
            markeredgecolor="white",
            markeredgewidth=0.6,
            elinewidth=0.9,
            label="photometry",
            zorder=5,
        )
        ax.set_ylim(*_room_for(flux[known], error[known]))
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    ax.set_xscale("log")
    ax.set_xlabel("Observed wavelength [μm]", fontsize=8)
    ax.set_ylabel(r"$f_\nu$ [μJy]", fontsize=8)
    ax.tick_params(labelsize=7)
    _plain_ticks(ax)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=7, frameon=False, ncols=3, loc="upper left")


def _binned(spectrum: SpectrumPanel) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths and inverse-variance weighted f_nu in steps of 2 %: broad bands see no more."""
    wave = np.asarray(spectrum.wavelength, dtype=float)
    good = ~np.asarray(spectrum.mask, dtype=bool) & np.isfinite(spectrum.fnu) & (spectrum.fnu_err > 0)
    if not good.any():
        return np.empty(0), np.empty(0)
    place = np.floor(np.log(wave / wave[good].min()) / 0.02).astype(int)[good]
    weight = 1 / np.asarray(spectrum.fnu_err, dtype=float)[good] ** 2
    total = np.bincount(place, weight)
    filled = total > 0

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(place, weight * values[good])[filled] / total[filled])

    return mean(wave), mean(np.asarray(spectrum.fnu, dtype=float))


def _room_for(flux: FloatArray, error: FloatArray) -> tuple[float, float]:
    low, high = float(np.min(flux - error)), float(np.max(flux + error))
    low = min(low, 0.0)
    span = (high - low) or 1.0
    return low - 0.15 * span, high + 0.6 * span


def _plain_ticks(ax: Axes) -> None:
    """Write wavelengths as 0.6, 1, 2, 5 rather than as powers of ten."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = ax.get_xlim()
    ticks = [t for t in (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 20, 30) if low <= t <= high]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
