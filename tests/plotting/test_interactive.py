"""Interactive plots: figures, traces and layout as documented; incomplete data are refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from campfire.errors import ValidationError
from campfire.plotting.interactive import plot_redshift_fit, plot_spectrum, plot_spectrum_simple
from campfire.units import fnu_to_flam

WAVE = np.linspace(1.0, 5.0, 50)


def _data(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "wave": WAVE.tolist(),
        "fnu": [None, *(0.1 * WAVE[1:]).tolist()],
        "fnu_err": [None, *np.full(49, 0.01).tolist()],
        "snr_2d": np.ones((3, 50)).tolist(),
        "n_spatial": 3,
        "n_wave": 50,
        "profile": [0.1, 1.0, 0.1],
        "profile_fit": [0.0, 1.0, 0.0],
        "profile_pix": [-1.0, 0.0, 1.0],
    }
    return data | changes


FIT = {
    "redshift": 2.5,
    "chi2_min": 10.0,
    "confidence": 99.5,
    "z_grid": [0.0, 2.5, 2.5, 5.0],
    "chi2_grid": [90.0, 10.0, 10.0, 80.0],
    "model_wave": WAVE.tolist(),
    "model_fnu": (0.1 * WAVE).tolist(),
}


def test_spectrum_has_heat_map_profile_weights_error_and_line() -> None:
    figure = plot_spectrum(_data())
    assert [trace.name for trace in figure.data] == ["S/N", "Profile", "Weight", "1σ error", "Spectrum"]
    assert figure.data[0].zmin == -5
    assert figure.layout.width == 1000
    line = figure.data[-1]
    assert np.isnan(line.y[0])
    np.testing.assert_allclose(line.y[1:], 0.1 * WAVE[1:])


def test_flambda_is_converted_with_the_exact_factor() -> None:
    line = plot_spectrum_simple(_data(), flux_unit="flambda").data[-1]
    np.testing.assert_allclose(line.y[1:], fnu_to_flam(0.1 * WAVE[1:], WAVE[1:]))


def test_emission_lines_are_dashed_and_named() -> None:
    figure = plot_spectrum_simple(_data(), redshift=2.5, show_emission_lines=True)
    lines = [trace for trace in figure.data if trace.line.dash == "dash"]
    halpha = next(trace for trace in lines if trace.name == "Hα")
    assert halpha.x[0] == pytest.approx(0.656461 * 3.5)
    assert {tuple(trace.y) for trace in lines} == {figure.layout.yaxis.range}  # over the whole height


def test_all_null_spectra_are_drawn_empty() -> None:
    data = _data(fnu=[None] * 50, fnu_err=[None] * 50)
    figure = plot_spectrum(data, redshift=2.5, show_emission_lines=True)
    assert len(figure.data) == 5


def test_redshift_fit_has_log_chi_square_and_a_title() -> None:
    figure = plot_redshift_fit(FIT, spectrum_data=_data())
    names = [trace.name for trace in figure.data]
    assert {"Observed", "Model", "χ²", "z = 2.5000"} <= set(names)
    assert figure.layout.yaxis2.type == "log"
    assert figure.layout.title.text == "z = 2.5000 | χ² = 10.0 | 99.5% confidence"


def test_figures_can_be_written_as_json() -> None:
    for figure in (plot_spectrum(_data()), plot_redshift_fit(FIT, _data()), plot_spectrum_simple(_data())):
        assert json.loads(figure.to_json())["data"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"fnu": [1.0]}, "fnu"), ({"snr_2d": [[1.0]]}, "snr_2d"), ({"profile": [1.0]}, "profile")],
)
def test_lists_of_other_lengths_are_refused_by_name(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        plot_spectrum(_data(**changes))


def test_missing_data_unit_map_and_colour_are_refused() -> None:
    with pytest.raises(ValidationError, match="fnu_err"):
        plot_spectrum_simple({"wave": [1.0], "fnu": [1.0]})
    with pytest.raises(ValidationError, match="viridis"):
        plot_spectrum(_data(), colormap="jet")
    with pytest.raises(ValidationError, match="flux_unit"):
        plot_spectrum(_data(), flux_unit="mag")
    with pytest.raises(ValidationError, match="rrggbb"):
        plot_spectrum_simple(_data(), accent_color="pink")


def test_the_image_stands_above_the_spectrum_and_is_zoomed_with_it() -> None:
    layout = plot_spectrum(_data()).layout
    assert layout.xaxis.domain == layout.xaxis3.domain
    assert layout.xaxis.matches == "x3"
    assert layout.yaxis3.domain[1] < layout.yaxis.domain[0]


def test_names_of_lines_are_there_and_never_stand_on_each_other() -> None:
    wave = np.linspace(0.6, 5.3, 400)
    data = {"wave": wave, "fnu": np.ones(400), "fnu_err": np.full(400, 0.1)}
    for z in (0.5, 3.0, 6.288):
        figure = plot_spectrum_simple(data, redshift=z, show_emission_lines=True)
        drawn = {trace.name: trace.x[0] for trace in figure.data if trace.line.dash == "dash"}
        names = {note.text: note.x for note in figure.layout.annotations}
        assert set(names) == set(drawn)
        places = sorted(names.values())
        assert np.all(np.diff(places) > 0.0199 * 4.7)
        assert [name for name, _ in sorted(names.items(), key=lambda item: item[1])] == list(drawn)
        assert all(note.xref == "x" and note.yref == "y domain" for note in figure.layout.annotations)


def test_spectra_datasets_and_stacks_are_drawn_as_payloads_are() -> None:
    import campfire

    mask = np.zeros(50, dtype=bool)
    mask[10] = True
    spectrum = campfire.SpectrumData(WAVE, 0.1 * WAVE, np.full(50, 0.01), {}, "PRISM", "a", mask=mask)
    several: list[Any] = [spectrum, spectrum.to_xarray(), campfire.stack_spectra([spectrum])]
    for given in several:
        line = plot_spectrum_simple(given).data[-1]
        assert np.isnan(line.y[10])
        np.testing.assert_allclose(np.delete(line.y, 10), np.delete(0.1 * WAVE, 10))
    assert plot_redshift_fit(FIT, spectrum.to_xarray()).data[1].name == "Observed"
    alone: Any = spectrum
    with pytest.raises(ValidationError, match="profile"):
        plot_spectrum(alone)


def test_templates_are_light_or_dark() -> None:
    figure = plot_spectrum(_data(), template="plotly_dark")
    assert figure.layout.template.layout.paper_bgcolor != "white"
    with pytest.raises(ValidationError, match="plotly_dark"):
        plot_spectrum(_data(), template="dark")


def test_one_pixel_and_none_with_data_are_drawn() -> None:
    one = {"wave": [1.0], "fnu": [1.0], "fnu_err": [0.1], "snr_2d": [[1.0]], "profile_pix": [0.0]}
    one |= {"profile": [1.0], "profile_fit": [1.0], "n_spatial": 1, "n_wave": 1}
    assert plot_spectrum(one, show_emission_lines=True).data
    assert plot_spectrum_simple(one, show_emission_lines=True).data
