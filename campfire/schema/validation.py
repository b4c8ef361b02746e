"""Checks of Datasets and trees against the tables of the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.schema.variables import (
    FIT,
    GRIDDED,
    LINES,
    NATIVE,
    PHOTOMETRY,
    REDSHIFTS,
    SCHEMA_VERSION,
    SPECTRUM,
    VARIABLES,
    VariableSpec,
    attr_text,
)
from campfire.units import FNU_UNIT, RELATIVE, WAVE_UNIT

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Issue", "check", "state_of", "validate"]


def state_of(ds: xr.Dataset) -> tuple[str, ...]:
    """Return which of :data:`SPECTRUM`, :data:`NATIVE`, :data:`GRIDDED` a Dataset is.

    Raises
    ------
    ValidationError
        If it is none of them; the message names what is missing.
    """
    if not hasattr(ds, "data_vars"):
        raise ValidationError(f"a {type(ds).__name__}, not a Dataset", hint="pass an xarray.Dataset")
    missing = [name for name in ("fnu", "fnu_err") if name not in ds.data_vars]
    if "wavelength" not in ds.variables:
        missing.append("wavelength")
    if missing:
        found = ", ".join(map(str, ds.variables)) or "nothing"
        raise ValidationError(
            f"not a campfire Dataset: {' and '.join(repr(m) for m in missing)} missing (it has {found})",
            hint="make one with to_xarray(), xr.open_dataset(engine='campfire') or open_collection()",
        )
    dims = tuple(map(str, ds["fnu"].dims))
    for state in (SPECTRUM, NATIVE, GRIDDED):
        if dims == state:
            return state
    raise ValidationError(
        f"'fnu' has dimensions {dims}",
        hint=f"expected {SPECTRUM} (one spectrum), {NATIVE} or {GRIDDED} (a collection)",
    )


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing about a Dataset or tree that is not as the schema has it.

    Parameters
    ----------
    path
        Where: a variable or attribute, below its group in a tree (``/PRISM/fnu``, ``fnu@units``).
    message
        What is wrong, in words.
    found, expected
        What is there, and what would be right.
    """

    path: str
    message: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message} (found {self.found}; expected {self.expected})"


_SPECTRA = VARIABLES | FIT
_EXTRACTIONS = ("extraction", "wavelength")
_KINDS = {"float": "f", "integer": "iu", "mask": "iu", "bool": "b", "text": "UOT"}
_WORDS = {
    "float": "floating-point numbers",
    "integer": "integers",
    "mask": "uint8; to mask fluxes alone, use ds.fnu.where(...)",
    "bool": "booleans",
    "text": "text",
}


def validate(ds: xr.Dataset) -> tuple[str, ...]:
    """Check a Dataset of spectra against :data:`VARIABLES` and :data:`FIT`, and return its :func:`state_of`.

    Only labels are looked at, never values: a lazy Dataset stays lazy. Attributes may be missing;
    :func:`check` is stricter.

    Raises
    ------
    ValidationError
        Naming the variable that is missing, has other dimensions, the wrong kind of number or unit.
    """
    state = state_of(ds)
    for issue in _variable_issues(ds, _SPECTRA, "fnu"):
        raise ValidationError(f"{issue.path!r} {issue.message}", hint=f"expected {issue.expected}")
    return state


def check(data: Any) -> list[Issue]:
    """List everything about a Dataset or tree that is not as the schema has it.

    Parameters
    ----------
    data : xarray.Dataset or xarray.DataTree
        One spectrum, a collection, a stack, synthetic photometry or line measurements, or a tree of them.
        Only labels and indexes are looked at: what is lazy stays lazy.

    Returns
    -------
    list of Issue
        Empty if all is well. Groups of a tree that hold none of these are passed over.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"fnu": ("wavelength", [1.0]), "fnu_err": ("wavelength", [0.1], {"units": "Jy"})})
    >>> for issue in check(ds):
    ...     print(issue)
    wavelength: is missing (found fnu, fnu_err; expected a coordinate in um)
    dq: is missing (found fnu, fnu_err; expected a variable in uint8)
    """
    subtree = getattr(data, "subtree", None)
    if subtree is None:
        return list(_dataset_issues(data))
    return [
        replace(issue, path=f"{node.path.rstrip('/')}/{issue.path}")
        for node in subtree
        for issue in _dataset_issues(node.to_dataset())
    ]


def _dataset_issues(ds: xr.Dataset) -> Iterator[Issue]:
    flux = ds.variables.get("flux")
    if "fnu" in ds.variables or "fnu_err" in ds.variables:
        yield from _spectrum_issues(ds)
    elif flux is not None and "band" in flux.dims:
        yield from _product_issues(ds, PHOTOMETRY, "band")
    elif flux is not None and "line" in flux.dims:
        yield from _product_issues(ds, LINES, "line")
    elif "redshift_fit" in ds.variables:
        yield from _variable_issues(ds, REDSHIFTS, "redshift_fit")
        yield from _attribute_issues(ds, REDSHIFTS)


