"""Where things are: the service, the data directory, the files below it; all resolved in one place."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from campfire.arguments import shown
from campfire.errors import ValidationError

__all__ = [
    "DEFAULT_BASE_URL",
    "DataPaths",
    "as_path",
    "check_url",
    "credentials_path",
    "host_address",
    "is_loopback",
    "is_this_machine",
    "origin",
    "plain_text",
    "resolve_base_url",
    "safe_component",
    "service_name",
    "store_url",
]

DEFAULT_BASE_URL = "https://campfire.hollisakins.com/api/v1"

# Names a server sends become path components only if they look like this: no separator, no leading dot.
_COMPONENT = re.compile(r"[A-Za-z0-9+_][A-Za-z0-9+_.,=@ -]{0,199}")

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def is_loopback(host: str | None) -> bool:
    """Tell whether only this machine answers to a host name or address, however it is written.

    An address that stands for all of a machine's, such as 0.0.0.0, does not: who listens there is heard by
    everybody; see :func:`is_this_machine`.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("example.org")
    (True, True, False)
    >>> is_loopback("127.1"), is_loopback("[::ffff:127.0.0.1]"), is_loopback("x.localhost.")
    (True, True, True)
    """
    name = (host or "").lower().rstrip(".")
    found = host_address(name)
    if found is None:
        return name == "localhost" or name.endswith(".localhost")
    return found.is_loopback


def is_this_machine(host: str | None) -> bool:
    """Tell whether a connection to a host ends at this machine.

    Examples
    --------
    >>> is_this_machine("127.0.0.1"), is_this_machine("0.0.0.0"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    found = host_address((host or "").lower().rstrip("."))
    return is_loopback(host) or (found is not None and found.is_unspecified)


def host_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is written as, or None for a name.

    Examples
    --------
    >>> host_address("[::ffff:10.0.0.1]"), host_address("0xa.1"), host_address("example.org")
    (IPv4Address('10.0.0.1'), IPv4Address('10.0.0.1'), None)
    """
    try:
        found = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        try:
            # Resolvers read 127.1, 0x7f.1 and 2130706433 as addresses, too.
            return IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() else None
        except (OSError, ValueError):
            return None
    return getattr(found, "ipv4_mapped", None) or found


def check_url(url: str, what: str = "URL") -> str:
    """Return ``url`` if it is https (or http on loopback) and carries no user name or password.

    Raises
    ------
    ValidationError
        For anything else; also where readers of addresses disagree on what it names (spaces, backslashes,
        what cannot be seen).
    """
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValidationError(f"{what} {url[:80]!r} is not a URL", hint="write https://host/path")
    try:
        parts = urlsplit(url)
        _ = parts.port  # an out-of-range port is only noticed when it is read
    except ValueError as err:
        raise ValidationError(f"{what} {url!r} is not a URL", hint="write https://host/path") from err
    if parts.username or parts.password:
        # The text is not repeated: it holds a password.
        raise ValidationError(f"{what} holds a user name or password", hint="use `campfire login` instead")
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    if not (secure and parts.hostname):
        shown = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        raise ValidationError(f"{what} {shown!r} is refused", hint="use https:// (http:// only on loopback)")
    return url


def resolve_base_url(base_url: str | None = None) -> str:
    """Return the service's base URL without a trailing slash.

    Parameters
    ----------
    base_url
        What the user passed; else ``CAMPFIRE_API_URL``, else the production server.

    Raises
    ------
    ValidationError
        If it is not https (http is accepted on loopback).
    """
    text = None if base_url is None or base_url == "" else plain_text(base_url, "base URL")
    url = text or os.environ.get("CAMPFIRE_API_URL") or DEFAULT_BASE_URL
    checked = check_url(plain_text(url, "base URL").strip().rstrip("/"), "base URL")
    parts = urlsplit(checked)
    if parts.query or parts.fragment or any(c in checked for c in " ?#\\") or not checked.isprintable():
        raise ValidationError(
            f"base URL {checked!r} is not the address of a service", hint="write https://host/api/v1"
        )
    return checked


def origin(url: str) -> str:
    """Return ``scheme://host:port`` of a URL in one normal form; credentials are bound to it.

    Examples
    --------
    >>> origin("HTTPS://Example.org/api/v1")
    'https://example.org:443'
    """
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme.lower(), 0)
    return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{port}"


def service_name(base_url: str) -> str:
    """Return a base URL in one normal form; what came from a service is noted under it.

    Examples
    --------
    >>> service_name("https://Example.org:443/api/v1/"), service_name("http://localhost:8765/api/v1")
    ('https://example.org/api/v1', 'http://127.0.0.1:8765/api/v1')
    """
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    host = "127.0.0.1" if is_loopback(host) else f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, {"https": 443, "http": 80}.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme.lower()}://{host}{port}{parts.path.rstrip('/')}"


def credentials_path() -> Path:
    """Return the credentials file, ``~/.campfire/credentials`` (folder: ``CAMPFIRE_CONFIG_DIR``)."""
    folder = os.environ.get("CAMPFIRE_CONFIG_DIR")
    return (Path(folder).expanduser() if folder else Path.home() / ".campfire") / "credentials"


def safe_component(text: str, what: str) -> str:
    """Return ``text`` if it can be one component of a path; names from a server come through here.

    Raises
    ------
    ValidationError
        For separators, ``..``, control characters, hidden names, or anything else unusual.

    Examples
    --------
    >>> safe_component("ember_uds_p4", "observation")
    'ember_uds_p4'
    """
    if not isinstance(text, str) or not _COMPONENT.fullmatch(text) or text.endswith((".", " ")):
        raise ValidationError(
            f"{what} {text!r} cannot be used as a file name", hint="expected letters, digits and _ + - ."
        )
    return text


def as_path(value: object, what: str = "path") -> Path:
    """Return a path that a user passed, ``~`` expanded.

    Raises
    ------
    ValidationError
        If it is neither text nor a path, empty, or holds what no file name can (a null character, half a
        surrogate pair).

    Examples
    --------
    >>> as_path("data/x.fits").as_posix()
    'data/x.fits'
    """
    try:
        text = os.fspath(value)  # type: ignore[call-overload]
        if isinstance(text, str) and text and "\0" not in text:
            os.fsencode(text)
            return Path(text).expanduser()
    except (TypeError, UnicodeEncodeError, RuntimeError):  # RuntimeError: there is no home for ~
        pass
    raise ValidationError(f"{what} {value!r} is not a path", hint="pass the path as text")


def store_url(url: str) -> str:
    """Return the URL of a place in an object store, ``s3://bucket/prefix``, in one normal form.

    Raises
    ------
    ValidationError
        For another scheme, and where there is more in it than names: user and password, port, query, ``..``.

    Examples
    --------
    >>> store_url("s3://team-bucket/campfire/cache/")
    's3://team-bucket/campfire/cache'
    """
    hint = "write s3://bucket/prefix; credentials, endpoint and region come from the AWS_ variables"
    scheme, _, rest = url.partition("://")
    if "@" in rest or "?" in rest or "#" in rest:
        # The text is not repeated: it can hold a password.
        raise ValidationError("the URL of an object store holds more than names", hint=hint)
    bucket, *prefix = rest.rstrip("/").split("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket):
        raise ValidationError(f"{url[:80]!r} is not the URL of an object store", hint=hint)
    for part in prefix:
        safe_component(part, "part of the URL")
    return f"s3://{'/'.join([bucket, *prefix])}"


def plain_text(value: object, what: str) -> str:
    """Return text that can be asked for: not empty, and such as can be written down.

    Raises
    ------
    ValidationError
        For anything else.

    Examples
    --------
    >>> plain_text("ember_uds_p4", "object id")
    'ember_uds_p4'
    """
    if isinstance(value, str) and value.strip():
        try:
            value.encode()
        except UnicodeEncodeError:
            pass
        else:
            return value
    hint = f"pass it as text; in a row it is row[{what.replace(' ', '_')!r}]"
    raise ValidationError(
        f"{what} {shown(value)} is not a text", hint=hint if what.endswith(" id") else "pass text, in quotes"
    )


@dataclass(frozen=True)
class DataPaths:
    """The files below one data directory.

    Parameters
    ----------
    root
        The data directory; see :meth:`resolve`.
    """

    root: Path

    @classmethod
    def resolve(cls, data_dir: str | os.PathLike[str] | None = None) -> DataPaths:
        """Return the paths of ``data_dir``, else of ``CAMPFIRE_ROOT``, else of ``~/campfire``."""
        if data_dir is None or data_dir == "":
            data_dir = os.environ.get("CAMPFIRE_ROOT") or Path.home() / "campfire"
        return cls(as_path(data_dir, "data_dir").absolute())

    @property
    def meta(self) -> Path:
        """Folder of the catalogue and its exports."""
        return self.root / "meta"

    @property
    def database(self) -> Path:
        """The catalogue (SQLite)."""
        return self.meta / "campfire.db"

    @cached_property  # asked for with every file
    def products(self) -> Path:
        """FITS files, one folder an observation; shared with the reduction pipeline."""
        return self.root / "products"

    @property
    def imaging(self) -> Path:
        """Mosaics, one folder a field (only where an archive is served from)."""
        return self.root / "imaging"

    @property
    def cutouts(self) -> Path:
        """Cached cutouts and shutters."""
        return self.root / "cutouts"

    @property
    def cache(self) -> Path | str:
        """Pixel cache; ``CAMPFIRE_CACHE_DIR`` moves it, also to a URL of an object store."""
        folder = os.environ.get("CAMPFIRE_CACHE_DIR")
        if folder and "://" in folder:
            return store_url(folder)
        return Path(folder).expanduser() if folder else self.root / "cache"

    def product(self, observation: str, filename: str) -> Path:
        """Return ``products/<observation>/<filename>``, both checked to be plain names.

        Raises
        ------
        ValidationError
            If either could lead out of the products folder.
        """
        return self.products / safe_component(observation, "observation") / safe_component(filename, "file")
