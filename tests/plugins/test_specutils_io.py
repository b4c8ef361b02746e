"""Statement checked: ``Spectrum.read`` and ``.write`` know the format "campfire" once both are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits, registry
from astropy.nddata import InverseVariance
from specutils import Spectrum, SpectrumList

from campfire.errors import ValidationError
from campfire.models import SpectrumData
from campfire.plugins import specutils_io

SPECTRA = Path(__file__).parents[3] / "shared" / "data" / "spectra"


@pytest.fixture(autouse=True)
def registered() -> None:
    specutils_io.register()


@pytest.fixture
def spec() -> SpectrumData:
    flux = np.array([1.0, np.nan, 3.0])
    header = {"EFFEXPTM": 5.0, "HISTORY": ["a", "b"]}
    return SpectrumData(
        [1.0, 2.0, 3.0], flux, [0.1, 0.1, 0.2], header, "PRISM", "a_prism_clear_1", redshift=3.1
    )


@pytest.fixture
def path(tmp_path: Path, spec: SpectrumData) -> Path:
    path = tmp_path / "a_prism_clear_1_spec.fits"
    spec.write(path)
    return path


def test_what_is_read_is_the_spectrum(path: Path) -> None:
    expected = SpectrumData.from_fits(path)
    assert SpectrumData.from_specutils(Spectrum.read(path, format="campfire")) == expected
    assert SpectrumData.from_specutils(Spectrum.read(str(path))) == expected
    (only,) = SpectrumList.read(path, format="campfire")
    assert SpectrumData.from_specutils(only) == expected


def test_what_is_written_reads_back(tmp_path: Path, spec: SpectrumData) -> None:
    path = tmp_path / "b_prism_clear_2_spec.fits"
    spec.to_specutils().write(path, format="campfire")
    back = SpectrumData.from_fits(path)
    back.fits_path = None
    assert back == spec
    with pytest.raises(ValidationError):
        spec.to_specutils().write(path, format="campfire")
    spec.to_specutils().write(path, format="campfire", overwrite=True)


def test_foreign_spectrum_is_written_in_our_units(tmp_path: Path) -> None:
    path = tmp_path / "c_prism_clear_3_spec.fits"
    foreign = Spectrum(
        spectral_axis=[300, 200, 100] * u.THz,
        flux=[1, 2, 3] * u.nJy,
        uncertainty=InverseVariance([1, 4, 16.0]),
    )
    foreign.write(path, format="campfire")
    spec = SpectrumData.from_fits(path)
    np.testing.assert_allclose(spec.fnu, np.array([1, 2, 3]) * 1e-3)
    np.testing.assert_allclose(spec.fnu_err, np.array([1, 0.5, 0.25]) * 1e-3)


def test_extraction_is_passed_on(path: Path) -> None:
    with pytest.raises(ValidationError, match="3px"):
        Spectrum.read(path, format="campfire", extraction="3px")


def test_only_our_layout_is_claimed(path: Path, tmp_path: Path) -> None:
    def formats(file: Path) -> list[str]:
        return list(registry.identify_format("read", Spectrum, str(file), None, [], {}))

    assert "campfire" in formats(path)
    table = tmp_path / "table.fits"
    fits.BinTableHDU.from_columns([fits.Column("flux", "D", array=np.ones(3))]).writeto(table)
    text = tmp_path / "text.fits"
    text.write_text("SIMPLE")
    for other in (table, text, tmp_path / "absent.fits", tmp_path):
        assert "campfire" not in formats(other)


@pytest.mark.skipif(not SPECTRA.is_dir(), reason="no sample of real spectra beside the checkout")
def test_every_layout_is_read_by_name_and_none_is_claimed() -> None:
    for file in sorted(SPECTRA.glob("*.fits*"))[::2]:
        back = SpectrumData.from_specutils(Spectrum.read(file, format="campfire"))
        assert back == SpectrumData.from_fits(file)
        assert "campfire" not in registry.identify_format("read", Spectrum, str(file), None, [], {})


@pytest.mark.parametrize(
    "first", ["", "from campfire.plugins.specutils_io import register; register(); register()"]
)
def test_registered_once_both_are_imported(first: str, path: Path) -> None:
    program = (
        f"import campfire, sys\nassert 'specutils' not in sys.modules\n{first}\n"
        "from specutils import Spectrum\n"
        f"assert len(Spectrum.read({str(path)!r}, format='campfire').flux) == 3"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
