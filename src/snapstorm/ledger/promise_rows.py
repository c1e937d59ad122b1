"""Events of a storage that keeps a history of its writes, and which snapshots are promised at which of them.

A promise begins with an event that is read after the target has answered, and ends with one that is read before the
target is asked for a deletion. So what was promised at an event must be there in all that was written until then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from snapstorm.ledger.expectation_rows import Execute, read_expectations, update_expectation
from snapstorm.ledger.transactions import LedgerBase
from snapstorm.model.expectations import Expectation, State
from snapstorm.model.promises import PromiseSpan

_LATEST_EVENT = """
    SELECT max(event) FROM (
        SELECT max(began_event) AS event FROM runs
        UNION ALL SELECT max(began_event) FROM operations
        UNION ALL SELECT max(ended_event) FROM operations
        UNION ALL SELECT max(max(first_event), coalesce(max(last_event), 0)) FROM promises
    )
"""


@dataclass(frozen=True)
class OperationAtEvent:
    """An operation that was at work at an event."""

    id: str
    run: int
    client: str
    action: str
    began_event: int
    ended_event: int | None


class Promises(LedgerBase):
    """The part of the ledger that knows events of the storage."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.storage_event: Callable[[], int | None] = lambda: None
        """The latest event of the storage; None where it keeps no history."""

    @property
    def keeps_history(self) -> bool:
        """Whether the storage keeps a history, which needs the trees of deleted snapshots, too."""
        return self.storage_event() is not None

    def latest_event(self) -> int | None:
        """The latest event that is recorded here; None if there is none."""
        found = self._one(_LATEST_EVENT)[0]
        return None if found is None else int(found)

    def promise_spans(self) -> list[PromiseSpan]:
        """All promises ever made, in the order in which they began."""
        rows = self._connection.execute(
            "SELECT expectation, first_event, last_event FROM promises ORDER BY first_event, rowid"
        ).fetchall()
        named = "operation IN (SELECT expectation FROM promises)"
        expectations = {found.operation: found for found in read_expectations(self._connection, named)}
        return [PromiseSpan(expectations[operation], first, last) for operation, first, last in rows]

    def events_of_run(self, run_number: int) -> tuple[int, int | None] | None:
        """The latest event when a run began, and when the next one did, None after the last. None for a run whose
        storage kept no history."""
        row = self._connection.execute("SELECT began_event FROM runs WHERE number = ?", (run_number,)).fetchone()
        if row is None or row[0] is None:
            return None
        (until,) = self._one("SELECT min(began_event) FROM runs WHERE number > ?", (run_number,))
        return int(row[0]), until

    def operations_at_event(self, event: int) -> list[OperationAtEvent]:
        """The operations that were at work at this event, in the order in which they began."""
        rows = self._connection.execute(
            "SELECT id, run, client, action, began_event, ended_event FROM operations"
            " WHERE began_event <= ?1 AND (ended_event IS NULL OR ended_event >= ?1) ORDER BY began_tick",
            (event,),
        )
        return [OperationAtEvent(*row) for row in rows]

    def _change_expectation(self, run: Execute, before: Expectation, after: Expectation) -> None:
        """Store what has become of an expectation, and what that means for the promise to keep its snapshot."""
        update_expectation(run, after)
        if before.state is not State.LIVE and after.state is State.LIVE:
            event = self.storage_event()
            if event is not None:
                run("INSERT INTO promises VALUES (?, ?, NULL)", (after.operation, event))
        elif before.state is State.LIVE and after.state is not State.LIVE:
            end_promise(self._connection, run, after)


def end_promise(connection: sqlite3.Connection, run: Execute, doomed: Expectation) -> None:
    """End the promise to keep a snapshot when the operation began that asked for its deletion; if that is not known,
    with the latest event that is recorded."""
    asked = connection.execute(
        "SELECT began_event FROM operations WHERE id = ?", (doomed.deletion_operation,)
    ).fetchone()
    (latest,) = connection.execute(_LATEST_EVENT).fetchone()
    event = latest if asked is None or asked[0] is None else asked[0]
    run("UPDATE promises SET last_event = ? WHERE expectation = ? AND last_event IS NULL", (event, doomed.operation))
