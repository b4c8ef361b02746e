"""Credentials on disk: 0600 in 0700, atomic, locked, and each bound to the origin that issued it.

``~/.campfire/credentials`` is a file other programs share: one flat JSON object that names no server. It
counts as the production service's. An account of another origin is written there only while the place is
free, with an ``origin`` key; else to ``credentials.d/``, one file an origin. A file that the official
client wrote is therefore never replaced by another server's account and never gains a key.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from campfire.config import DEFAULT_BASE_URL, credentials_path, origin
from campfire.disk import disk_error, named
from campfire.errors import AuthenticationError
from campfire.publishing import replacing

__all__ = ["CredentialStore", "Credentials"]

REFRESH_MARGIN = timedelta(minutes=5)
_DATABASE_KEYS = ("supabase_token", "supabase_url", "supabase_anon_key")
_FLAT_KEYS = ("type", "access_token", "refresh_token", "expires_at", "user_email", *_DATABASE_KEYS, "api_key")
_LONGEST_TOKEN = 10_000
_LONGEST_LIFE = 10 * 366 * 86400.0  # seconds
_LOGIN = "log in again with `campfire login`"


@dataclass(frozen=True, slots=True)
class Credentials:
    """One account at one origin; the secrets are not in its repr.

    Parameters
    ----------
    type
        ``"oauth"`` (access and refresh token) or ``"api_key"``.
    expires_at
        End of the access token's life, UTC; None where unknown.
    """

    type: Literal["oauth", "api_key"]
    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    user_email: str | None = None
    api_key: str | None = field(default=None, repr=False)

    @property
    def bearer(self) -> str:
        """The token to send."""
        return (self.api_key if self.type == "api_key" else self.access_token) or ""

    def expiring(self, now: datetime | None = None) -> bool:
        """Tell whether fewer than five minutes of the access token's life remain."""
        if self.type != "oauth" or self.expires_at is None:
            return False
        return self.expires_at - (now or datetime.now(UTC)) < REFRESH_MARGIN

    @classmethod
    def from_tokens(cls, payload: dict[str, Any], user_email: str | None = None) -> Credentials:
        """Build from what a token endpoint answered; what is not needed here (database tokens) is dropped.

        Raises
        ------
        AuthenticationError
            If the answer holds no token.
        """
        access, refresh = payload.get("access_token"), payload.get("refresh_token")
        if not (_usable(access) and _usable(refresh)):
            raise AuthenticationError("the service confirmed the login but sent no token", hint=_LOGIN)
        seconds, life = payload.get("expires_in"), 3600.0
        if isinstance(seconds, int | float) and 0 < seconds <= _LONGEST_LIFE:
            life = float(seconds)
        expires = datetime.now(UTC) + timedelta(seconds=life)
        return cls("oauth", access, refresh, expires, user_email)

    @classmethod
    def from_file(cls, data: dict[str, Any], path: Path) -> Credentials:
        """Build from the flat object of a credentials file.

        Raises
        ------
        AuthenticationError
            If it is not one.
        """

        def text(key: str) -> str | None:
            value = data.get(key)
            if value is not None and not isinstance(value, str):
                raise AuthenticationError(f"{key} in {path} is not text", hint=_LOGIN, path=path)
            return value or None

        kind = data.get("type")
        if kind == "api_key" and text("api_key"):
            return cls("api_key", api_key=text("api_key"), user_email=text("user_email"))
        if kind == "oauth" and text("access_token"):
            expires = _parse_time(text("expires_at"))
            return cls("oauth", text("access_token"), text("refresh_token"), expires, text("user_email"))
        raise AuthenticationError(f"{path} holds no usable login", hint=_LOGIN, path=path)

    def to_file(self) -> dict[str, Any]:
        """Return the flat object, all keys of the shared format present."""
        expires = None if self.expires_at is None else self.expires_at.astimezone(UTC).replace(tzinfo=None)
        known = {
            "type": self.type,
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_at": None if expires is None else expires.isoformat() + "Z",
            "user_email": self.user_email,
            "api_key": self.api_key,
        }
        return {key: known.get(key) for key in _FLAT_KEYS}


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # The official client writes an offset and a Z both at times: the Z goes first.
        moment = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)  # unreadable: treated as expired, so it is renewed
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _usable(token: object) -> bool:
    """Tell whether a text can be a token: it goes into a header as it is."""
    plain = isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token
    return plain and 0 < len(str(token)) <= _LONGEST_TOKEN


@contextmanager
def _faults(what: str, path: Path) -> Iterator[None]:
    """Turn faults of the disk into errors that say how to do without it."""
    try:
        yield
    except Timeout:  # an OSError, too
        raise
    except OSError as err:
        told = disk_error(err, what, named(err) or path)
        raise AuthenticationError(
            told.message,
            hint="set CAMPFIRE_API_KEY, or CAMPFIRE_CONFIG_DIR to a folder of your own",
            path=told.path,
        ) from err