def _spectrum_issues(ds: xr.Dataset) -> Iterator[Issue]:
    names = ", ".join(sorted(map(str, ds.variables)))
    wanted = {"fnu": FNU_UNIT, "fnu_err": FNU_UNIT, "wavelength": WAVE_UNIT, "dq": "uint8"}
    missing = [name for name in wanted if name not in ds.variables]
    for name in missing:
        kind = "coordinate" if name == "wavelength" else "variable"
        yield Issue(name, "is missing", names or "nothing", f"a {kind} in {wanted[name]}")
    if {"fnu", "wavelength"} & set(missing):
        return
    dims = ds["fnu"].dims
    if dims == _EXTRACTIONS:  # of one file, whose root holds the labels
        yield from _variable_issues(ds, _SPECTRA, "fnu")
        yield from _attribute_issues(ds, _SPECTRA)
        return
    if dims not in (SPECTRUM, NATIVE, GRIDDED):
        yield Issue("fnu", f"has dimensions {dims}", str(dims), f"{SPECTRUM}, {NATIVE} or {GRIDDED}")
        return
    yield from _variable_issues(ds, _SPECTRA, "fnu")
    yield from _attribute_issues(ds, _SPECTRA)
    if "wavelength" in ds.indexes:
        index = ds.indexes["wavelength"]
        if not (index.is_monotonic_increasing and index.is_unique and np.isfinite(index).all()):
            yield Issue(
                "wavelength", "does not ascend", "an index out of order", "strictly ascending numbers"
            )
    for name in ("spectrum_id", "grating"):
        if name not in ds.coords:
            yield Issue(name, "is missing", names, "a coordinate of text")
        elif ds[name].dtype.kind not in _KINDS["text"]:
            yield Issue(name, f"is {ds[name].dtype}", str(ds[name].dtype), "text")
    version = attr_text(ds.attrs, "campfire_schema", "nothing")
    if version not in map(str, range(1, SCHEMA_VERSION + 1)):
        yield Issue("@campfire_schema", "is not a known version", version, str(SCHEMA_VERSION))


def _product_issues(ds: xr.Dataset, table: Mapping[str, VariableSpec], label: str) -> Iterator[Issue]:
    dims = ds["flux"].dims
    if dims not in ((label,), ("spectrum", label)):
        yield Issue("flux", f"has dimensions {dims}", str(dims), f"('{label}',) or ('spectrum', '{label}')")
        return
    for name in table:
        if name not in ds.variables:
            yield Issue(name, "is missing", ", ".join(sorted(map(str, ds.variables))), f"over {dims}")
    if label not in ds.coords:
        yield Issue(label, "is missing", ", ".join(map(str, ds.coords)) or "no coordinates", "names")
    yield from _variable_issues(ds, table, "flux")
    yield from _attribute_issues(ds, table)


def _variable_issues(ds: xr.Dataset, table: Mapping[str, VariableSpec], main: str) -> Iterator[Issue]:
    """What keeps a Dataset from being worked with: dimensions, kinds of number, units that are wrong."""
    for name, spec in table.items():
        if name not in ds.variables:
            continue
        variable = ds[name]
        dims = (*ds[main].dims, *spec.dims[1:]) if spec.dims[0] == "..." else spec.dims
        shared = name in ds.coords and "wavelength" in ds.variables and variable.dims == ds["wavelength"].dims
        if variable.dims != dims and not shared:
            yield Issue(
                name, f"has dimensions {variable.dims}", str(variable.dims), f"{dims}, as {main!r} has"
            )
        # netCDF-3 has no unsigned bytes: the bits of a mask come back signed
        if variable.dtype.kind not in _KINDS[spec.dtype]:
            yield Issue(name, f"is {variable.dtype}", str(variable.dtype), _WORDS[spec.dtype])
        units = attr_text(variable.attrs, "units") if "units" in variable.attrs else None
        relative = units == RELATIVE and spec.units not in (WAVE_UNIT, None)
        if spec.units and units is not None and not relative and not _same_unit(units, spec.units):
            yield Issue(name, f"is in {units!r}", repr(units), f"{spec.units!r}: convert it")


def _attribute_issues(ds: xr.Dataset, table: Mapping[str, VariableSpec]) -> Iterator[Issue]:
    """What makes a Dataset hard to understand for others: units and mask bits that are not said."""
    for name, spec in table.items():
        if name not in ds.variables:
            continue
        attrs = ds[name].attrs
        if spec.units and "units" not in attrs:
            yield Issue(f"{name}@units", "is missing", "nothing", repr(spec.units))
        for key in ("flag_masks", "flag_meanings"):
            found: Any = attrs.get(key, ())
            expected = spec.attrs.get(key, ())
            if not np.array_equal(found, expected):
                yield Issue(f"{name}@{key}", "is not the list of bits", repr(found), repr(expected))


def _same_unit(text: str, expected: str) -> bool:
    if text == expected:
        return True
    import astropy.units as u  # only for unusual spellings

    try:
        # f_lambda needs the Angstrom of astropy, which "angstrom" parses to
        return bool(u.Unit(text) == u.Unit(expected))
    except (ValueError, TypeError):
        return False
