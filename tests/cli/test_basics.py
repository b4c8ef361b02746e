"""The command line before it meets an archive: parsing, exit codes, output."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

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
GROUPS = ("cache", "query", "user")


def _verbs(group: str) -> list[str]:
    command = cli.get_command(click.Context(cli), group)
    assert isinstance(command, click.Group)
    return command.list_commands(click.Context(command))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = CliRunner().invoke(cli, [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert "Example" in result.output
    assert f"campfire {verb}" in " ".join(result.output.split())


@pytest.mark.parametrize("words", [(group, verb) for group in GROUPS for verb in _verbs(group)])
def test_every_verb_of_a_group_has_help_with_an_example(words: tuple[str, str]) -> None:
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert "Example: campfire " + " ".join(words) in " ".join(result.output.split())


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


def _in_a_terminal(*args: str, columns: int = 80, **env: str) -> tuple[int, str]:
    """Run Python in a terminal of its own and return how it ended and what it showed."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    clean = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, *args], stdin=slave, stdout=slave, stderr=slave, env=clean | env
    ) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: everybody has closed the other end
            while block := os.read(master, 65536):
                shown += block
        code = process.wait(timeout=60)
    os.close(master)
    return code, shown.decode()


TABLE = """
from campfire.cli.common import echo_rows
row = {"object_id": "J100018.89+022119.8", "ra": 150.0787012, "max_snr": 4.23, "tags": ["\x1b[2J" * 9]}
echo_rows(["object_id", "ra", "max_snr", "tags"], [row])
"""


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_tables_fit_the_terminal(columns: int) -> None:
    """Statement: tables fit the terminal; names stay whole, and what there is no room for is said."""
    code, shown = _in_a_terminal("-c", TABLE, columns=columns, NO_COLOR="1")
    table = [line for line in click.unstyle(shown).splitlines() if not line.startswith("no room")]
    assert code == 0
    assert max(map(len, table)) <= columns
    assert any("J100018.89+022119.8" in line for line in table)
    assert "\x1b[2J" not in shown
    assert ("150.07870" in shown) == (columns >= 40)
    assert ("no room for" in shown) == (columns < 80)


@pytest.mark.parametrize(("value", "colored"), [("", True), ("1", False)])
def test_no_color(tmp_path: Path, value: str, colored: bool) -> None:
    """Statement: NO_COLOR, where it is not empty, means no colour, also of errors."""
    for verb in ("doctor", "whoami"):
        root = str(tmp_path)
        _, shown = _in_a_terminal(
            "-m", "campfire", verb, NO_COLOR=value, CAMPFIRE_CONFIG_DIR=root, CAMPFIRE_ROOT=root
        )
        assert ("\x1b[3" in shown) == colored


def test_a_reader_that_has_enough_is_no_error() -> None:
    """Statement: right exit codes, with `| head` too."""
    # More than a pipe holds, so that the writer does notice.
    many = f'{TABLE}\nfor _ in range(9000): echo_rows(["object_id", "ra", "max_snr"], [row])'
    program = f"""
import click, sys
from campfire.cli import VERBS, cli, main
@click.command("doctor")
def talk():
    exec({many!r})
cli.add_command(talk)
cli.get_command = lambda ctx, name: talk
sys.exit(main(["doctor"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("object_id\tra\t")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "campfire", "doctor"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "offered"),
    [("campfire down", "download"), ("campfire download --gr", "--grating"), ("campfire user g", "grant")],
)
def test_the_shell_completes(words: str, offered: str) -> None:
    """Statement: shell completion."""
    env = os.environ | {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    run = subprocess.run(
        [sys.executable, "-c", "from campfire.cli import main; main()"],
        env=env | {"_CAMPFIRE_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"plain,{offered}" in run.stdout.splitlines()


def test_warnings_take_one_line_without_file_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    from campfire.errors import CampfireWarning

    @click.command()
    def command() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("3 of 9 files failed", CampfireWarning, stacklevel=1)

    monkeypatch.setattr("campfire.cli.cli", command)
    assert main([]) == 0
    assert capsys.readouterr().err == "⚠ 3 of 9 files failed\n"


@pytest.mark.parametrize("command", ["login", "login --api-key", "user add a@example.org --password-stdin"])
@pytest.mark.parametrize("nobody", ["<&-", "</dev/null"])
def test_where_nobody_can_be_asked_one_line_says_what_to_pass(
    command: str, nobody: str, tmp_path: Path
) -> None:
    if (command.endswith("stdin"), nobody) == (True, "</dev/null"):
        return  # an empty password, which is another error
    env = os.environ | {"CAMPFIRE_CONFIG_DIR": str(tmp_path), "CAMPFIRE_API_URL": "http://127.0.0.1:9/api/v1"}
    env.pop("CAMPFIRE_API_KEY", None)
    run = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m campfire {command} {nobody}"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "there is nobody to ask" in run.stderr
