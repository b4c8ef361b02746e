"""Fetching files so that what is published is whole and right, whatever happens on the way."""

from __future__ import annotations

import hashlib
import io
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from filelock import Timeout

from campfire.errors import APIError, CampfireError, DownloadError
from campfire.mirror.pacing import Pacing, Stopped
from campfire.mirror.partial import (
    DiskErrors,
    Taken,
    Wanted,
    key_of,
    leftovers,
    lock_for,
    part_path,
    publish,
    remove_locks,
    size_of,
    sweep,
    tag_of,
)
from campfire.publishing import settle, sync_folder
from campfire.store.file_state import hash_file
from campfire.transport.rate_limit import RetryPolicy, retry_after
from campfire.transport.response_limits import Allowance

if TYPE_CHECKING:
    import requests

    from campfire.transport.http import Http

__all__ = ["CHUNK", "Downloader", "Outcome"]

CHUNK = 1 << 17
"""Bytes between two writes: at most so much is lost when the process is killed."""
State = Literal["downloaded", "failed", "present", "local"]
_REFUSED = frozenset({400, 401, 403, 404, 410})
_MOST_RENEWALS = 4
_MOST_WRONG = 6
_SAME_WRONG = 3
_PATIENCE = 30.0  # seconds in which at least _PROGRESS bytes have to come: a trickle is a stall, too
_PROGRESS = 4096  # bytes kept for the next try; with fewer it counts as one more failure in a row
_BELIEVED = 1 << 28  # an announced length up to this many bytes is allowed whatever the catalogue says
_BESIDE = 1 << 16  # bytes that may come beside those of a piece
_POLL = 0.1  # seconds between two looks at a lock that somebody else holds
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Addresses(Protocol):
    """Gives the signed address of a file; see :class:`campfire.mirror.signed_urls.SignedAddresses`."""

    def __call__(self, observation: str, fits_path: str, *, renew: bool = False) -> str: ...

    def hash_now(self, observation: str, fits_path: str) -> str | None:
        """Return the hash that the service has for a file at this moment, or None if it does not say."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: ``bytes`` came over the wire, ``size`` and ``file_hash`` are its own.

    ``local``: somebody else's file is at its place, and stays.
    """

    wanted: Wanted
    state: State
    bytes: int = 0
    size: int = 0
    file_hash: str = ""
    error: str | None = None


