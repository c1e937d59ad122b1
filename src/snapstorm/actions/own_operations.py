"""Operations that snapstorm does as one of the clients in order to judge. They are not part of the client's work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anyio

from snapstorm.actions.creations import Creations
from snapstorm.actions.deletions import Deletions
from snapstorm.actions.inspections import Inspections
from snapstorm.actions.operations import Operations
from snapstorm.actions.restores import Restores
from snapstorm.actions.step import Failure, Step, Steps
from snapstorm.errors import AccessDenied, OperationPartial, TargetError
from snapstorm.filesystem.client_machine import Machines
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.actions import DeleteSnapshot, ListSnapshots, RestoreSnapshot, SnapshotRoot, VerifyRepository
from snapstorm.model.expectations import Expectation, State
from snapstorm.model.outcomes import Ok, Outcome
from snapstorm.model.protocols import Server


@dataclass(frozen=True)
class OwnOperations:
    """Snapstorm's own operations of one run."""

    ledger: Ledger
    server: Server
    steps: Steps
    operations: Operations
    creations: Creations
    restores: Restores
    deletions: Deletions
    inspections: Inspections
    machines: Machines

    async def reconcile(self, client: str) -> bool:
        """List as this client while nothing else of it runs, judge, and settle every doubt. Returns whether it
        could."""
        with self.steps.own(client, ListSnapshots()) as step:
            return isinstance(await self.inspections.list(step, is_quiescent=True), Ok)

    async def probe(self, client: str, operation: str) -> Failure | None:
        """Restore the snapshot that this operation has created, past the server and all caches, while its client goes
        on with something else. What comes of it is judged like any other restore. Returns how it failed, if it did."""
        found = self.ledger.expectations_of_operations([operation])
        if not found or found[0].state is not State.LIVE:
            return None
        with self.steps.own(client, RestoreSnapshot(id=found[0].snapshot or "?"), is_beside=True) as step:
            await self.restores.restore(step, found[0], through=self.server.auditor)
        return step.last_failure

    def tree_of_ours(self, client: str, name: str) -> Path:
        """Where a tree is that `try_to_snapshot` has snapshotted."""
        return self.machines.of(client).directory(client) / name

    async def try_to_snapshot(self, client: str, name: str, text: str) -> bool:
        """Have a client snapshot a tree of ours, which holds a file with this text, beside its own work. Whether it was
        acknowledged."""
        machine, tree = self.machines.of(client), self.tree_of_ours(client, name)
        try:
            manifest = await machine.make_tree(tree, text)
            with self.steps.own(client, SnapshotRoot(), is_beside=True) as step:
                return await self.creations.try_to_snapshot(step, tree, manifest)
        finally:
            with anyio.CancelScope(shield=True):
                await machine.remove_tree(tree)

    async def try_to_delete(self, client: str, expectation: Expectation) -> TargetError | None:
        """Have a client delete one of its snapshots beside its own work. The error of the target, if there was one:
        a refusal is for the caller to judge."""
        with self.steps.own(client, DeleteSnapshot(id=expectation.snapshot or "?"), is_beside=True) as step:
            await self.deletions.ask(step, expectation)
            failure = step.last_failure
            if failure is not None and not isinstance(failure.error, AccessDenied):
                await self.operations.judge_failure(step)
        return None if failure is None else failure.error

    async def check_by_target(self, client: str) -> str | None:
        """Run the target's own check as this client: its complaint, empty if it has none; None if it could not be run,
        which is judged."""
        with self.steps.own(client, VerifyRepository()) as step:
            return await self._complaint(step, await self.inspections.verify(step, is_judged_later=True))

    async def check_snapshot_by_target(self, client: str, operation: str) -> str | None:
        """The same of the snapshot that this operation has created, past the server and all caches, while its client
        goes on with something else. None also if the snapshot is not live, or its deletion began meanwhile."""
        auditor = self.server.auditor
        (found,) = self.ledger.expectations_of_operations([operation])
        if auditor is None or found.state is not State.LIVE:
            return None
        snapshot = found.snapshot or "?"
        with self.steps.own(client, VerifyRepository(), is_beside=True) as step:
            outcome, _ = await self.operations.operate(
                step, lambda _: auditor.verify_snapshot(snapshot), is_judged_later=True
            )
            if not self.restores.is_still_live(found):
                return None
            return await self._complaint(step, outcome)

    async def _complaint(self, step: Step, outcome: Outcome[None]) -> str | None:
        if isinstance(outcome, Ok):
            return ""
        if step.last_failure is not None and isinstance(step.last_failure.error, OperationPartial):
            return outcome.reason
        await self.operations.judge_failure(step)
        return None
