"""The power of the judge: every planted defect is found by a short run, and honest runs stay green.

A pass that hides damage is the worst bug a tester can have, a false alarm the second worst. Each defect of the
simulated target breaks one promise on purpose; a short random run must end *violated* and name that promise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from snapstorm.engine.harness import HarnessOptions, open_harness
from snapstorm.engine.result import RunResult
from snapstorm.model.verdict import Verdict
from snapstorm.plan.scenarios import Scenario, shipped
from snapstorm.targets.memory import DEFECTS
from snapstorm.targets.memory.fault_defects import UNDER_FAULTS

HONEST_SEEDS = 50

SCENARIO = Scenario.model_validate(
    {
        "name": "power",
        "clients": 3,
        "actions": 120,
        "steps": [
            {"action": "write-random-files", "count": 12, "size_bytes": "1..20000"},
            {"action": "snapshot-root"},
        ],
        "weights": {
            "snapshot-root": 20,
            "snapshot-subpath": 4,
            "restore-random-snapshot": 20,
            "restore-subpath": 6,
            "restore-into-data-directory": 4,
            "delete-random-snapshot": 8,
            "expire": 4,
            "write-random-files": 15,
            "modify-files": 15,
            "change-metadata": 6,
            "delete-files": 4,
            "delete-random-subdirectory": 4,
            "list-snapshots": 8,
            "run-gc": 6,
            "verify-repository": 3,
        },
        "options": {
            "write-random-files": {"count": "1..6", "size_bytes": "0..20000", "odd_percent": 40},
            "expire": {"keep_latest": 3},
        },
    }
)


SPACE = shipped("space")

SCENARIOS = {"collection-frees-nothing": SPACE}
"""Defects that only a scenario of their own can show."""


def run_once(testbed: Path, target: str, seed: int, scenario: Scenario = SCENARIO) -> RunResult:
    """One short run; operations that hang are ended soon."""

    async def body() -> RunResult:
        options = HarnessOptions(testbed=testbed, target=target, seed=seed, operation_seconds_max=0.3, keep_going=True)
        async with open_harness(options) as harness:
            await harness.run_scenario(scenario)
            await harness.finish()
        return harness.result

    return anyio.run(body)


@pytest.mark.parametrize("defect", sorted(DEFECTS.keys() - UNDER_FAULTS.keys()))
def test_a_planted_defect_is_caught(defect: str, scratch: Path, note_caught: Callable[[str], None]) -> None:
    """Two short runs on one testbed end violated, and name the guarantee that the defect breaks."""
    expected = DEFECTS[defect].guarantee
    named = set()
    for seed in (1, 2):
        result = run_once(scratch / "testbed", f"memory:{defect}", seed, SCENARIOS.get(defect, SCENARIO))
        named |= {violation.guarantee for violation in result.tally.violations}
        if expected in named:
            assert result.verdict is Verdict.VIOLATED
            note_caught(defect)
            return
    pytest.fail(f"{defect} should have broken {expected.value}, but the runs named {sorted(named)}")


@pytest.mark.parametrize("seed", range(HONEST_SEEDS))
def test_an_honest_target_passes(seed: int, scratch: Path) -> None:
    """Whatever the seed, a run against the honest target passes, and has verified restores."""
    result = run_once(scratch / "testbed", "memory", seed)
    assert result.verdict is Verdict.PASS, result.as_json()
    assert result.tally.restores_verified > 10
    assert result.snapshots_in_doubt == 0


def test_an_honest_target_gives_its_room_back(scratch: Path) -> None:
    """The scenario `space` passes twice on one testbed, and what it measured is not nothing."""
    for seed in (1, 2):
        result = run_once(scratch / "testbed", "memory", seed, SPACE)
        assert result.verdict is Verdict.PASS, result.as_json()
        assert result.tally.actions["check-storage"]["ok"] == 1
        assert result.tally.actions["delete-snapshots"]["ok"] == SPACE.clients


def test_an_honest_testbed_that_is_used_again_passes(scratch: Path) -> None:
    """Three runs on one testbed pass, and later ones restore snapshots of earlier ones."""
    results = [run_once(scratch / "testbed", "memory", seed) for seed in (1, 2, 3)]
    assert [result.verdict for result in results] == [Verdict.PASS] * 3
    assert results[0].tally.restores_verified_earlier_runs == 0
    assert results[2].tally.restores_verified_earlier_runs > 0
