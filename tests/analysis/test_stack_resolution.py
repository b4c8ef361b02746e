"""Statements: inputs of a stack are matched in its frame, to those that have data; stacks know their
resolving power, wherever they go, and lines measured on them are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.special import ndtr

from campfire.analysis.lines import measure_lines
from campfire.analysis.resampling import resample_spectrum
from campfire.analysis.stack_collections import stack_collection
from campfire.analysis.stacking import calibrate_and_stack, stack_spectra
from campfire.errors import ValidationError
from campfire.kernels.grids import pixel_edges
from campfire.kernels.lsf import FWHM_PER_SIGMA, resolving_power
from campfire.models import SpectrumData
from campfire.schema import NATIVE
from campfire.typing import FloatArray

FINE = np.linspace(0.6, 5.3, 2000)


def with_line(
    grating: str, at: float, z: float, wave: FloatArray = FINE, *, error: float = 0.01, name: str = ""
) -> SpectrumData:
    """A continuum of 1 and an unresolved line at a rest wavelength, both times 1 + z; no noise."""
    centre = at * (1 + z)
    sigma = centre / resolving_power(grating, np.array([centre]))[0] / FWHM_PER_SIGMA
    edges = pixel_edges(wave)
    line = 1e-2 * (1 + z) * np.diff(ndtr((edges - centre) / sigma)) / np.diff(edges)
    fnu = (1 + line) * (1 + z)
    return SpectrumData(wave, fnu, np.full(len(wave), error), {}, grating, name or f"z{z:g}")


def measured_power(wave: FloatArray, flux: FloatArray, at: float) -> float:
    """R from the second moment of a line."""
    near = abs(wave - at) < 0.1 * at
    x, y = wave[near], np.clip(flux[near] - np.median(flux), 0, None)
    mean = (x * y).sum() / y.sum()
    return float(at / np.sqrt(((x - mean) ** 2 * y).sum() / y.sum()) / FWHM_PER_SIGMA)


def collection(spectra: list[SpectrumData], redshift: Any = np.nan) -> xr.Dataset:
    width = max(map(len, spectra))

    def padded(name: str, fill: Any) -> Any:
        return np.stack(
            [np.pad(getattr(s, name), (0, width - len(s)), constant_values=fill) for s in spectra]
        )

    return xr.Dataset(
        {
            "fnu": (NATIVE, padded("fnu", np.nan), {"units": "uJy"}),
            "fnu_err": (NATIVE, padded("fnu_err", np.nan)),
            "dq": (NATIVE, np.where(padded("mask", True), 8, 0).astype(np.uint8)),
        },
        {
            "wavelength": (NATIVE, padded("wavelength", np.nan)),
            "spectrum_id": ("spectrum", [s.spectrum_id for s in spectra]),
            "grating": ("spectrum", [s.grating for s in spectra]),
            "redshift": ("spectrum", np.broadcast_to(redshift, len(spectra))),
        },
    )


def all_ways(spectra: list[SpectrumData], grid: FloatArray, **options: Any) -> list[xr.Dataset]:
    """The stack of single spectra, of a collection in memory, and of a lazy one."""
    single = stack_spectra(spectra, wavelength_grid=grid, **options)
    ds = collection(spectra)
    assert stack_collection(ds.chunk({"spectrum": 1}), grid=grid, **options).fnu.chunks is not None
    many = [stack_collection(d, grid=grid, **options) for d in (ds, ds.chunk({"spectrum": 1}))]
    return [single.to_xarray(), *(entry.compute() for entry in many)]


def test_redshifted_spectra_are_matched_in_the_frame_of_the_stack() -> None:
    """PRISM at z = 1 and 5: R = 39.6 and 268 at 0.8 um rest become 39.6 both."""
    spectra = [with_line("PRISM", 0.8, z) for z in (1.0, 5.0)]
    grid = np.linspace(0.5, 0.88, 400)
    lowest = resolving_power("PRISM", np.array([1.6]))[0]
    options: dict[str, Any] = {"redshift": [1.0, 5.0], "match_resolution": True}
    result = calibrate_and_stack(spectra, wavelength_grid=grid, **options)
    for wave, flux, _ in result.frame_inputs:
        assert measured_power(wave, flux, 0.8) == pytest.approx(lowest, rel=0.02)
    lower = slice(100, None)  # the lowest there, and left as it was
    np.testing.assert_allclose(result.frame_inputs[0][1][lower], spectra[0].fnu[lower] / 2, rtol=1e-12)
    for ds in all_ways(spectra, grid, **options):
        np.testing.assert_allclose(ds.fnu, result.spectrum.fnu, rtol=1e-10)
        at_line = ds.resolving_power.sel(wavelength=0.8, method="nearest").item()
        assert at_line == pytest.approx(lowest, rel=0.01)


def test_only_spectra_with_good_pixels_at_a_wavelength_count() -> None:
    """Other gratings do not reach where they have no data: G140M keeps its R at 1.3 um beside G395M."""
    blue = with_line("G140M", 1.3, 0.0, np.linspace(0.8, 1.9, 1500), name="blue")
    wave = np.linspace(1.2, 5.2, 2000)
    red = SpectrumData(wave, np.ones(2000), np.full(2000, 0.01), {}, "G395M", "red", mask=wave < 2.9)
    grid = np.linspace(0.85, 5.1, 3000)
    options: dict[str, Any] = {"match_resolution": True}
    _, flux, _ = calibrate_and_stack([blue, red], wavelength_grid=grid, **options).frame_inputs[0]
    np.testing.assert_array_equal(flux, blue.fnu)
    for ds in all_ways([blue, red], grid, **options):
        power = ds.resolving_power
        for low, high, grating in ((0.9, 1.8, "G140M"), (3.0, 5.0, "G395M")):
            part = power.sel(wavelength=slice(low, high))
            np.testing.assert_allclose(part, resolving_power(grating, part.wavelength.values), rtol=1e-6)
        assert np.isnan(power.sel(wavelength=slice(2.0, 2.8))).all()  # nothing measures there


@pytest.mark.parametrize("method", ["weighted_mean", "mean"])
def test_the_resolving_power_of_a_sum_is_that_of_its_lines(method: str) -> None:
    """1 / R^2 is the weighted mean of those of the inputs; the second moment of a line agrees."""
    grid = np.linspace(0.55, 0.86, 1500)
    spectra = [
        with_line("PRISM", 0.8, 1.0, error=0.02),
        with_line("PRISM", 0.8, 4.0, error=0.05),
        with_line("G395M", 0.8, 5.0, np.linspace(2.9, 5.25, 3000), error=0.06),
    ]
    shifts = np.array([1.0, 4.0, 5.0])
    ways = all_ways(spectra, grid, method=method, redshift=shifts)
    found = [ds.resolving_power.sel(wavelength=0.8, method="nearest").item() for ds in ways]
    if method == "mean":
        own = zip(spectra, shifts, strict=True)
        power = [resolving_power(s.grating, np.array([0.8 * (1 + z)])).item() for s, z in own]
        assert found[0] == pytest.approx(np.mean(np.power(power, -2)) ** -0.5, rel=0.01)
    assert found[1:] == pytest.approx(found[:1] * 2, rel=1e-12)
    assert measured_power(grid, ways[0].fnu.values, 0.8) == pytest.approx(found[0], rel=0.03)


def test_one_disperser_keeps_its_resolving_power_in_either_frame() -> None:
    spectra = [with_line("PRISM", 0.8, 3.0, name=name) for name in "ab"]
    for stack, z in ((stack_spectra(spectra), 0.0), (stack_spectra(spectra, redshift=3.0), 3.0)):
        assert stack.resolving_power is not None
        np.testing.assert_allclose(
            stack.resolving_power, resolving_power("PRISM", stack.wavelength * (1 + z)), rtol=1e-12
        )
    unknown = SpectrumData(FINE, FINE, FINE, {}, "MIRI", "m")
    assert stack_spectra([unknown]).resolving_power is None
    assert stack_spectra([unknown, spectra[0]], wavelength_grid=FINE).resolving_power is None
    with pytest.raises(ValidationError, match="no resolving power for grating 'MIRI'"):
        stack_spectra([unknown], match_resolution=True)


def test_the_resolving_power_goes_with_the_stack(tmp_path: Path) -> None:
    """Into a Dataset, a file, another grid and another stack; it can be matched to others again."""
    spectra = [with_line("PRISM", 0.8, z) for z in (1.0, 5.0)]
    grid = np.linspace(0.5, 0.88, 200)
    stack = stack_spectra(spectra, wavelength_grid=grid, redshift=[1.0, 5.0])
    power = stack.resolving_power
    assert power is not None
    ds = stack.to_xarray()
    np.testing.assert_array_equal(ds.resolving_power.values, power)
    assert SpectrumData.from_xarray(ds) == stack
    stack.write(tmp_path / "stack_spec.fits")
    back = SpectrumData.from_fits(tmp_path / "stack_spec.fits")
    assert back.resolving_power is not None
    np.testing.assert_array_equal(back.resolving_power, power)
    opened = xr.open_dataset(tmp_path / "stack_spec.fits", engine="campfire")
    np.testing.assert_array_equal(opened.resolving_power.values, power)
    binned = resample_spectrum(stack, grid[1:-1:3]).resolving_power
    assert binned is not None
    np.testing.assert_allclose(binned, power[1:-1:3], rtol=1e-12)
    again = stack_spectra([stack])
    assert again.resolving_power is not None
    np.testing.assert_allclose(again.resolving_power, power, rtol=1e-12)
    sharp = with_line("PRISM", 0.8, 5.0, np.linspace(2.4, 5.3, 900))
    sharp = stack_spectra([sharp], wavelength_grid=grid, redshift=5.0)
    both = calibrate_and_stack([stack, sharp], wavelength_grid=grid, match_resolution=True).frame_inputs
    np.testing.assert_array_equal(both[0][1], stack.fnu)
    assert both[1][1].max() - 1 < 0.7 * (sharp.fnu.max() - 1)


@pytest.mark.parametrize("match", [False, True])
def test_lines_of_a_composite_have_their_flux(match: bool) -> None:
    """Prism and grating at several redshifts: the line in the composite is that put in, to 2 %."""
    shifts = [3.9, 4.3, 5.0]
    spectra = [with_line("PRISM", 0.8, z) for z in shifts[:2]]
    spectra.append(with_line("G395M", 0.8, 5.0, np.linspace(2.9, 5.25, 2000)))
    grid = np.linspace(0.6, 0.86, 500)
    found = [
        measure_lines(ds, [0.8], redshift=0.0)
        for ds in all_ways(spectra, grid, redshift=shifts, match_resolution=match)
    ]
    assert found[0]["flux"].item() == pytest.approx(found[2]["flux"].item(), rel=1e-9)
    lines = [s.fnu / (1 + z) - 1 for s, z in zip(spectra, shifts, strict=True)]
    put_in = [
        (line * np.gradient(s.wavelength)).sum() / (1 + z)
        for line, s, z in zip(lines, spectra, shifts, strict=True)
    ]
    assert found[0]["flux"].item() / found[0]["continuum"].item() == pytest.approx(
        1e4 * np.mean(put_in), rel=0.02
    )
