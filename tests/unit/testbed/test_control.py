"""Those who watch can pause a run, end its clients' work, and have something broken; without them nothing looks."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.errors import ConfigError
from snapstorm.model.verdict import Tally
from snapstorm.run.drive import Budget, is_next_due
from snapstorm.testbed.control import INJECTIONS_WAITING_MAX, POLL_SECONDS, Control

pytestmark = pytest.mark.anyio


class Now:
    """A clock that goes by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def watched() -> tuple[Control, Now, list[str]]:
    control, now, notes = Control(), Now(), list[str]()
    control.watch(now, notes.append)
    return control, now, notes


def from_another_thread(act: Callable[[], None]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(GIVE_UP_SECONDS)


async def test_a_paused_client_waits_and_its_time_stands() -> None:
    control, now, notes = watched()
    begun: list[str] = []

    async def client(name: str) -> None:
        await control.may_begin()
        begun.append(name)

    from_another_thread(control.pause)
    with anyio.fail_after(GIVE_UP_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client, "a")
            tasks.start_soon(client, "b")
            await anyio.sleep(2 * POLL_SECONDS)
            assert not begun
            now.seconds = 7.0
            assert control.paused_seconds == 7.0
            from_another_thread(control.resume)
    assert sorted(begun) == ["a", "b"]
    now.seconds = 9.0
    assert control.paused_seconds == 7.0
    assert notes == ["somebody paused the run for 7.0 s"]


async def test_a_pause_is_not_taken_from_the_duration() -> None:
    control, now, _ = watched()
    run: Any = SimpleNamespace(control=control, now_seconds=now)
    budget = Budget(run, seconds=10.0, actions_left=None)
    assert budget.take()
    control.pause()
    with anyio.move_on_after(POLL_SECONDS / 2):
        await control.may_begin()
    now.seconds = 12.0
    assert budget.take()
    control.resume()
    await control.may_begin()
    now.seconds = 21.9
    assert budget.take()
    now.seconds = 22.1
    assert not budget.take()


async def test_who_stops_a_paused_run_ends_it() -> None:
    control, _, notes = watched()
    run: Any = SimpleNamespace(control=control, keep_going=False, tally=Tally())
    with anyio.fail_after(GIVE_UP_SECONDS), control.working():
        assert await is_next_due(run)
        control.pause()
        control.stop()
        assert not await is_next_due(run)
    assert notes[-1].startswith("somebody ended the clients' work")


async def test_nobody_who_watches_means_nothing_to_wait_for() -> None:
    control = Control()
    control.pause()
    with anyio.fail_after(GIVE_UP_SECONDS):
        await control.may_begin()
        assert await control.next_fault(0.01) is None
    assert not control.is_watched


async def test_a_fault_that_is_asked_for_comes_at_once_also_while_paused() -> None:
    control, _, _ = watched()
    control.faults = {"kill-server": None, "disk-full": "needs root"}
    with anyio.fail_after(GIVE_UP_SECONDS), control.working():
        control.pause()
        control.inject("kill-server")
        assert control.waiting == ("kill-server",)
        assert await control.next_fault(math.inf) == "kill-server"
        assert control.waiting == ()


async def test_while_paused_no_fault_comes_by_itself() -> None:
    control, _, _ = watched()
    control.pause()
    with anyio.move_on_after(4 * POLL_SECONDS) as scope:
        await control.next_fault(POLL_SECONDS)
    assert scope.cancelled_caught
    control.resume()
    with anyio.fail_after(GIVE_UP_SECONDS):
        assert await control.next_fault(POLL_SECONDS) is None


def test_what_can_not_be_injected_is_refused() -> None:
    control, _, _ = watched()
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
