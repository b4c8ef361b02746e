"""``.campfire`` on Dataset and DataTree, there as soon as both campfire and xarray are imported.

This module imports neither xarray nor numpy.
"""

from __future__ import annotations

from typing import Any

from campfire.import_hooks import after_import

__all__ = ["install"]

_INSTALLED = False


def install() -> None:
    """Register the accessors with xarray: now if it is loaded, else when it gets loaded.

    Calling it again does nothing.
    """
    global _INSTALLED
    if not _INSTALLED:
        _INSTALLED = True
        after_import("xarray", _register)


def _register() -> None:
    import xarray

    from campfire.accessors.dataset import DatasetAccessor
    from campfire.accessors.datatree import DataTreeAccessor

    xr: Any = xarray  # its registration functions carry no types
    xr.register_dataset_accessor("campfire")(DatasetAccessor)
    xr.register_datatree_accessor("campfire")(DataTreeAccessor)
