"""Mosaics of simulated fields: one file a band, the objects where the catalogue has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from campfire.archive.simulate.photometry import IMAGE_BANDS
from campfire.formats.hdu_writer import fits_header, write_hdus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.random import Generator

    from campfire.archive.simulate.survey import Field
    from campfire.typing import FloatArray

__all__ = ["PIXEL", "Blob", "mosaic_path", "render", "write_mosaics"]

PIXEL = 0.06
"""Pixel size, arcsec."""
MARGIN = 8.0
"""Border around the outermost object, arcsec."""
SEEING = {"f115w": 0.045, "f277w": 0.065, "f444w": 0.09}
"""Standard deviation of the point-spread function, arcsec."""
NOISE = {"f115w": 4e-4, "f277w": 3e-4, "f444w": 4e-4}
"""One-sigma noise a pixel, microjansky."""

# An exponential disc as a sum of Gaussians: weight and standard deviation in half-light radii. Four terms
# follow it within a few percent from 0.1 to 3 half-light radii (our own fit).
_DISC = ((0.09, 0.18), (0.31, 0.42), (0.42, 0.83), (0.18, 1.40))


@dataclass(frozen=True, slots=True)
class Blob:
    """Light of one source: offsets from the field's centre (arcsec, east and north), shape, flux by band."""

    east: float
    north: float
    radius: float
    axis_ratio: float
    angle: float
    fluxes: dict[str, float]


def mosaic_path(imaging: Path, field: str, band: str) -> Path:
    """Return where the mosaic of a band lies."""
    return imaging / field / f"{field}_{band}.fits"


def _background(number: int, half: float, rng: Generator) -> list[Blob]:
    """Draw faint galaxies that nobody took a spectrum of."""
    blobs = []
    for _ in range(number):
        flux = 0.02 * float(rng.pareto(1.3) + 1.0)
        colour = float(rng.normal(0.35, 0.3))
        blue, red = min(flux, 3.0) * 10.0**-colour, min(flux, 3.0) * 10.0 ** (0.5 * colour)
        east, north = rng.uniform(-half, half, 2)
        blobs.append(
            Blob(
                float(east),
                float(north),
                float(10.0 ** rng.uniform(-1.0, -0.4)),
                float(rng.uniform(0.3, 1.0)),
                float(rng.uniform(0.0, 180.0)),
                dict(zip(IMAGE_BANDS, (blue, min(flux, 3.0), red), strict=True)),
            )
        )
    return blobs


def render(blobs: Sequence[Blob], band: str, size: int, rng: Generator) -> FloatArray:
    """Return the picture of a band, microjansky a pixel, shape (size, size), float32.

    North is up and east is left: the first column is the easternmost.
    """
    image = rng.standard_normal((size, size), dtype=np.float32) * np.float32(NOISE[band])
    middle = (size - 1) / 2.0
    for blob in blobs:
        x, y = middle - blob.east / PIXEL, middle + blob.north / PIXEL
        reach = int(np.ceil((4.5 * blob.radius + 4.0 * SEEING[band]) / PIXEL)) + 1
        left, right = max(0, round(x) - reach), min(size, round(x) + reach + 1)
        low, high = max(0, round(y) - reach), min(size, round(y) + reach + 1)
        if left >= right or low >= high:
            continue
        dx = (np.arange(left, right) - x) * PIXEL
        dy = ((np.arange(low, high) - y) * PIXEL)[:, None]
        # The angle runs from north through east, and east is towards lower x.
        angle = np.radians(blob.angle)
        major = dy * np.cos(angle) - dx * np.sin(angle)
        minor = dy * np.sin(angle) + dx * np.cos(angle)
        stamp = np.zeros(np.broadcast_shapes(dx.shape, dy.shape))
        for weight, scale in _DISC:
            long = np.hypot(scale * blob.radius, SEEING[band])
            short = np.hypot(scale * blob.radius * blob.axis_ratio, SEEING[band])
            stamp += (
                weight
                / (2 * np.pi * long * short)
                * np.exp(-0.5 * ((major / long) ** 2 + (minor / short) ** 2))
            )
        image[low:high, left:right] += (blob.fluxes[band] * PIXEL**2 * stamp).astype(np.float32)
    return image


def write_mosaics(imaging: Path, field: Field, blobs: Sequence[Blob], rng: Generator) -> list[Path]:
    """Write one mosaic a band and return the paths.

    Parameters
    ----------
    imaging
        Folder of all mosaics; files go to ``<imaging>/<field>/<field>_<band>.fits``.
    field
        Its centre is the tangent point of the projection.
    blobs
        The catalogued objects; faint neighbours are added.
    rng
        Where noise and neighbours come from.
    """
    from astropy.io import fits

    half = max(max(abs(blob.east), abs(blob.north)) for blob in blobs) + MARGIN
    size = 2 * int(np.ceil(half / PIXEL)) + 1
    everything = [*blobs, *_background(int(0.04 * (2 * half) ** 2), half, rng)]
    paths = []
    for band in IMAGE_BANDS:
        path = mosaic_path(imaging, field.name, band)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = fits_header(_header(field, band, size))
        write_hdus(path, [fits.PrimaryHDU(render(everything, band, size, rng), header)], overwrite=False)
        paths.append(path)
    return paths


def _header(field: Field, band: str, size: int) -> dict[str, str | float]:
    """Header of a mosaic: tangent projection about the middle pixel, north up, east left."""
    middle = (size + 1) / 2.0
    return {
        "TELESCOP": "JWST",
        "INSTRUME": "NIRCAM",
        "FILTER": band.upper(),
        "BUNIT": "uJy",
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRVAL1": field.ra,
        "CRVAL2": field.dec,
        "CRPIX1": middle,
        "CRPIX2": middle,
        "CD1_1": -PIXEL / 3600.0,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": PIXEL / 3600.0,
        "RADESYS": "ICRS",
    }
