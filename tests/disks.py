"""File systems with faults: full, read-only, without locks; for the tests of everything that is on a disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a file system in memory below the temporary folder, or change its options."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def run(options: str) -> Path:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        mounted = True
        return place

    yield run
    if mounted:
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, room: int) -> None:
    """Take what is left of a file system, but for ``room`` bytes."""
    with (place / "ballast").open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space left"):
            file.writelines(b"x" * 4096 for _ in range(10_000))
        file.truncate(file.tell() - room)


PRELOAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
static int answer(const char *name, int fd, int command, void *argument) {
    if (command == F_SETLK || command == F_SETLKW || command == F_GETLK) {
        errno = atoi(getenv("NO_LOCKS"));
        return -1;
    }
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    return real(fd, command, argument);
}
#define REPLACE(name) int name(int fd, int command, ...) { \\
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest); \\
    return answer(#name, fd, command, argument); }
REPLACE(fcntl)
REPLACE(fcntl64)
int flock(int fd, int operation) { errno = atoi(getenv("NO_LOCKS")); return -1; }
"""


@pytest.fixture(scope="session")
def no_locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes every request for a lock fail."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    source = tmp_path_factory.mktemp("preload") / "no_locks.c"
    source.write_text(PRELOAD)
    made = source.with_suffix(".so")
    command = [compiler, "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only where a library can be put before others")
    return made
