"""Types that cross module borders: array aliases, row and payload dictionaries, protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypeAlias, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass

__all__ = [
    "EXTRACTIONS",
    "BandpassLike",
    "BoolArray",
    "Extraction",
    "FloatArray",
    "IntArray",
    "Page",
    "PathInput",
    "ProgressCallback",
    "RedshiftFit",
    "Row",
    "SpectrumFields",
    "SpectrumOpener",
    "SpectrumPayload",
    "SpectrumReader",
    "SyncSource",
]

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]
PathInput: TypeAlias = str | PathLike[str]
Extraction: TypeAlias = Literal["optimal", "3px", "4px", "5px"]
EXTRACTIONS: tuple[str, ...] = get_args(Extraction)
Row: TypeAlias = dict[str, Any]
"""One catalogue row as the wire or the store gives it: column name -> plain Python value."""

ProgressCallback: TypeAlias = Callable[[str, int, int | None], None]
"""``progress(stage, done, total)``: called from any thread; ``total`` is None while unknown."""


class SpectrumFields(TypedDict):
    """The fields of a ``SpectrumData`` as plain arrays and text: ``SpectrumData(**fields)`` is the bridge.

    Arrays are 1-D of one length, native byte order. ``flam`` is absent or None where it is to be computed
    from ``fnu``. ``mask`` True means: do not use. ``covariance`` is a sparse array, or a ``Covariance``.
    """

    wavelength: FloatArray
    fnu: FloatArray
    fnu_err: FloatArray
    header: dict[str, Any]
    grating: str
    spectrum_id: str
    flam: NotRequired[FloatArray | None]
    flam_err: NotRequired[FloatArray | None]
    fits_path: NotRequired[str | None]
    fnu_units: NotRequired[str]
    flam_units: NotRequired[str]
    wave_units: NotRequired[str]
    mask: NotRequired[BoolArray | None]
    redshift: NotRequired[float | None]
    covariance: NotRequired[Any]
    resolving_power: NotRequired[FloatArray | None]


class SpectrumPayload(TypedDict):
    """What ``get_spectrum_data`` returns; None stands for a value that is not finite."""

    wave: list[float]
    fnu: list[float | None]
    fnu_err: list[float | None]
    snr_2d: list[list[float]]
    n_spatial: int
    n_wave: int
    profile: list[float]
    profile_fit: list[float]
    profile_pix: list[float]


class RedshiftFit(TypedDict):
    """What ``get_redshift_fit_data`` returns."""

    redshift: float
    chi2_min: float
    confidence: float
    z_grid: list[float]
    chi2_grid: list[float]
    model_wave: list[float]
    model_fnu: list[float]


class Page(TypedDict):
    """One page of a paged endpoint.

    ``total`` counts what matches the request, ``accessible`` all rows of the table this account can see;
    None where the service does not say. ``aside`` holds the ids of rows that came and did not fit, as far as
    they have one.
    """

    rows: list[Row]
    total: int | None
    accessible: int | None
    aside: NotRequired[list[Any]]


class SpectrumReader(Protocol):
    """Reads one spectrum of some layout into plain fields.

    :func:`campfire.formats.spec_reader.read_spectrum` is one. A function for any other layout needs no
    registration: ``SpectrumData(**reader(path))`` is a spectrum like those of the archive.
    """

    def __call__(self, path: PathInput) -> SpectrumFields: ...


class SpectrumOpener(Protocol):
    """Given to a ``Spectrum`` so that it can open its file without knowing the client."""

    def __call__(self, spectrum_id: str) -> SpectrumFields: ...


class BandpassLike(Protocol):
    """A filter curve: photon-counting throughput against wavelength in microns (ascending, vacuum)."""

    @property
    def name(self) -> str: ...
    @property
    def wavelength(self) -> FloatArray: ...
    @property
    def throughput(self) -> FloatArray: ...


class SyncSource(Protocol):
    """Where a synchronisation gets its rows from; implemented by the HTTP API, and by anything else."""

    def metadata(self) -> Mapping[str, Any]: ...
    def observations(self) -> Sequence[Row]: ...
    def sync_objects(self, updated_since: str | None = None) -> Iterator[Page]: ...
    def sync_spectra(self, updated_since: str | None = None) -> Iterator[Page]: ...
    def sync_photometry(self, updated_since: str | None = None) -> Iterator[Page]: ...
    def sync_lists(self) -> Iterable[Row]: ...
