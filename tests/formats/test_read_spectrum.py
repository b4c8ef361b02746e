"""Statements checked: missing-data conventions, units, layouts and refusals of ``read_spectrum``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from campfire.errors import ValidationError
from campfire.formats.column_units import apply_missing
from campfire.formats.spec_reader import (
    file_hash,
    peek_spectrum,
    product_facts,
    read_header,
    read_pixels,
    read_position,
    read_spectrum,
)

Column = tuple[str, Any, str | None]
WAVE = np.array([1.0, 2.0, 3.0, 4.0])


def write_table(
    path: Path,
    columns: Sequence[Column],
    *,
    name: str | None = "SPEC1D",
    primary: dict[str, Any] | None = None,
    table: dict[str, Any] | None = None,
) -> Path:
    """One table written by astropy, so that the reader is not tested with its own writer."""
    codes = {"f8": "D", "f4": "E", "i4": "J", "u4": "J", "b1": "L"}
    made = []
    for label, values, unit in columns:
        array = np.asarray(values)
        zero = 2**31 if array.dtype.kind == "u" else None
        code = codes[array.dtype.str[1:]]
        made.append(fits.Column(label, code, array=array, unit=unit, bzero=zero))
    hdu = fits.BinTableHDU.from_columns(made, name=name)
    hdu.header.update(table or {})
    first = fits.PrimaryHDU()
    first.header.update(primary or {})
    fits.HDUList([first, hdu]).writeto(path, overwrite=True)
    return path


def simple(**changes: Any) -> list[Column]:
    columns: dict[str, Column] = {
        "wave": ("wave", WAVE, "um"),
        "fnu": ("fnu", np.array([1.0, 2.0, 3.0, 4.0]), "uJy"),
        "fnu_err": ("fnu_err", np.full(4, 0.1), "uJy"),
    }
    columns.update(changes)
    return list(columns.values())


# --- missing data ---

AWKWARD = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1e-300]) | st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(AWKWARD, AWKWARD), max_size=30), st.sampled_from(["f4", "f8"]))
def test_pixels_without_data_are_nan_in_both_and_masked(pairs: list[tuple[float, float]], dtype: str) -> None:
    """A pixel without data is NaN in flux and error, however the file says it; good pixels are untouched."""
    fnu, err = (np.array([pair[i] for pair in pairs], dtype=dtype) for i in (0, 1))
    before = fnu.copy(), err.copy()
    missing = apply_missing(fnu, err)
    for i, (flux, error) in enumerate(zip(*before, strict=True)):
        usable = np.isfinite(flux) and np.isfinite(error) and error > 0
        assert missing[i] == (not usable)
        assert (fnu[i] == flux and err[i] == error) if usable else (np.isnan(fnu[i]) and np.isnan(err[i]))


def test_conventions_of_optimal_and_boxcar_columns(product_file: Callable[..., Path]) -> None:
    """Optimal NaN and +inf, boxcar 0 and 0, combined NaN and NaN: all are NaN, NaN, masked."""
    for combined in (False, True):
        path = product_file(combined=combined)
        with fits.open(path) as opened:
            raw = opened["SPEC1D"].data
            lost = np.isnan(raw["fnu"])
            if combined:
                assert np.isnan(raw["fnu_err"][lost]).all()
                assert np.isnan(raw["fnu_3px"][lost]).all()
                assert (raw["n_combined"][lost] == 0).all()
            else:
                assert np.isposinf(raw["fnu_err"][lost]).all()
                assert (raw["fnu_3px"][lost] == 0).all()
                assert (raw["fnu_3px_err"][lost] == 0).all()
        for extraction in ("optimal", "3px", "4px", "5px"):
            fields = read_spectrum(path, extraction=extraction)
            mask = fields["mask"]
            assert mask is not None
            np.testing.assert_array_equal(mask, lost)
            for name in ("fnu", "fnu_err", "flam", "flam_err"):
                values: Any = fields[name]
                np.testing.assert_array_equal(np.isnan(values), lost)


def test_a_flux_without_a_usable_error_is_no_data(tmp_path: Path) -> None:
    """A pixel without data is NaN in flux and error and masked, however the file says it."""
    columns = simple(fnu_err=("fnu_err", np.array([np.nan, np.inf, -1.0, 0.5]), "uJy"))
    fields = read_spectrum(write_table(tmp_path / "a_spec.fits", columns))
    np.testing.assert_array_equal(fields["fnu"], [np.nan, np.nan, np.nan, 4])
    np.testing.assert_array_equal(fields["mask"], [True, True, True, False])
    np.testing.assert_array_equal(fields["fnu_err"], [np.nan, np.nan, np.nan, 0.5])


# --- values ---


def test_dtypes_are_those_of_the_file_in_native_order(product_file: Callable[..., Path]) -> None:
    fields = read_spectrum(product_file())
    assert fields["fnu"].dtype == np.float32
    assert fields["wavelength"].dtype == np.float64
    for name in ("wavelength", "fnu", "fnu_err", "flam", "flam_err"):
        array: Any = fields[name]
        assert array.dtype.isnative
        assert array.flags.writeable


@given(
    st.sampled_from([("Jy", 1e6), ("mJy", 1e3), ("nJy", 1e-3), ("uJy", 1.0), ("erg s-1 cm-2 Hz-1", 1e29)]),
    st.sampled_from([("um", 1.0), ("Angstrom", 1e-4), ("nm", 1e-3), ("m", 1e6)]),
)
def test_units_are_those_of_tunit(flux: tuple[str, float], length: tuple[str, float]) -> None:
    """Any unit of flux density and of length is converted; BUNIT is not looked at."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        columns = simple(
            wave=("wave", WAVE / length[1], length[0]),
            fnu=("fnu", np.array([1.0, 2.0, 3.0, 4.0]) / flux[1], flux[0]),
            fnu_err=("fnu_err", np.full(4, 0.1) / flux[1], flux[0]),
        )
        path = write_table(Path(folder) / "u_spec.fits", columns, table={"BUNIT": "mJy"})
        fields = read_spectrum(path)
    np.testing.assert_allclose(fields["wavelength"], WAVE, rtol=1e-14)
    np.testing.assert_allclose(fields["fnu"], [1, 2, 3, 4], rtol=1e-14)
    np.testing.assert_allclose(fields["fnu_err"], 0.1, rtol=1e-14)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fnu": ("fnu", np.ones(4), "ct / s")}, "ct / s"),
        ({"fnu": ("fnu", np.ones(4), "erg / (s cm2 Angstrom)")}, "Angstrom"),
        ({"fnu_err": ("fnu_err", np.ones(4), "MJy/sr")}, "MJy/sr"),
        ({"wave": ("wave", WAVE, "s")}, "'s'"),
        ({"wave": ("wave", WAVE, "furlong per week")}, "furlong"),
        ({"flam": ("flam", np.ones(4), "uJy")}, "uJy"),
    ],
)
def test_a_wrong_unit_is_refused_and_named(tmp_path: Path, changes: dict[str, Column], named: str) -> None:
    path = write_table(tmp_path / "w_spec.fits", simple(**changes))
    with pytest.raises(ValidationError, match="is not a unit") as caught:
        read_spectrum(path)
    assert named in str(caught.value)
    assert "w_spec.fits" in str(caught.value)


