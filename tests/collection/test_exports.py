"""Statement: a collection comes back from each container as it was."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import campfire
from campfire.collection.build import open_tree
from campfire.errors import ValidationError
from tests.collection.conftest import Archive

pa = pytest.importorskip("pyarrow")


@pytest.fixture(params=["as observed", "lazy", "gridded", "selected"])
def tree(request: pytest.FixtureRequest, archive: Archive) -> xr.DataTree:
    tree = open_tree(archive.sources, archive.columns, chunks=3 if request.param == "lazy" else None)
    if request.param == "gridded":
        gridded: xr.DataTree = tree.campfire.resample()
        return gridded
    if request.param == "selected":  # rows whose padding is not all of the same kind any more, and one pixel
        prism = tree["PRISM"].to_dataset()
        cut = prism.isel(pixel=slice(5, 20)).assign(fnu=prism.fnu.fillna(1.0).isel(pixel=slice(5, 20)).T)
        return xr.DataTree.from_dict({"/a": prism.isel(spectrum=slice(0, 1), pixel=[3]), "/b/c": cut})
    return tree


def assert_same(found: xr.DataTree, truth: xr.DataTree) -> None:
    assert found.groups == truth.groups
    assert found.attrs == truth.attrs
    for path in truth.groups:
        ds, true = found[path].to_dataset(), truth[path].to_dataset().compute()
        xr.testing.assert_identical(ds, true)
        assert set(ds.xindexes) == set(true.xindexes)
        assert {k: v.dtype.kind for k, v in ds.items()} == {k: v.dtype.kind for k, v in true.items()}
        assert {k: v.dtype for k, v in ds.items() if v.dtype.kind in "biuf"} == {
            k: v.dtype for k, v in true.items() if v.dtype.kind in "biuf"
        }


def test_parquet(tree: xr.DataTree, tmp_path: Path) -> None:
    tree.campfire.to_parquet(tmp_path / "a.parquet")
    assert_same(campfire.from_parquet(tmp_path / "a.parquet"), tree)
    (tmp_path / "b.parquet").write_text("x")
    with pytest.raises(ValidationError, match="no Parquet"):
        campfire.from_parquet(tmp_path / "b.parquet")


def test_a_stream_of_arrow(tree: xr.DataTree) -> None:
    table = tree.campfire.to_arrow()
    pipe = io.BytesIO()
    with pa.ipc.new_stream(pipe, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    assert_same(campfire.from_arrow(pa.ipc.open_stream(pipe.getvalue())), tree)


def test_one_row_a_spectrum_as_long_as_it_is_and_rows_can_be_chosen(archive: Archive) -> None:
    tree = open_tree(archive.sources, archive.columns, chunks=None)
    table = tree.campfire.to_arrow()
    assert table.num_rows == len(archive.sources)
    assert [len(row) for row in table["fnu"].to_pylist()] == table["n_pixels"].to_pylist()
    back = campfire.from_arrow(table.filter(pa.compute.field("campfire_group") == "/PRISM").slice(1, 2))
    true = tree["PRISM"].to_dataset().isel(spectrum=[1, 2])
    xr.testing.assert_identical(back["PRISM"].to_dataset(), true)
    assert back["G395M"].sizes["spectrum"] == 0
    with pytest.raises(ValidationError, match="did not write"):
        campfire.from_arrow(table.replace_schema_metadata({}))


def test_netcdf(tree: xr.DataTree, tmp_path: Path) -> None:
    tree.to_netcdf(tmp_path / "a.nc")
    with xr.open_datatree(tmp_path / "a.nc") as read:
        back = read.load().campfire.indexed()
    for path in tree.groups[1:]:
        if tree[path].data_vars:
            truth = tree[path].to_dataset().compute().transpose("spectrum", ...)
            xr.testing.assert_equal(back[path].to_dataset().transpose("spectrum", ...), truth)


def test_a_spectrum_list(archive: Archive) -> None:
    specutils = pytest.importorskip("specutils")
    tree = open_tree(archive.sources, archive.columns)
    made = tree.campfire.to_specutils()
    assert isinstance(made, specutils.SpectrumList)
    truth = tree.campfire.to_spectra()
    assert len(made) == len(truth) == len(archive.sources)
    for one, true in zip(made, truth, strict=True):
        xr.testing.assert_identical(campfire.SpectrumData.from_specutils(one).to_xarray(), true.to_xarray())
        np.testing.assert_array_equal(one.flux.value, true.fnu)
