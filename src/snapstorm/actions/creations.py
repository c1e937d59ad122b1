"""Creations: a tree is scanned, snapshotted, and what the target says of the snapshot is judged."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snapstorm.actions.inspections import Inspections
from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.quota import Quota
from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Step
from snapstorm.errors import OperationUnknown
from snapstorm.faults.weather import Weather
from snapstorm.guarantees.checker import Checker
from snapstorm.ledger.ledger import AskedSnapshot, IntendedEffect, Ledger
from snapstorm.model.action_results import SnapshotReceipt, TakenSnapshot
from snapstorm.model.actions import DeleteFiles, DeleteRandomSubdirectory, SnapshotRoot, SnapshotSubpath
from snapstorm.model.dating import CLOCK_TOLERANCE_US
from snapstorm.model.expectations import IN_DOUBT, State
from snapstorm.model.expiry import TakingSpan
from snapstorm.model.manifest import Manifest, as_text, path_as_text
from snapstorm.model.outcomes import NoOp, Ok, Outcome
from snapstorm.model.protocols import FileWriter, Snapshotter
from snapstorm.runtime.meter import Work
from snapstorm.testbed.context import RunContext


@dataclass(frozen=True)
class Creations:
    """The creations of one run."""

    run: RunContext
    weather: Weather
    writer: FileWriter
    snapshotter: Snapshotter
    checker: Checker
    quota: Quota
    source: SourceWatch
    operations: Operations
    inspections: Inspections
    promised: str
    """The capabilities under which snapshots are compared, as JSON."""
    operation_seconds_max: float

    async def snapshot(self, step: Step, directory: bytes) -> Outcome[TakenSnapshot]:
        """Snapshot a directory of the current client's files, which is given relative to the root of them."""
        run, checker = self.run, self.checker
        with run.meter.busy[Work.SCANNING]:
            manifest = await self.source.scan(step)
        if directory:
            manifest = manifest.below(directory)
        path = self.writer.data_directory / os.fsdecode(directory)
        if checker.settings.are_set_by_others:
            manifest = await checker.settings.kept_of(step.client, path, manifest)
        began_seconds = run.now_seconds()
        async with self.quota.reserved(manifest.counts.size_bytes) as fits:
            if not fits:
                return NoOp("the repository is at its limit")
            if not await self._settle_doubts(step, path):
                return NoOp("another snapshot of it is in doubt, so retention could not be foreseen")
            if self._is_misled(began_seconds):
                return NoOp("storage does not show all that was done, so retention could not be foreseen")
            resolved = {"source": as_text(directory), "manifest": manifest.digest}
            outcome, operation = await self._ask(step, path, manifest, resolved)
        if isinstance(outcome, NoOp):
            settle, where = functools.partial(self.inspections.list, step, is_quiescent=True), path_as_text(path)
            step.violations += await checker.judge_unsaved(manifest, where, settle, step.client, operation)
        if not isinstance(outcome, Ok):
            return outcome
        damage = self.weather.damage(began_seconds)
        if damage is not None:
            run.ledger.taint(operation, damage.number)
        run.tally.snapshots_acknowledged += 1
        step.violations += await checker.judge_receipt(
            outcome.value, manifest, client=step.client, operation=operation, began_seconds=began_seconds
        )
        return Ok(TakenSnapshot(outcome.value.id, manifest))

    async def try_to_snapshot(self, step: Step, tree: Path, manifest: Manifest) -> bool:
        """Snapshot a tree of ours as the current client. Returns whether it was acknowledged."""
        kept = await self.checker.settings.kept_of(step.client, tree, manifest)
        outcome, _ = await self._ask(step, tree, kept, {})
        return isinstance(outcome, Ok)

    async def _ask(
        self, step: Step, path: Path, manifest: Manifest, resolved: Mapping[str, str]
    ) -> tuple[Outcome[SnapshotReceipt], str]:
        asked = AskedSnapshot(path_as_text(path), self.promised, manifest)
        began_seconds = self.run.now_seconds()

        async def create(operation: str) -> SnapshotReceipt:
            receipt = await self.snapshotter.create_snapshot(path, operation)
            if self._is_misled(began_seconds):
                raise OperationUnknown("storage did not show all that was done, so others may have expired, or not")
            return receipt

        outcome, operation = await self.operations.operate(
            step,
            create,
            IntendedEffect(resolved, creates=asked, taking=self._taking(step)),
        )
        if self.run.ledger.expiries.retention is not None:
            self.run.tally.snapshots_expired += self.run.ledger.expiries.ended_by(operation)
        return outcome, operation

    def _is_misled(self, since_seconds: float) -> bool:
        """Whether the target's retention, if it has one, may have seen less since then than there is."""
        return self.run.ledger.expiries.retention is not None and self.weather.veil(since_seconds) is not None

    async def _settle_doubts(self, step: Step, path: Path) -> bool:
        """List first where a snapshot of this source is in doubt: what is kept of the others depends on it. Returns
        whether it is known of each snapshot of the source when it was taken, if it was."""
        ledger, source = self.run.ledger, path_as_text(path)
        if not ledger.expiries.retention or not ledger.expectations(step.client, IN_DOUBT, source=source):
            return True
        await self.inspections.list(step, is_quiescent=True)
        return not ledger.expectations(step.client, {State.CREATION_IN_DOUBT}, source=source)

    def _taking(self, step: Step) -> TakingSpan | None:
        """When a snapshot will be dated that is asked for now. It may be asked for again until its time is up, and then
        has its own time."""
        if self.run.ledger.expiries.retention is None:
            return None
        now_us = self.run.clock.virtual_ns(step.client) // 1000
        latest_us = now_us + int(2 * self.operation_seconds_max * 1e6)
        return TakingSpan(now_us - CLOCK_TOLERANCE_US, latest_us + CLOCK_TOLERANCE_US)


@performs(SnapshotRoot)
@dataclass(frozen=True)
class SnapshotRootPerformer(Performer[TakenSnapshot]):
    creations: Creations
    writer: FileWriter
    ledger: Ledger

    def can_act(self, client: str, action: SnapshotRoot) -> bool:
        # An empty tree is worth a snapshot, but not as the first thing.
        return self.writer.can_apply(DeleteFiles) or self.ledger.count_live(client) > 0

    async def perform(self, step: Step, action: SnapshotRoot) -> Outcome[TakenSnapshot]:
        return await self.creations.snapshot(step, b"")


@performs(SnapshotSubpath)
@dataclass(frozen=True)
class SnapshotSubpathPerformer(Performer[TakenSnapshot]):
    creations: Creations
    writer: FileWriter

    def can_act(self, client: str, action: SnapshotSubpath) -> bool:
        return self.writer.can_apply(DeleteRandomSubdirectory)

    async def perform(self, step: Step, action: SnapshotSubpath) -> Outcome[TakenSnapshot]:
        directory = await self.writer.pick_directory(step.draws)
        if directory is None:
            return NoOp("there is no directory below the root")
        return await self.creations.snapshot(step, directory)
