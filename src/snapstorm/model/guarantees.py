"""Guarantees: one sentence each that must always hold. Breaking one is a violation.

The ids are stable: they stand in reports, in the ledger and in other people's scripts. `docs/guarantees.md` says how
each one is judged. Those that need faults or long observation are judged by later parts of the system; the table
`JUDGED` says which ones a plain run judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Guarantee(StrEnum):
    """The stable ids, each with the one sentence it promises."""

    sentence: str

    def __new__(cls, identity: str, sentence: str = "") -> Self:
        """A member is its id; the sentence is beside it."""
        member = str.__new__(cls, identity)
        member._value_ = identity
        member.sentence = sentence
        return member

    RESTORED_EXACTLY = (
        "restored-exactly",
        "A restore of an acknowledged snapshot equals its manifest, entry for entry.",
    )
    ACKNOWLEDGED_STAYS_LISTED = (
        "acknowledged-stays-listed",
        "An acknowledged snapshot stays listed until its deletion is asked for.",
    )
    DELETED_STAYS_GONE = "deleted-stays-gone", "After an acknowledged deletion a snapshot is listed no more."
    IN_DOUBT_ABSENT_OR_EXACT = (
        "in-doubt-absent-or-exact",
        "A snapshot whose creation was cut off is either not listed as complete, or exact.",
    )
    NOTHING_UNREQUESTED = "nothing-unrequested", "The listing shows no snapshot that no client asked for."
    CLIENTS_ISOLATED = (
        "clients-isolated",
        "A client lists only what its permissions allow; a removed client, or a wrong password, gets in nowhere.",
    )
    DAMAGE_IS_DETECTED = (
        "damage-is-detected",
        "After storage was damaged on purpose, wrong bytes never come with success.",
    )
    PARTIAL_IS_REPORTED = (
        "partial-is-reported",
        "An operation that left something out says so in its exit status or its result.",
    )
    RECOVERS = (
        "recovers",
        "Once every fault has healed, each client completes a snapshot and a restore within a bound.",
    )
    VERIFY_AGREES = "verify-agrees", "The target's own check and our restores tell the same story."
    NO_LEAK = (
        "no-leak",
        "Open files, memory, temporary files, and storage after delete-all and collection stay bounded.",
    )
    SOURCE_UNTOUCHED = "source-untouched", "What a client has is changed by nobody but the client."
    LAYOUT_IS_SOUND = "layout-is-sound", "What is stored follows the rules of the target's own layout."
    AVAILABLE = "available", "Without a fault active, no operation fails or hangs."


JUDGED = frozenset(
    {
        Guarantee.RESTORED_EXACTLY,
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        Guarantee.DELETED_STAYS_GONE,
        Guarantee.IN_DOUBT_ABSENT_OR_EXACT,
        Guarantee.NOTHING_UNREQUESTED,
        Guarantee.CLIENTS_ISOLATED,
        Guarantee.PARTIAL_IS_REPORTED,
        Guarantee.NO_LEAK,
        Guarantee.SOURCE_UNTOUCHED,
        Guarantee.LAYOUT_IS_SOUND,
        Guarantee.AVAILABLE,
    }
)
"""What every run judges."""


@dataclass(frozen=True)
class Violation:
    """A guarantee that did not hold, with all that is needed to find out why."""

    guarantee: Guarantee
    detail: str
    """One or a few lines in words: what was promised and what was seen."""
    client: str | None = None
    snapshot: str | None = None
    path: str | None = None
    """The first entry concerned, for people (control characters escaped)."""
    evidence: str | None = None
    """The directory that holds what was kept."""
    operation: str | None = None
