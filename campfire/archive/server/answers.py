"""How the server answers: JSON bodies, and the two shapes of errors."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request, Response

__all__ = ["Refusal", "answer", "answer_embedding", "auth_refusal", "on_refusal", "refusal"]

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Refusal(Exception):
    """Ends a request with a status and a JSON body."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("error")))
        self.status = status
        self.body = body


def refusal(status: int, text: str) -> Refusal:
    """Return the error of a data endpoint: ``{"error": text}``."""
    return Refusal(status, {"error": text})


def auth_refusal(status: int, code: str, description: str, *, interval: int | None = None) -> Refusal:
    """Return the error of an auth endpoint: ``{"error": code, "error_description": ...}``."""
    body: dict[str, Any] = {"error": code, "error_description": description}
    return Refusal(status, body if interval is None else body | {"interval": interval})


def answer(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return ``body`` as JSON.

    Rows come from SQL as plain values, so they go to the C encoder as they are: validating a page of 1000
    rows against a model would cost ten times what the query does.
    """
    content = _ENCODER.encode(body).encode("utf-8", "surrogatepass")
    return Response(content, status_code=status, headers=headers, media_type="application/json")


def answer_embedding(body: dict[str, Any], column: str) -> Response:
    """Return ``body`` as JSON, where ``column`` of the rows in ``data`` holds JSON text already."""
    texts = [row.pop(column) for row in body["data"]]
    rows = (
        f'{_ENCODER.encode(row)[:-1]},"{column}":{text}}}'
        for row, text in zip(body["data"], texts, strict=True)
    )
    rest = _ENCODER.encode({name: value for name, value in body.items() if name != "data"})
    content = f'{{"data":[{",".join(rows)}],{rest[1:]}'.encode("utf-8", "surrogatepass")
    return Response(content, media_type="application/json")


def on_refusal(request: Request, error: Exception) -> Response:
    """Exception handler of :class:`Refusal`."""
    del request
    if not isinstance(error, Refusal):
        raise error
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return answer(error.body, status=error.status, headers=headers)
