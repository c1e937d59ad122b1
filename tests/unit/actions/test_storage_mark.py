"""Room that a repository takes: marked, compared, given back; and collections of either kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import (
    CheckStorage,
    DeleteSnapshots,
    MarkStorage,
    RunGc,
    SnapshotRoot,
    WriteRandomFiles,
)
from snapstorm.model.expectations import State
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.memory import MemoryTarget
from snapstorm.targets.registry import find_target
from snapstorm.testbed.identity import acting_as

pytestmark = pytest.mark.anyio


class Bench:
    """One engine on the simulated target, which claims to hold as much as a test says."""

    def __init__(self, run: OneRun, server: Any, scratch: Path) -> None:
        self.run, self.server, self.held_bytes = run, server, 0
        self.kinds: list[tuple[bool, bool]] = []
        collect = server.collect_garbage

        async def storage_bytes() -> int | None:
            return self.held_bytes if self.held_bytes >= 0 else None

        async def collect_garbage(*, is_full: bool = True, is_safe: bool = True) -> None:
            self.kinds.append((is_full, is_safe))
            await collect(is_full=is_full, is_safe=is_safe)

        server.storage_bytes, server.collect_garbage = storage_bytes, collect_garbage
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        self.engine = run.parts(writer, server.client(CLIENT), server).engine

    def live(self) -> list[str]:
        return [one.operation for one in self.run.ledger.expectations(CLIENT, {State.LIVE})]


@pytest.fixture
async def bench(scratch: Path) -> AsyncIterator[Bench]:
    run = OneRun(scratch)
    async with MemoryTarget().serve(run.place) as server:
        with acting_as(CLIENT):
            yield Bench(run, server, scratch)
    run.ledger.close()


@pytest.mark.parametrize(("now_bytes", "is_leak"), [(900, False), (1150, False), (1151, True)])
async def test_growth_beyond_the_allowed_is_a_leak(bench: Bench, now_bytes: int, *, is_leak: bool) -> None:
    """A tenth and the slack are allowed, not one byte more; both figures are told."""
    check = CheckStorage(growth_percent_max=10, slack_bytes=50)
    assert isinstance(await bench.engine.execute(check), NoOp)
    bench.held_bytes = 1000
    assert isinstance(await bench.engine.execute(MarkStorage()), Ok)
    bench.held_bytes = now_bytes
    assert isinstance(await bench.engine.execute(check), Ok)
    assert [violation.guarantee for violation in bench.run.tally.violations] == [Guarantee.NO_LEAK] * is_leak
    for violation in bench.run.tally.violations:
        assert "1,151" in violation.detail
        assert "1,000" in violation.detail


async def test_a_target_that_can_not_tell_is_not_judged(bench: Bench) -> None:
    """Neither marking nor checking does anything then."""
    bench.held_bytes = -1
    assert isinstance(await bench.engine.execute(MarkStorage()), NoOp)
    assert isinstance(await bench.engine.execute(CheckStorage()), NoOp)


@pytest.mark.parametrize(("keep", "left"), [("latest", slice(2, None)), ("oldest", slice(None, 2))])
async def test_all_but_some_snapshots_are_deleted(bench: Bench, keep: Any, left: slice) -> None:
    """The latest or the oldest stay; where there are no more, nothing is done; 0 leaves none."""
    for _ in range(4):
        await bench.engine.execute(WriteRandomFiles(count=1))
        await bench.engine.execute(SnapshotRoot())
    expected = bench.live()[left]
    assert isinstance(await bench.engine.execute(DeleteSnapshots(keep=keep, keep_count=2)), Ok)
    assert bench.live() == expected
    assert not bench.engine.can_act(DeleteSnapshots(keep=keep, keep_count=2))
    assert isinstance(await bench.engine.execute(DeleteSnapshots(keep=keep, keep_count=2)), NoOp)
    assert isinstance(await bench.engine.execute(DeleteSnapshots(keep=keep, keep_count=0)), Ok)
    assert bench.live() == []


async def test_deleting_stops_at_the_first_that_fails(scratch: Path) -> None:
    """What follows an unacknowledged deletion is left alone."""
    run = OneRun(scratch)
    async with find_target("memory:delete-fails")(ProcessRunner("none")).serve(run.place) as server:
        with acting_as(CLIENT):
            bench = Bench(run, server, scratch)
            for _ in range(4):
                await bench.engine.execute(WriteRandomFiles(count=1))
                await bench.engine.execute(SnapshotRoot())
            outcome = await bench.engine.execute(DeleteSnapshots(keep_count=0))
    assert not isinstance(outcome, (Ok, NoOp))
    assert len(bench.live()) == 2
    run.ledger.close()


async def test_a_collection_is_of_the_kind_that_was_asked_for(bench: Bench) -> None:
    """A random one is drawn each time, and what was drawn is recorded; only full ones count."""
    await bench.engine.execute(RunGc())
    await bench.engine.execute(RunGc(kind="quick"))
    await bench.engine.execute(RunGc(safety="none"))
    assert bench.kinds == [(True, True), (False, True), (True, False)]
    for _ in range(20):
        await bench.engine.execute(RunGc(kind="random"))
    full = sum(is_full for is_full, _ in bench.kinds[3:])
    assert 0 < full < 20
    assert len(bench.run.ledger.history._collection_ticks()) == full + 2
