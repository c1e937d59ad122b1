"""Clients that arrive one after the other: who is there works, and nothing is broken before all are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.actions.client import Client
from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.model.actions import SnapshotRoot, WriteRandomFiles
from snapstorm.model.events import ActionEnded, Event
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import Harness, HarnessOptions, open_harness
from snapstorm.run.storm import Storm
from snapstorm.scenario.scenarios import Scenario
from snapstorm.targets.memory.target import MemoryClient

pytestmark = pytest.mark.anyio
LATE = "client-2@snapstorm"
CLIENTS = 3


@pytest.fixture
def arrive_late(monkeypatch: pytest.MonkeyPatch) -> Callable[[anyio.Event], None]:
    """Has the second client connect only after an event."""

    def prepare(event: anyio.Event) -> None:
        connect = MemoryClient.connect

        async def connect_late(self: MemoryClient) -> None:
            if self._client == LATE:
                await event.wait()
            await connect(self)

        monkeypatch.setattr(MemoryClient, "connect", connect_late)

    return prepare


def options(scratch: Path, **more: object) -> HarnessOptions:
    return HarnessOptions(testbed=scratch / "testbed", target="memory", seed=1, **more)  # type: ignore[arg-type]  # tests only


async def test_others_work_while_one_connects(scratch: Path, arrive_late: Callable[[anyio.Event], None]) -> None:
    """The late one connects only once the others have had their snapshots; all are judged in the end."""
    others_done, done = anyio.Event(), []
    arrive_late(others_done)

    async def flow(client: Client) -> None:
        await client.execute(WriteRandomFiles(count=2))
        await client.execute(SnapshotRoot())
        done.append(client.name)
        if len(done) == CLIENTS - 1:
            assert LATE not in done
            others_done.set()

    with anyio.fail_after(GIVE_UP_SECONDS):
        async with open_harness(options(scratch)) as harness:
            await harness.run_clients(CLIENTS, flow)
            await harness.finish()
    assert len(done) == CLIENTS
    assert harness.result.verdict is Verdict.PASS
    assert harness.result.clients == CLIENTS
    assert harness.result.tally.sweep_verified == CLIENTS


async def test_files_are_written_before_anybody_is_connected(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients connect once all have written; and only then they ask the target for something."""
    written, connect = list[str](), MemoryClient.connect
    all_written = anyio.Event()

    async def connect_late(self: MemoryClient) -> None:
        await all_written.wait()
        await connect(self)

    def listen(event: Event) -> None:
        match event:
            case ActionEnded(client, "write-random-files", "ok"):
                written.append(client)
                if len(written) == CLIENTS:
                    all_written.set()

    monkeypatch.setattr(MemoryClient, "connect", connect_late)
    steps = [{"action": key} for key in ("restore-into-data-directory", "write-random-files", "snapshot-root")]
    scenario = Scenario.model_validate({"name": "x", "clients": CLIENTS, "steps": steps})
    with anyio.fail_after(GIVE_UP_SECONDS):
        async with open_harness(options(scratch), listen) as harness:
            await harness.run_scenario(scenario)
            await harness.finish()
    assert harness.result.verdict is Verdict.PASS
    assert harness.result.tally.sweep_verified == CLIENTS


async def test_one_that_is_refused_while_others_work_is_an_error(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the harness, in the words of a client that can't be connected; the others' work ends."""
    first_works, connect = anyio.Event(), MemoryClient.connect

    async def refuse(self: MemoryClient) -> None:
        if self._client == LATE:
            await first_works.wait()
            raise OperationFailed("refused for this test")
        await connect(self)

    monkeypatch.setattr(MemoryClient, "connect", refuse)

    async def flow(client: Client) -> None:
        first_works.set()
        await anyio.sleep_forever()

    harness: Harness | None = None
    with (
        anyio.fail_after(GIVE_UP_SECONDS),
        pytest.raises(HarnessError, match="client-2@snapstorm could not be connected: refused for"),
    ):
        async with open_harness(options(scratch)) as harness:
            await harness.run_clients(CLIENTS, flow)
    assert harness is not None
    assert harness.result.verdict is Verdict.ERROR


async def test_nothing_is_broken_before_all_are_there(
    scratch: Path, arrive_late: Callable[[anyio.Event], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that strikes a client which is just connecting would make the run fail for no reason of the target's."""
    arrives, has_blown, early = anyio.Event(), anyio.Event(), []
    arrive_late(arrives)

    async def blow(_: Storm) -> None:
        early.append(not arrives.is_set())
        has_blown.set()

    monkeypatch.setattr(Storm, "blow", blow)
    monkeypatch.setattr(Storm, "is_awaited", False)
    scenario = Scenario.model_validate(
        {"name": "x", "clients": CLIENTS, "steps": [{"action": "write-random-files"}], "weights": {"snapshot-root": 1}}
        | {"actions": 5}
    )
    with anyio.fail_after(GIVE_UP_SECONDS):
        async with (
            open_harness(options(scratch, faults=["kill-server"])) as harness,
            anyio.create_task_group() as group,
        ):
            group.start_soon(harness.run_scenario, scenario)
            await anyio.wait_all_tasks_blocked()
            arrives.set()
            await has_blown.wait()
    assert early == [False]
