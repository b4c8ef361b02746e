"""``SpectrumCollection``: the spectra of an object, filtered as numpy arrays are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from campfire.arguments import choice, did_you_mean, shown
from campfire.errors import NotFoundError, ValidationError
from campfire.models.spectrum import Spectrum
from campfire.text import printed
from campfire.typing import EXTRACTIONS

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import Table
    from numpy.typing import ArrayLike, NDArray

    from campfire.typing import BoolArray, Extraction, FloatArray, IntArray, PathInput

__all__ = ["SpectrumCollection"]

_SHOWN = 20  # rows of the printed form


class _UnknownNameError(ValidationError, NotFoundError, KeyError):
    """No spectrum of this name; a ``KeyError`` too, as for any mapping."""


class _AmbiguousError(ValidationError, KeyError):
    """Several spectra of this name."""


class _OutOfRangeError(NotFoundError, IndexError):
    """No spectrum at this position; an ``IndexError`` too, as for any sequence."""


class SpectrumCollection:
    """An ordered container of :class:`Spectrum`, indexed as a numpy array is, or by the name of one.

    ``s["PRISM"]`` is the spectrum of a grating that has one here, ``s["ember_uds_p4_prism_clear_123456"]``
    that of an id.

    Parameters
    ----------
    spectra
        The spectra, in order.

    Examples
    --------
    >>> two = SpectrumCollection([Spectrum("a_1", "J0", "PRISM", 12.0), Spectrum("a_2", "J0", "G395M")])
    >>> two[two.grating == "PRISM"].spectrum_id.tolist()
    ['a_1']
    >>> two[[1, 0]].gratings
    ['G395M', 'PRISM']
    >>> two["PRISM"]
    Spectrum(a_1, PRISM, S/N=12.0)
    """

    __slots__ = ("_spectra",)

    def __init__(self, spectra: Iterable[Spectrum] = ()) -> None:
        given: Any = spectra
        if not isinstance(given, Iterable):
            raise ValidationError(f"not spectra: {shown(spectra)}", hint="pass a list of Spectrum objects")
        self._spectra: tuple[Spectrum, ...] = tuple(given)
        for spectrum in self._spectra:
            if not isinstance(spectrum, Spectrum):
                raise ValidationError(
                    f"a collection of {type(spectrum).__name__}", hint="pass Spectrum objects"
                )

    def __len__(self) -> int:
        return len(self._spectra)

    def __iter__(self) -> Iterator[Spectrum]:
        return iter(self._spectra)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpectrumCollection):
            return NotImplemented
        return self._spectra == other._spectra

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, index: int | np.integer[Any] | str) -> Spectrum: ...
    @overload
    def __getitem__(self, index: slice | BoolArray | IntArray | list[bool] | list[int]) -> Self: ...
    def __getitem__(self, index: Any) -> Spectrum | Self:
        if isinstance(index, slice):
            return type(self)(self._spectra[index])
        if isinstance(index, str):
            return self._named(index)
        try:
            chosen = np.asarray(index)
        except ValueError:  # ragged
            chosen = np.asarray(None)
        if chosen.size == 0 and chosen.ndim == 1 and chosen.dtype.kind == "f":
            chosen = chosen.astype(np.intp)  # numpy makes an empty list float
        if chosen.dtype.kind == "b":
            if chosen.shape != (len(self),):
                raise ValidationError(
                    f"boolean mask of shape {chosen.shape} for {len(self)} spectra",
                    hint="pass one boolean a spectrum, such as s.grating == 'PRISM'",
                )
            chosen = np.flatnonzero(chosen)
        if chosen.dtype.kind not in "iu" or chosen.ndim > 1:
            raise ValidationError(
                f"cannot index spectra with {shown(index)}",
                hint="use an int, a slice, a 1-D bool or int array, a grating or a spectrum id",
            )
        outside = chosen[(chosen < -len(self)) | (chosen >= len(self))]
        if outside.size:
            raise _OutOfRangeError(
                f"no spectrum at position {outside.flat[0]}", hint=f"there are {len(self)}"
            )
        if chosen.ndim == 0:
            return self._spectra[int(chosen)]
        return type(self)(self._spectra[i] for i in chosen.tolist())

    def _named(self, name: str) -> Spectrum:
        """Return the only spectrum of this grating or this id; see :meth:`__getitem__`."""
        of_id = [s for s in self._spectra if s.spectrum_id == name]
        found = of_id or [s for s in self._spectra if s.grating.casefold() == name.casefold()]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(repr(s.spectrum_id) for s in found[:_SHOWN])
            raise _AmbiguousError(
                f"{len(found)} spectra of {name!r}: {ids}",
                hint=f"name one, or take all with s[s.grating == {found[0].grating!r}]",
            )
        raise _UnknownNameError(
            f"no spectrum or grating {name!r} here",
            hint=did_you_mean(name, [*self.gratings, *self.spectrum_id.tolist()]),
        )

    def _text(self, name: str) -> NDArray[np.str_]:
        return np.array([getattr(s, name) or "" for s in self._spectra], dtype=str)

    def _float(self, name: str) -> FloatArray:
        return np.array([getattr(s, name) for s in self._spectra], dtype=np.float64)  # None becomes NaN

    @property
    def spectrum_id(self) -> NDArray[np.str_]:
        """Names of the spectra."""
        return self._text("spectrum_id")

    @property
    def target_id(self) -> NDArray[np.str_]:
        """Names of the targets."""
        return self._text("target_id")

    @property
    def object_id(self) -> NDArray[np.str_]:
        """Objects they belong to; empty text where there is none."""
        return self._text("object_id")

    @property
    def grating(self) -> NDArray[np.str_]:
        """Grating of each spectrum."""
        return self._text("grating")

    @property
    def program_slug(self) -> NDArray[np.str_]:
        """Program of each spectrum."""
        return self._text("program_slug")

    @property
    def observation(self) -> NDArray[np.str_]:
        """Observation of each spectrum."""
        return self._text("observation")

    @property
    def reduction_version(self) -> NDArray[np.str_]:
        """Version of the reduction; empty text where unknown."""
        return self._text("reduction_version")

    @property
    def fits_path(self) -> NDArray[np.str_]:
        """Name of each file in the archive."""
        return self._text("fits_path")

    @property
    def local_path(self) -> NDArray[np.str_]:
        """Each file on this disk; empty text where there is none."""
        return self._text("local_path")

    @property
    def signal_to_noise(self) -> FloatArray:
        """Signal-to-noise ratios, NaN where unknown."""
        return self._float("signal_to_noise")

    @property
    def exposure_time(self) -> FloatArray:
        """Exposure times in seconds, NaN where unknown."""
        return self._float("exposure_time")

    @property
    def redshift_auto(self) -> FloatArray:
        """Automated redshifts, NaN where unknown."""
        return self._float("redshift_auto")

    @property
    def dq_flags(self) -> NDArray[np.int64]:
        """Data-quality bitmasks (:class:`campfire.flags.DQFlags`)."""
        return np.array([s.dq_flags for s in self._spectra], dtype=np.int64)

    @property
    def downloaded(self) -> BoolArray:
        """Whether each file is on this disk now."""
        return np.array([s.downloaded for s in self._spectra], dtype=np.bool_)

    @property
    def gratings(self) -> list[str]:
        """Sorted list of the gratings that occur."""
        return sorted({s.grating for s in self._spectra})

    def to_table(self) -> Table:
        """Return an astropy Table with the columns of ``query_spectra``, masked where unknown."""
        from campfire.columns import Columns, to_table

        return to_table(Columns.from_rows("spectra", [s.to_row() for s in self._spectra]))

    def to_xarray(
        self,
        *,
        grid: ArrayLike | str | None = None,
        chunks: Any = "auto",
        cache_dir: PathInput | None = None,
        extraction: Extraction = "optimal",
    ) -> xr.DataTree:
        """Open the files of all spectra as one lazy tree, one child a grating.

        Parameters
        ----------
        grid
            None (as observed), pixel centres in microns, or ``"common"`` (one grid a grating).
        chunks
            Rows a block; None reads everything now into numpy arrays.
        cache_dir
            Folder of the pixel cache, none without it.
        extraction
            ``optimal``, ``3px``, ``4px`` or ``5px``.

        Raises
        ------
        NotFoundError
            If spectra are not on disk; the message says how many and what to type.
        ValidationError
            If there are no spectra.
        """
        from campfire.collection.build import open_tree
        from campfire.collection.row_sources import FileSource

        choice(extraction, "extraction", EXTRACTIONS)
        absent = [s.spectrum_id for s in self._spectra if not s.downloaded]
        if absent:
            raise NotFoundError(
                f"{len(absent)} of {len(self)} spectra are not on disk (the first: {absent[0]})",
                hint="fetch them with cf.download(spectrum_ids=list(s.spectrum_id)), then ask again",
            )
        sources = [FileSource(str(s.local_path), s.file_hash or "", extraction) for s in self._spectra]
        rows = [s.to_row() for s in self._spectra]
        names = [name for name in (rows[0] if rows else {}) if name != "local_path"]
        columns = {name: [row[name] for row in rows] for name in names}
        return open_tree(sources, columns, grid=grid, chunks=chunks, cache_dir=cache_dir)

    def __repr__(self) -> str:
        kinds = f": {', '.join(self.gratings)}" if self._spectra else ""
        lines = [f"SpectrumCollection({plural(len(self))}{kinds})"]
        width = max((len(s.spectrum_id) for s in self._spectra[:_SHOWN]), default=0)
        for s in self._spectra[:_SHOWN]:
            snr = "-" if s.signal_to_noise is None else f"{s.signal_to_noise:.1f}"
            mark = "Y" if s.downloaded else "-"
            lines.append(f"  {s.spectrum_id:<{width}}  {s.grating:<6}  S/N {snr:>7}  downloaded {mark}")
        if len(self) > _SHOWN:
            lines.append(f"  ... {len(self) - _SHOWN} more")
        return printed("\n".join(lines))

    def _repr_html_(self) -> str:
        from campfire.models.html import collection_card

        return collection_card(self)


def plural(n: int) -> str:
    """Return ``"1 spectrum"``, ``"2 spectra"``."""
    return "1 spectrum" if n == 1 else f"{n} spectra"
