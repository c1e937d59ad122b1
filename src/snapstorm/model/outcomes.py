"""Outcomes: what became of an action. Doubt is a value of its own, never folded into success or failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeAlias, TypeVar

Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True)
class Ok(Generic[Value]):
    """It happened, and was acknowledged. `value` is what the action gives: a snapshot, a comparison, a report."""

    key: ClassVar[str] = "ok"
    """How this outcome is called in the JSON summary and in the ledger."""
    value: Value


@dataclass(frozen=True)
class NoOp:
    """There was nothing to act on, so nothing was asked of the target; or nothing new, and so it saved nothing."""

    key: ClassVar[str] = "no_op"
    reason: str


@dataclass(frozen=True)
class Locked:
    """The target refused it, each time it was asked, because of a lock on the repository: it did not happen."""

    key: ClassVar[str] = "locked"
    reason: str


@dataclass(frozen=True)
class Failed:
    """The target says that it did not happen."""

    key: ClassVar[str] = "failed"
    reason: str


@dataclass(frozen=True)
class Unknown:
    """It may or may not have happened: killed, timed out, or an answer that promises nothing."""

    key: ClassVar[str] = "unknown"
    reason: str


Outcome: TypeAlias = Ok[Value] | NoOp | Locked | Failed | Unknown

OUTCOME_KEYS = tuple(kind.key for kind in (Ok, NoOp, Locked, Failed, Unknown))
