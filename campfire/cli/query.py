"""The query verbs; their options are generated from the table of filters."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from campfire.cli.common import ListOption, client_options, echo_json, echo_rows, make_client, note
from campfire.columns import TableName
from campfire.errors import ValidationError
from campfire.flags import DQFlags, FlagQuery, parse_flags
from campfire.query import FILTERS, SORTS

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["parse_flag_text", "query_command"]

SHOWN: dict[TableName, tuple[str, ...]] = {
    "objects": (
        "object_id",
        "field",
        "ra",
        "dec",
        "redshift",
        "redshift_quality",
        "max_snr",
        "n_spectra",
        "gratings",
        "tags",
    ),
    "spectra": (
        "spectrum_id",
        "object_id",
        "grating",
        "signal_to_noise",
        "exposure_time",
        "redshift",
        "redshift_quality",
        "dq_flags",
    ),
}


def parse_flag_text(text: str) -> FlagQuery:
    """Read a flag expression such as ``~CONTAMINATION & ~(LOW_SNR | CHIP_GAP)``, a name, or a mask.

    Raises
    ------
    ValidationError
        If it is none.

    Examples
    --------
    >>> parse_flag_text("~(LOW_SNR | CHIP_GAP)")
    ~(LOW_SNR | CHIP_GAP)
    """

    def build(node: ast.expr) -> FlagQuery:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd):
            left, right = build(node.left), build(node.right)
            return left | right if isinstance(node.op, ast.BitOr) else left & right
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            return ~build(node.operand)
        if isinstance(node, ast.Name):
            return parse_flags(node.id.removeprefix("DQFlags."))
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return parse_flags(node.value)
        raise ValueError(ast.dump(node))

    try:
        return build(ast.parse(text.replace("DQFlags.", "").strip(), mode="eval").body)
    except (SyntaxError, ValueError) as err:
        if isinstance(err, ValidationError):
            raise
        example = f"e.g. '~{DQFlags.CONTAMINATION.name} & ~{DQFlags.LOW_SNR.name}'"
        raise ValidationError(f"{text!r} is not a flag expression", hint=example) from err


def _bound(text: str) -> float | None:
    """Read one end of a range; ``-`` leaves it open. click reports a ValueError as wrong usage."""
    return None if text in ("-", "none") else float(text)


def _option(name: str) -> Callable[[Any], Any]:
    spec = FILTERS[name]
    flag = "--" + name.replace("_", "-")
    if spec.kind == "any_of":
        return click.option(flag, name, cls=ListOption, help=spec.doc)
    if spec.kind == "between":
        return click.option(
            flag,
            name,
            nargs=2,
            type=_bound,
            default=None,
            metavar="MIN MAX",
            help=f"{spec.doc} (write - for None)",
        )
    if spec.kind == "cone":
        return click.option(flag, name, nargs=3, type=float, default=None, help=spec.doc)
    if spec.kind == "is_true":
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=spec.doc)
    return click.option(flag, name, default=None, help=spec.doc)


def _query_options(table: TableName) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        plain = (
            click.option("--limit", type=click.IntRange(0), default=None, help="At most so many rows."),
            click.option("--offset", type=click.IntRange(0), default=0, help="Leave out the first rows."),
            click.option("--sort", default=None, help=f"One of {', '.join(SORTS[table])}."),
            click.option("--sort-dir", type=click.Choice(["asc", "desc"]), default="asc", help="Direction."),
            click.option("--remote", is_flag=True, help="Ask the service, also where there is a catalogue."),
            click.option("--json", "output", flag_value="json", help="Print JSON, a list of rows."),
            click.option("--csv", "output", flag_value="csv", help="Print CSV."),
            click.option("--ecsv", "output", flag_value="ecsv", help="Print ECSV: with units and types."),
        )
        for option in reversed([*(_option(name) for name, spec in FILTERS.items() if spec.public), *plain]):
            function = option(function)
        return client_options(function)

    return decorate


def _run(
    table: TableName, base_url: str | None, data_dir: str | None, output: str | None, options: dict[str, Any]
) -> int:
    options = {key: value for key, value in options.items() if value is not None and value != ()}
    if table == "spectra" and options.get("sort") == "max_snr":
        options["sort"] = "signal_to_noise"  # as --max-snr-range means the spectrum's own
    if "dq_flags" in options:
        options["dq_flags"] = parse_flag_text(options["dq_flags"])
    for name in ("programs", "redshift_quality"):
        if name in options:
            options[name] = [int(item) if item.isdigit() else item for item in options[name]]
    for name, spec in FILTERS.items():
        if spec.kind == "any_of" and name in options:
            options[name] = list(options[name])
    with make_client(base_url, data_dir) as cf:
        result = cf.query_objects(**options) if table == "objects" else cf.query_spectra(**options)
    _print(result, table, output)
    return 0


def _print(result: Table, table: TableName, output: str | None) -> None:
    names = list(result.colnames)
    if output == "json":
        echo_json([dict(zip(names, row, strict=True)) for row in result.iterrows()])
    elif output == "ecsv":
        result.write(sys.stdout, format="ascii.ecsv")
    elif output == "csv":
        for name in names:
            if result[name].dtype == object:
                result[name] = [";".join(map(str, value)) for value in result[name]]
        result.write(sys.stdout, format="ascii.csv")
    else:
        shown = [*(["distance_arcsec"] if "distance_arcsec" in names else []), *SHOWN[table]]
        shown = [name for name in shown if name in names]
        echo_rows(shown, (dict(zip(shown, row, strict=True)) for row in result.iterrows(*shown)))
        note(f"{len(result)} {table}; all columns with --json, --csv or --ecsv")


@click.group(
    "query",
    epilog="Examples: campfire query spectra --gratings PRISM --redshift-range 4 8 --tags lrd --limit 5 "
    "--sort signal_to_noise; campfire query objects --cone-search 150.08 2.35 30 --json",
)
def query_command() -> None:
    """Query the catalogue: objects (one row a sky position) or spectra (one row a spectrum)."""


@query_command.command("objects", epilog="Example: campfire query objects --tags lrd blagn --sort max_snr")
@_query_options("objects")
def query_objects(base_url: str | None, data_dir: str | None, output: str | None, **options: Any) -> int:
    """Query objects: one row a sky position."""
    return _run("objects", base_url, data_dir, output, options)


@query_command.command(
    "spectra", epilog="Example: campfire query spectra --dq-flags '~CONTAMINATION & ~LOW_SNR' --csv"
)
@_query_options("spectra")
def query_spectra(base_url: str | None, data_dir: str | None, output: str | None, **options: Any) -> int:
    """Query spectra: one row a spectrum."""
    return _run("spectra", base_url, data_dir, output, options)
