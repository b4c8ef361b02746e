"""Statement: a sheet shows what is known of an object; many make one PDF, whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from campfire.client import Campfire
from campfire.errors import CampfireWarning, NotFoundError, ValidationError
from campfire.plotting.sheet import MOST_SPECTRA, Sheet, SpectrumPanel, draw_sheet
from tests.client.conftest import Service


@pytest.fixture(autouse=True)
def _closed() -> object:
    yield
    plt.close("all")


def _texts(figure: object) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]  # type: ignore[attr-defined]


def _pages(path: Path) -> int:
    (count,) = re.findall(rb"/Count (\d+)", path.read_bytes())
    return int(count)


def test_a_sheet_shows_every_grating_and_the_facts(cf: Campfire) -> None:
    table = cf.query_objects(sort="n_spectra", sort_dir="desc", has_photometry=True)
    row = table[0]
    figure = cf.sheet(row["object_id"])
    texts = _texts(figure)
    obj = cf.get_object(row["object_id"])
    assert obj is not None
    assert row["object_id"] in texts
    for grating in obj.gratings:
        best = max((s for s in obj.spectra if s.grating == grating), key=lambda s: s.signal_to_noise or 0.0)
        assert any(text.startswith(best.spectrum_id) for text in texts)
        assert grating in texts  # in the legend of the spectral energy distribution
    assert f"{obj.ra:.6f} {obj.dec:+.6f}" in texts
    assert "photometry" in texts
    assert cf.sheet(obj.member_target_ids[0]).get_size_inches() == pytest.approx((11.69, 8.27))


def test_many_sheets_are_one_file(cf: Campfire, service: Service, tmp_path: Path) -> None:
    table, told = cf.query_objects(), []
    path = tmp_path / "sheets.pdf"
    assert cf.sheets(table, path, progress=lambda *args: told.append(args)) == path
    assert _pages(path) == len(table) == 2
    assert ("sheets", 2, 2) in told
    before = path.read_bytes()
    with pytest.raises(ValidationError, match="exists already"):
        cf.sheets(table, path)
    with pytest.raises(NotFoundError, match="no object 'nope'"):
        cf.sheets([str(table["object_id"][0]), "nope"], path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "sheets" in p.name] == [path.name]
    with pytest.raises(ValidationError, match="no objects"):
        cf.sheets([], tmp_path / "none.pdf")


def test_what_cannot_be_had_leaves_its_place_empty(cf: Campfire, service: Service) -> None:
    name = str(cf.query_objects()["object_id"][0])
    service.fault = lambda path: None if "sync" in path else (404, b"{}")
    with pytest.warns(CampfireWarning, match="is not on the sheet"):
        texts = _texts(cf.sheet(name))
    assert {"no image", "no redshift fit"} <= set(texts)


@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_spectra_of_any_size_and_none_are_drawn(n: int) -> None:
    """Statement: no pixel, one, all masked, all NaN: nothing fails, and no more than fit are drawn."""
    wave = np.linspace(1.0, 5.0, n)
    dark = np.full(n, np.nan)
    panels = [
        SpectrumPanel("a", "PRISM", wave, np.ones(n), np.full(n, 0.1), np.zeros(n, bool)),
        SpectrumPanel("b", "G140M", wave, dark, dark, np.ones(n, bool), np.full((3, n), np.nan), wave),
        SpectrumPanel("$c^", "G235M", wave, np.ones(n), np.zeros(n), np.ones(n, bool), np.ones((3, n)), wave),
    ]
    sheet = Sheet("$name_{\x1b", [("tags", "a" * 200)], 2.0, panels * 2)
    figure = draw_sheet(sheet)
    figure.canvas.draw()
    assert len(figure.axes) == 3 + 2 * MOST_SPECTRA + 1
