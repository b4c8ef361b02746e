"""Statements checked: the JSON payloads follow the contract (§5) in derivation and rounding; no bare NaN."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from campfire.errors import ValidationError
from campfire.formats.plot_payloads import redshift_fit_payload, spectrum_payload
from campfire.formats.spec_reader import read_spectrum
from campfire.formats.spec_writer import SpecProduct, write_product, write_spectrum
from campfire.formats.zfit import ZFit, write_zfit


def _null(values: np.ndarray, decimals: int) -> list[float | None]:
    return [round(float(v), decimals) if np.isfinite(v) else None for v in values]


def test_the_spectrum_payload(product_file: Callable[..., Path]) -> None:
    """Every key, computed here from what astropy reads."""
    path = product_file()
    payload = spectrum_payload(path)
    with fits.open(path) as opened:
        table, profile = opened["SPEC1D"].data, opened["PROF1D"].data
        sci, err = opened["SCI"].data, opened["ERR"].data
    assert list(payload) == [
        "wave",
        "fnu",
        "fnu_err",
        "snr_2d",
        "n_spatial",
        "n_wave",
        "profile",
        "profile_fit",
        "profile_pix",
    ]
    assert payload["wave"] == pytest.approx(_null(table["wave"], 6), abs=1e-12)
    for key in ("fnu", "fnu_err"):
        for found, expected in zip(payload[key], _null(table[key], 6), strict=True):
            assert (found is None) == (expected is None)
            assert found is None or found == pytest.approx(expected, abs=1.1e-6)
    assert (payload["n_spatial"], payload["n_wave"]) == sci.shape
    np.testing.assert_allclose(payload["snr_2d"], sci.astype(float) / err, atol=0.0051)
    medians = np.nanmedian(sci, axis=1)
    used = profile["opt"] > 0
    np.testing.assert_allclose(payload["profile"], medians / np.abs(medians[used]).max(), atol=5.1e-4)
    np.testing.assert_allclose(payload["profile_fit"], profile["opt"] / profile["opt"].max(), atol=5.1e-4)
    centre = np.sum(profile["ypos"] * profile["opt"]) / np.sum(profile["opt"])
    np.testing.assert_allclose(payload["profile_pix"], profile["ypos"] - centre, atol=5.1e-3)


@pytest.mark.parametrize(
    ("key", "decimals"), [("wave", 6), ("snr_2d", 2), ("profile", 3), ("profile_pix", 2)]
)
def test_values_are_rounded(product_file: Callable[..., Path], key: str, decimals: int) -> None:
    values = np.ravel(spectrum_payload(product_file())[key])  # type: ignore[literal-required]
    assert all(float(v) == round(float(v), decimals) for v in values)


def test_what_is_not_finite(tmp_path: Path, product: Callable[..., SpecProduct]) -> None:
    """1-D: None; signal to noise and profile: 0. The JSON is strict."""
    made = product()
    made["sci"][1, :] = np.nan
    made["err"][2, 3:6] = 0.0
    made["profile"]["opt"][:] = 0.0
    path = tmp_path / "a_spec.fits"
    write_product(path, made)
    payload = spectrum_payload(path)
    json.dumps(payload, allow_nan=False)
    assert payload["fnu"][0] is None
    assert payload["fnu_err"][0] is None
    assert payload["snr_2d"][1] == [0.0] * 40
    assert payload["snr_2d"][2][3:6] == [0.0] * 3
    assert payload["profile"][1] == 0.0
    assert payload["profile_fit"] == [0.0] * 7
    # no row is used: the middle of the rows is the centre
    assert payload["profile_pix"] == [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]


def test_the_redshift_payload(tmp_path: Path, zfit: ZFit) -> None:
    path = tmp_path / "a_zfit.fits"
    zfit["redshift"] = 9.0  # not what the curve says
    zfit["model_fnu"][3] = np.nan
    write_zfit(path, zfit)
    payload = redshift_fit_payload(path)
    json.dumps(payload, allow_nan=False)
    assert payload["redshift"] == 2.0
    assert payload["chi2_min"] == 123.46
    assert payload["confidence"] == 98.8
    assert payload["z_grid"] == [round(float(z), 4) for z in zfit["z"]]
    np.testing.assert_allclose(payload["chi2_grid"], zfit["chi2"], atol=0.0051)
    assert payload["model_fnu"][3:4] == [None]
    assert payload["model_wave"][0] == 0.6


def test_a_file_without_two_dimensional_data_has_no_payload(
    product_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "b_spec.fits"
    write_spectrum(path, read_spectrum(product_file()))
    with pytest.raises(ValidationError, match="no HDU SCI"):
        spectrum_payload(path)
