"""Do something once a module gets imported, without importing it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeAlias

__all__ = ["after_import"]

Callback: TypeAlias = Callable[[], object]


def after_import(name: str, callback: Callback) -> None:
    """Call ``callback`` now if the top-level module ``name`` is loaded, else right after it gets loaded.

    Parameters
    ----------
    name
        Name of a top-level module, such as ``"xarray"``; it need not be installed.
    callback
        Called once, without arguments.

    Examples
    --------
    >>> after_import("sys", lambda: print("sys is there"))
    sys is there
    """
    with _LOCK:
        if name not in sys.modules:
            _FINDER.callbacks.setdefault(name, []).append(callback)
            if _FINDER not in sys.meta_path:
                # First of all, since a finder that finds the module is the last one asked.
                sys.meta_path.insert(0, _FINDER)
            return
    callback()


class _Finder(MetaPathFinder):
    """Finds nothing by itself: it asks the finders behind it and wraps the loader they give."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callback]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.callbacks:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None

    def loaded(self, name: str) -> None:
        with _LOCK:
            callbacks = self.callbacks.pop(name, [])
            if not self.callbacks and self in sys.meta_path:
                sys.meta_path.remove(self)
        for callback in callbacks:
            callback()


class _Loader(Loader):
    """The loader of one module, until the module is loaded."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its own loader: resources, sources and reloading go through it.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _FINDER.loaded(module.__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_LOCK = threading.Lock()
_FINDER = _Finder()
