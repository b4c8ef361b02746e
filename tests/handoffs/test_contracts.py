"""Statements about every hand-off: a tool is given the spectrum, in the tool's units and conventions.

Pixels are read back as each tool understands them, with units of astropy, and compared with the spectrum. The
same comparison has to fail for hand-offs with a planted fault.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import pytest

from campfire import SpectrumData, handoffs
from campfire.errors import ValidationError
from campfire.handoffs import Inputs
from campfire.handoffs.prepared import to_air
from campfire.typing import BoolArray, FloatArray
from tests.handoffs.simulated import BAD, emission_galaxy

FLAM = u.erg / u.s / u.cm**2 / u.AA
MAGGIE = 3631 * u.Jy


class Pixels(NamedTuple):
    """What a tool sees: microns in vacuum as observed, microjansky, and which pixels it would fit."""

    wavelength: FloatArray
    fnu: FloatArray
    error: FloatArray
    good: BoolArray


def _from_air(wave: FloatArray, z: float) -> FloatArray:
    grid = np.linspace(500, 60_000, 400_000)
    return np.asarray(np.interp(wave / (1 + z), to_air(grid), grid) * (1 + z))


def _flam(wave: FloatArray, flux: FloatArray) -> FloatArray:
    return np.asarray((flux * FLAM).to_value(u.uJy, u.spectral_density(wave * u.um)))


def _bagpipes(inputs: Inputs) -> Pixels:
    assert inputs["spec_units"] == "ergscma"
    wave, flux, error = inputs["load_data"](inputs["ID"]).T
    wave = _from_air(wave, float(inputs.origin["redshift"])) / 1e4
    good = error < 1e90
    return Pixels(wave, _flam(wave, flux), np.where(good, _flam(wave, np.where(good, error, 0)), error), good)


def _lime(inputs: Inputs) -> Pixels:
    assert (inputs["units_wave"], inputs["units_flux"]) == ("AA", "FLAM")
    wave, good = inputs["input_wave"] / 1e4, ~inputs["pixel_mask"]
    return Pixels(wave, _flam(wave, inputs["input_flux"]), _flam(wave, inputs["input_err"]), good)


def _prospector(inputs: Inputs) -> Pixels:
    flux, error = ((inputs[name] * MAGGIE).to_value(u.uJy) for name in ("spectrum", "unc"))
    return Pixels(inputs["wavelength"] / 1e4, flux, error, inputs["mask"])


def _msaexp(inputs: Inputs) -> Pixels:
    table = inputs["spec_input"]
    assert [table[name].unit for name in ("wave", "flux", "err")] == [u.um, u.uJy, u.uJy]
    wave, flux, error = (np.asarray(table[name]) for name in ("wave", "flux", "err"))
    return Pixels(wave, flux, error, np.isfinite(flux + error) & (error > 0) & (flux != 0))


def _jwspecfit(inputs: Inputs) -> Pixels:
    flux, error = inputs["flux_ujy"], inputs["err_ujy"]
    good = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    return Pixels(inputs["wave_um"], np.where(good, flux, 0.0), error, good)


def _redrock(inputs: Inputs) -> Pixels:
    wave, good = inputs["wave"] / 1e4, inputs["ivar"] > 0
    error = 1e-17 / np.sqrt(np.where(good, inputs["ivar"], 1.0))
    return Pixels(wave, _flam(wave, inputs["flux"] * 1e-17), _flam(wave, error), good)


def _jdaviz(inputs: Inputs) -> Pixels:
    spectrum = inputs["inp"]
    wave, flux = spectrum.spectral_axis.to_value(u.um), spectrum.flux.to_value(u.uJy)
    assert spectrum.mask is None or not np.any(spectrum.mask)
    error = spectrum.uncertainty.quantity.to_value(u.uJy)
    return Pixels(wave, np.array(flux), error, np.ones(wave.size, dtype=bool))


READERS: dict[str, Callable[[Inputs], Pixels]] = {
    "bagpipes": _bagpipes,
    "jdaviz": _jdaviz,
    "jwspecfit": _jwspecfit,
    "lime": _lime,
    "msaexp": _msaexp,
    "redrock": _redrock,
    "prospector": _prospector,
}
ALL = [*READERS, "ppxf"]
RESOLUTION: dict[str, Callable[[Inputs], FloatArray]] = {
    "bagpipes": lambda i: i.beside["R_curve"][:, 1],
    "jwspecfit": lambda i: i["R"](i["wave_um"]),
    "lime": lambda i: np.asarray(i["res_power"]),
    "msaexp": lambda i: np.asarray(i["spec_input"]["R"]),
    "prospector": lambda i: 299_792.458 / (i.beside["sigma_km_s"] * 2.354820),
    "ppxf": lambda i: i["lam"] / i.beside["fwhm_gal"]["fwhm"],
}


def hand_over(tool: str, spectrum: Any, **options: Any) -> Inputs:
    made: Inputs = getattr(handoffs, f"to_{tool}")(spectrum, **options)
    return made


def compare(seen: Pixels, spectrum: SpectrumData) -> None:
    """Assert that a tool sees the spectrum: its good pixels as they are, the others not at all."""
    for values in seen[:3]:
        assert np.all(np.isfinite(values))
    assert np.all(seen.error > 0)
    at = np.searchsorted(spectrum.wavelength, seen.wavelength * (1 - 1e-6))
    assert np.allclose(spectrum.wavelength[at], seen.wavelength, rtol=1e-7, atol=0)
    assert np.array_equal(~spectrum.mask[at], seen.good)
    assert seen.good.sum() == (~spectrum.mask).sum()
    good = at[seen.good]
    assert np.allclose(seen.fnu[seen.good], spectrum.fnu[good], rtol=1e-6)
    assert np.allclose(seen.error[seen.good], spectrum.fnu_err[good], rtol=1e-6)


@pytest.fixture(scope="module")
def galaxy() -> SpectrumData:
    return emission_galaxy()[0]


FORMS: dict[str, Callable[[SpectrumData], Any]] = {
    "SpectrumData": lambda s: s,
    "Dataset": lambda s: s.to_xarray(),
    "lazy": lambda s: s.to_xarray().chunk(wavelength=200),
    "single precision": lambda s: s.to_xarray().assign(fnu=lambda d: d.fnu.astype("f4")),
    "decreasing": lambda s: s.to_xarray().isel(wavelength=slice(None, None, -1)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tool", READERS)
def test_a_tool_sees_the_good_pixels_and_no_others(tool: str, form: str, galaxy: SpectrumData) -> None:
    compare(READERS[tool](hand_over(tool, FORMS[form](galaxy))), galaxy)


def test_a_tool_sees_the_good_pixels_of_real_files(real_spectra: Path) -> None:
    paths = sorted(real_spectra.rglob("*.fits"))
    assert paths
    for path in paths:
        spectrum = SpectrumData.from_fits(path)
        for tool, read in READERS.items():
            options = {} if tool == "jdaviz" else {"redshift": 3.0}
            compare(read(hand_over(tool, spectrum, **options)), spectrum)
        inputs = hand_over("ppxf", spectrum, redshift=3.0)
        np.linalg.cholesky(inputs["noise"])


FAULTS: dict[str, Callable[[SpectrumData], SpectrumData]] = {
    "microns for angstrom": lambda s: _changed(s, wavelength=s.wavelength / 1e4),
    "air for vacuum": lambda s: _changed(s, wavelength=s.wavelength / 1.00028),
    "rest frame for observed": lambda s: _changed(s, wavelength=s.wavelength / 7.5),
    "f_lambda for f_nu": lambda s: _changed(s, fnu=s.fnu * s.wavelength**2),
    "nanojansky": lambda s: _changed(s, fnu=s.fnu * 1e3, fnu_err=s.fnu_err * 1e3),
    "variance for sigma": lambda s: _changed(s, fnu_err=s.fnu_err**2),
    "inverse variance": lambda s: _changed(s, fnu_err=1 / s.fnu_err**2),
    "mask turned round": lambda s: _changed(s, fnu_err=np.where(s.mask, 0.1, np.nan), mask=None),
    "no mask": lambda s: _changed(
        s, fnu=np.nan_to_num(s.fnu), fnu_err=np.where(s.fnu_err > 0, s.fnu_err, 1.0), mask=None
    ),
}


def _changed(spectrum: SpectrumData, **fields: Any) -> SpectrumData:
    return SpectrumData(**{**spectrum.to_fields(), "flam": None, "flam_err": None, **fields})


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("tool", READERS)
def test_the_comparison_notices_a_planted_fault(tool: str, fault: str, galaxy: SpectrumData) -> None:
    with np.errstate(all="ignore"):
        faulty = FAULTS[fault](_changed(galaxy, resolving_power=np.full(len(galaxy), 1000.0)))
    with pytest.raises((AssertionError, IndexError)):
        compare(READERS[tool](hand_over(tool, faulty)), galaxy)


@pytest.mark.parametrize("tool", READERS)
def test_the_comparison_notices_what_is_not_finite(tool: str, galaxy: SpectrumData) -> None:
    for number in range(3):
        seen = READERS[tool](hand_over(tool, galaxy))
        seen[number][seen.good.argmax() + 5] = np.nan
        with pytest.raises(AssertionError):
            compare(seen, galaxy)


@pytest.mark.parametrize("tool", RESOLUTION)
def test_resolving_power_is_that_of_the_disperser_as_fwhm(tool: str, galaxy: SpectrumData) -> None:
    found = RESOLUTION[tool](hand_over(tool, galaxy))
    # R = 259 lambda; tools whose models do not go through the pixels get those of at most 2 in it
    expected = 259.0 * np.interp(np.linspace(0, 1, found.size), [0, 1], galaxy.wavelength[[0, -1]])
    assert np.all(found <= expected * 1.02)
    assert np.all(found > expected * 0.85)
    given = RESOLUTION[tool](hand_over(tool, galaxy, resolving_power=300.0))
    assert np.all((given <= 300.0 * (1 + 1e-6)) & (given > 290.0))


def test_wavelengths_in_air_are_those_of_specutils() -> None:
    wcs_utils = pytest.importorskip("specutils.utils.wcs_utils")
    wave = np.linspace(2020, 50_000, 1000)
    theirs = wcs_utils.vac_to_air(wave * u.AA, method="Ciddor1996").value
    assert np.allclose(to_air(wave), theirs, rtol=1e-9)
    assert np.all(np.diff(to_air(np.arange(1900, 2100, 0.05))) > 0)


def unknown(spectrum: SpectrumData) -> SpectrumData:
    return _changed(spectrum, grating="G395M+PRISM")


OBSERVED = ("bagpipes", "jwspecfit", "lime", "msaexp", "prospector", "redrock")
REFUSED: list[tuple[str, Callable[[SpectrumData], Any], str, tuple[str, ...]]] = [
    (
        "no redshift",
        lambda s: _changed(s, redshift=None),
        "no redshift",
        ("bagpipes", "jwspecfit", "lime", "ppxf"),
    ),
    (
        "no resolving power",
        unknown,
        "resolving power of sim_1",
        ("bagpipes", "jwspecfit", "lime", "ppxf", "prospector", "redrock"),
    ),
    ("two gratings", unknown, "grating of sim_1", ("msaexp",)),
    (
        "rest frame",
        lambda s: s.to_xarray().campfire.to_restframe(2.0),
        "in the rest frame",
        OBSERVED,
    ),
    ("relative", lambda s: _changed(s, fnu_units="1"), "relative", OBSERVED),
    ("no good pixel", lambda s: _changed(s, mask=np.ones(len(s), bool)), "no good pixel", tuple(ALL)),
    ("two spectra", lambda s: [s, s], "2 spectra", tuple(ALL)),
]


@pytest.mark.parametrize(
    ("tool", "make", "message"),
    [pytest.param(t, make, m, id=f"{t}: {name}") for name, make, m, tools in REFUSED for t in tools],
)
def test_what_is_missing_is_said(
    tool: str, make: Callable[[SpectrumData], Any], message: str, galaxy: SpectrumData
) -> None:
    with pytest.raises(ValidationError, match=message):
        hand_over(tool, make(galaxy))


@pytest.mark.parametrize("tool", RESOLUTION)
@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, [1.0, 2.0]])
def test_a_resolving_power_has_to_be_one(tool: str, wrong: Any, galaxy: SpectrumData) -> None:
    with pytest.raises(ValidationError, match="resolving_power"):
        hand_over(tool, galaxy, resolving_power=wrong)


@pytest.mark.parametrize("tool", ALL)
def test_the_origin_ties_a_result_to_file_and_pixels(
    tool: str, galaxy: SpectrumData, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import hashlib

    path = tmp_path_factory.mktemp("file") / "sim_spec.fits"
    galaxy.write(path)
    spectrum = SpectrumData.from_fits(path)
    spectrum.redshift = 3.0
    inputs = hand_over(tool, spectrum.to_xarray())
    assert inputs.origin["file_hash"] == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert inputs.origin["fits_file"] == path.name
    assert float(inputs.origin["redshift"]) == 3.0
    if tool != "jdaviz":  # spectra of specutils do not pickle
        again = pickle.loads(pickle.dumps(inputs))
        assert (again.tool, again.origin, list(again)) == (tool, inputs.origin, list(inputs))
    spectrum.fnu[100] *= 1 + 1e-12
    assert hand_over(tool, spectrum).origin["pixels_hash"] != inputs.origin["pixels_hash"]
    spectrum.fnu[BAD[2]] = 7.0  # masked: whatever stands there
    assert hand_over(tool, spectrum).origin["spectrum_id"] == spectrum.spectrum_id
    accessor = getattr(spectrum.to_xarray().campfire, f"to_{tool}")()
    assert list(accessor) == list(inputs)


@pytest.mark.parametrize("tool", ALL)
def test_masked_pixels_change_nothing(tool: str, galaxy: SpectrumData) -> None:
    other = galaxy.fnu.copy()
    other[galaxy.mask] = [7.0, np.inf, np.nan]
    first, second = (hand_over(tool, s) for s in (galaxy, _changed(galaxy, fnu=other, mask=galaxy.mask)))
    read = READERS.get(tool, lambda i: [i["galaxy"], i["noise"]])
    for before, after in zip(read(first), read(second), strict=True):
        assert np.array_equal(before, after)
    assert first.origin == second.origin
