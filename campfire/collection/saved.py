"""A whole tree as one Zarr group, in a folder or an object store: there when it is whole, not before.

Pixels are written first. What makes a folder a Zarr group, the files ``zarr.json``, is held back until all
of them are there, and put from the innermost outwards, that of the root last. A writer that is killed leaves
a folder that nothing opens; the next one has to use another, as a block that consists of nothing but padding
is not written and would be taken from what is left over.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campfire.collection.object_store import ObjectFolder
from campfire.collection.zarr_stores import FolderStore, HeldBack, UrlStore
from campfire.config import as_path, store_url
from campfire.convert.wavelength_index import indexed
from campfire.errors import NotFoundError, ValidationError
from campfire.publishing import settle, sync_folder
from campfire.schema import PixelDQ

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["from_zarr", "to_zarr"]

_CLAIM = "being-written"
_ORDER = "campfire_groups"  # Zarr lists what is in a group in any order
_LAYOUT = {"chunks", "preferred_chunks", "shards"}


def to_zarr(tree: xr.DataTree, where: str | os.PathLike[str]) -> None:
    """Write a tree as one Zarr group (format 3) that is readable only when it is whole.

    Parameters
    ----------
    tree
        Any tree, lazy or not; lazy ones are computed block by block, on the workers of a dask client if there
        is one.
    where
        A folder that is not there yet, or ``s3://bucket/prefix`` below which nothing is (extra ``s3``;
        credentials come from the ``AWS_`` variables of the process, and of each worker).

    Raises
    ------
    ValidationError
        If something is there already, or another process is writing there.
    CampfireError
        If the store cannot be written: it is asked again for 30 s.
    OSError
        If the disk refuses it.

    Examples
    --------
    >>> import tempfile
    >>> import xarray as xr
    >>> tree = xr.DataTree.from_dict({"/PRISM": xr.Dataset({"fnu": ("pixel", [1.0, 2.0])})})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_zarr(tree, f"{folder}/sample.zarr")
    ...     from_zarr(f"{folder}/sample.zarr")["PRISM"].fnu.values
    array([1., 2.])
    """
    import xarray as xr

    groups = {
        "/" + node.path.removeprefix(tree.path).strip("/"): _plain_chunks(node.to_dataset(inherit=False))
        for node in tree.subtree
    }
    plain = xr.DataTree.from_dict(groups, name=tree.name)
    plain.attrs[_ORDER] = list(groups)
    text = os.fspath(where) if isinstance(where, str | os.PathLike) else where
    if isinstance(text, str) and "://" in text:
        _write_url(plain, store_url(text))
    else:
        _write_folder(plain, as_path(where, "where").absolute())


def _write_folder(tree: xr.DataTree, folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        raise ValidationError(f"{folder} is there already", hint="write to a new folder") from None
    except FileNotFoundError:
        raise ValidationError(f"there is no folder {folder.parent}", hint="make it first") from None
    store = HeldBack(FolderStore(folder))
    tree.to_zarr(store, zarr_format=3, consolidated=False)
    for path, _, files in os.walk(folder):
        for name in files:
            settle(Path(path, name))
        sync_folder(Path(path))
    store.release()


def _write_url(tree: xr.DataTree, url: str) -> None:
    objects = ObjectFolder(url)
    if not objects.put_if(_CLAIM, b"", None):
        raise ValidationError(
            f"{url} is being written, or was when its writer ended early", hint="write below another URL"
        )
    if objects.names(2) != [_CLAIM]:
        objects.forget(_CLAIM)
        raise ValidationError(f"there is something below {url} already", hint="write below another URL")
    store = HeldBack(UrlStore(url))
    tree.to_zarr(store, zarr_format=3, consolidated=False)
    store.release()
    objects.forget(_CLAIM)


def _plain_chunks(ds: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose chunks are as Zarr needs them: of one size, but for the last."""
    sizes = {str(dim): max(parts) for dim, parts in ds.unify_chunks().chunks.items()}
    ds = ds.chunk(sizes) if sizes else ds.copy()
    for name, variable in ds.variables.items():
        variable.encoding = {k: v for k, v in variable.encoding.items() if k not in _LAYOUT}
        if name == "dq":  # a chunk that is lost later on must not be taken for good pixels
            variable.encoding["fill_value"] = int(PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR)
    return ds


def from_zarr(where: str | os.PathLike[str]) -> xr.DataTree:
    """Open a tree that ``tree.campfire.to_zarr()`` wrote, lazily.

    Parameters
    ----------
    where
        The folder, or ``s3://bucket/prefix``. Workers need the URL, which is in the graph, and the ``AWS_``
        variables in their own environment; they need no other file.

    Returns
    -------
    xarray.DataTree
        The tree with the indexes of its coordinates, in the blocks in which it was written.

    Raises
    ------
    NotFoundError
        If there is nothing, or something that is not whole.
    CampfireError
        If the store cannot be read: it is asked again for 30 s.

    Examples
    --------
    >>> import tempfile
    >>> import xarray as xr
    >>> tree = xr.DataTree.from_dict({"/PRISM": xr.Dataset({"fnu": ("pixel", [1.0, 2.0])})})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tree.campfire.to_zarr(f"{folder}/sample.zarr")
    ...     from_zarr(f"{folder}/sample.zarr")["PRISM"].fnu.values
    array([1., 2.])
    """
    import xarray as xr

    text = os.fspath(where) if isinstance(where, str | os.PathLike) else where
    store: Any
    if isinstance(text, str) and "://" in text:
        place = store_url(text)
        there = ObjectFolder(place).get("zarr.json", 2**26) is not None
        store = UrlStore(place)
    else:
        folder = as_path(where, "where").absolute()
        place, there = str(folder), (folder / "zarr.json").is_file()
        store = FolderStore(folder) if there else None
    if not there:
        raise NotFoundError(
            f"there is no whole collection at {place}",
            hint="tree.campfire.to_zarr() writes one; what it was interrupted at has to be written anew",
        )
    tree = xr.open_datatree(store, engine="zarr", consolidated=False, chunks={})
    groups = {node.path: indexed(node.to_dataset(inherit=False)) for node in tree.subtree}
    order = groups["/"].attrs.pop(_ORDER, list(groups))
    return xr.DataTree.from_dict({path: groups[path] for path in order if path in groups})
