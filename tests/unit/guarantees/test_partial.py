"""A snapshot that failed in part, and that is listed all the same: what it left out is not promised, the rest is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.one_run import CLIENT, OneRun

from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.model.expectations import Settled, State
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.outcomes import Ok
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.registry import find_target
from snapstorm.testbed.identity import acting_as

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("defect", "failed_entries", "broken"),
    [
        ("restore-loses-an-entry", 0, [Guarantee.RESTORED_EXACTLY]),
        ("restore-loses-an-entry", 1, []),
        ("restore-flips-a-byte", 1, [Guarantee.IN_DOUBT_ABSENT_OR_EXACT]),
        ("restore-adds-an-entry", 1, [Guarantee.IN_DOUBT_ABSENT_OR_EXACT]),
    ],
)
async def test_what_is_there_must_be_right(
    defect: str, failed_entries: int, broken: list[Guarantee], scratch: Path
) -> None:
    """A missing entry is the one that was left out; any other difference is damage."""
    run = OneRun(scratch)
    async with find_target(f"memory:{defect}")(ProcessRunner("none")).serve(run.place) as server:
        writer = TreeFileWriter(data_directory=scratch / "data", capabilities=run.capabilities)
        engine = run.parts(writer, server.client(CLIENT), server).engine
        with acting_as(CLIENT):
            await engine.execute(WriteRandomFiles(count=30, size_bytes=5000))
            taken = await engine.execute(SnapshotRoot())
            assert isinstance(taken, Ok)
            if failed_entries:
                (live,) = run.ledger.expectations(CLIENT, {State.LIVE})
                # As if its creation had failed, and a listing had shown it afterwards.
                run.ledger._connection.execute("UPDATE expectations SET state = 'creation-in-doubt', adopted = 1")
                run.ledger.settle([Settled(live.operation, State.LIVE, taken.value.id, failed_entries=failed_entries)])
            for _ in range(3):
                await engine.execute(RestoreSnapshot(id=taken.value.id))
    run.ledger.close()
    assert {violation.guarantee for violation in run.tally.violations} == set(broken)
    assert any("entries were left out" in note for note in run.tally.notes) == bool(failed_entries)
