"""Cutouts and shutters: fetched once, kept by server, drawn together."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campfire.arguments import choice, integer
from campfire.client.response_cache import keep_json, kept_json, server_folder, whole_png, write_whole
from campfire.config import plain_text
from campfire.disk import new_file
from campfire.errors import APIError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from campfire.access.context import Context
    from campfire.typing import PathInput, Row

__all__ = ["Images"]

_FRESH = 7 * 86400.0
"""Seconds for which a kept image is not asked about; the service says so itself."""
_SIZES = (16, 2048)
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,80}")
_SHUTTERS = ("shutters", "meta")
_WORDS = ("all", "target")


class Images:
    """Gives images of objects, and the shutters on them.

    Parameters
    ----------
    context
        Of the client.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def cutout(self, object_id: str, fov: float = 5.0, size: int | None = None) -> Path:
        """Return the file of a colour image; see :meth:`campfire.Campfire.get_cutout`."""
        from campfire.plotting.cutouts import check_fov

        fov = check_fov(fov)
        pixels = None if size is None else integer(size, "size", least=_SIZES[0], most=_SIZES[1])
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

    def shutters(self, object_id: str, fov: float = 5.0) -> dict[str, Any]:
        """Return the shutters around an object; see :meth:`campfire.Campfire.get_shutters`."""
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

    def shutters_region(self, object_id: str, fov: float = 5.0, output: PathInput | None = None) -> Path:
        """Write the shutters as DS9 regions; see :meth:`campfire.Campfire.get_shutters_region`."""
        from campfire.plotting.cutouts import REGION_HEADER, check_fov, shutters_to_ds9_region

        fov = check_fov(fov)
        chosen = output is not None
        path = new_file(output, overwrite=False, ours=REGION_HEADER.encode()) if chosen else None
        found = self.shutters(object_id, fov)
        text = shutters_to_ds9_region(found["shutters"], found["meta"]["member_target_ids"])
        path = path or self._image_path(object_id, f"_fov{fov:g}_shutters.reg")
        write_whole(path, text.encode())
        return path

    def plot(
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
        """Draw image and shutters; see :meth:`campfire.Campfire.plot_cutout`."""
        from campfire.plotting.cutouts import draw_cutout
        from campfire.plotting.static import pyplot

        if not isinstance(shutters, bool):
            choice(shutters, "shutters", _WORDS)
        path = self.cutout(object_id, fov, size)
        rows: list[Row] = []
        members: set[str] = set()
        center = None
        if shutters is not False:
            found = self.shutters(object_id, fov)
            meta = found["meta"]
            members = set(meta["member_target_ids"])
            rows = [r for r in found["shutters"] if shutters != "target" or r["object_id"] in members]
            center = (float(meta["center_ra"]), float(meta["center_dec"]))
        if ax is None:
            ax = pyplot().gca()
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
        return server_folder(self._context.paths.cutouts, self._context.base_url) / (safe + suffix)


def _fresh(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _FRESH
    except OSError:
        return False
