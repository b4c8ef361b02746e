"""Noise is measured from one spectrum, many, or repeats; put into spectra, all that follows uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import median_filter

import campfire
from campfire import Noise, SpectrumData, measure_lines, measure_noise, schema, with_noise
from campfire.analysis.photometry import band_photometry
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.bandpass import Bandpass
from campfire.typing import FloatArray

WAVE = np.linspace(2.9, 5.2, 1200)
BOX = Bandpass("box", np.array([3.5, 3.55]), np.array([1.0, 1.0]))
SCALE, CORRELATION = 1.5, 0.3


def unit_noise(rng: np.random.Generator, n: int = 1200) -> FloatArray:
    """Noise whose neighbours correlate by 0.3: a moving average of two values of white noise."""
    white = rng.standard_normal(n + 1)
    part = (1.0 - np.sqrt(1.0 - 4.0 * CORRELATION**2)) / (2.0 * CORRELATION)
    return np.asarray((white[1:] + part * white[:-1]) / np.sqrt(1.0 + part**2))


def spectrum(seed: int, level: float = 1.0, line: float = 0.0, **changes: Any) -> SpectrumData:
    rng = np.random.default_rng(seed)
    stated = 0.2 + 0.1 * (WAVE - 4.0) ** 2
    flux = level * (1.0 + 0.2 * (WAVE - 4.0)) + line * np.exp(-0.5 * ((WAVE - 4.2) / 0.003) ** 2)
    values: dict[str, Any] = {
        "wavelength": WAVE,
        "fnu": flux + SCALE * stated * unit_noise(rng),
        "fnu_err": stated,
        "header": {},
        "grating": "G395M",
        "spectrum_id": f"s{seed}",
        "redshift": 5.0,
    }
    return SpectrumData(**(values | changes))


def collection(n: int = 4) -> xr.Dataset:
    many = [spectrum(k) for k in range(n)]

    def rows(name: str) -> Any:
        return (schema.NATIVE, np.stack([getattr(s, name) for s in many]), schema.attrs_of(name))

    return xr.Dataset(
        {
            **{name: rows(name) for name in ("fnu", "fnu_err", "flam", "flam_err")},
            "dq": (schema.NATIVE, np.zeros((n, len(WAVE)), dtype=np.uint8), schema.attrs_of("dq")),
        },
        {
            "wavelength": rows("wavelength"),
            "spectrum_id": ("spectrum", [s.spectrum_id for s in many]),
            "grating": ("spectrum", ["G395M"] * n),
            "redshift": ("spectrum", [5.0] * n),
        },
        {"campfire_schema": schema.SCHEMA_VERSION},
    )


def as_any(value: object) -> Any:
    return value


@pytest.fixture(scope="module")
def noise() -> Noise:
    return measure_noise([spectrum(k) for k in range(10, 20)])


def test_many_spectra_give_one_accurate_noise(noise: Noise) -> None:
    assert noise.scale == pytest.approx(np.full(17, SCALE), rel=0.08)
    assert noise.correlation == pytest.approx([1.0, CORRELATION, 0.0, 0.0], abs=0.04)
    assert (noise.spectra, noise.source, noise.grating) == (10, "residuals", "G395M")
    assert "10 spectra: errors 1.4" in repr(noise)
    assert "correlated by 0.3" in repr(noise)


def test_repeats_of_a_bright_source_with_lines_tell_its_noise() -> None:
    """From one of them, of S/N 1000 and not smooth, it would be that of the source; which is said."""
    wave = np.sin(900.0 * WAVE) * 3.0
    many = [spectrum(k, level=200.0, line=900.0) for k in range(6)]
    for k, one in enumerate(many):
        one.fnu = one.fnu + wave * (1.0 + 0.001 * k)
    found = measure_noise(many, repeats=True)
    assert found.scale == pytest.approx(np.full(17, SCALE), rel=0.1)
    assert found.correlation[1] == pytest.approx(CORRELATION, abs=0.05)
    assert found.source == "repeats"
    with pytest.warns(CampfireWarning, match="S/N is ... a pixel"):
        assert measure_noise(many[0]).scale.max() > 3.0


def test_every_face_gives_the_same_noise_and_lazy_rows_are_read_once() -> None:
    ds = collection()
    expected = measure_noise(ds)
    same = [
        measure_noise([spectrum(k) for k in range(4)]),
        ds.campfire.measure_noise(),
        ds.chunk(spectrum=3).campfire.measure_noise(),
        xr.DataTree.from_dict({"/G395M": ds}).campfire.measure_noise()["G395M"],
    ]
    for other in same:
        xr.testing.assert_allclose(expected.to_xarray(), other.to_xarray())
    alone = measure_noise(spectrum(3))
    xr.testing.assert_allclose(
        alone.to_xarray(), spectrum(3).to_xarray().campfire.measure_noise().to_xarray()
    )


def test_every_face_applies_the_same_noise(noise: Noise) -> None:
    ds = collection()
    eager = with_noise(ds, noise)
    lazy = ds.chunk(spectrum=3).campfire.with_noise(noise)
    assert lazy.fnu_err.chunks
    assert lazy.fnu_cov.chunks
    xr.testing.assert_allclose(eager, lazy.compute())
    tree = xr.DataTree.from_dict({"/G395M": ds}).campfire.with_noise({"G395M": noise})
    xr.testing.assert_identical(tree["G395M"].to_dataset(), eager)
    one = with_noise(spectrum(2), noise)
    single = spectrum(2).to_xarray().campfire.with_noise(noise)
    for got in (single, single.campfire.to_spectrum().to_xarray(), one.to_xarray(), eager.isel(spectrum=2)):
        for name in ("fnu_err", "flam_err", "fnu_cov", "fnu"):
            np.testing.assert_allclose(got[name].values, single[name].values, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(one.fnu_err, spectrum(2).fnu_err * noise.at(WAVE))
    assert one.covariance is not None
    assert np.sqrt(one.covariance.diagonal()) == pytest.approx(one.fnu_err)
    assert "errors as measured from residuals" in one.header["HISTORY"][-1]
    assert eager.attrs["history"] == single.attrs["history"] == one.header["HISTORY"][-1]
    assert schema.check(eager) == schema.check(single) == []


def _dense(noise: Noise, error: FloatArray) -> FloatArray:
    matrix = np.diag(np.square(error * noise.at(WAVE)))
    for k in range(1, 4):
        rows = np.arange(len(error) - k)
        value = noise.correlation[k] * np.sqrt(np.diag(matrix)[:-k] * np.diag(matrix)[k:])
        matrix[rows, rows + k] = matrix[rows + k, rows] = value
    return matrix


def test_what_follows_uses_the_covariance_of_native_spectra(noise: Noise) -> None:
    """Bands, lines, resampling and stacks: of a spectrum, a Dataset, and a native collection alike."""
    one, ds = with_noise(spectrum(0), noise), with_noise(collection(2), noise)
    matrix = _dense(noise, spectrum(0).fnu_err)
    bare = band_photometry(spectrum(0), [BOX]).flux_err.item()
    ratio = np.sqrt(1.0 + 2.0 * noise.correlation[1:].sum()) * noise.at(3.525)  # of a broad band
    for got in (band_photometry(one, [BOX]), ds.campfire.synthetic_photometry([BOX]).isel(spectrum=0)):
        assert got.flux_err.item() / bare == pytest.approx(ratio, rel=0.02)
    lines = [measure_lines(x, ["Hα"]).flux_err.values[0, 0] for x in (spectrum(0), one, ds)]
    assert lines[1] == pytest.approx(lines[2])
    assert lines[1] / lines[0] > 1.02 * SCALE  # least squares make the best of what neighbours share
    grid = WAVE[5:-5:4]
    resampled = campfire.resample_spectrum(one, grid)
    rows = ds.campfire.resample(grid)
    assert resampled.covariance is not None
    np.testing.assert_allclose(rows.fnu_err.values[0], resampled.fnu_err, rtol=1e-9)
    np.testing.assert_allclose(rows.fnu_cov.values[0, :-1, 1], resampled.covariance.diagonal(1))
    weights = np.zeros((len(grid), 1200))
    inside = np.arange(1200)[None] - (5 + 4 * np.arange(len(grid)))[:, None]
    weights[np.abs(inside) < 2], weights[np.abs(inside) == 2] = 0.25, 0.125
    np.testing.assert_allclose(
        resampled.fnu_err[1:-1], np.sqrt(np.diag(weights @ matrix @ weights.T))[1:-1], rtol=1e-3
    )
    stacked = ds.campfire.stack(grid=grid)
    listed = campfire.stack_spectra([one, with_noise(spectrum(1), noise)], wavelength_grid=grid)
    np.testing.assert_allclose(stacked.fnu_err.values, listed.fnu_err, rtol=1e-6)
    assert stacked.fnu_err.values[10] == pytest.approx(resampled.fnu_err[10] / np.sqrt(2), rel=0.01)
    phot = campfire.Photometry(["f356w"], [1.0], [0.03], [3.568])
    fitted = ds.campfire.calibrate(phot, method="flat")
    assert fitted.fnu_cov.dims == ("spectrum", "pixel", "lag")
    alone = campfire.calibrate_to_photometry(one, phot, method="flat").spectrum
    np.testing.assert_allclose(fitted.fnu_err.values[0], alone.fnu_err, rtol=1e-6)


def test_errors_of_bands_and_lines_hold_for_noise_not_known_before() -> None:
    """Pulls of a band and of a line: 1.0 after the noise was measured on each spectrum, 1.9 before."""
    pulls: dict[str, list[float]] = {"before": [], "after": [], "line": []}
    for seed in range(40):
        bare = spectrum(seed + 100)
        better = with_noise(bare, measure_noise(bare))
        truth = 1.0 + 0.2 * (3.525 - 4.0)
        for name, data in (("before", bare), ("after", better)):
            found = band_photometry(data, [BOX])
            pulls[name].append((found.flux.item() - truth) / found.flux_err.item())
        line = measure_lines(better, ["Hα"])
        pulls["line"].append(line.flux.item() / line.flux_err.item())
    assert np.std(pulls["before"]) > 1.6
    assert np.std(pulls["after"]) == pytest.approx(1.0, abs=0.25)
    assert np.std(pulls["line"]) == pytest.approx(1.0, abs=0.3)


def _sums(spec: SpectrumData, noise: Noise | None) -> float:
    """Return the scatter of sums of 8 pixels about a running median of 31, over their errors."""
    data = spec if noise is None else with_noise(spec, noise)
    good = ~data.mask
    known = data.covariance
    matrix = np.diag(np.square(data.fnu_err)) if known is None else known.toarray()
    left = np.zeros(len(data))
    left[good] = data.fnu[good] - median_filter(data.fnu[good], 31)
    blocks = [slice(k, k + 8) for k in range(0, len(data) - 8, 8) if good[k : k + 8].all()]
    pulls = np.array([left[at].sum() / np.sqrt(matrix[at, at].sum()) for at in blocks])
    return float(1.4826 * np.median(np.abs(pulls - np.median(pulls))))  # lines are not noise


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("jw02736-o007_s06355_nirspec_f290lp-g395m_x1d.fits", 2.34, 1.03),
        ("excels-uds04-v4_g395m-f290lp_3543_63107.spec.fits", 0.93, 0.97),
        ("borg-v4_prism-clear_1747_732.spec.fits", 1.08, 1.10),
    ],
)
def test_sums_over_pixels_of_real_files_have_the_errors_that_it_gives(
    real_spectra: Path, name: str, before: float, after: float
) -> None:
    """To 10 %; by sums about a running median, which has nothing to do with the filter of the kernel."""
    spec = SpectrumData.from_fits(real_spectra / name)
    assert _sums(spec, None) == pytest.approx(before, abs=0.02)
    assert _sums(spec, measure_noise(spec)) == pytest.approx(after, abs=0.02)


def test_noise_is_kept_by_a_dataset_and_a_file(noise: Noise, tmp_path: Path) -> None:
    noise.to_xarray().to_netcdf(tmp_path / "noise.nc", engine="h5netcdf")
    again = Noise.from_xarray(xr.load_dataset(tmp_path / "noise.nc", engine="h5netcdf"))
    xr.testing.assert_identical(noise.to_xarray(), again.to_xarray())
    assert repr(again) == repr(noise)
    with pytest.raises(ValidationError, match="not the Dataset of a Noise"):
        Noise.from_xarray(xr.Dataset())


def test_noise_is_drawn(noise: Noise) -> None:
    top, side = noise.plot()
    assert top.get_ylabel() == "measured / stated error"
    assert side.get_xlabel() == "lag (pixels)"
    plt.close("all")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda n: measure_noise([spectrum(0), spectrum(1, grating="PRISM")]),
            "several gratings: G395M, PRISM",
        ),
        (lambda n: measure_noise(spectrum(0), repeats=True), "but one spectrum"),
        (
            lambda n: measure_noise([spectrum(0), spectrum(1, wavelength=WAVE + 1e-3)], repeats=True),
            "pixels of",
        ),
        (lambda n: measure_noise(spectrum(0), lags=9), "lags=9"),
        (lambda n: measure_noise(spectrum(0, mask=WAVE > 2.95)), "pixels are left"),
        (lambda n: measure_noise(spectrum(0, fnu=np.zeros(1200))), "no noise"),
        (lambda n: measure_noise([]), "no spectra"),
        (lambda n: measure_noise(as_any("G395M")), "not spectra"),
        (lambda n: measure_noise(spectrum(0, header={"SPECSYS": "SOURCE"})), "in the rest frame"),
        (lambda n: with_noise(spectrum(0, grating="PRISM"), n), "noise of G395M, spectra of PRISM"),
        (lambda n: with_noise(with_noise(spectrum(0), n), n), "known already"),
        (lambda n: with_noise(collection(2).campfire.with_noise(n), n), "known already"),
        (lambda n: with_noise(collection(2).campfire.resample(WAVE[::2]), n), "was resampled"),
        (lambda n: with_noise(spectrum(0), as_any("noise")), "noise is 'noise'"),
        (lambda n: with_noise(as_any(WAVE), n), "not spectra"),
        (
            lambda n: xr.DataTree.from_dict({"/G395M": collection(2)}).campfire.with_noise({"PRISM": n}),
            "no noise of G395M",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(call: Any, message: str, noise: Noise) -> None:
    with pytest.raises(ValidationError, match=message):
        call(noise)