class _Retry(Exception):
    """One try failed, another may not; ``wait``: what the service asked for."""

    def __init__(self, why: str, *, wait: float | None = None, crowd: bool = False) -> None:
        super().__init__(why)
        self.wait = wait
        self.crowd = crowd


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
    identity: tuple[int, int] = (0, 0)
    transferred: int = 0
    renewals: int = 0
    failures: int = 0
    best: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Bytes that the next try can go on from."""
        return size_of(self.part) if self.part is not None and tag_of(self.part) else 0


class Downloader:
    """Fetches files into place.

    Parameters
    ----------
    http
        Opens addresses, without credentials.
    addresses
        Gives them.
    workers
        Files under way at once.
    """

    def __init__(
        self, http: Http, addresses: Addresses, *, workers: int = 4, retry: RetryPolicy | None = None
    ) -> None:
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
        try:
            outcome = self._fetch(_Transfer(wanted), wait=True)
        finally:
            remove_locks(wanted.target.parent, {key_of(wanted)})
        assert outcome is not None
        return outcome

    def _fetch(self, state: _Transfer, *, wait: bool) -> Outcome | None:
        """Fetch one file; None where somebody else is at it and is not to be waited for."""
        with DiskErrors(state.wanted):
            state.wanted.target.parent.mkdir(parents=True, exist_ok=True)
            guard = lock_for(state.wanted)
            while True:
                try:
                    with guard.acquire(timeout=0):
                        return self._locked(state)
                except Timeout:
                    if not wait:
                        return None
                self._pacing.pause(_POLL)

    def _locked(self, state: _Transfer) -> Outcome:
        wanted = state.wanted
        state.part = self._resumable(wanted)
        # Somebody else may have fetched it while the lock was waited for.
        # A pipe in its place is not opened: that would wait for ever.
        if wanted.file_hash and wanted.target.is_file() and hash_file(wanted.target) == wanted.file_hash:
            self._discard(state)
            size = wanted.target.stat().st_size
            return Outcome(wanted, "present", size=size, file_hash=wanted.file_hash)
        # All of it may have come, and the process ended before it got its name. Where it is not, that says
        # nothing against what is here: sizes of the catalogue may be out of date.
        whole = state.part is not None and size_of(state.part) >= (wanted.file_size or 0)
        if state.part is not None and whole and hash_file(state.part) == wanted.file_hash:
            status = state.part.stat()
            state.identity = (status.st_dev, status.st_ino)
            self._publish(state, status.st_size)
            return Outcome(wanted, "downloaded", 0, status.st_size, str(wanted.file_hash))
        state.best = state.kept
        while True:
            try:
                with self._pacing:
                    size, digest = self._attempt(state)
                    self._publish(state, size)
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
                # More than ever before: an answer that starts again and again must not look like progress.
                state.failures = 0 if state.kept - state.best >= _PROGRESS else state.failures + 1
                state.best = max(state.best, state.kept)
                pause = self._retry.pause(state.failures, err.wait)
                if pause > self._retry.deadline:
                    self._pacing.close(f"the service asks for patience, {pause:.0f} s of it")
                elif err.crowd:
                    self._pacing.slower(pause)
                if state.failures >= self._retry.attempts or pause > self._retry.deadline:
                    self._pacing.given_up(str(err))
                    raise DownloadError(str(err), hint="what is here already is kept; try again") from err
                self._pacing.pause(pause)
            else:
                self._pacing.fine()
                return Outcome(wanted, "downloaded", state.transferred, size, digest)

    def _publish(self, state: _Transfer, size: int) -> None:
        """Give what came its name, if it is what was written here: locks do not work everywhere."""
        assert state.part is not None
        try:
            status = settle(state.part)
        except FileNotFoundError:
            raise _Retry("the partial file was removed by somebody else") from None
        if (status.st_dev, status.st_ino) != state.identity or status.st_size != size:
            state.part = None
            raise _Retry("the partial file was replaced by somebody else")
        try:
            publish(state.part, state.wanted)
        except Taken:
            self._discard(state)  # the place is taken, so no later run has a use for it
            raise

    def _resumable(self, wanted: Wanted) -> Path | None:
        """Return the partial file to go on with, and remove others of the same content."""
        folder = wanted.target.parent
        with self._folders_lock:
            if folder not in self._folders:
                self._folders[folder] = leftovers(folder)
            found = self._folders[folder].pop(key_of(wanted), [])
        parts = sorted((p for p in found if p.suffix == ".part"), key=lambda p: -size_of(p))
        usable = [p for p in parts if wanted.file_hash and tag_of(p) and size_of(p)]
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
            if err.status == 429:  # with more patience asked for than there is
                self._pacing.close(err.message)
            elif err.status is None or err.status >= 500:
                self._pacing.given_up(err.message)
            raise
        have, tag = state.kept, tag_of(state.part) if state.part is not None else None
        headers = {"Range": f"bytes={have}-", "If-Range": tag} if have and tag else {}
        try:
            with self._http.file(url, headers) as response:
                return self._receive(state, response, have)
        except APIError as err:
            raise _Retry(err.message) from err

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
        most = _BELIEVED if wanted.file_size is None else 2 * wanted.file_size + CHUNK
        most = max(most, min(have + (response.raw.length_remaining or 0), _BELIEVED))
        since, before = time.monotonic(), have
        if not have:
            part.unlink(missing_ok=True)  # never written over: somebody else's bytes may be coming in
        with part.open("r+b" if have else "xb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            state.identity = (status.st_dev, status.st_ino)
            if have:
                while block := stream.read(CHUNK):
                    digest.update(block)
            try:
                # Not iter_content: it drops what came of a block before the connection broke.
                # And read1 returns what is there: nothing is lost in a buffer, and a trickle is seen.
                while block := _next(response):
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
            except (HTTPError, TimeoutError, ConnectionError, ValueError):  # ValueError: a piece of -5 bytes
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
            sweep(folder, keep=keys)
        waiting: queue.SimpleQueue[Wanted] = queue.SimpleQueue()
        busy: queue.SimpleQueue[Wanted] = queue.SimpleQueue()  # somebody else is at these
        results: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        for wanted in files:
            waiting.put(wanted)

        def work(source: queue.SimpleQueue[Wanted], *, wait: bool) -> None:
            with suppress(queue.Empty):
                while True:
                    state = _Transfer(source.get_nowait())
                    try:
                        outcome = self._fetch(state, wait=wait)
                        if outcome is None:
                            busy.put(state.wanted)
                        else:
                            results.put(outcome)
                    except Taken as err:
                        # A link that leads nowhere, or a folder, is nobody's spectrum.
                        theirs = state.wanted.target.is_file()
                        became: State = "local" if theirs else "failed"
                        results.put(Outcome(state.wanted, became, state.transferred, error=str(err)))
                    except CampfireError as err:
                        results.put(Outcome(state.wanted, "failed", state.transferred, error=str(err)))

        def run() -> None:
            try:
                work(waiting, wait=False)
                work(busy, wait=True)
            except Stopped:
                return
            except Exception as err:
                results.put(err)

        # Daemons: a read that hangs must not keep the interpreter from ending after Ctrl-C.
        count = min(self._workers, len(files))
        threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
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
            for folder, keys in folders.items():
                remove_locks(folder, keys)
        made = {place for folder in folders for place in (folder, *folder.parents[:2])}
        for folder in sorted(made):  # also where the folders themselves may be new
            sync_folder(folder)


def _next(response: requests.Response) -> bytes:
    """Return what is there of a file; lengths of pieces and trailers could go on for ever beside it."""
    with Allowance(_PATIENCE, CHUNK + _BESIDE).spent():
        return response.raw.read1(CHUNK, decode_content=False)


def _write(stream: io.FileIO, block: bytes) -> None:
    """Write all of a block: an unbuffered file may take less at once, as on a disk about to be full."""
    rest = memoryview(block)
    while rest:
        rest = rest[stream.write(rest) :]
