"""Statement checked: every real file of other software opens with the right fluxes in uJy and the right mask.

Expected values are computed here with astropy alone; counts and ranges come with the files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from campfire.errors import ValidationError
from campfire.formats.spec_reader import product_facts, read_pixels, read_position, read_spectrum

# name begins with -> grating, filter, pixels, first and last micron, median S/N, pixels not to be used
KNOWN = {
    "calib_prism": ("PRISM", "CLEAR", 435, (0.580, 5.337), 258, 13),
    "calib_g140m": ("G140M", "F070LP", 2034, (0.680, 1.900), 198, 1099),
    "calib_g235m": ("G235M", "F170LP", 1496, (1.660, 3.169), 118, 139),
    "calib_g395m": ("G395M", "F290LP", 1414, (2.830, 5.239), 248, 115),
    "calib_g395h": ("G395H", "F290LP", 3800, (2.830, 5.240), 188, 396),
    "borg-v4": ("PRISM", "CLEAR", 473, (0.540, 5.515), 2.6, 6),
    "excels": ("G395M", "F290LP", 1661, (2.680, 5.510), 0.3, 9),
    "jw02736": ("G395M", "F290LP", 1215, (2.849, 5.286), 0.2, 74),
}


def test_flux_error_and_mask(real_file: Path) -> None:
    (known,) = (facts for start, facts in KNOWN.items() if real_file.name.startswith(start))
    grating, filter_name, pixels, (first, last), snr, bad = known
    with fits.open(real_file) as opened:
        if "EXTRACT1D" in opened:
            table = opened["EXTRACT1D"]
            wave, flux, error = (table.data[n].astype(float) for n in ("WAVELENGTH", "FLUX", "FLUX_ERROR"))
            assert table.columns["FLUX"].unit == "Jy"
            flux, error = flux * 1e6, error * 1e6
        else:
            table = opened["SPEC1D"]
            wave, flux, error = (table.data[n].astype(float) for n in ("wave", "flux", "err"))
            assert table.columns["flux"].unit == "uJy"
    good = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    fields = read_spectrum(real_file)
    assert (fields["grating"], fields["header"]["FILTER"]) == (grating, filter_name)
    assert len(fields["wavelength"]) == pixels
    np.testing.assert_array_equal(fields["wavelength"], wave)
    np.testing.assert_allclose(fields["fnu"][good], flux[good], rtol=1e-14)
    np.testing.assert_allclose(fields["fnu_err"][good], error[good], rtol=1e-14)
    np.testing.assert_array_equal(fields["mask"], ~good)
    assert int(np.sum(~good)) == bad
    # "a pixel without data is NaN in flux and error and masked, however the file says it"
    np.testing.assert_array_equal(np.isnan(fields["fnu"]), ~good)
    np.testing.assert_array_equal(np.isnan(fields["fnu_err"]), ~good)
    assert np.median(flux[good] / error[good]) == pytest.approx(snr, rel=0.2)
    assert (wave[0], wave[-1]) == (pytest.approx(first, abs=1e-3), pytest.approx(last, abs=1e-3))


def test_the_engine_gives_the_same(real_file: Path) -> None:
    fields = read_spectrum(real_file)
    ds = xr.open_dataset(real_file, engine="campfire").load()
    for name in ("fnu", "fnu_err"):
        np.testing.assert_array_equal(ds[name], fields[name])
        assert ds[name].attrs["units"] == "uJy"
    np.testing.assert_array_equal(ds.dq != 0, fields["mask"])
    np.testing.assert_allclose(
        ds.flam, fields["fnu"] * 2.99792458e-19 / fields["wavelength"] ** 2, rtol=1e-14
    )


def test_facts(real_file: Path) -> None:
    """Grating and filter, exposure time and position are found where each layout keeps them."""
    facts = product_facts(real_file)
    assert facts["grating"] != "unknown"
    assert facts["filter"] in {"CLEAR", "F070LP", "F170LP", "F290LP"}
    assert facts["exposure_time"] is not None
    assert facts["exposure_time"] > 50
    assert facts["spectrum_id"] == real_file.name.split(".spec.fits")[0].split("_x1d.fits")[0]
    ra, dec = {"calib": (81.0865, -70.0838), "borg": (69.9462, -52.7318), "excel": (34.3203, -5.2227)}.get(
        real_file.name[:5].removesuffix("-"), (110.8446, -73.4351)
    )
    position = read_position(real_file)
    assert position is not None
    np.testing.assert_allclose(position, (ra, dec), atol=1e-4)
    np.testing.assert_array_equal(read_pixels(real_file)["fnu"], read_spectrum(real_file)["fnu"])


def test_the_header_leaves_out_what_describes_the_table(real_file: Path) -> None:
    """BUNIT of msaexp 0.6 says mJy where the column is in uJy: it does not get into the header."""
    header = read_spectrum(real_file)["header"]
    assert "BUNIT" not in header
    assert not [key for key in header if key.startswith(("TTYPE", "TFORM"))]
    assert {"GRATING", "FILTER", "EFFEXPTM", "SRCNAME"} <= set(header)


def test_other_layouts_have_one_extraction(real_file: Path) -> None:
    with pytest.raises(ValidationError, match=r"no extraction '3px'.*holds optimal"):
        read_spectrum(real_file, extraction="3px")


@pytest.mark.parametrize("grating", ["g235m", "g395m", "g395h"])
def test_the_same_source_agrees_between_gratings(grating: str) -> None:
    """PRISM and other spectra of one source agree within 7 percent where they overlap: the unit is one."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "spectra"
    found = [*folder.glob("calib_prism*"), *folder.glob(f"calib_{grating}*")]
    if len(found) != 2:
        pytest.skip("the sample of real spectra is not here")
    prism, one = (read_pixels(path) for path in found)
    fine = ~one["mask"]
    wave, flux = one["wavelength"][fine], one["fnu"][fine]
    inside = ~prism["mask"] & (prism["wavelength"] > wave[0]) & (prism["wavelength"] < wave[-1])
    there = np.interp(prism["wavelength"][inside], wave, flux)
    assert np.median(prism["fnu"][inside] / there) == pytest.approx(1, abs=0.07)
