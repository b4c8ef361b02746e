"""Speed of the numerics against other packages and plain loops, all in one run.

Run with ``python benchmarks/numerics.py``; it prints one line a comparison. Times are the best of several.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from campfire import SpectrumData, resample_spectrum, schema, stack_spectra
from campfire.formats.bandpasses import load_bandpass
from campfire.kernels.bandpass import band_fluxes
from campfire.kernels.resample import resample

PIXELS = 435
BANDS = ("f115w", "f150w", "f200w", "f277w", "f356w", "f410m", "f444w")


def best(function: Callable[[], Any], repeat: int = 5) -> float:
    """Return the least time of several calls, in seconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def prism_grids(n: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return n grids like those of the prism, each with a shift of its own; shape (n, PIXELS)."""
    step = np.interp(np.linspace(0, 1, PIXELS), [0.0, 0.2, 0.35, 1.0], [0.004, 0.017, 0.019, 0.007])
    wave = 0.6 + np.cumsum(step) * (4.7 / step.sum())
    return np.asarray(wave + rng.uniform(-0.003, 0.003, (n, 1)))


def collection(wave: Any, flux: Any, error: Any) -> xr.DataTree:
    """Return spectra of one grid as ``open_collection`` gives them, in memory."""
    dims, names = schema.NATIVE, [str(k) for k in range(len(flux))]
    values = {"fnu": flux, "fnu_err": error, "dq": np.zeros(flux.shape, dtype=np.uint8)}
    ds = xr.Dataset(
        {name: (dims, array, schema.attrs_of(name)) for name, array in values.items()},
        {
            "wavelength": (dims, np.tile(wave, (len(flux), 1)), schema.attrs_of("wavelength")),
            "spectrum_id": ("spectrum", names),
            "grating": ("spectrum", ["PRISM"] * len(flux)),
        },
        {"campfire_schema": schema.SCHEMA_VERSION},
    )
    return xr.DataTree.from_dict({"/": xr.Dataset(), "/PRISM": ds})


def report(name: str, ours: float, theirs: float, goal: str, per: int = 1) -> None:
    times = f"{1e6 * ours / per:8.1f} us {1e6 * theirs / per:9.1f} us {theirs / ours:7.1f}x"
    print(f"{name:<62} {times}" + (f"   goal {goal}" if goal else ""))


def main() -> None:
    warnings.simplefilter("ignore")
    from sedpy.observate import getSED, load_filters
    from spectres import spectres

    rng = np.random.default_rng(0)
    print(f"{'':<62} {'campfire':>11} {'other':>12}")
    grid = np.linspace(0.65, 5.2, 400)

    # one shared grid
    n = 1000
    wave = prism_grids(n, rng)
    flux, error = rng.normal(1, 0.2, (n, PIXELS)), rng.uniform(0.1, 0.2, (n, PIXELS))
    ours = best(lambda: resample(wave[0], flux, error, grid))
    theirs = best(lambda: spectres(grid, wave[0], flux, error), 3)
    report("resample 1000 spectra with one grid, against spectres 2-D", ours, theirs, ">= 3x", n)

    tree = collection(wave[0], flux, error)
    ours = best(lambda: tree.campfire.resample(grid, covariance=False))
    report("tree.campfire.resample without covariance, against the same", ours, theirs, ">= 4x", n)
    ours = best(lambda: tree.campfire.resample(grid))
    report("tree.campfire.resample with covariance", ours, theirs, ">= 1x", n)

    # grids of their own
    few = 40
    ours = best(lambda: resample(wave, flux, error, grid)) / n
    theirs = best(lambda: [spectres(grid, wave[k], flux[k], error[k]) for k in range(few)], 2) / few
    report("resample, distinct grids, against spectres (a spectrum)", ours, theirs, ">= 40x")
    ours = best(lambda: resample(wave, flux, error, grid, covariance=True)) / n
    report("... with covariance", ours, theirs, "")
    spectra = [SpectrumData(wave[k], flux[k], error[k], {}, "PRISM", str(k)) for k in range(300)]
    ours = best(lambda: [resample_spectrum(s, grid) for s in spectra[:few]]) / few
    report("resample_spectrum, one SpectrumData at a time", ours, theirs, ">= 40x")

    # stack
    def loop() -> Any:
        pairs = [spectres(grid, wave[k], flux[k], error[k]) for k in range(300)]
        values, sigma = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
        weights = 1 / sigma**2
        return (weights * values).sum(axis=0) / weights.sum(axis=0), 1 / np.sqrt(weights.sum(axis=0))

    theirs = best(loop, 1)
    ours = best(lambda: stack_spectra(spectra, wavelength_grid=grid))
    report("weighted mean of 300 spectra, distinct grids, with covariance", ours, theirs, ">= 40x", 300)
    stacked, expected = stack_spectra(spectra, wavelength_grid=grid), loop()
    np.testing.assert_allclose(stacked.fnu, expected[0], rtol=1e-9)
    np.testing.assert_allclose(stacked.fnu_err, expected[1], rtol=1e-9)

    # bands
    curves = [load_bandpass(name) for name in BANDS]

    def band_loop() -> Any:
        out = []
        for k in range(n):
            edges = np.concatenate([[wave[k, 0]], (wave[k, 1:] + wave[k, :-1]) / 2, [wave[k, -1]]])
            row = []
            for curve in curves:
                union = np.unique(np.concatenate([edges, curve.wavelength]))
                throughput = np.interp(union, curve.wavelength, curve.throughput, left=0, right=0)
                step = np.diff(union) * (throughput[1:] / union[1:] + throughput[:-1] / union[:-1]) / 2
                pixel = np.clip(np.searchsorted(edges, (union[1:] + union[:-1]) / 2) - 1, 0, PIXELS - 1)
                weight = np.bincount(pixel, step, PIXELS)
                weight = weight / weight.sum()
                row.append((weight @ flux[k], np.sqrt(weight**2 @ error[k] ** 2)))
            out.append(row)
        return np.array(out)

    theirs = best(band_loop, 1)
    shared = np.broadcast_to(wave[0], wave.shape)
    flam = flux * 2.99792458e-19 / shared**2
    filters = load_filters([f"jwst_{name}" for name in BANDS])
    sedpy = best(lambda: getSED(wave[0] * 1e4, flam, filters), 3)
    ours = best(lambda: band_fluxes(wave[0], flux, error, curves))
    report("1000 spectra x 7 bands with errors, one grid, against a loop", ours, theirs, ">= 50x", n)
    report("... against sedpy getSED (one grid, no errors)", ours, sedpy, ">= 0.5x", n)
    ours = best(lambda: band_fluxes(wave, flux, error, curves))
    report("1000 spectra x 7 bands with errors, distinct grids, loop", ours, theirs, "", n)
    sedpy = best(lambda: [getSED(wave[k] * 1e4, flam[k], filters) for k in range(100)], 2) * n / 100
    report("... against sedpy getSED, a spectrum at a time (no errors)", ours, sedpy, ">= 0.5x", n)


if __name__ == "__main__":
    main()
