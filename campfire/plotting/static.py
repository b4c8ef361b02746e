"""Matplotlib drawings of spectra and collections; they take arrays and know no other type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.arguments import number, shown, text, truth
from campfire.errors import ValidationError
from campfire.installation import missing_extra
from campfire.kernels.grids import pixel_bounds
from campfire.linelist import get_emission_lines
from campfire.plotting.labels import flux_kind, flux_label, wave_label
from campfire.schema import in_rest_frame
from campfire.units import FNU_UNIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.typing import BoolArray, FloatArray

__all__ = [
    "apart",
    "axes_size",
    "draw_collection",
    "draw_model",
    "draw_spectrum",
    "flux_limits",
    "make_room",
    "mark_lines",
    "new_axes",
    "one_axes",
    "pyplot",
    "show_range",
    "text_share",
]

STRONG = ("Hα", "[OIII]₂", "Lyα", "[OII]", "Paα", "[SIII]₂", "HeI10830", "Paβ", "Hβ")
# Colours that stay apart in grey and for colour-blind readers (Okabe & Ito 2008).
INK, BLUE, ORANGE, GREY = "#1b1b1b", "#0072b2", "#d55e00", "#8a8a8a"
MARK, SMALL = "#555555", 7


def new_axes(
    rows: int,
    heights: Sequence[float],
    axes: Sequence[Axes] | None = None,
    figsize: tuple[float, float] = (9, 6),
    *,
    share: bool = True,
) -> tuple[Axes, ...]:
    """Return ``rows`` panels, which ``share`` the wavelength axis: those given, or those of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValidationError
        If another number of axes is passed.
    """
    if axes is not None:
        panels = list(np.ravel(np.asarray(axes, dtype=object)))
        if len(panels) != rows:
            raise ValidationError(
                f"{len(panels)} axes passed: {shown(axes)}", hint=f"this plot has {rows} panels"
            )
        return tuple(map(one_axes, panels))
    plt = pyplot()
    _, made = plt.subplots(
        rows,
        1,
        sharex=share,
        figsize=figsize,
        height_ratios=list(heights),
        layout="constrained",
        squeeze=False,
    )
    return tuple(made[:, 0])


def one_axes(ax: Any) -> Axes:
    """Return what was passed as axes, if it is one.

    Raises
    ------
    ValidationError
        If it is something else, such as the array of several that ``plt.subplots`` gives.
    """
    if hasattr(ax, "get_xaxis_transform") and hasattr(ax, "figure"):
        axes: Axes = ax
        return axes
    raise ValidationError(
        f"ax={shown(ax)} is not matplotlib axes", hint="pass one, as of fig, ax = plt.subplots()"
    )


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as err:
        raise missing_extra("plots need matplotlib", "deploy") from err
    return plt


def _good(flux: FloatArray, mask: BoolArray | None) -> BoolArray:
    good: BoolArray = np.isfinite(flux)
    return good if mask is None else good & ~np.asarray(mask, dtype=bool)


def flux_limits(flux: FloatArray, error: FloatArray | None) -> tuple[float, float] | None:
    """Return y limits that show lines in full without following the noisiest pixels; zero is always in.

    The bulk counts without the outermost 2 % of pixels on either side and without those of more than three
    times the median error; pixels significant at 5 sigma count as far as a neighbour supports them. None
    without finite pixels.
    """
    keep = np.isfinite(flux)
    if not keep.any():
        return None
    values = np.asarray(flux, dtype=float)[keep]
    sigma = np.full(values.size, np.nan) if error is None else np.asarray(error, dtype=float)[keep]
    edge = values.size // 50
    values, sigma = values[edge : values.size - edge], sigma[edge : values.size - edge]
    known = np.isfinite(sigma) & (sigma > 0)
    quiet = known & (sigma <= 3 * np.median(sigma[known])) if known.any() else np.isfinite(values)
    low, high = np.percentile(values[quiet], [1, 99])
    significant = known.copy()
    significant[known] = np.abs(values[known]) > 5 * sigma[known]
    if significant.any():
        # The second of three neighbours: a line has company, a spike has none.
        padded = np.pad(values, 1, mode="edge")
        second = np.median([padded[:-2], padded[1:-1], padded[2:]], axis=0) if values.size > 2 else values
        base = float(np.median(values[quiet]))
        reach = 3 * (second - base)
        high = max(high, float(np.minimum(values, base + np.maximum(reach, 0))[significant].max()))
        low = min(low, float(np.maximum(values, base + np.minimum(reach, 0))[significant].min()))
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    span = (high - low) or 1.0
    return low - (0.08 if low < 0 else 0.04) * span, high + 0.12 * span


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
    header: Mapping[str, Any] | None = None,
    fnu_units: str = FNU_UNIT,
    ax: Axes | None = None,
    **step: Any,
) -> Axes:
    """Draw one spectrum as a step line with its 1-sigma band.

    Parameters
    ----------
    wavelength
        Microns, shape (n,); the axis reaches from the first to the last pixel drawn.
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
        Mark the emission lines at this redshift, or at their rest wavelengths on a rest-frame axis.
    header
        Cards that say the frame (``STACKFRM``, ``SPECSYS``) and the normalisation (``STACKNRM``).
    fnu_units
        Unit of f_nu for the label.
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
    show_errors = truth(show_errors, "show_errors")
    shift = None if redshift is None else number(redshift, "redshift", above=-1)
    title = None if title is None else text(title, "title")
    (ax,) = new_axes(1, [1], figsize=(9, 4)) if ax is None else (one_axes(ax),)
    wave = np.asarray(wavelength, dtype=float)
    good = _good(np.asarray(flux), mask)
    drawn = np.where(good, flux, np.nan)
    style: dict[str, Any] = {"where": "mid", "color": INK, "linewidth": 0.9} | step
    if show_errors and error is not None:
        places, sigma = apart(wave, np.where(good & np.isfinite(error), error, np.nan))
        level = apart(wave, drawn)[1]
        ax.fill_between(
            places, level - sigma, level + sigma, step="mid", color=style["color"], alpha=0.25, linewidth=0
        )
    try:
        ax.step(*apart(wave, drawn), **style)
    except (AttributeError, TypeError, ValueError) as err:  # what matplotlib says of a keyword
        raise ValidationError(
            f"matplotlib cannot draw with {', '.join(sorted(step))}: {err}",
            hint="keywords are those of Axes.step, and title, redshift, show_errors, flux_unit",
        ) from err
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    limits = flux_limits(drawn, error if error is None else np.asarray(error))
    if limits is not None:
        ax.set_ylim(*limits)
    low, high = show_range((ax,), wave, good)
    if shift is not None and low <= high:
        mark_lines(ax, 0.0 if in_rest_frame(header) else shift, low, high)
    ax.set_xlabel(wave_label(header))
    ax.set_ylabel(flux_label(kind, header, fnu_units))
    if title:
        ax.set_title(title)
    return ax


