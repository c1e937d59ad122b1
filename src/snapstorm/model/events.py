"""Events: what a run tells those who watch it (progress, logs, reports). Data, not callbacks into the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from snapstorm.model.guarantees import Violation


@dataclass(frozen=True)
class PhaseBegan:
    """The run has come to a new part of its work; `name` reads well in a progress line: "adding 4 clients"."""

    name: str


@dataclass(frozen=True)
class ActionBegan:
    client: str
    key: str


@dataclass(frozen=True)
class ActionEnded:
    client: str
    key: str
    outcome: str
    """`ok`, `no_op`, `failed` or `unknown`."""
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class RestoreVerified:
    """A restored tree was compared and found equal."""

    client: str
    snapshot: str
    bytes_verified: int


@dataclass(frozen=True)
class ViolationFound:
    violation: Violation


@dataclass(frozen=True)
class SweepAdvanced:
    restored: int
    total: int


@dataclass(frozen=True)
class FaultBegan:
    """A fault is about to break something."""

    key: str


@dataclass(frozen=True)
class FaultEnded:
    """A fault has healed."""

    key: str
    outcome: str


@dataclass(frozen=True)
class Noted:
    """Something a reader should know that is no violation."""

    message: str
    is_warning: bool = True
    """False for what each run has, such as its seed."""


Event: TypeAlias = (
    PhaseBegan
    | ActionBegan
    | ActionEnded
    | RestoreVerified
    | ViolationFound
    | SweepAdvanced
    | FaultBegan
    | FaultEnded
    | Noted
)
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener for whom nobody watches."""
