"""Synchronising the catalogue with a service: streamed, incremental where possible, all or nothing.

``synchronise(catalog, source, *, full=False, progress=None) -> dict``

Pages go into a private staging file first; the catalogue is touched only when everything has arrived and its
counts agree, and then in one transaction. So a reader sees the old catalogue or the new one, and a crash at
any point leaves the old one. The service sends no tombstones: what an incremental run cannot see (deletions,
rows committed late, programs granted or revoked) shows in the counts, and a full reconcile follows by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from campfire.disk import process_lock
from campfire.errors import APIError
from campfire.store.catalog import Catalog
from campfire.store.staging import Staging, Table, instant
from campfire.store.writer import Writer
from campfire.typing import Page, ProgressCallback, Row, SyncSource

__all__ = ["OVERLAP", "synchronise"]

OVERLAP = timedelta(minutes=15)
"""How far an incremental run reaches back before the newest row it has: rows may be committed late."""

TABLES: tuple[Table, ...] = ("objects", "spectra", "photometry")
_ATTEMPTS = 3


class _Disagreement(Exception):
    """The counts of an incremental run do not agree with the service's; a full one is needed."""


def synchronise(
    catalog: Catalog,
    source: SyncSource,
    *,
    full: bool = False,
    service: str | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Bring the catalogue up to date with a service.

    Parameters
    ----------
    catalog
        The catalogue; two processes may do this at once, one waits for the other.
    source
        Where rows come from.
    full
        Fetch everything anew, not only what changed.
    service
        Normal form of the service's address, noted in the catalogue.
    progress
        Told about each page: ``progress(table, rows so far, total)``.

    Returns
    -------
    dict
        ``observations``, ``objects``, ``spectra``, ``photometry``, ``tags``: totals in the catalogue now.
        ``received``: rows that came in this run, by table. ``removed``: rows that went, by table.
        ``incremental``: whether it was enough to fetch what changed. ``stale_files``: downloaded files
        of which the archive has another version (dictionaries), ``stale_count``: how many.

    Raises
    ------
    APIError
        If pages came short, or unexpectedly empty; the catalogue is then what it was.
    CampfireError
        If the catalogue cannot be written.
    """
    catalog.demand_writable()
    report = progress or (lambda _stage, _done, _total: None)
    started = datetime.now(UTC).isoformat()
    with process_lock(catalog.lock_path):
        run = _Run(catalog, source, report, started, service)
        incremental = not full and run.can_be_incremental()
        if incremental:
            try:
                run.once(incremental=True)
            except _Disagreement:
                incremental = False
        if not incremental:
            run.once(incremental=False)
        totals = catalog.totals()
        stale = catalog.stale_files()
        names = catalog.execute("SELECT count(DISTINCT observation) FROM spectra").fetchone()[0]
        return {
            "observations": int(names),
            **{name: totals[name] for name in (*TABLES, "tags")},
            "received": run.received,
            "removed": run.removed,
            "incremental": incremental,
            "stale_count": len(stale),
            "stale_files": stale,
        }


def _program_numbers(observations: Iterable[Row]) -> dict[str, list[int]]:
    """Return the JWST program numbers of each program: only the pointings of its observations tell them."""
    found: dict[str, set[int]] = {}
    for row in observations:
        pointings = row.get("pointings")
        for pointing in pointings if isinstance(pointings, list) else [pointings]:
            number = pointing.get("jwst_program") if isinstance(pointing, dict) else None
            if str(number).isdecimal() and row.get("program_slug"):
                found.setdefault(str(row["program_slug"]), set()).add(int(str(number)))
    return {slug: sorted(numbers) for slug, numbers in found.items()}


def _spectra_announced(observations: Iterable[Row]) -> Counter[str]:
    """Return how many spectra the service says each observation has."""
    found: Counter[str] = Counter()
    for row in observations:
        if isinstance(row.get("spectrum_count"), int):
            found[str(row["observation"])] += row["spectrum_count"]
    return found


def _spectra_held(writer: Writer) -> Counter[str]:
    """Return how many spectra of each observation are in the catalogue."""
    return Counter(dict(writer.execute("SELECT observation, count(*) FROM spectra GROUP BY observation")))


def _first(pages: Iterable[Page]) -> Generator[Page, None, None]:
    """Make pages something that can be closed after the first of them."""
    yield from pages


class _Run:
    """One synchronisation: what was there before, and what came."""

    def __init__(
        self,
        catalog: Catalog,
        source: SyncSource,
        report: ProgressCallback,
        started: str,
        service: str | None,
    ) -> None:
        self.catalog, self.source, self.report, self.started = catalog, source, report, started
        self.service = service
        self.received: dict[str, int] = {}
        self.removed: dict[str, int] = {}
        self.metadata: Mapping[str, Any] = source.metadata()
        self.programs: list[Row] = [row for row in self.metadata.get("programs") or () if row.get("slug")]
        self.lists: list[Row] = list(source.sync_lists())
        self.observations: list[Row] = list(source.observations())

    def can_be_incremental(self) -> bool:
        """Tell whether there is a former state, for the same programs, to start from."""
        marks = [self.catalog.get_meta(f"watermark_{table}") for table in ("objects", "spectra")]
        return all(marks) and self.catalog.get_meta("granted") == self._granted()

    def _granted(self) -> str:
        return json.dumps(sorted(str(row["slug"]) for row in self.programs))

    def once(self, *, incremental: bool) -> None:
        with closing(Staging()) as staged:
            self.received = {}
            for table in TABLES:
                self._pull(staged, table, incremental=incremental)
            with self.catalog.write(pack=True) as writer:
                before = {table: writer.count(table) for table in (*TABLES, "tags")}
                held, announced = _spectra_held(writer), _spectra_announced(self.catalog.observations())
                if not incremental:
                    self._refuse_emptiness(staged, before)
                new_tags = self._store(writer, staged, incremental=incremental)
                if incremental:
                    self._compare(writer, staged, new_tags)
                    self._compare_observations(held, _spectra_held(writer), announced)
                self._complete(writer, staged, incremental=incremental)

    # --- fetching -------------------------------------------------------------------------------------------

    def _pull(self, staged: Staging, table: Table, *, incremental: bool) -> None:
        since = self._since(table) if incremental else None
        fetch = {
            "objects": self.source.sync_objects,
            "spectra": self.source.sync_spectra,
            "photometry": self.source.sync_photometry,
        }[table]
        for attempt in range(_ATTEMPTS):
            staged.clear(table)
            done = 0
            for page in fetch(since):
                staged.add(table, page)
                done += len(page["rows"])
                self.report(table, done, page["total"])
            if staged.is_complete(table, incremental=incremental):
                break
            if incremental:
                raise _Disagreement
            if attempt + 1 == _ATTEMPTS:
                said = " or ".join(map(str, sorted(staged.announced(table, incremental=False))))
                raise APIError(
                    f"the service announced {said} {table} and sent {staged.count(table)}",
                    hint="the catalogue is unchanged; try again later",
                )
        self.received[table] = staged.count(table)
        if table == "photometry" and incremental:
            # Its pages do not tell how many records there are in all; a page of a full pull does.
            with closing(_first(fetch(None))) as pages:
                staged.accessible["photometry"] = next((page["total"] for page in pages), None)

    def _since(self, table: str) -> str | None:
        newest = self.catalog.get_meta(f"watermark_{table}")
        return None if newest is None else (instant(newest) - OVERLAP).isoformat()

    def _refuse_emptiness(self, staged: Staging, before: dict[str, int]) -> None:
        for table in TABLES:
            if before[table] and not staged.count(table):
                raise APIError(
                    f"the service sent no {table} at all, the catalogue has {before[table]}",
                    hint=f"the catalogue is unchanged; if access was lost, move {self.catalog.path} aside",
                )

    # --- storing --------------------------------------------------------------------------------------------

    def _store(self, writer: Writer, staged: Staging, *, incremental: bool) -> list[tuple[int, int]]:
        """Write everything that came; return id and number of members of tags that were not there before."""
        known = {pk for (pk,) in writer.execute("SELECT id FROM tags")}
        names = {kind: self.metadata.get(kind) or [] for kind in ("fields", "gratings", "observations")}
        writer.set_meta("known_names", json.dumps(names))
        if self.programs:
            numbers = _program_numbers(self.observations)
            writer.put_programs(row | {"jwst_program": numbers.get(row["slug"])} for row in self.programs)
            self.removed["programs"] = writer.keep_only("programs", [row["slug"] for row in self.programs])
        # An empty answer where there was a full one is not believed: nothing of it is needed to be right.
        if self.observations:
            writer.clear("observations")
            writer.put_observations(self.observations)
        self.received |= {"observations": len(self.observations), "tags": len(self.lists)}
        if self.lists or not staged.any_tagged():
            writer.put_tags(self.lists)
            self.removed["tags"] = writer.keep_only("tags", [row["id"] for row in self.lists])
        writer.put_objects(staged.rows("objects"))
        if not incremental:
            self._sweep(writer, staged, "objects")
        writer.put_spectra(staged.rows("spectra"))
        writer.put_photometry(staged.rows("photometry"))
        if not incremental:
            self._sweep(writer, staged, "spectra")
            self._sweep(writer, staged, "photometry")
        else:
            self.removed |= dict.fromkeys(TABLES, 0)
        new = [row for row in self.lists if row["id"] not in known]
        return [(row["id"], int(row.get("member_count") or 0)) for row in new]

    def _sweep(self, writer: Writer, staged: Staging, table: Table) -> None:
        """Delete what did not come; nothing where a row came of which it cannot be said which one it is."""
        known = staged.all_known(table)
        self.removed[table] = writer.keep_only(table, staged.ids(table)) if known else 0

    def _compare(self, writer: Writer, staged: Staging, new_tags: list[tuple[int, int]]) -> None:
        for table in TABLES:
            # Without a count the service says nothing of what went, or has no access to look with.
            if writer.count(table) != staged.accessible.get(table):
                raise _Disagreement
        for tag, members in new_tags:  # it came into sight: members that did not change were not sent
            if self._members(writer, tag) < members:
                raise _Disagreement

    def _compare_observations(self, held: Counter[str], now: Counter[str], former: Counter[str]) -> None:
        """Where rows go while as many old ones come, the totals agree; those of the observations need not.

        An observation whose number of spectra the service has not changed says nothing: its counts may lag.
        """
        announced = _spectra_announced(self.observations)
        for name in announced.keys() & former.keys():
            change = announced[name] - former[name]
            if change and change != now[name] - held[name]:
                raise _Disagreement

    @staticmethod
    def _members(writer: Writer, tag: int) -> int:
        found = writer.execute("SELECT count(*) FROM memberships WHERE tag_id = ?", (tag,)).fetchone()
        return int(found[0])

    def _complete(self, writer: Writer, staged: Staging, *, incremental: bool) -> None:
        for table in TABLES:
            former = self.catalog.get_meta(f"watermark_{table}") if incremental else None
            times = [instant(text) for text in (staged.newest.get(table), former) if text]
            if times:
                # A row from the future must not hide all that changes until then.
                newest = min(max(times), datetime.now(UTC))
                writer.set_meta(f"watermark_{table}", newest.isoformat())
        now = datetime.now(UTC).isoformat()
        writer.set_meta("granted", self._granted())
        writer.set_meta("last_synced", now)
        if self.service is not None:
            writer.set_meta("service", self.service)
        result = json.dumps({"received": self.received, "removed": self.removed})
        writer.execute(
            "INSERT INTO sync_log (started_at, completed_at, incremental, result) VALUES (?,?,?,?)",
            (self.started, now, incremental, result),
        )
