"""From sources to a tree: one child a grating, rows in the caller's order, numpy or dask by one reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from campfire.collection.block_reader import block_dtype, layouts_of, read_block, read_records, read_variable
from campfire.collection.blockwise import dask_array, flam_of, power_coordinate
from campfire.collection.coords import row_coordinates
from campfire.collection.pixel_table import FIELDS, field_dtypes
from campfire.collection.row_sources import CacheRow, Source, SourceBlock
from campfire.config import safe_component
from campfire.errors import ValidationError
from campfire.schema import NATIVE, SCHEMA_VERSION, attrs_of
from campfire.text import text_variable

if TYPE_CHECKING:
    import os

    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.typing import Extraction

__all__ = ["BLOCK_ROWS", "Chunks", "open_tree"]

BLOCK_ROWS = 512
"""Rows read by one task."""

Chunks: TypeAlias = "int | str | Mapping[str, int | str] | None"


def open_tree(
    sources: Sequence[Source],
    columns: Mapping[str, ArrayLike],
    *,
    chunks: Chunks = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    extraction: Extraction | None = None,
    grid: ArrayLike | str | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Open many spectra as one labelled tree, without reading their pixels.

    Parameters
    ----------
    sources
        Where the pixels of each row are; a spectrum may come twice.
    columns
        Catalogue columns, one value a source: ``spectrum_id`` and ``grating``, and any other that is to be a
        coordinate (``object_id``, ``redshift``, ``dq_flags``, …). Masked numbers become NaN, masked text "".
    chunks
        Rows a block (``"auto"``: 512), as a number or ``{"spectrum": n}``; None reads everything now into
        numpy arrays.
    cache_dir
        Folder of the pixel cache. Files it does not hold yet are read into it once, here; None reads files
        block by block when values are asked for. A folder that cannot be written is used as far as it goes.
        Or the URL of one in an object store (``s3://bucket/prefix``), which is read and never written here.
    extraction
        ``optimal``, ``3px``, ``4px`` or ``5px`` for every file; None: as each source says.
    grid
        None: as observed. Pixel centres in microns, ascending: every spectrum is resampled onto them.
        ``"common"``: onto the wavelengths of the row with most pixels of its grating (the first of several).
    attrs
        Attributes of the root, such as the query; text, numbers and lists of them.

    Returns
    -------
    xarray.DataTree
        One child a grating, in order of first appearance. Each holds ``fnu``, ``fnu_err`` (microjansky),
        ``flam``, ``flam_err`` (erg s-1 cm-2 angstrom-1, computed from f_nu with the exact speed of light),
        ``dq`` and ``n_pixels`` over (spectrum, pixel), with two-dimensional ``wavelength`` (microns), or over
        (spectrum, wavelength) with a grid; the coordinate ``resolving_power`` follows from wavelength and
        grating, where that is a known one. Rows keep the order in which they were given. Beyond the
        ``n_pixels`` of a row everything is NaN, and ``OUTSIDE`` in ``dq``.

    Raises
    ------
    ValidationError
        For no sources, columns of another length, missing ``spectrum_id`` or ``grating``, an unusable
        ``chunks`` or ``grid``, or a file that is not a spectrum.
    NotFoundError
        If a file is not there.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from campfire.collection.row_sources import FileSource
    >>> from campfire.formats.spec_writer import write_spectrum
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name, level in (("a", 1.0), ("b", 3.0)):
    ...     write_spectrum(folder / f"{name}.fits", {
    ...         "wavelength": np.linspace(1.0, 2.0, 5), "fnu": np.full(5, level), "fnu_err": np.full(5, 0.1),
    ...         "header": {}, "grating": "PRISM", "spectrum_id": name})
    >>> sources = [FileSource(str(folder / "b.fits")), FileSource(str(folder / "a.fits"))]
    >>> tree = open_tree(sources, {"spectrum_id": ["b", "a"], "grating": ["PRISM", "PRISM"]})
    >>> tree["PRISM"].fnu.chunks, tree["PRISM"].fnu[:, 0].values
    (((2,), (5,)), array([3., 1.]))
    >>> stack = tree.campfire.stack()["PRISM"]
    >>> stack.spectrum_id.item(), stack.fnu.values
    ('stack:PRISM:2spectra', array([2., 2., 2., 2., 2.]))
    """
    import xarray as xr

    if not len(sources):
        raise ValidationError("a collection of no spectra", hint="pass at least one source")
    gratings = _gratings(columns, len(sources))
    rows = _block_rows(chunks, len(sources))
    if extraction is not None:
        sources = [with_extraction(s, extraction) for s in sources]
    if cache_dir is not None:
        from campfire.collection.shared_cache import cache_at

        sources = cache_at(cache_dir).resolve(sources, gratings)
    members: dict[str, list[int]] = {}
    for position, grating in enumerate(gratings):
        members.setdefault(grating, []).append(position)
    coords = row_coordinates(columns)
    children = {}
    for grating, positions in members.items():
        if len(members) > 1:
            chosen = {name: (dim, values[positions], *more) for name, (dim, values, *more) in coords.items()}
            own: Sequence[Source] = [sources[p] for p in positions]
        else:
            chosen, own = coords, sources
        ds = _group(own, grating, chosen, rows)
        if grid is not None:
            from campfire.collection.gridding import resample_dataset

            longest = _longest_row(own, ds["n_pixels"].values)
            ds = resample_dataset(
                ds, longest if isinstance(grid, str) and grid == "common" else grid, longest
            )
        children[f"/{grating}"] = ds
    root = xr.Dataset(attrs=_attrs() | {"created": datetime.now(UTC).isoformat(timespec="seconds")})
    root.attrs.update(attrs or {})
    return xr.DataTree.from_dict({"/": root, **children})


