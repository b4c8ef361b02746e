"""The table of variables and its check."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from campfire.errors import ValidationError
from campfire.schema import (
    GRIDDED,
    NATIVE,
    SPECTRUM,
    PixelDQ,
    attrs_of,
    normalise_mask,
    pixel_dq,
    validate,
)

values = arrays(np.float64, 9, elements=st.floats(-5, 5) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0]))


@given(values, values, arrays(np.bool_, 9))
def test_a_pixel_is_bad_if_masked_or_without_value_or_error(
    flux: np.ndarray, err: np.ndarray, mask: np.ndarray
) -> None:
    bad = mask | ~np.isfinite(flux) | ~np.isfinite(err) | ~(err > 0)
    assert np.array_equal(normalise_mask(flux, err, mask), bad)
    dq = pixel_dq(flux, err, mask)
    assert dq.dtype == np.uint8
    assert np.array_equal(dq != 0, bad)
    assert np.array_equal((dq & PixelDQ.NONFINITE_FLUX) != 0, ~np.isfinite(flux))


@pytest.mark.parametrize("mask", [np.zeros(3, bool), np.zeros(4, int), [[True]]])
def test_a_mask_of_another_length_or_kind_is_refused(mask: object) -> None:
    with pytest.raises(ValidationError, match="mask"):
        normalise_mask(np.ones(4), np.ones(4), mask)


def _dataset(dims: tuple[str, ...]) -> xr.Dataset:
    shape = (2, 3)[-len(dims) :]
    data = {name: (dims, np.ones(shape), attrs_of(name)) for name in ("fnu", "fnu_err", "flam", "flam_err")}
    wave_dims = dims if dims == NATIVE else ("wavelength",)
    wave = np.broadcast_to(np.arange(1.0, 4.0), (2, 3)[-len(wave_dims) :])
    ds = xr.Dataset(data, coords={"wavelength": (wave_dims, wave, attrs_of("wavelength"))})
    return ds.assign(dq=(dims, np.zeros(shape, np.uint8)))


@pytest.mark.parametrize("dims", [SPECTRUM, NATIVE, GRIDDED])
def test_the_three_states_cannot_be_confused(dims: tuple[str, ...]) -> None:
    assert validate(_dataset(dims)) == dims


def test_errors_name_the_variable() -> None:
    ds = _dataset(SPECTRUM)
    with pytest.raises(ValidationError, match="'fnu_err' missing"):
        validate(ds.drop_vars("fnu_err"))
    with pytest.raises(ValidationError, match="'dq' is float64"):
        validate(ds.assign(dq=ds.dq.astype(float)))
    with pytest.raises(ValidationError, match="'fnu' is in 'ct / s'"):
        validate(ds.assign(fnu=ds.fnu.assign_attrs(units="ct / s")))
    with pytest.raises(ValidationError, match="dimensions"):
        validate(_dataset(NATIVE).rename(pixel="column"))
    with pytest.raises(ValidationError, match="nothing"):
        validate(xr.Dataset())


def test_unusual_spellings_of_the_unit_are_the_same_unit() -> None:
    ds = _dataset(SPECTRUM)
    assert validate(ds.assign(flam=ds.flam.assign_attrs(units="erg / (s cm2 Angstrom)"))) == SPECTRUM


def test_flag_attributes_are_those_of_the_bits() -> None:
    attrs = attrs_of("dq")
    assert attrs["flag_masks"].tolist() == [bit.value for bit in PixelDQ]
    assert attrs["flag_meanings"].split() == [bit.name for bit in PixelDQ]
