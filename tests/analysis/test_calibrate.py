"""Statements checked: calibration of one spectrum as documented; choice of bands; errors; provenance."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from campfire.analysis.calibration import CalibrationResult, calibrate_to_photometry
from campfire.analysis.lines import measure_lines
from campfire.analysis.photometry import band_photometry
from campfire.analysis.photometry_fit import fit_photometry
from campfire.analysis.resampling import resample_spectrum
from campfire.analysis.stacking import calibrate_and_stack, stack_spectra
from campfire.errors import CampfireWarning, ValidationError
from campfire.formats.bandpasses import load_bandpass, resolve_band
from campfire.kernels.bandpass import Bandpass, band_fluxes, band_weights
from campfire.kernels.calibration_curve import best_curve, fit_curve
from campfire.kernels.covariance import Covariance
from campfire.models import Photometry, Spectrum, SpectrumData
from campfire.units import fnu_to_flam

NAMES = ["f115w", "f150w", "f200w", "f277w", "f356w", "f444w"]
WAVE = np.linspace(0.6, 5.3, 300)
SOURCE = 1 + 0.3 * np.sin(3 * WAVE)


def spectrum(loss: float = 1.5, sigma: float = 0.02, seed: int = 0, **fields: Any) -> SpectrumData:
    rng = np.random.default_rng(seed)
    flux = SOURCE / loss + rng.normal(0, sigma, 300)
    return SpectrumData(WAVE, flux, np.full(300, sigma), {"PROGRAM": "1"}, "PRISM", "demo", **fields)


def photometry(names: list[str] | None = None, precision: float = 0.02, **changes: float) -> Photometry:
    names = NAMES if names is None else names
    bands = [load_bandpass(name) for name in names]
    flux = band_fluxes(
        np.linspace(0.3, 9, 3000), np.interp(np.linspace(0.3, 9, 3000), WAVE, SOURCE), np.ones(3000), bands
    ).flux
    values = [changes.get(name, value) for name, value in zip(names, flux, strict=True)]
    return Photometry(names, values, precision * np.abs(flux), [b.pivot for b in bands], "demo v1")


def test_documented_attributes_and_signature() -> None:
    fields = {field.name for field in dataclasses.fields(CalibrationResult)}
    assert {
        "spectrum", "original", "multiplier", "method", "bands_used", "observed_flux", "observed_flux_err",
        "synthetic_flux", "synthetic_flux_err", "band_wavelengths", "multiplier_err", "chi2", "coverage",
    } <= fields  # fmt: skip
    parameters = list(inspect.signature(calibrate_to_photometry).parameters.items())[:6]
    assert [(name, p.default) for name, p in parameters] == [
        ("spectrum", inspect.Parameter.empty),
        ("photometry", inspect.Parameter.empty),
        ("method", "chebyshev"),
        ("bands", None),
        ("degree", None),
        ("min_snr", 0.5),
    ]


@pytest.mark.parametrize("method", ["chebyshev", "flat"])
def test_slit_loss_is_made_up_for(method: Any) -> None:
    result = calibrate_to_photometry(spectrum(), photometry(), method)
    np.testing.assert_allclose(result.multiplier, 1.5, rtol=0.05)
    assert result.bands_used == NAMES
    assert len(result.multiplier) == len(result.multiplier_err) == 300
    np.testing.assert_allclose(result.spectrum.fnu, result.original.fnu * result.multiplier)
    measured = band_photometry(result.spectrum, NAMES)["flux"].values
    np.testing.assert_allclose(measured, result.observed_flux, rtol=0.03)


@pytest.mark.parametrize(
    ("names", "degree", "expected"), [(NAMES[:1], None, 0), (NAMES, 1, 1), (NAMES, 3, 3), (NAMES, 5, 5)]
)
def test_a_degree_that_is_given_is_taken(names: list[str], degree: int | None, expected: int) -> None:
    result = calibrate_to_photometry(spectrum(), photometry(names), degree=degree)
    assert (result.degree, result.dof) == (expected, len(names) - 1 - expected)
    assert ("through all of them (dof 0)" in repr(result)) == (result.dof == 0)


@pytest.mark.parametrize(("true", "wanted"), [([1.3], 0), ([1.3, 0.3], 1), ([1.3, 0.2, 0.2], 2)])
def test_degree_is_the_one_that_the_bands_have_evidence_for(true: list[float], wanted: int) -> None:
    """Not more than 3, nor 5 coefficients for 6 bands of which two tell everything."""
    degrees = []
    for seed in range(20):
        x = 2 * (spectrum().wavelength - 0.6) / 4.7 - 1
        spec = spectrum()
        spec.fnu = spec.fnu / np.polynomial.chebyshev.chebval(x, true)
        phot = photometry()
        rng = np.random.default_rng(seed)
        flux = band_photometry(spectrum(loss=1.0), NAMES)["flux"].values * (1 + 0.02 * rng.normal(size=6))
        phot = Photometry(NAMES, flux, 0.02 * flux, phot.wavelength)
        degrees.append(calibrate_to_photometry(spec, phot).degree)
    assert min(degrees) >= wanted
    assert max(degrees) <= 3
    assert np.median(degrees) == wanted


def test_a_curve_through_all_bands_is_said_to_be_one() -> None:
    phot = Photometry(NAMES[::5], [1.0, 3.0], [0.01, 0.01], [1.15, 4.4])
    with pytest.warns(CampfireWarning, match=r"goes through all its bands \(f115w, f444w\)"):
        result = calibrate_to_photometry(spectrum(), phot)
    assert (result.degree, result.dof, result.spectrum.header["CALDOF"]) == (1, 0, 0)
    assert "dof 0" in result.spectrum.header["HISTORY"][-1]
    with pytest.warns(CampfireWarning, match="goes through all its bands"):
        ds = spectrum().to_xarray().campfire.calibrate(phot)
    assert "dof 0" in ds.attrs["history"]


def test_errors_hold_though_the_degree_is_chosen() -> None:
    """Of curves as slits make them, at all pixels between the bands; that of the degree chosen would not."""
    bands = [resolve_band(name) for name in NAMES]
    wave = np.linspace(0.6, 5.3, 300)
    x = (wave - 3.0) / 2.5
    inside = (wave > bands[0].pivot) & (wave < bands[-1].pivot)
    pulls, off, most = [], [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        shape = [1.0, *rng.normal((-0.07, 0.01, 0.0), (0.05, 0.02, 0.008))]
        loss = 0.8 * np.polynomial.chebyshev.chebval(x, shape)
        model = 1.0 + 0.3 * np.sin(wave)
        flux = band_fluxes(wave, model, np.ones(300), bands).flux
        observed, error = flux * (1 + 0.05 * rng.normal(size=6)), 0.05 * flux
        noisy = model * loss + 0.1 * rng.normal(size=300)
        fits = [fit_curve(wave, noisy, np.full(300, 0.1), bands, observed, error, degree=d) for d in range(4)]
        fit = best_curve(fits)
        pulls.append(((fit.multiplier - 1 / loss) / fit.multiplier_err)[inside])
        off.append(((fit.multiplier * loss) - 1)[inside])
        most.append((fits[3].multiplier * loss - 1)[inside])
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.05, abs=0.12)
    assert np.std(off) < 0.95 * np.std(most)  # and the curve is nearer to the truth than of degree 3


def test_degree_beyond_the_bands_is_cut_with_a_warning() -> None:
    with pytest.warns(CampfireWarning, match="degree 4 needs 5 bands"):
        assert calibrate_to_photometry(spectrum(), photometry(NAMES[:3]), degree=4).degree == 2


def test_error_of_the_curve_is_in_the_error_of_the_spectrum() -> None:
    """Errors are not merely multiplied: with 10 % photometry no pixel gets better than a few per cent."""
    result = calibrate_to_photometry(spectrum(sigma=0.001), photometry(precision=0.1))
    scaled = result.original.fnu_err * result.multiplier
    assert np.all(result.spectrum.fnu_err > 3 * scaled)
    np.testing.assert_allclose(
        result.spectrum.fnu_err, np.hypot(scaled, result.original.fnu * result.multiplier_err), rtol=0.02
    )


def test_covariance_of_the_calibrated_spectrum_is_attached() -> None:
    result = calibrate_to_photometry(spectrum(), photometry(precision=0.05), "flat")
    covariance = result.spectrum.covariance
    assert covariance is not None
    np.testing.assert_allclose(np.sqrt(covariance.diagonal()), result.spectrum.fnu_err)
    band = band_photometry(result.spectrum, "f277w")
    # one factor from six bands of 5 %: every band of the calibrated spectrum shares its error
    assert float(band["flux_err"].values[0] / band["flux"].values[0]) == pytest.approx(
        0.05 / np.sqrt(6), rel=0.15
    )


def test_noise_of_photometry_does_not_select_bands() -> None:
    """Negative fluxes, zero fluxes and upper limits are used; bands that tell nothing are not."""
    phot = photometry(precision=0.3, f150w=-0.2, f200w=0.0)
    assert calibrate_to_photometry(spectrum(), phot, degree=1).bands_used == NAMES
    noisy = Photometry(NAMES, phot.flux, [0.3, 0.3, 0.3, 99.0, 0.3, 0.3], phot.wavelength)
    assert "f277w" not in calibrate_to_photometry(spectrum(), noisy, degree=1).bands_used
    assert calibrate_to_photometry(spectrum(), noisy, degree=1, min_snr=0).bands_used == NAMES
    with pytest.raises(ValidationError, match="no band"):
        calibrate_to_photometry(spectrum(), noisy, min_snr=50)


def test_partly_covered_bands_are_not_used_and_reported() -> None:
    """Coverage of every band looked at is in the result; 95 % is needed."""
    mask = (WAVE > 1.4) & (WAVE < 1.5)
    result = calibrate_to_photometry(spectrum(mask=mask), photometry(["f606w", *NAMES]))
    assert "f150w" not in result.bands_used
    assert 0.5 < result.coverage["f150w"] < 0.95
    assert result.coverage["f277w"] == pytest.approx(1.0)
    with pytest.warns(CampfireWarning, match="'f150w' is left out: .*% of it is on good pixels"):
        named = calibrate_to_photometry(spectrum(mask=mask), photometry(), bands=["f150w", "f277w"])
    assert named.bands_used == ["f277w"]


def test_named_bands_and_users_curves() -> None:
    phot = photometry()
    assert calibrate_to_photometry(spectrum(), phot, bands=["f277w", "F444W"]).bands_used == [
        "f277w",
        "f444w",
    ]
    own = Photometry(["mine"], [2.0], [0.1], [2.5])
    curve = Bandpass("mine", np.array([2.0, 2.5, 3.0]), np.array([0.0, 1.0, 0.0]))
    result = calibrate_to_photometry(spectrum(), own, bands=[curve])
    assert result.bands_used == ["mine"]
    with (
        pytest.warns(CampfireWarning, match="band 'mine' is left out: there is no curve"),
        pytest.raises(ValidationError),
    ):
        calibrate_to_photometry(spectrum(), own)


def test_names_of_the_photometry_may_be_upper_case() -> None:
    phot = Photometry(["F150W", "F444W"], [1.0, 1.0], [0.1, 0.1], [1.5, 4.4])
    assert calibrate_to_photometry(spectrum(), phot, degree=0).bands_used == ["F150W", "F444W"]


def test_an_error_of_zero_and_a_missing_flux_are_no_measurement() -> None:
    """No photometry is exact: a band of error 0 is left out, or has the error floor as its error."""
    phot = Photometry(NAMES[:3], [1.0, np.nan, 1.1], [0.0, 0.1, 0.1], [1.15, 1.5, 2.0])
    with pytest.warns(CampfireWarning, match="their error is 0: f115w; error_floor="):
        result = calibrate_to_photometry(spectrum(), phot)
    assert result.bands_used == ["f200w"]
    assert np.all(np.isfinite(result.multiplier_err))
    result = calibrate_to_photometry(spectrum(), phot, error_floor=0.05)
    assert result.bands_used == ["f115w", "f200w"]
    np.testing.assert_allclose(result.observed_flux_err, [0.05, np.hypot(0.1, 0.055)])
    with pytest.warns(CampfireWarning, match="no finite flux"):
        calibrate_to_photometry(spectrum(), phot, bands=["f150w", "f200w"])


def test_error_floor_is_added_in_quadrature() -> None:
    result = calibrate_to_photometry(spectrum(), photometry(), error_floor=0.1)
    np.testing.assert_allclose(
        result.observed_flux_err, np.hypot(photometry().flux_err, 0.1 * photometry().flux)
    )


def test_clipping_is_never_silent() -> None:
    with pytest.warns(CampfireWarning, match="was cut to the range 0.1 to 50 in 300 pixels"):
        result = calibrate_to_photometry(spectrum(loss=100.0, sigma=1e-4), photometry(), "flat")
    assert result.clipped.all()


def test_header_says_what_was_done() -> None:
    header = calibrate_to_photometry(spectrum(), photometry()).spectrum.header
    assert header["PROGRAM"] == "1"
    assert (header["CALMETH"], header["CALDEG"], header["CALPHOT"]) == ("chebyshev", 0, "demo v1")
    assert header["CALBANDS"] == ",".join(NAMES)
    assert "JWST/NIRCam.F444W [astro-sedpy" in header["HISTORY"][-1]


def test_flam_follows() -> None:
    flam = np.full(300, 1e-20)
    result = calibrate_to_photometry(spectrum(flam=flam), photometry())
    np.testing.assert_allclose(result.spectrum.flam, flam * result.multiplier)
    ratio = result.spectrum.flam_err / result.spectrum.fnu_err
    np.testing.assert_allclose(ratio, result.original.flam_err / result.original.fnu_err)


def test_spectrum_dataset_and_row_are_calibrated_alike() -> None:
    data = spectrum()
    row = Spectrum.from_row(
        {"spectrum_id": "demo", "object_id": "o", "grating": "PRISM"}, lambda _: data.to_fields()
    )
    expected = calibrate_to_photometry(data, photometry()).multiplier
    for other in (row, data.to_xarray()):
        np.testing.assert_array_equal(calibrate_to_photometry(other, photometry()).multiplier, expected)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "spline"}, "unknown calibration method"),
        ({"degree": -1}, "degree"),
        ({"degree": 1.5}, "degree"),
        ({"min_snr": -1}, "min_snr"),
        ({"min_snr": np.nan}, "min_snr"),
        ({"error_floor": -0.1}, "error_floor"),
        ({"bands": []}, "bands"),
        ({"bands": ["f150w", "F150W"]}, "given twice: f150w"),
        ({"bands": ["f090w"]}, "no band 'f090w'"),
        ({"bands": ["f999w"]}, "no curve"),
        ({"photometry": {"f150w": 1.0}}, "photometry is dict"),
        ({"spectrum": [1, 2]}, "not a spectrum: list"),
    ],
)
def test_bad_input_is_a_validation_error(options: dict[str, Any], match: str) -> None:
    arguments: dict[str, Any] = {"spectrum": spectrum(), "photometry": photometry()} | options
    with pytest.raises(ValidationError, match=match):
        calibrate_to_photometry(**arguments)


def test_plot_has_two_panels() -> None:
    assert len(calibrate_to_photometry(spectrum(), photometry()).plot()) == 2


@given(loss=st.floats(1e-3, 1e3), snr=st.floats(1.0, 50.0), precision=st.floats(0.02, 2.0))
def test_bands_and_curve_follow_the_flux_scale(loss: float, snr: float, precision: float) -> None:
    """Statement: k times the spectrum gives the same bands, and the curve over k."""
    flux = np.ones(300)
    errors = precision * np.array([1.0, 2.0, 3.0, 4.0, 1.0, 40.0])
    phot = Photometry(NAMES, np.ones(6), errors, photometry().wavelength)

    def fitted(scale: float) -> Any:
        data = SpectrumData(WAVE, flux * scale, flux * scale / snr, {}, "PRISM", "demo")
        return fit_photometry(data, phot, "flat", None, None, 0.5, 0.0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CampfireWarning)  # a curve out of range says so, tested elsewhere
        one, other = fitted(1.0), fitted(1.0 / loss)
    assert list(other.used) == list(one.used)
    np.testing.assert_allclose(other.fit.coefficients, one.fit.coefficients * loss, rtol=1e-6)


def test_default_choice_of_bands_does_not_bias_the_curve() -> None:
    """Monte Carlo with S/N 1 and 2 a band: the pull of the curve has median 0 and unit width.

    Chosen by what was measured in the band, those with noise upwards would stay, and it would be -0.6.
    """
    bands = [load_bandpass(name) for name in NAMES]
    wave = np.linspace(0.6, 5.3, 120)
    weights = band_weights(wave, bands)
    weights /= weights.sum(axis=1, keepdims=True)
    of_pixel = 1 / np.sqrt(np.square(weights).sum(axis=1)).mean()
    pivots = [band.pivot for band in bands]
    rng = np.random.default_rng(5)
    for snr in (1.0, 2.0):
        sigma = np.full(120, of_pixel / snr)
        pulls = []
        for _ in range(300):
            data = SpectrumData(wave, 1 + rng.normal(0, sigma), sigma, {}, "PRISM", "demo")
            phot = Photometry(NAMES, 1.5 + rng.normal(0, 0.15, 6), np.full(6, 0.15), pivots)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CampfireWarning)
                fit = fit_photometry(data, phot, "flat", None, None, 0.5, 0.0).fit
            pulls.append((fit.coefficients[0] - 1.5) / fit.multiplier_err[0])
        assert abs(np.median(pulls)) < 0.2
        assert np.std(pulls) == pytest.approx(0.95, abs=0.1)


def test_a_band_too_shallow_to_measure_the_curve_is_left_out() -> None:
    """It would only raise the degree of the curve, at any slit loss."""
    phot = photometry(precision=0.1)
    errors = np.where(np.arange(6) == 3, 20.0, phot.flux_err)
    shallow = Photometry(NAMES, phot.flux, errors, phot.wavelength)
    for loss in (0.3, 1.0, 30.0):
        result = calibrate_to_photometry(spectrum(loss=loss, sigma=0.02 / loss), shallow)
        assert result.bands_used == [name for name in NAMES if name != "f277w"]


@pytest.mark.parametrize("level", [-1.0, 0.02, 100.0])
@pytest.mark.parametrize("precision", [0.1, 2.0])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_covariance_of_a_cut_curve_is_positive(level: float, precision: float, degree: int) -> None:
    sigma = np.full(300, 0.1)
    data = SpectrumData(WAVE, np.ones(300), sigma, {}, "PRISM", "demo")
    phot = Photometry(NAMES, np.full(6, level), np.full(6, precision * abs(level)), photometry().wavelength)
    with pytest.warns(CampfireWarning, match="was cut to the range"):
        result = calibrate_to_photometry(data, phot, bands=NAMES, degree=degree)
    covariance = result.spectrum.covariance
    assert covariance is not None
    lowest = np.linalg.eigvalsh(covariance.toarray())
    assert lowest[0] >= -1e-12 * lowest[-1]
    np.testing.assert_allclose(result.spectrum.fnu_err, np.sqrt(covariance.diagonal()), rtol=1e-9)
    assert np.all(band_photometry(result.spectrum, NAMES)["flux_err"].values > 0)


def test_many_pixels_keep_their_covariance() -> None:
    """Monte Carlo with 3000 pixels: pulls of a band, a line's continuum, and a resampled band (10 %)."""
    wave = np.linspace(2.87, 5.2, 3000)
    names = ["f356w", "f444w"]
    pivots = [load_bandpass(name).pivot for name in names]
    fine = np.linspace(3.0, 5.1, 2500)
    rng = np.random.default_rng(8)
    pulls = []
    for _ in range(80):
        data = SpectrumData(
            wave, 1 + rng.normal(0, 0.1, 3000), np.full(3000, 0.1), {}, "G395H", "demo", redshift=5.0
        )
        phot = Photometry(names, 1.5 + rng.normal(0, 0.15, 2), [0.15, 0.15], pivots)
        result = calibrate_to_photometry(data, phot, "flat").spectrum
        bands = [
            band_photometry(each, "f410m")
            for each in (result, result.to_xarray(), resample_spectrum(result, fine))
        ]
        line = measure_lines(result, ["Hα"])
        level = float(fnu_to_flam(np.array([1.5]), np.array([0.656461 * 6]))[0])
        pulls.append(
            [float((band.flux[0] - 1.5) / band.flux_err[0]) for band in bands]
            + [float((line.continuum[0, 0] - level) / line.continuum_err[0, 0])]
        )
    assert np.std(pulls, axis=0) == pytest.approx(1, abs=0.16)  # two sigma of 80; a factor of 7 without
    assert result.pixel_covariance is not None
    assert np.all(np.isfinite(result.fnu_err))


