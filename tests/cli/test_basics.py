"""The command line before it meets an archive: parsing, exit codes, output."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from campfire.cli import VERBS, cli, main
from campfire.cli.common import ListOption, echo_rows, format_size, plain
from campfire.cli.query import parse_flag_text
from campfire.errors import ValidationError
from campfire.flags import DQFlags, FlagQuery

ALL = np.arange(512)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = CliRunner().invoke(cli, [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert "Example" in result.output
    assert f"campfire {verb}" in " ".join(result.output.split())


@pytest.mark.parametrize("args", [["nonsense"], ["sync", "--nonsense"], ["query", "galaxies"], ["simulate"]])
def test_wrong_usage_exits_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    assert "Usage" in capsys.readouterr().err


def test_a_misspelt_verb_is_answered_with_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["downlaod"]) == 2
    assert "'download'" in capsys.readouterr().err


def test_version_and_module_call_agree() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "campfire", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("campfire ")


def test_errors_exit_1_in_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMPFIRE_API_URL", "http://example.org")
    assert main(["whoami"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "https" in captured.err


@given(
    st.recursive(
        st.sampled_from(DQFlags).map(lambda f: f | f),
        lambda c: (
            st.tuples(c, c).map(lambda p: p[0] | p[1])
            | st.tuples(c, c).map(lambda p: p[0] & p[1])
            | c.map(lambda q: ~q)
        ),
        max_leaves=8,
    )
)
def test_flag_expressions_are_read_as_they_are_printed(query: FlagQuery) -> None:
    assert np.array_equal(parse_flag_text(repr(query)).matches(ALL), query.matches(ALL))


@pytest.mark.parametrize(
    "text", ["", "LOW_SNR +", "__import__('os')", "LOW_SNR and CHIP_GAP", "A.b", "NOPE", "1.5"]
)
def test_what_is_no_flag_expression_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        parse_flag_text(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (812160, "793.1 KB"),
        (5 * 1024**2, "5.0 MB"),
        (3 * 1024**3, "3.00 GB"),
        (None, "-"),
    ],
)
def test_sizes_are_1024_based(size: int | None, text: str) -> None:
    assert format_size(size) == text


def test_list_options_are_repeatable_and_variadic() -> None:
    @click.command()
    @click.option("--obs", cls=ListOption)
    @click.option("--flag", is_flag=True)
    def command(obs: tuple[str, ...], flag: bool) -> None:
        click.echo(json.dumps([obs, flag]))

    result = CliRunner().invoke(command, ["--obs", "a", "b", "--flag", "--obs", "c"])
    assert json.loads(result.output) == [["a", "b", "c"], True]
    assert json.loads(CliRunner().invoke(command, []).output) == [[], False]
    assert json.loads(CliRunner().invoke(command, ["--obs=a", "b"]).output) == [["a", "b"], False]


def test_json_holds_null_for_what_is_unknown() -> None:
    row = {"a": np.ma.masked, "b": np.nan, "c": np.int64(3), "d": [np.float64(1.5)], "e": np.True_, "f": "x"}
    assert plain(row) == {"a": None, "b": None, "c": 3, "d": [1.5], "e": True, "f": "x"}


def test_without_a_terminal_rows_are_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    echo_rows(["a", "b"], [{"a": 1.25, "b": ["x", "y"]}, {"a": None, "b": "[red]"}])
    assert capsys.readouterr().out == "a\tb\n1.25\tx, y\n-\t[red]\n"
