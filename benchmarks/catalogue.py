"""Speed and memory of the catalogue against the straightforward way, on the same machine in the same run.

The straightforward way: one dictionary a row, ``Table(rows=...)``, and a full scan for a cone. Run it with

    python benchmarks/catalogue.py [--objects 33000] [--million]

It prints one line a figure with the ratio that is asked for, and exits 1 if one is missed.
"""

from __future__ import annotations

import argparse
import math
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from campfire.columns import to_table
from campfire.query import Query
from campfire.store.catalog import Catalog
from campfire.store.sync import synchronise
from campfire.typing import Page, Row

GRATINGS = ("PRISM", "G140M", "G235M", "G395M")
FIELDS = {"cosmos": (150.1, 2.3), "uds": (34.3, -5.2), "egs": (214.9, 52.8), "north": (0.0, 62.0)}


class Rows:
    """A service that makes its rows up as they are asked for, the same for the same number."""

    def __init__(self, objects: int, spectra_each: float = 1.43, page: int = 1000) -> None:
        self.objects, self.page = objects, page
        self.spectra = int(objects * spectra_each)

    def metadata(self) -> Mapping[str, Any]:
        """Eight programs."""
        return {"programs": [{"slug": f"prog-{n}", "program_name": f"Program {n}"} for n in range(8)]}

    def observations(self) -> Sequence[Row]:
        """150 observations."""
        names = list(FIELDS)
        return [
            {"observation": f"obs_p{n}", "program_slug": f"prog-{n % 8}", "field": names[n % 4]}
            for n in range(150)
        ]

    def sync_lists(self) -> list[Row]:
        """One tag."""
        return [
            {
                "id": 1,
                "slug": "lrd",
                "name": "Little Red Dots",
                "visibility": "public_edit",
                "is_system": True,
            }
        ]

    def sync_objects(self, updated_since: str | None = None) -> Iterator[Page]:
        """Pages of objects."""
        return self._pages(self.objects, self.object_row, updated_since)

    def sync_spectra(self, updated_since: str | None = None) -> Iterator[Page]:
        """Pages of spectra."""
        return self._pages(self.spectra, self.spectrum_row, updated_since)

    def sync_photometry(self, updated_since: str | None = None) -> Iterator[Page]:
        """Pages of photometric records."""
        return self._pages(self.objects // 2, self.photometry_row, updated_since)

    def _pages(self, total: int, make: Callable[[int], Row], since: str | None) -> Iterator[Page]:
        if since is not None:
            yield {"rows": [], "total": 0, "accessible": total}
            return
        for start in range(0, total, self.page):
            rows = [make(n) for n in range(start, min(total, start + self.page))]
            yield {"rows": rows, "total": total, "accessible": total}

    def object_row(self, n: int) -> Row:
        """The n-th object."""
        name = list(FIELDS)[n % 4]
        ra0, dec0 = FIELDS[name]
        # Golden-ratio sequences: even coverage of a quarter of a degree, without a random generator a row.
        u, v, w = (n * 0.6180339887) % 1, (n * 0.7548776662) % 1, (n * 0.5698402910) % 1
        quality = (0, 0, 2, 3, 4)[n % 5]
        redshift = round(12 * w, 6)
        members = [f"obs_p{n % 150}_{n}"]
        return {
            "id": n + 1,
            "object_id": f"J{n:09d}+000000.0",
            "field": name,
            "ra": (ra0 + (u - 0.5) * 0.5 / math.cos(math.radians(dec0))) % 360,
            "dec": dec0 + (v - 0.5) * 0.5,
            "n_targets": 1,
            "n_spectra": 1,
            "programs": [f"prog-{n % 8}"],
            "gratings": [GRATINGS[n % 4]],
            "max_snr": 50 * u,
            "max_exposure_time": 3000.0 + n % 1000,
            "redshift": None if n % 17 == 0 else redshift,
            "redshift_quality": quality,
            "redshift_inspected": redshift if quality else None,
            "redshift_auto": redshift,
            "inspected_used_auto": False,
            "last_inspected_at": "2026-02-01T10:00:00+00:00" if quality else None,
            "last_inspected_by": "0b6f0000-0000-0000-0000-000000000001" if quality else None,
            "last_data_change_at": None,
            "staleness_reason": None,
            "version": 1,
            "is_active": True,
            "created_at": "2026-01-01T00:00:00+00:00",
            "updated_at": "2026-02-01T10:00:00.5+00:00",
            "member_target_ids": members,
            "spectra": [{"id": n, "target_id": members[0], "grating": "PRISM"}],
            "lists": ["lrd"] if n % 50 == 0 else [],
        }

    def spectrum_row(self, n: int) -> Row:
        """The n-th spectrum."""
        target = n % self.objects
        observation, grating = f"obs_p{target % 150}", GRATINGS[(target + n // self.objects) % 4]
        name = f"{observation}_{grating.lower()}_clear_{target}"
        return {
            "id": n + 1,
            "spectrum_id": name,
            "target_id": f"{observation}_{target}",
            "object_id": f"J{target:09d}+000000.0",
            "grating": grating,
            "fits_path": f"spectra/{observation}/{name}_spec.fits",
            "file_hash": f"sha256:{n:064x}",
            "file_size": 800_000 + n,
            "signal_to_noise": None if n % 23 == 0 else (n * 0.618) % 40,
            "exposure_time": 3501.5,
            "reduction_version": "v0.3",
            "redshift_auto": (n * 0.7548) % 12,
            "dq_flags": (1 << n % 9) if n % 7 == 0 else 0,
            "program_slug": f"prog-{target % 8}",
            "observation": observation,
            "field": list(FIELDS)[target % 4],
            "created_at": "2026-01-01T00:00:00.1",
            "updated_at": "2026-01-05T00:00:00+00:00",
        }

    def photometry_row(self, n: int) -> Row:
        """The n-th photometric record."""
        band = {"flux": 0.42, "flux_err": 0.03, "wav": 4.415974, "wav_min": 3.80237, "wav_max": 5.09955}
        return {
            "id": n + 1,
            "object_id": f"J{2 * n:09d}+000000.0",
            "field": "cosmos",
            "catalog_name": "Demo v1",
            "catalog_id": str(n),
            "match_distance_arcsec": 0.04,
            "photometry": {"flux_unit": "uJy", "bands": {f"f{w}w": band for w in (115, 150, 277, 356, 444)}},
            "photo_z": 4.1,
            "photo_z_err_lo": 3.9,
            "photo_z_err_hi": 4.3,
            "has_pz": True,
            "created_at": "2026-01-01T00:00:00+00:00",
            "updated_at": "2026-01-01T00:00:00+00:00",
        }


def best(action: Callable[[], Any], repeats: int = 5) -> float:
    """Shortest of several runs, seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_memory() -> float:
    """Largest memory this process ever had, MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def straightforward(path: Path, sql: str, parameters: Sequence[Any] = ()) -> Any:
    """Row dictionaries and ``Table(rows=...)``."""
    from astropy.table import Table

    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute(sql, parameters)]
    connection.close()
    return Table(rows=rows)


def scan(path: Path, ra: float, dec: float, radius: float) -> Any:
    """A cone by a full scan: every row a dictionary, the distance in Python, then a table."""
    from astropy.table import Table

    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    rows = []
    for row in connection.execute("SELECT * FROM objects"):
        a, b = math.radians(row["dec"] - dec) / 2, math.radians(row["ra"] - ra) / 2
        h = (
            math.sin(a) ** 2
            + math.cos(math.radians(dec)) * math.cos(math.radians(row["dec"])) * math.sin(b) ** 2
        )
        if math.degrees(2 * math.asin(math.sqrt(h))) * 3600 <= radius:
            rows.append(dict(row))
    connection.close()
    return Table(rows=rows)


CHOSEN = (
    "SELECT * FROM objects WHERE redshift >= 4 AND redshift <= 8 AND redshift_quality IN (3, 4)"
    " ORDER BY object_id"
)
SPECTRA = (
    "SELECT s.*, o.object_id, o.redshift, o.redshift_quality, o.ra, o.dec FROM spectra s"
    " LEFT JOIN objects o ON o.id = s.object_pk ORDER BY s.spectrum_id"
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=33_000)
    parser.add_argument("--million", action="store_true", help="also the cone at a million objects (minutes)")
    options = parser.parse_args()
    missed: list[str] = []

    def line(name: str, value: float, wanted: float, unit: str, *, at_least: bool) -> None:
        good = value >= wanted if at_least else value <= wanted
        sign = ">=" if at_least else "<="
        print(f"{'ok  ' if good else 'MISS'} {name:<58} {value:9.2f} {unit:<3} (wanted {sign} {wanted:g})")
        if not good:
            missed.append(name)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "meta" / "campfire.db"
        with Catalog(path) as catalog:
            start = time.perf_counter()
            before = peak_memory()
            synchronise(catalog, Rows(options.objects))
            print(f"     full sync: {time.perf_counter() - start:.1f} s")
            peak = peak_memory() - before
            line("growth of memory during a sync", peak, 100, "MB", at_least=False)

            everything = Query.of("spectra")
            ours = best(lambda: to_table(catalog.select(everything)))
            theirs = best(lambda: straightforward(path, SPECTRA), 2)
            print(f"     all spectra: {ours * 1e3:.0f} ms against {theirs * 1e3:.0f} ms")
            line("all spectra into a table", theirs / ours, 5, "x", at_least=True)

            chosen = Query.of("objects", redshift_range=(4, 8), redshift_quality=[3, 4])
            ours = best(lambda: to_table(catalog.select(chosen)))
            theirs = best(lambda: straightforward(path, CHOSEN), 3)
            print(f"     {catalog.count(chosen)} objects: {ours * 1e3:.1f} ms against {theirs * 1e3:.1f} ms")
            line("redshift and quality filter", theirs / ours, 3, "x", at_least=True)

            ra, dec = FIELDS["north"]
            cone = Query.of("objects", cone_search=(ra, dec, 30.0))
            ours = best(lambda: to_table(catalog.select(cone)), 20)
            theirs = best(lambda: scan(path, ra, dec, 30.0), 3)
            found = len(catalog.select(cone))
            print(f"     cone, {found} rows: {ours * 1e3:.2f} ms, scan {theirs * 1e3:.1f} ms")
            line("cone search against a full scan", theirs / ours, 6, "x", at_least=True)

        if options.million:
            big = Path(folder) / "big" / "campfire.db"
            with Catalog(big) as catalog:
                source = Rows(1_000_000)
                with catalog.write() as writer:
                    writer.put_objects(source.object_row(n) for n in range(source.objects))
                query = Query.of("objects", cone_search=(*FIELDS["north"], 10.0))
                taken = best(lambda: catalog.select(query), 20) * 1e3
                print(f"     {len(catalog.select(query))} rows among a million objects")
                line("cone at a million objects, its rows", taken, 5, "ms", at_least=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
