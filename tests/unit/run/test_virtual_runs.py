"""Runs in virtual time against the simulated target: days pass in seconds, a killed run loses no time, and a testbed
stays in the time that it began in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.clock import SteppedClock

from snapstorm.errors import ConfigError
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.actions import AdvanceTime, SnapshotRoot, WriteRandomFiles
from snapstorm.model.lived_time import ClockJump
from snapstorm.model.location import FileStorage, GatewayStorage
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import HarnessOptions, open_harness
from snapstorm.run.result import RunResult
from snapstorm.run.virtual_runs import SLACK_NS, check_virtual, clock_for, settled_in_time
from snapstorm.runtime.clock import NS_PER_SECOND, VirtualClock
from snapstorm.scenario.scenarios import Scenario
from snapstorm.targets.plugin import TargetPlugin
from snapstorm.targets.registry import plugin_named
from snapstorm.testbed.identity import acting_as
from snapstorm.testbed.testbed import LEDGER_NAME, read_testbed

pytestmark = pytest.mark.anyio

START = "2022-01-01T00:00:00Z"
START_NS = 1_640_995_200 * NS_PER_SECOND
DAY_NS = 86_400 * NS_PER_SECOND
DAYS: Sequence[dict[str, Any]] = (
    {"action": "write-random-files", "count": 2, "size_bytes": 1000},
    {"action": "snapshot-root"},
    {"action": "run-gc", "alone": True, "every": 2},
    {"action": "advance-time", "alone": True},
)


def virtual(testbed: Path, **more: Any) -> HarnessOptions:
    return HarnessOptions(testbed=testbed, target="memory", seed=1, **{"virtual_start": START, **more})


async def live(options: HarnessOptions, days: int = 3, **more: Any) -> RunResult:
    """A run of so many days."""
    document = {"name": "days", "clients": 2, "steps": DAYS, "rounds": days, "virtual_start": START, **more}
    scenario = Scenario.model_validate(document)
    async with open_harness(replace(options, clock_skews_seconds=scenario.clock_skews_seconds)) as harness:
        await harness.run_scenario(scenario)
        await harness.finish()
    return harness.result


async def test_days_pass_and_snapshots_are_dated_by_them(scratch: Path) -> None:
    """The result says how many; the next run on the testbed goes on later, by itself."""
    result = await live(virtual(scratch / "bed"))
    assert result.verdict is Verdict.PASS, result.reason
    told = result.as_json()["virtual"]
    assert told["began_utc"] == START
    assert told["ended_utc"].startswith("2022-01-04T00:0")
    assert (told["jumps"], int(told["days"])) == (3, 3)
    with read_testbed(scratch / "bed") as ledger:
        ages = sorted(round(found.unproven.age_days) for found in ledger.history.live_snapshots("2022-01-04T00:00:00Z"))
    assert ages == [1, 1, 2, 2, 3, 3]
    again = await live(virtual(scratch / "bed", virtual_start=None), days=1)
    assert again.verdict is Verdict.PASS, again.reason
    assert again.as_json()["virtual"]["began_utc"] >= told["ended_utc"]
    assert again.tally.restores_verified_earlier_runs >= 6


async def test_a_snapshot_that_is_dated_by_the_wrong_clock_is_found(scratch: Path) -> None:
    """Each is held against its own client's clock: a target that lives by real time, or by another's clock, is
    caught."""
    skewed = await live(virtual(scratch / "skewed"), clock_skews=("0s", "2d"))
    assert skewed.verdict is Verdict.PASS, skewed.reason
    assert skewed.as_json()["virtual"]["clocks_ahead_seconds"] == {"client-2@snapstorm": 172_800.0}
    options, scenario = virtual(scratch / "wrong"), {"name": "x", "clients": 2, "steps": DAYS, "virtual_start": START}
    async with open_harness(options) as harness:
        place = harness._opened.under_test.place
        assert place.time is not None
        object.__setattr__(harness._opened.server.place, "time", None)  # type: ignore[attr-defined]
        await harness.run_scenario(Scenario.model_validate(scenario))
        await harness.finish()
    assert harness.result.verdict is Verdict.VIOLATED
    assert "too late" in harness.result.tally.violations[0].detail


async def test_real_time_is_not_advanced(scratch: Path) -> None:
    async with open_harness(HarnessOptions(testbed=scratch / "bed", target="memory")) as harness:
        (client,) = await harness.connect_clients(1)
        with acting_as(client.name), pytest.raises(ConfigError, match="give the scenario a virtual_start"):
            await harness.engine.execute(AdvanceTime())


async def test_a_testbed_stays_in_the_time_that_it_began_in(scratch: Path) -> None:
    async with open_harness(HarnessOptions(testbed=scratch / "bed", target="memory")) as harness:
        (client,) = await harness.connect_clients(1)
        with acting_as(client.name):
            await harness.engine.execute(WriteRandomFiles())
            await harness.engine.execute(SnapshotRoot())
    with pytest.raises(ConfigError, match="lives in real time, and stays so"):
        await live(virtual(scratch / "bed"))


def test_time_never_goes_back_between_runs(scratch: Path) -> None:
    """Real time between two runs counts. Where the machine's clock was set back, time goes on after what was seen."""

    class SetClock(SteppedClock):
        now_ns = 1_700_000_000 * NS_PER_SECOND

        def wall_ns(self) -> int:
            return self.now_ns

    real, options = SetClock(), replace(virtual(scratch / "bed"), is_virtual=True)
    ledger = Ledger.open(scratch / LEDGER_NAME)

    def begin() -> VirtualClock:
        clock = clock_for(options, ledger, real, lambda _: None)
        assert isinstance(clock, VirtualClock)
        number = ledger.begin_run(seed=1, began_utc=real.utc(), scenario="{}", target="{}")
        ledger.begin_virtual_run(number, clock.virtual_ns(), {})
        return clock

    assert begin().virtual_ns() == START_NS
    ledger.jump_clock(1, ClockJump(5.0, DAY_NS))  # And the run is killed before it acts.
    real.now_ns += 3_600 * NS_PER_SECOND
    assert begin().virtual_ns() == START_NS + DAY_NS + 3_600 * NS_PER_SECOND
    real.now_ns -= 100 * NS_PER_SECOND
    assert begin().virtual_ns() == START_NS + DAY_NS + 3_600 * NS_PER_SECOND + SLACK_NS
    ledger.close()


def test_what_can_not_be_in_virtual_time_is_refused(scratch: Path) -> None:
    """Before anything is changed."""
    options = HarnessOptions(testbed=scratch / "bed", target="kopia", virtual_start=START)
    assert settled_in_time(options).repository == GatewayStorage()
    assert settled_in_time(replace(options, repository=GatewayStorage())).is_virtual
    with pytest.raises(ConfigError, match="must be behind the gateway"):
        settled_in_time(replace(options, repository=FileStorage(scratch / "elsewhere")))
    real_only: TargetPlugin = replace(plugin_named("memory"), has_virtual_time=False)
    with pytest.raises(ConfigError, match="can't live in virtual time"):
        check_virtual(replace(options, target="memory"), real_only)
    assert not (scratch / "bed").exists()
