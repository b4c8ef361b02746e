"""Many spectra as one lazy tree: which they are, where their files are, what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.access.user_warnings import tell
from campfire.arguments import choice
from campfire.columns import Columns
from campfire.errors import NotFoundError, ValidationError
from campfire.mirror.downloads import run_download, wanted_rows
from campfire.models.spectrum_names import spectrum_names
from campfire.query import Query
from campfire.typing import EXTRACTIONS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike

    from campfire.access.context import Context
    from campfire.access.queries import Queries
    from campfire.collection.build import Chunks
    from campfire.collection.row_sources import FileSource
    from campfire.mirror.single_files import FileKeeper
    from campfire.typing import Extraction, ProgressCallback, Row

__all__ = ["Collections"]

_COORDINATES = (
    *("spectrum_id", "grating", "object_id", "target_id", "program_slug", "observation", "field"),
    *("redshift", "redshift_quality", "redshift_auto", "signal_to_noise", "exposure_time", "dq_flags"),
    *("ra", "dec", "reduction_version"),
)
_FEW = 200  # spectra that are looked up one by one


class Collections:
    """Opens collections, and keeps their pixels.

    Parameters
    ----------
    context, queries, keeper
        Of the client.
    """

    def __init__(self, context: Context, queries: Queries, keeper: FileKeeper) -> None:
        self._context = context
        self._queries = queries
        self._keeper = keeper

    def open(
        self,
        spectra: Any,
        filters: Mapping[str, Any],
        *,
        grid: ArrayLike | str | None,
        chunks: Chunks,
        cache: bool,
        extraction: Extraction,
        download: bool,
        progress: ProgressCallback | None,
    ) -> xr.DataTree:
        """Open spectra, or what matches; without either, all that are on this disk."""
        from campfire.collection.build import open_tree

        choice(extraction, "extraction", EXTRACTIONS)
        if spectra is None and not filters and not download:
            columns = self._on_disk()
        else:
            columns = self.chosen(spectra, filters)
        if not len(columns):
            raise ValidationError("no spectrum matches: there is nothing to collect", hint="widen the query")
        sources = self._sources(columns, download=download, extraction=extraction, progress=progress)
        return open_tree(
            sources,
            {name: columns[name] for name in _COORDINATES},
            chunks=chunks,
            cache_dir=self._context.paths.cache if cache else None,
            extraction=extraction,
            grid=grid,
            attrs={"query": repr(dict(filters))} if filters else None,
        )

    def chosen(self, spectra: Any, filters: Mapping[str, Any]) -> Columns:
        """Return the catalogue's rows of whatever holds spectra, in its order, or of those that match.

        Raises
        ------
        ValidationError
            If both were given.
        NotFoundError
            For unknown ids.
        """
        if spectra is None:
            return self._queries.select_all(filters)
        if filters:
            raise ValidationError(
                f"both spectra and {', '.join(filters)} were given",
                hint="query_spectra(...) takes the filters",
            )
        names = list(spectrum_names(spectra))
        if not names:
            raise ValidationError("a collection of no spectra", hint="pass at least one id")
        return self._by_id(names)

    def rows_to_lock(self, spectra: Any, filters: Mapping[str, Any]) -> Iterable[Row]:
        """Return rows for a lock file; without spectra or filters, of all that are on this disk."""
        if spectra is None and not filters:
            catalog = self._context.needed_catalog("lock() of all files on this disk")
            return (row for row in catalog.iter_rows(Query.of("spectra")) if row["local_path"])
        names = None if spectra is None else list(dict.fromkeys(spectrum_names(spectra)))
        if names == []:
            raise ValidationError("a lock of no spectra", hint="pass at least one")
        return self.chosen(names, filters).rows()

    def build_cache(self, progress: ProgressCallback | None) -> int:
        """Read every spectrum on this disk into the pixel cache; returns how many there are."""
        self._context.needed_catalog("build_cache()")
        columns = self._queries.select_all({})
        columns = columns.take(~np.ma.getmaskarray(columns["local_path"]))
        if len(columns):
            from campfire.collection.cache_maintenance import build

            gratings = [str(g) for g in columns["grating"].tolist()]
            build(self._context.paths.cache, self._sources(columns), gratings, progress=progress)
        return len(columns)

    def compact_cache(self) -> int:
        """Rewrite the pixel cache without rows of files that are no longer here; returns the bytes freed."""
        from campfire.collection.cache_maintenance import compact

        book = self._context.catalog()
        live = None if book is None else {record.hash for record in book.local_files().values()}
        return compact(self._context.paths.cache, live)

    # --- inside ------------------------------------------------------------------------------------------

    def _on_disk(self) -> Columns:
        self._context.needed_catalog("open_collection() of all files on this disk")
        columns = self._queries.select_all({})
        absent = np.ma.getmaskarray(columns["local_path"])
        if absent.all():
            raise NotFoundError(
                f"none of the {len(columns)} spectra of the catalogue is on this disk",
                hint="download() some first, or open_collection(..., download=True) with ids or filters",
            )
        if absent.any():
            tell(f"{absent.sum()} of {len(columns)} spectra are not on this disk and are left out")
        return columns.take(~absent)

    def _by_id(self, names: list[str]) -> Columns:
        catalog = self._context.catalog()
        distinct = list(dict.fromkeys(names))
        if catalog is not None and len(distinct) > _FEW:
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
        self,
        columns: Columns,
        *,
        download: bool = False,
        extraction: Extraction = "optimal",
        progress: ProgressCallback | None = None,
    ) -> list[FileSource]:
        from campfire.collection.row_sources import FileSource

        names = [str(name) for name in columns["spectrum_id"].tolist()]
        paths = columns["local_path"].tolist()
        absent = list(dict.fromkeys(name for name, path in zip(names, paths, strict=True) if path is None))
        if absent and not download:
            raise NotFoundError(
                f"{len(absent)} of {len(set(names))} spectra are not on this disk, the first: {absent[0]}",
                hint="pass download=True, or call download(spectrum_ids=[...]) first",
            )
        if absent:
            fetched = self._fetched(absent, progress)
            paths = [fetched[name] if path is None else path for name, path in zip(names, paths, strict=True)]
        hashes = self._hashes(columns, names, paths)
        return [FileSource(path, hashes[name], extraction) for name, path in zip(names, paths, strict=True)]

    def _fetched(self, names: list[str], progress: ProgressCallback | None) -> dict[str, str]:
        if self._context.catalog() is None:
            return {name: str(self._keeper.path_of(name)[0]) for name in names}
        rows = wanted_rows(self._context, {}, spectrum_ids=names)
        report = run_download(self._context, rows, progress=progress)
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
