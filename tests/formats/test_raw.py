"""Statements checked: the own reader gives astropy's values; damage is a ValidationError, never garbage."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from campfire.errors import CampfireError, NotFoundError, ValidationError
from campfire.formats.hdu_reader import RawFits
from campfire.formats.plot_payloads import redshift_fit_payload, spectrum_payload
from campfire.formats.spec_reader import product_facts, read_header, read_pixels, read_position, read_spectrum
from campfire.formats.tree import read_tree
from campfire.formats.zfit import read_zfit

DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16", "b1", "U5"]
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5)


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=6))
    shapes = [draw(st.sampled_from([(), (), (2,)])) if d not in ("U5",) else () for d in dtypes]
    rows = draw(st.integers(0, 5))
    table = np.zeros(
        rows, dtype=[(f"c{i}", d, s) for i, (d, s) in enumerate(zip(dtypes, shapes, strict=True))]
    )
    for i, dtype in enumerate(dtypes):
        elements = TEXT if dtype == "U5" else None
        table[f"c{i}"] = draw(hnp.arrays(dtype, (rows, *shapes[i]), elements=elements))
    return table


@given(tables())
def test_every_kind_of_column_equals_that_of_astropy(table: np.ndarray[Any, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.fits"
        fits.BinTableHDU(table, name="T").writeto(path)
        with fits.open(path) as opened, RawFits(path) as raw:
            hdu = raw.find("t", "BINTABLE")
            assert hdu is not None
            for name in table.dtype.names or ():
                expected, found = opened["T"].data[name], raw.column(hdu, name.upper())
                assert found.dtype.isnative
                np.testing.assert_array_equal(found, np.asarray(expected))
                assert found.dtype.kind == np.asarray(expected).dtype.kind
                assert found.flags.owndata or found.base is not None


@given(hnp.arrays(st.sampled_from(["u1", "i2", "i4", "i8", "f4", "f8"]), hnp.array_shapes(max_dims=3)))
def test_images_equal_those_of_astropy(image: np.ndarray[Any, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "i.fits"
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="I")]).writeto(path)
        with RawFits(path) as raw:
            found = raw.image(raw.hdus[1])
        np.testing.assert_array_equal(found, image)
        assert found.dtype == image.dtype


def test_what_numpy_cannot_read_goes_through_astropy(tmp_path: Path) -> None:
    """Scaled, variable-length, bit and multidimensional columns; scaled and compressed images."""
    path = tmp_path / "odd.fits"
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.arange(3.0), np.arange(5.0)]
    columns = [
        fits.Column("scaled", "I", array=np.array([3, 5], dtype=np.int16)),
        fits.Column("ragged", "PD()", array=ragged),
        fits.Column("bits", "3X", array=np.array([[True, False, True], [False, True, False]])),
        fits.Column("square", "4D", dim="(2,2)", array=np.arange(8.0).reshape(2, 2, 2)),
    ]
    image = np.arange(24, dtype=np.int16).reshape(4, 6)
    unsigned = fits.ImageHDU(np.arange(6, dtype=np.uint16), name="U")
    packed = fits.CompImageHDU(image, name="Z")
    fits.HDUList(
        [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="T"), unsigned, packed]
    ).writeto(path)
    fits.setval(path, "TSCAL1", value=0.5, ext=1)
    fits.setval(path, "TZERO1", value=10.0, ext=1)
    with fits.open(path) as opened, RawFits(path) as raw:
        table = raw.hdus[1]
        for name in ("scaled", "bits", "square"):
            np.testing.assert_array_equal(raw.column(table, name), np.asarray(opened["T"].data[name]))
        assert [list(row) for row in raw.column(table, "ragged")] == [[0, 1, 2], [0, 1, 2, 3, 4]]
        np.testing.assert_array_equal(raw.image(raw.hdus[2]), np.arange(6))
        np.testing.assert_array_equal(raw.image(raw.hdus[3]), image)


def test_every_real_file_reads_as_with_astropy(real_file: Path) -> None:
    """Headers, columns and images of all HDUs of all layouts."""
    with fits.open(real_file) as opened, RawFits(real_file) as raw:
        assert [h.name for h in opened] == [h.name for h in raw.hdus]
        for hdu, expected in zip(raw.hdus, opened, strict=True):
            header = raw.header(hdu)
            for key in expected.header:
                if key and expected.header.count(key) == 1:
                    assert repr(header[key]) == repr(expected.header[key]), key
            if hdu.kind == "IMAGE" and hdu.shape:
                np.testing.assert_array_equal(raw.image(hdu), expected.data)
            if hdu.kind == "BINTABLE":
                for name in expected.columns.names:
                    np.testing.assert_array_equal(raw.column(hdu, name), np.asarray(expected.data[name]))


READERS: list[Callable[[Path], object]] = [
    read_spectrum,
    read_pixels,
    read_header,
    read_position,
    product_facts,
    spectrum_payload,
    redshift_fit_payload,
    read_zfit,
    lambda path: [list(group.values()) for group in read_tree(path).values()],
]


def _hdu_ends(data: bytes) -> set[int]:
    """Offsets at which the file could have ended as it is: behind every HDU."""
    with fits.open(io.BytesIO(data)) as opened:
        return {info["datLoc"] + info["datSpan"] for info in (hdu.fileinfo() for hdu in opened)}


@settings(max_examples=80)
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(data: st.DataObject, pristine: dict[str, bytes]) -> None:
    """Truncation at any byte: ValidationError. Only behind a whole HDU is it another, complete file."""
    kind = data.draw(st.sampled_from(["spec", "gz"]))
    whole = pristine[kind]
    size = data.draw(st.integers(0, len(whole) - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut_spec.fits"
        path.write_bytes(whole[:size])
        if kind == "spec" and size in _hdu_ends(whole):
            intact = Path(folder) / "whole_spec.fits"
            intact.write_bytes(whole)
            if size > min(_hdu_ends(whole)):
                np.testing.assert_array_equal(read_spectrum(path)["fnu"], read_spectrum(intact)["fnu"])
            return
        for reader in READERS:
            with pytest.raises(ValidationError, match=r"cut short|empty|cannot be read|not a FITS|damaged"):
                reader(path)


def test_every_block_border_within_an_hdu_is_refused(tmp_path: Path, pristine: dict[str, bytes]) -> None:
    whole = pristine["spec"]
    path = tmp_path / "cut_spec.fits"
    for size in set(range(2880, len(whole), 2880)) - _hdu_ends(whole):
        path.write_bytes(whole[:size])
        with pytest.raises(ValidationError, match="cut short"):
            read_spectrum(path)


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_bytes_raise_only_errors_of_the_tree(data: st.DataObject, pristine: dict[str, bytes]) -> None:
    """Any bytes overwritten anywhere, headers above all: a CampfireError or a result, nothing else."""
    kind = data.draw(st.sampled_from(["spec", "spec", "zfit", "gz"]))
    damaged = bytearray(pristine[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        block = data.draw(st.sampled_from([0, 1, 2, 3, 4, 10, 20]))
        at = min(block * 2880 + data.draw(st.integers(0, 2879)), len(damaged) - 1)
        new = data.draw(
            st.binary(min_size=1, max_size=8) | st.from_regex(rb"[ 0-9'TFEDIJKLAPQX=/]{1,20}", fullmatch=True)
        )
        damaged[at : at + len(new)] = new
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bad_spec.fits"
        path.write_bytes(damaged)
        for reader in READERS:
            with suppress(CampfireError):
                reader(path)


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_foreign_bytes_are_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x_spec.fits"
        path.write_bytes(content)
        with pytest.raises(ValidationError):
            read_spectrum(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    """Missing: NotFoundError (a LookupError too); folders and impossible names: ValidationError."""
    missing = tmp_path / "none_spec.fits"
    for reader in READERS:
        with pytest.raises(NotFoundError, match="none_spec") as caught:
            reader(missing)
        assert isinstance(caught.value, LookupError)
        with pytest.raises(ValidationError):
            reader(tmp_path)
    names: list[Any] = ["with\0null", "", None, 3]
    for name in names:
        with pytest.raises(CampfireError):
            read_spectrum(name)


def test_no_handle_stays_open(product_file: Callable[..., Path]) -> None:
    import psutil

    path = product_file()
    before = len(psutil.Process().open_files())
    kept = [read_spectrum(path) for _ in range(5)]
    with pytest.raises(ValidationError):
        read_zfit(path)
    assert len(psutil.Process().open_files()) == before
    assert len(kept) == 5


def test_only_the_hdus_asked_for_are_read(
    product_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading 1-D arrays reads headers and the table, not the images."""
    path = product_file(n_wave=4000, n_spatial=30)
    sizes: list[int] = []
    original = RawFits._read

    def counting(self: RawFits, start: int, size: int) -> bytes | memoryview:
        result = original(self, start, size)
        sizes.append(len(result))
        return result

    monkeypatch.setattr(RawFits, "_read", counting)
    fields = read_spectrum(path)
    table = 4000 * 8 * 16
    assert len(fields["fnu"]) == 4000
    assert sum(sizes) < table * 1.3 < path.stat().st_size / 2


