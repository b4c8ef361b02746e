"""Statements checked: schema versions, the official file, journals, read-only mirrors, writing as a whole."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campfire.errors import CampfireError, ValidationError
from campfire.query import Query
from campfire.store import connection, migrate
from campfire.store.catalog import Catalog

OFFICIAL = """
PRAGMA journal_mode=WAL;
CREATE TABLE _meta (key TEXT PRIMARY KEY, value TEXT);
INSERT INTO _meta VALUES ('schema_version', '4');
CREATE TABLE objects (id INTEGER PRIMARY KEY, object_id TEXT UNIQUE, field TEXT, ra REAL, dec REAL,
  n_targets INTEGER, n_spectra INTEGER, programs TEXT, gratings TEXT, observations TEXT,
  member_target_ids TEXT,
  max_snr REAL, max_exposure_time REAL, redshift REAL, redshift_auto REAL, redshift_inspected REAL,
  redshift_quality INTEGER DEFAULT 0, last_inspected_at TEXT, last_inspected_by TEXT,
  last_data_change_at TEXT,
  staleness_reason TEXT, version INTEGER, is_active INTEGER, has_photometry INTEGER, photo_z REAL,
  photo_z_err_lo REAL, photo_z_err_hi REAL, created_at TEXT, updated_at TEXT, _synced_at TEXT);
CREATE TABLE spectra (id INTEGER PRIMARY KEY, spectrum_id TEXT UNIQUE, target_id TEXT, object_id TEXT,
  grating TEXT NOT NULL, fits_path TEXT, file_hash TEXT, file_size INTEGER, signal_to_noise REAL,
  exposure_time REAL, reduction_version TEXT, redshift_auto REAL, dq_flags INTEGER DEFAULT 0,
  program_slug TEXT,
  observation TEXT, field TEXT, local_path TEXT, local_file_hash TEXT, local_file_mtime REAL,
  local_file_size INTEGER, synced_at TEXT, created_at TEXT, updated_at TEXT, _synced_at TEXT);
CREATE TABLE object_photometry (id INTEGER PRIMARY KEY, object_id TEXT, field TEXT, catalog_name TEXT,
  catalog_id TEXT, match_distance_arcsec REAL, photometry TEXT, photo_z REAL, photo_z_err_lo REAL,
  photo_z_err_hi REAL, has_pz INTEGER, created_at TEXT, updated_at TEXT, _synced_at TEXT);
CREATE TABLE object_lists (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, name TEXT, description TEXT,
  visibility TEXT,
  is_system INTEGER, member_count INTEGER, created_at TEXT, updated_at TEXT);
CREATE TABLE object_list_memberships (object_id TEXT, list_slug TEXT, PRIMARY KEY (object_id, list_slug));
CREATE TABLE sync_log (id INTEGER PRIMARY KEY, observation TEXT, started_at TEXT, completed_at TEXT,
  files_downloaded INTEGER, files_skipped INTEGER, bytes_downloaded INTEGER, status TEXT);
INSERT INTO objects (id, object_id, field, ra, dec, n_targets, n_spectra, programs, gratings, observations,
  member_target_ids, redshift, redshift_quality, is_active, has_photometry, _synced_at) VALUES
  (7, 'J100001.23+021500.4', 'cosmos', 150.005, 2.25, 1, 2, 'demo-survey', 'G395M;PRISM', '', 'demo_p1_11',
  4.25, 4, 1, 1,
   '2026-03-01T00:00:00+00:00'),
  (8, 'gone', 'cosmos', 150.1, 2.25, 1, 0, 'demo-survey', '', '', '', NULL, 0, 0, 0,
  '2026-02-01T00:00:00+00:00');
