"""Verbs of files: download, verify, and the pixel cache."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from campfire.cli.catalogue import local_overview
from campfire.cli.common import (
    ListOption,
    asking,
    client_options,
    echo_json,
    echo_rows,
    format_size,
    json_option,
    make_client,
    note,
    success,
    warn,
)
from campfire.config import DataPaths
from campfire.errors import CampfireError, DownloadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campfire.client import Campfire

__all__ = ["cache_command", "download_command", "sync_first", "verify_command"]

PAGER_ROWS = 30


@click.command(
    "download",
    epilog="Examples: campfire download --obs ember_uds_p4 ember_uds_p5 --grating PRISM; "
    "campfire download --stale --yes; campfire download --lock paper.lock --dry-run",
)
@click.option("--obs", cls=ListOption, help="Observations.")
@click.option("--program", cls=ListOption, help="Program slugs.")
@click.option("--field", cls=ListOption, help="Fields.")
@click.option("--grating", cls=ListOption, help="Gratings.")
@click.option("--stale", is_flag=True, help="Only files that changed on the server.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--lock", type=click.Path(dir_okay=False), help="Exactly the files of this lock file.")
@click.option(
    "--workers", type=click.IntRange(1, 32), default=4, show_default=True, help="Parallel downloads."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@json_option
@client_options
def download_command(
    obs: tuple[str, ...],
    program: tuple[str, ...],
    field: tuple[str, ...],
    grating: tuple[str, ...],
    stale: bool,
    everything: bool,
    lock: str | None,
    workers: int,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    base_url: str | None,
    data_dir: str | None,
) -> int:
    """Download FITS files: synchronise, show the plan, ask, fetch in parallel, verify every file.

    Filters narrow each other. Without any, the observations are listed. The exit code is 1 if a file failed.
    """
    with make_client(base_url, data_dir) as cf:
        sync_first(cf)
        filters: dict[str, Any] = {
            key: list(values)
            for key, values in (
                ("observations", obs),
                ("programs", program),
                ("fields", field),
                ("gratings", grating),
            )
            if values
        }
        if not (filters or stale or everything or lock):
            return _list_observations(cf, as_json)
        options = filters | {"stale_only": stale, "everything": everything, "lock": lock}
        options["max_workers"] = workers
        plan = cf.download(**options, dry_run=True)
        planned = [entry for entry in plan.files if entry["state"] == "planned"]
        size = sum(entry["bytes"] for entry in planned)
        back = sum(entry["bytes"] == 0 for entry in planned) if lock else 0
        counts = {
            "to download": len(planned) - back,
            "to put back": back,
            "already here": plan["skipped"],
            "local": plan["local"],
            "cannot be had": plan["failed"],
        }
        parts = [f"{number} {what}" for what, number in counts.items() if number or what == "to download"]
        note(f"{', '.join(parts)}: {format_size(size)}")
        if dry_run or not planned:
            return _report(plan, as_json, dry_run=dry_run)
        if not yes:
            with asking("pass --yes to download without being asked"):
                yes = click.confirm("Proceed?", default=True, err=True)
        if not yes:
            note("nothing downloaded")
            return 1
        try:
            report: Any = cf.download(**options)
        except DownloadError as err:
            if err.report is None:
                raise
            # of a lock file, the report compares; what there is to say of each file is in a new plan
            report = err.report if lock is None else cf.download(**options, dry_run=True)
        return _report(report, as_json, dry_run=False)


def sync_first(cf: Campfire) -> None:
    """Synchronise; where that fails and there is a catalogue already, say so and go on with it."""
    try:
        cf.sync()
    except CampfireError as err:
        if not cf.is_local:
            raise
        warn(f"could not synchronise, going on with the catalogue of {cf.last_synced}: {err}")


def _list_observations(cf: Campfire, as_json: bool) -> int:
    overview = local_overview(cf)
    if as_json:
        echo_json(overview)
        return 0

    def local(row: Mapping[str, Any]) -> str:
        if not row["local"]:
            return ""
        return (
            f"{row['local']} (complete)"
            if row["local"] == row["spectra"]
            else f"{row['local']}/{row['spectra']}"
        )

    names = ["OBSERVATION", "PROGRAM", "FIELD", "SPECTRA", "LOCAL"]
    rows = [
        dict(zip(names, (r["observation"], r["program"], r["field"], r["spectra"], local(r)), strict=True))
        for r in overview
    ]
    if sys.stdout.isatty() and len(rows) > PAGER_ROWS:
        widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in names}
        lines = ["  ".join(f"{value!s:<{widths[name]}}" for name, value in row.items()) for row in rows]
        click.echo_via_pager("\n".join(["  ".join(f"{n:<{widths[n]}}" for n in names), *lines]))
    else:
        echo_rows(names, rows)
    note("Choose some: campfire download --obs NAME ... (or --program, --field, --grating, --all)")
    return 0


def _report(report: Any, as_json: bool, *, dry_run: bool) -> int:
    failed = [entry for entry in report.files if entry["state"] == "failed"]
    if as_json:
        echo_json({**report, "files": report.files})
    elif dry_run:
        echo_rows(["spectrum_id", "state", "bytes", "path"], report.files)
    elif not failed:
        size = format_size(report["bytes"])
        success(f"{report['downloaded']} downloaded ({size}), {report['skipped']} already here")
    for entry in failed:
        error = str(entry["error"]).removeprefix(f"{entry['spectrum_id']}: ")
        click.secho(f"✗ {entry['spectrum_id']}: {error}", fg="red", err=True)
    if failed:
        warn(f"{len(failed)} of {len(report.files)} files failed; the same command tries them again")
    return 1 if failed else 0


@click.command("verify", epilog="Example: campfire verify --repair")
@click.option("--repair", is_flag=True, help="Fetch again what is missing, changed or truncated.")
@json_option
@client_options
def verify_command(repair: bool, as_json: bool, base_url: str | None, data_dir: str | None) -> int:
    """Check the downloaded files by their hash; what has not changed since is not read again.

    The exit code is 1 if a file is missing, changed or truncated.
    """
    with make_client(base_url, data_dir) as cf:
        result = cf.verify(repair=repair)
    problems = {key: result[key] for key in ("missing", "changed", "truncated") if result[key]}
    if as_json:
        echo_json(result)
    else:
        success(f"{result['ok']} files are right, {len(result['untracked'])} are not of the archive")
        for key, paths in problems.items():
            for path in paths:
                click.secho(f"✗ {key}: {path}", fg="red", err=True)
    return 1 if problems else 0


@click.group("cache", epilog="Example: campfire cache info")
def cache_command() -> None:
    """Manage the pixel cache of collections; it is always safe to delete."""


_data_dir = click.option("--data-dir", default=None, help="Data directory [CAMPFIRE_ROOT].")


@cache_command.command("info", epilog="Example: campfire cache info --json")
@_data_dir
@json_option
def cache_info(data_dir: str | None, as_json: bool) -> int:
    """Show what the cache holds."""
    from campfire.collection import cache_maintenance

    info = cache_maintenance.info(DataPaths.resolve(data_dir).cache)
    if as_json:
        echo_json(info)
    else:
        for key, value in info.items():
            click.echo(f"{key:<12} {format_size(float(str(value))) if key == 'bytes' else value}")
    return 0


@cache_command.command("build", epilog="Example: campfire cache build")
@_data_dir
def cache_build(data_dir: str | None) -> int:
    """Read every downloaded spectrum into the cache, so that collections open at once."""
    with make_client(None, data_dir) as cf:
        count = cf.build_cache()
    success(f"{count} spectra in the cache")
    return 0


@cache_command.command("prune", epilog="Example: campfire cache prune")
@_data_dir
def cache_prune(data_dir: str | None) -> int:
    """Delete stores of former layouts."""
    from campfire.collection import cache_maintenance

    freed = cache_maintenance.prune(DataPaths.resolve(data_dir).cache)
    success(f"freed {format_size(freed)}")
    return 0


@cache_command.command("compact", epilog="Example: campfire cache compact")
@_data_dir
def cache_compact(data_dir: str | None) -> int:
    """Rewrite the cache without rows of files that are no longer here."""
    with make_client(None, data_dir) as cf:
        freed = cf.compact_cache()
    success(f"freed {format_size(freed)}")
    return 0
