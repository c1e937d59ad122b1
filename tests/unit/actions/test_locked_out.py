"""Operations of some targets exclude each other: one that is refused because of a lock is asked again, and is held
against the target only if nobody else is at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.actions.parts import Parts
from snapstorm.errors import RepositoryLocked
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import ListSnapshots, RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.model.expectations import State
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.outcomes import Locked, Ok
from snapstorm.targets.memory import MemoryTarget
from snapstorm.testbed.identity import acting_as

pytestmark = pytest.mark.anyio


class OneAtATime:
    """Takes no snapshot while it is locked. A listing locks it until it may end."""

    def __init__(self, honest: Any, *, is_locked: bool) -> None:
        self.honest = honest
        self.is_locked = is_locked
        self.refused, self.may_end = anyio.Event(), anyio.Event()

    async def list_snapshots(self) -> Any:
        self.is_locked = True
        await self.may_end.wait()
        self.is_locked = False
        return await self.honest.list_snapshots()

    async def create_snapshot(self, source: Path, operation: str) -> Any:
        if self.is_locked:
            self.refused.set()
            raise RepositoryLocked("locked by another operation")
        return await self.honest.create_snapshot(source, operation)

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        """Looks for the lock once it has begun to write."""
        await self.honest.restore_snapshot(snapshot, destination, sub_path)
        if self.is_locked:
            (destination / "begun").touch()
            self.refused.set()
            raise RepositoryLocked("locked by another operation")


class SlowToLock(OneAtATime):
    """A restore that was refused looks for the lock again once a snapshot has it, which waits for that."""

    def __init__(self, honest: Any, *, is_locked: bool) -> None:
        super().__init__(honest, is_locked=is_locked)
        self.refusals = 0
        self.is_taken, self.refused_twice = anyio.Event(), anyio.Event()

    async def restore_snapshot(self, snapshot: str, destination: Path, sub_path: bytes = b"") -> None:
        if self.refusals == 1:
            await self.is_taken.wait()
        if self.is_locked:
            self.refusals += 1
            if self.refusals == 2:
                self.refused_twice.set()
            raise RepositoryLocked("locked by another operation")
        await self.honest.restore_snapshot(snapshot, destination, sub_path)

    async def create_snapshot(self, source: Path, operation: str) -> Any:
        if self.refusals:
            if self.is_locked:
                self.refused.set()
                raise RepositoryLocked("locked by another operation")
            self.is_locked = True
            self.is_taken.set()
            await self.refused_twice.wait()
            self.is_locked = False
        return await self.honest.create_snapshot(source, operation)


@asynccontextmanager
async def locking(
    scratch: Path, *, is_locked: bool, kind: type[OneAtATime] = OneAtATime
) -> AsyncIterator[tuple[OneRun, Parts, Any]]:
    run = OneRun(scratch)
    async with MemoryTarget().serve(run.place) as server:
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        target = kind(server.client(CLIENT), is_locked=is_locked)
        snapshotter: Any = target
        parts = run.parts(writer, snapshotter, server)
        with acting_as(CLIENT):
            await parts.engine.execute(WriteRandomFiles(count=3))
            yield run, parts, target
    run.ledger.close()


async def test_what_is_refused_while_others_work_is_asked_again(scratch: Path) -> None:
    """Once they have ended. That it was refused is counted, and is no failure."""
    async with locking(scratch, is_locked=False) as (run, parts, target), anyio.create_task_group() as group:

        async def let_it_end() -> None:
            await target.refused.wait()
            target.may_end.set()

        group.start_soon(parts.engine.execute, ListSnapshots())
        group.start_soon(let_it_end)
        await anyio.wait_all_tasks_blocked()
        assert isinstance(await parts.engine.execute(SnapshotRoot()), Ok)
    assert run.tally.locked_out == 1
    assert run.tally.actions["snapshot-root"] == {"ok": 1, "no_op": 0, "locked": 0, "failed": 0, "unknown": 0}
    assert run.tally.violations == []


async def test_what_a_refused_restore_has_written_is_in_nobodys_way(scratch: Path) -> None:
    """It is asked again into an empty place, and compared as usual."""
    async with locking(scratch, is_locked=False) as (run, parts, target), anyio.create_task_group() as group:

        async def let_it_end() -> None:
            await target.refused.wait()
            target.may_end.set()

        assert isinstance(await parts.engine.execute(SnapshotRoot()), Ok)
        group.start_soon(parts.engine.execute, ListSnapshots())
        group.start_soon(let_it_end)
        await anyio.wait_all_tasks_blocked()
        restored = await parts.engine.execute(RestoreSnapshot())
        assert isinstance(restored, Ok)
        assert restored.value.is_equal
    assert run.tally.locked_out == 1
    assert run.tally.violations == []


async def test_one_that_asks_again_is_a_reason_for_the_lock(scratch: Path) -> None:
    """Two are refused, and ask again together: the one that gets the lock is why the other is refused once more."""
    async with (
        locking(scratch, is_locked=False, kind=SlowToLock) as (run, parts, target),
        anyio.create_task_group() as group,
    ):
        assert isinstance(await parts.engine.execute(SnapshotRoot()), Ok)
        group.start_soon(parts.engine.execute, ListSnapshots())
        await anyio.wait_all_tasks_blocked()
        group.start_soon(parts.engine.execute, RestoreSnapshot())
        await anyio.wait_all_tasks_blocked()
        group.start_soon(parts.engine.execute, SnapshotRoot())
        await target.refused.wait()
        target.may_end.set()
    assert target.refusals == 2
    assert run.tally.locked_out == 3
    assert run.tally.actions["restore-snapshot"] == {"ok": 1, "no_op": 0, "locked": 0, "failed": 0, "unknown": 0}
    assert parts.operations.take_suspects() == []


async def test_a_lock_that_nobody_holds_is_held_against_the_target(scratch: Path) -> None:
    """Once it has refused the same again on an idle machine. Nothing has happened, so nothing is in doubt."""
    async with locking(scratch, is_locked=True) as (run, parts, _):
        assert isinstance(await parts.engine.execute(SnapshotRoot()), Locked)
        assert run.ledger.count_states()[State.ABSENT] == 1
        assert run.tally.violations == []
        (suspect,) = parts.operations.take_suspects()
        assert suspect.why == "was locked out"
        assert isinstance(await parts.engine.repeat(suspect), Locked)
    assert [violation.guarantee for violation in run.tally.violations] == [Guarantee.AVAILABLE]
    assert run.tally.actions["snapshot-root"]["locked"] == 2


async def test_who_waits_for_a_lock_is_no_reason_for_it(scratch: Path) -> None:
    """Two that are refused do not wait for each other."""
    async with locking(scratch, is_locked=True) as (run, parts, _):
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(parts.engine.execute, SnapshotRoot())
    assert run.tally.actions["snapshot-root"]["locked"] == 2
    assert len(parts.operations.take_suspects()) == 2
