"""What an accessor shows of itself: its methods as a table, and near names where one is mistyped."""

from __future__ import annotations

import inspect
import re
from html import escape
from typing import Any

from campfire.arguments import did_you_mean

__all__ = ["Listed"]

_ROLE = re.compile(r":\w+:`~?([^`]+)`")


class Listed:
    """Base class of the accessors."""

    _title = ""

    def __getattr__(self, name: str) -> Any:
        # Only called for what is not there. Protocols look for dunders, and want no advice.
        message = f"{self._title} has no {name!r}"
        if not name.startswith("_"):
            offered = [method for method, _, _ in _methods(type(self))]
            message += f" ({did_you_mean(name, offered)})"
        raise AttributeError(message, name=name, obj=self)

    def __repr__(self) -> str:
        rows = [(f"{name}({parameters})", summary) for name, parameters, summary in _methods(type(self))]
        width = max(len(call) for call, _ in rows)
        return "\n".join([self._title, *(f"  {call:<{width}}  {summary}" for call, summary in rows)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'><code>{escape(name)}({escape(parameters)})</code></td>"
            f"<td style='text-align:left'>{escape(summary)}</td></tr>"
            for name, parameters, summary in _methods(type(self))
        )
        return f"<table><caption><code>{escape(self._title)}</code></caption><tbody>{rows}</tbody></table>"


def _methods(kind: type) -> list[tuple[str, str, str]]:
    """Return name, parameters and first line of the documentation of every public method."""
    found = []
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            names = list(inspect.signature(method).parameters)[1:]
            parameters = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            found.append((name, parameters, _summary(method)))
    return found


def _summary(method: Any) -> str:
    first = (inspect.getdoc(method) or "").split("\n\n")[0].replace("\n", " ")
    plain = _ROLE.sub(r"\1", first).replace("``", "")
    return re.split(r"; see |\. |: options", plain)[0].removesuffix(".") + "."
