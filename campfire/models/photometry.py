"""Broadband photometry of one object from one catalogue."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np

from campfire.arguments import known_number, mapping, shown, text
from campfire.bands import find_band
from campfire.errors import CampfireWarning, NotFoundError, ValidationError
from campfire.text import printed
from campfire.units import FNU_UNIT, filled, to_microjansky, to_micron

if TYPE_CHECKING:
    from astropy.table import Table

    from campfire.models.spectrum_data import QuantityLike
    from campfire.typing import FloatArray, Row

__all__ = ["Band", "Photometry", "UnknownBandError"]


class UnknownBandError(ValidationError, NotFoundError, KeyError):
    """A band that a :class:`Photometry` does not have; a ``KeyError`` too, as for any mapping."""


class Band(NamedTuple):
    """One band: flux density and its 1-sigma error in microjansky, pivot wavelength in microns."""

    flux: float
    flux_err: float
    wavelength: float


@dataclass(init=False, eq=False, repr=False)
class Photometry:
    """Parallel arrays of broadband photometry; ``phot["f444w"]`` is one band.

    Parameters
    ----------
    bands
        Names of the bands, with regard to case (``y`` and ``Y`` differ).
    flux, flux_err
        Flux density and its 1-sigma error, shape (n,): microjansky or a Quantity; NaN where not measured.
    wavelength
        Pivot wavelengths, shape (n,): microns or a Quantity; NaN where unknown.
    catalog
        Name of the source catalogue.
    photo_z
        Photometric redshift.
    flux_unit
        Unit of the flux densities as text; microjansky.
    catalog_id
        Name of the source in the catalogue.
    match_distance_arcsec
        Distance of the catalogue source from the object, arcsec.
    photo_z_err_lo, photo_z_err_hi
        16th and 84th percentile of the photometric redshift: bounds, redshifts themselves, not widths.
        ``photo_z_lo`` and ``photo_z_hi`` are the same numbers under a clearer name.

    Raises
    ------
    ValidationError
        For arrays of different lengths, bands given twice, or a wrong unit.

    Examples
    --------
    >>> phot = Photometry(["f150w", "f444w"], [1.0, 2.0], [0.1, 0.2], [1.504, 4.416], "demo", 3.51)
    >>> phot
    Photometry(2 bands, demo, photo_z=3.51)
    >>> phot["f444w"].flux
    2.0
    """

    bands: list[str]
    flux: FloatArray
    flux_err: FloatArray
    wavelength: FloatArray
    catalog: str = ""
    photo_z: float | None = None
    flux_unit: str = FNU_UNIT
    catalog_id: str | None = None
    match_distance_arcsec: float | None = None
    photo_z_err_lo: float | None = None
    photo_z_err_hi: float | None = None

    def __init__(
        self,
        bands: Iterable[str],
        flux: QuantityLike,
        flux_err: QuantityLike,
        wavelength: QuantityLike,
        catalog: str = "",
        photo_z: float | None = None,
        flux_unit: str = FNU_UNIT,
        catalog_id: str | None = None,
        match_distance_arcsec: float | None = None,
        photo_z_err_lo: float | None = None,
        photo_z_err_hi: float | None = None,
    ) -> None:
        self.bands = _band_names(bands)
        if not isinstance(flux_unit, str) or flux_unit not in (FNU_UNIT, "µJy", "μJy"):
            raise ValidationError(
                f"flux_unit is {shown(flux_unit)}", hint="convert to 'uJy', or pass a Quantity"
            )
        self.wavelength = self._array("wavelength", to_micron(_numbers(wavelength)))
        self.flux = self._array("flux", to_microjansky(_numbers(flux), self.wavelength))
        self.flux_err = self._array("flux_err", to_microjansky(_numbers(flux_err), self.wavelength))
        self.catalog, self.flux_unit = text(catalog, "catalog"), flux_unit
        self.catalog_id = None if catalog_id is None else text(catalog_id, "catalog_id")
        self.photo_z = known_number(photo_z, "photo_z")
        self.photo_z_err_lo = known_number(photo_z_err_lo, "photo_z_err_lo")
        self.photo_z_err_hi = known_number(photo_z_err_hi, "photo_z_err_hi")
        self.match_distance_arcsec = known_number(match_distance_arcsec, "match_distance_arcsec")
        self._place: dict[str, int] = {}
        for index, name in enumerate(self.bands):
            first = self._place.setdefault(_key(name), index)
            if first != index:
                raise ValidationError(
                    f"bands given twice: {', '.join(dict.fromkeys((self.bands[first], name)))}",
                    hint="names of a band differ in case, or are its SVO id; keep one",
                )

    def _array(self, name: str, values: FloatArray) -> FloatArray:
        if values.shape != (len(self.bands),):
            raise ValidationError(
                f"{name} has shape {values.shape} for {len(self.bands)} bands", hint="one value a band"
            )
        return cast("FloatArray", np.ascontiguousarray(values, dtype=np.float64))

    @classmethod
    def from_record(cls, record: Row) -> Self:
        """Build the photometry from a row of the archive, bands ordered by wavelength.

        Parameters
        ----------
        record
            With ``photometry`` (``{"flux_unit": "uJy", "bands": {name: {"flux", "flux_err", "wav"}}}``, or
            its JSON text), ``catalog_name``, ``catalog_id``, ``match_distance_arcsec``, ``photo_z``,
            ``photo_z_err_lo``, ``photo_z_err_hi``.

        Raises
        ------
        ValidationError
            If the photometry is not of that form or in another unit than microjansky.

        Notes
        -----
        Pivot wavelengths are those of ``campfire.bands``, else the record's own ``wav``, else NaN (last).
        Fluxes and errors that are null become NaN. Of a band under two names (``F277W``, ``f277w``) the first
        is taken, with a warning.
        """
        body = mapping(record, "record", "pass a row of the archive's photometry").get("photometry")
        if isinstance(body, str):
            try:
                body = json.loads(body)
            except ValueError as err:
                raise ValidationError(f"photometry is not JSON: {body[:60]!r}") from err
        body = {} if body is None else body
        bands = body.get("bands") or {} if isinstance(body, Mapping) else None
        if not isinstance(bands, Mapping) or not all(isinstance(b, Mapping) for b in bands.values()):
            raise ValidationError("photometry has no table of bands", hint='expected {"bands": {...}}')
        rows = [(name, _pivot(name, b), b.get("flux"), b.get("flux_err")) for name, b in bands.items()]
        rows.sort(key=lambda row: (np.isnan(row[1]), row[1], row[0]))
        own = {_key(row[0]): row for row in reversed(rows)}
        if len(own) < len(rows):
            left = [row[0] for row in rows if own[_key(row[0])] is not row]
            warnings.warn(f"bands given twice, left out: {', '.join(left)}", CampfireWarning, stacklevel=2)
            rows = [row for row in rows if row[0] not in left]
        return cls(
            bands=[row[0] for row in rows],
            flux=_numbers([row[2] for row in rows]),
            flux_err=_numbers([row[3] for row in rows]),
            wavelength=_numbers([row[1] for row in rows]),
            catalog=str(record.get("catalog_name") or ""),
            photo_z=record.get("photo_z"),
            flux_unit=str(body.get("flux_unit") or FNU_UNIT),
            catalog_id=None if record.get("catalog_id") is None else str(record["catalog_id"]),
            match_distance_arcsec=record.get("match_distance_arcsec"),
            photo_z_err_lo=record.get("photo_z_err_lo"),
            photo_z_err_hi=record.get("photo_z_err_hi"),
        )

    @property
    def photo_z_lo(self) -> float | None:
        """16th percentile of the photometric redshift."""
        return self.photo_z_err_lo

    @property
    def photo_z_hi(self) -> float | None:
        """84th percentile of the photometric redshift."""
        return self.photo_z_err_hi

    @property
    def n_measured(self) -> int:
        """Number of bands with a finite flux and error."""
        return int(np.sum(np.isfinite(self.flux) & np.isfinite(self.flux_err)))

    def to_table(self) -> Table:
        """Return an astropy Table: ``band``, ``flux``, ``flux_err`` (uJy), ``wavelength`` (um)."""
        from astropy.table import Column

        from campfire.archive_table import ArchiveTable

        return ArchiveTable(
            [
                Column(np.array(self.bands, dtype=str), name="band", description="name of the band"),
                Column(self.flux, name="flux", unit=FNU_UNIT, description="flux density f_nu"),
                Column(self.flux_err, name="flux_err", unit=FNU_UNIT, description="1-sigma error"),
                Column(self.wavelength, name="wavelength", unit="um", description="pivot wavelength"),
            ],
            meta={"catalog": self.catalog, "photo_z": self.photo_z},
        )

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[str]:
        return iter(self.bands)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def _find(self, name: str) -> int | None:
        return self._place.get(_key(name))

    def __getitem__(self, name: str) -> Band:
        index = self._find(name) if isinstance(name, str) else None
        if index is None:
            near = get_close_matches(str(name), self.bands, n=1, cutoff=0.8)
            offer = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownBandError(
                f"no band {name!r}", hint=f"{offer}available: {', '.join(self.bands) or 'none'}"
            )
        return Band(float(self.flux[index]), float(self.flux_err[index]), float(self.wavelength[index]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Photometry):
            return NotImplemented
        arrays = ("flux", "flux_err", "wavelength")
        plain = ("bands", "catalog", "photo_z", "catalog_id", "match_distance_arcsec")
        bounds = ("photo_z_err_lo", "photo_z_err_hi")
        return all(getattr(self, n) == getattr(other, n) for n in plain + bounds) and all(
            np.array_equal(getattr(self, n), getattr(other, n), equal_nan=True) for n in arrays
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = [f"{len(self)} band" if len(self) == 1 else f"{len(self)} bands"]
        if self.catalog:
            parts.append(self.catalog)
        if self.photo_z is not None:
            parts.append(f"photo_z={self.photo_z:.2f}")
        return printed(f"Photometry({', '.join(parts)})")

    def _repr_html_(self) -> str:
        from campfire.models.html import photometry_card

        return photometry_card(self)


def _band_names(bands: Iterable[str]) -> list[str]:
    if isinstance(bands, str | bytes | Mapping) or not isinstance(bands, Iterable):
        raise ValidationError(f"bands={shown(bands)}", hint="pass a list of names")
    return [text(name, "the name of a band") for name in bands]


def _key(name: str) -> str:
    """Return what tells bands apart: the name in our table of whatever is a name of one of them."""
    known = find_band(name)
    return name if known is None else known.name


def _numbers(values: Any) -> Any:
    """Return numbers with NaN for None and for what is masked; Quantities and arrays as they are."""
    if not isinstance(values, Sequence):
        return filled(values)
    try:
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValidationError(f"photometry holds {str(list(values))[:80]}", hint="numbers or null") from err


def _pivot(name: str, band: Mapping[str, Any]) -> float:
    known = find_band(name)
    if known is not None:
        return known.pivot
    wav = band.get("wav")
    number = wav if isinstance(wav, int | float) and not isinstance(wav, bool) else np.nan
    return float(number) if np.isfinite(number) and number > 0 else np.nan
