"""What a run did is recorded as a scenario that does it again in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from snapstorm.model.actions import SnapshotRoot, WriteRandomFiles
from snapstorm.replay.recordings import read_recorded
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.scenario.scenarios import Scenario
from snapstorm.testbed.testbed import read_testbed

pytestmark = pytest.mark.anyio

SCENARIO = Scenario.model_validate(
    {
        "name": "two steps",
        "clients": 1,
        "steps": [{"action": WriteRandomFiles.key}, {"action": SnapshotRoot.key}],
    }
)


@pytest.mark.parametrize("later", [{}, {"trees": "plain"}])
async def test_the_parameters_are_those_of_the_testbed(later: Mapping[str, str], scratch: Path) -> None:
    """Which keeps those that it was made with, whatever a later run asks for."""
    for parameters in ({"trees": "whole"}, later):
        options = HarnessOptions(
            testbed=scratch / "testbed",
            target="memory",
            seed=1,
            parameters=parameters,
            scenario=SCENARIO.model_copy(update={"parameters": parameters}).model_dump_json(),
        )
        async with open_harness(options) as harness:
            await harness.run_scenario(SCENARIO)
            await harness.finish()
    with read_testbed(scratch / "testbed") as ledger:
        for number in (1, 2):
            assert read_recorded(ledger, number).scenario.parameters == {"trees": "whole"}
