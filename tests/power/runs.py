"""One run on a testbed, from its set-up to its verdict."""

from __future__ import annotations

from typing import Any

import anyio

from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.result import RunResult
from snapstorm.scenario.scenarios import Scenario


def run_to_end(options: HarnessOptions, scenario: Scenario, *watching: Any) -> RunResult:
    """Do the whole scenario, and judge all of it. `watching`: the listener and the control of `open_harness`."""

    async def body() -> RunResult:
        async with open_harness(options, *watching) as harness:
            await harness.run_scenario(scenario)
            await harness.finish()
        return harness.result

    return anyio.run(body)
