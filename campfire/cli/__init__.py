"""The command line: one file a family of verbs, each imported only when it is used."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NamedTuple

import click

from campfire.errors import CampfireError, CampfireWarning
from campfire.installation import VERSION

__all__ = ["cli", "main"]


class _Verb(NamedTuple):
    module: str
    help: str


# Help texts stand here so that `campfire --help` imports none of the modules.
VERBS: dict[str, _Verb] = {
    "demo": _Verb("archive", "Simulate an archive and do the main job on it, no account needed."),
    "login": _Verb("account", "Sign in, in the browser or with an API key."),
    "logout": _Verb("account", "Forget the credentials, and revoke them."),
    "whoami": _Verb("account", "Show who is signed in."),
    "status": _Verb("catalogue", "Show the local catalogue and the downloaded files."),
    "sync": _Verb("catalogue", "Update the local catalogue (metadata only)."),
    "query": _Verb("query", "Query objects or spectra."),
    "download": _Verb("files", "Download FITS files, verified."),
    "verify": _Verb("files", "Check the downloaded files against the catalogue."),
    "lock": _Verb("lock", "Write down which files a result used; check or reproduce them."),
    "cache": _Verb("files", "Manage the pixel cache of collections."),
    "sheet": _Verb("sheet", "Draw a page an object, into one PDF."),
    "doctor": _Verb("doctor", "Find what is wrong, and name the fix."),
    "simulate": _Verb("archive", "Make a simulated archive with known truth."),
    "index": _Verb("archive", "Make a catalogue of the FITS products of a folder."),
    "serve": _Verb("archive", "Serve an archive to others."),
    "user": _Verb("archive", "Manage the accounts of a served archive."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"campfire.cli.{VERBS[cmd_name].module}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. Click would end with 1 where the reader of a pipe (`| head`) has what it wants."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _forget_stdout()
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"campfire {VERSION}")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try `campfire demo` first. Shell completion: "
    'eval "$(_CAMPFIRE_COMPLETE=bash_source campfire)" (or zsh_source, fish_source).',
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def cli() -> None:
    """Access the CAMPFIRE archive of JWST/NIRSpec spectra."""


def main(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done. 1: a :class:`~campfire.CampfireError`, or something asked for failed. 2: wrong usage. 130:
    interrupted.
    """
    # https://no-color.org: present and not empty; click does not look for it.
    color = False if os.environ.get("NO_COLOR") else None
    _print_anything()
    try:
        with _warnings_in_one_line(color):
            result: Any = cli.main(args=args, prog_name="campfire", standalone_mode=False, color=color)
    except click.exceptions.Exit as err:
        return err.exit_code
    except click.ClickException as err:
        err.show()
        return err.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\ninterrupted", err=True)
        return 130
    except CampfireError as err:
        return _failed(err, color)
    except ImportError as err:
        # A missing extra says which; anything else is a fault of ours and keeps its traceback.
        if "pip install" not in str(err):
            raise
        return _failed(err, color)
    except OSError as err:
        # The machine says no: a full disk, no permission.
        _forget_stdout()
        return _failed(err, color)
    return result if isinstance(result, int) else 0


def _print_anything() -> None:
    """Let both streams escape what their encoding does not have: names, and the marks before our messages."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _warnings_in_one_line(color: bool | None) -> Iterator[None]:
    """Show our own warnings as the command line shows everything else, without file names and code."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def one_line(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, CampfireWarning):
                click.secho(f"⚠ {message}", fg="yellow", err=True, color=color)
            else:
                show(message, category, *place, **more)

        warnings.showwarning = one_line
        yield


def _failed(error: Exception, color: bool | None) -> int:
    click.secho(f"✗ {error}", fg="red", err=True, color=color)
    return 1


def _forget_stdout() -> None:
    """Let what is left in the buffer go nowhere: at exit Python would complain that it cannot be written."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return  # replaced by a test or a notebook: there is no file to write to
