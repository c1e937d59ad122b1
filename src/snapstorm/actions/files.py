"""File actions: on the client's own files, which must be as the client has left them."""

from __future__ import annotations

from dataclasses import dataclass

from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Step
from snapstorm.filesystem.tree_changes import TREE_CHANGES
from snapstorm.model.action_results import WriteReport
from snapstorm.model.actions import Action, FileAction
from snapstorm.model.outcomes import NoOp, Ok, Outcome
from snapstorm.model.protocols import FileWriter
from snapstorm.runtime.meter import Work
from snapstorm.testbed.context import RunContext


@performs(FileAction)
@dataclass(frozen=True)
class FileActionPerformer(Performer[WriteReport]):
    """Has the client's `FileWriter` carry out whatever is in `TREE_CHANGES`."""

    run: RunContext
    writer: FileWriter
    operations: Operations
    source: SourceWatch

    @classmethod
    def knows(cls, action: type[Action[WriteReport]]) -> bool:
        return action in TREE_CHANGES

    def can_act(self, client: str, action: FileAction) -> bool:
        return self.writer.can_apply(type(action))

    async def perform(self, step: Step, action: FileAction) -> Outcome[WriteReport]:
        if not self.can_act(step.client, action):
            return NoOp("there is nothing to act on")
        await self.source.check(step)
        result: Ok[WriteReport] | NoOp = NoOp("")

        async def write(_: str) -> object:
            nonlocal result
            with self.run.meter.busy[Work.WRITING]:
                result = await self.writer.apply(action, step.draws)
            return result

        await self.operations.operate(step, write, is_of_target=False)
        return result
