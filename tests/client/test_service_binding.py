"""Statement: what is on this disk answers only for the service that it came from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campfire.archive.simulate.archive import make_archive
from campfire.cli import main
from campfire.client import Campfire
from campfire.client.response_cache import server_folder
from campfire.config import service_name
from campfire.errors import ValidationError
from campfire.store.catalog import Catalog
from tests.client.conftest import Service, serving


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Another archive at another address, with objects and spectra of the same names."""
    root = tmp_path_factory.mktemp("elsewhere")
    make_archive(root, objects=3, seed=4)
    with serving(root) as service:
        yield service


LOCAL: dict[str, Callable[[Campfire, str, str], Any]] = {
    "query_objects": lambda cf, _o, _s: cf.query_objects(),
    "query_spectra": lambda cf, _o, _s: cf.query_spectra(),
    "iter_spectra": lambda cf, _o, _s: list(cf.iter_spectra()),
    "count_objects": lambda cf, _o, _s: cf.count_objects(),
    "get_object": lambda cf, o, _s: cf.get_object(o),
    "get_spectrum": lambda cf, _o, s: cf.get_spectrum(s),
    "get_tags": lambda cf, _o, _s: cf.get_tags(),
    "get_fields": lambda cf, _o, _s: cf.get_fields(),
    "open_spectrum": lambda cf, _o, s: cf.open_spectrum(s),
    "open_collection": lambda cf, _o, s: cf.open_collection([s]),
    "get_spectrum_data": lambda cf, _o, s: cf.get_spectrum_data(s),
    "get_cutout": lambda cf, o, _s: cf.get_cutout(o),
    "get_shutters": lambda cf, o, _s: cf.get_shutters(o),
    "download": lambda cf, _o, _s: cf.download(everything=True),
    "sync": lambda cf, _o, _s: cf.sync(),
    "full sync": lambda cf, _o, _s: cf.sync(full=True),
    "verify": lambda cf, _o, _s: cf.verify(),
    "stale_files": lambda cf, _o, _s: cf.stale_files(),
    "lock": lambda cf, _o, s: cf.lock(cf.data_dir / "a.lock", [s]),
    "changes": lambda cf, _o, _s: cf.changes(),
}


@pytest.mark.parametrize("call", LOCAL)
def test_another_services_catalogue_answers_nothing(call: str, cf: Campfire, elsewhere: Service) -> None:
    row = cf.query_spectra(gratings=["PRISM"])[0]
    cf.download(spectrum_ids=[str(row["spectrum_id"])])
    before = (cf.data_dir / "meta" / "campfire.db").read_bytes()
    with Campfire(elsewhere.url, cf.data_dir, token="any") as other:
        assert not other.is_local
        assert other.last_synced is None
        with pytest.raises(ValidationError, match="is the catalogue of") as caught:
            LOCAL[call](other, str(row["object_id"]), str(row["spectrum_id"]))
        assert service_name(cf.base_url) in str(caught.value)
        assert service_name(elsewhere.url) in str(caught.value)
        assert "another data_dir" in str(caught.value)
        # asked remotely it answers for itself, and shows no file of the other as its own
        rows = other.query_spectra(remote=True)
        assert len(rows) > len(cf.query_spectra())
        assert rows["local_path"].mask.all()
    assert (cf.data_dir / "meta" / "campfire.db").read_bytes() == before


def test_files_noted_without_a_catalogue_are_bound_too(
    service: Service, elsewhere: Service, tmp_path: Path
) -> None:
    with Campfire(service.url, tmp_path, token="any") as cf:
        name = str(cf.query_spectra(limit=1)[0]["spectrum_id"])
        cf.open_spectrum(name)
    with (
        Campfire(elsewhere.url, tmp_path, token="any") as other,
        pytest.raises(ValidationError, match="is the catalogue of"),
    ):
        other.open_spectrum(name)


def test_an_archive_that_moved_is_adopted_by_an_explicit_word(cf: Campfire, elsewhere: Service) -> None:
    with Campfire(elsewhere.url, cf.data_dir, token="any") as moved:
        result = moved.sync(adopt=True)
        assert not result["incremental"]
        assert len(moved.query_objects()) == 3
        moved.sync()
    with (
        Campfire(cf.base_url, cf.data_dir, token="any") as former,
        pytest.raises(ValidationError, match="is the catalogue of"),
    ):
        former.query_objects()


def test_a_catalogue_that_does_not_say_whose_it_is_is_bound_by_the_next_sync(
    cf: Campfire, elsewhere: Service
) -> None:
    """As those made by former versions, and by the pipeline."""
    with Catalog(cf.data_dir / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        writer.set_meta("service", None)
    with Campfire(elsewhere.url, cf.data_dir, token="any") as other:
        assert other.is_local
    cf.sync()
    with Campfire(elsewhere.url, cf.data_dir, token="any") as other:
        assert not other.is_local


def test_an_archive_on_disk_is_opened_under_any_address(archive: Path, tmp_path: Path) -> None:
    """A root that is served is its own authority."""
    shutil.copytree(archive, tmp_path / "root")
    with Campfire("https://archive.example.org/api/v1", tmp_path / "root") as cf:
        assert cf.is_local
        assert len(cf.query_objects()) == 2


SAME = [
    ("https://a.example.org/api/v1", "https://A.example.org:443/api/v1/"),
    ("http://localhost:8765/api/v1", "http://127.0.0.1:8765/api/v1"),
]
DIFFERENT = [
    ("https://a.example.org/api/v1", "https://b.example.org/api/v1"),
    ("https://a.example.org/api/v1", "https://a.example.org:8443/api/v1"),
    ("https://a.example.org/api/v1", "https://a.example.org/team/api/v1"),
    ("https://a.example.org/api/v1", "https://a.example.org/api/v2"),
    ("http://127.0.0.1:8765/api/v1", "http://127.0.0.1:8766/api/v1"),
    ("http://127.0.0.1:8765/api/v1", "https://127.0.0.1:8765/api/v1"),
    ("https://a-b.example.org/api/v1", "https://a_b.example.org/api/v1"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_spellings_of_one_address_are_one_service(one: str, two: str) -> None:
    assert service_name(one) == service_name(two)
    assert server_folder(Path(), one) == server_folder(Path(), two)


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_different_services_share_neither_name_nor_folder(one: str, two: str) -> None:
    assert service_name(one) != service_name(two)
    assert server_folder(Path(), one) != server_folder(Path(), two)


def test_status_and_doctor_say_whose_catalogue_it_is(
    cf: Campfire, elsewhere: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--base-url", elsewhere.url, "--data-dir", str(cf.data_dir)]
    for verb in ("status", "doctor"):
        main([verb, *where])
        shown = "".join(capsys.readouterr())
        assert f"is the catalogue of {service_name(cf.base_url)}" in shown
        assert "campfire sync --adopt" in shown
