"""Steps: one action of one client while it is performed, and what is left to do about it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from snapstorm.errors import OperationTimedOut, TargetError
from snapstorm.model.actions import Action
from snapstorm.model.guarantees import Violation
from snapstorm.model.outcomes import Outcome


@dataclass(frozen=True)
class Failure:
    """An operation of a step that has failed."""

    operation: str
    error: TargetError
    began_seconds: float
    """On the run's clock."""


@dataclass(frozen=True)
class Choice:
    """What a recorded step chose, to be chosen again."""

    of: str | None
    """The operation that took the snapshot; None if it is not there any more."""
    part: str | None
    """The part of the snapshot, as text."""


@dataclass
class Step:
    """One action of one client, while it is performed."""

    client: str
    number: int
    action: Action[Any]
    draws: random.Random
    operation: str
    is_confirming: bool = False
    """It repeats, on an idle machine, an action that timed out: a time-out now counts against the target."""
    violations: list[Violation] = field(default_factory=list)
    last_failure: Failure | None = None
    redo: Redo | None = None
    """Does just this again, where the step's action would draw anew."""
    operations_begun: int = 0
    choice: Choice | None = None
    """What it acts on, where that was recorded and is not to be drawn."""
    is_own: bool = False
    """Snapstorm itself asks for it, to judge, and not a client's work."""
    is_past_server: bool = False
    """It restores straight from the repository."""

    def next_operation(self) -> str:
        """The id of the operation that this step begins next: the first has the step's name, later ones a number."""
        number = self.operations_begun
        return self.operation if number == 0 else f"{self.operation}.{number + 1}"

    @property
    def has_timed_out(self) -> bool:
        """Whether its last failure was that its time was up."""
        return self.last_failure is not None and isinstance(self.last_failure.error, OperationTimedOut)

    @property
    def kind(self) -> str:
        """What it asks of the target, whoever asks and for which snapshot: what hangs for one of a kind is taken to
        hang for all."""
        return kind_of(self.action, is_past_server=self.is_past_server)


Redo: TypeAlias = Callable[[Step], Awaitable[Outcome[Any]]]


def kind_of(action: Action[Any], *, is_past_server: bool = False) -> str:
    """The kind of what an action asks of the target, in words."""
    return f"{action.asks_for} past the server" if is_past_server else action.asks_for


@dataclass(frozen=True)
class Suspect:
    """An action that timed out, to be repeated when the machine is idle."""

    client: str
    action: Action[Any]
    redo: Redo
    kind: str


@dataclass(frozen=True)
class StepResult:
    """What became of one action, and what was found wrong on the way."""

    outcome: Outcome[Any]
    violations: tuple[Violation, ...]
