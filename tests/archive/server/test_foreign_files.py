"""Statement: a folder of DJA, msaexp, CEERS, JADES or pipeline files is indexed, served and read as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from campfire import SpectrumData
from campfire.archive.indexing.index import index_root
from campfire.cli import main
from campfire.client import Campfire
from campfire.errors import CampfireWarning
from campfire.formats.exposure_time import exposure_time
from campfire.formats.spec_reader import product_facts
from campfire.testing import served
from tests.foreign_files import ERR, FNU, WAVE, dja, jades, x1d

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "spectra"
LAYOUTS: dict[str, Callable[[Path], None]] = {
    "borg-v4_prism-clear_1747_732.spec.fits": dja,
    "rubies-uds31-v4_prism-clear_4233_154183.spec.fits.gz": lambda path: dja(path, 154183),
    "jw02736-o007_s06355_nirspec_f290lp-g395m_x1d.fits": x1d,
    "jw01433-o100_b000000123_nirspec_f290lp-g395m_x1d.fits": lambda path: x1d(path, 123),
    "jw01433-o100_s00007_nirspec_f290lp-g395m_c1d.fits": lambda path: x1d(
        path, 7, hdu="COMBINE1D", error="ERROR"
    ),
    "hlsp_ceers_jwst_nirspec_nirspec10-001027_g395m_v0.7_x1d-masked.fits": lambda path: x1d(path, 1027),
    "hlsp_jades_jwst_nirspec_goods-s-deephst-00002332_clear-prism_v1.0_x1d.fits": jades,
}
OBSERVATIONS = [
    "borg-v4",
    "rubies-uds31-v4",
    "jw02736-o007",
    "jw01433-o100",
    "jw01433-o100",
    "ceers_nirspec10",
    "jades_goods-s-deephst",
]


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("where", ["", "products", "products/mixed", "downloads/2026/spectra"])
def test_every_layout_is_indexed_served_and_read_from_wherever_it_lies(where: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name, write in LAYOUTS.items():
        write(root / where / name)
    (root / where / "README.md").write_text("not a spectrum")
    before = _snapshot(root)
    report = index_root(root)
    assert report["broken"] == []
    assert report["ignored"] == []
    assert report["spectra"] == len(LAYOUTS)
    now = _snapshot(root)
    assert {name: now[name] for name in before} == before  # nothing is moved or changed
    assert index_root(root)["unchanged"] == len(LAYOUTS)
    with served(root) as url, Campfire(url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        assert cf.download(everything=True)["downloaded"] == len(LAYOUTS)
        rows = cf.query_spectra(sort="spectrum_id")
        names = {str(row["spectrum_id"]): str(row["observation"]) for row in rows}
        expected = ["mixed"] * len(OBSERVATIONS) if where == "products/mixed" else OBSERVATIONS
        assert sorted(names.values()) == sorted(expected)
        for name in names:
            spec = cf.open_spectrum(name)
            np.testing.assert_allclose(spec.wavelength, WAVE, rtol=1e-12)
            np.testing.assert_allclose(spec.fnu, FNU, rtol=1e-9)
            np.testing.assert_allclose(spec.fnu_err, ERR, rtol=1e-9)
            assert cf.get_spectrum_data(name)["n_wave"] == len(WAVE)
        tree = cf.open_collection(list(names))
        assert sum(tree[g].sizes["spectrum"] for g in tree.children) == len(names)
        stacked = tree.campfire.stack()
        np.testing.assert_allclose(stacked["G395M"].fnu.compute(), FNU, rtol=1e-6)


def test_for_each_file_left_out_it_is_said_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    dja(root / "a-v4_prism-clear_1_1.spec.fits", 1)
    dja(root / "nowhere-v4_prism-clear_1_2.spec.fits", 2, SRCRA="x")
    dja(root / "sub" / "a-v4_prism-clear_1_1.spec.fits", 1, VERSION="another")
    fits.PrimaryHDU(np.zeros((3, 4))).writeto(root / "jw02736_s2d.fits")
    (root / "cut_prism-clear_1_4.spec.fits").write_bytes(
        (root / "a-v4_prism-clear_1_1.spec.fits").read_bytes()[:6000]
    )
    (root / "empty_x1d.fits").write_bytes(b"")
    outside = tmp_path / "outside_x1d.fits"
    x1d(outside)
    (root / "link_x1d.fits").symlink_to(outside)
    (root / "loop_x1d.fits").symlink_to(root / "loop_x1d.fits")
    (root / "loop").symlink_to(root)
    (root / "notes.txt").write_text("x")
    several = root / "several_x1d.fits"
    x1d(several)
    with fits.open(several) as hdus:
        fits.HDUList([*hdus, hdus[1]]).writeto(root / "two_x1d.fits")
    several.unlink()
    report = index_root(root)
    assert report["added"] == ["a-v4_prism-clear_1_1"]
    told = {
        entry.partition(": ")[0]: entry.partition(": ")[2] for entry in report["broken"] + report["ignored"]
    }
    for name, why in {
        "nowhere-v4_prism-clear_1_2.spec.fits": "does not say where its source is",
        "sub/a-v4_prism-clear_1_1.spec.fits": "is there twice, in",
        "jw02736_s2d.fits": "no table SPEC1D",
        "cut_prism-clear_1_4.spec.fits": "",
        "empty_x1d.fits": "",
        "link_x1d.fits": "a link that leads out of the root",
        "loop_x1d.fits": "",
        "two_x1d.fits": "several spectra",
        "loop": "a link to a folder that is searched anyway",
    }.items():
        assert why in told.pop(name), name
    assert told == {}
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["index", str(root)]))
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    for name in ("link_x1d.fits", "jw02736_s2d.fits", "two_x1d.fits", "nowhere-v4"):
        assert name in printed


def test_the_second_name_follows_a_file_that_is_replaced(tmp_path: Path) -> None:
    """A hard link of the former file must not go on for the new one unnoticed."""
    path = tmp_path / "a-v4_prism-clear_1_1.spec.fits"
    dja(path, 1)
    index_root(tmp_path)
    path.unlink()
    dja(path, 1, VERSION="new")
    report = index_root(tmp_path)
    assert any(
        "is there twice" in entry or "another file of this name" in entry for entry in report["broken"]
    )


def test_a_second_name_that_outlives_the_first_is_said_and_stays(tmp_path: Path) -> None:
    """It may be the only copy left, so it is never removed; what was moved is no loss."""
    path, place = (
        folder / "a-v4_prism-clear_1_1.spec.fits" for folder in (tmp_path, tmp_path / "products/a-v4")
    )
    dja(path, 1)
    index_root(tmp_path)
    (tmp_path / "moved").mkdir()
    index_root(tmp_path)
    moved = path.rename(tmp_path / "moved" / path.name)
    assert index_root(tmp_path)["spectra"] == 1
    content = moved.read_bytes()
    moved.unlink()
    for _ in range(2):
        with pytest.warns(CampfireWarning, match=r"moved/a-v4.* is gone, and still served as products/a-v4/"):
            assert index_root(tmp_path)["spectra"] == 1
        assert place.read_bytes() == content
    place.unlink()
    assert index_root(tmp_path)["spectra"] == 0


# layout, cards, seconds: what public files say, and what they leave out
EXPOSURES: list[tuple[str, dict[str, Any], float | None]] = [
    ("campfire", {"EFFEXPTM": 875.3}, 875.3),
    ("campfire", {"EFFEXPTM": 875.3, "NCOMBINE": 3}, 875.3),
    ("campfire", {}, None),
    ("msaexp", {"EXPTIME": 2626.0, "EFFEXPTM": 525.2, "NCOMBINE": 5}, 2626.0),
    ("msaexp", {"EXPTIME": 14443.002, "EFFEXPTM": 4814.334, "NCOMBINE": 3}, 14443.002),
    ("msaexp", {"EFFEXPTM": 525.2, "NCOMBINE": 5}, 2626.0),
    ("msaexp", {"EFFEXPTM": 1598.508}, 1598.508),
    ("msaexp", {"EXPTIME": 0.0, "EFFEXPTM": 525.2, "NCOMBINE": 5}, 2626.0),
    ("msaexp", {"EXPTIME": float("nan"), "EFFEXPTM": 525.2}, 525.2),
    ("msaexp", {"EXPTIME": "long", "EFFEXPTM": 525.2, "NCOMBINE": "many"}, 525.2),
    ("msaexp", {"EXPTIME": True, "EFFEXPTM": 525.2, "NCOMBINE": True}, 525.2),
    ("msaexp", {"EFFEXPTM": 525.2, "NCOMBINE": 0}, 525.2),
    ("msaexp", {"EFFEXPTM": -1.0, "NCOMBINE": 5}, None),
    ("msaexp", {"EFFEXPTM": [1.0, 2.0]}, None),
    ("msaexp", {}, None),
    ("msaexp", {"EFFEXPTM": 10**400}, None),
    ("msaexp", {"EXPTIME": 10**40}, 1e40),
    ("", {"EXPTIME": 2626.0, "EFFEXPTM": 525.2, "NCOMBINE": 5}, 2626.0),
    ("", {"EFFEXPTM": 525.2, "NCOMBINE": 5}, 2626.0),
    ("", {"CMPFRVER": "0.5.2", "EFFEXPTM": 875.3, "NCOMBINE": 3}, 875.3),
    ("", {"NSTACK": 2, "EFFEXPTM": 875.3, "NCOMBINE": 3}, 875.3),
    ("", {"EFFEXPTM": 8753.3, "NEXPOSUR": 12}, 8753.3),
    ("x1d", {"EFFEXPTM": 8753.3, "NEXPOSUR": 12, "NDRIZ": 3, "EFFINTTM": 1458.9}, 8753.3),
    ("x1d", {"TEXPTIME": 8753.3}, 8753.3),
    ("x1d", {"EFFEXPTM": None, "TEXPTIME": None}, None),
]


@pytest.mark.parametrize(("layout", "cards", "seconds"), EXPOSURES)
def test_the_exposure_time_is_that_of_all_exposures(
    layout: str, cards: dict[str, Any], seconds: float | None
) -> None:
    assert exposure_time(cards, layout) == (None if seconds is None else pytest.approx(seconds, rel=1e-12))


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no sample of real spectra beside the checkout")
@pytest.mark.parametrize(
    "name", ["borg-v4_prism-clear_1747_732.spec.fits", "excels-uds04-v4_g395m-f290lp_3543_63107.spec.fits"]
)
def test_real_files_sum_over_the_exposures_that_they_list(name: str) -> None:
    """Independent of the header: the table SLITS has a row an exposure."""
    with fits.open(SAMPLE / name) as hdus:
        total = float(hdus["SLITS"].data["exposure_time"].sum())
    assert product_facts(SAMPLE / name)["exposure_time"] == pytest.approx(total, rel=1e-6)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no sample of real spectra beside the checkout")
def test_a_folder_of_real_files_becomes_an_archive(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    paths = sorted(SAMPLE.glob("*.fits*"))
    for path in paths:
        shutil.copy(path, root / path.name)
    report = index_root(root)
    assert (report["broken"], report["ignored"], report["spectra"]) == ([], [], len(paths))
    with served(root) as url, Campfire(url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        rows = cf.query_spectra()
        assert set(rows["grating"]) == {"PRISM", "G140M", "G235M", "G395M", "G395H"}
        assert len(cf.query_objects()) == 4  # one nebula in five dispersers, three galaxies
        cf.download(everything=True)
        for row in rows:
            spec = cf.open_spectrum(str(row["spectrum_id"]))
            (path,) = [p for p in paths if p.name.startswith(str(row["spectrum_id"]))]
            np.testing.assert_array_equal(spec.fnu, SpectrumData.from_fits(path).fnu)
        assert cf.open_collection(list(rows["spectrum_id"])).campfire.stack()["PRISM"].fnu.notnull().any()
    assert os.stat(root / paths[0].name).st_nlink == 2  # a second name, not a copy