def test_calibrated_twice_on_one_photometry_shares_it_once() -> None:
    """The second curve undoes what the first did: the errors are those of one calibration."""
    phot = photometry(precision=0.1)
    once = calibrate_to_photometry(spectrum(), phot, "flat").spectrum
    twice = calibrate_to_photometry(once, phot, "flat").spectrum
    assert once.covariance is not None
    assert twice.pixel_covariance is not None
    assert isinstance(twice.pixel_covariance, Covariance)
    assert len([label for label in twice.pixel_covariance.labels if label]) == len(NAMES)


def test_covariance_survives_every_container(tmp_path: Path) -> None:
    result = calibrate_to_photometry(spectrum(), photometry(precision=0.1)).spectrum
    result.write(tmp_path / "demo_spec.fits")
    for back in (
        SpectrumData.from_xarray(result.to_xarray()),
        SpectrumData.from_table(result.to_table()),
        SpectrumData.from_fits(tmp_path / "demo_spec.fits"),
        pickle.loads(pickle.dumps(result)),
    ):
        assert isinstance(back.pixel_covariance, Covariance)
        assert isinstance(result.pixel_covariance, Covariance)
        assert isinstance(back.covariance, csr_array)  # as documented, made when asked for
        np.testing.assert_array_equal(back.covariance.toarray(), back.pixel_covariance.toarray())
        np.testing.assert_array_equal(back.pixel_covariance.toarray(), result.pixel_covariance.toarray())
        assert back.pixel_covariance.labels == result.pixel_covariance.labels


