"""A small catalogue with every difficulty in it, as rows of the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.store.catalog import Catalog
from campfire.typing import Row

TAGS = ["lrd", "blagn", "star"]
PROGRAMS = ["ember-uds", "a_b", "axb", "gto_wide"]
GRATINGS = ["PRISM", "G140M", "G395M"]
CENTRES = {"cosmos": (150.1, 2.2), "wrap": (0.0, -1.0), "north": (40.0, 62.0), "pole": (10.0, 89.9995)}


class Rows(dict[str, list[Row]]):
    """Rows by table; with a short name in reports of hypothesis."""

    def __repr__(self) -> str:
        return "rows"


def make_rows(n_objects: int = 120, seed: int = 1) -> Rows:
    """Objects around RA 0, at dec 62 and at the pole, with nulls, ties, flags and dates of all kinds."""
    rng = np.random.default_rng(seed)

    def perhaps(value: Any, chance: float = 0.25) -> Any:
        return None if rng.random() < chance else value

    objects: list[Row] = []
    spectra: list[Row] = []
    photometry: list[Row] = []
    for n in range(n_objects):
        field = list(CENTRES)[n % 4]
        ra0, dec0 = CENTRES[field]
        spread = 10.0 if field == "pole" else 4.0
        east, north = rng.uniform(-spread, spread, 2) / 3600
        dec = dec0 + north
        dec = 180.0 - dec if dec > 90.0 else dec
        ra = rng.uniform(0, 360) if field == "pole" else (ra0 + east / np.cos(np.radians(dec))) % 360
        quality = int(rng.integers(0, 5))
        program = PROGRAMS[int(rng.integers(0, 4))]
        observation = f"{program.replace('-', '_')}_p{int(rng.integers(1, 3))}"
        targets = [f"{observation}_{1000 + n}"] + (
            [f"{observation}_{5000 + n}"] if rng.random() < 0.3 else []
        )
        dates = [
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00:00.5+00:00",
            "2026-01-01T00:00:00Z",
            "2026-02-01",
        ]
        inspected, changed = (perhaps(dates[int(rng.integers(0, 4))], 0.4) for _ in range(2))
        redshift = round(float(rng.integers(0, 8)), 6)
        mine: list[Row] = []
        for target in targets:
            for grating in rng.permutation(GRATINGS)[: rng.integers(0, 4)].tolist():
                name = f"{observation}_{grating.lower()}_clear_{target.rpartition('_')[2]}"
                snr = perhaps(float(rng.integers(0, 12)))
                mine.append(
                    {
                        "id": len(spectra) + len(mine) + 1,
                        "spectrum_id": name,
                        "target_id": target,
                        "object_id": f"J{n:04d}",
                        "grating": grating,
                        "fits_path": f"spectra/{observation}/{name}_spec.fits",
                        "file_hash": perhaps(f"sha256:{n:064x}"),
                        "file_size": perhaps(1000 + n),
                        "signal_to_noise": snr,
                        "exposure_time": perhaps(100.0 * n),
                        "reduction_version": perhaps("v0.3"),
                        "redshift_auto": perhaps(redshift),
                        "dq_flags": int(rng.choice([0, 0, 1, 2, 32, 34, 256, 512 + 2])),
                        "program_slug": program,
                        "observation": observation,
                        "field": field,
                        "created_at": "2026-01-01T00:00:00.1",
                        "updated_at": "2026-01-05T00:00:00+00:00",
                    }
                )
        spectra += mine
        objects.append(
            {
                "id": 1000 - n,
                "object_id": f"J{n:04d}",
                "field": field,
                "ra": float(ra),
                "dec": float(dec),
                "n_targets": len(targets),
                "n_spectra": len(mine),
                "programs": [program],
                "gratings": sorted({row["grating"] for row in mine}),
                "max_snr": max(
                    (row["signal_to_noise"] for row in mine if row["signal_to_noise"]), default=None
                ),
                "max_exposure_time": perhaps(50.0 * n),
                "redshift": None if quality == 1 else perhaps(redshift),
                "redshift_quality": quality,
                "redshift_inspected": perhaps(redshift),
                "redshift_auto": perhaps(redshift),
                "inspected_used_auto": False,
                "last_inspected_at": inspected,
                "last_inspected_by": None,
                "last_data_change_at": changed,
                "staleness_reason": perhaps("reprocessed"),
                "version": 1,
                "created_at": None,
                "updated_at": f"2026-01-{1 + n % 28:02d}T00:00:00+00:00",
                "member_target_ids": targets,
                "lists": [tag for tag in TAGS if rng.random() < 0.2],
            }
        )
        for catalog_number in range(int(rng.integers(0, 3))):
            photometry.append(
                {
                    "id": len(photometry) + 1,
                    "object_id": f"J{n:04d}",
                    "field": field,
                    "catalog_name": f"Catalogue {catalog_number}",
                    "catalog_id": str(n),
                    "match_distance_arcsec": 0.1 * (2 - catalog_number),
                    "photometry": {"flux_unit": "uJy", "bands": {"f444w": {"flux": 1.5, "flux_err": 0.1}}},
                    "photo_z": perhaps(float(n % 7) + 0.5),
                    "photo_z_err_lo": 0.1,
                    "photo_z_err_hi": 9.0,
                    "has_pz": False,
                    "created_at": None,
                    "updated_at": "2026-01-01T00:00:00+00:00",
                }
            )
    spectra.append(
        spectra[0]
        | {
            "id": 9999,
            "spectrum_id": "lost_prism_clear_1",
            "target_id": "lost_1",
            "object_id": None,
            "grating": "PRISM",
            "fits_path": "spectra/lost/x_spec.fits",
        }
    )
    tags = [
        {"id": n + 1, "slug": slug, "name": slug.upper(), "visibility": "public_edit", "is_system": True}
        for n, slug in enumerate(TAGS)
    ]
    programs = [
        {"slug": slug, "program_name": slug, "jwst_program": 1000 + n} for n, slug in enumerate(PROGRAMS)
    ]
    return Rows(objects=objects, spectra=spectra, photometry=photometry, tags=tags, programs=programs)


def fill(catalog: Catalog, rows: dict[str, list[Row]], *, pack: bool = False) -> None:
    """Write rows into a catalogue."""
    with catalog.write(pack=pack) as writer:
        writer.put_programs(rows["programs"])
        writer.put_tags(rows["tags"])
        writer.put_objects(rows["objects"])
        writer.put_spectra(rows["spectra"])
        writer.put_photometry(rows["photometry"])


@pytest.fixture(scope="session")
def rows() -> Rows:
    return make_rows()


@pytest.fixture(scope="session")
def put_all(rows: Rows) -> Callable[[Catalog], None]:
    """Writes all rows into a catalogue of one's own."""
    return lambda catalog: fill(catalog, rows)


@pytest.fixture(scope="session")
def catalog(rows: dict[str, list[Row]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """The difficult catalogue; some files of its spectra are on the disk. Not to be written to."""
    root: Path = tmp_path_factory.mktemp("archive")
    for row in rows["spectra"][::3]:
        file = root / "products" / row["observation"] / row["fits_path"].rpartition("/")[2]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    with Catalog(root / "meta" / "campfire.db") as made:
        fill(made, rows)
        yield made
