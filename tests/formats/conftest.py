"""A complete product made of plain numpy, and the real files, for every test of formats."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.formats.spec_writer import SpecProduct, write_product
from campfire.formats.zfit import ZFit, write_zfit

STEM = "ember_uds_p4_prism_clear_123456"
REAL = Path(__file__).parents[3] / "shared" / "data" / "spectra"
_REAL_FILES: list[Path | None] = [*sorted(REAL.glob("*.fits*"))]


def make_product(
    *, n_wave: int = 40, n_spatial: int = 7, combined: bool = False, seed: int = 0, **header: Any
) -> SpecProduct:
    rng = np.random.default_rng(seed)
    wave = 0.6 + np.cumsum(rng.uniform(0.003, 0.02, n_wave))
    profile = np.exp(-0.5 * ((np.arange(n_spatial) - n_spatial / 2) / 1.2) ** 2)
    profile /= profile.sum()
    fnu = rng.normal(1.0, 0.3, n_wave)
    table: dict[str, np.ndarray[Any, Any]] = {
        "wave": wave,
        "fnu": fnu.astype(np.float32),
        "fnu_err": rng.uniform(0.05, 0.2, n_wave).astype(np.float32),
    }
    for width in "345":
        table[f"fnu_{width}px"] = fnu * rng.normal(1.0, 0.01, n_wave)
        table[f"fnu_{width}px_err"] = rng.uniform(0.05, 0.2, n_wave)
    if n_wave > 4:
        for name in [key for key in table if key != "wave" and not key.endswith("_err")]:
            table[name][[0, n_wave - 2]] = np.nan
    if combined:
        table["n_combined"] = np.full(n_wave, 2)
        header |= {"CMPFRSTG": "stage3-1d", "NCOMBINE": 2}
    sci = profile[:, None] * np.nan_to_num(fnu)[None, :] * 1e-12
    weights = np.ones_like(sci)
    if n_wave:
        weights[0, :2] = 0.0
    return {
        "header": {
            "CMPFRTIM": "2026-01-02T03:04:05",
            "CMPFRVER": "0.5.1",
            "GRATING": "PRISM",
            "FILTER": "CLEAR",
            "EFFEXPTM": 1598.508,
            "PROGRAM": "01747",
            "DATE-OBS": "2023-08-01",
        }
        | header,
        "table": table,
        "sci": sci,
        "err": np.full_like(sci, 3e-14),
        "wavelength": np.broadcast_to(wave, sci.shape),
        "wht": weights,
        "sci_header": {"SRCTYPE": "POINT", "SOURCEID": 123456, "SRCRA": 34.3203, "SRCDEC": -5.2227},
        "profile": {"ypos": np.arange(n_spatial) + 0.5, "opt": profile}
        | {f"{width}px": np.eye(n_spatial)[width] for width in (3, 4, 5)},
        "exposures": [
            {
                "filename": f"jw01747001001_0310{number}_nrs1_cal.fits",
                "dither_type": "NONE",
                "nod_type": "3-SHUTTER-SLITLET",
                "nod_number": number,
                "dither_number": 1,
                "exptime": 532.836,
                "stuck_shutter_list": "N/A",
                "shutter_state": "1x1",
                "source_ra": 34.3203,
                "source_dec": -5.2227,
                "source_xpos": 0.1,
                "source_ypos": -0.2,
                "v3pa": 12.5,
            }
            for number in (1, 2, 3)
        ],
    }


@pytest.fixture
def product_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a product and return its path; the arguments are those of make_product."""

    def write(name: str = f"{STEM}_spec.fits", **arguments: Any) -> Path:
        path = tmp_path / name
        write_product(path, make_product(**arguments), overwrite=True)
        return path

    return write


@pytest.fixture(params=_REAL_FILES or [None], ids=lambda p: p.name[:20] if p else "absent")
def real_file(request: pytest.FixtureRequest) -> Path:
    """Each real file of other software in turn; skips where they are absent."""
    if request.param is None:
        pytest.skip("the sample of real spectra is not here")
    path: Path = request.param
    return path


@pytest.fixture
def product() -> Callable[..., SpecProduct]:
    """Return make_product."""
    return make_product


@pytest.fixture
def zfit() -> ZFit:
    """Return a redshift fit whose minimum is at z = 2."""
    return make_zfit()


def make_zfit() -> ZFit:
    z = np.concatenate([np.linspace(0, 1.9, 20), np.linspace(1.91, 2.09, 19), np.linspace(2.2, 20, 30)])
    wave = np.linspace(0.6, 5.3, 40)
    return {
        "redshift": float(z[np.argmin((z - 2) ** 2)]),
        "zqual": 0,
        "confidence": 98.76,
        "chi2_min": 123.456,
        "z": z,
        "chi2": (z - 2) ** 2 * 50 + 123.456,
        "model_wave": wave,
        "model_fnu": 1 + wave,
    }


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a small product, of a redshift fit, and of the gzipped product."""
    folder = tmp_path_factory.mktemp("pristine")
    write_product(folder / "a_spec.fits", make_product(n_wave=12))
    write_zfit(folder / "a_zfit.fits", make_zfit())
    plain = (folder / "a_spec.fits").read_bytes()
    return {"spec": plain, "zfit": (folder / "a_zfit.fits").read_bytes(), "gz": gzip.compress(plain, mtime=0)}
