"""What the methods of the client have in common: faults of the disk told, keywords of queries shown."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from campfire.disk import disk_error, named
from campfire.query import QueryOptions

__all__ = ["on_disk", "with_query_keywords"]

F = TypeVar("F", bound=Callable[..., Any])
_DEFAULTS = {"offset": 0, "sort_dir": "asc"}


class _HasFolder(Protocol):
    @property
    def data_dir(self) -> Path: ...


def on_disk(what: str) -> Callable[[F], F]:
    """Make a method say what it could not do, and with which file, where the disk fails it.

    Parameters
    ----------
    what
        What could not be done: ``"cannot download:"``; the path follows.
    """

    def decorate(method: F) -> F:
        @wraps(method)
        def told(self: _HasFolder, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except OSError as err:
                raise disk_error(err, what, named(err) or self.data_dir) from err

        return cast(F, told)

    return decorate


def with_query_keywords(method: F) -> F:
    """Show the keywords of queries in the signature in place of ``**filters``: for completion and ``help``.

    They are written down once, in :class:`campfire.query.QueryOptions`.
    """
    given = inspect.signature(method)
    own = [p for p in given.parameters.values() if p.kind is not p.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name))
        for name in QueryOptions.__annotations__
    ]
    method.__signature__ = given.replace(parameters=[*own, *keywords])  # type: ignore[attr-defined]
    return method
