"""Queries answered by the service: ask for a superset, join, finish exactly as the local catalogue would."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from campfire.access.service_rows import PARENT_COLUMNS, object_row, spectrum_row
from campfire.columns import Columns
from campfire.errors import ValidationError
from campfire.query import Query, Vocabulary, finish
from campfire.transport.api import PAGE

if TYPE_CHECKING:
    from campfire.transport.api import API, Metadata
    from campfire.typing import Page, Row

__all__ = ["Answer", "RemoteCatalogue"]

_FRESH = 300.0
"""Seconds for which the service's metadata are believed; it says so itself."""
_FRESH_TAGS = 5.0
"""The same for tags, of which it does not."""
_LONGEST_LIST = 1500
"""Characters of a list of names in a URL above which asking for everything is better."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and how many match without limit and offset."""

    columns: Columns
    total: int


class RemoteCatalogue:
    """What the service knows, asked as the local catalogue is.

    Parameters
    ----------
    api
        The service.
    locate
        Tells where the files of rows of spectra are on this disk, None for those that are not.
    page
        Rows asked for at once.
    """

    def __init__(
        self, api: API, locate: Callable[[list[Row]], list[str | None]], *, page: int = PAGE
    ) -> None:
        self._api = api
        self._page = page
        self._locate = locate
        self._lock = threading.RLock()
        self._said: tuple[float, Metadata] | None = None
        self._tags: tuple[float, list[str]] | None = None
        self._missed: set[str] = set()
        self._photometry: tuple[float, dict[str, list[str]]] | None = None
        self._programs: dict[str, tuple[str, ...]] | None = None

    # --- names -------------------------------------------------------------------------------------------

    def vocabulary(self, *, anew: bool = False) -> Vocabulary:
        """Names the service knows, ``anew`` or as it said lately; tags are those the account may see."""
        with self._lock:
            now = time.monotonic()
            if anew or self._said is None or now - self._said[0] > _FRESH:
                self._said = (now, self._api.metadata())
            if anew or self._tags is None or now - self._tags[0] > _FRESH_TAGS:
                self._tags = (now, [str(t["slug"]) for t in self._api.sync_lists() if t.get("slug")])
            said = self._said[1]
            return Vocabulary(
                fields=tuple(said["fields"]),
                programs=tuple(str(p["slug"]) for p in said["programs"] if p.get("slug")),
                gratings=tuple(said["gratings"]),
                observations=tuple(said["observations"]),
                tags=tuple(self._tags[1]),
            )

    def resolved(self, query: Query) -> Query:
        """Return the query with all names as the service spells them.

        Raises
        ------
        ValidationError
            For a name that the service does not know: there it would drop the whole filter.
        """
        numbered = any(name.isdecimal() for name in query.get("programs") or ())
        numbers = self._numbers() if numbered else {}
        try:
            return query.resolved(replace(self.vocabulary(), jwst_programs=numbers))
        except ValidationError:  # it may be new
            return query.resolved(replace(self.vocabulary(anew=True), jwst_programs=numbers))

    def _numbers(self) -> dict[str, tuple[str, ...]]:
        """JWST program numbers, which only the observations' pointings tell."""
        with self._lock:
            if self._programs is None:
                found: dict[str, set[str]] = {}
                for row in self._api.observations():
                    pointings = row.get("pointings") or []
                    for pointing in pointings if isinstance(pointings, list) else [pointings]:
                        number = pointing.get("jwst_program") if isinstance(pointing, dict) else None
                        if str(number).isdecimal() and row.get("program_slug"):
                            found.setdefault(str(int(str(number))), set()).add(str(row["program_slug"]))
                self._programs = {number: tuple(sorted(slugs)) for number, slugs in found.items()}
            return self._programs

    # --- answers -----------------------------------------------------------------------------------------

    def select(self, query: Query) -> Answer:
        """Return the rows of a resolved query, as the local catalogue would."""
        if query.inexact:
            return self._whole(query)
        page, start, skip = self._window(query)
        wanted = None if query.limit is None else skip + query.limit
        total, got = 0, []
        for answer in self._pages(query.table, query.to_params()[0], start, page):
            got += answer["rows"]
            total = max(total, answer["total"] or start * page + len(got))
            if wanted is not None and len(got) >= wanted:
                break
        columns = self._columns(query, _once(got[:wanted], query.table), self._parents(query))
        kept = finish(query.replace(limit=None, offset=0), columns)
        if len(kept) < len(got[:wanted]):
            return self._whole(query)  # pages have shifted, or the service counts in rows that do not match
        return Answer(self._shown(kept.take(slice(skip, wanted))), total)

    def _whole(self, query: Query) -> Answer:
        """Read every row that may match, and finish here."""
        parents = self._parents(query)
        rows = chain.from_iterable(page["rows"] for page in self._superset(query, parents))
        columns = self._columns(query, _once(rows, query.table), parents)
        whole = finish(query.replace(limit=None, offset=0), columns)
        stop = None if query.limit is None else query.offset + query.limit
        return Answer(self._shown(whole.take(slice(query.offset, stop))), len(whole))

    def iterate(self, query: Query) -> Iterator[Row]:
        """Yield the rows of a resolved query; pages are asked for as they are needed, where order allows."""
        requests = query.to_params()
        if "sort" in query.inexact or query.get("cone_search") is not None:
            yield from self.select(query).columns.rows()
            return
        page, start, skip = (self._page, 0, query.offset) if query.inexact else self._window(query)
        stop = None if query.limit is None else skip + query.limit
        yield from islice(self._streamed(query, requests[0], start, page), skip, stop)

    def _streamed(self, query: Query, params: dict[str, str], start: int, page: int) -> Iterator[Row]:
        parents, seen = self._parents(query), set[str]()
        whole = query.replace(limit=None, offset=0)
        for answer in self._pages(query.table, params, start, page):
            fresh = [row for row in _once(answer["rows"], query.table) if _key(row, query.table) not in seen]
            seen.update(_key(row, query.table) for row in fresh)
            yield from self._shown(finish(whole, self._columns(query, fresh, parents))).rows()

    def _pages(
        self, table: str, params: dict[str, str], start: int = 0, page: int | None = None
    ) -> Iterator[Page]:
        ask = self._api.objects if table == "objects" else self._api.spectra
        return ask(params, start=start, page=page or self._page)

    def _window(self, query: Query) -> tuple[int, int, int]:
        """Return page size, first page and rows to skip in it: offsets must be multiples of the size."""
        if not query.offset and query.limit is not None:
            return max(1, min(self._page, query.limit)), 0, 0
        return self._page, query.offset // self._page, query.offset % self._page

    def _superset(self, query: Query, parents: _Parents | None = None) -> Iterator[Page]:
        requests = query.to_params()
        if parents is not None and query.table == "spectra" and query.get("cone_search") is not None:
            # No cone on spectra is sent (the service measures from the target): the objects are found first,
            # and tell in which observations to look.
            requests = parents.narrowed(requests)
        return chain.from_iterable(self._pages(query.table, params) for params in requests)

    def _parents(self, query: Query) -> _Parents:
        return _Parents(query, self._pages, self.vocabulary().tags)

    def _columns(self, query: Query, rows: list[Row], parents: _Parents) -> Columns:
        if query.table == "spectra":
            known = parents.of(rows)
            made = [spectrum_row(row, known.get(str(row.get("parent_object_id")))) for row in rows]
            return Columns.from_rows("spectra", made, extra=PARENT_COLUMNS)
        made = [object_row(row, parents.visible) for row in rows]
        extra = []
        if query.get("dq_flags") is not None:
            flags = self._flags(query)
            for row in made:
                row["dq_flags"] = flags.get(str(row["object_id"]), 0)
            extra.append("dq_flags")
        if query.sort == "updated_at":
            times = self._times()
            for row in made:
                row["updated_at"] = times.get(str(row["object_id"]))
        return Columns.from_rows("objects", made, extra=extra)

    def _flags(self, query: Query) -> dict[str, int]:
        """The flags of all spectra of each object that the query can find, joined by OR."""
        where = tuple(c for c in query.where if c.spec.parent)
        spectra = Query(table="spectra", where=where, sort="spectrum_id")
        flags: dict[str, int] = {}
        for answer in self._superset(spectra):
            for row in answer["rows"]:
                parent = str(row.get("parent_object_id"))
                flags[parent] = flags.get(parent, 0) | int(row.get("dq_flags") or 0)
        return flags

    def _times(self) -> dict[str, str | None]:
        """When each object changed: only the synchronisation tells."""
        pages = self._api.sync_objects()
        return {str(row.get("object_id")): row.get("updated_at") for page in pages for row in page["rows"]}

    def _shown(self, columns: Columns) -> Columns:
        """Fill in what is on this disk, and mask what only served for sorting."""
        if columns.table == "objects":
            times = columns["updated_at"]
            blank = np.ma.MaskedArray(np.zeros(len(times), dtype="U32"), mask=np.ones(len(times), dtype=bool))
            return columns.replace(updated_at=blank)
        paths = self._locate(list(columns.rows()))
        spelled = Columns.from_values("spectra", {"local_path": paths})
        return columns.replace(local_path=spelled["local_path"]).only_documented()

    # --- single records ----------------------------------------------------------------------------------

    def object_row(self, name: str) -> Row | None:
        """Return the object of that id, or with a target of that id, or None."""
        wire = self._api.find_object(name)
        if wire is None:
            return None
        columns = Columns.from_rows("objects", [object_row(wire, self.vocabulary().tags)])
        return next(columns.rows())

    def spectrum_row(self, spectrum_id: str) -> Row | None:
        """Return the row of a spectrum, or None."""
        wire = self._api.find_spectrum(spectrum_id)
        if wire is None:
            return None
        parent = self.object_row(str(wire.get("target_id"))) if wire.get("parent_object_id") else None
        columns = Columns.from_rows("spectra", [spectrum_row(wire, parent)])
        return next(self._shown(columns).rows())

    def photometry_of(self, row: Row) -> list[Row]:
        """Return the photometric records of an object, the closest match first.

        The service can only be asked for all records: they are read once and kept for some minutes, as text.
        An object that is said to have some and is not among them (renamed since) has them read anew.
        """
        if not row.get("has_photometry"):
            return []
        name = str(row["object_id"])
        with self._lock:
            kept = self._photometry
            missed = kept is not None and name not in kept[1] and name not in self._missed
            if kept is None or missed or time.monotonic() - kept[0] > _FRESH:
                kept = self._photometry = (time.monotonic(), self._records())
                self._missed = self._missed | {name} if missed else set()
            found = [json.loads(text) for text in kept[1].get(name, [])]
        return sorted(found, key=_closeness)

    def _records(self) -> dict[str, list[str]]:
        kept: dict[str, list[str]] = {}
        for page in self._api.sync_photometry():
            for record in page["rows"]:
                text = json.dumps(record, separators=(",", ":"))
                kept.setdefault(str(record.get("object_id")), []).append(text)
        return kept

    def spectra_of(self, row: Row) -> list[Row]:
        """Return the rows of all spectra of an object, by target and grating."""
        found: dict[str, Row] = {}
        for target in row["member_target_ids"]:
            for page in self._pages("spectra", {"search": target}):
                for wire in page["rows"]:
                    if wire.get("target_id") == target:
                        found[str(wire["spectrum_id"])] = spectrum_row(wire, row)
        rows = sorted(found.values(), key=lambda r: (r["target_id"], r["grating"]))
        columns = Columns.from_rows("spectra", rows)
        return list(self._shown(columns).rows())


