"""The command line against a served archive: what it prints, where, and how it exits."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campfire.testing import served

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(archive_url: str, tmp_path: Path) -> Run:
    """Run the command line as a process of its own, as a user of an API key would."""
    env = os.environ | {
        "CAMPFIRE_API_URL": archive_url,
        "CAMPFIRE_API_KEY": "sk_live_any",
        "CAMPFIRE_ROOT": str(tmp_path / "campfire"),
    }

    def call(*args: str, text: str | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "campfire", *args],
            env=env | extra,
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


def _json(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_sync_query_download_verify_status(run: Run, tmp_path: Path) -> None:
    """The main job on the command line; data on stdout, talk on stderr."""
    assert _json(run("sync", "--json"))["objects"] == 24
    rows = _json(
        run("query", "spectra", "--gratings", "prism", "--limit", "5", "--sort", "signal_to_noise", "--json")
    )
    assert len(rows) == 5
    assert {row["grating"] for row in rows} == {"PRISM"}
    snr = [row["signal_to_noise"] for row in rows]
    assert snr == sorted(snr)

    listing = run("download")
    assert listing.returncode == 0
    assert listing.stdout.startswith("OBSERVATION\tPROGRAM\tFIELD\tSPECTRA\tLOCAL")

    options = ("download", "--field", "uds", "--grating", "PRISM")
    dry = run(*options, "--dry-run")
    assert dry.returncode == 0
    assert not list((tmp_path / "campfire").rglob("*_spec.fits"))
    refused = run(*options, text="n\n")
    assert refused.returncode == 1
    assert not list((tmp_path / "campfire").rglob("*_spec.fits"))
    report = _json(run(*options, "--yes", "--json"))
    files = list((tmp_path / "campfire" / "products").rglob("*_spec.fits"))
    assert report["downloaded"] == len(files) > 0
    assert report["bytes"] == sum(path.stat().st_size for path in files)
    again = _json(run(*options, "--yes", "--json"))
    assert (again["downloaded"], again["bytes"]) == (0, 0)

    assert _json(run("verify", "--json"))["ok"] == len(files)
    files[0].write_bytes(files[0].read_bytes()[:-2880])
    broken = run("verify", "--json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["truncated"]
    assert run("verify", "--repair").returncode == 0

    status = _json(run("status", "--json"))
    assert status["downloaded"] == len(files)
    assert status["is_local"]


def test_queries_in_every_format_agree(run: Run) -> None:
    assert run("sync").returncode == 0
    options = ("query", "objects", "--redshift-range", "2", "-", "--sort", "redshift")
    rows = _json(run(*options, "--json"))
    assert rows
    from astropy.table import Table

    ecsv = Table.read(run(*options, "--ecsv").stdout, format="ascii.ecsv")
    assert list(ecsv["object_id"]) == [row["object_id"] for row in rows]
    assert str(ecsv["ra"].unit) == "deg"
    csv = run(*options, "--csv").stdout.splitlines()
    assert len(csv) == len(rows) + 1
    assert csv[0].startswith("object_id,")
    plain = run(*options).stdout.splitlines()
    assert len(plain) == len(rows) + 1
    remote = _json(run(*options, "--remote", "--json"))
    unsent = {"photo_z_err_lo", "photo_z_err_hi", "updated_at"}
    strip = [{key: value for key, value in row.items() if key not in unsent} for row in rows]
    assert [{key: value for key, value in row.items() if key not in unsent} for row in remote] == strip


def test_mistakes_are_answered_with_what_would_work(run: Run) -> None:
    assert run("sync").returncode == 0
    wrong = run("query", "spectra", "--gratings", "PRSM")
    assert wrong.returncode == 1
    assert "PRISM" in wrong.stderr
    assert wrong.stdout == ""
    assert "Traceback" not in wrong.stderr
    assert run("download", "--obs", "no_such_observation", "--yes").returncode == 1
    assert run("query", "spectra", "--redshift-range", "5", "x").returncode == 2


def test_doctor_names_the_fix(run: Run) -> None:
    before = run("doctor", "--json")
    assert before.returncode == 1
    findings = {row["check"]: row for row in json.loads(before.stdout)}
    assert findings["catalogue"]["fix"] == "campfire sync"
    assert run("sync").returncode == 0
    after = run("doctor")
    assert after.returncode == 0, after.stdout


def test_login_whoami_logout_with_accounts(archive: Path, tmp_path: Path) -> None:
    """Accounts, key and login by command line; nothing secret is shown again."""
    root = tmp_path / "archive"
    shutil.copytree(archive / "meta", root / "meta")
    config = tmp_path / "config"
    env = {k: v for k, v in os.environ.items() if not k.startswith("CAMPFIRE_")}
    env |= {"CAMPFIRE_ROOT": str(root), "CAMPFIRE_CONFIG_DIR": str(config)}

    def call(*args: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "campfire", *args]
        return subprocess.run(command, env=env, input=text, capture_output=True, text=True, timeout=60)

    added = call("user", "add", "me@example.org", "--password-stdin", text="correct horse battery\n")
    assert added.returncode == 0, added.stderr
    key = call("user", "key", "me@example.org").stdout.strip()
    assert re.fullmatch(r"sk_live_[0-9a-f]{64}", key)
    with served(root, open_access=False) as url:
        assert call("whoami", "--base-url", url).returncode == 1
        wrong = call("login", "--api-key", "--base-url", url, text="sk_live_" + "0" * 64 + "\n")
        assert wrong.returncode == 1
        login = call("login", "--api-key", "--base-url", url, text=key + "\n")
        assert login.returncode == 0, login.stderr
        whoami = call("whoami", "--base-url", url)
        assert whoami.stdout.strip() == "me@example.org"
        for result in (wrong, login, whoami, call("status", "--base-url", url)):
            assert key not in result.stdout + result.stderr
        assert [path.stat().st_mode & 0o077 for path in config.rglob("*") if path.is_file()] != []
        assert not any(path.stat().st_mode & 0o077 for path in config.rglob("*"))
        assert call("logout", "--base-url", url).returncode == 0
        assert call("whoami", "--base-url", url).returncode == 1


def test_accounts_are_those_of_the_folder_one_is_in(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Statement: --root, CAMPFIRE_ROOT, this folder, in that order; grants are for programs there are."""
    from campfire.archive.server.accounts import Accounts
    from campfire.cli import main

    root, email = tmp_path / "archive", "me@example.org"
    shutil.copytree(archive / "meta", root / "meta")
    monkeypatch.delenv("CAMPFIRE_ROOT", raising=False)
    monkeypatch.chdir(root)
    with Accounts(root) as accounts:
        user = accounts.add_user(email)
        assert main(["user", "grant", email, "GTO_Wide"]) == 0
        assert accounts.grants_of(user.id) == {"gto_wide"}
        capsys.readouterr()
        assert main(["user", "grant", email, "gto_wild"]) == 1
        assert "gto_wide" in capsys.readouterr().err
        assert accounts.grants_of(user.id) == {"gto_wide"}
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("CAMPFIRE_ROOT", str(tmp_path / "other"))
    assert main(["user", "key", email]) == 1
    assert main(["user", "key", email, "--root", str(root)]) == 0


