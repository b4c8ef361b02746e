"""One HTTP exchange: timeouts, retries, redirects, the request rate. It knows no credentials by itself."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urljoin, urlsplit

from campfire.about import VERSION
from campfire.config import check_url, is_loopback, origin
from campfire.errors import APIError, CampfireError, DownloadError, ValidationError
from campfire.transport.limits import RateLimit, RetryPolicy, retry_after
from campfire.transport.problems import bare_url, failure

if TYPE_CHECKING:
    import requests

__all__ = ["FILE_TIMEOUT", "RETRIED", "TIMEOUT", "Http", "Sender", "check_file_url"]

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
FILE_TIMEOUT = (10.0, 30.0)
"""The same for files, which start at once and flow: a longer silence is a stall."""
MOST_BYTES = 64 * 2**20
"""Bytes of an answer that is not a file, unpacked: thirty times the largest page of the service."""
MOST_ERROR_BYTES = 2**20
"""The same of an error."""
MOST_SECONDS = 300.0
"""Seconds for a whole answer that is not a file: one that drips never ends."""
RETRIED = frozenset({429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_PIECE = 2**16


class Sender(Protocol):
    """What ``session=`` has to offer: ``requests.Session`` does."""

    @property
    def request(self) -> Callable[..., requests.Response]:
        """Send one request: ``request(method, url, **kwargs)``."""

    def close(self) -> None:
        """Give up connections."""


_SIGNED = re.compile(r"\?.*(signature|sig=|x-amz-|token).*", re.IGNORECASE)


def _unsigned(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_SIGNED.sub("?...", a) if isinstance(a, str) else a for a in record.args)
    return True


def _keep_signatures_out_of_logs() -> None:
    """Shorten signed addresses in urllib3's debug messages: they open files without a login."""
    logger = logging.getLogger("urllib3.connectionpool")
    if _unsigned not in logger.filters:
        logger.addFilter(_unsigned)


def user_agent() -> str:
    """Return what this client calls itself."""
    return f"campfire-python/{VERSION}"


def check_file_url(url: object, base_url: str) -> str:
    """Return the address of a file if it may be fetched: https, or loopback when the service is there too.

    Raises
    ------
    DownloadError
        For anything else, such as ``#download-placeholder`` of a service without storage.
    """
    if not isinstance(url, str) or url.startswith("#") or "://" not in url:
        raise DownloadError(
            "the service gave no address for the file",
            hint="its file storage is not set up; tell its operators",
        )
    try:
        check_url(url, "file URL")
    except ValidationError as err:
        raise DownloadError(err.message, hint=err.hint) from None  # the cause would show the signature
    if is_loopback(urlsplit(url).hostname) and not is_loopback(urlsplit(base_url).hostname):
        raise DownloadError(
            f"file URL {bare_url(url)!r} points at this machine", hint="files come from the archive's storage"
        )
    return url


