"""``Object``: one position on the sky with its spectra and photometry."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from campfire.errors import ValidationError
from campfire.models.collection import SpectrumCollection, plural
from campfire.models.photometry import Photometry
from campfire.models.spectrum import Spectrum, plain_value, row_names
from campfire.text import printed

if TYPE_CHECKING:
    from campfire.typing import Row, SpectrumOpener

__all__ = ["Object"]

_LISTS = ("programs", "tags", "observations", "member_target_ids")


@dataclass(repr=False, eq=False)
class Object:
    """One object of the archive.

    Parameters
    ----------
    object_id, field, ra, dec
        Name, field, and position in degrees (ICRS).
    redshift, redshift_auto, redshift_inspected
        Best, automated and inspected redshift; None where unknown.
    redshift_quality
        0 not inspected, 1 impossible, 2 tentative, 3 probable, 4 secure.
    programs, tags
        Slugs of the programs that observed it, and of its tags.
    n_spectra, max_snr, max_exposure_time
        Aggregates over its spectra; seconds.
    has_photometry, photo_z
        Whether photometry is known, and the photometric redshift.
    photo_z_err_lo, photo_z_err_hi
        16th and 84th percentile of the photometric redshift: bounds, not widths. ``photo_z_lo`` and
        ``photo_z_hi`` are the same numbers under a clearer name.
    spectra
        Its spectra.
    photometry
        Its broadband photometry; where several catalogues have the object, the one with most measured bands
        (of equals, the first by name), unless another is passed. None where there is none.
    photometries
        All its photometry, one a catalogue, ordered by name.
    n_targets, member_target_ids, observations
        The targets that are this object, and the observations of its spectra.
    last_inspected_at, last_data_change_at, staleness_reason
        Times as text, and why the last inspection may be out of date.

    Examples
    --------
    >>> Object("J0", "cosmos", 150.0, 2.0, redshift=3.421, tags=["lrd"])
    Object(J0, z=3.4210, cosmos)
      0 spectra
      tags: lrd
    """

    object_id: str
    field: str
    ra: float
    dec: float
    redshift: float | None = None
    redshift_auto: float | None = None
    redshift_inspected: float | None = None
    redshift_quality: int = 0
    programs: list[str] = dataclasses.field(default_factory=list)
    tags: list[str] = dataclasses.field(default_factory=list)
    n_spectra: int = 0
    max_snr: float | None = None
    max_exposure_time: float | None = None
    has_photometry: bool = False
    photo_z: float | None = None
    photo_z_err_lo: float | None = None
    photo_z_err_hi: float | None = None
    spectra: SpectrumCollection = dataclasses.field(default_factory=SpectrumCollection)
    photometry: Photometry | None = None
    photometries: tuple[Photometry, ...] = ()
    _: dataclasses.KW_ONLY
    n_targets: int = 0
    member_target_ids: list[str] = dataclasses.field(default_factory=list)
    observations: list[str] = dataclasses.field(default_factory=list)
    last_inspected_at: str | None = None
    last_data_change_at: str | None = None
    staleness_reason: str | None = None

    def __post_init__(self) -> None:
        given = [*self.photometries] or ([] if self.photometry is None else [self.photometry])
        self.photometries = tuple(sorted(given, key=lambda p: p.catalog))
        if self.photometry is None and self.photometries:
            self.photometry = max(self.photometries, key=lambda p: p.n_measured)

    @classmethod
    def from_row(
        cls,
        row: Mapping[str, Any],
        spectra: Iterable[Row] = (),
        photometry: Sequence[Row] = (),
        opener: SpectrumOpener | None = None,
    ) -> Self:
        """Make an object of catalogue rows.

        Parameters
        ----------
        row
            Row of the objects catalogue.
        spectra
            Rows of its spectra.
        photometry
            Rows of its photometry, one a catalogue; see :meth:`Photometry.from_record`.
        opener
            Given to each spectrum; called with a spectrum id when its arrays are asked for.

        Raises
        ------
        ValidationError
            If the row has no object id or position.
        """
        names = row_names(row)
        values = {name: plain_value(row[name]) for name in _FROM_ROW if name in names}
        absent = [name for name in ("object_id", "field", "ra", "dec") if values.get(name) is None]
        if absent:
            raise ValidationError(f"the row has no {', '.join(absent)}", hint="pass a row of query_objects")
        for name in _LISTS:
            values[name] = list(values.get(name) or ())
        values = {name: value for name, value in values.items() if value is not None}
        extra = {"redshift": values.get("redshift")}
        members = SpectrumCollection(Spectrum.from_row({**extra, **r}, opener) for r in spectra)
        records = tuple(Photometry.from_record(record) for record in photometry)
        values.setdefault("n_spectra", len(members))
        values["has_photometry"] = bool(values.get("has_photometry", records))
        return cls(**values, spectra=members, photometries=records)

    @property
    def photo_z_lo(self) -> float | None:
        """16th percentile of the photometric redshift."""
        return self.photo_z_err_lo

    @property
    def photo_z_hi(self) -> float | None:
        """84th percentile of the photometric redshift."""
        return self.photo_z_err_hi

    @property
    def gratings(self) -> list[str]:
        """Sorted list of the gratings of its spectra."""
        return self.spectra.gratings

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Object):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in dataclasses.fields(self))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        z = "-" if self.redshift is None else f"{self.redshift:.4f}"
        gratings = f" ({', '.join(self.gratings)})" if self.spectra else ""
        lines = [f"Object({self.object_id}, z={z}, {self.field})", f"  {plural(len(self.spectra))}{gratings}"]
        if self.tags:
            lines.append(f"  tags: {', '.join(self.tags)}")
        if self.photometry is not None:
            lines.append(f"  {self.photometry!r}")
        return printed("\n".join(lines))

    def _repr_html_(self) -> str:
        from campfire.models.html import object_card

        return object_card(self)


_FROM_ROW = tuple(
    f.name for f in dataclasses.fields(Object) if f.name not in ("spectra", "photometry", "photometries")
)
