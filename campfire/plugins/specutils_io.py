"""The format "campfire" of ``specutils.Spectrum.read`` and ``.write``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from campfire.errors import CampfireError, ValidationError
from campfire.import_hooks import after_import
from campfire.installation import missing_extra

if TYPE_CHECKING:
    from specutils import Spectrum

    from campfire.typing import Extraction, PathInput

__all__ = ["install", "register"]

FORMAT = "campfire"
_DONE: set[str] = set()


def install() -> None:
    """Register with specutils: now if it is loaded, else when it gets loaded; once."""
    if "installed" not in _DONE:
        _DONE.add("installed")
        after_import("specutils", register)


def register() -> None:
    """Register reader, writer and identifier with specutils, which gets imported; once.

    ``Spectrum.read(path, format="campfire")`` reads every layout that ``SpectrumData.from_fits`` reads;
    without a format only CAMPFIRE's own ``_spec.fits`` is claimed, as specutils reads JWST products itself.

    Raises
    ------
    ImportError
        If specutils is not installed.
    """
    try:
        from specutils.io.registers import custom_writer, data_loader
    except ImportError as err:
        raise missing_extra("this needs specutils", "specutils") from err
    if "registered" in _DONE:  # checked only now: the import itself may have registered, see install()
        return
    _DONE.add("registered")
    # Above the loaders of specutils that take any FITS file with a table in it.
    data_loader(FORMAT, identifier=_identify, extensions=["fits", "fits.gz"], priority=10)(read)
    custom_writer(FORMAT)(write)


def read(file: Any, *, extraction: Extraction = "optimal") -> Spectrum:
    """Read a spectrum file into a ``specutils.Spectrum``, as ``SpectrumData.from_fits`` does."""
    from campfire.convert import to_specutils
    from campfire.formats.spec_reader import read_spectrum

    return to_specutils(read_spectrum(_path(file), extraction=extraction))


def write(spectrum: Spectrum, file: PathInput, *, overwrite: bool = False) -> None:
    """Write a ``specutils.Spectrum`` as a CAMPFIRE ``_spec.fits``; as ``SpectrumData.write`` does."""
    from campfire.convert import from_specutils
    from campfire.formats.spec_writer import write_spectrum

    write_spectrum(_path(file), from_specutils(spectrum), overwrite=overwrite)


def _path(file: Any) -> str:
    """Return the path of a path or of an open file, which is what astropy may hand on."""
    name = getattr(file, "name", file)
    if not isinstance(name, str | os.PathLike):
        raise ValidationError(f"cannot read from a {type(file).__name__}", hint="pass the path of a file")
    return os.fspath(name)


def _identify(origin: str, path: Any, fileobj: Any, *args: Any, **kwargs: Any) -> bool:
    if origin != "read":
        return False
    from campfire.formats.hdu_reader import RawFits
    from campfire.formats.layouts import find_table

    try:
        with RawFits(_path(fileobj if path is None else path)) as fits:
            return find_table(fits).layout == "campfire"
    except (CampfireError, OSError):
        return False
