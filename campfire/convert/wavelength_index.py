"""The index of ``wavelength``: that of xarray, which also takes Quantities."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.indexes import PandasIndex

from campfire.errors import ValidationError
from campfire.units import WAVE_UNIT, check_unit, to_micron

__all__ = ["SpectralIndex", "indexed", "spectral_coordinates"]


class _EqualToPandasIndex(type):
    """Make a subclass of PandasIndex equal to it, as xarray compares the classes of two indexes to align.

    Only indexes of equal classes are aligned with each other. A spectrum has to go on working together with
    arrays over plain wavelengths, which have xarray's own index: ``ds.fnu - model``, ``ds.reindex(...)``.
    """

    def __eq__(cls, other: object) -> bool:
        return other is PandasIndex or type.__eq__(cls, other) is True

    def __hash__(cls) -> int:
        return hash(PandasIndex)


class SpectralIndex(PandasIndex, metaclass=_EqualToPandasIndex):
    """Index of wavelengths in microns, of which Quantities can be selected.

    Everything but :meth:`sel` of Quantities is as with xarray's own index, and it works together with that.

    Examples
    --------
    >>> import astropy.units as u
    >>> wavelength = ("wavelength", np.array([0.9, 1.0, 1.1, 1.2]), {"units": "um"})
    >>> ds = xr.Dataset(coords=spectral_coordinates({"wavelength": wavelength}))
    >>> ds.sel(wavelength=slice(10_000 * u.AA, 1.1 * u.um)).wavelength.values
    array([1. , 1.1])
    >>> ds.sel(wavelength=300 * u.THz, method="nearest").wavelength.item()
    1.0
    """

    @classmethod
    def from_variables(
        cls, variables: Mapping[Any, xr.Variable], *, options: Mapping[str, Any]
    ) -> SpectralIndex:
        """Make the index of one coordinate; called by ``Dataset.set_xindex``.

        Raises
        ------
        ValidationError
            If the attribute ``units`` of the coordinate is there, and not microns.
        """
        for name, variable in variables.items():
            check_unit(f"the unit of {name!r}", str(variable.attrs.get("units", WAVE_UNIT)), WAVE_UNIT)
        made = super().from_variables(variables, options=options)
        assert isinstance(made, cls)  # PandasIndex makes what it is called on
        return made

    def sel(self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None) -> Any:
        """Find labels: numbers of microns, Quantities of any spectral unit, and slices of both.

        Slices hold both ends. Of frequencies, energies and wavenumbers, which descend where wavelengths
        ascend, a slice is what lies between them.

        Raises
        ------
        ValidationError
            For a Quantity that is neither length, frequency, energy nor wavenumber, or is negative, and for a
            ``tolerance`` that is no length.
        KeyError
            If a label is not there, as with xarray's own index.
        """
        found = {name: self._microns(name, label) for name, label in labels.items()}
        if hasattr(tolerance, "unit"):
            tolerance = _length("tolerance", tolerance)
        return super().sel(found, method=method, tolerance=tolerance)

    def _microns(self, name: Hashable, label: Any) -> Any:
        if not isinstance(label, slice):
            return self._plain(name, label)
        ends = [self._plain(name, end) for end in (label.start, label.stop)]
        if _descends(label.start) or _descends(label.stop):
            if None in ends:
                ends.reverse()
            else:
                ends.sort()
            if len(self.index) > 1 and self.index.is_monotonic_decreasing:
                ends.reverse()
        return slice(ends[0], ends[1], label.step)

    def _plain(self, name: Hashable, label: Any) -> Any:
        """Return a label as numbers of microns where it has a unit, else as it is."""
        if isinstance(label, list | tuple) and any(hasattr(item, "unit") for item in label):
            return np.array([self._plain(name, item) for item in label])
        if not hasattr(label, "unit") or not hasattr(label, "to_value"):
            return label
        with np.errstate(divide="ignore"):  # a frequency of 0 is an infinite wavelength
            microns = np.array(to_micron(label), dtype=np.float64)
        if not np.all(microns >= 0):
            raise ValidationError(f"{name}={label} is no wavelength", hint="pass positive numbers")
        # 10000 angstrom are 1.0000000000000002 um in floating point: the pixel at 1 um is meant
        known = self.index.to_numpy(dtype=np.float64)
        for place in np.ndindex(microns.shape):
            same = known[np.isclose(known, microns[place], rtol=1e-13, atol=0)]
            microns[place] = same[0] if same.size else microns[place]
        return microns.item() if microns.ndim == 0 else microns


def _descends(end: Any) -> bool:
    """Tell whether an end of a slice is of a unit in which wavelengths descend."""
    return hasattr(end, "unit") and end.unit.physical_type != "length"


def _length(name: str, value: Any) -> Any:
    import astropy.units as u

    try:
        return value.to_value(u.um)
    except u.UnitConversionError as err:
        raise ValidationError(f"{name} is {value}", hint="pass a length, or microns") from err


def spectral_coordinates(coords: Mapping[str, Any]) -> xr.Coordinates:
    """Return coordinates with the indexes that xarray would give them, but a :class:`SpectralIndex`.

    Parameters
    ----------
    coords
        Name -> Variable, or (dims, values, attrs, encoding).

    Returns
    -------
    xarray.Coordinates
        ``wavelength``, which is in microns, has a :class:`SpectralIndex` if it has one dimension, itself.
    """
    variables: dict[Hashable, Any] = {
        name: given if isinstance(given, xr.Variable) else xr.Variable(*given)
        for name, given in coords.items()
    }
    indexes: dict[Any, Any] = {}
    for name, variable in list(variables.items()):
        if variable.dims == (name,):
            kind = SpectralIndex if name == "wavelength" else PandasIndex
            indexes[name] = kind(variable.values, name, variable.dtype)
            variables |= indexes[name].create_variables(variables)
    return xr.Coordinates(variables, indexes=indexes)


def indexed(ds: xr.Dataset) -> xr.Dataset:
    """Give a Dataset the indexes it has when campfire opens it: no file holds any.

    Parameters
    ----------
    ds
        One spectrum or a collection; lazy stays lazy.

    Returns
    -------
    xarray.Dataset
        The same with a :class:`SpectralIndex` of ``wavelength``, unless that is two-dimensional, and an index
        of the ``spectrum_id`` of a collection.

    Raises
    ------
    ValidationError
        If wavelengths are not in microns.

    Examples
    --------
    >>> import astropy.units as u
    >>> read = xr.Dataset(coords={"wavelength": ("wavelength", [1.0, 2.0], {"units": "um"})})
    >>> indexed(read).sel(wavelength=20_000 * u.AA).wavelength.item()
    2.0
    """
    if "spectrum_id" in ds.coords and ds["spectrum_id"].ndim == 1 and "spectrum_id" not in ds.xindexes:
        ds = ds.set_xindex("spectrum_id")
    if "wavelength" not in ds.coords or ds["wavelength"].dims != ("wavelength",):
        return ds
    wavelength = ds.variables["wavelength"]
    check_unit("the unit of 'wavelength'", str(wavelength.attrs.get("units", WAVE_UNIT)), WAVE_UNIT)
    return ds.assign_coords(spectral_coordinates({"wavelength": wavelength}))
