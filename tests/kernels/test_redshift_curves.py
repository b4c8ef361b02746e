"""Chi-square against redshift is that of the best sum of templates, none negative."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.optimize import nnls

from campfire.kernels import redshift_curves
from campfire.kernels.grids import pixel_bounds
from campfire.kernels.lsf import resolving_power
from campfire.kernels.redshift_curves import coarser, joined, peaks, redshift_grid
from campfire.kernels.redshift_templates import LINE_SETS, line_templates

POWER = partial(resolving_power, "PRISM")
WAVE = np.linspace(0.6, 5.3, 400)


def test_the_gain_is_that_of_scipys_nnls() -> None:
    rng = np.random.default_rng(0)
    z = np.array([0.5, 3.0, 6.0])
    smooth = np.linalg.qr(redshift_curves.spline_basis(WAVE))[0]
    templates = redshift_curves._templates(pixel_bounds(WAVE), POWER, z, None, smooth)
    error = rng.uniform(0.5, 2.0, 400)
    values = templates[0, 1] * 20 + templates[1, 1] * 9 + rng.normal(0, error)
    gain = redshift_curves._gain(templates, (values / error**2)[None], (1 / error**2)[None])[0]
    for k in range(len(z)):
        left = nnls((templates[:, k] / error).T, values / error)[1]
        assert gain[k] == pytest.approx(np.sum((values / error) ** 2) - left**2, rel=2e-3)


def test_lines_have_their_fluxes_wherever_they_fall_on_the_pixels() -> None:
    bounds = pixel_bounds(WAVE)
    for z in (2.0, 2.003, 4.5):
        template = line_templates(bounds, POWER, np.array([z]))[0, 0]
        total = np.sum(template / np.square(WAVE) * bounds.width)
        seen = 0.0
        from campfire.kernels.redshift_templates import line_components

        lines = line_components()
        at = lines.rest * (1 + z)
        inside = (at > 0.7) & (at < 5.1)
        seen = float(np.sum(lines.ratio[inside, 0]))
        assert total == pytest.approx(seen, rel=0.03)
    assert len(LINE_SETS) == 6


def test_steps_are_even_in_the_logarithm() -> None:
    z = redshift_grid(0.0, 10.0, 300.0)
    assert z[0] == 0.0
    assert z[-1] == pytest.approx(10.0)
    np.testing.assert_allclose(np.diff(np.log1p(z)), np.log(11) / (len(z) - 1))


def test_an_offset_costs_what_its_prior_says() -> None:
    z = redshift_grid(0.0, 3.0, 1000.0)
    x = np.log1p(z) - np.log1p(2.0)
    sigma, shift = 1e-3, 2e-3
    chi2 = np.square(x / sigma)
    total = joined([(z, chi2)], z, [shift])
    near = np.abs(x) < 3e-3
    np.testing.assert_allclose(total[near], np.square(x[near]) / (sigma**2 + shift**2), atol=0.05)


def test_peaks_are_told_apart() -> None:
    z = redshift_grid(0.0, 8.0, 1000.0)
    chi2 = np.minimum(np.square((z - 2) / 0.01), 6 + np.square((z - 5) / 0.01))
    found = peaks(z, chi2[None])
    assert found.redshift[0] == pytest.approx(2.0, abs=2e-3)
    assert found.second[0] == pytest.approx(5.0, abs=3e-3)
    assert found.odds[0] == pytest.approx(np.exp(3), rel=0.1)
    assert found.width[0] == pytest.approx(0.01, rel=0.1)
    assert np.sum(found.probability[0] * np.gradient(z)) == pytest.approx(1.0)


def test_joined_pixels_keep_the_weighted_mean() -> None:
    rng = np.random.default_rng(1)
    flux, weight = rng.normal(size=(2, 10)), rng.uniform(0, 1, (2, 10))
    wave, mean, total = coarser(np.arange(10.0), flux, weight, 3)
    assert wave.tolist() == [1.0, 4.0, 7.0]
    np.testing.assert_allclose(mean[:, 0], np.average(flux[:, :3], weights=weight[:, :3], axis=1))
    np.testing.assert_allclose(total[:, 2], weight[:, 6:9].sum(axis=1))