def test_older_tables_without_units_are_in_those_of_the_format(tmp_path: Path) -> None:
    columns = [(name, values, None) for name, values, _ in simple()]
    fields = read_spectrum(write_table(tmp_path / "o_spec.fits", columns))
    np.testing.assert_array_equal(fields["fnu"], [1, 2, 3, 4])


def test_integers_and_single_precision(tmp_path: Path) -> None:
    columns = simple(
        wave=("wave", WAVE.astype(np.float32), "um"), fnu=("fnu", np.array([1, 2, 3, 4], np.int32), "uJy")
    )
    fields = read_spectrum(write_table(tmp_path / "i_spec.fits", columns))
    assert fields["fnu"].dtype == np.float64
    assert fields["wavelength"].dtype == np.float32


def test_names_are_matched_without_case_and_with_the_usual_aliases(tmp_path: Path) -> None:
    columns: list[Column] = [
        ("other", np.zeros(4), None),
        ("FLUX_ERR", np.full(4, 0.1), "uJy"),
        ("Wavelength", WAVE, "um"),
        ("FNU", np.arange(1.0, 5.0), "uJy"),
    ]
    fields = read_spectrum(write_table(tmp_path / "n_spec.fits", columns))
    np.testing.assert_array_equal(fields["fnu"], [1, 2, 3, 4])
    assert fields["flam"] is None


def test_columns_are_never_taken_by_position(tmp_path: Path) -> None:
    columns: list[Column] = [("x", WAVE, "um"), ("y", WAVE, "uJy"), ("z", WAVE, "uJy")]
    with pytest.raises(ValidationError, match=r"no column wave or fnu or fnu_err .*x, y, z"):
        read_spectrum(write_table(tmp_path / "p_spec.fits", columns))


