"""Statements on sync, download, open and verify, against a served archive."""

from __future__ import annotations

import inspect
import os
import pickle
import shutil
import socket
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire import SpectrumData
from campfire.client import Campfire
from campfire.errors import (
    AuthenticationError,
    CampfireWarning,
    DownloadError,
    NotFoundError,
    ValidationError,
)
from campfire.store.catalog import Catalog
from campfire.store.file_state import hash_file
from tests.client.conftest import Service, serving


def all_files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def states(report: Any) -> dict[str, str]:
    return {entry["spectrum_id"]: entry["state"] for entry in report.files}


# --- construction ------------------------------------------------------------------------------------------


def test_building_a_client_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement: building one touches neither network nor credentials, nor the disk."""
    monkeypatch.setattr(socket, "socket", lambda *a, **k: pytest.fail("a socket was made"))
    monkeypatch.setattr(Path, "read_text", lambda *a, **k: pytest.fail("a file was read"))
    cf = Campfire("https://archive.example.org/api/v1", tmp_path / "data")
    assert not cf.is_local
    assert cf.last_synced is None
    assert cf.base_url == "https://archive.example.org/api/v1"
    assert Campfire.DEFAULT_BASE_URL.startswith("https://")
    assert not (tmp_path / "data").exists()
    cf.close()


@pytest.mark.parametrize(
    "url", ["http://archive.example.org/api/v1", "ftp://x", "nonsense", "https://u:p@x.org"]
)
def test_insecure_services_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Campfire(url)


def test_a_client_is_pickled_without_secrets(cf: Campfire) -> None:
    data = pickle.dumps(Campfire(cf.base_url, cf.data_dir, token="sk_live_secret"))
    assert b"secret" not in data
    copy = pickle.loads(data)
    assert (copy.base_url, copy.data_dir, copy.is_local) == (cf.base_url, cf.data_dir, True)
    assert len(copy.query_spectra()) == len(cf.query_spectra())
    assert "secret" not in repr(Campfire(cf.base_url, cf.data_dir, token="sk_live_secret"))
    with pytest.raises(AuthenticationError, match="not logged in"):
        copy.whoami()


def test_sync_totals_and_exports(cf: Campfire) -> None:
    """Statement: totals in the catalogue afterwards; last_synced moves on also when nothing changed."""
    first = cf.last_synced
    result = cf.sync()
    assert {
        "observations",
        "objects",
        "spectra",
        "photometry",
        "tags",
        "stale_count",
        "received",
        "removed",
    } <= set(result)
    assert result["objects"] == len(cf.query_objects())
    assert result["spectra"] == len(cf.query_spectra())
    assert result["stale_count"] == 0
    assert result["incremental"]
    assert cf.last_synced is not None
    assert first is not None
    assert cf.last_synced > first
    assert {"objects.csv", "spectra.csv", "photometry.csv"} <= {
        p.name for p in (cf.data_dir / "meta").iterdir()
    }


# --- download ----------------------------------------------------------------------------------------------


def test_download_and_again(cf: Campfire, service: Service) -> None:
    table = cf.query_spectra()
    report = cf.download(everything=True)
    assert dict(report) == {
        "downloaded": len(table),
        "failed": 0,
        "skipped": 0,
        "local": 0,
        "planned": 0,
        "bytes": int(np.sum(table["file_size"])),
    }
    for row in cf.query_spectra():
        assert hash_file(row["local_path"]) == row["file_hash"]
    sent = service.files_sent()
    again = cf.download(everything=True)
    assert (again["downloaded"], again["skipped"], again["bytes"]) == (0, len(table), 0)
    assert service.files_sent() == sent
    products = cf.data_dir / "products"
    assert all(name.endswith("_spec.fits") for name in all_files(products))
    (products / all_files(products)[0]).unlink()
    assert cf.download(everything=True)["downloaded"] == 1


def test_filters_narrow_each_other(cf: Campfire) -> None:
    """Statement: filters are joined by AND and matched without regard to case; a dry run changes nothing."""
    table = cf.query_spectra()
    field, grating = str(table["field"][0]), "PRISM"
    expected = {r["spectrum_id"] for r in table if r["field"] == field and r["grating"] == grating}
    assert 0 < len(expected) < len(table)
    report = cf.download(fields=[field.upper()], gratings=[grating.lower()], dry_run=True)
    assert states(report) == dict.fromkeys(expected, "planned")
    assert report["bytes"] == 0
    assert all(entry["bytes"] > 0 for entry in report.files)
    assert not (cf.data_dir / "products").exists()
    one = sorted(expected)[0]
    assert states(cf.download(fields=[field], spectrum_ids=[one])) == {one: "downloaded"}
    assert states(cf.download(spectrum_ids=[one], fields=[field]))[one] == "skipped"


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, ValidationError),
        ({"observations": []}, ValidationError),
        ({"fields": ["nowhere"]}, ValidationError),
        ({"programs": ["nobody"]}, ValidationError),
        ({"everything": True, "max_workers": 0}, ValidationError),
        ({"spectrum_ids": []}, ValidationError),
        ({"spectrum_ids": ["nope"]}, NotFoundError),
    ],
)
def test_downloads_that_make_no_sense(cf: Campfire, options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        cf.download(**options)


def test_download_without_a_catalogue(service: Service, tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        Campfire(service.url, tmp_path, token="any").download(everything=True)
    assert "sync" in str(caught.value.hint)


def test_some_fail(cf: Campfire, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement: some failed: report and warning; all failed: DownloadError with .report."""
    monkeypatch.setattr("campfire.transport.rate_limit.random.uniform", lambda a, b: 0.0)
    victim = str(cf.query_spectra()["spectrum_id"][0])
    service.fault = lambda path: (500, b"broken") if victim in path else None
    with pytest.warns(CampfireWarning, match=f"1 of .* files failed, the first: {victim}"):
        report = cf.download(everything=True)
    assert report["failed"] == 1
    assert states(report)[victim] == "failed"
    assert "500" in str(report.failures[0]["error"])
    with pytest.warns(CampfireWarning, match="1 of .* files failed"):  # the others are here already
        assert cf.download(everything=True)["skipped"] == len(report.files) - 1
    service.fault = lambda path: (500, b"broken") if path.endswith(".fits") else None
    with pytest.raises(DownloadError) as caught:
        cf.download(spectrum_ids=[victim])
    assert states(caught.value.report) == {victim: "failed"}
    service.fault = None
    assert cf.download(everything=True)["downloaded"] == 1


