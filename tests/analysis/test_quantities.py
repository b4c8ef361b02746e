"""Statement checked: Quantities are accepted at every public boundary and converted once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import xarray as xr

import campfire
from campfire.analysis.lines import measure_lines
from campfire.errors import ValidationError
from campfire.kernels.bandpass import Bandpass
from campfire.models import Photometry, SpectrumData
from campfire.schema import attrs_of

WAVE = np.linspace(1.0, 5.0, 400)
FNU = 1 + 0.2 * np.sin(3 * WAVE)
GRID = np.linspace(1.2, 4.8, 60)
CURVE = np.linspace(1.8, 2.2, 20), np.ones(20)
FLAM = u.Unit("erg / (s cm2 AA)")


def spectrum() -> SpectrumData:
    return SpectrumData(WAVE, FNU, np.full(400, 0.1), {}, "PRISM", "demo_1", redshift=1.0)


def angstrom(value: Any) -> Any:
    return (np.asarray(value) * u.um).to(u.AA)


def collection() -> xr.Dataset:
    rows = np.tile(WAVE, (2, 1))
    data = {"fnu": rows * 0 + FNU, "fnu_err": rows * 0 + 0.1, "dq": np.zeros(rows.shape, np.uint8)}
    coords = {"wavelength": (("spectrum", "pixel"), rows), "spectrum_id": ("spectrum", ["a", "b"])}
    return xr.Dataset({k: (("spectrum", "pixel"), v, attrs_of(k)) for k, v in data.items()}, coords)


class Curve:
    name = "mine"

    def __init__(self, wavelength: Any) -> None:
        self.wavelength = wavelength
        self.throughput = CURVE[1]


def in_flam(fnu: Any) -> Any:
    return (np.asarray(fnu) * u.uJy).to(FLAM, u.spectral_density(WAVE * u.um))


def photometry(flux_unit: Any, wave_unit: Any) -> Photometry:
    flux = u.Quantity([1.1, 1.0, 1.2], u.uJy).to(flux_unit)
    return Photometry(
        ["f150w", "f277w", "f356w"], flux, flux * 0.2, u.Quantity([1.5, 2.77, 3.56], u.um).to(wave_unit)
    )


S = spectrum()
CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "resample_spectrum": (
        lambda: campfire.resample_spectrum(S, GRID).fnu,
        lambda: campfire.resample_spectrum(S, angstrom(GRID)).fnu,
    ),
    "resample in frequency": (
        lambda: S.to_xarray().campfire.resample(GRID).fnu,
        lambda: S.to_xarray().campfire.resample((GRID * u.um).to(u.THz, u.spectral())).fnu,
    ),
    "resample collection": (
        lambda: collection().campfire.resample(GRID).fnu,
        lambda: collection().campfire.resample(angstrom(GRID)).fnu,
    ),
    "synthetic_photometry": (
        lambda: campfire.synthetic_photometry(WAVE, FNU, FNU / 10, Bandpass("mine", *CURVE)),
        lambda: campfire.synthetic_photometry(
            angstrom(WAVE), in_flam(FNU), in_flam(FNU / 10), Curve(angstrom(CURVE[0]))
        ),
    ),
    "calibrate_to_photometry": (
        lambda: campfire.calibrate_to_photometry(S, photometry(u.uJy, u.um)).multiplier,
        lambda: campfire.calibrate_to_photometry(S, photometry(u.Jy, u.AA)).multiplier,
    ),
    "stack_spectra": (
        lambda: campfire.stack_spectra([S], wavelength_grid=GRID, normalize=(2, 3)).fnu,
        lambda: (
            campfire.stack_spectra(
                [S], wavelength_grid=angstrom(GRID), normalize=(20000 * u.AA, 3 * u.um)
            ).fnu
        ),
    ),
    "stack collection": (
        lambda: collection().campfire.stack(grid=GRID, normalize=(2, 3)).fnu,
        lambda: collection().campfire.stack(grid=angstrom(GRID), normalize=angstrom([2, 3])).fnu,
    ),
    "measure_lines": (
        lambda: measure_lines(S, [1.2, 1.5]).flux,
        lambda: measure_lines(S, angstrom([1.2, 1.5])).flux,
    ),
    "get_emission_lines": (
        lambda: [line["observed_wave"] for line in campfire.get_emission_lines(2.0, 1.0, 3.0)],
        lambda: [
            line["observed_wave"] for line in campfire.get_emission_lines(2.0, 10000 * u.AA, 3000 * u.nm)
        ],
    ),
    "convert_flux_units": (
        lambda: campfire.convert_flux_units(FNU, WAVE),
        lambda: campfire.convert_flux_units((FNU * u.uJy).to(u.mJy), angstrom(WAVE)),
    ),
    "convert_flux_units from f_lambda": (
        lambda: FNU,
        lambda: campfire.convert_flux_units(in_flam(FNU), angstrom(WAVE), to_unit="fnu"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_and_quantities_give_the_same(name: str) -> None:
    plain, quantities = (np.asarray(function()) for function in CASES[name])
    np.testing.assert_allclose(quantities, plain, rtol=1e-9)
    assert plain.size


@pytest.mark.parametrize(
    "call",
    [
        lambda: campfire.resample_spectrum(S, GRID * u.s),
        lambda: campfire.stack_spectra([S, S], normalize=(1 * u.s, 2 * u.s)),
        lambda: campfire.convert_flux_units(1 * u.m, 1.0),
        lambda: campfire.convert_flux_units(1.0, 1.0 * u.s),
        lambda: campfire.get_emission_lines(2.0, 1 * u.s),
        lambda: campfire.synthetic_photometry(WAVE, FNU, FNU, Curve(CURVE[0] * u.s)),
        lambda: SpectrumData(["a"], [1.0], [1.0], {}, "PRISM", "a"),
        lambda: SpectrumData([1.0 * u.um, 2.0 * u.um], [1.0, 2.0], [1.0, 1.0], {}, "PRISM", "a"),
    ],
)
def test_wrong_units_and_what_is_no_number_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        call()
    assert caught.value.hint
