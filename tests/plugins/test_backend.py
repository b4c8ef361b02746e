"""Statements checked: the engine gives the Dataset of the spectrum: lazy, picklable, without open handles."""

from __future__ import annotations

import gzip
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
import xarray as xr
from astropy.io import fits

from campfire.convert import to_dataset
from campfire.errors import NotFoundError, ValidationError
from campfire.formats.hdu_reader import RawFits
from campfire.formats.spec_reader import read_spectrum
from campfire.formats.spec_writer import write_product, write_spectrum
from campfire.models import SpectrumData
from campfire.plugins.backend import CampfireBackendEntrypoint

REAL = sorted((Path(__file__).parents[3] / "shared" / "data" / "spectra").glob("*.fits*"))


def write(path: Path, *, n_wave: int = 30, combined: bool = False, scale: float = 1.0) -> Path:
    """A small product."""
    rng = np.random.default_rng(n_wave)
    wave = np.linspace(0.6, 5.3, n_wave)
    table: dict[str, Any] = {"wave": wave, "fnu": (scale * rng.normal(1, 0.1, n_wave)).astype(np.float32)}
    table |= {"fnu_err": np.full(n_wave, 0.1, np.float32)}
    table |= {"fnu_3px": table["fnu"] * 1.01, "fnu_3px_err": np.full(n_wave, 0.2)}
    table["fnu"][2] = table["fnu_3px"][2] = np.nan
    if combined:
        table["n_combined"] = np.full(n_wave, 2)
    sci = np.tile(np.nan_to_num(table["fnu"]), (5, 1)) * 2e-13
    one = np.ones(5)
    texts = ("filename", "dither_type", "nod_type", "stuck_shutter_list", "shutter_state")
    numbers = ("nod_number", "dither_number", "exptime", "source_ra", "source_dec", "source_xpos")
    write_product(
        path,
        {
            "header": {"CMPFRTIM": "2026-01-01T00:00:00", "CMPFRVER": "0.5.0", "GRATING": "PRISM"}
            | {"HISTORY": ["a", "b"]},
            "table": table,
            "sci": sci,
            "err": sci * 0.1 + 1e-14,
            "wavelength": np.tile(wave, (5, 1)),
            "wht": np.ones_like(sci),
            "sci_header": {"SRCRA": 1.0, "SRCDEC": 2.0},
            "profile": {"ypos": np.arange(5) + 0.5, "opt": one / 5, "3px": one, "4px": one, "5px": one},
            "exposures": [dict.fromkeys(texts, "x") | dict.fromkeys((*numbers, "source_ypos", "v3pa"), 1)],
        },
    )
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "ember_uds_p4_prism_clear_7_spec.fits")


def is_lazy(variable: xr.Variable) -> bool:
    return not variable._in_memory


def identical(path: Path, extraction: str = "optimal") -> None:
    ds = xr.open_dataset(path, engine="campfire", extraction=extraction)
    assert all(is_lazy(ds[name].variable) for name in ("fnu", "fnu_err", "flam", "flam_err", "dq"))
    fields = read_spectrum(path, extraction=extraction)
    xr.testing.assert_identical(ds.load(), to_dataset(fields))
    for name in ds.variables:
        assert ds[name].dtype == to_dataset(fields)[name].dtype


@pytest.mark.parametrize("combined", [False, True])
@pytest.mark.parametrize("extraction", ["optimal", "3px"])
def test_it_is_the_dataset_of_the_spectrum(tmp_path: Path, combined: bool, extraction: str) -> None:
    path = write(tmp_path / "a_prism_clear_1_spec.fits", combined=combined)
    identical(path, extraction)
    spectrum = SpectrumData.from_fits(path, extraction=extraction)  # type: ignore[arg-type]
    xr.testing.assert_identical(
        xr.open_dataset(path, engine="campfire", extraction=extraction).load(), spectrum.to_xarray()
    )


@pytest.mark.skipif(not REAL, reason="the sample of real spectra is not here")
@pytest.mark.parametrize("real", REAL, ids=lambda p: p.name[:20])
def test_real_files(real: Path) -> None:
    identical(real)
    assert CampfireBackendEntrypoint().guess_can_open(real)
    tree = xr.open_datatree(real, engine="campfire").load()
    assert ("spectrum_2d" in tree) == ("_x1d" not in real.name)


def test_what_a_written_spectrum_holds_comes_through_the_engine(tmp_path: Path) -> None:
    """Mask, computed f_lambda, redshift, covariance, headers beyond ASCII."""
    from scipy.sparse import csr_array

    fields: Any = {
        "wavelength": np.array([1.0, 2.0, 3.0]),
        "fnu": np.array([1.0, np.nan, 3.0]),
        "fnu_err": np.array([0.1, np.inf, 0.1]),
        "header": {"NOTE": "é", "N": None},
        "grating": "PRISM",
        "spectrum_id": "stack:a:PRISM",
        "mask": np.array([False, True, True]),
        "redshift": 2.5,
    }
    write_spectrum(tmp_path / "a_spec.fits", fields)
    identical(tmp_path / "a_spec.fits")
    write_spectrum(tmp_path / "b_spec.fits", fields | {"covariance": csr_array(np.eye(3))})
    found = xr.open_dataset(tmp_path / "b_spec.fits", engine="campfire").load()
    xr.testing.assert_identical(found, to_dataset(read_spectrum(tmp_path / "b_spec.fits")))
    assert found.sizes["lag"] == 1