def test_wrong_content_is_never_published(cf: Campfire, service: Service) -> None:
    name = str(cf.query_spectra()["spectrum_id"][0])
    service.fault = lambda path: (200, b"something else") if path.endswith(".fits") else None
    with pytest.raises(DownloadError, match="not the file of the catalogue"):
        cf.open_spectrum(name)
    assert all_files(cf.data_dir / "products") == []


def test_no_space(cf: Campfire, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(cf.data_dir)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DownloadError, match="are free"):
        cf.download(everything=True)


def test_names_of_a_server_never_lead_out(cf: Campfire, tmp_path: Path) -> None:
    """Statement: traversal attempts write nothing outside; the other files come."""
    row = cf.get_spectrum(str(cf.query_spectra()["spectrum_id"][0]))
    assert row is not None
    evil = [
        row | {"id": 9001, "spectrum_id": "evil1", "target_id": "t1", "observation": "../../out"},
        row | {"id": 9002, "spectrum_id": "evil2", "target_id": "t2", "observation": "/tmp"},
        row | {"id": 9003, "spectrum_id": "evil3", "target_id": "t3", "fits_path": "spectra/x/.."},
        row | {"id": 9004, "spectrum_id": "evil4", "target_id": "t4", "fits_path": "spectra/x/.hidden"},
        row | {"id": 9005, "spectrum_id": "evil5", "target_id": "t5", "fits_path": "spectra/x/a\\..\\b"},
    ]
    with Catalog(cf.data_dir / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        writer.put_spectra(evil)
    before = all_files(tmp_path)
    with pytest.warns(CampfireWarning, match="5 of"):
        report = cf.download(everything=True)
    assert {name for name, state in states(report).items() if state == "failed"} == {
        f"evil{n}" for n in range(1, 6)
    }
    new = set(all_files(tmp_path)) - set(before)
    assert all(name.startswith("mirror/products/") or name.startswith("mirror/meta/") for name in new)
    with pytest.raises(ValidationError):
        cf.open_spectrum("evil1")


@pytest.mark.parametrize("digest", ["sha256:../../../../evil", "sha256:", "md5:abc", "x" * 300])
def test_a_hash_that_is_none_is_refused(cf: Campfire, tmp_path: Path, digest: str) -> None:
    """Statement: files under way are named by checked hashes; one bad row does not stop the others."""
    names = [str(name) for name in cf.query_spectra()["spectrum_id"][:2]]
    row = cf.get_spectrum(names[0])
    assert row is not None
    with Catalog(cf.data_dir / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        writer.put_spectra([row | {"file_hash": digest}])
    with pytest.warns(CampfireWarning, match="is not sha256"):
        report = cf.download(spectrum_ids=names)
    assert states(report) == {names[0]: "failed", names[1]: "downloaded"}
    with pytest.raises(ValidationError, match="is not sha256"):
        cf.open_spectrum(names[0])
    assert all(name.startswith("mirror/") for name in all_files(tmp_path))


# --- what is not ours --------------------------------------------------------------------------------------


def test_a_users_own_file_survives_everything(cf: Campfire, own_service: Service, tmp_path: Path) -> None:
    """Statement: never overwrite what we did not write: used, reported as local, kept, in all modes."""
    with Campfire(own_service.url, tmp_path / "own", token="any") as mine:
        mine.sync()
        names = [str(n) for n in mine.query_spectra(gratings=["PRISM"])["spectrum_id"]]
        victim = names[0]
        row = mine.get_spectrum(victim)
        assert row is not None
        target = mine.data_dir / "products" / row["observation"] / f"{victim}_spec.fits"
        target.parent.mkdir(parents=True)
        own = SpectrumData.from_fits(own_service.path_of(row))
        own.fnu = own.fnu * 1.1  # a reduction of one's own
        own.write(target)
        content = target.read_bytes()
        for options in (
            {"everything": True},
            {"spectrum_ids": [victim]},
            {"everything": True, "keep_old": True},
        ):
            assert states(mine.download(**options))[victim] == "local"
        own_service.reprocess(victim, names[2])
        assert mine.sync()["stale_count"] == 0
        assert states(mine.download(stale_only=True)) == {}
        assert str(target) in mine.verify(repair=True)["untracked"]
        with pytest.warns(CampfireWarning, match="is not the archive's file, but one of your own"):
            opened = mine.open_spectrum(victim)
        assert opened.fits_path == str(target)
        assert target.read_bytes() == content
        # Only an explicit word replaces it, and sets it aside.
        assert states(mine.download(spectrum_ids=[victim], replace_local=True))[victim] == "downloaded"
        assert hash_file(target) == (mine.get_spectrum(victim) or {})["file_hash"]
        assert [p.read_bytes() for p in target.parent.glob("*.old")] == [content]


def test_the_archives_own_content_is_taken_over(cf: Campfire, service: Service) -> None:
    """Statement: a file with the catalogue's hash needs no download, whoever put it there."""
    row = cf.get_spectrum(str(cf.query_spectra()["spectrum_id"][0]))
    assert row is not None
    target = cf.data_dir / "products" / row["observation"] / f"{row['spectrum_id']}_spec.fits"
    target.parent.mkdir(parents=True)
    target.write_bytes(service.path_of(row).read_bytes())
    assert states(cf.download(spectrum_ids=[row["spectrum_id"]])) == {row["spectrum_id"]: "skipped"}
    assert service.files_sent() == 0
    assert cf.verify() == {"ok": 1, "missing": [], "changed": [], "truncated": [], "untracked": []}


def test_what_is_in_the_way_stops_only_its_own_file(cf: Campfire) -> None:
    """Statement: a folder or a file where another thing belongs fails those files, and is kept."""
    report = cf.download(everything=True)
    paths = {entry["spectrum_id"]: Path(entry["path"]) for entry in report.files}
    (one, first), *rest = paths.items()
    other = next(path for _, path in rest if path.parent != first.parent)
    first.unlink()
    first.mkdir()
    shutil.rmtree(other.parent)
    other.parent.write_text("of the user")
    blocked = {name for name, path in rest if path.parent == other.parent}
    with pytest.warns(CampfireWarning, match=f"{len(blocked) + 1} of .* files failed"):
        report = cf.download(everything=True)
    assert {name for name, state in states(report).items() if state == "failed"} == {one, *blocked}
    assert first.is_dir()
    assert other.parent.read_text() == "of the user"


# --- staleness ---------------------------------------------------------------------------------------------


def test_staleness(own_service: Service, tmp_path: Path) -> None:
    """Statement: sync counts by hash, stale_only fetches just those, opening a stale file warns once."""
    with Campfire(own_service.url, tmp_path / "m", token="any") as cf:
        cf.sync()
        names = [str(n) for n in cf.query_spectra(gratings=["PRISM"])["spectrum_id"]]
        cf.download(spectrum_ids=names[:3])
        old = cf.open_spectrum(names[0])
        own_service.reprocess(names[0], names[1])
        own_service.reprocess(names[3], names[1])  # not here: changed, but not stale
        result = cf.sync()
        assert result["stale_count"] == 1
        assert [row["spectrum_id"] for row in cf.stale_files()] == [names[0]]
        with pytest.warns(CampfireWarning, match="download\\(stale_only=True\\)") as told:
            assert np.array_equal(cf.open_spectrum(names[0]).fnu, old.fnu, equal_nan=True)
        assert [warning.filename for warning in told] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cf.open_spectrum(names[0])
        own_service.asked.clear()
        report = cf.download(stale_only=True, keep_old=True)
        assert states(report) == {names[0]: "downloaded"}
        assert own_service.files_sent() == 1
        kept = list(Path(report.files[0]["path"]).parent.glob("*.old"))
        assert len(kept) == 1
        assert cf.sync()["stale_count"] == 0
        assert states(cf.download(stale_only=True)) == {}
        assert not np.array_equal(cf.open_spectrum(names[0]).fnu, old.fnu, equal_nan=True)


def test_an_update_that_was_killed_before_it_was_noted(own_service: Service, tmp_path: Path) -> None:
    """Statement: after kill -9 between the new file and its record, the file is neither local nor changed."""
    with Campfire(own_service.url, tmp_path / "m", token="any") as cf:
        cf.sync()
        names = [str(n) for n in cf.query_spectra(gratings=["PRISM"])["spectrum_id"]][:2]
        report = cf.download(spectrum_ids=names[0])
        own_service.reprocess(names[0], names[1])
        assert cf.sync()["stale_count"] == 1
        row = cf.get_spectrum(names[0])
        assert row is not None
        path = Path(report.files[0]["path"])
        path.unlink()
        shutil.copyfile(own_service.path_of(row), path)  # published, and not recorded
        assert cf.verify() == {"ok": 1, "missing": [], "changed": [], "truncated": [], "untracked": []}
        assert states(cf.download(stale_only=True)) == {names[0]: "skipped"}
        assert cf.stale_files() == []


# --- opening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("synced", [True, False])
def test_open_spectrum_fetches_once(service: Service, tmp_path: Path, synced: bool) -> None:
    """Statement: local first, else fetched and kept, with or without a catalogue; ten threads fetch once."""
    service.fault = None
    with Campfire(service.url, tmp_path / "m", token="any") as cf:
        name = str(cf.query_spectra(limit=1, remote=True)["spectrum_id"][0])
        if synced:
            cf.sync()
        service.asked.clear()
        opened: list[Any] = []
        threads = [threading.Thread(target=lambda: opened.append(cf.open_spectrum(name))) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == 10
        assert service.files_sent() == 1
        assert service.asked["/api/v1/spectra"] == 1
        service.fault = lambda path: (500, b"the service is not to be asked")
        assert cf.open_spectrum(name).spectrum_id == name
    with Campfire(service.url, tmp_path / "m", token="any") as other:
        assert np.array_equal(other.open_spectrum(name).fnu, opened[0].fnu, equal_nan=True)
        assert other.is_local is synced
        assert other.open_spectrum(name, extraction="3px").spectrum_id == name
        with pytest.raises(ValidationError, match="extraction"):
            other.open_spectrum(name, extraction="9px")  # type: ignore[arg-type]
    service.fault = None


@pytest.mark.parametrize("synced", [True, False])
def test_unknown_spectra(service: Service, tmp_path: Path, synced: bool) -> None:
    with Campfire(service.url, tmp_path, token="any") as cf:
        if synced:
            cf.sync()
        for name in ("nope", "../../etc/passwd", "a*b"):
            with pytest.raises(NotFoundError):
                cf.open_spectrum(name)
            with pytest.raises(NotFoundError):
                cf.get_redshift_fit_data(name)
        for bad in ("", None, 7):
            with pytest.raises(ValidationError):
                cf.open_spectrum(bad)  # type: ignore[arg-type]


def test_single_downloads_are_answered_with_a_hint(cf: Campfire, caplog: pytest.LogCaptureFixture) -> None:
    """Statement: after several single downloads a hint names the call that fetches many at once."""
    names = [str(n) for n in cf.query_spectra()["spectrum_id"]]
    for name in names[:4]:
        cf.open_spectrum(name)
    assert not [r for r in caplog.records if r.name == "campfire"]
    for name in names[4:]:
        cf.open_spectrum(name)
    assert len([r for r in caplog.records if r.name == "campfire"]) == 1
    assert "download(spectrum_ids=" in caplog.text


def test_a_mirror_that_cannot_be_written(cf: Campfire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement: a read-only mirror is queried, opened and collected like any other."""
    cf.download(everything=True)
    cf.close()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **kw: mode != os.W_OK and access(path, mode, **kw))
    with Campfire(cf.base_url, cf.data_dir) as mirror:
        assert mirror._context.needed_catalog("test").read_only
        names = [str(n) for n in mirror.query_spectra(gratings=["PRISM"])["spectrum_id"]]
        assert mirror.open_spectrum(names[0]).fnu.size
        assert mirror.open_collection(names, cache=False)["PRISM"].sizes["spectrum"] == len(names)
        assert mirror.download(everything=True)["downloaded"] == 0
        assert mirror.verify()["missing"] == []


def test_a_truncated_download_is_fetched_again(cf: Campfire) -> None:
    name = str(cf.query_spectra()["spectrum_id"][0])
    path = Path(str(cf.open_spectrum(name).fits_path))
    with path.open("r+b") as stream:
        stream.truncate(1000)
    assert cf.open_spectrum(name).spectrum_id == name
    assert hash_file(path) == (cf.get_spectrum(name) or {})["file_hash"]


def test_a_shorter_file_of_the_users_survives(cf: Campfire) -> None:
    """Statement: what replaced a download is the user's own, also where it is shorter, and is used."""
    rows = cf.query_spectra(gratings=["PRISM"])
    names = [str(name) for name in rows["spectrum_id"][:2]]
    cf.download(spectrum_ids=names)
    mine = {}
    for name in names:
        path = Path(str(cf.open_spectrum(name).fits_path))
        spec = cf.open_spectrum(name)
        fields = spec.to_fields() | {"flam": None, "flam_err": None, "covariance": None}
        cut = {k: v[:50] if isinstance(v, np.ndarray) else v for k, v in fields.items()}
        short = type(spec)(**cut)  # type: ignore[arg-type]
        path.unlink()
        short.write(path)
        mine[path] = path.read_bytes()
    with pytest.warns(CampfireWarning, match="is not the archive's file, but one of your own"):
        assert len(cf.open_spectrum(names[0])) == 50
    report = cf.download(spectrum_ids=names)
    assert states(report) == dict.fromkeys(names, "local")
    with pytest.warns(CampfireWarning, match="is not the archive's file, but one of your own"):
        assert len(cf.open_spectrum(names[1])) == 50
    assert {path: path.read_bytes() for path in mine} == mine
    cf.download(spectrum_ids=names, replace_local=True)
    for path, data in mine.items():
        assert hash_file(path) in {row["file_hash"] for row in rows}
        assert data in [old.read_bytes() for old in path.parent.glob(f"{path.name}.*.old")]


def test_objects_are_pickled_with_the_means_to_open_them(cf: Campfire) -> None:
    with Campfire(cf.base_url, cf.data_dir, token="sk_live_secret") as mine:
        obj = mine.get_object(str(mine.query_objects()["object_id"][0]))
        assert obj is not None
        obj.spectra[0].open()
        data = pickle.dumps(obj)
    assert b"secret" not in data
    assert pickle.loads(data).spectra[0].open().fnu.size


def test_objects_open_their_spectra(cf: Campfire) -> None:
    obj = cf.get_object(str(cf.query_objects()["object_id"][0]))
    assert obj is not None
    assert not obj.spectra[0].downloaded
    spec = obj.spectra[0].open()
    assert spec.redshift == obj.redshift
    again = cf.get_object(obj.object_id)
    assert again is not None
    assert again.spectra[0].downloaded


def test_preview_data_alike(cf: Campfire, service: Service) -> None:
    """Statement: get_spectrum_data and get_redshift_fit_data give the same from the file and the service."""
    name = str(cf.query_spectra(gratings=["PRISM"])["spectrum_id"][0])
    remote = (cf.get_spectrum_data(name), cf.get_redshift_fit_data(name))
    assert cf.get_spectrum_data(name) == remote[0]
    assert service.asked["/api/v1/spectrum"] == 1  # kept by the hash of its file
    cf.download(spectrum_ids=[name])
    local = cf.get_spectrum_data(name)
    assert list(local) == list(remote[0])
    assert local == remote[0]
    assert set(remote[1]) == {
        "redshift",
        "chi2_min",
        "confidence",
        "z_grid",
        "chi2_grid",
        "model_wave",
        "model_fnu",
    }


# --- verify ------------------------------------------------------------------------------------------------


def test_verify_and_repair(cf: Campfire) -> None:
    cf.download(everything=True)
    rows = list(cf.iter_spectra())
    paths = [Path(row["local_path"]) for row in rows]
    paths[0].unlink()
    with paths[1].open("r+b") as stream:
        stream.truncate(1000)
    data = bytearray(paths[2].read_bytes())
    data[-1] ^= 1
    paths[2].write_bytes(data)
    os.utime(paths[3])  # another time, the same content
    extra = paths[0].with_name("mine_spec.fits")
    extra.write_text("of the user")
    found = cf.verify()
    assert found == {
        "ok": len(rows) - 3,
        "missing": [str(paths[0])],
        "truncated": [str(paths[1])],
        "changed": [str(paths[2])],
        "untracked": [str(extra)],
    }
    repaired = cf.verify(repair=True)
    assert repaired == {
        "ok": len(rows),
        "missing": [],
        "truncated": [],
        "changed": [],
        "untracked": [str(extra)],
    }
    assert extra.read_text() == "of the user"
    assert [p.read_bytes() for p in paths[2].parent.glob(f"{paths[2].name}.*.old")] == [bytes(data)]
    for row in rows:
        assert hash_file(row["local_path"]) == row["file_hash"]


# --- offline -----------------------------------------------------------------------------------------------


def test_offline_everything_local_works(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statement: with the network unplugged every query, open, plot and collection on what is local works."""
    with serving(archive) as service, Campfire(service.url, tmp_path, token="any") as cf:
        cf.sync()
        cf.download(everything=True)
        name = str(cf.query_objects()["object_id"][0])
        cf.get_cutout(name)
        cf.get_shutters(name)
    monkeypatch.setattr(socket.socket, "connect", lambda *a: pytest.fail("the network was used"))
    cf = Campfire(service.url, tmp_path)
    assert len(cf.query_objects(inspected_only=True)) <= len(cf.query_objects())
    obj = cf.get_object(name)
    assert obj is not None
    assert len(obj.spectra)
    assert obj.spectra[0].open().fnu.size
    assert cf.open_collection(gratings=["PRISM"])["PRISM"].sizes["spectrum"] > 1
    assert cf.get_metadata()["gratings"]
    assert cf.get_spectrum_data(obj.spectra[0].spectrum_id)["n_wave"]
    assert cf.get_cutout(name).exists()
    assert cf.get_shutters(name)["shutters"]
    assert cf.verify()["ok"]
    cf.close()


# --- collections -------------------------------------------------------------------------------------------


def test_collections_keep_the_order_asked(cf: Campfire) -> None:
    names = [str(n) for n in cf.query_spectra(gratings=["PRISM"])["spectrum_id"]]
    with pytest.raises(NotFoundError, match=f"{len(names)} of {len(names)}.*not on this disk") as caught:
        cf.open_collection(gratings=["PRISM"])
    assert "download=True" in str(caught.value.hint)
    asked = [names[1], names[0], names[1]]
    tree = cf.open_collection(asked, download=True)
    assert tree["PRISM"].to_dataset()["spectrum_id"].values.tolist() == asked
    alone = cf.open_spectrum(names[0])
    row = tree["PRISM"].to_dataset().isel(spectrum=1).compute()
    n = int(row["n_pixels"])
    assert np.array_equal(row["fnu"].values[:n], alone.fnu, equal_nan=True)
    cf.download(everything=True)
    table = cf.query_spectra(gratings=["PRISM"], sort="signal_to_noise", sort_dir="desc")
    tree = cf.open_collection(table, chunks=None, cache=False)
    assert tree["PRISM"].to_dataset()["spectrum_id"].values.tolist() == [str(n) for n in table["spectrum_id"]]
    obj = cf.get_object(str(cf.query_objects()["object_id"][0]))
    assert obj is not None
    tree = cf.open_collection(obj.spectra)
    assert sum(child.sizes["spectrum"] for child in tree.children.values()) == len(obj.spectra)
    assert cf.build_cache() == len(cf.query_spectra())
    assert cf.compact_cache() >= 0


@pytest.mark.parametrize(
    ("args", "options", "kind"),
    [
        ((), {}, NotFoundError),
        (([],), {}, ValidationError),
        ((["nope"],), {}, NotFoundError),
        ((["a"],), {"gratings": ["PRISM"]}, ValidationError),
        ((), {"gratings": ["nope"]}, ValidationError),
        ((), {"redshift_range": (90, None)}, ValidationError),
        ((), {"wrong": 1}, ValidationError),
    ],
)
def test_collections_of_nothing(cf: Campfire, args: Any, options: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        cf.open_collection(*args, **options)


def test_a_collection_of_nothing_named_is_of_all_on_this_disk(cf: Campfire) -> None:
    """Statement: ``open_collection()`` opens what is here, and says how much is not."""
    wanted = [str(name) for name in cf.query_spectra(gratings=["PRISM"])["spectrum_id"]]
    cf.download(spectrum_ids=wanted)
    with pytest.warns(CampfireWarning, match=f"of {len(cf.query_spectra())} spectra are not on this disk"):
        tree = cf.open_collection()
    here = [str(row["spectrum_id"]) for row in cf.iter_spectra() if row["local_path"]]
    assert set(tree["PRISM"].to_dataset()["spectrum_id"].values.tolist()) == set(here) == set(wanted)


def test_downloads_take_whatever_holds_spectra(cf: Campfire) -> None:
    """Statement: ``spectrum_ids`` may be a table, its row, a DataFrame or an object."""
    table = cf.query_spectra(limit=2)
    name = str(table["spectrum_id"][0])
    for given in (name, [name], table[0], table[:1], table[["spectrum_id"]][:1].to_pandas()):
        assert [entry["spectrum_id"] for entry in cf.download(spectrum_ids=given).files] == [name]


@pytest.mark.parametrize(
    "method", ["iter_objects", "iter_spectra", "count_objects", "open_collection", "lock"]
)
def test_signatures_show_the_keywords_of_queries(method: str) -> None:
    """Statement: what completion and ``help`` show are all keywords that a query takes."""
    shown = inspect.signature(getattr(Campfire, method)).parameters
    documented = inspect.signature(Campfire.query_objects).parameters
    keywords = [name for name in documented if name not in ("self", "remote", "unknown")]
    assert [name for name in shown if name in keywords] == keywords
    assert all(kind.kind is not kind.VAR_KEYWORD for kind in shown.values())


def test_spectra_are_named_by_whatever_holds_them(cf: Campfire) -> None:
    table = cf.query_spectra(gratings=["PRISM"])
    name = str(table["spectrum_id"][0])
    obj = cf.get_object(str(table["object_id"][0]))
    assert obj is not None
    cf.download(spectrum_ids=[str(n) for n in (*table["spectrum_id"], *obj.spectra.spectrum_id)])
    one = next(s for s in obj.spectra if s.spectrum_id == name)
    frame = table.to_pandas()
    wanted = {
        "an id": name,
        "a row": table[0],
        "a spectrum": one,
        "a dictionary": next(iter(cf.iter_spectra(gratings=["PRISM"]))),
        "a row of a frame": frame.iloc[0],
        "opened": cf.open_spectrum(name),
    }
    for what, given in wanted.items():
        assert cf.open_collection(given)["PRISM"].spectrum_id.values.tolist() == [name], what
    for many in (table, frame, list(table["spectrum_id"]), (str(n) for n in table["spectrum_id"])):
        found = cf.open_collection(many)["PRISM"].spectrum_id.values.tolist()
        assert found == [str(n) for n in table["spectrum_id"]]
    assert sum(cf.open_collection(obj)[g].sizes["spectrum"] for g in obj.spectra.gratings) == len(obj.spectra)
    for wrong in (3, [None], [3], 1.5, frame.drop(columns="spectrum_id"), {"a": 1}, []):
        with pytest.raises(ValidationError):
            cf.open_collection(wrong)