def apart(wavelength: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths and values with NaN where pixels are missing, so that no line is drawn across.

    Examples
    --------
    >>> wave = np.array([1.0, 2.0, 3.0, 10.0, 11.0, 12.0])
    >>> apart(wave, wave)[1]
    array([ 1.,  2.,  3., nan, nan, 10., 11., 12.])
    """
    if not (wavelength.size > 1 and np.isfinite(wavelength).all() and (np.diff(wavelength) > 0).all()):
        return wavelength, values
    bounds = pixel_bounds(wavelength)
    left = np.flatnonzero(bounds.apart)
    if not left.size:
        return wavelength, values
    # Steps change midway between points: so that they end where pixels end, both lie a pixel beyond.
    ends = np.stack(
        [2 * bounds.high[left] - wavelength[left], 2 * bounds.low[left + 1] - wavelength[left + 1]]
    )
    place = np.repeat(left + 1, 2)
    return np.insert(wavelength, place, ends.T.ravel()), np.insert(values, place, np.nan)


def draw_model(ax: Axes, wavelength: FloatArray, flux: FloatArray, label: str) -> None:
    """Draw a model over a spectrum, in orange, with a legend that says what it was fitted with.

    Parameters
    ----------
    ax
        Axes that show the spectrum.
    wavelength, flux
        In the units of the axes, shape (n,); where the flux is not finite, the line has a gap.
    label
        For the legend.
    """
    ax.plot(wavelength, flux, color=ORANGE, linewidth=1.1, alpha=0.9, label=label)
    ax.legend(loc="lower right", frameon=False, fontsize="small")  # names of lines are along the top


def show_range(
    panels: Sequence[Axes], wavelength: FloatArray, good: BoolArray | None = None
) -> tuple[float, float]:
    """Let panels show the wavelengths from the first to the last good pixel, or all without any; return them.

    One pixel alone has no range, and none at all is returned as (inf, -inf).
    """
    wave = np.asarray(wavelength, dtype=float)
    known = np.isfinite(wave)
    shown = known if good is None or not (known & good).any() else known & good
    if not shown.any():
        return np.inf, -np.inf
    low, high = float(wave[shown].min()), float(wave[shown].max())
    if low < high:
        for panel in panels:
            panel.set_xlim(low, high)
    return low, high


def mark_lines(ax: Axes, redshift: float, wave_min: float, wave_max: float) -> None:
    """Mark emission lines at a redshift with dotted lines, named along the top; crowded names are left out.

    The wavelengths are those of the vacuum list, times (1 + redshift), in microns. Room for the names is
    made above the data.
    """
    lines = get_emission_lines(redshift, wave_min, wave_max)
    rank = {name: n for n, name in enumerate(STRONG)}
    named: dict[float, str] = {}
    closest = 8.0 / (72 * axes_size(ax)[0]) * (wave_max - wave_min)
    # Names of the strongest lines first: where lines crowd, the others go without.
    for line in sorted(lines, key=lambda line: rank.get(line["name"], len(rank))):
        wave = line["observed_wave"]
        ax.axvline(wave, color=MARK, linestyle=":", linewidth=0.8, zorder=0)
        if all(abs(wave - other) >= closest for other in named):
            named[wave] = line["name"]
    make_room(ax, above=text_share(ax, named.values()))
    for wave, name in named.items():
        ax.text(
            wave,
            0.985,
            name,
            transform=ax.get_xaxis_transform(),
            rotation=90,
            va="top",
            ha="center",
            fontsize=SMALL,
            color=MARK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )


def axes_size(ax: Axes) -> tuple[float, float]:
    """Return the width and height of axes in inches, as far as they are known before drawing."""
    box = ax.get_window_extent()
    dots = ax.figure.dpi
    return max(float(box.width) / dots, 0.1), max(float(box.height) / dots, 0.1)


def text_share(ax: Axes, names: Iterable[str]) -> float:
    """Return the share of the height of axes that the longest of some upright small names takes."""
    longest = max((len(name) for name in names), default=0)
    return min(0.45, (0.62 * SMALL * longest + 6) / (72 * axes_size(ax)[1])) if longest else 0.0


def make_room(ax: Axes, *, above: float = 0.0, below: float = 0.0) -> None:
    """Widen the y limits so that the data leave these shares of the height free."""
    low, high = ax.get_ylim()
    height = (high - low) / (1.0 - above - below)
    ax.set_ylim(low - below * height, high + above * height)


def draw_collection(
    wavelength: FloatArray,
    flux: FloatArray,
    *,
    order: FloatArray | None = None,
    order_label: str = "redshift",
    header: Mapping[str, Any] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw many spectra on one grid as an image, one row a spectrum, each scaled to its own 98th percentile.

    Pixels without data are grey.

    Parameters
    ----------
    wavelength
        Common grid in microns, shape (n,).
    flux
        Shape (spectra, n); pixels that are not finite are without data.
    order
        Value a spectrum by which rows are sorted, e.g. redshift; rows without one come last. Where none has
        one, the rows stay as they are.
    order_label
        What ``order`` is, for the axis.
    header
        Cards that say the frame, as for :func:`draw_spectrum`.
    title
        Title of the axes.
    ax
        Axes to draw on; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.
    """
    (ax,) = new_axes(1, [1], figsize=(9, 5)) if ax is None else (one_axes(ax),)
    rows = np.asarray(flux, dtype=float)
    if order is not None and not np.isfinite(np.asarray(order, dtype=float)).any():
        order = None
    index = (
        np.arange(len(rows)) if order is None else np.argsort(np.asarray(order, dtype=float), kind="stable")
    )
    scale = np.ones(len(rows))
    for n, row in enumerate(rows):
        finite = np.abs(row[np.isfinite(row)])
        scale[n] = np.percentile(finite, 98) if finite.size else 1.0
    image = (rows / np.where(scale > 0, scale, 1.0)[:, None])[index]
    ax.set_facecolor("#b5b5b5")  # no data: neither the dark nor the bright end of the colours
    mesh = ax.pcolormesh(
        _edges(np.asarray(wavelength, dtype=float)),
        np.arange(len(rows) + 1) - 0.5,
        image,
        cmap="magma",
        vmin=-0.1,
        vmax=1.0,
        shading="flat",
        rasterized=True,
    )
    ax.figure.colorbar(mesh, ax=ax, label=r"$f_\nu$ / 98th percentile", pad=0.01)
    ax.set_xlabel(wave_label(header))
    ax.set_ylabel("spectrum" if order is None else f"spectrum, by {order_label}")
    if order is None:
        from matplotlib.ticker import MaxNLocator

        ax.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    elif len(rows):
        ticks = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 8)).astype(int))
        values = np.asarray(order, dtype=float)[index][ticks]
        ax.set_yticks(ticks, [f"{v:.2f}" if np.isfinite(v) else "–" for v in values])
    if title:
        ax.set_title(title)
    return ax


def _edges(centres: FloatArray) -> FloatArray:
    """Return the edges of pixels: midway between centres, and as far beyond the outermost."""
    if centres.size < 2:
        return np.concatenate([centres - 0.5, centres[-1:] + 0.5])
    inner = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])
