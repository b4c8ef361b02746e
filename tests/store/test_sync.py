"""Statements checked: a sync finds every kind of change, never wipes, and is whole or not at all.

The service is an object that behaves as the wire contract says, and misbehaves on demand.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from campfire.columns import COLUMNS
from campfire.errors import APIError, CampfireError
from campfire.query import Query
from campfire.store.catalog import Catalog
from campfire.store.sync import synchronise
from campfire.typing import Page, Row

START = datetime(2026, 3, 1, tzinfo=UTC)


class Service:
    """A service with its rows in memory; ``damage`` may change the pages of a table on their way."""

    def __init__(self, n: int = 12, page: int = 5) -> None:
        self.page = page
        self.now = START
        self.programs = ["alpha", "beta"]
        self.objects: list[Row] = []
        self.spectra: list[Row] = []
        self.photometry: list[Row] = []
        self.lists: list[Row] = [self.tag(1, "lrd"), self.tag(2, "star")]
        self.asked: list[tuple[str, str | None]] = []
        self.damage: dict[str, Callable[[list[Page]], list[Page]]] = {}
        for number in range(1, n + 1):
            self.add(number)

    def tag(self, pk: int, slug: str, members: int = 0) -> Row:
        return {
            "id": pk,
            "slug": slug,
            "name": slug,
            "visibility": "public_edit",
            "is_system": True,
            "member_count": members,
            "created_by": None,
            "description": None,
            "created_at": self.stamp(),
            "updated_at": self.stamp(),
        }

    def stamp(self) -> str:
        return self.now.isoformat()

    def add(self, number: int, program: str | None = None) -> None:
        program = program or self.programs[number % len(self.programs)]
        target = f"{program}_p1_{number}"
        self.objects.append(
            {
                "id": number,
                "object_id": f"J{number:04d}",
                "field": "uds",
                "ra": 34.0 + number / 100,
                "dec": -5.0,
                "n_targets": 1,
                "n_spectra": 2,
                "programs": [program],
                "gratings": ["G395M", "PRISM"],
                "max_snr": 9.5,
                "max_exposure_time": 100.0,
                "redshift": 1.0,
                "redshift_quality": 3,
                "redshift_inspected": 1.0,
                "redshift_auto": 1.1,
                "inspected_used_auto": False,
                "last_inspected_at": None,
                "last_inspected_by": None,
                "last_data_change_at": None,
                "staleness_reason": None,
                "version": 1,
                "is_active": True,
                "has_photometry": False,
                "photo_z": None,
                "photo_z_err_lo": None,
                "photo_z_err_hi": None,
                "created_at": self.stamp(),
                "updated_at": self.stamp(),
                "member_target_ids": [target],
                "lists": ["lrd"] if number % 3 == 0 else [],
                "spectra": [{"id": 2 * number, "target_id": target}],
            }
        )
        for pk, grating in ((2 * number, "PRISM"), (2 * number + 1, "G395M")):
            name = f"{program}_p1_{grating.lower()}_clear_{number}"
            self.spectra.append(
                {
                    "id": pk,
                    "spectrum_id": name,
                    "target_id": target,
                    "object_id": f"J{number:04d}",
                    "grating": grating,
                    "fits_path": f"spectra/{program}_p1/{name}_spec.fits",
                    "file_hash": f"sha256:{pk:064x}",
                    "file_size": 100,
                    "signal_to_noise": 9.5,
                    "exposure_time": 100.0,
                    "reduction_version": "v1",
                    "redshift_auto": 1.1,
                    "dq_flags": 0,
                    "program_slug": program,
                    "observation": f"{program}_p1",
                    "field": "uds",
                    "created_at": "2026-01-01T00:00:00",
                    "updated_at": self.stamp(),
                }
            )
        self.photometry.append(
            {
                "id": number,
                "object_id": f"J{number:04d}",
                "field": "uds",
                "catalog_name": "C",
                "catalog_id": "1",
                "match_distance_arcsec": 0.1,
                "photometry": {"flux_unit": "uJy", "bands": {}},
                "photo_z": 1.2,
                "photo_z_err_lo": 1.0,
                "photo_z_err_hi": 1.4,
                "has_pz": True,
                "created_at": self.stamp(),
                "updated_at": self.stamp(),
            }
        )

    def later(self, **step: float) -> None:
        self.now += timedelta(**(step or {"hours": 1}))

    def object(self, number: int) -> Row:
        return next(row for row in self.objects if row["id"] == number)

    def touch(self, row: Row, **changes: Any) -> None:
        row.update(changes, updated_at=self.stamp())

    def drop(self, number: int) -> None:
        """Soft-delete an object: its spectra vanish with it, without a trace."""
        targets = self.object(number)["member_target_ids"]
        self.objects = [row for row in self.objects if row["id"] != number]
        self.spectra = [row for row in self.spectra if row["target_id"] not in targets]

    # what the catalogue asks

    def metadata(self) -> Mapping[str, Any]:
        return {
            "fields": ["uds", "elsewhere"],
            "programs": [
                {"slug": slug, "program_name": slug.title(), "pi_name": None, "is_public": True}
                for slug in self.programs
            ],
        }

    def observations(self) -> list[Row]:
        return [
            {
                "observation": f"{slug}_p1",
                "program_slug": slug,
                "program_name": slug,
                "field": "uds",
                "target_count": 1,
                "spectrum_count": sum(row["program_slug"] == slug for row in self.spectra),
                "pointings": [{"n_dithers": 3}],
            }
            for slug in self.programs
        ]

    def sync_lists(self) -> list[Row]:
        return copy.deepcopy(self.lists)

    def sync_objects(self, updated_since: str | None = None) -> Iterator[Page]:
        rows = [row for row in self.objects if set(row["programs"]) & set(self.programs)]
        return self._pages("objects", sorted(rows, key=lambda row: row["object_id"]), updated_since)

    def sync_spectra(self, updated_since: str | None = None) -> Iterator[Page]:
        rows = [row for row in self.spectra if row["program_slug"] in self.programs]
        return self._pages("spectra", sorted(rows, key=lambda row: row["spectrum_id"]), updated_since)

    def sync_photometry(self, updated_since: str | None = None) -> Iterator[Page]:
        return self._pages("photometry", self.photometry, updated_since)

    def _pages(self, table: str, rows: list[Row], since: str | None) -> Iterator[Page]:
        self.asked.append((table, since))
        chosen = [
            r
            for r in rows
            if since is None or datetime.fromisoformat(r["updated_at"]) > datetime.fromisoformat(since)
        ]
        accessible = None if table == "photometry" else len(rows)
        pages: list[Page] = [
            {"rows": copy.deepcopy(chosen[n : n + self.page]), "total": len(chosen), "accessible": accessible}
            for n in range(0, max(1, len(chosen)), self.page)
        ]
        yield from self.damage.get(table, list)(pages)


def state(catalog: Catalog) -> dict[str, Any]:
    """Everything a user can see."""
    found: dict[str, Any] = {name: list(catalog.select(Query.of(name)).rows()) for name in COLUMNS}
    for row in found["objects"] + found["spectra"]:
        row.pop("local_path", None)
    found["tags"] = [row["slug"] for row in catalog.tags()]
    found["programs"] = [row["slug"] for row in catalog.programs()]
    found["photometry"] = {
        row["object_id"]: len(catalog.photometry_of(row["object_id"])) for row in found["objects"]
    }
    return found


def fresh(service: Service, folder: Path) -> dict[str, Any]:
    """What a catalogue made from nothing would hold."""
    with Catalog(folder / "fresh" / str(random.random()) / "meta" / "campfire.db") as catalog:
        synchronise(catalog, service)
        return state(catalog)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def catalog(tmp_path: Path, service: Service) -> Iterator[Catalog]:
    with Catalog(tmp_path / "meta" / "campfire.db") as made:
        synchronise(made, service)
        yield made


def test_documented_result(tmp_path: Path, service: Service) -> None:
    """Totals, rows received, tags, removed, incremental, stale files; progress is told."""
    told: list[tuple[str, int, int | None]] = []
    with Catalog(tmp_path / "meta" / "campfire.db") as catalog:
        assert not Catalog.is_valid(catalog.path)
        assert catalog.last_synced is None
        result = synchronise(catalog, service, progress=lambda *args: told.append(args))
        assert Catalog.is_valid(catalog.path)
        assert catalog.observations()[0]["pointings"] == [{"n_dithers": 3}]
    assert {k: result[k] for k in ("observations", "objects", "spectra", "photometry", "tags")} == {
        "observations": 2,
        "objects": 12,
        "spectra": 24,
        "photometry": 12,
        "tags": 2,
    }
    assert result["received"] == {
        "objects": 12,
        "spectra": 24,
        "photometry": 12,
        "observations": 2,
        "tags": 2,
    }
    assert (result["incremental"], result["stale_count"], result["stale_files"]) == (False, 0, [])
    assert ("objects", 12, 12) in told


def test_nothing_changed(catalog: Catalog, service: Service) -> None:
    """``last_synced`` moves on also when nothing changed; only what is new is asked for, with an overlap."""
    before, seen = catalog.last_synced, state(catalog)
    service.asked.clear()
    result = synchronise(catalog, service)
    assert result["incremental"]
    assert result["objects"] == 12
    assert catalog.last_synced is not None
    assert before is not None
    assert catalog.last_synced > before
    assert state(catalog) == seen
    assert all(
        since is None or datetime.fromisoformat(since) <= START - timedelta(minutes=5)
        for _, since in service.asked
    )
    assert [table for table, since in service.asked if since] == ["objects", "spectra", "photometry"]


def change_redshift(service: Service) -> None:
    service.touch(service.object(3), redshift=7.5, redshift_quality=4)


def add_object(service: Service) -> None:
    service.add(50)


def delete_object(service: Service) -> None:
    service.drop(4)


def delete_one_add_one(service: Service) -> None:
    service.drop(4)
    service.add(51)


def rename_object(service: Service) -> None:
    # neither its spectra nor its photometry are sent again, nor do they change on the wire before
    service.touch(service.object(5), object_id="J0005_moved")
    for row in service.spectra + service.photometry:
        if row["object_id"] == "J0005":
            row["object_id"] = "J0005_moved"


def swap_names(service: Service) -> None:
    first, second = service.object(6), service.object(7)
    names = first["object_id"], second["object_id"]
    service.touch(first, object_id=names[1])
    service.touch(second, object_id=names[0])
    other = dict(zip(names, reversed(names), strict=True))
    for row in service.spectra + service.photometry:
        row["object_id"] = other.get(row["object_id"], row["object_id"])


def renumber_object(service: Service) -> None:
    service.touch(service.object(8), id=800)


def relink_target(service: Service) -> None:
    giver, taker = service.object(1), service.object(2)
    moved = giver["member_target_ids"]
    service.touch(taker, member_target_ids=taker["member_target_ids"] + moved)
    service.touch(giver, member_target_ids=[])
    for row in service.spectra:
        if row["target_id"] in moved:
            row["object_id"] = taker["object_id"]


def renumber_spectrum(service: Service) -> None:
    service.touch(service.spectra[0], id=900)


def rename_spectrum(service: Service) -> None:
    service.touch(service.spectra[1], spectrum_id="alpha_p1_prism_clear_0001")


def revoke_program(service: Service) -> None:
    service.programs = ["alpha"]


def grant_program(service: Service) -> None:
    # old rows: nothing of them was updated
    now, service.now = service.now, START - timedelta(days=99)
    service.add(60, program="gamma")
    service.now = now
    service.programs = ["alpha", "beta", "gamma"]


def late_row(service: Service) -> None:
    now, service.now = service.now, START - timedelta(minutes=6)
    service.touch(service.object(9), redshift=5.0)
    service.now = now


def very_late_row(service: Service) -> None:
    now, service.now = service.now, START - timedelta(days=30)
    service.add(61)
    service.now = now


def tag_members(service: Service) -> None:
    service.touch(service.object(1), lists=["lrd", "star"])
    service.touch(service.object(3), lists=[])


def rename_tag(service: Service) -> None:
    service.lists[0]["slug"] = "little-red-dots"
    for row in service.objects:
        row["lists"] = ["little-red-dots" if slug == "lrd" else slug for slug in row["lists"]]


def delete_tag(service: Service) -> None:
    del service.lists[0]
    for row in service.objects:
        row["lists"] = []


def shared_tag(service: Service) -> None:
    # somebody made a list public: its members did not change
    service.lists.append(service.tag(3, "blagn", members=1))
    service.object(2)["lists"] = ["blagn"]


def shared_tag_and_one_member_changed(service: Service) -> None:
    service.lists.append(service.tag(3, "blagn", members=2))
    for number in (2, 4):
        service.object(number)["lists"] = ["blagn"]
    service.touch(service.object(2))


def renumber_tag(service: Service) -> None:
    service.lists[0]["id"] += 100


def one_went_an_old_one_came(service: Service) -> None:
    service.spectra.remove(next(row for row in service.spectra if row["program_slug"] == service.programs[0]))
    other = next(row for row in service.spectra if row["program_slug"] == service.programs[1])
    service.spectra.append(other | {"id": 9000, "spectrum_id": "late", "grating": "G140M"})


def delete_photometry(service: Service) -> None:
    del service.photometry[2]


def change_flags(service: Service) -> None:
    service.touch(service.spectra[0], dq_flags=34)


@pytest.mark.parametrize(
    "change",
    [
        change_redshift,
        add_object,
        delete_object,
        delete_one_add_one,
        rename_object,
        swap_names,
        renumber_object,
        relink_target,
        renumber_spectrum,
        rename_spectrum,
        revoke_program,
        grant_program,
        late_row,
        very_late_row,
        tag_members,
        rename_tag,
        delete_tag,
        shared_tag,
        shared_tag_and_one_member_changed,
        renumber_tag,
        one_went_an_old_one_came,
        delete_photometry,
        change_flags,
    ],
)
def test_every_change_is_found(
    catalog: Catalog, service: Service, tmp_path: Path, change: Callable[[Service], None]
) -> None:
    """After any change one more sync gives what a first sync would give."""
    if change is not late_row:
        service.later()
    change(service)
    synchronise(catalog, service)
    assert state(catalog) == fresh(service, tmp_path)


def test_photometry_follows_an_object_renamed_then_renumbered(
    catalog: Catalog, service: Service, tmp_path: Path
) -> None:
    """Its records are bumped by neither, so they come no more; they stay with the object all the same."""
    for changes in ({"object_id": "Jnew"}, {"id": 1005}):
        service.later()
        service.touch(service.object(5), **changes)
        for row in service.photometry:
            if row["id"] == 5:
                row["object_id"] = "Jnew"
        assert synchronise(catalog, service)["incremental"]
    assert [row["id"] for row in catalog.photometry_of("Jnew")] == [5]
    assert state(catalog) == fresh(service, tmp_path)


def test_all_changes_in_a_row(catalog: Catalog, service: Service, tmp_path: Path) -> None:
    """The same with many changes between two syncs, in changing order."""
    changes = [
        change_redshift,
        add_object,
        rename_object,
        renumber_object,
        relink_target,
        rename_spectrum,
        tag_members,
        rename_tag,
        shared_tag,
        change_flags,
        delete_object,
    ]
    for seed in range(4):
        order = changes[:]
        random.Random(seed).shuffle(order)
        one = Service()
        with Catalog(tmp_path / f"run{seed}" / "meta" / "campfire.db") as mine:
            synchronise(mine, one)
            for number, change in enumerate(order):
                one.later()
                change(one)
                if number % 3 == 0:
                    synchronise(mine, one)
            synchronise(mine, one)
            assert state(mine) == fresh(one, tmp_path)


def test_private_lists_of_others_are_not_kept(tmp_path: Path, service: Service) -> None:
    """Only what the service lists for the caller is kept, whatever names objects carry."""
    service.object(1)["lists"] = ["lrd", "somebodys-secret"]
    with Catalog(tmp_path / "meta" / "campfire.db") as catalog:
        synchronise(catalog, service)
        assert catalog.tags_of("J0001") == ["lrd"]
        assert b"secret" not in catalog.path.read_bytes()


def test_names_the_service_knows_are_right(catalog: Catalog) -> None:
    """A name out of the service's metadata is no mistake, though this account has no rows of it."""
    query = Query.of("objects", fields=["Elsewhere"]).resolved(catalog.vocabulary())
    assert len(catalog.select(query)) == 0
    assert catalog.fields() == ["uds"]