def _longest_row(sources: Sequence[Source], n_pixels: NDArray[np.int32]) -> NDArray[Any]:
    """Return the wavelengths of the row with most pixels: of one source alone, not of a block of them."""
    row = int(np.argmax(n_pixels))
    block = read_block([sources[row]], int(n_pixels[row]), np.dtype(np.float64), ("wavelength",))
    wavelength: NDArray[Any] = block["wavelength"][0]
    return wavelength


def with_extraction(source: Source, extraction: Extraction) -> Source:
    """Return the source of another extraction of the same file."""
    from dataclasses import replace

    file = source.file if isinstance(source, CacheRow) else source
    return source if file.extraction == extraction else replace(file, extraction=extraction)


def _gratings(columns: Mapping[str, ArrayLike], n_rows: int) -> list[str]:
    for name in ("spectrum_id", "grating"):
        if name not in columns:
            raise ValidationError(
                f"no column {name!r} among {sorted(columns)}", hint="pass spectrum_id and grating a source"
            )
    for name, values in columns.items():
        if len(values) != n_rows:  # type: ignore[arg-type]
            raise ValidationError(
                f"column {name!r} has {len(values)} values for {n_rows} sources",  # type: ignore[arg-type]
                hint="pass one value a source",
            )
    gratings = [str(g) for g in np.ma.filled(np.ma.asarray(columns["grating"]), "").tolist()]
    for grating in set(gratings):  # each names a group and a file of the cache
        safe_component(grating, "grating")
    return gratings


def _block_rows(chunks: Chunks, n_rows: int) -> int | None:
    """Return the rows a block, or None for numpy."""
    if chunks is None:
        return None
    if isinstance(chunks, Mapping):
        other = set(chunks) - {"spectrum"}
        if other:
            raise ValidationError(f"chunks along {sorted(other)}", hint="only 'spectrum' can be divided")
        return _block_rows(chunks.get("spectrum", "auto"), n_rows)
    if chunks == "auto":
        return BLOCK_ROWS
    if isinstance(chunks, int | np.integer) and not isinstance(chunks, bool) and (chunks > 0 or chunks == -1):
        return n_rows if chunks == -1 else int(chunks)
    raise ValidationError(f"chunks={chunks!r}", hint="use 'auto', a number of rows, {'spectrum': n} or None")


def _attrs() -> dict[str, Any]:
    return {"campfire_schema": SCHEMA_VERSION, "Conventions": "CF-1.11"}


def _group(
    sources: Sequence[Source], grating: str, coords: dict[str, Any], block_rows: int | None
) -> xr.Dataset:
    import xarray as xr

    n_pixels, dtype = layouts_of(sources)
    width = max(1, int(n_pixels.max()))
    if block_rows is None:
        fields: dict[str, Any] = dict(read_block(sources, width, dtype))
    else:
        fields = _lazy_fields(sources, width, dtype, block_rows)
    for name in ("fnu", "fnu_err"):
        fields[name.replace("fnu", "flam")] = flam_of(fields[name], fields["wavelength"])
    data: dict[str, Any] = {}
    for name in ("fnu", "fnu_err", "flam", "flam_err", "dq"):
        attrs = attrs_of(name) | ({"origin": "computed"} if name.startswith("flam") else {})
        data[name] = (NATIVE, fields[name], attrs)
    data["n_pixels"] = (
        "spectrum",
        n_pixels,
        {"long_name": "number of pixels of the row; the rest is padding"},
    )
    coords = coords | {
        "wavelength": (NATIVE, fields["wavelength"], attrs_of("wavelength")),
        "grating": text_variable((), grating, {"long_name": "disperser"}),
        **power_coordinate([grating], fields["wavelength"]),
    }
    extractions = {(s.file if isinstance(s, CacheRow) else s).extraction for s in sources}
    history = f"opened {len(sources)} {grating} spectra, {', '.join(sorted(extractions))} extraction"
    ds = xr.Dataset(data, coords, attrs=_attrs() | {"history": history})
    return ds.set_xindex("spectrum_id")


def _lazy_fields(
    sources: Sequence[Source], width: int, dtype: np.dtype[Any], block_rows: int
) -> dict[str, Any]:
    da = dask_array()
    blocks = [SourceBlock(sources[i : i + block_rows]) for i in range(0, len(sources), block_rows)]
    carriers = np.empty(len(blocks), dtype=object)
    for number, block in enumerate(blocks):  # one by one: numpy would look into a list of sequences
        carriers[number] = block
    token = SourceBlock(sources).token
    carried = da.from_array(
        carriers, chunks=1, name=f"campfire-sources-{token}-{block_rows}", meta=carriers[:0]
    )
    lengths = tuple(len(block) for block in blocks)

    def mapped(function: Any, kind: np.dtype[Any], label: str, **options: Any) -> Any:
        return da.blockwise(
            function,
            "ij",
            carried,
            "i",
            new_axes={"j": width},
            adjust_chunks={"i": lengths},
            dtype=kind,
            meta=np.empty((0, 0), dtype=kind),
            name=f"campfire-{label}-{token}-{block_rows}-{width}-{dtype.name}",
            width=width,
            **options,
        )

    if all(isinstance(s, CacheRow) for s in sources):
        # The cache keeps fields apart: whoever needs one reads one.
        kinds = field_dtypes(dtype)
        return {
            name: mapped(read_variable, kinds[name], name, field=name, float_dtype=dtype.name)
            for name in FIELDS
        }
    # A file is opened once for all its fields.
    records = mapped(read_records, block_dtype(dtype), "records", float_dtype=dtype.name)
    return {name: records[name] for name in FIELDS}
