"""Statements checked on files of other groups: settings of one source agree after resampling and in bands.

The planetary nebula IRAS 05248-7007 was observed through one slit with several dispersers; the README of the
sample says by how much they agree (G395H / G395M 1.002, PRISM / G395M 1.056).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from campfire.analysis.photometry import band_photometry
from campfire.analysis.resampling import resample_spectrum
from campfire.analysis.stacking import stack_spectra
from campfire.models import SpectrumData


def read(folder: Path, setting: str) -> SpectrumData:
    return SpectrumData.from_fits(folder / f"calib_{setting}_iras-05248-7007_s200a1.v1.spec.fits.gz")


def test_gratings_agree_on_one_grid(real_spectra: Path) -> None:
    medium, high = read(real_spectra, "g395m-f290lp"), read(real_spectra, "g395h-f290lp")
    resampled = resample_spectrum(high, medium.wavelength)
    both = ~medium.mask & ~resampled.mask & (medium.wavelength > 3.0) & (medium.wavelength < 5.0)
    assert np.median(resampled.fnu[both] / medium.fnu[both]) == pytest.approx(1.002, abs=0.01)
    gap = resampled.mask & (medium.wavelength > 3.0) & (medium.wavelength < 5.0)
    assert gap.any()  # the gap between the detectors stays a gap


def test_prism_and_grating_agree_in_bands(real_spectra: Path) -> None:
    prism, medium = read(real_spectra, "prism-clear"), read(real_spectra, "g395m-f290lp")
    bands = ["f335m", "f356w", "f410m"]
    ratio = band_photometry(prism, bands)["flux"] / band_photometry(medium, bands)["flux"]
    assert np.all(np.abs(ratio.values - 1.056) < 0.04)


def test_matched_stack_of_mixed_gratings(real_spectra: Path) -> None:
    """Smoothed to the prism's resolution, the lines of the grating are as wide as those of the prism."""
    prism, medium = read(real_spectra, "prism-clear"), read(real_spectra, "g395m-f290lp")
    inside = (prism.wavelength > 3.0) & (prism.wavelength < 5.0)
    grid = prism.wavelength[inside]
    matched = stack_spectra(
        [medium, SpectrumData(prism.wavelength, prism.fnu, prism.fnu_err * 1e6, {}, "PRISM", "p")],
        wavelength_grid=grid,
        match_resolution=True,
    )
    sharp = stack_spectra([medium], wavelength_grid=grid)
    reference = prism.fnu[inside]
    smooth_difference = np.nanstd(matched.fnu / reference)
    assert smooth_difference < 0.5 * np.nanstd(sharp.fnu / reference)
