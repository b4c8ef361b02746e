"""``Spectrum``: one catalogue row with the means to open its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from campfire.arguments import shown
from campfire.errors import CampfireError, ValidationError
from campfire.models.spectrum_data import SpectrumData
from campfire.text import printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.typing import Row, SpectrumOpener

__all__ = ["Spectrum", "plain_value"]


@dataclass(eq=False, repr=False)
class Spectrum:
    """One row of the spectra catalogue, and an opener that gives its arrays.

    Parameters
    ----------
    spectrum_id
        Name of the spectrum.
    object_id
        Object it belongs to; None where the target is not linked to one yet.
    grating
        Name of the grating.
    signal_to_noise
        Signal-to-noise ratio of the spectrum, None where unknown.
    exposure_time
        Exposure time, seconds.
    reduction_version
        Version of the reduction.
    redshift_auto
        Automated redshift of this spectrum.
    dq_flags
        Data-quality bitmask (:class:`campfire.flags.DQFlags`).
    fits_path
        Name of the file in the archive.
    local_path
        The file on this disk, as an absolute path.
    target_id, program_slug, observation, field, file_hash, file_size, updated_at, id
        Further columns of the catalogue.
    redshift, redshift_quality, ra, dec
        Columns of the object it belongs to; degrees.
    opener
        Called with the spectrum id; gives the fields of a :class:`SpectrumData`. Where it also has a method
        ``local_path(spectrum_id)``, that says which files are on disk by now.

    Examples
    --------
    >>> Spectrum("demo_1", "J0", "PRISM", signal_to_noise=12.34)
    Spectrum(demo_1, PRISM, S/N=12.3)
    """

    spectrum_id: str
    object_id: str | None
    grating: str
    signal_to_noise: float | None = None
    exposure_time: float | None = None
    reduction_version: str | None = None
    redshift_auto: float | None = None
    dq_flags: int = 0
    fits_path: str | None = None
    local_path: str | None = None
    _: KW_ONLY
    target_id: str = ""
    program_slug: str | None = None
    observation: str | None = None
    field: str | None = None
    redshift: float | None = None
    redshift_quality: int | None = None
    ra: float | None = None
    dec: float | None = None
    file_hash: str | None = None
    file_size: int | None = None
    updated_at: str | None = None
    id: int | None = None
    opener: SpectrumOpener | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any], opener: SpectrumOpener | None = None) -> Self:
        """Make a spectrum of a catalogue row.

        Parameters
        ----------
        row
            A row dictionary, or a row of a table from ``query_spectra``; unknown values are None or masked.
        opener
            Called with the spectrum id when the arrays are asked for.

        Raises
        ------
        ValidationError
            If the row has no spectrum id.
        """
        names = row_names(row)
        values = {name: plain_value(row[name]) for name in _COLUMNS if name in names}
        if not values.get("spectrum_id"):
            raise ValidationError("the row has no spectrum_id", hint="pass a row of query_spectra")
        values["object_id"] = values.get("object_id")
        values["grating"] = values.get("grating") or ""
        values["target_id"] = values.get("target_id") or ""
        values["dq_flags"] = values.get("dq_flags") or 0
        return cls(**values, opener=opener)

    def to_row(self) -> Row:
        """Return the catalogue columns as a dictionary, None where unknown."""
        return {name: getattr(self, name) for name in _COLUMNS}

    def open(self) -> SpectrumData:
        """Read the arrays: from disk where the file is there, else through the archive.

        Returns
        -------
        SpectrumData
            A new one at every call; :attr:`data` keeps it.

        Raises
        ------
        NotFoundError
            If the file is gone, or the archive does not have it.
        CampfireError
            If there is neither a file on disk nor an opener.
        """
        if self.opener is not None:
            fields = self.opener(self.spectrum_id)
        elif self.downloaded:
            from campfire.formats.spec_reader import read_spectrum

            path = str(self.local_path)
            fields = read_spectrum(path, spectrum_id=self.spectrum_id, grating=self.grating)
        else:
            raise CampfireError(
                f"spectrum {self.spectrum_id!r} has no file on disk and no client to fetch it",
                hint="get it from Campfire().get_object(...), or open it with Campfire().open_spectrum(...)",
            )
        if fields.get("redshift") is None:
            fields = {**fields, "redshift": self.redshift}
        return SpectrumData(**fields)

    @cached_property
    def data(self) -> SpectrumData:
        """The arrays, read once and kept; see :meth:`open`."""
        return self.open()

    @property
    def downloaded(self) -> bool:
        """Whether the file is on this disk now; ``local_path`` follows where it was downloaded since."""
        if self.local_path and Path(self.local_path).is_file():
            return True
        locate: Callable[[str], Path | None] | None = getattr(self.opener, "local_path", None)
        found = None if locate is None else locate(self.spectrum_id)
        if found is None:
            return False
        self.local_path = str(found)
        return True

    def plot(self, **kwargs: Any) -> Axes:
        """Open and draw the spectrum; arguments as for :meth:`SpectrumData.plot`."""
        return self.open().plot(**kwargs)

    def __eq__(self, other: object) -> bool:
        return self.to_row() == other.to_row() if isinstance(other, Spectrum) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.spectrum_id)

    def __repr__(self) -> str:
        snr = "-" if self.signal_to_noise is None else f"{self.signal_to_noise:.1f}"
        return printed(f"Spectrum({self.spectrum_id}, {self.grating}, S/N={snr})")


_COLUMNS = tuple(item.name for item in fields(Spectrum) if item.name != "opener")


def row_names(row: Any) -> list[str]:
    """Return the columns of a row: a dictionary, or a row of a table of astropy or pandas.

    Raises
    ------
    ValidationError
        If it is none.
    """
    of_pandas = hasattr(row, "iloc") and not hasattr(row, "columns")
    if isinstance(row, Mapping) or of_pandas:
        return [str(name) for name in row.keys()]  # noqa: SIM118, a Series iterates over its values
    if hasattr(row, "colnames") and hasattr(row, "as_void"):
        return list(row.colnames)
    raise ValidationError(f"{shown(row)} is not a row", hint="pass one row, as table[0]")


def plain_value(value: Any) -> Any:
    """Return a catalogue value as plain Python; None for what is masked or NaN."""
    if value is None or value is np.ma.masked or type(value).__name__ == "NAType":
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
