"""The query: frozen, validated, the same for the local catalogue, the service and the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

import numpy as np

from campfire.arguments import shown
from campfire.columns import TableName
from campfire.errors import ValidationError
from campfire.query.filters import FILTERS, SORTS, Filter, QueryOptions
from campfire.query.known_names import Vocabulary, did_you_mean
from campfire.query.url_params import WIRE_SORTS, conditions_to_params, params_to_conditions

__all__ = ["Condition", "Query"]

NAMED = ("fields", "programs", "gratings", "observations", "tags")
"""Filters whose values are names out of a vocabulary."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter with its checked value (hashable)."""

    name: str
    value: Any

    @property
    def spec(self) -> Filter:
        """The row of :data:`~campfire.query.FILTERS` it comes from."""
        return FILTERS[self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for, in which order, and how much of it. Made by :meth:`of`.

    Parameters
    ----------
    table
        ``"objects"`` or ``"spectra"``.
    where
        Conditions, all of which must hold, in the order of :data:`~campfire.query.FILTERS`.
    sort, sort_dir
        Order; unknown values come last either way, ties break on the name.
    limit, offset
        At most so many rows (None: all), after leaving out so many.

    Examples
    --------
    >>> query = Query.of("objects", gratings=["prism"], redshift_range=(4, None), limit=10)
    >>> query.to_params()
    [{'gratings': 'PRISM', 'redshift_min': '4.0', 'sort': 'object_id', 'sort_dir': 'asc', 'limit': '10'}]
    >>> Query.from_params("objects", query.to_params()[0]) == query
    True
    """

    table: TableName
    where: tuple[Condition, ...] = ()
    sort: str
    sort_dir: Literal["asc", "desc"] = "asc"
    limit: int | None = None
    offset: int = 0

    @classmethod
    def of(cls, table: TableName, **options: Unpack[QueryOptions]) -> Query:
        """Check the keywords of a query method and build the query.

        Parameters
        ----------
        table
            ``"objects"`` or ``"spectra"``.
        **options
            The filters, ``limit``, ``offset``, ``sort`` and ``sort_dir``. A filter that is None is none.
            Without ``sort``, rows come by distance from the centre of a cone, else by name.

        Raises
        ------
        ValidationError
            For an unknown keyword or sort column (with the near ones), an empty list, a reversed range, a
            cone or a number that is none.

        Examples
        --------
        >>> Query.of("spectra", grating=["PRISM"])
        Traceback (most recent call last):
            ...
        campfire.errors.ValidationError: unknown keyword 'grating' (did you mean 'gratings'?)
        """
        if table not in SORTS:
            raise ValidationError(f"unknown table {table!r}", hint="'objects' or 'spectra'")
        given: dict[str, Any] = dict(options)
        sort, sort_dir = given.pop("sort", None), given.pop("sort_dir", "asc")
        limit, offset = given.pop("limit", None), given.pop("offset", 0)
        public = [name for name, spec in FILTERS.items() if spec.public]
        for name in given:
            if name not in public:
                known = [*public, "limit", "offset", "sort", "sort_dir"]
                raise ValidationError(f"unknown keyword {name!r}", hint=did_you_mean(name, known))
        where = tuple(
            Condition(name, FILTERS[name].coerce(name, given[name]))
            for name in public
            if given.get(name) is not None
        )
        if sort_dir not in ("asc", "desc"):
            raise ValidationError(f"sort_dir={sort_dir!r}", hint="'asc' or 'desc'")
        return cls(
            table=table,
            where=where,
            sort=_sort(table, sort, cone=any(c.name == "cone_search" for c in where)),
            sort_dir=sort_dir,
            limit=None if limit is None else _count("limit", limit),
            offset=_count("offset", offset),
        )

    def get(self, name: str) -> Any:
        """Return the value of one filter, or None."""
        return next((c.value for c in self.where if c.name == name), None)

    def replace(self, **changes: Any) -> Query:
        """Return the query with other ``where``, ``sort``, ``sort_dir``, ``limit`` or ``offset``."""
        return replace(self, **changes)

    def resolved(self, vocabulary: Vocabulary) -> Query:
        """Return the query with all names as ``vocabulary`` spells them, program numbers as slugs.

        Raises
        ------
        ValidationError
            For a field, program, grating, observation or tag that is not known, with the near matches.
        """
        where = tuple(
            Condition(c.name, vocabulary.resolve(c.name, c.value)) if c.name in NAMED else c
            for c in self.where
        )
        return replace(self, where=where)

    def of_objects(self) -> Query:
        """Return the query for the objects that spectra of this query can belong to.

        It has the conditions that look at the object (cone, redshift, quality, tags, inspection, staleness,
        photometry), and no others: a superset of the parents, without limit.
        """
        where = tuple(c for c in self.where if c.spec.parent)
        sort = "distance" if self.get("cone_search") else SORTS["objects"][0]
        return Query(table="objects", where=where, sort=sort)

    @property
    def inexact(self) -> frozenset[str]:
        """Names of what the service applies only in part: conditions, and ``sort``.

        Where it is empty the answer of the service is the answer, limit and order included; else all that
        matches :meth:`to_params` is needed, to be cut by :func:`~campfire.query.finish`.
        """
        names = conditions_to_params(self.table, {c.name: c.value for c in self.where})[1]
        return names if self.sort in WIRE_SORTS[self.table] else names | {"sort"}

    def to_params(self) -> list[dict[str, str]]:
        """Return URL parameters that the service answers with a superset of the rows.

        Names must be resolved before (a name the service does not know drops the filter there).

        Returns
        -------
        list of dict
            One request, or two whose rows are to be joined (a cone across RA 0). ``limit`` and ``offset`` are
            there only where the service honours the whole query; on its pages an offset must be a multiple
            of the limit, which is for the caller to see to.
        """
        requests, _ = conditions_to_params(self.table, {c.name: c.value for c in self.where})
        common: dict[str, str] = {}
        if self.sort in WIRE_SORTS[self.table] and self.sort != "distance":
            common |= {"sort": self.sort, "sort_dir": self.sort_dir}
        if not self.inexact:
            common |= {} if self.limit is None else {"limit": str(self.limit)}
            common |= {"offset": str(self.offset)} if self.offset else {}
        return [request | common for request in requests]

    @classmethod
    def from_params(cls, table: TableName, params: Mapping[str, str], *, fixed: bool = False) -> Query:
        """Read URL parameters as the service reads them; see the wire contract for what it ignores.

        Parameters
        ----------
        table
            What is asked for.
        params
            Decoded URL parameters. Names are taken as they come: what is unknown matches nothing.
        fixed
            Whether to honour combined masks, and masks on objects, which the deployed service does not.
        """
        where, sort, sort_dir = params_to_conditions(table, params, fixed=fixed)
        limit, offset = params.get("limit", ""), params.get("offset", "")
        return cls(
            table=table,
            where=tuple(Condition(name, where[name]) for name in FILTERS if name in where),
            sort=sort,
            sort_dir="desc" if sort_dir == "desc" else "asc",
            limit=int(limit) if limit.isdecimal() else None,
            offset=int(offset) if offset.isdecimal() else 0,
        )


def _sort(table: TableName, sort: Any, *, cone: bool) -> str:
    if sort is None:
        return "distance" if cone else SORTS[table][0]
    name = "distance" if sort == "distance_arcsec" else sort
    if not isinstance(name, str) or name not in SORTS[table]:
        raise ValidationError(
            f"cannot sort {table} by {shown(sort)}", hint=did_you_mean(str(sort), SORTS[table])
        )
    if name == "distance" and not cone:
        raise ValidationError(
            "cannot sort by distance without a cone", hint="give cone_search=(ra, dec, radius)"
        )
    return name


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValidationError(f"{name}={value!r}", hint="pass a whole number, 0 or more")
    if value >= 1 << 63:
        raise ValidationError(f"{name}={value!r} is too large")
    return int(value)
