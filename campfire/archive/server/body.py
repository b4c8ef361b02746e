"""Request bodies, read with a limit: JSON objects and browser forms."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from campfire.archive.server.answers import auth_refusal

__all__ = ["form_body", "json_body", "json_object", "json_or_none", "text_of"]

MAX_BYTES = 65536


async def _read(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise auth_refusal(400, "invalid_request", f"the body is larger than {MAX_BYTES} bytes")
    return body


async def json_or_none(request: Request) -> Any:
    """Return the body as JSON, None where it is not (a dependency)."""
    try:
        return json.loads(await _read(request))
    except (ValueError, RecursionError):
        return None


async def json_body(request: Request) -> dict[str, Any]:
    """Return the body as a JSON object, or refuse with 400 (a dependency)."""
    body = await json_or_none(request)
    if not isinstance(body, dict):
        raise auth_refusal(400, "invalid_request", "the body is not a JSON object")
    return body


async def form_body(request: Request) -> dict[str, str]:
    """Return the fields of a URL-encoded form (a dependency)."""
    text = (await _read(request)).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20))
    except ValueError as err:
        raise auth_refusal(400, "invalid_request", "the form is not readable") from err


def text_of(body: dict[str, Any], name: str) -> str:
    """Return a text member of a JSON body, or refuse with 400."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise auth_refusal(400, "invalid_request", f"{name} is missing")
    return value


def json_object(required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the OpenAPI description of a JSON body with text members."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in (*required, *optional)},
        "required": list(required),
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
