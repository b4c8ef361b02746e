"""Statement: paths, texts and addresses that cannot be are refused with a documented error everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from campfire import Campfire, SpectrumData
from campfire.config import as_path, plain_text, resolve_base_url
from campfire.errors import CampfireError, ValidationError
from campfire.query import Query

NO_PATH: list[Any] = [None, 3, 1.5, True, b"bytes", "", "a\0b", "\ud800", ["a"], {}]
NO_TEXT: list[Any] = [None, 3, True, b"bytes", "", "  ", "\ud800", ["a"]]
SPECTRUM = SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.1], {}, "PRISM", "demo_1")


def _client(folder: Path) -> Campfire:
    return Campfire("http://127.0.0.1:9/api/v1", folder, token="any")


PATHS: dict[str, Callable[[Path, Any], object]] = {
    "as_path": lambda _, path: as_path(path),
    "write": lambda _, path: SPECTRUM.write(path),
    "from_fits": lambda _, path: SpectrumData.from_fits(path),
    "lock": lambda folder, path: _client(folder).lock(path, ["a"]),
    "check_lock": lambda folder, path: _client(folder).check_lock(path),
    "reproduce": lambda folder, path: _client(folder).reproduce(path),
}


@pytest.mark.parametrize("path", NO_PATH, ids=repr)
@pytest.mark.parametrize("call", PATHS)
def test_what_is_no_path_is_refused(call: str, path: Any, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="is not a path"):
        PATHS[call](tmp_path, path)


@pytest.mark.parametrize("call", [call for call in PATHS if call != "as_path"])
def test_a_name_that_the_file_system_refuses_is_a_documented_error(call: str, tmp_path: Path) -> None:
    with pytest.raises(CampfireError):
        PATHS[call](tmp_path, tmp_path / ("y" * 300))


@pytest.mark.parametrize("path", [p for p in NO_PATH if p not in (None, "")], ids=repr)
def test_a_data_directory_is_a_path(path: Any) -> None:
    with pytest.raises(ValidationError, match=r"data_dir .* is not a path"):
        Campfire(data_dir=path)


TEXTS: dict[str, Callable[[Campfire, Any], object]] = {
    "plain_text": lambda _, text: plain_text(text, "id"),
    "get_object": lambda cf, text: cf.get_object(text),
    "get_spectrum": lambda cf, text: cf.get_spectrum(text),
    "open_spectrum": lambda cf, text: cf.open_spectrum(text),
    "get_spectrum_data": lambda cf, text: cf.get_spectrum_data(text),
    "get_redshift_fit_data": lambda cf, text: cf.get_redshift_fit_data(text),
    "get_cutout": lambda cf, text: cf.get_cutout(text),
    "get_shutters": lambda cf, text: cf.get_shutters(text),
    "search": lambda cf, text: cf.query_objects(search="" if text is None else text),
}


@pytest.mark.parametrize("text", NO_TEXT, ids=repr)
@pytest.mark.parametrize("call", TEXTS)
def test_what_is_no_text_is_refused_before_anything_is_asked(call: str, text: Any, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        TEXTS[call](_client(tmp_path), text)


ADDRESSES: list[Any] = [
    3,
    b"https://a.org",
    "https://a.org/api?x=1",
    "https://a.org/api#f",
    "https://a b/",
    "https://a.org\\b",
    "https://a.org/\x1b[31m",
    "http://a.org",
    "ftp://a.org",
    "a.org",
    "https://",
    "https://u:p@a.org",
    "\ud800",
]


@pytest.mark.parametrize("url", ADDRESSES, ids=repr)
def test_an_address_is_that_of_a_service(url: Any) -> None:
    with pytest.raises(ValidationError):
        resolve_base_url(url)


HERE = SkyCoord(150.0 * u.deg, 2.0 * u.deg)
CONES: list[Any] = [
    (150.0, 2.0, 60.0),
    (HERE, 60),
    (HERE, 1 * u.arcmin),
    [HERE.galactic, 60],
    (150.0 * u.deg, 2.0 * u.deg, 1 * u.arcmin),
    (HERE.ra, HERE.dec, 60),
    (np.float32(150), np.int64(2), np.float64(60)),
    np.array([150.0, 2.0, 60.0]),
    (10 * u.hourangle, 2.0, 60.0),
]


@pytest.mark.parametrize("cone", CONES, ids=repr)
def test_a_cone_is_taken_as_people_have_it(cone: Any) -> None:
    (condition,) = Query.of("objects", cone_search=cone).where
    assert condition.value == pytest.approx((150.0, 2.0, 60.0), abs=1e-9)


SEVERAL = SkyCoord([1, 2], [3, 4], unit="deg")
NO_CONES: list[Any] = [(HERE,), (HERE, 60, 1), (HERE, 1 * u.s), (1 * u.s, 2.0, 60), (SEVERAL, 60)]


@pytest.mark.parametrize("cone", NO_CONES, ids=repr)
def test_what_is_no_cone_is_refused(cone: Any) -> None:
    with pytest.raises(ValidationError, match="cone_search"):
        Query.of("objects", cone_search=cone)
