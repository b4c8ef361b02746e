"""Statements: every published file is right, bytes here are not fetched again, nothing is left over."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campfire.errors import DownloadError
from campfire.mirror import transfer
from campfire.mirror.pacing import Pacing
from campfire.mirror.partial import Wanted, key_of, leftovers, lock_for, part_path, tag_of
from campfire.mirror.transfer import Downloader, Outcome
from campfire.publishing import settle
from campfire.store.file_hashes import stamp_of
from campfire.transport.http import Http
from campfire.transport.rate_limit import RetryPolicy
from tests.transport.wire_stub import Asked, Reply, Stub, stub_server

QUICK = RetryPolicy(attempts=6, base=0.005, longest=0.01, deadline=3.0)
SIZE = 400_000


def content(number: int, size: int = SIZE) -> bytes:
    return random.Random(number).randbytes(size)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Addresses:
    """What signs addresses, and a manifest that says which hash a file has now."""

    def __init__(self, sign: Callable[..., str], now: str | None = None) -> None:
        self.sign, self.now = sign, now

    def __call__(self, observation: str, fits_path: str, *, renew: bool = False) -> str:
        return self.sign(observation, fits_path, renew=renew)

    def hash_now(self, observation: str, fits_path: str) -> str | None:
        return self.now


class Storage:
    """Object storage with ranges and entity tags; ``faults`` are played before it behaves."""

    def __init__(self, stub: Stub, size: int = SIZE) -> None:
        self.stub, self.size, self.signed = stub, size, 0
        self.faults: list[Reply | str] = []
        self.now: str | None = None
        self.lock = threading.Lock()
        stub.on("*", self.answer)

    def data(self, path: str) -> bytes:
        return content(int(path.rpartition("/")[2]), self.size)

    def answer(self, asked: Asked) -> Reply:
        data = self.data(asked.path)
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        status, headers = 200, {"ETag": etag}
        wanted = asked.headers.get("Range")
        if wanted and asked.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return Reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[start:]
        with self.lock:
            fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Reply):
            return fault
        if fault == "wrong":
            data = bytes([data[0] ^ 1]) + data[1:]
        cut = int(fault.removeprefix("cut")) if fault and fault.startswith("cut") else None
        return Reply(status, data, headers, cut=cut, stall=0.12 if fault == "stall" else 0.0)

    def sign(self, observation: str, fits_path: str, *, renew: bool = False) -> str:
        with self.lock:
            self.signed += 1
        return f"{self.stub.url}/{observation}/{fits_path}?X-Signature=s"

    @property
    def sent(self) -> int:
        return len(self.stub.asked)


@pytest.fixture
def storage() -> Iterator[Storage]:
    with stub_server() as stub:
        yield Storage(stub)


def downloader(storage: Storage, patience: float = 10.0, **options: Any) -> Downloader:
    http = Http(f"{storage.stub.url}/api/v1", file_timeout=(10.0, patience))
    return Downloader(http, Addresses(storage.sign, storage.now), retry=QUICK, **options)


def wanted(number: int, folder: Path, storage: Storage | None = None, **more: Any) -> Wanted:
    data = content(number, storage.size if storage else SIZE)
    facts: dict[str, Any] = {"file_hash": digest(data), "file_size": len(data)} | more
    return Wanted(f"s{number}", "obs", str(number), folder / "obs" / f"s{number}_spec.fits", **facts)


def files_in(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "obs").iterdir())


def test_a_file_arrives_checked_under_its_name(storage: Storage, tmp_path: Path) -> None:
    outcome = downloader(storage).fetch(wanted(1, tmp_path))
    assert (outcome.state, outcome.bytes, outcome.size) == ("downloaded", SIZE, SIZE)
    assert outcome.file_hash == digest(content(1))
    assert files_in(tmp_path) == ["s1_spec.fits"]
    assert (tmp_path / "obs" / "s1_spec.fits").read_bytes() == content(1)
    assert "Authorization" not in storage.stub.asked[0].headers


FAULTS = st.lists(
    st.one_of(
        st.integers(0, SIZE - 1).map(lambda n: f"cut{n}"),
        st.sampled_from(
            [
                "wrong",
                Reply(429, {}, {"Retry-After": "0"}),
                Reply(500, "<html>"),
                Reply(503),
                Reply(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"),
            ]
        ),
    ),
    max_size=5,
).filter(lambda faults: faults.count("wrong") < 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(faults=FAULTS, known=st.booleans())
def test_any_faults_end_with_the_right_file(
    storage: Storage, tmp_path_factory: pytest.TempPathFactory, faults: list[Reply | str], known: bool
) -> None:
    folder = tmp_path_factory.mktemp("f")
    storage.faults = [f for f in faults if known or f != "wrong"]
    item = wanted(2, folder) if known else wanted(2, folder, file_hash=None)
    outcome = downloader(storage).fetch(item)
    assert outcome.file_hash == digest(content(2))
    assert item.target.read_bytes() == content(2)
    assert files_in(folder) == ["s2_spec.fits"]


def test_a_stall_times_out_and_is_tried_again(storage: Storage, tmp_path: Path) -> None:
    storage.faults = ["stall"]
    assert downloader(storage, patience=0.06).fetch(wanted(1, tmp_path)).state == "downloaded"
    assert storage.sent >= 2


def test_bytes_here_are_not_fetched_again(storage: Storage, tmp_path: Path) -> None:
    """Statement: resume with Range and If-Range; what is here already does not come again."""
    storage.faults = ["cut300000", "cut50000"]
    outcome = downloader(storage).fetch(wanted(1, tmp_path))
    ranges = [a.headers.get("Range") for a in storage.stub.asked]
    assert ranges == [None, "bytes=300000-", "bytes=350000-"]
    assert all(a.headers["If-Range"] for a in storage.stub.asked[1:])
    assert outcome.bytes == SIZE


def test_another_run_goes_on_where_the_last_one_stopped(storage: Storage, tmp_path: Path) -> None:
    storage.faults = ["cut200000"] + [Reply(500)] * 20
    with pytest.raises(DownloadError, match="answered 500") as caught:
        downloader(storage).fetch(wanted(1, tmp_path))
    assert "kept" in str(caught.value.hint)
    assert not (tmp_path / "obs" / "s1_spec.fits").exists()
    storage.faults = []
    outcome = downloader(storage).fetch(wanted(1, tmp_path))
    assert outcome.bytes == SIZE - 200000
    assert files_in(tmp_path) == ["s1_spec.fits"]


def test_a_changed_source_is_fetched_from_the_start(storage: Storage, tmp_path: Path) -> None:
    """Statement: If-Range on another version gives 200 with all of it; other bytes never mix in."""
    item = wanted(1, tmp_path)
    item.target.parent.mkdir()
    part_path(item, '"another"').write_bytes(b"x" * 1000)
    assert downloader(storage).fetch(item).bytes == SIZE
    assert item.target.read_bytes() == content(1)
    # The same tag with other bytes: the hash of the whole finds it, and all is fetched anew.
    item = wanted(3, tmp_path)
    part_path(item, f'"{hashlib.md5(content(3)).hexdigest()}"').write_bytes(b"x" * 1000)
    downloader(storage).fetch(item)
    assert item.target.read_bytes() == content(3)
    # Longer than the file: 416.
    item = wanted(4, tmp_path)
    part_path(item, f'"{hashlib.md5(content(4)).hexdigest()}"').write_bytes(b"x" * (SIZE + 1))
    downloader(storage).fetch(item)
    assert item.target.read_bytes() == content(4)
    assert files_in(tmp_path) == ["s1_spec.fits", "s3_spec.fits", "s4_spec.fits"]


def test_a_range_that_was_not_asked_for_is_not_believed(storage: Storage, tmp_path: Path) -> None:
    data = content(1)
    lie = Reply(206, data[10:], {"Content-Range": f"bytes 10-{SIZE - 1}/{SIZE}", "ETag": '"x"'})
    storage.faults = ["cut200000", lie]
    downloader(storage).fetch(wanted(1, tmp_path))
    assert (tmp_path / "obs" / "s1_spec.fits").read_bytes() == data


def test_other_content_than_the_catalogue_says(storage: Storage, tmp_path: Path) -> None:
    item = wanted(1, tmp_path, file_hash=digest(b"something else"))
    with pytest.raises(DownloadError, match="not the file of the catalogue") as caught:
        downloader(storage).fetch(item)
    assert "sync" in str(caught.value.hint)
    assert storage.sent == 3  # the same bytes again and again are no accident
    assert files_in(tmp_path) == []


def test_a_newer_version_is_told_after_one_fetch(storage: Storage, tmp_path: Path) -> None:
    """Statement: where the manifest has another hash than the catalogue, nothing is fetched again."""
    storage.now = digest(content(1))
    with pytest.raises(DownloadError, match="newer version") as caught:
        downloader(storage).fetch(wanted(1, tmp_path, file_hash=digest(b"as it was")))
    assert "sync" in str(caught.value.hint)
    assert storage.sent == 1
    assert files_in(tmp_path) == []


def test_a_wrong_size_in_the_catalogue_does_not_matter(storage: Storage, tmp_path: Path) -> None:
    """Statement: the hash decides, also where the size is far off."""
    for number, size in enumerate((10, 10 * SIZE)):
        item = wanted(number, tmp_path, file_size=size)
        assert downloader(storage).fetch(item).size == SIZE
        assert storage.sent == number + 1


def test_what_nothing_can_be_checked_against_is_not_published(tmp_path: Path) -> None:
    """Statement: no hash, no size, and an answer that does not say its end: it may be half a file."""

    def half(client: socket.socket) -> None:
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(1000))

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    half(server.accept()[0])

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        addresses = Addresses(lambda *_, renew=False: f"{url}/x")
        item = wanted(1, tmp_path, file_hash=None, file_size=None)
        with pytest.raises(DownloadError, match="where the file ends"):
            Downloader(Http(url), addresses, retry=QUICK).fetch(item)
        server.shutdown(socket.SHUT_RDWR)
    assert not item.target.exists()


def test_a_trickle_is_a_stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement: an answer of a byte now and then is given up, and gone on with where it stopped."""
    monkeypatch.setattr(transfer, "_PATIENCE", 0.1)
    data, ranges = content(1, 10_000), []

    def answer(client: socket.socket) -> None:
        with client, suppress(OSError):
            asked = client.recv(65536).decode()
            start = int(asked.partition("bytes=")[2].partition("-")[0] or 0)
            ranges.append(start)
            status = f"206 X\r\nContent-Range: bytes {start}-9999/10000" if start else "200 OK"
            head = f'HTTP/1.1 {status}\r\nETag: "x"\r\nContent-Length: {10_000 - start}\r\n\r\n'
            client.sendall(head.encode() + data[start : start + 5000])
            for number in range(0 if start else 50):
                time.sleep(0.02)
                client.sendall(data[5000 + number : 5001 + number])
            client.sendall(data[start + 5000 :])

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    answer(server.accept()[0])

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        addresses = Addresses(lambda *_, renew=False: f"{url}/x")
        item = wanted(1, tmp_path, file_hash=digest(data), file_size=10_000)
        assert Downloader(Http(url), addresses, retry=QUICK).fetch(item).bytes == 10_000
        server.shutdown(socket.SHUT_RDWR)
    assert ranges[0] == 0
    assert 5000 < ranges[1] < 5050
    assert item.target.read_bytes() == data


