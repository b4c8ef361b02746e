"""Verbs of those who have an archive: demo, simulate, index, serve, user."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from campfire.cli.common import asking, echo_json, echo_rows, json_option, note, success, warn
from campfire.config import DataPaths
from campfire.errors import ValidationError
from campfire.installation import missing_extra
from campfire.progress import progress_bars

__all__ = ["demo_command", "index_command", "serve_command", "simulate_command", "user_command"]


@click.command("demo", epilog="Example: campfire demo --root /tmp/demo --objects 30")
@click.option(
    "--root", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder."
)
@click.option("--objects", type=click.IntRange(1), default=60, show_default=True, help="Number of objects.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the simulation.")
@click.option("--serve", "keep_serving", is_flag=True, help="Keep serving the archive afterwards.")
def demo_command(root: Path, objects: int, seed: int, keep_serving: bool) -> int:
    """Simulate an archive, serve it on loopback, and do the main job through the real client.

    Login, sync, query, download, open, calibrate, stack, a lazy collection, and pictures of it all.
    """
    from campfire.demo import run_demo

    run_demo(root, objects=objects, seed=seed, keep_serving=keep_serving)
    return 0


@click.command("simulate", epilog="Example: campfire simulate ./archive --objects 60 --seed 1")
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--objects", type=click.IntRange(1), default=60, show_default=True, help="Number of objects.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed; the same seed gives the same files."
)
def simulate_command(root: Path, objects: int, seed: int) -> int:
    """Make a simulated archive with known truth in ROOT: catalogue, FITS files, mosaics, shutters."""
    from campfire.archive.simulate.archive import make_archive

    with progress_bars() as progress:
        make_archive(root, objects=objects, seed=seed, progress=progress)
    success(f"{objects} objects in {root}; serve them with `campfire serve {root} --open`")
    return 0


_SAID = {"ignored": "left out"}


@click.command("index", epilog="Example: campfire index ./archive --photometry catalogue.ecsv --field cosmos")
@click.argument("root", type=click.Path(path_type=Path))
@click.option(
    "--photometry", type=click.Path(path_type=Path), help="Table attached by position (ECSV, FITS, CSV)."
)
@click.option("--field", default=None, help="Field of the products found.")
@click.option("--match-radius", type=float, default=0.3, show_default=True, help="Grouping radius in arcsec.")
@json_option
def index_command(
    root: Path, photometry: Path | None, field: str | None, match_radius: float, as_json: bool
) -> int:
    """Build or update the catalogue of ROOT from the 1-D spectra found in it; no server is needed.

    Files of CAMPFIRE, DJA, msaexp, CEERS, JADES and the JWST pipeline are taken as they are; what is left out
    is listed with the reason. Spectra within the match radius are one object. Tags and inspections are kept.
    A broken file is named and the rest indexed; the exit code is then 1.
    """
    from campfire.archive.indexing.index import index_root

    with progress_bars() as progress:
        report = index_root(
            root, photometry=photometry, field=field, match_radius=match_radius, progress=progress
        )
    if as_json:
        echo_json(report)
    else:
        counts = {
            key: len(value) if isinstance(value, list | dict) else value for key, value in report.items()
        }
        success(", ".join(f"{count} {_SAID.get(key, key)}" for key, count in counts.items()))
    broken = report.get("broken") or []
    for entry in broken:
        warn(f"not indexed: {entry}")
    reasons: dict[str, list[str]] = {}
    for entry in report["ignored"]:
        path, _, why = entry.partition(": ")
        reasons.setdefault(why.replace(Path(path).name, "it"), []).append(path)
    for why, paths in reasons.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        note(f"left out: {paths[0]}{more}: {why}")
    return 1 if broken else 0


@click.command("serve", epilog="Example: campfire serve ./archive --port 0 --open")
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 picks one."
)
@click.option("--open", "open_access", is_flag=True, help="Any token reads everything (loopback only).")
@click.option("--fixed", is_flag=True, help="Answer correctly where the deployed service does not.")
@click.option("--public-url", default=None, help="Address behind a reverse proxy.")
def serve_command(
    root: Path, host: str, port: int, open_access: bool, fixed: bool, public_url: str | None
) -> int:
    """Serve the archive in ROOT at http://HOST:PORT/api/v1; the first line printed is that address.

    Without --open, accounts made with `campfire user add` are needed.
    """
    try:
        from campfire.archive.server.runner import serve
    except ImportError as err:
        raise missing_extra("serving needs", "server") from err

    def ready(url: str) -> None:
        click.echo(url)
        sys.stdout.flush()

    serve(root, host, port, open_access=open_access, fixed=fixed, base_url=public_url, ready=ready)
    return 0


@click.group("user", epilog="Example: campfire user add you@example.org --root ./archive")
def user_command() -> None:
    """Manage the accounts of a served archive.

    Which one: --root, else CAMPFIRE_ROOT, else the folder you are in if it is an archive, else ~/campfire.
    """


def _resolve(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Path:
    here = DataPaths(Path.cwd())
    if not value and not os.environ.get("CAMPFIRE_ROOT") and here.database.is_file():
        return here.root
    return DataPaths.resolve(value).root


_root = click.option(
    "--root",
    "--data-dir",
    callback=_resolve,
    default=None,
    help="Root that is served [CAMPFIRE_ROOT, the folder you are in, ~/campfire].",
)


def _program_of(root: Path, slug: str) -> str:
    """Return a slug as the catalogue writes it; any slug where there is no catalogue yet."""
    from campfire.store.catalog import Catalog

    database = DataPaths(root).database
    if not database.is_file():
        return slug
    with Catalog(database, read_only=True) as catalog:
        known = {str(row["slug"]).casefold(): str(row["slug"]) for row in catalog.programs()}
    if slug.casefold() not in known:
        raise ValidationError(
            f"there is no program {slug!r} in {root}",
            hint=f"known: {', '.join(sorted(known.values()))}; `campfire index` adds those of new products",
        )
    return known[slug.casefold()]


@user_command.command("add", epilog="Example: campfire user add you@example.org --root ./archive")
@click.argument("email")
@_root
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--name", default=None, help="Full name.")
def user_add(email: str, root: Path, password_stdin: bool, name: str | None) -> int:
    """Add an account; asks for a password."""
    from campfire.archive.server.accounts import Accounts

    if password_stdin:
        with asking("give the password on standard input"):
            password = sys.stdin.readline().rstrip("\r\n")
    else:
        with asking("give the password with --password-stdin"):
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    with Accounts(root) as accounts:
        accounts.add_user(email, password, full_name=name)
    success(f"{email} can sign in to {root}; `campfire user grant {email} PROGRAM` opens what is not public")
    return 0


@user_command.command("key", epilog="Example: campfire user key you@example.org --root ./archive")
@click.argument("email")
@_root
def user_key(email: str, root: Path) -> int:
    """Print a new API key of an account; it is shown this once."""
    from campfire.archive.server.accounts import Accounts

    with Accounts(root) as accounts:
        click.echo(accounts.add_key(email))
    note("Keep it: only its hash is stored here.")
    return 0


@user_command.command("grant", epilog="Example: campfire user grant you@example.org a-program")
@click.argument("email")
@click.argument("program")
@_root
def user_grant(email: str, program: str, root: Path) -> int:
    """Give an account access to a program that is not public."""
    from campfire.archive.server.accounts import Accounts

    with Accounts(root) as accounts:
        accounts.user(email)
        program = _program_of(root, program)
        accounts.grant(email, program)
    success(f"{email} may read {program} in {root}")
    return 0


@user_command.command("list", epilog="Example: campfire user list --json")
@_root
@json_option
def user_list(root: Path, as_json: bool) -> int:
    """List the accounts."""
    from campfire.archive.server.accounts import Accounts

    with Accounts(root) as accounts:
        rows = [user.as_row() for user in accounts.users()]
    if as_json:
        echo_json(rows)
    else:
        echo_rows(["email", "full_name", "is_admin", "created_at"], rows)
    return 0
