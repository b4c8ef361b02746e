"""Sign-in from a device without a browser (RFC 8628): codes, polling, approval."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from campfire.archive.server.accounts import Accounts, TokenPair
from campfire.archive.server.signing import digest, new_token
from campfire.errors import CampfireError
from campfire.typing import Row

__all__ = ["DeviceCode", "Devices", "PollError", "UserCodeError", "normalise_code"]

LIFETIME = 900
INTERVAL = 5
MAX_INTERVAL = 30
ALPHABET = "BCDFGHJKMNPQRSTVWXYZ"


class PollError(CampfireError):
    """A poll that gives no token; ``code`` is the OAuth error, ``interval`` comes with ``slow_down``."""

    def __init__(self, code: str, message: str, *, interval: int | None = None, status: int = 400) -> None:
        super().__init__(message, status=status)
        self.code = code
        self.interval = interval


class UserCodeError(CampfireError):
    """A user code that cannot be decided on; ``code`` is ``not_found``, ``expired`` or ``already_used``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a device is given when it asks: the secret it polls with, and the code a person types."""

    device_code: str
    user_code: str
    expires_in: int = LIFETIME
    interval: int = INTERVAL


def normalise_code(text: str) -> str:
    """Return a user code as it is stored: its letters, uppercase.

    Examples
    --------
    >>> normalise_code("bcdf-ghjk")
    'BCDFGHJK'
    """
    return "".join(letter for letter in text.upper() if letter in ALPHABET)


class Devices:
    """Device codes of one served archive."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._store = accounts.store

    def start(self) -> DeviceCode:
        """Make a pair of codes."""
        now = self._accounts.clock()
        self._store.forget_expired(now)
        device_code = new_token()
        while True:
            letters = "".join(secrets.choice(ALPHABET) for _ in range(8))
            row: Row = {
                "code_hash": digest(device_code),
                "user_code": letters,
                "created_at": now,
                "expires_at": now + LIFETIME,
                "interval": INTERVAL,
            }
            try:
                self._store.insert("device_codes", row)
            except KeyError:
                continue  # 1 in 25 000 million: somebody is using these letters now
            return DeviceCode(device_code, f"{letters[:4]}-{letters[4:]}")

    def poll(self, device_code: str, device_name: str | None = None) -> TokenPair:
        """Return the tokens once a person approved; a code gives them once.

        Raises
        ------
        PollError
            Before that, and when it cannot be any more.
        """
        now = self._accounts.clock()
        with self._store.transaction():
            row = self._store.find("device_codes", code_hash=digest(device_code))
            if row is None:
                raise PollError("invalid_grant", "unknown device code")
            if row["state"] == "consumed":
                raise PollError("server_error", "the device code was used already", status=500)
            slow = self._throttle(row, now)
            if not slow and row["state"] == "approved" and now < row["expires_at"]:
                self._store.update("device_codes", {"state": "consumed"}, code_hash=row["code_hash"])
                return self._accounts.sign_in(row["user_id"], device_name)
        # Raised outside: a rolled-back transaction would forget that there was a poll.
        if now >= row["expires_at"]:
            raise PollError("expired_token", "the device code has expired: start again")
        if row["state"] == "denied":
            raise PollError("access_denied", "the sign-in was denied")
        if slow:
            raise PollError("slow_down", "polled too fast", interval=slow)
        raise PollError("authorization_pending", "nobody has approved the code yet")

    def _throttle(self, row: Row, now: float) -> int | None:
        """Note the poll; return the longer interval when it came less than 5 s after the one before."""
        polled, changes = row["polled_at"], {"polled_at": now}
        slow: int | None = None
        if polled is not None and now - polled < INTERVAL:
            slow = min(row["interval"] + 5, MAX_INTERVAL)
            changes["interval"] = slow
        self._store.update("device_codes", changes, code_hash=row["code_hash"])
        return slow

    def check(self, user_code: str) -> str:
        """Return the user code in its printed form if a person can decide on it.

        Raises
        ------
        UserCodeError
            If it is unknown, has expired, or was decided on.
        """
        code = normalise_code(user_code)
        row = self._store.find("device_codes", user_code=code)
        if row is None:
            raise UserCodeError("not_found", "no device waits with this code")
        if row["expires_at"] <= self._accounts.clock():
            raise UserCodeError("expired", "this code has expired: start again on the device")
        if row["state"] != "pending":
            raise UserCodeError("already_used", "this code was used already")
        return f"{code[:4]}-{code[4:]}"

    def decide(self, user_code: str, user_id: str, *, approve: bool) -> None:
        """Approve or deny the device that waits with ``user_code``, in the name of an account.

        Raises
        ------
        UserCodeError
            As :meth:`check`.
        """
        with self._store.transaction():
            code = normalise_code(self.check(user_code))
            changes = {"state": "approved" if approve else "denied", "user_id": user_id}
            self._store.update("device_codes", changes, user_code=code)
