"""Which token to send: found lazily, renewed under a lock, never shown."""

from __future__ import annotations

import os
import threading
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from campfire.config import origin
from campfire.errors import AuthenticationError, CampfireError, CampfireWarning
from campfire.transport import routes
from campfire.transport.credentials import Credentials, CredentialStore
from campfire.transport.problems import OAuthError, json_object, oauth_code
from campfire.transport.response_schema import require

if TYPE_CHECKING:
    from campfire.transport.http import Http

__all__ = ["Authenticator", "check_key", "login_with_key", "logout", "post_oauth", "save_login"]

REFRESH_GRANT = "refresh_token"


def post_oauth(http: Http, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a body to an authentication endpoint and return what it answers.

    Raises
    ------
    OAuthError
        If it answers with an error word.
    APIError
        If it answers with something else, or not at all.
    """
    response = http.send("POST", path, json=body)
    if response.status_code == 200:
        return json_object(response, "POST", path)
    error = oauth_code(response, path, http.base_url + path)
    raise error or http.fail(response, "POST", path)


class Authenticator:
    """Knows the token of one service; asks for it at the first use.

    First found wins: ``token``, ``CAMPFIRE_API_KEY``, the credentials file for that service's origin.

    Parameters
    ----------
    http
        Used to renew a token.
    token
        API key or access token given by the user.
    auto_refresh
        Whether an expiring login is renewed.
    store
        Where logins are kept.
    """

    def __init__(
        self,
        http: Http,
        *,
        token: str | None = None,
        auto_refresh: bool = True,
        store: CredentialStore | None = None,
    ) -> None:
        self._http = http
        self._origin = origin(http.base_url)
        self._token = token.strip() if token else None
        self._auto_refresh = auto_refresh
        self._store = store
        self._login: Credentials | None = None
        self._lock = threading.RLock()

    @property
    def source(self) -> str:
        """Where the token comes from, in words."""
        if self._token:
            return "token="
        return "CAMPFIRE_API_KEY" if os.environ.get("CAMPFIRE_API_KEY") else str(self.store.path)

    @property
    def store(self) -> CredentialStore:
        """The files logins are kept in."""
        with self._lock:
            if self._store is None:
                self._store = CredentialStore()
            return self._store

    def bearer(self) -> str:
        """Return the token to send now, renewed if it is about to expire.

        Raises
        ------
        AuthenticationError
            If there is none, or it cannot be renewed.
        """
        fixed = self._token or os.environ.get("CAMPFIRE_API_KEY", "").strip()
        if fixed:
            return _clean(fixed)
        with self._lock:
            if self._login is None:
                self._login = self._stored()
            if self._auto_refresh and self._login.expiring() and self._login.refresh_token:
                self._login = self._renewed(self._login)
            return _clean(self._login.bearer)

    def renew(self, rejected: str) -> str | None:
        """Return another token after the service refused one with 401, or None where there is no other.

        However many threads and processes were refused, one of them renews and the others take its result.
        """
        if self._token or os.environ.get("CAMPFIRE_API_KEY"):
            return None
        with self._lock:
            if self._login is not None and self._login.bearer != rejected:
                return self._login.bearer  # another thread was here first
            stored = self._stored()
            if stored.bearer == rejected:
                if not (self._auto_refresh and stored.refresh_token):
                    return None
                stored = self._renewed(stored)
            self._login = stored
            return stored.bearer

    def _stored(self) -> Credentials:
        login = self.store.load(self._origin)
        if login is None:
            raise AuthenticationError(
                f"not logged in to {self._origin}",
                hint="run `campfire login`, or set CAMPFIRE_API_KEY",
                url=self._http.base_url,
            )
        return login

    def _renewed(self, old: Credentials) -> Credentials:
        """Exchange the refresh token: it dies with its use, so the new one is on disk before it is used."""
        with self.store.lock():
            current = self._stored()
            if current.bearer != old.bearer and not current.expiring():
                return current
            try:
                return self._exchange(current)
            except OAuthError as err:
                # A program that does not know our lock may have been faster; it needs a moment to write.
                for _ in range(5):
                    latest = self._stored()
                    if latest.refresh_token != current.refresh_token:
                        return latest
                    time.sleep(0.1)
                raise AuthenticationError(
                    f"the login at {self._origin} has expired ({err.code})",
                    hint="log in again with `campfire login`",
                    status=err.status,
                    url=err.url,
                ) from err

    def _exchange(self, current: Credentials) -> Credentials:
        body = {"grant_type": REFRESH_GRANT, "refresh_token": current.refresh_token}
        payload = post_oauth(self._http, routes.REFRESH, body)
        fresh = Credentials.from_tokens(payload, current.user_email)
        self.store.save(self._origin, fresh)
        return fresh

    def __repr__(self) -> str:
        return f"Authenticator({self._origin!r})"


def _clean(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        # Not shown: it is a secret, if a damaged one.
        raise AuthenticationError(
            "the token holds characters that no token has", hint="copy it again, without line breaks"
        )
    return token


def check_key(key: str) -> str:
    """Return an API key without surrounding space.

    Raises
    ------
    AuthenticationError
        If it does not look like one. The key is not repeated.
    """
    key = _clean(key.strip())
    if not key.startswith("sk_") or len(key) < 8:
        raise AuthenticationError(
            "that is not an API key", hint="keys start with sk_; make one on the archive's profile page"
        )
    return key


def save_login(http: Http, login: Credentials, store: CredentialStore | None = None) -> dict[str, Any]:
    """Ask the service whose login this is, keep it, and return the answer of ``whoami``.

    Raises
    ------
    AuthenticationError
        If the service does not accept it; nothing is kept then.
    """
    response = http.send("GET", routes.WHOAMI, token=login.bearer)
    if response.status_code != 200:
        raise http.fail(response, "GET", routes.WHOAMI)
    who = json_object(response, "GET", routes.WHOAMI)
    require(routes.WHOAMI, who)
    email = who.get("email")
    login = replace(login, user_email=email if isinstance(email, str) else None)
    store = store or CredentialStore()
    with store.lock():
        store.save(origin(http.base_url), login)
    return who


def login_with_key(http: Http, key: str, store: CredentialStore | None = None) -> dict[str, Any]:
    """Check an API key with the service and keep it; returns the answer of ``whoami``.

    Raises
    ------
    AuthenticationError
        If the key is not one, or not accepted.
    """
    return save_login(http, Credentials("api_key", api_key=check_key(key)), store)


def logout(http: Http, store: CredentialStore | None = None) -> bool:
    """Revoke the login (where the service can be reached) and forget it; tells whether there was one."""
    store = store or CredentialStore()
    where = origin(http.base_url)
    with store.lock():
        try:
            login = store.load(where)
        except AuthenticationError:
            login = None  # a damaged file holds nothing that could be revoked
        if login is not None and login.refresh_token:
            try:
                post_oauth(http, routes.REVOKE, {"token": login.refresh_token})
            except CampfireError as err:
                warnings.warn(
                    f"the login is forgotten here, but the service could not be told: {err.message}",
                    CampfireWarning,
                    stacklevel=2,
                )
        return store.delete(where)
