"""Files that appear whole or not at all, also after a power cut.

A rename alone is not enough: after a power cut a file system may have the new name without the content.
So the content is on the disk before the name changes, and the name before the call returns.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["replacing", "settle", "sync_folder"]


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Give a name to write to; at the end that file takes the place of ``path``, or is removed on an error.

    Parameters
    ----------
    path
        The file to make or to replace; its folder must be there.
    mode
        Permissions of the file, from its first byte on; those of the umask where none are given.

    Yields
    ------
    pathlib.Path
        A name in the same folder, with the same ending, which nobody else uses.

    Raises
    ------
    OSError
        If the disk refuses it; what was at ``path`` is still there then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "list.txt")) as partial:
    ...         size = partial.write_text("J0332-2756")
    ...     Path(folder, "list.txt").read_text()
    'J0332-2756'
    """
    ending = "".join(path.suffixes[-2:])
    partial = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}{ending[:40]}")
    try:
        if mode is not None:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield partial
        settle(partial)
        os.replace(partial, path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def settle(path: Path) -> os.stat_result:
    """Wait until the content of a file is on the disk; return its status."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())
        return os.fstat(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut; some systems have no such call."""
    if not folder.is_dir():  # a pipe would be waited for
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
