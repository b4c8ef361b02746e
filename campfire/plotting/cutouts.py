"""Cutout images with shutters on them, and the same shutters as DS9 regions."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from campfire.arguments import choice, mapping, number, shown, truth
from campfire.config import as_path
from campfire.errors import NotFoundError, ValidationError
from campfire.plotting.static import new_axes, one_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.typing import PathInput, Row

__all__ = [
    "DEFAULT_STYLE",
    "FOV_LIMITS",
    "SHUTTER_HEIGHT_ARCSEC",
    "SHUTTER_WIDTH_ARCSEC",
    "check_fov",
    "draw_cutout",
    "offsets_arcsec",
    "shutter_category",
    "shutters_to_ds9_region",
]

SHUTTER_WIDTH_ARCSEC = 0.22
"""Open width of an MSA shutter on the sky (JWST User Documentation; the pitch is 0.27)."""
SHUTTER_HEIGHT_ARCSEC = 0.46
"""Open height of an MSA shutter on the sky (the pitch is 0.53)."""
FOV_LIMITS = (1.0, 30.0)
"""Fields of view the service makes, arcsec."""

DEFAULT_STYLE: dict[str, dict[str, Any]] = {
    "target": {
        "facecolor": (0, 1, 0, 0.2),
        "edgecolor": "#00ff00",
        "linewidth": 1.0,
        "linestyle": "-",
        "marker": "box",
    },
    "other": {
        "facecolor": (0.67, 0.67, 0.67, 0.15),
        "edgecolor": "#cccccc",
        "linewidth": 0.8,
        "linestyle": "-",
        "marker": "box",
    },
    "stuck_closed": {
        "facecolor": "none",
        "edgecolor": "#ef4444",
        "linewidth": 1.5,
        "linestyle": "--",
        "marker": "box",
    },
}
_MARKERS = ("box", "corners")
_STYLE_HINT = "e.g. {'target': {'edgecolor': 'cyan'}}"
Which = Literal["all", "target"] | bool


def check_fov(fov: float) -> float:
    """Return the field of view if the service can make it.

    Raises
    ------
    ValidationError
        Outside 1 to 30 arcsec: the service would silently make another size, and the overlay be wrong.
    """
    low, high = FOV_LIMITS
    unit = getattr(fov, "unit", None)  # of a Quantity
    try:
        plain: Any = fov if unit is None else fov.to_value("arcsec")  # type: ignore[attr-defined]
        value = np.nan if isinstance(plain, bool | str | bytes) or np.ndim(plain) else float(plain)
    except (TypeError, ValueError):  # no number; UnitConversionError is a ValueError too
        value = np.nan
    if not low <= value <= high:
        raise ValidationError(
            f"fov={shown(fov)}", hint=f"choose a field of view from {low:g} to {high:g} arcsec"
        )
    return value


def offsets_arcsec(ra: float, dec: float, center_ra: float, center_dec: float) -> tuple[float, float]:
    """Return tangent-plane offsets (east, north) in arcsec of a position from a centre; all in degrees.

    Gnomonic projection (Calabretta & Greisen 2002, section 5.1.3), so exact across RA 0 and near the poles.

    Examples
    --------
    >>> east, north = offsets_arcsec(0.0001, 0.0, 359.9999, 0.0)
    >>> round(east, 3), round(north, 3)
    (0.72, 0.0)
    """
    delta = math.radians(ra - center_ra)
    sin_d, cos_d = math.sin(math.radians(dec)), math.cos(math.radians(dec))
    sin_0, cos_0 = math.sin(math.radians(center_dec)), math.cos(math.radians(center_dec))
    cos_c = sin_0 * sin_d + cos_0 * cos_d * math.cos(delta)
    east = cos_d * math.sin(delta) / cos_c
    north = (cos_0 * sin_d - sin_0 * cos_d * math.cos(delta)) / cos_c
    return math.degrees(east) * 3600, math.degrees(north) * 3600


def shutter_category(shutter: Row, members: Collection[str]) -> str:
    """Return ``"stuck_closed"``, ``"target"`` or ``"other"``.

    ``members`` are the target ids of the object: what a shutter calls ``object_id`` is a target id.
    """
    if shutter.get("shutter_state") == "stuck_closed":
        return "stuck_closed"
    return "target" if shutter.get("object_id") in members else "other"


def _style(overrides: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]]:
    style = {name: dict(values) for name, values in DEFAULT_STYLE.items()}
    given = mapping({} if overrides is None else overrides, "shutter_style", _STYLE_HINT)
    for name, values in given.items():
        choice(name, "shutter category", style)
        for key, value in mapping(values, f"shutter_style[{name!r}]", _STYLE_HINT).items():
            choice(key, "shutter style", style[name])
            style[name][key] = choice(value, "shutter marker", _MARKERS) if key == "marker" else value
    return style


def _corners(angle: float) -> list[tuple[float, float]]:
    """Corners of a shutter around its centre as (east, north) in arcsec; its long axis is at ``angle``."""
    turn = math.radians(angle)
    half_w, half_h = SHUTTER_WIDTH_ARCSEC / 2, SHUTTER_HEIGHT_ARCSEC / 2
    corners = []
    for across, along in ((-half_w, -half_h), (half_w, -half_h), (half_w, half_h), (-half_w, half_h)):
        # Position angles run from north through east.
        east = along * math.sin(turn) + across * math.cos(turn)
        north = along * math.cos(turn) - across * math.sin(turn)
        corners.append((east, north))
    return corners


def _outline(corners: Sequence[tuple[float, float]], marker: str) -> list[list[tuple[float, float]]]:
    """Return the strokes of a shutter: its closed box, or an L at each corner."""
    if marker == "box":
        return [[*corners, corners[0]]]
    strokes = []
    for n, corner in enumerate(corners):
        ends = []
        for other in (corners[n - 1], corners[(n + 1) % 4]):
            length = math.dist(corner, other)
            # Ticks as in published slit overlays: 0.35 of the short side, 0.25 of the long one.
            share = 0.35 if length < (SHUTTER_WIDTH_ARCSEC + SHUTTER_HEIGHT_ARCSEC) / 2 else 0.25
            ends.append(tuple(c + share * (o - c) for c, o in zip(corner, other, strict=True)))
        strokes.append([ends[0], corner, ends[1]])
    return strokes  # type: ignore[return-value]


def draw_cutout(
    image_path: PathInput,
    *,
    fov: float,
    shutters: Iterable[Row] = (),
    members: Collection[str] = (),
    center: tuple[float, float] | None = None,
    which: Which = True,
    ax: Axes | None = None,
    shutter_style: Mapping[str, Mapping[str, Any]] | None = None,
    scalebar: bool = True,
    scalebar_length: float | None = None,
) -> Axes:
    """Draw a cutout (north up, east left) with its shutters as vectors.

    Parameters
    ----------
    image_path
        PNG file as ``Campfire.get_cutout`` returns it.
    fov
        Field of view of the image in arcsec, 1 to 30.
    shutters
        Rows as in ``Campfire.get_shutters(...)["shutters"]``.
    members
        Target ids of the object; their shutters are drawn as ``"target"``.
    center
        (RA, dec) of the image centre in degrees; needed to draw shutters.
    which
        True or ``"all"``, ``"target"`` (only the object's own), False (none).
    ax
        Axes to draw on; a new figure without it.
    shutter_style
        Overrides by category (``target``, ``other``, ``stuck_closed``) of ``facecolor``, ``edgecolor``,
        ``linewidth``, ``linestyle`` and ``marker`` (``"box"`` or ``"corners"``).
    scalebar, scalebar_length
        Whether to draw a scale bar, and its length in arcsec.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on; coordinates are arcsec from the centre, x to the west.

    Raises
    ------
    ValidationError
        For a field of view out of range, an unknown style, word, or shutters without a centre.
    NotFoundError
        If the image does not exist.
    ImportError
        If matplotlib is not installed.
    """
    fov = check_fov(fov)
    style = _style(shutter_style)
    scalebar = truth(scalebar, "scalebar")
    length = None if scalebar_length is None else _bar_length(scalebar_length, fov)
    if not isinstance(which, bool):
        choice(which, "shutters", ("all", "target"))
    path = as_path(image_path, "image_path")
    (ax,) = new_axes(1, [1], figsize=(5, 5)) if ax is None else (one_axes(ax),)
    import matplotlib.image as mpimg

    try:
        image = mpimg.imread(path)
    except FileNotFoundError as err:
        raise NotFoundError(f"no image at {path}", path=path, hint="cf.get_cutout() makes one") from err
    except Exception as err:  # each decoder has errors of its own for what is damaged, or too large unpacked
        raise ValidationError(
            f"{path} cannot be read as an image ({type(err).__name__})",
            hint="move it away; cf.get_cutout() fetches it again",
            path=path,
        ) from err
    half = fov / 2
    ax.imshow(image, extent=(-half, half, -half, half), origin="upper", interpolation="nearest")
    rows = _rows(shutters) if which else []
    if rows and center is None:
        raise ValidationError(
            "shutters need the centre of the image", hint="pass center_ra= and center_dec=, or the whole dict"
        )
    faces: dict[str, list[list[tuple[float, float]]]] = {}
    try:
        for row in rows:
            category = shutter_category(row, members)
            if center is None or (which == "target" and row.get("object_id") not in members):
                continue
            faces.setdefault(category, []).extend(_draw_shutter(ax, row, center, half, style[category]))
        for category, boxes in faces.items():
            _fill(ax, boxes, style[category]["facecolor"])
    except (AttributeError, TypeError, ValueError) as err:  # what matplotlib says of a colour or a width
        raise ValidationError(f"matplotlib cannot draw this shutter_style: {err}", hint=_STYLE_HINT) from err
    ax.set_xlim(-half, half)
    ax.set_ylim(-half, half)
    ax.set_aspect("equal")
    ax.set_axis_off()
    if scalebar:
        _draw_scalebar(ax, fov, length)
    return ax


def _rows(shutters: Iterable[Row]) -> list[Row]:
    hint = 'pass the dict of get_shutters(), or its "shutters"'
    given: Any = shutters
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ValidationError(f"shutters={shown(given)}", hint=hint)
    rows = list(given)
    for row in rows:
        for key in ("center_ra", "center_dec"):
            number(mapping(row, "a shutter", hint).get(key), f"{key} of a shutter")
    return rows


def _fill(ax: Axes, boxes: Sequence[Sequence[tuple[float, float]]], color: Any) -> None:
    """Fill the union of boxes of one orientation: where dithers overlap, the colour stays as faint."""
    if not boxes or color == "none":
        return
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    union = Path.make_compound_path(*(Path([*box, box[0]], closed=True) for box in boxes))
    ax.add_patch(PathPatch(union, facecolor=color, edgecolor="none"))


def _draw_shutter(
    ax: Axes, row: Row, center: tuple[float, float], half: float, style: Mapping[str, Any]
) -> list[list[tuple[float, float]]]:
    """Draw the outline of a shutter; return its box to be filled, none where it is outside of the image."""
    east, north = offsets_arcsec(float(row["center_ra"]), float(row["center_dec"]), *center)
    corners = _corners(float(row.get("position_angle") or 0.0))
    # East is to the left: x = -east.
    drawn = [(-(east + e), north + n) for e, n in corners]
    if all(abs(x) > half or abs(y) > half for x, y in drawn):
        return []
    for stroke in _outline(drawn, style["marker"]):
        xs, ys = zip(*stroke, strict=True)
        ax.plot(
            xs,
            ys,
            color=style["edgecolor"],
            linewidth=style["linewidth"],
            linestyle=style["linestyle"],
            solid_capstyle="butt",
        )
    return [drawn]


def _bar_length(length: Any, fov: float) -> float:
    return number(length, "scalebar_length", above=0, most=fov, unit="arcsec")


def _draw_scalebar(ax: Axes, fov: float, length: float | None) -> None:
    if length is None:
        length = next((size for size in (0.1, 0.2, 0.5, 1, 2, 5, 10) if size >= fov / 10), 10)
    right, y = fov / 2 - 0.05 * fov, -fov / 2 + 0.05 * fov
    ax.plot([right - length, right], [y, y], color="white", linewidth=2, solid_capstyle="butt")
    ax.text(
        right - length / 2,
        y + 0.015 * fov,
        f'{length:g}"',
        color="white",
        ha="center",
        va="bottom",
        fontsize=9,
    )


REGION_HEADER = """# Region file format: DS9 version 4.1
global color=white dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1 highlite=1 dash=0 fixed=0 \
edit=1 move=1 delete=1 include=1 source=1
fk5
"""


def shutters_to_ds9_region(shutters: Iterable[Row], members: Collection[str] = ()) -> str:
    """Write shutters as a DS9 region file (version 4.1, fk5).

    Parameters
    ----------
    shutters
        Rows as in ``Campfire.get_shutters(...)["shutters"]``.
    members
        Target ids of the object: their shutters come first and in green, others are white, stuck ones red.

    Returns
    -------
    str
        Text of the file, one box a shutter under two comment lines a slitlet.

    Examples
    --------
    >>> row = dict(object_id="obs_1", source_id=1, observation="obs", center_ra=150.0, center_dec=2.0,
    ...            position_angle=87.5, shutter_idx=0, dither_id=0, shutter_state="source")
    >>> shutters_to_ds9_region([row], {"obs_1"}).splitlines()[-1]
    'box(150.0000000,2.0000000,0.22",0.46",87.5000) # color=green text={dither=0 idx=0 state=source}'
    """
    slitlets: dict[tuple[str, int], list[Row]] = {}
    for row in shutters:
        slitlets.setdefault((str(row.get("observation", "")), int(row.get("source_id") or 0)), []).append(row)

    def first(item: tuple[tuple[str, int], list[Row]]) -> tuple[bool, tuple[str, int]]:
        return not any(row.get("object_id") in members for row in item[1]), item[0]

    lines = []
    for (observation, source_id), rows in sorted(slitlets.items(), key=first):
        own = any(row.get("object_id") in members for row in rows)
        lines += [
            f"# slitlet {observation} source {source_id}",
            f"# {len(rows)} shutters, {'of the object' if own else 'of another source'}",
        ]
        for row in sorted(rows, key=lambda r: (r.get("dither_id") or 0, r.get("shutter_idx") or 0)):
            category = shutter_category(row, members)
            color = {"stuck_closed": "red dash=1", "target": "green", "other": "white"}[category]
            # Braces would end the text of a region early.
            state = str(row.get("shutter_state", "")).translate({ord("{"): None, ord("}"): None})
            angle = float(row.get("position_angle") or 0)
            size = f'{SHUTTER_WIDTH_ARCSEC}",{SHUTTER_HEIGHT_ARCSEC}"'
            text = f"dither={row.get('dither_id')} idx={row.get('shutter_idx')} state={state}"
            lines.append(
                f"box({float(row['center_ra']):.7f},{float(row['center_dec']):.7f},{size},{angle:.4f})"
                f" # color={color} text={{{text}}}"
            )
    return REGION_HEADER + "\n".join(lines) + "\n"