def test_a_spectrum_of_no_pixels(tmp_path: Path) -> None:
    none = np.zeros(0)
    fields: Any = {
        "wavelength": none,
        "fnu": none,
        "fnu_err": none,
        "header": {},
        "grating": "",
        "spectrum_id": "e",
    }
    write_spectrum(tmp_path / "e_spec.fits", fields)
    identical(tmp_path / "e_spec.fits")


def test_the_whole_file_as_a_tree(path: Path) -> None:
    tree = xr.open_datatree(path, engine="campfire")
    assert set(tree.children) == {"extractions", "spectrum_2d", "profile", "exposures"}
    assert set(tree["extractions"].dims) == {"extraction", "wavelength"}
    assert set(tree["spectrum_2d"].dims) == {"spatial", "wavelength"}
    assert {"flux", "flux_err", "weight"} <= set(tree["spectrum_2d"].data_vars)
    assert tree["spectrum_2d"].flux.attrs["units"] == "uJy"
    assert tree["spectrum_2d"].flux.attrs["unit_in_file"] == "MJy"
    three = tree["extractions"].fnu.sel(extraction="3px")
    np.testing.assert_array_equal(three, read_spectrum(path, extraction="3px")["fnu"])
    xr.testing.assert_identical(tree.to_dataset().load(), to_dataset(read_spectrum(path)))
    # wavelength is inherited from the root
    assert tree["spectrum_2d"].flux.sel(wavelength=slice(1, 2)).sizes["wavelength"] < 30
    groups = xr.open_groups(path, engine="campfire")
    assert set(groups) == {"/", "/extractions", "/spectrum_2d", "/profile", "/exposures"}


def test_every_kind_of_indexing(path: Path) -> None:
    flux = xr.open_datatree(path, engine="campfire")["spectrum_2d"].flux
    full = flux.values

    def lazy() -> xr.DataArray:
        return cast("xr.DataArray", xr.open_datatree(path, engine="campfire")["spectrum_2d"].flux)

    np.testing.assert_array_equal(lazy()[2, 3:9:2], full[2, 3:9:2])
    np.testing.assert_array_equal(
        lazy().isel(spatial=[4, 0], wavelength=[3, 1, 1]), full[[4, 0]][:, [3, 1, 1]]
    )
    np.testing.assert_array_equal(lazy().isel(wavelength=-1), full[:, -1])
    points = xr.DataArray([0, 2, 4], dims="point")
    np.testing.assert_array_equal(lazy().isel(spatial=points, wavelength=points), full[[0, 2, 4], [0, 2, 4]])
    np.testing.assert_array_equal(lazy()[::-1, :0], full[::-1, :0])


def test_chunks_and_dropped_variables(path: Path) -> None:
    whole = xr.open_dataset(path, engine="campfire").load()
    chunked = xr.open_dataset(path, engine="campfire", chunks={})
    assert chunked.fnu.chunks is not None
    xr.testing.assert_identical(chunked.compute(), whole)
    xr.testing.assert_identical(chunked.chunk({"wavelength": 7}).compute(scheduler="threads"), whole)
    dropped = xr.open_dataset(path, engine="campfire", drop_variables=["flam", "flam_err", "nothing"])
    assert list(dropped.data_vars) == ["fnu", "fnu_err", "dq"]
    tree = xr.open_datatree(path, engine="campfire", drop_variables="weight", chunks={})
    assert "weight" not in tree["spectrum_2d"]
    assert tree["spectrum_2d"].flux.chunks is not None


def test_it_can_be_pickled_unread(path: Path) -> None:
    ds = xr.open_dataset(path, engine="campfire", cache=False)
    data = pickle.dumps(ds)
    copy = pickle.loads(data)
    assert is_lazy(copy.fnu.variable)
    xr.testing.assert_identical(copy.load(), ds.load())
    tree = xr.open_datatree(path, engine="campfire")
    xr.testing.assert_identical(pickle.loads(pickle.dumps(tree)).load(), tree.load())


def test_a_relative_path_survives_a_change_of_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    ds = xr.open_dataset(path.name, engine="campfire")
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(ds.fnu.values, read_spectrum(path)["fnu"])


