"""Statements checked: broad components of permitted lines are found where they are, and only there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from campfire.analysis.lines import measure_lines
from campfire.models import SpectrumData
from campfire.schema import BROAD
from tests.analysis.test_line_profiles import collection
from tests.analysis.test_lines import FLUX, source

NARROW = {"Hβ": FLUX / 10, "[OIII]₁": 0.3 * FLUX / 2.98, "[OIII]₂": 0.3 * FLUX, "Hα": 0.3 * FLUX}
BROAD_FLUX = {"Hα": FLUX, "Hβ": FLUX / 4}
LINES = list(NARROW)


def active(width: float = 2500.0, count: int = 16, noise: float = 2e-21) -> list[SpectrumData]:
    """Return spectra of an active nucleus."""
    wide = source(lines=BROAD_FLUX, redshift=6.0, width=width, noise=noise)[0]
    none = source(lines={"Hα": 0.0}, redshift=6.0, noise=noise)[0]
    many = source(lines=NARROW, redshift=6.0, count=count, noise=noise)
    return [dataclasses.replace(s, fnu=s.fnu + wide.fnu - none.fnu) for s in many]


def test_narrow_and_broad_fluxes_and_the_width_are_recovered() -> None:
    """Without the broad lines those of [O III] come out 19 % too high."""
    spectra = active()
    found = measure_lines(spectra, LINES, broad=True)
    assert np.isfinite(found.broad_width).all()
    assert found.broad_width.mean().item() == pytest.approx(2500, rel=0.02)
    assert ((found.broad_width - 2500) / found.broad_width_err).std().item() == pytest.approx(1, abs=0.5)
    for line, flux in NARROW.items():
        one = found.sel(line=line)
        assert ((one.flux - flux) / one.flux_err).mean().item() == pytest.approx(0, abs=0.75)
        assert ((one.flux - flux) / one.flux_err).std().item() == pytest.approx(1, abs=0.5)
    for line, flux in BROAD_FLUX.items():
        one = found.sel(line=line)
        assert one.broad_flux.mean().item() == pytest.approx(flux, rel=0.05)
        assert ((one.broad_flux - flux) / one.broad_flux_err).std().item() == pytest.approx(1, abs=0.5)
    assert np.isnan(found.broad_flux.sel(line="[OIII]₂")).all()
    doublet = NARROW["[OIII]₂"]
    assert found.flux.sel(line="[OIII]₂").mean().item() == pytest.approx(doublet, rel=0.02)
    assert measure_lines(spectra, LINES).flux.sel(line="[OIII]₂").mean().item() > 1.1 * doublet


@pytest.mark.parametrize("grating", ["PRISM", "G395M"])
def test_without_broad_lines_all_is_as_it_was(grating: str) -> None:
    spectra = source(grating, NARROW, 6.0, count=12)
    found, plain = measure_lines(spectra, LINES, broad=True), measure_lines(spectra, LINES)
    assert found.broad_evidence.max() < 10
    assert np.isnan(found.broad_width).all()
    assert np.isnan(found.broad_flux).all()
    xr.testing.assert_identical(found[list(plain.data_vars)], plain)
    assert set(found.data_vars) - set(plain.data_vars) == set(BROAD)


@pytest.mark.parametrize("width", [300.0, "tied", "free"])
def test_masked_pixels_change_nothing(width: float | str) -> None:
    spectrum = active(count=2)[0]
    bad = np.zeros(len(spectrum), dtype=bool)
    bad[::40] = True
    masked = dataclasses.replace(spectrum, mask=spectrum.mask | bad)
    spoilt = dataclasses.replace(masked, fnu=np.where(bad, 1e6, spectrum.fnu))
    one, other = (measure_lines(s, LINES, width=width, broad=True) for s in (masked, spoilt))
    assert one.broad_width.item() == pytest.approx(2500, rel=0.1)
    xr.testing.assert_identical(one, other)


def test_collections_lazy_or_not_give_the_same() -> None:
    spectra = [*active(count=2), *source(lines=NARROW, redshift=6.0, count=2)]
    listed = measure_lines(spectra, LINES, broad=True)
    assert np.isfinite(listed.broad_width).values.tolist() == [True, True, False, False]
    ds = collection(spectra)
    for one in (ds, ds.chunk(spectrum=2)):
        found = measure_lines(one, LINES, broad=True)
        for name in ("flux", "flux_err", *BROAD):
            np.testing.assert_allclose(found[name], listed[name], rtol=1e-6, err_msg=name)


def test_windows_know_of_no_broad_lines() -> None:
    found = measure_lines(active(count=2), LINES, method="window", broad=True)
    assert np.isnan(found.broad_evidence).all()
    assert np.isnan(found.fwhm_err).all()  # of widths that are taken as they are
