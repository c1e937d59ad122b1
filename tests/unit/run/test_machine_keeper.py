"""A machine that is lost comes back, and its clients wait for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio
import pytest
from tests.unit.one_run import new_context
from tests.waiting import until

from snapstorm.errors import AccessDenied, HarnessError, MachineLost
from snapstorm.machines.handshake import ClockOffset
from snapstorm.machines.hub import Hub, JoinedMachine, Lost
from snapstorm.machines.local_machines import LocalMachines
from snapstorm.machines.services import Method
from snapstorm.remote import requests
from snapstorm.remote.codec import decode_request, encode
from snapstorm.remote.exchange import Question, Reply
from snapstorm.run.machine_keeper import MachineKeeper
from snapstorm.runtime.tasks import beside

pytestmark = pytest.mark.anyio

NAME = "local-1"
JOINED = JoinedMachine(NAME, "incarnation", "here", ClockOffset(0, 0), {})
BEGIN = requests.BeginRun("bed", None, None, "{}", 1, ())
STATE = requests.FilesState(frozenset())


@dataclass
class Bench:
    """One machine, and the keeper under test."""

    keeper: MachineKeeper
    machines: dict[str, JoinedMachine] = field(default_factory=lambda: {NAME: JOINED})
    comes_back: bool = True
    asked: list[str] = field(default_factory=list)
    went_on: list[str] = field(default_factory=list)
    refusals: int = 0
    """How often its clients are still refused when it is back."""

    # The hub.

    async def ask(
        self, machine: str, method: Method[Question, Reply], request: Question, deadline_seconds: float
    ) -> Reply:
        if machine not in self.machines:
            raise MachineLost(f"the machine {machine} is not there")
        asked = decode_request(request.request)
        self.asked.append(type(asked).__name__)
        answer = requests.Begun(b"/there") if isinstance(asked, requests.BeginRun) else STATE
        return Reply(encode(answer), None, ())

    # The processes of local machines.

    async def ensure(self, name: str) -> None:
        if self.comes_back:
            self.machines[name] = JOINED

    # What happens.

    def lose(self) -> None:
        self.machines.pop(NAME, None)
        self.keeper.on_change(Lost(JOINED, "it was killed"))

    async def go_on(self, name: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise AccessDenied("not yet")
        self.went_on.append(name)


@asynccontextmanager
async def opened(back_seconds_max: float = 600.0) -> AsyncIterator[Bench]:
    keeper = MachineKeeper(new_context(), BEGIN, Path("/scratch"), 1.0, back_seconds_max)
    bench = Bench(keeper)
    await keeper.begin(cast(Hub, bench), cast(LocalMachines, bench), lambda _: None)
    keeper.on_back = bench.go_on
    async with beside(keeper.keep):
        yield bench


async def test_it_begins_anew_there_before_its_clients_go_on() -> None:
    async with opened() as bench:
        (machine,) = bench.keeper.machines
        await machine.open_writer("c1", None)
        await bench.keeper.wait_for(machine)
        bench.lose()
        await bench.keeper.wait_for(machine)
        assert bench.asked == ["BeginRun", "OpenWriter", "BeginRun", "OpenWriter"]
        assert bench.went_on == [NAME]
        assert bench.keeper.clients_by_machine == {NAME: ["c1"]}


async def test_meanwhile_nothing_is_asked_of_it() -> None:
    async with opened() as bench:
        (machine,) = bench.keeper.machines
        bench.comes_back = False
        bench.lose()
        bench.machines[NAME] = JOINED  # It has joined, and the run has not begun there.
        with pytest.raises(MachineLost, match="is away"):
            await machine.open_writer("c1", None)


async def test_who_waits_goes_on_waiting_when_it_is_lost_again() -> None:
    async with opened() as bench:
        (machine,) = bench.keeper.machines
        bench.comes_back = False
        bench.lose()
        async with anyio.create_task_group() as group:
            group.start_soon(bench.keeper.wait_for, machine)
            await anyio.sleep(0.05)
            bench.lose()
            await anyio.sleep(0.05)
            bench.machines[NAME] = JOINED
        assert bench.went_on == [NAME]


async def test_clients_that_are_kept_out_are_connected_once_they_are_not() -> None:
    async with opened() as bench:
        (machine,) = bench.keeper.machines
        bench.refusals = 2
        bench.lose()
        await bench.keeper.wait_for(machine)
        assert bench.went_on == [NAME]
        assert bench.asked.count("BeginRun") == 2


async def test_one_that_does_not_come_back_ends_the_run() -> None:
    async with opened(back_seconds_max=0.3) as bench:
        (machine,) = bench.keeper.machines
        bench.comes_back = False
        bench.lose()
        with pytest.raises(HarnessError, match=r"local-1 was lost and is not back: it did not join again within 0.3 s"):
            await bench.keeper.wait_for(machine)


async def test_one_that_is_not_of_this_run_is_nobodys() -> None:
    async with opened() as bench:
        other = JoinedMachine("other", "incarnation", "there", ClockOffset(0, 0), {})
        bench.keeper.on_change(Lost(other, "it went"))
        (machine,) = bench.keeper.machines
        await bench.keeper.wait_for(machine)
        await until(lambda: not bench.went_on)
