"""Statements checked: cutouts are centred, north up, east left, at the scale of the mosaics, in colour."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from campfire.archive.server.cutouts import FOV_LIMITS, CutoutMaker, clamp, mosaics_of
from campfire.errors import NotFoundError
from campfire.testing import served

SCALE = 0.05  # arcsec
RA, DEC = 0.0, 62.0  # the seam and a high declination at once


def mosaic(path: Path, turn: float, sources: list[tuple[float, float, float]], *, size: int = 800) -> None:
    """Write a mosaic turned by ``turn`` degrees; sources are (east, north, peak), arcsec from the centre."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [RA, DEC]
    wcs.wcs.crpix = [size / 2 + 0.5, size / 2 + 0.5]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wcs.wcs.pc = [[c, -s], [s, c]]
    y, x = np.mgrid[0:size, 0:size]
    image = np.random.default_rng(0).normal(0.0, 1e-3, (size, size))
    for east, north, peak in sources:
        place = wcs.wcs_world2pix([[RA + east / 3600 / np.cos(np.radians(DEC)), DEC + north / 3600]], 0)[0]
        image += peak * np.exp(-0.5 * ((x - place[0]) ** 2 + (y - place[1]) ** 2) / 2.0**2)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, image.astype(np.float32), wcs.to_header(), overwrite=True)


@pytest.fixture
def maker(tmp_path: Path) -> CutoutMaker:
    folder = tmp_path / "imaging" / "north"
    mosaic(folder / "north_f115w.fits", 0.0, [(0.0, 0.0, 0.3), (1.0, 0.0, 1.0)])
    mosaic(folder / "north_f277w.fits", 30.0, [(0.0, 0.0, 0.3)])
    mosaic(folder / "north_f444w.fits", 200.0, [(0.0, 0.0, 0.3), (0.0, 1.0, 1.0)])
    return CutoutMaker(tmp_path / "imaging", tmp_path / "cache")


def pixels(content: bytes) -> NDArray[np.float64]:
    with Image.open(io.BytesIO(content)) as image:
        assert image.mode == "RGB"
        return np.asarray(image, dtype=np.float64)


def brightest(plane: NDArray[np.float64]) -> tuple[float, float]:
    """Centre of light of the brightest pixels, as (column, row) from the top left, in pixels."""
    weight = np.where(plane > 0.7 * plane.max(), plane, 0.0)
    rows, columns = np.indices(plane.shape)
    return float((weight * columns).sum() / weight.sum()), float((weight * rows).sum() / weight.sum())


def test_east_is_left_and_north_is_up(maker: CutoutMaker) -> None:
    image = pixels(maker.png("north", RA, DEC, 4.0, 200))
    assert image.shape == (200, 200, 3)
    red, _, blue = (image[..., k] for k in range(3))
    middle, arcsec = 99.5, 50.0
    assert brightest(blue - red) == pytest.approx((middle - arcsec, middle), abs=1.0)
    assert brightest(red - blue) == pytest.approx((middle, middle - arcsec), abs=1.0)


@pytest.mark.parametrize("size", [64, 80, 160, 320])
def test_the_object_is_in_the_middle_at_every_sampling(maker: CutoutMaker, size: int) -> None:
    image = pixels(maker.png("north", RA, DEC, 4.0, size))
    found = brightest(image[..., 1])
    assert found == pytest.approx(((size - 1) / 2, (size - 1) / 2), abs=0.02 * size)


def test_the_default_is_the_sampling_of_the_mosaic(maker: CutoutMaker) -> None:
    assert pixels(maker.png("north", RA, DEC, 4.0, None)).shape == (80, 80, 3)
    assert pixels(maker.png("north", RA, DEC, 30.0, None)).shape == (600, 600, 3)


def test_beyond_the_mosaic_it_is_black(maker: CutoutMaker, tmp_path: Path) -> None:
    mosaic(tmp_path / "imaging/one/whatever.fits", 0.0, [(0.0, 0.0, 1.0)])
    image = pixels(maker.png("one", RA, DEC + 19.0 / 3600, 10.0, 100))
    assert image[:35].max() == 0.0 < image[45:].max()
    with pytest.raises(NotFoundError):
        maker.png("north", RA, DEC + 60.0 / 3600, 5.0, None)
    with pytest.raises(NotFoundError):
        maker.png("south", RA, DEC, 5.0, None)


def test_cutouts_are_kept_until_a_mosaic_changes(maker: CutoutMaker, tmp_path: Path) -> None:
    first = maker.png("north", RA, DEC, 2.0, 32)
    assert maker.png("north", RA, DEC, 2.0, 32) == first
    assert len(list((tmp_path / "cache").iterdir())) == 1
    mosaic(tmp_path / "imaging/north/north_f115w.fits", 0.0, [(0.5, 0.5, 5.0)])
    assert maker.png("north", RA, DEC, 2.0, 32) != first


def test_one_mosaic_gives_grey(tmp_path: Path) -> None:
    mosaic(tmp_path / "imaging/one/whatever.fits", 0.0, [(0.0, 0.0, 1.0)])
    image = pixels(CutoutMaker(tmp_path / "imaging", tmp_path / "cache").png("one", RA, DEC, 2.0, 40))
    assert (image[..., 0] == image[..., 1]).all()
    assert (image[..., 0] == image[..., 2]).all()


def test_mosaics_are_ordered_by_wavelength(tmp_path: Path) -> None:
    for name in ("x_f444w_sci.fits", "x-F090W.fits", "zzz.fits", "hlsp_f200w_30mas.fits", "note.txt"):
        (tmp_path / name).touch()
    found = [item.path.name for item in mosaics_of(tmp_path)]
    assert found == ["x-F090W.fits", "hlsp_f200w_30mas.fits", "x_f444w_sci.fits", "zzz.fits"]


@given(st.floats(allow_nan=False))
def test_clamping(value: float) -> None:
    used = clamp(value, FOV_LIMITS)
    assert 1.0 <= used <= 30.0
    assert used == value or not 1.0 <= value <= 30.0


def test_over_http(fresh_root: Path) -> None:
    mosaic(fresh_root / "imaging/goods-n/goods-n_f444w.fits", 0.0, [(0.0, 0.0, 1.0)])
    with fits.open(fresh_root / "imaging/goods-n/goods-n_f444w.fits", mode="update") as hdus:
        hdus[0].header["CRVAL1"] = 189.16667
    headers = {"Authorization": "Bearer x"}
    with served(fresh_root) as url, httpx.Client(base_url=url, headers=headers, verify=False) as client:
        params = {"object_id": "J123640.00+620000.0", "fov": "2", "size": "5"}
        answer = client.get("/cutout", params=params)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert answer.headers["cache-control"] == "public, max-age=604800"
        assert pixels(answer.content).shape == (16, 16, 3)
        wide = client.get("/cutout", params={**params, "fov": "4000", "size": "16.4"})
        assert pixels(wide.content).shape == (16, 16, 3)
