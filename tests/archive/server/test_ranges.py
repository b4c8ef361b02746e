"""Statements checked: parts of files as RFC 9110 §13-14 asks, for any range, validator and file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.archive.server.ranges import FileFacts, file_answer

CONTENT = bytes(range(256)) * 5
ETAG = '"sha256:0123"'


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> FileFacts:
    path = tmp_path_factory.mktemp("ranges") / "x_spec.fits"
    path.write_bytes(CONTENT)
    return FileFacts(path, len(CONTENT), 1_700_000_000.0, ETAG)


def fetch(facts: FileFacts, *, body: bool = True, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Run the answer as ASGI and return status, headers and body."""
    answer = file_answer(facts, {name.replace("_", "-"): value for name, value in headers.items()}, body=body)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    asyncio.run(answer({"type": "http", "method": "GET", "headers": []}, receive, send))
    return answer.status_code, dict(answer.headers), b"".join(m.get("body", b"") for m in sent[1:])


def test_whole_file(facts: FileFacts) -> None:
    status, headers, body = fetch(facts)
    assert (status, body) == (200, CONTENT)
    assert headers["etag"] == ETAG
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["accept-ranges"] == "bytes"
    assert headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"


@given(st.integers(0, 1400), st.one_of(st.none(), st.integers(0, 1400)))
def test_a_range_is_the_slice(facts: FileFacts, first: int, last: int | None) -> None:
    status, headers, body = fetch(facts, range=f"bytes={first}-{'' if last is None else last}")
    if last is not None and last < first:
        assert (status, body) == (200, CONTENT)
    elif first >= len(CONTENT):
        assert status == 416
        assert headers["content-range"] == f"bytes */{len(CONTENT)}"
    else:
        stop = len(CONTENT) if last is None else min(last + 1, len(CONTENT))
        assert (status, body) == (206, CONTENT[first:stop])
        assert headers["content-range"] == f"bytes {first}-{stop - 1}/{len(CONTENT)}"


@given(st.integers(1, 1400))
def test_a_suffix_range_is_the_end(facts: FileFacts, count: int) -> None:
    status, _, body = fetch(facts, range=f"bytes=-{count}")
    assert (status, body) == (206, CONTENT[-count:])


@pytest.mark.parametrize(
    "text", ["bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes=9-3", "", "0-4"]
)
def test_what_is_not_understood_is_ignored(facts: FileFacts, text: str) -> None:
    assert fetch(facts, range=text)[0] == 200


def test_if_range(facts: FileFacts) -> None:
    modified = fetch(facts)[1]["last-modified"]
    assert fetch(facts, range="bytes=0-3", if_range=ETAG)[0] == 206
    assert fetch(facts, range="bytes=0-3", if_range=modified)[0] == 206
    assert fetch(facts, range="bytes=0-3", if_range='"sha256:other"')[0] == 200
    assert fetch(facts, range="bytes=0-3", if_range=f"W/{ETAG}")[0] == 200


@pytest.mark.parametrize("text", [ETAG, "*", f'"x", {ETAG}', f"W/{ETAG}"])
def test_if_none_match(facts: FileFacts, text: str) -> None:
    status, headers, body = fetch(facts, if_none_match=text)
    assert (status, body, headers["etag"]) == (304, b"", ETAG)
    assert fetch(facts, if_none_match='"x"')[0] == 200


def test_head_has_the_headers_of_get(facts: FileFacts) -> None:
    status, headers, body = fetch(facts, body=False)
    assert (status, headers["content-length"], body) == (200, str(len(CONTENT)), b"")


def test_no_part_of_an_empty_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    facts = FileFacts(empty, 0, 0.0, ETAG)
    assert fetch(facts)[0] == 200
    assert fetch(facts, range="bytes=0-")[0] == 416
    assert fetch(facts, range="bytes=-5")[0] == 416
    assert fetch(facts, range="bytes=-0")[0] == 416
