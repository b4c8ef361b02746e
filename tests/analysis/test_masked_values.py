"""Statement: a masked value is an unknown one, whoever masked it; what is below a mask changes nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table
from astropy.utils.masked import Masked

from campfire import SpectrumData, measure_lines, resample_spectrum, stack_spectra, synthetic_photometry
from campfire.errors import CampfireWarning, ValidationError

WAVE = np.linspace(1.0, 5.0, 800)
FNU = 2.0 + 0.1 * np.sin(WAVE)
ERR = np.full(800, 0.1)
GAP = (WAVE > 2.6) & (WAVE < 2.7)
SPEC = SpectrumData(WAVE, FNU, ERR, {}, "PRISM", "a")


def _row() -> Any:
    return Table({"redshift": MaskedColumn([1.0], mask=[True])})[0]["redshift"]


UNKNOWN: dict[str, Callable[[], Any]] = {
    "np.ma.masked": lambda: np.ma.masked,
    "row of a table": _row,
    "masked array": lambda: np.ma.MaskedArray([1.0], mask=[True]),
    "masked column": lambda: MaskedColumn([1.0], mask=[True]),
    "masked of astropy": lambda: Masked(np.array([1.0]), mask=[True]),
    "list with a masked value": lambda: [np.ma.masked],
    "list with None": lambda: [None],
    "NA of pandas": lambda: [pd.NA],
    "NaN": lambda: np.nan,
    "text": lambda: "2",
    "list of text": lambda: ["2"],
    "truth value": lambda: True,
    "a length": lambda: 1 * u.um,
}
TAKERS: dict[str, Callable[[Any], Any]] = {
    "measure_lines": lambda z: measure_lines(SPEC, ["Ha"], redshift=z),
    "stack_spectra": lambda z: stack_spectra([SPEC], redshift=z),
    "to_restframe": lambda z: SPEC.to_xarray().campfire.to_restframe(z),
}


@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("taker", TAKERS)
def test_an_unknown_redshift_is_refused(taker: str, unknown: str) -> None:
    with pytest.raises(ValidationError):
        TAKERS[taker](UNKNOWN[unknown]())


def test_of_several_redshifts_the_masked_one_is_counted() -> None:
    several: Any = np.ma.MaskedArray([1.0, 2.0], mask=[False, True])
    with pytest.raises(ValidationError, match="1 of 2"):
        stack_spectra([SPEC, SPEC], redshift=several)
    with pytest.raises(ValidationError, match="1 of 2"):
        measure_lines([SPEC, SPEC], ["Ha"], redshift=several)


def _spoiled(values: np.ndarray) -> np.ndarray:
    return np.where(GAP, 1e6, values)


FLUXES: dict[str, Callable[[], Any]] = {
    "masked array": lambda: np.ma.MaskedArray(_spoiled(FNU), mask=GAP),
    "masked column": lambda: MaskedColumn(_spoiled(FNU), mask=GAP),
    "masked column with a unit": lambda: MaskedColumn(_spoiled(FNU), mask=GAP, unit="uJy"),
    "masked of astropy": lambda: Masked(_spoiled(FNU), mask=GAP),
    "masked Quantity": lambda: Masked(_spoiled(FNU) * u.uJy, mask=GAP),
}


@pytest.mark.parametrize("flux", FLUXES)
def test_what_stands_below_the_mask_of_a_flux_changes_nothing(flux: str) -> None:
    expected = synthetic_photometry(WAVE, np.where(GAP, np.nan, FNU), ERR, "f277w", min_coverage=0.5)
    found = synthetic_photometry(WAVE, FLUXES[flux](), ERR, "f277w", min_coverage=0.5)
    assert found == pytest.approx(expected, rel=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CampfireWarning)
        assert np.isnan(synthetic_photometry(WAVE, FLUXES[flux](), ERR, "f277w", min_coverage=0.999)[0])


def test_a_masked_error_leaves_the_pixel_out() -> None:
    masked = np.ma.MaskedArray(np.where(GAP, 1e-9, ERR), mask=GAP)
    expected = synthetic_photometry(WAVE, FNU, np.where(GAP, np.nan, ERR), "f277w", min_coverage=0.5)
    assert synthetic_photometry(WAVE, FNU, masked, "f277w", min_coverage=0.5) == pytest.approx(expected)


def test_a_masked_wavelength_makes_no_grid() -> None:
    with pytest.raises(ValidationError):
        resample_spectrum(SPEC, np.ma.MaskedArray([2.0, 2.1, 2.2], mask=[False, True, False]))
