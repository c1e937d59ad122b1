"""Events: what a run tells those who watch it (progress, logs, reports). Data, not callbacks into the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from snapstorm.model.guarantees import Violation


@dataclass(frozen=True)
class RunBegan:
    """A run stands in the ledger. From now on it can be read there, as far as it has come."""

    testbed: Path
    run: int
    seed: int
    target: str
    """With its versions."""


@dataclass(frozen=True)
class RunEnded:
    """The run's verdict is decided; its processes may still be ending."""

    verdict: str
    reason: str


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
class DaysLived:
    """A round of a scenario in virtual time has ended."""

    days: float
    """How many virtual days its rounds have taken so far."""
    of_days: float
    """How many they are going to take in all."""


@dataclass(frozen=True)
class Measured:
    """What a process or a directory holds was looked at."""

    quantity: str
    """As in the ledger: `server-memory-bytes`."""
    value: float


@dataclass(frozen=True)
class Noted:
    """Something a reader should know that is no violation."""

    message: str
    is_warning: bool = True
    """False for what each run has, such as its seed."""


Event: TypeAlias = (
    RunBegan
    | RunEnded
    | PhaseBegan
    | ActionBegan
    | ActionEnded
    | RestoreVerified
    | ViolationFound
    | SweepAdvanced
    | FaultBegan
    | FaultEnded
    | DaysLived
    | Measured
    | Noted
)
Listener: TypeAlias = Callable[[Event], None]


def both(one: Listener, other: Listener) -> Listener:
    """A listener that tells two."""

    def tell(event: Event) -> None:
        one(event)
        other(event)

    return tell


def ignore(event: Event) -> None:
    """The listener for whom nobody watches."""
