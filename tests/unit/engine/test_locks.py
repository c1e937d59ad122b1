"""Who was removed must stay out, and who was not must still get in."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from snapstorm.engine.harness import HarnessOptions, open_harness
from snapstorm.engine.result import RunResult
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.verdict import Verdict
from snapstorm.model.work import Work
from snapstorm.plan.scenarios import Scenario
from snapstorm.targets.memory.target import MemoryServer

SCENARIO = Scenario.model_validate(
    {"name": "locks", "clients": 3, "steps": [{"action": "write-random-files"}, {"action": "snapshot-root"}]}
)


def run_once(testbed: Path) -> RunResult:
    async def body() -> RunResult:
        async with open_harness(HarnessOptions(testbed=testbed, target="memory", seed=1)) as harness:
            await harness.run_scenario(SCENARIO)
            await harness.finish()
        return harness.result

    return anyio.run(body)


def test_who_must_be_refused_is_counted(scratch: Path) -> None:
    """An honest run passes, having tried both locks once."""
    result = run_once(scratch / "testbed")
    assert result.verdict is Verdict.PASS
    assert result.tally.refused == {Work.WRONG_PASSWORD: 1, Work.REMOVED_CLIENT: 1}


def test_a_removal_that_shuts_others_out_is_reported(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One client is removed, and with it all are: those who stay are not served, which breaks `available`."""

    async def remove_all(self: MemoryServer, client: str) -> None:
        self.store.set_users(frozenset())

    monkeypatch.setattr(MemoryServer, "remove_client", remove_all)
    result = run_once(scratch / "testbed")
    assert [violation.guarantee for violation in result.tally.violations] == [Guarantee.AVAILABLE]
