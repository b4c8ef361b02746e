"""Statements checked: files written have exactly the HDUs, columns, units and conventions of the format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from campfire.errors import ValidationError
from campfire.formats.names import parse_product_name, spectrum_name
from campfire.formats.spec_reader import read_spectrum
from campfire.formats.spec_writer import SpecProduct, write_product, write_spectrum
from campfire.formats.zfit import ZFit, read_zfit, write_zfit

Maker = Callable[..., SpecProduct]

FLAM = "erg / (s cm2 Angstrom)"
BOXCARS = [f"{kind}_{n}px{end}" for n in (3, 4, 5) for kind in ("fnu", "flam") for end in ("", "_err")]


def test_hdus_columns_and_units_are_those_of_the_contract(product_file: Callable[..., Path]) -> None:
    with fits.open(product_file()) as opened:
        assert [hdu.name for hdu in opened] == [
            "PRIMARY",
            "SPEC1D",
            "SCI",
            "ERR",
            "WAVELENGTH",
            "WHT",
            "PROF1D",
            "EXPOSURES",
        ]
        columns = opened["SPEC1D"].columns
        assert columns.names == ["wave", "fnu", "fnu_err", "flam", "flam_err", *BOXCARS]
        units = {"wave": "um"} | {n: "uJy" if n.startswith("fnu") else FLAM for n in columns.names[1:]}
        assert {column.name: column.unit for column in columns} == units
        assert [column.format for column in columns] == ["D", "E", "E"] + ["D"] * 14
        for name in ("SCI", "ERR", "WAVELENGTH", "WHT"):
            assert opened[name].data.shape == (7, 40)
            assert opened[name].header["BITPIX"] == -32
            assert "BUNIT" not in opened[name].header
            assert opened[name].header["SRCRA"] == 34.3203
        assert opened["PROF1D"].columns.names == ["ypos", "opt", "3px", "4px", "5px"]
        assert opened["EXPOSURES"].columns.names == [
            "filename",
            "dither_type",
            "nod_type",
            "nod_number",
            "dither_number",
            "exptime",
            "stuck_shutter_list",
            "shutter_state",
            "source_ra",
            "source_dec",
            "source_xpos",
            "source_ypos",
            "v3pa",
        ]
        assert opened["EXPOSURES"].data["nod_type"][0] == "3-SHUTTER-SLITLET"
        header = opened[0].header
        assert header["FILENAME"] == "ember_uds_p4_prism_clear_123456_spec.fits"
        assert header["CMPFROPT"] == "optimal"
        assert {"EXTEND", "CMPFRTIM", "CMPFRVER"} <= set(header)
        assert not {"EXPTIME", "SRCRA", "DATE"} & set(header)
        opened.verify("exception")


def test_f_lambda_is_the_pipelines_conversion(product_file: Callable[..., Path]) -> None:
    """f_lambda = f_nu 2.99792458e-19 / lambda^2."""
    with fits.open(product_file()) as opened:
        table = opened["SPEC1D"].data
        for suffix in ("", "_3px", "_5px"):
            expected = table[f"fnu{suffix}"].astype(float) * 2.99792458e-19 / table["wave"] ** 2
            np.testing.assert_allclose(table[f"flam{suffix}"], expected, rtol=1e-14)


def test_a_combined_file_says_so(product_file: Callable[..., Path]) -> None:
    with fits.open(product_file(combined=True)) as opened:
        assert opened["SPEC1D"].columns.names[-1] == "n_combined"
        assert opened["SPEC1D"].data["n_combined"].dtype.kind == "i"
        assert (opened[0].header["CMPFRSTG"], opened[0].header["NCOMBINE"]) == ("stage3-1d", 2)


def test_the_same_product_gives_the_same_bytes(tmp_path: Path, product: Maker, zfit: ZFit) -> None:
    """No time stamps, no random order."""
    names = [tmp_path / folder / "a_prism_clear_1_spec.fits" for folder in ("one", "two")]
    for path in names:
        path.parent.mkdir()
        write_product(path, product(HISTORY=["x"]))
        write_zfit(path.with_name("a_zfit.fits"), zfit)
        write_spectrum(path.with_name("b_spec.fits"), read_spectrum(path))
    for name in ("a_prism_clear_1_spec.fits", "a_zfit.fits", "b_spec.fits"):
        assert (names[0].parent / name).read_bytes() == (names[1].parent / name).read_bytes()


def _writers(product: Maker, zfit: ZFit, path: Path) -> list[Callable[[bool], None]]:
    fields = read_spectrum(path)
    return [
        lambda overwrite: write_product(path, product(), overwrite=overwrite),
        lambda overwrite: write_zfit(path, zfit, overwrite=overwrite),
        lambda overwrite: write_spectrum(path, fields, overwrite=overwrite),
    ]


def test_nothing_is_replaced_unless_asked(
    product_file: Callable[..., Path], product: Maker, zfit: ZFit
) -> None:
    path = product_file()
    for write in _writers(product, zfit, path):
        before = path.read_bytes()
        with pytest.raises(ValidationError, match=r"exists.*overwrite=True"):
            write(False)
        assert path.read_bytes() == before
        write(True)
    assert os.listdir(path.parent) == [path.name]


def test_a_failed_write_leaves_the_former_file_alone(
    product_file: Callable[..., Path], product: Maker, zfit: ZFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = product_file()
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    writers = _writers(product, zfit, path)
    for target in ("os.replace", "os.fsync"):
        monkeypatch.setattr(target, full)
        for write in writers:
            with pytest.raises(ValidationError, match="the disk is full"):
                write(True)
        monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_places_that_cannot_be_written(tmp_path: Path, product: Maker) -> None:
    with pytest.raises(ValidationError, match="is a folder"):
        write_product(tmp_path, product(), overwrite=True)
    with pytest.raises(ValidationError, match="no folder"):
        write_product(tmp_path / "none" / "a_spec.fits", product())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda p: p["header"].pop("CMPFRVER"), "CMPFRVER"),
        (lambda p: p["table"].pop("fnu_err"), "fnu_err"),
        (lambda p: p["table"].update(flux=np.ones(40)), "flux"),
        (lambda p: p["table"].update(fnu=np.ones(39)), "39"),
        (lambda p: p["table"].update(wave=p["table"]["wave"][::-1]), "ascending"),
        (lambda p: p.update(err=p["err"][:, 1:]), "ERR"),
        (lambda p: p["profile"].pop("opt"), "opt"),
        (lambda p: p["exposures"][0].pop("exptime"), "exptime"),
        (lambda p: p["header"].update(X=object()), "X"),
    ],
)
def test_an_incomplete_product_is_refused(
    tmp_path: Path, product: Maker, change: Callable[[Any], object], named: str
) -> None:
    made = product()
    change(made)
    with pytest.raises(ValidationError, match=named):
        write_product(tmp_path / "a_spec.fits", made)
    assert os.listdir(tmp_path) == []


def test_a_redshift_fit_comes_back(tmp_path: Path, zfit: ZFit) -> None:
    """Contract §4: ZBEST with 4 decimals, MODEL wav and fnu, CHI2 z and chi2, float64, no TUNIT."""
    path = tmp_path / "a_zfit.fits"
    write_zfit(path, zfit)
    with fits.open(path) as opened:
        assert [hdu.name for hdu in opened] == ["PRIMARY", "MODEL", "CHI2"]
        assert opened["MODEL"].columns.names == ["wav", "fnu"]
        assert opened["CHI2"].columns.names == ["z", "chi2"]
        assert {c.format for h in ("MODEL", "CHI2") for c in opened[h].columns} == {"D"}
        assert {c.unit for h in ("MODEL", "CHI2") for c in opened[h].columns} == {None}
        header = opened[0].header
        assert (header["ZBEST"], header["ZQUAL"]) == (round(zfit["redshift"], 4), 0)
        assert (header["ZCONF"], header["CHI2MIN"]) == (98.76, 123.456)
    back = read_zfit(path)
    for key, value in zfit.items():
        np.testing.assert_array_equal(back[key], value)  # type: ignore[literal-required]


def test_a_redshift_fit_is_the_minimum_of_its_curve(tmp_path: Path, zfit: ZFit) -> None:
    """Not the header's ZBEST; NaN in the curve is passed over; a curve of nothing is refused."""
    zfit["redshift"] = 7.0
    zfit["chi2"][0] = np.nan
    write_zfit(tmp_path / "a_zfit.fits", zfit)
    assert read_zfit(tmp_path / "a_zfit.fits")["redshift"] == pytest.approx(2.0)
    zfit["chi2"][:] = np.nan
    write_zfit(tmp_path / "b_zfit.fits", zfit)
    with pytest.raises(ValidationError, match="no finite value"):
        read_zfit(tmp_path / "b_zfit.fits")