def test_expired_addresses_are_asked_for_again(storage: Storage, tmp_path: Path) -> None:
    asked: list[bool] = []

    def sign(observation: str, fits_path: str, *, renew: bool = False) -> str:
        asked.append(renew)
        return storage.sign(observation, fits_path)

    storage.faults = [Reply(403), Reply(400)]
    Downloader(Http(f"{storage.stub.url}/api/v1"), Addresses(sign), retry=QUICK).fetch(wanted(1, tmp_path))
    assert asked == [False, True, True]
    storage.faults = [Reply(404)] * 9
    with pytest.raises(DownloadError, match="404"):
        downloader(storage).fetch(wanted(5, tmp_path))
    assert storage.sent == 3 + 2


@pytest.mark.parametrize("url", ["#download-placeholder-x", "http://store.example.org/x"])
def test_addresses_that_are_refused(storage: Storage, tmp_path: Path, url: str) -> None:
    addresses = Addresses(lambda *_, renew=False: url)
    service = Downloader(Http("https://archive.example.org/api/v1"), addresses, retry=QUICK)
    with pytest.raises(DownloadError):
        service.fetch(wanted(1, tmp_path))
    assert files_in(tmp_path) == []


def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    with stub_server() as stub:
        storage = Storage(stub, size=SIZE * 8)
        item = Wanted("s", "obs", "1", tmp_path / "obs" / "f", digest(b"a"), 1000)
        with pytest.raises(DownloadError):
            downloader(storage).fetch(item)


