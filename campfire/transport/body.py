"""Reading the body of an answer that is no file: within limits of bytes, packed and unpacked, and of time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from campfire.errors import APIError
from campfire.transport.problems import bare_url, printable
from campfire.transport.response_limits import Allowance

if TYPE_CHECKING:
    import requests

__all__ = ["ENCODING", "MOST_BYTES", "read_body", "too_much"]

MOST_BYTES = 64 * 2**20
"""Bytes of an answer that is not a file, unpacked: thirty times the largest page of the service."""
MOST_ERROR_BYTES = 2**20
"""The same of an error."""
MOST_ERROR_SECONDS = 10.0
"""Seconds for the explanation of an error; its status is known already."""
ENCODING = "gzip"
"""How answers may be packed, unpacked here by bounded steps: others grow a million times in a single one."""
_PIECE = 2**16
_HINT = "is base_url a CAMPFIRE service, with its /api/v1?"


def read_body(response: requests.Response, allowance: Allowance, url: str) -> None:
    """Read the body of an answer, as far as it is allowed; the connection is free again afterwards.

    An error is read as far as it comes: what does not come says nothing against its status.

    Raises
    ------
    APIError
        If it is too long, takes too long, or is packed in a way that was not asked for.
    requests.RequestException
        If it breaks off.
    """
    import requests
    from urllib3.exceptions import HTTPError

    success = response.status_code // 100 == 2
    most = MOST_BYTES if success else MOST_ERROR_BYTES
    if not success:
        allowance = Allowance(min(MOST_ERROR_SECONDS, allowance.seconds), 2 * MOST_ERROR_BYTES)
    parts: list[bytes] = []
    broken: Exception | None = None
    size = 0
    try:
        with allowance.spent():
            for part in _unpacked(response, most):
                parts.append(part[: most - size])
                size += len(part)
                if size > most:
                    allowance.over = f"is longer than {most} bytes"
                    break
    except (HTTPError, OSError, ValueError, zlib.error, EOFError) as err:  # ValueError: a chunk of -5 bytes
        broken = err
    except _Packed as err:
        allowance.over = str(err)
    finally:
        if broken is not None or allowance.over is not None:
            response.close()
    response._content = b"".join(parts)  # as requests itself does, for what it reads at once
    if not success:
        return
    if allowance.over is not None:
        raise too_much(allowance, url) from None
    if broken is not None:
        raise requests.exceptions.ChunkedEncodingError(type(broken).__name__) from None


def too_much(allowance: Allowance, url: str) -> APIError:
    """Return the error for an answer that takes more than it may."""
    where = bare_url(url)
    return APIError(f"the answer of {where} {allowance.over}", hint=_HINT, url=where)


class _Packed(Exception):
    """The content is packed in a way that was not asked for."""


def _unpacked(response: requests.Response, most: int) -> Iterator[bytes]:
    if getattr(response, "_content_consumed", False):  # a session of the user's has read it already
        yield response.content
        return
    wire = response.raw.stream(_PIECE, decode_content=False)
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        yield from wire
        return
    if coding not in ("gzip", "x-gzip"):
        raise _Packed(f"is packed as {printable(coding)!r}, which was not asked for")
    unpack = zlib.decompressobj(31)
    for part in wire:
        yield unpack.decompress(part, most + 1)
        if unpack.unconsumed_tail:
            return  # more came than may be there
    if not unpack.eof:
        raise EOFError
