"""Redshifts fitted to simulated spectra, against truth: failures, scatter, pulls, offsets, and speed.

Run with ``python benchmarks/redshift.py [spectra]``; it prints one line a case. Numbers are those of
docs/numerics.md.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from campfire import SpectrumData, fit_redshift, fit_redshifts
from campfire.archive.simulate.sources import Source

sys.path.insert(0, str(Path(__file__).parents[1]))
simulated = import_module("tests.analysis.observed_sources")
FAILED = 0.01  # of 1 + z


def row(name: str, truth: Any, z: Any, error: Any) -> None:
    away = (np.asarray(z) - truth) / (1 + truth)
    failed = np.abs(away) > FAILED
    pull = (away * (1 + truth) / np.asarray(error))[~failed]
    spread = 1.4826 * np.median(np.abs(pull - np.median(pull)))
    scatter = 1.4826 * np.median(np.abs(away[~failed]))
    print(
        f"{name:<28} wrong by > 1 % {100 * failed.mean():5.1f} %   scatter {scatter:.1e} (1 + z)   "
        f"pull {pull.mean():+.2f} +- {pull.std():.2f} (robust {spread:.2f})"
    )


def alone(many: list[Source], grating: str, snr: float) -> None:
    spectra = [simulated.observed(source, grating, snr, seed) for seed, source in enumerate(many)]
    found = fit_redshifts(spectra)
    truth = np.array([source.redshift for source in many])
    row(f"{grating}, line S/N {snr:g}", truth, found.redshift_fit, found.redshift_fit_err)


def together(many: list[Source], snr: float) -> None:
    truth = np.array([source.redshift for source in many])
    cases: dict[str, list[Any]] = {"PRISM": [], "G395M": [], "both": []}
    for seed, source in enumerate(many):
        prism = simulated.observed(source, "PRISM", snr, seed, offset=0.5)
        grating = simulated.observed(source, "G395M", snr, 10_000 + seed)
        for name, given in (("PRISM", [prism]), ("G395M", [grating]), ("both", [prism, grating])):
            cases[name].append(fit_redshift(given, offset_scatter=0.5))
    for name, results in cases.items():
        row(
            f"{name}, S/N {snr:g}, PRISM 0.5 pix off",
            truth,
            [r.redshift for r in results],
            [r.redshift_err for r in results],
        )
    right = [
        r
        for r, z in zip(cases["both"], truth, strict=True)
        if abs(r.redshift - z) < FAILED and r.offsets_err[0] < 0.2
    ]
    offsets = np.array([r.offsets[0] for r in right])
    print(
        f"  offset of 0.5 pixel: median {np.median(offsets):.2f}, "
        f"scatter {offsets.std():.2f}, {len(right)} objects"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    many = simulated.sources(count, low=0.5, high=10.0)
    for snr in (3.0, 5.0, 8.0, 12.0, 30.0):
        alone(many, "PRISM", snr)
    medium = simulated.sources(max(count // 4, 8), seed=7, low=3.5, high=8.0)
    for snr in (5.0, 12.0):
        together(medium, snr)
    spectra: list[SpectrumData] = [
        simulated.observed(source, "PRISM", 8.0, k) for k, source in enumerate(many)
    ]
    spectra = (spectra * (1000 // len(spectra) + 1))[:1000]
    start = time.perf_counter()
    fit_redshifts(spectra)
    print(f"10,000 PRISM spectra, z = 0 to 15: {10 * (time.perf_counter() - start):.0f} s (from 1,000)")


if __name__ == "__main__":
    main()