def test_a_table_without_a_name_counts_by_its_columns(tmp_path: Path) -> None:
    assert len(read_spectrum(write_table(tmp_path / "u_spec.fits", simple(), name=None))["fnu"]) == 4
    odd = [("wave", WAVE, "um"), ("flux", WAVE, "uJy")]
    with pytest.raises(ValidationError, match="no table SPEC1D"):
        read_spectrum(write_table(tmp_path / "v_spec.fits", list(odd), name=None))


def test_extractions_that_are_not_there(tmp_path: Path, product_file: Callable[..., Path]) -> None:
    """The message names those there are."""
    path = write_table(tmp_path / "e_spec.fits", simple())
    with pytest.raises(ValidationError, match=r"no extraction '3px'.*holds optimal"):
        read_spectrum(path, extraction="3px")
    with pytest.raises(ValidationError, match=r"unknown extraction '6px'.*optimal, 3px, 4px, 5px"):
        read_spectrum(product_file(), extraction="6px")


@pytest.mark.parametrize(
    "wave",
    [[1, 3, 2, 4], [1, 2, 2, 3], [1, np.nan, 3, 4], [np.nan, 2, 3, 4], [1, 2, 3, np.inf], [4, 3, 2, 1]],
)
def test_wavelengths_must_ascend(tmp_path: Path, wave: list[float]) -> None:
    path = write_table(tmp_path / "s_spec.fits", simple(wave=("wave", np.array(wave, float), "um")))
    for reader in (read_spectrum, read_pixels, product_facts, peek_spectrum):
        with pytest.raises(ValidationError, match="wavelengths"):
            reader(path)


@given(hnp.arrays(np.float64, st.integers(0, 6), elements=st.sampled_from([1.0, 2.0, 3.0, np.nan, np.inf])))
def test_wavelengths_that_pass_are_ascending(wave: np.ndarray[Any, Any]) -> None:
    import tempfile

    n = len(wave)
    with tempfile.TemporaryDirectory() as folder:
        columns: list[Column] = [
            ("wave", wave, "um"),
            ("fnu", np.ones(n), "uJy"),
            ("fnu_err", np.ones(n), "uJy"),
        ]
        path = write_table(Path(folder) / "a_spec.fits", columns)
        good = bool(np.isfinite(wave).all() and (np.diff(wave) > 0).all())
        if good:
            np.testing.assert_array_equal(read_spectrum(path)["wavelength"], wave)
        else:
            with pytest.raises(ValidationError):
                read_spectrum(path)


# --- JWST x1d ---


def x1d_columns(**changes: Any) -> list[Column]:
    columns: dict[str, Column] = {
        "WAVELENGTH": ("WAVELENGTH", WAVE, "um"),
        "FLUX": ("FLUX", np.array([1e-6, 2e-6, 0.0, 4e-6]), "Jy"),
        "FLUX_ERROR": ("FLUX_ERROR", np.array([1e-7, 1e-7, np.nan, 1e-7]), "Jy"),
        "SURF_BRIGHT": ("SURF_BRIGHT", np.full(4, 99.0), "MJy/sr"),
        "DQ": ("DQ", np.array([0, 1, 0, 4], np.uint32), None),
    }
    columns.update(changes)
    return list(columns.values())


def test_x1d_flux_even_if_extended_and_its_dq(tmp_path: Path) -> None:
    """Jy by TUNIT; FLUX and not SURF_BRIGHT; DO_NOT_USE (bit 0) masks; 0 with NaN is missing."""
    path = write_table(
        tmp_path / "jw_x1d.fits",
        x1d_columns(),
        name="EXTRACT1D",
        primary={"GRATING": "G395M", "PROGRAM": "02736"},
        table={"SRCTYPE": "EXTENDED", "SOURCEID": 7, "SRCRA": -10.0, "SRCDEC": 5.0, "BUNIT": "x"},
    )
    fields = read_spectrum(path)
    np.testing.assert_allclose(fields["fnu"], [1, 2, np.nan, 4])
    np.testing.assert_array_equal(fields["mask"], [False, True, True, False])
    assert fields["header"]["SRCTYPE"] == "EXTENDED"
    assert "BUNIT" not in fields["header"]
    assert "TTYPE1" not in fields["header"]
    assert read_position(path) == (350.0, 5.0)
    facts = product_facts(path)
    assert (facts["spectrum_id"], facts["source_id"], facts["observation"]) == ("jw", 7, tmp_path.name)


def test_x1d_must_say_its_unit(tmp_path: Path) -> None:
    columns = x1d_columns(FLUX=("FLUX", np.ones(4), None))
    with pytest.raises(ValidationError, match="FLUX has no unit"):
        read_spectrum(write_table(tmp_path / "jw_x1d.fits", columns, name="EXTRACT1D"))