def test_a_spectrum_is_no_redshift_fit(product_file: Callable[..., Path], tmp_path: Path, zfit: ZFit) -> None:
    with pytest.raises(ValidationError, match=r"no table CHI2.*SPEC1D"):
        read_zfit(product_file())
    write_zfit(tmp_path / "a_zfit.fits", zfit)
    with pytest.raises(ValidationError, match=r"no table SPEC1D.*MODEL, CHI2"):
        read_spectrum(tmp_path / "a_zfit.fits")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ember_uds_p4_prism_clear_123456_spec.fits", ("ember_uds_p4", "prism", "clear", 123456, "spec")),
        ("castellano3073_p5_g395m_f290lp_7_spec.fits", ("castellano3073_p5", "g395m", "f290lp", 7, "spec")),
        ("x_prism_y_g140h_f100lp_12_zfit.fits", ("x_prism_y", "g140h", "f100lp", 12, "zfit")),
        (
            "/data/products/a/jades_gds_udeep_prism_clear_0_spec.fits",
            ("jades_gds_udeep", "prism", "clear", 0, "spec"),
        ),
    ],
)
def test_product_names_are_taken_apart(name: str, expected: tuple[object, ...]) -> None:
    found = parse_product_name(name)
    assert found is not None
    assert (found.observation, found.grating, found.filter, found.source_id, found.kind) == expected
    assert Path(name).name.startswith(f"{found.spectrum_id}_{found.kind}")
    assert found.target_id == f"{expected[0]}_{expected[3]}"


@pytest.mark.parametrize(
    "name",
    [
        "ember_uds_p4_prism_clear_123456_g1_spec.fits",
        "ember_uds_p4_prism_clear_123456_s2d.fits",
        "ember_uds_p4_prism_clear_123456_spec.fits.tmp",
        ".ember_uds_p4_prism_clear_123456_spec.fits",
        "ember_uds_p4_prism_clear_0123_spec.fits",
        "EMBER_prism_clear_1_spec.fits",
        "ember_mirror_clear_1_spec.fits",
        "prism_clear_1_spec.fits",
        "ember_prism_clear_x_spec.fits",
        "spec.fits",
        "",
    ],
)
def test_other_names_are_not_products(name: str) -> None:
    assert parse_product_name(name) is None


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/b_prism_clear_1_spec.fits", "b_prism_clear_1"),
        ("c_g395m_7.v1.spec.fits.gz", "c_g395m_7.v1"),
        ("jw02736-o007_x1d.fits", "jw02736-o007"),
        ("plain.fits", "plain"),
        ("no_ending", "no_ending"),
        ("_spec.fits", "_spec.fits"),
    ],
)
def test_stems(name: str, stem: str) -> None:
    assert spectrum_name(name) == stem
