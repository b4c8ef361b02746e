"""1-D spectra as others write them, made by astropy with no code of the package."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

WAVE = np.linspace(1.0, 5.0, 60)
FNU = 2.0 + np.sin(WAVE)
ERR = np.full(60, 0.1)
FLAM = FNU * 2.99792458e-19 / WAVE**2
PLACE = {"SRCRA": 150.1, "SRCDEC": 2.2}


def write_table(
    path: Path,
    name: str,
    columns: Sequence[tuple[str, Any, str]],
    primary: dict[str, Any],
    table: dict[str, Any],
) -> None:
    """Written by astropy, with no code of the package."""
    hdu = fits.BinTableHDU.from_columns(
        [
            fits.Column(c, "D" if np.asarray(v).dtype.kind == "f" else "J", unit=u or None, array=v)
            for c, v, u in columns
        ],
        name=name,
    )
    hdu.header.update(table)
    first = fits.PrimaryHDU()
    first.header.update(primary)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = path.with_name("content.tmp")
    fits.HDUList([first, hdu]).writeto(content)
    data = content.read_bytes()
    content.unlink()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def dja(path: Path, source: int = 732, grating: str = "PRISM", **cards: Any) -> None:
    columns = [("wave", WAVE, "um"), ("flux", FNU, "uJy"), ("err", ERR, "uJy")]
    write_table(
        path,
        "SPEC1D",
        columns,
        {},
        {"GRATING": grating, "FILTER": "CLEAR", "SOURCEID": source, "PROGRAM": "01747"} | PLACE | cards,
    )


def x1d(
    path: Path, source: int = 6355, *, hdu: str = "EXTRACT1D", error: str = "FLUX_ERROR", **cards: Any
) -> None:
    columns = [
        ("WAVELENGTH", WAVE, "um"),
        ("FLUX", FNU * 1e-6, "Jy"),
        (error, ERR * 1e-6, "Jy"),
        ("DQ", np.zeros(60, np.int32), ""),
    ]
    write_table(
        path,
        hdu,
        columns,
        {"GRATING": "G395M", "FILTER": "F290LP", "EFFEXPTM": 8753.3, "PROGRAM": "02736"} | cards,
        {"SOURCEID": source} | PLACE,
    )


def jades(path: Path, unit: str = "erg/s/cm2/A") -> None:
    columns = [("WAVELENGTH", WAVE * 1e-6, "m"), ("FLUX", FLAM, unit), ("FLUX_ERR", FLAM * ERR / FNU, unit)]
    write_table(path, "EXTRACT1D", columns, {"RA": 53.1, "DEC": -27.8}, {})
