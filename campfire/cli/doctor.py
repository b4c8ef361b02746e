"""The verb that finds what is wrong and names the fix."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import click

from campfire.cli.account import signed_in_as
from campfire.cli.common import client_options, echo_json, format_size, json_option
from campfire.config import DataPaths, credentials_path, resolve_base_url
from campfire.errors import CampfireError
from campfire.installation import install_line

__all__ = ["doctor_command"]

LOW_DISK = 2 * 1024**3
PACKAGES = ("numpy", "xarray", "dask", "zarr", "astropy", "requests")
EXTRAS = {"scipy": "deploy", "matplotlib": "deploy", "astro-sedpy": "deploy", "plotly": "plotting"}


class Finding(NamedTuple):
    """One thing looked at: whether it is right, what it is, and what to do if it is not."""

    check: str
    ok: bool
    found: str
    fix: str = ""


def _versions() -> Iterator[Finding]:
    yield Finding("python", sys.version_info >= (3, 11), sys.version.split()[0], "use Python 3.11 or newer")
    for name in PACKAGES:
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, "not installed", f"pip install {name}")
    for name, extra in EXTRAS.items():
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, True, f"not installed (optional: {install_line(extra)})")


def _paths(paths: DataPaths) -> Iterator[Finding]:
    folder = paths.root
    while not folder.exists():
        folder = folder.parent
    writable = os.access(folder, os.W_OK)
    yield Finding(
        "data directory",
        True,
        f"{paths.root}{'' if paths.root.exists() else ' (not made yet)'}{'' if writable else ' (read only)'}",
    )
    free = shutil.disk_usage(folder).free
    yield Finding(
        "disk", free > LOW_DISK, f"{format_size(free)} free", "free some space, or set CAMPFIRE_ROOT"
    )
    cache = paths.cache
    made = isinstance(cache, str) or cache.exists()  # one at a URL is not asked for here
    yield Finding("cache", True, f"{cache}{'' if made else ' (not made yet)'}")


def _credentials(base_url: str) -> Iterator[Finding]:
    yield Finding("service", True, base_url)
    path = credentials_path()
    if path.exists() and os.name == "posix" and path.stat().st_mode & 0o077:
        yield Finding("credentials", False, f"{path} can be read by others", f"chmod 600 {path}")
    found = signed_in_as(base_url)
    yield Finding("sign-in", found is not None, found or "nobody is signed in", "campfire login")


def _catalogue(base_url: str, paths: DataPaths) -> Iterator[Finding]:
    from campfire.client import Campfire

    if not paths.database.exists():
        yield Finding("catalogue", False, "there is none yet", "campfire sync")
        return
    with Campfire(base_url, paths.root) as cf:
        cf.stale_files()  # says so if the catalogue is damaged, or that of another service
        if not cf.is_local:
            yield Finding("catalogue", False, "nothing is in it yet", "campfire sync")
        else:
            yield Finding("catalogue", True, f"last synced {cf.last_synced or 'never'}", "")
            files = cf.verify()
            broken = [path for key in ("missing", "changed", "truncated") for path in files[key]]
            found = f"{files['ok']} right, {len(broken)} wrong"
            yield Finding("files", not broken, found, "campfire verify --repair")


def _guarded(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except CampfireError as err:
        yield Finding(name, False, err.message, err.hint or "")


@click.command("doctor", epilog="Example: campfire doctor")
@json_option
@client_options
def doctor_command(as_json: bool, base_url: str | None, data_dir: str | None) -> int:
    """Look at paths, credentials, catalogue, disk and versions: name what is wrong and the fix.

    Nothing is sent anywhere. The exit code is 1 if something is wrong.
    """
    paths = DataPaths.resolve(data_dir)
    findings = list(_versions())
    findings += _guarded("paths", lambda: _paths(paths))
    findings += _guarded("credentials", lambda: _credentials(resolve_base_url(base_url)))
    findings += _guarded("catalogue", lambda: _catalogue(resolve_base_url(base_url), paths))
    if as_json:
        echo_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            sign, color = ("✓", "green") if finding.ok else ("✗", "red")
            click.echo(click.style(f"{sign} {finding.check:<15}", fg=color) + finding.found)
            if not finding.ok and finding.fix:
                click.echo(f"  {'':<15}→ {finding.fix}")
    return 0 if all(finding.ok for finding in findings) else 1
