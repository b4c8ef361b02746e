"""Simulated sources as a grating sees them, with noise for a given S/N of their strongest line."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice

import numpy as np

from campfire import SpectrumData
from campfire.archive.simulate.continuum import DENSE_WAVE
from campfire.archive.simulate.instrument import GRATINGS, observed_flam, pixel_edges
from campfire.archive.simulate.sources import Source, draw_source
from campfire.units import flam_to_fnu

KINDS = ("starforming", "oiii", "halpha", "highz", "lae", "dusty", "blagn")


def sources(count: int, seed: int = 0, low: float = 2.0, high: float = 9.0) -> list[Source]:
    """Return sources of all kinds with redshifts in a range."""
    rng = np.random.default_rng(seed)
    drawn = (draw_source(kind, rng) for kind in cycle(KINDS))
    return list(islice((source for source in drawn if low < source.redshift < high), count))


def observed(
    source: Source, grating: str, snr: float, seed: int = 0, *, offset: float = 0.0, phase: float = 0.0
) -> SpectrumData:
    """Return a noisy spectrum, whose wavelengths may be wrong by some pixels."""
    spec = GRATINGS[grating]
    edges = pixel_edges(spec, phase)
    wave = (edges[1:] + edges[:-1]) / 2
    dense = source.continuum.flam(DENSE_WAVE)
    fnu = flam_to_fnu(observed_flam(source, dense, spec, phase), wave)
    lines = fnu - flam_to_fnu(observed_flam(replace(source, lines=()), dense, spec, phase), wave)
    shape = 1 + 0.15 * np.square(wave - 2.5)
    best = max(
        np.sqrt(np.sum(np.square((lines / shape)[np.abs(wave - at) < 0.02 * at])))
        for at in (line.wave * (1 + source.redshift) for line in source.lines)
    )
    error = shape * best / snr
    noise = np.random.default_rng(seed).normal(0, error)
    wrong = wave + offset * np.diff(edges)
    return SpectrumData(wrong, fnu + noise, error, {}, grating, f"{grating}_{seed}", redshift=source.redshift)
