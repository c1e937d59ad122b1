"""Records of faults. Each is durable before the fault does anything, so that the next run can heal what a kill left
broken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snapstorm.ledger.transactions import LedgerBase


@dataclass(frozen=True)
class FaultRecord:
    """One fault as the ledger has it."""

    number: int
    run: int
    key: str
    details: dict[str, Any]
    began_tick: int
    began_seconds: float
    """On the clock of its run."""
    ended_seconds: float | None
    outcome: str | None
    """`healed`, `nothing` if there was nothing to break, or why it could not be done; None while it is active."""


class Injuries(LedgerBase):
    """The part of the ledger that holds faults."""

    def begin_fault(self, run_number: int, key: str, *, tick: int, began_seconds: float) -> int:
        """Record that a fault is about to be injected; return its number."""
        with self._transaction() as run:
            cursor = run(
                "INSERT INTO faults (run, key, began_tick, began_seconds) VALUES (?, ?, ?, ?)",
                (run_number, key, tick, began_seconds),
            )
        assert cursor.lastrowid is not None
        return int(cursor.lastrowid)

    def detail_fault(self, number: int, details: Mapping[str, Any]) -> None:
        """Record what exactly the fault is about to break: everything that is needed to heal it."""
        with self._transaction() as run:
            run("UPDATE faults SET details = ? WHERE number = ?", (json.dumps(details), number))

    def end_fault(self, number: int, outcome: str, *, tick: int, ended_seconds: float) -> None:
        with self._transaction() as run:
            run(
                "UPDATE faults SET outcome = ?, ended_tick = ?, ended_seconds = ? WHERE number = ?",
                (outcome, tick, ended_seconds, number),
            )

    def open_faults(self) -> list[FaultRecord]:
        """Faults that a killed run has left active, the latest first: the order in which they must be healed."""
        return self._faults("WHERE outcome IS NULL ORDER BY number DESC")

    def faults_of(self, run_number: int) -> list[FaultRecord]:
        """All faults of a run, in order."""
        return self._faults("WHERE run = ? ORDER BY number", run_number)

    def _faults(self, which: str, *values: object) -> list[FaultRecord]:
        rows = self._connection.execute(
            f"SELECT number, run, key, details, began_tick, began_seconds, ended_seconds, outcome FROM faults {which}",
            values,
        )
        return [FaultRecord(row[0], row[1], row[2], json.loads(row[3]), *row[4:]) for row in rows]
