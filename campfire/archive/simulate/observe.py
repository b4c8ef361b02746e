"""From a noiseless spectrum to what a pipeline makes of it: rectified 2-D data and their extractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from campfire.archive.simulate.instrument import GRATINGS, Grating, normal_cdf
from campfire.archive.simulate.noise import WHITE, NoiseModel
from campfire.units import FLAM_PER_FNU

if TYPE_CHECKING:
    from numpy.random import Generator

    from campfire.typing import BoolArray, FloatArray

__all__ = ["BOXCARS", "Extraction", "Setup", "combine_groups", "extract", "observe", "product_columns"]

BOXCARS = (3, 4, 5)
PIXEL_SCALE = 0.10
"""Spatial pixel of the rectified data, arcsec."""
NOD_SHIFT = 5.3
"""Pixels between nod positions: one shutter pitch of 0.53 arcsec. Subtracting nods leaves negative images."""
APERTURE = 4.0
"""Half-height in pixels of the aperture of the optimal extraction."""
MEGAJANSKY = 1e-12
"""One microjansky in MJy: 2-D data are in MJy."""

ROWS = {"prism": 25, "medium": 21, "high": 17}
# Source flux (microjansky) whose photon noise equals that of the background, per class of grating.
SKY_EQUIVALENT = {"prism": 1.2, "medium": 6.0, "high": 10.0}


@dataclass(frozen=True, slots=True)
class Setup:
    """How one spectrum is taken.

    Parameters
    ----------
    grating, exposure_time
        Seconds.
    radius
        Half-light radius of the source, arcsec: sets the spatial profile.
    neighbour
        Flux of a second trace outside the aperture over that of the source; 0 for none.
    corrupted
        Whether a long stretch of the data is unusable.
    groups
        Number of groups of exposures that are reduced apart and then combined; 1: not combined.
    detected
        Whether the source is bright enough for a spatial profile to be measured.
    noise
        How its noise differs from what the errors say.
    """

    grating: str
    exposure_time: float
    radius: float
    neighbour: float = 0.0
    corrupted: bool = False
    groups: int = 1
    detected: bool = True
    noise: NoiseModel = WHITE

    @property
    def instrument(self) -> Grating:
        """The grating's record."""
        return GRATINGS[self.grating]


@dataclass(frozen=True, slots=True)
class Extraction:
    """1-D columns and the 2-D data they came from.

    Parameters
    ----------
    columns
        ``fnu``, ``fnu_err`` and the boxcars, microjansky.
    sci, err, wht
        (rows, pixels), MJy; NaN and weight 0 without data.
    profile
        Columns of the profile table.
    option
        ``optimal`` or ``boxcar-3px``: what ``fnu`` is.
    captured
        Fraction of the light within the aperture of ``fnu``.
    """

    columns: dict[str, FloatArray]
    sci: FloatArray
    err: FloatArray
    wht: FloatArray
    profile: dict[str, FloatArray]
    option: Literal["optimal", "boxcar-3px"]
    captured: float


def _spatial_profile(edges: FloatArray, centre: float, sigma: float) -> FloatArray:
    share = np.diff(normal_cdf((edges - centre) / sigma))
    middle = 0.5 * (edges[1:] + edges[:-1])
    share = np.where(np.abs(middle - centre) <= APERTURE, share, 0.0)
    return np.asarray(share / share.sum())


