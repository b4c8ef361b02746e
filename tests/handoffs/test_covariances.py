"""Statement: the covariance handed over is that of the pixels, whatever was done to the spectrum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from campfire import Photometry, SpectrumData, calibrate_to_photometry, resample_spectrum, stack_spectra
from campfire.handoffs import to_bagpipes, to_ppxf
from campfire.units import fnu_to_flam

SIZE = 90
WAVE = 3.0 + 0.1 * np.linspace(0, 1, SIZE) ** 1.3
PHOT = Photometry(["f335m"], [5.0], [0.2], [3.36])


def _spectrum(noise: float = 0.0, seed: int = 0) -> SpectrumData:
    error = np.linspace(0.1, 0.3, SIZE)
    flux = 5 + noise * error * np.random.default_rng(seed).standard_normal(SIZE)
    mask = np.isin(np.arange(SIZE), [20, 21, 22, 50])
    return SpectrumData(WAVE, flux, error, {}, "G395M", "a", mask=mask, redshift=4.0)


def _wide() -> SpectrumData:
    wave = np.linspace(3.0, 3.8, 200)
    return SpectrumData(wave, np.full(200, 5.0), np.full(200, 0.2), {}, "G395M", "a", redshift=4.0)


def test_noise_of_rebinned_pixels_has_their_covariance() -> None:
    first = to_ppxf(_spectrum())
    used = np.flatnonzero(first["mask"])
    draws = []
    for seed in range(200):
        inputs = to_ppxf(_spectrum(1.0, seed))
        draws.append(inputs["galaxy"] * inputs.beside["flux_scale"] / first.beside["flux_scale"])
    noise = (np.array(draws) - np.mean(draws, axis=0))[:, used]
    lower = np.linalg.cholesky(first["noise"][np.ix_(used, used)])
    white = np.linalg.solve(lower, noise.T)
    n = noise.size
    assert abs(white.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs((white[1:] * white[:-1]).mean()) < 5 / np.sqrt(n)
    alone = noise / np.sqrt(np.diag(first["noise"]))[used]  # as if pixels were independent
    assert (alone[:, 1:] * alone[:, :-1]).mean() > 0.1


def test_without_the_covariance_the_errors_are_its_diagonal() -> None:
    full, alone = to_ppxf(_spectrum()), to_ppxf(_spectrum(), covariance=False)
    assert np.allclose(np.sqrt(np.diag(full["noise"])), alone["noise"])
    off = full["noise"] - np.diag(np.diag(full["noise"]))
    assert not off[~full["mask"]].any()
    assert not full["mask"].all()


MADE: dict[str, Callable[[], SpectrumData]] = {
    "resampled": lambda: resample_spectrum(_wide(), np.linspace(3.05, 3.75, 150), covariance=True),
    "calibrated": lambda: calibrate_to_photometry(_wide(), PHOT).spectrum,
    "stacked": lambda: stack_spectra([_wide(), _wide()], redshift=[4.0, 4.0]),
}


@pytest.mark.filterwarnings("ignore::campfire.errors.CampfireWarning")
@pytest.mark.parametrize("made", MADE)
def test_covariances_of_results_are_handed_over(made: str) -> None:
    spectrum = MADE[made]()
    noise = to_ppxf(spectrum)["noise"]
    assert np.linalg.eigvalsh(noise).min() > 0
    assert spectrum.covariance is not None
    own = np.asarray(spectrum.covariance.toarray())
    if made == "stacked":  # in the rest frame, which bagpipes does not take
        return
    (table, matrix) = to_bagpipes(spectrum, redshift=4.0, covariance=True)["load_data"]("a")
    kept = np.flatnonzero(~spectrum.mask)
    kept = np.arange(kept[0], kept[-1] + 1)
    factor = fnu_to_flam(np.ones(kept.size), spectrum.wavelength[kept])
    good = ~spectrum.mask[kept]
    inner = np.ix_(good, good)
    expected = (own[np.ix_(kept, kept)] * np.outer(factor, factor))[inner]
    assert table.shape == (kept.size, 2)
    assert np.allclose(matrix[inner], expected, rtol=1e-9, atol=0)
    assert np.all(np.isfinite(matrix))


def test_what_has_no_inverse_or_no_covariance_is_said() -> None:
    from campfire.errors import ValidationError

    with pytest.raises(ValidationError, match="finer than the widest pixel"):
        to_ppxf(_spectrum(), velscale=50.0)
    assert to_ppxf(_spectrum(), velscale=50.0, covariance=False)["velscale"] == 50.0
    with pytest.raises(ValidationError, match="has no covariance"):
        to_bagpipes(_spectrum(), covariance=True)
    with pytest.raises(ValidationError, match="write_filters"):
        to_bagpipes(_spectrum(), PHOT)  # without files of its curves
    for wrong in ({"velscale": -1.0}, {"velscale": np.nan}, {"medium": "water"}):
        with pytest.raises(ValidationError):
            to_ppxf(_spectrum(), **wrong)
