"""What every part of the ledger stands on: durable transactions, and facts about the testbed as a whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from snapstorm.errors import TestbedError
from snapstorm.ledger.crash_points import CrashPoint
from snapstorm.ledger.opening import translated


class LedgerBase:
    """An open ledger's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._crash_point = CrashPoint()
        self.around_transaction: Callable[[], AbstractContextManager[object]] = nullcontext
        """In which each transaction is made, for whom measures it."""

    def fact(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        with self._transaction() as run:
            run("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value))

    def drop_fact(self, name: str) -> None:
        with self._transaction() as run:
            run("DELETE FROM facts WHERE name = ?", (name,))

    def is_whole(self) -> bool:
        """Whether SQLite finds nothing wrong with the file. Reads all of it."""
        try:
            return bool(self._one("PRAGMA quick_check(1)")[0] == "ok")
        except sqlite3.Error:
            return False

    def _one(self, query: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        if row is None:
            raise TestbedError(f"the ledger is damaged: nothing found for {values}")
        return row

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self.around_transaction(), self._committed():
            yield self._connection.execute

    @contextmanager
    def _committed(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                # SQLite rolls back by itself after a full disk; a second ROLLBACK would hide the reason.
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._crash_point.before_commit()
            self._connection.execute("COMMIT")
            self._crash_point.after_commit()
        except sqlite3.Error as error:
            raise translated(error, None) from error