class CredentialStore:
    """Reads and writes the credentials files of one folder.

    Parameters
    ----------
    path
        The shared file; :func:`campfire.config.credentials_path` if not given.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or credentials_path()

    def _home(self, where: str) -> Path:
        parts = re.sub(r"[^a-z0-9.-]+", "_", where.lower())
        return self.path.with_name(self.path.name + ".d") / f"{parts}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            if os.name == "posix" and path.stat().st_mode & 0o077:
                path.chmod(0o600)  # somebody copied it about: closed again before it is used
            if path.exists() and not path.is_file():
                raise ValueError("a pipe would be waited for")
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as err:
            raise AuthenticationError(
                f"cannot read the credentials in {path}: {err.strerror}",
                hint=f"make it yours and private: chmod 600 {path}",
                path=path,
            ) from err
        except ValueError:
            data = None  # not chained: the text of the cause may quote a token
        if not isinstance(data, dict):
            raise AuthenticationError(f"the credentials file {path} is damaged", hint=_LOGIN, path=path)
        return data

    def _shared(self) -> tuple[dict[str, Any] | None, str]:
        """The shared file's content, and the origin it belongs to."""
        data = self._read(self.path)
        named = data.get("origin") if data else None
        return data, named if isinstance(named, str) else origin(DEFAULT_BASE_URL)

    def load(self, where: str) -> Credentials | None:
        """Return the account at an origin, or None.

        Raises
        ------
        AuthenticationError
            If a file is damaged or cannot be read.
        """
        data, owner = self._shared()
        path = self.path
        if data is None or owner != where:
            path = self._home(where)
            data = self._read(path)
            if data is not None and data.get("origin") != where:
                data = None
        return None if data is None else Credentials.from_file(data, path)

    def save(self, where: str, credentials: Credentials) -> Path:
        """Write the account at an origin; call it under :meth:`lock`. Returns the file written.

        Raises
        ------
        AuthenticationError
            If it cannot be written.
        """
        with _faults("cannot write the credentials", self.path):
            return self._save(where, credentials)

    def _save(self, where: str, credentials: Credentials) -> Path:
        production = origin(DEFAULT_BASE_URL)
        try:
            data, owner = self._shared()
        except AuthenticationError:
            data, owner = None, production  # a damaged file is replaced by the login that repairs it
        flat = credentials.to_file()
        if data is not None and owner != where:
            if where != production:
                self._write(self._home(where), flat | {"origin": where})
                return self._home(where)
            self._write(self._home(owner), data)  # makes room for the production account
            data = None
        elif self._home(where).exists():
            self._home(where).unlink()
        if data is not None and owner == production:
            # What other tools put there stays theirs; what the service sends now is not added.
            flat |= {key: data.get(key) for key in _DATABASE_KEYS}
        self._write(self.path, flat if where == production else flat | {"origin": where})
        return self.path

    def delete(self, where: str) -> bool:
        """Forget the account at an origin; tells whether there was one.

        Raises
        ------
        AuthenticationError
            If its file cannot be removed.
        """
        try:
            data, owner = self._shared()
        except AuthenticationError:
            data, owner = {}, origin(DEFAULT_BASE_URL)
        path = self.path if data is not None and owner == where else self._home(where)
        with _faults("cannot remove the credentials", path):
            existed = path.exists()
            path.unlink(missing_ok=True)
            return existed

    def origins(self) -> list[str]:
        """Return the origins that have an account here."""
        data, owner = self._shared()
        found = [] if data is None else [owner]
        folder = self.path.with_name(self.path.name + ".d")
        others = [self._read(p) for p in sorted(folder.glob("*.json"))]
        return found + [str(o["origin"]) for o in others if o and "origin" in o]

    def _write(self, path: Path, data: dict[str, Any]) -> None:
        self._folder(path.parent)
        with replacing(path, mode=0o600) as partial:
            partial.write_text(json.dumps(data, indent=2), encoding="utf-8")

    def _folder(self, folder: Path) -> None:
        if folder != self.path.parent:
            self._folder(self.path.parent)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def lock(self, timeout: float = 60.0) -> Iterator[None]:
        """Keep other processes from changing the files meanwhile.

        Raises
        ------
        AuthenticationError
            If another process keeps the lock, or the folder cannot be written.
        """
        try:
            with _faults("cannot write in", self.path.parent):
                self._folder(self.path.parent)
                guard = FileLock(self.path.with_name(self.path.name + ".lock"), timeout=timeout, mode=0o600)
                guard.acquire()
        except Timeout as err:
            raise AuthenticationError(
                f"another process has held the lock on {self.path} for {timeout:.0f} s",
                hint="end it, or set CAMPFIRE_API_KEY for this one",
                path=self.path,
            ) from err
        try:
            yield
        finally:
            guard.release()
