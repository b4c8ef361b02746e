"""Accounts in SQLite: rows in, rows out. What they mean is decided in ``archive.server.accounts``."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from sqlite3 import DatabaseError
from typing import Any

from campfire.typing import Row

__all__ = ["AccountStore", "DatabaseError"]

BUSY_SECONDS = 5.0
"""How long a request waits for another process that writes to the accounts."""

_TABLES = {
    "users": ("id", "email", "full_name", "is_admin", "password_hash", "created_at"),
    "grants": ("user_id", "program"),
    "api_keys": ("key_hash", "user_id", "prefix", "name", "created_at", "expires_at"),
    "device_codes": (
        "code_hash",
        "user_code",
        "state",
        "user_id",
        "created_at",
        "expires_at",
        "interval",
        "polled_at",
    ),
    "refresh_tokens": ("token_hash", "user_id", "device_name", "created_at", "expires_at"),
}


class AccountStore:
    """The accounts file of a served archive; usable from several threads and processes.

    Secrets never come here: callers pass hashes.

    Parameters
    ----------
    path
        SQLite file, made with mode 0600 where absent.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made before SQLite opens it, so that it never exists with a wider mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(
            path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(
            resources.files(__package__).joinpath("accounts.sql").read_text("utf-8")
        )

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the calls inside one atomic read-modify-write, also against other processes. It nests."""
        with self._lock:
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise
            else:
                self._connection.execute("COMMIT")
            finally:
                self._depth = 0

    def insert(self, table: str, row: Row) -> None:
        """Insert one row.

        Raises
        ------
        KeyError
            If the row breaks a uniqueness rule (the row is there already).
        """
        columns = self._columns(table, row)
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        with self._lock:
            try:
                self._connection.execute(sql, [row[name] for name in columns])
            except sqlite3.IntegrityError as err:
                raise KeyError(str(err)) from err

    def find(self, table: str, **where: Any) -> Row | None:
        """Return the first row whose columns equal ``where``, or None."""
        return next(iter(self.select(table, **where)), None)

    def select(self, table: str, **where: Any) -> list[Row]:
        """Return every row whose columns equal ``where``, oldest first."""
        condition, values = self._where(table, where)
        with self._lock:
            rows = self._connection.execute(
                f"SELECT * FROM {table}{condition} ORDER BY rowid", values
            ).fetchall()
        return [dict(row) for row in rows]

    def update(self, table: str, changes: Row, **where: Any) -> int:
        """Change the rows that equal ``where``; return how many there were."""
        columns = self._columns(table, changes)
        condition, values = self._where(table, where)
        sql = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)}{condition}"
        with self._lock:
            return self._connection.execute(sql, [*(changes[name] for name in columns), *values]).rowcount

    def delete(self, table: str, **where: Any) -> int:
        """Delete the rows that equal ``where``; return how many there were."""
        condition, values = self._where(table, where)
        with self._lock:
            return self._connection.execute(f"DELETE FROM {table}{condition}", values).rowcount

    def forget_expired(self, now: float) -> None:
        """Delete device codes and refresh tokens that ended more than a day ago."""
        with self._lock:
            for table in ("device_codes", "refresh_tokens"):
                self._connection.execute(f"DELETE FROM {table} WHERE expires_at < ?", (now - 86400,))

    @staticmethod
    def _columns(table: str, row: Row) -> list[str]:
        # Names go into SQL text, so they may only be the ones of the schema.
        return [_TABLES[table][_TABLES[table].index(name)] for name in row]

    def _where(self, table: str, where: Row) -> tuple[str, list[Any]]:
        columns = self._columns(table, where)
        if not columns:
            return "", []
        return f" WHERE {' AND '.join(f'{name} = ?' for name in columns)}", [where[name] for name in columns]
