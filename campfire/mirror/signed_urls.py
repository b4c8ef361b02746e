"""Signed file addresses: many at once from a manifest, single ones one by one, renewed when they expire."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from campfire.errors import APIError, CampfireError, NotFoundError

if TYPE_CHECKING:
    from campfire.transport.api import API

__all__ = ["SignedAddresses"]

_MANIFEST_FROM = 4
"""Files of one observation from which on its manifest is cheaper than asking for each."""


class SignedAddresses:
    """Gives the signed address of a file; asked from many threads, each manifest is fetched once.

    Parameters
    ----------
    api
        The service.
    wanted
        ``(observation, fits_path)`` of the files that are going to be asked for.
    """

    def __init__(self, api: API, wanted: Iterable[tuple[str, str]] = ()) -> None:
        self._api = api
        self._plan = Counter(observation for observation, _ in wanted)
        self._known: dict[str, str] = {}
        self._hashes: dict[str, str] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._fetched: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, observation: str, fits_path: str, *, renew: bool = False) -> str:
        """Return an address; ``renew`` says that the one given before was refused.

        Raises
        ------
        NotFoundError
            If the service does not know the file.
        """
        if renew:
            with self._lock:
                self._known.pop(fits_path, None)
        elif self._plan[observation] >= _MANIFEST_FROM:
            self._load(observation)
        with self._lock:
            url = self._known.get(fits_path)
        return url or self._api.file_url(fits_path)

    def hash_now(self, observation: str, fits_path: str) -> str | None:
        """Return the hash that the manifest has for a file, or None if there is none to be had."""
        try:
            self._load(observation)
        except CampfireError:
            return None
        with self._lock:
            return self._hashes.get(fits_path)

    def _load(self, observation: str) -> None:
        with self._lock:
            lock = self._locks.setdefault(observation, threading.Lock())
        with lock:
            if observation in self._fetched:
                return
            try:
                entries = self._api.manifest(observation)["spectra"]
            except (NotFoundError, APIError) as err:
                if err.status in (None, 429):
                    raise
                entries = []  # each file is asked for by itself, and says what is wrong
            with self._lock:
                self._fetched.add(observation)
                for entry in entries:
                    path, url = entry.get("fits_path"), entry.get("download_url")
                    if isinstance(path, str) and isinstance(url, str) and not url.startswith("#"):
                        self._known[path] = url
                    if isinstance(path, str) and isinstance(entry.get("file_hash"), str):
                        self._hashes[path] = entry["file_hash"]
