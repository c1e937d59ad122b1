"""Those who watch can pause a run, end its clients' work, and have something broken; without them nothing looks."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import anyio
import pytest
from tests.clock import SteppedClock
from tests.unit.one_run import new_context
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.errors import ConfigError
from snapstorm.run.drive import Budget
from snapstorm.run.storm import NoStorm
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.control import INJECTIONS_WAITING_MAX, POLL_SECONDS, Control, Steering

pytestmark = pytest.mark.anyio
PAUSE_SECONDS = 60.0


class Watched:
    """A run that somebody watches, on a clock that costs no time."""

    def __init__(self, *, is_watched: bool = True) -> None:
        self.clock = SteppedClock()
        self.run: RunContext = new_context(clock=self.clock)
        self.control = Control(is_watched=is_watched)
        self.steering = Steering(self.run, self.control, keep_going=False)

    async def resume_after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        from_another_thread(self.control.resume)


def from_another_thread(act: Callable[[], None]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(GIVE_UP_SECONDS)


async def test_a_paused_client_waits_and_its_time_stands() -> None:
    """However long the pause is, and however many wait."""
    watched, begun = Watched(), list[str]()
    steering = watched.steering

    async def client(name: str) -> None:
        assert await steering.may_go_on()
        begun.append(name)

    from_another_thread(watched.control.pause)
    with anyio.fail_after(GIVE_UP_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client, "a")
            tasks.start_soon(client, "b")
            await watched.clock.sleep(PAUSE_SECONDS)
            assert not begun
            assert steering.worked_seconds == 0.0
            from_another_thread(watched.control.resume)
    assert sorted(begun) == ["a", "b"]
    await watched.clock.sleep(2.0)
    assert steering.worked_seconds == pytest.approx(2.0, abs=2 * POLL_SECONDS)
    assert watched.run.tally.notes == ["somebody paused the run for 60.1 s"]


async def test_a_pause_is_not_taken_from_the_duration() -> None:
    watched = Watched()
    budget = Budget(10.0, None, watched.steering, NoStorm(), watched.run.note)
    assert budget.take()
    watched.control.pause()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watched.resume_after, 12.0)
        await watched.steering.may_go_on()
    assert budget.take()
    await watched.clock.sleep(9.8)
    assert budget.take()
    await watched.clock.sleep(0.4)
    assert not budget.take()


async def test_who_stops_a_paused_run_ends_it() -> None:
    watched = Watched()
    with anyio.fail_after(GIVE_UP_SECONDS), watched.steering.working():
        assert await watched.steering.may_go_on()
        watched.control.pause()
        watched.control.stop()
        assert not await watched.steering.may_go_on()
    assert watched.run.tally.notes[-1].startswith("somebody ended the clients' work")


async def test_nobody_who_watches_means_nothing_to_wait_for() -> None:
    nobody = Watched(is_watched=False)
    nobody.control.pause()
    with anyio.fail_after(GIVE_UP_SECONDS):
        assert await nobody.steering.may_go_on()
        assert await nobody.steering.next_fault(PAUSE_SECONDS) is None
    assert nobody.run.now_seconds() == PAUSE_SECONDS


async def test_a_fault_that_is_asked_for_comes_at_once_also_while_paused() -> None:
    watched = Watched()
    control = watched.control
    control.faults = {"kill-server": None, "disk-full": "needs root"}
    with anyio.fail_after(GIVE_UP_SECONDS), control.working():
        control.pause()
        control.inject("kill-server")
        assert control.waiting == ("kill-server",)
        assert await watched.steering.next_fault(math.inf) == "kill-server"
        assert control.waiting == ()


async def test_while_paused_no_fault_comes_by_itself() -> None:
    """The time until the next one stands still meanwhile."""
    watched = Watched()
    watched.control.pause()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watched.resume_after, PAUSE_SECONDS)
        assert await watched.steering.next_fault(1.0) is None
    assert watched.run.now_seconds() == pytest.approx(PAUSE_SECONDS + 1.0, abs=2 * POLL_SECONDS)


def test_what_can_not_be_injected_is_refused() -> None:
    control = Control()
    control.faults = {"kill-server": None, "disk-full": "needs root"}
    with pytest.raises(ConfigError, match="only while clients are at work"):
        control.inject("kill-server")
    with control.working():
        with pytest.raises(ConfigError, match="no fault is called 'nonsense'"):
            control.inject("nonsense")
        with pytest.raises(ConfigError, match="disk-full is not possible here: needs root"):
            control.inject("disk-full")
        for _ in range(INJECTIONS_WAITING_MAX):
            control.inject("kill-server")
        with pytest.raises(ConfigError, match="are waiting already"):
            control.inject("kill-server")
