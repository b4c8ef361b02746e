"""Statement checked: code as users write it passes ``mypy --strict`` with the documented types (and runs)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import astropy.units as u
import numpy as np
import xarray as xr
from astropy.table import Table
from matplotlib.axes import Axes
from numpy.typing import NDArray

import campfire
from campfire import Band, Object, Photometry, Spectrum, SpectrumCollection, SpectrumData
from campfire.accessors import dataset_functions
from campfire.accessors.dataset import DatasetAccessor
from campfire.formats.spec_reader import read_spectrum
from campfire.schema import PixelDQ
from campfire.typing import PathInput, SpectrumFields, SpectrumReader

Floats = NDArray[np.floating[Any]]


def _opener(spectrum_id: str) -> SpectrumFields:
    return SpectrumData([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.1] * 3, {}, "PRISM", spectrum_id).to_fields()


def _object() -> Object:
    return Object.from_row(
        {"object_id": "J0", "field": "cosmos", "ra": 150.0, "dec": 2.0, "redshift": 3.4, "tags": ["lrd"]},
        [{"spectrum_id": "a_prism_clear_1", "grating": "PRISM", "signal_to_noise": 12.0}],
        [{"catalog_name": "demo", "photometry": {"bands": {"f444w": {"flux": 1.0, "flux_err": 0.1}}}}],
        _opener,
    )


def test_object_and_collection() -> None:
    obj = _object()
    assert_type(obj.object_id, str)
    assert_type(obj.redshift, float | None)
    assert_type(obj.redshift_quality, int)
    assert_type(obj.tags, list[str])
    assert_type(obj.spectra, SpectrumCollection)
    assert_type(obj.spectra[0], Spectrum)
    prism: SpectrumCollection = obj.spectra[obj.spectra.grating == "PRISM"]
    assert len(prism) == 1
    assert_type(obj.spectra[obj.spectra.signal_to_noise > 10], SpectrumCollection)
    assert_type(obj.spectra[[0]], SpectrumCollection)
    assert_type(obj.spectra[:1], SpectrumCollection)
    assert_type(obj.spectra.spectrum_id, NDArray[np.str_])
    assert_type(obj.spectra.signal_to_noise, Floats)
    assert_type(obj.spectra.dq_flags, NDArray[np.int64])
    assert_type(obj.spectra.gratings, list[str])
    table: Table = obj.spectra.to_table()
    assert len(table) == len(obj.spectra) == 1
    for s in obj.spectra:
        assert_type(s, Spectrum)
        assert_type(s.downloaded, bool)


def test_spectrum_and_its_arrays() -> None:
    s = _object().spectra[0]
    assert_type(s.signal_to_noise, float | None)
    spec = s.open()
    assert_type(spec, SpectrumData)
    assert_type(s.data, SpectrumData)
    assert_type(spec.wavelength, Floats)
    assert_type(spec.flam, Floats)
    assert_type(spec.mask, NDArray[np.bool_])
    assert_type(spec.header, dict[str, Any])
    assert_type(spec.fits_path, str | None)
    assert_type(spec.redshift, float | None)
    assert_type(spec.plot(flux_unit="flam"), Axes)
    assert_type(SpectrumData(**spec.to_fields()), SpectrumData)
    assert float(spec.flam.max()) > 0


def test_photometry() -> None:
    phot = _object().photometry
    assert_type(phot, Photometry | None)
    assert phot is not None
    assert_type(phot["f444w"], Band)
    assert_type(phot["f444w"].flux, float)
    assert_type(phot.bands, list[str])
    assert_type(phot.flux, Floats)
    assert_type(phot.photo_z, float | None)
    made = Photometry(["f444w"], [1.0], [0.1], [4.4], "mine")
    assert_type(made.flux_err, Floats)


def test_xarray_side(tmp_path: Path) -> None:
    spec = _object().spectra[0].open()
    ds = spec.to_xarray()
    assert_type(ds, xr.Dataset)
    assert_type(SpectrumData.from_xarray(ds), SpectrumData)
    assert_type(dataset_functions.to_restframe(ds, 3.4), xr.Dataset)
    assert_type(dataset_functions.good_pixels(ds, ignore=["CLIPPED"]), xr.DataArray)
    # An accessor is invisible to type checkers; named once, it is not.
    cf: DatasetAccessor = ds.campfire
    assert_type(cf.to_spectrum(), SpectrumData)
    assert_type(cf.resample(np.array([1.5, 2.5])), xr.Dataset)
    assert_type(cf.to_restframe(1.0), xr.Dataset)
    spec.write(tmp_path / "a_prism_clear_1_spec.fits")
    assert_type(SpectrumData.from_fits(tmp_path / "a_prism_clear_1_spec.fits"), SpectrumData)


def _read_text(path: PathInput) -> SpectrumFields:
    wavelength, fnu, fnu_err = np.loadtxt(path, unpack=True)
    return {
        "wavelength": wavelength,
        "fnu": fnu,
        "fnu_err": fnu_err,
        "header": {},
        "grating": "PRISM",
        "spectrum_id": Path(path).stem,
    }


def test_a_reader_of_another_layout(tmp_path: Path) -> None:
    readers: list[SpectrumReader] = [_read_text, read_spectrum]
    np.savetxt(tmp_path / "mine.txt", [[1.0, 2.0, 0.1], [1.5, 3.0, 0.1]])
    spec = SpectrumData(**readers[0](tmp_path / "mine.txt"))
    spec.write(tmp_path / "mine_spec.fits")
    again = SpectrumData(**readers[1](tmp_path / "mine_spec.fits"))
    assert_type(again, SpectrumData)
    assert again.to_xarray().campfire.to_spectrum() == again
    assert (again.spectrum_id, len(again)) == ("mine", 2)


def test_quantities_and_bits(tmp_path: Path) -> None:
    spec = SpectrumData([10000, 20000] * u.AA, [1, 2] * u.nJy, [1, 1] * u.nJy, {}, "PRISM", "a")
    cf: DatasetAccessor = spec.to_xarray().campfire
    assert_type(cf.good(), xr.DataArray)
    assert_type(cf.good(ignore=PixelDQ.CLIPPED | PixelDQ.OUTSIDE), xr.DataArray)
    assert_type(cf.good(ignore=[PixelDQ.CLIPPED, "OUTSIDE"]), xr.DataArray)
    assert_type(cf.to_spectra(), list[SpectrumData])
    spec.write(tmp_path / "a_prism_clear_1_spec.fits")
    tree = xr.open_datatree(tmp_path / "a_prism_clear_1_spec.fits", engine="campfire")
    assert_type(tree, xr.DataTree)
    lines = campfire.get_emission_lines(2.0, wave_min=10000 * u.AA)
    assert_type(lines[0]["observed_wave"], float)
    flam = campfire.convert_flux_units(spec.fnu, spec.wavelength)
    assert_type(flam, Floats)
