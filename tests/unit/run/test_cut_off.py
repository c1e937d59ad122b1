"""A run that is cut off by something unforeseen: whatever it had shown until then, it is no pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.actions.client import Client
from snapstorm.errors import GuaranteeViolated
from snapstorm.model.actions import RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.testbed.testbed import read_testbed

pytestmark = pytest.mark.anyio


def options(scratch: Path, target: str = "memory") -> HarnessOptions:
    return HarnessOptions(testbed=scratch / "testbed", target=target, seed=1)


async def work(client: Client) -> None:
    await client.execute(WriteRandomFiles(count=2, size_bytes=100))
    await client.execute(SnapshotRoot())
    await client.execute(RestoreSnapshot())
    await client.execute(RestoreSnapshot())


def recorded_verdict(scratch: Path) -> object:
    with read_testbed(scratch / "testbed") as ledger:
        return (ledger.record.run(1) or {})["verdict"]


async def test_it_is_an_error_also_when_all_was_well_until_then(scratch: Path) -> None:
    """In the result and in the history, which would otherwise have it as passed."""
    opened: list[Harness] = []

    async def fail_at_the_end() -> None:
        async with open_harness(options(scratch)) as harness:
            opened.append(harness)
            await harness.run_clients(1, work)
            await harness.finish()
            raise ZeroDivisionError("planted")

    with pytest.raises(ZeroDivisionError):
        await fail_at_the_end()
    harness = opened[0]
    assert harness.result.verdict is Verdict.ERROR
    assert harness.result.reason == "cut off by ZeroDivisionError: planted"
    assert recorded_verdict(scratch) == "error"


async def test_a_violation_that_ended_it_stays_one(scratch: Path) -> None:
    """It is what the run was for."""
    harness: Harness | None = None
    with pytest.raises(GuaranteeViolated):
        async with open_harness(options(scratch, "memory:restore-flips-a-byte")) as harness:
            await harness.run_clients(1, work)
    assert harness is not None
    assert harness.result.verdict is Verdict.VIOLATED
    assert harness.result.tally.error is None
    assert recorded_verdict(scratch) == "violated"
