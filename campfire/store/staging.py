"""Rows on their way into the catalogue, kept in a private temporary file so that memory stays bounded."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from campfire.errors import APIError, CampfireError
from campfire.typing import Page, Row

__all__ = ["Staging", "Table", "instant"]

Table = Literal["objects", "spectra", "photometry"]

# What the service nests in rows and the catalogue takes from elsewhere.
_DROPPED = ("spectra", "member_targets", "thumbnail_svg_fnu", "thumbnail_svg_flambda")


def instant(text: str) -> datetime:
    """Return a time of the service; without an offset it is UTC.

    Raises
    ------
    APIError
        If it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as err:
        raise APIError(f"the service sent {text!r} for a time") from err
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Staging:
    """Collects the pages of the tables; the file vanishes with the process, however that ends."""

    def __init__(self) -> None:
        # The empty name is a database of its own in a temporary file that SQLite has unlinked already.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=off")
        self._db.execute("PRAGMA synchronous=off")
        self._db.execute("BEGIN")
        self._totals: dict[Table, int | None] = {}
        self.accessible: dict[Table, int | None] = {}
        self.newest: dict[Table, str] = {}
        self._aside: dict[Table, list[object]] = {}
        for table in ("objects", "spectra", "photometry"):
            self._db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, row BLOB NOT NULL)")
        self._tagged = False

    def close(self) -> None:
        """Drop everything."""
        self._db.close()

    def clear(self, table: Table) -> None:
        """Start a table anew."""
        self._db.execute(f"DELETE FROM {table}")
        for known in (self._totals, self.accessible, self.newest, self._aside):
            known.pop(table, None)

    def add(self, table: Table, page: Page) -> None:
        """Add a page; a row that came before (pages shift while they are read) is replaced.

        Raises
        ------
        APIError
            If a row has no integer id.
        CampfireError
            If there is no room for temporary files.
        """
        values = []
        for row in page["rows"]:
            if not isinstance(row.get("id"), int):
                raise APIError(f"the service sent a row for {table} without id: {str(row)[:200]}")
            kept = {key: value for key, value in row.items() if key not in _DROPPED}
            values.append((row["id"], pickle.dumps(kept, protocol=pickle.HIGHEST_PROTOCOL)))
            self._tagged = self._tagged or bool(row.get("lists"))
            updated = row.get("updated_at")
            if updated and (table not in self.newest or instant(updated) > instant(self.newest[table])):
                self.newest[table] = instant(updated).isoformat()
        try:
            self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?,?)", values)
        except sqlite3.OperationalError as err:
            raise CampfireError(
                f"cannot keep what the service sends: {err}",
                hint="make room for temporary files, or set TMPDIR",
            ) from err
        self._aside.setdefault(table, []).extend(page.get("aside", []))
        # The last word counts: the table may grow or shrink while its pages are read.
        if page["total"] is not None:
            self._totals[table] = page["total"]
        if page["accessible"] is not None:
            self.accessible[table] = page["accessible"]

    def count(self, table: Table) -> int:
        """Count the rows that came."""
        return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def announced(self, table: Table, *, incremental: bool) -> set[int]:
        """Return how many rows the service said there are; two numbers where it contradicts itself."""
        said = [self._totals.get(table)] + ([] if incremental else [self.accessible.get(table)])
        return {number for number in said if number is not None}

    def is_complete(self, table: Table, *, incremental: bool) -> bool:
        """Tell whether as many rows came as the service said there are, those set aside among them."""
        came = self.count(table) + len(self._aside.get(table, []))
        return self.announced(table, incremental=incremental) <= {came}

    def all_known(self, table: Table) -> bool:
        """Tell whether every row that was set aside has an id: without it, its former row cannot be kept."""
        return all(type(key) is int and 0 <= key < 2**63 for key in self._aside.get(table, []))

    def any_tagged(self) -> bool:
        """Tell whether any object that came has a tag."""
        return self._tagged

    def rows(self, table: Table) -> Iterator[Row]:
        """Stream the rows."""
        for (packed,) in self._db.execute(f"SELECT row FROM {table} ORDER BY id"):
            yield pickle.loads(packed)  # written by this process, into a file that only it can open

    def ids(self, table: Table) -> Iterator[int]:
        """Stream the integer ids, also of rows that were set aside."""
        for (number,) in self._db.execute(f"SELECT id FROM {table} ORDER BY id"):
            yield number
        yield from (key for key in self._aside.get(table, []) if type(key) is int)
