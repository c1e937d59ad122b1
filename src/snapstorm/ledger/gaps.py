"""Gaps: runs that the ledger does not know, because it is a copy that was made before them.

After a gap, runs are numbered from the next thousand on, so that no operation has the same number as an unknown one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence

from snapstorm.ledger.expectation_rows import read_expectations, update_expectation
from snapstorm.ledger.promise_rows import end_promise
from snapstorm.model.expectations import State
from snapstorm.model.snapshot_states import lose_track

_FACT = "gaps"
_RUNS_APART = 1000
_OPERATION = "gap"
"""Stands for the unknown operations that may have deleted a snapshot."""


class Gaps:
    """The gaps in one ledger."""

    def __init__(self, connection: sqlite3.Connection, on_change: Callable[[], None] = lambda: None) -> None:
        self._connection = connection
        self._on_change = on_change

    def unknown_runs(self) -> Sequence[range]:
        """The numbers of unknown runs."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (_FACT,)).fetchone()
        return [range(*ends) for ends in json.loads(row[0])] if row else []

    def next_run(self) -> int:
        """The lowest number that a future run may have."""
        return max((unknown.stop for unknown in self.unknown_runs()), default=1)

    def begin(self, first_run: int, tick: int, *, may_have_deleted: bool) -> None:
        """Record that the runs from this one on are unknown, wholly or in part. Durable when it returns.

        With `may_have_deleted`, every live snapshot is in doubt from now on, until a listing shows it.
        """
        stop = (first_run // _RUNS_APART + 1) * _RUNS_APART + 1
        gaps = [(unknown.start, unknown.stop) for unknown in self.unknown_runs()] + [(first_run, stop)]
        self._on_change()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_FACT, json.dumps(gaps)))
            if may_have_deleted:
                for live in read_expectations(self._connection, "state = ?", (State.LIVE,)):
                    lost = lose_track(live, _OPERATION, tick)
                    update_expectation(self._connection.execute, lost)
                    end_promise(self._connection, self._connection.execute, lost)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def count_unlisted(self) -> int:
        """How many snapshots were in doubt because of a gap and are no longer listed."""
        row = self._connection.execute(
            "SELECT count(*) FROM expectations WHERE deletion_operation = ? AND state = ?", (_OPERATION, State.DELETED)
        ).fetchone()
        return int(row[0])
