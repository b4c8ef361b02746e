"""Composites: even steps in ln(wavelength), errors from the spread of objects, modes whatever the chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire import SpectrumData, ValidationError, schema, stack_spectra
from campfire.kernels.covariance import decompose

WAVE = np.linspace(1.0, 5.0, 300)
LOG = ("log", 0.35, 0.95, 800.0)


def sample(objects: int = 8, each: int = 3, seed: int = 0, spread: float = 0.3) -> xr.Dataset:
    """Return spectra of objects that differ in level, each observed several times with little noise."""
    rng = np.random.default_rng(seed)
    n = objects * each
    level = np.repeat(1 + spread * rng.standard_normal(objects), each)
    redshift = np.repeat(rng.uniform(3.0, 4.0, objects), each)
    error = np.full((n, WAVE.size), 0.05)
    flux = level[:, None] + rng.normal(0, error)
    names = [f"J{k // each}" for k in range(n)]
    return xr.Dataset(
        {
            "fnu": (schema.NATIVE, flux, schema.attrs_of("fnu")),
            "fnu_err": (schema.NATIVE, error, schema.attrs_of("fnu_err")),
            "dq": (schema.NATIVE, np.zeros(flux.shape, np.uint8), schema.attrs_of("dq")),
        },
        {
            "wavelength": (schema.NATIVE, np.tile(WAVE, (n, 1)), schema.attrs_of("wavelength")),
            "spectrum_id": ("spectrum", [f"s{k}" for k in range(n)]),
            "object_id": ("spectrum", names),
            "grating": ("spectrum", ["PRISM"] * n),
            "redshift": ("spectrum", redshift),
        },
        {"campfire_schema": schema.SCHEMA_VERSION},
    )


def test_a_logarithmic_grid_has_even_steps_and_keeps_the_flux() -> None:
    line = np.exp(-0.5 * np.square((WAVE - 2.5) / 0.05))
    spectrum = SpectrumData(WAVE, line, np.full(300, 0.1), {}, "PRISM", "a", redshift=3.0)
    stacked = stack_spectra([spectrum], wavelength_grid=LOG, redshift=3.0)
    np.testing.assert_allclose(np.diff(np.log(stacked.wavelength)), 1 / 800)
    assert stacked.wavelength[0] == 0.35
    assert stacked.wavelength[-1] <= 0.95
    # f_nu and wavelengths are divided by 1 + z
    total = np.nansum(stacked.fnu * np.gradient(stacked.wavelength))
    assert total == pytest.approx(0.05 * np.sqrt(2 * np.pi) / 16, rel=1e-3)


def test_a_logarithmic_grid_is_taken_wherever_grids_are() -> None:
    import astropy.units as u

    ds = sample(3, 1)
    observed = ("log", 12_000 * u.AA, 4.5, 500)
    expected = 1.2 * np.exp(np.arange(int(np.log(4.5 / 1.2) * 500) + 1) / 500)
    for result in (
        ds.campfire.resample(observed),
        ds.campfire.stack(grid=observed),
        ds.campfire.stack(grid=observed, by="object_id"),
        ds.isel(spectrum=0).drop_vars("object_id").campfire.resample(observed),
    ):
        np.testing.assert_allclose(result.wavelength.values, expected)


@pytest.mark.parametrize("options", [{"rng": 1}, {"jackknife": True}])
def test_errors_are_those_of_the_objects_not_of_their_spectra(options: dict[str, Any]) -> None:
    """Three spectra of each of 40 objects do not make 120 objects."""
    found = []
    for seed in range(3):
        ds = sample(40, 3, seed)
        stack = ds.campfire.stack("mean", grid=np.linspace(1.5, 4.5, 8), **options)
        found.append(float(stack.fnu_err.mean()))
    assert np.mean(found) == pytest.approx(0.3 / np.sqrt(40), rel=0.15)
    alone = sample(40, 3).drop_vars("object_id")
    small = float(alone.campfire.stack("mean", grid=np.linspace(1.5, 4.5, 8), **options).fnu_err.mean())
    assert small == pytest.approx(0.3 / np.sqrt(120), rel=0.3)


def test_the_jackknife_of_a_mean_of_objects_is_the_standard_error_of_their_means() -> None:
    ds = sample(6, 2)
    grid = np.linspace(1.5, 4.5, 5)
    stack = ds.campfire.stack("mean", grid=grid, jackknife=True)
    rows = ds.campfire.resample(grid).fnu.values.reshape(6, 2, 5).mean(axis=1)
    np.testing.assert_allclose(stack.fnu_err, rows.std(axis=0, ddof=1) / np.sqrt(6), rtol=1e-10)


@pytest.mark.parametrize("options", [{"rng": 1}, {"jackknife": True}, {"jackknife": True, "sigma_clip": 2.5}])
def test_any_chunks_give_the_same_errors(options: dict[str, Any]) -> None:
    ds = sample(8, 2)
    given: dict[str, Any] = {"grid": LOG, "redshift": "redshift", "normalize": (0.5, 0.6)} | options
    expected = ds.campfire.stack(**given)
    for chunks in ({"spectrum": 3, "pixel": -1}, {"spectrum": 16, "pixel": 100}):
        found = ds.chunk(chunks).campfire.stack(**given)
        assert found.fnu.chunks is not None
        for name in ("fnu", "fnu_err", "fnu_modes"):
            np.testing.assert_allclose(found[name].values, expected[name].values, rtol=1e-9, atol=1e-12)


def test_modes_come_by_size_and_have_one_sign() -> None:
    rng = np.random.default_rng(3)
    for n in (12, 80):
        vectors = np.linalg.qr(rng.normal(size=(n, 3)))[0]
        matrix = (vectors * [9.0, -4.0, 1.0]) @ vectors.T
        expected, signs = decompose(matrix, 3)
        assert signs.tolist() == [1.0, -1.0, 1.0]
        assert np.all(np.diff(np.square(expected).sum(axis=0)) < 0)
        other = decompose(matrix + 1e-13 * rng.normal(size=(n, n)), 3)[0]
        np.testing.assert_allclose(other, expected, atol=1e-6)
        first = np.argmax(np.abs(expected) >= 0.5 * np.abs(expected).max(axis=0), axis=0)
        assert np.all(expected[first, range(3)] > 0)


def test_numbers_without_bins_are_asked_for_bins() -> None:
    ds = sample(20, 1)
    with pytest.raises(ValidationError, match="bins="):
        ds.campfire.stack(grid=LOG, redshift="redshift", by="redshift")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jackknife": True, "rng": 1}, "one of both"),
        ({"jackknife": True, "method": "median"}, "no jackknife"),
        ({"jackknife": 3}, "jackknife"),
        ({"grid": ("log", 2.0, 1.0, 100)}, "pixels"),
        ({"grid": ("log", 1.0, 2.0, "x")}, "R of grid"),
    ],
)
def test_what_makes_no_sense_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        sample(3, 1).campfire.stack(**({"grid": LOG} | options))
