"""Deletions: asked for once, and held against what the client was found to be allowed."""

from __future__ import annotations

from snapstorm.actions.operations import Operations
from snapstorm.actions.possible import DELETIONS, Refusals
from snapstorm.actions.step import Step
from snapstorm.errors import AccessDenied
from snapstorm.guarantees.checker import Checker
from snapstorm.model.expectations import Expectation
from snapstorm.model.outcomes import Outcome
from snapstorm.model.protocols import Snapshotter


class Deletions:
    """The deletions of one run."""

    def __init__(self, operations: Operations, checker: Checker, snapshotter: Snapshotter, refusals: Refusals) -> None:
        self._operations = operations
        self._settings = checker.settings
        self._snapshotter = snapshotter
        self._refusals = refusals

    async def delete(self, step: Step, expectation: Expectation) -> Outcome[None]:
        """Delete a snapshot of the current client. Where somebody else decides what it may do, a refusal is asked for
        again: if it is refused twice, the right to delete was taken away, which is not judged."""
        outcome = await self.ask(step, expectation)
        failure = step.last_failure
        if failure is None:
            return outcome
        if self._settings.are_set_by_others and isinstance(failure.error, AccessDenied):
            again = await self.ask(step, expectation)
            if step.last_failure is not None and isinstance(step.last_failure.error, AccessDenied):
                self._settings.count_unjudged(f"a deletion by {step.client} was refused: {failure.error}")
                self._refusals.add(step.client, DELETIONS, "this client may not delete snapshots any more")
                return again
            step.last_failure = failure
        await self._operations.judge_failure(step)
        return outcome

    async def ask(self, step: Step, expectation: Expectation) -> Outcome[None]:
        """Ask for a deletion once. A failure is left for the caller to judge."""
        snapshot, step.last_failure = expectation.snapshot or "", None
        outcome, _ = await self._operations.operate(
            step,
            lambda _: self._snapshotter.delete_snapshot(snapshot),
            resolved={"snapshot": snapshot, "of": expectation.operation},
            deletes=[expectation.operation],
            is_judged_later=True,
        )
        return outcome
