"""Files of a served archive: where they are, their hashes, and the links that open them without a token."""

from __future__ import annotations

import threading
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from campfire.archive.server.ranges import FileFacts
from campfire.archive.server.signing import Signer
from campfire.config import DataPaths
from campfire.errors import ValidationError
from campfire.formats.spec_reader import file_hash

__all__ = ["LINK", "MANIFEST_SECONDS", "SINGLE_SECONDS", "FileShelf"]

LINK = "/files"
MANIFEST_SECONDS = 6 * 3600
SINGLE_SECONDS = 3600


class FileShelf:
    """The FITS products of one data root.

    Parameters
    ----------
    paths
        The data root.
    signer
        Signs links.
    """

    def __init__(self, paths: DataPaths, signer: Signer) -> None:
        self._paths = paths
        self._signer = signer
        self._hashes: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._lock = threading.Lock()

    def find(self, observation: str, fits_path: str, kind: str = "spec") -> Path | None:
        """Return where a row's file is; None if it is not there, or would be outside ``products/``.

        Parameters
        ----------
        observation
            The row's observation.
        fits_path
            The row's ``fits_path``, of which only the last component counts.
        kind
            ``spec``, or ``zfit`` for the redshift fit beside it.
        """
        name = PurePosixPath(fits_path).name
        if kind != "spec":
            name = name.removesuffix("_spec.fits") + f"_{kind}.fits"
        return self.resolve(observation, name)

    def resolve(self, observation: str, name: str) -> Path | None:
        """Return ``products/<observation>/<name>`` if it is a file there, links followed."""
        try:
            path = self._paths.product(observation, name).resolve()
            inside = path.is_relative_to(self._paths.products.resolve())
            return path if inside and path.is_file() else None
        except (ValidationError, OSError, ValueError, RuntimeError):  # no such name; links in a circle
            return None

    def link(self, origin: str, observation: str, fits_path: str, expires: int, account: str = "") -> str:
        """Return a URL that opens a file until ``expires`` (seconds, Unix).

        With ``account`` it says for whom it was made, so that it can end with what they may read.
        """
        name = PurePosixPath(fits_path).name
        signature = self._signer.sign("file", _signed(observation, name, account), expires)
        whose = f"&account={quote(account)}" if account else ""
        address = f"{origin}{LINK}/{quote(observation)}/{quote(name)}"
        return f"{address}?expires={expires}{whose}&signature={signature}"

    def opens(
        self, observation: str, name: str, expires: int, signature: str, now: float, account: str = ""
    ) -> bool:
        """Tell whether a link is ours and has not ended."""
        signed = _signed(observation, name, account)
        return self._signer.verify("file", signed, expires, signature) and now < expires

    def facts(self, path: Path) -> FileFacts:
        """Return size, time and hash of a file; a file is hashed once, and again when it changes."""
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        with self._lock:
            known = self._hashes.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, file_hash(path))
            with self._lock:
                self._hashes[path] = known
        return FileFacts(path, stat.st_size, stat.st_mtime, f'"{known[1]}"')


def _signed(observation: str, name: str, account: str) -> str:
    return f"{observation}/{name}" + (f"\n{account}" if account else "")
