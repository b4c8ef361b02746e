"""Statement checked: spectra and tables of other origin are converted properly, or refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from astropy.table import QTable, Table
from scipy.sparse import csr_array
from specutils import Spectrum

from campfire.convert import banded, from_banded, from_dataset, to_dataset
from campfire.errors import ValidationError
from campfire.models import SpectrumData
from campfire.units import FLAM_PER_FNU

WAVE = np.array([1.0, 2.0, 4.0])
FNU = np.array([3.0, 5.0, 7.0])
ERR = np.array([0.1, 0.2, 0.4])


def spectrum(**changes: Any) -> SpectrumData:
    return SpectrumData(
        **{
            **dict(wavelength=WAVE, fnu=FNU, fnu_err=ERR, header={}, grating="PRISM", spectrum_id="demo_1"),
            **changes,
        }
    )


@pytest.mark.parametrize("axis", [u.um, u.AA, u.nm, u.GHz, u.eV, u.cm**-1])
def test_spectral_axis_of_any_unit_comes_out_ascending_in_micron(axis: u.UnitBase) -> None:
    quantity = (WAVE * u.um).to(axis, u.spectral())
    foreign = Spectrum(spectral_axis=quantity, flux=FNU * u.uJy, uncertainty=StdDevUncertainty(ERR))
    spec = SpectrumData.from_specutils(foreign)
    np.testing.assert_allclose(spec.wavelength, WAVE, rtol=1e-12)
    np.testing.assert_array_equal(spec.fnu, FNU)
    np.testing.assert_array_equal(spec.fnu_err, ERR)


def test_descending_axis_is_turned_round_with_everything() -> None:
    foreign = Spectrum(
        spectral_axis=WAVE[::-1] * u.um,
        flux=FNU[::-1] * u.uJy,
        uncertainty=StdDevUncertainty(ERR[::-1]),
        mask=np.array([True, False, False]),
    )
    spec = SpectrumData.from_specutils(foreign)
    np.testing.assert_array_equal(spec.wavelength, WAVE)
    np.testing.assert_array_equal(spec.fnu, FNU)
    np.testing.assert_array_equal(spec.mask, [False, False, True])


@pytest.mark.parametrize(
    "uncertainty",
    [
        StdDevUncertainty(ERR),
        VarianceUncertainty(ERR**2),
        InverseVariance(ERR**-2.0),
        StdDevUncertainty(ERR * 1e-3, unit=u.mJy),
    ],
)
def test_uncertainty_of_any_kind_is_one_sigma_in_microjansky(uncertainty: Any) -> None:
    foreign = Spectrum(spectral_axis=WAVE * u.um, flux=FNU * u.uJy, uncertainty=uncertainty)
    np.testing.assert_allclose(SpectrumData.from_specutils(foreign).fnu_err, ERR, rtol=1e-12)


def test_inverse_variance_of_zero_is_masked() -> None:
    foreign = Spectrum(
        spectral_axis=WAVE * u.um, flux=FNU * u.uJy, uncertainty=InverseVariance(np.array([1.0, 0.0, 4.0]))
    )
    spec = SpectrumData.from_specutils(foreign)
    np.testing.assert_array_equal(spec.mask, [False, True, False])


@pytest.mark.parametrize("unit", ["erg / (s cm2 AA)", "W / (m2 um)"])
def test_flux_per_wavelength_is_converted_and_kept(unit: str) -> None:
    flam = FNU * FLAM_PER_FNU / WAVE**2 * u.Unit("erg / (s cm2 AA)")
    foreign = Spectrum(
        spectral_axis=WAVE * u.um,
        flux=flam.to(unit),
        uncertainty=StdDevUncertainty((0.1 * flam).to_value(unit)),
    )
    spec = SpectrumData.from_specutils(foreign)
    np.testing.assert_allclose(spec.fnu, FNU, rtol=1e-9)
    np.testing.assert_allclose(spec.fnu_err, 0.1 * FNU, rtol=1e-9)
    np.testing.assert_allclose(spec.flam, flam.value, rtol=1e-12)
    assert spec.to_xarray().flam.attrs["origin"] == "file"


def test_meta_of_loaders_becomes_the_header_as_far_as_a_header_can_hold_it() -> None:
    from astropy.io import fits

    header = fits.Header([("EFFEXPTM", 5.0), ("HISTORY", "a"), ("HISTORY", "b")])
    meta = {"header": header, "note": "x", "wcs": object(), "n": np.int64(3)}
    foreign = Spectrum(
        spectral_axis=WAVE * u.um, flux=FNU * u.uJy, uncertainty=StdDevUncertainty(ERR), meta=meta
    )
    spec = SpectrumData.from_specutils(foreign)
    assert spec.header == {"EFFEXPTM": 5.0, "HISTORY": ["a", "b"], "note": "x", "n": 3}


def test_changed_pixels_do_not_keep_stale_densities() -> None:
    changed = spectrum(flam=FNU).to_specutils() * 2
    spec = SpectrumData.from_specutils(changed)
    np.testing.assert_array_equal(spec.fnu, 2 * FNU)
    np.testing.assert_allclose(spec.flam, 2 * FNU * FLAM_PER_FNU / WAVE**2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spectral_axis": np.array([1.0, 1.0, 2.0]) * u.um}, "not monotonic"),
        ({"flux": FNU * u.K}, "K cannot be converted"),
        (
            {"flux": np.ones((4, 3)) * u.uJy, "uncertainty": None, "spectral_axis_index": 1},
            r"shape \(4, 3\)",
        ),
        ({"uncertainty": None}, "no uncertainty"),
        ({"uncertainty": UnknownUncertainty(ERR)}, "UnknownUncertainty"),
    ],
)
def test_what_cannot_be_converted_is_refused(change: dict[str, Any], message: str) -> None:
    given = {
        "spectral_axis": WAVE * u.um,
        "flux": FNU * u.uJy,
        "uncertainty": StdDevUncertainty(ERR),
    } | change
    with pytest.raises(ValidationError, match=message):
        SpectrumData.from_specutils(Spectrum(**given))


def test_specutils_is_not_given_an_axis_it_refuses() -> None:
    with pytest.raises(ValidationError, match="monotonic"):
        spectrum(wavelength=[1.0, 3.0, 2.0]).to_specutils()


def test_table_in_other_units_and_without_extras() -> None:
    table = QTable({"wavelength": WAVE * 1e4 * u.AA, "fnu": FNU * 1e3 * u.nJy, "fnu_err": ERR * 1e-3 * u.mJy})
    spec = SpectrumData.from_table(table)
    assert SpectrumData(table["wavelength"], table["fnu"], table["fnu_err"], {}, "", "") == spec
    np.testing.assert_allclose(spec.wavelength, WAVE)
    np.testing.assert_allclose(spec.fnu, FNU)
    np.testing.assert_allclose(spec.fnu_err, ERR)
    plain = Table({"wavelength": WAVE, "fnu": FNU, "fnu_err": ERR})
    assert SpectrumData.from_table(plain) == spectrum(grating="", spectrum_id="")
    plain["fnu"].unit = "nJy"
    np.testing.assert_allclose(SpectrumData.from_table(plain).fnu, FNU * 1e-3)


def test_table_without_a_column_or_with_holes_is_refused() -> None:
    with pytest.raises(ValidationError, match="no column fnu_err"):
        SpectrumData.from_table(Table({"wavelength": WAVE, "fnu": FNU}))
    holes = Table({"wavelength": WAVE, "fnu": np.ma.array(FNU, mask=[True, False, False]), "fnu_err": ERR})
    with pytest.raises(ValidationError, match="'fnu' has masked values"):
        SpectrumData.from_table(holes)


def test_dataset_follows_the_schema() -> None:
    ds = spectrum(mask=[False, True, False], fits_path="/a", redshift=2.5).to_xarray()
    assert ds.fnu.dims == ("wavelength",)
    assert {n: ds[n].attrs["units"] for n in ("wavelength", "fnu", "fnu_err", "flam")} == {
        "wavelength": "um",
        "fnu": "uJy",
        "fnu_err": "uJy",
        "flam": "erg s-1 cm-2 angstrom-1",
    }
    assert ds.dq.values.tolist() == [0, 4, 0]
    assert ds.dq.dtype == np.uint8
    assert ds.fnu.attrs["ancillary_variables"] == "fnu_err dq"
    assert ds.wavelength.attrs["standard_name"] == "radiation_wavelength"
    assert ds.flam.attrs["origin"] == "computed"
    assert ds.spectrum_id.dtype.kind == "U"
    assert ds.attrs == {"campfire_schema": 1, "fits_header": "{}", "fits_path": "/a", "redshift": 2.5}
    assert "fits_path" not in spectrum().to_xarray().attrs


def test_containers_do_not_share_their_arrays() -> None:
    spec = spectrum()
    ds = spec.to_xarray()
    ds.fnu.values[:] = 0
    back = SpectrumData.from_xarray(ds)
    ds.fnu.values[:] = 9
    assert (spec.fnu.tolist(), back.fnu.tolist()) == (FNU.tolist(), [0, 0, 0])


def test_mask_bits_decode_by_name() -> None:
    import cf_xarray  # noqa: F401

    ds = spectrum(fnu=[np.nan, 1, 1], fnu_err=[1, 0, 1]).to_xarray()
    assert (ds.dq.cf == "NONFINITE_FLUX").values.tolist() == [True, False, False]
    assert (ds.dq.cf == "BAD_ERROR").values.tolist() == [False, True, False]


def test_row_of_a_gridded_collection_is_one_spectrum() -> None:
    ds = to_dataset(spectrum().to_fields()).expand_dims("spectrum")
    ds = ds.assign_coords(spectrum_id=("spectrum", ["a"]), redshift=("spectrum", [3.0]))
    fields = from_dataset(ds.isel(spectrum=0))
    assert (fields["spectrum_id"], fields["grating"], fields["redshift"]) == ("a", "PRISM", 3.0)
    with pytest.raises(ValidationError, match="a collection, of 1 spectrum, not"):
        from_dataset(ds)


def test_lazy_dataset_is_computed() -> None:
    assert SpectrumData.from_xarray(spectrum().to_xarray().chunk(wavelength=2)) == spectrum()


def test_dataset_of_something_else_names_what_is_missing() -> None:
    with pytest.raises(ValidationError, match="'fnu' and 'fnu_err' and 'wavelength' missing"):
        SpectrumData.from_xarray(xr.Dataset({"x": 1}))
    ds = spectrum().to_xarray()
    ds.fnu.attrs["units"] = "mJy"
    with pytest.raises(ValidationError, match="'fnu' is in 'mJy'"):
        SpectrumData.from_xarray(ds)


def test_covariance_in_bands() -> None:
    matrix = csr_array(np.array([[4.0, 1.0, 0.0], [1.0, 9.0, -2.0], [0.0, -2.0, 1.0]]))
    bands = banded(matrix)
    np.testing.assert_array_equal(bands, [[4, 1], [9, -2], [1, 0]])
    np.testing.assert_array_equal(from_banded(bands).toarray(), matrix.toarray())
    ds = spectrum(covariance=matrix).to_xarray()
    assert ds.fnu_cov.dims == ("wavelength", "lag")
    assert ds.fnu_cov.attrs["units"] == "uJy2"


@pytest.mark.parametrize(
    ("matrix", "message"),
    [(np.eye(2), r"shape \(2, 2\)"), (np.array([[1, 2, 0], [0, 1, 0], [0, 0, 1.0]]), "not symmetric")],
)
def test_wrong_covariance_is_refused(matrix: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spectrum(covariance=matrix)


def test_covariance_of_a_cut_spectrum_ends_with_it() -> None:
    """Bands of pixels beyond the cut are left out; those of the pixels left are what they were."""
    matrix = np.diag([4.0, 4.0, 4.0]) + np.diag([1.0, 2.0], 1) + np.diag([1.0, 2.0], -1)
    ds = spectrum(covariance=matrix).to_xarray()
    cut = ds.isel(wavelength=slice(0, 2)).campfire.to_spectrum().covariance
    np.testing.assert_array_equal(cut.toarray(), matrix[:2, :2])
    np.testing.assert_array_equal(from_banded(np.ones((2, 2))).toarray(), np.ones((2, 2)))


@pytest.mark.parametrize("value", ["2.5", "", {}, b"x", [1.0, 2.0], np.arange(3), True])
def test_a_redshift_that_is_no_number_is_named(value: object) -> None:
    ds = SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.1], {}, "PRISM", "demo_1").to_xarray()
    with pytest.raises(ValidationError, match="the redshift of the Dataset is"):
        ds.assign_attrs(redshift=value).campfire.to_spectrum()


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "3", '{"a": {"__float__": "x"}}'])
def test_a_header_that_is_none_is_named(text: str) -> None:
    ds = SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.1], {}, "PRISM", "demo_1").to_xarray()
    with pytest.raises(ValidationError, match="fits_header"):
        ds.assign_attrs(fits_header=text).campfire.to_spectrum()


def test_specutils_writes_what_it_is_given(tmp_path: Path) -> None:
    header = {"OBJECT": "demo", "EXPTIME": 12.5, "HISTORY": ["one", "two"], "lower": "kept beside"}
    data = SpectrumData(WAVE, np.ones(WAVE.size), np.full(WAVE.size, 0.1), header, "PRISM", "demo")
    foreign = data.to_specutils()
    assert foreign.meta["header"]["EXPTIME"] == 12.5
    foreign.write(tmp_path / "spectrum.fits", format="tabular-fits")
    with fits.open(tmp_path / "spectrum.fits") as hdus:
        assert hdus[0].header["OBJECT"] == "demo"
    assert SpectrumData.from_specutils(foreign) == data
    foreign.meta["header"]["OBJECT"] = "other"
    assert SpectrumData.from_specutils(foreign).header["OBJECT"] == "other"
