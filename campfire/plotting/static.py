"""Matplotlib drawings of spectra, calibrations and stacks; they take arrays and know no other type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.linelist import get_emission_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.typing import BoolArray, FloatArray

__all__ = ["draw_calibration", "draw_collection", "draw_spectrum", "draw_stack", "mark_lines", "new_axes"]

WAVE_LABEL = "Observed wavelength [μm]"
FLUX_LABELS = {
    "fnu": r"$f_\nu$ [μJy]",
    "flam": r"$f_\lambda$ [erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$]",
}
STRONG = ("Hα", "[OIII]₂", "Lyα", "[OII]", "Paα", "[SIII]₂", "HeI10830", "Paβ", "Hβ")
# Colours that stay apart in grey and for colour-blind readers (Okabe & Ito 2008).
INK, BLUE, ORANGE, GREEN, GREY = "#1b1b1b", "#0072b2", "#d55e00", "#009e73", "#8a8a8a"


def new_axes(
    rows: int,
    heights: Sequence[float],
    axes: Sequence[Axes] | None = None,
    figsize: tuple[float, float] = (9, 6),
) -> tuple[Axes, ...]:
    """Return ``rows`` panels sharing the wavelength axis: those given, or those of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValidationError
        If another number of axes is passed.
    """
    if axes is not None:
        if len(axes) != rows:
            raise ValidationError(f"{len(axes)} axes passed", hint=f"this plot has {rows} panels")
        return tuple(axes)
    plt = _pyplot()
    _, made = plt.subplots(
        rows,
        1,
        sharex=True,
        figsize=figsize,
        height_ratios=list(heights),
        layout="constrained",
        squeeze=False,
    )
    return tuple(made[:, 0])


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as err:
        raise ImportError('plots need matplotlib: pip install "campfire[deploy]"') from err
    return plt


def flux_kind(flux_unit: str) -> str:
    """Return ``"fnu"`` or ``"flam"`` for what users write (``"flambda"`` too).

    Raises
    ------
    ValidationError
        For any other name.
    """
    kind = {"fnu": "fnu", "flam": "flam", "flambda": "flam"}.get(flux_unit)
    if kind is None:
        raise ValidationError(f"unknown flux_unit {flux_unit!r}", hint="use 'fnu' or 'flam'")
    return kind


def _good(flux: FloatArray, mask: BoolArray | None) -> BoolArray:
    good: BoolArray = np.isfinite(flux)
    return good if mask is None else good & ~np.asarray(mask, dtype=bool)


def flux_limits(flux: FloatArray, error: FloatArray | None) -> tuple[float, float] | None:
    """Return y limits that show lines in full without following the noisiest pixels.

    The upper limit follows pixels significant at 3 sigma as well as the bulk; None without finite pixels.
    """
    keep = np.isfinite(flux)
    if not keep.any():
        return None
    low, high = np.percentile(flux[keep], [1, 99])
    if error is not None:
        significant = keep & np.isfinite(error) & (error > 0)
        significant[significant] = np.abs(flux[significant]) > 5 * error[significant]
        if significant.any():
            high = max(high, float(flux[significant].max()))
            low = min(low, float(flux[significant].min()))
    span = (high - low) or abs(high) or 1.0
    return float(min(low - 0.08 * span, -0.02 * span)), float(high + 0.12 * span)


def draw_spectrum(
    wavelength: FloatArray,
    flux: FloatArray,
    error: FloatArray | None = None,
    *,
    mask: BoolArray | None = None,
    flux_unit: str = "fnu",
    show_errors: bool = True,
    title: str | None = None,
    redshift: float | None = None,
    ax: Axes | None = None,
    **step: Any,
) -> Axes:
    """Draw one spectrum as a step line with its 1-sigma band.

    Parameters
    ----------
    wavelength
        Microns, shape (n,).
    flux, error
        Flux density and its 1-sigma error in the unit of ``flux_unit``, shape (n,).
    mask
        True for pixels not to be drawn; they leave a gap.
    flux_unit
        ``"fnu"`` (microjansky) or ``"flam"`` (erg s-1 cm-2 angstrom-1); sets the label.
    show_errors
        Draw the error band.
    title
        Title of the axes.
    redshift
        Mark the emission lines at this redshift.
    ax
        Axes to draw on; a new figure without it.
    **step
        Passed to :meth:`matplotlib.axes.Axes.step`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Raises
    ------
    ValidationError
        For an unknown ``flux_unit``.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> ax = draw_spectrum(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 1.5]), title="example")
    >>> ax.get_xlabel()
    'Observed wavelength [μm]'
    """
    kind = flux_kind(flux_unit)
    if ax is None:
        (ax,) = new_axes(1, [1], figsize=(9, 4))
    wave = np.asarray(wavelength, dtype=float)
    good = _good(np.asarray(flux), mask)
    shown = np.where(good, flux, np.nan)
    style: dict[str, Any] = {"where": "mid", "color": INK, "linewidth": 0.9} | step
    if show_errors and error is not None:
        sigma = np.where(good & np.isfinite(error), error, np.nan)
        ax.fill_between(
            wave, shown - sigma, shown + sigma, step="mid", color=style["color"], alpha=0.15, linewidth=0
        )
    ax.step(wave, shown, **style)
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    limits = flux_limits(shown, error if error is None else np.asarray(error))
    if limits is not None:
        ax.set_ylim(*limits)
    if wave.size > 1:  # one pixel alone has no range
        ax.set_xlim(float(np.nanmin(wave)), float(np.nanmax(wave)))
    if redshift is not None and wave.size:
        mark_lines(ax, redshift, float(np.nanmin(wave)), float(np.nanmax(wave)))
    ax.set_xlabel(WAVE_LABEL)
    ax.set_ylabel(FLUX_LABELS[kind])
    if title:
        ax.set_title(title)
    return ax


def mark_lines(ax: Axes, redshift: float, wave_min: float, wave_max: float) -> None:
    """Mark emission lines at a redshift with dotted lines, named along the top; crowded names are left out.

    The wavelengths are those of the vacuum list, times (1 + redshift), in microns.
    """
    lines = get_emission_lines(redshift, wave_min, wave_max)
    rank = {name: n for n, name in enumerate(STRONG)}
    named: list[float] = []
    # Names of the strongest lines first: where lines crowd, the others go without.
    for line in sorted(lines, key=lambda line: rank.get(line["name"], len(rank))):
        wave = line["observed_wave"]
        ax.axvline(wave, color=line["color"], linestyle=":", linewidth=0.8, zorder=0)
        if any(abs(wave - other) < 0.022 * (wave_max - wave_min) for other in named):
            continue
        named.append(wave)
        ax.text(
            wave,
            0.985,
            line["name"],
            transform=ax.get_xaxis_transform(),
            rotation=90,
            va="top",
            ha="right",
            fontsize=7,
            color=line["color"],
        )


def draw_calibration(
    wavelength: FloatArray,
    original: FloatArray,
    calibrated: FloatArray,
    calibrated_err: FloatArray,
    multiplier: FloatArray,
    multiplier_err: FloatArray,
    *,
    mask: BoolArray | None,
    band_names: Sequence[str],
    band_wavelength: FloatArray,
    observed: FloatArray,
    observed_err: FloatArray,
    synthetic: FloatArray,
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw a flux calibration: spectra with the bands above, the correction curve with its error below.

    Parameters
    ----------
    wavelength
        Microns, shape (n,).
    original, calibrated, calibrated_err
        f_nu before and after, and its error, microjansky, shape (n,).
    multiplier, multiplier_err
        The correction curve and its 1-sigma error, shape (n,).
    mask
        True for pixels not to be drawn.
    band_names, band_wavelength, observed, observed_err, synthetic
        The bands of the fit: pivots in microns; observed flux, its error, and the flux of the uncalibrated
        spectrum in the band, microjansky.
    title
        Title of the figure.
    axes
        Two axes; a new figure without them.

    Returns
    -------
    tuple
        (spectrum axes, curve axes).
    """
    top, bottom = new_axes(2, [3, 1], axes)
    draw_spectrum(
        wavelength,
        original,
        mask=mask,
        show_errors=False,
        ax=top,
        color=GREY,
        linewidth=0.7,
        label="original",
    )
    draw_spectrum(wavelength, calibrated, calibrated_err, mask=mask, ax=top, color=BLUE, label="calibrated")
    top.errorbar(
        band_wavelength,
        observed,
        observed_err,
        fmt="s",
        color=ORANGE,
        ms=6,
        mfc="white",
        label="photometry",
        zorder=5,
    )
    top.plot(band_wavelength, synthetic, "x", color=GREY, ms=6, label="synthetic, original", zorder=4)
    low, high = top.get_ylim()
    finite = observed[np.isfinite(observed)]
    if finite.size:
        top.set_ylim(min(low, 1.1 * float(finite.min()), 0.0), max(high, 1.15 * float(finite.max())))
    for name, wave in zip(band_names, band_wavelength, strict=True):
        if np.isfinite(wave):
            top.annotate(
                name,
                (wave, 0.02),
                xycoords=top.get_xaxis_transform(),
                ha="center",
                fontsize=7,
                color=ORANGE,
                rotation=90,
                va="bottom",
            )
    top.legend(fontsize=8, frameon=False, loc="best")
    top.set_xlabel("")
    if title:
        top.set_title(title)
    _draw_curve(bottom, wavelength, multiplier, multiplier_err)
    ratio = np.divide(
        observed, synthetic, out=np.full(len(observed), np.nan), where=np.asarray(synthetic) != 0
    )
    ratio_err = np.divide(
        observed_err, np.abs(synthetic), out=np.full(len(observed), np.nan), where=np.asarray(synthetic) != 0
    )
    bottom.errorbar(band_wavelength, ratio, ratio_err, fmt="s", color=ORANGE, ms=5, mfc="white")
    top.set_xlim(float(np.nanmin(wavelength)), float(np.nanmax(wavelength)))
    return top, bottom


