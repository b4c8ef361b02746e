"""People who may read a served archive: passwords, API keys, programs granted, tokens."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from campfire.archive.catalogue.account_store import AccountStore
from campfire.archive.server.signing import Signer, digest, load_secret, new_token
from campfire.config import DataPaths
from campfire.errors import AuthenticationError, NotFoundError, ValidationError
from campfire.installation import missing_extra
from campfire.typing import Row

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["ACCESS_SECONDS", "Accounts", "TokenPair", "User", "server_folder"]

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 90 * 86400
SESSION_SECONDS = 900
MIN_PASSWORD = 8
GUEST = "00000000-0000-4000-8000-000000000000"
_GUEST_ROW: Row = {"id": GUEST, "email": None, "full_name": "Guest", "is_admin": 0, "password_hash": None}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class User:
    """One account."""

    id: str
    email: str | None
    full_name: str | None
    is_admin: bool
    created_at: float

    def as_row(self) -> Row:
        """Return the account as ``/auth/whoami`` tells it."""
        created = datetime.fromtimestamp(self.created_at, UTC).isoformat(timespec="microseconds")
        return {
            "user_id": self.id,
            "email": self.email,
            "full_name": self.full_name,
            "is_admin": self.is_admin,
            "created_at": created,
        }


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a sign-in or a refresh gives."""

    access_token: str
    refresh_token: str


def server_folder(root: Path) -> Path:
    """Return the folder of a served archive that only its server reads."""
    return DataPaths(root).meta / "server"


