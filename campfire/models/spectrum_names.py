"""Which spectra something is, is of, or was made of: wherever spectra are named, all of this will do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from campfire.errors import ValidationError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["object_names", "spectrum_names"]

_STACK = "stack:"  # of the name of a stack, whose header lists its inputs
_INPUT = "input: "


def spectrum_names(spectra: Any) -> Iterator[str]:
    """Yield the ids of whatever holds spectra, or was made of them; they may repeat.

    Parameters
    ----------
    spectra
        An id, a table (astropy or pandas) with a column ``spectrum_id`` or a row of one, a ``Spectrum`` or
        ``SpectrumData``, an ``Object``, a collection (tree, Dataset, ``SpectrumCollection``), a
        ``StackResult`` or the stack itself, a ``CalibrationResult``, or any iterable of these.

    Raises
    ------
    ValidationError
        If it is something else, or a stack that does not name its inputs.

    Examples
    --------
    >>> list(spectrum_names(["a_1", ["a_2"]]))
    ['a_1', 'a_2']
    """
    from campfire.models import SpectrumData

    if isinstance(spectra, str):
        yield from _inputs(spectra, {})
    elif isinstance(spectra, SpectrumData):
        yield from _inputs(spectra.spectrum_id, spectra.header)
    elif hasattr(spectra, "colnames") or hasattr(spectra, "iloc"):
        for name in _names_of_table(spectra):
            yield from _inputs(name, {})
    elif hasattr(spectra, "spectra") and hasattr(spectra, "object_id"):  # an Object
        yield from spectrum_names(spectra.spectra)
    elif hasattr(spectra, "input_spectra"):  # a StackResult
        for spectrum in spectra.input_spectra:
            yield from spectrum_names(spectrum)
    elif hasattr(spectra, "multiplier"):  # a CalibrationResult
        yield from spectrum_names(spectra.original)
    elif hasattr(spectra, "subtree"):  # a DataTree
        for node in spectra.subtree:
            if "spectrum_id" in node.coords:
                yield from spectrum_names(node.to_dataset())
    elif hasattr(spectra, "data_vars"):  # a Dataset
        yield from _names_of_dataset(spectra)
    elif isinstance(spectra, Mapping) and "spectrum_id" in spectra:  # a row of iter_spectra
        yield from spectrum_names(spectra["spectrum_id"])
    elif isinstance(getattr(spectra, "spectrum_id", None), str):  # a Spectrum
        yield spectra.spectrum_id
    elif isinstance(spectra, Iterable) and not isinstance(spectra, bytes | Mapping):
        for item in spectra:
            yield from spectrum_names(item)
    else:
        raise ValidationError(
            f"{type(spectra).__name__} does not say which spectra it is of",
            hint="pass ids, a table of query_spectra, a collection, or a stack",
        )


def object_names(objects: Any) -> Iterator[str]:
    """Yield the ids of whatever holds objects; they may repeat.

    Parameters
    ----------
    objects
        An id, a table (astropy or pandas) with a column ``object_id`` or a row of one, an ``Object``, or any
        iterable of these.

    Raises
    ------
    ValidationError
        If it is something else.

    Examples
    --------
    >>> list(object_names(["J1", {"object_id": "J2"}]))
    ['J1', 'J2']
    """
    if isinstance(objects, str):
        yield objects
    elif hasattr(objects, "colnames") or hasattr(objects, "iloc"):
        yield from _names_of_table(objects, "object_id", "query_objects")
    elif isinstance(objects, Mapping) and "object_id" in objects:
        yield from object_names(objects["object_id"])
    elif isinstance(getattr(objects, "object_id", None), str):
        yield objects.object_id
    elif isinstance(objects, Iterable) and not isinstance(objects, bytes | Mapping):
        for item in objects:
            yield from object_names(item)
    else:
        raise ValidationError(
            f"{type(objects).__name__} does not say which objects it is of",
            hint="pass ids, or a table of query_objects",
        )


def _names_of_table(table: Any, column: str = "spectrum_id", query: str = "query_spectra") -> Iterator[str]:
    """Yield the ids of a table of astropy or pandas, or of one row of either."""
    names = table.colnames if hasattr(table, "colnames") else table.keys()
    if column not in list(names):
        raise ValidationError(f"the table has no column {column}", hint=f"pass one of {query}")
    ids = table[column]
    yield from [str(ids)] if isinstance(ids, str) else (str(name) for name in ids)


def _names_of_dataset(ds: xr.Dataset) -> Iterator[str]:
    if "spectrum_id" not in ds.coords:
        raise ValidationError("the Dataset has no spectrum_id", hint="pass one of open_collection()")
    values = ds["spectrum_id"].values
    if values.ndim and "fits_header" in ds.coords:  # stacks by group: each says what went into it
        from campfire.convert.header_json import load_header

        for name, header in zip(values, ds["fits_header"].values, strict=True):
            yield from _inputs(str(name), load_header(str(header)))
    elif values.ndim:
        for name in values:  # of what was measured on stacks too, which does not say what went into them
            yield from _inputs(str(name), {})
    else:
        from campfire.convert.header_json import load_header

        yield from _inputs(str(values.item()), load_header(ds.attrs.get("fits_header", "{}")))


def _inputs(name: str, header: Mapping[str, Any]) -> Iterator[str]:
    """Yield a spectrum's name, or the inputs that the header of a stack lists."""
    if not name.startswith(_STACK):
        yield name
        return
    history = header.get("HISTORY") or []
    lines = [history] if isinstance(history, str) else [str(line) for line in history]
    inputs = [line.removeprefix(_INPUT) for line in lines if line.startswith(_INPUT)]
    if not inputs:
        raise ValidationError(
            f"{name} does not say which spectra went into it",
            hint="pass the stack itself, or the collection it was made of",
        )
    yield from inputs
