"""After a storm clients must recover: what counts is what they do, not how fast this machine is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clock import SteppedClock
from tests.unit.one_run import new_context

from snapstorm.faults.weather import Weather
from snapstorm.guarantees.panel import Found, Panel
from snapstorm.model.action_results import TakenSnapshot
from snapstorm.model.actions import Action
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import Manifest
from snapstorm.model.outcomes import Failed, Ok, Outcome
from snapstorm.model.seen import Seen
from snapstorm.run.aftermath import Aftermath

pytestmark = pytest.mark.anyio
TAKEN = Ok(TakenSnapshot("k1", Manifest(())))
REFUSED = Failed("no session")


class SlowEngine:
    """Stands for the engine: each action takes a minute, and those of the first so many fail."""

    def __init__(self, clock: SteppedClock, failing: int) -> None:
        self.done: list[str] = []
        self._clock = clock
        self._failing = failing

    async def execute(self, action: Action[Any]) -> Outcome[Any]:
        await self._clock.sleep(60.0)
        self.done.append(action.key)
        return REFUSED if len(self.done) <= self._failing else TAKEN


class Reports:
    """Stands for the checker: all guarantees, and no evidence."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._panel = Panel()

    def observe(self, seen: Seen) -> None:
        self.found += self._panel.judge(seen)


async def recover(failing: int, seconds_max: float) -> tuple[list[str], list[Found]]:
    """What one client does to recover, and what is found."""
    clock = SteppedClock()
    run = new_context(clock=clock)
    engine: Any = SlowEngine(clock, failing)
    checker: Any = Reports()
    nothing: Any = None
    weather = Weather(run.now_seconds)
    await Aftermath(run, weather, engine, nothing, nothing, checker, nothing).recover(["ada"], seconds_max)
    return engine.done, checker.found


@pytest.mark.parametrize("failing", [0, 99])
async def test_a_client_that_gets_its_turn_late_is_tried_once(failing: int) -> None:
    """The time is up before the first try; the try is made all the same, and decides."""
    done, found = await recover(failing, 30.0)
    if not failing:
        assert (done, found) == (["snapshot-root", "restore-snapshot"], [])
    else:
        assert done == ["snapshot-root"]
        assert [one.guarantee for one in found] == [Guarantee.RECOVERS]
        assert found[0].finding.detail.endswith("no session")


async def test_within_its_time_it_is_tried_again_and_again() -> None:
    """An hour of refusals is no violation where there are two."""
    done, found = await recover(59, 7200.0)
    assert done == ["snapshot-root"] * 60 + ["restore-snapshot"]
    assert found == []
