"""The engine: performs one action of one client, and sees to it that its outcome is recorded and judged.

It drives a `FileWriter` and a `Snapshotter`: one plain pair in the standard test, the multi-client pair in the
multi-client test, where the current client travels in the context. The order of each operation is always the same:
its intent becomes durable, the target is asked, its outcome becomes durable, the checker judges.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from snapstorm.actions.choosing import Choosing
from snapstorm.actions.deletions import Deletions
from snapstorm.actions.operations import Operations
from snapstorm.actions.picking import LiveSnapshots
from snapstorm.actions.possible import Refusals, can_act
from snapstorm.actions.quota import Room
from snapstorm.actions.restores import Restores
from snapstorm.actions.source import SourceWatch
from snapstorm.actions.step import Choice, Failure, Step, StepResult, Suspect, TakenSnapshot, kind_of
from snapstorm.actions.storage_mark import StorageMark
from snapstorm.actions.sweep import Sweep, Swept
from snapstorm.errors import AccessDenied, NoSpaceError, OperationPartial, TargetError
from snapstorm.faults.fault import InFlight
from snapstorm.filesystem.scanner import scan_if_there
from snapstorm.guarantees.checker import Checker, Comparison
from snapstorm.model import actions
from snapstorm.model.actions import Action, FileAction
from snapstorm.model.events import ActionBegan, ActionEnded
from snapstorm.model.expectations import IN_DOUBT, Expectation, Listing, State
from snapstorm.model.manifest import EntryType, path_as_text
from snapstorm.model.outcomes import Failed, NoOp, Ok, Outcome, Unknown, outcome_key
from snapstorm.model.protocols import FileWriter, ListedSnapshot, Restorer, Server, Snapshotter
from snapstorm.runtime.meter import Work
from snapstorm.scenario.generator import Deck
from snapstorm.scenario.recording import RecordedStep, Recording
from snapstorm.scenario.seeds import stream
from snapstorm.testbed.context import Run
from snapstorm.testbed.identity import OUR_HOST, acting_as, current_client

Value = TypeVar("Value")

DISK_FULL = "disk full"
"""How the reason of an action begins that failed because a disk of ours was full, although the run went on."""
COLLECTIONS_FOR_ROOM_MAX = 4
ROOM_GAINED_SHARE_MAX = 0.98
"""A collection that leaves more than this share of what was held is not worth another one."""


class Engine:
    """Performs actions. One for each run; safe to use from many clients' tasks at once."""

    def __init__(
        self,
        *,
        run: Run,
        writer: FileWriter,
        snapshotter: Snapshotter,
        server: Server,
        checker: Checker,
        room: Room | None = None,
    ) -> None:
        self._room = room or Room(server, None, run.note)
        self._run = run
        self._writer = writer
        self._snapshotter = snapshotter
        self._server = server
        self._checker = checker
        self._steps: dict[str, int] = {}
        self._choosing = Choosing(run, self._room, server.refused_actions, self.can_act)
        self.deal = self._choosing.deal  # For whoever drives clients, to give `execute_random` their decks.
        self._probes = 0
        self.refusals = Refusals(server.refused_actions)
        """Actions that are refused, for all clients or for one."""
        self._collecting = anyio.Lock()
        self._unknown_runs = run.ledger.gaps.unknown_runs()
        self._picked = LiveSnapshots(run.ledger)
        self._storage_mark = StorageMark(server)
        self.source = SourceWatch(writer, checker)
        self._operations = Operations(run, checker, self._perform_drawn, self.source)
        self._operate = self._operations.operate
        self._judge_failure = self._operations.judge_failure
        self.restores = Restores(run, self._operations, checker, writer, snapshotter, self.source)
        self._restore = self.restores.restore
        self._deletions = Deletions(self._operations, checker, snapshotter, self.refusals)
        self._perform: dict[type[Action], Callable[[Step, Any], Awaitable[Outcome[Any]]]] = {
            actions.SnapshotRoot: self._snapshot_root,
            actions.SnapshotSubpath: self._snapshot_subpath,
            actions.RestoreSnapshot: self._restore_snapshot,
            actions.RestoreRandomSnapshot: self._restore_random_snapshot,
            actions.RestoreSubpath: self._restore_subpath,
            actions.RestoreIntoDataDirectory: self._restore_into_data_directory,
            actions.DeleteSnapshot: self._delete_snapshot,
            actions.DeleteRandomSnapshot: self._delete_random_snapshot,
            actions.Expire: self._expire,
            actions.ListSnapshots: self._list_snapshots,
            actions.VerifyRepository: self._verify_repository,
            actions.RunGc: self._run_gc,
            actions.DeleteSnapshots: self._delete_snapshots,
            actions.MarkStorage: self._mark_storage,
            actions.CheckStorage: self._check_storage,
        }

    # What callers use.

    async def execute(self, action: Action) -> Outcome[Any]:
        """Perform an action as the current client, and judge it. Violations are reported, not raised."""
        return (await self.execute_step(action)).outcome

    async def execute_random(
        self,
        weights: Mapping[str, int],
        options: Mapping[str, Mapping[str, Any]] | None = None,
        deck: Deck | None = None,
    ) -> Outcome[Any]:
        """Perform a random action as the current client: of the deck, while that has one, then by weight, drawn from
        the client's own stream."""
        step = self._next_step(None)
        action = self._choosing.choose(step, weights, options, deck)
        if action is None:
            return NoOp("every weight is zero")
        step.action = action
        return (await self._execute(step)).outcome

    async def execute_step(self, action: Action) -> StepResult:
        """Like `execute`, and tell which violations this very action has shown."""
        return await self._execute(self._next_step(action))

    async def execute_recorded(self, recorded: RecordedStep, recording: Recording, of: str | None) -> str:
        """Do a recorded step again as the current client, with its own draws; `of` is the operation of this run that
        took the snapshot it acts on. Returns the operation that it was."""
        step = self._next_step(recorded.make())
        step.draws = recording.draws_of(recorded, step.client, step.number)
        step.choice = Choice(of, recorded.part) if recorded.of is not None else None
        await self._execute(step)
        return step.operation

    def in_flight(self) -> Sequence[InFlight]:
        """What clients have asked of the target and what has not been answered."""
        return self._operations.in_flight()

    def take_suspects(self) -> list[Suspect]:
        """What has timed out since the last call, to be repeated on an idle machine."""
        return self._operations.take_suspects()

    @property
    def hanging_kinds(self) -> Collection[str]:
        """The kinds of operations that have timed out again when repeated."""
        return self._operations.hanging_kinds

    async def repeat(self, suspect: Suspect) -> Outcome[Any]:
        """Do again, on a machine that is otherwise idle, what has timed out. A time-out now counts."""
        with acting_as(suspect.client):
            step = self._next_step(suspect.action, is_own=True)
            step.is_confirming, step.redo = True, suspect.redo
            return (await self._execute(step)).outcome

    def can_act(self, action: Action) -> bool:
        """Whether this action, done by the current client now, could be more than a no-op."""
        client = current_client()
        return not self.refusals.why(client, action) and can_act(action, client, self._writer, self._run.ledger)

    # The frame around every action.

    def _next_step(self, action: Action | None, *, is_own: bool = False) -> Step:
        client = current_client()
        number = self._steps.get(client, 0) + 1
        self._steps[client] = number
        name = client.removesuffix(OUR_HOST)
        draws = stream(self._run.seed, self._run.number, client, number)
        operation = f"r{self._run.number}-{name}-{number}"
        return Step(client, number, action or actions.ListSnapshots(), draws, operation, is_own=is_own)

    def _next_probe(self, action: Action) -> Step:
        """A step that is not the client's own: it counts apart, so that it changes none of the client's draws."""
        client, self._probes = current_client(), self._probes + 1
        draws = stream(self._run.seed, self._run.number, "probe", self._probes)
        name = client.removesuffix(OUR_HOST)
        operation = f"r{self._run.number}-{name}-probe-{self._probes}"
        return Step(client, 0, action, draws, operation, is_own=True)

    async def _execute(self, step: Step) -> StepResult:
        run, key = self._run, step.action.key
        run.emit(ActionBegan(step.client, key))
        began = run.clock.monotonic_seconds()
        outcome: Outcome[Any] = Unknown("cut off")
        try:
            outcome = await self._perform_recovering(step)
        finally:
            run.tally.count(key, outcome_key(outcome))
            reason = "" if isinstance(outcome, Ok) else outcome.reason
            run.emit(ActionEnded(step.client, key, outcome_key(outcome), run.clock.monotonic_seconds() - began, reason))
            self._forget_commands(step)
        return StepResult(outcome, tuple(step.violations))

    async def _perform_recovering(self, step: Step) -> Outcome[Any]:
        """Perform; when the disk that holds the client's files is full, free some of its own files and go on."""
        try:
            return await self._perform_action(step)
        except NoSpaceError as error:
            entries_deleted = await self._make_room(step, error)
            return Failed(f"{DISK_FULL}: {entries_deleted} of the client's own files were deleted")

    async def _make_room(self, step: Step, error: NoSpaceError) -> int:
        """Delete about half of the client's own files and say so. Raises the error again if there are none."""
        freed = await self._writer.free_space(step.draws)
        if freed.entries_deleted == 0:
            raise error
        self._run.note(f"{step.client}: {error}; deleted {freed.entries_deleted} of its own files and went on")
        return freed.entries_deleted

    async def _perform_action(self, step: Step) -> Outcome[Any]:
        if step.is_confirming and step.redo is not None:
            return await step.redo(step)
        return await self._perform_drawn(step)

    async def _perform_drawn(self, step: Step) -> Outcome[Any]:
        if why := self.refusals.why(step.client, step.action):
            return NoOp(why)
        if isinstance(step.action, FileAction):
            return await self._apply(step, step.action)
        return await self._perform[type(step.action)](step, step.action)

    def _forget_commands(self, step: Step) -> None:
        while step.operations_begun:
            step.operations_begun -= 1
            self._run.commands.pop(step.next_operation(), None)

    # Files.

    async def _apply(self, step: Step, action: FileAction) -> Outcome[Any]:
        if not self._writer.can_apply(type(action)):
            return NoOp("there is nothing to act on")
        await self.source.check(step)
        result: Ok[Any] | NoOp = NoOp("")

        async def write(_: str) -> object:
            nonlocal result
            with self._run.meter.busy(Work.WRITING):
                result = await self._writer.apply(action, step.draws)
            return result

        await self._operate(step, write, is_of_target=False)
        return result

    # Snapshots.

    async def _snapshot_root(self, step: Step, _: Action) -> Outcome[TakenSnapshot]:
        return await self._snapshot(step, b"")

    async def _snapshot_subpath(self, step: Step, _: Action) -> Outcome[TakenSnapshot]:
        directory = self._writer.pick_directory(step.draws)
        if directory is None:
            return NoOp("there is no directory below the root")
        return await self._snapshot(step, directory)

    async def _snapshot(self, step: Step, directory: bytes) -> Outcome[TakenSnapshot]:
        with self._run.meter.busy(Work.SCANNING):
            manifest = (await self.source.scan(step)).below(directory)
        source = _joined(self._writer.data_directory, directory)
        manifest = await self._checker.settings.kept_of(step.client, source, manifest)
        began_seconds = self._run.now_seconds()
        async with self._room.reserved(manifest.bytes_total) as fits:
            if not fits:
                return NoOp("the repository is at its limit")
            outcome, operation = await self._operate(
                step,
                lambda operation: self._snapshotter.create_snapshot(source, operation),
                resolved={"source": _as_text(directory), "manifest": manifest.digest},
                creates=(path_as_text(source), self._run.capabilities.as_json, manifest),
                snapshot_of=lambda receipt: receipt.id,
            )
        if isinstance(outcome, NoOp):
            settle, where = functools.partial(self._list, step, is_quiescent=True), path_as_text(source)
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

    # Restores.

    async def _restore_snapshot(self, step: Step, action: actions.RestoreSnapshot) -> Outcome[Comparison]:
        expectation = self._picked.named(step, action.id)
        if expectation is None:
            return NoOp(f"there is no live snapshot {action.id!r} of this client")
        return await self._restore(step, expectation)

    async def _restore_random_snapshot(self, step: Step, _: Action) -> Outcome[Comparison]:
        expectation = self._picked.random(step)
        return NoOp("there is no live snapshot") if expectation is None else await self._restore(step, expectation)

    async def _restore_subpath(self, step: Step, _: Action) -> Outcome[Comparison]:
        expectation = self._picked.random(step)
        if expectation is None:
            return NoOp("there is no live snapshot")
        entries = self._run.ledger.manifest(expectation.manifest).entries
        parts = [entry.path for entry in entries if entry.path and entry.type in (EntryType.FILE, EntryType.DIRECTORY)]
        if not parts:
            return NoOp("the snapshot is empty")
        chosen = step.choice.part if step.choice else None
        part = next((part for part in parts if _as_text(part) == chosen), None)
        return await self._restore(step, expectation, sub_path=step.draws.choice(parts) if part is None else part)

    async def _restore_into_data_directory(self, step: Step, _: Action) -> Outcome[Comparison]:
        root = path_as_text(self._writer.data_directory)
        candidates = self._run.ledger.expectations(step.client, {State.LIVE}, source=root)
        if step.choice is not None:
            candidates = [found for found in candidates if found.operation == step.choice.of]
        if not candidates:
            return NoOp("there is no live snapshot of the data directory")
        return await self._restore(step, step.draws.choice(candidates), adopt=True)

    # Deletions.

    async def _delete_snapshot(self, step: Step, action: actions.DeleteSnapshot) -> Outcome[None]:
        expectation = self._picked.named(step, action.id)
        if expectation is None:
            return NoOp(f"there is no live snapshot {action.id!r} of this client")
        return await self._delete(step, expectation)

    async def _delete_random_snapshot(self, step: Step, _: Action) -> Outcome[None]:
        expectation = self._picked.random(step)
        return NoOp("there is no live snapshot") if expectation is None else await self._delete(step, expectation)

    async def _delete_snapshots(self, step: Step, action: actions.DeleteSnapshots) -> Outcome[None]:
        live = self._run.ledger.expectations(step.client, {State.LIVE})
        excess = max(0, len(live) - action.keep_count)
        outcome: Outcome[None] = NoOp(f"there are not more than {action.keep_count} live snapshots")
        for expectation in live[:excess] if action.keep == "latest" else live[action.keep_count :]:
            outcome = await self._delete(step, expectation)
            if not isinstance(outcome, Ok):
                break
        return outcome

    async def _delete(self, step: Step, expectation: Expectation) -> Outcome[None]:
        step.redo = self._delete_another
        return await self._deletions.delete(step, expectation)

    async def _delete_another(self, step: Step) -> Outcome[Any]:
        """Delete a snapshot taken for it: what was to be deleted when the deletion timed out may be gone by now."""
        taken = await self._snapshot(step, b"")
        if not isinstance(taken, Ok):
            return taken
        return await self._delete_snapshot(step, actions.DeleteSnapshot(id=taken.value.id))

    async def _expire(self, step: Step, action: actions.Expire) -> Outcome[None]:
        source = self._writer.data_directory
        mine = self._run.ledger.expectations(step.client, {State.LIVE, *IN_DOUBT}, source=path_as_text(source))
        if any(expectation.state is not State.LIVE for expectation in mine):
            return NoOp("a snapshot of the data directory is in doubt, so retention could not be foreseen")
        doomed = [expectation.operation for expectation in mine[: -action.keep_latest]]
        if not doomed:
            return NoOp(f"there are not more than {action.keep_latest} snapshots of the data directory")
        outcome, _ = await self._operate(
            step,
            lambda _: self._snapshotter.expire_snapshots(source, action.keep_latest),
            resolved={"deletes": doomed},
            deletes=doomed,
        )
        return outcome

    # Listing, checking, collecting.

    async def _list_snapshots(self, step: Step, _: Action) -> Outcome[tuple[ListedSnapshot, ...]]:
        return await self._list(step, is_quiescent=False)

    async def _list(self, step: Step, *, is_quiescent: bool) -> Outcome[tuple[ListedSnapshot, ...]]:
        began_tick = self._run.ledger.next_tick()
        outcome, operation = await self._operate(step, lambda _: self._snapshotter.list_snapshots())
        if isinstance(outcome, Ok):
            listing = Listing(
                client=step.client,
                testbed=self._run.place.testbed,
                entries=outcome.value,
                began_tick=began_tick,
                ended_tick=self._run.ledger.next_tick(),
                is_quiescent=is_quiescent,
                is_isolated=self._run.is_isolated,
                is_exclusive=self._run.place.is_exclusive,
                unknown_runs=self._unknown_runs,
            )
            found = await self._checker.judge_listing(listing, operation)
            step.violations += found
            await self._checker.evidence.name_entries(found)
        return outcome

    async def _verify_repository(self, step: Step, _: Action) -> Outcome[None]:
        outcome, _operation = await self._operate(step, lambda _: self._snapshotter.verify_snapshots())
        return outcome

    async def _run_gc(self, step: Step, action: actions.RunGc) -> Outcome[None]:
        kind = step.draws.choice(("quick", "full")) if action.kind == "random" else action.kind
        return await self._collect(step, kind=kind, is_safe=action.safety == "full")

    async def _collect(self, step: Step, *, kind: str, is_safe: bool) -> Outcome[None]:
        step.redo = functools.partial(self._collect, kind=kind, is_safe=is_safe)
        # One at a time: of two collections at once Kopia lets one do nothing (measured), which would judge nothing.
        async with self._collecting:
            outcome, _operation = await self._operate(
                step,
                lambda _: self._server.collect_garbage(is_full=kind == "full", is_safe=is_safe),
                resolved={"kind": kind},
            )
        await self._room.measure()
        return outcome

    async def _mark_storage(self, step: Step, _: Action) -> Outcome[None]:
        held_bytes = await self._storage_mark.mark()
        if held_bytes is None:
            return NoOp("the target can't tell how much it holds")
        await self._note_operation(step, {"bytes": held_bytes})
        return Ok(None)

    async def _check_storage(self, step: Step, action: actions.CheckStorage) -> Outcome[None]:
        held = await self._storage_mark.compare(action)
        if held is None:
            return NoOp("nothing was marked before, or the target can't tell how much it holds")
        operation = await self._note_operation(step, {"bytes": held.now_bytes, "marked": held.marked_bytes})
        step.violations += self._checker.observe(replace(held, client=step.client, operation=operation))
        return Ok(None)

    async def _note_operation(self, step: Step, resolved: Mapping[str, Any]) -> str:
        """Record what was done without asking the target anything."""
        _, operation = await self._operate(step, lambda _: checkpoint(), resolved=resolved, is_of_target=False)
        return operation

    # What the harness does around the clients' actions.

    async def reconcile(self, client: str) -> bool:
        """List as this client while nothing else of it runs, judge, and settle every doubt. Returns whether it
        could."""
        with acting_as(client):
            step = self._next_step(actions.ListSnapshots(), is_own=True)
            outcome = await self._list(step, is_quiescent=True)
            self._forget_commands(step)
        return isinstance(outcome, Ok)

    async def probe(self, client: str, operation: str) -> Failure | None:
        """Restore the snapshot that this operation has created, past the server and all caches, while its client goes
        on with something else. What comes of it is judged like any other restore. Returns how it failed, if it did."""
        with acting_as(client):
            found = self._run.ledger.expectations_of_operations([operation])
            if not found or found[0].state is not State.LIVE:
                return None
            step = self._next_probe(actions.RestoreSnapshot(id=found[0].snapshot or "?"))
            await self._restore(step, found[0], through=self._server.auditor)
            self._forget_commands(step)
        return step.last_failure

    async def try_to_snapshot(self, client: str, tree: Path) -> bool:
        """Have a client snapshot a tree of ours beside its own work. Whether it was acknowledged."""
        with acting_as(client):
            step = self._next_probe(actions.SnapshotRoot())
            manifest = await self._checker.settings.kept_of(client, tree, await scan_if_there(tree))
            outcome, _ = await self._operate(
                step,
                lambda operation: self._snapshotter.create_snapshot(tree, operation),
                creates=(path_as_text(tree), self._run.capabilities.as_json, manifest),
                snapshot_of=lambda receipt: receipt.id,
            )
            self._forget_commands(step)
        return isinstance(outcome, Ok)

    async def try_to_delete(self, client: str, expectation: Expectation) -> TargetError | None:
        """Have a client delete one of its snapshots beside its own work. The error of the target, if there was one:
        a refusal is for the caller to judge."""
        with acting_as(client):
            step = self._next_probe(actions.DeleteSnapshot(id=expectation.snapshot or "?"))
            await self._deletions.ask(step, expectation)
            failure = step.last_failure
            if failure is not None and not isinstance(failure.error, AccessDenied):
                await self._judge_failure(step)
            self._forget_commands(step)
        return None if failure is None else failure.error

    async def check_by_target(self, snapshot: str | None = None) -> str | None:
        """Run the target's own check as the current client, or of one snapshot past the server and all caches: its
        complaint, empty if it has none; None if it could not be run, which is judged."""
        action, auditor = actions.VerifyRepository(), self._server.auditor
        if snapshot is None or auditor is None:
            step, check = self._next_step(action, is_own=True), self._snapshotter.verify_snapshots
        else:
            step, check = self._next_probe(action), functools.partial(auditor.verify_snapshot, snapshot)
        outcome, _ = await self._operate(step, lambda _: check(), is_judged_later=True)
        self._forget_commands(step)
        if isinstance(outcome, Ok):
            return ""
        if step.last_failure is not None and isinstance(step.last_failure.error, OperationPartial):
            return outcome.reason
        await self._judge_failure(step)
        return None

    async def is_full(self) -> bool:
        """Whether the repository holds all that it may."""
        await self._room.measure()
        return self._room.is_full

    async def make_room(self, client: str) -> None:
        """Collect garbage as this client while nobody works, as often as it helps, if room is short."""
        await self._room.measure()
        with acting_as(client):
            for _ in range(COLLECTIONS_FOR_ROOM_MAX):
                action, held_bytes = actions.RunGc(safety="none"), self._room.used_bytes
                if not self._room.is_near_limit or not self.can_act(action):
                    return
                await self._execute(self._next_step(action, is_own=True))
                if self._room.used_bytes > ROOM_GAINED_SHARE_MAX * held_bytes:
                    return

    def sweep_kind(self, operation: str) -> str:
        """The kind of restore by which `sweep_one` restores what this operation created."""
        return kind_of(actions.RestoreSnapshot(), is_past_server=self._sweep_through(operation) is not None)

    def _sweep_through(self, operation: str) -> Restorer | None:
        return self._server.auditor if self._run.ledger.is_verified(operation, self._run.number) else None

    async def sweep_one(self, client: str, operation: str, sweep: Sweep) -> Swept:
        """Restore and compare the live snapshot that this operation created.

        What this run has already restored as its client is restored straight from the repository, where that is
        possible, so that each way to it is taken once. The sweep is told when the target has given it; once all of the
        sweep is answered, the target is asked for nothing again.
        """
        is_answered = False

        def answered() -> None:
            nonlocal is_answered
            is_answered = True
            sweep.answer()

        with acting_as(client):
            found = self._run.ledger.expectations_of_operations([operation])
            if not found or found[0].state is not State.LIVE:
                return Swept.WRONG
            step = self._next_step(actions.RestoreSnapshot(id=found[0].snapshot or "?"), is_own=True)
            through = self._sweep_through(operation)
            try:
                outcome = await self._restore(step, found[0], through=through, on_answered=answered)
            except NoSpaceError as error:
                if sweep.answered.is_set():
                    raise
                # The room that the client's own files take is better spent on this: the last of them have been backed
                # up, if they are to be. Each time halves them, so this ends.
                await self._make_room(step, error)
                if is_answered:
                    sweep.ask_again()
                return await self.sweep_one(client, operation, sweep)
            finally:
                self._forget_commands(step)
        if isinstance(outcome, Ok):
            return Swept.EXACT if outcome.value.is_equal else Swept.WRONG
        return Swept.TIMED_OUT if step.has_timed_out else Swept.WRONG


def _joined(root: Path, path: bytes) -> Path:
    return root / path.decode("utf-8", "surrogateescape") if path else root


def _as_text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
