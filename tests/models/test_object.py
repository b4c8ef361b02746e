"""Statements checked: Object, Photometry and Band as documented; catalogues are kept, bounds are bounds."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from campfire.bands import BANDS
from campfire.errors import CampfireError, CampfireWarning, NotFoundError, ValidationError
from campfire.models import Band, Object, Photometry, Spectrum, SpectrumCollection, SpectrumData


def record(**bands: Any) -> dict[str, Any]:
    return {
        "catalog_name": "UVCANDELS",
        "catalog_id": 17,
        "match_distance_arcsec": 0.1,
        "photo_z": 3.51,
        "photo_z_err_lo": 3.3,
        "photo_z_err_hi": 3.8,
        "photometry": {"flux_unit": "uJy", "bands": bands},
    }


EIGHT = {
    name: {"flux": 1.0, "flux_err": 0.1}
    for name in ("f606w", "f814w", "f115w", "f150w", "f200w", "f277w", "f356w", "f444w")
}


def make(**changes: Any) -> Object:
    row = {
        "object_id": "ember_uds_p4_123456",
        "field": "cosmos",
        "ra": 150.1,
        "dec": 2.2,
        "redshift": 3.421,
        "redshift_quality": 4,
        "programs": ["ember-uds"],
        "tags": ["lrd"],
        "n_spectra": 3,
        "max_snr": 12.5,
        "has_photometry": True,
        "photo_z": 3.51,
        "photo_z_err_lo": 3.3,
        "photo_z_err_hi": 3.8,
    }
    spectra = [{"spectrum_id": f"s{g}", "grating": g} for g in ("PRISM", "G395M", "G140M")]
    given = {"row": row, "spectra": spectra, "photometry": [record(**EIGHT)]} | changes
    return Object.from_row(**given)


def test_printed_form_is_the_documented_one() -> None:
    assert str(make()) == (
        "Object(ember_uds_p4_123456, z=3.4210, cosmos)\n"
        "  3 spectra (G140M, G395M, PRISM)\n"
        "  tags: lrd\n"
        "  Photometry(8 bands, UVCANDELS, photo_z=3.51)"
    )
    bare = Object("J0", "uds", 1.0, 2.0)
    assert str(bare) == "Object(J0, z=-, uds)\n  0 spectra"


def test_attributes() -> None:
    obj = make()
    assert (obj.ra, obj.dec, obj.redshift_quality, obj.max_snr) == (150.1, 2.2, 4, 12.5)
    assert obj.programs == ["ember-uds"]
    assert (obj.redshift_auto, obj.redshift_inspected, obj.max_exposure_time) == (None, None, None)
    assert (obj.photo_z_err_lo, obj.photo_z_err_hi) == (obj.photo_z_lo, obj.photo_z_hi) == (3.3, 3.8)
    assert obj.has_photometry is True
    assert obj.spectra[0].redshift == 3.421
    assert obj == make()
    assert obj != make(spectra=[])


def test_unknown_values_of_rows_are_none() -> None:
    row = {
        "object_id": "J0",
        "field": "uds",
        "ra": 1.0,
        "dec": np.float64(2),
        "redshift": np.nan,
        "programs": None,
    }
    obj = Object.from_row(row, [{"spectrum_id": "a", "grating": "PRISM"}])
    assert obj.redshift is None
    assert obj.programs == obj.tags == []
    assert obj.n_spectra == 1
    assert obj.has_photometry is False
    assert obj.photometry is None
    with pytest.raises(ValidationError, match="no ra, dec"):
        Object.from_row({"object_id": "J0", "field": "uds"})


def test_all_catalogues_are_kept_and_the_fullest_is_chosen() -> None:
    two = record(f150w={"flux": 1.0, "flux_err": 0.1}, f444w={"flux": None, "flux_err": 0.1}) | {
        "catalog_name": "A"
    }
    same = record(**EIGHT) | {"catalog_name": "B"}
    obj = make(photometry=[record(**EIGHT), two, same])
    assert [p.catalog for p in obj.photometries] == ["A", "B", "UVCANDELS"]
    assert obj.photometry is obj.photometries[1]
    chosen = Object("J0", "uds", 1.0, 2.0, photometry=obj.photometries[0])
    assert chosen.photometries == (obj.photometries[0],)


def test_bands_are_ordered_by_our_own_pivots_with_regard_to_case() -> None:
    phot = Photometry.from_record(
        record(
            Y={"flux": 1, "flux_err": 1, "wav": 0.991},
            y={"flux": 2, "flux_err": 1, "wav": 0.991},
            odd={"flux": 3, "flux_err": 1},
            known={"flux": 4, "flux_err": 1, "wav": 0.1},
            f444w={"flux": 5, "flux_err": 1},
        )
    )
    assert phot.bands == ["known", "y", "Y", "f444w", "odd"]
    np.testing.assert_array_equal(
        phot.wavelength, [0.1, BANDS["y"].pivot, BANDS["Y"].pivot, BANDS["f444w"].pivot, np.nan]
    )
    assert (phot["y"].flux, phot["Y"].flux) == (2, 1)


def test_null_fluxes_are_nan_in_float_arrays() -> None:
    phot = Photometry.from_record(
        record(f150w={"flux": None, "flux_err": None}, f444w={"flux": -1, "flux_err": 0})
    )
    assert phot.flux.dtype == phot.flux_err.dtype == np.float64
    np.testing.assert_array_equal(phot.flux, [np.nan, -1])
    assert phot.n_measured == 1


def test_record_may_be_json_text_or_empty() -> None:
    whole = record(**EIGHT)
    text = whole | {"photometry": json.dumps(whole["photometry"])}
    assert Photometry.from_record(text) == Photometry.from_record(whole)
    empty = Photometry.from_record({"catalog_name": "A", "photometry": None})
    assert (len(empty), repr(empty)) == (0, "Photometry(0 bands, A)")


@pytest.mark.parametrize(
    "photometry",
    [
        "{",
        [1],
        {"bands": [1]},
        {"bands": {"f444w": 3}},
        {"flux_unit": "mag", "bands": {}},
        {"bands": {"f444w": {"flux": "bright"}}},
    ],
)
def test_broken_records_are_refused(photometry: Any) -> None:
    with pytest.raises(ValidationError):
        Photometry.from_record({"photometry": photometry})


def test_lookup_by_name() -> None:
    phot = Photometry.from_record(record(**EIGHT))
    assert phot["f444w"] == Band(1.0, 0.1, BANDS["f444w"].pivot)
    assert phot["F444W"] == phot["f444w"]
    assert "f444w" in phot
    assert "f999w" not in phot
    assert list(phot) == phot.bands
    for kind in (KeyError, ValidationError, NotFoundError, CampfireError):
        with pytest.raises(
            kind, match=r"no band 'f445w' \(did you mean 'f444w'\? available: f606w, .*f444w\)"
        ):
            phot["f445w"]


def test_table_has_the_documented_columns() -> None:
    table = Photometry.from_record(record(**EIGHT)).to_table()
    assert table.colnames == ["band", "flux", "flux_err", "wavelength"]
    assert (table["flux"].unit, table["wavelength"].unit) == (u.uJy, u.um)


def test_constructor_takes_quantities_and_checks_lengths() -> None:
    phot = Photometry(["a"], [3.0] * u.nJy, [1.0] * u.nJy, [4440.0] * u.nm, "demo")
    np.testing.assert_allclose([phot.flux[0], phot.flux_err[0], phot.wavelength[0]], [0.003, 0.001, 4.44])
    with pytest.raises(ValidationError, match=r"flux has shape \(2,\) for 1 bands"):
        Photometry(["a"], [1.0, 2.0], [1.0], [1.0])
    with pytest.raises(ValidationError, match="bands='ab'"):
        Photometry("ab", [1.0, 2.0], [1.0, 1.0], [1.0, 2.0])
    with pytest.raises(ValidationError, match="given twice: a"):
        Photometry(["a", "a"], [1.0, 2.0], [1.0, 1.0], [1.0, 2.0])
    assert phot != 3


def test_masked_fluxes_are_not_measured() -> None:
    """NaN where not measured, also for columns of a masked table."""
    table = Table({"flux": [1.0, 2.0], "err": [1, 1]}, masked=True)
    table["flux"].unit = "nJy"
    table["flux"].mask = table["err"].mask = [False, True]
    phot = Photometry(["a", "b"], table["flux"], table["err"], [1.0, 2.0])
    np.testing.assert_array_equal(phot.flux, [0.001, np.nan])
    np.testing.assert_array_equal(phot.flux_err, [1.0, np.nan])
    assert phot.n_measured == 1


class Allowed(HTMLParser):
    """Fails for any element or attribute that could load or run something, and for unbalanced elements."""

    TAGS = frozenset(["div", "b", "span", "table", "tr", "th", "td", "svg", "line", "polyline", "circle"])
    ATTRS = frozenset(
        (
            "style",
            "role",
            "aria-label",
            "viewbox",
            "width",
            "height",
            "stroke",
            "fill",
            "x1",
            "x2",
            "y1",
            "y2",
            "opacity",
            "points",
            "stroke-width",
            "cx",
            "cy",
            "r",
        )
    )

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.TAGS
        for name, value in attrs:
            assert name in self.ATTRS
            assert "url(" not in (value or "")
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


EVIL = '<script>alert("x")</script><img src=http://evil/>' + "x" * 10_000


def test_cards_are_safe_and_bounded() -> None:
    spec = SpectrumData(np.linspace(1, 5, 5000), np.sin(np.arange(5000)), np.ones(5000), {}, EVIL, EVIL)
    obj = make(
        row={"object_id": EVIL, "field": EVIL, "ra": 1.0, "dec": 2.0, "tags": [EVIL] * 500, "redshift": 1.0},
        spectra=[{"spectrum_id": EVIL, "grating": EVIL}] * 500,
        photometry=[
            record(**{f"{EVIL}{i}": {"flux": i, "flux_err": 1, "wav": 1 + i} for i in range(500)})
            | {"catalog_name": EVIL}
        ],
    )
    phot = obj.photometry
    assert phot is not None
    for item in (spec, obj, obj.spectra, phot, make(), make().spectra, SpectrumData([], [], [], {}, "", "")):
        html = item._repr_html_()
        assert len(html) < 30_000
        check = Allowed()
        check.feed(html)
        assert not check.open
    assert "&lt;script&gt;" in spec._repr_html_()


def test_cards_show_what_matters() -> None:
    obj = make()
    html = obj._repr_html_()
    for text in ("ember_uds_p4_123456", "3.4210", "PRISM", "lrd", "<svg", "UVCANDELS"):
        assert text in html
    for text in ("PRISM", "3.4210"):
        assert text in obj.spectra._repr_html_()
    two = SpectrumCollection([Spectrum(str(z), "J0", "PRISM", redshift=z) for z in (10.5, 2.0, 3.0)])
    assert "2.0000–10.5000" in two._repr_html_()
    vars(obj.spectra[0])["data"] = SpectrumData([1, 2], [1, 2], [1, 1], {}, "PRISM", "a")
    assert obj.spectra._repr_html_().count("<polyline") == 1
    assert "no good pixels" in SpectrumData([1.0], [np.nan], [1.0], {}, "PRISM", "a")._repr_html_()


@pytest.mark.parametrize("twice", [["f277w", "F277W"], ["JWST/NIRCam.F277W", "f277w"], ["Ks", "KS"]])
def test_a_band_under_two_names_is_one_band(twice: list[str]) -> None:
    """It is refused, and in a record of the archive taken once, with a warning."""
    with pytest.raises(ValidationError, match="bands given twice"):
        Photometry(twice, [1.0, 2.0], [0.1, 0.1], [2.77, 2.77])
    bands = {name: {"flux": 1.0, "flux_err": 0.1, "wav": 2.0} for name in twice}
    with pytest.warns(CampfireWarning, match="bands given twice, left out"):
        assert len(Photometry.from_record({"photometry": {"bands": bands}})) == 1


@pytest.mark.parametrize("name", ["f277w", "F277W", "JWST/NIRCam.F277W", "jwst/nircam.f277w"])
@pytest.mark.parametrize("held", ["f277w", "F277W", "JWST/NIRCam.F277W"])
def test_a_band_is_found_by_any_of_its_names(name: str, held: str) -> None:
    assert Photometry([held], [3.0], [0.1], [2.77])[name].flux == 3.0
