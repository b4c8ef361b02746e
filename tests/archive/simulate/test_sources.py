"""Statement checked: sources are physical - continua, breaks, line ratios, equivalent widths, earned tags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.archive.simulate.continuum import Continuum, attenuation, flux_of_magnitude, igm_transmission
from campfire.archive.simulate.emission import NebularRatios, nebular_lines
from campfire.archive.simulate.sources import KINDS, Source, draw_source, earned_tags
from campfire.linelist import EMISSION_LINES

redshifts = st.floats(0.0, 12.0)
seeds = st.integers(0, 10_000)


@given(beta=st.floats(-3.0, 1.0), redshift=redshifts)
def test_a_young_continuum_is_a_power_law_redward_of_lyman_alpha(beta: float, redshift: float) -> None:
    assert Continuum(redshift, beta=beta).slope(0.15, 0.9) == pytest.approx(beta, abs=1e-9)


@given(magnitude=st.floats(20.0, 31.0), redshift=redshifts)
def test_scaling_sets_the_mean_f_nu(magnitude: float, redshift: float) -> None:
    shape = Continuum(redshift, old=0.5).scaled_to(magnitude)
    mean = float(shape.fnu(np.linspace(2.0, 4.0, 4001)).mean())
    assert mean == pytest.approx(float(flux_of_magnitude(magnitude)), rel=0.02)


@given(redshift=st.floats(2.0, 12.0))
def test_the_intergalactic_medium_absorbs_only_blueward_of_lyman_alpha(redshift: float) -> None:
    wave = np.linspace(0.05, 0.2, 3001) * (1.0 + redshift)
    transmission = igm_transmission(wave, redshift)
    rest = wave / (1.0 + redshift)
    assert (transmission[rest > 0.12157] == 1.0).all()
    assert ((transmission >= 0.0) & (transmission <= 1.0)).all()
    assert (transmission[rest < 0.0911] == 0.0).all()
    # Just below the line the effective depth is 0.0036 (1+z)^3.46 (Madau 1995).
    just = igm_transmission(np.array([0.12156 * (1.0 + redshift)]), redshift)[0]
    assert -np.log(just) == pytest.approx(3.6e-3 * (1.0 + redshift) ** 3.46, rel=0.01)


@given(a_v=st.floats(0.1, 4.0))
def test_dust_attenuates_a_v_magnitudes_at_5500_angstrom_and_reddens(a_v: float) -> None:
    visual = -2.5 * np.log10(attenuation(0.55, a_v))
    assert visual == pytest.approx(a_v, rel=0.01)
    assert (np.diff(attenuation(np.linspace(0.1, 2.0, 200), a_v)) >= 0.0).all()


@given(abundance=st.floats(7.3, 8.9))
def test_lines_have_the_ratios_of_atomic_physics(abundance: float) -> None:
    flux = {name: ratio for name, _, ratio in NebularRatios(abundance).relative()}
    assert flux["Hα"] / flux["Hβ"] == pytest.approx(2.86)
    assert flux["[OIII]5008"] / flux["[OIII]4960"] == pytest.approx(2.98)
    assert flux["[NII]6585"] / flux["[NII]6550"] == pytest.approx(3.05)
    assert flux["[SIII]9533"] / flux["[SIII]9071"] == pytest.approx(2.47)
    assert flux["Hγ"] == pytest.approx(0.468)
    assert flux["Paα"] == pytest.approx(0.339)
    assert all(ratio > 0.0 for ratio in flux.values())


def test_rest_wavelengths_are_vacuum_and_those_of_the_line_list() -> None:
    known = np.array([line["wave"] for line in EMISSION_LINES])
    ours = {name: wave for name, wave, _ in NebularRatios(8.0).relative()}
    for name in ("Hα", "Hβ", "[OIII]5008", "[OIII]4960", "[NII]6585", "[SIII]9533", "Paα", "HeI10833"):
        assert np.abs(known - ours[name]).min() < 1e-6, name
    # Rydberg: Balmer lines of hydrogen at 1 / (R_H (1/4 - 1/n^2)).
    for name, n in (("Hα", 3), ("Hβ", 4), ("Hγ", 5), ("Hδ", 6), ("Hε", 7), ("Hζ", 8)):
        assert ours[name] == pytest.approx(1.0 / (10.9677583 * (0.25 - 1.0 / n**2)), abs=3e-5)


@given(ew=st.floats(5.0, 2500.0), redshift=st.floats(0.0, 9.0), a_v=st.floats(0.0, 3.0))
def test_equivalent_widths_come_back(ew: float, redshift: float, a_v: float) -> None:
    shape = Continuum(redshift, a_v=a_v).scaled_to(25.0)
    lines = nebular_lines(shape, ew_halpha=ew, abundance=8.0, sigma=80.0)
    source = Source("halpha", redshift, shape, lines, 0.1, 1.0, 0.0)
    assert source.equivalent_width("Hα") == pytest.approx(ew, rel=1e-9)
    # Dust takes more blue light than red: the decrement only grows.
    assert source.line_flux("Hα") / source.line_flux("Hβ") >= 2.86 - 1e-9


@given(seed=seeds, kind=st.sampled_from(sorted(set(KINDS))))
def test_every_kind_earns_what_it_was_drawn_for(seed: int, kind: str) -> None:
    source = draw_source(kind, np.random.default_rng(seed))
    tags = earned_tags(source)
    wanted = {
        "lrd": {"lrd", "blagn", "bbg"},
        "blagn": {"blagn"},
        "halpha": {"hae"},
        "quiescent": {"qg", "bbg"},
        "poststarburst": {"bbg"},
        "dusty": {"dusty"},
        "star": {"star"},
        "lae": {"lae"},
    }.get(kind, set())
    assert wanted <= set(tags)
    if kind == "oiii":
        assert ("o3e" in tags) == (source.equivalent_width("[OIII]5008") > 700.0)
    assert 0.0 <= source.redshift <= 12.0


@given(seed=seeds)
def test_a_little_red_dot_is_v_shaped_broad_and_compact(seed: int) -> None:
    source = draw_source("lrd", np.random.default_rng(seed))
    assert source.continuum.slope(0.15, 0.30) < -0.4 < 0.0 < source.continuum.slope(0.42, 0.65)
    assert source.broad_fwhm() > 1000.0
    assert source.radius < 0.06
    assert source.line_flux("Hα") > next(line.flux for line in source.lines if line.name == "Hα")


def test_a_quiescent_galaxy_has_a_break_and_absorption_lines() -> None:
    shape = draw_source("quiescent", np.random.default_rng(5)).continuum
    assert shape.balmer_break() > 1.5
    calcium = np.array([0.39348 * (1.0 + shape.redshift)])
    assert shape.flam(calcium)[0] < 0.8 * replace(shape, absorption=0.0).flam(calcium)[0]
