"""Findings: verifications and violations."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

from snapstorm.ledger.record import Record
from snapstorm.ledger.transactions import LedgerBase
from snapstorm.model.guarantees import OVERSTAYED, Guarantee, Violation


@dataclass(frozen=True)
class RecordedViolation:
    """A violation as the ledger has it."""

    number: int
    """`accept` takes this number."""
    violation: Violation
    expectation: str | None
    """The operation that created the snapshot concerned."""
    fingerprint: str
    """Identifies what exactly was wrong."""
    accepted_reason: str | None


class Verification(NamedTuple):
    """A restore of a snapshot that was compared, as the ledger's columns have it."""

    expectation: str
    run: int
    operation: str | None
    is_whole: bool
    is_equal: bool
    is_narrowed: bool
    bytes: int
    at_utc: str
    target_versions: str
    through: str
    """How it was restored: `client` or `auditor`."""


_LOSSES = (
    Guarantee.ACKNOWLEDGED_STAYS_LISTED,
    Guarantee.IN_DOUBT_ABSENT_OR_EXACT,
    Guarantee.KEPT_AS_PROMISED,
    Guarantee.RESTORED_EXACTLY,
)
"""What is broken where a snapshot is not there any more, or not as it was."""
_COLUMNS = Verification._fields
_INSERT_VERIFICATION = f"INSERT INTO verifications ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


class Findings(LedgerBase):
    """The part of the ledger that holds findings."""

    @functools.cached_property
    def record(self) -> Record:
        """What was done, operation by operation."""
        return Record(self._connection)

    def add_verification(self, verification: Verification) -> None:
        """Record that a snapshot was restored and compared."""
        with self._transaction() as run:
            cursor = run(_INSERT_VERIFICATION, verification)
            if verification.is_whole and verification.is_equal:
                proven = (cursor.lastrowid, verification.expectation)
                run("UPDATE expectations SET last_verification = ? WHERE operation = ?", proven)

    def verifications_count(self) -> int:
        """How many verifications there are. Later ones have greater numbers."""
        return int(self._one("SELECT coalesce(max(number), 0) FROM verifications")[0])

    def is_verified(self, expectation: str, run_number: int, after: int = 0) -> bool:
        """Whether this run has restored the whole snapshot after the verification `after`, and found it equal."""
        row = self._connection.execute(
            "SELECT 1 FROM verifications WHERE expectation = ? AND run = ? AND is_whole AND is_equal AND number > ?",
            (expectation, run_number, after),
        ).fetchone()
        return row is not None

    def add_violation(
        self,
        run_number: int,
        violation: Violation,
        expectation: str | None,
        fingerprint: str,
        at_seconds: float | None = None,
    ) -> int:
        """Record a violation and return its number, which `accept` takes. `fingerprint` identifies what exactly was
        wrong, so that accepting it accepts nothing else. `at_seconds` is when it was found, on the clock of its run."""
        with self._transaction() as run:
            cursor = run(
                "INSERT INTO violations (run, guarantee, client, snapshot, expectation, operation, path, detail,"
                " evidence, fingerprint, at_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run_number,
                    violation.guarantee,
                    violation.client,
                    violation.snapshot,
                    expectation,
                    violation.operation,
                    violation.path,
                    violation.detail,
                    violation.evidence,
                    fingerprint,
                    at_seconds,
                ),
            )
        assert cursor.lastrowid is not None
        return int(cursor.lastrowid)

    def is_accepted(
        self, guarantee: Guarantee, expectation: str | None, snapshot: str | None, fingerprint: str
    ) -> bool:
        """Whether a user has accepted exactly this loss, which is now seen again."""
        if expectation is None and snapshot is None:
            return False
        row = self._connection.execute(
            "SELECT 1 FROM violations WHERE guarantee = ? AND expectation IS ? AND snapshot IS ?"
            " AND fingerprint = ? AND accepted_reason IS NOT NULL",
            (guarantee, expectation, snapshot, fingerprint),
        ).fetchone()
        return row is not None

    def accept(self, number: int, reason: str) -> bool:
        """Mark a violation as known from now on. False if there is none with that number."""
        with self._transaction() as run:
            cursor = run("UPDATE violations SET accepted_reason = ? WHERE number = ?", (reason, number))
        return bool(cursor.rowcount == 1)

    def accepted_losses(self) -> frozenset[str]:
        """The snapshots of which it is known that they are lost, by the operations that asked for them."""
        rows = self._connection.execute(
            "SELECT expectation FROM violations WHERE accepted_reason IS NOT NULL AND expectation IS NOT NULL"
            f" AND guarantee IN ({', '.join('?' * len(_LOSSES))}) AND fingerprint != ?",
            (*_LOSSES, OVERSTAYED),
        )
        return frozenset(operation for (operation,) in rows)

    def recorded_violations(self, run_number: int) -> list[RecordedViolation]:
        """What a run has found, in order."""
        rows = self._connection.execute(
            "SELECT number, guarantee, detail, client, snapshot, path, evidence, operation, expectation,"
            " fingerprint, accepted_reason FROM violations WHERE run = ? ORDER BY number",
            (run_number,),
        )
        return [RecordedViolation(row[0], Violation(Guarantee(row[1]), *row[2:8]), *row[8:11]) for row in rows]

    def violations(self) -> list[tuple[int, int, Violation, str | None]]:
        """All violations ever found: (number, run, violation, why it was accepted if it was)."""
        rows = self._connection.execute(
            "SELECT number, run, guarantee, detail, client, snapshot, path, evidence, operation, accepted_reason"
            " FROM violations ORDER BY number"
        )
        return [(row[0], row[1], Violation(Guarantee(row[2]), *row[3:9]), row[9]) for row in rows]
