"""The lock file: which files, by hash, a result was made of, and with which versions of which packages.

It is JSON with a line a spectrum, in the order of their ids: people can read it, and version control shows
what differs between two of them. Nothing in it is secret, and nothing says where the data directory is.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

from campfire.config import as_path
from campfire.disk import disk_error, new_file
from campfire.errors import NotFoundError, ValidationError
from campfire.installation import DISTRIBUTION, VERSION
from campfire.publishing import replacing

if TYPE_CHECKING:
    from campfire.typing import PathInput

__all__ = ["FileVersion", "Lock", "LockedSpectrum", "package_versions"]

FORMAT = 1
_PACKAGES = ("numpy", "xarray", "astropy", "scipy", "dask", "zarr")
# A lock file may come from anybody: what is used as part of a file name has to look like this.
_HASH = re.compile(r"[A-Za-z0-9]+:[0-9a-fA-F]{12,}")


def package_versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that numbers depend on; None: not installed.

    Examples
    --------
    >>> list(package_versions())
    ['python', 'campfire', 'numpy', 'xarray', 'astropy', 'scipy', 'dask', 'zarr']
    """
    found: dict[str, str | None] = {"python": platform.python_version(), "campfire": VERSION}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of the file of a spectrum; None: not known.

    Parameters
    ----------
    file_hash
        ``sha256:`` and hexadecimal digits.
    file_size
        Bytes.
    reduction_version
        Of the pipeline that wrote it.
    signal_to_noise
        Of the spectrum in it.

    Examples
    --------
    >>> print(FileVersion("sha256:" + 64 * "a", 400_000, "v1.2", 12.34))
    v1.2, S/N 12.34, sha256:aaaaaaaaaaaa
    """

    file_hash: str
    file_size: int | None = None
    reduction_version: str | None = None
    signal_to_noise: float | None = None

    def __str__(self) -> str:
        parts = [self.reduction_version or "version unknown"]
        if self.signal_to_noise is not None:
            parts.append(f"S/N {self.signal_to_noise:.2f}")
        kind, _, digits = self.file_hash.partition(":")
        return ", ".join([*parts, f"{kind}:{digits[:12]}"])


@dataclass(frozen=True, slots=True)
class LockedSpectrum:
    """One line of a lock file.

    Parameters
    ----------
    spectrum_id, object_id, grating, observation, fits_path
        Of the catalogue.
    file_hash, file_size, reduction_version, signal_to_noise
        Of the file, see :class:`FileVersion`.
    hash_of
        ``disk``: of the file on this disk at that time; ``archive``: there was none, and the catalogue's word
        was taken.
    """

    spectrum_id: str
    object_id: str | None
    grating: str
    observation: str
    fits_path: str
    file_hash: str
    file_size: int | None
    reduction_version: str | None
    signal_to_noise: float | None
    hash_of: Literal["disk", "archive"]

    @property
    def version(self) -> FileVersion:
        """The version of the file that is locked."""
        return FileVersion(self.file_hash, self.file_size, self.reduction_version, self.signal_to_noise)


_LONGEST = 1000  # characters of a text in a lock file
_KINDS: dict[str, tuple[type, ...]] = {
    "object_id": (str, type(None)),
    "file_size": (int, type(None)),
    "reduction_version": (str, type(None)),
    "signal_to_noise": (float, int, type(None)),
}


@dataclass(frozen=True, slots=True, repr=False)
class Lock:
    """What a lock file says.

    Parameters
    ----------
    spectra
        Sorted by id.
    archive
        Origin of the service, ``https://host:port``.
    last_synced
        Of the catalogue, or None without one.
    created
        When the lock was made (ISO 8601, UTC).
    versions
        Of the packages that a result depends on.
    """

    spectra: tuple[LockedSpectrum, ...]
    archive: str
    last_synced: str | None
    created: str
    versions: dict[str, str | None]

    @classmethod
    def of(cls, spectra: list[LockedSpectrum], archive: str, last_synced: str | None) -> Lock:
        """Make a lock with the date and the packages of now."""
        ordered = tuple(sorted(spectra, key=lambda entry: entry.spectrum_id))
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(ordered, archive, last_synced, created, package_versions())

    def __len__(self) -> int:
        return len(self.spectra)

    def __repr__(self) -> str:
        here = sum(entry.hash_of == "disk" for entry in self.spectra)
        return f"Lock({len(self)} spectra, {here} of them hashed on disk, {self.archive}, {self.created})"

    def to_json(self) -> str:
        """Return the text of the lock file."""
        head: dict[str, Any] = {
            "campfire_lock": FORMAT,
            "created": self.created,
            "archive": self.archive,
            "last_synced": self.last_synced,
            "versions": self.versions,
        }
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
        entries = [f"    {json.dumps(asdict(entry))}" for entry in self.spectra]
        return "\n".join(["{", *lines, '  "spectra": [', ",\n".join(entries), "  ]", "}", ""])

    def write(self, path: PathInput, *, overwrite: bool = False) -> None:
        """Write the lock file, whole or not at all.

        Raises
        ------
        ValidationError
            If there is a file already and ``overwrite`` is False (it may be what a result hangs on), or it
            cannot be written.
        """
        target = new_file(path, overwrite=overwrite)
        try:
            with replacing(target) as temporary:
                temporary.write_text(self.to_json(), encoding="utf-8")
        except OSError as err:
            told = disk_error(err, "cannot write", target)
            raise ValidationError(told.message, hint=told.hint, path=target) from err

    @classmethod
    def read(cls, path: PathInput) -> Lock:
        """Read a lock file.

        Raises
        ------
        NotFoundError
            If there is none.
        ValidationError
            If it is not a lock file, broken, or of a later campfire.
        """
        target = as_path(path).absolute()
        try:
            if target.exists() and not target.is_file():
                raise ValueError("it is no plain file")
            found = json.loads(target.read_text(encoding="utf-8"))
        except FileNotFoundError as err:
            raise NotFoundError(f"no lock file {target}", hint="lock(path) makes one", path=target) from err
        except (ValueError, RecursionError, OSError) as err:
            raise ValidationError(f"{target} is not a lock file: {err}", path=target) from err
        if not isinstance(found, Mapping) or "campfire_lock" not in found:
            raise ValidationError(f"{target} is not a lock file of campfire", path=target)
        if found["campfire_lock"] != FORMAT:
            raise ValidationError(
                f"{target} has format {found['campfire_lock']!r}, and this campfire reads {FORMAT}",
                hint=f"pip install --upgrade {DISTRIBUTION}",
                path=target,
            )
        entries, versions = found.get("spectra"), found.get("versions")
        if not isinstance(entries, list) or not isinstance(versions, Mapping):
            raise ValidationError(f"{target} is a lock file without spectra or versions", path=target)
        spectra = [_entry(entry, f"{target}, spectrum {number}") for number, entry in enumerate(entries, 1)]
        if len({entry.spectrum_id for entry in spectra}) != len(spectra):
            raise ValidationError(f"{target} names a spectrum twice", path=target)
        last_synced = found.get("last_synced")

        def plain(key: str, value: object) -> str:
            return _plain(str(value), f"{target}, {key}")

        return cls(
            tuple(sorted(spectra, key=lambda entry: entry.spectrum_id)),
            plain("archive", found.get("archive", "")),
            None if last_synced is None else plain("last_synced", last_synced),
            plain("created", found.get("created", "")),
            {
                plain("versions", name): None if value is None else plain("versions", value)
                for name, value in versions.items()
            },
        )


def _plain(text: str, where: str) -> str:
    """Return text that may be printed: a lock file comes from anybody, and its texts reach a terminal."""
    if len(text) > _LONGEST or not text.isprintable():
        raise ValidationError(f"{where}: {text[:80]!a} is not plain text", hint="do not trust the file")
    return text


def _entry(found: Any, where: str) -> LockedSpectrum:
    if not isinstance(found, Mapping):
        raise ValidationError(f"{where}: not an object")
    values: dict[str, Any] = {field.name: found.get(field.name) for field in fields(LockedSpectrum)}
    for name, value in values.items():
        if type(value) not in _KINDS.get(name, (str,)):
            raise ValidationError(f"{where}: {name} is {ascii(value)[:200]}")
        if isinstance(value, str):
            _plain(value, f"{where}, {name}")
    if not _HASH.fullmatch(values["file_hash"]):
        raise ValidationError(f"{where}: {values['file_hash'][:80]!r} is not a hash", hint="sha256:<hex>")
    return LockedSpectrum(**values)
