"""The base of every part of the ledger: durable transactions, and facts about the testbed as a whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from anyio.lowlevel import checkpoint

from snapstorm.errors import TestbedError
from snapstorm.ledger.crash_points import named_crash_point
from snapstorm.ledger.opening import translated
from snapstorm.model.readable import readable


def _stored(text: str) -> str | bytes:
    """A fact as it is stored. It may be a path, so text that is not UTF-8 is stored as its bytes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def _read(stored: str | bytes) -> str:
    return os.fsdecode(stored) if isinstance(stored, bytes) else str(stored)


@dataclass
class _Batch:
    """Changes that become durable together."""

    error: sqlite3.Error | None = None
    """Why they could not be made durable."""


class LedgerBase:
    """An open ledger's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._crash_point = named_crash_point()
        self._batch: _Batch | None = None
        self._is_committing_later = False
        self.around_transaction: AbstractContextManager[object] = nullcontext()
        """Each transaction runs inside this block, so that its time can be measured."""

    def fact(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else _read(row[0])

    def set_fact(self, name: str, value: str) -> None:
        with self._transaction() as run:
            run(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                (name, _stored(value)),
            )

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
    def committing_later(self) -> Iterator[None]:
        """Changes made in this block are durable once `committed` has returned, which must be called right after it."""
        self._is_committing_later = True
        try:
            yield
        finally:
            self._is_committing_later = False

    async def committed(self) -> None:
        """Return when all changes made so far are durable. All callers that wait at the same moment share one commit.

        Raises TestbedError, for all of them, if the commit fails. Even when cancelled, nothing is left uncommitted.
        """
        batch = self._batch
        if batch is None:
            return
        try:
            await checkpoint()
        finally:
            if batch is self._batch:
                try:
                    with self.around_transaction:
                        self._commit(batch)
                except sqlite3.Error as error:
                    raise translated(error, None) from error
            if batch.error is not None:
                raise translated(batch.error, None)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        try:
            with self.around_transaction:
                batch = self._batch
                if batch is None:
                    self._connection.execute("BEGIN IMMEDIATE")
                    self._batch = batch = _Batch()
                try:
                    yield self._execute
                except BaseException as error:
                    self._fail(batch, error)
                    raise
                if not self._is_committing_later:
                    self._commit(batch)
        except sqlite3.Error as error:
            raise translated(error, None) from error

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except UnicodeEncodeError:  # SQLite accepts no path that is not UTF-8. For people, its readable form is enough.
            shown = [readable(value) if isinstance(value, str) else value for value in values]
            return self._connection.execute(statement, shown)

    def _commit(self, batch: _Batch) -> None:
        try:
            if self._crash_point is None:
                self._connection.execute("COMMIT")
            else:
                self._crash_point.commit(self._connection)
        except BaseException as error:
            self._fail(batch, error)
            raise
        self._batch = None

    def _fail(self, batch: _Batch, error: BaseException) -> None:
        """The batch was rolled back; everyone waiting for it gets the error."""
        batch.error = error if isinstance(error, sqlite3.Error) else sqlite3.OperationalError(f"rolled back: {error}")
        self._batch = None
        # SQLite rolls back by itself after a full disk; a second ROLLBACK would hide the reason.
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
