"""Deletions: of snapshots that are picked, or of those that retention ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snapstorm.actions.creations import Creations
from snapstorm.actions.inspections import Inspections
from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.picking import LiveSnapshots, none_picked
from snapstorm.actions.possible import Refusals
from snapstorm.actions.step import Step
from snapstorm.errors import AccessDenied, OperationUnknown
from snapstorm.faults.weather import Weather
from snapstorm.guarantees.checker import Checker
from snapstorm.ledger.ledger import IntendedEffect, Ledger
from snapstorm.model.actions import DeleteRandomSnapshot, DeleteSnapshot, DeleteSnapshots, Expire
from snapstorm.model.expectations import IN_DOUBT, Expectation, State
from snapstorm.model.manifest import path_as_text
from snapstorm.model.outcomes import NoOp, Ok, Outcome
from snapstorm.model.protocols import FileWriter, Snapshotter
from snapstorm.testbed.context import RunContext


@dataclass(frozen=True)
class Deletions:
    """The deletions of one run: asked for once, and held against what the client was found to be allowed."""

    operations: Operations
    checker: Checker
    snapshotter: Snapshotter
    refusals: Refusals
    picked: LiveSnapshots
    creations: Creations
    inspections: Inspections

    async def delete(self, step: Step, expectation: Expectation) -> Outcome[None]:
        """Delete a snapshot of the current client. Where somebody else decides what it may do, a refusal is asked for
        again: if it is refused twice, the right to delete was taken away, which is not judged."""
        step.redo = self._delete_another
        # Listed first: afterwards nobody could tell whether the target's retention had ended one that it must keep.
        if await self.inspections.is_unlisted(step, expectation):
            return NoOp("it is not listed")
        outcome = await self.ask(step, expectation)
        failure, settings = step.last_failure, self.checker.settings
        if failure is None:
            return outcome
        if settings.are_set_by_others and isinstance(failure.error, AccessDenied):
            again = await self.ask(step, expectation)
            if step.last_failure is not None and isinstance(step.last_failure.error, AccessDenied):
                settings.count_unjudged(f"a deletion by {step.client} was refused: {failure.error}")
                self.refusals.forbid_deletions(step.client, "this client may not delete snapshots any more")
                return again
            step.last_failure = failure
        await self.operations.judge_failure(step)
        return outcome

    async def delete_picked(self, step: Step, snapshot: str | None) -> Outcome[None]:
        """Delete the snapshot of this id, or the latest, or with None one that is drawn."""
        expectation = self.picked.pick(step, snapshot)
        return none_picked(snapshot) if expectation is None else await self.delete(step, expectation)

    async def ask(self, step: Step, expectation: Expectation) -> Outcome[None]:
        """Ask for a deletion once. A failure is left for the caller to judge, unless the target's retention may have
        ended the snapshot meanwhile."""
        snapshot, step.last_failure = expectation.snapshot or "", None
        resolved = {"snapshot": snapshot, "of": expectation.operation}
        outcome, _ = await self.operations.operate(
            step,
            lambda _: self.snapshotter.delete_snapshot(snapshot),
            IntendedEffect(resolved, deletes=[expectation.operation]),
            is_judged_later=True,
        )
        if step.last_failure is not None and self.inspections.may_expire(expectation):
            step.last_failure = None
            return NoOp("it may have expired while it was being deleted")
        return outcome

    async def _delete_another(self, step: Step) -> Outcome[Any]:
        """Delete a snapshot taken for it: what was to be deleted when the deletion timed out may be gone by now."""
        taken = await self.creations.snapshot(step, b"")
        return await self.delete_picked(step, taken.value.id) if isinstance(taken, Ok) else taken


@performs(DeleteSnapshot)
@performs(DeleteRandomSnapshot)
@dataclass(frozen=True)
class DeleteOnePerformer(Performer[None]):
    deletions: Deletions

    async def perform(self, step: Step, action: DeleteSnapshot | DeleteRandomSnapshot) -> Outcome[None]:
        return await self.deletions.delete_picked(step, action.id if isinstance(action, DeleteSnapshot) else None)


@performs(DeleteSnapshots)
@dataclass(frozen=True)
class DeleteSnapshotsPerformer(Performer[None]):
    deletions: Deletions
    ledger: Ledger

    def can_act(self, client: str, action: DeleteSnapshots) -> bool:
        return self.ledger.count_live(client) > action.keep_count

    async def perform(self, step: Step, action: DeleteSnapshots) -> Outcome[None]:
        live = self.ledger.expectations(step.client, {State.LIVE})
        excess = max(0, len(live) - action.keep_count)
        outcome: Outcome[None] = NoOp(f"there are not more than {action.keep_count} live snapshots")
        for expectation in live[:excess] if action.keep == "latest" else live[action.keep_count :]:
            outcome = await self.deletions.delete(step, expectation)
            if not isinstance(outcome, Ok):
                break
        return outcome


@performs(Expire)
@dataclass(frozen=True)
class ExpirePerformer(Performer[None]):
    run: RunContext
    weather: Weather
    operations: Operations
    writer: FileWriter
    snapshotter: Snapshotter
    ledger: Ledger

    def can_act(self, client: str, action: Expire) -> bool:
        return self.ledger.count_live(client, path_as_text(self.writer.data_directory)) > action.keep_latest

    async def perform(self, step: Step, action: Expire) -> Outcome[None]:
        source = self.writer.data_directory
        mine = self.ledger.expectations(step.client, {State.LIVE, *IN_DOUBT}, source=path_as_text(source))
        if any(expectation.state is not State.LIVE for expectation in mine):
            return NoOp("a snapshot of the data directory is in doubt, so retention could not be foreseen")
        if all(found.taken_us is not None for found in mine):  # Retention goes by that; a clock may have been wrong.
            mine.sort(key=lambda found: found.taken_us or 0)
        doomed = [expectation.operation for expectation in mine[: -action.keep_latest]]
        if not doomed:
            return NoOp(f"there are not more than {action.keep_latest} snapshots of the data directory")
        began_seconds = self.run.now_seconds()
        if self.weather.veil(began_seconds) is not None:
            return NoOp("storage does not show all that was done, so retention could not be foreseen")

        async def expire(_: str) -> None:
            await self.snapshotter.expire_snapshots(source, action.keep_latest)
            if self.weather.veil(began_seconds) is not None:
                raise OperationUnknown("storage did not show all that was done, so fewer snapshots may have gone")

        outcome, _ = await self.operations.operate(step, expire, IntendedEffect({"deletes": doomed}, deletes=doomed))
        return outcome
