"""Statements: ``tree.campfire`` maps every grating, a tree gives a tree, and results can be sent away."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import campfire  # noqa: F401 - registers the accessors
from campfire.analysis.resampling import resample_collection
from campfire.analysis.stack_collections import stack_collection
from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.errors import ValidationError
from campfire.formats.spec_reader import file_hash
from campfire.formats.spec_writer import write_spectrum
from campfire.kernels.bandpass import Bandpass
from campfire.models import Photometry

BOX = Bandpass("box", np.array([1.3, 1.5]), np.array([1.0, 1.0]))
RANGES = {"PRISM": (0.6, 5.3, 80), "G140M": (1.0, 1.8, 120)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[FileSource], dict[str, list[Any]]]:
    folder = tmp_path_factory.mktemp("products")
    rng = np.random.default_rng(0)
    sources = []
    columns: dict[str, list[Any]] = {
        name: [] for name in ("spectrum_id", "object_id", "grating", "redshift", "signal_to_noise")
    }
    for i in range(12):
        grating = "PRISM" if i % 3 else "G140M"
        low, high, n = RANGES[grating]
        spectrum_id = f"o_{grating.lower()}_clear_{i}"
        path = folder / f"{spectrum_id}_spec.fits"
        write_spectrum(
            path,
            {
                "wavelength": np.linspace(low, high, n - i),
                "fnu": 2 + 0.1 * rng.normal(size=n - i),
                "fnu_err": np.full(n - i, 0.1),
                "header": {},
                "grating": grating,
                "spectrum_id": spectrum_id,
            },
        )
        sources.append(FileSource(str(path), file_hash(path)))
        row = (spectrum_id, f"obj{i // 3}", grating, 0.1 * i, float(i))
        for values, value in zip(columns.values(), row, strict=True):
            values.append(value)
    return sources, columns


@pytest.fixture
def tree(files: tuple[list[FileSource], dict[str, list[Any]]]) -> xr.DataTree:
    return open_tree(*files, chunks=3, attrs={"query": "all"})


def lazy(tree: xr.DataTree, name: str) -> bool:
    return all(node[name].chunks is not None for node in tree.children.values())


def test_resample_each_grating_onto_its_own_grid(tree: xr.DataTree) -> None:
    gridded = tree.campfire.resample()
    assert isinstance(gridded, xr.DataTree)
    assert gridded.attrs["query"] == "all"
    assert set(gridded.children) == {"PRISM", "G140M"}
    assert lazy(gridded, "fnu")
    assert gridded["PRISM"].sizes["wavelength"] == 79
    assert gridded["G140M"].sizes["wavelength"] == 120
    for grating, node in gridded.children.items():
        single = resample_collection(tree[grating].to_dataset())
        xr.testing.assert_identical(node.to_dataset().compute(), single.compute())


def test_grid_on_opening_is_resample(
    files: tuple[list[FileSource], dict[str, list[Any]]], tree: xr.DataTree
) -> None:
    for grid in ("common", np.linspace(1.1, 1.7, 20)):
        opened = open_tree(*files, chunks=3, grid=grid, attrs={"query": "all"})
        after = tree.campfire.resample(grid)
        for grating, node in opened.children.items():
            xr.testing.assert_identical(node.to_dataset().compute(), after[grating].to_dataset().compute())
    numpy = open_tree(*files, chunks=None, grid="common")
    assert numpy["PRISM"].fnu.chunks is None
    with pytest.raises(ValidationError, match="fine"):
        open_tree(*files, grid="fine")


def test_stack_gives_one_spectrum_a_grating(tree: xr.DataTree) -> None:
    stacked = tree.campfire.stack("mean", redshift="redshift")
    assert lazy(stacked, "fnu")
    names = {g: node.spectrum_id.item() for g, node in stacked.children.items()}
    assert names == {"PRISM": "stack:PRISM:8spectra", "G140M": "stack:G140M:4spectra"}
    single = stack_collection(tree["PRISM"].to_dataset(), "mean", redshift="redshift")
    xr.testing.assert_identical(stacked["PRISM"].to_dataset().compute(), single.compute())
    few = tree.campfire.select(redshift_range=(0.05, 0.25)).campfire.stack()
    assert list(few.children) == ["PRISM"]
    with pytest.raises(ValidationError, match="nothing"):
        tree.campfire.select(min_snr=1e6).campfire.stack()


def test_photometry_calibrate_select_summary(tree: xr.DataTree) -> None:
    fluxes = tree.campfire.synthetic_photometry([BOX])
    assert lazy(fluxes, "flux")
    assert fluxes["PRISM"].flux.dims == ("spectrum", "band")
    np.testing.assert_allclose(fluxes["G140M"].flux.compute().values, 2.0, atol=0.1)
    calibrated = tree.campfire.calibrate(
        {f"obj{k}": Photometry(["f140m"], [4.0], [0.01], [1.4]) for k in range(4)}, "flat"
    )
    assert lazy(calibrated, "fnu")
    np.testing.assert_allclose(calibrated["PRISM"].multiplier.compute().median(), 2.0, atol=0.1)
    chosen = tree.campfire.select(min_snr=6)
    assert [node.sizes["spectrum"] for node in chosen.children.values()] == [2, 4]
    summary = tree.campfire.summary()
    assert {g: s["spectra"] for g, s in summary.items()} == {"G140M": 4, "PRISM": 8}
    assert [s.spectrum_id for s in tree.campfire.to_spectra()] == [
        *tree["G140M"].spectrum_id.values.tolist(),
        *tree["PRISM"].spectrum_id.values.tolist(),
    ]


def test_plot_draws_each_grating(tree: xr.DataTree) -> None:
    axes = tree.campfire.plot(sort="signal_to_noise")
    assert set(axes) == {"PRISM", "G140M"}


def test_dataset_accessor_does_the_same(tree: xr.DataTree) -> None:
    """A Dataset gives a Dataset with the same numbers."""
    ds = tree["PRISM"].to_dataset()
    for one, other in (
        (ds.campfire.resample("common"), tree.campfire.resample()["PRISM"]),
        (ds.campfire.stack(sigma_clip=3), tree.campfire.stack(sigma_clip=3)["PRISM"]),
        (ds.campfire.select(min_snr=3), tree.campfire.select(min_snr=3)["PRISM"]),
    ):
        xr.testing.assert_identical(one.compute(), other.to_dataset().compute())


def test_a_subtree_is_a_collection_too(tree: xr.DataTree) -> None:
    gridded = tree["PRISM"].campfire.resample()
    assert "fnu" in gridded.data_vars


def test_not_a_collection() -> None:
    with pytest.raises(ValidationError, match="no collection"):
        xr.DataTree.from_dict({"/a": xr.Dataset({"x": 1})}).campfire.stack()


def test_results_can_be_pickled(tree: xr.DataTree) -> None:
    """Lazy results are plain too: nothing open, nothing of the session."""
    stacked = tree.campfire.stack()
    again = pickle.loads(pickle.dumps(stacked))
    xr.testing.assert_identical(
        again["PRISM"].to_dataset().compute(), stacked["PRISM"].to_dataset().compute()
    )


def test_on_other_processes(files: tuple[list[FileSource], dict[str, list[Any]]], tmp_path: Path) -> None:
    """A process cluster gives the numbers of this process, from files and from the cache."""
    distributed = pytest.importorskip("distributed")
    expected = open_tree(*files, chunks=None).campfire.stack("median")["PRISM"].to_dataset()
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, host="127.0.0.1"
    )
    with cluster, distributed.Client(cluster):
        for cache in (None, tmp_path):
            lazy_tree = open_tree(*files, chunks=3, cache_dir=cache)
            found = lazy_tree.campfire.stack("median")["PRISM"].to_dataset().compute()
            xr.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_collection_is_resampled_without_covariance_where_it_is_not_wanted(
    tree: xr.DataTree, lazy: bool
) -> None:
    found = tree if lazy else tree.map_over_datasets(lambda ds: ds.compute())
    grid = np.linspace(1.2, 1.8, 40)
    whole, bare = found.campfire.resample(grid), found.campfire.resample(grid, covariance=False)
    for path in whole.groups:
        if "fnu" not in whole[path]:
            continue
        ds = bare[path].to_dataset()
        assert "fnu_cov" in whole[path]
        assert not {"fnu_cov", "lag"} & set(ds.variables)
        xr.testing.assert_equal(ds, whole[path].to_dataset().drop_vars(["fnu_cov", "lag"]))
        xr.testing.assert_identical(ds, found[path].to_dataset().campfire.resample(grid, covariance=False))
