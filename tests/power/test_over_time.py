"""Storage over time: what is never given back is found in virtual time, without a step that measures it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.power.rechecked import check_rechecked
from tests.power.runs import run_to_end
from tests.power.seeds import seeds

from snapstorm.guarantees.rejudging import Today
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.observations import ObservationKind
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.result import RunResult
from snapstorm.scenario.scenarios import Scenario

HONEST_SEEDS = 2
ALL_SEEDS = 20

CHURN = Scenario.model_validate(
    {
        "name": "churn",
        "clients": 2,
        "virtual_start": "2022-01-01T00:00:00Z",
        "rounds": 80,
        "retention": {"daily": 1},
        "data_bytes_max": 4_000_000,
        "steps": [
            {"action": "delete-files", "percent": 60},
            {"action": "write-random-files", "count": 2, "size_bytes": "200000..400000"},
            {"action": "snapshot-root"},
            {"action": "restore-random-snapshot", "every": 16},
            {"action": "run-gc", "alone": True},
            {"action": "advance-time", "alone": True},
        ],
    }
)
"""Most of the content is new each day, so that what is kept for good soon is many times what is needed."""


def live(testbed: Path, target: str, seed: int) -> RunResult:
    options = HarnessOptions(
        testbed=testbed,
        target=target,
        seed=seed,
        keep_going=True,
        data_bytes_max=CHURN.data_bytes_max,
        retention=CHURN.retention,
        virtual_start=CHURN.virtual_start,
    )
    return run_to_end(options, CHURN)


def test_a_collection_that_frees_nothing_is_caught_over_time(scratch: Path) -> None:
    """By nothing else, since nothing is lost; and judging the run again comes to the same."""
    result = live(scratch / "bed", "memory:collection-frees-nothing", 1)
    assert result.verdict is Verdict.VIOLATED, result.reason
    assert [found.guarantee for found in result.tally.violations] == [Guarantee.NO_LEAK]
    assert "does not level off" in result.tally.violations[0].detail
    again = check_rechecked(scratch / "bed", result)
    assert [one.today for one in again.violations] == [Today.STILL]


@pytest.mark.parametrize("seed", seeds(HONEST_SEEDS, ALL_SEEDS))
def test_an_honest_target_levels_off(seed: int, scratch: Path) -> None:
    """What it holds is judged, and is no leak."""
    result = live(scratch / "bed", "memory", seed)
    assert result.verdict is Verdict.PASS, result.reason
    again = check_rechecked(scratch / "bed", result)
    assert again.judged[ObservationKind.SIZE] == 1
