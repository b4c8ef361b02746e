"""Warnings, told at the line of the user's own code, however deep in the client they arise."""

from __future__ import annotations

import sys
import warnings

from campfire.errors import CampfireWarning

__all__ = ["tell"]


def tell(message: str) -> None:
    """Give a :class:`campfire.errors.CampfireWarning` at the first line that is not of this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("campfire."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, CampfireWarning, stacklevel=level)
