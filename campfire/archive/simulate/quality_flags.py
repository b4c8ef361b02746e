"""What goes wrong with spectra, and the data-quality flags that say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from campfire.flags import DQFlags

if TYPE_CHECKING:
    from numpy.random import Generator

    from campfire.archive.simulate.instrument import Grating
    from campfire.typing import FloatArray

__all__ = ["Mishaps", "draw_mishaps", "measured_flags", "stray_light"]

UNNAMED_BIT = 512
"""A flag that this version has no name for; services may send such bits."""


@dataclass(frozen=True, slots=True)
class Mishaps:
    """What happens to one object in one observation.

    Parameters
    ----------
    contaminated
        Light of a neighbour is mixed into every spectrum.
    overlap
        Part of the trace of another source falls on grating spectra.
    stuck
        A shutter of the slitlet is stuck closed, and light is lost.
    neighbour
        A second source is in the slitlet.
    corrupted
        Name of the grating whose data are unusable over a third of the range; empty for none.
    groups
        Number of groups that are reduced apart and combined.
    fitted
        Whether a redshift fit was made.
    unnamed
        Whether the spectra carry a flag without a name.
    """

    contaminated: bool = False
    overlap: bool = False
    stuck: bool = False
    neighbour: bool = False
    corrupted: str = ""
    groups: int = 1
    fitted: bool = True
    unnamed: bool = False

    def flags(self, grating: Grating) -> int:
        """Return the data-quality bits of a spectrum taken with this grating."""
        prism = grating.kind == "prism"
        raised = {
            DQFlags.CHIP_GAP: grating.gap is not None,
            DQFlags.CONTAMINATION: self.contaminated,
            DQFlags.STUCK_SHUTTER: self.stuck,
            DQFlags.MULTIPLE_SOURCES: self.neighbour,
            DQFlags.SPECTRAL_OVERLAP: self.overlap and not prism,
            DQFlags.PRISM_CORRUPTED: prism and self.corrupted == grating.name,
            DQFlags.GRATING_CORRUPTED: not prism and self.corrupted == grating.name,
        }
        mask = sum(int(flag) for flag, is_raised in raised.items() if is_raised)
        return mask | (UNNAMED_BIT if self.unnamed else 0)


def draw_mishaps(index: int, visit: int, rng: Generator) -> Mishaps:
    """Draw what happens to object ``index`` in the observation number ``visit`` of its field.

    Some of the first objects have theirs fixed, so that small archives hold every kind.
    """
    chance = rng.random(8)
    first = visit == 0
    corrupted = {13: "PRISM", 18: "G395M"}.get(index, "")
    if index >= 20 and chance[4] < 0.04:
        corrupted = "PRISM" if chance[4] < 0.02 else "G395M"
    late = index >= 20
    return Mishaps(
        contaminated=(index in (3, 12) and first) or (late and chance[0] < 0.04),
        overlap=index == 16 or (late and chance[1] < 0.03),
        stuck=index == 9 or (late and chance[2] < 0.05),
        neighbour=index == 7 or (late and chance[3] < 0.03),
        corrupted=corrupted,
        groups=2 + (index + visit) % 2 if (index + visit) % 6 == 4 else 1,
        fitted=index % 11 != 10,
        unnamed=index == 18 or (late and chance[5] < 0.01),
    )


def measured_flags(signal_to_noise: float | None, grating: Grating) -> int:
    """Return the flags that the peak signal-to-noise ratio of a spectrum earns.

    Below 8 a spectrum is too noisy to be useful; below 4 (4.5 where thousands of pixels give noise more
    chances) nothing is detected.
    """
    snr = signal_to_noise or 0.0
    mask = int(DQFlags.LOW_SNR) if snr < 8.0 else 0
    limit = 4.0 if grating.kind == "prism" else 4.5
    return mask | (int(DQFlags.NO_DETECTION) if snr < limit else 0)


def stray_light(mishaps: Mishaps, grating: Grating, wave: FloatArray, model: FloatArray) -> FloatArray:
    """Return the light of other sources in a spectrum, microjansky.

    Parameters
    ----------
    mishaps
        A neighbour adds a red continuum with one line; an overlapping trace adds a band of light.
    grating
        Overlaps happen to gratings only.
    wave, model
        Micron; the spectrum itself, microjansky, which sets the scale.
    """
    stray = np.zeros_like(wave)
    scale = float(np.median(model)) + 0.01
    span = (wave - wave[0]) / (wave[-1] - wave[0])
    if mishaps.contaminated:
        width = wave / grating.resolving_power(wave) / 2.3548
        stray += scale * (0.25 + 0.3 * span) + 4.0 * scale * np.exp(
            -0.5 * ((span - 0.43) * (wave[-1] - wave[0]) / width) ** 2
        )
    if mishaps.overlap and grating.kind != "prism":
        stray += 1.5 * scale / (1.0 + np.exp(-(span - 0.55) / 0.02)) / (1.0 + np.exp((span - 0.8) / 0.02))
    return stray
