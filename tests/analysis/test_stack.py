"""Statements checked: stacks of any input, frames, names and errors, as documented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.analysis.calibration import calibrate_to_photometry
from campfire.analysis.photometry import band_photometry
from campfire.analysis.resampling import resample_spectrum
from campfire.analysis.stacking import StackResult, calibrate_and_stack, stack_spectra
from campfire.errors import CampfireWarning, ValidationError
from campfire.formats.bandpasses import load_bandpass
from campfire.kernels.bandpass import band_fluxes
from campfire.models import Photometry, Spectrum, SpectrumCollection, SpectrumData
from campfire.typing import FloatArray
from campfire.units import fnu_to_flam

NAMES = ["f115w", "f150w", "f200w", "f277w", "f356w", "f444w"]
BANDS = [load_bandpass(name) for name in NAMES]
WAVE = np.linspace(0.6, 5.3, 240)


def truth(wave: FloatArray) -> FloatArray:
    return np.asarray(1 + 0.3 * np.sin(3 * wave))


def make(
    rng: np.random.Generator, n: int, *, sigma: float = 0.1, shift: float = 0.002, loss: float = 0.0
) -> list[SpectrumData]:
    found = []
    for k in range(n):
        wave = WAVE * (1 + shift * k)
        error = np.full(len(wave), sigma)
        flux = truth(wave) / (1 + loss * (k + 1)) + rng.normal(0, 1, len(wave)) * error
        found.append(SpectrumData(wave, flux, error, {"EFFEXPTM": 100.0, "N": k}, "PRISM", f"s{k}"))
    return found


def photometry(rng: np.random.Generator | None, precision: float) -> Photometry:
    flux = band_fluxes(WAVE, truth(WAVE), np.ones(240), BANDS).flux
    sigma = precision * flux
    seen = flux if rng is None else flux + rng.normal(0, 1, len(flux)) * sigma
    return Photometry(NAMES, seen, sigma, [band.pivot for band in BANDS], "demo")


@pytest.mark.parametrize("method", ["weighted_mean", "mean", "median"])
def test_pixels_and_sums_have_unit_pulls(method: Any) -> None:
    """Stacks of distinct grids: single pixels, and sums with the covariance, have unit pulls (10 %)."""
    rng = np.random.default_rng(0)
    grid = np.linspace(0.7, 5.0, 200)
    weights = rng.random(200)
    expected = resample_spectrum(SpectrumData(WAVE, truth(WAVE), np.ones(240), {}, "PRISM", ""), grid).fnu
    pixels, sums = [], []
    for _ in range(200):
        stacked = stack_spectra(make(rng, 5), method, wavelength_grid=grid)
        difference = stacked.fnu - expected
        pixels.append(difference / stacked.fnu_err)
        assert stacked.covariance is not None
        sums.append(weights @ difference / np.sqrt(weights @ stacked.covariance @ weights))
    assert np.std(pixels) == pytest.approx(1, abs=0.1 if method == "median" else 0.05)
    assert np.std(sums) == pytest.approx(1, abs=0.15)


def test_common_calibration_error_is_not_averaged_down() -> None:
    """With 5 % photometry, many good spectra stay near that; pulls of pixels and bands have unit width."""
    rng = np.random.default_rng(1)
    pixels, bands, errors = [], [], []
    for _ in range(30):
        spectra = make(rng, 5, sigma=0.02, loss=0.05)
        result = calibrate_and_stack(spectra, photometry(rng, 0.05), degree=3)
        stacked = result.spectrum
        pixels.append((stacked.fnu - truth(stacked.wavelength))[::20] / stacked.fnu_err[::20])
        errors.append(stacked.fnu_err / stacked.fnu)
        measured = band_photometry(stacked, ["f150w", "f356w"])
        model = band_fluxes(stacked.wavelength, truth(stacked.wavelength), np.ones(240), BANDS).flux[[1, 4]]
        bands.append((measured["flux"].values - model) / measured["flux_err"].values)
    assert np.std(pixels) == pytest.approx(1, abs=0.2)
    assert np.std(bands) == pytest.approx(1, abs=0.2)
    assert np.mean(errors) > 0.03  # 5 spectra of 2 % a pixel alone would be at 1 %
    single = calibrate_and_stack(
        make(rng, 1, sigma=0.02, loss=0.05), photometry(rng, 0.05), degree=3
    ).spectrum
    assert np.mean(errors) > 0.9 * np.mean((single.fnu_err / single.fnu)[5:-5]) - 0.01


def test_calibration_results_can_be_stacked_with_their_common_error() -> None:
    rng = np.random.default_rng(2)
    spectra, phot = make(rng, 6, sigma=0.02, loss=0.05), photometry(rng, 0.05)
    results = [calibrate_to_photometry(entry, phot) for entry in spectra]
    by_hand = stack_spectra(results)
    together = calibrate_and_stack(spectra, phot).spectrum
    np.testing.assert_allclose(by_hand.fnu, together.fnu, rtol=1e-12)
    np.testing.assert_allclose(by_hand.fnu_err, together.fnu_err, rtol=1e-12)


def test_covariance_diagonal_is_the_squared_error() -> None:
    rng = np.random.default_rng(3)
    for stacked in (
        stack_spectra(make(rng, 4)),
        stack_spectra(make(rng, 4), "median"),
        stack_spectra(make(rng, 6), rng=4),
        calibrate_and_stack(make(rng, 3), photometry(rng, 0.05)).spectrum,
        stack_spectra([resample_spectrum(s, WAVE[2:-2:2], covariance=True) for s in make(rng, 3)]),
    ):
        assert stacked.covariance is not None
        good = ~stacked.mask
        np.testing.assert_allclose(
            np.sqrt(stacked.covariance.diagonal()[good]), stacked.fnu_err[good], rtol=1e-9
        )


def test_rest_frame_divides_by_one_plus_z() -> None:
    """Wavelength and f_nu are divided by 1 + z, f_lambda is multiplied: the integrated flux is kept."""
    spectrum = make(np.random.default_rng(4), 1)[0]
    stacked = stack_spectra([spectrum], redshift=[2.0])
    np.testing.assert_allclose(stacked.wavelength, spectrum.wavelength / 3)
    np.testing.assert_allclose(stacked.fnu, spectrum.fnu / 3)
    np.testing.assert_allclose(stacked.fnu_err, spectrum.fnu_err / 3)
    np.testing.assert_allclose(stacked.flam, spectrum.flam * 3)
    before = np.trapezoid(spectrum.flam, spectrum.wavelength)
    assert np.trapezoid(stacked.flam, stacked.wavelength) == pytest.approx(before)
    assert stacked.redshift == 0.0
    assert stacked.header["STACKFRM"] == "rest"


def test_line_of_many_redshifts_stacks_at_its_rest_wavelength() -> None:
    redshifts = [2.0, 2.5, 3.1]
    spectra = []
    for z in redshifts:
        at = 0.656461 * (1 + z)
        flux = (1 + 5 * np.exp(-0.5 * ((WAVE - at) / 0.03) ** 2)) * (1 + z)
        spectra.append(SpectrumData(WAVE, flux, np.full(240, 0.1), {}, "PRISM", f"z{z}"))
    grid = np.linspace(0.5, 0.8, 100)
    stacked = stack_spectra(spectra, wavelength_grid=grid, redshift=redshifts)
    assert grid[np.argmax(stacked.fnu)] == pytest.approx(0.656461, abs=0.005)
    assert stacked.fnu[0] == pytest.approx(1.0, rel=1e-6)


def test_normalize_divides_by_the_mean_and_keeps_its_error() -> None:
    """Fluxes become relative; the pulls of the normalised stack have unit width (10 %)."""
    rng = np.random.default_rng(5)
    grid = np.linspace(0.7, 5.2, 150)
    template = SpectrumData(WAVE, truth(WAVE), np.ones(240), {}, "PRISM", "")
    expected = stack_spectra([template], wavelength_grid=grid, normalize=(2.0, 2.3)).fnu
    pulls = []
    for _ in range(80):
        spectra = [
            SpectrumData(s.wavelength, s.fnu * level, s.fnu_err * level, {}, "PRISM", s.spectrum_id)
            for s, level in zip(make(rng, 4, shift=0.0), (1.0, 7.0, 0.2, 30.0), strict=True)
        ]
        stacked = stack_spectra(spectra, wavelength_grid=grid, normalize=(2.0, 2.3))
        pulls.append((stacked.fnu - expected) / stacked.fnu_err)
    window = (grid > 2.05) & (grid < 2.25)
    assert np.std(pulls) == pytest.approx(1, abs=0.1)
    assert np.std(np.array(pulls)[:, window]) == pytest.approx(1, abs=0.15)  # correlated with the mean


def test_normalised_stacks_are_relative_wherever_they_go(tmp_path: Path) -> None:
    """Units "1" on the spectrum, its Dataset, table, file and specutils; flam is that of a level of 1 uJy."""
    stacked = stack_spectra(make(np.random.default_rng(20), 2), normalize=(2.0, 2.3))
    assert (stacked.fnu_units, stacked.flam_units) == ("1", "1")
    np.testing.assert_array_equal(stacked.flam, fnu_to_flam(stacked.fnu, stacked.wavelength))
    ds = stacked.to_xarray()
    names = ("fnu", "fnu_err", "flam", "flam_err", "fnu_cov")
    assert {ds[name].attrs["units"] for name in names} == {"1"}
    assert resample_spectrum(stacked, WAVE[2:-2:2]).fnu_units == "1"
    assert stack_spectra([stacked]).fnu_units == "1"
    stacked.write(tmp_path / "a_spec.fits")
    read = SpectrumData.from_fits(tmp_path / "a_spec.fits")
    read.fits_path = None
    table = stacked.to_table()
    assert table["fnu"].unit is None
    for back in (SpectrumData.from_xarray(ds), read, SpectrumData.from_table(table)):
        assert back == stacked
    pytest.importorskip("specutils")
    assert stacked.to_specutils().flux.unit == ""
    assert SpectrumData.from_specutils(stacked.to_specutils()) == stacked


def test_a_grid_outside_all_spectra_is_told() -> None:
    """As one in angstrom: nothing is left, with a warning that says what is covered; here and by itself."""
    spectra, grid = make(np.random.default_rng(21), 2, shift=0.0), np.linspace(1e4, 2e4, 50)
    message = r"the grid covers 10000-20000 um, the spectra 0.6-5.3 um.*in microns"
    with pytest.warns(CampfireWarning, match=message) as caught:
        assert stack_spectra(spectra, wavelength_grid=grid).mask.all()
    assert caught[0].filename == __file__
    with pytest.warns(CampfireWarning, match=message) as caught:
        assert resample_spectrum(spectra[0], grid).mask.all()
    assert caught[0].filename == __file__
    with pytest.warns(CampfireWarning, match="the spectra 0.3-2.65 um"):
        stack_spectra(spectra, wavelength_grid=np.linspace(3, 5, 50), redshift=1.0)
    for entry in spectra:
        entry.mask[:] = True
    assert stack_spectra(spectra, wavelength_grid=grid).mask.all()  # that is not the fault of the grid


def test_spectra_without_a_level_are_left_out_with_a_warning() -> None:
    good, dark = make(np.random.default_rng(6), 2)
    dark = SpectrumData(WAVE, -np.ones(240), dark.fnu_err, {}, "PRISM", "dark")
    with pytest.warns(CampfireWarning, match="1 of 2 spectra are left out.*dark"):
        stacked = stack_spectra([good, dark], normalize=(2.0, 2.3))
    assert stacked.header["NSTACK"] == 1
    assert stacked.spectrum_id == "stack:PRISM:1spectra"
    with pytest.raises(ValidationError, match="no spectrum has a positive mean"):
        stack_spectra([dark], normalize=(2.0, 2.3))


def test_names_and_provenance() -> None:
    """stack:<object_id>:<grating> or stack:<grating>:<n>spectra; the header says what went in."""
    spectra = make(np.random.default_rng(7), 3)
    assert stack_spectra(spectra).spectrum_id == "stack:PRISM:3spectra"
    stacked = stack_spectra(spectra, "median", object_id="obj", sigma_clip=4)
    assert stacked.spectrum_id == "stack:obj:PRISM"
    assert stacked.grating == "PRISM"
    header = stacked.header
    assert (header["NSTACK"], header["STACKMTH"], header["STACKCLP"]) == (3, "median", 4.0)
    assert header["EFFEXPTM"] == 300.0
    assert "N" not in header  # a card on which the inputs do not agree
    assert [line for line in header["HISTORY"] if line.startswith("input: ")] == [
        "input: s0",
        "input: s1",
        "input: s2",
    ]


def test_the_header_says_how_a_stack_was_made() -> None:
    """Matching, frame, normalisation, clipping, bootstrap with its seed, the redshift of every input."""
    spectra = make(np.random.default_rng(18), 3)
    options: dict[str, Any] = {"redshift": [1.0, 1.0, 2.5], "normalize": (0.4, 0.6), "sigma_clip": 3}
    options |= {"match_resolution": True, "rng": 1}
    header = stack_spectra(spectra, **options).header
    cards = {"STACKRES": "lowest", "STACKFRM": "rest", "STACKZLO": 1.0, "STACKZHI": 2.5, "STACKCLP": 3.0}
    cards |= {"STACKNRM": "0.4-0.6 um", "STACKBST": 200, "STACKSED": 1}
    assert header.items() >= cards.items()
    assert header["HISTORY"] == [
        "stack of 3 spectra, weighted_mean, resampled once, conserving flux",
        "smoothed to the lowest resolving power among them, wavelength by wavelength",
        "relative to the mean fnu of each at 0.4-0.6 um",
        "rejected beyond 3 sigma",
        "errors: no less than the scatter of 200 bootstrap stacks, seed 1",
        "input: s0, redshift 1",
        "input: s1, redshift 1",
        "input: s2, redshift 2.5",
    ]
    free = stack_spectra(spectra, rng=np.random.default_rng(1)).header
    assert "STACKSED" not in free
    assert not {"STACKRES", "STACKZLO", "STACKNRM", "STACKCLP"} & set(free)


def test_stack_of_calibrated_spectra_says_by_which_curves() -> None:
    """Library, version and filter id of every curve are in the history, once."""
    stacked = calibrate_and_stack(make(np.random.default_rng(17), 2), photometry(None, 0.05)).spectrum
    lines = [line for line in stacked.header["HISTORY"] if line.startswith("calibrated to photometry")]
    assert len(lines) == 1
    assert "JWST/NIRCam.F444W [astro-sedpy" in lines[0]
    assert stacked.header["CALMETH"] == "chebyshev"
    assert stacked.header["NCALIB"] == stacked.header["NSTACK"] == 2
    assert "NCALIB" not in stack_spectra(make(np.random.default_rng(17), 2)).header


def test_default_grid_is_that_of_the_input_with_most_pixels() -> None:
    rng = np.random.default_rng(8)
    short, long = (
        make(rng, 1)[0],
        SpectrumData(np.linspace(0.7, 5.0, 400), np.ones(400), np.full(400, 0.1), {}, "PRISM", "long"),
    )
    np.testing.assert_array_equal(stack_spectra([short, long]).wavelength, long.wavelength)


def test_every_kind_of_input_is_stacked_and_calibrated_alike() -> None:
    """Collection, list of Spectrum, list of SpectrumData, Datasets, tree: the same numbers, calibrated."""
    import xarray as xr

    rng = np.random.default_rng(9)
    data = make(rng, 3, loss=0.2)
    phot = photometry(None, 0.02)
    by_id = {entry.spectrum_id: entry.to_fields() for entry in data}
    rows = [
        Spectrum.from_row(
            {"spectrum_id": e.spectrum_id, "object_id": "o", "grating": "PRISM"},
            lambda spectrum_id: by_id[spectrum_id],
        )
        for e in data
    ]
    datasets = [entry.to_xarray() for entry in data]
    flat = xr.Dataset(
        {
            name: (("spectrum", "pixel"), np.stack([getattr(e, name) for e in data]), {"units": "uJy"})
            for name in ("fnu", "fnu_err")
        },
        {
            "wavelength": (("spectrum", "pixel"), np.stack([e.wavelength for e in data])),
            "spectrum_id": ("spectrum", [e.spectrum_id for e in data]),
            "grating": "PRISM",
        },
    )
    tree = xr.DataTree.from_dict({"/PRISM": flat})
    expected = calibrate_and_stack(data, phot)
    assert len(expected.calibrations) == 3
    assert expected.spectrum.fnu[100] == pytest.approx(truth(WAVE)[100], abs=0.2)
    kinds: list[Any] = [
        SpectrumCollection(rows),
        rows,
        datasets,
        flat,
        tree,
        [SpectrumCollection(rows[:2]), data[2]],
    ]
    for spectra in kinds:
        result = calibrate_and_stack(spectra, phot)
        np.testing.assert_allclose(result.spectrum.fnu, expected.spectrum.fnu, rtol=1e-12)
        assert len(result.calibrations) == 3
        plain = stack_spectra(spectra)
        np.testing.assert_allclose(plain.fnu, stack_spectra(data).fnu, rtol=1e-12)
        assert plain.header["NSTACK"] == 3


@given(poison=st.sampled_from([np.nan, np.inf, -np.inf, 1e30, 0.0]), calibrated=st.booleans())
def test_masked_values_never_change_a_stack(poison: float, calibrated: bool) -> None:
    rng = np.random.default_rng(10)
    spectra = make(rng, 3)
    masks = rng.random((3, 240)) < 0.02

    def run(value: float | None) -> StackResult:
        inputs = []
        for entry, mask in zip(spectra, masks, strict=True):
            flux, error = entry.fnu.copy(), entry.fnu_err.copy()
            if value is not None:
                flux[mask], error[mask] = value, abs(value)
            inputs.append(SpectrumData(entry.wavelength, flux, error, {}, "PRISM", "x", mask=mask))
        return calibrate_and_stack(inputs, photometry(None, 0.05) if calibrated else None)

    before, after = run(None).spectrum, run(poison).spectrum
    np.testing.assert_array_equal(before.fnu, after.fnu)
    np.testing.assert_array_equal(before.fnu_err, after.fnu_err)
    assert before.covariance is not None
    assert after.covariance is not None
    np.testing.assert_array_equal(before.covariance.toarray(), after.covariance.toarray())


def test_counts_of_used_and_rejected() -> None:
    spectra = make(np.random.default_rng(11), 8, shift=0.0)
    spectra[3].fnu[50] = 1e3
    spectra[4].mask[60] = True
    result = calibrate_and_stack(spectra, sigma_clip=5)
    assert (result.n_used[50], result.rejected[50]) == (7, 1)
    assert (result.n_used[60], result.rejected[60]) == (7, 0)
    assert result.n_used[70] == 8
    assert result.stacking_method == "weighted_mean"
    assert [s.spectrum_id for s in result.input_spectra] == [f"s{k}" for k in range(8)]


def test_mixed_gratings_need_a_grid_and_can_be_matched() -> None:
    """Refused without a grid; with match_resolution the sharper one is smoothed first."""
    prism = make(np.random.default_rng(12), 1)[0]
    wave = np.linspace(2.9, 5.1, 1200)
    line = 30 * np.exp(-0.5 * ((wave - 4.0) / 0.002) ** 2)
    grating = SpectrumData(wave, 1 + line, np.full(1200, 0.1), {}, "G395M", "g")
    with pytest.raises(ValidationError, match="different gratings: G395M, PRISM"):
        stack_spectra([prism, grating])
    grid = np.linspace(3, 5, 200)
    stacked = stack_spectra([prism, grating], wavelength_grid=grid)
    assert stacked.spectrum_id == "stack:G395M+PRISM:2spectra"
    grid = np.linspace(3.8, 4.2, 400)
    only = [
        stack_spectra([grating, prism], "mean", wavelength_grid=grid, match_resolution=flag)
        for flag in (False, True)
    ]
    assert only[1].fnu.max() < 0.5 * only[0].fnu.max()


def test_bootstrap_is_reproducible_and_sees_the_spread_of_sources() -> None:
    rng = np.random.default_rng(13)
    spectra = [
        SpectrumData(WAVE, np.full(240, level), np.full(240, 0.01), {}, "PRISM", "x")
        for level in rng.normal(5, 1, 12)
    ]
    plain, first, second = (stack_spectra(spectra, rng=seed) for seed in (None, 7, np.random.default_rng(7)))
    np.testing.assert_array_equal(first.fnu_err, second.fnu_err)
    np.testing.assert_array_equal(first.fnu, plain.fnu)
    assert first.fnu_err[10] == pytest.approx(1 / np.sqrt(12), rel=0.4)
    assert plain.fnu_err[10] == pytest.approx(0.01 / np.sqrt(12))


@pytest.mark.parametrize("method", ["weighted_mean", "mean", "median"])
@pytest.mark.parametrize("n", [3, 4, 5, 10])
def test_bootstrap_errors_of_few_inputs_have_unit_pulls(method: Any, n: int) -> None:
    """At most 5 % more than their error, never less than the propagated one."""
    rng = np.random.default_rng(22)
    grid = np.linspace(1.0, 2.0, 3000)
    error = np.full(3000, 0.2)
    spectra = [
        SpectrumData(grid, rng.normal(0, 1, 3000) * error, error, {}, "PRISM", f"s{k}") for k in range(n)
    ]
    found, plain = stack_spectra(spectra, method, rng=1), stack_spectra(spectra, method)
    assert (found.fnu_err >= plain.fnu_err).all()
    assert 0.7 < np.std(found.fnu / found.fnu_err) < 1.05


@pytest.mark.parametrize(
    ("spectra", "options", "match"),
    [
        ([], {}, "no spectra"),
        (3, {}, "not spectra"),
        (["a"], {}, "not spectra"),
        (None, {"method": "mode"}, "unknown stacking method"),
        (None, {"redshift": [1.0]}, "2 spectra"),
        (None, {"redshift": [1.0, np.nan]}, "not above -1"),
        (None, {"redshift": [1.0, -1.5]}, "not above -1"),
        (None, {"redshift": "high"}, "redshift='high'"),
        (None, {"normalize": (3.0, 2.0)}, "normalize"),
        (None, {"normalize": 3.0}, "normalize"),
        (None, {"sigma_clip": -1}, "sigma_clip"),
        (None, {"rng": "x"}, "rng='x'.*pass a seed"),
        (None, {"rng": -1}, "rng=-1"),
        (None, {"wavelength_grid": [2.0, 1.0, 3.0]}, "wavelength_grid does not increase"),
        (None, {"wavelength_grid": [1.0]}, "wavelength_grid has shape"),
    ],
)
def test_bad_input_is_a_validation_error(spectra: Any, options: dict[str, Any], match: str) -> None:
    given = make(np.random.default_rng(14), 2) if spectra is None else spectra
    with pytest.raises(ValidationError, match=match):
        stack_spectra(given, **options)


def test_options_without_photometry_are_refused() -> None:
    with pytest.raises(ValidationError, match="degree given without photometry"):
        calibrate_and_stack(make(np.random.default_rng(15), 2), degree=2)


def test_unsorted_axis_is_named() -> None:
    spectrum = SpectrumData([1.0, 3.0, 2.0], np.ones(3), np.ones(3), {}, "PRISM", "shuffled")
    with pytest.raises(ValidationError, match="wavelength of shuffled does not increase"):
        stack_spectra([spectrum])


def test_plots_have_the_documented_panels() -> None:
    """Three panels with calibrations, two without."""
    spectra = make(np.random.default_rng(16), 2)
    assert len(calibrate_and_stack(spectra, photometry(None, 0.05), object_id="o").plot()) == 3
    assert len(calibrate_and_stack(spectra).plot()) == 2