def _draw_curve(ax: Axes, wavelength: FloatArray, curve: FloatArray, error: FloatArray, **line: Any) -> None:
    style: dict[str, Any] = {"color": BLUE, "linewidth": 1.2} | line
    ax.fill_between(wavelength, curve - error, curve + error, color=style["color"], alpha=0.2, linewidth=0)
    ax.plot(wavelength, curve, **style)
    ax.axhline(1, color=GREY, linewidth=0.5, zorder=0)
    ax.set_ylabel("Multiplier")
    ax.set_xlabel(WAVE_LABEL)


def draw_stack(
    wavelength: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    *,
    mask: BoolArray | None,
    n_used: FloatArray,
    inputs: Sequence[tuple[FloatArray, FloatArray, BoolArray]],
    curves: Sequence[tuple[FloatArray, FloatArray, FloatArray]] = (),
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, ...]:
    """Draw a stack: the result, its inputs with the number used in each pixel, and the correction curves.

    Parameters
    ----------
    wavelength, flux, error
        The stack: microns, f_nu and its error in microjansky, shape (n,).
    mask
        True for pixels of the stack not to be drawn.
    n_used
        Number of inputs behind each pixel, shape (n,).
    inputs
        (wavelength, f_nu, mask) of every input, in the frame of the stack.
    curves
        (wavelength, multiplier, error) of every calibration; without any there are two panels.
    title
        Title of the figure.
    axes
        Two or three axes; a new figure without them.

    Returns
    -------
    tuple
        The axes, top to bottom.
    """
    heights = [3, 2, 1] if curves else [3, 2]
    panels = new_axes(len(heights), heights, axes, figsize=(9, 7.5))
    draw_spectrum(wavelength, flux, error, mask=mask, ax=panels[0], color=INK, title=title)
    panels[0].set_xlabel("")
    limits = panels[0].get_ylim()
    colors = _pyplot().get_cmap("viridis")(np.linspace(0.1, 0.9, max(len(inputs), 2)))
    for color, (wave, fnu, bad) in zip(colors, inputs, strict=False):
        draw_spectrum(wave, fnu, mask=bad, ax=panels[1], color=color, linewidth=0.6, alpha=0.8)
    panels[1].set_ylim(*limits)
    panels[1].set_ylabel(f"{len(inputs)} inputs\n" + FLUX_LABELS["fnu"])
    count = panels[1].twinx()
    count.step(wavelength, n_used, where="mid", color=ORANGE, linewidth=0.8)
    count.set_ylim(0, max(1.0, float(np.max(n_used, initial=1))) * 1.6)
    count.set_ylabel("n used", color=ORANGE)
    if curves:
        panels[1].set_xlabel("")
        for color, (wave, curve, curve_err) in zip(colors, curves, strict=False):
            _draw_curve(panels[2], wave, curve, curve_err, color=color)
    if len(wavelength) > 1:
        panels[0].set_xlim(float(np.nanmin(wavelength)), float(np.nanmax(wavelength)))
    return panels