@pytest.mark.parametrize(
    "options", [{}, {"normalize": (2.0, 2.5)}, {"redshift": 1.0}, {"sigma_clip": 3.0}, {"rng": 1}]
)
@pytest.mark.parametrize("method", ["weighted_mean", "mean", "median"])
def test_results_and_their_spectra_stack_alike(options: dict[str, Any], method: Any) -> None:
    """What they got from the same photometry does not average down, however they come into the stack."""
    spectra = [spectrum(seed=seed, sigma=0.05) for seed in range(4)]
    phot = photometry(precision=0.1)
    whole = calibrate_and_stack(spectra, phot, stacking_method=method, **options)
    results = [calibrate_to_photometry(data, phot) for data in spectra]
    one = stack_spectra([result.spectrum for result in results], method, **options)
    two = stack_spectra(results, method, **options)
    assert one == two == whole.spectrum
    through = [SpectrumData.from_xarray(result.spectrum.to_xarray()) for result in results]
    assert stack_spectra(through, method, **options) == one
    if not options:
        smallest = 0.1 / np.sqrt(len(NAMES)) * one.fnu
        assert np.all(one.fnu_err > 0.9 * smallest)


def test_stacks_of_stacks_know_what_they_share() -> None:
    phot = photometry(precision=0.1)
    stacks = [calibrate_and_stack([spectrum(seed=k, sigma=0.01)], phot, "flat").spectrum for k in range(6)]
    shared = 0.1 / np.sqrt(len(NAMES))
    together = stack_spectra(stacks)
    assert float(np.median(together.fnu_err / together.fnu)) == pytest.approx(shared, rel=0.1)


