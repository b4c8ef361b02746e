"""Answers of the service that are kept on this disk: one folder a server, files put in place as a whole."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

from campfire.config import service_name

__all__ = ["server_folder", "write_whole"]


def server_folder(base: Path, base_url: str) -> Path:
    """Return the folder below ``base`` for what a server said.

    Examples
    --------
    >>> server_folder(Path("cutouts"), "https://archive.example.org/api/v1").as_posix()
    'cutouts/archive.example.org'
    """
    name = service_name(base_url)
    scheme, _, rest = name.partition("://")
    host, _, path = rest.partition("/")
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", host).strip("_")
    if (scheme, path) == ("https", "api/v1"):
        return base / plain
    # Two services must never share a folder, however alike their names look as one.
    return base / f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
