"""Steps: one action of one client while it is performed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias

from snapstorm.errors import COUNTS_IF_REPEATED, RepositoryLocked, TargetError
from snapstorm.model.actions import Action, Result
from snapstorm.model.guarantees import Violation
from snapstorm.model.outcomes import Outcome
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.identity import OUR_HOST, acting_as, current_client

TIMED_OUT = "timed out"


@dataclass(frozen=True)
class Failure:
    """An operation of a step that has failed."""

    operation: str
    error: TargetError
    began_seconds: float
    """On the run's clock."""


@dataclass(frozen=True)
class Choice:
    """The choices of a recorded step, which a replay makes again."""

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
    is_own: bool = False
    """Snapstorm itself asks for it, to judge, and not a client's work."""
    is_confirming: bool = False
    """It repeats, on an idle machine, an action that timed out: a time-out now counts against the target."""
    choice: Choice | None = None
    """The recorded choices of a replayed step; None for a step that draws its own."""
    violations: list[Violation] = field(default_factory=list, init=False)
    last_failure: Failure | None = field(default=None, init=False)
    redo: Redo | None = field(default=None, init=False)
    """Does just this again, where the step's action would draw anew."""
    operations: list[str] = field(default_factory=list, init=False)
    """The operations that it has begun."""
    is_past_server: bool = field(default=False, init=False)
    """It restores straight from the repository."""

    def next_operation(self) -> str:
        """The id of the operation that this step begins next: the first has the step's name, later ones a number."""
        return f"{self.operation}.{len(self.operations) + 1}" if self.operations else self.operation

    @property
    def has_timed_out(self) -> bool:
        """Whether its last failure was that its time was up, or that it was locked out until then."""
        return self.last_failure is not None and isinstance(self.last_failure.error, COUNTS_IF_REPEATED)

    @property
    def why(self) -> str:
        """How its last operation failed, in words, if it `has_timed_out`."""
        is_lock = self.last_failure is not None and isinstance(self.last_failure.error, RepositoryLocked)
        return "was locked out" if is_lock else TIMED_OUT

    @property
    def kind(self) -> str:
        """The kind of request that it makes to the target. If one request of a kind hangs, all of that kind are taken
        to hang."""
        return kind_of(self.action, is_past_server=self.is_past_server)


Redo: TypeAlias = Callable[[Step], Awaitable[Outcome[Any]]]


def kind_of(action: Action[Any], *, is_past_server: bool = False) -> str:
    """The kind of what an action asks of the target, in words."""
    return f"{action.asks_for} past the server" if is_past_server else action.asks_for


@dataclass(frozen=True)
class StepResult(Generic[Result]):
    """The outcome of one action, and the violations that it has shown."""

    outcome: Outcome[Result]
    violations: tuple[Violation, ...]


class Steps:
    """The steps of one run: numbered for each client, each with a stream of draws of its own."""

    def __init__(self, run: RunContext, commands: CommandLog) -> None:
        self._run = run
        self._commands = commands
        self._counts = Counter[str]()
        self._own_beside = 0

    def next_number(self, client: str) -> int:
        """The number of this client's next step."""
        self._counts[client] += 1
        return self._counts[client]

    def next(self, action: Action[Any], number: int = 0, *, is_own: bool = False) -> Step:
        """The next step of the current client; `number`, if `next_number` has given it one already."""
        client = current_client()
        number = number or self.next_number(client)
        operation = f"r{self._run.number}-{client.removesuffix(OUR_HOST)}-{number}"
        return Step(client, number, action, self._run.stream(client, number), operation, is_own=is_own)

    @contextmanager
    def own(self, client: str, action: Action[Any], *, is_beside: bool = False) -> Iterator[Step]:
        """A step that this client does for snapstorm, to judge. `is_beside`: beside the client's own work, counted
        apart, so that it changes none of the client's draws; otherwise nothing else of the client may run."""
        with acting_as(client):
            step = self._beside(client, action) if is_beside else self.next(action, is_own=True)
            try:
                yield step
            finally:
                self.end(step)

    def _beside(self, client: str, action: Action[Any]) -> Step:
        self._own_beside += 1
        number = self._own_beside
        operation = f"r{self._run.number}-{client.removesuffix(OUR_HOST)}-probe-{number}"
        return Step(client, 0, action, self._run.stream("probe", number), operation, is_own=True)

    def end(self, step: Step) -> None:
        """The step is judged: the commands that it ran are evidence of nothing more."""
        for operation in step.operations:
            self._commands.by_operation.pop(operation, None)
