"""Statements: rows of a table are the spectra they are of, for LSDB, the Multimodal Universe and eazy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire import Object, Photometry, SpectrumData, handoffs
from campfire.collection.build import open_tree
from campfire.collection.row_sources import FileSource
from campfire.errors import ValidationError
from campfire.formats.spec_writer import write_spectrum
from campfire.kernels.lsf import resolving_power
from campfire.units import fnu_to_flam

SPECTRA = {"a": ("PRISM", 300), "b": ("G395M", 200), "c": ("PRISM", 310)}


def _spectrum(name: str) -> SpectrumData:
    grating, size = SPECTRA[name]
    wave = np.linspace(3.0, 5.0, size)
    flux = 1 + wave
    flux[7], mask = np.nan, np.arange(size) == 11
    return SpectrumData(wave, flux, np.full(size, 0.1), {}, grating, name, mask=mask, redshift=2.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    folder: Path = tmp_path_factory.mktemp("spectra")
    for name in SPECTRA:
        write_spectrum(folder / f"{name}_spec.fits", _spectrum(name).to_fields())
    labels: dict[str, Any] = {
        "spectrum_id": list(SPECTRA),
        "object_id": ["J1", "J1", "J2"],
        "grating": [grating for grating, _ in SPECTRA.values()],
        "redshift": [2.0, 2.0, 3.0],
        "ra": [150.0, 150.0, 150.1],
        "dec": [2.0, 2.0, -2.1],
    }
    return open_tree([FileSource(str(folder / f"{name}_spec.fits")) for name in SPECTRA], labels)


def test_rows_for_lsdb_are_the_spectra(tree: xr.DataTree) -> None:
    inputs = tree.campfire.to_lsdb()
    table = inputs["dataframe"]
    assert sorted(table["spectrum_id"]) == sorted(SPECTRA)
    for _, row in table.iterrows():
        truth, pixels = _spectrum(row["spectrum_id"]), row["spectrum"]
        good = np.array(pixels["good"])
        assert np.array_equal(good, ~truth.mask)
        assert np.allclose(pixels["wavelength"], truth.wavelength)
        assert np.allclose(np.array(pixels["fnu"])[good], truth.fnu[good])
        assert np.allclose(np.array(pixels["fnu_err"])[good], 0.1)
        assert np.all(np.isfinite(pixels["fnu"]) & (np.array(pixels["fnu_err"]) > 0))
    assert list(table["object_id"][table["spectrum_id"] == "c"]) == ["J2"]


def test_lsdb_writes_and_opens_them(tree: xr.DataTree, tmp_path: Path) -> None:
    lsdb = pytest.importorskip("lsdb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TQDM_DISABLE", "1")
        catalogue = lsdb.from_dataframe(**tree.campfire.to_lsdb())
        catalogue.write_catalog(tmp_path / "hats", catalog_name="campfire")
        found = lsdb.open_catalog(tmp_path / "hats").compute()
    pixels = found[found["spectrum_id"] == "a"]["spectrum.fnu"]
    assert len(pixels) == 300
    assert np.isclose(pixels.iloc[0], _spectrum("a").fnu[0])


def test_rows_of_the_multimodal_universe_are_the_spectra(tree: xr.DataTree) -> None:
    rows = tree.campfire.to_mmu()["mapping"]
    for name, z, pixels in zip(rows["object_id"], rows["Z"], rows["spectrum"], strict=True):
        truth = _spectrum(name)
        good = ~pixels["mask"]
        assert np.array_equal(pixels["mask"], truth.mask)
        assert z == (3.0 if name == "c" else 2.0)
        assert np.allclose(pixels["lambda"], truth.wavelength * 1e4)
        flam, error = (fnu_to_flam(v, truth.wavelength) / 1e-17 for v in (truth.fnu, truth.fnu_err))
        assert np.allclose(pixels["flux"][good], flam[good], rtol=1e-5)
        assert np.allclose(pixels["ivar"][good], error[good] ** -2, rtol=1e-5)
        assert not pixels["ivar"][~good].any()
        power = resolving_power(truth.grating, truth.wavelength)
        assert np.allclose(pixels["lsf_sigma"] * 2.35482, pixels["lambda"] / power, rtol=1e-4)
        assert {v.dtype for k, v in pixels.items() if k != "mask"} == {np.dtype(np.float32)}


def test_the_datasets_of_hugging_face_take_them(tree: xr.DataTree) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict(**tree["PRISM"].to_dataset().campfire.to_mmu())
    assert made.column_names == ["object_id", "ra", "dec", "Z", "spectrum"]
    assert len(made[1]["spectrum"]["lambda"]) == 310


@pytest.mark.parametrize("to", ["to_lsdb", "to_mmu"])
def test_rows_need_positions(to: str, tree: xr.DataTree) -> None:
    prisms = tree["PRISM"].to_dataset()
    for wrong in (prisms.drop_vars("ra"), _spectrum("a").to_xarray()):
        with pytest.raises(ValidationError, match="no positions"):
            getattr(handoffs, to)(wrong)


PHOT = {
    "J1": Photometry(["f200w", "f444w"], [1.0, 2.0], [0.1, 0.2], [1.99, 4.4]),
    "J2": Photometry(["f444w", "f115w"], [np.nan, 3.0], [0.1, 0.3], [4.4, 1.15]),
    "J3": Photometry(["f444w"], [1.0], [0.0], [4.4]),
}


def test_eazy_has_one_row_an_object_with_measured_bands(tmp_path: Path) -> None:
    inputs = handoffs.to_eazy(PHOT, tmp_path / "FILTERS.RES")
    table = inputs["params"]["CATALOG_FILE"]
    assert list(table["object_id"]) == ["J1", "J2"]
    assert list(table["f_f444w"]) == [2.0, -99.0]
    assert list(table["e_f115w"]) == [-99.0, 0.3]
    handoffs.to_eazy(PHOT, tmp_path / "FILTERS.RES")  # again: the same file
    record = {"object_id": "J4", "field": "cosmos", "ra": 150.0, "dec": 2.0, "redshift": 3.4}
    bands = {"f444w": {"flux": 1.0, "flux_err": 0.1}}
    obj = Object.from_row(record, [], [{"catalog_name": "demo", "photometry": {"bands": bands}}])
    row = handoffs.to_eazy([obj], tmp_path / "OTHER.RES")["params"]["CATALOG_FILE"][0]
    assert (row["object_id"], row["ra"], row["z_spec"], row["f_f444w"]) == ("J4", 150.0, 3.4, 1.0)
    for wrong in ({"J3": PHOT["J3"]}, {}):
        with pytest.raises(ValidationError, match="no object has a measured band"):
            handoffs.to_eazy(wrong, tmp_path / "none")
    by_id = Photometry(["JWST/NIRCam.F444W"], [1.0], [0.1], [4.4])
    assert handoffs.to_eazy({"J1": by_id}, tmp_path / "IDS.RES")["params"]["CATALOG_FILE"]["z_spec"][0] == -1
    assert handoffs.write_filters(by_id, tmp_path)["JWST/NIRCam.F444W"].parent == tmp_path
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(ValidationError, match="another file of that name"):
        handoffs.to_eazy(PHOT, taken)
    assert taken.read_text() == "mine"
    with pytest.raises(ValidationError, match="not an object"):
        handoffs.to_eazy(["J1"], tmp_path / "none")  # type: ignore[list-item]


@pytest.mark.filterwarnings("ignore")
def test_eazy_finds_the_redshift_of_a_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photoz = pytest.importorskip("eazy.photoz")
    from campfire import synthetic_photometry

    monkeypatch.chdir(tmp_path)
    rest = np.geomspace(300, 30_000, 6000)
    flam = np.where(rest > 1216, (rest / 2000) ** -1.5, 0.0) + np.where(rest > 4000, 0.5, 0.0)
    np.savetxt("break.dat", np.column_stack([rest, flam]))
    Path("mine.param").write_text("1 break.dat 1.0 0 1.0\n")
    np.savetxt("error.dat", np.column_stack([rest, np.full_like(rest, 0.01)]))
    z = 4.0
    wave = rest * (1 + z) / 1e4
    keep = wave < 6
    bands = ["f435w", "f606w", "f814w", "f115w", "f150w", "f200w", "f277w", "f356w", "f444w"]
    fnu = flam * wave**2
    flux = [synthetic_photometry(wave[keep], fnu[keep], 0.01 * fnu[keep] + 1e-3, band)[0] for band in bands]
    phot = Photometry(bands, flux, [0.02 * max(flux)] * len(bands), [np.nan] * len(bands))
    inputs: dict[str, Any] = dict(handoffs.to_eazy({"J1": phot}, tmp_path / "FILTERS.RES"))
    inputs["params"] |= {"TEMPLATES_FILE": "mine.param", "TEMP_ERR_FILE": "error.dat", "MW_EBV": 0.0}
    inputs["params"] |= {"Z_MIN": 1.0, "Z_MAX": 7.0, "Z_STEP": 0.02, "IGM_SCALE_TAU": 0.0, "N_MIN_COLORS": 3}
    fit = photoz.PhotoZ(load_prior=False, load_products=False, n_proc=1, **inputs)
    assert np.allclose(fit.pivot[:2], [4330, 5960], rtol=0.02)
    fit.fit_catalog(n_proc=1, prior=False)
    assert abs(fit.zbest[0] - z) < 0.1