def _explain(err: Exception, method: str, url: str) -> CampfireError:
    import requests

    where = f"{method} {bare_url(url)}"
    if isinstance(err, requests.exceptions.SSLError):
        return APIError(
            f"{where}: the server's certificate is not trusted",
            hint="a proxy's own certificate is named with REQUESTS_CA_BUNDLE",
            url=bare_url(url),
        )
    if isinstance(err, requests.Timeout):
        return APIError(f"{where}: no answer in time", hint="try again later", url=bare_url(url))
    if isinstance(err, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return APIError(f"{where}: the answer broke off", hint="try again", url=bare_url(url))
    return APIError(
        f"{where}: no connection ({type(err).__name__})",
        hint="is the network there, and the address right? What is synced works without it",
        url=bare_url(url),
    )


def _whole(response: requests.Response, url: str) -> requests.Response:
    """Read the body of an answer, within limits; the connection is free again afterwards.

    Raises
    ------
    APIError
        If it is too long, or takes too long.
    """
    success = response.status_code // 100 == 2
    most = MOST_BYTES if success else MOST_ERROR_BYTES
    ends = time.monotonic() + MOST_SECONDS
    parts: list[bytes] = []
    size = 0
    try:
        for part in response.iter_content(_PIECE):
            size += len(part)
            late = time.monotonic() > ends
            if size > most or late:
                if not success:
                    break  # enough to say what is wrong
                problem = (
                    f"does not end within {MOST_SECONDS:.0f} s" if late else f"is longer than {most} bytes"
                )
                raise APIError(
                    f"the answer of {bare_url(url)} {problem}",
                    hint="is base_url a CAMPFIRE service, with its /api/v1?",
                    url=bare_url(url),
                )
            parts.append(part)
    except BaseException:
        response.close()
        raise
    if size > most:
        response.close()
    response._content = b"".join(parts)  # as requests itself does, for what it reads at once
    return response


def _bearer(token: str | None) -> Any:
    # As an auth callable, never a session header: it also keeps requests from adding what ~/.netrc says.
    def apply(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token is None:
            request.headers.pop("Authorization", None)
        else:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    return apply


class Http:
    """Sends requests to one service, and fetches files from wherever it says they are.

    Parameters
    ----------
    base_url
        The service, as :func:`campfire.config.resolve_base_url` returns it.
    session
        A ``requests.Session`` of the user's, else one is made at the first request.
    retry, timeout, file_timeout, limit
        Manners; loopback services are not rate-limited.
    """

    def __init__(
        self,
        base_url: str,
        *,
        session: Sender | None = None,
        retry: RetryPolicy | None = None,
        timeout: tuple[float, float] = TIMEOUT,
        file_timeout: tuple[float, float] = FILE_TIMEOUT,
        limit: RateLimit | None = None,
    ) -> None:
        self.base_url = base_url
        self.retry = retry or RetryPolicy()
        self._timeout = timeout
        self._file_timeout = file_timeout
        loopback = is_loopback(urlsplit(base_url).hostname)
        self._limit = limit or (None if loopback else RateLimit())
        self._given = session
        self._own: requests.Session | None = None
        self._lock = threading.Lock()

    def _sender(self) -> Sender:
        if self._given is not None:
            return self._given
        with self._lock:
            if self._own is None:
                self._own = self._new_session()
            return self._own

    @staticmethod
    def _new_session() -> requests.Session:
        from http.cookiejar import DefaultCookiePolicy

        import requests
        from requests.adapters import HTTPAdapter

        _keep_signatures_out_of_logs()
        session = requests.Session()
        adapter = HTTPAdapter(pool_connections=8, pool_maxsize=32, max_retries=0)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers["User-Agent"] = user_agent()
        return session

    def close(self) -> None:
        """Give up the connections; a session the user passed stays the user's."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            own.close()

    def url(self, path: str) -> str:
        """Return the address of a path below the service.

        Raises
        ------
        ValidationError
            If it is anything but a path: a token must never follow a server's choice of host.
        """
        if not path.startswith("/") or path.startswith("//") or "\\" in path or "://" in path:
            raise ValidationError(f"{path!r} is not a path below {self.base_url}", hint="write /objects")
        return self.base_url + path

    def _exchange(self, method: str, url: str, token: str | None, **kwargs: Any) -> requests.Response:
        host = urlsplit(url).hostname
        if is_loopback(host):
            kwargs["proxies"] = {"no_proxy": host}  # this machine is never reached through a proxy
        return self._sender().request(method, url, auth=_bearer(token), allow_redirects=False, **kwargs)

    def _call(self, method: str, url: str, token: str | None, **kwargs: Any) -> requests.Response:
        for _ in range(_MOST_REDIRECTS + 1):
            with self._limit.slot() if self._limit else nullcontext():
                response = self._exchange(method, url, token, **kwargs)
            if response.status_code not in _REDIRECTS or method != "GET":
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            if origin(target) != origin(self.base_url) or target == url:
                return response  # never elsewhere: the caller sees the 3xx
            url, kwargs["params"] = target, None
        return response

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: tuple[float, float] | None = None,
    ) -> requests.Response:
        """Send one call and return its answer, whatever its status, with the body read.

        A GET is tried again after a lost connection, a broken answer, 429 and 5xx; other methods only after
        429, which says that nothing was done.

        Raises
        ------
        APIError
            If no whole answer came.
        """
        import requests

        url = self.url(path)
        kwargs: dict[str, Any] = {
            "params": params,
            "json": json,
            "headers": {"Accept": "application/json", **(headers or {})},
            "timeout": timeout or self._timeout,
        }
        started = time.monotonic()
        for attempt in range(self.retry.attempts):
            asked = None
            response: requests.Response | None = None
            error: requests.RequestException | None = None
            try:
                response = _whole(self._call(method, url, token, stream=True, **kwargs), url)
            except requests.RequestException as err:
                err.request = None  # it holds the Authorization header
                error = err
                again = method == "GET" and not isinstance(err, requests.exceptions.SSLError)
            else:
                again = response.status_code in (RETRIED if method == "GET" else {429})
                asked = retry_after(response.headers.get("Retry-After"))
            pause = self.retry.pause(attempt, asked)
            late = time.monotonic() - started + pause > self.retry.deadline
            if again and not late and attempt + 1 < self.retry.attempts:
                time.sleep(pause)
                continue
            if response is not None:
                return response
            assert error is not None
            raise _explain(error, method, url) from error
        raise AssertionError("a retry policy has at least one attempt")

    @contextmanager
    def file(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """Open a file for streaming, without credentials; one try, the caller knows how to resume.

        Raises
        ------
        DownloadError
            If the address, or one it redirects to, must not be fetched.
        APIError
            If there is no connection.
        """
        import requests

        sent = {"Accept-Encoding": "identity", **(headers or {})}
        for _ in range(_MOST_REDIRECTS + 1):
            check_file_url(url, self.base_url)
            try:
                response = self._exchange(
                    "GET", url, None, headers=sent, timeout=self._file_timeout, stream=True
                )
            except requests.RequestException as err:
                # Not chained: the text of the cause holds the signature.
                raise _explain(err, "GET", url) from None
            if response.status_code not in _REDIRECTS:
                break
            response.close()
            url = urljoin(url, response.headers.get("Location", ""))
        try:
            yield response
        finally:
            response.close()

    def fail(self, response: requests.Response, method: str, path: str) -> CampfireError:
        """Return the exception for an answer of :meth:`send` that is not a success."""
        return failure(response, method, path, self.base_url + path)
