"""Authenticated calls: the token is asked for at the first one, and renewed once after a 401."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from campfire.transport.problems import json_object

if TYPE_CHECKING:
    import requests

    from campfire.transport.auth import Authenticator
    from campfire.transport.http import Http

__all__ = ["Session"]


class Session:
    """Calls one service on behalf of one account; safe to use from several threads.

    Parameters
    ----------
    http
        Sends the requests.
    auth
        Knows the token.
    """

    def __init__(self, http: Http, auth: Authenticator) -> None:
        self.http = http
        self.auth = auth

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: tuple[float, float] | None = None,
        anonymous: bool = False,
    ) -> requests.Response:
        """Send a call and return its successful answer.

        Raises
        ------
        AuthenticationError
            401 (after one renewal of the token) and 403, or where there are no credentials.
        NotFoundError
            404.
        APIError
            Any other failure.
        """
        token = None if anonymous else self.auth.bearer()
        response = self.http.send(method, path, token=token, params=params, headers=headers, timeout=timeout)
        if response.status_code == 401 and token is not None:
            renewed = self.auth.renew(token)
            if renewed is not None:
                response = self.http.send(
                    method, path, token=renewed, params=params, headers=headers, timeout=timeout
                )
        if response.status_code // 100 == 2:
            return response
        raise self.http.fail(response, method, path)

    def get_json(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: tuple[float, float] | None = None,
        anonymous: bool = False,
    ) -> dict[str, Any]:
        """Return the JSON object a path answers with.

        Raises
        ------
        APIError
            Also if the answer is no JSON object: a captive portal or a gateway may speak for the service.
        """
        response = self.request("GET", path, params=params, timeout=timeout, anonymous=anonymous)
        return json_object(response, "GET", path)

    def get_bytes(self, path: str, params: Mapping[str, Any] | None = None, *, accept: str) -> bytes:
        """Return the bytes a path answers with."""
        return self.request("GET", path, params=params, headers={"Accept": accept}).content

    def close(self) -> None:
        """Give up the connections."""
        self.http.close()
