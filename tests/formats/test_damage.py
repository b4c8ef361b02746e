"""Statement checked: parts that contradict each other are a ValidationError that names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from campfire.errors import ValidationError
from campfire.formats.hdu_reader import RawFits
from campfire.formats.spec_reader import read_header, read_spectrum
from campfire.formats.spec_writer import write_spectrum
from campfire.kernels.covariance import Covariance
from campfire.typing import SpectrumFields

FIELDS: SpectrumFields = {
    "wavelength": np.array([1.0, 2.0, 3.0]),
    "fnu": np.array([1.0, 2.0, 3.0]),
    "fnu_err": np.full(3, 0.1),
    "header": {"NOTE": "é"},
    "grating": "PRISM",
    "spectrum_id": "a_prism_clear_1",
}


def rewrite(path: Path, change: Callable[[fits.HDUList], object]) -> Path:
    with fits.open(path) as opened:
        hdus = fits.HDUList([hdu.copy() for hdu in opened])
    change(hdus)
    hdus.writeto(path, overwrite=True, output_verify="ignore")
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    from scipy.sparse import csr_array

    path = tmp_path / "a_spec.fits"
    write_spectrum(path, {**FIELDS, "covariance": csr_array(np.eye(3)), "redshift": 2.0})
    return path


def _text(hdus: fits.HDUList, text: bytes) -> None:
    hdus["CAMPFIRE"].data = np.frombuffer(text, np.uint8).copy()


@pytest.mark.parametrize(
    "text",
    [
        b"not json",
        b"[]",
        b'{"keywords": 3}',
        b'{"keywords": [1]}',
        b'{"keywords": ["A"], "values": []}',
        b'{"redshift": "high"}',
        b'{"redshift": true}',
        b'{"spectrum_id": 5}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_damaged_extra_fields(written: Path, text: bytes) -> None:
    with pytest.raises(ValidationError, match="damaged HDU CAMPFIRE"):
        read_spectrum(rewrite(written, lambda hdus: _text(hdus, text)))


def test_an_unrelated_image_of_that_name_is_passed_over(written: Path) -> None:
    def change(hdus: fits.HDUList) -> None:
        hdus["CAMPFIRE"] = fits.ImageHDU(np.zeros((2, 2)), name="CAMPFIRE")

    assert "NOTE" not in read_spectrum(rewrite(written, change))["header"]


def test_a_card_changed_later_is_seen(written: Path) -> None:
    """Only what cards cannot say is kept apart; the other cards can be edited by other software."""
    assert read_spectrum(written)["header"] == {"NOTE": "é"}
    fields: SpectrumFields = {**FIELDS, "header": {"NOTE": "é", "EFFEXPTM": 1.0}}
    write_spectrum(written, fields, overwrite=True)
    rewrite(written, lambda hdus: hdus[0].header.set("EFFEXPTM", 2.0))
    assert read_spectrum(written)["header"] == {"NOTE": "é", "EFFEXPTM": 2.0}


@pytest.mark.parametrize(("column", "value"), [("row", 3), ("col", -1)])
def test_a_covariance_of_other_pixels(written: Path, column: str, value: int) -> None:
    def change(hdus: fits.HDUList) -> None:
        hdus["COVARIANCE"].data[column][0] = value

    with pytest.raises(ValidationError, match="COVARIANCE: not a matrix of 3 by 3"):
        read_spectrum(rewrite(written, change))


@pytest.mark.parametrize("modes", [np.ones((2, 3)), np.ones((1, 2)), np.ones(3), np.array([[1, 2, 3]])])
def test_modes_of_other_pixels(written: Path, modes: Any) -> None:
    from scipy.sparse import csr_array

    covariance = Covariance(csr_array(np.eye(3)), np.ones((3, 1)), np.ones(1), ("a",))
    write_spectrum(written, {**FIELDS, "covariance": covariance}, overwrite=True)
    assert read_spectrum(written)["covariance"].labels == ("a",)

    def change(hdus: fits.HDUList) -> None:
        hdus["MODES"] = fits.ImageHDU(modes, name="MODES")

    with pytest.raises(ValidationError, match="MODES: not modes of 3 pixels"):
        read_spectrum(rewrite(written, change))


def test_a_mask_has_to_be_logical(written: Path) -> None:
    def change(hdus: fits.HDUList) -> None:
        columns = [*hdus[1].columns, fits.Column("mask", "J", array=[0, 1, 0])]
        hdus[1] = fits.BinTableHDU.from_columns(columns, name="SPEC1D")

    with pytest.raises(ValidationError, match=r"mask is int32.*logicals"):
        read_spectrum(rewrite(written, change))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (b"TFIELDS =                    5", b"TFIELDS =                    6", "TFORM6"),
        (b"TFIELDS =                    5", b"TFIELDS =                    4", "columns of"),
        (b"TFIELDS =                    5", b"TFIELDS =                    T", "TFIELDS"),
        (b"TFORM1  = 'D       '", b"TFORM1  = 'Y       '", "TFORM1"),
        (b"TTYPE1  = 'wave    '", b"TTYPE1  = 'fnu     '", "two columns"),
        (b"NAXIS2  =                    3", b"NAXIS2  =                99993", "cut short in HDU SPEC1D"),
        (b"NAXIS2  =                    3", b"NAXIS2  =                   -3", "NAXIS2"),
        (b"GCOUNT  =                    1", b"GCOUNT  =                    2", "GCOUNT"),
        (b"BITPIX  =                    8", b"BITPIX  =                    7", "BITPIX"),
        (b"XTENSION= 'BINTABLE'", b"XTENSION= 'WHATEVER'", "no table SPEC1D"),
        (b"XTENSION= 'BINTABLE'", b"extension 'BINTABLE'", "where an HDU should begin"),
    ],
)
def test_structure_cards_that_contradict_each_other(
    written: Path, old: bytes, new: bytes, named: str
) -> None:
    content = written.read_bytes()
    assert old in content
    written.write_bytes(content.replace(old, new, 1))
    with pytest.raises(ValidationError, match=named):
        read_spectrum(written)


def test_a_header_without_end(tmp_path: Path) -> None:
    path = tmp_path / "x_spec.fits"
    path.write_bytes(b"SIMPLE  =                    T".ljust(80) + b" " * 9_000_000)
    with pytest.raises(ValidationError, match="a header of more than"):
        read_header(path)
    path.write_bytes(b"SIMPLE  =                    T".ljust(80) + b" " * 90_000)
    with pytest.raises(ValidationError, match="a header has no end"):
        read_header(path)


def test_many_axes_and_long_headers(tmp_path: Path) -> None:
    path = tmp_path / "x.fits"
    image = np.arange(32.0).reshape(2, 2, 2, 2, 2)
    header = fits.Header([(f"KEY{i}", i) for i in range(500)])
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, header=header, name="I")]).writeto(path)
    with RawFits(path) as raw:
        np.testing.assert_array_equal(raw.image(raw.hdus[1]), image)
        assert raw.header(raw.hdus[1])["KEY499"] == 499


def test_a_file_that_becomes_shorter_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((400, 400)), name="I")]).writeto(path)
    with RawFits(path) as raw:
        path.write_bytes(path.read_bytes()[:100_000])
        with pytest.raises(ValidationError, match="became shorter"):
            raw.image(raw.hdus[1])


def test_a_name_that_is_no_text(written: Path) -> None:
    def change(hdus: fits.HDUList) -> Any:
        hdus[0].header["FILENAME"] = True
        hdus[0].header["GRATING"] = 5
        del hdus["CAMPFIRE"]

    fields = read_spectrum(rewrite(written, change))
    assert (fields["spectrum_id"], fields["grating"]) == ("a", "unknown")