INSERT INTO spectra (id, spectrum_id, target_id, object_id, grating, fits_path, file_hash, dq_flags,
  program_slug,
  observation, field, local_path, local_file_hash, local_file_mtime, local_file_size, synced_at) VALUES
  (31, 'demo_p1_prism_clear_11', 'demo_p1_11', 'J100001.23+021500.4', 'PRISM',
   'spectra/demo_p1/demo_p1_prism_clear_11_spec.fits', 'sha256:new', 2, 'demo-survey', 'demo_p1', 'cosmos',
   'demo_p1/demo_p1_prism_clear_11_spec.fits', 'sha256:old', 12.5, 4, '2026-02-02T00:00:00+00:00'),
  (32, 'demo_p1_g395m_f290lp_11', 'demo_p1_11', 'J100001.23+021500.4', 'G395M',
   'spectra/demo_p1/demo_p1_g395m_f290lp_11_spec.fits', NULL, 0, 'demo-survey', 'demo_p1', 'cosmos',
   NULL, NULL, NULL, NULL, NULL);
INSERT INTO object_photometry (id, object_id, field, catalog_name, photometry, photo_z, has_pz) VALUES
  (90, 'J100001.23+021500.4', 'cosmos', 'Demo', '{"flux_unit":"uJy","bands":{"f444w":{"flux":0.42}}}', 4.1,
  1);
INSERT INTO object_lists VALUES (1, 'lrd', 'Little Red Dots', NULL, 'public_edit', 1, 3, NULL, NULL);
INSERT INTO object_list_memberships VALUES ('J100001.23+021500.4', 'lrd');
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "meta").mkdir()
    return tmp_path / "meta" / "campfire.db"


@pytest.fixture
def official(path: Path) -> Iterator[Path]:
    """The official client's file, with its newest rows still in the write-ahead log of an open connection."""
    other = sqlite3.connect(path)
    other.executescript(OFFICIAL)
    other.execute("PRAGMA wal_autocheckpoint=0")
    other.commit()
    yield path
    other.close()


