"""Statement: folders are removed in one place, and every other removal is one of those listed here.

The source is walked. A call that can remove something from the disk, or write over it, stands in a function
of ``ALLOWED``, which says why that cannot be somebody else's; or the test fails.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "campfire"

_TEMPORARY = "a temporary file of its own, with a name that only it has; put in place in one step"
ALLOWED: dict[tuple[str, str], str] = {
    ("disk.py", "remove_tree"): "the one place for folders: marked, contained, without links",
    ("disk.py", "remove_file"): "the one place for computed names",
    ("disk.py", "set_aside"): "gives a damaged file a name that nothing has",
    ("client/sheets.py", "Sheets.write"): "pages of a PDF under a temporary name of its own",
    ("collection/pixel_cache.py", "PixelCache.remove_table"): "rmdir takes only what is empty",
    ("collection/saved.py", "_write_folder"): "a folder that it has just made",
    ("collection/saved.py", "_write_url"): "a place that was empty, which its object there claims",
    ("accessors/datatree.py", "DataTreeAccessor.to_zarr"): "forwards to the two above",
    ("publishing.py", "replacing"): _TEMPORARY,
    ("client/response_cache.py", "write_whole"): _TEMPORARY,
    ("formats/hdu_writer.py", "write_hdus"): _TEMPORARY,
    ("archive/simulate/truth.py", "Truth.write"): _TEMPORARY,
    ("transport/credentials.py", "CredentialStore._write"): _TEMPORARY,
    ("mirror/lockfile.py", "Lock.write"): "asked for by name; what is there only if told to, in one step",
    ("mirror/reproducing.py", "_exchange"): "a partial download of its own",
    ("demo.py", "_main_job.save"): "pictures in the folder that the demo has just made and marked",
    ("demo.py", "_write_key"): "in the folder that the demo has just made and marked",
    ("archive/server/cutouts.py", "CutoutMaker._keep"): "cutouts named by a hash, in the server's own folder",
    ("archive/server/signing.py", "load_secret"): _TEMPORARY,
    ("store/export.py", "_write"): _TEMPORARY,
    ("store/export.py", "_forget_abandoned"): "temporary files of ours beside the catalogue, an hour old",
    ("store/migrate.py", "import_official"): _TEMPORARY,
    ("transport/credentials.py", "CredentialStore._save"): "the credentials file of one origin",
    ("transport/credentials.py", "CredentialStore.delete"): "the credentials file of one origin",
    ("mirror/transfer.py", "Downloader._resumable"): "a partial download of its own",
    ("mirror/transfer.py", "Downloader._discard"): "a partial download of its own",
    ("mirror/transfer.py", "Downloader._stream"): "a partial download of its own",
    ("mirror/partial.py", "remove_locks"): "lock files, whose names only it makes",
    ("mirror/partial.py", "sweep"): "partial downloads and locks, whose names only it makes",
    ("mirror/partial.py", "publish"): "the checked download, over what it replaces knowingly",
    ("mirror/partial.py", "DiskErrors.__exit__"): "a partial download of its own, on a full disk",
    ("mirror/partial.py", "_copy_link"): _TEMPORARY,
}
_REMOVING = {"rmtree", "unlink", "rmdir", "removedirs", "truncate"}
_WRITING = {"write_text", "write_bytes", "savefig", "savez", "to_netcdf", "to_zarr"}
_OF_MODULES = {"replace", "rename", "renames", "move", "copytree"}  # of os and shutil; str has some too


def removals(source: str) -> Iterator[tuple[str, str]]:
    """Yield (function, call) of every call that can remove or write over something on the disk."""

    def walk(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            defines = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if isinstance(child, ast.Call) and _removes(child, aliases):
                yield ".".join(names), ast.unparse(child)
            yield from walk(child, (*names, child.name) if defines else names)  # type: ignore[attr-defined]

    tree = ast.parse(source)
    aliases: dict[str, str] = {}  # what a module or function of os and shutil is called here
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {a.asname: a.name for a in node.names if a.asname and a.name in ("os", "shutil")}
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
            aliases |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    yield from walk(tree, ())


def _removes(call: ast.Call, aliases: Mapping[str, str]) -> bool:
    function = call.func
    called = ast.unparse(function)
    first, dot, rest = called.partition(".")
    owner, _, name = (aliases.get(first, first) + dot + rest).rpartition(".")
    if name == "getattr" and ast.unparse(call).startswith(("getattr(os,", "getattr(shutil,")):
        return True
    if name in _WRITING or (
        name in ("open", "fdopen") and any(_makes_anew(a) for a in (*call.args, *call.keywords))
    ):
        return True
    if name in _REMOVING or (name == "remove" and owner == "os"):
        return True
    if name in _OF_MODULES and (owner in ("os", "shutil") or (len(call.args) == 1 and not call.keywords)):
        # str.replace takes two arguments, Path.replace one; Dataset.rename takes a text or keywords
        return name != "rename" or owner in ("os", "shutil") or not isinstance(call.args[0], ast.Constant)
    for keyword in call.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if (keyword.arg == "overwrite" and value is True) or (keyword.arg == "mode" and value == "w"):
            return True
    return name in ("open", "fdopen") and "O_TRUNC" in ast.unparse(call)


def _makes_anew(argument: ast.AST) -> bool:
    value = argument.value if isinstance(argument, ast.keyword) else argument
    mode = value.value if isinstance(value, ast.Constant) else ""
    return isinstance(mode, str) and bool(re.fullmatch(r"[wa][bt]?\+?[bt]?", mode))


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_listed_functions_remove_anything(path: Path) -> None:
    own = path.relative_to(PACKAGE).as_posix()
    for function, call in removals(path.read_text(encoding="utf-8")):
        assert (own, function) in ALLOWED, f"{own}, {function}: {call}; use campfire.disk, or give a reason"


def test_the_list_names_only_what_is_there() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), function)
        for path in FILES
        for function, _ in removals(path.read_text(encoding="utf-8"))
    }
    assert set(ALLOWED) == found


@pytest.mark.parametrize(
    "line",
    [
        "shutil.rmtree(root)",
        "rmtree(root, ignore_errors=True)",
        "path.unlink()",
        "os.unlink(name)",
        "os.remove(name)",
        "os.replace(a, b)",
        "fresh.replace(path)",
        "folder.rename(other)",
        "shutil.move(a, b)",
        "zarr.open_group(store, mode='w')",
        "ds.to_zarr(store, mode='w')",
        "hdus.writeto(path, overwrite=True)",
        "os.open(path, os.O_WRONLY | os.O_TRUNC)",
        "file.truncate(0)",
        "open(path, 'w')",
        "open(path, mode='wb')",
        "path.open('a')",
        "path.write_text('x')",
        "path.write_bytes(b'x')",
        "figure.savefig(path)",
        "from shutil import rmtree as tidy; tidy(root)",
        "from os import remove; remove(path)",
        "import os as system; system.replace(a, b)",
        "getattr(os, 'remove')(path)",
    ],
)
def test_a_planted_removal_is_found(line: str) -> None:
    assert list(removals(f"def clean(root):\n    {line}\n")), line
    assert [name for name, _ in removals(f"class A:\n    def b(self):\n        {line}\n")] == ["A.b"]


@pytest.mark.parametrize(
    "line",
    [
        "text.replace('a', 'b')",
        "ds.rename(a='b')",
        "good.rename('good')",
        "open(p)",
        "open(p, 'rb')",
        "open(p, 'xb')",
        "names.remove(n)",
    ],
)
def test_what_removes_nothing_is_not_found(line: str) -> None:
    assert not list(removals(line))
