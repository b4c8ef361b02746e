"""Querying: the same questions to the local catalogue and to the service, with the same answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from campfire.access.user_warnings import tell
from campfire.columns import Column, Columns, rows_table
from campfire.config import plain_text
from campfire.errors import ValidationError
from campfire.query import Query
from campfire.typing import Row

if TYPE_CHECKING:
    from astropy.table import Table

    from campfire.access.context import Context
    from campfire.columns import TableName

__all__ = ["BY_OBJECT", "BY_SPECTRUM", "MetadataRows", "ObjectParts", "Queries"]

REMOTE_LIMIT = 1000


class _Default(str):
    """The documented default of ``sort``, told from the same word passed by a user: only it gives way to
    the order by distance in a cone.
    """

    __slots__ = ()


BY_OBJECT = _Default("object_id")
BY_SPECTRUM = _Default("spectrum_id")


class MetadataRows(TypedDict):
    """What :meth:`campfire.Campfire.get_metadata` returns."""

    programs: list[Row]
    fields: list[str]
    gratings: list[str]
    observations: list[str]


class ObjectParts(NamedTuple):
    """Rows that make an object."""

    row: Row
    spectra: list[Row]
    photometry: list[Row]


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


class Queries:
    """Asks the local catalogue where there is one, else the service.

    Parameters
    ----------
    context
        Of the client.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def select(self, table: TableName, options: Mapping[str, Any], *, remote: bool) -> Columns:
        """Return the rows that match; a remote query without ``limit`` stops at 1000 and says so."""
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
            tell(
                f"a remote query without limit= stops at {REMOTE_LIMIT} rows; {left} more match. "
                f"Give limit=, use iter_{table}(), or sync() and query locally"
            )
        return answer.columns

    def select_all(self, options: Mapping[str, Any]) -> Columns:
        """Return the rows of all spectra that match, however many."""
        query = _query("spectra", options)
        catalog = self._context.catalog()
        if catalog is not None:
            return catalog.select(query.resolved(catalog.vocabulary()))
        service = self._context.remote()
        return service.select(service.resolved(query)).columns

    def iterate(self, table: TableName, options: Mapping[str, Any], *, remote: bool) -> Iterator[Row]:
        """Iterate over the rows that match; wrong keywords are refused at the call."""
        query = _query(table, options)
        catalog = None if remote else self._context.catalog()
        if catalog is not None:
            return catalog.iter_rows(query.resolved(catalog.vocabulary()))
        service = self._context.remote()
        return service.iterate(service.resolved(query))

    def count(self, table: TableName, options: Mapping[str, Any]) -> int:
        """Count the rows of the local catalogue that match."""
        catalog = self._context.needed_catalog("counting")
        return catalog.count(_query(table, options).resolved(catalog.vocabulary()))

    def object_parts(self, object_id: str, *, remote: bool) -> ObjectParts | None:
        """Return the rows of an object, its spectra and its photometry, or None if there is no such object.

        Raises
        ------
        ValidationError
            If it is the id of a spectrum.
        """
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
            name = row["object_id"]
            return ObjectParts(row, catalog.spectra_of(name), catalog.photometry_of(name))
        service = self._context.remote()
        photometry = service.photometry_of(row)
        return ObjectParts(row | _photo_z(photometry), service.spectra_of(row), photometry)

    def metadata(self, *, remote: bool) -> MetadataRows:
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

    def programs(self, *, remote: bool) -> Table:
        """Return the table of programs."""
        return rows_table(_PROGRAM_COLUMNS, self.metadata(remote=remote)["programs"])

    def tags(self, *, remote: bool) -> Table:
        """Return the table of tags that the account may see."""
        catalog = None if remote else self._context.catalog()
        return rows_table(
            _TAG_COLUMNS, self._context.api().sync_lists() if catalog is None else catalog.tags()
        )


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
