"""Statement checked: extractions follow the documented formulas, conventions and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.archive.simulate.instrument import GRATINGS, pixel_edges
from campfire.archive.simulate.observe import Extraction, Setup, combine_groups, observe, product_columns
from campfire.typing import FloatArray


def _grid(name: str) -> FloatArray:
    edges = pixel_edges(GRATINGS[name], 0.0)
    return np.asarray(0.5 * (edges[1:] + edges[:-1]))


def _observe(seed: int, *, grating: str = "PRISM", level: float = 0.5, **options: float) -> Extraction:
    wave = _grid(grating)
    setup = Setup(grating, 8000.0, options.pop("radius", 0.1), **options)  # type: ignore[arg-type]
    return observe(np.full(wave.size, level), wave, setup, np.random.default_rng(seed))


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), grating=st.sampled_from(["PRISM", "G395M", "G395H"]))
def test_columns_are_the_extraction_of_the_2d_data(seed: int, grating: str) -> None:
    result = _observe(seed, grating=grating)
    valid = result.wht > 0
    data = np.where(valid, result.sci.astype(float) * 1e12, 0.0)
    variance = np.where(valid, (result.err.astype(float) * 1e12) ** 2, np.inf)
    p = result.profile["opt"][:, None]
    norm = (p**2 / variance).sum(axis=0)
    seen = norm > 0
    flux = (p * data / variance).sum(axis=0)[seen] / norm[seen]
    error = np.sqrt((p * valid).sum(axis=0)[seen] / norm[seen])
    np.testing.assert_allclose(result.columns["fnu"][seen], flux, rtol=1e-10)
    np.testing.assert_allclose(result.columns["fnu_err"][seen], error, rtol=1e-10)
    assert np.isnan(result.columns["fnu"][~seen]).all()
    assert np.isposinf(result.columns["fnu_err"][~seen]).all()
    assert p.sum() == pytest.approx(1.0)
    for size in (3, 4, 5):
        box = result.profile[f"{size}px"][:, None]
        assert box.sum() == pytest.approx(size)
        np.testing.assert_allclose(result.columns[f"fnu_{size}px"], (box * data).sum(axis=0), atol=1e-12)
        finite = np.where(valid, variance, 0.0)
        np.testing.assert_allclose(
            result.columns[f"fnu_{size}px_err"], np.sqrt((box * finite).sum(axis=0)), rtol=1e-10
        )


def test_no_data_is_said_in_each_columns_way() -> None:
    result = _observe(3, grating="G395H")
    lost = ~(result.wht > 0).any(axis=0)
    assert lost.sum() > 100  # the gap between the detectors
    assert np.isnan(result.columns["fnu"][lost]).all()
    assert np.isposinf(result.columns["fnu_err"][lost]).all()
    for size in (3, 4, 5):
        assert (result.columns[f"fnu_{size}px"][lost] == 0.0).all()
        assert (result.columns[f"fnu_{size}px_err"][lost] == 0.0).all()
    assert np.isnan(result.sci[:, lost]).all()


def test_noise_has_the_size_of_the_errors() -> None:
    pulls = np.concatenate(
        [
            (extraction.columns["fnu"] - 0.5) / extraction.columns["fnu_err"]
            for extraction in (_observe(seed) for seed in range(40))
        ]
    )
    good = pulls[np.isfinite(pulls) & (pulls != 0)]
    assert good.size > 15_000
    assert good.std() == pytest.approx(1.0, abs=0.02)
    assert good.mean() == pytest.approx(0.0, abs=0.03)


def test_noise_falls_with_the_root_of_exposure_time() -> None:
    wave = _grid("PRISM")
    errors = [GRATINGS["PRISM"].noise(wave, seconds) for seconds in (2500.0, 10_000.0)]
    np.testing.assert_allclose(errors[0], 2.0 * errors[1])


def test_an_undetected_source_falls_back_to_the_boxcar() -> None:
    result = _observe(1, level=0.001, detected=False)
    assert result.option == "boxcar-3px"
    assert 0.5 < result.captured < 1.0
    some = result.columns["fnu_3px_err"] > 0
    np.testing.assert_array_equal(result.columns["fnu"][some], result.columns["fnu_3px"][some])


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), number=st.integers(2, 4))
def test_groups_are_combined_by_exposure_time(seed: int, number: int) -> None:
    groups = [_observe(seed + k) for k in range(number)]
    times = np.linspace(1000.0, 3000.0, number)
    combined = combine_groups(groups, times)
    flux = np.array([group.columns["fnu"] for group in groups])
    error = np.array([group.columns["fnu_err"] for group in groups])
    good = np.isfinite(flux)
    everywhere = good.all(axis=0)
    weight = (times / times.sum())[:, None]
    expected = (weight * flux).sum(axis=0)[everywhere]
    np.testing.assert_allclose(combined.columns["fnu"][everywhere], expected, rtol=1e-10)
    spread = np.sqrt(((weight * error) ** 2).sum(axis=0))[everywhere]
    np.testing.assert_allclose(combined.columns["fnu_err"][everywhere], spread, rtol=1e-10)
    np.testing.assert_array_equal(combined.columns["n_combined"], good.sum(axis=0))
    nowhere = ~good.any(axis=0)
    assert nowhere.any()
    for column in ("fnu", "fnu_err", "fnu_3px", "fnu_3px_err"):
        assert np.isnan(combined.columns[column][nowhere]).all()


@pytest.mark.parametrize("single", [False, True])
def test_columns_are_named_and_ordered_as_on_disk(single: bool) -> None:
    wave = _grid("PRISM")
    columns = product_columns(wave, _observe(0), single=single)
    assert list(columns)[:9] == [
        *("wave", "fnu", "fnu_err", "flam", "flam_err"),
        *("fnu_3px", "fnu_3px_err", "flam_3px", "flam_3px_err"),
    ]
    assert columns["fnu"].dtype == (np.float32 if single else np.float64)
    good = np.isfinite(columns["fnu"])
    expected = columns["fnu"][good].astype(float) * 2.99792458e-19 / wave[good] ** 2
    np.testing.assert_allclose(columns["flam"][good], expected, rtol=1e-12)
