"""Restores: into an empty directory, compared, and perhaps gone on from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from snapstorm.actions.inspections import Inspections
from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.picking import LiveSnapshots, none_picked
from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Step
from snapstorm.faults.weather import Weather
from snapstorm.filesystem.client_machine import Machines
from snapstorm.guarantees.checker import Checker
from snapstorm.ledger.ledger import IntendedEffect, Ledger
from snapstorm.model.action_results import Comparison
from snapstorm.model.actions import (
    RestoreIntoDataDirectory,
    RestoreRandomSnapshot,
    RestoreSnapshot,
    RestoreSubpath,
    RunGc,
)
from snapstorm.model.expectations import Expectation, State
from snapstorm.model.manifest import EntryType, as_text, path_as_text
from snapstorm.model.outcomes import NoOp, Ok, Outcome
from snapstorm.model.protocols import FileWriter, Restorer, Snapshotter
from snapstorm.model.seen import LeftBehind, LeftBehindSeen, RestoreFailureSeen
from snapstorm.testbed.context import RunContext


@dataclass(frozen=True)
class Restores:
    """The restores of one run."""

    run: RunContext
    weather: Weather
    machines: Machines
    operations: Operations
    checker: Checker
    writer: FileWriter
    snapshotter: Snapshotter
    source: SourceWatch
    inspections: Inspections

    async def restore(
        self,
        step: Step,
        expectation: Expectation,
        *,
        sub_path: bytes = b"",
        adopt: bool = False,
        through: Restorer | None = None,
        on_answered: Callable[[], None] | None = None,
    ) -> Outcome[Comparison]:
        """Restore into an empty directory, compare, and perhaps go on from there. A failure is tried once more, to
        tell an operation that failed from a snapshot that is lost.

        `on_answered` is called when only what has come back is left to be compared, and no more is asked of the target.
        """
        step.is_past_server = through is not None
        step.redo = functools.partial(
            self.restore, expectation=expectation, sub_path=sub_path, adopt=adopt, through=through
        )
        once = functools.partial(
            self._restore_once,
            step,
            expectation,
            sub_path,
            adopt=adopt,
            through=through or self.snapshotter,
            on_answered=on_answered,
        )
        outcome = await once()
        if step.last_failure is None:
            return outcome
        if step.has_timed_out or self.operations.is_excused(step):
            await self.operations.judge_failure(step)
            return outcome
        again = await once()
        if isinstance(again, (Ok, NoOp)):
            await self.operations.judge_failure(step)
            return again
        operation, error = step.last_failure.operation, step.last_failure.error
        if await self.inspections.is_unlisted(step, expectation):
            return again
        if self.operations.is_excused(step) or self.operations.is_refused_by_design(error):
            await self.operations.judge_failure(step)
            return again
        if expectation.tainted_by is not None:
            self._note_tainted(expectation)
            return again
        seen = RestoreFailureSeen(
            client=step.client,
            operation=operation,
            snapshot=expectation.snapshot,
            expectation=expectation.operation,
            is_adopted=expectation.adopted,
            reason=again.reason,
            output=error.evidence,
        )
        if not await self.checker.settings.may_explain(step.client, seen.words, error, is_restore=True):
            step.violations += self.checker.observe(seen)
        return again

    async def _restore_once(
        self,
        step: Step,
        expectation: Expectation,
        sub_path: bytes,
        *,
        adopt: bool,
        through: Restorer,
        on_answered: Callable[[], None] | None,
    ) -> Outcome[Comparison]:
        snapshot = expectation.snapshot or ""
        began_seconds = self.run.now_seconds()
        # A collection that a fault has misled may take something later.
        is_sure = through is not self.snapshotter and not self._is_collecting()
        machine = self.machines.of(step.client) if through is self.snapshotter else self.machines.own
        place, entries, is_small = await machine.new_restore(step.client, step.next_operation()), 0, False
        is_asked_again = False

        async def ask(_: str) -> None:
            nonlocal is_asked_again
            if is_asked_again:  # A lock refused it, perhaps after it had begun to write.
                await place.clear()
            is_asked_again = True
            await through.restore_snapshot(snapshot, place.tree, sub_path)

        try:
            outcome, operation = await self.operations.operate(
                step,
                ask,
                IntendedEffect({"snapshot": snapshot, "of": expectation.operation, "sub_path": as_text(sub_path)}),
                is_judged_later=True,
            )
            if not self.is_still_live(expectation):
                step.last_failure = None
                return NoOp("its deletion began while it was being restored")
            if not isinstance(outcome, Ok):
                return outcome
            if on_answered is not None:
                on_answered()
            comparison, found = await self.checker.judge_restore(
                expectation,
                place,
                operation=operation,
                through="client" if through is self.snapshotter else "auditor",
                sub_path=sub_path,
                is_damaged=self.weather.damage(began_seconds) is not None,
            )
            step.violations += found
            if strays := await place.strays():
                self._judge_strays(step, strays, operation)
            is_whole = sub_path == b"" and comparison.is_equal and expectation.failed_entries == 0
            if is_whole and is_sure and expectation.tainted_by is not None and self._is_shown_all(began_seconds):
                self.run.ledger.end_taint(expectation.operation)
            entries, is_small = comparison.entries, comparison.restored.is_small
            if adopt and comparison.is_equal:
                await self.source.check(step)
                await self.writer.adopt(place.tree)
            return Ok(comparison)
        finally:
            with anyio.CancelScope(shield=True):
                await place.remove(entries=entries, is_small=is_small)

    def _is_collecting(self) -> bool:
        return any(one.action == RunGc.key for one in self.operations.in_flight())

    def _is_shown_all(self, since_seconds: float) -> bool:
        """Whether no fault since then can have made storage show anything but what it keeps."""
        return self.weather.damage(since_seconds) is None and self.weather.veil(since_seconds) is None

    def _note_tainted(self, expectation: Expectation) -> None:
        """Count a snapshot that was taken while storage was damaged and can't be restored, and note the first."""
        self.run.tally.tainted_lost += 1
        if self.run.tally.tainted_lost == 1:
            self.run.note(
                f"snapshot {expectation.snapshot}, taken while storage was damaged, can't be restored: it refers to "
                "what was lost before it was taken; that is counted apart"
            )

    def _judge_strays(self, step: Step, names: Sequence[bytes], operation: str) -> None:
        """Judge what stands beside a restored tree, in the directory that was made for it: nothing may."""
        shown, kind = [as_text(name) for name in sorted(names)], LeftBehind.BESIDE_RESTORE
        seen = LeftBehindSeen(client=step.client, operation=operation, kind=kind, names=shown)
        step.violations += self.checker.observe(seen)

    def is_still_live(self, expectation: Expectation) -> bool:
        """Whether the deletion of this snapshot has not begun meanwhile."""
        return self.run.ledger.expectations_of_operations([expectation.operation])[0].state is State.LIVE


