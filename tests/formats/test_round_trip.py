"""Statement checked: a spectrum written and read again is the same in every field, whatever it holds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from campfire.errors import ValidationError
from campfire.formats.spec_reader import read_spectrum
from campfire.formats.spec_writer import write_spectrum
from campfire.kernels.covariance import Covariance
from campfire.schema import normalise_mask
from campfire.typing import SpectrumFields

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=100)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = (
    st.from_regex(r"[A-Z0-9_-]{1,8}", fullmatch=True)
    | st.sampled_from(
        ["SIMPLE", "NAXIS", "EXTEND", "GRATING", "FILENAME", "COMMENT", "HISTORY", "", "END", "CONTINUE"]
    )
    | st.sampled_from(["ESO DET ID", "a lower key", "TTYPE1", "CHECKSUM", "ké", "HIERARCH X"])
    | st.text(max_size=12)
)
HEADERS = st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=3) | JSON, max_size=8)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def spectra(draw: st.DrawFn) -> SpectrumFields:
    n = draw(st.sampled_from([0, 1, 2, 7]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    width = 32 if dtype is np.float32 else 64
    values = hnp.arrays(
        dtype, n, elements=st.floats(width=cast("Any", width)) | st.sampled_from([0.0, -0.0, np.nan, np.inf])
    )
    steps = draw(hnp.arrays(np.float64, n, elements=st.floats(0.01, 1.0)))
    fnu, fnu_err = draw(values), draw(values)
    fields: SpectrumFields = {
        "wavelength": (0.5 + np.cumsum(steps)).astype(draw(st.sampled_from([np.float32, np.float64]))),
        "fnu": fnu,
        "fnu_err": fnu_err,
        "header": draw(HEADERS),
        "grating": draw(st.sampled_from(["PRISM", "unknown", "prism", ""]) | TEXT),
        "spectrum_id": draw(st.sampled_from(["a_prism_clear_1", "stack:a:PRISM", "a/b"]) | TEXT),
        "flam": draw(st.none() | values),
        "flam_err": draw(st.none() | values),
        "mask": normalise_mask(fnu, fnu_err, draw(hnp.arrays(np.bool_, n))),
        "redshift": draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
        "fnu_units": draw(st.sampled_from(["uJy", "microJansky"])),
    }
    return fields


def assert_same(one: SpectrumFields, other: SpectrumFields) -> None:
    for key in ("wavelength", "fnu", "fnu_err", "mask"):
        left, right = cast("Any", one)[key], cast("Any", other)[key]
        assert left.dtype == right.dtype, key
        np.testing.assert_array_equal(left, right, err_msg=key)
    for key in ("flam", "flam_err"):
        left, right = cast("Any", one)[key], cast("Any", other)[key]
        if left is not None:
            np.testing.assert_array_equal(left, right, err_msg=key)
            assert left.dtype == right.dtype
    for key in ("header", "grating", "spectrum_id", "redshift", "fnu_units"):
        left, right = one.get(key), other.get(key, "uJy" if key == "fnu_units" else None)
        assert repr(left) == repr(right), key


PLAIN: SpectrumFields = {
    "wavelength": np.array([1.0, 2.0, 3.0]),
    "fnu": np.array([1.0, np.nan, 0.0]),
    "fnu_err": np.array([0.1, 0.1, 0.0]),
    "header": {},
    "grating": "PRISM",
    "spectrum_id": "a_prism_clear_1",
    "flam": None,
    "flam_err": None,
    "mask": np.array([False, True, True]),
    "redshift": None,
    "fnu_units": "uJy",
}


@given(spectra())
@example(PLAIN)
@example(
    {**PLAIN, "header": {"X": 1e-310, "LONG": "it's " * 60, "HISTORY": ["a", "b"], "N": None, "R": [1, 2]}}
)
def test_written_and_read_again_it_is_the_same(fields: SpectrumFields) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, again = Path(folder) / "x_spec.fits", Path(folder) / "y_spec.fits"
        write_spectrum(path, fields)
        back = read_spectrum(path)
        write_spectrum(again, back)
        once_more = read_spectrum(again)
    assert_same(fields, back)
    for key in ("flam", "flam_err"):
        assert key in back
    assert_same(back | {"fnu_units": back.get("fnu_units", "uJy")}, once_more)
    if fields["flam"] is None and fields["flam_err"] is None:
        assert back["flam"] is None


def test_a_file_written_is_one_every_reader_understands(tmp_path: Path) -> None:
    """HDU 1 is SPEC1D with named columns and units, f_lambda included; cards are standard."""
    fields: SpectrumFields = {**PLAIN, "header": {"EFFEXPTM": 12.5, "HISTORY": ["one", "two"], "NOTE": "é"}}
    path = tmp_path / "x_spec.fits"
    write_spectrum(path, fields)
    with fits.open(path) as opened:
        opened.verify("exception")
        assert opened[1].name == "SPEC1D"
        assert opened[1].columns.names == ["wave", "fnu", "fnu_err", "flam", "flam_err"]
        assert opened[1].columns["fnu"].unit == "uJy"
        header = opened[0].header
        assert header["FILENAME"] == "a_prism_clear_1_spec.fits"
        assert header["GRATING"] == "PRISM"
        assert header["EFFEXPTM"] == 12.5
        assert list(header["HISTORY"]) == ["one", "two"]
        np.testing.assert_allclose(opened[1].data["flam"][0], 2.99792458e-19)


def test_a_plain_copy_of_a_product_needs_nothing_beyond_the_format(tmp_path: Path, product_file: Any) -> None:
    """The extra HDU and the extra cards are only there where they are needed."""
    path = product_file()
    copy = tmp_path / "copy_spec.fits"
    write_spectrum(copy, read_spectrum(path))
    with fits.open(copy) as opened:
        assert [hdu.name for hdu in opened] == ["PRIMARY", "SPEC1D"]
        assert not {"CMPFRRAW", "FLAMORIG"} & set(opened[1].header)
        assert "mask" not in opened[1].columns.names
    assert_same(
        cast("Any", read_spectrum(path) | {"redshift": None, "fnu_units": "uJy"}), read_spectrum(copy)
    )


def test_masked_good_values_keep_values_and_mask(tmp_path: Path) -> None:
    fields: SpectrumFields = {
        **PLAIN,
        "fnu": np.array([1.0, 2.0, 3.0]),
        "fnu_err": np.full(3, 0.1),
        "mask": np.array([False, True, False]),
        "flam": np.array([1e-19, 2e-19, 3e-19]),
        "flam_err": np.array([1e-20, 2e-20, 3e-20]),
    }
    path = tmp_path / "m_spec.fits"
    write_spectrum(path, fields)
    back = read_spectrum(path)
    assert_same(fields | {"redshift": None}, back)
    np.testing.assert_array_equal(back["fnu"], [1, 2, 3])
    np.testing.assert_array_equal(back["mask"], [False, True, False])


def test_a_name_with_gz_is_zipped(tmp_path: Path) -> None:
    """Also then the same spectrum gives the same bytes."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_spectrum(tmp_path / folder / "a_spec.fits.gz", PLAIN)
    zipped = (tmp_path / "one" / "a_spec.fits.gz").read_bytes()
    assert zipped[:2] == b"\x1f\x8b"
    assert zipped == (tmp_path / "two" / "a_spec.fits.gz").read_bytes()
    assert_same(PLAIN, read_spectrum(tmp_path / "one" / "a_spec.fits.gz"))