# --- many --------------------------------------------------------------------------------------------------


def fetch_all(storage: Storage, items: list[Wanted], workers: int = 4) -> list[Outcome]:
    outcomes: list[Outcome] = []
    downloader(storage, workers=workers).fetch_all(items, outcomes.append)
    return outcomes


def test_a_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    with stub_server() as stub:
        storage = Storage(stub, size=5000)
        items = [wanted(n, tmp_path, storage) for n in range(30)]
        items[7] = wanted(7, tmp_path, storage, file_hash=digest(b"no"))
        outcomes = {o.wanted.spectrum_id: o for o in fetch_all(storage, items)}
    assert {name for name, o in outcomes.items() if o.state == "failed"} == {"s7"}
    assert "catalogue" in str(outcomes["s7"].error)
    assert len(files_in(tmp_path)) == 29


def test_one_429_slows_the_whole_pool(tmp_path: Path) -> None:
    """Statement: after 429 nothing new starts until the service's time is over, in any worker."""
    times: list[float] = []
    with stub_server() as stub:
        storage = Storage(stub, size=2000)
        plain = storage.answer

        def noted(asked: Asked) -> Reply:
            times.append(time.monotonic())
            if len(times) == 6:
                return Reply(429, {}, {"Retry-After": "1"})
            return plain(asked)

        stub.on("*", noted)
        outcomes = fetch_all(storage, [wanted(n, tmp_path, storage) for n in range(40)])
    assert all(o.state == "downloaded" for o in outcomes)
    gaps = [b - a for a, b in pairwise(times)]
    assert max(gaps) >= 0.9
    assert gaps.index(max(gaps)) in range(5, 10)  # only those under way already came between