# --- a service that misbehaves ------------------------------------------------------------------------------


def short(pages: list[Page]) -> list[Page]:
    return [*pages[:1], {"rows": [], "total": pages[0]["total"], "accessible": pages[0]["accessible"]}]


def truncated(pages: list[Page]) -> list[Page]:
    last = pages[-1]
    return [*pages[:-1], {**last, "rows": last["rows"][:-1]}]


def empty(_pages: list[Page]) -> list[Page]:
    return [{"rows": [], "total": 0, "accessible": None}]


def nothing(_pages: list[Page]) -> list[Page]:
    return []


def doubled(pages: list[Page]) -> list[Page]:
    return [*pages[:1], *pages[:1], *pages[2:]]


def understated(pages: list[Page]) -> list[Page]:
    return [{**pages[0], "total": len(pages[0]["rows"])}]


DAMAGES = [
    *((table, how) for table in ("objects", "spectra", "photometry") for how in (short, truncated, empty)),
    *((table, how) for table in ("objects", "spectra", "photometry") for how in (nothing, doubled)),
    *(
        (table, understated) for table in ("objects", "spectra")
    ),  # of photometry nothing else tells the number
]


@pytest.mark.parametrize(("table", "damage"), DAMAGES)
def test_short_and_empty_pages_never_wipe(
    catalog: Catalog, service: Service, table: str, damage: Callable[[list[Page]], list[Page]]
) -> None:
    """A 200 with too few rows raises and leaves everything, the time of the last sync included."""
    seen, synced = state(catalog), catalog.last_synced
    service.damage[table] = damage
    with pytest.raises(APIError):
        synchronise(catalog, service, full=True)
    assert state(catalog) == seen
    assert catalog.last_synced == synced
    del service.damage[table]
    assert synchronise(catalog, service, full=True)["objects"] == 12


