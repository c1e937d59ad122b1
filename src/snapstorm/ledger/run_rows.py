"""Rows of single runs, for reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from snapstorm.ledger.compaction import DROPPED_OPERATIONS
from snapstorm.ledger.transactions import LedgerBase


class OperationRow(NamedTuple):
    """One operation, as it was recorded."""

    id: str
    client: str
    step: int
    action: str
    outcome: str | None
    """None if it has not ended."""
    reason: str
    began_seconds: float
    """From the beginning of the run."""
    seconds: float | None
    options: str
    """As JSON, like `resolved`, which holds the choices that were left open and then drawn."""
    resolved: str
    is_own: bool
    """Requested by snapstorm itself, not as a step of a client."""


class RanCommand(NamedTuple):
    """A command that ran for an operation."""

    operation: str
    argv: str
    """As JSON. Holds no secret."""
    seconds: float
    exit_code: int | None
    timed_out: bool


class Verified(NamedTuple):
    """Sums over the restores of a run."""

    restores: int
    """Restores that were equal to what was written."""
    bytes_verified: int


class ViolationRow(NamedTuple):
    """One violation of a run."""

    number: int
    guarantee: str
    client: str | None
    snapshot: str | None
    operation: str | None
    path: str | None
    detail: str
    evidence: str | None
    accepted_reason: str | None
    at_seconds: float | None
    """From the beginning of the run; None in ledgers written by older versions."""


class RunRows(LedgerBase):
    """The part of the ledger that describes single runs."""

    def operations_of(self, run_number: int) -> list[OperationRow]:
        """All operations of a run, in the order in which they began."""
        rows = self._connection.execute(
            "SELECT id, client, step, action, outcome, reason, began_seconds, seconds, options, resolved, is_own"
            " FROM operations WHERE run = ? ORDER BY began_tick",
            (run_number,),
        )
        return [OperationRow(*row) for row in rows]

    def dropped_operations_of(self, run_number: int) -> int:
        """How many operations of a run were dropped by compactions."""
        return int(self.fact(f"{DROPPED_OPERATIONS}{run_number}") or 0)

    def durations_of(self, run_number: int, actions: Sequence[str]) -> list[float]:
        """The durations of the operations of these kinds that did something, in ascending order of seconds."""
        rows = self._connection.execute(
            "SELECT seconds FROM operations WHERE run = ? AND seconds IS NOT NULL AND outcome != 'no_op'"
            f" AND action IN ({', '.join('?' * len(actions))}) ORDER BY seconds",
            (run_number, *actions),
        )
        return [row[0] for row in rows]

    def commands_of(self, run_number: int) -> list[RanCommand]:
        """The commands that ran for operations of a run, in order."""
        rows = self._connection.execute(
            "SELECT operation, argv, seconds, exit_code, timed_out FROM commands"
            " WHERE run = ? AND operation IS NOT NULL ORDER BY number",
            (run_number,),
        )
        return [RanCommand(*row) for row in rows]

    def verified_by(self, run_number: int) -> Verified:
        """What a run has verified so far."""
        row = self._one(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM verifications WHERE run = ? AND is_equal", (run_number,)
        )
        return Verified(*row)

    def violations_of(self, run_number: int) -> list[ViolationRow]:
        """The violations of a run, in order."""
        rows = self._connection.execute(
            "SELECT number, guarantee, client, snapshot, operation, path, detail, evidence, accepted_reason, at_seconds"
            " FROM violations WHERE run = ? ORDER BY number",
            (run_number,),
        )
        return [ViolationRow(*row) for row in rows]

    def latest_seconds(self, run_number: int) -> float:
        """The last recorded time of a run; for a killed run, how far it came."""
        row = self._one(
            "SELECT coalesce(max(moment), 0) FROM ("
            " SELECT max(began_seconds + coalesce(seconds, 0)) AS moment FROM operations WHERE run = ?1"
            " UNION ALL SELECT max(at_seconds) FROM samples WHERE run = ?1"
            " UNION ALL SELECT max(coalesce(ended_seconds, began_seconds)) FROM faults WHERE run = ?1)",
            (run_number,),
        )
        return float(row[0])
