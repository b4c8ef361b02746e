"""Statement: what cannot be an argument is refused with a documented error, in one short line, everywhere.

A table of every public function, method and accessor, with what kind of thing each argument is; each is given
everything that is not of that kind. A second test finds arguments that the table has forgotten.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

import campfire
from campfire import Campfire, Noise, Object, Photometry, Spectrum, SpectrumCollection, SpectrumData
from campfire.accessors.dataset import DatasetAccessor
from campfire.accessors.datatree import DataTreeAccessor
from campfire.errors import CampfireError

BIG = [f"row {n}" for n in range(5000)]
THING = SimpleNamespace(name="thing")
NO_NUMBER: list[Any] = [
    "x",
    "3",
    "5%",
    "",
    b"3",
    [],
    [1.0, 2.0],
    {},
    {"a": 1},
    THING,
    1j,
    True,
    BIG,
    np.ones(9),
]

WRONG: dict[str, list[Any]] = {
    "truth": ["no", "yes", "", "True", 0, 1, 2.0, None, [], [True], {}, THING, BIG, np.ones(9, dtype=bool)],
    "truth or None": ["no", "yes", "", 0, 1, 2.0, [], [True], {}, THING, BIG],
    "number": [*NO_NUMBER, None, float("nan")],
    "number or None": NO_NUMBER,
    "whole": [*NO_NUMBER, None, 1.5, float("nan")],
    "whole or None": [*NO_NUMBER, 1.5, float("nan")],
    "text": [None, 3, True, b"bytes", [], ["a"], {}, THING, BIG],
    "text or None": [3, True, b"bytes", [], ["a"], {}, THING, BIG],
    "word": ["nonsense", "", 3, True, b"mean", [], ["a"], {}, THING, BIG],
    "names": [3, 1.5, True, "", [], [3], {}, {"a": 1}, b"x", [None], [["PRISM"]], THING, np.ones(9)],
    "programs": [1.5, True, "", [], {}, b"x", [None], THING],
    "ids": [3, 1.5, True, "", [], [3], {}, b"x", [None], THING, np.ones(9)],
    "array": [None, "x", b"x", True, {}, THING, ["a", "b"], [1.0, [2.0, 3.0]], [None, {}], [[1.0]], BIG, 1j],
    "mask": ["x", {}, THING, ["a", "b"], [1.0, [2.0]], [True], BIG],
    "groups": [3, 1.5, True, "", "nonsense", b"x", {}, ["nonsense"], THING, np.ones(9), BIG],
    "edges": ["x", 3, True, [], [1.0], [2, 1], {}, {"a": [0, 1]}, THING, BIG, np.ones((2, 2)), [np.nan, 1]],
    "path": [None, 3, 1.5, True, b"bytes", "", "a\0b", ["a"], {}, BIG],
    "spectrum": [None, "x", 3, True, [], {}, THING, b"x", np.ones(9), BIG],
    "spectra": [None, "x", 3, True, [], {}, THING, b"x", [3], np.ones(9), [None], BIG],
    "photometry": [None, "x", 3, True, [], {}, THING, {"a": 3}, np.ones(9), BIG],
    "bands": ["nonsense", "", 3, True, [], [3], {}, THING, [None], b"f444w", BIG],
    "bands or None": ["nonsense", "", 3, True, [], [3], {}, THING, [None], b"f444w", BIG],
    "grid": ["nonsense", "", True, {}, THING, ["a", "b"], [3.0, 1.0, 2.0], b"x", [[1.0, 2.0]], [None], BIG],
    "range": ["x", 3, True, [], [1], (1, 2, 3), (3, 1), ("a", "b"), {}, THING, (None, None), BIG, (True, 2)],
    "quality": ["nonsense", "", 9, -1, 1.5, True, [], [9], {}, THING, b"secure", BIG],
    "flags": ["nonsense", "", 0, -1, 1.5, True, [], ["x"], {}, THING, b"LOW_SNR", BIG, [None], [1.5]],
    "flag names": [
        "nonsense",
        3,
        True,
        [3],
        {},
        b"x",
        [None],
        THING,
        np.ones(9),
        "BIT_99",
        "BIT_999999999999",
    ],
    "bits": ["nonsense", -1, 300, 1.5, True, ["x"], {"a": 1}, THING, b"OUTSIDE", None, [None]],
    "cone": [
        "x",
        3,
        True,
        [],
        (1, 2),
        ("a", "b", "c"),
        (1, 95, 3),
        (1, 2, -3),
        (1, 2, np.nan),
        {},
        THING,
        BIG,
    ],
    "redshift": ["2", "x", True, {}, THING, [1.0, "x"], [[1.0]], b"2", -3.0, 1j, BIG],
    "redshift or name": ["2", "x", True, {}, THING, [1.0, "x"], b"2", -3.0, 1j, BIG],
    "axes": ["x", 3, True, {}, THING, np.ones(2), [], BIG],
    "panels": ["x", 3, True, [], [1, 2], {}, THING, BIG],
    "progress": ["x", 3, [], {}, THING],
    "payload": [None, "x", 3, True, [], {}, THING, {"wave": 3}, {"wave": "x"}, b"x", BIG],
    "payload or None": ["x", 3, True, [], {}, THING, {"wave": 3}, b"x", BIG],
    "color": [None, 3, "nonsense", "", [], {}, THING, "#12345g", BIG],
    "pair": ["x", 3, True, [], [1], ("a", "b"), {}, THING, None, (np.nan, 1), BIG],
    "style": ["x", 3, True, [1], {"nonsense": {}}, {"target": 3}, {"target": {"x": 1}}, THING, BIG],
    "shutters": ["nonsense", "", 3, 0, [], {}, THING, None],
    "rows": ["x", 3, True, {"a": 1}, THING, [3], BIG],
    "dataset": [None, "x", 3, True, [], {}, THING, np.ones(9), xr.Dataset(), xr.Dataset({"a": 1}), BIG],
    "table": [None, "x", 3, True, [], {}, THING, np.ones(9), BIG],
    "record": [None, "x", 3, True, [], THING, BIG],
    "row": [None, "x", 3, True, [], {}, THING, BIG],
    "covariance": ["x", 3, {}, THING, np.ones(3), [["a"]], BIG],
    "generator": ["x", 1.5, True, {}, THING, -1, b"x"],
    "fov": [*NO_NUMBER, None, 0.5, 31, float("nan")],
    "line names": ["nonsense", "", True, [], [True], {}, THING, [None], b"Ha", [-1.0], BIG],
    "chunks": ["nonsense", -5, 1.5, True, [], THING, b"x"],
    "header": ["x", 3, True, [1], THING, BIG],
    "templates": ["x", 3, True, [], [3], {}, THING, [(1, 2)], [([1, 2], ["a", "b"])], [None], BIG],
    "noise": [None, "x", 3, True, [], {}, THING, np.ones(9), BIG],
    "noises": [None, "x", 3, True, [], {}, {"PRISM": 3}, THING, BIG],
}
_TWO = np.ones(2)
NOISE = Noise("PRISM", _TWO, _TWO, _TWO, _TWO, _TWO, 100, 1, "residuals")


def _spectrum(grating: str = "PRISM") -> SpectrumData:
    wave = np.linspace(0.6, 5.3, 120)
    return SpectrumData(wave, 1 + 0.1 * wave, np.full(120, 0.05), {}, grating, "demo_1", redshift=2.0)


def _photometry() -> Photometry:
    return Photometry(["f150w", "f277w", "f444w"], [1.2, 1.3, 1.4], [0.1, 0.1, 0.1], [1.5, 2.8, 4.4], "demo")


def _collection(n: int = 3) -> xr.Dataset:
    ds = xr.concat([_spectrum().to_xarray().drop_vars(["flam", "flam_err"])] * n, "spectrum")
    names = ("spectrum", [f"demo_{k}" for k in range(n)])
    return ds.assign_coords(
        grating=((), "PRISM"),
        spectrum_id=names,
        object_id=names,
        redshift=("spectrum", np.arange(n) + 1.0),
        redshift_quality=("spectrum", [4] * n),
        signal_to_noise=("spectrum", [10.0] * n),
        dq_flags=("spectrum", [0] * n),
    )


@pytest.fixture(scope="module")
def cf(archive_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campfire]:
    """A client with a catalogue, and the files of one object."""
    with Campfire(archive_url, tmp_path_factory.mktemp("data"), token="any") as client:
        client.sync()
        yield client


class Given:
    """What calls are made with, beside the argument that is looked at."""

    def __init__(self, cf: Campfire, folder: Path) -> None:
        self.cf = cf
        self.folder = folder
        self.object_id = str(cf.query_objects(limit=1)["object_id"][0])
        self.spectrum_id = str(cf.query_spectra(limit=1)["spectrum_id"][0])
        self.spec = _spectrum()
        self.phot = _photometry()
        self.one = self.spec.to_xarray()
        self.many = _collection()
        self.tree = xr.DataTree.from_dict({"/PRISM": self.many})
        self.record = Spectrum("demo_1", "J0", "PRISM")
        self.object = Object("J0", "cosmos", 150.0, 2.0, spectra=SpectrumCollection([self.record]))


@pytest.fixture(scope="module")
def given(cf: Campfire, tmp_path_factory: pytest.TempPathFactory) -> Given:
    return Given(cf, tmp_path_factory.mktemp("out"))


PAYLOAD = {
    "wave": [1.0, 2.0],
    "fnu": [0.1, 0.2],
    "fnu_err": [0.01, 0.02],
    "snr_2d": [[1.0, 2.0]],
    "n_spatial": 1,
    "n_wave": 2,
    "profile": [1.0],
    "profile_fit": [1.0],
    "profile_pix": [0.0],
}
FIT = {
    "redshift": 1.0,
    "chi2_min": 5.0,
    "confidence": 99.0,
    "z_grid": [0.0, 1.0],
    "chi2_grid": [9.0, 5.0],
    "model_wave": [1.0, 2.0],
    "model_fnu": [0.1, 0.2],
}
ROWS = [{"center_ra": 150.0, "center_dec": 2.0}]


def _arrays(n: int = 3) -> dict[str, Any]:
    return {"wavelength": np.arange(1.0, n + 1), "fnu": np.ones(n), "fnu_err": np.ones(n)}


FILTERS = {
    **dict.fromkeys(("fields", "gratings", "observations", "tags"), "names"),
    "programs": "programs",
    **dict.fromkeys(("redshift_range", "max_snr_range"), "range"),
    "redshift_quality": "quality",
    "dq_flags": "flags",
    **dict.fromkeys(("inspected_only", "staleness", "has_photometry"), "truth or None"),
    "search": "text or None",
    "cone_search": "cone",
    "limit": "whole or None",
    "offset": "whole",
    "sort": "word",
    "sort_dir": "word",
    "remote": "truth",
}
PLOT = {"flux_unit": "word", "show_errors": "truth", "ax": "axes", "redshift": "number or None"}
CALIBRATION = {
    "photometry": "photometry",
    "method": "word",
    "bands": "bands or None",
    "degree": "whole or None",
    "min_snr": "number",
    "error_floor": "number",
}
STACK = {
    "method": "word",
    "redshift": "redshift",
    "normalize": "pair",
    "sigma_clip": "number or None",
    "rng": "generator",
}
SELECT = {
    "dq_flags": "flags",
    "min_snr": "number or None",
    "redshift_range": "range",
    "redshift_quality": "quality",
}
# kinds of which None is allowed where they stand
OPTIONAL = {"range", "pair", "color"}
PLOTLY = {
    "flux_unit": "word",
    "show_errors": "truth",
    "show_emission_lines": "truth",
    "accent_color": "color",
    "title": "text or None",
    "width": "whole",
    "height": "whole",
    "template": "word",
}

Call = Callable[..., object]
Row = tuple[Callable[[Given], Call], Callable[[Given], dict[str, Any]], dict[str, str]]


def _row(of: Callable[[Given], Call], base: Any = None, /, **kinds: str) -> Row:
    return of, base or (lambda _: {}), kinds


TABLE: dict[str, Row] = {
    # functions
    "synthetic_photometry": _row(
        lambda g: campfire.synthetic_photometry,
        lambda g: {**_arrays(), "band": "f150w"},
        wavelength="array",
        fnu="array",
        band="bands",
        min_coverage="number",
    ),
    "resample_spectrum": _row(
        lambda g: campfire.resample_spectrum,
        lambda g: {"spectrum": g.spec, "grid": [1.0, 2.0, 3.0]},
        spectrum="spectrum",
        grid="grid",
        covariance="truth",
    ),
    "calibrate_to_photometry": _row(
        lambda g: campfire.calibrate_to_photometry,
        lambda g: {"spectrum": g.spec, "photometry": g.phot},
        spectrum="spectrum",
        **CALIBRATION,
    ),
    "stack_spectra": _row(
        lambda g: campfire.stack_spectra,
        lambda g: {"spectra": [g.spec, g.spec]},
        spectra="spectra",
        wavelength_grid="grid",
        object_id="text or None",
        match_resolution="truth",
        jackknife="truth",
        **STACK,
    ),
    "calibrate_and_stack": _row(
        lambda g: campfire.calibrate_and_stack,
        lambda g: {"spectra": [g.spec, g.spec], "photometry": g.phot},
        spectra="spectra",
        photometry="photometry or None",
        wavelength_grid="grid",
        object_id="text or None",
        stacking_method="word",
        **{k: v for k, v in CALIBRATION.items() if k != "photometry"},
    ),
    "measure_lines": _row(
        lambda g: campfire.measure_lines,
        lambda g: {"spectra": g.spec},
        spectra="spectra",
        lines="line names",
        redshift="redshift",
        width="number",
        method="word",
        broad="truth",
    ),
    "measure_noise": _row(
        lambda g: campfire.measure_noise,
        lambda g: {"spectra": g.spec},
        spectra="spectra",
        repeats="truth",
        lags="whole",
    ),
    "fit_redshift": _row(
        lambda g: campfire.fit_redshift,
        lambda g: {"spectra": g.spec},
        spectra="spectra",
        redshift_range="range",
        offset_scatter="number",
        templates="templates",
    ),
    "fit_redshifts": _row(
        lambda g: campfire.fit_redshifts,
        lambda g: {"spectra": g.spec},
        spectra="spectra",
        redshift_range="range",
        templates="templates",
    ),
    "Dataset.fit_redshift": _row(
        lambda g: g.one.campfire.fit_redshift,
        redshift_range="range",
        offset_scatter="number",
        templates="templates",
    ),
    "Dataset.fit_redshifts": _row(
        lambda g: g.one.campfire.fit_redshifts, redshift_range="range", templates="templates"
    ),
    "tree.fit_redshift": _row(
        lambda g: g.tree.campfire.fit_redshift,
        redshift_range="range",
        offset_scatter="number",
        templates="templates",
    ),
    "tree.fit_redshifts": _row(
        lambda g: g.tree.campfire.fit_redshifts, redshift_range="range", templates="templates"
    ),
    "with_noise": _row(
        lambda g: campfire.with_noise,
        lambda g: {"spectrum": g.spec, "noise": NOISE},
        spectrum="spectrum",
        noise="noise",
    ),
    "Dataset.measure_lines": _row(
        lambda g: g.one.campfire.measure_lines,
        lines="line names",
        redshift="redshift",
        width="number",
        method="word",
        broad="truth",
    ),
    "tree.measure_lines": _row(
        lambda g: g.tree.campfire.measure_lines,
        lines="line names",
        redshift="redshift",
        width="number",
        method="word",
        broad="truth",
    ),
    "Dataset.measure_noise": _row(lambda g: g.one.campfire.measure_noise, repeats="truth", lags="whole"),
    "Dataset.with_noise": _row(lambda g: g.one.campfire.with_noise, noise="noise"),
    "tree.measure_noise": _row(lambda g: g.tree.campfire.measure_noise, repeats="truth", lags="whole"),
    "tree.with_noise": _row(lambda g: g.tree.campfire.with_noise, noise="noises"),
    "convert_flux_units": _row(
        lambda g: campfire.convert_flux_units,
        lambda g: {"fnu": [1.0, 2.0], "wavelength": [1.0, 2.0]},
        fnu="array",
        wavelength="array",
        to_unit="word",
    ),
    "get_emission_lines": _row(
        lambda g: campfire.get_emission_lines,
        lambda g: {"redshift": 2.0},
        redshift="number",
        wave_min="number or None",
        wave_max="number or None",
    ),
    "decode_flags": _row(
        lambda g: campfire.decode_flags, lambda g: {"value": 3}, value="whole", flag_type="word"
    ),
    "encode_flags": _row(
        lambda g: campfire.encode_flags,
        lambda g: {"names": ["LOW_SNR"]},
        names="flag names",
        flag_type="word",
    ),
    "list_flags": _row(lambda g: campfire.list_flags, None, flag_type="word"),
    "plot_spectrum": _row(
        lambda g: campfire.plot_spectrum,
        lambda g: {"spectrum_data": PAYLOAD},
        spectrum_data="payload",
        redshift="number",
        colormap="word",
        snr_range="pair",
        **PLOTLY,
    ),
    "plot_spectrum_simple": _row(
        lambda g: campfire.plot_spectrum_simple,
        lambda g: {"spectrum_data": PAYLOAD},
        spectrum_data="payload",
        redshift="number",
        **PLOTLY,
    ),
    "plot_redshift_fit": _row(
        lambda g: campfire.plot_redshift_fit,
        lambda g: {"fit_data": FIT, "spectrum_data": PAYLOAD},
        fit_data="payload",
        spectrum_data="payload or None",
        **{k: v for k, v in PLOTLY.items() if k != "show_errors"},
    ),
    "plot_cutout": _row(
        lambda g: campfire.plot_cutout,
        lambda g: {"image_path": g.folder / "none.png", "center_ra": 150.0, "center_dec": 2.0},
        image_path="path",
        shutters="rows",
        object_id="text or None",
        fov="fov",
        center_ra="number or None",
        center_dec="number or None",
        ax="axes",
        shutter_style="style",
        scalebar="truth",
        scalebar_length="number or None",
        members="names",
    ),
    # models
    "SpectrumData": _row(
        lambda g: SpectrumData,
        lambda g: {**_arrays(), "header": {}, "grating": "PRISM", "spectrum_id": "demo"},
        wavelength="array",
        fnu="array",
        fnu_err="array",
        header="header",
        grating="text",
        spectrum_id="text",
        fits_path="path or None",
        fnu_units="word",
        flam_units="word",
        wave_units="word",
        mask="mask",
        redshift="number or NaN",
        covariance="covariance",
        resolving_power="array or None",
        flam="array or None",
        flam_err="array or None",
    ),
    "SpectrumData.from_fits": _row(
        lambda g: SpectrumData.from_fits,
        lambda g: {"path": g.folder / "none.fits"},
        path="path",
        spectrum_id="text",
        grating="text",
        extraction="word",
    ),
    "SpectrumData.from_xarray": _row(lambda g: SpectrumData.from_xarray, ds="dataset"),
    "SpectrumData.from_specutils": _row(lambda g: SpectrumData.from_specutils, spectrum="spectrum"),
    "SpectrumData.from_table": _row(lambda g: SpectrumData.from_table, table="table"),
    "SpectrumData.write": _row(
        lambda g: g.spec.write, lambda g: {"path": g.folder / "x.fits"}, path="path", overwrite="truth"
    ),
    "SpectrumData.plot": _row(lambda g: g.spec.plot, **PLOT, title="text or None"),
    "Photometry": _row(
        lambda g: Photometry,
        lambda g: {"bands": ["a", "b"], "flux": [1, 2], "flux_err": [1, 1], "wavelength": [1, 2]},
        bands="band list",
        flux="array",
        flux_err="array",
        wavelength="array",
        catalog="text",
        photo_z="number or NaN",
        flux_unit="word",
        catalog_id="text or None",
        match_distance_arcsec="number or NaN",
        photo_z_err_lo="number or NaN",
        photo_z_err_hi="number or NaN",
    ),
    "Photometry.from_record": _row(lambda g: Photometry.from_record, record="record"),
    "Photometry[...]": _row(lambda g: g.phot.__getitem__, name="band of photometry"),
    "Spectrum.from_row": _row(lambda g: Spectrum.from_row, row="row"),
    "Spectrum.plot": _row(
        lambda g: Spectrum("a", "b", "PRISM", opener=lambda _: g.spec.to_fields()).plot, **PLOT
    ),
    "Object.from_row": _row(lambda g: Object.from_row, row="row"),
    "SpectrumCollection": _row(lambda g: SpectrumCollection, spectra="records"),
    "SpectrumCollection[...]": _row(lambda g: g.object.spectra.__getitem__, index="index"),
    "SpectrumCollection.to_xarray": _row(
        lambda g: g.cf.get_object(g.object_id).spectra.to_xarray,  # type: ignore[union-attr]
        grid="grid",
        chunks="chunks",
        cache_dir="path or None",
        extraction="word",
    ),
    # accessors
    "Dataset.good": _row(lambda g: g.one.campfire.good, ignore="bits"),
    "Dataset.to_restframe": _row(lambda g: g.one.campfire.to_restframe, z="number"),
    "Dataset.rest_wavelength": _row(lambda g: g.one.campfire.rest_wavelength, None, redshift="redshift"),
    "Dataset.resample": _row(
        lambda g: g.one.campfire.resample,
        lambda g: {"grid": [1.0, 2.0]},
        grid="grid",
        covariance="truth or None",
    ),
    "Dataset.synthetic_photometry": _row(
        lambda g: g.one.campfire.synthetic_photometry,
        lambda g: {"bands": "f150w"},
        bands="bands",
        min_coverage="number",
    ),
    "Dataset.calibrate": _row(
        lambda g: g.one.campfire.calibrate, lambda g: {"photometry": g.phot}, **CALIBRATION
    ),
    "Dataset.plot": _row(lambda g: g.one.campfire.plot, **PLOT),
    "collection.resample": _row(
        lambda g: g.many.campfire.resample,
        lambda g: {"grid": [1.0, 2.0]},
        grid="grid",
        covariance="truth or None",
    ),
    "collection.synthetic_photometry": _row(
        lambda g: g.many.campfire.synthetic_photometry,
        lambda g: {"bands": "f150w"},
        bands="bands",
        min_coverage="number",
    ),
    "collection.calibrate": _row(
        lambda g: g.many.campfire.calibrate, lambda g: {"photometry": g.phot}, **CALIBRATION
    ),
    "collection.stack": _row(
        lambda g: g.many.campfire.stack,
        **STACK | {"redshift": "redshift or name"},
        grid="grid",
        object_id="text or None",
        match_resolution="truth",
        jackknife="truth",
    ),
    "collection.stack by": _row(lambda g: g.many.campfire.stack, by="groups"),
    "collection.stack in bins": _row(
        lambda g: g.many.campfire.stack, lambda g: {"by": "redshift"}, bins="edges"
    ),
    "collection.select": _row(lambda g: g.many.campfire.select, **SELECT),
    "collection.plot": _row(lambda g: g.many.campfire.plot, ax="axes", sort="text or None"),
    "tree.resample": _row(lambda g: g.tree.campfire.resample, grid="grid", covariance="truth"),
    "tree.synthetic_photometry": _row(
        lambda g: g.tree.campfire.synthetic_photometry,
        lambda g: {"bands": "f150w"},
        bands="bands",
        min_coverage="number",
    ),
    "tree.calibrate": _row(
        lambda g: g.tree.campfire.calibrate, lambda g: {"photometry": g.phot}, **CALIBRATION
    ),
    "tree.stack": _row(
        lambda g: g.tree.campfire.stack,
        **STACK | {"redshift": "redshift or name"},
        grid="grid",
        match_resolution="truth",
        jackknife="truth",
    ),
    "tree.stack by": _row(lambda g: g.tree.campfire.stack, by="groups"),
    "tree.stack in bins": _row(lambda g: g.tree.campfire.stack, lambda g: {"by": "redshift"}, bins="edges"),
    "tree.select": _row(lambda g: g.tree.campfire.select, **SELECT),
    "tree.to_parquet": _row(lambda g: g.tree.campfire.to_parquet, path="path"),
    "from_parquet": _row(lambda _: campfire.from_parquet, path="path"),
    "from_arrow": _row(lambda _: campfire.from_arrow, table="spectrum"),
    "tree.to_zarr": _row(lambda g: g.tree.campfire.to_zarr, where="path"),
    "from_zarr": _row(lambda _: campfire.from_zarr, where="path"),
    "tree.plot": _row(lambda g: g.tree.campfire.plot, axes="axes by grating", sort="text or None"),
    # the client
    "Campfire": _row(
        lambda g: Campfire,
        lambda g: {"data_dir": g.folder},
        base_url="text or None",
        data_dir="path or None",
        auto_refresh="truth",
        token="text or None",
        session="session",
    ),
    "sync": _row(lambda g: g.cf.sync, full="truth", adopt="truth", progress="progress"),
    "download": _row(
        lambda g: g.cf.download,
        lambda g: {"gratings": "PRISM", "dry_run": True},
        observations="names",
        programs="programs",
        fields="names",
        gratings="names",
        stale_only="truth",
        max_workers="whole",
        spectrum_ids="ids",
        everything="truth",
        lock="path or None",
        dry_run="truth",
        keep_old="truth",
        replace_local="truth",
        progress="progress",
    ),
    "query_objects": _row(lambda g: g.cf.query_objects, **FILTERS),
    "query_spectra": _row(lambda g: g.cf.query_spectra, **FILTERS),
    "iter_objects": _row(lambda g: g.cf.iter_objects, **FILTERS),
    "iter_spectra": _row(lambda g: g.cf.iter_spectra, **FILTERS),
    "count_objects": _row(
        lambda g: g.cf.count_objects, **{k: v for k, v in FILTERS.items() if k not in ("remote",)}
    ),
    **{
        name: _row(
            lambda g, name=name: getattr(g.cf, name),  # type: ignore[misc]
            lambda g: {"object_id": g.object_id},
            object_id="text",
            remote="truth",
        )
        for name in ("get_object",)
    },
    "get_spectrum": _row(
        lambda g: g.cf.get_spectrum,
        lambda g: {"spectrum_id": g.spectrum_id},
        spectrum_id="text",
        remote="truth",
    ),
    "open_spectrum": _row(
        lambda g: g.cf.open_spectrum,
        lambda g: {"spectrum_id": g.spectrum_id},
        spectrum_id="text",
        extraction="word",
    ),
    "get_spectrum_data": _row(lambda g: g.cf.get_spectrum_data, spectrum_id="text"),
    "get_redshift_fit_data": _row(lambda g: g.cf.get_redshift_fit_data, spectrum_id="text"),
    "open_collection": _row(
        lambda g: g.cf.open_collection,
        lambda g: {"gratings": "PRISM", "limit": 2, "download": True},
        grid="grid",
        chunks="chunks",
        cache="truth",
        extraction="word",
        download="truth",
        **{name: kind for name, kind in FILTERS.items() if name != "remote"},
    ),
    "open_collection of": _row(lambda g: g.cf.open_collection, spectra="ids"),
    "build_cache": _row(lambda g: g.cf.build_cache, progress="progress"),
    "verify": _row(lambda g: g.cf.verify, repair="truth"),
    "get_cutout": _row(
        lambda g: g.cf.get_cutout,
        lambda g: {"object_id": g.object_id},
        object_id="text",
        fov="fov",
        size="whole or None",
    ),
    "get_shutters": _row(
        lambda g: g.cf.get_shutters, lambda g: {"object_id": g.object_id}, object_id="text", fov="fov"
    ),
    "get_shutters_region": _row(
        lambda g: g.cf.get_shutters_region,
        lambda g: {"object_id": g.object_id},
        object_id="text",
        fov="fov",
        output="path or None",
    ),
    "sheet": _row(lambda g: g.cf.sheet, lambda g: {"object_id": g.object_id}, object_id="text", fov="fov"),
    "cf.plot_cutout": _row(
        lambda g: g.cf.plot_cutout,
        lambda g: {"object_id": g.object_id},
        object_id="text",
        fov="fov",
        size="whole or None",
        shutters="shutters",
        ax="axes",
        shutter_style="style",
        scalebar="truth",
        scalebar_length="number or None",
    ),
    **{
        name: _row(lambda g, name=name: getattr(g.cf, name), remote="truth")  # type: ignore[misc]
        for name in (
            "get_metadata",
            "get_programs",
            "get_fields",
            "get_gratings",
            "get_observations",
            "get_tags",
        )
    },
}
WRONG |= {
    "path or None": [bad for bad in WRONG["path"] if bad not in (None, "")],
    "array or None": [bad for bad in WRONG["array"] if bad is not None],
    "number or NaN": NO_NUMBER,
    "band list": ["f444w", 3, None, True, [], [3, 4], {}, THING, [None, None], b"x", ["a", "a"], BIG],
    "band of photometry": [None, 3, True, [], {}, THING, b"f444w", "nonsense", "F444"],
    "index": ["nonsense", None, 1.5, {}, THING, [1.5], [[0]], 99, ["x"]],
    "records": ["x", 3, True, [3], {"a": 1}, THING, b"x"],
    "photometry or None": [bad for bad in WRONG["photometry"] if bad is not None],
    "axes by grating": ["x", 3, True, [1], THING, {"PRISM": 3}],
    "session": ["x", 3, True, [], {}, THING],
}
for kind in ("pair", "color", "range"):
    WRONG[f"{kind} or None"] = [bad for bad in WRONG[kind] if bad is not None]

ARGUMENTS = [(call, name) for call, (_, _, kinds) in TABLE.items() for name in kinds]


def _wrong(call: str, name: str) -> list[Any]:
    bad = WRONG[TABLE[call][2][name]]
    if name in ("normalize", "redshift_range", "max_snr_range") or (name == "grid" and "Dataset" not in call):
        bad = [value for value in bad if value is not None]
    if call.endswith("select") and name == "redshift_range":
        bad = [value for value in bad if value != (None, None)]  # all that have one
    return bad


@pytest.mark.filterwarnings("ignore::campfire.CampfireWarning")
@pytest.mark.parametrize(("call", "name"), ARGUMENTS)
def test_what_an_argument_cannot_be_is_refused_in_one_line(call: str, name: str, given: Given) -> None:
    of, base, _ = TABLE[call]
    taken: list[str] = []
    for value in _wrong(call, name):
        function = of(given)
        try:
            arguments = {} if call.endswith("[...]") else {**base(given), name: value}
            result = function(**arguments) if arguments else function(value)
        except CampfireError as error:
            if "\n" in str(error) or len(str(error)) > 1000:
                taken.append(f"{value!r:.60} -> a message of {len(str(error))} characters")
        except Exception as error:
            taken.append(f"{value!r:.60} -> {type(error).__name__}: {error!s:.90}")
        else:
            taken.append(f"{value!r:.60} -> accepted: {result!r:.40}")
    assert not taken, "\n".join(taken)


# Nothing that a user passes is wrong for these: any value, keywords that are checked elsewhere, or what is
# passed on as it is.
FREE = {
    "fnu_err",
    "opener",
    "spectra",
    "progress",
    "kwargs",
    "options",
    "unknown",
    "filters",
    "calibration_options",
}
FACES: dict[str, Any] = {
    **{name: getattr(campfire, name) for name in campfire.__all__ if name[0].islower() and name[0] != "_"},
    **{f"Dataset.{name}": member for name, member in vars(DatasetAccessor).items()},
    **{f"tree.{name}": member for name, member in vars(DataTreeAccessor).items()},
    **{name: member for name, member in vars(Campfire).items()},
}
ELSEWHERE = {"cite", "sheets", "lock", "check_lock", "reproduce", "plot_cutout", "sel", "cone", "summary"}


def test_no_public_argument_is_forgotten() -> None:
    forgotten = []
    for face, member in FACES.items():
        if face.split(".")[-1].startswith("_") or face.split(".")[-1] in ELSEWHERE or not callable(member):
            continue
        calls = {face, face.replace("Dataset.", "collection.")}
        known = {
            name for call, (_, _, kinds) in TABLE.items() if call.split(" ")[0] in calls for name in kinds
        }
        forgotten += [
            f"{face}({name})"
            for name in inspect.signature(member).parameters
            if name not in known | FREE | {"self"}
        ]
    assert not forgotten, "\n".join(forgotten)
