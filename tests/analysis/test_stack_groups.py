"""Statement: a stack by groups is a loop of stacks, whatever the groups, and reads every row once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire import schema
from campfire.analysis.stack_collections import stack_collection
from campfire.analysis.stack_groups import stack_groups
from campfire.errors import ValidationError
from campfire.models.spectrum_names import spectrum_names

N, PIXELS = 12, 60


def collection(seed: int = 0) -> xr.Dataset:
    """Return rows of slightly different grids, some pixels masked, with labels."""
    rng = np.random.default_rng(seed)
    wave = np.linspace(1.0, 2.0, PIXELS) + rng.uniform(-0.003, 0.003, (N, 1))
    flux = 1.0 + wave + rng.normal(0, 0.1, (N, PIXELS))
    dq = (rng.random((N, PIXELS)) < 0.05).astype(np.uint8) * 4
    dims = schema.NATIVE
    redshift = np.linspace(0.1, 0.32, N)
    redshift[3] = np.nan
    field = np.array(["uds", "cosmos", "egs"])[np.arange(N) % 3]
    field[5] = ""
    return xr.Dataset(
        {
            "fnu": (dims, flux, schema.attrs_of("fnu")),
            "fnu_err": (dims, np.full((N, PIXELS), 0.1), schema.attrs_of("fnu_err")),
            "dq": (dims, dq, schema.attrs_of("dq")),
        },
        {
            "wavelength": (dims, wave, schema.attrs_of("wavelength")),
            "spectrum_id": ("spectrum", [f"s{k}" for k in range(N)]),
            "grating": ("spectrum", ["PRISM"] * N),
            "redshift": ("spectrum", redshift),
            "field": ("spectrum", field),
            "visit": ("spectrum", np.arange(N) // 6),
        },
        {"campfire_schema": schema.SCHEMA_VERSION},
    )


DATA = ("fnu", "fnu_err", "flam", "dq", "n_used", "rejected")
CLOSE: Any = {"rtol": 1e-12, "atol": 1e-14}
GRID = np.linspace(1.05, 1.9, 40)
WAYS: list[Any] = [
    {},
    {"method": "median"},
    {"sigma_clip": 3.0},
    {"normalize": (1.2, 1.6)},
    {"redshift": 0.05},
    {"rng": 3},
]


def _equal(row: xr.Dataset, single: xr.Dataset) -> None:
    for name in DATA:
        np.testing.assert_allclose(
            row[name].values, single[name].values, rtol=1e-12, atol=1e-14, err_msg=name
        )
    for name, dim in (("fnu_cov", "lag"), ("fnu_modes", "mode")):
        if name in single:
            size = single.sizes[dim]
            np.testing.assert_allclose(
                row[name].values[..., :size], single[name].values, rtol=1e-12, atol=1e-14
            )
            assert not row[name].values[..., size:].any()


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("chunks", [None, {"spectrum": 5}, {"spectrum": 1, "pixel": 7}], ids=str)
def test_groups_are_single_stacks(options: dict[str, Any], chunks: dict[str, int] | None) -> None:
    ds = collection()
    lazy = ds if chunks is None else ds.chunk(chunks)
    result = stack_groups(lazy, "field", grid=GRID, **options)
    assert (result["fnu"].chunks is not None) == (chunks is not None)
    assert result["field"].values.tolist() == ["cosmos", "egs", "uds"]
    assert not schema.check(result)
    for k, name in enumerate(result["field"].values):
        rows = np.flatnonzero(ds["field"].values == name)
        single = stack_collection(ds.isel(spectrum=rows), grid=GRID, **options)
        _equal(result.isel(spectrum=k), single)
        assert result["n_spectra"].values[k] == len(rows)


@given(
    labels=st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=N, max_size=N),
    edges=st.lists(st.floats(0.0, 0.4), min_size=2, max_size=5, unique=True).map(sorted),
)
@settings(max_examples=25, deadline=None)
def test_rows_are_in_one_group_or_none(labels: list[str], edges: list[float]) -> None:
    """Statement: groups are those of pandas, for labels and for bins alike; no row counts twice."""
    import pandas as pd

    ds = collection()
    if any(labels):
        counts = pd.Series([name or None for name in labels]).value_counts().sort_index()
        result = stack_groups(ds, np.array(labels), method="mean", grid=GRID)
        assert result["group"].values.tolist() == counts.index.tolist()
        assert result["n_spectra"].values.tolist() == counts.tolist()
    inside, _ = np.histogram(ds["redshift"].values[np.isfinite(ds["redshift"].values)], bins=edges)
    if inside.any():
        result = stack_groups(ds, "redshift", edges, method="mean", grid=GRID)
        assert result["n_spectra"].values.tolist() == inside[inside > 0].tolist()
        assert result["redshift_low"].values.tolist() == np.array(edges)[:-1][inside > 0].tolist()
    else:
        with pytest.raises(ValidationError, match="no spectrum is in a group"):
            stack_groups(ds, "redshift", edges, grid=GRID)


def test_several_keys_are_the_combinations_that_occur() -> None:
    ds = collection()
    result = stack_groups(ds, ["field", "visit"], grid=GRID)
    found = sorted({(f, v) for f, v in zip(ds["field"].values, ds["visit"].values, strict=True) if f})
    assert list(zip(result["field"].values, result["visit"].values, strict=True)) == found
    binned = stack_groups(ds, ["field", "redshift"], {"redshift": [0.0, 0.2, 0.5]}, grid=GRID)
    assert binned["n_spectra"].values.sum() == N - 2  # one without a field, one without a redshift
    assert set(binned["redshift_high"].values) == {0.2, 0.5}


def test_the_grid_is_that_of_a_stack_of_all() -> None:
    ds = collection()
    for redshift in (None, 0.05):
        whole = stack_collection(ds, redshift=redshift)
        np.testing.assert_array_equal(
            stack_groups(ds, "field", redshift=redshift)["wavelength"].values, whole["wavelength"].values
        )


def test_rows_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement: computing all groups touches every block of the collection once."""
    da: Any = pytest.importorskip("dask.array")

    ds, read = collection(), []

    def note(block: Any) -> Any:
        read.append(1)
        return block

    lazy = ds.copy()
    for name in ("fnu", "fnu_err", "dq"):
        blocks = da.from_array(ds[name].values, chunks=(3, PIXELS)).map_blocks(note, dtype=ds[name].dtype)
        lazy[name] = (ds[name].dims, blocks, ds[name].attrs)
    result = stack_groups(lazy, "visit", method="mean", grid=GRID)
    read.clear()
    result.compute(scheduler="synchronous")
    assert len(read) == 3 * 4


