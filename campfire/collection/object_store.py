"""Objects below one URL of an object store (S3): read whole or in part, put whole, put if nothing changed.

Only the URL is ever kept, pickled or shown. Credentials, endpoint and region come from the environment of
the process that uses it (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``AWS_REGION``, …), or from the role of
the machine.

A store that is away is asked again for :data:`RETRY_SECONDS`; then it is an error of the documented tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from campfire.errors import APIError, AuthenticationError, CampfireError, NotFoundError, ValidationError
from campfire.installation import missing_extra

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = ["RETRY_SECONDS", "ObjectFolder", "translated", "zarr_client"]

RETRY_SECONDS = 30
"""How long a store that does not answer is asked again."""


@lru_cache(maxsize=16)
def _opened(url: str) -> S3Store:
    """Return the client of a URL; it opens connections when they are needed, and any thread may use it."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError as err:
        raise missing_extra(f"{url} needs obstore", "s3") from err
    try:
        return S3Store.from_url(
            url,
            retry_config={
                "max_retries": 1000,  # the time bounds them
                "retry_timeout": timedelta(seconds=RETRY_SECONDS),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=200),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
        )
    except BaseError as err:
        raise ValidationError(_said(err), hint="look at the AWS_ variables of the environment") from None


def _said(err: BaseException) -> str:
    """Return what went wrong without what a server sent: that can hold the name of a key."""
    return str(err).partition("\n")[0].partition(": <")[0][:300]


def _fault(err: Exception, url: str) -> CampfireError:
    """Return the error of the documented tree for one of obstore; not chained, see :func:`_said`."""
    from obstore.exceptions import (
        AlreadyExistsError,
        NotSupportedError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    if isinstance(err, AlreadyExistsError | PreconditionError):
        return _ChangedError(f"{url} was changed by another writer")
    if isinstance(err, PermissionDeniedError | UnauthenticatedError):
        return AuthenticationError(
            f"no access to {url}: {_said(err)}",
            hint="look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and at the clock",
            url=url,
        )
    if isinstance(err, FileNotFoundError):
        if "NoSuchBucket" in str(err):
            return NotFoundError(f"there is no bucket of {url}", hint="make it first", url=url)
        return _AbsentError(f"{url} is not there", url=url)
    if isinstance(err, NotSupportedError | NotImplementedError):
        return APIError(f"{url}: this store cannot put conditionally", hint="use one that can", url=url)
    return APIError(
        f"the store of {url} does not do what it was asked: {_said(err)}",
        hint="look at AWS_ENDPOINT_URL and AWS_REGION (AWS_ALLOW_HTTP=true for one without https)",
        url=url,
    )


def zarr_client(url: str) -> S3Store:
    """Return what Zarr's store of a URL holds; like all here, its credentials are those of this process.

    Raises
    ------
    ValidationError
        If the environment has no usable settings.
    ImportError
        If obstore is not installed.
    """
    return _opened(url)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn errors of obstore into those of the documented tree.

    Raises
    ------
    CampfireError
        For what the store refused.
    """
    from obstore.exceptions import BaseError

    try:
        yield
        return
    except BaseError as err:
        fault = _fault(err, url)
    raise fault


class _ChangedError(CampfireError):
    """An object is not the one that was to be replaced."""


class _AbsentError(NotFoundError):
    """There is a bucket, but not this object."""


@dataclass(frozen=True)
class ObjectFolder:
    """The objects below a URL.

    Parameters
    ----------
    url
        As :func:`campfire.config.store_url` returns it.

    Examples
    --------
    >>> ObjectFolder("s3://team/cache")
    ObjectFolder(url='s3://team/cache')
    """

    url: str

    def get(self, name: str, most: int) -> tuple[bytes, str] | None:
        """Return an object and its version tag, None if there is none.

        Raises
        ------
        CampfireError
            If it cannot be read, or is longer than ``most`` bytes.
        """
        store = _opened(self.url)
        import obstore

        try:
            found = obstore.get(store, name)
            if found.meta["size"] > most:
                raise ValidationError(f"{self.url}/{name} has {found.meta['size']} bytes, more than {most}")
            return bytes(found.bytes()), found.meta["e_tag"] or ""
        except (obstore.exceptions.BaseError, OSError) as err:
            fault = _fault(err, f"{self.url}/{name}")
        if isinstance(fault, _AbsentError):
            return None
        raise fault

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return parts of an object, given as (offset, length); neighbours come in one request.

        Raises
        ------
        CampfireError
            If they cannot be read.
        """
        store = _opened(self.url)
        import obstore

        try:
            parts = obstore.get_ranges(
                store,
                name,
                starts=[offset for offset, _ in ranges],
                lengths=[length for _, length in ranges],
            )
            return [bytes(part) for part in parts]
        except (obstore.exceptions.BaseError, OSError) as err:
            fault = _fault(err, f"{self.url}/{name}")
        raise fault

    def names(self, most: int) -> list[str]:
        """Return the names of up to ``most`` objects, in no order.

        Raises
        ------
        CampfireError
            If they cannot be listed.
        """
        store = _opened(self.url)
        import obstore

        with translated(self.url):
            for found in obstore.list(store, chunk_size=most):
                return [one["path"] for one in found[:most]]
        return []

    def forget(self, name: str) -> None:
        """Delete an object that this process has put.

        Raises
        ------
        CampfireError
            If it cannot be deleted.
        """
        store = _opened(self.url)
        import obstore

        with translated(f"{self.url}/{name}"):
            obstore.delete(store, name)

    def put(self, name: str, data: bytes) -> None:
        """Write an object whose name follows from its content; it appears whole or not at all."""
        self._put(name, data, "overwrite")

    def put_if(self, name: str, data: bytes, tag: str | None) -> bool:
        """Write an object if it still has ``tag`` (None: if there is none); False if it was changed.

        Raises
        ------
        CampfireError
            For any other fault. It may have been written all the same: look.
        """
        try:
            self._put(name, data, "create" if tag is None else {"e_tag": tag})
        except _ChangedError:
            return False
        return True

    def _put(self, name: str, data: bytes, mode: Any) -> None:
        store = _opened(self.url)
        import obstore

        try:
            # In one request: a conditional put of several parts is not one.
            obstore.put(store, name, data, mode=mode, use_multipart=False)
            return
        except (obstore.exceptions.BaseError, OSError, NotImplementedError) as err:
            fault = _fault(err, f"{self.url}/{name}")
        raise fault
