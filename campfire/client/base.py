"""What every part of the client stands on: construction, context manager, pickling."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from campfire.access.context import Context
from campfire.config import DEFAULT_BASE_URL
from campfire.disk import disk_error, named
from campfire.mirror.keeper import FileKeeper

if TYPE_CHECKING:
    from campfire.transport.http import Sender
    from campfire.typing import PathInput, Row

__all__ = ["ClientBase", "on_disk"]

F = TypeVar("F", bound=Callable[..., Any])


def on_disk(what: str) -> Callable[[F], F]:
    """Make a method say what it could not do, and with which file, where the disk fails it.

    Parameters
    ----------
    what
        What could not be done: ``"cannot download:"``; the path follows.
    """

    def decorate(method: F) -> F:
        @wraps(method)
        def told(self: ClientBase, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except OSError as err:
                raise disk_error(err, what, named(err) or self.data_dir) from err

        return cast(F, told)

    return decorate


class ClientBase:
    """See :class:`campfire.Campfire`."""

    DEFAULT_BASE_URL = DEFAULT_BASE_URL

    def __init__(
        self,
        base_url: str | None = None,
        data_dir: PathInput | None = None,
        auto_refresh: bool = True,
        *,
        token: str | None = None,
        session: Sender | None = None,
    ) -> None:
        self._context = Context(base_url, data_dir, auto_refresh=auto_refresh, token=token, session=session)
        self._keeper = FileKeeper(self._context)

    @property
    def base_url(self) -> str:
        """Address of the service."""
        return self._context.base_url

    @property
    def data_dir(self) -> Path:
        """Root of the data directory."""
        return self._context.paths.root

    @property
    def is_local(self) -> bool:
        """Whether there is a valid local catalogue of this service."""
        return self._context.is_local()

    @property
    def last_synced(self) -> str | None:
        """When a synchronisation last completed, ISO 8601 in UTC, or None."""
        catalog = self._context.catalog() if self._context.is_local() else None
        return None if catalog is None else catalog.last_synced

    def whoami(self) -> Row:
        """Ask the service whose credentials are used.

        Raises
        ------
        AuthenticationError
            If there are none, or they are not accepted.
        """
        return self._context.api().whoami()

    def close(self) -> None:
        """Give up connections; using the client again makes new ones."""
        self._context.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # A token or a session stays behind; the copy finds credentials where it is.
        return type(self), (self.base_url, str(self.data_dir), self._context.auto_refresh)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, {str(self.data_dir)!r})"
