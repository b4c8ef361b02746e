"""A tiny HTTP server that answers as a test says, on a real socket, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["Asked", "Reply", "Stub", "stub_server"]


@dataclass
class Asked:
    """One request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """One answer: ``stall`` seconds pass first, and after ``cut`` bytes of the body the connection breaks."""

    status: int = 200
    body: bytes | str | Mapping[str, Any] | list[Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    stall: float = 0.0


Answer = Reply | Callable[[Asked], Reply]


class Stub:
    """Paths and their answers; a list of answers is used up one by one, the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        self.url = ""
        self.lock = threading.Lock()

    def on(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    def to(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def answer(self, asked: Asked) -> Reply:
        with self.lock:
            self.asked.append(asked)
            waiting = self.answers.get(asked.path) or self.answers.get("*")
            if not waiting:
                return Reply(404, {"error": f"no such path {asked.path}"})
            chosen = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return chosen if isinstance(chosen, Reply) else chosen(asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stub: Stub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # clients are killed on purpose
            super().handle()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        asked = Asked(self.command, parts.path, query, dict(self.headers), self.rfile.read(length), self.path)
        reply = self.stub.answer(asked)
        time.sleep(reply.stall)
        body, kind = reply.body, "application/octet-stream"
        if isinstance(body, str):
            body, kind = body.encode(), "text/html"
        elif not isinstance(body, bytes):
            body, kind = json.dumps(body).encode(), "application/json"
        headers = {"Content-Type": kind, "Content-Length": str(len(body))} | reply.headers
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body if reply.cut is None else body[: reply.cut])
        except OSError:
            self.close_connection = True
        if reply.cut is not None:
            self.close_connection = True

    do_GET = do_POST = _serve


@contextmanager
def stub_server() -> Iterator[Stub]:
    """Serve a :class:`Stub` while the block runs."""
    stub = Stub()
    handler = type("Handler", (_Handler,), {"stub": stub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
