"""Performers: what performs an action, and says whether that is possible now. One class for each action.

A performer registers itself where it is defined, and names in its constructor the parts of the run that it uses:

    @performs(VerifyRepository)
    @dataclass(frozen=True)
    class VerifyRepositoryPerformer(Performer[None]):
        inspections: Inspections

        async def perform(self, step: Step, action: VerifyRepository) -> Outcome[None]:
            return await self.inspections.verify(step)

`snapstorm.actions.parts.Parts` has what a constructor can name.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic

from snapstorm.actions.possible import Refusals
from snapstorm.actions.step import Step
from snapstorm.errors import HarnessError
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.actions import ACTIONS, Action, Result
from snapstorm.model.outcomes import Outcome


class Performer(ABC, Generic[Result]):
    """Performs one action, or all of a family that has no closer performer."""

    @classmethod
    def knows(cls, action: type[Action[Any]]) -> bool:
        """Whether it performs this action of those for which it is registered."""
        return True

    def can_act(self, client: str, action: Any) -> bool:
        """Whether the action, done by this client now, could be more than a no-op. Asked only of a client that has what
        the action's traits say that it needs."""
        return True

    @abstractmethod
    async def perform(self, step: Step, action: Any) -> Outcome[Result]:
        """Perform the action as the current client, and have judged what it shows."""


_PERFORMERS: dict[type[Action[Any]], type[Performer[Any]]] = {}


def performs(action: type[Action[Result]]) -> Callable[[type[Performer[Result]]], type[Performer[Result]]]:
    """Registers a class as what performs an action, or a family of them."""

    def register(performer: type[Performer[Result]]) -> type[Performer[Result]]:
        _PERFORMERS[action] = performer
        return performer

    return register


def performer_of(action: type[Action[Any]]) -> type[Performer[Any]]:
    """The performer of an action: the one of its own class, or of the closest base that has one. Raises
    HarnessError if there is none."""
    for base in action.__mro__:
        performer = _PERFORMERS.get(base)
        if performer is not None and performer.knows(action):
            return performer
    raise HarnessError(f"nothing performs the action {action.key}: {action.__module__}.{action.__name__}")


class Performers:
    """The performers of one run."""

    def __init__(self, parts: object, refusals: Refusals, ledger: Ledger) -> None:
        """`parts` has, by name, what performers ask for. Raises HarnessError for an action that nothing performs."""
        self._refusals = refusals
        self._ledger = ledger
        kinds = {action: performer_of(action) for action in ACTIONS.values()}
        made = {kind: _make(kind, parts) for kind in dict.fromkeys(kinds.values())}
        self.by_action = {action: made[kind] for action, kind in kinds.items()}

    def can_act(self, client: str, action: Action[Any]) -> bool:
        """Whether this action, done by this client now, could be more than a no-op."""
        if self._refusals.why(client, action) or (action.needs_snapshot and not self._ledger.count_live(client)):
            return False
        return self.by_action[type(action)].can_act(client, action)


def _make(performer: type[Performer[Any]], parts: object) -> Performer[Any]:
    names = inspect.signature(performer).parameters
    unknown = [name for name in names if not hasattr(parts, name)]
    if unknown:
        raise HarnessError(f"{performer.__name__} asks for parts that there are not: {', '.join(unknown)}")
    return performer(**{name: getattr(parts, name) for name in names})
