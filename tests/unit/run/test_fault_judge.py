"""What is judged while a fault lasts, beside clients that go on with their work."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tricked import TrickedTarget
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import DeleteSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.model.expectations import State
from snapstorm.model.guarantees import Guarantee
from snapstorm.targets.memory.target import MemoryAuditor
from snapstorm.testbed.identity import acting_as

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("when", ["before", "meanwhile", "never"])
async def test_a_check_of_a_snapshot_that_its_client_deletes_says_nothing(when: str, scratch: Path) -> None:
    """Its client may delete a snapshot while the target's own check of it runs: that it is gone then is no failure."""
    run = OneRun(scratch)

    class LateAuditor(MemoryAuditor):
        async def verify_snapshot(self, snapshot: str) -> None:
            await super().verify_snapshot(snapshot)
            if when == "meanwhile":
                await engine.execute(DeleteSnapshot())
                await super().verify_snapshot(snapshot)

    async with TrickedTarget(auditor=LateAuditor).serve(run.place) as server:
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        parts = run.parts(writer, server.client(CLIENT), server)
        engine, own_operations = parts.engine, parts.own_operations
        with acting_as(CLIENT):
            await engine.execute(WriteRandomFiles(count=3))
            await engine.execute(SnapshotRoot())
            (live,) = run.ledger.expectations(CLIENT, {State.LIVE})
            if when == "before":
                await engine.execute(DeleteSnapshot())
        found = await own_operations.check_snapshot_by_target(CLIENT, live.operation)
    run.ledger.close()
    assert found == ("" if when == "never" else None)
    assert run.tally.violations == []


async def test_a_check_that_fails_while_its_snapshot_is_live_is_judged(scratch: Path) -> None:
    """It can't be told then whether the target would have complained."""
    run = OneRun(scratch)

    class OfAnother(MemoryAuditor):
        async def verify_snapshot(self, snapshot: str) -> None:
            await super().verify_snapshot("another")

    async with TrickedTarget(auditor=OfAnother).serve(run.place) as server:
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        parts = run.parts(writer, server.client(CLIENT), server)
        engine, own_operations = parts.engine, parts.own_operations
        with acting_as(CLIENT):
            await engine.execute(WriteRandomFiles(count=3))
            await engine.execute(SnapshotRoot())
        (live,) = run.ledger.expectations(CLIENT, {State.LIVE})
        assert await own_operations.check_snapshot_by_target(CLIENT, live.operation) is None
    run.ledger.close()
    assert [violation.guarantee for violation in run.tally.violations] == [Guarantee.AVAILABLE]
