"""Statements checked: synthetic photometry is the exact AB integral, with coverage and right errors."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.bands import BANDS
from campfire.errors import ValidationError
from campfire.formats.bandpasses import load_bandpass, resolve_band
from campfire.kernels.bandpass import Bandpass, band_fluxes, band_weights
from campfire.kernels.grids import pixel_bounds
from campfire.typing import FloatArray

WITH_CURVE = [name for name in BANDS if name not in ("vis", "u")]
NEAR_INFRARED = [n for n in WITH_CURVE if 0.7 < BANDS[n].pivot < 5.0 and n not in ("Y", "J")]
WAVE = np.linspace(0.3, 10.0, 4000)

# Pivot wavelengths (um) as STScI publishes them: NIRCam filter table (throughputs of 2022 and later), and the
# instrument handbooks of ACS and WFC3.
PUBLISHED_PIVOTS = {
    "f435w": 0.433,
    "f606w": 0.5922,
    "f814w": 0.8057,
    "f098m": 0.9864,
    "f090w": 0.902,
    "f115w": 1.154,
    "f140m": 1.405,
    "f150w": 1.501,
    "f182m": 1.845,
    "f200w": 1.988,
    "f210m": 2.096,
    "f250m": 2.503,
    "f277w": 2.776,
    "f300m": 2.996,
    "f335m": 3.362,
    "f356w": 3.565,
    "f360m": 3.623,
    "f410m": 4.083,
    "f430m": 4.281,
    "f444w": 4.402,
    "f460m": 4.63,
    "f480m": 4.817,
}


@dataclass
class UserBand:
    """What a user may pass as a band."""

    name: str
    wavelength: FloatArray
    throughput: FloatArray


@pytest.mark.parametrize("name", WITH_CURVE)
def test_flat_spectrum_returns_itself(name: str) -> None:
    """A constant f_nu gives itself in every band, to 1e-9, on a coarse grid."""
    wave = np.linspace(0.25, 11.0, 400)
    result = band_fluxes(wave, np.full(400, 3.7), np.full(400, 0.1), [load_bandpass(name)])
    assert result.flux[0] == pytest.approx(3.7, rel=1e-9)
    assert result.coverage[0] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", ["f814w", "f115w", "f277w", "f444w", "f410m", "y"])
@pytest.mark.parametrize("slope", [-3.0, -1.0, 0.5, 2.0])
def test_power_laws_match_dense_integration(name: str, slope: float) -> None:
    """f_nu ~ lambda^slope agrees to 1e-4 with the integral of f T / lambda on a dense grid."""
    band = load_bandpass(name)
    dense = np.linspace(band.wavelength[0], band.wavelength[-1], 400_001)
    curve = np.interp(dense, band.wavelength, band.throughput)
    expected = np.trapezoid(dense**slope * curve / dense, dense) / np.trapezoid(curve / dense, dense)
    wave = np.linspace(band.wavelength[0] - 0.05, band.wavelength[-1] + 0.05, 400)
    result = band_fluxes(wave, wave**slope, np.full(400, 0.1), [band])
    assert result.flux[0] == pytest.approx(expected, rel=1e-4)


@given(
    nodes=st.lists(st.floats(1.0, 2.0), min_size=3, max_size=9, unique=True),
    pixels=st.lists(st.floats(0.9, 2.1), min_size=4, max_size=15, unique=True),
    seed=st.integers(0, 1000),
)
def test_weights_are_exact_on_the_union_of_edges(nodes: list[float], pixels: list[float], seed: int) -> None:
    """Piecewise-constant pixels against a piecewise-linear curve: equal to quadrature on every piece."""
    node, pixel = np.sort(nodes), np.sort(pixels)
    if np.diff(node).min() < 1e-3 or np.diff(pixel).min() < 1e-3:
        return
    band = Bandpass("b", node, np.random.default_rng(seed).uniform(0.1, 1, len(node)))
    bounds = pixel_bounds(pixel)
    weights = band_weights(pixel, [band])[0]
    union = np.unique(np.concatenate([node, *bounds]))
    union = union[(union >= node[0]) & (union <= node[-1])]
    x, w = np.polynomial.legendre.leggauss(12)
    expected = np.zeros(len(pixel))
    total = 0.0
    for low, high in pairwise(union):
        at = low + (high - low) * (x + 1) / 2
        part = float(np.sum(w * np.interp(at, node, band.throughput) / at) * (high - low) / 2)
        total += part
        expected[(bounds.low < (low + high) / 2) & ((low + high) / 2 < bounds.high)] += part
    np.testing.assert_allclose(weights, expected / total, atol=1e-11)


@pytest.mark.parametrize("name", sorted(PUBLISHED_PIVOTS))
def test_pivot_wavelengths_agree_with_published_ones(name: str) -> None:
    """To 0.2 %."""
    assert load_bandpass(name).pivot == pytest.approx(PUBLISHED_PIVOTS[name], rel=2e-3)


def test_agrees_with_sedpy_on_a_smooth_spectrum() -> None:
    """The same curve through another implementation gives the same magnitude, to its own accuracy (0.7 %)."""
    from sedpy.observate import getSED, load_filters

    wave = np.linspace(2.0, 5.5, 3000)
    fnu = wave**1.5  # microjansky
    flam = fnu * 2.99792458e-19 / wave**2
    magnitude = getSED(wave * 1e4, flam, load_filters(["jwst_f356w", "jwst_f444w"]))
    theirs = 10 ** (-0.4 * (magnitude - 23.9))
    ours = band_fluxes(wave, fnu, np.ones(3000), [load_bandpass("f356w"), load_bandpass("f444w")])
    np.testing.assert_allclose(ours.flux, theirs, rtol=7e-3)


@given(
    seed=st.integers(0, 2**16),
    poison=st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.0]),
    ragged=st.booleans(),
)
def test_masked_values_never_change_an_output(seed: int, poison: float, ragged: bool) -> None:
    rng = np.random.default_rng(seed)
    wave = np.sort(rng.uniform(3.5, 5.3, (2, 90)), axis=1) if ragged else np.linspace(3.5, 5.3, 90)
    flux, error = rng.normal(0, 1, (2, 90)), rng.uniform(0.1, 1, (2, 90))
    mask = rng.random((2, 90)) < 0.05
    bands = [load_bandpass("f444w"), load_bandpass("f410m")]
    before = band_fluxes(wave, flux, error, bands, mask=mask, min_coverage=0.5)
    flux[mask], error[mask] = poison, abs(poison)
    after = band_fluxes(wave, flux, error, bands, mask=mask, min_coverage=0.5)
    for left, right in zip(before, after, strict=True):
        np.testing.assert_array_equal(left, right)


def test_batches_equal_single_spectra() -> None:
    """Shared grids, distinct grids with padding, and single spectra give the same numbers."""
    rng = np.random.default_rng(0)
    bands = [load_bandpass(n) for n in ("f115w", "f277w", "f444w")]
    wave = np.full((5, 300), np.nan)
    flux, error = rng.normal(1, 0.3, (5, 300)), rng.uniform(0.1, 0.4, (5, 300))
    mask = rng.random((5, 300)) < 0.02
    for row in range(5):
        n = 300 - 20 * row
        wave[row, :n] = np.linspace(0.6 + 0.01 * row, 5.3, n)
        mask[row, n:] = True
    ragged = band_fluxes(wave, flux, error, bands, mask=mask, min_coverage=0.5)
    shared = band_fluxes(wave[0], flux, error, bands, mask=mask, min_coverage=0.1)
    for row in range(5):
        n = 300 - 20 * row
        alone = band_fluxes(
            wave[row, :n], flux[row, :n], error[row, :n], bands, mask=mask[row, :n], min_coverage=0.5
        )
        on_first = band_fluxes(wave[0], flux[row], error[row], bands, mask=mask[row], min_coverage=0.1)
        for left, right in zip([*ragged, *shared], [*alone, *on_first], strict=True):
            np.testing.assert_allclose(left[row], right, rtol=1e-11, atol=1e-13)


def test_grids_that_begin_below_zero_width() -> None:
    """Statement: a coarse grid, whose first edge is below 0, is measured like any other."""
    band = Bandpass("mine", np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0]))
    wave = np.array([0.5, 3.0, 6.0])
    for shape in (3, (1, 3)):
        ones = np.ones(shape)
        result = band_fluxes(np.broadcast_to(wave, shape), ones, ones, [band])
        assert np.ravel(result.flux) == pytest.approx([1.0], abs=1e-12)
        assert np.ravel(result.coverage) == pytest.approx([1.0], abs=1e-12)


def test_coverage_counts_throughput_on_good_pixels() -> None:
    band = Bandpass("box", np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    wave = np.arange(1.005, 2.0, 0.01)
    mask = wave < 1.3
    flux = np.where(mask, 99.0, 1.0)
    part = np.log(2 / 1.3) / np.log(2)
    short = band_fluxes(wave, flux, np.ones(100), [band], mask=mask)
    assert np.isnan(short.flux[0])
    assert short.coverage[0] == pytest.approx(part, rel=1e-9)
    enough = band_fluxes(wave, flux, np.ones(100), [band], mask=mask, min_coverage=part)
    assert enough.flux[0] == pytest.approx(1.0, rel=1e-12)  # the mean is over the covered part
    beyond = band_fluxes(np.linspace(3, 4, 50), np.ones(50), np.ones(50), [band], min_coverage=0.0)
    assert np.isnan(beyond.flux[0])
    assert beyond.coverage[0] == 0


@pytest.mark.parametrize("correlated", [False, True])
def test_band_errors_have_unit_pulls(correlated: bool) -> None:
    """Monte Carlo over 2000 spectra: pulls of unit width (5 %), with independent and correlated pixels."""
    from scipy.sparse import csr_array, diags_array

    rng = np.random.default_rng(11)
    wave, error = np.linspace(0.6, 5.3, 400), np.linspace(0.2, 0.6, 400)
    bands = [load_bandpass(n) for n in ("f115w", "f277w", "f444w")]
    smooth = diags_array([0.25, 0.5, 0.25], offsets=[-1, 0, 1], shape=(400, 400)).tocsr()
    noise = rng.normal(0, 1, (2000, 400)) * error
    covariance = None
    if correlated:
        noise = np.asarray(noise @ smooth.toarray().T)
        covariance = csr_array(smooth @ diags_array(error**2) @ smooth.T)
    sigma = np.full(400, 1.0) if correlated else error
    fluxes = band_fluxes(wave, noise, np.broadcast_to(sigma, noise.shape), bands).flux
    reported = band_fluxes(wave, noise[0], sigma, bands, covariance=covariance).error
    np.testing.assert_allclose(np.std(fluxes, axis=0) / reported, 1.0, atol=0.05)


def test_names_are_told_apart() -> None:
    """y (HSC) and Y (VISTA) differ; F444W is f444w; F140W is not F140M; MIRI is MIRI."""
    assert load_bandpass("y").filter_id == "Subaru/HSC.y"
    assert load_bandpass("Y").filter_id == "Paranal/VISTA.Y"
    assert load_bandpass("F444W") is load_bandpass("f444w")
    assert load_bandpass("f140w").filter_id == "HST/WFC3_IR.F140W"
    assert load_bandpass("f770w").filter_id == "JWST/MIRI.F770W"


@pytest.mark.parametrize("name", WITH_CURVE)
def test_provenance_names_library_version_and_filter(name: str) -> None:
    text = load_bandpass(name).provenance
    assert BANDS[name].filter_id in text
    assert "astro-sedpy 0." in text


@pytest.mark.parametrize("name", ["vis", "u"])
def test_bands_of_speclite_are_there_where_it_is_installed(name: str) -> None:
    if find_spec("speclite") is None:
        with pytest.raises(ValidationError, match="pip install speclite"):
            load_bandpass(name)
    else:
        assert load_bandpass(name).pivot == pytest.approx(BANDS[name].pivot, rel=0.05)


@pytest.mark.parametrize("name", ["x", "f999w", "", "irac_ch1", "K"])
def test_band_without_a_curve_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="no curve"):
        load_bandpass(name)


def test_users_bands_are_accepted() -> None:
    curve = UserBand("mine", np.array([1.0, 1.5, 2.0]), np.array([0.0, 1.0, 0.0]))
    band = resolve_band(curve)
    assert band.name == "mine"
    assert band.source == "user"
    assert resolve_band(band) is band


@pytest.mark.parametrize(
    ("wave", "curve"),
    [
        ([1.0, 2.0], [1.0]),
        ([2.0, 1.0, 3.0], [1.0, 1.0, 1.0]),
        ([1.0, 1.0], [1.0, 1.0]),
        ([1.0, 2.0], [1.0, -1.0]),
        ([1.0, 2.0], [0.0, 0.0]),
        ([1.0, np.nan], [1.0, 1.0]),
        ([0.0, 1.0], [1.0, 1.0]),
        ([1.0], [1.0]),
    ],
)
def test_bad_curves_are_refused(wave: list[float], curve: list[float]) -> None:
    with pytest.raises(ValidationError):
        resolve_band(UserBand("bad", np.array(wave), np.array(curve)))


def test_something_else_is_no_band() -> None:
    with pytest.raises(ValidationError, match="not a band"):
        resolve_band(3.0)  # type: ignore[arg-type]
