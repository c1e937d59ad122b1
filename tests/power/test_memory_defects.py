"""The power of the judge: every planted defect is found by a short run, and honest runs stay green.

A pass that hides damage is the worst bug a tester can have, a false alarm the second worst. Each defect of the
simulated target breaks one promise on purpose; a short random run must end *violated* and name that promise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.power.rechecked import check_rechecked
from tests.power.runs import run_to_end
from tests.power.seeds import seeds

from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.result import RunResult
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.shipped_scenarios import shipped
from snapstorm.targets.memory.planted import MEMORY_DEFECTS, WHOLE_TREES
from snapstorm.targets.memory.planted import SCENARIOS as OWN_SCENARIOS
from snapstorm.targets.workload import SIMULATED as SCENARIO

IN_CALM = {name: defect for name, defect in MEMORY_DEFECTS.items() if not defect.fault}
"""Those that show without a fault."""

LIKE_OTHERS = frozenset(
    {"restore-appends-a-byte", "restore-renames-a-file", "restore-overwrites-the-source", "create-takes-two"}
    | {"create-takes-two-for-another", "create-acknowledges-and-does-nothing", "create-counts-one-too-many"}
    | {"create-loses-tags", "create-leaves-a-file", "create-fails-though-done", "list-is-empty"}
    | {"list-moves-a-snapshot", "list-shows-duplicates", "list-changes-an-id", "list-calls-it-incomplete"}
    | {"delete-takes-another-instead", "delete-fails-though-done", "expire-does-nothing", "expire-fails"}
    | {"removal-shuts-others-out"}
)
"""They show in the same way as others do: for the long tests."""

HONEST_SEEDS = 6
ALL_SEEDS = 50

SPACE = shipped("space")

SCENARIOS = {
    "collection-frees-nothing": SPACE,
    **OWN_SCENARIOS,
    **{name: WHOLE_TREES for name, defect in IN_CALM.items() if defect.needs_whole_trees},
}
"""Defects that only a scenario of their own can show."""


def run_once(testbed: Path, target: str, seed: int, scenario: Scenario = SCENARIO) -> RunResult:
    """One short run, which comes to the same when it is judged again; operations that hang are ended soon."""
    options = HarnessOptions(
        testbed=testbed,
        target=target,
        seed=seed,
        operation_seconds_max=0.3,
        keep_going=True,
        parameters=scenario.parameters,
        retention=scenario.retention,
        virtual_start=scenario.virtual_start,
    )
    result = run_to_end(options, scenario)
    check_rechecked(testbed, result)
    return result


@pytest.mark.parametrize(
    "defect", [pytest.param(name, marks=pytest.mark.long if name in LIKE_OTHERS else ()) for name in sorted(IN_CALM)]
)
def test_a_planted_defect_is_caught(defect: str, scratch: Path, note_caught: Callable[[str], None]) -> None:
    """Two short runs on one testbed end violated, and name the guarantee that the defect breaks."""
    expected = IN_CALM[defect].guarantee
    named = set()
    for seed in (1, 2):
        result = run_once(scratch / "testbed", f"memory:{defect}", seed, SCENARIOS.get(defect, SCENARIO))
        named |= {violation.guarantee for violation in result.tally.violations}
        if expected in named:
            assert result.verdict is Verdict.VIOLATED
            note_caught(defect)
            return
    pytest.fail(f"{defect} should have broken {expected.value}, but the runs named {sorted(named)}")


@pytest.mark.parametrize("seed", seeds(HONEST_SEEDS, ALL_SEEDS))
def test_an_honest_target_passes(seed: int, scratch: Path) -> None:
    """Whatever the seed, a run against the honest target passes, and has verified restores."""
    result = run_once(scratch / "testbed", "memory", seed)
    assert result.verdict is Verdict.PASS, result.as_json()
    assert result.tally.restores_verified > 10
    assert result.snapshots_in_doubt == 0


@pytest.mark.parametrize("seed", seeds(HONEST_SEEDS, ALL_SEEDS))
def test_an_honest_target_that_keeps_whole_trees_passes(seed: int, scratch: Path) -> None:
    """Also with hard links, special files and attributes of the system in its trees."""
    result = run_once(scratch / "testbed", "memory", seed, WHOLE_TREES)
    assert result.verdict is Verdict.PASS, result.as_json()
    assert result.tally.restores_verified > 10


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
