"""The retention of a testbed, and what its creations end by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from snapstorm.ledger.expectation_rows import Execute, read_expectations, update_expectation
from snapstorm.model import snapshot_states
from snapstorm.model.expectations import OPEN_STATES, Expectation, State
from snapstorm.model.expiry import TakingSpan, end_expiry, may_expire
from snapstorm.model.retention import Retention

RETENTION_FACT = "retention"
"""The fact that holds what the testbed's target keeps, as JSON."""

_OF_SOURCE = f"client = ? AND source = ? AND state IN ({', '.join('?' * len(OPEN_STATES))}) ORDER BY began_tick"


class Expiries:
    """What expires in one testbed. Without a retention, nothing does."""

    def __init__(self, connection: sqlite3.Connection, knows_all: Callable[[], bool]) -> None:
        """`knows_all` tells whether the ledger knows of every snapshot that was ever asked for."""
        self._connection = connection
        self._knows_all = knows_all
        row = connection.execute("SELECT value FROM facts WHERE name = ?", (RETENTION_FACT,)).fetchone()
        self.retention: Retention | None = None if row is None else Retention.model_validate_json(row[0])
        """What the target keeps of each source; None for everything."""

    def set_retention(self, retention: Retention) -> None:
        """Record what the target of a new testbed is told to keep. Durable when it returns."""
        self._connection.execute(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)", (RETENTION_FACT, retention.model_dump_json())
        )
        self.retention = retention

    def of_source(self, client: str, source: str) -> list[Expectation]:
        """The snapshots of a source that may be there, in the order in which they were begun."""
        return read_expectations(self._connection, _OF_SOURCE, (client, source, *sorted(OPEN_STATES)))

    def creation_ticks(self, client: str) -> dict[str, list[int]]:
        """When all creations of a client began, by source. Without a retention, nobody needs to know: empty then."""
        found: dict[str, list[int]] = {}
        if self.retention is not None:
            rows = self._connection.execute("SELECT source, began_tick FROM expectations WHERE client = ?", (client,))
            for source, tick in rows:
                found.setdefault(source, []).append(tick)
        return found

    def count(self) -> int:
        """How many snapshots have expired."""
        row = self._connection.execute(
            "SELECT count(*) FROM expectations WHERE state = ? AND is_expiry", (State.DELETED,)
        ).fetchone()
        return int(row[0])

    def ended_by(self, creation: str) -> int:
        """How many snapshots have expired because of this creation."""
        row = self._connection.execute(
            "SELECT count(*) FROM expectations WHERE deletion_operation = ? AND state = ? AND is_expiry",
            (creation, State.DELETED),
        ).fetchone()
        return int(row[0])

    def doomed(self, client: str, source: str, span: TakingSpan | None) -> Sequence[str]:
        """The live snapshots of a source that a creation may end which is dated within this span, by operation."""
        if self.retention is None or span is None:
            return ()
        return may_expire(self.retention, self.of_source(client, source), span, knows_all=self._knows_all())

    def begin(self, run: Execute, creation: str, doomed: Sequence[str], tick: int) -> None:
        """Store, within a transaction, that a creation begins which may end these snapshots."""
        for operation in doomed:
            for found in read_expectations(self._connection, "operation = ?", (operation,)):
                if found.state is State.LIVE:
                    update_expectation(run, snapshot_states.begin_expiry(found, creation, tick))

    def end(self, run: Execute, creation: Expectation, outcome: str, tick: int) -> None:
        """Store, within a transaction, what an ended creation has made of the snapshots of its source."""
        if self.retention is None:
            return
        mine, knows_all = self.of_source(creation.client, creation.source), self._knows_all()
        for found in end_expiry(self.retention, mine, creation, outcome, tick, knows_all=knows_all):
            update_expectation(run, found)
