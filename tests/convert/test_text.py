"""Statement checked: text in every Dataset is ordinary text, for xarray and for all that reads its arrays."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.table import Table

import campfire.accessors  # noqa: F401  (registers Dataset.campfire)
from campfire.analysis.lines import measure_lines
from campfire.analysis.stacking import stack_spectra
from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.formats.spec_reader import file_hash
from campfire.formats.spec_writer import SpecProduct, write_product, write_spectrum
from campfire.models import Photometry, SpectrumData
from campfire.text import text_array, text_variable

BANDS = ["f150w", "f200w", "f277w", "f356w"]
PHOTOMETRY = Photometry(BANDS, np.full(4, 1.2), np.full(4, 0.1), [1.50, 1.99, 2.77, 3.58], "demo v1")
WAVE = np.linspace(0.9, 5.2, 160)


def spectrum(number: int) -> SpectrumData:
    rng = np.random.default_rng(number)
    fnu = 1 + 0.05 * rng.normal(size=WAVE.size)
    header = {"GRATING": "PRISM"}
    return SpectrumData(WAVE, fnu, np.full(WAVE.size, 0.05), header, "PRISM", f"s{number}", redshift=3.0)


def product() -> SpecProduct:
    """A combined product whose table of exposures has text."""
    image = np.ones((7, WAVE.size))
    table = {"wave": WAVE, "fnu": np.ones(WAVE.size), "fnu_err": np.full(WAVE.size, 0.1)}
    for width in "345":
        table |= {f"fnu_{width}px": np.ones(WAVE.size), f"fnu_{width}px_err": np.full(WAVE.size, 0.1)}
    return {
        "header": {
            "GRATING": "PRISM",
            "FILTER": "CLEAR",
            "CMPFRTIM": "2026-01-02T03:04:05",
            "CMPFRVER": "0.5.1",
        },
        "table": table,
        "sci": image * 1e-12,
        "err": image * 1e-14,
        "wavelength": image * WAVE,
        "wht": image,
        "sci_header": {"SRCTYPE": "POINT", "SOURCEID": 1},
        "profile": {
            "ypos": np.arange(7.0),
            **{name: np.ones(7) / 7 for name in ("opt", "3px", "4px", "5px")},
        },
        "exposures": [
            {
                **dict.fromkeys(("dither_type", "nod_type", "stuck_shutter_list", "shutter_state"), "N/A"),
                **dict.fromkeys(("exptime", "source_ra", "source_dec", "source_xpos", "source_ypos"), 1.0),
                **{"filename": f"jw{k}_cal.fits", "nod_number": k, "dither_number": 1, "v3pa": 0.0},
            }
            for k in (1, 20)
        ],
    }


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, xr.Dataset]:
    """Every kind of Dataset with text that the package makes."""
    folder = tmp_path_factory.mktemp("text")
    sources = []
    for k in range(3):
        path = folder / f"s{k}_spec.fits"
        write_spectrum(path, spectrum(k).to_fields())
        sources.append(FileSource(str(path), file_hash(path)))
    columns: dict[str, Any] = {
        "spectrum_id": ["s0", "s1", "s2"],
        "object_id": ["a", "b", "a-longer-name"],
        "grating": ["PRISM"] * 3,
        "redshift": [3.0, 3.0, 3.0],
        "tags": [["lrd", "agn"], [], ["lrd"]],
    }
    native = open_tree(sources, columns)["PRISM"].to_dataset()
    made = {
        "spectrum": spectrum(1).to_xarray(),
        "collection": native,
        "eager collection": open_tree(sources, columns, chunks=None)["PRISM"].to_dataset(),
        "gridded collection": native.campfire.resample(WAVE[2:-2:2]),
        "photometry": spectrum(1).to_xarray().campfire.synthetic_photometry(BANDS),
        "photometry of a collection": native.campfire.synthetic_photometry(BANDS),
        "calibrated spectrum": spectrum(1).to_xarray().campfire.calibrate(PHOTOMETRY, degree=1),
        "calibrated collection": native.campfire.calibrate(PHOTOMETRY, degree=1),
        "lines": measure_lines([spectrum(0), spectrum(1)], ["Hα", "Hβ", "[OII]"]),
        "stack of a collection": native.campfire.calibrate(PHOTOMETRY, degree=1).campfire.stack(),
        "stack of spectra": stack_spectra([spectrum(0), spectrum(1)]).to_xarray(),
    }
    path = folder / "product_spec.fits"
    write_product(path, product())
    for name, node in xr.open_datatree(path, engine="campfire").children.items():
        made[f"{name} of a file"] = node.to_dataset(inherit=False)
    return made


def texts(ds: xr.Dataset) -> list[xr.DataArray]:
    return [ds[name] for name in ds.variables if ds[name].dtype.kind not in "iufbM"]


def only_text(ds: xr.Dataset) -> xr.Dataset:
    """The text of a Dataset, as variables, and as coordinates what was an index."""
    kept = [str(array.name) for array in texts(ds)]
    return ds.reset_coords()[kept].load()


def test_every_text_is_fixed_width(kinds: dict[str, xr.Dataset]) -> None:
    without = {"spectrum_2d of a file"}
    for kind, ds in kinds.items():
        assert {array.dtype.kind for array in texts(ds)} == (set() if kind in without else {"U"}), kind


Operation = Callable[[xr.DataArray, list[Any]], None]
ARRAYS: dict[str, Operation] = {}
"""Name -> what is done with each text of one dimension or none, and its values as a list."""


def operation(function: Operation) -> Operation:
    ARRAYS[function.__name__] = function
    return function


@operation
def casting(text: xr.DataArray, values: list[Any]) -> None:
    assert text.values.astype(str).tolist() == values
    assert text.astype(str).values.tolist() == values
    assert text.values.astype(object).tolist() == values
    assert text.astype(object).values.tolist() == values
    assert np.asarray(text).tolist() == values
    assert np.char.upper(text.values).tolist() == np.char.upper(np.array(values)).tolist()
    assert text.str.upper().values.tolist() == [v.upper() for v in values]
    assert [type(v) for v in text.values.tolist()] == [str] * len(values)
    assert [text[k].item() for k in range(len(values))] == values


@operation
def comparing(text: xr.DataArray, values: list[Any]) -> None:
    first = values[0]
    assert (text == first).values.tolist() == [v == first for v in values]
    assert text.isin([first]).values.tolist() == [v == first for v in values]
    assert np.isin(text.values, [first]).tolist() == [v == first for v in values]
    assert np.unique(text).tolist() == sorted(set(values))
    assert np.sort(text.values).tolist() == sorted(values)
    assert text.sortby(text).values.tolist() == sorted(values)
    assert text.equals(text.copy(deep=True))


@operation
def choosing(text: xr.DataArray, values: list[Any]) -> None:
    dim = text.dims[0]
    first = values[0]
    assert text.isel({dim: [-1, 0]}).values.tolist() == [values[-1], first]
    assert text[(text == first).values].values.tolist() == [v for v in values if v == first]
    assert text.where(text == first, "none").values.tolist() == [v if v == first else "none" for v in values]
    other: Any = xr.where(text == first, text, "much longer text")  # type: ignore[no-untyped-call]
    assert other.shape == text.shape
    missing = text.where(text == first).values.tolist()
    assert [v for v in missing if isinstance(v, str)] == [v for v in values if v == first]
    assert text.where(text == first, drop=True).values.tolist() == [v for v in values if v == first]
    assert text.drop_isel({dim: 0}).values.tolist() == values[1:]


def indexed(text: xr.DataArray) -> xr.Dataset:
    """A Dataset with the text over numbered labels, and numbers beside it."""
    variable = xr.Variable("row", text.values, encoding=text.encoding)
    return xr.Dataset({"text": variable, "n": ("row", np.arange(text.size))}, {"row": np.arange(text.size)})


@operation
def missing_labels(text: xr.DataArray, values: list[Any]) -> None:
    ds, dim = indexed(text), "row"
    beyond = [0, text.size + 5]
    assert ds.reindex({dim: beyond}).text.values.tolist()[0] == values[0]
    assert ds.reindex({dim: beyond}).text.isnull().values.tolist() == [False, True]
    assert ds.reindex({dim: beyond}, fill_value={"text": ""}).text.values.tolist() == [values[0], ""]
    assert ds.reindex({dim: beyond}).text.fillna("").values.tolist() == [values[0], ""]
    part = ds.isel({dim: [0]})
    for joined in (
        xr.align(part, ds, join="outer")[0],
        xr.merge([part, ds[["n"]]], join="outer", compat="no_conflicts"),
    ):
        assert [v for v in joined.text.values.tolist() if isinstance(v, str)] == values[:1]
    assert xr.align(part, ds, join="inner")[1].text.values.tolist() == values[:1]
    without = ds.drop_vars("text").assign_coords({dim: np.arange(text.size) + 100})
    assert xr.concat([ds, without], dim).text.isnull().sum() == text.size


@operation
def joining(text: xr.DataArray, values: list[Any]) -> None:
    ds, dim = indexed(text), "row"
    longer = ds.assign_coords({dim: np.arange(text.size) + 100})
    longer["text"] = longer.text + "-and-longer"
    both = values + [f"{v}-and-longer" for v in values]
    assert xr.concat([ds, longer], dim).text.values.tolist() == both
    assert xr.combine_by_coords([longer, ds], join="outer").text.values.tolist() == both
    assert xr.merge([ds, ds], compat="no_conflicts", join="outer").text.values.tolist() == values


@operation
def grouping(text: xr.DataArray, values: list[Any]) -> None:
    ds = indexed(text).set_coords("text")
    assert ds.groupby("text").sum().text.values.tolist() == sorted(set(values))
    assert {key: group.sizes["row"] for key, group in ds.groupby("text")} == {
        v: values.count(v) for v in values
    }
    swapped = ds.swap_dims(row="text")
    assert swapped.sel(text=[values[0]]).n.values[0] == 0 if values.count(values[0]) == 1 else True
    assert swapped.text.values.tolist() == values
    assert ds.set_xindex("text").sel(text=values[0]).n.values.ravel()[0] == 0


@operation
def plotting(text: xr.DataArray, values: list[Any]) -> None:
    import matplotlib.pyplot as plt

    swapped = indexed(text).set_coords("text").swap_dims(row="text")
    figure, axes = plt.subplots()
    swapped.n.plot.line(ax=axes, x="text")
    figure.canvas.draw()
    assert sorted(label.get_text() for label in axes.get_xticklabels()) == sorted(set(values))
    plt.close(figure)


@operation
def pandas_and_arrow(text: xr.DataArray, values: list[Any]) -> None:
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    ds = indexed(text)
    frame = ds.to_dataframe()
    assert frame.text.tolist() == values
    assert ds.text.to_series().tolist() == values
    assert xr.Dataset.from_dataframe(frame).text.values.tolist() == values
    assert pd.DataFrame({"text": text.values}).text.tolist() == values
    assert pl.from_pandas(frame.reset_index())["text"].to_list() == values
    assert pl.DataFrame({"text": text.values})["text"].to_list() == values
    assert pa.array(text.values).to_pylist() == values
    assert pa.Table.from_pandas(frame).column("text").to_pylist() == values


@operation
def astropy_tables(text: xr.DataArray, values: list[Any]) -> None:
    import io

    # Greek letters and subscripts, as names of lines have them, cannot be in a FITS table
    for fmt in ("ascii.ecsv", "votable", *(["fits"] if "".join(values).isascii() else [])):
        stream: Any = io.StringIO() if fmt == "ascii.ecsv" else io.BytesIO()
        Table({"text": text.values, "n": np.arange(text.size)}).write(stream, format=fmt)
        stream.seek(0)
        back = Table.read(stream.getvalue() if fmt == "ascii.ecsv" else stream, format=fmt)
        column = back["text"].filled("") if hasattr(back["text"], "filled") else back["text"]
        assert [str(v) for v in column] == values, fmt


@operation
def copies(text: xr.DataArray, values: list[Any]) -> None:
    ds = indexed(text)
    for again in (copy.deepcopy(ds), ds.copy(deep=True), pickle.loads(pickle.dumps(ds))):
        assert again.identical(ds)
        assert again.text.encoding.keys() == ds.text.encoding.keys()
    assert json.loads(json.dumps(ds.to_dict()))["data_vars"]["text"]["data"] == values
    assert xr.Dataset.from_dict(ds.to_dict()).text.values.tolist() == values


@operation
def dask_arrays(text: xr.DataArray, values: list[Any]) -> None:
    from distributed.protocol.serialize import deserialize, serialize

    ds, dim = indexed(text), "row"
    chunked = ds.chunk({dim: 1})
    assert chunked.compute().identical(ds)
    assert chunked.chunk({dim: 2}).text.data.map_blocks(lambda block: block).compute().tolist() == values
    assert chunked.map_blocks(lambda block: block).compute().equals(ds)
    assert xr.concat([chunked, chunked], dim).text.values.tolist() == values * 2
    header, frames = serialize(text.values)
    assert deserialize(header, frames).tolist() == values  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", ARRAYS)
def test_text_takes_part_in(kinds: dict[str, xr.Dataset], name: str) -> None:
    for ds in kinds.values():
        for text in texts(ds):
            flat = text.load()
            if flat.ndim != 1:
                flat = xr.DataArray(np.atleast_1d(flat.values).ravel(), dims="row", name=text.name)
                flat.encoding = text.encoding
            ARRAYS[name](flat, flat.values.tolist())


ENGINES = ["netcdf4", "h5netcdf", "scipy"]


@pytest.mark.parametrize("engine", ENGINES)
def test_text_goes_through_netcdf(kinds: dict[str, xr.Dataset], engine: Any, tmp_path: Path) -> None:
    for number, (kind, ds) in enumerate(kinds.items()):
        written = only_text(ds)
        path = tmp_path / f"{number}.nc"
        written.to_netcdf(path, engine=engine)
        with xr.open_dataset(path, engine=engine) as back:
            for name in written.variables:
                assert back[name].values.tolist() == written[name].values.tolist(), (kind, name)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunked", [False, True])
def test_text_goes_through_zarr(
    kinds: dict[str, xr.Dataset], zarr_format: Any, chunked: bool, tmp_path: Path
) -> None:
    """Unwarned, as text of any length; also where labels are missing, which are written as ""."""
    for number, (kind, ds) in enumerate(kinds.items()):
        written = only_text(ds).chunk() if chunked else only_text(ds)
        path = tmp_path / f"{number}.zarr"
        written.to_zarr(path, zarr_format=zarr_format, consolidated=False)
        back = xr.open_zarr(path, consolidated=False)
        for name in written.variables:
            assert back[name].values.tolist() == written[name].values.tolist(), (kind, name)
        for text in texts(written):
            if text.ndim == 1:
                holes = indexed(text.load()).reindex(row=[0, text.size + 5])
                holes.to_zarr(
                    tmp_path / f"{number}-{text.name}.zarr", zarr_format=zarr_format, consolidated=False
                )
                back = xr.open_zarr(tmp_path / f"{number}-{text.name}.zarr", consolidated=False)
                assert back.text.values.tolist() == [text.values[0], ""]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_longer_text_is_appended_to_zarr(
    kinds: dict[str, xr.Dataset], zarr_format: Any, tmp_path: Path
) -> None:
    """xarray appends text of a fixed width only to the same width, objects to text of any length."""
    ds = kinds["collection"].reset_index("spectrum_id").load()
    more = ds.assign_coords(object_id=ds.object_id + "-and-much-longer")
    as_objects = more.assign_coords({t.name: t.astype(object) for t in texts(more)})
    ds.to_zarr(tmp_path / "a.zarr", zarr_format=zarr_format, consolidated=False)
    as_objects.to_zarr(tmp_path / "a.zarr", append_dim="spectrum", consolidated=False)
    back = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    assert back.object_id.values.tolist() == [*ds.object_id.values.tolist(), *more.object_id.values.tolist()]


def test_text_of_any_length_as_older_files_have_it_is_worked_with(
    kinds: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    """What was saved with ``StringDType`` opens, and what is made of it has ordinary text."""
    ds = kinds["collection"].load()
    old = ds.assign_coords({t.name: t.astype(np.dtypes.StringDType()) for t in texts(ds)}).drop_encoding()
    old = old.set_xindex("spectrum_id") if "spectrum_id" not in old.indexes else old
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The (codec|dtype) `.*` is currently not part in the Zarr format 3")
        old.to_zarr(tmp_path / "old.zarr", zarr_format=3, consolidated=False)
    back = xr.open_zarr(tmp_path / "old.zarr", consolidated=False)
    assert back.object_id.values.tolist() == ds.object_id.values.tolist()
    for made in (back.campfire.to_spectra()[0].to_xarray(), back.campfire.stack()):
        assert {t.dtype.kind for t in texts(made)} == {"U"}
    assert back.campfire.synthetic_photometry(BANDS).band.values.tolist() == BANDS


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("PRISM", "PRISM"),
        ("", ""),
        (["a", None, "longer"], ["a", "", "longer"]),
        ([], []),
        (np.array(["a", np.nan], dtype=object), ["a", ""]),
        (np.array([["a", "b"], ["c", "dd"]], dtype=object), [["a", "b"], ["c", "dd"]]),
        (np.array(["a", "bb"], dtype=np.dtypes.StringDType()), ["a", "bb"]),
        (np.array(["a", "é"], dtype=">U2"), ["a", "é"]),
    ],
)
def test_text_is_made_in_one_place(given: Any, made: Any) -> None:
    array = text_array(given)
    assert array.tolist() == made
    assert array.dtype.kind == "U"
    assert array.dtype.isnative
    ds = xr.Dataset({"text": text_variable([f"d{k}" for k in range(array.ndim)], given, {"long_name": "x"})})
    assert ds.text.attrs == {"long_name": "x"}
    assert ds.text.values.tolist() == made
