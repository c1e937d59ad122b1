"""Picking: which live snapshot a step acts on."""

from __future__ import annotations

from dataclasses import dataclass

from snapstorm.actions.step import Step
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.actions import LATEST
from snapstorm.model.expectations import Expectation, State
from snapstorm.model.outcomes import NoOp


@dataclass(frozen=True)
class LiveSnapshots:
    """Picks among the live snapshots of a client. A recorded step acts on the snapshot that it acted on before."""

    ledger: Ledger

    def pick(self, step: Step, name: str | None = None) -> Expectation | None:
        """The one with this id, or the latest, or without a name one that is drawn; None if it is not there."""
        if step.choice is not None:
            found = next(iter(self.ledger.expectations_of_operations([step.choice.of or ""])), None)
        elif name == LATEST:
            found = self.ledger.latest_live(step.client)
        elif name is None:
            count = self.ledger.count_live(step.client)
            found = self.ledger.live_at(step.client, step.draws.randrange(count)) if count else None
        else:
            found = self.ledger.expectation_of_snapshot(name)
        is_live = found is not None and found.client == step.client and found.state is State.LIVE
        return found if is_live else None


def none_picked(name: str | None = None) -> NoOp:
    """The outcome where the snapshot with this id, or any, is not there."""
    return NoOp("there is no live snapshot" if name is None else f"there is no live snapshot {name!r} of this client")