@performs(RestoreSnapshot)
@performs(RestoreRandomSnapshot)
@dataclass(frozen=True)
class RestoreOnePerformer(Performer[Comparison]):
    restores: Restores
    picked: LiveSnapshots

    async def perform(self, step: Step, action: RestoreSnapshot | RestoreRandomSnapshot) -> Outcome[Comparison]:
        name = action.id if isinstance(action, RestoreSnapshot) else None
        expectation = self.picked.pick(step, name)
        return none_picked(name) if expectation is None else await self.restores.restore(step, expectation)


@performs(RestoreSubpath)
@dataclass(frozen=True)
class RestoreSubpathPerformer(Performer[Comparison]):
    restores: Restores
    picked: LiveSnapshots
    ledger: Ledger

    async def perform(self, step: Step, action: RestoreSubpath) -> Outcome[Comparison]:
        expectation = self.picked.pick(step)
        if expectation is None:
            return none_picked()
        entries = self.ledger.manifest(expectation.manifest).entries
        parts = [entry.path for entry in entries if entry.path and entry.type in (EntryType.FILE, EntryType.DIRECTORY)]
        if not parts:
            return NoOp("the snapshot is empty")
        chosen = step.choice.part if step.choice else None
        part = next((part for part in parts if as_text(part) == chosen), None)
        return await self.restores.restore(
            step, expectation, sub_path=step.draws.choice(parts) if part is None else part
        )


@performs(RestoreIntoDataDirectory)
@dataclass(frozen=True)
class RestoreIntoDataDirectoryPerformer(Performer[Comparison]):
    restores: Restores
    writer: FileWriter
    ledger: Ledger

    async def perform(self, step: Step, action: RestoreIntoDataDirectory) -> Outcome[Comparison]:
        root = path_as_text(self.writer.data_directory)
        candidates = self.ledger.expectations(step.client, {State.LIVE}, source=root)
        if step.choice is not None:
            candidates = [found for found in candidates if found.operation == step.choice.of]
        if not candidates:
            return NoOp("there is no live snapshot of the data directory")
        return await self.restores.restore(step, step.draws.choice(candidates), adopt=True)
