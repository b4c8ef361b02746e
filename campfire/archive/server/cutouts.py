"""Colour cutouts from mosaics: north up, east left, centred, at the sampling asked for."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from campfire.bands import BANDS
from campfire.errors import NotFoundError
from campfire.publishing import replacing

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["FOV_LIMITS", "SIZE_LIMITS", "CutoutMaker", "Mosaic", "clamp", "mosaics_of"]

FOV_LIMITS = (1.0, 30.0)
SIZE_LIMITS = (16, 2048)
CACHE_BYTES = 512 * 1024**2
_ARCSEC = 3600.0
_BLACK = -1.5
"""Flux shown black, in units of the noise; what no mosaic covers is black too."""
_MAX_SAMPLES = 4096
"""Samples along an axis, before they are averaged to pixels."""
_NODES = 33
"""Along an axis, on which the sky is projected into a mosaic."""

FloatImage = NDArray[np.float64]


def clamp(value: float, limits: tuple[float, float]) -> float:
    """Return the value, or the limit it is beyond.

    Examples
    --------
    >>> clamp(0.2, FOV_LIMITS), clamp(5.0, FOV_LIMITS), clamp(400.0, FOV_LIMITS)
    (1.0, 5.0, 30.0)
    """
    return min(max(value, limits[0]), limits[1])


@dataclass(frozen=True, slots=True)
class Mosaic:
    """One image of a field: its file, and the pivot wavelength of its band in microns (NaN: unknown)."""

    path: Path
    pivot: float


def mosaics_of(folder: Path) -> list[Mosaic]:
    """Return the mosaics of a field, bluest first; the band is the one its file name holds.

    Parameters
    ----------
    folder
        ``imaging/<field>``.
    """
    if not folder.is_dir():
        return []
    known = {name.lower(): band.pivot for name, band in BANDS.items() if len(name) > 2}
    found = []
    for path in sorted(path for path in folder.glob("*.fits") if path.is_file()):
        parts = re.split(r"[^a-z0-9]+", path.name.lower())
        found.append(Mosaic(path, next((known[part] for part in parts if part in known), math.nan)))
    return sorted(found, key=lambda mosaic: (math.isnan(mosaic.pivot), mosaic.pivot, mosaic.path.name))


class CutoutMaker:
    """Makes cutouts and keeps them in a folder.

    Parameters
    ----------
    imaging
        Folder with one folder of mosaics a field.
    cache
        Folder for finished images; made when needed.
    """

    def __init__(self, imaging: Path, cache: Path) -> None:
        self._imaging = imaging
        self._cache = cache

    def png(self, field: str, ra: float, dec: float, fov: float, size: int | None) -> bytes:
        """Return a square PNG.

        Parameters
        ----------
        field
            Whose mosaics.
        ra, dec
            Centre in degrees.
        fov
            Width in arcsec.
        size
            Width in pixels; by default that of the mosaic's own pixels.

        Raises
        ------
        NotFoundError
            If the field has no mosaic that covers the position.
        """
        if field in ("", ".", "..") or "/" in field or "\\" in field or "\0" in field:
            raise NotFoundError(f"{field!r} is no name of a field")
        mosaics = _three(mosaics_of(self._imaging / field))
        if not mosaics:
            raise NotFoundError(f"no map layer in field {field!r}")
        stamps = [(m.path.name, stat.st_mtime_ns, stat.st_size) for m in mosaics if (stat := m.path.stat())]
        key = hashlib.sha256(repr((field, ra, dec, fov, size, stamps)).encode()).hexdigest()
        kept = self._cache / f"{key}.png"
        if kept.is_file():
            os.utime(kept)  # pruning takes the ones that were not used for longest
            return kept.read_bytes()
        try:
            content = _encode(_colour(mosaics, ra, dec, fov, size))
        except (OSError, TypeError, ValueError) as err:  # what astropy raises for a file that is damaged
            raise NotFoundError(f"a map layer of field {field!r} cannot be read") from err
        self._keep(kept, content)
        return content

    def _keep(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as fresh:
            fresh.write_bytes(content)
        files = sorted(
            (stat.st_mtime, stat.st_size, p)
            for p in path.parent.glob(f"{'[0-9a-f]' * 64}.png")
            if (stat := p.stat())
        )
        excess = sum(size for _, size, _ in files) - CACHE_BYTES
        for _, size, old in files:
            if excess <= 0:
                break
            old.unlink(missing_ok=True)
            excess -= size


def _three(mosaics: list[Mosaic]) -> list[Mosaic]:
    """Return the images for blue, green and red: the bluest, the middle, the reddest."""
    if len(mosaics) <= 3:
        return mosaics
    return [mosaics[0], mosaics[len(mosaics) // 2], mosaics[-1]]


def _colour(mosaics: list[Mosaic], ra: float, dec: float, fov: float, size: int | None) -> NDArray[np.uint8]:
    """Return an (n, n, 3) image of bytes, first row at the top."""
    from astropy.visualization import make_lupton_rgb

    planes: list[FloatImage] = []
    for mosaic in mosaics:
        plane = _sample(mosaic.path, ra, dec, fov, size)
        size = plane.shape[0]  # the others follow the first, whatever their own pixels
        planes.append(plane)
    channels = [_above_sky(plane) for plane in (planes[-1], planes[len(planes) // 2], planes[0])]
    # One scale for all bands, so that colours are those of f_nu; the sky's noise is just visible.
    noise = float(np.median([1.4826 * np.nanmedian(np.abs(channel)) for channel in channels])) or 1.0
    scaled = [np.nan_to_num(channel / noise, nan=2.0 * _BLACK) for channel in channels]
    image: NDArray[np.uint8] = make_lupton_rgb(*scaled, minimum=_BLACK, stretch=12.0, Q=6)
    return image[::-1]


def _above_sky(plane: FloatImage) -> FloatImage:
    return np.asarray(plane - np.nanmedian(plane))


def _sample(path: Path, ra: float, dec: float, fov: float, size: int | None) -> FloatImage:
    """Return the (n, n) image of a mosaic around a position, first row south; NaN outside the mosaic."""
    from astropy.io import fits
    from astropy.nddata import Cutout2D, NoOverlapError
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales
    from scipy.ndimage import map_coordinates

    with fits.open(path, memmap=True) as hdus:
        hdu = next((hdu for hdu in hdus if hdu.header.get("NAXIS") == 2 and hdu.data is not None), None)
        if hdu is None:
            raise NotFoundError(f"{path.name} holds no image", path=path)
        wcs = WCS(hdu.header)
        scale = float(proj_plane_pixel_scales(wcs).mean()) * _ARCSEC
        pixels = size or int(clamp(round(fov / scale), SIZE_LIMITS))
        # Output pixels wider than the mosaic's own are averages, else small sources would be missed.
        fine = max(min(math.ceil(fov / pixels / scale), _MAX_SAMPLES // pixels), 1)
        centre = tuple(float(value) for value in wcs.all_world2pix([[ra, dec]], 0)[0])
        # A square turned by 45 degrees still lies inside, with room for interpolation.
        width = math.ceil(fov / scale * math.sqrt(2.0)) + 4
        try:
            cut = Cutout2D(hdu.data, centre, width, wcs=wcs, mode="partial", fill_value=np.nan, copy=True)
        except (NoOverlapError, ValueError) as err:
            raise NotFoundError(f"no map layer covers ({ra}, {dec})") from err
    x, y = _sky_grid(ra, dec, fov, pixels * fine, cut.wcs)
    data = np.asarray(cut.data, dtype=np.float64)
    if not np.isfinite(data).any():
        raise NotFoundError(f"no map layer covers ({ra}, {dec})")
    image = map_coordinates(data, [y, x], order=1, cval=np.nan)
    return np.asarray(image.reshape(pixels, fine, pixels, fine).mean(axis=(1, 3)), dtype=np.float64)


def _sky_grid(ra: float, dec: float, fov: float, count: int, wcs: WCS) -> tuple[FloatImage, FloatImage]:
    """Return where in a mosaic the pixels of a north-up, east-left grid lie (gnomonic projection)."""
    from astropy.wcs import WCS

    step = fov / count / _ARCSEC
    grid = WCS(naxis=2)
    grid.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    grid.wcs.crval = [ra, dec]
    grid.wcs.crpix = [(count + 1) / 2, (count + 1) / 2]
    grid.wcs.cdelt = [-step, step]
    # Projected on nodes and linear between them: within 1" that is exact to 1e-6 pixels, and the projection
    # of every pixel would take most of the time.
    nodes = np.linspace(0.0, count - 1.0, min(count, _NODES))
    columns, rows = np.meshgrid(nodes, nodes)
    sky = grid.wcs_pix2world(np.column_stack([columns.ravel(), rows.ravel()]), 0)
    found = wcs.all_world2pix(sky, 0).reshape(len(nodes), len(nodes), 2)
    away = np.abs(np.arange(count)[:, np.newaxis] - nodes) / (nodes[1] - nodes[0])
    weights = np.maximum(1.0 - away, 0.0)
    return weights @ found[..., 0] @ weights.T, weights @ found[..., 1] @ weights.T


def _encode(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, format="PNG", optimize=False)
    return stream.getvalue()
