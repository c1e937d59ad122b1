"""Outcomes: what became of an action. Doubt is a value of its own, never folded into success or failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True)
class Ok(Generic[Value]):
    """It happened, and was acknowledged. `value` is what the action gives: a snapshot, a comparison, a report."""

    value: Value


@dataclass(frozen=True)
class NoOp:
    """There was nothing to act on, so nothing was asked of the target; or nothing new, and so it saved nothing."""

    reason: str


@dataclass(frozen=True)
class Locked:
    """The target refused it, each time it was asked, because of a lock on the repository: it did not happen."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """The target says that it did not happen."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """It may or may not have happened: killed, timed out, or an answer that promises nothing."""

    reason: str


Outcome: TypeAlias = Ok[Value] | NoOp | Locked | Failed | Unknown

OUTCOME_KEYS: dict[type[object], str] = {
    Ok: "ok",
    NoOp: "no_op",
    Locked: "locked",
    Failed: "failed",
    Unknown: "unknown",
}
"""How outcomes are called in the JSON summary and in the ledger."""


def outcome_key(outcome: Outcome[object]) -> str:
    """The outcome's name in the JSON summary and in the ledger."""
    return OUTCOME_KEYS[type(outcome)]