def test_many_open_datasets_hold_no_handle(tmp_path: Path) -> None:
    """1,000 Datasets open at once, read from several threads: not one more open file."""
    paths = [write(tmp_path / f"a_prism_clear_{i}_spec.fits", scale=i + 1) for i in range(20)] * 50
    process = psutil.Process()
    before = process.num_fds()
    with ThreadPoolExecutor(4) as pool:
        datasets = list(pool.map(lambda p: xr.open_dataset(p, engine="campfire"), paths))
        assert process.num_fds() <= before + 8
        means = list(pool.map(lambda ds: float(ds.fnu.mean()), datasets[:200]))
    assert process.num_fds() <= before + 2
    for ds, mean in zip(datasets[:200], means, strict=True):
        assert mean == pytest.approx(float(np.nanmean(read_spectrum(ds.attrs["fits_path"])["fnu"])), rel=1e-5)


def test_opening_many_at_once(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"a_prism_clear_{i}_spec.fits", scale=i + 1) for i in range(50)]
    process = psutil.Process()
    before = process.num_fds()
    stacked = xr.open_mfdataset(
        paths,
        engine="campfire",
        combine="nested",
        concat_dim="spectrum",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop",
    )
    assert stacked.fnu.dims == ("spectrum", "wavelength")
    assert process.num_fds() <= before + 2
    np.testing.assert_array_equal(stacked.fnu[1], read_spectrum(paths[1])["fnu"])


def test_only_what_is_used_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    original = RawFits.image

    def counting(self: RawFits, hdu: Any) -> Any:
        reads.append(hdu.name)
        return original(self, hdu)

    monkeypatch.setattr(RawFits, "image", counting)
    xr.open_dataset(path, engine="campfire").load()
    assert reads == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a_prism_clear_1_spec.fits", True),
        ("a_prism_clear_1.spec.fits", True),
        ("a_prism_clear_1.SPEC.fits.gz", True),
        ("renamed.fits", True),
        ("a_spec.nc", False),
    ],
)
def test_only_files_of_our_layouts_are_claimed(tmp_path: Path, path: Path, name: str, expected: bool) -> None:
    """By content, whatever a FITS file is called; an unknown file is left to other engines."""
    engine = CampfireBackendEntrypoint()
    named = tmp_path / name
    named.write_bytes(gzip.compress(path.read_bytes()) if name.endswith("gz") else path.read_bytes())
    assert engine.guess_can_open(named) is expected
    assert engine.guess_can_open(str(named)) is expected
    if expected:
        xr.open_dataset(named).close()


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x1f\x8bgarbage", b"CDF\x01", b"SIMPLE  = " * 500])
def test_foreign_content_is_not_claimed(tmp_path: Path, content: bytes) -> None:
    foreign = tmp_path / "a_spec.fits"
    foreign.write_bytes(content)
    engine = CampfireBackendEntrypoint()
    assert not engine.guess_can_open(foreign)
    assert not engine.guess_can_open(tmp_path / "missing_spec.fits")
    assert not engine.guess_can_open(tmp_path)
    assert not engine.guess_can_open(content)
    image = tmp_path / "b_spec.fits"
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(image, overwrite=True)
    assert not engine.guess_can_open(image)


@pytest.mark.parametrize("name", ["a_spec.fits", "a.spec.fits.gz", "a_x1d.fits", "a.fits"])
@pytest.mark.parametrize(
    ("table", "columns", "copies"),
    [("SPEC1D", ("loglam", "flux"), 1), ("EXTRACT1D", ("WAVELENGTH", "FLUX", "FLUX_ERROR"), 2)],
)
def test_tables_of_another_kind_are_not_claimed(
    tmp_path: Path, name: str, table: str, columns: tuple[str, ...], copies: int
) -> None:
    """The engine claims only what it opens: neither other columns nor several spectra in one file."""
    made = [fits.Column(name=c, format="D", array=np.ones(2)) for c in columns]
    tables = [fits.BinTableHDU.from_columns(made, name=table, ver=i + 1) for i in range(copies)]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(tmp_path / name)
    assert not CampfireBackendEntrypoint().guess_can_open(tmp_path / name)
    with pytest.raises(ValidationError):
        xr.open_dataset(tmp_path / name, engine="campfire")


def test_a_damaged_file_of_ours_is_claimed_and_named(path: Path) -> None:
    """``xr.open_dataset(path)`` says that the file is cut short, not that no engine knows it."""
    path.write_bytes(path.read_bytes()[:-2880])
    with pytest.raises(ValidationError, match="cut short"):
        xr.open_dataset(path)


def test_what_it_cannot_open(tmp_path: Path, path: Path) -> None:
    with pytest.raises(NotFoundError):
        xr.open_dataset(tmp_path / "missing_spec.fits", engine="campfire")
    with pytest.raises(ValidationError, match="unknown extraction"):
        xr.open_dataset(path, engine="campfire", extraction="9px")
    with pytest.raises(ValidationError, match="opens files"):
        CampfireBackendEntrypoint().open_dataset(b"SIMPLE")
    path.write_bytes(path.read_bytes()[:-2880])
    with pytest.raises(ValidationError, match="cut short"):
        xr.open_datatree(path, engine="campfire")


def test_it_is_registered() -> None:
    assert isinstance(xr.backends.list_engines()["campfire"], CampfireBackendEntrypoint)
