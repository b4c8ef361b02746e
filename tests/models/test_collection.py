"""Statements checked: Spectrum and SpectrumCollection as documented; indexing as numpy's."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.errors import CampfireError, NotFoundError, ValidationError
from campfire.models import Spectrum, SpectrumCollection, SpectrumData
from campfire.typing import SpectrumFields


def data(spectrum_id: str = "a_prism_clear_1") -> SpectrumData:
    return SpectrumData([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.1, 0.1, 0.1], {}, "PRISM", spectrum_id)


def fields_of(spectrum_id: str) -> SpectrumFields:
    return data(spectrum_id).to_fields()


def collection(n: int = 5) -> SpectrumCollection:
    gratings = ["PRISM", "G395M"]
    return SpectrumCollection(
        Spectrum(f"s_{i}", "J0" if i else None, gratings[i % 2], None if i == 2 else float(i), dq_flags=i)
        for i in range(n)
    )


ROW = {
    "spectrum_id": "a_prism_clear_1",
    "target_id": "a_1",
    "object_id": None,
    "grating": "PRISM",
    "signal_to_noise": np.float64(3.5),
    "exposure_time": np.nan,
    "reduction_version": np.ma.masked,
    "redshift_auto": 2.5,
    "dq_flags": np.int64(3),
    "redshift": 2.6,
    "unknown_column": 1,
}


def test_row_becomes_plain_values() -> None:
    s = Spectrum.from_row(ROW)
    assert (s.signal_to_noise, s.exposure_time, s.reduction_version, s.dq_flags) == (3.5, None, None, 3)
    assert type(s.dq_flags) is int
    assert s.target_id == "a_1"
    assert repr(s) == "Spectrum(a_prism_clear_1, PRISM, S/N=3.5)"
    assert repr(Spectrum("a", None, "PRISM")) == "Spectrum(a, PRISM, S/N=-)"
    with pytest.raises(ValidationError, match="spectrum_id"):
        Spectrum.from_row({"grating": "PRISM"})


def test_row_of_a_table_is_taken_too() -> None:
    from astropy.table import Table

    table = Table([{"spectrum_id": "a", "grating": "PRISM", "dq_flags": 2}])
    assert Spectrum.from_row(table[0]).dq_flags == 2


def test_opener_is_asked_and_data_is_kept() -> None:
    asked: list[str] = []

    def opener(spectrum_id: str) -> SpectrumFields:
        asked.append(spectrum_id)
        return fields_of(spectrum_id)

    s = Spectrum.from_row(ROW, opener)
    opened = s.open()
    assert isinstance(opened, SpectrumData)
    assert opened.redshift == 2.6
    assert s.open() is not opened
    assert s.data is s.data
    assert asked == ["a_prism_clear_1"] * 3
    assert s.plot(show_errors=False).get_title() == "a_prism_clear_1  PRISM"
    assert pickle.loads(pickle.dumps(Spectrum("x", None, "PRISM", opener=fields_of))).open() == data("x")


def test_without_file_or_opener_the_error_says_what_to_do(tmp_path: Path) -> None:
    s = Spectrum("a", "J0", "PRISM", local_path=str(tmp_path / "a_prism_clear_1_spec.fits"))
    assert not s.downloaded
    with pytest.raises(CampfireError, match="no file on disk and no client"):
        s.open()
    with pytest.raises(CampfireError, match="no client"):
        _ = s.data


def test_downloaded_is_what_is_on_disk_now(tmp_path: Path) -> None:
    path = tmp_path / "a_prism_clear_1_spec.fits"
    s = Spectrum("mine", "J0", "PRISM", local_path=str(path))
    data().write(path)
    assert s.downloaded
    assert s.open().spectrum_id == "mine"
    np.testing.assert_array_equal(s.open().fnu, data().fnu)
    path.unlink()
    assert not s.downloaded


class Shelf:
    """An opener that knows files, as the client's does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, spectrum_id: str) -> SpectrumFields:
        return fields_of(spectrum_id)

    def local_path(self, spectrum_id: str) -> Path | None:
        path = self.folder / f"{spectrum_id}_spec.fits"
        return path if path.is_file() else None


def test_file_that_was_downloaded_since_is_seen(tmp_path: Path) -> None:
    s = Spectrum("a_prism_clear_1", "J0", "PRISM", opener=Shelf(tmp_path))
    seen = [s.downloaded]
    data().write(tmp_path / "a_prism_clear_1_spec.fits")
    assert [*seen, s.downloaded] == [False, True]
    assert s.local_path == str(tmp_path / "a_prism_clear_1_spec.fits")
    tree = SpectrumCollection([s]).to_xarray(chunks=None)
    assert tree["PRISM"].fnu.shape == (1, 3)


