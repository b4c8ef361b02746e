"""Redshifts are right on simulated sources, alone and from several gratings, and say how sure they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire import (
    SpectrumData,
    ValidationError,
    fit_redshift,
    fit_redshifts,
    handoffs,
    plot_redshift_fit,
    schema,
)
from campfire.formats.spec_reader import read_spectrum
from tests.analysis.observed_sources import observed, sources

REAL = Path(__file__).parents[3] / "shared" / "data" / "spectra"
SOURCES = sources(14)


def as_collection(many: list[SpectrumData]) -> Any:
    """Return spectra of one grating as a native collection."""
    import xarray as xr

    longest = max(map(len, many))

    def rows(name: str) -> Any:
        values = np.full((len(many), longest), np.nan)
        for row, one in zip(values, many, strict=True):
            row[: len(one)] = getattr(one, name)
        return schema.NATIVE, values, schema.attrs_of(name)

    dq = np.array([[*(one.mask * 4), *[8] * (longest - len(one))] for one in many], dtype=np.uint8)
    return xr.Dataset(
        {"fnu": rows("fnu"), "fnu_err": rows("fnu_err"), "dq": (schema.NATIVE, dq, schema.attrs_of("dq"))},
        {
            "wavelength": rows("wavelength"),
            "spectrum_id": ("spectrum", [one.spectrum_id for one in many]),
            "grating": ("spectrum", [one.grating for one in many]),
            "redshift": ("spectrum", [one.redshift for one in many]),
        },
        {"campfire_schema": schema.SCHEMA_VERSION},
    )


@pytest.fixture(scope="module")
def prism() -> list[SpectrumData]:
    return [
        observed(source, "PRISM", 30, seed, phase=0.3 * (seed % 3)) for seed, source in enumerate(SOURCES)
    ]


@pytest.fixture(scope="module")
def found(prism: list[SpectrumData]) -> Any:
    return fit_redshifts(prism)


def test_bright_lines_give_the_right_redshift_with_the_stated_error(found: Any) -> None:
    truth = np.array([source.redshift for source in SOURCES])
    away = found.redshift_fit.values - truth
    assert np.all(np.abs(away) < 0.005 * (1 + truth))
    pull = away / found.redshift_fit_err.values
    assert np.sqrt(np.mean(np.square(pull))) < 2.0
    assert np.median(np.abs(pull)) > 0.2  # errors are not far too large
    assert np.all(found.confidence > 90)
    assert not found.disagrees.any()
    assert schema.check(found) == []


def test_a_table_of_many_has_what_each_by_itself_has(prism: list[SpectrumData], found: Any) -> None:
    for k in (0, 5):
        alone = fit_redshift(prism[k])
        assert alone.redshift == pytest.approx(float(found.redshift_fit[k]), abs=2e-4)
        assert alone.redshift_err == pytest.approx(float(found.redshift_fit_err[k]), rel=0.1)
        assert np.sum(alone.probability * np.gradient(alone.redshift_grid)) == pytest.approx(1.0)


def test_any_chunks_and_masked_values_give_the_same(prism: list[SpectrumData]) -> None:
    few = [observed(source, "PRISM", 12, seed) for seed, source in enumerate(SOURCES[:5])]
    for one in few:
        one.mask[100:104] = True
    memory = as_collection(few)
    spoilt = memory.copy(deep=True)
    spoilt.fnu.values[:, 100:104] = np.inf
    spoilt.fnu_err.values[:, 100:104] = -1.0
    expected = fit_redshifts(memory)
    for other in (spoilt, memory.chunk(spectrum=2, pixel=50), spoilt.chunk(spectrum=5)):
        result = other.campfire.fit_redshifts()
        for name in expected.data_vars:
            np.testing.assert_allclose(
                result[name].values.astype(float), expected[name].values.astype(float), rtol=1e-7
            )


def test_gratings_together_are_better_than_each_alone_and_tell_the_offset() -> None:
    offsets, right = [], {"PRISM": 0, "G395M": 0, "both": 0}
    options: dict[str, Any] = {"redshift_range": (2.0, 9.0)}
    for seed, source in enumerate(sources(5, seed=3, low=3.5, high=8.0)):
        one = {
            "PRISM": observed(source, "PRISM", 7, seed, offset=0.5),
            "G395M": observed(source, "G395M", 7, 100 + seed),
        }
        both = fit_redshift(list(one.values()), offset_scatter=0.5, **options)
        results = {name: fit_redshift(spectrum, **options) for name, spectrum in one.items()} | {"both": both}
        for name, result in results.items():
            right[name] += abs(result.redshift - source.redshift) < 0.01 * (1 + source.redshift)
        if abs(both.redshift - source.redshift) < 0.01:
            offsets.append((both.offsets[0], both.offsets_err[0]))
    assert right["both"] >= max(right["PRISM"], right["G395M"])
    assert right["both"] == 5
    away, error = np.array(offsets).T
    assert np.average(away, weights=1 / error**2) == pytest.approx(0.5, abs=0.1)


def test_the_second_solution_of_a_single_line_is_not_hidden() -> None:
    wave = np.linspace(2.9, 5.1, 1300)
    rng = np.random.default_rng(2)
    line = 6 * np.exp(-0.5 * np.square((wave - 0.6564610 * 6) / 0.0016))
    spectrum = SpectrumData(wave, line + rng.normal(0, 1.0, 1300), np.ones(1300), {}, "G395M", "one line")
    result = fit_redshift(spectrum)
    assert result.odds < 1e3
    assert result.confidence < 99.9


def test_the_catalogue_is_contradicted_where_it_is_wrong(prism: list[SpectrumData]) -> None:
    table = as_collection(prism[:3])
    table = table.assign_coords(redshift=table.redshift + np.array([0.0, 0.4, np.nan]))
    result = table.campfire.fit_redshifts()
    assert result.disagrees.values.tolist() == [False, True, False]


def test_templates_of_a_user_replace_ours(prism: list[SpectrumData]) -> None:
    import astropy.units as u

    number = next(k for k, s in enumerate(SOURCES) if s.kind == "oiii")
    wave = np.geomspace(0.3, 0.8, 9000)
    lines = ((0.4862683, 1.0), (0.4960295, 2.0), (0.5008240, 6.0), (0.6564610, 3.0))
    flux = sum(f * np.exp(-0.5 * np.square((wave - w) / (w * 1e-3))) for w, f in lines)
    result = fit_redshift(prism[number], templates=[((wave * 1e4) * u.AA, flux)])
    assert result.redshift == pytest.approx(SOURCES[number].redshift, abs=0.02)


def test_the_result_goes_where_fits_go(prism: list[SpectrumData]) -> None:
    ds = prism[0].to_xarray()
    result = ds.campfire.fit_redshift(redshift_range=(1, 10))
    payload = result.to_fit_data()
    figure = plot_redshift_fit(payload, {"wave": ds.wavelength, "fnu": ds.fnu, "fnu_err": ds.fnu_err})
    assert f"{result.redshift:.4f}" in figure.layout.title.text
    fitted = handoffs.attach_fit(
        ds, result.models[0], parameters={"z": (result.redshift, result.redshift_err)}, tool="fit_redshift"
    )
    assert fitted.parameter_value.sel(parameter="z").item() == result.redshift
    top, bottom = result.plot()
    assert bottom.get_xlim() == (result.redshift_grid[0], result.redshift_grid[-1])
    assert top.figure is bottom.figure
    assert "PRISM" in repr(result)
    chi2 = np.nansum(np.square((prism[0].fnu - result.models[0]) / prism[0].fnu_err))
    assert chi2 / len(prism[0]) < 1.5


def test_no_good_pixel_is_nan_in_a_table_and_an_error_alone() -> None:
    wave = np.linspace(1, 5, 200)
    empty = SpectrumData(wave, np.full(200, np.nan), np.full(200, np.nan), {}, "PRISM", "empty", redshift=1.0)
    assert np.isnan(fit_redshifts([empty]).redshift_fit).all()
    assert not fit_redshifts([empty]).disagrees.any()
    with pytest.raises(ValidationError, match="no good pixel"):
        fit_redshift(empty)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"redshift_range": (3, 2)}, "redshift_range"),
        ({"redshift_range": 5}, "redshift_range"),
        ({"redshift_range": (0, np.inf)}, "redshift_range"),
        ({"offset_scatter": -1}, "offset_scatter"),
        ({"templates": []}, "no templates"),
        ({"templates": [([1, 2, 3], [1, 2])]}, "template"),
        ({"templates": [([2, 1], [1, 2])]}, "template"),
        ({"templates": "eazy"}, "templates"),
    ],
)
def test_what_makes_no_sense_is_said(prism: list[SpectrumData], options: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        fit_redshift(prism[0], **options)


def test_spectra_in_the_rest_frame_are_refused(prism: list[SpectrumData]) -> None:
    with pytest.raises(ValidationError, match="rest frame"):
        fit_redshift(prism[0].to_xarray().campfire.to_restframe(2.0))


@pytest.mark.skipif(not REAL.is_dir(), reason="real spectra are not here")
@pytest.mark.parametrize(
    ("name", "redshift"),
    [
        ("borg-v4_prism-clear_1747_732.spec.fits", 8.223),
        ("excels-uds04-v4_g395m-f290lp_3543_63107.spec.fits", 8.271),
        ("jw02736-o007_s06355_nirspec_f290lp-g395m_x1d.fits", 7.661),
    ],
)
def test_real_spectra_have_the_redshifts_of_their_lines(name: str, redshift: float) -> None:
    result = fit_redshift(SpectrumData(**read_spectrum(REAL / name)))
    assert result.redshift == pytest.approx(redshift, abs=0.003)
    assert result.confidence > 99