class _Parents:
    """The objects that spectra belong to, fetched as they are needed and kept for one query."""

    def __init__(
        self, query: Query, pages: Callable[[str, dict[str, str]], Iterator[Page]], visible: tuple[str, ...]
    ) -> None:
        self._query = query
        self._pages = pages
        self.visible = visible
        self._known: dict[str, Row] = {}
        self._complete = False

    def of(self, rows: Iterable[Row]) -> dict[str, Row]:
        """Return the objects of rows of spectra by id; what is not found is not there."""
        missing = [row for row in rows if row.get("parent_object_id") and self._unknown(row)]
        if missing and not self._complete:
            self._fetch(_listed({str(row["observation"]) for row in missing}))
        return self._known

    def _fetch(self, narrow: dict[str, str]) -> None:
        for params in self._query.of_objects().to_params():
            for page in self._pages("objects", params | narrow):
                for wire in page["rows"]:
                    self._known[str(wire["object_id"])] = object_row(wire, self.visible)

    def narrowed(self, requests: list[dict[str, str]]) -> list[dict[str, str]]:
        """Fetch all objects now, and return requests for spectra with only the observations of these."""
        self._fetch({})
        self._complete = True
        if not self._known:
            return []
        seen = [set(row["observations"]) for row in self._known.values()]
        names = set().union(*seen)
        if not all(seen):
            return requests  # an object that does not say where it was observed
        made = []
        for params in requests:
            asked = set(params["observations"].split(",")) if "observations" in params else names
            if asked & names:
                made.append(params | _listed(asked & names))
        return made

    def _unknown(self, row: Row) -> bool:
        return str(row["parent_object_id"]) not in self._known


def _listed(observations: set[str]) -> dict[str, str]:
    """Return the parameter that names observations, or none where it would be too long or misread."""
    text = ",".join(sorted(observations))
    plain = len(text) <= _LONGEST_LIST and not any("," in n or n != n.strip() for n in observations)
    return {"observations": text} if plain else {}


def _key(row: Row, table: str) -> str:
    return str(row.get("object_id" if table == "objects" else "spectrum_id"))


def _closeness(record: Row) -> tuple[bool, float, str, int]:
    distance = record.get("match_distance_arcsec")
    return distance is None, distance or 0.0, str(record.get("catalog_name")), int(record.get("id") or 0)


def _once(rows: Iterable[Row], table: str) -> list[Row]:
    """Drop rows that came twice: pages shift while the archive changes, and two cones may overlap."""
    return list({_key(row, table): row for row in rows}.values())
