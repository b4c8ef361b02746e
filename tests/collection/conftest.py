"""Real spectrum files of three gratings, float32 and float64, of unequal lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.collection.row_sources import FileSource
from campfire.formats.spec_reader import file_hash
from campfire.formats.spec_writer import write_spectrum
from campfire.typing import FloatArray

RANGES = {"PRISM": (0.6, 5.3, 40), "G395M": (2.9, 5.1, 60), "G140M": (1.0, 1.8, 50)}


@dataclass
class Archive:
    """Files on disk, with the catalogue columns that go with them."""

    sources: list[FileSource] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def pick(self, rows: list[int]) -> tuple[list[FileSource], dict[str, Any]]:
        return [self.sources[r] for r in rows], {k: [v[r] for r in rows] for k, v in self.columns.items()}

    def of(self, grating: str) -> tuple[list[FileSource], dict[str, Any]]:
        return self.pick([i for i, g in enumerate(self.columns["grating"]) if g == grating])


Maker = Callable[..., Archive]


def make_files(folder: Path, gratings: list[str], seed: int = 0, start: int = 0) -> Archive:
    """Write one file a grating asked for."""
    rng = np.random.default_rng(seed)
    archive = Archive()
    rows: list[dict[str, Any]] = []
    folder.mkdir(parents=True, exist_ok=True)
    for i, grating in enumerate(gratings, start):
        low, high, longest = RANGES[grating]
        n = longest - int(rng.integers(0, 6))
        wave = np.linspace(low, high, n) * (1 + 1e-4 * rng.random())
        dtype = np.dtype("f4" if rng.random() < 0.5 else "f8")
        fnu: FloatArray = (1 + 0.1 * rng.normal(size=n)).astype(dtype)
        err: FloatArray = (0.1 + 0.01 * rng.random(n)).astype(dtype)
        bad = rng.random(n) < 0.05
        fnu[bad], err[bad] = np.nan, np.nan
        spectrum_id = f"o_{grating.lower()}_clear_{i}"
        path = folder / f"{spectrum_id}_spec.fits"
        write_spectrum(
            path,
            {
                "wavelength": wave,
                "fnu": fnu,
                "fnu_err": err,
                "header": {"GRATING": grating},
                "grating": grating,
                "spectrum_id": spectrum_id,
            },
        )
        archive.sources.append(FileSource(str(path), file_hash(path)))
        rows.append(
            {
                "spectrum_id": spectrum_id,
                "object_id": f"obj_{i // 2}",
                "grating": grating,
                "redshift": None if i % 7 == 3 else 0.5 * i,
                "redshift_quality": i % 5,
                "signal_to_noise": float(i),
                "dq_flags": (i * 3) % 8,
                "ra": 150.0 + i,
                "tags": ["lrd", "agn"][: i % 3],
            }
        )
    archive.columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    return archive


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Twenty files of three gratings, mixed."""
    gratings = [("PRISM", "G395M", "PRISM", "G140M", "PRISM")[i % 5] for i in range(20)]
    return make_files(tmp_path_factory.mktemp("products"), gratings)


@pytest.fixture(scope="session")
def maker() -> Maker:
    return make_files
