"""The verb of reproducibility: lock files, made, checked and reproduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from campfire.cli.common import (
    ListOption,
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
from campfire.cli.files import sync_first
from campfire.errors import DownloadError

if TYPE_CHECKING:
    from campfire.client import Campfire
    from campfire.mirror.lock_report import LockReport

__all__ = ["lock_command"]


@click.command(
    "lock",
    epilog="Examples: campfire lock paper.lock --field uds --grating PRISM; "
    "campfire lock paper.lock --check; campfire lock paper.lock --reproduce",
)
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--obs", cls=ListOption, help="Observations.")
@click.option("--program", cls=ListOption, help="Program slugs.")
@click.option("--field", cls=ListOption, help="Fields.")
@click.option("--grating", cls=ListOption, help="Gratings.")
@click.option("--check", is_flag=True, help="Say what differs from FILE now; reads only what is local.")
@click.option("--reproduce", is_flag=True, help="Download exactly the files of FILE.")
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
@json_option
@client_options
def lock_command(
    file: str,
    obs: tuple[str, ...],
    program: tuple[str, ...],
    field: tuple[str, ...],
    grating: tuple[str, ...],
    check: bool,
    reproduce: bool,
    overwrite: bool,
    as_json: bool,
    base_url: str | None,
    data_dir: str | None,
) -> int:
    """Write down in FILE which spectra a result used: hashes, reductions, and versions of packages.

    Filters narrow each other; without any, every spectrum on this disk is written down. With --check or
    --reproduce, the exit code is 1 if a spectrum is not as it was locked.
    """
    named = (("observations", obs), ("programs", program), ("fields", field), ("gratings", grating))
    filters: dict[str, Any] = {key: list(values) for key, values in named if values}
    if check + reproduce + bool(filters or overwrite) > 1:
        raise click.UsageError("--check, --reproduce, and the options that write FILE exclude each other.")
    with make_client(base_url, data_dir) as cf:
        if check:
            report = cf.check_lock(file)
            if as_json:
                echo_json(report.as_dict())
            else:
                _print_differences(report)
            return 0 if report.ok else 1
        if reproduce:
            return _reproduce(cf, file, as_json)
        lock = cf.lock(file, overwrite=overwrite, **filters)
    absent = sum(entry.hash_of == "archive" for entry in lock.spectra)
    if as_json:
        echo_json({"path": file, "spectra": len(lock), "not_on_disk": absent, "versions": lock.versions})
    else:
        success(f"{len(lock)} spectra locked in {file}")
    if absent:
        warn(f"{absent} of them are not on this disk: their hashes are those of the archive")
    return 0


def _reproduce(cf: Campfire, file: str, as_json: bool) -> int:
    from campfire.mirror.lock_report import LockReport

    sync_first(cf)
    try:
        done = cf.reproduce(file)
    except DownloadError as err:
        if not isinstance(err.report, LockReport):
            raise
        if as_json:
            echo_json(err.report.as_dict())
        else:
            _print_differences(err.report)
        click.secho(f"✗ {err.message}", fg="red", err=True)
        return 1
    if as_json:
        echo_json({**done, "files": done.files})
    else:
        size = format_size(done["bytes"])
        success(f"as locked: {done['downloaded']} downloaded ({size}), {done['skipped']} already here")
    return 0


def _print_differences(report: LockReport) -> None:
    differing = report.differences
    if differing:
        echo_rows(
            ["state", "spectrum_id", "difference"],
            [
                {"state": check.state, "spectrum_id": check.locked.spectrum_id, "difference": str(check)}
                for check in differing
            ],
        )
    counts = ", ".join(f"{number} {state}" for state, number in report.counts.items() if number)
    (success if report.ok else warn)(f"{report.path}: {counts or 'no spectra'}")
    for line in report.notes():
        note(line)
