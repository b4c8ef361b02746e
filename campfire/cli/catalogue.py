"""Verbs of the local catalogue: sync and status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from campfire.cli.account import signed_in_as
from campfire.cli.common import (
    client_options,
    echo_json,
    format_size,
    json_option,
    make_client,
    note,
    success,
    warn,
)
from campfire.errors import CampfireError

if TYPE_CHECKING:
    from campfire.client import Campfire

__all__ = ["local_overview", "status_command", "sync_command"]


@click.command("sync", epilog="Example: campfire sync")
@click.option("--full", is_flag=True, help="Pull everything again instead of what changed.")
@click.option(
    "--adopt", is_flag=True, help="Take over a catalogue that came from the archive's former address."
)
@json_option
@client_options
def sync_command(full: bool, adopt: bool, as_json: bool, base_url: str | None, data_dir: str | None) -> int:
    """Update the local catalogue from the service: metadata only, no FITS files."""
    with make_client(base_url, data_dir) as cf:
        result = cf.sync(full=full, adopt=adopt)
    if as_json:
        echo_json(result)
        return 0
    received = result.get("received") or {}
    news = ", ".join(f"{count} {name}" for name, count in received.items() if count) or "nothing new"
    success(
        f"{result['objects']} objects, {result['spectra']} spectra in {result['observations']} observations "
        f"(received: {news})"
    )
    if result["stale_count"]:
        warn(f"{result['stale_count']} downloaded files changed on the server: campfire download --stale")
    return 0


def local_overview(cf: Campfire) -> list[dict[str, Any]]:
    """Summarise the local catalogue by observation: spectra there are, and spectra on disk."""
    table = cf.query_spectra(sort="spectrum_id")
    if not len(table):
        return []
    import numpy as np

    names = np.asarray(table["observation"]).astype(str)
    present = ~np.ma.getmaskarray(table["local_path"])
    overview = []
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        overview.append(
            {
                "observation": str(name),
                "program": str(table["program_slug"][rows[0]]),
                "field": str(table["field"][rows[0]]),
                "spectra": len(rows),
                "local": int(present[rows].sum()),
            }
        )
    return overview


@click.command("status", epilog="Example: campfire status --json")
@json_option
@client_options
def status_command(as_json: bool, base_url: str | None, data_dir: str | None) -> int:
    """Show credentials, the local catalogue, downloads and staleness; reads only what is local.

    The exit code is 1 where nobody is signed in.
    """
    with make_client(base_url, data_dir) as cf:
        signed_in = signed_in_as(cf.base_url)
        status: dict[str, Any] = {
            "base_url": cf.base_url,
            "signed_in": signed_in,
            "data_dir": str(cf.data_dir),
            "is_local": cf.is_local,
            "last_synced": cf.last_synced,
            "problem": _problem(cf),
        }
        if cf.is_local:
            overview = local_overview(cf)
            status |= {
                "objects": cf.count_objects(),
                "spectra": sum(row["spectra"] for row in overview),
                "downloaded": sum(row["local"] for row in overview),
                "observations": overview,
                "stale_count": len(cf.stale_files()),
                "disk_bytes": cf.local_bytes(),
            }
    if as_json:
        echo_json(status)
    else:
        _print_status(status)
    return 0 if signed_in else 1


def _problem(cf: Campfire) -> str | None:
    """Return why a catalogue that is there is not used: damaged, or that of another service."""
    try:
        cf.stale_files()
    except CampfireError as err:
        return str(err)
    return None


def _print_status(status: dict[str, Any]) -> None:
    if status["signed_in"]:
        success(f"signed in to {status['base_url']}: {status['signed_in']}")
    else:
        warn(f"not signed in to {status['base_url']}: campfire login")
    click.echo(f"Data directory  {status['data_dir']}")
    if not status["is_local"]:
        click.echo(f"Catalogue       {status['problem'] or 'none yet: campfire sync'}")
        return
    click.echo(f"Catalogue       {status['objects']} objects, {status['spectra']} spectra")
    click.echo(f"Last synced     {status['last_synced'] or 'never'}")
    click.echo(f"Downloaded      {status['downloaded']} files, {format_size(status['disk_bytes'])}")
    for row in status["observations"]:
        if row["local"]:
            complete = " (complete)" if row["local"] == row["spectra"] else f"/{row['spectra']}"
            click.echo(f"  {row['observation']:<30} {row['local']}{complete}")
    if status["stale_count"]:
        note("")
        warn(f"{status['stale_count']} files changed on the server: campfire download --stale")