class Accounts:
    """The accounts of one served archive, kept in ``<root>/meta/server/accounts.db``.

    Parameters
    ----------
    root
        The data root that is served.
    guests
        Whoever signs in nameless where access is open is one guest. It stays in the file for the servers that
        let guests in; for everyone else it is no account, and what it signed in with is worth nothing.
    clock
        Seconds since 1970; tests pass their own.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    ValidationError
        If it cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root, Accounts(Path(root)) as accounts:
    ...     user = accounts.add_user("ada@example.org", "correct horse")
    ...     key = accounts.add_key("ada@example.org")
    ...     accounts.user_of(key) == user
    True
    """

    def __init__(self, root: Path, *, guests: bool = False, clock: Callable[[], float] = time.time) -> None:
        folder = server_folder(root)
        if not Path(root).is_dir():
            raise NotFoundError(f"no folder {root}", hint="name the data root that is served", path=root)
        self.clock = clock
        self._guests = guests
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.signer = Signer(load_secret(folder / "secret"))
            self.store = AccountStore(folder / "accounts.db")
        except OSError as err:
            raise ValidationError(
                f"accounts cannot be kept in {folder}: {err}", hint="serving needs a folder it can write to"
            ) from err
        if guests:
            with self.store.transaction():
                if self.store.find("users", id=GUEST) is None:
                    self.store.insert("users", {**_GUEST_ROW, "created_at": clock()})

    def __enter__(self) -> Accounts:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the accounts file."""
        self.store.close()

    # --- people -----------------------------------------------------------------------------------------

    def add_user(
        self, email: str, password: str | None = None, *, full_name: str | None = None, is_admin: bool = False
    ) -> User:
        """Add an account; without a password it can only use API keys.

        Raises
        ------
        ValidationError
            If the address is none or is taken, or the password is too short.
        """
        if not _EMAIL.fullmatch(email):
            raise ValidationError(f"{email!r} is not an e-mail address", hint="write name@example.org")
        row: Row = {
            "id": str(uuid.uuid4()),
            "email": email,
            "full_name": full_name,
            "is_admin": int(is_admin),
            "password_hash": None if password is None else self._hash(password),
            "created_at": self.clock(),
        }
        try:
            self.store.insert("users", row)
        except KeyError as err:
            raise ValidationError(
                f"there is an account {email!r} already", hint="`campfire user key` makes another key for it"
            ) from err
        return _user(row)

    def users(self) -> list[User]:
        """Return every account, oldest first; the guest is none."""
        return [_user(row) for row in self.store.select("users") if row["id"] != GUEST]

    def guest(self) -> User | None:
        """Return the guest, where there is one."""
        return self.user_by_id(GUEST)

    def user(self, email: str) -> User:
        """Return the account of an address.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        row = self.store.find("users", email=email)
        if row is None:
            raise NotFoundError(f"no account {email!r} here", hint=f"`campfire user add {email}` makes one")
        return _user(row)

    def remove_user(self, email: str) -> None:
        """Delete an account with its keys, grants and sign-ins."""
        self.store.delete("users", id=self.user(email).id)

    def set_password(self, email: str, password: str) -> None:
        """Give an account a new password; its present sign-ins end with their access tokens."""
        user, hashed = self.user(email), self._hash(password)
        with self.store.transaction():
            self.store.update("users", {"password_hash": hashed}, id=user.id)
            self.store.delete("refresh_tokens", user_id=user.id)

    def check_password(self, email: str, password: str) -> User | None:
        """Return the account if the password is its own, else None; as slowly for an unknown address."""
        from argon2.exceptions import Argon2Error, InvalidHashError

        row = self.store.find("users", email=email)
        stored = (row or {}).get("password_hash") or _nobodys_hash()
        try:
            _hasher().verify(stored, password.encode("utf-8", "surrogatepass"))
        except (Argon2Error, InvalidHashError):
            return None
        return _user(row) if row is not None and row["password_hash"] else None

    @staticmethod
    def _hash(password: str) -> str:
        if len(password) < MIN_PASSWORD:
            raise ValidationError(
                f"the password has {len(password)} characters", hint=f"take at least {MIN_PASSWORD}"
            )
        return _hasher().hash(password.encode("utf-8", "surrogatepass"))

    # --- programs ---------------------------------------------------------------------------------------

    def grant(self, email: str, program: str) -> None:
        """Let an account read a program (slug) that is not public; again does nothing."""
        user = self.user(email)
        with self.store.transaction():
            if self.store.find("grants", user_id=user.id, program=program) is None:
                self.store.insert("grants", {"user_id": user.id, "program": program})

    def withdraw(self, email: str, program: str) -> None:
        """Take a grant back.

        Raises
        ------
        NotFoundError
            If there was none.
        """
        if not self.store.delete("grants", user_id=self.user(email).id, program=program):
            raise NotFoundError(f"{email!r} has no grant for {program!r}", hint="slugs are lowercase")

    def grants_of(self, user_id: str) -> frozenset[str]:
        """Return the slugs granted to an account."""
        return frozenset(row["program"] for row in self.store.select("grants", user_id=user_id))

    # --- keys and tokens --------------------------------------------------------------------------------

    def add_key(self, email: str, *, name: str = "", days: float | None = None) -> str:
        """Make an API key and return it; only its hash is kept, so it is shown once.

        Parameters
        ----------
        email
            Whose key.
        name
            What it is for.
        days
            How long it lives; for ever by default.
        """
        user, key, now = self.user(email), new_token("sk_live_"), self.clock()
        self.store.insert(
            "api_keys",
            {
                "key_hash": digest(key),
                "user_id": user.id,
                "prefix": key[:12],
                "name": name,
                "created_at": now,
                "expires_at": None if days is None else now + days * 86400,
            },
        )
        return key

    def keys_of(self, email: str) -> list[Row]:
        """Return prefix, name and times of an account's keys."""
        hidden = {"key_hash", "user_id"}
        rows = self.store.select("api_keys", user_id=self.user(email).id)
        return [{name: value for name, value in row.items() if name not in hidden} for row in rows]

    def remove_key(self, email: str, prefix: str) -> None:
        """Delete the keys of an account that have a prefix, as :meth:`keys_of` shows it.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        if not self.store.delete("api_keys", user_id=self.user(email).id, prefix=prefix):
            raise NotFoundError(f"{email!r} has no key {prefix}...")

    def user_of(self, token: str) -> User | None:
        """Return the account an API key or access token stands for; None if it is wrong or has ended."""
        if token.startswith("sk_"):
            key = self.store.find("api_keys", key_hash=digest(token))
            if key is None or (key["expires_at"] is not None and key["expires_at"] <= self.clock()):
                return None
            return self.user_by_id(key["user_id"])
        return self._user_of_claims(token, "access")

    def _user_of_claims(self, token: str, kind: str) -> User | None:
        claims = self.signer.claims(token)
        if claims is None or claims.get("type") != kind or claims.get("exp", 0) <= self.clock():
            return None
        return self.user_by_id(claims["sub"])

    def user_by_id(self, user_id: str) -> User | None:
        """Return an account by its id; the guest only where there are guests."""
        if user_id == GUEST and not self._guests:
            return None
        row = self.store.find("users", id=user_id)
        return None if row is None else _user(row)

    def _claims(self, user: User, kind: str, seconds: int) -> Row:
        now = int(self.clock())
        claims: Row = {
            "sub": user.id,
            "type": kind,
            "iss": "campfire",
            "aud": "campfire-api",
            "iat": now,
            "exp": now + seconds,
        }
        return claims | ({"email": user.email} if user.email else {})

    def session(self, user: User) -> str:
        """Return the value of a browser's session cookie."""
        return self.signer.token(self._claims(user, "session", SESSION_SECONDS))

    def user_of_session(self, cookie: str) -> User | None:
        """Return whose session cookie it is; None if it is wrong or has ended."""
        return self._user_of_claims(cookie, "session")

    def sign_in(self, user_id: str, device_name: str | None = None) -> TokenPair:
        """Start a sign-in: an access token, and a refresh token of which only the hash is kept.

        Raises
        ------
        AuthenticationError
            If the account is gone.
        """
        user = self.user_by_id(user_id)
        if user is None:
            raise AuthenticationError("the account is gone")
        refresh, now = new_token("rt_"), self.clock()
        row = {
            "token_hash": digest(refresh),
            "user_id": user.id,
            "device_name": device_name,
            "created_at": now,
            "expires_at": now + REFRESH_SECONDS,
        }
        self.store.insert("refresh_tokens", row)
        return TokenPair(self.signer.token(self._claims(user, "access", ACCESS_SECONDS)), refresh)

    def refresh(self, refresh_token: str) -> TokenPair:
        """Exchange a refresh token for a new pair; it is dead from then on.

        Raises
        ------
        AuthenticationError
            If it is unknown, used, revoked or has ended.
        """
        with self.store.transaction():
            row = self.store.find("refresh_tokens", token_hash=digest(refresh_token))
            if row is None or row["expires_at"] <= self.clock():
                raise AuthenticationError("the refresh token is not valid any more", hint="sign in again")
            self.store.delete("refresh_tokens", token_hash=row["token_hash"])
            return self.sign_in(row["user_id"], row["device_name"])

    def revoke(self, refresh_token: str) -> None:
        """End a sign-in; an unknown token is no error."""
        self.store.delete("refresh_tokens", token_hash=digest(refresh_token))


def _user(row: Row) -> User:
    return User(row["id"], row["email"], row["full_name"], bool(row["is_admin"]), row["created_at"])


def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ImportError as err:
        raise missing_extra("accounts need argon2", "server") from err
    return PasswordHasher()


_nobody: list[str] = []


def _nobodys_hash() -> str:
    """Return a hash no password is known for, made once: checking it costs what a real one does."""
    if not _nobody:
        _nobody.append(_hasher().hash(new_token()))
    return _nobody[0]
