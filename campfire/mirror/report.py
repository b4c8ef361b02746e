"""What a download did, file by file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypedDict

__all__ = ["DownloadReport", "FileEntry"]

FileState = Literal["downloaded", "skipped", "failed", "local", "planned"]
_COUNTS: tuple[FileState, ...] = ("downloaded", "failed", "skipped", "local", "planned")


class FileEntry(TypedDict):
    """One file: ``bytes`` came over the wire, or will (``planned``)."""

    spectrum_id: str
    path: str
    state: FileState
    bytes: int
    error: str | None


class DownloadReport(Mapping[str, int]):
    """A mapping of counts, with the files behind them.

    ``downloaded``, ``failed``, ``skipped`` (up to date already), ``local`` (somebody's own file, kept) and
    ``planned`` (of a dry run) count files; ``bytes`` came over the wire.

    Parameters
    ----------
    files
        One entry a file.

    Examples
    --------
    >>> entry = FileEntry(spectrum_id="a", path="a.fits", state="downloaded", bytes=10, error=None)
    >>> DownloadReport([entry])["downloaded"]
    1
    """

    def __init__(self, files: list[FileEntry]) -> None:
        self.files = files

    def __getitem__(self, key: str) -> int:
        if key == "bytes":
            return sum(entry["bytes"] for entry in self.files if entry["state"] != "planned")
        if key in _COUNTS:
            return sum(entry["state"] == key for entry in self.files)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter((*_COUNTS, "bytes"))

    def __len__(self) -> int:
        return len(_COUNTS) + 1

    @property
    def failures(self) -> list[FileEntry]:
        """The files that failed, each with its ``error``."""
        return [entry for entry in self.files if entry["state"] == "failed"]

    def __repr__(self) -> str:
        return f"DownloadReport({', '.join(f'{key}={self[key]}' for key in self)})"
