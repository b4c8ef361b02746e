"""Statement checked: noise of the simulation has the size, correlation and faults that its record says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from campfire import SpectrumData, measure_noise, with_noise
from campfire.archive.simulate.archive import make_archive
from campfire.archive.simulate.instrument import GRATINGS, pixel_edges
from campfire.archive.simulate.noise import DJA, PIPELINE, WHITE, NoiseModel
from campfire.archive.simulate.observe import Setup, observe
from campfire.archive.simulate.truth import Truth
from campfire.errors import ValidationError
from campfire.formats.spec_reader import read_spectrum
from campfire.typing import FloatArray

EDGES = pixel_edges(GRATINGS["G395M"], 0.0)
WAVE = 0.5 * (EDGES[1:] + EDGES[:-1])
LEVEL = 0.05 * (1.0 + 0.2 * np.sin(WAVE))


def spectra(noise: NoiseModel, count: int) -> list[SpectrumData]:
    """Return extractions of a faint source."""
    made = []
    for seed in range(count):
        columns = observe(
            LEVEL, WAVE, Setup("G395M", 8000.0, 0.1, noise=noise), np.random.default_rng(seed)
        ).columns
        made.append(SpectrumData(WAVE, columns["fnu"], columns["fnu_err"], {}, "G395M", str(seed)))
    return made


def pulls(many: list[SpectrumData]) -> FloatArray:
    return np.stack([np.where(s.mask, np.nan, (s.fnu - LEVEL) / s.fnu_err) for s in many])


@pytest.mark.parametrize("noise", [WHITE, DJA, PIPELINE])
def test_noise_has_scale_and_correlation_as_recorded(noise: NoiseModel) -> None:
    unit = pulls(spectra(noise, 40)) / noise.scale_at(WAVE, GRATINGS["G395M"].wave_range)
    thirds = np.array_split(unit, 3, axis=1)
    assert [np.nanstd(part) for part in thirds] == pytest.approx([1.0] * 3, abs=0.02)
    expected = [*noise.correlation, 0.0, 0.0][:2]
    found = [np.nanmean(unit[:, k:] * unit[:, :-k]) for k in (1, 2)]
    assert found == pytest.approx(expected, abs=0.02)


def test_errors_of_pixels_and_of_sums_are_right_after_measure_noise() -> None:
    """Of spectra whose noise nobody knows; sums of 8 pixels have 2.3 times their errors before."""
    before, pixels, sums = [], [], []
    many = spectra(PIPELINE, 16)
    for spec, pull in zip(many, pulls(many), strict=True):
        better = with_noise(spec, measure_noise(spec))
        pixels.append(pull * spec.fnu_err / better.fnu_err)
        assert better.covariance is not None
        matrix = better.covariance.tocsr()
        for first in range(0, len(WAVE) - 8, 8):
            at = slice(first, first + 8)
            if spec.mask[at].any():
                continue
            off = (spec.fnu - LEVEL)[at].sum()
            before.append(off / np.sqrt(np.square(spec.fnu_err[at]).sum()))
            sums.append(off / np.sqrt(matrix[at, at].sum()))
    assert np.std(before) == pytest.approx(2.3, abs=0.15)
    assert np.nanstd(pixels) == pytest.approx(1.0, abs=0.05)
    assert np.std(sums) == pytest.approx(1.0, abs=0.05)


def test_outliers_are_as_many_as_recorded() -> None:
    quiet = pulls(spectra(WHITE, 10))
    loud = pulls(spectra(NoiseModel(outliers=0.01), 10))
    changed = np.mean(np.abs(loud - quiet) > 1e-9)
    assert 0.02 < changed < 0.12  # one of the pixels of the aperture, each 1 %
    assert np.nanmax(np.abs(loud)) > 6.0


def test_seam_and_zero_point_are_in_files_and_truth(archive: Path, truth: Truth, tmp_path: Path) -> None:
    """Beside the same object without them."""
    assert Truth.read(archive).noise == truth.noise == DJA  # is the default
    noise = NoiseModel(seam=0.04, zero_point=(("PRISM", 0.25),), correlation=(0.1,))
    faulty = make_archive(tmp_path, objects=1, seed=truth.seed, noise=noise)
    assert Truth.read(tmp_path).noise == noise == faulty.noise
    for name, model in faulty.models.items():
        files = [next(folder.rglob(f"{name}_spec.fits")) for folder in (archive, tmp_path)]
        waves = [np.asarray(read_spectrum(path)["wavelength"]) for path in files]
        grating = GRATINGS[faulty.spectrum(name).grating]
        shift = (waves[1] - waves[0]) / np.gradient(waves[0])
        np.testing.assert_allclose(shift, 0.25 if grating.name == "PRISM" else 0.0, atol=0.01)
        middle = np.mean(grating.gap or grating.wave_range)
        if not faulty.spectrum(name).contaminated:
            step = np.where(waves[0] > middle, 1.04, 1.0)
            np.testing.assert_allclose(model, truth.models[name] * step, rtol=1e-6)


def test_impossible_correlations_are_refused() -> None:
    with pytest.raises(ValidationError, match="no noise has the correlation"):
        NoiseModel(correlation=(0.7,))
