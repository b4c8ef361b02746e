"""Spectra of a collection chosen by position or name, and pixels by observed or rest-frame wavelength."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.collection_summary import row_values
from campfire.analysis.frames import check_frames, frame_of, redshift_numbers
from campfire.arguments import shown
from campfire.convert import append_history
from campfire.convert.dataset import REST_WAVELENGTH
from campfire.convert.sky_index import WHOLE_SKY, rows_nearest, rows_within
from campfire.errors import NotFoundError, ValidationError
from campfire.query.coerce import cone as as_cone
from campfire.schema import GRIDDED, SPECTRUM, validate

if TYPE_CHECKING:
    import xarray as xr

    from campfire.typing import FloatArray

__all__ = ["Labels", "cone_of", "in_cone", "rest_wavelength", "select_labels", "select_labels_in"]

Cone = tuple[float, float, float]
SEPARATION = {"units": "arcsec", "long_name": "distance from the position asked for"}


def cone_of(centre: Any = None, radius: Any = None, ra: Any = None, dec: Any = None) -> Cone:
    """Return (ra, dec, radius) in degrees and arcseconds, of what a user gives for a cone.

    Raises
    ------
    ValidationError
        If it is none.

    Examples
    --------
    >>> import astropy.units as u
    >>> cone_of((10.0, -5.0, 2.0)) == cone_of(ra=10 * u.deg, dec=-5.0, radius=2 * u.arcsec)
    True
    """
    if centre is None:
        return as_cone("cone", (ra, dec, radius))
    if ra is not None or dec is not None:
        raise ValidationError(
            "a cone has one centre", hint="pass it as the first argument, or as ra= and dec="
        )
    return as_cone("cone", centre if radius is None else (centre, radius))


def in_cone(ds: xr.Dataset, cone: Cone) -> xr.Dataset:
    """Keep the rows of a Dataset within a cone on the sky.

    Parameters
    ----------
    ds
        A collection, or anything else with coordinates ``ra`` and ``dec`` over ``spectrum``; pixels are not
        read.
    cone
        Right ascension and declination in degrees, radius in arcseconds, which is itself inside.

    Returns
    -------
    xarray.Dataset
        The rows that ``cone_search=`` of a query finds, perhaps none, in their order, with the coordinate
        ``separation`` (great circle, arcseconds). A position that is not known is nowhere.

    Raises
    ------
    ValidationError
        If there are no ``ra`` and ``dec`` over ``spectrum``.
    """
    rows, separation = rows_within(cone, *_positions(ds))
    step = f"{rows.size} of {ds.sizes['spectrum']} spectra within {cone[2]:g} arcsec"
    return append_history(
        _at(ds, rows, separation), f"{step} of ra {cone[0]:.6f}, dec {cone[1]:.6f} (degrees)"
    )


def _at(ds: xr.Dataset, rows: Any, separation: FloatArray | None) -> xr.Dataset:
    chosen = ds.isel(spectrum=rows)
    if separation is None:
        return chosen
    return chosen.assign_coords(separation=("spectrum", separation, SEPARATION))


def _positions(ds: xr.Dataset) -> tuple[FloatArray, FloatArray]:
    """Return the positions of rows, degrees."""
    ra, dec = (np.asarray(row_values(ds, name), dtype=np.float64) for name in ("ra", "dec"))
    return ra, dec


@dataclass(frozen=True, slots=True)
class Labels:
    """What to select; made by :meth:`of`.

    Parameters
    ----------
    cones
        Positions asked for, each with the distance up to which something is there.
    names
        Names asked for, of the coordinate ``coordinate``.
    pixels
        ``wavelength`` or ``rest_wavelength`` -> label, as ``Dataset.sel`` takes it.
    options
        ``method`` and ``tolerance`` of these.
    """

    cones: tuple[Cone, ...]
    coordinate: str | None
    names: tuple[str, ...]
    pixels: Mapping[str, Any]
    options: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        *,
        ra: Any,
        dec: Any,
        spectrum_id: Any,
        object_id: Any,
        wavelength: Any,
        rest_wavelength: Any,
        method: Any,
        tolerance: Any,
    ) -> Labels:
        """Check what a user gives; see :meth:`campfire.accessors.dataset.DatasetAccessor.sel`.

        Raises
        ------
        ValidationError
            For labels that do not go together, or are none.
        """
        given = {"spectrum_id": spectrum_id, "object_id": object_id}
        given = {name: value for name, value in given.items() if value is not None}
        position = ra is not None or dec is not None
        if position + len(given) > 1:
            raise ValidationError(
                "a row is asked for twice", hint="pass one of spectrum_id=, object_id= or ra= with dec="
            )
        found = {"wavelength": wavelength, "rest_wavelength": rest_wavelength}
        pixels = {name: value for name, value in found.items() if value is not None}
        if len(pixels) + len(given) + position == 0 or len(pixels) > 1:
            raise ValidationError(
                "nothing to select" if not pixels else "two ranges of wavelengths",
                hint="pass wavelength= or rest_wavelength=; or spectrum_id=, object_id=, or ra= with dec=",
            )
        if (method is not None or tolerance is not None) and not (position or pixels):
            raise ValidationError("names have no method or tolerance", hint="leave them out")
        if tolerance is not None and method is None:
            raise ValidationError("a tolerance without a method", hint='pass method="nearest" with it')
        cones = _targets(ra, dec, method, tolerance) if position else ()
        names = _names(*next(iter(given.items()))) if given else ()
        options = {} if position or method is None else {"method": method, "tolerance": tolerance}
        return cls(cones, next(iter(given), None), names, pixels, options)

    def rows(self, ds: xr.Dataset) -> tuple[Any, FloatArray | None, set[int]]:
        """Return rows, separations where there is a position, and which labels are not there."""
        if self.cones:
            where = _positions(ds)
            parts = [rows_nearest(cone, *where) for cone in self.cones]
            missing = {number for number, (rows, _) in enumerate(parts) if not rows.size}
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), missing
        if self.coordinate is None:
            return slice(None), None, set()
        places: dict[str, list[int]] = {}
        for row, name in enumerate(row_values(ds, self.coordinate).tolist()):
            places.setdefault(str(name), []).append(row)
        chosen = [row for name in self.names for row in places.get(name, ())]
        missing = {number for number, name in enumerate(self.names) if name not in places}
        return np.array(chosen, dtype=np.intp), None, missing

    def not_found(self, missing: Iterable[int]) -> NotFoundError:
        """Return the error that says which labels are not there."""
        first, *more = sorted(missing)
        others = f", and {len(more)} more" if more else ""
        if self.cones:
            ra, dec, radius = self.cones[first]
            return NotFoundError(
                f"no spectrum within {radius:g} arcsec of ra={ra:g}, dec={dec:g}{others}",
                hint="pass a wider tolerance",
            )
        return NotFoundError(
            f"no {self.coordinate}={self.names[first]!r} here{others}", hint="see the coordinate of that name"
        )


def _targets(ra: Any, dec: Any, method: Any, tolerance: Any) -> tuple[Cone, ...]:
    if method != "nearest":
        raise ValidationError(
            f"a position with method={shown(method)}",
            hint='pass method="nearest" and a tolerance; cone() gives everything within a radius',
        )
    if ra is None or dec is None:
        raise ValidationError("a position is ra and dec", hint="pass both")
    many = [np.atleast_1d(ra), np.atleast_1d(dec)]
    if many[0].ndim != 1 or many[0].shape != many[1].shape or not many[0].size:
        raise ValidationError(
            f"ra of shape {np.shape(ra)} with dec of shape {np.shape(dec)}",
            hint="pass one number each, or two lists of the same length",
        )
    reach = WHOLE_SKY if tolerance is None else tolerance
    return tuple(as_cone("position", (*pair, reach)) for pair in zip(*many, strict=True))


def _names(name: str, value: Any) -> tuple[str, ...]:
    many = [value] if isinstance(value, str) else np.atleast_1d(value).tolist()
    if not many or not all(isinstance(item, str) for item in many):
        raise ValidationError(f"{name}={shown(value)}", hint="pass a name, or a list of names")
    return tuple(many)


def select_labels(ds: xr.Dataset, labels: Labels) -> xr.Dataset:
    """Select rows and pixels of a Dataset by their labels.

    Parameters
    ----------
    ds
        One spectrum or a collection; lazy stays lazy.
    labels
        What to select.

    Returns
    -------
    xarray.Dataset
        A collection stays one, also with one row.

    Raises
    ------
    NotFoundError
        If a label is not there: a row, or a pixel.
    ValidationError
        For what is no wavelength, and wavelengths of a collection whose rows have their own.
    """
    rows, separation, missing = labels.rows(ds)
    if missing:
        raise labels.not_found(missing)
    return _pixels(_chosen(ds, rows, separation), labels)


def select_labels_in(groups: Mapping[str, xr.Dataset], labels: Labels) -> dict[str, xr.Dataset]:
    """Select rows and pixels of several collections, and leave out those of which no row is chosen.

    Raises
    ------
    NotFoundError
        If a row is asked for that none has, or a pixel that one has not.
    ValidationError
        As :func:`select_labels`.
    """
    found = {name: labels.rows(ds) for name, ds in groups.items()}
    missing = set.intersection(*(absent for _, _, absent in found.values()))
    if missing:
        raise labels.not_found(missing)
    return {
        name: _pixels(_chosen(groups[name], rows, separation), labels)
        for name, (rows, separation, _) in found.items()
        if isinstance(rows, slice) or rows.size
    }


def _chosen(ds: xr.Dataset, rows: Any, separation: FloatArray | None) -> xr.Dataset:
    return ds if isinstance(rows, slice) else _at(ds, rows, separation)


def _pixels(ds: xr.Dataset, labels: Labels) -> xr.Dataset:
    from campfire.convert.wavelength_index import SpectralIndex

    for name, label in labels.pixels.items():
        validate(ds)
        wavelength = ds["wavelength"] if name == "wavelength" else rest_wavelength(ds)
        if wavelength.dims == GRIDDED and _one_redshift(ds):
            wavelength = wavelength[0]
        if wavelength.dims != SPECTRUM:
            own = "ds.wavelength" if name == "wavelength" else "ds.campfire.rest_wavelength()"
            raise ValidationError(
                f"every spectrum has a {name} of its own",
                hint=f"resample() brings wavelengths onto one grid; to keep fluxes where it is small, "
                f"ds.fnu.where({own} < 1.5)",
            )
        index = SpectralIndex(wavelength.values, "wavelength")
        try:
            found = index.sel({name: label}, **labels.options)
        except KeyError as err:
            near = "a wider tolerance" if labels.options else 'method="nearest"'
            raise NotFoundError(f"no pixel at {name}={shown(label)}", hint=f"pass {near}") from err
        except ValidationError:
            raise
        except (TypeError, ValueError, NotImplementedError) as err:
            raise ValidationError(
                f"{name}={shown(label)} cannot be selected: {err}",
                hint='pass microns or Quantities, or a slice of them; method="nearest" is not for slices',
            ) from err
        ds = ds.isel(found.dim_indexers)
    return ds


def _one_redshift(ds: xr.Dataset) -> bool:
    return bool(ds.sizes["spectrum"]) and np.unique(_redshift(ds)).size == 1


def _redshift(ds: xr.Dataset) -> FloatArray:
    """Return the redshift, or one a row of a collection; NaN where it is not known, 0 in the rest frame."""
    if frame_of(ds).rest:
        return np.array(0.0)
    if "redshift" not in ds.attrs and "redshift" in ds.coords:
        return redshift_numbers(ds["redshift"].values)
    return redshift_numbers(ds.attrs.get("redshift", np.nan))


def rest_wavelength(ds: xr.Dataset, redshift: Any = None) -> xr.DataArray:
    """Return wavelengths in the rest frame of the source, wavelength / (1 + z).

    It is computed from what the Dataset holds when it is asked for, and so is never out of step with it.

    Parameters
    ----------
    ds
        One spectrum or a collection; lazy stays lazy. In the rest frame already, wavelengths are as they are.
    redshift
        One number, or one a row of a collection. By default those of the Dataset: its attribute or coordinate
        ``redshift``.

    Returns
    -------
    xarray.DataArray
        Microns; (spectrum, ...) unless rows share wavelengths and redshift. NaN where no redshift is known.

    Raises
    ------
    ValidationError
        If no redshift is known, there are others than one or one a row, or wavelengths are in the rest frame
        already and another than 0 is given.

    Examples
    --------
    >>> from campfire.models import SpectrumData
    >>> ds = SpectrumData([2.0, 4.0], [3.0, 4.0], [0.1, 0.1], {}, "PRISM", "demo_1", redshift=1.0).to_xarray()
    >>> rest_wavelength(ds).values
    array([1., 2.])
    """
    import xarray as xr

    validate(ds)
    dims = ("spectrum",) if "spectrum" in ds.sizes else ()
    if redshift is None:
        z = _redshift(ds)
    else:
        z = redshift_numbers(redshift)
        check_frames([ds], "to_restframe", z)
    if z.shape not in ((), tuple(ds.sizes[dim] for dim in dims)):
        raise ValidationError(f"redshifts of shape {z.shape}", hint="pass one number, or one a row")
    stretch = np.where(np.isfinite(z) & (z > -1), 1.0 + z, np.nan)
    if stretch.size and np.isnan(stretch).all():
        raise ValidationError("no redshift is known", hint="pass redshift=")
    wavelength: xr.DataArray = ds["wavelength"] / xr.DataArray(stretch, dims=dims[: z.ndim])
    ordered = wavelength.transpose(*(dim for dim in ds["fnu"].dims if dim in wavelength.dims))
    return ordered.assign_attrs(ds["wavelength"].attrs | {"long_name": REST_WAVELENGTH}).rename(
        "rest_wavelength"
    )
