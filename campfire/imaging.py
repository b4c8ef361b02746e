"""Cutouts and shutters by hand: what ``Campfire.plot_cutout`` puts together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from campfire.arguments import number, shown, text
from campfire.errors import ValidationError
from campfire.plotting.cutouts import (
    DEFAULT_STYLE,
    SHUTTER_HEIGHT_ARCSEC,
    SHUTTER_WIDTH_ARCSEC,
    draw_cutout,
    shutters_to_ds9_region,
)
from campfire.plotting.static import pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.typing import PathInput, Row

__all__ = [
    "DEFAULT_STYLE",
    "SHUTTER_HEIGHT_ARCSEC",
    "SHUTTER_WIDTH_ARCSEC",
    "plot_cutout",
    "shutters_to_ds9_region",
]


def plot_cutout(
    image_path: PathInput,
    shutters: Mapping[str, Any] | Sequence[Row] | None = None,
    object_id: str | None = None,
    fov: float = 5.0,
    center_ra: float | None = None,
    center_dec: float | None = None,
    ax: Axes | None = None,
    shutter_style: Mapping[str, Mapping[str, Any]] | None = None,
    scalebar: bool = True,
    scalebar_length: float | None = None,
    *,
    members: Collection[str] | None = None,
) -> Axes:
    """Draw a cutout with shutters on it.

    Parameters
    ----------
    image_path
        PNG file, as ``Campfire.get_cutout`` returns it.
    shutters
        The dict of ``Campfire.get_shutters`` (with the centre in its ``meta``), or a list of its rows.
    object_id
        The object; its own shutters are drawn as ``"target"``.
    fov
        Field of view of the image in arcsec, 1 to 30.
    center_ra, center_dec
        Centre of the image in degrees; needed with a list of shutters.
    ax
        Axes to draw on; the current ones without it.
    shutter_style
        Overrides by category: ``target``, ``other``, ``stuck_closed``.
    scalebar, scalebar_length
        Whether to draw a scale bar, and its length in arcsec.
    members
        Target ids of the object, where ``shutters`` does not hold them (``Campfire.get_shutters`` adds them
        to its ``meta``).

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Raises
    ------
    ValidationError
        For a field of view out of range, an unknown style, or shutters without a centre.
    NotFoundError
        If the image does not exist.
    ImportError
        If matplotlib is not installed.
    """
    meta: Mapping[str, Any] = {}
    rows: Sequence[Row] = ()
    if isinstance(shutters, Mapping):
        if "shutters" not in shutters:
            raise ValidationError(f"shutters={shown(shutters)}", hint="pass what get_shutters() returned")
        meta, rows = shutters.get("meta") or {}, shutters["shutters"]
    elif shutters is not None:
        rows = shutters
    ra = meta.get("center_ra") if center_ra is None else center_ra
    dec = meta.get("center_dec") if center_dec is None else center_dec
    known = _names(members if members is not None else meta.get("member_target_ids") or ())
    if object_id is not None:
        known.add(text(object_id, "object_id"))
    center = None
    if ra is not None and dec is not None:
        center = (
            number(ra, "center_ra", unit="deg"),
            number(dec, "center_dec", unit="deg", least=-90, most=90),
        )
    if ax is None:
        ax = pyplot().gca()
    return draw_cutout(
        image_path,
        fov=fov,
        shutters=rows,
        members=known,
        center=center,
        ax=ax,
        shutter_style=shutter_style,
        scalebar=scalebar,
        scalebar_length=scalebar_length,
    )


def _names(members: Any) -> set[str]:
    if isinstance(members, str | bytes | Mapping) or not isinstance(members, Iterable):
        raise ValidationError(f"members={shown(members)}", hint="pass a list of target ids")
    return {text(name, "a target id") for name in members}
