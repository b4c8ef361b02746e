"""Conditional and partial requests for one file (RFC 9110 §13, §14)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from fastapi import Response
from starlette.responses import StreamingResponse

__all__ = ["FileFacts", "file_answer"]

CHUNK = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the headers say of a file; ``etag`` is its hash in quotes, so it is a strong validator."""

    path: Path
    size: int
    mtime: float
    etag: str


def file_answer(facts: FileFacts, headers: Mapping[str, str], *, body: bool = True) -> Response:
    """Answer a GET or HEAD for a file: 200, 206, 304 or 416.

    Parameters
    ----------
    facts
        The file.
    headers
        Request headers, names in lower case.
    body
        Whether the bytes are sent, or only the headers (HEAD).
    """
    modified = formatdate(facts.mtime, usegmt=True)
    common = {
        "ETag": facts.etag,
        "Last-Modified": modified,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
    }
    if _matches(headers.get("if-none-match"), facts.etag):
        return Response(status_code=304, headers=common)
    wanted = headers.get("range")
    condition = headers.get("if-range")
    if wanted is not None and condition is not None and condition.strip() not in (facts.etag, modified):
        wanted = None  # the client's first part is of another file: it gets the whole of this one
    if wanted is not None and not _understood(wanted):
        wanted = None  # a range that cannot be read is to be ignored
    span = _span(wanted, facts.size)
    if span is None:
        return Response(status_code=416, headers={**common, "Content-Range": f"bytes */{facts.size}"})
    start, stop = span
    common["Content-Length"] = str(stop - start)
    status = 200
    if wanted is not None:
        status = 206
        common["Content-Range"] = f"bytes {start}-{stop - 1}/{facts.size}"
    if not body or stop - start <= CHUNK:
        # One piece: read here, in the thread that runs already, it costs no further ones.
        content = b"".join(_chunks(facts.path, start, stop)) if body else b""
        return Response(content, status, common, media_type="application/fits")
    return StreamingResponse(_chunks(facts.path, start, stop), status, common, media_type="application/fits")


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or etag in [item.strip().removeprefix("W/") for item in header.split(",")]


def _understood(wanted: str) -> bool:
    """Tell whether a Range header asks for one readable span (several at once are not served)."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or not any(match.groups()):
        return False
    first, last = match.groups()
    return not (first and last) or int(first) <= int(last)


def _span(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Return start and end of the bytes to send, all where no part is asked for; None: no such part."""
    if wanted is None:
        return 0, size
    first, _, last = wanted.strip().removeprefix("bytes=").partition("-")
    if not first:
        return (max(size - int(last), 0), size) if int(last) and size else None
    return (int(first), min(int(last) + 1, size) if last else size) if int(first) < size else None


def _chunks(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        left = stop - start
        while left > 0 and (chunk := stream.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
