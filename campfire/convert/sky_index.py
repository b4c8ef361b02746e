"""An index of positions on the sky for xarray, and the search behind it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import xarray as xr
from xarray.core.indexing import IndexSelResult

from campfire.arguments import shown
from campfire.errors import ValidationError
from campfire.query.coerce import cone as as_cone
from campfire.query.evaluate import chord_squared, distance_arcsec, squared_chords, unit_vectors
from campfire.typing import FloatArray

__all__ = ["WHOLE_SKY", "SkyIndex", "rows_nearest", "rows_within"]

Cone = tuple[float, float, float]
Vectors = tuple[FloatArray, FloatArray, FloatArray]
WHOLE_SKY = 648_000.0


def rows_within(
    cone: Cone, ra: FloatArray, dec: FloatArray, vectors: Vectors | None = None
) -> tuple[Any, FloatArray]:
    """Find positions in a cone.

    Parameters
    ----------
    cone
        Right ascension and declination in degrees, radius in arcseconds, which is itself inside.
    ra, dec
        Degrees, one a row; one that is not finite is nowhere.
    vectors
        Their unit vectors, where they are at hand.

    Returns
    -------
    tuple
        Rows in their order, and their great-circle distances in arcseconds.
    """
    # What differs more in declination alone is further away. This leaves few rows for the trigonometry.
    rows = np.flatnonzero(np.abs(dec - cone[1]) <= cone[2] / 3600.0 + 1e-9)
    parts = unit_vectors(ra[rows], dec[rows]) if vectors is None else tuple(part[rows] for part in vectors)
    chords = squared_chords(cone, (parts[0], parts[1], parts[2]))
    inside = chords <= chord_squared(cone)[1]
    return rows[inside], distance_arcsec(chords[inside])


def rows_nearest(
    cone: Cone, ra: FloatArray, dec: FloatArray, vectors: Vectors | None = None
) -> tuple[Any, FloatArray]:
    """Find the positions nearest to the centre of a cone, in it: several rows if they have one position.

    Parameters and results are those of :func:`rows_within`.
    """
    for radius in (1.0, 60.0, 3600.0, cone[2]):  # the nearest in a small circle is the nearest of all
        rows, separation = rows_within((cone[0], cone[1], min(radius, cone[2])), ra, dec, vectors)
        if rows.size:
            break
    least = separation == separation.min(initial=np.inf)
    return rows[least], separation[least]


class SkyIndex(xr.Index):
    """Index of right ascension and declination for ``ds.set_xindex(["ra", "dec"], SkyIndex)``.

    ``ds.sel(ra=..., dec=..., method="nearest", tolerance=1 * u.arcsec)`` then finds the nearest position by
    great-circle distance, exactly, also at the poles and across RA 0. Coordinates are in degrees; labels are
    degrees, or Quantities of angle: numbers for one row, lists or DataArrays of one shape for several;
    ``tolerance`` is in arcseconds, or any angle. The index is kept by ``isel``, ``sel``, ``where``,
    ``sortby``, ``concat``, ``roll``, ``chunk``, ``copy``, ``rename`` and pickle, and never stored.

    Take it off with ``ds.drop_indexes(["ra", "dec"])`` before joining, aligning or merging with what holds
    other rows or another order: xarray then reorders rows by ``spectrum_id`` alone, and leaves coordinates of
    an index that only one side has in their place.

    Examples
    --------
    >>> import astropy.units as u
    >>> coords = {"ra": ("spectrum", [359.9999, 150.0]), "dec": ("spectrum", [0.0, 2.0])}
    >>> ds = xr.Dataset({"snr": ("spectrum", [3.0, 8.0])}, coords).set_xindex(["ra", "dec"], SkyIndex)
    >>> ds.sel(ra=0, dec=0, method="nearest", tolerance=1 * u.arcsec).snr.item()
    3.0
    >>> ds.sel(ra=[10, 0] * u.hourangle, dec=[2, 0], method="nearest").snr.values
    array([8., 3.])
    """

    def __init__(self, names: Sequence[Hashable], dim: Hashable, ra: Any, dec: Any) -> None:
        self.names = tuple(names)
        self.dim = dim
        self.ra, self.dec = (np.array(values, dtype=np.float64) for values in (ra, dec))
        for values in (self.ra, self.dec):
            values.setflags(write=False)  # what is searched and what is shown never differ
        self._vectors = unit_vectors(self.ra, self.dec)

    @classmethod
    def from_variables(cls, variables: Mapping[Any, xr.Variable], *, options: Mapping[str, Any]) -> SkyIndex:
        """Make the index of two coordinates; called by ``Dataset.set_xindex``.

        Those named ``ra`` and ``dec`` are told apart by name, others by their order.

        Raises
        ------
        ValidationError
            If they are not two, over one and the same dimension, of numbers in degrees.
        """
        names = sorted(variables, reverse=True) if set(variables) == {"ra", "dec"} else list(variables)
        dims = {variable.dims for variable in variables.values()}
        if len(names) != 2 or len(dims) != 1 or len(next(iter(dims))) != 1:
            found = ", ".join(f"{name!r} {variable.dims}" for name, variable in variables.items())
            raise ValidationError(
                f"no positions: {found}",
                hint='set_xindex(["ra", "dec"], SkyIndex) takes two coordinates over one dimension',
            )
        for name, variable in variables.items():
            unit = str(variable.attrs.get("units", "deg"))
            if variable.dtype.kind not in "iuf" or unit not in {"deg", "degree", "degrees"}:
                raise ValidationError(
                    f"{name!r} is of type {variable.dtype} in {unit!r}",
                    hint="positions are numbers of degrees",
                )
        ra, dec = (variables[name].values for name in names)
        return cls(names, next(iter(dims))[0], ra, dec)

    def create_variables(
        self, variables: Mapping[Any, xr.Variable] | None = None
    ) -> dict[Hashable, xr.Variable]:
        """Return the two coordinates, with the attributes they had."""
        made: dict[Hashable, xr.Variable] = {}
        for name, values in zip(self.names, (self.ra, self.dec), strict=True):
            old = (variables or {}).get(name)
            made[name] = xr.Variable(
                (self.dim,),
                values,
                old.attrs if old is not None else None,
                old.encoding if old is not None else None,
            )
        return made

    def sel(self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None) -> IndexSelResult:
        """Find the rows nearest to positions, one each: the first of several at the nearest position.

        Raises
        ------
        ValidationError
            For a position that is none, another ``method`` than ``"nearest"``, a tolerance that is no angle.
        KeyError
            If nothing is within the tolerance, as with xarray's own indexes.
        """
        if method != "nearest":
            raise ValidationError(
                f"a position with method={shown(method)}",
                hint='pass method="nearest"; ds.campfire.cone() gives everything within a radius',
            )
        if set(labels) != set(self.names):
            raise ValidationError("half a position", hint=f"pass {self.names[0]}= and {self.names[1]}=")
        given = [labels[name] for name in self.names]
        if any(isinstance(value, slice) for value in given):
            raise ValidationError(
                "a range of positions", hint="ds.campfire.cone() gives everything within a radius"
            )
        ra, dec = (getattr(value, "variable", value) for value in given)
        shape, dims = np.shape(ra), getattr(ra, "dims", (self.dim,))
        if (
            shape != np.shape(dec)
            or dims != getattr(dec, "dims", (self.dim,))
            or (shape and len(shape) != len(dims))
        ):
            raise ValidationError(
                f"positions of shapes {shape} and {np.shape(dec)}",
                hint="pass two numbers, or two lists of one length",
            )
        reach = WHOLE_SKY if tolerance is None else tolerance
        values = [getattr(value, "values", value) for value in (ra, dec)]
        pairs = zip(*(np.ravel(value) if shape else [value] for value in values), strict=True)
        rows = [self._nearest(as_cone("position", (*pair, reach))) for pair in pairs]
        if not shape:
            return IndexSelResult({self.dim: rows[0]})
        found = np.array(rows, dtype=np.intp).reshape(shape)
        return IndexSelResult({self.dim: xr.Variable(dims, found)})

    def _nearest(self, cone: Cone) -> int:
        rows, _ = rows_nearest(cone, self.ra, self.dec, self._vectors)
        if not rows.size:
            raise KeyError(f"nothing within {cone[2]:g} arcsec of ra={cone[0]:g}, dec={cone[1]:g}")
        return int(rows[0])

    def isel(self, indexers: Mapping[Any, Any]) -> SkyIndex | None:
        """Return the index of some rows; None of one, which has no dimension."""
        chosen = indexers[self.dim]
        dim = self.dim
        if isinstance(chosen, xr.Variable):
            if chosen.ndim != 1:
                return None
            dim, chosen = chosen.dims[0], chosen.values
        if np.ndim(chosen) == 0 and not isinstance(chosen, slice):
            return None
        return self._of(self.ra[chosen], self.dec[chosen], dim)

    def _of(self, ra: Any, dec: Any, dim: Hashable | None = None) -> SkyIndex:
        return type(self)(self.names, self.dim if dim is None else dim, ra, dec)

    @classmethod
    def concat(
        cls, indexes: Sequence[Any], dim: Hashable, positions: Iterable[Iterable[int]] | None = None
    ) -> SkyIndex:
        """Return the index of the rows of several; called by ``xarray.concat``."""
        joined = [np.concatenate([getattr(index, name) for index in indexes]) for name in ("ra", "dec")]
        if positions is not None:
            order = np.argsort(np.concatenate([np.asarray(list(part)) for part in positions]))
            joined = [values[order] for values in joined]
        first = cast(SkyIndex, indexes[0])
        return cls(first.names, dim, *joined)

    def roll(self, shifts: Mapping[Any, int]) -> SkyIndex:
        """Return the index of rolled rows."""
        return self._of(np.roll(self.ra, shifts[self.dim]), np.roll(self.dec, shifts[self.dim]))

    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> SkyIndex:
        """Return the index of renamed coordinates, or over a renamed dimension."""
        names = [name_dict.get(name, name) for name in self.names]
        return type(self)(names, dims_dict.get(self.dim, self.dim), self.ra, self.dec)

    def equals(self, other: xr.Index, **_kwargs: Any) -> bool:
        """Tell whether another index has the same positions in the same order."""
        return (
            isinstance(other, SkyIndex)
            and self.dim == other.dim
            and np.array_equal(self.ra, other.ra, equal_nan=True)
            and np.array_equal(self.dec, other.dec, equal_nan=True)
        )

    def join(self, other: Any, how: Any = "inner") -> SkyIndex:
        """Refuse to join rows by position: two spectra may share one.

        Raises
        ------
        ValidationError
            Always.
        """
        raise self._unjoinable()

    def reindex_like(self, other: Any) -> dict[Hashable, Any]:
        """Refuse to put rows in the order of other positions, as :meth:`join`.

        Raises
        ------
        ValidationError
            Always.
        """
        raise self._unjoinable()

    def _unjoinable(self) -> ValidationError:
        names = ", ".join(f'"{name}"' for name in self.names)
        return ValidationError(
            "rows are not joined by their positions, which several may share",
            hint=f"take the index off first: ds.drop_indexes([{names}]) is joined by spectrum_id",
        )

    def __repr__(self) -> str:
        return f"SkyIndex({self.ra.size} positions)"