def test_the_picture_says_the_frame_and_counts_rows() -> None:
    """Statement: stacks by group are drawn in the frame they are in, on an axis of whole rows."""
    stacked = stack_groups(collection(), "visit", grid=GRID, redshift=0.05)
    assert stacked.campfire.plot().get_xlabel() == "Rest wavelength [μm]"
    one = stacked.isel(spectrum=[0]).campfire.plot()
    assert [tick for tick in one.get_yticks() if abs(tick) <= 0.5] == [0]


def test_the_result_is_a_collection(tmp_path: Path) -> None:
    """Statement: it is resampled, stored, drawn and locked as any collection, and names its inputs."""
    ds = collection()
    result = stack_groups(ds, "visit", grid=GRID)
    assert sorted(spectrum_names(result)) == sorted(f"s{k}" for k in range(N))
    again = result.campfire.resample(GRID[2:-2])
    assert again["fnu"].shape == (2, 36)
    result.to_zarr(tmp_path / "groups.zarr", consolidated=False)
    stored = xr.open_zarr(tmp_path / "groups.zarr", consolidated=False)
    np.testing.assert_array_equal(stored["fnu"].values, result["fnu"].values)
    assert stored["spectrum_id"].values.tolist() == [
        "stack:PRISM:6spectra:visit 0",
        "stack:PRISM:6spectra:visit 1",
    ]
    assert result.campfire.plot().get_xlabel() == "Observed wavelength [μm]"
    tree = xr.DataTree.from_dict({"/": xr.Dataset(), "/PRISM": ds})
    _equal(
        tree.campfire.stack(grid=GRID, by="visit")["PRISM"].to_dataset().isel(spectrum=0),
        result.isel(spectrum=0),
    )


@pytest.mark.parametrize(
    ("by", "bins", "words"),
    [
        ("filed", None, "did you mean 'field'"),
        (["field", "nope"], None, "no coordinate"),
        (np.arange(3), None, "one label a spectrum"),
        ("field", [1, 2], "no numbers"),
        ("redshift", [2, 1], "ascending"),
        ("redshift", [1], "ascending"),
        ("redshift", "x", "ascending"),
        (["field", "visit"], [1, 2], "bins of which"),
        ("redshift", {"visit": [0, 1]}, "not in by"),
        ("redshift", [5, 6], "no spectrum is in a group"),
        (3, None, "one label a spectrum"),
    ],
)
def test_groups_that_make_no_sense(by: Any, bins: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        stack_groups(collection(), by, bins, grid=GRID)
    with pytest.raises(ValidationError, match="bins of what"):
        collection().campfire.stack(bins=[1, 2])
