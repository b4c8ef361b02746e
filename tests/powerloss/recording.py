"""What a program does to a folder, as the kernel sees it: its system calls, recorded by ``strace``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.powerloss.disk_model import Change, Journal, Sync

__all__ = ["can_record", "record"]

_CALLS = (
    "open,openat,creat,close,write,pwrite64,writev,sendfile,copy_file_range,lseek,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,dup,dup2,dup3,fcntl,chdir,clone,clone3,fork,vfork"
)
_LINE = re.compile(r"^(\d+)\s+(.*)$")
_DONE = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<.*>)?(?:\s.*)?$", re.S)
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.S)


def can_record() -> bool:
    """Tell whether ``strace`` is here and may be used."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def record(program: str, root: Path, *arguments: str) -> Journal:
    """Run a Python program that changes files below ``root`` and return all it did there."""
    log = root.parent / f"{root.name}.strace"
    journal = _before(root)
    command = ["strace", "-f", "-qq", "-xx", "-s", "50000000", "-e", f"trace={_CALLS}", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-c", program, str(root), *arguments],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _Reader(root, journal).read(log)
    files, _ = journal.state([e for e in journal.events if isinstance(e, Change)])
    now = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    now = {name: content for name, content in now.items() if not name.endswith("-shm")}
    assert files == now, sorted(n for n in files.keys() ^ now.keys()) or [
        n for n in now if files[n] != now[n]
    ]
    return journal


def _before(root: Path) -> Journal:
    journal = Journal(folders={""})
    numbers: dict[int, int] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            journal.folders.add(name)
        else:
            number = numbers.setdefault(path.stat().st_ino, len(numbers) + 1)
            journal.names[name], journal.files[number] = number, path.read_bytes()
    return journal


class _Reader:
    """Follows descriptors and names through the log; what is not below the root is passed over."""

    def __init__(self, root: Path, journal: Journal) -> None:
        self.root, self.journal = str(root), journal
        self.names = dict(journal.names)  # as the program sees them
        self.folders = set(journal.folders)
        self.sizes = {number: len(content) for number, content in journal.files.items()}
        self.contents = {number: bytearray(content) for number, content in journal.files.items()}
        self.open: dict[int, int | str] = {}  # descriptor -> number of a file, or folder
        self.position: dict[int, int] = {}
        self.append: set[int] = set()
        self.cwd = os.getcwd()

    def read(self, log: Path) -> None:
        waiting: dict[str, str] = {}
        for line in log.read_text("ascii").splitlines():
            found = _LINE.match(line)
            if found is None:
                continue
            process, text = found.groups()
            if text.endswith("<unfinished ...>"):
                waiting[process] = text.removesuffix("<unfinished ...>")
                if closing := re.match(r"close\((\d+)", text):  # its number is free for others from here on
                    self.call("close", [closing.group(1)], 0)
                    waiting[process] = ""
                continue
            resumed = _RESUMED.match(text)
            if resumed is not None:
                text = waiting.pop(process, "") + resumed.group(2)
            done = _DONE.match(text)
            if done is None or done.group(3) == "?" or int(done.group(3)) < 0:
                continue
            self.call(done.group(1), _arguments(done.group(2)), int(done.group(3)))

    def path(self, text: str, at: str = "AT_FDCWD") -> str | None:
        """Return a path relative to the root, None where it is elsewhere."""
        path = _bytes(text).decode()
        if not os.path.isabs(path):
            base = self.cwd
            if at != "AT_FDCWD":
                folder = self.open.get(int(at))
                if not isinstance(folder, str):
                    return None
                base = os.path.join(self.root, folder)
            path = os.path.join(base, path)
        path = os.path.normpath(path)
        if path == self.root:
            return ""
        return path[len(self.root) + 1 :] if path.startswith(self.root + "/") else None

    def note(self, change: Change) -> None:
        self.journal.events.append(change)

    def call(self, name: str, given: list[str], result: int) -> None:
        match name:
            case "open" | "creat":
                self.opened(self.path(given[0]), given[1] if name == "open" else "O_CREAT|O_TRUNC", result)
            case "openat":
                self.opened(self.path(given[1], given[0]), given[2], result)
            case "close":
                self.open.pop(int(given[0]), None)
                self.append.discard(int(given[0]))
            case "dup" | "dup2" | "dup3":
                self.same(int(given[0]), result)
            case "fcntl" if given[1].startswith("F_DUPFD"):
                self.same(int(given[0]), result)
            case "lseek":
                self.position[int(given[0])] = result
            case "write" | "writev":
                content = b"".join(
                    _bytes(t) for t in re.findall(r'"(?:\\x[0-9a-f]{2})*"', ",".join(given[1:]))
                )
                self.wrote(int(given[0]), content[:result], None)
            case "pwrite64":
                self.wrote(int(given[0]), _bytes(given[1])[:result], int(given[3]))
            case "sendfile" | "copy_file_range":
                self.copied(name, given, result)
            case "ftruncate":
                self.cut(self.open.get(int(given[0])), int(given[1]))
            case "truncate":
                place = self.path(given[0])
                self.cut(None if place is None else self.names.get(place), int(given[1]))
            case "fallocate":
                number = self.open.get(int(given[0]))
                if isinstance(number, int):
                    self.cut(number, max(self.sizes[number], int(given[2]) + int(given[3])))
            case "fsync" | "fdatasync":
                target = self.open.get(int(given[0]))
                if target is not None:
                    label = target if isinstance(target, str) else self.label(target)
                    self.journal.events.append(Sync(target, label))
            case "rename":
                self.renamed(self.path(given[0]), self.path(given[1]))
            case "renameat" | "renameat2":
                self.renamed(self.path(given[1], given[0]), self.path(given[3], given[2]))
            case "link":
                self.linked(self.path(given[0]), self.path(given[1]))
            case "linkat":
                self.linked(self.path(given[1], given[0]), self.path(given[3], given[2]))
            case "unlink":
                self.removed(self.path(given[0]))
            case "unlinkat":
                self.removed(self.path(given[1], given[0]), folder="AT_REMOVEDIR" in given[2])
            case "rmdir":
                self.removed(self.path(given[0]), folder=True)
            case "mkdir":
                self.made(self.path(given[0]))
            case "mkdirat":
                self.made(self.path(given[1], given[0]))
            case "chdir":
                self.cwd = _bytes(given[0]).decode()
            case "symlink" | "symlinkat":
                assert self.path(given[-1]) is None, "symbolic links are not in the model"

    def label(self, number: int) -> str:
        return next((name for name, n in self.names.items() if n == number), f"file {number}")

    def opened(self, place: str | None, flags: str, descriptor: int) -> None:
        self.open.pop(descriptor, None)
        self.append.discard(descriptor)
        if place is None:
            return
        if place in self.folders:
            self.open[descriptor] = place
            return
        number = self.names.get(place)
        if number is None:
            assert "O_CREAT" in flags, (place, flags)
            number = max([0, *self.contents]) + 1
            self.names[place], self.sizes[number], self.contents[number] = number, 0, bytearray()
            self.note(Change("create", place.rpartition("/")[0], number, name=place))
        elif "O_TRUNC" in flags:
            self.cut(number, 0)
        self.open[descriptor], self.position[descriptor] = number, 0
        if "O_APPEND" in flags:
            self.append.add(descriptor)

    def same(self, old: int, new: int) -> None:
        if old in self.open:
            self.open[new], self.position[new] = self.open[old], self.position.get(old, 0)

    def wrote(self, descriptor: int, content: bytes, offset: int | None) -> None:
        number = self.open.get(descriptor)
        if not isinstance(number, int):
            return
        at = offset
        if at is None:
            at = self.sizes[number] if descriptor in self.append else self.position.get(descriptor, 0)
            self.position[descriptor] = at + len(content)
        whole = self.contents[number]
        whole.extend(b"\0" * (at - len(whole)))
        whole[at : at + len(content)] = content
        self.sizes[number] = len(whole)
        self.note(Change("write", number, number, at, content))

    def copied(self, name: str, given: list[str], result: int) -> None:
        out, source = (given[0], given[1]) if name == "sendfile" else (given[2], given[0])
        number = self.open.get(int(source))
        if int(out) not in self.open or not result:
            return
        assert isinstance(number, int), "copied from outside"
        start = int(m.group(0)) if (m := re.search(r"\d+", given[2])) and name == "sendfile" else 0
        self.wrote(int(out), bytes(self.contents[number][start : start + result]), None)

    def cut(self, number: int | str | None, size: int) -> None:
        if isinstance(number, int) and self.sizes[number] != size:
            whole = self.contents[number]
            del whole[size:]
            whole.extend(b"\0" * (size - len(whole)))
            self.sizes[number] = size
            self.note(Change("truncate", number, number, size))

    def renamed(self, old: str | None, new: str | None) -> None:
        if old is None or new is None:
            assert old is new, "moved in or out of the folder"
            return
        folder, other = new.rpartition("/")[0], old.rpartition("/")[0]
        if old in self.folders:
            for name in [n for n in self.names if n.startswith(old + "/")]:
                self.names[new + name.removeprefix(old)] = self.names.pop(name)
            for name in [n for n in self.folders if (n + "/").startswith(old + "/")]:
                self.folders.remove(name)
                self.folders.add(new + name.removeprefix(old))
            self.note(Change("move", folder, name=new, former=old, other=other))
            return
        self.names[new] = self.names.pop(old)
        self.note(Change("rename", folder, self.names[new], name=new, former=old, other=other))

    def linked(self, old: str | None, new: str | None) -> None:
        if new is not None:
            assert old is not None, "linked from outside"
            self.names[new] = self.names[old]
            self.note(Change("link", new.rpartition("/")[0], self.names[new], name=new))

    def removed(self, place: str | None, *, folder: bool = False) -> None:
        if place is None:
            return
        (self.folders.discard if folder else lambda p: self.names.pop(p, None))(place)
        self.note(Change("rmdir" if folder else "unlink", place.rpartition("/")[0], name=place))

    def made(self, place: str | None) -> None:
        if place is not None:
            self.folders.add(place)
            self.note(Change("mkdir", place.rpartition("/")[0], name=place))


def _arguments(text: str) -> list[str]:
    """Split the arguments of a call; texts are hexadecimal, so that commas only separate."""
    return [part.strip() for part in text.split(", ")]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.strip().strip('"').replace("\\x", ""))
