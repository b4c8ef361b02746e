"""What differs between a lock file and now, and what a reprocessing changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from campfire.columns import Column, rows_table
from campfire.errors import CampfireError
from campfire.mirror.lockfile import FileVersion, Lock, LockedSpectrum
from campfire.text import printed

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Change", "LockReport", "SpectrumCheck", "changes_table", "file_version"]

State = Literal["same", "changed", "missing", "gone"]
_SHOWN = 20  # differing spectra of the printed form


def file_version(path: Path, digest: str) -> FileVersion:
    """Return what a file says of itself; what cannot be read is None.

    The signal-to-noise ratio is the largest of flux over error in the good pixels, the version that of the
    header.
    """
    from campfire.formats.spec_reader import product_facts

    try:
        facts = product_facts(path)
    except CampfireError:
        return FileVersion(digest, path.stat().st_size)
    return FileVersion(digest, facts["file_size"], facts["reduction_version"], facts["signal_to_noise"])


@dataclass(frozen=True, slots=True)
class SpectrumCheck:
    """One spectrum of a lock file, compared with now.

    Parameters
    ----------
    locked
        The line of the lock file.
    path
        Where the file is on this disk, or belongs.
    disk
        The file here: ``same``, ``changed`` (another content) or ``missing``.
    archive
        The file of the archive, as the catalogue knows it: ``same``, ``changed``, ``gone`` (no such spectrum
        any more) or ``unknown`` (no catalogue here, or no hash in it).
    on_disk, in_archive
        The other versions, where they are ``changed``.
    kept
        The locked version itself, where it was set aside on this disk.
    """

    locked: LockedSpectrum
    path: str
    disk: Literal["same", "changed", "missing"]
    archive: Literal["same", "changed", "gone", "unknown"]
    on_disk: FileVersion | None = None
    in_archive: FileVersion | None = None
    kept: str | None = None

    @property
    def state(self) -> State:
        """``gone`` from the archive; else ``changed`` here or there; else ``missing`` here; else ``same``."""
        if self.archive == "gone":
            return "gone"
        if "changed" in (self.disk, self.archive):
            return "changed"
        return "missing" if self.disk == "missing" else "same"

    def __str__(self) -> str:
        here = {"same": "as locked", "changed": str(self.on_disk), "missing": "nothing"}[self.disk]
        there = {
            "same": "as locked",
            "changed": str(self.in_archive),
            "gone": "nothing any more",
            "unknown": "not known",
        }[self.archive]
        kept = f"; the locked version is kept as {self.kept}" if self.kept else ""
        return f"locked: {self.locked.version}; on disk: {here}; in the archive: {there}{kept}"


@dataclass(frozen=True, repr=False, slots=True)
class LockReport:
    """A lock file compared with the disk, the catalogue and the packages of now.

    Parameters
    ----------
    path
        The lock file.
    lock
        What it says.
    spectra
        One check a spectrum, by id.
    versions
        Packages whose version differs: (locked, now).
    archive
        Origin of the service now.
    """

    path: str
    lock: Lock
    spectra: tuple[SpectrumCheck, ...]
    versions: dict[str, tuple[str | None, str | None]]
    archive: str

    @property
    def ok(self) -> bool:
        """Whether every spectrum is as it was locked, here and in the archive; packages may differ."""
        return all(check.state == "same" for check in self.spectra)

    @property
    def differences(self) -> list[SpectrumCheck]:
        """The spectra that are not as they were locked."""
        return [check for check in self.spectra if check.state != "same"]

    @property
    def counts(self) -> dict[State, int]:
        """Number of spectra by state."""
        states: tuple[State, ...] = ("same", "changed", "missing", "gone")
        return {state: sum(check.state == state for check in self.spectra) for state in states}

    def notes(self) -> list[str]:
        """Return what differs beside the spectra, a line each: packages, and the service."""
        lines = [f"{name}: locked {then}, now {now}" for name, (then, now) in self.versions.items()]
        if self.archive != self.lock.archive:
            lines.append(f"archive: locked at {self.lock.archive}, now {self.archive}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "path": self.path,
            "ok": self.ok,
            "counts": self.counts,
            "spectra": [{"state": check.state, **asdict(check)} for check in self.spectra],
            "versions": {name: {"locked": then, "now": now} for name, (then, now) in self.versions.items()},
            "archive": {"locked": self.lock.archive, "now": self.archive},
        }

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items() if number)
        lines = [f"LockReport({self.path}: {counts or 'no spectra'})"]
        differing = self.differences
        lines += [f"  {check.state:<7} {check.locked.spectrum_id}: {check}" for check in differing[:_SHOWN]]
        if len(differing) > _SHOWN:
            lines.append(f"  ... and {len(differing) - _SHOWN} more: see .differences")
        return printed("\n".join(lines + [f"  {note}" for note in self.notes()]))


class Change(NamedTuple):
    """A spectrum of which the archive has another version than this disk."""

    spectrum_id: str
    grating: str
    observation: str
    local_path: str
    then: FileVersion
    now: FileVersion


_CHANGE_COLUMNS = (
    Column("spectrum_id", "text", "name of the spectrum", width=48),
    Column("grating", "text", "grating", width=8),
    Column("observation", "text", "observation", width=32),
    Column("version_then", "text", "reduction of the file on this disk", masked=True, width=16),
    Column("version_now", "text", "reduction of the file in the archive", masked=True, width=16),
    Column("snr_then", "float", "signal-to-noise ratio of the file on this disk", masked=True),
    Column("snr_now", "float", "signal-to-noise ratio in the archive", masked=True),
    Column("hash_then", "text", "SHA-256 of the file on this disk", width=71),
    Column("hash_now", "text", "SHA-256 of the file in the archive", width=71),
    Column("local_path", "text", "the file on this disk", width=200),
)


def changes_table(changes: Iterable[Change]) -> Table:
    """Return changes as a table, with the same columns and dtypes when there are none."""
    rows = [
        {
            "spectrum_id": change.spectrum_id,
            "grating": change.grating,
            "observation": change.observation,
            "version_then": change.then.reduction_version,
            "version_now": change.now.reduction_version,
            "snr_then": change.then.signal_to_noise,
            "snr_now": change.now.signal_to_noise,
            "hash_then": change.then.file_hash,
            "hash_now": change.now.file_hash,
            "local_path": change.local_path,
        }
        for change in changes
    ]
    return rows_table(_CHANGE_COLUMNS, rows)