def crash_like_copy(path: Path) -> None:
    """Leave the file with its log, as a program that was killed does."""
    code = (
        f"import sqlite3, os; c = sqlite3.connect({str(path)!r}); c.executescript({OFFICIAL!r}); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_official_file_is_migrated_with_its_records(path: Path) -> None:
    """A schema-4 file is read, its download records kept, a copy set aside, nothing deleted."""
    crash_like_copy(path)
    assert path.with_name("campfire.db-wal").stat().st_size > 0
    assert Catalog.is_valid(path)
    products = path.parents[1] / "products" / "demo_p1"
    products.mkdir(parents=True)
    (products / "demo_p1_prism_clear_11_spec.fits").write_bytes(b"FITS")
    with Catalog(path) as catalog:
        row = catalog.object_row("demo_p1_11")
        assert row is not None
        assert (row["object_id"], row["redshift"], row["tags"]) == ("J100001.23+021500.4", 4.25, ["lrd"])
        assert row["observations"] == ["demo_p1"]
        assert (row["has_photometry"], row["photo_z"]) == (True, 4.1)
        assert catalog.object_row("gone") is None
        assert len(catalog.spectra_of("demo_p1_11")) == 2
        record = catalog.local_files()["demo_p1_prism_clear_11"]
        assert (record.hash, record.size, record.mtime) == ("sha256:old", 4, 12.5)
        assert record.path == "demo_p1/demo_p1_prism_clear_11_spec.fits"
        assert [item["spectrum_id"] for item in catalog.stale_files()] == ["demo_p1_prism_clear_11"]
        assert catalog.last_synced == "2026-03-01T00:00:00+00:00"
        assert catalog.vocabulary().programs == ("demo-survey",)
    kept = sqlite3.connect(path.with_name("campfire.official-4.db"))
    assert kept.execute("SELECT value FROM _meta").fetchone() == ("4",)
    assert kept.execute("SELECT count(*) FROM spectra").fetchone() == (2,)
    kept.close()
    assert sorted(p.name for p in path.parent.iterdir() if "migrating" in p.name) == []
    with Catalog(path) as again:
        assert again.totals()["spectra"] == 2
    assert not path.with_name("campfire.official-4.2.db").exists()


def test_official_file_that_is_in_use(official: Path) -> None:
    """While the official client has it open it is left as it is, and the error says so."""
    with pytest.raises(CampfireError, match="another program that is running"):
        Catalog(official)
    left = sqlite3.connect(official)
    assert left.execute("SELECT count(*) FROM spectra").fetchone() == (2,)
    assert left.execute("SELECT value FROM _meta").fetchone() == ("4",)
    left.close()
    names = {name for name in os.listdir(official.parent) if not name.endswith(("-wal", "-shm"))}
    assert names == {"campfire.db", ".campfire.db.lock"}


def test_first_sync_after_a_migration_is_full(path: Path) -> None:
    """Nothing is known of when the official client last asked: everything is fetched once."""
    crash_like_copy(path)
    with Catalog(path) as catalog:
        assert catalog.get_meta("watermark_objects") is None


@pytest.mark.parametrize("version", ["3", "5"])
def test_other_official_versions_are_refused(path: Path, version: str) -> None:
    crash_like_copy(path)
    other = sqlite3.connect(path)
    other.execute("UPDATE _meta SET value = ?", (version,))
    other.commit()
    other.close()
    assert not Catalog.is_valid(path)
    with pytest.raises(CampfireError, match="move it aside"):
        Catalog(path)
    assert path.exists()


def test_newer_schema_is_refused(path: Path) -> None:
    """A file of a newer program is neither used nor changed."""
    Catalog(path).close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {migrate.VERSION + 1}")
    other.close()
    assert not Catalog.is_valid(path)
    for read_only in (False, True):
        with pytest.raises(CampfireError, match=r"newer|schema 2"):
            Catalog(path, read_only=read_only)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\1" * 500])
def test_a_file_that_is_no_catalogue_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert not Catalog.is_valid(path)
    with pytest.raises(CampfireError, match="move it aside"):
        Catalog(path)
    assert path.read_bytes() == content


def test_a_missing_catalogue(path: Path) -> None:
    assert not Catalog.is_valid(path)
    with pytest.raises(CampfireError, match="campfire sync"):
        Catalog(path, read_only=True)
    Catalog(path).close()
    assert not Catalog.is_valid(path)  # it is there, but nothing was ever put into it


def test_a_place_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "meta").write_bytes(b"a file")
    with pytest.raises(CampfireError, match=r"cannot use the catalogue .*move it away"):
        Catalog(tmp_path / "meta" / "campfire.db")


