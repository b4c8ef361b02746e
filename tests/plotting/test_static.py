"""Static plots: what is drawn is what was passed, masked pixels leave gaps, labels carry units."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from campfire.errors import ValidationError
from campfire.linelist import get_emission_lines
from campfire.plotting.diagnostics import draw_calibration, draw_stack
from campfire.plotting.static import draw_collection, draw_spectrum, flux_limits

WAVE = np.linspace(1.0, 5.0, 200)
FLUX = 1.0 + 0.1 * WAVE
ERR = np.full(200, 0.05)


def test_masked_and_missing_pixels_are_gaps() -> None:
    flux = FLUX.copy()
    flux[10] = np.nan
    mask = np.zeros(200, bool)
    mask[20:25] = True
    ax = draw_spectrum(WAVE, flux, ERR, mask=mask)
    drawn = np.asarray(ax.lines[0].get_ydata(), dtype=float)
    bad = mask | np.isnan(flux)
    assert np.array_equal(np.isnan(drawn), bad)
    np.testing.assert_array_equal(drawn[~bad], flux[~bad])


@pytest.mark.parametrize(("unit", "text"), [("fnu", "μJy"), ("flam", "erg"), ("flambda", "erg")])
def test_axes_say_what_they_show(unit: str, text: str) -> None:
    ax = draw_spectrum(WAVE, FLUX, ERR, flux_unit=unit, title="name  PRISM")
    assert "μm" in ax.get_xlabel()
    assert text in ax.get_ylabel()
    assert ax.get_title() == "name  PRISM"


def test_lines_are_marked_where_they_are_observed() -> None:
    ax = draw_spectrum(WAVE, FLUX, ERR, redshift=3.0)
    expected = {line["observed_wave"] for line in get_emission_lines(3.0, 1.0, 5.0)}
    marked = {float(np.asarray(line.get_xdata())[0]) for line in ax.lines if line.get_linestyle() == ":"}
    assert marked == expected
    names = {text.get_text() for text in ax.texts}
    assert {"Hα", "[OIII]₂"} <= names


@pytest.mark.parametrize("flux", [np.full(5, np.nan), np.zeros(5), np.array([]), np.ones(1)])
def test_nothing_to_draw_is_no_error(flux: np.ndarray) -> None:
    wave = np.arange(1.0, 1.0 + len(flux))
    ax = draw_spectrum(wave, flux, np.ones(len(flux)), redshift=1.0)
    assert ax is not None


def test_a_strong_line_fits_into_the_limits_and_one_bad_pixel_does_not_set_them() -> None:
    line = FLUX + 20 * np.exp(-0.5 * ((WAVE - 3) / 0.02) ** 2)
    low, high = flux_limits(line, ERR) or (0, 0)
    assert high > line.max()
    noisy = FLUX.copy()
    noisy[50] = 1e4
    error = ERR.copy()
    error[50] = 1e4
    limits = flux_limits(noisy, error)
    assert limits is not None
    assert limits[1] < 10
    assert low < 0.0 < high


def test_unknown_unit_and_wrong_number_of_axes_are_refused() -> None:
    with pytest.raises(ValidationError, match="fnu"):
        draw_spectrum(WAVE, FLUX, flux_unit="jansky")
    ax = draw_spectrum(WAVE, FLUX)
    with pytest.raises(ValidationError, match="2 panels"):
        _calibration(axes=[ax])


def _calibration(axes: list[object] | None = None) -> tuple[object, object]:
    return draw_calibration(
        WAVE,
        FLUX,
        1.2 * FLUX,
        ERR,
        np.full(200, 1.2),
        np.full(200, 0.02),
        mask=None,
        band_names=["f150w", "f277w"],
        band_wavelength=np.array([1.5, 2.77]),
        observed=np.array([1.4, 1.5]),
        observed_err=np.array([0.1, 0.1]),
        synthetic=np.array([1.15, 0.0]),
        title="calibrated",
        axes=axes,  # type: ignore[arg-type]
    )


def test_calibration_has_two_panels_sharing_the_wavelength() -> None:
    top, bottom = draw_calibration(
        WAVE,
        FLUX,
        1.2 * FLUX,
        ERR,
        np.full(200, 1.2),
        np.full(200, 0.02),
        mask=None,
        band_names=["f150w"],
        band_wavelength=np.array([1.5]),
        observed=np.array([1.4]),
        observed_err=np.array([0.1]),
        synthetic=np.array([1.15]),
    )
    assert top.get_shared_x_axes().joined(top, bottom)
    assert bottom.get_ylabel() == "Multiplier"
    assert "f150w" in {text.get_text() for text in top.texts}
    low, high = top.get_ylim()
    assert low < 1.4 < high


@pytest.mark.parametrize("curves", [(), [(WAVE, np.ones(200), np.full(200, 0.1))] * 2])
def test_a_stack_has_three_panels_or_two_without_calibrations(curves: list[object]) -> None:
    inputs = [(WAVE, FLUX, np.zeros(200, bool))] * 2
    axes = draw_stack(WAVE, FLUX, ERR, mask=None, n_used=np.full(200, 2), inputs=inputs, curves=curves)  # type: ignore[arg-type]
    assert len(axes) == (3 if curves else 2)
    axes[0].figure.canvas.draw()


def test_collection_rows_are_sorted_by_the_value_given() -> None:
    flux = np.array([[3.0] * 200, [1.0] * 200, [2.0] * 200]) * np.linspace(0.5, 1, 200)
    ax = draw_collection(WAVE, flux, order=np.array([5.0, 1.0, np.nan]))
    mesh = next(child for child in ax.get_children() if isinstance(child, QuadMesh))
    assert np.asarray(mesh.get_array()).shape == (3, 200)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1.00", "5.00", "–"]
