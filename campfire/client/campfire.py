"""``Campfire``, the one class most users need: its signatures and what they mean; its parts do the work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Never, Self, TypeAlias, Unpack

from campfire.access.context import Context
from campfire.access.queries import BY_OBJECT, BY_SPECTRUM, MetadataRows, Queries
from campfire.arguments import integer
from campfire.client.citing import Citation, cite
from campfire.client.collections import Collections
from campfire.client.decorators import on_disk, with_query_keywords, with_truth_values
from campfire.client.images import Images
from campfire.client.plot_payloads import Prepared
from campfire.client.sheets import Sheets
from campfire.columns import to_table
from campfire.config import DEFAULT_BASE_URL, as_path, plain_text, service_name
from campfire.disk import new_file
from campfire.errors import ValidationError
from campfire.flags import FlagQuery
from campfire.mirror.downloads import run_download, wanted_rows
from campfire.mirror.lock_report import LockReport
from campfire.mirror.lock_writer import changes, lock_of
from campfire.mirror.lockfile import Lock
from campfire.mirror.report import DownloadReport
from campfire.mirror.reproducing import compare, reproduce
from campfire.mirror.single_files import FileKeeper
from campfire.mirror.verification import Verification, verify
from campfire.models.spectrum_names import object_names, spectrum_names
from campfire.progress import progress_bars
from campfire.query import QueryOptions
from campfire.typing import Row, SpectrumPayload

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import Table
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from campfire.analysis.calibration import CalibrationResult
    from campfire.analysis.stacking import StackResult
    from campfire.collection.build import Chunks
    from campfire.models import Object, Spectrum, SpectrumCollection, SpectrumData
    from campfire.transport.http import Sender
    from campfire.typing import Extraction, PathInput, ProgressCallback, RedshiftFit, SpectrumFields

__all__ = ["Campfire"]

Names: TypeAlias = "Sequence[str] | str | None"
Programs: TypeAlias = "Sequence[str | int] | str | int | None"
Range: TypeAlias = "tuple[float | None, float | None] | None"
Qualities: TypeAlias = "Sequence[int | str] | int | str | None"
Flags: TypeAlias = "FlagQuery | int | str | Sequence[str | int] | None"
Cone: TypeAlias = "tuple[float, float, float] | None"
Direction: TypeAlias = Literal["asc", "desc"]
Progress: TypeAlias = "ProgressCallback | bool | None"

_MOST_WORKERS = 32


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the query keywords among the arguments of a method."""
    unknown: dict[str, Any] = arguments.pop("unknown")
    return {name: value for name, value in arguments.items() if name not in ("self", "remote")} | unknown


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opens spectra for the models, and knows their files; see ``Spectrum.downloaded``."""

    client: Campfire

    def __call__(self, spectrum_id: str) -> SpectrumFields:
        return self.client._read(spectrum_id)

    def local_path(self, spectrum_id: str) -> Path | None:
        return self.client._keeper.local_path(spectrum_id)


@with_truth_values
class Campfire:
    """Access to the archive: its catalogue, synchronised here or asked remotely, and its files.

    Building one touches neither network nor credentials. It is a context manager, may be used from several
    threads, and can be pickled; secrets stay behind.

    Parameters
    ----------
    base_url
        Address of the service; else ``CAMPFIRE_API_URL``, else the production server. https, but for
        loopback.
    data_dir
        Root of the data directory; else ``CAMPFIRE_ROOT``, else ``~/campfire``. Where it holds a catalogue
        (``meta/campfire.db``), queries are answered from there.
    auto_refresh
        Renew a browser login that is about to expire.
    token
        API key or access token; else ``CAMPFIRE_API_KEY``, else the login of ``campfire login``.
    session
        A ``requests.Session`` to send requests with, for proxies or certificates of one's own.

    Raises
    ------
    ValidationError
        If the address is neither https nor loopback.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Campfire(data_dir=folder) as cf:
    ...     cf.is_local, cf.last_synced
    (False, None)
    """

    DEFAULT_BASE_URL = DEFAULT_BASE_URL

    def __init__(
        self,
        base_url: str | None = None,
        data_dir: PathInput | None = None,
        auto_refresh: bool = True,
        *,
        token: str | None = None,
        session: Sender | None = None,
    ) -> None:
        self._context = Context(base_url, data_dir, auto_refresh=auto_refresh, token=token, session=session)
        self._queries = Queries(self._context)
        self._keeper = FileKeeper(self._context)
        self._collections = Collections(self._context, self._queries, self._keeper)
        self._prepared = Prepared(self._context, self._keeper)
        self._images = Images(self._context)
        self._sheets = Sheets(self._context, self._queries, self._keeper, self._prepared, self._images)

    @property
    def base_url(self) -> str:
        """Address of the service."""
        return self._context.base_url

    @property
    def data_dir(self) -> Path:
        """Root of the data directory."""
        return self._context.paths.root

    @property
    def is_local(self) -> bool:
        """Whether there is a valid local catalogue of this service."""
        return self._context.is_local()

    @property
    def last_synced(self) -> str | None:
        """When a synchronisation last completed, ISO 8601 in UTC, or None."""
        return self._context.last_synced()

    def whoami(self) -> Row:
        """Ask the service whose credentials are used.

        Raises
        ------
        AuthenticationError
            If there are none, or they are not accepted.
        """
        return self._context.api().whoami()

    def close(self) -> None:
        """Give up connections; using the client again makes new ones."""
        self._context.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # A token or a session stays behind; the copy finds credentials where it is.
        return type(self), (self.base_url, str(self.data_dir), self._context.auto_refresh)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, {str(self.data_dir)!r})"

    # --- querying -----------------------------------------------------------------------------------------

    def query_objects(
        self,
        fields: Names = None,
        programs: Programs = None,
        gratings: Names = None,
        observations: Names = None,
        redshift_range: Range = None,
        redshift_quality: Qualities = None,
        max_snr_range: Range = None,
        dq_flags: Flags = None,
        tags: Names = None,
        inspected_only: bool | None = None,
        staleness: bool | None = None,
        has_photometry: bool | None = None,
        search: str | None = None,
        cone_search: Cone = None,
        limit: int | None = None,
        offset: int = 0,
        sort: str = BY_OBJECT,
        sort_dir: Direction = "asc",
        remote: bool = False,
        **unknown: Never,
    ) -> Table:
        """Query objects: one row per sky position.

        Parameters
        ----------
        fields, programs, gratings, observations, tags
            Any of these names, in any case; programs also as JWST program numbers.
        redshift_range, max_snr_range
            (min, max), ends included; None leaves one end open.
        redshift_quality
            Codes 0 to 4, or names such as ``"secure"``.
        dq_flags
            A :class:`~campfire.flags.DQFlags` expression, on the flags of all spectra of the object together.
        inspected_only
            True: only inspected objects; False: only the others.
        staleness
            True: only objects whose data changed after the last inspection; False: only the others.
        has_photometry
            True: only objects with photometry; False: only those without.
        search
            Part of the name of the object or of one of its targets, in any case.
        cone_search
            (ra, dec, radius): degrees, degrees, arcsec. Adds ``distance_arcsec``, and orders by it unless
            ``sort`` is given.
        limit, offset
            At most so many rows, after leaving out so many. Without ``limit`` a remote query stops at 1000.
        sort, sort_dir
            Column to order by, ``"asc"`` or ``"desc"``; unknown values come last.
        remote
            Ask the service even where there is a local catalogue.

        Returns
        -------
        astropy.table.Table
            One row an object, with units; the same columns when it is empty.

        Raises
        ------
        ValidationError
            For a name, a column or a value that makes no sense.
        """
        return to_table(self._queries.select("objects", _given(locals()), remote=remote))

    def query_spectra(
        self,
        fields: Names = None,
        programs: Programs = None,
        gratings: Names = None,
        observations: Names = None,
        redshift_range: Range = None,
        redshift_quality: Qualities = None,
        max_snr_range: Range = None,
        dq_flags: Flags = None,
        tags: Names = None,
        inspected_only: bool | None = None,
        staleness: bool | None = None,
        has_photometry: bool | None = None,
        search: str | None = None,
        cone_search: Cone = None,
        limit: int | None = None,
        offset: int = 0,
        sort: str = BY_SPECTRUM,
        sort_dir: Direction = "asc",
        remote: bool = False,
        **unknown: Never,
    ) -> Table:
        """Query spectra: one row per spectrum.

        The parameters are those of :meth:`query_objects`. Redshift, quality, inspection, tags, staleness,
        photometry and the cone look at the object a spectrum belongs to; ``dq_flags`` and ``max_snr_range``
        at the spectrum's own flags and signal-to-noise ratio, ``search`` at its name and its target's.

        Returns
        -------
        astropy.table.Table
            One row a spectrum; ``local_path`` is the file on this disk, masked where it is not.

        Raises
        ------
        ValidationError
            For a name, a column or a value that makes no sense.
        """
        return to_table(self._queries.select("spectra", _given(locals()), remote=remote))

    @with_query_keywords
    def iter_objects(self, *, remote: bool = False, **filters: Unpack[QueryOptions]) -> Iterator[Row]:
        """Iterate over objects as dictionaries, None where unknown; keywords as for :meth:`query_objects`.

        Rows are read as they are asked for: breaking off early costs nothing more. There is no limit unless
        one is given.

        Raises
        ------
        ValidationError
            At the call, for a name, a column or a value that makes no sense.
        """
        return self._queries.iterate("objects", filters, remote=remote)

    @with_query_keywords
    def iter_spectra(self, *, remote: bool = False, **filters: Unpack[QueryOptions]) -> Iterator[Row]:
        """Iterate over spectra as dictionaries, as :meth:`iter_objects`."""
        return self._queries.iterate("spectra", filters, remote=remote)

    @with_query_keywords
    def count_objects(self, **filters: Unpack[QueryOptions]) -> int:
        """Count objects in the local catalogue; keywords as for :meth:`query_objects`.

        Raises
        ------
        ValidationError
            If there is no local catalogue, or for a value that makes no sense.
        """
        return self._queries.count("objects", filters)

    def get_object(self, object_id: str, *, remote: bool = False) -> Object | None:
        """Return an object with its spectra and photometry.

        Parameters
        ----------
        object_id
            Its id, or that of one of its targets.
        remote
            Ask the service even where there is a local catalogue.

        Returns
        -------
        Object or None
            None if there is no such object.

        Raises
        ------
        ValidationError
            If it is the id of a spectrum; the message names its object.
        """
        from campfire.models import Object

        parts = self._queries.object_parts(object_id, remote=remote)
        return None if parts is None else Object.from_row(*parts, _Opener(self))

    def get_spectrum(self, spectrum_id: str, *, remote: bool = False) -> Row | None:
        """Return the catalogue row of a spectrum as a dictionary, or None if there is no such spectrum."""
        plain_text(spectrum_id, "spectrum id")
        return self._context.spectrum_row(spectrum_id, remote=remote)

    def get_metadata(self, remote: bool = False) -> MetadataRows:
        """Return programs (rows), fields, gratings and observations (names)."""
        return self._queries.metadata(remote=remote)

    def get_programs(self, remote: bool = False) -> Table:
        """Return the programs: ``slug``, ``program_name``, ``pi_name``, ``is_public``."""
        return self._queries.programs(remote=remote)

    def get_fields(self, remote: bool = False) -> list[str]:
        """Return the names of the fields."""
        return self._queries.metadata(remote=remote)["fields"]

    def get_gratings(self, remote: bool = False) -> list[str]:
        """Return the names of the gratings."""
        return self._queries.metadata(remote=remote)["gratings"]

    def get_observations(self, remote: bool = False) -> list[str]:
        """Return the names of the observations."""
        return self._queries.metadata(remote=remote)["observations"]

    def get_tags(self, remote: bool = False) -> Table:
        """Return the tags that this account may see: ``slug``, ``name``, ``member_count``."""
        return self._queries.tags(remote=remote)

    # --- files --------------------------------------------------------------------------------------------

    @on_disk("cannot synchronise:")
    def sync(self, *, full: bool = False, adopt: bool = False, progress: Progress = None) -> dict[str, Any]:
        """Bring the local catalogue up to date with the service; no FITS files are fetched.

        Only what changed is asked for where that is enough; deletions, renames, and programs granted or
        revoked are found. The catalogue is exchanged as a whole: a failure leaves the former one.

        Parameters
        ----------
        full
            Fetch everything anew.
        adopt
            Take over a catalogue that came from another address, for an archive that has moved; everything is
            fetched anew.
        progress
            Bars in a terminal or a notebook, unless False; or a function, called as
            ``progress(stage, done, total)``.

        Returns
        -------
        dict
            ``observations``, ``objects``, ``spectra``, ``photometry``, ``tags``: totals in the catalogue now;
            ``stale_count`` and ``stale_files``: downloaded files that changed on the server; ``received`` and
            ``removed``: rows of this run, by table; ``incremental``.

        Raises
        ------
        AuthenticationError
            If the service does not know the account.
        APIError
            If the service fails, or sends less than it says.
        ValidationError
            If the catalogue here is that of another service.
        """
        from campfire.store.export import export_csv
        from campfire.store.sync import synchronise

        catalog, service = self._context.new_catalog(adopt=adopt), service_name(self.base_url)
        before = catalog.revision
        with progress_bars(progress) as report:
            result = synchronise(
                catalog, self._context.api(), full=full or adopt, service=service, progress=report
            )
        if catalog.revision != before or not (self._context.paths.meta / "objects.csv").exists():
            export_csv(catalog, self._context.paths.meta)
        return result

    @on_disk("cannot download:")
    def download(
        self,
        observations: Sequence[str] | str | None = None,
        programs: Sequence[str | int] | str | int | None = None,
        fields: Sequence[str] | str | None = None,
        gratings: Sequence[str] | str | None = None,
        stale_only: bool = False,
        max_workers: int = 4,
        *,
        spectrum_ids: Table | Iterable[str] | str | None = None,
        everything: bool = False,
        lock: PathInput | None = None,
        dry_run: bool = False,
        keep_old: bool = False,
        replace_local: bool = False,
        progress: Progress = None,
    ) -> DownloadReport:
        """Download FITS files of spectra in the local catalogue; filters narrow each other.

        Every file is checked against the catalogue's hash before it gets its name. What is here already is
        not fetched again, and what came of a broken transfer is gone on with.

        Parameters
        ----------
        observations, programs, fields, gratings
            Only spectra of these; names in any case.
        spectrum_ids
            Only these: ids, or what holds spectra (a table of :meth:`query_spectra`, rows, an ``Object``).
        stale_only
            Only files here that changed on the server.
        max_workers
            Files fetched at once, up to 32.
        everything
            All spectra, without a filter.
        lock
            Exactly the files of this lock file, and nothing else; see :meth:`Campfire.reproduce`.
        dry_run
            Change nothing; the report's files say what would be done.
        keep_old
            Keep the former version of a file beside the new one, as ``<name>.<hash>.old``.
        replace_local
            Replace also files that this client did not write; they are kept as ``<name>.<hash>.old``.
        progress
            A bar in a terminal or a notebook, unless False; or a function, called as
            ``progress("download", files done, files in all)``.

        Returns
        -------
        DownloadReport
            Counts, and ``.files``. A ``CampfireWarning`` is given if some failed.

        Raises
        ------
        ValidationError
            Without any filter, for an unknown name, or without a local catalogue.
        NotFoundError
            For an unknown spectrum id.
        DownloadError
            If everything failed (with ``report``), or there is no space; with ``lock``, if some files cannot
            be had as they were locked (with the :class:`LockReport` as ``report``).
        """
        max_workers = integer(max_workers, "max_workers", least=1, most=_MOST_WORKERS)
        named = [observations, programs, fields, gratings, spectrum_ids]
        if lock is not None:
            if any(value is not None for value in named) or stale_only or everything or replace_local:
                raise ValidationError(
                    "lock= says which files are wanted",
                    hint="leave out filters, stale_only and replace_local",
                )
            with progress_bars(progress) as report:
                return reproduce(
                    self._context,
                    lock,
                    workers=max_workers,
                    dry_run=dry_run,
                    keep_old=keep_old,
                    progress=report,
                )
        if not (any(value is not None for value in named) or stale_only or everything):
            raise ValidationError(
                "download() was given no filter",
                hint="e.g. observations=[...], gratings=['PRISM'], or everything=True for all",
            )
        rows = wanted_rows(
            self._context,
            {"observations": observations, "programs": programs, "fields": fields, "gratings": gratings},
            spectrum_ids=None if spectrum_ids is None else spectrum_names(spectrum_ids),
            stale_only=stale_only,
        )
        with progress_bars(progress) as report:
            return run_download(
                self._context,
                rows,
                workers=max_workers,
                dry_run=dry_run,
                keep_old=keep_old,
                replace_local=replace_local,
                progress=report,
            )

    def open_spectrum(self, spectrum_id: str, *, extraction: Extraction = "optimal") -> SpectrumData:
        """Open a spectrum: from the file on this disk, else fetched, checked and kept for the next time.

        Parameters
        ----------
        spectrum_id
            Its id.
        extraction
            ``"optimal"``, or a boxcar of ``"3px"``, ``"4px"``, ``"5px"``.

        Raises
        ------
        NotFoundError
            If there is no such spectrum.
        DownloadError
            If the file cannot be had, or is not what the archive says.
        ValidationError
            If the file is not a spectrum.
        """
        from campfire.models import SpectrumData

        return SpectrumData(**self._read(spectrum_id, extraction))

    @on_disk("cannot open")
    def _read(self, spectrum_id: str, extraction: Extraction = "optimal") -> SpectrumFields:
        return self._keeper.read(spectrum_id, extraction)

    @on_disk("cannot open")
    def get_spectrum_data(self, spectrum_id: str) -> SpectrumPayload:
        """Return a spectrum prepared for plotting, from the file on this disk, else from the service.

        Returns
        -------
        dict
            ``wave`` (micron), ``fnu``, ``fnu_err`` (microjansky), ``snr_2d``, ``n_spatial``, ``n_wave``,
            ``profile``, ``profile_fit``, ``profile_pix``; None where a value is not finite.

        Raises
        ------
        NotFoundError
            If there is no such spectrum.
        """
        return self._prepared.spectrum(spectrum_id)

    @on_disk("cannot open")
    def get_redshift_fit_data(self, spectrum_id: str) -> RedshiftFit:
        """Return the automated redshift fit of a spectrum, from this disk, else from the service.

        Returns
        -------
        dict
            ``redshift``, ``chi2_min``, ``confidence`` (percent), ``z_grid``, ``chi2_grid``, ``model_wave``
            (micron), ``model_fnu`` (microjansky).

        Raises
        ------
        NotFoundError
            If there is no such spectrum, or no fit of it.
        """
        return self._prepared.redshift_fit(spectrum_id)

    def stale_files(self) -> list[Row]:
        """Return the downloaded files of which the archive has another version, by hash."""
        catalog = self._context.catalog()
        return [] if catalog is None else catalog.stale_files()

    def local_bytes(self) -> int:
        """Return the size of all recorded files together, in bytes."""
        book = self._context.catalog()
        return 0 if book is None else sum(record.size for record in book.local_files().values())

    @on_disk("cannot check")
    def verify(self, *, repair: bool = False) -> Verification:
        """Check the downloaded files by their content; what has not changed since is not read again.

        Parameters
        ----------
        repair
            Fetch again what is missing, truncated or changed, and check once more. A changed file is kept
            beside the new one, as ``<name>.<hash>.old``.

        Returns
        -------
        dict
            ``ok`` (count), and lists of paths below ``products/``: ``missing``, ``changed``, ``truncated``,
            and ``untracked`` (spectra that this client did not write).

        Raises
        ------
        DownloadError
            If nothing of what was to be repaired could be fetched.
        """
        return verify(self._context, repair=repair)

    # --- collections --------------------------------------------------------------------------------------

    @on_disk("cannot collect:")
    @with_query_keywords
    def open_collection(
        self,
        spectra: Table | SpectrumCollection | Sequence[str] | None = None,
        *,
        grid: ArrayLike | str | None = None,
        chunks: Chunks = "auto",
        cache: bool = True,
        extraction: Extraction = "optimal",
        download: bool = False,
        progress: Progress = None,
        **filters: Unpack[QueryOptions],
    ) -> xr.DataTree:
        """Open many spectra as one labelled tree, without reading their pixels.

        Parameters
        ----------
        spectra
            A table from :meth:`query_spectra` (also as a DataFrame, or a row of it), a
            ``SpectrumCollection``, an ``Object``, a ``Spectrum``, or spectrum ids; rows come in that order,
            and an id may repeat. Else give keywords of :meth:`query_spectra`; without either, all that are
            on this disk, with a ``CampfireWarning`` that says how many are not.
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
        progress
            As for :meth:`download`.
        **filters
            Keywords of :meth:`query_spectra`.

        Returns
        -------
        xarray.DataTree
            One child a grating.

        Raises
        ------
        ValidationError
            If nothing matches, or both spectra and filters were given.
        NotFoundError
            For unknown ids, and for spectra that are not on this disk.
        """
        with progress_bars(progress) as report:
            return self._collections.open(
                spectra,
                filters,
                grid=grid,
                chunks=chunks,
                cache=cache,
                extraction=extraction,
                download=download,
                progress=report,
            )

    @on_disk("cannot cache:")
    def build_cache(self, *, progress: Progress = None) -> int:
        """Read every spectrum on this disk into the pixel cache; returns how many there are.

        A bar is shown in a terminal or a notebook, unless ``progress`` is False or a function.
        """
        with progress_bars(progress) as report:
            return self._collections.build_cache(report)

    def compact_cache(self) -> int:
        """Rewrite the pixel cache without rows of files that are no longer here; returns the bytes freed."""
        return self._collections.compact_cache()

    # --- lock files ---------------------------------------------------------------------------------------

    @on_disk("cannot lock")
    @with_query_keywords
    def lock(
        self,
        path: PathInput,
        spectra: Table
        | SpectrumCollection
        | Spectrum
        | SpectrumData
        | StackResult
        | CalibrationResult
        | xr.DataTree
        | xr.Dataset
        | Iterable[str]
        | None = None,
        *,
        overwrite: bool = False,
        **filters: Unpack[QueryOptions],
    ) -> Lock:
        """Write down which spectra a result used: the hash of every file, its version, and the packages.

        Parameters
        ----------
        path
            The lock file (JSON, a line a spectrum).
        spectra
            Spectrum ids, a table from :meth:`query_spectra`, a ``SpectrumCollection``, a collection, or a
            result that names its inputs: a ``StackResult`` or its spectrum, a ``CalibrationResult``. Else
            give keywords of :meth:`query_spectra`; without either: every spectrum on this disk.
        overwrite
            Replace the file at ``path``.
        **filters
            Keywords of :meth:`query_spectra`.

        Returns
        -------
        Lock
            What was written. ``hash_of`` of a spectrum says whose hash it is: that of the file on this disk,
            or, where there is none, that of the archive.

        Raises
        ------
        ValidationError
            If there is nothing to lock, a stack does not name its inputs, a hash is not known, the file is
            there already, or the file of a spectrum is that of another one.
        NotFoundError
            For unknown spectra.
        """
        new_file(path, overwrite=overwrite)  # said before anything is hashed
        rows = self._collections.rows_to_lock(spectra, filters)
        made = lock_of(self._context, self._keeper.identity, rows)
        made.write(path, overwrite=overwrite)
        return made

    @on_disk("cannot check")
    def check_lock(self, path: PathInput) -> LockReport:
        """Compare a lock file with the files on this disk, the catalogue and the packages; works offline.

        Every file is read: neither its record nor the time of its last change is believed. The archive is
        compared as the last :meth:`sync` knew it.

        Returns
        -------
        LockReport
            ``.ok``, ``.counts``, ``.differences``; printing it says what differs.

        Raises
        ------
        NotFoundError
            If there is no such file.
        ValidationError
            If it is not a lock file.
        """
        return compare(self._context, path, Lock.read(path))

    @on_disk("cannot reproduce:")
    def reproduce(self, path: PathInput, *, progress: Progress = None) -> DownloadReport:
        """Bring exactly the files of a lock file to this disk.

        A file here that is as it was locked is never replaced by a newer one. A locked version that
        ``download(keep_old=True)`` set aside is put back, and the file in its place set aside instead. Of the
        others only those are fetched that the archive still has as they were locked.

        Parameters
        ----------
        path
            The lock file.
        progress
            A bar in a terminal or a notebook, unless False; or a function, called as
            ``progress("download", files done, files in all)``.

        Returns
        -------
        DownloadReport
            Counts, and ``.files``: every locked spectrum, ``downloaded``, or ``skipped``: here already.

        Raises
        ------
        DownloadError
            If some files cannot be had as they were locked: those that can are here, and ``report`` is the
            :class:`LockReport` that says what differs.
        NotFoundError, ValidationError
            As :meth:`check_lock`; or without a local catalogue.
        """
        return self.download(lock=as_path(path), progress=progress)

    @on_disk("cannot compare")
    def changes(self) -> Table:
        """Say what a reprocessing changed: the files here of which the archive has another version.

        The archive's side is that of the last :meth:`sync`; this disk's is read from the files themselves. To
        be called before ``download(stale_only=True)``, which replaces them.

        Returns
        -------
        astropy.table.Table
            One row a spectrum: ``version_then`` and ``version_now`` of the reduction, ``snr_then`` and
            ``snr_now``, ``hash_then`` and ``hash_now``; masked where not known.
        """
        return changes(self._context)

    @with_query_keywords
    def cite(self, spectra: Any = None, **filters: Unpack[QueryOptions]) -> Citation:
        """Say what a paper acknowledges and cites that used spectra: programs, reductions, packages.

        Parameters
        ----------
        spectra
            As for :meth:`lock`: ids, a table, a collection, a stack. Else give keywords of
            :meth:`query_spectra`; without either: every spectrum on this disk.
        **filters
            Keywords of :meth:`query_spectra`.

        Returns
        -------
        Citation
            ``acknowledgement`` (text), ``bibtex``, ``programs``, ``reductions``; printing it shows it all.

        Raises
        ------
        ValidationError
            If no spectrum is named, or a stack does not name its inputs.
        NotFoundError
            For unknown spectra.
        """
        rows = list(self._collections.rows_to_lock(spectra, filters))
        if not rows:
            raise ValidationError("there are no spectra to cite", hint="name some, or download some")
        catalog = self._context.catalog()
        programs = self._queries.metadata(remote=True)["programs"] if catalog is None else catalog.programs()
        return cite(rows, programs)

    # --- images -------------------------------------------------------------------------------------------

    @on_disk("cannot keep the image")
    def get_cutout(self, object_id: str, fov: float = 5.0, size: int | None = None) -> Path:
        """Return the file of a colour image around an object, north up, east left.

        Parameters
        ----------
        object_id
            Its id, or that of one of its targets.
        fov
            Width of the field of view, 1 to 30 arcsec.
        size
            Width in pixels, 16 to 2048; native sampling without it.

        Returns
        -------
        pathlib.Path
            A PNG, kept for the next time.

        Raises
        ------
        ValidationError
            For a field of view or a size out of range.
        NotFoundError
            If there is no such object, or no image of its field.
        """
        return self._images.cutout(object_id, fov, size)

    def get_shutters(self, object_id: str, fov: float = 5.0) -> dict[str, Any]:
        """Return the shutters within ±fov of an object.

        Parameters
        ----------
        object_id
            Its id, or that of one of its targets.
        fov
            Half width of the box, 1 to 30 arcsec.

        Returns
        -------
        dict
            ``shutters`` (rows; their ``object_id`` is a target's id) and ``meta`` (centre in degrees, shutter
            size in arcsec, and ``member_target_ids``: which targets are the object).

        Raises
        ------
        ValidationError
            For a field of view out of range.
        NotFoundError
            If there is no such object.
        """
        return self._images.shutters(object_id, fov)

    @on_disk("cannot write the regions")
    def get_shutters_region(self, object_id: str, fov: float = 5.0, output: PathInput | None = None) -> Path:
        """Write the shutters around an object as DS9 regions, its own ones marked, and return the file.

        Parameters
        ----------
        object_id, fov
            As for :meth:`get_shutters`.
        output
            Where to write; by default beside the kept images. Only a file of DS9 regions is replaced there.

        Raises
        ------
        ValidationError
            If there is another file of that name.
        """
        return self._images.shutters_region(object_id, fov, output)

    def plot_cutout(
        self,
        object_id: str,
        fov: float = 5.0,
        size: int | None = None,
        shutters: bool | str = True,
        ax: Axes | None = None,
        shutter_style: Mapping[str, Mapping[str, Any]] | None = None,
        scalebar: bool = True,
        **kwargs: Any,
    ) -> Axes:
        """Draw the image around an object, with shutters.

        Parameters
        ----------
        object_id, fov, size
            As for :meth:`get_cutout`.
        shutters
            True or ``"all"``: all in the field of view; ``"target"``: only the object's; False: none.
        ax
            Axes to draw on; the current ones without it.
        shutter_style
            Overrides by category: ``target``, ``other``, ``stuck_closed``.
        scalebar
            Whether to draw a scale bar.
        **kwargs
            ``scalebar_length`` in arcsec.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.

        Raises
        ------
        ValidationError
            For a value out of range or an unknown word.
        ImportError
            If matplotlib is not installed.
        """
        return self._images.plot(object_id, fov, size, shutters, ax, shutter_style, scalebar, **kwargs)

    @on_disk("cannot draw")
    def sheet(self, object_id: str, *, fov: float = 5.0) -> Figure:
        """Draw one page about an object: image, spectra of every grating, photometry, redshift fit, facts.

        Of every grating the spectrum with the highest signal-to-noise ratio is drawn, of up to four gratings.
        What cannot be had (an image of a field without mosaic) leaves its place empty; a ``CampfireWarning``
        names spectra that are missing.

        Parameters
        ----------
        object_id
            Its id, or that of one of its targets.
        fov
            Width of the image, 1 to 30 arcsec.

        Returns
        -------
        matplotlib.figure.Figure
            A4, landscape.

        Raises
        ------
        NotFoundError
            If there is no such object.
        ImportError
            If matplotlib is not installed.
        """
        return self._sheets.draw(object_id, fov)

    @on_disk("cannot write")
    def sheets(
        self,
        objects: Table | Iterable[str | Object] | str | Object,
        path: PathInput,
        *,
        fov: float = 5.0,
        overwrite: bool = False,
        progress: Progress = None,
    ) -> Path:
        """Write the sheets of many objects into one PDF, a page an object; see :meth:`sheet`.

        Spectra that are not on this disk are fetched first, many at once. One page at a time is in memory,
        and the file appears when it is whole.

        Parameters
        ----------
        objects
            Ids, or what holds objects: a table of :meth:`query_objects`, rows, ``Object``.
        path
            The PDF.
        fov
            Width of the images, 1 to 30 arcsec.
        overwrite
            Replace the file at ``path``.
        progress
            As for :meth:`download`.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ValidationError
            If no object is named, or the file is there already.
        NotFoundError
            For an unknown object, before anything is drawn.
        """
        target = new_file(path, overwrite=overwrite)
        names = list(dict.fromkeys(object_names(objects)))
        if not names:
            raise ValidationError("sheets of no objects", hint="pass at least one id")
        with progress_bars(progress) as report:
            self._sheets.fetch(names, report)
            self._sheets.write(names, target, fov=fov, progress=report)
        return target
