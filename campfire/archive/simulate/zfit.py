"""Redshift fits of simulated spectra: chi-square curves on the pipeline's grids, with the usual aliases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from campfire.archive.simulate.instrument import LIGHT_KM_S, Grating
from campfire.units import FLAM_PER_FNU

if TYPE_CHECKING:
    from numpy.random import Generator

    from campfire.archive.simulate.sources import Source
    from campfire.typing import FloatArray

__all__ = ["RedshiftCurve", "chi_square_curve", "confidence", "redshift_grid", "shifted_model"]

_GRID = {"prism": (20.0, 500.0, 30.0), "medium": (15.0, 100.0, 10.0), "high": (15.0, 30.0, 5.0)}
"""Highest redshift, coarse and fine step in km/s, per class of grating."""
WINDOW = 3000.0
"""Half-width in km/s of the finely sampled window around the minimum."""

# Lines that a fit takes for one another: rest wavelength (micron) and usual strength.
_CONFUSED = (
    (0.1215670, 0.5),
    (0.1908734, 0.15),
    (0.3728500, 0.6),
    (0.3869860, 0.25),
    (0.4862683, 0.4),
    (0.4960295, 0.5),
    (0.5008240, 1.0),
    (0.6564610, 1.0),
    (0.9533200, 0.3),
    (1.0833306, 0.35),
    (1.8756130, 0.3),
)


@dataclass(frozen=True, slots=True)
class RedshiftCurve:
    """Chi-square against redshift; ``best`` is where it is least."""

    z: FloatArray
    chi2: FloatArray
    best: float
    confidence: float


def _velocity_grid(low: float, high: float, step: float) -> FloatArray:
    """Redshifts from ``low`` to ``high`` in equal steps of velocity."""
    growth = np.log1p(step / LIGHT_KM_S)
    number = int(np.floor(np.log((1.0 + high) / (1.0 + low)) / growth)) + 1
    return np.asarray((1.0 + low) * np.exp(growth * np.arange(number)) - 1.0)


@lru_cache(maxsize=4)
def _coarse(kind: str) -> FloatArray:
    highest, coarse, _ = _GRID[kind]
    grid = _velocity_grid(0.0, highest, coarse)
    grid.flags.writeable = False
    return grid


def redshift_grid(grating: Grating, centre: float) -> FloatArray:
    """Return the grid of a fit: coarse everywhere, fine within 3000 km/s of ``centre``; ascending."""
    highest, _, fine = _GRID[grating.kind]
    coarse = _coarse(grating.kind)
    reach = (1.0 + centre) * WINDOW / LIGHT_KM_S
    low, high = max(0.0, centre - reach), min(highest, centre + reach)
    kept = coarse[(coarse < low) | (coarse > high)]
    return np.sort(np.concatenate([kept, _velocity_grid(low, high, fine)]))


def confidence(z: FloatArray, chi2: FloatArray) -> float:
    """Return the percentage of exp(-(χ² - χ²min)) within 0.03 of the best redshift.

    An unweighted sum over a non-uniform grid and no factor of a half: this is how the pipeline does it.
    """
    weight = np.exp(-(chi2 - chi2.min()))
    near = np.abs(z - z[np.argmin(chi2)]) <= 0.03
    return float(100.0 * weight[near].sum() / weight.sum())


def _features(
    source: Source, wave: FloatArray, model: FloatArray, noise: FloatArray, grating: Grating
) -> tuple[list[tuple[float, float, float]], float]:
    """Dips of the true redshift and of its aliases, as (redshift, depth, width in redshift).

    Also the total significance of the continuum.
    """
    good = np.isfinite(noise) & (noise > 0)
    # Errors have a floor of a tenth of the flux, which is what keeps chi-square curves finite.
    floor = np.hypot(np.where(good, noise, np.inf), 0.1 * np.abs(model))
    continuum = float(((model / floor) ** 2).sum())
    dips: list[tuple[float, float, float]] = []
    total = 0.0
    pixel = float(np.median(np.diff(wave)))
    for line in source.lines:
        at = line.wave * (1.0 + source.redshift)
        if not wave[0] < at < wave[-1]:
            continue
        width = at / float(grating.resolving_power(np.array(at)))
        index = int(np.searchsorted(wave, at))
        peak = line.flux / (width * 1e4) * at**2 / FLAM_PER_FNU
        error = float(floor[min(index, wave.size - 1)])
        depth = (
            float((peak / np.hypot(error, 0.1 * peak)) ** 2 * max(1.0, width / pixel)) if error > 0 else 0.0
        )
        if depth < 1.0:
            continue
        total += depth
        for rest, strength in _CONFUSED:
            alias = at / rest - 1.0
            if abs(rest - line.wave) > 1e-3 and alias >= 0.0:
                dips.append((alias, 0.55 * strength * depth, (1.0 + alias) / 2.35 * width / at))
    # A break alone fixes the redshift too, if less sharply.
    resolving = float(grating.resolving_power(np.array(0.5 * (wave[0] + wave[-1]))))
    broad = 0.02 * continuum if grating.kind == "prism" else 0.002 * continuum
    dips.append((source.redshift, broad, 0.03 * (1.0 + source.redshift)))
    dips.append((source.redshift, total, (1.0 + source.redshift) / 2.35 / resolving))
    return dips, continuum


def chi_square_curve(
    source: Source, wave: FloatArray, model: FloatArray, noise: FloatArray, grating: Grating, rng: Generator
) -> RedshiftCurve:
    """Return a plausible chi-square curve of a spectrum.

    Parameters
    ----------
    source
        Its lines and redshift put the dips where they belong.
    wave, model, noise
        Micron and microjansky, on the pixels of the spectrum; noise may be infinite.
    grating
        Sets the redshift grid and the width of dips.
    rng
        Noise makes dips anywhere: in a faint spectrum they win, and the fit is a catastrophic outlier.
    """
    dips, significance = _features(source, wave, model, noise, grating)
    highest = _GRID[grating.kind][0]
    resolving = float(grating.resolving_power(np.array(0.5 * (wave[0] + wave[-1]))))
    for _ in range(40):
        at = float(np.expm1(rng.uniform(0.0, np.log1p(highest))))
        dips.append((at, float(rng.exponential(3.0)), (1.0 + at) / 2.35 / resolving * 1.5))
    base = float(np.isfinite(noise).sum()) + 0.3 * significance + max(depth for _, depth, _ in dips)
    phases = rng.uniform(0.0, 2.0 * np.pi, 4)

    def evaluate(z: FloatArray) -> FloatArray:
        ripple = sum(np.sin((k + 2.0) * np.log1p(z) * 3.0 + phase) for k, phase in enumerate(phases))
        chi2 = base + 0.01 * (base + significance) ** 0.5 * ripple
        for at, depth, width in dips:
            low, high = np.searchsorted(z, [at - 6.0 * width, at + 6.0 * width])
            chi2[low:high] -= depth * np.exp(-0.5 * ((z[low:high] - at) / width) ** 2)
        return np.asarray(chi2)

    coarse = _coarse(grating.kind)
    # Lines narrower than a coarse step would be missed between two points; a real fit smooths them, too.
    step = _GRID[grating.kind][1] / LIGHT_KM_S
    dips = [(at, depth, max(width, 0.6 * step * (1.0 + at))) for at, depth, width in dips]
    z = redshift_grid(grating, float(coarse[np.argmin(evaluate(coarse))]))
    chi2 = evaluate(z)
    chi2 += max(0.0, 0.2 * base - float(chi2.min()))
    return RedshiftCurve(z, chi2, float(z[np.argmin(chi2)]), confidence(z, chi2))


def shifted_model(
    wave: FloatArray, model: FloatArray, true_redshift: float, fitted_redshift: float
) -> FloatArray:
    """Return the model as a fit at another redshift draws it, on the same pixels.

    Parameters
    ----------
    wave, model
        Micron and microjansky at the true redshift.
    true_redshift, fitted_redshift
        Where features are and where the fit puts them.
    """
    stretch = (1.0 + fitted_redshift) / (1.0 + true_redshift)
    return np.asarray(np.interp(wave / stretch, wave, model))
