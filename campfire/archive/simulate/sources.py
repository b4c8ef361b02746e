"""Sources of a simulated archive: drawn by kind, described by physics, tagged by what they turn out to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from campfire.archive.simulate.continuum import LYMAN_ALPHA, Continuum
from campfire.archive.simulate.emission import Line, nebular_lines

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["KINDS", "Source", "draw_kind", "draw_source", "earned_tags"]

# The first objects go through this list, so that small archives hold every kind; later ones are drawn.
KINDS = (
    "starforming",
    "lrd",
    "blagn",
    "oiii",
    "halpha",
    "quiescent",
    "faint",
    "dusty",
    "star",
    "lae",
    "highz",
    "starforming",
    "lowz",
    "lrd",
    "oiii",
    "poststarburst",
    "starforming",
    "faint",
    "halpha",
    "highz",
)
_FREQUENCY = {
    "starforming": 0.42,
    "lowz": 0.08,
    "highz": 0.10,
    "oiii": 0.08,
    "halpha": 0.06,
    "lae": 0.05,
    "faint": 0.05,
    "dusty": 0.04,
    "quiescent": 0.03,
    "poststarburst": 0.02,
    "lrd": 0.03,
    "blagn": 0.03,
    "star": 0.01,
}

NIRSPEC_RANGE = (0.60, 5.30)
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


@dataclass(frozen=True, slots=True)
class Source:
    """One source and everything that is true of it.

    Parameters
    ----------
    kind
        What it was drawn as (one of ``KINDS``).
    redshift
        0 for a star.
    continuum, lines
        Its spectrum before slit losses and noise.
    radius
        Half-light radius, arcsec.
    axis_ratio, angle
        Of its image; degrees east of north.
    """

    kind: str
    redshift: float
    continuum: Continuum
    lines: tuple[Line, ...]
    radius: float
    axis_ratio: float
    angle: float

    def line_flux(self, name: str) -> float:
        """Return the observed flux of a line and its broad component (erg s-1 cm-2); 0 if there is none."""
        return sum(line.flux for line in self.lines if line.name in (name, f"{name} broad"))

    def equivalent_width(self, name: str) -> float:
        """Return the rest equivalent width in angstrom, broad component included."""
        flux = self.line_flux(name)
        if not flux:
            return 0.0
        wave = next(line.wave for line in self.lines if line.name == name)
        # The continuum at Lyα itself is half absorbed: it is taken a little to the red.
        at = 0.1240 if wave == LYMAN_ALPHA else wave
        stretch = 1.0 + self.redshift
        return flux / (stretch * float(self.continuum.flam(np.array([at * stretch]))[0]))

    def broad_fwhm(self) -> float:
        """Return the full width at half maximum of the broad lines in km/s; 0 if there are none."""
        return max((line.sigma * FWHM_PER_SIGMA for line in self.lines if "broad" in line.name), default=0.0)

    def covers(self, rest_wave: float) -> bool:
        """Tell whether NIRSpec sees this rest wavelength (micron)."""
        return NIRSPEC_RANGE[0] < rest_wave * (1.0 + self.redshift) < NIRSPEC_RANGE[1]


def earned_tags(source: Source) -> list[str]:
    """Return the system tags that the physics of a source earns, in alphabetical order.

    Notes
    -----
    Thresholds: equivalent widths are rest frame; slopes are of f_lambda; the break is f_nu(0.42)/f_nu(0.35).
    """
    if source.kind == "star":
        return ["star"]
    shape = source.continuum
    broad = source.broad_fwhm() > 1000.0 and source.covers(0.656461)
    break_strength = shape.balmer_break()
    tags = {
        "bbg": break_strength > 1.8,
        "blagn": broad,
        "dusty": shape.a_v > 1.5,
        "hae": source.equivalent_width("Hα") > 600.0 and source.covers(0.656461) and not broad,
        "lae": source.equivalent_width("Lyα") > 25.0 and source.covers(LYMAN_ALPHA),
        "lrd": broad
        and source.redshift > 2.0
        and source.radius < 0.06
        and shape.slope(0.15, 0.30) < -0.4
        and shape.slope(0.42, 0.65) > 0.0,
        "o3e": source.equivalent_width("[OIII]5008") > 700.0 and source.covers(0.500824),
        "qg": break_strength > 1.5 and source.equivalent_width("Hα") < 8.0 and not broad,
    }
    return sorted(name for name, earned in tags.items() if earned)


def draw_kind(index: int, rng: Generator) -> str:
    """Return the kind of the source number ``index``."""
    if index < len(KINDS):
        return KINDS[index]
    return str(rng.choice(list(_FREQUENCY), p=list(_FREQUENCY.values())))


def _star(rng: Generator) -> Source:
    cool = Continuum(
        redshift=0.0,
        old=np.inf,
        temperature=float(rng.uniform(1400.0, 3200.0)),
        molecules=float(rng.uniform(0.4, 1.0)),
    )
    return Source("star", 0.0, cool.scaled_to(float(rng.uniform(22.0, 24.5))), (), 0.005, 1.0, 0.0)


def _redshift(kind: str, rng: Generator) -> float:
    low, high = {
        "starforming": (1.5, 7.0),
        "lowz": (0.15, 1.5),
        "highz": (8.0, 12.0),
        "oiii": (4.2, 8.8),
        "halpha": (1.2, 6.5),
        "lae": (5.0, 7.5),
        "faint": (3.0, 11.0),
        "dusty": (1.5, 4.5),
        "quiescent": (1.0, 4.5),
        "poststarburst": (2.5, 6.0),
        "lrd": (4.0, 6.9),
        "blagn": (2.0, 6.5),
    }[kind]
    return round(float(rng.uniform(low, high)), 5)


def _magnitude(kind: str, rng: Generator) -> float:
    low, high = {
        "starforming": (24.2, 27.2),
        "lowz": (22.3, 25.5),
        "highz": (25.8, 27.6),
        "oiii": (25.5, 27.4),
        "halpha": (24.5, 26.6),
        "lae": (26.0, 27.6),
        "faint": (29.2, 30.4),
        "dusty": (23.8, 25.8),
        "quiescent": (21.8, 24.2),
        "poststarburst": (23.2, 25.2),
        "lrd": (24.3, 26.2),
        "blagn": (23.2, 25.2),
    }[kind]
    return float(rng.uniform(low, high))


def _continuum(kind: str, redshift: float, rng: Generator) -> Continuum:
    if kind in ("quiescent", "poststarburst"):
        old = kind == "quiescent"
        return Continuum(
            redshift,
            beta=-1.6,
            old=float(rng.uniform(12.0, 30.0) if old else rng.uniform(5.0, 9.0)),
            temperature=float(rng.uniform(5400.0, 6000.0) if old else rng.uniform(6200.0, 7500.0)),
            break_strength=float(rng.uniform(2.0, 2.6) if old else rng.uniform(2.2, 3.0)),
            break_wave=0.396 if old else 0.372,
            break_width=0.006,
            a_v=float(rng.uniform(0.0, 0.3)),
            absorption=1.0 if old else 0.6,
        )
    if kind == "lrd":
        return Continuum(
            redshift,
            beta=float(rng.uniform(-2.2, -1.8)),
            old=float(rng.uniform(5.0, 9.0)),
            temperature=float(rng.uniform(3500.0, 4000.0)),
            break_strength=float(rng.uniform(4.0, 8.0)),
            break_width=0.006,
            a_v=float(rng.uniform(0.0, 0.2)),
        )
    young = kind in ("oiii", "lae", "highz")
    a_v = {"dusty": rng.uniform(1.6, 3.0), "faint": rng.uniform(0.0, 0.3)}.get(
        kind, rng.uniform(0.0, 0.15) if young else rng.uniform(0.05, 0.7)
    )
    return Continuum(
        redshift,
        beta=float(rng.normal(-2.45 if young else -2.2, 0.12)),
        old=float(rng.uniform(0.0, 0.15) if young else rng.uniform(0.2, 1.2)),
        temperature=float(rng.uniform(4800.0, 6500.0)),
        break_strength=float(rng.uniform(1.4, 2.0)),
        break_wave=0.382,
        break_width=0.008,
        a_v=float(a_v),
        absorption=0.3,
    )


def draw_source(kind: str, rng: Generator) -> Source:
    """Draw one source of a kind.

    Parameters
    ----------
    kind
        One of ``KINDS``.
    rng
        Where chance comes from; the same state gives the same source.
    """
    if kind == "star":
        return _star(rng)
    redshift = _redshift(kind, rng)
    continuum = _continuum(kind, redshift, rng).scaled_to(_magnitude(kind, rng))
    typical = {
        "oiii": 1500.0,
        "halpha": 1000.0,
        "lae": 700.0,
        "quiescent": 3.0,
        "poststarburst": 5.0,
        "dusty": 120.0,
        "lrd": 150.0,
        "lowz": 80.0,
        "faint": 80.0,
        "blagn": 120.0,
    }.get(kind, 220.0 * ((1.0 + redshift) / 4.0) ** 0.8)
    spread = 0.04 if kind in ("oiii", "halpha", "quiescent", "poststarburst") else 0.2
    metal_poor = kind in ("oiii", "lae", "highz")
    has_lya = kind == "lae" or (kind == "oiii" and redshift > 5.0)
    has_broad = kind in ("lrd", "blagn")
    lines = nebular_lines(
        continuum,
        ew_halpha=float(typical * 10.0 ** rng.normal(0.0, spread)),
        abundance=float(rng.uniform(7.5, 8.05) if metal_poor else rng.uniform(7.8, 8.7)),
        sigma=float(rng.uniform(60.0, 140.0)),
        ew_lya=float(rng.uniform(40.0, 150.0)) if has_lya else 0.0,
        broad_halpha=float(rng.uniform(2.0, 5.0)) if has_broad else 0.0,
        broad_sigma=float(rng.uniform(650.0, 1700.0)) if has_broad else 0.0,
    )
    compact = kind in ("lrd", "blagn")
    radius = float(rng.uniform(0.02, 0.05) if compact else 10.0 ** rng.uniform(-1.1, -0.55))
    return Source(
        kind=kind,
        redshift=redshift,
        continuum=continuum,
        lines=lines,
        radius=radius,
        axis_ratio=float(rng.uniform(0.85, 1.0) if compact else rng.uniform(0.35, 1.0)),
        angle=float(rng.uniform(0.0, 180.0)),
    )
