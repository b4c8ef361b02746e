"""Statements checked: a measurement counts once, however often given; grids of composites hold all rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.analysis.stack_collections import stack_collection
from campfire.analysis.stack_grids import covering_grid
from campfire.analysis.stacking import stack_spectra
from campfire.errors import CampfireWarning
from campfire.models import SpectrumData
from campfire.schema import NATIVE, attrs_of

N = 200
WAVE = np.geomspace(0.6, 5.3, N)


def make(n: int, dtype: Any = np.float64) -> list[SpectrumData]:
    rng = np.random.default_rng(n)
    spectra = []
    for k in range(n):
        wave, flux, error = WAVE * (1 + 1e-3 * k), rng.normal(1, 0.1, N), np.full(N, 0.1)
        flux[3 * k] = np.nan
        w, f, e = (values.astype(dtype) for values in (wave, flux, error))
        spectra.append(SpectrumData(w, f, e, {}, "PRISM", f"s{k}"))
    return spectra


def collection(spectra: list[SpectrumData]) -> xr.Dataset:
    def rows(name: str) -> Any:
        return (NATIVE, np.stack([np.asarray(getattr(s, name)) for s in spectra]), attrs_of(name))

    dq = np.stack([s.mask for s in spectra]).astype(np.uint8)
    return xr.Dataset(
        {"fnu": rows("fnu"), "fnu_err": rows("fnu_err"), "dq": (NATIVE, dq, attrs_of("dq"))},
        {
            "wavelength": rows("wavelength"),
            "spectrum_id": ("spectrum", [s.spectrum_id for s in spectra]),
            "grating": ("spectrum", ["PRISM"] * len(spectra)),
        },
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"method": "median"}, {"sigma_clip": 2.0}, {"rng": 1}, {"normalize": (1, 2)}, {"redshift": 1.0}],
    ids=str,
)
def test_a_spectrum_that_is_given_again_is_counted_once(options: dict[str, Any]) -> None:
    """Also as a float32 copy, with other masks, or twice; in lists, in memory and lazily; it is named."""
    spectra = make(4)
    single = make(4, np.float32)[1]
    masked = SpectrumData(WAVE * 1.002, spectra[2].fnu, spectra[2].fnu_err, {}, "PRISM", "s2", mask=WAVE > 4)
    more = [*spectra, single, masked, spectra[1]]
    expected = stack_spectra(spectra, **options)
    with pytest.warns(CampfireWarning, match="3 of 7 spectra .* counted once: s1, s2") as caught:
        found = stack_spectra(more, **options)
    assert [w.filename for w in caught] == [__file__]
    assert found == expected
    assert found.header["NSTACK"] == 4
    whole = stack_collection(collection(spectra), **options)
    for ds in (collection(more), collection(more).chunk({"spectrum": 2})):
        with pytest.warns(CampfireWarning, match="3 of 7 spectra .* counted once: s1, s2"):
            many = stack_collection(ds, **options).compute()
        xr.testing.assert_allclose(many, whole, rtol=1e-9)


def test_other_measurements_of_one_id_are_kept() -> None:
    """Another extraction, another flux scale, another redshift, and spectra without a name."""
    one = make(1)[0]
    other = SpectrumData(WAVE, one.fnu * 1.01, one.fnu_err, {}, "PRISM", "s0")
    unnamed = [SpectrumData(WAVE, one.fnu, one.fnu_err, {}, "PRISM", "") for _ in range(2)]
    assert stack_spectra([one, other]).header["NSTACK"] == 2
    assert stack_spectra(unnamed).header["NSTACK"] == 2
    grid = np.linspace(0.3, 2, 50)
    assert stack_spectra([one, one], redshift=[1.0, 1.5], wavelength_grid=grid).header["NSTACK"] == 2


@settings(max_examples=20)
@given(
    redshift=st.lists(st.floats(0.0, 9.0), min_size=2, max_size=6, unique=True),
    first=st.integers(0, 60),
    lazy=st.booleans(),
)
def test_the_grid_of_a_composite_holds_all_rows(redshift: list[float], first: int, lazy: bool) -> None:
    """From the first to the last good pixel of all, as fine as the finest; flat spectra stay flat."""
    spectra = []
    for k, z in enumerate(redshift):
        good = np.ones(N, dtype=bool)
        good[: first * (k % 2)] = False
        spectra.append(
            SpectrumData(WAVE, np.full(N, 1 + z), np.full(N, 0.1), {}, "PRISM", str(k), mask=~good)
        )
    if lazy:
        ds = collection(spectra).chunk({"spectrum": 2})
        found = stack_collection(ds, redshift=redshift).campfire.to_spectrum()
    else:
        found = stack_spectra(spectra, redshift=redshift)
    ends = np.array(
        [s.wavelength[~s.mask][[0, -1]] / (1 + z) for s, z in zip(spectra, redshift, strict=True)]
    )
    np.testing.assert_allclose(found.wavelength[[0, -1]], [ends[:, 0].min(), ends[:, 1].max()], rtol=1e-9)
    np.testing.assert_allclose(found.fnu[~found.mask], 1.0, rtol=1e-9)
    for (low, high), z in zip(ends, redshift, strict=True):
        inside = (found.wavelength >= low) & (found.wavelength <= high)
        assert not found.mask[inside].any()
        step = np.interp(found.wavelength[inside], WAVE / (1 + z), np.gradient(WAVE) / (1 + z))
        assert np.all(np.diff(found.wavelength[inside]) < 1.05 * step[1:])


def test_rows_of_one_redshift_keep_their_pixels() -> None:
    spectra = make(2)
    np.testing.assert_array_equal(stack_spectra(spectra, redshift=1.0).wavelength, WAVE * 0.5)


def test_a_grid_that_would_be_too_large_is_coarser_and_says_so() -> None:
    wave = np.linspace(2.87, 5.27, 3800)
    redshift = np.linspace(0, 9, 50)
    ends = wave[0] / (1 + redshift), wave[-1] / (1 + redshift)
    with pytest.warns(CampfireWarning, match=r"would have \d+ pixels: it is coarser, with 8192"):
        assert len(covering_grid(wave, redshift, *ends)) == 8192
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 1400 < len(covering_grid(wave[::3], redshift, *ends)) < 8192
