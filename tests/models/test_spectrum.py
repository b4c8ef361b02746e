"""Statements checked: documented attributes, defaults and printed form of SpectrumData; its checks."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn
from astropy.utils.masked import Masked
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from campfire.errors import NotFoundError, ValidationError
from campfire.models import SpectrumData
from campfire.units import FLAM_PER_FNU

SPECTRA = Path(__file__).parents[3] / "shared" / "data" / "spectra"


def spectrum(**changes: Any) -> SpectrumData:
    sound: dict[str, Any] = {
        "wavelength": np.linspace(0.6, 5.3, 1024),
        "fnu": np.ones(1024),
        "fnu_err": np.full(1024, 0.1),
        "header": {"EFFEXPTM": 5.0},
        "grating": "PRISM",
        "spectrum_id": "ember_uds_p4_prism_clear_123456",
    }
    return SpectrumData(**(sound | changes))


def test_signature_is_the_documented_one() -> None:
    parameters = inspect.signature(SpectrumData).parameters
    required = ["wavelength", "fnu", "fnu_err", "header", "grating", "spectrum_id"]
    defaults = {
        "flam": None,
        "flam_err": None,
        "fits_path": None,
        "fnu_units": "uJy",
        "flam_units": "erg s-1 cm-2 angstrom-1",
        "wave_units": "um",
        "mask": None,
        "redshift": None,
    }
    positional = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [*required, *defaults]
    assert {n: parameters[n].default for n in defaults} == defaults
    assert [f.name for f in dataclasses.fields(SpectrumData)] == [
        *required,
        *defaults,
        "covariance",
        "resolving_power",
    ]


def test_printed_form_is_the_documented_one() -> None:
    assert (
        str(spectrum()) == "SpectrumData(ember_uds_p4_prism_clear_123456, PRISM, 1024 pixels, 0.60-5.30 μm)"
    )
    empty = SpectrumData([], [], [], {}, "PRISM", "a")
    assert repr(empty) == "SpectrumData(a, PRISM, 0 pixels)"
    assert len(empty) == 0
    assert repr(SpectrumData([1.0], [1.0], [1.0], {}, "", "")) == "SpectrumData(1 pixel, 1.00-1.00 μm)"


@given(hnp.arrays(np.float64, 5), hnp.arrays(np.float64, 5), hnp.arrays(np.bool_, 5))
def test_mask_covers_what_cannot_be_used(fnu: Any, err: Any, mask: Any) -> None:
    spec = SpectrumData(np.arange(1.0, 6), fnu, err, {}, "PRISM", "a", mask=mask)
    bad = ~(np.isfinite(fnu) & np.isfinite(err) & (err > 0))
    assert spec.mask.dtype == np.bool_
    np.testing.assert_array_equal(spec.mask, bad | mask)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4", "<f8"])
def test_arrays_keep_their_dtype_in_native_byte_order(dtype: str) -> None:
    spec = spectrum(fnu=np.ones(1024, dtype=dtype))
    assert spec.fnu.dtype == np.dtype(dtype).newbyteorder("=")
    assert spec.fnu.dtype.isnative
    assert spec.flam.dtype == spec.fnu.dtype


def test_integers_lists_and_masked_arrays_become_floats() -> None:
    spec = SpectrumData(
        [1, 2, 3], np.ma.array([1, 2, 3], mask=[False, True, False]), [1, 1, 1], None, "PRISM", "a"
    )
    assert spec.wavelength.dtype == spec.fnu.dtype == np.float64
    np.testing.assert_array_equal(spec.fnu, [1, np.nan, 3])
    assert spec.mask.tolist() == [False, True, False]
    assert spec.header == {}


def test_flam_is_computed_with_the_exact_speed_of_light() -> None:
    spec = spectrum()
    np.testing.assert_allclose(spec.flam, FLAM_PER_FNU / spec.wavelength**2, rtol=1e-14)
    np.testing.assert_allclose(spec.flam_err, 0.1 * FLAM_PER_FNU / spec.wavelength**2, rtol=1e-14)
    assert spec.to_fields().get("flam") is None
    assert spectrum(flam=np.ones(1024)).to_fields().get("flam") is not None


@pytest.mark.parametrize("wave_unit", [u.AA, u.m, u.THz, u.keV])
@pytest.mark.parametrize(
    "flux_unit", [u.nJy, u.Jy, u.ABmag, u.Unit("erg / (s cm2 AA)"), u.Unit("W / (m2 Hz)")]
)
def test_quantities_are_converted_once(wave_unit: Any, flux_unit: Any) -> None:
    wave = np.array([1.0, 2.0, 4.0]) * u.um
    flux = np.array([1.0, 3.0, 5.0]) * u.uJy
    error = u.Unit("uJy") * 0.1 * np.ones(3)
    spec = SpectrumData(
        wave.to(wave_unit, u.spectral()),
        flux.to(flux_unit, u.spectral_density(wave)),
        error if flux_unit == u.ABmag else error.to(flux_unit, u.spectral_density(wave)),
        {},
        "PRISM",
        "a",
    )
    np.testing.assert_allclose(spec.wavelength, wave.value, rtol=1e-12)
    np.testing.assert_allclose(spec.fnu, flux.value, rtol=1e-9)
    np.testing.assert_allclose(spec.fnu_err, error.value, rtol=1e-9)
    assert (spec.wave_units, spec.fnu_units) == ("um", "uJy")
    assert type(spec.fnu) is np.ndarray


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fnu": np.ones(1023)}, "fnu has 1023 pixels, wavelength 1024"),
        ({"fnu_err": np.ones((2, 512))}, r"fnu_err has shape \(2, 512\)"),
        ({"wavelength": 1.0}, r"wavelength has shape \(\)"),
        ({"mask": np.zeros(5, dtype=bool)}, r"mask is bool of shape \(5,\)"),
        ({"mask": np.zeros(1024)}, "mask is float64"),
        ({"wavelength": np.ones(1024) * u.K}, "K is not a unit of wavelength"),
        ({"fnu": np.ones(1024) * u.s}, "s cannot be converted"),
        ({"wave_units": "nm"}, "wave_units is 'nm'"),
        ({"flam_units": "erg/s/cm2/A"}, "flam_units is 'erg/s/cm2/A'"),
        ({"fnu_units": "blah"}, "fnu_units is 'blah'"),
        ({"header": 3}, "header is a int"),
        ({"redshift": "high"}, "redshift='high'"),
        ({"flam": np.ones(2)}, "flam has 2 pixels"),
    ],
)
def test_wrong_input_is_refused_with_what_was_passed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        spectrum(**change)
    assert caught.value.hint


def test_other_spellings_of_the_units_are_kept() -> None:
    spec = spectrum(wave_units="micron", flam_units="erg / (s cm2 Angstrom)")
    assert (spec.wave_units, spec.flam_units) == ("micron", "erg / (s cm2 Angstrom)")


@given(st.sampled_from(["wavelength", "fnu", "fnu_err", "flam", "mask", "grating", "redshift", "header"]))
def test_equality_is_exact(name: str) -> None:
    one, other = spectrum(fnu=np.full(1024, np.nan)), spectrum(fnu=np.full(1024, np.nan))
    assert one == other
    value = getattr(other, name)
    if isinstance(value, np.ndarray):
        value = value.copy()
        value[3] = 1 if value.dtype == np.bool_ else 7
        if name == "mask":
            value[3] = not other.mask[3]
    else:
        value = {"grating": "G395M", "redshift": 2.0, "header": {"A": 1}}[name]
    setattr(other, name, value)
    assert one != other
    assert one != "a spectrum"
    assert spectrum(fnu=np.ones(1024, np.float32)) != spectrum()


def test_header_with_nan_equals_itself() -> None:
    assert spectrum(header={"A": float("nan")}) == spectrum(header={"A": np.float64("nan")})


def test_missing_file_and_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        SpectrumData.from_fits(tmp_path / "no.fits")
    foreign = tmp_path / "foreign.fits"
    foreign.write_bytes(b"SIMPLE  = no")
    with pytest.raises(ValidationError):
        SpectrumData.from_fits(foreign)


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a_prism_clear_1_spec.fits"
    spectrum().write(path)
    before = path.read_bytes()
    with pytest.raises(ValidationError):
        spectrum(fnu=np.full(1024, 2.0)).write(path)
    assert path.read_bytes() == before
    spectrum(fnu=np.full(1024, 2.0)).write(path, overwrite=True)
    assert SpectrumData.from_fits(path).fnu[0] == 2


@pytest.mark.skipif(not SPECTRA.is_dir(), reason="no sample of real spectra beside the checkout")
def test_real_files_go_through_every_container() -> None:
    paths = sorted(SPECTRA.glob("*.fits*"))
    assert paths
    for path in paths:
        spec = SpectrumData.from_fits(path)
        assert np.isfinite(spec.fnu[~spec.mask]).all()
        assert (spec.fnu_err[~spec.mask] > 0).all()
        assert SpectrumData.from_xarray(spec.to_xarray()) == spec
        assert SpectrumData.from_specutils(spec.to_specutils()) == spec
        assert SpectrumData.from_table(spec.to_table()) == spec


def test_plot_draws_either_density() -> None:
    spec = spectrum()
    ax = spec.plot()
    assert ax.get_title() == "ember_uds_p4_prism_clear_123456  PRISM"
    again = spec.plot(flux_unit="flambda", show_errors=False, ax=ax, color="red", title="mine")
    assert again is ax
    assert ax.get_title() == "mine"
    assert "lambda" in ax.get_ylabel()
    with pytest.raises(ValidationError, match="flux_unit"):
        spec.plot(flux_unit="jy")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["numpy", "column", "astropy"])
def test_the_mask_of_wavelengths_masks_their_pixels(kind: str) -> None:
    """The wavelengths are known all the same."""
    hidden = [False, True, False]
    wave: Any = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=hidden)
    if kind == "column":
        wave = MaskedColumn(wave.data * 1e4, mask=hidden, unit="angstrom")
    elif kind == "astropy":
        wave = Masked([1.0, 2.0, 3.0] * u.um, mask=hidden)
    spec = SpectrumData(wave, [1.0, 2.0, 3.0], [0.1, 0.1, 0.1], {}, "PRISM", "demo")
    np.testing.assert_allclose(spec.wavelength, [1.0, 2.0, 3.0])
    assert spec.mask.tolist() == hidden


def test_a_file_may_have_come_from_a_place_that_is_not_here() -> None:
    assert spectrum(fits_path="~nobody-here/x.fits").fits_path == "~nobody-here/x.fits"
