"""Statements checked: lines of spectra of every kind are measured as documented, or it is said why not."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from campfire.analysis.lines import EMISSION_LINES, measure_lines
from campfire.analysis.resampling import resample_spectrum
from campfire.analysis.stacking import stack_spectra
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.grids import pixel_edges
from campfire.kernels.lsf import FWHM_PER_SIGMA, resolving_power
from campfire.models import SpectrumData
from campfire.typing import FloatArray
from campfire.units import SPEED_OF_LIGHT, flam_to_fnu

REST = {line["name"]: line["wave"] for line in EMISSION_LINES}
FLUX = 1e-17


def prism_pixels() -> FloatArray:
    """Return pixels as the prism has them, 2.2 a resolution element."""
    wave = [0.6]
    while wave[-1] < 5.3:
        wave.append(wave[-1] * (1 + 1 / 2.2 / resolving_power("PRISM", np.array(wave[-1:]))[0]))
    return np.array(wave)


PIXELS = {
    "PRISM": prism_pixels(),
    "G395M": np.arange(2.87, 5.2, 0.00179),
    "G395H": np.arange(2.87, 5.2, 0.000665),
}


def source(
    grating: str = "G395M",
    lines: dict[str, float] | None = None,
    redshift: float = 5.0,
    *,
    width: float = 300.0,
    noise: float = 2e-21,
    count: int = 1,
    wave: FloatArray | None = None,
    **fields: Any,
) -> list[SpectrumData]:
    """Return spectra of lines (name -> flux) on a sloping continuum, with noise unless count is 1."""
    wave = PIXELS[grating] if wave is None else wave
    edges = pixel_edges(wave)
    flam = 1e-20 * (1 + 0.1 * (wave - wave.mean()))
    for name, flux in (lines or {"Hα": FLUX}).items():
        centre = REST[name] * (1 + redshift)
        own = centre * width * 1e3 / SPEED_OF_LIGHT
        sigma = np.hypot(centre / resolving_power(grating, np.array(centre)), own) / FWHM_PER_SIGMA
        flam = flam + flux * np.diff(ndtr((edges - centre) / sigma)) / (np.diff(edges) * 1e4)
    error = np.full(wave.size, noise)
    rng = np.random.default_rng(0)
    noisy = flam + (rng.normal(0, noise, (count, wave.size)) if count > 1 else 0.0)
    given = {"redshift": redshift} | fields
    return [
        SpectrumData(wave, flam_to_fnu(row, wave), flam_to_fnu(error, wave), {}, grating, f"e{k}", **given)
        for k, row in enumerate(np.atleast_2d(noisy))
    ]


def check_pulls(found: xr.Dataset, fluxes: dict[str, float]) -> None:
    for name, flux in fluxes.items():
        one = found.sel(line=name)
        pulls = (one.flux.values - flux) / one.flux_err.values
        assert np.std(pulls) == pytest.approx(1, abs=0.1), name
        assert abs(np.mean(pulls)) < 0.2, name


def test_lines_of_many_spectra() -> None:
    """Flux, width and limit of a known line; unit pulls over 500 spectra (10 %)."""
    found = measure_lines(source(count=500), ["Hα"])
    assert found["flux"].dims == ("spectrum", "line")
    assert found["flux"].attrs["units"] == "erg s-1 cm-2"
    check_pulls(found, {"Hα": FLUX})
    clean = measure_lines(source(), ["Hα"])
    level = 1e-20 * (1 + 0.1 * (REST["Hα"] * 6 - PIXELS["G395M"].mean()))
    assert clean["equivalent_width"].values[0, 0] == pytest.approx(FLUX / level / 6, rel=1e-3)
    np.testing.assert_allclose(clean["upper_limit"], clean["flux"] + 3 * clean["flux_err"])
    assert clean["rest_wave"].attrs["medium"] == "vacuum"
    assert clean["reason"].values.tolist() == [[""]]


@pytest.mark.parametrize("method", ["profile", "window"])
@pytest.mark.parametrize(
    ("grating", "redshift", "lines"),
    [
        ("G395M", 5.0, {"[SII]₁": FLUX, "[SII]₂": 2 * FLUX}),
        ("G395M", 5.0, {"Hα": 3 * FLUX, "[NII]": FLUX, "[NII]₁": FLUX / 3.05}),
        ("G395H", 5.0, {"Hα": 3 * FLUX, "[NII]": FLUX, "[NII]₁": FLUX / 3.05}),
        ("PRISM", 7.0, {"Hβ": FLUX, "[OIII]₁": 2 * FLUX, "[OIII]₂": 5.96 * FLUX}),
        ("PRISM", 4.8, {"Hβ": FLUX, "[OIII]₁": 2 * FLUX, "[OIII]₂": 5.96 * FLUX}),
    ],
)
def test_blended_lines_have_unit_pulls(
    grating: str, redshift: float, lines: dict[str, float], method: Any
) -> None:
    found = measure_lines(source(grating, lines, redshift, count=400), list(lines), width=300, method=method)
    check_pulls(found, lines)
    assert (found["blend"] == "").all()
    assert found["blended"].values[0].any()


def test_lines_that_are_not_resolved_are_given_once() -> None:
    """Hα and [NII] on the prism: their total for Hα, and NaN with a reason for the others."""
    lines = {"[NII]₁": FLUX / 3, "Hα": 3 * FLUX, "[NII]": FLUX}
    spectra = source("PRISM", lines, count=400)
    found = measure_lines(spectra, list(lines))
    check_pulls(found, {"Hα": sum(lines.values())})
    assert found["blend"].sel(line="Hα").values[0] == "[NII]₁+Hα+[NII]"
    assert found["reason"].values[0].tolist() == ["measured with Hα", "", "measured with Hα"]
    assert np.isnan(found["flux"].sel(line=["[NII]₁", "[NII]"])).all()
    alone = measure_lines(spectra, ["[NII]"])  # nobody else to give it to
    np.testing.assert_allclose(alone["flux"][:, 0], found["flux"].sel(line="Hα"), rtol=1e-12)
    assert alone["blend"].values[0, 0] == "[NII]₁+Hα+[NII]"


@pytest.mark.parametrize(("width", "half"), [(2000.0, 0.0028), (800.0, 0.0009)])
def test_masked_pixels_in_a_line(width: float, half: float) -> None:
    """Three pixels, or one, in the middle of Hα: no bias, and less coverage than by width."""
    mask = np.abs(PIXELS["G395M"] - REST["Hα"] * 6) < half
    assert mask.sum() == (3 if width > 1000 else 1)
    found = measure_lines(source(width=width, count=500, mask=mask), ["Hα"], width=width)
    check_pulls(found, {"Hα": FLUX})
    assert 0.8 < found["coverage"].values[0, 0] < 0.9
    wide = measure_lines(source(mask=np.abs(PIXELS["G395M"] - REST["Hα"] * 6) < 0.003), ["Hα"])
    assert wide["reason"].values.tolist() == [["masked"]]
    assert np.isnan(wide["upper_limit"]).all()


@pytest.mark.parametrize("redshift", np.arange(0.0, 10.0, 0.7).tolist())
def test_every_covered_line_on_the_prism_is_measured(redshift: float) -> None:
    """By itself or in a blend, never NaN without a reason; nothing found where there is nothing."""
    found = measure_lines(source("PRISM", {"Lyα": 0.0}, redshift, count=40))
    covered = found["coverage"].values[0] > 0.99
    reasons = found["reason"].values[0]
    assert covered.sum() > 5
    assert all(r == "" or r.startswith("measured with ") for r in reasons[covered])
    np.testing.assert_array_equal(np.isnan(found["flux"].values[0]), reasons != "")
    pulls = (found["flux"] / found["flux_err"]).values[:, reasons == ""]
    assert np.std(pulls) == pytest.approx(1, abs=0.15)


def test_real_prism_spectra(real_spectra: Path) -> None:
    for path in sorted(real_spectra.glob("*prism*")):
        data = SpectrumData.from_fits(path)
        for redshift in np.arange(0, 10, 0.5):
            found = measure_lines(data, redshift=redshift)
            covered = found["coverage"].values[0] > 0.99
            left = set(found["reason"].values[0][covered])
            assert all(r == "" or r.startswith("measured with ") for r in left), (path.name, redshift)
    found = measure_lines(data, ["Hα", "[OIII]₂", "Hβ", "[OII]"], redshift=1.8)
    assert found["reason"].values[0].tolist() == ["", "", "measured with [OIII]₂", ""]


def test_default_lines_are_those_in_range_and_blends_are_flagged() -> None:
    found = measure_lines(source()[0], redshift=5.0)
    names = found["line"].values.tolist()
    assert "Hα" in names
    assert "Lyα" not in names
    assert bool(found["blended"].sel(line="[NII]").item()) is True
    assert bool(found["blended"].sel(line="Hα").item()) is True
    assert bool(found["blended"].sel(line="[OIII]₂").item()) is False


def test_a_line_given_by_wavelength_is_the_known_one() -> None:
    found = measure_lines(source(), ["Hα", REST["Hα"], 0.7])
    assert found["line"].values.tolist() == ["Hα", "0.656461", "0.7"]
    np.testing.assert_array_equal(found["flux"][:, 0], found["flux"][:, 1])
    assert (found["reason"] == "").all()
    assert not found["blended"].sel(line="0.7").values.any()


def test_no_known_line_in_the_spectrum() -> None:
    found = measure_lines(source(), redshift=0.0)  # 2.9-5.2 um
    assert found.sizes == {"spectrum": 1, "line": 0}


def test_lines_outside_the_spectrum_are_nan() -> None:
    found = measure_lines(source(), ["Lyα"])
    assert np.isnan(found["flux"].values).all()
    assert found["reason"].values.tolist() == [["outside"]]


# ---- resolving powers


@pytest.mark.parametrize("step", [0.0011, 0.005, 0.01, 0.02])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_regridded_lines_keep_their_flux(step: float, shift: float) -> None:
    grid = np.arange(2.9 + shift * step, 5.1, step)
    found = measure_lines(resample_spectrum(source()[0], grid), ["Hα"])
    assert found["flux"].item() == pytest.approx(FLUX, rel=0.02)


def known(data: SpectrumData, power: Any) -> xr.Dataset:
    """Return the Dataset of a spectrum whose resolving power is known."""
    return data.to_xarray().assign_coords(resolving_power=("wavelength", power))


def test_stack_of_two_gratings_has_the_lower_resolving_power() -> None:
    """Its lines are as wide as those of the prism; without the coordinate that is a warned guess."""
    grid = PIXELS["G395M"]
    for match in (False, True):
        stack = stack_spectra(source("PRISM") + source("G395M"), wavelength_grid=grid, match_resolution=match)
        found = measure_lines(known(stack, resolving_power("PRISM", grid)), ["Hα"], redshift=5.0)
        assert found["flux"].item() == pytest.approx(FLUX, rel=0.02)
        assert found["blend"].item() == "[NII]₁+Hα+[NII]"


def test_stack_in_the_rest_frame() -> None:
    """Lines that are resolved as observed are so in the rest frame, with the fluxes they had."""
    lines = {"Hβ": FLUX / 3, "[OIII]₁": FLUX / 2.98, "[OIII]₂": FLUX}
    lines |= {"[NII]₁": FLUX / 6.1, "Hα": FLUX, "[NII]": FLUX / 2}
    stack = stack_spectra(source(lines=lines, width=150), redshift=[5.0])
    observed = resolving_power("G395M", stack.wavelength * 6)
    found = measure_lines(known(stack, observed), list(lines), width=150)
    np.testing.assert_allclose(found["flux"][0], list(lines.values()), rtol=0.02)
    assert (found["blend"] == "").all()


def test_an_unknown_resolving_power_is_warned_of() -> None:
    data = source()[0]
    unknown = SpectrumData(data.wavelength, data.fnu, data.fnu_err, {}, "UNKNOWN", "mine", redshift=5.0)
    with pytest.warns(CampfireWarning, match=r"of 1 spectra is not known, a FWHM of 2.2 pixels .*: mine"):
        found = measure_lines(unknown, ["Hα"])
    assert found["flux"].item() == pytest.approx(FLUX, rel=0.01)
    both = SpectrumData(data.wavelength, data.fnu, data.fnu_err, {}, "G395M+PRISM", "two", redshift=5.0)
    with pytest.warns(CampfireWarning, match="the lowest of its gratings is assumed: two, two"):
        measure_lines([both, both, data], ["Hα"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        power = resolving_power("G395M", data.wavelength)
        power[::3] = np.nan
        told = measure_lines(known(unknown, power), ["Hα"])
        unknown.resolving_power = power
        xr.testing.assert_equal(measure_lines(unknown, ["Hα"]), told)
    assert told["flux"].item() == pytest.approx(measure_lines(data, ["Hα"])["flux"].item(), rel=1e-9)


def test_collections_give_what_their_spectra_give() -> None:
    """Native with padding, on one grid, and in a tree, with the coordinate of each."""
    spectra = [
        *source(count=2, redshift=5.0),
        *source(count=2, redshift=5.2, wave=PIXELS["G395M"][40:-7]),
    ]
    expected = measure_lines(spectra, ["Hα", "[NII]"])
    wave = np.full((4, PIXELS["G395M"].size), np.nan)
    fnu, error = wave.copy(), wave.copy()
    for k, data in enumerate(spectra):
        wave[k, : len(data)], fnu[k, : len(data)], error[k, : len(data)] = (
            data.wavelength,
            data.fnu,
            data.fnu_err,
        )
    dims = ("spectrum", "pixel")
    native = xr.Dataset(
        {
            "fnu": (dims, fnu, {"units": "uJy"}),
            "fnu_err": (dims, error),
            "dq": (dims, np.isnan(fnu).astype(np.uint8)),
        },
        {
            "wavelength": (dims, wave),
            "spectrum_id": ("spectrum", list("abcd")),
            "redshift": ("spectrum", [s.redshift for s in spectra]),
            "resolving_power": (dims, resolving_power("G395M", wave)),
        },
    )
    names = ["flux", "flux_err", "equivalent_width", "coverage"]
    for found in (measure_lines(native, ["Hα", "[NII]"]), measure_lines([native], ["Hα", "[NII]"])):
        xr.testing.assert_allclose(
            found[names].drop_vars("spectrum_id"), expected[names].drop_vars("spectrum_id")
        )
    turned = native.isel(pixel=slice(None, None, -1))
    backwards = measure_lines([turned.isel(spectrum=[k]) for k in range(4)], ["Hα", "[NII]"])
    xr.testing.assert_allclose(
        backwards[names].drop_vars("spectrum_id"), expected[names].drop_vars("spectrum_id")
    )
    tree = xr.DataTree.from_dict({"/G395M": native})
    xr.testing.assert_equal(measure_lines(tree, ["Hα", "[NII]"]), found)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**16))
def test_the_order_of_lines_and_spectra_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spectra = source("PRISM", count=4, redshift=3.0) + source("G395M", count=2, redshift=6.0)
    names = ["Hα", "[NII]", "Hβ", "[OIII]₂", "[SII]₁", "[OII]"]
    first, second = rng.permutation(6), rng.permutation(6)
    found = measure_lines(spectra, names)
    mixed = measure_lines([spectra[k] for k in first], [names[k] for k in second])
    for name in ("flux", "flux_err", "reason", "blend", "coverage"):
        left, right = found[name].values[np.ix_(first, second)], mixed[name].values
        if left.dtype.kind == "f":
            np.testing.assert_allclose(right, left, rtol=1e-8)
        else:
            np.testing.assert_array_equal(right, left)


# ---- what is refused


@pytest.mark.parametrize(
    ("spectra", "lines", "redshift", "match"),
    [
        (None, ["Xα"], None, "no line 'Xα'"),
        (None, [], None, "no lines"),
        (None, [-1.0], None, "no line at"),
        (None, ["Hα"], [1.0, 2.0], "redshifts"),
        (None, ["Hα"], np.nan, "redshifts"),
        ([], ["Hα"], None, "no spectra"),
        ("text", ["Hα"], None, "not spectra"),
    ],
)
def test_bad_line_input(spectra: Any, lines: Any, redshift: Any, match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        measure_lines(source() if spectra is None else spectra, lines, redshift)


def test_a_redshift_is_needed() -> None:
    with pytest.raises(ValidationError, match="redshifts missing"):
        measure_lines(SpectrumData(np.arange(1.0, 9.0), np.ones(8), np.ones(8), {}, "PRISM", "x"), ["Hα"])


def test_lines_follow_a_correction_of_the_flux_alone() -> None:
    """A slit loss undone in fnu, with the f_lambda of the file left behind."""
    wave = np.linspace(2.5, 4.0, 900)
    flam = 1e-20 + 1e-18 * np.exp(-0.5 * ((wave - 0.656461 * 5) / 0.004) ** 2)
    fnu = flam * wave**2 / 2.99792458e-19
    spec = SpectrumData(
        wave, fnu, 0.01 * fnu, {}, "G395M", "a", flam=flam, flam_err=0.01 * flam, redshift=4.0
    )
    twice = dataclasses.replace(spec, fnu=2 * spec.fnu, fnu_err=2 * spec.fnu_err)
    ds = spec.to_xarray()
    scaled = ds.assign(fnu=ds.fnu.copy(data=2 * fnu), fnu_err=ds.fnu_err.copy(data=0.02 * fnu))
    one = measure_lines(spec, [0.656461])
    for other in (twice, scaled.campfire.to_spectrum()):
        many = measure_lines(other, [0.656461])
        assert many.flux.item() == pytest.approx(2 * one.flux.item(), rel=1e-9)
        assert many.flux_err.item() == pytest.approx(2 * one.flux_err.item(), rel=1e-9)