def draw_collection(
    wavelength: FloatArray,
    flux: FloatArray,
    *,
    order: FloatArray | None = None,
    order_label: str = "redshift",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw many spectra on one grid as an image, one row a spectrum, each scaled to its own 98th percentile.

    Parameters
    ----------
    wavelength
        Common grid in microns, shape (n,).
    flux
        Shape (spectra, n); pixels that are not finite stay empty.
    order
        Value a spectrum by which rows are sorted, e.g. redshift; rows without one come last.
    order_label
        What ``order`` is, for the axis.
    title
        Title of the axes.
    ax
        Axes to draw on; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.
    """
    if ax is None:
        (ax,) = new_axes(1, [1], figsize=(9, 5))
    rows = np.asarray(flux, dtype=float)
    index = (
        np.arange(len(rows)) if order is None else np.argsort(np.asarray(order, dtype=float), kind="stable")
    )
    scale = np.ones(len(rows))
    for n, row in enumerate(rows):
        finite = np.abs(row[np.isfinite(row)])
        scale[n] = np.percentile(finite, 98) if finite.size else 1.0
    image = (rows / np.where(scale > 0, scale, 1.0)[:, None])[index]
    mesh = ax.pcolormesh(
        wavelength,
        np.arange(len(rows)),
        image,
        cmap="magma",
        vmin=-0.1,
        vmax=1.0,
        shading="nearest",
        rasterized=True,
    )
    ax.figure.colorbar(mesh, ax=ax, label=r"$f_\nu$ / 98th percentile", pad=0.01)
    ax.set_xlabel(WAVE_LABEL)
    ax.set_ylabel("spectrum" if order is None else f"spectrum, by {order_label}")
    if order is not None and len(rows):
        ticks = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 8)).astype(int))
        values = np.asarray(order, dtype=float)[index][ticks]
        ax.set_yticks(ticks, [f"{v:.2f}" if np.isfinite(v) else "–" for v in values])
    if title:
        ax.set_title(title)
    return ax
