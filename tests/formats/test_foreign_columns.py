"""Statement: fluxes of others' files are in the right unit, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire import SpectrumData
from campfire.errors import CampfireWarning, ValidationError
from tests.foreign_files import ERR, FLAM, FNU, WAVE, write_table

Columns = Sequence[tuple[str, Any, str]]
FLAM_ERR = FLAM * ERR / FNU

# unit of flux -> of error -> of the wavelengths: each is the same spectrum
RIGHT: dict[str, tuple[str, Columns]] = {
    "an error without a unit is in that of a flux in mJy": (
        "SPEC1D",
        [("wave", WAVE, "um"), ("flux", FNU * 1e-3, "mJy"), ("err", ERR * 1e-3, "")],
    ),
    "an error without a unit is in that of a flux per wavelength": (
        "SPEC1D",
        [("wave", WAVE * 1e4, "Angstrom"), ("flux", FLAM, "erg/s/cm2/A"), ("err", FLAM_ERR, "")],
    ),
    "an error without a unit in a pipeline table": (
        "EXTRACT1D",
        [("WAVELENGTH", WAVE, "um"), ("FLUX", FNU * 1e-6, "Jy"), ("FLUX_ERROR", ERR * 1e-6, "")],
    ),
    "flux and error in different units": (
        "SPEC1D",
        [("wave", WAVE, "um"), ("flux", FNU, "uJy"), ("err", ERR * 1e3, "nJy")],
    ),
    "the five-pixel extraction of JADES": (
        "EXTRACT5PIX1D",
        [
            ("WAVELENGTH", WAVE * 1e-6, "m"),
            ("FLUX", FLAM, "erg/s/cm2/A"),
            ("FLUX_ERR", FLAM_ERR, "erg/s/cm2/A"),
        ],
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_flux_and_error_are_in_microjansky(case: str, tmp_path: Path) -> None:
    name, columns = RIGHT[case]
    write_table(tmp_path / "a_x1d.fits", name, columns, {"GRATING": "PRISM"}, {})
    spectrum = SpectrumData.from_fits(tmp_path / "a_x1d.fits")
    np.testing.assert_allclose(spectrum.wavelength, WAVE, rtol=1e-12)
    np.testing.assert_allclose(spectrum.fnu, FNU, rtol=1e-9)
    np.testing.assert_allclose(spectrum.fnu_err, ERR, rtol=1e-9)


@pytest.mark.parametrize("unit", ["MJY", "Mjy", "MJy/sr", "FLAM", "counts", "mag"])
def test_a_unit_that_is_ambiguous_or_none_of_flux_is_refused(unit: str, tmp_path: Path) -> None:
    columns = [("wave", WAVE, "um"), ("flux", FNU, unit), ("err", ERR, unit)]
    write_table(tmp_path / "a.spec.fits", "SPEC1D", columns, {}, {"GRATING": "PRISM"})
    with pytest.raises(ValidationError, match=unit):
        SpectrumData.from_fits(tmp_path / "a.spec.fits")


def test_a_pipeline_flux_without_a_unit_is_refused_whatever_its_error_says(tmp_path: Path) -> None:
    columns = [("WAVELENGTH", WAVE, "um"), ("FLUX", FNU, ""), ("FLUX_ERROR", ERR, "Jy")]
    write_table(tmp_path / "a_x1d.fits", "EXTRACT1D", columns, {"GRATING": "PRISM"}, {})
    with pytest.raises(ValidationError, match="FLUX has no unit"):
        SpectrumData.from_fits(tmp_path / "a_x1d.fits")


def test_a_flux_without_a_unit_beside_wavelengths_with_one_is_refused(tmp_path: Path) -> None:
    """It may be counts, or a ratio; where nothing has a unit, the layout says it."""
    path = tmp_path / "a.spec.fits"
    columns = [("wave", WAVE, "um"), ("flux", FNU, ""), ("err", ERR, "")]
    write_table(path, "SPEC1D", columns, {}, {"GRATING": "PRISM"})
    with pytest.raises(ValidationError, match="column flux has no unit"):
        SpectrumData.from_fits(path)
    path.unlink()
    write_table(path, "SPEC1D", [(name, values, "") for name, values, _ in columns], {}, {"GRATING": "PRISM"})
    np.testing.assert_allclose(SpectrumData.from_fits(path).fnu, FNU, rtol=1e-9)


@pytest.mark.parametrize("brightness", [True, False])
def test_a_table_of_surface_brightness_only_is_said_to_be_one(
    brightness: bool, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    values = FNU if brightness else FNU * np.nan
    columns = [
        ("WAVELENGTH", WAVE, "um"),
        ("FLUX", FNU * np.nan, "Jy"),
        ("FLUX_ERROR", ERR * np.nan, "Jy"),
        ("SURF_BRIGHT", values, "MJy/sr"),
    ]
    write_table(tmp_path / "a_x1d.fits", "EXTRACT1D", columns, {"GRATING": "PRISM"}, {})
    assert SpectrumData.from_fits(tmp_path / "a_x1d.fits").mask.all()
    assert [w.category for w in recwarn] == ([CampfireWarning] if brightness else [])
