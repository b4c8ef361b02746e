"""Statement checked: a spectrum goes into every other container and comes back identical."""

from __future__ import annotations

import json
import math
import pickle
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import xarray as xr
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from campfire.convert import dump_header, load_header, plain_header
from campfire.errors import ValidationError
from campfire.kernels.covariance import Covariance
from campfire.models import SpectrumData

# Text without NUL, which neither HDF5 nor Zarr can hold, and without lone surrogates, which are not text.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | TEXT
    | st.complex_numbers()
    | st.just(b"\xff\xfe")
)
HEADER = st.dictionaries(TEXT, SCALAR | st.lists(SCALAR, max_size=3), max_size=4)
DTYPES = st.sampled_from([np.float32, np.float64])


def _fluxes(dtype: Any, n: int) -> st.SearchStrategy[Any]:
    width = 8 * np.dtype(dtype).itemsize
    return hnp.arrays(dtype, n, elements=st.floats(width=width, allow_subnormal=False))


@st.composite
def spectra(
    draw: st.DrawFn, *, ascending: bool = False, header: Any = HEADER, dtypes: Any = DTYPES
) -> SpectrumData:
    n = draw(st.integers(0, 6))
    dtype = draw(dtypes)
    wave = draw(hnp.arrays(np.float32, n, elements=st.floats(0.125, 8, width=32), unique=ascending)).astype(
        draw(dtypes)
    )
    fnu = draw(_fluxes(dtype, n))
    given_flam = draw(st.booleans())
    matrix: Any = None
    if draw(st.booleans()):
        half = np.triu(np.tril(draw(hnp.arrays(np.float64, (n, n), elements=st.floats(-9, 9))), 2))
        matrix = csr_array(half + half.T)
        if draw(st.booleans()):
            modes = draw(hnp.arrays(np.float64, (n, 2), elements=st.floats(0.5, 9)))
            matrix = Covariance(matrix, modes, np.array([-1.0, 1.0]), ("", draw(TEXT)))
    return SpectrumData(
        np.sort(wave) if ascending else wave,
        fnu,
        draw(_fluxes(dtype, n)),
        draw(header),
        draw(TEXT),
        draw(TEXT),
        flam=draw(_fluxes(dtype, n)) if given_flam else None,
        flam_err=draw(_fluxes(dtype, n)) if given_flam else None,
        fits_path=draw(st.none() | TEXT),
        fnu_units=draw(st.sampled_from(["uJy", "microJansky", "1"])),
        flam_units=draw(st.sampled_from(["erg s-1 cm-2 angstrom-1", "erg / (s cm2 Angstrom)", "1"])),
        mask=draw(st.none() | hnp.arrays(np.bool_, n)),
        redshift=draw(st.none() | st.floats(0, 20)),
        covariance=matrix,
        resolving_power=draw(st.none() | _fluxes(np.dtype(np.float64), n)),
    )


def assert_identical(back: SpectrumData, spec: SpectrumData) -> None:
    """Equal in every value and dtype, and in what was computed; the printed forms are the reason if not."""
    assert back == spec
    assert back._computed == spec._computed
    for name in ("wavelength", "fnu", "fnu_err", "flam", "flam_err", "mask"):
        one, other = getattr(back, name), getattr(spec, name)
        assert one.dtype == other.dtype
        assert one.dtype.isnative
        np.testing.assert_array_equal(one, other)
    assert dump_header(back.header) == dump_header(spec.header)


@given(spectra())
def test_dataset_and_pickle(spec: SpectrumData) -> None:
    ds = spec.to_xarray()
    assert_identical(SpectrumData.from_xarray(ds), spec)
    assert_identical(SpectrumData.from_xarray(pickle.loads(pickle.dumps(ds))), spec)
    assert_identical(pickle.loads(pickle.dumps(spec)), spec)
    xr.testing.assert_identical(SpectrumData.from_xarray(ds).to_xarray(), ds)


