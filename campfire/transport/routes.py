"""Every route of the service, once, with its path segments percent-encoded."""

from __future__ import annotations

from urllib.parse import quote

__all__ = [
    "CUTOUT",
    "DEVICE",
    "DEVICE_TOKEN",
    "FILE",
    "METADATA",
    "OBJECTS",
    "OBSERVATIONS",
    "REDSHIFT_FIT",
    "REFRESH",
    "REVOKE",
    "SHUTTERS",
    "SPECTRA",
    "SPECTRUM",
    "SYNC_LISTS",
    "SYNC_OBJECTS",
    "SYNC_PHOTOMETRY",
    "SYNC_SPECTRA",
    "VERSION",
    "WHOAMI",
    "manifest",
]

METADATA = "/metadata"
OBSERVATIONS = "/observations"
OBJECTS = "/objects"
SPECTRA = "/spectra/list"

SYNC_OBJECTS = "/sync/objects"
SYNC_SPECTRA = "/sync/spectra"
SYNC_PHOTOMETRY = "/sync/photometry"
SYNC_LISTS = "/sync/lists"

FILE = "/spectra"
SPECTRUM = "/spectrum"
REDSHIFT_FIT = "/redshift-fit"
CUTOUT = "/cutout"
SHUTTERS = "/shutters"
VERSION = "/version"

DEVICE = "/auth/device"
DEVICE_TOKEN = "/auth/device/token"
REFRESH = "/auth/refresh"
REVOKE = "/auth/revoke"
WHOAMI = "/auth/whoami"


def manifest(observation: str) -> str:
    """Return the path of an observation's manifest.

    Examples
    --------
    >>> manifest("a/../b")
    '/observations/a%2F..%2Fb/manifest'
    """
    return f"{OBSERVATIONS}/{quote(observation, safe='')}/manifest"
