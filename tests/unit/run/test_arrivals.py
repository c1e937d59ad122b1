"""Clients that arrive one after the other: who is there works, and nothing is broken before all are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.clock import SteppedClock
from tests.tricked import TrickedTarget
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.actions.client import Client
from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.model.actions import SnapshotRoot, WriteRandomFiles
from snapstorm.model.events import ActionEnded, Event, FaultBegan
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.scenario.scenarios import Scenario
from snapstorm.targets.memory.target import MemoryClient
from snapstorm.targets.plugin import MakeTarget

pytestmark = pytest.mark.anyio
LATE = "client-2@snapstorm"
CLIENTS = 3


def waiting_for(event: anyio.Event, *late: str, refused: bool = False) -> MakeTarget:
    """A target to which these clients, or all, connect only after an event; then they may be refused."""

    class LateClient(MemoryClient):
        async def connect(self) -> None:
            if self._client in late or not late:
                await event.wait()
                if refused:
                    raise OperationFailed("refused for this test")
            await super().connect()

    return lambda _: TrickedTarget(LateClient)


def options(scratch: Path, **more: Any) -> HarnessOptions:
    return HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1, **more)


async def test_others_work_while_one_connects(scratch: Path) -> None:
    """The late one connects only once the others have had their snapshots; all are judged in the end."""
    others_done, done = anyio.Event(), list[str]()

    async def flow(client: Client) -> None:
        await client.execute(WriteRandomFiles(count=2))
        await client.execute(SnapshotRoot())
        done.append(client.name)
        if len(done) == CLIENTS - 1:
            assert LATE not in done
            others_done.set()

    with anyio.fail_after(GIVE_UP_SECONDS):
        async with open_harness(options(scratch), make_target=waiting_for(others_done, LATE)) as harness:
            await harness.run_clients(CLIENTS, flow)
            await harness.finish()
    assert len(done) == CLIENTS
    assert harness.result.verdict is Verdict.PASS
    assert harness.result.clients == CLIENTS
    assert harness.result.tally.sweep_verified == CLIENTS


async def test_files_are_written_before_anybody_is_connected(scratch: Path) -> None:
    """Clients connect once all have written; and only then they ask the target for something."""
    written, all_written = list[str](), anyio.Event()

    def listen(event: Event) -> None:
        match event:
            case ActionEnded(client, "write-random-files", "ok"):
                written.append(client)
                if len(written) == CLIENTS:
                    all_written.set()

    steps = [{"action": key} for key in ("restore-into-data-directory", "write-random-files", "snapshot-root")]
    scenario = Scenario.model_validate({"name": "x", "clients": CLIENTS, "steps": steps})
    with anyio.fail_after(GIVE_UP_SECONDS):
        async with open_harness(options(scratch), listen, make_target=waiting_for(all_written)) as harness:
            await harness.run_scenario(scenario)
            await harness.finish()
    assert harness.result.verdict is Verdict.PASS
    assert harness.result.tally.sweep_verified == CLIENTS


async def test_one_that_is_refused_while_others_work_is_an_error(scratch: Path) -> None:
    """Of the harness, in the words of a client that can't be connected; the others' work ends."""
    first_works = anyio.Event()
    make_target = waiting_for(first_works, LATE, refused=True)

    async def flow(client: Client) -> None:
        first_works.set()
        await anyio.sleep_forever()

    harness: Harness | None = None
    with (
        anyio.fail_after(GIVE_UP_SECONDS),
        pytest.raises(HarnessError, match="client-2@snapstorm could not be connected: refused for"),
    ):
        async with open_harness(options(scratch), make_target=make_target) as harness:
            await harness.run_clients(CLIENTS, flow)
    assert harness is not None
    assert harness.result.verdict is Verdict.ERROR


async def test_nothing_is_broken_before_all_are_there(scratch: Path) -> None:
    """A fault that strikes a client which is just connecting would make the run fail for no reason of the target's."""
    arrives, others_work, early = anyio.Event(), anyio.Event(), list[bool]()

    def listen(event: Event) -> None:
        match event:
            case ActionEnded():
                others_work.set()
            case FaultBegan():
                early.append(not arrives.is_set())

    scenario = Scenario.model_validate(
        {"name": "x", "clients": CLIENTS, "steps": [{"action": "write-random-files"}], "weights": {"snapshot-root": 1}}
        | {"actions": 5}
    )
    clock, make_target = SteppedClock(), waiting_for(arrives, LATE)
    with anyio.fail_after(GIVE_UP_SECONDS):
        async with (
            open_harness(
                options(scratch, faults=["kill-server"]), listen, clock=clock, make_target=make_target
            ) as harness,
            anyio.create_task_group() as group,
        ):
            group.start_soon(harness.run_scenario, scenario)
            await others_work.wait()
            await clock.sleep(100)  # By then a storm has struck many times.
            assert early == []
            arrives.set()
    assert early
    assert not any(early)