@settings(max_examples=30)
@given(spectra(), st.sampled_from([2, 3]))
def test_zarr(spec: SpectrumData, version: Literal[2, 3]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spec.to_xarray().to_zarr(f"{folder}/a.zarr", consolidated=False, zarr_format=version)
        with xr.open_zarr(f"{folder}/a.zarr", consolidated=False) as ds:
            assert_identical(SpectrumData.from_xarray(ds), spec)


@settings(max_examples=40)
@given(spectra(), st.sampled_from(["h5netcdf", "scipy"]))
def test_netcdf(spec: SpectrumData, engine: Literal["h5netcdf", "scipy"]) -> None:
    """netCDF-4, and netCDF-3 in which the bits of the mask come back signed."""
    with tempfile.TemporaryDirectory() as folder:
        spec.to_xarray().to_netcdf(f"{folder}/a.nc", engine=engine)
        with xr.open_dataset(f"{folder}/a.nc", engine=engine) as ds:
            assert_identical(SpectrumData.from_xarray(ds), spec)


@given(spectra(ascending=True), st.booleans())
def test_specutils(spec: SpectrumData, turned: bool) -> None:
    if turned:
        spec = SpectrumData(**spec.to_fields() | _turned(spec))
    assert_identical(SpectrumData.from_specutils(spec.to_specutils()), spec)


def _turned(spec: SpectrumData) -> Any:
    names = ("wavelength", "fnu", "fnu_err", "flam", "flam_err", "mask")
    given_arrays = spec.to_fields()
    turned = {n: None if given_arrays.get(n) is None else getattr(spec, n)[::-1] for n in names}
    return turned | {"covariance": None, "resolving_power": None}


@settings(max_examples=40)
@given(spectra())
def test_table_and_ecsv(spec: SpectrumData) -> None:
    table = spec.to_table()
    assert_identical(SpectrumData.from_table(table), spec)
    with tempfile.TemporaryDirectory() as folder:
        table.write(f"{folder}/a.ecsv", format="ascii.ecsv")
        back = QTable.read(f"{folder}/a.ecsv", format="ascii.ecsv")
    assert_identical(SpectrumData.from_table(back), spec)
    assert [back[n].unit for n in back.colnames] == [table[n].unit for n in table.colnames]


# FITS files hold what JSON has a form for.
FITS_SCALAR = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
FITS_HEADER = st.dictionaries(TEXT, FITS_SCALAR | st.lists(FITS_SCALAR, max_size=3), max_size=4)


@given(spectra(ascending=True, header=FITS_HEADER))
def test_fits(spec: SpectrumData) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a_prism_clear_1_spec.fits"
        spec.write(path)
        back = SpectrumData.from_fits(path)
    assert back.fits_path == str(path)
    back.fits_path = spec.fits_path
    assert_identical(back, spec)


@given(HEADER)
def test_header_json(header: dict[str, Any]) -> None:
    text = dump_header(header)
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)  # NaN and Infinity are words JSON does not have
    assert dump_header(load_header(text)) == text
    assert list(load_header(text)) == list(plain_header(header))


def test_header_keeps_infinities_and_repeated_cards() -> None:
    header = {"A": math.inf, "B": ["x", None, -0.0], "C": b"\x00\xff", "D": 1 + 2j, "E": np.float32(0.1)}
    back = load_header(dump_header(header))
    assert back["A"] == math.inf
    assert back["B"] == ["x", None, 0.0]
    assert math.copysign(1, back["B"][2]) == -1
    assert (back["C"], back["D"], back["E"]) == (b"\x00\xff", 1 + 2j, float(np.float32(0.1)))


def test_astropy_header_with_repeated_and_undefined_cards() -> None:
    from astropy.io import fits

    header = fits.Header([("A", 1), ("UNDEF", None), ("HISTORY", "one"), ("HISTORY", "two")])
    assert plain_header(header) == {"A": 1, "UNDEF": None, "HISTORY": ["one", "two"]}


def test_a_value_no_header_can_hold_is_named() -> None:
    with pytest.raises(ValidationError, match=r"'WCS' holds a object"):
        plain_header({"WCS": object()})


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_broken_header_text_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="fits_header"):
        load_header(text)
