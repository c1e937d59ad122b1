"""Guarantees by their ids, and what is said when one does not hold.

The ids are stable: they stand in reports, in the ledger and in other people's scripts. What each promises, and how it
is judged, stands in a file of its own (`guarantees/builtin`). Only an id that other code uses needs a name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Guarantee(StrEnum):
    """The id of a guarantee: one that has a name here, or `Guarantee("any-other")`, of a third party's."""

    RESTORED_EXACTLY = "restored-exactly"
    ACKNOWLEDGED_STAYS_LISTED = "acknowledged-stays-listed"
    DELETED_STAYS_GONE = "deleted-stays-gone"
    KEPT_AS_PROMISED = "kept-as-promised"
    IN_DOUBT_ABSENT_OR_EXACT = "in-doubt-absent-or-exact"
    NOTHING_UNREQUESTED = "nothing-unrequested"
    CLIENTS_ISOLATED = "clients-isolated"
    DAMAGE_IS_DETECTED = "damage-is-detected"
    PARTIAL_IS_REPORTED = "partial-is-reported"
    RECOVERS = "recovers"
    VERIFY_AGREES = "verify-agrees"
    NO_LEAK = "no-leak"
    SOURCE_UNTOUCHED = "source-untouched"
    LAYOUT_IS_SOUND = "layout-is-sound"
    AVAILABLE = "available"

    @classmethod
    def _missing_(cls, value: object) -> Guarantee | None:
        """The same object each time for the same id."""
        if not isinstance(value, str):
            return None
        if value not in _WITHOUT_NAME:
            other = _WITHOUT_NAME[value] = str.__new__(cls, value)
            other._name_ = other._value_ = value
        return _WITHOUT_NAME[value]


_WITHOUT_NAME: dict[str, Guarantee] = {}


OVERSTAYED = "overstayed"
"""The fingerprint of a snapshot that is there though the target's retention had to end it: it is not lost, and whoever
has accepted its loss has not accepted that."""


@dataclass(frozen=True)
class Finding:
    """What shows that a guarantee does not hold."""

    detail: str
    """One or a few lines in words: what was promised and what was seen."""
    snapshot: str | None = None
    expectation: str | None = None
    """The operation that asked for the snapshot that it is about."""
    client: str | None = None
    """If it is not the one that has seen it."""
    path: str | None = None
    """The first entry concerned, for people (control characters escaped)."""
    fingerprint: str = ""
    """Tells what exactly is wrong from other things that could be, for those who accept it as known."""
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Files of the evidence, by name."""


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
