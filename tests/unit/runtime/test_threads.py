"""Work on files queues: one piece at a time, what the target waits for first."""

from __future__ import annotations

import threading

import anyio
import pytest

from snapstorm.runtime.threads import Urgency, run_file_work

pytestmark = pytest.mark.anyio


async def test_one_at_a_time_the_most_urgent_first() -> None:
    """Of the same urgency, who came first."""
    order: list[str] = []
    started, go = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        assert go.wait(10)
        order.append("first")

    async with anyio.create_task_group() as group:
        group.start_soon(run_file_work, block)
        await anyio.to_thread.run_sync(started.wait)
        for name, urgency in (
            ("idle", Urgency.NOBODY_WAITS),
            ("normal 1", Urgency.NORMAL),
            ("urgent 1", Urgency.TARGET_WAITS),
            ("normal 2", Urgency.NORMAL),
            ("urgent 2", Urgency.TARGET_WAITS),
        ):

            async def work(name: str = name, urgency: Urgency = urgency) -> None:
                await run_file_work(order.append, name, urgency=urgency)

            group.start_soon(work)
            await anyio.wait_all_tasks_blocked()
        go.set()
    assert order == ["first", "urgent 1", "urgent 2", "normal 1", "normal 2", "idle"]


async def test_who_is_cancelled_while_waiting_is_not_called_and_holds_nobody_up() -> None:
    """Whoever is behind comes in all the same; also if the turn came together with the cancellation."""
    done: list[str] = []
    started, go = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        assert go.wait(10)

    async with anyio.create_task_group() as group:
        group.start_soon(run_file_work, block)
        await anyio.to_thread.run_sync(started.wait)
        async with anyio.create_task_group() as cancelled:
            cancelled.start_soon(run_file_work, done.append, "cancelled")
            await anyio.wait_all_tasks_blocked()
            cancelled.cancel_scope.cancel()
        async with anyio.create_task_group() as late:
            late.start_soon(run_file_work, done.append, "cancelled late")
            await anyio.wait_all_tasks_blocked()
            go.set()
            while not done and not late.cancel_scope.cancel_called:
                late.cancel_scope.cancel()
        await run_file_work(done.append, "behind")
    assert done[-1] == "behind"
    assert "cancelled" not in done


async def test_what_fails_lets_the_next_one_in() -> None:
    """And is raised where it was asked for."""

    def fail() -> None:
        raise ValueError("broken")

    for is_small in (False, True):
        with pytest.raises(ValueError, match="broken"):
            await run_file_work(fail, is_small=is_small)
    assert await run_file_work(lambda: "next") == "next"


async def test_small_work_needs_no_thread() -> None:
    """It is done where it is asked for."""
    here = threading.get_ident()
    assert await run_file_work(threading.get_ident, is_small=True) == here
    assert await run_file_work(threading.get_ident) != here
