"""Repeats a recorded run, and says whether the same violation was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from snapstorm.errors import HarnessError, TargetError
from snapstorm.model.events import Listener, ignore
from snapstorm.replay.recordings import Recorded
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.result import RunResult
from snapstorm.runtime.tasks import plain_task_group
from snapstorm.scenario.recording import Recording
from snapstorm.scenario.scenarios import Scenario


@dataclass(frozen=True)
class Again:
    """One repetition of a recorded run."""

    result: RunResult | None
    """None if no run could begin."""
    error: str | None
    guarantees: frozenset[str]
    """The guarantees that were violated."""

    @property
    def is_answer(self) -> bool:
        """Whether it ended, or found a violation. Otherwise it says nothing about the target."""
        return bool(self.guarantees) or (self.result is not None and self.error is None and not self.result.tally.error)

    def shows(self, guarantees: Sequence[str]) -> bool:
        """Whether one of these was violated again."""
        return not self.guarantees.isdisjoint(guarantees)


def scenario_of(recorded: Recorded, recording: Recording) -> Scenario:
    """The scenario of the recorded run with another recording, which is a part of its own."""
    update = {"recorded": recording, "clients": recording.clients, "faults": recording.fault_keys}
    return recorded.scenario.model_copy(update=update)


async def do_again(
    base: HarnessOptions, scenario: Scenario, testbed: Path | None, listener: Listener = ignore
) -> Again:
    """Perform a recording once, on a fresh testbed, to its end: sweep and access checks included."""
    assert scenario.recorded is not None, "only recordings are repeated"
    options = replace(
        base,
        testbed=testbed,
        mode=scenario.mode,
        seed=scenario.recorded.seed,
        clients_ahead=scenario.clients,
        data_bytes_max=scenario.data_bytes_max,
        faults=scenario.faults,
        are_faults_optional=True,
        fault_weights={},
        parameters=scenario.parameters,
        retention=scenario.retention,
        virtual_start=scenario.virtual_start,
        clock_skews_seconds=scenario.clock_skews_seconds,
        scenario=scenario.model_dump_json(),
    )
    harness, failure = None, None
    try:
        async with plain_task_group(), open_harness(options, listener) as opened:
            harness = opened
            await opened.run_scenario(scenario)
            await opened.finish()
    except (HarnessError, TargetError) as error:
        failure = str(error)
    result = None if harness is None else harness.result
    violations = () if result is None else result.tally.violations
    return Again(result, failure, frozenset(violation.guarantee.value for violation in violations))
