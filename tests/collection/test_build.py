"""Statements: rows keep the caller's order and may repeat; padding is NaN and OUTSIDE; lazy equals numpy for
any chunks; nothing open and nothing large is in a graph; dtypes are those of the files."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.errors import NotFoundError, ValidationError
from campfire.formats.spec_reader import read_spectrum
from campfire.kernels.lsf import resolving_power
from campfire.schema import NATIVE, PixelDQ, validate
from campfire.units import fnu_to_flam

CACHES = pytest.mark.parametrize("cached", [False, True], ids=["files", "cache"])


def expected(source: FileSource) -> dict[str, np.ndarray[Any, Any]]:
    fields = read_spectrum(source.path)
    return {name: np.asarray(fields[name]) for name in ("wavelength", "fnu", "fnu_err", "mask")}


def check_row(ds: xr.Dataset, row: int, source: FileSource) -> None:
    truth = expected(source)
    n = len(truth["fnu"])
    assert ds.n_pixels.values[row] == n
    for name in ("wavelength", "fnu", "fnu_err"):
        values = ds[name].values[row]
        np.testing.assert_array_equal(values[:n], truth[name].astype(values.dtype))
        assert np.isnan(values[n:]).all()
    np.testing.assert_array_equal(ds.dq.values[row, :n] != 0, truth["mask"])
    assert (ds.dq.values[row, n:] == PixelDQ.OUTSIDE).all()
    flam = fnu_to_flam(truth["fnu"], truth["wavelength"])
    np.testing.assert_allclose(ds.flam.values[row, :n], flam, rtol=1e-6)


@CACHES
def test_rows_of_each_grating_in_the_order_given(archive: Any, tmp_path: Path, cached: bool) -> None:
    tree = open_tree(archive.sources, archive.columns, cache_dir=tmp_path if cached else None)
    assert list(tree.children) == ["PRISM", "G395M", "G140M"]
    for grating, node in tree.children.items():
        sources, columns = archive.of(grating)
        ds = node.to_dataset()
        assert validate(ds) == NATIVE
        assert ds.spectrum_id.values.tolist() == columns["spectrum_id"]
        assert str(ds.grating.item()) == grating
        assert all(
            ds[v].chunks is not None for v in ("fnu", "fnu_err", "flam", "flam_err", "dq", "wavelength")
        )
        loaded = ds.compute()
        for row, source in enumerate(sources):
            check_row(loaded, row, source)


@settings(max_examples=15)
@given(data=st.data())
def test_any_order_repeats_and_chunks_equal_numpy(
    archive: Any, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(archive.sources) - 1), min_size=1, max_size=25))
    chunks = data.draw(st.one_of(st.just("auto"), st.just(-1), st.integers(1, 30)))
    cached = data.draw(st.booleans())
    cache = tmp_path_factory.getbasetemp() / "order_cache" if cached else None
    sources, columns = archive.pick(rows)
    lazy = open_tree(sources, columns, chunks=chunks, cache_dir=cache)
    eager = open_tree(sources, columns, chunks=None)
    for grating, node in eager.children.items():
        assert node["fnu"].chunks is None
        xr.testing.assert_identical(lazy[grating].to_dataset().compute(), node.to_dataset())
        wanted = [i for i, g in zip(columns["spectrum_id"], columns["grating"], strict=True) if g == grating]
        assert node.spectrum_id.values.tolist() == wanted


@CACHES
def test_dtype_is_the_widest_of_the_files_and_never_less(maker: Any, tmp_path: Path, cached: bool) -> None:
    archive = maker(tmp_path / "files", ["PRISM"] * 12)
    cache = tmp_path / "cache" if cached else None
    kinds = [np.asarray(read_spectrum(s.path)["fnu"]).dtype for s in archive.sources]
    narrow = [i for i, kind in enumerate(kinds) if kind == np.float32]
    assert 0 < len(narrow) < 12
    mixed = open_tree(archive.sources, archive.columns, cache_dir=cache)["PRISM"]
    assert mixed.fnu.dtype == mixed.flam.dtype == np.float64
    assert mixed.wavelength.dtype == np.float64
    single = open_tree(*archive.pick(narrow), cache_dir=cache)["PRISM"]
    assert single.fnu.dtype == single.fnu_err.dtype == single.flam.dtype == np.float32
    assert single.wavelength.dtype == np.float64


def test_coordinates_come_from_the_columns(archive: Any) -> None:
    sources, columns = archive.of("PRISM")
    ds = open_tree(sources, columns)["PRISM"].to_dataset()
    assert ds.sel(spectrum_id=columns["spectrum_id"][3]).dq_flags.item() == columns["dq_flags"][3]
    assert ds.object_id.dtype.kind == "U"
    assert ds.dq_flags.dtype == np.int64
    np.testing.assert_array_equal(
        ds.redshift.values, [np.nan if z is None else z for z in columns["redshift"]]
    )
    assert ds.tags.values.tolist() == [",".join(t) for t in columns["tags"]]
    assert ds.ra.attrs["units"] == "deg"


def test_masked_columns_and_astropy_tables(archive: Any) -> None:
    from astropy.table import Table

    sources, columns = archive.of("G395M")
    table = Table({k: v for k, v in columns.items() if k not in ("redshift", "tags")})
    table["redshift"] = np.ma.MaskedArray(np.arange(len(table)), mask=[True] + [False] * (len(table) - 1))
    table["note"] = np.ma.MaskedArray(["x"] * len(table), mask=[True] + [False] * (len(table) - 1))
    ds = open_tree(sources, {name: table[name] for name in table.colnames})["G395M"]
    assert np.isnan(ds.redshift.values[0])
    assert ds.redshift.values[1] == 1
    assert ds.note.values.tolist() == [""] + ["x"] * (len(table) - 1)


def test_a_column_of_nothing_keeps_its_kind(archive: Any) -> None:
    sources, columns = archive.pick([0, 2])
    ds = open_tree(sources, columns | {"redshift": [None, None], "object_id": [None, None]})["PRISM"]
    assert ds.redshift.dtype == np.float64
    assert ds.object_id.values.tolist() == ["", ""]


@CACHES
def test_pickle_is_small_and_tokens_are_stable(archive: Any, tmp_path: Path, cached: bool) -> None:
    from dask.base import tokenize

    rows = [0, 2, 4, 5] * 500
    sources, columns = archive.pick(rows)
    cache = tmp_path if cached else None
    ds = open_tree(sources, {k: columns[k] for k in ("spectrum_id", "grating")}, cache_dir=cache)["PRISM"]
    again = open_tree(sources, {k: columns[k] for k in ("spectrum_id", "grating")}, cache_dir=cache)["PRISM"]
    assert ds.fnu.chunksizes["spectrum"] == (512, 512, 512, 464)
    assert tokenize(ds.fnu.data) == tokenize(again.fnu.data)
    assert ds.fnu.data.name == again.fnu.data.name
    packed = pickle.dumps(ds.fnu.variable)
    assert len(packed) < 40_000
    one = pickle.loads(packed)[3:5].compute()
    np.testing.assert_array_equal(one.values, ds.fnu[3:5].values)


def test_variables_computed_together_read_each_file_once(
    archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from campfire.collection import block_reader
    from campfire.formats.spec_reader import read_pixels as original

    reads: list[str] = []

    def counting(path: Any, *, extraction: str = "optimal") -> Any:
        reads.append(str(path))
        return original(path, extraction=extraction)

    monkeypatch.setattr(block_reader, "read_pixels", counting)
    sources, columns = archive.of("PRISM")
    tree = open_tree(sources, columns, chunks=4)
    assert reads == []
    tree.load()
    assert sorted(reads) == sorted(s.path for s in sources)


@CACHES
def test_no_file_stays_open(archive: Any, tmp_path: Path, cached: bool) -> None:
    fds = Path("/proc/self/fd")
    if not fds.is_dir():
        pytest.skip("no /proc here")
    tree = open_tree(archive.sources, archive.columns, cache_dir=tmp_path if cached else None)
    tree["PRISM"].to_dataset().compute()
    targets = []
    for fd in fds.iterdir():
        try:
            targets.append(os.readlink(fd))
        except FileNotFoundError:
            continue
    assert not [t for t in targets if t.endswith(".fits") or str(tmp_path) in t]


def test_goes_through_zarr_unwarned(archive: Any, tmp_path: Path) -> None:
    """A saved collection is the same collection, text dtypes included."""
    tree = open_tree(archive.sources, archive.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree.to_zarr(tmp_path / "saved.zarr", zarr_format=3, consolidated=False)
        back = xr.open_datatree(tmp_path / "saved.zarr", engine="zarr", consolidated=False)
    for grating, node in tree.children.items():
        ds = back[grating].to_dataset().set_xindex("spectrum_id").compute()
        xr.testing.assert_equal(ds, node.to_dataset().compute())
        assert node.object_id.dtype.kind == "U"


@CACHES
def test_resolving_power_of_rows_as_observed(archive: Any, tmp_path: Path, cached: bool) -> None:
    """As lazy and chunked as the wavelengths, NaN in the padding; it outlives Zarr, selection, joining and
    the way to single spectra and to one grid. Nothing is stored for it: it follows from what is."""
    cache = tmp_path / "cache" if cached else None
    tree = open_tree(archive.sources, archive.columns, cache_dir=cache, chunks=3)
    for grating, node in tree.children.items():
        ds = node.to_dataset()
        power = ds.resolving_power
        assert power.chunks == ds.wavelength.chunks is not None
        assert power.dims == NATIVE
        assert power.attrs["units"] == "1"
        np.testing.assert_array_equal(power.values, resolving_power(grating, ds.wavelength.values))
        np.testing.assert_array_equal(np.isnan(power.values), np.isnan(ds.wavelength.values))
        assert np.isfinite(power.values).any()
        part = ds.campfire.select(min_snr=4).isel(pixel=slice(5, 20))
        np.testing.assert_array_equal(part.resolving_power, resolving_power(grating, part.wavelength))
        joined = xr.concat([ds.isel(spectrum=[2]), ds.isel(spectrum=[0, 1])], dim="spectrum")
        np.testing.assert_array_equal(joined.resolving_power, power.isel(spectrum=[2, 0, 1]))
        grid = np.linspace(1.2, 4.8, 30)
        gridded = ds.campfire.resample(grid)
        np.testing.assert_array_equal(gridded.resolving_power, resolving_power(grating, grid))
        for spectrum in ds.campfire.to_spectra()[1:3]:  # the first is at redshift 0
            single = spectrum.to_xarray().resolving_power
            np.testing.assert_array_equal(single, resolving_power(grating, spectrum.wavelength))
    tree.to_zarr(tmp_path / "saved.zarr", zarr_format=3, consolidated=False)
    with xr.open_datatree(tmp_path / "saved.zarr", engine="zarr", consolidated=False) as again:
        for grating, node in tree.children.items():
            assert "resolving_power" in again[grating].coords
            np.testing.assert_array_equal(again[grating].resolving_power, node.resolving_power)
    numpy = open_tree(archive.sources, archive.columns, cache_dir=cache, chunks=None)
    assert isinstance(numpy["PRISM"].resolving_power.data, np.ndarray)


def test_resolving_power_where_gratings_differ_or_are_not_known(archive: Any) -> None:
    """Rows of several gratings on one grid have their own each; one without a table has none."""
    grid = np.linspace(1.2, 4.8, 30)
    for chunks in (2, None):
        tree = open_tree(archive.sources, archive.columns, chunks=chunks, grid=grid)
        rows = [tree[name].to_dataset().drop_vars("n_pixels", errors="ignore") for name in tree.children]
        mixed = xr.concat(
            rows, dim="spectrum", data_vars="all", coords="different", compat="equals", join="outer"
        )
        assert validate(mixed) == ("spectrum", "wavelength")
        twice = mixed.campfire.resample(grid[2:-2])
        for ds in (mixed, twice):
            wanted = [resolving_power(name, ds.wavelength.values) for name in ds.grating.values.tolist()]
            np.testing.assert_array_equal(ds.resolving_power.values, wanted)
        assert (twice.resolving_power.chunks is None) == (chunks is None)
    columns = archive.columns | {"grating": ["NEW"] * len(archive.sources)}
    assert "resolving_power" not in open_tree(archive.sources, columns)["NEW"].coords


def test_attributes_survive_json(archive: Any) -> None:
    import json

    tree = open_tree(archive.sources, archive.columns, attrs={"query": "PRISM"})
    assert tree.attrs["query"] == "PRISM"
    assert tree.attrs["campfire_schema"] == tree["PRISM"].attrs["campfire_schema"] == 1
    json.dumps(tree.attrs)
    json.dumps(tree["PRISM"].attrs)
    assert "12 PRISM spectra" in tree["PRISM"].attrs["history"]


@CACHES
def test_other_extractions_are_asked_of_the_file(archive: Any, tmp_path: Path, cached: bool) -> None:
    """1-D files hold no boxcars: the error names the file, and the optimal rows are not taken instead."""
    sources, columns = archive.pick([0])
    cache = tmp_path if cached else None
    open_tree(sources, columns, cache_dir=cache)
    with pytest.raises(ValidationError, match="3px"):
        open_tree(sources, columns, cache_dir=cache, extraction="3px").load()


@CACHES
def test_a_missing_file_is_named(archive: Any, tmp_path: Path, cached: bool) -> None:
    sources, columns = archive.pick([0, 2])
    sources[1] = FileSource(str(tmp_path / "gone_spec.fits"), "sha256:00")
    with pytest.raises(NotFoundError, match="gone_spec"):
        open_tree(sources, columns, cache_dir=tmp_path / "cache" if cached else None)


@CACHES
def test_a_broken_file_is_named(archive: Any, tmp_path: Path, cached: bool) -> None:
    broken = tmp_path / "broken_spec.fits"
    broken.write_bytes(Path(archive.sources[0].path).read_bytes()[:3000])
    sources, columns = archive.pick([0, 2])
    sources[1] = FileSource(str(broken), "sha256:00")
    with pytest.raises(ValidationError, match="broken_spec"):
        open_tree(sources, columns, cache_dir=tmp_path / "cache" if cached else None)


@pytest.mark.parametrize("chunks", [0, -2, "big", True, 1.5, {"pixel": 3}, {"spectrum": 0}])
def test_unusable_chunks(archive: Any, chunks: Any) -> None:
    with pytest.raises(ValidationError, match="chunks"):
        open_tree(*archive.pick([0]), chunks=chunks)


@pytest.mark.parametrize("chunks", [{"spectrum": 2}, {"spectrum": -1}, {}, np.int64(3), 12])
def test_usable_chunks(archive: Any, chunks: int | Mapping[str, int]) -> None:
    """Blocks of equal lengths too."""
    sources, columns = archive.of("PRISM")
    ds = open_tree(sources, columns, chunks=chunks)["PRISM"].to_dataset()
    assert sum(ds.fnu.chunksizes["spectrum"]) == len(sources) == 12
    xr.testing.assert_identical(ds.compute(), open_tree(sources, columns, chunks=None)["PRISM"].to_dataset())


def test_bad_columns(archive: Any) -> None:
    sources, columns = archive.pick([0, 1])
    with pytest.raises(ValidationError, match="no spectra"):
        open_tree([], columns)
    with pytest.raises(ValidationError, match="grating"):
        open_tree(sources, {"spectrum_id": ["a", "b"]})
    with pytest.raises(ValidationError, match="1 values for 2 sources"):
        open_tree(sources, columns | {"redshift": [1.0]})
    with pytest.raises(ValidationError, match="grating"):
        open_tree(sources, columns | {"grating": ["PRISM", "a/b"]})