def test_migrations_run_once_and_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older file is brought forward in one transaction, also when two open it at once."""
    Catalog(path).close()
    script = "CREATE TABLE added (x INTEGER);\nCREATE INDEX added_x ON added (x);\n"

    class Package:
        def joinpath(self, _name: str) -> Package:
            return self

        def read_text(self, encoding: str) -> str:
            return script

    monkeypatch.setattr(migrate, "MIGRATIONS", (*migrate.MIGRATIONS, "next.sql"))
    monkeypatch.setattr(migrate, "VERSION", migrate.VERSION + 1)
    monkeypatch.setattr(migrate, "files", lambda _name: Package())
    assert Catalog.is_valid(path)
    errors: list[BaseException] = []

    def open_it() -> None:
        try:
            Catalog(path).close()
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    found = sqlite3.connect(path)
    assert found.execute("PRAGMA user_version").fetchone() == (2,)
    assert found.execute("SELECT count(*) FROM added").fetchone() == (0,)
    found.close()


# --- where it lies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "network"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("tmpfs", False)],
)
def test_network_file_systems_are_told_apart(kind: str, network: bool) -> None:
    mounts = (
        f"/dev/sda1 / ext4 rw 0 0\nhost:/x /data {kind} rw 0 0\nnone /data/my\\040disk ext4 rw 0 0\nbroken"
    )
    assert connection.on_network(Path("/data/a/campfire.db"), mounts) is network
    assert not connection.on_network(Path("/data/my disk/campfire.db"), mounts)
    assert not connection.on_network(Path("/database/campfire.db"), mounts)


@pytest.mark.parametrize(("network", "mode"), [(False, "wal"), (True, "delete")])
def test_journal_mode(
    path: Path, put_all: Callable[[Catalog], None], monkeypatch: pytest.MonkeyPatch, network: bool, mode: str
) -> None:
    """WAL where it is safe, a rollback journal on network file systems; a file that moves is put right."""
    Catalog(path).close()
    monkeypatch.setattr(connection, "on_network", lambda _path: network)
    with Catalog(path) as catalog:
        assert catalog.execute("PRAGMA journal_mode").fetchone() == (mode,)
        put_all(catalog)
        iterator = catalog.iter_rows(Query.of("objects", cone_search=(0, -1, 9000), sort="ra"), chunk=2)
        first = next(iterator)
        with catalog.write() as writer:  # an iterator that is left open locks nobody out
            writer.delete_objects(["J0000"])
        assert catalog.totals()["objects"] == 119
        rest = [row["object_id"] for row in iterator]
        columns = catalog.select(Query.of("objects", cone_search=(0, -1, 9000), sort="ra"))
        assert [first["object_id"], *rest] == columns["object_id"].tolist()


MIRROR = """
import sys
from campfire.query import Query
from campfire.store.catalog import Catalog
with Catalog(sys.argv[1]) as catalog:
    print(catalog.read_only, len(catalog.select(Query.of("objects"))), Catalog.is_valid(sys.argv[1]))
