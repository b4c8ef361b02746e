"""Statements checked: photometry, resampling and lines of single spectra as documented."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from scipy.sparse import csr_array

from campfire.analysis.photometry import band_photometry, synthetic_photometry
from campfire.analysis.resampling import resample_spectrum
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.grids import pixel_edges
from campfire.models import SpectrumData
from campfire.typing import FloatArray

WAVE = np.linspace(0.6, 5.3, 400)


@dataclass
class UserBand:
    name: str
    wavelength: FloatArray
    throughput: FloatArray


def spectrum(**changes: Any) -> SpectrumData:
    fields: dict[str, Any] = {
        "wavelength": WAVE,
        "fnu": 1 + 0.1 * WAVE,
        "fnu_err": np.full(400, 0.1),
        "header": {},
        "grating": "PRISM",
        "spectrum_id": "demo",
    }
    return SpectrumData(**(fields | changes))


# ---- synthetic_photometry


def test_signature_and_plain_floats() -> None:
    parameters = inspect.signature(synthetic_photometry).parameters
    assert list(parameters) == ["wavelength", "fnu", "fnu_err", "band", "min_coverage"]
    assert parameters["min_coverage"].default == 0.95
    flux, err = synthetic_photometry(WAVE, np.ones(400), np.full(400, 0.1), "f444w")
    assert type(flux) is type(err) is float
    assert flux == pytest.approx(1.0, rel=1e-9)


def test_quantities_lists_and_data_arrays_are_taken() -> None:
    expected = synthetic_photometry(WAVE, 1 + WAVE, np.full(400, 0.1), "f200w")
    data = SpectrumData(WAVE, 1 + WAVE, np.full(400, 0.1), {}, "PRISM", "x").to_xarray()
    kinds: list[Any] = [
        (WAVE * 1e4 * u.AA, (1 + WAVE) * 1e-6 * u.Jy, np.full(400, 0.1) * u.uJy),
        (WAVE.tolist(), (1 + WAVE).tolist(), [0.1] * 400),
        (data["wavelength"], data["fnu"], data["fnu_err"]),
    ]
    for wave, flux, error in kinds:
        assert synthetic_photometry(wave, flux, error, "f200w") == pytest.approx(expected, rel=1e-9)


def test_wavelengths_and_curves_may_decrease() -> None:
    """Statement: pixels and nodes in falling order, such as those of a frequency axis, give the same."""
    fnu, err = 1 + WAVE**2, np.linspace(0.1, 0.2, 400)
    expected = synthetic_photometry(WAVE, fnu, err, "f200w")
    assert synthetic_photometry(WAVE[::-1], fnu[::-1], err[::-1], "f200w") == pytest.approx(
        expected, rel=1e-12
    )
    hertz = (WAVE * u.um).to(u.Hz, u.spectral())
    assert synthetic_photometry(hertz, fnu, err, "f200w") == pytest.approx(expected, rel=1e-12)
    rise, fall = UserBand("mine", WAVE[50:60], WAVE[:10]), UserBand("mine", WAVE[59:49:-1], WAVE[9::-1])
    measured = [synthetic_photometry(WAVE, fnu, err, band) for band in (rise, fall)]
    assert measured[0] == pytest.approx(measured[1], rel=1e-12)


def test_short_coverage_is_nan_with_a_warning() -> None:
    with pytest.warns(CampfireWarning, match="of band 'f606w' on good pixels; 95% needed"):
        result = synthetic_photometry(WAVE, np.ones(400), np.full(400, 0.1), "f606w")
    assert np.isnan(result).all()
    flux, _ = synthetic_photometry(WAVE, np.ones(400), np.full(400, 0.1), "f606w", min_coverage=0.3)
    assert flux == pytest.approx(1.0)
    bad = np.where((WAVE > 4.2) & (WAVE < 4.4), np.nan, 1.0)
    with pytest.warns(CampfireWarning):
        assert np.isnan(synthetic_photometry(WAVE, bad, np.full(400, 0.1), "f444w")[0])


@pytest.mark.parametrize("error", [None, np.zeros(400)])
def test_models_without_noise_have_no_error(error: FloatArray | None) -> None:
    assert synthetic_photometry(WAVE, np.ones(400), error, "f444w") == pytest.approx((1.0, 0.0), abs=1e-9)


def test_users_band() -> None:
    band = UserBand("mine", np.array([2.0, 3.0]), np.array([1.0, 1.0]))
    flux, _ = synthetic_photometry(WAVE, WAVE, np.full(400, 0.1), band)
    assert flux == pytest.approx(1 / np.log(1.5), rel=1e-4)  # integral of 1 over that of 1 / lambda


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((WAVE, np.ones(399), np.ones(400), "f444w"), "shape"),
        ((np.roll(WAVE, 1), np.ones(400), np.ones(400), "f444w"), "does not increase"),
        ((WAVE, np.ones(400), np.ones(400), "f999w"), "no curve"),
        ((WAVE, np.ones(400), np.ones(400), None), "not a band"),
    ],
)
def test_bad_photometry_input(arguments: Any, match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        synthetic_photometry(*arguments)


@pytest.mark.parametrize("coverage", [-0.1, 1.1, np.nan])
def test_bad_coverage(coverage: float) -> None:
    with pytest.raises(ValidationError, match="min_coverage"):
        synthetic_photometry(WAVE, np.ones(400), np.ones(400), "f444w", min_coverage=coverage)


def test_band_photometry_has_values_units_and_provenance() -> None:
    found = band_photometry(spectrum(), ["f200w", "f444w", "f606w"])
    assert found["flux"].dims == ("band",)
    assert found["flux"].attrs["units"] == "uJy"
    assert found["band"].values.tolist() == ["f200w", "f444w", "f606w"]
    assert "astro-sedpy" in str(found["source"].values[0])
    assert found["filter_id"].values[1] == "JWST/NIRCam.F444W"
    assert np.isnan(found["flux"].values[2])
    assert 0 < found["coverage"].values[2] < 0.95
    with pytest.raises(ValidationError, match="no bands"):
        band_photometry(spectrum(), [])


def test_covariance_of_a_resampled_spectrum_enters_its_bands() -> None:
    """A band flux has the same error before and after resampling, if the covariance is kept."""
    fine = np.linspace(1.0, 5.0, 900)
    before = band_photometry(spectrum(), "f277w")
    after = band_photometry(resample_spectrum(spectrum(), fine, covariance=True), "f277w")
    without = band_photometry(resample_spectrum(spectrum(), fine), "f277w")
    assert after["flux"].values == pytest.approx(before["flux"].values, rel=1e-4)
    assert after["flux_err"].values == pytest.approx(before["flux_err"].values, rel=0.02)
    assert np.all(without["flux_err"].values < 0.8 * before["flux_err"].values)


# ---- resample_spectrum


def test_resampling_keeps_identity_and_says_so() -> None:
    grid = np.linspace(1.0, 5.0, 100)
    original = spectrum(header={"PROGRAM": "1", "HISTORY": ["made"]}, redshift=2.0)
    result = resample_spectrum(original, grid)
    assert (result.grating, result.spectrum_id, result.redshift) == ("PRISM", "demo", 2.0)
    assert result.header["PROGRAM"] == "1"
    assert result.header["HISTORY"] == ["made", "resampled from 400 to 100 pixels, conserving flux"]
    assert original.header["HISTORY"] == ["made"]
    assert result.covariance is None
    np.testing.assert_array_equal(result.wavelength, grid)


def test_resampling_takes_any_monotonic_grid() -> None:
    """Statement: spectrum and grid may decrease; nothing but the order differs."""
    up = spectrum(mask=np.arange(400) % 50 == 7)
    arrays = {name: getattr(up, name)[::-1] for name in ("wavelength", "fnu", "fnu_err", "mask")}
    down, grid = spectrum(**arrays), np.geomspace(0.7, 5.2, 150)
    expected = resample_spectrum(up, grid, covariance=True)
    assert isinstance(expected.covariance, csr_array)
    for data, centres in ((down, grid), (up, grid[::-1]), (down, grid[::-1])):
        result = resample_spectrum(data, centres, covariance=True)
        for name in ("wavelength", "fnu", "fnu_err", "mask"):
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
        assert isinstance(result.covariance, csr_array)
        assert abs(result.covariance - expected.covariance).max() == 0
    turned = spectrum(
        **{name: getattr(expected, name)[::-1] for name in ("wavelength", "fnu", "fnu_err", "mask")},
        covariance=expected.covariance[::-1, ::-1],
    )
    bands = [band_photometry(data, ["f200w", "f444w"]) for data in (expected, turned)]
    np.testing.assert_allclose(bands[0]["flux_err"], bands[1]["flux_err"], rtol=1e-12)


def test_resampling_a_spectrum_with_a_covariance_propagates_it() -> None:
    """Twice resampled with covariance = the matrices applied one after the other."""
    first = resample_spectrum(spectrum(), np.linspace(1, 5, 500), covariance=True)
    second = resample_spectrum(first, np.linspace(1.2, 4.8, 90))
    assert second.covariance is not None
    direct = resample_spectrum(spectrum(), np.linspace(1.2, 4.8, 90))
    np.testing.assert_allclose(second.fnu_err, direct.fnu_err, rtol=0.15)
    np.testing.assert_allclose(np.sqrt(second.covariance.diagonal()), second.fnu_err)


def test_covariance_of_masked_pixels_does_not_leak() -> None:
    first = resample_spectrum(spectrum(), np.linspace(1, 5, 500), covariance=True)
    grid = np.linspace(1.2, 4.8, 90)
    mask = np.zeros(500, dtype=bool)
    mask[100:103] = True
    results = []
    for poison in (0.0, np.nan, 1e300):
        matrix = first.covariance.toarray() if first.covariance is not None else np.empty(0)
        matrix[mask] = poison
        matrix[:, mask] = poison
        spoilt = SpectrumData(
            first.wavelength, first.fnu, first.fnu_err, {}, "PRISM", "x", mask=mask, covariance=matrix
        )
        results.append((resample_spectrum(spoilt, grid), band_photometry(spoilt, "f200w")))
    for resampled, bands in results[1:]:
        np.testing.assert_array_equal(resampled.fnu_err, results[0][0].fnu_err)
        np.testing.assert_array_equal(bands["flux_err"], results[0][1]["flux_err"])


@pytest.mark.parametrize(
    "grid", [[2.0, 1.0, 3.0], [1.0, 1.0, 2.0], [1.0], "common", [[1.0, 2.0]], [1.0, np.nan]]
)
def test_bad_grids(grid: Any) -> None:
    with pytest.raises(ValidationError, match="grid"):
        resample_spectrum(spectrum(), grid)


def test_real_spectra_keep_their_flux(real_spectra: Path) -> None:
    """Files of other groups: the integral over the covered range is kept to 1e-10, masks are respected."""
    for path in sorted(real_spectra.glob("*prism*")):
        data = SpectrumData.from_fits(path)
        fill = np.where(data.mask, 0.0, data.fnu)
        clean = SpectrumData(data.wavelength, fill, np.ones(len(data)), {}, "PRISM", "x")
        edges = pixel_edges(data.wavelength)
        grid = np.linspace(edges[0] - 0.05, edges[-1] + 0.05, 2000)
        result = resample_spectrum(clean, grid)
        width = np.diff(pixel_edges(grid))
        coverage = np.clip(
            np.minimum(pixel_edges(grid)[1:], edges[-1]) - np.maximum(pixel_edges(grid)[:-1], edges[0]),
            0,
            None,
        )
        kept = ~result.mask & (coverage > 0.999 * width)
        inside = (pixel_edges(grid)[:-1][kept].min(), pixel_edges(grid)[1:][kept].max())
        part = np.clip(np.minimum(edges[1:], inside[1]) - np.maximum(edges[:-1], inside[0]), 0, None)
        assert (result.fnu * width)[kept].sum() == pytest.approx((fill * part).sum(), rel=1e-10)
        masked = resample_spectrum(data, data.wavelength)
        np.testing.assert_array_equal(masked.mask, data.mask)
