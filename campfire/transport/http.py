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

from campfire.config import check_url, host_address, is_loopback, is_this_machine, origin
from campfire.errors import APIError, CampfireError, DownloadError, ValidationError
from campfire.installation import VERSION
from campfire.transport.body import ENCODING, MOST_BYTES, read_body, too_much
from campfire.transport.problems import bare_url, failure, holds_secret, keep_secret, printable
from campfire.transport.rate_limit import RateLimit, RetryPolicy, retry_after
from campfire.transport.response_limits import Allowance

if TYPE_CHECKING:
    import requests

__all__ = ["FILE_TIMEOUT", "RETRIED", "TIMEOUT", "Http", "Sender", "check_file_url"]

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
FILE_TIMEOUT = (10.0, 30.0)
"""The same for files, which start at once and flow: a longer silence is a stall."""
MOST_SECONDS = 300.0
"""Seconds for one call, all tries, pauses and redirects together: an answer that drips never ends."""
FILE_SECONDS = 60.0
"""Seconds until a file begins to come, redirects included."""
MOST_HEADERS = 2**20
"""Bytes that an answer may take beside its content."""
RETRIED = frozenset({429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_SECRET_KEYS = frozenset({"refresh_token", "device_code", "token"})


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
        texts = (str(a) if isinstance(a, Exception) else a for a in record.args)
        record.args = tuple(printable(_SIGNED.sub("?...", a)) if isinstance(a, str) else a for a in texts)
        record.exc_info = None  # its texts are those of the arguments
    return True


def _keep_secrets_out_of_logs() -> None:
    """Shorten signed addresses in urllib3's messages, and what it repeats of an answer."""
    for name in ("urllib3.connectionpool", "urllib3.connection"):
        logger = logging.getLogger(name)
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
        # The cause would show the signature.
        raise DownloadError(printable(err.message), hint=err.hint) from None
    host = urlsplit(url).hostname or ""
    address = host_address(host)
    # What answers there (this machine, a cloud's metadata) gives to programs what no service may ask for.
    near = address is not None and (address.is_link_local or address.is_multicast)
    if near or (is_this_machine(host) and not is_this_machine(urlsplit(base_url).hostname)):
        raise DownloadError(
            f"file URL {bare_url(url)!r} points at this machine or its nearest network",
            hint="files come from the archive's storage",
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


def _showable(err: BaseException) -> bool:
    """Tell whether an exception may be shown with its causes: some repeat what the server sent."""
    link: BaseException | None = err
    while link is not None:
        if holds_secret(str(link)) or not str(link).isprintable():
            return False
        link = link.__cause__ or link.__context__
    return True


def _target(url: str, response: requests.Response) -> str | None:
    """Return where a redirect leads, or None where that is no address."""
    try:
        target = urljoin(url, response.headers.get("Location", ""))
        _ = origin(target)
    except ValueError:
        return None
    return target


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

        from campfire.transport.response_limits import bounded_session

        _keep_secrets_out_of_logs()
        session = bounded_session()
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

    def _exchange(
        self, method: str, url: str, token: str | None, allowance: Allowance, **kwargs: Any
    ) -> requests.Response:
        import requests
        from urllib3.exceptions import HTTPError

        host = urlsplit(url).hostname
        if is_loopback(host):
            kwargs["proxies"] = {"no_proxy": host}  # this machine is never reached through a proxy
        left = max(allowance.seconds, 0.001)
        connect, silence = kwargs.pop("timeout")
        kwargs["timeout"] = (min(connect, left), min(silence, left))
        try:
            return self._sender().request(
                method, url, auth=_bearer(token), allow_redirects=False, stream=True, **kwargs
            )
        except requests.RequestException:
            raise
        except (HTTPError, ValueError) as err:  # addresses that only the layers below cannot use
            raise requests.exceptions.InvalidURL(type(err).__name__) from None

    def _call(
        self, method: str, url: str, token: str | None, allowance: Allowance, **kwargs: Any
    ) -> requests.Response:
        for _ in range(_MOST_REDIRECTS + 1):
            asked = time.monotonic()
            with self._limit.slot() if self._limit else nullcontext():
                allowance.ends += time.monotonic() - asked  # that was our own manners
                response = self._exchange(method, url, token, allowance, **kwargs)
            if response.status_code not in _REDIRECTS or method != "GET":
                return response
            target = _target(url, response)
            if target is None or target == url or origin(target) != origin(self.base_url):
                return response  # never elsewhere: the caller sees the 3xx
            response.close()
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
        keep_secret(token, *(value for key, value in (json or {}).items() if key in _SECRET_KEYS))
        kwargs: dict[str, Any] = {
            "params": params,
            "json": json,
            "headers": {"Accept": "application/json", "Accept-Encoding": ENCODING, **(headers or {})},
            "timeout": timeout or self._timeout,
        }
        final = (requests.exceptions.SSLError, requests.exceptions.InvalidURL)
        allowance = Allowance(MOST_SECONDS, 0)
        for attempt in range(self.retry.attempts):
            asked = None
            response: requests.Response | None = None
            error: requests.RequestException | None = None
            allowance.bytes = MOST_BYTES + MOST_HEADERS
            try:
                with allowance.spent():
                    answer = self._call(method, url, token, allowance, **kwargs)
                    read_body(answer, allowance, url)
                    response = answer
            except requests.RequestException as err:
                if allowance.over is not None:
                    raise too_much(allowance, url) from None
                err.request = None  # it holds the Authorization header
                error = err
                again = method == "GET" and not isinstance(err, final)
            else:
                again = response.status_code in (RETRIED if method == "GET" else {429})
                asked = retry_after(response.headers.get("Retry-After"))
            pause = self.retry.pause(attempt, asked)
            late = MOST_SECONDS - allowance.seconds + pause > self.retry.deadline
            if again and not late and attempt + 1 < self.retry.attempts:
                time.sleep(pause)
                continue
            if response is not None:
                return response
            assert error is not None
            raise _explain(error, method, url) from (error if _showable(error) else None)
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
        allowance = Allowance(FILE_SECONDS, MOST_HEADERS)
        for _ in range(_MOST_REDIRECTS + 1):
            check_file_url(url, self.base_url)
            try:
                with allowance.spent():
                    response = self._exchange(
                        "GET", url, None, allowance, headers=sent, timeout=self._file_timeout
                    )
            except requests.RequestException as err:
                # Not chained: the text of the cause holds the signature.
                raise _explain(err, "GET", url) from None
            if response.status_code not in _REDIRECTS:
                break
            response.close()
            target = _target(url, response)
            if target is None:
                raise DownloadError(f"{bare_url(url)} leads to an address that is none")
            url = target
        try:
            yield response
        finally:
            response.close()

    def fail(self, response: requests.Response, method: str, path: str) -> CampfireError:
        """Return the exception for an answer of :meth:`send` that is not a success."""
        return failure(response, method, path, self.base_url + path)
