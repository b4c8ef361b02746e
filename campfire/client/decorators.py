"""What the methods of the client have in common: faults of the disk told, keywords shown, bools checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from campfire.arguments import truth
from campfire.disk import disk_error, named
from campfire.query import QueryOptions

__all__ = ["on_disk", "with_query_keywords", "with_truth_values"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
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


def with_truth_values(cls: type[T]) -> type[T]:
    """Let every public method refuse what is not a bool where its signature says ``bool``.

    ``download(everything="no")`` would be all of the archive.
    """
    for name, member in list(vars(cls).items()):
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            given = inspect.signature(member)
            flags = [p.name for p in given.parameters.values() if p.annotation == "bool"]
            if flags:
                setattr(cls, name, _checked(member, given, flags))
    return cls


def _checked(method: F, given: inspect.Signature, flags: list[str]) -> F:
    positions = {flag: list(given.parameters).index(flag) for flag in flags}
    keyword_only = {flag for flag in flags if given.parameters[flag].kind is inspect.Parameter.KEYWORD_ONLY}

    @wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for flag, position in positions.items():
            if flag in kwargs:
                kwargs[flag] = truth(kwargs[flag], flag)
            elif flag not in keyword_only and position < len(args):
                truth(args[position], flag)
        return method(*args, **kwargs)

    return cast(F, checked)


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
