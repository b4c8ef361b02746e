"""Matplotlib drawings of what calibrations and stacks did: several panels over one wavelength axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.plotting.labels import wave_label
from campfire.plotting.static import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SMALL,
    axes_size,
    draw_spectrum,
    flux_limits,
    make_room,
    new_axes,
    pyplot,
    show_range,
    text_share,
)
from campfire.units import FNU_UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.typing import BoolArray, FloatArray

__all__ = ["draw_calibration", "draw_noise", "draw_stack", "spread_out"]


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
    header: Mapping[str, Any] | None = None,
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
    header
        Cards that say the frame, as for :func:`campfire.plotting.static.draw_spectrum`.
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
    former: dict[str, Any] = {"show_errors": False, "color": GREY, "linewidth": 0.7, "label": "original"}
    draw_spectrum(wavelength, original, mask=mask, ax=top, **former)
    before = top.get_ylim()
    draw_spectrum(
        wavelength,
        calibrated,
        calibrated_err,
        mask=mask,
        ax=top,
        color=BLUE,
        label="calibrated",
        header=header,
    )
    style: dict[str, Any] = {"fmt": "s", "color": ORANGE, "mfc": "white", "elinewidth": 1.2}
    top.errorbar(band_wavelength, observed, observed_err, ms=6, label="photometry", zorder=5, **style)
    top.plot(band_wavelength, synthetic, "x", color=INK, ms=5, label="synthetic, original", zorder=6)
    low, high = min(before[0], top.get_ylim()[0]), max(before[1], top.get_ylim()[1])
    shown = np.concatenate([observed, synthetic])
    shown = shown[np.isfinite(shown)]
    if shown.size:
        spare = 0.05 * (max(high, float(shown.max())) - min(low, float(shown.min())))
        low, high = min(low, float(shown.min()) - spare), max(high, float(shown.max()) + spare)
    top.set_ylim(low, high)
    _name_bands(top, band_names, np.asarray(band_wavelength, dtype=float))
    legend = top.legend(fontsize=8, loc="upper left", ncols=4, borderaxespad=0.2, framealpha=0.9)
    legend.get_frame().set_linewidth(0)
    legend.set_zorder(8)
    top.set_xlabel("")
    if title:
        top.set_title(title)
    _draw_curve(bottom, wavelength, multiplier, multiplier_err)
    bottom.set_xlabel(wave_label(header))
    _draw_ratios(bottom, band_wavelength, observed, observed_err, synthetic)
    show_range((top, bottom), wavelength, _drawn(calibrated, mask))
    return top, bottom


def _drawn(flux: FloatArray, mask: BoolArray | None) -> BoolArray:
    good: BoolArray = np.isfinite(flux)
    return good if mask is None else good & ~np.asarray(mask, dtype=bool)


def spread_out(places: FloatArray, least: float, low: float, high: float) -> FloatArray:
    """Move ascending places apart by at least ``least``, as little as possible, within a range.

    Where the range is too short for all, they share it evenly.

    Examples
    --------
    >>> spread_out(np.array([1.0, 1.0, 3.0]), 0.5, 0.0, 4.0).tolist()
    [0.75, 1.25, 3.0]
    """
    n = len(places)
    if n * least >= high - low:
        return np.linspace(low, high, n + 2)[1:-1]
    # Groups of names that touch: each is centred on where its members want to be.
    groups: list[tuple[float, int]] = []  # (centre, members)
    half = least / 2

    def fitted(centre: float, members: int) -> float:
        return min(max(centre, low + members * half), high - members * half)

    for place in places:
        centre, members = fitted(float(place), 1), 1
        while groups and centre - members * half < groups[-1][0] + groups[-1][1] * half:
            former, count = groups.pop()
            centre, members = (former * count + centre * members) / (count + members), count + members
            centre = fitted(centre, members)
        groups.append((centre, members))
    starts = [(centre - (members - 1) * half, members) for centre, members in groups]
    return np.concatenate([start + least * np.arange(members) for start, members in starts])


def _name_bands(ax: Axes, names: Sequence[str], pivots: FloatArray) -> None:
    """Name bands in a strip of their own under the data, side by side, each tied to its pivot."""
    shown = np.flatnonzero(np.isfinite(pivots))
    shown = shown[np.argsort(pivots[shown], kind="stable")]
    chosen = [names[int(k)] for k in shown]
    share = text_share(ax, chosen)
    width, height = axes_size(ax)
    tie = 8 / (72 * height) if share else 0.0
    make_room(ax, above=18 / (72 * height), below=share + tie)
    if not shown.size:
        return
    low, high = ax.get_xlim()
    inside = np.clip(pivots[shown], low, high)
    texts = spread_out(inside, 8.5 / (72 * width) * (high - low), low, high)
    across = ax.get_xaxis_transform()
    for name, pivot, text in zip(chosen, pivots[shown], texts, strict=True):
        ax.plot([text, pivot], [share, share + tie], transform=across, color=ORANGE, linewidth=0.6)
        ax.text(
            text,
            share - 2 / (72 * height),
            name,
            transform=across,
            ha="center",
            va="top",
            rotation=90,
            fontsize=SMALL,
            color=ORANGE,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            zorder=7,
        )


def _draw_ratios(
    ax: Axes, pivots: FloatArray, observed: FloatArray, observed_err: FloatArray, synthetic: FloatArray
) -> None:
    """Draw observed over synthetic fluxes; the curve sets the limits, arrows point at bands beyond them."""
    nonzero = np.asarray(synthetic) != 0
    empty = np.full(len(observed), np.nan)
    ratio = np.divide(observed, synthetic, out=empty.copy(), where=nonzero)
    error = np.divide(observed_err, np.abs(synthetic), out=empty.copy(), where=nonzero)
    low, high = ax.get_ylim()
    reach = 1.5 * (high - low)
    near = (ratio > low - reach) & (ratio < high + reach)
    ends = np.concatenate([(ratio - error)[near], (ratio + error)[near], ratio[near]])
    ends = np.clip(ends[np.isfinite(ends)], low - reach, high + reach)
    if ends.size:
        spare = 0.05 * (max(high, float(ends.max())) - min(low, float(ends.min())))
        low, high = min(low, float(ends.min()) - spare), max(high, float(ends.max()) + spare)
    ax.errorbar(pivots, ratio, error, fmt="s", color=ORANGE, ms=5, mfc="white", elinewidth=1.2)
    for beyond, marker, edge in ((ratio > high, "^", 0.94), (ratio < low, "v", 0.06)):
        ax.plot(
            np.asarray(pivots)[beyond],
            np.full(int(beyond.sum()), edge),
            marker,
            transform=ax.get_xaxis_transform(),
            color=ORANGE,
            ms=6,
            mfc="white",
        )
    ax.set_ylim(low, high)


def _draw_curve(ax: Axes, wavelength: FloatArray, curve: FloatArray, error: FloatArray, **line: Any) -> None:
    style: dict[str, Any] = {"color": BLUE, "linewidth": 1.2} | line
    ax.fill_between(wavelength, curve - error, curve + error, color=style["color"], alpha=0.2, linewidth=0)
    ax.plot(wavelength, curve, **style)
    ax.axhline(1, color=GREY, linewidth=0.5, zorder=0)
    ax.set_ylabel("Multiplier")


def draw_stack(
    wavelength: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    *,
    mask: BoolArray | None,
    n_used: FloatArray,
    inputs: Sequence[tuple[FloatArray, FloatArray, BoolArray]],
    curves: Sequence[tuple[FloatArray, FloatArray, FloatArray]] = (),
    header: Mapping[str, Any] | None = None,
    fnu_units: str = FNU_UNIT,
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
        (wavelength, multiplier, error) of every calibration, in the frame of the stack; without any there
        are two panels.
    header, fnu_units
        Cards of the stack that say its frame and normalisation, and its unit, as for
        :func:`campfire.plotting.static.draw_spectrum`.
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
    said: dict[str, Any] = {"header": header, "fnu_units": fnu_units}
    draw_spectrum(wavelength, flux, error, mask=mask, ax=panels[0], color=INK, title=title, **said)
    limits = panels[0].get_ylim()
    faint = min(0.85, max(0.2, 6 / max(len(inputs), 1)))  # many inputs: their bulk, not the last one drawn
    for color, (wave, fnu, bad) in zip(_colors(len(inputs)), inputs, strict=True):
        draw_spectrum(wave, fnu, mask=bad, ax=panels[1], color=color, linewidth=0.7, alpha=faint, **said)
    panels[1].set_ylim(*_input_limits(limits, inputs))
    _draw_counts(panels[1], wavelength, n_used, len(inputs))
    for color, (wave, curve, curve_err) in zip(_colors(len(curves)), curves, strict=True):
        _draw_curve(panels[2], wave, curve, curve_err, color=color)
    for panel in panels:
        panel.set_xlabel("")
    panels[-1].set_xlabel(wave_label(header))
    show_range(panels, wavelength, _drawn(flux, mask))
    return panels


def draw_noise(
    wavelength: FloatArray,
    scale: FloatArray,
    scale_err: FloatArray,
    correlation: FloatArray,
    correlation_err: FloatArray,
    *,
    title: str,
    axes: Iterable[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw the size of noise over wavelength, and its correlation over lag.

    Parameters
    ----------
    wavelength
        Microns, shape (w,).
    scale, scale_err
        True over stated error, and its error, shape (w,).
    correlation, correlation_err
        Shape (lag,).
    title
        Of the figure.
    axes
        Two axes; a new figure without them.

    Returns
    -------
    tuple
        (scale axes, correlation axes).
    """
    if axes is None:
        figure, axes = pyplot().subplots(1, 2, figsize=(9, 3.2), width_ratios=(2, 1), layout="constrained")
        figure.suptitle(title, fontsize="medium")
    given = tuple(axes)
    if len(given) != 2:
        raise ValidationError(f"{len(given)} axes passed", hint="this plot has 2 panels")
    top, side = given
    _draw_curve(top, wavelength, scale, scale_err)
    top.set(xlabel=wave_label(), ylabel="measured / stated error")
    lag = np.arange(len(correlation))
    side.axhline(0.0, color=GREY, lw=0.8)
    side.errorbar(lag, correlation, correlation_err, fmt="o", ms=4, color=BLUE)
    side.set(xlabel="lag (pixels)", ylabel="correlation", xticks=lag)
    return top, side


