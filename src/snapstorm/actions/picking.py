"""Picking: which live snapshot a step acts on."""

from __future__ import annotations

from snapstorm.actions.step import Choice, Step
from snapstorm.ledger.ledger import Ledger
from snapstorm.model import actions
from snapstorm.model.expectations import Expectation, State


class LiveSnapshots:
    """Picks among the live snapshots of a client. A recorded step acts on the snapshot that it acted on before."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def random(self, step: Step) -> Expectation | None:
        """One that is drawn; None if there is none."""
        if step.choice is not None:
            return self._recorded(step, step.choice)
        count = self._ledger.count_live(step.client)
        return self._ledger.live_at(step.client, step.draws.randrange(count)) if count else None

    def named(self, step: Step, name: str) -> Expectation | None:
        """The one with this id, or the latest; None if it is not there."""
        if step.choice is not None:
            return self._recorded(step, step.choice)
        if name == actions.LATEST:
            count = self._ledger.count_live(step.client)
            return self._ledger.live_at(step.client, count - 1) if count else None
        found = self._ledger.expectation_of_snapshot(name)
        return found if found and found.client == step.client and found.state is State.LIVE else None

    def _recorded(self, step: Step, choice: Choice) -> Expectation | None:
        found = self._ledger.expectations_of_operations([choice.of or ""])
        is_there = bool(found) and found[0].client == step.client and found[0].state is State.LIVE
        return found[0] if is_there else None
