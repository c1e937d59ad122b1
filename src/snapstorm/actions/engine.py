"""The engine: has each action of a client done by its performer, and tells those who watch.

It works for one plain `FileWriter` and `Snapshotter` in the standard test, and for the multi-client pair in the
multi-client test, where the current client travels in the context. The order of each operation is always the same:
its intent becomes durable, the target is asked, its outcome becomes durable, the checker judges (`actions.operations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from snapstorm.actions.choosing import Choosing
from snapstorm.actions.disk_space import DiskSpace
from snapstorm.actions.performer import Performers
from snapstorm.actions.possible import Refusals
from snapstorm.actions.step import Choice, Redo, Step, StepResult, Steps
from snapstorm.errors import MachineLost, NoSpaceError
from snapstorm.filesystem.client_machine import Machines
from snapstorm.model.actions import Action, FileAction, Result
from snapstorm.model.events import ActionBegan, ActionEnded
from snapstorm.model.outcomes import NoOp, Ok, Outcome, Unknown
from snapstorm.scenario.generator import Deck
from snapstorm.scenario.recording import RecordedStep, Recording
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.identity import acting_as, current_client


@dataclass(frozen=True)
class Engine:
    """Performs actions. One for each run; safe to use from many clients' tasks at once."""

    run: RunContext
    steps: Steps
    performers: Performers
    refusals: Refusals
    choosing: Choosing
    disk_space: DiskSpace
    machines: Machines

    async def execute(self, action: Action[Result]) -> Outcome[Result]:
        """Perform an action as the current client, and judge it. Violations are reported, not raised."""
        return (await self.perform(self.steps.next(action), action)).outcome

    async def execute_random(
        self,
        weights: Mapping[str, int],
        options: Mapping[str, Mapping[str, Any]] | None = None,
        deck: Deck | None = None,
    ) -> Outcome[Any]:
        """Perform a random action as the current client: of the deck, while that has one, then by weight, drawn from
        the client's own stream."""
        client = current_client()
        number = self.steps.next_number(client)
        action = self.choosing.choose(client, number, weights, options, deck)
        if action is None:
            return NoOp("every weight is zero")
        return (await self.perform(self.steps.next(action, number), action)).outcome

    async def execute_recorded(self, recorded: RecordedStep, recording: Recording, of: str | None) -> str:
        """Do a recorded step again as the current client, with its own draws; `of` is the operation of this run that
        took the snapshot it acts on. Returns the operation that it was."""
        step = self.steps.next(recorded.make())
        draws = recording.draws_of(recorded, step.client, step.number)
        step = replace(step, draws=draws, choice=Choice(of, recorded.part) if recorded.of is not None else None)
        await self.perform(step, step.action)
        return step.operation

    async def repeat(self, suspect: Step) -> Outcome[Any]:
        """Do a step again, on a machine that is otherwise idle, that has timed out. A time-out now counts."""
        with acting_as(suspect.client):
            step = replace(self.steps.next(suspect.action, is_own=True), is_confirming=True)
            return (await self.perform(step, suspect.action, suspect.redo)).outcome

    def deal(self, weights: Mapping[str, int], place: int, clients: int) -> Deck:
        """The deck of first actions, for `execute_random`, of the client at `place` among `clients`."""
        return self.choosing.deal(weights, place, clients)

    def can_act(self, action: Action[Any]) -> bool:
        """Whether this action, done by the current client now, could be more than a no-op."""
        return self.performers.can_act(current_client(), action)

    def asks_target(self, action: Action[Any], client: str) -> bool:
        """Whether this action, done by this client now, may ask the target for something. Otherwise it changes the
        client's own files at most, and does not need the client to be connected."""
        if isinstance(action, FileAction):
            return False
        return not action.needs_snapshot or self.run.ledger.count_live(client) > 0

    async def perform(self, step: Step, action: Action[Result], redo: Redo | None = None) -> StepResult[Result]:
        """Perform a step by its action, or by `redo`, and tell which violations that has shown."""
        run = self.run
        await self.machines.ready(step.client)
        run.emit(ActionBegan(step.client, action.key))
        began_seconds = run.now_seconds()
        outcome: Outcome[Result] = Unknown("cut off")
        try:
            if redo is not None:
                outcome = await redo(step)
            elif why := self.refusals.why(step.client, action):
                outcome = NoOp(why)
            else:
                outcome = await self.performers.by_action[type(action)].perform(step, action)
        except NoSpaceError as error:
            outcome = await self.disk_space.free(step, error)
        except MachineLost as error:  # What was asked for is in the ledger; else only the client's own files changed.
            outcome = Unknown(str(error))
        finally:
            run.tally.actions[action.key][outcome.key] += 1
            reason = "" if isinstance(outcome, Ok) else outcome.reason
            run.emit(ActionEnded(step.client, action.key, outcome.key, run.now_seconds() - began_seconds, reason))
            self.steps.end(step)
        return StepResult(outcome, tuple(step.violations))