def test_array_properties() -> None:
    c = collection()
    assert c.spectrum_id.tolist() == [f"s_{i}" for i in range(5)]
    assert c.object_id.tolist() == ["", "J0", "J0", "J0", "J0"]
    assert c.gratings == ["G395M", "PRISM"]
    np.testing.assert_array_equal(c.signal_to_noise, [0, 1, np.nan, 3, 4])
    assert c.dq_flags.tolist() == [0, 1, 2, 3, 4]
    assert c.dq_flags.dtype == np.int64
    assert c.downloaded.dtype == np.bool_
    assert np.isnan(c.redshift_auto).all()
    for name in ("target_id", "program_slug", "observation", "reduction_version", "fits_path", "local_path"):
        assert getattr(c, name).tolist() == [""] * 5
    assert np.isnan(c.exposure_time).all()


def test_empty_collection_has_typed_arrays() -> None:
    empty = SpectrumCollection()
    assert len(empty) == 0
    assert empty.grating.dtype.kind == "U"
    assert empty.signal_to_noise.dtype == np.float64
    assert len(empty[empty.grating == "PRISM"]) == 0
    assert len(empty[[]]) == 0
    assert empty.gratings == []
    assert len(empty.to_table()) == 0
    assert repr(empty) == "SpectrumCollection(0 spectra)"


@given(st.integers(0, 6), st.data())
def test_indexing_is_that_of_numpy(n: int, drawn: st.DataObject) -> None:
    c, positions = collection(n), np.arange(n)
    masks = st.lists(st.booleans(), min_size=n, max_size=n)
    integers = st.lists(st.integers(-n, n - 1), max_size=4) if n else st.just([])
    index: Any = drawn.draw(masks | masks.map(np.array) | integers | st.slices(n))
    if isinstance(index, np.ndarray) and not index.size:
        index = index.astype(bool)
    expected = (
        positions[np.array(index, dtype=np.intp) if index == [] else index]
        if not isinstance(index, np.ndarray)
        else positions[index]
    )
    assert c[index].spectrum_id.tolist() == [f"s_{i}" for i in expected]


def test_single_positions() -> None:
    c = collection()
    assert c[0].spectrum_id == "s_0"
    assert c[-1].spectrum_id == "s_4"
    assert c[np.int32(2)].spectrum_id == "s_2"
    assert [s.spectrum_id for s in c] == c.spectrum_id.tolist()
    assert c[1:3] == SpectrumCollection([c[1], c[2]])
    assert c != 3


@pytest.mark.parametrize("index", [5, -6, [0, 5]])
def test_outside_positions_are_index_errors(index: Any) -> None:
    with pytest.raises(IndexError, match="no spectrum at position"):
        collection()[index]


@pytest.mark.parametrize(
    "index", [[True, False], np.ones(6, bool), "nonsense", 1.5, [0.5], np.zeros((1, 5), int), None]
)
def test_other_indices_are_refused(index: Any) -> None:
    with pytest.raises(ValidationError):
        collection()[index]


def test_collection_holds_spectra_only() -> None:
    with pytest.raises(ValidationError, match="str"):
        SpectrumCollection(["a"])  # type: ignore[list-item]


def test_table_has_the_documented_columns() -> None:
    table = collection().to_table()
    documented = (
        "spectrum_id object_id grating signal_to_noise exposure_time reduction_version local_path "
        "target_id fits_path redshift_auto dq_flags"
    )
    assert set(documented.split()) <= set(table.colnames)
    assert table["signal_to_noise"].mask.tolist() == [False, False, True, False, False]
    assert table["exposure_time"].unit == "s"


def test_tree_of_files_on_disk(tmp_path: Path) -> None:
    spectra = []
    for i in range(3):
        path = tmp_path / f"a_prism_clear_{i}_spec.fits"
        data(f"a_prism_clear_{i}").write(path)
        spectra.append(
            Spectrum(f"a_prism_clear_{i}", "J0", "PRISM", 5.0 + i, local_path=str(path), redshift=float(i))
        )
    tree = SpectrumCollection(spectra).to_xarray()
    ds = tree["PRISM"].to_dataset()
    assert ds.spectrum_id.values.tolist() == [s.spectrum_id for s in spectra]
    assert ds.redshift.values.tolist() == [0, 1, 2]
    assert ds.fnu.chunks is not None
    np.testing.assert_array_equal(ds.fnu.values[1], data().fnu)
    missing = SpectrumCollection([*spectra, Spectrum("gone", "J0", "PRISM")])
    with pytest.raises(NotFoundError, match=r"1 of 4 spectra are not on disk \(the first: gone\)"):
        missing.to_xarray()


def test_printed_form_is_bounded() -> None:
    text = repr(collection(30))
    assert text.splitlines()[0] == "SpectrumCollection(30 spectra: G395M, PRISM)"
    assert text.splitlines()[-1] == "  ... 10 more"
