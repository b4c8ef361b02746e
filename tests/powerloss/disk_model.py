"""A small model of a disk: what may be on it after a power cut, given the calls a program made.

POSIX promises little. A change is on the disk for certain once it was synced: written bytes by ``fsync`` of
their file, names by ``fsync`` of their folder. All else may be there or not, in any order, a write also in
part. A rename is one change: there is no moment with both names or none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

__all__ = ["Change", "Journal", "Sync", "crash_states", "settled_states", "write_state"]


State: TypeAlias = tuple[dict[str, bytes], set[str]]
"""Content of every file, and the folders."""


@dataclass(frozen=True)
class Change:
    """Something that a call did, and that a power cut may undo until it is synced.

    ``target`` is what has to be synced: the number of a file for its bytes, a folder for its names.
    """

    kind: str
    target: int | str
    file: int = 0
    offset: int = 0
    content: bytes = b""
    name: str = ""
    former: str = ""
    other: str = ""
    """Second folder of a rename between folders: either of the two syncs makes it last."""


@dataclass(frozen=True)
class Sync:
    """An ``fsync`` of a file (its number) or of a folder (its path)."""

    target: int | str
    label: str


@dataclass
class Journal:
    """All that a program did below a folder, and what was there before, which is on the disk for certain."""

    files: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    events: list[Change | Sync] = field(default_factory=list)
    contents: dict[tuple[int, ...], bytes] = field(default_factory=dict, repr=False)

    def without_sync(self, number: int) -> Journal:
        """Return the journal of a program that leaves out one of its syncs."""
        syncs = [n for n, event in enumerate(self.events) if isinstance(event, Sync)]
        left = [event for n, event in enumerate(self.events) if n != syncs[number]]
        return Journal(self.files, self.names, self.folders, left)

    def syncs(self) -> list[Sync]:
        """Return the syncs in order."""
        return [event for event in self.events if isinstance(event, Sync)]

    def state(self, changes: Sequence[Change]) -> State:
        """Return files and folders after some of the changes."""
        names, folders = dict(self.names), set(self.folders)
        edits: dict[int, tuple[Change, ...]] = {}
        for change in changes:
            if change.kind in ("write", "truncate"):
                edits[change.file] = (*edits.get(change.file, ()), change)
            else:
                _apply(change, names, folders)
        there = {
            name: self._content(number, edits.get(number, ()))
            for name, number in names.items()
            if _parent(name) in folders
        }
        return there, folders

    def _content(self, number: int, edits: tuple[Change, ...]) -> bytes:
        """Return a file after some edits; the states of a disk have most of them in common."""
        key = (number, *(hash((e.kind, e.offset, e.content)) for e in edits))
        if key not in self.contents:
            whole = bytearray(self.files.get(number, b""))
            for edit in edits:
                whole.extend(b"\0" * (edit.offset - len(whole)))
                if edit.kind == "truncate":
                    del whole[edit.offset :]
                else:
                    whole[edit.offset : edit.offset + len(edit.content)] = edit.content
            self.contents[key] = bytes(whole)
        return self.contents[key]


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _apply(change: Change, names: dict[str, int], folders: set[str]) -> None:
    match change.kind:
        case "create":
            names[change.name] = change.file
        case "link":
            names[change.name] = change.file
        case "rename":
            if names.get(change.former) == change.file:
                del names[change.former]
            names[change.name] = change.file
        case "unlink":
            names.pop(change.name, None)
        case "mkdir":
            folders.add(change.name)
        case "rmdir":
            folders.discard(change.name)
        case "move":  # of a folder with all that is in it
            for name in [n for n in names if n.startswith(change.former + "/")]:
                names[change.name + name.removeprefix(change.former)] = names.pop(name)
            for name in [n for n in folders if (n + "/").startswith(change.former + "/")]:
                folders.remove(name)
                folders.add(change.name + name.removeprefix(change.former))
        case _:
            raise AssertionError(change.kind)


def _torn(change: Change) -> Change | None:
    """Return the first half of a write that is longer than a sector."""
    if change.kind != "write" or len(change.content) <= 512:
        return None
    half = len(change.content) // 2 // 512 * 512
    return Change("write", change.target, change.file, change.offset, change.content[: max(half, 512)])


def _is_synced(change: Change, later: Sequence[Change | Sync]) -> bool:
    return any(isinstance(e, Sync) and e.target in (change.target, change.other or None) for e in later)


_SAMPLE = 12  # sets of one size at one moment


def crash_states(journal: Journal, most: int = 3) -> Iterator[State]:
    """Give the states the disk may have after a power cut at any moment, bounded, each once.

    Of the changes that are not synced, up to ``most`` are lost (the last of them perhaps in half), or all but
    up to ``most``. It is enough to look at the moments before a sync and at the end: what may be lost grows
    until then. What a sudden end without any loss leaves is looked at after every change.
    """
    seen: set[int] = set()
    rng = Random(1)
    for changes in _histories(journal, most, rng):
        state = journal.state(changes)
        key = hash((frozenset(state[0].items()), frozenset(state[1])))
        if key not in seen:
            seen.add(key)
            yield state


def _histories(journal: Journal, most: int, rng: Random) -> Iterator[list[Change]]:
    order: list[Change] = []
    pending: list[int] = []
    for event in [*journal.events, None]:
        if isinstance(event, Change):
            order.append(event)
            pending.append(len(order) - 1)
            yield list(order)
            continue
        for lost in _subsets(pending, most, rng):
            yield [change for n, change in enumerate(order) if n not in lost]
            if lost and (half := _torn(order[max(lost)])) is not None:
                others = lost - {max(lost)}
                yield [half if n == max(lost) else c for n, c in enumerate(order) if n not in others]
        if event is not None:
            pending = [n for n in pending if event.target not in (order[n].target, order[n].other or None)]


def settled_states(journal: Journal) -> list[State]:
    """Return what is on the disk after the program ended: what it synced alone, and everything."""
    changes, synced = [], []
    for n, event in enumerate(journal.events):
        if isinstance(event, Change):
            changes.append(event)
            if _is_synced(event, journal.events[n + 1 :]):
                synced.append(event)
    return [journal.state(synced), journal.state(changes)]


def _subsets(pending: Sequence[int], most: int, rng: Random) -> Iterator[frozenset[int]]:
    """Give sets of up to ``most`` pending changes, and all but these; a sample where there are many."""
    everything = frozenset(pending)
    for size in range(min(most, len(pending)) + 1):
        some: Iterable[Sequence[int]] = itertools.combinations(pending, size)
        if math.comb(len(pending), size) > _SAMPLE:
            some = [rng.sample(pending, size) for _ in range(_SAMPLE)]
        for chosen in map(frozenset, some):
            yield chosen
            if len(pending) > 2 * most:
                yield everything - chosen


def write_state(state: State, root: Path) -> None:
    """Make a state real below an empty folder."""
    files, folders = state
    for folder in sorted(folders):
        if folder:
            (root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name).write_bytes(content)
