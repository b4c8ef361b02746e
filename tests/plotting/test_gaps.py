"""Statement: no line is drawn across pixels that are missing, and all others are drawn where they are."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from campfire.plotting.static import apart, draw_spectrum


@pytest.mark.parametrize("first", [1, 20, 38])
@pytest.mark.parametrize("count", [3, 10])
def test_a_gap_is_a_gap(first: int, count: int) -> None:
    wave = np.linspace(1.0, 2.0, 60)
    keep = np.ones(60, dtype=bool)
    keep[5 + first : 5 + first + count] = False
    flux = 1.0 + wave
    ax = draw_spectrum(wave[keep], flux[keep], np.full(keep.sum(), 0.1))
    (line,) = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]  # type: ignore[arg-type]
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    np.testing.assert_array_equal(x[np.isfinite(y)], wave[keep])
    np.testing.assert_array_equal(y[np.isfinite(y)], flux[keep])
    hole = np.flatnonzero(np.isnan(y))
    assert len(hole) == 2
    step = wave[1] - wave[0]
    ends = (x[hole[0]] + x[hole[0] - 1]) / 2, (x[hole[1]] + x[hole[1] + 1]) / 2
    wanted = wave[4 + first] + step / 2, wave[5 + first + count] - step / 2
    np.testing.assert_allclose(ends, wanted, atol=0.02 * step)
    plt.close("all")


@pytest.mark.parametrize("wave", [[], [1.0], [2.0, 1.0, 3.0], [1.0, np.nan, 2.0], [1.0, 2.0, 3.0]], ids=str)
def test_other_wavelengths_are_as_they_are(wave: list[float]) -> None:
    given = np.array(wave)
    x, y = apart(given, given)
    np.testing.assert_array_equal(x, given)
    np.testing.assert_array_equal(y, given)