"""


def test_a_mirror_that_cannot_be_written_to(path: Path, put_all: Callable[[Catalog], None]) -> None:
    """Neither the file nor its folder can be written to, and its index is not there: it is read as it is."""
    with Catalog(path) as catalog:
        put_all(catalog)
    assert not path.with_name("campfire.db-wal").exists()
    folder = path.parent
    command = [sys.executable, "-c", MIRROR, str(path)]
    if os.geteuid() == 0:  # root may write everywhere but to what is mounted read-only
        mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec "
        command = ["unshare", "--mount", "sh", "-c", mount + shlex.join(command)]
        if shutil.which("unshare") is None:
            pytest.skip("no unshare")
    else:
        folder.chmod(0o555)
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    folder.chmod(0o755)
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip("mounts cannot be made here")
    assert done.stdout.split() == ["True", "120", "True"], done.stderr


# --- writing ------------------------------------------------------------------------------------------------


def test_a_transaction_is_whole_or_not_at_all(path: Path) -> None:
    """An exception rolls everything back; a thread cannot write within its own transaction; others wait."""
    row = {"object_id": "J1", "field": "uds", "ra": 1.0, "dec": 2.0}
    with Catalog(path) as catalog:
        with pytest.raises(ValidationError), catalog.write() as writer:
            writer.put_objects([row, {}])
        assert catalog.totals()["objects"] == 0
        with catalog.write() as writer:
            writer.put_objects([row])
            assert catalog.totals()["objects"] == 0  # readers see the former state
            with pytest.raises(CampfireError, match="writing to the catalogue already"):
                catalog.forget_file("x")
        assert catalog.totals()["objects"] == 1
        revision = catalog.revision
        with catalog.write():
            pass
        assert catalog.revision == revision


def test_rows_that_are_not_right_are_refused(path: Path) -> None:
    """What is missing or impossible is named; nothing of it is kept."""
    good = {"object_id": "J1", "field": "uds", "ra": 1.0, "dec": 2.0}
    bad = [good | {"dec": 91.0}, good | {"object_id": ""}, {"object_id": "J2", "field": "uds", "ra": 1.0}]
    with Catalog(path) as catalog:
        for row in bad:
            with pytest.raises(ValidationError), catalog.write() as writer:
                writer.put_objects([good, row])
        with pytest.raises(ValidationError, match="no object 'J9'"), catalog.write() as writer:
            writer.put_targets([{"target_id": "t", "object_id": "J9"}])
        with pytest.raises(ValidationError, match="no tag"), catalog.write() as writer:
            writer.put_memberships([("J1", "lrd")])
        assert catalog.totals()["objects"] == 0


def test_an_archive_of_ones_own(path: Path) -> None:
    """Ids are given, aggregates computed, shutters replaced by target, memberships added."""
    spectra = [
        {
            "spectrum_id": f"o_p1_{g.lower()}_1",
            "target_id": "o_p1_1",
            "object_id": "J1",
            "grating": g,
            "fits_path": f"spectra/o_p1/o_p1_{g.lower()}_1_spec.fits",
            "signal_to_noise": s,
            "exposure_time": 9.0,
            "dq_flags": f,
            "program_slug": "mine",
            "observation": "o_p1",
            "field": "uds",
        }
        for g, s, f in (("PRISM", 3.0, 2), ("G395M", 5.0, 32))
    ]
    shutter = {
        "object_id": "o_p1_1",
        "source_id": 1,
        "center_ra": 1.0,
        "center_dec": 2.0,
        "position_angle": 3.0,
        "observation": "o_p1",
        "field": "uds",
    }
    with Catalog(path) as catalog:
        for _ in range(2):  # the same once more changes nothing
            with catalog.write() as writer:
                writer.put_programs([{"slug": "mine", "program_name": "Mine", "jwst_program": 1234}])
                writer.put_tags([{"slug": "lrd", "name": "Dots", "color": "#f00", "icon": "o"}])
                writer.put_objects([{"object_id": "J1", "field": "uds", "ra": 361.0, "dec": 2.0}])
                writer.put_targets(
                    [{"target_id": "o_p1_1", "object_id": "J1", "ra": 1.0, "dec": 2.0, "source_id": 1}]
                )
                writer.put_spectra(spectra)
                writer.put_memberships([("J1", "LRD")])
                writer.put_shutters([shutter, shutter | {"shutter_idx": 1}])
                writer.aggregate()
        (row,) = catalog.iter_rows(Query.of("objects"))
        assert row["ra"] == 1.0
        assert (row["programs"], row["gratings"]) == (["mine"], ["G395M", "PRISM"])
        assert (row["n_targets"], row["n_spectra"], row["max_snr"], row["max_exposure_time"]) == (
            1,
            2,
            5.0,
            9.0,
        )
        assert row["tags"] == ["lrd"]
        assert catalog.totals()["shutters"] == 2
        assert catalog.targets("J1")[0]["source_id"] == 1
        assert catalog.tags()[0]["member_count"] == 1
        assert catalog.vocabulary().jwst_programs == {"1234": ("mine",)}
        assert len(catalog.select(Query.of("objects", dq_flags=34, gratings=["prism"]))) == 1
        with catalog.write() as writer:
            assert writer.delete_spectra(["o_p1_prism_1"]) == 1
            assert writer.delete_tags(["lrd"]) == 1
        (row,) = catalog.iter_rows(Query.of("objects"))
        assert row["tags"] == []
        with catalog.write() as writer:
            assert writer.delete_objects(["J1"]) == 1
        (spectrum,) = catalog.iter_rows(Query.of("spectra"))
        assert spectrum["object_id"] is None


def test_many_make_and_write_one_catalogue_at_once(path: Path) -> None:
    """Threads that open the same new catalogue, each its own way in, make it once and lose no write."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with Catalog(path) as catalog:
                for part in range(3):
                    name = f"J{number}{part}"
                    with catalog.write() as writer:
                        writer.put_objects([{"object_id": name, "field": "uds", "ra": 1.0, "dec": 2.0}])
                    file = catalog.paths.product("o", f"{name}_spec.fits")
                    catalog.record_file(name, file, "sha256:1", 1, 1.0)
                    assert catalog.object_row(name) is not None
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with Catalog(path) as catalog:
        assert catalog.totals()["objects"] == 18
        assert len(catalog.local_files()) == 18