def test_calibration_does_not_make_a_spectrum_pass_for_resampled() -> None:
    """The width of a line is that of the instrument, before and after, and on a grid that of both pixels."""
    before = spectrum(redshift=2.0)
    after = calibrate_to_photometry(before, photometry()).spectrum
    one, two = (measure_lines(data, ["Hα"]) for data in (before, after))
    np.testing.assert_array_equal(one.coverage.values, two.coverage.values)
    assert isinstance(after.pixel_covariance, Covariance)
    assert not after.pixel_covariance.has_neighbours
    gridded = resample_spectrum(after, np.linspace(0.7, 5.2, 400)).pixel_covariance
    assert isinstance(gridded, Covariance)
    assert gridded.has_neighbours


def test_what_spectra_share_survives_a_copy() -> None:
    """Statement: a calibrated spectrum copied with its covariance still shares its photometry in a stack."""
    several = [dataclasses.replace(spectrum(), spectrum_id=str(k)) for k in range(4)]
    spectra = [calibrate_to_photometry(data, photometry(), "flat").spectrum for data in several]
    expected = stack_spectra(spectra)
    copies = [dataclasses.replace(data, redshift=2.0) for data in spectra]
    np.testing.assert_allclose(stack_spectra(copies).fnu_err, expected.fnu_err, rtol=1e-12)
    assert copies[0].covariance is not None
    changed = copies[0].covariance * 4.0
    assert isinstance(dataclasses.replace(spectra[0], covariance=changed).pixel_covariance, csr_array)


def test_relative_spectra_are_not_taken_for_absolute_ones() -> None:
    """Statement: normalised spectra are neither calibrated nor stacked together with others."""
    plain = spectrum()
    relative = stack_spectra([plain], normalize=(1.0, 2.0))
    with pytest.raises(ValidationError, match="relative"):
        calibrate_to_photometry(relative, photometry())
    with pytest.raises(ValidationError, match="normalised"):
        stack_spectra([plain, relative])