def test_a_complex_card_comes_back(tmp_path: Path) -> None:
    write_spectrum(tmp_path / "z_spec.fits", {**PLAIN, "header": {"Z": 1.5 - 2e-9j}})
    assert read_spectrum(tmp_path / "z_spec.fits")["header"] == {"Z": 1.5 - 2e-9j}


def test_covariance_comes_back(tmp_path: Path) -> None:
    from scipy.sparse import csr_array

    matrix = csr_array(np.array([[4.0, 1.0, 0.0], [1.0, 9.0, 2.0], [0.0, 2.0, 16.0]]))
    path = tmp_path / "c_spec.fits"
    write_spectrum(path, {**PLAIN, "covariance": matrix})
    back = read_spectrum(path)["covariance"]
    assert back is not None
    np.testing.assert_array_equal(back.toarray(), matrix.toarray())
    given = Covariance(
        matrix, np.array([[1.0, 2.0], [0.0, 3.0], [1.0, 1.0]]), np.array([-1.0, 1.0]), ("", "a µ")
    )
    write_spectrum(path, {**PLAIN, "covariance": given}, overwrite=True)
    back = read_spectrum(path)["covariance"]
    np.testing.assert_array_equal(back.toarray(), given.toarray())
    assert back.labels == given.labels


def test_resolving_power_comes_back_or_is_found_damaged(tmp_path: Path) -> None:
    from astropy.io import fits

    power = np.array([30.0, np.nan, 50.5])
    path = tmp_path / "r_spec.fits"
    write_spectrum(path, {**PLAIN, "resolving_power": power})
    np.testing.assert_array_equal(read_spectrum(path)["resolving_power"], power)
    with fits.open(path, mode="update") as hdus:
        hdus["RESOLVING_POWER"].data = power[:2]
    with pytest.raises(ValidationError, match="damaged HDU RESOLVING_POWER"):
        read_spectrum(path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"wavelength": np.array([1.0, 3.0, 2.0])}, "ascending"),
        ({"wavelength": np.array([1.0, np.nan, 2.0])}, "finite"),
        ({"fnu_units": "Jy"}, "fnu_units"),
        ({"wave_units": "s"}, "'s'"),
        ({"mask": np.array([True])}, "mask"),
        ({"fnu": np.ones(2)}, "lengths"),
        ({"fnu": np.ones((3, 1))}, "fnu"),
        ({"header": {"X": object()}}, "X"),
        ({"header": {"X": complex("nan")}}, "X"),
        ({"header": {"no card": [1j]}}, "no card"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        write_spectrum(tmp_path / "x_spec.fits", cast("Any", {**PLAIN, **changes}))
    assert list(tmp_path.iterdir()) == []


def test_real_spectra_survive_the_way_through_our_format(tmp_path: Path, real_file: Path) -> None:
    """msaexp and x1d in, CAMPFIRE out, and the same again."""
    fields = read_spectrum(real_file)
    path = tmp_path / "x_spec.fits"
    write_spectrum(path, fields)
    back = read_spectrum(path)
    assert_same(cast("Any", fields | {"redshift": None, "fnu_units": "uJy"}), back)
    assert back["flam"] is None
