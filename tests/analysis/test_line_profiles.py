"""Statements checked: of ``measure_lines`` by profiles, in all containers, against what it integrates."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire import schema
from campfire.analysis.lines import measure_lines
from campfire.convert.covariance import from_banded
from campfire.errors import ValidationError
from campfire.kernels.lsf import resolving_power
from campfire.models import SpectrumData
from tests.analysis.test_lines import FLUX, PIXELS, source

DOUBLETS = {"[OIII]₁": ("[OIII]₂", 2.98), "[NII]₁": ("[NII]", 3.05)}


def collection(spectra: list[SpectrumData], length: int = 1400) -> xr.Dataset:
    """Return the Dataset of a native collection, padded."""

    def rows(values: list[Any]) -> Any:
        padded = np.full((len(spectra), length), np.nan)
        for k, value in enumerate(values):
            padded[k, : len(value)] = value
        return padded

    dims = schema.NATIVE
    fnu = rows([s.fnu for s in spectra])
    return xr.Dataset(
        {
            "fnu": (dims, fnu, schema.attrs_of("fnu")),
            "fnu_err": (dims, rows([s.fnu_err for s in spectra]), schema.attrs_of("fnu_err")),
            "dq": (dims, np.isnan(fnu).astype(np.uint8), schema.attrs_of("dq")),
        },
        {
            "wavelength": (dims, rows([s.wavelength for s in spectra]), schema.attrs_of("wavelength")),
            "spectrum_id": ("spectrum", [s.spectrum_id for s in spectra]),
            "grating": ("spectrum", [s.grating for s in spectra]),
            "redshift": ("spectrum", [s.redshift for s in spectra]),
        },
    )


@pytest.mark.parametrize("grating", ["PRISM", "G395M"])
@pytest.mark.parametrize("flux", [0.0, 0.03, 0.3])
def test_upper_limits_cover(grating: str, flux: float) -> None:
    """Whatever the flux, from none to a clear line: it is below its 3-sigma limit in 99.4 to 100 %."""
    found = measure_lines(source(grating, {"Hβ": flux * FLUX}, 6.0, count=600), ["Hβ"])
    below = (found.upper_limit >= flux * FLUX).mean().item()
    assert 0.994 <= below <= 1
    assert found.flux.std().item() == pytest.approx(found.flux_err.median().item(), rel=0.2)


def test_profiles_have_less_scatter_than_windows() -> None:
    spectra = source(lines={"Hβ": FLUX}, redshift=6.0, count=500)
    found, known, window = (
        measure_lines(spectra, ["Hβ"], **options) for options in ({}, {"width": 300}, {"method": "window"})
    )
    assert window.flux.std() > 1.45 * known.flux.std()
    assert window.flux.std() > 1.1 * found.flux.std()
    np.testing.assert_array_equal(found.window_flux, window.flux)
    np.testing.assert_array_equal(window.window_flux, window.flux)
    assert set(found.method.values) == {"profile"}
    assert set(window.method.values) == {"window"}
    assert not window.disagrees.any()


@pytest.mark.parametrize(("grating", "z"), [("G395M", 6.0), ("G395H", 6.0), ("PRISM", 7.5)])
@pytest.mark.parametrize("width", [300, "tied"])
def test_methods_hardly_ever_disagree_where_all_is_as_assumed(grating: str, z: float, width: Any) -> None:
    """In 0.3 % of lines by chance: less than 1.5 % here."""
    lines = {"Hβ": FLUX / 2, "[OIII]₁": FLUX / 2.98, "[OIII]₂": FLUX}
    found = measure_lines(source(grating, lines, z, count=300), list(lines), width=width)
    assert found.disagrees.mean() < 0.015


def test_a_profile_that_is_not_the_one_assumed_is_told() -> None:
    """Two components 800 km/s apart: flux beyond the profile, which the window does see."""
    shift = 800 / 299792.458
    one, two = (source(lines={"Hα": 4 * FLUX}, redshift=6 * (1 + s) - 1)[0] for s in (-shift / 2, shift / 2))
    fnu = one.fnu + two.fnu
    spectrum = SpectrumData(one.wavelength, fnu, one.fnu_err, {}, "G395M", "two", redshift=5.0)
    assert measure_lines(spectrum, ["Hα"], width=300).disagrees.item()
    assert not measure_lines(source(lines={"Hα": 4 * FLUX}), ["Hα"], width=300).disagrees.item()


@pytest.mark.parametrize(("grating", "z"), [("G395M", 5.5), ("G395H", 5.2), ("PRISM", 8.0)])
def test_doublets_have_their_ratio(grating: str, z: float) -> None:
    """Storey & Zeippen (2000), also where noise would have it otherwise."""
    found = measure_lines(source(grating, {"Hα": FLUX, "[OIII]₂": FLUX / 9}, z, count=20), width=300)
    for weak, (strong, ratio) in DOUBLETS.items():
        if {weak, strong} <= set(found.line.values) and (found.reason.sel(line=[weak, strong]) == "").all():
            quotient = found.flux.sel(line=strong) / found.flux.sel(line=weak)
            np.testing.assert_allclose(quotient, ratio, rtol=1e-9)


@pytest.mark.parametrize("chunks", [1, 3, 7, -1])
@pytest.mark.parametrize("width", ["tied", "free", 200])
def test_any_chunking_gives_the_numpy_answer(chunks: int, width: Any) -> None:
    spectra = source(count=4) + source(count=3, redshift=5.2, wave=PIXELS["G395M"][30:-9])
    ds = collection(spectra)
    expected = measure_lines(spectra, ["Hα", "[NII]", "Hβ"], width=width)
    for given in (
        ds,
        xr.DataTree.from_dict({"/G395M": ds.chunk(spectrum=chunks)}),
        ds.chunk(spectrum=chunks),
    ):
        found = measure_lines(given, ["Hα", "[NII]", "Hβ"], width=width)
        xr.testing.assert_allclose(found, expected, rtol=1e-9)
    assert schema.check(found) == []


def test_lazy_collections_are_read_a_block_at_a_time() -> None:
    most = 0

    def watch(block: Any) -> Any:
        nonlocal most
        most = max(most, len(block))
        return block

    ds = collection(source(count=9)).chunk(spectrum=2)
    ds["fnu"] = ds.fnu.copy(data=ds.fnu.data.map_blocks(watch, dtype=float))
    assert measure_lines(ds, ["Hα"]).sizes == {"spectrum": 9, "line": 1}
    assert most == 2


def test_noise_that_neighbours_share_is_used_and_does_not_widen_lines() -> None:
    """On native pixels ``fnu_cov`` gives the errors; only resampling makes lines wider."""
    rng = np.random.default_rng(0)
    (clean,) = source(lines={"Hα": FLUX / 2})
    kernel = np.array([0.3, 1.0, 0.3]) / np.sqrt(1.18)
    n = len(clean)
    near = np.array([np.sum(kernel**2), 2 * kernel[0] * kernel[1], kernel[0] * kernel[2]])
    bands = np.zeros((n, 3))
    for lag in range(3):
        bands[: n - lag, lag] = near[lag] * clean.fnu_err[: n - lag] * clean.fnu_err[lag:]
    many, bare = [], []
    for white in rng.normal(0, 1, (200, n)):
        fnu = clean.fnu + np.convolve(white, kernel, "same") * clean.fnu_err
        bare.append(SpectrumData(clean.wavelength, fnu, clean.fnu_err, {}, "G395M", "x", redshift=5.0))
        many.append(dataclasses.replace(bare[-1], covariance=from_banded(bands)))
    with_it = measure_lines(many, ["Hα"], width=300)
    without = measure_lines(bare, ["Hα"], width=300)
    np.testing.assert_allclose(with_it.fwhm, without.fwhm)
    pulls = ((with_it.flux - FLUX / 2) / with_it.flux_err).values
    assert np.std(pulls) == pytest.approx(1, abs=0.1)
    assert np.std((without.flux - FLUX / 2) / without.flux_err) > 1.2


def test_widths_of_compact_and_broad_sources_are_found() -> None:
    """In km/s, before the pixels, with 30 sigma lines."""
    for width in (100.0, 700.0):
        found = measure_lines(source(lines={"Hα": FLUX, "[OIII]₂": FLUX}, width=width, count=60), ["Hα"])
        truth = np.hypot(299792.458 / resolving_power("G395M", np.array(0.656461 * 6)), width)
        assert found.fwhm.mean().item() == pytest.approx(truth, rel=0.04)
        assert found.flux.mean().item() == pytest.approx(FLUX, rel=0.02)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"width": "wide"}, "width"),
        ({"width": -1}, "width"),
        ({"method": "gauss"}, "method"),
        ({"redshift": [5.0, 5.0, 5.0]}, "redshifts"),
    ],
)
def test_bad_options_are_refused(options: Any, match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        measure_lines(source(), ["Hα"], **options)
