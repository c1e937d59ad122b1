"""Deletions: of snapshots that are picked, or of those that retention ends."""

from __future__ import annotations

from typing import Any

from snapstorm.actions.creations import Creations
from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.picking import LiveSnapshots
from snapstorm.actions.possible import Refusals
from snapstorm.actions.step import Step
from snapstorm.errors import AccessDenied
from snapstorm.guarantees.checker import Checker
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.actions import DeleteRandomSnapshot, DeleteSnapshot, DeleteSnapshots, Expire
from snapstorm.model.expectations import IN_DOUBT, Expectation, State
from snapstorm.model.manifest import path_as_text
from snapstorm.model.outcomes import NoOp, Ok, Outcome
from snapstorm.model.protocols import FileWriter, Snapshotter


class Deletions:
    """The deletions of one run: asked for once, and held against what the client was found to be allowed."""

    def __init__(
        self,
        operations: Operations,
        checker: Checker,
        snapshotter: Snapshotter,
        refusals: Refusals,
        picked: LiveSnapshots,
        creations: Creations,
    ) -> None:
        self._operations = operations
        self._settings = checker.settings
        self._snapshotter = snapshotter
        self._refusals = refusals
        self._picked = picked
        self._creations = creations

    async def delete(self, step: Step, expectation: Expectation) -> Outcome[None]:
        """Delete a snapshot of the current client. Where somebody else decides what it may do, a refusal is asked for
        again: if it is refused twice, the right to delete was taken away, which is not judged."""
        step.redo = self._delete_another
        outcome = await self.ask(step, expectation)
        failure = step.last_failure
        if failure is None:
            return outcome
        if self._settings.are_set_by_others and isinstance(failure.error, AccessDenied):
            again = await self.ask(step, expectation)
            if step.last_failure is not None and isinstance(step.last_failure.error, AccessDenied):
                self._settings.count_unjudged(f"a deletion by {step.client} was refused: {failure.error}")
                self._refusals.forbid_deletions(step.client, "this client may not delete snapshots any more")
                return again
            step.last_failure = failure
        await self._operations.judge_failure(step)
        return outcome

    async def delete_named(self, step: Step, snapshot: str) -> Outcome[None]:
        """Delete the snapshot of this id, or the latest."""
        expectation = self._picked.named(step, snapshot)
        if expectation is None:
            return NoOp(f"there is no live snapshot {snapshot!r} of this client")
        return await self.delete(step, expectation)

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

    async def _delete_another(self, step: Step) -> Outcome[Any]:
        """Delete a snapshot taken for it: what was to be deleted when the deletion timed out may be gone by now."""
        taken = await self._creations.snapshot(step, b"")
        return await self.delete_named(step, taken.value.id) if isinstance(taken, Ok) else taken


@performs(DeleteSnapshot)
class DeleteSnapshotPerformer(Performer[None]):
    def __init__(self, deletions: Deletions) -> None:
        self._deletions = deletions

    async def perform(self, step: Step, action: DeleteSnapshot) -> Outcome[None]:
        return await self._deletions.delete_named(step, action.id)


@performs(DeleteRandomSnapshot)
class DeleteRandomSnapshotPerformer(Performer[None]):
    def __init__(self, deletions: Deletions, picked: LiveSnapshots) -> None:
        self._deletions = deletions
        self._picked = picked

    async def perform(self, step: Step, action: DeleteRandomSnapshot) -> Outcome[None]:
        expectation = self._picked.random(step)
        if expectation is None:
            return NoOp("there is no live snapshot")
        return await self._deletions.delete(step, expectation)


@performs(DeleteSnapshots)
class DeleteSnapshotsPerformer(Performer[None]):
    def __init__(self, deletions: Deletions, ledger: Ledger) -> None:
        self._deletions = deletions
        self._ledger = ledger

    def can_act(self, client: str, action: DeleteSnapshots) -> bool:
        return self._ledger.count_live(client) > action.keep_count

    async def perform(self, step: Step, action: DeleteSnapshots) -> Outcome[None]:
        live = self._ledger.expectations(step.client, {State.LIVE})
        excess = max(0, len(live) - action.keep_count)
        outcome: Outcome[None] = NoOp(f"there are not more than {action.keep_count} live snapshots")
        for expectation in live[:excess] if action.keep == "latest" else live[action.keep_count :]:
            outcome = await self._deletions.delete(step, expectation)
            if not isinstance(outcome, Ok):
                break
        return outcome


@performs(Expire)
class ExpirePerformer(Performer[None]):
    def __init__(self, operations: Operations, writer: FileWriter, snapshotter: Snapshotter, ledger: Ledger) -> None:
        self._operations = operations
        self._writer = writer
        self._snapshotter = snapshotter
        self._ledger = ledger

    def can_act(self, client: str, action: Expire) -> bool:
        return self._ledger.count_live(client, path_as_text(self._writer.data_directory)) > action.keep_latest

    async def perform(self, step: Step, action: Expire) -> Outcome[None]:
        source = self._writer.data_directory
        mine = self._ledger.expectations(step.client, {State.LIVE, *IN_DOUBT}, source=path_as_text(source))
        if any(expectation.state is not State.LIVE for expectation in mine):
            return NoOp("a snapshot of the data directory is in doubt, so retention could not be foreseen")
        doomed = [expectation.operation for expectation in mine[: -action.keep_latest]]
        if not doomed:
            return NoOp(f"there are not more than {action.keep_latest} snapshots of the data directory")
        outcome, _ = await self._operations.operate(
            step,
            lambda _: self._snapshotter.expire_snapshots(source, action.keep_latest),
            resolved={"deletes": doomed},
            deletes=doomed,
        )
        return outcome
