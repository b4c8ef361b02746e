"""Fetching files so that what is published is whole and right, whatever happens on the way."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from campfire.errors import APIError, CampfireError, DownloadError
from campfire.transport.limits import RetryPolicy, retry_after
from campfire.transport.pacing import Pacing, Stopped
from campfire.transport.partial import (
    Wanted,
    hash_file,
    key_of,
    leftovers,
    lock_for,
    part_path,
    publish,
    sweep,
    tag_of,
)

if TYPE_CHECKING:
    import requests

    from campfire.transport.http import Http

__all__ = ["CHUNK", "Downloader", "Outcome"]

CHUNK = 1 << 17
"""Bytes between two writes: at most so much is lost when the process is killed."""
_REFUSED = frozenset({400, 401, 403, 404, 410})
_MOST_RENEWALS = 4
_MOST_WRONG = 6
_SAME_WRONG = 3
_PATIENCE = 30.0  # seconds in which at least _PROGRESS bytes have to come: a trickle is a stall, too
_PROGRESS = 4096  # bytes kept for the next try; with fewer it counts as one more failure in a row
_BELIEVED = 1 << 28  # an announced length up to this many bytes is allowed whatever the catalogue says
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Addresses(Protocol):
    """Gives the signed address of a file; see :class:`campfire.transport.signing.SignedAddresses`."""

    def __call__(self, observation: str, fits_path: str, *, renew: bool = False) -> str: ...

    def hash_now(self, observation: str, fits_path: str) -> str | None:
        """Return the hash that the service has for a file at this moment, or None if it does not say."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: ``bytes`` came over the wire, ``size`` and ``file_hash`` are its own."""

    wanted: Wanted
    state: Literal["downloaded", "failed", "present"]
    bytes: int = 0
    size: int = 0
    file_hash: str = ""
    error: str | None = None


class _Retry(Exception):
    """One try failed, another may not; ``wait``: what the service asked for; ``silent``: nobody answered."""

    def __init__(
        self, why: str, *, wait: float | None = None, crowd: bool = False, silent: bool = False
    ) -> None:
        super().__init__(why)
        self.wait = wait
        self.crowd = crowd
        self.silent = silent


class _Refused(Exception):
    """The address was refused: it may have expired (or, where ``final``, the file is gone)."""

    def __init__(self, why: str, *, final: bool) -> None:
        super().__init__(why)
        self.final = final


class _Wrong(Exception):
    """The bytes are not those of the catalogue but have another hash."""

    def __init__(self, why: str, found: str) -> None:
        super().__init__(why)
        self.found = found


