"""Statements checked: all groups of a file are lazy and in microjansky; the unit of 2-D data is recorded."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from campfire.errors import NotFoundError, ValidationError
from campfire.formats.hdu_reader import RawFits
from campfire.formats.spec_reader import read_spectrum
from campfire.formats.spec_writer import SpecProduct, write_product, write_spectrum
from campfire.formats.tree import read_tree


def test_groups_of_a_product(product_file: Callable[..., Path]) -> None:
    tree = read_tree(product_file(combined=True))
    assert list(tree) == ["/", "extractions", "spectrum_2d", "profile", "exposures"]
    assert list(tree["/"]) == ["wavelength", "fnu", "fnu_err", "flam", "flam_err", "dq"]
    shapes = {name: array.shape for name, array in tree["extractions"].arrays.items()}
    assert shapes["fnu"] == (4, 40)
    assert shapes["n_combined"] == (40,)
    assert tree["spectrum_2d"].arrays["flux"].dims == ("spatial", "wavelength")
    assert tree["profile"]["profile"].shape == (4, 7)
    assert len(tree["exposures"]) == 13
    assert tree["exposures"]["nod_number"].tolist() == [1, 2, 3]


def assert_described(path: Path) -> None:
    for group in read_tree(path).values():
        for name, array in group.arrays.items():
            values = group[name]
            assert (values.shape, values.dtype) == (array.shape, array.dtype), name
            assert len(array.dims) == values.ndim


def test_what_is_described_is_what_is_read(product_file: Callable[..., Path]) -> None:
    """Shape, dtype and number of dimensions of every array are known before it is read."""
    assert_described(product_file())
    assert_described(product_file(combined=True))


def test_what_is_described_is_what_is_read_from_real_files(real_file: Path) -> None:
    assert_described(real_file)


def test_extractions_equal_those_read_one_by_one(product_file: Callable[..., Path]) -> None:
    path = product_file()
    group = read_tree(path)["extractions"]
    for row, extraction in enumerate(group["extraction"].tolist()):
        fields = read_spectrum(path, extraction=extraction)
        for name in ("fnu", "fnu_err", "flam"):
            np.testing.assert_array_equal(group[name][row], fields[name])
        np.testing.assert_array_equal(group["dq"][row] != 0, fields["mask"])
        np.testing.assert_array_equal(read_tree(path, extraction=extraction)["/"]["fnu"], fields["fnu"])


def test_two_dimensional_data_are_converted_from_mjy(product_file: Callable[..., Path]) -> None:
    """1 MJy = 1e12 uJy; the assumption is recorded; pixels of weight 0 are NaN."""
    path = product_file()
    group = read_tree(path)["spectrum_2d"]
    with fits.open(path) as opened:
        sci, err, wht = (opened[name].data for name in ("SCI", "ERR", "WHT"))
        wave = opened["WAVELENGTH"].data
    lost = ~(wht > 0)
    assert lost.any()
    flux, flux_err = group["flux"], group["flux_err"]
    np.testing.assert_allclose(flux[~lost], sci[~lost] * 1e12, rtol=1e-6)
    np.testing.assert_allclose(flux_err[~lost], err[~lost] * 1e12, rtol=1e-6)
    assert np.isnan(flux[lost]).all()
    assert np.isnan(flux_err[lost]).all()
    np.testing.assert_array_equal(group["weight"], wht)
    np.testing.assert_array_equal(group["wavelength_2d"], wave)
    attrs = group.arrays["flux"].attrs
    assert (attrs["units"], attrs["unit_in_file"]) == ("uJy", "MJy")
    assert attrs["unit_origin"] == "assumed: fits the 1-D flux"


def test_images_that_must_be_in_microjansky_are_left_alone(
    tmp_path: Path, product: Callable[..., SpecProduct]
) -> None:
    """A factor of 1e12 cannot be mistaken: the one-dimensional flux decides."""
    made = product()
    made["sci"], made["err"] = made["sci"] * 1e12, made["err"] * 1e12
    path = tmp_path / "a_spec.fits"
    write_product(path, made)
    group = read_tree(path)["spectrum_2d"]
    assert group.arrays["flux"].attrs["unit_in_file"] == "uJy"
    good = made["wht"] > 0
    np.testing.assert_allclose(group["flux"][good], made["sci"][good], rtol=1e-6)


def test_a_unit_in_the_image_header_is_believed(product_file: Callable[..., Path]) -> None:
    path = product_file()
    fits.setval(path, "BUNIT", value="Jy", extname="SCI")
    group = read_tree(path)["spectrum_2d"]
    assert group.arrays["flux"].attrs["unit_origin"] == "BUNIT"
    fits.setval(path, "BUNIT", value="DN/s", extname="SCI")
    with pytest.raises(ValidationError, match=r"BUNIT of SCI.*DN/s"):
        read_tree(path)


def test_nothing_to_compare_the_images_with(tmp_path: Path, product: Callable[..., SpecProduct]) -> None:
    made = product()
    made["sci"] = made["sci"] * 0
    write_product(tmp_path / "a_spec.fits", made)
    attrs = read_tree(tmp_path / "a_spec.fits")["spectrum_2d"].arrays["flux"].attrs
    assert attrs["unit_origin"].startswith("assumed, not checked")


def test_msaexp_images_are_in_microjansky_whatever_bunit_says(real_file: Path) -> None:
    """The image weighted with profile and inverse variance gives the flux column (ratio 1)."""
    if "_x1d" in real_file.name:
        assert "spectrum_2d" not in read_tree(real_file)
        return
    tree = read_tree(real_file)
    with fits.open(real_file) as opened:
        profile = opened["PROFILE"].data.astype(float)
    flux, weight = tree["spectrum_2d"]["flux"].astype(float), tree["spectrum_2d"]["weight"]
    ok = np.isfinite(flux) & np.isfinite(profile)
    above = np.where(ok, flux * weight * profile, 0).sum(axis=0)
    below = np.where(ok, weight * profile**2, 0).sum(axis=0)
    good = (tree["/"]["dq"] == 0) & (below > 0)
    assert np.median(above[good] / below[good] / tree["/"]["fnu"][good]) == pytest.approx(1, abs=0.01)
    # and its error, from inverse variances, is that of the 1-D spectrum (msaexp 0.9 inflates it somewhat)
    error = 1 / np.sqrt(below[good])
    assert np.median(error / tree["/"]["fnu_err"][good]) == pytest.approx(1, abs=0.12)


def test_images_of_another_width_are_refused(tmp_path: Path, product_file: Callable[..., Path]) -> None:
    path = product_file()
    with fits.open(path) as opened:
        opened["SCI"].data = opened["SCI"].data[:, :-1]
        opened.writeto(tmp_path / "w_spec.fits")
    with pytest.raises(ValidationError, match=r"SCI of shape \(7, 39\) beside 40"):
        read_tree(tmp_path / "w_spec.fits")


def test_a_one_dimensional_file_has_only_its_spectra(
    tmp_path: Path, product_file: Callable[..., Path]
) -> None:
    path = tmp_path / "one_spec.fits"
    write_spectrum(path, read_spectrum(product_file()))
    assert list(read_tree(path)) == ["/", "extractions"]


def test_arrays_are_read_only_when_taken(
    product_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    original = RawFits.__enter__

    def counting(self: RawFits) -> RawFits:
        opened.append(1)
        return original(self)

    monkeypatch.setattr(RawFits, "__enter__", counting)
    tree = read_tree(product_file())
    assert len(opened) == 1
    assert repr(tree["profile"]).startswith("Group(extraction (4,)")
    assert len(opened) == 1
    assert tree["spectrum_2d"]["flux"].shape == (7, 40)
    assert len(opened) == 2


def test_a_description_can_be_pickled_and_notices_changes(product_file: Callable[..., Path]) -> None:
    path = product_file()
    array = pickle.loads(pickle.dumps(read_tree(path)["/"].arrays["fnu"]))
    np.testing.assert_array_equal(array.read(), read_spectrum(path)["fnu"])
    product_file(n_wave=50)
    with pytest.raises(ValidationError, match="has changed"):
        array.read()
    path.unlink()
    with pytest.raises(NotFoundError):
        array.read()
