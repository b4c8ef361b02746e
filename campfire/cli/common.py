"""What the verbs share: options, progress bars, tables that fit the terminal, sizes, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from campfire.errors import ValidationError
from campfire.text import printable

if TYPE_CHECKING:
    from campfire.client import Campfire

__all__ = [
    "ListOption",
    "asking",
    "client_options",
    "echo_json",
    "echo_rows",
    "format_size",
    "json_option",
    "make_client",
    "note",
    "success",
    "warn",
]

F = TypeVar("F", bound=Callable[..., Any])


class ListOption(click.Option):
    """An option that may be given again and takes several values each time: ``--obs a b --obs c``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["multiple"] = True
        super().__init__(*args, **kwargs)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the option take every following word that is not an option."""
        super().add_to_parser(parser, ctx)
        for name in self.opts:
            option = parser._long_opt.get(name)
            if option is None:
                continue
            process = option.process

            def take_all(value: Any, state: Any, process: Callable[[Any, Any], None] = process) -> None:
                process(value, state)
                while state.rargs and not state.rargs[0].startswith("-"):
                    process(state.rargs.pop(0), state)

            option.process = take_all


def client_options(function: F) -> F:
    """Add ``--base-url`` and ``--data-dir``."""
    for option in (
        click.option("--data-dir", type=click.Path(), default=None, help="Data directory [CAMPFIRE_ROOT]."),
        click.option("--base-url", default=None, help="Address of the service [CAMPFIRE_API_URL]."),
    ):
        function = option(function)
    return function


def json_option(function: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def make_client(base_url: str | None, data_dir: str | None = None) -> Campfire:
    """Make the client of one command."""
    from campfire.client import Campfire

    return Campfire(base_url=base_url, data_dir=data_dir)


def success(text: str) -> None:
    """Say on stderr that something worked."""
    click.secho(f"✓ {_printable(text)}", fg="green", err=True)


def warn(text: str) -> None:
    """Say on stderr that something needs attention."""
    click.secho(f"⚠ {_printable(text)}", fg="yellow", err=True)


def note(text: str) -> None:
    """Say something on stderr; stdout is for data."""
    click.echo(_printable(text), err=True)


@contextmanager
def asking(instead: str) -> Iterator[None]:
    """Ask whoever is there; where nobody is, say what answers the question instead.

    Raises
    ------
    ValidationError
        If standard input is closed, or at its end.
    """
    nobody = ValidationError("there is nobody to ask: standard input is closed or at its end", hint=instead)
    if sys.stdin is None or sys.stdin.closed:
        raise nobody
    try:
        yield
    except click.Abort as err:
        if isinstance(err.__context__, EOFError):
            raise nobody from None
        raise


def _printable(text: str) -> str:
    """Return text in which what a terminal would obey is written out, line by line."""
    return "\n".join(map(printable, text.split("\n")))


def format_size(size: float | None) -> str:
    """Write bytes for people: B, KB, MB with one decimal, GB with two; 1024-based.

    Examples
    --------
    >>> format_size(812160), format_size(3 * 1024**3)
    ('793.1 KB', '3.00 GB')
    """
    if size is None:
        return "-"
    if size < 1024:
        return f"{size:.0f} B"
    for unit, decimals in (("KB", 1), ("MB", 1)):
        size /= 1024
        if size < 1024:
            return f"{size:.{decimals}f} {unit}"
    return f"{size / 1024:.2f} GB"


def plain(value: Any) -> Any:
    """Return a value that JSON can hold: masked and not finite as null, numpy scalars as Python's."""
    import numpy as np

    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else str(value)


def echo_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def _text(value: Any) -> str:
    value = plain(value)
    if value is None:
        return "-"
    text = ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
    # Names come from servers: neither tabs nor what moves the cursor may reach the terminal.
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


# What is worth reading of a number; without a terminal every digit is printed.
_DIGITS = {"ra": 5, "dec": 5, "redshift": 4, "max_snr": 1, "signal_to_noise": 1, "exposure_time": 0}
_DIGITS["distance_arcsec"] = 2


def _shown(column: str, value: Any) -> str:
    value = plain(value)
    if isinstance(value, float):
        return f"{value:.{_DIGITS[column]}f}" if column in _DIGITS else f"{value:.6g}"
    return _text(value)


def echo_rows(
    columns: Sequence[str], rows: Iterator[Mapping[str, Any]] | Sequence[Mapping[str, Any]]
) -> None:
    """Print rows as a table no wider than the terminal; without a terminal as tab-separated text.

    ``columns`` go from the most to the least important: those there is no room for are left out, and named
    on stderr. Only the first is ever cut.
    """
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(_text(row.get(column)) for column in columns))
        return
    from shutil import get_terminal_size

    from rich.cells import cell_len, set_cell_size

    room, gap = get_terminal_size().columns, 2
    cells = [[_shown(column, row.get(column)) for column in columns] for row in rows]
    widths: dict[int, int] = {}
    left_out = []
    for index, column in enumerate(columns):
        # A name longer than its values goes on two lines.
        width = max(*map(cell_len, column.split("_", 1)), *(cell_len(row[index]) for row in cells), 1)
        if widths and width > room:
            left_out.append(column)
            continue
        widths[index] = min(width, room)
        room -= width + gap

    def line(texts: Mapping[int, str]) -> str:
        return (" " * gap).join(set_cell_size(texts[i], width) for i, width in widths.items()).rstrip()

    heads = {
        i: columns[i] if len(columns[i]) <= w else columns[i].replace("_", "\n", 1) for i, w in widths.items()
    }
    if any("\n" in head for head in heads.values()):
        click.secho(
            line({i: head.partition("\n")[0] if "\n" in head else "" for i, head in heads.items()}), bold=True
        )
    click.secho(line({i: head.rpartition("\n")[2] for i, head in heads.items()}), bold=True)
    for texts in cells:
        click.echo(line(dict(enumerate(texts))))
    if left_out:
        note(f"no room for {', '.join(left_out)}: make the terminal wider")
