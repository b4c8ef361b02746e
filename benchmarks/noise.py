"""Pulls of pixels, of sums over them and line fluxes before and after ``measure_noise`` and ``with_noise``.

Run with ``python benchmarks/noise.py [FOLDER]``; it prints one line a case. Spectra are those of the
simulated instrument, with noise that nobody tells the measurement; with a folder of FITS files also these,
for which sums of 8 pixels are compared with a running median. Numbers are those of docs/numerics.md.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.special import ndtr

from campfire import CampfireError, CampfireWarning, SpectrumData, measure_lines, measure_noise, with_noise
from campfire.archive.simulate.instrument import GRATINGS, pixel_edges
from campfire.archive.simulate.noise import DJA, PIPELINE, WHITE, NoiseModel
from campfire.archive.simulate.observe import Setup, observe
from campfire.kernels.lsf import FWHM_PER_SIGMA, resolving_power
from campfire.linelist import EMISSION_LINES
from campfire.units import SPEED_OF_LIGHT, flam_to_fnu

Array = NDArray[Any]
REDSHIFT, WIDTH = 6.0, 300.0
LINES = {"Hβ": 1.0, "[OIII]₁": 1.5 / 2.98, "[OIII]₂": 1.5}
REST = {line["name"]: line["wave"] for line in EMISSION_LINES}
OUTLIERS = replace(DJA, outliers=0.003)
NOISES = {"white": WHITE, "DJA": DJA, "DJA with outliers": OUTLIERS, "pipeline": PIPELINE}
SUM, MEDIAN = 8, 31


class Case:
    """Spectra of one grating and kind of noise, with what is true of them."""

    def __init__(self, grating: str, noise: NoiseModel, count: int, level: float) -> None:
        edges = pixel_edges(GRATINGS[grating], 0.0)
        self.wave = 0.5 * (edges[1:] + edges[:-1])
        setup = Setup(grating, 8000.0, 0.1, noise=noise)
        error = GRATINGS[grating].noise(self.wave, setup.exposure_time)
        self.source = level * np.median(error) * (1.0 + 0.2 * np.sin(self.wave))
        self.flux: dict[str, float] = {}
        model = self.source.copy()
        for name, part in LINES.items():
            at = REST[name] * (1 + REDSHIFT)
            fwhm = np.hypot(at / resolving_power(grating, np.array(at)), at * WIDTH * 1e3 / SPEED_OF_LIGHT)
            sigma = float(fwhm) / FWHM_PER_SIGMA
            shape = np.diff(ndtr((edges - at) / sigma)) / (np.diff(edges) * 1e4)
            fnu = flam_to_fnu(shape, self.wave)
            unit = 10.0 / np.sqrt(np.sum(np.square(fnu / error)))
            self.flux[name] = part * unit
            model += part * unit * fnu
        self.model = model
        self.lines_at = np.abs(model - self.source) > 0.01 * error
        self.spectra = []
        for seed in range(count):
            made = observe(model, self.wave, setup, np.random.default_rng(seed)).columns
            self.spectra.append(
                SpectrumData(
                    self.wave, made["fnu"], made["fnu_err"], {}, grating, str(seed), redshift=REDSHIFT
                )
            )

    def pulls(self, spectra: list[SpectrumData]) -> tuple[float, float, float]:
        """Return the scatter of pixels, sums and line fluxes over their errors; the first two robustly."""
        pixels, sums = [], []
        for spec in spectra:
            off = np.where(spec.mask, np.nan, spec.fnu - self.model)
            pixels.append(off / spec.fnu_err)
            sums.append(sum_pulls(spec, off))
        found = measure_lines(spectra, list(LINES), width=WIDTH)
        truth = np.array(list(self.flux.values()))
        lines = ((found.flux - truth) / found.flux_err).values
        return spread(np.concatenate(pixels)), spread(np.concatenate(sums)), spread(lines)


def spread(values: Array) -> float:
    """Return the scatter of values, cut to 4 sigma for outliers that no error means."""
    left = values[np.isfinite(values)]
    left = left[np.abs(left) < 4 * 1.4826 * np.median(np.abs(left))]
    return float(np.sqrt(np.mean(np.square(left))))


def sum_pulls(spec: SpectrumData, off: Array) -> Array:
    """Return sums of 8 pixels over their errors."""
    matrix = None if spec.covariance is None else spec.covariance.tocsr()
    found = []
    for first in range(0, len(off) - SUM, SUM):
        at = slice(first, first + SUM)
        if np.isnan(off[at]).any():
            continue
        variance = np.square(spec.fnu_err[at]).sum() if matrix is None else matrix[at, at].sum()
        found.append(off[at].sum() / np.sqrt(variance))
    return np.array(found)


def simulated(count: int) -> None:
    print(f"{'simulated':<36} {'pixels':>14} {'sums of 8':>14} {'line fluxes':>14} {'together':>22}")
    for grating in ("PRISM", "G395M", "G395H"):
        for name, noise in NOISES.items():
            case = Case(grating, noise, count, level=3.0)
            before = case.pulls(case.spectra)
            after = case.pulls([with_noise(spec, measure_noise(spec)) for spec in case.spectra])
            found = measure_noise(case.spectra)
            joint = case.pulls([with_noise(spec, found) for spec in case.spectra])
            columns = [f"{a:>6.2f} -> {b:.2f}" for a, b in zip(before, after, strict=True)]
            print(f"{grating + ', ' + name:<36} " + "   ".join(columns), "  ", [round(x, 2) for x in joint])


def real(folder: Path) -> None:
    """Print sums of pixels about a running median, robustly, where the source does not matter."""
    print(f"{'real files':<66} {'sums of 8':>14}   noise")
    for path in sorted(folder.glob("*.fits*")):
        spec = SpectrumData.from_fits(path)
        ratio = float(np.nanmedian(np.abs(spec.fnu / spec.fnu_err)))
        if ratio > 30:
            continue
        try:
            noise = measure_noise(spec)
        except CampfireError as err:
            print(f"{path.name:<66} {err}")
            continue
        good = ~spec.mask
        off = np.full(len(spec), np.nan)
        off[good] = spec.fnu[good] - median_filter(spec.fnu[good], MEDIAN)
        pulls = [robust(sum_pulls(one, off)) for one in (spec, with_noise(spec, noise))]
        print(f"{path.name:<66} {pulls[0]:>6.2f} -> {pulls[1]:.2f}   {noise}")


def robust(values: Array) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def main() -> None:
    warnings.simplefilter("ignore", CampfireWarning)
    simulated(150)
    if len(sys.argv) > 1:
        real(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
