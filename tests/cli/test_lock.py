"""``campfire lock`` against a served archive that changes: output, exit codes, JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from campfire.cli import main
from campfire.store.catalog import Catalog
from campfire.testing import served


class Result(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def call(*args: str | Path) -> Result:
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        return Result(code, *capsys.readouterr())

    return call


def change(root: Path, spectrum_id: str, **values: Any) -> None:
    """Change the row of a spectrum in the served catalogue."""
    with Catalog(root / "meta" / "campfire.db") as catalog:
        row = catalog.spectrum_row(spectrum_id)
        assert row is not None
        with catalog.write() as writer:
            writer.put_spectra([row | values | {"updated_at": "2030-01-01T00:00:00+00:00"}])


@contextmanager
def serving(archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a copy of an archive to the command line, which mirrors it; yields the root."""
    root = folder / "served"
    shutil.copytree(archive, root, ignore=shutil.ignore_patterns("imaging"))
    monkeypatch.setenv("CAMPFIRE_API_KEY", "sk_live_secret")
    monkeypatch.setenv("CAMPFIRE_ROOT", str(folder / "mirror"))
    with served(root, open_access=True) as url:
        monkeypatch.setenv("CAMPFIRE_API_URL", url)
        yield root


def test_lock_check_reproduce(
    archive: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statement: what is locked is checked and reproduced, else exit code 1 and the exact differences."""
    file = tmp_path / "paper.lock"
    with serving(archive, tmp_path, monkeypatch) as root:
        assert run("sync").code == 0
        nothing = run("lock", file)
        assert nothing.code == 1
        assert "no spectra to lock" in nothing.err

        made = run("lock", file, "--field", "uds", "--grating", "PRISM")
        assert made.code == 0
        assert "not on this disk" in made.err
        entries = json.loads(file.read_text())["spectra"]
        assert {entry["grating"] for entry in entries} == {"PRISM"}
        assert "secret" not in file.read_text()

        missing = run("lock", file, "--check")
        assert missing.code == 1
        lines = missing.out.splitlines()
        assert lines[0] == "state\tspectrum_id\tdifference"
        assert len(lines) == len(entries) + 1
        assert all(line.startswith("missing\t") for line in lines[1:])

        done = run("lock", file, "--reproduce", "--json")
        assert done.code == 0, done.err
        assert done.json()["downloaded"] == len(entries)
        right = run("lock", file, "--check")
        assert (right.code, right.out) == (0, "")
        assert f"{len(entries)} same" in right.err
        assert f"{len(entries)} already here" in run("lock", file, "--reproduce").err

        again = run("lock", file)
        assert again.code == 1
        assert "exists already" in again.err
        whole = run("lock", file, "--overwrite", "--json")
        assert whole.json()["spectra"] == len(entries)
        assert whole.json()["not_on_disk"] == 0

        renewed = entries[0]["spectrum_id"]
        change(root, renewed, file_hash="sha256:" + "ab" * 32, reduction_version="v9", signal_to_noise=99.0)
        assert run("sync").code == 0
        checked = run("lock", file, "--check", "--json")
        assert checked.code == 1
        report = checked.json()
        assert report["counts"] == {"same": len(entries) - 1, "changed": 1, "missing": 0, "gone": 0}
        (differing,) = [row for row in report["spectra"] if row["state"] != "same"]
        assert differing["locked"]["spectrum_id"] == renewed
        assert differing["in_archive"]["reduction_version"] == "v9"
        assert "99.00" in run("lock", file, "--check").out

        shutil.rmtree(tmp_path / "mirror" / "products")
        partly = run("lock", file, "--reproduce")
        assert partly.code == 1
        assert "1 of" in partly.err
        assert partly.out.count("\n") == 2
        assert renewed in partly.out
        assert len(list((tmp_path / "mirror" / "products").rglob("*_spec.fits"))) == len(entries) - 1
        assert run("lock", file, "--reproduce", "--json").json()["counts"]["changed"] == 1

    offline = run("lock", file, "--check", "--json")
    assert offline.code == 1
    assert offline.json()["counts"]["same"] == len(entries) - 1


def test_download_of_a_lock_file(
    archive: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statement: download --lock plans and fetches exactly the locked files, or says what differs."""
    file = tmp_path / "paper.lock"
    with serving(archive, tmp_path, monkeypatch) as root:
        assert run("sync").code == 0
        assert run("lock", file, "--field", "uds", "--grating", "PRISM").code == 0
        names = [entry["spectrum_id"] for entry in json.loads(file.read_text())["spectra"]]
        plan = run("download", "--lock", file, "--dry-run", "--json")
        assert plan.code == 0, plan.err
        assert plan.json()["planned"] == len(names)
        assert not (tmp_path / "mirror" / "products").exists()
        done = run("download", "--lock", file, "--yes", "--json")
        assert (done.code, done.json()["downloaded"]) == (0, len(names)), done.err
        assert run("lock", file, "--check").code == 0

        assert run("download", "--lock", file, "--grating", "PRISM").code == 1
        change(root, names[0], file_hash="sha256:" + "ab" * 32, reduction_version="v9", signal_to_noise=99.0)
        assert run("download", "--lock", file, "--yes").code == 0  # what is here as locked stays
        (gone,) = (tmp_path / "mirror" / "products").glob(f"*/{names[0]}_spec.fits")
        gone.unlink()
        assert f"✗ {names[0]}: locked" in run("download", "--lock", file, "--dry-run").err
        (tmp_path / "mirror" / "products").rename(tmp_path / "mirror" / "former")
        partly = run("download", "--lock", file, "--yes")
        assert partly.code == 1
        assert f"✗ {names[0]}: locked" in partly.err
        assert "v9" in partly.err
        there = sorted(path.name for path in (tmp_path / "mirror" / "products").rglob("*_spec.fits"))
        assert there == sorted(f"{name}_spec.fits" for name in names[1:])


def test_wrong_usage(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPFIRE_ROOT", str(tmp_path))
    file = tmp_path / "a.lock"
    for options in (
        ("--check", "--reproduce"),
        ("--check", "--grating", "PRISM"),
        ("--reproduce", "--overwrite"),
    ):
        wrong = run("lock", file, *options)
        assert wrong.code == 2
        assert "exclude each other" in wrong.err
    assert run("lock").code == 2
    absent = run("lock", file, "--check")
    assert absent.code == 1
    assert "no lock file" in absent.err
    file.write_text("[]")
    assert "not a lock file" in run("lock", file, "--check").err
    assert "sync" in run("lock", tmp_path / "b.lock").err
