"""Statement checked: axes say frame and unit of what is drawn; all is drawn in that frame, legibly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.text import Text

from campfire import Photometry, SpectrumData, calibrate_and_stack, calibrate_to_photometry, stack_spectra
from campfire.errors import ValidationError
from campfire.linelist import EMISSION_LINES, get_emission_lines
from campfire.plotting.diagnostics import draw_calibration, draw_stack, spread_out
from campfire.plotting.static import draw_collection, draw_spectrum, flux_limits, mark_lines

OBSERVED, REST = "Observed wavelength [μm]", "Rest wavelength [μm]"
WAVE = np.linspace(0.6, 5.3, 400)
BANDS = ["f115w", "f150w", "f200w", "f277w", "f356w", "f444w"]
PIVOTS = [1.154, 1.501, 1.989, 2.776, 3.568, 4.402]


def spectrum(z: float = 2.0, name: str = "a") -> SpectrumData:
    flux = 1 + 5 * np.exp(-0.5 * ((WAVE - 0.656461 * (1 + z)) / 0.02) ** 2)
    return SpectrumData(WAVE, flux, np.full(400, 0.05), {"SPECSYS": "BARYCENT"}, "PRISM", name)


def photometry() -> Photometry:
    return Photometry(BANDS, np.linspace(1.2, 2, 6), np.full(6, 0.1), PIVOTS)


def marked(ax: Axes) -> list[float]:
    lines = [line for line in ax.lines if line.get_linestyle() == ":"]
    return sorted(float(np.asarray(line.get_xdata())[0]) for line in lines)


def rest(z: float = 2.0) -> xr.Dataset:
    moved: xr.Dataset = spectrum(z).to_xarray().campfire.to_restframe(z)
    return moved


def test_observed_spectra_say_so() -> None:
    assert spectrum().plot().get_xlabel() == OBSERVED
    assert spectrum().to_xarray().campfire.plot().get_xlabel() == OBSERVED
    assert stack_spectra([spectrum(), spectrum(name="b")]).plot().get_xlabel() == OBSERVED


def test_rest_frame_spectra_say_so_in_every_container(tmp_path: Path) -> None:
    ds = rest()
    spec = ds.campfire.to_spectrum()
    assert spec.header["ZSOURCE"] == 2.0
    spec.write(tmp_path / "a_spec.fits")
    again = [
        spec,
        SpectrumData.from_xarray(spec.to_xarray()),
        SpectrumData.from_table(spec.to_table()),
        SpectrumData.from_specutils(spec.to_specutils()),
        SpectrumData.from_fits(tmp_path / "a_spec.fits"),
        ds.campfire.resample(WAVE[:100] / 3).campfire.to_spectrum(),
        stack_spectra([spec]),
    ]
    assert [s.plot().get_xlabel() for s in again] == [REST] * len(again)
    assert ds.campfire.plot(flux_unit="flam").get_xlabel() == REST
    assert spec.to_xarray().wavelength.attrs == ds.wavelength.attrs
    assert "rest frame" in spec._repr_html_()
    assert "rest frame" not in spectrum()._repr_html_()


def test_moving_twice_is_refused_and_staying_is_not() -> None:
    with pytest.raises(ValidationError, match="is in the rest frame"):
        rest(1.0).campfire.to_restframe(0.5)
    assert rest(1.0).campfire.to_restframe(0).campfire.to_spectrum().header["ZSOURCE"] == 1.0


@pytest.mark.parametrize("redshift", [0.0, 2.0])
def test_lines_are_not_shifted_twice(redshift: float) -> None:
    ax = rest().campfire.plot(redshift=redshift)
    low, high = WAVE[0] / 3, WAVE[-1] / 3
    assert marked(ax) == [line["wave"] for line in EMISSION_LINES if low <= line["wave"] <= high]
    observed = [line["observed_wave"] for line in get_emission_lines(2.0, WAVE[0], WAVE[-1])]
    assert marked(spectrum().plot(redshift=2.0)) == observed


def test_a_stack_in_the_rest_frame_is_drawn_there_with_its_curves() -> None:
    redshifts = [2.0, 2.2, 2.5]
    result = calibrate_and_stack([spectrum(z) for z in redshifts], photometry(), redshift=redshifts)
    panels = result.plot()
    assert [ax.get_xlabel() for ax in panels] == ["", "", REST]
    assert result.spectrum.plot().get_xlabel() == REST
    assert stack_spectra([spectrum()], redshift=2.0).to_xarray().campfire.plot().get_xlabel() == REST
    for panel in panels[1:]:  # inputs and curves alike: from one end of each input to the other
        curves = [np.asarray(line.get_xdata()) for line in panel.lines if len(line.get_xdata()) == 400]  # type: ignore[arg-type]
        assert len(curves) == 3
        for z, drawn in zip(redshifts, curves, strict=True):
            np.testing.assert_allclose(drawn, WAVE / (1 + z))
    assert len({panel.get_xlim() for panel in panels}) == 1


def test_a_stack_as_observed_is_drawn_as_observed() -> None:
    panels = calibrate_and_stack([spectrum(), spectrum(name="b")], photometry()).plot()
    assert panels[-1].get_xlabel() == OBSERVED
    drawn = [np.asarray(line.get_xdata()) for line in panels[2].lines if len(line.get_xdata()) == 400]  # type: ignore[arg-type]
    np.testing.assert_array_equal(drawn, [WAVE, WAVE])


def test_normalised_stacks_have_no_unit() -> None:
    stacked = stack_spectra([spectrum(), spectrum(name="b")], normalize=(3.0, 4.0))
    assert stacked.plot().get_ylabel().endswith("at 3–4 μm")
    assert "μJy" not in stacked.plot().get_ylabel()
    assert "erg" not in stacked.plot(flux_unit="flam").get_ylabel()
    panels = calibrate_and_stack([spectrum(), spectrum(name="b")], normalize=(3.0, 4.0)).plot()
    assert all("μJy" not in ax.get_ylabel() for ax in panels)
    assert "μJy" in stack_spectra([spectrum(), spectrum(name="b")]).plot().get_ylabel()


@pytest.mark.parametrize(
    ("units", "kind", "expected"),
    [
        ("uJy", "fnu", r"$f_\nu$ [μJy]"),
        ("1", "fnu", r"$f_\nu$ [relative]"),
        ("nJy", "fnu", r"$f_\nu$ [nJy]"),
        ("1", "flam", r"$f_\lambda$ [relative]"),
    ],
)
def test_the_unit_of_the_axis_is_that_of_the_spectrum(units: str, kind: str, expected: str) -> None:
    ax = draw_spectrum(WAVE, np.ones(400), flux_unit=kind, fnu_units=units)
    assert ax.get_ylabel() == expected


def test_titles_name_the_grating_once() -> None:
    assert stack_spectra([spectrum(), spectrum(name="b")]).plot().get_title() == "stack:PRISM:2spectra"
    assert stack_spectra([spectrum()], object_id="o").plot().get_title() == "stack:o:PRISM"
    assert spectrum(name="b").plot().get_title() == "b  PRISM"


def test_collections_say_their_frame() -> None:
    grid = np.linspace(0.3, 1.5, 50)
    options: dict[str, Any] = {"compat": "override", "join": "override"}
    made = [rest(z).campfire.resample(grid).assign_coords(redshift=z) for z in (1.0, 2.0)]
    ax = xr.concat(made, "spectrum", coords=["redshift", "spectrum_id"], **options).campfire.plot()
    assert ax.get_xlabel() == REST
    assert draw_collection(WAVE, np.ones((2, 400))).get_xlabel() == OBSERVED


def test_a_collection_of_one_is_seen_and_missing_redshifts_sort_nothing() -> None:
    ax = draw_collection(WAVE, np.linspace(0, 1, 400)[None], order=np.array([np.nan]))
    mesh = next(child for child in ax.get_children() if isinstance(child, QuadMesh))
    corners = np.asarray(mesh.get_coordinates())
    assert np.ptp(corners[..., 1]) == 1
    np.testing.assert_allclose([corners[0, 0, 0], corners[0, -1, 0]], [0.6 - 4.7 / 798, 5.3 + 4.7 / 798])
    assert ax.get_ylabel() == "spectrum"


def _overlapping(texts: list[Text]) -> list[tuple[str, str]]:
    figure = texts[0].get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    return [(a, b) for n, (a, box) in enumerate(boxes) for b, other in boxes[n + 1 :] if box.overlaps(other)]


def _calibration(names: list[str], pivots: np.ndarray, error: float = 0.1) -> tuple[Axes, Axes]:
    one = np.ones(len(names))
    flux = np.ones(400)
    return draw_calibration(
        WAVE,
        flux,
        1.2 * flux,
        0.05 * flux,
        1.2 * flux,
        0.02 * flux,
        mask=None,
        band_names=names,
        band_wavelength=pivots,
        observed=1.2 * one,
        observed_err=error * one,
        synthetic=one,
    )


@pytest.mark.parametrize("n", [1, 6, 30])
def test_names_of_bands_overlap_neither_each_other_nor_the_data(n: int) -> None:
    names = [f"f{k:03d}w" for k in range(n)]
    top, _ = _calibration(names, np.linspace(1.0, 1.3, n) if n > 1 else np.array([5.29]))
    texts = [text for text in top.texts if text.get_text() in names]
    assert len(texts) == n
    assert not _overlapping(texts)
    highest = max(text.get_window_extent().y1 for text in texts)
    assert highest < top.transData.transform((1.0, 0.0))[1]
    inside = top.get_window_extent()
    assert all(inside.x0 <= text.get_window_extent().x0 <= inside.x1 for text in texts)


def test_names_of_lines_overlap_neither_each_other_nor_the_data() -> None:
    ax = spectrum().plot(redshift=2.0)
    assert not _overlapping(list(ax.texts))
    lowest = min(text.get_window_extent().y0 for text in ax.texts)
    assert lowest > ax.transData.transform((1.0, float(spectrum().fnu.max())))[1]


def test_a_band_far_off_the_curve_does_not_set_the_limits_but_is_pointed_at() -> None:
    flux = np.ones(400)
    _, bottom = draw_calibration(
        WAVE,
        flux,
        flux,
        0.05 * flux,
        flux,
        0.02 * flux,
        mask=None,
        band_names=["a", "b"],
        band_wavelength=np.array([2.0, 3.0]),
        observed=np.array([1.0, 1.0]),
        observed_err=np.array([0.1, 0.1]),
        synthetic=np.array([1.0, 0.001]),
    )
    assert bottom.get_ylim()[1] < 2
    arrows = [line for line in bottom.lines if line.get_marker() == "^"]
    assert [np.asarray(line.get_xdata()).tolist() for line in arrows] == [[3.0]]


def test_spreading_keeps_order_distance_and_range() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 10, 40):
        places = np.sort(rng.normal(2.0, 0.3, n).clip(0, 4))
        moved = spread_out(places, 0.08, 0.0, 4.0)
        assert (np.diff(moved) >= 0.08 - 1e-9).all()
        assert moved.min() >= 0.04 - 1e-9
        assert moved.max() <= 3.96 + 1e-9
    crowded = spread_out(np.ones(10), 1.0, 0.0, 4.0)
    assert (np.diff(crowded) > 0).all()
    np.testing.assert_array_equal(spread_out(np.array([1.0, 2.0]), 0.1, 0.0, 4.0), [1.0, 2.0])


def test_counts_have_a_strip_above_all_inputs() -> None:
    inputs: list[tuple[Any, Any, Any]] = [(WAVE, spectrum().fnu, np.zeros(400, bool))] * 3
    panels = draw_stack(
        WAVE, spectrum().fnu, spectrum().fnu_err, mask=None, n_used=np.full(400, 3.0), inputs=inputs
    )
    figure = panels[1].figure
    figure.canvas.draw()
    count = next(ax for ax in figure.axes if ax.get_ylabel() == "n used")
    foot = count.transData.transform((1.0, 0.0))[1]
    assert panels[1].transData.transform((1.0, float(spectrum().fnu.max())))[1] < foot
    assert [label.get_text() for label in count.get_yticklabels()] == ["0", "3"]
    low, high = panels[1].get_ylim()
    ticks = [tick for tick in panels[1].get_yticks() if low <= tick <= high]
    assert len(ticks) > 1
    assert panels[1].transData.transform((1.0, max(ticks)))[1] <= foot + 1
    assert "3 inputs" in {text.get_text() for text in panels[1].texts}
    assert panels[1].get_ylabel() == panels[0].get_ylabel()


def test_wild_pixels_at_the_edges_and_single_spikes_do_not_set_the_limits() -> None:
    flux, error = np.ones(400), np.full(400, 0.05)
    flux[:4], flux[-4:], flux[200], flux[300] = 500.0, -500.0, 300.0, -300.0
    limits = flux_limits(flux, error)
    assert limits is not None
    assert -0.5 < limits[0] < 0 < 1 < limits[1] < 2


@pytest.mark.parametrize("flux", [np.full(400, -2.0), np.full(400, 3.0)])
def test_zero_is_always_in(flux: np.ndarray) -> None:
    limits = flux_limits(flux, np.full(400, 0.1))
    assert limits is not None
    assert limits[0] < min(flux[0], 0)
    assert limits[1] > max(flux[0], 0)


def test_masked_edges_are_not_shown() -> None:
    mask = (WAVE < 1) | (WAVE > 4)
    spec = SpectrumData(WAVE, np.ones(400), np.full(400, 0.1), {}, "PRISM", "a", mask=mask)
    kept = WAVE[~mask]
    assert spec.plot().get_xlim() == (kept[0], kept[-1])
    panels = calibrate_to_photometry(spec, photometry()).plot()
    assert {ax.get_xlim() for ax in panels} == {(kept[0], kept[-1])}


def test_marks_on_axes_without_any_line_change_nothing() -> None:
    ax = draw_spectrum(WAVE, np.ones(400))
    before = ax.get_ylim()
    mark_lines(ax, 1000.0, 0.6, 5.3)
    assert ax.get_ylim() == before