def _colors(n: int) -> Any:
    return pyplot().get_cmap("viridis")(np.linspace(0.0, 0.85, max(n, 2)))[:n]


def _input_limits(
    limits: tuple[float, float], inputs: Sequence[tuple[FloatArray, FloatArray, BoolArray]]
) -> tuple[float, float]:
    """Return y limits that hold the stack and the bulk of every input, but no input's wild pixels."""
    low, high = limits
    found = [flux_limits(np.where(bad, np.nan, fnu), None) for _, fnu, bad in inputs]
    known = [pair for pair in found if pair is not None]
    if known:
        lows, highs = zip(*known, strict=True)
        low, high = min(low, float(np.median(lows))), max(high, float(np.median(highs)))
    return low, high


def _draw_counts(ax: Axes, wavelength: FloatArray, n_used: FloatArray, n: int) -> None:
    """Draw how many inputs were used, in a strip of its own at the top of the panel of the inputs."""
    strip, text = 0.18, 14 / (72 * axes_size(ax)[1])
    make_room(ax, above=strip + text)
    ax.text(
        0.01,
        1 - strip - 0.2 * text,
        f"{n} input" if n == 1 else f"{n} inputs",
        transform=ax.transAxes,
        ha="left",
        va="top",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    )
    _keep_ticks_below(ax, 1 - strip)
    count = ax.twinx()
    most = max(1.0, float(np.max(n_used, initial=1)))
    unit = most * 1.15 / strip
    count.axhspan(0, unit, facecolor="white", edgecolor="none")  # wild pixels of inputs end at the strip
    count.fill_between(wavelength, n_used, step="mid", color=ORANGE, alpha=0.2, linewidth=0)
    count.step(wavelength, n_used, where="mid", color=ORANGE, linewidth=0.9)
    count.axhline(0, color=GREY, linewidth=0.5)
    # Zero inputs at the foot of the strip, all of them near its top.
    count.set_ylim(-unit * (1 - strip), unit * strip)
    count.set_yticks([0, most], ["0", f"{most:g}"], color=ORANGE, fontsize=8)
    count.set_ylabel("n used", color=ORANGE, fontsize=8, y=1 - strip / 2)


def _keep_ticks_below(ax: Axes, share: float) -> None:
    """Leave out the ticks of the flux in the strip above this share of the height."""
    from matplotlib.ticker import MaxNLocator

    class Below(MaxNLocator):
        def tick_values(self, vmin: float, vmax: float) -> Any:
            top = vmin + share * (vmax - vmin)
            ticks = np.asarray(super().tick_values(vmin, top))
            return ticks[ticks <= top]

    ax.yaxis.set_major_locator(Below(nbins=5, steps=[1, 2, 2.5, 5, 10]))