def test_a_pause_of_hours_ends_the_batch(tmp_path: Path) -> None:
    """Statement: a service that asks for more patience than the limit is not waited for, by any worker."""
    with stub_server() as stub:
        storage = Storage(stub)
        stub.on("*", Reply(429, {}, {"Retry-After": "3600"}))
        started = time.monotonic()
        outcomes = fetch_all(storage, [wanted(n, tmp_path, storage) for n in range(40)])
    assert time.monotonic() - started < 2
    assert {o.state for o in outcomes} == {"failed"}
    assert len(stub.asked) <= 8
    assert all("3600 s" in str(o.error) or "429" in str(o.error) for o in outcomes)


def test_a_pause_ends_with_the_batch() -> None:
    """Statement: whoever waits does not go on waiting after the service asked for hours."""
    pacing, started = Pacing(2), time.monotonic()
    threading.Timer(0.05, lambda: pacing.close("hours")).start()
    with pytest.raises(DownloadError, match="hours"):
        pacing.pause(30.0)
    assert time.monotonic() - started < 5


def test_storage_that_always_fails_is_not_hammered(tmp_path: Path) -> None:
    """Statement: after a dozen files in a row that could not be had the others are not tried."""
    with stub_server() as stub:
        storage = Storage(stub)
        stub.on("*", Reply(500))
        outcomes = fetch_all(storage, [wanted(n, tmp_path, storage) for n in range(100)])
        assert len(stub.asked) <= 20 * QUICK.attempts
    assert {o.state for o in outcomes} == {"failed"}
    assert "500" in str(outcomes[-1].error)


