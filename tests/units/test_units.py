"""The one conversion between f_nu and f_lambda, and Quantities at the door."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from campfire.errors import ValidationError
from campfire.units import (
    FLAM_UNIT,
    FNU_UNIT,
    SPEED_OF_LIGHT,
    WAVE_UNIT,
    convert_flux_units,
    flam_to_fnu,
    fnu_to_flam,
    to_flam,
    to_microjansky,
    to_micron,
)

fluxes = arrays(np.float64, 7, elements=st.floats(-1e6, 1e6).map(lambda x: round(x, 6)))
waves = arrays(np.float64, 7, elements=st.floats(0.1, 30))


@given(fluxes, waves)
def test_conversion_agrees_with_astropy(fnu: np.ndarray, wave: np.ndarray) -> None:
    """The factor uses the exact speed of light: astropy's own conversion is the reference."""
    expected = (fnu * u.uJy).to_value(u.Unit(FLAM_UNIT), u.spectral_density(wave * u.um))
    np.testing.assert_allclose(fnu_to_flam(fnu, wave), expected, rtol=1e-12)


@given(fluxes, waves)
def test_there_and_back(fnu: np.ndarray, wave: np.ndarray) -> None:
    np.testing.assert_allclose(flam_to_fnu(fnu_to_flam(fnu, wave), wave), fnu, rtol=1e-14)


def test_dtype_is_that_of_the_flux() -> None:
    assert fnu_to_flam(np.ones(2, np.float32), np.ones(2)).dtype == np.float32
    assert fnu_to_flam(np.ones(2, ">f8"), np.ones(2)).dtype == np.float64
    assert fnu_to_flam(np.ones(2, int), np.ones(2)).dtype == np.float64


def test_speed_of_light_is_the_defined_one() -> None:
    assert SPEED_OF_LIGHT == 299792458.0


def test_documented_helper() -> None:
    fnu, wave = np.array([1.0, 2.0]), np.array([1.0, 2.0])
    assert np.array_equal(convert_flux_units(fnu, wave, to_unit="flambda"), fnu_to_flam(fnu, wave))
    assert np.array_equal(convert_flux_units(fnu, wave, to_unit="fnu"), fnu)
    with pytest.raises(ValidationError, match="flambda"):
        convert_flux_units(fnu, wave, to_unit="maggies")  # type: ignore[arg-type]


@given(waves)
def test_wavelength_in_any_spectral_unit(wave: np.ndarray) -> None:
    quantity = wave * u.um
    for unit in (u.AA, u.nm, u.m, u.Hz, u.GHz, u.eV, u.cm**-1):
        converted = quantity.to(unit, u.spectral())
        np.testing.assert_allclose(to_micron(converted), wave, rtol=1e-12)
    assert to_micron(wave) is not None
    assert np.array_equal(to_micron(wave), wave)


@given(fluxes, waves)
def test_flux_in_any_density_unit(fnu: np.ndarray, wave: np.ndarray) -> None:
    quantity = fnu * u.uJy
    density = u.spectral_density(wave * u.um)
    for unit in (u.Jy, u.nJy, u.erg / u.s / u.cm**2 / u.Hz, u.Unit(FLAM_UNIT), u.W / u.m**2 / u.um):
        there = quantity.to(unit, density)
        np.testing.assert_allclose(to_microjansky(there, wave), fnu, rtol=1e-12)
        np.testing.assert_allclose(to_flam(there, wave * u.um), fnu_to_flam(fnu, wave), rtol=1e-12)


@pytest.mark.parametrize("unit", [u.s, u.kg, u.ct / u.s])
def test_other_units_are_refused_by_name(unit: u.Unit) -> None:
    for convert in (to_micron, to_microjansky, to_flam):
        with pytest.raises(ValidationError, match=str(unit).replace("/", ".")):
            convert(np.ones(2) * unit)


def test_unit_texts_parse_in_astropy() -> None:
    for text in (WAVE_UNIT, FNU_UNIT, FLAM_UNIT):
        assert u.Unit(text)
    assert u.Unit(FLAM_UNIT) == u.erg / u.s / u.cm**2 / u.AA


@pytest.mark.parametrize("value", ["text", ["a", "b"], [[1.0], [1.0, 2.0]]])
def test_what_is_no_number_is_a_validation_error(value: object) -> None:
    for convert in (to_micron, to_microjansky):
        with pytest.raises(ValidationError, match="not numbers"):
            convert(value)
