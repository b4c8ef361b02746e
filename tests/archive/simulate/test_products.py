"""Statement checked: files have the HDUs, columns, units and conventions of the contract; truth comes back.

Files are read with plain astropy, so that nothing of the package's own reader is taken on trust.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from campfire.archive.simulate.archive import make_archive
from campfire.archive.simulate.instrument import GRATINGS
from campfire.archive.simulate.truth import Truth
from campfire.config import DataPaths

FLAM = ("erg / (s cm2 Angstrom)", "erg Angstrom-1 s-1 cm-2")
EXPOSURES = (
    *("filename", "dither_type", "nod_type", "nod_number", "dither_number", "exptime"),
    *("stuck_shutter_list", "shutter_state", "source_ra", "source_dec", "source_xpos", "source_ypos", "v3pa"),
)


def _file(paths: DataPaths, spectrum_id: str) -> Path:
    (path,) = paths.products.glob(f"*/{spectrum_id}_spec.fits")
    return path


def _files(paths: DataPaths) -> Iterator[Path]:
    return iter(sorted(paths.products.glob("*/*_spec.fits")))


def test_names_and_places_are_those_of_products(paths: DataPaths, truth: Truth) -> None:
    pattern = re.compile(r"[a-z0-9_-]+_(prism|g\d{3}[mh])_(clear|f\d{3}lp)_\d+_(spec|zfit)\.fits")
    for path in paths.products.glob("*/*"):
        assert pattern.fullmatch(path.name), path.name
        assert path.name.startswith(path.parent.name + "_")
    assert len(list(_files(paths))) == len(truth.spectra)


def test_every_file_has_the_hdus_columns_and_units(paths: DataPaths) -> None:
    for path in _files(paths):
        with fits.open(path) as hdus:
            names = [hdu.name for hdu in hdus]
            assert names == ["PRIMARY", "SPEC1D", "SCI", "ERR", "WAVELENGTH", "WHT", "PROF1D", "EXPOSURES"]
            assert hdus[0].data is None
            table = hdus[1]
            expected = ["wave"]
            for suffix in ("", "_3px", "_4px", "_5px"):
                expected += [f"fnu{suffix}", f"fnu{suffix}_err", f"flam{suffix}", f"flam{suffix}_err"]
            combined = "NCOMBINE" in hdus[0].header
            assert table.columns.names == expected + (["n_combined"] if combined else [])
            for column in table.columns:
                if column.name == "wave":
                    assert column.unit == "um"
                elif column.name.startswith("fnu"):
                    assert column.unit == "uJy"
                elif column.name.startswith("flam"):
                    assert column.unit in FLAM
                else:
                    assert column.unit is None
                allowed = ("D", "E") if column.name in ("fnu", "fnu_err") else ("D",)
                assert column.format in (("J", "K", "I") if column.name == "n_combined" else allowed)
            n_wave = len(table.data)
            shape = hdus["SCI"].data.shape
            assert shape[1] == n_wave
            assert 10 <= shape[0] <= 60
            for name in ("SCI", "ERR", "WAVELENGTH", "WHT"):
                assert hdus[name].data.shape == shape
                assert "BUNIT" not in hdus[name].header
                assert "CTYPE1" not in hdus[name].header
            assert hdus["SCI"].header["BITPIX"] == hdus["ERR"].header["BITPIX"] == -32
            assert hdus["PROF1D"].columns.names == ["ypos", "opt", "3px", "4px", "5px"]
            np.testing.assert_allclose(hdus["PROF1D"].data["ypos"], np.arange(shape[0]) + 0.5)
            assert tuple(hdus["EXPOSURES"].columns.names) == EXPOSURES
            wave = table.data["wave"]
            assert (np.diff(wave) > 0).all()
            np.testing.assert_allclose(hdus["WAVELENGTH"].data[0], wave, rtol=1e-6)


def test_headers_say_what_the_contract_says(paths: DataPaths, truth: Truth) -> None:
    for path in _files(paths):
        with fits.open(path) as hdus:
            header = hdus[0].header
            record = truth.spectrum(path.name.removesuffix("_spec.fits"))
            assert header["FILENAME"] == path.name
            assert header["GRATING"] == record.grating
            assert header["FILTER"] == GRATINGS[record.grating].filter
            assert header["CMPFROPT"] in ("optimal", "boxcar-3px")
            assert header["EFFEXPTM"] > 0
            assert isinstance(header["PROGRAM"], str)
            for key in ("CMPFRTIM", "CMPFRVER", "DATE-OBS", "CAL_VER", "CRDS_CTX", "TELESCOP", "VISIT_ID"):
                assert header[key]
            for absent in ("EXPTIME", "RA", "DEC", "SRCRA"):
                assert absent not in header
            if "NCOMBINE" in header:
                assert header["CMPFRSTG"] == "stage3-1d"
            parent = truth.object(record.object_id)
            sci = hdus["SCI"].header
            assert abs(sci["SRCDEC"] - parent.dec) < 0.1 / 3600.0
            assert abs((sci["SRCRA"] - parent.ra + 180.0) % 360.0 - 180.0) < 0.5 / 3600.0
            exposures = hdus["EXPOSURES"].data
            assert exposures["exptime"].sum() == pytest.approx(header["EFFEXPTM"], rel=1e-4)
            assert set("".join(exposures["shutter_state"])) <= set("x10")
            assert ("0" in "".join(exposures["shutter_state"])) == (
                exposures["stuck_shutter_list"][0] != "N/A"
            )


def test_missing_pixels_follow_the_conventions(paths: DataPaths) -> None:
    singles = combined = 0
    for path in _files(paths):
        with fits.open(path) as hdus:
            table, header = hdus[1].data, hdus[0].header
            lost = ~np.isfinite(table["fnu"])
            assert lost[0]
            assert lost[-1]
            if "NCOMBINE" in header:
                combined += 1
                assert (table["n_combined"][lost] == 0).all()
                assert (table["n_combined"][~lost] > 0).all()
                assert table["n_combined"].max() == header["NCOMBINE"]
                for name in table.names[1:-1]:
                    assert np.isnan(table[name][lost]).all(), name
                continue
            singles += 1
            assert np.isposinf(table["fnu_err"][lost]).all()
            assert (table["fnu_err"][~lost] > 0).all()
            empty = (hdus["WHT"].data == 0).all(axis=0)
            assert empty.any()
            assert lost[empty].all()
            for size in (3, 4, 5):
                for name in (f"fnu_{size}px", f"fnu_{size}px_err", f"flam_{size}px", f"flam_{size}px_err"):
                    assert (table[name][empty] == 0.0).all()
            assert np.isnan(hdus["SCI"].data[hdus["WHT"].data == 0]).all()
    assert singles > combined > 2


def test_columns_are_extracted_from_the_2d_data_in_megajansky(paths: DataPaths) -> None:
    checked = 0
    for path in _files(paths):
        with fits.open(path) as hdus:
            if "NCOMBINE" in hdus[0].header or hdus[0].header["CMPFROPT"] != "optimal":
                continue
            table = hdus[1].data
            valid = hdus["WHT"].data > 0
            flux = np.where(valid, hdus["SCI"].data.astype(float) * 1e12, 0.0)
            variance = np.where(valid, (hdus["ERR"].data.astype(float) * 1e12) ** 2, np.inf)
            p = hdus["PROF1D"].data["opt"][:, None]
            good = np.isfinite(table["fnu"])
            norm = (p**2 / variance).sum(axis=0)[good]
            np.testing.assert_allclose(
                table["fnu"][good], (p * flux / variance).sum(axis=0)[good] / norm, rtol=2e-6, atol=1e-9
            )
            error = np.sqrt((p * valid).sum(axis=0)[good] / norm)
            np.testing.assert_allclose(table["fnu_err"][good], error, rtol=2e-6)
            box = hdus["PROF1D"].data["4px"][:, None]
            np.testing.assert_allclose(table["fnu_4px"], (box * flux).sum(axis=0), rtol=1e-9, atol=1e-9)
            wave = table["wave"]
            np.testing.assert_allclose(
                table["flam"][good], table["fnu"][good] * 2.99792458e-19 / wave[good] ** 2, rtol=1e-6
            )
            checked += 1
    assert checked > 20


def test_noise_around_the_truth_has_the_width_that_is_recorded(paths: DataPaths, truth: Truth) -> None:
    pulls = []
    for path in _files(paths):
        table = fits.getdata(path, 1)
        model = truth.models[path.name.removesuffix("_spec.fits")]
        assert model.shape == table["wave"].shape
        if fits.getval(path, "CMPFROPT") == "optimal":
            wave_range = GRATINGS[truth.spectrum(path.name.removesuffix("_spec.fits")).grating].wave_range
            expected = table["fnu_err"] * truth.noise.scale_at(table["wave"], wave_range)
            pull = (table["fnu"] - model) / expected
            pulls.append(pull[np.isfinite(pull) & np.isfinite(table["fnu_err"])])
    everything = np.concatenate(pulls)
    assert everything.size > 20_000
    assert everything.std() == pytest.approx(1.0, abs=0.02)
    assert everything.mean() == pytest.approx(0.0, abs=0.02)


def _measurable(paths: DataPaths, truth: Truth) -> Iterator[tuple[Any, Any, str, Any]]:
    """(table, spectrum, line, object) of strong lines apart from others."""
    for record in truth.spectra:
        if record.contaminated or record.grating == "PRISM":
            continue
        parent = truth.object(record.object_id)
        table = fits.getdata(_file(paths, record.spectrum_id), 1)
        for name in ("[OIII]5008", "[SIII]9533", "Paα", "[OIII]4960"):
            if name in parent.lines and not parent.broad_fwhm:
                yield table, record, name, parent


def test_lines_lie_at_their_redshifted_vacuum_wavelengths_with_their_fluxes(
    paths: DataPaths, truth: Truth
) -> None:
    found = 0
    for table, record, name, parent in _measurable(paths, truth):
        centre = parent.line_waves[name] * (1.0 + parent.redshift)
        wave = table["wave"]
        if not wave[0] + 0.05 < centre < wave[-1] - 0.05:
            continue
        width = centre / float(GRATINGS[record.grating].resolving_power(np.array(centre)))
        near = np.abs(wave - centre) < 2.5 * np.hypot(width, centre * 150.0 / 299_792.458)
        beside = (np.abs(wave - centre) < 0.06) & ~(np.abs(wave - centre) < 0.03)
        usable = beside & np.isfinite(table["flam"])
        if not np.isfinite(table["flam"][near]).all() or usable.sum() < 10:
            continue
        level = np.median(table["flam"][usable])
        step = np.gradient(wave)[near] * 1e4
        flux = ((table["flam"][near] - level) * step).sum()
        error = np.sqrt(((table["flam_err"][near] * step) ** 2).sum())
        recorded = parent.lines[name] * float(record.loss(np.array(centre)))
        if recorded < 10.0 * error:
            continue
        found += 1
        # 5 sigma, and 4 % for the continuum level beside the line.
        assert abs(flux - recorded) < 5.0 * error + 0.04 * recorded, (record.spectrum_id, name)
        light = (table["flam"][near] - level) * step
        centroid = (light * wave[near]).sum() / light.sum()
        assert abs(centroid - centre) < 0.3 * np.gradient(wave)[near].mean() + width * 2.0 * error / recorded
    assert found >= 3


def test_the_oxygen_doublet_has_its_ratio_in_the_data(paths: DataPaths, truth: Truth) -> None:
    """[OIII] 5008 / 4960 from the models, which are what the noise is around."""
    checked = 0
    for record in truth.spectra:
        parent = truth.object(record.object_id)
        if record.grating not in ("G395M", "G235M") or parent.kind not in ("oiii", "halpha"):
            continue
        wave = fits.getdata(_file(paths, record.spectrum_id), 1)["wave"]
        flam = truth.models[record.spectrum_id] / wave**2 / record.loss(wave)
        fluxes = []
        for name in ("[OIII]5008", "[OIII]4960"):
            centre = parent.line_waves[name] * (1.0 + parent.redshift)
            if not wave[0] + 0.1 < centre < wave[-1] - 0.05 or record.contaminated:
                break
            near = np.abs(wave - centre) < 0.006 * centre / 1.5
            beside = (np.abs(wave - centre) < 0.012 * centre) & ~near
            fluxes.append((flam[near] - np.median(flam[beside])).sum())
        if len(fluxes) == 2:
            checked += 1
            assert fluxes[0] / fluxes[1] == pytest.approx(2.98, rel=0.05)
    assert checked >= 1


def test_redshift_fits_have_their_hdus_and_keywords(paths: DataPaths, truth: Truth) -> None:
    fits_made = sorted(paths.products.glob("*/*_zfit.fits"))
    assert 0 < len(fits_made) < len(truth.spectra)
    for path in fits_made:
        with fits.open(path) as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "MODEL", "CHI2"]
            assert hdus["MODEL"].columns.names == ["wav", "fnu"]
            assert hdus["CHI2"].columns.names == ["z", "chi2"]
            assert {column.unit for hdu in hdus[1:] for column in hdu.columns} == {None}
            header, curve = hdus[0].header, hdus["CHI2"].data
            best = int(np.argmin(curve["chi2"]))
            assert header["ZBEST"] == round(float(curve["z"][best]), 4)
            assert header["ZQUAL"] == 0
            assert header["CHI2MIN"] == pytest.approx(curve["chi2"][best])
            p = np.exp(-(curve["chi2"] - curve["chi2"].min()))
            near = np.abs(curve["z"] - curve["z"][best]) <= 0.03
            assert header["ZCONF"] == pytest.approx(100.0 * p[near].sum() / p.sum())
            spec = fits.getdata(path.with_name(path.name.replace("_zfit", "_spec")), 1)
            np.testing.assert_array_equal(hdus["MODEL"].data["wav"], spec["wave"])
            assert np.isfinite(hdus["MODEL"].data["fnu"]).all()


def test_mosaics_show_the_objects_where_the_catalogue_has_them(paths: DataPaths, truth: Truth) -> None:
    from astropy.wcs import WCS

    for field in {record.field for record in truth.objects}:
        images = {}
        for path in (paths.imaging / field).glob("*.fits"):
            with fits.open(path) as hdus:
                assert hdus[0].header["BITPIX"] == -32
                assert hdus[0].header["BUNIT"] == "uJy"
                images[hdus[0].header["FILTER"].lower()] = (hdus[0].data, WCS(hdus[0].header))
        assert set(images) == {"f115w", "f277w", "f444w"}
        image, wcs = images["f277w"]
        for record in truth.objects:
            if record.field != field or record.fluxes["f277w"] < 0.3:
                continue
            x, y = (round(float(v)) for v in wcs.all_world2pix([[record.ra, record.dec]], 0)[0])
            stamp = image[y - 18 : y + 19, x - 18 : x + 19]
            assert stamp.shape == (37, 37), "the mosaic covers every object"
            peak = np.unravel_index(np.argmax(stamp[9:28, 9:28]), (19, 19))
            assert np.hypot(peak[0] - 9, peak[1] - 9) <= 2.0
            assert stamp.sum() == pytest.approx(record.fluxes["f277w"], rel=0.35)


def test_truth_comes_back_from_disk(tmp_path: Path) -> None:
    made = make_archive(tmp_path, objects=1, seed=4)
    again = Truth.read(tmp_path)
    assert (again.seed, again.objects, again.spectra) == (4, made.objects, made.spectra)
    assert set(again.models) == set(made.models)
    for name, model in made.models.items():
        np.testing.assert_array_equal(again.models[name], model)
