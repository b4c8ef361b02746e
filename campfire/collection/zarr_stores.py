"""Stores of Zarr that pickle as a place and nothing else, and one that holds metadata back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.abc.store import Store
from zarr.core.sync import sync
from zarr.storage import LocalStore, ObjectStore, WrapperStore

from campfire.collection.object_store import translated, zarr_client

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["FolderStore", "HeldBack", "UrlStore"]


class FolderStore(WrapperStore[Store]):
    """The store of a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalStore(folder))
        self._folder = folder

    def __reduce__(self) -> Any:
        return FolderStore, (self._folder,)

    def _with_store(self, store: Store) -> FolderStore:
        return FolderStore(self._folder)


class UrlStore(WrapperStore[Store]):
    """The store of a URL. Each process opens it with the credentials of its own environment."""

    def __init__(self, url: str) -> None:
        super().__init__(ObjectStore(zarr_client(url)))
        self._url = url

    def __reduce__(self) -> Any:
        return UrlStore, (self._url,)

    def _with_store(self, store: Store) -> UrlStore:
        return UrlStore(self._url)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: Any = None) -> Buffer | None:
        """Read an object or a part of it, with the errors of this package."""
        with translated(f"{self._url}/{key}"):
            return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        """Put an object, with the errors of this package."""
        with translated(f"{self._url}/{key}"):
            await super().set(key, value)


class HeldBack(WrapperStore[Store]):
    """A store to write to, which keeps each ``zarr.json`` to itself until :meth:`release`.

    In another process it is the store without them: workers write pixels only.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._held: dict[str, Buffer] = {}

    def __reduce__(self) -> Any:
        return HeldBack, (self._store,)

    def _with_store(self, store: Store) -> HeldBack:
        return self

    async def get(self, key: str, prototype: BufferPrototype, byte_range: Any = None) -> Buffer | None:
        """Read what is held, or what is there."""
        if key in self._held:
            return self._held[key]
        return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        """Hold metadata; put anything else."""
        if key.endswith("zarr.json"):
            self._held[key] = value
        else:
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Hold metadata unless they are held already."""
        if not await self.exists(key):
            await self.set(key, value)

    async def exists(self, key: str) -> bool:
        """Tell whether it is held or there."""
        return key in self._held or await super().exists(key)

    async def is_empty(self, prefix: str) -> bool:
        """Tell whether nothing is held there; only what is held can be opened."""
        return not any(key.startswith(prefix) for key in self._held)

    async def delete(self, key: str) -> None:
        """Forget what is held: nothing that is there is removed."""
        self._held.pop(key, None)

    async def delete_dir(self, prefix: str) -> None:
        """Remove nothing: it is written where nothing was."""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Name the groups and arrays that are held."""
        start = f"{prefix.rstrip('/')}/".lstrip("/")
        names = {key.removeprefix(start).partition("/")[0] for key in self._held if key.startswith(start)}
        for name in sorted(names):
            yield name

    def release(self) -> None:
        """Put the metadata, from the innermost outwards."""
        for key in sorted(self._held, key=lambda key: (-key.count("/"), key)):
            sync(self._store.set(key, self._held[key]))
