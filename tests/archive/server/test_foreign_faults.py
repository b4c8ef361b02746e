"""Statement: no name, header or folder of others' files leads to a wrong, lost or unreachable spectrum."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.archive.indexing.index import index_root
from campfire.cli import main
from campfire.client import Campfire
from campfire.formats.names import spectrum_name
from campfire.formats.spec_reader import product_facts
from campfire.store.catalog import Catalog
from campfire.testing import served
from tests.foreign_files import ERR, FNU, WAVE, dja, write_table, x1d


def _told(report: Any) -> dict[str, str]:
    entries = report["broken"] + report["ignored"]
    return {entry.partition(": ")[0]: entry.partition(": ")[2] for entry in entries}


def _targets(root: Path) -> dict[str, tuple[float, float]]:
    """Spectrum -> the position that the catalogue has for it."""
    with Catalog(root / "meta" / "campfire.db") as catalog:
        sql = "SELECT s.spectrum_id, t.ra, t.dec FROM spectra s JOIN targets t USING (target_id)"
        return {name: (ra, dec) for name, ra, dec in catalog.execute(sql)}


# pairs of files of two sources whose numbers are the same
NAMESAKES = {
    "two programs in one reduction": (
        "macs-v4_prism-clear_1747_732.spec.fits",
        "macs-v4_prism-clear_2426_732.spec.fits",
    ),
    "two dispersers": ("macs-v4_prism-clear_1747_732.spec.fits", "macs-v4_g395m-f290lp_2426_732.spec.fits"),
    "two reductions in one folder": (
        "products/dja/borg-v4_prism-clear_1747_732.spec.fits",
        "products/dja/rubies-v4_g395m-f290lp_4233_732.spec.fits",
    ),
    "a source and a background": (
        "jw01433-o100_s000000732_nirspec_f290lp-g395m_x1d.fits",
        "jw01433-o100_b000000732_nirspec_f290lp-g395m_x1d.fits",
    ),
    "a source and a fixed slit": (
        "jw01433-o100_s000000732_nirspec_f290lp-g395m_x1d.fits",
        "jw01433-o100_t732_nirspec_f290lp-g395m-s200a1_x1d.fits",
    ),
    "names that say nothing": ("galaxy.spec.fits", "star.spec.fits"),
}


@pytest.mark.parametrize("case", NAMESAKES)
def test_sources_of_one_number_are_not_taken_for_each_other(case: str, tmp_path: Path) -> None:
    one, other = NAMESAKES[case]
    dja(tmp_path / one, 732, "PRISM", PROGRAM="01747", SRCRA=150.1)
    dja(tmp_path / other, 732, "G395M" if "g395m" in other else "PRISM", PROGRAM="02426", SRCRA=151.5)
    report = index_root(tmp_path)
    assert (_told(report), report["objects"]) == ({}, 2)
    first, second = (spectrum_name(name) for name in (one, other))
    assert _targets(tmp_path) == {first: (150.1, 2.2), second: (151.5, 2.2)}


def test_a_spectrum_whose_name_is_of_a_target_elsewhere_is_left_out(tmp_path: Path) -> None:
    dja(tmp_path / "a-v4_g395m-f290lp_1_1.spec.fits", 1, "G395M", SRCRA=151.5)
    dja(tmp_path / "a-v4_prism-clear_1_1.spec.fits", 1)
    for _ in range(2):
        told = _told(index_root(tmp_path))
        assert list(told) == ["a-v4_prism-clear_1_1.spec.fits"]
        assert "lies elsewhere than a-v4_g395m-f290lp_1_1.spec.fits" in told["a-v4_prism-clear_1_1.spec.fits"]
    assert _targets(tmp_path) == {"a-v4_g395m-f290lp_1_1": (151.5, 2.2)}


def test_one_source_in_two_dispersers_is_one_target(tmp_path: Path) -> None:
    dja(tmp_path / "a-v4_prism-clear_1747_1.spec.fits", 1)
    dja(tmp_path / "a-v4_g395m-f290lp_1747_1.spec.fits", 1, "G395M", SRCRA=150.10001)
    assert index_root(tmp_path)["broken"] == []
    with Catalog(tmp_path / "meta" / "campfire.db") as catalog:
        assert catalog.execute("SELECT count(*) FROM targets").fetchone() == (1,)


# cards -> what is said; None: it is indexed all the same
CARDS: list[tuple[dict[str, Any], str | None]] = [
    ({"SRCRA": 0.0, "SRCDEC": 0.0}, "does not say where its source is"),
    ({"SRCRA": -999.0, "SRCDEC": -9.0}, "does not say where its source is"),
    ({"SRCRA": 1e6}, "does not say where its source is"),
    ({"SRCRA": 10**40}, "does not say where its source is"),
    ({"SRCRA": -0.5}, None),
    ({"GRATING": "N/A"}, None),
    ({"GRATING": "MIRROR"}, None),
    ({"SOURCEID": 2**70}, None),
    ({"SOURCEID": "MPT_5"}, None),
    ({"EFFEXPTM": 10**40}, None),
    ({"PROGRAM": "x;../y"}, None),
]


@pytest.mark.parametrize(("cards", "why"), CARDS, ids=lambda case: repr(case)[:40])
def test_no_header_keeps_the_rest_from_being_indexed(
    cards: dict[str, Any], why: str | None, tmp_path: Path
) -> None:
    odd = "odd-v4_prism-clear_1_7.spec.fits"
    dja(tmp_path / odd, 7, **cards)
    dja(tmp_path / "a-v4_prism-clear_1_1.spec.fits", 1)
    report = index_root(tmp_path)
    assert "a-v4_prism-clear_1_1" in report["added"]
    assert _told(report).get(odd, "") == "" if why is None else why in _told(report)[odd]
    with served(tmp_path) as url, Campfire(url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        rows = cf.query_spectra()
        assert len(rows) == (2 if why is None else 1)
        assert set(rows["grating"]) == {"PRISM"}
        assert all(str(slug).replace("-", "").isalnum() for slug in rows["program_slug"])


def test_a_disperser_that_is_none_of_nirspec_is_said(tmp_path: Path) -> None:
    dja(tmp_path / "miri.spec.fits", 1, "P750L")
    assert "says GRATING 'P750L'" in _told(index_root(tmp_path))["miri.spec.fits"]


def test_the_program_is_also_taken_from_proposid(tmp_path: Path) -> None:
    assert product_facts(_file(tmp_path, PROGRAM="", PROPOSID=1747))["program"] == "1747"
    assert product_facts(_file(tmp_path, PROGRAM="N/A"))["program"] is None


def _file(folder: Path, **cards: Any) -> Path:
    path = folder / f"a{len(list(folder.iterdir()))}-v4_prism-clear_1_1.spec.fits"
    dja(path, 1, **cards)
    return path


def test_an_error_of_next_to_nothing_makes_no_infinite_signal_to_noise(tmp_path: Path) -> None:
    columns = [("wave", WAVE, "um"), ("flux", FNU, "uJy"), ("err", np.where(WAVE < 2, 1e-310, ERR), "uJy")]
    write_table(tmp_path / "a.spec.fits", "SPEC1D", columns, {}, {"GRATING": "PRISM"})
    snr = product_facts(tmp_path / "a.spec.fits")["signal_to_noise"]
    assert snr == pytest.approx((FNU / ERR)[WAVE >= 2].max())


def test_what_is_no_regular_file_is_left_out_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe_x1d.fits")
    x1d(tmp_path / "a_x1d.fits")
    report: list[Any] = []
    thread = threading.Thread(target=lambda: report.append(index_root(tmp_path)), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert _told(report[0]) == {"pipe_x1d.fits": "not a regular file"}


def test_files_of_other_endings_and_linked_folders_are_named(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    x1d(outside / "o_x1d.fits")
    x1d(root / "a_x1d.fits", 1)
    for name in ("b_x1d.fits.bz2", "c_x1d.fit", "D_X1D.FTS", "e_s2d.fits.fz"):
        (root / name).write_bytes((root / "a_x1d.fits").read_bytes())
    (root / "linked").symlink_to(outside)
    told = _told(index_root(root))
    assert set(told) == {"b_x1d.fits.bz2", "c_x1d.fit", "D_X1D.FTS", "e_s2d.fits.fz", "linked"}
    assert told["linked"] == "a link to a folder outside: move its files here"


def test_an_observation_that_is_a_link_is_indexed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    x1d(outside / "o_x1d.fits")
    (root / "products").mkdir(parents=True)
    (root / "products" / "linked").symlink_to(outside)
    (root / "products" / "up").symlink_to(tmp_path)
    report = index_root(root)
    assert report["added"] == ["o"]
    assert _told(report) == {"up": "a link to a folder that is searched anyway"}


def test_a_copy_under_another_name_is_left_out_and_the_known_one_stays(tmp_path: Path) -> None:
    dja(tmp_path / "m-v4_prism-clear_1_1.spec.fits", 1)
    index_root(tmp_path)
    shutil.copy2(tmp_path / "m-v4_prism-clear_1_1.spec.fits", tmp_path / "copy.spec.fits")
    report = index_root(tmp_path)
    assert (report["unchanged"], report["spectra"]) == (1, 1)
    assert _told(report)["copy.spec.fits"].startswith("the same content as m-v4_prism-clear_1_1.spec.fits")


@pytest.mark.parametrize("ending", [".spec.fits", ".spec.fits.gz"])
@pytest.mark.parametrize("folder", ["a", "b"])
def test_a_file_that_was_moved_or_packed_is_served_from_where_it_is(
    folder: str, ending: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    former = root / "products" / "a" / "s_prism-clear_1_1.spec.fits"
    dja(former, 1)
    index_root(root)
    content = former.read_bytes()
    former.unlink()
    now = root / "products" / folder / f"s_prism-clear_1_1{ending}"
    now.parent.mkdir(exist_ok=True)
    now.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    assert index_root(root)["broken"] == []
    assert [p for p in (root / "products").rglob("*") if p.is_file()] == [now]
    with served(root) as url, Campfire(url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        assert list(cf.query_spectra()["observation"]) == [folder]
        np.testing.assert_allclose(cf.open_spectrum("s_prism-clear_1_1").fnu, FNU)


@contextmanager
def _ordinary_user(root: Path) -> Iterator[None]:
    """Give the files to an ordinary user, and be that one: root can read everything."""
    if os.geteuid() != 0:
        yield
        return
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_spectra_of_a_folder_that_cannot_be_read_stay() -> None:
    with tempfile.TemporaryDirectory(prefix="foreign-") as name:  # tmp_path is for the user of the tests only
        root = Path(name)
        dja(root / "products" / "a" / "s_prism-clear_1_1.spec.fits", 1)
        dja(root / "products" / "b" / "s_prism-clear_1_2.spec.fits", 2)
        index_root(root)
        (root / "products" / "a").chmod(0)
        try:
            with _ordinary_user(root):
                report = index_root(root)
        finally:
            (root / "products" / "a").chmod(0o755)
    assert (report["removed"], report["unchanged"], report["spectra"]) == ([], 2, 2)
    assert _told(report) == {"a": "Permission denied"}


def test_names_of_files_do_not_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x\x1b[31mred_x1d.fits").write_bytes(b"junk")
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["index", str(tmp_path)]))
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert "x\\x1b[31mred_x1d.fits" in printed
    assert "x\x1b[31m" not in printed
