"""What is compared: an operation of ours and what a user would do instead, on the same inputs.

Each comparison is made by a function of a size and a folder, which returns two callables; both are checked to
give the same numbers before they are timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import catalogue, collection, numerics, read_spec
from campfire import SpectrumData, measure_lines, resample_spectrum, stack_spectra
from campfire.archive.simulate.archive import make_archive
from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.columns import to_table
from campfire.formats.bandpasses import load_bandpass
from campfire.formats.spec_reader import file_hash
from campfire.kernels.bandpass import band_fluxes
from campfire.query import Query
from campfire.store.catalog import Catalog
from campfire.store.sync import synchronise

__all__ = ["COMPARISONS", "Comparison"]

Pair = tuple[Callable[[], Any], Callable[[], Any]]
GRID = np.linspace(0.65, 5.2, 400)


@dataclass(frozen=True)
class Comparison:
    """One line of the table.

    Parameters
    ----------
    key
        Its name in ``floors.toml``.
    name, peer
        What is done, and what a user would do it with instead.
    make
        ``make(size, folder)`` -> (ours, theirs).
    sizes
        How many spectra, files or rows: the first in short runs, all in long ones.
    """

    key: str
    name: str
    peer: str
    make: Callable[[int, Path], Pair]
    sizes: tuple[int, ...]


def _arrays(n: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    wave = numerics.prism_grids(n, rng)
    shape = wave.shape
    return wave, rng.normal(1, 0.2, shape), rng.uniform(0.1, 0.2, shape)


def _spectra(n: int) -> list[SpectrumData]:
    rows = zip(*_arrays(n), strict=True)
    return [SpectrumData(w, f, e, {}, "PRISM", str(k), redshift=3.0) for k, (w, f, e) in enumerate(rows)]


def read_files(n: int, folder: Path) -> Pair:
    make_archive(folder, objects=24, seed=1)
    files = (sorted(folder.glob("**/*_spec.fits")) * n)[:n]
    for path in set(files):
        read_spec.check(path)
    return (
        lambda: [read_spec.by_campfire(path) for path in files],
        lambda: [read_spec.by_astropy(path) for path in files],
    )


def resample_collection(n: int, folder: Path) -> Pair:
    from spectres import spectres

    wave, flux, error = _arrays(n)
    tree = numerics.collection(wave[0], flux, error)
    ours = tree.campfire.resample(GRID, covariance=False)["PRISM"]
    np.testing.assert_allclose(ours.fnu.values, spectres(GRID, wave[0], flux, error)[0], rtol=1e-6)
    return (
        lambda: tree.campfire.resample(GRID, covariance=False),
        lambda: spectres(GRID, wave[0], flux, error),
    )


def resample_single(n: int, folder: Path) -> Pair:
    from spectres import spectres

    spectra = _spectra(n)
    return (
        lambda: [resample_spectrum(s, GRID) for s in spectra],
        lambda: [spectres(GRID, s.wavelength, s.fnu, s.fnu_err) for s in spectra],
    )


def stack(n: int, folder: Path) -> Pair:
    from spectres import spectres

    spectra = _spectra(n)

    def by_hand() -> Any:
        pairs = [spectres(GRID, s.wavelength, s.fnu, s.fnu_err) for s in spectra]
        values, sigma = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
        weights = 1 / sigma**2
        return (weights * values).sum(axis=0) / weights.sum(axis=0)

    np.testing.assert_allclose(stack_spectra(spectra, wavelength_grid=GRID).fnu, by_hand(), rtol=1e-9)
    return lambda: stack_spectra(spectra, wavelength_grid=GRID), by_hand


def photometry(n: int, folder: Path) -> Pair:
    from sedpy.observate import getSED, load_filters

    wave, flux, error = _arrays(n)
    curves = [load_bandpass(name) for name in numerics.BANDS]
    filters = load_filters([f"jwst_{name}" for name in numerics.BANDS])
    flam = flux * 2.998e-11 / np.square(wave * 1e4)
    return (
        lambda: band_fluxes(wave, flux, error, curves),
        lambda: [getSED(wave[k] * 1e4, flam[k], filters) for k in range(n)],
    )


def lines(n: int, folder: Path) -> Pair:
    import astropy.units as u
    from astropy.modeling.models import Gaussian1D
    from specutils import SpectralRegion
    from specutils.fitting import fit_lines

    spectra = _spectra(n)
    foreign = [s.to_specutils() for s in spectra]
    names = ["Hα", "Hβ", "[OIII]₂", "[OII]", "Hγ"]
    places = [0.6564610, 0.4862683, 0.5008240, 0.3728483, 0.4341684]

    def by_hand() -> None:
        for spectrum in foreign:
            for place in places:
                at = 4 * place * u.um
                start = Gaussian1D(amplitude=1 * u.uJy, mean=at, stddev=0.01 * at)
                fit_lines(spectrum, start, window=SpectralRegion(0.95 * at, 1.05 * at))

    return lambda: measure_lines(spectra, names), by_hand


def _tree(n: int, folder: Path) -> tuple[list[Path], Callable[[], Any]]:
    paths = collection.write_files(folder, n)
    sources = [FileSource(str(path), file_hash(path)) for path in paths]
    columns: dict[str, Any] = {
        "spectrum_id": np.array([path.name.removesuffix("_spec.fits") for path in paths]),
        "grating": np.full(n, "PRISM"),
    }
    return paths, lambda: open_tree(sources, columns, cache_dir=folder / "cache")


def load_collection(n: int, folder: Path) -> Pair:
    paths, opened = _tree(n, folder)
    found = opened().load()["PRISM"].fnu.values
    np.testing.assert_array_equal(found, collection.plain_loop(paths)["fnu"])
    return lambda: opened().load(), lambda: collection.plain_loop(paths)


def load_as_zarr(n: int, folder: Path) -> Pair:
    import zarr

    _, opened = _tree(n, folder)
    opened()
    (group,) = (folder / "cache").glob("**/*.zarr")
    names = ("wavelength", "fnu", "fnu_err", "dq")

    def raw() -> Any:
        store = zarr.open_group(group, mode="r")
        return [store[name][:n] for name in names]

    wanted = list(names)
    return lambda: opened()["PRISM"].to_dataset()[wanted[1:]].load(), raw


def _catalogue(objects: int, folder: Path) -> tuple[Path, Catalog]:
    path = folder / "meta" / "campfire.db"
    store = Catalog(path)
    synchronise(store, catalogue.Rows(objects))
    return path, store


def table(n: int, folder: Path) -> Pair:
    path, store = _catalogue(n, folder)
    everything = Query.of("spectra")
    return (
        lambda: to_table(store.select(everything)),
        lambda: catalogue.straightforward(path, catalogue.SPECTRA),
    )


def cone(n: int, folder: Path) -> Pair:
    path, store = _catalogue(n, folder)
    ra, dec = catalogue.FIELDS["north"]
    query = Query.of("objects", cone_search=(ra, dec, 30.0))
    return lambda: to_table(store.select(query)), lambda: catalogue.scan(path, ra, dec, 30.0)


COMPARISONS = (
    Comparison("read", "read spectra and headers of FITS files", "astropy.io.fits", read_files, (60, 300)),
    Comparison(
        "load", "open a cached collection and load it", "a loop of files", load_collection, (200, 1000, 5000)
    ),
    Comparison("load_zarr", "the same pixels from the cache", "zarr-python", load_as_zarr, (1000, 10_000)),
    Comparison(
        "resample", "resample a collection on one grid", "spectres, 2-D", resample_collection, (1000, 5000)
    ),
    Comparison("resample_single", "resample single spectra", "spectres", resample_single, (20, 100)),
    Comparison("stack", "weighted mean of spectra, with covariance", "a loop of spectres", stack, (30, 300)),
    Comparison("photometry", "seven bands with errors", "sedpy, one by one", photometry, (200, 1000, 10_000)),
    Comparison("lines", "five lines of each spectrum", "specutils fit_lines", lines, (30, 300)),
    Comparison(
        "table", "all spectra of the catalogue as a table", "sqlite3, Table(rows)", table, (3000, 33_000)
    ),
    Comparison("cone", "cone search", "a full scan", cone, (3000, 33_000)),
)
"""All comparisons, in the order of the table."""
