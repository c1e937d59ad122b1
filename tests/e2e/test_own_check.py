"""The target's own check must complain while storage is damaged such that a snapshot can't be restored.

The damage is struck while nobody works, into the only content that there is, so that nothing depends on time.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import anyio
import pytest

from snapstorm.model.actions import RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.model.guarantees import Violation
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.storm import HEALED, Storm

DAMAGES = ("flip-byte", "lose-blob", "truncate-blob")
ON_BOTH = [
    *(("memory", damage) for damage in DAMAGES),
    ("kopia", "flip-byte"),
    *(pytest.param("kopia", damage, marks=pytest.mark.long) for damage in ("lose-blob", "truncate-blob")),
]
ONE_FILE = WriteRandomFiles(count=1, size_bytes=300_000, depth=0, odd_percent=0, compressible_percent=0)
DEFECT = "verify-passes-over-damage"
DRAWS_OF_A_FILE = 1
"""With this seed a fault strikes a blob that holds files."""


def run_with_damage(damage: str, options: HarnessOptions) -> tuple[list[Violation], int]:
    """The violations of a run in which this damage strikes the content of the only file, and how often the target was
    asked for its own check meanwhile."""

    async def body() -> tuple[list[Violation], int]:
        async with open_harness(options) as harness:
            (client,) = await harness.connect_clients(1)
            await client.execute(ONE_FILE)
            taken = await client.execute(SnapshotRoot())
            storm = harness._parts.storm
            assert isinstance(storm, Storm)
            assert await storm.strike(damage, random.Random(DRAWS_OF_A_FILE)) == HEALED
            assert harness.result.tally.failed_under_faults >= 1
            await client.execute(RestoreSnapshot(id=taken.id))
            await harness.finish()
            checks = sum(
                operation.action == "verify-repository" and "probe" in operation.id
                for operation in harness._run.ledger.record.operations(harness.result.run)
            )
        return list(harness.result.tally.violations), checks

    return anyio.run(body)


def options_for(damage: str, scratch: Path, **changes: Any) -> HarnessOptions:
    return HarnessOptions(testbed=scratch / "bed", seed=1, faults=(damage,), fault_pace=30.0, **changes)


@pytest.mark.parametrize(("target", "damage"), ON_BOTH)
def test_an_honest_check_complains(target: str, damage: str, scratch: Path) -> None:
    """It is asked, and what it says is what restores say: nothing is violated."""
    found, checks = run_with_damage(damage, options_for(damage, scratch, target=target))
    assert found == []
    assert checks == 1


@pytest.mark.parametrize(("target", "damage"), ON_BOTH)
def test_a_check_that_passes_over_damage_is_found(target: str, damage: str, scratch: Path) -> None:
    """Although all has healed at the end, and every snapshot comes back exactly."""
    found, _ = run_with_damage(damage, options_for(damage, scratch, target=f"{target}:{DEFECT}"))
    assert [violation.guarantee for violation in found] == ["verify-agrees"]
    assert f"({damage})" in found[0].detail