def test_no_access_for_a_moment(catalog: Catalog, service: Service) -> None:
    """The service answers as if the account had no programs: the catalogue stays."""
    seen = state(catalog)
    programs, service.programs = service.programs, []
    with pytest.raises(APIError, match="unchanged"):
        synchronise(catalog, service)
    assert state(catalog) == seen
    service.programs = programs
    synchronise(catalog, service)
    assert state(catalog) == seen


def test_empty_lists_and_observations_are_not_believed(catalog: Catalog, service: Service) -> None:
    """Tags and observations survive an empty answer while objects still have them."""
    seen = state(catalog)
    service.lists = []
    service.observations = list  # type: ignore[method-assign]
    synchronise(catalog, service, full=True)
    assert state(catalog) == seen
    assert len(catalog.observations()) == 2


def test_a_page_that_fails_leaves_everything(catalog: Catalog, service: Service) -> None:
    def broken(pages: list[Page]) -> list[Page]:
        raise APIError("gateway", status=502)

    seen = state(catalog)
    service.later()
    service.add(70)
    service.damage["photometry"] = broken
    with pytest.raises(APIError, match="gateway"):
        synchronise(catalog, service)
    assert state(catalog) == seen


def test_pages_that_shift_once_are_read_again(catalog: Catalog, service: Service) -> None:
    """Rows move between pages while they are read: a second reading is complete."""
    tries: list[int] = []

    def shifting(pages: list[Page]) -> list[Page]:
        tries.append(1)
        return doubled(pages) if len(tries) == 1 else pages

    service.damage["objects"] = shifting
    assert synchronise(catalog, service, full=True)["objects"] == 12


