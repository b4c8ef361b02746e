"""The page itself: one HTML text with its style and script in it, which loads nothing from anywhere."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING

from campfire.linelist import EMISSION_LINES

if TYPE_CHECKING:
    from campfire.typing import Row

__all__ = ["page_html", "page_policy"]

_SCRIPTS = ("figures.js", "viewer.js")


@functools.cache
def _asset(*names: str) -> str:
    folder = resources.files(__package__)
    return "\n".join(folder.joinpath(name).read_text("utf-8") for name in names)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def page_policy() -> str:
    """Return the Content-Security-Policy of the page: its own script and style, and data of its own origin.

    Examples
    --------
    >>> "unsafe" in page_policy(), page_policy().partition(";")[0]
    (False, "default-src 'none'")
    """
    return (
        f"default-src 'none'; script-src {_hash(_asset(*_SCRIPTS))}; "
        f"style-src {_hash(_asset('viewer.css'))}; "
        "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'"
    )


def page_html(settings: Row, *, title: str = "CAMPFIRE", policy: bool = False) -> str:
    """Return the page.

    Parameters
    ----------
    settings
        What the script is given: ``{"objects": [...]}``, or what a server says of whoever looks. Any text in
        it is data: it cannot end the element it is in, and the script writes it as text only.
    title
        Plain text.
    policy
        Put the policy into the page, for a file that no server sends.
    """
    from html import escape

    lines = [{"name": line["name"], "wave": line["wave"], "color": line["color"]} for line in EMISSION_LINES]
    data = json.dumps({"lines": lines, **settings}, allow_nan=False, separators=(",", ":"))
    data = data.replace("<", "\\u003c")
    meta = (
        f'<meta http-equiv="Content-Security-Policy" content="{escape(page_policy())}">\n' if policy else ""
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{meta}'
        f"<title>{escape(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<style>{_asset('viewer.css')}</style>\n</head>\n<body>\n"
        f'<script type="application/json" id="settings">{data}</script>\n'
        f"<script>{_asset(*_SCRIPTS)}</script>\n</body>\n</html>\n"
    )
