"""Lines measured by profiles and by windows: scatter against the Cramer-Rao bound, bias, limits, and speed.

Run with ``python benchmarks/lines.py``; it prints one line a case. Numbers are those of docs/numerics.md.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from campfire import EMISSION_LINES, SpectrumData, measure_lines
from campfire.kernels.grids import pixel_edges
from campfire.kernels.lsf import FWHM_PER_SIGMA, resolving_power, with_pixels
from campfire.units import SPEED_OF_LIGHT, flam_to_fnu

REST = {line["name"]: line["wave"] for line in EMISSION_LINES}
NOISE, WIDTH = 2e-21, 300.0
BEFORE = 1 / 0.6**2, 1 / 3.0**2
"""Inverse variances of the priors of s and t."""
BLEND = {"[NII]₁": 1 / 3.05, "Hα": 3.0, "[NII]": 1.0}
Array = NDArray[Any]


def prism_pixels() -> Array:
    """Return pixels as the prism has them, 2.2 a resolution element."""
    wave = [0.6]
    while wave[-1] < 5.3:
        wave.append(wave[-1] * (1 + 1 / 2.2 / resolving_power("PRISM", np.array(wave[-1:]))[0]))
    return np.array(wave)


PIXELS = {
    "PRISM": prism_pixels(),
    "G395M": np.arange(2.87, 5.2, 0.00179),
    "G395H": np.arange(2.87, 5.2, 0.000665),
}


def profile(grating: str, centre: float, s: float = 1.0, t: float = 1.0) -> tuple[Array, float]:
    """Return a line of unit flux averaged over the pixels, per angstrom, and its FWHM with them.

    s and t are factors of the squares of the widths of the instrument and of the line.
    """
    wave = PIXELS[grating]
    edges = pixel_edges(wave)
    own = np.sqrt(t) * centre * WIDTH * 1e3 / SPEED_OF_LIGHT
    fwhm = np.hypot(np.sqrt(s) * centre / resolving_power(grating, np.array(centre)), own)
    line = np.diff(ndtr((edges - centre) / (fwhm / FWHM_PER_SIGMA))) / (np.diff(edges) * 1e4)
    return line, float(with_pixels(fwhm, np.interp(centre, wave, np.diff(edges))))


def bounds(grating: str, lines: dict[str, float], z: float) -> dict[str, float]:
    """Return the Cramer-Rao bound of each flux: all fluxes and a straight continuum within 6 FWHM unknown."""
    wave = PIXELS[grating]
    result = {}
    for name in lines:
        at = REST[name] * (1 + z)
        _, fwhm = profile(grating, at)
        near = np.abs(wave - at) < 6 * fwhm
        unknown = [profile(grating, REST[other] * (1 + z))[0] for other in [name, *(set(lines) - {name})]]
        design = np.stack([*unknown, np.ones(wave.size), wave - at])[:, near]
        scale = np.linalg.norm(design, axis=1)
        inverse = np.linalg.inv(design / scale[:, None] @ (design / scale[:, None]).T)
        result[name] = float(np.sqrt(inverse[0, 0]) / scale[0] * NOISE)
    return result


def tied_bound(grating: str, name: str, flux: float, z: float) -> float:
    """Return the bound of one flux where s and t are unknown, too, but for what is known before of them."""
    wave, at, step = PIXELS[grating], REST[name] * (1 + z), 1e-3
    line, fwhm = profile(grating, at)
    by_s = (profile(grating, at, s=1 + step)[0] - line) / step
    by_t = (profile(grating, at, t=1 + step)[0] - line) / step
    near = np.abs(wave - at) < 6 * fwhm
    design = np.stack([flux * line, flux * by_s, flux * by_t, np.full(wave.size, NOISE), NOISE * (wave - at)])
    normal = design[:, near] @ design[:, near].T / NOISE**2 + np.diag([0.0, *BEFORE, 0.0, 0.0])
    return float(flux * np.sqrt(np.linalg.inv(normal)[0, 0]))


def spectra(grating: str, lines: dict[str, float], z: float, n: int, seed: int = 0) -> list[SpectrumData]:
    """Return n noisy spectra of lines (name -> flux) at a redshift, on a sloping continuum."""
    wave = PIXELS[grating]
    flam = 1e-20 * (1 + 0.1 * (wave - wave.mean()))
    for name, flux in lines.items():
        flam = flam + flux * profile(grating, REST[name] * (1 + z))[0]
    noisy = flam + np.random.default_rng(seed).normal(0, NOISE, (n, wave.size))
    error = flam_to_fnu(np.full(wave.size, NOISE), wave)
    return [
        SpectrumData(wave, flam_to_fnu(row, wave), error, {}, grating, str(k), redshift=z)
        for k, row in enumerate(noisy)
    ]


def main() -> None:
    n = 2000
    print(
        f"{'case':<34} {'S/N':>4} {'scatter/bound':>13} {'window/bound':>12} {'tied/bound':>10} "
        f"{'tied/its own':>12} {'bias %':>7} {'tied':>6}"
    )
    for grating, z in (("PRISM", 6.0), ("G395M", 6.0), ("G395H", 6.0)):
        for snr in (3, 10, 50):
            least = bounds(grating, {"Hβ": 1.0}, z)["Hβ"]
            flux = snr * least
            many = spectra(grating, {"Hβ": flux}, z, n)
            known = measure_lines(many, ["Hβ"], width=WIDTH)
            tied = measure_lines(many, ["Hβ"])
            own = tied_bound(grating, "Hβ", flux, z)
            report(f"{grating} Hβ alone", snr, known, tied, "Hβ", flux, least, own)
    for grating in ("G395M", "G395H"):
        for snr in (10, 50):
            least = bounds(grating, BLEND, 5.0)
            unit = snr * least["[NII]"]
            lines = {name: part * unit for name, part in BLEND.items()}
            many = spectra(grating, lines, 5.0, n)
            known = measure_lines(many, list(lines), width=WIDTH)
            tied = measure_lines(many, list(lines))
            for name in ("Hα", "[NII]"):
                report(f"{grating} {name} in Hα + [NII]", snr, known, tied, name, lines[name], least[name])
    print("3-sigma limits: part of true fluxes below them, %")
    for grating in ("PRISM", "G395M"):
        least = bounds(grating, {"Hβ": 1.0}, 6.0)["Hβ"]
        covered = []
        for snr in (0, 1, 2, 3, 5):
            found = measure_lines(spectra(grating, {"Hβ": snr * least}, 6.0, n, snr), ["Hβ"])
            covered.append(f"{snr}: {100 * float((found.upper_limit >= snr * least).mean()):.2f}")
        print(f"{grating:<34} S/N " + "  ".join(covered))
    lines = {"Hβ": 2e-18, "[OIII]₁": 2e-18, "[OIII]₂": 6e-18, "[OII]": 3e-18, "Hα": 6e-18}
    many = spectra("PRISM", lines, 6.0, 10_000)
    for options in ({"method": "window"}, {"width": WIDTH}, {}):
        start = time.perf_counter()
        measure_lines(many, list(REST)[:20], **options)
        took = time.perf_counter() - start
        print(f"10,000 PRISM spectra x 20 lines, {options}: {took:.1f} s")


def report(
    name: str,
    snr: float,
    known: Any,
    tied: Any,
    line: str,
    flux: float,
    least: float,
    own: float = float("nan"),
) -> None:
    """Print one case."""
    scatter, other = (float(found.flux.sel(line=line).std()) / least for found in (known, tied))
    window = float(known.window_flux.sel(line=line).std()) / least
    bias, leaning = (100 * (float(found.flux.sel(line=line).mean()) / flux - 1) for found in (known, tied))
    ratio = other * least / own
    print(
        f"{name:<34} {snr:>4} {scatter:>13.3f} {window:>12.2f} {other:>10.2f} "
        f"{ratio:>12.2f} {bias:>7.2f} {leaning:>6.2f}"
    )


if __name__ == "__main__":
    main()