def test_a_row_from_the_future_hides_nothing(catalog: Catalog, service: Service) -> None:
    """A clock gone wrong on one row must not stop updates until that time."""
    service.later()
    service.object(1)["updated_at"] = "2099-01-01T00:00:00+00:00"
    synchronise(catalog, service)
    now = datetime.now(UTC)
    service.object(2).update(redshift=3.25, updated_at=now.isoformat())
    synchronise(catalog, service)
    row = catalog.object_row("J0002")
    assert row is not None
    assert row["redshift"] == 3.25


# --- files --------------------------------------------------------------------------------------------------


def test_records_of_files_survive_and_show_what_is_stale(catalog: Catalog, service: Service) -> None:
    """Stale by hash; a file that was there before is never called stale; full syncs keep all records."""
    first, second = service.spectra[0], service.spectra[2]
    for row, origin in ((first, "download"), (second, "found")):
        path = catalog.paths.product(row["observation"], row["fits_path"].rpartition("/")[2])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"old")
        catalog.record_file(row["spectrum_id"], path, "sha256:old", 3, 1.0, origin=origin)  # type: ignore[arg-type]
    result = synchronise(catalog, service, full=True)
    assert result["stale_count"] == 1
    (stale,) = result["stale_files"]
    assert stale["spectrum_id"] == first["spectrum_id"]
    assert (stale["local_hash"], stale["server_hash"]) == ("sha256:old", first["file_hash"])
    assert set(catalog.local_files()) == {first["spectrum_id"], second["spectrum_id"]}
    service.drop(1)
    synchronise(catalog, service)
    assert set(catalog.local_files()) == {first["spectrum_id"], second["spectrum_id"]}
    catalog.forget_file(first["spectrum_id"])
    assert set(catalog.local_files()) == {second["spectrum_id"]}