def _no_data(setup: Setup, wave: FloatArray, rows: int, rng: Generator) -> BoolArray:
    """Pixels without data: both ends, dead columns, the detector gap, single bad pixels."""
    grating = setup.instrument
    bad = rng.random((rows, wave.size)) < 0.003
    columns = rng.random(wave.size) < 0.004
    columns[: int(rng.integers(2, 7))] = True
    columns[wave.size - int(rng.integers(2, 7)) :] = True
    if grating.gap is not None:
        shift = float(rng.uniform(-0.02, 0.02))
        columns |= (wave > grating.gap[0] + shift) & (wave < grating.gap[1] + shift)
    if setup.corrupted:
        start = int(rng.integers(wave.size // 6, wave.size // 3))
        columns[start : start + wave.size // 3] = True
    return np.asarray(bad | columns)


def observe(fnu: FloatArray, wave: FloatArray, setup: Setup, rng: Generator) -> Extraction:
    """Take one group of exposures and extract it.

    Parameters
    ----------
    fnu
        Light that reaches the detector, microjansky, at the pixel centres ``wave`` (micron).
    setup
        Grating, exposure time (of this group), source size.
    rng
        Where the noise comes from.
    """
    grating = setup.instrument
    rows = ROWS[grating.kind]
    edges = np.arange(rows + 1, dtype=float)
    centre = rows / 2.0 + float(rng.uniform(-0.4, 0.4))
    # Point-spread and source are added in quadrature; 0.07 arcsec stands for the former.
    sigma = float(np.clip(np.hypot(0.07, 0.7 * setup.radius) / PIXEL_SCALE, 0.7, 1.5))
    profile = _spatial_profile(edges, centre, sigma)
    ypos = edges[:-1] + 0.5
    outside = np.abs(ypos - centre) > APERTURE

    trace = profile.copy()
    for shift in (-NOD_SHIFT, NOD_SHIFT):
        trace -= np.where(outside, 0.5 * _spatial_profile(edges, centre + shift, sigma), 0.0)
    if setup.neighbour:
        second = _spatial_profile(edges, centre + 0.95 * NOD_SHIFT + sigma, sigma)
        trace += np.where(outside, setup.neighbour * second, 0.0)
    signal = trace[:, None] * fnu

    covering = np.select([~outside, np.abs(ypos - centre) < 2 * NOD_SHIFT], [3.0, 2.0], 1.0)
    background = grating.noise(wave, setup.exposure_time) ** 2 * float((profile**2).sum())
    photons = 1.0 + np.maximum(signal, 0.0) / (profile.max() * SKY_EQUIVALENT[grating.kind])
    variance = background * photons * (3.0 / covering)[:, None]
    white = rng.standard_normal(signal.shape)
    noise = setup.noise.shaped(white, rng.spawn(1)[0]) * setup.noise.scale_at(wave, grating.wave_range)
    sci = (signal + np.sqrt(variance) * noise) * MEGAJANSKY
    err = np.sqrt(variance) * MEGAJANSKY
    wht = np.repeat(covering[:, None] / 3.0 * setup.exposure_time, wave.size, axis=1)

    empty = _no_data(setup, wave, rows, rng)
    sci[empty] = np.nan
    err[empty] = np.nan
    wht[empty] = 0.0
    return extract(sci, err, wht, profile=profile, centre=centre, detected=setup.detected)


def extract(
    sci: FloatArray, err: FloatArray, wht: FloatArray, *, profile: FloatArray, centre: float, detected: bool
) -> Extraction:
    """Extract 2-D data as the pipeline does.

    Parameters
    ----------
    sci, err, wht
        (rows, pixels), MJy; rounded to float32 first, as they are on disk.
    profile
        Weights of the optimal extraction, sum 1.
    centre
        Of the source, pixels from the lower edge.
    detected
        Whether a profile could be measured; if not, ``fnu`` is the boxcar of three pixels.

    Notes
    -----
    Optimal: flux Σ(p d/v) / Σ(p²/v), error sqrt(Σp / Σ(p²/v)). Boxcar: flux Σ p d, error sqrt(Σ p v).
    Without a valid pixel: NaN and infinity (optimal), 0 and 0 (boxcars).
    """
    sci, err, wht = (np.asarray(plane, dtype=np.float32) for plane in (sci, err, wht))
    valid = wht > 0
    data = np.where(valid, sci, 0.0).astype(float) / MEGAJANSKY
    variance = np.where(valid, err, 1.0).astype(float) ** 2 / MEGAJANSKY**2
    ypos = np.arange(sci.shape[0]) + 0.5

    weights = np.where(valid, profile[:, None] / np.where(valid, variance, 1.0), 0.0)
    norm = (weights * profile[:, None]).sum(axis=0)
    total = (valid * profile[:, None]).sum(axis=0)
    seen = norm > 0
    safe = np.where(seen, norm, 1.0)
    columns = {
        "fnu": np.where(seen, (weights * data).sum(axis=0) / safe, np.nan),
        "fnu_err": np.where(seen, np.sqrt(total / safe), np.inf),
    }
    table = {"ypos": ypos, "opt": profile}
    for size in BOXCARS:
        box = np.clip(0.5 + size / 2.0 - np.abs(ypos - centre), 0.0, 1.0)
        within = valid * box[:, None]
        columns[f"fnu_{size}px"] = (within * data).sum(axis=0)
        columns[f"fnu_{size}px_err"] = np.sqrt((within * variance).sum(axis=0))
        table[f"{size}px"] = box
    option: Literal["optimal", "boxcar-3px"] = "optimal"
    captured = 1.0
    if not detected:
        option = "boxcar-3px"
        captured = float((table["3px"] * profile).sum())
        some = columns["fnu_3px_err"] > 0
        columns["fnu"] = np.where(some, columns["fnu_3px"], np.nan)
        columns["fnu_err"] = np.where(some, columns["fnu_3px_err"], np.inf)
    return Extraction(columns, sci, err, wht, table, option, captured)


def combine_groups(groups: list[Extraction], times: FloatArray) -> Extraction:
    """Combine groups of exposures in 1-D; the 2-D data of the first are kept.

    Parameters
    ----------
    groups
        On one wavelength grid.
    times
        Exposure time of each, seconds: the weights.

    Notes
    -----
    Flux Σ w f, error sqrt(Σ (w e)²) with w = t / Σt over the groups that have data; NaN and NaN where none
    has, and ``n_combined`` counts them.
    """
    columns: dict[str, FloatArray] = {}
    for name in [key for key in groups[0].columns if not key.endswith("_err")]:
        flux = np.array([group.columns[name] for group in groups])
        error = np.array([group.columns[f"{name}_err"] for group in groups])
        good = np.isfinite(flux) & np.isfinite(error) & (error > 0)
        weight = np.where(good, times[:, None], 0.0)
        total = weight.sum(axis=0)
        weight /= np.where(total > 0, total, 1.0)
        columns[name] = np.where(total > 0, (weight * np.where(good, flux, 0.0)).sum(axis=0), np.nan)
        spread = np.sqrt(((weight * np.where(good, error, 0.0)) ** 2).sum(axis=0))
        columns[f"{name}_err"] = np.where(total > 0, spread, np.nan)
        if name == "fnu":
            columns["n_combined"] = good.sum(axis=0)
    first = groups[0]
    return Extraction(columns, first.sci, first.err, first.wht, first.profile, first.option, first.captured)


def product_columns(wave: FloatArray, extraction: Extraction, *, single: bool) -> dict[str, FloatArray]:
    """Return the columns of SPEC1D in their order on disk.

    Parameters
    ----------
    wave
        Micron.
    extraction
        Fluxes in microjansky.
    single
        Whether the optimal flux is stored in single precision, as older reductions do.
    """
    to_flam = FLAM_PER_FNU / wave**2
    columns: dict[str, FloatArray] = {"wave": wave}
    for suffix in ("", *(f"_{size}px" for size in BOXCARS)):
        flux, error = extraction.columns[f"fnu{suffix}"], extraction.columns[f"fnu{suffix}_err"]
        if single and not suffix:
            flux, error = flux.astype(np.float32), error.astype(np.float32)
        columns[f"fnu{suffix}"], columns[f"fnu{suffix}_err"] = flux, error
        columns[f"flam{suffix}"] = flux.astype(float) * to_flam
        columns[f"flam{suffix}_err"] = error.astype(float) * to_flam
    if "n_combined" in extraction.columns:
        columns["n_combined"] = extraction.columns["n_combined"]
    return columns
