"""Statement checked: grids, resolving power and line spread are NIRSpec's, and light is conserved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.archive.simulate.continuum import DENSE_EDGES, DENSE_WAVE
from campfire.archive.simulate.emission import Line
from campfire.archive.simulate.instrument import GRATINGS, SlitLoss, line_profiles, observed_flam, pixel_edges
from campfire.archive.simulate.sources import FWHM_PER_SIGMA, draw_source

# Widest range of a product (micron), step, range of R, number of pixels: the documented table.
TABLE = {
    "PRISM": (0.54, 5.51, None, 30, 420, 400, 450),
    "G140M": (0.55, 3.35, 0.00063, 360, 1440, 1300, 4500),
    "G235M": (1.58, 5.30, 0.00106, 640, 1500, 1300, 3500),
    "G395M": (2.68, 5.51, 0.00179, 630, 1530, 1200, 1600),
    "G140H": (0.68, 1.90, 0.000238, 940, 3830, 3000, 5100),
    "G235H": (1.66, 3.17, 0.000396, 1690, 3700, 3500, 3800),
    "G395H": (2.83, 5.24, 0.000666, 1675, 4360, 3300, 3700),
}
names = st.sampled_from(sorted(GRATINGS))


@given(name=names, phase=st.floats(0.0, 0.99))
def test_grids_are_those_of_the_products(name: str, phase: float) -> None:
    low, high, step, least_r, most_r, fewest, most = TABLE[name]
    grating = GRATINGS[name]
    edges = pixel_edges(grating, phase)
    width = np.diff(edges)
    assert low <= edges[0] < edges[-1] <= high
    assert fewest <= width.size <= most
    if step is None:
        assert 0.0025 <= width.min() < 0.005
        assert 0.017 < width.max() <= 0.020
    else:
        np.testing.assert_allclose(width, step, rtol=1e-6)
    resolving = grating.resolving_power(edges)
    assert least_r <= resolving.min() < resolving.max() <= most_r


def test_only_high_resolution_has_a_detector_gap() -> None:
    for grating in GRATINGS.values():
        assert (grating.gap is not None) == (grating.kind == "high")
        if grating.gap is not None:
            assert grating.wave_range[0] < grating.gap[0] < grating.gap[1] < grating.wave_range[1]


@given(
    name=names, where=st.floats(0.15, 0.85), width=st.floats(10.0, 2000.0), phase=st.sampled_from([0.0, 0.4])
)
def test_the_light_of_a_line_is_conserved_and_its_centre_and_width_are_right(
    name: str, where: float, width: float, phase: float
) -> None:
    grating = GRATINGS[name]
    low, high = grating.wave_range
    centre = low + where * (high - low)
    edges = pixel_edges(grating, phase)
    flam = line_profiles(edges, grating, [Line("x", centre / 3.0, 1e-18, width)], 2.0)
    middle, step = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    light = flam * step * 1e4
    assert light.sum() == pytest.approx(1e-18, rel=1e-6)
    assert (light * middle).sum() / light.sum() == pytest.approx(centre, abs=0.05 * step.max())
    spread = np.sqrt((light * (middle - centre) ** 2).sum() / light.sum())
    own = np.hypot(
        centre / float(grating.resolving_power(np.array(centre))) / FWHM_PER_SIGMA,
        centre * width / 299_792.458,
    )
    # Pixels add a twelfth of their width squared, some of them more than once over a broad line.
    pixel = step[np.searchsorted(edges, centre) - 1]
    assert spread == pytest.approx(np.sqrt(own**2 + pixel**2 / 12.0), rel=0.03)


@settings(max_examples=20)
@given(name=names, seed=st.integers(0, 999))
def test_the_line_spread_conserves_the_light_of_a_continuum(name: str, seed: int) -> None:
    source = draw_source("starforming", np.random.default_rng(seed))
    grating = GRATINGS[name]
    dense = source.continuum.flam(DENSE_WAVE)
    bare = type(source)("x", source.redshift, source.continuum, (), 0.1, 1.0, 0.0)
    edges = pixel_edges(grating, 0.0)
    flam = observed_flam(bare, dense, grating, 0.0)
    # Between two wavelengths in the middle, what comes in goes out; little crosses the ends.
    inside = (edges[:-1] > edges[0] * 1.15) & (edges[1:] < edges[-1] * 0.95)
    first, last = edges[:-1][inside][0], edges[1:][inside][-1]
    cells = np.clip(np.minimum(DENSE_EDGES[1:], last) - np.maximum(DENSE_EDGES[:-1], first), 0.0, None)
    assert (flam * np.diff(edges))[inside].sum() == pytest.approx((dense * cells).sum(), rel=0.01)


def test_slit_losses_are_smooth() -> None:
    wave = np.linspace(0.6, 5.3, 200)
    loss = SlitLoss((0.8, -0.05, 0.01, 0.0))(wave)
    x = (wave - 3.0) / 2.5
    np.testing.assert_allclose(loss, 0.8 - 0.05 * x + 0.01 * (2 * x**2 - 1), rtol=1e-12)
