"""Where the micro-shutters of a slitlet lie on the sky, and the exposures they were opened for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

    from campfire.typing import Row

__all__ = ["APERTURE_ANGLE", "PITCH", "Slitlet", "draw_slitlet"]

PITCH = (0.27, 0.53)
"""Shutter pitch, arcsec: along the dispersion and along the slitlet."""
APERTURE_ANGLE = 138.5
"""Position angle of the slitlet minus V3PA, degrees."""
NODS = (0, 1, -1)
"""Shutters by which the slitlet of three moves along itself, nod by nod."""
NUMBER_IN_SLITLET = 3


@dataclass(frozen=True, slots=True)
class Slitlet:
    """One target in one slitlet of three shutters, nodded three times.

    Parameters
    ----------
    ra, dec
        Source position, degrees.
    v3pa
        Telescope roll, degrees.
    offset
        Source position in its shutter as a fraction of the pitch, -0.5 to 0.5, across and along.
    stuck
        Shutter (counted from the source's) that never opens; None if all do.
    dithers
        Number of dither positions; each is nodded three times.
    """

    ra: float
    dec: float
    v3pa: float
    offset: tuple[float, float]
    stuck: int | None = None
    dithers: int = 1

    @property
    def position_angle(self) -> float:
        """Direction of the slitlet, degrees east of north, 0 to 360."""
        return (self.v3pa + APERTURE_ANGLE) % 360.0

    def _exposures(self) -> list[tuple[int, int, int]]:
        """(dither, nod number, shift of the slitlet in shutters) of each exposure, both counted from 1."""
        return [
            (dither + 1, number + 1, shift)
            for dither in range(self.dithers)
            for number, shift in enumerate(NODS)
        ]

    def _state(self, index: int) -> str:
        if index == self.stuck:
            return "stuck_closed"
        return "source" if index == 0 else "open"

    def shutters(self, target_id: str, source_id: int, observation: str) -> list[Row]:
        """Return one row for each shutter and exposure.

        ``dither_id`` counts the exposures of a shutter from 0; ``object_id`` holds the *target* id.
        """
        angle = np.radians(self.position_angle)
        along = np.array([np.sin(angle), np.cos(angle)])
        across = np.array([np.cos(angle), -np.sin(angle)])
        seen: dict[int, int] = {}
        rows: list[Row] = []
        for dither, _, shift in self._exposures():
            # Dithers move the source a little within its shutter.
            x = (self.offset[0] + 0.05 * (dither - 1)) * PITCH[0]
            for step in (-1, 0, 1):
                index = step + shift
                y = (index - self.offset[1]) * PITCH[1]
                east, north = y * along - x * across
                rows.append(
                    {
                        "object_id": target_id,
                        "source_id": source_id,
                        "center_ra": float((self.ra + east / 3600.0 / np.cos(np.radians(self.dec))) % 360.0),
                        "center_dec": float(self.dec + north / 3600.0),
                        "position_angle": round(self.position_angle, 4),
                        "shutter_idx": index,
                        "dither_id": seen.get(index, 0),
                        "shutter_state": self._state(index),
                        "observation": observation,
                    }
                )
                seen[index] = seen.get(index, 0) + 1
        return rows

    def exposures(self, stem: str, exposure_time: float) -> list[dict[str, Any]]:
        """Return the rows of the EXPOSURES table, one for each exposure file.

        Parameters
        ----------
        stem
            Start of the file names.
        exposure_time
            Of all of them together, seconds.
        """
        plan = self._exposures()
        rows: list[dict[str, Any]] = []
        for number, (dither, nod, shift) in enumerate(plan):
            # From +PA to -PA: the highest shutter first.
            order = [step + shift for step in (1, 0, -1)]
            codes = {"source": "x", "open": "1", "stuck_closed": "0"}
            rows.append(
                {
                    "filename": f"{stem}_{number + 1:05d}_nrs1_cal.fits",
                    "dither_type": "NONE" if self.dithers == 1 else "MSA-DITHER",
                    "nod_type": "3-SHUTTER-SLITLET",
                    "nod_number": nod,
                    "dither_number": dither,
                    "exptime": round(exposure_time / len(plan), 3),
                    "stuck_shutter_list": "N/A" if self.stuck is None else f"[{self.stuck}]",
                    "shutter_state": "".join(codes[self._state(index)] for index in order),
                    "source_ra": self.ra,
                    "source_dec": self.dec,
                    "source_xpos": round(0.5 + self.offset[0] + 0.05 * (dither - 1), 4),
                    "source_ypos": round(0.5 + self.offset[1], 4),
                    "v3pa": self.v3pa,
                }
            )
        return rows


def draw_slitlet(ra: float, dec: float, v3pa: float, *, stuck: bool, rng: Generator) -> Slitlet:
    """Draw where a source falls in its shutter.

    Parameters
    ----------
    ra, dec
        Source position, degrees.
    v3pa
        Telescope roll, degrees.
    stuck
        Whether one of the neighbouring shutters is stuck closed.
    rng
        Where chance comes from.
    """
    x, y = (round(float(value), 4) for value in rng.uniform(-0.35, 0.35, 2))
    side = 1 if rng.random() < 0.5 else -1
    return Slitlet(ra, dec, v3pa, (x, y), side if stuck else None, int(rng.integers(1, 3)))
