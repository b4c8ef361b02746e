"""Stacks of a collection group by group: by a coordinate, by bins of one, by several, or by labels given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.stack_collections import row_redshifts, stack_collection
from campfire.arguments import did_you_mean, shown
from campfire.collection.blockwise import check_collection
from campfire.convert import append_history
from campfire.convert.wavelength_index import indexed
from campfire.errors import ValidationError
from campfire.text import text_variable

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.typing import FloatArray

__all__ = ["stack_groups"]

By = str | Sequence[str] | np.ndarray
_MOST_VALUES = 12  # different numbers without bins
_PADDED = {"fnu_cov": "lag", "fnu_modes": "mode"}


@dataclass(frozen=True, slots=True)
class _Key:
    """What groups rows: a code a row (-1: in no group), and what each code stands for, by coordinate."""

    code: NDArray[np.intp]
    values: Mapping[str, NDArray[Any]]
    words: Sequence[str]


def stack_groups(
    ds: xr.Dataset,
    by: By,
    bins: ArrayLike | Mapping[str, ArrayLike] | None = None,
    *,
    method: str = "weighted_mean",
    grid: ArrayLike | str | None = None,
    redshift: Any = None,
    normalize: tuple[float, float] | None = None,
    sigma_clip: float | None = None,
    object_id: str | None = None,
    rng: int | np.random.Generator | None = None,
    match_resolution: bool = False,
    jackknife: bool = False,
) -> xr.Dataset:
    """Stack the groups of a collection, all on one grid; lazy if the collection is.

    Every group is what :func:`campfire.analysis.stack_collections.stack_collection` makes of its rows.
    Computing the result reads every row once, whatever the groups.

    Parameters
    ----------
    ds
        A collection of one grating, or of several with a ``grid``.
    by
        Name of a coordinate over ``spectrum``; several names (a group is a combination that occurs); or one
        label a row, shape (spectrum,). Rows whose label is missing (NaN, or "") are in no group.
    bins
        Edges, ascending, for numbers: of the one coordinate, or name -> edges. A bin holds its lower edge,
        the last one its upper edge too; rows outside are in no group, and bins without rows are left out.
    method, grid, redshift, normalize, sigma_clip, object_id, rng, match_resolution, jackknife
        As for a stack of all; without a grid it is the one that a stack of all would have.

    Returns
    -------
    xarray.Dataset
        A collection on one grid, one row a group, in the order of the labels. Coordinates say which: the name
        for values, ``<name>_low`` and ``<name>_high`` for bins, ``group`` for labels given. ``n_spectra`` is
        the number of spectra stacked, ``fits_header`` text that names them. ``fnu_cov`` is
        (spectrum, wavelength, lag). So photometry, lines and plots take it as any collection.

    Raises
    ------
    ValidationError
        For unknown coordinates, labels of another number, edges that do not ascend, or if no row is in a
        group; and as a stack of all, with the group named.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> wave = np.linspace(1.0, 2.0, 5)
    >>> flux = np.arange(1.0, 5.0)[:, None] * np.ones(5)
    >>> ds = xr.Dataset(
    ...     {
    ...         "fnu": (("spectrum", "wavelength"), flux, {"units": "uJy"}),
    ...         "fnu_err": (("spectrum", "wavelength"), np.ones((4, 5))),
    ...         "dq": (("spectrum", "wavelength"), np.zeros((4, 5), np.uint8)),
    ...     },
    ...     {
    ...         "wavelength": wave,
    ...         "spectrum_id": ("spectrum", ["a", "b", "c", "d"]),
    ...         "grating": "PRISM",
    ...         "field": ("spectrum", ["uds", "cosmos", "uds", "uds"]),
    ...     },
    ... )
    >>> stacked = stack_groups(ds, "field")
    >>> stacked.field.values.tolist(), stacked.n_spectra.values.tolist(), stacked.fnu[:, 0].values.tolist()
    (['cosmos', 'uds'], [1, 3], [2.0, 2.6666666666666665])
    """
    import xarray as xr

    check_collection(ds)
    key = _key(ds, by, bins)
    shifts = row_redshifts(ds, redshift)
    options: dict[str, Any] = {
        "method": method,
        "normalize": normalize,
        "sigma_clip": sigma_clip,
        "object_id": object_id,
        "rng": rng,
        "match_resolution": match_resolution,
        "jackknife": jackknife,
    }
    centres = grid if _is_array(grid) else _common_grid(ds, grid, shifts)
    stacks = []
    for code, words in enumerate(key.words):
        rows = np.flatnonzero(key.code == code)
        own = None if shifts is None else shifts[rows]
        try:
            stack = stack_collection(ds.isel(spectrum=rows), grid=centres, redshift=own, **options)
        except ValidationError as err:
            raise ValidationError(f"group {words}: {err.message}", hint=err.hint) from err
        stacks.append(_as_row(stack, words))
    rows_of = [_padded(stack, stacks) for stack in stacks]
    result = xr.concat(rows_of, "spectrum", coords="minimal", compat="override", join="override")
    for name, values in key.values.items():
        text = values.dtype.kind in "UO"
        result.coords[name] = text_variable("spectrum", values) if text else ("spectrum", values)
    result.attrs = _attrs(stacks, ds)
    gone = int((key.code < 0).sum())
    step = f"stacked {len(key.code) - gone} spectra in {len(stacks)} groups, {method}"
    return indexed(append_history(result, step + (f"; {gone} in no group" if gone else "")))


def _key(ds: xr.Dataset, by: By, bins: Any) -> _Key:
    n = ds.sizes["spectrum"]
    if isinstance(by, str):
        names: list[str] = [by]
    elif isinstance(by, np.ndarray) or not isinstance(by, Sequence) or not _all_coords(ds, by):
        if bins is not None and isinstance(bins, Mapping):
            raise ValidationError("bins by name, and labels without one", hint="pass the edges alone")
        labels = np.asarray(getattr(by, "values", by))
        if labels.shape != (n,):
            raise ValidationError(
                f"by={shown(by)} for {n} spectra", hint="a coordinate, several, or one label a spectrum"
            )
        return _joined([_single("group", labels, bins)], n)
    else:
        names = list(by)
    edges = dict(bins) if isinstance(bins, Mapping) else {names[0]: bins}
    if not edges:
        raise ValidationError("bins of nothing", hint=f"bins={{'{names[0]}': [...]}}")
    if not isinstance(bins, Mapping) and bins is not None and len(names) > 1:
        raise ValidationError("bins of which coordinate?", hint=f"bins={{'{names[0]}': [...]}}")
    known = [str(name) for name, c in ds.coords.items() if c.dims == ("spectrum",)]
    for name in (*names, *edges):
        if name not in known:
            raise ValidationError(
                f"no coordinate {shown(name)} over spectrum", hint=did_you_mean(str(name), known)
            )
    unused = set(edges) - set(names)
    if unused:
        raise ValidationError(f"bins of {', '.join(sorted(unused))}, which is not in by")
    return _joined([_single(name, ds[name].values, edges.get(name)) for name in names], n)


def _all_coords(ds: xr.Dataset, by: Sequence[Any]) -> bool:
    """Tell names of coordinates from labels, which are as many as rows."""
    if not by or not all(isinstance(name, str) for name in by):
        return False
    return len(by) != ds.sizes["spectrum"] or all(name in ds.coords for name in by)


def _single(name: str, labels: NDArray[Any], bins: Any) -> _Key:
    if bins is None:
        missing = _missing(labels)
        values, code = np.unique(labels[~missing], return_inverse=True)
        if labels.dtype.kind == "f" and len(values) > _MOST_VALUES and len(values) > len(labels) // 2:
            raise ValidationError(
                f"{name} has {len(values)} different values in {len(labels)} spectra",
                hint=f"pass bins=, such as bins={np.quantile(values, [0, 0.5, 1]).round(2).tolist()}",
            )
        whole = np.full(len(labels), -1, dtype=np.intp)
        whole[~missing] = code
        return _Key(whole, {name: values}, [f"{name} {value}" for value in values])
    edges = _edges(bins, name)
    try:
        numbers = np.asarray(labels, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValidationError(f"{name} holds no numbers to bin", hint="leave out bins=") from err
    code = np.searchsorted(edges, numbers, side="right") - 1
    code = np.where(numbers == edges[-1], len(edges) - 2, code)
    code = np.where(np.isnan(numbers) | (code >= len(edges) - 1), -1, code)
    words = [f"{name} {low:g} to {high:g}" for low, high in pairwise(edges)]
    return _Key(code.astype(np.intp), {f"{name}_low": edges[:-1], f"{name}_high": edges[1:]}, words)


def _missing(labels: NDArray[Any]) -> NDArray[np.bool_]:
    if labels.dtype.kind == "f":
        return np.asarray(np.isnan(labels))
    if labels.dtype.kind in "UO":
        return np.array([value is None or value != value or value == "" for value in labels], dtype=bool)
    return np.zeros(len(labels), dtype=bool)


def _edges(bins: Any, name: str) -> FloatArray:
    try:
        edges = np.asarray(bins, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValidationError(f"bins={shown(bins)}", hint="pass edges, ascending") from err
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        raise ValidationError(f"bins of {name} are {shown(bins)}", hint="two edges or more, ascending")
    return edges


def _joined(keys: Sequence[_Key], n: int) -> _Key:
    """Return the groups that occur, each a combination of one group of every key."""
    codes = np.stack([key.code for key in keys], axis=1) if n else np.empty((0, len(keys)), dtype=np.intp)
    inside = (codes >= 0).all(axis=1)
    if not inside.any():
        raise ValidationError("no spectrum is in a group", hint="look at the labels, or at the bins")
    found, inverse = np.unique(codes[inside], axis=0, return_inverse=True)
    code = np.full(n, -1, dtype=np.intp)
    code[inside] = inverse.reshape(-1)
    values = {name: array[found[:, k]] for k, key in enumerate(keys) for name, array in key.values.items()}
    words = [", ".join(key.words[row[k]] for k, key in enumerate(keys)) for row in found]
    return _Key(code, values, words)


def _is_array(grid: Any) -> bool:
    return grid is not None and not isinstance(grid, str)


def _common_grid(ds: xr.Dataset, grid: Any, shifts: FloatArray | None) -> FloatArray:
    """Return the grid of a stack of all: a lazy one, which is never computed."""
    values = stack_collection(ds.chunk(), "mean", grid, shifts)["wavelength"].values
    return np.asarray(values, dtype=np.float64)


def _as_row(stack: xr.Dataset, words: str) -> xr.Dataset:
    """Return a stack as a collection of one row."""
    from campfire.convert.header_json import load_header

    header = str(stack.attrs["fits_header"])
    row = stack.drop_indexes("wavelength").expand_dims("spectrum")
    alike = {"wavelength", "grating"}
    own = [str(name) for name in stack.coords if name not in alike]
    row = row.assign_coords({name: stack.coords[name].expand_dims("spectrum") for name in own})
    name = f"{stack['spectrum_id'].item()}:{words}"
    return row.assign_coords(
        spectrum_id=text_variable("spectrum", [name]),
        n_spectra=("spectrum", [int(load_header(header)["NSTACK"])], {"long_name": "spectra stacked"}),
        fits_header=text_variable("spectrum", [header]),
    ).drop_attrs(deep=False)


def _padded(stack: xr.Dataset, others: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return a row with as many lags and modes as the one with most has: the further ones are zero."""
    import xarray as xr

    for name, dim in _PADDED.items():
        most = max(other.sizes.get(dim, 0) for other in others)
        if most and name not in stack:  # a group without modes beside one with
            like = next(other for other in others if name in other)
            own = {key: v for key, v in like.variables.items() if dim in v.dims}
            none = {key: xr.full_like(v, _nothing(v)) for key, v in own.items()}
            stack = stack.assign({name: none.pop(name)}).assign_coords(none)
        if most > stack.sizes.get(dim, most):
            stack = _longer(stack, dim, most - stack.sizes[dim])
    return stack


def _nothing(variable: xr.Variable) -> Any:
    return "" if variable.dtype.kind == "U" else 0


def _longer(ds: xr.Dataset, dim: str, more: int) -> xr.Dataset:
    import xarray as xr

    longer = {}
    for name, variable in ds.variables.items():
        if dim in variable.dims:
            variable = variable.pad({dim: (0, more)}, constant_values=_nothing(variable))
        longer[name] = variable
    coords = {name: longer.pop(name) for name in ds.coords}
    return xr.Dataset(longer, xr.Coordinates(coords, indexes={}), ds.attrs)


def _attrs(stacks: Sequence[xr.Dataset], ds: xr.Dataset) -> dict[str, Any]:
    history = {"history": ds.attrs["history"]} if "history" in ds.attrs else {}
    return {"campfire_schema": ds.attrs.get("campfire_schema", 1), **history}
