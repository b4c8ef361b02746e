"""Statements on lock files and on what a reprocessing changed, against a served archive that changes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire import calibrate_and_stack
from campfire.archive.indexing.index import index_root
from campfire.client import Campfire
from campfire.errors import CampfireError, DownloadError, NotFoundError, ValidationError
from campfire.mirror.lock_report import LockReport
from campfire.mirror.lockfile import Lock, LockedSpectrum, package_versions
from campfire.models.spectrum_names import spectrum_names
from campfire.store.file_state import hash_file
from tests.client.conftest import Service, serving

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)
ENTRY = st.builds(
    LockedSpectrum,
    spectrum_id=TEXT,
    object_id=st.none() | TEXT,
    grating=TEXT,
    observation=TEXT,
    fits_path=TEXT,
    file_hash=st.binary(min_size=32, max_size=32).map(lambda digest: f"sha256:{digest.hex()}"),
    file_size=st.none() | st.integers(0, 2**60),
    reduction_version=st.none() | TEXT,
    signal_to_noise=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    hash_of=st.sampled_from(["disk", "archive"]),
)
ENTRIES = st.lists(ENTRY, unique_by=lambda entry: entry.spectrum_id, max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def files_of(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): hash_file(p) for p in folder.rglob("*") if p.is_file()}


def reprocess(root: Path, spectrum_id: str) -> None:
    """Publish a new version of a spectrum: twice the flux, and so twice the S/N, of reduction v9."""
    from astropy.io import fits

    (path,) = (root / "products").glob(f"*/{spectrum_id}_spec.fits")
    with fits.open(path) as hdus:
        hdus[0].header["CMPFRVER"] = "v9"
        hdus["SPEC1D"].data["fnu"] *= 2
        hdus.writeto(path.with_suffix(".new"), checksum=False)
    path.with_suffix(".new").replace(path)
    assert index_root(root)["updated"] == [spectrum_id]


# --- the file ----------------------------------------------------------------------------------------------


@given(ENTRIES, st.randoms(use_true_random=False))
def test_a_lock_is_read_as_it_was_written(entries: list[LockedSpectrum], random: Any) -> None:
    """Statement: reading gives what was written, and the order of the spectra makes no difference."""
    lock = Lock.of(entries, "https://example.org:443", None)
    shuffled = list(entries)
    random.shuffle(shuffled)
    again = replace(Lock.of(shuffled, lock.archive, None), created=lock.created)
    assert again.to_json() == lock.to_json()
    with tempfile.TemporaryDirectory() as folder:
        lock.write(f"{folder}/a.lock")
        assert Lock.read(f"{folder}/a.lock") == lock
        assert os.listdir(folder) == ["a.lock"]
    assert json.loads(lock.to_json())["spectra"] == [asdict(entry) for entry in lock.spectra]


@given(st.binary(max_size=40) | JSON | st.fixed_dictionaries({"spectra": JSON | st.lists(JSON)}))
def test_what_is_no_lock_file_is_refused(content: Any) -> None:
    """Statement: whatever a file holds, reading it gives a lock or an error of the tree."""
    if isinstance(content, dict):
        content = {"campfire_lock": 1, "versions": {}, **content}
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.lock")
        path.write_bytes(data)
        spectra = content.get("spectra") if isinstance(content, dict) else None
        if spectra == []:
            assert len(Lock.read(path)) == 0
        else:
            with pytest.raises(ValidationError, match=r"a\.lock"):
                Lock.read(path)


@given(ENTRY, st.data(), st.sampled_from(["\x1b[31m", "\n", "\u202e", "\ud800", "x" * 1001]))
def test_no_text_of_a_lock_file_is_more_than_plain(
    entry: LockedSpectrum, data: st.DataObject, wrong: str
) -> None:
    document = json.loads(Lock.of([entry], "https://example.org:443", "2026").to_json())
    texts = [(document, key) for key in ("archive", "last_synced", "created")]
    texts += [(document["versions"], "numpy"), (document["versions"], wrong)]
    texts += [(document["spectra"][0], key) for key in ("spectrum_id", "object_id", "reduction_version")]
    place, key = data.draw(st.sampled_from(texts))
    place[key] = wrong
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.lock")
        path.write_text(json.dumps(document))
        with pytest.raises(ValidationError, match="is not plain text") as caught:
            Lock.read(path)
    assert str(caught.value).isprintable()


@given(ENTRY, st.data())
def test_a_wrong_value_is_named(entry: LockedSpectrum, data: st.DataObject) -> None:
    """Statement: an entry with one value of a wrong type, or missing, is refused by name."""
    document = json.loads(Lock.of([entry], "https://example.org:443", None).to_json())
    key = data.draw(st.sampled_from(["spectrum_id", "file_hash", "file_size", "observation", "grating"]))
    document["spectra"][0][key] = data.draw(st.sampled_from([True, [], {}, 1.5]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.lock")
        path.write_text(json.dumps(document))
        with pytest.raises(ValidationError, match=f"spectrum 1: {key} is"):
            Lock.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"campfire_lock": 2}, "format 2"),
        ({"spectra": None}, "without spectra"),
        ({"spectra": [1]}, "spectrum 1"),
        ({"versions": []}, "without spectra or versions"),
    ],
)
def test_locks_of_other_formats(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    document = json.loads(Lock.of([], "https://example.org:443", None).to_json())
    (tmp_path / "a.lock").write_text(json.dumps(document | change))
    with pytest.raises(ValidationError, match=message):
        Lock.read(tmp_path / "a.lock")
    with pytest.raises(NotFoundError, match=r"none\.lock"):
        Lock.read(tmp_path / "none.lock")
    with pytest.raises(ValidationError):
        Lock.read(tmp_path)


# --- making one --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campfire]:
    """A client with all files; not to be changed."""
    with Campfire(service.url, tmp_path_factory.mktemp("mirror"), token="sk_live_secret") as cf:
        cf.sync()
        cf.download(everything=True)
        yield cf


def ids(lock: Lock) -> list[str]:
    return [entry.spectrum_id for entry in lock.spectra]


def test_a_lock_names_the_files_of_this_disk(here: Campfire, tmp_path: Path) -> None:
    """Statement: without a choice every spectrum on disk is locked, with hash, size, version; no secrets."""
    lock = here.lock(tmp_path / "all.lock")
    table = here.query_spectra()
    assert ids(lock) == sorted(table["spectrum_id"])
    rows = {row["spectrum_id"]: row for row in table}
    for entry in lock.spectra:
        row = rows[entry.spectrum_id]
        assert entry.file_hash == hash_file(row["local_path"]) == row["file_hash"]
        assert entry.file_size == Path(row["local_path"]).stat().st_size
        assert (entry.reduction_version, entry.grating) == (row["reduction_version"], row["grating"])
        assert entry.signal_to_noise == row["signal_to_noise"]
        assert (entry.object_id, entry.hash_of) == (row["object_id"], "disk")
    assert lock.versions == package_versions()
    assert lock.versions["numpy"] == np.__version__
    assert lock.last_synced == here.last_synced
    text = (tmp_path / "all.lock").read_text()
    assert "secret" not in text
    assert str(here.data_dir) not in text
    assert Lock.read(tmp_path / "all.lock") == lock
    assert "disk" in repr(lock)


def test_everything_that_names_spectra_can_be_locked(here: Campfire, tmp_path: Path) -> None:
    """Statement: tables, collections, ids, trees, Datasets, stacks and calibrations give the same spectra."""
    table = here.query_spectra(gratings=["PRISM"])
    names = sorted(table["spectrum_id"])
    obj = here.get_object(str(table["object_id"][0]))
    assert obj is not None
    tree = here.open_collection(table)
    kinds: dict[str, Any] = {
        "ids": names,
        "generator": (name for name in reversed(names)),
        "repeated": names + names,
        "table": table,
        "tree": tree,
        "dataset": tree["PRISM"].to_dataset(),
        "spectra": [here.open_spectrum(name) for name in names],
        "datasets": [here.open_spectrum(name).to_xarray() for name in names],
    }
    for kind, spectra in kinds.items():
        assert ids(here.lock(tmp_path / kind, spectra)) == names, kind
    assert ids(here.lock(tmp_path / "filters", gratings=["prism"])) == names
    prism = obj.spectra[obj.spectra.grating == "PRISM"]
    expected = sorted(prism.spectrum_id.tolist())
    result = calibrate_and_stack(prism, photometry=obj.photometry, method="flat")
    stack = result.spectrum
    stack.write(tmp_path / "stack_spec.fits")
    results = {
        "collection": prism,
        "result": result,
        "stack": stack,
        "stack_dataset": stack.to_xarray(),
        "stack_file": type(stack).from_fits(tmp_path / "stack_spec.fits", spectrum_id=stack.spectrum_id),
        "calibrations": result.calibrations,
    }
    for kind, spectra in results.items():
        assert ids(here.lock(tmp_path / kind, spectra)) == expected, kind
    assert ids(here.lock(tmp_path / "one", prism[0])) == [prism[0].spectrum_id]
    assert ids(here.lock(tmp_path / "id", names[0])) == [names[0]]


def test_choices_that_make_no_sense(here: Campfire, tmp_path: Path) -> None:
    path, name = tmp_path / "a.lock", str(here.query_spectra()["spectrum_id"][0])
    lazy = here.open_collection(gratings=["PRISM"]).campfire.stack(grid="common")
    for spectra, message in (
        ([], "no spectra"),
        (3, "int does not say"),
        (b"x", "bytes does not say"),
        (here.query_objects(), "no column spectrum_id"),
    ):
        with pytest.raises(ValidationError, match=message):
            here.lock(path, spectra)
    listed = {entry.spectrum_id for entry in here.lock(tmp_path / "lazy.lock", lazy).spectra}
    assert listed == {str(name) for name in here.query_spectra(gratings=["PRISM"])["spectrum_id"]}
    with pytest.raises(NotFoundError, match="nope"):
        here.lock(path, [name, "nope"])
    grouped = here.open_collection(gratings=["PRISM"])["PRISM"].to_dataset().campfire.stack(by="field")
    measured = grouped.campfire.measure_lines(["Ha"], redshift=1.0, method="window")
    for spectra in (
        measured,
        measured.isel(spectrum=0),
        measured.flux.to_dataframe(),
        "stack:PRISM:3spectra",
    ):
        with pytest.raises(ValidationError, match=r"stack:.* does not say which spectra went into it"):
            here.lock(path, spectra)
    with pytest.raises(ValidationError, match="both"):
        here.lock(path, [name], gratings=["PRISM"])
    with pytest.raises(ValidationError, match="PRISM"):
        here.lock(path, gratings=["PRSM"])
    with pytest.raises(ValidationError, match="no spectra to lock"):
        here.lock(path, gratings=["PRISM"], max_snr_range=(1e9, None))
    assert not path.exists()
    assert list(spectrum_names([[name], name])) == [name, name]


def test_a_lock_file_is_not_replaced_by_accident(here: Campfire, tmp_path: Path) -> None:
    """Statement: an existing file stays unless asked otherwise, and nothing half-written is left."""
    path, names = tmp_path / "a.lock", list(here.query_spectra()["spectrum_id"])
    here.lock(path, names[:1])
    before = path.read_bytes()
    with pytest.raises(ValidationError, match="exists already"):
        here.lock(path, names)
    assert path.read_bytes() == before
    assert len(here.lock(path, names, overwrite=True)) == len(names)
    with pytest.raises(ValidationError, match="folder"):
        here.lock(tmp_path, names, overwrite=True)
    with pytest.raises(ValidationError, match="no folder"):
        here.lock(path / "below.lock", names)
    assert [p.name for p in tmp_path.iterdir()] == ["a.lock"]


def test_whose_hash_it_is(cf: Campfire, tmp_path: Path) -> None:
    """Statement: the hash of the file on disk where there is one, also the user's own; else the archive's."""
    table = cf.query_spectra(gratings=["PRISM"])
    mine, theirs, absent = (table[k] for k in range(3))
    cf.download(spectrum_ids=[theirs["spectrum_id"]])
    path = cf.data_dir / "products" / mine["observation"] / f"{mine['spectrum_id']}_spec.fits"
    path.parent.mkdir(parents=True, exist_ok=True)
    own_file = cf.open_spectrum(theirs["spectrum_id"])
    own_file.header.pop("FILENAME", None)
    own_file.write(path)
    lock = cf.lock(tmp_path / "a.lock", table[:3])
    entries = {entry.spectrum_id: entry for entry in lock.spectra}
    own = entries[mine["spectrum_id"]]
    assert (own.hash_of, own.file_hash) == ("disk", hash_file(path))
    assert own.file_hash != mine["file_hash"]
    assert entries[theirs["spectrum_id"]].hash_of == "disk"
    away = entries[absent["spectrum_id"]]
    assert (away.hash_of, away.file_hash) == ("archive", absent["file_hash"])
    states = {check.locked.spectrum_id: check for check in cf.check_lock(tmp_path / "a.lock").spectra}
    # The user's own reduction is as locked here, and nobody else can have it.
    assert states[mine["spectrum_id"]].disk == "same"
    assert states[mine["spectrum_id"]].archive == "changed"
    assert states[absent["spectrum_id"]].state == "missing"


def test_without_a_catalogue(service: Service, here: Campfire, tmp_path: Path) -> None:
    """Statement: a client that never synchronised locks what it names, and says what it needs."""
    name = str(here.query_spectra()["spectrum_id"][0])
    service.fault = None
    with Campfire(service.url, tmp_path / "data", token="any") as cf:
        with pytest.raises(ValidationError, match="needs a local catalogue"):
            cf.lock(tmp_path / "a.lock")
        lock = cf.lock(tmp_path / "a.lock", [name])
        assert lock.spectra[0].hash_of == "archive"
        assert lock.last_synced is None
        cf.open_spectrum(name)
        assert cf.lock(tmp_path / "b.lock", [name]).spectra[0].hash_of == "disk"
        (check,) = cf.check_lock(tmp_path / "b.lock").spectra
        assert (check.disk, check.archive, check.state) == ("same", "unknown", "same")
        with pytest.raises(ValidationError, match="sync"):
            cf.reproduce(tmp_path / "a.lock")
        assert len(cf.changes()) == 0


# --- comparing, reproducing --------------------------------------------------------------------------------


def test_an_archive_that_moves_on(own_service: Service, tmp_path: Path) -> None:
    """Statement: same, changed, missing, gone are told apart, with versions and S/N; reproduce is exact."""
    path = tmp_path / "paper.lock"
    with Campfire(own_service.url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        cf.download(everything=True)
        table = cf.query_spectra(gratings=["PRISM"])
        renewed, removed, lost, *kept = (str(name) for name in table["spectrum_id"])
        cf.lock(path, table)
        report = cf.check_lock(path)
        assert report.ok
        assert report.counts == {"same": len(table), "changed": 0, "missing": 0, "gone": 0}
        assert str(report) == f"LockReport({path}: {len(table)} same)"
        assert dict(cf.reproduce(path)) | {"bytes": 0} == dict.fromkeys(
            ("downloaded", "failed", "local", "planned", "bytes"), 0
        ) | {"skipped": len(table)}

        reprocess(own_service.root, renewed)
        (gone,) = (own_service.root / "products").glob(f"*/{removed}_spec.fits")
        gone.unlink()
        assert index_root(own_service.root)["removed"] == [removed]
        cf.sync()
        before = {row["spectrum_id"]: row for row in table}
        Path(before[lost]["local_path"]).unlink()

        report = cf.check_lock(path)
        states = {check.locked.spectrum_id: check for check in report.spectra}
        assert not report.ok
        assert {name: check.state for name, check in states.items() if check.state != "same"} == {
            renewed: "changed",
            removed: "gone",
            lost: "missing",
        }
        assert {states[name].state for name in kept} == {"same"}
        changed = states[renewed]
        assert (changed.disk, changed.archive, changed.on_disk) == ("same", "changed", None)
        assert changed.in_archive is not None
        assert changed.in_archive.reduction_version == "v9"
        then = before[renewed]["signal_to_noise"]
        assert changed.locked.signal_to_noise == pytest.approx(then)
        assert changed.in_archive.signal_to_noise == pytest.approx(2 * then, rel=1e-5)
        assert f"S/N {then:.2f}" in str(report)
        assert f"S/N {2 * then:.2f}" in str(report)
        assert (states[removed].disk, states[removed].archive) == ("same", "gone")

        # What is here as it was locked stays, although the archive has another version of it.
        done = cf.reproduce(path)
        assert (done["downloaded"], done["skipped"]) == (1, len(table) - 1)
        assert {entry["spectrum_id"] for entry in done.files} == set(states)
        for name, row in before.items():
            assert hash_file(row["local_path"]) == states[name].locked.file_hash

        # What the reprocessing changed, before it is fetched.
        changes = cf.changes()
        assert list(changes["spectrum_id"]) == [renewed]
        assert changes["version_then"][0] == before[renewed]["reduction_version"]
        assert changes["version_now"][0] == "v9"
        assert changes["snr_then"][0] == pytest.approx(then)
        assert changes["snr_now"][0] == pytest.approx(2 * then, rel=1e-5)
        assert changes["hash_then"][0] == states[renewed].locked.file_hash
        assert changes["hash_now"][0] == changed.in_archive.file_hash
        cf.download(stale_only=True, keep_old=True)
        assert len(cf.changes()) == 0
        assert cf.changes().dtype.names == changes.dtype.names

        # Now the locked version is not in its place any more, but kept beside: it is put back, and gone from.
        place = Path(before[renewed]["local_path"])
        report = cf.check_lock(path)
        (wrong,) = [check for check in report.spectra if check.disk != "same"]
        assert wrong.on_disk == wrong.in_archive == changed.in_archive
        assert wrong.kept is not None
        assert hash_file(wrong.kept) == wrong.locked.file_hash
        assert "kept as" in str(report)
        assert cf.reproduce(path)["skipped"] == len(table)
        assert hash_file(place) == wrong.locked.file_hash
        names = {p.name: hash_file(p) for p in place.parent.iterdir() if p.name.startswith((place.name, "."))}
        newer = changed.in_archive.file_hash
        assert set(names.values()) == {wrong.locked.file_hash, newer}
        assert len(names) == 3
        assert cf.verify()["changed"] == []
        assert cf.changes()["spectrum_id"].tolist() == [renewed]
        assert cf.download(stale_only=True)["downloaded"] == 1
        assert hash_file(place) == newer
        place.unlink()
        assert cf.reproduce(path)["downloaded"] == 0
        assert hash_file(place) == wrong.locked.file_hash

        # A file that is neither the archive's nor the locked one is somebody's, and stays.
        place.write_bytes(b"mine")
        with pytest.raises(DownloadError, match=f"1 of {len(table)} files .*{renewed}.*kept as") as caught:
            cf.reproduce(path)
        assert isinstance(caught.value.report, LockReport)
        assert place.read_bytes() == b"mine"

    # Somebody else, with nothing: gets what can be had, and is told exactly what not.
    with Campfire(own_service.url, tmp_path / "other", token="any") as cf:
        cf.sync()
        with pytest.raises(DownloadError, match=f"2 of {len(table)} files") as caught:
            cf.reproduce(path)
        last = caught.value.report
        assert isinstance(last, LockReport)
        assert {c.locked.spectrum_id: (c.disk, c.archive) for c in last.spectra if c.disk != "same"} == {
            renewed: ("missing", "changed"),
            removed: ("missing", "gone"),
        }
        got = files_of(cf.data_dir / "products")
        assert sorted(got.values()) == sorted(states[name].locked.file_hash for name in (lost, *kept))


def test_check_lock_works_offline(archive: Path, tmp_path: Path) -> None:
    """Statement: with the service gone, locks are made and checked, and reproduced if all is here."""
    with serving(archive) as service:
        url = service.url
        with Campfire(url, tmp_path / "mirror", token="any") as cf:
            cf.sync()
            cf.download(gratings=["PRISM"])
    with Campfire(url, tmp_path / "mirror") as cf:
        lock = cf.lock(tmp_path / "a.lock")
        assert {entry.grating for entry in lock.spectra} == {"PRISM"}
        assert cf.check_lock(tmp_path / "a.lock").ok
        assert cf.reproduce(tmp_path / "a.lock")["skipped"] == len(lock)
        assert len(cf.changes()) == 0


def test_download_of_a_lock_file(here: Campfire, tmp_path: Path) -> None:
    """Statement: download(lock=) is reproduce; a dry run plans; it takes no filter beside."""
    shutil.copytree(here.data_dir, tmp_path / "mirror")
    path = tmp_path / "a.lock"
    with Campfire(here.base_url, tmp_path / "mirror", token="any") as cf:
        table = cf.query_spectra(gratings=["PRISM"])
        table = table[[bool(place) for place in table["local_path"]]]
        cf.lock(path, table)
        first = Path(str(table["local_path"][0]))
        kept = first.with_name(f"{first.name}.{hash_file(first).partition(':')[2][:12]}.old")
        first.rename(kept)
        plan = cf.download(lock=path, dry_run=True)
        assert (plan["planned"], plan["skipped"]) == (1, len(table) - 1)
        assert not first.exists()
        done = cf.download(lock=path)
        assert (done["downloaded"], done["skipped"]) == (0, len(table))
        assert cf.check_lock(path).ok
        for beside in ({"gratings": "PRISM"}, {"stale_only": True}, {"everything": True}):
            with pytest.raises(ValidationError, match="lock="):
                cf.download(lock=path, **beside)


def test_a_file_that_rotted(here: Campfire, tmp_path: Path) -> None:
    """Statement: another content is found where size and time are as recorded, too."""
    shutil.copytree(here.data_dir, tmp_path / "mirror")
    with Campfire(here.base_url, tmp_path / "mirror", token="any") as cf:
        cf.lock(tmp_path / "a.lock")
        row = cf.query_spectra()[0]
        path = Path(str(row["local_path"]))
        status, data = path.stat(), bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        (check,) = cf.check_lock(tmp_path / "a.lock").differences
        assert (check.locked.spectrum_id, check.disk) == (str(row["spectrum_id"]), "changed")


def test_a_file_that_was_altered_here(here: Campfire, tmp_path: Path) -> None:
    """Statement: another content at the place of a locked file is found, and never replaced by reproduce."""
    shutil.copytree(here.data_dir, tmp_path / "mirror")
    with Campfire(here.base_url, tmp_path / "mirror", token="any") as cf:
        name = str(cf.query_spectra()["spectrum_id"][0])
        lock = cf.lock(tmp_path / "a.lock")
        path = Path(str(cf.query_spectra()["local_path"][0]))
        path.write_bytes(path.read_bytes() + b"\0" * 2880)
        changed = hash_file(path)
        (check,) = cf.check_lock(tmp_path / "a.lock").differences
        assert (check.locked.spectrum_id, check.disk, check.archive) == (name, "changed", "same")
        assert check.on_disk is not None
        assert check.on_disk.file_hash == changed
        with pytest.raises(DownloadError, match=f"1 of {len(lock)} files cannot be had as locked"):
            cf.reproduce(tmp_path / "a.lock")
        assert hash_file(path) == changed
        path.write_bytes(b"no FITS file")
        (check,) = cf.check_lock(tmp_path / "a.lock").differences
        assert check.on_disk is not None
        assert (check.on_disk.reduction_version, check.on_disk.signal_to_noise) == (None, None)
        assert "version unknown" in str(check)


def test_a_file_that_has_another_name_by_now(here: Campfire, tmp_path: Path) -> None:
    """Statement: a file at the place of the catalogue counts, else one where the lock file says it was."""
    lock = here.lock(tmp_path / "a.lock")
    moved = [replace(entry, observation="elsewhere") for entry in lock.spectra]
    Lock.of(moved, lock.archive, None).write(tmp_path / "b.lock")
    assert here.check_lock(tmp_path / "b.lock").ok
    with Campfire(here.base_url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        former = cf.data_dir / "products" / "elsewhere" / moved[0].fits_path.rpartition("/")[2]
        former.parent.mkdir(parents=True)
        path = {c.locked.spectrum_id: c.path for c in here.check_lock(tmp_path / "a.lock").spectra}
        shutil.copy(path[moved[0].spectrum_id], former)
        report = cf.check_lock(tmp_path / "b.lock")
        assert report.counts == {"same": 1, "changed": 0, "missing": len(lock) - 1, "gone": 0}
        assert report.spectra[0].path == str(former)


def test_packages_and_services_that_differ_are_named(here: Campfire, tmp_path: Path) -> None:
    """Statement: other versions of packages are reported, and alone do not make the spectra differ."""
    lock = here.lock(tmp_path / "a.lock")
    older = replace(
        lock, versions={**lock.versions, "numpy": "1.0", "gone": "2"}, archive="https://example.org:443"
    )
    older.write(tmp_path / "b.lock")
    report = here.check_lock(tmp_path / "b.lock")
    assert report.ok
    assert report.versions == {"numpy": ("1.0", np.__version__), "gone": ("2", None)}
    assert f"numpy: locked 1.0, now {np.__version__}" in str(report)
    assert "locked at https://example.org:443" in str(report)
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["counts"] == report.counts
    assert plain["versions"]["numpy"] == {"locked": "1.0", "now": np.__version__}


def test_long_reports_are_cut(here: Campfire, tmp_path: Path) -> None:
    entry = here.lock(tmp_path / "a.lock").spectra[0]
    many = [replace(entry, spectrum_id=f"{entry.spectrum_id}_{k}") for k in range(300)]
    Lock.of(many, "https://example.org:443", None).write(tmp_path / "b.lock")
    report = here.check_lock(tmp_path / "b.lock")
    assert report.counts["gone"] == 300
    assert "and 280 more" in str(report)
    assert len(str(report).splitlines()) < 30


@pytest.mark.parametrize(
    "change",
    [
        {"observation": "../../outside"},
        {"fits_path": "spectra/x/.."},
        {"observation": "/etc", "fits_path": "passwd"},
        {"file_hash": "sha256:../../../../etc/passwd"},
    ],
)
def test_a_lock_of_a_stranger_leads_nowhere(here: Campfire, tmp_path: Path, change: dict[str, str]) -> None:
    """Statement: names in a lock file are checked as those of a server are."""
    entry = replace(here.lock(tmp_path / "a.lock").spectra[0], spectrum_id="stranger", **change)  # type: ignore[arg-type]
    Lock.of([entry], "https://example.org:443", None).write(tmp_path / "b.lock")
    before = files_of(tmp_path)
    with pytest.raises(ValidationError):
        here.check_lock(tmp_path / "b.lock")
    with pytest.raises(ValidationError):
        here.reproduce(tmp_path / "b.lock")
    assert files_of(tmp_path) == before


def test_failed_downloads_are_named(own_service: Service, tmp_path: Path) -> None:
    """Statement: where a locked file should be to be had and does not come, the reason is in the error."""
    with Campfire(own_service.url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        name = str(cf.query_spectra()["spectrum_id"][0])
        cf.lock(tmp_path / "a.lock", [name])
        own_service.fault = lambda path: (404, b"") if path.endswith(".fits") else None
        with pytest.raises(DownloadError, match=f"1 of 1 files .*{name}.*in the archive: as locked; ") as err:
            cf.reproduce(tmp_path / "a.lock")
        assert isinstance(err.value, CampfireError)
        own_service.fault = None
        assert cf.reproduce(tmp_path / "a.lock")["downloaded"] == 1


def test_versions_come_from_files_that_the_catalogue_does_not_know(archive: Path, tmp_path: Path) -> None:
    """Statement: a file kept from before a reprocessing is locked with its own version and S/N."""
    root = tmp_path / "served"
    shutil.copytree(archive, root)
    with serving(root) as service, Campfire(service.url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        row = cf.query_spectra()[0]
        name = str(row["spectrum_id"])
        cf.download(spectrum_ids=[name])
        reprocess(root, name)
        assert cf.sync()["stale_count"] == 1
        (entry,) = cf.lock(tmp_path / "a.lock").spectra
        assert (entry.file_hash, entry.reduction_version) == (row["file_hash"], row["reduction_version"])
        assert entry.signal_to_noise == pytest.approx(row["signal_to_noise"])
        now = cf.get_spectrum(name)
        assert now is not None
        assert (now["reduction_version"], entry.hash_of) == ("v9", "disk")
