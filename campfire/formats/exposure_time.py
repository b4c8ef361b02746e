"""The exposure time of a spectrum, whoever wrote its header."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["exposure_time", "finite_number"]


def finite_number(value: object) -> float | None:
    """Return a finite number as float; None for everything else a header may hold.

    Examples
    --------
    >>> finite_number(3), finite_number("3"), finite_number(True), finite_number(float("nan"))
    (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond the floats
        return None
    return number if math.isfinite(number) else None


def _seconds(value: object) -> float | None:
    seconds = finite_number(value)
    return seconds if seconds is not None and seconds > 0 else None


def exposure_time(header: Mapping[str, Any], layout: str = "") -> float | None:
    """Return the total exposure time on the source in seconds, or None where a file does not say it.

    In products of CAMPFIRE and of the JWST pipeline it is EFFEXPTM (TEXPTIME in older ones), which sums over
    everything that was combined. msaexp copies the header of the first exposure, so that there EFFEXPTM is
    that of one exposure; EXPTIME is the sum (since msaexp 0.9), and else NCOMBINE says of how many.

    Parameters
    ----------
    header
        The merged header.
    layout
        ``campfire``, ``msaexp`` or ``x1d``; by default told by the header: CMPFRVER or NSTACK is CAMPFIRE's,
        else EXPTIME and NCOMBINE are msaexp's.

    Examples
    --------
    >>> exposure_time({"EXPTIME": 2626.0, "EFFEXPTM": 525.2, "NCOMBINE": 5})
    2626.0
    >>> exposure_time({"EFFEXPTM": 8753.3, "NCOMBINE": 3}, "x1d")
    8753.3
    """
    one = _seconds(header.get("EFFEXPTM"))
    if (layout or _writer(header)) != "msaexp":
        return one if one is not None else _seconds(header.get("TEXPTIME"))
    if (total := _seconds(header.get("EXPTIME"))) is not None:
        return total
    combined = header.get("NCOMBINE")
    if one is None or type(combined) is not int or combined <= 0:
        return one
    return _seconds(one * float(combined))


def _writer(header: Mapping[str, Any]) -> str:
    if "CMPFRVER" in header or "NSTACK" in header:
        return "campfire"
    return "msaexp" if "EXPTIME" in header or "NCOMBINE" in header else "x1d"
