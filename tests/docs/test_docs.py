"""Statement checked: every Python block of the README and the docs runs, and prints what it shows.

A ``python`` block runs in the namespace of its page; a ``text`` block behind it is its output, where ``...``
stands for anything. A block that names modules (``python ppxf``) runs where these are installed. Blocks in
another language must say so; a block that declares nothing fails.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = {"text", "console", "bash", "toml", "json", "bibtex", "mermaid"}
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    language: str
    code: str
    line: int
    output: str | None = None
    needs: tuple[str, ...] = ()


def _blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    end = -1
    for match in FENCE.finditer(text):
        language = match[1].strip()
        adjoining = not text[end : match.start()].strip() if end >= 0 else False
        if language == "text" and blocks and blocks[-1].language == "python" and adjoining:
            blocks[-1].output = match[2]
        else:
            language, *needs = language.split() or [""]
            line = text[: match.start()].count("\n") + 2
            blocks.append(Block(language, match[2], line, needs=tuple(needs)))
        end = match.end()
    return blocks


def _show(value: object) -> None:
    if value is not None:
        print(repr(value))


def _run(block: Block, namespace: dict[str, Any], page: Path) -> str:
    """Run a block like a notebook cell: a last line that is an expression is shown."""
    import ast

    tree = ast.parse("\n" * (block.line - 1) + block.code, filename=str(page))
    last = tree.body[-1] if tree.body else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if isinstance(last, ast.Expr):
            body = ast.Module(tree.body[:-1], type_ignores=[])
            exec(compile(body, str(page), "exec"), namespace)
            _show(eval(compile(ast.Expression(last.value), str(page), "eval"), namespace))
        else:
            exec(compile(tree, str(page), "exec"), namespace)
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_declare_their_language(page: Path) -> None:
    known = NOT_RUN | {"python"}
    undeclared = [b.line for b in _blocks(page) if b.language not in known and b.language[:1] != "{"]
    assert not undeclared, f"{page.name}: blocks without a known language at lines {undeclared}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run_and_print_what_they_show(
    page: Path, archive_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for block in _blocks(page) if block.language == "python"]
    if not blocks:
        return
    # The pages speak to a simulated archive; a reader sets nothing but the address.
    monkeypatch.setenv("CAMPFIRE_API_URL", archive_url)
    monkeypatch.setenv("CAMPFIRE_API_KEY", "sk_live_any")
    monkeypatch.setenv("CAMPFIRE_ROOT", str(tmp_path / "campfire"))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for block in blocks:
        if not all(find_spec(module) for module in block.needs):
            continue
        got = _run(block, namespace, page)
        if block.output is not None:
            assert checker.check_output(block.output, got, flags), (
                f"{page.name}:{block.line} prints\n{got}\nbut shows\n{block.output}"
            )