def test_gzip_is_told_by_content(product_file: Callable[..., Path], tmp_path: Path) -> None:
    plain = product_file()
    zipped = tmp_path / "zipped_spec.fits"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = read_spectrum(plain), read_spectrum(zipped)
    np.testing.assert_array_equal(one["fnu"], other["fnu"])
    assert one["header"] == other["header"]


def test_a_repeated_structural_card_counts_once(tmp_path: Path) -> None:
    """The first card wins, as in astropy; nothing breaks on the second."""
    path = tmp_path / "t.fits"
    hdu = fits.BinTableHDU(np.zeros(3, dtype=[("a", "f8")]), name="T")
    hdu.header.append(("TTYPE1", "b"), end=True)
    hdu.header.append(("NAXIS2", 77), end=True)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, output_verify="ignore")
    with RawFits(path) as raw:
        assert raw.column(raw.hdus[1], "a").shape == (3,)


def test_columns_are_named_when_one_is_missing(product_file: Callable[..., Path]) -> None:
    with RawFits(product_file()) as raw, pytest.raises(ValidationError, match=r"no column 'flux'.*wave, fnu"):
        raw.column(raw.hdus[1], "flux")


def test_what_unpacks_to_more_than_any_spectrum_is_refused(
    product_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A packed file, and a compressed image, are never unpacked beyond a limit that is said."""
    import tracemalloc

    path = tmp_path / "bomb_spec.fits.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(product_file().read_bytes())
        for _ in range(10):
            file.write(bytes(10 << 20))
    monkeypatch.setattr("campfire.formats.hdu_reader._MOST_UNPACKED", 20 << 20)
    tracemalloc.start()
    with pytest.raises(ValidationError, match="unpacks to more than 20 MiB"):
        read_spectrum(path)
    assert tracemalloc.get_traced_memory()[1] < 60 << 20
    tracemalloc.stop()
    image = tmp_path / "image.fits"
    hdu = fits.CompImageHDU(np.zeros((3000, 3000), dtype="f4"), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(image)
    with RawFits(image) as raw, pytest.raises(ValidationError, match="unpacks to more than 20 MiB"):
        raw.image(raw.hdus[1])
