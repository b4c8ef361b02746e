"""Answers of the service that are kept on this disk: one folder a server, files put in place as a whole."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["server_folder", "write_whole"]


def server_folder(base: Path, base_url: str) -> Path:
    """Return the folder below ``base`` for what a server said.

    Examples
    --------
    >>> server_folder(Path("cutouts"), "https://archive.example.org/api/v1").as_posix()
    'cutouts/archive.example.org'
    """
    parts = urlsplit(base_url)
    return base / re.sub(r"[^A-Za-z0-9.-]+", "_", f"{parts.hostname}_{parts.port or ''}").strip("_")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
