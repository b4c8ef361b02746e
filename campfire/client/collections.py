"""Many spectra as one lazy tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.client.base import on_disk
from campfire.client.files import FileMethods
from campfire.columns import Columns
from campfire.errors import NotFoundError, ValidationError
from campfire.mirror.lock_inputs import spectrum_names
from campfire.query import Query

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import Table
    from numpy.typing import ArrayLike

    from campfire.collection.build import Chunks
    from campfire.collection.sources import FileSource
    from campfire.models import SpectrumCollection
    from campfire.typing import Extraction, ProgressCallback

__all__ = ["CollectionMethods"]

_COORDINATES = (
    *("spectrum_id", "grating", "object_id", "target_id", "program_slug", "observation", "field"),
    *("redshift", "redshift_quality", "redshift_auto", "signal_to_noise", "exposure_time", "dq_flags"),
    *("ra", "dec", "reduction_version"),
)


class CollectionMethods(FileMethods):
    """The methods of :class:`campfire.Campfire` that deal with collections."""

    @on_disk("cannot collect:")
    def open_collection(
        self,
        spectra: Table | SpectrumCollection | Sequence[str] | None = None,
        *,
        grid: ArrayLike | str | None = None,
        chunks: Chunks = "auto",
        cache: bool = True,
        extraction: Extraction = "optimal",
        download: bool = False,
        **filters: Any,
    ) -> xr.DataTree:
        """Open many spectra as one labelled tree, without reading their pixels.

        Parameters
        ----------
        spectra
            A table from :meth:`query_spectra` (also as a DataFrame, or a row of it), a
            ``SpectrumCollection``, an ``Object``, a ``Spectrum``, or spectrum ids; rows come in that order,
            and an id may repeat. Else give keywords of :meth:`query_spectra`.
        grid
            None: as observed. Wavelengths in micron, ascending, or ``"common"`` (one grid a grating): every
            spectrum is resampled onto them.
        chunks
            Rows a block; None reads everything now into numpy arrays.
        cache
            Keep pixels in the cache below the data directory, from which they are read much faster.
        extraction
            ``"optimal"``, ``"3px"``, ``"4px"`` or ``"5px"``.
        download
            Fetch the files that are not on this disk.
        **filters
            Keywords of :meth:`query_spectra`.

        Returns
        -------
        xarray.DataTree
            One child a grating.

        Raises
        ------
        ValidationError
            If nothing was asked for, or both spectra and filters.
        NotFoundError
            For unknown ids, and for spectra that are not on this disk.
        """
        from campfire.collection.build import open_tree

        columns = self._chosen(spectra, filters)
        if not len(columns):
            raise ValidationError("no spectrum matches: there is nothing to collect", hint="ask for more")
        sources = self._sources(columns, download=download, extraction=extraction)
        return open_tree(
            sources,
            {name: columns[name] for name in _COORDINATES},
            chunks=chunks,
            cache_dir=self._context.paths.cache if cache else None,
            extraction=extraction,
            grid=grid,
            attrs={"query": repr(filters)} if filters else None,
        )

    @on_disk("cannot cache:")
    def build_cache(self, *, progress: ProgressCallback | None = None) -> int:
        """Read every spectrum on this disk into the pixel cache; returns how many there are."""
        catalog = self._context.needed_catalog("build_cache()")
        columns = catalog.select(Query.of("spectra"))
        columns = columns.take(~np.ma.getmaskarray(columns["local_path"]))
        if len(columns):
            from campfire.collection.cache import build

            gratings = [str(g) for g in columns["grating"].tolist()]
            build(self._context.paths.cache, self._sources(columns), gratings, progress=progress)
        return len(columns)

    def compact_cache(self) -> int:
        """Rewrite the pixel cache without rows of files that are no longer here; returns the bytes freed."""
        from campfire.collection.cache import compact

        book = self._context.catalog()
        live = None if book is None else {record.hash for record in book.local_files().values()}
        return compact(self._context.paths.cache, live)

    # --- inside ------------------------------------------------------------------------------------------

    def _chosen(self, spectra: Any, filters: dict[str, Any]) -> Columns:
        if spectra is None:
            if not filters:
                raise ValidationError(
                    "open_collection() was given nothing to open",
                    hint="pass spectra, or e.g. gratings=['PRISM']",
                )
            query = Query.of("spectra", **filters)
            catalog = self._context.catalog()
            if catalog is not None:
                return catalog.select(query.resolved(catalog.vocabulary()))
            service = self._context.remote()
            return service.select(service.resolved(query)).columns
        if filters:
            raise ValidationError(
                f"both spectra and {', '.join(filters)} were given",
                hint="query_spectra(...) takes the filters",
            )
        return self._by_id(_ids(spectra))

    def _by_id(self, names: list[str]) -> Columns:
        """Return the catalogue's rows of spectra, in the order of the names."""
        catalog = self._context.catalog()
        distinct = list(dict.fromkeys(names))
        if catalog is not None and len(distinct) > 200:
            whole = catalog.select(Query.of("spectra"))
            place = {name: index for index, name in enumerate(whole["spectrum_id"].tolist())}
        else:
            found = [row for name in distinct if (row := self._context.spectrum_row(name)) is not None]
            whole = Columns.from_rows("spectra", found)
            place = {str(row["spectrum_id"]): index for index, row in enumerate(found)}
        unknown = [name for name in distinct if name not in place]
        if unknown:
            raise NotFoundError(
                f"{len(unknown)} of {len(distinct)} spectra are unknown, the first: {unknown[0]!r}",
                hint="check the ids, or call sync() if they are new",
            )
        return whole.take(np.array([place[name] for name in names], dtype=np.intp))

    def _sources(
        self, columns: Columns, *, download: bool = False, extraction: Extraction = "optimal"
    ) -> list[FileSource]:
        from campfire.collection.sources import FileSource

        names = [str(name) for name in columns["spectrum_id"].tolist()]
        paths = columns["local_path"].tolist()
        absent = list(dict.fromkeys(name for name, path in zip(names, paths, strict=True) if path is None))
        if absent and not download:
            raise NotFoundError(
                f"{len(absent)} of {len(set(names))} spectra are not on this disk, the first: {absent[0]}",
                hint="pass download=True, or call download(spectrum_ids=[...]) first",
            )
        if absent:
            fetched = self._fetched(absent)
            paths = [fetched[name] if path is None else path for name, path in zip(names, paths, strict=True)]
        hashes = self._hashes(columns, names, paths)
        return [FileSource(path, hashes[name], extraction) for name, path in zip(names, paths, strict=True)]

    def _fetched(self, names: list[str]) -> dict[str, str]:
        if self._context.catalog() is None:
            return {name: str(self._keeper.path_of(name)[0]) for name in names}
        report = self.download(spectrum_ids=names)
        if report.failures:
            first = report.failures[0]
            raise NotFoundError(
                f"{len(report.failures)} spectra could not be fetched, the first: {first['spectrum_id']}",
                hint=first["error"],
            )
        return {entry["spectrum_id"]: entry["path"] for entry in report.files}

    def _hashes(self, columns: Columns, names: list[str], paths: list[str]) -> dict[str, str]:
        """Return the hash of every file as it is now, once it is known for what it is."""
        told = columns["file_hash"]
        hashes = np.ma.filled(told, "").tolist() if np.ma.isMaskedArray(told) else told.tolist()
        rows = [
            {"spectrum_id": name, "file_hash": digest or None, "grating": grating}
            for name, digest, grating in zip(names, hashes, columns["grating"].tolist(), strict=True)
        ]
        return self._keeper.identity.settle_all(rows, paths)


def _ids(spectra: Any) -> list[str]:
    names = list(spectrum_names(spectra))
    if not names:
        raise ValidationError("a collection of no spectra", hint="pass at least one id")
    return names
