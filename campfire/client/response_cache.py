"""Answers of the service that are kept on this disk: one folder a server, files put in place as a whole.

They only spare a request: what cannot be read or is damaged is asked for again, and what cannot be written is
not kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from campfire.config import service_name
from campfire.publishing import replacing

__all__ = ["keep_json", "kept_json", "server_folder", "whole_png", "write_whole"]

_log = logging.getLogger("campfire")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"


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


def kept_json(path: Path, keys: Iterable[str]) -> dict[str, Any] | None:
    """Return a kept answer; None where there is none, or what is there is not one with these keys."""
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else None  # a pipe would be waited for
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.keys() >= set(keys) else None


def keep_json(path: Path, answer: object) -> None:
    """Keep an answer, if that is possible."""
    try:
        write_whole(path, json.dumps(answer).encode())
    except OSError as err:  # a folder that cannot be written costs the next call, not this one
        _log.info("%s is not kept: %s", path, err)


def whole_png(path: Path) -> bool:
    """Tell whether a file is a PNG image from its beginning to its end."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            begins = stream.read(len(_PNG)) == _PNG
            stream.seek(-len(_PNG_END), os.SEEK_END)
            return begins and stream.read() == _PNG_END
    except OSError:  # also of a file that is shorter than that
        return False


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(content)