def test_several_spectra_in_one_file_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "jw_x1d.fits", x1d_columns(), name="EXTRACT1D")
    with fits.open(path) as opened:
        fits.HDUList([*opened, opened[1].copy()]).writeto(tmp_path / "two_x1d.fits")
    with pytest.raises(ValidationError, match="2 tables EXTRACT1D"):
        read_spectrum(tmp_path / "two_x1d.fits")


# --- names and facts ---


@pytest.mark.parametrize(
    ("filename", "header", "expected"),
    [
        ("a_spec.fits", {"FILENAME": "ember_prism_clear_1_spec.fits"}, "ember_prism_clear_1"),
        ("a_spec.fits", {}, "a"),
        ("b-v4_prism_1.spec.fits", {"FILENAME": "jw01_nrs1_raw.35.fits"}, "b-v4_prism_1"),
        ("c.fits", {"FILENAME": None}, "c"),
        ("d_x1d.fits", {"FILENAME": 5}, "d"),
    ],
)
def test_the_name_of_a_spectrum(tmp_path: Path, filename: str, header: dict[str, Any], expected: str) -> None:
    """From FILENAME where that names a spectrum file, else from the file; a given name wins."""
    path = write_table(tmp_path / filename, simple(), primary=header)
    assert read_spectrum(path)["spectrum_id"] == expected
    assert read_spectrum(path)["grating"] == "unknown"
    given_names = read_spectrum(path, spectrum_id="mine", grating="PRISM")
    assert (given_names["spectrum_id"], given_names["grating"]) == ("mine", "PRISM")


def test_facts_of_a_product(product_file: Callable[..., Path]) -> None:
    """Contract §3: peak S/N over valid pixels, EFFEXPTM, CMPFRVER, position of the SCI header, hash, size."""
    import hashlib

    path = product_file()
    facts = product_facts(path)
    with fits.open(path) as opened:
        raw = opened["SPEC1D"].data
        good = np.isfinite(raw["fnu"]) & np.isfinite(raw["fnu_err"]) & (raw["fnu_err"] > 0)
        peak = np.max(raw["fnu"][good].astype(float) / raw["fnu_err"][good])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts == {
        "spectrum_id": "ember_uds_p4_prism_clear_123456",
        "target_id": "ember_uds_p4_123456",
        "observation": "ember_uds_p4",
        "source_id": 123456,
        "grating": "PRISM",
        "filter": "CLEAR",
        "ra": 34.3203,
        "dec": -5.2227,
        "signal_to_noise": pytest.approx(peak),
        "exposure_time": 1598.508,
        "reduction_version": "0.5.1",
        "program": "01747",
        "file_hash": f"sha256:{digest}",
        "file_size": path.stat().st_size,
    }
    assert file_hash(path) == f"sha256:{digest}"
    assert read_position(path) == (34.3203, -5.2227)


def test_facts_of_a_spectrum_without_any_good_pixel(tmp_path: Path) -> None:
    path = write_table(tmp_path / "x_spec.fits", simple(fnu=("fnu", np.full(4, np.nan), "uJy")))
    facts = product_facts(path)
    assert facts["signal_to_noise"] is None
    assert facts["ra"] is None
    assert read_position(path) is None


def test_header_is_that_of_the_primary_hdu(product_file: Callable[..., Path]) -> None:
    """``dict(header)`` of astropy, value by value; EXPTIME is not there."""
    path = product_file()
    with fits.open(path) as opened:
        expected = dict(opened[0].header)
    assert read_spectrum(path)["header"] == expected == read_header(path)
    assert "EXPTIME" not in expected


def test_pixels_alone_equal_those_of_the_whole(product_file: Callable[..., Path]) -> None:
    path = product_file()
    fields, pixels = read_spectrum(path, extraction="4px"), read_pixels(path, extraction="4px")
    for name, values in pixels.items():
        np.testing.assert_array_equal(values, fields[name])  # type: ignore[literal-required]


def test_peeking_tells_dtypes_and_names_only(product_file: Callable[..., Path]) -> None:
    path = product_file()
    fields, (peeked, wavelength) = read_spectrum(path), peek_spectrum(path)
    np.testing.assert_array_equal(wavelength, fields["wavelength"])
    assert peeked["header"] == fields["header"]
    for name in ("wavelength", "fnu", "fnu_err", "flam", "flam_err", "mask"):
        full: Any = fields[name]
        none: Any = peeked[name]
        assert none.shape == (0,)
        assert none.dtype == full.dtype
