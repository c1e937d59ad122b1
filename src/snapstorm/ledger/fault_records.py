"""Records of faults. Each is durable before the fault does anything, so that the next run can heal what a kill left
broken."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snapstorm.ledger.transactions import LedgerBase

_HERE = "testbed:"
"""Begins a path that is kept as one below the testbed. What is to be healed there must be found, and nothing else be
touched, also where the testbed has been moved or copied since."""


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
        kept = json.dumps({name: self._without_place(value) for name, value in details.items()})
        with self._transaction() as run:
            run("UPDATE faults SET details = ? WHERE number = ?", (kept, number))

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
        return [FaultRecord(row[0], row[1], row[2], self._with_place(json.loads(row[3])), *row[4:]) for row in rows]

    @functools.cached_property
    def _place(self) -> str:
        """The testbed's directory, without symbolic links; empty of a ledger that is in no file."""
        return os.path.dirname(os.path.realpath(path)) if (path := self._one("PRAGMA database_list")[2]) else ""

    def _without_place(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._without_place(item) for item in value]
        if not (self._place and isinstance(value, str) and value.startswith("/")):
            return value
        real = os.path.realpath(value)
        return _HERE + real.removeprefix(self._place) if real.startswith(f"{self._place}/") else value

    def _with_place(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._with_place(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._with_place(item) for item in value]
        is_below = isinstance(value, str) and value.startswith(_HERE)
        return self._place + value.removeprefix(_HERE) if is_below else value
