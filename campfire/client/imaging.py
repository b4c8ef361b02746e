"""Cutouts and shutters: fetched once, kept by server, drawn together."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.about import missing_extra
from campfire.client.base import ClientBase, on_disk
from campfire.client.kept import keep_json, kept_json, server_folder, whole_png, write_whole
from campfire.config import plain_text
from campfire.disk import new_file
from campfire.errors import APIError, NotFoundError, ValidationError
from campfire.query import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from campfire.typing import PathInput, Row

__all__ = ["ImagingMethods"]

_FRESH = 7 * 86400.0
"""Seconds for which a kept image is not asked about; the service says so itself."""
_SIZES = (16, 2048)
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,80}")
_SHUTTERS = ("shutters", "meta")
_WORDS = ("all", "target")


class ImagingMethods(ClientBase):
    """The methods of :class:`campfire.Campfire` that deal with images."""

    @on_disk("cannot keep the image")
    def get_cutout(self, object_id: str, fov: float = 5.0, size: int | None = None) -> Path:
        """Return the file of a colour image around an object, north up, east left.

        Parameters
        ----------
        object_id
            Its id, or that of one of its targets.
        fov
            Width of the field of view, 1 to 30 arcsec.
        size
            Width in pixels, 16 to 2048; native sampling without it.

        Returns
        -------
        pathlib.Path
            A PNG, kept for the next time.

        Raises
        ------
        ValidationError
            For a field of view or a size out of range.
        NotFoundError
            If there is no such object, or no image of its field.
        """
        from campfire.plotting.cutouts import check_fov

        fov = check_fov(fov)
        if size is not None and (
            isinstance(size, bool)
            or not isinstance(size, int | np.integer)
            or not _SIZES[0] <= size <= _SIZES[1]
        ):
            raise ValidationError(f"size={size!r}", hint=f"{_SIZES[0]} to {_SIZES[1]} pixels, or None")
        pixels = None if size is None else int(size)
        suffix = f"_fov{fov:g}" + ("" if pixels is None else f"_s{pixels}") + ".png"
        path = self._image_path(object_id, suffix)
        if not (_fresh(path) and whole_png(path)):
            try:
                name = str(self._object(object_id)["object_id"])
                write_whole(path, self._context.api().cutout(name, fov, pixels))
            except APIError:
                if not whole_png(path):
                    raise  # else the copy there is will do: mosaics hardly change
        return path

    def get_shutters(self, object_id: str, fov: float = 5.0) -> dict[str, Any]:
        """Return the shutters within ±fov of an object.

        Parameters
        ----------
        object_id
            Its id, or that of one of its targets.
        fov
            Half width of the box, 1 to 30 arcsec.

        Returns
        -------
        dict
            ``shutters`` (rows; their ``object_id`` is a target's id) and ``meta`` (centre in degrees, shutter
            size in arcsec, and ``member_target_ids``: which targets are the object).

        Raises
        ------
        ValidationError
            For a field of view out of range.
        NotFoundError
            If there is no such object.
        """
        from campfire.plotting.cutouts import check_fov

        fov = check_fov(fov)
        path = self._image_path(object_id, f"_fov{fov:g}_shutters.json")
        kept = kept_json(path, _SHUTTERS)
        if kept is None or not _fresh(path):
            try:
                row = self._object(object_id)
                found = self._context.api().shutters(str(row["object_id"]), fov)
            except APIError:
                if kept is None:
                    raise
                return kept
            found["meta"] |= {"member_target_ids": list(row["member_target_ids"])}
            keep_json(path, found)
            return found
        return kept

    @on_disk("cannot write the regions")
    def get_shutters_region(self, object_id: str, fov: float = 5.0, output: PathInput | None = None) -> Path:
        """Write the shutters around an object as DS9 regions, its own ones marked, and return the file.

        Parameters
        ----------
        object_id, fov
            As for :meth:`get_shutters`.
        output
            Where to write; by default beside the kept images. Only a file of DS9 regions is replaced there.

        Raises
        ------
        ValidationError
            If there is another file of that name.
        """
        from campfire.plotting.cutouts import REGION_HEADER, check_fov, shutters_to_ds9_region

        fov = check_fov(fov)
        chosen = output is not None
        path = new_file(output, overwrite=False, ours=REGION_HEADER.encode()) if chosen else None
        found = self.get_shutters(object_id, fov)
        text = shutters_to_ds9_region(found["shutters"], found["meta"]["member_target_ids"])
        path = path or self._image_path(object_id, f"_fov{fov:g}_shutters.reg")
        write_whole(path, text.encode())
        return path

    def plot_cutout(
        self,
        object_id: str,
        fov: float = 5.0,
        size: int | None = None,
        shutters: bool | str = True,
        ax: Axes | None = None,
        shutter_style: Mapping[str, Mapping[str, Any]] | None = None,
        scalebar: bool = True,
        **kwargs: Any,
    ) -> Axes:
        """Draw the image around an object, with shutters.

        Parameters
        ----------
        object_id, fov, size
            As for :meth:`get_cutout`.
        shutters
            True or ``"all"``: all in the field of view; ``"target"``: only the object's; False: none.
        ax
            Axes to draw on; the current ones without it.
        shutter_style
            Overrides by category: ``target``, ``other``, ``stuck_closed``.
        scalebar
            Whether to draw a scale bar.
        **kwargs
            ``scalebar_length`` in arcsec.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.

        Raises
        ------
        ValidationError
            For a value out of range or an unknown word.
        ImportError
            If matplotlib is not installed.
        """
        from campfire.plotting.cutouts import draw_cutout

        if not isinstance(shutters, bool) and shutters not in _WORDS:
            raise ValidationError(
                f"shutters={shutters!r}", hint=f"True, False, or {did_you_mean(str(shutters), _WORDS)}"
            )
        path = self.get_cutout(object_id, fov, size)
        rows: list[Row] = []
        members: set[str] = set()
        center = None
        if shutters is not False:
            found = self.get_shutters(object_id, fov)
            meta = found["meta"]
            members = set(meta["member_target_ids"])
            rows = [r for r in found["shutters"] if shutters != "target" or r["object_id"] in members]
            center = (float(meta["center_ra"]), float(meta["center_dec"]))
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as err:
                raise missing_extra("plots need matplotlib", "deploy") from err
            ax = plt.gca()
        return draw_cutout(
            path,
            fov=fov,
            shutters=rows,
            members=members,
            center=center,
            ax=ax,
            shutter_style=shutter_style,
            scalebar=scalebar,
            **kwargs,
        )

    def _object(self, name: str) -> Row:
        row = self._context.object_row(name)
        if row is None:
            raise NotFoundError(f"no object {name!r}", hint="query_objects(search=...) finds it by a part")
        return row

    def _image_path(self, name: str, suffix: str) -> Path:
        """Return where an image is kept: one folder a server, names that no object id can lead out of."""
        plain_text(name, "object id")
        catalog = self._context.catalog()
        row = None if catalog is None else catalog.object_row(name)
        text = name if row is None else str(row["object_id"])
        safe = text if _SAFE.fullmatch(text) else "h" + hashlib.sha256(text.encode()).hexdigest()[:32]
        return server_folder(self._context.paths.cutouts, self.base_url) / (safe + suffix)


def _fresh(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _FRESH
    except OSError:
        return False