@dataclass(slots=True)
class _Transfer:
    """The state of one file under way."""

    wanted: Wanted
    part: Path | None = None
    transferred: int = 0
    renewals: int = 0
    failures: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Bytes that the next try can go on from."""
        return _size(self.part) if self.part is not None and tag_of(self.part) else 0


class Downloader:
    """Fetches files into place.

    Parameters
    ----------
    http
        Opens addresses, without credentials.
    addresses
        Gives them.
    locks
        Folder of the locks between processes, common to all that fetch into the same places.
    workers
        Files under way at once.
    """

    def __init__(
        self,
        http: Http,
        addresses: Addresses,
        *,
        locks: Path,
        workers: int = 4,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._locks = locks
        self._http = http
        self._addresses = addresses
        self._workers = workers
        self._retry = retry or RetryPolicy(attempts=6, base=0.3)
        self._pacing = Pacing(workers)
        self._folders: dict[Path, dict[str, list[Path]]] = {}
        self._folders_lock = threading.Lock()

    def fetch(self, wanted: Wanted) -> Outcome:
        """Fetch one file.

        Raises
        ------
        DownloadError
            If it cannot be had, or is not what the catalogue says.
        """
        return self._fetch(_Transfer(wanted))

    def _fetch(self, state: _Transfer) -> Outcome:
        wanted = state.wanted
        with _DiskErrors(wanted):
            wanted.target.parent.mkdir(parents=True, exist_ok=True)
            with lock_for(key_of(wanted), self._locks):
                return self._locked(state)

    def _locked(self, state: _Transfer) -> Outcome:
        wanted = state.wanted
        state.part = self._resumable(wanted)
        # Somebody else may have fetched it while the lock was waited for.
        if wanted.file_hash and wanted.target.exists() and hash_file(wanted.target) == wanted.file_hash:
            self._discard(state)
            size = wanted.target.stat().st_size
            return Outcome(wanted, "present", size=size, file_hash=wanted.file_hash)
        if state.part is not None and _size(state.part) >= (wanted.file_size or 0):
            # All of it came, and the process ended before it got its name.
            if hash_file(state.part) == wanted.file_hash:
                size = _size(state.part)
                self._publish(state)
                return Outcome(wanted, "downloaded", 0, size, str(wanted.file_hash))
            self._discard(state)
        while True:
            kept = state.kept
            try:
                with self._pacing:
                    size, digest = self._attempt(state)
            except _Refused as err:
                state.renewals += 1
                if state.renewals > (1 if err.final else _MOST_RENEWALS):
                    raise DownloadError(str(err), hint="the archive may have moved it: run sync") from err
            except _Wrong as err:
                self._discard(state)
                state.wrong.append(err.found)
                if (
                    len(state.wrong) == 1
                    and self._addresses.hash_now(wanted.observation, wanted.fits_path) == err.found
                ):
                    why = f"{wanted.spectrum_id}: the archive has a newer version than the catalogue knows"
                    raise DownloadError(why, hint="run sync, then download again") from err
                # The same bytes again and again are no accident: the archive holds something else.
                if state.wrong.count(err.found) >= _SAME_WRONG or len(state.wrong) >= _MOST_WRONG:
                    raise DownloadError(str(err), hint="if the archive changed, run sync") from err
            except _Retry as err:
                state.failures = 0 if state.kept - kept >= _PROGRESS else state.failures + 1
                pause = self._retry.pause(state.failures, err.wait)
                if pause > self._retry.deadline:
                    self._pacing.close(f"the service asks for patience, {pause:.0f} s of it")
                elif err.crowd:
                    self._pacing.slower(pause)
                if state.failures >= self._retry.attempts or pause > self._retry.deadline:
                    if err.silent:
                        self._pacing.unreachable(str(err))
                    raise DownloadError(str(err), hint="what is here already is kept; try again") from err
                self._pacing.pause(pause)
            else:
                self._publish(state)
                self._pacing.fine()
                return Outcome(wanted, "downloaded", state.transferred, size, digest)

    def _publish(self, state: _Transfer) -> None:
        assert state.part is not None
        _settle(state.part)
        try:
            publish(state.part, state.wanted)
        except DownloadError:
            self._discard(state)  # the place is taken, so no later run has a use for it
            raise

    def _resumable(self, wanted: Wanted) -> Path | None:
        """Return the partial file to go on with, and remove others of the same content."""
        folder = wanted.target.parent
        with self._folders_lock:
            if folder not in self._folders:
                self._folders[folder] = leftovers(folder)
            found = self._folders[folder].pop(key_of(wanted), [])
        parts = sorted(found, key=lambda p: -_size(p))
        usable = [p for p in parts if wanted.file_hash and tag_of(p) and _size(p)]
        for part in parts:
            if part not in usable[:1]:
                part.unlink(missing_ok=True)
        return usable[0] if usable else None

    @staticmethod
    def _discard(state: _Transfer) -> None:
        if state.part is not None:
            state.part.unlink(missing_ok=True)
            state.part = None

    def _attempt(self, state: _Transfer) -> tuple[int, str]:
        """Go on with a file to its end; returns its size and hash."""
        wanted = state.wanted
        try:
            url = self._addresses(wanted.observation, wanted.fits_path, renew=state.renewals > 0)
        except APIError as err:  # tried several times already
            if err.status is None:
                self._pacing.unreachable(err.message)
            raise
        have = _size(state.part) if state.part is not None else 0
        headers = {}
        if state.part is not None and have:
            headers = {"Range": f"bytes={have}-", "If-Range": tag_of(state.part) or ""}
        try:
            with self._http.file(url, headers) as response:
                return self._receive(state, response, have)
        except APIError as err:
            raise _Retry(err.message, silent=True) from err

    def _receive(self, state: _Transfer, response: requests.Response, have: int) -> tuple[int, str]:
        wanted, status = state.wanted, response.status_code
        if status == 206 and have:
            match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
            if not match or int(match[1]) != have:
                self._discard(state)
                raise _Retry("the service sent another range than was asked for")
        elif status == 416 and have:
            self._discard(state)  # nothing beyond what is here, so what is here is not this file
            raise _Retry("the service has no more bytes of the file")
        elif status == 200:
            have = 0
            self._discard(state)
        elif status in _REFUSED:
            why = f"{wanted.spectrum_id}: the file's address answered {status}"
            raise _Refused(why, final=status in (404, 410))
        else:
            asked = retry_after(response.headers.get("Retry-After"))
            crowd = status in (429, 503)
            raise _Retry(
                f"{wanted.spectrum_id}: the file's address answered {status}", wait=asked, crowd=crowd
            )
        if state.part is None:
            state.part = part_path(wanted, response.headers.get("ETag"))
        return self._stream(state, state.part, response, have)

    def _stream(
        self, state: _Transfer, part: Path, response: requests.Response, have: int
    ) -> tuple[int, str]:
        from urllib3.exceptions import HTTPError

        wanted, digest = state.wanted, hashlib.sha256()
        # An answer without end must not fill the disk; a size alone may be out of date, so there is slack.
        most = sys.maxsize if wanted.file_size is None else 2 * wanted.file_size + CHUNK
        most = max(most, min(have + (response.raw.length_remaining or 0), _BELIEVED))
        since, before = time.monotonic(), have
        with part.open("r+b" if have else "wb", buffering=0) as stream:
            if have:
                while block := stream.read(CHUNK):
                    digest.update(block)
            try:
                # Not iter_content: it drops what came of a block before the connection broke.
                # And read1 returns what is there: nothing is lost in a buffer, and a trickle is seen.
                while block := response.raw.read1(CHUNK, decode_content=False):
                    digest.update(block)
                    _write(stream, block)
                    have += len(block)
                    state.transferred += len(block)
                    self._pacing.check()
                    if have > most:
                        break
                    if have - before >= _PROGRESS:
                        since, before = time.monotonic(), have
                    elif time.monotonic() - since > _PATIENCE:
                        raise _Retry(f"{wanted.spectrum_id}: hardly anything comes")
            except (HTTPError, TimeoutError, ConnectionError):
                raise _Retry(f"{wanted.spectrum_id}: the connection was lost") from None
            found = "sha256:" + digest.hexdigest()
            # The hash decides; the size, where there is no hash, or where the answer does not say its end.
            framed = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
            short = found != wanted.file_hash and have < (wanted.file_size or 0)
            if not (framed or wanted.file_hash or wanted.file_size):
                raise _Retry(f"{wanted.spectrum_id}: nothing says where the file ends")
            if short and not (framed and wanted.file_hash):
                raise _Retry(f"{wanted.spectrum_id}: {have} of {wanted.file_size} bytes came")
            if wanted.file_hash not in (None, found) or (not wanted.file_hash and have > most):
                raise _Wrong(f"{wanted.spectrum_id}: what came is not the file of the catalogue", found)
        return have, found

    def fetch_all(self, files: Sequence[Wanted], done: Callable[[Outcome], Any]) -> None:
        """Fetch many files; ``done`` is called in this thread for each, in the order they finish.

        A file that fails does not stop the others. On Ctrl-C the workers stop at once, and what came so
        far stays for the next run.
        """
        folders: dict[Path, set[str]] = {}
        for wanted in files:
            folders.setdefault(wanted.target.parent, set()).add(key_of(wanted))
        for folder, keys in folders.items():
            sweep(folder, self._locks, keep=keys)
        waiting: queue.SimpleQueue[Wanted] = queue.SimpleQueue()
        results: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        for wanted in files:
            waiting.put(wanted)

        def work() -> None:
            with suppress(queue.Empty):
                while True:
                    state = _Transfer(waiting.get_nowait())
                    try:
                        results.put(self._fetch(state))
                    except CampfireError as err:
                        results.put(Outcome(state.wanted, "failed", state.transferred, error=str(err)))
                    except Exception as err:
                        if isinstance(err, Stopped):
                            return
                        results.put(err)

        # Daemons: a read that hangs must not keep the interpreter from ending after Ctrl-C.
        count = min(self._workers, len(files))
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        try:
            for thread in threads:
                thread.start()
            for _ in files:
                result = results.get()
                if isinstance(result, BaseException):
                    raise result
                done(result)
        finally:
            self._pacing.stop()
            end = time.monotonic() + 2.0
            for thread in threads:
                thread.join(timeout=max(0.0, end - time.monotonic()))
        for folder in folders:
            _sync_folder(folder)


class _DiskErrors:
    """Turn what the operating system says into a :class:`DownloadError` that names the file."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if not isinstance(err, OSError):
            return
        target = self._wanted.target
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            for path in leftovers(target.parent).get(key_of(self._wanted), []):
                path.unlink(missing_ok=True)  # a full disk needs every byte back
            raise DownloadError(
                f"no space left for {target}", hint="free some, or set data_dir to another disk", path=target
            ) from err
        raise DownloadError(
            f"cannot write {target}: {err.strerror or err}", hint="may you write there?", path=target
        ) from err


def _write(stream: io.FileIO, block: bytes) -> None:
    """Write all of a block: an unbuffered file may take less at once, as on a disk about to be full."""
    rest = memoryview(block)
    while rest:
        rest = rest[stream.write(rest) :]


def _settle(path: Path) -> None:
    """Wait until a file is on the disk: a power cut must not leave a name without its content."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut; some systems have no such call."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
