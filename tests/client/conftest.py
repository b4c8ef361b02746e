"""A small simulated archive, served on a real socket, with a record of what is asked and room for faults."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from campfire.archive.simulate.archive import make_archive
from campfire.client import Campfire
from campfire.store.catalog import Catalog
from campfire.store.file_state import hash_file
from campfire.testing import served


def _named(content: bytes, spectrum_id: str) -> bytes:
    """Return a file whose header says that it is another spectrum."""
    at = content.index(b"FILENAME= ")
    return content[:at] + f"FILENAME= '{spectrum_id}_spec.fits'".ljust(80).encode() + content[at + 80 :]


Fault = Callable[[str], tuple[int, bytes] | None]


class Service:
    """A served archive: ``asked`` counts requests by path, ``fault`` may answer instead."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.fault: Fault | None = None
        self._lock = threading.Lock()

    def wrap(self, app: Any) -> Any:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            with self._lock:
                self.asked[scope["path"]] += 1
            answer = self.fault(scope["path"]) if self.fault else None
            if answer is None:
                await app(scope, receive, send)
                return
            status, body = answer
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": body})

        return wrapped

    def files_sent(self) -> int:
        return sum(n for path, n in self.asked.items() if path.endswith(".fits"))

    def reprocess(self, spectrum_id: str, donor: str) -> None:
        """Give a spectrum the file of another one, as a new version."""
        with Catalog(self.root / "meta" / "campfire.db") as catalog:
            rows = {name: catalog.spectrum_row(name) for name in (spectrum_id, donor)}
            paths = {name: self.path_of(row) for name, row in rows.items() if row}
            partial = paths[spectrum_id].with_suffix(".new")
            partial.write_bytes(_named(paths[donor].read_bytes(), spectrum_id))
            partial.replace(paths[spectrum_id])
            row = rows[spectrum_id]
            assert row is not None
            changed = {
                "file_hash": hash_file(paths[spectrum_id]),
                "file_size": paths[spectrum_id].stat().st_size,
                "reduction_version": "v9",
                "updated_at": "2030-01-01T00:00:00+00:00",
            }
            with catalog.write() as writer:
                writer.put_spectra([row | changed])

    def path_of(self, row: Any) -> Path:
        return self.root / "products" / str(row["observation"]) / str(row["fits_path"]).rpartition("/")[2]


@contextmanager
def serving(root: Path) -> Iterator[Service]:
    service = Service(root)
    with served(root, wrap=service.wrap) as url:
        service.url = url
        yield service


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    make_archive(root, objects=2, seed=3)
    return root


@pytest.fixture(scope="module")
def service(archive: Path) -> Iterator[Service]:
    """The archive, not to be changed."""
    with serving(archive) as service:
        yield service


@pytest.fixture
def own_service(archive: Path, tmp_path: Path) -> Iterator[Service]:
    """A copy of the archive, which the test may change."""
    shutil.copytree(archive, tmp_path / "served")
    with serving(tmp_path / "served") as service:
        yield service


@pytest.fixture
def cf(service: Service, tmp_path: Path) -> Iterator[Campfire]:
    """A client with a catalogue and no files."""
    service.fault = None
    with Campfire(service.url, tmp_path / "mirror", token="any") as cf:
        cf.sync()
        service.asked.clear()
        yield cf
    service.fault = None