def test_storage_that_is_gone_is_not_tried_for_hours(tmp_path: Path) -> None:
    """Statement: where nobody answers, the files after the first dozen are reported without a try."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    signed: list[str] = []

    def sign(observation: str, fits_path: str, *, renew: bool = False) -> str:
        signed.append(fits_path)
        return f"{url}/{fits_path}"

    outcomes: list[Outcome] = []
    service = Downloader(Http(url), Addresses(sign), retry=QUICK)
    service.fetch_all([wanted(n, tmp_path) for n in range(100)], outcomes.append)
    assert {o.state for o in outcomes} == {"failed"}
    assert len(set(signed)) < 30
    assert "no connection" in str(outcomes[-1].error)


def test_bytes_of_failed_files_count(storage: Storage, tmp_path: Path) -> None:
    """Statement: the bytes of a report are those that came, also of files that failed."""
    (outcome,) = fetch_all(storage, [wanted(1, tmp_path, file_hash=digest(b"no"))])
    assert (outcome.state, outcome.bytes) == ("failed", 3 * SIZE)


def test_pacing_halves_and_recovers() -> None:
    pacing = Pacing(8)
    pacing.slower(0.0)
    assert pacing.allowed == 4
    pacing.slower(0.0)
    pacing.slower(0.0)
    pacing.slower(0.0)
    assert pacing.allowed == 1
    for _ in range(20 * 7):
        pacing.fine()
    assert pacing.allowed == 8


def test_ten_threads_asking_at_once_fetch_once(storage: Storage, tmp_path: Path) -> None:
    item = wanted(1, tmp_path)
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(downloader(storage).fetch(item))) for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.sent == 1
    assert sorted(o.state for o in outcomes) == ["downloaded"] + ["present"] * 9
    assert files_in(tmp_path) == ["s1_spec.fits"]


def test_leftovers_of_crashed_runs_are_swept(storage: Storage, tmp_path: Path) -> None:
    item, old = wanted(1, tmp_path), wanted(99, tmp_path)
    item.target.parent.mkdir()
    part_path(old, '"tag"').write_bytes(b"old")
    (item.target.parent / f".{key_of(old)}.lock").touch()
    mine = item.target.parent / ".notes.part"
    mine.write_text("of the user")
    fetch_all(storage, [item])
    assert files_in(tmp_path) == [".notes.part", "s1_spec.fits"]


# --- what is there already ---------------------------------------------------------------------------------


def test_nothing_that_appeared_meanwhile_is_replaced(storage: Storage, tmp_path: Path) -> None:
    item = wanted(1, tmp_path)
    item.target.parent.mkdir()
    item.target.write_text("of the user")
    with pytest.raises(DownloadError, match="appeared"):
        downloader(storage).fetch(item)
    assert item.target.read_text() == "of the user"


def test_only_what_was_planned_is_replaced(storage: Storage, tmp_path: Path) -> None:
    """Statement: a file that changed since planning stays; the beginning of what is fetched does not."""
    target = tmp_path / "obs" / "s1_spec.fits"
    target.parent.mkdir()
    target.write_text("former")
    status = target.stat()
    item = wanted(1, tmp_path, overwrite=True, known=stamp_of(target))
    time.sleep(0.02)  # the clock of a file system is coarse
    for text in ("of the pipeline", "anothr"):  # whatever its size, and the time it says
        target.write_text(text)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        (outcome,) = fetch_all(storage, [item])
        assert (outcome.state, target.read_text()) == ("local", text)
    assert files_in(tmp_path) == ["s1_spec.fits"]
    item = wanted(1, tmp_path, overwrite=True, known=stamp_of(target))
    assert downloader(storage).fetch(item).state == "downloaded"
    target.write_bytes(content(1)[:1000])
    assert downloader(storage).fetch(wanted(1, tmp_path, overwrite=True)).state == "downloaded"
    assert target.read_bytes() == content(1)


@pytest.mark.parametrize("size", [None, 100, 10 * SIZE])
def test_resuming_does_not_need_the_right_size(storage: Storage, tmp_path: Path, size: int | None) -> None:
    """Statement: what came is gone on with where the catalogue has no size, or one out of date."""
    storage.faults = ["cut200000"] + [Reply(500)] * 20
    item = wanted(1, tmp_path, file_size=size)
    with pytest.raises(DownloadError):
        downloader(storage).fetch(item)
    storage.faults = []
    assert downloader(storage).fetch(item).bytes == SIZE - 200000


def test_files_others_are_at_come_last(tmp_path: Path) -> None:
    """Statement: a file that another process is fetching holds up no other, and is waited for at the end."""
    with stub_server() as stub:
        storage = Storage(stub, size=2000)
        items = [wanted(n, tmp_path, storage) for n in range(20)]
        items[0].target.parent.mkdir()
        guard = lock_for(items[0])
        outcomes: list[Outcome] = []
        with guard:
            service = downloader(storage, workers=2)
            thread = threading.Thread(target=lambda: service.fetch_all(items, outcomes.append))
            thread.start()
            end = time.monotonic() + 10
            while len(outcomes) < 19 and time.monotonic() < end:
                time.sleep(0.01)
            assert {o.wanted.spectrum_id for o in outcomes} == {f"s{n}" for n in range(1, 20)}
            assert thread.is_alive()
        thread.join()
    assert len(outcomes) == 20
    assert all(o.state == "downloaded" for o in outcomes)
    assert files_in(tmp_path) == sorted(i.target.name for i in items)


def test_two_ways_into_one_folder(tmp_path: Path) -> None:
    """Statement: runs that reach the same folder by different paths fetch every file once, and right."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with stub_server() as stub:
        storage = Storage(stub, size=400_000)
        outcomes: list[Outcome] = []
        threads = [
            threading.Thread(
                target=lambda folder=folder: downloader(storage, workers=3).fetch_all(
                    [wanted(n, tmp_path / folder, storage) for n in range(12)], outcomes.append
                )
            )
            for folder in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(stub.asked) == 12
    assert sorted(o.state for o in outcomes) == ["downloaded"] * 12 + ["present"] * 12
    for n in range(12):
        assert (tmp_path / "a" / "obs" / f"s{n}_spec.fits").read_bytes() == content(n, 400_000)
    assert len(files_in(tmp_path / "a")) == 12


def test_a_partial_file_that_was_replaced_is_not_published(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statement: only the bytes that were hashed get the name, also where locks do not work."""
    plain, others = settle, [b"half", None]

    def meddle(part: Path) -> os.stat_result:
        if others:
            other = others.pop(0)
            part.unlink()
            if other is not None:
                part.write_bytes(other)
        return plain(part)

    monkeypatch.setattr(transfer, "settle", meddle)
    item = wanted(1, tmp_path)
    assert downloader(storage).fetch(item).bytes == 3 * SIZE
    assert item.target.read_bytes() == content(1)
    assert files_in(tmp_path) == ["s1_spec.fits"]


def test_what_is_replaced_can_be_kept(storage: Storage, tmp_path: Path) -> None:
    aside = tmp_path / "obs" / "s1_spec.fits.old"
    item = wanted(1, tmp_path, aside=aside, overwrite=True)
    item.target.parent.mkdir()
    item.target.write_text("former")
    downloader(storage).fetch(item)
    assert item.target.read_bytes() == content(1)
    assert aside.read_text() == "former"


def test_a_full_disk(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(stream: Any, block: bytes) -> None:
        stream.write(block[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(transfer, "_write", full)
    with pytest.raises(DownloadError, match="the disk is full"):
        downloader(storage).fetch(wanted(1, tmp_path))
    assert files_in(tmp_path) == []


def test_a_folder_that_cannot_be_made(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "obs").write_text("a file")
    with pytest.raises(DownloadError, match="cannot write"):
        downloader(storage).fetch(wanted(1, tmp_path))


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=80))
def test_entity_tags_survive_in_names(text: str) -> None:
    item = Wanted("s", "o", "p", Path("/x/f"), digest(b"a"))
    assert tag_of(part_path(item, f'"{text}"')) == f'"{text}"'
    assert tag_of(part_path(item, f'W/"{text}"')) is None
    assert tag_of(part_path(item, None)) is None


# --- interrupted -------------------------------------------------------------------------------------------

SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
from pathlib import Path
from campfire.store.file_hashes import stamp_of
from campfire.mirror.transfer import Downloader
from campfire.transport.http import Http
from campfire.mirror.partial import Wanted
url, folder, lines = sys.argv[1], Path(sys.argv[2]), sys.stdin.read().split()
files = [Wanted(f"s{n}", "obs", n, folder / "obs" / f"s{n}_spec.fits", h, int(size))
         for n, h, size in (line.split(",") for line in lines)]
print("ready", flush=True)
class Addresses:
    def __call__(self, observation, fits_path, *, renew=False):
        return f"{url}/{fits_path}"
    def hash_now(self, observation, fits_path):
        return None
service = Downloader(Http(url), Addresses(), workers=2)
service.fetch_all(files, lambda outcome: None)
"""


def _start(storage: Storage, items: list[Wanted]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, storage.stub.url, str(items[0].target.parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n".join(f"{i.fits_path},{i.file_hash},{i.file_size}" for i in items))
    process.stdin.close()
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    return process


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_at_any_moment(tmp_path: Path, seed: int) -> None:
    """Statement: after kill -9 every published file is right, and less than a chunk a worker comes again."""
    rng = random.Random(seed)
    with stub_server() as stub:
        storage = Storage(stub, size=1_000_000)
        items = [wanted(n, tmp_path, storage) for n in range(8)]
        process = _start(storage, items)
        while len(stub.asked) < rng.randint(1, 6) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        published = [i for i in items if i.target.exists()]
        for item in published:
            assert digest(item.target.read_bytes()) == item.file_hash
        here = sum(i.target.stat().st_size for i in published) + sum(
            path.stat().st_size
            for paths in leftovers(tmp_path / "obs").values()
            for path in paths
            if path.suffix == ".part"
        )
        rest = [i for i in items if i not in published]
        outcomes = fetch_all(storage, rest) if rest else []
        assert sum(o.bytes for o in outcomes) <= 8_000_000 - here + 2 * transfer.CHUNK
    assert files_in(tmp_path) == sorted(i.target.name for i in items)


def test_ctrl_c_leaves_no_half_files(tmp_path: Path) -> None:
    with stub_server() as stub:
        storage = Storage(stub)
        items = [wanted(n, tmp_path, storage) for n in range(40)]
        storage.faults = ["stall"] * len(items)  # so that it cannot be done before it is interrupted
        process = _start(storage, items)
        while len(stub.asked) < 5:
            time.sleep(0.002)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        assert time.monotonic() - started < 4
        assert process.returncode not in (0, None)
        for item in items:
            assert not item.target.exists() or digest(item.target.read_bytes()) == item.file_hash
        storage.faults.clear()
        fetch_all(storage, [i for i in items if not i.target.exists()])
    assert files_in(tmp_path) == sorted(i.target.name for i in items)