# --- crashes, threads, processes ----------------------------------------------------------------------------

WORKER = """
import sys
sys.path.insert(0, sys.argv[3])
from test_sync import Service
from campfire.store.catalog import Catalog
from campfire.store.sync import synchronise
service = Service(n=int(sys.argv[2]), page=20)
service.later()
for row in service.objects:
    service.touch(row, redshift=9.0)
service.drop(4)
catalog = Catalog(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
synchronise(catalog, service, full=True)
print("done", flush=True)
"""


def spawn(path: Path, n: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(n), str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.slow
def test_killed_at_any_point(tmp_path: Path) -> None:
    """kill -9 at a random point leaves the old catalogue or the new one, whole, and the next sync works."""
    n, kills = 80, int(os.environ.get("KILLS", "6"))
    path = tmp_path / "meta" / "campfire.db"
    old = Service(n=n, page=100)
    new = Service(n=n, page=100)
    new.later()
    for row in new.objects:
        new.touch(row, redshift=9.0)
    new.drop(4)
    wanted = [fresh(old, tmp_path), fresh(new, tmp_path)]
    with Catalog(path) as catalog:
        synchronise(catalog, old)
    process = spawn(path, n)
    go(process)
    start = time.perf_counter()
    process.communicate()
    whole = time.perf_counter() - start
    rng = random.Random(20)
    seen = [0, 0]
    for _ in range(kills):
        with Catalog(path) as catalog:
            synchronise(catalog, old, full=True)
            assert state(catalog) == wanted[0]
        process = spawn(path, n)
        go(process)
        time.sleep(rng.uniform(0, 1.0) * (whole if kills > 8 else min(whole, 0.2)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with Catalog(path) as catalog:
            assert catalog.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            found = state(catalog)
            assert found in wanted
            seen[wanted.index(found)] += 1
    print("old, new:", seen)
    with Catalog(path) as catalog:
        synchronise(catalog, new, full=True)
        assert state(catalog) == wanted[1]


def test_two_processes_sync_at_once(tmp_path: Path) -> None:
    """One waits for the other; both succeed."""
    path = tmp_path / "meta" / "campfire.db"
    with Catalog(path) as catalog:
        synchronise(catalog, Service(n=60, page=20))
    both = [spawn(path, 60), spawn(path, 60)]
    for process in both:
        go(process)
    for process in both:
        assert process.communicate()[0] == "done\n"
        assert process.returncode == 0
    with Catalog(path) as catalog:
        assert catalog.totals()["objects"] == 59


def test_eight_threads_query_during_a_sync(tmp_path: Path) -> None:
    """Every answer of a reader is of the old catalogue or of the new one, never of a mixture."""
    old, new = Service(n=80, page=10), Service(n=80, page=10)
    new.later()
    for row in new.objects:
        new.touch(row, redshift=9.0)
    stop = threading.Event()
    seen: set[tuple[float, ...]] = set()
    errors: list[BaseException] = []
    with Catalog(tmp_path / "meta" / "campfire.db") as catalog:
        synchronise(catalog, old)

        def read() -> None:
            try:
                while not stop.is_set():
                    columns = catalog.select(Query.of("spectra"))
                    assert len(columns) == 160
                    seen.add(tuple(sorted(set(columns["redshift"].tolist()))))
            except BaseException as err:
                errors.append(err)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for service in (new, old):
            synchronise(catalog, service, full=True)
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert seen <= {(1.0,), (9.0,)}


def test_memory_does_not_grow_with_the_catalogue(tmp_path: Path) -> None:
    """Peak memory of a sync stays the same when the catalogue is four times as large."""
    import tracemalloc

    peaks = []
    for n in (250, 1000):
        service = Service(n=n, page=100)

        def pages(table: str, rows: list[Row], since: str | None) -> Iterator[Page]:
            for start in range(0, len(rows), 100):
                yield {"rows": rows[start : start + 100], "total": len(rows), "accessible": len(rows)}

        service._pages = pages  # type: ignore[method-assign]
        with Catalog(tmp_path / str(n) / "meta" / "campfire.db") as catalog:
            tracemalloc.start()
            synchronise(catalog, service)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 3e6


def test_a_read_only_catalogue_is_not_synchronised(catalog: Catalog, service: Service) -> None:
    with Catalog(catalog.path, read_only=True) as mirror:
        assert len(mirror.select(Query.of("objects"))) == 12
        with pytest.raises(CampfireError, match="read-only"):
            synchronise(mirror, service)
        with pytest.raises(CampfireError, match="read-only"), mirror.write():
            pass


def _child(path: str, queue: Any) -> None:
    with Catalog(path) as catalog:
        queue.put(len(catalog.select(Query.of("objects"))))


def test_connections_do_not_cross_a_fork(catalog: Catalog) -> None:
    """A catalogue that was used before a fork opens its own connection in the child."""
    import pickle

    assert len(catalog.select(Query.of("objects"))) == 12
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_child, args=(str(catalog.path), queue))
    process.start()
    assert queue.get(timeout=30) == 12
    process.join()
    with pickle.loads(pickle.dumps(catalog)) as again:
        assert again.last_synced == catalog.last_synced
    connection = catalog.execute("SELECT 1").connection
    catalog.close()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
