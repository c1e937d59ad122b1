"""Creations: a tree is scanned, snapshotted, and what the target says of the snapshot is judged."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from snapstorm.actions.inspections import Inspections
from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.quota import Room
from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Step
from snapstorm.filesystem.scanner import scan_if_there
from snapstorm.guarantees.checker import Checker
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.action_results import SnapshotReceipt, TakenSnapshot
from snapstorm.model.actions import DeleteFiles, DeleteRandomSubdirectory, SnapshotRoot, SnapshotSubpath
from snapstorm.model.manifest import Manifest, path_as_text
from snapstorm.model.outcomes import NoOp, Ok, Outcome
from snapstorm.model.protocols import FileWriter, Snapshotter
from snapstorm.model.readable import as_text
from snapstorm.runtime.meter import Work
from snapstorm.testbed.context import Run


class Creations:
    """The creations of one run."""

    def __init__(
        self,
        run: Run,
        writer: FileWriter,
        snapshotter: Snapshotter,
        checker: Checker,
        room: Room,
        source: SourceWatch,
        operations: Operations,
        inspections: Inspections,
    ) -> None:
        self._run = run
        self._writer = writer
        self._snapshotter = snapshotter
        self._checker = checker
        self._room = room
        self._source = source
        self._operations = operations
        self._inspections = inspections

    async def snapshot(self, step: Step, directory: bytes) -> Outcome[TakenSnapshot]:
        """Snapshot a directory of the current client's files, which is given relative to the root of them."""
        with self._run.meter.busy(Work.SCANNING):
            manifest = (await self._source.scan(step)).below(directory)
        path = _joined(self._writer.data_directory, directory)
        manifest = await self._checker.settings.kept_of(step.client, path, manifest)
        began_seconds = self._run.now_seconds()
        async with self._room.reserved(manifest.bytes_total) as fits:
            if not fits:
                return NoOp("the repository is at its limit")
            resolved = {"source": as_text(directory), "manifest": manifest.digest}
            outcome, operation = await self._ask(step, path, manifest, resolved)
        if isinstance(outcome, NoOp):
            settle, where = functools.partial(self._inspections.list, step, is_quiescent=True), path_as_text(path)
            step.violations += await self._checker.judge_unsaved(manifest, where, settle, step.client, operation)
        if not isinstance(outcome, Ok):
            return outcome
        damage = self._run.weather.damage(began_seconds)
        if damage is not None:
            self._run.ledger.taint(operation, damage.number)
        self._run.tally.snapshots_acknowledged += 1
        receipt = outcome.value
        step.violations += await self._checker.judge_receipt(
            receipt, manifest, client=step.client, operation=operation, began_seconds=began_seconds
        )
        return Ok(TakenSnapshot(receipt.id, manifest))

    async def try_to_snapshot(self, step: Step, tree: Path) -> bool:
        """Snapshot a tree of ours as the current client. Returns whether it was acknowledged."""
        manifest = await self._checker.settings.kept_of(step.client, tree, await scan_if_there(tree))
        outcome, _ = await self._ask(step, tree, manifest)
        return isinstance(outcome, Ok)

    async def _ask(
        self, step: Step, path: Path, manifest: Manifest, resolved: dict[str, str] | None = None
    ) -> tuple[Outcome[SnapshotReceipt], str]:
        return await self._operations.operate(
            step,
            lambda operation: self._snapshotter.create_snapshot(path, operation),
            resolved=resolved,
            creates=(path_as_text(path), self._run.capabilities.as_json, manifest),
            snapshot_of=lambda receipt: receipt.id,
        )


@performs(SnapshotRoot)
class SnapshotRootPerformer(Performer[TakenSnapshot]):
    def __init__(self, creations: Creations, writer: FileWriter, ledger: Ledger) -> None:
        self._creations = creations
        self._writer = writer
        self._ledger = ledger

    def can_act(self, client: str, action: SnapshotRoot) -> bool:
        # An empty tree is worth a snapshot, but not as the first thing.
        return self._writer.can_apply(DeleteFiles) or self._ledger.count_live(client) > 0

    async def perform(self, step: Step, action: SnapshotRoot) -> Outcome[TakenSnapshot]:
        return await self._creations.snapshot(step, b"")


@performs(SnapshotSubpath)
class SnapshotSubpathPerformer(Performer[TakenSnapshot]):
    def __init__(self, creations: Creations, writer: FileWriter) -> None:
        self._creations = creations
        self._writer = writer

    def can_act(self, client: str, action: SnapshotSubpath) -> bool:
        return self._writer.can_apply(DeleteRandomSubdirectory)

    async def perform(self, step: Step, action: SnapshotSubpath) -> Outcome[TakenSnapshot]:
        directory = self._writer.pick_directory(step.draws)
        if directory is None:
            return NoOp("there is no directory below the root")
        return await self._creations.snapshot(step, directory)


def _joined(root: Path, path: bytes) -> Path:
    return root / os.fsdecode(path) if path else root