def test_serve_prints_its_address_first_and_stops_gracefully(archive: Path) -> None:
    import signal
    from urllib.request import Request, urlopen

    command = [sys.executable, "-m", "campfire", "serve", str(archive), "--port", "0", "--open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/api/v1", url)
        request = Request(f"{url}/metadata", headers={"Authorization": "Bearer any"})
        with urlopen(request, timeout=10) as answer:
            assert json.load(answer)["fields"]
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=15) == 0


def test_simulate_then_index_from_files_alone(tmp_path: Path) -> None:
    """`index` rebuilds a catalogue from the FITS products that `simulate` wrote."""
    root = tmp_path / "archive"
    command = [sys.executable, "-m", "campfire"]
    subprocess.run(
        [*command, "simulate", str(root), "--objects", "3", "--seed", "2"], check=True, timeout=120
    )
    products = sorted((root / "products").rglob("*_spec.fits"))
    shutil.rmtree(root / "meta")
    products[0].write_bytes(b"SIMPLE")
    run = subprocess.run(
        [*command, "index", str(root), "--json"], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 1, run.stderr
    assert products[0].name in run.stderr
    from campfire.query import Query
    from campfire.store.catalog import Catalog

    with Catalog(root / "meta" / "campfire.db", read_only=True) as catalog:
        assert catalog.count(Query.of("spectra")) == len(products) - 1


def test_sheets_of_objects(run: Run, tmp_path: Path) -> None:
    """Statement: ``campfire sheet`` writes one PDF, and replaces none unasked."""
    assert run("sync").returncode == 0
    names = [row["object_id"] for row in _json(run("query", "objects", "--limit", "2", "--json"))]
    path = tmp_path / "two.pdf"
    done = run("sheet", *names, "--pdf", str(path))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "2 sheets" in done.stderr
    assert path.read_bytes().startswith(b"%PDF")
    again = run("sheet", *names, "--pdf", str(path))
    assert again.returncode == 1
    assert "--overwrite" in again.stderr
