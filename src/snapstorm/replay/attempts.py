"""Doing a recorded run again: whether the same violation comes back, how often, and what each time showed."""

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
    """One time that it was done again."""

    result: RunResult | None
    """None where no run could begin."""
    error: str | None
    guarantees: frozenset[str]
    """What was violated."""

    @property
    def is_answer(self) -> bool:
        """Whether it came to its end, or to a violation: only then it says anything about the target."""
        return bool(self.guarantees) or (self.result is not None and self.error is None and not self.result.tally.error)

    def shows(self, guarantees: Sequence[str]) -> bool:
        """Whether one of these was violated again."""
        return not self.guarantees.isdisjoint(guarantees)


def scenario_of(recorded: Recorded, recording: Recording) -> Scenario:
    """The recorded run's scenario with another recording, which is a part of its own."""
    update = {"recorded": recording, "clients": recording.clients, "faults": recording.fault_keys}
    return recorded.scenario.model_copy(update=update)


def options_for(base: HarnessOptions, scenario: Scenario) -> HarnessOptions:
    """How a run of this scenario, which holds a recording, is made."""
    assert scenario.recorded is not None, "only recordings are done again"
    return replace(
        base,
        mode=scenario.mode,
        seed=scenario.recorded.seed,
        clients_ahead=scenario.clients,
        data_bytes_max=scenario.data_bytes_max,
        faults=scenario.faults,
        are_faults_optional=True,
        fault_weights={},
        parameters=scenario.parameters,
        scenario=scenario.model_dump_json(),
    )


async def do_again(
    base: HarnessOptions, scenario: Scenario, testbed: Path | None, listener: Listener = ignore
) -> Again:
    """Do a recording once, on a fresh testbed, to its end: sweep and locks included."""
    options = replace(options_for(base, scenario), testbed=testbed)
    harness = None
    try:
        async with plain_task_group(), open_harness(options, listener) as opened:
            harness = opened
            await opened.run_scenario(scenario)
            await opened.finish()
    except (HarnessError, TargetError) as error:
        return _as_again(harness.result if harness else None, str(error))
    return _as_again(harness.result, None)


def _as_again(result: RunResult | None, error: str | None) -> Again:
    violations = result.tally.violations if result else ()
    return Again(result, error, frozenset(violation.guarantee.value for violation in violations))
