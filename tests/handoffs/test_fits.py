"""Statements: a fit comes back beside the data, says what it is of, and stays with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import xarray as xr

from campfire import SpectrumData, handoffs
from campfire.errors import ValidationError
from campfire.handoffs import attach_fit
from campfire.plotting.static import ORANGE
from campfire.schema import check

WAVE = np.linspace(2.0, 4.0, 50)
FINE = np.linspace(1.9, 4.1, 200)
PARAMETERS = {"z": (3.1, 0.01), "mass": (9.5 * u.dex(u.Msun), 0.1, 0.2), "chi2": 48.0}


def _spectrum() -> xr.Dataset:
    data = SpectrumData(
        WAVE, 1 + WAVE, np.full(50, 0.1), {}, "PRISM", "a", mask=np.arange(50) == 7, redshift=3.0
    )
    return data.to_xarray()


FITS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "on the pixels": lambda ds: attach_fit(ds, 1 + WAVE, tool="t", parameters=PARAMETERS),
    "on its own": lambda ds: attach_fit(ds, 1 + FINE, FINE, tool="t", parameters=PARAMETERS),
    "without parameters": lambda ds: attach_fit(ds, 1 + WAVE, tool="t", tool_version="1.0"),
    "of inputs": lambda ds: attach_fit(ds, 1 + WAVE, inputs=handoffs.to_lime(ds), parameters=PARAMETERS),
    "replaced": lambda ds: FITS["on the pixels"](FITS["on its own"](ds)),
}


def _stored(ds: xr.Dataset, folder: Path, kind: str) -> xr.Dataset:
    if kind == "zarr":
        ds.to_zarr(folder / "fit.zarr", consolidated=False)
        zarr: xr.Dataset = xr.open_zarr(folder / "fit.zarr", consolidated=False).compute()
        return zarr
    engine: Any = kind
    ds.to_netcdf(folder / "fit.nc", engine=engine)
    return xr.load_dataset(folder / "fit.nc", engine=engine)


@pytest.mark.parametrize("kind", ["zarr", "h5netcdf", "netcdf4"])
@pytest.mark.parametrize("made", FITS)
def test_a_fit_is_in_the_schema_and_survives_files(made: str, kind: str, tmp_path: Path) -> None:
    fitted = FITS[made](_spectrum())
    assert check(fitted) == []
    stored = _stored(fitted, tmp_path, kind)
    assert check(stored) == []
    xr.testing.assert_identical(stored.drop_attrs(), fitted.drop_attrs())
    name = "fine_model" if "fine_model" in fitted else "model"
    assert {**stored[name].attrs} == fitted[name].attrs
    assert fitted[name].attrs["spectrum_id"] == "a"
    assert fitted[name].attrs["tool"] == ("lime" if made == "of inputs" else "t")
    assert fitted.attrs["history"].splitlines()[-1].startswith("model fitted with ")


@pytest.mark.parametrize("unit", ["uJy", "Jy", "erg s-1 cm-2 angstrom-1"])
@pytest.mark.parametrize("wavelength", [None, FINE, FINE * u.um, FINE * 1e4 * u.AA])
def test_any_unit_of_flux_and_wavelength_gives_the_same(unit: str, wavelength: Any) -> None:
    at = WAVE if wavelength is None else FINE
    model = ((1 + at) * u.uJy).to(u.Unit(unit), u.spectral_density(at * u.um))
    fitted = attach_fit(_spectrum(), model, wavelength, tool="t")
    found = fitted.model if wavelength is None else fitted.fine_model
    assert np.allclose(found, 1 + at)
    assert found.attrs["units"] == "uJy"


def test_parameters_have_errors_and_units() -> None:
    fitted = FITS["on the pixels"](_spectrum())
    mass = fitted.sel(parameter="mass")
    assert (mass.parameter_value, mass.parameter_err_lo, mass.parameter_err_hi) == (9.5, 0.1, 0.2)
    assert mass.parameter_unit == "dex(solMass)"
    z, chi2 = fitted.sel(parameter="z"), fitted.sel(parameter="chi2")
    assert z.parameter_err_lo == z.parameter_err_hi == 0.01
    assert np.isnan(chi2.parameter_err_lo)


@pytest.mark.parametrize("unit", ["fnu", "flam"])
@pytest.mark.parametrize("made", ["on the pixels", "on its own"])
def test_a_plot_shows_the_model_over_the_data(made: str, unit: str) -> None:
    ax = FITS[made](_spectrum()).campfire.plot(flux_unit=unit)
    (line,) = [line for line in ax.lines if line.get_color() == ORANGE]
    (data,) = [line for line in ax.lines if len(line.get_xdata()) == 50 and line is not line_of(ax)]
    x, y = (np.asarray(values, dtype=float) for values in line.get_data())
    on_pixels = np.interp(np.asarray(data.get_xdata(), dtype=float), x, y)
    shown = np.asarray(data.get_ydata(), dtype=float)
    assert np.allclose(on_pixels[np.isfinite(shown)], shown[np.isfinite(shown)], rtol=1e-3)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["model (t)"]


def line_of(ax: Any) -> Any:
    return next(line for line in ax.lines if line.get_color() == ORANGE)


@pytest.mark.parametrize("made", ["on the pixels", "on its own"])
def test_a_model_moves_with_its_spectrum(made: str) -> None:
    rest = FITS[made](_spectrum()).campfire.to_restframe(3.0)
    assert check(rest) == []
    axis, model = ("wavelength", rest.model) if "model" in rest else ("model_wavelength", rest.fine_model)
    assert np.allclose(model, (1 + 4 * rest[axis]) / 4)
    assert rest[axis].attrs["long_name"].startswith("rest-frame")


def test_a_spectrum_with_a_fit_still_is_the_spectrum() -> None:
    before = _spectrum()
    for made in FITS.values():
        assert made(before).campfire.to_spectrum() == before.campfire.to_spectrum()
        assert "model" not in before


WRONG: dict[str, tuple[Callable[[xr.Dataset], Any], str]] = {
    "no tool": (lambda ds: attach_fit(ds, 1 + WAVE), "nothing says"),
    "other length": (lambda ds: attach_fit(ds, 1 + FINE, tool="t"), "pass wavelength="),
    "no order": (lambda ds: attach_fit(ds, 1 + FINE, FINE[::-1], tool="t"), "does not increase"),
    "other pixels": (
        lambda ds: attach_fit(ds.assign(fnu=2 * ds.fnu), 1 + WAVE, inputs=handoffs.to_lime(ds)),
        "of other pixels",
    ),
    "unit of neither": (lambda ds: attach_fit(ds, (1 + WAVE) * u.K, tool="t"), "K"),
    "text": (lambda ds: attach_fit(ds, 1 + WAVE, tool="t", parameters={"z": "high"}), "parameter 'z'"),
    "four": (lambda ds: attach_fit(ds, 1 + WAVE, tool="t", parameters={"z": (1, 2, 3, 4)}), "parameter 'z'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said(wrong: str) -> None:
    made, message = WRONG[wrong]
    with pytest.raises(ValidationError, match=message):
        made(_spectrum())


def test_the_check_finds_what_is_wrong_with_a_fit() -> None:
    fitted = FITS["on its own"](_spectrum())
    fitted["fine_model"].attrs["units"] = "Jy"
    turned = fitted.assign(parameter_value=("wavelength", WAVE))
    assert {issue.path for issue in check(turned)} == {"fine_model", "parameter_value"}
