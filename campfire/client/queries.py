"""Querying: the same questions to the local catalogue and to the service, with the same answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Never, TypeAlias, TypedDict

from campfire.client.files import FileMethods
from campfire.columns import Column, Columns, to_table
from campfire.config import plain_text
from campfire.errors import CampfireWarning, ValidationError
from campfire.flags import FlagQuery
from campfire.query import Query, QueryOptions
from campfire.typing import Row

if TYPE_CHECKING:
    from astropy.table import Table

    from campfire.columns import TableName
    from campfire.models import Object

__all__ = ["MetadataRows", "QueryMethods"]

REMOTE_LIMIT = 1000

Names: TypeAlias = "Sequence[str] | str | None"
Programs: TypeAlias = "Sequence[str | int] | str | int | None"
Range: TypeAlias = "tuple[float | None, float | None] | None"
Qualities: TypeAlias = "Sequence[int | str] | int | str | None"
Flags: TypeAlias = "FlagQuery | int | str | Sequence[str | int] | None"
Cone: TypeAlias = "tuple[float, float, float] | None"
Direction: TypeAlias = Literal["asc", "desc"]


class _Default(str):
    """The documented default of ``sort``, told from the same word passed by a user: only it gives way to
    the order by distance in a cone.
    """

    __slots__ = ()


_BY_OBJECT = _Default("object_id")
_BY_SPECTRUM = _Default("spectrum_id")


class MetadataRows(TypedDict):
    """What :meth:`QueryMethods.get_metadata` returns."""

    programs: list[Row]
    fields: list[str]
    gratings: list[str]
    observations: list[str]


_PROGRAM_COLUMNS = (
    Column("slug", "text", "short name of the program", width=32),
    Column("program_name", "text", "name of the program", width=32, masked=True),
    Column("pi_name", "text", "principal investigator", width=32, masked=True),
    Column("is_public", "bool", "whether everybody may see it", masked=True),
)
_TAG_COLUMNS = (
    Column("slug", "text", "short name of the tag", width=32),
    Column("name", "text", "name of the tag", width=32, masked=True),
    Column("member_count", "int", "number of objects with the tag", masked=True),
)


class QueryMethods(FileMethods):
    """The query methods of :class:`campfire.Campfire`."""

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
        sort: str = _BY_OBJECT,
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
        options = QueryOptions(
            fields=fields,
            programs=programs,
            gratings=gratings,
            observations=observations,
            redshift_range=redshift_range,
            redshift_quality=redshift_quality,
            max_snr_range=max_snr_range,
            dq_flags=dq_flags,
            tags=tags,
            inspected_only=inspected_only,
            staleness=staleness,
            has_photometry=has_photometry,
            search=search,
            cone_search=cone_search,
            limit=limit,
            offset=offset,
            sort=sort,
            sort_dir=sort_dir,
        )
        return to_table(self._select("objects", {**options, **unknown}, remote=remote))

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
        sort: str = _BY_SPECTRUM,
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
        options = QueryOptions(
            fields=fields,
            programs=programs,
            gratings=gratings,
            observations=observations,
            redshift_range=redshift_range,
            redshift_quality=redshift_quality,
            max_snr_range=max_snr_range,
            dq_flags=dq_flags,
            tags=tags,
            inspected_only=inspected_only,
            staleness=staleness,
            has_photometry=has_photometry,
            search=search,
            cone_search=cone_search,
            limit=limit,
            offset=offset,
            sort=sort,
            sort_dir=sort_dir,
        )
        return to_table(self._select("spectra", {**options, **unknown}, remote=remote))

    def iter_objects(self, *, remote: bool = False, **filters: Any) -> Iterator[Row]:
        """Iterate over objects as dictionaries, None where unknown; keywords as for :meth:`query_objects`.

        Rows are read as they are asked for: breaking off early costs nothing more. There is no limit unless
        one is given.

        Raises
        ------
        ValidationError
            At the call, for a name, a column or a value that makes no sense.
        """
        return self._iterate("objects", filters, remote=remote)

    def iter_spectra(self, *, remote: bool = False, **filters: Any) -> Iterator[Row]:
        """Iterate over spectra as dictionaries, as :meth:`iter_objects`."""
        return self._iterate("spectra", filters, remote=remote)

    def count_objects(self, **filters: Any) -> int:
        """Count objects in the local catalogue; keywords as for :meth:`query_objects`.

        Raises
        ------
        ValidationError
            If there is no local catalogue, or for a value that makes no sense.
        """
        catalog = self._context.needed_catalog("counting")
        return catalog.count(Query.of("objects", **filters).resolved(catalog.vocabulary()))

    # --- one record --------------------------------------------------------------------------------------

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

        plain_text(object_id, "object id")
        row = self._context.object_row(object_id, remote=remote)
        if row is None:
            spectrum = self._context.spectrum_row(object_id, remote=remote)
            if spectrum is not None:
                raise ValidationError(
                    f"{object_id!r} is a spectrum, not an object",
                    hint=f"its object is get_object({str(spectrum['object_id'])!r}); "
                    f"open_spectrum({object_id!r}) opens it",
                )
            return None
        catalog = None if remote else self._context.catalog()
        if catalog is not None:
            spectra = catalog.spectra_of(row["object_id"])
            photometry = catalog.photometry_of(row["object_id"])
        else:
            service = self._context.remote()
            spectra, photometry = service.spectra_of(row), service.photometry_of(row)
            row = row | _photo_z(photometry)
        return Object.from_row(row, spectra, photometry, self._opener())

    def get_spectrum(self, spectrum_id: str, *, remote: bool = False) -> Row | None:
        """Return the catalogue row of a spectrum as a dictionary, or None if there is no such spectrum."""
        plain_text(spectrum_id, "spectrum id")
        return self._context.spectrum_row(spectrum_id, remote=remote)

    # --- metadata ----------------------------------------------------------------------------------------

    def get_metadata(self, remote: bool = False) -> MetadataRows:
        """Return programs (rows), fields, gratings and observations (names)."""
        catalog = None if remote else self._context.catalog()
        if catalog is None:
            said = self._context.api().metadata()
            programs, names = said["programs"], (said["fields"], said["gratings"], said["observations"])
        else:
            programs = catalog.programs()
            names = (catalog.fields(), catalog.gratings(), catalog.observation_names())
        kept = [spec.name for spec in _PROGRAM_COLUMNS]
        return {
            "programs": [{name: row.get(name) for name in kept} for row in programs],
            "fields": names[0],
            "gratings": names[1],
            "observations": names[2],
        }

    def get_programs(self, remote: bool = False) -> Table:
        """Return the programs: ``slug``, ``program_name``, ``pi_name``, ``is_public``."""
        return _table(_PROGRAM_COLUMNS, self.get_metadata(remote)["programs"])

    def get_fields(self, remote: bool = False) -> list[str]:
        """Return the names of the fields."""
        return self.get_metadata(remote)["fields"]

    def get_gratings(self, remote: bool = False) -> list[str]:
        """Return the names of the gratings."""
        return self.get_metadata(remote)["gratings"]

    def get_observations(self, remote: bool = False) -> list[str]:
        """Return the names of the observations."""
        return self.get_metadata(remote)["observations"]

    def get_tags(self, remote: bool = False) -> Table:
        """Return the tags that this account may see: ``slug``, ``name``, ``member_count``."""
        catalog = None if remote else self._context.catalog()
        rows = self._context.api().sync_lists() if catalog is None else catalog.tags()
        return _table(_TAG_COLUMNS, rows)

    # --- inside ------------------------------------------------------------------------------------------

    def _select(self, table: TableName, options: Mapping[str, Any], *, remote: bool) -> Columns:
        query = _query(table, options)
        catalog = None if remote else self._context.catalog()
        if catalog is not None:
            return catalog.select(query.resolved(catalog.vocabulary()))
        service = self._context.remote()
        query = service.resolved(query)
        if query.limit is not None:
            return service.select(query).columns
        answer = service.select(query.replace(limit=REMOTE_LIMIT))
        left = answer.total - query.offset - REMOTE_LIMIT
        if left > 0:
            warnings.warn(
                f"a remote query without limit= stops at {REMOTE_LIMIT} rows; {left} more match. "
                f"Give limit=, use iter_{table}(), or sync() and query locally",
                CampfireWarning,
                stacklevel=3,
            )
        return answer.columns

    def _iterate(self, table: TableName, filters: dict[str, Any], *, remote: bool) -> Iterator[Row]:
        query = _query(table, filters)
        catalog = None if remote else self._context.catalog()
        if catalog is not None:
            return catalog.iter_rows(query.resolved(catalog.vocabulary()))
        service = self._context.remote()
        return service.iterate(service.resolved(query))


def _query(table: TableName, options: Any) -> Query:
    given = dict(options)
    if isinstance(given.get("sort"), _Default):
        given.pop("sort")
    return Query.of(table, **given)


def _photo_z(records: Sequence[Row]) -> Row:
    """Return the photo-z of the record that stands for an object, as the catalogue derives it."""
    names = ("photo_z", "photo_z_err_lo", "photo_z_err_hi")
    known = next((record for record in records if record.get("photo_z") is not None), None)
    return {} if known is None else {name: known.get(name) for name in names}


def _table(specs: tuple[Column, ...], rows: Sequence[Row]) -> Table:
    from astropy.table import Column as TableColumn
    from astropy.table import MaskedColumn, Table

    made = []
    for spec in specs:
        kind = MaskedColumn if spec.masked else TableColumn
        values = spec.array([row.get(spec.name) for row in rows])
        made.append(kind(values, name=spec.name, description=spec.description))
    return Table(made)
